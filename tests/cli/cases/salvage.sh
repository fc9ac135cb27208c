# What is intact of a damaged database becomes a new one.
printf 'a\t1\nb\t2\nc\t3\n' | "$lsmctl" load db -q
"$lsmctl" compact db -q
"$lsmctl" put db d 4 -q
printf 'e\t5\n' | "$lsmctl" load db -q -k things
"$lsmctl" del db b -q

# flip FILE OFFSET: inverts one byte
flip()
{
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    printf "\\$(printf '%03o' $((255 - byte)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

t_masked salvage db whole
t scan whole
t scan whole -k things
t_masked verify whole
t salvage db whole
t salvage db
t salvage db x --dry-run
t salvage nowhere x

rm -rf whole
mv db/CURRENT away
t_masked salvage db whole
t scan whole
t scan whole -k things
mv away db/CURRENT

manifest=$(echo db/MANIFEST-*)
flip "$manifest" 150
t_masked salvage db named
t scan named
t keyspaces named
flip "$manifest" 150

table=$(echo db/*.sst)
flip "$table" 140
t_masked salvage db --dry-run
t_masked salvage db partly --json
t scan partly
flip "$table" 140
t_masked verify db

# Files of two databases, and nothing says which counts.
"$lsmctl" put other a stranger -q
cp other/*.vlog db/900000.vlog
t_masked salvage db told --json
rm -r told
mv db/CURRENT away
t_masked salvage db told
uuid=$("$lsmctl" inspect away | grep -o '[0-9a-f]\{8\}-[0-9a-f-]*' | head -1)
t salvage db told --database 1234
"$lsmctl" salvage db told --database "$uuid" >output 2>&1 # the uuid is another one each time
t scan told
touch told/SALVAGING
t scan told

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

# Between which keys a damaged table has lost something, and what the log that it was made from
# would bring.
seq -f 'key%04g' 2000 | sed 's/$/\tvalue/' | "$lsmctl" load big -q
head -c 30000 /dev/zero | tr '\0' x | "$lsmctl" put --create big docs -f - -q
"$lsmctl" compact big -q
"$lsmctl" put big z 1 -q
"$lsmctl" compact big -q # the log goes on in another segment
mkdir damaged && cp -r big/. damaged
table=$(echo big/*.sst)
table=damaged/$(basename "${table%% *}")
flip "$table" 3000
t salvage damaged --dry-run | mask_numbers | sed "s/'key[^']*'/KEY/g"
"$lsmctl" salvage damaged --dry-run --json 2>&1 | mask_numbers | grep -o '"lost_ranges":.*'
rm "$table"
t_masked salvage damaged --dry-run
t_masked salvage damaged apart --uncertain
"$lsmctl" get apart docs -k default.uncertain --raw | wc -c

# Files of two databases, and nothing says which counts.
"$lsmctl" put --create other a stranger -q
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

# A flipped byte is found, with file and offset; what is whole can be looked at.
printf 'a\t1\nb\t2\nc\t3\n' | "$lsmctl" load db -q
"$lsmctl" compact db -q

# flip FILE OFFSET: inverts one byte
flip()
{
    byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
    printf "\\$(printf '%03o' $((255 - byte)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

table=$(echo db/*.sst)
flip "$table" 140
t_masked verify db
t_masked get db a
flip "$table" 140
t_masked verify db

manifest=$(echo db/MANIFEST-*)
flip "$manifest" 150
t_masked verify db
t_masked info db
t_masked get db a
flip "$manifest" 150

flip db/CURRENT 20
t_masked info db
t_masked verify db
t_masked scan db
flip db/CURRENT 20

mv "$table" away
t_masked verify db
t_masked find db a
t_masked info db
t_masked get db a
t_masked put db d 4
t_masked get db a -o open_damaged=true
mv away "$table"
truncate -s 200 "$table"
t_masked info db
rm db/CURRENT
t_masked info db
t_masked put db a b

# Two bad segments keep a database from opening; both are told, and the tables are checked.
rm -rf db
printf 'a\t1\nb\t2\n' | "$lsmctl" load db -q
"$lsmctl" compact db -q
"$lsmctl" put db c 3 -q
"$lsmctl" put db d 4 -q
segments=$(ls db/*.vlog | tail -2)
for segment in $segments; do
    flip "$segment" 135
done
t_masked verify db

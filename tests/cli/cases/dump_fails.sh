# Where a dump that found no room says to go on, nothing is left out.
awk 'BEGIN { for (i = 0; i < 20000; i++) printf "it'"'"'s %06d\tvalue %d\n", i, i }' >in.tsv
"$lsmctl" load db in.tsv -q -k 'a keyspace'
"$lsmctl" load db in.tsv -q
(
    trap '' XFSZ
    ulimit -f 400 # of 512 or 1,024 bytes: both end within the first keyspace
    "$lsmctl" dump db >first.dump 2>err
    echo "[exit $?]"
)
mask_numbers <err
eval "$(sed -n 's/^  lsmctl dump/"$lsmctl" dump -q/p' err)" >second.dump
"$lsmctl" load whole first.dump --partial -q
"$lsmctl" load whole second.dump -q
t count whole
t count whole -k 'a keyspace'
"$lsmctl" dump db -k default -q >a
"$lsmctl" dump whole -k default -q | cmp - a
t dump db -k default --from "it's 019998"
"$lsmctl" dump db 2>&1 >/dev/full | sed 's/[0-9,]* entries/N entries/'

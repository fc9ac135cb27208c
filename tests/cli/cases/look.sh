# Looking into a database, at rest and after a compaction.
printf 'a\t1\nb\t2\n' | "$lsmctl" load db -q
"$lsmctl" put --create db large "$(head -c 3000 /dev/zero | tr '\0' x)"
"$lsmctl" put --create -k files db path owner --ttl 100000
t_masked info db
t levels db
t_masked verify db
t_masked find db a
t_masked find db large
t find db nothing
t find db a -k nowhere
"$lsmctl" compact db -q
t_masked info db
for command in info levels segments keyspaces stats; do # as a terminal would show them
    "$lsmctl" $command db | grep ' $' && echo "lines of $command end in blanks"
done
t_masked info db --json
t_masked levels db
t_masked levels db --json
t_masked segments db
t_masked keyspaces db
t_masked keyspaces db --json
t_masked find db a
t_masked find db large --json
t_masked manifest db
t_masked inspect db/CURRENT
for file in db/*.vlog; do
    "$lsmctl" inspect "$file" >inspected || echo "inspect $file failed"
    grep -q commit inspected && echo "a segment with commits"
done
for file in db/*.sst; do
    "$lsmctl" inspect "$file" | mask_volatile | grep -e '^entries' -e '^expiry' -e '^created' -e '^data' -e '^filter'
done
t_masked verify db
t_masked verify db --json
"$lsmctl" stats db | grep -c . >lines && echo "stats has lines"
"$lsmctl" stats db --json | grep -c '^{' >lines && echo "stats is an object"
"$lsmctl" stats db --prometheus | grep -q '^lsmkv_' && echo "stats has lsmkv_ metrics"
"$lsmctl" options | grep '^table_size'
"$lsmctl" put db x y -o table_size=8MiB && "$lsmctl" options db | grep '^table_size'

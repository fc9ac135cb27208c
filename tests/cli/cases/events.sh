# What the engine did, by its event log; and what of a running one is known from outside.
"$lsmctl" put --create db a 1 -q
"$lsmctl" put --create -k pets db cat meow
"$lsmctl" compact db -q
# shown ARGUMENTS...: of the events that every such session has
shown()
{
    "$lsmctl" events db "$@" | mask_numbers | grep -e open -e close -e flush -e merge -e create
}
shown
shown --json
"$lsmctl" events db >all
"$lsmctl" events db --since 1970-01-01 | diff all -
TZ=UTC-2 "$lsmctl" events db --local | grep -c ' +0200  close'
t events db --since 2500-01-01
t events db --since '2500-01-01 12:34:56.789 UTC'
t events db --since 0s
t events db --since yesterday
t events db --since 2026-02-31
t events nowhere
mkdir nothing && t events nothing
"$lsmctl" stats db | mask_numbers | sed 's/ N [mun]*s/ DURATION/g'
"$lsmctl" stats db --json | mask_numbers

# What is no event is shown as it is, and nothing of it reaches the terminal.
printf '2500-01-01T00:00:00.000Z e a="\\x1b[2J" b=\n\033[2Jtorn' >>db/EVENTS.log
t events db --since 2499-01-01
t events db --since 2499-01-01 --json
mkdir db/EVENTS.log.1
t events db
rmdir db/EVENTS.log.1

# Beside a process that writes, counters are absent, not 0.
mkfifo pipe
"$lsmctl" load db -q -o memtable_size=1MiB <pipe &
loader=$!
exec 3>pipe
printf 'b\t2\n' >&3
while ! "$lsmctl" info db --json | grep -q '"in_use":true'; do :; done
"$lsmctl" stats db | sed -n "1s/process $loader/process PID/p"
"$lsmctl" stats db --json | grep -o -e '"in_use":true' -e "\"in_use_by_process_id\":$loader," |
    sed "s/$loader/PID/"
"$lsmctl" info db | grep '^  writes'
for counter in gets commits cache_hits; do
    "$lsmctl" stats db | grep "^$counter"
    "$lsmctl" stats db --json | grep -o "\"$counter\":[0-9]*"
    "$lsmctl" stats db --prometheus | grep "^lsmkv_$counter"
done
"$lsmctl" stats db --prometheus | grep -e in_use -e flushes
exec 3>&-
wait $loader

# It follows across rotations, and into another database of that path.
"$lsmctl" events db -f | grep -m1 -o 'keyspace_create *id [0-9]*, name last' &
for i in 1 2 3 4 5 6 7 8; do
    "$lsmctl" put --create db "key$i" value -k "keyspace$i" -o events_size_max=700
done
[ -e db/EVENTS.log.1 ] && echo "rotated"
rm -r db
"$lsmctl" put --create db a 1 -k last -q
wait
t_masked events db --json | grep -c '"event":"open"'

# Without one it says so.
"$lsmctl" put --create quiet a 1 -o events_size_max=0 -q
t events quiet
"$lsmctl" stats quiet | tail -1

# One process writes; others are refused by its number, and may look.
"$lsmctl" put --create db a 1
mkfifo pipe
"$lsmctl" load db -q <pipe &
loader=$!
exec 3>pipe
printf 'b\t2\n' >&3
# The loader has the database open once its lock is seen.
while ! "$lsmctl" info db --json | grep -q '"in_use":true'; do :; done
"$lsmctl" put db c 3 2>err
echo "[exit $?]"
sed "s/process $loader/process PID/" err
"$lsmctl" salvage db new 2>err
echo "[exit $?]"
sed "s/process $loader/process PID/" err
"$lsmctl" info db | sed -n "s/process $loader/process PID/; s/^  state  */state /p"
t get db a
t_masked find db a
t scan db
exec 3>&-
wait $loader
t scan db

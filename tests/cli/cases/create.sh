# A name that is not there makes no database, unless that is what was asked for.
t put people ada 1815
t bench people readmissing --num 1
t put people ada 1815 -o create_if_missing=false --create
t load people /dev/null -o create_if_missing=false
ls
t create people
t create people
t put people ada 1815
t put peple ada 1815
t put peple/ ada 1815
t get ./pepole ada
t info peopel
t verify poeple
t del nothing-like-it a
mkdir -p deep/down
t create deep/down/people -o create_if_missing=false
t create deep/down/people
t get deep/down/people/ ada
t count deep/down/peolpe
t salvage peple new
ls

echo "# keyspaces"
t put people -k names ada Lovelace
t create people -k names
t create people -k names
t put people -k names ada Lovelace
t put people -k nams ada Lovelace
t get people -k nam ada
t scan people -k zzzzzzzzz
t load people /dev/null -k loaded
t keyspaces people

echo "# when asked"
t put asked a 1 --create
t put asked a 1 --create -k space
t put option a 1 -o create_if_missing=true
t bench benched fillseq --num 10 --create -q --json -o no_such=1
"$lsmctl" bench benched fillseq --num 10 --create -q >/dev/null && t count benched
printf 'a\t1\n' | "$lsmctl" load loaded -q
t create new -k first
t put new -k first a 1
ls

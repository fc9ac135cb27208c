# Mistakes are answered with what was meant, and exit code 2.
t
t help
t --version
t version
"$lsmctl" -h >short && "$lsmctl" help | diff - short && echo "-h is help"
"$lsmctl" scan -h >short && "$lsmctl" scan --help | diff - short && echo "-h of a command, too"
t scna db
t frobnicate db
t gc db
for word in rm delete ls keys set cp copy backup export restore import check fsck repair recover \
    vacuum du top unlock status config history; do
    t $word db
done
t help repair
# What synonyms point to is there.
for word in $(sed -n 's/^ *{" \([^"]*\) ".*/\1/p' "${case%/tests/*}/tools/lsmctl/synonyms.c"); do
    command=$("$lsmctl" "$word" 2>&1 | sed -n 's/^  `lsmctl \([a-z]*\) .*/\1/p')
    "$lsmctl" help "${command:-none}" >/dev/null || echo "no answer to '$word'"
done
t checkpoint db
t scan db --revers
t scan db --revrese
t scan db --zzzzzz
t get db
t get db a b
t put db a
t put db a b --from-file c
t get db 'bad\q'
t scan db --limit many
t scan db -o no_such_option=1
t scan db -o cache_size
t scan db -o cache_sise=1MiB
t help get
t help gte
t get missing-directory key
mkdir empty && t get empty key
touch file && t info file
t inspect no-such-file.sst
t inspect empty
t inspect empty/
mkdir foreign && touch foreign/readme && t put foreign a b
t bench db nonsense
t bench db --key-size 4
t stats db --json --prometheus
t load db --sync sometimes

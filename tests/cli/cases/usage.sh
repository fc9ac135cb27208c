# Mistakes are answered with what was meant, and exit code 2.
t
t help
t --version
t scna db
t frobnicate db
t gc db
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
mkdir foreign && touch foreign/readme && t put foreign a b
t bench db nonsense
t bench db --key-size 4
t stats db --json --prometheus
t load db --sync sometimes

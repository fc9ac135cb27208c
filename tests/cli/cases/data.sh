# One key, binary-safe both ways.
t put db ada 1815 --create
t get db ada
t get db ada --json
t get db nobody
t put db 'tab\there' 'line\nbreak \x00\xff \\ end'
t get db 'tab\there'
t get db 'tab\there' --hex
t get db 746162096865 --hex
t get db 7461620968657265 --hex
t get db 'tab\there' --json
t put db --hex 00ff 6869
t get db '\x00\xff'
printf 'a\000b\n' >bytes
t put db raw --from-file bytes
t get db raw
"$lsmctl" get db raw --raw | cmp - bytes && echo "raw bytes are the same"
# Nothing on the command line but names of files.
printf 'se\000cret' >key
t put db --files key bytes
t get db --files key
t get db 'se\x00cret'
t scan db --files --prefix key
printf 'se\000cret' | "$lsmctl" get db --files - --raw | cmp - bytes && echo "and standard input"
printf secret | t put db --files - -
t get db --files nowhere
t del db --files key
t get db --files key
# Larger than a segment of the log, which begins with 1 MiB.
head -c 9000000 /dev/urandom >large
"$lsmctl" put db large --from-file large && "$lsmctl" get db large --raw | cmp - large &&
    echo "a large value is the same"
t put db empty ''
t get db empty
t put db ada 1852 --if-absent
t get db ada
t del db ada
t get db ada
t del db ada
t put db grüße 'ümläut'
t get db grüße
t put db gone soon --ttl 1000000
t get db gone
t put --create -k other db ada 1
t get -k other db ada
t get -k nowhere db ada
# The empty key is one, in a database of its own.
t put keyless --create '' nameless -q
t get keyless ''
t get keyless --hex ''
t scan keyless
t scan keyless --json
t count keyless --from '' --to ''
t find keyless '' --json
"$lsmctl" dump keyless -q | "$lsmctl" load copied -q && t get copied ''
"$lsmctl" scan keyless | "$lsmctl" load scanned -q && t get scanned ''
t del keyless ''
t get keyless ''
# What has expired is told, as long as it is kept.
printf 'gone\t1\texpiry_seconds=1\n' | "$lsmctl" load expired -q
t get expired gone
t get expired gone --json
t get expired goner
t find expired gone
t get nowhere gone --json

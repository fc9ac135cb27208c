# Text in, text out, and dumps that were cut.
printf 'plain\tvalue\nesc\\taped\tline\\nbreak\\x00\n@at\tsign\n' >in.tsv
t load db in.tsv
t scan db
cat >in.jsonl <<'END'
{"key": "j1", "value": "text"}
{"key_hex": "00ff", "value_hex": "0102"}

{"key": "j2", "value": "in another", "keyspace": "with blank", "expiry_seconds": 99999999999}
{"key": "back\\u0000slash", "value": "\\u0000"}
END
t load db in.jsonl
t scan db -k 'with blank' --json
t dump db
"$lsmctl" dump db -q >whole.dump
t load copy whole.dump
"$lsmctl" dump copy -q | cmp - whole.dump && echo "the copy dumps the same"
t dump db -k default --from j1
t dump db --from-keyspace 'with blank'
head -c 200 whole.dump >cut.dump
t load cut cut.dump
t load cut2 cut.dump --partial
grep -v '^j1' whole.dump >less.dump
t load less less.dump
sed 's/^lsmkv-dump 1/lsmkv-dump 2/' whole.dump >newer.dump
t load newer newer.dump
cat whole.dump whole.dump >twice.dump
t load twice twice.dump
printf 'good\t1\nno tab\n' >bad.tsv
t load bad bad.tsv
printf 'bad\\escape\t1\n' >bad.tsv
t load bad bad.tsv
printf '{"key": "a"}\n' >bad.jsonl
t load bad bad.jsonl
printf '{"key": "a\\u0000b", "value": ""}\n' >bad.jsonl
t load bad bad.jsonl
printf '00ff\t6869\n' | "$lsmctl" load hex --hex -q && "$lsmctl" scan hex
t load bad missing.tsv
t load db whole.dump -k other
t load db whole.dump --format nonsense

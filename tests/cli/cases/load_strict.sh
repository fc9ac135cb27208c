# What load takes is what was meant: all else is refused, with file, line and field.

printf 'a\t1\n' >in.tsv

# try NAME CONTENT [FLAG...]: loads what printf makes of CONTENT, and shows what came of it
try()
{
    name=$1
    # shellcheck disable=SC2059
    printf "$2" >"$name"
    shift 2
    rm -rf db
    "$lsmctl" load db "$name" -q "$@" 2>err && "$lsmctl" scan db
    sed 's/^/! /' err
}

echo "# two objects on a line, as of two files without a line feed at their ends"
try two.jsonl '{"key":"a","value":"1"}{"key":"b","value":"2"} {"key":"c","value":"3"}\n'
try lines.jsonl '\n\n{\n  "key": "a",\n  "value": "1"\n}\n{"key":"b","value":"2"}'
try comma.jsonl '{"key":"a","value":"1"},{"key":"b","value":"2"}\n'
try array.jsonl '[{"key":"a","value":"1"}]\n' --format jsonl

echo "# fields"
try twice.jsonl '{"key":"a","key":"b","value":"1"}\n'
try both.jsonl '{"key":"a","key_hex":"61","value":"1"}\n'
try unknown.jsonl '{"key":"a","value":"1","ttl":5}\n'
try versions.jsonl '{"key":"a","value":"1","ts":7,"deleted":false}\n'
try type.jsonl '{"key":"a","value":1}\n'
try none.jsonl '{}\n'
try key.jsonl '\n\n{"value":"1"}\n'
try third.jsonl '{"key":"a","value":"1"}\n\n{"key":"b","value":"2","user_byte":256}\n'
for number in 1.5 1e3 -1 01 '"5"' null 18446744073709551616 99999999999999999999; do
    try number.jsonl '{"key":"a","value":"1","expiry_seconds":'"$number"'}\n'
done
try number.jsonl '{"key":"a","value":"1","expiry_seconds":18446744073709551614,"user_byte":255}\n'
try number.jsonl '{"key":"a","value":"1","expiry_seconds":9007199254740993,"user_byte":0}\n'

echo "# strings"
try unicode.jsonl '{"key":"\\u00e9\\u20ac\\ud83d\\ude00\\u0000\\n\\/","value":""}\n'
try half.jsonl '{"key":"\\ud83d","value":""}\n'
try half.jsonl '{"key":"\\ude00","value":""}\n'
try half.jsonl '{"key":"\\ud83d\\u0041","value":""}\n'
try escape.jsonl '{"key":"\\x41","value":""}\n'
try open.jsonl '{"key":"a","value":"1\n'
try latin.jsonl '{"key":"\351","value":""}\n'
try odd.jsonl '{"key_hex":"616","value":""}\n'
try digit.jsonl '{"key_hex":"6g","value":""}\n'
try cut.jsonl '{"key":"a","val'
try keyspace.jsonl '{"key":"a","value":"1","keyspace":""}\n'
try keyspace.jsonl '{"key":"a","value":"1","keyspace":"x\\u0000y"}\n'

echo "# an object that names no keyspace does not belong to that of the one before"
try back.jsonl '{"key":"a","value":"1","keyspace":"other"}\n{"key":"b","value":"2"}\n'
try back.jsonl '{"key":"a","value":"1","keyspace":"other"}\n{"key":"b","value":"2"}\n' -k mine
t count db -k mine

echo "# TSV or JSON"
try brace.tsv '{"key":"a",\t"value":"b"}\n'
try brace.tsv '{"key":"a",\t"value":"b"}\n' --format tsv
try brace.tsv '{"key":"a",\t"value":"b"}\n' --format jsonl
try brace.tsv '{user}:1\tada\n'
try brace.tsv '{user}:1\tada\n' --format tsv
try later.tsv 'a\t1\n{"key":"b","value":"2"}\t3\n'
try tab.jsonl '{"key":"a","value":"b"}\n{"key":"c",\t"value":"d"}\n'
try dump.tsv 'lsmkv-dump 1\ta value\n'
try dump.tsv 'lsmkv-dump 1\n'

echo "# line ends and marks of encodings"
try crlf.tsv 'a\t1\r\nb\t2\r\n\r\nc\t3'
try mixed.tsv 'a\t1\nb\t2\r\n'
try mixed.tsv 'a\t1\r\nb\t2\n'
try cr.tsv 'a\t1\r2\n'
try cr.tsv 'a\t1\r'
try mark.tsv '\357\273\277a\t1\n'
try mark.jsonl '\357\273\277{"key":"a","value":"1"}\r\n'
try utf16.tsv '\377\376a\000\t\0001\000\n\000'
try utf16.tsv '\377\376\t1\n' --format tsv

echo "# fields of TSV"
try attributes.tsv 'a\t1\tuser_byte=7\texpiry_seconds=18446744073709551614\nb\t2\texpiry_seconds=99999999999\n'
try attributes.tsv 'a\t1\tuser_byte=7\tuser_byte=7\n'
try attributes.tsv 'a\t1\tuser_byte=256\n'
try attributes.tsv 'a\t1\texpiry_seconds=1.5\n'
try attributes.tsv 'a\t1\t\n'
try attributes.tsv 'a\t7\tput\t1\n'
try keys.tsv 'a\n'
try hex.tsv '61\t6\n' --hex
try hex.tsv '6g\t61\n' --hex
try partial.tsv 'a\t1\n' --partial

echo "# dumps"
dump='lsmkv-dump 1\n@keyspace'
try a.dump 'lsmkv-dump 1\na\t1\n@end 1\n'
try a.dump "$dump x\\\\x00y ttl_seconds=0\na\t1\n@end 1\n"
try a.dump "$dump default ttl_seconds=inherit\na\t1\n@end 1\n"
try a.dump "$dump x compression=4294967295\na\t1\n@end 1\n"
try a.dump "$dump x compression=99\na\t1\n@end 1\n"
try a.dump "$dump default\na\t1\t5\n@end 1\n"
try a.dump "$dump default\na\t1\t99999999999\t256\n@end 1\n"
try a.dump "$dump default\na\t1\t99999999999\t255\t\n@end 1\n"
try a.dump "$dump default\r\na\t1\t99999999999\t255\r\n@end 1\r\n"
try a.dump 'lsmkv-dump 1\r\n@keyspace default\r\na\t1\r\n@end 1\r\n'
try a.dump "$dump default\na\t1\nb\\\\" --partial
try a.dump "$dump default\na\t1\nb\\\\\n" --partial
try never.dump "$dump default ttl_seconds=1000\na\t1\n@end 1\n"
t load db never.dump -q
t load other in.tsv -q
t load other never.dump
try empty.dump '' --format dump
try empty.tsv ''

echo "# no line is kept that has no end"
for start in '' '{"key":"' '{"' 'a\t1\t' 'lsmkv-dump 1\n@'; do
    # shellcheck disable=SC2059
    {
        printf "$start"
        yes | tr -d '\n'
    } | "$lsmctl" load db -q 2>&1
done

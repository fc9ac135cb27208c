#!/bin/sh
# The table of docs/benchmarks.md: scripts/bench.sh [-r ROUNDS] [-s PART] [-o FILE] [DIRECTORY]
#
# Runs lsmctl bench and Debian's db_bench (rocksdb-tools) with equal settings, in turn, ROUNDS
# times (3), and prints medians and their ratios as a Markdown table. Databases are made below
# DIRECTORY (TMPDIR or /tmp) and removed. Synced commits are measured with one PART-th of the
# keys (100). FILE keeps every figure.
set -eu

usage()
{
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

rounds=3
part=100
kept=
while getopts r:s:o: option; do
    case $option in
    r) rounds=$OPTARG ;;
    s) part=$OPTARG ;;
    o) kept=$OPTARG ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -le 1 ] || usage

lsmctl=${LSMCTL:-${BUILD:-build}/release/tools/lsmctl/lsmctl}
if ! command -v db_bench >/dev/null 2>&1; then
    echo "bench: there is no db_bench: apt-get install rocksdb-tools" >&2
    exit 1
fi
where=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/lsmkv-bench.XXXXXX")
trap 'rm -rf "$where"' EXIT
trap 'exit 130' INT TERM
figures=$where/figures
: >"$figures"

# Each prints "WORKLOAD OPS_PER_SECOND" for LOAD,readrandom,readseq.
run_lsmkv() # NUM VALUE_SIZE SYNC LOAD
{
    "$lsmctl" bench --create "$where/lsmkv" "$4,readrandom,readseq" --num "$1" --value-size "$2" \
        --sync "$3" -o compression=0 -o cache_size=256MiB -o memtable_size=64MiB 2>/dev/null |
        awk '/^(fill|read)/ { print $1, $3 }'
}

run_rocksdb() # the same
{
    sync=0
    [ "$3" = full ] && sync=1
    db_bench --db="$where/rocksdb" --benchmarks="$4,readrandom,readseq" --num="$1" \
        --value_size="$2" --key_size=16 --sync=$sync --cache_size=268435456 \
        --write_buffer_size=67108864 --bloom_bits=10 --compression_type=none 2>/dev/null |
        awk '/^(fill|read)/ { print $1, $5 }'
}

# Notes "NUM VALUE_SIZE SYNC LOAD WORKLOAD ENGINE OPS_PER_SECOND".
measure() # ENGINE NUM VALUE_SIZE SYNC LOAD
{
    engine=$1
    shift
    rm -rf "${where:?}/$engine"
    "run_$engine" "$@" | while read -r workload rate; do
        echo "$* $workload $engine $rate"
    done >>"$figures"
    rm -rf "${where:?}/$engine"
}

# The engine that goes first changes from round to round.
compare() # NUM VALUE_SIZE SYNC
{
    for load in fillseq fillrandom; do
        round=1
        while [ "$round" -le "$rounds" ]; do
            echo "$1 x $2 B, sync $3, $load, round $round of $rounds" >&2
            first=lsmkv second=rocksdb
            [ $((round % 2)) -eq 0 ] && first=rocksdb second=lsmkv
            measure $first "$@" $load
            measure $second "$@" $load
            round=$((round + 1))
        done
    done
}

print_table()
{
    awk -v rounds="$rounds" -v divisor="$part" '
        function median(name, i, j, n, swap, values) {
            n = count[name]
            for (i = 1; i <= n; i++)
                values[i] = rate[name, i]
            for (i = 1; i <= n; i++)
                for (j = i + 1; j <= n; j++)
                    if (values[j] < values[i]) {
                        swap = values[i]; values[i] = values[j]; values[j] = swap
                    }
            return n % 2 ? values[(n + 1) / 2] : (values[n / 2] + values[n / 2 + 1]) / 2
        }
        function grouped(number, text, out) {
            text = sprintf("%.0f", number)
            while (length(text) > 3) {
                out = "," substr(text, length(text) - 2) out
                text = substr(text, 1, length(text) - 3)
            }
            return text out
        }
        {
            row = $1 " " $2 " " $3 " " $4 " " $5
            if (!(row in seen)) { seen[row] = 1; rows[++row_count] = row }
            name = row " " $6
            rate[name, ++count[name]] = $7
        }
        END {
            printf "Medians of %d rounds, operations a second.\n", rounds
            printf "Sync full: 1/%d of the keys, so what is read there is small.\n\n", divisor
            print "| keys x value | sync | loaded by | workload | lsmkv | RocksDB | ratio |"
            print "|---|---|---|---|---|---|---|"
            for (i = 1; i <= row_count; i++) {
                split(rows[i], part, " ")
                ours = median(rows[i] " lsmkv")
                theirs = median(rows[i] " rocksdb")
                ratio = theirs == 0 ? "-" : sprintf("%.2f", ours / theirs)
                printf "| %s x %s B | %s | %s | %s | %s | %s | %s |\n", grouped(part[1]),
                    grouped(part[2]), part[3], part[4], part[5], grouped(ours), grouped(theirs),
                    ratio
            }
        }' "$figures"
}

num_small=${NUM_SMALL:-1000000}
num_large=${NUM_LARGE:-100000}
for sync in written full; do
    divisor=1
    [ $sync = full ] && divisor=$part
    compare $((num_small / divisor)) 100 $sync
    compare $((num_large / divisor)) 4096 $sync
done
print_table
[ -z "$kept" ] || cp "$figures" "$kept"

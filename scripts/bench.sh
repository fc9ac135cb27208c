#!/bin/sh
# The workloads of docs/benchmarks.md: scripts/bench.sh [DIRECTORY]
#
# Runs lsmctl bench and, where Debian's rocksdb-tools are installed, db_bench with
# equal settings, in turn.
set -eu

lsmctl=${BUILD:-build}/release/tools/lsmctl/lsmctl
where=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/lsmkv-bench.XXXXXX")
trap 'rm -rf "$where"' EXIT

# both NUM VALUE_SIZE
both()
{
    for sync in written full; do
        num=$1
        [ "$sync" = full ] && num=$(($1 / 100))
        echo "== $num keys of 16 bytes, values of $2 bytes, sync $sync"
        for first in fillseq fillrandom; do
            rm -rf "$where/lsmkv" "$where/rocksdb"
            "$lsmctl" bench "$where/lsmkv" $first,readrandom,readseq \
                --num "$num" --value-size "$2" --sync $sync -o compression=0
            command -v db_bench >/dev/null 2>&1 || continue
            db_bench --db="$where/rocksdb" --benchmarks=$first,readrandom,readseq --num="$num" \
                --value_size="$2" --key_size=16 --sync=$([ $sync = full ] && echo 1 || echo 0) \
                --cache_size=268435456 --bloom_bits=10 --compression_type=none 2>/dev/null |
                grep -E '^(fill|read)'
        done
    done
}

both 1000000 100
both 100000 4096

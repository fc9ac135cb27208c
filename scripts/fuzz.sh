#!/bin/sh
# Runs every fuzz target for a while: scripts/fuzz.sh [SECONDS]
#
# With LSM_SEED in the environment the inputs are drawn from it, otherwise anew each time.
# Prints one line per target, and the log of one that fails. New inputs are kept
# below the build directory, so that a later run goes on from there. The result is
# left in fuzz.result there: `PASSED FAILED`.
set -u

seconds=${1:-60}
dir=${BUILD:-build}/fuzz
passed=0
failed=0

rm -f "$dir/fuzz.result"
scripts/configure.sh fuzz || exit 1
for target in $(find "$dir" -type f -name 'fuzz_*' -perm -u+x | sort); do
    name=$(basename "$target")
    seeds=tests/fuzz/corpus/${name#fuzz_}
    [ -d "$seeds" ] || seeds=
    corpus=$dir/corpus/$name
    mkdir -p "$corpus"
    if "$target" -max_total_time="$seconds" -timeout=120 -rss_limit_mb=1024 \
        -seed="${LSM_SEED:-0}" \
        -artifact_prefix="$dir/$name-" -print_final_stats=1 "$corpus" $seeds >"$dir/$name.log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$dir/$name.log")
        echo "  ok      $name: $runs inputs in $seconds s"
        passed=$((passed + 1))
    else
        tail -n 60 "$dir/$name.log"
        echo "  FAILED  $name"
        failed=$((failed + 1))
    fi
done
echo "$passed $failed" >"$dir/fuzz.result"
[ "$failed" -eq 0 ]

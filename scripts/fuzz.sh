#!/bin/sh
# Runs every fuzz target for a while: scripts/fuzz.sh [--record] [SECONDS]
#
# With LSM_SEED in the environment the inputs are drawn from it, otherwise anew each time.
# Prints a table of what each target did, and the log of one that fails. New inputs are kept
# below the build directory, so that a later run goes on from there. The result is
# left in fuzz.result there: `PASSED FAILED`. With --record the executions of targets that
# passed are added to those in tests/fuzz/executions.txt.
set -u

record=
if [ "${1:-}" = --record ]; then
    record=yes
    shift
fi
seconds=${1:-60}
dir=${BUILD:-build}/fuzz
table=$dir/fuzz.table
passed=0
failed=0

# number NAME LOG: a figure of libFuzzer's statistics
number()
{
    sed -n "s/^stat::$1: *//p" "$2"
}

# row NAME: what the table says of a target that passed
row()
{
    log=$dir/$1.log
    # the last of lines like `#4096 REDUCE cov: 301 ft: 1063 corp: 158/108Kb lim: ...`
    reached=$(sed -n 's/.* cov: \([0-9]*\) ft: \([0-9]*\) corp: \([0-9]*\)\/\([^ ]*\) .*/\1 \2 \3 \4/p' "$log" |
        tail -n 1)
    # $reached is four words, or none where nothing was reached.
    printf '%-22s %12s %10s %8s %8s %8s %10s\n' "$1" "$(number number_of_executed_units "$log")" \
        "$(number average_exec_per_sec "$log")" ${reached:-- - - -}
}

# add_up: the executions so far and those of the table, as tests/fuzz/executions.txt has them
add_up()
{
    awk 'FNR == NR { new[$1] = $2; next }
        /^#/ { print; next }
        { print $1, $2 + new[$1]; delete new[$1] }
        END { for (name in new) print name, new[name] }' "$table" tests/fuzz/executions.txt | sort
}

rm -f "$dir/fuzz.result"
scripts/configure.sh fuzz || exit 1
: >"$table"
printf '%-22s %12s %10s %8s %8s %8s %10s\n' target executions 'a second' edges features inputs size
for target in $(find "$dir" -type f -name 'fuzz_*' -perm -u+x | sort); do
    name=$(basename "$target")
    seeds=tests/fuzz/corpus/${name#fuzz_}
    [ -d "$seeds" ] || seeds=
    corpus=$dir/corpus/$name
    mkdir -p "$corpus"
    # Without the entropic schedule, which takes a third of the time of the largest targets.
    if "$target" -max_total_time="$seconds" -timeout=60 -rss_limit_mb=512 -entropic=0 \
        -seed="${LSM_SEED:-0}" \
        -artifact_prefix="$dir/$name-" -print_final_stats=1 "$corpus" $seeds >"$dir/$name.log" 2>&1; then
        row "$name" | tee -a "$table"
        passed=$((passed + 1))
    else
        tail -n 60 "$dir/$name.log"
        echo "  FAILED  $name"
        failed=$((failed + 1))
    fi
done
awk '{ sum += $2 } END { printf "%-22s %12.0f\n", "all", sum }' "$table"
if [ -n "$record" ]; then
    add_up >"$dir/executions.txt" && cp "$dir/executions.txt" tests/fuzz/executions.txt
fi
echo "$passed $failed" >"$dir/fuzz.result"
[ "$failed" -eq 0 ]

#!/bin/sh
# Which lines and branches of src the tests reach: scripts/coverage.sh [CTEST ARGUMENT...]
#
# Assertions are compiled out: their branches are never taken. Prints the sums by floor, leaves
# build/coverage/index.html with every line, and fails when that is too little, or when a branch
# of the log, the manifest or recovery is not taken and tests/coverage/reasons.txt says no reason.
set -eu

build=${BUILD:-build}/coverage
jobs=${JOBS:-$(nproc)}
LSM_SEED=${LSM_SEED:-1} # the same random numbers each time
export LSM_SEED

scripts/configure.sh coverage
find "$build" -name '*.gcda' -delete
# Not the suites of programs that are killed, or have their writes cut short, while they write
# their counts.
ctest --test-dir "$build" -j "$jobs" -E '^(cli|install|stutter)/' -LE campaign "$@" >"$build/tests.log" 2>&1 ||
    grep -E 'Failed|Timeout' "$build/tests.log" || true
# Of the campaigns so many rounds as find new branches.
xargs -P "$jobs" -L 1 sh -c '
    build=$1 name=$2
    program=$(grep "/$name\$" "$build/campaigns.txt")
    shift 2
    "$program" --rounds "$@" >"$build/$name.log" 2>&1 || echo "$name failed: $build/$name.log"
    ' campaign "$build" <<'END' || true
fault_loops 120
explore 4 --thin 100
damage_bytes 2
damage_blocks 4
damage_salvage 4
salvage_model 10
metamorphic 20
END

# collect NAME ARGUMENT...: what gcov counted, as $build/NAME.json
collect()
{
    name=$1
    shift
    gcovr --root . --object-directory "$build" --filter 'src/' --exclude-unreachable-branches \
        --json "$build/$name.json" "$@" >/dev/null
}

# The faults run a copy of the engine in which some calls are two, and gcov numbers the branches
# of a line together with its calls. Counted apart, the branches of both have the same order.
collect engine --exclude-directories '.*/fault_engine[.]dir' "$build"
collect faults "$build/tests/faults"
join="--add-tracefile $build/engine.json --add-tracefile $build/faults.json"
gcovr --root . $join --json "$build/coverage.json" --html-details "$build/index.html" >/dev/null
echo "every line: $build/index.html"
python3 tests/coverage/report.py "$build/coverage.json" tests/coverage/reasons.txt

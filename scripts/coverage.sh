#!/bin/sh
# Which lines and branches of src the tests reach: scripts/coverage.sh [CTEST ARGUMENT...]
#
# Assertions are compiled out: their branches are never taken. Prints the sums by floor, and
# leaves build/coverage/index.html with every line.
set -eu

build=${BUILD:-build}/coverage
floors="base env memtable sstable vlog manifest compaction txn db"

scripts/configure.sh coverage
find "$build" -name '*.gcda' -delete
# Not the suites of programs that are killed while they write their counts.
ctest --test-dir "$build" -j "${JOBS:-$(nproc)}" -E '^(cli|install)/' "$@" >"$build/tests.log" 2>&1 ||
    grep -E 'Failed|Timeout' "$build/tests.log" || true

gcovr --root . --object-directory "$build" --filter 'src/' --exclude-unreachable-branches \
    --json "$build/coverage.json" >/dev/null
printf '%-12s %8s %10s\n' floor lines branches
for floor in $floors ''; do
    gcovr --root . --add-tracefile "$build/coverage.json" --filter "src/$floor" \
        --json-summary-pretty --json-summary "$build/summary.json" >/dev/null
    # The sums of the whole stand outermost.
    lines=$(sed -n 's/^    "line_percent": \([0-9.]*\).*/\1/p' "$build/summary.json")
    branches=$(sed -n 's/^    "branch_percent": \([0-9.]*\).*/\1/p' "$build/summary.json")
    printf '%-12s %7s%% %9s%%\n' "${floor:-all}" "$lines" "$branches"
done
gcovr --root . --add-tracefile "$build/coverage.json" --html-details "$build/index.html" >/dev/null
echo "every line: $build/index.html"

#!/bin/sh
# Checks that the tests notice every planted bug: scripts/plant.sh [NAME...]
#
# Builds the preset `plant` once and runs the tests with one bug of tests/plant/bugs.txt
# switched on at a time: first those that are to notice it, then the rest of the suite, then
# the campaigns. Fails if a bug is missed, if the tests fail without any, or if the list and
# the source differ.
set -u

list=tests/plant/bugs.txt
build=${BUILD:-build}
log=$build/plant/plant.log
missed=0
caught=0

names()
{
    sed -n 's/^\([A-Z_0-9]\{3,\}\) .*/\1/p' "$list" | sort
}

planted()
{
    grep -rhoE 'PLANTED\([A-Z_0-9]+\)' src | sed 's/PLANTED(\(.*\))/\1/' | sort -u
}

# first_failure CTEST_ARGUMENT...: the first test that fails, or nothing
first_failure()
{
    ctest --test-dir "$build/plant" -j "${JOBS:-$(nproc)}" --timeout 300 --stop-on-failure "$@" \
        >"$log" 2>&1
    sed -n 's/^[ 0-9]*\/[0-9]* Test *#[0-9]*: \([^ ]*\) \.*\**\(Failed\|Exception\|Timeout\).*/\1/p' \
        "$log" | head -n 1
}

if [ "$(names)" != "$(planted)" ]; then
    echo "$list and the PLANTED() of src differ:" >&2
    names >"$build.names" && planted | diff "$build.names" - >&2
    rm -f "$build.names"
    exit 1
fi
scripts/configure.sh plant || exit 1

unset LSM_BUG
bad=$(first_failure -E '^cli/' -LE campaign)
if [ -n "$bad" ]; then
    cat "$log"
    echo "without any bug, $bad fails" >&2
    exit 1
fi
for bug in ${*:-$(names)}; do
    export LSM_BUG="$bug"
    tests=$(sed -n "s/^$bug  *\([^ ]*\) .*/\1/p" "$list")
    by=$(first_failure -R "$tests")
    [ -n "$by" ] || by=$(first_failure -E "$tests|^cli/" -LE campaign)
    [ -n "$by" ] || by=$(first_failure -L campaign)
    if [ -n "$by" ]; then
        caught=$((caught + 1))
        printf '  caught  %-30s by %s\n' "$bug" "$by"
    else
        missed=$((missed + 1))
        printf '  MISSED  %s\n' "$bug"
    fi
done
echo "$caught planted bugs caught, $missed missed"
[ "$missed" -eq 0 ]

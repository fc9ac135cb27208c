#!/bin/sh
# The long campaigns, each with a new seed: scripts/soak.sh [MINUTES]
#
# Half of the time goes to the campaigns of the optimised build, the rest in equal parts to
# the same under AddressSanitizer, to the threaded ones under ThreadSanitizer, and to fuzzing;
# Helgrind comes on top.
# Prints one table at the end; the logs stay in build/soak. Fails if anything did.
set -u

minutes=${1:-60}
build=${BUILD:-build}
jobs=${JOBS:-$(nproc)}
logs=$build/soak
summary=$logs/summary
failed=0

# run_campaigns PRESET SECONDS: all campaigns of a preset within so many seconds
run_campaigns()
{
    list=$build/$1/campaigns.txt
    count=$(wc -l <"$list")
    each=$(($2 * jobs / count))
    [ "$each" -gt 0 ] || each=1
    echo "$1: $count campaigns, $each s each"
    # xargs tells by its status whether one of them failed; 77 is one that may not run here.
    xargs -P "$jobs" -I '{}' sh -c '
        log=$2/$3.$(basename "$1").log
        "$1" --seconds "$4" >"$log" 2>&1
        status=$?
        [ $status -eq 0 ] || [ $status -eq 77 ] || { echo "FAILED  $3 $(basename "$1")"; exit 1; }
        ' campaign '{}' "$logs" "$1" "$each" <"$list" || failed=1
}

# run_stress SECONDS: the programs under ThreadSanitizer, again and again
run_stress()
{
    end=$(($(date +%s) + $1))
    rounds=0
    echo "tsan: the stress programs for $1 s"
    while [ "$(date +%s)" -lt "$end" ]; do
        rounds=$((rounds + 1))
        LSM_SEED=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
        export LSM_SEED
        ctest --test-dir "$build/tsan" -j "$jobs" --output-on-failure -Q \
            -O "$logs/tsan.stress.log" -R '^stress/' && continue
        echo "FAILED  tsan stress with LSM_SEED=$LSM_SEED"
        failed=1
        break
    done
    unset LSM_SEED
    echo "stress: $rounds rounds of all stress programs under ThreadSanitizer" >>"$summary"
}

# table: what every campaign printed last
table()
{
    echo
    printf '%-6s %-14s %14s %-24s %10s  %s\n' build campaign count of violations seed
    for log in "$logs"/*.log; do
        preset=$(basename "$log" | cut -d. -f1)
        sed -n "s/^campaign \([^:]*\): \([0-9]*\) \(.*\), \([0-9]*\) violations, seed \(.*\)/$preset;\1;\2;\3;\4;\5/p" \
            "$log" | tail -n 1
        grep -h '^SKIPPED' "$log" | head -n 1 | sed "s/^/$preset;$(basename "$log" .log | cut -d. -f2);0;/; s/\$/;0;-/"
    done | awk -F';' '{printf "%-6s %-14s %14s %-24s %10s  %s\n", $1, $2, $3, $4, $5, $6}'
    cat "$summary"
}

for preset in tests asan tsan; do
    scripts/configure.sh "$preset" || exit 1
done
rm -rf "$logs"
mkdir -p "$logs"
: >"$summary"
run_campaigns tests $((minutes * 30))
run_campaigns asan $((minutes * 10))
run_campaigns tsan $((minutes * 5))
run_stress $((minutes * 5))
scripts/helgrind.sh >"$logs/helgrind.log" 2>&1 || { echo 'FAILED  helgrind'; failed=1; }
scripts/fuzz.sh $((minutes * 10 / $(ls tests/fuzz/fuzz_*_*.c | wc -l) + 1)) >>"$summary" || failed=1
table
if [ "$failed" -ne 0 ] || grep -lq 'ERROR: \|WARNING: ThreadSanitizer' "$logs"/*.log; then
    echo "soak: FAILED; the logs are in $logs"
    exit 1
fi
echo "soak: $minutes minutes, nothing found"

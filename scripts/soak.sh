#!/bin/sh
# Repeats the stress programs under ThreadSanitizer and the tests under
# AddressSanitizer, with a new seed each round: scripts/soak.sh [SECONDS]
set -u

build=${BUILD:-build}
end=$(($(date +%s) + ${1:-600}))
round=0

scripts/configure.sh asan || exit 1
scripts/configure.sh tsan || exit 1
while [ "$(date +%s)" -lt "$end" ]; do
    round=$((round + 1))
    LSM_SEED=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
    export LSM_SEED
    echo "round $round, seed $LSM_SEED"
    ctest --test-dir "$build/tsan" --output-on-failure -Q -O "$build/soak.log" -R '^stress/' &&
        ctest --test-dir "$build/asan" --output-on-failure -Q -O "$build/soak.log" \
            -E '^(stress|base|cli)/' || {
        cat "$build/soak.log"
        echo "round $round failed with LSM_SEED=$LSM_SEED"
        exit 1
    }
done
echo "$round rounds passed"

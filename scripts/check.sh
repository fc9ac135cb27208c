#!/bin/sh
# All tests in all configurations; the last line is `N passed, N failed`.
#
# A configuration that does not build counts as one failure, and the others go on.
set -u

build=${BUILD:-build}
jobs=${JOBS:-$(nproc)}
passed=0
failed=0
start=$(date +%s)

# The same random numbers each time, so that what fails once fails again; `make soak` draws new
# ones. Threads still meet as they will.
LSM_SEED=${LSM_SEED:-1}
export LSM_SEED

# The sanitizers of these compilers expect programs and libraries where older kernels put them,
# and where newer ones spread addresses wider they fail now and then.
fixed_addresses=
setarch -R true 2>/dev/null && fixed_addresses="setarch -R"

# seconds since the start, for progress lines
elapsed()
{
    echo $(($(date +%s) - start))
}

# step NAME WORDS...: announces what comes
step()
{
    printf '%4s s  %s\n' "$(elapsed)" "$*"
}

# compile PRESET [TARGET...]
compile()
{
    step "building: $1"
    if scripts/configure.sh "$@"; then
        return 0
    fi
    failed=$((failed + 1))
    return 1
}

# run_tests PRESET [CTEST ARGUMENT...]: runs and counts them, shows what fails
run_tests()
{
    preset=$1
    shift
    log=$build/$preset/tests.log
    launcher=$fixed_addresses
    [ "$preset" = tests ] && launcher=
    step "testing: $preset"
    $launcher ctest --test-dir "$build/$preset" -j "$jobs" --output-on-failure "$@" >"$log" 2>&1
    # ctest says: "97% tests passed, 2 tests failed out of 80"
    bad=$(sed -n 's/.* tests passed, \([0-9]*\) tests failed out of .*/\1/p' "$log")
    all=$(sed -n 's/.* tests failed out of \([0-9]*\).*/\1/p' "$log")
    if [ -z "$all" ]; then
        cat "$log"
        echo "        no test ran"
        failed=$((failed + 1))
        return
    fi
    skipped=$(grep -c '\*\*\*Skipped ' "$log")
    passed=$((passed + all - bad - skipped))
    failed=$((failed + bad))
    if [ "$bad" -ne 0 ]; then
        grep -v '^ *[0-9]*/[0-9]* Test.* Passed ' "$log" | grep -v '^ *Start '
    fi
    sed -n 's/.* Test *#[0-9]*: \([^ ]*\) .*\*\*\*Skipped .*/        not permitted here: \1/p' "$log"
    echo "        $((all - bad - skipped)) of $all passed, $skipped skipped"
}

# The optimised build as it is installed, its tools and packaging.
compile tests && run_tests tests
# A second compiler, with assertions: its warnings are errors too.
compile clang && passed=$((passed + 1))
compile asan && run_tests asan
compile tsan && run_tests tsan

step "fuzzing"
if BUILD=$build $fixed_addresses scripts/fuzz.sh 5; then :; else
    [ -f "$build/fuzz/fuzz.result" ] || failed=$((failed + 1))
fi
if [ -f "$build/fuzz/fuzz.result" ]; then
    read -r good bad <"$build/fuzz/fuzz.result"
    rm -f "$build/fuzz/fuzz.result"
    passed=$((passed + good))
    failed=$((failed + bad))
fi

step "done"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

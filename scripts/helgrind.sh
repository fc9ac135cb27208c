#!/bin/sh
# The modules whose threads meet by locks alone, under Helgrind: order of locks, data races.
# The others use atomics, which it does not follow; ThreadSanitizer has those.
set -eu

build=${BUILD:-build}
scripts/configure.sh debug env_scheduler
valgrind --tool=helgrind -q --error-exitcode=1 --suppressions=tests/stress/helgrind.supp \
    "$build/debug/tests/env_scheduler"
echo "helgrind: nothing found in the scheduler"

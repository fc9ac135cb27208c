#!/bin/sh
# Configures and builds one preset below ${BUILD:-build}.
#
#   scripts/configure.sh PRESET [TARGET...]
#
# The log of a failed build is shown, that of a good one is kept in the build
# directory only.
set -eu

preset=$1
shift
dir=${BUILD:-build}/$preset
generator=
command -v ninja >/dev/null 2>&1 && [ ! -f "$dir/CMakeCache.txt" ] && generator="-G Ninja"

mkdir -p "$dir"
if ! { cmake --preset "$preset" -B "$dir" $generator &&
    cmake --build "$dir" -j "${JOBS:-$(nproc)}" ${1:+--target "$@"}; } >"$dir/build.log" 2>&1; then
    # Without the lines of what went well.
    grep -v -e '^\[ *[0-9]*[/%]' -e '^-- ' "$dir/build.log" >&2
    echo "building preset $preset failed; the whole log is $dir/build.log" >&2
    exit 1
fi

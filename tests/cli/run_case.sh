#!/bin/sh
# Runs one case and compares what it prints with what is expected.
#
#   run_case.sh LSMCTL CASE.sh      with UPDATE=1, takes the output as expected
#
# A case is a script that calls `t ARGUMENTS...`: the command line, the output of
# lsmctl (standard error behind standard output) and an exit code other than 0 are
# printed. `t_masked` does the same with every number replaced by N.
set -u

lsmctl=$1
case=$2
expected=${case%.sh}.expected
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

unset NO_COLOR
export ASAN_OPTIONS=${ASAN_OPTIONS:-}

# Sizes of the machine, times and identifiers differ from run to run.
mask_volatile()
{
    sed -e 's/[0-9a-f]\{8\}-[0-9a-f]\{4\}-[0-9a-f]\{4\}-[0-9a-f]\{4\}-[0-9a-f]\{12\}/UUID/g' \
        -e 's/[0-9]\{4\}-[0-9][0-9]-[0-9][0-9] [0-9:]\{8\} UTC/TIME/g' \
        -e 's/"elapsed_ns":[0-9]*/"elapsed_ns":N/g' \
        -e 's/, [0-9.]* [num]*s: [0-9.]* [KMG]*i*B\/s/, DURATION/'
}

mask_numbers()
{
    sed -e 's/[0-9]\{1,\}\([.,][0-9]\{1,\}\)*/N/g' -e 's/ \{1,\}/ /g' -e 's/ $//' \
        -e 's/N [KMGT]*i*B/SIZE/g' -e 's/ N [mun]*s$/ DURATION/'
}

# run FILTER ARGUMENTS...
run()
{
    filter=$1
    shift
    printf '$ lsmctl %s\n' "$*"
    "$lsmctl" "$@" >out 2>err
    code=$?
    cat out err | mask_volatile | $filter
    rm -f out err
    [ $code -eq 0 ] || echo "[exit $code]"
}

t()
{
    run cat "$@"
}

t_masked()
{
    run mask_numbers "$@"
}

. "$case" >"$dir/actual" 2>&1
if [ "${UPDATE:-0}" = 1 ]; then
    cp "$dir/actual" "$expected"
    exit 0
fi
diff -u "$expected" "$dir/actual" || {
    echo "$case: the output differs; if it is right now, run with UPDATE=1"
    exit 1
}

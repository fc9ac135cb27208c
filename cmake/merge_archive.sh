#!/bin/sh
# Makes a static library of one object in which only the public names are global,
# so that no internal name can clash with one of the application's.
#
#   merge_archive.sh SHARED_LIBRARY ARCHIVE OBJECT...
#
# The public names are those that the shared library exports. The tools are taken
# from NM, LD, OBJCOPY and AR.
set -eu

shared=$1
archive=$2
shift 2

merged=${archive%.a}.o
names=${archive%.a}.names

"$NM" --dynamic --defined-only --format=posix "$shared" |
    sed -n 's/^\(lsm_[a-z0-9_]*\)[@ ].*/\1/p' >"$names"
[ -s "$names" ] || {
    echo "merge_archive.sh: $shared exports nothing" >&2
    exit 1
}
"$LD" -r -o "$merged" "$@"
"$OBJCOPY" --keep-global-symbols="$names" "$merged"
rm -f "$archive"
"$AR" rcs "$archive" "$merged"

#!/bin/sh
# What a large load takes: scripts/load10g.sh [DIRECTORY [GIB [OPTION=VALUE...]]]
#
# Loads GIB (10) GiB of values of 100 bytes to 4 KiB under random keys into a database
# below DIRECTORY (TMPDIR), and tells the most memory and descriptors the process had,
# and how long opening takes after a clean close and after a kill. Removes the database.
set -eu

big_load=${BUILD:-build}/release/bench/big_load
where=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/lsmkv-load.XXXXXX")
gib=${2:-10}
[ $# -gt 2 ] && shift 2 || shift $#
trap 'rm -rf "$where"' EXIT

"$big_load" load "$where/db" "$gib" "$@"
"$big_load" open "$where/db" "$@"
echo "== killed in the middle of writing"
"$big_load" kill "$where/db" "$@" || true
"$big_load" open "$where/db" "$@"

#!/bin/sh
# The program of the README, built as the README says.
set -eu
source=$1
prefix=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

libdir=$(dirname "$(find "$prefix" -name 'liblsmkv.so')")
export PKG_CONFIG_PATH="$libdir/pkgconfig"
sh "$source/tests/cli/readme_example.sh" "$source" >"$dir/app.c"
cd "$dir"
[ "$(wc -l <app.c)" -gt 20 ]
"${CC:-cc}" -Wall -Wextra -Werror app.c $(pkg-config --cflags --libs lsmkv) -o app
LD_LIBRARY_PATH=$libdir ./app >out
[ "$(cat out)" = owner ]
LD_LIBRARY_PATH=$libdir ./app >out # the database is there now
[ "$(cat out)" = owner ]
"$prefix/bin/lsmctl" verify example.db >/dev/null

#!/bin/sh
# The same with the static library; a program may use names that are internal ones
# of the library.
set -eu
source=$1
prefix=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

libdir=$(dirname "$(find "$prefix" -name 'liblsmkv.a')")
export PKG_CONFIG_PATH="$libdir/pkgconfig"
cd "$dir"
sh "$source/tests/cli/readme_example.sh" "$source" >app.c
cat >>app.c <<'END'
int table_get(void);
int lsm_fail(void);
int table_get(void)
{
    return 1;
}
int lsm_fail(void)
{
    return 2;
}
END
private=$(pkg-config --static --libs lsmkv | sed 's/-llsmkv//')
"${CC:-cc}" -Wall -Wextra -Werror app.c $(pkg-config --cflags lsmkv) "$libdir/liblsmkv.a" \
    $private -o app
./app >out
[ "$(cat out)" = owner ]

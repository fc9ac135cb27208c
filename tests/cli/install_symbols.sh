#!/bin/sh
# Both libraries offer the public functions, all of them and nothing else.
set -eu
source=$1
prefix=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
shared=$(find "$prefix" -name 'liblsmkv.so')
archive=$(find "$prefix" -name 'liblsmkv.a')

# What the header declares: names before '(' in declarations marked as exported.
sed -n '/^LSM_\(API\|MUST_CHECK\) /{s/(.*//;s/.*[ *]//;p}' "$source/include/lsmkv.h" |
    sort >"$dir/declared"
"${NM:-nm}" --dynamic --defined-only --format=posix "$shared" |
    sed 's/[@ ].*//' | grep -v '^LSMKV_0$' | sort >"$dir/shared"
"${NM:-nm}" --extern-only --defined-only --format=posix "$archive" |
    sed -n 's/^\([^ :]*\) [A-Z] .*/\1/p' | sort >"$dir/archive"

[ "$(wc -l <"$dir/declared")" -gt 100 ]
diff -u "$dir/declared" "$dir/shared" || {
    echo "$shared does not export what the header declares"
    exit 1
}
diff -u "$dir/declared" "$dir/archive" || {
    echo "$archive does not export what the header declares"
    exit 1
}
"${OBJDUMP:-objdump}" -p "$shared" | grep -q 'SONAME  *liblsmkv.so.0$' || {
    echo "$shared has another SONAME than liblsmkv.so.0"
    exit 1
}

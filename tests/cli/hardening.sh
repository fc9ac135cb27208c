#!/bin/sh
# What the compiler and the linker were asked for is in the programs they made.
#
#   hardening.sh LSMCTL SHARED_LIBRARY ARCHIVE LEVEL
#
# LEVEL is that of _FORTIFY_SOURCE, 0 where nothing is optimised. READELF reads them.
set -u

lsmctl=$1
shared=$2
archive=$3
level=$4
failed=0

# expect FILE WHAT PATTERN READELF_OPTION...
expect()
{
    file=$1
    what=$2
    pattern=$3
    shift 3
    LC_ALL=C "$READELF" -W "$@" "$file" | grep -Eq -- "$pattern" && return
    echo "$file: $what"
    failed=1
}

# refuse FILE WHAT PATTERN READELF_OPTION...
refuse()
{
    file=$1
    what=$2
    pattern=$3
    shift 3
    LC_ALL=C "$READELF" -W "$@" "$file" | grep -Eq -- "$pattern" || return
    echo "$file: $what"
    failed=1
}

expect "$lsmctl" "is not position independent" 'Type: +DYN' -h
for file in "$lsmctl" "$shared"; do
    expect "$file" "has no read-only relocations" 'GNU_RELRO' -l
    expect "$file" "resolves symbols lazily" 'FLAGS_1.* NOW' -d
    expect "$file" "says nothing of its stack" 'GNU_STACK' -l
    refuse "$file" "has an executable stack" 'GNU_STACK .* RWE ' -l
    refuse "$file" "has memory both writable and executable" 'LOAD .* RWE ' -l
    refuse "$file" "relocates its code" 'TEXTREL' -d
    expect "$file" "has no guards on its stack" '__stack_chk_fail' --dyn-syms
    [ "$level" -eq 0 ] || expect "$file" "has no checked string functions" '__[a-z]+_chk' --dyn-syms
done

# The linker keeps the mark only when the C library's own objects have it; ours all do.
case $(uname -m) in
x86_64 | i?86) expect "$archive" "has jumps that are not marked" 'IBT, SHSTK' -n ;;
aarch64) expect "$archive" "has jumps that are not marked" 'BTI' -n ;;
esac
exit $failed

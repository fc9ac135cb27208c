#!/bin/sh
# Installs, and looks whether everything is there.
set -eu
build=$2
prefix=$3

rm -rf "$prefix"
cmake --install "$build" --prefix "$prefix" >/dev/null
cd "$prefix"
missing=0
for name in bin/lsmctl include/lsmkv.h share/man/man1/lsmctl.1 share/man/man3/lsmkv.3 \
    share/bash-completion/completions/lsmctl; do
    [ -s "$name" ] || {
        echo "missing: $name"
        missing=1
    }
done
for name in liblsmkv.so liblsmkv.so.0 liblsmkv.a lsmkv.pc lsmkvConfig.cmake \
    lsmkvConfigVersion.cmake; do
    [ -n "$(find . -name "$name")" ] || {
        echo "missing: $name"
        missing=1
    }
done
[ "$missing" -eq 0 ]

bin/lsmctl --version
bin/lsmctl put db a 1 --create -q
[ "$(bin/lsmctl get db a)" = 1 ]
rm -rf db

# Every command is in the man page and in the completion.
bin/lsmctl help | sed -n 's/^  \([a-z]*\)  *.*/\1/p' | while read -r command; do
    grep -Eq "^\.(BI|BR) \"?$command " share/man/man1/lsmctl.1 || {
        echo "the man page lacks $command"
        exit 1
    }
    grep -q "[ \"]$command[ \"]*" share/bash-completion/completions/lsmctl || {
        echo "the completion lacks $command"
        exit 1
    }
    # And every flag of it.
    bin/lsmctl help "$command" | sed -n 's/^  ....--\([a-z-]*\).*/\1/p' | while read -r flag; do
        escaped=$(echo "$flag" | sed 's/-/\\\\-/g')
        grep -q -e "$escaped" share/man/man1/lsmctl.1 || {
            echo "the man page lacks --$flag of $command"
            exit 1
        }
        grep -q -e "--$flag" share/bash-completion/completions/lsmctl || {
            echo "the completion lacks --$flag of $command"
            exit 1
        }
    done
done

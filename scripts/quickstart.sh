#!/bin/sh
# Builds lsmkv and shows it at work on the package database of this machine. Called
# by `make quickstart`, which installs what the build needs.
set -eu

build=${BUILD:-build}
db=$build/quickstart.db
lsmctl=$build/release/tools/lsmctl/lsmctl
quickstart=$build/release/tools/quickstart/quickstart

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
else
    bold= dim= plain=
fi

chapter()
{
    printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

# run_lsmctl ARGUMENT...: shows the command under its short name, and its output
run_lsmctl()
{
    printf '  %s$ lsmctl %s%s\n' "$dim" "$*" "$plain"
    "$lsmctl" "$@" >"$build/quickstart.out" 2>&1 || {
        code=$?
        cat "$build/quickstart.out"
        echo "  lsmctl ended with exit code $code" >&2
        exit 1
    }
    sed 's/^/    /' "$build/quickstart.out"
}

printf '%slsmkv quickstart%s: building (a minute at most)\n' "$bold" "$plain"
scripts/configure.sh release
rm -rf "$db"

chapter "1. Load the dpkg database into $db"
"$quickstart" load "$db"

chapter "2. Look things up"
run_lsmctl get -k files "$db" /usr/bin/env
run_lsmctl count -k files "$db"
run_lsmctl scan -k files "$db" --prefix /etc/ --limit 4
run_lsmctl get -k packages "$db" dpkg --raw | sed -n '1,6p'

chapter "3. Transactions over both keyspaces"
"$quickstart" transactions "$db"

chapter "4. kill -9 in the middle of a second load"
"$quickstart" crash "$db"

chapter "5. Move everything from the log into tables, and check every byte"
run_lsmctl compact "$db"
run_lsmctl verify "$db"

chapter "6. The database at a glance"
run_lsmctl info "$db"

chapter "Done."
printf '  The database stays in %s; `%s help` shows what to do with it.\n' "$db" "$lsmctl"

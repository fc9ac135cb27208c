#!/bin/sh
# The quickstart without its words; skipped where there is no dpkg database.
set -eu
quickstart=$1
lsmctl=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

[ -s /var/lib/dpkg/status ] || exit 77
cd "$dir"
"$quickstart" load db
"$quickstart" transactions db
"$quickstart" crash db
"$lsmctl" verify db -q >/dev/null
packages=$(grep -c '^Package:' /var/lib/dpkg/status)
# hello-ng and greeter have come; the names of two architectures may be one.
[ "$("$lsmctl" count -k packages db)" -le $((packages + 2)) ]
[ "$("$lsmctl" get -k files db /opt/bin/hello)" = hello-ng ]

#!/bin/sh
# The one list of Debian packages that lsmkv needs.
#
#   scripts/deps.sh build   what a build and the quickstart need
#   scripts/deps.sh check   the above, and what the tests need
#   scripts/deps.sh coverage   what check needs, and what measures what the tests reach
#   scripts/deps.sh soak    what check needs, and valgrind
#
# Installs what is missing with apt-get, asking nothing. Without root it prints
# the one command to run instead, and fails.
set -eu

build_packages="gcc make cmake pkg-config libc6-dev libzstd-dev libxxhash-dev libcjson-dev"
check_packages="$build_packages clang libclang-rt-14-dev libcriterion-dev g++ e2fsprogs xfsprogs btrfs-progs"
coverage_packages="$check_packages gcovr python3"
soak_packages="$check_packages valgrind"

case "${1:-check}" in
build) packages=$build_packages ;;
check) packages=$check_packages ;;
coverage) packages=$coverage_packages ;;
soak) packages=$soak_packages ;;
*)
    echo "usage: scripts/deps.sh [build|check|coverage|soak]" >&2
    exit 2
    ;;
esac

missing=
for package in $packages; do
    state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$state" = "install ok installed" ] || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "lsmkv needs these Debian packages; install them with" >&2
    echo "    sudo apt-get install -y$missing" >&2
    exit 1
fi

echo "installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update -q && apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "installing packages failed; the log is above" >&2
    exit 1
fi

#!/bin/sh
# The tests on other kinds of machines: scripts/portable.sh [MACHINE...]
#
#   arm64   64 bits, little-endian; emulated by qemu
#   i386    32 bits, little-endian; run by this machine itself
#   s390x   64 bits, big-endian; emulated by qemu
#   other   this machine, where `char` is unsigned and a signed overflow is a trap
#
# clang compiles for all of them. Libraries, linkers and emulators are packages of Debian, unpacked
# below build/portable: nothing is installed, and root is not needed. On each machine run the tests
# of all units (with the stand-in for Criterion), the cases of lsmctl and a small share of the
# campaigns. Then databases change hands: one written here is read, verified and written to there,
# and one written there is read here; what they hold is compared as text.
#
# Prints one table; the logs stay in build/portable. A machine that cannot be had is SKIPPED and
# says why. Fails if anything did on the others.
set -u

build=${BUILD:-build}
mkdir -p "$build/portable" || exit 1
top=$(cd "$build/portable" && pwd)
bin=$top/bin
jobs=${JOBS:-$(nproc)}
table=$top/table
failed=0

# The same random numbers each time, as in `make check`.
LSM_SEED=${LSM_SEED:-1}
export LSM_SEED

# Rounds of each campaign, and on an emulated machine, which is some twenty times slower. There
# the longest tests of units, which try the same over and over, are left out.
campaigns='explore:9:--thin:400 metamorphic:40 cursors:1:--keys:20000:--cursors:1000 fault_loops:60
    damage_bytes:2 damage_blocks:4 damage_salvage:3 salvage_model:8 isolation:1'
campaigns_emulated='explore:1:--thin:400 metamorphic:6 cursors:1:--keys:3000:--cursors:100 fault_loops:6
    damage_bytes:1 damage_blocks:1 damage_salvage:1 salvage_model:2 isolation:1'
too_long='test_(log_crash|manifest_crash|reducer|bounds|table_damage|cursor_model|read_set)'

# describe MACHINE: what sets it apart
describe()
{
    debian= triplet= processor= loader= emulator= flags=
    case $1 in
    arm64)
        debian=arm64 triplet=aarch64-linux-gnu processor=aarch64
        loader=/lib/ld-linux-aarch64.so.1 emulator=$bin/qemu-aarch64
        ;;
    i386)
        debian=i386 triplet=i386-linux-gnu processor=i686 loader=/lib/ld-linux.so.2
        ;;
    s390x)
        debian=s390x triplet=s390x-linux-gnu processor=s390x
        loader=/lib/ld64.so.1 emulator=$bin/qemu-s390x
        ;;
    other) flags='-funsigned-char -ftrapv' ;;
    *)
        echo "usage: scripts/portable.sh [arm64|i386|s390x|other]..." >&2
        exit 2
        ;;
    esac
    root=$top/$1/root
    dir=$top/$1/build
}

# --- packages, without installing them ---

# apt ARCHITECTURE STATUS ARGUMENT...: apt-get for that architecture, from where this machine has
# its own packages; the file STATUS lists what is installed
apt()
{
    state=$top/apt/$1
    architecture=$1
    status=$2
    shift 2
    apt-get -q -y -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" \
        -o "Dir::State=$state" -o "Dir::State::status=$status" -o "Dir::Cache=$state" \
        -o "APT::Sandbox::User=$(id -un)" -o APT::Install-Recommends=0 -o Debug::NoLocking=1 "$@"
}

# fetch ARCHITECTURE STATUS DIRECTORY PACKAGE...: unpacks packages and what they need
fetch()
{
    [ -f "$3/complete" ] && return 0
    architecture=$1 status=$2 directory=$3
    shift 3
    state=$top/apt/$architecture
    rm -rf "$state" "$directory"
    mkdir -p "$state/lists/partial" "$state/archives/partial" "$directory" || return 1
    apt "$architecture" "$status" update || return 1
    apt "$architecture" "$status" --download-only install "$@" || return 1
    for package in "$state"/archives/*.deb; do
        dpkg-deb -x "$package" "$directory" || return 1
    done
    # Absolute links would lead back to this machine.
    find "$directory" -type l -lname '/*' | while read -r link; do
        ln -srf "$directory$(readlink "$link")" "$link" || exit 1
    done || return 1
    : >"$directory/complete"
}

# wrap NAME COMMAND...: a program $bin/NAME that runs COMMAND
wrap()
{
    name=$1
    shift
    printf '#!/bin/sh\nexec %s "$@"\n' "$*" >"$bin/$name" && chmod +x "$bin/$name"
}

# What is the same for all machines: linkers and emulators. clang finds a linker by its name.
fetch_tools()
{
    tools=$top/tools
    mkdir -p "$top/apt" "$bin" || return 1
    : >"$top/apt/nothing"
    fetch "$(dpkg --print-architecture)" /var/lib/dpkg/status "$tools" qemu-user-static \
        binutils-aarch64-linux-gnu binutils-s390x-linux-gnu || return 1
    for tool in "$tools"/usr/bin/*-linux-gnu-*; do
        wrap "$(basename "$tool")" env "LD_LIBRARY_PATH=$tools/usr/lib/$(gcc -print-multiarch)" "$tool"
    done
    wrap i386-linux-gnu-ld ld -m elf_i386
    for tool in ar nm objcopy ranlib; do
        wrap "i386-linux-gnu-$tool" "$tool"
    done
    for machine in aarch64 s390x; do
        wrap "qemu-$machine" "$tools/usr/bin/qemu-$machine-static"
    done
}

# --- building and testing ---

# configure [OPTION...]: for the machine described
configure()
{
    generator=
    command -v ninja >/dev/null 2>&1 && [ ! -f "$dir/CMakeCache.txt" ] && generator="-G Ninja"
    cmake -S . -B "$dir" $generator -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG='-O2 -g' \
        -DCMAKE_C_COMPILER=clang -DLSM_BUILD_TESTS=ON -DLSM_WERROR=ON -DLSM_CRITERION=OFF "$@"
}

# Programs find loader and libraries where they were unpacked, whoever runs them.
configure_foreign()
{
    libraries=$root/usr/lib/$triplet:$root/lib/$triplet
    PKG_CONFIG_LIBDIR=$root/usr/lib/$triplet/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root \
        configure -DCMAKE_SYSTEM_NAME=Linux "-DCMAKE_SYSTEM_PROCESSOR=$processor" \
        "-DCMAKE_SYSROOT=$root" "-DCMAKE_C_COMPILER_TARGET=$triplet" \
        "-DCMAKE_LINKER=$bin/$triplet-ld" "-DCMAKE_OBJCOPY=$bin/$triplet-objcopy" \
        "-DCMAKE_NM=$bin/$triplet-nm" "-DCMAKE_AR=$bin/$triplet-ar" \
        "-DCMAKE_RANLIB=$bin/$triplet-ranlib" \
        "-DCMAKE_CROSSCOMPILING_EMULATOR=$emulator" "-DPKG_CONFIG_EXECUTABLE=$(command -v pkg-config)" \
        "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--dynamic-linker=$root$loader -Wl,--disable-new-dtags,-rpath,$libraries"
}

compile()
{
    if [ -n "$triplet" ]; then
        configure_foreign
    else
        configure "-DCMAKE_C_FLAGS=$flags"
    fi && cmake --build "$dir" -j "$jobs"
}

# Prints `PASSED of ALL`.
run_units()
{
    ctest --test-dir "$dir" -j "$jobs" --output-on-failure -LE campaign \
        -E "^(cli|install|stutter|quickstart)/${emulator:+|$too_long}" >"$dir/units.log" 2>&1
    sed -n 's/.* tests passed, \([0-9]*\) tests failed out of \([0-9]*\)/\1 \2/p' "$dir/units.log" |
        while read -r bad all; do echo "$((all - bad)) of $all"; done
}

run_cases()
{
    passed=0 all=0
    for case in tests/cli/cases/*.sh; do
        all=$((all + 1))
        sh tests/cli/run_case.sh "$bin/lsmctl-$1" "$PWD/$case" \
            >"$dir/case.$(basename "$case" .sh).log" 2>&1 && passed=$((passed + 1))
    done
    echo "$passed of $all"
}

run_campaigns()
{
    passed=0 all=0
    [ -n "$emulator" ] && campaigns=$campaigns_emulated
    for campaign in $campaigns; do
        name=${campaign%%:*}
        all=$((all + 1))
        program=$(sed -n "/\/$name\$/p" "$dir/campaigns.txt")
        $emulator "$program" --rounds $(echo "${campaign#*:}" | tr : ' ') \
            >"$dir/$name.log" 2>&1 && passed=$((passed + 1))
    done
    echo "$passed of $all"
}

# --- databases that change hands ---

# Some thousand keys of two keyspaces: short values, long ones, some that do not compress.
make_texts()
{
    awk 'BEGIN {
        for (i = 0; i < 4000; i++)
            printf "key/%05d\tvalue %d of the first text\n", i * 7 % 4000, i * i
    }' >"$top/first.tsv"
    awk 'BEGIN {
        for (i = 0; i < 300; i++) {
            printf "key/%05d\\x00\\xff\t", i * 13
            for (j = 0; j < 200; j++)
                printf "%d,", (i * 7919 + j * 104729) % 65537
            printf "\n"
        }
    }' >"$top/second.tsv"
}

# fill LSMCTL DB: tables of two keyspaces, separated values in the log
fill()
{
    "$1" load -q "$2" "$top/first.tsv" && "$1" load -q -k other "$2" "$top/second.tsv" &&
        "$1" compact -q "$2"
}

# extend LSMCTL DB: more of both, and a deletion, which stay in the log
extend()
{
    "$1" load -q "$2" "$top/second.tsv" && "$1" load -q -k third "$2" "$top/first.tsv" &&
        "$1" del -q "$2" key/00007
}

# agree LSMCTL LSMCTL DB: both find it whole, and the same in it
agree()
{
    "$1" verify -q "$3" >&2 && "$2" verify -q "$3" >&2 && "$1" dump -q "$3" >"$3.one" &&
        "$2" dump -q "$3" >"$3.two" && cmp "$3.one" "$3.two" >&2
}

# hand_over LSMCTL LSMCTL DB: the first makes it, the second goes on
hand_over()
{
    rm -rf "$3" && fill "$1" "$3" && agree "$1" "$2" "$3" && extend "$2" "$3" &&
        agree "$1" "$2" "$3"
}

# recover LSMCTL LSMCTL DB: the second opens what the first was killed over
recover()
{
    rm -rf "$3"
    "$1" bench "$3" fillrandom --create --duration 60 --value-size 1500 -o memtable_size=1MiB >&2 &
    killed=$!
    sleep 2
    kill -KILL "$killed"
    wait "$killed"
    "$2" compact -q "$3" && agree "$1" "$2" "$3"
}

# Prints `PASSED of 5`.
run_exchange()
{
    here=$build/release/tools/lsmctl/lsmctl there=$bin/lsmctl-$1 db=$top/$1/db
    passed=0
    hand_over "$here" "$there" "$db.ours" && passed=$((passed + 1))
    hand_over "$there" "$here" "$db.theirs" && passed=$((passed + 1))
    cmp "$db.ours.one" "$db.theirs.one" >&2 && passed=$((passed + 1))
    recover "$here" "$there" "$db.killed" && passed=$((passed + 1))
    recover "$there" "$here" "$db.killed" && passed=$((passed + 1))
    echo "$passed of 5"
}

# --- the table ---

# row MACHINE UNITS CASES CAMPAIGNS EXCHANGE
row()
{
    printf '%-8s %12s %12s %12s %12s\n' "$@" >>"$table"
}

skip()
{
    echo "SKIPPED $1: $2; see $top/$1/$3.log"
    echo "$1: SKIPPED, $2" >>"$table"
}

# whole "N of M"...: whether N is M, and not 0, in all of them
whole()
{
    for result; do
        [ -n "$result" ] && [ "${result%% of *}" = "${result##* of }" ] && [ "$result" != "0 of 0" ] ||
            return 1
    done
}

# run MACHINE
run()
{
    describe "$1"
    mkdir -p "$dir"
    if [ -n "$triplet" ] && ! fetch "$debian" "$top/apt/nothing" "$root" libc6-dev libgcc-12-dev \
        libzstd-dev libxxhash-dev libcjson-dev >"$top/$1/fetch.log" 2>&1; then
        skip "$1" "its libraries cannot be had" fetch
        return
    fi
    echo "building: $1"
    if ! compile >"$top/$1/build.log" 2>&1; then
        grep -E '(error|warning): ' "$top/$1/build.log" | head -n 40
        echo "$1: does not build; see $top/$1/build.log" | tee -a "$table"
        failed=1
        return
    fi
    wrap "lsmctl-$1" $emulator "$dir/tools/lsmctl/lsmctl"
    echo "testing: $1"
    units=$(run_units) cases=$(run_cases "$1") campaigns_passed=$(run_campaigns)
    exchange=$(run_exchange "$1" 2>"$top/$1/exchange.log")
    row "$1" "$units" "$cases" "$campaigns_passed" "$exchange"
    whole "$units" "$cases" "$campaigns_passed" "$exchange" || failed=1
}

: >"$table"
row machine units lsmctl campaigns exchange
PATH=$bin:$PATH
if ! { mkdir -p "$bin" && fetch_tools; } >"$top/tools.log" 2>&1; then
    echo "SKIPPED all but this machine: no linkers and emulators; see $top/tools.log" | tee -a "$table"
    set -- other
fi
scripts/configure.sh release lsmctl || exit 1
make_texts
for machine in ${*:-arm64 i386 s390x other}; do
    run "$machine"
done
cat "$table"
[ "$failed" -eq 0 ]

#!/bin/sh
# find_package(lsmkv), both targets.
set -eu
source=$1
prefix=$3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

cd "$dir"
sh "$source/tests/cli/readme_example.sh" "$source" >app.c
cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.22)
project(app LANGUAGES C)
find_package(lsmkv 0.1 REQUIRED)
add_executable(app_shared app.c)
target_link_libraries(app_shared PRIVATE lsmkv::lsmkv)
add_executable(app_static app.c)
target_link_libraries(app_static PRIVATE lsmkv::lsmkv_static)
END
cmake -S . -B build -DCMAKE_PREFIX_PATH="$prefix" >log 2>&1 || { cat log; exit 1; }
cmake --build build >log 2>&1 || { cat log; exit 1; }
for app in app_shared app_static; do
    rm -rf example.db
    [ "$(build/$app)" = owner ]
done

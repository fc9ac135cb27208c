#!/bin/sh
# The header stands alone, in C without warnings and in C++.
set -eu
prefix=$3
flags="-fsyntax-only -Wall -Wextra -Werror -pedantic -I$prefix/include"

echo '#include <lsmkv.h>' | "${CC:-cc}" $flags -std=c11 -x c -
echo '#include <lsmkv.h>' | "${CXX:-c++}" $flags -std=c++17 -x c++ -

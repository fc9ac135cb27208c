#!/bin/sh
# LSM_NOT_FOUND is what an application learns of a key, a keyspace or a database. Below src/db no
# function has it: that a file is not there, or that nothing is to be done, is told otherwise.
#
#   absence.sh SOURCE_DIRECTORY
set -u

found=$(grep -rn LSM_NOT_FOUND "$1/src" --include='*.[ch]' |
    grep -v -e "^$1/src/db/" -e "^$1/src/base/status.c:" -e ':[0-9]*: *//')
[ -z "$found" ] && exit 0
echo "LSM_NOT_FOUND below src/db:"
echo "$found"
exit 1

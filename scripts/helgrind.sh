#!/bin/sh
# Helgrind: data races of the modules whose threads meet by locks alone, and the order of all
# locks of the engine.
#
# It follows mutexes and conditions, not C11 atomics: a release that another thread acquires is no
# order to it. So every report counts where nothing but locks is shared:
#
#   sync, scheduler            env_scheduler
#   unlinker, eventlog,        env_locked
#   posix_lock
#   chain, log, log_sync,      vlog_log locks
#   segment, memory env
#   children                   db_children
#
# ThreadSanitizer has the others, which share atomics: epoch, alloc, histogram (counters and
# reclamation), fd_cache, poison, skiplist and memtable, cache, residency and tables, version and
# view and manifest, throttle and compactor (they work on views), oracle, conflict, commit_ring,
# keyspaces, stats, the writer and db (which publish by them).
#
# Of programs that run those too, all but data races counts: locks taken in two orders, unlocked
# by another thread, destroyed while held.
set -eu

build=${BUILD:-build}
tests=$build/debug/tests
report=$build/debug/helgrind.xml
locked="env_scheduler env_locked vlog_log:locks db_children"
ordered="db_mixed:10 compaction_jobs sstable_table txn_conflict vlog_log:locks"

# watch PROGRAM[:ARGUMENT] OPTION...: runs it under Helgrind
watch()
{
    program=${1%%:*} argument=${1#"${1%%:*}"}
    shift
    valgrind --tool=helgrind --suppressions=tests/stress/helgrind.supp --error-limit=no "$@" \
        "$tests/$program" ${argument#:}
}

scripts/configure.sh debug $(printf '%s\n' $locked $ordered | sed 's/:.*//' | sort -u)
for run in $locked; do
    watch "$run" -q --error-exitcode=1
done
for run in $ordered; do
    watch "$run" -q --history-level=none --xml=yes --xml-file="$report"
    if grep '<kind>' "$report" | grep -v '<kind>Race</kind>'; then
        echo "helgrind: $run misuses locks: $report" >&2
        exit 1
    fi
done
echo "helgrind: nothing found in $(echo $locked | wc -w) programs, no lock out of order in" \
    "$(echo $ordered | wc -w)"

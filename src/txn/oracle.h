// oracle.h -- the clock of commits and the snapshots that are open.
//
// Commit timestamps ascend; the writer role hands them out and publishes them once
// everything below is in the memtables. A snapshot is a slot that holds a
// timestamp, so that no job drops a version it can see, and the wall-clock second
// at which it judges expiry: what the system's clock says when it is registered. That
// may be wrong, and step in both directions; what is dropped for good goes by the
// undoubted time (timekeeper.h).
//
// Registering and dropping never miss each other: a slot is set to a published
// timestamp, then drop_floor is read, and if that is higher a newer timestamp is
// taken; a job raises drop_floor to the published timestamp, then reads the slots.
// All four accesses are seq_cst. The same goes for the second and expiry_floor, which
// falls again when the job ends.

#ifndef LSM_TXN_ORACLE_H
#define LSM_TXN_ORACLE_H

#include "env/sync.h"
#include "txn/timekeeper.h"

struct oracle;

// `last_ts` is the highest timestamp ever handed out.
lsm_status oracle_new(struct env *env, uint64_t last_ts, const struct clock_history *history,
                      struct oracle **out);
void oracle_free(struct oracle *oracle);

// [role] The next commit timestamp; never handed out again, even if the commit fails.
uint64_t oracle_next_ts(struct oracle *oracle);
// [role] All commits up to `ts` may be read from now on (release).
void oracle_publish(struct oracle *oracle, uint64_t ts);
// The newest timestamp that may be read (acquire). Load the view first.
uint64_t oracle_published(const struct oracle *oracle);

// What the system's clock says; whoever writes reads it here, so that a step back is seen
// before anything is judged by what was known earlier.
uint64_t oracle_wall_ns(struct oracle *oracle);
uint64_t oracle_wall_seconds(struct oracle *oracle);
// An entry is written that has expired at `expiry` seconds, by the clock: its writer takes it to
// be earlier.
void oracle_doubt(struct oracle *oracle, uint64_t expiry);
// What is known of the system's clock.
struct clock_state oracle_clock(struct oracle *oracle);

// A registered snapshot. Owned by the caller until oracle_unregister().
struct snapshot_slot;

// Registers a snapshot of everything published. Takes no lock but to make room for
// more slots than were ever open at once (LSM_NO_MEMORY). `tag` may be NULL, or is
// copied (63 bytes at most) for listings.
lsm_status oracle_register(struct oracle *oracle, const char *tag, struct snapshot_slot **out);
void oracle_unregister(struct oracle *oracle, struct snapshot_slot *slot);
uint64_t snapshot_slot_ts(const struct snapshot_slot *slot);
uint64_t snapshot_slot_wall(const struct snapshot_slot *slot); // seconds

// What a merge may drop by: no present or future snapshot reads below `ts`, or, while it is
// held, judges expiry before `wall`, a second that is past without doubt (0 while a snapshot's
// is not captured yet).
struct oldest_snapshot {
    uint64_t ts;
    uint64_t wall;
};

// Raises drop_floor, then takes the minimum over the slots. Any thread. Nothing may be dropped
// by `wall`: it tells what is worth a merge.
struct oldest_snapshot oracle_oldest(struct oracle *oracle);
// The same without the second.
uint64_t oracle_oldest_ts(struct oracle *oracle);

// For a job that drops: no snapshot is registered with a second below `oldest->wall` until the
// job ends, which it does when what it made is in force, or is given up. LSM_NO_MEMORY.
struct drop_hold;
lsm_status oracle_begin_dropping(struct oracle *oracle, struct oldest_snapshot *oldest,
                                 struct drop_hold **out);
void oracle_end_dropping(struct oracle *oracle, struct drop_hold *hold); // NULL is nothing

struct snapshot_info {
    uint64_t ts;
    uint64_t age_ns;
    char tag[64];
};

// Open snapshots, oldest first: fills at most `capacity`, returns how many there are.
size_t oracle_list(struct oracle *oracle, struct snapshot_info *infos, size_t capacity);

#endif

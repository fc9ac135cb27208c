// oracle.h -- the clock of commits and the snapshots that are open.
//
// Commit timestamps ascend; the writer role hands them out and publishes them once
// everything below is in the memtables. A snapshot is a slot that holds a
// timestamp, so that no job drops a version it can see, and the wall-clock second
// at which it judges expiry.
//
// Registering and dropping never miss each other: a slot is set to a published
// timestamp, then drop_floor is read, and if that is higher a newer timestamp is
// taken; a job raises drop_floor to the published timestamp, then reads the slots.
// All four accesses are seq_cst.

#ifndef LSM_TXN_ORACLE_H
#define LSM_TXN_ORACLE_H

#include "env/env.h"
#include "env/sync.h"

struct oracle;

// `last_ts` is the highest timestamp ever handed out, `last_wall_ns` the latest wall
// clock known: time as the oracle tells it never lies before.
lsm_status oracle_new(struct env *env, uint64_t last_ts, uint64_t last_wall_ns,
                      struct oracle **out);
void oracle_free(struct oracle *oracle);

// [role] The next commit timestamp; never handed out again, even if the commit fails.
uint64_t oracle_next_ts(struct oracle *oracle);
// [role] All commits up to `ts` may be read from now on (release).
void oracle_publish(struct oracle *oracle, uint64_t ts);
// The newest timestamp that may be read (acquire). Load the view first.
uint64_t oracle_published(const struct oracle *oracle);

// Wall clock, nanoseconds since 1970, that never steps back within the process nor
// below `last_wall_ns`. A jump ahead of more than a day over the last persisted time
// is believed only once a later reading, of at least a minute later by the monotonic
// clock, confirms it: until then oracle_persistable_wall_ns() stays behind.
uint64_t oracle_wall_ns(struct oracle *oracle);
uint64_t oracle_wall_seconds(struct oracle *oracle);
uint64_t oracle_persistable_wall_ns(struct oracle *oracle);

// A registered snapshot. Owned by the caller until oracle_unregister().
struct snapshot_slot;

// Registers a snapshot of everything published. Takes no lock but to make room for
// more slots than were ever open at once (LSM_NO_MEMORY). `tag` may be NULL, or is
// copied (63 bytes at most) for listings.
lsm_status oracle_register(struct oracle *oracle, const char *tag, struct snapshot_slot **out);
void oracle_unregister(struct oracle *oracle, struct snapshot_slot *slot);
uint64_t snapshot_slot_ts(const struct snapshot_slot *slot);
uint64_t snapshot_slot_wall(const struct snapshot_slot *slot); // seconds

// What a merge may drop by: no present or future snapshot reads below `ts` or judges
// expiry before `wall` (0 while a snapshot's second is not captured yet).
struct oldest_snapshot {
    uint64_t ts;
    uint64_t wall;
};

// Raises drop_floor, then takes the minimum over the slots. Any thread.
struct oldest_snapshot oracle_oldest(struct oracle *oracle);

struct snapshot_info {
    uint64_t ts;
    uint64_t age_ns;
    char tag[64];
};

// Open snapshots, oldest first: fills at most `capacity`, returns how many there are.
size_t oracle_list(struct oracle *oracle, struct snapshot_info *infos, size_t capacity);

#endif

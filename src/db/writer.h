// writer.h -- the one place where commits become part of the database.
//
//   request -> queue -> role: validate, stamp, log, sync, memtable, publish -> done
//
// The writer is a role held by one thread at a time, so that timestamp order is log
// order is visibility order. A caller that finds the role free takes it on its own
// thread; what queues meanwhile forms the next group, led by its oldest waiting
// thread, or by the writer job when nobody waits.

#ifndef LSM_DB_WRITER_H
#define LSM_DB_WRITER_H

#include "env/scheduler.h"
#include "manifest/view.h"
#include "txn/conflict.h"
#include "vlog/log.h"

struct lsm_db;

enum request_kind {
    REQUEST_COMMIT,
    REQUEST_SWITCH, // make the active memtable immutable, if it holds anything
    REQUEST_SETTLE, // the same, and have the log give back what it does not use
    REQUEST_DROP,   // stamp the drop of a keyspace
};

enum request_state {
    REQUEST_QUEUED,
    REQUEST_LEADS, // its waiting thread is to take the role
    REQUEST_DONE,
};

// On the stack of a thread that waits for it, or owned by whoever `on_done` frees it.
struct write_request {
    enum request_kind kind;

    // A commit: finished frame, and the keys it writes, for the history.
    struct commit_frame frame;
    struct conflict_write *writes; // `one_write` while there is only one
    size_t write_count;
    size_t write_capacity;
    struct conflict_write one_write;
    size_t keyspace_count; // different ones in `writes`
    bool is_sync;          // acknowledge when durable
    // What is left to validate: reads (may be NULL) and, with `checks_writes`, writes,
    // against commits after `validated_ts`.
    const struct read_set *reads;
    bool checks_writes;
    uint64_t validated_ts;

    struct keyspace *keyspace; // of a drop

    // Called by the role, outside the queue's mutex, instead of waking a thread.
    void (*on_done)(struct write_request *request);

    // The outcome; for the waiting thread once `state` is REQUEST_DONE.
    struct failure failure;
    uint64_t ts;

    // The writer's, under its mutex.
    enum request_state state;
    bool is_accepted; // the role's: validated, part of the append
    struct cond changed;
    struct write_request *next;
};

struct writer {
    struct lsm_db *db;
    struct job job; // leads when only requests without a thread are queued

    struct mutex mu; // rank LOCK_WRITER; guards the fields below and requests' states
    struct write_request *oldest;
    struct write_request *newest;
    bool is_role_taken;
    struct cond idle; // nothing is queued and the role is free

    _Atomic uint64_t queued_bytes; // for memtables, of requests not yet done; relaxed
};

void writer_init(struct writer *writer, struct lsm_db *db);
// Waits until nothing is queued, and retires the job.
void writer_finish(struct writer *writer);
void writer_release(struct writer *writer);

void write_request_init(struct write_request *request, enum request_kind kind);
// Releases the frame and the writes; what they borrow is the caller's.
void write_request_release(struct write_request *request);

// Pays the back-pressure for a finished commit: waits, or with `no_wait` returns LSM_BUSY naming
// the cause. Before queueing; the caller holds no lock and is in no epoch section.
lsm_status writer_admit(struct writer *writer, const struct write_request *request, bool no_wait);

// Queues the request and waits for its outcome, leading a group if the role is free.
lsm_status writer_run(struct writer *writer, struct write_request *request);

// Queues a request with `on_done`; returns at once.
void writer_submit(struct writer *writer, struct write_request *request);

#endif

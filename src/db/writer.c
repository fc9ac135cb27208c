#include "db/writer.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/container.h"
#include "db/db.h"
#include "db/write_group.h"

// A group takes requests until it holds this many bytes: enough to share a sync, few
// enough not to hold the first of them up. (RocksDB uses the same bound.)
#define GROUP_BYTES_MAX (UINT64_C(1) << 20)

static void writer_job_run(struct job *job);

void writer_init(struct writer *writer, struct lsm_db *db)
{
    writer->db = db;
    writer->oldest = NULL;
    writer->newest = NULL;
    writer->is_role_taken = false;
    atomic_store_explicit(&writer->queued_bytes, 0, memory_order_relaxed);
    mutex_init(&writer->mu, LOCK_WRITER);
    cond_init(&writer->idle);
    job_init(&writer->job, "writer", JOB_WRITER, writer_job_run);
}

void writer_release(struct writer *writer)
{
    cond_release(&writer->idle);
    mutex_release(&writer->mu);
}

void write_request_init(struct write_request *request, enum request_kind kind)
{
    memset(request, 0, offsetof(struct write_request, changed));
    request->kind = kind;
    request->next = NULL;
    request->writes = &request->one_write;
    request->write_capacity = 1;
    commit_frame_init(&request->frame);
    cond_init(&request->changed);
}

void write_request_release(struct write_request *request)
{
    cond_release(&request->changed);
    commit_frame_release(&request->frame);
    if (request->writes != &request->one_write)
        mem_free(request->writes);
}

// --- the queue and the role ---

static void enqueue_locked(struct writer *writer, struct write_request *request)
{
    mutex_assert_held(&writer->mu);
    request->state = REQUEST_QUEUED;
    request->next = NULL;
    if (writer->newest != NULL)
        writer->newest->next = request;
    else
        writer->oldest = request;
    writer->newest = request;
    atomic_fetch_add_explicit(&writer->queued_bytes, request->frame.key_bytes,
                              memory_order_relaxed);
}

// Takes the oldest requests off the queue: a control request alone, commits together.
static struct write_request *take_group_locked(struct writer *writer)
{
    struct write_request *oldest = writer->oldest;
    struct write_request *last = oldest;
    uint64_t bytes = oldest->frame.size;

    mutex_assert_held(&writer->mu);
    if (oldest->kind == REQUEST_COMMIT) {
        while (last->next != NULL && last->next->kind == REQUEST_COMMIT &&
               bytes + last->next->frame.size <= GROUP_BYTES_MAX) {
            last = last->next;
            bytes += last->frame.size;
        }
    }
    writer->oldest = last->next;
    if (writer->oldest == NULL)
        writer->newest = NULL;
    last->next = NULL;
    return oldest;
}

// Gives the role to the next group's oldest thread, or to the job, or to nobody.
static void hand_over_locked(struct writer *writer)
{
    struct write_request *next = writer->oldest;

    mutex_assert_held(&writer->mu);
    if (next == NULL) {
        writer->is_role_taken = false;
        cond_broadcast(&writer->idle);
        return;
    }
    // A request without a thread is led by one behind it that has, else by the job.
    while (next != NULL && next->on_done != NULL)
        next = next->next;
    if (next != NULL) {
        next->state = REQUEST_LEADS;
        cond_signal(&next->changed);
    } else {
        writer->is_role_taken = false;
        scheduler_submit(writer->db->scheduler, &writer->job);
    }
}

// Tells the members of a finished group: those with a thread may be gone at once, those
// without are put behind `*detached`. Unless the leader `keeps_role` for another group, the
// role passes on.
static void complete_group(struct writer *writer, struct write_request *oldest,
                           const struct write_request *own, bool keeps_role,
                           struct write_request ***detached)
{
    mutex_lock(&writer->mu);
    for (struct write_request *r = oldest, *next; r != NULL; r = next) {
        next = r->next;
        atomic_fetch_sub_explicit(&writer->queued_bytes, r->frame.key_bytes, memory_order_relaxed);
        if (r->on_done != NULL) {
            r->next = NULL;
            **detached = r;
            *detached = &r->next;
        } else {
            r->state = REQUEST_DONE;
            if (r != own)
                cond_signal(&r->changed);
        }
    }
    if (!keeps_role)
        hand_over_locked(writer);
    mutex_unlock(&writer->mu);
}

static bool group_contains(const struct write_request *oldest, const struct write_request *own)
{
    for (const struct write_request *r = oldest; r != NULL; r = r->next) {
        if (r == own)
            return true;
    }
    return false;
}

// Runs groups up to the one with `own` (NULL: one group). The caller holds the mutex and the
// role; on return it holds neither. Callbacks run last, when the role has passed on.
static void lead_unlock(struct writer *writer, const struct write_request *own)
{
    struct write_request *detached = NULL;
    struct write_request **detached_end = &detached;

    for (bool is_last = false; !is_last;) {
        struct write_request *group = take_group_locked(writer);

        is_last = own == NULL || group_contains(group, own);
        mutex_unlock(&writer->mu);
        write_group_run(writer->db, group);
        complete_group(writer, group, own, !is_last, &detached_end);
        if (!is_last)
            mutex_lock(&writer->mu);
    }
    for (struct write_request *r = detached, *next; r != NULL; r = next) {
        next = r->next;
        r->on_done(r);
    }
}

lsm_status writer_run(struct writer *writer, struct write_request *request)
{
    bool leads = false;

    mutex_lock(&writer->mu);
    enqueue_locked(writer, request);
    if (!writer->is_role_taken) {
        writer->is_role_taken = true;
        leads = true;
    }
    while (!leads && request->state == REQUEST_QUEUED)
        cond_wait(&request->changed, &writer->mu);
    if (leads || request->state == REQUEST_LEADS)
        lead_unlock(writer, request);
    else
        mutex_unlock(&writer->mu);
    return failure_raise(&request->failure);
}

void writer_submit(struct writer *writer, struct write_request *request)
{
    assert(request->on_done != NULL);
    mutex_lock(&writer->mu);
    enqueue_locked(writer, request);
    if (!writer->is_role_taken)
        scheduler_submit(writer->db->scheduler, &writer->job);
    mutex_unlock(&writer->mu);
}

// Leads one group; hand_over_locked() submits the job again while there is more.
static void writer_job_run(struct job *job)
{
    struct writer *writer = CONTAINER_OF(job, struct writer, job);

    mutex_lock(&writer->mu);
    if (writer->is_role_taken || writer->oldest == NULL) {
        mutex_unlock(&writer->mu);
        return;
    }
    writer->is_role_taken = true;
    lead_unlock(writer, NULL);
}

void writer_finish(struct writer *writer)
{
    mutex_lock(&writer->mu);
    while (writer->is_role_taken || writer->oldest != NULL) {
        // Under the manual scheduler the job is run here; nothing else can hold the role.
        if (scheduler_wait(writer->db->scheduler, &writer->mu, &writer->idle) != LSM_OK)
            break;
    }
    mutex_unlock(&writer->mu);
    scheduler_retire(writer->db->scheduler, &writer->job);
}

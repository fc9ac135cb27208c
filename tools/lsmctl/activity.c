#include "activity.h"

#include <stdlib.h>
#include <time.h>

#include "event_reader.h"

static uint64_t wall_ns_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void end_stall(struct activity *a, uint64_t at_ns)
{
    if (a->stall != STALL_NONE && at_ns > a->stall_since_ns)
        a->stalls[a->stall].ns += at_ns - a->stall_since_ns;
    a->stall = STALL_NONE;
}

static void take_stall(struct activity *a, const struct event *event)
{
    const lsm_slice *cause = event_find(event, "cause");
    const enum stall_cause before = a->stall;

    a->is_stall_known = true;
    end_stall(a, event->wall_ns);
    for (enum stall_cause i = STALL_NONE; cause != NULL && i < STALL_CAUSE_COUNT; i++)
        if (slice_equal(*cause, slice_of(stall_cause_name(i))))
            a->stall = i;
    if (a->stall != before) // it goes from slowed to stopped and back as one
        a->stalls[a->stall].count++;
    a->is_stopped = event_number(event, "stopped") != 0;
    a->stall_ns_per_kib = event_number(event, "ns_per_kib");
    a->stall_since_ns = event->wall_ns;
}

static void take_job(struct job_sums *sums, const struct event *event, const char *read,
                     const char *written)
{
    const uint64_t us = event_number(event, "us");
    const uint64_t ns = us < UINT64_MAX / 1000 ? us * 1000 : 0;

    sums->count++;
    sums->read_bytes += read == NULL ? 0 : event_number(event, read);
    sums->write_bytes += event_number(event, written);
    sums->ns += ns;
    sums->ns_max = ns > sums->ns_max ? ns : sums->ns_max;
    sums->last_ns = event->wall_ns;
}

static void take_error(struct activity *a, const struct event *event)
{
    const lsm_slice *message = event_find(event, "message");

    a->error_count++;
    a->last_error_ns = event->wall_ns;
    if (message != NULL)
        snprintf(a->last_error, sizeof a->last_error, "%.*s", (int)message->size,
                 (const char *)message->data);
}

static bool is_named(const struct event *event, const char *name)
{
    return slice_equal(event->name, slice_of(name));
}

static void take_event(struct activity *a, const struct event *event)
{
    if (is_named(event, "open")) {
        *a = (struct activity){
            .is_since_open = true, .is_stall_known = true, .since_ns = event->wall_ns};
    } else if (is_named(event, "stall")) {
        take_stall(a, event);
    } else if (is_named(event, "flush")) {
        take_job(&a->flushes, event, NULL, "bytes");
    } else if (is_named(event, "merge")) {
        take_job(&a->merges, event, "read_bytes", "written_bytes");
        a->merge_entries_dropped += event_number(event, "dropped");
    } else if (is_named(event, "move")) {
        take_job(&a->moves, event, NULL, "bytes");
    } else if (is_named(event, "error")) {
        take_error(a, event);
    } else if (is_named(event, "close")) {
        a->is_closed = true;
    }
    if (a->since_ns == 0)
        a->since_ns = event->wall_ns;
    a->last_ns = event->wall_ns;
}

struct reading {
    struct activity activity;
    struct event event;
    struct event_reader reader;
};

// event_line_fn.
static lsm_status take_line(void *ctx, lsm_slice line)
{
    struct reading *reading = ctx;

    if (event_parse(line, &reading->event))
        take_event(&reading->activity, &reading->event);
    return LSM_OK;
}

lsm_status activity_read(const char *database, bool is_running, struct activity *out)
{
    struct reading *reading = must_alloc(1, sizeof *reading);
    struct activity *a = &reading->activity;
    lsm_status status = event_reader_open(database, &reading->reader);

    if (status == LSM_OK) {
        status = event_reader_read(&reading->reader, take_line, reading);
        a->is_known = reading->reader.current >= 0 || reading->reader.old >= 0;
        event_reader_close(&reading->reader);
    }
    if (status == LSM_OK) {
        const enum stall_cause stall = a->stall;

        end_stall(a, is_running ? wall_ns_now() : a->last_ns);
        a->stall = is_running ? stall : STALL_NONE;
        *out = *a;
    }
    free(reading);
    return status;
}

struct stall_text activity_stall(const struct activity *a)
{
    struct stall_text out = {""};

    if (!a->is_stall_known)
        return out;
    if (a->stall == STALL_NONE)
        snprintf(out.text, sizeof out.text, "not held back");
    else if (a->is_stopped)
        snprintf(out.text, sizeof out.text, "stopped by %s since %s", stall_cause_name(a->stall),
                 human_time(a->stall_since_ns).text);
    else
        snprintf(out.text, sizeof out.text, "slowed by %s since %s, %s per KiB",
                 stall_cause_name(a->stall), human_time(a->stall_since_ns).text,
                 human_ns(a->stall_ns_per_kib).text);
    return out;
}

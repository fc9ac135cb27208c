#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/sim_state.h"

#define SITE_ROOM_FIRST 256

// --- names for reports ---

const char *sim_op_name(enum sim_op op)
{
    static const char *const names[SIM_OPS] = {"open",     "read",     "write",  "sync",
                                               "allocate", "truncate", "rename", "unlink",
                                               "dir-sync", "close",    "stat",   "list"};

    return names[__builtin_ctz((unsigned)op)];
}

const char *sim_kind_name(unsigned kind)
{
    static const char *const names[SIM_KINDS] = {
        [FILENAME_UNKNOWN] = "other",
        [FILENAME_SEGMENT] = "segment",
        [FILENAME_TABLE] = "table",
        [FILENAME_MANIFEST] = "manifest",
        [FILENAME_CURRENT] = "CURRENT",
        [FILENAME_CURRENT_NEW] = "CURRENT.new",
        [FILENAME_LOCK] = "LOCK",
        [FILENAME_OPTIONS] = "OPTIONS",
        [FILENAME_OPTIONS_NEW] = "OPTIONS.new",
        [FILENAME_EVENTS] = "events",
        [FILENAME_EVENTS_OLD] = "old-events",
        [SIM_DIRECTORY] = "directory",
    };

    return names[kind];
}

unsigned sim_kind_of(const char *name)
{
    uint64_t number;

    return (unsigned)filename_parse(name, &number);
}

// --- counting ---

static bool is_same_site(const struct sim_site_count *count, const struct sim_call *call)
{
    return count->site.address == call->site.address && count->site.caller == call->site.caller &&
           count->op == call->op && count->kind == call->kind;
}

// The place of the site in the table, empty or its own; there is an empty one.
static struct sim_site_count *find_site(struct sim *sim, const struct sim_call *call)
{
    struct random hash = {.state = (uint64_t)(uintptr_t)call->site.address ^
                                   ((uint64_t)(uintptr_t)call->site.caller << 16) ^
                                   ((uint64_t)call->op << 8) ^ call->kind};
    size_t i = (size_t)random_next(&hash) & (sim->site_room - 1);

    while (sim->sites[i].calls > 0 && !is_same_site(&sim->sites[i], call))
        i = (i + 1) & (sim->site_room - 1);
    return &sim->sites[i];
}

static void grow_sites(struct sim *sim)
{
    struct sim_site_count *old = sim->sites;
    const size_t old_room = sim->site_room;

    sim->site_room = old_room == 0 ? SITE_ROOM_FIRST : old_room * 2;
    sim->sites = must_zeroed(sim->site_room * sizeof *sim->sites);
    for (size_t i = 0; i < old_room; i++) {
        const struct sim_call call = {.op = old[i].op, .kind = old[i].kind, .site = old[i].site};

        if (old[i].calls > 0)
            *find_site(sim, &call) = old[i];
    }
    free(old);
}

// Counts the call, and returns where its faults are counted.
static struct sim_site_count *count_call_locked(struct sim *sim, const struct sim_call *call)
{
    struct sim_site_count *count;

    sim->counts.calls[__builtin_ctz((unsigned)call->op)][call->kind]++;
    if (sim->site_count * 2 >= sim->site_room)
        grow_sites(sim);
    count = find_site(sim, call);
    if (count->calls++ == 0) {
        sim->site_count++;
        count->site = call->site;
        count->op = call->op;
        count->kind = call->kind;
    }
    return count;
}

void sim_get_counts(const struct sim *sim, struct sim_counts *out)
{
    struct mutex *mu = (struct mutex *)&sim->mu;

    mutex_lock(mu);
    *out = sim->counts;
    mutex_unlock(mu);
}

size_t sim_get_sites(const struct sim *sim, struct sim_site_count *out, size_t room)
{
    struct mutex *mu = (struct mutex *)&sim->mu;
    size_t count = 0;

    mutex_lock(mu);
    for (size_t i = 0; i < sim->site_room; i++) {
        if (sim->sites[i].calls > 0 && count++ < room)
            out[count - 1] = sim->sites[i];
    }
    mutex_unlock(mu);
    return count;
}

// --- deciding ---

static lsm_status fail_without_power(const char *name)
{
    return lsm_fail(LSM_IO, "%s: the simulated power is off", name);
}

static bool fault_matches(const struct sim_fault *fault, const struct sim_call *call)
{
    if ((fault->ops & (unsigned)call->op) == 0)
        return false;
    if (fault->kinds != 0 && (fault->kinds & SIM_KIND(call->kind)) == 0)
        return false;
    return fault->name_part == NULL || strstr(call->name, fault->name_part) != NULL ||
           (call->other_name != NULL && strstr(call->other_name, fault->name_part) != NULL);
}

// Whether the fault hits this call, which matches it.
static bool is_hit(const struct sim_fault *fault, uint64_t matches)
{
    return matches == fault->at || (fault->for_ever && matches > fault->at);
}

static lsm_status begin_locked(struct sim *sim, const struct sim_call *call)
{
    struct sim_site_count *count;
    uint64_t matches;

    sim->is_faulted = false;
    if (atomic_load(&sim->has_crashed))
        return fail_without_power(call->name);
    if (call->changes_disk && atomic_fetch_add(&sim->call_count, 1) + 1 == sim->crash_at) {
        atomic_store(&sim->has_crashed, true);
        return fail_without_power(call->name);
    }
    count = count_call_locked(sim, call);
    if (!fault_matches(&sim->fault, call))
        return LSM_OK;
    matches = atomic_fetch_add(&sim->fault_matches, 1) + 1;
    if (!is_hit(&sim->fault, matches))
        return LSM_OK;
    sim->is_faulted = true;
    count->faults++;
    sim->counts.faults[__builtin_ctz((unsigned)call->op)][call->kind]++;
    atomic_fetch_add(&sim->fault_hits, 1);
    return lsm_fail(sim->fault.status, "%s: simulated failure of call %" PRIu64, call->name,
                    matches);
}

lsm_status sim_begin_and_lock(struct sim *sim, const struct sim_call *call)
{
    if (sim->call_hook != NULL && !sim_has_crashed(sim))
        sim->call_hook(sim->call_hook_ctx, sim, call);
    mutex_lock(&sim->mu);
    return begin_locked(sim, call);
}

void sim_set_call_hook(struct sim *sim, sim_call_hook hook, void *ctx)
{
    sim->call_hook = hook;
    sim->call_hook_ctx = ctx;
}

// --- faults ---

void sim_set_fault_locked(struct sim *sim, const struct sim_fault *fault)
{
    atomic_store(&sim->fault_matches, 0);
    sim->fault = (struct sim_fault){0};
    if (fault == NULL)
        return;
    sim->fault = *fault;
    if (fault->name_part != NULL) {
        (void)snprintf(sim->fault_name, sizeof sim->fault_name, "%s", fault->name_part);
        sim->fault.name_part = sim->fault_name;
    }
}

void sim_set_fault(struct sim *sim, const struct sim_fault *fault)
{
    mutex_lock(&sim->mu);
    sim_set_fault_locked(sim, fault);
    atomic_store(&sim->fault_hits, 0);
    mutex_unlock(&sim->mu);
}

uint64_t sim_fault_hits(const struct sim *sim)
{
    return atomic_load(&sim->fault_hits);
}

uint64_t sim_fault_matches(const struct sim *sim)
{
    return atomic_load(&sim->fault_matches);
}

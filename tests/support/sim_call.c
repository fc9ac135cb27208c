#include <inttypes.h>
#include <stdio.h>

#include "support/sim_state.h"

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
        [FILENAME_SALVAGING] = "SALVAGING",
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
    uint64_t matches;

    sim->is_faulted = false;
    if (atomic_load(&sim->has_crashed))
        return fail_without_power(call->name);
    if (call->changes_disk && atomic_fetch_add(&sim->call_count, 1) + 1 == sim->crash_at) {
        atomic_store(&sim->has_crashed, true);
        return fail_without_power(call->name);
    }
    if (!fault_matches(&sim->fault, call))
        return LSM_OK;
    matches = atomic_fetch_add(&sim->fault_matches, 1) + 1;
    if (!is_hit(&sim->fault, matches))
        return LSM_OK;
    sim->is_faulted = true;
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

bool sim_finds_nothing(const struct sim *sim, lsm_status status)
{
    return status != LSM_OK && sim->is_faulted && sim->fault.is_absent;
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

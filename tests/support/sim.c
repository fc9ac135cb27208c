#include "support/sim.h"

#include <assert.h>
#include <stdlib.h>

#include "support/sim_state.h"
#include "support/sim_survive.h"

#define DESCRIPTOR_LIMIT 1024
#define PROCESS_ID       1
#define FIRST_MONO_NS    UINT64_C(1000000000)
#define FIRST_BOOT_NS    UINT64_C(5000000000)
#define FIRST_WALL_NS    UINT64_C(1700000000000000000)

// --- the power ---

void sim_crash_at(struct sim *sim, uint64_t call)
{
    mutex_lock(&sim->mu);
    sim->crash_at = call == 0 ? 0 : atomic_load(&sim->call_count) + call;
    mutex_unlock(&sim->mu);
}

bool sim_has_crashed(const struct sim *sim)
{
    return atomic_load(&sim->has_crashed);
}

uint64_t sim_call_count(const struct sim *sim)
{
    return atomic_load(&sim->call_count);
}

void sim_restart(struct sim *sim, enum sim_survival survival, uint64_t seed_or_number)
{
    mutex_lock(&sim->mu);
    assert(sim->handle_count == 0 && "all is closed before the power returns");
    disk_survive(&sim->disk, survival, seed_or_number);
    sim->crash_at = 0;
    sim_set_fault_locked(sim, NULL);
    atomic_store(&sim->has_crashed, false);
    mutex_unlock(&sim->mu);
}

// --- the rest of the machine ---

static uint64_t read_locking(struct sim *sim, const uint64_t *clock)
{
    uint64_t ns;

    mutex_lock(&sim->mu);
    ns = *clock;
    mutex_unlock(&sim->mu);
    return ns;
}

static uint64_t sim_clock_mono_ns(struct env *env)
{
    return read_locking(sim_of(env), &sim_of(env)->mono_ns);
}

static uint64_t sim_clock_boot_ns(struct env *env)
{
    return read_locking(sim_of(env), &sim_of(env)->boot_ns);
}

static uint64_t sim_clock_wall_ns(struct env *env)
{
    return read_locking(sim_of(env), &sim_of(env)->wall_ns);
}

static lsm_status sim_random_bytes(struct env *env, void *to, size_t size)
{
    struct sim *sim = sim_of(env);

    mutex_lock(&sim->mu);
    random_fill(&sim->random, to, size);
    mutex_unlock(&sim->mu);
    return LSM_OK;
}

static uint64_t sim_process_id(struct env *env)
{
    (void)env;
    return PROCESS_ID;
}

static uint64_t sim_descriptor_limit(struct env *env)
{
    (void)env;
    return DESCRIPTOR_LIMIT;
}

void sim_advance(struct sim *sim, uint64_t ns)
{
    mutex_lock(&sim->mu);
    sim->mono_ns += ns;
    sim->boot_ns += ns;
    sim->wall_ns += ns;
    mutex_unlock(&sim->mu);
}

void sim_suspend(struct sim *sim, uint64_t ns)
{
    mutex_lock(&sim->mu);
    sim->boot_ns += ns;
    sim->wall_ns += ns;
    mutex_unlock(&sim->mu);
}

void sim_set_wall(struct sim *sim, uint64_t wall_ns)
{
    mutex_lock(&sim->mu);
    sim->wall_ns = wall_ns;
    mutex_unlock(&sim->mu);
}

// --- life ---

static const struct env_ops sim_ops = {
    .dir_open = sim_dir_open,
    .dir_close = sim_dir_close,
    .dir_sync = sim_dir_sync,
    .dir_list = sim_dir_list,
    .dir_lock = sim_dir_lock,
    .dir_unlock = sim_dir_unlock,
    .file_open = sim_file_open,
    .file_rename = sim_file_rename,
    .file_unlink = sim_file_unlink,
    .file_look = sim_file_look,
    .file_read = sim_file_read,
    .file_write = sim_file_write,
    .file_sync = sim_file_sync,
    .file_writeback = sim_file_writeback,
    .file_allocate = sim_file_allocate,
    .file_truncate = sim_file_truncate,
    .file_size = sim_file_size,
    .file_name_count = sim_file_name_count,
    .file_prefetch = sim_file_prefetch,
    .file_close = sim_file_close,
    .clock_mono_ns = sim_clock_mono_ns,
    .clock_boot_ns = sim_clock_boot_ns,
    .clock_wall_ns = sim_clock_wall_ns,
    .random_bytes = sim_random_bytes,
    .process_id = sim_process_id,
    .descriptor_limit = sim_descriptor_limit,
};

// All but the disk.
static struct sim *sim_without_disk(void)
{
    struct sim *sim = calloc(1, sizeof *sim);

    if (sim == NULL)
        return NULL;
    sim->env.ops = &sim_ops;
    mutex_init(&sim->mu, LOCK_LEAF);
    return sim;
}

static lsm_status fail_memory(void)
{
    return lsm_fail(LSM_NO_MEMORY, "sim: %zu bytes", sizeof(struct sim));
}

lsm_status sim_new(uint64_t seed, struct sim **out)
{
    struct sim *sim = sim_without_disk();

    if (sim == NULL)
        return fail_memory();
    disk_init(&sim->disk);
    sim->random.state = seed;
    sim->mono_ns = FIRST_MONO_NS;
    sim->boot_ns = FIRST_BOOT_NS;
    sim->wall_ns = FIRST_WALL_NS;
    *out = sim;
    return LSM_OK;
}

void sim_free(struct sim *sim)
{
    if (sim == NULL)
        return;
    disk_release(&sim->disk);
    mutex_release(&sim->mu);
    free(sim);
}

struct env *sim_env(struct sim *sim)
{
    return &sim->env;
}

lsm_status sim_clone(const struct sim *original, struct sim **out)
{
    // Taking the mutex changes nothing that the caller can see.
    struct mutex *mu = (struct mutex *)&original->mu;
    struct sim *sim = sim_without_disk();

    if (sim == NULL)
        return fail_memory();
    mutex_lock(mu);
    disk_copy(&original->disk, &sim->disk);
    sim->random = original->random;
    sim->mono_ns = original->mono_ns;
    sim->boot_ns = original->boot_ns;
    sim->wall_ns = original->wall_ns;
    mutex_unlock(mu);
    *out = sim;
    return LSM_OK;
}

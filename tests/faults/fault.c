#include "faults/fault.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "env/filename.h"
#include "faults/sites.h"
#include "support/alloc_fault.h"

#define OP_RANDOM (1u << SIM_OPS) // beyond those of the sim
#define OPS       (SIM_OPS + 1)

#define OPS_THAT_TAKE_SPACE                                                                        \
    (SIM_OP_OPEN | SIM_OP_WRITE | SIM_OP_SYNC | SIM_OP_ALLOCATE | SIM_OP_RENAME |                  \
     SIM_OP_DIR_SYNC | SIM_OP_CLOSE)
#define OPS_THAT_WRITE                                                                             \
    (SIM_OP_OPEN | SIM_OP_WRITE | SIM_OP_ALLOCATE | SIM_OP_TRUNCATE | SIM_OP_RENAME | SIM_OP_UNLINK)

static const struct error {
    const char *name;
    lsm_status status;
    unsigned ops;         // that can fail so
    bool is_when_writing; // of opening: only for writing
    size_t short_by;
    bool is_absent;
} errors[FAULT_ERRORS] = {
    [FAULT_EIO] = {"EIO", LSM_IO, SIM_OP_ANY | OP_RANDOM, false, 0, false},
    [FAULT_ENOSPC] = {"ENOSPC", LSM_NO_SPACE, OPS_THAT_TAKE_SPACE, true, 0, false},
    [FAULT_ALLOCATION] = {"malloc", LSM_NO_MEMORY, 0, false, 0, false},
    [FAULT_EMFILE] = {"EMFILE", LSM_BUSY, SIM_OP_OPEN | SIM_OP_LIST, false, 0, false},
    [FAULT_ENOMEM] = {"ENOMEM", LSM_NO_MEMORY, SIM_OP_ANY, false, 0, false},
    [FAULT_EROFS] = {"EROFS", LSM_READ_ONLY, OPS_THAT_WRITE, true, 0, false},
    [FAULT_TORN_EIO] = {"EIO torn", LSM_IO, SIM_OP_WRITE, true, 13, false},
    [FAULT_TORN_ENOSPC] = {"ENOSPC torn", LSM_NO_SPACE, SIM_OP_WRITE, true, 70, false},
    [FAULT_ENOENT] = {"ENOENT", LSM_IO, SIM_OP_ANY, false, 0, true},
};

// A call of the env.
struct call {
    unsigned op;
    unsigned kind;
    bool is_writing; // of opening: for writing
};

static struct {
    const struct env_ops *real;
    struct env_ops watched;
    struct env *armed; // the env of `sim`; NULL: nothing is to fail
    struct sim *sim;
    struct fault fault;
    struct fault_report report;
    uint64_t matches;
    size_t open_handles;

    uint64_t calls[OPS][SIM_KINDS][2];
    uint64_t faults[OPS][SIM_KINDS][FAULT_ERRORS][2];
} state;

const char *fault_name(enum fault_error error)
{
    return errors[error].name;
}

lsm_status fault_status(enum fault_error error)
{
    return errors[error].status;
}

// --- deciding ---

static unsigned kind_of(const char *name)
{
    uint64_t number;

    return filename_parse(name, &number);
}

static unsigned op_index(unsigned op)
{
    return (unsigned)__builtin_ctz(op);
}

// Whether a call can fail with the error.
static bool can_fail(const struct error *error, unsigned op, bool is_writing)
{
    return (error->ops & op) != 0 && (!error->is_when_writing || op != SIM_OP_OPEN || is_writing);
}

// Counts the call. Whether it is to fail.
static bool decide(struct env *env, struct call call)
{
    const struct fault *fault = &state.fault;

    state.calls[op_index(call.op)][call.kind][call.is_writing]++;
    if (env != state.armed || !can_fail(&errors[fault->error], call.op, call.is_writing))
        return false;
    state.matches++;
    if (state.matches != fault->at && !(fault->for_ever && state.matches > fault->at))
        return false;
    state.report.hits++;
    state.report.ops |= call.op;
    state.faults[op_index(call.op)][call.kind][fault->error][fault->for_ever]++;
    site_count_fault();
    return true;
}

// Before a call of the sim: has it fail if that is decided.
static void before(struct env *env, struct call call)
{
    struct sim_fault fault = {.ops = call.op, .at = 1};

    if (!decide(env, call))
        return;
    fault.status = errors[state.fault.error].status;
    fault.short_by = errors[state.fault.error].short_by;
    fault.is_absent = errors[state.fault.error].is_absent;
    sim_set_fault(state.sim, &fault);
}

static void before_on_file(struct file *file, unsigned op)
{
    before(file->env, (struct call){.op = op, .kind = kind_of(file->name)});
}

static void before_on_dir(struct dir *dir, unsigned op)
{
    before(dir->env, (struct call){.op = op, .kind = SIM_DIRECTORY});
}

static void before_on_name(struct dir *dir, unsigned op, const char *name, bool is_writing)
{
    before(dir->env, (struct call){.op = op, .kind = kind_of(name), .is_writing = is_writing});
}

// --- the watched calls ---

// A call that opens may find nothing to open.
#define COUNT_HANDLE(call_, out_)                                                                  \
    __extension__({                                                                                \
        const lsm_status count_status_ = (call_);                                                  \
        state.open_handles += count_status_ == LSM_OK && *(out_) != NULL;                          \
        count_status_;                                                                             \
    })

static lsm_status watched_dir_open(struct env *env, const char *path, bool create, struct dir **out)
{
    before(env, (struct call){.op = SIM_OP_OPEN, .kind = SIM_DIRECTORY, .is_writing = create});
    return COUNT_HANDLE(state.real->dir_open(env, path, create, out), out);
}

static void watched_dir_close(struct dir *dir)
{
    state.open_handles--;
    state.real->dir_close(dir);
}

static lsm_status watched_dir_sync(struct dir *dir)
{
    before_on_dir(dir, SIM_OP_DIR_SYNC);
    return state.real->dir_sync(dir);
}

static lsm_status watched_dir_list(struct dir *dir, dir_list_fn fn, void *ctx)
{
    before_on_dir(dir, SIM_OP_LIST);
    return state.real->dir_list(dir, fn, ctx);
}

static lsm_status watched_dir_lock(struct dir *dir, const char *name, struct dir_lock **out)
{
    before_on_name(dir, SIM_OP_OPEN, name, true);
    return COUNT_HANDLE(state.real->dir_lock(dir, name, out), out);
}

static void watched_dir_unlock(struct dir_lock *lock)
{
    state.open_handles--;
    state.real->dir_unlock(lock);
}

static lsm_status watched_file_open(struct dir *dir, const char *name, enum file_mode mode,
                                    struct file **out)
{
    before_on_name(dir, SIM_OP_OPEN, name, mode != FILE_READ);
    return COUNT_HANDLE(state.real->file_open(dir, name, mode, out), out);
}

static lsm_status watched_file_rename(struct dir *dir, const char *from, const char *to)
{
    before_on_name(dir, SIM_OP_RENAME, to, true);
    return state.real->file_rename(dir, from, to);
}

static lsm_status watched_file_unlink(struct dir *dir, const char *name)
{
    before_on_name(dir, SIM_OP_UNLINK, name, true);
    return state.real->file_unlink(dir, name);
}

static lsm_status watched_file_look(struct dir *dir, const char *name, struct file_facts *out)
{
    before_on_name(dir, SIM_OP_STAT, name, false);
    return state.real->file_look(dir, name, out);
}

static lsm_status watched_file_read(struct file *file, uint64_t offset, void *to, size_t size,
                                    size_t *got)
{
    before_on_file(file, SIM_OP_READ);
    return state.real->file_read(file, offset, to, size, got);
}

static lsm_status watched_file_write(struct file *file, uint64_t offset, const lsm_slice *parts,
                                     size_t count)
{
    before_on_file(file, SIM_OP_WRITE);
    return state.real->file_write(file, offset, parts, count);
}

static lsm_status watched_file_sync(struct file *file)
{
    before_on_file(file, SIM_OP_SYNC);
    return state.real->file_sync(file);
}

static lsm_status watched_file_allocate(struct file *file, uint64_t offset, uint64_t size)
{
    before_on_file(file, SIM_OP_ALLOCATE);
    return state.real->file_allocate(file, offset, size);
}

static lsm_status watched_file_truncate(struct file *file, uint64_t size)
{
    before_on_file(file, SIM_OP_TRUNCATE);
    return state.real->file_truncate(file, size);
}

static lsm_status watched_file_size(struct file *file, uint64_t *size)
{
    before_on_file(file, SIM_OP_STAT);
    return state.real->file_size(file, size);
}

static lsm_status watched_file_close(struct file *file)
{
    before_on_file(file, SIM_OP_CLOSE);
    state.open_handles--;
    return state.real->file_close(file);
}

static lsm_status watched_random_bytes(struct env *env, void *to, size_t size)
{
    if (decide(env, (struct call){.op = OP_RANDOM, .kind = FILENAME_UNKNOWN}))
        return lsm_fail(errors[state.fault.error].status, "simulated failure of random numbers");
    return state.real->random_bytes(env, to, size);
}

// --- arming ---

// Called by the allocator.
static void note_allocation(bool is_failed)
{
    if (!is_failed)
        return;
    state.report.hits++;
    site_count_fault();
}

bool fault_init(void)
{
    alloc_fault_watch(note_allocation);
    return alloc_fault_install();
}

void fault_watch(struct sim *sim)
{
    struct env *env = sim_env(sim);

    if (state.real == NULL) {
        state.real = env->ops;
        state.watched = *env->ops;
        state.watched.dir_open = watched_dir_open;
        state.watched.dir_close = watched_dir_close;
        state.watched.dir_sync = watched_dir_sync;
        state.watched.dir_list = watched_dir_list;
        state.watched.dir_lock = watched_dir_lock;
        state.watched.dir_unlock = watched_dir_unlock;
        state.watched.file_open = watched_file_open;
        state.watched.file_rename = watched_file_rename;
        state.watched.file_unlink = watched_file_unlink;
        state.watched.file_look = watched_file_look;
        state.watched.file_read = watched_file_read;
        state.watched.file_write = watched_file_write;
        state.watched.file_sync = watched_file_sync;
        state.watched.file_allocate = watched_file_allocate;
        state.watched.file_truncate = watched_file_truncate;
        state.watched.file_size = watched_file_size;
        state.watched.file_close = watched_file_close;
        state.watched.random_bytes = watched_random_bytes;
    }
    env->ops = &state.watched;
}

void fault_arm(struct sim *sim, const struct fault *fault)
{
    state.report = (struct fault_report){0};
    state.matches = 0;
    state.fault = *fault;
    if (fault->error == FAULT_ALLOCATION) {
        alloc_fault_at((size_t)fault->at, fault->for_ever);
    } else {
        state.sim = sim;
        state.armed = sim_env(sim);
    }
}

struct fault_report fault_disarm(void)
{
    if (state.sim != NULL)
        sim_set_fault(state.sim, NULL);
    state.armed = NULL;
    state.sim = NULL;
    alloc_fault_at(0, false);
    return state.report;
}

size_t fault_open_handles(void)
{
    return state.open_handles;
}

// --- the matrix ---

static const char *op_name(unsigned op)
{
    return op < SIM_OPS ? sim_op_name((enum sim_op)(1u << op)) : "random";
}

// Cells of one op on one kind of file that no fault has hit, though one could.
static size_t print_row(unsigned op, unsigned kind)
{
    const uint64_t *calls = state.calls[op][kind];
    size_t empty = 0;

    printf("%-9s%-13s%11" PRIu64, op_name(op), sim_kind_name(kind), calls[0] + calls[1]);
    for (unsigned e = 0; e < FAULT_ERRORS; e++) {
        const bool is_possible = (calls[0] > 0 && can_fail(&errors[e], 1u << op, false)) ||
                                 (calls[1] > 0 && can_fail(&errors[e], 1u << op, true));

        for (unsigned ever = 0; ever < 2 && e != FAULT_ALLOCATION; ever++) {
            if (is_possible)
                printf("%8" PRIu64, state.faults[op][kind][e][ever]);
            else
                printf("%8s", "-");
            empty += is_possible && state.faults[op][kind][e][ever] == 0;
        }
    }
    printf("%s\n", empty > 0 ? "  EMPTY" : "");
    return empty;
}

size_t fault_print_matrix(void)
{
    size_t empty = 0;

    printf("%-9s%-13s%11s", "op", "file", "calls");
    for (unsigned e = 0; e < FAULT_ERRORS; e++) {
        if (e != FAULT_ALLOCATION)
            printf(" %11s+ever", errors[e].name);
    }
    printf("\n");
    for (unsigned op = 0; op < OPS; op++) {
        for (unsigned kind = 0; kind < SIM_KINDS; kind++) {
            if (state.calls[op][kind][0] + state.calls[op][kind][1] > 0)
                empty += print_row(op, kind);
        }
    }
    return empty;
}

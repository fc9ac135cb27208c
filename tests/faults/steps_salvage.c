// steps_salvage.c -- salvage of the closed database, or of a damaged copy of it.

#include "base/crc32c.h"
#include "db/salvage.h"
#include "env/filename.h"
#include "faults/steps.h"

#define DAMAGED_DIR "/damaged"
#define RESCUED_DIR "/rescued"

// --- the damaged database ---

struct copying {
    struct dir *from;
    struct dir *to;
    unsigned damage;
};

// Those that salvage reads.
static bool is_copied(enum filename_kind kind, unsigned damage)
{
    if (kind == FILENAME_CURRENT)
        return (damage & WITHOUT_CURRENT) == 0;
    if (kind == FILENAME_MANIFEST)
        return (damage & WITHOUT_MANIFEST) == 0;
    return kind == FILENAME_TABLE || kind == FILENAME_SEGMENT;
}

// Flips bytes so that salvage has to search: a table's header, index and footer, or a segment's
// header and the middle of its frames.
static void damage_bytes(enum filename_kind kind, unsigned damage, uint8_t *bytes, size_t size)
{
    if (kind == FILENAME_MANIFEST && (damage & BAD_MANIFEST) != 0)
        bytes[size - 1] ^= 1;
    if (kind == FILENAME_TABLE && (damage & BAD_TABLES) != 0 && size > 1000) {
        bytes[5] ^= 1;
        bytes[700] ^= 1;
        bytes[size - 10] ^= 1;
    }
    if (kind == FILENAME_SEGMENT && (damage & BAD_SEGMENTS) != 0) {
        bytes[5] ^= 1;
        bytes[size / 2] ^= 1;
    }
}

static lsm_status read_file(struct dir *dir, const char *name, uint64_t size, lsm_buf *out)
{
    CLEANUP(file_closep) struct file *file = NULL;

    TRY(file_open(dir, name, FILE_READ, &file));
    TRY(buf_reserve(out, (size_t)size));
    out->size = (size_t)size;
    return file_read_exact(file, 0, out->data, out->size);
}

// CURRENT by way of CURRENT.new, as the engine does: no other calls than its own are counted.
static lsm_status write_file(struct dir *dir, enum filename_kind kind, const char *name,
                             lsm_slice bytes)
{
    const struct filename new = filename_of(FILENAME_CURRENT_NEW, 0);
    const char *written = kind == FILENAME_CURRENT ? new.text : name;
    struct file *file;

    TRY(file_open(dir, written, FILE_CREATE, &file));
    TRY(file_write_one(file, 0, bytes));
    TRY(file_close(file));
    return written == name ? LSM_OK : file_rename(dir, written, name);
}

static lsm_status copy_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    const struct copying *c = ctx;
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;
    uint64_t number;
    const enum filename_kind kind = filename_parse(name, &number);

    if (!is_regular || !is_copied(kind, c->damage))
        return LSM_OK;
    TRY(read_file(c->from, name, size, &bytes));
    damage_bytes(kind, c->damage, bytes.data, bytes.size);
    return write_file(c->to, kind, name, slice_of_buf(&bytes));
}

struct summing {
    struct dir *dir;
    uint32_t sum;
};

static lsm_status sum_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct summing *s = ctx;
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;

    (void)is_regular;
    TRY(read_file(s->dir, name, size, &bytes));
    s->sum += crc32c(crc32c(0, name, strlen(name)), bytes.data, bytes.size);
    return LSM_OK;
}

// A sum over all names and bytes in the damaged directory.
static lsm_status sum_damaged(struct world *w, uint32_t *out)
{
    CLEANUP(dir_closep) struct dir *dir = NULL;
    struct summing s = {.sum = 0};

    TRY(dir_open(sim_env(w->sim), DAMAGED_DIR, false, &dir));
    s.dir = dir;
    TRY(dir_list(dir, sum_file, &s));
    *out = s.sum;
    return LSM_OK;
}

lsm_status step_damage(struct world *w, const struct step *step)
{
    CLEANUP(dir_closep) struct dir *from = NULL;
    CLEANUP(dir_closep) struct dir *to = NULL;
    struct copying c = {.damage = step->count};

    TRY(dir_open(sim_env(w->sim), WORLD_DIR, false, &from));
    TRY(dir_open(sim_env(w->sim), DAMAGED_DIR, true, &to));
    c.from = from;
    c.to = to;
    TRY(dir_list(from, copy_file, &c));
    return sum_damaged(w, &w->damaged_sum);
}

// --- salvage ---

static uint64_t count_records(const struct world *w)
{
    struct content expected;
    uint64_t count = 0;

    world_expect(w, &expected);
    for (unsigned i = 0; i < KEYSPACES; i++) {
        for (unsigned key = 0; key < WORLD_KEYS; key++)
            count += expected.numbers[i][key] != 0;
    }
    return count;
}

// Salvages the copy into `to`, or, with NULL, looks what could be.
static lsm_status salvage(struct world *w, const char *to, struct salvage_report *report)
{
    const struct salvage_request request = {.env = sim_env(w->sim),
                                            .from = DAMAGED_DIR,
                                            .to = to,
                                            .options = &w->options,
                                            .take_uncertain = true};

    return db_salvage(&request, report);
}

// What cannot be read is lost to salvage, and told; the rest is there.
static lsm_status salvage_and_count(struct world *w, const char *to)
{
    const uint64_t count = count_records(w);
    struct salvage_report report;

    TRY(salvage(w, to, &report));
    if (report.loss_count == 0 && report.lost_values == 0 && report.record_count != count)
        world_wrong(w, "salvage finds %llu of %llu records and tells of no loss",
                    (unsigned long long)report.record_count, (unsigned long long)count);
    w->rescued_count = report.record_count;
    salvage_report_release(&report);
    return LSM_OK;
}

lsm_status step_salvage(struct world *w, const struct step *step)
{
    (void)step;
    w->is_rescued = false;
    TRY(salvage_and_count(w, RESCUED_DIR));
    w->is_rescued = true;
    return LSM_OK;
}

lsm_status step_look_at_damage(struct world *w, const struct step *step)
{
    (void)step;
    w->is_rescued = false;
    return salvage_and_count(w, NULL);
}

// --- what a salvage leaves ---

static lsm_status count_keyspace(lsm_db *db, const char *name, uint64_t *count)
{
    lsm_keyspace *keyspace;
    lsm_status status;
    lsm_iter *it;

    TRY(lsm_keyspace_open(db, name, false, NULL, &keyspace));
    status = lsm_iter_open(db, keyspace, NULL, &it);
    if (status == LSM_OK) {
        for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it))
            ++*count;
        lsm_iter_close(it);
    }
    lsm_keyspace_close(keyspace);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

static lsm_status count_all(lsm_db *db, uint64_t *count)
{
    lsm_keyspace_info *infos;
    size_t keyspaces;
    lsm_status status = LSM_OK;

    *count = 0;
    TRY(lsm_keyspace_list(db, &infos, &keyspaces));
    for (size_t i = 0; i < keyspaces && status == LSM_OK; i++)
        status = count_keyspace(db, infos[i].name, count);
    lsm_free(infos);
    return status;
}

// It is whole: a salvage that succeeded has told how much it is, and one that failed at the very
// end is to have done all of it.
static lsm_status judge_rescued(struct world *w, lsm_db *db)
{
    struct salvage_report report;
    uint64_t count;

    TRY(lsm_verify(db, NULL, NULL));
    TRY(count_all(db, &count));
    if (!w->is_rescued) {
        TRY(salvage(w, NULL, &report));
        w->rescued_count = report.record_count;
        salvage_report_release(&report);
    }
    if (count != w->rescued_count)
        world_wrong(w, "%llu of %llu salvaged records are there", (unsigned long long)count,
                    (unsigned long long)w->rescued_count);
    return LSM_OK;
}

lsm_status step_judge_salvage(struct world *w, const struct step *step)
{
    struct lsm_options options = w->options;
    lsm_status status;
    uint32_t sum;
    lsm_db *db;

    (void)step;
    options.create_if_missing = false;
    status = lsm_open(RESCUED_DIR, &options, &db);
    if (status == LSM_OK) {
        status = judge_rescued(w, db);
        if (lsm_close(db) != LSM_OK || status != LSM_OK)
            world_wrong(w, "what was salvaged is damaged: %s", lsm_errmsg());
    } else if (w->is_rescued || (status != LSM_NOT_FOUND && status != LSM_INVALID)) {
        world_wrong(w, "what was salvaged does not open: %s", lsm_errmsg());
    }
    TRY(sum_damaged(w, &sum));
    if (sum != w->damaged_sum)
        world_wrong(w, "salvage has changed what it read");
    return LSM_OK;
}

// db_script.h -- a script of calls on a database over the sim, and what it must hold.
//
// The tests of crashes and faults share it. Every write call is one commit with a number
// from 1; a value tells the number of the commit that wrote it, so that reading everything
// tells which commits are there. Whatever happens, they are a prefix.

#ifndef LSM_TESTS_CRASH_DB_SCRIPT_H
#define LSM_TESTS_CRASH_DB_SCRIPT_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdio.h>
#include <stdlib.h>

#include "db/db.h"
#include "support/random.h"
#include "support/sim.h"

#define DB_DIR     "/db"
#define KEY_COUNT  12
#define COMMIT_MAX 128
#define SMALL      40
#define SEPARATE   1500
#define HUGE_VALUE (3u << 20) // larger than a segment

enum script_keyspace { IN_DEFAULT, IN_OTHER, KEYSPACES };

enum step_kind {
    STEP_PUT,
    STEP_DELETE,
    STEP_BATCH, // `count` keys from `key` on
    STEP_SYNC,
    STEP_FLUSH,
    STEP_COMPACT,
    STEP_CREATE, // the other keyspace
    STEP_DROP,
    STEP_JOBS, // runs `count` jobs
    STEP_REOPEN,
};

struct step {
    enum step_kind kind;
    enum script_keyspace keyspace;
    unsigned key;
    unsigned count;
    size_t size;
    bool is_weak;
};

#define PUT(k, bytes) .kind = STEP_PUT, .key = (k), .count = 1, .size = (bytes)
#define DELETE(k)     .kind = STEP_DELETE, .key = (k), .count = 1
#define BATCH(k, key_count, bytes)                                                                 \
    .kind = STEP_BATCH, .key = (k), .count = (key_count), .size = (bytes)

// A commit that was tried.
struct commit {
    struct step step;
    unsigned generation; // of the other keyspace, when it writes there
    bool has_failed;     // while the machine ran: it must not be there
};

enum existence { IS_ABSENT, IS_PRESENT, IS_EITHER };

struct history {
    struct commit commits[COMMIT_MAX + 1];
    unsigned started;
    unsigned durable;     // acknowledged as durable up to here
    unsigned generation;  // how often the other keyspace was made
    enum existence other; // whether it is there
};

// One process's use of the database.
struct script {
    struct lsm_options options;
    lsm_db *db;
    lsm_keyspace *other;
    struct history *history;
};

static inline void script_options(struct lsm_options *options, struct sim *sim)
{
    options_init(options);
    options->env = sim_env(sim);
    options->is_manual = true;
    options->memtable_size = 64 << 10;
    options->segment_size_max = 1 << 20;
    options->table_size = 16 << 10;
    options->cache_size = 1 << 20;
    options->value_threshold = 512;
    options->conflict_history_size = 64 << 10;
    options->level0_trigger = 2;
}

// --- keys and values ---

static inline lsm_slice script_key(unsigned key, char text[16])
{
    return slice_make(text, (size_t)snprintf(text, 16, "key-%02u", key));
}

// Fills the value that commit `number` gives to `key`.
static inline void script_value(unsigned number, unsigned key, uint8_t *to, size_t size)
{
    memset(to, (int)(number * 31 + key), size);
    to[0] = (uint8_t)number;
    for (size_t at = 512; at < size; at += 512)
        to[at] = (uint8_t)(at / 512 * 7);
}

// The number of the commit that wrote `value`, which is checked byte for byte.
static inline unsigned script_number(const struct history *h, unsigned key, lsm_slice value)
{
    unsigned number = value.size == 0 ? 0 : *(const uint8_t *)value.data;
    uint8_t *wanted = malloc(value.size + 1);

    cr_assert(number >= 1 && number <= h->started, "key %u: a value that nobody wrote", key);
    cr_assert(eq(sz, value.size, h->commits[number].step.size));
    script_value(number, key, wanted, value.size);
    cr_assert(memcmp(wanted, value.data, value.size) == 0, "key %u: a wrong byte", key);
    free(wanted);
    return number;
}

// --- what must be there ---

// Per keyspace and key the number of the commit whose value it has, or 0.
struct content {
    unsigned numbers[KEYSPACES][KEY_COUNT];
};

static inline void content_apply(struct content *content, const struct history *h, unsigned number)
{
    const struct commit *c = &h->commits[number];

    if (c->has_failed || (c->step.keyspace == IN_OTHER && c->generation != h->generation))
        return;
    for (unsigned i = 0; i < c->step.count; i++)
        content->numbers[c->step.keyspace][c->step.key + i] =
            c->step.kind == STEP_DELETE ? 0 : number;
}

// Whether `found` is what the first `count` commits make. What a dropped keyspace held is
// not asked for.
static inline bool content_is_prefix(const struct content *found, const struct history *h,
                                     unsigned count, bool has_other)
{
    struct content wanted = {0};

    for (unsigned number = 1; number <= count; number++)
        content_apply(&wanted, h, number);
    if (!has_other)
        memset(wanted.numbers[IN_OTHER], 0, sizeof wanted.numbers[IN_OTHER]);
    return memcmp(&wanted, found, sizeof wanted) == 0;
}

// --- reading everything ---

static inline unsigned script_key_index(lsm_slice key)
{
    char text[16] = "";
    unsigned index = KEY_COUNT;

    cr_assert(lt(sz, key.size, sizeof text));
    memcpy(text, key.data, key.size);
    cr_assert(eq(int, sscanf(text, "key-%u", &index), 1));
    cr_assert(index < KEY_COUNT);
    return index;
}

static inline void script_scan(struct script *s, lsm_keyspace *keyspace, bool is_forward,
                               unsigned *numbers)
{
    lsm_status status;
    lsm_slice value;
    lsm_iter *it;

    cr_assert(eq(int, lsm_iter_open(s->db, keyspace, NULL, &it), LSM_OK), "%s", lsm_errmsg());
    status = is_forward ? lsm_iter_first(it) : lsm_iter_last(it);
    for (; status == LSM_OK; status = is_forward ? lsm_iter_next(it) : lsm_iter_prev(it)) {
        unsigned key = script_key_index(lsm_iter_key(it));

        cr_assert(eq(int, lsm_iter_value(it, &value), LSM_OK), "%s", lsm_errmsg());
        numbers[key] = script_number(s->history, key, value);
    }
    cr_assert(eq(int, status, LSM_NOT_FOUND), "%s", lsm_errmsg());
    lsm_iter_close(it);
}

static inline void script_get_all(struct script *s, lsm_keyspace *keyspace, unsigned *numbers)
{
    lsm_buf value = LSM_BUF_INIT;
    char text[16];

    for (unsigned key = 0; key < KEY_COUNT; key++) {
        lsm_status status = lsm_get(s->db, keyspace, script_key(key, text), &value);

        cr_assert(status == LSM_OK || status == LSM_NOT_FOUND, "%s", lsm_errmsg());
        if (status == LSM_OK)
            numbers[key] = script_number(s->history, key, slice_of_buf(&value));
    }
    lsm_buf_free(&value);
}

static inline void script_read(struct script *s, struct content *out)
{
    struct content backward = {0}, got = {0};

    *out = (struct content){0};
    for (int i = 0; i < KEYSPACES; i++) {
        lsm_keyspace *keyspace = i == IN_OTHER ? s->other : NULL;

        if (i == IN_OTHER && keyspace == NULL)
            continue;
        script_scan(s, keyspace, true, out->numbers[i]);
        script_scan(s, keyspace, false, backward.numbers[i]);
        script_get_all(s, keyspace, got.numbers[i]);
    }
    cr_assert(memcmp(out, &backward, sizeof backward) == 0, "backwards differs from forwards");
    cr_assert(memcmp(out, &got, sizeof got) == 0, "single reads differ from the iterator");
}

// How many of the commits are there: at least all that are durable.
static inline unsigned script_prefix(struct script *s)
{
    const struct history *h = s->history;
    struct content found;

    script_read(s, &found);
    for (unsigned count = h->started + 1; count > h->durable; count--) {
        if (content_is_prefix(&found, h, count - 1, s->other != NULL))
            return count - 1;
    }
    for (unsigned key = 0; key < KEY_COUNT; key++)
        fprintf(stderr, "key %u: commit %u, other: commit %u\n", key,
                found.numbers[IN_DEFAULT][key], found.numbers[IN_OTHER][key]);
    cr_assert(h->durable == 0 && content_is_prefix(&found, h, 0, s->other != NULL),
              "no prefix of %u to %u commits", h->durable, h->started);
    return 0;
}

// --- steps ---

static inline lsm_status script_write(struct script *s, const struct step *step)
{
    const lsm_write_options options = {.sync = step->is_weak ? LSM_SYNC_WRITTEN : LSM_SYNC_FULL};
    lsm_keyspace *keyspace = step->keyspace == IN_OTHER ? s->other : NULL;
    uint8_t *value = malloc(step->size + 1);
    lsm_batch *batch = NULL;
    lsm_status status;
    char text[16];

    if (step->kind == STEP_DELETE) {
        status = lsm_delete(s->db, keyspace, script_key(step->key, text), &options);
    } else if (step->kind == STEP_PUT) {
        script_value(s->history->started, step->key, value, step->size);
        status = lsm_put(s->db, keyspace, script_key(step->key, text),
                         slice_make(value, step->size), &options);
    } else {
        cr_assert(eq(int, lsm_batch_new(&batch), LSM_OK));
        for (unsigned i = 0; i < step->count; i++) {
            script_value(s->history->started, step->key + i, value, step->size);
            cr_assert(eq(int,
                         lsm_batch_put(batch, keyspace, script_key(step->key + i, text),
                                       slice_make(value, step->size)),
                         LSM_OK));
        }
        status = lsm_write(s->db, batch, &options);
        lsm_batch_free(batch);
    }
    free(value);
    return status;
}

static inline lsm_status script_commit(struct script *s, const struct step *step)
{
    struct history *h = s->history;

    cr_assert(lt(uint, h->started, COMMIT_MAX));
    h->commits[++h->started] = (struct commit){.step = *step, .generation = h->generation};
    TRY(script_write(s, step));
    if (!step->is_weak)
        h->durable = h->started;
    return LSM_OK;
}

static inline lsm_status script_create_other(struct script *s)
{
    s->history->generation++;
    s->history->other = IS_EITHER;
    TRY(lsm_keyspace_open(s->db, "other", true, NULL, &s->other));
    s->history->other = IS_PRESENT;
    return LSM_OK;
}

static inline lsm_status script_drop_other(struct script *s)
{
    s->history->other = IS_EITHER;
    TRY(lsm_keyspace_drop(s->db, "other"));
    s->history->other = IS_ABSENT;
    lsm_keyspace_close(s->other);
    s->other = NULL;
    return LSM_OK;
}

static inline lsm_status script_close(struct script *s)
{
    lsm_status status;

    if (s->db == NULL)
        return LSM_OK; // what opening it failed with is known
    lsm_keyspace_close(s->other);
    s->other = NULL;
    status = lsm_close(s->db);
    s->db = NULL;
    if (status == LSM_OK)
        s->history->durable = s->history->started;
    return status;
}

// Opens, and finds out whether the other keyspace is there.
static inline lsm_status script_open(struct script *s)
{
    struct history *h = s->history;
    lsm_status status;

    TRY(lsm_open(DB_DIR, &s->options, &s->db));
    status = lsm_keyspace_open(s->db, "other", false, NULL, &s->other);
    cr_assert(status == LSM_OK || status == LSM_NOT_FOUND, "%s", lsm_errmsg());
    if (h->other != IS_EITHER)
        cr_assert(eq(int, status, h->other == IS_PRESENT ? LSM_OK : LSM_NOT_FOUND));
    h->other = status == LSM_OK ? IS_PRESENT : IS_ABSENT;
    return LSM_OK;
}

static inline lsm_status script_step(struct script *s, const struct step *step)
{
    switch (step->kind) {
    case STEP_PUT:
    case STEP_DELETE:
    case STEP_BATCH:
        return script_commit(s, step);
    case STEP_SYNC:
        TRY(lsm_sync(s->db));
        s->history->durable = s->history->started;
        return LSM_OK;
    case STEP_FLUSH:
        TRY(lsm_flush(s->db));
        s->history->durable = s->history->started;
        return LSM_OK;
    case STEP_COMPACT:
        return lsm_compact_range(s->db, NULL, NULL, NULL);
    case STEP_CREATE:
        return script_create_other(s);
    case STEP_DROP:
        return script_drop_other(s);
    case STEP_JOBS:
        for (unsigned i = 0; i < step->count && scheduler_run_one(s->db->scheduler); i++)
            ;
        return LSM_OK;
    case STEP_REOPEN:
        TRY(script_close(s));
        return script_open(s);
    }
    return LSM_INVALID;
}

static inline lsm_status script_run(struct script *s, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        TRY(script_step(s, &steps[i]));
    return LSM_OK;
}

// What has been found is now the whole truth.
static inline void script_settle(struct script *s, unsigned prefix)
{
    s->history->started = prefix;
    s->history->durable = prefix;
}

// Opens, and checks that a prefix of the commits is there and every file is sound.
static inline void script_open_checked(struct script *s)
{
    cr_assert(eq(int, script_open(s), LSM_OK), "%s", lsm_errmsg());
    script_settle(s, script_prefix(s));
    cr_assert(eq(int, lsm_verify(s->db, NULL, NULL), LSM_OK), "%s", lsm_errmsg());
}

#endif

#include "faults/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "faults/fault.h"

void world_init(struct world *w, struct sim *sim)
{
    memset(w, 0, sizeof *w);
    w->sim = sim;
    fault_watch(sim);
    options_init(&w->options);
    w->options.env = sim_env(sim);
    w->options.is_manual = true;
    w->options.memtable_size = 64 << 10;
    w->options.segment_size_max = 1 << 20;
    w->options.table_size = 16 << 10;
    w->options.block_size = 512;
    w->options.compressed_block_size = 1024;
    w->options.cache_size = 1 << 20;
    w->options.value_threshold = 512;
    w->options.conflict_history_size = 64 << 10;
    w->options.level0_trigger = 2;
    w->options.level_base_size = 16 << 10;
    w->options.level_multiplier = 2;
    w->options.events_size_max = 1024;
}

void world_release(struct world *w)
{
    sim_free(w->sim);
}

void world_copy(const struct world *from, struct world *to)
{
    struct sim *sim;

    if (sim_clone(from->sim, &sim) != LSM_OK)
        abort();
    *to = *from;
    to->sim = sim;
    to->db = NULL;
    to->other = NULL;
    to->options.env = sim_env(sim);
    fault_watch(sim);
}

void world_wrong(struct world *w, const char *format, ...)
{
    va_list args;

    if (world_is_wrong(w))
        return;
    va_start(args, format);
    (void)vsnprintf(w->problem, sizeof w->problem, format, args);
    va_end(args);
}

bool world_is_wrong(const struct world *w)
{
    return w->problem[0] != '\0';
}

// --- opening and closing ---

static lsm_status find_other(struct world *w)
{
    struct history *h = &w->history;
    const lsm_status status = lsm_keyspace_open(w->db, "other", false, NULL, &w->other);

    if (status != LSM_OK && status != LSM_NOT_FOUND)
        return status;
    if (h->other != IS_EITHER && (status == LSM_OK) != (h->other == IS_PRESENT))
        world_wrong(w, "the other keyspace is %s", status == LSM_OK ? "there" : "gone");
    h->other = status == LSM_OK ? IS_PRESENT : IS_ABSENT;
    return LSM_OK;
}

lsm_status world_open(struct world *w)
{
    lsm_db *db = NULL;
    lsm_status status = lsm_open(WORLD_DIR, &w->options, &db);

    if (status != LSM_OK) {
        if (db != NULL)
            world_wrong(w, "a failed lsm_open() has written its out-parameter");
        return status;
    }
    w->db = db;
    return find_other(w);
}

lsm_status world_close(struct world *w)
{
    lsm_status status;

    lsm_keyspace_close(w->other);
    w->other = NULL;
    status = lsm_close(w->db);
    w->db = NULL;
    if (status == LSM_OK)
        world_all_durable(w);
    return status;
}

lsm_keyspace *world_keyspace(struct world *w, enum world_keyspace keyspace)
{
    return keyspace == IN_OTHER ? w->other : NULL;
}

// --- keys and values ---

lsm_slice world_key(unsigned key, char text[16])
{
    if (key == 0)
        return slice_make(text, 0);
    return slice_make(text, (size_t)snprintf(text, 16, "key-%03u", key));
}

void world_value(unsigned number, unsigned key, uint8_t *to, size_t size)
{
    memset(to, (int)(number * 31 + key), size);
    to[0] = (uint8_t)number;
    to[1] = (uint8_t)(number >> 8);
    for (size_t at = 512; at < size; at += 512)
        to[at] = (uint8_t)(at / 512 * 7);
}

static bool value_is(unsigned number, unsigned key, const struct commit *commit, lsm_slice value)
{
    uint8_t *wanted = malloc(commit->size);
    bool is_equal;

    if (wanted == NULL)
        abort();
    world_value(number, key, wanted, commit->size);
    is_equal = slice_equal(value, slice_make(wanted, commit->size));
    free(wanted);
    return is_equal;
}

// The number of the commit that wrote the value; 0 when nobody did.
static unsigned number_of(const struct world *w, unsigned key, lsm_slice value)
{
    const uint8_t *bytes = value.data;
    unsigned number = value.size < 2 ? 0 : bytes[0] | (unsigned)bytes[1] << 8;

    if (number == 0 || number > w->history.started)
        return 0;
    return value_is(number, key, &w->history.commits[number], value) ? number : 0;
}

// --- commits ---

struct commit *world_begin(struct world *w, const struct commit *commit)
{
    struct history *h = &w->history;
    struct commit *begun = &h->commits[++h->started];

    if (h->started >= COMMIT_MAX)
        abort();
    *begun = *commit;
    begun->generation = h->generation;
    begun->outcome = OUTCOME_OPEN;
    return begun;
}

lsm_status world_end(struct world *w, struct commit *commit, bool is_sync, lsm_status status)
{
    const unsigned number = (unsigned)(commit - w->history.commits);

    if (status == LSM_OUTCOME_UNKNOWN)
        return status;
    commit->outcome = status == LSM_OK ? OUTCOME_WRITTEN : OUTCOME_FAILED;
    if (status == LSM_OK && is_sync && number > w->history.durable)
        w->history.durable = number;
    return status;
}

void world_all_durable(struct world *w)
{
    w->history.durable = w->history.started;
}

static void apply(const struct history *h, unsigned number, struct content *content)
{
    const struct commit *c = &h->commits[number];

    if (c->outcome == OUTCOME_FAILED || (c->keyspace == IN_OTHER && c->generation != h->generation))
        return;
    for (unsigned i = 0; i < c->count; i++)
        content->numbers[c->keyspace][c->key + i] = c->is_delete ? 0 : number;
}

void world_expect(const struct world *w, struct content *out)
{
    *out = (struct content){0};
    for (unsigned number = 1; number <= w->history.started; number++) {
        if (w->history.commits[number].outcome == OUTCOME_WRITTEN)
            apply(&w->history, number, out);
    }
}

// --- reading ---

void world_check_value(struct world *w, unsigned number, unsigned key, lsm_slice value)
{
    if (number == 0)
        world_wrong(w, "key %u is there, and should not be", key);
    else if (!value_is(number, key, &w->history.commits[number], value))
        world_wrong(w, "key %u has not the value of commit %u, but that of %u", key, number,
                    number_of(w, key, value));
}

static lsm_status read_one(struct world *w, lsm_keyspace *keyspace, unsigned key, unsigned number)
{
    lsm_buf value = LSM_BUF_INIT;
    char text[16];
    lsm_status status = lsm_get(w->db, keyspace, world_key(key, text), &value);

    if (status == LSM_OK)
        world_check_value(w, number, key, slice_of_buf(&value));
    if (status == LSM_NOT_FOUND && number != 0)
        world_wrong(w, "key %u of commit %u is not found", key, number);
    lsm_buf_free(&value);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

// The next key that should be there from `key` on in the direction; WORLD_KEYS: none.
static unsigned next_key(const unsigned *numbers, unsigned key, int step)
{
    while (key < WORLD_KEYS && numbers[key] == 0)
        key += (unsigned)step; // below 0 it becomes huge
    return key < WORLD_KEYS ? key : WORLD_KEYS;
}

static lsm_status check_current(struct world *w, lsm_iter *it, unsigned key, unsigned number)
{
    lsm_slice value;
    char text[16];

    if (key == WORLD_KEYS) {
        world_wrong(w, "an iterator finds too many keys");
        return LSM_OK;
    }
    if (!slice_equal(lsm_iter_key(it), world_key(key, text)))
        world_wrong(w, "an iterator misses key %u of commit %u", key, number);
    TRY(lsm_iter_value(it, &value));
    world_check_value(w, number, key, value);
    return LSM_OK;
}

static lsm_status scan(struct world *w, lsm_iter *it, const unsigned *numbers, int step)
{
    unsigned key = next_key(numbers, step > 0 ? 0 : WORLD_KEYS - 1, step);
    lsm_status status = step > 0 ? lsm_iter_first(it) : lsm_iter_last(it);

    while (status == LSM_OK && !world_is_wrong(w)) {
        TRY(check_current(w, it, key, key == WORLD_KEYS ? 0 : numbers[key]));
        if (key != WORLD_KEYS)
            key = next_key(numbers, key + (unsigned)step, step);
        status = step > 0 ? lsm_iter_next(it) : lsm_iter_prev(it);
    }
    if (status == LSM_NOT_FOUND && key != WORLD_KEYS)
        world_wrong(w, "an iterator ends before key %u", key);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

static lsm_status scan_keyspace(struct world *w, lsm_keyspace *keyspace, const unsigned *numbers,
                                int step)
{
    lsm_status status;
    lsm_iter *it;

    TRY(lsm_iter_open(w->db, keyspace, NULL, &it));
    status = scan(w, it, numbers, step);
    lsm_iter_close(it);
    return status;
}

lsm_status world_read(struct world *w, const struct content *expected)
{
    for (unsigned i = 0; i < KEYSPACES; i++) {
        lsm_keyspace *keyspace = world_keyspace(w, i);

        if (i == IN_OTHER && keyspace == NULL)
            continue;
        TRY(scan_keyspace(w, keyspace, expected->numbers[i], 1));
        TRY(scan_keyspace(w, keyspace, expected->numbers[i], -1));
        for (unsigned key = 0; key < WORLD_KEYS; key++)
            TRY(read_one(w, keyspace, key, expected->numbers[i][key]));
    }
    return LSM_OK;
}

// --- after reopening ---

static lsm_status find_numbers(struct world *w, lsm_keyspace *keyspace, unsigned *numbers)
{
    lsm_buf value = LSM_BUF_INIT;
    lsm_status status = LSM_OK;
    char text[16];

    for (unsigned key = 0; key < WORLD_KEYS && status == LSM_OK; key++) {
        status = lsm_get(w->db, keyspace, world_key(key, text), &value);
        if (status == LSM_OK) {
            numbers[key] = number_of(w, key, slice_of_buf(&value));
            if (numbers[key] == 0)
                world_wrong(w, "key %u has a value that nobody wrote", key);
        } else if (status == LSM_NOT_FOUND) {
            status = LSM_OK;
        }
    }
    lsm_buf_free(&value);
    return status;
}

// Whether the first `count` commits make `found`.
static bool is_prefix(const struct world *w, const struct content *found, unsigned count)
{
    struct content wanted = {0};

    for (unsigned number = 1; number <= count; number++)
        apply(&w->history, number, &wanted);
    if (w->other == NULL)
        memset(wanted.numbers[IN_OTHER], 0, sizeof wanted.numbers[IN_OTHER]);
    return memcmp(&wanted, found, sizeof wanted) == 0;
}

// Settles what was open: commits up to `count` are there, the others are not.
static void settle(struct history *h, unsigned count)
{
    for (unsigned number = 1; number <= h->started; number++) {
        struct commit *c = &h->commits[number];

        if (number > count)
            c->outcome = OUTCOME_FAILED;
        else if (c->outcome == OUTCOME_OPEN)
            c->outcome = OUTCOME_WRITTEN;
    }
    h->durable = h->started;
}

static void describe_difference(struct world *w, const struct content *found)
{
    struct content wanted = {0};
    const struct history *h = &w->history;

    for (unsigned number = 1; number <= h->started; number++)
        apply(h, number, &wanted);
    for (unsigned i = 0; i < KEYSPACES; i++) {
        for (unsigned key = 0; key < WORLD_KEYS; key++) {
            if (found->numbers[i][key] != wanted.numbers[i][key])
                world_wrong(w,
                            "no prefix of commits %u to %u: in keyspace %u key %u is of commit "
                            "%u instead of %u",
                            h->durable, h->started, i, key, found->numbers[i][key],
                            wanted.numbers[i][key]);
        }
    }
}

// The largest prefix that makes `found`; false when there is none.
static bool find_prefix(const struct world *w, const struct content *found, unsigned *count)
{
    for (unsigned n = w->history.started;; n--) {
        if (is_prefix(w, found, n)) {
            *count = n;
            return true;
        }
        if (n == w->history.durable)
            return false;
    }
}

void world_check_reopened(struct world *w)
{
    struct content found = {0};
    unsigned count = 0;
    lsm_status status = find_numbers(w, NULL, found.numbers[IN_DEFAULT]);

    if (status == LSM_OK && w->other != NULL)
        status = find_numbers(w, w->other, found.numbers[IN_OTHER]);
    if (status == LSM_OK && !find_prefix(w, &found, &count)) {
        describe_difference(w, &found);
        return;
    }
    if (status == LSM_OK) {
        settle(&w->history, count);
        status = world_read(w, &found);
    }
    if (status != LSM_OK)
        world_wrong(w, "reading after reopening: %s", lsm_errmsg());
}

// test_cursor_model.c -- random operations on a whole database against a sorted array.
//
// The model keeps every version of every key. What a reader at a timestamp sees is
// computed from it and compared with gets and cursors at each step, while flushes,
// merges, single background jobs and clean reopenings come in between.

#include "support/db_fixture.h"
#include "support/random.h"

#define KEYS          160
#define VERSIONS_MAX  40000
#define SNAPSHOTS_MAX 4
#define VALUE_MAX     6000
#define OWN_TS        TS_MAX // of writes of an open transaction

struct model_version {
    unsigned key;
    uint64_t ts;
    bool is_delete;
    uint32_t size;
    uint8_t user_byte;
};

static struct {
    struct db_fixture db;
    struct random random;
    struct model_version *versions; // by ts
    size_t count;
    uint64_t stamp; // gives each version bytes of its own
    lsm_snapshot *snapshots[SNAPSHOTS_MAX];
    lsm_snapshot *keeper; // of all versions, so that cursors over them can be compared; or NULL
} m;

// --- keys and values ---

// Keys order as their numbers; some are prefixes of others and some have many bytes. The first
// is the empty key.
static lsm_slice key_of(unsigned key, char *to)
{
    size_t size = 0;

    if (key == 0)
        return slice_make(to, 0);
    size = (size_t)sprintf(to, "%c%02u", 'a' + (int)(key / 40), key % 40 / 2);
    if (key % 2 == 1)
        size += (size_t)sprintf(to + size, "%s", key % 3 == 0 ? "/a/longer/tail/of/a/key" : "/");
    return slice_make(to, size);
}

#define KEY_BYTES 64

// A place on, just before or just behind a key, or beyond them all.
static lsm_slice random_place(char *to)
{
    lsm_slice at = key_of((unsigned)random_below(&m.random, KEYS), to);

    switch (random_below(&m.random, 6)) {
    case 0:
        to[at.size] = '\0';
        return slice_make(to, at.size + 1);
    case 1:
        return slice_make(to, at.size == 0 ? 0 : at.size - 1);
    case 2:
        to[0] = random_one_in(&m.random, 2) ? 'A' : 'z';
        return slice_make(to, 1);
    default:
        return at;
    }
}

static uint32_t random_size(void)
{
    switch (random_below(&m.random, 8)) {
    case 0:
        return 0;
    case 1:
        return (uint32_t)random_below(&m.random, VALUE_MAX);
    case 2:
        return 1000 + (uint32_t)random_below(&m.random, 100);
    default:
        return (uint32_t)random_below(&m.random, 60);
    }
}

static lsm_slice value_of(const struct model_version *v, uint8_t *to)
{
    for (uint32_t i = 0; i < v->size; i++)
        to[i] = (uint8_t)(v->key * 31 + v->user_byte * 17 + i * (v->size | 1));
    return slice_make(to, v->size);
}

static struct model_version random_version(void)
{
    return (struct model_version){.key = (unsigned)random_below(&m.random, KEYS),
                                  .is_delete = random_one_in(&m.random, 4),
                                  .size = random_size(),
                                  .user_byte = (uint8_t)++m.stamp};
}

// --- the model ---

static void remember(struct model_version v, uint64_t ts)
{
    cr_assert(lt(sz, m.count, VERSIONS_MAX));
    v.ts = ts;
    m.versions[m.count++] = v;
}

// The newest version of `key` at or below `ts`, own writes apart; NULL: none.
static const struct model_version *newest(unsigned key, uint64_t ts, bool with_own)
{
    for (size_t i = m.count; i > 0; i--) {
        const struct model_version *v = &m.versions[i - 1];

        if (v->key == key && (v->ts <= ts || (with_own && v->ts == OWN_TS)))
            return v;
    }
    return NULL;
}

// What a cursor shows, in its order.
struct picture {
    struct model_version entries[VERSIONS_MAX];
    size_t count;
};

static bool is_inside(lsm_slice key, const lsm_iter_options *o)
{
    return (o->lower == NULL || slice_compare(key, *o->lower) >= (o->lower_exclusive ? 1 : 0)) &&
           (o->upper == NULL || slice_compare(key, *o->upper) < (o->upper_inclusive ? 1 : 0)) &&
           (o->prefix == NULL || (key.size >= o->prefix->size &&
                                  memcmp(key.data, o->prefix->data, o->prefix->size) == 0));
}

static void picture_key(struct picture *p, unsigned key, uint64_t ts, bool with_own,
                        const lsm_iter_options *o)
{
    for (size_t i = m.count; i > 0; i--) {
        const struct model_version *v = &m.versions[i - 1];
        const bool is_own = v->ts == OWN_TS;

        if (v->key != key || (is_own ? !with_own : v->ts > ts))
            continue;
        if (v->ts > o->since_ts && (o->all_versions || !v->is_delete))
            p->entries[p->count++] = *v;
        if (!o->all_versions)
            return;
        // Of a transaction's own writes of a key only the last one counts.
        while (is_own && i > 1 && m.versions[i - 2].ts == OWN_TS)
            i--;
    }
}

static void picture_take(struct picture *p, uint64_t ts, bool with_own, const lsm_iter_options *o)
{
    char bytes[KEY_BYTES];

    p->count = 0;
    for (unsigned key = 0; key < KEYS; key++) {
        if (is_inside(key_of(key, bytes), o))
            picture_key(p, key, ts, with_own, o);
    }
}

// --- comparing ---

static void compare_entry(lsm_iter *it, const struct model_version *v, const lsm_iter_options *o)
{
    static uint8_t wants[VALUE_MAX];
    char bytes[KEY_BYTES];
    lsm_slice value;

    cr_assert(slice_equal(lsm_iter_key(it), key_of(v->key, bytes)), "key %u wanted, has %.*s",
              v->key, (int)lsm_iter_key(it).size, (const char *)lsm_iter_key(it).data);
    cr_assert(eq(u64, lsm_iter_ts(it), v->ts));
    cr_assert(eq(int, lsm_iter_is_deleted(it), v->is_delete));
    if (v->is_delete)
        return;
    cr_assert(eq(u8, lsm_iter_user_byte(it), v->user_byte));
    cr_assert(eq(u64, lsm_iter_value_size(it), v->size));
    if (o->keys_only) {
        assert_status(lsm_iter_value(it, &value), LSM_INVALID);
    } else if (!random_one_in(&m.random, 3)) {
        assert_ok(lsm_iter_value(it, &value));
        cr_assert(slice_equal(value, value_of(v, wants)));
    }
}

// The first entry of the picture at or behind `place`; its count: none.
static size_t first_from(const struct picture *p, lsm_slice place)
{
    char bytes[KEY_BYTES];
    size_t at = 0;

    while (at < p->count && slice_compare(key_of(p->entries[at].key, bytes), place) < 0)
        at++;
    return at;
}

// The last entry at or before `place`; SIZE_MAX: none.
static size_t last_until(const struct picture *p, lsm_slice place)
{
    char bytes[KEY_BYTES];
    size_t at = p->count;

    while (at > 0 && slice_compare(key_of(p->entries[at - 1].key, bytes), place) > 0)
        at--;
    return at - 1;
}

// Makes one move on cursor and model; `*at` is where the model stands, outside the picture at
// an end.
static lsm_status random_move(lsm_iter *it, const struct picture *p, size_t *at, bool *is_forward)
{
    char bytes[KEY_BYTES];
    lsm_slice place;
    const bool is_on_entry = *at < p->count;

    if (is_on_entry && !random_one_in(&m.random, 12)) {
        if (random_one_in(&m.random, 8))
            *is_forward = !*is_forward;
        *at = *is_forward ? *at + 1 : *at - 1;
        return *is_forward ? lsm_iter_next(it) : lsm_iter_prev(it);
    }
    *is_forward = random_one_in(&m.random, 2);
    if (random_one_in(&m.random, 4)) {
        *at = *is_forward ? 0 : p->count - 1;
        return *is_forward ? lsm_iter_first(it) : lsm_iter_last(it);
    }
    place = random_place(bytes);
    *at = *is_forward ? first_from(p, place) : last_until(p, place);
    return *is_forward ? lsm_iter_seek(it, place) : lsm_iter_seek_for_prev(it, place);
}

// `*at` SIZE_MAX: the cursor has no position yet.
static void compare_cursor(lsm_iter *it, const struct picture *p, const lsm_iter_options *o,
                           size_t *at)
{
    bool is_forward = true;

    for (unsigned i = 0; i < 40; i++) {
        lsm_status status = random_move(it, p, at, &is_forward);

        if (*at < p->count) {
            assert_ok(status);
            compare_entry(it, &p->entries[*at], o);
        } else {
            assert_status(status, LSM_NOT_FOUND);
            cr_assert(eq(sz, lsm_iter_key(it).size, 0));
            assert_status(lsm_iter_next(it), LSM_INVALID);
        }
    }
}

// --- operations ---

static uint64_t published(void)
{
    return oracle_published(m.db.db->oracle);
}

static void write_one(void)
{
    static uint8_t bytes[VALUE_MAX];
    char key[KEY_BYTES];
    struct model_version v = random_version();
    const lsm_write_options options = {.user_byte = v.user_byte};

    if (v.is_delete)
        assert_ok(lsm_delete(m.db.db, NULL, key_of(v.key, key), NULL));
    else
        assert_ok(lsm_put(m.db.db, NULL, key_of(v.key, key), value_of(&v, bytes), &options));
    remember(v, published());
}

// Of several writes of a key in one commit only the last is a version, with the commit's `ts`.
static void settle_commit(size_t start, uint64_t ts)
{
    size_t kept = start;

    for (size_t i = start; i < m.count; i++) {
        bool is_last = true;

        for (size_t j = i + 1; j < m.count && is_last; j++)
            is_last = m.versions[j].key != m.versions[i].key;
        if (!is_last)
            continue;
        m.versions[kept] = m.versions[i];
        m.versions[kept++].ts = ts;
    }
    m.count = kept;
}

static void write_batch(void)
{
    static uint8_t bytes[VALUE_MAX];
    const uint8_t user_byte = (uint8_t)++m.stamp;
    const lsm_write_options options = {.user_byte = user_byte};
    const size_t count = random_below(&m.random, 30);
    const size_t start = m.count;
    char key[KEY_BYTES];
    lsm_batch *batch;

    assert_ok(lsm_batch_new(&batch));
    for (size_t i = 0; i < count; i++) {
        struct model_version v = random_version();

        v.user_byte = user_byte;
        if (v.is_delete)
            assert_ok(lsm_batch_delete(batch, NULL, key_of(v.key, key)));
        else
            assert_ok(lsm_batch_put(batch, NULL, key_of(v.key, key), value_of(&v, bytes)));
        remember(v, OWN_TS);
    }
    assert_ok(lsm_write(m.db.db, batch, &options));
    lsm_batch_free(batch);
    settle_commit(start, published());
}

static lsm_iter_options random_options(lsm_slice places[3], char bytes[3][KEY_BYTES])
{
    lsm_iter_options o = LSM_ITER_OPTIONS_INIT;

    for (int i = 0; i < 3; i++)
        places[i] = random_place(bytes[i]);
    if (random_one_in(&m.random, 3))
        o.lower = &places[0];
    if (random_one_in(&m.random, 3))
        o.upper = &places[1];
    o.lower_exclusive = o.lower != NULL && random_one_in(&m.random, 2);
    o.upper_inclusive = o.upper != NULL && random_one_in(&m.random, 2);
    if (random_one_in(&m.random, 4)) {
        places[2].size = random_below(&m.random, places[2].size + 1);
        o.prefix = &places[2];
    }
    o.keys_only = random_one_in(&m.random, 5);
    o.all_versions = m.keeper != NULL && random_one_in(&m.random, 3);
    if (!o.all_versions && random_one_in(&m.random, 6))
        o.since_ts = random_below(&m.random, published() + 1);
    o.prefetch = random_one_in(&m.random, 2) ? 0 : (uint32_t)random_below(&m.random, 6);
    o.no_fill_cache = random_one_in(&m.random, 2);
    return o;
}

static void compare_txn_cursor(lsm_txn *txn)
{
    static struct picture picture;
    char bytes[3][KEY_BYTES];
    lsm_slice places[3];
    lsm_iter_options o = random_options(places, bytes);
    size_t at = SIZE_MAX;
    lsm_iter *it;

    assert_ok(lsm_txn_iter_open(txn, NULL, &o, &it));
    picture_take(&picture, lsm_txn_read_ts(txn), true, &o);
    compare_cursor(it, &picture, &o, &at);
    lsm_iter_close(it);
}

static void txn_write(lsm_txn *txn)
{
    static uint8_t bytes[VALUE_MAX];
    struct model_version v = random_version();
    char key[KEY_BYTES];

    if (v.is_delete)
        assert_ok(lsm_txn_delete(txn, NULL, key_of(v.key, key)));
    else
        assert_ok(
            lsm_txn_put_entry(txn, NULL, key_of(v.key, key), value_of(&v, bytes), 0, v.user_byte));
    remember(v, OWN_TS);
}

// Writes, reads its own writes, rolls back to savepoints, and commits or not.
static void run_txn(void)
{
    const size_t start = m.count;
    const size_t count = random_below(&m.random, 25);
    size_t saved = SIZE_MAX;
    uint64_t savepoint = 0;
    lsm_txn *txn;

    assert_ok(lsm_begin(m.db.db, (lsm_txn_mode)random_below(&m.random, 2), &txn));
    for (size_t i = 0; i < count; i++) {
        txn_write(txn);
        if (random_one_in(&m.random, 10)) {
            assert_ok(lsm_txn_savepoint(txn, &savepoint));
            saved = m.count;
        } else if (saved != SIZE_MAX && random_one_in(&m.random, 10)) {
            assert_ok(lsm_txn_rollback_to(txn, savepoint));
            m.count = saved;
        }
        if (random_one_in(&m.random, 8))
            compare_txn_cursor(txn);
    }
    compare_txn_cursor(txn);
    if (random_one_in(&m.random, 4)) {
        assert_ok(lsm_rollback(txn));
        m.count = start;
    } else {
        assert_ok(lsm_commit(txn, NULL));
        settle_commit(start, lsm_txn_commit_ts(txn));
    }
    lsm_txn_free(txn);
}

static void turn_snapshot(void)
{
    lsm_snapshot **slot = &m.snapshots[random_below(&m.random, SNAPSHOTS_MAX)];

    lsm_snapshot_free(*slot);
    *slot = NULL;
    if (random_one_in(&m.random, 2))
        assert_ok(lsm_snapshot_new(m.db.db, NULL, slot));
}

static void free_snapshots(void)
{
    for (size_t i = 0; i < SNAPSHOTS_MAX; i++) {
        lsm_snapshot_free(m.snapshots[i]);
        m.snapshots[i] = NULL;
    }
}

// A flush, a merge of a range, a few background jobs, or a clean reopening.
static void settle(void)
{
    char bytes[2][KEY_BYTES];
    const lsm_slice from = random_place(bytes[0]);
    const lsm_slice to = random_place(bytes[1]);

    switch (random_below(&m.random, 8)) {
    case 0:
    case 1:
        assert_ok(lsm_flush(m.db.db));
        break;
    case 2:
        if (slice_compare(from, to) <= 0)
            assert_ok(lsm_compact_range(m.db.db, NULL, &from, &to));
        else
            assert_ok(lsm_compact_range(m.db.db, NULL, NULL, NULL));
        break;
    case 3:
        if (m.keeper == NULL && random_one_in(&m.random, 4)) {
            free_snapshots();
            db_fixture_reopen(&m.db);
        }
        break;
    default:
        for (uint64_t i = random_below(&m.random, 6); i > 0; i--)
            (void)scheduler_run_one(m.db.db->scheduler);
    }
}

static void compare_gets(lsm_snapshot *snapshot)
{
    const uint64_t ts = snapshot == NULL ? published() : lsm_snapshot_ts(snapshot);
    static uint8_t wants[VALUE_MAX];
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    char bytes[KEY_BYTES];

    for (unsigned key = (unsigned)random_below(&m.random, 8); key < KEYS; key += 8) {
        const struct model_version *v = newest(key, ts, false);
        const lsm_slice at = key_of(key, bytes);
        const bool is_there = v != NULL && !v->is_delete;

        assert_status(snapshot == NULL ? lsm_get(m.db.db, NULL, at, &value)
                                       : lsm_snapshot_get(snapshot, NULL, at, &value),
                      is_there ? LSM_OK : LSM_NOT_FOUND);
        if (is_there)
            cr_assert(slice_equal(slice_of_buf(&value), value_of(v, wants)));
    }
}

// Compares one cursor, with writes and background work between its moves.
static void compare_reader(void)
{
    lsm_snapshot *snapshot = m.snapshots[random_below(&m.random, SNAPSHOTS_MAX)];
    const uint64_t ts = snapshot == NULL ? published() : lsm_snapshot_ts(snapshot);
    static struct picture picture;
    char bytes[3][KEY_BYTES];
    lsm_slice places[3];
    lsm_iter_options o = random_options(places, bytes);
    size_t at = SIZE_MAX;
    lsm_iter *it;

    assert_ok(snapshot == NULL ? lsm_iter_open(m.db.db, NULL, &o, &it)
                               : lsm_snapshot_iter_open(snapshot, NULL, &o, &it));
    picture_take(&picture, ts, false, &o);
    compare_cursor(it, &picture, &o, &at);
    write_one();
    for (uint64_t i = random_below(&m.random, 4); i > 0; i--)
        (void)scheduler_run_one(m.db.db->scheduler);
    if (random_one_in(&m.random, 4))
        assert_ok(lsm_flush(m.db.db));
    compare_cursor(it, &picture, &o, &at);
    lsm_iter_close(it);
    compare_gets(snapshot);
}

static void step(void)
{
    switch (random_below(&m.random, 10)) {
    case 0:
        write_batch();
        break;
    case 1:
        run_txn();
        break;
    case 2:
        turn_snapshot();
        break;
    case 3:
        settle();
        break;
    case 4:
        compare_reader();
        break;
    default:
        write_one();
    }
}

static void run_model(const char *name, uint64_t threshold, bool keeps_all, unsigned steps)
{
    m.random = random_for_test(name);
    m.versions = calloc(VERSIONS_MAX, sizeof *m.versions);
    db_fixture_prepare(&m.db, random_next(&m.random));
    m.db.options.value_threshold = threshold;
    m.db.options.level0_trigger = 2;
    db_fixture_open(&m.db);
    if (keeps_all)
        assert_ok(lsm_snapshot_new(m.db.db, "keeper", &m.keeper));
    scheduler_set_seed(m.db.db->scheduler, random_next(&m.random));
    for (unsigned i = 0; i < steps; i++)
        step();
    free_snapshots();
    lsm_snapshot_free(m.keeper);
    assert_ok(lsm_verify(m.db.db, NULL, NULL));
    db_fixture_end(&m.db);
    free(m.versions);
}

Test(cursor_model, values_in_the_log_from_1_kib_on)
{
    run_model("threshold 1 KiB", 1 << 10, false, 1500);
}

Test(cursor_model, every_value_in_the_log)
{
    run_model("threshold 0", 0, false, 1500);
}

Test(cursor_model, every_value_in_the_tables)
{
    run_model("threshold 64 KiB", 64 << 10, false, 1500);
}

Test(cursor_model, all_versions_while_a_snapshot_keeps_them)
{
    run_model("all versions", 1 << 10, true, 800);
}

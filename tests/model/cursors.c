// cursors.c -- iterators over very many keys, against a sorted array.
//
// A database of many keys, with versions, tombstones and expiry, in several keyspaces, is
// built by batches in random order, with flushes and merges in between. Then iterators of
// every kind walk and jump in it: both ways, turning in the middle, with bounds on, between,
// before and behind keys, in snapshots, transactions and the database as it is, while keys are
// written, memtables flushed and jobs run at any step. Each answer is compared with the array.
//
//     cursors [campaign options] [--keys N] [--cursors N]
//
// Every round is a database of its own.

#include <inttypes.h>
#include <stdlib.h>

#include "db/db.h"
#include "support/campaign.h"
#include "support/sim.h"

#define KEYSPACES     3u
#define KEY_MAX       24
#define VALUE_MAX     64
#define BATCH_KEYS    2000u
#define SNAPSHOTS     3
#define MOVES         60u // of one iterator
#define CURSORS_EACH  100000u
#define EPOCH_SECONDS UINT64_C(1700000000) // where the simulated clock begins

// A version of a key. The versions of a key are a list, newest first.
struct key_version {
    uint64_t ts;
    uint32_t older;  // index + 1; 0: none
    uint32_t stamp;  // its value; 0: a tombstone
    uint32_t expiry; // seconds after EPOCH_SECONDS; 0: never
};

struct key_reader {
    lsm_snapshot *snapshot; // NULL: the database as it is
    uint64_t ts;
    uint64_t wall;
};

static struct {
    struct campaign campaign;
    uint32_t keys; // of all keyspaces together
    uint32_t cursors;
    struct sim *sim;
    struct lsm_options options;
    lsm_db *db;
    lsm_keyspace *keyspaces[KEYSPACES];
    uint32_t *newest; // of each key: index of its version + 1; 0: none
    struct key_version *versions;
    size_t version_count;
    size_t version_capacity;
    struct key_reader readers[SNAPSHOTS];
    uint32_t stamp;
    uint64_t moves;
} m;

static _Noreturn void fail(const char *what)
{
    campaign_violation(&m.campaign, "%s: %s\n    with --keys %" PRIu32 " --cursors %" PRIu32, what,
                       lsm_errmsg(), m.keys, m.cursors);
    exit(campaign_end(&m.campaign, m.moves, "moves"));
}

static void must(lsm_status status, const char *what)
{
    if (status != LSM_OK)
        fail(what);
}

// --- keys and values ---

// Key `n` of any keyspace. Keys order as their numbers; every seventh is a prefix of the next.
// The first is the empty key.
static lsm_slice key_of(uint32_t n, char to[KEY_MAX])
{
    static const char *const tails[] = {"", "\x01", "-", "-a", "-ab", "-b", "z"};
    const int size = snprintf(to, KEY_MAX, "%07" PRIu32 "%s", n / 7, tails[n % 7]);

    return slice_make(to, n == 0 ? 0 : (size_t)size);
}

static lsm_slice value_of(uint32_t stamp, uint8_t to[VALUE_MAX])
{
    const size_t size = stamp % VALUE_MAX;

    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(stamp >> (i % 4 * 8));
    return slice_make(to, size);
}

static uint32_t keys_per_keyspace(void)
{
    return m.keys / KEYSPACES;
}

static uint32_t *newest_of(uint32_t ks, uint32_t key)
{
    return &m.newest[ks * keys_per_keyspace() + key];
}

// --- the array ---

static void remember(uint32_t ks, uint32_t key, struct key_version version)
{
    uint32_t *newest = newest_of(ks, key);

    if (m.version_count == m.version_capacity) {
        m.version_capacity = m.version_capacity * 2 + 1024;
        m.versions = realloc(m.versions, m.version_capacity * sizeof *m.versions);
        if (m.versions == NULL)
            abort();
    }
    version.older = *newest;
    m.versions[m.version_count++] = version;
    *newest = (uint32_t)m.version_count;
}

// What a reader sees of a key; NULL: nothing.
static const struct key_version *seen(const struct key_reader *reader, uint32_t ks, uint32_t key)
{
    for (uint32_t at = *newest_of(ks, key); at != 0; at = m.versions[at - 1].older) {
        const struct key_version *v = &m.versions[at - 1];

        if (v->ts > reader->ts)
            continue;
        if (v->stamp == 0 || (v->expiry != 0 && v->expiry + EPOCH_SECONDS <= reader->wall))
            return NULL;
        return v;
    }
    return NULL;
}

// --- building ---

static uint64_t published(void)
{
    return oracle_published(m.db->oracle);
}

static uint64_t wall(void)
{
    return oracle_wall_seconds(m.db->oracle);
}

static struct key_version random_version(struct random *random)
{
    struct key_version version = {.stamp = random_one_in(random, 5) ? 0 : ++m.stamp};

    if (version.stamp != 0 && random_one_in(random, 8))
        version.expiry = 1 + (uint32_t)random_below(random, 600);
    return version;
}

// Writes the keys from `key` on, `step` apart, in one transaction.
static void write_keys(struct random *random, uint32_t ks, uint32_t key, uint32_t step,
                       uint32_t count)
{
    const size_t start = m.version_count;
    const lsm_write_options options = {.sync = LSM_SYNC_WRITTEN};
    uint8_t value[VALUE_MAX];
    char text[KEY_MAX];
    lsm_txn *txn;

    must(lsm_begin(m.db, LSM_TXN_SNAPSHOT, &txn), "begin");
    for (uint32_t i = 0; i < count && key < keys_per_keyspace(); i++, key += step) {
        const struct key_version version = random_version(random);

        remember(ks, key, version);
        if (version.stamp == 0)
            must(lsm_txn_delete(txn, m.keyspaces[ks], key_of(key, text)), "delete");
        else
            must(lsm_txn_put_entry(txn, m.keyspaces[ks], key_of(key, text),
                                   value_of(version.stamp, value),
                                   version.expiry == 0 ? 0 : EPOCH_SECONDS + version.expiry, 0),
                 "put");
    }
    must(lsm_commit(txn, &options), "commit");
    for (size_t i = start; i < m.version_count; i++)
        m.versions[i].ts = lsm_txn_commit_ts(txn);
    lsm_txn_free(txn);
}

static void open_database(struct random *random)
{
    static const char *const names[KEYSPACES] = {"default", "second", "third"};

    must(sim_new(random_next(random), &m.sim), "sim");
    options_init(&m.options);
    m.options.env = sim_env(m.sim);
    m.options.is_manual = true;
    m.options.memtable_size = 1 << 20;
    m.options.cache_size = 4 << 20;
    m.options.table_size = 256 << 10;
    m.options.level_base_size = 1 << 20;
    m.options.level_multiplier = 4;
    m.options.value_threshold = random_one_in(random, 2) ? 60 : 1 << 10;
    must(lsm_open("/db", &m.options, &m.db), "open");
    scheduler_set_seed(m.db->scheduler, random_next(random));
    for (uint32_t i = 0; i < KEYSPACES; i++)
        must(lsm_keyspace_open(m.db, names[i], true, NULL, &m.keyspaces[i]), "keyspace");
}

static void some_jobs(struct random *random, uint64_t max)
{
    for (uint64_t i = random_below(random, max); i > 0; i--)
        (void)scheduler_run_one(m.db->scheduler);
}

static void turn_reader(uint64_t slot)
{
    struct key_reader *reader = &m.readers[slot];

    lsm_snapshot_free(reader->snapshot);
    *reader = (struct key_reader){.ts = published(), .wall = wall()};
    must(lsm_snapshot_new(m.db, NULL, &reader->snapshot), "snapshot");
}

// Every key once, in strides, then a part of them again and again.
static void build(struct random *random)
{
    const uint32_t per = keys_per_keyspace();
    const uint32_t strides = per / BATCH_KEYS + 1;

    for (uint32_t ks = 0; ks < KEYSPACES; ks++) {
        for (uint32_t i = 0; i < strides; i++)
            write_keys(random, ks, i, strides, BATCH_KEYS);
        some_jobs(random, 20);
    }
    for (uint32_t i = 0; i < m.keys / BATCH_KEYS / 2; i++) {
        if (random_one_in(random, 40))
            turn_reader(random_below(random, SNAPSHOTS));
        write_keys(random, (uint32_t)random_below(random, KEYSPACES),
                   (uint32_t)random_below(random, per), 1 + (uint32_t)random_below(random, 30),
                   BATCH_KEYS);
        some_jobs(random, 4);
        sim_advance(m.sim, random_below(random, UINT64_C(1000000000)));
    }
    for (uint64_t i = 0; i < SNAPSHOTS; i++)
        turn_reader(i);
}

// --- one cursor ---

struct cursor {
    lsm_iter *it;
    lsm_txn *txn; // that it reads in, or NULL
    struct key_reader reader;
    uint32_t ks;
    bool is_keys_only;
    uint32_t low;  // keys from here
    uint32_t high; // up to but not including
    uint32_t at;   // where it stands; KEYS_END: nowhere
    bool is_on;
};

// A place on, just behind or just before key `n`, and the first key at or behind it: the empty
// key lies before the keys that it is a prefix of.
static lsm_slice place_near(struct random *random, uint32_t n, char to[KEY_MAX], uint32_t *from)
{
    lsm_slice key = key_of(n, to);

    *from = n;
    switch (random_below(random, 4)) {
    case 0:
        to[key.size] = '\0';
        *from = n + 1;
        return slice_make(to, key.size + 1);
    case 1: // without the last digit: before the keys of ten numbers
        *from = n < 70 ? 1 : n - n % 70;
        return slice_make(to, 6);
    default:
        return key;
    }
}

// Whether `place` is key `n` itself.
static bool is_key(lsm_slice place, uint32_t n)
{
    char text[KEY_MAX];

    return n < keys_per_keyspace() && slice_equal(place, key_of(n, text));
}

static uint32_t random_key(struct random *random)
{
    return (uint32_t)random_below(random, keys_per_keyspace());
}

// In the database as it is, in a transaction, or in a snapshot of some time ago.
static void open_iter(struct random *random, struct cursor *c, const lsm_iter_options *options)
{
    lsm_keyspace *keyspace = m.keyspaces[c->ks];

    c->reader = (struct key_reader){.ts = published(), .wall = wall()};
    switch (random_below(random, 4)) {
    case 0:
        must(lsm_iter_open(m.db, keyspace, options, &c->it), "iterator");
        break;
    case 1:
        must(lsm_begin(m.db, (lsm_txn_mode)random_below(random, 3), &c->txn), "begin");
        must(lsm_txn_iter_open(c->txn, keyspace, options, &c->it), "iterator of a transaction");
        break;
    default:
        c->reader = m.readers[random_below(random, SNAPSHOTS)];
        must(lsm_snapshot_iter_open(c->reader.snapshot, keyspace, options, &c->it),
             "iterator of a snapshot");
    }
}

static void open_cursor(struct random *random, struct cursor *c)
{
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    char text[2][KEY_MAX];
    lsm_slice lower;
    lsm_slice upper;

    c->ks = (uint32_t)random_below(random, KEYSPACES);
    c->low = 0;
    c->high = keys_per_keyspace();
    c->is_on = false;
    if (random_one_in(random, 2)) {
        lower = place_near(random, random_key(random), text[0], &c->low);
        options.lower = &lower;
        options.lower_exclusive = random_one_in(random, 2);
        c->low += options.lower_exclusive && is_key(lower, c->low);
    }
    if (random_one_in(random, 3)) {
        const uint32_t reach = 1u << random_below(random, 20);

        upper = place_near(random, (c->low + reach) % keys_per_keyspace(), text[1], &c->high);
        options.upper = &upper;
        options.upper_inclusive = random_one_in(random, 2);
        c->high += options.upper_inclusive && is_key(upper, c->high);
    }
    c->is_keys_only = options.keys_only = random_one_in(random, 4);
    options.prefetch = (uint32_t)random_below(random, 20);
    options.no_fill_cache = random_one_in(random, 2);
    open_iter(random, c, &options);
}

// The first key from `n` on that is seen, upwards or downwards; false: there is none.
static bool find_seen(const struct cursor *c, int64_t n, int direction, uint32_t *key)
{
    if (direction > 0 && n < c->low)
        n = c->low;
    if (direction < 0 && n >= c->high)
        n = (int64_t)c->high - 1;
    for (; n >= c->low && n < c->high; n += direction) {
        if (seen(&c->reader, c->ks, (uint32_t)n) != NULL) {
            *key = (uint32_t)n;
            return true;
        }
    }
    return false;
}

static lsm_status seek(struct random *random, struct cursor *c, int direction)
{
    char text[KEY_MAX];
    uint32_t from;
    const lsm_slice place = place_near(random, random_key(random), text, &from);
    const bool is_on_key = is_key(place, from);

    if (direction > 0) {
        c->is_on = find_seen(c, from, 1, &c->at);
        return lsm_iter_seek(c->it, place);
    }
    c->is_on = find_seen(c, is_on_key ? from : (int64_t)from - 1, -1, &c->at);
    return lsm_iter_seek_for_prev(c->it, place);
}

// Makes one move on iterator and array.
static lsm_status move(struct random *random, struct cursor *c, int *direction)
{
    if (c->is_on && !random_one_in(random, 15)) {
        if (random_one_in(random, 8))
            *direction = -*direction;
        c->is_on = find_seen(c, (int64_t)c->at + *direction, *direction, &c->at);
        return *direction > 0 ? lsm_iter_next(c->it) : lsm_iter_prev(c->it);
    }
    *direction = random_one_in(random, 2) ? 1 : -1;
    if (!random_one_in(random, 8))
        return seek(random, c, *direction);
    c->is_on = find_seen(c, *direction > 0 ? 0 : (int64_t)c->high - 1, *direction, &c->at);
    return *direction > 0 ? lsm_iter_first(c->it) : lsm_iter_last(c->it);
}

static void compare(const struct cursor *c, lsm_status status)
{
    const struct key_version *v;
    uint8_t wanted[VALUE_MAX];
    char text[KEY_MAX];
    lsm_slice value;

    if (status != (c->is_on ? LSM_OK : LSM_NOT_FOUND))
        fail(c->is_on ? "an entry is not found" : "an entry is found behind the end");
    if (!c->is_on)
        return;
    if (!slice_equal(lsm_iter_key(c->it), key_of(c->at, text)))
        fail("another key");
    v = seen(&c->reader, c->ks, c->at);
    if (lsm_iter_ts(c->it) != v->ts || lsm_iter_value_size(c->it) != v->stamp % VALUE_MAX)
        fail("another version");
    if (c->is_keys_only)
        return;
    must(lsm_iter_value(c->it, &value), "value");
    if (!slice_equal(value, value_of(v->stamp, wanted)))
        fail("another value");
}

// What may happen between two moves: it must not show.
static void disturb(struct random *random)
{
    switch (random_below(random, 40)) {
    case 0:
        write_keys(random, (uint32_t)random_below(random, KEYSPACES), random_key(random),
                   1 + (uint32_t)random_below(random, 5), 1 + (uint32_t)random_below(random, 20));
        break;
    case 1:
        some_jobs(random, 3);
        break;
    case 2:
        sim_advance(m.sim, random_below(random, UINT64_C(200000000)));
        break;
    default:
        break;
    }
}

static void run_cursor(struct random *random)
{
    struct cursor c = {0};
    int direction = 1;

    open_cursor(random, &c);
    for (uint32_t i = 0; i < MOVES; i++) {
        compare(&c, move(random, &c, &direction));
        disturb(random);
    }
    m.moves += MOVES;
    lsm_iter_close(c.it);
    lsm_txn_free(c.txn);
}

// --- rounds ---

static void upkeep(struct random *random)
{
    char text[2][KEY_MAX];
    const lsm_slice from = key_of(random_key(random), text[0]);
    const lsm_slice to = key_of(random_key(random), text[1]);

    if (random_one_in(random, 300))
        must(lsm_flush(m.db), "flush");
    if (random_one_in(random, 1000) && slice_compare(from, to) <= 0)
        must(lsm_compact_range(m.db, m.keyspaces[random_below(random, KEYSPACES)], &from, &to),
             "compact");
    if (random_one_in(random, 200))
        turn_reader(random_below(random, SNAPSHOTS));
}

static void close_database(void)
{
    for (size_t i = 0; i < SNAPSHOTS; i++)
        lsm_snapshot_free(m.readers[i].snapshot);
    for (size_t i = 0; i < KEYSPACES; i++)
        lsm_keyspace_close(m.keyspaces[i]);
    must(lsm_close(m.db), "close");
    sim_free(m.sim);
    memset(m.readers, 0, sizeof m.readers);
}

static void run_round(struct random *random)
{
    m.newest = calloc(m.keys, sizeof *m.newest);
    if (m.newest == NULL)
        abort();
    m.version_count = 0;
    open_database(random);
    build(random);
    for (uint32_t i = 0; i < m.cursors; i++) {
        upkeep(random);
        run_cursor(random);
    }
    close_database();
    free(m.newest);
}

int main(int argc, char **argv)
{
    struct random random;
    int kept = 1;

    m.keys = 1000000;
    m.cursors = CURSORS_EACH;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--keys") == 0 && i + 1 < argc)
            m.keys = (uint32_t)strtoul(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--cursors") == 0 && i + 1 < argc)
            m.cursors = (uint32_t)strtoul(argv[++i], NULL, 0);
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    m.campaign = campaign_begin("cursors", 1, kept, argv);
    while (m.campaign.violations == 0 && campaign_next(&m.campaign, &random))
        run_round(&random);
    free(m.versions);
    printf("%" PRIu32 " keys in %u keyspaces, %zu versions\n", m.keys, KEYSPACES, m.version_count);
    return campaign_end(&m.campaign, m.moves, "moves");
}

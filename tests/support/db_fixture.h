// db_fixture.h -- a whole database on a simulated disk, for tests of the public API.
//
// Background jobs run only when a test or a wait says so; stores are as small as the
// options allow, so that a few hundred entries fill several.

#ifndef LSM_TESTS_SUPPORT_DB_FIXTURE_H
#define LSM_TESTS_SUPPORT_DB_FIXTURE_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "db/db.h"
#include "support/sim.h"

#define assert_ok(call)            cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())
#define assert_status(call, wants) cr_assert(eq(int, (call), (wants)), "%s", lsm_errmsg())

// The call is refused, and the words are about it and not about an earlier one.
#define assert_refused(call)                                                                       \
    do {                                                                                           \
        (void)lsm_fail(LSM_IO, "an earlier failure");                                              \
        assert_status(call, LSM_INVALID);                                                          \
        cr_assert(strcmp(lsm_errmsg(), "an earlier failure") != 0);                                \
    } while (0)

#define DB_DIR   "/db"
#define NS_PER_S UINT64_C(1000000000)

struct db_fixture {
    struct sim *sim;
    struct lsm_options options;
    lsm_db *db;
};

static inline void db_fixture_open(struct db_fixture *f)
{
    assert_ok(lsm_open(DB_DIR, &f->options, &f->db));
}

static inline void db_fixture_close(struct db_fixture *f)
{
    assert_ok(lsm_close(f->db));
    f->db = NULL;
}

static inline void db_fixture_reopen(struct db_fixture *f)
{
    db_fixture_close(f);
    db_fixture_open(f);
}

// A disk and options; nothing is open yet.
static inline void db_fixture_prepare(struct db_fixture *f, uint64_t seed)
{
    *f = (struct db_fixture){0};
    assert_ok(sim_new(seed, &f->sim));
    options_init(&f->options);
    f->options.env = sim_env(f->sim);
    f->options.is_manual = true;
    f->options.memtable_size = 64 << 10;
    f->options.cache_size = 1 << 20;
    f->options.table_size = 16 << 10;
    f->options.block_size = 512;
    f->options.compressed_block_size = 1024;
    f->options.level_base_size = 64 << 10;
    f->options.level_multiplier = 3;
    f->options.segment_size_max = 1 << 20;
}

static inline void db_fixture_start(struct db_fixture *f)
{
    db_fixture_prepare(f, 1);
    db_fixture_open(f);
}

static inline void db_fixture_end(struct db_fixture *f)
{
    assert_ok(lsm_close(f->db));
    sim_free(f->sim);
}

// --- short forms for keys and values that are strings ---

static inline void put_text(struct db_fixture *f, const char *key, const char *value)
{
    assert_ok(lsm_put(f->db, NULL, lsm_str(key), lsm_str(value), NULL));
}

static inline void assert_buf(const lsm_buf *buf, const char *wants)
{
    cr_assert(eq(sz, buf->size, strlen(wants)));
    cr_assert(slice_equal(slice_of_buf(buf), lsm_str(wants)));
}

// The number that a value begins with, in decimal digits.
static inline unsigned number_in(const lsm_buf *value)
{
    char text[16] = "";

    memcpy(text, value->data, value->size < sizeof text ? value->size : sizeof text - 1);
    return (unsigned)strtoul(text, NULL, 10);
}

// `wants` NULL: absent.
static inline void assert_holds(struct db_fixture *f, lsm_keyspace *keyspace, const char *key,
                                const char *wants)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;

    assert_status(lsm_get(f->db, keyspace, lsm_str(key), &value),
                  wants == NULL ? LSM_NOT_FOUND : LSM_OK);
    assert_status(lsm_exists(f->db, keyspace, lsm_str(key)),
                  wants == NULL ? LSM_NOT_FOUND : LSM_OK);
    if (wants != NULL)
        assert_buf(&value, wants);
}

static inline void assert_txn_sees(lsm_txn *txn, const char *key, const char *wants)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;

    assert_status(lsm_txn_get(txn, NULL, lsm_str(key), &value),
                  wants == NULL ? LSM_NOT_FOUND : LSM_OK);
    if (wants != NULL)
        assert_buf(&value, wants);
}

#endif

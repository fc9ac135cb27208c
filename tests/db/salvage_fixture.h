// salvage_fixture.h -- a database on a simulated disk that is damaged, and salvaged.

#ifndef LSM_TESTS_DB_SALVAGE_FIXTURE_H
#define LSM_TESTS_DB_SALVAGE_FIXTURE_H

#include "db/salvage.h"
#include "support/db_fixture.h"

#define NEW_DIR "/rescued"

// One of each in a test, which is a process of its own.
static struct db_fixture f;
static struct salvage_report report;
static unsigned losses;
static char last_loss[256];

static inline void salvage_fixture_open(void)
{
    db_fixture_prepare(&f, 1);
    f.options.value_threshold = 100;
    db_fixture_open(&f);
    losses = 0;
    last_loss[0] = '\0';
}

static inline void salvage_fixture_close(void)
{
    salvage_report_release(&report);
    db_fixture_end(&f);
}

static inline void note_loss(void *ctx, const struct salvage_loss *loss)
{
    (void)ctx;
    losses++;
    (void)snprintf(last_loss, sizeof last_loss, "%s: %s", loss->file, loss->what);
}

// With the files of the database `whose`, or of the only one.
static inline lsm_status try_salvage_of(const struct uuid *whose, bool take_uncertain)
{
    const struct salvage_request request = {.env = sim_env(f.sim),
                                            .from = DB_DIR,
                                            .whose = whose,
                                            .to = NEW_DIR,
                                            .options = &f.options,
                                            .take_uncertain = take_uncertain,
                                            .on_loss = note_loss};

    return db_salvage(&request, &report);
}

static inline lsm_status try_salvage(bool take_uncertain)
{
    return try_salvage_of(NULL, take_uncertain);
}

// Salvages what has been closed, and goes on with the new database in its place.
static inline void salvage(bool take_uncertain)
{
    assert_ok(try_salvage(take_uncertain));
    assert_ok(lsm_open(NEW_DIR, &f.options, &f.db));
    assert_ok(lsm_verify(f.db, NULL, NULL));
}

struct found_file {
    const char *part; // of its name
    char name[64];    // the last one with it
    uint64_t size;
};

static inline lsm_status find_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct found_file *found = ctx;

    (void)is_regular;
    if (strstr(name, found->part) != NULL && strcmp(name, found->name) > 0) {
        (void)snprintf(found->name, sizeof found->name, "%.63s", name);
        found->size = size;
    }
    return LSM_OK;
}

// The last file whose name contains `part`.
static inline struct found_file last_file(const char *part)
{
    struct found_file found = {.part = part};
    struct dir *dir;

    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    assert_ok(dir_list(dir, find_file, &found));
    dir_close(dir);
    cr_assert(found.name[0] != '\0', "no %s", part);
    return found;
}

static inline void remove_file(const char *name)
{
    struct dir *dir;

    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    assert_ok(file_unlink(dir, name));
    assert_ok(dir_sync(dir));
    dir_close(dir);
}

static inline void flip(const char *name, uint64_t offset)
{
    assert_ok(sim_flip(f.sim, DB_DIR, name, offset, 0x04));
}

// Tables and log are left.
static inline void remove_current_and_manifest(void)
{
    remove_file("CURRENT");
    remove_file(last_file("MANIFEST").name);
}

// A value that is separated from its key.
static inline const char *large_value(void)
{
    static char large[301];

    memset(large, 'x', sizeof large - 1);
    return large;
}

// `wants` NULL: absent.
static inline void assert_keyspace_holds(const char *name, const char *key, const char *wants)
{
    lsm_keyspace *keyspace;

    assert_ok(lsm_keyspace_open(f.db, name, false, NULL, &keyspace));
    assert_holds(&f, keyspace, key, wants);
    lsm_keyspace_close(keyspace);
}

#endif

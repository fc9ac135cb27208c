// A closed database whose files the input patches, cuts, swaps and removes, and operations on
// what is left of it. Nothing may crash, hang or take much memory; and where lsm_verify()
// finds nothing wrong, a scan in either direction and point reads agree. Salvage makes a database
// of what is intact, which is whole.
//
// The input: a byte of flags, the number of changes, the changes (struct change, seven bytes
// and a patch of up to 15), then a byte for each operation.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "db/db.h"
#include "db/salvage.h"
#include "reseal.h"
#include "support/sim.h"

#define DIRECTORY   "/db"
#define FILES_MAX   32
#define FILE_MAX    (1u << 20)
#define CHANGES_MAX 8

enum flag {
    FLAG_RESEAL = 1,
    FLAG_READ_ONLY = 2,
    FLAG_SALVAGE = 4,
    FLAG_UNCERTAIN = 8,
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sim *whole; // the database before it is changed
static char names[FILES_MAX][32];
static size_t file_count;

static void must(lsm_status status)
{
    if (status != LSM_OK)
        abort();
}

static void set_options(struct lsm_options *options, struct sim *sim)
{
    options_init(options);
    options->env = sim_env(sim);
    options->is_manual = true;
    options->memtable_size = 64 << 10;
    options->cache_size = 1 << 20;
    options->conflict_history_size = 64 << 10;
    options->table_size = 16 << 10;
    options->block_size = 512;
    options->level_base_size = 64 << 10;
    options->segment_size_max = 1 << 20;
}

// --- the database ---

static void fill(lsm_db *db)
{
    char key[16];
    char value[3000];

    memset(value, 'v', sizeof value);
    for (unsigned i = 0; i < 48; i++) {
        (void)snprintf(key, sizeof key, "key-%03u", i * 7 % 24);
        if (i % 9 == 0)
            must(lsm_delete(db, NULL, lsm_str(key), NULL));
        else
            must(lsm_put(db, NULL, lsm_str(key), (lsm_slice){value, i % 5 == 0 ? sizeof value : i},
                         NULL));
        if (i % 16 == 15)
            must(lsm_flush(db));
    }
    must(lsm_compact_range(db, NULL, NULL, NULL));
    must(lsm_put(db, NULL, lsm_str("key-200"), lsm_str("last"), NULL));
}

static lsm_status note_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    (void)ctx;
    (void)is_regular;
    if (size == 0 || size > FILE_MAX || file_count == FILES_MAX || strlen(name) >= sizeof names[0])
        return LSM_OK;
    strcpy(names[file_count++], name);
    return LSM_OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct lsm_options options;
    struct dir *dir;
    lsm_db *db;

    (void)argc;
    (void)argv;
    must(sim_new(1, &whole));
    set_options(&options, whole);
    must(lsm_open(DIRECTORY, &options, &db));
    fill(db);
    must(lsm_close(db));
    must(dir_open(sim_env(whole), DIRECTORY, false, &dir));
    must(dir_list(dir, note_file, NULL));
    dir_close(dir);
    return 0;
}

// --- changes ---

struct change {
    uint8_t what;  // modulo 8: cut, swap, remove, else patch
    uint8_t file;  // modulo their number
    uint8_t other; // to swap with
    uint32_t at;   // modulo the size
    uint8_t size;  // of the patch, modulo 16
    lsm_slice bytes;
};

static struct change read_change(struct reader *r)
{
    struct change change = {.what = read_u8(r), .file = read_u8(r), .other = read_u8(r)};

    change.at = (uint32_t)read_u8(r) << 16 | (uint32_t)read_u8(r) << 8 | read_u8(r);
    change.size = read_u8(r) % 16;
    change.bytes = read_bytes(r, change.size <= reader_left(r) ? change.size : reader_left(r));
    return change;
}

static void read_file(struct dir *dir, const char *name, lsm_buf *out)
{
    struct file *file;
    uint64_t size;

    if (file_open(dir, name, FILE_READ, &file) != LSM_OK)
        return;
    must(file_size(file, &size));
    must(buf_reserve(out, (size_t)size));
    must(file_read_exact(file, 0, out->data, (size_t)size));
    out->size = (size_t)size;
    file_close_quietly(file);
}

static void write_file(struct dir *dir, const char *name, lsm_slice bytes)
{
    struct file *file;

    (void)file_unlink(dir, name);
    must(file_open(dir, name, FILE_CREATE, &file));
    must(file_write_one(file, 0, bytes));
    file_close_quietly(file);
}

static void apply(struct dir *dir, const struct change *change, bool is_resealed)
{
    const char *name = names[change->file % file_count];
    const char *other = names[change->other % file_count];
    lsm_buf bytes = LSM_BUF_INIT;
    size_t at;

    read_file(dir, change->what % 8 == 1 ? other : name, &bytes);
    at = bytes.size == 0 ? 0 : change->at % bytes.size;
    if (change->what % 8 == 0)
        bytes.size = at;
    else if (change->what % 8 > 2 && change->bytes.size > 0 &&
             change->bytes.size <= bytes.size - at)
        memcpy((uint8_t *)bytes.data + at, change->bytes.data, change->bytes.size);
    if (is_resealed && bytes.size > 0)
        reseal_any(bytes.data, bytes.size);
    if (change->what % 8 == 2)
        (void)file_unlink(dir, name);
    else
        write_file(dir, name, slice_of_buf(&bytes));
    lsm_buf_free(&bytes);
}

static void apply_changes(struct sim *sim, struct reader *r, bool is_resealed)
{
    unsigned count = read_u8(r) % (CHANGES_MAX + 1);
    struct dir *dir;

    must(dir_open(sim_env(sim), DIRECTORY, false, &dir));
    while (count-- > 0) {
        struct change change = read_change(r);

        if (!reader_ok(r))
            break;
        apply(dir, &change, is_resealed);
    }
    dir_close(dir);
}

// --- operations ---

static uint64_t scan(lsm_db *db, bool is_forward, bool is_checked)
{
    lsm_buf value = LSM_BUF_INIT;
    lsm_iter *it = NULL;
    uint64_t count = 0;
    lsm_status status;

    if (lsm_iter_open(db, NULL, NULL, &it) != LSM_OK)
        return 0;
    status = is_forward ? lsm_iter_first(it) : lsm_iter_last(it);
    for (; status == LSM_OK; status = is_forward ? lsm_iter_next(it) : lsm_iter_prev(it)) {
        lsm_slice scanned;
        const lsm_status read = lsm_iter_value(it, &scanned);
        lsm_slice key = lsm_iter_key(it);

        count++;
        value.size = 0;
        if (is_checked && (read != LSM_OK || lsm_get(db, NULL, key, &value) != LSM_OK ||
                           !slice_equal(scanned, slice_of_buf(&value))))
            abort();
    }
    if (is_checked && status != LSM_NOT_FOUND)
        abort();
    lsm_iter_close(it);
    lsm_buf_free(&value);
    return count;
}

static void check_scans(lsm_db *db)
{
    if (lsm_verify(db, NULL, NULL) == LSM_OK && scan(db, true, true) != scan(db, false, true))
        abort();
}

static void salvage(struct sim *sim, struct lsm_options *options, uint8_t flags)
{
    const struct salvage_request request = {.env = sim_env(sim),
                                            .from = DIRECTORY,
                                            .to = "/new",
                                            .options = options,
                                            .take_uncertain = flags & FLAG_UNCERTAIN};
    struct salvage_report report;
    lsm_db *db;

    if (db_salvage(&request, &report) != LSM_OK) {
        if (lsm_errmsg()[0] == '\0')
            abort();
        return;
    }
    salvage_report_release(&report);
    must(lsm_open_read_only("/new", options, &db));
    must(lsm_verify(db, NULL, NULL));
    must(lsm_close(db));
}

static void operate(lsm_db *db, uint8_t op)
{
    lsm_buf value = LSM_BUF_INIT;
    char key[16];

    (void)snprintf(key, sizeof key, "key-%03u", op % 32u);
    switch (op / 64) {
    case 0:
        (void)lsm_get(db, NULL, lsm_str(key), &value);
        break;
    case 1:
        (void)lsm_put(db, NULL, lsm_str(key), lsm_str("new"), NULL);
        break;
    case 2:
        (void)(op % 2 == 0 ? lsm_flush(db) : lsm_compact_range(db, NULL, NULL, NULL));
        break;
    default:
        (void)scan(db, op % 2 == 0, false);
    }
    lsm_buf_free(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_over(slice_make(data, size));
    const uint8_t flags = read_u8(&r);
    struct lsm_options options;
    struct sim *sim;
    lsm_status status;
    lsm_db *db;

    must(sim_clone(whole, &sim));
    apply_changes(sim, &r, flags & FLAG_RESEAL);
    set_options(&options, sim);
    if (flags & FLAG_SALVAGE)
        salvage(sim, &options, flags);
    status = flags & FLAG_READ_ONLY ? lsm_open_read_only(DIRECTORY, &options, &db)
                                    : lsm_open(DIRECTORY, &options, &db);
    if (status == LSM_OK) {
        check_scans(db);
        for (unsigned i = 0; i < 16 && reader_left(&r) > 0; i++)
            operate(db, read_u8(&r));
        (void)lsm_close(db);
    } else if (lsm_errmsg()[0] == '\0') {
        abort();
    }
    sim_free(sim);
    return 0;
}

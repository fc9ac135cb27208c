// Reading everything and believing nothing (lsm_verify()).
//
// Tables: every block, and what properties, filter and references claim. Segments: every
// frame and record up to the end that is known. Manifest and CURRENT: every edit. Across:
// every pointer of a table leads to a record of its key.

#include "base/alloc.h"
#include "db/read.h"
#include "manifest/manifest_file.h"
#include "vlog/log_recovery.h"

// Where results go, and the first failure.
struct verification {
    struct lsm_db *db;
    lsm_verify_fn progress;
    void *ctx;
    struct failure first;
};

static void report(struct verification *v, const char *file, uint64_t size, lsm_status status)
{
    if (status != LSM_OK && v->first.status == LSM_OK)
        failure_capture(&v->first, status);
    if (v->progress != NULL)
        v->progress(v->ctx, file, size, status, status == LSM_OK ? "" : lsm_errmsg());
}

// --- tables ---

// Reads the value of every pointer in the table.
static lsm_status verify_pointers(struct lsm_db *db, const struct view *view, struct table *table)
{
    const struct table_iter_options options = {.fill_cache = false, .sequential = true};
    CLEANUP(iter_closep) struct iter *it = NULL;
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;

    TRY(table_iter_new(table, &options, &it));
    TRY(iter_first(it));
    while (it->is_valid) {
        if (it->entry.kind == ENTRY_POINTER) {
            EPOCH_SECTION();

            TRY(read_value(db, view, &it->entry, -1, &value));
        }
        TRY(iter_next(it));
    }
    return LSM_OK;
}

static void verify_tables(struct verification *v, const struct view *view)
{
    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        const struct level *level = &view->version->levels[l];

        for (size_t i = 0; i < level->count; i++) {
            const struct table_meta *meta = table_meta(level->tables[i]);
            lsm_status status = table_verify(level->tables[i]);

            if (status == LSM_OK)
                status = verify_pointers(v->db, view, level->tables[i]);
            report(v, filename_of(FILENAME_TABLE, meta->id).text, meta->size, status);
        }
    }
}

// --- segments ---

struct segment_check {
    const char *name;
    uint64_t end; // where frames must reach without a gap; what lies behind is not judged
};

static lsm_status check_stretch(void *ctx, uint64_t offset, uint64_t size,
                                const struct frame_header *header, lsm_slice entries)
{
    const struct segment_check *check = ctx;

    (void)size;
    (void)entries;
    if (header == NULL && offset < check->end)
        return lsm_fail(LSM_CORRUPT, "%s, offset %llu: not a whole frame", check->name,
                        (unsigned long long)offset);
    return LSM_OK;
}

static lsm_status verify_segment(struct lsm_db *db, const char *name, uint64_t end)
{
    struct segment_check check = {.name = name, .end = end};
    uint64_t size;

    TRY(file_stat(db->dir, name, &size));
    if (size < end)
        return lsm_fail(LSM_CORRUPT, "%s: %llu bytes, %llu are missing", name,
                        (unsigned long long)size, (unsigned long long)(end - size));
    return segment_scan(db->dir, name, true, check_stretch, &check);
}

// How far the segment is known to be whole.
static uint64_t known_end(const struct verification *v, const struct segment_use *use)
{
    struct log_position mark;

    if (use->final_size != 0)
        return use->final_size;
    mark = v->db->log == NULL ? v->db->read_only_mark : log_mark(v->db->log);
    if (mark.segment == use->id)
        return mark.offset;
    return 0;
}

static void verify_segments(struct verification *v, const struct view *view)
{
    for (size_t i = 0; i < view->version->segment_count; i++) {
        const struct segment_use *use = &view->version->segments[i];
        const struct filename name = filename_of(FILENAME_SEGMENT, use->id);
        const uint64_t end = known_end(v, use);

        report(v, name.text, end, verify_segment(v->db, name.text, end));
    }
}

// --- manifest ---

static lsm_status check_edit(void *ctx, uint64_t offset, uint64_t size, const struct edit *edit)
{
    const char *name = ctx;

    (void)size;
    if (edit == NULL)
        return lsm_fail(LSM_CORRUPT, "%s, offset %llu: not a whole edit", name,
                        (unsigned long long)offset);
    return LSM_OK;
}

static void verify_manifest(struct verification *v)
{
    struct file_header current;
    struct filename name = filename_of(FILENAME_CURRENT, 0);
    uint64_t size = 0;
    lsm_status status = current_read(v->db->dir, &current);

    report(v, name.text, FILE_HEADER_SIZE, status);
    if (status != LSM_OK)
        return;
    name = filename_of(FILENAME_MANIFEST, current.number);
    status = file_stat(v->db->dir, name.text, &size);
    if (status == LSM_OK)
        status = manifest_scan(v->db->dir, name.text, check_edit, name.text);
    report(v, name.text, size, status);
}

lsm_status lsm_verify(lsm_db *db, lsm_verify_fn progress, void *ctx)
{
    struct verification v = {.db = db, .progress = progress, .ctx = ctx};
    struct view *view;

    TRY(db_check(db, "lsm_verify"));
    view = views_acquire(&db->views);
    verify_manifest(&v);
    verify_segments(&v, view);
    verify_tables(&v, view);
    view_unref(view);
    return v.first.status == LSM_OK ? LSM_OK : failure_raise(&v.first);
}

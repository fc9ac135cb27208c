// Reading everything and believing nothing (lsm_verify()).
//
// Tables: every block, and what properties, filter and references claim. Segments: every
// frame and record up to the end that is known. Manifest and CURRENT: every edit. Across:
// every pointer of a table leads to a record of its key.

#include "db/verify.h"

#include "base/alloc.h"
#include "base/file_header.h"
#include "db/read.h"
#include "manifest/manifest_file.h"
#include "vlog/frame_scan.h"

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

static lsm_status verify_frames(struct frame_scan *scan, uint64_t end)
{
    uint64_t at = FILE_HEADER_SIZE;
    struct frame_header header;
    lsm_slice entries;

    scan->limit = end;
    while (at < end) {
        bool verifies;

        TRY(frame_scan_at(scan, at, true, &verifies, &header, &entries));
        if (!verifies)
            return lsm_fail(LSM_CORRUPT, "%s, offset %llu: not a whole frame", scan->file->name,
                            (unsigned long long)at);
        at += frame_size(header.body_size);
    }
    return LSM_OK;
}

lsm_status verify_segment(struct dir *dir, const char *name, uint64_t end)
{
    CLEANUP(frame_scan_close) struct frame_scan scan = {.file = NULL};

    TRY(frame_scan_open(dir, name, &scan));
    if (scan.limit < end)
        return lsm_fail(LSM_CORRUPT, "%s: %llu bytes, %llu are missing", name,
                        (unsigned long long)scan.limit, (unsigned long long)(end - scan.limit));
    return verify_frames(&scan, end);
}

static void verify_to(struct verification *v, uint32_t id, uint64_t end)
{
    const struct filename name = filename_of(FILENAME_SEGMENT, id);

    report(v, name.text, end, verify_segment(v->db->dir, name.text, end));
}

static bool is_linked(const struct log_link *links, size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (links[i].id == id)
            return true;
    }
    return false;
}

// The segments that are log, each as far as it is known to be whole: to its final length, the
// last one to the mark.
static lsm_status verify_log(struct verification *v, const struct version *version)
{
    struct lsm_db *db = v->db;
    CLEANUP(mem_freep) struct log_link *own_links = NULL;
    CLEANUP(mem_freep) struct segment **segments = NULL;
    const struct log_link *links = db->read_only_chain;
    size_t count = db->read_only_chain_count;
    struct log_position mark = db->read_only_mark;

    if (db->log != NULL) {
        TRY(log_chain_all(db->log, &own_links, &segments, &count));
        links = own_links;
        mark = log_mark(db->log);
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t end = links[i].final_size;

        if (end == 0)
            end = links[i].id == mark.segment ? mark.offset : FILE_HEADER_SIZE;
        verify_to(v, links[i].id, end);
    }
    // A segment that has got no frame is in no chain.
    for (size_t i = 0; i < version->segment_count; i++) {
        if (version->segments[i].final_size == 0 &&
            !is_linked(links, count, version->segments[i].id))
            verify_to(v, version->segments[i].id, FILE_HEADER_SIZE);
    }
    return LSM_OK;
}

static void verify_segments(struct verification *v, const struct view *view)
{
    lsm_status status;

    for (size_t i = 0; i < view->version->segment_count; i++) {
        const struct segment_use *use = &view->version->segments[i];

        if (use->final_size != 0)
            verify_to(v, use->id, use->final_size);
    }
    status = verify_log(v, view->version);
    if (status != LSM_OK)
        report(v, "the log", 0, status);
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
    if (db->manifest != NULL)
        manifest_lock(db->manifest); // no edit is half written meanwhile
    verify_manifest(&v);
    if (db->manifest != NULL)
        manifest_unlock(db->manifest);
    verify_segments(&v, view);
    verify_tables(&v, view);
    view_unref(view);
    return v.first.status == LSM_OK ? LSM_OK : failure_raise(&v.first);
}

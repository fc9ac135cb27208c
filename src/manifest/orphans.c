// orphans.c -- telling files that may be removed from those that must stay.
//
// A crash leaves files that no manifest names: outputs of a merge whose edit did not
// make it, a prepared segment, the manifest before, CURRENT.new. Names alone prove
// nothing, so the header decides: a whole one must say that the file is ours, of that
// kind and number. A file cut or zeroed by the crash within its header is a leftover
// when its number has been given out; what starts with other bytes is somebody else's.

#include "manifest/orphans.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "manifest/manifest_file.h"
#include "manifest/segment_map.h"
#include "vlog/segment_scan.h"

// --- what is there ---

struct found_file {
    struct filename name;
    enum filename_kind kind;
    uint64_t number;
};

struct found_files {
    struct found_file *items;
    size_t count;
    size_t capacity;
};

static void found_files_release(struct found_files *found)
{
    mem_free(found->items);
}

static bool is_database_file(enum filename_kind kind)
{
    return kind == FILENAME_SEGMENT || kind == FILENAME_TABLE || kind == FILENAME_MANIFEST ||
           kind == FILENAME_CURRENT_NEW;
}

static lsm_status gather(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct found_files *found = ctx;
    uint64_t number;
    enum filename_kind kind = filename_parse(name, &number);

    (void)size;
    if (!is_regular || !is_database_file(kind))
        return LSM_OK;
    if (found->count == found->capacity) {
        size_t capacity = found->capacity == 0 ? 64 : 2 * found->capacity;
        struct found_file *grown = mem_resize_array(found->items, capacity, sizeof *grown);

        if (grown == NULL)
            return lsm_fail(LSM_NO_MEMORY, "orphans: %zu files", capacity);
        found->items = grown;
        found->capacity = capacity;
    }
    found->items[found->count++] =
        (struct found_file){.name = filename_of(kind, number), .kind = kind, .number = number};
    return LSM_OK;
}

static int compare_names(const void *left, const void *right)
{
    const struct found_file *a = left;
    const struct found_file *b = right;

    return strcmp(a->name.text, b->name.text);
}

// In the order of their names: each file system lists them in another.
static lsm_status find_files(struct dir *dir, struct found_files *found)
{
    TRY(dir_list(dir, gather, found));
    if (found->count > 1)
        qsort(found->items, found->count, sizeof *found->items, compare_names);
    return LSM_OK;
}

// --- what is named ---

static int compare_numbers(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

// The ids of all tables of a version, increasing; released by mem_free().
static lsm_status table_ids(const struct version *version, uint64_t **out, size_t *out_count)
{
    size_t count = (size_t)version_table_count(version);
    uint64_t *ids = mem_alloc_zeroed(count, sizeof *ids);
    size_t used = 0;

    if (ids == NULL)
        return lsm_fail(LSM_NO_MEMORY, "orphans: %zu tables", count);
    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++)
            ids[used++] = version->levels[l].spans[i].id;
    }
    qsort(ids, count, sizeof *ids, compare_numbers);
    *out = ids;
    *out_count = count;
    return LSM_OK;
}

static bool segment_is_kept(const struct kept_files *kept, uint64_t id)
{
    const struct segment_use *use;

    if (id > UINT32_MAX)
        return false;
    for (size_t i = 0; i < kept->segment_count; i++) {
        if (kept->segments[i] == id)
            return true;
    }
    for (size_t i = 0; i < kept->state->chain_count; i++) {
        if (kept->state->chain[i].id == id)
            return true;
    }
    // One with neither references nor a final size was log for the manifest that was read;
    // whether it still is, the chain has said.
    use = segment_use_find(kept->version->segments, kept->version->segment_count, (uint32_t)id);
    return use != NULL && (use->final_size != 0 || use->referenced_count > 0);
}

// --- whose a file is ---

static enum file_kind header_kind(enum filename_kind kind)
{
    switch (kind) {
    case FILENAME_SEGMENT:
        return FILE_KIND_LOG;
    case FILENAME_TABLE:
        return FILE_KIND_TABLE;
    case FILENAME_MANIFEST:
        return FILE_KIND_MANIFEST;
    default:
        return FILE_KIND_CURRENT;
    }
}

// Whether a number below it must have been given out by this database.
static bool number_is_used(const struct kept_files *kept, const struct found_file *file)
{
    const struct manifest_state *state = kept->state;

    if (file->kind == FILENAME_CURRENT_NEW)
        return true;
    if (file->kind == FILENAME_SEGMENT)
        return state->chain_count > 0 && file->number < state->chain[state->chain_count - 1].id;
    return file->number < kept->next_file_id;
}

// Whether the first `size` bytes of a file are a header of ours or what a crash leaves
// of one: cut or zeroed, or anything behind the right magic.
static bool may_be_ours(const uint8_t *bytes, size_t size)
{
    static const struct file_header any = {.kind = FILE_KIND_LOG};
    uint8_t ours[FILE_HEADER_SIZE];
    size_t common = size < 8 ? size : 8; // the magic
    bool is_zero = true;

    file_header_encode(&any, ours);
    for (size_t i = 0; i < size; i++)
        is_zero = is_zero && bytes[i] == 0;
    return is_zero || memcmp(bytes, ours, common) == 0;
}

// Whether the header is whole, of whatever kind.
static bool is_whole_header(lsm_slice bytes, const char *name)
{
    struct file_header header;

    for (enum file_kind kind = FILE_KIND_LOG; kind <= FILE_KIND_CURRENT; kind++) {
        if (file_header_decode(bytes, kind, name, &header) == LSM_OK)
            return true;
    }
    return false;
}

static bool is_ours(struct dir *dir, const struct kept_files *kept, const struct found_file *file)
{
    CLEANUP(file_closep) struct file *opened = NULL;
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header header;
    lsm_status status;
    size_t size;

    if (file_open(dir, file->name.text, FILE_READ, &opened) != LSM_OK ||
        file_read(opened, 0, bytes, sizeof bytes, &size) != LSM_OK)
        return false;
    status = file_header_decode(slice_make(bytes, size), header_kind(file->kind), file->name.text,
                                &header);
    if (status == LSM_OK)
        return uuid_equal(&header.db_uuid, &kept->state->db_uuid) &&
               (file->kind == FILENAME_CURRENT_NEW || header.number == file->number);
    return status == LSM_CORRUPT && !is_whole_header(slice_make(bytes, size), file->name.text) &&
           may_be_ours(bytes, size) && number_is_used(kept, file);
}

static bool is_named(const struct kept_files *kept, const uint64_t *tables, size_t table_count,
                     const struct found_file *file)
{
    switch (file->kind) {
    case FILENAME_SEGMENT:
        return segment_is_kept(kept, file->number);
    case FILENAME_TABLE:
        return table_count > 0 &&
               bsearch(&file->number, tables, table_count, sizeof *tables, compare_numbers) != NULL;
    case FILENAME_MANIFEST:
        return file->number == kept->state->manifest_number;
    default:
        return false;
    }
}

lsm_status orphans_remove(struct dir *dir, const struct kept_files *kept, struct eventlog *events,
                          size_t *removed)
{
    CLEANUP(found_files_release) struct found_files found = {.items = NULL};
    CLEANUP(mem_freep) uint64_t *tables = NULL;
    size_t table_count;
    size_t count = 0;

    TRY(table_ids(kept->version, &tables, &table_count));
    TRY(find_files(dir, &found));
    for (size_t i = 0; i < found.count; i++) {
        const struct found_file *file = &found.items[i];

        if (is_named(kept, tables, table_count, file) ||
            (!is_ours(dir, kept, file) && !PLANTED(REMOVE_EVERY_ORPHAN)))
            continue;
        if (file_unlink(dir, file->name.text) != LSM_OK)
            continue;
        eventlog_write(events, "orphan_removed", "file=%s", file->name.text);
        count++;
    }
    *removed = count;
    return LSM_OK;
}

// --- without CURRENT ---

// A creation makes CURRENT before it takes a commit: what it leaves when it does not
// get that far holds neither commits nor edits.
struct content {
    uint64_t frames;
    uint64_t edits; // but a first snapshot of nothing
};

static lsm_status count_frame(void *ctx, uint64_t offset, uint64_t size,
                              const struct frame_header *header, lsm_slice entries)
{
    (void)offset;
    (void)size;
    (void)entries;
    ((struct content *)ctx)->frames += header != NULL;
    return LSM_OK;
}

static lsm_status count_edit(void *ctx, uint64_t offset, uint64_t size, const struct edit *edit)
{
    bool is_birth = edit != NULL && edit->is_snapshot && edit->number == 1 &&
                    edit->added_count == 0 && edit->keyspace_count <= 1;

    (void)offset;
    (void)size;
    ((struct content *)ctx)->edits += edit != NULL && !is_birth;
    return LSM_OK;
}

// Whether the file holds something of a database that has lived.
static lsm_status has_content(struct dir *dir, const struct found_file *file, bool *out)
{
    struct content content = {.frames = 0};
    lsm_status status = LSM_OK;

    if (file->kind == FILENAME_SEGMENT)
        status = segment_scan(dir, file->name.text, false, count_frame, &content);
    else if (file->kind == FILENAME_MANIFEST)
        status = manifest_scan(dir, file->name.text, count_edit, &content);
    if (status == LSM_CORRUPT && file->kind == FILENAME_SEGMENT)
        return frame_scan_is_damaged(dir, file->name.text, out);
    if (status != LSM_OK && status != LSM_CORRUPT) // torn within its header
        return status;
    *out = file->kind == FILENAME_TABLE || content.frames > 0 || content.edits > 0;
    return LSM_OK;
}

lsm_status manifest_exists(struct dir *dir, bool *exists)
{
    CLEANUP(found_files_release) struct found_files found = {.items = NULL};
    struct filename current = filename_of(FILENAME_CURRENT, 0);
    struct file_facts facts;

    TRY(file_look(dir, current.text, &facts));
    if (facts.is_there) {
        *exists = true;
        return LSM_OK;
    }
    TRY(find_files(dir, &found));
    for (size_t i = 0; i < found.count; i++) {
        bool has_lived;

        TRY(has_content(dir, &found.items[i], &has_lived));
        if (has_lived)
            return lsm_fail(LSM_CORRUPT,
                            "%s/CURRENT is missing, but %s is there: restore CURRENT from a "
                            "backup, or salvage the directory with lsmctl",
                            dir->path, found.items[i].name.text);
    }
    *exists = false;
    return LSM_OK;
}

// Whether a file is of our kind, whatever database it was meant for.
static lsm_status is_unborn(struct dir *dir, const struct found_file *file, bool *out)
{
    CLEANUP(file_closep) struct file *opened = NULL;
    uint8_t bytes[FILE_HEADER_SIZE];
    size_t size;

    TRY(file_open(dir, file->name.text, FILE_READ, &opened));
    TRY(file_read(opened, 0, bytes, sizeof bytes, &size));
    *out = may_be_ours(bytes, size);
    return LSM_OK;
}

lsm_status manifest_remove_unborn(struct dir *dir, uint64_t *segment_id_max)
{
    CLEANUP(found_files_release) struct found_files found = {.items = NULL};

    *segment_id_max = 0;
    TRY(find_files(dir, &found));
    for (size_t i = 0; i < found.count; i++) {
        const struct found_file *file = &found.items[i];
        bool has_lived;
        bool is_left = false;

        TRY(has_content(dir, file, &has_lived));
        if (!has_lived)
            TRY(is_unborn(dir, file, &is_left));
        if (is_left)
            TRY(file_unlink(dir, file->name.text));
        else if (file->kind == FILENAME_SEGMENT && file->number > *segment_id_max)
            *segment_id_max = file->number;
    }
    return LSM_OK;
}

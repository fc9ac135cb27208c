// segment.c -- one file of the value log, and sets of them.

#include "vlog/segment.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/container.h"
#include "base/plant.h"

struct segment {
    struct segment_store *store; // immutable from here
    uint32_t id;
    struct uuid uuid;
    uint64_t size;     // final size, or 0 when it was not known at segment_new()
    uint64_t capacity; // bytes allocated by segment_create(), else 0

    struct cached_file reading;

    _Atomic uint32_t refs;
    _Atomic bool is_obsolete;

    struct mutex sync_mu; // rank LOCK_SEGMENT_SYNC, held across I/O
    // For writing, from segment_create() until it is sealed, else NULL. Changed with
    // `sync_mu` held, when no thread writes any more.
    struct file *file;

    struct epoch_node node;
};

// --- life ---

lsm_status segment_new(struct segment_store *store, uint32_t id, const struct uuid *uuid,
                       uint64_t size, struct segment **out)
{
    struct segment *segment = mem_alloc_zeroed(1, sizeof *segment);

    if (segment == NULL)
        return lsm_fail(LSM_NO_MEMORY, "segment: %zu bytes", sizeof *segment);
    segment->store = store;
    segment->id = id;
    segment->uuid = *uuid;
    segment->size = size;
    cached_file_init(&segment->reading, store->fds, store->dir,
                     filename_of(FILENAME_SEGMENT, id).text);
    atomic_init(&segment->refs, 1);
    mutex_init(&segment->sync_mu, LOCK_SEGMENT_SYNC);
    *out = segment;
    return LSM_OK;
}

void segment_ref(struct segment *segment)
{
    // Relaxed: whoever takes a reference has the segment by way of another one.
    atomic_fetch_add_explicit(&segment->refs, 1, memory_order_relaxed);
}

// Closes the write handle, whose close may tell of bytes that were lost.
static lsm_status close_writing(struct segment *segment)
{
    struct file *file = MOVE(segment->file);
    lsm_status status = file == NULL ? LSM_OK : file_close(file);

    if (PLANTED(IGNORE_CLOSE_ERROR))
        return LSM_OK;
    return status == LSM_OK ? LSM_OK : poison_set(segment->store->poison, status);
}

static void segment_free(struct epoch_node *node)
{
    struct segment *segment = CONTAINER_OF(node, struct segment, node);

    (void)close_writing(segment); // a failure has set the poison
    cached_file_release(&segment->reading);
    if (atomic_load_explicit(&segment->is_obsolete, memory_order_relaxed))
        unlinker_add(segment->store->unlinker, FILENAME_SEGMENT, segment->id);
    mutex_release(&segment->sync_mu);
    mem_free(segment);
}

void segment_unref(struct segment *segment)
{
    if (segment == NULL)
        return;
    // Release publishes this thread's use of the segment to the one that frees it,
    // whose acquire this is as well.
    if (atomic_fetch_sub_explicit(&segment->refs, 1, memory_order_acq_rel) == 1)
        epoch_retire(segment->store->bin, &segment->node, segment_free);
}

void segment_mark_obsolete(struct segment *segment)
{
    // Relaxed: the count orders it before segment_free().
    atomic_store_explicit(&segment->is_obsolete, true, memory_order_relaxed);
}

uint32_t segment_id(const struct segment *segment)
{
    return segment->id;
}

const struct uuid *segment_uuid(const struct segment *segment)
{
    return &segment->uuid;
}

// --- reading ---

static lsm_status fail_record(const struct segment *segment, const struct value_pointer *pointer,
                              const char *what)
{
    return lsm_fail(LSM_CORRUPT, "%s: offset %" PRIu64 ": %s", segment->reading.name,
                    pointer->offset, what);
}

// A pointer may come from a damaged table: its sizes must be those of this key's
// record before they reach an allocator.
static lsm_status check_pointer(const struct segment *segment, const struct value_pointer *pointer,
                                uint32_t keyspace, lsm_slice key)
{
    uint64_t size = record_size(keyspace, key.size, pointer->value_size);

    if (pointer->value_size > LSM_VALUE_SIZE_MAX || pointer->record_size != size)
        return fail_record(segment, pointer, "the pointer's sizes do not fit its key");
    if (segment->size != 0 &&
        (pointer->offset > segment->size || size > segment->size - pointer->offset))
        return fail_record(segment, pointer, "the pointer leads behind the end of the segment");
    return LSM_OK;
}

lsm_status segment_read_value(struct segment *segment, const struct value_pointer *pointer,
                              uint32_t keyspace, lsm_slice key, lsm_buf *value)
{
    EPOCH_SECTION();
    struct file *file;
    struct record record;
    uint8_t *to;

    TRY(check_pointer(segment, pointer, keyspace, key));
    TRY(cached_file_get(&segment->reading, &file));
    TRY(buf_reserve(value, value->size + pointer->record_size));
    to = (uint8_t *)value->data + value->size;
    TRY(file_read_exact(file, pointer->offset, to, pointer->record_size));
    TRY(record_decode(slice_make(to, pointer->record_size), segment->reading.name, pointer->offset,
                      &record));
    if (!record_is_of(&record, keyspace, key, pointer->value_size))
        return fail_record(segment, pointer, "the record is another key's");
    memmove(value->data, record.value.data, record.value.size);
    value->size = record.value.size;
    return LSM_OK;
}

// --- the writing end ---

static lsm_status write_header(struct segment *segment, uint64_t size)
{
    struct file_header header = {
        .kind = FILE_KIND_LOG,
        .db_uuid = segment->store->db_uuid,
        .file_uuid = segment->uuid,
        .number = segment->id,
    };
    uint8_t bytes[FILE_HEADER_SIZE];

    TRY(file_allocate(segment->file, 0, size));
    file_header_encode(&header, bytes);
    TRY(file_write_one(segment->file, 0, slice_make(bytes, sizeof bytes)));
    return PLANTED(SKIP_HEADER_SYNC) ? LSM_OK : file_sync(segment->file);
}

lsm_status segment_create(struct segment_store *store, uint32_t id, uint64_t size,
                          struct segment **out)
{
    struct segment *segment;
    struct failure failure;
    struct uuid uuid;
    lsm_status status;

    assert(size >= FILE_HEADER_SIZE);
    TRY(env_random(store->dir->env, uuid.bytes, sizeof uuid.bytes));
    TRY(segment_new(store, id, &uuid, 0, &segment));
    segment->capacity = size;
    status = file_open(store->dir, segment->reading.name, FILE_CREATE, &segment->file);
    if (status == LSM_OK)
        status = write_header(segment, size);
    if (status == LSM_OK) {
        *out = segment;
        return LSM_OK;
    }
    // Nothing names the file yet: its loss is nobody's, and no reason for poison.
    failure_capture(&failure, status);
    if (segment->file != NULL) {
        file_close_quietly(MOVE(segment->file));
        (void)file_unlink(store->dir, segment->reading.name);
    }
    segment_unref(segment);
    return failure_raise(&failure);
}

uint64_t segment_capacity(const struct segment *segment)
{
    return segment->capacity;
}

lsm_status segment_write(struct segment *segment, uint64_t offset, const lsm_slice *parts,
                         size_t count)
{
    return file_write(segment->file, offset, parts, count);
}

bool segment_is_blank(struct segment *segment, uint64_t from, uint64_t to)
{
    uint8_t bytes[4096];
    size_t got = sizeof bytes;

    for (; from < to && got == sizeof bytes; from += got) {
        if (file_read(segment->file, from, bytes, sizeof bytes, &got) != LSM_OK)
            return false;
        for (size_t i = 0; i < got; i++) {
            if (bytes[i] != 0)
                return false;
        }
    }
    return true;
}

void segment_writeback(struct segment *segment, uint64_t offset, uint64_t size)
{
    file_writeback(segment->file, offset, size);
}

lsm_status segment_regain(struct segment *segment, uint64_t from, uint64_t to)
{
    return file_allocate(segment->file, from, to - from);
}

lsm_status segment_cut_found(struct segment *segment, uint64_t size)
{
    CLEANUP(file_closep) struct file *file = NULL;
    struct dir *dir = segment->store->dir;
    uint64_t found, names;

    TRY(poison_check(segment->store->poison));
    TRY(file_stat(dir, segment->reading.name, &found));
    if (found <= size)
        return LSM_OK;
    TRY(file_open(dir, segment->reading.name, FILE_WRITE, &file));
    TRY(file_name_count(file, &names));
    if (names > 1 && !PLANTED(CUT_LINKED_FILE))
        return lsm_fail(LSM_BUSY, "%s: has %" PRIu64 " names, and stays as it is for the others",
                        segment->reading.name, names);
    return file_truncate(file, size);
}

struct mutex *segment_sync_mutex(struct segment *segment)
{
    return &segment->sync_mu;
}

lsm_status segment_sync_locked(struct segment *segment)
{
    lsm_status status;

    mutex_assert_held(&segment->sync_mu);
    // The system tells of a failure once only: a sync after it proves nothing.
    TRY(poison_check(segment->store->poison));
    if (segment->file == NULL)
        return LSM_OK;
    status = file_sync(segment->file);
    return status == LSM_OK ? LSM_OK : poison_set(segment->store->poison, status);
}

lsm_status segment_seal_locked(struct segment *segment, uint64_t size)
{
    mutex_assert_held(&segment->sync_mu);
    if (segment->file == NULL)
        return poison_check(segment->store->poison);
    if (!PLANTED(SKIP_CUT))
        TRY(file_truncate(segment->file, size));
    TRY(segment_sync_locked(segment));
    return close_writing(segment);
}

lsm_status segment_trim_locked(struct segment *segment, uint64_t size)
{
    mutex_assert_held(&segment->sync_mu);
    return file_truncate(segment->file, size);
}

// --- sets ---

lsm_status segment_set_with(const struct segment_set *from, struct segment *extra,
                            struct segment_set **out)
{
    const size_t before = from == NULL ? 0 : from->count;
    const size_t count = before + 1;
    struct segment_set *set;
    size_t at = 0;

    set = mem_alloc(sizeof *set + count * sizeof(struct segment *));
    if (set == NULL)
        return lsm_fail(LSM_NO_MEMORY, "segment set: %zu segments", count);
    set->count = count;
    for (; at < before && from->items[at]->id < extra->id; at++)
        set->items[at] = from->items[at];
    assert(at == before || from->items[at]->id != extra->id);
    set->items[at] = extra;
    for (; at < before; at++)
        set->items[at + 1] = from->items[at];
    for (size_t i = 0; i < count; i++)
        segment_ref(set->items[i]);
    *out = set;
    return LSM_OK;
}

static void segment_set_free(struct epoch_node *node)
{
    struct segment_set *set = CONTAINER_OF(node, struct segment_set, node);

    for (size_t i = 0; i < set->count; i++)
        segment_unref(set->items[i]);
    mem_free(set);
}

void segment_set_retire(struct segment_set *set)
{
    if (set != NULL)
        epoch_retire(set->items[0]->store->bin, &set->node, segment_set_free);
}

struct segment *segment_set_find(const struct segment_set *set, uint32_t id)
{
    size_t low = 0;
    size_t high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (set->items[middle]->id == id)
            return set->items[middle];
        if (set->items[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

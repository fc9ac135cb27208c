#include "db/read.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/schedule.h"
#include "db/commit.h"

lsm_status read_lookup(struct lsm_db *db, struct view *view, const struct ikey *key, uint64_t hash,
                       struct found *found, bool *is_found)
{
    for (size_t i = 0; i < view->memtable_count; i++) {
        if (memtable_get(view->memtables[i]->mem, key, hash, &found->entry)) {
            found->memtable = (int)i;
            found->block = NULL;
            *is_found = true;
            stats_add(db->stats, COUNTER_GETS_MEMTABLE, 1);
            return LSM_OK;
        }
    }
    found->memtable = -1;
    return version_get(view->version, key, hash, &found->entry, is_found, &found->block);
}

// Looks where the entry was found first, then everywhere: a merge of all stores does not tell.
static struct segment *find_segment(const struct view *view, int memtable, uint32_t id)
{
    struct segment *segment = view_find_segment(view, memtable, id);

    for (size_t i = 0; segment == NULL && i < view->memtable_count; i++)
        segment = view_find_segment(view, (int)i, id);
    return segment;
}

lsm_status read_value(struct lsm_db *db, const struct view *view, const struct entry *entry,
                      int memtable, lsm_buf *value)
{
    struct value_pointer pointer;
    struct segment *segment;

    if (entry->kind != ENTRY_POINTER)
        return buf_assign(value, entry->value);
    TRY(pointer_decode(entry->value, &pointer));
    segment = find_segment(view, memtable, pointer.segment);
    if (segment == NULL)
        return lsm_fail(LSM_CORRUPT, "an entry points into segment %u, which is not there",
                        pointer.segment);
    stats_add(db->stats, COUNTER_VALUE_READS, 1);
    stats_add(db->stats, COUNTER_VALUE_READ_BYTES, pointer.record_size);
    return segment_read_value(segment, &pointer, entry->keyspace, entry->key, value);
}

uint64_t read_value_size(const struct entry *entry)
{
    struct value_pointer pointer;

    if (entry->kind != ENTRY_POINTER)
        return entry->value.size;
    if (pointer_decode(entry->value, &pointer) != LSM_OK)
        return 0;
    return pointer.value_size;
}

// Reads the clock for the first entry that may have expired; what is read together is judged by
// one second.
static bool is_absent(struct lsm_db *db, const struct entry *entry, uint64_t *wall)
{
    if (*wall == 0 && entry->expiry != 0)
        *wall = oracle_wall_seconds(db->oracle);
    return entry_is_absent(entry, *wall);
}

static lsm_status not_found(void)
{
    return lsm_fail(LSM_NOT_FOUND, "no such key");
}

// Inside an epoch section, through the view loaded in it. `marks` may be NULL.
static lsm_status get_through(struct lsm_db *db, struct view *view, const struct ikey *key,
                              uint64_t *wall, lsm_buf *value, struct entry_marks *marks)
{
    struct found found;
    bool is_found = false;

    TRY(read_lookup(db, view, key, key_hash(key->keyspace, key->key), &found, &is_found));
    if (!is_found || is_absent(db, &found.entry, wall))
        return not_found();
    stats_add(db->stats, COUNTER_GETS_FOUND, 1);
    if (value != NULL)
        TRY(read_value(db, view, &found.entry, found.memtable, value));
    if (marks != NULL)
        *marks =
            (struct entry_marks){.expiry = found.entry.expiry, .user_byte = found.entry.user_byte};
    return LSM_OK;
}

lsm_status read_get_marked(struct lsm_db *db, const struct keyspace *keyspace, lsm_slice key,
                           struct read_time time, lsm_buf *value, struct entry_marks *marks)
{
    const bool is_sampled = stats_is_sampled();
    const uint64_t start = is_sampled ? clock_mono_ns(db->env) : 0;
    lsm_status status;
    EPOCH_SECTION();
    struct view *view = views_current(&db->views);
    SCHEDULE_POINT();
    // Only now: a view loaded after the timestamp could lack versions that it sees, for no
    // snapshot is registered.
    const struct ikey ikey = {
        .keyspace = keyspace->id,
        .key = key,
        .ts = time.ts == TS_MAX ? oracle_published(db->oracle) : time.ts,
    };

    TRY(commit_check_keyspace(keyspace, ikey.ts));
    status = get_through(db, view, &ikey, &time.wall, value, marks);
    stats_add(db->stats, COUNTER_GETS, 1);
    if (is_sampled)
        histogram_record(&db->stats->latencies[LATENCY_GET], clock_mono_ns(db->env) - start);
    return status;
}

lsm_status read_get(struct lsm_db *db, const struct keyspace *keyspace, lsm_slice key,
                    struct read_time time, lsm_buf *value)
{
    return read_get_marked(db, keyspace, key, time, value, NULL);
}

// --- many keys ---

struct wanted {
    const lsm_slice *key;
    size_t index;
};

static int compare_wanted(const void *a, const void *b)
{
    const struct wanted *first = a;
    const struct wanted *second = b;

    return slice_compare(*first->key, *second->key);
}

// The first status that is neither of the two good ones.
static lsm_status worst_of(const lsm_status *statuses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (statuses[i] != LSM_OK && statuses[i] != LSM_NOT_FOUND)
            return statuses[i];
    }
    return LSM_OK;
}

lsm_status read_multi_get(struct lsm_db *db, const struct keyspace *keyspace, const lsm_slice *keys,
                          size_t count, struct read_time time, lsm_buf *values,
                          lsm_status *statuses)
{
    CLEANUP(mem_freep) struct wanted *order = mem_resize_array(NULL, count, sizeof *order);
    struct failure first_failure = {.status = LSM_OK};
    size_t wanted_count = 0;

    if (order == NULL && count > 0)
        return lsm_fail(LSM_NO_MEMORY, "a read of %zu keys", count);

    EPOCH_SECTION();
    struct view *view = views_current(&db->views);
    const uint64_t ts = time.ts == TS_MAX ? oracle_published(db->oracle) : time.ts;

    TRY(commit_check_keyspace(keyspace, ts));
    for (size_t i = 0; i < count; i++) {
        statuses[i] = check_key(keys[i]);
        if (statuses[i] == LSM_OK)
            order[wanted_count++] = (struct wanted){.key = &keys[i], .index = i};
        else if (first_failure.status == LSM_OK)
            failure_capture(&first_failure, statuses[i]);
    }
    // Neighbours share blocks, and values written together lie together.
    if (wanted_count > 1)
        qsort(order, wanted_count, sizeof *order, compare_wanted);
    for (size_t i = 0; i < wanted_count; i++) {
        const size_t index = order[i].index;
        const struct ikey ikey = {.keyspace = keyspace->id, .key = keys[index], .ts = ts};
        const lsm_status status = get_through(db, view, &ikey, &time.wall, &values[index], NULL);

        statuses[index] = status;
        if (status != LSM_OK && status != LSM_NOT_FOUND && first_failure.status == LSM_OK)
            failure_capture(&first_failure, status);
    }
    stats_add(db->stats, COUNTER_GETS, count);
    if (worst_of(statuses, count) == LSM_OK)
        return LSM_OK;
    return failure_raise(&first_failure);
}

// --- the public functions ---

static const struct read_time latest = {.ts = TS_MAX, .wall = 0};

lsm_status lsm_get(lsm_db *db, lsm_keyspace *handle, lsm_slice key, lsm_buf *value)
{
    struct keyspace *keyspace;

    TRY(db_check(db, "lsm_get"));
    TRY(db_keyspace(db, handle, &keyspace));
    TRY(check_key(key));
    if (UNLIKELY(value == NULL))
        return lsm_fail(LSM_INVALID, "lsm_get: value is NULL");
    return read_get(db, keyspace, key, latest, value);
}

lsm_status lsm_exists(lsm_db *db, lsm_keyspace *handle, lsm_slice key)
{
    struct keyspace *keyspace;

    TRY(db_check(db, "lsm_exists"));
    TRY(db_keyspace(db, handle, &keyspace));
    TRY(check_key(key));
    return read_get(db, keyspace, key, latest, NULL);
}

lsm_status lsm_multi_get(lsm_db *db, lsm_keyspace *handle, const lsm_slice *keys, size_t count,
                         lsm_buf *values, lsm_status *statuses)
{
    struct keyspace *keyspace;

    TRY(db_check(db, "lsm_multi_get"));
    TRY(db_keyspace(db, handle, &keyspace));
    if (count > 0 && (keys == NULL || values == NULL || statuses == NULL))
        return lsm_fail(LSM_INVALID, "lsm_multi_get: an array is NULL");
    return read_multi_get(db, keyspace, keys, count, latest, values, statuses);
}

// --- pinned values ---

// What keeps a pinned value where it is.
struct pin_holder {
    struct child child;
    struct lsm_db *db;
    struct view *view;   // a reference
    struct block *block; // a reference, or NULL
    lsm_buf copy;        // of a separated value
};

static void pin_holder_free(struct pin_holder *holder)
{
    block_unref(holder->block);
    view_unref(holder->view);
    lsm_buf_free(&holder->copy);
    mem_free(holder);
}

// Finds the value, in `holder`'s view; the section makes what is found last until it is held.
static lsm_status pin_value(struct lsm_db *db, const struct keyspace *keyspace, lsm_slice key,
                            struct pin_holder *holder, lsm_slice *value)
{
    const struct ikey ikey = {
        .keyspace = keyspace->id, .key = key, .ts = oracle_published(db->oracle)};
    struct found found;
    bool is_found = false;
    uint64_t wall = 0;
    EPOCH_SECTION();

    TRY(commit_check_keyspace(keyspace, ikey.ts));
    TRY(read_lookup(db, holder->view, &ikey, key_hash(keyspace->id, key), &found, &is_found));
    stats_add(db->stats, COUNTER_GETS, 1);
    if (!is_found || is_absent(db, &found.entry, &wall))
        return not_found();
    if (found.entry.kind == ENTRY_POINTER) {
        TRY(read_value(db, holder->view, &found.entry, found.memtable, &holder->copy));
        *value = slice_of_buf(&holder->copy);
        return LSM_OK;
    }
    if (found.block != NULL) {
        block_ref(found.block);
        holder->block = found.block;
    }
    *value = found.entry.value;
    return LSM_OK;
}

lsm_status lsm_get_pinned(lsm_db *db, lsm_keyspace *handle, lsm_slice key, lsm_pin *pin)
{
    struct keyspace *keyspace;
    struct pin_holder *holder;
    lsm_slice value;
    lsm_status status;

    TRY(db_check(db, "lsm_get_pinned"));
    TRY(db_keyspace(db, handle, &keyspace));
    TRY(check_key(key));
    if (pin == NULL)
        return lsm_fail(LSM_INVALID, "lsm_get_pinned: pin is NULL");
    holder = mem_alloc_zeroed(1, sizeof *holder);
    if (holder == NULL)
        return lsm_fail(LSM_NO_MEMORY, "pinned value: %zu bytes", sizeof *holder);
    holder->db = db;
    holder->view = views_acquire(&db->views);
    status = pin_value(db, keyspace, key, holder, &value);
    if (status != LSM_OK) {
        pin_holder_free(holder);
        return status;
    }
    children_add(&db->children, &holder->child, CHILD_PIN, NULL, clock_mono_ns(db->env));
    *pin = (lsm_pin){.value = value, .holder = holder};
    return LSM_OK;
}

void lsm_pin_release(lsm_pin *pin)
{
    struct pin_holder *holder;

    if (pin == NULL || pin->holder == NULL)
        return;
    holder = pin->holder;
    children_remove(&holder->db->children, &holder->child);
    pin_holder_free(holder);
    *pin = (lsm_pin){.value = slice_make(NULL, 0), .holder = NULL};
}

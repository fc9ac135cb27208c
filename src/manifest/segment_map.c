#include "manifest/segment_map.h"

#include <assert.h>

#include "base/alloc.h"

// Index of the first use with an id of at least `id`.
static size_t lower_bound(const struct segment_use *uses, size_t count, uint32_t id)
{
    size_t low = 0;

    while (count > 0) {
        size_t half = count / 2;

        if (uses[low + half].id < id) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

struct segment_use *segment_use_find(const struct segment_use *uses, size_t count, uint32_t id)
{
    size_t at = lower_bound(uses, count, id);

    if (at == count || uses[at].id != id)
        return NULL;
    return (struct segment_use *)&uses[at];
}

lsm_status segment_map_init(struct segment_map *map, const struct version *base,
                            const struct edit *edit)
{
    size_t capacity = base->segment_count + edit->chain_count + edit->left_count;
    struct segment_use *uses = mem_alloc_zeroed(capacity, sizeof *uses);

    if (uses == NULL)
        return lsm_fail(LSM_NO_MEMORY, "segment map: %zu segments", capacity);
    if (base->segment_count > 0)
        memcpy(uses, base->segments, base->segment_count * sizeof *uses);
    for (size_t i = 0; i < base->segment_count; i++)
        segment_ref(uses[i].segment);
    *map = (struct segment_map){.uses = uses, .count = base->segment_count, .capacity = capacity};
    return LSM_OK;
}

void segment_map_release(struct segment_map *map)
{
    for (size_t i = 0; i < map->count; i++)
        segment_unref(map->uses[i].segment);
    mem_free(map->uses);
    *map = (struct segment_map){.uses = NULL};
}

// --- the log ---

// The use of the segment that `link` names, made when it is not known: of `segment`,
// which the edit lends, or of an object that has touched no file.
static lsm_status take_in(struct segment_map *map, const struct log_link *link,
                          struct segment *segment, struct segment_store *store,
                          struct segment_use **out)
{
    size_t at = lower_bound(map->uses, map->count, link->id);
    struct segment_use *use = &map->uses[at];

    if (at < map->count && use->id == link->id) {
        if (!uuid_equal(segment_uuid(use->segment), &link->uuid))
            return lsm_fail(LSM_CORRUPT, "edit: segment %u changes its uuid", link->id);
        *out = use;
        return LSM_OK;
    }
    assert(map->count < map->capacity);
    if (segment != NULL)
        segment_ref(segment);
    else
        TRY(segment_new(store, link->id, &link->uuid, link->final_size, &segment));
    memmove(use + 1, use, (map->count - at) * sizeof *use);
    *use = (struct segment_use){.segment = segment, .id = link->id};
    map->count++;
    *out = use;
    return LSM_OK;
}

static bool chain_contains(const struct edit *edit, uint32_t id)
{
    for (size_t i = 0; i < edit->chain_count; i++) {
        if (edit->chain[i].id == id)
            return true;
    }
    return false;
}

lsm_status segment_map_change_log(struct segment_map *map, const struct edit *edit,
                                  struct segment_store *store)
{
    struct segment_use *use;

    TRY(edit_check_chain(edit));
    for (size_t i = 0; i < edit->chain_count; i++) {
        TRY(take_in(map, &edit->chain[i],
                    edit->chain_segments == NULL ? NULL : edit->chain_segments[i], store, &use));
        if (use->final_size != 0)
            return lsm_fail(LSM_CORRUPT, "edit: segment %u returns to the log", use->id);
    }
    for (size_t i = 0; i < edit->left_count; i++) {
        const struct log_link *link = &edit->left[i];

        TRY(take_in(map, link, edit->left_segments == NULL ? NULL : edit->left_segments[i], store,
                    &use));
        if (link->final_size == 0 || use->final_size != 0 || chain_contains(edit, link->id))
            return lsm_fail(LSM_CORRUPT, "edit: segment %u cannot leave the log with %llu bytes",
                            link->id, (unsigned long long)link->final_size);
        use->final_size = link->final_size;
    }
    return LSM_OK;
}

// --- references ---

lsm_status segment_map_add(struct segment_map *map, const struct table_meta *meta)
{
    for (size_t i = 0; i < meta->reference_count; i++) {
        const struct segment_reference *ref = &meta->references[i];
        struct segment_use *use = segment_use_find(map->uses, map->count, ref->segment);

        if (use == NULL)
            return lsm_fail(LSM_CORRUPT, "edit: table %llu points into segment %u, which is gone",
                            (unsigned long long)meta->id, ref->segment);
        if (__builtin_add_overflow(use->referenced_count, ref->count, &use->referenced_count) ||
            __builtin_add_overflow(use->referenced_bytes, ref->bytes, &use->referenced_bytes))
            return lsm_fail(LSM_CORRUPT, "edit: table %llu points to more bytes than can be",
                            (unsigned long long)meta->id);
    }
    return LSM_OK;
}

void segment_map_subtract(struct segment_map *map, const struct table_meta *meta)
{
    for (size_t i = 0; i < meta->reference_count; i++) {
        const struct segment_reference *ref = &meta->references[i];
        struct segment_use *use = segment_use_find(map->uses, map->count, ref->segment);

        assert(use != NULL && use->referenced_count >= ref->count);
        assert(use->referenced_bytes >= ref->bytes);
        use->referenced_count -= ref->count;
        use->referenced_bytes -= ref->bytes;
    }
}

// --- what stays ---

static bool is_log(const struct segment_use *use, const struct edit *edit)
{
    return use->final_size == 0 && (!edit->has_log || chain_contains(edit, use->id));
}

static bool is_kept(const struct segment_use *use, const struct edit *edit)
{
    return use->referenced_count > 0 || is_log(use, edit);
}

// The segments that leave the database. One that leaves the log with no final size
// is not among them: recovery found it behind the end of the log, and its file is
// an orphan already.
static lsm_status gather_dropped(const struct segment_map *map, const struct edit *edit,
                                 struct segment_set **out)
{
    struct segment_set *set = NULL;

    for (size_t i = 0; i < map->count; i++) {
        struct segment_set *larger;
        lsm_status status;

        if (is_kept(&map->uses[i], edit) || map->uses[i].final_size == 0)
            continue;
        status = segment_set_with(set, map->uses[i].segment, &larger);
        segment_set_retire(set);
        if (status != LSM_OK)
            return status;
        set = larger;
    }
    *out = set;
    return LSM_OK;
}

lsm_status segment_map_settle(struct segment_map *map, const struct edit *edit,
                              struct segment_set **dropped)
{
    size_t kept = 0;

    for (size_t i = 0; i < map->count; i++) {
        const struct segment_use *use = &map->uses[i];

        if (use->referenced_count > 0 && use->final_size == 0 && !is_log(use, edit))
            return lsm_fail(LSM_CORRUPT, "edit: segment %u is in use and no longer log", use->id);
    }
    if (dropped != NULL)
        TRY(gather_dropped(map, edit, dropped));
    for (size_t i = 0; i < map->count; i++) {
        if (is_kept(&map->uses[i], edit))
            map->uses[kept++] = map->uses[i];
        else
            segment_unref(map->uses[i].segment);
    }
    map->count = kept;
    return LSM_OK;
}

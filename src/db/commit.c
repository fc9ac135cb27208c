#include "db/commit.h"

#include "base/alloc.h"
#include "base/hash.h"

static lsm_status add_write(struct write_request *request, const struct conflict_write *write)
{
    if (request->write_count == request->write_capacity) {
        const size_t capacity = request->write_capacity * 2 + 6;
        const bool is_inline = request->writes == &request->one_write;
        struct conflict_write *writes =
            mem_resize_array(is_inline ? NULL : request->writes, capacity, sizeof *writes);

        if (writes == NULL)
            return lsm_fail(LSM_NO_MEMORY, "a commit of %zu writes", capacity);
        if (is_inline)
            memcpy(writes, &request->one_write, sizeof *writes);
        request->writes = writes;
        request->write_capacity = capacity;
    }
    if (request->write_count == 0 ||
        request->writes[request->write_count - 1].keyspace != write->keyspace)
        request->keyspace_count++;
    request->writes[request->write_count++] = *write;
    return LSM_OK;
}

// Whether the value goes to the value log on its own.
static bool is_separated(struct lsm_db *db, const struct keyspace *keyspace,
                         const struct entry *entry)
{
    uint64_t threshold = atomic_load_explicit(&keyspace->value_threshold, memory_order_relaxed);

    if (threshold == KEYSPACE_INHERIT)
        threshold = atomic_load_explicit(&db->value_threshold, memory_order_relaxed);
    return entry->kind == ENTRY_VALUE && entry->value.size > 0 && entry->value.size >= threshold;
}

lsm_status commit_add(struct lsm_db *db, struct write_request *request, struct keyspace *keyspace,
                      const struct entry *entry, uint64_t hash)
{
    const struct conflict_write write = {
        .keyspace = entry->keyspace,
        .key = entry->key,
        .hash = hash,
    };

    TRY(add_write(request, &write));
    return commit_frame_add(&request->frame, entry, is_separated(db, keyspace, entry));
}

lsm_status commit_add_all(struct lsm_db *db, struct write_request *request, struct iter *it)
{
    struct keyspace *keyspace = db->default_keyspace;

    TRY(iter_first(it));
    while (it->is_valid) {
        const struct entry *entry = &it->entry;

        if (entry->keyspace != keyspace->id) {
            keyspace = keyspaces_find_id(&db->keyspaces, entry->keyspace);
            if (keyspace == NULL)
                return lsm_fail(LSM_INVALID, "keyspace %u is not of this database",
                                entry->keyspace);
        }
        TRY(commit_add(db, request, keyspace, entry, key_hash(entry->keyspace, entry->key)));
        TRY(iter_next(it));
    }
    return LSM_OK;
}

lsm_status commit_finish(struct lsm_db *db, struct write_request *request,
                         const lsm_write_options *options)
{
    uint64_t sync = options == NULL ? LSM_SYNC_DEFAULT : options->sync;

    if (sync == LSM_SYNC_DEFAULT)
        sync = atomic_load_explicit(&db->sync_mode, memory_order_relaxed);
    request->is_sync = sync == LSM_SYNC_FULL;
    return commit_frame_finish(&request->frame);
}

lsm_status commit_run(struct lsm_db *db, struct write_request *request,
                      const lsm_write_options *options)
{
    const uint64_t start = clock_mono_ns(db->env);

    TRY(writer_admit(&db->writer, request, options != NULL && options->no_wait));
    TRY(writer_run(&db->writer, request));
    stats_add(db->stats, COUNTER_COMMIT_BYTES, request->frame.size);
    histogram_record(&db->stats->latencies[LATENCY_COMMIT], clock_mono_ns(db->env) - start);
    return LSM_OK;
}

// What has expired when it is written is from elsewhere, or the clock is wrong.
static uint64_t given_expiry(struct lsm_db *db, uint64_t expiry_seconds)
{
    if (expiry_seconds == LSM_EXPIRY_NONE)
        return 0;
    if (expiry_seconds <= oracle_wall_seconds(db->oracle))
        oracle_doubt(db->oracle, expiry_seconds);
    return expiry_seconds;
}

uint64_t commit_expiry(struct lsm_db *db, const struct keyspace *keyspace, uint64_t ttl_seconds,
                       uint64_t expiry_seconds)
{
    if (UNLIKELY(expiry_seconds != 0))
        return given_expiry(db, expiry_seconds);
    if (ttl_seconds == 0)
        ttl_seconds = atomic_load_explicit(&keyspace->ttl_seconds, memory_order_relaxed);
    if (ttl_seconds == 0)
        return 0;
    return oracle_wall_seconds(db->oracle) + ttl_seconds;
}

lsm_status commit_check_options(const lsm_write_options *options)
{
    if (options == NULL)
        return LSM_OK;
    if ((unsigned)options->sync > LSM_SYNC_WRITTEN)
        return lsm_fail(LSM_INVALID, "write option sync cannot be %d", (int)options->sync);
    if (options->ttl_seconds > UINT32_MAX)
        return lsm_fail(LSM_INVALID, "write option ttl_seconds cannot be %llu: it takes at most %u",
                        (unsigned long long)options->ttl_seconds, UINT32_MAX);
    if (options->clear_user_byte && options->user_byte != 0)
        return lsm_fail(LSM_INVALID,
                        "write options clear_user_byte and user_byte %u contradict each other",
                        options->user_byte);
    return LSM_OK;
}

lsm_status commit_check_keyspace(const struct keyspace *keyspace, uint64_t ts)
{
    if (UNLIKELY(keyspace_is_dropped_at(keyspace, ts)))
        return lsm_fail(LSM_INVALID, "keyspace '%s' was dropped", keyspace->name);
    return LSM_OK;
}

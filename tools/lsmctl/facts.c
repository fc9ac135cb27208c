#include "facts.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "manifest/presence.h"

// --- by the manifest ---

// As the engine's own arrays, released by lsm_free().
static void *array_new(size_t count, size_t size)
{
    void *array = mem_alloc_zeroed(count + 1, size);

    if (array == NULL)
        must(LSM_NO_MEMORY);
    return array;
}

static void levels_of_version(const struct version *version, lsm_level_info out[LSM_LEVELS])
{
    static_assert(LSM_LEVELS == LEVEL_COUNT, "as many levels inside as outside");

    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        const struct level *level = &version->levels[i];

        out[i] = (lsm_level_info){
            .level = i,
            .tables = level->count,
            .bytes = level->bytes,
            .entries = level->entries,
            .tombstones = level->tombstones,
            .referenced_bytes = level->referenced_bytes,
        };
    }
}

// The size of a segment whose end the manifest does not know is the file's.
static uint64_t segment_bytes(struct inspector *in, const struct segment_use *use)
{
    uint64_t size = use->final_size;

    if (size == 0 &&
        file_stat(in->dir, filename_of(FILENAME_SEGMENT, use->id).text, &size) != LSM_OK)
        return 0; // removed meanwhile
    return size;
}

static bool is_in_chain(const struct manifest_state *state, uint32_t id)
{
    for (size_t i = 0; i < state->chain_count; i++)
        if (state->chain[i].id == id)
            return true;
    return false;
}

static lsm_segment_info *segments_of_version(struct inspector *in, size_t *count)
{
    const struct version *version = in->version;
    lsm_segment_info *out = array_new(version->segment_count, sizeof *out);

    for (size_t i = 0; i < version->segment_count; i++) {
        const struct segment_use *use = &version->segments[i];

        out[i] = (lsm_segment_info){
            .id = use->id,
            .bytes = segment_bytes(in, use),
            .referenced_bytes = use->referenced_bytes,
            .referenced_count = use->referenced_count,
            .is_log = is_in_chain(&in->state, use->id),
        };
    }
    *count = version->segment_count;
    return out;
}

static lsm_keyspace_info *keyspaces_of_state(const struct manifest_state *state, size_t *count)
{
    lsm_keyspace_info *out = array_new(state->keyspace_count, sizeof *out);
    size_t n = 0;

    for (size_t i = 0; i < state->keyspace_count; i++) {
        const struct keyspace_info *info = &state->keyspaces[i];

        if (info->dropped_ts != 0)
            continue;
        out[n] = (lsm_keyspace_info){
            .id = info->id,
            .options = {info->options.value_threshold, info->options.versions_to_keep,
                        info->options.compression, info->options.ttl_seconds},
        };
        snprintf(out[n++].name, sizeof out->name, "%s", info->name);
    }
    *count = n;
    return out;
}

// --- by the engine ---

static lsm_status ask_engine(struct facts *facts)
{
    lsm_segment_info *segments;
    size_t count;

    TRY(lsm_health(facts->db, &facts->health));
    TRY(lsm_levels(facts->db, facts->levels));
    TRY(lsm_segments(facts->db, &segments, &count));
    lsm_free(facts->segments);
    facts->segments = segments;
    facts->segment_count = count;
    return LSM_OK;
}

// --- gathering ---

// Bytes of the log from the replay position on, by the sizes of its files.
static uint64_t unflushed_bytes(struct inspector *in)
{
    const struct manifest_state *state = &in->state;
    uint64_t bytes = 0;

    for (size_t i = 0; i < state->chain_count; i++) {
        const struct log_link *link = &state->chain[i];
        bool is_last = i + 1 == state->chain_count;
        uint64_t end = link->final_size;
        uint64_t start = link->id == state->replay.segment ? state->replay.offset : 0;

        if (link->id < state->replay.segment)
            continue;
        if (is_last && state->is_clean && state->mark.segment == link->id)
            end = state->mark.offset;
        if (end == 0 &&
            file_stat(in->dir, filename_of(FILENAME_SEGMENT, link->id).text, &end) != LSM_OK)
            end = 0;
        bytes += end > start ? end - start : 0;
    }
    return bytes;
}

static void read_files(struct facts *facts)
{
    struct inspector *in;
    lsm_status status = inspector_open(facts->path, &in);

    failure_capture(&facts->reading, status);
    if (status != LSM_OK)
        return;
    facts->inspector = in;
    failure_capture(&facts->reading, presence_check(in->dir, &in->state, in->version));
    levels_of_version(in->version, facts->levels);
    facts->segments = segments_of_version(in, &facts->segment_count);
    facts->keyspaces = keyspaces_of_state(&in->state, &facts->keyspace_count);
    facts->unflushed_bytes = unflushed_bytes(in);
}

static lsm_status sum_files(struct facts *facts)
{
    CLEANUP(dir_closep) struct dir *dir = NULL;

    TRY(dir_find(env_posix(), facts->path, &dir));
    if (dir == NULL)
        return fail_no_database(facts->path, "");
    return inspect_file_sums(dir, &facts->files);
}

lsm_status facts_gather(struct tool *tool, struct facts *out)
{
    struct facts facts = {.path = tool->operands[0]};
    lsm_status status;

    TRY(sum_files(&facts));
    facts.holder = inspect_holder(facts.path, &facts.in_use);
    read_files(&facts);
    if (facts.reading.status == LSM_NOT_FOUND && facts.files.table_count == 0 &&
        facts.files.segment_count == 0)
        return lsm_fail(LSM_INVALID, "%s: is not a database: it has no CURRENT", facts.path);
    // What the manifest names and is not there has been told by its reading.
    must(lsm_options_set(tool->options, "open_damaged", "true"));
    status = open_read_only(facts.path, tool->options, &facts.db);
    if (status == LSM_OK)
        status = ask_engine(&facts);
    failure_capture(&facts.opening, status);
    *out = facts;
    return LSM_OK;
}

void facts_release(struct facts *facts)
{
    struct failure first;

    failure_capture(&first, LSM_INVALID);
    inspector_close(facts->inspector);
    lsm_free(facts->segments);
    lsm_free(facts->keyspaces);
    (void)lsm_close(facts->db); // it was only read
    (void)failure_raise(&first);
    *facts = (struct facts){0};
}

lsm_status facts_verdict(const struct facts *facts)
{
    const struct failure *failure =
        facts->reading.status != LSM_OK ? &facts->reading : &facts->opening;

    // Nothing can be said for certain about files that change while they are read.
    if (failure->status == LSM_OK || facts->in_use)
        return LSM_OK;
    return failure_raise(failure);
}

// --- sums ---

uint64_t facts_live_bytes(const struct facts *facts)
{
    for (unsigned i = LSM_LEVELS; i-- > 0;)
        if (facts->levels[i].bytes != 0)
            return facts->levels[i].bytes + facts->levels[i].referenced_bytes +
                   facts->unflushed_bytes;
    return facts->unflushed_bytes;
}

uint64_t facts_total_bytes(const struct facts *facts)
{
    return facts->files.table_bytes + facts->files.segment_bytes + facts->files.manifest_bytes +
           facts->files.other_bytes;
}

struct dead_bytes facts_dead(const struct facts *facts)
{
    struct dead_bytes dead = {0};

    for (size_t i = 0; i < facts->segment_count; i++) {
        const lsm_segment_info *segment = &facts->segments[i];

        if (segment->is_log || segment->bytes <= segment->referenced_bytes)
            continue;
        dead.bytes += segment->bytes - segment->referenced_bytes;
        dead.segments++;
    }
    return dead;
}

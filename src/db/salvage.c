// salvage.c -- putting together what the parts find, and writing it.

#include "db/salvage.h"
#include "db/options_file.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "db/db.h"
#include "db/salvage_source.h"

// Of values, after which a transaction is committed.
#define TXN_BYTES ((uint64_t)1 << 20)
// Numbers that the tables of the new database do not reach.
#define RUN_ID_FIRST ((uint64_t)1 << 48)

// A keyspace of the new database, or one that is left out.
struct target {
    struct salvaged_keyspace info;
    bool is_dropped;
    struct keyspace_options options;
    lsm_keyspace *handle; // NULL in a dry run
};

struct salvage {
    const struct salvage_request *request;
    struct salvage_losses losses;
    struct salvage_source source;
    struct salvage_log *log;
    struct salvage_merge certain;
    struct salvage_merge uncertain; // of the log alone

    struct env *memory;  // of a dry run's runs
    struct dir *scratch; // where runs are
    uint64_t next_run_id;
    lsm_db *db; // NULL in a dry run
    lsm_txn *txn;
    uint64_t txn_bytes;

    struct target *targets;
    size_t target_count;
    size_t last_target; // found
    uint64_t lost_values;
    uint64_t uncertain_bytes; // to read for what is uncertain
    bool is_counting;         // what is uncertain is not taken, only counted
    uint64_t offered_record_count;
    uint64_t offered_value_bytes;
    lsm_buf value;
};

// --- keyspaces ---

static const struct salvage_name *find_name(const struct salvage *s, uint32_t id)
{
    const struct salvage_name *found = NULL;

    for (size_t i = 0; i < s->source.name_count; i++)
        if (s->source.names[i].id == id)
            found = &s->source.names[i];
    return found;
}

// As the manifest calls it, or by its id.
static void put_name(const char *known, uint32_t id, char name[256])
{
    if (known != NULL)
        (void)snprintf(name, 256, "%s", known);
    else if (id == KEYSPACE_DEFAULT_ID)
        (void)snprintf(name, 256, "default");
    else
        (void)snprintf(name, 256, "keyspace-%u", id);
}

static bool name_is_taken(const struct salvage *s, const char *name)
{
    for (size_t i = 0; i < s->target_count; i++) {
        if (!s->targets[i].is_dropped && strcmp(s->targets[i].info.name, name) == 0)
            return true;
    }
    return false;
}

// Names the target: as the manifest does, or by its id; never as another one is named.
static void name_target(const struct salvage *s, const char *known, struct target *target)
{
    struct salvaged_keyspace *info = &target->info;
    char base[sizeof info->name];

    info->is_named = known != NULL || info->id == KEYSPACE_DEFAULT_ID;
    put_name(known, info->id, base);
    memcpy(info->name, base, sizeof base);
    if (info->is_uncertain)
        (void)snprintf(info->name, sizeof info->name, "%.240s.uncertain", base);
    for (unsigned i = 2; name_is_taken(s, info->name); i++)
        (void)snprintf(info->name, sizeof info->name, "%.230s%s-%u", base,
                       info->is_uncertain ? ".uncertain" : "", i);
}

static lsm_status open_target(struct salvage *s, struct target *target)
{
    const lsm_keyspace_options options = {
        .value_threshold = target->options.value_threshold,
        .versions_to_keep = target->options.versions_to_keep,
        .compression = target->options.compression,
    };

    if (s->db == NULL || target->is_dropped)
        return LSM_OK;
    return lsm_keyspace_open(s->db, target->info.name, true, &options, &target->handle);
}

static lsm_status add_target(struct salvage *s, uint32_t id, bool is_uncertain)
{
    const struct salvage_name *known = find_name(s, id);
    struct target *targets = mem_resize_array(s->targets, s->target_count + 1, sizeof *targets);
    struct target target = {.info = {.id = id, .is_uncertain = is_uncertain},
                            .options = {.value_threshold = KEYSPACE_INHERIT,
                                        .versions_to_keep = KEYSPACE_INHERIT,
                                        .compression = KEYSPACE_INHERIT}};

    if (targets == NULL)
        return lsm_fail(LSM_NO_MEMORY, "salvage: %zu keyspaces", s->target_count + 1);
    s->targets = targets;
    if (known != NULL) {
        target.is_dropped = known->is_dropped;
        target.options = known->options;
    }
    name_target(s, known == NULL ? NULL : known->name, &target);
    TRY(open_target(s, &target));
    targets[s->target_count++] = target;
    return LSM_OK;
}

static bool is_target(const struct target *target, uint32_t id, bool is_uncertain)
{
    return target->info.id == id && target->info.is_uncertain == is_uncertain;
}

// Entries come by keyspace, so that it is mostly the one found before.
static lsm_status find_target(struct salvage *s, uint32_t id, bool is_uncertain,
                              struct target **out)
{
    size_t i = s->last_target;

    if (i >= s->target_count || !is_target(&s->targets[i], id, is_uncertain)) {
        for (i = 0; i < s->target_count && !is_target(&s->targets[i], id, is_uncertain);)
            i++;
    }
    if (i == s->target_count)
        TRY(add_target(s, id, is_uncertain));
    s->last_target = i;
    *out = &s->targets[i];
    return LSM_OK;
}

// Those that the manifest names are there even when nothing in them is.
static lsm_status add_known_targets(struct salvage *s)
{
    for (size_t i = 0; i < s->source.name_count; i++) {
        struct target *target;

        TRY(find_target(s, s->source.names[i].id, false, &target));
    }
    return LSM_OK;
}

// Options that must not have touched what was salvaged.
static lsm_status finish_targets(struct salvage *s)
{
    for (size_t i = 0; i < s->target_count; i++) {
        const struct target *target = &s->targets[i];
        const lsm_keyspace_options options = {
            .value_threshold = target->options.value_threshold,
            .versions_to_keep = target->options.versions_to_keep,
            .compression = target->options.compression,
            .ttl_seconds = target->options.ttl_seconds,
        };

        if (target->handle != NULL && !target->info.is_uncertain)
            TRY(lsm_keyspace_alter(s->db, target->info.name, &options));
    }
    return LSM_OK;
}

// --- what is lost ---

static void set_bound(const struct salvage *s, const struct ikey *at, bool is_included,
                      struct salvage_bound *out)
{
    const struct salvage_name *known = at == NULL ? NULL : find_name(s, at->keyspace);

    *out = (struct salvage_bound){.is_known = at != NULL, .is_included = is_included};
    if (at == NULL)
        return;
    out->keyspace = at->keyspace;
    out->key = at->key;
    put_name(known == NULL ? NULL : known->name, at->keyspace, out->keyspace_name);
}

// lost_keys_fn.
static void tell_range(void *ctx, const struct lost_keys *keys)
{
    const struct salvage *s = ctx;
    struct salvage_range range = {.file = keys->file};

    if (s->request->on_range == NULL)
        return;
    set_bound(s, keys->from, keys->has_from, &range.from);
    set_bound(s, keys->to, keys->has_to, &range.to);
    s->request->on_range(s->request->ctx, &range);
}

static void tell_lost_value(const struct salvage *s, const struct entry *entry, uint32_t segment)
{
    const struct filename name = filename_of(FILENAME_SEGMENT, segment);
    const struct ikey at = entry_ikey(entry);
    const struct lost_keys keys = {name.text, &at, &at, true, true};

    tell_range((void *)s, &keys);
}

// --- writing ---

static lsm_status commit(struct salvage *s)
{
    const lsm_write_options options = {.sync = LSM_SYNC_WRITTEN};
    lsm_status status = s->txn == NULL ? LSM_OK : lsm_commit(s->txn, &options);

    lsm_txn_free(s->txn);
    s->txn = NULL;
    s->txn_bytes = 0;
    return status;
}

static lsm_status write_record(struct salvage *s, struct target *target, const struct entry *entry,
                               lsm_slice value)
{
    target->info.record_count++;
    target->info.value_bytes += value.size;
    if (s->db == NULL)
        return LSM_OK;
    if (s->txn == NULL)
        TRY(lsm_begin(s->db, LSM_TXN_SNAPSHOT, &s->txn));
    TRY(lsm_txn_put_entry(s->txn, target->handle, entry->key, value, entry->expiry,
                          entry->user_byte));
    s->txn_bytes += entry->key.size + value.size;
    return s->txn_bytes < TXN_BYTES ? LSM_OK : commit(s);
}

// Reads the value of an entry; LSM_CORRUPT: it is lost, which has been told.
static lsm_status read_value(struct salvage *s, const struct entry *entry, lsm_slice *out)
{
    struct value_pointer pointer = {0};
    lsm_status status;

    if (entry->kind != ENTRY_POINTER) {
        *out = entry->value;
        return LSM_OK;
    }
    status = pointer_decode(entry->value, &pointer);
    salvage_note_read(&s->losses, pointer.record_size);
    if (status == LSM_OK)
        status = salvage_log_value(s->log, &pointer, entry->keyspace, entry->key, &s->value);
    if (status == LSM_CORRUPT && !s->losses.is_muted)
        tell_lost_value(s, entry, pointer.segment);
    *out = slice_of_buf(&s->value);
    return status;
}

// What has expired comes along, with its expiry: the clock may be wrong, today of all days.
static bool is_worth_taking(const struct entry *entry)
{
    return entry->kind != ENTRY_DELETE;
}

// Takes the newest version of a key: a value is written, if it can be read.
static lsm_status take_entry(struct salvage *s, const struct entry *entry, bool is_uncertain)
{
    struct target *target;
    lsm_slice value;
    lsm_status status;

    if (!is_worth_taking(entry))
        return LSM_OK;
    TRY(find_target(s, entry->keyspace, is_uncertain, &target));
    if (target->is_dropped)
        return LSM_OK;
    status = read_value(s, entry, &value);
    if (status == LSM_CORRUPT) {
        s->lost_values++;
        return LSM_OK;
    }
    TRY(status);
    return write_record(s, target, entry, value);
}

static lsm_status count_entry(struct salvage *s, const struct entry *entry)
{
    const struct salvage_name *known = find_name(s, entry->keyspace);
    lsm_slice value;
    lsm_status status;

    if (!is_worth_taking(entry) || (known != NULL && known->is_dropped))
        return LSM_OK;
    status = read_value(s, entry, &value);
    if (status == LSM_CORRUPT)
        return LSM_OK;
    TRY(status);
    s->offered_record_count++;
    s->offered_value_bytes += value.size;
    return LSM_OK;
}

// --- the newest of everything ---

// The newest version of each key, one after the other.
struct newest {
    struct iter *it;
    bool is_valid; // `it` is at the newest version of a key
    uint32_t keyspace;
    lsm_buf key; // with `keyspace`: the one before
};

static void newest_release(struct newest *n)
{
    iter_close(n->it);
    lsm_buf_free(&n->key);
}

static bool is_same_key(const struct newest *n)
{
    return n->it->entry.keyspace == n->keyspace &&
           slice_equal(n->it->entry.key, slice_of_buf(&n->key));
}

static lsm_status newest_next(struct newest *n)
{
    n->keyspace = n->it->entry.keyspace;
    TRY(buf_assign(&n->key, n->it->entry.key));
    do
        TRY(iter_next(n->it));
    while (n->it->is_valid && is_same_key(n));
    n->is_valid = n->it->is_valid;
    return LSM_OK;
}

static lsm_status newest_first(struct salvage_merge *merge, struct newest *n)
{
    TRY(salvage_merge_iter(merge, &n->it));
    TRY(iter_first(n->it));
    n->is_valid = n->it->is_valid;
    return LSM_OK;
}

static lsm_status take_certain(struct salvage *s)
{
    CLEANUP(newest_release) struct newest n = {.it = NULL};

    TRY(newest_first(&s->certain, &n));
    while (n.is_valid) {
        TRY(take_entry(s, &n.it->entry, false));
        TRY(newest_next(&n));
    }
    return LSM_OK;
}

// What may have been deleted, unless something certain is newer.
static lsm_status take_uncertain(struct salvage *s)
{
    CLEANUP(newest_release) struct newest n = {.it = NULL};
    CLEANUP(newest_release) struct newest certain = {.it = NULL};

    s->losses.is_muted = true; // the tables are read a second time
    TRY(newest_first(&s->certain, &certain));
    TRY(newest_first(&s->uncertain, &n));
    while (n.is_valid) {
        const struct ikey start = {n.it->entry.keyspace, n.it->entry.key, TS_MAX};

        while (certain.is_valid && ikey_compare(&(struct ikey){certain.it->entry.keyspace,
                                                               certain.it->entry.key, TS_MAX},
                                                &start) < 0)
            TRY(newest_next(&certain));
        s->losses.is_muted = s->is_counting;
        if (!certain.is_valid || !entry_same_key(&certain.it->entry, &n.it->entry) ||
            certain.it->entry.ts < n.it->entry.ts)
            TRY(s->is_counting ? count_entry(s, &n.it->entry) : take_entry(s, &n.it->entry, true));
        s->losses.is_muted = true;
        TRY(newest_next(&n));
    }
    s->losses.is_muted = false;
    return LSM_OK;
}

// --- all of it ---

static lsm_status refuse_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    const struct salvage *s = ctx;
    uint64_t number;

    (void)size;
    (void)is_regular;
    switch (filename_parse(name, &number)) {
    case FILENAME_SEGMENT:
    case FILENAME_TABLE:
    case FILENAME_MANIFEST:
    case FILENAME_CURRENT:
        return lsm_fail(LSM_INVALID, "%s: there is a database already; a new one is needed",
                        s->request->to);
    case FILENAME_SALVAGING:
        return lsm_fail(LSM_INVALID, "%s: a salvage into it has not finished; a new one is needed",
                        s->request->to);
    case FILENAME_UNKNOWN:
        return lsm_fail(LSM_INVALID, "%s is not empty: it holds '%s'", s->request->to, name);
    default:
        return LSM_OK;
    }
}

// Until the mark is gone the new database does not open: a part of what was there is not to be
// taken for all of it.
static lsm_status put_mark(struct salvage *s)
{
    static const char text[] = "A salvage into this directory has not finished.\n";
    const struct filename name = filename_of(FILENAME_SALVAGING, 0);
    struct file *file;
    lsm_status status;

    TRY(file_open(s->scratch, name.text, FILE_CREATE, &file));
    status = file_write_one(file, 0, slice_make(text, sizeof text - 1));
    if (status == LSM_OK)
        status = file_sync(file);
    if (status != LSM_OK) {
        file_close_quietly(file);
        return status;
    }
    TRY(file_close(file));
    return dir_sync(s->scratch);
}

static lsm_status remove_mark(struct salvage *s)
{
    if (PLANTED(SKIP_SALVAGE_MARK))
        return LSM_OK;
    TRY(dir_sync(s->scratch)); // runs do not come back without it
    TRY(file_unlink(s->scratch, filename_of(FILENAME_SALVAGING, 0).text));
    return dir_sync(s->scratch);
}

// Whatever the new directory is called, it may be the damaged one: not a file of a database
// may be there.
static lsm_status claim_new(struct salvage *s, struct env *env)
{
    TRY(dir_open(env, s->request->to, true, &s->scratch));
    TRY(dir_list(s->scratch, refuse_file, s));
    return PLANTED(SKIP_SALVAGE_MARK) ? LSM_OK : put_mark(s);
}

// What the damaged database kept is kept by the new one, unless the caller says otherwise. Where
// that cannot be read the defaults do: nothing is merged that is older than what is salvaged.
static void take_options(const struct salvage *s, struct lsm_options *options)
{
    struct lsm_options kept;

    if (options_file_read(s->source.dir, &kept) != LSM_OK)
        return;
    options_merge(options, &kept);
    options_take(options, &kept);
}

static lsm_status open_new(struct salvage *s)
{
    struct lsm_options options;

    s->next_run_id = RUN_ID_FIRST;
    if (s->request->to == NULL) {
        TRY(env_memory_new(&s->memory));
        return dir_open(s->memory, "/", true, &s->scratch);
    }
    if (s->request->options != NULL)
        options = *s->request->options;
    else
        options_init(&options);
    take_options(s, &options);
    options.create_if_missing = true;
    options.error_if_exists = true;
    options.in_memory = false;
    options.is_salvage = true;
    options.salvaged_wall_ns = s->source.has_manifest ? s->source.state.last_wall_ns : 0;
    options.txn_bytes_max = (uint64_t)16 << 30; // a record of any size fits
    TRY(claim_new(s, options.env == NULL ? env_posix() : options.env));
    return lsm_open(s->request->to, &options, &s->db);
}

static void remove_runs(struct salvage *s)
{
    for (uint64_t id = RUN_ID_FIRST; s->scratch != NULL && id < s->next_run_id; id++)
        (void)file_unlink(s->scratch, filename_of(FILENAME_TABLE, id).text); // nobody names it
}

struct sizes {
    uint64_t tables;
    uint64_t segments;
};

static lsm_status sum_size(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct sizes *sizes = ctx;
    uint64_t number;

    if (is_regular && filename_parse(name, &number) == FILENAME_TABLE)
        sizes->tables += size;
    if (is_regular && filename_parse(name, &number) == FILENAME_SEGMENT)
        sizes->segments += size;
    return LSM_OK;
}

// The log is read to find out what of it is certain, and to take that; then the tables, and the
// values that they point to. What is uncertain is compared with all that.
static lsm_status estimate(struct salvage *s)
{
    struct sizes sizes = {0};

    TRY(dir_list(s->source.dir, sum_size, &sizes));
    s->losses.total_bytes = sizes.tables + 2 * sizes.segments;
    if (s->source.has_manifest)
        s->losses.total_bytes += version_referenced_bytes(s->source.version);
    s->uncertain_bytes = sizes.tables + sizes.segments;
    return LSM_OK;
}

static lsm_status read_source(struct salvage *s)
{
    struct salvage_log_input input = {.losses = &s->losses};

    TRY(salvage_source_open(s->request, &s->losses, &s->source));
    TRY(estimate(s));
    input.dir = s->source.dir;
    input.db_uuid = s->source.db_uuid;
    if (s->source.has_manifest) {
        input.state = &s->source.state;
        input.version = s->source.version;
    }
    TRY(salvage_source_tables(&s->source, &s->certain, &input.flushed_ts));
    return salvage_log_open(&input, &s->log);
}

static lsm_status write_new(struct salvage *s)
{
    TRY(open_new(s));
    TRY(salvage_merge_add_log(&s->certain, s->log, true, s->scratch, &s->next_run_id));
    TRY(add_known_targets(s));
    TRY(take_certain(s));
    // With all tables whole, what of the log they were made of is worth nothing.
    s->is_counting = !s->request->take_uncertain;
    if (!s->is_counting || !s->source.has_manifest || s->losses.range_count > 0) {
        s->losses.is_muted = s->is_counting;
        s->losses.total_bytes += s->uncertain_bytes;
        TRY(salvage_merge_add_log(&s->uncertain, s->log, false, s->scratch, &s->next_run_id));
        TRY(take_uncertain(s));
    }
    TRY(commit(s));
    return finish_targets(s);
}

// Closes the new database; the status is the first failure.
static lsm_status close_new(struct salvage *s, lsm_status status)
{
    struct failure failure;

    failure_capture(&failure, status);
    lsm_txn_free(s->txn);
    for (size_t i = 0; i < s->target_count; i++)
        lsm_keyspace_close(s->targets[i].handle);
    status = lsm_close(s->db);
    remove_runs(s);
    if (status == LSM_OK && failure.status == LSM_OK && s->request->to != NULL)
        status = remove_mark(s);
    if (failure.status == LSM_OK)
        failure_capture(&failure, status);
    return failure_raise(&failure);
}

static int compare_keyspaces(const void *left, const void *right)
{
    const struct salvaged_keyspace *a = left;
    const struct salvaged_keyspace *b = right;

    if (a->is_uncertain != b->is_uncertain)
        return a->is_uncertain - b->is_uncertain;
    return (a->id > b->id) - (a->id < b->id);
}

static lsm_status fill_report(const struct salvage *s, uint64_t table_count,
                              struct salvage_report *report)
{
    const struct salvage_log_found found = salvage_log_found(s->log);

    *report = (struct salvage_report){
        .has_manifest = s->source.has_manifest,
        .table_count = table_count,
        .segment_count = found.segment_count,
        .frame_count = found.certain_count,
        .uncertain_frame_count = found.uncertain_count,
        .loss_count = s->losses.count,
        .lost_bytes = s->losses.bytes,
        .lost_frames = found.lost_frames,
        .lost_values = s->lost_values,
        .range_count = s->losses.range_count,
        .offered_record_count = s->offered_record_count,
        .offered_value_bytes = s->offered_value_bytes,
        .keyspaces = mem_alloc_zeroed(s->target_count, sizeof *report->keyspaces),
    };
    if (report->keyspaces == NULL)
        return lsm_fail(LSM_NO_MEMORY, "salvage: %zu keyspaces", s->target_count);
    if (s->source.manifest_number != 0)
        (void)snprintf(report->manifest, sizeof report->manifest, "%s",
                       filename_of(FILENAME_MANIFEST, s->source.manifest_number).text);
    for (size_t i = 0; i < s->target_count; i++) {
        if (s->targets[i].is_dropped)
            continue;
        report->keyspaces[report->keyspace_count++] = s->targets[i].info;
        report->record_count += s->targets[i].info.record_count;
    }
    if (report->keyspace_count > 1)
        qsort(report->keyspaces, report->keyspace_count, sizeof *report->keyspaces,
              compare_keyspaces);
    return LSM_OK;
}

static void salvage_release(struct salvage *s)
{
    dir_close(s->scratch);
    salvage_log_free(s->log);
    salvage_merge_release(&s->uncertain);
    salvage_merge_release(&s->certain);
    salvage_source_release(&s->source);
    if (s->memory != NULL)
        env_memory_free(s->memory);
    mem_free(s->targets);
    lsm_buf_free(&s->value);
}

lsm_status db_salvage(const struct salvage_request *request, struct salvage_report *out)
{
    struct salvage s = {
        .request = request,
        .losses = {.fn = request->on_loss,
                   .ctx = request->ctx,
                   .progress_fn = request->on_progress},
    };
    uint64_t table_count;
    lsm_status status;

    s.losses.keys_fn = tell_range;
    s.losses.keys_ctx = &s;
    salvage_merge_init(&s.certain, &s.losses);
    salvage_merge_init(&s.uncertain, &s.losses);
    status = read_source(&s);
    table_count = s.certain.count;
    if (status == LSM_OK)
        status = close_new(&s, write_new(&s));
    if (status == LSM_OK)
        status = fill_report(&s, table_count, out);
    salvage_release(&s);
    return status;
}

void salvage_report_release(struct salvage_report *report)
{
    mem_free(report->keyspaces);
    *report = (struct salvage_report){.has_manifest = false};
}

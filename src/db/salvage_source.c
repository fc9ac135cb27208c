#include "db/salvage_source.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "manifest/manifest_file.h"

#define OPEN_FILES_MAX 16
#define CACHE_BYTES    ((size_t)1 << 20)

// --- whose it is ---

#define OWNERS_TOLD_MAX 4

// A database that files of the directory say they belong to.
struct owner {
    struct uuid uuid;
    uint64_t file_count;
    uint64_t manifest_number; // the highest; 0: there is none
};

struct owners {
    struct dir *dir;
    struct owner *items;
    size_t count;
    uint64_t unread_manifest; // the highest number of one whose header does not verify
    struct failure failure;   // to read a header; LSM_OK: none
};

static void owners_release(struct owners *owners)
{
    mem_free(owners->items);
}

static struct owner *find_owner(const struct owners *owners, const struct uuid *uuid)
{
    for (size_t i = 0; i < owners->count; i++) {
        if (uuid_equal(&owners->items[i].uuid, uuid))
            return &owners->items[i];
    }
    return NULL;
}

static lsm_status add_owner(struct owners *owners, const struct uuid *uuid, struct owner **out)
{
    struct owner *items = mem_resize_array(owners->items, owners->count + 1, sizeof *items);

    if (items == NULL)
        return lsm_fail(LSM_NO_MEMORY, "salvage: %zu databases", owners->count + 1);
    owners->items = items;
    items[owners->count] = (struct owner){.uuid = *uuid};
    *out = &items[owners->count++];
    return LSM_OK;
}

static enum file_kind header_kind(enum filename_kind kind)
{
    if (kind == FILENAME_MANIFEST)
        return FILE_KIND_MANIFEST;
    return kind == FILENAME_TABLE ? FILE_KIND_TABLE : FILE_KIND_LOG;
}

static lsm_status read_header(struct dir *dir, const char *name, enum file_kind kind,
                              struct file_header *out)
{
    CLEANUP(file_closep) struct file *file = NULL;
    uint8_t bytes[FILE_HEADER_SIZE];

    TRY(file_open(dir, name, FILE_READ, &file));
    TRY(file_read_exact(file, 0, bytes, sizeof bytes));
    return file_header_decode(slice_make(bytes, sizeof bytes), kind, name, out);
}

static void raise(uint64_t *highest, uint64_t number)
{
    if (*highest < number)
        *highest = number;
}

static lsm_status look_at_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct owners *owners = ctx;
    struct file_header header;
    struct owner *owner;
    lsm_status status;
    uint64_t number;
    const enum filename_kind kind = filename_parse(name, &number);

    (void)size;
    if (!is_regular ||
        (kind != FILENAME_TABLE && kind != FILENAME_SEGMENT && kind != FILENAME_MANIFEST))
        return LSM_OK;
    status = read_header(owners->dir, name, header_kind(kind), &header);
    if (salvage_is_stopped(status))
        return status;
    if (status != LSM_OK) {
        if (status == LSM_IO)
            failure_capture(&owners->failure, status);
        if (kind == FILENAME_MANIFEST)
            raise(&owners->unread_manifest, number);
        return LSM_OK;
    }
    owner = find_owner(owners, &header.db_uuid);
    if (owner == NULL)
        TRY(add_owner(owners, &header.db_uuid, &owner));
    owner->file_count++;
    if (kind == FILENAME_MANIFEST)
        raise(&owner->manifest_number, number);
    return LSM_OK;
}

static lsm_status refuse_owners(const struct owners *owners)
{
    char told[OWNERS_TOLD_MAX * (UUID_TEXT_SIZE + 32)] = "";
    size_t at = 0;

    for (size_t i = 0; i < owners->count && i < OWNERS_TOLD_MAX; i++) {
        char text[UUID_TEXT_SIZE];

        uuid_format(&owners->items[i].uuid, text);
        at += (size_t)snprintf(told + at, sizeof told - at, "%s%s (%llu files)", i == 0 ? "" : ", ",
                               text, (unsigned long long)owners->items[i].file_count);
    }
    return lsm_fail(LSM_INVALID, "%s: holds files of %zu databases; one must be named: %s",
                    owners->dir->path, owners->count, told);
}

// Whose files count when CURRENT does not say: of the database that is named, or else of the
// only one there is.
static lsm_status choose_owner(const struct owners *owners, const struct uuid *named,
                               const struct owner **out)
{
    if (owners->count == 0 && owners->failure.status != LSM_OK)
        return failure_raise(&owners->failure);
    if (owners->count == 0)
        return lsm_fail(LSM_INVALID, "%s: holds no file of a database that verifies",
                        owners->dir->path);
    if (named == NULL && owners->count > 1 && !PLANTED(SALVAGE_ANY_DATABASE))
        return refuse_owners(owners);
    *out = named == NULL ? owners->items : find_owner(owners, named);
    if (*out == NULL)
        return lsm_fail(LSM_INVALID, "%s: holds no file of the database that is named",
                        owners->dir->path);
    return LSM_OK;
}

static lsm_status look_around(struct salvage_source *source, const struct uuid *named)
{
    CLEANUP(owners_release) struct owners owners = {.dir = source->dir};
    const struct owner *owner = NULL;

    TRY(dir_list(source->dir, look_at_file, &owners));
    TRY(choose_owner(&owners, named, &owner));
    source->db_uuid = owner->uuid;
    source->manifest_number = owner->manifest_number;
    raise(&source->manifest_number, owners.unread_manifest); // whose else would it be
    return LSM_OK;
}

// By CURRENT, or else by what the files say.
static lsm_status find_database(struct salvage_source *source, const struct uuid *named,
                                bool *has_current)
{
    struct file_header current;
    lsm_status status = current_read(source->dir, &current);

    if (status == LSM_OK && named != NULL && !uuid_equal(&current.db_uuid, named))
        status = lsm_fail(LSM_CORRUPT, "CURRENT: offset 0: is of another database");
    *has_current = status == LSM_OK;
    if (*has_current) {
        source->db_uuid = current.db_uuid;
        source->manifest_number = current.number;
        return LSM_OK;
    }
    if (salvage_is_stopped(status))
        return status;
    salvage_lose(source->losses, filename_of(FILENAME_CURRENT, 0).text, 0, 0, lsm_errmsg());
    return look_around(source, named);
}

// --- names ---

static struct salvage_name *find_name(struct salvage_source *source, uint32_t id)
{
    for (size_t i = 0; i < source->name_count; i++) {
        if (source->names[i].id == id)
            return &source->names[i];
    }
    return NULL;
}

static lsm_status add_name(struct salvage_source *source, const struct salvage_name *name)
{
    struct salvage_name *names =
        mem_resize_array(source->names, source->name_count + 1, sizeof *names);

    if (names == NULL)
        return lsm_fail(LSM_NO_MEMORY, "salvage: %zu keyspaces", source->name_count + 1);
    source->names = names;
    names[source->name_count++] = *name;
    return LSM_OK;
}

static lsm_status take_names(struct salvage_source *source)
{
    for (size_t i = 0; i < source->state.keyspace_count; i++) {
        const struct keyspace_info *info = &source->state.keyspaces[i];
        struct salvage_name name = {
            .id = info->id, .is_dropped = info->dropped_ts != 0, .options = info->options};

        memcpy(name.name, info->name, sizeof name.name);
        TRY(add_name(source, &name));
    }
    return LSM_OK;
}

static lsm_status take_change(struct salvage_source *source, const struct keyspace_change *change)
{
    struct salvage_name *known = find_name(source, change->id);
    struct salvage_name name = {.id = change->id, .options = change->options};

    if (known != NULL) {
        if (change->kind == KEYSPACE_ALTER)
            known->options = change->options;
        known->is_dropped |= change->kind == KEYSPACE_DROP;
        return LSM_OK;
    }
    if (change->kind != KEYSPACE_CREATE || change->name.size > KEYSPACE_NAME_SIZE_MAX)
        return LSM_OK;
    memcpy(name.name, change->name.data, change->name.size);
    return add_name(source, &name);
}

static lsm_status take_edit(void *ctx, uint64_t offset, uint64_t size, const struct edit *edit)
{
    (void)offset;
    (void)size;
    for (size_t i = 0; edit != NULL && i < edit->keyspace_count; i++)
        TRY(take_change(ctx, &edit->keyspaces[i]));
    return LSM_OK;
}

// --- the manifest ---

static lsm_status make_stores(struct salvage_source *source)
{
    TRY(fd_cache_new(&source->bin, OPEN_FILES_MAX, &source->fds));
    fd_cache_serve(source->fds, source->dir);
    TRY(cache_new(CACHE_BYTES, &source->bin, &source->cache));
    TRY(unlinker_new(source->dir, &source->poison, &source->unlinker));
    unlinker_hold(source->unlinker);
    source->table_store = (struct table_store){.dir = source->dir,
                                               .db_uuid = source->db_uuid,
                                               .fds = source->fds,
                                               .cache = source->cache,
                                               .bin = &source->bin,
                                               .unlinker = source->unlinker};
    source->segment_store = (struct segment_store){.dir = source->dir,
                                                   .db_uuid = source->db_uuid,
                                                   .fds = source->fds,
                                                   .bin = &source->bin,
                                                   .unlinker = source->unlinker,
                                                   .poison = &source->poison};
    return LSM_OK;
}

// Whole, or else as far as it tells the names of keyspaces.
static lsm_status read_manifest(struct salvage_source *source, bool has_current)
{
    const struct filename name = filename_of(FILENAME_MANIFEST, source->manifest_number);
    struct table_store *tables = &source->table_store;
    struct segment_store *segments = &source->segment_store;
    lsm_status status = has_current
                            ? manifest_read(tables, segments, &source->state, &source->version)
                            : manifest_read_numbered(tables, segments, source->manifest_number,
                                                     &source->state, &source->version);

    source->has_manifest = status == LSM_OK;
    if (source->has_manifest)
        return take_names(source);
    if (salvage_is_stopped(status))
        return status;
    salvage_lose(source->losses, name.text, 0, 0, lsm_errmsg());
    status = manifest_scan(source->dir, name.text, take_edit, source);
    return salvage_is_stopped(status) ? status : LSM_OK;
}

lsm_status salvage_source_open(const struct salvage_request *request, struct salvage_losses *losses,
                               struct salvage_source *source)
{
    bool has_current;

    *source = (struct salvage_source){.losses = losses};
    manifest_state_init(&source->state);
    epoch_bin_init(&source->bin);
    poison_init(&source->poison);
    TRY(dir_find(request->env, request->from, &source->dir));
    if (source->dir == NULL)
        return lsm_fail(LSM_NOT_FOUND, "%s: there is no such directory", request->from);
    TRY(find_database(source, request->whose, &has_current));
    TRY(make_stores(source));
    return source->manifest_number == 0 ? LSM_OK : read_manifest(source, has_current);
}

void salvage_source_release(struct salvage_source *source)
{
    if (source->version != NULL)
        version_unref(source->version);
    manifest_state_release(&source->state);
    mem_free(source->names);
    epoch_drain(&source->bin);
    if (source->cache != NULL)
        cache_free(source->cache);
    epoch_drain(&source->bin);
    if (source->fds != NULL)
        fd_cache_free(source->fds);
    if (source->unlinker != NULL)
        unlinker_free(source->unlinker);
    epoch_drain(&source->bin);
    epoch_bin_release(&source->bin);
    poison_release(&source->poison);
    dir_close(source->dir);
}

// --- tables ---

static lsm_status add_table(struct salvage_merge *merge, struct salvage_table *table)
{
    lsm_status status = salvage_merge_add(merge, table);

    if (status != LSM_OK)
        salvage_table_release(table);
    return status;
}

static lsm_status add_named_tables(struct salvage_source *source, struct salvage_merge *merge)
{
    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        const struct level *level = &source->version->levels[l];

        for (size_t i = 0; i < level->count; i++) {
            const struct table_meta *meta = table_meta(level->tables[i]);
            struct salvage_table table = {
                .dir = source->dir, .id = meta->id, .uuid = meta->uuid, .has_uuid = true};

            TRY(table_meta_copy(meta, &table.meta));
            TRY(add_table(merge, &table));
        }
    }
    return LSM_OK;
}

struct gathering {
    struct salvage_source *source;
    struct salvage_merge *merge;
};

static lsm_status gather_table(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    const struct gathering *g = ctx;
    struct salvage_table table = {.dir = g->source->dir};
    lsm_status status;

    if (!is_regular || filename_parse(name, &table.id) != FILENAME_TABLE)
        return LSM_OK;
    status = salvage_table_look(&table, &g->source->db_uuid);
    if (salvage_is_stopped(status))
        return status;
    if (status == LSM_OK)
        return add_table(g->merge, &table);
    salvage_lose(g->source->losses, name, 0, size, lsm_errmsg());
    return LSM_OK;
}

lsm_status salvage_source_tables(struct salvage_source *source, struct salvage_merge *merge,
                                 uint64_t *flushed_ts)
{
    struct gathering g = {.source = source, .merge = merge};
    uint64_t newest = 0;

    if (source->has_manifest)
        TRY(add_named_tables(source, merge));
    else
        TRY(dir_list(source->dir, gather_table, &g));
    for (size_t i = 0; i < merge->count; i++) {
        const struct table_meta *meta = merge->tables[i].meta;

        if (meta != NULL && meta->ts_max > newest)
            newest = meta->ts_max;
    }
    *flushed_ts = newest;
    return LSM_OK;
}

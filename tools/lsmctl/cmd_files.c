// cmd_files.c -- find, inspect, manifest: what stands in the files, byte by byte as
// far as that tells something. Reads files only; the engine is not asked.

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_header.h"
#include "base/words.h"
#include "inspector.h"
#include "lsmctl.h"
#include "vlog/segment_scan.h"

#define FIND_TRIES 8

static const char *kind_name(uint8_t kind)
{
    switch (kind) {
    case ENTRY_VALUE:
        return "value";
    case ENTRY_POINTER:
        return "pointer";
    case ENTRY_DELETE:
        return "delete";
    default:
        return "unknown";
    }
}

// --- find ---

struct find {
    struct tool *tool;
    struct inspector *in;
    uint32_t keyspace;
    lsm_slice key;
    struct grid grid;
    cJSON *array; // with --json
    uint64_t count;
    const char *file; // being searched
    struct log_position frame;
    bool is_file_gone; // a table that the manifest names could not be opened
};

// One version of the key. For a pointer, `pointer` says where its value is.
static void find_add(struct find *find, const char *where, uint64_t offset,
                     const struct entry *entry, const struct value_pointer *pointer)
{
    uint64_t size = pointer != NULL ? pointer->value_size : entry->value.size;
    cJSON *object;

    find->count++;
    if (find->tool->json) {
        object = json_append_object(find->array);
        json_add_u64(object, "ts", entry->ts);
        json_add_text(object, "kind", kind_name(entry->kind));
        json_add_u64(object, "value_bytes", size);
        json_add_text(object, "where", where);
        json_add_text(object, "file", find->file);
        json_add_u64(object, "offset_bytes", offset);
        if (entry->expiry != 0)
            json_add_u64(object, "expiry_seconds", entry->expiry);
        if (pointer != NULL) {
            json_add_text(object, "value_file",
                          filename_of(FILENAME_SEGMENT, pointer->segment).text);
            json_add_u64(object, "value_offset_bytes", pointer->offset);
        }
        return;
    }
    grid_add(&find->grid, "%" PRIu64, entry->ts);
    grid_add(&find->grid, "%s", kind_name(entry->kind));
    grid_add(&find->grid, "%" PRIu64, size);
    grid_add(&find->grid, "%s", entry->expiry == 0 ? "-" : utc_text(entry->expiry).text);
    grid_add(&find->grid, "%s", where);
    grid_add(&find->grid, "%s", find->file);
    grid_add(&find->grid, "%" PRIu64, offset);
    if (pointer == NULL)
        grid_add(&find->grid, "-");
    else
        grid_add(&find->grid, "%s:%" PRIu64, filename_of(FILENAME_SEGMENT, pointer->segment).text,
                 pointer->offset);
}

static lsm_status find_in_entry(struct find *find, const char *where, uint64_t offset,
                                const struct entry *entry)
{
    struct value_pointer pointer;

    if (entry->kind != ENTRY_POINTER) {
        find_add(find, where, offset, entry, NULL);
        return LSM_OK;
    }
    TRY(pointer_decode(entry->value, &pointer));
    find_add(find, where, offset, entry, &pointer);
    return LSM_OK;
}

static lsm_status find_in_table(struct find *find, struct table *table, const char *where)
{
    const struct table_iter_options options = {.fill_cache = false};
    const struct ikey newest = {.keyspace = find->keyspace, .key = find->key, .ts = TS_MAX};
    struct filename name = filename_of(FILENAME_TABLE, table_meta(table)->id);
    CLEANUP(iter_closep) struct iter *it = NULL;
    uint64_t offset;

    find->file = name.text;
    TRY(table_iter_new(table, &options, &it));
    TRY(iter_seek(it, &newest));
    while (it->is_valid && it->entry.keyspace == find->keyspace &&
           slice_equal(it->entry.key, find->key)) {
        const struct ikey here = entry_ikey(&it->entry);

        TRY(table_approximate_offset(table, &here, &offset));
        TRY(find_in_entry(find, where, offset, &it->entry));
        TRY(iter_next(it));
    }
    return LSM_OK;
}

// Notes whether a table that could not be read has been removed meanwhile; passes the failure
// on.
static lsm_status note_if_gone(struct find *find, uint64_t id, lsm_status status)
{
    find->is_file_gone = inspect_is_gone(find->in->dir, filename_of(FILENAME_TABLE, id).text);
    return status;
}

static lsm_status find_in_tables(struct find *find)
{
    char where[16];
    lsm_status status;

    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        const struct level *level = &find->in->version->levels[i];

        snprintf(where, sizeof where, "level %u", i);
        for (size_t j = 0; j < level->count; j++) {
            const struct table_meta *meta = table_meta(level->tables[j]);

            if (!table_meta_overlaps(meta, find->keyspace, &find->key, &find->key))
                continue;
            status = find_in_table(find, level->tables[j], where);
            if (status != LSM_OK)
                return note_if_gone(find, meta->id, status);
        }
    }
    return LSM_OK;
}

static lsm_status find_in_frame(void *ctx, uint64_t offset, uint64_t size,
                                const struct frame_header *header, lsm_slice entries)
{
    struct find *find = ctx;
    bool is_unflushed = log_position_compare((struct log_position){find->frame.segment, offset},
                                             find->in->state.replay) >= 0;
    struct frame_reader reader;
    struct entry entry;
    enum frame_next next;

    (void)size;
    if (header == NULL || header->type != FRAME_COMMIT)
        return LSM_OK;
    find->frame.offset = offset;
    frame_reader_over(&reader, header, find->frame, entries);
    while ((next = frame_reader_next(&reader, &entry)) == FRAME_ENTRY) {
        if (entry.keyspace == find->keyspace && slice_equal(entry.key, find->key))
            TRY(find_in_entry(find, is_unflushed ? "log" : "log, flushed", offset, &entry));
    }
    return frame_end_status(next);
}

static lsm_status find_in_segment(void *ctx, const char *name, uint64_t number)
{
    struct find *find = ctx;

    find->file = name;
    find->frame.segment = (uint32_t)number;
    return segment_scan(find->in->dir, name, false, find_in_frame, find);
}

static lsm_status keyspace_id(const struct inspector *in, const char *name, uint32_t *id)
{
    for (size_t i = 0; i < in->state.keyspace_count; i++) {
        const struct keyspace_info *info = &in->state.keyspaces[i];

        if (info->dropped_ts == 0 && strcmp(info->name, name) == 0) {
            *id = info->id;
            return LSM_OK;
        }
    }
    return lsm_fail(LSM_NOT_FOUND, "there is no keyspace '%s'", name);
}

// Prints what was found up to a failure, too.
static void find_print(struct find *find)
{
    cJSON *object;

    if (!find->tool->json) {
        if (find->count > 0)
            grid_print(&find->grid, 0);
        return;
    }
    object = json_object();
    json_add_bytes(object, "key", find->key, find->tool->hex);
    cJSON_AddItemToObject(object, "versions", MOVE(find->array));
    json_print(object);
}

static lsm_status find_search(struct find *find, const char *keyspace)
{
    TRY(inspector_open(find->tool->operands[0], &find->in));
    TRY(keyspace_id(find->in, keyspace, &find->keyspace));
    TRY(inspect_each_file(find->in->dir, FILENAME_SEGMENT, find_in_segment, find));
    return find_in_tables(find);
}

static void find_release(struct find *find)
{
    inspector_close(find->in);
    grid_release(&find->grid);
    cJSON_Delete(find->array);
    find->in = NULL;
    find->array = NULL;
}

// Searches the state of one moment. A process that is writing may take a file of it
// away: then it is begun again, from CURRENT.
static lsm_status find_again(struct find *find, const char *keyspace)
{
    for (int i = 0;; i++) {
        lsm_status status;

        find->count = 0;
        find->is_file_gone = false;
        find->array = json_array();
        grid_init(&find->grid, "rlrlllrl");
        grid_head(&find->grid, "ts|kind|bytes|expires|where|file|offset|value at");
        status = find_search(find, keyspace);
        if (!find->is_file_gone)
            return status;
        if (i == FIND_TRIES)
            return lsm_fail_in(LSM_CORRUPT, "a table that the manifest names is missing");
        find_release(find);
    }
}

static lsm_status run_find(struct tool *tool)
{
    const char *keyspace = tool->keyspace == NULL ? "default" : tool->keyspace;
    CLEANUP(lsm_buf_free) lsm_buf key = LSM_BUF_INIT;
    CLEANUP(find_release) struct find find = {.tool = tool};
    lsm_status status;

    if (operand_bytes(tool, tool->operands[1], &key) != LSM_OK)
        return usage_error(tool, "key: %s", lsm_errmsg());
    find.key = slice_of_buf(&key);
    status = find_again(&find, keyspace);
    find_print(&find);
    if (status == LSM_OK && find.count == 0)
        return lsm_fail(LSM_NOT_FOUND, "no version of '%s' in keyspace '%s'", tool->operands[1],
                        keyspace);
    return status;
}

// --- inspect ---

struct inspect {
    const struct tool *tool;
    cJSON *array; // with --json
    uint64_t bad; // stretches that do not verify
    uint64_t first_bad;
    const char *name;
};

static void inspect_line(void *ctx, const char *line)
{
    const struct inspect *inspect = ctx;

    if (inspect->tool->json)
        cJSON_AddItemToArray(inspect->array, cJSON_CreateString(line));
    else
        puts(line);
}

static const char *frame_name(enum frame_type type)
{
    static const char *const names[] = {
        [FRAME_COMMIT] = "commit", [FRAME_LINK] = "link", [FRAME_MARK] = "mark"};

    return type <= FRAME_MARK && names[type] != NULL ? names[type] : "unknown";
}

static void inspect_bad(struct inspect *inspect, uint64_t offset)
{
    if (inspect->bad++ == 0)
        inspect->first_bad = offset;
}

static lsm_status inspect_frame(void *ctx, uint64_t offset, uint64_t size,
                                const struct frame_header *header, lsm_slice entries)
{
    struct inspect *inspect = ctx;
    char line[256];

    (void)entries;
    if (header == NULL) {
        inspect_bad(inspect, offset);
        snprintf(line, sizeof line, "%10" PRIu64 "  no frame  %" PRIu64 " bytes", offset, size);
    } else {
        snprintf(line, sizeof line,
                 "%10" PRIu64 "  %-6s  seq %" PRIu64 "  ts %" PRIu64 "  entries %" PRIu32
                 "  bytes %" PRIu64 "  mark %" PRIu32 ":%" PRIu64 "  edit %" PRIu64 "  %s",
                 offset, frame_name(header->type), header->sequence, header->ts,
                 header->entry_count, size, header->mark.segment, header->mark.offset,
                 header->edit_number, human_time(header->wall_ns).text);
    }
    inspect_line(inspect, line);
    return LSM_OK;
}

static void describe_edit(const struct edit *edit, char *text, size_t size)
{
    int used = snprintf(text, size, "edit %" PRIu64 "%s%s", edit->number,
                        edit->is_snapshot ? "  snapshot" : "", edit->is_clean ? "  clean" : "");

    if (edit->added_count != 0)
        used += snprintf(text + used, size - (size_t)used, "  +%zu table%s", edit->added_count,
                         plural(edit->added_count));
    if (edit->removed_count != 0)
        used += snprintf(text + used, size - (size_t)used, "  -%zu table%s", edit->removed_count,
                         plural(edit->removed_count));
    if (edit->keyspace_count != 0)
        used += snprintf(text + used, size - (size_t)used, "  %zu keyspace%s", edit->keyspace_count,
                         plural(edit->keyspace_count));
    if (edit->has_log)
        used +=
            snprintf(text + used, size - (size_t)used,
                     "  replay %" PRIu32 ":%" PRIu64 "  chain %zu  left %zu", edit->replay.segment,
                     edit->replay.offset, edit->chain_count, edit->left_count);
    if (edit->last_ts != 0)
        snprintf(text + used, size - (size_t)used, "  last ts %" PRIu64, edit->last_ts);
}

static void inspect_edit_tables(struct inspect *inspect, const struct edit *edit)
{
    char line[128];

    for (size_t i = 0; i < edit->removed_count; i++) {
        snprintf(line, sizeof line, "            - level %u %s", edit->removed[i].level,
                 filename_of(FILENAME_TABLE, edit->removed[i].id).text);
        inspect_line(inspect, line);
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        const struct table_meta *meta = edit->added[i].meta;

        snprintf(line, sizeof line, "            + level %u %s  %" PRIu64 " %s  %" PRIu64 " bytes",
                 edit->added[i].level, filename_of(FILENAME_TABLE, edit->added[i].id).text,
                 meta->entry_count, meta->entry_count == 1 ? "entry" : "entries", meta->size);
        inspect_line(inspect, line);
    }
}

static void inspect_edit_keyspaces(struct inspect *inspect, const struct edit *edit)
{
    static const char *const verbs[] = {"?", "create", "alter", "drop"};

    for (size_t i = 0; i < edit->keyspace_count; i++) {
        const struct keyspace_change *change = &edit->keyspaces[i];
        CLEANUP(lsm_buf_free) lsm_buf line = LSM_BUF_INIT;
        char head[64];

        snprintf(head, sizeof head, "            keyspace %" PRIu32 " %s ", change->id,
                 change->kind <= KEYSPACE_DROP ? verbs[change->kind] : verbs[0]);
        must(buf_append(&line, head, strlen(head)));
        text_escape(change->name, &line);
        must(buf_append_u8(&line, 0));
        inspect_line(inspect, line.data);
    }
}

static lsm_status inspect_edit(void *ctx, uint64_t offset, uint64_t size, const struct edit *edit)
{
    struct inspect *inspect = ctx;
    char words[320], line[400];

    if (edit == NULL) {
        inspect_bad(inspect, offset);
        snprintf(line, sizeof line, "%10" PRIu64 "  no edit  %" PRIu64 " bytes", offset, size);
        inspect_line(inspect, line);
        return LSM_OK;
    }
    describe_edit(edit, words, sizeof words);
    snprintf(line, sizeof line, "%10" PRIu64 "  %s", offset, words);
    inspect_line(inspect, line);
    inspect_edit_tables(inspect, edit);
    inspect_edit_keyspaces(inspect, edit);
    return LSM_OK;
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

static lsm_status inspect_header(struct inspect *inspect, struct dir *dir, enum file_kind kind)
{
    struct file_header header;
    char db_uuid[UUID_TEXT_SIZE], file_uuid[UUID_TEXT_SIZE], line[256];

    TRY(read_header(dir, inspect->name, kind, &header));
    uuid_format(&header.db_uuid, db_uuid);
    uuid_format(&header.file_uuid, file_uuid);
    snprintf(line, sizeof line, "database %s  file %s  number %" PRIu64, db_uuid, file_uuid,
             header.number);
    inspect_line(inspect, line);
    if (kind == FILE_KIND_CURRENT) {
        snprintf(line, sizeof line, "names %s", filename_of(FILENAME_MANIFEST, header.number).text);
        inspect_line(inspect, line);
    }
    return LSM_OK;
}

// OPTIONS and the event log are text already.
static lsm_status inspect_text(struct inspect *inspect, struct dir *dir)
{
    CLEANUP(file_closep) struct file *file = NULL;
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;
    uint64_t size;
    char *rest, *line;

    TRY(file_open(dir, inspect->name, FILE_READ, &file));
    TRY(file_size(file, &size));
    must(buf_reserve(&text, size + 1));
    TRY(file_read(file, 0, text.data, (size_t)size, &text.size));
    must(buf_append_u8(&text, 0));
    rest = text.data;
    while ((line = strsep(&rest, "\n")) != NULL)
        if (rest != NULL || *line != '\0')
            inspect_line(inspect, line);
    return LSM_OK;
}

// The kind by the name; a file that was renamed says it in its header.
static enum filename_kind kind_of_file(struct dir *dir, const char *name)
{
    static const enum filename_kind kinds[] = {
        [FILE_KIND_LOG] = FILENAME_SEGMENT,
        [FILE_KIND_TABLE] = FILENAME_TABLE,
        [FILE_KIND_MANIFEST] = FILENAME_MANIFEST,
        [FILE_KIND_CURRENT] = FILENAME_CURRENT,
    };
    struct file_header header;
    uint64_t number;
    enum filename_kind by_name = filename_parse(name, &number);

    for (int kind = FILE_KIND_LOG; by_name == FILENAME_UNKNOWN && kind <= FILE_KIND_CURRENT; kind++)
        if (read_header(dir, name, (enum file_kind)kind, &header) == LSM_OK)
            return kinds[kind];
    return by_name;
}

static lsm_status inspect_file(struct inspect *inspect, struct dir *dir)
{
    struct file_facts facts;

    TRY(file_look(dir, inspect->name, &facts)); // a directory says so
    if (!facts.is_there)
        return lsm_fail(LSM_NOT_FOUND, "%s/%s: there is no such file", dir->path, inspect->name);
    switch (kind_of_file(dir, inspect->name)) {
    case FILENAME_SEGMENT:
        TRY(inspect_header(inspect, dir, FILE_KIND_LOG));
        return segment_scan(dir, inspect->name, true, inspect_frame, inspect);
    case FILENAME_TABLE:
        return table_inspect(dir, inspect->name, inspect_line, inspect);
    case FILENAME_MANIFEST:
        TRY(inspect_header(inspect, dir, FILE_KIND_MANIFEST));
        return manifest_scan(dir, inspect->name, inspect_edit, inspect);
    case FILENAME_CURRENT:
    case FILENAME_CURRENT_NEW:
        return inspect_header(inspect, dir, FILE_KIND_CURRENT);
    case FILENAME_OPTIONS:
    case FILENAME_OPTIONS_NEW:
    case FILENAME_EVENTS:
    case FILENAME_EVENTS_OLD:
    case FILENAME_LOCK:
    case FILENAME_SALVAGING:
        return inspect_text(inspect, dir);
    case FILENAME_UNKNOWN:
        break;
    }
    return lsm_fail(LSM_INVALID, "%s/%s: is not a file of a database", dir->path, inspect->name);
}

// Decodes one file of `dir` and prints what it holds.
static lsm_status inspect_in(struct tool *tool, struct dir *dir, const char *name)
{
    struct inspect inspect = {.tool = tool, .name = name};
    cJSON *object = json_object();
    lsm_status status;

    inspect.array = json_add_array(object, "lines");
    json_add_bytes(object, "file", slice_of(name), false);
    status = inspect_file(&inspect, dir);
    json_add_u64(object, "unverified_count", inspect.bad);
    if (tool->json)
        json_print(object);
    else
        cJSON_Delete(object);
    if (status == LSM_OK && inspect.bad != 0)
        say(tool,
            "%s: %" PRIu64 " %s not verify, the first at offset %" PRIu64
            "; behind the last commit that is\n"
            "only room or a torn tail: `lsmctl verify` knows which\n",
            name, inspect.bad, inspect.bad == 1 ? "stretch does" : "stretches do",
            inspect.first_bad);
    return status;
}

static lsm_status run_inspect(struct tool *tool)
{
    CLEANUP(dir_closep) struct dir *dir = NULL;
    char path[4096];
    char *slash;

    if ((size_t)snprintf(path, sizeof path, "%s", tool->operands[0]) >= sizeof path)
        return usage_error(tool, "the path is too long");
    for (size_t end = strlen(path); end > 1 && path[end - 1] == '/'; end--)
        path[end - 1] = '\0';
    slash = strrchr(path, '/');
    if (slash == NULL) {
        TRY(inspect_dir_open(".", &dir));
        return inspect_in(tool, dir, path);
    }
    *slash = '\0';
    TRY(inspect_dir_open(slash == path ? "/" : path, &dir));
    return inspect_in(tool, dir, slash + 1);
}

// --- manifest ---

static lsm_status run_manifest(struct tool *tool)
{
    CLEANUP(dir_closep) struct dir *dir = NULL;
    struct file_header current;
    bool exists;

    TRY(inspect_dir_open(tool->operands[0], &dir));
    TRY(manifest_exists(dir, &exists));
    if (!exists)
        return lsm_fail(LSM_NOT_FOUND, "there is no database in %s", dir->path);
    TRY(read_header(dir, filename_of(FILENAME_CURRENT, 0).text, FILE_KIND_CURRENT, &current));
    return inspect_in(tool, dir, filename_of(FILENAME_MANIFEST, current.number).text);
}

const struct command file_commands[] = {
    {.name = "find",
     .group = "Look",
     .operands = "DB KEY",
     .operands_min = 2,
     .operands_max = 2,
     .summary = "Every version of one key in log and tables, with file and offset",
     .details = "Offsets are of the frame in a log segment, of the block in a table. A version\n"
                "stands in the log (`log, flushed`: kept there for values only) and, once\n"
                "flushed, in a table as well. `value at` is the record of a separated value.\n\n"
                "Examples:\n"
                "  lsmctl find people ada\n"
                "  lsmctl find -k files db /usr/bin/env --json\n",
     .run = run_find},
    {.name = "inspect",
     .group = "Look",
     .operands = "FILE",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Decode one file of a database, of any kind",
     .details = "Tables, log segments, manifests, CURRENT, OPTIONS; by the name, or by the header\n"
                "of a renamed file. Goes on behind what does not verify.\n\n"
                "Examples:\n"
                "  lsmctl inspect people/000007.sst\n"
                "  lsmctl inspect people/000003.vlog\n",
     .run = run_inspect},
    {.name = "manifest",
     .group = "Look",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "The history of edits since the database was last opened",
     .details = "One edit is one atomic change: tables in and out, the log's replay position,\n"
                "keyspaces. The first one states everything.\n\n"
                "Example:\n"
                "  lsmctl manifest people\n",
     .run = run_manifest},
    {0},
};

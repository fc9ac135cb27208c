#include "support/publish_check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "manifest/manifest_file.h"
#include "support/sim_bytes.h"
#include "vlog/frame.h"

// Where a frame's header has the mark.
#define FRAME_MARK_OFFSET_AT  56
#define FRAME_MARK_SEGMENT_AT 64

static void violation(struct publish_check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void violation(struct publish_check *check, const char *format, ...)
{
    va_list args;

    if (check->violations++ > 0)
        return;
    va_start(args, format);
    (void)vsnprintf(check->what, sizeof check->what, format, args);
    va_end(args);
}

// --- manifests ---

// A disk as it would be found after a crash, with its directory.
struct found_disk {
    struct sim *sim;
    struct dir *dir;
};

static bool find_disk(const struct sim *sim, const char *path, enum sim_survival survival,
                      struct found_disk *out)
{
    if (sim_clone(sim, &out->sim) != LSM_OK)
        abort();
    sim_restart(out->sim, survival, 0);
    if (dir_open(sim_env(out->sim), path, false, &out->dir) == LSM_OK)
        return true;
    sim_free(out->sim);
    return false;
}

static void leave_disk(struct found_disk *disk)
{
    dir_close(disk->dir);
    sim_free(disk->sim);
}

// Calls `fn` for every edit of a manifest's bytes from `offset` on that verifies, until one
// does not.
static void each_edit(lsm_slice bytes, const struct uuid *uuid, uint64_t offset,
                      void (*fn)(void *ctx, const struct edit *edit), void *ctx)
{
    struct manifest_frame frame;
    struct edit edit;

    while (manifest_frame_at(bytes, uuid, offset, &frame) &&
           edit_decode(frame.edit, &edit) == LSM_OK) {
        fn(ctx, &edit);
        edit_release(&edit);
        offset = frame.offset + frame.size;
    }
}

// --- what an edit names is durable ---

struct edit_check {
    struct publish_check *check;
    struct sim *sim;
    const char *dir;
    const char *manifest;
};

static void check_durable(const struct edit_check *c, enum filename_kind kind, uint64_t number,
                          uint64_t size)
{
    const struct filename name = filename_of(kind, number);

    if (!sim_is_durable(c->sim, c->dir, name.text, size))
        violation(c->check, "%s names %s, of which %" PRIu64 " bytes and the name are not durable",
                  c->manifest, name.text, size);
}

static void check_links(const struct edit_check *c, const struct log_link *links, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_durable(c, FILENAME_SEGMENT, links[i].id,
                      links[i].final_size != 0 ? links[i].final_size : FILE_HEADER_SIZE);
}

static void check_edit(void *ctx, const struct edit *edit)
{
    const struct edit_check *c = ctx;

    c->check->edits++;
    for (size_t i = 0; i < edit->added_count; i++)
        check_durable(c, FILENAME_TABLE, edit->added[i].id, edit->added[i].meta->size);
    if (edit->has_log)
        check_links(c, edit->chain, edit->chain_count);
    check_links(c, edit->left, edit->left_count);
    if (edit->mark.segment != 0)
        check_durable(c, FILENAME_SEGMENT, edit->mark.segment, edit->mark.offset);
}

// The manifest as it will be after the write.
static void check_manifest_write(struct edit_check *c, uint64_t offset, lsm_slice written)
{
    struct found_disk disk;
    struct file_header header = {.number = 0};
    lsm_buf bytes = LSM_BUF_INIT;

    if (offset == 0) {
        if (file_header_decode(written, FILE_KIND_MANIFEST, c->manifest, &header) == LSM_OK)
            each_edit(written, &header.file_uuid, FILE_HEADER_SIZE, check_edit, c);
        return;
    }
    if (!find_disk(c->sim, c->dir, SIM_ALL, &disk))
        return;
    if (manifest_file_load(disk.dir, c->manifest, &header, &bytes) == LSM_OK &&
        bytes.size == offset && buf_append(&bytes, written.data, written.size) == LSM_OK)
        each_edit(slice_of_buf(&bytes), &header.file_uuid, offset, check_edit, c);
    lsm_buf_free(&bytes);
    leave_disk(&disk);
}

// --- frames ---

static void check_frame(struct publish_check *check, struct sim *sim, const char *dir,
                        const char *name, lsm_slice written)
{
    const uint8_t *header = written.data;
    const uint32_t segment = get_u32(header + FRAME_MARK_SEGMENT_AT);
    const uint64_t offset = get_u64(header + FRAME_MARK_OFFSET_AT);

    if (segment != 0 &&
        !sim_is_durable(sim, dir, filename_of(FILENAME_SEGMENT, segment).text, offset))
        violation(check, "%s: a frame claims that segment %u is durable up to %" PRIu64, name,
                  segment, offset);
}

// --- nothing is written twice ---

static struct written_file *find_written(struct publish_check *check, const char *name)
{
    for (size_t i = 0; i < check->written_count; i++) {
        if (strcmp(check->written[i].name, name) == 0)
            return &check->written[i];
    }
    return NULL;
}

static void forget_written(struct publish_check *check, const char *name)
{
    struct written_file *file = find_written(check, name);

    if (file != NULL)
        *file = check->written[--check->written_count];
}

static void check_written_once(struct publish_check *check, const char *name,
                               enum filename_kind kind, uint64_t offset, uint64_t size)
{
    struct written_file *file = find_written(check, name);

    if (kind != FILENAME_SEGMENT && kind != FILENAME_TABLE && kind != FILENAME_MANIFEST &&
        kind != FILENAME_CURRENT_NEW)
        return;
    if (file == NULL && check->written_count < PUBLISH_FILES_MAX) {
        file = &check->written[check->written_count++];
        *file = (struct written_file){.end = 0};
        (void)snprintf(file->name, sizeof file->name, "%s", name);
    }
    if (file == NULL)
        return;
    if (offset < file->end)
        violation(check, "%s: bytes at %" PRIu64 " are written a second time", name, offset);
    file->end = offset + size;
}

// --- what may be named stays ---

// What a manifest names: tables, with the segments that each points to, and the log.
struct named_table {
    uint64_t id;
    uint32_t *segments;
    size_t segment_count;
};

struct names {
    uint64_t manifest;
    struct named_table *tables;
    size_t table_count;
    size_t table_room;
    uint32_t *chain;
    size_t chain_count;
};

static void name_table(struct names *names, const struct table_meta *meta)
{
    struct named_table *table = APPEND(names->tables, names->table_count, names->table_room);

    *table = (struct named_table){.id = meta->id};
    table->segments = must_zeroed(meta->reference_count * sizeof *table->segments);
    for (size_t i = 0; i < meta->reference_count; i++)
        table->segments[table->segment_count++] = meta->references[i].segment;
}

static void unname_table(struct names *names, uint64_t id)
{
    for (size_t i = 0; i < names->table_count; i++) {
        if (names->tables[i].id != id)
            continue;
        free(names->tables[i].segments);
        names->tables[i] = names->tables[--names->table_count];
        return;
    }
}

static void apply_names(void *ctx, const struct edit *edit)
{
    struct names *names = ctx;

    for (size_t i = 0; i < edit->removed_count; i++)
        unname_table(names, edit->removed[i].id);
    for (size_t i = 0; i < edit->added_count; i++)
        name_table(names, edit->added[i].meta);
    if (!edit->has_log)
        return;
    names->chain = must_resize(names->chain, edit->chain_count * sizeof *names->chain);
    names->chain_count = edit->chain_count;
    for (size_t i = 0; i < edit->chain_count; i++)
        names->chain[i] = edit->chain[i].id;
}

static void names_release(struct names *names)
{
    for (size_t i = 0; i < names->table_count; i++)
        free(names->tables[i].segments);
    free(names->tables);
    free(names->chain);
}

static bool names_has_segment(const struct names *names, uint64_t id)
{
    for (size_t i = 0; i < names->chain_count; i++) {
        if (names->chain[i] == id)
            return true;
    }
    for (size_t i = 0; i < names->table_count; i++) {
        for (size_t j = 0; j < names->tables[i].segment_count; j++) {
            if (names->tables[i].segments[j] == id)
                return true;
        }
    }
    return false;
}

static bool names_has_table(const struct names *names, uint64_t id)
{
    for (size_t i = 0; i < names->table_count; i++) {
        if (names->tables[i].id == id)
            return true;
    }
    return false;
}

// Everything that the CURRENT of a found disk leads to.
static void read_names(const struct found_disk *disk, struct names *out)
{
    struct file_header current, header;
    lsm_buf bytes = LSM_BUF_INIT;
    struct filename name;

    if (current_read(disk->dir, &current) != LSM_OK)
        return;
    out->manifest = current.number;
    name = filename_of(FILENAME_MANIFEST, current.number);
    if (manifest_file_load(disk->dir, name.text, &header, &bytes) == LSM_OK)
        each_edit(slice_of_buf(&bytes), &header.file_uuid, FILE_HEADER_SIZE, apply_names, out);
    lsm_buf_free(&bytes);
}

static bool is_named(const struct names *names, enum filename_kind kind, uint64_t number)
{
    switch (kind) {
    case FILENAME_TABLE:
        return names_has_table(names, number);
    case FILENAME_SEGMENT:
        return names_has_segment(names, number);
    case FILENAME_MANIFEST:
        return names->manifest == number;
    default:
        return false;
    }
}

static void check_unlink(struct publish_check *check, struct sim *sim, const char *dir,
                         const char *name, enum filename_kind kind, uint64_t number)
{
    static const enum sim_survival survivals[] = {SIM_NONE, SIM_ALL};

    for (size_t i = 0; i < 2; i++) {
        struct names names = {.manifest = 0};
        struct found_disk disk;

        if (!find_disk(sim, dir, survivals[i], &disk))
            continue;
        read_names(&disk, &names);
        if (is_named(&names, kind, number))
            violation(check, "%s is unlinked while a manifest may name it", name);
        names_release(&names);
        leave_disk(&disk);
    }
}

// The manifest that a CURRENT.new names is durable as far as it goes.
static void check_fresh(struct publish_check *check, struct sim *sim, const char *dir,
                        const struct found_disk *disk, const char *fresh)
{
    CLEANUP(file_closep) struct file *file = NULL;
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header current;
    struct filename name;
    uint64_t size = 0;

    if (file_open(disk->dir, fresh, FILE_READ, &file) != LSM_OK ||
        file_read_exact(file, 0, bytes, sizeof bytes) != LSM_OK ||
        file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_CURRENT, fresh, &current) !=
            LSM_OK) {
        violation(check, "CURRENT is switched to what is no CURRENT");
        return;
    }
    name = filename_of(FILENAME_MANIFEST, current.number);
    if (file_stat(disk->dir, name.text, &size) != LSM_OK ||
        !sim_is_durable(sim, dir, name.text, size))
        violation(check, "CURRENT is switched to %s, which is not durable", name.text);
}

static void check_switch(struct publish_check *check, struct sim *sim, const char *dir)
{
    const struct filename fresh = filename_of(FILENAME_CURRENT_NEW, 0);
    struct found_disk disk;

    if (!sim_is_durable(sim, dir, fresh.text, FILE_HEADER_SIZE))
        violation(check, "CURRENT is switched before %s is durable", fresh.text);
    else if (find_disk(sim, dir, SIM_ALL, &disk)) {
        check_fresh(check, sim, dir, &disk, fresh.text);
        leave_disk(&disk);
    }
}

// --- orphans ---

struct orphan_search {
    struct dir *dir;
    struct names names;
};

static bool has_header(struct dir *dir, const char *name, enum file_kind kind)
{
    CLEANUP(file_closep) struct file *file = NULL;
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header header;

    return file_open(dir, name, FILE_READ, &file) == LSM_OK &&
           file_read_exact(file, 0, bytes, sizeof bytes) == LSM_OK &&
           file_header_decode(slice_make(bytes, sizeof bytes), kind, name, &header) == LSM_OK;
}

static lsm_status look_for_orphan(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    const struct orphan_search *search = ctx;
    uint64_t number;
    const enum filename_kind kind = filename_parse(name, &number);
    enum file_kind wanted;

    (void)size;
    (void)is_regular;
    if (kind == FILENAME_SEGMENT)
        wanted = FILE_KIND_LOG;
    else if (kind == FILENAME_TABLE)
        wanted = FILE_KIND_TABLE;
    else if (kind == FILENAME_MANIFEST)
        wanted = FILE_KIND_MANIFEST;
    else
        return LSM_OK;
    if (is_named(&search->names, kind, number) || !has_header(search->dir, name, wanted))
        return LSM_OK;
    return lsm_fail(LSM_CORRUPT, "%s is an orphan", name);
}

lsm_status publish_find_orphan(struct sim *sim, const char *dir)
{
    struct found_disk disk;
    struct orphan_search search = {.dir = NULL};
    lsm_status status;

    if (!find_disk(sim, dir, SIM_ALL, &disk))
        return lsm_fail(LSM_NOT_FOUND, "%s: there is no such directory", dir);
    search.dir = disk.dir;
    read_names(&disk, &search.names);
    status = dir_list(disk.dir, look_for_orphan, &search);
    names_release(&search.names);
    leave_disk(&disk);
    return status;
}

// --- hooks ---

static lsm_slice join(const lsm_slice *parts, size_t count, lsm_buf *to)
{
    if (count == 1)
        return parts[0];
    for (size_t i = 0; i < count; i++) {
        if (buf_append(to, parts[i].data, parts[i].size) != LSM_OK)
            abort();
    }
    return slice_of_buf(to);
}

static void on_write(void *ctx, struct sim *sim, const char *dir, const char *name, uint64_t offset,
                     const lsm_slice *parts, size_t count)
{
    struct publish_check *check = ctx;
    lsm_buf joined = LSM_BUF_INIT;
    const lsm_slice written = join(parts, count, &joined);
    uint64_t number;
    const enum filename_kind kind = filename_parse(name, &number);

    check_written_once(check, name, kind, offset, written.size);
    if (kind == FILENAME_MANIFEST) {
        struct edit_check c = {.check = check, .sim = sim, .dir = dir, .manifest = name};

        check_manifest_write(&c, offset, written);
    } else if (kind == FILENAME_SEGMENT && offset >= FILE_HEADER_SIZE &&
               written.size >= FRAME_HEADER_SIZE) {
        check_frame(check, sim, dir, name, written);
    }
    lsm_buf_free(&joined);
}

static void on_unlink(void *ctx, struct sim *sim, const char *dir, const char *name)
{
    struct publish_check *check = ctx;
    uint64_t number;
    const enum filename_kind kind = filename_parse(name, &number);

    check->unlinks++;
    if (kind == FILENAME_CURRENT) { // renamed onto
        forget_written(check, filename_of(FILENAME_CURRENT_NEW, 0).text);
        check_switch(check, sim, dir);
        return;
    }
    forget_written(check, name);
    check_unlink(check, sim, dir, name, kind, number);
}

void publish_check_start(struct publish_check *check, struct sim *sim)
{
    *check = (struct publish_check){.edits = 0};
    sim_set_write_hook(sim, on_write, check);
    sim_set_unlink_hook(sim, on_unlink, check);
}

void publish_check_stop(struct sim *sim)
{
    sim_set_write_hook(sim, NULL, NULL);
    sim_set_unlink_hook(sim, NULL, NULL);
}

void publish_check_restart(struct publish_check *check)
{
    check->written_count = 0;
}

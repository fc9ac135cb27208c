// manifest_read.c -- from the bytes of a manifest to the state and version it states.

#include <inttypes.h>
#include <stdio.h>

#include "manifest/manifest_file.h"
#include "manifest/manifest_state.h"

lsm_status manifest_read_uuid(struct dir *dir, struct uuid *db_uuid)
{
    struct file_header current;

    TRY(current_read(dir, &current));
    *db_uuid = current.db_uuid;
    return LSM_OK;
}

// --- replaying edits ---

struct replay {
    struct table_store *tables;
    struct segment_store *segments;
    const char *name; // of the manifest
    struct manifest_state state;
    struct version *version;
};

static void replay_release(struct replay *r)
{
    manifest_state_release(&r->state);
    version_unref(r->version);
}

static lsm_status fail_at(const struct replay *r, uint64_t offset, const char *what)
{
    return lsm_fail(LSM_CORRUPT, "%s: offset %" PRIu64 ": %s", r->name, offset, what);
}

// Says where in the manifest it was that `status` came up.
static lsm_status locate(const struct replay *r, uint64_t offset, lsm_status status)
{
    char place[64];

    if (status != LSM_CORRUPT)
        return status;
    (void)snprintf(place, sizeof place, "%s: offset %" PRIu64, r->name, offset);
    return lsm_fail_in(status, place);
}

static lsm_status replay_edit(struct replay *r, const struct edit *edit)
{
    struct version *next;

    TRY(manifest_state_apply(&r->state, edit));
    TRY(version_apply(r->version, edit, r->tables, r->segments, &next, NULL));
    version_unref(r->version);
    r->version = next;
    return LSM_OK;
}

static lsm_status replay_frame(struct replay *r, const struct manifest_frame *frame)
{
    bool is_first = frame->offset == FILE_HEADER_SIZE;
    CLEANUP(edit_release) struct edit edit;

    edit_init(&edit);
    TRY(locate(r, frame->offset, edit_decode(frame->edit, &edit)));
    edit.number = frame->number;
    if (edit.is_snapshot != is_first)
        return fail_at(r, frame->offset, "a snapshot must be the first edit, and only it");
    if (edit.is_clean && !is_first)
        return fail_at(r, frame->offset, "an edit of a clean close must be the first");
    if (frame->number == 0 || (!is_first && frame->number != r->state.edit_number + 1))
        return fail_at(r, frame->offset, "the numbers of the edits have a gap");
    return locate(r, frame->offset, replay_edit(r, &edit));
}

// Decides what bytes are that do not verify as a frame: the torn tail of an edit that
// was not reported, or damage.
static lsm_status judge_tail(const struct replay *r, lsm_slice file, const struct uuid *uuid,
                             uint64_t offset)
{
    CLEANUP(manifest_search_release) struct manifest_search search = {.sums = NULL};
    struct manifest_frame behind;

    if (offset == FILE_HEADER_SIZE)
        return fail_at(r, offset, "the snapshot does not verify");
    if (r->state.is_clean)
        return fail_at(r, offset, "bytes behind the edit of a clean close");
    TRY(manifest_search_init(&search, file, uuid));
    if (manifest_search_find(&search, offset + 1, &behind))
        return fail_at(r, offset, "an edit does not verify, and one behind it does");
    return LSM_OK;
}

static lsm_status replay_file(struct replay *r, lsm_slice file, const struct uuid *uuid)
{
    uint64_t offset = FILE_HEADER_SIZE;
    struct manifest_frame frame;

    while (manifest_frame_at(file, uuid, offset, &frame)) {
        TRY(replay_frame(r, &frame));
        offset += frame.size;
    }
    if (offset < file.size || offset == FILE_HEADER_SIZE)
        return judge_tail(r, file, uuid, offset);
    return LSM_OK;
}

// Reads the manifest that `current` names, which must be its.
static lsm_status load_named(struct dir *dir, const struct file_header *current, const char *name,
                             lsm_buf *bytes)
{
    struct file_header header;

    TRY(manifest_file_load(dir, name, &header, bytes));
    if (!uuid_equal(&header.db_uuid, &current->db_uuid) ||
        !uuid_equal(&header.file_uuid, &current->file_uuid) || header.number != current->number)
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: is not the manifest that CURRENT names", name);
    return LSM_OK;
}

// Replays the `bytes` of the manifest with `header`.
static lsm_status replay_bytes(struct table_store *tables, struct segment_store *segments,
                               const struct file_header *header, lsm_slice bytes,
                               struct manifest_state *out_state, struct version **out_version)
{
    const struct filename name = filename_of(FILENAME_MANIFEST, header->number);
    CLEANUP(replay_release)
    struct replay r = {.tables = tables, .segments = segments, .name = name.text};

    manifest_state_init(&r.state);
    TRY(version_new(tables->bin, &r.version));
    TRY(replay_file(&r, bytes, &header->file_uuid));

    r.state.db_uuid = header->db_uuid;
    r.state.manifest_number = header->number;
    if (r.state.next_file_id <= header->number)
        r.state.next_file_id = header->number + 1;
    *out_state = r.state;
    manifest_state_init(&r.state); // given away
    *out_version = MOVE(r.version);
    return LSM_OK;
}

lsm_status manifest_read(struct table_store *tables, struct segment_store *segments,
                         struct manifest_state *out_state, struct version **out_version)
{
    CLEANUP(lsm_buf_free) lsm_buf bytes = {.data = NULL};
    struct file_header current;
    struct filename name;

    TRY(current_read(tables->dir, &current));
    if (!uuid_equal(&current.db_uuid, &tables->db_uuid))
        return lsm_fail(LSM_CORRUPT, "CURRENT: offset 0: belongs to another database");
    name = filename_of(FILENAME_MANIFEST, current.number);
    TRY(load_named(tables->dir, &current, name.text, &bytes));
    return replay_bytes(tables, segments, &current, slice_of_buf(&bytes), out_state, out_version);
}

lsm_status manifest_read_numbered(struct table_store *tables, struct segment_store *segments,
                                  uint64_t number, struct manifest_state *out_state,
                                  struct version **out_version)
{
    const struct filename name = filename_of(FILENAME_MANIFEST, number);
    CLEANUP(lsm_buf_free) lsm_buf bytes = {.data = NULL};
    struct file_header header;

    TRY(manifest_file_load(tables->dir, name.text, &header, &bytes));
    if (!uuid_equal(&header.db_uuid, &tables->db_uuid) || header.number != number)
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: is another manifest", name.text);
    return replay_bytes(tables, segments, &header, slice_of_buf(&bytes), out_state, out_version);
}

// --- looking ---

// Reports the frame, as a stretch that does not verify when its edit is malformed.
static lsm_status report(const struct manifest_frame *frame, manifest_scan_fn fn, void *ctx)
{
    CLEANUP(edit_release) struct edit edit;
    lsm_status status;

    edit_init(&edit);
    status = edit_decode(frame->edit, &edit);
    if (status != LSM_OK && status != LSM_CORRUPT)
        return status;
    edit.number = frame->number;
    return fn(ctx, frame->offset, frame->size, status == LSM_OK ? &edit : NULL);
}

lsm_status manifest_scan(struct dir *dir, const char *name, manifest_scan_fn fn, void *ctx)
{
    CLEANUP(lsm_buf_free) lsm_buf bytes = {.data = NULL};
    CLEANUP(manifest_search_release) struct manifest_search search = {.sums = NULL};
    struct file_header header;
    struct manifest_frame frame;
    uint64_t offset = FILE_HEADER_SIZE;

    TRY(manifest_file_load(dir, name, &header, &bytes));
    TRY(manifest_search_init(&search, slice_of_buf(&bytes), &header.file_uuid));
    while (offset < bytes.size) {
        if (!manifest_search_find(&search, offset, &frame))
            return fn(ctx, offset, bytes.size - offset, NULL);
        if (frame.offset > offset)
            TRY(fn(ctx, offset, frame.offset - offset, NULL));
        TRY(report(&frame, fn, ctx));
        offset = frame.offset + frame.size;
    }
    return LSM_OK;
}

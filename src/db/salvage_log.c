// salvage_log.c -- the log, frame by frame, and the values in it.
//
//     segments by id    |--------|--  gap  --|------|---x--|------|
//                         uncertain              certain
//
// A commit below the replay position is certain when every commit from it to there is whole,
// and no timestamp is missing: then whatever has deleted what it wrote is there, too. (Sequence
// numbers do not tell: they begin again when nothing is left to replay.) From the replay
// position on all whole frames are, as recovery would take them; one that is missing (x) is
// lost. Without a manifest the replay position is taken to be behind the newest entry of all
// tables, and only what is missing inside a segment is passed over: segments that the log has
// left go as a whole. A commit behind which one is missing, or cannot be read, is not certain.
//
// A commit that a restart copied is met twice: the segment with the higher id counts.

#include <stdlib.h>

#include "base/alloc.h"
#include "db/salvage_part.h"
#include "env/filename.h"
#include "vlog/segment_scan.h"

#define OPEN_FILES_MAX 64

struct log_file {
    struct file_header header; // as it is, or as it must have been
    uint64_t limit;            // no frame of the log lies behind it; 0: not known
    uint64_t first_ts;         // of its commits; UINT64_MAX: it has none
    uint64_t ts_limit;         // commits from there on lie in a later segment
    bool is_told;              // that a part of it cannot be read
    struct file *file;         // open for values, or NULL
};

struct salvage_log {
    struct salvage_log_input input;
    struct log_file *files; // those that can be read, by increasing id
    size_t file_count;
    size_t file_capacity;
    size_t open_count;
    uint32_t unread_max; // the highest id of those that are there and cannot be read
    lsm_buf record;

    // Of the commit before, while finding out.
    struct log_file *at;
    bool was_unflushed;
    bool has_gap;           // what followed does not verify
    bool is_cut_off;        // the same in a later segment
    uint64_t last_ts;       // 0: there was none
    uint32_t last_segment;  // up to which nothing is missing behind it
    uint64_t last_sequence; // of any frame

    struct log_position certain_from;
    struct salvage_log_found found;
};

static void close_files(struct salvage_log *log)
{
    for (size_t i = 0; i < log->file_count; i++) {
        file_close_quietly(log->files[i].file);
        log->files[i].file = NULL;
    }
    log->open_count = 0;
}

void salvage_log_free(struct salvage_log *log)
{
    if (log == NULL)
        return;
    close_files(log);
    lsm_buf_free(&log->record);
    mem_free(log->files);
    mem_free(log);
}

static void salvage_log_freep(struct salvage_log **log)
{
    salvage_log_free(*log);
}

struct salvage_log_found salvage_log_found(const struct salvage_log *log)
{
    return log->found;
}

// --- which files ---

// What the manifest says of a segment. False when it does not name it.
static bool find_named(const struct salvage_log *log, uint32_t id, struct log_link *out)
{
    const struct manifest_state *state = log->input.state;
    const struct version *version = log->input.version;

    for (size_t i = 0; state != NULL && i < state->chain_count; i++) {
        if (state->chain[i].id != id)
            continue;
        *out = state->chain[i];
        if (state->is_clean && state->mark.segment == id)
            out->final_size = state->mark.offset;
        return true;
    }
    for (size_t i = 0; version != NULL && i < version->segment_count; i++) {
        const struct segment_use *use = &version->segments[i];

        if (use->id != id || use->segment == NULL)
            continue;
        *out = (struct log_link){
            .id = id, .uuid = *segment_uuid(use->segment), .final_size = use->final_size};
        return true;
    }
    return false;
}

// What the bytes at the start of a segment tell when they do not verify: a uuid, most likely.
// A frame that verifies with it proves it.
static lsm_status guess_header(const struct salvage_log *log, const char *name,
                               const struct log_link *named, struct file_header *header)
{
    CLEANUP(frame_scan_close) struct frame_scan scan = {.file = NULL};
    struct frame_header frame;
    uint8_t bytes[FILE_HEADER_SIZE];
    bool is_found;
    uint64_t at;

    header->kind = FILE_KIND_LOG;
    TRY(frame_scan_open_as(log->input.dir, name, header, &scan));
    TRY(frame_scan_read(&scan, 0, bytes, sizeof bytes));
    if (named != NULL)
        header->file_uuid = named->uuid;
    else
        memcpy(header->file_uuid.bytes, bytes + 32, sizeof header->file_uuid.bytes);
    scan.header = *header;
    TRY(frame_scan_find(&scan, FILE_HEADER_SIZE, &is_found, &at, &frame));
    if (!is_found)
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: neither its header nor any frame verifies",
                        name);
    return LSM_OK;
}

static lsm_status identify(const struct salvage_log *log, const char *name,
                           const struct log_link *named, struct file_header *header)
{
    CLEANUP(frame_scan_close) struct frame_scan scan = {.file = NULL};
    const uint64_t id = header->number;
    lsm_status status = frame_scan_open(log->input.dir, name, &scan);

    if (status == LSM_CORRUPT) {
        salvage_lose(log->input.losses, name, 0, 0, lsm_errmsg());
        return guess_header(log, name, named, header);
    }
    TRY(status);
    *header = scan.header;
    if (!uuid_equal(&header->db_uuid, &log->input.db_uuid))
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: belongs to another database", name);
    if (header->number != id || (named != NULL && !uuid_equal(&header->file_uuid, &named->uuid)))
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: is another segment", name);
    return LSM_OK;
}

static lsm_status add_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct salvage_log *log = ctx;
    struct log_file file = {.first_ts = UINT64_MAX, .ts_limit = UINT64_MAX};
    struct log_link named;
    bool is_named;
    lsm_status status;
    uint64_t id;

    if (!is_regular || filename_parse(name, &id) != FILENAME_SEGMENT || id > UINT32_MAX)
        return LSM_OK;
    is_named = find_named(log, (uint32_t)id, &named);
    file.header.number = id;
    file.header.db_uuid = log->input.db_uuid;
    file.limit = is_named ? named.final_size : 0;
    status = identify(log, name, is_named ? &named : NULL, &file.header);
    if (salvage_is_stopped(status))
        return status;
    if (status != LSM_OK) {
        if (id > log->unread_max && uuid_equal(&file.header.db_uuid, &log->input.db_uuid))
            log->unread_max = (uint32_t)id;
        salvage_lose(log->input.losses, name, 0, size, lsm_errmsg());
        return LSM_OK;
    }
    if (log->file_count == log->file_capacity) {
        const size_t capacity = log->file_capacity == 0 ? 64 : 2 * log->file_capacity;
        struct log_file *files = mem_resize_array(log->files, capacity, sizeof *files);

        if (files == NULL)
            return lsm_fail(LSM_NO_MEMORY, "salvage: %zu segments", capacity);
        log->files = files;
        log->file_capacity = capacity;
    }
    log->files[log->file_count++] = file;
    return LSM_OK;
}

static int compare_files(const void *left, const void *right)
{
    const uint64_t a = ((const struct log_file *)left)->header.number;
    const uint64_t b = ((const struct log_file *)right)->header.number;

    return (a > b) - (a < b);
}

static struct log_file *find_file(struct salvage_log *log, uint32_t id)
{
    const struct log_file key = {.header.number = id};

    if (log->file_count == 0)
        return NULL;
    return bsearch(&key, log->files, log->file_count, sizeof key, compare_files);
}

static void check_presence(struct salvage_log *log, uint32_t id, uint64_t size)
{
    const struct filename name = filename_of(FILENAME_SEGMENT, id);
    struct file_facts facts;

    // What is there and cannot be read has been told.
    if (find_file(log, id) == NULL && file_look(log->input.dir, name.text, &facts) == LSM_OK &&
        !facts.is_there)
        salvage_lose(log->input.losses, name.text, 0, size, "is missing");
}

static void tell_missing(struct salvage_log *log)
{
    const struct manifest_state *state = log->input.state;
    const struct version *version = log->input.version;

    for (size_t i = 0; state != NULL && i < state->chain_count; i++)
        check_presence(log, state->chain[i].id, state->chain[i].final_size);
    for (size_t i = 0; version != NULL && i < version->segment_count; i++) {
        if (version->segments[i].final_size != 0)
            check_presence(log, version->segments[i].id, version->segments[i].final_size);
    }
}

// --- reading them ---

static lsm_status scan_file(struct salvage_log *log, struct log_file *file, segment_scan_fn fn,
                            void *ctx)
{
    const struct filename name = filename_of(FILENAME_SEGMENT, file->header.number);
    CLEANUP(frame_scan_close) struct frame_scan scan = {.file = NULL};
    lsm_status status = frame_scan_open_as(log->input.dir, name.text, &file->header, &scan);

    if (status == LSM_OK) {
        if (file->limit != 0 && file->limit < scan.limit)
            scan.limit = file->limit;
        status = segment_scan_open(&scan, true, fn, ctx);
        salvage_note_read(log->input.losses, scan.limit);
    }
    return status;
}

// The words are those of the failed scan; what lies behind the place is not reached.
static void tell_unreadable(struct salvage_log *log, struct log_file *file)
{
    const struct filename name = filename_of(FILENAME_SEGMENT, file->header.number);

    if (!file->is_told)
        salvage_lose(log->input.losses, name.text, 0, 0, lsm_errmsg());
    file->is_told = true;
}

static bool is_unflushed(const struct salvage_log *log, struct log_position position, uint64_t ts)
{
    const struct manifest_state *state = log->input.state;

    if (state != NULL)
        return log_position_compare(position, state->replay) >= 0;
    return ts > log->input.flushed_ts;
}

// Something in the segment is missing behind the last commit.
static void note_missing(struct salvage_log *log, uint64_t segment)
{
    log->has_gap = true;
    log->is_cut_off |= segment != log->last_segment;
}

static void note_gap(struct salvage_log *log, struct log_position position, uint64_t size)
{
    note_missing(log, position.segment);
    if (!is_unflushed(log, position, TS_MAX))
        return; // tables hold what it held, and tell of values they miss
    salvage_lose(log->input.losses, filename_of(FILENAME_SEGMENT, position.segment).text,
                 position.offset, size, "no whole frame");
}

// What has been seen so far is uncertain.
static void start_over(struct salvage_log *log, struct log_position position)
{
    log->certain_from = position;
    log->found.uncertain_count += log->found.certain_count;
    log->found.certain_count = 0;
}

// A commit that verifies: does it follow the one before?
static void note_commit(struct salvage_log *log, struct log_position position, uint64_t ts)
{
    const bool unflushed = is_unflushed(log, position, ts);
    const bool follows = !log->has_gap && log->last_ts != 0 && ts <= log->last_ts + 1;
    const bool is_log = log->input.state != NULL || log->last_segment == position.segment;

    if (!follows && !(unflushed && log->was_unflushed && is_log))
        start_over(log, position);
    log->found.certain_count++;
    if (log->at->first_ts == UINT64_MAX)
        log->at->first_ts = ts;
    log->was_unflushed = unflushed;
    log->has_gap = false;
    log->is_cut_off = false;
    log->last_ts = ts;
    log->last_segment = position.segment;
}

static lsm_status note_frame(void *ctx, uint64_t offset, uint64_t size,
                             const struct frame_header *header, lsm_slice entries)
{
    struct salvage_log *log = ctx;
    const struct log_position position = {(uint32_t)log->at->header.number, offset};

    (void)entries;
    if (header == NULL) {
        note_gap(log, position, size);
        return LSM_OK;
    }
    if (log->was_unflushed && header->sequence > log->last_sequence + 1)
        log->found.lost_frames += header->sequence - log->last_sequence - 1;
    log->last_sequence = header->sequence;
    if (header->type == FRAME_COMMIT)
        note_commit(log, position, header->ts);
    else if (header->ts > log->last_ts) // it tells the timestamp of the commit before it
        note_missing(log, position.segment);
    else if (!log->has_gap)
        log->last_segment = position.segment;
    return LSM_OK;
}

// Whether segments have gone behind the last commit. Those without one go, too.
static bool may_lack_segments(const struct salvage_log *log)
{
    uint64_t behind = 0;

    for (size_t i = 0; i < log->file_count; i++)
        behind += log->files[i].header.number > log->last_segment;
    return behind > 0 && log->last_segment + behind < log->files[log->file_count - 1].header.number;
}

// What tables hold already counts only when nothing is missing behind it either. Without a
// manifest nothing tells how far they reach: a deletion may be newer than all that they hold.
static void note_end(struct salvage_log *log)
{
    const struct manifest_state *state = log->input.state;
    const uint64_t last_ts = state != NULL ? state->last_ts : log->input.flushed_ts;
    bool is_certain = log->was_unflushed || (!log->has_gap && log->last_ts >= last_ts);

    if (state == NULL && (log->is_cut_off || log->unread_max > log->last_segment ||
                          (!log->was_unflushed && may_lack_segments(log))))
        is_certain = false;
    if (!is_certain)
        start_over(log, (struct log_position){.segment = UINT32_MAX, .offset = UINT64_MAX});
}

static lsm_status find_certain(struct salvage_log *log)
{
    uint64_t limit = UINT64_MAX;

    for (size_t i = 0; i < log->file_count; i++) {
        lsm_status status;

        log->at = &log->files[i];
        status = scan_file(log, log->at, note_frame, log);
        if (salvage_is_stopped(status))
            return status;
        if (status == LSM_OK)
            continue;
        tell_unreadable(log, log->at);
        note_missing(log, log->at->header.number);
    }
    note_end(log);
    for (size_t i = log->file_count; i-- > 0;) {
        log->files[i].ts_limit = limit;
        if (log->files[i].first_ts < limit)
            limit = log->files[i].first_ts;
    }
    return LSM_OK;
}

// --- handing out ---

struct handing {
    struct salvage_log *log;
    const struct log_file *file;
    bool is_certain;
    uint64_t last_ts;
    salvage_frame_fn fn;
    void *ctx;
    lsm_status failed; // what `fn` has failed with
};

static lsm_status hand_frame(void *ctx, uint64_t offset, uint64_t size,
                             const struct frame_header *header, lsm_slice entries)
{
    struct handing *h = ctx;
    const struct log_position position = {(uint32_t)h->file->header.number, offset};

    (void)size;
    if (header == NULL || header->type != FRAME_COMMIT || header->ts <= h->last_ts ||
        header->ts >= h->file->ts_limit)
        return LSM_OK;
    if ((log_position_compare(position, h->log->certain_from) >= 0) != h->is_certain)
        return LSM_OK;
    h->last_ts = header->ts;
    h->failed = h->fn(h->ctx, header, position, entries);
    return h->failed;
}

lsm_status salvage_log_each(struct salvage_log *log, bool is_certain, salvage_frame_fn fn,
                            void *ctx)
{
    struct handing h = {.log = log, .is_certain = is_certain, .fn = fn, .ctx = ctx};

    for (size_t i = 0; i < log->file_count; i++) {
        lsm_status status;

        h.file = &log->files[i];
        status = scan_file(log, &log->files[i], hand_frame, &h);
        if (h.failed != LSM_OK || salvage_is_stopped(status))
            return status;
        if (status != LSM_OK)
            tell_unreadable(log, &log->files[i]);
    }
    return LSM_OK;
}

lsm_status salvage_log_open(const struct salvage_log_input *input, struct salvage_log **out)
{
    CLEANUP(salvage_log_freep) struct salvage_log *log = mem_alloc_zeroed(1, sizeof *log);

    if (log == NULL)
        return lsm_fail(LSM_NO_MEMORY, "salvage: %zu bytes", sizeof *log);
    log->input = *input;
    TRY(dir_list(input->dir, add_file, log));
    if (log->file_count > 1)
        qsort(log->files, log->file_count, sizeof *log->files, compare_files);
    tell_missing(log);
    TRY(find_certain(log));
    log->found.segment_count = log->file_count;
    *out = MOVE(log);
    return LSM_OK;
}

// --- values ---

static lsm_status open_values(struct salvage_log *log, struct log_file *file)
{
    const struct filename name = filename_of(FILENAME_SEGMENT, file->header.number);

    if (file->file != NULL)
        return LSM_OK;
    if (log->open_count == OPEN_FILES_MAX)
        close_files(log);
    TRY(file_open(log->input.dir, name.text, FILE_READ, &file->file));
    log->open_count++;
    return LSM_OK;
}

static lsm_status read_record(struct salvage_log *log, const struct value_pointer *pointer,
                              struct record *out)
{
    const struct filename name = filename_of(FILENAME_SEGMENT, pointer->segment);
    struct log_file *file = find_file(log, pointer->segment);
    uint64_t size;

    if (file == NULL)
        return lsm_fail(LSM_CORRUPT, "%s: the value at offset %llu is lost with it", name.text,
                        (unsigned long long)pointer->offset);
    TRY(open_values(log, file));
    TRY(file_size(file->file, &size));
    if (pointer->offset > size || pointer->record_size > size - pointer->offset)
        return lsm_fail(LSM_CORRUPT, "%s: offset %llu: the file ends before the value", name.text,
                        (unsigned long long)pointer->offset);
    TRY(buf_reserve(&log->record, pointer->record_size));
    TRY(file_read_exact(file->file, pointer->offset, log->record.data, pointer->record_size));
    return record_decode(slice_make(log->record.data, pointer->record_size), name.text,
                         pointer->offset, out);
}

lsm_status salvage_log_value(struct salvage_log *log, const struct value_pointer *pointer,
                             uint32_t keyspace, lsm_slice key, lsm_buf *value)
{
    const struct filename name = filename_of(FILENAME_SEGMENT, pointer->segment);
    struct record record;
    lsm_status status = read_record(log, pointer, &record);

    if (status == LSM_OK && !record_is_of(&record, keyspace, key, pointer->value_size))
        status = lsm_fail(LSM_CORRUPT, "%s: offset %llu: the record is another key's", name.text,
                          (unsigned long long)pointer->offset);
    if (status == LSM_OK)
        return buf_assign(value, record.value);
    if (salvage_is_stopped(status))
        return status;
    salvage_lose(log->input.losses, name.text, pointer->offset, pointer->record_size, lsm_errmsg());
    return LSM_CORRUPT;
}

#include "manifest/manifest_file.h"

#include "base/alloc.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/plant.h"

enum frame_offset {
    AT_CRC = 0,
    AT_SIZE = 4,
    AT_NUMBER = 8,
    AT_TAG = 16, // zero, room for an authentication tag
    AT_EDIT = MANIFEST_FRAME_HEADER_SIZE,
};

// What each frame's sum starts from.
static uint32_t place_crc(const struct uuid *uuid, uint64_t offset)
{
    uint8_t place[sizeof offset];

    put_u64(place, offset);
    return crc32c(crc32c(0, uuid->bytes, UUID_SIZE), place, sizeof place);
}

static uint32_t frame_crc(const struct uuid *uuid, uint64_t offset, lsm_slice frame)
{
    lsm_slice covered = slice_from(frame, AT_SIZE);

    return crc32c(place_crc(uuid, offset), covered.data, covered.size);
}

lsm_status manifest_frame_encode(const struct edit *edit, const struct uuid *uuid, uint64_t offset,
                                 lsm_buf *to)
{
    static const uint8_t blank[MANIFEST_FRAME_HEADER_SIZE];
    size_t start = to->size;
    uint8_t *frame;
    size_t size;

    TRY(buf_append(to, blank, sizeof blank));
    TRY(edit_encode(edit, to));
    frame = (uint8_t *)to->data + start;
    size = to->size - start;
    if (size - AT_EDIT > MANIFEST_EDIT_SIZE_MAX)
        return lsm_fail(LSM_INVALID, "manifest: an edit of %zu bytes is too large", size);
    put_u32(frame + AT_SIZE, (uint32_t)(size - AT_EDIT));
    put_u64(frame + AT_NUMBER, edit->number);
    put_u32(frame + AT_CRC, frame_crc(uuid, offset, slice_make(frame, size)));
    return LSM_OK;
}

// --- writing ---

// Creates the file `name` with `bytes` as its content, synced, and leaves it open.
static lsm_status create_file(struct dir *dir, const char *name, lsm_slice bytes, struct file **out)
{
    struct file *file;
    lsm_status status;

    TRY(file_open(dir, name, FILE_CREATE, &file));
    status = file_write_one(file, 0, bytes);
    if (status == LSM_OK)
        status = file_sync(file);
    if (status == LSM_OK) {
        *out = file;
        return LSM_OK;
    }
    // Nothing names this file yet.
    file_close_quietly(file);
    (void)file_unlink(dir, name);
    return status;
}

lsm_status manifest_file_create(struct dir *dir, const struct uuid *db_uuid, uint64_t number,
                                const struct edit *snapshot, struct manifest_file *out)
{
    struct filename name = filename_of(FILENAME_MANIFEST, number);
    struct manifest_file mf = {.number = number};
    struct file_header header = {.kind = FILE_KIND_MANIFEST, .db_uuid = *db_uuid, .number = number};
    CLEANUP(lsm_buf_free) lsm_buf bytes = {.data = NULL};

    TRY(env_random(dir->env, mf.uuid.bytes, UUID_SIZE));
    header.file_uuid = mf.uuid;
    TRY(buf_reserve(&bytes, FILE_HEADER_SIZE));
    file_header_encode(&header, bytes.data);
    bytes.size = FILE_HEADER_SIZE;
    TRY(manifest_frame_encode(snapshot, &mf.uuid, FILE_HEADER_SIZE, &bytes));
    TRY(create_file(dir, name.text, slice_of_buf(&bytes), &mf.file));
    mf.size = bytes.size;
    mf.snapshot_size = bytes.size;
    *out = mf;
    return LSM_OK;
}

lsm_status manifest_file_append(struct manifest_file *mf, lsm_slice frame)
{
    TRY(file_write_one(mf->file, mf->size, frame));
    if (!PLANTED(SKIP_EDIT_SYNC))
        TRY(file_sync(mf->file));
    mf->size += frame.size;
    return LSM_OK;
}

void manifest_file_close(struct manifest_file *mf)
{
    file_close_quietly(mf->file);
    mf->file = NULL;
}

lsm_status current_prepare(struct dir *dir, const struct uuid *db_uuid,
                           const struct manifest_file *mf)
{
    struct filename name = filename_of(FILENAME_CURRENT_NEW, 0);
    struct file_header header = {.kind = FILE_KIND_CURRENT,
                                 .db_uuid = *db_uuid,
                                 .file_uuid = mf->uuid,
                                 .number = mf->number};
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file *file;
    lsm_status status;

    // One that a crash or a failure has left: nothing reads it.
    TRY(file_unlink(dir, name.text));
    file_header_encode(&header, bytes);
    TRY(create_file(dir, name.text, slice_make(bytes, sizeof bytes), &file));
    status = file_close(file);
    if (status != LSM_OK)
        (void)file_unlink(dir, name.text);
    return status;
}

// --- reading ---

static lsm_status open_known(struct dir *dir, const char *name, struct file **out)
{
    struct file *file;

    TRY(file_find(dir, name, FILE_READ, &file));
    if (file == NULL)
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: the file is missing", name);
    *out = file;
    return LSM_OK;
}

lsm_status current_read(struct dir *dir, struct file_header *out)
{
    struct filename name = filename_of(FILENAME_CURRENT, 0);
    CLEANUP(file_closep) struct file *file = NULL;
    uint8_t bytes[FILE_HEADER_SIZE];
    uint64_t size;

    TRY(open_known(dir, name.text, &file));
    TRY(file_size(file, &size));
    if (size != FILE_HEADER_SIZE)
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: %llu bytes where %d are expected", name.text,
                        (unsigned long long)size, FILE_HEADER_SIZE);
    TRY(file_read_exact(file, 0, bytes, sizeof bytes));
    return file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_CURRENT, name.text, out);
}

lsm_status manifest_file_load(struct dir *dir, const char *name, struct file_header *header,
                              lsm_buf *bytes)
{
    CLEANUP(file_closep) struct file *file = NULL;
    uint64_t size;

    TRY(open_known(dir, name, &file));
    TRY(file_size(file, &size));
    if (size > MANIFEST_FILE_SIZE_MAX)
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: a manifest cannot have %llu bytes", name,
                        (unsigned long long)size);
    TRY(buf_reserve(bytes, (size_t)size));
    TRY(file_read_exact(file, 0, bytes->data, (size_t)size));
    bytes->size = (size_t)size;
    return file_header_decode(slice_of_buf(bytes), FILE_KIND_MANIFEST, name, header);
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

// Whether a frame may begin at `offset`, its sum left aside.
static bool looks_like_frame(lsm_slice file, uint64_t offset, struct manifest_frame *out)
{
    const uint8_t *at;
    uint64_t left;
    uint64_t size;

    if (offset > file.size || file.size - offset < MANIFEST_FRAME_HEADER_SIZE)
        return false;
    at = (const uint8_t *)file.data + offset;
    left = file.size - offset - MANIFEST_FRAME_HEADER_SIZE;
    size = get_u32(at + AT_SIZE);
    if (size == 0 || size > left || size > MANIFEST_EDIT_SIZE_MAX ||
        !is_zero(at + AT_TAG, AT_EDIT - AT_TAG))
        return false;
    out->offset = offset;
    out->size = AT_EDIT + size;
    out->number = get_u64(at + AT_NUMBER);
    out->edit = slice_make(at + AT_EDIT, (size_t)size);
    return true;
}

bool manifest_frame_at(lsm_slice file, const struct uuid *uuid, uint64_t offset,
                       struct manifest_frame *out)
{
    struct manifest_frame frame;
    lsm_slice bytes;

    if (!looks_like_frame(file, offset, &frame))
        return false;
    bytes = slice_make((const uint8_t *)file.data + offset, (size_t)frame.size);
    if (get_u32(bytes.data) != frame_crc(uuid, offset, bytes) && !PLANTED(SKIP_EDIT_CRC))
        return false;
    *out = frame;
    return true;
}

// --- searching ---
//
// Where frames could begin at every few bytes and reach to the end of the file, summing up each
// would take as long as the square of its size. So the file is summed up once, and what is noted
// on the way gives the sum of any stretch of it: crc32c_join().

#define SUM_STRIDE 64 // bytes

lsm_status manifest_search_init(struct manifest_search *search, lsm_slice file,
                                const struct uuid *uuid)
{
    size_t count = file.size / SUM_STRIDE + 1;
    uint32_t *sums = mem_alloc_zeroed(count, sizeof *sums);

    if (sums == NULL)
        return lsm_fail(LSM_NO_MEMORY, "manifest: %zu checksums", count);
    for (size_t i = 1; i < count; i++)
        sums[i] =
            crc32c(sums[i - 1], (const uint8_t *)file.data + (i - 1) * SUM_STRIDE, SUM_STRIDE);
    *search = (struct manifest_search){
        .file = file, .uuid = uuid, .sums = sums, .bytes_summed = file.size};
    return LSM_OK;
}

void manifest_search_release(struct manifest_search *search)
{
    mem_free(search->sums);
}

// The sum of all bytes before `offset`.
static uint32_t sum_before(struct manifest_search *search, uint64_t offset)
{
    size_t left = offset % SUM_STRIDE;

    search->bytes_summed += left;
    return crc32c(search->sums[offset / SUM_STRIDE],
                  (const uint8_t *)search->file.data + (offset - left), left);
}

static bool verifies(struct manifest_search *search, const struct manifest_frame *frame)
{
    uint32_t before = sum_before(search, frame->offset + AT_SIZE);
    uint32_t until = sum_before(search, frame->offset + frame->size);
    uint32_t crc = crc32c_join(place_crc(search->uuid, frame->offset) ^ before, until,
                               (size_t)frame->size - AT_SIZE);

    return crc == get_u32((const uint8_t *)search->file.data + frame->offset + AT_CRC);
}

bool manifest_search_find(struct manifest_search *search, uint64_t offset,
                          struct manifest_frame *out)
{
    struct manifest_frame frame;

    for (; offset < search->file.size; offset++) {
        if (looks_like_frame(search->file, offset, &frame) && verifies(search, &frame)) {
            *out = frame;
            return true;
        }
    }
    return false;
}

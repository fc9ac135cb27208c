// forge.h -- frames whose checksums fit, with content that no writer of ours would write.
//
// Written straight into a segment file that lies there, with the uuid that it has.

#ifndef LSM_TESTS_VLOG_FORGE_H
#define LSM_TESTS_VLOG_FORGE_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/file_header.h"
#include "support/sim.h"
#include "vlog/segment.h"

static inline struct filename forge_name(uint32_t id)
{
    return filename_of(FILENAME_SEGMENT, id);
}

static inline void forge_read(struct dir *dir, uint32_t id, uint64_t at, void *to, size_t size)
{
    struct file *file;

    cr_assert(eq(int, file_open(dir, forge_name(id).text, FILE_READ, &file), LSM_OK));
    cr_assert(eq(int, file_read_exact(file, at, to, size), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(int, file_close(file), LSM_OK));
}

static inline void forge_write(struct dir *dir, uint32_t id, uint64_t at, lsm_slice bytes)
{
    struct file *file;

    cr_assert(eq(int, sim_open_to_change(dir, forge_name(id).text, &file), LSM_OK));
    cr_assert(eq(int, file_write_one(file, at, bytes), LSM_OK));
    cr_assert(eq(int, file_close(file), LSM_OK));
}

static inline struct uuid forge_uuid(struct dir *dir, uint32_t id)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    struct file_header header;

    forge_read(dir, id, 0, bytes, sizeof bytes);
    cr_assert(eq(int,
                 file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_LOG,
                                    forge_name(id).text, &header),
                 LSM_OK));
    return header.file_uuid;
}

// The header of the frame at `at`, which must verify.
static inline struct frame_header forge_header(struct dir *dir, uint32_t id, uint64_t at)
{
    const struct uuid uuid = forge_uuid(dir, id);
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_header header;

    forge_read(dir, id, at, bytes, sizeof bytes);
    cr_assert(frame_header_decode(bytes, &uuid, at, &header));
    return header;
}

// Puts `header` at `at`, with a checksum that fits; what lies behind it stays.
static inline void forge_set_header(struct dir *dir, uint32_t id, uint64_t at,
                                    const struct frame_header *header)
{
    const struct uuid uuid = forge_uuid(dir, id);
    uint8_t bytes[FRAME_HEADER_SIZE];

    frame_header_encode(header, &uuid, at, bytes);
    forge_write(dir, id, at, slice_make(bytes, sizeof bytes));
}

// Puts a whole frame at `at`: the sizes and the checksum of its body follow from `entries` and
// from `records`, which the checksum does not cover.
static inline void forge_frame(struct dir *dir, uint32_t id, uint64_t at,
                               struct frame_header header, lsm_slice entries, lsm_slice records)
{
    static const uint8_t zeroes[FRAME_ALIGNMENT];

    header.entries_size = entries.size;
    header.body_size = entries.size + records.size;
    header.body_crc = frame_body_crc(entries);
    forge_set_header(dir, id, at, &header);
    forge_write(dir, id, at + FRAME_HEADER_SIZE, entries);
    forge_write(dir, id, at + FRAME_HEADER_SIZE + entries.size, records);
    forge_write(
        dir, id, at + FRAME_HEADER_SIZE + header.body_size,
        slice_make(zeroes, frame_size(header.body_size) - FRAME_HEADER_SIZE - header.body_size));
}

// Makes `link` what the first frame of a segment says.
static inline void forge_link(struct dir *dir, uint32_t id, const struct frame_link *link)
{
    const struct frame_header header = forge_header(dir, id, FIRST_FRAME_AT);
    uint8_t body[FRAME_LINK_BODY_SIZE];

    frame_link_encode(link, body);
    forge_frame(dir, id, FIRST_FRAME_AT, header, slice_make(body, sizeof body), slice_make("", 0));
}

static inline struct frame_link forge_link_of(struct dir *dir, uint32_t id)
{
    uint8_t body[FRAME_LINK_BODY_SIZE];
    struct frame_link link;

    forge_read(dir, id, FIRST_FRAME_AT + FRAME_HEADER_SIZE, body, sizeof body);
    cr_assert(frame_link_decode(slice_make(body, sizeof body), &link));
    return link;
}

#endif

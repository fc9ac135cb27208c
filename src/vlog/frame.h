// frame.h -- the unit of the log: a header and a body.
//
// A frame starts at a multiple of 8 and lies wholly in one segment.
//
//   offset size
//        0    4  CRC32C of the segment's file uuid, the frame's offset (u64) and
//                bytes 4 to 95: a stale or misplaced frame never verifies
//        4    1  type
//        5    3  zero
//        8    8  body size: the bytes behind the header, without padding
//       16    8  entries size: the part of the body that the body CRC covers
//       24    8  sequence number, dense over all frames of the log
//       32    8  commit timestamp (link, mark: the log's last timestamp before)
//       40    8  wall clock at the commit, nanoseconds since 1970
//       48    4  number of entries
//       52    4  CRC32C of the first `entries size` bytes of the body
//       56    8  durable mark: offset
//       64    4  durable mark: segment
//       68    4  zero
//       72    8  number of the last durable manifest edit
//       80   16  zero, room for an authentication tag
//       96       body: entries, then the records of separated values; zeroes to a
//                multiple of 8
//
// An entry:  kind and flags u8 (bits 0-3 kind, bit 4 user byte follows, bit 5
// expiry follows), varint keyspace, varint key size (80 00 for 0), key, [user byte u8],
// [varint expiry], then for a value: varint size and bytes; for a pointer: varint
// record size, varint value size. The records follow the entries one behind the
// other, in the order of their pointers. Keys ascend by (keyspace, key), each once.
//
// A link's body: u32 segment, uuid, u64 final size of the predecessor.

#ifndef LSM_VLOG_FRAME_H
#define LSM_VLOG_FRAME_H

#include "base/crc32c.h"
#include "base/ikey.h"
#include "base/pointer.h"
#include "base/uuid.h"
#include "vlog/record.h"

#define FRAME_HEADER_SIZE 96
#define FRAME_ALIGNMENT   8

enum frame_type {
    FRAME_COMMIT = 1,
    FRAME_LINK = 2,
    FRAME_MARK = 3,  // no body: carries a mark only
    FRAME_ADOPT = 4, // reserved
};

// A place in the log. Positions order by segment, then offset.
struct log_position {
    uint32_t segment;
    uint64_t offset;
};

static inline int log_position_compare(struct log_position a, struct log_position b)
{
    if (a.segment != b.segment)
        return a.segment < b.segment ? -1 : 1;
    return (a.offset > b.offset) - (a.offset < b.offset);
}

struct frame_header {
    enum frame_type type;
    uint64_t body_size;
    uint64_t entries_size;
    uint64_t sequence;
    uint64_t ts;
    uint64_t wall_ns;
    uint32_t entry_count;
    uint32_t body_crc;
    struct log_position mark;
    uint64_t edit_number;
};

// Bytes a frame takes in its segment, padding included.
static inline uint64_t frame_size(uint64_t body_size)
{
    return (FRAME_HEADER_SIZE + body_size + FRAME_ALIGNMENT - 1) / FRAME_ALIGNMENT *
           FRAME_ALIGNMENT;
}

// Writes FRAME_HEADER_SIZE bytes for a frame at `offset` of the segment file `uuid`.
void frame_header_encode(const struct frame_header *header, const struct uuid *uuid,
                         uint64_t offset, uint8_t *to);

// Whether `bytes` (FRAME_HEADER_SIZE of them) verify as a header at that place; if
// so, decodes it. Anything else there is a torn tail or damage: the caller knows.
bool frame_header_decode(const uint8_t *bytes, const struct uuid *uuid, uint64_t offset,
                         struct frame_header *out);

// The checksum of the part of a body that the header names.
static inline uint32_t frame_body_crc(lsm_slice entries)
{
    return crc32c(0, entries.data, entries.size);
}

// What the first frame of a segment says about the segment before.
struct frame_link {
    uint32_t segment;
    struct uuid uuid;
    uint64_t final_size;
};

#define FRAME_LINK_BODY_SIZE (4 + UUID_SIZE + 8)

void frame_link_encode(const struct frame_link *link, uint8_t *to);
bool frame_link_decode(lsm_slice body, struct frame_link *out);

// --- a commit on its way into the log ---

// A value that goes into a record behind the entries. Key and value are borrowed.
struct separated_value {
    struct record_head head;
    lsm_slice key;
    lsm_slice value;
};

// Encoded and summed by the committing thread, outside any lock; the writer sets
// `ts` and `wall_ns`; log_append() sets `position`. Inline bytes are copied; the
// keys and values of separated entries are borrowed until the append is done.
struct commit_frame {
    uint64_t ts;
    uint64_t wall_ns;
    struct log_position position; // of the frame's header

    uint64_t size; // in the segment, padding included; valid once finished
    uint32_t entry_count;
    uint32_t body_crc;
    uint64_t body_size;
    lsm_buf entries;                // FRAME_HEADER_SIZE bytes of room, then the entries
    struct separated_value *values; // in order
    size_t value_count;
    size_t value_capacity;
    uint64_t key_bytes; // keys and inline values: what the memtable will hold
    bool is_finished;
};

void commit_frame_init(struct commit_frame *frame);
void commit_frame_release(struct commit_frame *frame);

// Adds one entry: a value (kept inline, or separated into a record when
// `separate`) or a tombstone. Entries come in ascending (keyspace, key). The
// entry's timestamp is ignored: all get the commit's.
lsm_status commit_frame_add(struct commit_frame *frame, const struct entry *entry, bool separate);

// Sums and sizes the body; no entry may be added any more.
lsm_status commit_frame_finish(struct commit_frame *frame);

// LSM_CORRUPT when entries or separated values are not what has been summed up: memory has
// changed since.
lsm_status commit_frame_verify(const struct commit_frame *frame);

// --- the entries of a frame, for the memtable and for recovery ---

struct frame_reader {
    struct reader reader;
    struct log_position position; // of the frame
    uint64_t ts;
    uint64_t frame_bytes; // of header and body: what a record must lie within
    uint64_t record_at;   // of the next pointer's record, from the start of the frame
    uint32_t left;        // entries not yet read
    bool has_key;         // an entry has been read
    uint32_t keyspace;    // of the entry read last, and its key: entries ascend
    lsm_slice key;
    struct value_pointer pointer; // of the entry read last, if it has one, and encoded
    uint8_t pointer_bytes[POINTER_SIZE_MAX];
};

// Over the entries of a frame that has been appended, or of `entries` as read from
// a segment and verified against its body CRC.
void frame_reader_over_commit(struct frame_reader *r, const struct commit_frame *frame);
void frame_reader_over(struct frame_reader *r, const struct frame_header *header,
                       struct log_position position, lsm_slice entries);

enum frame_next {
    FRAME_ENTRY,
    FRAME_END,       // there was no more
    FRAME_MALFORMED, // LSM_CORRUPT, and told as such: a verified frame of ours is not
};

// The next entry, stamped with the frame's timestamp; a pointer's value is encoded
// in the reader and lives until the next call.
enum frame_next frame_reader_next(struct frame_reader *r, struct entry *out);

// How reading ended, as a status.
static inline lsm_status frame_end_status(enum frame_next next)
{
    return next == FRAME_MALFORMED ? LSM_CORRUPT : LSM_OK;
}

#endif

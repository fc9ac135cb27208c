// record.c -- separated values and their proof.

#include "vlog/record.h"

#include <inttypes.h>

#include "base/crc32c.h"
#include "base/plant.h"

#define AT_CODEC    4
#define AT_KEYSPACE 5

enum codec { CODEC_NONE = 0 };

static uint32_t sum_of(const struct record_head *head, lsm_slice key, lsm_slice value)
{
    uint32_t crc = crc32c(0, head->bytes + AT_CODEC, head->size - AT_CODEC);

    crc = crc32c(crc, key.data, key.size);
    return crc32c(crc, value.data, value.size);
}

void record_head_make(uint32_t keyspace, lsm_slice key, lsm_slice value, struct record_head *out)
{
    uint8_t *at = out->bytes + AT_KEYSPACE;

    out->bytes[AT_CODEC] = CODEC_NONE;
    at = put_varint(at, keyspace);
    at = put_varint(at, key.size);
    at = put_varint(at, value.size);
    out->size = (uint8_t)(at - out->bytes);
    put_u32(out->bytes, sum_of(out, key, value));
}

bool record_head_verify(const struct record_head *head, lsm_slice key, lsm_slice value)
{
    return get_u32(head->bytes) == sum_of(head, key, value);
}

lsm_status record_decode(lsm_slice bytes, const char *name, uint64_t offset, struct record *out)
{
    struct reader r = reader_over(bytes);
    uint32_t crc = read_u32(&r);
    lsm_slice covered = slice_make(r.at, reader_left(&r));
    uint8_t codec = read_u8(&r);
    struct record record;
    uint64_t key_size, value_size;

    if (!reader_ok(&r) ||
        (crc != crc32c(0, covered.data, covered.size) && !PLANTED(SKIP_VALUE_CRC)))
        return lsm_fail(LSM_CORRUPT, "%s: offset %" PRIu64 ": checksum of a value record is wrong",
                        name, offset);
    if (codec != CODEC_NONE)
        return lsm_fail(LSM_UNSUPPORTED, "%s: offset %" PRIu64 ": unknown codec %u", name, offset,
                        codec);
    record.keyspace = read_varint32(&r);
    key_size = read_varint64(&r);
    value_size = read_varint64(&r);
    record.key = read_bytes(&r, key_size);
    record.value = read_bytes(&r, value_size);
    if (!reader_done(&r))
        return lsm_fail(LSM_CORRUPT, "%s: offset %" PRIu64 ": malformed value record", name,
                        offset);
    *out = record;
    return LSM_OK;
}

// file_header.c -- writing and checking the first bytes of a file.

#include "base/file_header.h"

#include <assert.h>

#include "base/coding.h"
#include "base/crc32c.h"

#define MAGIC_SIZE 8

static const uint8_t magic[MAGIC_SIZE] = {'l', 's', 'm', 'k', 'v', '\r', '\n', 0x1A};

enum header_offset {
    AT_VERSION = 8,
    AT_KIND = 10,
    AT_PADDING = 12,
    AT_DB_UUID = 16,
    AT_FILE_UUID = FILE_HEADER_UUID_AT,
    AT_NUMBER = 48,
    AT_KEY_ID = 56,
    AT_SALT = 64, // zero from here to the checksum
    AT_CHECKSUM = 124,
};

static_assert(AT_CHECKSUM + sizeof(uint32_t) == FILE_HEADER_SIZE, "the checksum comes last");

void file_header_encode(const struct file_header *header, uint8_t *to)
{
    memset(to, 0, FILE_HEADER_SIZE);
    memcpy(to, magic, MAGIC_SIZE);
    put_u16(to + AT_VERSION, FILE_FORMAT_VERSION);
    put_u16(to + AT_KIND, (uint16_t)header->kind);
    memcpy(to + AT_DB_UUID, header->db_uuid.bytes, UUID_SIZE);
    memcpy(to + AT_FILE_UUID, header->file_uuid.bytes, UUID_SIZE);
    put_u64(to + AT_NUMBER, header->number);
    put_u32(to + AT_CHECKSUM, crc32c(0, to, AT_CHECKSUM));
}

static const char *kind_name(unsigned kind)
{
    switch ((enum file_kind)kind) {
    case FILE_KIND_LOG:
        return "log segment";
    case FILE_KIND_TABLE:
        return "table";
    case FILE_KIND_MANIFEST:
        return "manifest";
    case FILE_KIND_CURRENT:
        return "CURRENT";
    }
    return "file of unknown kind";
}

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != 0)
            return false;
    }
    return true;
}

// What any format keeps in its place: magic, version and checksum.
static lsm_status check_frame(const uint8_t *at, const char *name)
{
    unsigned version;

    if (memcmp(at, magic, MAGIC_SIZE) != 0)
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: not a file of lsmkv", name);
    if (get_u32(at + AT_CHECKSUM) != crc32c(0, at, AT_CHECKSUM))
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: checksum of the file header is wrong", name);
    version = get_u16(at + AT_VERSION);
    if (version > FILE_FORMAT_VERSION)
        return lsm_fail(LSM_UNSUPPORTED,
                        "%s: format %u is newer than this library, which reads format %d; "
                        "open it with a newer version of lsmkv",
                        name, version, FILE_FORMAT_VERSION);
    if (version == 0)
        return lsm_fail(LSM_CORRUPT, "%s: offset %d: format 0 does not exist", name, AT_VERSION);
    return LSM_OK;
}

lsm_status file_header_decode(lsm_slice bytes, enum file_kind kind, const char *name,
                              struct file_header *out)
{
    const uint8_t *at = bytes.data;
    unsigned found;

    if (bytes.size < FILE_HEADER_SIZE)
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: file header cut to %zu bytes of %d", name,
                        bytes.size, FILE_HEADER_SIZE);
    TRY(check_frame(at, name));
    found = get_u16(at + AT_KIND);
    if (found != (unsigned)kind)
        return lsm_fail(LSM_CORRUPT, "%s: offset %d: a %s (%u) where a %s is expected", name,
                        AT_KIND, kind_name(found), found, kind_name(kind));
    if (get_u64(at + AT_KEY_ID) != 0)
        return lsm_fail(LSM_UNSUPPORTED,
                        "%s: the file is encrypted, which this library does not read", name);
    if (!is_zero(at + AT_PADDING, AT_DB_UUID - AT_PADDING) ||
        !is_zero(at + AT_SALT, AT_CHECKSUM - AT_SALT))
        return lsm_fail(LSM_CORRUPT, "%s: offset 0: reserved bytes of the file header are set",
                        name);
    out->kind = kind;
    memcpy(out->db_uuid.bytes, at + AT_DB_UUID, UUID_SIZE);
    memcpy(out->file_uuid.bytes, at + AT_FILE_UUID, UUID_SIZE);
    out->number = get_u64(at + AT_NUMBER);
    return LSM_OK;
}

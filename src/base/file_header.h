// file_header.h -- the 128 bytes every binary file of a database starts with.
//
//   offset size
//        0    8  magic "lsmkv\r\n\x1a"
//        8    2  format version
//       10    2  kind of file
//       12    4  zero
//       16   16  uuid of the database
//       32   16  uuid of the file
//       48    8  number of the file; in CURRENT, of the manifest it names
//       56    8  encryption key id, zero: not encrypted
//       64   16  encryption salt, zero
//       80   12  encryption nonce, zero
//       92   32  zero
//      124    4  CRC32C of bytes 0 to 123
//
// CURRENT is such a header and nothing else; its file uuid is the manifest's.

#ifndef LSM_BASE_FILE_HEADER_H
#define LSM_BASE_FILE_HEADER_H

#include "base/bytes.h"
#include "base/uuid.h"

#define FILE_HEADER_SIZE    128
#define FILE_HEADER_UUID_AT 32 // of the file
#define FILE_FORMAT_VERSION 1

enum file_kind {
    FILE_KIND_LOG = 1,
    FILE_KIND_TABLE = 2,
    FILE_KIND_MANIFEST = 3,
    FILE_KIND_CURRENT = 4,
};

struct file_header {
    enum file_kind kind;
    struct uuid db_uuid;
    struct uuid file_uuid;
    uint64_t number;
};

// Writes FILE_HEADER_SIZE bytes at `to`.
void file_header_encode(const struct file_header *header, uint8_t *to);

// Decodes `bytes`, the first FILE_HEADER_SIZE bytes of the file called `name`,
// which is of the kind wanted. LSM_CORRUPT when it is not a whole header of that
// kind, LSM_UNSUPPORTED when its format is newer than this library (which the
// words say) or it is encrypted.
lsm_status file_header_decode(lsm_slice bytes, enum file_kind kind, const char *name,
                              struct file_header *out);

#endif

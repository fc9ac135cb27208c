// crc32c.h -- CRC-32C (Castagnoli), by the processor's instruction where it has
// one and by a table otherwise; both give the same numbers.

#ifndef LSM_BASE_CRC32C_H
#define LSM_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

// The checksum of what `crc` covers followed by `size` bytes at `data`; `crc` is
// 0 for nothing. crc32c(crc32c(0, a), b) is the checksum of a followed by b.
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

// The checksum of a followed by b, whose checksums are `first` and `second`; b has `size` bytes.
// As it only adds, that of b comes out when `second` is that of both.
uint32_t crc32c_join(uint32_t first, uint32_t second, size_t size);

// The table version, for tests that compare the two.
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif

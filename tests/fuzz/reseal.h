// reseal.h -- makes checksums fit again after a mutation.
//
// A fuzzer never guesses a checksum, so without this it only ever tests the first one of a
// file. Each function repairs as many checksums as the damaged bytes still let it find, in
// place, and never reads or writes outside of the `size` bytes at `bytes`. One mutation of eight
// is left as it is.
//
// There is no second build that skips the comparison of checksums: it would test readers that
// take anything anywhere for a frame, and it reaches no more. Edges covered after 45 s each,
// repaired and skipped: tables 600 and 593, segments 289 and 284, manifests 312 and 309.

#ifndef LSM_TESTS_FUZZ_RESEAL_H
#define LSM_TESTS_FUZZ_RESEAL_H

#include <stddef.h>
#include <stdint.h>

// Header, frames one behind the other, the records of their separated values.
void reseal_segment(uint8_t *bytes, size_t size);
// Header and the frames of edits.
void reseal_manifest(uint8_t *bytes, size_t size);
// Header, footer, the blocks it leads to, and the data blocks that the index names.
void reseal_table(uint8_t *bytes, size_t size);
// CURRENT, a header alone.
void reseal_current(uint8_t *bytes, size_t size);
// Whatever kind of file the header says it is.
void reseal_any(uint8_t *bytes, size_t size);

// A mutator for LLVMFuzzerCustomMutator(): libFuzzer's own mutations, and mostly `reseal`.
size_t reseal_mutate(uint8_t *data, size_t size, size_t size_max, unsigned seed,
                     void (*reseal)(uint8_t *bytes, size_t size));

#endif

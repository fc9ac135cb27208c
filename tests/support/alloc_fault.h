// alloc_fault.h -- an allocator that fails when told and counts live blocks.
//
// Any thread may allocate while it is in use.

#ifndef LSM_TESTS_SUPPORT_ALLOC_FAULT_H
#define LSM_TESTS_SUPPORT_ALLOC_FAULT_H

#include <stdbool.h>
#include <stddef.h>

// Makes it the library's allocator; false when the library has allocated already.
// Each Criterion test is a process of its own and may do so.
bool alloc_fault_install(void);

// Lets the allocation with number `n` from now fail (1: the next one, growing a
// block included), and with `for_ever` all after it. 0: none.
void alloc_fault_at(size_t n, bool for_ever);

// Has `seen` called at each allocation, with whether it is made to fail.
void alloc_fault_watch(void (*seen)(bool is_failed));

// Whether an allocation has failed since alloc_fault_at().
bool alloc_fault_was_hit(void);

// Blocks allocated and not released.
size_t alloc_fault_live(void);

// Runs `statement` again and again, with its first allocation failing, then its
// second and so on, until one run meets no failure. In the statement,
// alloc_fault_was_hit() tells what to expect.
#define ALLOC_FAULT_EACH(statement)                                                                \
    do {                                                                                           \
        for (size_t fault_ = 1;; fault_++) {                                                       \
            alloc_fault_at(fault_, false);                                                         \
            statement;                                                                             \
            if (!alloc_fault_was_hit())                                                            \
                break;                                                                             \
        }                                                                                          \
        alloc_fault_at(0, false);                                                                  \
    } while (0)

#endif

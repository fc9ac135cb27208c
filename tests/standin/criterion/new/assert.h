// assert.h -- the assertions of the stand-in: see criterion.h beside it.

#ifndef LSM_TESTS_STANDIN_ASSERT_H
#define LSM_TESTS_STANDIN_ASSERT_H

#include "../criterion.h"

// A condition, and words for when it does not hold, if any.
#define cr_expect(CONDITION, ...)                                                                  \
    ((CONDITION) ? true                                                                            \
                 : (criterion_failed(__FILE__, __LINE__, #CONDITION, " " __VA_ARGS__), false))
#define cr_assert(CONDITION, ...)                                                                  \
    ((void)(cr_expect(CONDITION, __VA_ARGS__) || (criterion_stop(), false)))
#define cr_fatal(...)                                                                              \
    (criterion_failed(__FILE__, __LINE__, "no way here", " " __VA_ARGS__), criterion_stop())

#define eq(TAG, A, B) CRITERION_COMPARE_##TAG(A, ==, B)
#define ne(TAG, A, B) CRITERION_COMPARE_##TAG(A, !=, B)
#define lt(TAG, A, B) CRITERION_COMPARE_##TAG(A, <, B)
#define le(TAG, A, B) CRITERION_COMPARE_##TAG(A, <=, B)
#define gt(TAG, A, B) CRITERION_COMPARE_##TAG(A, >, B)
#define ge(TAG, A, B) CRITERION_COMPARE_##TAG(A, >=, B)
#define zero(TAG, A)  CRITERION_COMPARE_##TAG(A, ==, 0)
#define not(A) (!(A))
#define ieee_ulp_eq(TAG, A, B, ULPS) criterion_is_near(A, B, ULPS)

static inline bool criterion_is_near(double a, double b, unsigned ulps)
{
    return fabs(a - b) <= ulps * (nextafter(fabs(b), INFINITY) - fabs(b));
}

#define CRITERION_COMPARE(TYPE, A, OP, B)                                                          \
    ({                                                                                             \
        TYPE criterion_a = (A);                                                                    \
        TYPE criterion_b = (B);                                                                    \
        criterion_a OP criterion_b;                                                                \
    })
#define CRITERION_COMPARE_int(A, OP, B)  CRITERION_COMPARE(int, A, OP, B)
#define CRITERION_COMPARE_uint(A, OP, B) CRITERION_COMPARE(unsigned, A, OP, B)
#define CRITERION_COMPARE_chr(A, OP, B)  CRITERION_COMPARE(char, A, OP, B)
#define CRITERION_COMPARE_u8(A, OP, B)   CRITERION_COMPARE(uint8_t, A, OP, B)
#define CRITERION_COMPARE_u16(A, OP, B)  CRITERION_COMPARE(uint16_t, A, OP, B)
#define CRITERION_COMPARE_u32(A, OP, B)  CRITERION_COMPARE(uint32_t, A, OP, B)
#define CRITERION_COMPARE_u64(A, OP, B)  CRITERION_COMPARE(uint64_t, A, OP, B)
#define CRITERION_COMPARE_i64(A, OP, B)  CRITERION_COMPARE(int64_t, A, OP, B)
#define CRITERION_COMPARE_sz(A, OP, B)   CRITERION_COMPARE(size_t, A, OP, B)
#define CRITERION_COMPARE_dbl(A, OP, B)  CRITERION_COMPARE(double, A, OP, B)
#define CRITERION_COMPARE_ptr(A, OP, B)  CRITERION_COMPARE(const void *, A, OP, B)
#define CRITERION_COMPARE_str(A, OP, B)  (strcmp(A, B) OP 0)

#endif

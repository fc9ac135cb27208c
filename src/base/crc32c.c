// crc32c.c -- CRC-32C by instruction or by table, chosen at the first call.
//
// The instruction takes eight bytes per cycle but answers after three, so a
// large input is cut into three streams that are summed side by side:
//
//   | first: n words | second: n words | third: n words |
//
// Appending n words to a message multiplies its sum by x^64n in GF(2)[x] / P, so
// the whole is first * x^128n + second * x^64n + third. The product of two bit
// reflected sums comes out of the carry-less multiplication one bit low, and the
// instruction, which reduces the 64 bits, multiplies them by x^32 on the way: the
// factors kept in `zeros` are therefore x^(64n - 33). For n = 1 that is x^31, the
// number 1 when reflected, and each further one is its predecessor followed by
// eight zero bytes.

#include "base/crc32c.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/coding.h"

#define POLYNOMIAL 0x82F63B78u // bit reflected
#define WORD_SIZE  sizeof(uint64_t)

// --- by table: eight bytes at a time ---

static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

// tables[i][b] is the sum of the byte b followed by i zero bytes.
static uint32_t tables[WORD_SIZE][256];

static void tables_build(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;

        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        tables[0][byte] = crc;
    }
    for (size_t i = 1; i < WORD_SIZE; i++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = tables[i - 1][byte];

            tables[i][byte] = (crc >> 8) ^ tables[0][crc & 0xFF];
        }
    }
}

static uint32_t sum_by_table(uint32_t crc, const uint8_t *at, size_t size)
{
    for (; size >= WORD_SIZE; at += WORD_SIZE, size -= WORD_SIZE) {
        uint64_t word = get_u64(at) ^ crc;

        crc = 0;
        for (size_t i = 0; i < WORD_SIZE; i++)
            crc ^= tables[WORD_SIZE - 1 - i][(word >> (8 * i)) & 0xFF];
    }
    for (; size > 0; at++, size--)
        crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 0xFF];
    return crc;
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size)
{
    pthread_once(&tables_once, tables_build);
    return ~sum_by_table(~crc, data, size);
}

// --- by instruction ---
//
// Per processor: sum_u64() and sum_u8() append to a sum, multiply() multiplies
// two sums without carries, and has_instruction() tells whether all of them work.

#if defined(__x86_64__)

#include <immintrin.h>

#define HAVE_INSTRUCTION 1
#define INSTRUCTION      __attribute__((target("sse4.2,pclmul")))

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

INSTRUCTION static inline uint64_t sum_u64(uint64_t crc, uint64_t word)
{
    return _mm_crc32_u64(crc, word);
}

INSTRUCTION static inline uint64_t sum_u8(uint64_t crc, uint8_t byte)
{
    return _mm_crc32_u8((uint32_t)crc, byte);
}

INSTRUCTION static inline uint64_t multiply(uint64_t a, uint32_t b)
{
    __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)a), _mm_cvtsi32_si128((int32_t)b), 0);

    return (uint64_t)_mm_cvtsi128_si64(product);
}

#elif defined(__aarch64__) && defined(__linux__)

#include <asm/hwcap.h>
#include <sys/auxv.h>

#define HAVE_INSTRUCTION 1
#define INSTRUCTION      // the assembler is told instead

static bool has_instruction(void)
{
    const unsigned long needed = HWCAP_CRC32 | HWCAP_PMULL;

    return (getauxval(AT_HWCAP) & needed) == needed;
}

static inline uint64_t sum_u64(uint64_t crc, uint64_t word)
{
    uint64_t sum;

    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w1, %x2" : "=r"(sum) : "r"(crc), "r"(word));
    return sum;
}

static inline uint64_t sum_u8(uint64_t crc, uint8_t byte)
{
    uint64_t sum;

    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w1, %w2" : "=r"(sum) : "r"(crc), "r"(byte));
    return sum;
}

static inline uint64_t multiply(uint64_t a, uint32_t b)
{
    uint64_t product; // 63 bits, as both factors have 32

    __asm__(".arch_extension aes\n\tfmov d30, %1\n\tfmov d31, %2\n\t"
            "pmull v30.1q, v30.1d, v31.1d\n\tfmov %0, d30"
            : "=r"(product)
            : "r"(a), "r"((uint64_t)b)
            : "v30", "v31");
    return product;
}

#else
#define HAVE_INSTRUCTION 0
#endif

#if HAVE_INSTRUCTION

#define STREAM_WORDS_MIN 3   // less, and joining costs more than it saves
#define STREAM_WORDS_MAX 168 // three of them are 4,032 bytes, most of a 4 KiB block

// zeros[n] is x^(64n - 33); written once, before `chosen` leads here.
static uint32_t zeros[2 * STREAM_WORDS_MAX + 1];

INSTRUCTION static void zeros_build(void)
{
    zeros[1] = 1;
    for (size_t n = 2; n < sizeof zeros / sizeof zeros[0]; n++)
        zeros[n] = (uint32_t)sum_u64(zeros[n - 1], 0);
}

// The sum of three adjacent streams of `words` words each.
INSTRUCTION static inline uint64_t sum_streams(uint64_t first, const uint8_t *at, size_t words)
{
    const size_t stream_size = words * WORD_SIZE;
    const uint8_t *end = at + stream_size;
    uint64_t second = 0;
    uint64_t third = 0;

    for (; at < end; at += WORD_SIZE) {
        first = sum_u64(first, get_u64(at));
        second = sum_u64(second, get_u64(at + stream_size));
        third = sum_u64(third, get_u64(at + 2 * stream_size));
    }
    first = multiply(first, zeros[2 * words]);
    second = multiply(second, zeros[words]);
    return sum_u64(0, first ^ second) ^ third;
}

INSTRUCTION static uint32_t sum_by_instruction(uint32_t crc, const uint8_t *at, size_t size)
{
    uint64_t sum = crc;

    while (size >= 3 * WORD_SIZE * STREAM_WORDS_MIN) {
        size_t words = size / (3 * WORD_SIZE);

        if (words > STREAM_WORDS_MAX)
            words = STREAM_WORDS_MAX;
        sum = sum_streams(sum, at, words);
        at += 3 * WORD_SIZE * words;
        size -= 3 * WORD_SIZE * words;
    }
    for (; size >= WORD_SIZE; at += WORD_SIZE, size -= WORD_SIZE)
        sum = sum_u64(sum, get_u64(at));
    for (; size > 0; at++, size--)
        sum = sum_u8(sum, *at);
    return (uint32_t)sum;
}

#endif

// --- the choice ---

typedef uint32_t (*sum_fn)(uint32_t crc, const uint8_t *at, size_t size);

static uint32_t choose_and_sum(uint32_t crc, const uint8_t *at, size_t size);

static pthread_once_t choice_once = PTHREAD_ONCE_INIT;

// Stored with release when its tables are complete, loaded with acquire.
static _Atomic(sum_fn) chosen = choose_and_sum;

static void choose(void)
{
#if HAVE_INSTRUCTION
    if (has_instruction()) {
        zeros_build();
        atomic_store_explicit(&chosen, sum_by_instruction, memory_order_release);
        return;
    }
#endif
    pthread_once(&tables_once, tables_build);
    atomic_store_explicit(&chosen, sum_by_table, memory_order_release);
}

static uint32_t choose_and_sum(uint32_t crc, const uint8_t *at, size_t size)
{
    pthread_once(&choice_once, choose);
    return atomic_load_explicit(&chosen, memory_order_acquire)(crc, at, size);
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return ~atomic_load_explicit(&chosen, memory_order_acquire)(~crc, data, size);
}

// --- joining ---

#define POWER_0 0x80000000u // x^0, bit reflected
#define POWER_8 0x00800000u // x^8: what one byte more multiplies a sum by

// The product of two polynomials modulo P.
static uint32_t multiply_sums(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (uint32_t term = POWER_0; term != 0; term >>= 1) {
        if ((a & term) != 0)
            product ^= b;
        b = (b >> 1) ^ ((b & 1) != 0 ? POLYNOMIAL : 0); // times x
    }
    return product;
}

uint32_t crc32c_join(uint32_t first, uint32_t second, size_t size)
{
    for (uint32_t power = POWER_8; size > 0; size >>= 1) {
        if ((size & 1) != 0)
            first = multiply_sums(first, power);
        power = multiply_sums(power, power);
    }
    return first ^ second;
}

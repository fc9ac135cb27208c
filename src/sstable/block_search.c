#include "sstable/block_search.h"

#include "base/alloc.h"
#include "base/coding.h"
#include "base/crc32c.h"

#define WINDOW_SIZE ((size_t)64 << 10)

// Starts are kept in sets, chosen by the number they are found by. The oldest of a full one
// gives way: a file that has more is made to have them.
#define SET_COUNT ((size_t)1 << 14)
#define SET_SIZE  8

struct block_start {
    uint64_t offset; // one before `from` counts as none
    uint32_t key;
};

void block_search_release(struct block_search *search)
{
    lsm_buf_free(&search->window);
    mem_free(search->starts);
    search->starts = NULL;
}

// --- the window ---

static const uint8_t *bytes_at(const struct block_search *search, uint64_t offset)
{
    return (const uint8_t *)search->window.data + (offset - search->window_at);
}

// Has a trailer's bytes at `at` in the window, unless so many are not left.
static lsm_status look(struct block_search *search, bool *are_left)
{
    const uint64_t left = search->at < search->end ? search->end - search->at : 0;
    const uint64_t window_end = search->window_at + search->window.size;
    const size_t size = left < WINDOW_SIZE ? (size_t)left : WINDOW_SIZE;

    *are_left = left >= LAYOUT_TRAILER_SIZE;
    if (!*are_left)
        return LSM_OK;
    if (search->at >= search->window_at && search->at + LAYOUT_TRAILER_SIZE <= window_end)
        return LSM_OK;
    buf_clear(&search->window); // whatever fails, the window holds nothing wrong
    TRY(buf_reserve(&search->window, size));
    TRY(file_read_exact(search->file, search->at, search->window.data, size));
    search->window.size = size;
    search->window_at = search->at;
    search->bytes_read += size;
    return LSM_OK;
}

static void sum_to(struct block_search *search, uint64_t to)
{
    search->sum = crc32c(search->sum, bytes_at(search, search->at), (size_t)(to - search->at));
    search->at = to;
}

// --- trailers ---

// The first place from `from` on in `bytes` that looks like a trailer: known codec, a size, an
// empty tag. `bytes.size` when there is none.
static size_t find_trailer(lsm_slice bytes, size_t from)
{
    static const uint8_t no_tag[LAYOUT_TAG_SIZE];
    const uint8_t *start = bytes.data;

    while (from + LAYOUT_TRAILER_SIZE <= bytes.size) {
        const size_t tag_at = from + LAYOUT_TRAILER_TAG_AT;
        const uint8_t *tag =
            memmem(start + tag_at, bytes.size - tag_at - sizeof(uint32_t), no_tag, sizeof no_tag);

        if (tag == NULL)
            return bytes.size;
        from = (size_t)(tag - start) - LAYOUT_TRAILER_TAG_AT;
        if (start[from] <= CODEC_ZSTD && get_u32(start + from + 1) != 0)
            return from;
        from++;
    }
    return bytes.size;
}

// Moves to the next place that looks like one, if there is one.
static lsm_status next_trailer(struct block_search *search, bool *is_there)
{
    for (;;) {
        size_t found;

        TRY(look(search, is_there));
        if (!*is_there)
            return LSM_OK;
        found =
            find_trailer(slice_of_buf(&search->window), (size_t)(search->at - search->window_at));
        if (found < search->window.size) {
            sum_to(search, search->window_at + found);
            search->candidates++;
            return LSM_OK;
        }
        // One that the window cuts off is seen with the next.
        sum_to(search, search->window_at + search->window.size - LAYOUT_TRAILER_SIZE + 1);
    }
}

// --- starts ---

// What a sum at `offset` is at the end.
static uint32_t key_at(const struct block_search *search, uint64_t offset, uint32_t sum)
{
    return crc32c_join(sum, 0, (size_t)(search->end - offset));
}

static struct block_start *set_of(const struct block_search *search, uint32_t key)
{
    return &search->starts[key % SET_COUNT * SET_SIZE];
}

static void add_start(struct block_search *search, uint64_t offset, uint32_t sum)
{
    const uint32_t key = key_at(search, offset, layout_place_crc(&search->uuid, offset) ^ sum);
    struct block_start *set = set_of(search, key);
    struct block_start *oldest = set;

    for (size_t i = 1; i < SET_SIZE; i++) {
        if (set[i].offset < oldest->offset)
            oldest = &set[i];
    }
    *oldest = (struct block_start){.offset = offset, .key = key};
}

// Whether the trailer at hand, up to whose checksum the sum is `sum`, belongs to a start.
static bool find_start(const struct block_search *search, uint32_t sum, struct block_place *out)
{
    const uint8_t *crc = bytes_at(search, search->at) + LAYOUT_TRAILER_CRC_AT;
    const uint32_t key = key_at(search, search->at + LAYOUT_TRAILER_CRC_AT, get_u32(crc) ^ sum);
    const struct block_start *set = set_of(search, key);

    for (size_t i = 0; i < SET_SIZE; i++) {
        const uint64_t offset = set[i].offset;

        if (set[i].key != key || offset < search->from || offset >= search->at ||
            search->at - offset > search->size_max)
            continue;
        *out = (struct block_place){.offset = offset, .size = (uint32_t)(search->at - offset)};
        return true;
    }
    return false;
}

static lsm_status begin(struct block_search *search, uint64_t from, bool *is_room)
{
    if (search->starts == NULL)
        search->starts = mem_alloc_zeroed(SET_COUNT * SET_SIZE, sizeof *search->starts);
    if (search->starts == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu places", search->file->name, SET_COUNT * SET_SIZE);
    search->from = from;
    search->at = from;
    search->sum = 0;
    TRY(look(search, is_room));
    if (*is_room) {
        add_start(search, from, 0);
        sum_to(search, from + 1); // a block has a byte at least
    }
    return LSM_OK;
}

lsm_status block_search_next(struct block_search *search, uint64_t from, bool *found,
                             struct block_place *out)
{
    bool is_more;

    *found = false;
    TRY(begin(search, from, &is_more));
    while (is_more) {
        const uint8_t *trailer;
        uint32_t sum;

        TRY(next_trailer(search, &is_more));
        if (!is_more)
            break;
        trailer = bytes_at(search, search->at);
        sum = crc32c(search->sum, trailer, LAYOUT_TRAILER_CRC_AT);
        *found = find_start(search, sum, out);
        if (*found)
            break;
        sum = crc32c(sum, trailer + LAYOUT_TRAILER_CRC_AT, sizeof sum);
        add_start(search, search->at + LAYOUT_TRAILER_SIZE, sum);
        sum_to(search, search->at + 1);
    }
    return LSM_OK;
}

// damage_bytes.c -- every byte of every file of a closed database flipped, every file cut to
// each length and made longer.
//
// Round N of SLICES looks at the bytes whose offset is N modulo SLICES, so that SLICES rounds
// see all of them. Headers, footers, the manifest and CURRENT get each of their bits flipped,
// other bytes a random pattern. What must be reported is compared exactly; at the end the
// bytes are listed whose damage nothing reports.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "damage_check.h"

#define SLICES      64
#define HEADER_SIZE 128
#define FOOTER_SIZE 64
#define GARBAGE_MAX 300

struct bytes_test {
    struct campaign campaign;
    struct images images;
    struct image image; // what the env holds
    struct env *env;
    uint64_t cases;
    uint64_t refused;
    uint8_t *silent[IMAGE_FILES_MAX]; // per byte, whether a flip of it was not reported
};

static struct damage_case case_of(struct bytes_test *t)
{
    return (struct damage_case){
        .campaign = &t->campaign,
        .env = t->env,
        .path = DAMAGE_DIR,
        .image = &t->image,
        .wanted = &t->images.newer_answers,
    };
}

// Makes the env and `t->image` what was closed again.
static void reload(struct bytes_test *t)
{
    image_release(&t->image);
    image_copy(&t->images.newer, &t->image);
    image_load(&t->image, t->env, DAMAGE_DIR);
}

static void check(struct bytes_test *t, struct damage_case *c, bool must_report)
{
    bool is_spent;

    t->cases++;
    damage_check(c, &is_spent);
    t->refused += c->is_refused;
    if (must_report && !c->is_reported)
        campaign_violation(&t->campaign, "%s: nothing reports it", c->what);
    if (is_spent)
        reload(t);
}

// --- flips ---

static void write_byte(struct bytes_test *t, size_t index, size_t offset, uint8_t byte)
{
    struct image_file *f = &t->image.files[index];
    struct dir *dir;
    struct file *file;

    f->bytes[offset] = byte;
    must(dir_open(t->env, DAMAGE_DIR, false, &dir));
    must(file_open(dir, f->name, FILE_WRITE, &file));
    must(file_write_one(file, offset, slice_make(&byte, 1)));
    must(file_close(file));
    dir_close(dir);
}

static void flip(struct bytes_test *t, size_t index, size_t offset, uint8_t mask)
{
    const struct image_file *original = &t->images.newer.files[index];
    const bool is_covered = image_is_covered(original->kind);
    const uint8_t byte = original->bytes[offset];
    struct damage_case c = case_of(t);

    (void)snprintf(c.what, sizeof c.what, "%s, offset %zu, mask %02x", original->name, offset,
                   mask);
    write_byte(t, index, offset, byte ^ mask);
    check(t, &c, is_covered);
    if (!c.is_reported)
        t->silent[index][offset] = 1;
    else if (!is_covered)
        campaign_violation(&t->campaign, "%s: is damage of no consequence", c.what);
    else if (strstr(c.words, original->name) == NULL || strstr(c.words, "offset") == NULL)
        campaign_violation(&t->campaign, "%s: told as: %s", c.what, c.words);
    write_byte(t, index, offset, byte);
}

static bool wants_every_bit(const struct image_file *file, size_t offset)
{
    return file->kind == FILENAME_CURRENT || file->kind == FILENAME_MANIFEST ||
           (image_is_covered(file->kind) &&
            (offset < HEADER_SIZE || offset + FOOTER_SIZE >= file->size));
}

static void flip_slice(struct bytes_test *t, size_t index, struct random *random)
{
    const struct image_file *file = &t->images.newer.files[index];

    for (size_t at = t->campaign.round % SLICES; at < file->size; at += SLICES) {
        if (!wants_every_bit(file, at)) {
            flip(t, index, at, (uint8_t)(1 + random_below(random, 255)));
            continue;
        }
        for (unsigned bit = 0; bit < 8; bit++)
            flip(t, index, at, (uint8_t)(1u << bit));
    }
}

// --- lengths ---

// Gives the file other bytes, of another number; `must_report` says whether that is damage.
// The size of a file is told at open, before anything is read or written.
static void replace(struct bytes_test *t, size_t index, const void *bytes, size_t size,
                    const char *how, bool must_report)
{
    const struct image_file *original = &t->images.newer.files[index];
    struct damage_case c = case_of(t);

    (void)snprintf(c.what, sizeof c.what, "%s, %zu bytes, %s %zu", original->name, original->size,
                   how, size);
    image_put(&t->image, original->name, bytes, size);
    image_load(&t->image, t->env, DAMAGE_DIR);
    check(t, &c, must_report);
    if (must_report && !(c.is_reading_refused && c.is_refused))
        campaign_violation(&t->campaign, "%s: opens", c.what);
    reload(t);
}

static void cut_slice(struct bytes_test *t, size_t index)
{
    const struct image_file *file = &t->images.newer.files[index];

    for (size_t size = t->campaign.round % SLICES; size < file->size; size += SLICES)
        replace(t, index, file->bytes, size, "cut to", image_is_covered(file->kind));
}

// What lies behind the final size of a segment that the log has left is nobody's: a crash may
// have kept it from being cut off.
static bool has_open_end(struct bytes_test *t, const struct image_file *file)
{
    return file->kind == FILENAME_SEGMENT && file != image_last(&t->images.newer, FILENAME_SEGMENT);
}

// Behind the end: garbage, zeroes, the file's own last bytes once more.
static void grow(struct bytes_test *t, size_t index, struct random *random)
{
    const struct image_file *file = &t->images.newer.files[index];
    const size_t extra = 1 + (size_t)random_below(random, GARBAGE_MAX);
    uint8_t *bytes = calloc(1, file->size + extra);

    if (bytes == NULL)
        abort();
    memcpy(bytes, file->bytes, file->size);
    if (t->campaign.round % 3 == 0)
        random_fill(random, bytes + file->size, extra);
    else if (t->campaign.round % 3 == 1 && extra <= file->size)
        memcpy(bytes + file->size, file->bytes + file->size - extra, extra);
    replace(t, index, bytes, file->size + extra, "grown to",
            image_is_covered(file->kind) && !has_open_end(t, file));
    free(bytes);
}

// --- what nothing reports ---

static const char *reason_of(enum filename_kind kind)
{
    switch (kind) {
    case FILENAME_LOCK:
        return "its text is for the words of LSM_LOCKED only";
    case FILENAME_OPTIONS:
        return "for people; no open reads it";
    case FILENAME_EVENTS:
        return "for people; nothing reads it";
    default:
        return "must be covered";
    }
}

static void print_silent(const struct bytes_test *t)
{
    printf("bytes whose damage nothing reports, of those flipped:\n");
    for (size_t i = 0; i < t->images.newer.count; i++) {
        const struct image_file *file = &t->images.newer.files[i];
        size_t count = 0;

        for (size_t at = 0; at < file->size; at++)
            count += t->silent[i][at];
        if (count > 0)
            printf("  %-12s %6zu of %zu: %s\n", file->name, count, file->size,
                   reason_of(file->kind));
    }
    printf("  and any behind the final size of a segment but the last: not part of it\n");
}

int main(int argc, char **argv)
{
    struct bytes_test t = {.campaign = campaign_begin("damage_bytes", SLICES, argc, argv)};
    struct random random;
    int code;

    images_build(&t.images);
    must(env_memory_new(&t.env));
    for (size_t i = 0; i < t.images.newer.count; i++)
        t.silent[i] = calloc(1, t.images.newer.files[i].size + 1);
    reload(&t);
    while (campaign_next(&t.campaign, &random)) {
        for (size_t i = 0; i < t.images.newer.count; i++) {
            flip_slice(&t, i, &random);
            cut_slice(&t, i);
            grow(&t, i, &random);
        }
    }
    print_silent(&t);
    printf("%" PRIu64 " of them keep the database from opening\n", t.refused);
    code = campaign_end(&t.campaign, t.cases, "damages");
    for (size_t i = 0; i < t.images.newer.count; i++)
        free(t.silent[i]);
    image_release(&t.image);
    env_memory_free(t.env);
    images_release(&t.images);
    return code;
}

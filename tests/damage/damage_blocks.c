// damage_blocks.c -- blocks and files that are whole, but not the right ones.
//
// A device that loses a write leaves an old block, one that misplaces it leaves a block of
// another place, file or database; a careless restore mixes files of two generations. Each
// round damages the closed database CASES times in ways drawn from its seed. Whatever has
// changed in a file that checksums cover must be reported, or everything must be right.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "damage_check.h"

#define CASES      200
#define DAMAGE_MAX 3

struct blocks_test {
    struct campaign campaign;
    struct random random;
    struct images images;
    struct image image; // being damaged
    struct env *env;
    uint64_t cases;
    uint64_t reported;
    uint64_t unchanged; // came out as it was: not counted as a case
};

enum damage {
    ZERO_BLOCK,
    REPEAT_BLOCK,
    SWAP_BLOCKS,
    BLOCK_OF_ANOTHER_FILE,
    BLOCK_OF_ANOTHER_DATABASE,
    OLD_BLOCK,
    FILE_OF_ANOTHER_NUMBER,
    FILE_OF_ANOTHER_DATABASE,
    OLD_FILE,
    SWAP_FILES,
    DAMAGES,
};

static const char *const damage_names[DAMAGES] = {
    "a block zeroed in",
    "a block repeated in",
    "two blocks swapped in",
    "a block of another file in",
    "a block of another database in",
    "an old block in",
    "another file in place of",
    "another database's file in place of",
    "an old file in place of",
    "another file exchanged with",
};

static struct image_file *any_file(struct blocks_test *t, struct image *image)
{
    struct image_file *file;

    do
        file = &image->files[random_below(&t->random, image->count)];
    while (!image_is_covered(file->kind));
    return file;
}

// A block of a device or of a page, aligned; smaller ones too, as the files are small.
static size_t any_block_size(struct blocks_test *t)
{
    static const size_t sizes[] = {64, 512, 512, 4096};

    return sizes[random_below(&t->random, sizeof sizes / sizeof sizes[0])];
}

static size_t any_block(struct blocks_test *t, const struct image_file *file, size_t size)
{
    return (size_t)random_below(&t->random, file->size / size + 1) * size;
}

// Copies as much of a block as both files have.
static void copy_block(struct image_file *to, size_t at, const struct image_file *from,
                       size_t from_at, size_t size)
{
    if (at >= to->size || from_at >= from->size)
        return;
    if (size > to->size - at)
        size = to->size - at;
    if (size > from->size - from_at)
        size = from->size - from_at;
    memmove(to->bytes + at, from->bytes + from_at, size);
}

static void zero_block(struct image_file *file, size_t at, size_t size)
{
    if (at < file->size)
        memset(file->bytes + at, 0, size < file->size - at ? size : file->size - at);
}

static void swap_blocks(struct image_file *file, size_t at, size_t other_at, size_t size)
{
    for (size_t i = 0; i < size && at + i < file->size && other_at + i < file->size; i++) {
        uint8_t byte = file->bytes[at + i];

        file->bytes[at + i] = file->bytes[other_at + i];
        file->bytes[other_at + i] = byte;
    }
}

static void swap_files(struct image_file *a, struct image_file *b)
{
    uint8_t *bytes = a->bytes;
    size_t size = a->size;

    a->bytes = b->bytes;
    a->size = b->size;
    b->bytes = bytes;
    b->size = size;
}

static struct image_file *file_of_same_kind(struct blocks_test *t, struct image *image,
                                            const struct image_file *as)
{
    struct image_file *file;

    do
        file = any_file(t, image);
    while (file->kind != as->kind);
    return file;
}

static void replace_file(struct blocks_test *t, struct image_file *file,
                         const struct image_file *by)
{
    if (by != NULL)
        image_put(&t->image, file->name, by->bytes, by->size);
}

static void damage_block(struct blocks_test *t, enum damage damage, struct image_file *file)
{
    const size_t size = any_block_size(t);
    const size_t at = any_block(t, file, size);
    const struct image_file *from = file;

    if (damage == BLOCK_OF_ANOTHER_FILE)
        from = any_file(t, &t->image);
    else if (damage == BLOCK_OF_ANOTHER_DATABASE)
        from = image_find(&t->images.other, file->name);
    else if (damage == OLD_BLOCK)
        from = image_find(&t->images.older, file->name);
    if (damage == ZERO_BLOCK)
        zero_block(file, at, size);
    else if (damage == SWAP_BLOCKS)
        swap_blocks(file, at, any_block(t, file, size), size);
    else if (damage == OLD_BLOCK && from != NULL)
        copy_block(file, at, from, at, size);
    else if (from != NULL)
        copy_block(file, at, from, random_one_in(&t->random, 2) ? at : any_block(t, from, size),
                   size);
}

static void damage_once(struct blocks_test *t, struct damage_case *c)
{
    const enum damage damage = (enum damage)random_below(&t->random, DAMAGES);
    struct image_file *file = any_file(t, &t->image);
    const size_t used = strlen(c->what);

    (void)snprintf(c->what + used, sizeof c->what - used, "%s%s %s", used == 0 ? "" : ", ",
                   damage_names[damage], file->name);
    switch (damage) {
    case FILE_OF_ANOTHER_NUMBER:
        replace_file(t, file, file_of_same_kind(t, &t->image, file));
        break;
    case FILE_OF_ANOTHER_DATABASE:
        replace_file(t, file, image_find(&t->images.other, file->name));
        break;
    case OLD_FILE:
        replace_file(t, file, image_find(&t->images.older, file->name));
        break;
    case SWAP_FILES:
        swap_files(file, file_of_same_kind(t, &t->image, file));
        break;
    default:
        damage_block(t, damage, file);
    }
}

static bool is_as_closed(const struct blocks_test *t)
{
    for (size_t i = 0; i < t->image.count; i++) {
        const struct image_file *file = &t->image.files[i];
        const struct image_file *was = &t->images.newer.files[i];

        if (file->size != was->size || memcmp(file->bytes, was->bytes, file->size) != 0)
            return false;
    }
    return true;
}

static void run_case(struct blocks_test *t)
{
    const uint64_t count = 1 + random_below(&t->random, DAMAGE_MAX);
    struct damage_case c = {.campaign = &t->campaign,
                            .env = t->env,
                            .path = DAMAGE_DIR,
                            .image = &t->image,
                            .wanted = &t->images.newer_answers};
    bool is_spent;

    image_release(&t->image);
    image_copy(&t->images.newer, &t->image);
    for (uint64_t i = 0; i < count; i++)
        damage_once(t, &c);
    if (is_as_closed(t)) {
        t->unchanged++;
        return;
    }
    image_load(&t->image, t->env, DAMAGE_DIR);
    damage_check(&c, &is_spent);
    t->cases++;
    t->reported += c.is_reported;
    if (!c.is_reported)
        campaign_violation(&t->campaign, "%s: nothing reports it", c.what);
}

// --- two generations ---

// Any mixture of the files of two generations is the one, the other, or refused.
static void run_mixture(struct blocks_test *t)
{
    struct damage_case c = {.campaign = &t->campaign,
                            .env = t->env,
                            .path = DAMAGE_DIR,
                            .image = &t->image,
                            .wanted = &t->images.newer_answers,
                            .or_wanted = &t->images.older_answers,
                            .what = "of the older generation:"};
    bool is_spent;

    image_release(&t->image);
    image_copy(&t->images.newer, &t->image);
    for (size_t i = 0; i < t->images.older.count; i++) {
        const struct image_file *file = &t->images.older.files[i];
        const size_t used = strlen(c.what);

        if (random_one_in(&t->random, 2))
            continue;
        image_put(&t->image, file->name, file->bytes, file->size);
        (void)snprintf(c.what + used, sizeof c.what - used, " %s", file->name);
    }
    image_load(&t->image, t->env, DAMAGE_DIR);
    damage_check(&c, &is_spent);
    t->cases++;
    t->reported += c.is_reported;
}

int main(int argc, char **argv)
{
    struct blocks_test t = {.campaign = campaign_begin("damage_blocks", 100, argc, argv)};
    int code;

    images_build(&t.images);
    must(env_memory_new(&t.env));
    while (campaign_next(&t.campaign, &t.random)) {
        for (int i = 0; i < CASES; i++)
            run_case(&t);
        for (int i = 0; i < CASES / 10; i++)
            run_mixture(&t);
    }
    printf("%" PRIu64 " of them reported, %" PRIu64 " changed nothing\n", t.reported, t.unchanged);
    code = campaign_end(&t.campaign, t.cases, "damages");
    image_release(&t.image);
    env_memory_free(t.env);
    images_release(&t.images);
    return code;
}

#include "damage_image.h"

#include <stdio.h>
#include <stdlib.h>

#include "db/db.h"

void must(lsm_status status)
{
    if (status == LSM_OK)
        return;
    fprintf(stderr, "damage: %s: %s\n", lsm_status_name(status), lsm_errmsg());
    abort();
}

static void *must_copy(const void *bytes, size_t size)
{
    void *copy = malloc(size + 1);

    if (copy == NULL)
        abort();
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

// --- what is written ---

void image_options(struct lsm_options *options, struct env *env)
{
    options_init(options);
    options->env = env;
    options->is_manual = true;
    options->create_if_missing = false;
    options->memtable_size = 64 << 10;
    options->cache_size = 1 << 20;
    options->table_size = 16 << 10;
    options->block_size = 512;
    options->compressed_block_size = 1024;
    options->conflict_history_size = 64 << 10;
    options->segment_size_max = 1 << 20;
    options->value_threshold = 128;
    options->compression = 3;
    options->compression_upper = 0;
    options->level0_trigger = 8;
}

const char *image_keyspace(unsigned index)
{
    static const char *const names[IMAGE_KEYSPACES] = {"default", "people", "things"};

    return names[index];
}

lsm_slice image_key(unsigned index, char text[16])
{
    if (index == 0)
        return slice_make(text, 0);
    return slice_make(text, (size_t)snprintf(text, 16, "key-%02u", index));
}

unsigned image_key_index(lsm_slice key)
{
    char text[16] = "";
    unsigned index = 0;

    if (key.size == 0)
        return 0;
    memcpy(text, key.data, key.size < sizeof text ? key.size : sizeof text - 1);
    return sscanf(text, "key-%u", &index) == 1 && index < IMAGE_KEYS ? index : IMAGE_KEYS;
}

// Every third value is large enough to be separated; all but the number compresses well.
size_t image_value(unsigned number, unsigned key, uint8_t to[IMAGE_VALUE_ROOM])
{
    const size_t size = (number + key) % 3 == 0 ? 140 + key : 24 + key;

    memset(to, (int)('a' + key), size);
    (void)snprintf((char *)to, size, "%06u of %02u", number, key);
    return size;
}

struct builder {
    lsm_db *db;
    lsm_keyspace *keyspaces[IMAGE_KEYSPACES];
    struct answers *answers;
    unsigned number; // of the last value
};

static void builder_open(struct builder *b, struct env *env)
{
    struct lsm_options options;

    image_options(&options, env);
    options.create_if_missing = true;
    must(lsm_open(DAMAGE_DIR, &options, &b->db));
    for (unsigned i = 0; i < IMAGE_KEYSPACES; i++)
        must(lsm_keyspace_open(b->db, image_keyspace(i), true, NULL, &b->keyspaces[i]));
}

static void builder_close(struct builder *b)
{
    for (unsigned i = 0; i < IMAGE_KEYSPACES; i++)
        lsm_keyspace_close(b->keyspaces[i]);
    must(lsm_close(b->db));
}

static void builder_put(struct builder *b, unsigned keyspace, unsigned key)
{
    uint8_t value[IMAGE_VALUE_ROOM];
    size_t size = image_value(++b->number, key, value);
    char text[16];

    must(lsm_put(b->db, b->keyspaces[keyspace], image_key(key, text), slice_make(value, size),
                 NULL));
    b->answers->numbers[keyspace][key] = b->number;
}

static void builder_delete(struct builder *b, unsigned keyspace, unsigned key)
{
    char text[16];

    must(lsm_delete(b->db, b->keyspaces[keyspace], image_key(key, text), NULL));
    b->answers->numbers[keyspace][key] = 0;
}

// Tables at the bottom, compressed, and at level 0; values in several segments; a log.
static void build_older(struct builder *b, struct env *env)
{
    builder_open(b, env);
    for (unsigned key = 0; key < IMAGE_KEYS - 4; key++) {
        for (unsigned i = 0; i < IMAGE_KEYSPACES; i++)
            builder_put(b, i, key);
    }
    builder_delete(b, 0, 3);
    must(lsm_flush(b->db));
    builder_put(b, 1, 2);
    must(lsm_compact_range(b->db, NULL, NULL, NULL));
    builder_close(b);
    builder_open(b, env);
    for (unsigned key = 5; key < IMAGE_KEYS; key += 4)
        builder_put(b, key % IMAGE_KEYSPACES, key);
    builder_delete(b, 1, 6);
    must(lsm_flush(b->db));
    builder_put(b, 0, 0);
    builder_put(b, 2, 7);
    builder_close(b);
}

static void build_newer(struct builder *b, struct env *env)
{
    builder_open(b, env);
    for (unsigned key = 1; key < IMAGE_KEYS; key += 5)
        builder_put(b, 0, key);
    builder_delete(b, 0, 8);
    builder_delete(b, 2, 9);
    must(lsm_flush(b->db));
    builder_put(b, 1, 11);
    builder_delete(b, 0, 12);
    builder_close(b);
    builder_open(b, env);
    builder_put(b, 2, 4);
    builder_delete(b, 1, 13);
    builder_put(b, 0, 10);
    builder_close(b);
}

void images_build(struct images *images)
{
    struct builder b = {.answers = &images->newer_answers};
    struct env *env;

    *images = (struct images){.older = {.count = 0}};
    must(env_memory_new(&env));
    build_older(&b, env);
    image_read(env, DAMAGE_DIR, &images->older);
    images->older_answers = images->newer_answers;
    build_newer(&b, env);
    image_read(env, DAMAGE_DIR, &images->newer);
    env_memory_free(env);

    b = (struct builder){.answers = &images->other_answers, .number = 5000};
    must(env_memory_new(&env));
    build_older(&b, env);
    build_newer(&b, env);
    image_read(env, DAMAGE_DIR, &images->other);
    env_memory_free(env);
}

void images_release(struct images *images)
{
    image_release(&images->older);
    image_release(&images->newer);
    image_release(&images->other);
}

// --- images ---

struct image_file *image_find(struct image *image, const char *name)
{
    for (size_t i = 0; i < image->count; i++) {
        if (strcmp(image->files[i].name, name) == 0)
            return &image->files[i];
    }
    return NULL;
}

struct image_file *image_last(struct image *image, enum filename_kind kind)
{
    for (size_t i = image->count; i-- > 0;) {
        if (image->files[i].kind == kind)
            return &image->files[i];
    }
    return NULL;
}

void image_put(struct image *image, const char *name, const void *bytes, size_t size)
{
    struct image_file *file = image_find(image, name);
    uint8_t *copy = must_copy(bytes, size); // they may be the file's own
    uint64_t number;

    if (file == NULL) {
        if (image->count == IMAGE_FILES_MAX)
            abort();
        file = &image->files[image->count++];
        *file = (struct image_file){.kind = filename_parse(name, &number)};
        (void)snprintf(file->name, sizeof file->name, "%s", name);
    }
    free(file->bytes);
    file->bytes = copy;
    file->size = size;
}

void image_remove(struct image *image, const char *name)
{
    struct image_file *file = image_find(image, name);

    free(file->bytes);
    for (image->count--; file < &image->files[image->count]; file++)
        file[0] = file[1];
}

void image_release(struct image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->files[i].bytes);
    image->count = 0;
}

void image_copy(const struct image *image, struct image *out)
{
    *out = (struct image){.count = 0};
    for (size_t i = 0; i < image->count; i++)
        image_put(out, image->files[i].name, image->files[i].bytes, image->files[i].size);
}

static int compare_files(const void *left, const void *right)
{
    return strcmp(((const struct image_file *)left)->name,
                  ((const struct image_file *)right)->name);
}

struct reading {
    struct dir *dir;
    struct image *image;
};

static lsm_status read_file(void *ctx, const char *name, uint64_t file_size, bool is_regular)
{
    const struct reading *reading = ctx;
    const size_t size = (size_t)file_size;
    struct file *file;
    uint8_t *bytes = malloc(size + 1);

    (void)is_regular;
    must(file_open(reading->dir, name, FILE_READ, &file));
    must(file_read_exact(file, 0, bytes, size));
    must(file_close(file));
    image_put(reading->image, name, bytes, size);
    free(bytes);
    return LSM_OK;
}

void image_read(struct env *env, const char *path, struct image *out)
{
    struct reading reading = {.image = out};

    *out = (struct image){.count = 0};
    must(dir_open(env, path, false, &reading.dir));
    must(dir_list(reading.dir, read_file, &reading));
    dir_close(reading.dir);
    qsort(out->files, out->count, sizeof out->files[0], compare_files);
}

static lsm_status unlink_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    (void)size;
    (void)is_regular;
    return file_unlink(ctx, name);
}

void image_load(const struct image *image, struct env *env, const char *path)
{
    struct dir *dir;
    struct file *file;

    must(dir_open(env, path, true, &dir));
    must(dir_list(dir, unlink_file, dir));
    for (size_t i = 0; i < image->count; i++) {
        const struct image_file *f = &image->files[i];

        must(file_open(dir, f->name, FILE_CREATE, &file));
        must(file_write_one(file, 0, slice_make(f->bytes, f->size)));
        must(file_close(file));
    }
    dir_close(dir);
}

static bool may_change(enum filename_kind kind)
{
    return kind == FILENAME_LOCK || kind == FILENAME_EVENTS;
}

bool image_is_unchanged(const struct image *image, struct env *env, const char *path)
{
    struct image now;
    bool is_same = true;
    size_t found = 0, wanted = 0;

    image_read(env, path, &now);
    for (size_t i = 0; i < image->count; i++)
        wanted += !may_change(image->files[i].kind);
    for (size_t i = 0; i < now.count && is_same; i++) {
        const struct image_file *file = &now.files[i];
        const struct image_file *was = image_find((struct image *)image, file->name);

        if (may_change(file->kind))
            continue;
        found++;
        is_same = was != NULL && was->size == file->size &&
                  memcmp(was->bytes, file->bytes, file->size) == 0;
    }
    image_release(&now);
    return is_same && found == wanted;
}

bool image_is_covered(enum filename_kind kind)
{
    return kind == FILENAME_CURRENT || kind == FILENAME_MANIFEST || kind == FILENAME_SEGMENT ||
           kind == FILENAME_TABLE;
}

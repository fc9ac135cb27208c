// damage_image.h -- closed databases as plain bytes, to be damaged.
//
// An image is every file of a directory. It is loaded into an env in memory, changed there
// byte by byte, opened, and compared with the image again.

#ifndef LSM_TESTS_DAMAGE_IMAGE_H
#define LSM_TESTS_DAMAGE_IMAGE_H

#include "db/options.h"
#include "env/env.h"
#include "env/filename.h"

#define DAMAGE_DIR       "/db"
#define IMAGE_FILES_MAX  32
#define IMAGE_NAME_SIZE  48
#define IMAGE_KEYSPACES  3
#define IMAGE_KEYS       24
#define IMAGE_VALUE_ROOM 512

struct image_file {
    char name[IMAGE_NAME_SIZE];
    enum filename_kind kind;
    uint8_t *bytes;
    size_t size;
};

struct image {
    struct image_file files[IMAGE_FILES_MAX];
    size_t count;
};

// What a database answers to everything: per keyspace and key a number that makes its value,
// or 0 for none.
struct answers {
    unsigned numbers[IMAGE_KEYSPACES][IMAGE_KEYS];
};

// Three closed databases: `older` and `newer` are two generations of one, `other` is another
// with files of the same names.
struct images {
    struct image older, newer, other;
    struct answers older_answers, newer_answers, other_answers;
};

// Makes them; whatever fails ends the program. Released by images_release().
void images_build(struct images *images);
void images_release(struct images *images);

// The options that all of them are opened with, in `env`.
void image_options(struct lsm_options *options, struct env *env);

const char *image_keyspace(unsigned index);         // its name
lsm_slice image_key(unsigned index, char text[16]); // 0 is the empty key
unsigned image_key_index(lsm_slice key);            // IMAGE_KEYS when it is none of them
// Writes the value that `number` makes for the key; returns its size.
size_t image_value(unsigned number, unsigned key, uint8_t to[IMAGE_VALUE_ROOM]);

void image_read(struct env *env, const char *path, struct image *out);
void image_release(struct image *image);
void image_copy(const struct image *image, struct image *out);
struct image_file *image_find(struct image *image, const char *name);
// The last file of the kind.
struct image_file *image_last(struct image *image, enum filename_kind kind);
// Adds or replaces a file.
void image_put(struct image *image, const char *name, const void *bytes, size_t size);
void image_remove(struct image *image, const char *name);

// Makes the directory at `path` hold exactly the image.
void image_load(const struct image *image, struct env *env, const char *path);
// Whether it does still, but for what each open of a directory may write: LOCK, EVENTS.log.
bool image_is_unchanged(const struct image *image, struct env *env, const char *path);

// Files on which no answer depends, and which no checksum covers.
bool image_is_covered(enum filename_kind kind);

// Ends the program with the words of the last failure unless `status` is LSM_OK.
void must(lsm_status status);

#endif

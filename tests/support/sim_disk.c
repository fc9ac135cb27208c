#include "support/sim_disk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/random.h"

#define SECTOR_SIZE 512

// --- memory that cannot run out ---

static void *must_resize(void *block, size_t size)
{
    void *resized = realloc(block, size > 0 ? size : 1);

    if (resized == NULL) {
        fprintf(stderr, "sim: out of memory, %zu bytes\n", size);
        abort();
    }
    return resized;
}

static void *must_zeroed(size_t size)
{
    return memset(must_resize(NULL, size), 0, size);
}

static void *must_copy(const void *data, size_t size)
{
    void *copy = must_resize(NULL, size);

    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

static char *must_copy_text(const char *text)
{
    return must_copy(text, strlen(text) + 1);
}

// `array` with room for an element more than the `count` it has.
static void *grow(void *array, size_t count, size_t *capacity, size_t element_size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 4 : *capacity * 2;
    return must_resize(array, *capacity * element_size);
}

// The address of a new last element.
#define APPEND(array, count, capacity)                                                             \
    ((array) = grow((array), (count), &(capacity), sizeof *(array)), &(array)[(count)++])

// --- bytes ---

// Growing fills with zeroes.
static void bytes_resize(struct bytes *bytes, size_t size)
{
    if (size > bytes->capacity) {
        bytes->capacity = size > bytes->capacity * 2 ? size : bytes->capacity * 2;
        bytes->data = must_resize(bytes->data, bytes->capacity);
    }
    if (size > bytes->size)
        memset(bytes->data + bytes->size, 0, size - bytes->size);
    bytes->size = size;
}

static void bytes_write(struct bytes *bytes, size_t offset, const void *data, size_t size)
{
    if (size == 0)
        return;
    if (offset + size > bytes->size)
        bytes_resize(bytes, offset + size);
    memcpy(bytes->data + offset, data, size);
}

static void bytes_copy(const struct bytes *from, struct bytes *to)
{
    bytes_resize(to, from->size);
    if (from->size > 0)
        memcpy(to->data, from->data, from->size);
}

static void bytes_apply(struct bytes *bytes, const struct byte_change *change)
{
    switch (change->kind) {
    case CHANGE_WRITE:
        bytes_write(bytes, change->offset, change->data, change->size);
        break;
    case CHANGE_RESIZE:
        bytes_resize(bytes, change->offset);
        break;
    case CHANGE_EXTEND:
        if (change->offset > bytes->size)
            bytes_resize(bytes, change->offset);
        break;
    }
}

// --- inodes ---

static struct inode *inode_new(struct disk *disk)
{
    struct inode **at = &disk->inodes;

    // Last, so that a copy of the disk has them in the same order.
    while (*at != NULL)
        at = &(*at)->next;
    *at = must_zeroed(sizeof **at);
    return *at;
}

static void clear_changes(struct inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++)
        free(inode->changes[i].data);
    inode->change_count = 0;
}

static void inode_free(struct inode *inode)
{
    clear_changes(inode);
    free(inode->changes);
    free(inode->live.data);
    free(inode->durable.data);
    free(inode);
}

static void inode_change(struct inode *inode, struct byte_change change)
{
    bytes_apply(&inode->live, &change);
    if (change.kind == CHANGE_WRITE)
        change.data = must_copy(change.data, change.size);
    *APPEND(inode->changes, inode->change_count, inode->change_capacity) = change;
}

void inode_write(struct inode *inode, uint64_t offset, const void *data, size_t size)
{
    inode_change(
        inode, (struct byte_change){
                   .kind = CHANGE_WRITE, .offset = offset, .data = (uint8_t *)data, .size = size});
}

void inode_resize(struct inode *inode, uint64_t size)
{
    inode_change(inode, (struct byte_change){.kind = CHANGE_RESIZE, .offset = size});
}

void inode_extend(struct inode *inode, uint64_t size)
{
    inode_change(inode, (struct byte_change){.kind = CHANGE_EXTEND, .offset = size});
}

void inode_sync(struct inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++)
        bytes_apply(&inode->durable, &inode->changes[i]);
    clear_changes(inode);
}

void inode_lose_changes(struct inode *inode)
{
    clear_changes(inode);
}

bool inode_is_durable(const struct inode *inode, uint64_t size)
{
    for (size_t i = 0; i < inode->change_count; i++) {
        const struct byte_change *change = &inode->changes[i];

        if (change->kind != CHANGE_EXTEND && change->offset < size)
            return false;
    }
    return inode->live.size >= size && inode->durable.size >= size &&
           (size == 0 || memcmp(inode->live.data, inode->durable.data, size) == 0);
}

void inode_flip(struct inode *inode, uint64_t offset, uint8_t mask)
{
    assert(inode->open_count == 0 && offset < inode->durable.size);
    inode->durable.data[offset] ^= mask;
    if (offset < inode->live.size)
        inode->live.data[offset] ^= mask;
}

void inode_cut(struct inode *inode, uint64_t size)
{
    assert(inode->open_count == 0 && size <= inode->durable.size);
    bytes_resize(&inode->durable, size);
    if (size < inode->live.size)
        bytes_resize(&inode->live, size);
}

// --- names ---

static size_t entry_index(const struct entry_list *list, const char *name)
{
    size_t i = 0;

    while (i < list->count && strcmp(list->items[i].name, name) != 0)
        i++;
    return i;
}

static struct inode *entry_get(const struct entry_list *list, const char *name)
{
    size_t i = entry_index(list, name);

    return i < list->count ? list->items[i].inode : NULL;
}

static void entry_set(struct entry_list *list, const char *name, struct inode *inode)
{
    size_t i = entry_index(list, name);

    if (i == list->count) {
        struct dir_entry *entry = APPEND(list->items, list->count, list->capacity);

        entry->name = must_copy_text(name);
    }
    list->items[i].inode = inode;
}

// Removes the name if it is the inode's.
static void entry_remove(struct entry_list *list, const char *name, const struct inode *inode)
{
    size_t i = entry_index(list, name);

    if (i == list->count || list->items[i].inode != inode)
        return;
    free(list->items[i].name);
    list->items[i] = list->items[--list->count];
}

static void entries_clear(struct entry_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].name);
    list->count = 0;
}

static void entries_apply(struct entry_list *list, const struct name_change *change)
{
    switch (change->kind) {
    case CHANGE_CREATE:
        entry_set(list, change->name, change->inode);
        break;
    case CHANGE_RENAME:
        entry_remove(list, change->name, change->inode);
        entry_set(list, change->to, change->inode);
        break;
    case CHANGE_UNLINK:
        entry_remove(list, change->name, change->inode);
        break;
    }
}

static void clear_name_changes(struct directory *directory)
{
    for (size_t i = 0; i < directory->change_count; i++) {
        free(directory->changes[i].name);
        free(directory->changes[i].to);
    }
    directory->change_count = 0;
}

static void name_change(struct directory *directory, enum name_change_kind kind, const char *name,
                        const char *to, struct inode *inode)
{
    struct name_change *change =
        APPEND(directory->changes, directory->change_count, directory->change_capacity);

    *change = (struct name_change){.kind = kind,
                                   .name = must_copy_text(name),
                                   .to = to == NULL ? NULL : must_copy_text(to),
                                   .inode = inode};
    entries_apply(&directory->live, change);
}

struct inode *directory_lookup(const struct directory *directory, const char *name)
{
    return entry_get(&directory->live, name);
}

struct inode *directory_lookup_durable(const struct directory *directory, const char *name)
{
    return entry_get(&directory->durable, name);
}

bool directory_name_is_durable(const struct directory *directory, const char *name)
{
    for (size_t i = 0; i < directory->change_count; i++) {
        const struct name_change *change = &directory->changes[i];

        if (strcmp(change->name, name) == 0 ||
            (change->to != NULL && strcmp(change->to, name) == 0))
            return false;
    }
    return directory_lookup_durable(directory, name) != NULL;
}

struct inode *directory_create(struct disk *disk, struct directory *directory, const char *name)
{
    struct inode *inode = inode_new(disk);

    name_change(directory, CHANGE_CREATE, name, NULL, inode);
    return inode;
}

void directory_rename(struct directory *directory, const char *from, const char *to)
{
    if (strcmp(from, to) != 0)
        name_change(directory, CHANGE_RENAME, from, to, directory_lookup(directory, from));
}

void directory_unlink(struct directory *directory, const char *name)
{
    name_change(directory, CHANGE_UNLINK, name, NULL, directory_lookup(directory, name));
}

void directory_sync(struct directory *directory)
{
    for (size_t i = 0; i < directory->change_count; i++)
        entries_apply(&directory->durable, &directory->changes[i]);
    clear_name_changes(directory);
}

// --- directories ---

char *disk_canonical_path(const char *path)
{
    char *canonical = must_zeroed(strlen(path) + 1);
    size_t size = 0;

    while (*path != '\0') {
        size_t name_size = strcspn(path, "/");

        if (name_size == 2 && memcmp(path, "..", 2) == 0) {
            free(canonical);
            return NULL;
        }
        if (name_size > 0 && !(name_size == 1 && *path == '.')) {
            if (size > 0)
                canonical[size++] = '/';
            memcpy(canonical + size, path, name_size);
            size += name_size;
        }
        path += name_size;
        path += *path == '/';
    }
    canonical[size] = '\0';
    return canonical;
}

struct directory *disk_find(struct disk *disk, const char *path)
{
    struct directory *directory = disk->directories;

    while (directory != NULL && strcmp(directory->path, path) != 0)
        directory = directory->next;
    return directory;
}

static struct directory *directory_new(struct disk *disk, const char *path)
{
    struct directory **at = &disk->directories;

    while (*at != NULL)
        at = &(*at)->next;
    *at = must_zeroed(sizeof **at);
    (*at)->path = must_copy_text(path);
    return *at;
}

static void directory_free(struct directory *directory)
{
    entries_clear(&directory->live);
    entries_clear(&directory->durable);
    clear_name_changes(directory);
    free(directory->live.items);
    free(directory->durable.items);
    free(directory->changes);
    free(directory->path);
    free(directory);
}

// The path of the directory that holds `path`, to be freed, and its last name.
static char *split_path(const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');
    char *parent = must_copy_text(path);

    parent[slash == NULL ? 0 : slash - path] = '\0';
    *name = slash == NULL ? path : slash + 1;
    return parent;
}

bool disk_names_file(struct disk *disk, const char *path)
{
    const char *name;
    char *parent_path;
    struct directory *parent;
    bool is_file;

    if (disk_find(disk, path) != NULL)
        return false;
    parent_path = split_path(path, &name);
    parent = disk_find(disk, parent_path);
    is_file = parent != NULL ? directory_lookup(parent, name) != NULL
                             : disk_names_file(disk, parent_path);
    free(parent_path);
    return is_file;
}

struct directory *disk_make(struct disk *disk, const char *path)
{
    const char *name;
    char *parent_path;

    if (disk_find(disk, path) != NULL)
        return disk_find(disk, path);
    if (disk_names_file(disk, path))
        return NULL;
    parent_path = split_path(path, &name);
    (void)disk_make(disk, parent_path); // no file is in its way either
    free(parent_path);
    return directory_new(disk, path);
}

// The name of `child` in `directory`, or NULL when it is not directly in it.
static const char *subdirectory_name(const struct directory *directory,
                                     const struct directory *child)
{
    size_t size = strlen(directory->path);
    const char *name = child->path;

    if (child == directory || strncmp(name, directory->path, size) != 0)
        return NULL;
    name += size;
    if (size > 0 && *name++ != '/')
        return NULL;
    return *name == '\0' || strchr(name, '/') != NULL ? NULL : name;
}

bool directory_has_subdirectory(struct disk *disk, const struct directory *directory,
                                const char *name)
{
    for (const struct directory *child = disk->directories; child != NULL; child = child->next) {
        const char *child_name = subdirectory_name(directory, child);

        if (child_name != NULL && strcmp(child_name, name) == 0)
            return true;
    }
    return false;
}

static void listing_add(struct listing *listing, const char *name, uint64_t size, bool is_file)
{
    *APPEND(listing->items, listing->count, listing->capacity) =
        (struct listed){.name = must_copy_text(name), .size = size, .is_file = is_file};
}

void directory_list(struct disk *disk, const struct directory *directory, struct listing *out)
{
    for (size_t i = 0; i < directory->live.count; i++) {
        const struct dir_entry *entry = &directory->live.items[i];

        listing_add(out, entry->name, entry->inode->live.size, true);
    }
    for (const struct directory *child = disk->directories; child != NULL; child = child->next) {
        const char *name = subdirectory_name(directory, child);

        if (name != NULL)
            listing_add(out, name, 0, false);
    }
}

void listing_release(struct listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->items[i].name);
    free(listing->items);
}

// --- the whole disk ---

void disk_init(struct disk *disk)
{
    *disk = (struct disk){0};
    (void)directory_new(disk, "");
}

void disk_release(struct disk *disk)
{
    while (disk->directories != NULL) {
        struct directory *directory = disk->directories;

        disk->directories = directory->next;
        directory_free(directory);
    }
    while (disk->inodes != NULL) {
        struct inode *inode = disk->inodes;

        disk->inodes = inode->next;
        inode_free(inode);
    }
}

static void reach(const struct entry_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        list->items[i].inode->is_reached = true;
}

void disk_collect(struct disk *disk)
{
    struct inode **at = &disk->inodes;

    for (struct directory *d = disk->directories; d != NULL; d = d->next) {
        reach(&d->live);
        reach(&d->durable);
        for (size_t i = 0; i < d->change_count; i++)
            d->changes[i].inode->is_reached = true;
    }
    while (*at != NULL) {
        struct inode *inode = *at;

        if (inode->is_reached || inode->open_count > 0) {
            inode->is_reached = false;
            at = &inode->next;
        } else {
            *at = inode->next;
            inode_free(inode);
        }
    }
}

static void copy_inode(struct inode *from, struct disk *to)
{
    struct inode *copy = inode_new(to);

    from->copy = copy;
    bytes_copy(&from->live, &copy->live);
    bytes_copy(&from->durable, &copy->durable);
    for (size_t i = 0; i < from->change_count; i++) {
        struct byte_change change = from->changes[i];

        if (change.kind == CHANGE_WRITE)
            change.data = must_copy(change.data, change.size);
        *APPEND(copy->changes, copy->change_count, copy->change_capacity) = change;
    }
}

static void copy_entries(const struct entry_list *from, struct entry_list *to)
{
    for (size_t i = 0; i < from->count; i++)
        entry_set(to, from->items[i].name, from->items[i].inode->copy);
}

void disk_copy(const struct disk *disk, struct disk *to)
{
    *to = (struct disk){0};
    for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next)
        copy_inode(inode, to);
    for (struct directory *d = disk->directories; d != NULL; d = d->next) {
        struct directory *copy = directory_new(to, d->path);

        for (size_t i = 0; i < d->change_count; i++)
            name_change(copy, d->changes[i].kind, d->changes[i].name, d->changes[i].to,
                        d->changes[i].inode->copy);
        // Not what these changes make of an empty directory.
        entries_clear(&copy->live);
        copy_entries(&d->live, &copy->live);
        copy_entries(&d->durable, &copy->durable);
    }
    disk_collect(to); // unlinked files that only handles kept
}

// --- what survives ---

// Whole words at a time, for it may be a preallocated file.
static void fill_with_garbage(uint8_t *to, size_t size, struct random *random)
{
    while (size > 0) {
        uint64_t word = random_next(random);
        size_t n = size < sizeof word ? size : sizeof word;

        memcpy(to, &word, n);
        to += n;
        size -= n;
    }
}

// Fills what `bytes` gains up to `size` with zeroes or with whatever the device
// had there.
static void survive_extension(struct bytes *bytes, size_t size, struct random *random)
{
    size_t before = bytes->size;

    if (size <= before)
        return;
    bytes_resize(bytes, size);
    if (random_one_in(random, 2))
        fill_with_garbage(bytes->data + before, size - before, random);
}

// A write of which a part reaches the device: up to any byte, or any sectors of
// it. The size may have changed without the bytes.
static void survive_torn(struct bytes *bytes, const struct byte_change *write,
                         struct random *random)
{
    size_t at = 0;

    if (random_one_in(random, 2))
        survive_extension(bytes, write->offset + write->size, random);
    if (random_one_in(random, 2)) {
        bytes_write(bytes, write->offset, write->data,
                    (size_t)random_below(random, write->size + 1));
        return;
    }
    while (at < write->size) {
        size_t size = SECTOR_SIZE - (write->offset + at) % SECTOR_SIZE;

        if (size > write->size - at)
            size = write->size - at;
        if (random_one_in(random, 2))
            bytes_write(bytes, write->offset + at, write->data + at, size);
        at += size;
    }
}

static void survive_change(struct bytes *bytes, const struct byte_change *change,
                           struct random *random)
{
    switch (random_below(random, 3)) {
    case 0:
        return;
    case 1:
        bytes_apply(bytes, change);
        return;
    }
    if (change->kind == CHANGE_WRITE)
        survive_torn(bytes, change, random);
    else if (change->kind == CHANGE_RESIZE && change->offset <= bytes->size)
        bytes_resize(bytes, change->offset);
    else
        survive_extension(bytes, change->offset, random);
}

// How many of `count` changes survive from the first on; any subset of the rest
// may. One time in four each it is none and all, however many there are.
static size_t survive_prefix(enum sim_survival survival, size_t count, struct random *random)
{
    switch (survival) {
    case SIM_NONE:
        return 0;
    case SIM_ALL:
        return count;
    case SIM_PREFIX:
        return (size_t)random_below(random, count + 1);
    case SIM_RANDOM:
        break;
    }
    return random_one_in(random, 4) ? count : 0;
}

static void survive_bytes(struct inode *inode, enum sim_survival survival, struct random *random)
{
    size_t kept = survive_prefix(survival, inode->change_count, random);
    bool any_of_rest = survival == SIM_RANDOM && !random_one_in(random, 3);

    for (size_t i = 0; i < inode->change_count; i++) {
        if (i < kept)
            bytes_apply(&inode->durable, &inode->changes[i]);
        else if (any_of_rest)
            survive_change(&inode->durable, &inode->changes[i], random);
    }
    clear_changes(inode);
    bytes_copy(&inode->durable, &inode->live);
}

static void survive_names(struct directory *d, enum sim_survival survival, struct random *random)
{
    size_t kept = survive_prefix(survival, d->change_count, random);
    bool any_of_rest = survival == SIM_RANDOM && !random_one_in(random, 3);

    for (size_t i = 0; i < d->change_count; i++) {
        if (i < kept || (any_of_rest && random_one_in(random, 2)))
            entries_apply(&d->durable, &d->changes[i]);
    }
    clear_name_changes(d);
    entries_clear(&d->live);
    for (size_t i = 0; i < d->durable.count; i++)
        entry_set(&d->live, d->durable.items[i].name, d->durable.items[i].inode);
    d->is_locked = false;
}

void disk_survive(struct disk *disk, enum sim_survival survival, uint64_t seed)
{
    struct random random = {.state = seed};

    for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next)
        survive_bytes(inode, survival, &random);
    for (struct directory *d = disk->directories; d != NULL; d = d->next)
        survive_names(d, survival, &random);
    disk_collect(disk);
}

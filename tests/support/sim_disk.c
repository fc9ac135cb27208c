#include "support/sim_disk.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

// --- inodes ---

static void bytes_apply(struct bytes *bytes, const struct byte_change *change)
{
    switch (change->kind) {
    case CHANGE_WRITE:
        bytes_write(bytes, change->offset, change->data->data, change->data->size);
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
        blob_unref(inode->changes[i].data);
    inode->change_count = 0;
}

static void inode_free(struct inode *inode)
{
    clear_changes(inode);
    free(inode->changes);
    bytes_release(&inode->live);
    bytes_release(&inode->durable);
    free(inode);
}

static void inode_change(struct disk *disk, struct inode *inode, struct byte_change change)
{
    bytes_apply(&inode->live, &change);
    change.order = ++disk->last_order;
    *APPEND(inode->changes, inode->change_count, inode->change_capacity) = change;
}

void inode_write(struct disk *disk, struct inode *inode, uint64_t offset, const void *data,
                 size_t size)
{
    inode_change(
        disk, inode,
        (struct byte_change){.kind = CHANGE_WRITE, .offset = offset, .data = blob_new(data, size)});
}

void inode_resize(struct disk *disk, struct inode *inode, uint64_t size)
{
    inode_change(disk, inode, (struct byte_change){.kind = CHANGE_RESIZE, .offset = size});
}

void inode_extend(struct disk *disk, struct inode *inode, uint64_t size)
{
    inode_change(disk, inode, (struct byte_change){.kind = CHANGE_EXTEND, .offset = size});
}

void inode_survive(struct inode *inode, const struct byte_change *change)
{
    bytes_apply(&inode->durable, change);
}

void inode_sync(struct inode *inode)
{
    for (size_t i = 0; i < inode->change_count; i++)
        inode_survive(inode, &inode->changes[i]);
    clear_changes(inode);
}

void inode_settle(struct inode *inode)
{
    clear_changes(inode);
    bytes_copy(&inode->durable, &inode->live);
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
           bytes_equal(&inode->live, &inode->durable, size);
}

static void bytes_flip(struct bytes *bytes, uint64_t offset, uint8_t mask)
{
    uint8_t byte;

    if (offset >= bytes->size)
        return;
    bytes_read(bytes, offset, &byte, 1);
    byte ^= mask;
    bytes_write(bytes, offset, &byte, 1);
}

void inode_flip(struct inode *inode, uint64_t offset, uint8_t mask)
{
    assert(inode->open_count == 0 && offset < inode->durable.size);
    bytes_flip(&inode->durable, offset, mask);
    bytes_flip(&inode->live, offset, mask);
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

// The name is not in the list.
static void entry_add(struct entry_list *list, const char *name, struct inode *inode)
{
    *APPEND(list->items, list->count, list->capacity) =
        (struct dir_entry){.name = must_copy_text(name), .inode = inode};
}

static void entry_set(struct entry_list *list, const char *name, struct inode *inode)
{
    size_t i = entry_index(list, name);

    if (i < list->count)
        list->items[i].inode = inode;
    else
        entry_add(list, name, inode);
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

static void name_change(struct disk *disk, struct directory *directory, enum name_change_kind kind,
                        const char *name, const char *to, struct inode *inode)
{
    struct name_change *change =
        APPEND(directory->changes, directory->change_count, directory->change_capacity);

    *change = (struct name_change){.kind = kind,
                                   .order = ++disk->last_order,
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

    name_change(disk, directory, CHANGE_CREATE, name, NULL, inode);
    return inode;
}

void directory_link_all(struct disk *disk, const struct directory *from, struct directory *to)
{
    for (size_t i = 0; i < from->live.count; i++)
        name_change(disk, to, CHANGE_CREATE, from->live.items[i].name, NULL,
                    from->live.items[i].inode);
    directory_sync(to);
}

void directory_rename(struct disk *disk, struct directory *directory, const char *from,
                      const char *to)
{
    if (strcmp(from, to) != 0)
        name_change(disk, directory, CHANGE_RENAME, from, to, directory_lookup(directory, from));
}

void directory_unlink(struct disk *disk, struct directory *directory, const char *name)
{
    name_change(disk, directory, CHANGE_UNLINK, name, NULL, directory_lookup(directory, name));
}

void directory_survive(struct directory *directory, const struct name_change *change)
{
    entries_apply(&directory->durable, change);
}

void directory_sync(struct directory *directory)
{
    for (size_t i = 0; i < directory->change_count; i++)
        directory_survive(directory, &directory->changes[i]);
    clear_name_changes(directory);
}

void directory_settle(struct directory *directory)
{
    clear_name_changes(directory);
    entries_clear(&directory->live);
    for (size_t i = 0; i < directory->durable.count; i++)
        entry_add(&directory->live, directory->durable.items[i].name,
                  directory->durable.items[i].inode);
    directory->is_locked = false;
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

        change.data = blob_ref(change.data);
        *APPEND(copy->changes, copy->change_count, copy->change_capacity) = change;
    }
}

static void copy_entries(const struct entry_list *from, struct entry_list *to)
{
    for (size_t i = 0; i < from->count; i++)
        entry_add(to, from->items[i].name, from->items[i].inode->copy);
}

static void copy_directory(const struct directory *from, struct disk *to)
{
    struct directory *copy = directory_new(to, from->path);

    copy_entries(&from->live, &copy->live);
    copy_entries(&from->durable, &copy->durable);
    for (size_t i = 0; i < from->change_count; i++) {
        struct name_change change = from->changes[i];

        change.name = must_copy_text(change.name);
        change.to = change.to == NULL ? NULL : must_copy_text(change.to);
        change.inode = change.inode->copy;
        *APPEND(copy->changes, copy->change_count, copy->change_capacity) = change;
    }
}

void disk_copy(const struct disk *disk, struct disk *to)
{
    *to = (struct disk){.last_order = disk->last_order};
    for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next)
        copy_inode(inode, to);
    for (struct directory *d = disk->directories; d != NULL; d = d->next)
        copy_directory(d, to);
    disk_collect(to); // unlinked files that only handles kept
}

struct sim_pending disk_pending(const struct disk *disk)
{
    struct sim_pending pending = {0};

    for (const struct inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
        pending.operations += inode->change_count;
        for (size_t i = 0; i < inode->change_count; i++) {
            if (inode->changes[i].kind == CHANGE_WRITE)
                pending.bytes += inode->changes[i].data->size;
        }
    }
    for (const struct directory *d = disk->directories; d != NULL; d = d->next)
        pending.operations += d->change_count;
    return pending;
}

uint64_t disk_name_count(const struct disk *disk, const struct inode *inode)
{
    uint64_t count = 0;

    for (const struct directory *d = disk->directories; d != NULL; d = d->next) {
        for (size_t i = 0; i < d->live.count; i++)
            count += d->live.items[i].inode == inode;
    }
    return count;
}

// The sum over the files, so that the order of names does not matter.
uint64_t disk_hash(const struct disk *disk)
{
    uint64_t hash = 0;

    for (const struct directory *d = disk->directories; d != NULL; d = d->next) {
        for (size_t i = 0; i < d->live.count; i++) {
            const struct dir_entry *entry = &d->live.items[i];

            hash += bytes_hash(&entry->inode->live, XXH3_64bits(entry->name, strlen(entry->name)));
        }
    }
    return hash;
}

// Every pending change of the disk is looked at in the order in which they were made, those
// of one file or directory hence in their own order too, and meets its fate.

#include "support/sim_survive.h"

#include <stdlib.h>

#include "support/random.h"

#define SECTOR_SIZE 512

enum fate { FATE_LOST, FATE_KEPT, FATE_TORN };

// One pending change: of bytes or of names.
struct pending {
    uint64_t order;
    struct inode *inode; // or
    struct directory *directory;
    size_t index; // in the changes of that
};

struct survivor {
    enum sim_survival survival;
    uint64_t number; // the seed, or which change
    struct random random;

    // Of the file or directory at hand, for the survivals that choose for each.
    size_t kept;      // so many changes survive
    bool any_of_rest; // and of the others any
};

// --- torn writes ---

// Fills what `bytes` gains up to `size` with zeroes or with whatever the device had there.
static void survive_extension(struct bytes *bytes, uint64_t size, struct random *random)
{
    if (size <= bytes->size)
        return;
    if (random_one_in(random, 2))
        bytes_grow_with_garbage(bytes, size, random_next(random));
    else
        bytes_resize(bytes, size);
}

// Any sectors of the write.
static void survive_sectors(struct bytes *bytes, const struct byte_change *write,
                            struct random *random)
{
    const size_t size = write->data->size;
    size_t at = 0;

    while (at < size) {
        size_t n = SECTOR_SIZE - (write->offset + at) % SECTOR_SIZE;

        if (n > size - at)
            n = size - at;
        if (random_one_in(random, 2))
            bytes_write(bytes, write->offset + at, write->data->data + at, n);
        at += n;
    }
}

// A write of which a part reaches the device: up to any byte, or any sectors of it. The size
// may have changed without the bytes.
static void survive_torn_write(struct bytes *bytes, const struct byte_change *write,
                               struct random *random)
{
    const size_t size = write->data->size;

    if (random_one_in(random, 2))
        survive_extension(bytes, write->offset + size, random);
    if (random_one_in(random, 2))
        bytes_write(bytes, write->offset, write->data->data,
                    (size_t)random_below(random, size + 1));
    else
        survive_sectors(bytes, write, random);
}

static void survive_torn(struct bytes *bytes, const struct byte_change *change,
                         struct random *random)
{
    if (change->kind == CHANGE_WRITE)
        survive_torn_write(bytes, change, random);
    else if (change->kind == CHANGE_RESIZE && change->offset <= bytes->size)
        bytes_resize(bytes, change->offset);
    else
        survive_extension(bytes, change->offset, random);
}

// The first `size` bytes of the write; the rest is not there, zeroes, or garbage.
static void survive_cut(struct bytes *bytes, const struct byte_change *write, uint64_t size)
{
    const uint64_t end = write->offset + write->data->size;

    if (size % 3 == 1 && end > bytes->size)
        bytes_resize(bytes, end);
    else if (size % 3 == 2)
        bytes_grow_with_garbage(bytes, end, size);
    bytes_write(bytes, write->offset, write->data->data, (size_t)size);
}

// The size without the bytes.
static void survive_size(struct bytes *bytes, const struct byte_change *change)
{
    const uint64_t end =
        change->kind == CHANGE_WRITE ? change->offset + change->data->size : change->offset;

    if (change->kind == CHANGE_RESIZE || end > bytes->size)
        bytes_resize(bytes, end);
}

// --- who survives ---

// Once per file and directory, before its changes. One time in four each it is none and all,
// however many there are.
static void meet(struct survivor *survivor, size_t change_count)
{
    struct random *random = &survivor->random;

    survivor->any_of_rest = false;
    if (survivor->survival == SIM_PREFIX)
        survivor->kept = (size_t)random_below(random, change_count + 1);
    if (survivor->survival != SIM_RANDOM)
        return;
    survivor->kept = random_one_in(random, 4) ? change_count : 0;
    survivor->any_of_rest = !random_one_in(random, 3);
}

static enum fate random_fate(struct survivor *survivor, size_t index)
{
    if (index < survivor->kept)
        return FATE_KEPT;
    return survivor->any_of_rest ? (enum fate)random_below(&survivor->random, 3) : FATE_LOST;
}

// Of the change that is number `n` of all, from 0.
static enum fate fate_in_time(const struct survivor *survivor, uint64_t n)
{
    switch (survivor->survival) {
    case SIM_ALL:
        return FATE_KEPT;
    case SIM_FIRST:
        return n < survivor->number ? FATE_KEPT : FATE_LOST;
    case SIM_ONLY:
        return n == survivor->number ? FATE_KEPT : FATE_LOST;
    case SIM_WITHOUT:
        return n != survivor->number ? FATE_KEPT : FATE_LOST;
    default:
        return FATE_LOST;
    }
}

// --- changes by time ---

static int compare_order(const void *a, const void *b)
{
    const uint64_t left = ((const struct pending *)a)->order;
    const uint64_t right = ((const struct pending *)b)->order;

    return (left > right) - (left < right);
}

// All pending changes in the order in which they were made, to be freed.
static struct pending *gather(struct disk *disk, size_t *count)
{
    struct pending *all = NULL;
    size_t capacity = 0;

    *count = 0;
    for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
        for (size_t i = 0; i < inode->change_count; i++)
            *APPEND(all, *count, capacity) =
                (struct pending){.order = inode->changes[i].order, .inode = inode, .index = i};
    }
    for (struct directory *d = disk->directories; d != NULL; d = d->next) {
        for (size_t i = 0; i < d->change_count; i++)
            *APPEND(all, *count, capacity) =
                (struct pending){.order = d->changes[i].order, .directory = d, .index = i};
    }
    if (*count > 0)
        qsort(all, *count, sizeof *all, compare_order);
    return all;
}

// All names; the sizes that the changes of bytes lead to, if asked for.
static void survive_names_only(struct disk *disk, bool has_sizes)
{
    size_t count;
    struct pending *all = gather(disk, &count);

    for (size_t i = 0; i < count; i++) {
        const struct pending *p = &all[i];

        if (p->inode == NULL)
            directory_survive(p->directory, &p->directory->changes[p->index]);
        else if (has_sizes)
            survive_size(&p->inode->durable, &p->inode->changes[p->index]);
    }
    free(all);
}

static void survive_in_time(struct disk *disk, const struct survivor *survivor)
{
    size_t count;
    struct pending *all = gather(disk, &count);

    for (size_t i = 0; i < count; i++) {
        const struct pending *p = &all[i];

        if (fate_in_time(survivor, i) != FATE_KEPT)
            continue;
        if (p->inode != NULL)
            inode_survive(p->inode, &p->inode->changes[p->index]);
        else
            directory_survive(p->directory, &p->directory->changes[p->index]);
    }
    free(all);
}

// Everything until so many bytes have been written.
static void survive_bytes(struct disk *disk, uint64_t bytes_left)
{
    size_t count;
    struct pending *all = gather(disk, &count);

    for (size_t i = 0; i < count; i++) {
        const struct pending *p = &all[i];
        const struct byte_change *change;

        if (p->inode == NULL) {
            directory_survive(p->directory, &p->directory->changes[p->index]);
            continue;
        }
        change = &p->inode->changes[p->index];
        if (change->kind == CHANGE_WRITE && change->data->size > bytes_left) {
            survive_cut(&p->inode->durable, change, bytes_left);
            break;
        }
        inode_survive(p->inode, change);
        if (change->kind == CHANGE_WRITE)
            bytes_left -= change->data->size;
    }
    free(all);
}

// --- each file and directory for itself ---

static void survive_inode(struct inode *inode, struct survivor *survivor)
{
    meet(survivor, inode->change_count);
    for (size_t i = 0; i < inode->change_count; i++) {
        const struct byte_change *change = &inode->changes[i];

        switch (random_fate(survivor, i)) {
        case FATE_LOST:
            break;
        case FATE_KEPT:
            inode_survive(inode, change);
            break;
        case FATE_TORN:
            survive_torn(&inode->durable, change, &survivor->random);
            break;
        }
    }
}

// A change of a name is there or not.
static void survive_names(struct directory *directory, struct survivor *survivor)
{
    meet(survivor, directory->change_count);
    for (size_t i = 0; i < directory->change_count; i++) {
        if (i < survivor->kept || (survivor->any_of_rest && random_one_in(&survivor->random, 2)))
            directory_survive(directory, &directory->changes[i]);
    }
}

static void survive_by_file(struct disk *disk, struct survivor *survivor)
{
    for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next)
        survive_inode(inode, survivor);
    for (struct directory *d = disk->directories; d != NULL; d = d->next)
        survive_names(d, survivor);
}

void disk_survive(struct disk *disk, enum sim_survival survival, uint64_t number)
{
    struct survivor survivor = {
        .survival = survival, .number = number, .random = {.state = number}};

    if (survival == SIM_PREFIX || survival == SIM_RANDOM)
        survive_by_file(disk, &survivor);
    else if (survival == SIM_BYTES)
        survive_bytes(disk, number);
    else if (survival == SIM_NAMES)
        survive_names_only(disk, number == 1);
    else
        survive_in_time(disk, &survivor);
    for (struct inode *inode = disk->inodes; inode != NULL; inode = inode->next)
        inode_settle(inode);
    for (struct directory *d = disk->directories; d != NULL; d = d->next)
        directory_settle(d);
    disk_collect(disk);
}

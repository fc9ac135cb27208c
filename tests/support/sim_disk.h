// sim_disk.h -- the disk of the sim: what is there, and what of it is durable.
//
// An inode has its live bytes, its durable bytes and the changes between the two,
// in order; a directory the same of its names. Directories themselves are durable
// once made.
//
// Not safe for threads: the sim calls it under its mutex.

#ifndef LSM_TESTS_SUPPORT_SIM_DISK_H
#define LSM_TESTS_SUPPORT_SIM_DISK_H

#include "support/sim.h"
#include "support/sim_bytes.h"

enum byte_change_kind {
    CHANGE_WRITE,  // `data` at `offset`
    CHANGE_RESIZE, // the size becomes `offset`
    CHANGE_EXTEND, // the size becomes at least `offset`
};

struct byte_change {
    enum byte_change_kind kind;
    uint64_t order; // among all changes of the disk
    uint64_t offset;
    struct blob *data; // of a write
};

struct inode {
    struct inode *next;
    struct bytes live;
    struct bytes durable;
    struct byte_change *changes;
    size_t change_count;
    size_t change_capacity;
    unsigned open_count; // handles
    bool is_reached;     // scratch of disk_collect()
    struct inode *copy;  // scratch of disk_copy()
};

struct entry_list {
    struct dir_entry *items;
    size_t count;
    size_t capacity;
};

struct dir_entry {
    char *name;
    struct inode *inode;
};

enum name_change_kind {
    CHANGE_CREATE, // `name` names `inode`
    CHANGE_RENAME, // `to` names `inode`, and `name` does not any more
    CHANGE_UNLINK, // `name` does not name `inode` any more
};

struct name_change {
    enum name_change_kind kind;
    uint64_t order; // among all changes of the disk
    char *name;
    char *to;
    struct inode *inode;
};

struct directory {
    struct directory *next;
    char *path; // canonical: names joined by '/', empty for the root
    struct entry_list live;
    struct entry_list durable;
    struct name_change *changes;
    size_t change_count;
    size_t change_capacity;
    bool is_locked;
};

struct listing {
    struct listed *items;
    size_t count;
    size_t capacity;
};

struct listed {
    char *name;
    uint64_t size;
    bool is_file;
};

struct disk {
    struct directory *directories;
    struct inode *inodes;
    uint64_t last_order; // of the newest change
};

// A disk with a root directory.
void disk_init(struct disk *disk);
void disk_release(struct disk *disk);
// Copies everything but open handles and locks into `to`, which is uninitialised.
void disk_copy(const struct disk *disk, struct disk *to);
// The changes that are not durable yet.
struct sim_pending disk_pending(const struct disk *disk);
// Of everything that is there now, names and bytes.
uint64_t disk_hash(const struct disk *disk);
// How many names lead to the inode now.
uint64_t disk_name_count(const struct disk *disk, const struct inode *inode);
// Releases inodes that have neither a name, durable or not, nor a handle.
void disk_collect(struct disk *disk);

// The canonical form of `path`, to be freed; NULL when it has a "..".
char *disk_canonical_path(const char *path);
// The next two take canonical paths.
struct directory *disk_find(struct disk *disk, const char *path);
// Makes the directory and those above it; NULL when a file is in the way.
struct directory *disk_make(struct disk *disk, const char *path);
// Whether a file has the path, or is in its way.
bool disk_names_file(struct disk *disk, const char *path);

// The names directly in `directory`, directories included.
void directory_list(struct disk *disk, const struct directory *directory, struct listing *out);
void listing_release(struct listing *listing);
bool directory_has_subdirectory(struct disk *disk, const struct directory *directory,
                                const char *name);

// The inode the name has now, or durably; NULL when there is none.
struct inode *directory_lookup(const struct directory *directory, const char *name);
struct inode *directory_lookup_durable(const struct directory *directory, const char *name);
// Whether the name is that inode's now and after any crash.
bool directory_name_is_durable(const struct directory *directory, const char *name);
// The name is not there.
struct inode *directory_create(struct disk *disk, struct directory *directory, const char *name);
// Gives every file in `from` the same name in `to`, durably.
void directory_link_all(struct disk *disk, const struct directory *from, struct directory *to);
// The name is there.
void directory_rename(struct disk *disk, struct directory *directory, const char *from,
                      const char *to);
void directory_unlink(struct disk *disk, struct directory *directory, const char *name);
void directory_sync(struct directory *directory);
// Makes `change` durable, but for the order.
void directory_survive(struct directory *directory, const struct name_change *change);
// What is durable is all that is there.
void directory_settle(struct directory *directory);

void inode_write(struct disk *disk, struct inode *inode, uint64_t offset, const void *data,
                 size_t size);
void inode_resize(struct disk *disk, struct inode *inode, uint64_t size);
void inode_extend(struct disk *disk, struct inode *inode, uint64_t size);
void inode_sync(struct inode *inode);
// Makes `change` durable, but for the order.
void inode_survive(struct inode *inode, const struct byte_change *change);
// What is durable is all that is there.
void inode_settle(struct inode *inode);
// What is live stays readable, and can become durable no more.
void inode_lose_changes(struct inode *inode);
// Whether the first `size` bytes are there whatever a crash does.
bool inode_is_durable(const struct inode *inode, uint64_t size);
// Damage to the first durable bytes; the inode has that many and is not open.
void inode_flip(struct inode *inode, uint64_t offset, uint8_t mask);
void inode_cut(struct inode *inode, uint64_t size);

#endif

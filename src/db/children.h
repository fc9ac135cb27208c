// children.h -- what an open database has handed out and not got back.

#ifndef LSM_DB_CHILDREN_H
#define LSM_DB_CHILDREN_H

#include "env/env.h"
#include "env/sync.h"

#define CHILD_TAG_SIZE 64

enum child_kind { CHILD_TXN, CHILD_SNAPSHOT, CHILD_ITER, CHILD_PIN };

// Embedded in the handle, in the list while it is open.
struct child {
    enum child_kind kind;
    uint64_t opened_ns; // monotonic
    char tag[CHILD_TAG_SIZE];
    struct child *next;
    struct child *previous;
};

struct children {
    struct mutex mu; // rank LOCK_LEAF; guards the fields below
    struct child *oldest;
    struct child *newest;
    size_t count;
};

void children_init(struct children *children);
void children_release(struct children *children);

// `tag` may be NULL; longer ones are cut.
void children_add(struct children *children, struct child *child, enum child_kind kind,
                  const char *tag, uint64_t now_ns);
void children_remove(struct children *children, struct child *child);
size_t children_count(struct children *children);

// Writes "2 open: iterator, 3.2 s, tag 'export'; ..." into `text`, cut to `size`.
void children_describe(struct children *children, uint64_t now_ns, char *text, size_t size);

#endif

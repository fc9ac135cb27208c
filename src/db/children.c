#include "db/children.h"

#include <stdio.h>

void children_init(struct children *children)
{
    mutex_init(&children->mu, LOCK_LEAF);
    children->oldest = NULL;
    children->newest = NULL;
    children->count = 0;
}

void children_release(struct children *children)
{
    mutex_release(&children->mu);
}

void children_add(struct children *children, struct child *child, enum child_kind kind,
                  const char *tag, uint64_t now_ns)
{
    child->kind = kind;
    child->opened_ns = now_ns;
    (void)snprintf(child->tag, sizeof child->tag, "%s", tag == NULL ? "" : tag);
    child->next = NULL;

    mutex_lock(&children->mu);
    child->previous = children->newest;
    if (children->newest != NULL)
        children->newest->next = child;
    else
        children->oldest = child;
    children->newest = child;
    children->count++;
    mutex_unlock(&children->mu);
}

void children_remove(struct children *children, struct child *child)
{
    mutex_lock(&children->mu);
    if (child->previous != NULL)
        child->previous->next = child->next;
    else
        children->oldest = child->next;
    if (child->next != NULL)
        child->next->previous = child->previous;
    else
        children->newest = child->previous;
    children->count--;
    mutex_unlock(&children->mu);
}

size_t children_count(struct children *children)
{
    size_t count;

    mutex_lock(&children->mu);
    count = children->count;
    mutex_unlock(&children->mu);
    return count;
}

void children_describe(struct children *children, uint64_t now_ns, char *text, size_t size)
{
    static const char *const names[] = {
        [CHILD_TXN] = "transaction",
        [CHILD_SNAPSHOT] = "snapshot",
        [CHILD_ITER] = "iterator",
        [CHILD_PIN] = "pinned value",
    };
    size_t used;

    mutex_lock(&children->mu);
    used = (size_t)snprintf(text, size, "%zu open:", children->count);
    for (const struct child *child = children->oldest; child != NULL && used < size;
         child = child->next) {
        used += (size_t)snprintf(
            text + used, size - used, "%s %s, %.1f s%s%s%s", child == children->oldest ? "" : ";",
            names[child->kind], (double)(now_ns - child->opened_ns) / 1e9,
            child->tag[0] == '\0' ? "" : ", tag '", child->tag, child->tag[0] == '\0' ? "" : "'");
    }
    mutex_unlock(&children->mu);
}

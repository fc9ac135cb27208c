// epoch.c -- epochs, the slots of the threads, and bins.
//
// `now` counts retirements. A thread in a section shows in its slot the value of
// `now` it found when entering; outside, 0. Retiring stamps a node with the value
// of `now` before its own increment. A node may be released when `now` exceeds
// its stamp and then every slot read is 0 or exceeds it.
//
// Why this suffices. Let node N be unlinked by store U and stamped s by the
// read-modify-write T of `now`; U comes before T in its thread. The collector
// reads `now` > s (C), then the slots, then releases N. All changes of `now` are
// read-modify-writes, so any thread that reads a value > s from it synchronizes
// with T, and U happens before whatever that thread does next. A section stores e
// in its slot (W), having read it from `now` (R1), and reads `now` once more (R2)
// before it loads any shared pointer. It cannot hold N when the collector
// releases it:
//
// - e > s: R1 synchronizes with T, U happens before the section's loads, and the
//   section never finds N.
// - e <= s, and the collector's read of the slot found e: N is not released.
// - e <= s, and that read found a later value of the slot: it synchronizes with
//   the store, a release, by which the section was left; whatever the section
//   did with N happens before the release of N.
// - e <= s, and that read found an earlier value of the slot. Then it precedes W
//   in the total order of seq_cst operations, and W precedes R2. T happens before
//   C, which precedes the read of the slot, so T precedes R2: R2 reads a value
//   > s. As in the first case the section never finds N.
//
// A slot that is not in the list yet, or no more, is the third or the fourth
// case, with the mutex of the list in place of the slot: when the collector comes
// before the thread that links it, T happens before R2.
//
// The pointers themselves need no order beyond the release and acquire with which
// they are published.

#include "base/epoch.h"

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/plant.h"
#include "base/schedule.h"
#include "base/status.h"

struct slot {
    // Epoch of the open section, 0 when there is none. Written by its thread.
    _Atomic uint64_t epoch;

    // Of its thread alone.
    unsigned depth;    // of nested sections
    bool is_linked;    // in the list
    bool stays_linked; // until the thread ends, and not just for one section
    bool has_ended;    // the thread is running its destructors

    // Guarded by slots_mu.
    struct slot *next;
    struct slot **link; // what points to this slot
};

// The static model, as the other one may allocate at a thread's first access.
static _Thread_local struct slot own_slot __attribute__((tls_model("initial-exec")));

static pthread_mutex_t slots_mu = PTHREAD_MUTEX_INITIALIZER; // a leaf
static struct slot *slots;                                   // guarded by slots_mu

static _Atomic uint64_t now = 1;

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key; // its destructor tells that a thread ends
static bool has_key;      // both are written once, by key_once

static void slot_unlink(struct slot *slot)
{
    pthread_mutex_lock(&slots_mu);
    *slot->link = slot->next;
    if (slot->next != NULL)
        slot->next->link = slot->link;
    pthread_mutex_unlock(&slots_mu);
    slot->is_linked = false;
}

static void thread_ends(void *own)
{
    struct slot *slot = own;

    assert(slot->depth == 0);
    slot->has_ended = true;
    slot_unlink(slot);
}

static void key_make(void)
{
    has_key = pthread_key_create(&key, thread_ends) == 0;
}

// Links the slot until the thread ends. Where nothing can be made to happen then,
// because the system is short of keys or memory or the thread is past the
// destructor already, the slot is linked for one outermost section at a time.
static __attribute__((cold, noinline)) void slot_link(struct slot *slot)
{
    pthread_once(&key_once, key_make);
    slot->stays_linked = has_key && !slot->has_ended && pthread_setspecific(key, slot) == 0;
    slot->is_linked = true;
    pthread_mutex_lock(&slots_mu);
    slot->link = &slots;
    slot->next = slots;
    if (slots != NULL)
        slots->link = &slot->next;
    slots = slot;
    pthread_mutex_unlock(&slots_mu);
}

void epoch_enter(void)
{
    struct slot *slot = &own_slot;
    uint64_t epoch;

    if (slot->depth++ > 0)
        return;
    if (UNLIKELY(!slot->is_linked))
        slot_link(slot);
    // R1, W and R2 of the proof. What R2 reads does not matter: an epoch that is
    // shown too low delays releases and does no harm.
    epoch = atomic_load_explicit(&now, memory_order_seq_cst);
    SCHEDULE_POINT();
    atomic_store_explicit(&slot->epoch, epoch, memory_order_seq_cst);
    (void)atomic_load_explicit(&now, memory_order_seq_cst);
    SCHEDULE_POINT();
}

void epoch_exit(void)
{
    struct slot *slot = &own_slot;

    assert(slot->depth > 0);
    if (--slot->depth > 0)
        return;
    // Release: pairs with the read of the slot in releasable_below().
    atomic_store_explicit(&slot->epoch, 0, memory_order_release);
    if (UNLIKELY(!slot->stays_linked))
        slot_unlink(slot);
}

bool epoch_is_inside(void)
{
    return own_slot.depth > 0;
}

void epoch_bin_init(struct epoch_bin *bin)
{
    pthread_mutex_init(&bin->mu, NULL);
    bin->oldest = NULL;
    bin->newest = NULL;
    bin->count = 0;
    bin->on_work = NULL;
    bin->ctx = NULL;
}

void epoch_bin_set_notify(struct epoch_bin *bin, void (*on_work)(void *ctx), void *ctx)
{
    bin->on_work = on_work;
    bin->ctx = ctx;
}

void epoch_retire(struct epoch_bin *bin, struct epoch_node *node,
                  void (*release)(struct epoch_node *node))
{
    bool was_empty;

    node->next = NULL;
    node->release = release;
    pthread_mutex_lock(&bin->mu);
    // T of the proof; under the mutex, so that a bin is ordered by its stamps.
    node->epoch = atomic_fetch_add_explicit(&now, 1, memory_order_seq_cst);
    if (bin->newest == NULL)
        bin->oldest = node;
    else
        bin->newest->next = node;
    bin->newest = node;
    was_empty = bin->count++ == 0;
    pthread_mutex_unlock(&bin->mu);
    if (was_empty && bin->on_work != NULL)
        bin->on_work(bin->ctx);
}

// The lowest stamp that may still be in use: nodes below it may be released.
static uint64_t releasable_below(void)
{
    uint64_t below = atomic_load_explicit(&now, memory_order_seq_cst); // C of the proof

    SCHEDULE_POINT();
    pthread_mutex_lock(&slots_mu);
    for (const struct slot *slot = slots; slot != NULL; slot = slot->next) {
        uint64_t epoch = atomic_load_explicit(&slot->epoch, memory_order_seq_cst);

        if (epoch != 0 && epoch < below && !PLANTED(EPOCH_IGNORES_READERS))
            below = epoch;
    }
    pthread_mutex_unlock(&slots_mu);
    return below;
}

// Takes the nodes with a stamp less than `below` out of the bin.
static struct epoch_node *bin_take(struct epoch_bin *bin, uint64_t below)
{
    struct epoch_node *taken;
    struct epoch_node **end = &taken;

    pthread_mutex_lock(&bin->mu);
    taken = bin->oldest;
    while (*end != NULL && (*end)->epoch < below)
        end = &(*end)->next;
    bin->oldest = *end;
    if (bin->oldest == NULL)
        bin->newest = NULL;
    *end = NULL;
    pthread_mutex_unlock(&bin->mu);
    return taken;
}

size_t epoch_collect(struct epoch_bin *bin)
{
    struct epoch_node *node = bin_take(bin, releasable_below());
    size_t released = 0;
    size_t left;

    while (node != NULL) {
        struct epoch_node *next = node->next; // the node goes with its object

        node->release(node);
        node = next;
        released++;
    }
    pthread_mutex_lock(&bin->mu);
    bin->count -= released;
    left = bin->count;
    pthread_mutex_unlock(&bin->mu);
    return left;
}

void epoch_drain(struct epoch_bin *bin)
{
    assert(own_slot.depth == 0);
    while (epoch_collect(bin) > 0) {
        SCHEDULE_GIVES_WAY();
        sched_yield();
    }
}

void epoch_bin_release(struct epoch_bin *bin)
{
    assert(bin->count == 0);
    pthread_mutex_destroy(&bin->mu);
}

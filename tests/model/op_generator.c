#include "model/op_generator.h"

#include "model/op_bytes.h"
#include "model/op_variants.h"
#include "model/reference.h"

// What a list is like, drawn once for all of it.
struct profile {
    uint32_t keys;     // in use
    uint32_t hot_keys; // of them, written and read half of the time
    uint32_t size_max; // of most values
    uint32_t weak;     // one in so many commits is only written; 0: none
    bool is_calm;      // seldom closed or crashed, so that much stays open for long
};

// A rough idea of what is open, so that few operations find nothing to work on.
struct generator {
    struct random *random;
    struct profile profile;
    bool has_txn[REF_SLOTS];
    bool is_finished[REF_SLOTS]; // the transaction of the slot
    uint32_t latest_txn;         // slot begun last: most is done in it
    bool has_snapshot[REF_SLOTS];
    bool has_iter[REF_SLOTS];
    bool is_positioned[REF_SLOTS]; // the iterator of the slot
    int txn_of_iter[REF_SLOTS];    // slot, or -1
    bool has_pin[REF_SLOTS];
    bool has_keyspace[OP_KEYSPACES];
    uint32_t savepoints[REF_SLOTS];     // made in the slot's transaction
    uint32_t last_savepoint[REF_SLOTS]; // that is there still; 0: none
    uint32_t armed;
    uint32_t commits;
    uint32_t stamp;
};

static const struct {
    enum op_kind kind;
    uint32_t weight;
} weights[] = {
    {OP_PUT, 120},          {OP_DELETE, 40},
    {OP_PUT_IF_ABSENT, 12}, {OP_CAS, 14},
    {OP_ADD, 12},           {OP_APPEND, 10},
    {OP_BATCH, 24},         {OP_UPDATE, 12},
    {OP_BATCH_PUT, 12},     {OP_BATCH_DELETE, 8},
    {OP_BATCH_CLEAR, 6},    {OP_BATCH_WRITE, 8},
    {OP_BEGIN, 34},         {OP_TXN_PUT, 54},
    {OP_TXN_DELETE, 18},    {OP_TXN_PUT_IF_ABSENT, 10},
    {OP_TXN_CHURN, 8},      {OP_SAVEPOINT, 16},
    {OP_ROLLBACK_TO, 14},   {OP_RELEASE, 6},
    {OP_COMMIT, 20},        {OP_COMMIT_ASYNC, 6},
    {OP_ROLLBACK, 5},       {OP_TXN_FREE, 5},
    {OP_GET, 50},           {OP_EXISTS, 14},
    {OP_MULTI_GET, 12},     {OP_PIN, 8},
    {OP_UNPIN, 8},          {OP_SNAPSHOT, 12},
    {OP_SNAPSHOT_FREE, 9},  {OP_ITER_OPEN, 30},
    {OP_ITER_FIRST, 12},    {OP_ITER_LAST, 12},
    {OP_ITER_SEEK, 24},     {OP_ITER_SEEK_FOR_PREV, 24},
    {OP_ITER_NEXT, 40},     {OP_ITER_PREV, 40},
    {OP_ITER_CLOSE, 16},    {OP_KEYSPACE_OPEN, 10},
    {OP_KEYSPACE_DROP, 6},  {OP_KEYSPACE_ALTER, 6},
    {OP_KEYSPACE_LIST, 5},  {OP_FLUSH, 8},
    {OP_SYNC, 6},           {OP_COMPACT, 6},
    {OP_IDLE, 5},           {OP_JOBS, 30},
    {OP_VERIFY, 5},         {OP_RESUME, 5},
    {OP_SET_OPTION, 8},     {OP_ADVANCE, 14},
    {OP_SUSPEND, 4},        {OP_CLOCK, 10},
    {OP_INSPECT, 8},        {OP_MISUSE, 6},
    {OP_CHECK, 5},          {OP_READ_ONLY, 5},
    {OP_REOPEN, 6},         {OP_CRASH, 9},
};

static enum op_kind random_kind(struct random *random)
{
    uint32_t total = 0;
    uint64_t at;

    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++)
        total += weights[i].weight;
    at = random_below(random, total);
    for (size_t i = 0;; i++) {
        if (at < weights[i].weight)
            return weights[i].kind;
        at -= weights[i].weight;
    }
}

// --- numbers ---

static uint32_t below(struct generator *g, uint32_t limit)
{
    return (uint32_t)random_below(g->random, limit);
}

static bool one_in(struct generator *g, uint32_t n)
{
    return random_one_in(g->random, n);
}

static uint32_t any_key(struct generator *g)
{
    return below(g, one_in(g, 2) ? g->profile.hot_keys : g->profile.keys);
}

static uint32_t any_place(struct generator *g)
{
    return any_key(g) * 4 + (one_in(g, 2) ? 0 : below(g, 4));
}

static uint32_t any_size(struct generator *g)
{
    switch (below(g, 12)) {
    case 0:
        return 0;
    case 1:
        return 8; // a counter's
    case 2:
        return below(g, OP_VALUE_MAX);
    default:
        return below(g, g->profile.size_max);
    }
}

static uint32_t any_keyspace(struct generator *g)
{
    const uint32_t ks = one_in(g, 2) ? 0 : below(g, OP_KEYSPACES);

    return g->has_keyspace[ks] || one_in(g, 20) ? ks : 0;
}

// A slot that is filled or not, as wanted, when there is one.
static uint32_t slot_where(struct generator *g, const bool *has, bool is_filled)
{
    const uint32_t start = below(g, REF_SLOTS);

    for (uint32_t i = 0; i < REF_SLOTS; i++) {
        if (has[(start + i) % REF_SLOTS] == is_filled)
            return (start + i) % REF_SLOTS;
    }
    return start;
}

// --- fields ---

// Whether a write that goes on from what is there takes its user byte away.
static void draw_clear(struct generator *g, struct op *op)
{
    if (one_in(g, 6)) {
        op->field[F_FLAGS] |= FLAG_CLEAR_BYTE;
        op->field[F_BYTE] = 0;
    }
}

static void fill_write(struct generator *g, struct op *op)
{
    op->field[F_KS] = any_keyspace(g);
    op->field[F_KEY] = any_key(g);
    op->field[F_SIZE] = op->kind == OP_APPEND ? below(g, 100) : any_size(g);
    op->field[F_STAMP] = ++g->stamp;
    op->field[F_BYTE] = one_in(g, 3) ? below(g, 256) : 0;
    if (one_in(g, 8))
        op->field[F_TTL] = 1 + below(g, 20);
    if (one_in(g, 20))
        op->field[F_UNTIL] = one_in(g, 3) ? UNTIL_NEVER : 1 + below(g, 100);
    if (one_in(g, 2))
        op->field[F_SYNC] =
            g->profile.weak != 0 && one_in(g, g->profile.weak) ? LSM_SYNC_WRITTEN : LSM_SYNC_FULL;
    g->commits++;
    if (op->kind == OP_PUT && one_in(g, 10))
        op->field[F_FLAGS] = FLAG_NO_WAIT;
    if (op->kind == OP_CAS) {
        op->field[F_N] = below(g, 4);
        op->field[F_FLAGS] = one_in(g, 4);
    }
    if (op->kind == OP_ADD)
        op->field[F_N] = one_in(g, 8) ? UINT32_MAX - below(g, 100) : below(g, 100);
    if (op->kind == OP_CAS || op->kind == OP_ADD || op->kind == OP_APPEND)
        draw_clear(g, op);
    if (op->kind == OP_BATCH || op->kind == OP_UPDATE) {
        op->field[F_N] = below(g, one_in(g, 4) ? 40 : 6);
        op->field[F_FLAGS] = op->kind == OP_UPDATE ? below(g, 3) : 0;
    }
    if (op->kind >= OP_BATCH_PUT)
        op->field[F_SLOT] = below(g, REF_BATCHES);
}

// A number of a savepoint, most often the last. Where there is none, one is made instead.
static void fill_savepoint(struct generator *g, uint32_t slot, struct op *op)
{
    if (g->last_savepoint[slot] == 0 && !one_in(g, 6))
        op->kind = OP_SAVEPOINT;
    if (op->kind == OP_SAVEPOINT) {
        g->last_savepoint[slot] = ++g->savepoints[slot];
        return;
    }
    op->field[F_N] = one_in(g, 6) ? below(g, g->savepoints[slot] + 2) : g->last_savepoint[slot];
    if (op->kind == OP_RELEASE && op->field[F_N] != 0)
        g->last_savepoint[slot] = op->field[F_N] - 1;
}

static void fill_begin(struct generator *g, uint32_t slot, struct op *op)
{
    op->field[F_N] = one_in(g, 8) ? LSM_TXN_READ_ONLY : below(g, 2);
    g->has_txn[slot] = g->armed == 0;
    g->latest_txn = slot;
    g->savepoints[slot] = 0;
    g->last_savepoint[slot] = 0;
    g->is_finished[slot] = false;
}

#define CHURN_MAX 400

static void fill_txn_write(struct generator *g, struct op *op)
{
    if (op->kind == OP_TXN_CHURN) {
        op->field[F_N] = 1 + below(g, one_in(g, 4) ? CHURN_MAX : 10);
        op->field[F_FLAGS] = one_in(g, 2) ? FLAG_REWRITE : 0;
    }
    op->field[F_KS] = any_keyspace(g);
    op->field[F_KEY] = any_key(g);
    op->field[F_SIZE] = any_size(g);
    op->field[F_STAMP] = ++g->stamp;
    op->field[F_BYTE] = one_in(g, 3) ? below(g, 256) : 0;
    op->field[F_UNTIL] = one_in(g, 10) ? 1 + below(g, 100) : 0;
    if (one_in(g, 40))
        op->field[F_UNTIL] = UNTIL_NEVER;
}

static void fill_txn(struct generator *g, struct op *op)
{
    uint32_t slot = slot_where(g, g->has_txn, op->kind != OP_BEGIN);

    if (op->kind != OP_BEGIN && g->has_txn[g->latest_txn] && !one_in(g, 4))
        slot = g->latest_txn;
    op->field[F_SLOT] = slot;
    switch (op->kind) {
    case OP_BEGIN:
        fill_begin(g, slot, op);
        break;
    case OP_SAVEPOINT:
    case OP_ROLLBACK_TO:
    case OP_RELEASE:
        fill_savepoint(g, slot, op);
        break;
    case OP_COMMIT:
    case OP_COMMIT_ASYNC:
        op->field[F_SYNC] = below(g, 3);
        op->field[F_N] = op->kind == OP_COMMIT_ASYNC ? below(g, REF_SLOTS) : 0;
        g->is_finished[slot] = true;
        g->commits++;
        break;
    case OP_ROLLBACK:
        g->is_finished[slot] = true;
        break;
    case OP_TXN_FREE:
        g->has_txn[slot] = false;
        break;
    default:
        fill_txn_write(g, op);
    }
}

static void fill_reader(struct generator *g, struct op *op, enum op_field slot)
{
    op->field[F_ON] = below(g, ON_COUNT);
    if (op->field[F_ON] == ON_SNAPSHOT)
        op->field[slot] = slot_where(g, g->has_snapshot, true);
    else if (op->field[F_ON] == ON_TXN)
        op->field[slot] = g->has_txn[g->latest_txn] && !one_in(g, 4)
                              ? g->latest_txn
                              : slot_where(g, g->has_txn, true);
    if ((op->field[F_ON] == ON_SNAPSHOT && !g->has_snapshot[op->field[slot]]) ||
        (op->field[F_ON] == ON_TXN && !g->has_txn[op->field[slot]]))
        op->field[F_ON] = ON_DB;
}

static void fill_read(struct generator *g, struct op *op)
{
    op->field[F_KS] = any_keyspace(g);
    op->field[F_KEY] = any_key(g);
    switch (op->kind) {
    case OP_PIN:
        op->field[F_SLOT] = slot_where(g, g->has_pin, false);
        g->has_pin[op->field[F_SLOT]] = true;
        return;
    case OP_UNPIN:
        op->field[F_SLOT] = slot_where(g, g->has_pin, true);
        g->has_pin[op->field[F_SLOT]] = false;
        return;
    case OP_SNAPSHOT:
    case OP_SNAPSHOT_FREE:
        op->field[F_SLOT] = slot_where(g, g->has_snapshot, op->kind == OP_SNAPSHOT_FREE);
        g->has_snapshot[op->field[F_SLOT]] = op->kind == OP_SNAPSHOT && g->armed == 0;
        return;
    case OP_MULTI_GET:
        op->field[F_N] = 1 + below(g, 20);
        op->field[F_STAMP] = below(g, 10);
        break;
    default:
        break;
    }
    fill_reader(g, op, F_SLOT);
    if (op->kind == OP_MULTI_GET && op->field[F_ON] == ON_SNAPSHOT)
        op->field[F_ON] = ON_DB;
}

static void fill_iter_open(struct generator *g, struct op *op)
{
    op->field[F_SLOT] = slot_where(g, g->has_iter, false);
    g->has_iter[op->field[F_SLOT]] = g->armed == 0;
    g->is_positioned[op->field[F_SLOT]] = false;
    op->field[F_KS] = any_keyspace(g);
    fill_reader(g, op, F_FROM);
    g->txn_of_iter[op->field[F_SLOT]] = op->field[F_ON] == ON_TXN ? (int)op->field[F_FROM] : -1;
    op->field[F_KEY] = any_place(g);
    op->field[F_TO] = any_place(g);
    op->field[F_PREFIX] = any_place(g);
    op->field[F_SIZE] = below(g, 8);
    op->field[F_N] = one_in(g, 6) ? below(g, g->commits + 1) : 0;
    for (uint32_t flag = FLAG_KEYS_ONLY; flag <= FLAG_UPPER_INCL; flag *= 2)
        op->field[F_FLAGS] |= one_in(g, 4) ? flag : 0;
    if ((op->field[F_FLAGS] & FLAG_ALL_VERSIONS) != 0 && !one_in(g, 8))
        op->field[F_N] = 0; // is refused otherwise
}

static void fill_iter(struct generator *g, struct op *op)
{
    if (op->kind == OP_ITER_OPEN) {
        fill_iter_open(g, op);
        return;
    }
    op->field[F_SLOT] = slot_where(g, g->has_iter, true);
    op->field[F_KEY] = any_place(g);
    op->field[F_N] = 1 + below(g, one_in(g, 5) ? 30 : 3);
    if (op->kind == OP_ITER_CLOSE)
        g->has_iter[op->field[F_SLOT]] = false;
    else if (op->kind < OP_ITER_NEXT)
        g->is_positioned[op->field[F_SLOT]] = true;
    else if (!g->is_positioned[op->field[F_SLOT]] && !one_in(g, 8))
        op->kind = op->kind == OP_ITER_NEXT ? OP_ITER_SEEK : OP_ITER_SEEK_FOR_PREV;
    else if (one_in(g, 3))
        g->is_positioned[op->field[F_SLOT]] = false; // perhaps it has run into an end
}

// --- upkeep ---

static void forget_children(struct generator *g)
{
    memset(g->has_txn, 0, sizeof g->has_txn);
    memset(g->has_snapshot, 0, sizeof g->has_snapshot);
    memset(g->has_iter, 0, sizeof g->has_iter);
    memset(g->has_pin, 0, sizeof g->has_pin);
}

static void fill_crash(struct generator *g, struct op *op)
{
    forget_children(g);
    op->field[F_N] = 1 + below(g, one_in(g, 3) ? 8 : 400);
    op->field[F_TO] = one_in(g, 3) ? 1 + below(g, 40) : 0;
    op->field[F_SIZE] = below(g, 4);
    op->field[F_STAMP] = below(g, 1u << 30);
    op->field[F_FLAGS] = one_in(g, 4) ? 0 : below(g, 100);
    g->armed = op->field[F_FLAGS] + 1;
}

static void fill_keyspace(struct generator *g, struct op *op)
{
    const uint32_t ks = below(g, OP_KEYSPACES);

    op->field[F_KS] = ks;
    op->field[F_TTL] = one_in(g, 4) ? 1 + below(g, 30) : 0;
    op->field[F_N] = below(g, 36);
    op->field[F_FLAGS] = op->kind == OP_KEYSPACE_OPEN && !one_in(g, 6) ? FLAG_CREATE : 0;
    if (op->kind == OP_KEYSPACE_OPEN && ks != 0)
        g->has_keyspace[ks] |= op->field[F_FLAGS] != 0;
}

static void fill_upkeep(struct generator *g, struct op *op)
{
    switch (op->kind) {
    case OP_KEYSPACE_OPEN:
    case OP_KEYSPACE_DROP:
    case OP_KEYSPACE_ALTER:
        fill_keyspace(g, op);
        break;
    case OP_COMPACT:
        op->field[F_KS] = any_keyspace(g);
        op->field[F_KEY] = any_place(g);
        op->field[F_TO] = any_place(g);
        op->field[F_FLAGS] = below(g, 4) * FLAG_HAS_LOWER;
        break;
    case OP_JOBS:
        op->field[F_N] = 1 + below(g, 5);
        break;
    case OP_ADVANCE:
        op->field[F_N] = 1 + below(g, one_in(g, 3) ? 20000 : 500);
        break;
    case OP_SUSPEND:
        op->field[F_N] = 1 + below(g, one_in(g, 20) ? 100000 : 20);
        break;
    case OP_CLOCK:
        op->field[F_STAMP] = one_in(g, 3) ? CLOCK_RIGHT : below(g, CLOCK_COUNT);
        op->field[F_N] = 1 + below(g, 30);
        break;
    case OP_SET_OPTION:
    case OP_INSPECT:
    case OP_MISUSE:
        op->field[F_N] = below(g, 1000);
        op->field[F_STAMP] = below(g, 3);
        break;
    case OP_REOPEN:
        op->field[F_N] = one_in(g, 4) ? 1 + below(g, one_in(g, 10) ? 300000 : 20) : 0;
        forget_children(g);
        break;
    case OP_CRASH:
        fill_crash(g, op);
        break;
    default:
        break;
    }
}

// What should come before `op`, so that it is not refused: mostly, as refusing is tested too.
static bool prepare(struct generator *g, const struct op *op, struct op *before)
{
    if (op->kind != OP_COMMIT || one_in(g, 4))
        return false;
    for (uint32_t i = 0; i < REF_SLOTS; i++) {
        if (!g->has_iter[i] || g->txn_of_iter[i] != (int)op->field[F_SLOT])
            continue;
        *before = (struct op){.kind = OP_ITER_CLOSE};
        before->field[F_SLOT] = i;
        g->has_iter[i] = false;
        return true;
    }
    return false;
}

// A finished transaction seldom keeps its slot.
static bool clear_slot(struct generator *g, struct op *op)
{
    for (uint32_t i = 0; i < REF_SLOTS; i++) {
        if (!g->has_txn[i] || !g->is_finished[i] || one_in(g, 3))
            continue;
        *op = (struct op){.kind = OP_TXN_FREE};
        op->field[F_SLOT] = i;
        g->has_txn[i] = false;
        return true;
    }
    return false;
}

static struct profile random_profile(struct random *random)
{
    static const uint32_t sizes[] = {20, 200, 2000};
    struct profile profile = {
        .keys = 1 + (uint32_t)random_below(random, OP_KEYS),
        .size_max = sizes[random_below(random, 3)],
        .weak = (uint32_t)random_below(random, 4),
        .is_calm = !random_one_in(random, 3),
    };

    profile.hot_keys = 1 + (uint32_t)random_below(random, profile.keys);
    if (profile.hot_keys > 10 && random_one_in(random, 2))
        profile.hot_keys = 10;
    return profile;
}

static struct op next_op(struct generator *g)
{
    struct op op;

    if (clear_slot(g, &op))
        return op;
    op = (struct op){.kind = random_kind(g->random)};
    if (g->profile.is_calm && op.kind >= OP_REOPEN && !one_in(g, 10))
        op.kind = OP_JOBS;
    if (op.kind <= OP_BATCH_WRITE)
        fill_write(g, &op);
    else if (op.kind <= OP_TXN_FREE)
        fill_txn(g, &op);
    else if (op.kind <= OP_SNAPSHOT_FREE)
        fill_read(g, &op);
    else if (op.kind <= OP_ITER_CLOSE)
        fill_iter(g, &op);
    else
        fill_upkeep(g, &op);
    return op;
}

// Many short lives: a write or a few, and the end. Longer than the log may get.
#define LIVES_MAX 80

static void add_short_lives(struct generator *g, struct op_list *list)
{
    const uint32_t lives = 1 + below(g, LIVES_MAX);

    for (uint32_t i = 0; i < lives; i++) {
        struct op put = {.kind = OP_PUT};
        struct op end = {.kind = one_in(g, 4) ? OP_CRASH : OP_REOPEN};

        fill_write(g, &put);
        op_list_add(list, &put);
        fill_upkeep(g, &end);
        op_list_add(list, &end);
    }
}

void op_generate(struct op_list *list, struct random *random, size_t count)
{
    struct generator g = {.random = random, .profile = random_profile(random)};
    struct op before;

    g.has_keyspace[0] = true;
    for (size_t i = 0; i < count; i++) {
        const struct op op = next_op(&g);

        while (prepare(&g, &op, &before))
            op_list_add(list, &before);
        g.armed -= g.armed > 0;
        op_list_add(list, &op);
        if (one_in(&g, 1000))
            add_short_lives(&g, list);
    }
}

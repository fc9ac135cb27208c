#include "model/subject.h"

#include <stdio.h>
#include <stdlib.h>

#include "db/upkeep.h"
#include "model/op_variants.h"

static void set_option(struct subject *s, const struct op *op)
{
    const struct option_choice *choice = &option_choices[op->field[F_N] % option_choice_count];
    uint64_t value = op->field[F_SIZE];

    if (op->field[F_N] % option_choice_count == OPTION_SCHEDULE) {
        s->schedule = value;
        return;
    }
    if (value < choice->min)
        value = choice->min;
    if (value > choice->max)
        value = choice->max;
    memcpy((char *)&s->options + choice->offset, &value, sizeof value);
}

// However many lives there were, the log is short behind the open: by segments, not only by bytes.
static bool has_short_log(struct subject *s)
{
    const size_t count = log_segment_count(s->db->log);

    if (count <= LOG_SEGMENTS_MAX || sim_has_crashed(s->sim))
        return true;
    (void)lsm_fail(LSM_INVALID, "the log has %zu segments", count);
    return false;
}

bool subject_open(struct subject *s)
{
    if (lsm_open("/db", &s->options, &s->db) != LSM_OK || !has_short_log(s))
        return false;
    s->is_reopened = s->ts_count > 0;
    if (s->schedule != 0)
        scheduler_set_seed(s->db->scheduler, s->schedule);
    return true;
}

static lsm_status write_in_copy(struct subject *s, lsm_db *db)
{
    for (unsigned i = 0; i < 3; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "of the copy %u", i);
        TRY(lsm_put(db, NULL, lsm_str(key), lsm_str("a value that nobody else sees"), NULL));
    }
    return s->ends % 2 == 0 ? lsm_flush(db) : LSM_OK;
}

bool subject_live_in_copy(struct subject *s)
{
    char path[32];
    bool is_right;
    lsm_db *db;

    if (s->ends++ % 3 != 0)
        return true;
    (void)snprintf(path, sizeof path, "/copy%u", s->ends);
    if (sim_link_all(s->sim, "/db", path) != LSM_OK || lsm_open(path, &s->options, &db) != LSM_OK)
        return false;
    is_right = write_in_copy(s, db) == LSM_OK;
    return lsm_close(db) == LSM_OK && is_right;
}

bool subject_init(struct subject *s, const struct op_list *list)
{
    *s = (struct subject){.value = LSM_BUF_INIT};
    if (sim_new(1, &s->sim) != LSM_OK)
        abort();
    options_init(&s->options);
    s->options.env = sim_env(s->sim);
    s->options.is_manual = true;
    s->options.cache_size = 1 << 20;
    s->options.conflict_history_size = 256 << 10;
    s->options.segment_size_max = 1 << 20;
    for (size_t i = 0; i < list->count; i++) {
        if (list->ops[i].kind == OP_OPTION)
            set_option(s, &list->ops[i]);
    }
    for (size_t i = 0; i < REF_BATCHES; i++) {
        if (lsm_batch_new(&s->batches[i]) != LSM_OK)
            abort();
    }
    if (subject_open(s)) {
        subject_note_ts(s, 0, 0);
        return true;
    }
    fprintf(stderr, "the database does not open: %s\n", lsm_errmsg());
    return false;
}

void subject_release(struct subject *s)
{
    subject_close_children(s);
    subject_close_handles(s);
    (void)lsm_close(s->db);
    for (size_t i = 0; i < REF_BATCHES; i++)
        lsm_batch_free(s->batches[i]);
    lsm_buf_free(&s->value);
    free(s->ts);
    sim_free(s->sim);
}

void subject_close_children(struct subject *s)
{
    for (size_t i = 0; i < REF_SLOTS; i++) {
        lsm_iter_close(s->iters[i].it);
        s->iters[i].it = NULL;
        lsm_pin_release(&s->pins[i]);
        lsm_snapshot_free(s->snapshots[i]);
        s->snapshots[i] = NULL;
    }
    for (size_t i = 0; i < REF_SLOTS; i++) {
        lsm_txn_free(s->txns[i].txn);
        s->txns[i].txn = NULL;
    }
    for (size_t i = 0; i < REF_BATCHES; i++)
        lsm_batch_clear(s->batches[i]);
}

void subject_close_handles(struct subject *s)
{
    for (size_t i = 0; i < OP_KEYSPACES; i++) {
        lsm_keyspace_close(s->handles[i]);
        s->handles[i] = NULL;
    }
}

void subject_open_handles(struct subject *s, const struct reference *ref)
{
    for (uint32_t i = 1; i < OP_KEYSPACES; i++) {
        if (ref->handles[i] == REF_NO_KEYSPACE || s->handles[i] != NULL)
            continue;
        if (lsm_keyspace_open(s->db, op_keyspace_name(i), false, NULL, &s->handles[i]) != LSM_OK)
            s->handles[i] = NULL;
    }
}

// --- timestamps ---

void subject_note_ts(struct subject *s, uint64_t ordinal, uint64_t ts)
{
    while (s->ts_capacity <= ordinal) {
        s->ts_capacity = s->ts_capacity * 2 + 64;
        s->ts = realloc(s->ts, s->ts_capacity * sizeof *s->ts);
        if (s->ts == NULL)
            abort();
    }
    s->ts[ordinal] = ts;
    if (s->ts_count <= ordinal)
        s->ts_count = (size_t)ordinal + 1;
}

// The first ordinal whose timestamp is not below `ts`.
uint64_t subject_ordinal(const struct subject *s, uint64_t ts)
{
    size_t low = 0;
    size_t high = s->ts_count;

    if (ts == TS_MAX)
        return REF_OWN;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (s->ts[middle] < ts)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The last ordinal whose timestamp is not above `ts`; one more when no commit is known there.
uint64_t subject_read_ordinal(const struct subject *s, uint64_t ts)
{
    uint64_t ordinal = subject_ordinal(s, ts);

    while (ordinal + 1 < s->ts_count && s->ts[ordinal + 1] == ts)
        ordinal++;
    return ordinal;
}

// --- operations ---

// Whether it is a write that keeps what an entry has beside its value.
static bool writes_on(const struct op *op)
{
    return op->kind == OP_CAS || op->kind == OP_ADD || op->kind == OP_APPEND;
}

lsm_write_options subject_write_options(const struct op *op)
{
    return (lsm_write_options){
        .sync = (lsm_sync_mode)(op->field[F_SYNC] % 3),
        .user_byte = (uint8_t)op->field[F_BYTE],
        .ttl_seconds = op->field[F_TTL],
        .expiry_seconds = op->field[F_UNTIL] == 0 ? 0
                          : op->field[F_UNTIL] == UNTIL_NEVER
                              ? LSM_EXPIRY_NONE
                              : OP_EPOCH_SECONDS + op->field[F_UNTIL],
        .clear_user_byte = writes_on(op) && (op->field[F_FLAGS] & FLAG_CLEAR_BYTE) != 0,
    };
}

static bool is_sync(const struct subject *s, const struct op *op)
{
    const uint32_t mode = op->kind == OP_UPDATE ? 0 : op->field[F_SYNC] % 3;

    return (mode == LSM_SYNC_DEFAULT ? atomic_load(&s->db->sync_mode) : mode) == LSM_SYNC_FULL;
}

// Notes what a finished operation has made durable, and the timestamp it took. Before it,
// `known` timestamps were.
static void settle(struct subject *s, const struct reference *ref, const struct op *op,
                   size_t known)
{
    const bool has_committed = known <= ref->ordinal;

    if (s->ts_count <= ref->ordinal)
        subject_note_ts(s, ref->ordinal, oracle_published(s->db->oracle));
    if (op->kind == OP_FLUSH || op->kind == OP_SYNC || op->kind == OP_REOPEN ||
        op->kind == OP_KEYSPACE_ALTER ||
        (has_committed && op->kind != OP_KEYSPACE_DROP && is_sync(s, op)))
        s->durable = ref->ordinal;
}

void subject_apply(struct subject *s, const struct reference *ref, const struct op *op,
                   struct line *actual)
{
    const size_t known = s->ts_count;

    if (op->kind <= OP_BATCH_WRITE)
        subject_apply_write(s, ref, op, actual);
    else if (op->kind <= OP_TXN_FREE)
        subject_apply_txn(s, ref, op, actual);
    else if (op->kind <= OP_SNAPSHOT_FREE)
        subject_apply_read(s, op, actual);
    else if (op->kind <= OP_ITER_CLOSE)
        subject_apply_iter(s, ref, op, actual);
    else
        subject_apply_upkeep(s, ref, op, actual);
    if (!sim_has_crashed(s->sim))
        settle(s, ref, op, known);
}

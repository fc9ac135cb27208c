// The engine: keyspaces, upkeep, reopening, looking inside, wrong use.

#include <stdio.h>

#include "model/op_variants.h"
#include "model/subject.h"

// --- keyspaces ---

static void open_keyspace(struct subject *s, const struct op *op, struct line *out)
{
    const lsm_keyspace_options options = keyspace_variant(op);
    lsm_keyspace **handle = &s->handles[op->field[F_KS] % OP_KEYSPACES];

    lsm_keyspace_close(*handle);
    *handle = NULL;
    line_status(out, lsm_keyspace_open(s->db, op_keyspace_name(op->field[F_KS]),
                                       (op->field[F_FLAGS] & FLAG_CREATE) != 0, &options, handle));
}

static void drop_keyspace(struct subject *s, const struct reference *ref, const struct op *op,
                          struct line *out)
{
    const uint32_t name = op->field[F_KS] % OP_KEYSPACES;
    lsm_status status = lsm_keyspace_drop(s->db, op_keyspace_name(name));

    // The drop may have been durable when a crash made it come again.
    if (status == LSM_NOT_FOUND && s->ts_count <= ref->ordinal)
        status = LSM_OK;
    line_status(out, status);
    if (ref->handles[name] == REF_NO_KEYSPACE) {
        lsm_keyspace_close(s->handles[name]);
        s->handles[name] = NULL;
    }
}

// Weak commits before it are made durable first: made again after a crash, they would expire
// by the new options.
static void alter_keyspace(struct subject *s, const struct op *op, struct line *out)
{
    const lsm_keyspace_options options = keyspace_variant(op);
    lsm_status status = lsm_sync(s->db);

    if (status == LSM_OK)
        status = lsm_keyspace_alter(s->db, op_keyspace_name(op->field[F_KS]), &options);
    line_status(out, status);
}

static void list_keyspaces(struct subject *s, struct line *out)
{
    lsm_keyspace_info *infos;
    size_t count;

    if (lsm_keyspace_list(s->db, &infos, &count) != LSM_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        line_text(out, " ");
        line_text(out, infos[i].name);
        line_text(out, ",");
        line_number(out, infos[i].options.ttl_seconds);
        line_text(out, ",");
        line_number(out, infos[i].options.value_threshold);
        line_text(out, ",");
        line_number(out, infos[i].options.versions_to_keep);
    }
    lsm_free(infos);
}

// --- everything that is there ---

// By an iterator in one direction; the other counts only.
static lsm_status scan(struct subject *s, lsm_db *db, lsm_keyspace *keyspace,
                       struct content *content, uint64_t *count_backward)
{
    lsm_iter *it;
    lsm_slice value;
    lsm_status status;

    TRY(lsm_iter_open(db, keyspace, NULL, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        status = lsm_iter_value(it, &value);
        if (status != LSM_OK)
            break;
        content_add(content, op_key_number(lsm_iter_key(it)), subject_ordinal(s, lsm_iter_ts(it)),
                    value);
    }
    if (status == LSM_NOT_FOUND) {
        for (status = lsm_iter_last(it); status == LSM_OK; status = lsm_iter_prev(it))
            ++*count_backward;
    }
    lsm_iter_close(it);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

// How many keys single reads find.
static lsm_status count_by_gets(struct subject *s, lsm_db *db, lsm_keyspace *keyspace,
                                uint64_t *count)
{
    for (uint32_t key = 0; key < OP_KEYS; key++) {
        const lsm_status status = lsm_get(db, keyspace, op_key(key), &s->value);

        if (status != LSM_OK && status != LSM_NOT_FOUND)
            return status;
        *count += status == LSM_OK;
    }
    return LSM_OK;
}

static void check_keyspace(struct subject *s, lsm_db *db, lsm_keyspace *keyspace, uint32_t ks,
                           struct line *out)
{
    struct content content = {0};
    uint64_t backward = 0;
    uint64_t gets = 0;
    lsm_status status = scan(s, db, keyspace, &content, &backward);

    if (status == LSM_OK)
        status = count_by_gets(s, db, keyspace, &gets);
    line_content(out, op_keyspace_name(ks), &content);
    if (status != LSM_OK)
        line_text(out, lsm_errmsg());
    if (backward != content.count)
        line_text(out, " backward another number");
    if (gets != content.count)
        line_text(out, " gets find another number");
}

void subject_check(struct subject *s, lsm_db *db, const struct reference *ref, struct line *out)
{
    for (uint32_t ks = 0; ks < OP_KEYSPACES; ks++) {
        const uint32_t keyspace = ref_handle(ref, ks);
        lsm_keyspace *handle = NULL;

        if (keyspace == REF_NO_KEYSPACE || ref_is_dropped(ref, keyspace, REF_NOW))
            continue;
        if (ks != 0 &&
            lsm_keyspace_open(db, op_keyspace_name(ks), false, NULL, &handle) != LSM_OK) {
            line_text(out, lsm_errmsg());
            continue;
        }
        check_keyspace(s, db, handle, ks, out);
        lsm_keyspace_close(handle);
    }
}

static void read_only(struct subject *s, const struct reference *ref, struct line *out)
{
    lsm_db *db;
    lsm_status status = lsm_open_read_only("/db", &s->options, &db);

    if (status != LSM_OK) {
        line_text(out, lsm_errmsg());
        return;
    }
    subject_check(s, db, ref, out);
    status = lsm_put(db, NULL, op_key(0), op_key(0), NULL);
    if (status != LSM_READ_ONLY)
        line_text(out, " takes a write");
    if (lsm_close(db) != LSM_OK)
        line_text(out, lsm_errmsg());
}

// --- upkeep ---

static lsm_status compact(struct subject *s, const struct op *op)
{
    const lsm_slice from = op_place(op->field[F_KEY]);
    const lsm_slice to = op_place(op->field[F_TO]);

    return lsm_compact_range(s->db, subject_keyspace(s, op),
                             (op->field[F_FLAGS] & FLAG_HAS_LOWER) != 0 ? &from : NULL,
                             (op->field[F_FLAGS] & FLAG_HAS_UPPER) != 0 ? &to : NULL);
}

static void change_option(struct subject *s, const struct op *op, struct line *out)
{
    const struct option_change *change = &option_changes[op->field[F_N] % option_change_count];
    const lsm_status status = lsm_set_option(s->db, change->name, change->value);

    line_status(out, status);
    if (status != LSM_OK || lsm_get_option(s->db, change->name, &s->value) != LSM_OK)
        return;
    line_text(out, " ");
    line_text(out, s->value.data);
}

static lsm_status inspect_lists(lsm_db *db, uint32_t what)
{
    lsm_segment_info *segments;
    lsm_table_info *tables;
    size_t count;

    if (what == 0) {
        TRY(lsm_segments(db, &segments, &count));
        lsm_free(segments);
        return LSM_OK;
    }
    TRY(lsm_tables(db, &tables, &count));
    lsm_free(tables);
    return LSM_OK;
}

// A bound cuts what there is in two parts that add up to it, but for rounding in each table.
static lsm_status measure(struct subject *s, const struct op *op)
{
    const lsm_slice cut = op_key(op->field[F_N]);
    lsm_keyspace *keyspace = subject_keyspace(s, op);
    uint64_t before;
    uint64_t behind;
    uint64_t whole;

    TRY(lsm_approximate_size(s->db, keyspace, NULL, &cut, &before));
    TRY(lsm_approximate_size(s->db, keyspace, &cut, NULL, &behind));
    TRY(lsm_approximate_size(s->db, keyspace, NULL, NULL, &whole));
    return before + behind <= whole + 1000 && whole <= before + behind + 1000
               ? LSM_OK
               : lsm_fail(LSM_IO, "the sizes of two parts are not that of the whole");
}

static lsm_status inspect(struct subject *s, const struct op *op)
{
    lsm_level_info levels[LSM_LEVELS];
    lsm_health_info health;
    lsm_option_info option;
    uint64_t number;

    switch (op->field[F_N] % 8) {
    case 0:
    case 1:
        return inspect_lists(s->db, op->field[F_N] % 8);
    case 2:
        return lsm_levels(s->db, levels);
    case 3:
        TRY(lsm_health(s->db, &health));
        return health.state == LSM_HEALTHY ? LSM_OK : LSM_IO;
    case 4:
        return lsm_stats(s->db, (lsm_stats_format)(op->field[F_STAMP] % 3), &s->value);
    case 5:
        return lsm_stat(s->db, "no_such_number", &number) == LSM_NOT_FOUND ? LSM_OK : LSM_IO;
    case 6:
        return measure(s, op);
    default:
        return lsm_option_at(0, &option) ? LSM_OK : LSM_IO;
    }
}

static lsm_status misuse(struct subject *s, const struct op *op)
{
    static const uint8_t long_key[LSM_KEY_SIZE_MAX + 1];
    const lsm_slice key = op_key(1);
    const lsm_slice nowhere = slice_make(NULL, 1);
    const lsm_slice oversize = slice_make(long_key, sizeof long_key);
    const lsm_write_options options = {.sync = (lsm_sync_mode)77};
    lsm_keyspace *keyspace;
    lsm_iter *it;
    lsm_txn *txn;

    switch (op->field[F_N] % 12) {
    case 0:
        return lsm_put(s->db, NULL, nowhere, key, NULL);
    case 1:
        return lsm_put(s->db, NULL, oversize, key, NULL);
    case 2:
        return lsm_put(s->db, NULL, key, slice_make(long_key, (size_t)LSM_VALUE_SIZE_MAX + 1),
                       NULL);
    case 3:
        return lsm_put(s->db, NULL, key, key, &options);
    case 4:
        return lsm_get(s->db, NULL, key, NULL);
    case 5:
        return lsm_get(NULL, NULL, key, &s->value);
    case 6:
        return lsm_begin(s->db, (lsm_txn_mode)9, &txn);
    case 7:
        return lsm_commit(NULL, NULL);
    case 8:
        return lsm_keyspace_open(s->db, "", true, NULL, &keyspace);
    case 9:
        return lsm_iter_open(s->db, NULL, &(lsm_iter_options){.lower = &oversize}, &it);
    case 10:
        return lsm_update(s->db, NULL, NULL);
    default:
        return lsm_write(s->db, NULL, NULL);
    }
}

// --- opening again ---

static void reopen(struct subject *s, const struct reference *ref, struct line *out)
{
    lsm_status status = s->db == NULL ? LSM_OK : lsm_close(s->db);

    if (status == LSM_INVALID) {
        line_text(out, "children ");
        subject_close_children(s);
        status = lsm_close(s->db);
    }
    for (size_t i = 0; i < REF_BATCHES; i++)
        lsm_batch_clear(s->batches[i]);
    subject_close_handles(s);
    s->db = NULL;
    // As long as it says that it was closed, once, even if the power goes meanwhile.
    sim_advance(s->sim, ref_clock_ns(ref) - clock_wall_ns(sim_env(s->sim)));
    if (status == LSM_OK && (!subject_live_in_copy(s) || !subject_open(s)))
        status = LSM_IO;
    line_status(out, status);
    if (status == LSM_OK)
        subject_open_handles(s, ref);
    else
        line_text(out, lsm_errmsg());
}

static void arm(struct subject *s, const struct reference *ref, const struct op *op,
                struct line *out)
{
    subject_close_children(s);
    subject_close_handles(s);
    subject_open_handles(s, ref);
    s->is_armed = true;
    s->crash_calls = op->field[F_N];
    s->crash_again = op->field[F_TO];
    s->survival = (enum sim_survival)(op->field[F_SIZE] % 4);
    s->crash_seed = op->field[F_STAMP];
    sim_crash_at(s->sim, s->crash_calls);
    line_status(out, LSM_OK);
}

static lsm_status run_jobs(struct subject *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        (void)scheduler_run_one(s->db->scheduler);
    return LSM_OK;
}

static lsm_status upkeep(struct subject *s, const struct op *op)
{
    switch (op->kind) {
    case OP_FLUSH:
        return lsm_flush(s->db);
    case OP_SYNC:
        return lsm_sync(s->db);
    case OP_COMPACT:
        return compact(s, op);
    case OP_IDLE:
        return lsm_wait_idle(s->db);
    case OP_JOBS:
        return run_jobs(s, op->field[F_N]);
    case OP_VERIFY:
        return lsm_verify(s->db, NULL, NULL);
    case OP_RESUME:
        return lsm_resume(s->db);
    case OP_INSPECT:
        return inspect(s, op);
    case OP_MISUSE:
        return misuse(s, op);
    case OP_SUSPEND:
        sim_suspend(s->sim, op->field[F_N] * UINT64_C(1000000000));
        return LSM_OK;
    default:
        sim_advance(s->sim, op->field[F_N] * UINT64_C(1000000));
        return LSM_OK;
    }
}

void subject_apply_upkeep(struct subject *s, const struct reference *ref, const struct op *op,
                          struct line *out)
{
    switch (op->kind) {
    case OP_KEYSPACE_OPEN:
        open_keyspace(s, op, out);
        break;
    case OP_KEYSPACE_DROP:
        drop_keyspace(s, ref, op, out);
        break;
    case OP_KEYSPACE_ALTER:
        alter_keyspace(s, op, out);
        break;
    case OP_KEYSPACE_LIST:
        list_keyspaces(s, out);
        break;
    case OP_SET_OPTION:
        change_option(s, op, out);
        break;
    case OP_CHECK:
        subject_check(s, s->db, ref, out);
        break;
    case OP_READ_ONLY:
        read_only(s, ref, out);
        break;
    case OP_REOPEN:
        reopen(s, ref, out);
        break;
    case OP_CRASH:
        arm(s, ref, op, out);
        break;
    case OP_CLOCK:
        sim_set_wall(s->sim, ref_clock_ns(ref));
        line_status(out, LSM_OK);
        break;
    default:
        line_status(out, upkeep(s, op));
    }
}

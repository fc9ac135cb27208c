// The engine: the power goes, and what has survived is a prefix of the commits.
//
// Which prefix, the options decide. To keep histories equal the lost commits are made again,
// from what the reference knows of them; they get new timestamps.

#include "base/hash.h"
#include "model/subject.h"

// What is found of one key; the timestamp is 0 when it is absent.
struct found_entry {
    uint64_t ts;
    uint8_t user_byte;
    uint64_t expiry;
    uint64_t hash;
    uint64_t size;
};

struct found_content {
    struct found_entry entries[OP_KEYSPACES][OP_KEYS];
    uint64_t ts_max;
};

bool subject_is_down(struct subject *s, const struct reference *ref)
{
    if (!s->is_armed)
        return false;
    if (ref->armed == 0 && !sim_has_crashed(s->sim))
        sim_crash_at(s->sim, 1); // closing takes it there
    return ref->armed == 0 || sim_has_crashed(s->sim);
}

// --- opening ---

// Once more, if the power goes again meanwhile: it may even do so in what opening does not need.
static bool restart(struct subject *s)
{
    do {
        const uint64_t again = s->crash_again;
        bool is_open;

        sim_restart(s->sim, s->survival, s->crash_seed++);
        s->crash_again = 0;
        if (!subject_live_in_copy(s))
            return false;
        sim_crash_at(s->sim, again);
        is_open = subject_open(s);
        sim_crash_at(s->sim, 0);
        if (!sim_has_crashed(s->sim))
            return is_open;
        if (is_open)
            (void)lsm_close(s->db);
        s->db = NULL;
    } while (true);
}

static lsm_status read_keyspace(struct subject *s, uint32_t ks, struct found_content *found)
{
    lsm_iter *it;
    lsm_slice value;
    lsm_status status;

    TRY(lsm_iter_open(s->db, s->handles[ks], NULL, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        const uint32_t key = op_key_number(lsm_iter_key(it));

        status = key == OP_KEYS ? LSM_CORRUPT : lsm_iter_value(it, &value);
        if (status != LSM_OK)
            break;
        found->entries[ks][key] = (struct found_entry){.ts = lsm_iter_ts(it),
                                                       .user_byte = lsm_iter_user_byte(it),
                                                       .expiry = lsm_iter_expiry(it),
                                                       .hash = hash64(value.data, value.size, 0),
                                                       .size = value.size};
        if (lsm_iter_ts(it) > found->ts_max)
            found->ts_max = lsm_iter_ts(it);
    }
    lsm_iter_close(it);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

// --- which prefix ---

static bool entry_matches(const struct subject *s, const struct reference *ref,
                          const struct found_entry *found, const struct ref_write *write)
{
    if (ref_is_absent(ref, write, ref_wall(ref)))
        return found->ts == 0;
    // The timestamp of a commit under way is not known.
    if (write->ordinal < s->ts_count && found->ts != s->ts[write->ordinal])
        return false;
    return found->ts != 0 && found->user_byte == write->user_byte &&
           found->expiry == write->expiry && found->size == write->value.size &&
           found->hash == hash64(write->value.data, write->value.size, 0);
}

static bool is_prefix(const struct subject *s, const struct reference *ref,
                      const struct found_content *found, uint64_t ordinal)
{
    for (uint32_t ks = 0; ks < OP_KEYSPACES; ks++) {
        const uint32_t keyspace = ref_keyspace_by_name(ref, ks);

        for (uint32_t key = 0; key < OP_KEYS && keyspace != REF_NO_KEYSPACE; key++) {
            if (!entry_matches(s, ref, &found->entries[ks][key],
                               ref_newest(ref, keyspace, key, ordinal)))
                return false;
        }
    }
    return true;
}

// The shortest prefix that `found` can be; false when it is none.
static bool find_prefix(struct subject *s, const struct reference *ref,
                        const struct found_content *found, uint64_t *prefix)
{
    for (uint64_t ordinal = s->durable; ordinal <= ref->ordinal; ordinal++) {
        if (is_prefix(s, ref, found, ordinal)) {
            *prefix = ordinal;
            return true;
        }
    }
    return false;
}

// --- making lost commits again ---

static lsm_status write_again(struct subject *s, const struct reference *ref, lsm_txn *txn,
                              uint64_t ordinal, size_t *count)
{
    *count = 0;
    for (size_t i = ref->writes.count; i-- > 0 && ref->writes.items[i].ordinal >= ordinal;) {
        const struct ref_write *write = &ref->writes.items[i];
        lsm_keyspace *keyspace = s->handles[ref->keyspaces[write->keyspace]->name];

        if (write->ordinal != ordinal || ref_is_dropped(ref, write->keyspace, REF_NOW))
            continue;
        ++*count;
        if (write->is_delete)
            TRY(lsm_txn_delete(txn, keyspace, op_key(write->key)));
        else // 0 would ask for the default of a keyspace that may have got one since
            TRY(lsm_txn_put_entry(txn, keyspace, op_key(write->key), write->value,
                                  write->expiry == 0 ? LSM_EXPIRY_NONE : write->expiry,
                                  write->user_byte));
    }
    return LSM_OK;
}

static lsm_status commit_again(struct subject *s, const struct reference *ref, uint64_t ordinal)
{
    const lsm_write_options options = {.sync = LSM_SYNC_FULL};
    lsm_txn *txn;
    size_t count;
    lsm_status status;

    TRY(lsm_begin(s->db, LSM_TXN_SNAPSHOT, &txn));
    status = write_again(s, ref, txn, ordinal, &count);
    if (status == LSM_OK)
        status = lsm_commit(txn, &options);
    if (status == LSM_OK)
        subject_note_ts(s, ordinal,
                        count == 0 ? oracle_published(s->db->oracle) : lsm_txn_commit_ts(txn));
    lsm_txn_free(txn);
    s->lost_commits++;
    return status;
}

static lsm_status make_equal(struct subject *s, const struct reference *ref, const struct op *op,
                             const struct found_content *found, uint64_t prefix)
{
    // A drop under way is made again as an operation.
    const uint64_t last = op->kind == OP_KEYSPACE_DROP && s->ts_count <= ref->ordinal
                              ? ref->ordinal - 1
                              : ref->ordinal;

    if (prefix == ref->ordinal && s->ts_count <= prefix && last == prefix)
        subject_note_ts(s, prefix,
                        found->ts_max > s->ts[prefix - 1] ? found->ts_max
                                                          : oracle_published(s->db->oracle));
    for (uint64_t ordinal = prefix + 1; ordinal <= last; ordinal++)
        TRY(commit_again(s, ref, ordinal));
    TRY(lsm_sync(s->db));
    s->durable = last;
    return LSM_OK;
}

static bool say(struct line *why, const char *words)
{
    line_text(why, words);
    line_text(why, ": ");
    line_text(why, lsm_errmsg());
    return false;
}

bool subject_recover(struct subject *s, const struct reference *ref, const struct op *op,
                     struct line *why)
{
    struct found_content found = {0};
    uint64_t prefix;

    subject_close_children(s);
    subject_close_handles(s);
    if (s->db != NULL)
        (void)lsm_close(s->db); // without power
    s->db = NULL;
    s->is_armed = false;
    s->crashes++;
    if (!restart(s))
        return say(why, "does not open after a crash");
    s->recovered_ts = oracle_published(s->db->oracle);
    subject_open_handles(s, ref);
    for (uint32_t ks = 0; ks < OP_KEYSPACES; ks++) {
        if ((ks == 0 || s->handles[ks] != NULL) && read_keyspace(s, ks, &found) != LSM_OK)
            return say(why, "cannot be read after a crash");
    }
    if (!find_prefix(s, ref, &found, &prefix))
        return say(why, "what survived a crash is no prefix of the commits");
    if (make_equal(s, ref, op, &found, prefix) != LSM_OK)
        return say(why, "takes no commits after a crash");
    return true;
}

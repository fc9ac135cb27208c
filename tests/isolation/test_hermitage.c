// test_hermitage.c -- the scenarios of Hermitage, by name and level.
//
// Each test is a scenario at one level; its name says what the level does with it. "prevented"
// means that a transaction fails, or reads its snapshot, so that the anomaly does not show.
// Keys 1 and 2 hold 10 and 20 at first, as in the original (M. Kleppmann, "Hermitage"). Every
// scenario runs on memtables, and once more with a flush after each step.

#include "support/db_fixture.h"

static struct db_fixture f;
static lsm_txn *t1;
static lsm_txn *t2;
static lsm_txn *t3;
static bool flushes;

static void setup(void)
{
    db_fixture_start(&f);
}

static void teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(hermitage, .init = setup, .fini = teardown);

#define SERIALIZABLE LSM_TXN_SERIALIZABLE
#define SNAPSHOT     LSM_TXN_SNAPSHOT
#define READ_ONLY    LSM_TXN_READ_ONLY

typedef void (*scenario_fn)(lsm_txn_mode level);

static void run(scenario_fn scenario, lsm_txn_mode level)
{
    for (int i = 0; i < 2; i++) {
        flushes = i == 1;
        put_text(&f, "1", "10");
        put_text(&f, "2", "20");
        scenario(level);
        assert_ok(lsm_delete(f.db, NULL, lsm_str("3"), NULL));
        assert_ok(lsm_delete(f.db, NULL, lsm_str("4"), NULL));
    }
}

// A test called `name`: the scenario at a level.
#define AT(level, scenario, name)                                                                  \
    Test(hermitage, name)                                                                          \
    {                                                                                              \
        run(scenario, level);                                                                      \
    }

// --- one step each ---

static void settle(void)
{
    if (flushes)
        assert_ok(lsm_flush(f.db));
}

static lsm_txn *begin(lsm_txn_mode level)
{
    lsm_txn *txn = NULL;

    assert_ok(lsm_begin(f.db, level, &txn));
    return txn;
}

static void begin_both(lsm_txn_mode level)
{
    t1 = begin(level);
    t2 = begin(level);
}

static void write_to(lsm_txn *txn, const char *key, const char *value)
{
    assert_ok(lsm_txn_put(txn, NULL, lsm_str(key), lsm_str(value)));
}

static void delete_in(lsm_txn *txn, const char *key)
{
    assert_ok(lsm_txn_delete(txn, NULL, lsm_str(key)));
}

static void roll_back(lsm_txn *txn)
{
    assert_ok(lsm_rollback(txn));
    lsm_txn_free(txn);
}

static void assert_commits(lsm_txn *txn)
{
    assert_ok(lsm_commit(txn, NULL));
    lsm_txn_free(txn);
    settle();
}

static void assert_conflicts(lsm_txn *txn)
{
    assert_status(lsm_commit(txn, NULL), LSM_CONFLICT);
    lsm_txn_free(txn);
    settle();
}

// Of a transaction that has read what another overwrote: only snapshots may.
static void assert_skews(lsm_txn *txn, lsm_txn_mode level)
{
    if (level == SERIALIZABLE)
        assert_conflicts(txn);
    else
        assert_commits(txn);
}

// The predicate of the scenarios: which values up to key 9 are `wanted`, or multiples of 3 when
// that is NULL. `seen` is their keys, in order.
static void assert_selects(lsm_txn *txn, const char *wanted, const char *keys)
{
    const lsm_slice upper = lsm_str("9");
    const lsm_iter_options options = {.upper = &upper};
    char seen[16] = "";
    lsm_status status;
    lsm_iter *it;

    assert_ok(lsm_txn_iter_open(txn, NULL, &options, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        char text[8] = "";
        lsm_slice value;

        assert_ok(lsm_iter_value(it, &value));
        memcpy(text, value.data, value.size);
        if (wanted == NULL ? atoi(text) % 3 == 0 : strcmp(text, wanted) == 0)
            strncat(seen, lsm_iter_key(it).data, 1);
    }
    assert_status(status, LSM_NOT_FOUND);
    lsm_iter_close(it);
    cr_assert(eq(str, seen, (char *)keys));
}

static void assert_database(const char *first, const char *second)
{
    assert_holds(&f, NULL, "1", first);
    assert_holds(&f, NULL, "2", second);
}

// --- G0: write cycles (dirty write) ---

static void g0(lsm_txn_mode level)
{
    begin_both(level);
    write_to(t1, "1", "11");
    write_to(t2, "1", "12");
    write_to(t1, "2", "21");
    assert_commits(t1);
    assert_database("11", "21");
    write_to(t2, "2", "22");
    // Blind writes may be ordered after; first committer wins refuses them.
    if (level == SNAPSHOT) {
        assert_conflicts(t2);
        assert_database("11", "21");
    } else {
        assert_commits(t2);
        assert_database("12", "22");
    }
}

AT(SERIALIZABLE, g0, G0_dirty_write_is_prevented_at_serializable)
AT(SNAPSHOT, g0, G0_dirty_write_is_prevented_at_snapshot)

// --- G1a: aborted reads ---

static void g1a(lsm_txn_mode level)
{
    t1 = begin(SERIALIZABLE);
    t2 = begin(level);
    write_to(t1, "1", "101");
    assert_txn_sees(t2, "1", "10");
    assert_selects(t2, "101", "");
    roll_back(t1);
    settle();
    assert_txn_sees(t2, "1", "10");
    assert_commits(t2);
    assert_database("10", "20");
}

AT(SERIALIZABLE, g1a, G1a_aborted_read_is_prevented_at_serializable)
AT(SNAPSHOT, g1a, G1a_aborted_read_is_prevented_at_snapshot)
AT(READ_ONLY, g1a, G1a_aborted_read_is_prevented_at_read_only)

// --- G1b: intermediate reads ---

static void g1b(lsm_txn_mode level)
{
    t1 = begin(SERIALIZABLE);
    t2 = begin(level);
    write_to(t1, "1", "101");
    assert_txn_sees(t2, "1", "10");
    write_to(t1, "1", "11");
    assert_commits(t1);
    assert_txn_sees(t2, "1", "10");
    assert_commits(t2);
    t2 = begin(level);
    assert_txn_sees(t2, "1", "11");
    assert_commits(t2);
}

AT(SERIALIZABLE, g1b, G1b_intermediate_read_is_prevented_at_serializable)
AT(SNAPSHOT, g1b, G1b_intermediate_read_is_prevented_at_snapshot)
AT(READ_ONLY, g1b, G1b_intermediate_read_is_prevented_at_read_only)

// --- G1c: circular information flow ---

static void g1c(lsm_txn_mode level)
{
    begin_both(level);
    write_to(t1, "1", "11");
    write_to(t2, "2", "22");
    assert_txn_sees(t1, "2", "20");
    assert_txn_sees(t2, "1", "10");
    assert_commits(t1);
    assert_skews(t2, level); // it has read what t1 overwrote
    assert_database("11", level == SERIALIZABLE ? "20" : "22");
}

AT(SERIALIZABLE, g1c, G1c_circular_flow_is_prevented_at_serializable)
AT(SNAPSHOT, g1c, G1c_circular_flow_is_prevented_at_snapshot)

// --- OTV: observed transaction vanishes ---

static void otv(lsm_txn_mode level)
{
    t1 = begin(SERIALIZABLE);
    t2 = begin(SERIALIZABLE);
    write_to(t1, "1", "11");
    write_to(t1, "2", "19");
    write_to(t2, "1", "12");
    assert_commits(t1);
    t3 = begin(level);
    assert_txn_sees(t3, "1", "11");
    write_to(t2, "2", "18");
    assert_txn_sees(t3, "2", "19");
    assert_commits(t2);
    assert_txn_sees(t3, "2", "19");
    assert_txn_sees(t3, "1", "11");
    assert_commits(t3);
    assert_database("12", "18");
}

AT(SERIALIZABLE, otv, OTV_vanishing_transaction_is_prevented_at_serializable)
AT(SNAPSHOT, otv, OTV_vanishing_transaction_is_prevented_at_snapshot)
AT(READ_ONLY, otv, OTV_vanishing_transaction_is_prevented_at_read_only)

// --- PMP: predicate many preceders ---

static void pmp(lsm_txn_mode level)
{
    t1 = begin(level);
    t2 = begin(SERIALIZABLE);
    assert_selects(t1, "30", "");
    write_to(t2, "3", "30");
    assert_commits(t2);
    assert_selects(t1, NULL, "");
    assert_commits(t1);
}

AT(SERIALIZABLE, pmp, PMP_predicate_many_preceders_is_prevented_at_serializable)
AT(SNAPSHOT, pmp, PMP_predicate_many_preceders_is_prevented_at_snapshot)
AT(READ_ONLY, pmp, PMP_predicate_many_preceders_is_prevented_at_read_only)

// With a write predicate: one raises every value by 10, the other deletes who holds 20.
static void pmp_write(lsm_txn_mode level)
{
    begin_both(level);
    assert_selects(t1, "10", "1");
    assert_selects(t1, "20", "2");
    write_to(t1, "1", "20");
    write_to(t1, "2", "30");
    assert_selects(t2, "20", "2");
    delete_in(t2, "2");
    assert_commits(t1);
    assert_conflicts(t2);
    assert_database("20", "30");
}

AT(SERIALIZABLE, pmp_write, PMP_for_write_predicates_is_prevented_at_serializable)
AT(SNAPSHOT, pmp_write, PMP_for_write_predicates_is_prevented_at_snapshot)

// --- P4: lost update ---

static void p4(lsm_txn_mode level)
{
    begin_both(level);
    assert_txn_sees(t1, "1", "10");
    assert_txn_sees(t2, "1", "10");
    write_to(t1, "1", "11");
    write_to(t2, "1", "12");
    assert_commits(t1);
    assert_conflicts(t2);
    assert_database("11", "20");
}

AT(SERIALIZABLE, p4, P4_lost_update_is_prevented_at_serializable)
AT(SNAPSHOT, p4, P4_lost_update_is_prevented_at_snapshot)

// --- G-single: read skew ---

static void g_single(lsm_txn_mode level)
{
    t1 = begin(level);
    t2 = begin(SERIALIZABLE);
    assert_txn_sees(t1, "1", "10");
    assert_txn_sees(t2, "1", "10");
    assert_txn_sees(t2, "2", "20");
    write_to(t2, "1", "12");
    write_to(t2, "2", "18");
    assert_commits(t2);
    assert_txn_sees(t1, "2", "20");
    assert_commits(t1);
}

AT(SERIALIZABLE, g_single, G_single_read_skew_is_prevented_at_serializable)
AT(SNAPSHOT, g_single, G_single_read_skew_is_prevented_at_snapshot)
AT(READ_ONLY, g_single, G_single_read_skew_is_prevented_at_read_only)

// Dependencies through a predicate: t1 sees none of what t2 makes a multiple of 3.
static void g_single_predicate(lsm_txn_mode level)
{
    t1 = begin(level);
    t2 = begin(SERIALIZABLE);
    assert_selects(t1, NULL, "");
    write_to(t2, "1", "12");
    assert_commits(t2);
    assert_selects(t1, NULL, "");
    assert_txn_sees(t1, "1", "10");
    assert_commits(t1);
}

AT(SERIALIZABLE, g_single_predicate, G_single_for_predicates_is_prevented_at_serializable)
AT(SNAPSHOT, g_single_predicate, G_single_for_predicates_is_prevented_at_snapshot)
AT(READ_ONLY, g_single_predicate, G_single_for_predicates_is_prevented_at_read_only)

// The reader of the past overwrites what it has not seen change.
static void g_single_write(lsm_txn_mode level)
{
    begin_both(level);
    assert_txn_sees(t1, "1", "10");
    assert_selects(t2, NULL, "");
    write_to(t2, "1", "12");
    write_to(t2, "2", "18");
    assert_commits(t2);
    delete_in(t1, "2");
    assert_conflicts(t1);
    assert_database("12", "18");
}

AT(SERIALIZABLE, g_single_write, G_single_for_write_predicates_is_prevented_at_serializable)
AT(SNAPSHOT, g_single_write, G_single_for_write_predicates_is_prevented_at_snapshot)

// --- G2-item: write skew ---

static void g2_item(lsm_txn_mode level)
{
    begin_both(level);
    assert_txn_sees(t1, "1", "10");
    assert_txn_sees(t1, "2", "20");
    assert_txn_sees(t2, "1", "10");
    assert_txn_sees(t2, "2", "20");
    write_to(t1, "1", "11");
    write_to(t2, "2", "21");
    assert_commits(t1);
    assert_skews(t2, level);
    assert_database("11", level == SERIALIZABLE ? "20" : "21");
}

AT(SERIALIZABLE, g2_item, G2_item_write_skew_is_prevented_at_serializable)
AT(SNAPSHOT, g2_item, G2_item_write_skew_is_allowed_at_snapshot)

// Through keys that are not there: each makes one because the other is absent.
static void g2_item_absent(lsm_txn_mode level)
{
    begin_both(level);
    assert_txn_sees(t1, "4", NULL);
    assert_txn_sees(t2, "3", NULL);
    write_to(t1, "3", "30");
    write_to(t2, "4", "42");
    assert_commits(t1);
    assert_skews(t2, level);
    assert_holds(&f, NULL, "4", level == SERIALIZABLE ? NULL : "42");
}

AT(SERIALIZABLE, g2_item_absent,
   G2_item_write_skew_through_absent_keys_is_prevented_at_serializable)
AT(SNAPSHOT, g2_item_absent, G2_item_write_skew_through_absent_keys_is_allowed_at_snapshot)

// --- G2: anti-dependency cycles through a predicate ---

static void g2(lsm_txn_mode level)
{
    begin_both(level);
    assert_selects(t1, NULL, "");
    assert_selects(t2, NULL, "");
    write_to(t1, "3", "30");
    write_to(t2, "4", "42");
    assert_commits(t1);
    assert_skews(t2, level);
    assert_holds(&f, NULL, "4", level == SERIALIZABLE ? NULL : "42");
}

AT(SERIALIZABLE, g2, G2_write_skew_through_ranges_is_prevented_at_serializable)
AT(SNAPSHOT, g2, G2_write_skew_through_ranges_is_allowed_at_snapshot)

// Each deletes one of the two, counting on the other to stay.
static void g2_delete(lsm_txn_mode level)
{
    begin_both(level);
    assert_selects(t1, "20", "2");
    assert_selects(t2, "10", "1");
    delete_in(t1, "1");
    delete_in(t2, "2");
    assert_commits(t1);
    assert_skews(t2, level);
    assert_database(NULL, level == SERIALIZABLE ? "20" : NULL);
}

AT(SERIALIZABLE, g2_delete, G2_phantom_on_delete_is_prevented_at_serializable)
AT(SNAPSHOT, g2_delete, G2_phantom_on_delete_is_allowed_at_snapshot)

// A cycle of three, two edges of which are anti-dependencies: while t1, which has read, is under
// way, t2 changes key 2 and t3 sees that; then t1 writes key 1.
static void change_and_report(lsm_txn_mode level, const char *changed, const char *written)
{
    t2 = begin(level);
    assert_txn_sees(t2, "2", "20");
    write_to(t2, "2", changed);
    assert_commits(t2);
    t3 = begin(READ_ONLY);
    assert_txn_sees(t3, "1", "10");
    assert_txn_sees(t3, "2", changed);
    assert_commits(t3);
    write_to(t1, "1", written);
    assert_skews(t1, level);
    assert_database(level == SERIALIZABLE ? "10" : written, changed);
}

// Fekete's example in Hermitage.
static void g2_two_edges(lsm_txn_mode level)
{
    t1 = begin(level);
    assert_selects(t1, NULL, "");
    change_and_report(level, "25", "0");
}

AT(SERIALIZABLE, g2_two_edges, G2_with_two_anti_dependencies_is_prevented_at_serializable)
AT(SNAPSHOT, g2_two_edges, G2_with_two_anti_dependencies_is_allowed_at_snapshot)

// --- the read-only transaction anomaly (Fekete, O'Neil and O'Neil, 2004) ---

// Checking is key 1, savings key 2. t2 deposits, t3 reports, t1 withdraws with a fee because
// neither is in its snapshot.
static void read_only_anomaly(lsm_txn_mode level)
{
    t1 = begin(level);
    assert_txn_sees(t1, "1", "10");
    assert_txn_sees(t1, "2", "20");
    change_and_report(level, "40", "-11");
}

AT(SERIALIZABLE, read_only_anomaly, read_only_transaction_anomaly_is_prevented_at_serializable)
AT(SNAPSHOT, read_only_anomaly, read_only_transaction_anomaly_is_allowed_at_snapshot)

// --- a read-only transaction never fails, whatever comes between ---

Test(hermitage, reads_alone_never_conflict_at_any_level)
{
    for (int level = SERIALIZABLE; level <= READ_ONLY; level++) {
        put_text(&f, "1", "10");
        t1 = begin((lsm_txn_mode)level);
        assert_selects(t1, "10", "1");
        put_text(&f, "1", "11");
        put_text(&f, "3", "10");
        assert_selects(t1, "10", "1");
        assert_commits(t1);
        assert_ok(lsm_delete(f.db, NULL, lsm_str("3"), NULL));
    }
}

// test_checker.c -- each anomaly by hand, and its harmless sister.
//
// A history is a text: one transaction per line, in the order of time unless told otherwise.
//
//     s 10-20 @5 +9: rA1 wA2      serializable, from 10 to 20, snapshot 5, commit timestamp 9
//
// Levels: s, n (snapshot), o (read-only). Without "+" it has been rolled back, with "?" the
// outcome is open. Operations: r and w of registers A to Z (value 0: absent, deleted), a of
// lists (append), l of lists (read, elements with dots), [A-C:A1.C2] a scan of A up to, without,
// C; S savepoint, R rollback to it; c of counters.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <ctype.h>
#include <string.h>

#include "isolation/checker.h"

#define TXNS_MAX   16
#define EVENTS_MAX 64

static struct verdict verdict;

static void expect(const char **at, char wanted)
{
    const char found = *(*at)++;

    cr_assert(eq(chr, found, wanted));
}

static uint64_t take_number(const char **at)
{
    char *end;
    const uint64_t number = strtoull(*at, &end, 10);

    *at = end;
    return number;
}

static uint32_t take_key(const char **at)
{
    const char name = *(*at)++;

    cr_assert(ge(chr, name, 'A'));
    return (uint32_t)(name - 'A');
}

// "A1.2.3": a key, and items of it.
static uint32_t take_list(struct recorder *recorder, const char **at)
{
    const uint32_t key = take_key(at);

    while (isdigit((unsigned char)**at)) {
        record(recorder, EVENT_ITEM, key, take_number(at));
        if (**at == '.')
            ++*at;
    }
    return key;
}

// "A-C:A1.B2]"
static void take_scan(struct recorder *recorder, const char **at)
{
    const uint32_t low = take_key(at);
    uint32_t high;

    expect(at, '-');
    high = take_key(at);
    expect(at, ':');
    while (**at != ']') {
        const uint32_t key = take_key(at);

        record(recorder, EVENT_ITEM, key, take_number(at));
        if (**at == '.')
            ++*at;
    }
    ++*at;
    record(recorder, EVENT_SCAN, low, high);
}

static void take_operation(struct recorder *recorder, const char **at)
{
    const char operation = *(*at)++;
    uint32_t key;

    switch (operation) {
    case 'r':
        key = take_key(at);
        record(recorder, EVENT_READ, key, take_number(at));
        break;
    case 'w':
        key = take_key(at);
        record(recorder, EVENT_WRITE, key, take_number(at));
        break;
    case 'a':
        key = take_key(at);
        record(recorder, EVENT_APPEND, key, take_number(at));
        break;
    case 'c':
        key = take_key(at);
        record(recorder, EVENT_COUNTED, key, take_number(at));
        break;
    case 'l':
        record(recorder, EVENT_READ_LIST, take_list(recorder, at), 0);
        break;
    case '[':
        take_scan(recorder, at);
        break;
    case 'S':
        record(recorder, EVENT_SAVEPOINT, 0, 0);
        break;
    case 'R':
        record(recorder, EVENT_ROLLBACK_TO, 0, 0);
        break;
    default:
        cr_fatal("no operation: %c", operation);
    }
}

// Each transaction is of a thread of its own. Returns what stands behind the line.
static const char *take_line(struct recorder *recorder, const char *at, uint64_t line)
{
    static const char levels[] = "sno";
    uint64_t begin = line * 10;
    uint64_t end = begin + 5;
    enum event_kind outcome = EVENT_ABORTED;
    uint64_t commit_ts = 0;
    uint64_t read_ts = 0;
    uint32_t level;

    level = (uint32_t)(strchr(levels, *at++) - levels);
    while (*at != ':') {
        const char what = *at++;

        if (what == '@') {
            read_ts = take_number(&at);
        } else if (what == '+') {
            outcome = EVENT_COMMITTED;
            commit_ts = take_number(&at);
        } else if (what == '?') {
            outcome = EVENT_COMMITTING;
        } else if (isdigit((unsigned char)*at)) {
            begin = take_number(&at);
            expect(&at, '-');
            end = take_number(&at);
        }
    }
    record(recorder, EVENT_BEGIN, level, begin);
    record(recorder, EVENT_READ_TS, 0, read_ts);
    for (at++; *at != '\n' && *at != '\0';) {
        if (*at == ' ')
            at++;
        else
            take_operation(recorder, &at);
    }
    record(recorder, outcome, 0, commit_ts);
    if (outcome != EVENT_COMMITTING)
        record(recorder, EVENT_END, 0, end);
    return *at == '\n' ? at + 1 : at;
}

static void judge(const char *text)
{
    struct event events[TXNS_MAX][EVENTS_MAX];
    struct recorder recorders[TXNS_MAX];
    size_t count = 0;

    for (; *text != '\0'; count++) {
        cr_assert(lt(sz, count, TXNS_MAX));
        recorders[count] = (struct recorder){.events = events[count], .capacity = EVENTS_MAX};
        text = take_line(&recorders[count], text, count + 1);
    }
    checker_judge(recorders, count, &verdict);
}

static void assert_clean(const char *text)
{
    judge(text);
    cr_assert(eq(u64, verdict.findings.total, 0), "%s", verdict.findings.told[0]);
}

// The first finding is of this kind.
static void assert_found(const char *name, const char *text)
{
    const size_t size = strlen(name);
    bool is_it;

    judge(text);
    cr_assert(ne(u64, verdict.findings.total, 0), "%s is not found", name);
    is_it =
        strncmp(verdict.findings.told[0], name, size) == 0 && verdict.findings.told[0][size] == ':';
    cr_assert(is_it, "%s is taken for %s", name, verdict.findings.told[0]);
}

// --- what is right is called right ---

Test(checker, an_empty_history_is_clean)
{
    assert_clean("");
}

Test(checker, one_transaction_after_the_other_is_clean)
{
    assert_clean("s+1: wA1 aL1\n"
                 "s@1+2: rA1 wA2 lL1 aL2\n"
                 "n@2+3: rA2 wA0 lL1.2 aL3 lL1.2.3\n"
                 "s@3: rA0 wA9 aL9\n"
                 "o@3+0: rA0 lL1.2.3 [A-C:]\n");
    cr_assert(eq(u64, verdict.txns, 5));
    cr_assert(eq(u64, verdict.committed, 4));
    cr_assert(not(verdict.has_write_skew));
}

Test(checker, a_snapshot_reads_the_past_while_others_write)
{
    assert_clean("s+1: wA1 wB1\n"
                 "o 15-90@1+0: rA1 rB1\n"
                 "s@1+2: wA2 wB2\n"
                 "s@2+3: rA2 rB2 wA3\n");
}

// --- G0, G1 ---

Test(checker, g0_is_a_cycle_of_overwriting)
{
    assert_found("G0", "s 10-50+0: aL1 aM1\n"
                       "s 10-50+0: aL2 aM2\n"
                       "s 60-70+0: lL1.2 lM2.1\n");
    assert_clean("s 10-50+0: aL1 aM1\n"
                 "s 10-50+0: aL2 aM2\n"
                 "s 60-70+0: lL1.2 lM1.2\n");
}

Test(checker, g1a_reads_what_was_rolled_back)
{
    assert_found("G1a", "s: wA1\n"
                        "s+0: rA1\n");
    assert_found("G1a", "s: aL1\n"
                        "s+0: lL1\n");
    assert_found("G1a", "s+1: S wA1 R wA2\n"
                        "o+0: rA1\n");
    assert_clean("s+1: S wA1 R wA2\n"
                 "o+0: rA2\n");
}

Test(checker, g1b_reads_what_its_writer_overwrote)
{
    assert_found("G1b", "s+1: wA1 wA2\n"
                        "s+0: rA1\n");
    assert_found("G1b", "s 10-50+0: aL1 aL2\n"
                        "s 10-50+0: lL1\n"
                        "s 60-70+0: lL1.2\n");
    assert_clean("s+1: aL1 aL2\n"
                 "s+0: lL1.2\n");
}

Test(checker, g1c_is_a_cycle_of_reading)
{
    assert_found("G1c", "s 10-50+1: wA1 rB2\n"
                        "s 10-50+2: wB2 rA1\n");
    assert_clean("s 10-50+1: wA1 rB0\n"
                 "s 10-50+2: wB2 rA1\n");
}

// --- read skew, write skew ---

Test(checker, g_single_is_half_of_a_transaction_seen)
{
    static const char *const levels = "sno";
    char history[] = "s 10-50+5: wA1 wB1\n"
                     "s 10-60+0: rA1 rB0\n";

    for (int i = 0; i < 3; i++) {
        history[strlen("s 10-50+5: wA1 wB1\n")] = levels[i];
        assert_found("G-single", history);
    }
    assert_found("G-single", "s 10-50+0: aL1 aM1\n"
                             "s 10-60+0: lL1 lM\n"
                             "s 70-80+0: lL1 lM1\n");
}

Test(checker, an_aborted_reader_sees_one_snapshot_too)
{
    assert_found("G-single", "s 10-50+5: wA1 wB1\n"
                             "s 10-60: rA1 rB0\n");
}

Test(checker, g2_item_is_write_skew_and_only_snapshots_may)
{
    assert_found("G2-item", "s 10-50+1: rA0 wB1\n"
                            "s 10-50+2: rB0 wA1\n");
    assert_clean("n 10-50+1: rA0 wB1\n"
                 "n 10-50+2: rB0 wA1\n");
    cr_assert(verdict.has_write_skew);
    // The one whose reads are not validated commits last, or first.
    assert_clean("s 10-50+1: rA0 wB1\n"
                 "n 10-50+2: rB0 wA1\n");
    assert_found("G2-item", "s 10-50+0: lL aM1\n"
                            "s 10-50+0: lM aL1\n"
                            "s 60-70+0: lL1 lM1\n");
}

Test(checker, g2_is_write_skew_through_a_range)
{
    assert_found("G2", "s 10-50+1: [A-D:] wA1\n"
                       "s 10-50+2: [A-D:] wB1\n");
    assert_clean("n 10-50+1: [A-D:] wA1\n"
                 "n 10-50+2: [A-D:] wB1\n");
    assert_found("G2", "s+1: wA1 wB1\n"
                       "s 20-50@1+2: [A-D:A1.B1] wA0\n"
                       "s 20-50@1+3: [A-D:A1.B1] wB0\n");
    assert_clean("s 10-50+1: [A-D:] wA1\n"
                 "s 10-50+2: [B-D:] wB1\n");
}

// Fekete, O'Neil, O'Neil: the reader makes an anomaly of two that alone would be none.
Test(checker, the_read_only_anomaly_is_allowed_between_snapshots_alone)
{
    assert_clean("n 10-90+3: rX0 rY0 wX1\n"
                 "n 20-30+1: wY1\n"
                 "o 40-50+0: rX0 rY1\n");
    assert_found("G2-item", "s 10-90+3: rX0 rY0 wX1\n"
                            "s 20-30+1: wY1\n"
                            "o 40-50+0: rX0 rY1\n");
}

// --- two writers of one key ---

Test(checker, a_lost_update_overwrites_what_another_has_overwritten)
{
    assert_found("lost update", "s+1: wA1\n"
                                "n 20-50+2: rA1 wA2\n"
                                "n 20-50+3: rA1 wA3\n");
    assert_found("lost update", "s 10-50+0: lL aL1\n"
                                "s 10-50+0: lL aL2\n"
                                "s 60-70+0: lL1\n");
    assert_clean("s+1: wA1\n"
                 "n 20-50+2: rA1 wA2\n"
                 "n 20-50: rA1 wA3\n");
}

Test(checker, a_dirty_update_builds_on_what_was_rolled_back)
{
    judge("s: aL1\n"
          "s+0: aL2\n"
          "s+0: lL1.2\n");
    cr_assert(eq(u64, verdict.findings.counts[ANOMALY_DIRTY_UPDATE], 1));
}

// --- within one transaction, and nonsense ---

Test(checker, a_transaction_agrees_with_itself)
{
    assert_found("internal", "s+1: wA1 rA0\n");
    assert_found("internal", "s+1: wA1\n"
                             "o 1-90+0: rA0 rA1\n");
    assert_found("G1a", "s+1: S wA1 R rA1\n");
    assert_found("internal", "s+0: aL1 lL\n");
    assert_found("internal", "s+0: aL1 aL2 lL2.1\n");
    assert_found("internal", "s+1: wA1 [A-C:]\n");
    assert_found("internal", "s+1: wA1 [A-C:A1.A1]\n");
    assert_clean("s+1: S wA1 rA1 R rA0 wA2 [A-C:A2] aL1 lL1 aL2 lL1.2\n");
}

Test(checker, what_nobody_wrote_is_garbage)
{
    assert_found("garbage", "s+0: rA1\n");
    assert_found("garbage", "s+0: lL1\n");
}

Test(checker, an_element_shows_once)
{
    assert_found("duplicate", "s+0: aL1\n"
                              "s+0: lL1.1\n");
}

Test(checker, reads_of_a_list_agree)
{
    assert_found("incompatible order", "s 10-50+0: aL1\n"
                                       "s 10-50+0: aL2\n"
                                       "s 60-70+0: lL1.2\n"
                                       "s 80-90+0: lL2.1\n");
}

Test(checker, a_commit_timestamp_is_given_once)
{
    assert_found("timestamp", "s+1: wA1\n"
                              "s+1: wA2\n");
}

// --- real time ---

Test(checker, what_was_acknowledged_is_seen_from_then_on)
{
    assert_found("G-single-realtime", "s 10-20+1: wA1\n"
                                      "o 30-40+0: rA0\n");
    assert_found("G-single-realtime", "s 10-20+0: aL1\n"
                                      "o 30-40+0: lL\n");
    assert_clean("s 10-20+1: wA1\n"
                 "o 20-40+0: rA0\n");
}

Test(checker, a_wrong_order_of_timestamps_shows)
{
    judge("s 10-20+2: wA1\n"
          "s 30-40+1: wA2\n"
          "s 50-60+0: rA2\n");
    cr_assert(ne(u64, verdict.findings.total, 0));
}

Test(checker, a_register_by_itself_is_linear)
{
    judge("s 10-20+0: wA1\n"
          "s 30-40+0: wA2\n"
          "o 50-60+0: rA2\n"
          "o 70-80+0: rA1\n");
    cr_assert(eq(u64, verdict.findings.counts[ANOMALY_NOT_LINEAR], 1));
    judge("s 10-20+0: wA1\n"
          "o 30-40+0: rA2\n"
          "s 50-60+0: wA2\n");
    cr_assert(ne(u64, verdict.findings.counts[ANOMALY_NOT_LINEAR], 0));
    // A write that nobody can have seen in between.
    judge("s 10-20+0: wA1\n"
          "s 30-40+0: wA2\n"
          "o 50-60+0: rA1\n");
    cr_assert(eq(u64, verdict.findings.counts[ANOMALY_NOT_LINEAR], 1));
    assert_clean("s 10-40+0: wA1\n"
                 "s 10-40+0: wA2\n"
                 "o 20-30+0: rA1\n"
                 "o 35-45+0: rA2\n"
                 "o 50-60+0: rA2\n");
}

Test(checker, a_counter_gives_each_number_once_and_upwards)
{
    assert_clean("s+0: cA1\n"
                 "s+0: cA2\n"
                 "s: cA3\n"
                 "s+0: S cA3 R\n"
                 "s+0: cA3\n");
    assert_found("duplicate", "s+0: cA1\n"
                              "s+0: cA1\n");
    assert_found("not linearizable", "s 10-20+0: cA2\n"
                                     "s 30-40+0: cA1\n");
}

// --- outcomes that nobody knows ---

Test(checker, an_open_outcome_is_settled_by_who_read_it)
{
    assert_clean("s ?: aL1 aM1\n"
                 "s+0: lL lM\n");
    assert_clean("s ?: aL1 aM1\n"
                 "s+0: lL1 lM1\n");
    assert_found("G-single", "s ?: aL1 aM1\n"
                             "s+0: lL1 lM\n");
}

Test(checker, an_open_deletion_leaves_the_absent_open)
{
    assert_clean("s+1: wA1\n"
                 "s 20-30@1 ?: wA0\n"
                 "o 40-50@1+0: rA0\n");
}

// --- many ---

// A long history with one flaw in the middle: it is found, and nothing else.
Test(checker, one_flaw_among_many_transactions_is_found)
{
    enum { COUNT = 20000 };
    struct recorder recorder = {.capacity = COUNT * 8};

    recorder.events = calloc(recorder.capacity, sizeof *recorder.events);
    for (uint32_t i = 0; i < COUNT; i++) {
        const bool is_flaw = i == COUNT / 2;

        record(&recorder, EVENT_BEGIN, LEVEL_SERIALIZABLE, 10 * (i + 1));
        if (i >= 10)
            record(&recorder, EVENT_READ, i % 10, i - (is_flaw ? 20 : 10) + 1);
        record(&recorder, EVENT_WRITE, i % 10, i + 1);
        record(&recorder, EVENT_COMMITTED, 0, i + 1);
        record(&recorder, EVENT_END, 0, 10 * (i + 1) + 5);
    }
    checker_judge(&recorder, 1, &verdict);
    free(recorder.events);
    cr_assert(eq(u64, verdict.txns, COUNT));
    cr_assert(eq(u64, verdict.findings.counts[ANOMALY_LOST_UPDATE], 2), "%s",
              verdict.findings.told[0]);
}

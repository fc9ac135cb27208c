#include "isolation/dependency.h"

#include <inttypes.h>

// One version of a key, in the order of versions.
struct version {
    uint32_t key;
    uint64_t ts; // of registers
    size_t write;
};

// The versions of one key among all.
struct chain {
    size_t first;
    size_t count;
    size_t longest_read; // of a list, or NONE
    size_t initial_overwriter;
    bool has_deletions;
    bool has_open_deletion; // one that may have happened at a time unknown
};

struct inference {
    struct history *history;
    struct findings *findings;
    struct edges *edges;
    struct {
        VECTOR(struct version);
    } versions;
    struct {
        VECTOR(size_t); // appends that nobody read, ordered by key
    } tails;
    struct chain *chains; // by key
    size_t *position;     // by write: its version, or NONE
    size_t *overwriter;   // by write: who read it and wrote the key, or NONE
};

// Which version a read saw.
enum sight {
    SIGHT_UNKNOWN, // not to be told
    SIGHT_INITIAL, // before the first
    SIGHT_WRITE,
};

struct seen_version {
    enum sight sight;
    size_t write;
};

static struct txn *writer_of(const struct inference *in, size_t write)
{
    return &in->history->txns.at[in->history->writes.at[write].txn];
}

static void add_edge(struct inference *in, size_t from, size_t to, enum edge_kind kind,
                     uint32_t key, bool is_predicate)
{
    if (from != to)
        VECTOR_PUSH(in->edges, (struct edge){.from = (uint32_t)from,
                                             .to = (uint32_t)to,
                                             .key = key,
                                             .kind = kind,
                                             .is_predicate = is_predicate});
}

// --- outcomes ---

static void settle_value(struct inference *in, const struct txn *reader, uint32_t key,
                         uint64_t value)
{
    const size_t write = value == 0 ? NONE : history_find_write(in->history, key, value);

    if (write != NONE && writer_of(in, write) != reader &&
        writer_of(in, write)->outcome == OUTCOME_UNKNOWN)
        writer_of(in, write)->outcome = OUTCOME_COMMITTED;
}

static void settle_seen(struct inference *in, const struct seen_ts *seen)
{
    const size_t write = history_find_write(in->history, seen->key, seen->value);
    struct txn *writer;

    if (write == NONE)
        return;
    writer = writer_of(in, write);
    if (writer->commit_ts == 0)
        writer->commit_ts = seen->ts;
    else if (writer->commit_ts != seen->ts)
        findings_add(in->findings, ANOMALY_TIMESTAMP,
                     "%s was told timestamp %" PRIu64 ", key %u shows %" PRIu64,
                     txn_in_words(in->history, in->history->writes.at[write].txn).text,
                     writer->commit_ts, seen->key, seen->ts);
}

static void settle_outcomes(struct inference *in)
{
    const struct history *history = in->history;

    for (size_t t = 0; t < history->txns.count; t++) {
        const struct txn *reader = &history->txns.at[t];

        for (size_t r = 0; r < reader->read_count; r++) {
            const struct txn_read *read = &history->reads.at[reader->first_read + r];

            if (!read->is_list)
                settle_value(in, reader, read->key, read->value);
            for (size_t e = 0; e < read->size; e++)
                settle_value(in, reader, read->key, history->elements.at[read->first + e]);
        }
    }
    for (size_t i = 0; i < history->seen.count; i++)
        settle_seen(in, &history->seen.at[i]);
    for (size_t w = 0; w < history->writes.count; w++) {
        const struct txn_write *write = &history->writes.at[w];

        if (write->value == 0 && write->fate == FATE_FINAL && writer_of(in, w)->commit_ts == 0 &&
            writer_of(in, w)->outcome != OUTCOME_ABORTED)
            in->chains[write->key].has_open_deletion = true;
    }
    for (size_t t = 0; t < history->txns.count; t++) {
        if (history->txns.at[t].outcome == OUTCOME_UNKNOWN)
            history->txns.at[t].outcome = OUTCOME_ABORTED;
    }
}

// --- lists ---

// Every read must be the beginning of the longest one.
static void compare_list(struct inference *in, size_t txn, const struct txn_read *read)
{
    const struct history *history = in->history;
    const struct txn_read *longest = &history->reads.at[in->chains[read->key].longest_read];

    for (size_t e = 0; e < read->size; e++) {
        if (history->elements.at[read->first + e] == history->elements.at[longest->first + e])
            continue;
        findings_add(in->findings, ANOMALY_ORDER,
                     "%s reads list %u with %" PRIx64 " at %zu, another read has %" PRIx64 " there",
                     txn_in_words(history, txn).text, read->key,
                     history->elements.at[read->first + e], e,
                     history->elements.at[longest->first + e]);
        return;
    }
}

static void find_longest_reads(struct inference *in)
{
    const struct history *history = in->history;

    for (size_t r = 0; r < history->reads.count; r++) {
        const struct txn_read *read = &history->reads.at[r];
        struct chain *chain = &in->chains[read->key];

        if (read->is_list && (chain->longest_read == NONE ||
                              read->size > history->reads.at[chain->longest_read].size))
            chain->longest_read = r;
    }
    for (size_t t = 0; t < history->txns.count; t++) {
        const struct txn *txn = &history->txns.at[t];

        for (size_t r = txn->first_read; r < txn->first_read + txn->read_count; r++) {
            if (history->reads.at[r].is_list)
                compare_list(in, t, &history->reads.at[r]);
        }
    }
}

static void chain_element(struct inference *in, uint32_t key, uint64_t element)
{
    const struct history *history = in->history;
    const size_t write = history_find_write(history, key, element);
    struct chain *chain = &in->chains[key];

    if (write == NONE) {
        findings_add(in->findings, ANOMALY_GARBAGE, "list %u holds %" PRIx64, key, element);
        return;
    }
    if (in->position[write] != NONE) {
        findings_add(in->findings, ANOMALY_DUPLICATE, "list %u holds %" PRIx64 " twice", key,
                     element);
        return;
    }
    in->position[write] = in->versions.count;
    if (chain->count > 0) {
        const size_t previous = in->versions.at[in->versions.count - 1].write;

        if (writer_of(in, previous)->outcome == OUTCOME_ABORTED &&
            writer_of(in, write)->outcome == OUTCOME_COMMITTED)
            findings_add(in->findings, ANOMALY_DIRTY_UPDATE,
                         "%s appends to list %u behind an element of %s",
                         txn_in_words(history, history->writes.at[write].txn).text, key,
                         txn_in_words(history, history->writes.at[previous].txn).text);
    }
    VECTOR_PUSH(&in->versions, (struct version){.key = key, .write = write});
    chain->count++;
}

static void chain_lists(struct inference *in)
{
    const struct history *history = in->history;

    for (uint32_t key = 0; key < history->key_limit; key++) {
        const size_t longest = in->chains[key].longest_read;

        if (longest == NONE)
            continue;
        in->chains[key].first = in->versions.count;
        for (size_t e = 0; e < history->reads.at[longest].size; e++)
            chain_element(in, key, history->elements.at[history->reads.at[longest].first + e]);
    }
}

// --- registers ---

static int compare_versions(const void *a, const void *b)
{
    const struct version *first = a;
    const struct version *second = b;

    if (first->key != second->key)
        return first->key < second->key ? -1 : 1;
    return (first->ts > second->ts) - (first->ts < second->ts);
}

static void chain_registers(struct inference *in)
{
    const struct history *history = in->history;
    const size_t start = in->versions.count;

    for (size_t w = 0; w < history->writes.count; w++) {
        const struct txn_write *write = &history->writes.at[w];
        const struct txn *writer = writer_of(in, w);

        if (write->is_append || write->fate != FATE_FINAL || writer->outcome != OUTCOME_COMMITTED)
            continue;
        in->chains[write->key].has_deletions |= write->value == 0;
        if (writer->commit_ts != 0)
            VECTOR_PUSH(&in->versions,
                        (struct version){.key = write->key, .ts = writer->commit_ts, .write = w});
    }
    if (in->versions.count > start)
        qsort(in->versions.at + start, in->versions.count - start, sizeof *in->versions.at,
              compare_versions);
    for (size_t v = start; v < in->versions.count; v++) {
        const struct version *version = &in->versions.at[v];
        struct chain *chain = &in->chains[version->key];

        if (chain->count++ == 0)
            chain->first = v;
        else if (in->versions.at[v - 1].ts == version->ts)
            findings_add(in->findings, ANOMALY_TIMESTAMP,
                         "two commits of key %u have timestamp %" PRIu64, version->key,
                         version->ts);
        in->position[version->write] = v;
    }
}

// --- which version a read saw ---

// An absent register: only the snapshot's timestamp tells which deletion it was, if any.
static struct seen_version see_absent(const struct inference *in, const struct txn *reader,
                                      uint32_t key)
{
    const struct chain *chain = &in->chains[key];
    struct seen_version seen = {.sight = SIGHT_INITIAL};

    if (!chain->has_deletions && !chain->has_open_deletion)
        return seen;
    if (reader->read_ts == 0 || chain->has_open_deletion)
        return (struct seen_version){.sight = SIGHT_UNKNOWN};
    for (size_t v = chain->first; v < chain->first + chain->count; v++) {
        const struct version *version = &in->versions.at[v];

        if (version->ts > reader->read_ts)
            break;
        if (in->history->writes.at[version->write].value == 0)
            seen = (struct seen_version){.sight = SIGHT_WRITE, .write = version->write};
    }
    return seen;
}

static struct seen_version see(const struct inference *in, const struct txn *reader,
                               const struct txn_read *read)
{
    uint64_t value = read->value;
    size_t write;

    if (read->is_list && read->size == 0)
        return (struct seen_version){.sight = SIGHT_INITIAL};
    if (read->is_list)
        value = in->history->elements.at[read->first + read->size - 1];
    if (value == 0)
        return see_absent(in, reader, read->key);
    write = history_find_write(in->history, read->key, value);
    return (struct seen_version){.sight = write == NONE ? SIGHT_UNKNOWN : SIGHT_WRITE,
                                 .write = write};
}

// What is wrong with having seen this write at all.
static void judge_write(struct inference *in, size_t reader, const struct txn_read *read,
                        size_t write)
{
    const struct history *history = in->history;
    const struct txn_write *seen = &history->writes.at[write];
    enum anomaly anomaly;

    if (writer_of(in, write)->outcome == OUTCOME_ABORTED || seen->fate == FATE_UNDONE)
        anomaly = ANOMALY_G1A;
    else if (seen->fate == FATE_INTERMEDIATE)
        anomaly = ANOMALY_G1B;
    else
        return;
    findings_add(in->findings, anomaly, "%s reads %" PRIx64 " of key %u, written by %s",
                 txn_in_words(history, reader).text, seen->value, read->key,
                 txn_in_words(history, seen->txn).text);
}

// --- edges ---

// Which write follows the one seen, by the chain of versions; NONE when there is none. A
// transaction's own intermediate versions are passed.
static size_t next_in_chain(const struct inference *in, uint32_t key,
                            const struct seen_version *seen)
{
    const struct chain *chain = &in->chains[key];
    const size_t end = chain->first + chain->count;
    size_t v = chain->first;

    if (seen->sight == SIGHT_WRITE) {
        if (in->position[seen->write] == NONE)
            return NONE;
        v = in->position[seen->write] + 1;
    }
    while (v < end && seen->sight == SIGHT_WRITE &&
           writer_of(in, in->versions.at[v].write) == writer_of(in, seen->write))
        v++;
    return v < end ? in->versions.at[v].write : NONE;
}

static void link_chain(struct inference *in, const struct chain *chain)
{
    for (size_t v = chain->first + 1; v < chain->first + chain->count; v++) {
        const struct txn_write *before = &in->history->writes.at[in->versions.at[v - 1].write];
        const struct txn_write *after = &in->history->writes.at[in->versions.at[v].write];

        add_edge(in, before->txn, after->txn, EDGE_WW, after->key, false);
    }
}

// Notes that `txn`, which writes the key as well, read this version.
static void note_overwriter(struct inference *in, size_t txn, const struct txn_read *read,
                            const struct seen_version *seen)
{
    const struct history *history = in->history;
    const struct txn *t = &history->txns.at[txn];
    size_t *overwriter = seen->sight == SIGHT_WRITE ? &in->overwriter[seen->write]
                                                    : &in->chains[read->key].initial_overwriter;
    bool writes_key = false;

    for (size_t w = t->first_write; w < t->first_write + t->write_count; w++)
        writes_key |=
            history->writes.at[w].key == read->key && history->writes.at[w].fate == FATE_FINAL;
    if (!writes_key || t->outcome != OUTCOME_COMMITTED)
        return;
    if (*overwriter != NONE)
        findings_add(in->findings, ANOMALY_LOST_UPDATE,
                     "%s and %s both read version %" PRIx64 " of key %u and overwrote it",
                     txn_in_words(history, *overwriter).text, txn_in_words(history, txn).text,
                     seen->sight == SIGHT_WRITE ? history->writes.at[seen->write].value : 0,
                     read->key);
    *overwriter = txn;
}

// Appends that no read shows come behind the longest read: its readers came before them.
static void link_tails(struct inference *in, size_t reader, const struct txn_read *read)
{
    const struct history *history = in->history;
    size_t low = 0;
    size_t high = in->tails.count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (history->writes.at[in->tails.at[middle]].key < read->key)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < in->tails.count && history->writes.at[in->tails.at[low]].key == read->key; low++)
        add_edge(in, reader, history->writes.at[in->tails.at[low]].txn, EDGE_RW, read->key, false);
}

static void link_read(struct inference *in, size_t reader, const struct txn_read *read)
{
    const struct history *history = in->history;
    const struct seen_version seen = see(in, &history->txns.at[reader], read);
    size_t next;
    size_t overwriter;

    if (seen.sight == SIGHT_UNKNOWN)
        return;
    if (seen.sight == SIGHT_WRITE)
        add_edge(in, history->writes.at[seen.write].txn, reader, EDGE_WR, read->key, false);
    next = next_in_chain(in, read->key, &seen);
    overwriter = seen.sight == SIGHT_WRITE ? in->overwriter[seen.write]
                                           : in->chains[read->key].initial_overwriter;
    if (next != NONE)
        add_edge(in, reader, history->writes.at[next].txn, EDGE_RW, read->key, read->is_predicate);
    else if (read->is_list)
        link_tails(in, reader, read);
    if (overwriter != NONE && (next == NONE || history->writes.at[next].txn != overwriter))
        add_edge(in, reader, overwriter, EDGE_RW, read->key, read->is_predicate);
}

// Looks at every version that was read, before edges are drawn.
static void judge_read(struct inference *in, size_t reader, const struct txn_read *read)
{
    const struct seen_version seen = see(in, &in->history->txns.at[reader], read);

    if (seen.sight == SIGHT_UNKNOWN) {
        if (read->value != 0)
            findings_add(in->findings, ANOMALY_GARBAGE, "%s reads %" PRIx64 " of key %u",
                         txn_in_words(in->history, reader).text, read->value, read->key);
        return;
    }
    if (seen.sight == SIGHT_WRITE)
        judge_write(in, reader, read, seen.write);
    for (size_t e = 0; e + 1 < read->size; e++) {
        const size_t write =
            history_find_write(in->history, read->key, in->history->elements.at[read->first + e]);

        // Elements behind it may be of the same transaction; only their last one counts.
        if (write != NONE && in->history->writes.at[write].fate != FATE_INTERMEDIATE)
            judge_write(in, reader, read, write);
    }
    note_overwriter(in, reader, read, &seen);
}

typedef void (*read_fn)(struct inference *in, size_t reader, const struct txn_read *read);

static void for_each_read(struct inference *in, read_fn fn)
{
    for (size_t t = 0; t < in->history->txns.count; t++) {
        const struct txn *txn = &in->history->txns.at[t];

        for (size_t r = txn->first_read; r < txn->first_read + txn->read_count; r++)
            fn(in, t, &in->history->reads.at[r]);
    }
}

static const struct txn_write *sorted_writes; // for compare_tails() alone

static int compare_tails(const void *a, const void *b)
{
    const uint32_t first = sorted_writes[*(const size_t *)a].key;
    const uint32_t second = sorted_writes[*(const size_t *)b].key;

    return (first > second) - (first < second);
}

static void collect_tails(struct inference *in)
{
    for (size_t w = 0; w < in->history->writes.count; w++) {
        const struct txn_write *write = &in->history->writes.at[w];

        if (write->is_append && write->fate == FATE_FINAL && in->position[w] == NONE &&
            writer_of(in, w)->outcome == OUTCOME_COMMITTED)
            VECTOR_PUSH(&in->tails, w);
    }
    sorted_writes = in->history->writes.at;
    if (in->tails.count > 0)
        qsort(in->tails.at, in->tails.count, sizeof *in->tails.at, compare_tails);
}

static size_t *none_array(size_t count)
{
    size_t *array = vector_zeroed(count, sizeof *array);

    for (size_t i = 0; i < count; i++)
        array[i] = NONE;
    return array;
}

void dependency_infer(struct history *history, struct edges *edges, struct findings *findings)
{
    struct inference in = {
        .history = history,
        .findings = findings,
        .edges = edges,
        .chains = vector_zeroed(history->key_limit, sizeof *in.chains),
        .position = none_array(history->writes.count),
        .overwriter = none_array(history->writes.count),
    };

    for (uint32_t key = 0; key < history->key_limit; key++)
        in.chains[key] = (struct chain){.longest_read = NONE, .initial_overwriter = NONE};
    settle_outcomes(&in);
    find_longest_reads(&in);
    chain_lists(&in);
    chain_registers(&in);
    collect_tails(&in);
    for_each_read(&in, judge_read);
    for (uint32_t key = 0; key < history->key_limit; key++)
        link_chain(&in, &in.chains[key]);
    for_each_read(&in, link_read);
    free(in.versions.at);
    free(in.tails.at);
    free(in.chains);
    free(in.position);
    free(in.overwriter);
}

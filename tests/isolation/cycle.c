#include "isolation/cycle.h"

#include "isolation/graph.h"

#define CYCLES_TOLD  3
#define STARTS_TRIED 200 // nodes, or arcs, from which a short cycle is looked for

#define KINDS_ALL ((1u << EDGE_WW) | (1u << EDGE_WR) | (1u << EDGE_RW) | (1u << EDGE_RT))

// The nodes: the transactions, then the second nodes of snapshot transactions, then one moment
// per transaction that has ended. Real time passes from moment to moment, so that it takes a
// few arcs per transaction. A label is an index of `edges`, or LABEL_RT.
#define LABEL_RT UINT32_MAX

struct cycles {
    const struct history *history;
    const struct edges *edges;
    struct findings *findings;
    struct graph graph;
    unsigned kinds; // of edges in the graph, as bits
    unsigned told;
};

static uint32_t txn_count(const struct cycles *c)
{
    return (uint32_t)c->history->txns.count;
}

static bool is_snapshot_writer(const struct cycles *c, uint32_t txn)
{
    const struct txn *t = &c->history->txns.at[txn];

    return t->level == LEVEL_SNAPSHOT && t->outcome == OUTCOME_COMMITTED && t->write_count > 0;
}

static void add_arc(struct cycles *c, uint32_t from, uint32_t to, uint32_t label)
{
    VECTOR_PUSH(&c->graph.arcs, (struct arc){.from = from, .to = to, .label = label});
}

static void add_edge(struct cycles *c, uint32_t label)
{
    const struct edge *edge = &c->edges->at[label];
    uint32_t to = edge->to;

    if ((c->kinds & (1u << edge->kind)) == 0)
        return;
    if (edge->kind == EDGE_RW && is_snapshot_writer(c, to))
        to += txn_count(c);
    add_arc(c, edge->from, to, label);
    if (edge->kind != EDGE_RW && is_snapshot_writer(c, edge->from))
        add_arc(c, edge->from + txn_count(c), to, label);
}

// --- real time ---

struct moment {
    uint64_t ns;
    uint32_t txn;
    bool is_end;
};

// At one nanosecond beginnings come first: what ended then need not have been before them.
static int compare_moments(const void *a, const void *b)
{
    const struct moment *first = a;
    const struct moment *second = b;

    if (first->ns != second->ns)
        return first->ns < second->ns ? -1 : 1;
    return first->is_end - second->is_end;
}

static size_t list_moments(const struct cycles *c, struct moment *moments)
{
    size_t count = 0;

    for (uint32_t t = 0; t < txn_count(c); t++) {
        const struct txn *txn = &c->history->txns.at[t];

        moments[count++] = (struct moment){.ns = txn->begin_ns, .txn = t};
        if (txn->end_ns != UINT64_MAX)
            moments[count++] = (struct moment){.ns = txn->end_ns, .txn = t, .is_end = true};
    }
    qsort(moments, count, sizeof *moments, compare_moments);
    return count;
}

static void add_real_time(struct cycles *c)
{
    struct moment *moments = vector_zeroed(2u * txn_count(c), sizeof *moments);
    const size_t count = list_moments(c, moments);
    uint32_t now = 2 * txn_count(c) - 1; // the node of the latest end, once there is one

    for (size_t i = 0; i < count; i++) {
        const bool has_past = now >= 2 * txn_count(c);

        if (moments[i].is_end) {
            if (has_past)
                add_arc(c, now, now + 1, LABEL_RT);
            now++;
            add_arc(c, moments[i].txn, now, LABEL_RT);
            if (is_snapshot_writer(c, moments[i].txn))
                add_arc(c, moments[i].txn + txn_count(c), now, LABEL_RT);
        } else if (has_past) {
            add_arc(c, now, moments[i].txn, LABEL_RT);
        }
    }
    free(moments);
}

static void build(struct cycles *c, unsigned kinds)
{
    graph_release(&c->graph);
    c->kinds = kinds;
    c->graph.node_count = 3 * txn_count(c);
    for (uint32_t e = 0; e < c->edges->count; e++)
        add_edge(c, e);
    if ((kinds & (1u << EDGE_RT)) != 0 && txn_count(c) > 0)
        add_real_time(c);
    graph_finish(&c->graph);
}

static bool is_cyclic(const struct cycles *c)
{
    for (uint32_t n = 0; n < c->graph.node_count; n++) {
        if (graph_is_cyclic(&c->graph, n))
            return true;
    }
    return false;
}

// --- telling a cycle ---

static const struct edge *edge_of(const struct cycles *c, const struct arc *arc)
{
    return arc->label == LABEL_RT ? NULL : &c->edges->at[arc->label];
}

static bool writes_key(const struct history *history, const struct edge *edge)
{
    const struct txn *reader = &history->txns.at[edge->from];

    for (size_t w = reader->first_write; w < reader->first_write + reader->write_count; w++) {
        if (history->writes.at[w].key == edge->key && history->writes.at[w].fate != FATE_UNDONE)
            return reader->outcome == OUTCOME_COMMITTED;
    }
    return false;
}

static enum anomaly classify(const struct cycles *c, const struct way *way)
{
    unsigned reads = 0;
    unsigned antis = 0;
    bool is_predicate = false;
    bool is_realtime = false;
    bool is_lost_update = false;

    for (size_t i = 0; i < way->count; i++) {
        const struct edge *edge = edge_of(c, &c->graph.arcs.at[way->at[i]]);

        if (edge == NULL) {
            is_realtime = true;
            continue;
        }
        reads += edge->kind == EDGE_WR;
        antis += edge->kind == EDGE_RW;
        is_predicate |= edge->is_predicate;
        is_lost_update |= edge->kind == EDGE_RW && writes_key(c->history, edge);
    }
    if (antis > 1 && is_predicate)
        return is_realtime ? ANOMALY_G2_REALTIME : ANOMALY_G2;
    if (antis > 1)
        return is_realtime ? ANOMALY_G2_ITEM_REALTIME : ANOMALY_G2_ITEM;
    if (antis == 1 && is_lost_update && !is_realtime)
        return ANOMALY_LOST_UPDATE;
    if (antis == 1)
        return is_realtime ? ANOMALY_G_SINGLE_REALTIME : ANOMALY_G_SINGLE;
    if (reads > 0)
        return is_realtime ? ANOMALY_G1C_REALTIME : ANOMALY_G1C;
    return is_realtime ? ANOMALY_G0_REALTIME : ANOMALY_G0;
}

// Transactions and edges in turn; stretches of real time as one.
static void tell(struct cycles *c, const struct way *way)
{
    static const char *const kinds[] = {"ww", "wr", "rw"};
    char text[640];
    size_t size = 0;
    bool was_realtime = false;

    for (size_t i = 0; i < way->count && size < sizeof text; i++) {
        const struct arc *arc = &c->graph.arcs.at[way->at[i]];
        const struct edge *edge = edge_of(c, arc);

        if (arc->from < 2 * txn_count(c))
            size += (size_t)snprintf(text + size, sizeof text - size, "%s ",
                                     txn_in_words(c->history, arc->from % txn_count(c)).text);
        if (edge != NULL && size < sizeof text)
            size += (size_t)snprintf(text + size, sizeof text - size, "-%s%s key %u-> ",
                                     kinds[edge->kind], edge->is_predicate ? " in a scan" : "",
                                     edge->key);
        else if (edge == NULL && (!was_realtime || arc->from < 2 * txn_count(c)) &&
                 size < sizeof text)
            size += (size_t)snprintf(text + size, sizeof text - size, "-before-> ");
        was_realtime = edge == NULL;
    }
    findings_add(c->findings, classify(c, way), "%s... and round again", text);
    c->told++;
}

// --- short cycles ---

static bool is_no_anti(void *ctx, const struct arc *arc)
{
    const struct cycles *c = ctx;

    return arc->label == LABEL_RT || c->edges->at[arc->label].kind != EDGE_RW;
}

// A cycle with a single EDGE_RW, of the component of `node` if it has one.
static bool find_single(struct cycles *c, uint32_t component, struct way *way)
{
    unsigned tried = 0;

    for (size_t i = 0; i < c->graph.arcs.count && tried < STARTS_TRIED; i++) {
        const struct arc arc = c->graph.arcs.at[i];

        if (is_no_anti(c, &arc) || c->graph.component[arc.from] != component ||
            c->graph.component[arc.to] != component)
            continue;
        tried++;
        if (graph_shortest(&c->graph, arc.to, arc.from, is_no_anti, c, way)) {
            VECTOR_PUSH(way, i);
            return true;
        }
    }
    return false;
}

static void find_any(struct cycles *c, uint32_t component, struct way *way)
{
    struct way candidate = {0};
    unsigned tried = 0;

    way->count = 0;
    for (uint32_t n = 0; n < c->graph.node_count && tried < STARTS_TRIED; n++) {
        if (c->graph.component[n] != component)
            continue;
        tried++;
        if (graph_shortest(&c->graph, n, n, NULL, NULL, &candidate) &&
            (way->count == 0 || candidate.count < way->count)) {
            const struct way shorter = candidate;

            candidate = *way;
            *way = shorter;
        }
    }
    free(candidate.at);
}

static void tell_components(struct cycles *c)
{
    struct way way = {0};

    for (uint32_t n = 0; n < c->graph.node_count && c->told < CYCLES_TOLD; n++) {
        const uint32_t component = c->graph.component[n];

        if (c->graph.component_size[component] < 2)
            continue;
        if (!find_single(c, component, &way))
            find_any(c, component, &way);
        tell(c, &way);
        c->graph.component_size[component] = 0; // told
    }
    free(way.at);
}

void cycle_find(const struct history *history, const struct edges *edges, struct findings *findings)
{
    static const unsigned gravest_first[] = {
        1u << EDGE_WW,
        (1u << EDGE_WW) | (1u << EDGE_WR),
        (1u << EDGE_WW) | (1u << EDGE_WR) | (1u << EDGE_RW),
        KINDS_ALL,
    };
    struct cycles c = {.history = history, .edges = edges, .findings = findings};

    bool has_cycle;

    build(&c, KINDS_ALL);
    has_cycle = is_cyclic(&c);
    for (size_t i = 0; has_cycle && c.told == 0; i++) {
        build(&c, gravest_first[i]);
        tell_components(&c);
    }
    graph_release(&c.graph);
}

#include "isolation/graph.h"

#include <string.h>

#define UNSEEN UINT32_MAX

// Orders the arcs by where they start.
static void order_arcs(struct graph *graph)
{
    struct arc *ordered = vector_zeroed(graph->arcs.count, sizeof *ordered);
    size_t *next = vector_zeroed(graph->node_count + 1u, sizeof *next);

    graph->first = vector_zeroed(graph->node_count + 1u, sizeof *graph->first);
    for (size_t i = 0; i < graph->arcs.count; i++)
        graph->first[graph->arcs.at[i].from + 1]++;
    for (uint32_t n = 0; n < graph->node_count; n++)
        graph->first[n + 1] += graph->first[n];
    memcpy(next, graph->first, (graph->node_count + 1u) * sizeof *next);
    for (size_t i = 0; i < graph->arcs.count; i++)
        ordered[next[graph->arcs.at[i].from]++] = graph->arcs.at[i];
    free(next);
    free(graph->arcs.at);
    graph->arcs.at = ordered;
    graph->arcs.capacity = graph->arcs.count;
}

// Tarjan's search, with a stack of its own instead of recursion.
struct search {
    struct graph *graph;
    uint32_t *order; // when a node was first seen, or UNSEEN
    uint32_t *low;   // the earliest node known to be reachable
    size_t *next;    // the next arc to follow
    uint32_t *path;
    uint32_t path_count;
    uint32_t *open; // seen, component not known
    uint32_t open_count;
    uint32_t seen_count;
    uint32_t component_count;
};

static void enter(struct search *s, uint32_t node)
{
    s->order[node] = s->low[node] = s->seen_count++;
    s->next[node] = s->graph->first[node];
    s->path[s->path_count++] = node;
    s->open[s->open_count++] = node;
}

static void close_component(struct search *s, uint32_t root)
{
    uint32_t node;

    do {
        node = s->open[--s->open_count];
        s->graph->component[node] = s->component_count;
        s->graph->component_size[s->component_count]++;
    } while (node != root);
    s->component_count++;
}

static void search_from(struct search *s, uint32_t start)
{
    enter(s, start);
    while (s->path_count > 0) {
        const uint32_t node = s->path[s->path_count - 1];

        if (s->next[node] < s->graph->first[node + 1]) {
            const uint32_t to = s->graph->arcs.at[s->next[node]++].to;

            if (s->order[to] == UNSEEN)
                enter(s, to);
            else if (s->graph->component[to] == UNSEEN && s->order[to] < s->low[node])
                s->low[node] = s->order[to];
            continue;
        }
        s->path_count--;
        if (s->path_count > 0 && s->low[node] < s->low[s->path[s->path_count - 1]])
            s->low[s->path[s->path_count - 1]] = s->low[node];
        if (s->low[node] == s->order[node])
            close_component(s, node);
    }
}

static uint32_t *unseen_array(uint32_t count)
{
    uint32_t *array = vector_zeroed(count, sizeof *array);

    memset(array, 0xff, count * sizeof *array);
    return array;
}

void graph_finish(struct graph *graph)
{
    const uint32_t count = graph->node_count;
    struct search s = {
        .graph = graph,
        .order = unseen_array(count),
        .low = unseen_array(count),
        .next = vector_zeroed(count, sizeof *s.next),
        .path = vector_zeroed(count, sizeof *s.path),
        .open = vector_zeroed(count, sizeof *s.open),
    };

    order_arcs(graph);
    graph->component = unseen_array(count);
    graph->component_size = vector_zeroed(count, sizeof *graph->component_size);
    for (uint32_t node = 0; node < count; node++) {
        if (s.order[node] == UNSEEN)
            search_from(&s, node);
    }
    free(s.order);
    free(s.low);
    free(s.next);
    free(s.path);
    free(s.open);
}

void graph_release(struct graph *graph)
{
    free(graph->arcs.at);
    free(graph->first);
    free(graph->component);
    free(graph->component_size);
    *graph = (struct graph){0};
}

// --- shortest ways, in breadth ---

static void trace_back(const struct graph *graph, const size_t *arc_to, uint32_t from, uint32_t to,
                       struct way *way)
{
    uint32_t node = to;

    way->count = 0;
    do {
        VECTOR_PUSH(way, arc_to[node]);
        node = graph->arcs.at[arc_to[node]].from;
    } while (node != from);
    for (size_t i = 0; i < way->count / 2; i++) {
        const size_t arc = way->at[i];

        way->at[i] = way->at[way->count - 1 - i];
        way->at[way->count - 1 - i] = arc;
    }
}

bool graph_shortest(const struct graph *graph, uint32_t from, uint32_t to, arc_filter_fn filter,
                    void *ctx, struct way *way)
{
    size_t *arc_to = vector_zeroed(graph->node_count, sizeof *arc_to);
    uint32_t *queue = vector_zeroed(graph->node_count, sizeof *queue);
    uint32_t done = 0;
    uint32_t queued = 0;
    bool is_found = false;

    memset(arc_to, 0xff, graph->node_count * sizeof *arc_to);
    queue[queued++] = from;
    while (done < queued && !is_found) {
        const uint32_t node = queue[done++];

        for (size_t i = graph->first[node]; i < graph->first[node + 1] && !is_found; i++) {
            const struct arc *arc = &graph->arcs.at[i];

            if (graph->component[arc->to] != graph->component[from] ||
                arc_to[arc->to] != SIZE_MAX || (filter != NULL && !filter(ctx, arc)))
                continue;
            arc_to[arc->to] = i;
            is_found = arc->to == to;
            if (arc->to != from)
                queue[queued++] = arc->to;
        }
    }
    if (is_found)
        trace_back(graph, arc_to, from, to, way);
    free(arc_to);
    free(queue);
    return is_found;
}

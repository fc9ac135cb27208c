// graph.h -- a directed graph of many nodes: its strong components, shortest ways.

#ifndef LSM_TESTS_ISOLATION_GRAPH_H
#define LSM_TESTS_ISOLATION_GRAPH_H

#include "isolation/vector.h"

#include <stdbool.h>
#include <stdint.h>

struct arc {
    uint32_t from;
    uint32_t to;
    uint32_t label; // the caller's
};

struct graph {
    uint32_t node_count;
    struct {
        VECTOR(struct arc);
    } arcs;
    size_t *first;            // by node, and one behind: its arcs; by graph_finish()
    uint32_t *component;      // by node: its strong component
    uint32_t *component_size; // by component
};

// After the last arc was added to `arcs`: orders them and finds the components.
void graph_finish(struct graph *graph);
void graph_release(struct graph *graph);

static inline bool graph_is_cyclic(const struct graph *graph, uint32_t node)
{
    return graph->component_size[graph->component[node]] > 1;
}

struct way {
    VECTOR(size_t); // arcs
};

// Whether a way may use the arc; NULL: all.
typedef bool (*arc_filter_fn)(void *ctx, const struct arc *arc);

// The shortest way from `from` to `to`, of one arc at least, within their component. False
// when there is none.
bool graph_shortest(const struct graph *graph, uint32_t from, uint32_t to, arc_filter_fn filter,
                    void *ctx, struct way *way);

#endif

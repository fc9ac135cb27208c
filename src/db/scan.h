// scan.h -- one cursor over everything a view holds.

#ifndef LSM_DB_SCAN_H
#define LSM_DB_SCAN_H

#include "manifest/view.h"
#include "txn/write_set.h"

// Keys that a scan is about; NULL is open. Only prunes what cannot hold any: entries outside
// may still show.
struct scan_bounds {
    uint32_t keyspace;
    const lsm_slice *low;
    const lsm_slice *high;
};

// Joins the view's memtables and tables, and `writes` of a transaction (may be NULL), in
// order; closed by the caller. The caller keeps the view, and reads at a timestamp that was
// published before the call: a memtable that is still empty is left out.
lsm_status scan_open(struct view *view, struct write_set *writes, const struct scan_bounds *bounds,
                     bool fill_cache, struct iter **out);

#endif

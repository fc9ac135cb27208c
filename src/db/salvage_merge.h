// salvage_merge.h -- everything that is intact, in order.

#ifndef LSM_DB_SALVAGE_MERGE_H
#define LSM_DB_SALVAGE_MERGE_H

#include "db/salvage_part.h"

// The entries of tables and of the log, joined. The log's are sorted in tables of their own,
// in a directory for that: memory is bounded whatever there is.
struct salvage_merge {
    struct salvage_table *tables; // by their smallest entry; owned
    size_t count;
    size_t capacity;

    struct decompressor_pool decompressors;
    struct salvage_losses *losses;
};

void salvage_merge_init(struct salvage_merge *merge, struct salvage_losses *losses);
void salvage_merge_release(struct salvage_merge *merge);

// Takes the table over, its meta too.
lsm_status salvage_merge_add(struct salvage_merge *merge, const struct salvage_table *table);

// Adds the commits of the log that are certain, or those that are not: sorted into tables of
// `scratch` whose ids start at `*next_id`, which moves on.
lsm_status salvage_merge_add_log(struct salvage_merge *merge, struct salvage_log *log,
                                 bool is_certain, struct dir *scratch, uint64_t *next_id);

// A forward cursor over all. It borrows the merge, to which nothing is added any more.
lsm_status salvage_merge_iter(struct salvage_merge *merge, struct iter **out);

#endif

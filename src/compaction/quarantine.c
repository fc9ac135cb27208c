#include "compaction/quarantine.h"

#include <assert.h>

#include "base/alloc.h"

#define QUARANTINE_NS_MIN (60 * 1000000000ull)
#define QUARANTINE_NS_MAX (3600 * 1000000000ull)

void quarantine_release(struct quarantine *quarantine)
{
    mem_free(quarantine->records);
    *quarantine = (struct quarantine){.records = NULL};
}

lsm_status quarantine_reserve(struct quarantine *quarantine, size_t count)
{
    if (!mem_reserve(&quarantine->records, &quarantine->capacity, quarantine->count, count,
                     sizeof *quarantine->records))
        return lsm_fail(LSM_NO_MEMORY, "compaction: quarantine of %zu tables",
                        quarantine->count + count);
    return LSM_OK;
}

static struct quarantine_record *find(struct quarantine *quarantine, uint64_t id)
{
    for (size_t i = 0; i < quarantine->count; i++) {
        if (quarantine->records[i].id == id)
            return &quarantine->records[i];
    }
    return NULL;
}

void quarantine_add(struct quarantine *quarantine, uint64_t id, uint64_t now_ns)
{
    struct quarantine_record *record = find(quarantine, id);
    uint64_t term_ns = QUARANTINE_NS_MIN;

    if (record == NULL) {
        assert(quarantine->count < quarantine->capacity);
        record = &quarantine->records[quarantine->count++];
        *record = (struct quarantine_record){.id = id};
    }
    for (unsigned i = 0; i < record->failure_count && term_ns < QUARANTINE_NS_MAX; i++)
        term_ns *= 2;
    record->failure_count++;
    record->until_ns = now_ns + (term_ns < QUARANTINE_NS_MAX ? term_ns : QUARANTINE_NS_MAX);
}

void quarantine_forget(struct quarantine *quarantine, uint64_t id)
{
    struct quarantine_record *record = find(quarantine, id);

    if (record != NULL)
        *record = quarantine->records[--quarantine->count];
}

void quarantine_expire(struct quarantine *quarantine, struct table_id_set *busy, uint64_t now_ns)
{
    for (size_t i = 0; i < quarantine->count; i++) {
        struct quarantine_record *record = &quarantine->records[i];

        if (record->until_ns == 0 || record->until_ns > now_ns)
            continue;
        record->until_ns = 0;
        table_id_set_remove(busy, record->id);
    }
}

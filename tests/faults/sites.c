#include "faults/sites.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Where the linker put them.
extern struct site *__start_fault_sites[];
extern struct site *__stop_fault_sites[];

_Thread_local struct site *site_current;
struct env *site_machine;

void site_count_fault(void)
{
    if (site_current != NULL)
        site_current->faults++;
}

// The path below src, the last one: the whole tree may lie below another.
static const char *short_name(const char *file)
{
    const char *found;

    while ((found = strstr(file, "/src/")) != NULL)
        file = found + 5;
    return file;
}

static int compare_sites(const void *a, const void *b)
{
    const struct site *first = *(struct site *const *)a;
    const struct site *second = *(struct site *const *)b;
    const int order = strcmp(first->file, second->file);

    if (order != 0)
        return order;
    if (first->line != second->line)
        return first->line < second->line ? -1 : 1;
    return strcmp(first->function, second->function);
}

// Sorts the sites and adds up those that are one place in a header. Returns how many are left.
static size_t gather(void)
{
    struct site **sites = __start_fault_sites;
    const size_t count = (size_t)(__stop_fault_sites - __start_fault_sites);
    size_t kept = 0;

    qsort(sites, count, sizeof *sites, compare_sites);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && compare_sites(&sites[kept - 1], &sites[i]) == 0) {
            sites[kept - 1]->calls += sites[i]->calls;
            sites[kept - 1]->faults += sites[i]->faults;
        } else {
            sites[kept++] = sites[i];
        }
    }
    return kept;
}

static const char *excuse_for(const struct site_excuse *excuses, const struct site *site)
{
    for (; excuses->file != NULL; excuses++) {
        if (strcmp(excuses->file, short_name(site->file)) == 0 &&
            (excuses->function == NULL || strcmp(excuses->function, site->function) == 0))
            return excuses->why;
    }
    return NULL;
}

struct tally {
    size_t sites;
    size_t failed;
    uint64_t faults;
};

static void tally_add(struct tally *tally, const struct site *site)
{
    tally->sites++;
    tally->failed += site->faults > 0;
    tally->faults += site->faults;
}

static void print_tally(const char *name, const struct tally *calls,
                        const struct tally *allocations)
{
    printf("%-36s %4zu of %4zu calls %9" PRIu64 " times  %4zu of %4zu allocations %9" PRIu64
           " times\n",
           name, calls->failed, calls->sites, calls->faults, allocations->failed,
           allocations->sites, allocations->faults);
}

static void print_files(size_t count)
{
    struct tally totals[2] = {{0}};

    for (size_t i = 0; i < count;) {
        const char *file = __start_fault_sites[i]->file;
        struct tally tallies[2] = {{0}};

        for (; i < count && strcmp(__start_fault_sites[i]->file, file) == 0; i++) {
            const struct site *site = __start_fault_sites[i];

            tally_add(&tallies[site->allocates], site);
            tally_add(&totals[site->allocates], site);
        }
        print_tally(short_name(file), &tallies[0], &tallies[1]);
    }
    print_tally("all call sites", &totals[0], &totals[1]);
}

size_t sites_report(const struct site_excuse *excuses)
{
    const size_t count = gather();
    size_t missing = 0;

    print_files(count);
    for (size_t i = 0; i < count; i++) {
        const struct site *site = __start_fault_sites[i];
        const char *why = excuse_for(excuses, site);

        if (site->faults > 0)
            continue;
        missing += why == NULL;
        printf("never failed: %s:%u %s, %s: %s\n", short_name(site->file), site->line,
               site->function, site->calls == 0 ? "never called" : "called",
               why == NULL ? "NO REASON KNOWN" : why);
    }
    return missing;
}

#include "manifest/presence.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/file_header.h"
#include "base/plant.h"

// Leaves room in the words of a failure for what those above put before and behind.
#define WORDS_SIZE 320

// What is wrong so far.
struct faults {
    size_t count;
    size_t told_count; // of them in the words
    size_t size;
    char words[WORDS_SIZE];
};

__attribute__((format(printf, 2, 3))) static void add_fault(struct faults *faults,
                                                            const char *format, ...)
{
    char text[128];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    // In order: behind the first that finds no room, all are only counted.
    if (faults->told_count == faults->count && size > 0 && (size_t)size < sizeof text &&
        faults->size + (size_t)size + sizeof "; " <= sizeof faults->words) {
        faults->size +=
            (size_t)snprintf(faults->words + faults->size, sizeof faults->words - faults->size,
                             "%s%s", faults->count == 0 ? "" : "; ", text);
        faults->told_count++;
    }
    faults->count++;
}

// What is there may be longer unless the size `is_exact`.
static lsm_status check_file(struct dir *dir, struct filename name, uint64_t size, bool is_exact,
                             struct faults *faults)
{
    struct file_facts facts;

    TRY(file_look(dir, name.text, &facts));
    if (!facts.is_there)
        add_fault(faults, "%s: is missing%s", name.text,
                  faults->count == 0 ? ", and the manifest names it" : "");
    else if (facts.size < size || (is_exact && facts.size != size))
        add_fault(faults, "%s: has %" PRIu64 " bytes, the manifest says %" PRIu64, name.text,
                  facts.size, size);
    return LSM_OK;
}

static lsm_status check_tables(struct dir *dir, const struct version *version,
                               struct faults *faults)
{
    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            const struct table_meta *meta = table_meta(version->levels[l].tables[i]);

            TRY(check_file(dir, filename_of(FILENAME_TABLE, meta->id), meta->size, true, faults));
        }
    }
    return LSM_OK;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

// What a segment must have: its final size once it has one, and before that what the manifest
// knows to be durable of it. `link` is its place in the log, or NULL.
static uint64_t least_size(const struct manifest_state *state, const struct segment_use *use,
                           const struct log_link *link)
{
    uint64_t size = larger(use->final_size, FILE_HEADER_SIZE);

    if (link != NULL)
        size = larger(size, link->final_size);
    if (state->replay.segment == use->id)
        size = larger(size, state->replay.offset);
    if (state->mark.segment == use->id)
        size = larger(size, state->mark.offset);
    return size;
}

static lsm_status check_segments(struct dir *dir, const struct manifest_state *state,
                                 const struct version *version, struct faults *faults)
{
    size_t at = 0; // in the chain, which ascends as the segments do

    for (size_t i = 0; i < version->segment_count; i++) {
        const struct segment_use *use = &version->segments[i];
        const struct log_link *link = NULL;

        while (at < state->chain_count && state->chain[at].id < use->id)
            at++;
        if (at < state->chain_count && state->chain[at].id == use->id)
            link = &state->chain[at];
        TRY(check_file(dir, filename_of(FILENAME_SEGMENT, use->id), least_size(state, use, link),
                       false, faults));
    }
    return LSM_OK;
}

lsm_status presence_check(struct dir *dir, const struct manifest_state *state,
                          const struct version *version)
{
    struct faults faults = {.count = 0};

    if (PLANTED(SKIP_PRESENCE_CHECK))
        return LSM_OK;
    TRY(check_tables(dir, version, &faults));
    TRY(check_segments(dir, state, version, &faults));
    if (faults.count == 0)
        return LSM_OK;
    if (faults.count == faults.told_count)
        return lsm_fail(LSM_CORRUPT, "%s", faults.words);
    return lsm_fail(LSM_CORRUPT, "%s; and %zu more", faults.words,
                    faults.count - faults.told_count);
}

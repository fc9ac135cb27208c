// growing_fixture.h -- a log of small segments over the sim, which grows.
//
// The tests of the log's two halves share it.

#ifndef LSM_TESTS_VLOG_GROWING_FIXTURE_H
#define LSM_TESTS_VLOG_GROWING_FIXTURE_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "log_fixture.h"
#include "support/alloc_fault.h"
#include "support/sim.h"

static struct sim *sim;
static struct world w;

static inline void fixture_open(void)
{
    static const struct paper blank;

    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    cr_assert(eq(int, world_open(&w, sim_env(sim), &blank), LSM_OK));
    cr_assert(eq(int, world_create(&w), LSM_OK));
}

static inline void fixture_close(void)
{
    world_close(&w);
    sim_free(sim);
}

static inline void install_and_open(void)
{
    cr_assert(alloc_fault_install());
    fixture_open();
}

static inline void set_fault(unsigned ops, lsm_status status, size_t written)
{
    struct sim_fault fault = {.ops = ops, .at = 1, .status = status, .short_by = written};

    sim_set_fault(sim, &fault);
}

static inline void append(uint64_t ts, size_t count, enum shape shape)
{
    cr_assert(eq(int, world_append(&w, ts, count, shape), LSM_OK), "%s", lsm_errmsg());
}

static inline void assert_position(struct log_position got, uint32_t id, uint64_t offset)
{
    cr_assert(eq(u32, got.segment, id));
    cr_assert(eq(u64, got.offset, offset));
}

static inline uint64_t size_of(uint32_t id)
{
    uint64_t size;

    cr_assert(eq(int, file_stat(w.dir, filename_of(FILENAME_SEGMENT, id).text, &size), LSM_OK));
    return size;
}

static inline bool exists(uint32_t id)
{
    uint64_t size;

    return file_stat(w.dir, filename_of(FILENAME_SEGMENT, id).text, &size) == LSM_OK;
}

// Fills the first segment so that the next commit of values moves on to segment 2.
static inline void fill_segment(void)
{
    append(1, 1, SHAPE_VALUES);
    append(2, 1, SHAPE_VALUES);
}

#endif

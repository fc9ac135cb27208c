// site_trace.h -- included before each engine source of the fault campaign: see sites.h.

#ifndef LSM_TESTS_FAULTS_SITE_TRACE_H
#define LSM_TESTS_FAULTS_SITE_TRACE_H

#include "base/alloc.h"
#include "env/env.h"
#include "faults/sites.h"

#define SITE_TRACED(function_, allocates_, ...)                                                    \
    __extension__({                                                                                \
        static struct site site_ = {.file = __FILE__,                                              \
                                    .line = __LINE__,                                              \
                                    .function = #function_,                                        \
                                    .allocates = (allocates_)};                                    \
        static struct site *site_link_ __attribute__((section("fault_sites"), used)) = &site_;     \
        site_enter(&site_);                                                                        \
        (function_)(__VA_ARGS__);                                                                  \
    })

#define mem_alloc(...)         SITE_TRACED(mem_alloc, true, __VA_ARGS__)
#define mem_alloc_zeroed(...)  SITE_TRACED(mem_alloc_zeroed, true, __VA_ARGS__)
#define mem_resize(...)        SITE_TRACED(mem_resize, true, __VA_ARGS__)
#define mem_resize_array(...)  SITE_TRACED(mem_resize_array, true, __VA_ARGS__)
#define mem_reserve(...)       SITE_TRACED(mem_reserve, true, __VA_ARGS__)
#define mem_alloc_aligned(...) SITE_TRACED(mem_alloc_aligned, true, __VA_ARGS__)

#define dir_open(...)        SITE_TRACED(dir_open, false, __VA_ARGS__)
#define dir_find(...)        SITE_TRACED(dir_find, false, __VA_ARGS__)
#define dir_sync(...)        SITE_TRACED(dir_sync, false, __VA_ARGS__)
#define dir_list(...)        SITE_TRACED(dir_list, false, __VA_ARGS__)
#define dir_lock(...)        SITE_TRACED(dir_lock, false, __VA_ARGS__)
#define file_open(...)       SITE_TRACED(file_open, false, __VA_ARGS__)
#define file_find(...)       SITE_TRACED(file_find, false, __VA_ARGS__)
#define file_find_once(...)  SITE_TRACED(file_find_once, false, __VA_ARGS__)
#define file_rename(...)     SITE_TRACED(file_rename, false, __VA_ARGS__)
#define file_unlink(...)     SITE_TRACED(file_unlink, false, __VA_ARGS__)
#define file_stat(...)       SITE_TRACED(file_stat, false, __VA_ARGS__)
#define file_look(...)       SITE_TRACED(file_look, false, __VA_ARGS__)
#define file_read(...)       SITE_TRACED(file_read, false, __VA_ARGS__)
#define file_read_exact(...) SITE_TRACED(file_read_exact, false, __VA_ARGS__)
#define file_write(...)      SITE_TRACED(file_write, false, __VA_ARGS__)
#define file_write_one(...)  SITE_TRACED(file_write_one, false, __VA_ARGS__)
#define file_sync(...)       SITE_TRACED(file_sync, false, __VA_ARGS__)
#define file_allocate(...)   SITE_TRACED(file_allocate, false, __VA_ARGS__)
#define file_truncate(...)   SITE_TRACED(file_truncate, false, __VA_ARGS__)
#define file_size(...)       SITE_TRACED(file_size, false, __VA_ARGS__)
#define file_close(...)      SITE_TRACED(file_close, false, __VA_ARGS__)
#define env_random(...)      SITE_TRACED(env_random, false, __VA_ARGS__)

// Files outside of a database, as of saved options, lie on the sim, too.
#define env_posix() site_machine

#endif

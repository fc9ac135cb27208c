// criterion.h -- what our tests use of Criterion, for machines that it does not run on.
//
// The same names with the same meaning: each test is a process of its own, between the set-up
// of its suite and its own. Only the reports are plainer.

#ifndef LSM_TESTS_STANDIN_CRITERION_H
#define LSM_TESTS_STANDIN_CRITERION_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct criterion_options {
    void (*init)(void);
    void (*fini)(void);
    int signal;     // that the test is to die of; 0: none
    double timeout; // seconds; 0: none
};

struct criterion_test {
    const char *suite;
    const char *name;
    void (*run)(void); // NULL: the entry is the options of a suite
    struct criterion_options options;
    struct criterion_test *next;
};

// Before main().
void criterion_add(struct criterion_test *test);

// Says what is wrong, once per call; criterion_stop() ends the test.
void criterion_failed(const char *file, int line, const char *expression, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
_Noreturn void criterion_stop(void);
_Noreturn void criterion_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Ends the test, which counts as passed, with the reason.
#define cr_skip_test(...) criterion_skip(" " __VA_ARGS__)

#define CRITERION_ENTRY(SUITE, NAME, RUN, ...)                                                     \
    __attribute__((constructor)) static void SUITE##_##NAME##_add(void)                            \
    {                                                                                              \
        static struct criterion_test test = {#SUITE, #NAME, RUN, {__VA_ARGS__}, NULL};             \
                                                                                                   \
        criterion_add(&test);                                                                      \
    }

#define Test(SUITE, NAME, ...)                                                                     \
    static void SUITE##_##NAME##_run(void);                                                        \
    CRITERION_ENTRY(SUITE, NAME, SUITE##_##NAME##_run, __VA_ARGS__)                                \
    static void SUITE##_##NAME##_run(void)

#define TestSuite(SUITE, ...)                                                                      \
    CRITERION_ENTRY(SUITE, suite, NULL, __VA_ARGS__)                                               \
    extern char criterion_semicolon

#endif

// criterion.c -- the stand-in's main(): every test in a process of its own, one after the other.

#include "criterion/criterion.h"

#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

static struct criterion_test *tests; // newest first
static bool has_failed;              // of the test that this process is

void criterion_add(struct criterion_test *test)
{
    test->next = tests;
    tests = test;
}

void criterion_failed(const char *file, int line, const char *expression, const char *format, ...)
{
    va_list arguments;

    has_failed = true;
    fprintf(stderr, "%s:%d: %s\n    ", file, line, expression);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

_Noreturn void criterion_stop(void)
{
    (void)fflush(NULL);
    _exit(1);
}

_Noreturn void criterion_skip(const char *format, ...)
{
    va_list arguments;

    fputs("SKIPPED:", stderr);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    (void)fflush(NULL);
    _exit(0);
}

static const struct criterion_options *suite_options(const char *suite)
{
    static const struct criterion_options none;

    for (const struct criterion_test *test = tests; test != NULL; test = test->next) {
        if (test->run == NULL && strcmp(test->suite, suite) == 0)
            return &test->options;
    }
    return &none;
}

static void call(void (*function)(void))
{
    if (function != NULL)
        function();
}

static _Noreturn void run_here(const struct criterion_test *test)
{
    const struct criterion_options *suite = suite_options(test->suite);

    (void)alarm((unsigned)test->options.timeout);
    call(suite->init);
    call(test->options.init);
    test->run();
    call(test->options.fini);
    call(suite->fini);
    (void)fflush(NULL);
    _exit(has_failed);
}

static bool passes(const struct criterion_test *test)
{
    int status = 0;
    pid_t child;

    (void)fflush(NULL);
    child = fork();
    if (child == 0)
        run_here(test);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    if (test->options.signal != 0)
        return WIFSIGNALED(status) && WTERMSIG(status) == test->options.signal;
    if (WIFSIGNALED(status))
        fprintf(stderr, "died of signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// With an argument that is no option, those tests alone that have it in their name.
int main(int argc, char **argv)
{
    const char *wanted = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
    unsigned passed = 0;
    unsigned failed = 0;

    for (const struct criterion_test *test = tests; test != NULL; test = test->next) {
        if (test->run == NULL || strstr(test->name, wanted) == NULL)
            continue;
        if (passes(test)) {
            passed++;
            continue;
        }
        failed++;
        fprintf(stderr, "FAILED  %s::%s\n", test->suite, test->name);
    }
    fprintf(stderr, "%u passed, %u failed\n", passed, failed);
    return failed > 0 || passed == 0;
}

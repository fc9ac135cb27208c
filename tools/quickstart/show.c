#include "show.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_WIDTH 32

void tell(const char *api, const char *format, ...)
{
    bool is_terminal = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
    va_list args;

    printf("  %s%-22s%s ", is_terminal ? "\033[2m" : "", api, is_terminal ? "\033[0m" : "");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    fflush(stdout);
}

void give_up(lsm_status status, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fputs("quickstart: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (status != LSM_OK)
        fprintf(stderr, ": %s (%s)", lsm_errmsg(), lsm_status_name(status));
    fputc('\n', stderr);
    exit(1);
}

void need(lsm_status status, const char *what)
{
    if (status != LSM_OK)
        give_up(status, "%s", what);
}

void show_bar(const char *what, uint64_t done, uint64_t total)
{
    static uint64_t shown_ns;
    uint64_t now = now_ns();
    char bar[BAR_WIDTH + 1];
    size_t filled = total == 0 ? BAR_WIDTH : (size_t)(done * BAR_WIDTH / total);

    if (!isatty(STDERR_FILENO))
        return;
    if (done >= total) {
        fputs("\r\033[K", stderr);
        return;
    }
    if (now - shown_ns < 100000000)
        return;
    shown_ns = now;
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', filled);
    bar[BAR_WIDTH] = '\0';
    fprintf(stderr, "\r\033[K  %s [%s] %3u%%", what, bar, (unsigned)(done * 100 / total));
    fflush(stderr);
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// show.h -- how the quickstart talks: lines of what happened, and a bar on a terminal.

#ifndef LSM_QUICKSTART_SHOW_H
#define LSM_QUICKSTART_SHOW_H

#include <lsmkv.h>
#include <stdbool.h>
#include <stdint.h>

// One line: the API that did something, and what it did.
void tell(const char *api, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Prints what failed, with the library's words when `status` is not LSM_OK, and ends
// the program.
_Noreturn void give_up(lsm_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Gives up unless `status` is LSM_OK.
void need(lsm_status status, const char *what);

// Draws a bar on a terminal, ten times a second at most; done == total takes it away.
void show_bar(const char *what, uint64_t done, uint64_t total);

uint64_t now_ns(void);

#endif

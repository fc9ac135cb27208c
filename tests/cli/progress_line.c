// progress_line.c -- what is shown of long work: how much of how much, and the time left.

#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S UINT64_C(1000000000)

static void expect(struct progress p, uint64_t done, uint64_t elapsed_ns, const char *wanted)
{
    char line[PROGRESS_LINE_SIZE];

    progress_line(&p, done, elapsed_ns, line);
    if (strcmp(line, wanted) == 0)
        return;
    fprintf(stderr, "instead of\n  %s\nit is\n  %s\n", wanted, line);
    exit(1);
}

int main(void)
{
    const struct progress bytes = {.what = "verifying", .unit = "bytes", .total = 4 << 20};
    const struct progress keys = {.what = "counting", .unit = "keys"};
    const struct progress large = {.what = "w", .unit = "bytes", .total = UINT64_MAX};

    expect(bytes, 1 << 20, 2 * S,
           "verifying [#######.....................]  25%, 1.0 MiB of 4.0 MiB, 6 s left");
    expect(bytes, 1 << 20, 200 * S,
           "verifying [#######.....................]  25%, 1.0 MiB of 4.0 MiB, 10 min left");
    expect(bytes, 1 << 20, 20000 * S,
           "verifying [#######.....................]  25%, 1.0 MiB of 4.0 MiB, 16.7 h left");
    // At the start nothing can be said of the time, and at the end none is left.
    expect(bytes, 0, 2 * S, "verifying [............................]   0%, 0 B of 4.0 MiB");
    expect(bytes, 5 << 20, 2 * S,
           "verifying [############################] 100%, 4.0 MiB of 4.0 MiB, 0 s left");
    expect(keys, 12345, 3 * S, "counting: 12,345 keys, 3 s");
    expect(large, 1, UINT64_MAX,
           "w [............................]   0%, 1 B of 16384.0 PiB, 1000000000.0 h left");
    return 0;
}

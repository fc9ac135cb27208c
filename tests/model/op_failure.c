#include "model/op_failure.h"

#include <stdlib.h>
#include <unistd.h>

#include "model/op_reducer.h"

#define TRIES_MAX 4000

static bool fails(void *ctx, const struct op_list *list)
{
    const enum ref_mistake *mistake = ctx;

    return !round_run_apart(list, *mistake, true, NULL).is_equal;
}

void failure_reduce(struct op_list *list, enum ref_mistake mistake)
{
    (void)op_reduce(list, fails, &mistake, TRIES_MAX);
}

void failure_report(const struct op_list *list, enum ref_mistake mistake)
{
    const char *dir = getenv("TMPDIR");
    char path[256];
    FILE *file = NULL;
    int fd;

    (void)snprintf(path, sizeof path, "%s/metamorphic-XXXXXX", dir == NULL ? "/tmp" : dir);
    fd = mkstemp(path);
    if (fd >= 0)
        file = fdopen(fd, "w");
    fprintf(stderr, "reduced to %zu operations:\n", list->count);
    op_list_print(list, stderr);
    if (file == NULL)
        return;
    op_list_print(list, file);
    (void)fclose(file);
    fprintf(stderr, "replay: metamorphic --replay %s --break-model %d\n", path, (int)mistake);
}

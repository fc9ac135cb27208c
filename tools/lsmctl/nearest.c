#include "nearest.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define SUGGESTION_MAX 3 // edits from what was typed

// How many characters must be changed, added, removed or swapped with a neighbour
// to make `b` of `a`; names longer than 31 characters are far from everything.
static size_t edit_distance(const char *a, const char *b)
{
    size_t rows[3][32];
    size_t size = strlen(b);

    if (size > 31 || strlen(a) > 31)
        return SIZE_MAX;
    for (size_t j = 0; j <= size; j++)
        rows[0][j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t *now = rows[i % 3];
        const size_t *before = rows[(i - 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= size; j++) {
            size_t best = before[j - 1] + (a[i - 1] != b[j - 1]);

            best = before[j] + 1 < best ? before[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                rows[(i - 2) % 3][j - 2] + 1 < best)
                best = rows[(i - 2) % 3][j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[strlen(a) % 3][size];
}

void nearest_try(struct nearest *nearest, const char *name)
{
    size_t distance = edit_distance(nearest->typed, name);

    // Of a name that is changed by more than half, little is left.
    if (distance <= SUGGESTION_MAX && 2 * distance <= strlen(name) &&
        (nearest->name == NULL || distance < nearest->distance)) {
        nearest->name = name;
        nearest->distance = distance;
    }
}

#include "model/op_list.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {
#define X(kind, name) #name,
    OP_KINDS(X)
#undef X
};

static const char *const field_names[F_COUNT] = {
    [F_KS] = "ks",       [F_SLOT] = "slot", [F_ON] = "on",         [F_FROM] = "from",
    [F_KEY] = "key",     [F_TO] = "to",     [F_PREFIX] = "prefix", [F_SIZE] = "size",
    [F_STAMP] = "stamp", [F_BYTE] = "byte", [F_TTL] = "ttl",       [F_UNTIL] = "until",
    [F_SYNC] = "sync",   [F_N] = "n",       [F_FLAGS] = "flags",
};

const char *op_name(enum op_kind kind)
{
    return kind_names[kind];
}

// --- lists ---

static void reserve(struct op_list *list, size_t count)
{
    if (count <= list->capacity)
        return;
    list->capacity = count * 2;
    list->ops = realloc(list->ops, list->capacity * sizeof *list->ops);
    if (list->ops == NULL)
        abort();
}

void op_list_add(struct op_list *list, const struct op *op)
{
    reserve(list, list->count + 1);
    list->ops[list->count++] = *op;
}

void op_list_copy(struct op_list *to, const struct op_list *from)
{
    reserve(to, from->count);
    if (from->count > 0)
        memcpy(to->ops, from->ops, from->count * sizeof *to->ops);
    to->count = from->count;
}

void op_list_release(struct op_list *list)
{
    free(list->ops);
    *list = (struct op_list){0};
}

// --- text ---

void op_print(const struct op *op, char text[OP_TEXT_MAX])
{
    int size = snprintf(text, OP_TEXT_MAX, "%s", kind_names[op->kind]);

    for (int i = 0; i < F_COUNT; i++) {
        if (op->field[i] != 0)
            size += snprintf(text + size, OP_TEXT_MAX - (size_t)size, " %s=%" PRIu32,
                             field_names[i], op->field[i]);
    }
}

void op_list_print(const struct op_list *list, FILE *to)
{
    char text[OP_TEXT_MAX];

    for (size_t i = 0; i < list->count; i++) {
        op_print(&list->ops[i], text);
        fprintf(to, "%s\n", text);
    }
}

static int find_name(const char *const *names, int count, const char *name, size_t size)
{
    for (int i = 0; i < count; i++) {
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
            return i;
    }
    return -1;
}

// Takes `name=number` off the front of `*at`.
static bool parse_field(const char **at, struct op *op)
{
    const size_t size = strcspn(*at, "= \n");
    const int field = find_name(field_names, F_COUNT, *at, size);
    char *end;

    if (field < 0 || (*at)[size] != '=')
        return false;
    op->field[field] = (uint32_t)strtoul(*at + size + 1, &end, 10);
    if (end == *at + size + 1)
        return false;
    *at = end;
    return true;
}

bool op_parse(const char *line, struct op *op)
{
    const size_t size = strcspn(line, " \n");
    const int kind = find_name(kind_names, OP_KIND_COUNT, line, size);
    const char *at = line + size;

    if (kind < 0)
        return false;
    *op = (struct op){.kind = (enum op_kind)kind};
    for (;;) {
        at += strspn(at, " \n");
        if (*at == '\0')
            return true;
        if (!parse_field(&at, op))
            return false;
    }
}

bool op_list_read(struct op_list *list, FILE *from)
{
    char line[OP_TEXT_MAX];
    struct op op;

    for (unsigned number = 1; fgets(line, sizeof line, from) != NULL; number++) {
        if (line[0] == '#' || line[0] == '\n')
            continue;
        if (!op_parse(line, &op)) {
            fprintf(stderr, "line %u is no operation: %s", number, line);
            return false;
        }
        op_list_add(list, &op);
    }
    return true;
}

// lsmctl.c -- parsing, help and exit codes; the commands are in cmd_*.c.

#include "lsmctl.h"

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS_MAX      32
#define SUGGESTION_MAX 3 // edits from what was typed
#define FLAG_KEY_BASE  256
#define COMMON_KEY     1024

static const struct command *const tables[] = {
    data_commands,   bulk_commands,    look_commands,  file_commands,
    upkeep_commands, salvage_commands, bench_commands,
};

// Planned, but not in this version: recognised, so that nobody takes them for typos.
static const char *const planned_commands[] = {"gc", "checkpoint"};

enum common_key {
    KEY_JSON = COMMON_KEY,
    KEY_HEX,
    KEY_QUIET = 'q',
    KEY_KEYSPACE = 'k',
    KEY_OPTION = 'o',
};

static const struct argp_option common_options[] = {
    {.name = "json",
     .key = KEY_JSON,
     .doc = "Print JSON; integers raw, under keys with their unit"},
    {.name = "hex", .key = KEY_HEX, .doc = "Keys and values are hexadecimal digits, both ways"},
    {.name = "keyspace", .key = KEY_KEYSPACE, .arg = "NAME", .doc = "Work in this keyspace"},
    {.name = "option", .key = KEY_OPTION, .arg = "NAME=VALUE", .doc = "Set a database option"},
    {.name = "quiet", .key = KEY_QUIET, .doc = "Say nothing but errors on stderr"},
    {0},
};

// --- finding names, and the nearest ones ---

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct command *c = tables[i]; c->name != NULL; c++)
            if (strcmp(c->name, name) == 0)
                return c;
    return NULL;
}

static bool is_planned(const char *name)
{
    for (size_t i = 0; i < sizeof planned_commands / sizeof planned_commands[0]; i++)
        if (strcmp(planned_commands[i], name) == 0)
            return true;
    return false;
}

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

// Keeps the name nearest to `typed`.
struct nearest {
    const char *typed;
    const char *name; // NULL: nothing is near
    size_t distance;
};

static void nearest_try(struct nearest *nearest, const char *name)
{
    size_t distance = edit_distance(nearest->typed, name);

    if (distance <= SUGGESTION_MAX && distance < strlen(name) &&
        (nearest->name == NULL || distance < nearest->distance)) {
        nearest->name = name;
        nearest->distance = distance;
    }
}

static int unknown_command(const char *typed)
{
    struct nearest nearest = {.typed = typed};

    if (is_planned(typed)) {
        fprintf(stderr, "lsmctl: '%s' is not in this version (%s)\n", typed, lsm_version());
        return EXIT_CODE_FAILED;
    }
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct command *c = tables[i]; c->name != NULL; c++)
            nearest_try(&nearest, c->name);
    fprintf(stderr, "lsmctl: there is no command '%s'", typed);
    if (nearest.name != NULL)
        fprintf(stderr, "; did you mean '%s'?\n", nearest.name);
    else
        fputs("; `lsmctl help` lists them\n", stderr);
    return EXIT_CODE_USAGE;
}

// --- parsing ---

static void add_flag_options(const struct command *command, struct argp_option *options)
{
    size_t count = 0;

    for (const struct flag *f = command->flags; f != NULL && f->name != NULL; f++, count++)
        options[count] = (struct argp_option){
            .name = f->name,
            .key = f->letter != 0 ? f->letter : FLAG_KEY_BASE + (int)count,
            .arg = f->argument,
            .doc = f->help,
        };
    options[count] = (struct argp_option){0};
}

static const struct flag *flag_of_key(const struct command *command, int key)
{
    int i = 0;

    for (const struct flag *f = command->flags; f != NULL && f->name != NULL; f++, i++)
        if (key == (f->letter != 0 ? f->letter : FLAG_KEY_BASE + i))
            return f;
    return NULL;
}

static lsm_status parse_count(const char *text, uint64_t *count)
{
    char *end;

    errno = 0;
    *count = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0')
        return lsm_fail(LSM_INVALID, "not a count: %s", text);
    return LSM_OK;
}

lsm_status parse_size(const char *text, uint64_t *size)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB"};
    char *end;
    uint64_t number;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno == 0 && *text >= '0' && *text <= '9') {
        for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++) {
            if (strcmp(end, units[i]) == 0 && number <= UINT64_MAX >> (10 * i)) {
                *size = number << (10 * i);
                return LSM_OK;
            }
        }
    }
    return lsm_fail(LSM_INVALID, "not a size: %s (a number, with KiB, MiB or GiB)", text);
}

static lsm_status parse_real(const char *text, double *value)
{
    char *end;

    *value = strtod(text, &end);
    if (end == text || *end != '\0' || !(*value >= 0))
        return lsm_fail(LSM_INVALID, "not a number of at least 0: %s", text);
    return LSM_OK;
}

static lsm_status flag_set(struct tool *tool, const struct flag *flag, char *argument)
{
    void *field = (char *)tool->settings + flag->offset;

    switch (flag->type) {
    case FLAG_BOOL:
        *(bool *)field = true;
        return LSM_OK;
    case FLAG_TEXT:
        *(const char **)field = argument;
        return LSM_OK;
    case FLAG_BYTES:
        // Decoded when all is parsed: --hex may still come.
        ((struct bytes_flag *)field)->is_set = true;
        ((struct bytes_flag *)field)->bytes.size = 0;
        must(buf_append(&((struct bytes_flag *)field)->bytes, argument, strlen(argument)));
        return LSM_OK;
    case FLAG_COUNT:
        return parse_count(argument, field);
    case FLAG_SIZE:
        return parse_size(argument, field);
    case FLAG_REAL:
        return parse_real(argument, field);
    }
    return LSM_OK;
}

static lsm_status set_option(struct tool *tool, const char *argument)
{
    const char *equals = strchr(argument, '=');
    char name[64];

    if (equals == NULL || (size_t)(equals - argument) >= sizeof name)
        return lsm_fail(LSM_INVALID, "-o %s: wanted NAME=VALUE", argument);
    memcpy(name, argument, (size_t)(equals - argument));
    name[equals - argument] = '\0';
    return lsm_options_set(tool->options, name, equals + 1);
}

// argp's parser functions; state->input is the tool.
static error_t parse_common(int key, char *argument, struct argp_state *state)
{
    struct tool *tool = state->input;

    switch (key) {
    case KEY_JSON:
        tool->json = true;
        return 0;
    case KEY_HEX:
        tool->hex = true;
        return 0;
    case KEY_QUIET:
        tool->quiet = true;
        return 0;
    case KEY_KEYSPACE:
        tool->keyspace = argument;
        return 0;
    case KEY_OPTION:
        if (set_option(tool, argument) != LSM_OK)
            argp_error(state, "%s", lsm_errmsg());
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_command(int key, char *argument, struct argp_state *state)
{
    struct tool *tool = state->input;
    const struct flag *flag = flag_of_key(tool->command, key);

    if (flag != NULL) {
        if (flag_set(tool, flag, argument) != LSM_OK)
            argp_error(state, "--%s: %s", flag->name, lsm_errmsg());
        return 0;
    }
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = tool;
        return 0;
    case ARGP_KEY_ARG:
        if (tool->operand_count == tool->command->operands_max)
            argp_error(state, "one operand too many: %s", argument);
        tool->operands[tool->operand_count++] = argument;
        return 0;
    case ARGP_KEY_END:
        if (tool->operand_count < tool->command->operands_min)
            argp_error(state, "operands are missing: %s", tool->command->operands);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp common_argp = {.options = common_options, .parser = parse_common};
static const struct argp_child common_children[] = {
    {.argp = &common_argp, .header = "Everywhere:", .group = 1}, {0}};

// getopt takes any beginning of a name that fits one option only.
static bool option_begins(const struct argp_option *options, const char *typed, size_t size,
                          const struct argp_option **found)
{
    for (; options->name != NULL; options++) {
        if (strncmp(options->name, typed, size) == 0) {
            *found = options;
            return true;
        }
    }
    return false;
}

static void nearest_option(struct nearest *nearest, const struct argp_option *options)
{
    for (; options->name != NULL; options++)
        nearest_try(nearest, options->name);
}

// getopt only says that it does not know a long option; this says which was meant.
static void check_long_options(const struct tool *tool, const struct argp_option *options, int argc,
                               char **argv)
{
    static const struct argp_option builtin[] = {
        {.name = "help"}, {.name = "usage"}, {.name = "version"}, {0}};

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const struct argp_option *found = NULL;
        struct nearest nearest = {.typed = NULL};
        char typed[64];
        size_t size;

        if (strncmp(argv[i], "--", 2) != 0)
            continue;
        size = strcspn(argv[i] + 2, "=");
        if (option_begins(options, argv[i] + 2, size, &found) ||
            option_begins(common_options, argv[i] + 2, size, &found) ||
            option_begins(builtin, argv[i] + 2, size, &found)) {
            i += found->arg != NULL && argv[i][2 + size] != '=';
            continue;
        }
        snprintf(typed, sizeof typed, "%.*s", (int)size, argv[i] + 2);
        nearest.typed = typed;
        nearest_option(&nearest, options);
        nearest_option(&nearest, common_options);
        fprintf(stderr, "lsmctl %s: there is no option --%s", tool->command->name, typed);
        if (nearest.name != NULL)
            fprintf(stderr, "; did you mean --%s?\n", nearest.name);
        else
            fprintf(stderr, "; `lsmctl help %s` lists them\n", tool->command->name);
        exit(EXIT_CODE_USAGE);
    }
}

// Decodes what was given as bytes, now that --hex is known.
static lsm_status decode_bytes_flags(struct tool *tool)
{
    for (const struct flag *f = tool->command->flags; f != NULL && f->name != NULL; f++) {
        struct bytes_flag *given = (struct bytes_flag *)((char *)tool->settings + f->offset);
        lsm_buf decoded = LSM_BUF_INIT;
        lsm_slice text;

        if (f->type != FLAG_BYTES || !given->is_set)
            continue;
        text = slice_of_buf(&given->bytes);
        if ((tool->hex ? hex_decode : text_unescape)(text, &decoded) != LSM_OK) {
            lsm_buf_free(&decoded);
            return usage_error(tool, "--%s: %s", f->name, lsm_errmsg());
        }
        lsm_buf_free(&given->bytes);
        given->bytes = decoded;
    }
    return LSM_OK;
}

static void release_settings(struct tool *tool)
{
    for (const struct flag *f = tool->command->flags; f != NULL && f->name != NULL; f++)
        if (f->type == FLAG_BYTES)
            lsm_buf_free(&((struct bytes_flag *)((char *)tool->settings + f->offset))->bytes);
    free(tool->settings);
    tool->settings = NULL;
}

// --- running ---

static int exit_code_of(const struct tool *tool, lsm_status status)
{
    if (tool->is_usage_error)
        return EXIT_CODE_USAGE;
    switch (status) {
    case LSM_OK:
        return EXIT_CODE_OK;
    case LSM_NOT_FOUND:
        return EXIT_CODE_NOT_FOUND;
    case LSM_CORRUPT:
        return EXIT_CODE_CORRUPT;
    case LSM_LOCKED:
        return EXIT_CODE_LOCKED;
    default:
        return EXIT_CODE_FAILED;
    }
}

// What to do next, where that is not plain from the words.
static const char *advice(const struct tool *tool, lsm_status status)
{
    switch (status) {
    case LSM_LOCKED:
        return "looking commands (get, scan, info, levels, find, ...) work beside that process";
    case LSM_CORRUPT:
        if (strcmp(tool->command->name, "salvage") == 0)
            return "what is lost is told above; a copy of DB from before may have it";
        return strcmp(tool->command->name, "verify") == 0
                   ? "restore the file from a copy, or `lsmctl salvage DB NEWDB` what is intact"
                   : "`lsmctl verify DB` checks every file";
    case LSM_NO_SPACE:
        return "make room on the device and run it again";
    case LSM_OUTCOME_UNKNOWN:
        return "look whether the write is there before repeating it";
    case LSM_READ_ONLY:
        return "the directory must be writable for this user";
    default:
        return NULL;
    }
}

static void report(const struct tool *tool, lsm_status status)
{
    const char *next = advice(tool, status);

    fflush(stdout);
    fprintf(stderr, "%slsmctl %s%s: %s", colour(stderr, COLOUR_RED), tool->command->name,
            colour(stderr, COLOUR_NONE), lsm_errmsg());
    // Failures of the machine are told with their name, mistakes speak for themselves.
    if (status != LSM_NOT_FOUND && status != LSM_INVALID)
        fprintf(stderr, " (%s)", lsm_status_name(status));
    fputc('\n', stderr);
    if (next != NULL)
        fprintf(stderr, "  %s\n", next);
}

static int run_command(const struct command *command, struct tool *tool, int argc, char **argv)
{
    struct argp_option options[FLAGS_MAX + 1];
    struct argp argp = {
        .options = options,
        .parser = parse_command,
        .args_doc = command->operands,
        .doc = command->summary,
        .children = common_children,
    };
    char name[64];
    lsm_status status;
    int code;

    tool->command = command;
    tool->operands = must_alloc((size_t)command->operands_max + 1, sizeof *tool->operands);
    tool->settings = must_alloc(1, command->settings_size);
    add_flag_options(command, options);
    check_long_options(tool, options, argc, argv);
    snprintf(name, sizeof name, "lsmctl %s", command->name);
    argv[0] = name;
    if (argp_parse(&argp, argc, argv, 0, NULL, tool) != 0)
        return EXIT_CODE_USAGE;
    status = decode_bytes_flags(tool);
    if (status == LSM_OK)
        status = command->run(tool);
    if (status == LSM_OK && (fflush(stdout) != 0 || ferror(stdout)))
        status = lsm_fail(LSM_IO, "writing to standard output: %s", strerror(errno));
    if (status != LSM_OK)
        report(tool, status);
    code = exit_code_of(tool, status);
    release_settings(tool);
    free(tool->operands);
    return code;
}

// --- help ---

static void print_overview(FILE *to)
{
    const char *group = "";

    fputs("usage: lsmctl [FLAGS] COMMAND DB [OPERANDS] [FLAGS]\n"
          "Looks into lsmkv databases, and changes and measures them.\n",
          to);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        for (const struct command *c = tables[i]; c->name != NULL; c++) {
            if (strcmp(c->group, group) != 0)
                fprintf(to, "\n%s%s%s\n", colour(to, COLOUR_BOLD), c->group,
                        colour(to, COLOUR_NONE));
            group = c->group;
            fprintf(to, "  %-10s %s\n", c->name, c->summary);
        }
    }
    fputs("\nFlags for every command: --json --hex --keyspace NAME (-k) --option NAME=VALUE (-o)\n"
          "--quiet (-q). `lsmctl help COMMAND` tells more, with examples.\n"
          "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 corruption, 5 locked.\n",
          to);
}

static int print_command_help(const char *name)
{
    const struct command *command = find_command(name);

    if (command == NULL)
        return unknown_command(name);
    printf("usage: lsmctl %s %s\n%s.\n", command->name, command->operands, command->summary);
    if (command->flags != NULL && command->flags->name != NULL)
        putchar('\n');
    for (const struct flag *f = command->flags; f != NULL && f->name != NULL; f++) {
        char left[64];

        snprintf(left, sizeof left, "%s--%s%s%s", f->letter == 0 ? "    " : "", f->name,
                 f->argument == NULL ? "" : "=", f->argument == NULL ? "" : f->argument);
        if (f->letter == 0)
            printf("  %-28s %s\n", left, f->help);
        else
            printf("  -%c, %-24s %s\n", f->letter, left, f->help);
    }
    printf("\n%s", command->details);
    return EXIT_CODE_OK;
}

// --- what the commands share ---

lsm_status usage_error(struct tool *tool, const char *format, ...)
{
    char words[FAILURE_MESSAGE_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    tool->is_usage_error = true;
    return lsm_fail(LSM_INVALID, "%s", words);
}

void say(const struct tool *tool, const char *format, ...)
{
    va_list args;

    if (tool->quiet)
        return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
}

lsm_status operand_bytes(const struct tool *tool, const char *text, lsm_buf *bytes)
{
    return tool->hex ? hex_decode(slice_of(text), bytes) : text_unescape(slice_of(text), bytes);
}

// --- main ---

// Takes the flags in front of the command; returns the command's index in argv, or
// argc when there is none.
static int parse_leading_flags(struct tool *tool, int argc, char **argv)
{
    int at = 1;
    struct argp argp = {.options = common_options, .parser = parse_common};

    while (at < argc && argv[at][0] == '-') {
        const char *flag = argv[at];
        bool takes_next = strcmp(flag, "-k") == 0 || strcmp(flag, "-o") == 0 ||
                          strcmp(flag, "--keyspace") == 0 || strcmp(flag, "--option") == 0;

        if (strcmp(flag, "--help") == 0 || strcmp(flag, "-?") == 0) {
            print_overview(stdout);
            exit(EXIT_CODE_OK);
        }
        if (strcmp(flag, "--version") == 0 || strcmp(flag, "-V") == 0) {
            printf("lsmctl %s\n", lsm_version());
            exit(EXIT_CODE_OK);
        }
        at += takes_next ? 2 : 1;
    }
    at = at > argc ? argc : at;
    if (at > 1 && argp_parse(&argp, at, argv, ARGP_NO_HELP, NULL, tool) != 0)
        exit(EXIT_CODE_USAGE);
    return at;
}

int main(int argc, char **argv)
{
    struct tool tool = {0};
    const struct command *command;
    int at, code;

    argp_err_exit_status = EXIT_CODE_USAGE;
    must(lsm_options_new(&tool.options));
    at = parse_leading_flags(&tool, argc, argv);
    if (at == argc) {
        print_overview(stderr);
        code = EXIT_CODE_USAGE;
    } else if (strcmp(argv[at], "help") == 0 && at + 1 < argc) {
        code = print_command_help(argv[at + 1]);
    } else if (strcmp(argv[at], "help") == 0) {
        print_overview(stdout);
        code = EXIT_CODE_OK;
    } else {
        command = find_command(argv[at]);
        code = command == NULL ? unknown_command(argv[at])
                               : run_command(command, &tool, argc - at, argv + at);
    }
    lsm_options_free(tool.options);
    return code;
}

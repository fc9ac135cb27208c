#include "arguments.h"

#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"

#define FLAGS_MAX     32
#define FLAG_KEY_BASE 256
#define COMMON_KEY    1024

enum common_key {
    KEY_JSON = COMMON_KEY,
    KEY_HEX,
    KEY_FILES,
    KEY_ONCE,
    KEY_QUIET = 'q',
    KEY_VERBOSE = 'v',
    KEY_KEYSPACE = 'k',
    KEY_OPTION = 'o',
    KEY_HELP = 'h',
};

static const struct argp_option common_options[] = {
    {.name = "json",
     .key = KEY_JSON,
     .doc = "Print JSON; integers raw, under keys with their unit"},
    {.name = "hex", .key = KEY_HEX, .doc = "Keys and values are hexadecimal digits, both ways"},
    {.name = "files",
     .key = KEY_FILES,
     .doc = "Keys and values given are names of files that hold them, '-' is standard input"},
    {.name = "keyspace", .key = KEY_KEYSPACE, .arg = "NAME", .doc = "Work in this keyspace"},
    {.name = "option",
     .key = KEY_OPTION,
     .arg = "NAME=VALUE",
     .doc = "Set a database option, and keep it there (VALUE 'default': no more)"},
    {.name = "once",
     .key = KEY_ONCE,
     .arg = "NAME=VALUE",
     .doc = "Set a database option for this command only"},
    {.name = "verbose",
     .key = KEY_VERBOSE,
     .doc = "Tell which options are in force, and from where"},
    {.name = "quiet", .key = KEY_QUIET, .doc = "Say nothing but errors on stderr"},
    {.key = KEY_HELP, .flags = OPTION_HIDDEN},
    {0},
};

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
        // Decoded when all is parsed: --hex or --files may still come.
        ((struct bytes_flag *)field)->is_set = true;
        ((struct bytes_flag *)field)->bytes.size = 0;
        must(buf_append(&((struct bytes_flag *)field)->bytes, argument, strlen(argument) + 1));
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

static lsm_status set_option(struct tool *tool, const char *argument, bool once)
{
    const char *equals = strchr(argument, '=');
    char name[64];

    if (equals == NULL || (size_t)(equals - argument) >= sizeof name)
        return lsm_fail(LSM_INVALID, "%s %s: wanted NAME=VALUE", once ? "--once" : "-o", argument);
    memcpy(name, argument, (size_t)(equals - argument));
    name[equals - argument] = '\0';
    if (strcmp(name, "create_if_missing") == 0)
        tool->has_create_option = true;
    if (strcmp(equals + 1, "default") == 0)
        return lsm_options_reset(tool->options, name);
    return once ? lsm_options_set_once(tool->options, name, equals + 1)
                : lsm_options_set(tool->options, name, equals + 1);
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
    case KEY_FILES:
        tool->files = true;
        return 0;
    case KEY_QUIET:
        tool->quiet = true;
        return 0;
    case KEY_KEYSPACE:
        tool->keyspace = argument;
        return 0;
    case KEY_VERBOSE:
        tool->verbose = true;
        return 0;
    case KEY_OPTION:
    case KEY_ONCE:
        if (set_option(tool, argument, key == KEY_ONCE) != LSM_OK)
            argp_error(state, "%s", lsm_errmsg());
        return 0;
    case KEY_HELP:
        argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
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

// --- bytes ---

static lsm_status read_stream(FILE *from, const char *name, lsm_buf *bytes)
{
    char block[65536];
    size_t size;

    while ((size = fread(block, 1, sizeof block, from)) > 0) {
        must(buf_append(bytes, block, size));
        if (bytes->size > LSM_VALUE_SIZE_MAX)
            return lsm_fail(LSM_INVALID, "%s: more than the %u bytes a value may have", name,
                            LSM_VALUE_SIZE_MAX);
    }
    return ferror(from) ? lsm_fail(LSM_IO, "%s: %s", name, strerror(errno)) : LSM_OK;
}

// A second time nothing would be left of it, and nothing is a value, too.
static lsm_status read_stdin(lsm_buf *bytes)
{
    static bool is_read;

    if (is_read)
        return lsm_fail(LSM_INVALID, "standard input is named twice");
    is_read = true;
    return read_stream(stdin, "standard input", bytes);
}

lsm_status file_bytes(const char *name, lsm_buf *bytes)
{
    FILE *from;
    lsm_status status;

    if (strcmp(name, "-") == 0)
        return read_stdin(bytes);
    from = fopen(name, "rb");
    if (from == NULL)
        return lsm_fail(LSM_INVALID, "%s: %s", name, strerror(errno));
    status = read_stream(from, name, bytes);
    (void)fclose(from); // it was only read
    return status;
}

lsm_status operand_bytes(const struct tool *tool, const char *text, lsm_buf *bytes)
{
    if (tool->files)
        return file_bytes(text, bytes);
    return tool->hex ? hex_decode(slice_of(text), bytes) : text_unescape(slice_of(text), bytes);
}

// Decodes what was given as bytes, now that --hex and --files are known.
static lsm_status decode_bytes_flags(struct tool *tool)
{
    for (const struct flag *f = tool->command->flags; f != NULL && f->name != NULL; f++) {
        struct bytes_flag *given = (struct bytes_flag *)((char *)tool->settings + f->offset);
        lsm_buf decoded = LSM_BUF_INIT;

        if (f->type != FLAG_BYTES || !given->is_set)
            continue;
        if (operand_bytes(tool, given->bytes.data, &decoded) != LSM_OK) {
            lsm_buf_free(&decoded);
            return usage_error(tool, "--%s: %s", f->name, lsm_errmsg());
        }
        lsm_buf_free(&given->bytes);
        given->bytes = decoded;
    }
    return LSM_OK;
}

lsm_status arguments_parse(struct tool *tool, int argc, char **argv)
{
    const struct command *command = tool->command;
    struct argp_option options[FLAGS_MAX + 1];
    const struct argp argp = {
        .options = options,
        .parser = parse_command,
        .args_doc = command->operands,
        .doc = command->summary,
        .children = common_children,
    };
    char name[64];

    tool->operands = must_alloc((size_t)command->operands_max + 1, sizeof *tool->operands);
    tool->settings = must_alloc(1, command->settings_size);
    add_flag_options(command, options);
    check_long_options(tool, options, argc, argv);
    snprintf(name, sizeof name, "lsmctl %s", command->name);
    argv[0] = name;
    if (argp_parse(&argp, argc, argv, 0, NULL, tool) != 0)
        return usage_error(tool, "the arguments cannot be parsed");
    return decode_bytes_flags(tool);
}

lsm_status arguments_parse_common(struct tool *tool, int argc, char **argv)
{
    if (argp_parse(&common_argp, argc, argv, ARGP_NO_HELP, NULL, tool) != 0)
        return usage_error(tool, "the arguments cannot be parsed");
    return LSM_OK;
}

void arguments_release(struct tool *tool)
{
    for (const struct flag *f = tool->command->flags; f != NULL && f->name != NULL; f++)
        if (f->type == FLAG_BYTES)
            lsm_buf_free(&((struct bytes_flag *)((char *)tool->settings + f->offset))->bytes);
    free(tool->settings);
    free(tool->operands);
}

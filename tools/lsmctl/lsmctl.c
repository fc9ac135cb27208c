// lsmctl.c -- finding the command, help and exit codes; the commands are in cmd_*.c.

#include "lsmctl.h"

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "nearest.h"
#include "synonyms.h"

static const struct command *const tables[] = {
    create_commands, data_commands, bulk_commands,   look_commands,    stats_commands,
    event_commands,  file_commands, upkeep_commands, salvage_commands, bench_commands,
};

// Planned, but not in this version: recognised, so that nobody takes them for typos.
static const struct planned {
    const char *name;
    const char *meanwhile;
} planned_commands[] = {
    {"gc", "`lsmctl dump DB | lsmctl load NEWDB` leaves dead values behind"},
    {"checkpoint", "`lsmctl dump DB > FILE` works beside a process that writes"},
};

// --- finding the command ---

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct command *c = tables[i]; c->name != NULL; c++)
            if (strcmp(c->name, name) == 0)
                return c;
    return NULL;
}

static const struct planned *find_planned(const char *name)
{
    for (size_t i = 0; i < sizeof planned_commands / sizeof planned_commands[0]; i++)
        if (strcmp(planned_commands[i].name, name) == 0)
            return &planned_commands[i];
    return NULL;
}

// What was meant by the word itself goes before what looks like it: "copy" is no "count".
static int unknown_command(const char *typed)
{
    const struct planned *planned = find_planned(typed);
    const char *meant = synonym_find(typed);
    struct nearest nearest = {.typed = typed};

    if (planned != NULL) {
        fprintf(stderr, "lsmctl: '%s' is not in this version (%s)\n  %s\n", typed, lsm_version(),
                planned->meanwhile);
        return EXIT_CODE_FAILED;
    }
    if (meant != NULL) {
        fprintf(stderr, "lsmctl: there is no command '%s'\n  %s\n", typed, meant);
        return EXIT_CODE_USAGE;
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

static void report_json(const struct tool *tool, lsm_status status, const char *next)
{
    fputs("{", stderr);
    json_write_bytes(stderr, "command", slice_of(tool->command->name), false);
    fprintf(stderr, ",\"error\":\"%s\",\"exit_code\":%d,", lsm_status_name(status),
            exit_code_of(tool, status));
    json_write_bytes(stderr, "message", slice_of(lsm_errmsg()), false);
    if (next != NULL) {
        fputs(",", stderr);
        json_write_bytes(stderr, "advice", slice_of(next), false);
    }
    fputs("}\n", stderr);
}

static void report(const struct tool *tool, lsm_status status)
{
    const char *next = advice(tool, status);

    fflush(stdout);
    if (tool->json) {
        report_json(tool, status, next);
        return;
    }
    fprintf(stderr, "%slsmctl %s%s: %s", colour(stderr, COLOUR_RED), tool->command->name,
            colour(stderr, COLOUR_NONE), lsm_errmsg());
    // Failures of the machine are told with their name, mistakes speak for themselves.
    if (status != LSM_NOT_FOUND && status != LSM_INVALID)
        fprintf(stderr, " (%s)", lsm_status_name(status));
    fputc('\n', stderr);
    if (next != NULL)
        fprintf(stderr, "  %s\n", next);
}

// --- standard output ---

// What the process would exit with if its output was written.
static int exit_code_so_far = EXIT_CODE_OK;
static bool is_output_failure_told;

lsm_status output_flush(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return LSM_OK;
    is_output_failure_told = true;
    return lsm_fail(LSM_IO, "writing to standard output: %s",
                    errno == 0 ? "it has failed" : strerror(errno));
}

// The last word on the output, whoever calls exit(): help and version do so inside of argp. A
// file system may refuse what it has taken as late as when it is closed.
static void close_output(void)
{
    const bool is_pending = __fpending(stdout) > 0;
    bool is_written = !ferror(stdout);

    errno = 0;
    // Who closes the descriptor wants no output, and where there is none it is not missed.
    if (fclose(stdout) != 0 && (is_pending || errno != EBADF))
        is_written = false;
    if (is_written)
        return;
    if (!is_output_failure_told)
        fprintf(stderr, "lsmctl: writing to standard output: %s\n",
                errno == 0 ? "it has failed" : strerror(errno));
    _exit(exit_code_so_far == EXIT_CODE_OK ? EXIT_CODE_FAILED : exit_code_so_far);
}

// --- commands ---

static int run_command(const struct command *command, struct tool *tool, int argc, char **argv)
{
    lsm_status status;
    int code;

    tool->command = command;
    status = arguments_parse(tool, argc, argv);
    if (status == LSM_OK)
        status = command->run(tool);
    if (status == LSM_OK)
        status = output_flush();
    if (status != LSM_OK)
        report(tool, status);
    code = exit_code_of(tool, status);
    arguments_release(tool);
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
    fputs("\nFlags for every command: --json --hex --files --keyspace NAME (-k)\n"
          "--option NAME=VALUE (-o) --once NAME=VALUE --verbose (-v) --quiet (-q).\n"
          "`lsmctl help COMMAND` tells more.\n"
          "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 corruption, 5 locked.\n",
          to);
}

static void print_version(void)
{
    printf("lsmctl %s\n", lsm_version());
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

// --- main ---

// Takes the flags in front of the command; returns the command's index in argv, or
// argc when there is none.
static int parse_leading_flags(struct tool *tool, int argc, char **argv)
{
    int at = 1;

    while (at < argc && argv[at][0] == '-') {
        const char *flag = argv[at];
        bool takes_next = strcmp(flag, "-k") == 0 || strcmp(flag, "-o") == 0 ||
                          strcmp(flag, "--keyspace") == 0 || strcmp(flag, "--option") == 0;

        if (strcmp(flag, "--help") == 0 || strcmp(flag, "-?") == 0 || strcmp(flag, "-h") == 0) {
            print_overview(stdout);
            exit(EXIT_CODE_OK);
        }
        if (strcmp(flag, "--version") == 0 || strcmp(flag, "-V") == 0) {
            print_version();
            exit(EXIT_CODE_OK);
        }
        at += takes_next ? 2 : 1;
    }
    at = at > argc ? argc : at;
    if (at > 1 && arguments_parse_common(tool, at, argv) != LSM_OK)
        exit(EXIT_CODE_USAGE);
    return at;
}

int main(int argc, char **argv)
{
    struct tool tool = {0};
    const struct command *command;
    int at, code;

    if (atexit(close_output) != 0)
        return EXIT_CODE_FAILED;
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
    } else if (strcmp(argv[at], "version") == 0) {
        print_version();
        code = EXIT_CODE_OK;
    } else {
        command = find_command(argv[at]);
        code = command == NULL ? unknown_command(argv[at])
                               : run_command(command, &tool, argc - at, argv + at);
    }
    lsm_options_free(tool.options);
    exit_code_so_far = code;
    return code;
}

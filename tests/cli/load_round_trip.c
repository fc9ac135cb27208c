// What `lsmctl` writes of a database, it loads as the same entries: random entries with every
// kind of byte, through dump, scan and scan --json, by themselves and with digits, compared
// by the library with those they were made of.
//
// Each round makes one database, and of it a copy in each form.

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "lsmkv.h"
#include "support/campaign.h"

#define ENTRIES_MAX   60
#define KEYSPACES_MAX 3
#define ARGUMENTS_MAX 12

static struct campaign campaign;
static char home[] = "/tmp/load_round_trip.XXXXXX";

static void must(lsm_status status)
{
    if (status == LSM_OK)
        return;
    fprintf(stderr, "%s: %s\n", lsm_status_name(status), lsm_errmsg());
    exit(2);
}

// --- bytes of every kind ---

// What some form could take for something else.
static const char *const marks[] = {
    "",
    "{",
    "{\"key\":\"a\",\"value\":\"b\"}",
    "lsmkv-dump 1",
    "@",
    "@end 1",
    "\r",
    "\n",
    "\xef\xbb\xbf",
    "\xff\xfe",
    "\t",
    "\\",
    "\\x41",
    "\"",
    "expiry_seconds=5",
    "user_byte=7",
    " ",
    "\xc2\x85",
    "\x7f",
    "\xed\xa0\x80",
    "\xf0\x9f\x98\x80",
    "@keyspace x",
    "\x1b[2J",
    "\\u0000",
};

static void append(lsm_buf *to, const char *text)
{
    must(buf_append(to, text, strlen(text)));
}

static void append_bytes(struct random *random, lsm_buf *to, size_t size)
{
    must(buf_reserve(to, to->size + size));
    random_fill(random, (char *)to->data + to->size, size);
    to->size += size;
}

// Marks, any bytes, text beyond ASCII, letters: up to `size_max` bytes.
static void make_bytes(struct random *random, lsm_buf *to, size_t size_max)
{
    const size_t size = random_below(random, size_max + 1);

    to->size = 0;
    while (to->size < size) {
        switch (random_below(random, 4)) {
        case 0:
            append(to, marks[random_below(random, sizeof marks / sizeof marks[0])]);
            break;
        case 1:
            append_bytes(random, to, 1 + random_below(random, size - to->size));
            break;
        case 2:
            append(to, random_one_in(random, 2) ? "\xc3\xa9" : "\xe2\x82\xac");
            break;
        default:
            append(to, "abc");
        }
        // By now some have no more than their mark.
        if (random_one_in(random, 8))
            break;
    }
    to->size = to->size < size ? to->size : size;
}

static uint64_t make_expiry(struct random *random)
{
    static const uint64_t chosen[] = {1, (UINT64_C(1) << 53) + 1, UINT64_MAX - 1, UINT64_MAX};

    switch (random_below(random, 3)) {
    case 0:
        return random_one_in(random, 2) ? 0 : LSM_EXPIRY_NONE;
    case 1:
        return chosen[random_below(random, sizeof chosen / sizeof chosen[0])];
    default:
        return (UINT64_C(1) << 40) + (random_next(random) >> random_below(random, 24));
    }
}

static void make_name(struct random *random, lsm_buf *name)
{
    do
        make_bytes(random, name, 20);
    while (name->size == 0 || memchr(name->data, '\0', name->size) != NULL ||
           *(const char *)name->data == '-');
    must(buf_append_u8(name, 0));
}

// --- the database ---

static void fill_keyspace(struct random *random, lsm_db *db, lsm_keyspace *keyspace)
{
    const size_t count = random_below(random, ENTRIES_MAX);
    lsm_buf key = LSM_BUF_INIT, value = LSM_BUF_INIT;

    for (size_t i = 0; i < count; i++) {
        lsm_write_options options = LSM_WRITE_OPTIONS_INIT;

        make_bytes(random, &key, random_one_in(random, 40) ? LSM_KEY_SIZE_MAX : 40);
        make_bytes(random, &value, random_one_in(random, 80) ? (size_t)3 << 20 : 300);
        options.sync = LSM_SYNC_WRITTEN;
        options.expiry_seconds = make_expiry(random);
        options.user_byte = random_one_in(random, 2) ? (uint8_t)random_next(random) : 0;
        if (key.size == 0 && random_one_in(random, 2))
            append(&key, "{"); // the first key of its scan, more often than not
        must(lsm_put(db, keyspace, slice_of_buf(&key), slice_of_buf(&value), &options));
        if (random_one_in(random, 10))
            must(lsm_delete(db, keyspace, slice_of_buf(&key), &options));
    }
    lsm_buf_free(&key);
    lsm_buf_free(&value);
}

static lsm_keyspace_options make_options(struct random *random)
{
    lsm_keyspace_options options = LSM_KEYSPACE_OPTIONS_INIT;

    if (random_one_in(random, 2))
        options.versions_to_keep = 1 + (uint32_t)random_below(random, 9);
    if (random_one_in(random, 2))
        options.value_threshold = (uint32_t)random_below(random, 5000);
    if (random_one_in(random, 2))
        options.compression = (uint32_t)random_below(random, 4);
    if (random_one_in(random, 2))
        options.ttl_seconds = 1000000 + random_below(random, 1000000);
    return options;
}

static void make_database(struct random *random, const char *path)
{
    const size_t count = random_below(random, KEYSPACES_MAX + 1);
    lsm_buf name = LSM_BUF_INIT;
    lsm_keyspace_options settings;
    lsm_db *db;

    must(lsm_open(path, NULL, &db));
    fill_keyspace(random, db, NULL);
    if (random_one_in(random, 2)) {
        settings = make_options(random);
        must(lsm_keyspace_alter(db, "default", &settings));
        fill_keyspace(random, db, NULL);
    }
    for (size_t i = 0; i < count; i++) {
        lsm_keyspace *keyspace;

        make_name(random, &name);
        settings = make_options(random);
        must(lsm_keyspace_open(db, name.data, true, &settings, &keyspace));
        fill_keyspace(random, db, keyspace);
        lsm_keyspace_close(keyspace);
    }
    lsm_buf_free(&name);
    must(lsm_close(db));
}

// --- running lsmctl ---

struct command {
    const char *arguments[ARGUMENTS_MAX];
    const char *in;
    const char *out;
};

static void redirect(const char *path, int flags, int fd)
{
    int opened = open(path, flags, 0600);

    if (opened < 0 || dup2(opened, fd) < 0)
        _exit(126);
    close(opened);
}

static int run(const struct command *command)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        redirect(command->in == NULL ? "/dev/null" : command->in, O_RDONLY, STDIN_FILENO);
        redirect(command->out == NULL ? "/dev/null" : command->out, O_WRONLY | O_CREAT | O_TRUNC,
                 STDOUT_FILENO);
        execv(LSMCTL, (char **)command->arguments);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("lsmctl");
        exit(2);
    }
    return status;
}

static void run_good(const char *what, const struct command *command)
{
    int status = run(command);

    if (status != 0)
        campaign_violation(&campaign, "%s: %s ends with status 0x%x", what, command->arguments[1],
                           (unsigned)status);
}

// --- comparing ---

static lsm_iter *open_iter(lsm_db *db, const char *name, lsm_status *status)
{
    lsm_keyspace *keyspace = NULL;
    lsm_iter *it = NULL;

    *status = lsm_keyspace_open(db, name, false, NULL, &keyspace);
    if (*status == LSM_NOT_FOUND)
        return NULL; // a scan without entries makes none
    must(*status);
    must(lsm_iter_open(db, keyspace, NULL, &it));
    lsm_keyspace_close(keyspace);
    *status = lsm_iter_first(it);
    return it;
}

static bool same_entry(lsm_iter *a, lsm_iter *b)
{
    lsm_slice x, y;

    must(lsm_iter_value(a, &x));
    must(lsm_iter_value(b, &y));
    return slice_equal(lsm_iter_key(a), lsm_iter_key(b)) && slice_equal(x, y) &&
           lsm_iter_expiry(a) == lsm_iter_expiry(b) &&
           lsm_iter_user_byte(a) == lsm_iter_user_byte(b);
}

static void compare_keyspace(const char *what, lsm_db *db, lsm_db *copy, const char *name)
{
    lsm_status a, b;
    lsm_iter *it = open_iter(db, name, &a);
    lsm_iter *its = open_iter(copy, name, &b);
    uint64_t count = 0;

    while (a == LSM_OK && b == LSM_OK && same_entry(it, its)) {
        a = lsm_iter_next(it);
        b = lsm_iter_next(its);
        count++;
    }
    if (a != LSM_NOT_FOUND || b != LSM_NOT_FOUND)
        campaign_violation(&campaign, "%s: keyspace '%s' differs behind %" PRIu64 " entries", what,
                           name, count);
    lsm_iter_close(it);
    lsm_iter_close(its);
}

static void compare_options(const char *what, const lsm_keyspace_info *info, lsm_db *copy)
{
    lsm_keyspace_info *infos;
    size_t count;

    must(lsm_keyspace_list(copy, &infos, &count));
    for (size_t i = 0; i < count; i++) {
        const lsm_keyspace_options *a = &info->options, *b = &infos[i].options;

        if (strcmp(info->name, infos[i].name) == 0 &&
            (a->value_threshold != b->value_threshold || a->compression != b->compression ||
             a->versions_to_keep != b->versions_to_keep || a->ttl_seconds != b->ttl_seconds))
            campaign_violation(&campaign, "%s: options of '%s' differ", what, info->name);
    }
    lsm_free(infos);
}

static void compare(const char *what, const char *path, const char *copy_path, bool has_options)
{
    lsm_keyspace_info *infos;
    size_t count;
    lsm_db *db, *copy;

    must(lsm_open_read_only(path, NULL, &db));
    must(lsm_open_read_only(copy_path, NULL, &copy));
    must(lsm_keyspace_list(db, &infos, &count));
    for (size_t i = 0; i < count; i++) {
        compare_keyspace(what, db, copy, infos[i].name);
        if (has_options)
            compare_options(what, &infos[i], copy);
    }
    lsm_free(infos);
    must(lsm_close(db));
    must(lsm_close(copy));
}

// --- the forms ---

static void copy_by_dump(void)
{
    const struct command dump = {.arguments = {"lsmctl", "dump", "db", "-q"}, .out = "output"};
    const struct command load = {.arguments = {"lsmctl", "load", "dumped", "-q"}, .in = "output"};

    run_good("dump", &dump);
    run_good("dump", &load);
    compare("dump", "db", "dumped", true);
}

static const struct scan {
    const char *name; // also of the copy
    const char *format;
    const char *flags[2]; // of the scan
    const char *load_flag;
} scans[] = {
    {"text", "tsv", {NULL}, NULL},
    {"reverse", "tsv", {"--reverse"}, NULL},
    {"hex", "tsv", {"--hex"}, "--hex"},
    {"json", "jsonl", {"--json"}, NULL},
    {"json_hex", "jsonl", {"--json", "--hex"}, NULL},
};

// The first of the flags may be missing: the list of arguments ends there.
static void copy_keyspace(struct random *random, const struct scan *scan, const char *keyspace)
{
    struct command out = {
        .arguments = {"lsmctl", "scan", "db", "-q", "-k", keyspace, scan->flags[0], scan->flags[1]},
        .out = "output"};
    struct command in = {.arguments = {"lsmctl", "load", scan->name, "-q", "-k", keyspace},
                         .in = "output"};
    size_t count = 6;

    if (random_one_in(random, 2)) {
        in.arguments[count++] = "--format";
        in.arguments[count++] = scan->format;
    }
    in.arguments[count] = scan->load_flag;
    run_good(scan->name, &out);
    run_good(scan->name, &in);
}

static void copy_by_scan(struct random *random, const struct scan *scan)
{
    lsm_keyspace_info *infos;
    size_t count;
    lsm_db *db;

    must(lsm_open_read_only("db", NULL, &db));
    must(lsm_keyspace_list(db, &infos, &count));
    must(lsm_close(db));
    for (size_t i = 0; i < count; i++)
        copy_keyspace(random, scan, infos[i].name);
    lsm_free(infos);
    compare(scan->name, "db", scan->name, false);
}

// --- rounds ---

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    if (at->level > 0 && remove(path) != 0)
        perror(path);
    return 0;
}

static void run_round(struct random *random)
{
    make_database(random, "db");
    copy_by_dump();
    for (size_t i = 0; i < sizeof scans / sizeof scans[0]; i++)
        copy_by_scan(random, &scans[i]);
    if (nftw(".", remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        perror(home);
}

int main(int argc, char **argv)
{
    struct random random;
    uint64_t rounds = 0;
    int code;

    campaign = campaign_begin("load_round_trip", 20, argc, argv);
    if (mkdtemp(home) == NULL || chdir(home) != 0) {
        perror(home);
        return 2;
    }
    while (campaign_next(&campaign, &random)) {
        run_round(&random);
        rounds++;
    }
    code = campaign_end(&campaign, rounds, "databases");
    if (chdir("/") != 0 || rmdir(home) != 0)
        perror(home);
    return code;
}

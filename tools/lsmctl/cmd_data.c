// cmd_data.c -- get, put, del, scan, count: one key, or a range of them.

#include "lsmctl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"
#include "bulk_output.h"

static const char *keyspace_name(const struct tool *tool)
{
    return tool->keyspace == NULL ? "default" : tool->keyspace;
}

static lsm_status key_operand(struct tool *tool, lsm_buf *key)
{
    if (operand_bytes(tool, tool->operands[1], key) != LSM_OK)
        return usage_error(tool, "key: %s", lsm_errmsg());
    return LSM_OK;
}

// --- get ---

struct get_settings {
    bool raw;
};

static const struct flag get_flags[] = {
    {"raw", 'r', NULL, "Write the value's bytes as they are, with nothing behind them", FLAG_BOOL,
     offsetof(struct get_settings, raw)},
    {0},
};

static void get_print(const struct tool *tool, lsm_slice key, lsm_slice value)
{
    const struct get_settings *settings = tool->settings;
    cJSON *object;

    if (settings->raw) {
        fwrite(value.data, 1, value.size, stdout);
        return;
    }
    if (!tool->json) {
        print_bytes(value, tool->hex);
        putchar('\n');
        return;
    }
    object = json_object();
    json_add_bytes(object, "key", key, tool->hex);
    json_add_bytes(object, "value", value, tool->hex);
    json_add_u64(object, "value_bytes", value.size);
    json_print(object);
}

// Says why the key is not there: its newest version may have expired, and still be kept.
static lsm_status fail_absent(const struct tool *tool, const struct session *session, lsm_slice key)
{
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    lsm_iter *it;
    lsm_status status;
    uint64_t expiry = 0;

    options.lower = &key;
    options.keys_only = true;
    options.all_versions = true;
    TRY(lsm_iter_open(session->db, session->keyspace, &options, &it));
    status = lsm_iter_first(it);
    if (status == LSM_OK && slice_equal(lsm_iter_key(it), key) && !lsm_iter_is_deleted(it))
        expiry = lsm_iter_expiry(it);
    lsm_iter_close(it);
    if (status != LSM_OK && status != LSM_NOT_FOUND)
        return status;
    if (expiry != 0)
        return lsm_fail(LSM_NOT_FOUND, "key '%s' in keyspace '%s' has expired, %s",
                        tool->operands[1], keyspace_name(tool), utc_text(expiry).text);
    return lsm_fail(LSM_NOT_FOUND, "no key '%s' in keyspace '%s'", tool->operands[1],
                    keyspace_name(tool));
}

static lsm_status run_get(struct tool *tool)
{
    CLEANUP(lsm_buf_free) lsm_buf key = LSM_BUF_INIT;
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    CLEANUP(session_closep) struct session session = {0};
    lsm_status status;

    TRY(key_operand(tool, &key));
    TRY(session_open(tool, SESSION_READ, &session));
    status = lsm_get(session.db, session.keyspace, slice_of_buf(&key), &value);
    if (status == LSM_NOT_FOUND)
        return fail_absent(tool, &session, slice_of_buf(&key));
    TRY(status);
    get_print(tool, slice_of_buf(&key), slice_of_buf(&value));
    return session_close(&session);
}

// --- put ---

struct put_settings {
    const char *from_file;
    uint64_t ttl_seconds;
    bool if_absent;
    bool create;
};

static const struct flag put_flags[] = {
    {"from-file", 'f', "FILE", "Take the value's bytes from FILE ('-': standard input)", FLAG_TEXT,
     offsetof(struct put_settings, from_file)},
    {"ttl", 0, "SECONDS", "Let the entry expire after so many seconds", FLAG_COUNT,
     offsetof(struct put_settings, ttl_seconds)},
    {"if-absent", 0, NULL, "Fail when the key is there", FLAG_BOOL,
     offsetof(struct put_settings, if_absent)},
    {"create", 0, NULL, "Make the database, and the keyspace, when it is not there", FLAG_BOOL,
     offsetof(struct put_settings, create)},
    {0},
};

static lsm_status put_value(struct tool *tool, lsm_buf *value)
{
    const struct put_settings *settings = tool->settings;

    if ((settings->from_file != NULL) == (tool->operand_count == 3))
        return usage_error(tool, "give either a VALUE or --from-file");
    if (settings->from_file != NULL)
        return file_bytes(settings->from_file, value);
    if (operand_bytes(tool, tool->operands[2], value) != LSM_OK)
        return usage_error(tool, "value: %s", lsm_errmsg());
    return LSM_OK;
}

static lsm_status run_put(struct tool *tool)
{
    const struct put_settings *settings = tool->settings;
    lsm_write_options options = LSM_WRITE_OPTIONS_INIT;
    CLEANUP(lsm_buf_free) lsm_buf key = LSM_BUF_INIT;
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    CLEANUP(session_closep) struct session session = {0};
    lsm_status status;

    TRY(key_operand(tool, &key));
    TRY(put_value(tool, &value));
    TRY(session_open(tool, settings->create ? SESSION_CREATE : SESSION_ASKED, &session));
    options.ttl_seconds = settings->ttl_seconds;
    if (settings->if_absent) {
        status = lsm_put_if_absent(session.db, session.keyspace, slice_of_buf(&key),
                                   slice_of_buf(&value), &options);
        if (status == LSM_CONFLICT)
            return lsm_fail(LSM_CONFLICT, "key '%s' is there already", tool->operands[1]);
        TRY(status);
    } else {
        TRY(lsm_put(session.db, session.keyspace, slice_of_buf(&key), slice_of_buf(&value),
                    &options));
    }
    return session_close(&session);
}

// --- del ---

static lsm_status run_del(struct tool *tool)
{
    CLEANUP(lsm_buf_free) lsm_buf key = LSM_BUF_INIT;
    CLEANUP(session_closep) struct session session = {0};

    TRY(key_operand(tool, &key));
    TRY(session_open(tool, SESSION_WRITE, &session));
    TRY(lsm_delete(session.db, session.keyspace, slice_of_buf(&key), NULL));
    return session_close(&session);
}

// --- scan and count ---

struct scan_settings {
    struct bytes_flag from;
    struct bytes_flag after;
    struct bytes_flag to;
    struct bytes_flag through;
    struct bytes_flag prefix;
    uint64_t limit;
    bool reverse;
    bool keys_only;
    bool versions;
};

#define RANGE_FLAGS                                                                                \
    {"from", 'f', "KEY", "Begin at this key", FLAG_BYTES, offsetof(struct scan_settings, from)},   \
        {"after",    0,                                                                            \
         "KEY",      "Begin behind this key",                                                      \
         FLAG_BYTES, offsetof(struct scan_settings, after)},                                       \
        {"to", 't', "KEY", "End before this key", FLAG_BYTES, offsetof(struct scan_settings, to)}, \
        {"through",           0,          "KEY",                                                   \
         "End with this key", FLAG_BYTES, offsetof(struct scan_settings, through)},                \
    {                                                                                              \
        "prefix", 'p', "BYTES", "Only keys that begin so", FLAG_BYTES,                             \
            offsetof(struct scan_settings, prefix)                                                 \
    }

static const struct flag scan_flags[] = {
    RANGE_FLAGS,
    {"limit", 'n', "COUNT", "Stop after so many entries", FLAG_COUNT,
     offsetof(struct scan_settings, limit)},
    {"reverse", 'r', NULL, "Last key first", FLAG_BOOL, offsetof(struct scan_settings, reverse)},
    {"keys-only", 0, NULL, "Do not read values", FLAG_BOOL,
     offsetof(struct scan_settings, keys_only)},
    {"versions", 0, NULL, "All versions, newest first, deletions too", FLAG_BOOL,
     offsetof(struct scan_settings, versions)},
    {0},
};

static const struct flag count_flags[] = {RANGE_FLAGS, {0}};

static const lsm_slice *bound(const struct bytes_flag *given, lsm_slice *slice)
{
    if (!given->is_set)
        return NULL;
    *slice = slice_of_buf(&given->bytes);
    return slice;
}

static lsm_status check_range(struct tool *tool)
{
    const struct scan_settings *settings = tool->settings;

    if (settings->from.is_set && settings->after.is_set)
        return usage_error(tool, "give either --from or --after");
    if (settings->to.is_set && settings->through.is_set)
        return usage_error(tool, "give either --to or --through");
    return LSM_OK;
}

// A cursor over the range of the flags, which copies the bounds.
static lsm_status scan_open(const struct scan_settings *settings, const struct session *session,
                            lsm_iter **out)
{
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    const bool is_after = settings->after.is_set;
    const bool is_through = settings->through.is_set;
    lsm_slice lower, upper, prefix;

    options.lower = bound(is_after ? &settings->after : &settings->from, &lower);
    options.lower_exclusive = is_after;
    options.upper = bound(is_through ? &settings->through : &settings->to, &upper);
    options.upper_inclusive = is_through;
    options.prefix = bound(&settings->prefix, &prefix);
    options.keys_only = settings->keys_only;
    options.all_versions = settings->versions;
    options.no_fill_cache = true;
    return lsm_iter_open(session->db, session->keyspace, &options, out);
}

// Whether new entries of the keyspace expire by default.
static lsm_status has_default_expiry(const struct tool *tool, const struct session *session,
                                     bool *out)
{
    lsm_keyspace_info *infos;
    size_t count;

    TRY(lsm_keyspace_list(session->db, &infos, &count));
    for (size_t i = 0; i < count; i++)
        if (strcmp(infos[i].name, keyspace_name(tool)) == 0)
            *out = infos[i].options.ttl_seconds != 0;
    lsm_free(infos);
    return LSM_OK;
}

static lsm_status scan_print(const struct tool *tool, lsm_iter *it, bool shows_never)
{
    const struct scan_settings *settings = tool->settings;
    struct bulk_view view = {
        .key = lsm_iter_key(it),
        .has_value = !settings->keys_only && !lsm_iter_is_deleted(it),
        .expiry_seconds = lsm_iter_expiry(it),
        .has_expiry = shows_never && !lsm_iter_is_deleted(it),
        .user_byte = lsm_iter_user_byte(it),
        .has_version = settings->versions,
        .is_deleted = lsm_iter_is_deleted(it),
        .ts = lsm_iter_ts(it),
    };

    if (view.has_value)
        TRY(lsm_iter_value(it, &view.value));
    (tool->json ? bulk_write_json : bulk_write_text)(stdout, &view, tool->hex);
    return LSM_OK;
}

static void iter_free(lsm_iter **it)
{
    lsm_iter_close(*it);
    *it = NULL;
}

static lsm_status scan_all(const struct tool *tool, const struct session *session)
{
    const struct scan_settings *settings = tool->settings;
    CLEANUP(iter_free) lsm_iter *it = NULL;
    bool shows_never = false;
    uint64_t count = 0;
    lsm_status status;

    TRY(has_default_expiry(tool, session, &shows_never));
    TRY(scan_open(settings, session, &it));
    status = settings->reverse ? lsm_iter_last(it) : lsm_iter_first(it);
    while (status == LSM_OK && !ferror(stdout)) {
        TRY(scan_print(tool, it, shows_never));
        if (++count == settings->limit)
            return LSM_OK;
        status = settings->reverse ? lsm_iter_prev(it) : lsm_iter_next(it);
    }
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

static lsm_status run_scan(struct tool *tool)
{
    CLEANUP(session_closep) struct session session = {0};

    TRY(check_range(tool));
    TRY(session_open(tool, SESSION_READ, &session));
    TRY(scan_all(tool, &session));
    return session_close(&session);
}

static lsm_status count_all(const struct tool *tool, const struct session *session, uint64_t *count)
{
    CLEANUP(iter_free) lsm_iter *it = NULL;
    struct progress progress;
    uint64_t found = 0;
    lsm_status status;

    TRY(scan_open(tool->settings, session, &it));
    progress_start(&progress, "counting", "keys", 0);
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it))
        progress_show(&progress, ++found);
    progress_end(&progress);
    if (status != LSM_NOT_FOUND)
        return status;
    *count = found;
    return LSM_OK;
}

static lsm_status run_count(struct tool *tool)
{
    struct scan_settings *settings = tool->settings;
    CLEANUP(session_closep) struct session session = {0};
    uint64_t count = 0;
    cJSON *object;

    settings->keys_only = true;
    TRY(check_range(tool));
    TRY(session_open(tool, SESSION_READ, &session));
    TRY(count_all(tool, &session, &count));
    if (tool->json) {
        object = json_object();
        json_add_text(object, "keyspace", keyspace_name(tool));
        json_add_u64(object, "keys_count", count);
        json_print(object);
    } else {
        printf("%" PRIu64 "\n", count);
    }
    return session_close(&session);
}

const struct command data_commands[] = {
    {.name = "get",
     .group = "Data",
     .operands = "DB KEY",
     .operands_min = 2,
     .operands_max = 2,
     .summary = "Print the value of a key",
     .details =
         "Keys and values are text with the escapes \\\\ \\t \\n \\r \\0 \\xNN; with --hex,\n"
         "digits. Works on a database that another process has open. Exit code 3 when\n"
         "the key is not there.\n\n"
         "Examples:\n"
         "  lsmctl get people ada\n"
         "  lsmctl get people ada --raw > ada.bin\n"
         "  lsmctl get people --hex 0001ff\n",
     .flags = get_flags,
     .settings_size = sizeof(struct get_settings),
     .run = run_get},
    {.name = "put",
     .group = "Data",
     .operands = "DB KEY [VALUE]",
     .operands_min = 2,
     .operands_max = 3,
     .summary = "Set the value of a key, durably",
     .details = "The database, and the keyspace of -k, must be there, unless --create is given.\n\n"
                "Examples:\n"
                "  lsmctl put people ada 1815 --create\n"
                "  lsmctl put people picture --from-file ada.png\n"
                "  lsmctl put -k sessions people token 'a\\tb' --ttl 3600\n",
     .flags = put_flags,
     .settings_size = sizeof(struct put_settings),
     .run = run_put},
    {.name = "del",
     .group = "Data",
     .operands = "DB KEY",
     .operands_min = 2,
     .operands_max = 2,
     .summary = "Delete a key, durably",
     .details = "Deleting a key that is not there succeeds.\n\n"
                "Example:\n"
                "  lsmctl del people ada\n",
     .run = run_del},
    {.name = "scan",
     .group = "Data",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Print keys and values in order",
     .details =
         "One entry a line: key, tab, value, both escaped, and behind them, where they are set,\n"
         "expiry_seconds=N (since 1970; 0, shown in keyspaces with a default: never) and\n"
         "user_byte=N. With --json one object a line. Both load as the same entries (--hex with\n"
         "--hex). --versions adds timestamp and kind, which cannot be loaded.\n\n"
         "Examples:\n"
         "  lsmctl scan people --prefix a --limit 10\n"
         "  lsmctl scan people --from b --to d --reverse --keys-only\n"
         "  lsmctl scan people --versions --json\n",
     .flags = scan_flags,
     .settings_size = sizeof(struct scan_settings),
     .run = run_scan},
    {.name = "count",
     .group = "Data",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Count keys",
     .details = "Reads keys only, never the value log.\n\n"
                "Example:\n"
                "  lsmctl count people --prefix a\n"
                "  lsmctl count people --after m --through p\n",
     .flags = count_flags,
     .settings_size = sizeof(struct scan_settings),
     .run = run_count},
    {0},
};

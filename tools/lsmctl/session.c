// session.c -- opening the database that a command works on.

#include "lsmctl.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "nearest.h"

#define OPEN_TRIES 8
#define PATH_SIZE  4096

static bool database_exists(const char *path)
{
    char current[PATH_SIZE];
    struct stat st;
    const int size = snprintf(current, sizeof current, "%s/CURRENT", path);

    return size < PATH_SIZE && stat(current, &st) == 0;
}

// --- what was meant ---

// Cuts a path into the directory it lies in, "" for the working one, and its name.
static void split_path(const char *path, char *parent, char *name)
{
    size_t size = strlen(path);
    size_t at;

    while (size > 1 && path[size - 1] == '/')
        size--;
    for (at = size; at > 0 && path[at - 1] != '/';)
        at--;
    snprintf(parent, PATH_SIZE, "%.*s", (int)at, path);
    snprintf(name, PATH_SIZE, "%.*s", (int)(size - at), path + at);
}

// The path of the database beside `path` whose name is nearest to its own, to be freed; NULL:
// none is near.
static char *nearest_database(const char *path)
{
    char parent[PATH_SIZE], name[PATH_SIZE], beside[2 * PATH_SIZE];
    struct nearest nearest = {.typed = name};
    struct dirent *entry;
    char *found = NULL;
    DIR *dir;

    split_path(path, parent, name);
    dir = opendir(*parent == '\0' ? "." : parent);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        snprintf(beside, sizeof beside, "%s%s", parent, entry->d_name);
        if (entry->d_name[0] == '.' || !database_exists(beside))
            continue;
        nearest_try(&nearest, entry->d_name);
        if (nearest.name == entry->d_name) {
            free(found);
            found = strdup(beside);
            nearest.name = found; // which lasts longer than the entry
        }
    }
    if (dir != NULL)
        (void)closedir(dir); // it was only read
    return found;
}

lsm_status fail_no_database(const char *path, const char *hint)
{
    char *meant = nearest_database(path);
    lsm_status status;

    if (meant != NULL)
        status = lsm_fail(LSM_NOT_FOUND, "there is no database in %s; did you mean %s?%s", path,
                          meant, hint);
    else
        status = lsm_fail(LSM_NOT_FOUND, "there is no database in %s%s%s", path,
                          *hint == '\0' ? "" : ";", hint);
    free(meant);
    return status;
}

static lsm_status fail_no_keyspace(lsm_db *db, const char *name, const char *hint)
{
    struct nearest nearest = {.typed = name};
    lsm_keyspace_info *infos;
    lsm_status status;
    size_t count;

    TRY(lsm_keyspace_list(db, &infos, &count));
    for (size_t i = 0; i < count; i++)
        nearest_try(&nearest, infos[i].name);
    if (nearest.name != NULL)
        status = lsm_fail(LSM_NOT_FOUND, "there is no keyspace '%s'; did you mean '%s'?%s", name,
                          nearest.name, hint);
    else
        status = lsm_fail(LSM_NOT_FOUND, "there is no keyspace '%s'%s%s", name,
                          *hint == '\0' ? "; `lsmctl keyspaces` lists them" : ";", hint);
    lsm_free(infos);
    return status;
}

// --- opening ---

lsm_status open_read_only(const char *path, const lsm_options *options, lsm_db **out)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    struct stat st;

    if (stat(path, &st) != 0 && errno == ENOENT)
        return fail_no_database(path, "");
    if (stat(path, &st) != 0)
        return lsm_fail(LSM_IO, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return lsm_fail(LSM_INVALID, "%s: not a directory, so not a database", path);
    for (int i = 0;; i++) {
        lsm_status status = lsm_open_read_only(path, options, out);

        // A file named by the CURRENT just read may have been removed since.
        if (status != LSM_NOT_FOUND || i == OPEN_TRIES || !database_exists(path))
            return status;
        nanosleep(&pause, NULL);
    }
}

// Whether the command may make what is not there: -o create_if_missing has the last word.
static lsm_status may_create(const struct tool *tool, enum session_mode mode, bool *out)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;

    *out = mode == SESSION_CREATE;
    if (!tool->has_create_option || (mode != SESSION_CREATE && mode != SESSION_ASKED))
        return LSM_OK;
    TRY(lsm_options_get(tool->options, "create_if_missing", &value));
    *out = strncmp(value.data, "true", value.size) == 0;
    return LSM_OK;
}

static lsm_status open_keyspace(const struct tool *tool, bool create, const char *hint,
                                struct session *session)
{
    lsm_status status;

    if (tool->keyspace == NULL)
        return LSM_OK;
    status = lsm_keyspace_open(session->db, tool->keyspace, create, NULL, &session->keyspace);
    return status == LSM_NOT_FOUND ? fail_no_keyspace(session->db, tool->keyspace, hint) : status;
}

// Which options are in force that nobody would expect from the defaults.
static lsm_status tell_options(const struct tool *tool, lsm_db *db)
{
    static const char *const sources[] = {
        [LSM_OPTION_DATABASE] = "kept in the database", [LSM_OPTION_CALLER] = "of this command"};
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_option_info info;

    for (size_t i = 0; lsm_option_at(i, &info); i++) {
        lsm_option_source source;

        TRY(lsm_option_from(db, info.name, &source));
        if (source == LSM_OPTION_DEFAULT || strcmp(info.name, "create_if_missing") == 0)
            continue; // the command says what it creates
        TRY(lsm_get_option(db, info.name, &value));
        say(tool, "option %s = %s, %s\n", info.name, (const char *)value.data, sources[source]);
    }
    return LSM_OK;
}

lsm_status session_open(struct tool *tool, enum session_mode mode, struct session *out)
{
    const char *path = tool->operands[0];
    const char *hint = mode == SESSION_ASKED ? " --create makes a new one" : "";
    CLEANUP(session_closep) struct session session = {0};
    lsm_status status;
    bool create;

    TRY(may_create(tool, mode, &create));
    session.is_new = create && !database_exists(path);
    if (mode == SESSION_READ) {
        status = open_read_only(path, tool->options, &session.db);
    } else {
        TRY(lsm_options_set_create(tool->options, create));
        status = lsm_open(path, tool->options, &session.db);
    }
    if (status == LSM_NOT_FOUND && !database_exists(path))
        return fail_no_database(path, hint);
    TRY(status);
    if (session.is_new)
        say(tool, "created database %s\n", path);
    if (tool->verbose)
        TRY(tell_options(tool, session.db));
    TRY(open_keyspace(tool, create, hint, &session));
    *out = session;
    session = (struct session){0};
    return LSM_OK;
}

lsm_status session_close(struct session *session)
{
    lsm_status status;

    lsm_keyspace_close(session->keyspace);
    status = lsm_close(session->db);
    *session = (struct session){0};
    return status;
}

void session_closep(struct session *session)
{
    // The failure that ends the command is the one to tell.
    struct failure first;

    if (session->db == NULL && session->keyspace == NULL)
        return;
    failure_capture(&first, LSM_INVALID);
    (void)session_close(session);
    (void)failure_raise(&first);
}

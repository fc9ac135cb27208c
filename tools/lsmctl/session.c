// session.c -- opening the database that a command works on.

#include "lsmctl.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define OPEN_TRIES 8

static bool database_exists(const char *path)
{
    char current[4096];
    struct stat st;

    snprintf(current, sizeof current, "%s/CURRENT", path);
    return stat(current, &st) == 0;
}

lsm_status open_read_only(const char *path, const lsm_options *options, lsm_db **out)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    struct stat st;

    if (stat(path, &st) != 0)
        return lsm_fail(errno == ENOENT ? LSM_NOT_FOUND : LSM_IO, "%s: %s", path, strerror(errno));
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

lsm_status session_open(struct tool *tool, enum session_mode mode, struct session *out)
{
    const char *path = tool->operands[0];
    CLEANUP(session_closep) struct session session = {0};

    session.is_new = mode == SESSION_CREATE && !database_exists(path);
    if (mode == SESSION_READ) {
        TRY(open_read_only(path, tool->options, &session.db));
    } else {
        TRY(lsm_options_set_create(tool->options, mode == SESSION_CREATE));
        TRY(lsm_open(path, tool->options, &session.db));
    }
    if (session.is_new)
        say(tool, "created database %s\n", path);
    if (tool->keyspace != NULL)
        TRY(lsm_keyspace_open(session.db, tool->keyspace, mode == SESSION_CREATE, NULL,
                              &session.keyspace));
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

// cmd_create.c -- create: a database, or a keyspace, with nothing in it.

#include "lsmctl.h"

#include <string.h>

static lsm_status has_keyspace(lsm_db *db, const char *name, bool *out)
{
    lsm_keyspace_info *infos;
    size_t count;

    TRY(lsm_keyspace_list(db, &infos, &count));
    *out = false;
    for (size_t i = 0; i < count; i++)
        *out = *out || strcmp(infos[i].name, name) == 0;
    lsm_free(infos);
    return LSM_OK;
}

static lsm_status create_keyspace(const struct tool *tool, struct session *session)
{
    bool exists;

    TRY(has_keyspace(session->db, tool->keyspace, &exists));
    if (exists)
        return lsm_fail(LSM_INVALID, "keyspace '%s' is there already", tool->keyspace);
    TRY(lsm_keyspace_open(session->db, tool->keyspace, true, NULL, &session->keyspace));
    say(tool, "created keyspace '%s'\n", tool->keyspace);
    return LSM_OK;
}

static lsm_status run_create(struct tool *tool)
{
    const char *keyspace = tool->keyspace;
    CLEANUP(session_closep) struct session session = {0};

    tool->keyspace = NULL; // what must not be there is not opened with the database
    TRY(session_open(tool, SESSION_CREATE, &session));
    tool->keyspace = keyspace;
    if (keyspace == NULL && !session.is_new)
        return lsm_fail(LSM_INVALID, "there is a database in %s already", tool->operands[0]);
    if (keyspace != NULL)
        TRY(create_keyspace(tool, &session));
    return session_close(&session);
}

const struct command create_commands[] = {
    {.name = "create",
     .group = "Data",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Make an empty database, or a keyspace",
     .details = "With -k a keyspace, and the database around it when it is not there. Fails when\n"
                "what it is to make is there. Options given by -o are kept with the database.\n\n"
                "Examples:\n"
                "  lsmctl create people\n"
                "  lsmctl create people -k sessions\n",
     .run = run_create},
    {0},
};

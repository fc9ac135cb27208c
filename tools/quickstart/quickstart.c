// quickstart.c -- lsmkv at work on the package database of this machine.
//
//   quickstart load DB           stanzas and file lists, one commit per package
//   quickstart transactions DB   over both keyspaces; a conflict and its retry
//   quickstart crash DB          a second load, killed; what is left is checked
//
// Uses the public header only; scripts/quickstart.sh tells the story around it.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "dpkg.h"
#include "show.h"

struct stores {
    lsm_db *db;
    lsm_keyspace *packages; // name -> control stanza
    lsm_keyspace *files;    // path -> name of the package
};

static void open_stores(const char *path, struct stores *out)
{
    need(lsm_open(path, NULL, &out->db), "opening");
    need(lsm_keyspace_open(out->db, "packages", true, NULL, &out->packages), "keyspace packages");
    need(lsm_keyspace_open(out->db, "files", true, NULL, &out->files), "keyspace files");
}

static void close_stores(struct stores *stores)
{
    lsm_keyspace_close(stores->packages);
    lsm_keyspace_close(stores->files);
    need(lsm_close(stores->db), "closing");
}

// --- load ---

static void load_package(const struct stores *stores, lsm_batch *batch,
                         const struct package *package)
{
    lsm_batch_clear(batch);
    need(lsm_batch_put(batch, stores->packages, lsm_str(package->name),
                       (lsm_slice){package->stanza, package->stanza_size}),
         "lsm_batch_put");
    for (size_t i = 0; i < package->path_count; i++)
        need(
            lsm_batch_put(batch, stores->files, lsm_str(package->paths[i]), lsm_str(package->name)),
            "lsm_batch_put");
    need(lsm_write(stores->db, batch, NULL), "lsm_write");
}

static void run_load(const char *path)
{
    struct packages packages = dpkg_read();
    struct stores stores;
    lsm_batch *batch;
    uint64_t start_ns, paths = 0, bytes = 0;
    double seconds;

    open_stores(path, &stores);
    need(lsm_batch_new(&batch), "lsm_batch_new");
    start_ns = now_ns();
    for (size_t i = 0; i < packages.count; i++) {
        load_package(&stores, batch, &packages.items[i]);
        paths += packages.items[i].path_count;
        bytes += packages.items[i].stanza_size;
        show_bar("loading packages and files", paths, packages.path_count);
    }
    show_bar("loading packages and files", 1, 1);
    seconds = (double)(now_ns() - start_ns) / 1e9;
    tell("lsm_batch_put", "%zu stanzas (%.1f MiB) and %" PRIu64 " file paths", packages.count,
         (double)bytes / (1 << 20), paths);
    tell("lsm_write", "%zu commits, each on the device when it returned: %.2f s, %.0f entries/s",
         packages.count, seconds, (double)(paths + packages.count) / seconds);
    lsm_batch_free(batch);
    close_stores(&stores);
}

// --- transactions ---

// Installs a package: its stanza and its file, unless another package owns the file.
struct install {
    const struct stores *stores;
    const char *name;
    const char *path;
    const struct install *rival; // commits in the middle of the first attempt
    int attempts;
    bool is_refused;
    char owner[64];
};

static lsm_status install_package(lsm_txn *txn, void *ctx)
{
    struct install *install = ctx;
    const struct stores *stores = install->stores;
    char stanza[256];
    lsm_buf owner = LSM_BUF_INIT;
    lsm_status status = lsm_txn_get(txn, stores->files, lsm_str(install->path), &owner);

    install->attempts++;
    install->is_refused = status == LSM_OK;
    if (install->is_refused)
        snprintf(install->owner, sizeof install->owner, "%.*s", (int)owner.size,
                 (const char *)owner.data);
    lsm_buf_free(&owner);
    if (status != LSM_NOT_FOUND)
        return status;

    if (install->rival != NULL && install->attempts == 1) {
        struct install rival = *install->rival;

        need(lsm_update(stores->db, install_package, &rival), "the rival's lsm_update");
    }
    snprintf(stanza, sizeof stanza, "Package: %s\nStatus: install ok installed\n", install->name);
    status = lsm_txn_put(txn, stores->packages, lsm_str(install->name), lsm_str(stanza));
    if (status == LSM_OK)
        status = lsm_txn_put(txn, stores->files, lsm_str(install->path), lsm_str(install->name));
    return status;
}

// Renames a package in both keyspaces: its stanza and every file it owns.
static uint64_t rename_package(const struct stores *stores, const char *from, const char *to)
{
    lsm_slice prefix = lsm_str("/opt/");
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    lsm_buf stanza = LSM_BUF_INIT;
    uint64_t renamed = 0, ts;
    lsm_txn *txn;
    lsm_iter *it;
    lsm_status status;

    options.prefix = &prefix;
    need(lsm_begin(stores->db, LSM_TXN_SERIALIZABLE, &txn), "lsm_begin");
    need(lsm_txn_get(txn, stores->packages, lsm_str(from), &stanza), "lsm_txn_get");
    need(lsm_txn_delete(txn, stores->packages, lsm_str(from)), "lsm_txn_delete");
    need(lsm_txn_put(txn, stores->packages, lsm_str(to), (lsm_slice){stanza.data, stanza.size}),
         "lsm_txn_put");
    need(lsm_txn_iter_open(txn, stores->files, &options, &it), "lsm_txn_iter_open");
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        lsm_slice owner;

        need(lsm_iter_value(it, &owner), "lsm_iter_value");
        if (owner.size != strlen(from) || memcmp(owner.data, from, owner.size) != 0)
            continue;
        need(lsm_txn_put(txn, stores->files, lsm_iter_key(it), lsm_str(to)), "lsm_txn_put");
        renamed++;
    }
    if (status != LSM_NOT_FOUND)
        give_up(status, "scanning /opt/");
    lsm_iter_close(it);
    need(lsm_commit(txn, NULL), "lsm_commit");
    ts = lsm_txn_commit_ts(txn);
    lsm_txn_free(txn);
    lsm_buf_free(&stanza);
    tell("lsm_txn_iter_open", "scanned files below /opt/: %" PRIu64 " belong to %s", renamed, from);
    return ts;
}

static void need_owner(const struct stores *stores, const char *path, const char *name)
{
    lsm_buf owner = LSM_BUF_INIT;

    need(lsm_get(stores->db, stores->files, lsm_str(path), &owner), "lsm_get");
    if (owner.size != strlen(name) || memcmp(owner.data, name, owner.size) != 0)
        give_up(LSM_OK, "%s belongs to %.*s, not to %s", path, (int)owner.size,
                (const char *)owner.data, name);
    lsm_buf_free(&owner);
}

static void run_transactions(const char *path)
{
    struct stores stores;
    struct install hello = {.name = "hello", .path = "/opt/bin/hello", .stores = &stores};
    struct install winner = {.name = "greeter", .path = "/opt/bin/greet", .stores = &stores};
    struct install loser = {
        .name = "welcomer", .path = "/opt/bin/greet", .rival = &winner, .stores = &stores};
    uint64_t ts;

    open_stores(path, &stores);
    need(lsm_update(stores.db, install_package, &hello), "lsm_update");
    tell("lsm_update", "installed hello: its stanza and /opt/bin/hello, in both or in none");
    ts = rename_package(&stores, "hello", "hello-ng");
    tell("lsm_commit", "renamed it to hello-ng in packages and files at timestamp %" PRIu64, ts);
    need_owner(&stores, "/opt/bin/hello", "hello-ng");

    need(lsm_update(stores.db, install_package, &loser), "lsm_update");
    if (loser.attempts != 2 || !loser.is_refused || strcmp(loser.owner, "greeter") != 0)
        give_up(LSM_OK, "the conflict was not seen: %d attempts, owner %s", loser.attempts,
                loser.owner);
    need_owner(&stores, "/opt/bin/greet", "greeter");
    tell("lsm_txn_get", "welcomer finds /opt/bin/greet free; meanwhile greeter takes it");
    tell("LSM_CONFLICT", "so welcomer's commit is refused, and lsm_update runs it again");
    tell("lsm_update", "attempt 2 sees that %s owns the file, and installs nothing", loser.owner);
    close_stores(&stores);
}

// --- main ---

int main(int argc, char **argv)
{
    struct packages packages;

    if (argc == 3 && strcmp(argv[1], "load") == 0) {
        run_load(argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "transactions") == 0) {
        run_transactions(argv[2]);
    } else if (argc == 3 && strcmp(argv[1], "crash") == 0) {
        packages = dpkg_read();
        crash_and_check(argv[2], &packages);
    } else {
        fputs("usage: quickstart load|transactions|crash DB\n", stderr);
        return 2;
    }
    return 0;
}

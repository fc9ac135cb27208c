// crash.c -- see crash.h.
//
// Commit number n of the second load puts, in one transaction, up to 64 paths into
// keyspace `reload`, each with n in front of its value, one package's stanza (mostly
// large enough to be a separated value) into `stanzas`, and a record into `journal`
// under n that tells the count and the hash of all the others. When lsm_commit() has
// returned, the child writes n into a pipe: what the parent has read from it is
// acknowledged, whatever becomes of the child. Afterwards the records must be
// 1, 2, ... m with no gap, m at least the last acknowledged number, and the entries
// must be those, and only those, that the records tell of.

#include "crash.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "show.h"

#define PATHS_PER_COMMIT 64
#define KILL_AFTER_MIN   60 // acknowledged commits
#define KILL_AFTER_SPAN  240

struct stores {
    lsm_db *db;
    lsm_keyspace *reload;
    lsm_keyspace *stanzas;
    lsm_keyspace *journal;
};

// What one commit put, and what was found of it.
struct tally {
    uint64_t count;
    uint64_t hash; // of all entries, whatever their order
};

// FNV-1a.
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *at = data;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static void tally_add(struct tally *tally, lsm_slice key, lsm_slice value)
{
    uint64_t hash = hash_bytes(UINT64_C(0xcbf29ce484222325), key.data, key.size);

    tally->count++;
    tally->hash += hash_bytes(hash, value.data, value.size);
}

static void open_stores(const char *path, struct stores *out)
{
    need(lsm_open(path, NULL, &out->db), "opening");
    need(lsm_keyspace_open(out->db, "reload", true, NULL, &out->reload), "keyspace reload");
    need(lsm_keyspace_open(out->db, "stanzas", true, NULL, &out->stanzas), "keyspace stanzas");
    need(lsm_keyspace_open(out->db, "journal", true, NULL, &out->journal), "keyspace journal");
}

static void close_stores(struct stores *stores)
{
    lsm_keyspace_close(stores->reload);
    lsm_keyspace_close(stores->stanzas);
    lsm_keyspace_close(stores->journal);
    need(lsm_close(stores->db), "closing");
}

// --- the child: loading ---

// Puts `key` with the commit's number in front of `value`.
static void put_numbered(lsm_txn *txn, lsm_keyspace *keyspace, const char *key, uint64_t number,
                         lsm_slice value, struct tally *tally)
{
    size_t size = sizeof number + value.size;
    char *bytes = malloc(size);

    if (bytes == NULL)
        give_up(LSM_OK, "out of memory");
    memcpy(bytes, &number, sizeof number);
    memcpy(bytes + sizeof number, value.data, value.size);
    need(lsm_txn_put(txn, keyspace, lsm_str(key), (lsm_slice){bytes, size}), "lsm_txn_put");
    tally_add(tally, lsm_str(key), (lsm_slice){bytes, size});
    free(bytes);
}

static void commit_part(const struct stores *stores, uint64_t number, const struct package *package,
                        size_t first, uint64_t round)
{
    struct tally tally = {0};
    lsm_buf key = LSM_BUF_INIT;
    lsm_txn *txn;
    char name[4096];

    need(lsm_begin(stores->db, LSM_TXN_SNAPSHOT, &txn), "lsm_begin");
    for (size_t i = first; i < package->path_count && i < first + PATHS_PER_COMMIT; i++) {
        // No commit puts a key of another one: what is found tells who put it.
        snprintf(name, sizeof name, "%s#%" PRIu64 ":%s", package->paths[i], round, package->name);
        put_numbered(txn, stores->reload, name, number, lsm_str(package->name), &tally);
    }
    snprintf(name, sizeof name, "%s#%" PRIu64 ":%zu", package->name, round, first);
    put_numbered(txn, stores->stanzas, name, number,
                 (lsm_slice){package->stanza, package->stanza_size}, &tally);
    need(lsm_key_add_u64(&key, number), "lsm_key_add_u64");
    need(lsm_txn_put(txn, stores->journal, (lsm_slice){key.data, key.size},
                     (lsm_slice){&tally, sizeof tally}),
         "lsm_txn_put");
    need(lsm_commit(txn, NULL), "lsm_commit");
    lsm_txn_free(txn);
    lsm_buf_free(&key);
}

// Never returns: it is killed, or ends when nobody reads its acknowledgements.
static _Noreturn void load_until_killed(const char *path, const struct packages *packages,
                                        int acknowledgements)
{
    struct stores stores;
    uint64_t number = 0;

    open_stores(path, &stores);
    for (uint64_t round = 0;; round++) {
        for (size_t i = 0; i < packages->count; i++) {
            const struct package *package = &packages->items[i];

            for (size_t first = 0; first == 0 || first < package->path_count;
                 first += PATHS_PER_COMMIT) {
                commit_part(&stores, ++number, package, first, round);
                if (write(acknowledgements, &number, sizeof number) != sizeof number)
                    _exit(1);
            }
        }
    }
}

// --- the parent: killing ---

static uint64_t random_below(uint64_t limit)
{
    uint64_t value = 0;

    if (getrandom(&value, sizeof value, 0) != sizeof value)
        give_up(LSM_OK, "getrandom: %s", strerror(errno));
    return value % limit;
}

// Reads acknowledgements, kills the child behind a random one, and reads those that
// it had still written. Returns the last.
static uint64_t kill_in_the_middle(pid_t child, int acknowledgements)
{
    uint64_t kill_at = KILL_AFTER_MIN + random_below(KILL_AFTER_SPAN);
    uint64_t last = 0, number;
    int how;

    while (read(acknowledgements, &number, sizeof number) == sizeof number) {
        if (number != last + 1)
            give_up(LSM_OK, "acknowledgement %" PRIu64 " behind %" PRIu64, number, last);
        last = number;
        show_bar("second load", last < kill_at ? last : kill_at, kill_at);
        if (last == kill_at) {
            // Anywhere within the next commits.
            usleep((useconds_t)random_below(3000));
            if (kill(child, SIGKILL) != 0)
                give_up(LSM_OK, "kill: %s", strerror(errno));
        }
    }
    if (waitpid(child, &how, 0) != child || !WIFSIGNALED(how) || WTERMSIG(how) != SIGKILL)
        give_up(LSM_OK, "the second load ended by itself behind commit %" PRIu64, last);
    return last;
}

// --- the parent: checking ---

// Reads the records of `journal`, which must be 1, 2, ... in order; `*count` of them.
static struct tally *read_journal(const struct stores *stores, uint64_t *count)
{
    struct tally *records = NULL;
    uint64_t found = 0;
    lsm_iter *it;
    lsm_status status;

    need(lsm_iter_open(stores->db, stores->journal, NULL, &it), "lsm_iter_open");
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        lsm_slice key = lsm_iter_key(it);
        lsm_slice value;
        uint64_t number = 0;

        need(lsm_key_take_u64(&key, &number), "a key of the journal");
        need(lsm_iter_value(it, &value), "a record of the journal");
        if (number != found + 1)
            give_up(LSM_OK, "commit %" PRIu64 " is there, %" PRIu64 " is not", number, found + 1);
        if (value.size != sizeof *records)
            give_up(LSM_OK, "the record of commit %" PRIu64 " is not whole", number);
        records = reallocarray(records, (size_t)found + 1, sizeof *records);
        if (records == NULL)
            give_up(LSM_OK, "out of memory");
        memcpy(&records[found++], value.data, sizeof *records);
    }
    if (status != LSM_NOT_FOUND)
        give_up(status, "reading the journal");
    lsm_iter_close(it);
    *count = found;
    return records;
}

// Adds up what `keyspace` holds by the number of the commit that put it.
static void tally_keyspace(const struct stores *stores, lsm_keyspace *keyspace, struct tally *found,
                           uint64_t commits)
{
    lsm_iter *it;
    lsm_status status;

    need(lsm_iter_open(stores->db, keyspace, NULL, &it), "lsm_iter_open");
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        lsm_slice value;
        uint64_t number = 0;

        need(lsm_iter_value(it, &value), "a value of the second load");
        if (value.size >= sizeof number)
            memcpy(&number, value.data, sizeof number);
        if (number == 0 || number > commits)
            give_up(LSM_OK, "an entry of commit %" PRIu64 ", which is not there", number);
        tally_add(&found[number - 1], lsm_iter_key(it), value);
    }
    if (status != LSM_NOT_FOUND)
        give_up(status, "reading the second load");
    lsm_iter_close(it);
}

static void check_commits(const struct stores *stores, uint64_t acknowledged)
{
    uint64_t commits = 0, entries = 0;
    struct tally *records = read_journal(stores, &commits);
    struct tally *found = calloc((size_t)commits + 1, sizeof *found);

    if (found == NULL)
        give_up(LSM_OK, "out of memory");
    if (commits < acknowledged)
        give_up(LSM_OK, "LOST: %" PRIu64 " commits were acknowledged, %" PRIu64 " are there",
                acknowledged, commits);
    tally_keyspace(stores, stores->reload, found, commits);
    tally_keyspace(stores, stores->stanzas, found, commits);
    for (uint64_t i = 0; i < commits; i++) {
        if (records[i].count != found[i].count || records[i].hash != found[i].hash)
            give_up(LSM_OK, "commit %" PRIu64 " is not whole: %" PRIu64 " of %" PRIu64 " entries",
                    i + 1, found[i].count, records[i].count);
        entries += found[i].count;
    }
    tell("lsm_iter_next", "commits 1 to %" PRIu64 " are there: all acknowledged ones%s, in order",
         commits, commits > acknowledged ? " and one that was on its way" : "");
    tell("lsm_iter_value", "each of them whole (%" PRIu64 " entries, hashes equal), nothing else",
         entries);
    free(records);
    free(found);
}

void crash_and_check(const char *path, const struct packages *packages)
{
    struct stores stores;
    uint64_t acknowledged, start_ns;
    int ends[2];
    pid_t child;

    if (pipe(ends) != 0)
        give_up(LSM_OK, "pipe: %s", strerror(errno));
    fflush(NULL);
    child = fork();
    if (child < 0)
        give_up(LSM_OK, "fork: %s", strerror(errno));
    if (child == 0) {
        (void)close(ends[0]);
        load_until_killed(path, packages, ends[1]);
    }
    (void)close(ends[1]);
    tell("fork", "process %ld opens the database and loads everything again", (long)child);
    acknowledged = kill_in_the_middle(child, ends[0]);
    (void)close(ends[0]);
    tell("kill -9", "killed it in the middle; it had acknowledged %" PRIu64 " commits",
         acknowledged);
    start_ns = now_ns();
    open_stores(path, &stores);
    tell("lsm_open", "recovered by itself in %.0f ms", (double)(now_ns() - start_ns) / 1e6);
    check_commits(&stores, acknowledged);
    close_stores(&stores);
}

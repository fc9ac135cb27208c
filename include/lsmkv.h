/* lsmkv.h -- an embedded, transactional, ordered key-value store.
 *
 * A database is a directory. It holds byte-string keys (0 to 65,535 bytes, ordered
 * by memcmp) with values (0 bytes to 1 GiB) in named keyspaces; the keyspace
 * "default" is always there. One process at a time opens it for writing.
 *
 *     lsm_db *db;
 *     lsm_buf value = LSM_BUF_INIT;
 *
 *     if (lsm_open("people", NULL, &db) != LSM_OK ||
 *         lsm_put(db, NULL, lsm_str("ada"), lsm_str("1815"), NULL) != LSM_OK ||
 *         lsm_get(db, NULL, lsm_str("ada"), &value) != LSM_OK)
 *         fprintf(stderr, "%s\n", lsm_errmsg());
 *     lsm_buf_free(&value);
 *     lsm_close(db);
 *
 * What is promised
 *
 * - A write that returned LSM_OK is on the device (unless a weaker sync mode was
 *   asked for). After any crash the database opens by itself and holds a prefix of
 *   the commits, in commit order, each whole or not at all.
 * - Transactions are serializable unless asked otherwise: keys read, keys found
 *   absent and ranges scanned are validated at commit. Reads never wait for writes.
 * - Every byte read is checked: a damaged one gives LSM_CORRUPT with file and offset,
 *   never a wrong value or a missing key.
 *
 * Statuses. Functions that can fail return lsm_status and write their results only
 * on LSM_OK. lsm_errmsg() tells the calling thread's last failure in words.
 *
 * Lifetimes
 *
 *   thing                    released by            while it is open
 *   lsm_db                   lsm_close()            refuses to close while children are open
 *   lsm_keyspace             lsm_keyspace_close()   a name for reads and writes; holds nothing
 *   lsm_txn                  lsm_txn_free()         its snapshot's versions are kept
 *   lsm_snapshot             lsm_snapshot_free()    its versions are kept
 *   lsm_iter                 lsm_iter_close()       its files and memory are kept
 *   lsm_pin                  lsm_pin_release()      the value's memory is kept
 *   lsm_batch, lsm_options   lsm_batch_free(), lsm_options_free(); not bound to a database
 *   lsm_buf                  lsm_buf_free(); the caller's own memory
 *   slices from lsm_iter     die with the next move of that iterator
 *   slices you pass          are read during the call only; lsm_put() of a large value
 *                            copies nothing
 *   char ** and arrays       that the library returns are released with lsm_free()
 *
 * Threads. An lsm_db, lsm_keyspace and lsm_snapshot may be used by any number of
 * threads at once. An lsm_txn, lsm_iter, lsm_batch, lsm_options or lsm_pin is used by
 * one thread at a time and may be handed to another. Handles do not survive fork():
 * in the child every call returns LSM_INVALID.
 *
 * Caveats, said up front
 *
 * - Checksums find accidents, not tampering: they are not a signature.
 * - Keys order by memcmp only. lsm_key_* below encode numbers and strings so that
 *   they order as expected.
 * - An open snapshot, transaction or iterator keeps old versions and files on disk.
 *   lsm_health() and lsm_close() list them with age and tag.
 * - The directory must be on a local file system with working fsync and locks.
 * - A deleted value's bytes stay in its file until that is rewritten or removed.
 *
 * Limits: key 65,535 bytes; value 1 GiB; keyspace name 255 bytes; tag 63 bytes;
 * transaction: option txn_bytes_max, of keys and values that it would commit.
 */

#ifndef LSMKV_H
#define LSMKV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LSM_API        __attribute__((visibility("default")))
#define LSM_MUST_CHECK __attribute__((visibility("default"), warn_unused_result))

#define LSM_VERSION_MAJOR 0
#define LSM_VERSION_MINOR 1
#define LSM_VERSION_PATCH 0

#define LSM_KEY_SIZE_MAX   65535u
#define LSM_VALUE_SIZE_MAX (1u << 30)

/* ---- Statuses -------------------------------------------------------------------- */

/* The numbers are stable. */
typedef enum lsm_status {
    LSM_OK = 0,
    LSM_NOT_FOUND = 1,        /* no such key, keyspace or database, end of an iteration; never a
                                 file that has gone: that is LSM_IO or LSM_CORRUPT */
    LSM_CONFLICT = 2,         /* another commit changed what this one relied on: run it again */
    LSM_BUSY = 3,             /* would have to wait (no_wait), or a system limit, for now */
    LSM_LOCKED = 4,           /* another process, named in the words, has the database open */
    LSM_INVALID = 5,          /* a wrong argument or use; nothing has changed */
    LSM_READ_ONLY = 6,        /* the database was opened, or is stored, read-only */
    LSM_NO_SPACE = 7,         /* no room on the device; works again once there is */
    LSM_NO_MEMORY = 8,        /* no memory; works again once there is */
    LSM_IO = 9,               /* the system reported an error */
    LSM_CORRUPT = 10,         /* bytes on disk are not what was written: file and offset in words */
    LSM_OUTCOME_UNKNOWN = 11, /* the commit may or may not be there after reopening */
    LSM_POISONED = 12,        /* an earlier failure stopped all writing: close and reopen */
    LSM_UNSUPPORTED = 13,     /* a newer format, or something this build cannot do */
} lsm_status;

typedef enum lsm_class {
    LSM_CLASS_OK = 0,
    LSM_CLASS_TRANSIENT = 1,  /* BUSY, LOCKED, NO_SPACE, NO_MEMORY: try again later */
    LSM_CLASS_CONFLICT = 2,   /* CONFLICT: run the transaction again */
    LSM_CLASS_MISUSE = 3,     /* NOT_FOUND, INVALID, READ_ONLY, UNSUPPORTED */
    LSM_CLASS_CORRUPTION = 4, /* CORRUPT */
    LSM_CLASS_IO = 5,         /* IO, POISONED */
    LSM_CLASS_UNKNOWN = 6,    /* OUTCOME_UNKNOWN */
} lsm_class;

/* "LSM_NOT_FOUND" and so on; static. Unknown numbers give "LSM_UNKNOWN_STATUS". */
LSM_API const char *lsm_status_name(lsm_status status);
LSM_API lsm_class lsm_status_class(lsm_status status);

/* The calling thread's last failure in words, with file and offset where there is
 * one; "" when there was none. Valid until the thread's next failing call. */
LSM_API const char *lsm_errmsg(void);

/* "0.1.0"; static. */
LSM_API const char *lsm_version(void);

/* ---- Bytes ----------------------------------------------------------------------- */

/* Borrowed bytes. `data` may be NULL when `size` is 0: an empty key or value. Where a
 * pointer to a slice may be NULL, that is another thing: no bound, no value. */
typedef struct lsm_slice {
    const void *data;
    size_t size;
} lsm_slice;

/* The caller's own memory, grown as needed and reused across calls. */
typedef struct lsm_buf {
    void *data;
    size_t size;
    size_t capacity;
} lsm_buf;

#define LSM_BUF_INIT                                                                               \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

/* The bytes of a zero-terminated string, without the zero. */
LSM_API lsm_slice lsm_str(const char *text);
/* Releases the memory and leaves an empty buffer; nothing for an empty one. */
LSM_API void lsm_buf_free(lsm_buf *buf);
/* Releases what the library returned as the caller's; NULL is nothing. */
LSM_API void lsm_free(void *memory);

/* Brings an allocator for the whole process, before anything else of the library is
 * used (LSM_INVALID afterwards). `resize` is realloc (with NULL: malloc), `release` is
 * free; both are called from any thread. */
typedef struct lsm_allocator {
    void *(*resize)(void *ctx, void *block, size_t size);
    void (*release)(void *ctx, void *block);
    void *ctx;
} lsm_allocator;

LSM_MUST_CHECK lsm_status lsm_set_allocator(const lsm_allocator *allocator);

/* Order-preserving parts of a key, appended to `key`: concatenated parts order as
 * tuples do. A string part may hold any byte. LSM_NO_MEMORY leaves `key` as it was. */
LSM_MUST_CHECK lsm_status lsm_key_add_u64(lsm_buf *key, uint64_t value);
LSM_MUST_CHECK lsm_status lsm_key_add_i64(lsm_buf *key, int64_t value);
LSM_MUST_CHECK lsm_status lsm_key_add_double(lsm_buf *key, double value); /* NaN last */
LSM_MUST_CHECK lsm_status lsm_key_add_bytes(lsm_buf *key, lsm_slice value);
/* Takes the parts off the front of `*key` again, in the same order and with the same
 * types. LSM_INVALID when the bytes are not such a part. */
LSM_MUST_CHECK lsm_status lsm_key_take_u64(lsm_slice *key, uint64_t *value);
LSM_MUST_CHECK lsm_status lsm_key_take_i64(lsm_slice *key, int64_t *value);
LSM_MUST_CHECK lsm_status lsm_key_take_double(lsm_slice *key, double *value);
LSM_MUST_CHECK lsm_status lsm_key_take_bytes(lsm_slice *key, lsm_buf *value);

/* ---- Handles and options --------------------------------------------------------- */

typedef struct lsm_db lsm_db;
typedef struct lsm_keyspace lsm_keyspace;
typedef struct lsm_options lsm_options;
typedef struct lsm_snapshot lsm_snapshot;
typedef struct lsm_txn lsm_txn;
typedef struct lsm_iter lsm_iter;
typedef struct lsm_batch lsm_batch;

/* Options belong to the database or to the process (lsm_option_info.kept). Of the database is
 * what shapes its files and how they are looked after: what was set of these, here or by
 * lsm_set_option(), stays in force, whoever opens it, until it is set again or reset. So
 *
 *     what the caller sets  >  what the database keeps  >  the default
 *
 * and options NULL mean "as the database says". Of the process are its memory, threads and
 * descriptors, what opening may do, and how long a commit waits. */

/* Options of which nothing is set. One thread at a time. */
LSM_MUST_CHECK lsm_status lsm_options_new(lsm_options **out);
LSM_API void lsm_options_free(lsm_options *options);

/* Sets any option by name. Sizes take KiB, MiB, GiB; durations ns, us, ms, s, m, h, d;
 * booleans true, false. LSM_INVALID names the option and its range, or suggests the
 * nearest name; nothing is set then. */
LSM_MUST_CHECK lsm_status lsm_options_set(lsm_options *options, const char *name,
                                          const char *value);
/* The same, for this opening only: the database does not keep it. What it keeps must hold
 * without it: opening is LSM_INVALID when an option set otherwise contradicts the rest. */
LSM_MUST_CHECK lsm_status lsm_options_set_once(lsm_options *options, const char *name,
                                               const char *value);
/* As the database says: takes back what was set. */
LSM_MUST_CHECK lsm_status lsm_options_unset(lsm_options *options, const char *name);
/* The default, whatever the database keeps, which forgets it. */
LSM_MUST_CHECK lsm_status lsm_options_reset(lsm_options *options, const char *name);
/* The value as text, as lsm_options_set() takes it; the default when it is not set. */
LSM_MUST_CHECK lsm_status lsm_options_get(const lsm_options *options, const char *name,
                                          lsm_buf *value);

/* The dozen that matter, typed. Each returns LSM_INVALID when out of range. */
LSM_MUST_CHECK lsm_status lsm_options_set_create(lsm_options *options, bool create_if_missing);
LSM_MUST_CHECK lsm_status lsm_options_set_error_if_exists(lsm_options *options, bool error);
LSM_MUST_CHECK lsm_status lsm_options_set_in_memory(lsm_options *options, bool in_memory);
LSM_MUST_CHECK lsm_status lsm_options_set_memtable_size(lsm_options *options, uint64_t bytes);
LSM_MUST_CHECK lsm_status lsm_options_set_cache_size(lsm_options *options, uint64_t bytes);
LSM_MUST_CHECK lsm_status lsm_options_set_value_threshold(lsm_options *options, uint32_t bytes);
LSM_MUST_CHECK lsm_status lsm_options_set_compression(lsm_options *options, unsigned zstd_level);
LSM_MUST_CHECK lsm_status lsm_options_set_workers(lsm_options *options, unsigned count);
LSM_MUST_CHECK lsm_status lsm_options_set_txn_bytes_max(lsm_options *options, uint64_t bytes);

/* What can be set: element `index` from 0; false behind the last. The strings are
 * static. */
typedef struct lsm_option_info {
    const char *name;
    const char *type; /* "size", "count", "duration", "number", "bool", "enum" */
    const char *default_value;
    const char *range;
    bool changeable; /* by lsm_set_option() while the database is open */
    const char *help;
    bool kept; /* belongs to the database, which keeps it once it is set; else to the process */
} lsm_option_info;

LSM_API bool lsm_option_at(size_t index, lsm_option_info *info);

/* Options as a text file of "name = value" lines with comments: what is not set is told in a
 * comment. Loading sets what the file names; an unknown name or a bad value is LSM_INVALID with
 * the line's number. */
LSM_MUST_CHECK lsm_status lsm_options_save(const lsm_options *options, const char *path);
LSM_MUST_CHECK lsm_status lsm_options_load(lsm_options *options, const char *path);
/* Sets what the database in directory `path` keeps, to look at it or to take it elsewhere;
 * opening does the same by itself. LSM_CORRUPT when its file OPTIONS is not as it was written. */
LSM_MUST_CHECK lsm_status lsm_options_load_from_db(lsm_options *options, const char *path);

/* ---- Opening and closing --------------------------------------------------------- */

/* Opens the database in directory `path`, making it when it is not there (option
 * create_if_missing). `options` NULL: as the database says; they are copied. Recovers from a
 * crash by itself. LSM_LOCKED names the process that has it open; LSM_INVALID when
 * `path` is not a database and not empty; LSM_UNSUPPORTED when its format is newer
 * (nothing is written); LSM_CORRUPT when a byte that must be there is not. Existence and
 * size of every file are checked: the words name those that are missing or too short.
 * Option open_damaged opens all the same, as far as the log can be read: what lies in such
 * a file gives LSM_CORRUPT when it is read, and lsm_health() tells of them. LSM_NOT_FOUND
 * when there is no database and create_if_missing is off. */
LSM_MUST_CHECK lsm_status lsm_open(const char *path, const lsm_options *options, lsm_db **out);

/* Opens for reading only and writes nothing, not even a lock: the state is that of the
 * moment. LSM_NOT_FOUND when there is no database; otherwise as lsm_open(). Works beside a process
 * that has it open, as long as the files it needs have not been removed by it (LSM_CORRUPT naming
 * the missing file; open again). */
LSM_MUST_CHECK lsm_status lsm_open_read_only(const char *path, const lsm_options *options,
                                             lsm_db **out);

/* Closes. With open children LSM_INVALID lists them, and nothing has happened. In any
 * other case the handle is freed, and the status tells what did not reach the disk.
 * NULL is LSM_OK. No other thread uses the handle any more. */
LSM_API lsm_status lsm_close(lsm_db *db);

typedef enum lsm_health_state {
    LSM_HEALTHY = 0,
    LSM_DEGRADED = 1, /* works, but a background job keeps failing: see the reason */
    LSM_SICK = 2,     /* poisoned: reads work, writes do not; reopen */
} lsm_health_state;

typedef struct lsm_health_info {
    lsm_health_state state;
    char reason[512];                /* "" when healthy */
    uint64_t oldest_snapshot_age_ns; /* 0 when none is open */
    char oldest_snapshot_tag[64];
    uint64_t open_children; /* transactions, snapshots, iterators, pins */
    int64_t
        clock_ahead_ns;   /* of the system's clock before the time that is past without doubt
                             (see "Expiry and the clock"); negative: it is behind; 0: they agree */
    char clock_note[256]; /* the same in words, from a minute on; no reason for concern if the
                             database was closed meanwhile. Else "" */
} lsm_health_info;

LSM_MUST_CHECK lsm_status lsm_health(lsm_db *db, lsm_health_info *out);

/* Has background work that failed softly (no space, no memory) tried again now. */
LSM_MUST_CHECK lsm_status lsm_resume(lsm_db *db);

/* ---- Keyspaces ------------------------------------------------------------------- */

/* Options of one keyspace; what is not set follows the database's option of that name. */
typedef struct lsm_keyspace_options {
    uint32_t value_threshold;  /* LSM_INHERIT, or bytes up to 65536; 0: separate every value */
    uint32_t versions_to_keep; /* LSM_INHERIT, or at least 1 */
    uint32_t compression;      /* LSM_INHERIT, or 0 (none) to 22, a zstd level; for tables
                                  written from then on */
    uint64_t ttl_seconds;      /* default expiry of new entries; 0: none */
} lsm_keyspace_options;

#define LSM_INHERIT UINT32_MAX
#define LSM_KEYSPACE_OPTIONS_INIT                                                                  \
    {                                                                                              \
        LSM_INHERIT, LSM_INHERIT, LSM_INHERIT, 0                                                   \
    }

/* A handle to the keyspace called `name` (1 to 255 bytes, zero-terminated). With
 * `create` it is made, durably, when it is not there, with `options` (NULL: inherit
 * everything). LSM_NOT_FOUND otherwise. Where a function takes a keyspace, NULL means
 * "default". */
LSM_MUST_CHECK lsm_status lsm_keyspace_open(lsm_db *db, const char *name, bool create,
                                            const lsm_keyspace_options *options,
                                            lsm_keyspace **out);
LSM_API void lsm_keyspace_close(lsm_keyspace *keyspace);
LSM_API const char *lsm_keyspace_name(const lsm_keyspace *keyspace);

/* Drops the keyspace and what it holds, at once and durably. Snapshots and
 * transactions opened before go on reading it; later writes get LSM_INVALID. Its space
 * is given back by compaction. "default" cannot be dropped. */
LSM_MUST_CHECK lsm_status lsm_keyspace_drop(lsm_db *db, const char *name);

/* Changes the options of a keyspace for entries written from now on. */
LSM_MUST_CHECK lsm_status lsm_keyspace_alter(lsm_db *db, const char *name,
                                             const lsm_keyspace_options *options);

typedef struct lsm_keyspace_info {
    uint32_t id;
    char name[256];
    lsm_keyspace_options options;
} lsm_keyspace_info;

/* All keyspaces, by id; the array is released with lsm_free(). */
LSM_MUST_CHECK lsm_status lsm_keyspace_list(lsm_db *db, lsm_keyspace_info **out, size_t *count);

/* ---- Writing --------------------------------------------------------------------- */

/* Expiry and the clock. An entry with an expiry is absent from that second on, by the
 * system's clock: to a snapshot or transaction by what the clock says when it begins, to an
 * iterator when it is opened, else now. When the clock is set back, what had expired may be
 * there again. Nothing is dropped for good on the word of a clock that may be wrong: after
 * a jump ahead, or a time in which the database was closed, what has expired is kept until
 * the clock has gone on for an hour without being set; for a day, if it is ahead by more
 * than a day. lsm_health() tells. An expiry that was counted from a wrong clock stays as it
 * is. */

typedef enum lsm_sync_mode {
    LSM_SYNC_DEFAULT = 0, /* as option sync says: full unless set otherwise */
    LSM_SYNC_FULL = 1,    /* returns when the commit is on the device */
    LSM_SYNC_WRITTEN =
        2, /* returns when the system has it: survives the process, not the machine */
} lsm_sync_mode;

typedef struct lsm_write_options {
    lsm_sync_mode sync;
    bool no_wait;            /* LSM_BUSY instead of waiting 1 ms or more for back-pressure */
    uint8_t user_byte;       /* stored with each entry of a one-shot write */
    uint64_t ttl_seconds;    /* from now by the system's clock; 0: the keyspace's default */
    uint64_t expiry_seconds; /* absolute, since 1970; 0: by ttl_seconds; or LSM_EXPIRY_NONE */
    bool clear_user_byte;    /* a user byte of 0, where the write would keep the entry's */
} lsm_write_options;

/* As an expiry: never, whatever the keyspace's default or the entry before says. */
#define LSM_EXPIRY_NONE UINT64_MAX

#define LSM_WRITE_OPTIONS_INIT                                                                     \
    {                                                                                              \
        LSM_SYNC_DEFAULT, false, 0, 0, 0, false                                                    \
    }

/* Each is atomic by itself. `options` NULL: defaults. LSM_INVALID for an empty or
 * oversize key or an oversize value, naming limit and size. LSM_OUTCOME_UNKNOWN when
 * the bytes may or may not survive a crash: the database is then poisoned. */
LSM_MUST_CHECK lsm_status lsm_put(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key,
                                  lsm_slice value, const lsm_write_options *options);
/* Deleting an absent key is LSM_OK. */
LSM_MUST_CHECK lsm_status lsm_delete(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key,
                                     const lsm_write_options *options);
/* The next four depend on what is there: when another commit comes between they run
 * again, with a growing random pause, at most 1,000 times; LSM_BUSY then. */

/* LSM_CONFLICT when the key exists; nothing is written then. */
LSM_MUST_CHECK lsm_status lsm_put_if_absent(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key,
                                            lsm_slice value, const lsm_write_options *options);

/* The next three write on from what is there. An entry that is there keeps its expiry and
 * its user byte, unless `options` tell otherwise: ttl_seconds or expiry_seconds that is
 * not 0 (LSM_EXPIRY_NONE takes the expiry away), user_byte that is not 0, or
 * clear_user_byte. The keyspace's default is for keys that are absent: writing on does
 * not put off when an entry expires. */

/* Replaces the value when it equals `expected` (NULL: the key is absent); `desired` NULL
 * deletes. LSM_CONFLICT when it does not. */
LSM_MUST_CHECK lsm_status lsm_compare_and_set(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key,
                                              const lsm_slice *expected, const lsm_slice *desired,
                                              const lsm_write_options *options);
/* Adds to a counter kept as 8 little-endian bytes (absent: 0) and returns its new value
 * (`result` may be NULL). LSM_INVALID when the value has another size or would overflow. */
LSM_MUST_CHECK lsm_status lsm_add_i64(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key,
                                      int64_t delta, int64_t *result,
                                      const lsm_write_options *options);
/* Appends to a value (absent: empty). */
LSM_MUST_CHECK lsm_status lsm_append(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key,
                                     lsm_slice suffix, const lsm_write_options *options);

/* A batch collects writes, across keyspaces, that are applied together, in order: a
 * later write of a key replaces an earlier one. Bytes are copied. */
LSM_MUST_CHECK lsm_status lsm_batch_new(lsm_batch **out);
LSM_API void lsm_batch_free(lsm_batch *batch);
LSM_MUST_CHECK lsm_status lsm_batch_put(lsm_batch *batch, lsm_keyspace *keyspace, lsm_slice key,
                                        lsm_slice value);
LSM_MUST_CHECK lsm_status lsm_batch_delete(lsm_batch *batch, lsm_keyspace *keyspace, lsm_slice key);
LSM_API void lsm_batch_clear(lsm_batch *batch);
LSM_API size_t lsm_batch_count(const lsm_batch *batch); /* writes added */
/* Applies the batch atomically; it may be applied again. An empty one is LSM_OK. */
LSM_MUST_CHECK lsm_status lsm_write(lsm_db *db, lsm_batch *batch, const lsm_write_options *options);

/* ---- Reading --------------------------------------------------------------------- */

/* Copies the newest value of `key` into `value`, growing it as needed. LSM_NOT_FOUND
 * when the key is absent, deleted or expired, LSM_CORRUPT when a checksum fails;
 * `value` is then unchanged. */
LSM_MUST_CHECK lsm_status lsm_get(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key,
                                  lsm_buf *value);
/* LSM_OK or LSM_NOT_FOUND; reads no separated value. */
LSM_MUST_CHECK lsm_status lsm_exists(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key);

/* A value without copying: `value` borrows memory that stays until lsm_pin_release(). */
typedef struct lsm_pin {
    lsm_slice value;
    void *holder; /* private */
} lsm_pin;

LSM_MUST_CHECK lsm_status lsm_get_pinned(lsm_db *db, lsm_keyspace *keyspace, lsm_slice key,
                                         lsm_pin *pin);
LSM_API void lsm_pin_release(lsm_pin *pin);

/* Looks up `count` keys in one snapshot. `statuses[i]` is LSM_OK with `values[i]` filled,
 * LSM_NOT_FOUND, or the error of that key. Returns LSM_OK when every status is one of
 * the first two, else the first error. */
LSM_MUST_CHECK lsm_status lsm_multi_get(lsm_db *db, lsm_keyspace *keyspace, const lsm_slice *keys,
                                        size_t count, lsm_buf *values, lsm_status *statuses);

/* A snapshot sees everything committed before it was made, and nothing later. `tag`
 * (may be NULL) is shown by lsm_health() and lsm_close(). */
LSM_MUST_CHECK lsm_status lsm_snapshot_new(lsm_db *db, const char *tag, lsm_snapshot **out);
LSM_API void lsm_snapshot_free(lsm_snapshot *snapshot);
LSM_API uint64_t lsm_snapshot_ts(const lsm_snapshot *snapshot);
LSM_MUST_CHECK lsm_status lsm_snapshot_get(lsm_snapshot *snapshot, lsm_keyspace *keyspace,
                                           lsm_slice key, lsm_buf *value);

/* ---- Transactions ---------------------------------------------------------------- */

typedef enum lsm_txn_mode {
    LSM_TXN_SERIALIZABLE = 0, /* reads are validated: as if transactions ran one by one */
    LSM_TXN_SNAPSHOT = 1,     /* only writes are: write skew is possible */
    LSM_TXN_READ_ONLY = 2,    /* never fails to commit */
} lsm_txn_mode;

/* Begins a transaction on a snapshot of everything committed. */
LSM_MUST_CHECK lsm_status lsm_begin(lsm_db *db, lsm_txn_mode mode, lsm_txn **out);
/* Names it for listings. */
LSM_MUST_CHECK lsm_status lsm_begin_tagged(lsm_db *db, lsm_txn_mode mode, const char *tag,
                                           lsm_txn **out);

/* As the one-shot functions, seeing the transaction's own writes. A failed write
 * leaves the transaction as it was. */
LSM_MUST_CHECK lsm_status lsm_txn_get(lsm_txn *txn, lsm_keyspace *keyspace, lsm_slice key,
                                      lsm_buf *value);
LSM_MUST_CHECK lsm_status lsm_txn_exists(lsm_txn *txn, lsm_keyspace *keyspace, lsm_slice key);
LSM_MUST_CHECK lsm_status lsm_txn_multi_get(lsm_txn *txn, lsm_keyspace *keyspace,
                                            const lsm_slice *keys, size_t count, lsm_buf *values,
                                            lsm_status *statuses);
LSM_MUST_CHECK lsm_status lsm_txn_put(lsm_txn *txn, lsm_keyspace *keyspace, lsm_slice key,
                                      lsm_slice value);
/* With expiry (seconds since 1970; 0: the keyspace's default; or LSM_EXPIRY_NONE) and user
 * byte. */
LSM_MUST_CHECK lsm_status lsm_txn_put_entry(lsm_txn *txn, lsm_keyspace *keyspace, lsm_slice key,
                                            lsm_slice value, uint64_t expiry_seconds,
                                            uint8_t user_byte);
LSM_MUST_CHECK lsm_status lsm_txn_delete(lsm_txn *txn, lsm_keyspace *keyspace, lsm_slice key);
/* LSM_CONFLICT when the key is there. */
LSM_MUST_CHECK lsm_status lsm_txn_put_if_absent(lsm_txn *txn, lsm_keyspace *keyspace, lsm_slice key,
                                                lsm_slice value);

/* Savepoints nest. Rolling back to one undoes the writes made since (what was read
 * stays read) and keeps it; releasing one forgets it and those made since. An open
 * iterator of the transaction may show what was undone until it is positioned anew. What
 * was written before a savepoint and written over since stays in memory until that is
 * released; when that alone exceeds txn_bytes_max, further writes are LSM_INVALID. */
LSM_MUST_CHECK lsm_status lsm_txn_savepoint(lsm_txn *txn, uint64_t *savepoint);
LSM_MUST_CHECK lsm_status lsm_txn_rollback_to(lsm_txn *txn, uint64_t savepoint);
LSM_MUST_CHECK lsm_status lsm_txn_release(lsm_txn *txn, uint64_t savepoint);

/* Commits, which finishes the transaction whatever the result: afterwards only
 * lsm_txn_commit_ts(), lsm_txn_read_ts() and lsm_txn_free() are allowed. LSM_CONFLICT:
 * another commit changed what this one read or wrote; begin again. Of `options`, sync
 * and no_wait count. Its iterators must be closed before. */
LSM_MUST_CHECK lsm_status lsm_commit(lsm_txn *txn, const lsm_write_options *options);

/* Commits without waiting: `fn` is called once with the result, in a thread of the
 * library or in one that commits at the same time (the calling one when the result is
 * known at once). It must not call the library with this database (refused with
 * LSM_INVALID), nor wait for a thread that does. The transaction is finished;
 * it may be freed at once or in `fn`. A status other than LSM_OK: `fn` is not called. */
typedef void (*lsm_commit_fn)(void *ctx, lsm_status status, uint64_t commit_ts);
LSM_MUST_CHECK lsm_status lsm_commit_async(lsm_txn *txn, const lsm_write_options *options,
                                           lsm_commit_fn fn, void *ctx);

/* Gives the writes up and finishes the transaction. */
LSM_API lsm_status lsm_rollback(lsm_txn *txn);
/* Frees a transaction, rolling it back if it is not finished. NULL is nothing. Its
 * iterators must be closed before; otherwise it is freed with the last of them. */
LSM_API void lsm_txn_free(lsm_txn *txn);
LSM_API uint64_t lsm_txn_read_ts(const lsm_txn *txn);
/* 0 until it has committed; and for one that wrote nothing. */
LSM_API uint64_t lsm_txn_commit_ts(const lsm_txn *txn);

/* Runs `fn` in a serializable transaction and commits; on conflict runs it again, with
 * a growing random pause, at most 100 times. `fn` returns LSM_OK to commit; any other
 * status rolls back and is returned (LSM_CONFLICT: runs again). */
typedef lsm_status (*lsm_update_fn)(lsm_txn *txn, void *ctx);
LSM_MUST_CHECK lsm_status lsm_update(lsm_db *db, lsm_update_fn fn, void *ctx);

/* ---- Iterators ------------------------------------------------------------------- */

typedef struct lsm_iter_options {
    const lsm_slice *lower;  /* keys from here on (>=); NULL: open */
    const lsm_slice *upper;  /* keys before this (<); NULL: open */
    const lsm_slice *prefix; /* keys with this prefix, within the bounds; NULL: all */
    bool keys_only;          /* never touches the value log; lsm_iter_value() is LSM_INVALID */
    bool all_versions;       /* every version up to the snapshot, newer first, deletions too */
    uint64_t since_ts;       /* keys whose newest version was committed after this; 0: all.
                                No deletions, and not with all_versions: see below */
    uint32_t prefetch;       /* separated values read ahead; 0: 16 once a scan is seen */
    bool no_fill_cache;      /* for a scan that should not displace what is hot */
    bool lower_exclusive;    /* keys behind `lower` (>), which is not NULL then */
    bool upper_inclusive;    /* keys up to `upper`, it included (<=); not NULL then */
} lsm_iter_options;

#define LSM_ITER_OPTIONS_INIT                                                                      \
    {                                                                                              \
        NULL, NULL, NULL, false, false, 0, 0, false, false, false                                  \
    }

/* Bounds are copied. `options` NULL: everything in `keyspace`. A bound need not be a key that
 * is there; an empty one is the place of the empty key, not an open end. Bounds that leave
 * nothing between them make an iterator over nothing.
 *
 * `since_ts` is for finding what is new, not for following changes: a key that has been
 * deleted or has expired since is not shown, and merges drop deletions and older versions
 * once no snapshot needs them. With `all_versions` it would look like a feed of changes that
 * loses some without a word, so the two together are LSM_INVALID. A change feed, which holds
 * deletions back until its readers have seen them, is to come. */
LSM_MUST_CHECK lsm_status lsm_iter_open(lsm_db *db, lsm_keyspace *keyspace,
                                        const lsm_iter_options *options, lsm_iter **out);
LSM_MUST_CHECK lsm_status lsm_snapshot_iter_open(lsm_snapshot *snapshot, lsm_keyspace *keyspace,
                                                 const lsm_iter_options *options, lsm_iter **out);
/* Sees the transaction's writes made so far, not those made later. */
LSM_MUST_CHECK lsm_status lsm_txn_iter_open(lsm_txn *txn, lsm_keyspace *keyspace,
                                            const lsm_iter_options *options, lsm_iter **out);
LSM_API void lsm_iter_close(lsm_iter *it);

/* Each returns LSM_OK on an entry, LSM_NOT_FOUND behind the end, or the error that
 * stopped it, so that a loop ends on either:
 *
 *     for (s = lsm_iter_first(it); s == LSM_OK; s = lsm_iter_next(it))
 *         use(lsm_iter_key(it));
 *     if (s != LSM_NOT_FOUND)
 *         report(lsm_errmsg());
 *
 * lsm_iter_seek() goes to the first key at or after `key`, lsm_iter_seek_for_prev() to
 * the last at or before it. lsm_iter_next() after the end, or before any positioning,
 * is LSM_INVALID. */
LSM_MUST_CHECK lsm_status lsm_iter_first(lsm_iter *it);
LSM_MUST_CHECK lsm_status lsm_iter_last(lsm_iter *it);
LSM_MUST_CHECK lsm_status lsm_iter_seek(lsm_iter *it, lsm_slice key);
LSM_MUST_CHECK lsm_status lsm_iter_seek_for_prev(lsm_iter *it, lsm_slice key);
LSM_MUST_CHECK lsm_status lsm_iter_next(lsm_iter *it);
LSM_MUST_CHECK lsm_status lsm_iter_prev(lsm_iter *it);

/* Of the current entry. The key is empty when there is none; so is the empty key, which
 * the status of the move tells apart, or lsm_iter_ts(): 0 only when there is none. */
LSM_API lsm_slice lsm_iter_key(const lsm_iter *it);
/* Reads a separated value now, if it has not been prefetched. */
LSM_MUST_CHECK lsm_status lsm_iter_value(lsm_iter *it, lsm_slice *value);
LSM_API uint64_t lsm_iter_ts(const lsm_iter *it);
LSM_API uint64_t lsm_iter_expiry(const lsm_iter *it); /* seconds since 1970; 0: never */
LSM_API uint8_t lsm_iter_user_byte(const lsm_iter *it);
LSM_API bool lsm_iter_is_deleted(const lsm_iter *it);     /* with all_versions */
LSM_API uint64_t lsm_iter_value_size(const lsm_iter *it); /* without reading the value */

/* ---- Upkeep: all automatic; these are for the impatient -------------------------- */

/* Writes the memtables out to tables. */
LSM_MUST_CHECK lsm_status lsm_flush(lsm_db *db);
/* Makes every commit so far durable. */
LSM_MUST_CHECK lsm_status lsm_sync(lsm_db *db);
/* Merges the tables that hold [from, to], both ends included (NULL: open); `keyspace` NULL: all
 * keyspaces. */
LSM_MUST_CHECK lsm_status lsm_compact_range(lsm_db *db, lsm_keyspace *keyspace,
                                            const lsm_slice *from, const lsm_slice *to);
/* Waits until no background work is left. */
LSM_MUST_CHECK lsm_status lsm_wait_idle(lsm_db *db);
/* Reads and checks every file; LSM_CORRUPT tells the first damage. `progress` (may be
 * NULL) is called per file with LSM_OK or what is wrong with it. */
typedef void (*lsm_verify_fn)(void *ctx, const char *file, uint64_t size, lsm_status status,
                              const char *message);
LSM_MUST_CHECK lsm_status lsm_verify(lsm_db *db, lsm_verify_fn progress, void *ctx);
/* About how many bytes of files hold [from, to): tables, compressed as they are, separated
 * values, and of the log what is in no table yet. Every version and deletion that is still
 * kept counts. Within a tenth, whatever the mix of sizes. Tables that lie wholly in the
 * range are not read; of one that a bound cuts (keyspaces share tables, too) at most half
 * is, if it has separated values, else the blocks at the bounds. Memtables are walked
 * through from `from` to `to`. */
LSM_MUST_CHECK lsm_status lsm_approximate_size(lsm_db *db, lsm_keyspace *keyspace,
                                               const lsm_slice *from, const lsm_slice *to,
                                               uint64_t *bytes);
/* Changes an option of the open database; see lsm_option_info.changeable. The database keeps it
 * if it is one of its own. When that fails, as on a full disk, the old value stays in force. */
LSM_MUST_CHECK lsm_status lsm_set_option(lsm_db *db, const char *name, const char *value);
/* The same until the database is closed or the option set again: the database does not keep it. */
LSM_MUST_CHECK lsm_status lsm_set_option_once(lsm_db *db, const char *name, const char *value);
/* Back to the default: the database forgets what it keeps of the option. */
LSM_MUST_CHECK lsm_status lsm_reset_option(lsm_db *db, const char *name);
/* The value in force. */
LSM_MUST_CHECK lsm_status lsm_get_option(lsm_db *db, const char *name, lsm_buf *value);

typedef enum lsm_option_source {
    LSM_OPTION_DEFAULT = 0,  /* nobody has set it */
    LSM_OPTION_DATABASE = 1, /* the database keeps it */
    LSM_OPTION_CALLER = 2,   /* set by who has opened it, then or since */
} lsm_option_source;

/* From where the value in force is. */
LSM_MUST_CHECK lsm_status lsm_option_from(lsm_db *db, const char *name, lsm_option_source *out);

/* ---- Seeing inside --------------------------------------------------------------- */

typedef enum lsm_stats_format {
    LSM_STATS_TEXT = 0,       /* "name value" lines for people */
    LSM_STATS_JSON = 1,       /* one object; stable keys that carry their unit */
    LSM_STATS_PROMETHEUS = 2, /* text exposition format */
} lsm_stats_format;

/* Counters, latency histograms (p50, p99, p99.9, max) and stall causes since the
 * database was opened, zero-terminated as well. */
LSM_MUST_CHECK lsm_status lsm_stats(lsm_db *db, lsm_stats_format format, lsm_buf *out);
/* One counter or gauge by its JSON key. LSM_NOT_FOUND for an unknown one. */
LSM_MUST_CHECK lsm_status lsm_stat(lsm_db *db, const char *name, uint64_t *value);

typedef struct lsm_level_info {
    unsigned level;
    uint64_t tables;
    uint64_t bytes;
    uint64_t target_bytes;
    double score;
    uint64_t entries;
    uint64_t tombstones;
    uint64_t referenced_bytes;
} lsm_level_info;

#define LSM_LEVELS 7

LSM_MUST_CHECK lsm_status lsm_levels(lsm_db *db, lsm_level_info out[LSM_LEVELS]);

typedef struct lsm_segment_info {
    uint32_t id;
    uint64_t bytes; /* of the file as far as written */
    uint64_t referenced_bytes;
    uint64_t referenced_count;
    bool is_log; /* still needed for recovery */
} lsm_segment_info;

/* Segments of the value log by id; the array is released with lsm_free(). */
LSM_MUST_CHECK lsm_status lsm_segments(lsm_db *db, lsm_segment_info **out, size_t *count);

typedef struct lsm_table_info {
    uint64_t id;
    unsigned level;
    uint64_t bytes;
    uint64_t entries;
    uint64_t tombstones;
    uint64_t ts_min;
    uint64_t ts_max;
    uint32_t smallest_keyspace;
    uint32_t largest_keyspace;
    lsm_slice smallest; /* of the same allocation as the array */
    lsm_slice largest;
} lsm_table_info;

/* Tables by level and key; released with one lsm_free(). */
LSM_MUST_CHECK lsm_status lsm_tables(lsm_db *db, lsm_table_info **out, size_t *count);

#ifdef __cplusplus
}
#endif

#endif

#include "crash_compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

// --- reading ---

static lsm_status parse_key(lsm_slice key, unsigned *out)
{
    const char *text = key.data;

    if (key.size == 0) {
        *out = 0;
        return LSM_OK;
    }
    if (key.size != 6 || memcmp(text, "key-", 4) != 0)
        return lsm_fail(LSM_CORRUPT, "a key that nobody wrote, %zu bytes", key.size);
    *out = (unsigned)(text[4] - '0') * 10 + (unsigned)(text[5] - '0');
    if (*out >= CRASH_KEYS)
        return lsm_fail(LSM_CORRUPT, "key %u: nobody wrote it", *out);
    return LSM_OK;
}

// The number of the commit that wrote the value, which is checked byte for byte.
static lsm_status parse_value(const struct history *h, unsigned key, lsm_slice value,
                              unsigned *number)
{
    const unsigned tag = crash_value_tag(value);

    *number = history_number(h, tag);
    if (*number == 0)
        return lsm_fail(LSM_CORRUPT, "key %u: a value that nobody wrote, %zu bytes", key,
                        value.size);
    for (unsigned i = 0; i < h->commits[*number].count; i++) {
        const struct crash_write *w = &h->commits[*number].writes[i];

        if (w->key == key && w->size == value.size && crash_value_is(value, tag, key))
            return LSM_OK;
    }
    return lsm_fail(LSM_CORRUPT, "key %u: the value of commit %u is another", key, *number);
}

static lsm_status add_version(const struct history *h, lsm_iter *it, struct found *found,
                              unsigned keyspace)
{
    struct found_version version = {.ts = lsm_iter_ts(it)};
    lsm_slice value;
    unsigned key;

    TRY(parse_key(lsm_iter_key(it), &key));
    if (!lsm_iter_is_deleted(it)) {
        TRY(lsm_iter_value(it, &value));
        TRY(parse_value(h, key, value, &version.number));
    }
    if (found->counts[keyspace][key] == VERSIONS_MAX)
        return lsm_fail(LSM_CORRUPT, "key %u: more versions than were ever written", key);
    found->versions[keyspace][key][found->counts[keyspace][key]++] = version;
    return LSM_OK;
}

static lsm_status scan(struct session *s, unsigned keyspace, bool all_versions, bool is_forward,
                       struct found *found)
{
    const lsm_iter_options options = {.all_versions = all_versions};
    lsm_iter *it;
    lsm_status status;

    TRY(lsm_iter_open(s->db, keyspace == IN_OTHER ? s->other : NULL, &options, &it));
    status = is_forward ? lsm_iter_first(it) : lsm_iter_last(it);
    while (status == LSM_OK) {
        status = add_version(s->history, it, found, keyspace);
        if (status == LSM_OK)
            status = is_forward ? lsm_iter_next(it) : lsm_iter_prev(it);
    }
    lsm_iter_close(it);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

// --- comparing ---

static const struct found_version *newest(const struct found *all, unsigned keyspace, unsigned key)
{
    const struct found_version *version = &all->versions[keyspace][key][0];

    return all->counts[keyspace][key] == 0 || version->number == 0 ? NULL : version;
}

// A scan of the newest versions agrees with that of all.
static lsm_status compare_newest(const struct found *all, const struct found *found,
                                 unsigned keyspace, const char *way)
{
    for (unsigned key = 0; key < CRASH_KEYS; key++) {
        const struct found_version *wanted = newest(all, keyspace, key);
        const struct found_version *got = &found->versions[keyspace][key][0];

        if (found->counts[keyspace][key] != (wanted != NULL) ||
            (wanted != NULL && (got->number != wanted->number || got->ts != wanted->ts)))
            return lsm_fail(LSM_CORRUPT, "keyspace %u, key %u: %s, commit %u instead of %u",
                            keyspace, key, way, got->number, wanted == NULL ? 0 : wanted->number);
    }
    return LSM_OK;
}

// Backwards the versions of a key come the other way round.
static lsm_status compare_backward(const struct found *all, const struct found *found,
                                   unsigned keyspace)
{
    for (unsigned key = 0; key < CRASH_KEYS; key++) {
        const unsigned count = all->counts[keyspace][key];

        if (found->counts[keyspace][key] != count)
            return lsm_fail(LSM_CORRUPT, "keyspace %u, key %u: %u versions backwards, %u forwards",
                            keyspace, key, found->counts[keyspace][key], count);
        for (unsigned i = 0; i < count; i++) {
            if (found->versions[keyspace][key][count - 1 - i].ts !=
                all->versions[keyspace][key][i].ts)
                return lsm_fail(LSM_CORRUPT, "keyspace %u, key %u: other versions backwards",
                                keyspace, key);
        }
    }
    return LSM_OK;
}

static lsm_status compare_gets(struct session *s, const struct found *all, unsigned keyspace)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    char text[16];

    for (unsigned key = 0; key < CRASH_KEYS; key++) {
        const struct found_version *wanted = newest(all, keyspace, key);
        const lsm_status status =
            lsm_get(s->db, keyspace == IN_OTHER ? s->other : NULL, crash_key(key, text), &value);
        unsigned number = 0;

        if (status == LSM_OK)
            TRY(parse_value(s->history, key, slice_of_buf(&value), &number));
        else if (status != LSM_NOT_FOUND)
            return status;
        if (number != (wanted == NULL ? 0 : wanted->number))
            return lsm_fail(LSM_CORRUPT, "keyspace %u, key %u: a get finds commit %u", keyspace,
                            key, number);
    }
    return LSM_OK;
}

// Reads the keyspace in one way more, and compares with all its versions.
static lsm_status read_again(struct session *s, unsigned keyspace, const struct found *all,
                             bool all_versions, bool is_forward)
{
    static struct found found; // large; nothing of it outlives the call

    memset(found.counts, 0, sizeof found.counts);
    TRY(scan(s, keyspace, all_versions, is_forward, &found));
    if (all_versions)
        return compare_backward(all, &found, keyspace);
    return compare_newest(all, &found, keyspace, is_forward ? "forwards" : "backwards");
}

static lsm_status compare_keyspace(struct session *s, unsigned keyspace, struct found *all)
{
    TRY(scan(s, keyspace, true, true, all));
    TRY(read_again(s, keyspace, all, true, false));
    TRY(read_again(s, keyspace, all, false, true));
    TRY(read_again(s, keyspace, all, false, false));
    return compare_gets(s, all, keyspace);
}

// What was found, in the order of keys: the numbers of the commits, 0 for a deletion.
static void print_found(const struct found *found)
{
    for (unsigned keyspace = 0; keyspace < CRASH_KEYSPACES; keyspace++) {
        for (unsigned key = 0; key < CRASH_KEYS; key++) {
            fprintf(stderr, "    keyspace %u key %u:", keyspace, key);
            for (unsigned i = 0; i < found->counts[keyspace][key]; i++)
                fprintf(stderr, " %u@%" PRIu64, found->versions[keyspace][key][i].number,
                        found->versions[keyspace][key][i].ts);
            fprintf(stderr, "\n");
        }
    }
}

lsm_status session_compare(struct session *s)
{
    struct history *h = s->history;
    struct found all;
    unsigned prefix;

    memset(all.counts, 0, sizeof all.counts);
    all.has_other = s->other != NULL;
    TRY(compare_keyspace(s, IN_DEFAULT, &all));
    if (all.has_other)
        TRY(compare_keyspace(s, IN_OTHER, &all));
    if (!found_is_ordered(&all, h->started)) {
        print_found(&all);
        return lsm_fail(LSM_CORRUPT, "timestamps are not in the order of the commits");
    }
    if (!history_find_prefix(h, &all, s->workload->versions_to_keep, &prefix)) {
        print_found(&all);
        return lsm_fail(LSM_CORRUPT, "no prefix of %u to %u commits", h->durable, h->started);
    }
    history_settle(h, prefix, all.has_other);
    return LSM_OK;
}

#include "damage_check.h"

#include <stdio.h>

#include "db/db.h"

// --- reading everything ---

// How one reading of a database compares.
struct comparison {
    bool is_wrong;   // an answer that is not in `wanted`
    bool has_failed; // LSM_CORRUPT at least once
};

static void violate(struct damage_case *c, const char *problem)
{
    campaign_violation(c->campaign, "%s: %s (%s)", c->what, problem, lsm_errmsg());
}

// Whether a failure is one that damage may have: told as such, with the name of a file.
static bool is_fair(lsm_status status)
{
    static const char *const names[] = {".sst", ".vlog", "MANIFEST", "CURRENT", "manifest"};

    if (status != LSM_CORRUPT && status != LSM_UNSUPPORTED && status != LSM_INVALID)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strstr(lsm_errmsg(), names[i]) != NULL)
            return true;
    }
    return false;
}

static void note_failure(struct damage_case *c, struct comparison *comparison, lsm_status status)
{
    comparison->has_failed = true;
    if (!is_fair(status) || status == LSM_INVALID)
        violate(c, "a read fails, but not as damage does");
}

static bool is_value(unsigned number, unsigned key, lsm_slice value)
{
    uint8_t wanted[IMAGE_VALUE_ROOM];
    size_t size = number == 0 ? 0 : image_value(number, key, wanted);

    return number != 0 && slice_equal(slice_make(wanted, size), value);
}

static void compare_gets(struct damage_case *c, lsm_db *db, lsm_keyspace *keyspace,
                         const unsigned *numbers, struct comparison *comparison)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    char text[16];

    for (unsigned key = 0; key < IMAGE_KEYS; key++) {
        lsm_status status = lsm_get(db, keyspace, image_key(key, text), &value);

        if (status == LSM_NOT_FOUND)
            comparison->is_wrong |= numbers[key] != 0;
        else if (status == LSM_OK)
            comparison->is_wrong |= !is_value(numbers[key], key, slice_of_buf(&value));
        else
            note_failure(c, comparison, status);
    }
}

// Moves `*at` over keys that are not there, up to `end`; false when one of them is wanted.
static bool pass_over(const unsigned *numbers, unsigned *at, unsigned end, bool is_forward)
{
    while (*at != end) {
        if (numbers[*at] != 0)
            return false;
        *at += is_forward ? 1 : -1u;
    }
    return true;
}

static bool compare_here(lsm_iter *it, const unsigned *numbers, unsigned *at, bool is_forward,
                         lsm_status *status)
{
    const unsigned index = image_key_index(lsm_iter_key(it));
    lsm_slice value;

    if (index == IMAGE_KEYS || !pass_over(numbers, at, index, is_forward))
        return false;
    *at += is_forward ? 1 : -1u;
    *status = lsm_iter_value(it, &value);
    return *status != LSM_OK || is_value(numbers[index], index, value);
}

static void compare_scan(struct damage_case *c, lsm_db *db, lsm_keyspace *keyspace,
                         const unsigned *numbers, bool is_forward, struct comparison *comparison)
{
    unsigned at = is_forward ? 0 : IMAGE_KEYS - 1;
    lsm_status status;
    lsm_iter *it;

    status = lsm_iter_open(db, keyspace, NULL, &it);
    if (status != LSM_OK) {
        note_failure(c, comparison, status);
        return;
    }
    status = is_forward ? lsm_iter_first(it) : lsm_iter_last(it);
    while (status == LSM_OK) {
        if (!compare_here(it, numbers, &at, is_forward, &status)) {
            comparison->is_wrong = true;
            break;
        }
        if (status == LSM_OK)
            status = is_forward ? lsm_iter_next(it) : lsm_iter_prev(it);
    }
    if (status == LSM_NOT_FOUND)
        comparison->is_wrong |= !pass_over(numbers, &at, is_forward ? IMAGE_KEYS : -1u, is_forward);
    else if (status != LSM_OK)
        note_failure(c, comparison, status);
    lsm_iter_close(it);
}

static struct comparison compare(struct damage_case *c, lsm_db *db, const struct answers *wanted)
{
    struct comparison comparison = {.is_wrong = false};

    for (unsigned i = 0; i < IMAGE_KEYSPACES; i++) {
        lsm_keyspace *keyspace;
        lsm_status status = lsm_keyspace_open(db, image_keyspace(i), false, NULL, &keyspace);

        if (status != LSM_OK) {
            comparison.is_wrong = true;
            continue;
        }
        compare_gets(c, db, keyspace, wanted->numbers[i], &comparison);
        compare_scan(c, db, keyspace, wanted->numbers[i], true, &comparison);
        compare_scan(c, db, keyspace, wanted->numbers[i], false, &comparison);
        lsm_keyspace_close(keyspace);
    }
    return comparison;
}

static bool read_all(struct damage_case *c, lsm_db *db)
{
    struct comparison comparison = compare(c, db, c->wanted);

    if (comparison.is_wrong && c->or_wanted != NULL)
        comparison = compare(c, db, c->or_wanted);
    if (comparison.is_wrong)
        violate(c, "a wrong answer");
    return comparison.has_failed;
}

// --- opening ---

static void keep_words(struct damage_case *c)
{
    c->is_reported = true;
    (void)snprintf(c->words, sizeof c->words, "%s", lsm_errmsg());
}

// Reads everything and verifies; whether verifying has found something.
static bool check_open(struct damage_case *c, lsm_db *db)
{
    const bool has_failed = read_all(c, db);
    lsm_status status = lsm_verify(db, NULL, NULL);

    if (status != LSM_OK && !is_fair(status))
        violate(c, "verifying fails, but not as damage does");
    else if (status == LSM_OK && has_failed)
        violate(c, "a read has failed that verifying does not tell of");
    return status != LSM_OK;
}

// What is refused for a missing file opens when that is asked for, and says what it lacks.
static void check_rescue(struct damage_case *c)
{
    struct lsm_options options;
    lsm_health_info health;
    lsm_db *db;

    image_options(&options, c->env);
    options.open_damaged = true;
    if (lsm_open_read_only(c->path, &options, &db) != LSM_OK)
        return;
    must(lsm_health(db, &health));
    if (health.state != LSM_DEGRADED || health.reason[0] == '\0')
        violate(c, "opened although it is damaged, and healthy");
    if (!check_open(c, db))
        violate(c, "opened although it is damaged, and nothing is wrong");
    must(lsm_close(db));
}

// The half that does not change the env.
static void check_reading(struct damage_case *c)
{
    struct lsm_options options;
    lsm_status status;
    lsm_db *db;

    image_options(&options, c->env);
    status = lsm_open_read_only(c->path, &options, &db);
    c->is_reading_refused = status != LSM_OK;
    if (c->is_reading_refused) {
        keep_words(c);
        if (!is_fair(status))
            violate(c, "opening for reading fails, but not as damage does");
        check_rescue(c);
        return;
    }
    if (check_open(c, db))
        keep_words(c);
    must(lsm_close(db));
}

static void check_writing(struct damage_case *c, bool *is_spent)
{
    struct lsm_options options;
    lsm_status status;
    lsm_db *db;

    image_options(&options, c->env);
    status = lsm_open(c->path, &options, &db);
    c->is_refused = status != LSM_OK;
    *is_spent = !c->is_refused;
    if (c->is_refused) {
        if (!is_fair(status))
            violate(c, "opening fails, but not as damage does");
        if (!image_is_unchanged(c->image, c->env, c->path))
            violate(c, "opening refuses, and has changed files");
        return;
    }
    (void)read_all(c, db);
    (void)lsm_close(db); // the damage may keep it from closing well
}

void damage_check(struct damage_case *c, bool *is_spent)
{
    check_reading(c);
    check_writing(c, is_spent);
}

#include "salvage_check.h"

#include <stdio.h>
#include <stdlib.h>

static bool is_told[IMAGE_KEYSPACES][IMAGE_KEYS];

static bool is_behind(const struct salvage_bound *from, uint32_t keyspace, lsm_slice key)
{
    int order;

    if (!from->is_known || keyspace != from->keyspace)
        return !from->is_known || keyspace > from->keyspace;
    order = slice_compare(key, from->key);
    return from->is_included ? order >= 0 : order > 0;
}

static bool is_before(const struct salvage_bound *to, uint32_t keyspace, lsm_slice key)
{
    int order;

    if (!to->is_known || keyspace != to->keyspace)
        return !to->is_known || keyspace < to->keyspace;
    order = slice_compare(key, to->key);
    return to->is_included ? order <= 0 : order < 0;
}

// salvage_range_fn.
static void note_range(void *ctx, const struct salvage_range *range)
{
    char text[16];

    (void)ctx;
    for (unsigned i = 0; i < IMAGE_KEYSPACES; i++)
        for (unsigned key = 0; key < IMAGE_KEYS; key++)
            is_told[i][key] |= is_behind(&range->from, i + 1, image_key(key, text)) &&
                               is_before(&range->to, i + 1, image_key(key, text));
}

bool salvage_has_told(unsigned keyspace, unsigned key)
{
    return is_told[keyspace][key];
}

bool salvage_image(struct campaign *campaign, struct env *env, const struct image *image,
                   bool take_uncertain, const char *what, struct salvage_report *report,
                   lsm_db **db)
{
    struct lsm_options options;
    const struct salvage_request request = {.env = env,
                                            .from = DAMAGE_DIR,
                                            .to = SALVAGED_DIR,
                                            .options = &options,
                                            .take_uncertain = take_uncertain,
                                            .on_range = note_range};

    memset(is_told, 0, sizeof is_told);
    image_options(&options, env);
    if (db_salvage(&request, report) != LSM_OK) {
        campaign_violation(campaign, "%s: salvage fails: %s", what, lsm_errmsg());
        return false;
    }
    if (!image_is_unchanged(image, env, DAMAGE_DIR))
        campaign_violation(campaign, "%s: salvage has changed its source", what);
    must(lsm_open(SALVAGED_DIR, &options, db));
    return true;
}

void salvage_close(lsm_db *db)
{
    must(lsm_verify(db, NULL, NULL));
    must(lsm_close(db));
}

// The number whose value this is for the key; UINT32_MAX when it was never one.
static unsigned number_of(unsigned key, lsm_slice value)
{
    uint8_t bytes[IMAGE_VALUE_ROOM];
    char text[8] = "";
    unsigned number;

    if (value.size > 6)
        memcpy(text, value.data, 6);
    number = (unsigned)strtoul(text, NULL, 10);
    if (number == 0 || !slice_equal(value, slice_make(bytes, image_value(number, key, bytes))))
        return UINT32_MAX;
    return number;
}

void salvage_read(struct campaign *campaign, lsm_db *db, const char *keyspace, const char *what,
                  unsigned numbers[IMAGE_KEYS])
{
    lsm_keyspace *handle;
    lsm_status status;
    lsm_slice value;
    lsm_iter *it;

    memset(numbers, 0, IMAGE_KEYS * sizeof *numbers);
    if (lsm_keyspace_open(db, keyspace, false, NULL, &handle) != LSM_OK)
        return;
    must(lsm_iter_open(db, handle, NULL, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        const unsigned key = image_key_index(lsm_iter_key(it));

        must(lsm_iter_value(it, &value));
        if (key == IMAGE_KEYS) {
            campaign_violation(campaign, "%s: salvaged a key that was never there", what);
            continue;
        }
        numbers[key] = number_of(key, value);
        if (numbers[key] == UINT32_MAX)
            campaign_violation(campaign, "%s: salvaged a value that was never there", what);
    }
    if (status != LSM_NOT_FOUND)
        must(status);
    lsm_iter_close(it);
    lsm_keyspace_close(handle);
}

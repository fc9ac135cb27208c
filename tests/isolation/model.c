#include "isolation/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// --- keys and values ---

lsm_slice model_key(uint32_t key, struct key_bytes *bytes)
{
    if (key == 0)
        return (lsm_slice){bytes->text, 0};
    return (lsm_slice){bytes->text,
                       (size_t)snprintf(bytes->text, sizeof bytes->text, "key-%08u", key)};
}

uint32_t model_key_number(const struct model *model, lsm_slice key)
{
    struct key_bytes bytes = {{0}};
    unsigned number = 0;

    if (key.size == 0)
        return 0;
    if (key.size < sizeof bytes.text)
        memcpy(bytes.text, key.data, key.size);
    if (sscanf(bytes.text, "key-%8u", &number) != 1)
        stage_complain(model->stage, "a key that nobody wrote: %s", bytes.text);
    return number;
}

// Mostly small, sometimes large enough for the value log at any threshold.
static size_t value_size(uint64_t value)
{
    const uint64_t mixed = value * 0x9E3779B97F4A7C15u >> 40;

    return sizeof value + (size_t)(mixed % 16 == 0 ? 1100 + mixed % 600 : mixed % 120);
}

lsm_slice model_value(uint64_t value, struct value_bytes *bytes)
{
    const size_t size = value_size(value);

    memset(bytes->bytes, (int)(value % 251), size);
    memcpy(bytes->bytes, &value, sizeof value);
    return (lsm_slice){bytes->bytes, size};
}

uint64_t model_value_number(const struct model *model, lsm_slice bytes)
{
    const uint8_t *at = bytes.data;
    uint64_t value = 0;

    if (bytes.size >= sizeof value)
        memcpy(&value, at, sizeof value);
    if (bytes.size != value_size(value))
        stage_complain(model->stage, "value %" PRIx64 " has %zu bytes", value, bytes.size);
    for (size_t i = sizeof value; i < bytes.size; i++) {
        if (at[i] != value % 251)
            stage_complain(model->stage, "byte %zu of value %" PRIx64 " is wrong", i, value);
    }
    return value;
}

int64_t model_integer(const struct model *model, lsm_slice bytes)
{
    int64_t integer = 0;

    if (bytes.size != sizeof integer)
        stage_complain(model->stage, "an integer has %zu bytes", bytes.size);
    memcpy(&integer, bytes.data, sizeof integer);
    return integer;
}

// --- opening ---

static void make_accounts(const struct model *model)
{
    const int64_t balance = BALANCE;
    struct key_bytes bytes;
    lsm_batch *batch;

    if (lsm_exists(model->db, NULL, model_key(FIRST_ACCOUNT, &bytes)) == LSM_OK)
        return;
    stage_must(model->stage, lsm_batch_new(&batch), "a batch");
    for (uint32_t i = 0; i < ACCOUNTS; i++)
        stage_must(model->stage,
                   lsm_batch_put(batch, NULL, model_key(FIRST_ACCOUNT + i, &bytes),
                                 (lsm_slice){&balance, sizeof balance}),
                   "an account");
    stage_must(model->stage, lsm_write(model->db, batch, NULL), "the accounts");
    lsm_batch_free(batch);
}

void model_open(struct model *model, lsm_db *db, struct stage *stage)
{
    *model = (struct model){.db = db, .stage = stage};
    stage_must(stage, lsm_keyspace_open(db, "lists", true, NULL, &model->lists), "a keyspace");
    make_accounts(model);
}

void model_close(struct model *model)
{
    lsm_keyspace_close(model->lists);
}

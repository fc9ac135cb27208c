// The reference: keyspaces, and what must change nothing: upkeep, reopening, crashes.

#include "model/op_variants.h"
#include "model/reference.h"

// --- keyspaces ---

static void set_options(struct ref_keyspace *keyspace, const struct op *op)
{
    const lsm_keyspace_options options = keyspace_variant(op);

    keyspace->ttl = options.ttl_seconds;
    keyspace->threshold = options.value_threshold;
    keyspace->versions_to_keep = options.versions_to_keep;
}

static bool open_keyspace(struct reference *ref, const struct op *op, struct line *out)
{
    const uint32_t name = op->field[F_KS] % OP_KEYSPACES;
    const bool creates = (op->field[F_FLAGS] & FLAG_CREATE) != 0;
    uint32_t keyspace = ref_keyspace_by_name(ref, name);

    if (name == 0 || (creates && ref->keyspace_count == REF_KEYSPACES))
        return false;
    if (keyspace == REF_NO_KEYSPACE && creates) {
        keyspace = ref_create(ref, name);
        set_options(ref->keyspaces[keyspace], op);
    }
    ref->handles[name] = keyspace;
    line_status(out, keyspace == REF_NO_KEYSPACE ? LSM_NOT_FOUND : LSM_OK);
    return true;
}

static bool drop_keyspace(struct reference *ref, const struct op *op, struct line *out)
{
    const uint32_t name = op->field[F_KS] % OP_KEYSPACES;
    const uint32_t keyspace = ref_keyspace_by_name(ref, name);

    if (name == 0) {
        line_status(out, LSM_INVALID);
        return true;
    }
    if (keyspace != REF_NO_KEYSPACE)
        ref->keyspaces[keyspace]->dropped = ++ref->ordinal;
    if (ref->armed > 0 && keyspace != REF_NO_KEYSPACE)
        ref->handles[name] = REF_NO_KEYSPACE; // no crash brings a handle back
    line_status(out, keyspace == REF_NO_KEYSPACE ? LSM_NOT_FOUND : LSM_OK);
    return true;
}

static bool alter_keyspace(struct reference *ref, const struct op *op, struct line *out)
{
    const uint32_t keyspace = ref_keyspace_by_name(ref, op->field[F_KS] % OP_KEYSPACES);

    if (keyspace != REF_NO_KEYSPACE)
        set_options(ref->keyspaces[keyspace], op);
    line_status(out, keyspace == REF_NO_KEYSPACE ? LSM_NOT_FOUND : LSM_OK);
    return true;
}

static bool list_keyspaces(const struct reference *ref, struct line *out)
{
    for (uint32_t i = 0; i < ref->keyspace_count; i++) {
        const struct ref_keyspace *keyspace = ref->keyspaces[i];

        if (keyspace->dropped != 0)
            continue;
        line_text(out, " ");
        line_text(out, op_keyspace_name(keyspace->name));
        line_text(out, ",");
        line_number(out, keyspace->ttl);
        line_text(out, ",");
        line_number(out, keyspace->threshold);
        line_text(out, ",");
        line_number(out, keyspace->versions_to_keep);
    }
    return true;
}

// --- everything that is there ---

static struct content content_of(const struct reference *ref, uint32_t keyspace)
{
    struct content content = {0};

    for (uint32_t key = 0; key < OP_KEYS; key++) {
        const struct ref_write *write = ref_newest(ref, keyspace, key, REF_NOW);

        if (!ref_is_absent(ref, write, ref_wall(ref)))
            content_add(&content, key, write->ordinal, write->value);
    }
    return content;
}

static bool check(const struct reference *ref, struct line *out)
{
    for (uint32_t ks = 0; ks < OP_KEYSPACES; ks++) {
        const uint32_t keyspace = ref_handle(ref, ks);
        struct content content;

        if (keyspace == REF_NO_KEYSPACE || ref_is_dropped(ref, keyspace, REF_NOW))
            continue;
        content = content_of(ref, keyspace);
        line_content(out, op_keyspace_name(ks), &content);
    }
    return true;
}

// --- upkeep ---

static bool compact(const struct reference *ref, const struct op *op, struct line *out)
{
    const uint32_t both = FLAG_HAS_LOWER | FLAG_HAS_UPPER;
    lsm_status status = LSM_OK;

    if (ref_handle(ref, op->field[F_KS]) == REF_NO_KEYSPACE)
        return false;
    if ((op->field[F_FLAGS] & both) == both &&
        slice_compare(op_place(op->field[F_KEY]), op_place(op->field[F_TO])) > 0)
        status = LSM_INVALID;
    line_status(out, status);
    return true;
}

static bool set_option(const struct op *op, struct line *out)
{
    const struct option_change *change = &option_changes[op->field[F_N] % option_change_count];

    line_status(out, change->status);
    if (change->status == LSM_OK) {
        line_text(out, " ");
        line_text(out, change->value);
    }
    return true;
}

// --- time ---

#define SECOND_NS INT64_C(1000000000)
#define DAY_NS    (86400 * SECOND_NS)

// Time passes. A clock that is wrong for an hour may be believed: what may be gone then, the
// reference does not know.
static bool pass(struct reference *ref, uint64_t ns)
{
    if (ref->clock_ns != 0 && ref->wrong_for_ns + ns >= 3000 * (uint64_t)SECOND_NS)
        return false;
    ref->wrong_for_ns += ns;
    ref->now_ns += ns;
    return true;
}

// Whether something that is past in truth, and so may be gone, would be seen again.
static bool would_show_expired(const struct reference *ref)
{
    for (size_t i = 0; i < ref->writes.count; i++) {
        const uint64_t expiry = ref->writes.items[i].expiry;

        if (expiry > ref_wall(ref) && expiry <= ref_true_wall(ref))
            return true;
    }
    return false;
}

static bool set_clock(struct reference *ref, const struct op *op, struct line *out)
{
    const int64_t before_ns = ref->clock_ns;
    const int64_t n = op->field[F_N];

    switch (op->field[F_STAMP] % CLOCK_COUNT) {
    case CLOCK_RIGHT:
        ref->clock_ns = 0;
        ref->wrong_for_ns = 0;
        break;
    case CLOCK_SECONDS_AHEAD:
        ref->clock_ns = n * SECOND_NS;
        break;
    case CLOCK_HOURS_AHEAD:
        ref->clock_ns = n % 24 * 3600 * SECOND_NS;
        break;
    case CLOCK_YEARS_AHEAD:
        ref->clock_ns = n * 365 * DAY_NS;
        break;
    case CLOCK_SECONDS_BEHIND:
        ref->clock_ns = -n * SECOND_NS;
        break;
    default:
        ref->clock_ns = -n * n * n * DAY_NS / 3;
        break;
    }
    if (would_show_expired(ref)) {
        ref->clock_ns = before_ns;
        return false;
    }
    line_status(out, LSM_OK);
    return true;
}

static bool crash(struct reference *ref, const struct op *op, struct line *out)
{
    if (ref->armed > 0)
        return false;
    ref_close_children(ref);
    ref_reopen_handles(ref);
    ref->armed = op->field[F_FLAGS];
    line_status(out, LSM_OK);
    return true;
}

static bool reopen(struct reference *ref, const struct op *op, struct line *out)
{
    if (!pass(ref, op->field[F_N] * (uint64_t)SECOND_NS))
        return false;
    if (ref_has_children(ref))
        line_text(out, "children "); // the engine refuses first
    ref_close_children(ref);
    ref_reopen_handles(ref);
    line_status(out, LSM_OK);
    return true;
}

bool reference_apply_upkeep(struct reference *ref, const struct op *op, struct line *out)
{
    switch (op->kind) {
    case OP_KEYSPACE_OPEN:
        return open_keyspace(ref, op, out);
    case OP_KEYSPACE_DROP:
        return drop_keyspace(ref, op, out);
    case OP_KEYSPACE_ALTER:
        return alter_keyspace(ref, op, out);
    case OP_KEYSPACE_LIST:
        return list_keyspaces(ref, out);
    case OP_COMPACT:
        return compact(ref, op, out);
    case OP_SET_OPTION:
        return set_option(op, out);
    case OP_READ_ONLY:
        return ref->armed == 0 && check(ref, out);
    case OP_CHECK:
        return check(ref, out);
    case OP_MISUSE:
        line_status(out, LSM_INVALID);
        return true;
    case OP_CRASH:
        return crash(ref, op, out);
    case OP_REOPEN:
        return reopen(ref, op, out);
    case OP_CLOCK:
        return set_clock(ref, op, out);
    case OP_ADVANCE:
        if (!pass(ref, op->field[F_N] * UINT64_C(1000000)))
            return false;
        break;
    case OP_SUSPEND:
        if (!pass(ref, op->field[F_N] * (uint64_t)SECOND_NS))
            return false;
        break;
    default: // changes nothing that can be seen
        break;
    }
    line_status(out, LSM_OK);
    return true;
}

#include "model/op_round.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"

struct run {
    struct subject subject;
    struct reference ref;
    struct line expected;
    struct line actual;
    struct round_result result;
    bool is_quiet;
    FILE *history;
};

static void print_line(FILE *to, const char *who, const struct line *line)
{
    fprintf(to, "    %s %.*s\n", who, (int)line->size, line->size == 0 ? "" : line->text);
}

static bool differ(struct run *run, const struct op *op, const char *words)
{
    char text[OP_TEXT_MAX];

    run->result.is_equal = false;
    if (run->is_quiet)
        return false;
    op_print(op, text);
    fprintf(stderr, "operation %zu, `%s`: %s\n", run->result.failed_op, text, words);
    print_line(stderr, "expected:", &run->expected);
    print_line(stderr, "actual:  ", &run->actual);
    fprintf(stderr, "    the last failure was: %s\n", lsm_errmsg());
    return false;
}

static void note_history(struct run *run, const struct op *op)
{
    char text[OP_TEXT_MAX];
    const struct line *line = &run->actual;

    run->result.history_hash =
        hash64(line->text == NULL ? "" : line->text, line->size, run->result.history_hash);
    if (run->history == NULL)
        return;
    op_print(op, text);
    fprintf(run->history, "%s ->", text);
    print_line(run->history, "", line);
}

// The power has gone during `op`, or after it. Whatever it was, it has been done afterwards.
static bool come_back(struct run *run, const struct op *op, bool is_applied)
{
    struct subject *s = &run->subject;
    const bool is_cut = is_applied && sim_has_crashed(s->sim);
    const bool is_commit = s->ts_count <= run->ref.ordinal && op->kind != OP_KEYSPACE_DROP;

    line_clear(&run->actual);
    if (!subject_recover(s, &run->ref, op, &run->actual))
        return differ(run, op, "recovery");
    line_clear(&run->actual);
    if (is_cut && !is_commit)
        subject_apply(s, &run->ref, op, &run->actual);
    else
        line_append(&run->actual, &run->expected);
    return true;
}

static bool run_op(struct run *run, const struct op *op, struct op_coverage *coverage)
{
    struct subject *s = &run->subject;
    const unsigned states = coverage == NULL ? 0 : coverage_states(s, &run->ref);
    bool is_applied;

    line_clear(&run->expected);
    line_clear(&run->actual);
    is_applied = reference_apply(&run->ref, op, &run->expected);
    if (is_applied) {
        if (coverage != NULL)
            coverage_note(coverage, op->kind, states);
        subject_apply(s, &run->ref, op, &run->actual);
        run->result.ops++;
    }
    if (subject_is_down(s, &run->ref) && !come_back(run, op, is_applied))
        return false;
    if (!is_applied)
        return true;
    note_history(run, op);
    return line_equal(&run->expected, &run->actual) || differ(run, op, "another answer");
}

// What is there at the end, and that it closes.
static bool finish(struct run *run)
{
    static const struct op last[] = {
        {.kind = OP_CHECK}, {.kind = OP_VERIFY}, {.kind = OP_CLOCK}, // right again
        {.kind = OP_CHECK}, {.kind = OP_REOPEN}, {.kind = OP_CHECK}};

    run->ref.armed = 0;
    run->subject.is_armed = false;
    sim_crash_at(run->subject.sim, 0);
    for (size_t i = 0; i < sizeof last / sizeof last[0]; i++) {
        if (!run_op(run, &last[i], NULL))
            return false;
    }
    return true;
}

struct round_result round_run(const struct op_list *list, enum ref_mistake mistake, bool is_quiet,
                              FILE *history, struct op_coverage *coverage)
{
    struct run *run = calloc(1, sizeof *run);
    struct round_result result;
    bool is_equal = true;

    if (run == NULL)
        abort();
    run->is_quiet = is_quiet;
    run->history = history;
    run->result.is_equal = subject_init(&run->subject, list);
    if (!run->result.is_equal)
        exit(1);
    reference_init(&run->ref, mistake);
    for (size_t i = 0; i < list->count && is_equal; i++) {
        run->result.failed_op = i;
        is_equal = run_op(run, &list->ops[i], coverage);
    }
    if (is_equal)
        (void)finish(run);
    run->result.crashes = run->subject.crashes;
    run->result.lost_commits = run->subject.lost_commits;
    run->result.busy = run->subject.busy;
    result = run->result;
    subject_release(&run->subject);
    reference_release(&run->ref);
    line_release(&run->expected);
    line_release(&run->actual);
    free(run);
    return result;
}

// --- in a process of its own ---

struct shared {
    struct round_result result;
    struct op_coverage coverage;
};

static void run_in_child(struct shared *shared, const struct op_list *list,
                         enum ref_mistake mistake, bool is_quiet, bool is_counted)
{
    if (is_quiet && freopen("/dev/null", "w", stderr) == NULL)
        _exit(2);
    shared->result =
        round_run(list, mistake, is_quiet, NULL, is_counted ? &shared->coverage : NULL);
    exit(0); // with a look at leaks, in a build that has one
}

struct round_result round_run_apart(const struct op_list *list, enum ref_mistake mistake,
                                    bool is_quiet, struct op_coverage *coverage)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct round_result result;
    int status = 0;
    pid_t child;

    if (shared == MAP_FAILED)
        abort();
    fflush(NULL);
    child = fork();
    if (child == 0)
        run_in_child(shared, list, mistake, is_quiet, coverage != NULL);
    if (child < 0 || waitpid(child, &status, 0) != child)
        abort();
    result = shared->result;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        result.is_equal = false;
    for (unsigned kind = 0; coverage != NULL && kind < OP_KIND_COUNT; kind++) {
        for (unsigned i = 0; i < STATE_COUNT; i++)
            coverage->cells[kind][i] += shared->coverage.cells[kind][i];
    }
    (void)munmap(shared, sizeof *shared);
    return result;
}

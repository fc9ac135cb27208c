// crash_judge.h -- whether what a crash left is what it should be.
//
// Of every moment of a run, and every way in which what was not synced may survive, the
// database must open by itself and hold a prefix of the commits that reaches at least as far as
// what was acknowledged as durable, or acknowledged at all when everything that was written
// survives. It is then written to, closed or crashed, opened and compared again.
//
// A *deep* image has its recovery crashed too, before every call of it that changes the disk,
// with nothing, everything and each prefix of what was not synced surviving, and a random part
// of it. A share of what these leave is crashed in its recovery again, here and there, up to
// three crashes in a row after the first.
//
// Of a share of the images, at any depth, a copy is opened with a read that fails, once or for
// ever: what it then holds is right, or the error is that of the read, and nothing is lost when
// it is opened again without.
//
// Equal images with equal knowledge are judged once. What is done to an image depends on the
// image and the seed of the round alone, and so does whether it is deep, so that a replay in
// which all are deep repeats what it has to.

#ifndef LSM_TESTS_CRASH_CRASH_JUDGE_H
#define LSM_TESTS_CRASH_CRASH_JUDGE_H

#include "crash_images.h"
#include "crash_workload.h"
#include "support/campaign.h"
#include "support/publish_check.h"

#define RECOVERIES_MAX 3 // crashed in a row

// Where a crash was, for the words.
struct place {
    uint64_t call;
    enum sim_op op;
    unsigned kind;
    struct survival survival;
};

struct judge {
    struct campaign *campaign; // borrowed
    uint64_t deep_share;       // of so many images one is deep
    uint64_t survival_share;   // of so many ways to survive, none and all apart, one is tried

    // Of the round.
    const struct workload *workload; // borrowed; its options are those of every process
    uint64_t seed;
    struct hash_set seen;
    uint64_t hash; // of all images in their order
    bool has_failed;

    // Of the image at hand.
    struct place path[RECOVERIES_MAX + 1];
    struct publish_check publish;

    // Of all rounds.
    uint64_t images;
    uint64_t distinct;
    uint64_t deep;
    uint64_t by_depth[RECOVERIES_MAX + 1]; // of the distinct ones
    uint64_t by_call[SIM_OPS][SIM_KINDS];
    uint64_t by_survival[SIM_SURVIVALS];
    uint64_t edits; // that the publish check has looked at
    uint64_t unlinks;
    uint64_t read_faults; // that hit something
    uint64_t read_errors; // that came out of it
};

void judge_begin_round(struct judge *judge, const struct workload *workload, uint64_t seed);
// Tells a violation, if there is one, and looks no further in this round then.
void judge_moments(struct judge *judge, const struct moments *moments);
void judge_end_round(struct judge *judge);

// Ends the publish check of the process at hand; LSM_CORRUPT in words if it saw anything.
lsm_status judge_stop_publish_check(struct judge *judge, struct sim *sim);

void judge_print(const struct judge *judge);

#endif

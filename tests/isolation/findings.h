// findings.h -- what a check of a history found wrong, by the names of the literature.
//
// G0 to G2 are Adya's ("Weak Consistency: A Generalized Theory", 1999), as Elle uses them; a
// cycle that needs the order of real time to close bears "-realtime".

#ifndef LSM_TESTS_ISOLATION_FINDINGS_H
#define LSM_TESTS_ISOLATION_FINDINGS_H

#include <stddef.h>
#include <stdint.h>

enum anomaly {
    ANOMALY_G0,           // a cycle of overwriting
    ANOMALY_G1A,          // read what was rolled back
    ANOMALY_G1B,          // read what its writer then overwrote
    ANOMALY_G1C,          // a cycle of overwriting and reading
    ANOMALY_G_SINGLE,     // a cycle with one read of what was overwritten (read skew)
    ANOMALY_G2_ITEM,      // one with several (write skew)
    ANOMALY_G2,           // one with several, among them of what a range did not hold
    ANOMALY_LOST_UPDATE,  // two transactions read one version and both overwrote it
    ANOMALY_DIRTY_UPDATE, // what was rolled back was built upon
    ANOMALY_INTERNAL,     // a transaction contradicts itself
    ANOMALY_DUPLICATE,    // one write shows, or was told, twice
    ANOMALY_GARBAGE,      // read what nobody wrote
    ANOMALY_ORDER,        // two reads of a list that no order of appends explains
    ANOMALY_TIMESTAMP,    // commit timestamps that do not fit each other
    ANOMALY_G0_REALTIME,
    ANOMALY_G1C_REALTIME,
    ANOMALY_G_SINGLE_REALTIME,
    ANOMALY_G2_ITEM_REALTIME,
    ANOMALY_G2_REALTIME,
    ANOMALY_NOT_LINEAR, // one key by itself
    ANOMALY_KINDS,
};

#define FINDINGS_TOLD_MAX 8

struct findings {
    uint64_t counts[ANOMALY_KINDS];
    uint64_t total;
    char told[FINDINGS_TOLD_MAX][768]; // the first ones, in words
};

const char *anomaly_name(enum anomaly anomaly);

void findings_add(struct findings *findings, enum anomaly anomaly, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

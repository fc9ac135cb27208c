#include "isolation/findings.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const names[ANOMALY_KINDS] = {
    [ANOMALY_G0] = "G0",
    [ANOMALY_G1A] = "G1a",
    [ANOMALY_G1B] = "G1b",
    [ANOMALY_G1C] = "G1c",
    [ANOMALY_G_SINGLE] = "G-single",
    [ANOMALY_G2_ITEM] = "G2-item",
    [ANOMALY_G2] = "G2",
    [ANOMALY_LOST_UPDATE] = "lost update",
    [ANOMALY_DIRTY_UPDATE] = "dirty update",
    [ANOMALY_INTERNAL] = "internal",
    [ANOMALY_DUPLICATE] = "duplicate",
    [ANOMALY_GARBAGE] = "garbage",
    [ANOMALY_ORDER] = "incompatible order",
    [ANOMALY_TIMESTAMP] = "timestamp",
    [ANOMALY_G0_REALTIME] = "G0-realtime",
    [ANOMALY_G1C_REALTIME] = "G1c-realtime",
    [ANOMALY_G_SINGLE_REALTIME] = "G-single-realtime",
    [ANOMALY_G2_ITEM_REALTIME] = "G2-item-realtime",
    [ANOMALY_G2_REALTIME] = "G2-realtime",
    [ANOMALY_NOT_LINEAR] = "not linearizable",
};

const char *anomaly_name(enum anomaly anomaly)
{
    return names[anomaly];
}

void findings_add(struct findings *findings, enum anomaly anomaly, const char *format, ...)
{
    findings->counts[anomaly]++;
    if (findings->total < FINDINGS_TOLD_MAX) {
        char *told = findings->told[findings->total];
        const size_t room = sizeof findings->told[0];
        const int size = snprintf(told, room, "%s: ", names[anomaly]);
        va_list args;

        va_start(args, format);
        (void)vsnprintf(told + size, room - (size_t)size, format, args);
        va_end(args);
    }
    findings->total++;
}

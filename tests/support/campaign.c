#include "support/campaign.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static _Noreturn void show_usage(const char *name)
{
    fprintf(stderr, "usage: %s [--seed N] [--seconds N | --rounds N] [--thin N] [--round N]\n",
            name);
    exit(2);
}

static uint64_t number_of(const char *name, const char *text)
{
    char *end = NULL;
    uint64_t number = text == NULL ? 0 : strtoull(text, &end, 0);

    if (text == NULL || end == text || *end != '\0')
        show_usage(name);
    return number;
}

static void take_option(struct campaign *campaign, const char *option, const char *text)
{
    const uint64_t number = number_of(campaign->name, text);

    if (strcmp(option, "--seed") == 0) {
        campaign->seed = number;
    } else if (strcmp(option, "--seconds") == 0) {
        campaign->rounds_max = 0;
        campaign->deadline_ns = now_ns() + number * 1000000000u;
    } else if (strcmp(option, "--rounds") == 0) {
        campaign->rounds_max = number;
    } else if (strcmp(option, "--thin") == 0 && number > 0) {
        campaign->thin = number;
    } else if (strcmp(option, "--round") == 0) {
        campaign->round = number;
        campaign->rounds_max = number + 1;
        campaign->is_replay = true;
    } else {
        show_usage(campaign->name);
    }
}

struct campaign campaign_begin(const char *name, uint64_t rounds, int argc, char **argv)
{
    struct campaign campaign = {
        .name = name,
        .seed = random_for_test(name).state,
        .rounds_max = rounds,
        .thin = 1,
    };

    for (int i = 1; i < argc; i += 2)
        take_option(&campaign, argv[i], argv[i + 1]); // argv ends with NULL
    return campaign;
}

bool campaign_next(struct campaign *campaign, struct random *random)
{
    struct random mixed;

    if (campaign->has_begun)
        campaign->round++;
    campaign->has_begun = true;
    if (campaign->rounds_max != 0 && campaign->round >= campaign->rounds_max)
        return false;
    if (campaign->deadline_ns != 0 && now_ns() >= campaign->deadline_ns)
        return false;
    mixed.state = campaign->seed ^ (campaign->round * 0xD1342543DE82EF95u);
    random->state = random_next(&mixed);
    return true;
}

void campaign_violation(struct campaign *campaign, const char *format, ...)
{
    va_list args;

    campaign->violations++;
    fprintf(stderr, "%s: VIOLATION: ", campaign->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n    replay: %s --seed %" PRIu64 " --round %" PRIu64 "\n", campaign->name,
            campaign->seed, campaign->round);
}

int campaign_end(const struct campaign *campaign, uint64_t count, const char *unit)
{
    printf("campaign %s: %" PRIu64 " %s, %" PRIu64 " violations, seed %" PRIu64 "\n",
           campaign->name, count, unit, campaign->violations, campaign->seed);
    return campaign->violations == 0 ? 0 : 1;
}

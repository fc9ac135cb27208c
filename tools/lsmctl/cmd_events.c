// cmd_events.c -- what the engine did, by its event log.

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "event_reader.h"

#define FOLLOW_PERIOD_MS 200
#define NAME_WIDTH       16

struct events_settings {
    bool follow;
    bool local;
    const char *since;
};

static const struct flag events_flags[] = {
    {"follow", 'f', NULL, "Go on as events happen, across rotation", FLAG_BOOL,
     offsetof(struct events_settings, follow)},
    {"since", 's', "WHEN", "From then on: 90s, 10m, 2h or 7d ago, or a time in UTC", FLAG_TEXT,
     offsetof(struct events_settings, since)},
    {"local", 0, NULL, "Show times in the local zone, not in UTC", FLAG_BOOL,
     offsetof(struct events_settings, local)},
    {0},
};

struct events {
    const struct tool *tool;
    uint64_t since_ns;
    bool is_wanted; // the event before, and with it what is no event
    struct event event;
};

// --- since when ---

// "10m": so long ago.
static bool parse_ago(const char *text, uint64_t *since_ns)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    const size_t digits = strspn(text, "0123456789");
    const uint64_t number = strtoull(text, NULL, 10);
    struct timespec now;
    uint64_t seconds;

    if (digits == 0 || digits > 9 || text[digits] == '\0' || text[digits + 1] != '\0')
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (text[digits] != units[i].unit)
            continue;
        seconds = number * units[i].seconds;
        *since_ns = seconds >= (uint64_t)now.tv_sec
                        ? 0
                        : ((uint64_t)now.tv_sec - seconds) * 1000000000 + (uint64_t)now.tv_nsec;
        return true;
    }
    return false;
}

// A time as events show it, or the beginning of one from the day on.
static bool parse_time(const char *text, uint64_t *since_ns)
{
    char whole[] = "0000-00-00T00:00:00.000Z";
    size_t size = strlen(text);

    if (size > 4 && strcmp(text + size - 4, " UTC") == 0)
        size -= 4;
    if (size < strlen("0000-00-00") || size >= sizeof whole)
        return false;
    memcpy(whole, text, size);
    if (size > 10 && whole[10] == ' ')
        whole[10] = 'T';
    whole[sizeof whole - 2] = 'Z';
    if (size == strlen("0000-00-00T00:00:00Z"))
        whole[19] = '.';
    return event_time_parse(slice_of(whole), since_ns);
}

// --- for people ---

enum unit { UNIT_NONE, UNIT_BYTES, UNIT_COUNT, UNIT_US };

static const struct label {
    const char *key;
    const char *label;
    enum unit unit;
} labels[] = {
    {"bytes", "size", UNIT_BYTES},
    {"size", "size", UNIT_BYTES},
    {"read_bytes", "read", UNIT_BYTES},
    {"written_bytes", "written", UNIT_BYTES},
    {"replay_offset", "offset", UNIT_BYTES},
    {"entries", "entries", UNIT_COUNT},
    {"dropped", "dropped", UNIT_COUNT},
    {"of", "of", UNIT_COUNT},
    {"expected", "expected", UNIT_COUNT},
    {"files", "files", UNIT_COUNT},
    {"memtables", "memtables", UNIT_COUNT},
    {"us", "took", UNIT_US},
    {"replay_segment", "replay from segment", UNIT_NONE},
};

static void print_value(lsm_slice value, enum unit unit)
{
    uint64_t number;

    if (unit == UNIT_NONE || !event_value_number(value, &number))
        print_bytes(value, false);
    else if (unit == UNIT_BYTES)
        fputs(human_bytes(number).text, stdout);
    else if (unit == UNIT_COUNT)
        fputs(human_count(number).text, stdout);
    else
        fputs(human_ns(number * 1000).text, stdout);
}

static void print_pair(const struct event_pair *pair)
{
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        if (slice_equal(pair->key, slice_of(labels[i].key))) {
            printf("%s ", labels[i].label);
            print_value(pair->value, labels[i].unit);
            return;
        }
    }
    print_bytes(pair->key, false);
    if (pair->key.size > 0 && pair->value.size > 0)
        putchar(' ');
    print_bytes(pair->value, false);
}

// Says in words what holds writers back from now on.
static bool print_stall(const struct event *event)
{
    const lsm_slice *cause = event_find(event, "cause");

    if (!slice_equal(event->name, slice_of("stall")) || cause == NULL)
        return false;
    if (slice_equal(*cause, slice_of("none"))) {
        fputs("over: writers go on unhindered", stdout);
        return true;
    }
    printf("writers %s by ", event_number(event, "stopped") != 0 ? "stopped" : "slowed");
    print_bytes(*cause, false);
    if (event_number(event, "stopped") == 0)
        printf(", %s per KiB", human_ns(event_number(event, "ns_per_kib")).text);
    return true;
}

static enum colour event_colour(const struct event *event)
{
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)event->name.size, (const char *)event->name.data);
    if (strcmp(name, "error") == 0 || strstr(name, "fail") != NULL || strstr(name, "lost") != NULL)
        return COLOUR_RED;
    return strcmp(name, "stall") == 0 ? COLOUR_YELLOW : COLOUR_BOLD;
}

static void print_time(uint64_t wall_ns, bool is_local)
{
    const time_t seconds = (time_t)(wall_ns / 1000000000);
    char date[40] = "", zone[16] = "UTC";
    struct tm tm;

    if ((is_local ? localtime_r(&seconds, &tm) : gmtime_r(&seconds, &tm)) != NULL) {
        strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &tm);
        if (is_local)
            strftime(zone, sizeof zone, "%z", &tm);
    }
    printf("%s.%03u %s", date, (unsigned)(wall_ns / 1000000 % 1000), zone);
}

static void print_event(const struct event *event, bool is_local)
{
    const enum colour hue = event_colour(event);

    print_time(event->wall_ns, is_local);
    printf("  %s", colour(stdout, hue));
    print_bytes(event->name, false);
    fputs(colour(stdout, COLOUR_NONE), stdout);
    if (event->pair_count > 0)
        printf("%*s", event->name.size < NAME_WIDTH ? NAME_WIDTH - (int)event->name.size : 1, "");
    if (!print_stall(event)) {
        for (size_t i = 0; i < event->pair_count; i++) {
            fputs(i == 0 ? "" : ", ", stdout);
            print_pair(&event->pairs[i]);
        }
    }
    putchar('\n');
}

// --- for programs ---

static void print_event_json(const struct event *event)
{
    cJSON *object = json_object();
    cJSON *values = json_object();
    CLEANUP(lsm_buf_free) lsm_buf key = LSM_BUF_INIT;
    uint64_t number;

    json_add_u64(object, "time_ns", event->wall_ns);
    json_add_bytes(object, "event", event->name, false);
    for (size_t i = 0; i < event->pair_count; i++) {
        key.size = 0;
        text_escape(event->pairs[i].key, &key);
        must(buf_append_u8(&key, 0));
        if (event_value_number(event->pairs[i].value, &number))
            json_add_u64(values, key.data, number);
        else
            json_add_bytes(values, key.data, event->pairs[i].value, false);
    }
    cJSON_AddItemToObject(object, "values", values);
    json_print(object);
}

static void print_other(const struct tool *tool, lsm_slice line)
{
    cJSON *object;

    if (tool->json) {
        object = json_object();
        json_add_bytes(object, "line", line, false);
        json_print(object);
        return;
    }
    print_bytes(line, false);
    putchar('\n');
}

// --- the command ---

// event_line_fn. What is no event is shown as it is, behind the event that it follows.
static lsm_status show_line(void *ctx, lsm_slice line)
{
    struct events *events = ctx;
    const struct events_settings *settings = events->tool->settings;
    const bool is_event = event_parse(line, &events->event);

    if (is_event)
        events->is_wanted = events->event.wall_ns >= events->since_ns;
    if (!events->is_wanted)
        return LSM_OK;
    if (!is_event)
        print_other(events->tool, line);
    else if (events->tool->json)
        print_event_json(&events->event);
    else
        print_event(&events->event, settings->local);
    return ferror(stdout) ? output_flush() : LSM_OK;
}

// Waits a while; false when nobody reads the output any more.
static bool wait_for_more(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO};

    return poll(&output, 1, FOLLOW_PERIOD_MS) <= 0 || (output.revents & (POLLERR | POLLHUP)) == 0;
}

static lsm_status follow(struct event_reader *reader, struct events *events)
{
    do {
        TRY(event_reader_read(reader, show_line, events));
        TRY(output_flush());
    } while (wait_for_more());
    return LSM_OK;
}

static lsm_status show(struct event_reader *reader, struct events *events)
{
    const struct events_settings *settings = events->tool->settings;

    if (settings->follow)
        return follow(reader, events);
    TRY(event_reader_read(reader, show_line, events));
    if (reader->old < 0 && reader->current < 0)
        return lsm_fail(
            LSM_NOT_FOUND,
            "%s: there is no EVENTS.log; one is kept from the next open for writing on, "
            "unless the option events_size_max is 0",
            reader->database);
    if (reader->size > 0) // the last line is not whole, and nobody may ever end it
        return show_line(events, slice_make(reader->line, reader->size));
    return LSM_OK;
}

static lsm_status run_events(struct tool *tool)
{
    const struct events_settings *settings = tool->settings;
    struct event_reader *reader = must_alloc(1, sizeof *reader);
    struct events *events = must_alloc(1, sizeof *events);
    lsm_status status;

    events->tool = tool;
    events->is_wanted = settings->since == NULL;
    if (settings->since != NULL && !parse_ago(settings->since, &events->since_ns) &&
        !parse_time(settings->since, &events->since_ns)) {
        status = usage_error(tool, "--since: '%s' is no time: 90s, 10m, 2h, 7d, or %s",
                             settings->since, "2026-01-31T23:59:59Z or the beginning of it");
    } else {
        status = event_reader_open(tool->operands[0], reader);
        if (status == LSM_OK) {
            status = show(reader, events);
            event_reader_close(reader);
        }
    }
    free(reader);
    free(events);
    return status;
}

const struct command event_commands[] = {
    {.name = "events",
     .group = "Look",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "What the engine did: stalls, flushes, merges, errors, with times",
     .details =
         "Reads EVENTS.log.1 and EVENTS.log in the directory of the database, to which each open\n"
         "for writing adds, and nothing else: it works beside a process that writes. With --json\n"
         "an object a line, values by the names that they have in the file.\n\n"
         "  open, close        by a process that writes; status is of the close\n"
         "  stall              from here on writers are slowed or stopped: by memtable (flushes\n"
         "                     do not keep up), level0 or debt (merges do not), log (too much to\n"
         "                     replay); or it is over\n"
         "  flush              a memtable became a table: entries kept of those it had\n"
         "  merge, move        tables went to a deeper level: rewritten, or as they are\n"
         "  error              a background job failed, and is tried again\n"
         "  sync_failed, segment_upkeep_failed, manifest_append_failed, log_not_settled,\n"
         "  log_not_shortened, segment_not_cut, merge_lost_entries, options_not_saved\n"
         "                     what failed, and why\n"
         "  clock_ahead, clock_behind, clock_agrees\n"
         "                     the system's clock and what the database knows of the time part by\n"
         "                     a minute or more, or agree again\n"
         "  manifest_started, segment_cut, orphan_removed, orphans_removed, keyspace_create,\n"
         "  keyspace_drop, option_changed\n"
         "                     what was done\n\n"
         "Examples:\n"
         "  lsmctl events people --since 10m\n"
         "  lsmctl events people -f\n"
         "  lsmctl events people --json | jq 'select(.event == \"stall\")'\n",
     .flags = events_flags,
     .settings_size = sizeof(struct events_settings),
     .run = run_events},
    {0},
};

#include "dpkg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "show.h"

#define DPKG_STATUS "/var/lib/dpkg/status"
#define DPKG_INFO   "/var/lib/dpkg/info"

static void *grow(void *array, size_t count, size_t size)
{
    // Doubles at each power of two.
    if ((count & (count - 1)) == 0)
        array = reallocarray(array, count == 0 ? 1 : 2 * count, size);
    if (array == NULL)
        give_up(LSM_OK, "out of memory");
    return array;
}

// The file's bytes and a zero; NULL when there is no such file.
static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    struct stat st;
    char *text;
    size_t size;

    if (file == NULL)
        return NULL;
    if (fstat(fileno(file), &st) != 0 || (text = malloc((size_t)st.st_size + 1)) == NULL)
        give_up(LSM_OK, "%s: %s", path, strerror(errno));
    size = fread(text, 1, (size_t)st.st_size, file);
    text[size] = '\0';
    (void)fclose(file); // it was only read
    return text;
}

// The value of a field of a stanza, "" when it has none; `size` bytes at `*value`.
static size_t field(const char *stanza, const char *name, const char **value)
{
    size_t length = strlen(name);

    for (const char *line = stanza; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (strncmp(line, name, length) == 0 && strncmp(line + length, ": ", 2) == 0) {
            *value = line + length + 2;
            return strcspn(*value, "\n");
        }
        if (strchr(line, '\n') == NULL)
            break;
    }
    *value = "";
    return 0;
}

static void read_paths(struct package *package)
{
    char path[1024];
    char *rest, *line;

    snprintf(path, sizeof path, DPKG_INFO "/%s.list", package->name);
    rest = read_text(path);
    while (rest != NULL && (line = strsep(&rest, "\n")) != NULL) {
        if (line[0] != '/' || strcmp(line, "/.") == 0)
            continue;
        package->paths = grow(package->paths, package->path_count, sizeof *package->paths);
        package->paths[package->path_count++] = line;
    }
}

static struct package parse_package(const char *stanza)
{
    struct package package = {.stanza = stanza, .stanza_size = strlen(stanza)};
    const char *name, *architecture, *multi;
    size_t name_size = field(stanza, "Package", &name);
    size_t architecture_size = field(stanza, "Architecture", &architecture);
    bool is_same = field(stanza, "Multi-Arch", &multi) == 4 && strncmp(multi, "same", 4) == 0;
    char *key = NULL;

    if (asprintf(&key, "%.*s%s%.*s", (int)name_size, name, is_same ? ":" : "",
                 is_same ? (int)architecture_size : 0, architecture) < 0)
        give_up(LSM_OK, "out of memory");
    package.name = key;
    read_paths(&package);
    return package;
}

struct packages dpkg_read(void)
{
    struct packages packages = {0};
    char *stanza = read_text(DPKG_STATUS);

    if (stanza == NULL)
        give_up(LSM_OK, "%s: %s; the quickstart needs a Debian machine", DPKG_STATUS,
                strerror(errno));
    while (stanza != NULL && *stanza != '\0') {
        char *end = strstr(stanza, "\n\n");

        if (end != NULL)
            end[1] = '\0'; // the stanza keeps its last line feed
        packages.items = grow(packages.items, packages.count, sizeof *packages.items);
        packages.items[packages.count] = parse_package(stanza);
        packages.path_count += packages.items[packages.count++].path_count;
        stanza = end == NULL ? NULL : end + 2;
    }
    return packages;
}

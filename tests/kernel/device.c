#include "kernel/device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS_MAX    (UINT64_C(1) << 20)
#define DATA_SIZE_MAX  (UINT64_C(2) << 30) // reserved, not used
#define WRITE_SIZE_MAX (UINT32_C(128) << 10)
#define REQUEST_MAX    (WRITE_SIZE_MAX + 4096)
#define HELD_UP_US     2000         // how long it looks away
#define FILE_NODE      FUSE_ROOT_ID // the mount is one file

static void *shared_memory(uint64_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        perror("memory for a log of writes");
        exit(1);
    }
    return memory;
}

// --- the server ---

struct server {
    struct device_log *log;
    _Atomic uint64_t *position;
    int fuse;
    int image;
    uint64_t size;     // of the image
    uint64_t last_end; // of the last write
    struct random random;
    uint8_t request[REQUEST_MAX];
    uint8_t bytes[REQUEST_MAX];
};

static void answer(struct server *server, uint64_t unique, int error, const void *data, size_t size)
{
    struct fuse_out_header header = {
        .len = (uint32_t)(sizeof header + size), .error = -error, .unique = unique};
    const struct iovec parts[] = {{&header, sizeof header}, {(void *)data, size}};

    // A request that was interrupted takes no answer.
    (void)!writev(server->fuse, parts, size == 0 ? 1 : 2);
}

static void append_record(struct server *server, uint64_t offset, const void *bytes, uint32_t size)
{
    struct device_log *log = server->log;
    const uint64_t count = atomic_load(&log->count);

    if (count == RECORDS_MAX || log->data_size + size > DATA_SIZE_MAX) {
        atomic_store(&log->is_full, true);
        return;
    }
    log->records[count] = (struct device_record){offset, log->data_size, size};
    if (size > 0)
        memcpy(log->data + log->data_size, bytes, size);
    log->data_size += size;
    atomic_store(&log->count, count + 1);
    atomic_store(server->position, count + 1);
}

static void serve_init(struct server *server, uint64_t unique, const struct fuse_init_in *in)
{
    const struct fuse_init_out out = {
        .major = FUSE_KERNEL_VERSION,
        .minor = FUSE_KERNEL_MINOR_VERSION < in->minor ? FUSE_KERNEL_MINOR_VERSION : in->minor,
        .max_readahead = in->max_readahead,
        .flags = FUSE_BIG_WRITES | FUSE_MAX_PAGES,
        .max_write = WRITE_SIZE_MAX,
        .max_pages = WRITE_SIZE_MAX / 4096,
        .time_gran = 1,
    };

    answer(server, unique, 0, &out, sizeof out);
}

static void serve_attributes(struct server *server, uint64_t unique)
{
    const struct fuse_attr_out out = {.attr_valid = 3600,
                                      .attr = {.ino = FILE_NODE,
                                               .size = server->size,
                                               .blocks = server->size / SECTOR_SIZE,
                                               .mode = S_IFREG | 0600,
                                               .nlink = 1,
                                               .blksize = 4096}};

    answer(server, unique, 0, &out, sizeof out);
}

static void serve_read(struct server *server, uint64_t unique, const struct fuse_read_in *in)
{
    const size_t size = in->size < sizeof server->bytes ? in->size : sizeof server->bytes;
    const ssize_t got = pread(server->image, server->bytes, size, (off_t)in->offset);

    answer(server, unique, got < 0 ? errno : 0, server->bytes, got < 0 ? 0 : (size_t)got);
}

static bool is_failing(struct server *server, uint64_t offset)
{
    struct device_log *log = server->log;

    if (atomic_load(&log->count) >= atomic_load(&log->fails_from) && offset != server->last_end)
        atomic_store(&log->is_failing, true);
    return atomic_load(&log->is_failing);
}

// How long a disk with a full cache, or one that remaps sectors, may take.
static void take_time(struct server *server)
{
    const uint64_t dice = random_below(&server->random, 100);
    const uint64_t ms_max = dice == 0 ? 500 : dice < 10 ? 100 : 16;

    (void)usleep((useconds_t)(1000 + random_below(&server->random, ms_max * 1000)));
}

static void wait_until_answered(struct server *server)
{
    struct device_log *log = server->log;

    if (atomic_load(&log->is_slow))
        take_time(server);
    while (atomic_load(&log->is_hung)) {
        atomic_store(&log->is_held_up, true);
        (void)usleep(HELD_UP_US);
    }
    atomic_store(&log->is_held_up, false);
}

static void serve_write(struct server *server, uint64_t unique, const struct fuse_write_in *in)
{
    const struct fuse_write_out out = {.size = in->size};

    if (is_failing(server, in->offset) ||
        pwrite(server->image, in + 1, in->size, (off_t)in->offset) != (ssize_t)in->size) {
        answer(server, unique, EIO, NULL, 0);
        return;
    }
    server->last_end = in->offset + in->size;
    append_record(server, in->offset, in + 1, in->size);
    answer(server, unique, 0, &out, sizeof out);
}

static void serve_flush(struct server *server, uint64_t unique)
{
    const bool is_lost = atomic_load(&server->log->is_failing);

    if (!is_lost)
        append_record(server, 0, NULL, 0);
    answer(server, unique, is_lost ? EIO : 0, NULL, 0);
}

static void serve(struct server *server)
{
    const struct fuse_in_header *header = (const void *)server->request;
    const void *body = header + 1;
    const struct fuse_open_out opened = {.open_flags = FOPEN_KEEP_CACHE};

    switch (header->opcode) {
    case FUSE_INIT:
        serve_init(server, header->unique, body);
        break;
    case FUSE_GETATTR:
    case FUSE_SETATTR:
        serve_attributes(server, header->unique);
        break;
    case FUSE_OPEN:
        answer(server, header->unique, 0, &opened, sizeof opened);
        break;
    case FUSE_READ:
        serve_read(server, header->unique, body);
        break;
    case FUSE_WRITE:
        wait_until_answered(server);
        serve_write(server, header->unique, body);
        break;
    case FUSE_FSYNC:
        wait_until_answered(server);
        serve_flush(server, header->unique);
        break;
    case FUSE_FLUSH:
    case FUSE_RELEASE:
        answer(server, header->unique, 0, NULL, 0);
        break;
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
        break; // take no answer
    default:
        answer(server, header->unique, ENOSYS, NULL, 0);
    }
}

static _Noreturn void serve_until_unmounted(struct server *server)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        const ssize_t got = read(server->fuse, server->request, sizeof server->request);

        if (got < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
            continue;
        if (got < 0)
            _exit(errno == ENODEV ? 0 : 1);
        serve(server);
    }
}

// --- starting and stopping ---

static bool server_open(struct server *server, const char *image)
{
    struct stat what;

    server->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    server->image = open(image, O_RDWR | O_CLOEXEC);
    if (server->fuse < 0 || server->image < 0 || fstat(server->image, &what) != 0)
        return false;
    server->size = (uint64_t)what.st_size;
    return true;
}

static void server_free(struct server *server)
{
    if (server->fuse >= 0)
        (void)close(server->fuse);
    if (server->image >= 0)
        (void)close(server->image);
    free(server);
}

static struct device_log *log_new(void)
{
    struct device_log *log = shared_memory(sizeof *log);

    log->records = shared_memory(RECORDS_MAX * sizeof *log->records);
    log->data = shared_memory(DATA_SIZE_MAX);
    log->fails_from = UINT64_MAX;
    return log;
}

bool device_start(struct device *device, const char *image, const char *path,
                  _Atomic uint64_t *position)
{
    struct server *server = calloc(1, sizeof *server);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char options[128];
    bool is_mounted;

    if (fd < 0 || server == NULL)
        return false;
    (void)close(fd);
    server->fuse = server->image = -1;
    is_mounted = server_open(server, image);
    (void)snprintf(options, sizeof options, "fd=%d,rootmode=100600,user_id=0,group_id=0",
                   server->fuse);
    is_mounted = is_mounted && mount("lsmkv-kernel", path, "fuse", 0, options) == 0;
    if (!is_mounted) {
        server_free(server);
        return false;
    }
    device->log = server->log = log_new();
    server->position = position;
    device->server = fork();
    if (device->server == 0)
        serve_until_unmounted(server);
    server_free(server);
    return device->server > 0;
}

void device_fail_after(struct device *device, uint64_t records)
{
    atomic_store(&device->log->fails_from, atomic_load(&device->log->count) + records);
}

void device_slow_down(struct device *device)
{
    atomic_store(&device->log->is_slow, true);
}

void device_hang(struct device *device)
{
    atomic_store(&device->log->is_hung, true);
}

bool device_is_held_up(const struct device *device)
{
    return atomic_load(&device->log->is_held_up);
}

void device_go_on(struct device *device)
{
    atomic_store(&device->log->is_hung, false);
}

void device_stop(struct device *device, const char *path)
{
    (void)umount2(path, MNT_DETACH);
    (void)kill(device->server, SIGKILL);
    (void)waitpid(device->server, NULL, 0);
}

void device_free(struct device *device)
{
    (void)munmap(device->log->records, RECORDS_MAX * sizeof *device->log->records);
    (void)munmap(device->log->data, DATA_SIZE_MAX);
    (void)munmap(device->log, sizeof *device->log);
    device->log = NULL;
}

// --- images ---

uint64_t device_next_flush(const struct device_log *log, uint64_t from)
{
    const uint64_t count = atomic_load(&log->count);

    while (from < count && log->records[from].size != 0)
        from++;
    return from;
}

static void put(const struct device_log *log, int fd, const struct device_record *record,
                uint32_t from, uint32_t size)
{
    if (pwrite(fd, log->data + record->data + from, size, (off_t)(record->offset + from)) !=
        (ssize_t)size) {
        perror("writing an image");
        exit(1);
    }
}

void device_apply(const struct device_log *log, int fd, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        if (log->records[i].size > 0)
            put(log, fd, &log->records[i], 0, log->records[i].size);
    }
}

static void put_some_sectors(const struct device_log *log, int fd,
                             const struct device_record *record, uint32_t sector_size,
                             struct random *random)
{
    for (uint32_t at = 0; at < record->size; at += sector_size) {
        const uint32_t left = record->size - at;

        if (random_one_in(random, 2))
            put(log, fd, record, at, left < sector_size ? left : sector_size);
    }
}

void device_apply_some(const struct device_log *log, int fd, uint64_t from, uint64_t to,
                       uint32_t sector_size, struct random *random)
{
    // How much survives, and how much of that is torn, differs from cut to cut.
    const uint64_t kept_of_8 = random_below(random, 9);
    const uint64_t torn_of_8 = random_one_in(random, 2) ? 0 : random_below(random, 9);

    for (uint64_t i = from; i < to; i++) {
        if (log->records[i].size == 0 || random_below(random, 8) >= kept_of_8)
            continue;
        if (random_below(random, 8) < torn_of_8)
            put_some_sectors(log, fd, &log->records[i], sector_size, random);
        else
            put(log, fd, &log->records[i], 0, log->records[i].size);
    }
}

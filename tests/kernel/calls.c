#include "kernel/calls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "which machine is this to a seccomp filter?"
#endif

// The first argument of each is a descriptor.
static const int watched[] = {
    SYS_openat,    SYS_pread64,   SYS_pwritev,  SYS_fdatasync, SYS_fsync,
    SYS_fallocate, SYS_ftruncate, SYS_unlinkat, SYS_renameat,  SYS_close,
};

#define WATCHED_COUNT (sizeof watched / sizeof watched[0])

void calls_fail(struct calls *calls, const struct call_fault *fault)
{
    atomic_store(&calls->fault, NULL);
    atomic_store(&calls->seen, 0);
    atomic_store(&calls->failed, 0);
    atomic_store(&calls->fault, fault);
}

// --- the process under test ---

// Asks the listener about each watched call. Returns its descriptor, or -1.
static int filter_calls(void)
{
    struct sock_filter program[WATCHED_COUNT + 6];
    struct sock_fprog whole = {.filter = program};
    unsigned short n = 0;

    program[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    program[n++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < WATCHED_COUNT; i++) {
        const uint8_t to_asking = (uint8_t)(WATCHED_COUNT - i);

        program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)watched[i],
                                                    to_asking, 0);
    }
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    whole.len = n;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                        &whole);
}

// A message of one byte, with a descriptor.
struct parcel {
    char byte;
    struct iovec io;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    struct msghdr message;
};

static void parcel_init(struct parcel *parcel)
{
    memset(parcel, 0, sizeof *parcel);
    parcel->io = (struct iovec){&parcel->byte, 1};
    parcel->message = (struct msghdr){.msg_iov = &parcel->io,
                                      .msg_iovlen = 1,
                                      .msg_control = parcel->control,
                                      .msg_controllen = sizeof parcel->control};
}

static bool send_descriptor(int socket, int fd)
{
    struct parcel parcel;
    struct cmsghdr *header;

    parcel_init(&parcel);
    header = CMSG_FIRSTHDR(&parcel.message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return sendmsg(socket, &parcel.message, 0) == 1;
}

// -1 when the sender has gone without sending any.
static int receive_descriptor(int socket)
{
    struct parcel parcel;
    int fd = -1;

    parcel_init(&parcel);
    if (recvmsg(socket, &parcel.message, MSG_CMSG_CLOEXEC) == 1 &&
        CMSG_FIRSTHDR(&parcel.message) != NULL)
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&parcel.message)), sizeof fd);
    return fd;
}

static _Noreturn void run_body(struct scene *scene, struct calls *calls, int socket,
                               bool (*body)(struct scene *scene, struct calls *calls))
{
    const int listener = filter_calls();

    if (listener < 0 || !send_descriptor(socket, listener))
        _exit(EXIT_SKIPPED);
    (void)close(listener);
    (void)close(socket);
    _exit(body(scene, calls) ? 0 : 1);
}

// --- the process that answers ---

static bool is_meant(const struct calls *calls, const struct call_fault *fault,
                     const struct seccomp_notif *call)
{
    char link[64], path[2 * PATH_MAX_HERE];
    const size_t root = strlen(calls->root), suffix = strlen(fault->suffix);
    ssize_t size;

    if (call->data.nr != fault->number)
        return false;
    (void)snprintf(link, sizeof link, "/proc/%u/fd/%d", call->pid, (int)call->data.args[0]);
    size = readlink(link, path, sizeof path - 1);
    if (size < (ssize_t)(root + suffix))
        return false;
    path[size] = '\0';
    return memcmp(path, calls->root, root) == 0 &&
           strcmp(path + (size_t)size - suffix, fault->suffix) == 0;
}

static int error_for(struct calls *calls, const struct seccomp_notif *call)
{
    const struct call_fault *fault = atomic_load(&calls->fault);
    const bool may_more =
        fault != NULL && (fault->count_max == 0 || atomic_load(&calls->failed) < fault->count_max);

    if (!may_more || !is_meant(calls, fault, call) ||
        atomic_fetch_add(&calls->seen, 1) % fault->period != 0)
        return 0;
    atomic_fetch_add(&calls->failed, 1);
    return fault->error;
}

// Until no process is left that has the filter.
static void answer_calls(struct calls *calls, int listener)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN};

    for (;;) {
        struct seccomp_notif call = {0};
        struct seccomp_notif_resp answer = {0};

        if (poll(&ready, 1, -1) < 0 || (ready.revents & POLLIN) == 0) {
            if ((ready.revents & (POLLHUP | POLLERR)) != 0)
                return;
            continue;
        }
        if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
            continue; // the caller has died
        answer.id = call.id;
        answer.error = -error_for(calls, &call);
        answer.flags = answer.error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
        (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

static struct calls *calls_new(struct scene *scene)
{
    struct calls *calls =
        mmap(NULL, sizeof *calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *root = realpath(scene->dir, NULL);

    if (calls == MAP_FAILED || root == NULL) {
        perror(scene->dir);
        exit(1);
    }
    (void)snprintf(calls->root, sizeof calls->root, "%s", root);
    free(root);
    return calls;
}

bool calls_run(struct scene *scene, bool (*body)(struct scene *scene, struct calls *calls))
{
    struct calls *calls = calls_new(scene);
    int sockets[2], listener, how;
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0)
        return scene_failed(scene, "a pair of sockets");
    fflush(NULL);
    child = fork();
    if (child == 0) {
        (void)close(sockets[0]);
        run_body(scene, calls, sockets[1], body);
    }
    (void)close(sockets[1]);
    listener = receive_descriptor(sockets[0]);
    (void)close(sockets[0]);
    if (listener >= 0) {
        answer_calls(calls, listener);
        (void)close(listener);
    }
    if (child < 0 || waitpid(child, &how, 0) != child)
        return scene_failed(scene, "a process");
    (void)munmap(calls, sizeof *calls);
    return scene_judge_child(scene, how, "system calls cannot be filtered here");
}

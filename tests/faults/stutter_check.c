// stutter_check.c -- whether the preloaded stutter.c is there: interrupts and cuts.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    const int fd = open(argc > 0 ? argv[0] : "", O_RDONLY);
    unsigned interrupted = 0, cut = 0, whole = 0;
    char bytes[256];

    for (int i = 0; i < 300; i++) {
        const ssize_t n = pread(fd, bytes, sizeof bytes, 0);

        interrupted += n == -1 && errno == EINTR;
        cut += n > 0 && (size_t)n < sizeof bytes;
        whole += n == (ssize_t)sizeof bytes;
    }
    printf("%u interrupted, %u cut short, %u whole\n", interrupted, cut, whole);
    return interrupted > 50 && cut > 50 && whole > 50 ? 0 : 1;
}

/* LD_PRELOAD library: a slow disk. Every call that waits for the disk takes SLOW_FSYNC_MS milliseconds
 * longer (5 unless set), whatever the number of bytes: it shows how a tool depends on the number of
 * flushes. A syncfs costs as much as one fsync here; on a real slow disk it has all the data to write,
 * so what is measured is an upper bound of what flushing in batches gains.
 *
 * Only calls through the dynamic linker's global scope are seen: from Python `ctypes.CDLL(None)`, not a
 * library opened by name. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_longer(void) {
    const char *setting = getenv("SLOW_FSYNC_MS");
    double milliseconds = setting ? atof(setting) : 5.0;
    struct timespec pause;
    pause.tv_sec = (time_t)(milliseconds / 1000);
    pause.tv_nsec = (long)((milliseconds - (double)pause.tv_sec * 1000) * 1e6);
    while (nanosleep(&pause, &pause) != 0) {
    }
}

#define SLOW(name, parameters, ...)                                                                          \
    int name parameters {                                                                                    \
        static int(*real) parameters;                                                                        \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                                \
        wait_longer();                                                                                       \
        return real(__VA_ARGS__);                                                                            \
    }

SLOW(fsync, (int file), file)
SLOW(fdatasync, (int file), file)
SLOW(syncfs, (int file), file)
SLOW(sync_file_range, (int file, off64_t offset, off64_t size, unsigned flags), file, offset, size, flags)

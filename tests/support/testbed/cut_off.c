/* Kills the process that loads it, as by kill -9, right before the N-th call that changes a file (CUT_OFF_AT, from 1).
   At a normal end it writes how many there were to the file CUT_OFF_COUNT, if that is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static long calls;

static void passes(void) {
  const char *at = getenv("CUT_OFF_AT");
  if (++calls == (at ? atol(at) : 0)) kill(getpid(), SIGKILL);
}

__attribute__((destructor)) static void report(void) {
  const char *path = getenv("CUT_OFF_COUNT");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (file) {
    fprintf(file, "%ld", calls);
    fclose(file);
  }
}

#define WRAP(result, name, parameters, arguments)                                  \
  result name parameters {                                                         \
    static result(*real) parameters;                                               \
    if (!real) real = dlsym(RTLD_NEXT, #name);                                     \
    passes();                                                                      \
    return real arguments;                                                         \
  }

WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
WRAP(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, ftruncate, (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP(int, unlink, (const char *path), (path))
WRAP(int, rename, (const char *from, const char *to), (from, to))
WRAP(int, renameat, (int from, const char *path, int to, const char *target), (from, path, to, target))
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode))

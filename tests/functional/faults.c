/* What an operating system can do to a process, on demand: loaded before libc (LD_PRELOAD) by test_faults.py.
 *
 * KIT_FAULT=KIND:NUMBER:FOLDER, read at every call, so that a forked process may have another fault than its parent:
 *   full      after NUMBER bytes written below FOLDER the disk is full (ENOSPC)
 *   readonly  nothing below FOLDER can be made, written, renamed or removed (EROFS)
 *   nolocks   the file system has no locks (ENOLCK)
 *   clock     after NUMBER bytes written below FOLDER the clock is an hour back
 *   memory    there is no room for tensors of more than NUMBER bytes (ENOMEM)
 *   kill      after NUMBER bytes written below FOLDER (0: when a file there is opened) SIGKILL comes, once;
 *   term, hup the same with SIGTERM and SIGHUP
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static _Atomic long written;
static _Atomic int has_come;

static const char *is_on(const char *kind, long *number) {
    const char *fault = getenv("KIT_FAULT");
    size_t length = strlen(kind);
    char *rest;
    if (!fault || strncmp(fault, kind, length) || fault[length] != ':') return NULL;
    *number = strtol(fault + length + 1, &rest, 10);
    return *rest == ':' ? rest + 1 : NULL;
}

static int is_below(const char *folder, const char *path) {
    size_t length = strlen(folder);
    return path && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int holds(const char *folder, int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(folder, path);
}

static int refuses(const char *path) {
    long number;
    const char *folder = is_on("readonly", &number);
    if (!folder || !is_below(folder, path)) return 0;
    errno = EROFS;
    return 1;
}

static void signal_at(const char *path, int descriptor) {
    static const struct { const char *kind; int number; } KINDS[] = {{"kill", SIGKILL}, {"term", SIGTERM}, {"hup", SIGHUP}};
    for (size_t i = 0; i < 3; i++) {
        long number;
        const char *folder = is_on(KINDS[i].kind, &number);
        if (!folder || has_come) continue;
        if (path ? number || !is_below(folder, path) : !number || !holds(folder, descriptor) || written < number) continue;
        has_come = 1;
        kill(getpid(), KINDS[i].number);
    }
}

/* The bytes that may still be written; -1 with ENOSPC when there is no room for any. */
static ssize_t room(int descriptor, size_t size) {
    long number;
    const char *folder = is_on("full", &number);
    if (folder && holds(folder, descriptor)) {
        if (written >= number) { errno = ENOSPC; return -1; }
        if ((long)size > number - written) return number - written;
    }
    return size;
}

static ssize_t count(int descriptor, ssize_t done) {
    const char *fault = getenv("KIT_FAULT");
    const char *folder = fault ? strchr(fault, '/') : NULL;
    if (done > 0 && folder && holds(folder, descriptor)) {
        int before = errno;
        written += done;
        signal_at(NULL, descriptor);
        errno = before;
    }
    return done;
}

ssize_t write(int descriptor, const void *data, size_t size) {
    ssize_t free = room(descriptor, size);
    return free < 0 ? free : count(descriptor, REAL(write)(descriptor, data, free));
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t offset) {
    ssize_t free = room(descriptor, size);
    return free < 0 ? free : count(descriptor, REAL(pwrite64)(descriptor, data, free, offset));
}

ssize_t writev(int descriptor, const struct iovec *pieces, int number) {
    return room(descriptor, 1) < 0 ? -1 : count(descriptor, REAL(writev)(descriptor, pieces, number));
}

static int opens(const char *path, int flags) {
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && refuses(path)) return 0;
    signal_at(path, -1);
    return 1;
}

#define OPEN(name)                                                  \
    int name(const char *path, int flags, ...) {                    \
        va_list rest;                                               \
        va_start(rest, flags);                                      \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;   \
        va_end(rest);                                               \
        return opens(path, flags) ? REAL(name)(path, flags, mode) : -1; \
    }
#define OPENAT(name)                                                \
    int name(int at, const char *path, int flags, ...) {            \
        va_list rest;                                               \
        va_start(rest, flags);                                      \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;   \
        va_end(rest);                                               \
        return opens(path, flags) ? REAL(name)(at, path, flags, mode) : -1; \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int mkdir(const char *path, mode_t mode) { return refuses(path) ? -1 : REAL(mkdir)(path, mode); }
int unlink(const char *path) { return refuses(path) ? -1 : REAL(unlink)(path); }
int rename(const char *from, const char *to) { return refuses(from) || refuses(to) ? -1 : REAL(rename)(from, to); }

int flock(int descriptor, int operation) {
    long number;
    if (is_on("nolocks", &number)) { errno = ENOLCK; return -1; }
    return REAL(flock)(descriptor, operation);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = REAL(clock_gettime)(clock, now);
    long number;
    if (clock == CLOCK_REALTIME && is_on("clock", &number) && written >= number) now->tv_sec -= 3600;
    return result;
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    long number;
    Dl_info caller;
    if (is_on("memory", &number) && (long)size > number && dladdr(__builtin_return_address(0), &caller) &&
        strstr(caller.dli_fname, "libc10"))
        return ENOMEM;
    return REAL(posix_memalign)(memory, alignment, size);
}

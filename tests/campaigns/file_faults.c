/* Make one file operation of a program fail, or kill the program at it; for LD_PRELOAD, Linux.
 *
 * Counts the calls that change files below FAULT_BELOW, of all processes together, in the file
 * FAULT_STATE, and lists them in FAULT_LIST. At call number FAULT_AT of those that FAULT_MATCH (a
 * pattern: "rename /models/*") fits, it does FAULT_KIND: "kill" (the process that calls),
 * "kill_first" (the first process that counted), "short" (half of a write), or the number of an
 * error. FAULT_TIMES calls of any name in a row meet it, this one first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

struct state { long n; long first_pid; long n_faults; long n_fit; long begun_at; };
static struct state *shared;
static const char *below, *list, *kind, *pattern;
static long at, times;

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    below = getenv("FAULT_BELOW"), list = getenv("FAULT_LIST"), kind = getenv("FAULT_KIND");
    pattern = getenv("FAULT_MATCH");
    const char *state = getenv("FAULT_STATE"), *when = getenv("FAULT_AT"), *n = getenv("FAULT_TIMES");
    if (!below || !state) return;
    at = when ? atol(when) : 0, times = n ? atol(n) : 1;
    int fd = syscall(SYS_openat, AT_FDCWD, state, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || syscall(SYS_ftruncate, fd, sizeof *shared)) return;
    void *found = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (found != MAP_FAILED) shared = found;
}

static int is_below(const char *path) {
    char whole[PATH_MAX];
    if (!shared || !path) return 0;
    if (path[0] != '/') {
        if (!getcwd(whole, sizeof whole / 2)) return 0;
        strcat(strcat(whole, "/"), path);
        path = whole;
    }
    return !strncmp(path, below, strlen(below));
}

/* 0: go on. -1: fail, errno is set. 1: write half. */
static int meet(const char *call, const char *path) {
    long none = 0, n = __atomic_add_fetch(&shared->n, 1, __ATOMIC_SEQ_CST);
    __atomic_compare_exchange_n(&shared->first_pid, &none, getpid(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    char operation[PATH_MAX + 32], line[PATH_MAX + 64];
    snprintf(operation, sizeof operation, "%s %s", call, path + strlen(below));
    if (list) {
        int length = snprintf(line, sizeof line, "%ld %s\n", n, operation);
        int fd = syscall(SYS_openat, AT_FDCWD, list, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd >= 0) { syscall(SYS_write, fd, line, length); syscall(SYS_close, fd); }
    }
    if (!at || !kind) return 0;
    if (!pattern || !fnmatch(pattern, operation, 0))
        if (__atomic_add_fetch(&shared->n_fit, 1, __ATOMIC_SEQ_CST) == at)
            __atomic_store_n(&shared->begun_at, n, __ATOMIC_SEQ_CST);
    long begun_at = __atomic_load_n(&shared->begun_at, __ATOMIC_SEQ_CST);
    if (!begun_at || n < begun_at || n >= begun_at + times) return 0;
    __atomic_add_fetch(&shared->n_faults, 1, __ATOMIC_SEQ_CST);
    if (!strcmp(kind, "kill")) kill(getpid(), SIGKILL);
    if (!strcmp(kind, "kill_first")) { kill(shared->first_pid, SIGKILL); return 0; }
    if (!strcmp(kind, "short")) return 1;
    errno = atoi(kind);
    return -1;
}

static int by_path(const char *call, const char *path) { return is_below(path) ? meet(call, path) : 0; }

static int by_fd(const char *call, int fd) {
    char link[64], path[PATH_MAX];
    if (!shared || fd < 3) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path) ? meet(call, path) : 0;
}

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))
#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...) {                          \
        va_list rest; va_start(rest, flags);                              \
        mode_t mode = va_arg(rest, mode_t); va_end(rest);                 \
        if (WRITES(flags) && by_path("open", path) < 0) return -1;        \
        return REAL(name)(path, flags, mode);                             \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                     \
    int name(int where, const char *path, int flags, ...) {                              \
        va_list rest; va_start(rest, flags);                                             \
        mode_t mode = va_arg(rest, mode_t); va_end(rest);                                \
        if (WRITES(flags) && where == AT_FDCWD && by_path("open", path) < 0) return -1;  \
        return REAL(name)(where, path, flags, mode);                                     \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *content, size_t n) {
    int found = by_fd("write", fd);
    if (found < 0) return -1;
    return REAL(write)(fd, content, found && n > 1 ? n / 2 : n);
}
#define PWRITE(name, type)                                                       \
    ssize_t name(int fd, const void *content, size_t n, type offset) {           \
        int found = by_fd("write", fd);                                          \
        if (found < 0) return -1;                                                \
        return REAL(name)(fd, content, found && n > 1 ? n / 2 : n, offset);      \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define FD_CALL(name, declared, passed) \
    int name declared { return by_fd(#name, fd) < 0 ? -1 : REAL(name) passed; }
FD_CALL(fsync, (int fd), (fd))
FD_CALL(fdatasync, (int fd), (fd))
FD_CALL(ftruncate, (int fd, off_t n), (fd, n))
FD_CALL(ftruncate64, (int fd, off64_t n), (fd, n))

#define PATH_CALL(name, declared, passed, path) \
    int name declared { return by_path(#name, path) < 0 ? -1 : REAL(name) passed; }
PATH_CALL(rename, (const char *from, const char *to), (from, to), to)
PATH_CALL(unlink, (const char *path), (path), path)
PATH_CALL(rmdir, (const char *path), (path), path)
PATH_CALL(mkdir, (const char *path, mode_t mode), (path, mode), path)

/* Make one file operation of a program fail, or kill the program at it; for LD_PRELOAD, Linux.
 *
 * Counts the calls that change files below FAULT_BELOW, of all processes together, in the file
 * FAULT_STATE, and lists them in FAULT_LIST. At call number FAULT_AT of those that FAULT_MATCH (a
 * pattern: "rename /models/*") fits, it does FAULT_KIND: "kill" (the process that calls),
 * "kill_first" (the first process that counted), "power" (both), "short" (half of a write), or the
 * number of an error. FAULT_TIMES calls of any name in a row meet it, this one first.
 *
 * Below FAULT_JOURNAL it keeps what power_loss.py needs to take back what was not synced: the file
 * "log" with each change of a name and each sync, in order, and the files that a name lost.
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

struct state { long n; long first_pid; long n_faults; long n_fit; long begun_at; long n_kept; };
static struct state *shared;
static const char *below, *list, *kind, *pattern, *journal;
static long at, times;

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    below = getenv("FAULT_BELOW"), list = getenv("FAULT_LIST"), kind = getenv("FAULT_KIND");
    pattern = getenv("FAULT_MATCH"), journal = getenv("FAULT_JOURNAL");
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
    if (!strncmp(kind, "power", 5)) { kill(shared->first_pid, SIGKILL); kill(getpid(), SIGKILL); }
    if (!strcmp(kind, "short")) return 1;
    errno = atoi(kind);
    return -1;
}

/* One line of the journal, its fields kept apart by tabs. */
static void note(const char *format, ...) {
    char path[PATH_MAX], line[4 * PATH_MAX];
    int before = errno;
    snprintf(path, sizeof path, "%s/log", journal);
    va_list rest; va_start(rest, format);
    int length = vsnprintf(line, sizeof line, format, rest);
    va_end(rest);
    int fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) { syscall(SYS_write, fd, line, length); syscall(SYS_close, fd); }
    errno = before;
}

/* Keep the file that is about to lose its name; its number, or 0 when there is none. */
static long keep(const char *path) {
    char kept[PATH_MAX];
    struct stat found;
    int before = errno;
    long number = 0;
    if (!lstat(path, &found) && S_ISREG(found.st_mode)) {
        number = __atomic_add_fetch(&shared->n_kept, 1, __ATOMIC_SEQ_CST);
        snprintf(kept, sizeof kept, "%s/%ld", journal, number);
        if (link(path, kept)) number = 0;
    }
    errno = before;
    return number;
}

static int is_there(const char *path) {
    int before = errno, found = !faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW);
    errno = before;
    return found;
}

/* The content of a file, or the names in a directory, are on the disk from now on. */
static void note_sync(int fd) {
    char link[64], path[PATH_MAX];
    struct stat found;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || fstat(fd, &found)) return;
    path[length] = 0;
    if (!is_below(path)) return;
    if (S_ISDIR(found.st_mode)) note("directory\t%s\n", path);
    else note("file\t%lu\t%ld\n", (unsigned long)found.st_ino, (long)found.st_size);
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

static int is_noted(const char *path) { return journal && is_below(path); }

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))
#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...) {                          \
        va_list rest; va_start(rest, flags);                              \
        mode_t mode = va_arg(rest, mode_t); va_end(rest);                 \
        if (WRITES(flags) && by_path("open", path) < 0) return -1;        \
        int is_new = (flags & O_CREAT) && is_noted(path) && !is_there(path); \
        int fd = REAL(name)(path, flags, mode);                           \
        if (is_new && fd >= 0) note("new\t%s\n", path);                  \
        return fd;                                                        \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                     \
    int name(int where, const char *path, int flags, ...) {                              \
        va_list rest; va_start(rest, flags);                                             \
        mode_t mode = va_arg(rest, mode_t); va_end(rest);                                \
        if (WRITES(flags) && where == AT_FDCWD && by_path("open", path) < 0) return -1;  \
        int is_new = (flags & O_CREAT) && where == AT_FDCWD && is_noted(path) && !is_there(path); \
        int fd = REAL(name)(where, path, flags, mode);                                   \
        if (is_new && fd >= 0) note("new\t%s\n", path);                                 \
        return fd;                                                                       \
    }
OPENAT(openat)
OPENAT(openat64)

/* This program wrote to the file; what others write at the same time is theirs to keep. */
static void note_write(int fd) {
    struct stat found;
    int before = errno;
    if (shared && journal && fd > 2 && !fstat(fd, &found)) note("write\t%lu\n", (unsigned long)found.st_ino);
    errno = before;
}

ssize_t write(int fd, const void *content, size_t n) {
    int found = by_fd("write", fd);
    if (found < 0) return -1;
    note_write(fd);
    return REAL(write)(fd, content, found && n > 1 ? n / 2 : n);
}
#define PWRITE(name, type)                                                       \
    ssize_t name(int fd, const void *content, size_t n, type offset) {           \
        int found = by_fd("write", fd);                                          \
        if (found < 0) return -1;                                                \
        note_write(fd);                                                          \
        return REAL(name)(fd, content, found && n > 1 ? n / 2 : n, offset);      \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define SYNC(name)                                          \
    int name(int fd) {                                      \
        if (by_fd(#name, fd) < 0) return -1;                \
        int found = REAL(name)(fd);                         \
        if (!found && shared && journal) note_sync(fd);     \
        return found;                                       \
    }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(name, type) \
    int name(int fd, type n) { return by_fd(#name, fd) < 0 ? -1 : REAL(name)(fd, n); }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int rename(const char *from, const char *to) {
    if (by_path("rename", to) < 0) return -1;
    int is_kept = is_noted(to);
    long kept = is_kept ? keep(to) : 0;
    int found = REAL(rename)(from, to);
    if (!found && is_kept) note("rename\t%s\t%s\t%ld\n", from, to, kept);
    return found;
}

int unlink(const char *path) {
    if (by_path("unlink", path) < 0) return -1;
    int is_kept = is_noted(path);
    long kept = is_kept ? keep(path) : 0;
    int found = REAL(unlink)(path);
    if (!found && is_kept) note("unlink\t%s\t%ld\n", path, kept);
    return found;
}

int rmdir(const char *path) { return by_path("rmdir", path) < 0 ? -1 : REAL(rmdir)(path); }

int mkdir(const char *path, mode_t mode) {
    if (by_path("mkdir", path) < 0) return -1;
    int found = REAL(mkdir)(path, mode);
    if (!found && is_noted(path)) note("new\t%s\n", path);
    return found;
}

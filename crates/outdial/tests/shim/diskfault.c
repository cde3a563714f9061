/* A disk that fails, for tests: preloaded into the binary with LD_PRELOAD.
 *
 * DISKFAULT_PATHS    prefixes of the files that are concerned, separated by ':'; one that ends in
 *                    '$' is a whole path
 * DISKFAULT_CONTROL  a directory; what is in it decides, at each call anew:
 *   full    "ROOM [N]"  after ROOM more bytes, N writes (none given: all) end in ENOSPC, the first
 *                       of them after as many bytes as there is room for
 *   nosync  "[N]"       the next N syncs (none given: all) end in EIO
 *   slow    "MS"        a sync takes that much longer
 * To its file `log` one line is appended for each fault, `full PATH` or `nosync PATH`, and for each
 * sync that comes after a failed one, `sync PATH`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static ssize_t (*next_write)(int, const void *, size_t);
static ssize_t (*next_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*next_pwrite64)(int, const void *, size_t, off64_t);
static int (*next_fsync)(int);
static int (*next_fdatasync)(int);

static const char *paths, *control;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Since `full` and `nosync` were put there. */
static long long used, refused, unsynced;
static int sync_has_failed;

__attribute__((constructor)) static void begin(void)
{
    next_write = dlsym(RTLD_NEXT, "write");
    next_pwrite = dlsym(RTLD_NEXT, "pwrite");
    next_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
    next_fsync = dlsym(RTLD_NEXT, "fsync");
    next_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    paths = getenv("DISKFAULT_PATHS");
    control = getenv("DISKFAULT_CONTROL");
}

/* Whether the file is concerned; its path. */
static int concerned(int fd, char path[PATH_MAX])
{
    char link[64];
    if (!paths || !control)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0)
        return 0;
    path[n] = 0;
    for (const char *at = paths; *at;) {
        size_t length = strcspn(at, ":");
        if (length && at[length - 1] == '$') {
            if ((size_t)n == length - 1 && !strncmp(path, at, length - 1))
                return 1;
        } else if (length && !strncmp(path, at, length)) {
            return 1;
        }
        at += length + (at[length] == ':');
    }
    return 0;
}

/* What a file of the control directory says; 0: it is not there. */
static int says(const char *name, char text[64])
{
    char file[PATH_MAX];
    snprintf(file, sizeof file, "%s/%s", control, name);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, 63);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return 1;
}

static void tell(const char *what, const char *path)
{
    char file[PATH_MAX], line[PATH_MAX + 16];
    snprintf(file, sizeof file, "%s/log", control);
    int fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    int n = snprintf(line, sizeof line, "%s %s\n", what, path);
    syscall(SYS_write, fd, line, (size_t)n);
    close(fd);
}

/* How many of `wanted` bytes there is room for; -1: none. */
static ssize_t room_for(int fd, size_t wanted)
{
    char path[PATH_MAX], text[64];
    ssize_t allowed = (ssize_t)wanted;
    int saved = errno;
    if (!concerned(fd, path)) {
        errno = saved;
        return allowed;
    }
    pthread_mutex_lock(&lock);
    if (says("full", text)) {
        long long room = 0, fails = LLONG_MAX;
        sscanf(text, "%lld %lld", &room, &fails);
        if (used + allowed <= room) {
            used += allowed;
        } else if (refused < fails) {
            allowed = used < room ? (ssize_t)(room - used) : -1;
            used = room;
            refused += allowed < 0;
            if (allowed < 0)
                tell("full", path);
        }
    } else {
        used = refused = 0;
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return allowed;
}

/* Whether a sync is to fail. */
static int fails(int fd)
{
    char path[PATH_MAX], text[64];
    int saved = errno, failed = 0;
    if (!concerned(fd, path)) {
        errno = saved;
        return 0;
    }
    if (says("slow", text))
        usleep((useconds_t)atol(text) * 1000);
    pthread_mutex_lock(&lock);
    if (says("nosync", text)) {
        long long most = LLONG_MAX;
        sscanf(text, "%lld", &most);
        failed = unsynced < most;
        unsynced += failed;
    } else {
        unsynced = 0;
    }
    if (failed || sync_has_failed)
        tell(failed ? "nosync" : "sync", path);
    sync_has_failed |= failed;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return failed;
}

#define WRITE(call)                                                                               \
    ssize_t room = room_for(fd, count);                                                           \
    if (room < 0) {                                                                               \
        errno = ENOSPC;                                                                           \
        return -1;                                                                                \
    }                                                                                             \
    count = (size_t)room;                                                                         \
    return call

#define SYNC(call)                                                                                \
    if (fails(fd)) {                                                                              \
        errno = EIO;                                                                              \
        return -1;                                                                                \
    }                                                                                             \
    return call

ssize_t write(int fd, const void *bytes, size_t count)
{
    WRITE(next_write(fd, bytes, count));
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    WRITE(next_pwrite(fd, bytes, count, at));
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    WRITE(next_pwrite64(fd, bytes, count, at));
}

int fsync(int fd)
{
    SYNC(next_fsync(fd));
}

int fdatasync(int fd)
{
    SYNC(next_fdatasync(fd));
}

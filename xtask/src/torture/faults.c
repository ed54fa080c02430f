/* Faults for the segments of a store, put under a broker with LD_PRELOAD: short writes, a disk that is full for some
   writes, syncs that fail; and a record of how far each segment was synced, for power failures.

   TORTURE_SEED  decides what goes wrong and when
   TORTURE_RATE  one write in so many finds the disk full, one sync in so many fails; 0 for none
   TORTURE_ARMED the file with whose appearance it begins, so that a broker can start in peace
   TORTURE_NOTES the file that gets a line "length path" for each sync that was done */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long long state;
static unsigned rate, full_for, is_armed;
static const char *armed;
static int notes = -1;
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static int (*real_sync)(int);

__attribute__((constructor)) static void begin(void) {
    const char *seed = getenv("TORTURE_SEED"), *one_in = getenv("TORTURE_RATE"), *path = getenv("TORTURE_NOTES");
    state = seed ? strtoull(seed, NULL, 10) : 1;
    rate = one_in ? (unsigned)strtoul(one_in, NULL, 10) : 0;
    armed = getenv("TORTURE_ARMED");
    if (path) notes = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_sync = dlsym(RTLD_NEXT, "fdatasync");
}

static unsigned below(unsigned bound) {
    unsigned long long mixed = state += 0x9e3779b97f4a7c15ULL;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    return (unsigned)((mixed ^ (mixed >> 31)) % bound);
}

/* Whether things go wrong now; called with the lock. */
static int is_on(void) {
    if (!is_armed && armed && access(armed, F_OK) == 0) is_armed = 1;
    return rate && is_armed;
}

/* The path of a segment; 0 for any other file. */
static int segment(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 8) return 0;
    path[length] = 0;
    return strcmp(path + length - 8, ".segment") == 0;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    char path[4096];
    if (rate && segment(fd, path, sizeof path)) {
        pthread_mutex_lock(&lock);
        if (is_on() && !full_for && below(rate) == 0) full_for = 1 + below(4);
        int full = full_for && !(count > 1 && below(3) == 0); /* some bytes may still find room */
        if (full) full_for--;
        else if (is_on() && count > 1 && below(4) == 0) count = 1 + below((unsigned)count - 1);
        pthread_mutex_unlock(&lock);
        if (full) {
            errno = ENOSPC;
            return -1;
        }
    }
    return real_pwrite(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite64(fd, bytes, count, offset);
}

int fdatasync(int fd) {
    char path[4096], line[4200];
    int is_segment = segment(fd, path, sizeof path);
    struct stat before;
    if (is_segment) {
        pthread_mutex_lock(&lock);
        int fails = is_on() && below(rate) == 0;
        pthread_mutex_unlock(&lock);
        if (fails) {
            errno = EIO;
            return -1;
        }
        if (fstat(fd, &before)) return -1;
    }
    int result = real_sync(fd);
    if (result == 0 && is_segment && notes >= 0) {
        int length = snprintf(line, sizeof line, "%lld %s\n", (long long)before.st_size, path);
        if (write(notes, line, (size_t)length) != length) return -1;
    }
    return result;
}

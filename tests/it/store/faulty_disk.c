/* A disk with injected faults, preloaded into a program under test.
 *
 * FAULTY_DISK_ROOT   the directory on this disk; an absolute path without a trailing slash
 * FAULTY_DISK_FAULT  a file with the current fault: nothing, `sync`, `write`, `full` or `readonly`
 * FAULTY_DISK_SYNCED a directory with the synced content of each file, which is what a power cut leaves
 * FAULTY_DISK_LOG    a file to which each refused call appends a byte
 *
 * As on Linux, a failed sync loses what was written before it: the pages are marked clean, a later sync succeeds, and
 * only a page that is written again reaches the disk. The lost data can still be read meanwhile. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES_MAX 32768
#define FILES_MAX 16

/* Pages written since the last sync, by file. */
struct file {
  char name[128];
  unsigned char dirty[PAGES_MAX];
};

static struct file files[FILES_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The raw system calls; the C library's functions of these names are replaced below. */
static ssize_t raw_write(int fd, const void *from, size_t n) { return syscall(SYS_write, fd, from, n); }
static ssize_t raw_pwrite(int fd, const void *from, size_t n, off_t at) { return syscall(SYS_pwrite64, fd, from, n, at); }
static int raw_open(const char *path, int flags, int mode) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode); }

static void give_up(const char *what) {
  dprintf(2, "faulty disk: %s\n", what);
  abort();
}

/* Returns the name of a file below the root, or null. */
static const char *below(const char *path) {
  const char *root = getenv("FAULTY_DISK_ROOT");
  size_t length = root ? strlen(root) : 0;
  if (!length || strncmp(path, root, length) || path[length] != '/') return NULL;
  const char *name = path + length + 1;
  /* The shared index of the log is rebuilt at each start and never synced. */
  size_t end = strlen(name);
  return end > 4 && !strcmp(name + end - 4, "-shm") ? NULL : name;
}

static const char *name_of(int fd, char *path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, size - 1);
  if (n <= 0) return NULL;
  path[n] = 0;
  return below(path);
}

static int fault_is(const char *kind) {
  const char *path = getenv("FAULTY_DISK_FAULT");
  char now[32] = {0};
  int fd = path ? raw_open(path, O_RDONLY | O_CLOEXEC, 0) : -1;
  if (fd < 0) return 0;
  ssize_t n = read(fd, now, sizeof now - 1);
  close(fd);
  return n > 0 && !strcmp(now, kind);
}

static int refuse(int error) {
  int fd = raw_open(getenv("FAULTY_DISK_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0 || raw_write(fd, ".", 1) != 1) give_up("the log can't be written");
  close(fd);
  errno = error;
  return -1;
}

/* Returns the error of a write under the current fault, or 0. */
static int refusal(void) {
  return fault_is("write") ? EIO : fault_is("full") ? ENOSPC : fault_is("readonly") ? EROFS : 0;
}

static struct file *find(const char *name) {
  for (int at = 0; at < FILES_MAX; at++) {
    if (!strcmp(files[at].name, name)) return &files[at];
    if (!files[at].name[0]) {
      if (strlen(name) >= sizeof files[at].name) give_up("a name is too long");
      strcpy(files[at].name, name);
      return &files[at];
    }
  }
  give_up("too many files");
  return NULL;
}

static void mark_dirty(const char *name, off_t at, ssize_t n) {
  if (n <= 0) return;
  pthread_mutex_lock(&lock);
  if ((at + n) / PAGE >= PAGES_MAX) give_up("a file is too large");
  for (off_t page = at / PAGE; page <= (at + n - 1) / PAGE; page++) find(name)->dirty[page] = 1;
  pthread_mutex_unlock(&lock);
}

static void synced_path(const char *name, char *path, size_t size) {
  snprintf(path, size, "%s/%s", getenv("FAULTY_DISK_SYNCED"), name);
}

/* Copies the dirty pages of a file to its synced content. */
static void save_synced(int fd, const char *name) {
  char path[4200], page[PAGE];
  struct stat is;
  synced_path(name, path, sizeof path);
  pthread_mutex_lock(&lock);
  struct file *file = find(name);
  int to = raw_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (to < 0 || fstat(fd, &is) || syscall(SYS_ftruncate, to, is.st_size)) give_up("the synced file can't be written");
  for (off_t at = 0; at < PAGES_MAX && at * PAGE < is.st_size; at++) {
    if (!file->dirty[at]) continue;
    ssize_t n = pread(fd, page, PAGE, at * PAGE);
    if (n < 0 || raw_pwrite(to, page, n, at * PAGE) != n) give_up("a synced page can't be written");
  }
  memset(file->dirty, 0, sizeof file->dirty);
  close(to);
  pthread_mutex_unlock(&lock);
}

static int sync_file(int fd, int call) {
  char path[4096];
  const char *name = name_of(fd, path, sizeof path);
  if (!name) return (int)syscall(call, fd);
  if (fault_is("sync")) {
    pthread_mutex_lock(&lock);
    memset(find(name)->dirty, 0, sizeof find(name)->dirty);
    pthread_mutex_unlock(&lock);
    return refuse(EIO);
  }
  save_synced(fd, name);
  return 0;
}

int fsync(int fd) { return sync_file(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_file(fd, SYS_fdatasync); }

ssize_t write(int fd, const void *from, size_t n) {
  char path[4096];
  const char *name = name_of(fd, path, sizeof path);
  int error = name ? refusal() : 0;
  if (error) return refuse(error);
  off_t at = name ? lseek(fd, 0, SEEK_CUR) : 0;
  ssize_t done = raw_write(fd, from, n);
  if (name) mark_dirty(name, at, done);
  return done;
}

ssize_t pwrite64(int fd, const void *from, size_t n, off_t at) {
  char path[4096];
  const char *name = name_of(fd, path, sizeof path);
  int error = name ? refusal() : 0;
  if (error) return refuse(error);
  ssize_t done = raw_pwrite(fd, from, n, at);
  if (name) mark_dirty(name, at, done);
  return done;
}

ssize_t pwrite(int fd, const void *from, size_t n, off_t at) { return pwrite64(fd, from, n, at); }

int ftruncate64(int fd, off_t size) {
  char path[4096];
  const char *name = name_of(fd, path, sizeof path);
  int error = name ? refusal() : 0;
  return error ? refuse(error) : (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int unlink(const char *path) {
  const char *name = below(path);
  if (name && refusal()) return refuse(refusal());
  int done = (int)syscall(SYS_unlink, path);
  if (name && !done) {
    char synced[4200];
    synced_path(name, synced, sizeof synced);
    syscall(SYS_unlink, synced);
    pthread_mutex_lock(&lock);
    memset(find(name)->dirty, 0, sizeof find(name)->dirty);
    pthread_mutex_unlock(&lock);
  }
  return done;
}

static int open_file(const char *path, int flags, int mode) {
  int writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;
  if (below(path) && writes && fault_is("readonly")) return refuse(EROFS);
  return raw_open(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
  va_end(more);
  return open_file(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;
  va_end(more);
  return open_file(path, flags, mode);
}

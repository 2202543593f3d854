/* An epoll_wait with injected faults, preloaded into a program under test.
 *
 * FAULTY_POLL names a directory. A file in it with the name of a thread makes the next epoll_wait of one thread of that
 * name fail with EBADF, as a descriptor closed by mistake would. The thread removes the file first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

int epoll_wait(int fd, struct epoll_event *events, int maxevents, int timeout) {
  static int (*real)(int, struct epoll_event *, int, int);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "epoll_wait");
  const char *root = getenv("FAULTY_POLL");
  char name[32], path[512];
  if (root && !pthread_getname_np(pthread_self(), name, sizeof name)) {
    snprintf(path, sizeof path, "%s/%s", root, name);
    if (!unlink(path)) {
      errno = EBADF;
      return -1;
    }
  }
  return real(fd, events, maxevents, timeout);
}

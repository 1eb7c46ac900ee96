/* What an innocent program does, and can do as long as no neighbour has used up what all share. */
#include "hostile.h"
#include <mqueue.h>
#include <sys/inotify.h>

static int one_inotify(void) {
  int fd = inotify_init1(0);
  return fd < 0 || inotify_add_watch(fd, "/tmp", IN_CREATE) < 0 ? -1 : 0;
}
static int one_queue(void) {
  struct mq_attr shape = {.mq_maxmsg = 10, .mq_msgsize = 4096};
  mq_unlink("/ordinary");
  return mq_open("/ordinary", O_CREAT | O_RDWR, 0600, &shape) < 0 ? -1 : 0;
}
static int one_signal(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  return sigqueue(getpid(), SIGRTMIN, (union sigval){0});
}
static int one_process(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  return child < 0 ? -1 : 0;
}
static int one_file(void) {
  int fd = open("/tmp/ordinary", O_CREAT | O_RDWR | O_TRUNC, 0600);
  char block[65536] = {1};
  return fd < 0 || write(fd, block, sizeof block) != sizeof block || fsync(fd) ? -1 : 0;
}

const struct attack ordinary_acts[] = {{"one_inotify", one_inotify}, {"one_queue", one_queue},
                                       {"one_signal", one_signal},   {"one_process", one_process},
                                       {"one_file", one_file},       {NULL, NULL}};

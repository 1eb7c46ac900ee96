/* Attacks on other processes, and on what processes may have of the host's time and memory. */
#include "hostile.h"
#include <dirent.h>
#include <linux/capability.h>
#include <mqueue.h>
#include <sys/inotify.h>
#include <sys/resource.h>

#define CALL(...) (syscall(__VA_ARGS__) < 0 ? -1 : 0)

static int put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}
static int stranger(int (*attack)(pid_t)) { /* try it on every pid that is no process of this machine's own */
  char path[32];
  for (pid_t pid = 2; pid < 4096; pid++) {
    snprintf(path, sizeof path, "/proc/%d", pid);
    if (access(path, F_OK) == 0) continue;
    if (attack(pid) == 0) return 0;
    if (errno != ESRCH) return -1;
  }
  errno = ESRCH;
  return -1;
}
static int attach(pid_t pid) { return ptrace(PTRACE_ATTACH, pid, 0, 0) < 0 ? -1 : 0; }
static int signal_(pid_t pid) { return kill(pid, 0); }
static int read_memory(pid_t pid) {
  char byte;
  struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
  return process_vm_readv(pid, &here, 1, &there, 1, 0) < 0 ? -1 : 0;
}
static int ptrace_stranger(void) { return stranger(attach); }
static int kill_stranger(void) { return stranger(signal_); }
static int read_stranger(void) { return stranger(read_memory); }
static int as_user(int (*attack)(void)) { /* carry it out as uid 33, without any capability */
  if (setresgid(33, 33, 33) || setresuid(33, 33, 33)) return -1;
  return attack();
}
static int ptrace_root_(void) { return attach(1); }
static int ptrace_root(void) { return as_user(ptrace_root_); }
static int kill_root_(void) { return kill(1, SIGKILL); }
static int kill_root(void) { return as_user(kill_root_); }
static int become_root_(void) { return setuid(0); }
static int become_root(void) { return as_user(become_root_); }
static int copy_of_self(const char *path, int owner, int mode) { /* this program, as another file */
  char piece[65536];
  ssize_t got;
  unlink(path);
  int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_CREAT | O_EXCL | O_WRONLY, 0755);
  if (from < 0 || to < 0) return -1;
  while ((got = read(from, piece, sizeof piece)) > 0)
    if (write(to, piece, got) != got) return -1;
  if (fchown(to, owner, owner) || fchmod(to, mode)) return -1;
  return close(to);
}
static int run_as_root(const char *path) { /* run it as uid 33: does it find itself to be root? */
  pid_t child = fork();
  int status = 0;
  if (child == 0) {
    if (setresgid(33, 33, 33) || setresuid(33, 33, 33)) _exit(1);
    execl(path, path, "am-i-root", NULL);
    _exit(1);
  }
  waitpid(child, &status, 0);
  unlink(path);
  errno = EPERM;
  return WIFEXITED(status) && WEXITSTATUS(status) == 77 ? 0 : -1;
}
static int setuid_file(void) { return copy_of_self("/tmp/suid", 0, 04755) ? -1 : run_as_root("/tmp/suid"); }
static int setgid_file(void) { return copy_of_self("/tmp/sgid", 0, 02755) ? -1 : run_as_root("/tmp/sgid"); }
static int setuid_shared(void) { return copy_of_self("/dev/shm/suid", 0, 06755) ? -1 : run_as_root("/dev/shm/suid"); }
static int setuid_host(void) { /* owned by an id that the machine doesn't have: the host's own */
  return copy_of_self("/tmp/host", 1 << 20, 06755) ? -1 : run_as_root("/tmp/host");
}
static int file_capability_run(void) { /* a capability of a file, used by somebody who has none */
  uint32_t value[5] = {0x02000001, 1u << CAP_SETUID, 0, 0, 0};
  if (copy_of_self("/tmp/capable", 0, 0755)) return -1;
  int fd = open("/tmp/capable", O_RDONLY);
  if (syscall(SYS_fsetxattr, fd, "security.capability", value, sizeof value, 0)) return -1;
  close(fd);
  return run_as_root("/tmp/capable");
}
static int pidfd_getfd_(void) {
  int pidfd = syscall(SYS_pidfd_open, 1, 0);
  return CALL(438, pidfd, 0, 0);
}
static int realtime(void) {
  struct sched_param highest = {99};
  return sched_setscheduler(0, SCHED_FIFO, &highest);
}
static int deadline(void) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } wish = {48, 6, 0, 0, 0, 90000000, 100000000, 100000000};
  return CALL(SYS_sched_setattr, 0, &wish, 0);
}
static int nice_(void) { return setpriority(PRIO_PROCESS, 0, -20); }
static int io_realtime(void) { return CALL(SYS_ioprio_set, 1, 0, 1 << 13); }
static int oom_score(void) { return put("/proc/self/oom_score_adj", "-1000"); }
static int more_files(void) {
  struct rlimit all = {1 << 24, 1 << 24};
  return setrlimit(RLIMIT_NOFILE, &all);
}
static int more_core(void) {
  struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY}, none = {0, 0}, now;
  setrlimit(RLIMIT_CORE, &all);
  getrlimit(RLIMIT_CORE, &now);
  if (now.rlim_cur > 1) return 0;
  setrlimit(RLIMIT_CORE, &none); /* with 0 a crash still goes to a core_pattern that is a pipe */
  getrlimit(RLIMIT_CORE, &now);
  errno = EPERM;
  return now.rlim_cur == 1 ? -1 : 0;
}
static int capset_(void) {
  struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0}};
  if (syscall(SYS_capget, &head, data)) return -1;
  data[0].permitted |= 1u << CAP_SYS_ADMIN;
  data[0].effective |= 1u << CAP_SYS_ADMIN;
  return CALL(SYS_capset, &head, data);
}
static int ambient(void) { return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0); }
static int new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0); }
static int seccomp_off(void) { return prctl(PR_SET_SECCOMP, 0, 0, 0, 0); }
static int typed(void) { /* put characters into the terminal, as if its user had typed them */
  int fd = open("/dev/tty", O_RDWR);
  char byte = 'x';
  return ioctl(fd < 0 ? 0 : fd, TIOCSTI, &byte);
}
static int uid_map(void) { return put("/proc/self/uid_map", "0 0 4294967295"); }
static int memory_lock(void) {
  size_t much = 1L << 30;
  void *place = mmap(NULL, much, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return place == MAP_FAILED ? -1 : mlock(place, much);
}
static int descriptors(void) { /* as many open files as it gets; bounded by the limit */
  for (;;)
    if (open("/dev/null", O_RDONLY) < 0) return -1;
}
static int zombies(void) { /* children that nobody waits for, until there may be no more */
  for (;;) {
    pid_t child = fork();
    if (child < 0) return -1;
    if (child == 0) _exit(0);
  }
}
static int threads(void) {
  for (int i = 0; i < 3000; i++) {
    pid_t child = vfork();
    if (child < 0) return -1;
    if (child == 0) _exit(0);
    (void)child;
  }
  errno = EAGAIN;
  return -1;
}
static int inotify(void) { /* as many watchers as it gets */
  for (;;)
    if (inotify_init1(0) < 0) return -1;
}
static int queues(void) { /* message queues in the kernel's memory */
  struct mq_attr shape = {.mq_maxmsg = 10, .mq_msgsize = 8192};
  char name[32];
  for (int i = 0; i < 4096; i++) {
    snprintf(name, sizeof name, "/hostile%d", i);
    if (mq_open(name, O_CREAT | O_RDWR, 0600, &shape) < 0) return -1;
  }
  return 0;
}
static int signals(void) { /* signals that wait for ever */
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  for (int i = 0; i < 1000000; i++)
    if (sigqueue(getpid(), SIGRTMIN, (union sigval){0})) return -1;
  return 0;
}
static int core_dump(void) { /* a crash must not leave a core where the host's core_pattern says */
  mkdir("/tmp/core", 0777);
  if (chdir("/tmp/core")) return -1;
  pid_t child = fork();
  if (child == 0) abort();
  int status;
  waitpid(child, &status, 0);
  DIR *here = opendir(".");
  for (struct dirent *entry; (entry = readdir(here));)
    if (entry->d_name[0] != '.') return 0;
  errno = ENOENT;
  return -1;
}

const struct attack process_attacks[] = {
    {"ptrace_stranger", ptrace_stranger}, {"kill_stranger", kill_stranger}, {"read_stranger", read_stranger},
    {"ptrace_root", ptrace_root}, {"kill_root", kill_root}, {"become_root", become_root},
    {"setuid_file", setuid_file}, {"setgid_file", setgid_file}, {"setuid_shared", setuid_shared},
    {"setuid_host", setuid_host}, {"file_capability_run", file_capability_run},
    {"pidfd_getfd", pidfd_getfd_}, {"realtime", realtime}, {"deadline", deadline}, {"nice", nice_},
    {"io_realtime", io_realtime}, {"oom_score", oom_score}, {"more_files", more_files}, {"more_core", more_core},
    {"capset", capset_}, {"ambient", ambient}, {"new_privileges", new_privileges}, {"seccomp_off", seccomp_off},
    {"typed", typed}, {"uid_map", uid_map}, {"memory_lock", memory_lock}, {"descriptors", descriptors},
    {"zombies", zombies}, {"threads", threads}, {"inotify", inotify}, {"queues", queues}, {"signals", signals},
    {"core_dump", core_dump}, {NULL, NULL}};

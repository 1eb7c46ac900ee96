/* Attacks on the kernel's own interfaces: modules, time, memory, tracing, keys. */
#include "hostile.h"

#define CALL(...) (syscall(__VA_ARGS__) < 0 ? -1 : 0)
#ifndef __NR_clone3
#define __NR_clone3 435
#endif

static int init_module_(void) { return CALL(SYS_init_module, "x", 1, ""); }
static int finit_module_(void) { return CALL(SYS_finit_module, 0, "", 0); }
static int delete_module_(void) { return CALL(SYS_delete_module, "loop", 0); }
static int kexec(void) { return CALL(SYS_kexec_load, 0, 0, NULL, 0); }
static int kexec_file(void) { return CALL(SYS_kexec_file_load, 0, 0, 0, "", 0); }
static int reboot_(void) { return CALL(SYS_reboot, 0xfee1dead, 672274793, 0x89abcdef, NULL); } /* Ctrl-Alt-Del off */
static int swapon_(void) { return CALL(SYS_swapon, "/tmp/swap", 0); }
static int swapoff_(void) { return CALL(SYS_swapoff, "/tmp/swap"); }
static int acct_(void) { return CALL(SYS_acct, NULL); }
static int quotactl_(void) { return CALL(SYS_quotactl, 0, NULL, 0, NULL); }
static int syslog_(void) {
  char text[4096];
  return CALL(SYS_syslog, 3, text, sizeof text);
}
static int syslog_clear(void) { return CALL(SYS_syslog, 5, NULL, 0); }
static int settimeofday_(void) {
  struct timeval now; /* the time that it is: a host that lets it through is not harmed */
  gettimeofday(&now, NULL);
  return CALL(SYS_settimeofday, &now, NULL);
}
static int clock_settime_(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return CALL(SYS_clock_settime, CLOCK_REALTIME, &now);
}
static int adjtimex_(void) {
  struct timex change = {.modes = ADJ_TICK, .tick = 10000};
  return CALL(SYS_adjtimex, &change);
}
static int iopl_(void) { return CALL(SYS_iopl, 3); }
static int ioperm_(void) { return CALL(SYS_ioperm, 0x80, 1, 1); }
static int bpf_(void) {
  char attributes[128] = {1}; /* BPF_MAP_CREATE of a hash */
  return CALL(SYS_bpf, 0, attributes, sizeof attributes);
}
static int perf(void) {
  char attributes[128] = {0};
  return CALL(SYS_perf_event_open, attributes, 0, -1, -1, 0);
}
static int io_uring(void) {
  char parameters[120] = {0};
  return CALL(SYS_io_uring_setup, 1, parameters);
}
static int userfaultfd_(void) { return CALL(SYS_userfaultfd, 0); }
static int userfaultfd_user(void) { return CALL(SYS_userfaultfd, 1); } /* UFFD_USER_MODE_ONLY */
static int add_key_(void) { return CALL(SYS_add_key, "user", "stolen", "x", 1, -3); }
static int keyctl_(void) { return CALL(SYS_keyctl, 0, -3, 1); }
static int request_key_(void) { return CALL(SYS_request_key, "user", "x", "y", -3); }
static int handle(void) {
  struct {
    struct file_handle head;
    unsigned char room[128];
  } handle = {{.handle_bytes = 8, .handle_type = 1}, {2}};
  return CALL(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY);
}
static int unshare_user(void) { return CALL(SYS_unshare, CLONE_NEWUSER); }
static int unshare_mount(void) { return CALL(SYS_unshare, CLONE_NEWNS); }
static int unshare_net(void) { return CALL(SYS_unshare, CLONE_NEWNET); }
static int nested(void) { /* user namespaces within user namespaces, each with all capabilities in itself */
  for (int depth = 0; depth < 33; depth++)
    if (syscall(SYS_unshare, CLONE_NEWUSER) < 0) return -1;
  return 0;
}
static int clone_user(void) {
  long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) _exit(0);
  return child < 0 ? -1 : 0;
}
static int clone3_user(void) {
  uint64_t arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
  long child = syscall(__NR_clone3, arguments, 64);
  if (child == 0) _exit(0);
  return child < 0 ? -1 : 0;
}
static int setns_(void) {
  int fd = open("/proc/1/ns/net", O_RDONLY);
  return CALL(SYS_setns, fd, CLONE_NEWNET);
}
static int sethostname_(void) { return CALL(SYS_sethostname, "evil", 4); }
static int personality_(void) { return CALL(SYS_personality, 0x0400000); } /* READ_IMPLIES_EXEC */
static int fanotify(void) { return CALL(SYS_fanotify_init, 0, 0); }
static int dcookie(void) { return CALL(SYS_lookup_dcookie, 0, NULL, 0); }
static int move_pages_(void) { return CALL(SYS_move_pages, 1, 0, NULL, NULL, NULL, 0); }

const struct attack kernel_attacks[] = {
    {"init_module", init_module_}, {"finit_module", finit_module_}, {"delete_module", delete_module_},
    {"kexec", kexec}, {"kexec_file", kexec_file}, {"reboot", reboot_}, {"swapon", swapon_}, {"swapoff", swapoff_},
    {"acct", acct_}, {"quotactl", quotactl_}, {"dmesg", syslog_}, {"dmesg_clear", syslog_clear},
    {"settimeofday", settimeofday_}, {"clock_settime", clock_settime_}, {"adjtimex", adjtimex_}, {"iopl", iopl_},
    {"ioperm", ioperm_}, {"bpf", bpf_}, {"perf_event_open", perf}, {"io_uring", io_uring},
    {"userfaultfd", userfaultfd_}, {"userfaultfd_user", userfaultfd_user}, {"add_key", add_key_},
    {"keyctl", keyctl_}, {"request_key", request_key_}, {"open_by_handle_at", handle},
    {"unshare_user", unshare_user}, {"unshare_mount", unshare_mount}, {"unshare_net", unshare_net},
    {"nested_users", nested}, {"clone_user", clone_user}, {"clone3_user", clone3_user}, {"setns", setns_},
    {"sethostname", sethostname_}, {"personality", personality_}, {"fanotify", fanotify},
    {"lookup_dcookie", dcookie}, {"move_pages", move_pages_}, {NULL, NULL}};

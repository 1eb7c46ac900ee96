"""The attacks of programs/*.c: what each tries, and how it ends under crun and under gVisor.

An outcome is the name of the error that the program meets. DONE stands for an attack that is let through and is of no
use: under gVisor, the kernel it succeeds against is the sandbox's own (the tests look at the host's side of it).
docs/isolation.md shows this table; a test keeps the two the same.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attack:
    """One line of the table. Several outcomes are separated by `|`: kernels differ."""

    name: str
    what: str
    crun: str
    gvisor: str

    def expected(self, isolation: str) -> set[str]:
        return set((self.crun if isolation == "crun" else self.gvisor).split("|"))


def _table(text: str) -> tuple[Attack, ...]:
    rows = (line.split(maxsplit=3) for line in text.strip().splitlines())
    return tuple(Attack(name, what, crun, gvisor) for name, crun, gvisor, what in rows)


# name              crun            gvisor          what it tries
ATTACKS = _table("""
init_module         EPERM           EPERM           load a kernel module
finit_module        EPERM           EPERM           load a kernel module from a file
delete_module       EPERM           EPERM           unload a kernel module
kexec               EPERM           EPERM           start another kernel
kexec_file          EPERM           EPERM           start another kernel from a file
reboot              EPERM           EPERM           change how the host reboots
swapon              EPERM           EPERM           make a file the host's swap space
swapoff             EPERM           EPERM           take the host's swap space away
acct                EPERM           EPERM           turn process accounting off
quotactl            EPERM           EPERM           change disk quotas
dmesg               EPERM           DONE            read the kernel's messages (gVisor: its own, which are jokes)
dmesg_clear         EPERM           ENOSYS          delete the kernel's messages
settimeofday        EPERM           EPERM           set the clock
clock_settime       EPERM           EPERM           set the clock, the other way
adjtimex            EPERM           EPERM           set the clock's speed
iopl                EPERM           EPERM           get at all I/O ports
ioperm              EPERM           EPERM           get at one I/O port
bpf                 EPERM           EPERM           make a BPF map
perf_event_open     EPERM           ENODEV          count events of the processor
io_uring            EPERM           ENOSYS          set up an io_uring
userfaultfd         EPERM           ENOSYS          handle page faults
userfaultfd_user    EPERM           ENOSYS          handle page faults of programs only
add_key             EPERM           EACCES          put a key into a keyring
keyctl              EPERM           DONE            join a session's keyring (gVisor: its own, empty)
request_key         EPERM           EACCES          make the kernel ask for a key
open_by_handle_at   EPERM           EOPNOTSUPP      open a file by its number, outside of the root
unshare_user        EPERM           DONE            make a user namespace (gVisor: in its own kernel)
unshare_mount       EPERM           EPERM           make a mount namespace
unshare_net         EPERM           EPERM           make a network namespace
nested_users        EPERM           EPERM           nest user namespaces
clone_user          ENOSYS|EPERM    DONE            make a user namespace with clone(2) (gVisor: in its own kernel)
clone3_user         ENOSYS          DONE            make a user namespace with clone3(2) (gVisor: in its own kernel)
setns               EPERM           EPERM           enter another namespace
sethostname         EPERM           EPERM           change the host name
personality         ENOSYS|EPERM    EINVAL          make all memory executable
fanotify            EPERM           ENOSYS          watch all of a file system
lookup_dcookie      EPERM           EPERM           find paths by cookies of the kernel's profiler
move_pages          EPERM           EPERM           move memory between nodes
core_pattern        EACCES          ENOENT          have the host run a program when one crashes
modprobe_path       ENOENT|EACCES   ENOENT          have the host run a program instead of modprobe
sysrq               ENOENT|EACCES   EIO             press SysRq on the host
sysctl_net          EACCES          DONE            turn on forwarding (gVisor: of its own network stack)
sysctl_vm           EACCES          EIO             change how memory is given out
binfmt_misc         ENOENT|EACCES   ENOENT          register an interpreter of programs
uevent_helper       ENOENT          ENOENT          have the host run a program when a device appears
sys_power           EACCES|ENOENT   ENOENT          put the host to sleep
sys_block           EACCES|ENOENT   ENOENT          change the host's disks
kcore               ENOENT|ENODATA|EACCES ENOENT    read the kernel's memory
kallsyms            ENODATA         ENOENT          read the addresses of the kernel's functions
kmsg                ENOENT          ENOENT          read the kernel's messages by its device
dev_mem             ENOENT          ENOENT          read the host's memory by its device
proc_keys           ENODATA         ENOENT          list the kernel's keys
timer_list          ENODATA         ENOENT          list the kernel's timers
firmware            ENOENT          ENOENT          read the firmware's tables
mount               EPERM           EPERM           mount a file system
mount_proc          EPERM           EPERM           mount /proc anew, without its masks
remount             EPERM           EPERM           make /proc/sys writable
umount              EPERM           EPERM           take the masks of /proc away
fsopen              ENOSYS          ENOSYS          mount by the new system calls
open_tree           EPERM           ENOSYS          clone a mount
pivot_root          EPERM           EPERM           change the root
chroot_out          EXDEV           ENOENT          climb out of the root by chroot (gVisor: into an empty place)
mknod_block         EPERM           ENXIO           make and open a disk's device
mknod_mem           EPERM           ENXIO           make and open the memory's device
mknod_kmsg          EPERM           ENXIO           make and open the device of kernel messages
loop_control        ENOENT          ENOENT          make a loop device
fuse                ENOENT          DONE            open /dev/fuse (gVisor: its own)
kvm                 ENOENT          ENOENT          open /dev/kvm
tun                 ENOENT          DONE            open /dev/net/tun (gVisor: its own)
release_agent       EPERM           EPERM           have the host run a program when a control group is empty
cgroup_leave        ENOENT|EACCES|EROFS ENOENT      leave the control group, or lift its limit
host_root           ENOENT          ENOENT          see the host's files through /proc
write_runtime       ENOENT          ENOENT          overwrite the runtime through /proc/PID/exe
file_capability     DONE            EOPNOTSUPP      give a file CAP_SYS_ADMIN (it gives nothing to who runs it)
trusted_xattr       EPERM           EPERM           write overlayfs's own attributes
ptrace_stranger     ESRCH           ESRCH           trace a process outside of the machine
kill_stranger       ESRCH           ESRCH           send a signal to a process outside of the machine
read_stranger       ESRCH           ESRCH           read the memory of a process outside of the machine
ptrace_root         EPERM           EPERM           trace the machine's root as another user
kill_root           EPERM           EPERM           kill the machine's first process as another user
become_root         EPERM           EPERM           become root from another user
setuid_file         EPERM           EPERM           run a program as its owner, root (set-user-id)
setgid_file         EPERM           EPERM           run a program as its group, root's (set-group-id)
setuid_shared       EPERM           EPERM           run such a program from shared memory
setuid_host         EINVAL          EPERM           make such a program that is owned by an id of the host's
file_capability_run EPERM           EOPNOTSUPP      run a program with a capability of its file
pidfd_getfd         EPERM           ENOSYS          take an open file of another process
realtime            EPERM           EPERM|EINVAL    run before everything else
deadline            EPERM           ENOSYS          reserve the processor
nice                EACCES          DONE            be nicer than nice (gVisor: among its own processes)
io_realtime         EPERM           EPERM           use the disk before everything else
oom_score           EACCES          DONE            never be killed for memory (gVisor: the host's score stays)
more_files          EPERM           EPERM           raise the limit of open files
more_core           EPERM           DONE            raise, or lower, the limit of core dumps (gVisor: its own)
capset              EPERM           EPERM           take a capability
ambient             EPERM           EINVAL|EPERM    pass on a capability
new_privileges      EINVAL          EINVAL          let set-uid programs gain something again
seccomp_off         EINVAL          EINVAL          turn the filter of system calls off
typed               ENOTTY          ENOTTY          type into the terminal of who is watching
uid_map             EPERM           EPERM           map the host's ids
memory_lock         ENOMEM          ENOMEM          lock more memory than there is
descriptors         EMFILE          EMFILE          open files without end
zombies             EAGAIN          EAGAIN          leave children without end that nobody buries
threads             EAGAIN          EAGAIN          start processes without end
inotify             EMFILE          EMFILE          use up the watchers of files
queues              EMFILE          DONE            use up the message queues (gVisor: its own)
signals             EAGAIN          EAGAIN          use up the signals that may wait
core_dump           ENOENT          ENOENT          crash, and leave a core on the host
vsock               ENOSYS          EAFNOSUPPORT    talk to the hypervisor (AF_VSOCK)
packet              ENOSYS          EPERM           send any frame: ARP, another's MAC (AF_PACKET)
raw                 EPERM           EPERM           send any IPv4 packet
raw6                EPERM           EPERM           send any ICMPv6 packet: a router's, a neighbour's
alg                 ENOSYS          EAFNOSUPPORT    use the kernel's cryptography (AF_ALG)
af_key              ENOSYS          EAFNOSUPPORT    change the kernel's IPsec keys
xdp                 ENOSYS          EAFNOSUPPORT    send around the network stack (AF_XDP)
bluetooth           ENOSYS          EAFNOSUPPORT    use Bluetooth
new_address         EPERM           EACCES|EPERM    take another's address
link_down           EPERM           EACCES|EPERM    take the link down
neighbour           EPERM           EACCES|EPERM    forge an entry of the neighbour table
firewall            EPERM           EPROTONOSUPPORT change the packet filter
mac                 EPERM           ENOTTY|EPERM    change the MAC address
source_address      EPERM           EADDRNOTAVAIL|EPERM send from another's address
foreign_address     EADDRNOTAVAIL   EADDRNOTAVAIL   bind another's address
metadata            EHOSTUNREACH    EHOSTUNREACH    ask the cloud's metadata service
metadata6           EHOSTUNREACH    EHOSTUNREACH    ask it over IPv6
host_api            EHOSTUNREACH    EHOSTUNREACH    connect to Roost's API on the host
host_edge           EHOSTUNREACH    EHOSTUNREACH    connect to the edge on the host
host_ssh            EHOSTUNREACH    EHOSTUNREACH    connect to the host's SSH
host_link_local     EHOSTUNREACH    EHOSTUNREACH    connect to the host by its link-local address
stranger            EHOSTUNREACH    EHOSTUNREACH    connect to a machine of another network
stranger6           EHOSTUNREACH    EHOSTUNREACH    connect to a machine of another network over IPv6
scan                EHOSTUNREACH    EHOSTUNREACH    find strangers among the addresses nearby
abstract            ECONNREFUSED    ECONNREFUSED    connect to a socket of the host that has a name and no file
""")

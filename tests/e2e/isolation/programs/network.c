/* Attacks by way of sockets. Addresses come in the environment: HOST is the host's, API and EDGE its ports. */
#include "hostile.h"
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>

static int any(int family, int kind, int protocol) { return socket(family, kind, protocol) < 0 ? -1 : 0; }
static int vsock(void) { return any(40, SOCK_STREAM, 0); }
static int packet(void) { return any(17, SOCK_RAW, htons(3)); }
static int raw(void) { return any(AF_INET, SOCK_RAW, IPPROTO_TCP); }
static int raw6(void) { return any(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6); }
static int alg(void) { return any(38, SOCK_SEQPACKET, 0); }
static int key(void) { return any(15, SOCK_RAW, 2); }
static int xdp(void) { return any(44, SOCK_RAW, 0); }
static int bluetooth(void) { return any(31, SOCK_RAW, 1); }
static int netlink_send(int type, void *body, size_t size, int protocol) {
  struct {
    struct nlmsghdr head;
    char body[64];
  } message = {.head = {.nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE}};
  struct {
    struct nlmsghdr head;
    struct nlmsgerr error;
    char rest[256];
  } answer = {0};
  message.head.nlmsg_len = NLMSG_LENGTH(size);
  memcpy(message.body, body, size);
  int fd = socket(AF_NETLINK, SOCK_RAW, protocol);
  if (fd < 0) return -1;
  struct timeval limit = {2, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (send(fd, &message, message.head.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0) return -1;
  errno = answer.head.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EPROTO;
  return errno ? -1 : 0;
}
static int new_address(void) { /* another's address on one's own link */
  struct {
    struct ifaddrmsg head;
    struct rtattr kind;
    unsigned char address[4];
  } body = {{AF_INET, 8, 0, 0, if_nametoindex("eth0")}, {8, IFA_LOCAL}, {10, 9, 8, 7}};
  return netlink_send(RTM_NEWADDR, &body, sizeof body, NETLINK_ROUTE);
}
static int link_down(void) {
  struct ifinfomsg body = {.ifi_index = if_nametoindex("eth0"), .ifi_change = IFF_UP};
  return netlink_send(RTM_NEWLINK, &body, sizeof body, NETLINK_ROUTE);
}
static int neighbour(void) { /* a forged entry of ARP's table */
  struct {
    struct ndmsg head;
    struct rtattr kind;
    unsigned char address[4];
  } body = {{.ndm_family = AF_INET, .ndm_ifindex = if_nametoindex("eth0"), .ndm_state = 2}, {8, NDA_DST}, {10, 9, 8, 7}};
  return netlink_send(RTM_NEWNEIGH, &body, sizeof body, NETLINK_ROUTE);
}
static int firewall(void) {
  unsigned char body[4] = {0};
  return netlink_send(10 << 8 | 0, body, sizeof body, NETLINK_NETFILTER); /* a table of nftables */
}
static int mac(void) {
  struct ifreq wish = {0};
  strcpy(wish.ifr_name, "eth0");
  wish.ifr_hwaddr.sa_family = 1;
  memcpy(wish.ifr_hwaddr.sa_data, "\2\0\0\0\0\1", 6);
  return ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFHWADDR, &wish);
}
static int source_address(void) { /* send as somebody else */
  int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
  struct sockaddr_in other = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("10.9.8.7")};
  if (setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on)) return -1;
  return bind(fd, (struct sockaddr *)&other, sizeof other);
}
static int foreign_address(void) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in other = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("10.9.8.7")};
  return bind(fd, (struct sockaddr *)&other, sizeof other);
}
static int reach(const char *address, int port) { /* refused in any way, or met with silence: all the same */
  int v6 = strchr(address, ':') != NULL, error = 0;
  int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = if_nametoindex("eth0")};
  inet_pton(AF_INET, address, &four.sin_addr);
  inet_pton(AF_INET6, address, &six.sin6_addr);
  int failed = v6 ? connect(fd, (void *)&six, sizeof six) : connect(fd, (void *)&four, sizeof four);
  struct pollfd wait = {fd, POLLOUT, 0};
  socklen_t size = sizeof error;
  if (failed && errno == EINPROGRESS && poll(&wait, 1, 1000) == 1)
    failed = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) || error;
  errno = EHOSTUNREACH; /* which error it is depends on where the host itself is */
  return failed ? -1 : 0;
}
static int port(const char *name) { return getenv(name) ? atoi(getenv(name)) : 1; }
static const char *host(void) { return getenv("HOST") ? getenv("HOST") : "127.0.0.9"; }
static int metadata(void) { return reach("169.254.169.254", 80); }
static int metadata6(void) { return reach("fd00:ec2::254", 80); }
static int host_api(void) { return reach(host(), port("API")); }
static int host_edge(void) { return reach(host(), port("EDGE")); }
static int host_ssh(void) { return reach(host(), 22); }
static int host_link_local(void) { return reach("fe80::1", port("API")); }
static int stranger(void) { return getenv("STRANGER") ? reach(getenv("STRANGER"), 8080) : (errno = EINVAL, -1); }
static int stranger6(void) { return getenv("STRANGER6") ? reach(getenv("STRANGER6"), 8080) : (errno = EINVAL, -1); }
static int scan(void) { /* every address around SCAN, at a port on which strangers listen, and not oneself */
  const char *around = getenv("SCAN");
  if (!around) return errno = EINVAL, -1;
  unsigned own = ntohl(inet_addr(around)), found = 0;
  int sockets[256];
  for (unsigned i = 0; i < 256; i++) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(8080)};
    there.sin_addr.s_addr = htonl((own & ~255u) + i);
    sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (there.sin_addr.s_addr != htonl(own)) connect(sockets[i], (void *)&there, sizeof there);
  }
  sleep(1);
  for (unsigned i = 0; i < 256; i++) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    found += getpeername(sockets[i], (void *)&peer, &size) == 0;
    close(sockets[i]);
  }
  errno = EHOSTUNREACH;
  return found ? 0 : -1;
}
static int abstract(void) { /* a socket of the host that has a name and no file */
  struct sockaddr_un there = {.sun_family = AF_UNIX};
  const char *name = getenv("ABSTRACT") ? getenv("ABSTRACT") : "none";
  memcpy(there.sun_path + 1, name, strlen(name));
  return connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&there, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

const struct attack network_attacks[] = {
    {"vsock", vsock}, {"packet", packet}, {"raw", raw}, {"raw6", raw6}, {"alg", alg}, {"af_key", key}, {"xdp", xdp},
    {"bluetooth", bluetooth}, {"new_address", new_address}, {"link_down", link_down}, {"neighbour", neighbour},
    {"firewall", firewall}, {"mac", mac}, {"source_address", source_address}, {"foreign_address", foreign_address},
    {"metadata", metadata}, {"metadata6", metadata6}, {"host_api", host_api}, {"host_edge", host_edge},
    {"host_ssh", host_ssh}, {"host_link_local", host_link_local}, {"stranger", stranger}, {"stranger6", stranger6},
    {"scan", scan}, {"abstract", abstract}, {NULL, NULL}};

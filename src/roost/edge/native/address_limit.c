/* The limit of requests by client address.

   Each address has a bucket that holds BURST requests and fills with one in so many nanoseconds. A bucket is one number:
   the moment at which it will be full again. Of IPv6, addresses count by their /64; loopback is not counted.
   State: a table of fixed size for all of Envoy's threads and listeners, rows of WAYS buckets, found by a digest that
   nobody outside can foresee; a lock for some rows each. A new address takes the place of the row's fullest bucket:
   mostly one that is full and so says nothing, and never that of who asks for much while another asks for less. So any
   number of addresses neither lets the table grow nor has anybody refused who did not ask too much. */

#include "envoy.h"

enum { ROWS = 8192, WAYS = 8, LOCKS = 64, INET6 = 10 };

typedef struct { u64 address, full_at; } bucket; /* all zeros: free, as no address is 0 */
static bucket table[ROWS][WAYS];
static lock guards[LOCKS];
static u64 secret[2];

int begin_limit(void) { return secret[0] || getrandom(secret, sizeof(secret), 0) == sizeof(secret); }

/* Four numbers of up to 255 with dots between; 0 if it is something else. */
static u64 read_ipv4(text from) {
  u64 found = 0xff;
  word i, digits = 0, part = 0, dots = 0;
  for (i = 0; i < from.length; i++) {
    char c = from.data[i];
    if (c == '.' && digits && dots < 3) {
      found = found << 8 | part;
      part = digits = 0, dots++;
    } else if (c >= '0' && c <= '9' && digits < 3) {
      part = part * 10 + (word)(c - '0'), digits++;
      if (part > 255) return 0;
    } else return 0;
  }
  return dots == 3 && digits ? found << 8 | part : 0;
}

/* The first half of an address of IPv6, of one of IPv4 in that form what `read_ipv4` says; 0 if it is neither. */
static u64 read_ipv6(text from) {
  static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
  unsigned char raw[16];
  char letters[ADDRESS];
  u64 found = 0;
  word i;
  from = until(&from, '%'); /* what is behind it is an interface */
  if (from.length >= ADDRESS) return 0;
  memcpy(letters, from.data, from.length);
  letters[from.length] = 0;
  if (inet_pton(INET6, letters, raw) != 1) return 0;
  if (!memcmp(raw, mapped, sizeof(mapped)))
    return (u64)0xff << 32 | (u64)raw[12] << 24 | (u64)raw[13] << 16 | (u64)raw[14] << 8 | raw[15];
  for (i = 0; i < 8; i++) found = found << 8 | raw[i];
  return found;
}

/* Loopback, and what is no address, are 0. Of IPv6 the numbers that IPv4 has here (0:ff:a.b:c.d) are given to nobody. */
static u64 read_address(text from) {
  word i;
  if (same(from, TEXT("127.0.0.1"))) return 0;
  for (i = 0; i < from.length; i++)
    if (from.data[i] == ':') return read_ipv6(from); /* ::1 begins with zeros */
  return read_ipv4(from);
}

static word row_of(u64 address) {
  u64 digest = (address ^ secret[0]) * 0x9e3779b97f4a7c15ull;
  digest = (digest ^ digest >> 32 ^ secret[1]) * 0xd6e8feb86659fd93ull;
  return (word)(digest >> 32) % ROWS;
}

/* Count a request of an address in letters; say whether it is one too many. */
int is_over_limit(limit how, text from) {
  u64 address = how.every ? read_address(from) : 0, at, full_at;
  bucket *row, *own;
  word number, i;
  int over;
  if (!address) return 0;
  number = row_of(address);
  own = row = table[number];
  at = now();
  pthread_mutex_lock(&guards[number % LOCKS]);
  for (i = 0; i < WAYS; i++) {
    if (row[i].address == address) {
      own = &row[i];
      break;
    }
    if (row[i].full_at < own->full_at) own = &row[i];
  }
  full_at = (own->address == address && own->full_at > at ? own->full_at : at) + how.every;
  over = full_at - at > how.every * how.burst;
  if (!over) own->address = address, own->full_at = full_at;
  pthread_mutex_unlock(&guards[number % LOCKS]);
  return over;
}

/* Proxies before the edge that the operator believes, and the client that they tell of.

   The configuration names their networks, "ADDRESS/BITS" with commas between, or "-" for none. Addresses are compared in
   16 bytes; those of IPv4 as IPv6 spells them, with 96 bits before. State: none that changes. */

#include "envoy.h"

enum { INET = 2, INET6 = 10 };

/* Read an address in letters, perhaps in brackets, perhaps with a port behind; take away what is around it. */
static int read_address(text *from, unsigned char raw[16]) {
  static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
  char letters[ADDRESS];
  text whole = *from, part = whole;
  int is_ipv6;
  if (whole.length && *whole.data == '[') {
    whole.data++, whole.length--;
    part = until(&whole, ']');
    is_ipv6 = 1;
  } else {
    part = until(&whole, ':');
    for (is_ipv6 = 0; whole.length && !is_ipv6; whole.data++, whole.length--) is_ipv6 = *whole.data == ':';
    if (!part.length || is_ipv6) part = *from, is_ipv6 = 1; /* several colons */
  }
  if (part.length >= ADDRESS) return 0;
  memcpy(letters, part.data, part.length);
  letters[part.length] = 0;
  *from = part;
  if (is_ipv6) return inet_pton(INET6, letters, raw) == 1;
  memcpy(raw, mapped, sizeof(mapped));
  return inet_pton(INET, letters, raw + sizeof(mapped)) == 1;
}

static text trimmed(text of) {
  while (of.length && (*of.data == ' ' || *of.data == '\t')) of.data++, of.length--;
  while (of.length && (of.data[of.length - 1] == ' ' || of.data[of.length - 1] == '\t')) of.length--;
  return of;
}

static int is_in(const network *of, const unsigned char raw[16]) {
  word whole = of->bits / 8, rest = of->bits % 8;
  if (memcmp(of->address, raw, whole)) return 0;
  return !rest || (of->address[whole] ^ raw[whole]) >> (8 - rest) == 0;
}

static int is_one(const proxies *of, const unsigned char raw[16]) {
  word i;
  for (i = 0; i < of->count; i++)
    if (is_in(&of->all[i], raw)) return 1;
  return 0;
}

int is_proxy(const proxies *of, text address) {
  unsigned char raw[16];
  return of->count && read_address(&address, raw) && is_one(of, raw);
}

/* Go from the end of what they have written to the first that is none of them; say where that is an address. */
int client_before(const proxies *of, text said, text *client) {
  unsigned char raw[16];
  while (said.length) {
    word from = said.length;
    text one;
    while (from && said.data[from - 1] != ',') from--;
    one = trimmed((text){said.data + from, said.length - from});
    said.length = from ? from - 1 : 0;
    if (!one.length) continue;
    if (!read_address(&one, raw)) return 1;
    *client = one;
    if (!is_one(of, raw)) return 1;
  }
  return 0;
}

int read_proxies(text from, proxies *into) {
  word i;
  into->count = 0, into->all = 0;
  if (same(from, TEXT("-"))) return 1;
  for (i = 0, into->count = 1; i < from.length; i++) into->count += from.data[i] == ',';
  into->all = calloc(into->count, sizeof(network));
  for (i = 0; into->all && i < into->count; i++) {
    network *one = &into->all[i];
    text bits = until(&from, ','), address = until(&bits, '/');
    int has_bits = bits.length != 0, is_ipv4 = 1;
    word at;
    for (at = 0; at < address.length; at++) is_ipv4 &= address.data[at] != ':';
    one->bits = number(&bits) + (is_ipv4 ? 96 : 0);
    if (!has_bits || !read_address(&address, one->address) || one->bits > 128) break;
  }
  if (i == into->count) return 1;
  free(into->all);
  return 0;
}

/* Texts: bytes with a length. No state. */

#include "envoy.h"

int same(text one, text other) { return one.length == other.length && !memcmp(one.data, other.data, one.length); }

int begins(text one, text with) { return one.length >= with.length && !memcmp(one.data, with.data, with.length); }

u64 digest(text of, u64 secret) {
  for (; of.length; of.data++, of.length--)
    secret = (secret ^ (unsigned char)*of.data) * 0x9e3779b97f4a7c15ull, secret ^= secret >> 32;
  return secret;
}

word number(text *from) {
  word found = 0;
  while (from->length && *from->data == ' ') from->data++, from->length--;
  while (from->length && *from->data >= '0' && *from->data <= '9')
    found = found * 10 + (word)(*from->data - '0'), from->data++, from->length--;
  return found;
}

text until(text *from, char end) {
  text found = *from;
  while (from->length && *from->data != end) from->data++, from->length--;
  found.length -= from->length;
  if (from->length) from->data++, from->length--;
  return found;
}

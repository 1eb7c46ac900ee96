/* Calls native/address_limit.c, for tests, at the times that they say.

   Standard input has any number of calls: the time, nanoseconds between requests and the burst (8 bytes each, little end
   first), the length of an address (4 bytes) and the address. Standard output gets a byte for each: 1, one too many. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct { const char *data; size_t length; } text;
typedef struct { unsigned long long every, burst; } limit;

int begin_limit(void);
int is_over_limit(limit, text);

static unsigned long long time;

unsigned long long now(void) { return time; }

int main(void) {
  struct { uint64_t time, every, burst; } call;
  uint32_t length;
  if (!begin_limit()) return 2;
  while (fread(&call, sizeof(call), 1, stdin) == 1 && fread(&length, sizeof(length), 1, stdin) == 1) {
    char *data = malloc(length ? length : 1); /* of exactly its size, so that a sanitizer sees whoever reads beyond */
    if (length && fread(data, length, 1, stdin) != 1) return 3;
    time = call.time;
    putchar(is_over_limit((limit){call.every, call.burst}, (text){data, length}));
    free(data);
  }
  return 0;
}

/* The request log: a line for each request and connection that has ended. An access logger; its configuration is the
   file's path.

   A line is a JSON list of the values that accesslog.py names, in their order, with one tab behind those by which lines
   are put together. What a client chose is cut, and spelled
   so that it can end neither a string nor a line; bytes above 127 are written as they came, so it need not be UTF-8.

   Envoy's threads write nothing: `log` adds a line to the file's buffer, and a thread of our own writes out what is
   there, a tenth of a second after the first line, or as soon as it is much. State, for each file: the buffer, and how
   many lines were lost since it was full or a write failed. Invariant: buffer and file have whole lines only, but for
   one that a failed write has torn, which the next write ends; what was lost is told once, in a line with nothing but
   its number. The file is opened anew for each write and once a second, so whoever renames it finds a new one in its
   place soon, and then nothing more is added to the old one. Nothing is ever freed: there are few files, and Envoy's
   threads know them. At an orderly end Envoy calls `flush` on each thread, which writes. */

#include "envoy.h"

typedef long long i64;

/* libc */
typedef struct { int file; short wanted, found; } waiting;
void *malloc(word);
int eventfd(unsigned, int);
int poll(waiting *, word, int);
int open(const char *, int, ...);
int close(int);
long read(int, void *, word);
long write(int, const void *, word);
long lseek(int, long, int);
enum { WRITE_ONLY = 1, CREATE = 0100, APPEND = 02000, NO_BLOCK = 04000, CLOSE_ON_EXEC = 02000000 };
enum { END = 2, READABLE = 1 };

/* Envoy: for access loggers. Moments are nanoseconds after the request's first byte. */
typedef struct {
  i64 start, begun_connection, handshake_start, handshake, headers, received, connecting, connected, secured, sent,
      sent_whole, answered, answered_body, answered_whole, sending, sent_all, acknowledged, complete, ended;
  unsigned char has_start, has_begun_connection, has_handshake_start, has_handshake, has_headers, has_received,
      has_connecting, has_connected, has_secured, has_sent, has_sent_whole, has_answered, has_answered_body,
      has_answered_whole, has_sending, has_sent_all, has_acknowledged, has_complete, has_ended;
  char more[256]; /* of a later version */
} timing;
typedef struct { u64 received, sent, wire_received, wire_sent; } sizes;

_Bool envoy_dynamic_module_callback_access_logger_get_header_value(void *logger, int kind, text key, text *found,
                                                                   word index, word *count);
u64 envoy_dynamic_module_callback_access_logger_get_response_flags(void *logger);
void envoy_dynamic_module_callback_access_logger_get_timing_info_v2(void *logger, timing *found);
void envoy_dynamic_module_callback_access_logger_get_bytes_info(void *logger, sizes *found);
_Bool envoy_dynamic_module_callback_access_logger_get_downstream_remote_address(void *logger, text *found,
                                                                                unsigned *port);
_Bool envoy_dynamic_module_callback_access_logger_get_upstream_remote_address(void *logger, text *found,
                                                                              unsigned *port);
_Bool envoy_dynamic_module_callback_access_logger_get_upstream_cluster(void *logger, text *found);
_Bool envoy_dynamic_module_callback_access_logger_get_attribute_string(void *logger, int which, text *found);
_Bool envoy_dynamic_module_callback_access_logger_get_attribute_int(void *logger, int which, u64 *found);

enum { REQUEST_HEADER = 0 };
enum { REQUEST_ID = 9, PROTOCOL = 10, RESPONSE_CODE = 15, RESPONSE_DETAILS = 16, ATTEMPTS = 53 };
enum { LINE = 32 << 10, ROOM = 1 << 20, HURRY = 128 << 10 }; /* bytes: of a line at most, of a buffer, when to write */
enum { NAME = 256, METHOD = 16, ID = 64, HOST = 253, PATH = 4096 }; /* bytes of a value at most */
enum { TEXTS = 3 * NAME + 2 * METHOD + 3 * ID + HOST + PATH, NUMBERS = 14 * 21, SIGNS = 64 };
typedef char a_line_has_room[6 * TEXTS + NUMBERS + SIGNS <= LINE ? 1 : -1];
enum { INVALID_ANSWER = 1 << 23 }; /* among Envoy's flags: the app said what is not HTTP */
enum { GATHER = 100, LOOK = 1000 }; /* milliseconds */

typedef struct file file;
struct file {
  file *next;
  lock writing; /* who holds it writes; before the other */
  int torn;     /* what was written last may not have been a whole line */
  lock guard;   /* of what follows */
  char *data, *spare;
  word used, lines, lost;
  word length;
  char path[1];
};

static lock guard; /* of what follows; never held with another */
static file *files;
static unsigned long thread;
static int pending, hurry, event; /* there are lines; much of them; what tells the thread */

typedef struct { u64 eight; } __attribute__((packed)) bytes;

static const char pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354"
    "555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

#define put_pair(to, value) (((pair *)(to))->two = ((const pair *)(pairs + 2 * (value)))->two)

/* Each `put_` adds to a line and returns its end. A number has 20 digits at most. */
static char *put_number(char *to, u64 value) {
  if (value < 10) {
    *to = '0' + value;
    return to + 1;
  }
  if (value >= 100) {
    u64 high = value / 100;
    to = put_number(to, high);
    value -= high * 100;
  }
  put_pair(to, value);
  return to + 2;
}

static char *put_null(char *to) {
  *to++ = 'n', *to++ = 'u', *to++ = 'l', *to++ = 'l';
  return to;
}

/* Microseconds; null if there was no such moment, or it was before the request. */
static char *put_moment(char *to, int is, i64 value) {
  return is && value >= 0 ? put_number(to, (u64)value / 1000) : put_null(to);
}

/* What Envoy itself has spelled, so that nothing in it is special: an address, a protocol. */
static char *put_plain(char *to, text value, word most) {
  if (!value.data) return put_null(to);
  if (value.length > most) value.length = most;
  *to = '"';
  memcpy(to + 1, value.data, value.length);
  to[value.length + 1] = '"';
  return to + value.length + 2;
}

/* Has the highest bit of a byte if a byte is below n <= 128, or is `one`. */
#define EACH 0x0101010101010101ull
#define BELOW(x, n) (((x) - EACH * (n)) & ~(x))
#define IS(x, one) BELOW((x) ^ EACH * (one), 1)

/* Spell what has to be spelled. Six bytes for one at most. */
static char *put_spelled(char *to, const char *at, const char *end) {
  static const char hex[] = "0123456789abcdef";
  while (at < end) {
    unsigned char one = *at++;
    if (one < 32 || one == '"' || one == '\\') *to++ = '\\';
    if (one < 32) *to++ = 'u', *to++ = '0', *to++ = '0', *to++ = hex[one >> 4], one = hex[one & 15];
    *to++ = one;
  }
  return to;
}

/* Six bytes for one at most, and two quotes. */
static char *put_text(char *to, text value, word most) {
  const char *at = value.data, *end, *last;
  u64 special = 0, eight;
  if (!at) return put_null(to);
  if (value.length > most) value.length = most;
  end = at + value.length, last = end - 8;
  *to++ = '"';
  if (value.length >= 8) { /* eight at once; the last eight may be among those before */
    for (;;) {
      eight = ((const bytes *)at)->eight;
      special |= BELOW(eight, '"' + 1) | IS(eight, '\\'); /* blanks and `!` too, though they stay as they are */
      if (at == last) break;
      at += 8;
      if (at > last) at = last;
    }
    special &= EACH * 128;
  } else
    for (; at < end; at++) special |= (unsigned char)*at < 32 || *at == '"' || *at == '\\';
  if (special) to = put_spelled(to, value.data, end);
  else memcpy(to, value.data, value.length), to += value.length;
  *to++ = '"';
  return to;
}

static text attribute(void *logger, int which) {
  text found = {0, 0};
  if (!envoy_dynamic_module_callback_access_logger_get_attribute_string(logger, which, &found)) found.data = 0;
  return found;
}

static text header_of(void *logger, text name) {
  text found = {0, 0};
  if (!envoy_dynamic_module_callback_access_logger_get_header_value(logger, REQUEST_HEADER, name, &found, 0, 0))
    found.data = 0;
  return found;
}

static char *put_count(char *to, void *logger, int which) {
  u64 found = 0;
  if (!envoy_dynamic_module_callback_access_logger_get_attribute_int(logger, which, &found)) found = 0;
  return put_number(to, found);
}

/* Write the line of what has ended. Adds LINE bytes at most. */
static char *put_line(char *to, void *logger) {
  timing at;
  sizes of;
  text found = {0, 0};
  unsigned port;
  word part;
  u64 start, flags = envoy_dynamic_module_callback_access_logger_get_response_flags(logger);
  *to++ = '[';
  to = put_text(to, attribute(logger, ROUTE_NAME), NAME), *to++ = ',';
  to = put_count(to, logger, RESPONSE_CODE), *to++ = ',';
  to = put_number(to, flags), *to++ = ',';
  to = put_text(to, attribute(logger, RESPONSE_DETAILS), NAME), *to++ = ',';
  if (!envoy_dynamic_module_callback_access_logger_get_upstream_cluster(logger, &found)) found.data = 0;
  to = put_text(to, found, NAME), *to++ = ',', *to++ = '\t'; /* so far goes what requests have in common */
  envoy_dynamic_module_callback_access_logger_get_timing_info_v2(logger, &at);
  to = at.has_complete && at.complete >= 0 ? put_number(to, (u64)at.complete / 1000000) : put_null(to), *to++ = ',';
  start = at.has_start && at.start > 0 ? at.start : 0;
  to = put_number(to, start / 1000000000), *to++ = '.';
  part = start / 1000 % 1000000;
  put_pair(to, part / 10000), put_pair(to + 2, part / 100 % 100), put_pair(to + 4, part % 100);
  to += 6, *to++ = ',';
  to = put_moment(to, at.has_sent_all, at.sent_all), *to++ = ',';
  to = put_moment(to, at.has_sent, at.sent), *to++ = ',';
  to = put_moment(to, at.has_sent_whole, at.sent_whole), *to++ = ',';
  to = put_moment(to, at.has_answered, at.answered), *to++ = ',';
  to = put_moment(to, at.has_connecting, at.connecting), *to++ = ',';
  to = put_moment(to, at.has_connected, at.connected), *to++ = ',';
  to = put_text(to, header_of(logger, TEXT(":method")), METHOD), *to++ = ',';
  to = put_plain(to, attribute(logger, PROTOCOL), METHOD), *to++ = ',';
  if (!envoy_dynamic_module_callback_access_logger_get_downstream_remote_address(logger, &found, &port)) found.data = 0;
  to = put_plain(to, found, ID), *to++ = ',';
  if (!envoy_dynamic_module_callback_access_logger_get_upstream_remote_address(logger, &found, &port)) found.data = 0;
  to = put_plain(to, found, ID), *to++ = ',';
  envoy_dynamic_module_callback_access_logger_get_bytes_info(logger, &of);
  to = put_number(to, of.received), *to++ = ',';
  to = put_number(to, of.sent), *to++ = ',';
  to = put_text(to, attribute(logger, REQUEST_ID), ID), *to++ = ',';
  to = put_count(to, logger, ATTEMPTS), *to++ = ',';
  to = put_text(to, header_of(logger, TEXT(":authority")), HOST), *to++ = ',';
  to = put_text(to, header_of(logger, TEXT(":path")), PATH), *to++ = ',';
  to = flags & INVALID_ANSWER ? put_number(to, of.wire_received) : put_null(to), *to++ = ']';
  *to++ = '\n';
  return to;
}

static word count_lines(const char *data, word length) {
  word found = 0;
  while (length--) found += *data++ == '\n';
  return found;
}

/* Return how many bytes were written. */
static word write_all(int to, const char *data, word length) {
  word done = 0;
  while (done < length) {
    long more = write(to, data + done, length - done);
    if (more <= 0) break; /* no signal comes to a thread of Envoy's that would interrupt it */
    done += more;
  }
  return done;
}

static int opened(file *of) {
  return open(of->path, WRITE_ONLY | CREATE | APPEND | NO_BLOCK | CLOSE_ON_EXEC, 0600);
}

/* Begin a new line if need be, and tell what was lost; 0 if that fails. */
static int write_head(file *of, int to, word lost) {
  char head[32], *at = head;
  if (of->torn && lseek(to, 0, END) > 0) *at++ = '\n';
  if (lost) *at++ = '[', at = put_number(at, lost), *at++ = ']', *at++ = '\n';
  of->torn = write_all(to, head, at - head) != (word)(at - head);
  return !of->torn;
}

/* Write what is in the buffer; who calls holds `writing`. */
static void write_out(file *of) {
  char *data;
  word used, lines, lost, done = 0, told = 0;
  int to = opened(of);
  pthread_mutex_lock(&of->guard);
  data = of->data, used = of->used, lines = of->lines, lost = of->lost;
  if (used) of->data = of->spare, of->spare = 0, of->used = of->lines = 0;
  pthread_mutex_unlock(&of->guard);
  if (to >= 0) {
    if ((used || lost) && write_head(of, to, lost)) {
      told = lost;
      done = write_all(to, data, used);
    }
    close(to);
  }
  if (done == used) lines = 0;
  else {
    of->torn = 1; /* who reads it counts the line that is torn */
    lines -= count_lines(data, done) + (done && data[done - 1] != '\n');
  }
  pthread_mutex_lock(&of->guard);
  of->lost += lines - told;
  if (used) of->spare = data;
  pthread_mutex_unlock(&of->guard);
}

/* Wait until there is something to do, for so long at most. */
static void wait_for_event(int longest) {
  waiting for_event = {event, READABLE, 0};
  u64 count;
  if (poll(&for_event, 1, longest) > 0 && read(event, &count, sizeof count) < 0) {}
}

static void *keep_writing(void *nothing) {
  (void)nothing;
  for (;;) {
    file *of;
    int gather;
    wait_for_event(LOOK);
    pthread_mutex_lock(&guard);
    gather = pending && !hurry;
    pthread_mutex_unlock(&guard);
    if (gather) wait_for_event(GATHER);
    pthread_mutex_lock(&guard);
    pending = hurry = 0;
    of = files;
    pthread_mutex_unlock(&guard);
    for (; of; of = of->next) {
      pthread_mutex_lock(&of->writing);
      write_out(of);
      pthread_mutex_unlock(&of->writing);
    }
  }
  return 0;
}

/* A buffer has its first line, or so many that they are to be written `now`. */
static void tell(int now) {
  static const u64 one = 1;
  int wake;
  pthread_mutex_lock(&guard);
  wake = !pending || (now && !hurry);
  pending = 1;
  hurry |= now;
  pthread_mutex_unlock(&guard);
  if (wake && write(event, &one, sizeof one) < 0) {} /* it looks each second in any case */
}

static file *find(text path) {
  file *one;
  for (one = files; one; one = one->next)
    if (one->length == path.length && !memcmp(one->path, path.data, path.length)) return one;
  one = calloc(1, sizeof(file) + path.length);
  if (!one) return 0;
  memcpy(one->path, path.data, path.length);
  one->length = path.length;
  one->torn = 1;
  one->next = files;
  return files = one;
}

const void *envoy_dynamic_module_on_access_logger_config_new(void *config, text name, text value) {
  file *of;
  (void)config, (void)name;
  pthread_mutex_lock(&guard);
  of = value.length ? find(value) : 0;
  if (!event && (event = eventfd(0, NO_BLOCK | CLOSE_ON_EXEC)) < 0) event = 0;
  if (event && !thread && pthread_create(&thread, 0, keep_writing, 0)) thread = 0;
  pthread_mutex_unlock(&guard);
  return thread ? of : 0;
}

void envoy_dynamic_module_on_access_logger_config_destroy(const void *config) { (void)config; }

const void *envoy_dynamic_module_on_access_logger_new(const void *config, void *logger) {
  (void)logger;
  return config;
}

void envoy_dynamic_module_on_access_logger_log(void *logger, const void *module, int kind) {
  file *of = (file *)module;
  char line[LINE];
  word length = put_line(line, logger) - line, before;
  int now = 0;
  (void)kind;
  pthread_mutex_lock(&of->guard);
  before = of->used;
  if (!of->data) of->data = malloc(ROOM);
  if (of->data && ROOM - before >= length) {
    memcpy(of->data + before, line, length);
    of->used += length;
    of->lines++;
    now = before < HURRY && of->used >= HURRY;
  } else
    of->lost++;
  pthread_mutex_unlock(&of->guard);
  if (!before || now) tell(now);
}

void envoy_dynamic_module_on_access_logger_flush(const void *module) {
  file *of = (file *)module;
  word used;
  pthread_mutex_lock(&of->writing); /* what the thread of our own has taken is written by then */
  pthread_mutex_lock(&of->guard);
  used = of->used;
  pthread_mutex_unlock(&of->guard);
  if (used) write_out(of);
  pthread_mutex_unlock(&of->writing);
}

void envoy_dynamic_module_on_access_logger_destroy(const void *module) { (void)module; }

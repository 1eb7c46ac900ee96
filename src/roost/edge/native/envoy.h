/* What the parts of the edge's module share: Envoy's "dynamic module" interface (ABI v0.2), libc, and our filters.

   The module is compiled when the edge starts (native_build.py), on servers without C headers, so the names of libc are
   declared here. Everything that comes from a request is a `text`: bytes with a length, no end mark, any value, and
   valid only until the callback that gave it returns or the headers change. */

typedef unsigned long word; /* as wide as size_t and a pointer */
typedef unsigned long long u64;
typedef struct { const char *data; word length; } text;
typedef struct { text name, value; } header;
typedef struct { unsigned short two; } __attribute__((packed)) pair; /* two bytes at once, wherever they are */
#define TEXT(literal) ((text){literal, sizeof(literal) - 1})

/* libc. Locks that are all zeros are unlocked; no platform of Linux needs more room for them. */
typedef union { char room[128]; long align; } lock;
typedef struct { long seconds, nanoseconds; } moment;
void *calloc(word, word);
void free(void *);
void abort(void);
int memcmp(const void *, const void *, word);
void *memcpy(void *, const void *, word);
int pthread_mutex_lock(lock *);
int pthread_mutex_unlock(lock *);
int pthread_cond_wait(lock *, lock *);
int pthread_cond_signal(lock *);
int pthread_create(unsigned long *, const void *, void *(*)(void *), void *);
int clock_gettime(int, moment *);
int nanosleep(const moment *, moment *);
long getrandom(void *, word, unsigned);
int inet_pton(int, const char *, void *);

/* Envoy: for HTTP filters. */
const void *envoy_dynamic_module_callback_get_most_specific_route_config(void *filter);
void *envoy_dynamic_module_callback_http_filter_scheduler_new(void *filter);
void envoy_dynamic_module_callback_http_filter_scheduler_commit(void *scheduler, u64 event);
void envoy_dynamic_module_callback_http_filter_scheduler_delete(void *scheduler);
void envoy_dynamic_module_callback_http_filter_continue_decoding(void *filter);
void envoy_dynamic_module_callback_http_send_response(void *filter, unsigned status, void *headers, word count,
                                                      text body, text details);
int envoy_dynamic_module_callback_http_filter_config_define_gauge(void *config, text name, text *labels, word count,
                                                                  word *id);
int envoy_dynamic_module_callback_http_filter_set_gauge(void *filter, word id, text *labels, word count, u64 value);

_Bool envoy_dynamic_module_callback_http_get_header(void *filter, int of, text name, text *value, word index, word *count);
_Bool envoy_dynamic_module_callback_http_set_header(void *filter, int of, text name, text value);
word envoy_dynamic_module_callback_http_get_headers_size(void *filter, int of);
_Bool envoy_dynamic_module_callback_http_get_headers(void *filter, int of, header *all);
word envoy_dynamic_module_callback_http_get_body_chunks_size(void *filter, int of);
_Bool envoy_dynamic_module_callback_http_get_body_chunks(void *filter, int of, text *all);
word envoy_dynamic_module_callback_http_get_body_size(void *filter, int of);
_Bool envoy_dynamic_module_callback_http_drain_body(void *filter, int of, word size);
_Bool envoy_dynamic_module_callback_http_get_filter_state_bytes(void *filter, text key, text *value);
_Bool envoy_dynamic_module_callback_http_set_filter_state_bytes(void *filter, text key, text value);
_Bool envoy_dynamic_module_callback_http_filter_get_attribute_string(void *filter, int id, text *value);

/* Envoy: for what is done to a request's headers first. */
word envoy_dynamic_module_callback_early_header_mutation_get_headers_size(void *request);
_Bool envoy_dynamic_module_callback_early_header_mutation_get_headers(void *request, header *all);
_Bool envoy_dynamic_module_callback_early_header_mutation_set_header(void *request, text name, text value);
_Bool envoy_dynamic_module_callback_early_header_mutation_add_header(void *request, text name, text value);
_Bool envoy_dynamic_module_callback_early_header_mutation_remove_header(void *request, text name);
_Bool envoy_dynamic_module_callback_early_header_mutation_get_attribute_string(void *request, int id, text *value);

enum { CONTINUE = 0, STOP = 1, STOP_ALL_AND_WATERMARK = 4 }; /* a filter's answer to headers */
enum { STOP_AND_BUFFER = 1, STOP_AND_DROP = 3 };              /* and to a part of a body */
enum { REQUEST = 0, RESPONSE = 2, REQUEST_BODY = 0, RESPONSE_BODY = 2 }; /* which headers; the part of a body that came */
enum { KEPT_REQUEST_BODY = 1 };                               /* what is kept of one */
enum { SOURCE_ADDRESS = 24, UPSTREAM_ADDRESS = 41, ROUTE_NAME = 61 }; /* ids of attributes */

/* Ours. A kind of HTTP filter; its filters begin with a `filter`, what it made of a configuration with its kind. Only
   `name`, `size` and `load` need be there. */
typedef struct kind kind;
typedef struct { const kind *kind; } loaded, route;
typedef struct { const kind *kind; void *envoy; const loaded *config; } filter;
struct kind {
  text name;
  word size;                                                      /* of a filter in bytes */
  loaded *(*load)(void *config, text value);                      /* for a connection manager; 0: refused */
  void (*unload)(loaded *);
  route *(*configure)(text value);                                /* for a route; 0: refused */
  void (*forget)(route *);
  int (*request)(filter *, _Bool ends);                           /* headers */
  int (*request_goes_on)(filter *, _Bool ends);                   /* a part of the body, or trailers */
  int (*response)(filter *, _Bool ends);
  int (*response_body)(filter *, _Bool ends);                     /* a part of it */
  int (*response_trailers)(filter *);
  void (*scheduled)(filter *);
  void (*complete)(filter *);                                     /* the stream has ended, however it did */
  void (*end)(filter *);                                          /* it is freed after this */
};
extern const kind admission, kept, replay_hook;
const route *route_of(filter *); /* what the request's route has for this kind; 0: nothing */

int is_order(void *envoy); /* an answer's headers ask for a replay */

int same(text one, text other);
int begins(text one, text with);
u64 digest(text, u64 secret); /* a row for a name; which, nobody can foresee who has not the secret */
word number(text *from); /* takes blanks and digits off the beginning */
text until(text *from, char end); /* takes what is before `end`, and that, off the beginning */

/* The clock: one thread that looks for what is overdue, asleep while there is nothing that could be. */
u64 now(void);       /* nanoseconds */
int begin_clock(void); /* 0: there is none */
void wake_clock(void); /* something may become overdue from now on */
int look_at_lines(u64 at), look_at_bodies(u64 at); /* what it calls; they say whether there is more to come */

/* Proxies before the edge that are believed. */
enum { ADDRESS = 64 }; /* bytes that an address in letters has at most, with room */
typedef struct { unsigned char address[16]; word bits; } network;
typedef struct { network *all; word count; } proxies;
int read_proxies(text from, proxies *into); /* 0: they are misspelled */
int is_proxy(const proxies *of, text address);
/* Look for the client in a header's value, from its end; 0: all in it are proxies, so who is before it is asked for. */
int client_before(const proxies *of, text said, text *client);

/* Bodies that come, of the requests that have one watched; all zeros: not watched. Nanoseconds. */
typedef struct { u64 silent, whole; } patience; /* so long nothing may come, 0: for ever; so long until it is whole */
typedef struct body body;
struct body {
  void *scheduler;
  body *before, *after; /* in the list */
  u64 deadline, patience, end;
  enum { BODY_UNWATCHED, BODY_COMES, BODY_STALLED, BODY_TOO_SLOW } state;
};
patience patience_from(text *); /* takes "SILENT_MS WHOLE_MS " off the beginning */
void watch_body(body *, void *envoy, patience);
void body_goes_on(body *, _Bool ends);
void let_body(body *); /* it has an answer */
void end_overdue_body(body *, void *envoy);
void forget_body(body *);

/* The limit by client address. */
typedef struct { u64 every, burst; } limit; /* nanoseconds in which one request is added, 0: no limit; most at once */
int begin_limit(void);                      /* 0: it can't be */
int is_over_limit(limit, text address);

/* What is kept of requests' bodies in Envoy's memory.

   Envoy keeps what has come of a body, up to a bound, while its request waits in line (admission.c), and then since the app
   may ask for a replay before it answers. This filter, before the line, has it let go of that as soon as it is of no use:
   when more has come than can be replayed, and when the answer begins. An answer that asks for a replay and still gets
   here can't be done, so it is refused. What is kept of all bodies is counted here, about, and for each app. When it is
   too much, whoever sends more of a body that is not small is refused, first those for an app that has its part: so
   clients who send much to an app that does not answer can't have other apps' bodies refused, nor all requests, nor Envoy
   killed.

   Its configuration is how much room there is in bytes. Apps are told apart by the names of their routes; all that sleep
   have one. A body that is refused never is whole at the app: the part that was too much goes no further.
   State: how much there is, of all and by app, guarded by the lock. What a `bodied` has is in both while it has an app. */

#include "envoy.h"

enum { PASSING = 128 << 10, SMALL = 64 << 10 }; /* bytes: on the way to the app at most; of little weight */
enum { ROWS = 1024 };

typedef struct { const kind *kind; word room; } rules;
typedef struct {
  filter base;
  word *of_app;    /* 0: it has no body, or an answer, so nothing is kept */
  word came, held; /* bytes: of it, that Envoy has of it as far as we know */
  int is_long, refused; /* it is long if more has come than Envoy keeps */
} bodied;

static lock guard;
static word all_held, held_by[ROWS]; /* apps share a row by chance, which nobody outside can foresee */
static u64 secret; /* since the first `load`, which Envoy's main thread calls */

static loaded *load(void *config, text value) {
  rules *one = calloc(1, sizeof(rules));
  (void)config;
  if (!one || (!secret && getrandom(&secret, sizeof(secret), 0) != sizeof(secret))) {
    free(one);
    return 0;
  }
  one->kind = &kept, one->room = number(&value);
  return (loaded *)one;
}

static void unload(loaded *one) { free(one); }

/* Put down how much of it Envoy has. */
static void hold(bodied *one, word size) { /* with the lock held */
  all_held += size - one->held;
  *one->of_app += size - one->held;
  one->held = size;
}

static void answer(const bodied *one, unsigned status, text why) {
  envoy_dynamic_module_callback_http_send_response(one->base.envoy, status, 0, 0, TEXT(""), why);
}

/* Put down how much of it Envoy has, and say whether there is room for that; if not, it is answered. An app has half of the
   room. A new one, of which nobody knows how much will come, has a quarter more: what is small is refused only where there
   is very much. What has come to its end the app has. */
static int has_room(bodied *one, word size, _Bool ends) {
  word of_all = ((const rules *)one->base.config)->room, of_app = of_all / 2, more = one->came ? 0 : of_all / 4;
  int app_has_its_part = 0;
  pthread_mutex_lock(&guard);
  hold(one, size);
  if (of_all && !ends && (!one->came || one->came > SMALL)) {
    app_has_its_part = *one->of_app > of_app + more;
    one->refused = app_has_its_part || all_held > of_all + more;
    if (one->refused) hold(one, 0);
  }
  pthread_mutex_unlock(&guard);
  if (one->refused)
    answer(one, 503, app_has_its_part ? TEXT("roost_app_bodies_too_many") : TEXT("roost_bodies_too_many"));
  return !one->refused;
}

static word kept_of(const bodied *one) {
  return envoy_dynamic_module_callback_http_get_body_size(one->base.envoy, KEPT_REQUEST_BODY);
}

static void let_go(const bodied *one, word size) {
  if (size) envoy_dynamic_module_callback_http_drain_body(one->base.envoy, KEPT_REQUEST_BODY, size);
}

static int request(filter *base, _Bool ends) {
  bodied *one = (bodied *)base;
  text name = {0, 0};
  if (ends) return CONTINUE;
  envoy_dynamic_module_callback_http_filter_get_attribute_string(base->envoy, ROUTE_NAME, &name);
  one->of_app = &held_by[digest(name, secret) % ROWS];
  return has_room(one, 0, 0) ? CONTINUE : STOP;
}

static int request_goes_on(filter *base, _Bool ends) {
  bodied *one = (bodied *)base;
  word size;
  if (one->refused) return STOP_AND_DROP;
  if (!one->of_app) return CONTINUE;
  if (!one->is_long && (size = kept_of(one)) < one->came) { /* so Envoy no longer adds to it, and can't send it again */
    let_go(one, size);
    one->is_long = 1;
  }
  one->came += envoy_dynamic_module_callback_http_get_body_size(base->envoy, REQUEST_BODY);
  size = one->is_long ? PASSING : one->came;
  return has_room(one, size + (size < PASSING ? size : PASSING), ends) ? CONTINUE : STOP_AND_DROP;
}

static void forget_body_of(bodied *one) {
  if (!one->of_app) return;
  pthread_mutex_lock(&guard);
  hold(one, 0);
  pthread_mutex_unlock(&guard);
  one->of_app = 0;
}

static int response(filter *base, _Bool ends) {
  bodied *one = (bodied *)base;
  text found = {0, 0};
  (void)ends;
  if (one->of_app) let_go(one, kept_of(one)); /* it is the app's own, or the last word of Envoy's: nothing is sent again */
  forget_body_of(one);
  if (!is_order(base->envoy)) return CONTINUE;
  if (envoy_dynamic_module_callback_http_get_header(base->envoy, REQUEST, TEXT("upgrade"), &found, 0, 0))
    answer(one, 501, TEXT("roost_replay_of_websocket"));
  else answer(one, 502, TEXT("roost_replay_too_large"));
  return STOP;
}

static void end(filter *base) { forget_body_of((bodied *)base); }

const kind kept = {
  .name = {"kept", 4}, .size = sizeof(bodied), .load = load, .unload = unload, .request = request,
  .request_goes_on = request_goes_on, .response = response, .end = end,
};

/* Requests' bodies that stand still, or do not end: one of which nothing comes for a time, or that is not whole after a
   long one, and that has no answer yet, is ended. So is one for which there is no room.

   Envoy keeps a body until its request ends, up to a megabyte, since the app may ask for a replay before it answers: what
   it has of all bodies together is counted here, about, and by app. When it is too much, whoever sends more of a body that
   is not small is refused, first those of an app that has its part, so that clients who send much to an app that does
   not answer can't have all requests refused, nor other apps' bodies, nor Envoy killed.

   No filter of its own: the hook before machines (replay_hook.c) is on the way of every request anyway, and has one
   watched only if more comes than its headers. It looks at no byte of a body. State: a list of the requests whose body
   comes. One leaves it before it is freed, whatever happens. What is in a `body` is guarded by the lock, but for
   `scheduler`, which belongs to the thread that serves the request. */

#include "envoy.h"

enum { KEPT = 1 << 20, PASSING = 128 << 10, SMALL = 64 << 10 }; /* bytes: at most; on its way to the app; of little weight */
enum { ROWS = 1024 };

static lock guard;
static body *first;
static word all_held, held_by[ROWS]; /* apps share a row by chance, which nobody outside can foresee */
static u64 secret;

static void leave(body *one) { /* with the lock held */
  if (one->before) one->before->after = one->after; else first = one->after;
  if (one->after) one->after->before = one->before;
  one->before = one->after = 0;
}

/* Say when it is overdue, unless something comes. */
static u64 due(const body *one, u64 at) {
  return one->patience && at + one->patience < one->end ? at + one->patience : one->end;
}

static word *row_of(text app) { /* with the lock held */
  u64 digest;
  if (!secret && getrandom(&secret, sizeof(secret), 0) != sizeof(secret)) secret = 1;
  for (digest = secret; app.length; app.data++, app.length--)
    digest = (digest ^ (unsigned char)*app.data) * 0x9e3779b97f4a7c15ull, digest ^= digest >> 32;
  return &held_by[digest % ROWS];
}

/* Put down how much of it Envoy has. */
static void hold(body *one, word size) { /* with the lock held */
  all_held += size - one->held;
  *one->of_app += size - one->held;
  one->held = size;
}

static word least(word one, word other) { return one < other ? one : other; }

/* Say why no more of it can be taken, if so. An app has half of the room. A new one, of which nobody knows how much will
   come, has a quarter more: what is small is refused only where there is very much of it. */
static int find_room(const body *one) { /* with the lock held */
  word more = one->came ? 0 : one->room / 4;
  if (!one->room || (one->came && one->came <= SMALL)) return BODY_COMES;
  if (*one->of_app > one->room / 2 + more) return BODY_TOO_MANY_OF_APP;
  return all_held > one->room + more ? BODY_ONE_TOO_MANY : BODY_COMES;
}

/* What it holds is as good as gone: else many that come at once would be refused where one is enough. */
static void end_body(body *one, int how) { /* with the lock held */
  leave(one);
  hold(one, 0);
  one->state = how;
  envoy_dynamic_module_callback_http_filter_scheduler_commit(one->scheduler, 0);
}

int look_at_bodies(u64 at) {
  body *one, *next;
  int more;
  pthread_mutex_lock(&guard);
  for (one = first; one; one = next) {
    next = one->after;
    if (one->deadline > at) continue;
    end_body(one, one->deadline == one->end ? BODY_TOO_SLOW : BODY_STALLED);
  }
  more = first != 0;
  pthread_mutex_unlock(&guard);
  return more;
}

int watch_body(body *one, void *envoy, patience how, word room) {
  u64 at = now();
  text app = {0, 0};
  int alone, state;
  if (one->scheduler || !how.whole) return 1;
  envoy_dynamic_module_callback_http_filter_get_attribute_string(envoy, ROUTE_NAME, &app);
  one->scheduler = envoy_dynamic_module_callback_http_filter_scheduler_new(envoy);
  pthread_mutex_lock(&guard);
  alone = !first;
  one->room = room;
  one->of_app = row_of(app);
  one->patience = how.silent;
  one->end = at + how.whole;
  one->deadline = due(one, at);
  one->state = state = find_room(one);
  if (state == BODY_COMES) {
    one->after = first;
    if (first) first->before = one;
    first = one;
  }
  pthread_mutex_unlock(&guard);
  if (state != BODY_COMES) {
    answer_for_body(one, envoy);
    return 0;
  }
  if (alone) wake_clock();
  return 1;
}

/* Say whether it may have its answer: of one that was just to be ended for its time, but not of one of which the app was
   not given all that came. Envoy keeps what it has, and no more. */
int let_body(body *one) {
  int state;
  if (!one->scheduler) return 1;
  pthread_mutex_lock(&guard);
  if (one->state == BODY_COMES) leave(one);
  if (one->state < BODY_ONE_TOO_MANY) {
    hold(one, least(one->came, KEPT));
    one->state = BODY_UNWATCHED;
  }
  state = one->state;
  pthread_mutex_unlock(&guard);
  return state != BODY_ONE_TOO_MANY && state != BODY_TOO_MANY_OF_APP;
}

int body_goes_on(body *one, word size, _Bool ends) {
  int state;
  if (!one->scheduler) return 1;
  pthread_mutex_lock(&guard);
  if (one->state == BODY_COMES) {
    one->came += size;
    hold(one, least(one->came, KEPT) + least(one->came, PASSING));
    if (ends) leave(one), one->state = BODY_IS_WHOLE; /* the app has it all */
    else if ((state = find_room(one)) != BODY_COMES) end_body(one, state);
    else one->deadline = due(one, now());
  }
  state = one->state;
  pthread_mutex_unlock(&guard);
  return state < BODY_ONE_TOO_MANY;
}

/* On the thread that serves the request. */
void answer_for_body(body *one, void *envoy) {
  text why;
  int state;
  pthread_mutex_lock(&guard);
  state = one->state;
  if (state >= BODY_ONE_TOO_MANY) one->state = BODY_REFUSED;
  pthread_mutex_unlock(&guard);
  if (state == BODY_ONE_TOO_MANY || state == BODY_TOO_MANY_OF_APP) {
    why = state == BODY_ONE_TOO_MANY ? TEXT("roost_bodies_too_many") : TEXT("roost_app_bodies_too_many");
    envoy_dynamic_module_callback_http_send_response(envoy, 503, 0, 0, TEXT(""), why);
    return;
  }
  if (state != BODY_STALLED && state != BODY_TOO_SLOW) return;
  why = state == BODY_STALLED ? TEXT("roost_body_stalled") : TEXT("roost_body_too_slow");
  envoy_dynamic_module_callback_http_send_response(envoy, 408, 0, 0, TEXT(""), why);
}

void forget_body(body *one) {
  if (!one->scheduler) return;
  pthread_mutex_lock(&guard);
  if (one->state == BODY_COMES) leave(one);
  hold(one, 0);
  pthread_mutex_unlock(&guard);
  envoy_dynamic_module_callback_http_filter_scheduler_delete(one->scheduler);
}

patience patience_from(text *value) {
  patience found;
  found.silent = (u64)number(value) * 1000000ull;
  found.whole = (u64)number(value) * 1000000ull;
  while (value->length && *value->data == ' ') value->data++, value->length--;
  return found;
}

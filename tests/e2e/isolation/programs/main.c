/* hostile hold NAME...: carries out attacks in one process, and keeps what they got until it is killed.
   hostile NAME...: carries out attacks and prints for each its name and DONE, or the name of the error that met it.
   Each runs in a child, so that one that is killed (SIGNAL n) or hangs (HANGS) does not end the rest. */
#include "hostile.h"

static const struct attack *find(const char *name) {
  const struct attack *tables[] = {kernel_attacks, file_attacks, process_attacks, network_attacks, ordinary_acts};
  for (int i = 0; i < 5; i++)
    for (const struct attack *a = tables[i]; a->name; a++)
      if (!strcmp(a->name, name)) return a;
  return NULL;
}

static void attempt(const char *name) {
  const struct attack *a = find(name);
  int ends[2], status = 0;
  char said[64] = "";
  if (!a || pipe(ends)) {
    printf("%s UNKNOWN\n", name);
    return;
  }
  pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    alarm(20); /* gVisor on a busy server takes seconds to make a thousand processes */
    errno = 0;
    const char *end = a->run() == 0 ? "DONE" : strerrorname_np(errno);
    if (!end) end = "ERROR";
    if (write(ends[1], end, strlen(end)) < 0) _exit(2);
    _exit(0);
  }
  close(ends[1]);
  ssize_t got = read(ends[0], said, sizeof said - 1);
  close(ends[0]);
  waitpid(child, &status, 0);
  if (got > 0)
    printf("%s %s\n", name, said);
  else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
    printf("%s HANGS\n", name);
  else
    printf("%s SIGNAL%d\n", name, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int main(int count, char **names) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (count == 2 && !strcmp(names[1], "am-i-root")) /* of a program that is to run as its owner */
    return geteuid() == 0 || getegid() == 0 || setuid(0) == 0 ? 77 : 1;
  if (count > 1 && !strcmp(names[1], "hold")) {
    for (int i = 2; i < count; i++) {
      const struct attack *a = find(names[i]);
      if (a) printf("%s %s\n", names[i], a->run() == 0 ? "DONE" : strerrorname_np(errno));
    }
    for (;;) pause();
  }
  for (int i = 1; i < count; i++) attempt(names[i]);
  return 0;
}

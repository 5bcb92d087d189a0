// Locks in an event loop (epoll): nothing here blocks but epoll_wait.
#include <fencelock.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

enum { JOBS = 3 };

static const char *const NAMES[JOBS] = {"mail", "billing", "backup"};

struct job {
  const char *name;
  fencelock_lease *lease;
  int done;
};

static void failed(const char *what, fencelock_error *error) {
  fprintf(stderr, "%s: %s\n", what, fencelock_error_message(error));
  fencelock_error_free(error);
}

// The lock is ours: work, then give it back, which is told by another event.
static void granted(struct job *job) {
  fencelock_error *error = NULL;
  // A loss on the way would be an event, too.
  if (fencelock_lease_watch(job->lease, job, &error) != FENCELOCK_OK)
    failed("watch", error);
  printf("%s: held\n", job->name);
  if (fencelock_begin_release(job->lease, job, &error) != FENCELOCK_OK) {
    failed(job->name, error);
    job->done = 1;
  }
}

static void handle(fencelock_event *event) {
  fencelock_error *error = NULL;
  fencelock_lease *lease = NULL;
  void *userdata = NULL;
  int32_t kind = 0;
  fencelock_event_kind(event, &kind, NULL);
  fencelock_event_userdata(event, &userdata, NULL);
  struct job *job = userdata;
  // As the call would have answered that the event is about.
  int32_t status = fencelock_event_outcome(event, &lease, &error);
  if (status != FENCELOCK_OK)
    failed(job->name, error);
  if (kind == FENCELOCK_EVENT_ACQUIRE && status == FENCELOCK_OK) {
    job->lease = lease;
    granted(job);
  } else if (kind == FENCELOCK_EVENT_LOST) {
    printf("%s: lost, stop its work\n", job->name);
  } else {
    job->done = 1;
  }
}

// Takes every event that is there.
static void drain(fencelock_client *client) {
  fencelock_event *event = NULL;
  while (fencelock_next_event(client, &event, NULL) == FENCELOCK_OK && event != NULL) {
    handle(event);
    fencelock_event_free(event);
  }
}

static int all_done(const struct job *jobs) {
  int done = 1;
  for (int i = 0; i < JOBS; i++)
    done = done && jobs[i].done;
  return done;
}

int main(void) {
  fencelock_error *error = NULL;
  fencelock_client *client = NULL;
  int descriptor = -1;
  if (fencelock_connect(NULL, NULL, &client, &error) != FENCELOCK_OK ||
      fencelock_client_fd(client, &descriptor, &error) != FENCELOCK_OK) {
    failed("connect", error);
    return 1;
  }
  int loop = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event wanted = {.events = EPOLLIN};
  epoll_ctl(loop, EPOLL_CTL_ADD, descriptor, &wanted);

  struct job jobs[JOBS] = {{0}};
  for (int i = 0; i < JOBS; i++) {
    jobs[i].name = NAMES[i];
    // 5 s; what comes of it is an event with this job.
    if (fencelock_begin_acquire(client, NAMES[i], strlen(NAMES[i]), 5000, NULL, &jobs[i], &error) !=
        FENCELOCK_OK) {
      failed(NAMES[i], error);
      jobs[i].done = 1;
    }
  }
  while (!all_done(jobs)) {
    struct epoll_event ready;
    if (epoll_wait(loop, &ready, 1, -1) == 1)
      drain(client);
  }

  for (int i = 0; i < JOBS; i++)
    fencelock_lease_free(jobs[i].lease);
  // Out of the loop before the client closes it.
  epoll_ctl(loop, EPOLL_CTL_DEL, descriptor, NULL);
  fencelock_client_free(client);
  return 0;
}

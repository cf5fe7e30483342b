// The owner loop: libuv's loop, the inbox of messages from other threads, and work on the pool.
#include "loop/internal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    BATCH_MAX = 1024,           // messages run in one turn, so that sockets get theirs
    BUSY_MAX_MS = 100,          // idle is called at the latest after so long a stream of messages
};

static void on_wake(uv_poll_t *p, int status, int events);
static void take_inbox(struct sld_loop *l);
static void run_batch(struct sld_loop *l);
static void on_turn_end(uv_check_t *c);
static void drop_messages(struct sld_message *m);

struct sld_loop *sld_loop_create(const char *name)
{
    struct sld_loop *l = SLD_NEW(struct sld_loop);
    signal(SIGPIPE, SIG_IGN); // a peer that left is an error of the write, not our end
    snprintf(l->name, sizeof(l->name), "%s", name);
    sld_loop_uv_check(uv_loop_init(&l->uv), "uv_loop_init");
    sld_loop_uv_check(uv_mutex_init(&l->lock), "uv_mutex_init");
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    sld_loop_uv_check(l->wake_fd < 0 ? uv_translate_sys_error(errno) : 0, "eventfd");
    sld_loop_uv_check(uv_poll_init(&l->uv, &l->wake, l->wake_fd), "uv_poll_init");
    sld_loop_uv_check(uv_poll_start(&l->wake, UV_READABLE, on_wake), "uv_poll_start");
    l->uv.data = l;
    sld_loop_uv_check(uv_check_init(&l->uv, &l->check), "uv_check_init");
    sld_loop_uv_check(uv_idle_init(&l->uv, &l->hurry), "uv_idle_init");
    l->inbox_tail = &l->inbox;
    l->later_tail = &l->later;
    sld_list_init(&l->forgotten);
    atomic_store(&l->owner, (uintptr_t)pthread_self());
    return l;
}

void sld_loop_destroy(struct sld_loop *l)
{
    if (!l)
        return;
    // Whoever destroys a loop has joined its thread, and is its owner from here on.
    atomic_store(&l->owner, (uintptr_t)pthread_self());
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->hurry, NULL);
    sld_loop_close_forgotten(l);
    // A stop that came after the last run must not end this one early.
    while (uv_run(&l->uv, UV_RUN_DEFAULT) != 0)
        continue;
    sld_loop_uv_check(uv_loop_close(&l->uv), "uv_loop_close: a handle is still open");
    close(l->wake_fd);
    drop_messages(l->batch);
    drop_messages(l->inbox);
    drop_messages(l->later);
    uv_mutex_destroy(&l->lock);
    sld_xfree(l);
}

// Not uv_async_send: a loop that wakes before its sender went on turns in a circle until it has, and that takes long
// when there are more threads than processors.
static void wake(const struct sld_loop *l)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(l->wake_fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
    SLD_INV(n == sizeof(one) || errno == EAGAIN); // it wakes already
}

void sld_loop_run(struct sld_loop *l)
{
    atomic_store(&l->owner, (uintptr_t)pthread_self());
    if (getpid() != gettid()) // the main thread's name is the process's
        pthread_setname_np(pthread_self(), l->name);
    while (!atomic_exchange(&l->stop, false))
        uv_run(&l->uv, UV_RUN_ONCE);
}

void sld_loop_stop(struct sld_loop *l)
{
    atomic_store(&l->stop, true);
    wake(l);
}

struct uv_loop_s *sld_loop_uv(struct sld_loop *l)
{
    return &l->uv;
}

void sld_loop_assert_owner(const struct sld_loop *l)
{
    SLD_PRE(atomic_load_explicit(&l->owner, memory_order_relaxed) == (uintptr_t)pthread_self());
}

void sld_loop_post(struct sld_loop *l, struct sld_message *m)
{
    m->next = NULL;
    uv_mutex_lock(&l->lock);
    bool first = !l->inbox;
    *l->inbox_tail = m;
    l->inbox_tail = &m->next;
    uv_mutex_unlock(&l->lock);
    if (first) // else it was woken for those before
        wake(l);
}

// ---- The end of a turn ----

static void on_hurry(uv_idle_t *i)
{
    (void)i; // that it is there is all
}

void sld_loop_defer(struct sld_loop *l, struct sld_message *m)
{
    sld_loop_assert_owner(l);
    m->next = NULL;
    *l->later_tail = m;
    l->later_tail = &m->next;
    uv_check_start(&l->check, on_turn_end);
    uv_idle_start(&l->hurry, on_hurry);
}

static void on_turn_end(uv_check_t *c)
{
    struct sld_loop *l = c->loop->data;
    for (int i = 0; i < BATCH_MAX && l->later; i++) {
        struct sld_message *m = l->later;
        l->later = m->next;
        if (!l->later)
            l->later_tail = &l->later;
        m->next = NULL;
        m->run(m);
    }
    if (l->later)
        return;
    uv_check_stop(&l->check);
    uv_idle_stop(&l->hurry);
}

void sld_loop_on_idle(struct sld_loop *l, void (*fn)(void *user), void *user)
{
    sld_loop_assert_owner(l);
    l->idle = fn;
    l->idle_user = user;
}

// ---- Work on the pool ----

struct work {
    uv_work_t rq;
    void (*work)(void *user);
    void (*done)(void *user);
    void *user;
};

static void work_run(uv_work_t *rq)
{
    struct work *w = rq->data;
    w->work(w->user);
}

static void work_done(uv_work_t *rq, int status)
{
    struct work *w = rq->data;
    (void)status; // only a cancelled request fails, and nothing here cancels
    w->done(w->user);
    sld_xfree(w);
}

void sld_loop_work(struct sld_loop *l, void (*work)(void *user), void (*done)(void *user),
                   void *user)
{
    sld_loop_assert_owner(l);
    struct work *w = SLD_NEW(struct work);
    *w = (struct work){.work = work, .done = done, .user = user};
    w->rq.data = w;
    sld_loop_uv_check(uv_queue_work(&l->uv, &w->rq, work_run, work_done), "uv_queue_work");
}

// ---- Inside ----

void sld_loop_uv_check(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %s\n", what, uv_strerror(rc));
    SLD_INV(rc == 0);
}

static void on_wake(uv_poll_t *p, int status, int events)
{
    struct sld_loop *l = p->loop->data;
    uint64_t count;
    (void)status; // an eventfd has no errors
    (void)events;
    (void)!read(l->wake_fd, &count, sizeof(count));
    if (!l->batch)
        take_inbox(l);
    if (!l->batch)
        return;
    if (!l->busy_since_ns)
        l->busy_since_ns = sld_mono_ns();
    run_batch(l);
    if (!l->batch)
        take_inbox(l); // what came meanwhile waits for the next turn
    bool left = l->batch != NULL;
    if (left)
        wake(l);
    if (left && sld_mono_ns() - l->busy_since_ns < BUSY_MAX_MS * UINT64_C(1000000))
        return;
    l->busy_since_ns = 0;
    if (l->idle)
        l->idle(l->idle_user);
}

static void take_inbox(struct sld_loop *l)
{
    uv_mutex_lock(&l->lock);
    l->batch = l->inbox;
    l->inbox = NULL;
    l->inbox_tail = &l->inbox;
    uv_mutex_unlock(&l->lock);
}

static void run_batch(struct sld_loop *l)
{
    for (int i = 0; i < BATCH_MAX && l->batch; i++) {
        struct sld_message *m = l->batch;
        l->batch = m->next;
        m->next = NULL;
        m->run(m);
    }
}

static void drop_messages(struct sld_message *m)
{
    while (m) {
        struct sld_message *next = m->next;
        if (m->drop)
            m->drop(m);
        m = next;
    }
}

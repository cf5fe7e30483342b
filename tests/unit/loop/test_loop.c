// Messages, idle, timers, signals and work of an owner loop.
#include "loop/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

enum { SENDERS = 4, PER_SENDER = 5000 };

struct inbox_test {
    struct sld_loop *loop;
    unsigned next[SENDERS]; // number expected of each sender
    unsigned total;
    unsigned idles;
    unsigned idle_total;    // total when idle was called last
    bool in_order;
};

struct numbered {
    struct sld_message msg;
    struct inbox_test *test;
    unsigned sender, number;
};

static void numbered_run(struct sld_message *m)
{
    struct numbered *n = (struct numbered *)m;
    struct inbox_test *t = n->test;
    t->in_order = t->in_order && t->next[n->sender] == n->number;
    t->next[n->sender]++;
    t->total++;
    sld_xfree(n);
}

struct sender {
    struct inbox_test *test;
    unsigned id;
};

static void *send_all(void *arg)
{
    struct sender *s = arg;
    for (unsigned i = 0; i < PER_SENDER; i++) {
        struct numbered *n = SLD_NEW(struct numbered);
        *n = (struct numbered){.msg = {.run = numbered_run},
                               .test = s->test, .sender = s->id, .number = i};
        sld_loop_post(s->test->loop, &n->msg);
    }
    return NULL;
}

static void inbox_idle(void *user)
{
    struct inbox_test *t = user;
    t->idles++;
    t->idle_total = t->total;
    if (t->total == SENDERS * PER_SENDER)
        sld_loop_stop(t->loop);
}

static void test_messages_keep_order_and_idle_follows(void **state)
{
    (void)state;
    struct inbox_test t = {.loop = sld_loop_create("test"), .in_order = true};
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    sld_loop_on_idle(t.loop, inbox_idle, &t);
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&t, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    sld_loop_run(t.loop);
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(t.total, SENDERS * PER_SENDER);
    assert_true(t.in_order);
    assert_int_equal(t.idle_total, t.total);
    assert_true(t.idles >= 1);
    sld_loop_destroy(t.loop);
}

// A message that posts itself again, so that the inbox is never empty.
struct endless {
    struct sld_message msg;
    struct sld_loop *loop;
    unsigned runs;
    bool stop;
};

static void endless_run(struct sld_message *m)
{
    struct endless *e = (struct endless *)m;
    e->runs++;
    if (!e->stop)
        sld_loop_post(e->loop, m);
}

static void endless_idle(void *user)
{
    struct endless *e = user;
    e->stop = true;
    sld_loop_stop(e->loop);
}

static void test_idle_is_not_starved(void **state)
{
    (void)state;
    struct endless e = {.loop = sld_loop_create("test"), .msg = {.run = endless_run}};
    sld_loop_on_idle(e.loop, endless_idle, &e);
    sld_loop_post(e.loop, &e.msg);
    sld_loop_run(e.loop); // would not return
    assert_true(e.runs > 1);
    sld_loop_destroy(e.loop);
}

struct droppable {
    struct sld_message msg;
    bool ran, dropped;
};

static void droppable_run(struct sld_message *m)
{
    ((struct droppable *)m)->ran = true;
}

static void droppable_drop(struct sld_message *m)
{
    ((struct droppable *)m)->dropped = true;
}

static void test_queued_messages_are_dropped(void **state)
{
    (void)state;
    struct sld_loop *l = sld_loop_create("test");
    struct droppable a = {.msg = {.run = droppable_run, .drop = droppable_drop}};
    struct droppable b = {.msg = {.run = droppable_run}};
    sld_loop_post(l, &a.msg);
    sld_loop_post(l, &b.msg);
    sld_loop_destroy(l);
    assert_true(a.dropped && !a.ran);
    assert_true(!b.dropped && !b.ran);
}

// ---- The end of a turn ----

struct later_test {
    struct sld_loop *loop;
    struct sld_message first, second, third, posted, dropped;
    char order[8];
    int drops;
};

static void note(struct later_test *t, char c)
{
    t->order[strlen(t->order)] = c;
}

static void second_run(struct sld_message *m)
{
    note(SLD_CONTAINER_OF(m, struct later_test, second), '2');
}

static void third_run(struct sld_message *m)
{
    struct later_test *t = SLD_CONTAINER_OF(m, struct later_test, third);
    note(t, '3');
    sld_loop_stop(t->loop);
}

// Defers another one behind the second: of the same turn, before what is posted meanwhile.
static void first_run(struct sld_message *m)
{
    struct later_test *t = SLD_CONTAINER_OF(m, struct later_test, first);
    note(t, '1');
    sld_loop_post(t->loop, &t->posted);
    sld_loop_defer(t->loop, &t->third);
}

static void posted_run(struct sld_message *m)
{
    note(SLD_CONTAINER_OF(m, struct later_test, posted), 'p');
}

static void later_drop(struct sld_message *m)
{
    SLD_CONTAINER_OF(m, struct later_test, dropped)->drops++;
}

static void defer_two(void *user)
{
    struct later_test *t = user;
    sld_loop_defer(t->loop, &t->first);
    sld_loop_defer(t->loop, &t->second);
    note(t, 't');
}

static void test_deferred_runs_at_the_end_of_the_turn(void **state)
{
    (void)state;
    struct later_test t = {.first.run = first_run, .second.run = second_run, .third.run = third_run, .posted.run = posted_run,
                           .dropped.drop = later_drop};
    t.loop = sld_loop_create("later");
    struct sld_timer *timer = sld_timer_create(t.loop, defer_two, &t);
    sld_timer_start(timer, 0);
    sld_loop_run(t.loop);
    assert_string_equal(t.order, "t123");
    sld_timer_destroy(timer);
    sld_loop_defer(t.loop, &t.dropped);
    sld_loop_destroy(t.loop);
    assert_int_equal(t.drops, 1);
}

static void test_stop_before_run_ends_it(void **state)
{
    (void)state;
    struct sld_loop *l = sld_loop_create("test");
    sld_loop_stop(l);
    sld_loop_run(l);
    sld_loop_destroy(l);
}

// ---- Timers ----

struct timer_test {
    struct sld_loop *loop;
    struct sld_timer *first, *second, *never;
    char order[8];
    unsigned n;
    uint64_t fired_ns;
};

static void first_fired(void *user)
{
    struct timer_test *t = user;
    t->order[t->n++] = '1';
    sld_timer_destroy(t->first); // in its own callback
    sld_timer_stop(t->never);
}

static void second_fired(void *user)
{
    struct timer_test *t = user;
    t->order[t->n++] = '2';
    t->fired_ns = sld_mono_ns();
    if (t->n == 2)
        sld_timer_start(t->second, 0);
    else
        sld_loop_stop(t->loop);
}

static void never_fired(void *user)
{
    struct timer_test *t = user;
    t->order[t->n++] = 'x';
}

static void test_timers(void **state)
{
    (void)state;
    struct timer_test t = {.loop = sld_loop_create("test")};
    t.first = sld_timer_create(t.loop, first_fired, &t);
    t.second = sld_timer_create(t.loop, second_fired, &t);
    t.never = sld_timer_create(t.loop, never_fired, &t);
    uint64_t start = sld_mono_ns();
    sld_timer_start(t.never, 20);
    sld_timer_start(t.second, 60000);
    sld_timer_start(t.second, 30); // moves it
    sld_timer_start(t.first, 0);
    sld_loop_run(t.loop);
    assert_string_equal(t.order, "122");
    assert_true(t.fired_ns - start >= 29 * UINT64_C(1000000));
    sld_timer_destroy(t.second);
    sld_timer_destroy(t.never);
    sld_timer_destroy(NULL);
    sld_loop_destroy(t.loop);
}

// ---- Signals ----

static void got_signal(int signum, void *user)
{
    struct sld_loop *l = user;
    assert_int_equal(signum, SIGUSR1);
    sld_loop_stop(l);
}

static void test_signal(void **state)
{
    (void)state;
    struct sld_loop *l = sld_loop_create("test");
    struct sld_signal *s = sld_signal_create(l, SIGUSR1, got_signal, l);
    kill(getpid(), SIGUSR1);
    sld_loop_run(l);
    sld_signal_destroy(s);
    sld_signal_destroy(NULL);
    sld_loop_destroy(l);
}

// ---- Work ----

struct work_test {
    struct sld_loop *loop;
    pthread_t owner;
    bool other_thread, done_on_owner;
};

static void work_fn(void *user)
{
    struct work_test *t = user;
    t->other_thread = !pthread_equal(t->owner, pthread_self());
}

static void work_done(void *user)
{
    struct work_test *t = user;
    t->done_on_owner = pthread_equal(t->owner, pthread_self());
    sld_loop_stop(t->loop);
}

static void test_work_runs_elsewhere_and_ends_here(void **state)
{
    (void)state;
    struct work_test t = {.loop = sld_loop_create("test"), .owner = pthread_self()};
    sld_loop_work(t.loop, work_fn, work_done, &t);
    sld_loop_run(t.loop);
    assert_true(t.other_thread);
    assert_true(t.done_on_owner);
    sld_loop_destroy(t.loop);
}

// ---- Threads ----

static void *run_loop(void *arg)
{
    sld_loop_run(arg);
    return NULL;
}

struct name_test {
    struct sld_message msg;
    struct sld_loop *loop;
    char name[16];
    pthread_t runner;
};

static void name_run(struct sld_message *m)
{
    struct name_test *t = (struct name_test *)m;
    sld_loop_assert_owner(t->loop);
    t->runner = pthread_self();
    pthread_getname_np(pthread_self(), t->name, sizeof(t->name));
    sld_loop_stop(t->loop);
}

static void test_running_thread_is_owner_and_named(void **state)
{
    (void)state;
    struct name_test t = {.loop = sld_loop_create("sld-model"), .msg = {.run = name_run}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run_loop, t.loop), 0);
    sld_loop_post(t.loop, &t.msg);
    pthread_join(thread, NULL);
    assert_true(pthread_equal(thread, t.runner));
    assert_string_equal(t.name, "sld-model");
    sld_loop_destroy(t.loop);
}

// ---- Descriptors ----

struct poll_test {
    struct sld_loop *loop;
    struct sld_poll *poll;
    int fds[2];
    char got[8];
    size_t n;
};

static void poll_read(void *user)
{
    struct poll_test *t = user;
    ssize_t n = read(t->fds[0], t->got + t->n, 1);
    assert_true(n >= 0);
    t->n += (size_t)n;
    if (t->n == 2 && n > 0) { // its end is told too
        close(t->fds[1]);
    } else if (n == 0) {
        sld_poll_destroy(t->poll);
        sld_loop_stop(t->loop);
    }
}

static void test_descriptor_is_told_until_its_end(void **state)
{
    (void)state;
    struct poll_test t = {.loop = sld_loop_create("test")};
    assert_int_equal(pipe(t.fds), 0);
    t.poll = sld_poll_create(t.loop, t.fds[0], poll_read, &t);
    assert_int_equal(write(t.fds[1], "ab", 2), 2);
    sld_loop_run(t.loop);
    assert_string_equal(t.got, "ab");
    sld_loop_destroy(t.loop);
    close(t.fds[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_keep_order_and_idle_follows),
        cmocka_unit_test(test_idle_is_not_starved),
        cmocka_unit_test(test_queued_messages_are_dropped),
        cmocka_unit_test(test_deferred_runs_at_the_end_of_the_turn),
        cmocka_unit_test(test_stop_before_run_ends_it),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_signal),
        cmocka_unit_test(test_work_runs_elsewhere_and_ends_here),
        cmocka_unit_test(test_running_thread_is_owner_and_named),
        cmocka_unit_test(test_descriptor_is_told_until_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

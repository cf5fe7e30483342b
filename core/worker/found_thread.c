// The thread in which plugins discover.
#include "worker/found_thread.h"

#include <pthread.h>
#include <signal.h>

// Shared by both threads and by what is on its way between them, which may outlive the thread.
struct shared {
    struct sld_obj obj;
    bool ended; // [io]
    struct sld_finders_events ev;
};

struct sld_found_thread {
    pthread_t thread;
    struct sld_loop *io, *loop;
    struct sld_reactor *reactor;
    struct sld_finders *finders;
    struct shared *shared;
};

enum says { BEGIN, PUT, GONE, SYNCED, PROBLEM };

// One event on its way to io.
struct news {
    struct sld_message msg; // first
    struct shared *shared;
    struct sld_arena arena;
    enum says says;
    struct sld_str plugin, text; // TEXT: a name, or words
    struct sld_blob *bytes;
};

// What the thread is to do.
struct order {
    struct sld_message msg; // first
    struct sld_found_thread *t;
    struct sld_discover_plan *plan; // own reference; NULL: PLUGIN is gone
    struct sld_arena arena;
    struct sld_str plugin;
};

// ---- To io ----

static void news_free(struct sld_message *m)
{
    struct news *n = (struct news *)m;
    SLD_UNREF(n->shared);
    SLD_UNREF(n->bytes);
    sld_arena_fini(&n->arena);
    sld_xfree(n);
}

static void news_run(struct sld_message *m)
{
    struct news *n = (struct news *)m;
    const struct sld_finders_events *ev = &n->shared->ev;
    if (n->shared->ended) {
        news_free(m);
        return;
    }
    switch (n->says) {
    case BEGIN:
        ev->on_begin(ev->user, n->plugin);
        break;
    case PUT:
        ev->on_put(ev->user, n->plugin, n->text, n->bytes);
        break;
    case GONE:
        ev->on_gone(ev->user, n->plugin, n->text);
        break;
    case SYNCED:
        ev->on_synced(ev->user, n->plugin);
        break;
    default:
        ev->on_problem(ev->user, n->plugin, n->text);
        break;
    }
    news_free(m);
}

static void tell(void *user, enum says says, struct sld_str plugin, struct sld_str text, struct sld_blob *bytes)
{
    struct sld_found_thread *t = user;
    struct news *n = SLD_NEW(struct news);
    n->msg = (struct sld_message){.run = news_run, .drop = news_free};
    n->shared = sld_obj_ref(t->shared);
    n->says = says;
    n->plugin = sld_arena_str(&n->arena, plugin);
    n->text = text.p ? sld_arena_str(&n->arena, text) : text;
    n->bytes = sld_obj_ref(bytes);
    sld_loop_post(t->io, &n->msg);
}

static void on_begin(void *user, struct sld_str plugin)
{
    tell(user, BEGIN, plugin, SLD_STR_NONE, NULL);
}

static void on_put(void *user, struct sld_str plugin, struct sld_str name, struct sld_blob *bytes)
{
    tell(user, PUT, plugin, name, bytes);
}

static void on_gone(void *user, struct sld_str plugin, struct sld_str name)
{
    tell(user, GONE, plugin, name, NULL);
}

static void on_synced(void *user, struct sld_str plugin)
{
    tell(user, SYNCED, plugin, SLD_STR_NONE, NULL);
}

static void on_problem(void *user, struct sld_str plugin, struct sld_str message)
{
    tell(user, PROBLEM, plugin, message, NULL);
}

// ---- To the thread ----

static void order_free(struct sld_message *m)
{
    struct order *o = (struct order *)m;
    SLD_UNREF(o->plan);
    sld_arena_fini(&o->arena);
    sld_xfree(o);
}

static void order_run(struct sld_message *m)
{
    struct order *o = (struct order *)m;
    if (o->plan)
        sld_finders_set(o->t->finders, o->plan);
    else
        sld_finders_remove(o->t->finders, o->plugin);
    order_free(m);
}

static void give(struct sld_found_thread *t, struct sld_discover_plan *p, struct sld_str plugin)
{
    struct order *o = SLD_NEW(struct order);
    o->msg = (struct sld_message){.run = order_run, .drop = order_free};
    o->t = t;
    o->plan = sld_obj_ref(p);
    o->plugin = sld_arena_str(&o->arena, plugin);
    sld_loop_post(t->loop, &o->msg);
}

void sld_found_thread_set(struct sld_found_thread *t, struct sld_discover_plan *p)
{
    give(t, p, SLD_STR(""));
}

void sld_found_thread_remove(struct sld_found_thread *t, struct sld_str plugin)
{
    give(t, NULL, plugin);
}

// ---- Its life ----

static void *thread_main(void *arg)
{
    struct sld_found_thread *t = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    sld_loop_run(t->loop);
    sld_finders_destroy(t->finders); // what is made on a loop ends on its thread
    sld_reactor_destroy(t->reactor);
    return NULL;
}

static void shared_free(struct sld_obj *o)
{
    sld_xfree(o);
}

struct sld_found_thread *sld_found_thread_create(struct sld_loop *io, const struct sld_finders_events *ev)
{
    const struct sld_finders_events own = {on_begin, on_put, on_gone, on_synced, on_problem, NULL};
    struct sld_found_thread *t = SLD_NEW(struct sld_found_thread);
    t->io = io;
    t->loop = sld_loop_create("discover");
    t->shared = SLD_NEW(struct shared);
    sld_obj_init(&t->shared->obj, shared_free, (struct sld_hash){0});
    t->shared->ev = *ev;
    t->reactor = sld_reactor_create(t->loop);
    struct sld_finders_events mine = own;
    mine.user = t;
    t->finders = sld_finders_create(t->reactor, &mine);
    int rc = pthread_create(&t->thread, NULL, thread_main, t);
    SLD_INV(rc == 0);
    return t;
}

void sld_found_thread_destroy(struct sld_found_thread *t)
{
    if (!t)
        return;
    t->shared->ended = true;
    sld_loop_stop(t->loop);
    pthread_join(t->thread, NULL);
    sld_loop_destroy(t->loop);
    SLD_UNREF(t->shared);
    sld_xfree(t);
}

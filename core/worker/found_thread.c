// The thread in which plugins discover.
#include "worker/inside.h"

#include "plugin/backends.h"

#include <pthread.h>
#include <signal.h>

// Shared by both threads and by what is on its way between them, which may outlive the thread.
struct shared {
    struct sld_obj obj;
    bool ended; // [io]
    struct sld_finders_events ev;
    void (*on_report)(void *user, struct sld_arena_obj *report);
    void *user;
};

struct sld_found_thread {
    pthread_t thread;
    struct sld_loop *io, *loop;
    struct sld_reactor *reactor;
    struct sld_finders *finders;
    struct sld_timer *timer; // of reports
    struct shared *shared;
};

enum says { BEGIN, PUT, GONE, SYNCED, PROBLEM, SECRET, REPORT };
enum { REPORT_MS = 1000 };

// One event on its way to io.
struct news {
    struct sld_message msg; // first
    struct shared *shared;
    struct sld_arena arena;
    enum says says;
    struct sld_str plugin, text; // TEXT: a name, or words
    struct sld_blob *bytes;
    struct sld_secret_news secret;
    struct sld_arena_obj *report; // own reference, or NULL
};

// What the thread is to do.
struct order {
    struct sld_message msg; // first
    struct sld_found_thread *t;
    struct sld_discover_plan *plan; // own reference; NULL: PLUGIN is gone, or there is REF
    struct sld_arena arena;
    struct sld_str plugin, ref;
    bool wanted;
    struct sld_plugin_backends *backends; // own reference, or NULL
};

// ---- To io ----

static void news_free(struct sld_message *m)
{
    struct news *n = (struct news *)m;
    SLD_UNREF(n->shared);
    SLD_UNREF(n->bytes);
    SLD_UNREF(n->report);
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
    case SECRET:
        ev->on_secret(ev->user, &n->secret);
        break;
    case REPORT:
        n->shared->on_report(n->shared->user, n->report);
        n->report = NULL;
        break;
    default:
        ev->on_problem(ev->user, n->plugin, n->text);
        break;
    }
    news_free(m);
}

static struct news *news(struct sld_found_thread *t, enum says says, struct sld_str plugin)
{
    struct news *n = SLD_NEW(struct news);
    n->msg = (struct sld_message){.run = news_run, .drop = news_free};
    n->shared = sld_obj_ref(t->shared);
    n->says = says;
    n->plugin = sld_arena_str(&n->arena, plugin);
    return n;
}

static void tell(void *user, enum says says, struct sld_str plugin, struct sld_str text, struct sld_blob *bytes)
{
    struct sld_found_thread *t = user;
    struct news *n = news(t, says, plugin);
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

static void on_secret(void *user, const struct sld_secret_news *s)
{
    struct sld_found_thread *t = user;
    struct news *n = news(t, SECRET, s->plugin);
    n->secret = *s;
    n->secret.plugin = n->plugin;
    n->secret.ref = sld_arena_str(&n->arena, s->ref);
    n->secret.problem = s->problem.p ? sld_arena_str(&n->arena, s->problem) : s->problem;
    n->bytes = n->secret.document = sld_obj_ref(s->document);
    sld_loop_post(t->io, &n->msg);
}

// ---- To the thread ----

static void order_free(struct sld_message *m)
{
    struct order *o = (struct order *)m;
    SLD_UNREF(o->plan);
    SLD_UNREF(o->backends);
    sld_arena_fini(&o->arena);
    sld_xfree(o);
}

static void order_run(struct sld_message *m)
{
    struct order *o = (struct order *)m;
    if (o->backends)
        sld_finders_backends(o->t->finders, o->backends);
    else if (o->plan)
        sld_finders_set(o->t->finders, o->plan);
    else if (o->ref.p)
        sld_finders_want(o->t->finders, o->plugin, o->ref, o->wanted);
    else
        sld_finders_remove(o->t->finders, o->plugin);
    order_free(m);
}

static struct order *order(struct sld_found_thread *t)
{
    struct order *o = SLD_NEW(struct order);
    o->msg = (struct sld_message){.run = order_run, .drop = order_free};
    o->t = t;
    return o;
}

void sld_found_thread_set(struct sld_found_thread *t, struct sld_discover_plan *p)
{
    struct order *o = order(t);
    o->plan = sld_obj_ref(p);
    sld_loop_post(t->loop, &o->msg);
}

void sld_found_thread_remove(struct sld_found_thread *t, struct sld_str plugin)
{
    struct order *o = order(t);
    o->plugin = sld_arena_str(&o->arena, plugin);
    sld_loop_post(t->loop, &o->msg);
}

void sld_found_thread_want(struct sld_found_thread *t, struct sld_str plugin, struct sld_str ref, bool wanted)
{
    struct order *o = order(t);
    o->plugin = sld_arena_str(&o->arena, plugin);
    o->ref = sld_arena_str(&o->arena, ref);
    o->wanted = wanted;
    sld_loop_post(t->loop, &o->msg);
}

void sld_found_thread_backends(struct sld_found_thread *t, struct sld_plugin_backends *b)
{
    struct order *o = order(t);
    o->backends = sld_obj_ref(b);
    sld_loop_post(t->loop, &o->msg);
}

// ---- Reports ----

struct reporting {
    struct sld_arena *arena;
    Solder__Worker__Stats *stats;
};

static void report_one(void *arg, struct sld_str name, const struct sld_plugin *p, size_t published, int64_t published_ms)
{
    struct reporting *r = arg;
    struct sld_plugin_stats st;
    sld_plugin_stats(p, &st);
    Solder__Worker__PluginStats *m = wk_stats_of(r->arena, name, st.hooks, &st);
    m->published = (uint32_t)published;
    m->published_ms = published_ms;
    SLD_PUSH(r->arena, r->stats->plugins, r->stats->n_plugins, m);
}

static void report(void *user)
{
    struct sld_found_thread *t = user;
    struct news *n = news(t, REPORT, SLD_STR(""));
    n->report = sld_arena_obj_create();
    n->report->root = SLD_MSG(&n->report->arena, Solder__Worker__Stats, solder__worker__stats);
    struct reporting r = {&n->report->arena, n->report->root};
    sld_finders_each(t->finders, report_one, &r);
    sld_loop_post(t->io, &n->msg);
    sld_timer_start(t->timer, REPORT_MS);
}

// ---- Its life ----

static void *thread_main(void *arg)
{
    struct sld_found_thread *t = arg;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    sld_loop_run(t->loop);
    sld_timer_destroy(t->timer);
    sld_finders_destroy(t->finders); // what is made on a loop ends on its thread
    sld_reactor_destroy(t->reactor);
    return NULL;
}

static void shared_free(struct sld_obj *o)
{
    sld_xfree(o);
}

struct sld_found_thread *sld_found_thread_create(struct sld_loop *io, const struct sld_finders_events *ev,
                                                 void (*on_report)(void *user, struct sld_arena_obj *r), void *user)
{
    const struct sld_finders_events own = {on_begin, on_put, on_gone, on_synced, on_problem, on_secret, NULL};
    struct sld_found_thread *t = SLD_NEW(struct sld_found_thread);
    t->io = io;
    t->loop = sld_loop_create("discover");
    t->shared = SLD_NEW(struct shared);
    sld_obj_init(&t->shared->obj, shared_free, (struct sld_hash){0});
    t->shared->ev = *ev;
    t->shared->on_report = on_report;
    t->shared->user = user;
    t->reactor = sld_reactor_create(t->loop);
    t->timer = sld_timer_create(t->loop, report, t);
    sld_timer_start(t->timer, REPORT_MS);
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

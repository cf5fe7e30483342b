// The reactor of a loop.
#include "plugin/reactor.h"

#include "loop/loop.h"

enum { HTTP_PER_HOST = 64 };

struct real {
    struct sld_reactor reactor; // first
    struct sld_loop *loop;
    struct sld_http_client *http; // NULL: nobody asked yet
};

static uint64_t mono_ms(void *user)
{
    (void)user;
    return sld_mono_ns() / 1000000;
}

static int64_t wall_ms(void *user)
{
    (void)user;
    return sld_wall_ms();
}

static void *timer(void *user, uint64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    struct real *r = user;
    struct sld_timer *t = sld_timer_create(r->loop, fn, arg);
    sld_timer_start(t, delay_ms);
    return t;
}

static void timer_end(void *user, void *t)
{
    (void)user;
    sld_timer_destroy(t);
}

struct http {
    struct sld_http_pending *pending; // NULL: it is over
    sld_http_done *done;
    void *arg;
};

static void on_answer(const struct sld_http_answer *a, void *user)
{
    struct http *h = user;
    h->pending = NULL;
    h->done(a, h->arg);
}

static void *http(void *user, const struct sld_http_call *call, sld_http_done *done, void *arg)
{
    struct real *r = user;
    struct http *h = SLD_NEW(struct http);
    if (!r->http)
        r->http = sld_http_client_create(r->loop, HTTP_PER_HOST);
    *h = (struct http){.done = done, .arg = arg};
    h->pending = sld_http_start(r->http, call, on_answer, h);
    return h;
}

static void http_end(void *user, void *call)
{
    struct http *h = call;
    (void)user;
    sld_http_cancel(h->pending);
    sld_xfree(h);
}

static const struct sld_reactor_ops ops = {.mono_ms = mono_ms,
                                           .wall_ms = wall_ms,
                                           .timer = timer,
                                           .timer_end = timer_end,
                                           .http = http,
                                           .http_end = http_end};

struct sld_reactor *sld_reactor_create(struct sld_loop *l)
{
    sld_loop_assert_owner(l);
    struct real *r = SLD_NEW(struct real);
    r->reactor = (struct sld_reactor){&ops, r};
    r->loop = l;
    return &r->reactor;
}

void sld_reactor_destroy(struct sld_reactor *r)
{
    if (!r)
        return;
    sld_http_client_destroy(((struct real *)r)->http);
    sld_xfree(r);
}

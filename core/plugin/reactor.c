// The reactor of a loop.
#include "plugin/reactor.h"

#include "loop/loop.h"

struct real {
    struct sld_reactor reactor; // first
    struct sld_loop *loop;
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

static const struct sld_reactor_ops ops = {.mono_ms = mono_ms, .wall_ms = wall_ms, .timer = timer, .timer_end = timer_end};

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
    sld_xfree(r);
}

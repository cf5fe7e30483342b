// One-shot timers.
#include "loop/internal.h"

struct sld_timer {
    uv_timer_t uv;
    struct sld_loop *loop;
    void (*fn)(void *user);
    void *user;
};

static void on_timer(uv_timer_t *h)
{
    struct sld_timer *t = h->data;
    t->fn(t->user);
}

static void on_close(uv_handle_t *h)
{
    sld_xfree(h->data);
}

struct sld_timer *sld_timer_create(struct sld_loop *l, void (*fn)(void *user), void *user)
{
    sld_loop_assert_owner(l);
    struct sld_timer *t = SLD_NEW(struct sld_timer);
    t->loop = l;
    t->fn = fn;
    t->user = user;
    sld_loop_uv_check(uv_timer_init(&l->uv, &t->uv), "uv_timer_init");
    t->uv.data = t;
    return t;
}

void sld_timer_destroy(struct sld_timer *t)
{
    if (!t)
        return;
    sld_loop_assert_owner(t->loop);
    uv_close((uv_handle_t *)&t->uv, on_close);
}

void sld_timer_start(struct sld_timer *t, uint64_t delay_ms)
{
    sld_loop_assert_owner(t->loop);
    // libuv counts from the time the turn began, which may be long ago.
    uv_update_time(&t->loop->uv);
    sld_loop_uv_check(uv_timer_start(&t->uv, on_timer, delay_ms, 0), "uv_timer_start");
}

void sld_timer_stop(struct sld_timer *t)
{
    sld_loop_assert_owner(t->loop);
    uv_timer_stop(&t->uv);
}

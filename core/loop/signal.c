// Signals as callbacks on the loop.
#include "loop/internal.h"

struct sld_signal {
    uv_signal_t uv;
    struct sld_loop *loop;
    void (*fn)(int signum, void *user);
    void *user;
};

static void on_signal(uv_signal_t *h, int signum)
{
    struct sld_signal *s = h->data;
    s->fn(signum, s->user);
}

static void on_close(uv_handle_t *h)
{
    sld_xfree(h->data);
}

struct sld_signal *sld_signal_create(struct sld_loop *l, int signum,
                                     void (*fn)(int signum, void *user), void *user)
{
    sld_loop_assert_owner(l);
    struct sld_signal *s = SLD_NEW(struct sld_signal);
    s->loop = l;
    s->fn = fn;
    s->user = user;
    sld_loop_uv_check(uv_signal_init(&l->uv, &s->uv), "uv_signal_init");
    s->uv.data = s;
    sld_loop_uv_check(uv_signal_start(&s->uv, on_signal, signum), "uv_signal_start");
    return s;
}

void sld_signal_destroy(struct sld_signal *s)
{
    if (!s)
        return;
    sld_loop_assert_owner(s->loop);
    uv_close((uv_handle_t *)&s->uv, on_close);
}

// Waiting until a descriptor can be read, or written.
#include "loop/internal.h"

struct sld_poll {
    uv_poll_t uv;
    struct sld_loop *loop;
    void (*fn)(void *user);
    void (*writable)(void *user); // NULL: nobody asks
    void *user;
};

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct sld_poll *p = h->data;
    if (status < 0 || events & (UV_READABLE | UV_DISCONNECT)) // an error is found by reading
        p->fn(p->user);
    if (events & UV_WRITABLE && !uv_is_closing((uv_handle_t *)h) && p->writable)
        p->writable(p->user);
}

static void on_close(uv_handle_t *h)
{
    sld_xfree(h->data);
}

struct sld_poll *sld_poll_create(struct sld_loop *l, int fd, void (*fn)(void *user), void *user)
{
    sld_loop_assert_owner(l);
    struct sld_poll *p = SLD_NEW(struct sld_poll);
    p->loop = l;
    p->fn = fn;
    p->user = user;
    sld_loop_uv_check(uv_poll_init(&l->uv, &p->uv, fd), "uv_poll_init");
    p->uv.data = p;
    sld_loop_uv_check(uv_poll_start(&p->uv, UV_READABLE, on_poll), "uv_poll_start");
    return p;
}

void sld_poll_on_writable(struct sld_poll *p, void (*fn)(void *user))
{
    sld_loop_assert_owner(p->loop);
    p->writable = fn;
    sld_loop_uv_check(uv_poll_start(&p->uv, UV_READABLE | (fn ? UV_WRITABLE : 0), on_poll), "uv_poll_start");
}

void sld_poll_destroy(struct sld_poll *p)
{
    if (!p)
        return;
    sld_loop_assert_owner(p->loop);
    uv_close((uv_handle_t *)&p->uv, on_close);
}

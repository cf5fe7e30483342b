// HTTP calls on the loop: libcurl's multi interface, its sockets and its timer on libuv.
//
//   curl --(watch this socket / wake me in n ms)--> uv_poll_t, uv_timer_t
//        --> curl_multi_socket_action --> curl_multi_info_read --> done
#include <uv.h>

#include "loop/loop.h"
#include "net/http_easy.h"
#include "net/http_stream.h"

enum { IDLE_CONNECTIONS_MAX = 64 };

struct sld_http_client {
    struct sld_loop *loop;
    CURLM *multi;
    uv_timer_t timer;
    struct sld_list calls;     // of struct sld_http_pending
    struct sld_list streams;   // of struct sld_http_stream
    unsigned handles;          // of libuv, not closed yet
    bool destroyed;
};

struct sld_http_pending {
    struct sld_list link;
    struct sld_http_client *client;
    struct sld_http_easy *easy;
    sld_http_done *done;
    void *user;
    struct sld_http_stream *stream; // whose call it is; NULL: it has DONE
};

struct sld_http_stream {
    struct sld_list link;
    struct sld_http_client *client;
    struct sld_http_pending *pending; // NULL: it has ended
    struct sld_http_easy *easy;
    void (*news)(void *user);
    void *user;
    struct sld_err err;
    bool broken; // ERR says why
};

struct watch {
    uv_poll_t poll;
    struct sld_http_client *client;
    curl_socket_t socket;
};

static void check_done(struct sld_http_client *c);

static void handle_gone(struct sld_http_client *c)
{
    if (--c->handles == 0 && c->destroyed)
        sld_xfree(c);
}

// ---- libcurl on libuv ----

static void on_timer(uv_timer_t *t)
{
    struct sld_http_client *c = t->data;
    int running = 0;
    (void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    check_done(c);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user)
{
    struct sld_http_client *c = user;
    (void)multi;
    if (c->destroyed)
        return 0;
    uv_update_time(c->timer.loop);
    if (timeout_ms < 0)
        uv_timer_stop(&c->timer);
    else
        uv_timer_start(&c->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct watch *w = p->data;
    struct sld_http_client *c = w->client;
    int what = status < 0 ? CURL_CSELECT_ERR : 0;
    int running = 0;
    if (events & UV_READABLE)
        what |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        what |= CURL_CSELECT_OUT;
    (void)curl_multi_socket_action(c->multi, w->socket, what, &running);
    check_done(c); // W may be gone
}

static void on_watch_closed(uv_handle_t *h)
{
    struct watch *w = h->data;
    struct sld_http_client *c = w->client;
    sld_xfree(w);
    handle_gone(c);
}

static int on_curl_socket(CURL *easy, curl_socket_t s, int what, void *user, void *socket_user)
{
    struct sld_http_client *c = user;
    struct watch *w = socket_user;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            curl_multi_assign(c->multi, s, NULL);
            uv_poll_stop(&w->poll); // at once: libcurl closes the socket next
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        }
        return 0;
    }
    if (!w) {
        w = SLD_NEW(struct watch);
        w->client = c;
        w->socket = s;
        w->poll.data = w;
        if (uv_poll_init_socket(sld_loop_uv(c->loop), &w->poll, s) != 0) {
            sld_xfree(w);
            return -1;
        }
        c->handles++;
        curl_multi_assign(c->multi, s, w);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_poll) == 0 ? 0 : -1;
}

// ---- Calls ----

static void pending_free(struct sld_http_pending *p)
{
    curl_multi_remove_handle(p->client->multi, p->easy->easy);
    sld_list_remove(&p->link);
    sld_http_easy_destroy(p->easy);
    sld_xfree(p);
}

// The call is over; what came stays.
static void stream_ended(struct sld_http_pending *p, CURLcode rc)
{
    struct sld_http_stream *s = p->stream;
    curl_multi_remove_handle(p->client->multi, p->easy->easy);
    sld_list_remove(&p->link);
    s->broken = sld_http_easy_result(s->easy, rc, &s->err) != SLD_OK;
    s->easy->news = true;
    s->pending = NULL;
    sld_xfree(p);
}

static void finish(struct sld_http_pending *p, CURLcode rc)
{
    if (p->stream) {
        stream_ended(p, rc);
        return;
    }
    struct sld_http_easy *e = p->easy;
    struct sld_err err = {0};
    struct sld_http_answer a = {0};
    // Out of the list first: DONE may destroy the client.
    curl_multi_remove_handle(p->client->multi, e->easy);
    sld_list_remove(&p->link);
    if (sld_http_easy_result(e, rc, &err) == SLD_OK)
        a = (struct sld_http_answer){.status = e->status, .headers = e->answer_headers,
                                     .header_count = e->answer_header_count,
                                     .body = e->body.n ? sld_buf_str(&e->body) : SLD_STR("")};
    else
        a = (struct sld_http_answer){.err = &err, .hung_up = sld_http_easy_hung_up(e, rc)};
    p->done(&a, p->user);
    sld_http_easy_destroy(e);
    sld_xfree(p);
}

// Whoever is told may close any of them.
static void tell_streams(struct sld_http_client *c)
{
    struct sld_http_stream *next;
    do {
        next = NULL;
        SLD_LIST_EACH (it, &c->streams) {
            struct sld_http_stream *s = SLD_CONTAINER_OF(it, struct sld_http_stream, link);
            next = s->easy->news ? s : next;
        }
        if (next) {
            next->easy->news = false;
            next->news(next->user);
        }
    } while (next && !c->destroyed);
}

static void check_done(struct sld_http_client *c)
{
    int left = 0;
    CURLMsg *m = NULL;
    c->handles++; // C stays while DONE may destroy it
    while (!c->destroyed && (m = curl_multi_info_read(c->multi, &left)) != NULL) {
        struct sld_http_pending *p = NULL;
        CURLcode rc = m->data.result;
        char *private = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        p = (struct sld_http_pending *)(void *)private;
        finish(p, rc);
    }
    tell_streams(c);
    handle_gone(c);
}

static struct sld_http_pending *start(struct sld_http_client *c, const struct sld_http_call *call)
{
    sld_loop_assert_owner(c->loop);
    SLD_PRE(!c->destroyed);
    struct sld_http_pending *p = SLD_NEW(struct sld_http_pending);
    p->client = c;
    p->easy = sld_http_easy_create(call);
    curl_easy_setopt(p->easy->easy, CURLOPT_PRIVATE, p);
    sld_list_push(&c->calls, &p->link);
    CURLMcode rc = curl_multi_add_handle(c->multi, p->easy->easy); // starts by the timer
    SLD_INV(rc == CURLM_OK);
    return p;
}

struct sld_http_pending *sld_http_start(struct sld_http_client *c, const struct sld_http_call *call,
                                        sld_http_done *done, void *user)
{
    struct sld_http_pending *p = start(c, call);
    p->done = done;
    p->user = user;
    return p;
}

void sld_http_cancel(struct sld_http_pending *p)
{
    if (!p)
        return;
    sld_loop_assert_owner(p->client->loop);
    pending_free(p);
}

// ---- Streams ----

struct sld_http_stream *sld_http_stream_open(struct sld_http_client *c, const struct sld_http_call *call, void (*news)(void *user),
                                             void *user)
{
    struct sld_http_stream *s = SLD_NEW(struct sld_http_stream);
    s->client = c;
    s->news = news;
    s->user = user;
    s->pending = start(c, call);
    s->pending->stream = s;
    s->easy = s->pending->easy;
    sld_http_easy_hold(s->easy);
    sld_list_push(&c->streams, &s->link);
    return s;
}

struct sld_http_stream_state sld_http_stream_look(struct sld_http_stream *s)
{
    const struct sld_http_easy *e = s->easy;
    struct sld_http_stream_state st = {.bytes = e->body.n ? sld_buf_str(&e->body) : SLD_STR(""), .ended = !s->pending};
    st.err = s->broken ? &s->err : NULL;
    if (e->headers_done) {
        st.status = e->status;
        st.headers = e->answer_headers;
        st.header_count = e->answer_header_count;
    }
    return st;
}

void sld_http_stream_take(struct sld_http_stream *s, size_t n)
{
    struct sld_http_easy *e = s->easy;
    sld_loop_assert_owner(s->client->loop);
    sld_buf_consume(&e->body, n);
    if (!e->paused || e->body.n > e->held_max / 2)
        return;
    e->paused = false;
    if (s->pending)
        (void)curl_easy_pause(e->easy, CURLPAUSE_CONT); // what it held back comes by on_body, from within this
}

void sld_http_stream_close(struct sld_http_stream *s)
{
    if (!s)
        return;
    sld_list_remove(&s->link);
    if (s->pending) {
        curl_multi_remove_handle(s->client->multi, s->easy->easy);
        sld_list_remove(&s->pending->link);
        sld_xfree(s->pending);
    }
    sld_http_easy_destroy(s->easy);
    sld_xfree(s);
}

// ---- The client ----

struct sld_http_client *sld_http_client_create(struct sld_loop *l, unsigned max_per_host)
{
    sld_loop_assert_owner(l);
    sld_http_easy_init();
    struct sld_http_client *c = SLD_NEW(struct sld_http_client);
    c->loop = l;
    sld_list_init(&c->calls);
    sld_list_init(&c->streams);
    uv_timer_init(sld_loop_uv(l), &c->timer);
    c->timer.data = c;
    c->handles = 1;
    c->multi = curl_multi_init();
    SLD_INV(c->multi);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)max_per_host);
    // Those in use count too: with fewer than calls at a time each would connect anew.
    unsigned kept = max_per_host > IDLE_CONNECTIONS_MAX ? max_per_host : IDLE_CONNECTIONS_MAX;
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)kept);
    return c;
}

static void on_timer_closed(uv_handle_t *h)
{
    handle_gone(h->data);
}

void sld_http_client_destroy(struct sld_http_client *c)
{
    if (!c)
        return;
    sld_loop_assert_owner(c->loop);
    SLD_PRE(!c->destroyed && sld_list_empty(&c->streams));
    SLD_LIST_EACH(it, &c->calls)
        pending_free(SLD_CONTAINER_OF(it, struct sld_http_pending, link));
    c->destroyed = true;
    (void)curl_multi_cleanup(c->multi); // has the sockets of idle connections removed
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

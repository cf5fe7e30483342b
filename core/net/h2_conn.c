// A connection of the lean gRPC server. What its calls answer in one turn of the loop goes out at once at its end.
#include "net/h2_internal.h"

enum {
    OUT_BYTES = 64 << 10,      // gathered for one write
    OUT_MAX = 4 << 20,
    PLAIN_BYTES = 16 << 10,    // of one record of TLS
    CALL_WINDOW = 1 << 20,     // what a client may send ahead: in a call, in a connection
    CONN_WINDOW = 8 << 20,
};

// ---- The end ----

static void on_conn_closed(uv_handle_t *h)
{
    struct sld_h2_conn *c = h->data;
    struct sld_h2_server *s = c->server;
    nghttp2_session_del(c->session);
    sld_h2_tls_destroy(c->tls);
    sld_buf_fini(&c->out);
    sld_xfree(c);
    sld_h2_server_handle_gone(s);
}

void sld_h2_conn_close(struct sld_h2_conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    sld_list_remove(&c->link);
    sld_list_remove(&c->dirty);
    c->server->conn_count--;
    while (!sld_list_empty(&c->streams))
        sld_h2_stream_end(SLD_CONTAINER_OF(c->streams.next, struct sld_h2_stream, link));
    uv_close(&c->uv.handle, on_conn_closed);
}

// ---- Out ----

static void flush(struct sld_h2_conn *c);

void sld_h2_conn_dirty(struct sld_h2_conn *c)
{
    if (c->closed || !sld_list_empty(&c->dirty))
        return;
    sld_list_push(&c->server->dirty, &c->dirty);
    sld_h2_server_flush(c->server);
}

static void on_written(uv_write_t *w, int status)
{
    struct sld_h2_conn *c = w->data;
    c->writing = false;
    sld_buf_reset(&c->out);
    if (c->closed)
        return;
    if (status < 0)
        sld_h2_conn_close(c);
    else
        sld_h2_conn_dirty(c);
}

// Hands OUT to the kernel. False: it has not taken all, or the connection is closed.
static bool write_out(struct sld_h2_conn *c)
{
    uv_buf_t b = {.base = c->out.p, .len = c->out.n};
    int n = uv_try_write(&c->uv.stream, &b, 1);
    if (n == (int)c->out.n) {
        sld_buf_reset(&c->out);
        return true;
    }
    if (n > 0)
        b = (uv_buf_t){.base = c->out.p + n, .len = c->out.n - (size_t)n};
    c->write.data = c;
    c->writing = (n > 0 || n == UV_EAGAIN) && uv_write(&c->write, &c->uv.stream, &b, 1, on_written) == 0;
    if (!c->writing)
        sld_h2_conn_close(c);
    return false;
}

// Gathers what nghttp2 has, up to a write's worth; false: an error.
static bool gather(struct sld_h2_conn *c)
{
    const uint8_t *p;
    while (c->out.n < OUT_BYTES) {
        ssize_t n = nghttp2_session_mem_send(c->session, &p);
        if (n < 0)
            return false;
        if (n == 0)
            break;
        struct sld_str plain = {(const char *)p, (size_t)n};
        if (!c->tls) {
            sld_buf_add(&c->out, plain);
            continue;
        }
        if (!sld_h2_tls_write(c->tls, plain))
            return false;
        sld_h2_tls_take(c->tls, &c->out);
    }
    return !c->out.full;
}

static void flush(struct sld_h2_conn *c)
{
    while (!c->closed && !c->writing) {
        if (c->tls)
            sld_h2_tls_take(c->tls, &c->out);
        bool talks = !c->tls || sld_h2_tls_ready(c->tls);
        if (talks && !gather(c)) {
            sld_h2_conn_close(c);
            return;
        }
        if (!c->out.n)
            break;
        if (!write_out(c))
            return;
    }
    if (!c->closed && !c->writing && !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session))
        sld_h2_conn_close(c);
}

// What went is told when nghttp2 is not at work, as it may bring forth more.
static void tell_sent(struct sld_h2_server *s)
{
    while (!sld_list_empty(&s->sent)) {
        struct sld_h2_stream *st = SLD_CONTAINER_OF(s->sent.next, struct sld_h2_stream, sent);
        sld_list_remove(&st->sent);
        if (!st->closing && s->handlers.on_sent)
            s->handlers.on_sent(st->user);
    }
}

void sld_h2_flush(struct sld_h2_server *s)
{
    while (!sld_list_empty(&s->dirty)) {
        struct sld_h2_conn *c = SLD_CONTAINER_OF(s->dirty.next, struct sld_h2_conn, dirty);
        sld_list_remove(&c->dirty);
        flush(c);
    }
    tell_sent(s); // more to send waits for another turn
    if (s->closing)
        sld_h2_server_guard(s);
}

// ---- In ----

static void take_plain(struct sld_h2_conn *c, const char *p, size_t n)
{
    ssize_t took = nghttp2_session_mem_recv(c->session, (const uint8_t *)p, n);
    if (took < 0)
        sld_h2_conn_close(c);
}

static void take(struct sld_h2_conn *c, struct sld_str wire)
{
    if (!c->tls) {
        take_plain(c, wire.p, wire.n);
        return;
    }
    char plain[PLAIN_BYTES];
    int n = 1;
    sld_h2_tls_feed(c->tls, wire);
    while (!c->closed && (n = sld_h2_tls_read(c->tls, plain, sizeof(plain))) > 0)
        take_plain(c, plain, (size_t)n);
    if (n < 0 && !c->closed) { // an alert that says why goes first
        sld_h2_tls_take(c->tls, &c->out);
        if (!c->writing && c->out.n)
            (void)write_out(c);
        sld_h2_conn_close(c);
    }
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *out)
{
    struct sld_h2_conn *c = h->data;
    (void)size;
    *out = (uv_buf_t){.base = c->server->read_space, .len = sizeof(c->server->read_space)};
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct sld_h2_conn *c = stream->data;
    if (n < 0) {
        sld_h2_conn_close(c);
        return;
    }
    if (n == 0)
        return;
    c->heard = true;
    take(c, sld_str_n(b->base, (size_t)n));
    sld_h2_conn_dirty(c);
}

// ---- The beginning ----

static void read_peer(struct sld_h2_conn *c)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    int len = sizeof(sa);
    if (c->uv.handle.type == UV_TCP)
        (void)uv_tcp_getpeername(&c->uv.tcp, (struct sockaddr *)&sa, &len);
    sld_net_address_text((const struct sockaddr *)&sa, c->peer, sizeof(c->peer));
}

static void greet(struct sld_h2_conn *c)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->server->options.max_calls},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, CALL_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, SLD_H2_HEADERS_MAX},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    int rc = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, SLD_ARRAY_LEN(settings));
    if (rc == 0)
        rc = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW);
    SLD_INV(rc == 0); // fails for want of memory alone
}

void sld_h2_conn_accept(struct sld_h2_server *s, uv_stream_t *listener, bool is_unix, struct sld_h2_tls_config *tls)
{
    struct sld_h2_conn *c = SLD_NEW(struct sld_h2_conn);
    c->server = s;
    int rc = is_unix ? uv_pipe_init(listener->loop, &c->uv.pipe, 0) : uv_tcp_init(listener->loop, &c->uv.tcp);
    SLD_INV(rc == 0);
    c->uv.handle.data = c;
    s->handles++;
    s->conn_count++;
    sld_list_push(&s->conns, &c->link);
    sld_list_init(&c->dirty);
    sld_list_init(&c->streams);
    sld_buf_init(&c->out, OUT_MAX);
    rc = nghttp2_session_server_new2(&c->session, s->callbacks, c, s->option);
    SLD_INV(rc == 0);
    c->tls = tls ? sld_h2_tls_create(tls) : NULL;
    greet(c);
    rc = uv_accept(listener, &c->uv.stream);
    if (rc == 0 && !is_unix)
        (void)uv_tcp_nodelay(&c->uv.tcp, 1);
    if (rc == 0)
        rc = uv_read_start(&c->uv.stream, on_alloc, on_read);
    read_peer(c);
    if (rc)
        sld_h2_conn_close(c);
    else
        sld_h2_conn_dirty(c);
}

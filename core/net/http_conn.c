// One connection of the HTTP server.
//
//   IDLE -> RECEIVING -> ANSWERING -> WRITING -> IDLE ... or LINGERING -> CLOSED
//
// What arrives while a request is answered waits in `ahead`, up to a ceiling where reading stops.
// LINGERING keeps the kernel from cutting off an answer when the client is still sending.
#include "net/http_internal.h"

enum {
    AHEAD_CEILING = SLD_HTTP_AHEAD_BYTES + 64 * 1024, // reading stops before it is reached
    WRITE_MAX_BYTES = 512 * 1024 * 1024,
};

struct output {
    uv_write_t uv;
    struct sld_http_conn *conn;
    struct sld_buf bytes;
    bool last; // the end of an answer
};

static void process(struct sld_http_conn *c);
static void on_input_end(struct sld_http_conn *c);
static void update_reading(struct sld_http_conn *c);

// ---- Timer ----

static void on_timer(uv_timer_t *t)
{
    struct sld_http_conn *c = t->data;
    if (c->state == SLD_HTTP_RECEIVING)
        sld_http_conn_refuse(c, 408);
    else
        sld_http_conn_close(c);
}

static void set_state(struct sld_http_conn *c, enum sld_http_state state, uint64_t timeout_ms)
{
    c->state = state;
    uv_update_time(c->timer.loop);
    if (timeout_ms)
        uv_timer_start(&c->timer, on_timer, timeout_ms, 0);
    else
        uv_timer_stop(&c->timer);
}

static uint64_t patience(const struct sld_http_conn *c)
{
    return c->server->options.idle_timeout_ms;
}

// ---- Writing ----

static void on_shutdown(uv_shutdown_t *rq, int status)
{
    (void)rq; // the timer or the client's end closes the connection
    (void)status;
}

static void linger(struct sld_http_conn *c)
{
    if (c->eof) {
        sld_http_conn_close(c);
        return;
    }
    set_state(c, SLD_HTTP_LINGERING, SLD_HTTP_LINGER_MS);
    sld_buf_reset(&c->ahead);
    if (uv_shutdown(&c->shutdown, &c->uv.stream, on_shutdown) != 0)
        sld_http_conn_close(c);
    else
        update_reading(c);
}

static void on_written(uv_write_t *w, int status)
{
    struct output *o = SLD_CONTAINER_OF(w, struct output, uv);
    struct sld_http_conn *c = o->conn;
    bool last = o->last;
    sld_buf_fini(&o->bytes);
    sld_xfree(o);
    if (c->state == SLD_HTTP_CLOSED)
        return;
    if (status < 0) {
        sld_http_conn_close(c);
    } else if (last && c->keep_alive) {
        set_state(c, SLD_HTTP_IDLE, patience(c));
        process(c);
    } else if (last) {
        linger(c);
    }
}

// Hands BYTES, which it takes over, to the kernel.
static void write_wire(struct sld_http_conn *c, struct sld_buf *bytes, bool last)
{
    struct output *o = SLD_NEW(struct output);
    o->conn = c;
    o->bytes = *bytes;
    o->last = last;
    *bytes = (struct sld_buf){.max = bytes->max};
    const uv_buf_t b = {.base = o->bytes.p, .len = o->bytes.n};
    if (uv_write(&o->uv, &c->uv.stream, &b, 1, on_written) == 0)
        return;
    sld_buf_fini(&o->bytes);
    sld_xfree(o);
    sld_http_conn_close(c);
}

static void flush_tls(struct sld_http_conn *c, bool last)
{
    struct sld_buf *out = sld_tls_output(c->tls);
    if (out->n > 0 && c->state != SLD_HTTP_CLOSED)
        write_wire(c, out, last);
}

static void write_plain(struct sld_http_conn *c, struct sld_str head, struct sld_str body,
                        bool last)
{
    if (c->tls) {
        if (!sld_tls_write(c->tls, head) || !sld_tls_write(c->tls, body)) {
            sld_http_conn_close(c);
            return;
        }
        if (last && !c->keep_alive)
            sld_tls_close(c->tls);
        flush_tls(c, last);
        return;
    }
    struct sld_buf bytes;
    sld_buf_init(&bytes, WRITE_MAX_BYTES);
    (void)sld_buf_reserve(&bytes, head.n + body.n);
    sld_buf_add(&bytes, head);
    sld_buf_add(&bytes, body);
    SLD_INV(!bytes.full);
    write_wire(c, &bytes, last);
}

void sld_http_conn_write(struct sld_http_conn *c, struct sld_str bytes)
{
    write_plain(c, bytes, SLD_STR(""), false);
}

void sld_http_conn_answer(struct sld_http_conn *c, struct sld_str head, struct sld_str body)
{
    SLD_PRE(c->state == SLD_HTTP_ANSWERING);
    struct sld_http_request *rq = c->rq;
    c->rq = NULL;
    c->keep_alive = rq->keep_alive;
    set_state(c, SLD_HTTP_WRITING, patience(c));
    write_plain(c, head, body, true);
    sld_http_request_destroy(rq);
}

void sld_http_conn_refuse(struct sld_http_conn *c, int status)
{
    if (!c->rq)
        c->rq = sld_http_request_create(c);
    c->rq->keep_alive = false;
    set_state(c, SLD_HTTP_ANSWERING, 0);
    sld_http_respond(c->rq, status, SLD_STR("text/plain"), NULL, 0,
                     sld_str_c(sld_http_reason(status)));
}

// ---- Reading ----

// Runs as many requests as are there, up to the first that is not answered and written yet.
static void process(struct sld_http_conn *c)
{
    while (c->ahead.n > 0 && (c->state == SLD_HTTP_IDLE || c->state == SLD_HTTP_RECEIVING)) {
        if (c->state == SLD_HTTP_IDLE)
            set_state(c, SLD_HTTP_RECEIVING, patience(c));
        bool whole = sld_http_parse(c);
        if (c->state == SLD_HTTP_CLOSED)
            return;
        if (c->refuse) {
            sld_http_conn_refuse(c, c->refuse);
        } else if (whole) {
            set_state(c, SLD_HTTP_ANSWERING, 0);
            sld_list_push(&c->server->requests, &c->rq->link);
            c->server->fn(c->rq, c->server->user);
        }
    }
    if (c->eof && (c->state == SLD_HTTP_IDLE || c->state == SLD_HTTP_RECEIVING))
        sld_http_conn_close(c);
    if (c->state != SLD_HTTP_CLOSED)
        update_reading(c);
}

static void take_wire(struct sld_http_conn *c, struct sld_str wire)
{
    char plain[8 * 1024];
    int n = 0;
    if (!c->tls) {
        sld_buf_add(&c->ahead, wire);
        return;
    }
    sld_tls_feed(c->tls, wire);
    while ((n = sld_tls_read(c->tls, plain, sizeof(plain))) > 0)
        sld_buf_add(&c->ahead, (struct sld_str){plain, (size_t)n});
    flush_tls(c, false); // handshake, alerts
    if (n < 0 && c->state != SLD_HTTP_CLOSED)
        c->eof = true;
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct sld_http_conn *c = s->data;
    if (n == 0)
        return;
    if (n < 0)
        c->eof = true;
    else if (c->state != SLD_HTTP_LINGERING)
        take_wire(c, (struct sld_str){buf->base, (size_t)n});
    if (c->state == SLD_HTTP_CLOSED)
        return;
    SLD_INV(!c->ahead.full);
    if (c->eof)
        on_input_end(c);
    else
        process(c);
}

static void on_input_end(struct sld_http_conn *c)
{
    bool waiting = c->state == SLD_HTTP_ANSWERING;
    if (waiting || c->state == SLD_HTTP_LINGERING)
        sld_http_conn_close(c);
    else
        process(c); // answers what is there, then closes
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct sld_http_conn *c = h->data;
    (void)suggested;
    *buf = uv_buf_init(c->read_space, sizeof(c->read_space));
}

static void update_reading(struct sld_http_conn *c)
{
    bool want = !c->eof && c->ahead.n < SLD_HTTP_AHEAD_BYTES;
    if (want == c->reading)
        return;
    c->reading = want;
    if (!want)
        uv_read_stop(&c->uv.stream);
    else if (uv_read_start(&c->uv.stream, on_alloc, on_read) != 0)
        sld_http_conn_close(c);
}

// ---- Beginning and end ----

void sld_http_conn_start(struct sld_http_conn *c, struct sld_tls_config *tls)
{
    uv_timer_init(c->uv.handle.loop, &c->timer);
    c->timer.data = c->uv.handle.data = c;
    c->handles = 2;
    c->tls = tls ? sld_tls_create(tls) : NULL;
    sld_buf_init(&c->ahead, AHEAD_CEILING);
    sld_http_parser_init(c);
    set_state(c, SLD_HTTP_IDLE, patience(c));
    update_reading(c);
}

static void on_closed(uv_handle_t *h)
{
    struct sld_http_conn *c = h->data;
    if (--c->handles > 0)
        return;
    struct sld_http_server *s = c->server;
    sld_tls_destroy(c->tls);
    sld_buf_fini(&c->ahead);
    sld_list_remove(&c->link);
    s->conn_count--;
    sld_xfree(c);
    sld_http_server_handle_gone(s);
}

void sld_http_conn_close(struct sld_http_conn *c)
{
    if (c->state == SLD_HTTP_CLOSED)
        return;
    struct sld_http_request *rq = c->rq;
    bool asked = c->state == SLD_HTTP_ANSWERING; // the handler has it
    c->state = SLD_HTTP_CLOSED;
    c->rq = NULL;
    uv_close(&c->uv.handle, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
    if (rq && asked && !rq->gone) {
        rq->conn = NULL;
    } else if (rq) {
        if (asked)
            rq->gone(rq->gone_user);
        sld_http_request_destroy(rq);
    }
}

// The lean gRPC server: listeners, start and stop, and what goes by the clock.
#include "net/h2_internal.h"

#include <sys/stat.h>

enum {
    BACKLOG = 256,
    CONNS_MAX = 4096,
    DEFAULT_MESSAGE_BYTES = 64 << 20,
    DEFAULT_CALLS = 10000,
    GUARD_MS = 5 * 1000,
    PULSE_MS = 30 * 1000,
    LOG_GATE_MS = 10 * 1000,
};

struct listener {
    struct sld_list link;
    struct sld_h2_server *server;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct sld_h2_tls_config *tls; // NULL: plain text
    struct sld_unix_claim claim;
    struct sld_log_gate gate;
    bool is_unix;
};

// ---- By the clock ----

static void on_guard(void *user)
{
    struct sld_h2_server *s = user;
    uint64_t now = sld_mono_ns();
    bool left = false;
    s->guarding = false;
    SLD_LIST_EACH (ci, &s->conns) {
        struct sld_h2_conn *c = SLD_CONTAINER_OF(ci, struct sld_h2_conn, link);
        SLD_LIST_EACH (it, &c->streams) {
            struct sld_h2_stream *st = SLD_CONTAINER_OF(it, struct sld_h2_stream, link);
            if (!st->closing)
                continue;
            if (now - st->closed_ns < GUARD_MS * UINT64_C(1000000)) {
                left = true;
                continue;
            }
            if (c->writing) { // it takes nothing at all
                sld_h2_conn_close(c);
                break;
            }
            nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
            sld_h2_conn_dirty(c);
        }
    }
    if (left)
        sld_h2_server_guard(s);
}

void sld_h2_server_guard(struct sld_h2_server *s)
{
    if (s->guarding || s->destroyed)
        return;
    s->guarding = true;
    sld_timer_start(s->guard, GUARD_MS);
}

// Who says nothing is asked, and dropped when there is no answer until the next pulse: so is who never began.
static void on_pulse(void *user)
{
    struct sld_h2_server *s = user;
    SLD_LIST_EACH (it, &s->conns) {
        struct sld_h2_conn *c = SLD_CONTAINER_OF(it, struct sld_h2_conn, link);
        if (c->heard) {
            c->pinged = false;
        } else if (c->pinged) {
            sld_h2_conn_close(c);
            continue;
        } else {
            c->pinged = true;
            nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
            sld_h2_conn_dirty(c);
        }
        c->heard = false;
    }
    sld_timer_start(s->pulse, PULSE_MS);
}

// ---- Creating ----

static void flush_run(struct sld_message *m)
{
    struct sld_h2_server *s = SLD_CONTAINER_OF(m, struct sld_h2_server, flush);
    s->flushing = false;
    sld_h2_flush(s);
    sld_h2_server_handle_gone(s);
}

static void flush_drop(struct sld_message *m)
{
    struct sld_h2_server *s = SLD_CONTAINER_OF(m, struct sld_h2_server, flush);
    s->flushing = false;
    sld_h2_server_handle_gone(s);
}

void sld_h2_server_flush(struct sld_h2_server *s)
{
    if (s->flushing)
        return;
    s->flushing = true;
    s->handles++;
    s->flush = (struct sld_message){.run = flush_run, .drop = flush_drop};
    sld_loop_defer(s->loop, &s->flush);
}

struct sld_grpc_server *sld_h2_server_create(struct sld_loop *loop, const struct sld_grpc_handlers *h, const struct sld_grpc_options *o)
{
    sld_loop_assert_owner(loop);
    struct sld_h2_server *s = SLD_NEW(struct sld_h2_server);
    s->door.ops = &sld_h2_ops;
    s->loop = loop;
    s->handlers = *h;
    s->options = *o;
    if (!s->options.max_message_bytes)
        s->options.max_message_bytes = DEFAULT_MESSAGE_BYTES;
    if (!s->options.max_calls)
        s->options.max_calls = DEFAULT_CALLS;
    sld_list_init(&s->listeners);
    sld_list_init(&s->conns);
    sld_list_init(&s->dirty);
    sld_list_init(&s->sent);
    sld_list_init(&s->spare);
    s->guard = sld_timer_create(loop, on_guard, s);
    s->pulse = sld_timer_create(loop, on_pulse, s);
    int rc = nghttp2_session_callbacks_new(&s->callbacks) | nghttp2_option_new(&s->option);
    SLD_INV(rc == 0); // fails for want of memory alone
    sld_h2_stream_callbacks(s->callbacks);
    nghttp2_option_set_no_closed_streams(s->option, 1);
    return &s->door;
}

// ---- Listeners ----

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *l = stream->data;
    struct sld_h2_server *s = l->server;
    uint64_t suppressed = 0;
    if (status >= 0)
        sld_h2_conn_accept(s, stream, l->is_unix, l->tls);
    if (status >= 0 && s->conn_count <= CONNS_MAX)
        return;
    if (status >= 0)
        sld_h2_conn_close(SLD_CONTAINER_OF(s->conns.prev, struct sld_h2_conn, link));
    if (sld_log_gate_open(&l->gate, LOG_GATE_MS, &suppressed))
        SLD_LOG(SLD_WARN, "net", "accept_failed", SLD_KC("msg", status < 0 ? uv_strerror(status) : "too many connections"),
                SLD_KI("suppressed", suppressed));
}

static void on_listener_closed(uv_handle_t *h)
{
    struct listener *l = h->data;
    struct sld_h2_server *s = l->server;
    sld_h2_tls_config_destroy(l->tls);
    sld_xfree(l);
    sld_h2_server_handle_gone(s);
}

static enum sld_rc bind_unix(struct listener *l, const struct sld_net_address *a, struct sld_err *err)
{
    enum sld_rc rc = sld_unix_claim_take(&l->claim, a->path, err);
    if (rc != SLD_OK)
        return rc;
    // The socket file gets its mode from the mask, with no moment in which it is open to others.
    mode_t mask = umask(0177);
    int e = uv_pipe_bind(&l->uv.pipe, a->path);
    umask(mask);
    if (e == 0)
        e = uv_listen(&l->uv.stream, BACKLOG, on_connection);
    return e == 0 ? SLD_OK : sld_net_bind_error(err, -e, a->path);
}

static enum sld_rc bind_tcp(struct listener *l, const struct sld_net_address *a, int *port, struct sld_err *err)
{
    struct sockaddr_storage sa = {0};
    int len = sizeof(sa), e = uv_tcp_bind(&l->uv.tcp, (const struct sockaddr *)&a->sa, 0);
    if (e == 0)
        e = uv_listen(&l->uv.stream, BACKLOG, on_connection);
    if (e == 0)
        e = uv_tcp_getsockname(&l->uv.tcp, (struct sockaddr *)&sa, &len);
    if (e != 0)
        return sld_net_bind_error(err, -e, a->text);
    if (port)
        *port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port : ((struct sockaddr_in *)&sa)->sin_port);
    return SLD_OK;
}

static void listener_close(struct listener *l)
{
    sld_list_remove(&l->link);
    sld_unix_claim_release(&l->claim);
    uv_close(&l->uv.handle, on_listener_closed);
}

static enum sld_rc h2_listen(struct sld_grpc_server *door, struct sld_str address, const struct sld_grpc_tls *tls, int *port,
                             struct sld_err *err)
{
    struct sld_h2_server *s = (struct sld_h2_server *)door;
    struct sld_net_address a;
    struct sld_h2_tls_config *config = NULL;
    SLD_PRE(s->state == SLD_H2_IDLE);
    enum sld_rc rc = sld_net_address_parse(address, &a, err);
    if (rc == SLD_OK && !a.is_unix)
        rc = sld_net_probe(&a, err);
    if (rc == SLD_OK && tls)
        rc = sld_h2_tls_config_create(tls, &config, err);
    if (rc != SLD_OK)
        return rc;
    struct listener *l = SLD_NEW(struct listener);
    *l = (struct listener){.server = s, .tls = config, .claim.lock_fd = -1, .is_unix = a.is_unix};
    sld_list_push(&s->listeners, &l->link);
    int e = a.is_unix ? uv_pipe_init(sld_loop_uv(s->loop), &l->uv.pipe, 0) : uv_tcp_init(sld_loop_uv(s->loop), &l->uv.tcp);
    SLD_INV(e == 0);
    l->uv.handle.data = l;
    s->handles++;
    rc = a.is_unix ? bind_unix(l, &a, err) : bind_tcp(l, &a, port, err);
    if (rc != SLD_OK)
        listener_close(l);
    return rc;
}

static void h2_set_tls(struct sld_grpc_server *door, const struct sld_grpc_tls *tls)
{
    struct sld_h2_server *s = (struct sld_h2_server *)door;
    SLD_LIST_EACH (it, &s->listeners) {
        struct listener *l = SLD_CONTAINER_OF(it, struct listener, link);
        struct sld_h2_tls_config *config = NULL;
        struct sld_err err = {0};
        if (!l->tls)
            continue;
        if (sld_h2_tls_config_create(tls, &config, &err)) {
            SLD_LOG(SLD_WARN, "net", "tls_kept", SLD_KC("msg", err.msg));
            return;
        }
        sld_h2_tls_config_destroy(l->tls);
        l->tls = config;
    }
}

// ---- Life ----

static void h2_start(struct sld_grpc_server *door)
{
    struct sld_h2_server *s = (struct sld_h2_server *)door;
    SLD_PRE(s->state == SLD_H2_IDLE);
    s->state = SLD_H2_SERVING;
    sld_timer_start(s->pulse, PULSE_MS);
}

static void close_all(struct sld_h2_server *s)
{
    SLD_LIST_EACH (it, &s->listeners)
        listener_close(SLD_CONTAINER_OF(it, struct listener, link));
    SLD_LIST_EACH (it, &s->conns)
        sld_h2_conn_close(SLD_CONTAINER_OF(it, struct sld_h2_conn, link));
}

static void end_run(struct sld_message *m)
{
    struct sld_h2_server *s = SLD_CONTAINER_OF(m, struct sld_h2_server, end);
    s->handles++; // holds S until the end of this function
    close_all(s);
    sld_h2_server_handle_gone(s);
}

static void h2_stop(struct sld_grpc_server *door, void (*done)(void *user), void *user)
{
    struct sld_h2_server *s = (struct sld_h2_server *)door;
    sld_loop_assert_owner(s->loop);
    SLD_PRE(s->state == SLD_H2_SERVING);
    s->state = SLD_H2_STOPPING;
    s->done = done;
    s->done_user = user;
    sld_timer_stop(s->pulse);
    s->end.run = end_run; // at the end of the turn: this may be called from within a connection
    sld_loop_defer(s->loop, &s->end);
}

static void server_free(struct sld_h2_server *s)
{
    SLD_LIST_EACH (it, &s->spare)
        sld_h2_stream_free(SLD_CONTAINER_OF(it, struct sld_h2_stream, link));
    nghttp2_session_callbacks_del(s->callbacks);
    nghttp2_option_del(s->option);
    sld_xfree(s);
}

void sld_h2_server_handle_gone(struct sld_h2_server *s)
{
    SLD_INV(s->handles > 0);
    if (--s->handles > 0)
        return;
    if (s->destroyed) {
        server_free(s);
    } else if (s->state == SLD_H2_STOPPING) {
        s->state = SLD_H2_STOPPED;
        if (s->done)
            s->done(s->done_user); // may destroy S
    }
}

static void h2_destroy(struct sld_grpc_server *door)
{
    struct sld_h2_server *s = (struct sld_h2_server *)door;
    SLD_PRE(s->state == SLD_H2_IDLE || s->state == SLD_H2_STOPPED);
    s->destroyed = true;
    sld_timer_destroy(s->guard);
    sld_timer_destroy(s->pulse);
    s->handles++;
    close_all(s);
    sld_h2_server_handle_gone(s);
}

static void h2_flush_now(struct sld_grpc_server *door)
{
    sld_h2_flush((struct sld_h2_server *)door);
}

const struct sld_grpc_ops sld_h2_ops = {
    .listen = h2_listen,
    .set_tls = h2_set_tls,
    .start = h2_start,
    .stop = h2_stop,
    .destroy = h2_destroy,
    .flush = h2_flush_now,
    .metadata = sld_h2_metadata,
    .send = sld_h2_send,
    .close = sld_h2_close,
};

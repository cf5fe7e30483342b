// The HTTP server: listeners and their connections.
#include "net/http_internal.h"

#include <sys/stat.h>

enum {
    BACKLOG = 256,
    REFUSED_MAX = 64,           // connections over the ceiling that get a 503 instead of a reset
    DEFAULT_HEADER_BYTES = 64 * 1024,
    DEFAULT_BODY_BYTES = 4 * 1024 * 1024,
    DEFAULT_CONNECTIONS = 256,
    DEFAULT_IDLE_MS = 60 * 1000,
    LOG_GATE_MS = 10 * 1000,
};

struct listener {
    struct sld_list link;
    struct sld_http_server *server;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    struct sld_tls_config *tls;
    struct sld_unix_claim claim;
    struct sld_log_gate gate;
    bool is_unix;
};

struct sld_http_server *sld_http_server_create(struct sld_loop *l,
                                               const struct sld_http_server_options *o,
                                               sld_http_handler *fn, void *user)
{
    sld_loop_assert_owner(l);
    struct sld_http_server *s = SLD_NEW(struct sld_http_server);
    s->loop = l;
    s->fn = fn;
    s->user = user;
    if (o)
        s->options = *o;
    if (!s->options.max_header_bytes)
        s->options.max_header_bytes = DEFAULT_HEADER_BYTES;
    if (!s->options.max_body_bytes)
        s->options.max_body_bytes = DEFAULT_BODY_BYTES;
    if (!s->options.max_connections)
        s->options.max_connections = DEFAULT_CONNECTIONS;
    if (!s->options.idle_timeout_ms)
        s->options.idle_timeout_ms = DEFAULT_IDLE_MS;
    sld_list_init(&s->listeners);
    sld_list_init(&s->conns);
    sld_list_init(&s->requests);
    return s;
}

// ---- Accepting ----

static void read_peer(struct sld_http_conn *c)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    int len = sizeof(sa);
    if (c->uv.handle.type == UV_TCP)
        (void)uv_tcp_getpeername(&c->uv.tcp, (struct sockaddr *)&sa, &len);
    sld_net_address_text((const struct sockaddr *)&sa, c->peer, sizeof(c->peer));
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *l = stream->data;
    struct sld_http_server *s = l->server;
    uint64_t suppressed = 0;
    if (status < 0) {
        if (sld_log_gate_open(&l->gate, LOG_GATE_MS, &suppressed))
            SLD_LOG(SLD_WARN, "net", "accept_failed", SLD_KC("msg", uv_strerror(status)),
                    SLD_KI("suppressed", suppressed));
        return;
    }
    struct sld_http_conn *c = SLD_NEW(struct sld_http_conn);
    c->server = s;
    if (l->is_unix)
        uv_pipe_init(stream->loop, &c->uv.pipe, 0);
    else
        uv_tcp_init(stream->loop, &c->uv.tcp);
    sld_list_push(&s->conns, &c->link);
    s->conn_count++;
    s->handles++;
    int rc = uv_accept(stream, &c->uv.stream);
    if (rc == 0 && !l->is_unix)
        (void)uv_tcp_nodelay(&c->uv.tcp, 1);
    read_peer(c);
    sld_http_conn_start(c, l->tls);
    if (rc != 0 || s->conn_count > s->options.max_connections + (l->tls ? 0 : REFUSED_MAX))
        sld_http_conn_close(c);
    else if (s->conn_count > s->options.max_connections)
        sld_http_conn_refuse(c, 503);
}

// ---- Listeners ----

static void on_listener_closed(uv_handle_t *h)
{
    struct listener *l = h->data;
    struct sld_http_server *s = l->server;
    sld_unix_claim_release(&l->claim);
    sld_tls_config_unref(l->tls);
    sld_xfree(l);
    sld_http_server_handle_gone(s);
}

static enum sld_rc bind_unix(struct listener *l, const struct sld_net_address *a,
                             struct sld_err *err)
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

static enum sld_rc bind_tcp(struct listener *l, const struct sld_net_address *a, int *port,
                            struct sld_err *err)
{
    int e = uv_tcp_bind(&l->uv.tcp, (const struct sockaddr *)&a->sa, 0);
    if (e == 0)
        e = uv_listen(&l->uv.stream, BACKLOG, on_connection);
    struct sockaddr_storage sa = {0};
    int len = sizeof(sa);
    if (e == 0)
        e = uv_tcp_getsockname(&l->uv.tcp, (struct sockaddr *)&sa, &len);
    if (e != 0)
        return sld_net_bind_error(err, -e, a->text);
    if (port)
        *port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                               : ((struct sockaddr_in *)&sa)->sin_port);
    return SLD_OK;
}

enum sld_rc sld_http_server_listen(struct sld_http_server *s, struct sld_str address,
                                   const struct sld_http_tls *tls, int *port, struct sld_err *err)
{
    sld_loop_assert_owner(s->loop);
    struct sld_net_address a;
    struct sld_tls_config *config = NULL;
    enum sld_rc rc = sld_net_address_parse(address, &a, err);
    if (rc == SLD_OK && tls)
        rc = sld_tls_config_create(tls, &config, err);
    if (rc != SLD_OK)
        return rc;
    struct listener *l = SLD_NEW(struct listener);
    l->server = s;
    l->tls = config;
    l->claim.lock_fd = -1;
    l->is_unix = a.is_unix;
    if (a.is_unix)
        uv_pipe_init(sld_loop_uv(s->loop), &l->uv.pipe, 0);
    else
        uv_tcp_init(sld_loop_uv(s->loop), &l->uv.tcp);
    l->uv.handle.data = l;
    s->handles++;
    rc = a.is_unix ? bind_unix(l, &a, err) : bind_tcp(l, &a, port, err);
    if (rc == SLD_OK)
        sld_list_push(&s->listeners, &l->link);
    else
        uv_close(&l->uv.handle, on_listener_closed);
    return rc;
}

enum sld_rc sld_http_server_set_tls(struct sld_http_server *s, const struct sld_http_tls *tls,
                                    struct sld_err *err)
{
    SLD_LIST_EACH(it, &s->listeners) {
        struct listener *l = SLD_CONTAINER_OF(it, struct listener, link);
        struct sld_tls_config *config = NULL;
        if (!l->tls)
            continue;
        enum sld_rc rc = sld_tls_config_create(tls, &config, err);
        if (rc != SLD_OK)
            return rc; // the first one fails, or none
        sld_tls_config_unref(l->tls);
        l->tls = config;
    }
    return SLD_OK;
}

// ---- The end ----

void sld_http_server_destroy(struct sld_http_server *s)
{
    if (!s)
        return;
    sld_loop_assert_owner(s->loop);
    SLD_PRE(!s->destroyed);
    s->destroyed = true;
    s->handles++; // holds S until the end of this function
    SLD_LIST_EACH(it, &s->listeners) {
        struct listener *l = SLD_CONTAINER_OF(it, struct listener, link);
        sld_list_remove(&l->link);
        uv_close(&l->uv.handle, on_listener_closed);
    }
    SLD_LIST_EACH(it, &s->conns)
        sld_http_conn_close(SLD_CONTAINER_OF(it, struct sld_http_conn, link));
    SLD_LIST_EACH(it, &s->requests)
        sld_http_request_destroy(SLD_CONTAINER_OF(it, struct sld_http_request, link));
    sld_http_server_handle_gone(s);
}

void sld_http_server_handle_gone(struct sld_http_server *s)
{
    SLD_INV(s->handles > 0);
    if (--s->handles == 0 && s->destroyed)
        sld_xfree(s);
}

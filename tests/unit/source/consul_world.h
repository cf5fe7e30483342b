// What the tests of Consul's files share: an io thread, and a peer that answers as the test says.
#pragma once

#include "net/support.h"

#include "net/http.h"
#include "source/consul/client.h"

#include "settings.pb-c.h"

enum { PEER_WAITING_MAX = 256 };

struct peer {
    struct io_thread io;
    struct sld_http_server *server;
    const struct sld_http_tls *tls;
    int port;
    char address[64]; // "127.0.0.1:4711"
    sem_t arrived;
    // On io.
    struct sld_http_request *waiting[PEER_WAITING_MAX]; // oldest first
    unsigned count, taken;                              // TAKEN: told of to the test
    unsigned seen;                                      // requests so far
};

static inline void peer_remove(struct peer *p, unsigned i)
{
    memmove(&p->waiting[i], &p->waiting[i + 1], (p->count - i - 1) * sizeof(p->waiting[0]));
    p->count--;
    p->taken -= i < p->taken;
}

struct peer_gone {
    struct peer *p;
    struct sld_http_request *rq;
};

static inline void peer_on_gone(void *user)
{
    struct peer_gone *g = user;
    for (unsigned i = 0; i < g->p->count; i++) {
        if (g->p->waiting[i] == g->rq) {
            peer_remove(g->p, i);
            return;
        }
    }
}

static inline void peer_handle(struct sld_http_request *rq, void *user)
{
    struct peer *p = user;
    assert_true(p->count < PEER_WAITING_MAX);
    struct peer_gone *g = SLD_ARENA_NEW(sld_http_arena(rq), struct peer_gone);
    *g = (struct peer_gone){p, rq};
    sld_http_on_gone(rq, peer_on_gone, g);
    p->waiting[p->count++] = rq;
    p->seen++;
    sem_post(&p->arrived);
}

static inline void peer_open_on_io(void *arg)
{
    struct peer *p = arg;
    struct sld_err err = {0};
    p->server = sld_http_server_create(p->io.loop, NULL, peer_handle, p);
    assert_int_equal(
        sld_http_server_listen(p->server, SLD_STR("127.0.0.1:0"), p->tls, &p->port, &err), SLD_OK);
    snprintf(p->address, sizeof(p->address), "127.0.0.1:%d", p->port);
}

static inline void peer_start(struct peer *p)
{
    sem_init(&p->arrived, 0, 0);
    io_start(&p->io);
    io_do(&p->io, peer_open_on_io, p);
}

static inline void peer_close_on_io(void *arg)
{
    struct peer *p = arg;
    sld_http_server_destroy(p->server);
}

static inline void peer_stop(struct peer *p)
{
    io_do(&p->io, peer_close_on_io, p);
    io_stop(&p->io);
    sem_destroy(&p->arrived);
}

// ---- What was asked ----

struct asked {
    struct peer *p;
    char method[16], path[512], query[512], body[4096];
    char token[128], authorization[128], encoding[64];
};

static inline void asked_text(char *to, size_t size, struct sld_str s)
{
    snprintf(to, size, "%.*s", SLD_FMT(s));
}

static inline void asked_on_io(void *arg)
{
    struct asked *a = arg;
    struct peer *p = a->p;
    assert_true(p->taken < p->count);
    struct sld_http_request *rq = p->waiting[p->taken++];
    asked_text(a->method, sizeof(a->method), sld_http_method(rq));
    asked_text(a->path, sizeof(a->path), sld_http_path(rq));
    asked_text(a->query, sizeof(a->query), sld_http_query_text(rq));
    asked_text(a->body, sizeof(a->body), sld_http_body(rq));
    asked_text(a->token, sizeof(a->token), sld_http_header(rq, SLD_STR("x-consul-token")));
    asked_text(a->authorization, sizeof(a->authorization),
               sld_http_header(rq, SLD_STR("authorization")));
    asked_text(a->encoding, sizeof(a->encoding), sld_http_header(rq, SLD_STR("accept-encoding")));
}

// Waits for the next request.
static inline struct asked *peer_asked(struct peer *p, struct asked *a)
{
    *a = (struct asked){.p = p};
    wait_for(&p->arrived);
    io_do(&p->io, asked_on_io, a);
    return a;
}

// The index in a blocking query, or -1.
static inline long asked_index(const struct asked *a)
{
    const char *at = strstr(a->query, "index=");
    return at ? strtol(at + 6, NULL, 10) : -1;
}

// ---- What is answered ----

struct reply {
    struct peer *p;
    int status;
    unsigned long index; // 0: no header
    const char *body;
    const char *name, *value; // one more header
};

static inline void reply_on_io(void *arg)
{
    struct reply *r = arg;
    struct peer *p = r->p;
    assert_true(p->count > 0 && p->taken > 0);
    struct sld_http_request *rq = p->waiting[0];
    struct sld_http_header h[3];
    size_t n = 0;
    char index[32];
    peer_remove(p, 0);
    snprintf(index, sizeof(index), "%lu", r->index);
    if (r->index)
        h[n++] = (struct sld_http_header){SLD_STR("X-Consul-Index"), sld_str_c(index)};
    h[n++] = (struct sld_http_header){SLD_STR("X-Consul-Knownleader"), SLD_STR("true")};
    if (r->name)
        h[n++] = (struct sld_http_header){sld_str_c(r->name), sld_str_c(r->value)};
    sld_http_respond(rq, r->status, SLD_STR("application/json"), h, n, sld_str_c(r->body));
}

// Answers the oldest request that was taken by peer_asked.
static inline void peer_reply(struct peer *p, int status, unsigned long index, const char *body)
{
    struct reply r = {p, status, index, body, NULL, NULL};
    io_do(&p->io, reply_on_io, &r);
}

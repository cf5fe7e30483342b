// Glue between the streams of the room and gRPC calls: one call is one stream. All on io.
#include "xds/serve.h"

#include <stdio.h>

#include "codec/x509.h"
#include "loop/loop.h"
#include "net/address.h"
#include "net/grpc.h"
#include "xds/sm.h"

enum {
    GRPC_OK = 0,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_UNAVAILABLE = 14,
    PARTING_MS = 500, // a stop waits so long for clients to take the end of their streams
};

enum server_state { SV_SERVING, SV_PARTING, SV_STOPPING, SV_STOPPED };

static const struct sld_sm_state server_states[] = {
    [SV_SERVING] = {"serving", SLD_SM_TO(SV_PARTING) | SLD_SM_TO(SV_STOPPING)},
    [SV_PARTING] = {"parting", SLD_SM_TO(SV_STOPPING)},
    [SV_STOPPING] = {"stopping", SLD_SM_TO(SV_STOPPED)},
    [SV_STOPPED] = {"stopped", 0},
};

struct sld_xds_server {
    struct sld_xds *xds;
    struct sld_grpc_server *grpc;
    struct sld_timer *tick;    // sld_xds's next deadline
    struct sld_timer *parting; // ends the wait for clients
    uint64_t armed_ns;         // what TICK was started for; 0 = not running
    struct sld_list calls;
    uint8_t state;
    bool tls;
    int *ports;                // per address
    size_t port_count;
    void (*done)(void *user);
    void *done_user;
};

#define CALL_MAGIC 0xad5ca11u

struct call {
    uint32_t magic;
    struct sld_list link; // in server->calls
    struct sld_xds_server *server;
    struct sld_grpc_stream *grpc;
    struct sld_xds_stream *stream; // NULL once the client has said that it is done
};

static void *on_call(void *user, struct sld_grpc_stream *grpc, struct sld_str method,
                     struct sld_str peer);
static void on_message(void *call, struct sld_str bytes);
static void on_half_close(void *call);
static void on_sent(void *call);
static void on_closed(void *call);
static void on_tick(void *user);
static void halt(void *user);

// ---- Life of the server ----

// TCP beyond this machine without TLS needs a word of the operator.
static enum sld_rc admit(struct sld_str address, const struct sld_xds_server_options *o,
                         struct sld_err *err)
{
    struct sld_net_address a;
    enum sld_rc rc = sld_net_address_parse(address, &a, err);
    if (rc != SLD_OK || sld_net_address_local(&a) || o->tls || o->insecure)
        return rc;
    return sld_err_set(err, SLD_DENIED,
                       "%.*s can be reached from other machines, and xDS carries private keys: "
                       "give it a certificate, a key and a CA of clients (mutual TLS), listen on "
                       "127.0.0.1 or unix:/path, or accept plain text with --xds-insecure",
                       SLD_FMT(address));
}

static enum sld_rc check_tls(const struct sld_grpc_tls *tls, struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_cert_facts facts;
    enum sld_rc rc = sld_cert_key_match(tls->cert_chain_pem, tls->key_pem, err);
    if (rc == SLD_OK) {
        rc = sld_ca_read(&a, tls->client_ca_pem, &facts, err);
        if (rc != SLD_OK)
            sld_err_wrap(err, "CA of clients");
    }
    if (rc != SLD_OK)
        sld_err_wrap(err, "TLS of the xDS server");
    sld_arena_fini(&a);
    return rc;
}

static enum sld_rc listen_all(struct sld_xds_server *s, const struct sld_xds_server_options *o,
                              struct sld_err *err)
{
    enum sld_rc rc = o->tls ? check_tls(o->tls, err) : SLD_OK;
    for (size_t i = 0; rc == SLD_OK && i < o->address_count; i++)
        rc = admit(o->addresses[i], o, err);
    for (size_t i = 0; rc == SLD_OK && i < o->address_count; i++) {
        bool is_unix = sld_str_starts(o->addresses[i], SLD_STR("unix:"));
        rc = sld_grpc_server_listen(s->grpc, o->addresses[i], is_unix ? NULL : o->tls, &s->ports[i],
                                    err);
        if (rc != SLD_OK)
            sld_err_wrap(err, "xDS");
    }
    return rc;
}

struct sld_xds_server *sld_xds_server_create(struct sld_loop *io, struct sld_xds *x,
                                             const struct sld_xds_server_options *o,
                                             struct sld_err *err)
{
    struct sld_xds_server *s = SLD_NEW(struct sld_xds_server);
    const struct sld_grpc_handlers h = {.on_call = on_call, .on_message = on_message,
                                        .on_half_close = on_half_close, .on_sent = on_sent,
                                        .on_closed = on_closed, .user = s};
    const struct sld_grpc_options grpc = {.max_message_bytes = o->max_message_bytes,
                                          .max_calls = o->max_streams};
    s->xds = x;
    s->tls = o->tls != NULL;
    s->ports = sld_xcalloc(o->address_count + 1, sizeof(*s->ports));
    s->port_count = o->address_count;
    sld_list_init(&s->calls);
    s->grpc = sld_grpc_server_create(io, &h, &grpc);
    s->tick = sld_timer_create(io, on_tick, s);
    s->parting = sld_timer_create(io, halt, s);
    if (listen_all(s, o, err) != SLD_OK) {
        s->state = SV_STOPPED; // it never served
        sld_xds_server_destroy(s);
        return NULL;
    }
    sld_grpc_server_start(s->grpc);
    for (size_t i = 0; i < o->address_count; i++)
        SLD_LOG(SLD_INFO, "xds", "listening", SLD_KS("address", o->addresses[i]),
                SLD_KI("port", s->ports[i]), SLD_KB("tls", o->tls && s->ports[i]));
    return s;
}

int sld_xds_server_port(const struct sld_xds_server *s, size_t i)
{
    SLD_PRE(i < s->port_count);
    return s->ports[i];
}

enum sld_rc sld_xds_server_set_tls(struct sld_xds_server *s, const struct sld_grpc_tls *tls,
                                   struct sld_err *err)
{
    if (!s->tls)
        return sld_err_set(err, SLD_INVALID,
                           "the xDS server was started without TLS: restart it to change that");
    enum sld_rc rc = check_tls(tls, err);
    if (rc == SLD_OK)
        sld_grpc_server_set_tls(s->grpc, tls);
    return rc;
}

static void on_stopped(void *user)
{
    struct sld_xds_server *s = user;
    SLD_INV(sld_list_empty(&s->calls));
    sld_sm_move(server_states, &s->state, SV_STOPPED);
    s->done(s->done_user); // may destroy S
}

// Clients have taken the end of their streams, or had their time.
static void halt(void *user)
{
    struct sld_xds_server *s = user;
    sld_timer_stop(s->parting);
    sld_sm_move(server_states, &s->state, SV_STOPPING);
    sld_grpc_server_stop(s->grpc, on_stopped, s);
}

void sld_xds_server_stop(struct sld_xds_server *s, void (*done)(void *user), void *user)
{
    s->done = done;
    s->done_user = user;
    sld_timer_stop(s->tick);
    if (sld_list_empty(&s->calls)) {
        halt(s);
        return;
    }
    sld_sm_move(server_states, &s->state, SV_PARTING);
    SLD_LIST_EACH(at, &s->calls)
    {
        struct call *c = SLD_CONTAINER_OF(at, struct call, link);
        if (c->stream)
            sld_xds_stream_closed(c->stream, sld_mono_ns());
        c->stream = NULL;
        sld_grpc_close(c->grpc, GRPC_UNAVAILABLE, SLD_STR("the control plane is stopping"));
    }
    sld_timer_start(s->parting, PARTING_MS);
}

void sld_xds_server_destroy(struct sld_xds_server *s)
{
    if (!s)
        return;
    SLD_PRE(s->state == SV_STOPPED);
    sld_grpc_server_destroy(s->grpc);
    sld_timer_destroy(s->tick);
    sld_timer_destroy(s->parting);
    sld_xfree(s->ports);
    sld_xfree(s);
}

// ---- Deadlines ----

// Starts the timer anew if something is due earlier than it would fire.
static void arm(struct sld_xds_server *s, uint64_t now)
{
    uint64_t due = sld_xds_deadline(s->xds);
    if (s->state != SV_SERVING || due == 0 || (s->armed_ns && s->armed_ns <= due))
        return;
    s->armed_ns = due;
    sld_timer_start(s->tick, due > now ? (due - now + 999999) / 1000000 : 0);
}

static void on_tick(void *user)
{
    struct sld_xds_server *s = user;
    uint64_t now = sld_mono_ns();
    s->armed_ns = 0;
    (void)sld_xds_tick(s->xds, now);
    arm(s, now);
}

void sld_xds_server_apply(struct sld_xds_server *s, struct sld_xds_batch *b)
{
    uint64_t now = sld_mono_ns();
    sld_xds_apply(s->xds, b, now);
    arm(s, now);
}

void sld_xds_server_begin(struct sld_xds_server *s)
{
    uint64_t now = sld_mono_ns();
    sld_xds_serve(s->xds, now);
    arm(s, now);
}

// ---- Calls ----

static void send_message(void *user, const struct sld_str *slices, struct sld_obj *const *owners,
                         size_t n)
{
    struct call *c = user;
    sld_grpc_send(c->grpc, slices, owners, n);
}

static void close_call(void *user, int grpc_status, struct sld_str message)
{
    struct call *c = user;
    sld_grpc_close(c->grpc, grpc_status, message);
}

static bool method_kind(struct sld_str method, enum sld_xds_kind *kind)
{
    struct sld_str rest = method;
    const struct sld_str ads = SLD_STR("/envoy.service.discovery.v3.AggregatedDiscoveryService/");
    if (!sld_str_starts(rest, ads))
        return false;
    rest = sld_str_sub(rest, ads.n, rest.n);
    *kind = sld_str_eq(rest, SLD_STR("DeltaAggregatedResources")) ? SLD_XDS_DELTA_ADS
                                                                   : SLD_XDS_SOTW_ADS;
    return *kind == SLD_XDS_DELTA_ADS || sld_str_eq(rest, SLD_STR("StreamAggregatedResources"));
}

static void refuse(struct sld_grpc_stream *grpc, struct sld_str method, struct sld_str peer)
{
    bool single = sld_str_starts(method, SLD_STR("/envoy.service.")) &&
                  sld_str_find(method, SLD_STR("DiscoveryService/")) >= 0;
    struct sld_str why =
        single ? SLD_STR("only aggregated discovery (ADS, v3) is served: have the bootstrap's "
                         "cds_config and lds_config say ads: {}, resource_api_version: V3")
               : SLD_STR("unknown method: this is an xDS server, for aggregated discovery (ADS)");
    SLD_LOG(SLD_WARN, "xds", "method_refused", SLD_KS("peer", peer), SLD_KS("method", method));
    sld_grpc_close(grpc, GRPC_UNIMPLEMENTED, why);
}

static void *on_call(void *user, struct sld_grpc_stream *grpc, struct sld_str method,
                     struct sld_str peer)
{
    static const struct sld_xds_sender sender = {send_message, close_call};
    struct sld_xds_server *s = user;
    enum sld_xds_kind kind;
    if (s->state != SV_SERVING) {
        sld_grpc_close(grpc, GRPC_UNAVAILABLE, SLD_STR("the control plane is stopping"));
        return NULL;
    }
    if (!method_kind(method, &kind)) {
        refuse(grpc, method, peer);
        return NULL;
    }
    struct call *c = SLD_NEW(struct call);
    c->magic = CALL_MAGIC;
    c->server = s;
    c->grpc = grpc;
    sld_list_push(&s->calls, &c->link);
    c->stream = sld_xds_stream_open(s->xds, kind, &sender, c, peer, sld_mono_ns());
    return c;
}

static void on_message(void *call, struct sld_str bytes)
{
    struct call *c = call;
    uint64_t now = sld_mono_ns();
    SLD_PRE(c->magic == CALL_MAGIC);
    if (c->stream)
        sld_xds_stream_message(c->stream, bytes, now);
    arm(c->server, now);
}

static void on_half_close(void *call)
{
    struct call *c = call;
    SLD_PRE(c->magic == CALL_MAGIC);
    if (c->stream)
        sld_xds_stream_closed(c->stream, sld_mono_ns());
    c->stream = NULL;
    sld_grpc_close(c->grpc, GRPC_OK, SLD_STR(""));
}

static void on_sent(void *call)
{
    struct call *c = call;
    uint64_t now = sld_mono_ns();
    SLD_PRE(c->magic == CALL_MAGIC);
    if (c->stream)
        sld_xds_stream_sent(c->stream, now);
    arm(c->server, now);
}

static void on_closed(void *call)
{
    struct call *c = call;
    struct sld_xds_server *s = c->server;
    SLD_PRE(c->magic == CALL_MAGIC);
    if (c->stream)
        sld_xds_stream_closed(c->stream, sld_mono_ns());
    sld_list_remove(&c->link);
    c->magic = 0;
    sld_xfree(c);
    if (s->state == SV_PARTING && sld_list_empty(&s->calls))
        sld_timer_start(s->parting, 0);
}

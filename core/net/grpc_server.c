// The gRPC server: listeners, the pump thread, start and stop.
#include "net/grpc_internal.h"

#include <stdio.h>
#include <sys/stat.h>

#include <grpc/support/log.h>
#include <grpc/support/time.h>

enum {
    EVENTS_MAX = 64,                   // completions per message to io
    KEEPALIVE_MS = 30 * 1000,          // PING to an idle client
    KEEPALIVE_TIMEOUT_MS = 10 * 1000,
    MIN_PING_INTERVAL_MS = 5 * 1000,   // a client may ping as often as this
    HANDSHAKE_TIMEOUT_MS = 20 * 1000,
    LOG_GATE_MS = 10 * 1000,           // gRPC's errors: one per thread in so long
    DEFAULT_MESSAGE_BYTES = 64 * 1024 * 1024,
    DEFAULT_MEMORY_BYTES = 512 * 1024 * 1024,
    DEFAULT_CALLS = 10000,
};

struct listener {
    struct sld_list link;
    struct sld_grpc_certs *certs;      // NULL = plain text
    struct sld_unix_claim claim;       // lock_fd -1 = TCP
};

// Completions on their way from the pump to io.
struct events {
    struct sld_message msg;
    struct sld_core_server *server;
    bool drained;                      // the queue is shut down and empty: the pump has ended
    unsigned n;
    struct {
        struct sld_grpc_tag *tag;
        bool ok;
    } items[EVENTS_MAX];
};

static void *pump(void *arg);

// gRPC copies the key and does not write to it.
static char *arg_key(const char *key)
{
    union {
        const char *in;
        char *out;
    } k = {.in = key};
    return k.out;
}

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = arg_key(key), .value.integer = value};
}

static grpc_arg quota_arg(grpc_resource_quota *quota)
{
    return (grpc_arg){.type = GRPC_ARG_POINTER,
                      .key = arg_key(GRPC_ARG_RESOURCE_QUOTA),
                      .value.pointer = {.p = quota, .vtable = grpc_resource_quota_arg_vtable()}};
}

struct sld_grpc_server *sld_grpc_core_create(struct sld_loop *io, const struct sld_grpc_handlers *h, const struct sld_grpc_options *o)
{
    struct sld_core_server *s = SLD_NEW(struct sld_core_server);
    s->door.ops = &sld_core_ops;
    s->io = io;
    s->handlers = *h;
    if (o)
        s->options = *o;
    if (!s->options.max_message_bytes)
        s->options.max_message_bytes = DEFAULT_MESSAGE_BYTES;
    if (!s->options.max_memory_bytes)
        s->options.max_memory_bytes = DEFAULT_MEMORY_BYTES;
    if (!s->options.max_calls)
        s->options.max_calls = DEFAULT_CALLS;
    SLD_PRE(s->options.max_message_bytes <= INT32_MAX && s->options.max_calls <= INT32_MAX);
    s->down_tag = (struct sld_grpc_tag){SLD_GRPC_DOWN, s};
    sld_list_init(&s->streams);
    sld_list_init(&s->listeners);
    sld_grpc_log_install();
    grpc_init();
    s->quota = grpc_resource_quota_create("server");
    grpc_resource_quota_resize(s->quota, s->options.max_memory_bytes);
    const uint64_t age_ms = s->options.max_connection_age_ms;
    grpc_arg args[] = {
        int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0), // else two servers share a port without an error
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)s->options.max_message_bytes),
        int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, (int)s->options.max_calls),
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS),
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
        int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
        int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, MIN_PING_INTERVAL_MS),
        int_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS),
        int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
        // Identity alone: no message grows when it is unpacked.
        int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1),
        quota_arg(s->quota),
        int_arg(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                age_ms && age_ms < INT32_MAX ? (int)age_ms : INT32_MAX),
    };
    const grpc_channel_args list = {SLD_ARRAY_LEN(args), args};
    s->server = grpc_server_create(&list, NULL);
    s->cq = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(s->server, s->cq, NULL);
    return &s->door;
}

// ---- Listeners ----

static void listener_destroy(struct listener *l)
{
    sld_list_remove(&l->link);
    sld_unix_claim_release(&l->claim);
    sld_grpc_certs_destroy(l->certs);
    sld_xfree(l);
}

static enum sld_rc bind_listener(struct sld_core_server *s, struct listener *l,
                                 const struct sld_net_address *a, int *port, struct sld_err *err)
{
    char text[sizeof(a->path) + 8];
    snprintf(text, sizeof(text), "%s%s", a->is_unix ? "unix:" : "", a->is_unix ? a->path : a->text);
    grpc_server_credentials *creds = l->certs ? sld_grpc_certs_credentials(l->certs)
                                              : grpc_insecure_server_credentials_create();
    // The socket file gets its mode from the mask, with no moment in which it is open to others.
    mode_t mask = a->is_unix ? umask(0177) : 0;
    int bound = grpc_server_add_http2_port(s->server, text, creds);
    if (a->is_unix)
        umask(mask);
    grpc_server_credentials_release(creds);
    if (bound == 0 && l->certs)
        return sld_err_set(err, SLD_INVALID,
                           "cannot listen on %s: certificate, key or client CA was refused", text);
    if (bound == 0)
        return sld_err_set(err, SLD_IO, "cannot listen on %s", text);
    if (port)
        *port = a->is_unix ? 0 : bound;
    return SLD_OK;
}

static enum sld_rc core_listen(struct sld_grpc_server *door, struct sld_str address,
                               const struct sld_grpc_tls *tls, int *port, struct sld_err *err)
{
    struct sld_core_server *s = (struct sld_core_server *)door;
    SLD_PRE(s->state == SLD_GRPC_IDLE);
    struct sld_net_address a;
    enum sld_rc rc = sld_net_address_parse(address, &a, err);
    if (rc != SLD_OK)
        return rc;
    struct listener *l = SLD_NEW(struct listener);
    l->claim.lock_fd = -1;
    sld_list_init(&l->link);
    rc = a.is_unix ? sld_unix_claim_take(&l->claim, a.path, err) : sld_net_probe(&a, err);
    if (rc == SLD_OK) {
        l->certs = tls ? sld_grpc_certs_create(tls) : NULL;
        rc = bind_listener(s, l, &a, port, err);
    }
    if (rc == SLD_OK)
        sld_list_push(&s->listeners, &l->link);
    else
        listener_destroy(l);
    return rc;
}

static void core_set_tls(struct sld_grpc_server *door, const struct sld_grpc_tls *tls)
{
    struct sld_core_server *s = (struct sld_core_server *)door;
    SLD_LIST_EACH(it, &s->listeners) {
        struct listener *l = SLD_CONTAINER_OF(it, struct listener, link);
        if (l->certs)
            sld_grpc_certs_set(l->certs, tls);
    }
}

// ---- Start, stop ----

static void arm(struct sld_core_server *s, struct sld_grpc_slot *slot)
{
    slot->tag = (struct sld_grpc_tag){SLD_GRPC_ACCEPTED, slot};
    slot->call = NULL;
    grpc_call_details_init(&slot->details);
    grpc_metadata_array_init(&slot->metadata);
    grpc_call_error e = grpc_server_request_call(s->server, &slot->call, &slot->details,
                                                 &slot->metadata, s->cq, s->cq, &slot->tag);
    SLD_INV(e == GRPC_CALL_OK);
    s->slots_armed++;
}

static void core_start(struct sld_grpc_server *door)
{
    struct sld_core_server *s = (struct sld_core_server *)door;
    sld_loop_assert_owner(s->io);
    SLD_PRE(s->state == SLD_GRPC_IDLE);
    s->state = SLD_GRPC_SERVING;
    grpc_server_start(s->server);
    for (size_t i = 0; i < SLD_GRPC_SLOTS; i++)
        arm(s, &s->slots[i]);
    int rc = pthread_create(&s->pump, NULL, pump, s);
    SLD_INV(rc == 0);
}

static void core_stop(struct sld_grpc_server *door, void (*done)(void *user), void *user)
{
    struct sld_core_server *s = (struct sld_core_server *)door;
    sld_loop_assert_owner(s->io);
    SLD_PRE(s->state == SLD_GRPC_SERVING);
    s->state = SLD_GRPC_STOPPING;
    s->done = done;
    s->done_user = user;
    grpc_server_shutdown_and_notify(s->server, s->cq, &s->down_tag);
    grpc_server_cancel_all_calls(s->server); // streams would keep it open for ever
}

void sld_grpc_server_settle(struct sld_core_server *s)
{
    if (s->state != SLD_GRPC_STOPPING || !s->down || s->slots_armed > 0 || s->live > 0)
        return;
    s->state = SLD_GRPC_STOPPED;
    grpc_completion_queue_shutdown(s->cq); // the pump answers with `drained`
}

// A server that never served: its shutdown is waited for here, as there is no pump.
static void stop_unstarted(struct sld_core_server *s)
{
    grpc_server_shutdown_and_notify(s->server, s->cq, &s->down_tag);
    grpc_event ev = grpc_completion_queue_next(s->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    SLD_INV(ev.type == GRPC_OP_COMPLETE && ev.tag == &s->down_tag);
    grpc_completion_queue_shutdown(s->cq);
    ev = grpc_completion_queue_next(s->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
    SLD_INV(ev.type == GRPC_QUEUE_SHUTDOWN);
}

static void core_destroy(struct sld_grpc_server *door)
{
    struct sld_core_server *s = (struct sld_core_server *)door;
    SLD_PRE(s->state == SLD_GRPC_IDLE || s->state == SLD_GRPC_STOPPED);
    if (s->state == SLD_GRPC_IDLE)
        stop_unstarted(s);
    grpc_server_destroy(s->server);
    grpc_completion_queue_destroy(s->cq);
    grpc_resource_quota_unref(s->quota);
    // Waits for gRPC's own threads when this was its last user: they may be in a handshake that
    // asks for our certificates.
    grpc_shutdown_blocking();
    SLD_LIST_EACH(it, &s->listeners)
        listener_destroy(SLD_CONTAINER_OF(it, struct listener, link));
    sld_xfree(s);
}

const struct sld_grpc_ops sld_core_ops = {
    .listen = core_listen,
    .set_tls = core_set_tls,
    .start = core_start,
    .stop = core_stop,
    .destroy = core_destroy,
    .send = sld_core_send,
    .close = sld_core_close,
};

// ---- The pump ----

static void on_accepted(struct sld_core_server *s, struct sld_grpc_slot *slot, bool ok)
{
    s->slots_armed--;
    if (ok)
        sld_grpc_stream_accept(s, slot, s->serving >= s->options.max_calls);
    grpc_call_details_destroy(&slot->details);
    grpc_metadata_array_destroy(&slot->metadata);
    if (s->state == SLD_GRPC_SERVING)
        arm(s, slot);
    else
        sld_grpc_server_settle(s);
}

static void events_run(struct sld_message *m)
{
    struct events *e = (struct events *)m;
    struct sld_core_server *s = e->server;
    sld_loop_assert_owner(s->io);
    for (unsigned i = 0; i < e->n; i++) {
        struct sld_grpc_tag *tag = e->items[i].tag;
        bool ok = e->items[i].ok;
        if (tag->event == SLD_GRPC_ACCEPTED) {
            on_accepted(s, tag->owner, ok);
        } else if (tag->event == SLD_GRPC_DOWN) {
            s->down = true;
            sld_grpc_server_settle(s);
        } else {
            sld_grpc_stream_event(tag->owner, tag->event, ok);
        }
    }
    bool drained = e->drained;
    sld_xfree(e);
    if (!drained)
        return;
    pthread_join(s->pump, NULL); // it ended after posting this
    if (s->done)
        s->done(s->done_user); // may destroy S
}

static void events_drop(struct sld_message *m)
{
    sld_xfree(m);
}

// Waits for one completion, then takes what is there without waiting.
static void *pump(void *arg)
{
    struct sld_core_server *s = arg;
    bool drained = false;
    pthread_setname_np(pthread_self(), "sld-grpc");
    while (!drained) {
        struct events *e = SLD_NEW(struct events);
        e->msg.run = events_run;
        e->msg.drop = events_drop;
        e->server = s;
        while (e->n < EVENTS_MAX) {
            gpr_timespec until = e->n ? gpr_inf_past(GPR_CLOCK_REALTIME)
                                      : gpr_inf_future(GPR_CLOCK_REALTIME);
            grpc_event ev = grpc_completion_queue_next(s->cq, until, NULL);
            if (ev.type == GRPC_QUEUE_SHUTDOWN)
                e->drained = drained = true;
            if (ev.type != GRPC_OP_COMPLETE)
                break;
            e->items[e->n].tag = ev.tag;
            e->items[e->n].ok = ev.success != 0;
            e->n++;
        }
        sld_loop_post(s->io, &e->msg);
    }
    return NULL;
}

// ---- gRPC's log ----

static void on_log(gpr_log_func_args *args)
{
    static _Thread_local struct sld_log_gate gate; // gRPC logs from any thread
    uint64_t suppressed = 0;
    bool error = args->severity == GPR_LOG_SEVERITY_ERROR;
    enum sld_level level = error ? SLD_WARN : SLD_DEBUG;
    if (!sld_log_enabled(level) || (error && !sld_log_gate_open(&gate, LOG_GATE_MS, &suppressed)))
        return;
    SLD_LOG(level, "grpc", "core", SLD_KC("msg", args->message), SLD_KC("file", args->file),
            SLD_KI("line", args->line), SLD_KI("suppressed", suppressed));
}

void sld_grpc_log_install(void)
{
    gpr_set_log_function(on_log);
    gpr_set_log_verbosity(sld_log_enabled(SLD_DEBUG) ? GPR_LOG_SEVERITY_INFO
                                                     : GPR_LOG_SEVERITY_ERROR);
}

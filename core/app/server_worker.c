// The worker, as the server has it: where Envoys reach it, and what it is told.
#include "app/server_inside.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/grpc.h"

enum {
    LOOPS = 4, // by default, at most
    // An Envoy that has not got its new routes yet may ask by old names.
    FORGET_MS = 10 * 60 * 1000,
    FORGOTTEN_MAX = 10000,
    RECORD_MAX_BYTES = 16 << 20,
    PORT_MAX = 65535,
};

// Address number I of event loops at ADDRESS, "HOST:PORT": ports follow each other.
static enum sld_rc nth(struct sld_arena *a, const char *flag, const char *address, size_t i, size_t n, struct sld_str *out, struct sld_err *err)
{
    struct sld_str s = sld_str_c(address), host;
    uint64_t port = 0;
    size_t colon = s.n;
    while (colon && s.p[colon - 1] != ':')
        colon--;
    host = sld_str_sub(s, 0, colon ? colon - 1 : 0);
    if (!host.n || sld_str_starts(s, SLD_STR("unix:")) || !sld_str_u64(sld_str_sub(s, colon, s.n), &port) || !port || port + n > PORT_MAX + 1)
        return sld_err_set(err, SLD_INVALID, "%s takes HOST:PORT with %zu ports from PORT on, not %s", flag, n, address);
    *out = sld_arena_fmt(a, "%.*s:%llu", SLD_FMT(host), (unsigned long long)(port + i));
    return SLD_OK;
}

static bool is_any(struct sld_str address)
{
    return sld_str_starts(address, SLD_STR("0.0.0.0:")) || sld_str_starts(address, SLD_STR("[::]:"));
}

enum sld_rc server_worker_find(struct server *s, struct sld_err *err)
{
    const struct sld_server_options *o = s->opt;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = o->worker_threads ? (size_t)o->worker_threads : cores > 0 && cores < LOOPS ? (size_t)cores : LOOPS;
    if (n > SERVER_LOOPS_MAX)
        return sld_err_set(err, SLD_LIMIT, "more than %d --worker-threads", SERVER_LOOPS_MAX);
    if (!o->worker_listen && (o->worker_address || o->worker_cert || o->worker_key || o->worker_client_ca))
        return sld_err_set(err, SLD_INVALID, "--worker-address, --worker-cert, --worker-key and --worker-client-ca go with --worker-listen");
    if (o->worker_listen && o->envoy)
        return sld_err_set(err, SLD_INVALID, "--worker-listen is for Envoys of other machines, and all Envoys are told one way to the worker: "
                                             "leave --envoy away, and start the Envoy of this machine by a bootstrap too");
    enum sld_rc rc = SLD_OK;
    for (; s->worker_loops < n && !rc; s->worker_loops++) {
        struct sld_str *listen = &s->worker_addresses[s->worker_loops], *told = &s->worker_told[s->worker_loops];
        if (!o->worker_listen)
            *listen = app_worker_address(&s->arena, s->run_dir, s->worker_loops);
        else
            rc = nth(&s->arena, "--worker-listen", o->worker_listen, s->worker_loops, n, listen, err);
        *told = *listen;
        if (!rc && o->worker_address)
            rc = nth(&s->arena, "--worker-address", o->worker_address, s->worker_loops, n, told, err);
        if (!rc && is_any(*told))
            rc = sld_err_set(err, SLD_INVALID, "%s %s is every address of a machine: tell by --worker-address which one Envoys take",
                             o->worker_address ? "--worker-address" : "--worker-listen",
                             o->worker_address ? o->worker_address : o->worker_listen);
    }
    return rc;
}

enum sld_worker_reach server_worker_reach(const struct server *s)
{
    return s->opt->worker_listen ? SLD_WORKER_TLS : s->xds_far ? SLD_WORKER_HERE_ALONE : SLD_WORKER_HERE;
}

static enum sld_rc read_tls(const struct server *s, struct sld_arena *a, struct sld_grpc_tls *tls, struct sld_err *err)
{
    const struct sld_server_options *o = s->opt;
    if (o->worker_cert || o->worker_key || o->worker_client_ca)
        return server_read_tls(a, "worker", o->worker_cert, o->worker_key, o->worker_client_ca, tls, err);
    if (!o->xds_cert)
        return sld_err_set(err, SLD_INVALID, "--worker-listen needs --worker-cert, --worker-key and --worker-client-ca, or those of xDS: "
                                             "questions hold cookies and tokens");
    return server_read_tls(a, "xds", o->xds_cert, o->xds_key, o->xds_client_ca, tls, err);
}

void server_worker_reload_tls(struct server *s)
{
    struct sld_arena a = {0};
    struct sld_grpc_tls tls = {0};
    struct sld_err err = {0};
    if (!s->opt->worker_listen)
        return;
    enum sld_rc rc = read_tls(s, &a, &tls, &err);
    if (!rc)
        rc = sld_worker_set_tls(s->worker, &tls, &err);
    if (rc)
        SLD_LOG(SLD_WARN, "app", "worker_tls_kept", SLD_KC("reason", err.msg));
    sld_arena_fini_secret(&a);
}

static void on_change(void *user)
{
    struct server *s = user;
    if (s->admin)
        sld_admin_progress(s->admin);
}

// The folder of what plugins keep; absent, which is logged, when it cannot be made: then they keep it in memory.
static struct sld_str kv_dir(struct server *s)
{
    struct sld_str dir = sld_arena_fmt(&s->arena, "%s/kv", server_state_dir(s));
    struct sld_err err = {0};
    if (mkdir(dir.p, 0700) == 0 || errno == EEXIST)
        return dir;
    sld_err_errno(&err, errno, "%s cannot be made", dir.p);
    SLD_LOG(SLD_LOG_ERROR, "app", "kv_unusable", SLD_KC("msg", err.msg));
    return SLD_STR_NONE;
}

enum sld_rc server_worker_create(struct server *s, struct sld_err *err)
{
    struct sld_grpc_tls tls = {0};
    struct sld_arena a = {0};
    struct sld_worker_options o = {
        .addresses = s->worker_addresses,
        .address_count = s->worker_loops,
        .log_level = SLD_INFO,
        .kv_dir = kv_dir(s),
        .found = server_found_events(s),
        .on_change = on_change,
        .user = s,
    };
    if (s->opt->log_level)
        sld_log_level_parse(sld_str_c(s->opt->log_level), &o.log_level);
    enum sld_rc rc = s->opt->worker_listen ? read_tls(s, &a, &tls, err) : SLD_OK;
    if (!rc)
        s->worker = sld_worker_create(s->io, &o);
    if (!rc && s->opt->worker_listen)
        rc = sld_worker_set_tls(s->worker, &tls, err);
    sld_arena_fini_secret(&a);
    return rc;
}

static void forget(struct server *s, struct sld_str id)
{
    uint64_t due = sld_mono_ns() / 1000000 + FORGET_MS;
    if (sld_map_count(&s->forgotten) < FORGOTTEN_MAX)
        sld_map_set(&s->forgotten, id, (void *)(uintptr_t)due); // a number, not an address
    else
        sld_worker_set_conf(s->worker, id, SLD_STR(""), NULL);
}

void server_worker_news(struct server *s, const struct sld_model_news *n)
{
    if (n->workers_changed)
        sld_worker_set_plugins(s->worker, n->workers, n->worker_count);
    for (size_t i = 0; i < n->conf_count; i++) {
        const struct sld_request_conf *c = n->confs[i].conf;
        if (sld_str_starts(n->confs[i].id, SLD_STR(SLD_TASK_CONF_PREFIX))) {
            server_found_conf(s, n->confs[i].id, c);
            continue;
        }
        if (!c) {
            forget(s, n->confs[i].id);
            continue;
        }
        sld_map_remove(&s->forgotten, c->id);
        sld_worker_set_conf(s->worker, c->id, c->plugin, c->value);
    }
    if (n->workers_changed || n->conf_count)
        sld_worker_sync(s->worker);
}

void server_worker_look(struct server *s)
{
    size_t at = 0;
    uint64_t now = sld_mono_ns() / 1000000;
    for (struct sld_map_slot *e; (e = sld_map_next(&s->forgotten, &at));) {
        if ((uintptr_t)e->value > now)
            continue;
        sld_worker_set_conf(s->worker, e->key, SLD_STR(""), NULL);
        sld_map_remove(&s->forgotten, e->key);
    }
}

struct sld_str server_worker_reason(struct server *s)
{
    struct sld_worker_info *i = sld_worker_info(s->worker);
    s->worker_had |= i->state == SLD_WORKER_RUNNING;
    bool idle = i->state == SLD_WORKER_IDLE;
    SLD_UNREF(i);
    return s->worker_had || idle ? SLD_STR_NONE : SLD_STR("the worker has not got its plugins yet");
}

// ---- Records ----

static void record_end(void *user)
{
    struct server *s = user;
    struct sld_admin_query *q = s->record.query;
    if (!q)
        return;
    sld_worker_record_end(s->worker);
    s->record.query = NULL;
    sld_timer_stop(s->record.timer);
    sld_admin_recorded(q, sld_buf_str(&s->record.lines));
    sld_buf_fini(&s->record.lines);
}

static void on_record(void *user, struct sld_str line)
{
    struct server *s = user;
    if (s->record.lines.n + line.n > RECORD_MAX_BYTES)
        s->record.left = 1;
    else
        sld_buf_add(&s->record.lines, line);
    if (--s->record.left == 0)
        record_end(s);
}

enum sld_rc server_worker_record(struct sld_admin_query *q, struct sld_str plugin, unsigned count, unsigned ms, void *server)
{
    struct server *s = server;
    struct sld_worker_info *i = sld_worker_info(s->worker);
    bool there = sld_worker_stats(i, plugin) != NULL;
    SLD_UNREF(i);
    if (!there)
        return SLD_NOT_FOUND;
    if (s->record.query)
        return SLD_AGAIN;
    s->record.query = q;
    s->record.left = count;
    sld_buf_init_secret(&s->record.lines, RECORD_MAX_BYTES);
    if (!s->record.timer)
        s->record.timer = sld_timer_create(s->io, record_end, s);
    sld_timer_start(s->record.timer, ms);
    sld_worker_record(s->worker, plugin, count, on_record, s);
    return SLD_OK;
}

void server_worker_close(struct server *s)
{
    record_end(s);
    sld_timer_destroy(s->record.timer);
    sld_worker_destroy(s->worker);
    s->worker = NULL;
    sld_map_fini(&s->forgotten);
}

// The admin: its listeners, its life, and what the app tells it.
#include "admin/inside.h"

#include <stdio.h>

static const struct sld_http_server_options server_options = {
    .max_header_bytes = 32 * 1024,
    .max_body_bytes = 64 * 1024,
    .max_connections = CONNECTIONS_MAX,
};

// ---- Requests ----

static void on_gone(void *user)
{
    job_gone(user);
}

static void send_answer(struct job *j, const struct answer *out)
{
    char index[32];
    struct sld_http_header extra[4] = {
        {SLD_STR("cache-control"), SLD_STR("no-store")},
        {SLD_STR("x-content-type-options"), SLD_STR("nosniff")},
    };
    size_t n = 2;
    if (out->index) {
        snprintf(index, sizeof(index), "%llu", (unsigned long long)out->index);
        extra[n++] = (struct sld_http_header){SLD_STR("x-solder-index"), sld_str_c(index)};
    }
    if (out->extra) {
        struct sld_str name = out->status == 405   ? SLD_STR("allow")
                              : out->status == 401 ? SLD_STR("www-authenticate")
                                                   : SLD_STR("retry-after");
        extra[n++] = (struct sld_http_header){name, sld_str_c(out->extra)};
    }
    sld_http_respond(j->client, out->status, sld_str_c(out->type), extra, n,
                     out->body.n ? sld_buf_str(&out->body) : SLD_STR(""));
}

// Whether the endpoint of PATH may be asked without a token.
static bool is_open(struct sld_str path)
{
    size_t n;
    const struct endpoint *e = endpoint_table(&n);
    for (size_t i = 0; i < n; i++) {
        if (e[i].open && sld_str_starts(path, sld_str_c(e[i].pub.path)))
            return true;
    }
    return false;
}

static bool may_enter(struct listener *l, const struct sld_http_request *rq, struct answer *out)
{
    struct sld_str host = sld_http_header(rq, SLD_STR("host"));
    if (!access_host(l, host)) {
        answer_problem(out, PROBLEM_HOST, "ask for localhost or for the address Solder listens on",
                       "this address belongs to this machine alone, but the request is for %.*s",
                       SLD_FMT(sld_str_sub(host, 0, 256)));
        return false;
    }
    if (!l->tokens.path || is_open(sld_http_path(rq)) ||
        tokens_match(&l->tokens, sld_http_header(rq, SLD_STR("authorization"))))
        return true;
    answer_problem(out, PROBLEM_TOKEN,
                   "send the header Authorization: Bearer <token> with a token of the token file",
                   "the request has no token, or a wrong one");
    return false;
}

static void on_request(struct sld_http_request *rq, void *user)
{
    struct listener *l = user;
    struct job *j = job_create(l->admin, send_answer, rq);
    if (!may_enter(l, rq, &j->answer)) {
        job_answer(j);
        return;
    }
    sld_http_on_gone(rq, on_gone, j);
    const struct asked q = {sld_http_method(rq), sld_http_path(rq), sld_http_query_text(rq)};
    job_run(j, &q);
}

// ---- Listeners ----

static char *own(struct sld_str s)
{
    if (!s.p)
        return NULL;
    char *p = sld_xcalloc(1, s.n + 1);
    memcpy(p, s.p, s.n);
    return p;
}

static void listener_destroy(struct listener *l)
{
    sld_list_remove(&l->link);
    sld_http_server_destroy(l->server);
    tokens_close(&l->tokens);
    sld_xfree((char *)(uintptr_t)l->host.p);
    sld_xfree(l->cert_file);
    sld_xfree(l->key_file);
    sld_xfree(l->client_ca_file);
    sld_xfree(l);
}

// Whether an address may be listened on with ACCESS.
static enum sld_rc check_access(const struct listener *l, struct sld_str address,
                                const struct sld_admin_access *access, struct sld_err *err)
{
    if (!access->cert_file.p != !access->key_file.p)
        return sld_err_set(err, SLD_INVALID,
                           "--admin-cert and --admin-key go together: set both");
    if (access->client_ca_file.p && !access->cert_file.p)
        return sld_err_set(err, SLD_INVALID,
                           "--admin-client-ca needs --admin-cert and --admin-key too");
    if (l->is_unix || l->loopback || access->client_ca_file.p || access->token_file.p)
        return SLD_OK;
    return sld_err_set(err, SLD_DENIED,
                       "the admin address %.*s can be reached from other machines, and whoever "
                       "reaches it reads the whole configuration: listen on 127.0.0.1 or unix:/path, "
                       "or ask for client certificates (--admin-cert, --admin-key and "
                       "--admin-client-ca) or for a token (--admin-token-file)",
                       SLD_FMT(address));
}

// Reads the PEM files of L into A. *HASH gets that of all.
static enum sld_rc read_tls(const struct listener *l, struct sld_arena *a, struct sld_http_tls *tls,
                            struct sld_hash *hash, struct sld_err *err)
{
    *tls = (struct sld_http_tls){0};
    enum sld_rc rc =
        access_read_file(a, sld_str_c(l->cert_file), PEM_MAX_BYTES, &tls->cert_chain_pem, err);
    if (rc == SLD_OK)
        rc = access_read_file(a, sld_str_c(l->key_file), PEM_MAX_BYTES, &tls->key_pem, err);
    if (rc == SLD_OK && l->client_ca_file)
        rc = access_read_file(a, sld_str_c(l->client_ca_file), PEM_MAX_BYTES, &tls->client_ca_pem,
                              err);
    if (rc == SLD_OK)
        *hash = sld_hash_mix(
            sld_hash_mix(sld_hash_bytes(tls->cert_chain_pem), sld_hash_bytes(tls->key_pem)),
            sld_hash_bytes(tls->client_ca_pem));
    return rc;
}

static enum sld_rc listener_open(struct listener *l, struct sld_str address, int *port,
                                 struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_http_tls tls;
    enum sld_rc rc = SLD_OK;
    if (l->cert_file)
        rc = read_tls(l, &a, &tls, &l->pem_hash, err);
    if (rc == SLD_OK)
        rc = sld_http_server_listen(l->server, address, l->cert_file ? &tls : NULL, port, err);
    sld_arena_fini_secret(&a);
    return rc;
}

enum sld_rc sld_admin_listen(struct sld_admin *a, struct sld_str address,
                             const struct sld_admin_access *access, int *port, struct sld_err *err)
{
    static const struct sld_admin_access nobody;
    sld_loop_assert_owner(a->opt.io);
    if (!access)
        access = &nobody;
    struct listener *l = SLD_NEW(struct listener);
    l->admin = a;
    sld_list_init(&l->link);
    enum sld_rc rc = access_address(address, l, err);
    if (l->is_unix)
        access = &nobody; // its mode guards it; TLS and tokens are for what goes over networks
    l->host = rc == SLD_OK ? (struct sld_str){own(l->host), l->host.n} : SLD_STR_NONE;
    if (rc == SLD_OK)
        rc = check_access(l, address, access, err);
    if (rc == SLD_OK && access->token_file.p)
        rc = tokens_open(&l->tokens, access->token_file, err);
    if (rc == SLD_OK) {
        l->cert_file = own(access->cert_file);
        l->key_file = own(access->key_file);
        l->client_ca_file = own(access->client_ca_file);
        l->server = sld_http_server_create(a->opt.io, &server_options, on_request, l);
        rc = listener_open(l, address, port, err);
    }
    if (rc != SLD_OK) {
        sld_err_wrap(err, "admin");
        listener_destroy(l);
        return rc;
    }
    sld_list_push(&a->listeners, &l->link);
    if (!l->is_unix && !l->loopback && !l->cert_file)
        SLD_LOG(SLD_WARN, "admin", "token_in_clear", SLD_KS("address", address),
                SLD_KC("msg", "the admin address has no TLS: tokens and answers cross the network "
                              "readable; set --admin-cert and --admin-key"));
    return SLD_OK;
}

static void listener_reload(struct listener *l)
{
    struct sld_arena a = {0};
    struct sld_http_tls tls;
    struct sld_hash hash;
    struct sld_err err = {0};
    uint64_t suppressed;
    if (!l->cert_file)
        return;
    enum sld_rc rc = read_tls(l, &a, &tls, &hash, &err);
    if (rc != SLD_OK || !sld_hash_eq(hash, l->pem_hash)) {
        if (rc == SLD_OK)
            rc = sld_http_server_set_tls(l->server, &tls, &err);
        if (rc == SLD_OK) {
            l->pem_hash = hash;
            SLD_LOG(SLD_INFO, "admin", "certificate_changed", SLD_KC("file", l->cert_file));
        } else if (sld_log_gate_open(&l->gate, 10 * 60 * 1000, &suppressed)) {
            SLD_LOG(SLD_LOG_ERROR, "admin", "certificate_unusable", SLD_KC("msg", err.msg),
                    SLD_KI("suppressed", suppressed));
        }
    }
    sld_arena_fini_secret(&a);
}

void sld_admin_reload(struct sld_admin *a)
{
    sld_loop_assert_owner(a->opt.io);
    SLD_LIST_EACH(at, &a->listeners)
    listener_reload(SLD_CONTAINER_OF(at, struct listener, link));
}

static void on_files_timer(void *user)
{
    struct sld_admin *a = user;
    sld_admin_reload(a);
    sld_timer_start(a->files_timer, FILES_LOOK_MS);
}

// ---- Life ----

static void on_converge_timer(void *user)
{
    sld_admin_progress(user);
}

struct sld_admin *sld_admin_create(const struct sld_admin_options *o)
{
    SLD_PRE(o->io && o->xds && o->host.query && o->host.checks && o->host.sources && o->host.edge);
    struct sld_admin *a = SLD_NEW(struct sld_admin);
    a->opt = *o;
    sld_list_init(&a->listeners);
    sld_list_init(&a->parked);
    sld_list_init(&a->queued);
    sld_list_init(&a->away);
    a->index = 1;
    a->noise = sld_mono_ns();
    a->start_ms = sld_wall_ms();
    sld_buf_init(&a->model_metrics, BODY_MAX_BYTES);
    a->converge.timer = sld_timer_create(o->io, on_converge_timer, a);
    a->files_timer = sld_timer_create(o->io, on_files_timer, a);
    sld_timer_start(a->files_timer, FILES_LOOK_MS);
    return a;
}

void sld_admin_destroy(struct sld_admin *a)
{
    if (!a)
        return;
    sld_loop_assert_owner(a->opt.io);
    SLD_LIST_EACH(at, &a->listeners)
    listener_destroy(SLD_CONTAINER_OF(at, struct listener, link));
    jobs_abandon(a);
    sld_timer_destroy(a->files_timer);
    sld_timer_destroy(a->converge.timer);
    sld_buf_fini(&a->model_metrics);
    sld_xfree(a);
}

void sld_admin_changed(struct sld_admin *a, uint64_t index)
{
    sld_loop_assert_owner(a->opt.io);
    if (index <= a->index)
        return;
    a->index = index;
    jobs_wake(a);
}

// ---- Rounds ----

const double round_bounds[ROUND_BUCKETS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                            0.05,   0.1,   0.5,    2.5,   15,   __builtin_inf()};

void histogram_add(uint64_t *buckets, double *sum, double seconds)
{
    size_t i = 0;
    while (seconds > round_bounds[i])
        i++;
    buckets[i]++;
    *sum += seconds;
}

void sld_admin_round(struct sld_admin *a, const struct sld_admin_round *r)
{
    sld_loop_assert_owner(a->opt.io);
    a->rounds.generation = r->generation;
    a->rounds.count++;
    a->rounds.computed += r->computed;
    a->rounds.cut += r->cut;
    a->rounds.last_ms = r->wall_ms;
    histogram_add(a->rounds.buckets, &a->rounds.seconds, (double)r->duration_ns / 1e9);
    converge_round(a, r);
}

void sld_admin_progress(struct sld_admin *a)
{
    sld_loop_assert_owner(a->opt.io);
    if (a->converge.since_ns)
        converge_look(a);
}

// One Consul agent: the registry of agents in use, and calls.
#include "source/consul/client.h"

#include <stdio.h>
#include <sys/stat.h>

#include "codec/text.h"
#include "source/consul/agent.h"
#include "source/file.h"

enum { CALL_TIMEOUT_MS = 30 * 1000, WORDS_MAX = 300 };

struct sld_consul_call {
    struct sld_list link; // of the agent
    struct sld_http_pending *pending;
    sld_consul_done *done;
    void *user;
};

// Of the io thread: who asks for an agent that is in use already gets that one.
static struct sld_list agents = {&agents, &agents};

static void on_call_done(const struct sld_http_answer *ha, void *user);

// ---- Agents ----

enum sld_rc sld_consul_get(struct sld_loop *io, struct sld_str agent,
                           const struct Gloo__Settings *settings, struct sld_consul **out,
                           struct sld_err *err)
{
    sld_loop_assert_owner(io);
    struct sld_consul_config cfg = {0};
    enum sld_rc rc = consul_config_make(&cfg, agent, settings, err);
    if (rc != SLD_OK)
        return rc;
    SLD_LIST_EACH (it, &agents) {
        struct sld_consul *c = SLD_CONTAINER_OF(it, struct sld_consul, link);
        if (c->loop != io || !sld_str_eq(c->cfg.base, cfg.base) ||
            !sld_str_eq(c->cfg.unix_socket, cfg.unix_socket))
            continue;
        c->refs++;
        consul_config_fini(&cfg);
        *out = c;
        return SLD_OK;
    }
    struct sld_consul *c = SLD_NEW(struct sld_consul);
    c->refs = 1;
    c->loop = io;
    c->cfg = cfg;
    char *copy = sld_xalloc(agent.n + 1);
    memcpy(copy, agent.n ? agent.p : "", agent.n);
    c->agent = sld_str_n(copy, agent.n);
    c->http = sld_http_client_create(io, SLD_CONSUL_CALLS_MAX);
    c->watch_http = sld_http_client_create(io, SLD_CONSUL_WATCHES_MAX);
    sld_list_init(&c->calls);
    sld_list_init(&c->watches);
    sld_list_init(&c->queue);
    sld_list_push(&agents, &c->link);
    *out = c;
    return SLD_OK;
}

enum sld_rc sld_consul_configure(struct sld_consul *c, const struct Gloo__Settings *settings,
                                 struct sld_err *err)
{
    sld_loop_assert_owner(c->loop);
    struct sld_consul_config cfg = {0};
    enum sld_rc rc = consul_config_make(&cfg, c->agent, settings, err);
    if (rc != SLD_OK)
        return rc;
    if (sld_hash_eq(cfg.hash, c->cfg.hash)) {
        consul_config_fini(&cfg);
        return SLD_OK;
    }
    consul_config_fini(&c->cfg);
    c->cfg = cfg;
    c->token_stamp[0] = c->token_stamp[1] = c->token_stamp[2] = 0;
    SLD_LOG(SLD_INFO, "source", "consul_configured", SLD_KS("agent", cfg.base));
    consul_watches_restart(c);
    return SLD_OK;
}

void sld_consul_release(struct sld_consul *c)
{
    if (!c)
        return;
    sld_loop_assert_owner(c->loop);
    SLD_PRE(c->refs > 0);
    if (--c->refs > 0)
        return;
    consul_watches_stop(c);
    SLD_LIST_EACH (it, &c->calls)
        sld_consul_cancel(SLD_CONTAINER_OF(it, struct sld_consul_call, link));
    sld_http_client_destroy(c->http);
    sld_http_client_destroy(c->watch_http);
    sld_list_remove(&c->link);
    consul_config_fini(&c->cfg);
    sld_arena_fini_secret(&c->token_arena);
    sld_xfree((char *)(uintptr_t)c->agent.p);
    sld_xfree(c);
}

struct sld_str sld_consul_name(const struct sld_consul *c)
{
    return c->cfg.unix_socket.p ? c->cfg.unix_socket : c->cfg.base;
}

// ---- The token file ----

struct sld_str consul_token_read(struct sld_arena *a, struct sld_str path)
{
    struct sld_str token = SLD_STR_NONE;
    return sld_secret_file_read(a, "token file", path, &token, NULL) == SLD_OK ? token : SLD_STR_NONE;
}

struct sld_str consul_file_token(struct sld_consul *c)
{
    struct stat st;
    if (!c->cfg.token_file.p)
        return SLD_STR_NONE;
    if (stat(c->cfg.token_file.p, &st) != 0)
        return c->file_token; // being replaced
    uint64_t stamp[3] = {(uint64_t)st.st_size, (uint64_t)st.st_ino,
                         (uint64_t)st.st_mtim.tv_sec * 1000000000 + (uint64_t)st.st_mtim.tv_nsec};
    if (memcmp(stamp, c->token_stamp, sizeof(stamp)) == 0)
        return c->file_token;
    struct sld_arena a = {0};
    struct sld_str token = consul_token_read(&a, c->cfg.token_file);
    if (token.n) {
        sld_arena_fini_secret(&c->token_arena);
        c->token_arena = a;
        c->file_token = token;
        memcpy(c->token_stamp, stamp, sizeof(stamp));
    } else {
        sld_arena_fini_secret(&a); // emptied: being written
    }
    return c->file_token;
}

// ---- Queries ----

static void add_param(struct sld_buf *b, char *sep, struct sld_str name, struct sld_str value)
{
    sld_buf_addc(b, *sep);
    *sep = '&';
    sld_buf_add_encoded(b, name, "-._~");
    if (value.p) {
        sld_buf_addc(b, '=');
        sld_buf_add_encoded(b, value, "-._~");
    }
}

static bool has_param(const struct sld_consul_query *q, struct sld_str name)
{
    for (size_t i = 0; i < q->param_count; i++) {
        if (sld_str_eq(q->params[i].name, name))
            return true;
    }
    return false;
}

static void add_scope(struct sld_buf *b, char *sep, const struct sld_consul_query *q,
                      const char *name, struct sld_str value)
{
    if (value.n && !has_param(q, sld_str_c(name)))
        add_param(b, sep, sld_str_c(name), value);
}

static struct sld_str url_make(struct sld_arena *a, const struct sld_consul_config *cfg,
                               const struct sld_consul_query *q, uint64_t index, uint64_t wait_ms)
{
    char sep = '?', number[32];
    struct sld_buf b;
    sld_buf_init(&b, 64 * 1024);
    sld_buf_add(&b, cfg->base);
    sld_buf_add_encoded(&b, q->path, "-._~/");
    for (size_t i = 0; i < q->param_count; i++)
        add_param(&b, &sep, q->params[i].name, q->params[i].value);
    add_scope(&b, &sep, q, "dc", cfg->datacenter);
    add_scope(&b, &sep, q, "ns", cfg->ns);
    add_scope(&b, &sep, q, "partition", cfg->partition);
    if (q->consistency != SLD_CONSUL_DEFAULT)
        add_param(&b, &sep,
                  q->consistency == SLD_CONSUL_STALE ? SLD_STR("stale") : SLD_STR("consistent"),
                  SLD_STR_NONE);
    if (q->cached)
        add_param(&b, &sep, SLD_STR("cached"), SLD_STR_NONE);
    if (wait_ms) {
        snprintf(number, sizeof(number), "%llu", (unsigned long long)index);
        add_param(&b, &sep, SLD_STR("index"), sld_str_c(number));
        snprintf(number, sizeof(number), "%llums", (unsigned long long)wait_ms);
        add_param(&b, &sep, SLD_STR("wait"), sld_str_c(number));
    }
    struct sld_str url = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return url;
}

void consul_call_make(struct sld_arena *a, const struct sld_consul_config *cfg,
                      struct sld_str file_token, const struct sld_consul_query *q, uint64_t index,
                      uint64_t wait_ms, struct sld_http_call *call)
{
    struct sld_str token = file_token.n ? file_token : cfg->token;
    struct sld_http_header *h = SLD_ARENA_ARRAY(a, struct sld_http_header, 2);
    size_t n = 0;
    if (token.n)
        h[n++] = (struct sld_http_header){SLD_STR("X-Consul-Token"), token};
    if (cfg->basic.n) {
        struct sld_str basic = sld_base64_encode(a, cfg->basic);
        h[n++] = (struct sld_http_header){SLD_STR("Authorization"),
                                          SLD_ARENA_JOIN(a, SLD_STR("Basic "), basic)};
    }
    uint64_t timeout_ms = q->timeout_ms ? q->timeout_ms : CALL_TIMEOUT_MS;
    *call = (struct sld_http_call){
        .method = q->method,
        .url = url_make(a, cfg, q, index, wait_ms),
        .unix_socket = cfg->unix_socket,
        .headers = h,
        .header_count = n,
        .body = q->body,
        // The agent adds up to a sixteenth to the wait, so that not all ask at once.
        .timeout_ms = wait_ms + wait_ms / 16 + timeout_ms,
        .max_body_bytes = q->max_body_bytes ? q->max_body_bytes : SLD_CONSUL_BODY_MAX_BYTES,
        .ca_file = cfg->ca_file,
        .ca_path = cfg->ca_path,
        .cert_file = cfg->cert_file,
        .key_file = cfg->key_file,
        .server_name = cfg->server_name,
        .insecure = cfg->insecure,
        .gzip = !cfg->local,
    };
}

struct sld_consul_query consul_query_copy(struct sld_arena *a, const struct sld_consul_query *q)
{
    struct sld_consul_query out = *q;
    struct sld_consul_param *params = SLD_ARENA_ARRAY(a, struct sld_consul_param, q->param_count);
    for (size_t i = 0; i < q->param_count; i++) {
        params[i].name = sld_arena_str(a, q->params[i].name);
        params[i].value =
            q->params[i].value.p ? sld_arena_str(a, q->params[i].value) : SLD_STR_NONE;
    }
    out.params = params;
    out.method = q->method.p ? sld_arena_str(a, q->method) : SLD_STR_NONE;
    out.path = sld_arena_str(a, q->path);
    out.body = q->body.p ? sld_arena_str(a, q->body) : SLD_STR_NONE;
    return out;
}

// ---- Answers ----

static struct sld_str header(const struct sld_http_answer *a, struct sld_str name)
{
    for (size_t i = 0; i < a->header_count; i++) {
        if (sld_str_ieq(a->headers[i].name, name))
            return a->headers[i].value;
    }
    return SLD_STR_NONE;
}

static enum sld_rc rc_of(int status)
{
    switch (status) {
    case 401:
    case 403:
        return SLD_DENIED;
    case 409:
        return SLD_CONFLICT;
    case 413:
        return SLD_LIMIT;
    case 429:
        return SLD_AGAIN;
    default:
        return status >= 400 && status < 500 ? SLD_INVALID : SLD_IO;
    }
}

// The agent's own words, which are one line of plain text.
static struct sld_str words_of(struct sld_str body)
{
    struct sld_str line = SLD_STR_NONE;
    body = sld_str_trim(body);
    (void)sld_str_cut(&body, '\n', &line);
    line = sld_str_utf8_cut(sld_str_trim(line), WORDS_MAX);
    return sld_str_utf8(line, NULL) ? line : SLD_STR("");
}

static enum sld_rc status_error(int status, struct sld_str body, struct sld_err *err)
{
    struct sld_str words = words_of(body);
    return sld_err_set(
        err, rc_of(status), "Consul answered %d%s%.*s%s", status, words.n ? ": " : "",
        SLD_FMT(words),
        status == 429 ? "; an agent takes 200 connections from one address "
                        "(limits.http_max_conns_per_client)"
        : rc_of(status) == SLD_DENIED
            ? "; mend the token (consul.token of the Settings, CONSUL_HTTP_TOKEN) or "
              "its policies"
            : "");
}

void consul_answer_read(const struct sld_http_answer *from, struct sld_consul_answer *out,
                        struct sld_err *err)
{
    *out = (struct sld_consul_answer){.status = from->status, .body = from->body};
    if (from->err) {
        *err = *from->err;
        out->err = err;
        return;
    }
    (void)sld_str_u64(header(from, SLD_STR("X-Consul-Index")), &out->index);
    (void)sld_str_u64(header(from, SLD_STR("X-Consul-LastContact")), &out->last_contact_ms);
    out->known_leader = sld_str_eq(SLD_STR("true"), header(from, SLD_STR("X-Consul-KnownLeader")));
    out->filtered_by_acl =
        sld_str_eq(SLD_STR("true"), header(from, SLD_STR("X-Consul-Results-Filtered-By-Acls")));
    if (from->status != 200 && from->status != 404) {
        status_error(from->status, from->body, err);
        out->err = err;
    }
}

// ---- Calls ----

struct sld_consul_call *sld_consul_ask(struct sld_consul *c, const struct sld_consul_query *q,
                                       sld_consul_done *done, void *user)
{
    sld_loop_assert_owner(c->loop);
    struct sld_arena a = {0};
    struct sld_http_call hc;
    struct sld_consul_call *call = SLD_NEW(struct sld_consul_call);
    call->done = done;
    call->user = user;
    sld_list_push(&c->calls, &call->link);
    consul_call_make(&a, &c->cfg, consul_file_token(c), q, 0, 0, &hc);
    call->pending = sld_http_start(c->http, &hc, on_call_done, call);
    sld_arena_fini_secret(&a);
    return call;
}

static void on_call_done(const struct sld_http_answer *ha, void *user)
{
    struct sld_consul_call *call = user;
    struct sld_consul_answer a;
    struct sld_err err = {0};
    consul_answer_read(ha, &a, &err);
    sld_list_remove(&call->link);
    call->done(call->user, &a);
    sld_xfree(call);
}

void sld_consul_cancel(struct sld_consul_call *call)
{
    if (!call)
        return;
    sld_http_cancel(call->pending);
    sld_list_remove(&call->link);
    sld_xfree(call);
}

enum sld_rc sld_consul_fetch(struct sld_arena *a, struct sld_str agent,
                             const struct Gloo__Settings *settings,
                             const struct sld_consul_query *q, struct sld_consul_answer *out,
                             struct sld_err *err)
{
    struct sld_consul_config cfg = {0};
    struct sld_http_call call;
    struct sld_http_answer ha = {0};
    enum sld_rc rc = consul_config_make(&cfg, agent, settings, err);
    if (rc != SLD_OK)
        return rc;
    struct sld_str token =
        cfg.token_file.p ? consul_token_read(&cfg.arena, cfg.token_file) : SLD_STR_NONE;
    consul_call_make(&cfg.arena, &cfg, token, q, 0, 0, &call);
    rc = sld_http_fetch(a, &call, &ha.status, &ha.body, err);
    if (rc == SLD_OK && ha.status != 200 && ha.status != 404)
        rc = status_error(ha.status, ha.body, err);
    *out = (struct sld_consul_answer){.status = ha.status, .body = ha.body};
    consul_config_fini(&cfg);
    return rc;
}

// ---- Farewells ----

struct send {
    struct sld_arena arena;
    struct sld_http_call *calls;
    size_t count;
};

static void on_send_work(void *user)
{
    struct send *s = user;
    for (size_t i = 0; i < s->count; i++) {
        struct sld_str body;
        int status = 0;
        struct sld_err err = {0};
        if (sld_http_fetch(&s->arena, &s->calls[i], &status, &body, &err) != SLD_OK) {
            SLD_LOG(SLD_DEBUG, "source", "consul_farewell_failed", SLD_KC("reason", err.msg));
            return;
        }
    }
}

static void on_send_done(void *user)
{
    struct send *s = user;
    sld_arena_fini_secret(&s->arena);
    sld_xfree(s);
}

static struct sld_str keep(struct sld_arena *a, struct sld_str s)
{
    return s.p ? sld_arena_str(a, s) : SLD_STR_NONE;
}

// The configuration that CALL points into may be gone when the thread comes to it.
static void call_keep(struct sld_arena *a, struct sld_http_call *call)
{
    struct sld_http_header *h = SLD_ARENA_ARRAY(a, struct sld_http_header, call->header_count);
    for (size_t i = 0; i < call->header_count; i++) {
        h[i].name = keep(a, call->headers[i].name);
        h[i].value = keep(a, call->headers[i].value);
    }
    call->headers = h;
    struct sld_str *parts[] = {&call->method,   &call->unix_socket, &call->body,
                               &call->ca_file,  &call->ca_path,     &call->cert_file,
                               &call->key_file, &call->server_name};
    for (size_t i = 0; i < SLD_ARRAY_LEN(parts); i++)
        *parts[i] = keep(a, *parts[i]);
}

void sld_consul_send(struct sld_consul *c, const struct sld_consul_query *q, size_t n)
{
    sld_loop_assert_owner(c->loop);
    struct send *s = SLD_NEW(struct send);
    s->calls = SLD_ARENA_ARRAY(&s->arena, struct sld_http_call, n);
    s->count = n;
    for (size_t i = 0; i < n; i++) {
        consul_call_make(&s->arena, &c->cfg, consul_file_token(c), &q[i], 0, 0, &s->calls[i]);
        call_keep(&s->arena, &s->calls[i]);
    }
    sld_loop_work(c->loop, on_send_work, on_send_done, s);
}

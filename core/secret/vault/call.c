// One request to Vault, with the session's token: what its answer means, and redirects.
#include "secret/vault/inside.h"

#include <stdio.h>

struct vault_call {
    struct vault *v;
    struct sld_arena arena; // wiped
    struct sld_str method, url, body, token;
    size_t max_body_bytes;
    bool urgent, root;
    unsigned generation; // of the token
    unsigned hops;
    struct sld_http_pending *pending;
    vault_done *done;
    void *user;
};

enum { HOPS_MAX = 3, WORDS_MAX = 300, FAREWELL_MS = 2000, FAREWELL_CONNECTIONS = 4 };

#define NOT_VAULT "the answer is not one of Vault"

// ---- What an answer means ----

static void add_words(struct sld_buf *b, struct sld_str s)
{
    bool gap = false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == 0x7f) {
            gap = true;
            continue;
        }
        if (gap && b->n)
            sld_buf_addc(b, ' ');
        gap = false;
        sld_buf_addc(b, (char)c);
    }
}

// What Vault says is wrong, on one line.
static const char *errors_of(struct sld_arena *a, const struct sld_node *root)
{
    const struct sld_node *errors = sld_node_get(root, SLD_STR("errors"));
    struct sld_buf b;
    sld_buf_init(&b, WORDS_MAX);
    for (size_t i = 0; errors && errors->type == SLD_NODE_SEQ && i < errors->count; i++) {
        if (b.n)
            sld_buf_addz(&b, "; ");
        add_words(&b, sld_str_utf8_cut(sld_node_text(errors->items[i]), WORDS_MAX / 2));
    }
    char *words = sld_arena_cstr(a, sld_str_utf8_cut(sld_buf_str(&b), WORDS_MAX));
    sld_buf_fini(&b);
    return words;
}

// Whether ROOT is what Vault says of a request that it does not serve: others answer for it, too.
static bool is_refusal(const struct sld_node *root)
{
    const struct sld_node *errors = sld_node_get(root, SLD_STR("errors"));
    return errors && errors->type == SLD_NODE_SEQ && errors->count > 0;
}

static const char *or_words(const char *words, const char *otherwise)
{
    return *words ? words : otherwise;
}

// What a versioned engine says of a latest version that was deleted or destroyed.
static bool deleted(const struct sld_node *data)
{
    const struct sld_node *about = sld_node_get(data, SLD_STR("metadata"));
    return sld_node_text(sld_node_get(about, SLD_STR("deletion_time"))).n ||
           sld_str_eq(sld_node_text(sld_node_get(about, SLD_STR("destroyed"))), SLD_STR("true"));
}

static void judge_404(struct vault_answer *out, const struct sld_node *root)
{
    const struct sld_node *errors = sld_node_get(root, SLD_STR("errors"));
    if (out->data)
        out->verdict = deleted(out->data) ? VAULT_DELETED : VAULT_DOWN;
    else if (errors && errors->type == SLD_NODE_SEQ && errors->count == 0)
        out->verdict = VAULT_MISSING;
    else
        out->verdict = VAULT_NO_ROUTE;
}

void vault_judge(struct sld_arena *a, const struct sld_http_answer *in, struct vault_answer *out)
{
    struct sld_document *docs = NULL;
    size_t n = 0;
    struct sld_doc_limits limits = sld_doc_limits_default;
    limits.max_bytes = VAULT_LIST_MAX_BYTES;
    bool read =
        in->body.n && sld_doc_read(a, in->body, &limits, &docs, &n, NULL, NULL) == SLD_OK && n == 1;
    const struct sld_node *root =
        read && docs[0].root && docs[0].root->type == SLD_NODE_MAP ? docs[0].root : NULL;
    const char *words = errors_of(a, root);
    out->root = root;
    out->data = sld_node_get(root, SLD_STR("data"));
    out->auth = sld_node_get(root, SLD_STR("auth"));
    if (out->data && out->data->type != SLD_NODE_MAP)
        out->data = NULL;
    if (out->auth && out->auth->type != SLD_NODE_MAP)
        out->auth = NULL;
    out->words = words;
    if (in->status >= 200 && in->status < 300) {
        // Only 204 has no body: another that has none was cut off.
        out->verdict = root || in->status == 204 ? VAULT_OK : VAULT_DOWN;
        if (out->verdict == VAULT_DOWN)
            out->words = NOT_VAULT;
    } else if (in->status == 404 && root) {
        judge_404(out, root);
        out->words =
            or_words(words, out->verdict == VAULT_DOWN ? NOT_VAULT : "nothing is there");
    } else if ((in->status == 401 || in->status == 403) && is_refusal(root)) {
        out->verdict = VAULT_DENIED;
        out->words = or_words(words, "permission denied");
    } else if (in->status >= 400 && in->status < 500 && in->status != 401 && in->status != 403 &&
               in->status != 408 && in->status != 429 && root) {
        out->verdict = VAULT_REFUSED;
        out->words = or_words(words, "the request is not valid");
    } else if (in->status == 503) {
        out->words = or_words(words, "it is sealed or in maintenance");
    } else if (in->status == 429) {
        out->words = or_words(words, "it is a standby, or too many requests were sent");
    } else if (in->status == 501) {
        out->words = or_words(words, "it is not initialised");
    } else if (!*words) {
        out->words = sld_arena_fmt(a, "it answered with status %d", in->status).p;
    }
}

struct vault_answer vault_expect(const struct vault_answer *a, bool fits)
{
    struct vault_answer out = *a;
    if (a->verdict == VAULT_OK && !fits) {
        out.verdict = VAULT_DOWN;
        out.words = NOT_VAULT;
        sld_vault_stats.failed_requests++;
    }
    return out;
}

// ---- Calls ----

static void call_free(struct vault_call *c)
{
    sld_arena_fini_secret(&c->arena);
    sld_xfree(c);
}

static struct sld_str url_of(struct sld_arena *a, const struct vault *v,
                             const struct vault_request *rq)
{
    struct sld_buf b;
    sld_buf_init(&b, (size_t)64 * 1024);
    sld_buf_addf(&b, "%.*s/v1/", SLD_FMT(v->cfg.base));
    sld_buf_add_encoded(&b, rq->path, "-._~/");
    if (rq->query.p)
        sld_buf_addf(&b, "?%.*s", SLD_FMT(rq->query));
    struct sld_str url = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return url;
}

static void on_answer(const struct sld_http_answer *a, void *user);

// A call to URL with all that is the same for each.
static struct sld_http_call call_to(const struct vault_config *cfg, struct sld_str method,
                                    struct sld_str url)
{
    return (struct sld_http_call){
        .method = method,
        .url = url,
        .unix_socket = cfg->unix_socket,
        .ca_file = cfg->ca_file,
        .ca_path = cfg->ca_path,
        .cert_file = cfg->cert_file,
        .key_file = cfg->key_file,
        .server_name = cfg->server_name,
        .insecure = cfg->insecure,
        .secret = true,
    };
}

static void start(struct vault_call *c)
{
    struct vault *v = c->v;
    const struct vault_config *cfg = &v->cfg;
    struct sld_http_header headers[4];
    size_t n = 0;
    headers[n++] = (struct sld_http_header){SLD_STR("X-Vault-Request"), SLD_STR("true")};
    if (c->token.n)
        headers[n++] = (struct sld_http_header){SLD_STR("X-Vault-Token"), c->token};
    if (cfg->ns.n && !c->root)
        headers[n++] = (struct sld_http_header){SLD_STR("X-Vault-Namespace"), cfg->ns};
    if (c->body.p)
        headers[n++] =
            (struct sld_http_header){SLD_STR("Content-Type"), SLD_STR("application/json")};
    struct sld_http_call call = call_to(cfg, c->method, c->url);
    call.headers = headers;
    call.header_count = n;
    call.body = c->body;
    call.timeout_ms = cfg->timeout_ms;
    call.max_body_bytes = c->max_body_bytes;
    sld_vault_stats.requests++;
    c->pending = sld_http_start(v->http, &call, on_answer, c);
}

static struct sld_str header_of(const struct sld_http_answer *a, struct sld_str name)
{
    for (size_t i = 0; i < a->header_count; i++) {
        if (sld_str_ieq(a->headers[i].name, name))
            return a->headers[i].value;
    }
    return SLD_STR_NONE;
}

// Where a redirect leads, when the token may go there: to the configured address, or to another by
// TLS.
static bool redirect_ok(const struct vault *v, struct sld_str to)
{
    struct sld_str base = v->cfg.base;
    bool same = sld_str_starts(to, base) && to.n > base.n && to.p[base.n] == '/';
    return same || (!v->cfg.unix_socket.p && sld_str_starts(to, SLD_STR("https://")));
}

// A standby that sends on: the same request, there.
static bool follow(struct vault_call *c, const struct sld_http_answer *a)
{
    struct sld_str to = header_of(a, SLD_STR("location"));
    if ((a->status != 307 && a->status != 308) || c->hops == HOPS_MAX || !redirect_ok(c->v, to))
        return false;
    c->hops++;
    c->url = sld_arena_str(&c->arena, to);
    start(c);
    return true;
}

// The words of ERR without the address, which is that of one request among many: "URL: words".
static const char *words_of(const struct sld_err *err)
{
    const char *gap = strstr(err->msg, ": ");
    return gap ? gap + 2 : err->msg;
}

static void on_answer(const struct sld_http_answer *in, void *user)
{
    struct vault_call *c = user;
    struct vault *v = c->v;
    struct vault_answer out = {.verdict = VAULT_DOWN,
                               .status = in->status,
                               .words = "",
                               .generation = c->generation};
    c->pending = NULL;
    if (!in->err && follow(c, in))
        return;
    if (in->err) {
        out.verdict =
            in->err->rc == SLD_LIMIT ? VAULT_REFUSED : VAULT_DOWN; // too long an answer is one
        out.words = words_of(in->err);
    } else if (in->status >= 300 && in->status < 400) {
        out.words =
            sld_arena_fmt(
                &c->arena,
                "it sends on to \"%.*s\", where the token is not taken: only to its own address "
                "or by https",
                SLD_FMT(sld_str_sub(header_of(in, SLD_STR("location")), 0, 100)))
                .p;
    } else {
        vault_judge(&c->arena, in, &out);
    }
    sld_vault_stats.failed_requests += out.verdict == VAULT_DOWN;
    v->running -= !c->urgent;
    c->done(&out, c->user);
    call_free(c);
}

struct vault_call *vault_ask(struct vault *v, const struct vault_request *rq, vault_done *done,
                             void *user)
{
    struct vault_call *c = SLD_NEW(struct vault_call);
    struct sld_arena *a = &c->arena;
    c->v = v;
    c->method = sld_arena_str(a, rq->method ? sld_str_c(rq->method) : SLD_STR("GET"));
    c->url = url_of(a, v, rq);
    c->body = rq->body.p ? sld_arena_str(a, rq->body) : SLD_STR_NONE;
    c->token = sld_arena_str(a, rq->token.p ? rq->token : v->session.token);
    c->max_body_bytes = rq->max_body_bytes ? rq->max_body_bytes : VAULT_BODY_MAX_BYTES;
    c->urgent = rq->urgent;
    c->root = rq->root;
    c->generation = v->generation;
    c->done = done;
    c->user = user;
    v->running += !c->urgent;
    start(c);
    return c;
}

void vault_call_cancel(struct vault_call *c)
{
    if (!c)
        return;
    sld_http_cancel(c->pending);
    c->v->running -= !c->urgent;
    call_free(c);
}

// ---- Farewells ----

struct farewell {
    struct sld_arena arena; // wiped
    struct sld_http_client *client;
    struct sld_http_call last; // absent url: none
    size_t left;
};

struct farewell_call {
    struct farewell *f;
    const char *serial; // NULL: not of a certificate
};

static void on_farewell(const struct sld_http_answer *a, void *user);

static void farewell_start(struct farewell *f, const struct sld_http_call *call,
                           struct sld_str serial)
{
    struct farewell_call *c = SLD_ARENA_NEW(&f->arena, struct farewell_call);
    c->f = f;
    c->serial = serial.n ? sld_arena_cstr(&f->arena, serial) : NULL;
    f->left++;
    sld_http_start(f->client, call, on_farewell, c);
}

static void on_farewell(const struct sld_http_answer *a, void *user)
{
    struct farewell_call *c = user;
    struct farewell *f = c->f;
    char status[40];
    snprintf(status, sizeof(status), "it answered with status %d", a->status);
    if (c->serial)
        vault_log_revoked(c->serial, a->status >= 200 && a->status < 300
                                         ? NULL
                                         : a->err ? words_of(a->err) : status);
    if (--f->left)
        return;
    if (f->last.url.p) {
        struct sld_http_call last = f->last;
        f->last.url = SLD_STR_NONE;
        farewell_start(f, &last, SLD_STR_NONE);
        return;
    }
    sld_http_client_destroy(f->client);
    sld_arena_fini_secret(&f->arena);
    sld_xfree(f);
}

static struct sld_http_call farewell_call(struct farewell *f, struct vault *v,
                                          const struct vault_request *rq)
{
    struct sld_arena *a = &f->arena;
    const struct vault_config *cfg = &v->cfg;
    struct sld_http_header *headers = sld_arena_alloc(a, 4 * sizeof(*headers));
    struct sld_http_call call = call_to(cfg, SLD_STR("POST"), url_of(a, v, rq));
    size_t n = 0;
    headers[n++] = (struct sld_http_header){SLD_STR("X-Vault-Request"), SLD_STR("true")};
    headers[n++] = (struct sld_http_header){SLD_STR("Content-Type"), SLD_STR("application/json")};
    if (v->session.token.n)
        headers[n++] = (struct sld_http_header){SLD_STR("X-Vault-Token"),
                                                sld_arena_str(a, v->session.token)};
    if (cfg->ns.n)
        headers[n++] =
            (struct sld_http_header){SLD_STR("X-Vault-Namespace"), sld_arena_str(a, cfg->ns)};
    call.headers = headers;
    call.header_count = n;
    call.body = rq->body.p ? sld_arena_str(a, rq->body) : SLD_STR("{}");
    call.timeout_ms = FAREWELL_MS;
    // It is started when V may be gone.
    struct sld_str *of_config[] = {&call.unix_socket, &call.ca_file,  &call.ca_path,
                                   &call.cert_file,   &call.key_file, &call.server_name};
    for (size_t i = 0; i < SLD_ARRAY_LEN(of_config); i++)
        *of_config[i] = of_config[i]->p ? sld_arena_str(a, *of_config[i]) : SLD_STR_NONE;
    return call;
}

void vault_farewell(struct vault *v, const struct vault_request *first, size_t n,
                    const struct vault_request *last)
{
    if (!n && !last)
        return;
    struct farewell *f = SLD_NEW(struct farewell);
    f->client = sld_http_client_create(v->io, FAREWELL_CONNECTIONS);
    if (n && last)
        f->last = farewell_call(f, v, last);
    for (size_t i = 0; i < n; i++) {
        struct sld_http_call call = farewell_call(f, v, &first[i]);
        farewell_start(f, &call, first[i].serial);
    }
    if (!n) {
        struct sld_http_call call = farewell_call(f, v, last);
        farewell_start(f, &call, SLD_STR_NONE);
    }
}

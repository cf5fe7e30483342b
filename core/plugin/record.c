// Requests and decisions as lines of JSON.
#include "plugin/record.h"

#include "plugin/load.h"

#define HIDDEN SLD_STR("***")

bool sld_record_hides(struct sld_str name)
{
    static const char *const parts[] = {"auth", "cookie", "token", "secret", "passw", "key", "credential", "session",
                                        "signature", "jwt", "csrf", "xsrf", "assertion", "client-cert"};
    static const char *const whole[] = {"code", "state", "sid", "sig", "pin", "otp", "pwd", "x-amz-security-token"};
    char lower[256];
    size_t n = name.n < sizeof(lower) ? name.n : sizeof(lower);
    for (size_t i = 0; i < n; i++)
        lower[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i] == '_' ? '-' : name.p[i]);
    struct sld_str l = sld_str_n(lower, n);
    if (sld_str_eq(l, SLD_STR(":authority")))
        return false;
    for (size_t i = 0; i < SLD_ARRAY_LEN(parts); i++) {
        if (sld_str_find(l, sld_str_c(parts[i])) >= 0)
            return true;
    }
    for (size_t i = 0; i < SLD_ARRAY_LEN(whole); i++) {
        if (sld_str_eq(l, sld_str_c(whole[i])))
            return true;
    }
    return name.n > sizeof(lower);
}

// ---- Values ----

// S as JSON may have it: what is not UTF-8 is told by question marks.
static struct sld_str clean(struct sld_arena *a, struct sld_str s)
{
    size_t at;
    if (!s.n)
        return SLD_STR("");
    if (sld_str_utf8(s, &at))
        return s;
    char *c = sld_arena_cstr(a, s);
    for (size_t i = at; i < s.n; i++)
        c[i] = (char)((unsigned char)c[i] < 0x80 ? c[i] : '?');
    return sld_str_n(c, s.n);
}

static void put(struct sld_json *j, struct sld_arena *a, const char *key, struct sld_str s)
{
    if (!s.p)
        return;
    sld_json_key(j, key);
    sld_json_str(j, clean(a, s));
}

static void put_key(struct sld_json *j, struct sld_arena *a, struct sld_str name)
{
    sld_json_key(j, sld_arena_cstr(a, clean(a, name)));
}

static void put_list(struct sld_json *j, struct sld_arena *a, const char *key, const struct sld_str *all, size_t n)
{
    sld_json_key(j, key);
    sld_json_begin(j, '[');
    for (size_t i = 0; i < n; i++)
        sld_json_str(j, clean(a, all[i]));
    sld_json_end(j, ']');
}

static struct sld_str shown(struct sld_str name, struct sld_str value)
{
    return sld_record_hides(name) ? HIDDEN : value;
}

// Headers in order, each a pair: there may be several of a name.
static void put_headers(struct sld_json *j, struct sld_arena *a, const struct sld_pair *p, size_t n)
{
    sld_json_key(j, "headers");
    sld_json_begin(j, '[');
    for (size_t i = 0; i < n; i++) {
        sld_json_begin(j, '[');
        sld_json_str(j, clean(a, p[i].name));
        sld_json_str(j, clean(a, shown(p[i].name, p[i].value)));
        sld_json_end(j, ']');
    }
    sld_json_end(j, ']');
}

static void put_body(struct sld_json *j, struct sld_arena *a, struct sld_str body)
{
    if (!body.p)
        return;
    put(j, a, "body", sld_str_utf8(body, NULL) ? sld_str_utf8_cut(body, SLD_RECORD_BODY_MAX) : sld_str_sub(body, 0, SLD_RECORD_BODY_MAX));
    if (body.n > SLD_RECORD_BODY_MAX) {
        sld_json_key(j, "bodyBytes");
        sld_json_int(j, (int64_t)body.n);
    }
}

// A path with its query, in which the values of secrets are hidden.
static struct sld_str target(struct sld_arena *a, struct sld_str path, struct sld_str query)
{
    struct sld_str rest = query, one, out = path;
    const char *mark = "?";
    while (rest.n && sld_str_cut(&rest, '&', &one)) {
        ptrdiff_t eq = sld_str_index(one, '=');
        struct sld_str name = sld_str_sub(one, 0, eq < 0 ? one.n : (size_t)eq);
        out = eq >= 0 && sld_record_hides(name) ? sld_arena_fmt(a, "%.*s%s%.*s=***", SLD_FMT(out), mark, SLD_FMT(name))
                                               : sld_arena_fmt(a, "%.*s%s%.*s", SLD_FMT(out), mark, SLD_FMT(one));
        mark = "&";
    }
    return out;
}

static void put_value(struct sld_json *j, struct sld_arena *a, const Google__Protobuf__Value *v)
{
    struct sld_buf b;
    sld_buf_init(&b, SLD_RECORD_LINE_MAX);
    sld_doc_print(&b, &v->base, SLD_TEXT_JSON_COMPACT, false);
    sld_json_raw(j, sld_arena_str(a, sld_str_trim(sld_buf_str(&b))));
    sld_buf_fini(&b);
}

// ---- Secrets of a configuration ----

// V without the texts of secrets. It is changed.
static void strip(Google__Protobuf__Value *v)
{
    if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE) {
        for (size_t i = 0; i < v->list_value->n_values; i++)
            strip(v->list_value->values[i]);
    } else if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE) {
        Google__Protobuf__Struct *s = v->struct_value;
        size_t kept = 0;
        for (size_t i = 0; i < s->n_fields; i++) {
            if (!strcmp(s->fields[i]->key, SLD_CONF_SECRET_TEXT))
                continue;
            strip(s->fields[i]->value);
            s->fields[kept++] = s->fields[i];
        }
        s->n_fields = kept;
    }
}

// ---- A line ----

static void put_peer(struct sld_json *j, struct sld_arena *a, struct sld_exchange *x)
{
    if (!x->peer)
        return;
    pl_peer_read(x);
    sld_json_key(j, "peer");
    sld_json_begin(j, '{');
    put(j, a, "subject", x->subject);
    put_list(j, a, "uri_sans", &x->peer->principal, sld_str_find(x->peer->principal, SLD_STR("://")) > 0);
    put_list(j, a, "dns_sans", x->dns_names, x->dns_name_count);
    sld_json_end(j, '}');
}

void sld_record_begin(struct sld_record *r, const struct sld_plugin *p, struct sld_exchange *x, const Google__Protobuf__Value *conf,
                      int64_t wall_ms)
{
    struct sld_json *j = &r->json;
    struct sld_arena *a = &r->arena;
    char version[17];
    r->plugin = sld_arena_str(a, p->info.name);
    for (size_t i = 0; i < x->edit_count; i++)
        SLD_PUSH(a, r->edits, r->edit_count, x->edits[i]);
    r->note_count = x->note_count;
    sld_buf_init(&r->line, SLD_RECORD_LINE_MAX);
    sld_json_init(j, &r->line);
    sld_json_begin(j, '{');
    sld_json_key(j, "time");
    sld_json_int(j, wall_ms);
    put(j, a, "plugin", r->plugin);
    sld_hash_text(p->obj.hash, version);
    put(j, a, "version", sld_str_c(version));
    sld_json_key(j, "request");
    sld_json_begin(j, '{');
    put(j, a, "method", x->method);
    put(j, a, "path", target(a, x->path, x->query));
    put(j, a, "host", x->host);
    put(j, a, "scheme", x->scheme);
    put(j, a, "id", x->id);
    put(j, a, "source", x->source);
    put(j, a, "sni", x->sni);
    put(j, a, "route", x->route);
    put_headers(j, a, x->headers, x->header_count);
    put_body(j, a, x->body);
    put_peer(j, a, x);
    sld_json_end(j, '}');
    if (!conf)
        return;
    Google__Protobuf__Value *own = sld_msg_copy(a, &conf->base);
    strip(own);
    sld_json_key(j, "conf");
    put_value(j, a, own);
}

// ---- Decisions ----

static bool had(const struct sld_record *r, const struct sld_edit *e)
{
    for (size_t i = 0; i < r->edit_count; i++) {
        const struct sld_edit *b = &r->edits[i];
        if (b->kind == e->kind && sld_str_eq(b->name, e->name) && !b->value.p == !e->value.p && sld_str_eq(b->value, e->value))
            return true;
    }
    return false;
}

static struct sld_str edit_text(struct sld_arena *a, const struct sld_edit *e)
{
    static const char *const sets[] = {"set", "set query", "set response", "add response"};
    static const char *const removes[] = {"remove", "remove query", "remove response", "remove response"};
    struct sld_str name = clean(a, e->name);
    if (!e->value.p)
        return sld_arena_fmt(a, "%s %.*s", removes[e->kind], SLD_FMT(name));
    return sld_arena_fmt(a, "%s %.*s: %.*s", sets[e->kind], SLD_FMT(name), SLD_FMT(clean(a, shown(e->name, e->value))));
}

static void put_edits(struct sld_record *r, const struct sld_exchange *x)
{
    struct sld_json *j = &r->json;
    bool begun = false;
    for (size_t i = 0; i < x->edit_count; i++) {
        if (had(r, &x->edits[i]))
            continue;
        if (!begun) {
            sld_json_key(j, "edits");
            sld_json_begin(j, '[');
        }
        begun = true;
        sld_json_str(j, edit_text(&r->arena, &x->edits[i]));
    }
    if (begun)
        sld_json_end(j, ']');
}

static void put_notes(struct sld_record *r, const struct sld_exchange *x)
{
    struct sld_json *j = &r->json;
    bool begun = false;
    for (size_t i = 0; i < x->note_count; i++) {
        const struct sld_note *n = &x->notes[i];
        if (!sld_str_eq(n->plugin, r->plugin))
            continue;
        if (!begun) {
            sld_json_key(j, "metadata");
            sld_json_begin(j, '{');
        }
        begun = true;
        put_key(j, &r->arena, n->key);
        if (sld_record_hides(n->key))
            sld_json_str(j, HIDDEN);
        else
            put_value(j, &r->arena, n->value);
    }
    if (begun)
        sld_json_end(j, '}');
}

struct sld_str sld_record_end(struct sld_record *r, const struct sld_exchange *x, enum sld_rc rc, const struct sld_err *err)
{
    struct sld_json *j = &r->json;
    struct sld_arena *a = &r->arena;
    sld_json_key(j, "decision");
    sld_json_begin(j, '{');
    put(j, a, "result", rc && !x->denied ? SLD_STR("error") : x->denied ? SLD_STR("deny") : SLD_STR("allow"));
    if (rc)
        put(j, a, "error", sld_str_c(err->msg));
    if (x->denied) {
        sld_json_key(j, "status");
        sld_json_int(j, x->status);
        put_headers(j, a, x->deny_headers, x->deny_header_count);
        put_body(j, a, x->deny_body);
    } else {
        put_edits(r, x);
    }
    put_notes(r, x);
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_buf_addc(&r->line, '\n');
    return r->line.full ? SLD_STR_NONE : sld_buf_str(&r->line);
}

void sld_record_fini(struct sld_record *r)
{
    sld_buf_fini(&r->line);
    sld_arena_fini_secret(&r->arena);
    *r = (struct sld_record){0};
}

// Envoy's CheckRequest to an exchange, and what came of it to a CheckResponse.
#include "worker/inside.h"

#include "envoy/service/auth/v3/external_auth.pb-c.h"

enum { DEPTH_MAX = 16, PERMISSION_DENIED = 7, QUESTION_MAX = 32 << 20 };

// ---- The question ----

static struct sld_str text_or_none(const char *s)
{
    return s && s[0] ? sld_str_c(s) : SLD_STR_NONE;
}

static void read_headers(struct sld_exchange *x, const Env__Auth__AttributeContext__HttpRequest *h)
{
    size_t n = h->header_map ? h->header_map->n_headers : 0;
    for (size_t i = 0; i < n; i++) {
        const Env__Core__HeaderValue *v = h->header_map->headers[i];
        struct sld_pair p = {sld_str_c(v->key), sld_str_n((const char *)v->raw_value.data, v->raw_value.len)};
        if (!p.value.n)
            p.value = sld_str_c(v->value);
        if (v->key[0] != ':')
            SLD_PUSH(x->arena, x->headers, x->header_count, p);
    }
    for (size_t i = 0; i < h->n_headers; i++) {
        struct sld_pair p = {sld_str_c(h->headers[i]->key), sld_str_c(h->headers[i]->value)};
        if (p.name.n && p.name.p[0] != ':')
            SLD_PUSH(x->arena, x->headers, x->header_count, p);
    }
    for (size_t i = 0; i < x->header_count; i++) {
        if (sld_str_eq(x->headers[i].name, SLD_STR("x-request-id")))
            x->id = x->headers[i].value;
    }
}

static void read_http(struct wk_check *c, const Env__Auth__AttributeContext__HttpRequest *h)
{
    struct sld_exchange *x = &c->x;
    struct sld_str target = sld_str_c(h->path);
    x->method = sld_str_c(h->method);
    x->host = sld_str_c(h->host);
    x->scheme = text_or_none(h->scheme);
    x->id = text_or_none(h->id);
    ptrdiff_t mark = sld_str_index(target, '?');
    x->path = mark < 0 ? target : sld_str_sub(target, 0, (size_t)mark);
    x->query = mark < 0 ? SLD_STR_NONE : sld_str_sub(target, (size_t)mark + 1, target.n);
    c->body = h->raw_body.len ? sld_str_n((const char *)h->raw_body.data, h->raw_body.len) : sld_str_c(h->body);
    read_headers(x, h);
}

enum sld_rc wk_uses_read(struct sld_str list, struct wk_use *uses, size_t *n, struct sld_err *err)
{
    struct sld_str one, name;
    while (list.n && sld_str_cut(&list, ',', &one)) {
        if (!sld_str_cut(&one, '@', &name) || !sld_plugin_name_ok(name) || !one.n)
            return sld_err_set(err, SLD_INVALID, "what plugins it is for cannot be read");
        if (*n == WK_PLUGINS_MAX)
            return sld_err_set(err, SLD_LIMIT, "more than %d plugins on one route", WK_PLUGINS_MAX);
        uses[(*n)++] = (struct wk_use){name, one};
    }
    return *n ? SLD_OK : sld_err_set(err, SLD_INVALID, "it does not say for which plugins it is");
}

enum sld_rc wk_check_read(struct wk_check *c, struct sld_str bytes, struct sld_err *err)
{
    struct sld_exchange *x = &c->x;
    struct sld_str list = SLD_STR("");
    sld_arena_limit(x->arena, QUESTION_MAX);
    const Env__Auth__CheckRequest *q = sld_msg_decode(x->arena, &env__auth__check_request__descriptor, bytes, DEPTH_MAX, err);
    sld_arena_limit(x->arena, 0); // scripts have ceilings of their own
    if (!q)
        return SLD_INVALID;
    const Env__Auth__AttributeContext *at = q->attributes;
    if (!at || !at->request || !at->request->http)
        return sld_err_set(err, SLD_INVALID, "it is about no HTTP request");
    read_http(c, at->request->http);
    for (size_t i = 0; i < at->n_context_extensions; i++) {
        struct sld_str key = sld_str_c(at->context_extensions[i]->key), value = sld_str_c(at->context_extensions[i]->value);
        if (sld_str_eq(key, SLD_STR("solder")))
            list = value;
        else if (sld_str_eq(key, SLD_STR("route")))
            x->route = value;
        else if (sld_str_eq(key, SLD_STR("body")))
            c->body_shown = true;
    }
    if (at->source && at->source->address && at->source->address->socket_address)
        x->source = text_or_none(at->source->address->socket_address->address);
    if (at->source && at->source->certificate[0]) {
        c->peer = (struct sld_req_peer){sld_str_c(at->source->certificate), sld_str_c(at->source->principal)};
        x->peer = &c->peer;
    }
    if (at->tls_session)
        x->sni = text_or_none(at->tls_session->sni);
    return wk_uses_read(list, c->uses, &c->use_count, err);
}

// ---- The answer ----

static Env__Core__HeaderValueOption *option(struct sld_arena *a, struct sld_str name, struct sld_str value, bool append)
{
    Env__Core__HeaderValueOption *o = SLD_MSG(a, Env__Core__HeaderValueOption, env__core__header_value_option);
    o->header = SLD_MSG(a, Env__Core__HeaderValue, env__core__header_value);
    o->header->key = SLD_MSG_STR(a, name);
    o->header->value = SLD_MSG_STR(a, value);
    o->append_action = append ? ENV__CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD
                              : ENV__CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD;
    return o;
}

static Env__Auth__DeniedHttpResponse *denied(const struct sld_exchange *x)
{
    struct sld_arena *a = x->arena;
    Env__Auth__DeniedHttpResponse *d = SLD_MSG(a, Env__Auth__DeniedHttpResponse, env__auth__denied_http_response);
    d->status = SLD_MSG(a, Env__Type__HttpStatus, env__type__http_status);
    d->status->code = (Env__Type__StatusCode)x->status;
    for (size_t i = 0; i < x->deny_header_count; i++) {
        const struct sld_pair *p = &x->deny_headers[i];
        bool again = i > 0 && sld_str_eq(p->name, x->deny_headers[i - 1].name);
        SLD_PUSH(a, d->headers, d->n_headers, option(a, p->name, p->value, again));
    }
    d->body = SLD_MSG_STR(a, x->deny_body);
    return d;
}

// Envoy sets parameters as they are given.
static char *encoded(struct sld_arena *a, struct sld_str s)
{
    struct sld_buf b;
    sld_buf_init(&b, 3 * s.n + 1);
    sld_buf_add_encoded(&b, s, "-._~");
    char *out = sld_arena_cstr(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return out;
}

static void edited(struct sld_arena *a, Env__Auth__OkHttpResponse *ok, const struct sld_edit *e)
{
    if (e->kind == SLD_EDIT_HEADER && e->value.p) {
        SLD_PUSH(a, ok->headers, ok->n_headers, option(a, e->name, e->value, false));
    } else if (e->kind == SLD_EDIT_HEADER) {
        SLD_PUSH(a, ok->headers_to_remove, ok->n_headers_to_remove, SLD_MSG_STR(a, e->name));
    } else if (e->kind == SLD_EDIT_QUERY && e->value.p) {
        Env__Core__QueryParameter *q = SLD_MSG(a, Env__Core__QueryParameter, env__core__query_parameter);
        q->key = encoded(a, e->name);
        q->value = encoded(a, e->value);
        SLD_PUSH(a, ok->query_parameters_to_set, ok->n_query_parameters_to_set, q);
    } else if (e->kind == SLD_EDIT_QUERY) {
        SLD_PUSH(a, ok->query_parameters_to_remove, ok->n_query_parameters_to_remove, encoded(a, e->name));
    } else {
        SLD_PUSH(a, ok->response_headers_to_add, ok->n_response_headers_to_add,
                 option(a, e->name, e->value, e->kind == SLD_EDIT_RESPONSE_ADD));
    }
}

// NAME of S, made when it is not there: a mapping.
static Google__Protobuf__Value *field(struct sld_arena *a, Google__Protobuf__Struct *s, struct sld_str name)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        if (sld_str_eq(sld_str_c(s->fields[i]->key), name))
            return s->fields[i]->value;
    }
    Google__Protobuf__Struct__FieldsEntry *e =
        SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
    e->key = SLD_MSG_STR(a, name);
    e->value = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
    SLD_PUSH(a, s->fields, s->n_fields, e);
    return e->value;
}

Google__Protobuf__Struct *wk_metadata(struct sld_arena *a, const struct sld_exchange *x, struct sld_str prefix)
{
    Google__Protobuf__Struct *all = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    for (size_t i = 0; i < x->note_count; i++) {
        Google__Protobuf__Value *own = field(a, all, prefix.n ? SLD_ARENA_JOIN(a, prefix, x->notes[i].plugin) : x->notes[i].plugin);
        if (own->kind_case == GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
            own->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
            own->struct_value = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
        }
        *field(a, own->struct_value, x->notes[i].key) = *x->notes[i].value;
    }
    return all;
}

struct sld_str wk_check_answer(const struct wk_check *c)
{
    const struct sld_exchange *x = &c->x;
    struct sld_arena *a = x->arena;
    Env__Auth__CheckResponse *r = SLD_MSG(a, Env__Auth__CheckResponse, env__auth__check_response);
    r->status = SLD_MSG(a, Google__Rpc__Status, google__rpc__status);
    if (x->denied) {
        r->status->code = PERMISSION_DENIED;
        r->http_response_case = ENV__AUTH__CHECK_RESPONSE__HTTP_RESPONSE_DENIED_RESPONSE;
        r->denied_response = denied(x);
    } else {
        r->http_response_case = ENV__AUTH__CHECK_RESPONSE__HTTP_RESPONSE_OK_RESPONSE;
        r->ok_response = SLD_MSG(a, Env__Auth__OkHttpResponse, env__auth__ok_http_response);
        for (size_t i = 0; i < x->edit_count; i++)
            edited(a, r->ok_response, &x->edits[i]);
    }
    if (x->note_count)
        r->dynamic_metadata = wk_metadata(a, x, SLD_STR(""));
    return sld_msg_encode(a, &r->base);
}

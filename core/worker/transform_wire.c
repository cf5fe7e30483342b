// Envoy's external processing: its messages, and what is answered.
#include "worker/wire.h"

#include <stdio.h>

#include "envoy/service/ext_proc/v3/external_processor.pb-c.h"

enum { DEPTH_MAX = 16, MESSAGE_MAX = 32 << 20 };

// ---- What Envoy tells ----

static void read_map(struct sld_arena *a, const Env__Core__HeaderMap *map, struct wk_message *m)
{
    for (size_t i = 0; map && i < map->n_headers; i++) {
        const Env__Core__HeaderValue *v = map->headers[i];
        struct sld_pair p = {sld_str_c(v->key), sld_str_n((const char *)v->raw_value.data, v->raw_value.len)};
        if (!p.value.n)
            p.value = sld_str_c(v->value);
        SLD_PUSH(a, m->headers, m->header_count, p);
    }
}

static void read_head(struct sld_arena *a, const Env__ExtProc__HttpHeaders *h, struct wk_message *m)
{
    m->part = WK_HEADERS;
    m->last = h->end_of_stream;
    read_map(a, h->headers, m);
}

static void read_body(const Env__ExtProc__HttpBody *b, struct wk_message *m)
{
    m->part = WK_BODY;
    m->last = b->end_of_stream;
    m->body = sld_str_n(b->body.len ? (const char *)b->body.data : "", b->body.len);
}

static enum wk_body_mode mode_of(Env__HttpExtProc__ProcessingMode__BodySendMode m)
{
    return m == ENV__HTTP_EXT_PROC__PROCESSING_MODE__BODY_SEND_MODE__BUFFERED   ? WK_BODY_WHOLE
           : m == ENV__HTTP_EXT_PROC__PROCESSING_MODE__BODY_SEND_MODE__STREAMED ? WK_BODY_PIECES
                                                                               : WK_BODY_NONE;
}

// "10.0.0.1:80", "[::1]:80"
static struct sld_str without_port(struct sld_str s)
{
    size_t n = s.n;
    while (n && s.p[n - 1] != ':')
        n--;
    s = n ? sld_str_sub(s, 0, n - 1) : s;
    return sld_str_starts(s, SLD_STR("[")) && s.n > 1 ? sld_str_sub(s, 1, s.n - 2) : s;
}

static void read_attribute(struct sld_str name, struct sld_str text, struct wk_message *m)
{
    const struct {
        const char *name;
        struct sld_str *to;
    } all[] = {{"connection.requested_server_name", &m->sni},
               {"connection.subject_peer_certificate", &m->subject},
               {"connection.uri_san_peer_certificate", &m->uri},
               {"connection.dns_san_peer_certificate", &m->dns},
               {"source.address", &m->source},
               {"xds.route_name", &m->route}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(all) && text.n; i++) {
        if (sld_str_eq(name, sld_str_c(all[i].name)))
            *all[i].to = text;
    }
}

static void read_attributes(const Env__ExtProc__ProcessingRequest *q, struct wk_message *m)
{
    for (size_t i = 0; i < q->n_attributes; i++) {
        const Google__Protobuf__Struct *s = q->attributes[i]->value;
        for (size_t k = 0; s && k < s->n_fields; k++) {
            const Google__Protobuf__Value *v = s->fields[k]->value;
            if (v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
                read_attribute(sld_str_c(s->fields[k]->key), sld_str_c(v->string_value), m);
        }
    }
    m->source = without_port(m->source);
}

enum sld_rc wk_wire_read(struct sld_arena *a, struct sld_str bytes, struct wk_message *m, struct sld_err *err)
{
    sld_arena_limit(a, MESSAGE_MAX);
    const Env__ExtProc__ProcessingRequest *q =
        sld_msg_decode(a, &env__ext_proc__processing_request__descriptor, bytes, DEPTH_MAX, err);
    sld_arena_limit(a, 0); // scripts have ceilings of their own
    if (!q)
        return SLD_INVALID;
    *m = (struct wk_message){0};
    switch (q->request_case) {
    case ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_RESPONSE_HEADERS:
        m->response = true;
        read_head(a, q->response_headers, m);
        break;
    case ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_REQUEST_HEADERS:
        read_head(a, q->request_headers, m);
        break;
    case ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_RESPONSE_BODY:
        m->response = true;
        read_body(q->response_body, m);
        break;
    case ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_REQUEST_BODY:
        read_body(q->request_body, m);
        break;
    case ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_RESPONSE_TRAILERS:
        m->response = true;
        m->part = WK_TRAILERS;
        read_map(a, q->response_trailers->trailers, m);
        break;
    case ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_REQUEST_TRAILERS:
        m->part = WK_TRAILERS;
        read_map(a, q->request_trailers->trailers, m);
        break;
    default:
        return sld_err_set(err, SLD_INVALID, "it is about no part of a request or response");
    }
    if (q->protocol_config) {
        m->has_modes = true;
        m->modes[0] = mode_of(q->protocol_config->request_body_mode);
        m->modes[1] = mode_of(q->protocol_config->response_body_mode);
    }
    read_attributes(q, m);
    return SLD_OK;
}

void wk_wire_headers(struct sld_exchange *x, struct wk_came *came, const struct wk_message *m)
{
    for (size_t i = 0; i < m->header_count; i++) {
        struct sld_str name = m->headers[i].name, value = m->headers[i].value;
        uint64_t code = 0;
        if (!sld_str_starts(name, SLD_STR(":")))
            SLD_PUSH(x->arena, x->headers, x->header_count, m->headers[i]);
        if (sld_str_eq(name, SLD_STR(":method")))
            x->method = value;
        else if (sld_str_eq(name, SLD_STR(":authority")))
            x->host = value;
        else if (sld_str_eq(name, SLD_STR(":scheme")))
            x->scheme = value;
        else if (sld_str_eq(name, SLD_STR(":status")) && sld_str_u64(value, &code))
            x->code = (unsigned)code;
        else if (sld_str_eq(name, SLD_STR("x-request-id")))
            x->id = value;
        else if (sld_str_eq(name, SLD_STR(":path"))) {
            ptrdiff_t mark = sld_str_index(value, '?');
            x->path = mark < 0 ? value : sld_str_sub(value, 0, (size_t)mark);
            x->query = mark < 0 ? SLD_STR_NONE : sld_str_sub(value, (size_t)mark + 1, value.n);
        }
    }
    *came = (struct wk_came){x->method, x->path, x->host, x->code};
}

// ---- What is answered ----

static ProtobufCBinaryData bytes_of(struct sld_arena *a, struct sld_str s)
{
    return (ProtobufCBinaryData){s.n, (uint8_t *)sld_arena_cstr(a, s)};
}

static void set(struct sld_arena *a, Env__ExtProc__HeaderMutation *m, struct sld_str name, struct sld_str value, bool again)
{
    Env__Core__HeaderValueOption *o = SLD_MSG(a, Env__Core__HeaderValueOption, env__core__header_value_option);
    o->header = SLD_MSG(a, Env__Core__HeaderValue, env__core__header_value);
    o->header->key = SLD_MSG_STR(a, name);
    o->header->raw_value = bytes_of(a, value);
    o->append = SLD_MSG(a, Google__Protobuf__BoolValue, google__protobuf__bool_value); // Envoy looks at this one here
    o->append->value = again;
    SLD_PUSH(a, m->set_headers, m->n_set_headers, o);
}

// All of NAME that is among N pairs takes the place of what is there.
static void settle(struct sld_arena *a, Env__ExtProc__HeaderMutation *m, struct sld_str name, const struct sld_pair *p, size_t n)
{
    bool again = false;
    for (size_t i = 0; i < n; i++) {
        if (!sld_str_eq(p[i].name, name))
            continue;
        set(a, m, name, p[i].value, again);
        again = true;
    }
    if (!again)
        SLD_PUSH(a, m->remove_headers, m->n_remove_headers, SLD_MSG_STR(a, name));
}

static Env__ExtProc__HeaderMutation *edits_of(struct sld_arena *a, const struct sld_exchange *x, const struct wk_came *came, const struct wk_answer *an)
{
    Env__ExtProc__HeaderMutation *m = SLD_MSG(a, Env__ExtProc__HeaderMutation, env__ext_proc__header_mutation);
    bool target = !sld_str_eq(x->path, came->path);
    for (size_t i = 0; i < x->edit_count; i++) {
        const struct sld_edit *e = &x->edits[i];
        if (an->part == WK_TRAILERS && e->kind == SLD_EDIT_TRAILER)
            settle(a, m, e->name, x->trailers, x->trailer_count);
        else if (an->part != WK_TRAILERS && e->kind == SLD_EDIT_HEADER)
            settle(a, m, e->name, x->headers, x->header_count);
        target |= e->kind == SLD_EDIT_QUERY;
    }
    if (an->part == WK_TRAILERS)
        return m;
    if (!sld_str_eq(x->method, came->method))
        set(a, m, SLD_STR(":method"), x->method, false);
    if (!sld_str_eq(x->host, came->host))
        set(a, m, SLD_STR(":authority"), x->host, false);
    if (x->code != came->code)
        set(a, m, SLD_STR(":status"), sld_arena_fmt(a, "%u", x->code), false);
    if (target) {
        struct sld_buf b;
        sld_buf_init(&b, MESSAGE_MAX);
        sld_exchange_target(x, &b);
        set(a, m, SLD_STR(":path"), sld_buf_str(&b), false);
        sld_buf_fini(&b);
    }
    if (an->part == WK_BODY && an->body.p) // of a whole one, which Envoy compares
        set(a, m, SLD_STR("content-length"), sld_arena_fmt(a, "%zu", an->body.n), false);
    return m;
}

static Env__ExtProc__CommonResponse *common_of(struct sld_arena *a, const struct sld_exchange *x, const struct wk_came *came, const struct wk_answer *an)
{
    Env__ExtProc__CommonResponse *c = SLD_MSG(a, Env__ExtProc__CommonResponse, env__ext_proc__common_response);
    if (an->edits)
        c->header_mutation = edits_of(a, x, came, an);
    if (an->replace)
        c->status = ENV__EXT_PROC__COMMON_RESPONSE__RESPONSE_STATUS__CONTINUE_AND_REPLACE;
    if (an->body.p) {
        c->body_mutation = SLD_MSG(a, Env__ExtProc__BodyMutation, env__ext_proc__body_mutation);
        c->body_mutation->mutation_case =
            an->body.n ? ENV__EXT_PROC__BODY_MUTATION__MUTATION_BODY : ENV__EXT_PROC__BODY_MUTATION__MUTATION_CLEAR_BODY;
        if (an->body.n)
            c->body_mutation->body = bytes_of(a, an->body);
        else
            c->body_mutation->clear_body = true;
    }
    return c;
}

static struct sld_str encoded(struct sld_arena *a, struct sld_exchange *x, Env__ExtProc__ProcessingResponse *r)
{
    if (x->note_count)
        r->dynamic_metadata = wk_metadata(a, x, SLD_STR("solder."));
    x->note_count = 0;
    return sld_msg_encode(a, &r->base);
}

struct sld_str wk_wire_answer(struct sld_arena *a, struct sld_exchange *x, const struct wk_came *came, const struct wk_answer *an)
{
    Env__ExtProc__ProcessingResponse *r = SLD_MSG(a, Env__ExtProc__ProcessingResponse, env__ext_proc__processing_response);
    if (an->part == WK_TRAILERS) {
        Env__ExtProc__TrailersResponse *t = SLD_MSG(a, Env__ExtProc__TrailersResponse, env__ext_proc__trailers_response);
        if (an->edits)
            t->header_mutation = edits_of(a, x, came, an);
        r->response_case = an->response ? ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_RESPONSE_TRAILERS
                                        : ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_REQUEST_TRAILERS;
        r->response_trailers = t; // one place for all of them
    } else if (an->part == WK_BODY) {
        Env__ExtProc__BodyResponse *b = SLD_MSG(a, Env__ExtProc__BodyResponse, env__ext_proc__body_response);
        b->response = common_of(a, x, came, an);
        r->response_case = an->response ? ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_RESPONSE_BODY
                                        : ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_REQUEST_BODY;
        r->response_body = b;
    } else {
        Env__ExtProc__HeadersResponse *h = SLD_MSG(a, Env__ExtProc__HeadersResponse, env__ext_proc__headers_response);
        h->response = common_of(a, x, came, an);
        r->response_case = an->response ? ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_RESPONSE_HEADERS
                                        : ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_REQUEST_HEADERS;
        r->response_headers = h;
    }
    return encoded(a, x, r);
}

struct sld_str wk_wire_respond(struct sld_arena *a, struct sld_exchange *x)
{
    Env__ExtProc__ProcessingResponse *r = SLD_MSG(a, Env__ExtProc__ProcessingResponse, env__ext_proc__processing_response);
    Env__ExtProc__ImmediateResponse *i = SLD_MSG(a, Env__ExtProc__ImmediateResponse, env__ext_proc__immediate_response);
    i->status = SLD_MSG(a, Env__Type__HttpStatus, env__type__http_status);
    i->status->code = (Env__Type__StatusCode)x->status;
    i->headers = SLD_MSG(a, Env__ExtProc__HeaderMutation, env__ext_proc__header_mutation);
    for (size_t k = 0; k < x->deny_header_count; k++) {
        const struct sld_pair *p = &x->deny_headers[k];
        set(a, i->headers, p->name, p->value, k > 0 && sld_str_eq(p->name, x->deny_headers[k - 1].name));
    }
    i->body = bytes_of(a, x->deny_body);
    i->details = SLD_MSG_STR(a, SLD_STR("solder_plugin"));
    r->response_case = ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_IMMEDIATE_RESPONSE;
    r->immediate_response = i;
    return encoded(a, x, r);
}

// Requests as handlers see them, and their answers.
#include "net/http_internal.h"

#include <stdio.h>
#include <time.h>

#include "codec/text.h"

enum { ANSWER_HEAD_MAX_BYTES = 64 * 1024 };

struct sld_http_request *sld_http_request_create(struct sld_http_conn *c)
{
    struct sld_http_request *rq = SLD_NEW(struct sld_http_request);
    const struct sld_http_server_options *o = &c->server->options;
    sld_list_init(&rq->link);
    rq->server = c->server;
    rq->conn = c;
    sld_arena_init(&rq->arena);
    sld_buf_init(&rq->head, o->max_header_bytes);
    sld_buf_init(&rq->body, o->max_body_bytes);
    memcpy(rq->peer, c->peer, sizeof(rq->peer));
    return rq;
}

void sld_http_request_destroy(struct sld_http_request *rq)
{
    if (!rq)
        return;
    sld_list_remove(&rq->link);
    sld_buf_fini(&rq->head);
    sld_buf_fini(&rq->body);
    sld_arena_fini(&rq->arena);
    sld_xfree(rq);
}

// ---- The target ----

static struct sld_str span_str(const struct sld_http_request *rq, struct sld_http_span s)
{
    return s.n ? (struct sld_str){rq->head.p + s.at, s.n} : SLD_STR("");
}

bool sld_http_request_finish(struct sld_http_request *rq)
{
    struct sld_str target = span_str(rq, rq->target);
    ptrdiff_t scheme = sld_str_find(target, SLD_STR("://"));
    if (scheme > 0 && target.p[0] != '/') { // absolute form: cut scheme and authority
        target = sld_str_sub(target, (size_t)scheme + 3, target.n);
        ptrdiff_t slash = sld_str_index(target, '/');
        target = slash < 0 ? SLD_STR("/") : sld_str_sub(target, (size_t)slash, target.n);
    }
    struct sld_str rest = target;
    struct sld_str path = SLD_STR_NONE;
    (void)sld_str_cut(&rest, '?', &path);
    rq->query = rest;
    rq->path = sld_percent_decode(&rq->arena, path, false);
    return rq->path.p != NULL;
}

// ---- What handlers ask ----

struct sld_str sld_http_method(const struct sld_http_request *rq)
{
    return rq->method;
}

struct sld_str sld_http_path(const struct sld_http_request *rq)
{
    return rq->path;
}

struct sld_str sld_http_query(const struct sld_http_request *rq, struct sld_str name)
{
    // Decoding needs memory that lives as long as the request; what the caller sees is constant.
    struct sld_arena *a = &((struct sld_http_request *)(uintptr_t)rq)->arena;
    struct sld_str rest = rq->query;
    struct sld_str pair = SLD_STR_NONE;
    while (sld_str_cut(&rest, '&', &pair)) {
        struct sld_str value = pair;
        struct sld_str key = SLD_STR_NONE;
        (void)sld_str_cut(&value, '=', &key);
        if (!sld_str_eq(sld_percent_decode(a, key, true), name))
            continue;
        return value.p ? sld_percent_decode(a, value, true) : SLD_STR("");
    }
    return SLD_STR_NONE;
}

struct sld_str sld_http_query_text(const struct sld_http_request *rq)
{
    return rq->query;
}

struct sld_str sld_http_header(const struct sld_http_request *rq, struct sld_str name)
{
    for (size_t i = 0; i < rq->header_count; i++) {
        if (sld_str_ieq(span_str(rq, rq->headers[i].name), name))
            return sld_str_trim(span_str(rq, rq->headers[i].value));
    }
    return SLD_STR_NONE;
}

struct sld_str sld_http_body(const struct sld_http_request *rq)
{
    return rq->body.n ? sld_buf_str(&rq->body) : SLD_STR("");
}

struct sld_str sld_http_peer(const struct sld_http_request *rq)
{
    return sld_str_c(rq->peer);
}

struct sld_arena *sld_http_arena(struct sld_http_request *rq)
{
    return &rq->arena;
}

void sld_http_on_gone(struct sld_http_request *rq, void (*gone)(void *user), void *user)
{
    rq->gone = gone;
    rq->gone_user = user;
}

// ---- The answer ----

const char *sld_http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } table[] = {
        {200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
        {301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"}, {304, "Not Modified"},
        {307, "Temporary Redirect"}, {308, "Permanent Redirect"}, {400, "Bad Request"},
        {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
        {405, "Method Not Allowed"}, {406, "Not Acceptable"}, {408, "Request Timeout"},
        {409, "Conflict"}, {410, "Gone"}, {412, "Precondition Failed"},
        {413, "Content Too Large"}, {415, "Unsupported Media Type"},
        {417, "Expectation Failed"}, {422, "Unprocessable Content"}, {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
        {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
        {504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(table); i++) {
        if (table[i].status == status)
            return table[i].text;
    }
    return "Status";
}

static void add_date(struct sld_buf *b)
{
    char text[64];
    struct tm tm;
    time_t now = (time_t)(sld_wall_ms() / 1000);
    gmtime_r(&now, &tm);
    if (strftime(text, sizeof(text), "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm) > 0)
        sld_buf_addz(b, text);
}

// A line break in a header would let its author write the rest of the answer.
static bool clean(struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == 0)
            return false;
    }
    return true;
}

static void add_header(struct sld_buf *b, struct sld_str name, struct sld_str value)
{
    if (clean(name) && clean(value))
        sld_buf_addf(b, "%.*s: %.*s\r\n", SLD_FMT(name), SLD_FMT(value));
}

void sld_http_respond(struct sld_http_request *rq, int status, struct sld_str content_type,
                      const struct sld_http_header *extra, size_t extra_count, struct sld_str body)
{
    SLD_PRE(status >= 200 && status <= 599);
    struct sld_http_conn *c = rq->conn;
    if (!c) { // the client left without anybody waiting for that
        sld_http_request_destroy(rq);
        return;
    }
    struct sld_buf head;
    bool bodiless = status == 204 || status == 304;
    sld_buf_init(&head, ANSWER_HEAD_MAX_BYTES);
    sld_buf_addf(&head, "HTTP/1.1 %d %s\r\n", status, sld_http_reason(status));
    add_date(&head);
    if (!bodiless)
        sld_buf_addf(&head, "content-length: %zu\r\n", body.n);
    sld_buf_addf(&head, "connection: %s\r\n", rq->keep_alive ? "keep-alive" : "close");
    if (content_type.n > 0)
        add_header(&head, SLD_STR("content-type"), content_type);
    for (size_t i = 0; i < extra_count; i++)
        add_header(&head, extra[i].name, extra[i].value);
    sld_buf_addz(&head, "\r\n");
    SLD_PRE(!head.full);
    if (bodiless || rq->is_head)
        body = SLD_STR("");
    sld_http_conn_answer(c, sld_buf_str(&head), body);
    sld_buf_fini(&head);
}

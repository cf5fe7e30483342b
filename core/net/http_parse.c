// From bytes to requests, by llhttp with our ceilings.
#include "net/http_internal.h"

static struct sld_http_conn *conn_of(llhttp_t *p)
{
    return p->data;
}

static int refuse(llhttp_t *p, int status)
{
    conn_of(p)->refuse = status;
    return HPE_USER;
}

static int on_begin(llhttp_t *p)
{
    struct sld_http_conn *c = conn_of(p);
    SLD_INV(!c->rq);
    c->rq = sld_http_request_create(c);
    return HPE_OK;
}

// Appends to SPAN, which is the last one in the head.
static int append(llhttp_t *p, struct sld_http_span *span, const char *at, size_t n)
{
    struct sld_buf *head = &conn_of(p)->rq->head;
    if (span->n == 0)
        span->at = head->n;
    sld_buf_add(head, (struct sld_str){at, n});
    if (head->full)
        return refuse(p, 431);
    span->n += n;
    return HPE_OK;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
    return append(p, &conn_of(p)->rq->target, at, n);
}

// Trailers of a chunked body come this way too; they are headers to us, under the same ceiling.
static int on_field(llhttp_t *p, const char *at, size_t n)
{
    struct sld_http_request *rq = conn_of(p)->rq;
    if (rq->header_count == SLD_HTTP_HEADERS_MAX)
        return refuse(p, 431);
    return append(p, &rq->headers[rq->header_count].name, at, n);
}

static int on_value(llhttp_t *p, const char *at, size_t n)
{
    struct sld_http_request *rq = conn_of(p)->rq;
    return append(p, &rq->headers[rq->header_count].value, at, n);
}

static int on_value_complete(llhttp_t *p)
{
    conn_of(p)->rq->header_count++;
    return HPE_OK;
}

static int on_headers_complete(llhttp_t *p)
{
    struct sld_http_conn *c = conn_of(p);
    struct sld_http_request *rq = c->rq;
    struct sld_str expect = sld_http_header(rq, SLD_STR("expect"));
    p->upgrade = 0; // no upgrade is ever accepted: the body, if any, is read as usual
    if (p->method == HTTP_CONNECT)
        return refuse(p, 405);
    if (p->http_major != 1)
        return refuse(p, 505);
    if (p->http_minor >= 1 && !sld_http_header(rq, SLD_STR("host")).p)
        return refuse(p, 400);
    if (p->content_length > c->server->options.max_body_bytes && (p->flags & F_CONTENT_LENGTH))
        return refuse(p, 413);
    if (expect.p && !sld_str_ieq(expect, SLD_STR("100-continue")))
        return refuse(p, 417);
    bool body = p->content_length > 0 || (p->flags & F_CHUNKED);
    if (expect.p && p->http_minor >= 1 && body)
        sld_http_conn_write(c, SLD_STR("HTTP/1.1 100 Continue\r\n\r\n"));
    return HPE_OK;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    struct sld_buf *body = &conn_of(p)->rq->body;
    sld_buf_add(body, (struct sld_str){at, n});
    return body->full ? refuse(p, 413) : HPE_OK;
}

static int on_complete(llhttp_t *p)
{
    struct sld_http_request *rq = conn_of(p)->rq;
    rq->keep_alive = llhttp_should_keep_alive(p) != 0;
    rq->method = sld_arena_str(&rq->arena,
                               sld_str_c(llhttp_method_name((llhttp_method_t)p->method)));
    rq->is_head = p->method == HTTP_HEAD;
    if (!sld_http_request_finish(rq))
        return refuse(p, 400);
    return HPE_PAUSED; // one request at a time
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

void sld_http_parser_init(struct sld_http_conn *c)
{
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;
}

bool sld_http_parse(struct sld_http_conn *c)
{
    struct sld_str in = sld_buf_str(&c->ahead);
    if (in.n == 0)
        return false;
    llhttp_errno_t e = llhttp_execute(&c->parser, in.p, in.n);
    if (e == HPE_PAUSED) {
        const char *stopped = llhttp_get_error_pos(&c->parser);
        sld_buf_consume(&c->ahead, (size_t)(stopped - in.p));
        llhttp_resume(&c->parser);
        return true;
    }
    sld_buf_reset(&c->ahead);
    if (e != HPE_OK && !c->refuse)
        c->refuse = 400;
    return false;
}

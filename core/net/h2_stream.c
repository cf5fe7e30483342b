// A call of the lean gRPC server.
//
//   HEADERS -> on_call;  DATA -> messages -> on_message;  END_STREAM -> on_half_close
//   send -> HEADERS (once), DATA -> on_sent;  close -> the trailers, or headers alone;  the stream's end -> on_closed
#include "net/h2_internal.h"

#include <stdio.h>

enum {
    SPARE_MAX = 256,           // streams kept for calls to come
    SPARE_BYTES = 16 << 10,    // of their buffers
    REFERENCE_BYTES = 4 << 10, // slices that are smaller are copied
    PARTIAL_MAX = 256 << 20,   // of messages that are not whole, in a server
    UNIMPLEMENTED = 12,        // of grpc/status.h
    RESOURCE_EXHAUSTED = 8,
    INTERNAL = 13,
    STATUS_MAX = 16,
};

#define NV(NAME, VALUE, N)                                                                                                       \
    {                                                                                                                            \
        (uint8_t *)(uintptr_t)(NAME), (uint8_t *)(uintptr_t)(VALUE), sizeof(NAME) - 1, (N),                                      \
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                                                         \
    }

static const char *const numbers[STATUS_MAX + 1] = {"0", "1", "2",  "3",  "4",  "5",  "6",  "7", "8",
                                                    "9", "10", "11", "12", "13", "14", "15", "16"};
static const char status_200[] = "200", type_grpc[] = "application/grpc";

// ---- Life ----

static struct sld_h2_stream *take_stream(struct sld_h2_conn *c, int32_t id)
{
    struct sld_h2_server *s = c->server;
    struct sld_h2_stream *st;
    if (s->spare_count) {
        st = SLD_CONTAINER_OF(s->spare.next, struct sld_h2_stream, link);
        sld_list_remove(&st->link);
        s->spare_count--;
    } else {
        st = SLD_NEW(struct sld_h2_stream);
        st->door.ops = &sld_h2_ops;
        sld_buf_init(&st->metadata, SLD_H2_HEADERS_MAX);
        sld_buf_init(&st->partial, SLD_H2_PREFIX + s->options.max_message_bytes);
        sld_buf_init(&st->copy, SIZE_MAX);
        sld_list_init(&st->sent);
    }
    st->conn = c;
    st->id = id;
    sld_list_push(&c->streams, &st->link);
    return st;
}

void sld_h2_stream_free(struct sld_h2_stream *st)
{
    sld_buf_fini(&st->metadata);
    sld_buf_fini(&st->partial);
    sld_buf_fini(&st->copy);
    sld_xfree(st->parts);
    sld_xfree(st);
}

static void let_go(struct sld_h2_stream *st)
{
    for (size_t i = 0; i < st->part_count; i++)
        SLD_UNREF(st->parts[i].owner);
    st->part_count = st->part = 0;
    st->sending = false;
}

static void put_stream(struct sld_h2_server *s, struct sld_h2_stream *st)
{
    if (s->spare_count == SPARE_MAX || st->partial.cap > SPARE_BYTES || st->copy.cap > SPARE_BYTES) {
        sld_h2_stream_free(st);
        return;
    }
    sld_buf_reset(&st->metadata);
    sld_buf_reset(&st->partial);
    sld_buf_reset(&st->copy);
    st->user = NULL;
    st->called = st->half_closed = st->began = st->held = st->closing = false;
    st->header_bytes = st->method_bytes = 0;
    sld_list_push(&s->spare, &st->link);
    s->spare_count++;
}

void sld_h2_stream_end(struct sld_h2_stream *st)
{
    struct sld_h2_server *s = st->conn->server;
    let_go(st);
    sld_list_remove(&st->link);
    sld_list_remove(&st->sent);
    s->partial_bytes -= st->partial.n;
    s->closing -= st->closing;
    if (st->user) {
        s->serving--;
        s->handlers.on_closed(st->user);
    }
    put_stream(s, st);
}

struct sld_str sld_h2_metadata(const struct sld_grpc_stream *door)
{
    return sld_buf_str(&((const struct sld_h2_stream *)door)->metadata);
}

// ---- Out ----

// The message's next bytes, up to N, to TO.
static size_t take_bytes(struct sld_h2_stream *st, uint8_t *to, size_t n)
{
    size_t taken = 0;
    while (taken < n && st->part < st->part_count) {
        struct sld_str *b = &st->parts[st->part].bytes;
        size_t some = b->n < n - taken ? b->n : n - taken;
        memcpy(to + taken, b->p, some);
        taken += some;
        *b = sld_str_sub(*b, some, b->n);
        if (!b->n)
            st->part++;
    }
    return taken;
}

static void submit_trailers(struct sld_h2_stream *st)
{
    nghttp2_nv nv[] = {NV("grpc-status", numbers[st->status], strlen(numbers[st->status])),
                       NV("grpc-message", st->message, strlen(st->message))};
    nghttp2_submit_trailer(st->conn->session, st->id, nv, st->message[0] ? 2 : 1);
}

static ssize_t on_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *flags, nghttp2_data_source *source,
                       void *user)
{
    struct sld_h2_stream *st = source->ptr;
    (void)session, (void)id, (void)user;
    size_t taken = take_bytes(st, buf, n);
    if (st->sending && st->part == st->part_count) {
        let_go(st);
        sld_list_push(&st->conn->server->sent, &st->sent);
    }
    if (!st->sending && st->closing) {
        *flags = NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(st);
    } else if (!taken) {
        st->held = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)taken;
}

// The answer's headers, with what goes behind them.
static void begin(struct sld_h2_stream *st)
{
    const nghttp2_nv nv[] = {NV(":status", status_200, sizeof(status_200) - 1), NV("content-type", type_grpc, sizeof(type_grpc) - 1)};
    const nghttp2_data_provider data = {.source.ptr = st, .read_callback = on_data};
    st->began = true;
    nghttp2_submit_response(st->conn->session, st->id, nv, SLD_ARRAY_LEN(nv), &data);
}

static void go_on(struct sld_h2_stream *st)
{
    if (!st->began)
        begin(st);
    else if (st->held)
        nghttp2_session_resume_data(st->conn->session, st->id);
    st->held = false;
    sld_h2_conn_dirty(st->conn);
}

static void add_part(struct sld_h2_stream *st, struct sld_str bytes, struct sld_obj *owner)
{
    if (st->part_count == st->part_room) {
        st->part_room = st->part_room ? 2 * st->part_room : 4;
        st->parts = sld_xrealloc(st->parts, st->part_room * sizeof(*st->parts));
    }
    st->parts[st->part_count++] = (struct sld_h2_part){bytes, sld_obj_ref(owner)};
}

void sld_h2_send(struct sld_grpc_stream *door, const struct sld_str *slices, struct sld_obj *const *owners, size_t n)
{
    struct sld_h2_stream *st = (struct sld_h2_stream *)door;
    size_t total = 0;
    SLD_PRE(!st->sending && !st->closing);
    for (size_t i = 0; i < n; i++)
        total += slices[i].n;
    SLD_PRE(total <= UINT32_MAX);
    const char prefix[SLD_H2_PREFIX] = {0, (char)(total >> 24), (char)(total >> 16), (char)(total >> 8), (char)total};
    sld_buf_reset(&st->copy);
    sld_buf_add(&st->copy, sld_str_n(prefix, sizeof(prefix)));
    for (size_t i = 0, from = 0; i <= n; i++) {
        bool copied = i < n && (!owners || !owners[i] || slices[i].n < REFERENCE_BYTES);
        if (copied) {
            sld_buf_add(&st->copy, slices[i]);
            continue;
        }
        if (st->copy.n > from) // an offset for now: the buffer may move
            add_part(st, (struct sld_str){NULL, st->copy.n - from}, NULL);
        from = st->copy.n;
        if (i < n)
            add_part(st, slices[i], owners[i]);
    }
    const char *at = st->copy.p;
    for (size_t i = 0; i < st->part_count; i++) {
        if (st->parts[i].owner)
            continue;
        st->parts[i].bytes.p = at;
        at += st->parts[i].bytes.n;
    }
    st->sending = true;
    go_on(st);
}

void sld_h2_close(struct sld_grpc_stream *door, int status, struct sld_str message)
{
    struct sld_h2_stream *st = (struct sld_h2_stream *)door;
    SLD_PRE(status >= 0 && status <= STATUS_MAX);
    if (st->closing)
        return;
    st->closing = true;
    st->conn->server->closing++;
    st->status = status;
    st->closed_ns = sld_mono_ns();
    struct sld_buf b;
    sld_buf_init(&b, sizeof(st->message) - 1);
    for (size_t i = 0; i < message.n && !b.full; i++) { // what does not fit is left out
        char c = message.p[i];
        if (c >= ' ' && c < 0x7f && c != '%')
            sld_buf_addc(&b, c);
        else
            sld_buf_addf(&b, "%%%02X", (unsigned char)c);
    }
    snprintf(st->message, sizeof(st->message), "%.*s", SLD_FMT(sld_buf_str(&b)));
    sld_buf_fini(&b);
    if (st->began) {
        go_on(st);
        return;
    }
    nghttp2_nv nv[] = {NV(":status", status_200, sizeof(status_200) - 1), NV("content-type", type_grpc, sizeof(type_grpc) - 1),
                       NV("grpc-status", numbers[status], strlen(numbers[status])),
                       NV("grpc-message", st->message, strlen(st->message))};
    st->began = true;
    nghttp2_submit_response(st->conn->session, st->id, nv, st->message[0] ? 4 : 3, NULL);
    sld_h2_conn_dirty(st->conn);
}

// ---- In ----

static uint32_t length_of(const char *prefix)
{
    const unsigned char *p = (const unsigned char *)prefix;
    return (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
}

// Whether the message that PREFIX begins is taken; else ST is closed.
static bool fits(struct sld_h2_stream *st, const char *prefix)
{
    if (prefix[0] != 0) {
        sld_h2_close(&st->door, UNIMPLEMENTED, SLD_STR("compressed messages are not taken"));
        return false;
    }
    if (length_of(prefix) > st->conn->server->options.max_message_bytes) {
        sld_h2_close(&st->door, RESOURCE_EXHAUSTED, SLD_STR("the message is too large"));
        return false;
    }
    return true;
}

// Adds up to UNTIL bytes in all to what is not whole.
static void keep(struct sld_h2_stream *st, struct sld_str *data, size_t until)
{
    size_t room = st->partial.n < until ? until - st->partial.n : 0, n = room < data->n ? room : data->n;
    st->conn->server->partial_bytes += n;
    sld_buf_add(&st->partial, sld_str_n(data->p, n));
    *data = sld_str_sub(*data, n, data->n);
}

static void forget_partial(struct sld_h2_stream *st)
{
    st->conn->server->partial_bytes -= st->partial.n;
    sld_buf_reset(&st->partial);
}

// DATA go on with the message that is not whole yet.
static void complete(struct sld_h2_stream *st, struct sld_str *data)
{
    keep(st, data, SLD_H2_PREFIX);
    if (st->partial.n < SLD_H2_PREFIX || !fits(st, st->partial.p))
        return;
    size_t size = SLD_H2_PREFIX + length_of(st->partial.p);
    if (st->conn->server->partial_bytes + size > PARTIAL_MAX) {
        sld_h2_close(&st->door, RESOURCE_EXHAUSTED, SLD_STR("too many messages at once"));
        return;
    }
    keep(st, data, size);
    if (st->partial.n < size)
        return;
    st->conn->server->handlers.on_message(st->user, sld_str_n(st->partial.p + SLD_H2_PREFIX, size - SLD_H2_PREFIX));
    forget_partial(st);
}

static void take_data(struct sld_h2_stream *st, struct sld_str data)
{
    while (data.n && st->user && !st->closing) {
        if (st->partial.n || data.n < SLD_H2_PREFIX) {
            complete(st, &data);
            continue;
        }
        if (!fits(st, data.p))
            return;
        size_t size = SLD_H2_PREFIX + length_of(data.p);
        if (data.n < size) {
            complete(st, &data);
            continue;
        }
        st->conn->server->handlers.on_message(st->user, sld_str_sub(data, SLD_H2_PREFIX, size - SLD_H2_PREFIX));
        data = sld_str_sub(data, size, data.n);
    }
}

static void half_close(struct sld_h2_stream *st)
{
    const struct sld_grpc_handlers *h = &st->conn->server->handlers;
    st->half_closed = true;
    if (!st->user || st->closing)
        return;
    if (st->partial.n)
        sld_h2_close(&st->door, INTERNAL, SLD_STR("the message is not whole"));
    else if (h->on_half_close)
        h->on_half_close(st->user);
}

static void call(struct sld_h2_stream *st)
{
    struct sld_h2_server *s = st->conn->server;
    st->called = true;
    if (s->serving >= s->options.max_calls) {
        sld_h2_close(&st->door, RESOURCE_EXHAUSTED, SLD_STR("too many calls"));
        return;
    }
    if (s->state != SLD_H2_STOPPING)
        st->user = s->handlers.on_call(s->handlers.user, &st->door, sld_str_n(st->method, st->method_bytes), sld_str_c(st->conn->peer));
    if (st->user)
        s->serving++;
    else
        sld_h2_close(&st->door, UNIMPLEMENTED, SLD_STR("unknown method")); // unless it is closed already
}

// ---- What nghttp2 tells ----

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST)
        nghttp2_session_set_stream_user_data(session, f->hd.stream_id, take_stream(user, f->hd.stream_id));
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t name_n, const uint8_t *value,
                     size_t n, uint8_t flags, void *user)
{
    struct sld_h2_stream *st = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);
    (void)flags, (void)user;
    if (!st)
        return 0;
    st->header_bytes += name_n + n;
    if (st->header_bytes > SLD_H2_HEADERS_MAX)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (name_n == 5 && !st->called && memcmp(name, ":path", 5) == 0) {
        st->method_bytes = n < sizeof(st->method) ? n : sizeof(st->method); // a longer one is none of ours
        memcpy(st->method, value, st->method_bytes);
    }
    const char *kept = st->conn->server->options.metadata;
    if (kept && !st->called && name_n == strlen(kept) && memcmp(name, kept, name_n) == 0) {
        sld_buf_reset(&st->metadata);
        sld_buf_add(&st->metadata, sld_str_n((const char *)value, n));
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    struct sld_h2_stream *st = f->hd.stream_id ? nghttp2_session_get_stream_user_data(session, f->hd.stream_id) : NULL;
    (void)user;
    if (!st || (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA))
        return 0;
    if (!st->called)
        call(st);
    if (f->hd.flags & NGHTTP2_FLAG_END_STREAM)
        half_close(st);
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *user)
{
    struct sld_h2_stream *st = nghttp2_session_get_stream_user_data(session, id);
    (void)flags, (void)user;
    if (st)
        take_data(st, sld_str_n((const char *)data, n));
    return 0;
}

// A client that has not said all is told that nobody listens.
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    (void)user;
    if (f->hd.type != NGHTTP2_HEADERS || !(f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    const struct sld_h2_stream *st = nghttp2_session_get_stream_user_data(session, f->hd.stream_id);
    if (st && !st->half_closed)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct sld_h2_stream *st = nghttp2_session_get_stream_user_data(session, id);
    (void)code, (void)user;
    if (!st)
        return 0;
    nghttp2_session_set_stream_user_data(session, id, NULL);
    sld_h2_stream_end(st);
    return 0;
}

void sld_h2_stream_callbacks(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_closed);
}

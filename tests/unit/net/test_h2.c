// The lean gRPC server against clients that send frames one by one: messages in pieces, several in one, and what is no message.
#include "net/grpc.h"

#include <arpa/inet.h>
#include <semaphore.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "net/support.h"

// ---- The server: adds up what comes, and tells at the end ----

struct server {
    struct io_thread io;
    struct sld_grpc_server *s;
    int port;
    sem_t done;
    unsigned messages, closed;
};

struct call {
    struct server *server;
    struct sld_grpc_stream *stream;
    struct sld_buf all;
};

static void *on_call(void *user, struct sld_grpc_stream *st, struct sld_str method, struct sld_str peer)
{
    (void)method, (void)peer;
    struct call *c = SLD_NEW(struct call);
    *c = (struct call){.server = user, .stream = st};
    sld_buf_init(&c->all, 1 << 20);
    return c;
}

static void on_message(void *call, struct sld_str bytes)
{
    struct call *c = call;
    c->server->messages++;
    sld_buf_add(&c->all, bytes);
    sld_buf_addc(&c->all, '|');
}

static void on_half_close(void *call)
{
    struct call *c = call;
    struct sld_str all = sld_buf_str(&c->all);
    sld_grpc_send(c->stream, &all, NULL, 1);
    sld_grpc_close(c->stream, 0, SLD_STR("50% & \n"));
}

static void on_closed(void *call)
{
    struct call *c = call;
    c->server->closed++;
    sld_buf_fini(&c->all);
    sld_xfree(c);
}

static void open_on_io(void *arg)
{
    struct server *s = arg;
    struct sld_err err = {0};
    const struct sld_grpc_handlers h = {.on_call = on_call, .on_message = on_message, .on_half_close = on_half_close,
                                        .on_closed = on_closed, .user = s};
    const struct sld_grpc_options o = {.lean = true, .max_message_bytes = 1 << 16};
    s->s = sld_grpc_server_create(s->io.loop, &h, &o);
    enum sld_rc rc = sld_grpc_server_listen(s->s, SLD_STR("127.0.0.1:0"), NULL, &s->port, &err);
    SLD_INV(rc == SLD_OK);
    sld_grpc_server_start(s->s);
}

static void stopped(void *user)
{
    struct server *s = user;
    sld_grpc_server_destroy(s->s);
    sem_post(&s->done);
}

static void close_on_io(void *arg)
{
    struct server *s = arg;
    sld_grpc_server_stop(s->s, stopped, s);
}

static void server_open(struct server *s)
{
    sem_init(&s->done, 0, 0);
    io_start(&s->io);
    io_do(&s->io, open_on_io, s);
}

static void server_close(struct server *s)
{
    io_do(&s->io, close_on_io, s);
    wait_for(&s->done);
    io_stop(&s->io);
}

// ---- The client: one call, whose DATA frames the test cuts ----

struct client {
    int fd;
    nghttp2_session *session;
    const struct sld_str *chunks;
    size_t count, next;
    char status[8], words[80];
    struct sld_buf body;
    bool closed;
    uint32_t code;
};

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t n, int flags, void *user)
{
    (void)session, (void)flags;
    const struct client *c = user;
    return write(c->fd, data, n);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t name_n, const uint8_t *value,
                     size_t n, uint8_t flags, void *user)
{
    struct client *c = user;
    (void)session, (void)f, (void)flags;
    if (name_n == 11 && !memcmp(name, "grpc-status", 11))
        snprintf(c->status, sizeof(c->status), "%.*s", (int)n, (const char *)value);
    if (name_n == 12 && !memcmp(name, "grpc-message", 12))
        snprintf(c->words, sizeof(c->words), "%.*s", (int)n, (const char *)value);
    return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t n, void *user)
{
    struct client *c = user;
    (void)session, (void)flags, (void)id;
    sld_buf_add(&c->body, sld_str_n((const char *)data, n));
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct client *c = user;
    (void)session, (void)id;
    c->closed = true;
    c->code = code;
    return 0;
}

static ssize_t on_data(nghttp2_session *session, int32_t id, uint8_t *buf, size_t n, uint32_t *flags, nghttp2_data_source *source,
                       void *user)
{
    struct client *c = user;
    (void)session, (void)id, (void)source;
    struct sld_str s = c->next < c->count ? c->chunks[c->next++] : SLD_STR("");
    assert_true(s.n <= n);
    if (s.n)
        memcpy(buf, s.p, s.n);
    if (c->next >= c->count)
        *flags = NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)s.n;
}

#define NV(NAME, VALUE) {(uint8_t *)(NAME), (uint8_t *)(VALUE), strlen(NAME), strlen(VALUE), NGHTTP2_NV_FLAG_NONE}

// A call that sends CHUNKS, each a frame of its own; until its end.
static void ask(const struct server *s, struct client *c, const struct sld_str *chunks, size_t n, const char *extra)
{
    nghttp2_session_callbacks *cb;
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0), .chunks = chunks, .count = n};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sld_buf_init(&c->body, 1 << 20);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_send_callback(cb, on_send);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_closed);
    nghttp2_option *option;
    nghttp2_option_new(&option);
    nghttp2_option_set_max_send_header_block_length(option, 1 << 20);
    nghttp2_session_client_new2(&c->session, cb, c, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0);
    const nghttp2_nv nv[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/t.T/Sum"), NV(":authority", "x"),
                             NV("te", "trailers"), NV("content-type", "application/grpc"), NV("x-more", extra)};
    const nghttp2_data_provider data = {.read_callback = on_data};
    nghttp2_submit_request(c->session, NULL, nv, SLD_ARRAY_LEN(nv), &data, NULL);
    char buf[8192];
    while (!c->closed) {
        assert_int_equal(nghttp2_session_send(c->session), 0);
        ssize_t got = read(c->fd, buf, sizeof(buf));
        assert_true(got > 0);
        assert_int_equal(nghttp2_session_mem_recv(c->session, (uint8_t *)buf, (size_t)got), got);
    }
}

static void leave(struct client *c)
{
    nghttp2_session_del(c->session);
    close(c->fd);
    sld_buf_fini(&c->body);
}

static void messages_come_in_any_pieces(void **state)
{
    (void)state;
    struct server s = {0};
    struct client c;
    const struct sld_str bytes = SLD_STR("\0\0\0\0\3one\0\0\0\0\0\0\0\0\0\5three");
    struct sld_str single[64];
    server_open(&s);
    for (size_t cut = 1; cut <= bytes.n; cut++) {
        size_t n = 0;
        for (size_t at = 0; at < bytes.n; at += cut)
            single[n++] = sld_str_sub(bytes, at, cut);
        ask(&s, &c, single, n, "");
        assert_string_equal(c.status, "0");
        assert_string_equal(c.words, "50%25 & %0A");
        assert_int_equal(c.body.n, 5 + 11);
        assert_memory_equal(c.body.p, "\0\0\0\0\13one||three|", 16);
        leave(&c);
    }
    server_close(&s);
    assert_int_equal(s.messages, 3 * bytes.n);
    assert_int_equal(s.closed, bytes.n);
}

static void what_is_no_message_is_refused(void **state)
{
    (void)state;
    struct server s = {0};
    struct client c;
    const struct {
        struct sld_str bytes;
        const char *status;
    } cases[] = {
        {SLD_STR("\1\0\0\0\1x"), "12"},    // compressed
        {SLD_STR("\0\0\0\0\5thr"), "13"},  // ends too early
        {SLD_STR("\0\0"), "13"},           // even before it
        {SLD_STR("\0\0\2\0\0x"), "8"},     // too large
        {SLD_STR("\0\377\377\377\377"), "8"},
    };
    server_open(&s);
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        ask(&s, &c, &cases[i].bytes, 1, "");
        assert_string_equal(c.status, cases[i].status);
        assert_int_equal(c.body.n, 0);
        leave(&c);
    }
    server_close(&s);
    assert_int_equal(s.messages, 0);
}

static void headers_have_a_ceiling(void **state)
{
    (void)state;
    struct server s = {0};
    struct client c;
    const struct sld_str none = SLD_STR("");
    enum { OVER = 70 << 10, UNDER = 60 << 10 };
    char *more = sld_xalloc(OVER + 1);
    memset(more, 'a', OVER);
    more[OVER] = 0;
    server_open(&s);
    ask(&s, &c, &none, 1, more);
    assert_string_equal(c.status, "");
    assert_int_not_equal(c.code, NGHTTP2_NO_ERROR);
    leave(&c);
    more[UNDER] = 0;
    ask(&s, &c, &none, 1, more);
    assert_string_equal(c.status, "0");
    leave(&c);
    server_close(&s);
    sld_xfree(more);
}

// Who speaks no HTTP/2 is shown the door, and costs nobody else anything.
static void who_speaks_otherwise_is_dropped(void **state)
{
    (void)state;
    struct server s = {0};
    struct client c;
    char buf[4096];
    server_open(&s);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    while (read(fd, buf, sizeof(buf)) > 0)
        continue;
    close(fd);
    const struct sld_str one = SLD_STR("\0\0\0\0\1x");
    ask(&s, &c, &one, 1, "");
    assert_string_equal(c.status, "0");
    leave(&c);
    server_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_in_any_pieces),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(headers_have_a_ceiling),
        cmocka_unit_test(who_speaks_otherwise_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Answers that are read as they come: what is held has a ceiling, and the peer waits.
#include "support.h"

#include "net/http_stream.h"

enum { BODY = 1 << 20, HELD = 64 << 10, AT_ONCE = 16 << 10, PATIENCE_MS = 20000 };

struct bench {
    struct sld_loop *loop;
    struct sld_http_server *server;
    struct sld_http_client *client;
    struct sld_http_stream *stream;
    struct sld_timer *patience;
    int port;
    size_t taken, most; // bytes; held at a time
    unsigned news;
    int status;
    bool ended, close_at_once;
    char problem[200];
};

static char body[BODY];

static void handle(struct sld_http_request *rq, void *user)
{
    const struct sld_http_header extra = {SLD_STR("X-Which"), sld_http_path(rq)};
    (void)user;
    sld_http_respond(rq, 200, SLD_STR("text/plain"), &extra, 1, (struct sld_str){body, sizeof(body)});
}

static void on_late(void *user)
{
    (void)user;
    fail_msg("it took too long");
}

static void begin(struct bench *b)
{
    struct sld_err err;
    *b = (struct bench){.loop = sld_loop_create("test")};
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (char)('a' + i % 23);
    b->server = sld_http_server_create(b->loop, NULL, handle, b);
    b->client = sld_http_client_create(b->loop, 4);
    b->patience = sld_timer_create(b->loop, on_late, b);
    sld_timer_start(b->patience, PATIENCE_MS);
    assert_int_equal(sld_http_server_listen(b->server, SLD_STR("127.0.0.1:0"), NULL, &b->port, &err), SLD_OK);
}

static void end(struct bench *b)
{
    sld_http_stream_close(b->stream);
    sld_http_client_destroy(b->client);
    sld_http_server_destroy(b->server);
    sld_timer_destroy(b->patience);
    sld_loop_destroy(b->loop);
}

// Takes all when there is as much as may be held, or no more comes.
static void on_news(void *user)
{
    struct bench *b = user;
    b->news++;
    if (b->close_at_once) {
        sld_http_stream_close(b->stream);
        b->stream = NULL;
        sld_loop_stop(b->loop);
        return;
    }
    for (;;) {
        struct sld_http_stream_state st = sld_http_stream_look(b->stream);
        size_t n = st.bytes.n;
        b->most = n > b->most ? n : b->most;
        b->status = st.status;
        if (n >= HELD || (st.ended && n)) {
            if (memcmp(st.bytes.p, body + b->taken, n) != 0)
                fail_msg("other bytes than were sent, from %zu on", b->taken);
            sld_http_stream_take(b->stream, n);
            b->taken += n;
            continue;
        }
        if (st.ended) {
            snprintf(b->problem, sizeof(b->problem), "%s", st.err ? st.err->msg : "");
            sld_loop_stop(b->loop);
        }
        return;
    }
}

static void ask(struct bench *b, const char *path)
{
    char url[100];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", b->port, path);
    struct sld_http_call call = {.url = sld_str_c(url), .max_body_bytes = HELD};
    b->stream = sld_http_stream_open(b->client, &call, on_news, b);
    assert_int_equal(b->news, 0);
    sld_loop_run(b->loop);
}

static void what_is_held_has_a_ceiling(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    ask(&b, "/");
    assert_string_equal(b.problem, "");
    assert_int_equal(b.status, 200);
    assert_int_equal(b.taken, BODY);
    assert_true(b.most >= HELD && b.most <= HELD + AT_ONCE);
    struct sld_http_stream_state st = sld_http_stream_look(b.stream);
    bool told = false;
    for (size_t i = 0; i < st.header_count; i++)
        told |= sld_str_ieq(st.headers[i].name, SLD_STR("x-which")) && sld_str_eq(st.headers[i].value, SLD_STR("/"));
    assert_true(told);
    end(&b);
}

static void it_may_be_closed_when_it_tells(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    b.close_at_once = true;
    ask(&b, "/");
    assert_int_equal(b.news, 1);
    end(&b);
}

static void nobody_there(void **state)
{
    (void)state;
    struct bench b;
    begin(&b);
    sld_http_server_destroy(b.server);
    b.server = NULL;
    ask(&b, "/");
    assert_int_equal(b.status, 0);
    assert_true(b.problem[0]);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_held_has_a_ceiling), cmocka_unit_test(it_may_be_closed_when_it_tells),
                                       cmocka_unit_test(nobody_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// The HTTP server, spoken to byte by byte over sockets, and by openssl where TLS is concerned.
#include "net/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "net/support.h"

enum { BIG_BYTES = 8 * 1024 * 1024 };

struct fixture {
    struct io_thread io;
    struct sld_http_server *s;
    struct sld_http_server_options options;
    const char *address;
    const struct sld_http_tls *tls;
    enum sld_rc rc;
    struct sld_err err;
    int port;
    // Written on io.
    struct sld_http_request *waiting;
    sem_t arrived, gone;
    unsigned requests;
};

static void on_gone(void *user)
{
    struct fixture *f = user;
    f->waiting = NULL;
    sem_post(&f->gone);
}

static void answer_echo(struct sld_http_request *rq)
{
    struct sld_arena *a = sld_http_arena(rq);
    struct sld_str q = sld_http_query(rq, SLD_STR("q"));
    const struct sld_http_header extra[] = {
        {SLD_STR("x-good"), SLD_STR("yes")},
        {SLD_STR("x-bad"), SLD_STR("no\r\nx-injected: yes")},
    };
    struct sld_str text = sld_arena_fmt(
        a, "%.*s|%.*s|%s%.*s|%.*s|%.*s", SLD_FMT(sld_http_method(rq)), SLD_FMT(sld_http_path(rq)),
        q.p ? "" : "absent", SLD_FMT(q), SLD_FMT(sld_http_header(rq, SLD_STR("X-Test"))),
        SLD_FMT(sld_http_body(rq)));
    sld_http_respond(rq, 200, SLD_STR("text/plain"), extra, 2, text);
}

static void handle(struct sld_http_request *rq, void *user)
{
    struct fixture *f = user;
    struct sld_str path = sld_http_path(rq);
    f->requests++;
    if (sld_str_eq(path, SLD_STR("/wait")) || sld_str_eq(path, SLD_STR("/orphan"))) {
        f->waiting = rq;
        if (sld_str_eq(path, SLD_STR("/wait")))
            sld_http_on_gone(rq, on_gone, f);
        sem_post(&f->arrived);
    } else if (sld_str_eq(path, SLD_STR("/big"))) {
        char *big = sld_xcalloc(1, BIG_BYTES);
        sld_http_respond(rq, 200, SLD_STR(""), NULL, 0, (struct sld_str){big, BIG_BYTES});
        sld_xfree(big);
    } else if (sld_str_eq(path, SLD_STR("/empty"))) {
        sld_http_respond(rq, 204, SLD_STR(""), NULL, 0, SLD_STR("never sent"));
    } else if (sld_str_eq(path, SLD_STR("/peer"))) {
        sld_http_respond(rq, 200, SLD_STR(""), NULL, 0, sld_http_peer(rq));
    } else if (sld_str_eq(path, SLD_STR("/destroy"))) {
        sld_http_server_destroy(f->s);
        f->s = NULL;
        sem_post(&f->gone);
    } else {
        answer_echo(rq);
    }
}

static void open_on_io(void *arg)
{
    struct fixture *f = arg;
    f->s = sld_http_server_create(f->io.loop, &f->options, handle, f);
    f->rc = sld_http_server_listen(f->s, sld_str_c(f->address), f->tls, &f->port, &f->err);
}

static bool start(struct fixture *f, const char *address, const struct sld_http_tls *tls)
{
    f->address = address;
    f->tls = tls;
    sem_init(&f->arrived, 0, 0);
    sem_init(&f->gone, 0, 0);
    io_start(&f->io);
    io_do(&f->io, open_on_io, f);
    return f->rc == SLD_OK;
}

static void close_on_io(void *arg)
{
    struct fixture *f = arg;
    sld_http_server_destroy(f->s);
}

static void stop(struct fixture *f)
{
    io_do(&f->io, close_on_io, f);
    io_stop(&f->io);
}

static void answer_waiting(void *arg)
{
    struct fixture *f = arg;
    sld_http_respond(f->waiting, 200, SLD_STR(""), NULL, 0, SLD_STR("late"));
    f->waiting = NULL;
}

// ---- A client of bare sockets ----

static int dial(const struct fixture *f)
{
    const struct timeval limit = {.tv_sec = 60};
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static void put(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, bytes, n, MSG_NOSIGNAL);
        if (k < 0)
            return; // the server may have refused already
        bytes += k;
        n -= (size_t)k;
    }
}

// Reads until the server closes.
static struct sld_str get_all(struct sld_arena *a, int fd)
{
    struct sld_buf b;
    sld_buf_init(&b, 64 * 1024 * 1024);
    for (;;) {
        char *p = sld_buf_reserve(&b, 65536);
        ssize_t n = recv(fd, p, 65536, 0);
        assert_true(n >= 0);
        if (n == 0)
            break;
        b.n += (size_t)n;
    }
    struct sld_str s = sld_arena_str(a, b.n ? sld_buf_str(&b) : SLD_STR(""));
    sld_buf_fini(&b);
    close(fd);
    return s;
}

// Reads until WANT has come.
static void get_until(int fd, const char *want)
{
    char text[4096] = {0};
    size_t n = 0;
    while (n < sizeof(text) - 1) {
        ssize_t k = recv(fd, text + n, 1, 0);
        assert_true(k > 0);
        text[++n] = 0;
        if (strstr(text, want))
            return;
    }
    fail_msg("%s did not come", want);
}

static struct sld_str exchange(struct sld_arena *a, const struct fixture *f, const char *request)
{
    int fd = dial(f);
    put(fd, request, strlen(request));
    return get_all(a, fd);
}

static void expect_has(struct sld_str got, const char *want)
{
    if (sld_str_find(got, sld_str_c(want)) < 0)
        fail_msg("no '%s' in: %.*s", want, (int)(got.n < 2000 ? got.n : 2000), got.p);
}

static void expect_starts(struct sld_str got, const char *want)
{
    if (!sld_str_starts(got, sld_str_c(want)))
        fail_msg("'%s' is not the start of: %.*s", want, (int)(got.n < 2000 ? got.n : 2000), got.p);
}

static void expect_ends(struct sld_str got, const char *want)
{
    if (!sld_str_ends(got, sld_str_c(want)))
        fail_msg("'%s' is not the end of: %.*s", want, (int)(got.n < 2000 ? got.n : 2000), got.p);
}

#define CLOSE "Host: x\r\nConnection: close\r\n"

// ---- Requests and answers ----

static void test_request_is_decoded(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sld_arena a = {0};
    assert_true(start(&f, "127.0.0.1:0", NULL));
    struct sld_str r = exchange(&a, &f, "GET /a%20b/%C3%A9?x=1&q=one+%26two&q=no HTTP/1.1\r\n" CLOSE
                                        "x-test:  v  \r\n\r\n");
    expect_starts(r, "HTTP/1.1 200 OK\r\n");
    expect_has(r, "\r\ncontent-type: text/plain\r\n");
    expect_has(r, "\r\nconnection: close\r\n");
    expect_has(r, "\r\ndate: ");
    expect_has(r, "\r\nx-good: yes\r\n");
    assert_int_equal(sld_str_find(r, SLD_STR("x-injected")), -1);
    expect_ends(r, "\r\n\r\nGET|/a b/\xc3\xa9|one &two|v|");
    r = exchange(&a, &f, "GET http://other:80/p?q HTTP/1.1\r\n" CLOSE "\r\n");
    expect_ends(r, "\r\n\r\nGET|/p|||");
    r = exchange(&a, &f, "GET /p HTTP/1.0\r\n\r\n");
    expect_ends(r, "\r\n\r\nGET|/p|absent||");
    r = exchange(&a, &f, "GET /peer HTTP/1.1\r\n" CLOSE "\r\n");
    expect_has(r, "\r\n\r\n127.0.0.1:");
    stop(&f);
    sld_arena_fini(&a);
}

static void test_bodies(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sld_arena a = {0};
    assert_true(start(&f, "127.0.0.1:0", NULL));
    struct sld_str r = exchange(&a, &f, "POST / HTTP/1.1\r\n" CLOSE
                                        "Content-Length: 5\r\n\r\nhello");
    expect_ends(r, "POST|/|absent||hello");
    r = exchange(&a, &f, "PUT / HTTP/1.1\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\n"
                         "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Test: trailer\r\n\r\n");
    expect_ends(r, "PUT|/|absent|trailer|abcde");
    r = exchange(&a, &f, "HEAD /p HTTP/1.1\r\n" CLOSE "\r\n");
    expect_has(r, "\r\ncontent-length: 16\r\n");
    expect_ends(r, "\r\n\r\n");
    r = exchange(&a, &f, "GET /empty HTTP/1.1\r\n" CLOSE "\r\n");
    expect_starts(r, "HTTP/1.1 204 No Content\r\n");
    assert_int_equal(sld_str_find(r, SLD_STR("content-length")), -1);
    expect_ends(r, "\r\n\r\n");
    r = exchange(&a, &f, "GET /big HTTP/1.1\r\n" CLOSE "\r\n");
    expect_has(sld_str_sub(r, 0, 400), "\r\ncontent-length: 8388608\r\n");
    assert_true(r.n > BIG_BYTES);
    stop(&f);
    sld_arena_fini(&a);
}

static void test_expect_continue(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sld_arena a = {0};
    assert_true(start(&f, "127.0.0.1:0", NULL));
    int fd = dial(&f);
    const char *head = "POST / HTTP/1.1\r\n" CLOSE "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    put(fd, head, strlen(head));
    get_until(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    put(fd, "ok", 2);
    expect_ends(get_all(&a, fd), "POST|/|absent||ok");
    struct sld_str r = exchange(&a, &f, "POST / HTTP/1.1\r\n" CLOSE
                                        "Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n");
    expect_starts(r, "HTTP/1.1 413 ");
    r = exchange(&a, &f, "POST / HTTP/1.1\r\n" CLOSE "Content-Length: 2\r\nExpect: more\r\n\r\n");
    expect_starts(r, "HTTP/1.1 417 ");
    stop(&f);
    sld_arena_fini(&a);
}

static void test_pipelining_keeps_order(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sld_arena a = {0};
    assert_true(start(&f, "127.0.0.1:0", NULL));
    int fd = dial(&f);
    const char *three = "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
                        "POST /3 HTTP/1.1\r\n" CLOSE "Content-Length: 3\r\n\r\nend";
    put(fd, three, strlen(three));
    get_until(fd, "GET|/1|absent||");
    wait_for(&f.arrived);
    io_do(&f.io, answer_waiting, &f);
    struct sld_str r = get_all(&a, fd);
    expect_starts(r, "HTTP/1.1 200 OK\r\n");
    assert_true(sld_str_find(r, SLD_STR("late")) < sld_str_find(r, SLD_STR("POST|/3")));
    expect_has(r, "connection: keep-alive\r\n");
    expect_ends(r, "POST|/3|absent||end");
    stop(&f);
    sld_arena_fini(&a);
}

struct writer {
    int fd;
    struct sld_buf bytes;
};

static void *write_all(void *arg)
{
    struct writer *w = arg;
    put(w->fd, w->bytes.p, w->bytes.n);
    return NULL;
}

// While a request waits, the server reads on only up to its ceiling (it would abort beyond), and
// serves everything afterwards.
static void test_read_ahead_has_a_ceiling(void **state)
{
    (void)state;
    enum { REQUESTS = 200, FILL = 10000 };
    struct fixture f = {0};
    struct sld_arena a = {0};
    struct writer w;
    pthread_t thread;
    char fill[FILL];
    memset(fill, 'x', sizeof(fill));
    assert_true(start(&f, "127.0.0.1:0", NULL));
    sld_buf_init(&w.bytes, 4 * 1024 * 1024);
    for (int i = 0; i < REQUESTS; i++)
        sld_buf_addf(&w.bytes, "HEAD /%d HTTP/1.1\r\nHost: x\r\n%sX-Fill: %.*s\r\n\r\n", i,
                     i == REQUESTS - 1 ? "Connection: close\r\n" : "", FILL, fill);
    w.fd = dial(&f);
    put(w.fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n", 31);
    wait_for(&f.arrived);
    assert_int_equal(pthread_create(&thread, NULL, write_all, &w), 0);
    for (int i = 0; i < 100; i++) // turns of the loop, in which it could read
        expect_has(exchange(&a, &f, "GET / HTTP/1.1\r\n" CLOSE "\r\n"), "200 OK");
    io_do(&f.io, answer_waiting, &f);
    expect_has(get_all(&a, w.fd), "late");
    pthread_join(thread, NULL);
    stop(&f);
    assert_int_equal(f.requests, 1 + 100 + REQUESTS);
    sld_buf_fini(&w.bytes);
    sld_arena_fini(&a);
}

// A request cut at every byte is still one request.
static void test_any_fragmentation(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sld_arena a = {0};
    const char *rq = "POST /p?q=%41 HTTP/1.1\r\nHost: x\r\nX-Test: t\r\nConnection: close\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    assert_true(start(&f, "127.0.0.1:0", NULL));
    int fd = dial(&f);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof(on));
    for (const char *p = rq; *p; p++)
        put(fd, p, 1);
    expect_ends(get_all(&a, fd), "POST|/p|A|t|ab");
    stop(&f);
    sld_arena_fini(&a);
}

// ---- Refusals ----

static void test_bad_requests(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        const char *status;
    } cases[] = {
        {"nonsense\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n\r\n", "400"},                              // no Host
        {"GET /%4 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        {"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", "413"},
        {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", "400"},
        {"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "405"},
    };
    struct fixture f = {.options = {.max_body_bytes = 1000, .max_header_bytes = 2000}};
    struct sld_arena a = {0};
    char want[32];
    assert_true(start(&f, "127.0.0.1:0", NULL));
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        snprintf(want, sizeof(want), "HTTP/1.1 %s ", cases[i].status);
        struct sld_str r = exchange(&a, &f, cases[i].request);
        expect_starts(r, want);
        expect_has(r, "\r\nconnection: close\r\n");
    }
    assert_int_equal(f.requests, 0);
    stop(&f);
    sld_arena_fini(&a);
}

static void test_ceilings(void **state)
{
    (void)state;
    struct fixture f = {.options = {.max_body_bytes = 100000, .max_header_bytes = 5000}};
    struct sld_arena a = {0};
    assert_true(start(&f, "127.0.0.1:0", NULL));
    // More than the sockets hold: the answer must get through while the client is still sending.
    char *chunk = sld_xalloc(65536);
    memset(chunk, 'a', 65536);
    int fd = dial(&f);
    const char *head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400000\r\n";
    put(fd, head, strlen(head));
    for (int i = 0; i < 64; i++)
        put(fd, chunk, 65536);
    expect_starts(get_all(&a, fd), "HTTP/1.1 413 ");
    fd = dial(&f);
    head = "GET / HTTP/1.1\r\nHost: x\r\nX-Long: ";
    put(fd, head, strlen(head));
    put(fd, chunk, 65536);
    expect_starts(get_all(&a, fd), "HTTP/1.1 431 ");
    fd = dial(&f);
    put(fd, "GET / HTTP/1.1\r\n", 16);
    for (int i = 0; i < 200; i++)
        put(fd, "a: b\r\n", 6);
    expect_starts(get_all(&a, fd), "HTTP/1.1 431 ");
    assert_int_equal(f.requests, 0);
    sld_xfree(chunk);
    stop(&f);
    sld_arena_fini(&a);
}

static void test_timeouts(void **state)
{
    (void)state;
    struct fixture f = {.options = {.idle_timeout_ms = 50}};
    struct sld_arena a = {0};
    assert_true(start(&f, "127.0.0.1:0", NULL));
    expect_starts(exchange(&a, &f, "GET / HTTP/1.1\r\nHost:"), "HTTP/1.1 408 ");
    assert_int_equal(exchange(&a, &f, "").n, 0); // idle: no answer, closed
    struct sld_str r = exchange(&a, &f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_has(r, "connection: keep-alive"); // answered, then idle for too long
    stop(&f);
    sld_arena_fini(&a);
}

static void test_too_many_connections(void **state)
{
    (void)state;
    struct fixture f = {.options = {.max_connections = 1}};
    struct sld_arena a = {0};
    assert_true(start(&f, "127.0.0.1:0", NULL));
    int fd = dial(&f);
    put(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    get_until(fd, "GET|/");
    expect_starts(exchange(&a, &f, "GET / HTTP/1.1\r\n" CLOSE "\r\n"), "HTTP/1.1 503 ");
    put(fd, "GET /2 HTTP/1.1\r\n" CLOSE "\r\n", strlen("GET /2 HTTP/1.1\r\n" CLOSE "\r\n"));
    expect_ends(get_all(&a, fd), "GET|/2|absent||");
    stop(&f);
    sld_arena_fini(&a);
}

// ---- Clients that leave, servers that end ----

static void test_gone_is_told(void **state)
{
    (void)state;
    struct fixture f = {0};
    assert_true(start(&f, "127.0.0.1:0", NULL));
    int fd = dial(&f);
    put(fd, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n", 31);
    wait_for(&f.arrived);
    close(fd);
    wait_for(&f.gone);
    assert_null(f.waiting);
    stop(&f);
}

static void test_orphan_may_be_answered(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sld_arena a = {0};
    assert_true(start(&f, "127.0.0.1:0", NULL));
    int fd = dial(&f);
    put(fd, "GET /orphan HTTP/1.1\r\nHost: x\r\n\r\n", 33);
    wait_for(&f.arrived);
    close(fd);
    // The server sees the end in the order of its events: another exchange comes behind it.
    expect_has(exchange(&a, &f, "GET / HTTP/1.1\r\n" CLOSE "\r\n"), "200 OK");
    io_do(&f.io, answer_waiting, &f);
    stop(&f);
    sld_arena_fini(&a);
}

static void test_destroy_with_everything_open(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct sld_arena a = {0};
    assert_true(start(&f, "127.0.0.1:0", NULL));
    int waiting = dial(&f), half = dial(&f), idle = dial(&f);
    put(waiting, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n", 31);
    put(half, "GET /wa", 7);
    wait_for(&f.arrived);
    stop(&f);
    assert_int_equal(sem_trywait(&f.gone), 0); // told
    close(waiting);
    close(half);
    close(idle);

    struct fixture g = {0};
    assert_true(start(&g, "127.0.0.1:0", NULL));
    (void)exchange(&a, &g, "GET /destroy HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&g.gone);
    stop(&g);
    sld_arena_fini(&a);
}

// ---- Listeners ----

static void test_addresses(void **state)
{
    (void)state;
    struct fixture a = {0}, b = {0}, c = {0};
    char address[64];
    assert_true(start(&a, "127.0.0.1:0", NULL));
    snprintf(address, sizeof(address), "127.0.0.1:%d", a.port);
    assert_false(start(&b, address, NULL));
    assert_int_equal(b.rc, SLD_CONFLICT);
    assert_non_null(strstr(b.err.msg, address));
    assert_false(start(&c, "nowhere", NULL));
    assert_int_equal(c.rc, SLD_INVALID);
    stop(&c);
    stop(&b);
    stop(&a);
}

static void test_unix_socket(void **state)
{
    (void)state;
    struct fixture a = {0}, b = {0};
    struct sld_arena mem = {0};
    struct stat st;
    char dir[64], address[96];
    make_dir(dir);
    snprintf(address, sizeof(address), "unix:%s/admin.sock", dir);
    assert_true(start(&a, address, NULL));
    assert_int_equal(stat(address + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_false(start(&b, address, NULL));
    assert_int_equal(b.rc, SLD_CONFLICT);
    stop(&b);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", address + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    put(fd, "GET /peer HTTP/1.0\r\n\r\n", 22);
    expect_ends(get_all(&mem, fd), "\r\n\r\nunix");
    stop(&a);
    assert_int_equal(stat(address + 5, &st), -1);
    shell("rmdir %s", dir);
    sld_arena_fini(&mem);
}

// ---- TLS ----

struct tls_reload {
    struct fixture *f;
    struct sld_http_tls tls;
    enum sld_rc rc;
};

static void set_tls(void *arg)
{
    struct tls_reload *r = arg;
    r->rc = sld_http_server_set_tls(r->f->s, &r->tls, &r->f->err);
}

static struct sld_http_tls tls_of(struct sld_arena *a, const char *dir, const char *name,
                                  const char *client)
{
    char pem[32], key[32], ca[32];
    snprintf(pem, sizeof(pem), "%s.pem", name);
    snprintf(key, sizeof(key), "%s.key", name);
    snprintf(ca, sizeof(ca), "%s-ca.pem", client ? client : "");
    return (struct sld_http_tls){.cert_chain_pem = read_pem(a, dir, pem),
                                 .key_pem = read_pem(a, dir, key),
                                 .client_ca_pem = client ? read_pem(a, dir, ca) : SLD_STR_NONE};
}

// Whether openssl's client gets an answer.
static bool s_client(const struct fixture *f, const char *dir, const char *server, const char *more)
{
    char cmd[1024];
    snprintf(cmd, sizeof(cmd),
             "cd %s && (printf 'GET /tls HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'; cat) "
             "</dev/null | timeout 60 openssl s_client -ign_eof -quiet -connect 127.0.0.1:%d "
             "-CAfile %s-ca.pem -verify_return_error %s 2>/dev/null | grep -q 'GET|/tls|'",
             dir, f->port, server, more);
    return system(cmd) == 0;
}

static void test_tls(void **state)
{
    (void)state;
    struct fixture f = {0}, bad = {0};
    struct sld_arena a = {0};
    char dir[64];
    make_dir(dir);
    make_certs(dir, "srv");
    make_certs(dir, "new");
    make_certs(dir, "cli");
    struct sld_http_tls tls = tls_of(&a, dir, "srv", NULL);
    assert_true(start(&f, "127.0.0.1:0", &tls));
    assert_true(s_client(&f, dir, "srv", "-tls1_3"));
    assert_true(s_client(&f, dir, "srv", "-tls1_2"));
    assert_false(s_client(&f, dir, "srv", "-tls1_1 -cipher ALL:@SECLEVEL=0"));
    assert_false(s_client(&f, dir, "new", ""));
    struct sld_str plain = exchange(&a, &f, "GET / HTTP/1.1\r\n" CLOSE "\r\n");
    assert_int_equal(sld_str_find(plain, SLD_STR("HTTP")), -1);
    // Another certificate, and clients must show one.
    struct tls_reload r = {.f = &f, .tls = tls_of(&a, dir, "new", "cli")};
    io_do(&f.io, set_tls, &r);
    assert_int_equal(r.rc, SLD_OK);
    assert_true(s_client(&f, dir, "new", "-cert cli.pem -key cli.key"));
    assert_false(s_client(&f, dir, "new", ""));
    assert_false(s_client(&f, dir, "new", "-cert srv.pem -key srv.key"));
    r.tls.key_pem = tls.key_pem; // not of this certificate
    io_do(&f.io, set_tls, &r);
    assert_int_equal(r.rc, SLD_INVALID);
    assert_true(s_client(&f, dir, "new", "-cert cli.pem -key cli.key"));
    stop(&f);
    assert_false(start(&bad, "127.0.0.1:0", &r.tls));
    assert_int_equal(bad.rc, SLD_INVALID);
    stop(&bad);
    shell("rm -r %s", dir);
    sld_arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_is_decoded),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_pipelining_keeps_order),
        cmocka_unit_test(test_read_ahead_has_a_ceiling),
        cmocka_unit_test(test_any_fragmentation),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_too_many_connections),
        cmocka_unit_test(test_gone_is_told),
        cmocka_unit_test(test_orphan_may_be_answered),
        cmocka_unit_test(test_destroy_with_everything_open),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

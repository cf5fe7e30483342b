// Both gRPC servers against a client of gRPC core in the same process: that of gRPC core, and the lean one.
#include "net/grpc.h"

#include <errno.h>
#include <stdarg.h>
#include <time.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include "grpc_client.h"
#include "net/support.h"

// ---- The server under test: echo, and a sink that sends one big message ----

enum { BIG_BYTES = 20 * 1024 * 1024 };

static bool lean; // which of them

struct server {
    struct io_thread io;
    struct sld_grpc_server *s;
    struct sld_grpc_options options;
    const char *address;
    const struct sld_grpc_tls *tls;
    bool start;
    enum sld_rc rc;
    struct sld_err err;
    int port;
    sem_t closed, sent, done, called;
    // Written on io, read by the test after a semaphore or by io_do.
    unsigned calls, sent_count, half_closes, closed_count;
    char peer[64], method[64];
    struct sld_blob *blob;           // what "/t.T/Big" sends
    struct sld_grpc_stream *last;
};

struct call {
    struct server *server;
    struct sld_grpc_stream *stream;
    enum { ECHO, BIG } kind;
    bool half_closed, sending;
    struct sld_blob *waiting[4]; // echoes to come: a message may overtake the on_sent of the one before
    size_t waiting_count;
};

static void *on_call(void *user, struct sld_grpc_stream *st, struct sld_str method,
                     struct sld_str peer)
{
    struct server *s = user;
    snprintf(s->peer, sizeof(s->peer), "%.*s", SLD_FMT(peer));
    snprintf(s->method, sizeof(s->method), "%.*s", SLD_FMT(method));
    if (sld_str_eq(method, SLD_STR("/t.T/Denied"))) {
        sld_grpc_close(st, GRPC_STATUS_PERMISSION_DENIED, SLD_STR("not you"));
        return NULL;
    }
    bool big = sld_str_eq(method, SLD_STR("/t.T/Big"));
    if (!big && !sld_str_eq(method, SLD_STR("/t.T/Echo")))
        return NULL;
    struct call *c = SLD_NEW(struct call);
    *c = (struct call){.server = s, .stream = st, .kind = big ? BIG : ECHO};
    s->calls++;
    s->last = st;
    if (big) {
        const struct sld_str parts[] = {SLD_STR("head"), s->blob->data};
        struct sld_obj *const owners[] = {NULL, &s->blob->obj};
        sld_grpc_send(st, parts, owners, 2);
        c->sending = true;
    }
    sem_post(&s->called);
    return c;
}

static void echo_next(struct call *c)
{
    if (c->sending || c->waiting_count == 0)
        return;
    struct sld_blob *copy = c->waiting[0];
    memmove(c->waiting, c->waiting + 1, --c->waiting_count * sizeof(struct sld_blob *));
    // In three parts: an empty one, the first byte, and the rest by reference.
    const struct sld_str parts[] = {SLD_STR(""), sld_str_sub(copy->data, 0, 1),
                                    sld_str_sub(copy->data, 1, copy->data.n)};
    struct sld_obj *const owners[] = {NULL, NULL, &copy->obj};
    sld_grpc_send(c->stream, parts, owners, 3);
    c->sending = true;
    SLD_UNREF(copy);
}

static void on_message(void *call, struct sld_str bytes)
{
    struct call *c = call;
    SLD_INV(c->waiting_count < SLD_ARRAY_LEN(c->waiting));
    c->waiting[c->waiting_count++] = sld_blob_create(bytes);
    echo_next(c);
}

static void on_half_close(void *call)
{
    struct call *c = call;
    c->server->half_closes++;
    c->half_closed = true;
    if (c->kind == ECHO)
        sld_grpc_close(c->stream, GRPC_STATUS_OK, SLD_STR("bye"));
}

static void on_sent(void *call)
{
    struct call *c = call;
    c->server->sent_count++;
    if (c->kind == BIG)
        sem_post(&c->server->sent);
    c->sending = false;
    echo_next(c);
}

static void on_closed(void *call)
{
    struct call *c = call;
    c->server->closed_count++;
    sem_post(&c->server->closed);
    while (c->waiting_count > 0)
        SLD_UNREF(c->waiting[--c->waiting_count]);
    sld_xfree(c);
}

static void open_on_io(void *arg)
{
    struct server *s = arg;
    const struct sld_grpc_handlers h = {.on_call = on_call, .on_message = on_message,
                                        .on_half_close = on_half_close, .on_sent = on_sent,
                                        .on_closed = on_closed, .user = s};
    s->options.lean = lean;
    s->s = sld_grpc_server_create(s->io.loop, &h, &s->options);
    s->rc = sld_grpc_server_listen(s->s, sld_str_c(s->address), s->tls, &s->port, &s->err);
    if (s->rc == SLD_OK && s->start)
        sld_grpc_server_start(s->s);
}

// Opens a server with its own io thread; false when it cannot listen.
static bool server_open(struct server *s, const char *address, const struct sld_grpc_tls *tls)
{
    s->address = address;
    s->tls = tls;
    s->start = true;
    sem_init(&s->closed, 0, 0);
    sem_init(&s->sent, 0, 0);
    sem_init(&s->done, 0, 0);
    sem_init(&s->called, 0, 0);
    io_start(&s->io);
    io_do(&s->io, open_on_io, s);
    return s->rc == SLD_OK;
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
    if (s->rc == SLD_OK && s->start) {
        sld_grpc_server_stop(s->s, stopped, s);
    } else {
        sld_grpc_server_destroy(s->s);
        sem_post(&s->done);
    }
}

static void server_close(struct server *s)
{
    io_do(&s->io, close_on_io, s);
    wait_for(&s->done);
    io_stop(&s->io);
    assert_int_equal(s->closed_count, s->calls);
    SLD_UNREF(s->blob);
}

static void nothing(void *arg)
{
    (void)arg;
}

// What io wrote before now can be read afterwards.
static void sync_io(struct server *s)
{
    io_do(&s->io, nothing, NULL);
}

// ---- The client: grpc_client.h ----

static const char *target_of(const struct server *s, char out[64])
{
    snprintf(out, 64, "127.0.0.1:%d", s->port);
    return out;
}

// One echo and a good end.
static void echo_once(const char *target, grpc_channel_credentials *creds)
{
    struct client c;
    client_open(&c, target, creds, "/t.T/Echo");
    client_send(&c, SLD_STR("hello"));
    client_expect(&c, SLD_STR("hello"));
    client_half_close(&c);
    assert_int_equal(client_status(&c), GRPC_STATUS_OK);
    client_close(&c, true);
}

// ---- Calls ----

static void test_bidi_echo(void **state)
{
    (void)state;
    struct server s = {0};
    struct client c;
    char target[64];
    assert_true(server_open(&s, "127.0.0.1:0", NULL));
    client_open(&c, target_of(&s, target), NULL, "/t.T/Echo");
    client_send(&c, SLD_STR("one"));
    client_expect(&c, SLD_STR("one"));
    client_send(&c, SLD_STR("2"));
    client_expect(&c, SLD_STR("2"));
    client_half_close(&c);
    assert_null(client_recv(&c));
    assert_int_equal(client_status(&c), GRPC_STATUS_OK);
    assert_memory_equal(GRPC_SLICE_START_PTR(c.details), "bye", 3);
    wait_for(&s.closed);
    assert_string_equal(s.method, "/t.T/Echo");
    assert_memory_equal(s.peer, "127.0.0.1:", 10);
    assert_int_equal(s.half_closes, 1);
    assert_in_range(s.sent_count, 1, 2); // no on_sent behind a close, which the client's may overtake
    client_close(&c, true);
    server_close(&s);
}

static void test_refusals(void **state)
{
    (void)state;
    struct server s = {.options = {.max_calls = 1}};
    struct client c, d;
    char target[64];
    assert_true(server_open(&s, "127.0.0.1:0", NULL));
    client_open(&c, target_of(&s, target), NULL, "/t.T/Nothing");
    assert_int_equal(client_status(&c), GRPC_STATUS_UNIMPLEMENTED);
    client_close(&c, true);
    client_open(&c, target, NULL, "/t.T/Denied");
    assert_int_equal(client_status(&c), GRPC_STATUS_PERMISSION_DENIED);
    client_close(&c, true);
    client_open(&c, target, NULL, "/t.T/Echo");
    client_send(&c, SLD_STR("x"));
    client_expect(&c, SLD_STR("x"));
    client_open(&d, target, NULL, "/t.T/Echo");
    assert_int_equal(client_status(&d), GRPC_STATUS_RESOURCE_EXHAUSTED);
    client_close(&d, true);
    client_close(&c, false);
    server_close(&s);
}

static void test_big_messages_both_ways(void **state)
{
    (void)state;
    struct server s = {0};
    struct client c;
    char target[64];
    char *big = sld_xalloc(BIG_BYTES);
    for (size_t i = 0; i < BIG_BYTES; i++)
        big[i] = (char)(i * 7 + i / 4096);
    assert_true(server_open(&s, "127.0.0.1:0", NULL));
    client_open(&c, target_of(&s, target), NULL, "/t.T/Echo");
    client_send(&c, (struct sld_str){big, BIG_BYTES});
    client_expect(&c, (struct sld_str){big, BIG_BYTES});
    client_close(&c, false);
    wait_for(&s.closed);
    server_close(&s);
    sld_xfree(big);
}

static void test_message_over_the_ceiling(void **state)
{
    (void)state;
    struct server s = {.options = {.max_message_bytes = 1000}};
    struct client c;
    char target[64];
    char text[1001] = {0};
    assert_true(server_open(&s, "127.0.0.1:0", NULL));
    client_open(&c, target_of(&s, target), NULL, "/t.T/Echo");
    client_send(&c, (struct sld_str){text, 1000});
    client_expect(&c, (struct sld_str){text, 1000});
    client_send(&c, (struct sld_str){text, 1001});
    assert_int_equal(client_status(&c), GRPC_STATUS_RESOURCE_EXHAUSTED);
    wait_for(&s.closed);
    client_close(&c, true);
    server_close(&s);
}

// A message below its ceiling that does not fit into what all connections may hold: its sender is cut off, and who comes
// after it is served.
static void test_memory_of_all_connections_has_a_ceiling(void **state)
{
    (void)state;
    struct server s = {.options = {.max_memory_bytes = BIG_BYTES / 4}};
    bool was = lean;
    lean = false; // gRPC core's
    struct client c, other;
    char target[64];
    char *big = sld_xcalloc(1, BIG_BYTES);
    assert_true(server_open(&s, "127.0.0.1:0", NULL));
    client_open(&c, target_of(&s, target), NULL, "/t.T/Echo");
    client_send(&c, (struct sld_str){big, BIG_BYTES});
    assert_int_equal(client_status(&c), GRPC_STATUS_RESOURCE_EXHAUSTED);
    client_close(&c, true);
    client_open(&other, target, NULL, "/t.T/Echo");
    client_send(&other, SLD_STR("small"));
    client_expect(&other, SLD_STR("small"));
    client_close(&other, false);
    server_close(&s);
    sld_xfree(big);
    lean = was;
}

static void big_blob(struct server *s)
{
    char *big = sld_xcalloc(1, BIG_BYTES);
    s->blob = sld_blob_create((struct sld_str){big, BIG_BYTES});
    sld_xfree(big);
}

static void test_send_waits_for_a_slow_reader(void **state)
{
    (void)state;
    struct server s = {0};
    struct client c;
    char target[64];
    big_blob(&s);
    assert_true(server_open(&s, "127.0.0.1:0", NULL));
    client_open(&c, target_of(&s, target), NULL, "/t.T/Big");
    client_wait(&c, T_INITIAL);
    echo_once(target, NULL); // others are served meanwhile
    wait_for(&s.closed);
    assert_int_equal(sem_trywait(&s.sent), -1);
    // Referenced by us and by the server: not copied.
    assert_true(atomic_load(&s.blob->obj.refs) >= 2);
    struct sld_blob *got = client_recv(&c);
    assert_non_null(got);
    assert_int_equal(got->data.n, BIG_BYTES + 4);
    assert_memory_equal(got->data.p, "head", 4);
    SLD_UNREF(got);
    wait_for(&s.sent);
    client_close(&c, false);
    wait_for(&s.closed);
    server_close(&s);
}

static void close_last(void *arg)
{
    struct server *s = arg;
    sld_grpc_close(s->last, GRPC_STATUS_UNAVAILABLE, SLD_STR("enough"));
    sld_grpc_close(s->last, GRPC_STATUS_OK, SLD_STR("twice is fine"));
}

static void test_close_cuts_off_a_client_that_never_reads(void **state)
{
    (void)state;
    struct server s = {0};
    struct client c;
    char target[64];
    big_blob(&s);
    assert_true(server_open(&s, "127.0.0.1:0", NULL));
    client_open(&c, target_of(&s, target), NULL, "/t.T/Big");
    wait_for(&s.called);
    io_do(&s.io, close_last, &s);
    wait_for(&s.closed);
    struct sld_blob *mine = sld_obj_ref(s.blob);
    client_close(&c, false);
    server_close(&s);
    assert_int_equal(atomic_load(&mine->obj.refs), 1); // the server has let go of it
    SLD_UNREF(mine);
}

static void test_client_that_vanishes(void **state)
{
    (void)state;
    struct server s = {0};
    struct client c;
    char target[64];
    assert_true(server_open(&s, "127.0.0.1:0", NULL));
    client_open(&c, target_of(&s, target), NULL, "/t.T/Echo");
    client_send(&c, SLD_STR("x"));
    client_expect(&c, SLD_STR("x"));
    client_close(&c, false);
    wait_for(&s.closed);
    server_close(&s);
}

static void test_stop_with_open_calls(void **state)
{
    (void)state;
    struct server s = {0};
    struct client c[5];
    char target[64];
    big_blob(&s);
    assert_true(server_open(&s, "127.0.0.1:0", NULL));
    target_of(&s, target);
    for (int i = 0; i < 5; i++) {
        client_open(&c[i], target, NULL, i == 4 ? "/t.T/Big" : "/t.T/Echo");
        wait_for(&s.called);
    }
    server_close(&s); // checks that every call was closed
    for (int i = 0; i < 5; i++) {
        bool reads = i != 4; // gRPC's client tells the end only after what came before it was read
        if (reads)
            assert_int_not_equal(client_status(&c[i]), GRPC_STATUS_OK);
        client_close(&c[i], reads);
    }
}

// ---- Listeners ----

static void test_port_in_use(void **state)
{
    (void)state;
    struct server a = {0}, b = {0};
    char address[64];
    assert_true(server_open(&a, "127.0.0.1:0", NULL));
    assert_true(a.port > 0);
    target_of(&a, address);
    assert_false(server_open(&b, address, NULL));
    assert_int_equal(b.rc, SLD_CONFLICT);
    assert_non_null(strstr(b.err.msg, address));
    server_close(&b);
    echo_once(address, NULL);
    wait_for(&a.closed);
    server_close(&a);
}

static void test_bad_addresses(void **state)
{
    (void)state;
    const char *const bad[] = {"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:65536", "[::1:80", "unix:",
                               "192.0.2.1:0"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        struct server s = {0};
        assert_false(server_open(&s, bad[i], NULL));
        assert_int_equal(s.rc, SLD_INVALID);
        server_close(&s);
    }
}

static void test_unix_socket_is_not_stolen(void **state)
{
    (void)state;
    struct server a = {0}, b = {0};
    struct stat st;
    char dir[64], address[96], lock[128];
    make_dir(dir);
    snprintf(address, sizeof(address), "unix:%s/xds.sock", dir);
    snprintf(lock, sizeof(lock), "%s.lock", address + 5);
    assert_true(server_open(&a, address, NULL));
    assert_int_equal(stat(address + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_false(server_open(&b, address, NULL));
    assert_int_equal(b.rc, SLD_CONFLICT);
    server_close(&b);
    echo_once(address, NULL); // the loser's end did not take the socket away
    wait_for(&a.closed);
    assert_string_equal(a.peer, "unix");
    server_close(&a);
    assert_int_equal(stat(address + 5, &st), -1);
    assert_int_equal(stat(lock, &st), -1);
    shell("rmdir %s", dir);
}

static int bind_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_foreign_and_dead_sockets(void **state)
{
    (void)state;
    struct server live = {0}, dead = {0}, file = {0};
    char dir[64], address[96];
    make_dir(dir);
    snprintf(address, sizeof(address), "unix:%s/xds.sock", dir);
    int fd = bind_unix(address + 5);
    assert_false(server_open(&live, address, NULL)); // it answers, without a lock of ours
    assert_int_equal(live.rc, SLD_CONFLICT);
    server_close(&live);
    close(fd);
    assert_true(server_open(&dead, address, NULL));
    echo_once(address, NULL);
    wait_for(&dead.closed);
    server_close(&dead);
    shell("touch %s", address + 5);
    assert_false(server_open(&file, address, NULL));
    assert_int_equal(file.rc, SLD_CONFLICT);
    server_close(&file);
    shell("rm -r %s", dir);
}

static void test_destroy_without_start(void **state)
{
    (void)state;
    struct server s = {0};
    assert_true(server_open(&s, "127.0.0.1:0", NULL));
    server_close(&s);
    s = (struct server){.address = "127.0.0.1:0"};
    sem_init(&s.done, 0, 0);
    io_start(&s.io);
    io_do(&s.io, open_on_io, &s);
    assert_int_equal(s.rc, SLD_OK);
    server_close(&s);
    sld_grpc_server_destroy(NULL);
}

// ---- TLS ----

struct tls_test {
    struct sld_arena arena;
    char dir[64];
    struct server server;
    struct sld_grpc_tls next;
};

static struct sld_grpc_tls server_tls(struct tls_test *t, const char *name, const char *client)
{
    char pem[32], key[32], ca[32];
    snprintf(pem, sizeof(pem), "%s.pem", name);
    snprintf(key, sizeof(key), "%s.key", name);
    snprintf(ca, sizeof(ca), "%s-ca.pem", client);
    return (struct sld_grpc_tls){.cert_chain_pem = read_pem(&t->arena, t->dir, pem),
                                 .key_pem = read_pem(&t->arena, t->dir, key),
                                 .client_ca_pem = read_pem(&t->arena, t->dir, ca)};
}

// CLIENT NULL = no certificate.
static grpc_channel_credentials *client_creds(struct tls_test *t, const char *server,
                                              const char *client)
{
    char pem[32], key[32], ca[32];
    snprintf(ca, sizeof(ca), "%s-ca.pem", server);
    struct sld_str root = read_pem(&t->arena, t->dir, ca);
    if (!client)
        return grpc_ssl_credentials_create(root.p, NULL, NULL, NULL);
    snprintf(pem, sizeof(pem), "%s.pem", client);
    snprintf(key, sizeof(key), "%s.key", client);
    grpc_ssl_pem_key_cert_pair pair = {read_pem(&t->arena, t->dir, key).p,
                                       read_pem(&t->arena, t->dir, pem).p};
    return grpc_ssl_credentials_create(root.p, &pair, NULL, NULL);
}

static void tls_expect(struct tls_test *t, const char *server, const char *client, bool works)
{
    char target[64];
    grpc_channel_credentials *creds = client_creds(t, server, client);
    target_of(&t->server, target);
    if (works) {
        echo_once(target, creds);
        wait_for(&t->server.closed);
    } else {
        struct client c;
        client_open(&c, target, creds, "/t.T/Echo");
        assert_int_equal(client_status(&c), GRPC_STATUS_UNAVAILABLE);
        client_close(&c, true);
    }
    grpc_channel_credentials_release(creds);
}

static void set_next(void *arg)
{
    struct tls_test *t = arg;
    sld_grpc_server_set_tls(t->server.s, &t->next);
}

static void test_mutual_tls_and_reload(void **state)
{
    (void)state;
    struct tls_test t = {0};
    make_dir(t.dir);
    make_certs(t.dir, "srv1");
    make_certs(t.dir, "srv2");
    make_certs(t.dir, "cli1");
    make_certs(t.dir, "cli2");
    struct sld_grpc_tls first = server_tls(&t, "srv1", "cli1");
    assert_true(server_open(&t.server, "127.0.0.1:0", &first));
    tls_expect(&t, "srv1", "cli1", true);
    tls_expect(&t, "srv1", NULL, false);
    tls_expect(&t, "srv1", "cli2", false);
    tls_expect(&t, "srv2", "cli1", false);
    t.next = server_tls(&t, "srv2", "cli2");
    io_do(&t.server.io, set_next, &t);
    tls_expect(&t, "srv2", "cli2", true);
    tls_expect(&t, "srv2", "cli1", false);
    sync_io(&t.server);
    assert_int_equal(t.server.calls, 2);
    server_close(&t.server);

    struct server bad = {0};
    struct sld_grpc_tls junk = {SLD_STR("junk"), SLD_STR("junk"), SLD_STR("junk")};
    assert_false(server_open(&bad, "127.0.0.1:0", &junk));
    assert_int_equal(bad.rc, SLD_INVALID);
    server_close(&bad);
    shell("rm -r %s", t.dir);
    sld_arena_fini(&t.arena);
}

static int group_setup(void **state)
{
    (void)state;
    grpc_init(); // the clients' own use of it
    sld_log_set_level(SLD_LOG_ERROR);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    grpc_shutdown_blocking();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bidi_echo),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_big_messages_both_ways),
        cmocka_unit_test(test_message_over_the_ceiling),
        cmocka_unit_test(test_memory_of_all_connections_has_a_ceiling),
        cmocka_unit_test(test_send_waits_for_a_slow_reader),
        cmocka_unit_test(test_close_cuts_off_a_client_that_never_reads),
        cmocka_unit_test(test_client_that_vanishes),
        cmocka_unit_test(test_stop_with_open_calls),
        cmocka_unit_test(test_port_in_use),
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_unix_socket_is_not_stolen),
        cmocka_unit_test(test_foreign_and_dead_sockets),
        cmocka_unit_test(test_destroy_without_start),
        cmocka_unit_test(test_mutual_tls_and_reload),
    };
    int failed = cmocka_run_group_tests_name("core", tests, group_setup, group_teardown);
    lean = true;
    return failed + cmocka_run_group_tests_name("lean", tests, group_setup, group_teardown);
}

// Who may talk to the admin API: addresses, Host headers, tokens, certificates.
#include "admin/support.h"

#include <utime.h>

struct listening {
    struct fixture *f;
    const char *address;
    const struct sld_admin_access *access;
    int port;
    enum sld_rc rc;
    struct sld_err err;
};

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    start(f, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    stop(*state);
    sld_xfree(*state);
    return 0;
}

static void listen_on_io(void *arg)
{
    struct listening *l = arg;
    l->err = (struct sld_err){0};
    l->rc = sld_admin_listen(l->f->admin, sld_str_c(l->address), l->access, &l->port, &l->err);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256], temp[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    snprintf(temp, sizeof(temp), "%s/.%s", dir, name);
    FILE *file = fopen(temp, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(temp, path), 0);
}

static int ask(int port, const char *target, const char *host, const char *headers)
{
    char text[1024];
    int fd = dial(port);
    int n = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nhost: %s\r\nconnection: close\r\n%s\r\n",
                     target, host, headers);
    assert_int_equal(write(fd, text, (size_t)n), n);
    struct response r = read_response(fd);
    int status = r.status;
    response_free(&r);
    return status;
}

static void test_addresses(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *address;
        enum sld_rc rc;
        const char *words;
    } cases[] = {
        {"127.0.0.1:0", SLD_OK, NULL},
        {"127.0.0.2:0", SLD_OK, NULL},
        {"localhost:0", SLD_OK, NULL},
        {"0.0.0.0:0", SLD_DENIED, "--admin-token-file"},
        {":0", SLD_DENIED, "--admin-client-ca"},
        {"[::]:0", SLD_DENIED, "127.0.0.1"},
        {"10.1.2.3:9091", SLD_DENIED, "10.1.2.3:9091"},
        {"", SLD_INVALID, ""},
        {"nonsense", SLD_INVALID, "nonsense"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct listening l = {.f = f, .address = cases[i].address};
        io_do(&f->io, listen_on_io, &l);
        if (l.rc != cases[i].rc)
            fail_msg("%s gives %s: %s", cases[i].address, sld_rc_name(l.rc), l.err.msg);
        if (cases[i].words && !strstr(l.err.msg, cases[i].words))
            fail_msg("%s: %s", cases[i].address, l.err.msg);
    }
}

static void test_host(void **state)
{
    struct fixture *f = *state;
    static const char *const good[] = {"localhost", "localhost:9091", "127.0.0.1", "127.0.0.1:1",
                                       "[::1]:9091", "LOCALHOST"};
    static const char *const bad[] = {"evil.example", "evil.example:9091", "127.0.0.1.evil.example",
                                      "localhost.evil.example", "10.0.0.1", "[::2]", "[::1",
                                      "127.evil.example", ""};
    for (size_t i = 0; i < SLD_ARRAY_LEN(good); i++) {
        if (ask(f->port, "/v1/kinds", good[i], "") != 200)
            fail_msg("refused: %s", good[i]);
    }
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        if (ask(f->port, "/v1/kinds", bad[i], "") != 403)
            fail_msg("not refused: %s", bad[i]);
    }
    assert_int_equal(ask(f->port, "/livez", "evil.example", ""), 403);
}

static void test_tokens(void **state)
{
    struct fixture *f = *state;
    char dir[64], path[128];
    make_dir(dir);
    snprintf(path, sizeof(path), "%s/token", dir);
    struct sld_admin_access access = {.token_file = sld_str_c(path)};
    struct listening l = {.f = f, .address = "0.0.0.0:0", .access = &access};
    io_do(&f->io, listen_on_io, &l);
    assert_int_equal(l.rc, SLD_NOT_FOUND);
    write_file(dir, "token", "# nothing\n\n");
    io_do(&f->io, listen_on_io, &l);
    assert_int_equal(l.rc, SLD_INVALID);
    assert_non_null(strstr(l.err.msg, "no token"));
    write_file(dir, "token", "short\n");
    io_do(&f->io, listen_on_io, &l);
    assert_int_equal(l.rc, SLD_INVALID);
    write_file(dir, "token", "# old and new\n0123456789abcdef\n fedcba9876543210\r\n");
    io_do(&f->io, listen_on_io, &l);
    assert_int_equal(l.rc, SLD_OK);

    static const char *const good[] = {"authorization: Bearer 0123456789abcdef\r\n",
                                       "authorization: bearer  fedcba9876543210\r\n"};
    static const char *const bad[] = {"", "authorization: Bearer 0123456789abcdeF\r\n",
                                      "authorization: Bearer 0123456789abcde\r\n",
                                      "authorization: Bearer 0123456789abcdef0123456789abcdef\r\n",
                                      "authorization: Bearer\r\n", "authorization: Bearer \r\n",
                                      "authorization: Basic 0123456789abcdef\r\n",
                                      "authorization: Bearer # old and new\r\n",
                                      "authorization: 0123456789abcdef\r\n"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(good); i++)
        assert_int_equal(ask(l.port, "/v1/kinds", "any.example", good[i]), 200);
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        if (ask(l.port, "/v1/kinds", "localhost", bad[i]) != 401)
            fail_msg("let in: %s", bad[i]);
    }
    // Probes have no tokens; metrics and lists of endpoints need one.
    assert_int_equal(ask(l.port, "/readyz", "localhost", ""), 200);
    assert_int_equal(ask(l.port, "/livez?verbose", "localhost", ""), 200);
    assert_int_equal(ask(l.port, "/metrics", "localhost", ""), 401);
    assert_int_equal(ask(l.port, "/nothing", "localhost", ""), 401);

    // A new file counts at once; one that is gone or broken lets nobody in.
    write_file(dir, "token", "aaaaaaaaaaaaaaaaaaaaaaaa\n");
    assert_int_equal(ask(l.port, "/v1/kinds", "localhost", good[0]), 401);
    assert_int_equal(ask(l.port, "/v1/kinds", "localhost",
                         "authorization: Bearer aaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
                     200);
    unlink(path);
    assert_int_equal(ask(l.port, "/v1/kinds", "localhost",
                         "authorization: Bearer aaaaaaaaaaaaaaaaaaaaaaaa\r\n"),
                     401);
    write_file(dir, "token", "bbbbbbbbbbbbbbbbbbbbbbbb\n");
    assert_int_equal(ask(l.port, "/v1/kinds", "localhost",
                         "authorization: Bearer bbbbbbbbbbbbbbbbbbbbbbbb\r\n"),
                     200);
    shell("rm -rf %s", dir);
}

static void test_unix(void **state)
{
    struct fixture *f = *state;
    char dir[64], address[128];
    struct sld_arena a = {0};
    struct sld_err err = {0};
    struct sld_str body;
    int status = 0;
    make_dir(dir);
    snprintf(address, sizeof(address), "unix:%s/admin.sock", dir);
    char token[128];
    snprintf(token, sizeof(token), "%s/token", dir);
    write_file(dir, "token", "0123456789abcdef\n");
    // The socket is guarded by its mode: no token is asked for, and any host is good.
    struct sld_admin_access access = {.token_file = sld_str_c(token)};
    struct listening l = {.f = f, .address = address, .access = &access};
    io_do(&f->io, listen_on_io, &l);
    assert_int_equal(l.rc, SLD_OK);
    const struct sld_http_call call = {.url = SLD_STR("http://solder/v1/kinds"),
                                       .unix_socket = sld_str_c(address + 5),
                                       .timeout_ms = 60000};
    assert_int_equal(sld_http_fetch(&a, &call, &status, &body, &err), SLD_OK);
    assert_int_equal(status, 200);
    sld_arena_fini(&a);
    io_do(&f->io, close_on_io, f);
    shell("rm -rf %s", dir);
}

struct tls_case {
    struct fixture *f;
    char dir[64];
    int port;
};

static int fetch(const struct tls_case *t, const char *ca, const char *client)
{
    struct sld_arena a = {0};
    struct sld_err err = {0};
    struct sld_str body;
    int status = 0;
    struct sld_http_call call = {.timeout_ms = 60000};
    call.url = sld_arena_fmt(&a, "https://127.0.0.1:%d/v1/kinds", t->port);
    call.ca_file = sld_arena_fmt(&a, "%s/%s-ca.pem", t->dir, ca);
    if (client) {
        call.cert_file = sld_arena_fmt(&a, "%s/%s.pem", t->dir, client);
        call.key_file = sld_arena_fmt(&a, "%s/%s.key", t->dir, client);
    }
    enum sld_rc rc = sld_http_fetch(&a, &call, &status, &body, &err);
    sld_arena_fini(&a);
    return rc == SLD_OK ? status : -(int)rc;
}

static void reload_on_io(void *arg)
{
    sld_admin_reload(((struct fixture *)arg)->admin);
}

static void test_certificates(void **state)
{
    struct tls_case t = {.f = *state};
    struct sld_arena a = {0};
    make_dir(t.dir);
    make_certs(t.dir, "one");
    make_certs(t.dir, "two");
    shell("cd %s && cp one.pem cert.pem && cp one.key cert.key", t.dir);
    struct sld_admin_access access = {
        .cert_file = sld_arena_fmt(&a, "%s/cert.pem", t.dir),
        .key_file = sld_arena_fmt(&a, "%s/cert.key", t.dir),
    };
    struct listening l = {.f = t.f, .address = "0.0.0.0:0", .access = &access};
    // A certificate of ours says nothing about who comes.
    io_do(&t.f->io, listen_on_io, &l);
    assert_int_equal(l.rc, SLD_DENIED);
    access.client_ca_file = sld_arena_fmt(&a, "%s/two-ca.pem", t.dir);
    io_do(&t.f->io, listen_on_io, &l);
    assert_int_equal(l.rc, SLD_OK);
    t.port = l.port;
    assert_int_equal(fetch(&t, "one", "two"), 200);
    assert_true(fetch(&t, "one", NULL) < 0);
    assert_true(fetch(&t, "one", "one") < 0);
    assert_true(fetch(&t, "two", "two") < 0);
    // Rotated: connections to come get the new one. What cannot be used changes nothing.
    shell("cd %s && cp two.pem cert.pem", t.dir);
    io_do(&t.f->io, reload_on_io, t.f);
    assert_int_equal(fetch(&t, "one", "two"), 200);
    shell("cd %s && cp two.key cert.key", t.dir);
    io_do(&t.f->io, reload_on_io, t.f);
    assert_int_equal(fetch(&t, "two", "two"), 200);
    assert_true(fetch(&t, "one", "two") < 0);
    // Halves are refused.
    access.key_file = SLD_STR_NONE;
    io_do(&t.f->io, listen_on_io, &l);
    assert_int_equal(l.rc, SLD_INVALID);
    access.cert_file = SLD_STR_NONE;
    io_do(&t.f->io, listen_on_io, &l);
    assert_int_equal(l.rc, SLD_INVALID);
    sld_arena_fini(&a);
    shell("rm -rf %s", t.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_host, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unix, setup, teardown),
        cmocka_unit_test_setup_teardown(test_certificates, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// The client of Consul: addresses and credentials, calls, and watches against a peer that does what
// agents do (core/source/consul/client.h).
#include "source/client_world.h"
#include "source/consul/consul.h"

static void watch(struct world *x)
{
    io_do(&x->peer.io, watch_on_io, x);
}

// Watches; the first answer, BODY at INDEX, was told.
static void watch_from(struct world *x, long index, const char *body)
{
    watch(x);
    expect_index(x, 0);
    peer_reply(&x->peer, 200, index, body);
    wait_for(&x->told);
}

// ---- Calls ----

static void a_call_says_what_was_asked(void **state)
{
    (void)state;
    struct world x;
    struct asked a;
    world_init(&x);
    x.consul.token = "secret-token";
    x.consul.username = "u";
    x.consul.password = "p:1";
    x.consul.datacenter = "dc 2";
    io_do(&x.peer.io, get_on_io, &x);
    const struct sld_consul_param params[] = {{SLD_STR("recurse"), SLD_STR_NONE},
                                              {SLD_STR("cas"), SLD_STR("a&b=c/ü")}};
    ask(&x, (struct sld_consul_query){.method = SLD_STR("PUT"),
                                      .path = SLD_STR("/v1/kv/gloo/a b%/ü?"),
                                      .params = params,
                                      .param_count = 2,
                                      .body = SLD_STR("value"),
                                      .consistency = SLD_CONSUL_STALE,
                                      .cached = true});
    peer_asked(&x.peer, &a);
    assert_string_equal(a.method, "PUT");
    assert_string_equal(a.path, "/v1/kv/gloo/a b%/ü?");
    assert_string_equal(a.query, "recurse&cas=a%26b%3Dc%2F%C3%BC&dc=dc%202&stale&cached");
    assert_string_equal(a.body, "value");
    assert_string_equal(a.token, "secret-token");
    assert_string_equal(a.authorization, "Basic dTpwOjE=");
    assert_string_equal(a.encoding, ""); // on one machine packing costs more than it saves
    struct reply r = {&x.peer, 200, 17, "true\n", "x-consul-lastcontact", "5"};
    io_do(&x.peer.io, reply_on_io, &r);
    wait_for(&x.told);
    assert_int_equal(x.status, 200);
    assert_int_equal(x.index, 17);
    assert_int_equal(x.last_contact, 5);
    assert_true(x.known_leader);
    assert_false(x.filtered);
    assert_string_equal(x.body, "true\n");
    // A parameter of the caller's own stands instead of the settings'.
    const struct sld_consul_param dc = {SLD_STR("dc"), SLD_STR("dc3")};
    ask(&x, (struct sld_consul_query){.path = SLD_STR("/v1/kv/x"),
                                      .params = &dc,
                                      .param_count = 1,
                                      .consistency = SLD_CONSUL_CONSISTENT});
    assert_string_equal(peer_asked(&x.peer, &a)->query, "dc=dc3&consistent");
    struct reply filtered = {&x.peer, 404, 17, "", "X-Consul-Results-Filtered-By-Acls", "true"};
    io_do(&x.peer.io, reply_on_io, &filtered);
    wait_for(&x.told);
    assert_int_equal(x.status, 404);
    assert_int_equal(x.rc, SLD_OK);
    assert_true(x.filtered);
    teardown(&x);
}

static void statuses_are_errors_with_consuls_words(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum sld_rc rc;
        const char *words;
    } rows[] = {
        {403, "Permission denied: token lacks 'key:read'\n", SLD_DENIED, "lacks 'key:read'"},
        {403, "ACL not found", SLD_DENIED, "CONSUL_HTTP_TOKEN"},
        {429, "", SLD_AGAIN, "200 connections"},
        {409, "{\"Errors\":[]}", SLD_CONFLICT, "409"},
        {413, "too large", SLD_LIMIT, "too large"},
        {400, "bad wait", SLD_INVALID, "bad wait"},
        {500, "No cluster leader", SLD_IO, "No cluster leader"},
        {503, "\xff\xfe", SLD_IO, "503"},
    };
    struct world x;
    struct asked a;
    setup(&x);
    for (size_t i = 0; i < SLD_ARRAY_LEN(rows); i++) {
        ask(&x, (struct sld_consul_query){.path = SLD_STR("/v1/kv/x")});
        peer_asked(&x.peer, &a);
        peer_reply(&x.peer, rows[i].status, 0, rows[i].body);
        wait_for(&x.told);
        assert_int_equal(x.rc, rows[i].rc);
        assert_non_null(strstr(x.message, rows[i].words));
        assert_true(sld_str_utf8(sld_str_c(x.message), NULL));
    }
    teardown(&x);
}

// ---- Where the agent is ----

static void name_on_io(void *arg)
{
    struct world *x = arg;
    struct sld_err err = {0};
    struct sld_consul *c = NULL;
    x->rc = sld_consul_get(x->peer.io.loop, SLD_STR_NONE, &x->settings, &c, &err);
    snprintf(x->message, sizeof(x->message), "%s", err.msg);
    if (x->rc == SLD_OK) {
        snprintf(x->body, sizeof(x->body), "%.*s", SLD_FMT(sld_consul_name(c)));
        sld_consul_release(c);
    }
}

static void the_address_comes_from_settings_environment_or_default(void **state)
{
    (void)state;
    static const struct {
        const char *setting, *old, *variable, *ssl, *name; // NAME NULL: refused
    } rows[] = {
        {"", "", NULL, NULL, "http://127.0.0.1:8500"},
        {"", "", "consul:8501", NULL, "http://consul:8501"},
        {"", "", "consul", "true", "https://consul:8500"},
        {"", "", "https://consul:8501/", NULL, "https://consul:8501"},
        {"", "", "unix:///run/consul.sock", NULL, "/run/consul.sock"},
        {"a:1", "b:2", "c:3", NULL, "http://a:1"},
        {"", "b:2", "c:3", NULL, "http://b:2"},
        {"[::1]:8500", "", NULL, NULL, "http://[::1]:8500"},
        {"http://a:1", "", NULL, "1", "http://a:1"},
        {"a:0", "", NULL, NULL, NULL},
        {"a:b", "", NULL, NULL, NULL},
        {"ftp://a", "", NULL, NULL, NULL},
        {"user@a:1", "", NULL, NULL, NULL},
        {"a b", "", NULL, NULL, NULL},
        {"unix://relative", "", NULL, NULL, NULL},
        {":8500", "", NULL, NULL, NULL},
    };
    struct world x;
    world_init(&x);
    for (size_t i = 0; i < SLD_ARRAY_LEN(rows); i++) {
        x.consul.http_address = (char *)(uintptr_t)rows[i].setting;
        x.consul.address = (char *)(uintptr_t)rows[i].old;
        if (rows[i].variable)
            setenv("CONSUL_HTTP_ADDR", rows[i].variable, 1);
        if (rows[i].ssl)
            setenv("CONSUL_HTTP_SSL", rows[i].ssl, 1);
        io_do(&x.peer.io, name_on_io, &x);
        unsetenv("CONSUL_HTTP_ADDR");
        unsetenv("CONSUL_HTTP_SSL");
        if (rows[i].name) {
            assert_int_equal(x.rc, SLD_OK);
            assert_string_equal(x.body, rows[i].name);
        } else {
            assert_int_equal(x.rc, SLD_INVALID);
            assert_non_null(strstr(x.message, "no address of a Consul agent"));
        }
    }
    peer_stop(&x.peer);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void the_token_file_is_read_again(void **state)
{
    (void)state;
    struct world x;
    struct asked a;
    char dir[64], path[128], next[128];
    make_dir(dir);
    snprintf(path, sizeof(path), "%s/token", dir);
    snprintf(next, sizeof(next), "%s/next", dir);
    write_file(path, "one\n");
    setenv("CONSUL_HTTP_TOKEN_FILE", path, 1);
    setenv("CONSUL_HTTP_TOKEN", "of the variable", 1);
    setenv("CONSUL_HTTP_AUTH", "user:pass", 1);
    setenv("CONSUL_NAMESPACE", "n", 1);
    setenv("CONSUL_PARTITION", "p", 1);
    setup(&x);
    struct sld_consul_query q = {.path = SLD_STR("/v1/kv/x")};
    ask(&x, q);
    assert_string_equal(peer_asked(&x.peer, &a)->token, "one");
    assert_string_equal(a.query, "ns=n&partition=p");
    assert_string_equal(a.authorization, "Basic dXNlcjpwYXNz");
    write_file(next, "two");
    assert_int_equal(rename(next, path), 0);
    ask(&x, q);
    assert_string_equal(peer_asked(&x.peer, &a)->token, "two");
    write_file(path, ""); // being written
    ask(&x, q);
    assert_string_equal(peer_asked(&x.peer, &a)->token, "two");
    unlink(path);
    ask(&x, q);
    assert_string_equal(peer_asked(&x.peer, &a)->token, "two");
    teardown(&x);
    unsetenv("CONSUL_HTTP_TOKEN_FILE");
    // Without the file the variable counts; a token of the settings before both.
    setup(&x);
    ask(&x, q);
    assert_string_equal(peer_asked(&x.peer, &a)->token, "of the variable");
    teardown(&x);
    shell("rm -r %s", dir);
    unsetenv("CONSUL_HTTP_TOKEN");
    unsetenv("CONSUL_HTTP_AUTH");
    unsetenv("CONSUL_NAMESPACE");
    unsetenv("CONSUL_PARTITION");
}

static void tls_on_io(void *arg)
{
    struct world *x = arg;
    struct sld_err err = {0};
    char url[80];
    snprintf(url, sizeof(url), "https://%s", x->peer.address);
    assert_int_equal(sld_consul_get(x->peer.io.loop, sld_str_c(url), &x->settings, &x->c, &err),
                     SLD_OK);
}

static void a_server_is_trusted_by_its_authority(void **state)
{
    (void)state;
    struct world x;
    struct asked a;
    char dir[64], ca[128], cert[128], key[128], authorities[128];
    struct sld_arena arena = {0};
    make_dir(dir);
    make_certs(dir, "server");
    make_certs(dir, "client");
    shell("mkdir %s/authorities && cp %s/server-ca.pem %s/authorities", dir, dir, dir);
    snprintf(ca, sizeof(ca), "%s/server-ca.pem", dir);
    snprintf(authorities, sizeof(authorities), "%s/authorities", dir);
    snprintf(cert, sizeof(cert), "%s/client.pem", dir);
    snprintf(key, sizeof(key), "%s/client.key", dir);
    struct sld_http_tls tls = {.cert_chain_pem = read_pem(&arena, dir, "server.pem"),
                               .key_pem = read_pem(&arena, dir, "server.key"),
                               .client_ca_pem = read_pem(&arena, dir, "client-ca.pem")};
    for (int i = 0; i < 4; i++) {
        world_init(&x);
        peer_stop(&x.peer);
        x.peer = (struct peer){.tls = &tls};
        peer_start(&x.peer);
        x.consul.cert_file = cert;
        x.consul.key_file = key;
        if (i == 0)
            x.consul.ca_file = ca;
        if (i == 1)
            x.consul.ca_path = authorities;
        if (i == 2)
            setenv("CONSUL_HTTP_SSL_VERIFY", "false", 1);
        io_do(&x.peer.io, tls_on_io, &x);
        unsetenv("CONSUL_HTTP_SSL_VERIFY");
        ask(&x, (struct sld_consul_query){.path = SLD_STR("/v1/kv/x")});
        if (i < 3) {
            peer_asked(&x.peer, &a);
            peer_reply(&x.peer, 200, 1, "[]");
            wait_for(&x.told);
            assert_int_equal(x.rc, SLD_OK);
        } else { // nobody vouches for it
            wait_for(&x.told);
            assert_int_equal(x.rc, SLD_DENIED);
        }
        teardown(&x);
    }
    sld_arena_fini(&arena);
    shell("rm -r %s", dir);
}

static void shared_on_io(void *arg)
{
    struct world *x = arg;
    struct sld_err err = {0};
    struct sld_consul *again = NULL, *other = NULL;
    char url[80];
    snprintf(url, sizeof(url), "http://%s/", x->peer.address);
    assert_int_equal(sld_consul_get(x->peer.io.loop, sld_str_c(url), &x->settings, &again, &err),
                     SLD_OK);
    assert_ptr_equal(again, x->c);
    assert_int_equal(
        sld_consul_get(x->peer.io.loop, SLD_STR("127.0.0.1:1"), &x->settings, &other, &err),
        SLD_OK);
    assert_ptr_not_equal(other, x->c);
    sld_consul_release(other);
    sld_consul_release(again);
}

static void one_agent_is_shared(void **state)
{
    (void)state;
    struct world x;
    struct asked a;
    setup(&x);
    io_do(&x.peer.io, shared_on_io, &x);
    ask(&x, (struct sld_consul_query){.path = SLD_STR("/v1/kv/x")}); // still there
    peer_asked(&x.peer, &a);
    teardown(&x); // with a call that nobody answered
}

// ---- Watches ----

static void a_watch_tells_what_changed(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    watch_from(&x, 10, "[1]");
    assert_string_equal(x.body, "[1]");
    assert_false(x.went_back);
    expect_index(&x, 10);
    peer_reply(&x.peer, 200, 10, "[1]"); // it waited in vain
    expect_index(&x, 10);
    peer_reply(&x.peer, 200, 15, "[1]"); // something else was written
    expect_index(&x, 15);
    peer_reply(&x.peer, 200, 16, "[2]");
    wait_for(&x.told);
    assert_string_equal(x.body, "[2]");
    assert_int_equal(x.index, 16);
    assert_int_equal(x.told_count, 2);
    expect_index(&x, 16);
    peer_reply(&x.peer, 404, 17, "");
    wait_for(&x.told);
    assert_int_equal(x.status, 404);
    expect_index(&x, 17);
    peer_reply(&x.peer, 404, 18, ""); // an empty prefix wakes for every write anywhere
    expect_index(&x, 18);
    assert_int_equal(x.told_count, 3);
    assert_int_equal(x.problem_count, 0);
    teardown(&x);
}

static void an_index_that_went_back_is_told(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    watch_from(&x, 387, "[1]");
    expect_index(&x, 387);
    peer_reply(&x.peer, 404, 18, "");
    wait_for(&x.told);
    assert_true(x.went_back);
    expect_index(&x, 18);
    peer_reply(&x.peer, 200, 19, "[1]");
    wait_for(&x.told);
    assert_false(x.went_back);
    expect_index(&x, 19);
    // With the same answer it is no news.
    peer_reply(&x.peer, 200, 3, "[1]");
    expect_index(&x, 3);
    peer_reply(&x.peer, 200, 4, "[2]");
    wait_for(&x.told);
    assert_false(x.went_back);
    assert_int_equal(x.told_count, 4);
    teardown(&x);
}

static void lost_rights_are_news_without_an_index(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    watch_from(&x, 10, "[]");
    expect_index(&x, 10);
    struct reply r = {&x.peer, 200, 10, "[]", "X-Consul-Results-Filtered-By-ACLs", "true"};
    io_do(&x.peer.io, reply_on_io, &r);
    wait_for(&x.told);
    assert_true(x.filtered);
    teardown(&x);
}

static void failures_are_told_and_waited_out(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    watch_from(&x, 10, "[1]");
    // Once is a stumble: an election, a connection that was idle too long.
    expect_index(&x, 10);
    peer_reply(&x.peer, 500, 0, "No cluster leader");
    expect_index(&x, 0); // it may have lost what it had: no waiting for an index it never reaches
    peer_reply(&x.peer, 200, 11, "[1]");
    expect_index(&x, 11);
    assert_int_equal(x.problem_count, 0);
    peer_reply(&x.peer, 500, 0, "No cluster leader");
    expect_index(&x, 0);
    peer_reply(&x.peer, 429, 0, "");
    wait_for(&x.problem);
    assert_int_equal(x.rc, SLD_AGAIN);
    expect_index(&x, 0);
    peer_reply(&x.peer, 200, 11, "[1]");
    wait_for(&x.problem); // well again, and nothing new
    assert_int_equal(x.rc, SLD_OK);
    assert_int_equal(x.told_count, 1);
    // A refusal is told at once.
    expect_index(&x, 11);
    peer_reply(&x.peer, 403, 0, "ACL not found");
    wait_for(&x.problem);
    assert_int_equal(x.rc, SLD_DENIED);
    assert_non_null(strstr(x.message, "ACL not found"));
    expect_index(&x, 11);
    peer_reply(&x.peer, 200, 12, "[2]");
    wait_for(&x.problem);
    wait_for(&x.told);
    assert_string_equal(x.body, "[2]");
    teardown(&x);
}

static void failures_are_waited_out_longer_each_time(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    watch(&x);
    expect_index(&x, 0);
    uint64_t began = sld_mono_ns();
    for (int i = 0; i < 3; i++) {
        peer_reply(&x.peer, 500, 0, "No cluster leader");
        expect_index(&x, 0);
    }
    at_least(began, (250 + 500 + 1000) * 3 / 4);
    teardown(&x);
}

static void what_changes_all_the_time_is_asked_for_at_times(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    watch(&x);
    expect_index(&x, 0);
    uint64_t began = sld_mono_ns();
    for (long i = 1; i <= 40; i++) {
        char body[16];
        snprintf(body, sizeof(body), "[%ld]", i);
        peer_reply(&x.peer, 200, i, body);
        wait_for(&x.told);
        expect_index(&x, i);
    }
    at_least(began, (40 - 20) * 50 - 50); // twenty are free
    teardown(&x);
}

static void an_answer_can_be_refused(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    x.refuse_next = true;
    watch(&x);
    expect_index(&x, 0);
    peer_reply(&x.peer, 200, 10, "garbage");
    expect_index(&x, 0);
    x.refuse_next = true;
    peer_reply(&x.peer, 200, 10, "garbage");
    wait_for(&x.problem); // once would be a stumble
    assert_int_equal(x.rc, SLD_IO);
    assert_non_null(strstr(x.message, "/v1/kv/gloo/: no list of keys"));
    expect_index(&x, 0);
    peer_reply(&x.peer, 200, 10, "[1]");
    wait_for(&x.told);
    wait_for(&x.problem);
    assert_int_equal(x.rc, SLD_OK);
    assert_int_equal(x.problem_count, 2);
    expect_index(&x, 10);
    teardown(&x);
}

static void a_watch_goes_on_where_another_was(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    x.from = 10;
    x.every_index = true;
    watch(&x);
    expect_index(&x, 10);
    peer_reply(&x.peer, 200, 11, "[1]");
    wait_for(&x.told);
    assert_false(x.went_back);
    expect_index(&x, 11);
    peer_reply(&x.peer, 200, 12, "[1]"); // the same, but it was asked for each index
    wait_for(&x.told);
    expect_index(&x, 12);
    peer_reply(&x.peer, 200, 12, "[1]");
    expect_index(&x, 12);
    assert_int_equal(x.told_count, 2);
    teardown(&x);
}

static void another_server_is_not_taken_for_an_agent(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    watch(&x);
    expect_index(&x, 0);
    peer_reply(&x.peer, 404, 0, "not found");
    wait_for(&x.problem);
    assert_int_equal(x.rc, SLD_INVALID);
    assert_non_null(strstr(x.message, "without X-Consul-Index"));
    assert_int_equal(x.told_count, 0);
    teardown(&x);
}

static void an_agent_that_leaves_answers_at_once(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    watch_from(&x, 10, "[1]");
    uint64_t began = sld_mono_ns();
    for (int i = 0; i < 3; i++) {
        expect_index(&x, 10);
        peer_reply(&x.peer, 200, 10, "[1]");
    }
    expect_index(&x, 10);
    at_least(began, (250 + 500 + 1000) * 3 / 4);
    peer_reply(&x.peer, 200, 11, "[2]");
    wait_for(&x.told);
    assert_int_equal(x.told_count, 2);
    assert_int_equal(x.problem_count, 0);
    teardown(&x);
}

static void pause_on_io(void *arg)
{
    struct world *x = arg;
    sld_consul_watch_pause(x->w);
}

static void resume_on_io(void *arg)
{
    struct world *x = arg;
    sld_consul_watch_resume(x->w);
}

static void again_on_io(void *arg)
{
    struct world *x = arg;
    sld_consul_watch_again(x->w);
}

static void a_watch_can_be_stopped_and_asked_again(void **state)
{
    (void)state;
    struct world x;
    setup(&x);
    watch_from(&x, 10, "[1]");
    expect_index(&x, 10);
    io_do(&x.peer.io, pause_on_io, &x);
    io_do(&x.peer.io, resume_on_io, &x);
    expect_index(&x, 10);
    io_do(&x.peer.io, again_on_io, &x);
    expect_index(&x, 0);
    peer_reply(&x.peer, 200, 10, "[1]");
    wait_for(&x.told); // though it is as it was
    x.stop_in_answer = true;
    expect_index(&x, 10);
    peer_reply(&x.peer, 200, 11, "[2]");
    wait_for(&x.told);
    assert_null(x.w);
    assert_int_equal(x.peer.seen, 5);
    teardown(&x);
}

static void configure_on_io(void *arg)
{
    struct world *x = arg;
    struct sld_err err = {0};
    x->rc = sld_consul_configure(x->c, &x->settings, &err);
}

static void new_settings_count_at_once(void **state)
{
    (void)state;
    struct world x;
    struct asked a;
    setup(&x);
    x.consul.token = "one";
    io_do(&x.peer.io, configure_on_io, &x);
    watch(&x);
    assert_string_equal(peer_asked(&x.peer, &a)->token, "one");
    peer_reply(&x.peer, 200, 10, "[1]");
    wait_for(&x.told);
    expect_index(&x, 10);
    io_do(&x.peer.io, configure_on_io, &x); // nothing new
    x.consul.token = "two";
    io_do(&x.peer.io, configure_on_io, &x);
    assert_string_equal(peer_asked(&x.peer, &a)->token, "two"); // though the former still waits
    assert_int_equal(asked_index(&a), 0);
    peer_reply(&x.peer, 200, 10, "[1]");
    expect_index(&x, 10);
    assert_int_equal(x.told_count, 1);
    assert_int_equal(x.peer.seen, 4);
    teardown(&x);
}

// How long a watch lets Consul hold its question, with these of the settings, in seconds; 0: they do not say.
static unsigned long held_ms(int64_t refresh, int64_t wait)
{
    Google__Protobuf__Duration of[2] = {GOOGLE__PROTOBUF__DURATION__INIT, GOOGLE__PROTOBUF__DURATION__INIT};
    struct world x;
    struct asked a;
    of[0].seconds = refresh;
    of[1].seconds = wait;
    world_init(&x);
    x.settings.refresh_rate = refresh ? &of[0] : NULL;
    x.consul.wait_time = wait ? &of[1] : NULL;
    io_do(&x.peer.io, get_on_io, &x);
    watch(&x);
    for (unsigned index = 10; index < 12; index++) { // the first that waits does not wait long
        peer_asked(&x.peer, &a);
        peer_reply(&x.peer, 200, index, index == 10 ? "[1]" : "[2]");
        wait_for(&x.told);
    }
    const char *said = strstr(peer_asked(&x.peer, &a)->query, "&wait=");
    assert_non_null(said);
    unsigned long ms = strtoul(said + strlen("&wait="), NULL, 10);
    teardown(&x);
    return ms;
}

static void questions_are_held_as_settings_say(void **state)
{
    (void)state;
    assert_in_range(held_ms(0, 0), 54000, 60000); // up to a tenth less
    assert_in_range(held_ms(7, 0), 6300, 7000);
    assert_in_range(held_ms(7, 20), 18000, 20000);
}

// ---- Without a loop, and farewells ----

struct fetch {
    struct world *x;
    struct sld_arena a;
    enum sld_rc rc;
    struct sld_consul_answer answer;
    struct sld_err err;
};

static void *fetch_main(void *arg)
{
    struct fetch *f = arg;
    struct sld_consul_query q = {.path = SLD_STR("/v1/kv/x")};
    f->rc = sld_consul_fetch(&f->a, sld_str_c(f->x->peer.address), &f->x->settings, &q, &f->answer,
                             &f->err);
    return NULL;
}

static void a_command_line_asks_without_a_loop(void **state)
{
    (void)state;
    struct world x;
    struct asked a;
    pthread_t t;
    setup(&x);
    struct fetch f = {.x = &x};
    assert_int_equal(pthread_create(&t, NULL, fetch_main, &f), 0);
    peer_asked(&x.peer, &a);
    peer_reply(&x.peer, 403, 0, "Permission denied");
    pthread_join(t, NULL);
    assert_int_equal(f.rc, SLD_DENIED);
    assert_non_null(strstr(f.err.msg, "Permission denied"));
    sld_arena_fini(&f.a);
    f = (struct fetch){.x = &x};
    assert_int_equal(pthread_create(&t, NULL, fetch_main, &f), 0);
    peer_asked(&x.peer, &a);
    peer_reply(&x.peer, 200, 1, "[3]");
    pthread_join(t, NULL);
    assert_int_equal(f.rc, SLD_OK);
    assert_true(sld_str_eq(f.answer.body, SLD_STR("[3]")));
    sld_arena_fini(&f.a);
    teardown(&x);
}

static void farewell_on_io(void *arg)
{
    struct world *x = arg;
    struct sld_consul_query q = {
        .method = SLD_STR("PUT"), .path = SLD_STR("/v1/session/destroy/1"), .timeout_ms = 5000};
    sld_consul_send(x->c, &q, 1);
    sld_consul_release(x->c); // the farewell outlives it
    x->c = NULL;
}

static void a_farewell_outlives_its_agent(void **state)
{
    (void)state;
    struct world x;
    struct asked a;
    world_init(&x);
    x.consul.token = "t";
    io_do(&x.peer.io, get_on_io, &x);
    io_do(&x.peer.io, farewell_on_io, &x);
    assert_string_equal(peer_asked(&x.peer, &a)->path, "/v1/session/destroy/1");
    assert_string_equal(a.token, "t");
    assert_string_equal(a.method, "PUT");
    peer_reply(&x.peer, 200, 0, "true");
    peer_stop(&x.peer);
}

// Also where nothing says where it is.
static void plugins_reach_the_agent_as_solder_does(void **state)
{
    Gloo__Settings s = GLOO__SETTINGS__INIT;
    Gloo__ConsulConfiguration c = GLOO__CONSUL_CONFIGURATION__INIT;
    struct sld_arena a = {0};
    struct sld_http_place p = {.insecure = false};
    struct sld_err err = {0};
    char address[] = "h:1", token[] = "t", dc[] = "d c";
    (void)state;
    assert_int_equal(sld_consul_reach(&a, &s, &p, &err), SLD_NOT_FOUND);
    s.consul = &c;
    c.http_address = address;
    c.token = token;
    c.datacenter = dc;
    assert_int_equal(sld_consul_reach(&a, &s, &p, &err), SLD_OK);
    assert_true(sld_str_eq(p.base, SLD_STR("http://h:1")) && sld_str_eq(p.token, SLD_STR("t")));
    assert_true(sld_str_eq(p.token_header, SLD_STR("X-Consul-Token")) && sld_str_eq(p.params, SLD_STR("dc=d%20c")));
    sld_arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plugins_reach_the_agent_as_solder_does), cmocka_unit_test(a_call_says_what_was_asked),
        cmocka_unit_test(statuses_are_errors_with_consuls_words),
        cmocka_unit_test(the_address_comes_from_settings_environment_or_default),
        cmocka_unit_test(the_token_file_is_read_again),
        cmocka_unit_test(a_server_is_trusted_by_its_authority),
        cmocka_unit_test(one_agent_is_shared),
        cmocka_unit_test(a_watch_tells_what_changed),
        cmocka_unit_test(an_index_that_went_back_is_told),
        cmocka_unit_test(lost_rights_are_news_without_an_index),
        cmocka_unit_test(failures_are_told_and_waited_out),
        cmocka_unit_test(failures_are_waited_out_longer_each_time),
        cmocka_unit_test(what_changes_all_the_time_is_asked_for_at_times),
        cmocka_unit_test(an_answer_can_be_refused),
        cmocka_unit_test(a_watch_goes_on_where_another_was),
        cmocka_unit_test(another_server_is_not_taken_for_an_agent),
        cmocka_unit_test(an_agent_that_leaves_answers_at_once),
        cmocka_unit_test(a_watch_can_be_stopped_and_asked_again),
        cmocka_unit_test(new_settings_count_at_once),
        cmocka_unit_test(questions_are_held_as_settings_say),
        cmocka_unit_test(a_command_line_asks_without_a_loop),
        cmocka_unit_test(a_farewell_outlives_its_agent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

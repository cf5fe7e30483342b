// Documents in Consul from the command line, against a peer that answers what no agent in health
// does (core/source/consul/store.c); addresses in Consul (place.c).
#include "net/support.h"

#include "net/http.h"
#include "source/consul/consul.h"
#include "source/store.h"

#include "settings.pb-c.h"

static const Gloo__Settings settings = GLOO__SETTINGS__INIT;
static const struct sld_store_expect none = {.version = {"", 0}};
static const struct sld_store_expect any = {0};

// Answers requests in the order of a script.
struct script {
    const char *asked; // "GET /v1/kv/gloo/?recurse&consistent": method, path and query
    int status;
    const char *body;
};

struct world {
    struct io_thread io;
    struct sld_http_server *server;
    int port;
    const struct script *script;
    unsigned next;
    char seen[256], body[256]; // the last request
    struct sld_store *store;
    struct sld_arena arena;
    struct sld_err err;
};

static void handle(struct sld_http_request *rq, void *user)
{
    struct world *w = user;
    const struct script *s = &w->script[w->next++];
    struct sld_str query = sld_http_query_text(rq);
    snprintf(w->seen, sizeof(w->seen), "%.*s %.*s%s%.*s", SLD_FMT(sld_http_method(rq)),
             SLD_FMT(sld_http_path(rq)), query.n ? "?" : "", SLD_FMT(query));
    snprintf(w->body, sizeof(w->body), "%.*s", SLD_FMT(sld_http_body(rq)));
    if (!s->asked || strcmp(s->asked, w->seen) != 0) {
        fprintf(stderr, "asked: %s\nexpected: %s\n", w->seen, s->asked ? s->asked : "nothing");
        sld_http_respond(rq, 599, SLD_STR("text/plain"), NULL, 0, SLD_STR("not in the script"));
        return;
    }
    sld_http_respond(rq, s->status, SLD_STR("application/json"), NULL, 0, sld_str_c(s->body));
}

static void open_on_io(void *arg)
{
    struct world *w = arg;
    w->server = sld_http_server_create(w->io.loop, NULL, handle, w);
    assert_int_equal(
        sld_http_server_listen(w->server, SLD_STR("127.0.0.1:0"), NULL, &w->port, &w->err), SLD_OK);
}

static void close_on_io(void *arg)
{
    struct world *w = arg;
    sld_http_server_destroy(w->server);
}

static int setup(void **state)
{
    struct world *w = SLD_NEW(struct world);
    char address[64];
    io_start(&w->io);
    io_do(&w->io, open_on_io, w);
    snprintf(address, sizeof(address), "consul://127.0.0.1:%d/gloo/", w->port);
    assert_int_equal(
        sld_consul_store_ops.open(sld_str_c(address), &settings, &w->store, &w->err), SLD_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    sld_consul_store_ops.close(w->store);
    io_do(&w->io, close_on_io, w);
    io_stop(&w->io);
    sld_arena_fini(&w->arena);
    sld_xfree(w);
    return 0;
}

static void play(struct world *w, const struct script *s)
{
    w->script = s;
    w->next = 0;
    w->err = (struct sld_err){0};
}

static bool told(const struct world *w, const char *words)
{
    if (strstr(w->err.msg, words))
        return true;
    fprintf(stderr, "told: %s\nexpected: %s\n", w->err.msg, words);
    return false;
}

static const struct sld_ident u = {
    SLD_KIND_UPSTREAM, SLD_STR_INIT("gloo-system"), SLD_STR_INIT("u")};

#define LIST "GET /v1/kv/gloo/?recurse&consistent"
#define KEY "/v1/kv/gloo/gloo.solo.io/v1/Upstream/gloo-system/u"
#define ITEM(index, value)                                                                         \
    "{\"LockIndex\":0,\"Key\":\"gloo/gloo.solo.io/v1/Upstream/gloo-system/u\",\"Flags\":0,"        \
    "\"Value\":" value ",\"CreateIndex\":1,\"ModifyIndex\":" index "}"

static enum sld_rc get(struct world *w, struct sld_store_doc *out)
{
    return w->store->ops->get(w->store, &w->arena, u, out, &w->err);
}

static enum sld_rc put(struct world *w, const char *text, const struct sld_store_expect *expect)
{
    return w->store->ops->put(w->store, &w->arena, u, sld_str_c(text), expect, NULL, &w->err);
}

static void count(const struct sld_store_doc *doc, void *arg)
{
    (void)doc;
    ++*(unsigned *)arg;
}

static enum sld_rc each(struct world *w, unsigned *n)
{
    *n = 0;
    return w->store->ops->each(w->store, SLD_KIND_COUNT, SLD_STR_NONE, count, n, &w->err);
}

// ---- Answers that are none ----

static void an_answer_that_was_cut_is_no_list(void **state)
{
    struct world *w = *state;
    unsigned n;
    static const char *const bodies[] = {
        "",
        "[",
        "[" ITEM("7", "\"YTog"),
        "[" ITEM("7", "\"YTogMQ==\""),
        "[]", // Consul says 404
        "{}",
        "<html>It works!</html>",
        "[{\"Key\":\"gloo/x\"}]",
        "[{\"Key\":\"elsewhere/x\",\"Value\":null,\"ModifyIndex\":7}]",
        "[{\"Key\":\"gloo\",\"Value\":null,\"ModifyIndex\":7}]",
        "[{\"Key\":\"gloo2/x\",\"Value\":null,\"ModifyIndex\":7}]",
        "[" ITEM("7", "\"%%%\"") "]",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(bodies); i++) {
        const struct script s[] = {{LIST, 200, bodies[i]}, {0}};
        play(w, s);
        assert_int_equal(each(w, &n), SLD_IO);
        assert_int_equal(n, 0);
        assert_true(told(w, "is not what Consul says"));
    }
    const struct script s[] = {{LIST, 200, "[" ITEM("7", "\"YTogMQ==\"") "]\n"}, {0}};
    play(w, s);
    assert_int_equal(each(w, &n), SLD_OK);
    assert_int_equal(n, 1);
}

static void answers_with_errors(void **state)
{
    struct world *w = *state;
    unsigned n;
    static const struct {
        int status;
        const char *body, *words;
        enum sld_rc rc;
    } cases[] = {
        {403, "Permission denied\n", "Consul answered 403: Permission denied; mend the token", SLD_DENIED},
        {429, "Your IP is issuing too many concurrent connections", "200 connections", SLD_AGAIN},
        {500, "No cluster leader", "Consul answered 500: No cluster leader", SLD_IO},
        {503, "", "Consul answered 503", SLD_IO},
        {400, "no", "Consul answered 400: no", SLD_INVALID},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        const struct script s[] = {{LIST, cases[i].status, cases[i].body}, {0}};
        play(w, s);
        assert_int_equal(each(w, &n), cases[i].rc);
        assert_true(told(w, cases[i].words) && told(w, "consul://127.0.0.1:"));
    }
    for (size_t i = 0; i < 3; i++) {
        static const char *const bodies[] = {"", "tru", "null"};
        const struct script s[] = {{"PUT " KEY, 200, bodies[i]}, {0}};
        play(w, s);
        assert_int_equal(put(w, "a: 1", &any), SLD_IO);
        assert_true(told(w, "is not what Consul says"));
    }
}

// ---- Reading and writing ----

static void all_is_read_once(void **state)
{
    struct world *w = *state;
    struct sld_store_doc d;
    unsigned n;
    const struct script s[] = {
        {LIST, 200, "[" ITEM("7", "\"YTogMQ==\"") ",{\"Key\":\"gloo/folder/\",\"Value\":null,\"ModifyIndex\":3}]"},
        {"PUT " KEY "?cas=7", 200, "true"},
        {"GET " KEY "?consistent", 200, "[" ITEM("9", "null") "]"},
        {0}};
    play(w, s);
    assert_int_equal(each(w, &n), SLD_OK);
    assert_int_equal(n, 1);
    assert_int_equal(each(w, &n), SLD_OK);
    assert_int_equal(get(w, &d), SLD_OK);
    assert_true(sld_str_eq(d.version, SLD_STR("7")) && sld_str_eq(d.text, SLD_STR("a: 1")));
    assert_true(sld_str_eq(d.place, SLD_STR("gloo/gloo.solo.io/v1/Upstream/gloo-system/u")));
    struct sld_store_expect was = {.version = d.version};
    assert_int_equal(put(w, "a: 2", &was), SLD_OK);
    assert_string_equal(w->body, "a: 2");
    assert_int_equal(get(w, &d), SLD_OK); // what was written is asked for
    assert_true(sld_str_eq(d.version, SLD_STR("9")) && d.text.n == 0);
    assert_int_equal(w->next, 3);
}

static void what_consul_refuses_is_a_conflict(void **state)
{
    struct world *w = *state;
    struct sld_store_expect was = {.version = SLD_STR("7")};
    const struct script changed[] = {{"PUT " KEY "?cas=7", 200, "false"},
                                     {"GET " KEY "?consistent", 200, "[" ITEM("9", "null") "]"},
                                     {0}};
    play(w, changed);
    assert_int_equal(put(w, "a: 2", &was), SLD_CONFLICT);
    assert_true(told(w, "has version 9, not 7: somebody changed it"));
    const struct script gone[] = {
        {"PUT " KEY "?cas=7", 200, "false"}, {"GET " KEY "?consistent", 404, ""}, {0}};
    play(w, gone);
    assert_int_equal(put(w, "a: 2", &was), SLD_CONFLICT);
    assert_true(told(w, "is not there any more") && told(w, "version 7"));
    const struct script there[] = {{"PUT " KEY "?cas=0", 200, "false"},
                                   {"GET " KEY "?consistent", 403, "Permission denied"},
                                   {0}};
    play(w, there);
    assert_int_equal(put(w, "a: 2", &none), SLD_DENIED); // it may not even look
    const struct script removed[] = {{"GET " KEY "?consistent", 200, "[" ITEM("7", "null") "]"},
                                     {"DELETE " KEY "?cas=7", 200, "false"},
                                     {"GET " KEY "?consistent", 200, "[" ITEM("8", "null") "]"},
                                     {0}};
    play(w, removed);
    assert_int_equal(w->store->ops->remove(w->store, u, &was, &w->err), SLD_CONFLICT);
    // Nothing is asked with a version that Consul cannot have.
    const struct script word[] = {{"GET " KEY "?consistent", 200, "[" ITEM("8", "null") "]"}, {0}};
    was.version = SLD_STR("8f");
    play(w, word);
    assert_int_equal(put(w, "a: 2", &was), SLD_CONFLICT);
    assert_true(told(w, "has version 8, not 8f"));
}

static void what_is_not_there_is_not_deleted(void **state)
{
    struct world *w = *state;
    const struct script s[] = {{"GET " KEY "?consistent", 404, ""}, {0}};
    play(w, s);
    assert_int_equal(w->store->ops->remove(w->store, u, &any, &w->err), SLD_NOT_FOUND);
    const struct script forced[] = {{"GET " KEY "?consistent", 200, "[" ITEM("8", "null") "]"},
                                    {"DELETE " KEY, 200, "true"},
                                    {0}};
    play(w, forced);
    assert_int_equal(w->store->ops->remove(w->store, u, &any, &w->err), SLD_OK);
}

// Neither is sent at all.
static void secrets_and_large_values_stay_here(void **state)
{
    struct world *w = *state;
    static char large[512 * 1024 + 2];
    const struct script s[] = {{"PUT " KEY, 200, "true"}, {0}};
    const struct sld_ident secret = {SLD_KIND_SECRET, SLD_STR("gloo-system"), SLD_STR("s")};
    play(w, s);
    assert_int_equal(w->store->ops->put(w->store, &w->arena, secret, SLD_STR("x"), &any, NULL, &w->err),
                     SLD_INVALID);
    assert_true(told(w, "Secrets are not kept in Consul"));
    memset(large, 'x', sizeof(large) - 1);
    assert_int_equal(put(w, large, &any), SLD_LIMIT);
    assert_true(told(w, "Consul takes 524288"));
    assert_int_equal(w->next, 0);
    large[512 * 1024] = 0;
    assert_int_equal(put(w, large, &any), SLD_OK);
}

static void a_list_of_one_namespace(void **state)
{
    struct world *w = *state;
    const struct script s[] = {
        {LIST, 200,
         "[" ITEM("7", "null") ",{\"Key\":\"gloo/gloo.solo.io/v1/Upstream/other/u\",\"Value\":null,\"ModifyIndex\":8},"
         "{\"Key\":\"gloo/gloo.solo.io/v1/UpstreamGroup/other/u\",\"Value\":null,\"ModifyIndex\":9}]"},
        {0}};
    static const struct {
        enum sld_kind kind;
        struct sld_str ns;
        unsigned n;
    } rows[] = {{SLD_KIND_COUNT, {0}, 3},
                {SLD_KIND_COUNT, SLD_STR_INIT("other"), 2},
                {SLD_KIND_UPSTREAM, {0}, 2},
                {SLD_KIND_UPSTREAM, SLD_STR_INIT("other"), 1}};
    play(w, s);
    for (size_t i = 0; i < SLD_ARRAY_LEN(rows); i++) {
        unsigned n = 0;
        assert_int_equal(w->store->ops->each(w->store, rows[i].kind, rows[i].ns, count, &n, &w->err), SLD_OK);
        assert_int_equal(n, rows[i].n);
    }
}

// ---- Addresses ----

static void expect_place(const char *address, const char *agent, const char *root)
{
    struct sld_arena a = {0};
    struct sld_consul_place p;
    struct sld_err err = {0};
    assert_true(sld_consul_place_is(sld_str_c(address)));
    assert_int_equal(sld_consul_place_parse(&a, sld_str_c(address), &p, &err), SLD_OK);
    assert_true(agent ? sld_str_eq(p.agent, sld_str_c(agent)) : p.agent.p == NULL);
    assert_true(sld_str_eq(p.root, sld_str_c(root)));
    sld_arena_fini(&a);
}

static void expect_no_place(const char *address, const char *words)
{
    struct sld_arena a = {0};
    struct sld_consul_place p;
    struct sld_err err = {0};
    assert_int_equal(sld_consul_place_parse(&a, sld_str_c(address), &p, &err), SLD_INVALID);
    assert_non_null(strstr(err.msg, words));
    sld_arena_fini(&a);
}

static void addresses(void **state)
{
    (void)state;
    expect_place("consul://", NULL, "gloo");
    expect_place("consul:///", NULL, "gloo");
    expect_place("consul:///edge/one/", NULL, "edge/one");
    expect_place("consul://h:1", "h:1", "gloo");
    expect_place("consul://[::1]:8500//gloo", "[::1]:8500", "gloo");
    expect_place("consuls://h/x", "https://h", "x");
    expect_place("consul+unix:///run/c.sock", "unix:///run/c.sock", "gloo");
    expect_place("consul+unix:///run/c.sock?root=a/b", "unix:///run/c.sock", "a/b");
    expect_no_place("/etc/solder", "is no address in Consul");
    expect_no_place("consuls://", "names no host");
    expect_no_place("consul+unix://run/c.sock", "names no socket");
    expect_no_place("consul+unix://", "names no socket");
    expect_no_place("consul://h/a?b", "first part of keys");
    expect_no_place("consul://h/a\nb", "first part of keys");
    assert_false(sld_consul_place_is(SLD_STR("consul:")));
    sld_consul_store_ops.close(NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_answer_that_was_cut_is_no_list),
        T(answers_with_errors),
        T(all_is_read_once),
        T(what_consul_refuses_is_a_conflict),
        T(what_is_not_there_is_not_deleted),
        T(secrets_and_large_values_stay_here),
        T(a_list_of_one_namespace),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

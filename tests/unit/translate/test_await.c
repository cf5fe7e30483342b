// Secrets that come on demand: what newly means one does not count before it was answered.
#include "route_world.h"

#include "cert.h"
#include "envoy/config/listener/v3/listener.pb-c.h"

enum { DAY = 86400 };
#define NOW INT64_C(1800000000)
#define VS "virtualservices/gloo-system/web"

static const char gateway[] = "apiVersion: gateway.solo.io/v1\n"
                              "kind: Gateway\n"
                              "metadata: {name: gw, namespace: gloo-system}\n"
                              "bindAddress: '::'\n"
                              "bindPort: 8443\n"
                              "ssl: true\n"
                              "httpGateway: {}\n";

// SSL: the flow mapping of sslConfig.
static const char *service(struct world *w, const char *ssl, const char *body)
{
    return sld_arena_fmt(&w->a,
                         "apiVersion: gateway.solo.io/v1\n"
                         "kind: VirtualService\n"
                         "metadata: {name: web, namespace: gloo-system}\n"
                         "sslConfig: {%s}\n"
                         "virtualHost:\n"
                         "  domains: [web.example]\n"
                         "  routes: [{directResponseAction: {status: 200, body: %s}}]\n",
                         ssl, body)
        .p;
}

static void put_pair(struct world *w, const char *name)
{
    struct pair p = pair_make(&w->a, name, NOW - DAY, NOW + 90 * DAY);
    put(w, secret_text(&w->a, name, p.cert, p.pem, (struct sld_str){0}));
}

static void answered(struct world *w, const char *key)
{
    sld_translate_secret_answered(w->t, sld_str_c(key));
    world_run(w);
}

static void on_demand(struct world *w, bool yes)
{
    sld_translate_secrets_on_demand(w->t, yes);
    world_run(w);
}

// The listener's only chain takes its certificate from SECRET; NULL: there is no listener.
static bool serves(struct world *w, const char *secret)
{
    const struct sld_out *o = out(w, SLD_OUT_LISTENER, "listener-::-8443");
    if (!o || !secret)
        return !o && !secret;
    size_t n = 0;
    bool it = false;
    struct sld_str name = sld_arena_fmt(&w->a, "gloo-system.%s/certificate", secret);
    for (size_t i = 0; i < o->need_count; i++) {
        n += o->needs[i].type == SLD_OUT_SECRET;
        it |= sld_str_eq(o->needs[i].name, name);
    }
    return n == 1 && it;
}

static bool answers(struct world *w, const char *body)
{
    return strstr(table_text(w, "listener-::-8443-routes", false), body) != NULL;
}

static bool wanted(struct world *w, const char *key)
{
    struct sld_translate_result r = {0};
    bool is = false;
    sld_translate_run(w->t, &r);
    for (size_t i = 0; i < r.want_count; i++) {
        if (sld_str_eq(r.wants[i].key, sld_str_c(key)))
            is = r.wants[i].wanted;
    }
    sld_translate_result_fini(&r);
    return is;
}

// Gives the one document of TEXT without running.
static void say(struct world *w, const char *text)
{
    struct sld_ident id = {SLD_KIND_VIRTUAL_SERVICE, SLD_STR("gloo-system"), SLD_STR("web")};
    struct sld_doc_place place = {.path = SLD_STR("test.yaml"), .default_ns = id.ns};
    struct sld_raw *raw =
        sld_raw_create(id, sld_str_c(text), 1, -1, SLD_STR("file:test.yaml"), &place);
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
}

static int setup(void **state)
{
    struct world *w = world_create(NULL, 0);
    sld_translate_secrets_on_demand(w->t, true);
    sld_translate_set_now(w->t, NOW);
    put(w, gateway);
    put_pair(w, "one");
    put(w, service(w, "secretRef: {name: one}", "old"));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void test_the_former_form_stays_until_the_answer(void **state)
{
    struct world *w = *state;
    assert_clean(w, VS);
    say(w, service(w, "secretRef: {name: two}", "new"));
    assert_true(wanted(w, "secrets/gloo-system/two"));
    assert_true(serves(w, "one") && answers(w, "old"));
    assert_finding(w, VS, SLD_SECRET_AWAITED, SLD_WARNING, "");
    assert_finding(w, VS, SLD_LAST_GOOD, SLD_NOTE, "");
    assert_true(sld_translate_status(w->t, SLD_STR(VS))->last_good);
    answered(w, "secrets/gloo-system/other"); // is nobody's business
    assert_true(serves(w, "one"));
    put_pair(w, "two");
    answered(w, "secrets/gloo-system/two");
    assert_true(serves(w, "two") && answers(w, "new"));
    assert_clean(w, VS);
    assert_false(sld_translate_status(w->t, SLD_STR(VS))->last_good);
}

static void test_an_answer_without_a_value_counts(void **state)
{
    struct world *w = *state;
    put(w, service(w, "secretRef: {name: two}", "new"));
    assert_true(serves(w, "one"));
    answered(w, "secrets/gloo-system/two");
    assert_true(serves(w, NULL));
    assert_finding(w, VS, SLD_REF_SECRET, SLD_ERROR, "sslConfig.secretRef");
}

static void test_a_value_is_an_answer(void **state)
{
    struct world *w = *state;
    put(w, service(w, "secretRef: {name: two}", "new"));
    put_pair(w, "two");
    assert_true(serves(w, "two"));
    assert_clean(w, VS);
}

static void test_a_newcomer_waits_without_an_error(void **state)
{
    struct world *w = *state;
    drop(w, VS);
    put(w, service(w, "secretRef: {name: two}", "new"));
    assert_true(serves(w, NULL) && answers(w, "new"));
    assert_finding(w, VS, SLD_SECRET_AWAITED, SLD_WARNING, "sslConfig.secretRef");
    put_pair(w, "two");
    answered(w, "secrets/gloo-system/two");
    assert_true(serves(w, "two"));
    assert_clean(w, VS);
}

static void test_issued_certificates_too(void **state)
{
    struct world *w = *state;
    const char *key = "secrets/gloo-system/vault:pki/issue/web?common_name=web.example";
    say(w, service(w, "vaultPki: {role: web, commonName: web.example}", "new"));
    assert_true(wanted(w, key));
    assert_true(serves(w, "one") && answers(w, "old"));
    answered(w, key);
    assert_true(serves(w, NULL) && answers(w, "new"));
}

// What the accepted form lacks already is no reason to wait: edits count while the store is down.
static void test_what_was_missing_before_is_not_waited_for(void **state)
{
    struct world *w = *state;
    struct world *next = world_create(NULL, 0);
    const char *before = service(w, "secretRef: {name: one}", "old");
    struct sld_ident id = {SLD_KIND_VIRTUAL_SERVICE, SLD_STR("gloo-system"), SLD_STR("web")};
    struct sld_doc_place place = {.path = SLD_STR("test.yaml"), .default_ns = id.ns};
    struct sld_raw *raw =
        sld_raw_create(id, sld_str_c(before), 1, -1, SLD_STR("file:test.yaml"), &place);
    sld_translate_secrets_on_demand(next->t, true);
    sld_translate_restore(next->t, raw);
    SLD_UNREF(raw);
    put(next, gateway);
    put(next, service(next, "secretRef: {name: one}", "new"));
    assert_true(answers(next, "new"));
    put(next, service(next, "secretRef: {name: two}", "newer"));
    assert_false(answers(next, "newer"));
    world_destroy(next);
}

// Whoever is wanted again is awaited again.
static void test_an_answer_counts_while_it_is_wanted(void **state)
{
    struct world *w = *state;
    put(w, service(w, "secretRef: {name: two}", "new"));
    answered(w, "secrets/gloo-system/two");
    assert_true(serves(w, NULL));
    put(w, service(w, "secretRef: {name: one}", "old"));
    assert_true(serves(w, "one"));
    put(w, service(w, "secretRef: {name: two}", "new"));
    assert_true(serves(w, "one"));
}

static void test_only_while_secrets_come_on_demand(void **state)
{
    struct world *w = *state;
    on_demand(w, false);
    put(w, service(w, "secretRef: {name: two}", "new"));
    assert_true(serves(w, NULL));
    assert_finding(w, VS, SLD_REF_SECRET, SLD_ERROR, "sslConfig.secretRef");
    put(w, service(w, "secretRef: {name: one}", "old"));
    on_demand(w, true); // what is there already counts too
    put(w, service(w, "secretRef: {name: three}", "new"));
    assert_true(serves(w, "one"));
    on_demand(w, false);
    assert_true(serves(w, NULL));
}

static void test_upstreams_and_headers(void **state)
{
    struct world *w = *state;
    static const char up[] = "apiVersion: gloo.solo.io/v1\n"
                             "kind: Upstream\n"
                             "metadata: {name: up, namespace: gloo-system}\n"
                             "sslConfig: {secretRef: {name: %s}}\n"
                             "static: {hosts: [{addr: 127.0.0.1, port: 1}]}\n";
    static const char table[] =
        "apiVersion: gateway.solo.io/v1\n"
        "kind: VirtualService\n"
        "metadata: {name: web, namespace: gloo-system}\n"
        "sslConfig: {secretRef: {name: one}}\n"
        "virtualHost:\n"
        "  domains: [web.example]\n"
        "  options: {headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: h}}]}}\n"
        "  routes: [{directResponseAction: {status: 200, body: new}}]\n";
    put(w, sld_arena_fmt(&w->a, up, "one").p);
    struct sld_hash before = out(w, SLD_OUT_CLUSTER, "up_gloo-system")->content;
    put(w, sld_arena_fmt(&w->a, up, "two").p);
    assert_true(sld_hash_eq(before, out(w, SLD_OUT_CLUSTER, "up_gloo-system")->content));
    assert_finding(w, "upstreams/gloo-system/up", SLD_SECRET_AWAITED, SLD_WARNING, "");
    put_pair(w, "two");
    assert_false(sld_hash_eq(before, out(w, SLD_OUT_CLUSTER, "up_gloo-system")->content));
    put(w, table);
    assert_true(answers(w, "old"));
    answered(w, "secrets/gloo-system/h");
    assert_true(answers(w, "new"));
}

// Gives the one document of TEXT, restored or as said, and runs; returns what a state remembers of it.
static struct sld_hash give(struct world *w, enum sld_kind kind, const char *name, const char *text,
                            bool restored)
{
    struct sld_ident id = {kind, SLD_STR("gloo-system"), sld_str_c(name)};
    struct sld_doc_place place = {.path = SLD_STR("x.yaml"), .default_ns = id.ns};
    struct sld_raw *raw =
        sld_raw_create(id, sld_str_c(text), 1, -1, SLD_STR("file:x.yaml"), &place);
    struct sld_translate_result r = {0};
    struct sld_hash mark = {0};
    if (restored)
        sld_translate_restore(w->t, raw);
    else
        sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
    sld_translate_run(w->t, &r);
    for (size_t i = 0; i < r.accept_count; i++)
        mark = r.accepts[i].id.kind == kind ? r.accepts[i].chain : mark;
    sld_translate_result_fini(&r);
    world_run(w);
    return mark;
}

static struct sld_hash content(struct world *w, enum sld_out_type type, const char *name)
{
    const struct sld_out *o = out(w, type, name);
    assert_non_null(o);
    return o->content;
}

// What was in service when Solder ended is left to Envoys that have it, to the byte, and nothing
// else of the listener waits for it.
static void test_a_start_without_the_store(void **state)
{
    static const char up[] = "apiVersion: gloo.solo.io/v1\n"
                             "kind: Upstream\n"
                             "metadata: {name: up, namespace: gloo-system}\n"
                             "sslConfig: {secretRef: {name: root}}\n"
                             "static: {hosts: [{addr: 127.0.0.1, port: 1}]}\n";
    struct world *w = *state;
    struct pair p = pair_make(&w->a, "p", NOW - DAY, NOW + 90 * DAY);
    struct sld_str none = {0};
    const char *vs = service(w, "secretRef: {name: one}", "old");
    struct sld_hash root = give(w, SLD_KIND_SECRET, "root",
                                secret_text(&w->a, "root", none, none, p.cert), false);
    put(w, up);
    for (int with_ca = 0; with_ca < 2; with_ca++) {
        const char *text =
            secret_text(&w->a, "one", p.cert, p.pem, with_ca ? p.cert : none);
        struct sld_hash one = give(w, SLD_KIND_SECRET, "one", text, false);
        assert_false(sld_hash_zero(one) || sld_hash_zero(root));
        struct sld_hash listener = content(w, SLD_OUT_LISTENER, "listener-::-8443"),
                        cluster = content(w, SLD_OUT_CLUSTER, "up_gloo-system");

        struct world *next = world_create(NULL, 0);
        struct sld_ident id = {SLD_KIND_SECRET, SLD_STR("gloo-system"), SLD_STR("one")};
        sld_translate_secrets_on_demand(next->t, true);
        sld_translate_set_now(next->t, NOW);
        sld_translate_restore_certificate(next->t, id, one);
        id.name = SLD_STR("root");
        sld_translate_restore_certificate(next->t, id, root);
        put(next, gateway);
        give(next, SLD_KIND_VIRTUAL_SERVICE, "web", vs, true);
        give(next, SLD_KIND_UPSTREAM, "up", up, true);
        assert_true(sld_hash_eq(listener, content(next, SLD_OUT_LISTENER, "listener-::-8443")));
        assert_true(sld_hash_eq(cluster, content(next, SLD_OUT_CLUSTER, "up_gloo-system")));
        const struct sld_out *o = out(next, SLD_OUT_LISTENER, "listener-::-8443");
        for (size_t i = 0; i < o->need_count; i++)
            assert_int_not_equal(o->needs[i].type, SLD_OUT_SECRET);
        assert_finding(next, VS, SLD_SECRET_AWAITED, SLD_WARNING, "sslConfig.secretRef");
        answered(next, "secrets/gloo-system/one");
        assert_true(serves(next, NULL));
        assert_finding(next, VS, SLD_REF_SECRET, SLD_ERROR, "sslConfig.secretRef");
        world_destroy(next);
    }
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_the_former_form_stays_until_the_answer),
        CASE(test_an_answer_without_a_value_counts),
        CASE(test_a_value_is_an_answer),
        CASE(test_a_newcomer_waits_without_an_error),
        CASE(test_issued_certificates_too),
        CASE(test_what_was_missing_before_is_not_waited_for),
        CASE(test_an_answer_counts_while_it_is_wanted),
        CASE(test_only_while_secrets_come_on_demand),
        CASE(test_upstreams_and_headers),
        CASE(test_a_start_without_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

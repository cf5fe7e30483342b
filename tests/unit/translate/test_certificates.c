// Secrets of TLS: what Envoys get of them, what the time changes, and which listeners notice.
#include "route_world.h"

#include "cert.h"
#include "envoy/config/listener/v3/listener.pb-c.h"

enum { DAY = 86400 };
#define NOW INT64_C(1800000000)

static const char gateway[] = "apiVersion: gateway.solo.io/v1\n"
                              "kind: Gateway\n"
                              "metadata: {name: gw, namespace: gloo-system}\n"
                              "bindAddress: '::'\n"
                              "bindPort: 8443\n"
                              "ssl: true\n"
                              "httpGateway: {}\n";

static const char *service(struct world *w, const char *name, const char *secret, const char *sni)
{
    return sld_arena_cstr(
        &w->a, sld_arena_fmt(&w->a,
                             "apiVersion: gateway.solo.io/v1\n"
                             "kind: VirtualService\n"
                             "metadata: {name: %s, namespace: gloo-system}\n"
                             "sslConfig: {secretRef: {name: %s}, sniDomains: [%s]}\n"
                             "virtualHost:\n"
                             "  domains: [%s.example]\n"
                             "  routes: [{directResponseAction: {status: 200}}]\n",
                             name, secret, sni, name));
}

// How many filter chains the listener has; -1: there is none.
static int chains(struct world *w)
{
    const struct sld_out *o = out(w, SLD_OUT_LISTENER, "listener-::-8443");
    if (!o)
        return -1;
    struct sld_err err;
    const Env__Listener__Listener *l =
        sld_msg_decode(&w->a, sld_out_type_desc(o->type), o->bytes, 100, &err);
    assert_non_null(l);
    return (int)l->n_filter_chains;
}

static uint64_t computed(struct world *w, const char *table)
{
    struct sld_table_stats stats[128];
    size_t n = sld_flow_stats(sld_translate_flow(w->t), stats, 128);
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(stats[i].name, table))
            return stats[i].computed;
    }
    fail_msg("no table %s", table);
    return 0;
}

static void at(struct world *w, int64_t now)
{
    sld_translate_set_now(w->t, now);
    world_run(w);
}

static int setup(void **state)
{
    *state = world_create(NULL, 0);
    put(*state, gateway);
    at(*state, NOW);
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void put_pair(struct world *w, const char *name, const struct pair *p)
{
    put(w, secret_text(&w->a, name, p->cert, p->pem, (struct sld_str){0}));
}

static bool holds(const struct sld_out *o, struct sld_str text)
{
    return sld_str_find(o->bytes, sld_str_trim(text)) >= 0;
}

static void test_rotation_leaves_the_listener_alone(void **state)
{
    struct world *w = *state;
    struct pair p = pair_make(&w->a, "one", NOW - DAY, NOW + 90 * DAY),
                q = pair_make(&w->a, "one", NOW - DAY, NOW + 99 * DAY);
    put_pair(w, "cert", &p);
    put(w, service(w, "one", "cert", "one.example"));
    const struct sld_out *o = out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate");
    assert_non_null(o);
    assert_true(o->secret && holds(o, p.cert) && holds(o, p.pem));
    assert_int_equal(chains(w), 1);
    struct sld_hash before = out(w, SLD_OUT_LISTENER, "listener-::-8443")->content;
    uint64_t listeners = computed(w, "out.listeners");
    put_pair(w, "cert", &q);
    o = out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate");
    assert_true(holds(o, q.cert) && holds(o, q.pem) && !holds(o, p.pem));
    assert_true(sld_hash_eq(before, out(w, SLD_OUT_LISTENER, "listener-::-8443")->content));
    assert_int_equal(computed(w, "out.listeners"), listeners);
}

static void test_a_service_without_tls_is_not_on_an_https_port(void **state)
{
    struct world *w = *state;
    struct pair p = pair_make(&w->a, "one", NOW, NOW + 90 * DAY);
    put_pair(w, "cert", &p);
    put(w, "kind: VirtualService\nmetadata: {name: plain, namespace: gloo-system}\n"
           "virtualHost: {domains: [plain.example], routes: [{directResponseAction: {status: 200}}]}\n");
    assert_int_equal(chains(w), -1);
    put(w, service(w, "one", "cert", "one.example"));
    assert_int_equal(chains(w), 1);
    const struct sld_out *o = out(w, SLD_OUT_ROUTE, "listener-::-8443-routes");
    assert_non_null(o);
    struct sld_str bytes = sld_msg_encode(&w->a, message_of(w, o));
    assert_true(sld_str_find(bytes, SLD_STR("one.example")) >= 0 && sld_str_find(bytes, SLD_STR("plain.example")) < 0);
}

// A certificate that ends in service is told of and stays: taking it away would close the port.
static void test_time_ends_a_certificate_in_service(void **state)
{
    struct world *w = *state;
    const char *key = "secrets/gloo-system/cert";
    struct pair p = pair_make(&w->a, "one", NOW, NOW + 90 * DAY);
    put_pair(w, "cert", &p);
    put(w, service(w, "one", "cert", "one.example"));
    assert_clean(w, key);
    at(w, NOW + 77 * DAY);
    assert_finding(w, key, SLD_TLS_EXPIRES_SOON, SLD_WARNING, "tls.certChain");
    assert_int_equal(chains(w), 1);
    at(w, NOW + 91 * DAY);
    assert_finding(w, key, SLD_TLS_EXPIRED, SLD_ERROR, "tls.certChain");
    assert_non_null(out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate"));
    assert_int_equal(chains(w), 1);
    at(w, NOW);
    assert_clean(w, key);
}

// One that lives a day would be told of all its life: the warning comes with the last fifth.
static void test_a_short_life_is_warned_of_late(void **state)
{
    struct world *w = *state;
    const char *key = "secrets/gloo-system/cert";
    struct pair p = pair_make(&w->a, "one", NOW, NOW + DAY);
    put_pair(w, "cert", &p);
    put(w, service(w, "one", "cert", "one.example"));
    assert_clean(w, key);
    at(w, NOW + DAY * 79 / 100);
    assert_clean(w, key);
    at(w, NOW + DAY * 81 / 100);
    assert_finding(w, key, SLD_TLS_EXPIRES_SOON, SLD_WARNING, "tls.certChain");
}

// One that is not valid when it comes never reaches Envoy, and does not take the place of one in service.
static void test_a_certificate_out_of_time(void **state)
{
    struct world *w = *state;
    const char *key = "secrets/gloo-system/cert";
    struct pair good = pair_make(&w->a, "one", NOW, NOW + 90 * DAY), old = pair_make(&w->a, "one", NOW - 9 * DAY, NOW - DAY),
                later = pair_make(&w->a, "one", NOW + DAY, NOW + 99 * DAY);
    put(w, service(w, "one", "cert", "one.example"));
    put_pair(w, "cert", &old);
    assert_finding(w, key, SLD_TLS_EXPIRED, SLD_ERROR, "tls.certChain");
    assert_null(out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate"));
    assert_int_equal(chains(w), -1);
    put_pair(w, "cert", &good);
    assert_clean(w, key);
    assert_int_equal(chains(w), 1);
    put_pair(w, "cert", &old);
    assert_finding(w, key, SLD_TLS_EXPIRED, SLD_ERROR, "tls.certChain");
    assert_true(holds(out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate"), good.cert));
    put_pair(w, "cert", &later);
    assert_finding(w, key, SLD_TLS_EXPIRED, SLD_ERROR, "tls.certChain");
    assert_true(holds(out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate"), good.cert));
    at(w, NOW + 2 * DAY);
    assert_clean(w, key);
    assert_true(holds(out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate"), later.cert));
}

// Gives P as the document of secret "cert" and returns the chain that is told as accepted.
static struct sld_hash accepted_chain(struct world *w, const struct pair *p)
{
    const char *text = secret_text(&w->a, "cert", p->cert, p->pem, (struct sld_str){0});
    struct sld_ident id = {SLD_KIND_SECRET, SLD_STR("gloo-system"), SLD_STR("cert")};
    struct sld_doc_place place = {.path = SLD_STR("s.yaml"), .default_ns = id.ns};
    struct sld_raw *raw =
        sld_raw_create(id, sld_str_c(text), 1, -1, SLD_STR("file:s.yaml"), &place);
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
    struct sld_translate_result r = {0};
    sld_translate_run(w->t, &r);
    struct sld_hash chain = {0};
    for (size_t i = 0; i < r.accept_count; i++) {
        if (r.accepts[i].id.kind == SLD_KIND_SECRET)
            chain = r.accepts[i].chain;
    }
    sld_translate_result_fini(&r);
    world_run(w);
    return chain;
}

// What was in service and expired is in service after a restart too; nothing else that expired is.
static void test_expired_over_a_restart(void **state)
{
    struct world *w = *state;
    const char *key = "secrets/gloo-system/cert";
    struct sld_ident id = {SLD_KIND_SECRET, SLD_STR("gloo-system"), SLD_STR("cert")};
    struct pair p = pair_make(&w->a, "one", NOW, NOW + 90 * DAY),
                q = pair_make(&w->a, "one", NOW, NOW + 80 * DAY),
                good = pair_make(&w->a, "one", NOW, NOW + 200 * DAY);
    struct sld_hash chain = accepted_chain(w, &p);
    assert_false(sld_hash_zero(chain));
    at(w, NOW + 91 * DAY);
    assert_true(sld_hash_zero(accepted_chain(w, &q))); // told of, and not accepted

    struct world *next = world_create(NULL, 0);
    sld_translate_restore_certificate(next->t, id, chain);
    at(next, NOW + 91 * DAY);
    put(next, gateway);
    put(next, service(next, "one", "cert", "one.example"));
    put_pair(next, "cert", &q);
    assert_finding(next, key, SLD_TLS_EXPIRED, SLD_ERROR, "tls.certChain");
    assert_int_equal(chains(next), -1);
    assert_true(sld_hash_eq(accepted_chain(next, &p), chain));
    assert_finding(next, key, SLD_TLS_EXPIRED, SLD_ERROR, "tls.certChain");
    assert_true(holds(out(next, SLD_OUT_SECRET, "gloo-system.cert/certificate"), p.cert));
    assert_int_equal(chains(next), 1);
    // Whatever comes into service later takes its place for good.
    put_pair(next, "cert", &good);
    assert_clean(next, key);
    put_pair(next, "cert", &p);
    assert_finding(next, key, SLD_TLS_EXPIRED, SLD_ERROR, "tls.certChain");
    assert_true(holds(out(next, SLD_OUT_SECRET, "gloo-system.cert/certificate"), good.cert));
    world_destroy(next);

    struct world *other = world_create(NULL, 0); // a deleted one is not remembered
    sld_translate_restore_certificate(other->t, id, chain);
    at(other, NOW + 91 * DAY);
    drop(other, key);
    put_pair(other, "cert", &p);
    assert_null(out(other, SLD_OUT_SECRET, "gloo-system.cert/certificate"));
    world_destroy(other);
}

static void test_time_costs_little(void **state)
{
    struct world *w = *state;
    struct pair p = pair_make(&w->a, "one", NOW, NOW + 90 * DAY);
    put_pair(w, "cert", &p);
    put(w, service(w, "one", "cert", "one.example"));
    uint64_t certs = computed(w, "certs"), listeners = computed(w, "out.listeners");
    at(w, NOW + 1);
    assert_int_equal(computed(w, "certs"), certs);
    assert_int_equal(computed(w, "out.listeners"), listeners);
}

static void test_a_key_that_does_not_fit_leaves_the_last_pair(void **state)
{
    struct world *w = *state;
    struct pair p = pair_make(&w->a, "one", NOW, NOW + 90 * DAY),
                q = pair_make(&w->a, "one", NOW, NOW + 99 * DAY);
    put_pair(w, "cert", &p);
    put(w, service(w, "one", "cert", "one.example"));
    put(w, secret_text(&w->a, "cert", q.cert, p.pem, (struct sld_str){0}));
    assert_finding(w, "secrets/gloo-system/cert", SLD_TLS_KEY_MISMATCH, SLD_ERROR,
                   "tls.privateKey");
    assert_true(sld_translate_status(w->t, SLD_STR("secrets/gloo-system/cert"))->last_good);
    const struct sld_out *o = out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate");
    assert_true(o && holds(o, p.cert) && holds(o, p.pem));
    put_pair(w, "cert", &q);
    assert_clean(w, "secrets/gloo-system/cert");
    assert_true(holds(out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate"), q.cert));
}

static void test_a_secret_that_comes_later(void **state)
{
    struct world *w = *state;
    put(w, service(w, "one", "cert", "one.example"));
    assert_finding(w, "virtualservices/gloo-system/one", SLD_REF_SECRET, SLD_ERROR,
                   "sslConfig.secretRef");
    assert_int_equal(chains(w), -1);
    struct pair p = pair_make(&w->a, "one", NOW, NOW + 90 * DAY);
    put_pair(w, "cert", &p);
    assert_clean(w, "virtualservices/gloo-system/one");
    assert_int_equal(chains(w), 1);
    // Deleted while in use it stays in service; when nothing refers to it any more, it goes.
    drop(w, "secrets/gloo-system/cert");
    assert_non_null(out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate"));
    assert_int_equal(chains(w), 1);
    assert_finding(w, "virtualservices/gloo-system/one", SLD_REF_SECRET, SLD_WARNING,
                   "sslConfig.secretRef");
    assert_finding(w, "secrets/gloo-system/cert", SLD_REF_SECRET, SLD_WARNING, "");
    drop(w, "virtualservices/gloo-system/one");
    assert_null(out(w, SLD_OUT_SECRET, "gloo-system.cert/certificate"));
    assert_null(sld_translate_status(w->t, SLD_STR("secrets/gloo-system/cert")));
}

static void test_roots_alone(void **state)
{
    struct world *w = *state;
    struct pair p = pair_make(&w->a, "root", NOW, NOW + DAY);
    put(w, secret_text(&w->a, "ca", (struct sld_str){0}, (struct sld_str){0}, p.cert));
    const struct sld_out *o = out(w, SLD_OUT_SECRET, "gloo-system.ca/validation");
    assert_true(o && holds(o, p.cert) && !o->secret);
    assert_finding(w, "secrets/gloo-system/ca", SLD_TLS_EXPIRES_SOON, SLD_WARNING, "tls.rootCa");
    at(w, NOW + 2 * DAY);
    assert_finding(w, "secrets/gloo-system/ca", SLD_TLS_EXPIRED, SLD_WARNING, "tls.rootCa");
    assert_non_null(out(w, SLD_OUT_SECRET, "gloo-system.ca/validation"));
}

// Of virtual services that want one server name with different certificates the first by name has
// it, whoever came first; the next takes over when it goes.
static void test_server_names_are_given_by_name(void **state)
{
    struct world *w = *state;
    struct pair p = pair_make(&w->a, "p", NOW, NOW + 90 * DAY);
    put_pair(w, "p", &p);
    put_pair(w, "q", &p);
    put(w, service(w, "b", "q", "x.example, b.example"));
    put(w, service(w, "a", "p", "X.example"));
    assert_finding(w, "virtualservices/gloo-system/b", SLD_GW_SNI_CONFLICT, SLD_ERROR,
                   "sslConfig.sniDomains");
    assert_clean(w, "virtualservices/gloo-system/a");
    assert_finding(w, "gateways/gloo-system/gw", SLD_GW_SNI_CONFLICT, SLD_WARNING, "");
    assert_int_equal(chains(w), 2);
    drop(w, "virtualservices/gloo-system/a");
    assert_clean(w, "virtualservices/gloo-system/b");
    assert_int_equal(chains(w), 1);
    put(w, service(w, "a", "q", "x.example"));
    assert_clean(w, "virtualservices/gloo-system/a");
    assert_int_equal(chains(w), 1);
}

static void test_random_server_names(void **state)
{
    struct world *w = *state;
    struct pair p = pair_make(&w->a, "p", NOW, NOW + 90 * DAY);
    static const char *const secrets[] = {"p", "q", "r"};
    static const char *const lists[] = {"", "x.example", "y.example, z.example", "'*.example'",
                                        "Z.example, x.example"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(secrets); i++)
        put_pair(w, secrets[i], &p);
    uint64_t seed = 0x9e3779b97f4a7c15;
    for (int i = 0; i < 300; i++) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        unsigned r = (unsigned)(seed >> 33);
        char name[2] = {(char)('a' + r % 5), 0};
        if (r / 5 % 4 == 0)
            drop(w, sld_arena_fmt(&w->a, "virtualservices/gloo-system/%s", name).p);
        else
            put(w, service(w, name, secrets[r / 20 % 3], lists[r / 60 % 5]));
        // The run compares with a rebuild; no filter chain may have what another has.
        const struct sld_out *o = out(w, SLD_OUT_LISTENER, "listener-::-8443");
        struct sld_err err;
        const Env__Listener__Listener *l =
            o ? sld_msg_decode(&w->a, sld_out_type_desc(o->type), o->bytes, 100, &err) : NULL;
        struct sld_map seen = {0};
        for (size_t k = 0; l && k < l->n_filter_chains; k++) {
            const Env__Listener__FilterChainMatch *m = l->filter_chains[k]->filter_chain_match;
            size_t n = m ? m->n_server_names : 0;
            for (size_t j = 0; j < n; j++)
                assert_null(sld_map_set(&seen, sld_str_c(m->server_names[j]), w));
            if (!n)
                assert_null(sld_map_set(&seen, SLD_STR(""), w));
        }
        sld_map_fini(&seen);
    }
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_rotation_leaves_the_listener_alone),
        CASE(test_a_service_without_tls_is_not_on_an_https_port),
        CASE(test_time_ends_a_certificate_in_service),
        CASE(test_a_short_life_is_warned_of_late),
        CASE(test_a_certificate_out_of_time),
        CASE(test_expired_over_a_restart),
        CASE(test_time_costs_little),
        CASE(test_a_key_that_does_not_fit_leaves_the_last_pair),
        CASE(test_a_secret_that_comes_later),
        CASE(test_roots_alone),
        CASE(test_server_names_are_given_by_name),
        CASE(test_random_server_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

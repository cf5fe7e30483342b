// Clusters and endpoints of upstreams: what an edit touches, what Envoys must have first, and what
// happens without a secret.
#include "route_world.h"

#include "cert.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"

#define NOW INT64_C(1800000000)

static const char *upstream(struct world *w, const char *name, const char *body)
{
    return sld_arena_cstr(&w->a, sld_arena_fmt(&w->a,
                                               "apiVersion: gloo.solo.io/v1\n"
                                               "kind: Upstream\n"
                                               "metadata: {name: %s, namespace: gloo-system}\n"
                                               "%s\n",
                                               name, body));
}

#define HOST(addr) "static: {hosts: [{addr: " addr ", port: 8080}]}"
#define CHECK "{timeout: 1s, interval: 5s, healthyThreshold: 1, unhealthyThreshold: 2, "

static int setup(void **state)
{
    *state = world_create(NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void test_hosts_touch_endpoints_alone(void **state)
{
    struct world *w = *state;
    put(w, upstream(w, "web", HOST("10.0.0.1")));
    struct sld_hash cds = out(w, SLD_OUT_CLUSTER, "web_gloo-system")->content,
                    eds = out(w, SLD_OUT_ENDPOINT, "web_gloo-system")->content;
    put(w, upstream(w, "web",
                    "static: {hosts: [{addr: 10.0.0.1, port: 8080}, {addr: 10.0.0.2, port: 81, "
                    "loadBalancingWeight: 3, metadata: {a: {b: c}}}]}"));
    assert_true(sld_hash_eq(cds, out(w, SLD_OUT_CLUSTER, "web_gloo-system")->content));
    assert_false(sld_hash_eq(eds, out(w, SLD_OUT_ENDPOINT, "web_gloo-system")->content));
    drop(w, "upstreams/gloo-system/web");
    assert_null(out(w, SLD_OUT_CLUSTER, "web_gloo-system"));
    assert_null(out(w, SLD_OUT_ENDPOINT, "web_gloo-system"));
}

// Endpoints that are many are packed.
static void test_many_hosts_take_little(void **state)
{
    struct world *w = *state;
    struct sld_buf b;
    sld_buf_init(&b, 64 * 1024);
    for (int i = 0; i < 50; i++)
        sld_buf_addf(&b, "%s{addr: 10.0.0.%d, port: 8080}", i ? ", " : "static: {hosts: [", i + 1);
    sld_buf_addz(&b, "]}");
    sld_buf_addc(&b, 0);
    put(w, upstream(w, "web", b.p));
    sld_buf_fini(&b);
    const struct sld_out *o = out(w, SLD_OUT_ENDPOINT, "web_gloo-system");
    assert_null(o->bytes.p);
    assert_non_null(o->recipe);
    assert_true(o->recipe->size > 512);
    put(w, upstream(w, "web", HOST("10.0.0.1")));
    o = out(w, SLD_OUT_ENDPOINT, "web_gloo-system");
    assert_null(o->recipe);
    assert_non_null(o->bytes.p);
}

// gated: an Envoy's ACK of the cluster is needed before routes may use it.
static void test_what_is_gated(void **state)
{
    struct world *w = *state;
    struct pair p = pair_make(&w->a, "ca", NOW - 1, NOW + 1000);
    put(w, secret_text(&w->a, "ca", (struct sld_str){0}, (struct sld_str){0}, p.cert));
    static const struct {
        const char *body;
        bool eds, gated;
        size_t needs;
    } cases[] = {
        {HOST("10.0.0.1"), true, false, 0},
        {HOST("a.example"), false, true, 0},
        {"pipe: {path: /run/x}", false, true, 0},
        {"healthChecks: [" CHECK "tcpHealthCheck: {}}]\n" HOST("10.0.0.1"), true, true, 0},
        {"outlierDetection: {interval: 1s}\n" HOST("10.0.0.1"), true, false, 0},
        {"sslConfig: {sni: x}\n" HOST("10.0.0.1"), true, false, 0},
        {"sslConfig: {secretRef: {name: ca}}\n" HOST("10.0.0.1"), true, true, 1},
        {"sslConfig: {sslFiles: {tlsCert: /c, tlsKey: /k, rootCa: /r}}\n" HOST("10.0.0.1"), true,
         true, 2},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        put(w, upstream(w, "u", cases[i].body));
        const struct sld_out *o = out(w, SLD_OUT_CLUSTER, "u_gloo-system");
        assert_non_null(o);
        assert_int_equal(o->eds, cases[i].eds);
        assert_int_equal(o->gated, cases[i].gated);
        assert_int_equal(o->need_count, cases[i].needs);
        for (size_t k = 0; k < o->need_count; k++)
            assert_non_null(
                out(w, SLD_OUT_SECRET, sld_arena_cstr(&w->a, o->needs[k].name)));
        assert_int_equal(out(w, SLD_OUT_ENDPOINT, "u_gloo-system") != NULL, cases[i].eds);
    }
}

static void test_shape_is_the_content_without_the_name(void **state)
{
    struct world *w = *state;
    put(w, upstream(w, "one", HOST("10.0.0.1")));
    put(w, upstream(w, "two", HOST("10.9.9.9")));
    put(w, upstream(w, "other", "useHttp2: true\n" HOST("10.0.0.1")));
    const struct sld_out *one = out(w, SLD_OUT_CLUSTER, "one_gloo-system"),
                         *two = out(w, SLD_OUT_CLUSTER, "two_gloo-system"),
                         *other = out(w, SLD_OUT_CLUSTER, "other_gloo-system");
    assert_true(sld_hash_eq(one->shape, two->shape));
    assert_false(sld_hash_eq(one->content, two->content));
    assert_false(sld_hash_eq(one->shape, other->shape));
}

static const char route[] = "apiVersion: gateway.solo.io/v1\n"
                            "kind: VirtualService\n"
                            "metadata: {name: vs, namespace: gloo-system}\n"
                            "virtualHost:\n"
                            "  routes:\n"
                            "  - routeAction: {single: {upstream: {name: u}}}\n";

// Never without TLS where TLS was asked for: the cluster is left out, and routes do not wait for it.
static void test_no_plain_text_instead_of_tls(void **state)
{
    struct world *w = *state;
    static const char *const bodies[] = {
        "sslConfig: {secretRef: {name: ca}}\n" HOST("10.0.0.1"),
        "sslConfig: {secretRef: {name: ca}}\npipe: {path: /run/x}",
        "sslConfig: {secretRef: {name: ca}}\n" HOST("a.example"),
    };
    struct pair p = pair_make(&w->a, "ca", NOW - 1, NOW + 1000);
    const char *secret =
        secret_text(&w->a, "ca", (struct sld_str){0}, (struct sld_str){0}, p.cert);
    put(w, route);
    for (size_t i = 0; i < SLD_ARRAY_LEN(bodies); i++) {
        put(w, upstream(w, "u", bodies[i]));
        assert_null(out(w, SLD_OUT_CLUSTER, "u_gloo-system"));
        assert_finding(w, "upstreams/gloo-system/u", SLD_REF_SECRET, SLD_ERROR,
                       "sslConfig.secretRef");
        assert_int_equal(out(w, SLD_OUT_ROUTE, "listener-::-8080-routes")->cluster_count, 0);
        put(w, secret);
        const Env__Cluster__Cluster *c = cluster(w, "u_gloo-system");
        assert_non_null(c->transport_socket);
        assert_clean(w, "upstreams/gloo-system/u");
        assert_int_equal(out(w, SLD_OUT_ROUTE, "listener-::-8080-routes")->cluster_count, 1);
        drop(w, "upstreams/gloo-system/u");
        drop(w, "secrets/gloo-system/ca");
    }
}

static void test_missing_header_secret_of_a_health_check(void **state)
{
    struct world *w = *state;
    put(w, route);
    put(w, upstream(w, "u",
                    "healthChecks: [" CHECK "httpHealthCheck: {path: /, requestHeadersToAdd: "
                    "[{headerSecretRef: {name: token}}]}}]\n" HOST("10.0.0.1")));
    assert_null(out(w, SLD_OUT_CLUSTER, "u_gloo-system"));
    assert_finding(w, "upstreams/gloo-system/u", SLD_REF_SECRET, SLD_ERROR,
                   "healthChecks[0].httpHealthCheck.requestHeadersToAdd[0].headerSecretRef");
    assert_int_equal(out(w, SLD_OUT_ROUTE, "listener-::-8080-routes")->cluster_count, 0);
    put(w, "apiVersion: gloo.solo.io/v1\nkind: Secret\n"
           "metadata: {name: token, namespace: gloo-system}\n"
           "header: {headers: {x-token: '5%'}}\n");
    const Env__Cluster__Cluster *c = cluster(w, "u_gloo-system");
    assert_true(out(w, SLD_OUT_CLUSTER, "u_gloo-system")->secret);
    const Env__Core__HealthCheck__HttpHealthCheck *h = c->health_checks[0]->http_health_check;
    assert_int_equal(h->n_request_headers_to_add, 1);
    assert_string_equal(h->request_headers_to_add[0]->header->value, "5%%");
}

static void test_server_names(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *body;
        const char *sni;  // of the socket of all
        size_t matches;
    } cases[] = {
        {"static: {hosts: [{addr: a.example, port: 443}]}", "a.example", 0},
        {"static: {hosts: [{addr: 10.0.0.1, port: 443}]}", "", 0},
        {"static: {autoSniRewrite: false, hosts: [{addr: a.example, port: 443}]}", "", 0},
        {"static: {hosts: [{addr: a.example, port: 443, sniAddr: b.example}]}", "b.example", 0},
        {"sslConfig: {sni: s.example}\nstatic: {hosts: [{addr: 10.0.0.1, port: 80}]}", "s.example",
         0},
        {"sslConfig: {sni: s.example}\nstatic: {hosts: [{addr: a.example, port: 80}, {addr: "
         "b.example, port: 80}, {addr: a.example, port: 81}]}",
         "s.example", 2},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        put(w, upstream(w, "u", cases[i].body));
        const Env__Cluster__Cluster *c = cluster(w, "u_gloo-system");
        assert_int_equal(c->n_transport_socket_matches, cases[i].matches);
        struct sld_err err;
        const Google__Protobuf__Any *any = c->transport_socket->typed_config;
        const Env__TransportSocketsTls__UpstreamTlsContext *u =
            sld_msg_decode(&w->a, &env__transport_sockets_tls__upstream_tls_context__descriptor,
                           (struct sld_str){(const char *)any->value.data, any->value.len}, 100,
                           &err);
        assert_non_null(u);
        assert_string_equal(u->sni, cases[i].sni);
    }
    put(w, upstream(w, "u", "static: {hosts: [{addr: a.example, port: 80}]}"));
    assert_null(cluster(w, "u_gloo-system")->transport_socket);
}

static void test_settings_are_defaults(void **state)
{
    struct world *w = *state;
    put(w, upstream(w, "u", "sslConfig: {sni: x}\n" HOST("10.0.0.1")));
    assert_null(cluster(w, "u_gloo-system")->circuit_breakers);
    Gloo__Settings s = GLOO__SETTINGS__INIT;
    Gloo__GlooOptions gloo = GLOO__GLOO_OPTIONS__INIT;
    Gloo__CircuitBreakerConfig breakers = GLOO__CIRCUIT_BREAKER_CONFIG__INIT;
    breakers.max_requests = sld_msg_u32(&w->a, 7);
    gloo.circuit_breakers = &breakers;
    s.gloo = &gloo;
    sld_translate_set_settings(w->t, &s);
    world_run(w);
    assert_int_equal(
        cluster(w, "u_gloo-system")->circuit_breakers->thresholds[0]->max_requests->value, 7);
    put(w, upstream(w, "u", "circuitBreakers: {maxRetries: 1}\n" HOST("10.0.0.1")));
    assert_null(cluster(w, "u_gloo-system")->circuit_breakers->thresholds[0]->max_requests);
}

// A file that an Envoy refuses is told of the upstream that names it.
static void test_refused_file_is_told_of_the_upstream(void **state)
{
    struct world *w = *state;
    put(w, upstream(w, "u",
                    "sslConfig: {sslFiles: {rootCa: /etc/ca.crt}}\n" HOST("10.0.0.1")));
    const struct sld_out *c = out(w, SLD_OUT_CLUSTER, "u_gloo-system");
    const char *name = sld_arena_cstr(&w->a, c->needs[0].name);
    const struct sld_out *o = out(w, SLD_OUT_SECRET, name);
    sld_translate_refused(w->t, SLD_OUT_SECRET, SLD_STR(""), o->name, o->content, SLD_STR("1.40"),
                          SLD_STR("file /etc/ca.crt does not exist"));
    world_run(w);
    assert_finding(w, "upstreams/gloo-system/u", SLD_ENVOY_REFUSED, SLD_ERROR, "");
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_hosts_touch_endpoints_alone),
        CASE(test_many_hosts_take_little),
        CASE(test_what_is_gated),
        CASE(test_shape_is_the_content_without_the_name),
        CASE(test_no_plain_text_instead_of_tls),
        CASE(test_missing_header_secret_of_a_health_check),
        CASE(test_server_names),
        CASE(test_settings_are_defaults),
        CASE(test_refused_file_is_told_of_the_upstream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

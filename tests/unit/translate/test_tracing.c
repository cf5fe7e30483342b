// Tracing (gloo-compat 1.17, 5.2): of listeners, with a collector that comes and goes, and of
// routes.
#include "option_world.h"

#define LISTENER "listener-::-8080"
#define TABLE "listener-::-8080-routes"
#define VIEW "gloo-system~gateway-proxy"
#define ANSWERS                                                                                    \
    VS("v", "{virtualHost: {routes: [{matchers: [{prefix: /}], directResponseAction: {status: "    \
            "200}}]}}")
#define TRACED_AT(name, port, tracing)                                                             \
    GATEWAY(name, "{bindAddress: '::', bindPort: " port                                            \
                  ", httpGateway: {options: {httpConnectionManagerSettings: {tracing: {" tracing   \
                  "}}}}}")
#define TRACED(tracing) TRACED_AT("g", "8080", tracing)
#define ZIPKIN                                                                                     \
    "zipkinConfig: {collectorUpstreamRef: {name: spans, namespace: gloo-system}, "                 \
    "collectorEndpoint: /api/v2/spans}"
#define SPANS "spans_gloo-system"
#define PATH "httpGateway.options.httpConnectionManagerSettings.tracing."

// ---- The collector ----

static bool lists(const struct sld_out *o, const char *cluster)
{
    for (size_t i = 0; i < o->cluster_count; i++) {
        if (sld_str_eq(o->clusters[i], sld_str_c(cluster)))
            return true;
    }
    return false;
}

#define BROKEN_TLS                                                                                 \
    "---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: spans, namespace: "        \
    "gloo-system}\nspec: {sslConfig: {secretRef: {name: none, namespace: gloo-system}}, static: "  \
    "{hosts: [{addr: 10.0.0.1, port: 80}]}}\n"

// Without it Envoys get an empty cluster of its name, so that the listener stays as it is.
static void test_the_listener_stays_while_its_collector_comes_and_goes(void **state)
{
    (void)state;
    static const char *const providers[] = {
        ZIPKIN,
        "datadogConfig: {serviceName: s, collectorUpstreamRef: {name: spans}}",
        "openTelemetryConfig: {collectorUpstreamRef: {name: spans}}",
    };
    static const char *const fields[] = {"zipkinConfig", "datadogConfig", "openTelemetryConfig"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(providers); i++) {
        struct world *w = option_world();
        const char *path = sld_arena_fmt(&w->a, PATH "%s.collectorUpstreamRef", fields[i]).p;
        put(w, sld_arena_fmt(&w->a, ANSWERS TRACED("%s"), providers[i]).p);
        struct sld_hash before = out(w, SLD_OUT_LISTENER, LISTENER)->obj.hash;
        assert_true(lists(out(w, SLD_OUT_LISTENER, LISTENER), SPANS));
        assert_has(json(w, out(w, SLD_OUT_LISTENER, LISTENER)), "\"" SPANS "\"");
        assert_finding(w, GW_KEY("g"), SLD_REF_UPSTREAM, SLD_ERROR, path);
        const struct sld_out *empty = out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW);
        assert_string_equal(json(w, empty),
                            "{\"name\":\"" SPANS "\",\"type\":\"STATIC\",\"connectTimeout\":\"5s\","
                            "\"loadAssignment\":{\"clusterName\":\"" SPANS "\"}}");
        assert_true(empty->gated);
        assert_false(empty->eds);

        put(w, BROKEN_TLS);
        assert_finding(w, GW_KEY("g"), SLD_REF_UPSTREAM, SLD_ERROR, path);
        assert_non_null(out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW));

        put(w, UPSTREAM("spans"));
        assert_null(finding(w, GW_KEY("g"), SLD_REF_UPSTREAM, SLD_ERROR, path));
        assert_null(out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW));
        assert_non_null(out_of(w, SLD_OUT_CLUSTER, SPANS, ""));
        assert_true(sld_hash_eq(before, out(w, SLD_OUT_LISTENER, LISTENER)->obj.hash));

        drop(w, "upstreams/gloo-system/spans");
        assert_non_null(out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW));
        assert_null(out_of(w, SLD_OUT_CLUSTER, SPANS, ""));
        assert_true(sld_hash_eq(before, out(w, SLD_OUT_LISTENER, LISTENER)->obj.hash));
        world_destroy(w);
    }
}

// What Envoy refuses is no cluster for the listener, until it is mended.
static void test_a_refused_collector(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, UPSTREAM("spans") ANSWERS TRACED(ZIPKIN));
    assert_clean(w, GW_KEY("g"));
    struct sld_hash before = out(w, SLD_OUT_LISTENER, LISTENER)->obj.hash;
    sld_translate_refused(w->t, SLD_OUT_CLUSTER, SLD_STR(VIEW), SLD_STR(SPANS),
                          out(w, SLD_OUT_CLUSTER, SPANS)->content, SLD_STR("envoy"),
                          SLD_STR("words"));
    world_run(w);
    assert_finding(w, "upstreams/gloo-system/spans", SLD_ENVOY_REFUSED, SLD_ERROR, "");
    assert_finding(w, GW_KEY("g"), SLD_REF_UPSTREAM, SLD_ERROR,
                   PATH "zipkinConfig.collectorUpstreamRef");
    assert_non_null(out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW));
    // An Envoy's word about the empty one is none about the Upstream's.
    sld_translate_taken(w->t, SLD_OUT_CLUSTER, SLD_STR(VIEW), SLD_STR(SPANS),
                        out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW)->content, SLD_STR("envoy"));
    world_run(w);
    assert_non_null(out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW));
    put(w, "---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: spans, namespace: "
           "gloo-system}\nspec: {useHttp2: true, static: {hosts: [{addr: 10.0.0.1, port: 80}]}}\n");
    assert_clean(w, GW_KEY("g"));
    assert_null(out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW));
    assert_true(sld_hash_eq(before, out(w, SLD_OUT_LISTENER, LISTENER)->obj.hash));
    world_destroy(w);
}

// Two gateways of one proxy share the empty cluster; it goes with the last of them.
static void test_gateways_share_an_empty_cluster(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, ANSWERS TRACED_AT("g", "8080", ZIPKIN) TRACED_AT("h", "8081", ZIPKIN));
    assert_non_null(out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW));
    drop(w, GW_KEY("g"));
    assert_non_null(out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW));
    put(w, TRACED_AT("h", "8081", "verbose: true"));
    assert_null(out(w, SLD_OUT_CLUSTER, SPANS));
    world_destroy(w);
}

// A cluster by its name is an Upstream's, or unknown here: then Envoy's bootstrap has it.
static void test_a_collector_by_its_name(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, ANSWERS TRACED("zipkinConfig: {clusterName: " SPANS ", collectorEndpoint: /s}"));
    assert_clean(w, GW_KEY("g"));
    assert_false(lists(out(w, SLD_OUT_LISTENER, LISTENER), SPANS));
    assert_null(out(w, SLD_OUT_CLUSTER, SPANS));
    struct sld_hash bytes = out(w, SLD_OUT_LISTENER, LISTENER)->content;
    put(w, UPSTREAM("spans"));
    assert_clean(w, GW_KEY("g"));
    assert_true(lists(out(w, SLD_OUT_LISTENER, LISTENER), SPANS));
    assert_true(sld_hash_eq(bytes, out(w, SLD_OUT_LISTENER, LISTENER)->content));
    put(w, BROKEN_TLS);
    assert_finding(w, GW_KEY("g"), SLD_REF_UPSTREAM, SLD_ERROR, PATH "zipkinConfig.clusterName");
    assert_non_null(out_of(w, SLD_OUT_CLUSTER, SPANS, VIEW));
    assert_true(sld_hash_eq(bytes, out(w, SLD_OUT_LISTENER, LISTENER)->content));
    world_destroy(w);
}

// ---- What is made ----

static void test_listeners(void **state)
{
    (void)state;
    static const struct {
        const char *tracing, *part;
    } made[] = {
        {"verbose: true",
         "\"tracing\":{\"clientSampling\":{\"value\":100},\"randomSampling\":{\"value\":100},"
         "\"overallSampling\":{\"value\":100},\"verbose\":true}"},
        {"spawnUpstreamSpan: true, tracePercentages: {randomSamplePercentage: 12.3, "
         "overallSamplePercentage: 0}",
         "\"tracing\":{\"clientSampling\":{\"value\":100},\"randomSampling\":{\"value\":12.3},"
         "\"overallSampling\":{},\"spawnUpstreamSpan\":true}"},
        {"requestHeadersForTags: [x-a], literalsForTags: [{tag: l, value: b}]",
         "\"customTags\":[{\"tag\":\"x-a\",\"requestHeader\":{\"name\":\"x-a\"}},{\"tag\":\"l\","
         "\"literal\":{\"value\":\"b\"}}]"},
        {"environmentVariablesForTags: [{tag: e, name: HOME, defaultValue: d}]",
         "{\"tag\":\"e\",\"environment\":{\"name\":\"HOME\",\"defaultValue\":\"d\"}}"},
        {"metadataForTags: [{tag: m, value: {namespace: ns, key: a.b}, defaultValue: d}]",
         "{\"tag\":\"m\",\"metadata\":{\"kind\":{\"request\":{}},\"metadataKey\":{\"key\":\"ns\","
         "\"path\":[{\"key\":\"a\"},{\"key\":\"b\"}]},\"defaultValue\":\"d\"}}"},
        {"metadataForTags: [{tag: m, kind: ENDPOINT, value: {namespace: ns, key: a.b/c, "
         "nestedFieldDelimiter: /}}]",
         "{\"kind\":{\"host\":{}},\"metadataKey\":{\"key\":\"ns\",\"path\":[{\"key\":\"a.b\"},"
         "{\"key\":\"c\"}]}}"},
        {ZIPKIN, "\"provider\":{\"name\":\"envoy.tracers.zipkin\",\"typedConfig\":{\"@type\":"
                 "\"type.googleapis.com/envoy.config.trace.v3.ZipkinConfig\",\"collectorCluster\":"
                 "\"" SPANS "\",\"collectorEndpoint\":\"/api/v2/spans\","
                 "\"collectorEndpointVersion\":\"HTTP_JSON\"}}"},
        {"zipkinConfig: {clusterName: c, collectorEndpoint: /s, traceId128bit: true, "
         "sharedSpanContext: false, collectorEndpointVersion: HTTP_PROTO}",
         "\"collectorCluster\":\"c\",\"collectorEndpoint\":\"/s\",\"traceId128bit\":true,"
         "\"sharedSpanContext\":false,\"collectorEndpointVersion\":\"HTTP_PROTO\""},
        {"datadogConfig: {clusterName: c}",
         "\"collectorCluster\":\"c\",\"serviceName\":\"g\",\"remoteConfig\":{}}"},
        {"datadogConfig: {clusterName: c, serviceName: s, collectorHostname: h, remoteConfig: "
         "{pollingInterval: 3s}}",
         "\"serviceName\":\"s\",\"collectorHostname\":\"h\",\"remoteConfig\":{\"pollingInterval\":"
         "\"3s\"}}"},
        {"datadogConfig: {clusterName: c, remoteConfig: {disabled: true}}",
         "\"serviceName\":\"g\"}"},
        {"openTelemetryConfig: {clusterName: c}",
         "\"grpcService\":{\"envoyGrpc\":{\"clusterName\":\"c\"}},\"serviceName\":\"g\"}"},
        {"openTelemetryConfig: {clusterName: c, serviceName: s, grpcService: {authority: a}, "
         "maxCacheSize: 7}",
         "\"grpcService\":{\"envoyGrpc\":{\"clusterName\":\"c\",\"authority\":\"a\"}},"
         "\"serviceName\":\"s\",\"maxCacheSize\":7}"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(made); i++) {
        struct world *w = option_world();
        put(w, sld_arena_fmt(&w->a, UPSTREAM("spans") ANSWERS TRACED("%s"), made[i].tracing).p);
        assert_clean(w, GW_KEY("g"));
        assert_has(json(w, out(w, SLD_OUT_LISTENER, LISTENER)), made[i].part);
        world_destroy(w);
    }
}

static void test_routes(void **state)
{
    (void)state;
    static const struct {
        const char *tracing, *part;
    } made[] = {
        // As in Gloo, the listener's shares do not count for a route that has tracing at all.
        {"routeDescriptor: d",
         "\"decorator\":{\"operation\":\"d\"},\"name\":\"gloo-system_v-route-0-matcher-0\","
         "\"tracing\":{\"clientSampling\":{\"numerator\":1000000,\"denominator\":\"MILLION\"},"
         "\"randomSampling\":{\"numerator\":1000000,"
         "\"denominator\":\"MILLION\"},\"overallSampling\":{\"numerator\":1000000,"
         "\"denominator\":\"MILLION\"}}"},
        {"routeDescriptor: d, propagate: false",
         "\"decorator\":{\"operation\":\"d\",\"propagate\":false}"},
        {"tracePercentages: {randomSamplePercentage: 0.5}",
         "\"randomSampling\":{\"numerator\":5000,\"denominator\":\"MILLION\"}"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(made); i++) {
        struct world *w = option_world();
        put(w, sld_arena_fmt(&w->a,
                             UPSTREAM("a") VS("v", "{virtualHost: {routes: [{matchers: [{prefix: "
                                                   "/}], " TO_A ", options: {tracing: {%s}}}]}}"),
                             made[i].tracing)
                   .p);
        assert_clean(w, VS_KEY("v"));
        assert_has(json(w, out(w, SLD_OUT_ROUTE, TABLE)), made[i].part);
        world_destroy(w);
    }
}

// ---- Mistakes ----

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *tracing, *path;
        enum sld_code code;
        enum sld_severity severity;
    } bad[] = {
        {"openCensusConfig: {}", PATH "openCensusConfig", SLD_OPTION_INVALID, SLD_ERROR},
        {"zipkinConfig: {clusterName: '', collectorEndpoint: /s}", PATH "zipkinConfig.clusterName",
         SLD_FIELD_RANGE, SLD_ERROR},
        {"datadogConfig: {clusterName: ''}", PATH "datadogConfig.clusterName", SLD_FIELD_RANGE,
         SLD_ERROR},
        {"openTelemetryConfig: {clusterName: ''}", PATH "openTelemetryConfig.clusterName",
         SLD_FIELD_RANGE, SLD_ERROR},
        {"zipkinConfig: {clusterName: c, collectorEndpoint: \"/a\\nb\"}",
         PATH "zipkinConfig.collectorEndpoint", SLD_OPTION_INVALID, SLD_ERROR},
        {"datadogConfig: {clusterName: c, collectorHostname: \"a\\nb\"}",
         PATH "datadogConfig.collectorHostname", SLD_OPTION_INVALID, SLD_ERROR},
        {"openTelemetryConfig: {clusterName: c, grpcService: {authority: \"a\\nb\"}}",
         PATH "openTelemetryConfig.grpcService.authority", SLD_OPTION_INVALID, SLD_ERROR},
        {"requestHeadersForTags: [\"a\\nb\"]", PATH "requestHeadersForTags[0]", SLD_OPTION_INVALID,
         SLD_ERROR},
        {"metadataForTags: [{tag: m, value: {namespace: a, key: b..c}}]",
         PATH "metadataForTags[0].value.key", SLD_OPTION_INVALID, SLD_ERROR},
        {"openTelemetryConfig: {collectorUpstreamRef: {name: spans}}",
         PATH "openTelemetryConfig.collectorUpstreamRef", SLD_OPTION_INVALID, SLD_WARNING},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        struct world *w = option_world();
        put(w, sld_arena_fmt(&w->a, UPSTREAM("spans") ANSWERS TRACED("%s"), bad[i].tracing).p);
        assert_finding(w, GW_KEY("g"), bad[i].code, bad[i].severity, bad[i].path);
        world_destroy(w);
    }
    struct world *w = option_world();
    put(w, VS("v", "{virtualHost: {routes: [{matchers: [{prefix: /}], directResponseAction: "
                   "{status: 200}, options: {tracing: {routeDescriptor: \"a\\nb\"}}}]}}"));
    assert_finding(w, VS_KEY("v"), SLD_FIELD_FORMAT, SLD_ERROR,
                   "virtualHost.routes[0].options.tracing.routeDescriptor");
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_the_listener_stays_while_its_collector_comes_and_goes),
        WORLD_TEST(test_a_refused_collector),
        WORLD_TEST(test_gateways_share_an_empty_cluster),
        WORLD_TEST(test_a_collector_by_its_name),
        WORLD_TEST(test_listeners),
        WORLD_TEST(test_routes),
        WORLD_TEST(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

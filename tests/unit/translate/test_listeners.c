// Listeners (gloo-compat 1.2, 1.6, 3.1, 3.4, 3.11, 3.12, 3.14; design section 5).
#include "option_world.h"

#include "cert.h"
#include "translate/inside.h"

#define LISTENER "listener-::-8080"
#define HTTPS "listener-::-8443"
#define TABLE "listener-::-8080-routes"
#define NOW 1800000000
#define VS1(name, domain)                                                                          \
    VS(name,                                                                                       \
       "{virtualHost: {domains: [" domain "], routes: [{matchers: [{prefix: /}], " TO_A "}]}}")

static bool needs(const struct sld_out *o, enum sld_out_type type, const char *name)
{
    for (size_t i = 0; i < o->need_count; i++) {
        if (o->needs[i].type == type && sld_str_eq(o->needs[i].name, sld_str_c(name)))
            return true;
    }
    return false;
}

static bool owned_by(const struct sld_out *o, const char *key)
{
    for (size_t i = 0; i < o->owner_count; i++) {
        if (sld_str_eq(sld_str_c(o->owners[i]), sld_str_c(key)))
            return true;
    }
    return false;
}

// ---- HTTP ----

static void test_http(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, UPSTREAM("a") VS1("v", "'*'")
               GATEWAY("g", "{bindAddress: '::', bindPort: 8080, httpGateway: {}}"));
    const struct sld_out *o = out(w, SLD_OUT_LISTENER, LISTENER);
    const char *text = json(w, o);
    assert_has(text, "{\"address\":\"::\",\"portValue\":8080,\"ipv4Compat\":true}");
    assert_has(text, "\"statPrefix\":\"http\",\"rds\":{\"configSource\":{\"ads\":{},"
                     "\"resourceApiVersion\":\"V3\"},\"routeConfigName\":\"" TABLE "\"}");
    assert_has(text, "\"upgradeConfigs\":[{\"upgradeType\":\"websocket\"}],\"normalizePath\":true");
    assert_has_not(text, "tls");
    assert_true(needs(o, SLD_OUT_ROUTE, TABLE));
    assert_int_equal(o->need_count, 1);
    assert_int_equal(o->cluster_count, 0);
    assert_true(owned_by(o, GW_KEY("g")));
    assert_int_equal(o->owner_count, 1);
    assert_false(o->secret);
    assert_true(sld_str_eq(o->view, SLD_STR("gloo-system~gateway-proxy")));
    assert_clean(w, GW_KEY("g"));
    world_destroy(w);
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        bool compat;
    } cases[] = {{"0.0.0.0", false}, {"127.0.0.1", false},      {"::", true},
                 {"::1", false},     {"::ffff:10.0.0.1", true}, {"fe80::1", false}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct world *w = option_world();
        const char *name = sld_arena_fmt(&w->a, "listener-%s-8080", cases[i].address).p;
        put(w, sld_arena_fmt(&w->a,
                             UPSTREAM("a") VS1("v", "'*'") GATEWAY(
                                 "g", "{bindAddress: '%s', bindPort: 8080, httpGateway: {}}"),
                             cases[i].address)
                   .p);
        const char *text = json(w, out(w, SLD_OUT_LISTENER, name));
        if (cases[i].compat)
            assert_has(text, "ipv4Compat");
        else
            assert_has_not(text, "ipv4Compat");
        world_destroy(w);
    }
}

static void test_proxies(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, UPSTREAM("a") VS1("v", "'*'") GATEWAY(
               "g", "{bindAddress: '::', bindPort: 8080, proxyNames: [in, out], httpGateway: {}}")
               GATEWAY(
                   "h",
                   "{bindAddress: '::', bindPort: 8080, proxyNames: [out, far], httpGateway: {}}"));
    // The first by name has the port in the proxy that both want.
    const struct sld_out *o = out_of(w, SLD_OUT_LISTENER, LISTENER, "gloo-system~out");
    assert_true(owned_by(o, GW_KEY("g")));
    assert_true(owned_by(out_of(w, SLD_OUT_LISTENER, LISTENER, "gloo-system~in"), GW_KEY("g")));
    assert_true(owned_by(out_of(w, SLD_OUT_LISTENER, LISTENER, "gloo-system~far"), GW_KEY("h")));
    assert_null(out_of(w, SLD_OUT_LISTENER, LISTENER, "gloo-system~gateway-proxy"));
    world_destroy(w);
}

static void use_settings(struct world *w, Gloo__Settings *s)
{
    sld_translate_set_settings(w->t, s);
    world_run(w);
}

static void test_empty(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, GATEWAY("g", "{bindAddress: '::', bindPort: 8080, httpGateway: {}}"));
    assert_null(out(w, SLD_OUT_LISTENER, LISTENER));
    Gloo__Settings s = GLOO__SETTINGS__INIT;
    Gloo__GatewayOptions g = GLOO__GATEWAY_OPTIONS__INIT;
    s.gateway = &g;
    g.translate_empty_gateways = sld_msg_bool(&w->a, true);
    use_settings(w, &s);
    assert_non_null(out(w, SLD_OUT_LISTENER, LISTENER));
    world_destroy(w);
}

// No edit of virtual services, route tables or upstreams changes a listener's bytes.
static void test_listener_stays(void **state)
{
    (void)state;
    static const char *const edits[] = {
        UPSTREAM("b"),
        "---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: a, namespace: "
        "gloo-system}\nspec: {useHttp2: true, static: {hosts: [{addr: 10.0.0.9, port: 81}]}}\n",
        VS("v",
           "{virtualHost: {routes: [{matchers: [{prefix: /}], " TO_A
           ", options: {cors: {allowOrigin: ['*']}, faults: {abort: {percentage: 1, "
           "httpStatus: 500}}, retries: {}, timeout: 1s, shadowing: {upstream: {name: b}}, "
           "headerManipulation: {requestHeadersToRemove: [a]}, upgrades: [{connect: {}}]}}]}}"),
        VS1("w", "w.com"),
        "---\napiVersion: gateway.solo.io/v1\nkind: RouteTable\nmetadata: {name: t, namespace: "
        "gloo-system}\nspec: {routes: [{matchers: [{prefix: /t}], directResponseAction: {status: "
        "200}}]}\n",
        VS("w", "{virtualHost: {domains: [w.com], routes: [{matchers: [{prefix: /t}], "
                "delegateAction: {ref: {name: t}}}], options: {cors: {allowOrigin: ['*']}}}}"),
        VS("w", "{virtualHost: {domains: [w.com], routes: [{matchers: [{regex: '('}]}]}}"),
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: gloo-system}\ntype: "
        "Opaque\nstringData: {a: b}\n",
    };
    struct world *w = option_world();
    put(w, UPSTREAM("a") VS1("v", "'*'")
               GATEWAY("g", "{bindAddress: '::', bindPort: 8080, httpGateway: {}}"));
    struct sld_hash before = out(w, SLD_OUT_LISTENER, LISTENER)->obj.hash;
    struct sld_hash routes = out(w, SLD_OUT_ROUTE, TABLE)->obj.hash;
    for (size_t i = 0; i < SLD_ARRAY_LEN(edits); i++) {
        put(w, edits[i]);
        if (!sld_hash_eq(before, out(w, SLD_OUT_LISTENER, LISTENER)->obj.hash))
            fail_msg("edit %zu changes the listener", i);
    }
    drop(w, "upstreams/gloo-system/a");
    drop(w, VS_KEY("w"));
    assert_true(sld_hash_eq(before, out(w, SLD_OUT_LISTENER, LISTENER)->obj.hash));
    assert_false(sld_hash_eq(routes, out(w, SLD_OUT_ROUTE, TABLE)->obj.hash));
    world_destroy(w);
}

// ---- The order of filters ----

static void many_filters(struct tr_listener *l)
{
    static const Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    if (!l->hcm)
        return;
    tr_filter_add(l, SLD_STAGE_ROUTE, SLD_AFTER, "i", &empty.base, false);
    tr_filter_add(l, SLD_STAGE_CORS, SLD_AFTER, "f", &empty.base, false);
    tr_filter_add(l, SLD_STAGE_CORS, SLD_DURING, "e", &empty.base, false);
    tr_filter_add(l, SLD_STAGE_CORS, SLD_DURING, "d", &empty.base, true);
    tr_filter_add(l, SLD_STAGE_CORS, SLD_BEFORE, "c", &empty.base, false);
    tr_filter_add(l, SLD_STAGE_FAULT, SLD_AFTER, "b", &empty.base, false);
    tr_filter_add(l, SLD_STAGE_FAULT, SLD_BEFORE, "a", &empty.base, false);
    tr_filter_add(l, SLD_STAGE_OUT_AUTH, SLD_DURING, "h", &empty.base, false);
    tr_filter_add(l, SLD_STAGE_RATE_LIMIT, SLD_DURING, "g", &empty.base, false);
}

static void test_filter_order(void **state)
{
    (void)state;
    static const struct sld_feature many = {.name = "many", .listener = many_filters};
    static const struct sld_feature *const features[] = {&many};
    struct world *w = world_create(features, 1);
    put(w, UPSTREAM("a") VS1("v", "'*'")
               GATEWAY("g", "{bindAddress: '::', bindPort: 8080, httpGateway: {}}"));
    const char *text = json(w, out(w, SLD_OUT_LISTENER, LISTENER));
    assert_has(text, "{\"name\":\"d\",\"typedConfig\":{\"@type\":\"type.googleapis.com/"
                     "google.protobuf.Empty\"},\"disabled\":true}");
    const char *at = text;
    for (const char *name = "abcdefghi"; *name; name++) {
        at = strstr(at, sld_arena_fmt(&w->a, "{\"name\":\"%c\"", *name).p);
        if (!at)
            fail_msg("%c is missing or too early in %s", *name, text);
    }
    assert_non_null(strstr(at, "envoy.filters.http.router"));
    world_destroy(w);
}

// ---- Options of listeners ----

static void test_listener_options(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *part;
    } made[] = {
        {"httpGateway: {options: {gzip: {compressionLevel: SPEED}}}",
         "\"compressionLevel\":\"BEST_SPEED\""},
        {"useProxyProto: true, httpGateway: {}",
         "\"listenerFilters\":[{\"name\":\"envoy.filters.listener.proxy_protocol\","},
        {"options: {proxyProtocol: {rules: [{tlvType: 2, onTlvPresent: {key: k}}]}}, httpGateway: "
         "{}",
         "\"rules\":[{\"tlvType\":2,\"onTlvPresent\":{\"key\":\"k\"}}]"},
        {"httpGateway: {options: {healthCheck: {path: /h}}}",
         "\"passThroughMode\":false,\"headers\":[{\"name\":\":path\",\"stringMatch\":{\"exact\":"
         "\"/h\"}}]"},
        {"httpGateway: {options: {httpConnectionManagerSettings: {normalizePath: false}}}",
         "\"normalizePath\":false"},
        {"httpGateway: {options: {httpConnectionManagerSettings: {upgrades: [{connect: {}}]}}}",
         "\"upgradeConfigs\":[{\"upgradeType\":\"CONNECT\"},{\"upgradeType\":\"websocket\"}]"},
        {"httpGateway: {options: {httpConnectionManagerSettings: {idleTimeout: 1s, codecType: "
         "HTTP2}}}",
         "\"commonHttpProtocolOptions\":{\"idleTimeout\":\"1s\"}"},
        {"httpGateway: {options: {httpConnectionManagerSettings: {setCurrentClientCertDetails: "
         "{dns: true}, forwardClientCertDetails: SANITIZE_SET}}}",
         "\"forwardClientCertDetails\":\"SANITIZE_SET\",\"setCurrentClientCertDetails\":{\"dns\":"
         "true}"},
        {"httpGateway: {options: {httpConnectionManagerSettings: {earlyHeaderManipulation: "
         "{headersToAdd: [{header: {key: a, value: b}}], headersToRemove: [c]}}}}",
         "\"mutations\":[{\"append\":{\"header\":{\"key\":\"a\",\"value\":\"b\"}}},{\"remove\":"
         "\"c\"}]"},
        {"httpGateway: {}, options: {accessLoggingService: {accessLog: [{fileSink: {path: /l, "
         "stringFormat: '%PROTOCOL%'}}]}}",
         "\"path\":\"/l\",\"logFormat\":{\"textFormatSource\":{\"inlineString\":\"%PROTOCOL%\"}"},
        {"httpGateway: {}, options: {accessLoggingService: {accessLog: [{fileSink: {path: /l, "
         "jsonFormat: {a: '%PROTOCOL%'}}, filter: {notHealthCheckFilter: {}}}]}}",
         "\"filter\":{\"notHealthCheckFilter\":{}}"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(made); i++) {
        struct world *w = option_world();
        put(w, sld_arena_fmt(&w->a,
                             UPSTREAM("a") VS1("v", "'*'")
                                 GATEWAY("g", "{bindAddress: '::', bindPort: 8080, %s}"),
                             made[i].spec)
                   .p);
        assert_clean(w, GW_KEY("g"));
        assert_has(json(w, out(w, SLD_OUT_LISTENER, LISTENER)), made[i].part);
        world_destroy(w);
    }
}

static void test_listener_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *spec, *path;
        enum sld_code code;
        enum sld_severity severity;
    } bad[] = {
        {"httpGateway: {virtualServiceExpressions: {expressions: [{key: a, operator: Exists, "
         "values: [b]}]}}",
         "httpGateway.virtualServiceExpressions.expressions[0].values", SLD_GW_SELECTOR, SLD_ERROR},
        {"httpGateway: {options: {healthCheck: {path: h}}}", "httpGateway.options.healthCheck.path",
         SLD_OPTION_INVALID, SLD_WARNING},
        {"httpGateway: {options: {httpConnectionManagerSettings: {upgrades: [{connectTerminate: "
         "{}}]}}}",
         "httpGateway.options.httpConnectionManagerSettings.upgrades[0].connectTerminate",
         SLD_OPTION_INVALID, SLD_ERROR},
        {"httpGateway: {options: {httpConnectionManagerSettings: {earlyHeaderManipulation: "
         "{headersToRemove: [':path']}}}}",
         "httpGateway.options.httpConnectionManagerSettings.earlyHeaderManipulation."
         "headersToRemove[0]",
         SLD_OPTION_HEADER, SLD_ERROR},
        {"httpGateway: {options: {httpConnectionManagerSettings: {earlyHeaderManipulation: "
         "{headersToAdd: [{headerSecretRef: {name: s}}]}}}}",
         "httpGateway.options.httpConnectionManagerSettings.earlyHeaderManipulation."
         "headersToAdd[0].headerSecretRef",
         SLD_REF_SECRET, SLD_ERROR},
        {"httpGateway: {}, options: {accessLoggingService: {accessLog: [{fileSink: {path: /l, "
         "stringFormat: '%NO%'}}]}}",
         "options.accessLoggingService.accessLog[0].fileSink.stringFormat", SLD_OPTION_INVALID,
         SLD_ERROR},
        {"httpGateway: {}, options: {accessLoggingService: {accessLog: [{fileSink: {path: /l, "
         "jsonFormat: {a: [{b: '5%'}]}}}]}}",
         "options.accessLoggingService.accessLog[0].fileSink.jsonFormat.a[0].b", SLD_OPTION_INVALID,
         SLD_ERROR},
        {"httpGateway: {}, options: {accessLoggingService: {accessLog: [{fileSink: {path: /l}, "
         "filter: {andFilter: {filters: [{responseFlagFilter: {flags: [UH, QQ]}}, "
         "{traceableFilter: {}}]}}}]}}",
         "options.accessLoggingService.accessLog[0].filter.andFilter.filters[0]."
         "responseFlagFilter.flags[1]",
         SLD_OPTION_INVALID, SLD_ERROR},
        {"tcpGateway: {tcpHosts: [{name: a, destination: {multi: {destinations: [{destination: "
         "{upstream: {name: a}}}]}}}]}",
         "tcpGateway.tcpHosts[0].destination.multi.destinations", SLD_ROUTE_WEIGHT, SLD_ERROR},
        {"tcpGateway: {tcpHosts: [{name: a, destination: {single: {upstream: {name: a}}}}, {name: "
         "a, sslConfig: {sniDomains: [x]}, destination: {single: {upstream: {name: a}}}}]}",
         "tcpGateway.tcpHosts[1].name", SLD_OPTION_INVALID, SLD_ERROR},
        {"tcpGateway: {tcpHosts: [{name: a, destination: {single: {upstream: {name: a}}}}, {name: "
         "b, sslConfig: {sniDomains: ['*']}, destination: {single: {upstream: {name: a}}}}]}",
         "tcpGateway.tcpHosts[1].sslConfig.sniDomains[0]", SLD_GW_SNI_CONFLICT, SLD_ERROR},
        {"tcpGateway: {tcpHosts: [{name: a, sslConfig: {sniDomains: [y, X]}, destination: {single: "
         "{upstream: {name: a}}}}, {name: b, sslConfig: {sniDomains: [x]}, destination: {single: "
         "{upstream: {name: a}}}}]}",
         "tcpGateway.tcpHosts[1].sslConfig.sniDomains[0]", SLD_GW_SNI_CONFLICT, SLD_ERROR},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        struct world *w = option_world();
        put(w, sld_arena_fmt(&w->a,
                             UPSTREAM("a") VS1("v", "'*'")
                                 GATEWAY("g", "{bindAddress: '::', bindPort: 8080, %s}"),
                             bad[i].spec)
                   .p);
        assert_finding(w, GW_KEY("g"), bad[i].code, bad[i].severity, bad[i].path);
        world_destroy(w);
    }
}

static void test_early_secret(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w,
        UPSTREAM("a") VS1(
            "v",
            "'*'") "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: "
                   "gloo-system}\ntype: "
                   "Opaque\nstringData: {k: hidden}\n" GATEWAY(
                       "g",
                       "{bindAddress: '::', bindPort: 8080, httpGateway: {options: "
                       "{httpConnectionManagerSettings: {earlyHeaderManipulation: {headersToAdd: "
                       "[{headerSecretRef: {name: s}}]}}}}}"));
    const struct sld_out *o = out(w, SLD_OUT_LISTENER, LISTENER);
    assert_true(o->secret);
    assert_has(json(w, o), "hidden");
    struct sld_buf b;
    sld_buf_init(&b, 1 << 16);
    sld_out_print(&b, o, SLD_TEXT_YAML);
    assert_true(sld_str_find(sld_buf_str(&b), SLD_STR("hidden")) < 0);
    sld_buf_fini(&b);
    world_destroy(w);
}

static void test_grpc_web(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w,
        UPSTREAM("a") VS1("v", "'*'")
            GATEWAY("g", "{bindAddress: '::', bindPort: 8080, httpGateway: {}}") GATEWAY(
                "h", "{bindAddress: '::', bindPort: 8081, httpGateway: {options: {grpcWeb: "
                     "{disable: true}}}}")
                GATEWAY(
                    "i",
                    "{bindAddress: '::', bindPort: 8082, httpGateway: {options: {grpcWeb: {}}}}"));
    assert_has(json(w, out(w, SLD_OUT_LISTENER, LISTENER)), "grpc_web");
    assert_has_not(json(w, out(w, SLD_OUT_LISTENER, "listener-::-8081")), "grpc_web");
    Gloo__Settings s = GLOO__SETTINGS__INIT;
    Gloo__GlooOptions g = GLOO__GLOO_OPTIONS__INIT;
    s.gloo = &g;
    g.disable_grpc_web = sld_msg_bool(&w->a, true);
    use_settings(w, &s);
    assert_has_not(json(w, out(w, SLD_OUT_LISTENER, LISTENER)), "grpc_web");
    assert_has(json(w, out(w, SLD_OUT_LISTENER, "listener-::-8082")), "grpc_web");
    world_destroy(w);
}

// ---- HTTPS ----

static const char *tls_secret(struct world *w, const char *name)
{
    struct pair p = pair_make(&w->a, name, NOW - 1000, NOW + 10000000);
    return secret_text(&w->a, name, p.cert, p.pem, SLD_STR(""));
}

#define VS_TLS(name, ssl)                                                                          \
    VS(name, "{virtualHost: {domains: [" name ".com], routes: [{matchers: [{prefix: /}], "         \
             "directResponseAction: {status: 200}}]}, sslConfig: {" ssl "}}")

static void test_https(void **state)
{
    (void)state;
    struct world *w = option_world();
    sld_translate_set_now(w->t, NOW);
    put(w, tls_secret(w, "a"));
    put(w, GATEWAY("g", "{bindAddress: '::', bindPort: 8443, ssl: true, httpGateway: {}}") VS_TLS(
               "a", "secretRef: {name: a}, sniDomains: [A.com], transportSocketConnectTimeout: 3s")
               VS_TLS("b", "secretRef: {name: b}, sniDomains: [b.com]"));
    const struct sld_out *o = out(w, SLD_OUT_LISTENER, HTTPS);
    const char *text = json(w, o);
    assert_has(text, "\"filterChainMatch\":{\"serverNames\":[\"a.com\"]}");
    assert_has(text, "\"transportSocketConnectTimeout\":\"3s\"");
    assert_has(text, "envoy.filters.listener.tls_inspector");
    assert_has_not(text, "b.com");
    assert_true(needs(o, SLD_OUT_ROUTE, "listener-::-8443-routes"));
    assert_true(needs(o, SLD_OUT_SECRET, "gloo-system.a/certificate"));
    assert_int_equal(o->need_count, 2);
    assert_true(owned_by(o, VS_KEY("a")));
    // The chain without its secret is withheld; its owner and the gateway are told.
    assert_finding(w, VS_KEY("b"), SLD_REF_SECRET, SLD_ERROR, "sslConfig.secretRef");
    assert_finding(w, GW_KEY("g"), SLD_REF_SECRET, SLD_ERROR, "");
    assert_clean(w, VS_KEY("a"));

    // A rotated certificate changes nothing here.
    struct sld_hash before = o->obj.hash;
    put(w, tls_secret(w, "a"));
    assert_true(sld_hash_eq(before, out(w, SLD_OUT_LISTENER, HTTPS)->obj.hash));

    put(w, tls_secret(w, "b"));
    o = out(w, SLD_OUT_LISTENER, HTTPS);
    assert_has(json(w, o), "\"serverNames\":[\"b.com\"]");
    assert_true(needs(o, SLD_OUT_SECRET, "gloo-system.b/certificate"));
    assert_clean(w, VS_KEY("b"));
    assert_clean(w, GW_KEY("g"));
    world_destroy(w);
}

static void test_https_without_secret(void **state)
{
    (void)state;
    struct world *w = option_world();
    sld_translate_set_now(w->t, NOW);
    put(w, GATEWAY("g", "{bindAddress: '::', bindPort: 8443, ssl: true, httpGateway: {}}")
               VS_TLS("a", "secretRef: {name: a}"));
    assert_null(out(w, SLD_OUT_LISTENER, HTTPS));
    assert_finding(w, GW_KEY("g"), SLD_REF_SECRET, SLD_ERROR, "");
    put(w, tls_secret(w, "a"));
    const char *text = json(w, out(w, SLD_OUT_LISTENER, HTTPS));
    assert_has_not(text, "filterChainMatch");
    assert_has(text, "tls_inspector");
    world_destroy(w);
}

// ---- TCP ----

static void test_tcp(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w,
        UPSTREAM("a") UPSTREAM(
            "b") "---\napiVersion: gloo.solo.io/v1\nkind: UpstreamGroup\nmetadata: {name: g, "
                 "namespace: "
                 "gloo-system}\nspec: {destinations: [{destination: {upstream: {name: b}}, weight: "
                 "7}]}\n" GATEWAY(
                     "t",
                     "{bindAddress: '::', bindPort: 8080, options: {accessLoggingService: "
                     "{accessLog: [{fileSink: {path: /l}}]}}, tcpGateway: {tcpHosts: ["
                     "{name: one, sslConfig: {sniDomains: [One.com, '*.one.com']}, destination: "
                     "{single: {upstream: {name: a}}}},"
                     "{name: two, sslConfig: {sniDomains: [two.com]}, destination: {multi: "
                     "{destinations: [{destination: {upstream: {name: a}, subset: {values: {k: v}}"
                     "}, weight: 2}, {destination: {upstream: {name: b}}}]}}},"
                     "{name: three, destination: {upstreamGroup: {name: g}}}]}}"));
    assert_clean(w, GW_KEY("t"));
    const struct sld_out *o = out(w, SLD_OUT_LISTENER, LISTENER);
    const char *text = json(w, o);
    assert_has(text, "\"serverNames\":[\"*.one.com\",\"one.com\"]");
    assert_has(text, "\"statPrefix\":\"tcp\",\"cluster\":\"a_gloo-system\",\"accessLog\":[");
    assert_has(text, "\"weightedClusters\":{\"clusters\":[{\"name\":\"a_gloo-system\",\"weight\":2,"
                     "\"metadataMatch\":{\"filterMetadata\":{\"envoy.lb\":{\"k\":\"v\"}}}}]}");
    assert_has(text,
               "\"weightedClusters\":{\"clusters\":[{\"name\":\"b_gloo-system\",\"weight\":7}]"
               "}");
    assert_has(text, "envoy.filters.listener.tls_inspector");
    assert_int_equal(o->cluster_count, 2);
    assert_true(sld_str_eq(o->clusters[0], SLD_STR("a_gloo-system")));
    assert_true(owned_by(o, "upstreamgroups/gloo-system/g"));

    // A missing upstream is a warning; the listener stays as it is.
    struct sld_hash before = o->content;
    drop(w, "upstreams/gloo-system/a");
    o = out(w, SLD_OUT_LISTENER, LISTENER);
    assert_true(sld_hash_eq(before, o->content));
    assert_int_equal(o->cluster_count, 1);
    assert_finding(w, GW_KEY("t"), SLD_REF_UPSTREAM, SLD_WARNING,
                   "tcpGateway.tcpHosts[0].destination.single.upstream");
    assert_finding(w, GW_KEY("t"), SLD_REF_UPSTREAM, SLD_WARNING,
                   "tcpGateway.tcpHosts[1].destination.multi.destinations[0].destination.upstream");
    drop(w, "upstreamgroups/gloo-system/g");
    assert_finding(w, GW_KEY("t"), SLD_REF_UPSTREAM_GROUP, SLD_WARNING,
                   "tcpGateway.tcpHosts[2].destination.upstreamGroup");
    world_destroy(w);
}

static void test_tcp_tls(void **state)
{
    (void)state;
    struct world *w = option_world();
    sld_translate_set_now(w->t, NOW);
    put(w, UPSTREAM("a") GATEWAY(
               "t", "{bindAddress: '::', bindPort: 8080, tcpGateway: {tcpHosts: [{name: one, "
                    "sslConfig: {secretRef: {name: s}}, destination: {single: {upstream: {name: "
                    "a}}}}]}}"));
    assert_null(out(w, SLD_OUT_LISTENER, LISTENER));
    assert_finding(w, GW_KEY("t"), SLD_REF_SECRET, SLD_ERROR,
                   "tcpGateway.tcpHosts[0].sslConfig.secretRef");
    put(w, tls_secret(w, "s"));
    assert_clean(w, GW_KEY("t"));
    const struct sld_out *o = out(w, SLD_OUT_LISTENER, LISTENER);
    assert_has(json(w, o), "DownstreamTlsContext");
    assert_has_not(json(w, o), "filterChainMatch");
    assert_true(needs(o, SLD_OUT_SECRET, "gloo-system.s/certificate"));
    world_destroy(w);
}

// ---- What is there whatever the gateways say ----

static void test_fixed(void **state)
{
    (void)state;
    struct world *w = option_world();
    world_run(w);
    const char *view = sld_arena_cstr(&w->a, sld_fallback_view);
    const struct sld_out *o = out_of(w, SLD_OUT_LISTENER, "listener_for_unknown_role", view);
    assert_has(json(w, o), "{\"address\":\"::\",\"portValue\":8080,\"ipv4Compat\":true}");
    assert_has(json(w, o), "\"directResponse\":{\"status\":500,");
    assert_null(out(w, SLD_OUT_CLUSTER, TR_FALLBACK_CLUSTER));

    Gloo__Settings s = GLOO__SETTINGS__INIT;
    Gloo__GlooOptions g = GLOO__GLOO_OPTIONS__INIT;
    Gloo__GlooOptions__InvalidConfigPolicy p = GLOO__GLOO_OPTIONS__INVALID_CONFIG_POLICY__INIT;
    s.gloo = &g;
    s.ip_v4_only = true;
    g.invalid_config_policy = &p;
    p.replace_invalid_routes = true;
    use_settings(w, &s);
    o = out_of(w, SLD_OUT_LISTENER, "listener_for_unknown_role", view);
    assert_has(json(w, o), "{\"address\":\"0.0.0.0\",\"portValue\":8080}");
    o = out_of(w, SLD_OUT_LISTENER, "fallback_listener_for_invalid_routes", "");
    assert_has(json(w, o), "\"pipe\":{\"path\":\"@fallback_listener_for_invalid_routes\"}");
    assert_has(json(w, o), "\"status\":404,\"body\":{\"inlineString\":\"The gateway");
    o = out_of(w, SLD_OUT_CLUSTER, TR_FALLBACK_CLUSTER, "");
    assert_has(json(w, o), "\"pipe\":{\"path\":\"@fallback_listener_for_invalid_routes\"}");
    assert_true(o->gated);
    assert_false(o->eds);

    // A body longer than Envoy's limit raises the limit.
    char body[5001];
    memset(body, 'x', sizeof(body) - 1);
    body[sizeof(body) - 1] = 0;
    p.invalid_route_response_body = body;
    p.invalid_route_response_code = 418;
    use_settings(w, &s);
    o = out(w, SLD_OUT_LISTENER, "fallback_listener_for_invalid_routes");
    assert_has(json(w, o), "\"maxDirectResponseBodySizeBytes\":5000");
    assert_has(json(w, o), "\"status\":418");
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_http),
        WORLD_TEST(test_addresses),
        WORLD_TEST(test_proxies),
        WORLD_TEST(test_empty),
        WORLD_TEST(test_listener_stays),
        WORLD_TEST(test_filter_order),
        WORLD_TEST(test_listener_options),
        WORLD_TEST(test_listener_mistakes),
        WORLD_TEST(test_early_secret),
        WORLD_TEST(test_grpc_web),
        WORLD_TEST(test_https),
        WORLD_TEST(test_https_without_secret),
        WORLD_TEST(test_tcp),
        WORLD_TEST(test_tcp_tls),
        WORLD_TEST(test_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

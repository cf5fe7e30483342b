// Options of virtual hosts, routes and weighted destinations (gloo-compat 1.16, 1.19, 5.2).
#include "option_world.h"

#define VS1(routes, more) VS("v", "{virtualHost: {routes: [" routes "]" more "}}")
#define ROUTE(options) "{matchers: [{prefix: /}], " TO_A ", options: {" options "}}"
#define TABLE "listener-::-8080-routes"

// ---- What becomes of options ----

struct made {
    const char *options, *part;
};

static void each_made(const char *what, const char *head, const char *tail, const struct made *m,
                      size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct world *w = option_world();
        struct sld_str text =
            sld_arena_fmt(&w->a, "%s%s%s%s", UPSTREAM("a") UPSTREAM("b"), head, m[i].options, tail);
        put(w, text.p);
        if (!out(w, SLD_OUT_ROUTE, TABLE)) {
            print_findings(w, VS_KEY("v"));
            fail_msg("%s: %s", what, m[i].options);
        }
        assert_clean(w, VS_KEY("v"));
        assert_has(json(w, out(w, SLD_OUT_ROUTE, TABLE)), m[i].part);
        world_destroy(w);
    }
}

static void test_routes(void **state)
{
    (void)state;
    static const struct made made[] = {
        {"prefixRewrite: /b", "\"prefixRewrite\":\"/b\""},
        {"regexRewrite: {pattern: {regex: '/(a)'}, substitution: '/\\1'}",
         "\"regexRewrite\":{\"pattern\":{\"regex\":\"/(a)\"},\"substitution\":\"/\\\\1\"}"},
        {"hostRewrite: h.com", "\"hostRewriteLiteral\":\"h.com\""},
        {"autoHostRewrite: true", "\"autoHostRewrite\":true"},
        {"timeout: 1.5s", "\"timeout\":\"1.5s\""},
        {"retries: {retryOn: 5xx}", "\"retryPolicy\":{\"retryOn\":\"5xx\",\"numRetries\":1}"},
        {"retries: {retryOn: 5xx, numRetries: 4, retriableStatusCodes: [409]}",
         "\"numRetries\":4,\"retriableStatusCodes\":[409]"},
        {"retries: {retryBackOff: {baseInterval: 1s, maxInterval: 1s}}",
         "\"retryBackOff\":{\"baseInterval\":\"1s\",\"maxInterval\":\"1s\"}"},
        {"retries: {previousPriorities: {}}",
         "\"name\":\"envoy.retry_priorities.previous_priorities\""},
        {"retries: {rateLimitedRetryBackOff: {resetHeaders: [{name: a, format: UNIX_TIMESTAMP}]}}",
         "\"resetHeaders\":[{\"name\":\"a\",\"format\":\"UNIX_TIMESTAMP\"}]"},
        {"faults: {abort: {percentage: 0.5, httpStatus: 418}}",
         "\"httpStatus\":418,\"percentage\":{\"numerator\":5000,\"denominator\":\"MILLION\"}"},
        {"faults: {delay: {percentage: 100, fixedDelay: 0.1s}}",
         "\"fixedDelay\":\"0.1s\",\"percentage\":{\"numerator\":1000000"},
        {"shadowing: {upstream: {name: b}, percentage: 1}", "\"cluster\":\"b_gloo-system\""},
        {"lbHash: {hashPolicies: [{header: x, terminal: true}, {cookie: {name: c, ttl: 1s}}]}",
         "\"hashPolicy\":[{\"header\":{\"headerName\":\"x\"},\"terminal\":true},{\"cookie\":{"
         "\"name\":\"c\",\"ttl\":\"1s\"}}]"},
        {"upgrades: [{websocket: {enabled: false}}, {connectTerminate: {}}]",
         "\"upgradeConfigs\":[{\"upgradeType\":\"websocket\",\"enabled\":false},{\"upgradeType\":"
         "\"CONNECT\",\"connectConfig\":{}}]"},
        {"cors: {allowOrigin: ['*'], allowMethods: [GET, PUT]}",
         "\"allowOriginStringMatch\":[{\"exact\":\"*\"}],\"allowMethods\":\"GET,PUT\""},
        {"cors: {disableForRoute: true}",
         "\"filterEnabled\":{\"defaultValue\":{},\"runtimeKey\":\"gloo.routeplugin.cors\"}"},
        {"headerManipulation: {requestHeadersToAdd: [{header: {key: a, value: b}, append: false}]}",
         "\"requestHeadersToAdd\":[{\"header\":{\"key\":\"a\",\"value\":\"b\"},\"appendAction\":"
         "\"OVERWRITE_IF_EXISTS_OR_ADD\"}]"},
        {"headerManipulation: {responseHeadersToAdd: [{header: {key: a, value: b}}], "
         "responseHeadersToRemove: [c]}",
         "\"responseHeadersToAdd\":[{\"header\":{\"key\":\"a\",\"value\":\"b\"}}],"
         "\"responseHeadersToRemove\":[\"c\"]"},
    };
    each_made("route",
              "---\napiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: "
              "v, namespace: gloo-system}\nspec: {virtualHost: {routes: [{matchers: "
              "[{prefix: /}], " TO_A ", options: {",
              "}}]}}\n", made, SLD_ARRAY_LEN(made));
}

static void test_virtual_hosts(void **state)
{
    (void)state;
    static const struct made made[] = {
        {"retries: {retryOn: 5xx}", "\"retryPolicy\":{\"retryOn\":\"5xx\",\"numRetries\":1}"},
        {"cors: {allowOrigin: [http://a.com]}",
         "\"typedPerFilterConfig\":{\"envoy.filters.http.cors\":"},
        {"headerManipulation: {requestHeadersToRemove: [x]}", "\"requestHeadersToRemove\":[\"x\"]"},
    };
    each_made("virtual host",
              "---\napiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: v, "
              "namespace: gloo-system}\nspec: {virtualHost: {routes: [{" TO_A "}], options: {",
              "}}}\n", made, SLD_ARRAY_LEN(made));
}

static void test_weighted(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, UPSTREAM("a") UPSTREAM("b") VS1(
               "{matchers: [{prefix: /}], routeAction: {multi: {destinations: [{destination: "
               "{upstream: {name: a}}, weight: 1, options: {headerManipulation: "
               "{requestHeadersToAdd: [{header: {key: to, value: a}}]}}}, {destination: {upstream: "
               "{name: b}}, weight: 1}]}}}",
               ""));
    assert_clean(w, VS_KEY("v"));
    assert_has(json(w, out(w, SLD_OUT_ROUTE, TABLE)),
               "{\"name\":\"a_gloo-system\",\"weight\":1,\"requestHeadersToAdd\":[{\"header\":{"
               "\"key\":\"to\",\"value\":\"a\"}}]},{\"name\":\"b_gloo-system\",\"weight\":1}");
    world_destroy(w);
}

// Options that only requests to upstreams can have leave other actions alone.
static void test_other_actions(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w,
        UPSTREAM("a") VS1(
            "{matchers: [{prefix: /}], directResponseAction: {status: 200}, options: "
            "{prefixRewrite: /b, timeout: 1s, retries: {}, hostRewrite: h, lbHash: {hashPolicies: "
            "[{sourceIp: true}]}, upgrades: [{websocket: {}}], shadowing: {upstream: {name: a}}, "
            "headerManipulation: {responseHeadersToAdd: [{header: {key: k, value: v}}]}}}",
            ""));
    assert_clean(w, VS_KEY("v"));
    const char *text = json(w, out(w, SLD_OUT_ROUTE, TABLE));
    assert_has(text, "\"directResponse\":{\"status\":200},\"responseHeadersToAdd\":[{\"header\":{"
                     "\"key\":\"k\",\"value\":\"v\"}}],\"name\":");
    assert_finding(w, VS_KEY("v"), SLD_OPTION_UNUSED, SLD_NOTE,
                   "virtualHost.routes[0].options.timeout");
    world_destroy(w);
}

// ---- cors ----

static void test_cors_union(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w,
        UPSTREAM("a") VS1(ROUTE("cors: {allowOrigin: [http://a.com], exposeHeaders: [x-r, X-B]}"),
                          ", options: {cors: {allowOrigin: ['*'], exposeHeaders: [x-v, x-b]}, "
                          "corsPolicyMergeSettings: {exposeHeaders: UNION}}"));
    assert_has(json(w, out(w, SLD_OUT_ROUTE, TABLE)),
               "[{\"exact\":\"http://a.com\"}],\"exposeHeaders\":\"x-v,x-b,x-r\"");
    world_destroy(w);
}

static void test_cors_direct(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, VS1("{matchers: [{prefix: /}], directResponseAction: {status: 200}, options: {cors: "
               "{allowOrigin: [http://a.com, http://b.com], maxAge: '5', allowCredentials: true}}}",
               ""));
    const char *text = json(w, out(w, SLD_OUT_ROUTE, TABLE));
    assert_has(text, "{\"key\":\"Access-Control-Allow-Origin\",\"value\":\"http://a.com\"}");
    assert_has(text, "{\"key\":\"Access-Control-Max-Age\",\"value\":\"5\"}");
    assert_has(text, "{\"key\":\"Access-Control-Allow-Credentials\",\"value\":\"true\"}");
    assert_has_not(text, "typedPerFilterConfig");
    assert_finding(w, VS_KEY("v"), SLD_OPTION_UNUSED, SLD_WARNING,
                   "virtualHost.routes[0].options.cors");
    world_destroy(w);
}

static void test_cors_redirect(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w,
        "---\napiVersion: gateway.solo.io/v1\nkind: RouteOption\nmetadata: {name: o, namespace: "
        "gloo-system}\nspec: {options: {cors: {allowOrigin: ['*']}}}\n" VS1(
            "{matchers: [{prefix: /}], redirectAction: {hostRedirect: h.com}, optionsConfigRefs: "
            "{delegateOptions: [{name: o}]}}",
            ""));
    assert_finding(w, VS_KEY("v"), SLD_OPTION_INVALID, SLD_ERROR,
                   "virtualHost.routes[0].options.cors");
    assert_has_not(json(w, out(w, SLD_OUT_ROUTE, TABLE)), "cors");
    world_destroy(w);
}

// ---- Rewrites that meet ----

static void test_rewrites_meet(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, UPSTREAM("a") "---\napiVersion: gateway.solo.io/v1\nkind: RouteOption\nmetadata: {name: "
                         "o, namespace: "
                         "gloo-system}\nspec: {options: {regexRewrite: {pattern: {regex: a}, "
                         "substitution: b}}}\n" VS1(
                             "{matchers: [{prefix: /}], " TO_A
                             ", options: {prefixRewrite: /x}, optionsConfigRefs: "
                             "{delegateOptions: [{name: o}]}}",
                             ""));
    assert_clean(w, VS_KEY("v"));
    const char *text = json(w, out(w, SLD_OUT_ROUTE, TABLE));
    assert_has(text, "\"prefixRewrite\":\"/x\"");
    assert_has_not(text, "regexRewrite");
    world_destroy(w);
}

// ---- shadowing ----

static void test_shadowing(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, UPSTREAM("a") VS1(ROUTE("shadowing: {upstream: {name: b}, percentage: 50}"), ""));
    assert_finding(w, VS_KEY("v"), SLD_REF_UPSTREAM, SLD_WARNING,
                   "virtualHost.routes[0].options.shadowing.upstream");
    assert_has_not(json(w, out(w, SLD_OUT_ROUTE, TABLE)), "requestMirrorPolicies");

    // The mirror's cluster is one that the table depends on.
    put(w, UPSTREAM("b"));
    assert_clean(w, VS_KEY("v"));
    const struct sld_out *o = out(w, SLD_OUT_ROUTE, TABLE);
    assert_has(json(w, o), "\"requestMirrorPolicies\":[{\"cluster\":\"b_gloo-system\"");
    assert_int_equal(o->cluster_count, 2);
    assert_true(sld_str_eq(o->clusters[1], SLD_STR("b_gloo-system")));
    world_destroy(w);
}

// ---- Header secrets ----

#define SECRET(name, data)                                                                         \
    "---\napiVersion: v1\nkind: Secret\nmetadata: {name: " name                                    \
    ", namespace: gloo-system}\ntype: Opaque\nstringData: {" data "}\n"
#define WITH_SECRET(name)                                                                          \
    ROUTE("headerManipulation: {requestHeadersToAdd: [{header: {key: k, value: v}}, "              \
          "{headerSecretRef: {name: " name "}}]}")
#define SECRET_PATH                                                                                \
    "virtualHost.routes[0].options.headerManipulation.requestHeadersToAdd[1].headerSecretRef"

static void test_header_secret(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, UPSTREAM("a") VS1(WITH_SECRET("s"), ""));
    assert_finding(w, VS_KEY("v"), SLD_REF_SECRET, SLD_ERROR, SECRET_PATH);
    assert_false(out(w, SLD_OUT_ROUTE, TABLE)->secret);
    assert_has(json(w, out(w, SLD_OUT_ROUTE, TABLE)), "\"key\":\"k\"");

    put(w, SECRET("s", "x-b: 50% off, x-a: first"));
    assert_clean(w, VS_KEY("v"));
    const struct sld_out *o = out(w, SLD_OUT_ROUTE, TABLE);
    assert_true(o->secret);
    assert_has(json(w, o), "{\"key\":\"k\",\"value\":\"v\"}},{\"header\":{\"key\":\"x-a\","
                           "\"value\":\"first\"}},{\"header\":{\"key\":\"x-b\",\"value\":\"50%% "
                           "off\"}}]");

    // Entries that cannot be headers are told without their values; the others stay.
    put(w, SECRET("s", "x-a: first, Host: hidden1, x-c: \"hidden2\\n\""));
    const struct sld_finding *f =
        finding(w, VS_KEY("v"), SLD_OPTION_HEADER, SLD_ERROR, SECRET_PATH);
    assert_non_null(f);
    const struct sld_status *s = sld_translate_status(w->t, SLD_STR(VS_KEY("v")));
    assert_true(sld_str_find(s->reason, SLD_STR("hidden")) < 0);
    assert_has(json(w, out(w, SLD_OUT_ROUTE, TABLE)), "\"first\"");
    assert_has_not(json(w, out(w, SLD_OUT_ROUTE, TABLE)), "hidden");

    put(w, "---\nmetadata: {name: s, namespace: gloo-system}\napiVersion: gloo.solo.io/v1\nkind: "
           "Secret\nazure: {apiKeys: {a: b}}\n");
    assert_finding(w, VS_KEY("v"), SLD_SECRET_KIND, SLD_ERROR, SECRET_PATH);
    world_destroy(w);
}

// ---- Mistakes found in the document alone ----

static void test_mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        enum sld_code code;
        const char *field;
    } bad[] = {
        {"prefixRewrite: /a//b", SLD_ROUTE_PATH, "prefixRewrite"},
        {"prefixRewrite: /a, regexRewrite: {pattern: {regex: a}}", SLD_OPTION_INVALID,
         "prefixRewrite"},
        {"regexRewrite: {pattern: {regex: a}, substitution: '\\1'}", SLD_OPTION_INVALID,
         "regexRewrite.substitution"},
        {"regexRewrite: {pattern: {regex: a}, substitution: 'b\\'}", SLD_OPTION_INVALID,
         "regexRewrite.substitution"},
        {"regexRewrite: {pattern: {regex: '('}}", SLD_FIELD_FORMAT, "regexRewrite.pattern.regex"},
        {"regexRewrite: {pattern: {regex: '[a-z0-9_]{1000}([a-z0-9_]{1000})*'}}",
         SLD_ROUTE_REGEX_SIZE, "regexRewrite.pattern.regex"},
        {"retries: {retryBackOff: {baseInterval: 2s, maxInterval: 1s}}", SLD_OPTION_INVALID,
         "retries.retryBackOff.maxInterval"},
        {"retries: {retryBackOff: {maxInterval: 1s}}", SLD_FIELD_REQUIRED,
         "retries.retryBackOff.baseInterval"},
        {"cors: {}", SLD_OPTION_INVALID, "cors"},
        {"upgrades: [{connect: {}}, {connectTerminate: {}}]", SLD_OPTION_INVALID, "upgrades[1]"},
        {"headerManipulation: {requestHeadersToAdd: [{header: {key: ':path', value: x}}]}",
         SLD_OPTION_HEADER, "headerManipulation.requestHeadersToAdd[0].header.key"},
        {"headerManipulation: {responseHeadersToAdd: [{header: {key: Host, value: x}}]}",
         SLD_OPTION_HEADER, "headerManipulation.responseHeadersToAdd[0].header.key"},
        {"headerManipulation: {requestHeadersToRemove: [a, host]}", SLD_OPTION_HEADER,
         "headerManipulation.requestHeadersToRemove[1]"},
        {"headerManipulation: {responseHeadersToAdd: [{header: {key: x, value: '%NOPE%'}}]}",
         SLD_OPTION_INVALID, "headerManipulation.responseHeadersToAdd[0].header.value"},
        {"faults: {delay: {percentage: 1}}", SLD_FIELD_REQUIRED, "faults.delay.fixedDelay"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        struct world *w = option_world();
        struct sld_str text =
            sld_arena_fmt(&w->a,
                          "%s---\napiVersion: gateway.solo.io/v1\nkind: "
                          "VirtualService\nmetadata: {name: v, namespace: "
                          "gloo-system}\nspec: {virtualHost: {routes: [{matchers: "
                          "[{prefix: /}], " TO_A ", options: {%s}}]}}\n",
                          UPSTREAM("a"), bad[i].options);
        put(w, text.p);
        struct sld_str path =
            sld_arena_fmt(&w->a, "virtualHost.routes[0].options.%s", bad[i].field);
        assert_finding(w, VS_KEY("v"), bad[i].code, SLD_ERROR, path.p);
        assert_null(out(w, SLD_OUT_ROUTE, TABLE)); // never accepted, so nothing is in force
        world_destroy(w);
    }
}

static void test_redirect_mistake(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, VS1("{matchers: [{prefix: /}], redirectAction: {hostRedirect: h.com}, options: {cors: "
               "{allowOrigin: ['*']}}}",
               ", options: {cors: {}}"));
    assert_finding(w, VS_KEY("v"), SLD_OPTION_INVALID, SLD_ERROR,
                   "virtualHost.routes[0].options.cors");
    assert_finding(w, VS_KEY("v"), SLD_OPTION_INVALID, SLD_ERROR, "virtualHost.options.cors");
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_routes),        WORLD_TEST(test_virtual_hosts),
        WORLD_TEST(test_weighted),      WORLD_TEST(test_other_actions),
        WORLD_TEST(test_cors_union),    WORLD_TEST(test_cors_direct),
        WORLD_TEST(test_cors_redirect), WORLD_TEST(test_rewrites_meet),
        WORLD_TEST(test_shadowing),     WORLD_TEST(test_header_secret),
        WORLD_TEST(test_mistakes),      WORLD_TEST(test_redirect_mistake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

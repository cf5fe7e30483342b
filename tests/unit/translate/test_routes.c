// Virtual hosts and their routes (gloo-compat 1.4, 1.5, 3.3, 3.9, 3.10, 3.12).
#include "route_world.h"

#include "translate/feature.h"

#define UPSTREAM(name)                                                                             \
    "---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: " name                     \
    ", namespace: gloo-system}\nspec: {static: {hosts: [{addr: 10.0.0.1, port: 80}]}}\n"
#define VS(name, spec)                                                                             \
    "---\napiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: " name            \
    ", namespace: gloo-system}\nspec: " spec "\n"
#define KEY(name) "virtualservices/gloo-system/" name

static void test_names_and_matchers(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w,
        UPSTREAM("a") VS("my.vs", "{virtualHost: {domains: [Example.com, '*.x.org'], routes: ["
                                  "{matchers: [{prefix: /p, caseSensitive: false}, {exact: /e},"
                                  " {regex: '/r.*', methods: [GET, 'M+P']}, {connectMatcher: {}}],"
                                  "  routeAction: {single: {upstream: {name: a}}}},"
                                  "{name: second, matchers: [{prefix: /h, headers: [{name: x},"
                                  "  {name: y, value: v}, {name: z, value: 'v.', regex: true,"
                                  "  invertMatch: true}], queryParameters: [{name: q},"
                                  "  {name: r, value: '1'}, {name: s, value: '[0-9]', regex:"
                                  "  true}]}], routeAction: {single: {upstream: {name: a}}}},"
                                  "{directResponseAction: {status: 418, body: teapot}}]}}"));
    assert_clean(w, KEY("my.vs"));
    assert_string_equal(
        table_text(w, "listener-::-8080-routes", true),
        "gloo-system_my_vs [*.x.org example.com]\n"
        "  gloo-system_my_vs-route-0-matcher-0: /p* case:false -> a_gloo-system\n"
        "  gloo-system_my_vs-route-0-matcher-1: /e -> a_gloo-system\n"
        "  gloo-system_my_vs-route-0-matcher-2: ~/r.* :method~GET|M\\+P -> a_gloo-system\n"
        "  gloo-system_my_vs-route-0-matcher-3: CONNECT -> a_gloo-system\n"
        "  gloo-system_my_vs-route-1-vs:gateway-proxy_gateway-proxy_gloo-system_my.vs_route:second"
        "-matcher-0: /h* x y=v not z~v. ? q ? r=1 ? s~[0-9] -> a_gloo-system\n"
        "  gloo-system_my_vs-route-2-matcher-0: /* -> answer 418 teapot\n"
        "clusters: a_gloo-system\n");
    world_destroy(w);
}

static void test_actions(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w,
        UPSTREAM("a") UPSTREAM(
            "b") "---\napiVersion: gloo.solo.io/v1\nkind: UpstreamGroup\nmetadata: {name: g, "
                 "namespace: "
                 "gloo-system}\nspec: {destinations: [{destination: {upstream: {name: b}}, weight: "
                 "7}]}\n" VS(
                     "v",
                     "{virtualHost: {routes: ["
                     "{matchers: [{prefix: /m}], routeAction: {multi: {destinations: ["
                     "  {destination: {upstream: {name: a}}, weight: 1}, {destination: {upstream: "
                     "{name:"
                     "  b}}, weight: 3}, {destination: {upstream: {name: a}}}]}}},"
                     "{matchers: [{prefix: /g}], routeAction: {upstreamGroup: {name: g, namespace:"
                     "  gloo-system}}},"
                     "{matchers: [{prefix: /c}], routeAction: {clusterHeader: x-cluster}},"
                     "{matchers: [{prefix: /r1}], redirectAction: {hostRedirect: h.com, "
                     "pathRedirect:"
                     "  /p, responseCode: FOUND, httpsRedirect: true, stripQuery: true}},"
                     "{matchers: [{prefix: /r2}], redirectAction: {prefixRewrite: /q, portRedirect:"
                     "  8443}},"
                     "{matchers: [{prefix: /r3}], redirectAction: {regexRewrite: {pattern: {regex:"
                     "  '^/(.*)$'}, substitution: '/x/\\1'}}}]}}"));
    assert_clean(w, KEY("v"));
    assert_clean(w, "upstreamgroups/gloo-system/g");
    assert_routes(w, "gloo-system_v [*]\n"
                     "  /m* -> a_gloo-system:1 b_gloo-system:3 a_gloo-system:0\n"
                     "  /g* -> b_gloo-system:7\n"
                     "  /c* -> header x-cluster\n"
                     "  /r1* -> redirect 1 host=h.com port=0 path=/p https strip\n"
                     "  /r2* -> redirect 0 host= port=8443 prefix=/q\n"
                     "  /r3* -> redirect 0 host= port=0 regex=/x/\\1\n"
                     "clusters: a_gloo-system b_gloo-system\n");
    world_destroy(w);
}

static const char missing[] = VS(
    "v", "{virtualHost: {routes: ["
         "{matchers: [{prefix: /m}, {exact: /mm}], routeAction: {single: {upstream: {name: a}}}},"
         "{matchers: [{prefix: /w}], routeAction: {multi: {destinations: ["
         "  {destination: {upstream: {name: a}}, weight: 1}, {destination: {upstream: {name: b}},"
         "  weight: 1}]}}},"
         "{matchers: [{prefix: /g}], routeAction: {upstreamGroup: {name: g, namespace:"
         "  gloo-system}}}]}}");

static void test_missing_destinations(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w, UPSTREAM("b"));
    put(w, missing);
    // Warnings; the routes stay, and what is missing answers 503.
    assert_routes(w, "gloo-system_v [*]\n"
                     "  /m* -> a_gloo-system\n"
                     "  /mm -> a_gloo-system\n"
                     "  /w* -> a_gloo-system:1 b_gloo-system:1\n"
                     "  /g* -> solder-no-destination\n"
                     "clusters: b_gloo-system\n");
    const struct sld_finding *f = finding(w, KEY("v"), SLD_REF_UPSTREAM, SLD_WARNING,
                                          "virtualHost.routes[0].routeAction.single.upstream");
    assert_non_null(f);
    assert_true(
        sld_str_find(f->message, SLD_STR("Route Warning: InvalidDestinationWarning. Reason: "
                                         "*v1.Upstream { gloo-system.a } not found")) == 0);
    assert_finding(w, KEY("v"), SLD_REF_UPSTREAM, SLD_WARNING,
                   "virtualHost.routes[1].routeAction.multi.destinations[0].destination.upstream");
    assert_finding(w, KEY("v"), SLD_REF_UPSTREAM_GROUP, SLD_WARNING,
                   "virtualHost.routes[2].routeAction.upstreamGroup");
    assert_int_equal(sld_translate_status(w->t, SLD_STR(KEY("v")))->warnings, 3);
    // It heals by itself.
    put(w, UPSTREAM("a"));
    assert_null(finding(w, KEY("v"), SLD_REF_UPSTREAM, SLD_WARNING,
                        "virtualHost.routes[0].routeAction.single.upstream"));
    world_destroy(w);
}

static void test_replaced(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    Gloo__GlooOptions__InvalidConfigPolicy p = GLOO__GLOO_OPTIONS__INVALID_CONFIG_POLICY__INIT;
    Gloo__GlooOptions g = GLOO__GLOO_OPTIONS__INIT;
    Gloo__Settings s = GLOO__SETTINGS__INIT;
    p.replace_invalid_routes = true;
    g.invalid_config_policy = &p;
    s.gloo = &g;
    sld_translate_set_settings(w->t, &s);
    put(w, UPSTREAM("b"));
    put(w, missing);
    assert_routes(w, "gloo-system_v [*]\n"
                     "  /m* -> fallback_cluster_for_invalid_routes\n"
                     "  /mm -> fallback_cluster_for_invalid_routes\n"
                     "  /w* -> fallback_cluster_for_invalid_routes:1 b_gloo-system:1\n"
                     "  /g* -> fallback_cluster_for_invalid_routes\n"
                     "clusters: b_gloo-system fallback_cluster_for_invalid_routes\n");
    assert_int_equal(sld_translate_status(w->t, SLD_STR(KEY("v")))->warnings, 3);
    world_destroy(w);
}

static const char subset_upstream[] =
    "---\napiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: s, namespace: "
    "gloo-system}\n"
    "spec: {static: {hosts: [{addr: 10.0.0.1, port: 80}], subsetSpec: {selectors: [{keys: [zone, "
    "tier]}, {keys: [zone]}]}}}\n";

static void test_subsets(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w, subset_upstream);
    put(w, UPSTREAM("a"));
    put(w, VS("v", "{virtualHost: {routes: ["
                   "{matchers: [{prefix: /fits}], routeAction: {single: {upstream: {name: s},"
                   "  subset: {values: {zone: z1}}}}},"
                   "{matchers: [{prefix: /none}], routeAction: {single: {upstream: {name: a},"
                   "  subset: {values: {zone: z1}}}}},"
                   "{matchers: [{prefix: /keys}], routeAction: {single: {upstream: {name: s},"
                   "  subset: {values: {tier: t}}}}},"
                   "{matchers: [{prefix: /some}], routeAction: {multi: {destinations: ["
                   "  {destination: {upstream: {name: s}, subset: {values: {tier: t}}}, weight: 1},"
                   "  {destination: {upstream: {name: s}, subset: {values: {zone: b, tier: a}}},"
                   "   weight: 2}]}}}]}}"));
    assert_routes(w, "gloo-system_v [*]\n"
                     "  /fits* -> s_gloo-system{zone:z1}\n"
                     "  /none* -> a_gloo-system{zone:z1}\n"
                     "  /keys* -> solder-no-destination\n"
                     "  /some* -> solder-no-destination:1 s_gloo-system:2{tier:a}{zone:b}\n"
                     "clusters: a_gloo-system s_gloo-system\n");
    assert_finding(w, KEY("v"), SLD_ROUTE_SUBSET, SLD_WARNING,
                   "virtualHost.routes[1].routeAction.single.subset");
    assert_finding(w, KEY("v"), SLD_ROUTE_SUBSET, SLD_ERROR,
                   "virtualHost.routes[2].routeAction.single.subset.values");
    assert_finding(
        w, KEY("v"), SLD_ROUTE_SUBSET, SLD_ERROR,
        "virtualHost.routes[3].routeAction.multi.destinations[0].destination.subset.values");
    world_destroy(w);
}

static void test_group_member_missing(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w, UPSTREAM(
               "a") "---\napiVersion: gloo.solo.io/v1\nkind: UpstreamGroup\nmetadata: {name: g, "
                    "namespace: other}\n"
                    "spec: {destinations: [{destination: {upstream: {name: a}}, weight: 1}, "
                    "{destination: "
                    "{upstream: {name: a, namespace: gloo-system}}, weight: 1}]}\n" VS(
                        "v",
                        "{virtualHost: {routes: [{routeAction: {upstreamGroup: {name: g, namespace:"
                        " other}}}]}}"));
    // An upstream without namespace is looked for in the group's.
    assert_routes(w, "gloo-system_v [*]\n"
                     "  /* -> a_other:1 a_gloo-system:1\n"
                     "clusters: a_gloo-system\n");
    assert_finding(w, "upstreamgroups/other/g", SLD_REF_UPSTREAM, SLD_ERROR,
                   "destinations[0].destination.upstream");
    assert_finding(w, KEY("v"), SLD_REF_UPSTREAM, SLD_WARNING,
                   "virtualHost.routes[0].routeAction.upstreamGroup");
    world_destroy(w);
}

static void test_conflict(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w,
        VS("b", "{virtualHost: {domains: [x.com, b.com], routes: [{directResponseAction: {status:"
                " 201}}]}}"));
    // A newcomer takes nothing, whatever its name.
    put(w,
        VS("a", "{virtualHost: {domains: [a.com, X.COM], routes: [{directResponseAction: {status:"
                " 202}}]}}"));
    assert_routes(w, "gloo-system_b [b.com x.com]\n  /* -> answer 201 \nclusters:\n");
    assert_finding(w, KEY("a"), SLD_VH_DOMAIN_CONFLICT, SLD_ERROR, "virtualHost.domains[1]");
    assert_clean(w, KEY("b"));
    // The loser comes in as soon as the domain is free.
    put(w, VS("b", "{virtualHost: {domains: [b.com], routes: [{directResponseAction: {status:"
                   " 201}}]}}"));
    assert_routes(w, "gloo-system_a [a.com x.com]\n  /* -> answer 202 \n"
                     "gloo-system_b [b.com]\n  /* -> answer 201 \nclusters:\n");
    assert_clean(w, KEY("a"));
    // One in service that asks for too much keeps its accepted form.
    put(w,
        VS("b", "{virtualHost: {domains: [b.com, x.com], routes: [{directResponseAction: {status:"
                " 203}}]}}"));
    assert_routes(w, "gloo-system_a [a.com x.com]\n  /* -> answer 202 \n"
                     "gloo-system_b [b.com]\n  /* -> answer 201 \nclusters:\n");
    assert_finding(w, KEY("b"), SLD_VH_DOMAIN_CONFLICT, SLD_ERROR, "virtualHost.domains[1]");
    // What it gives up in the refused form is free for others.
    put(w, VS("b", "{virtualHost: {domains: [x.com], routes: [{directResponseAction: {status:"
                   " 203}}]}}"));
    put(w, VS("c", "{virtualHost: {domains: [b.com], routes: [{directResponseAction: {status:"
                   " 204}}]}}"));
    assert_routes(w, "gloo-system_a [a.com x.com]\n  /* -> answer 202 \n"
                     "gloo-system_c [b.com]\n  /* -> answer 204 \nclusters:\n");
    world_destroy(w);
}

#define GATEWAY(name, port, spec)                                                                  \
    "---\napiVersion: gateway.solo.io/v1\nkind: Gateway\nmetadata: {name: " name                   \
    ", namespace: gloo-system}\nspec: {bindAddress: '::', bindPort: " port ", httpGateway: " spec  \
    "}\n"

static void test_conflict_at_gateways(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w, VS("a",
              "{virtualHost: {domains: [x.com], routes: [{directResponseAction: {status: 201}}]}}")
               VS("b", "{virtualHost: {domains: [x.com, b.com], routes: [{directResponseAction: "
                       "{status: 202}}]}}") GATEWAY("one", "8080", "{virtualServices: [{name: a}]}")
                   GATEWAY("two", "8081", "{virtualServices: [{name: b}]}"));
    // At different gateways one domain is no conflict.
    assert_clean(w, KEY("a"));
    assert_clean(w, KEY("b"));
    assert_routes(w, "gloo-system_a [x.com]\n  /* -> answer 201 \nclusters:\n");
    // Brought together, both in service, the first keeps it; the other has what is left.
    put(w, GATEWAY("one", "8080", "{}"));
    assert_routes(w, "gloo-system_a [x.com]\n  /* -> answer 201 \n"
                     "gloo-system_b [b.com]\n  /* -> answer 202 \nclusters:\n");
    assert_string_equal(table_text(w, "listener-::-8081-routes", false),
                        "gloo-system_b [b.com x.com]\n  /* -> answer 202 \nclusters:\n");
    assert_finding(w, KEY("b"), SLD_VH_DOMAIN_CONFLICT, SLD_ERROR, "virtualHost.domains[0]");
    assert_finding(w, "gateways/gloo-system/one", SLD_VH_DOMAIN_CONFLICT, SLD_WARNING,
                   "httpGateway");
    assert_clean(w, "gateways/gloo-system/two");
    world_destroy(w);
}

static void test_no_virtual_host(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w, VS("a", "{displayName: x}") VS("b", "{virtualHost: {routes: [{directResponseAction:"
                                               " {status: 200}}]}}"));
    assert_routes(w, "gloo-system_b [*]\n  /* -> answer 200 \nclusters:\n");
    assert_finding(w, KEY("a"), SLD_VH_NONE, SLD_WARNING, "");
    assert_clean(w, KEY("b"));
    world_destroy(w);
}

// ---- Options ----

// Sets what the options say, so that merging can be seen.
static void timeout_route(struct tr_route *r)
{
    if (r->action && r->options && r->options->timeout)
        r->action->timeout = r->options->timeout;
    if (r->options && r->options->prefix_rewrite) {
        struct sld_arena *a = r->tr->arena;
        Env__Core__HeaderValueOption *h =
            SLD_MSG(a, Env__Core__HeaderValueOption, env__core__header_value_option);
        h->header = SLD_MSG(a, Env__Core__HeaderValue, env__core__header_value);
        h->header->key = r->options->prefix_rewrite->value;
        SLD_PUSH(a, r->route->request_headers_to_add, r->route->n_request_headers_to_add, h);
    }
    // Stands for an option that breaks an Envoy rule, and for one whose secret is missing.
    if (r->options &&
        r->options->host_rewrite_type_case == GLOO__ROUTE_OPTIONS__HOST_REWRITE_TYPE_HOST_REWRITE) {
        if (strcmp(r->options->host_rewrite, "refused") == 0)
            r->action->cluster = SLD_MSG_STR(r->tr->arena, SLD_STR(""));
        else
            sld_report_add(r->report, SLD_ERROR, SLD_REF_SECRET, SLD_STR("options.hostRewrite"),
                           "no secret");
    }
}

static void timeout_vhost(struct tr_vhost *v)
{
    if (v->options && v->options->include_request_attempt_count)
        v->vh->include_request_attempt_count = v->options->include_request_attempt_count->value;
}

static const struct sld_feature timeout = {
    .name = "timeout", .help = "test", .virtual_host = timeout_vhost, .route = timeout_route};
static const struct sld_feature *const features[] = {&timeout};

#define OPTION(name, spec)                                                                         \
    "---\napiVersion: gateway.solo.io/v1\nkind: RouteOption\nmetadata: {name: " name               \
    ", namespace: gloo-system}\nspec: {options: " spec "}\n"

static void test_options(void **state)
{
    (void)state;
    struct world *w = world_create(features, 1);
    put(w, UPSTREAM("a") OPTION("o1", "{timeout: 1s}")
               OPTION("o2", "{timeout: 2s, prefixRewrite: /o}"));
    put(w, VS("v", "{virtualHost: {routes: ["
                   "{matchers: [{prefix: /1}], routeAction: {single: {upstream: {name: a}}},"
                   " optionsConfigRefs: {delegateOptions: [{name: o1, namespace: gloo-system},"
                   " {name: o2}]}},"
                   "{matchers: [{prefix: /2}], routeAction: {single: {upstream: {name: a}}},"
                   " options: {timeout: 5s}, optionsConfigRefs: {delegateOptions: [{name: gone},"
                   " {name: o2}]}},"
                   "{matchers: [{prefix: /3}], routeAction: {single: {upstream: {name: a}}},"
                   " options: {hostRewrite: refused}},"
                   "{matchers: [{prefix: /4}], routeAction: {single: {upstream: {name: a}}},"
                   " options: {hostRewrite: secret}}]}}"));
    assert_routes(w, "gloo-system_v [*]\n"
                     "  /1* -> a_gloo-system timeout=1 +/o\n"
                     "  /2* -> a_gloo-system timeout=5 +/o\n"
                     "  /3* -> solder-no-destination\n"
                     "  /4* -> a_gloo-system\n"
                     "clusters: a_gloo-system\n");
    assert_finding(w, KEY("v"), SLD_REF_OPTION, SLD_WARNING,
                   "virtualHost.routes[1].optionsConfigRefs.delegateOptions[0]");
    assert_finding(w, KEY("v"), SLD_ENVOY_CONSTRAINT, SLD_ERROR, "virtualHost.routes[2]");
    assert_finding(w, KEY("v"), SLD_REF_SECRET, SLD_ERROR,
                   "virtualHost.routes[3].options.hostRewrite");
    // The shared option was not changed by merging.
    put(w,
        VS("u", "{virtualHost: {domains: [u.com], routes: [{matchers: [{prefix: /}], routeAction:"
                " {single: {upstream: {name: a}}}, optionsConfigRefs: {delegateOptions: [{name:"
                " o1}]}}]}}"));
    assert_non_null(strstr(table_text(w, "listener-::-8080-routes", false),
                           "gloo-system_u [u.com]\n  /* -> a_gloo-system timeout=1\n"));
    world_destroy(w);
}

// ---- Validation ----

static void test_validation(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w,
        VS("v", "{virtualHost: {domains: [a.com, '', A.com], routes: ["
                "{matchers: [{prefix: /a//b}, {exact: '/a%2fb'}, {prefix: '/ä'}, {methods: [GET]},"
                " {prefix: /, headers: [{name: x, value: '(', regex: true}], queryParameters:"
                " [{name: q, value: '[', regex: true}]}], directResponseAction: {status: 200}},"
                "{matchers: [{prefix: /a}, {prefix: /b}], delegateAction: {ref: {name: x}}},"
                "{matchers: [{exact: /a}], delegateAction: {ref: {name: x}}},"
                "{matchers: [{methods: [GET]}], delegateAction: {ref: {name: x}}},"
                "{routeAction: {multi: {destinations: [{destination: {upstream: {name: a}}}]}}},"
                "{redirectAction: {pathRedirect: '/a#b'}},"
                "{redirectAction: {prefixRewrite: '/a?x=//'}}]}}"));
    assert_finding(w, KEY("v"), SLD_VH_DOMAIN, SLD_ERROR, "virtualHost.domains[1]");
    assert_finding(w, KEY("v"), SLD_VH_DOMAIN, SLD_ERROR, "virtualHost.domains[2]");
    assert_finding(w, KEY("v"), SLD_ROUTE_PATH, SLD_ERROR,
                   "virtualHost.routes[0].matchers[0].prefix");
    assert_finding(w, KEY("v"), SLD_ROUTE_PATH, SLD_ERROR,
                   "virtualHost.routes[0].matchers[1].exact");
    assert_finding(w, KEY("v"), SLD_ROUTE_PATH, SLD_ERROR,
                   "virtualHost.routes[0].matchers[2].prefix");
    assert_finding(w, KEY("v"), SLD_ROUTE_MATCHER, SLD_ERROR, "virtualHost.routes[0].matchers[3]");
    assert_finding(w, KEY("v"), SLD_ROUTE_REGEX, SLD_ERROR,
                   "virtualHost.routes[0].matchers[4].headers[0].value");
    assert_finding(w, KEY("v"), SLD_ROUTE_REGEX, SLD_ERROR,
                   "virtualHost.routes[0].matchers[4].queryParameters[0].value");
    assert_finding(w, KEY("v"), SLD_ROUTE_DELEGATE_MATCHER, SLD_ERROR,
                   "virtualHost.routes[1].matchers");
    assert_finding(w, KEY("v"), SLD_ROUTE_DELEGATE_MATCHER, SLD_ERROR,
                   "virtualHost.routes[2].matchers[0]");
    assert_finding(w, KEY("v"), SLD_ROUTE_WEIGHT, SLD_ERROR,
                   "virtualHost.routes[4].routeAction.multi.destinations");
    assert_finding(w, KEY("v"), SLD_ROUTE_REDIRECT, SLD_ERROR,
                   "virtualHost.routes[5].redirectAction.pathRedirect");
    assert_int_equal(sld_translate_status(w->t, SLD_STR(KEY("v")))->errors, 12);
    assert_string_equal(table_text(w, "listener-::-8080-routes", false), "");
    world_destroy(w);
}

// A document with errors of its own leaves its accepted form in force, and its status says so.
static void test_last_good(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    static const char one[] = "gloo-system_v [v.com]\n  /* -> answer 201 \nclusters:\n";
    static const char broken[] = VS("v", "{virtualHost: {domains: [v.com], routes: "
                                         "[{directResponseAction: {status: many}}]}}");
    put(w, VS("v", "{virtualHost: {domains: [v.com], routes: [{directResponseAction: {status: 201}}]}}"));
    put(w, broken);
    assert_routes(w, one);
    const struct sld_status *s = sld_translate_status(w->t, SLD_STR(KEY("v")));
    assert_int_equal(s->state, SLD_REJECTED);
    assert_true(s->last_good);
    assert_finding(w, KEY("v"), SLD_LAST_GOOD, SLD_NOTE, "");
    put(w, VS("v", "{virtualHost: {domains: [v.com], routes: [{directResponseAction: {status: 202}}]}}"));
    assert_routes(w, "gloo-system_v [v.com]\n  /* -> answer 202 \nclusters:\n");
    assert_clean(w, KEY("v"));
    assert_false(sld_translate_status(w->t, SLD_STR(KEY("v")))->last_good);
    // One that never was accepted has none.
    drop(w, KEY("v"));
    put(w, broken);
    assert_false(sld_translate_status(w->t, SLD_STR(KEY("v")))->last_good);
    world_destroy(w);
}

static void test_shadowed(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    Google__Protobuf__BoolValue yes = GOOGLE__PROTOBUF__BOOL_VALUE__INIT;
    Gloo__GatewayOptions__ValidationOptions v = GLOO__GATEWAY_OPTIONS__VALIDATION_OPTIONS__INIT;
    Gloo__GatewayOptions g = GLOO__GATEWAY_OPTIONS__INIT;
    Gloo__Settings s = GLOO__SETTINGS__INIT;
    yes.value = true;
    v.warn_route_short_circuiting = &yes;
    g.validation = &v;
    s.gateway = &g;
    sld_translate_set_settings(w->t, &s);
    put(w,
        VS("v",
           "{virtualHost: {routes: ["
           "{matchers: [{prefix: /a, methods: [GET, POST]}], directResponseAction: {status: 200}},"
           "{matchers: [{prefix: /a/b, methods: [GET]}], directResponseAction: {status: 200}},"
           "{matchers: [{prefix: /a/b}], directResponseAction: {status: 200}},"
           "{matchers: [{regex: '/r.*'}], directResponseAction: {status: 200}},"
           "{matchers: [{exact: /rr}, {exact: /x}], directResponseAction: {status: 200}},"
           "{matchers: [{exact: /x}], directResponseAction: {status: 200}},"
           "{matchers: [{prefix: /h, headers: [{name: a}]}], directResponseAction: {status: 200}},"
           "{matchers: [{prefix: /h, headers: [{name: a, value: v}]}], directResponseAction: "
           "{status: 200}},"
           "{matchers: [{prefix: /h}], directResponseAction: {status: 200}},"
           "{matchers: [{prefix: /h/i, caseSensitive: false}], directResponseAction: {status: "
           "200}}]}}"));
    assert_finding(w, KEY("v"), SLD_ROUTE_SHADOWED, SLD_WARNING,
                   "virtualHost.routes[1].matchers[0]");
    assert_finding(w, KEY("v"), SLD_ROUTE_SHADOWED, SLD_WARNING,
                   "virtualHost.routes[4].matchers[0]");
    assert_finding(w, KEY("v"), SLD_ROUTE_SHADOWED, SLD_WARNING,
                   "virtualHost.routes[5].matchers[0]");
    assert_finding(w, KEY("v"), SLD_ROUTE_SHADOWED, SLD_WARNING,
                   "virtualHost.routes[7].matchers[0]");
    assert_int_equal(sld_translate_status(w->t, SLD_STR(KEY("v")))->warnings, 4);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_and_matchers),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_missing_destinations),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_subsets),
        cmocka_unit_test(test_group_member_missing),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_conflict_at_gateways),
        cmocka_unit_test(test_no_virtual_host),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_validation),
        cmocka_unit_test(test_last_good),
        cmocka_unit_test(test_shadowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

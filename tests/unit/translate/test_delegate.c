// Delegation (gloo-compat 3.6).
#include "route_world.h"

#include "translate/feature.h"

#define VS(name, spec)                                                                             \
    "---\napiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: " name            \
    ", namespace: gloo-system}\nspec: " spec "\n"
#define RT(ns, name, labels, spec)                                                                 \
    "---\napiVersion: gateway.solo.io/v1\nkind: RouteTable\nmetadata: {name: " name                \
    ", namespace: " ns ", labels: " labels "}\nspec: " spec "\n"
#define OPTION(name, spec)                                                                         \
    "---\napiVersion: gateway.solo.io/v1\nkind: RouteOption\nmetadata: {name: " name               \
    ", namespace: gloo-system}\nspec: {options: " spec "}\n"
#define ANSWER(path, code) "{matchers: [" path "], directResponseAction: {status: " code "}}"
#define VKEY "virtualservices/gloo-system/v"

static void test_reference(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w,
        VS("v", "{virtualHost: {routes: [{matchers: [{prefix: /a}], delegateAction: {ref: {name: t,"
                " namespace: team}}}, {matchers: [{prefix: /b}], delegateAction: {name: t,"
                " namespace: gone}}, {matchers: [{prefix: /c}], delegateAction: {}}, " ANSWER(
                    "{prefix: /d}", "200") "]}}"));
    assert_finding(w, VKEY, SLD_REF_ROUTE_TABLE, SLD_WARNING,
                   "virtualHost.routes[0].delegateAction.ref");
    assert_finding(w, VKEY, SLD_REF_ROUTE_TABLE, SLD_WARNING,
                   "virtualHost.routes[1].delegateAction.name");
    assert_finding(w, VKEY, SLD_REF_ROUTE_TABLE, SLD_WARNING,
                   "virtualHost.routes[2].delegateAction");
    assert_routes(w, "gloo-system_v [*]\n  /d* -> answer 200 \nclusters:\n");
    put(w, RT("team", "t", "{}",
              "{routes: [" ANSWER("{exact: /a/1}", "201") ", " ANSWER(
                  "{prefix: /x}", "202") ", "
                                         "{matchers: [{prefix: /a/3}], routeAction: {single: "
                                         "{upstream: {name: u}}}}]}"));
    // A table's destinations are looked for in its own namespace; what does not fit is dropped with
    // a warning.
    assert_routes(w, "gloo-system_v [*]\n  /a/1 -> answer 201 \n  /a/3* -> u_team\n"
                     "  /d* -> answer 200 \nclusters:\n");
    assert_finding(w, "routetables/team/t", SLD_ROUTE_CHILD, SLD_WARNING, "routes[1].matchers[0]");
    assert_finding(w, "routetables/team/t", SLD_REF_UPSTREAM, SLD_WARNING,
                   "routes[2].routeAction.single.upstream");
    const struct sld_finding *f =
        finding(w, VKEY, SLD_ROUTE_CHILD, SLD_WARNING, "virtualHost.routes[0]");
    assert_non_null(f);
    assert_true(sld_str_eq(
        f->message,
        SLD_STR("on sub route table team.t: required prefix: /a, prefix: /x: invalid route: "
                "route table matchers must begin with the prefix of their "
                "parent route's matcher")));
    assert_finding(w, VKEY, SLD_REF_UPSTREAM, SLD_WARNING, "virtualHost.routes[0]");
    drop(w, "routetables/team/t");
    assert_routes(w, "gloo-system_v [*]\n  /d* -> answer 200 \nclusters:\n");
    world_destroy(w);
}

// What child S makes of a parent matcher P, as the route text or "dropped".
static void check_child(const char *p, const char *inherit, const char *s, const char *want)
{
    struct world *w = world_create(NULL, 0);
    const char *text = sld_arena_cstr(
        &w->a,
        sld_arena_fmt(&w->a,
                      VS("v", "{virtualHost: {routes: [{matchers: [%s], %s delegateAction: {ref:"
                              " {name: t, namespace: gloo-system}}}]}}")
                          RT("gloo-system", "t", "{}",
                             "{routes: [{%s directResponseAction: {status: 200}}]}"),
                      p, inherit, s));
    put(w, text);
    struct sld_str got = sld_str_c(table_text(w, "listener-::-8080-routes", false));
    ptrdiff_t from = sld_str_find(got, SLD_STR("\n  ")), to = sld_str_find(got, SLD_STR(" -> "));
    const char *route = "dropped";
    if (to > 0)
        route = sld_arena_cstr(&w->a, sld_str_sub(got, (size_t)from + 3, (size_t)(to - from - 3)));
    assert_string_equal(route, want);
    if (to < 0)
        assert_finding(
            w, "routetables/gloo-system/t", SLD_ROUTE_CHILD, SLD_WARNING,
            sld_arena_fmt(&w->a, "%s",
                          strstr(s, "matchers")
                              ? sld_translate_status(w->t, SLD_STR("routetables/gloo-system/t"))
                                    ->findings[0]
                                    .path.p
                              : "routes[0]")
                .p);
    world_destroy(w);
}

static void test_children(void **state)
{
    (void)state;
    check_child("{prefix: /a}", "", "matchers: [{regex: '/a/.*'}],", "~/a/.*");
    check_child("{prefix: /a}", "", "matchers: [{connectMatcher: {}}],", "dropped");
    check_child("{prefix: /a}", "", "", "dropped");
    check_child("{prefix: /}", "", "", "/*");
    // Case: unset is not true.
    check_child("{prefix: /a}", "", "matchers: [{prefix: /a, caseSensitive: true}],", "dropped");
    check_child("{prefix: /a, caseSensitive: false}", "",
                "matchers: [{prefix: /a, caseSensitive: false}],", "/a* case:false");
    // Headers and parameters must be there identically.
    check_child("{prefix: /a, headers: [{name: h, value: v}]}", "",
                "matchers: [{prefix: /a, headers: [{name: x}, {name: h, value: v}]}],",
                "/a* x h=v");
    check_child("{prefix: /a, headers: [{name: h, value: v}]}", "",
                "matchers: [{prefix: /a, headers: [{name: h}]}],", "dropped");
    check_child("{prefix: /a, queryParameters: [{name: q}]}", "", "matchers: [{prefix: /a}],",
                "dropped");
    check_child("{prefix: /a, queryParameters: [{name: q}]}", "",
                "matchers: [{prefix: /a, queryParameters: [{name: q}]}],", "/a* ? q");
    // Methods: the parent's are a subset of the child's.
    check_child("{prefix: /a, methods: [GET]}", "", "matchers: [{prefix: /a, methods: [POST]}],",
                "dropped");
    check_child("{prefix: /a, methods: [GET]}", "",
                "matchers: [{prefix: /a, methods: [POST, GET]}],", "/a* :method~POST|GET");
    // A delegating matcher without path keeps its headers.
    check_child("{headers: [{name: h}]}", "", "matchers: [{prefix: /x}],", "dropped");
    check_child("{headers: [{name: h}]}", "", "matchers: [{prefix: /x, headers: [{name: h}]}],",
                "/x* h");
    // Inheritance.
    check_child("{prefix: /a, headers: [{name: h}], methods: [GET]}", "inheritableMatchers: true,",
                "matchers: [{prefix: /a/b, headers: [{name: x}], methods: [PUT]}],",
                "/a/b* h x :method~GET|PUT");
    check_child("{prefix: /a, headers: [{name: h}]}", "inheritableMatchers: true,",
                "matchers: [{prefix: /a/b}], inheritableMatchers: false,", "dropped");
    check_child("{prefix: /a, caseSensitive: false}", "inheritablePathMatchers: true,", "",
                "/a* case:false");
    check_child("{prefix: /a}", "inheritablePathMatchers: true,",
                "matchers: [{exact: /zzz, headers: [{name: x}]}],", "/a* x");
    check_child("{prefix: /a, headers: [{name: h}]}",
                "inheritableMatchers: true, inheritablePathMatchers: true,", "", "/a* h");
}

static void test_selector(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w,
        RT("gloo-system", "a", "{team: x}", "{routes: [" ANSWER("{prefix: /s/a}", "201") "]}")
            RT("gloo-system", "b", "{team: y, tier: '3'}",
               "{routes: [" ANSWER("{prefix: /s/b}", "202") "]}")
                RT("other", "c", "{team: x}", "{routes: [" ANSWER("{prefix: /s/c}", "203") "]}"));
#define SELECT(s)                                                                                  \
    VS("v",                                                                                        \
       "{virtualHost: {routes: [{matchers: [{prefix: /s}], delegateAction: {selector: " s "}}]}}")
#define A "  /s/a* -> answer 201 \n"
#define B "  /s/b* -> answer 202 \n"
#define C "  /s/c* -> answer 203 \n"
#define TABLE(routes) "gloo-system_v [*]\n" routes "clusters:\n"
    // Only the owner's namespace unless others are named. Of several tables the greater path comes
    // first.
    put(w, SELECT("{labels: {team: x}}"));
    assert_routes(w, TABLE(A));
    put(w, SELECT("{labels: {team: x}, namespaces: ['*']}"));
    assert_routes(w, TABLE(C A));
    put(w, SELECT("{labels: {team: x}, namespaces: [other, other]}"));
    assert_routes(w, TABLE(C));
    put(w, SELECT("{labels: {team: y, tier: '3'}}"));
    assert_routes(w, TABLE(B));
    put(w, SELECT("{labels: {team: y, tier: '4'}}"));
    assert_routes(w, TABLE(""));
    put(w, SELECT("{}"));
    assert_routes(w, TABLE(B A));
    put(w, SELECT("{namespaces: [other, gloo-system]}"));
    assert_routes(w, TABLE(C B A));
    put(w, SELECT("{namespaces: ['*'], expressions: [{key: tier, operator: GreaterThan, values: "
                  "['2']}]}"));
    assert_routes(w, TABLE(B));
    put(w,
        SELECT(
            "{namespaces: ['*'], expressions: [{key: team, operator: In, values: [x]}, {key: tier,"
            " operator: DoesNotExist}]}"));
    assert_routes(w, TABLE(C A));
    assert_clean(w, VKEY);
    // A table that begins to match comes in; one that is relabelled goes.
    put(w, RT("other", "d", "{team: x}", "{routes: [" ANSWER("{exact: /s/d}", "204") "]}"));
    assert_routes(w, TABLE("  /s/d -> answer 204 \n" C A));
    put(w, RT("gloo-system", "a", "{team: z}", "{routes: [" ANSWER("{prefix: /s/a}", "201") "]}"));
    assert_routes(w, TABLE("  /s/d -> answer 204 \n" C));
    // Mistakes: warnings, the route is skipped.
    put(w, SELECT("{labels: {team: nobody}}"));
    assert_finding(w, VKEY, SLD_REF_ROUTE_TABLE, SLD_WARNING,
                   "virtualHost.routes[0].delegateAction.selector");
    put(w, SELECT("{labels: {team: x}, expressions: [{key: team, operator: Exists}]}"));
    assert_finding(w, VKEY, SLD_GW_SELECTOR, SLD_WARNING,
                   "virtualHost.routes[0].delegateAction.selector");
    put(w, SELECT("{expressions: [{key: team, operator: In}]}"));
    assert_finding(w, VKEY, SLD_GW_SELECTOR, SLD_WARNING,
                   "virtualHost.routes[0].delegateAction.selector.expressions");
    assert_routes(w, TABLE(""));
    world_destroy(w);
}

static void test_order(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w,
        RT("gloo-system", "one", "{g: x}",
           "{routes: [" ANSWER("{prefix: /a}", "201") ", " ANSWER(
               "{exact: /a/b}",
               "202") ", " ANSWER("{regex: '/a/.*'}",
                                  "203") ", " ANSWER("{prefix: /a/b/c}",
                                                     "204") ", " ANSWER("{prefix: /a, methods: "
                                                                        "[GET, PUT]}",
                                                                        "205") ", " ANSWER("{prefix"
                                                                                           ": /a, "
                                                                                           "methods"
                                                                                           ": "
                                                                                           "[GET]}",
                                                                                           "206") "]}")
            RT("gloo-system", "two", "{g: x}",
               "{routes: [" ANSWER("{prefix: /a/b}", "211") ", " ANSWER(
                   "{prefix: /a}", "212") ", " ANSWER("{prefix: /a/0}, {exact: /a/z}", "213") "]}")
                RT("gloo-system", "last", "{g: x}",
                   "{weight: 5, routes: [" ANSWER("{prefix: /a}",
                                                  "221") ", " ANSWER("{exact: /a/zz}", "222") "]}")
                    RT("gloo-system", "first", "{g: x}",
                       "{weight: -5, routes: [" ANSWER("{prefix: /a/first}", "231") "]}"));
    put(w,
        VS("v",
           "{virtualHost: {routes: [{matchers: [{prefix: /a}], delegateAction: {selector: {labels:"
           " {g: x}}}}]}}"));
    assert_routes(w, "gloo-system_v [*]\n"
                     "  /a/first* -> answer 231 \n"
                     "  /a* :method~GET|PUT -> answer 205 \n"
                     "  /a* :method~GET -> answer 206 \n"
                     "  /a/0* -> answer 213 \n" // stands where its exact path is
                     "  /a/z -> answer 213 \n"
                     "  /a/b -> answer 202 \n"
                     "  ~/a/.* -> answer 203 \n"
                     "  /a/b/c* -> answer 204 \n"
                     "  /a/b* -> answer 211 \n"
                     "  /a* -> answer 201 \n" // equal ones keep the order of tables
                     "  /a* -> answer 212 \n"
                     "  /a* -> answer 221 \n" // a single table keeps its own
                     "  /a/zz -> answer 222 \n"
                     "clusters:\n");
    world_destroy(w);
}

static void test_names(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w,
        RT("gloo-system", "t", "{}",
           "{routes: [" ANSWER("{prefix: /a/1}", "201") ", {name: leaf, matchers: [{prefix: /a/2}],"
                                                        " directResponseAction: {status: 202}}]}"));
    put(w,
        VS("v", "{virtualHost: {routes: [{matchers: [{prefix: /a}], delegateAction: {ref: {name: t,"
                " namespace: gloo-system}}}]}}"));
    assert_string_equal(
        table_text(w, "listener-::-8080-routes", true),
        "gloo-system_v [*]\n"
        "  gloo-system_v-route-0-matcher-0: /a/1* -> answer 201 \n"
        "  gloo-system_v-route-1-vs:gateway-proxy_gateway-proxy_gloo-system_v_route:<unnamed-0>_"
        "rt:gloo-system_t_route:leaf-matcher-0: /a/2* -> answer 202 \n"
        "clusters:\n");
    put(w, VS("v",
              "{virtualHost: {routes: [{name: top, matchers: [{prefix: /a}], delegateAction: {ref:"
              " {name: t, namespace: gloo-system}}}]}}"));
    assert_non_null(
        strstr(table_text(w, "listener-::-8080-routes", true),
               "gloo-system_v-route-0-vs:gateway-proxy_gateway-proxy_gloo-system_v_route:top_"
               "rt:gloo-system_t_route:<unnamed-0>-matcher-0: /a/1*"));
    world_destroy(w);
}

static void test_cycle(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
#define TO(name, path)                                                                             \
    "{matchers: [{prefix: " path "}], delegateAction: {ref: {name: " name                          \
    ", namespace: gloo-system}}}"
    put(w, RT("gloo-system", "a", "{}",
              "{routes: [" TO("b", "/x") ", " ANSWER("{exact: /x/a}", "201") "]}")
               RT("gloo-system", "b", "{}",
                  "{routes: [" ANSWER("{exact: /x/b}", "202") ", " TO("a", "/x") "]}"));
    put(w,
        VS("v", "{virtualHost: {routes: [" TO("a", "/x") ", " ANSWER("{prefix: /}", "200") "]}}"));
    assert_routes(w, "gloo-system_v [*]\n  /x/b -> answer 202 \n  /x/a -> answer 201 \n"
                     "  /* -> answer 200 \nclusters:\n");
    const struct sld_finding *f =
        finding(w, "routetables/gloo-system/a", SLD_ROUTE_CYCLE, SLD_ERROR, "routes");
    assert_non_null(f);
    assert_true(sld_str_find(f->message,
                             SLD_STR("[gloo-system.a] -> [gloo-system.b] -> [gloo-system.a]")) > 0);
    assert_finding(w, VKEY, SLD_ROUTE_CYCLE, SLD_ERROR, "virtualHost.routes[0]");
    world_destroy(w);
}

static void test_matcher_mistakes(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    // Whether a table's delegating route has a prefix may depend on its parent, so it is looked at
    // here.
    put(w, RT("gloo-system", "a", "{}",
              "{routes: [{matchers: [{exact: /x/y}], delegateAction: {ref: {name: b, namespace: "
              "gloo-system}}}]}")
               RT("gloo-system", "b", "{}", "{routes: [" ANSWER("{prefix: /x}", "201") "]}"));
    put(w, VS("v", "{virtualHost: {routes: [" TO("a", "/x") "]}}"));
    assert_finding(w, "routetables/gloo-system/a", SLD_ROUTE_DELEGATE_MATCHER, SLD_ERROR,
                   "routes[0].matchers[0]");
    assert_finding(w, VKEY, SLD_ROUTE_DELEGATE_MATCHER, SLD_ERROR, "virtualHost.routes[0]");
    put(w,
        VS("v", "{virtualHost: {routes: [{matchers: [{prefix: /x}], inheritablePathMatchers: true,"
                " delegateAction: {ref: {name: a, namespace: gloo-system}}}]}}"));
    assert_clean(w, "routetables/gloo-system/a");
    assert_routes(w, "gloo-system_v [*]\n  /x* -> answer 201 \nclusters:\n");
    world_destroy(w);
}

static void show_options(struct tr_route *r)
{
    if (!r->options || r->route->action_case != ENV__ROUTE__ROUTE__ACTION_DIRECT_RESPONSE)
        return;
    struct sld_str s = sld_arena_fmt(
        r->tr->arena, "t%d,r%s,h%s", r->options->timeout ? (int)r->options->timeout->seconds : 0,
        r->options->prefix_rewrite ? r->options->prefix_rewrite->value : "",
        r->options->host_rewrite_type_case == GLOO__ROUTE_OPTIONS__HOST_REWRITE_TYPE_HOST_REWRITE
            ? r->options->host_rewrite
            : "");
    r->route->direct_response->body =
        SLD_MSG(r->tr->arena, Env__Core__DataSource, env__core__data_source);
    r->route->direct_response->body->specifier_case =
        ENV__CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING;
    r->route->direct_response->body->inline_string = SLD_MSG_STR(r->tr->arena, s);
}

static const struct sld_feature show = {.name = "show", .help = "test", .route = show_options};
static const struct sld_feature *const features[] = {&show};

static void test_options(void **state)
{
    (void)state;
    struct world *w = world_create(features, 1);
    put(w,
        OPTION("o", "{timeout: 1s, hostRewrite: from-o}") RT(
            "gloo-system", "t", "{}",
            "{routes: [{matchers: [{prefix: /a/1}], directResponseAction: {status: 201}},"
            "{matchers: [{prefix: /a/2}], directResponseAction: {status: 202}, options: {timeout: "
            "9s}},"
            "{matchers: [{prefix: /a/3}], directResponseAction: {status: 203}, optionsConfigRefs:"
            " {delegateOptions: [{name: o}]}},"
            "{matchers: [{prefix: /a/4}], directResponseAction: {status: 204}, options: "
            "{autoHostRewrite: true},"
            " optionsConfigRefs: {delegateOptions: [{name: o}]}},"
            "{matchers: [{prefix: /a/5}], directResponseAction: {status: 205}, options: "
            "{regexRewrite:"
            " {pattern: {regex: x}, substitution: y}}}]}"));
    put(w, VS("v", "{virtualHost: {routes: [{matchers: [{prefix: /a}], options: {timeout: 5s, "
                   "prefixRewrite: /p,"
                   " hostRewrite: from-parent}, delegateAction: {ref: {name: t, namespace: "
                   "gloo-system}}}]}}"));
    // Own ones win, then those referred to, then the parent's; each top-level field, and each
    // oneof, as a whole.
    const char *want = "gloo-system_v [*]\n"
                       "  /a/1* -> answer 201 t5,r/p,hfrom-parent\n"
                       "  /a/2* -> answer 202 t9,r/p,hfrom-parent\n"
                       "  /a/3* -> answer 203 t1,r/p,hfrom-o\n"
                       "  /a/4* -> answer 204 t1,r/p,h\n"
                       "  /a/5* -> answer 205 t5,r,hfrom-parent\n" // one kind of rewrite
                       "clusters:\n";
    assert_routes(w, want);
    // Nothing shared was changed by it.
    put(w, VS("u", "{virtualHost: {domains: [u.com], routes: [{matchers: [{prefix: /a}], "
                   "delegateAction: {ref:"
                   " {name: t, namespace: gloo-system}}}]}}"));
    assert_non_null(
        strstr(table_text(w, "listener-::-8080-routes", false),
               "gloo-system_u [u.com]\n  /a/1* -> answer 201 \n  /a/2* -> answer 202 t9,r,h\n"
               "  /a/3* -> answer 203 t1,r,hfrom-o\n  /a/4* -> answer 204 t1,r,h\n"));
    world_destroy(w);
}

static void test_ceilings(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    // Each table leads to the next twice: 2^40 ways without a ceiling.
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    for (int i = 0; i < 40; i++)
        sld_buf_addf(
            &b,
            RT("gloo-system", "t%d", "{}", "{routes: [" TO("t%d", "/x") ", " TO("t%d", "/x") "]}"),
            i, i + 1, i + 1);
    sld_buf_addz(&b,
                 RT("gloo-system", "t40", "{}", "{routes: [" ANSWER("{prefix: /x}", "201") "]}"));
    sld_buf_addz(&b, VS("v", "{virtualHost: {routes: [" TO("t0", "/x") ", " ANSWER("{prefix: /}",
                                                                                   "200") "]}}"));
    sld_buf_addc(&b, 0);
    put(w, b.p);
    sld_buf_fini(&b);
    assert_int_equal(sld_translate_status(w->t, SLD_STR(VKEY))->errors, 1);
    assert_int_equal(sld_translate_status(w->t, SLD_STR(VKEY))->findings[0].code, SLD_ROUTE_LIMIT);
    world_destroy(w);
}

static void test_orphans(void **state)
{
    (void)state;
    struct world *w = world_create(NULL, 0);
    put(w, RT("gloo-system", "t", "{}", "{routes: [" ANSWER("{prefix: /a}", "201") "]}")
               OPTION("o", "{timeout: 1s}"));
    assert_finding(w, "routetables/gloo-system/t", SLD_REF_ORPHAN, SLD_NOTE, "");
    assert_finding(w, "routeoptions/gloo-system/o", SLD_REF_ORPHAN, SLD_NOTE, "");
    put(w, VS("v", "{virtualHost: {routes: [{matchers: [{prefix: /a}], optionsConfigRefs: "
                   "{delegateOptions: [{name: o}]},"
                   " delegateAction: {ref: {name: t, namespace: gloo-system}}}]}}"));
    assert_null(finding(w, "routetables/gloo-system/t", SLD_REF_ORPHAN, SLD_NOTE, ""));
    assert_null(finding(w, "routeoptions/gloo-system/o", SLD_REF_ORPHAN, SLD_NOTE, ""));
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_children),
        cmocka_unit_test(test_selector),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_cycle),
        cmocka_unit_test(test_matcher_mistakes),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_ceilings),
        cmocka_unit_test(test_orphans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

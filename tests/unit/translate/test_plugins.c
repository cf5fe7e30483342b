// Plugins in translation: what their hooks shape, when they run, what a failure costs.
#include "option_world.h"

#include "plugin/shape.h"

#define TABLE "listener-::-8080-routes"
#define ROUTE(prefix, options) "{matchers: [{prefix: " prefix "}], " TO_A ", options: {" options "}}"
#define CONF(conf) "extensions: {configs: {try: " conf "}}"

static const char shaper[] =
    "local s = require 'solder.schema'\n"
    "return {api = 1, name = 'try', needs = {'objects', 'secrets'}, schema = s.record{to = s.string{default = '3s'}, fail = s.string{}, loop = s.boolean{}, "
    "  key = s.secret_ref{}, read = s.resource_ref{}},\n"
    "check = function(conf, fail) if conf.to == '0s' then fail('to', 'must last') end end,\n"
    "shape_route = function(conf, route, ctx)\n"
    "  route.route.timeout = conf.to\n"
    "  if conf.key then route.request_headers_to_add = {{header = {key = 'x-key', value = conf.key}}} end\n"
    "  if conf.read then\n"
    "    local up = ctx:get('Upstream', conf.read.name, conf.read.namespace)\n"
    "    route.route.prefix_rewrite = up and '/' .. up.static.hosts[1].addr or '/none'\n"
    "  end\n"
    "  if conf.fail then error(conf.fail) end\n"
    "  while conf.loop do end\n"
    "end,\n"
    "shape_virtual_host = function(conf, vh, ctx)\n"
    "  if conf.fail == 'vh' then vh.response_headers_to_remove = {'half'} error('no host') end\n"
    "  vh.response_headers_to_remove = {'x-' .. ctx.namespace}\n"
    "end,\n"
    "shape_listener = function(conf, listener, ctx)\n"
    "  listener.per_connection_buffer_limit_bytes = 1024\n"
    "  ctx.http.server_name = 'shaped'\n"
    "  ctx:add_filter{name = 'my.filter', stage = 'authn', place = 'before', config = {['@type'] = "
    "'type.googleapis.com/some.Filter', on = true}}\n"
    "  if conf.fail then error('no listener') end\n"
    "end}\n";

static void set_plugin(struct world *w, const char *name, const char *text)
{
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(sld_str_c(name), SLD_STR("test"), sld_str_c(text));
    struct sld_plugin *p = NULL;
    struct sld_err err = {0};
    struct sld_plugin_limits l = sld_plugin_limits_default;
    l.call_steps = 100000;
    enum sld_rc rc = sld_plugin_load(b, &l, &p, &err);
    struct sld_plugin_slot *slot = sld_plugin_slot_create(p, rc ? sld_str_c(err.msg) : SLD_STR(""));
    sld_translate_set_plugin(w->t, sld_str_c(name), slot);
    SLD_UNREF(slot);
    SLD_UNREF(b);
}

static uint64_t calls(struct world *w, enum sld_hook h)
{
    struct sld_plugin_stats s;
    sld_plugin_stats(sld_translate_plugin(w->t, SLD_STR("try"))->plugin, &s);
    return s.hooks[h].calls;
}

static const char *routes(struct world *w)
{
    return json(w, out(w, SLD_OUT_ROUTE, TABLE));
}

#define ONE(options) VS("v", "{virtualHost: {domains: ['*'], routes: [" ROUTE("/", options) "]}}")

static void a_route_is_shaped(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", shaper);
    put(w, UPSTREAM("a") ONE(CONF("{to: 7s}")));
    assert_clean(w, VS_KEY("v"));
    assert_has(routes(w), "\"timeout\":\"7s\"");
    put(w, ONE("timeout: 1s, " CONF("{}"))); // behind the built-in options
    assert_has(routes(w), "\"timeout\":\"3s\"");
    put(w, ONE("timeout: 1s"));
    assert_has(routes(w), "\"timeout\":\"1s\"");
    world_destroy(w);
}

static void only_changed_rows_run(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", shaper);
    put(w, UPSTREAM("a") UPSTREAM("b"));
    for (int i = 0; i < 20; i++) {
        char text[600];
        snprintf(text, sizeof(text), VS("v%d", "{virtualHost: {domains: [d%d], routes: [" ROUTE("/", CONF("{}")) "]}}"), i, i);
        put(w, text);
    }
    uint64_t before = calls(w, SLD_HOOK_SHAPE_ROUTE);
    struct sld_translate_result r = {0};
    struct sld_ident id = {SLD_KIND_VIRTUAL_SERVICE, SLD_STR_INIT("gloo-system"), SLD_STR_INIT("v7")};
    struct sld_doc_place place = {.path = SLD_STR("t"), .default_ns = SLD_STR("gloo-system")};
    struct sld_raw *raw = sld_raw_create(
        id, SLD_STR(VS("v7", "{virtualHost: {domains: [d7], routes: [" ROUTE("/x", CONF("{to: 9s}")) "]}}")), 1, -1, SLD_STR("t"), &place);
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
    sld_translate_run(w->t, &r);
    sld_translate_result_fini(&r);
    assert_int_equal(calls(w, SLD_HOOK_SHAPE_ROUTE) - before, 1);
    world_destroy(w);
}

static void a_wrong_configuration_does_not_count(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", shaper);
    put(w, UPSTREAM("a") ONE(CONF("{to: 7s}")));
    put(w, ONE(CONF("{tu: 8s}")));
    assert_finding(w, VS_KEY("v"), SLD_FIELD_UNKNOWN, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try.tu");
    assert_has(routes(w), "\"timeout\":\"7s\"");
    put(w, ONE(CONF("{to: 0s}")));
    assert_finding(w, VS_KEY("v"), SLD_OPTION_INVALID, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try.to");
    assert_has(routes(w), "\"timeout\":\"7s\"");
    put(w, ONE("extensions: {configs: {other: {}}}"));
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_UNKNOWN, SLD_WARNING, "virtualHost.routes[0].options.extensions.configs.other");
    assert_has_not(routes(w), "\"timeout\":\"7s\"");
    world_destroy(w);
}

static void a_failing_hook_costs_its_route(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", shaper);
#define TWO(conf) VS("v", "{virtualHost: {domains: ['*'], routes: [" ROUTE("/bad", CONF(conf)) ", " ROUTE("/", CONF("{}")) "]}}")
    put(w, UPSTREAM("a") TWO("{fail: broken}"));
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_FAILED, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try");
    assert_has(finding(w, VS_KEY("v"), SLD_PLUGIN_FAILED, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try")->message.p,
               "plugin try: plugin.lua:11: broken");
    const char *text = table_text(w, TABLE, false);
    assert_has(text, "/* -> a_gloo-system timeout=3");
    assert_has_not(text, "/bad* -> a_gloo-system");
    assert_has(text, "/bad* -> ");
    put(w, TWO("{loop: true}"));
    assert_has(finding(w, VS_KEY("v"), SLD_PLUGIN_FAILED, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try")->message.p,
               "more than 100000 steps");
    assert_has(table_text(w, TABLE, false), "/* -> a_gloo-system timeout=3");
    put(w, TWO("{}"));
    assert_clean(w, VS_KEY("v"));
    assert_has(table_text(w, TABLE, false), "/bad* -> a_gloo-system timeout=3");
    world_destroy(w);
}

static void a_virtual_host_configures_its_routes(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", shaper);
#define HOST(conf, route) VS("v", "{virtualHost: {domains: ['*'], options: {" CONF(conf) "}, routes: [" ROUTE("/", route) "]}}")
    put(w, UPSTREAM("a") HOST("{to: 5s}", ""));
    assert_clean(w, VS_KEY("v"));
    assert_has(routes(w), "\"timeout\":\"5s\"");
    assert_has(routes(w), "\"responseHeadersToRemove\":[\"x-gloo-system\"]");
    put(w, HOST("{to: 5s}", CONF("{to: 6s}")));
    assert_has(routes(w), "\"timeout\":\"6s\"");
    put(w, HOST("{fail: vh}", CONF("{}")));
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_FAILED, SLD_ERROR, "virtualHost.options.extensions.configs.try");
    const struct sld_out *o = out(w, SLD_OUT_ROUTE, TABLE);
    assert_true(!o || !strstr(json(w, o), "a_gloo-system"));
    world_destroy(w);
}

static void a_listener_is_shaped(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", shaper);
#define GW(conf) GATEWAY("g", "{bindAddress: '::', bindPort: 8080, httpGateway: {options: {" CONF(conf) "}}, proxyNames: [gateway-proxy]}")
    put(w, UPSTREAM("a") GW("{}") ONE(""));
    assert_clean(w, GW_KEY("g"));
    const char *l = json(w, out(w, SLD_OUT_LISTENER, "listener-::-8080"));
    assert_has(l, "\"perConnectionBufferLimitBytes\":1024");
    assert_has(l, "\"serverName\":\"shaped\"");
    assert_has(l, "{\"name\":\"my.filter\",\"typedConfig\":{\"@type\":\"type.googleapis.com/xds.type.v3.TypedStruct\","
                  "\"typeUrl\":\"type.googleapis.com/some.Filter\",\"value\":{\"on\":true}}}");
    put(w, GW("{fail: x}"));
    assert_finding(w, GW_KEY("g"), SLD_PLUGIN_FAILED, SLD_ERROR, "httpGateway.options.extensions.configs.try");
    l = json(w, out(w, SLD_OUT_LISTENER, "listener-::-8080"));
    assert_has_not(l, "1024");
    assert_has_not(l, "shaped");
    assert_has_not(l, "my.filter");
    world_destroy(w);
}

static void what_is_not_declared_is_not_there(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", "return {api = 1, name = 'try', shape_route = function(conf, route, ctx) ctx:get('Upstream', 'a') end}");
    put(w, UPSTREAM("a") ONE(CONF("{}")));
    assert_has(finding(w, VS_KEY("v"), SLD_PLUGIN_FAILED, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try")->message.p,
               "plugin.lua:1: ctx:get reads other objects: add needs = {\"objects\"}");
    world_destroy(w);
}

static void reads_are_recorded(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", shaper);
    put(w, UPSTREAM("a") ONE(CONF("{read: {name: b}}")));
    assert_has(routes(w), "\"prefixRewrite\":\"/none\"");
    put(w, UPSTREAM("b"));
    assert_has(routes(w), "\"prefixRewrite\":\"/10.0.0.1\"");
    drop(w, "upstreams/gloo-system/b");
    assert_has(routes(w), "\"prefixRewrite\":\"/none\"");
    world_destroy(w);
}

static void a_secret_stays_one(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", shaper);
    put(w, UPSTREAM("a") ONE(CONF("{key: {name: k, key: token}}")) "---\napiVersion: gloo.solo.io/v1\nkind: Secret\n"
           "metadata: {name: k, namespace: gloo-system}\nheader: {headers: {token: hidden}}\n");
    assert_clean(w, VS_KEY("v"));
    const struct sld_out *o = out(w, SLD_OUT_ROUTE, TABLE);
    assert_has(json(w, o), "\"value\":\"hidden\"");
    assert_true(o->secret);
    put(w, ONE(CONF("{key: {name: none}}")));
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_FAILED, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try");
    world_destroy(w);
}

static void a_new_version_runs_where_it_is_used(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, UPSTREAM("a") ONE(CONF("{to: 7s}")));
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_UNKNOWN, SLD_WARNING, "virtualHost.routes[0].options.extensions.configs.try");
    set_plugin(w, "try", shaper);
    world_run(w);
    assert_clean(w, VS_KEY("v"));
    assert_has(routes(w), "\"timeout\":\"7s\"");
    set_plugin(w, "try", "return {api = 1, name = 'try', shape_route = function(conf, route) route.route.timeout = '11s' end}");
    world_run(w);
    // `to` is no field of it any more: the accepted form stays, and is shaped by the new version.
    assert_finding(w, VS_KEY("v"), SLD_FIELD_UNKNOWN, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try.to");
    assert_has(routes(w), "\"timeout\":\"11s\"");
    set_plugin(w, "other", shaper);
    world_run(w);
    sld_translate_set_plugin(w->t, SLD_STR("try"), NULL);
    world_run(w);
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_UNKNOWN, SLD_WARNING, "virtualHost.routes[0].options.extensions.configs.try");
    world_destroy(w);
}

static void one_that_does_not_load(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", "return {");
    put(w, UPSTREAM("a") ONE(CONF("{to: 7s}")));
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_BROKEN, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try");
    assert_null(out(w, SLD_OUT_ROUTE, TABLE));
    set_plugin(w, "try", shaper);
    world_run(w);
    assert_clean(w, VS_KEY("v"));
    assert_has(routes(w), "\"timeout\":\"7s\"");
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_route_is_shaped),
        WORLD_TEST(only_changed_rows_run),
        WORLD_TEST(a_wrong_configuration_does_not_count),
        WORLD_TEST(a_failing_hook_costs_its_route),
        WORLD_TEST(a_virtual_host_configures_its_routes),
        WORLD_TEST(a_listener_is_shaped),
        WORLD_TEST(what_is_not_declared_is_not_there),
        WORLD_TEST(reads_are_recorded),
        WORLD_TEST(a_secret_stays_one),
        WORLD_TEST(a_new_version_runs_where_it_is_used),
        WORLD_TEST(one_that_does_not_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

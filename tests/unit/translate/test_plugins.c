// Plugins in translation: what their hooks shape, when they run, what a failure costs.
#include "option_world.h"

#include "plugin.pb-c.h"
#include "plugin/load.h"
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

static struct sld_plugin_slot *load_slot(const char *name, const char *text)
{
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(sld_str_c(name), SLD_STR("test"), sld_str_c(text));
    struct sld_plugin *p = NULL;
    struct sld_err err = {0};
    struct sld_plugin_limits l = sld_plugin_limits_default;
    l.call_steps = 100000;
    enum sld_rc rc = sld_plugin_load(b, &l, &p, &err);
    SLD_UNREF(b);
    return sld_plugin_slot_create(p, rc ? sld_str_c(err.msg) : SLD_STR(""));
}

static void set_plugin(struct world *w, const char *name, const char *text)
{
    struct sld_plugin_slot *slot = load_slot(name, text);
    sld_translate_set_plugin(w->t, sld_str_c(name), slot);
    SLD_UNREF(slot);
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

// Gives VirtualService NAME, and runs; what came of it is not compared with a rebuild, which calls hooks too.
static void put_once(struct world *w, const char *name, const char *text)
{
    struct sld_translate_result r = {0};
    struct sld_ident id = {SLD_KIND_VIRTUAL_SERVICE, SLD_STR("gloo-system"), sld_str_c(name)};
    struct sld_doc_place place = {.path = SLD_STR("t"), .default_ns = SLD_STR("gloo-system")};
    struct sld_raw *raw = sld_raw_create(id, sld_str_c(text), 1, -1, SLD_STR("t"), &place);
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
    sld_translate_run(w->t, &r);
    sld_translate_result_fini(&r);
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
    put_once(w, "v7", VS("v7", "{virtualHost: {domains: [d7], routes: [" ROUTE("/x", CONF("{to: 9s}")) "]}}"));
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

// ---- Plugins that documents declare ----

#define PLUGIN_IN(ns, spec) "---\napiVersion: solder.dev/v1\nkind: Plugin\nmetadata: {name: try, namespace: " ns "}\nspec: " spec "\n"
#define PLUGIN(spec) PLUGIN_IN("gloo-system", spec)

static const struct sld_plugin_slot *slot_of(struct world *w)
{
    const struct sld_plugin_slot *slot = sld_translate_plugin(w->t, SLD_STR("try"));
    assert_non_null(slot);
    return slot;
}

// Gives TEXT, the Plugin try of namespace NS, to both.
static void declare(struct world *w, struct sld_plugin_set *s, const char *ns, const char *text)
{
    put(w, text);
    sld_plugin_set_touch(s, (struct sld_ident){SLD_KIND_PLUGIN, sld_str_c(ns), SLD_STR("try")}, true);
    sld_plugin_set_settle(s);
    world_run(w);
}

// The folder has TEXT as plugin try.
static void offer(struct sld_plugin_set *s, const char *text)
{
    struct sld_plugin_slot *slot = load_slot("try", text);
    sld_plugin_set_offer(s, SLD_STR("try"), slot);
    SLD_UNREF(slot);
}

static void what_is_kept_is_of_an_equal_route(void **state)
{
    (void)state;
    struct world *w = option_world();
    struct sld_plugin_set *s = sld_plugin_set_create(w->t, NULL);
    declare(w, s, "gloo-system",
            PLUGIN("{onError: keep-last, inline: \"return {api = 1, name = 'try', schema = require('solder.schema').record{fail = "
                   "require('solder.schema').boolean{}}, shape_route = function(conf, route) if conf.fail then error('no') end "
                   "route.route.timeout = '9s' end}\"}"));
    assert_clean(w, "plugins/gloo-system/try");
#define ROUTES(list) VS("v", "{virtualHost: {domains: ['*'], routes: [" list "]}}")
    put(w, UPSTREAM("a") ROUTES(ROUTE("/one", CONF("{}")) ", " ROUTE("/two", CONF("{}"))));
    assert_has(table_text(w, TABLE, false), "/one* -> a_gloo-system timeout=9");
    // The second is the first now: what was kept for that is not its own.
    put(w, ROUTES(ROUTE("/two", CONF("{fail: true}"))));
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_FAILED, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try");
    assert_has_not(table_text(w, TABLE, false), "/one");
    assert_has_not(table_text(w, TABLE, false), "-> a_gloo-system");
    put(w, ROUTES(ROUTE("/one", CONF("{fail: true}"))));
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_FAILED, SLD_WARNING, "virtualHost.routes[0].options.extensions.configs.try");
    assert_has(table_text(w, TABLE, false), "/one* -> a_gloo-system timeout=9");
    sld_plugin_set_destroy(s);
    world_destroy(w);
}

static void what_was_accepted_is_restored_before_the_folder_is_read(void **state)
{
    (void)state;
    struct world *w = option_world();
    struct sld_plugin_set *s = sld_plugin_set_create(w->t, NULL);
    struct sld_ident id = {SLD_KIND_PLUGIN, SLD_STR_INIT("gloo-system"), SLD_STR_INIT("try")};
    struct sld_doc_place place = {.path = SLD_STR("t"), .default_ns = SLD_STR("gloo-system")};
    struct sld_raw *raw = sld_raw_create(id, SLD_STR(PLUGIN("{needs: [objects, secrets]}")), 1, -1, SLD_STR("t"), &place);
    sld_translate_restore(w->t, raw);
    SLD_UNREF(raw);
    sld_plugin_set_touch(s, id, true);
    offer(s, shaper);
    sld_plugin_set_settle(s);
    assert_non_null(slot_of(w)->plugin);
    assert_non_null(slot_of(w)->declared);
    sld_plugin_set_destroy(s);
    world_destroy(w);
}

static void a_document_of_no_use_takes_no_place(void **state)
{
    (void)state;
    struct world *w = option_world();
    struct sld_plugin_set *s = sld_plugin_set_create(w->t, NULL);
    declare(w, s, "a", PLUGIN_IN("a", "{inline: 'return {'}"));
    assert_null(slot_of(w)->plugin); // there is nothing else
    offer(s, shaper);
    sld_plugin_set_settle(s);
    assert_non_null(slot_of(w)->plugin);
    assert_null(slot_of(w)->declared);
    declare(w, s, "b", PLUGIN_IN("b", "{needs: [objects, secrets]}"));
    assert_clean(w, "plugins/b/try");
    assert_non_null(slot_of(w)->plugin);
    assert_non_null(slot_of(w)->declared);
    // The same in the other order: the document waits for the folder.
    sld_plugin_set_destroy(s);
    world_destroy(w);
    w = option_world();
    s = sld_plugin_set_create(w->t, NULL);
    declare(w, s, "b", PLUGIN_IN("b", "{needs: [objects, secrets]}"));
    assert_null(slot_of(w)->plugin);
    offer(s, shaper);
    sld_plugin_set_settle(s);
    world_run(w);
    assert_clean(w, "plugins/b/try");
    assert_non_null(slot_of(w)->declared);
    sld_plugin_set_destroy(s);
    world_destroy(w);
}

#define OBJECT(kind, name, rest)                                                                                                      \
    "---\napiVersion: gateway.solo.io/v1\nkind: " kind "\nmetadata: {name: " name ", namespace: gloo-system}\nspec: " rest "\n"

// ---- Clusters and secrets that plugins add ----

#define ADDER(body) "return {api = 1, name = 'try', needs = {'objects'}, extra = function(conf, add, ctx)\n" body "\nend}"
#define AUTHZ                                                                                                                         \
    "local c = add:cluster('authz')\n"                                                                                                \
    "c.type = 'STRICT_DNS' c.connect_timeout = '2s'\n"                                                                                \
    "c.load_assignment = {cluster_name = c.name, endpoints = {{lb_endpoints = {{endpoint = {address = {socket_address = "              \
    "{address = 'authz.internal', port_value = 9000}}}}}}}}\n"                                                                        \
    "add:secret('token').generic_secret = {secret = {inline_string = 's3cr3t'}}\n"

static void a_plugin_adds_clusters_and_secrets(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, UPSTREAM("a"));
    set_plugin(w, "try", ADDER(AUTHZ "c.alt_stat_name = ctx:get('Upstream', 'a', 'gloo-system') and 'there' or 'not there'"));
    world_run(w);
    const struct sld_out *c = out(w, SLD_OUT_CLUSTER, "extra:try/authz"), *s = out(w, SLD_OUT_SECRET, "extra:try/token");
    assert_has(json(w, c), "\"connectTimeout\":\"2s\"");
    assert_has(json(w, c), "\"altStatName\":\"there\"");
    assert_false(c->secret);
    assert_true(s && s->secret);
    // What it did not read leaves it alone; what it read does not.
    uint64_t before = calls(w, SLD_HOOK_EXTRA);
    put_once(w, "v", ONE("timeout: 1s"));
    assert_int_equal(calls(w, SLD_HOOK_EXTRA), before);
    sld_translate_set(w->t, (struct sld_ident){SLD_KIND_UPSTREAM, SLD_STR_INIT("gloo-system"), SLD_STR_INIT("a")}, NULL);
    put_once(w, "v", ONE("timeout: 2s"));
    assert_int_equal(calls(w, SLD_HOOK_EXTRA), before + 1);
    assert_has(json(w, out(w, SLD_OUT_CLUSTER, "extra:try/authz")), "\"altStatName\":\"not there\"");
    // It goes with the plugin.
    sld_translate_set_plugin(w->t, SLD_STR("try"), NULL);
    world_run(w);
    assert_null(out(w, SLD_OUT_CLUSTER, "extra:try/authz"));
    assert_null(out(w, SLD_OUT_SECRET, "extra:try/token"));
    world_destroy(w);
}

static bool sends_to(const struct sld_out *o, const char *cluster)
{
    bool found = false;
    for (size_t i = 0; o && i < o->cluster_count; i++)
        found |= sld_str_eq(o->clusters[i], sld_str_c(cluster));
    return found;
}

// So no Envoy gets a route before its cluster, or loses the cluster first.
static void what_sends_there_waits_for_it(void **state)
{
    (void)state;
    struct world *w = option_world();
    static const char text[] =
        "return {api = 1, name = 'try', extra = function(conf, add) add:cluster('a') add:cluster('b') end,\n"
        "shape_route = function(conf, route) route.route.cluster = 'extra:try/a' end,\n"
        "shape_listener = function(conf, l, ctx) ctx:add_filter{name = 'my.filter', stage = 'authn', config = {['@type'] = "
        "'type.googleapis.com/some.Filter', services = {{cluster = 'extra:try/b'}, {cluster = 'extra:try/none'}}}} end}";
    put(w, UPSTREAM("a") ONE(CONF("{}")) OBJECT("Gateway", "gateway-proxy", "{bindAddress: '::', bindPort: 8080, proxyNames: [gateway-proxy], httpGateway: "
                                                "{options: {" CONF("{}") "}}}"));
    set_plugin(w, "try", text);
    world_run(w);
    assert_true(sends_to(out(w, SLD_OUT_ROUTE, TABLE), "extra:try/a"));
    assert_true(sends_to(out(w, SLD_OUT_LISTENER, "listener-::-8080"), "extra:try/b"));
    assert_false(sends_to(out(w, SLD_OUT_LISTENER, "listener-::-8080"), "extra:try/none"));
    world_destroy(w);
}

// The words of the last error of plugin try that the hook of TEXT gives.
static const char *extra_fault(struct world *w, const char *text)
{
    set_plugin(w, "try", text);
    world_run(w);
    const struct sld_plugin *p = sld_translate_plugin(w->t, SLD_STR("try"))->plugin;
    assert_null(out(w, SLD_OUT_CLUSTER, "extra:try/a"));
    return p->error_count ? p->errors[0].words : "";
}

static void what_cannot_be_added_is_told_with_the_line(void **state)
{
    (void)state;
    struct world *w = option_world();
    assert_has(extra_fault(w, ADDER("add:cluster('a')\nadd:cluster('a')")),
               "plugin.lua:3: cluster a was added before, by plugin.lua:2");
    assert_has(extra_fault(w, ADDER("add:cluster('../a')")), "plugin.lua:2: a cluster's name is made of letters");
    assert_has(extra_fault(w, ADDER("add:cluster('a').name = 'a_gloo-system'")), "plugin.lua:2: cluster extra:try/a: its name stays");
    assert_has(extra_fault(w, ADDER("add:cluster('a').type = 'EDS'")), "plugin.lua:2: cluster extra:try/a: its type cannot be EDS");
    assert_has(extra_fault(w, ADDER("add:cluster('a').connect_timeout = '0s'")),
               "plugin.lua:2: cluster extra:try/a: Envoy would refuse connect");
    assert_has(extra_fault(w, ADDER("add:secret('a')")), "plugin.lua:2: secret extra:try/a: it is empty");
    assert_has(extra_fault(w, ADDER("add:cluster('a').conect_timeout = '1s'")), "plugin.lua:2: ");
    assert_has(extra_fault(w, ADDER("for i = 1, 101 do add:cluster('a' .. i) end")), "plugin.lua:2: extra adds more than 100");
    assert_has(extra_fault(w, ADDER("keep = add")), "plugin.lua:2: ");
    assert_has(extra_fault(w, "local s = require 'solder.schema'\nreturn {api = 1, name = 'try', schema = s.record{to = "
                              "s.string{required = true}}, extra = function(conf, add) add:cluster('a') end}"),
               "extra is not called: config.to: ");
    world_destroy(w);
}

#define FAILING(mode, fail)                                                                                                           \
    PLUGIN("{onError: " mode ", config: {fail: " fail                                                                                 \
           "}, inline: \"return {api = 1, name = 'try', schema = require('solder.schema').record{fail = "                             \
           "require('solder.schema').boolean{}}, extra = function(conf, add) add:cluster('a') if conf.fail then error('no') end "     \
           "add:cluster('b') end}\"}")

static void what_a_plugin_added_last(void **state)
{
    (void)state;
    struct world *w = option_world();
    struct sld_plugin_set *s = sld_plugin_set_create(w->t, NULL);
    declare(w, s, "gloo-system", FAILING("closed", "false"));
    assert_clean(w, "plugins/gloo-system/try");
    assert_non_null(out(w, SLD_OUT_CLUSTER, "extra:try/b"));
    declare(w, s, "gloo-system", FAILING("closed", "true"));
    assert_finding(w, "plugins/gloo-system/try", SLD_PLUGIN_FAILED, SLD_ERROR, "");
    assert_null(out(w, SLD_OUT_CLUSTER, "extra:try/a")); // nor half of it
    declare(w, s, "gloo-system", FAILING("keep-last", "false"));
    assert_clean(w, "plugins/gloo-system/try");
    declare(w, s, "gloo-system", FAILING("keep-last", "true"));
    assert_finding(w, "plugins/gloo-system/try", SLD_PLUGIN_FAILED, SLD_WARNING, "");
    assert_non_null(out(w, SLD_OUT_CLUSTER, "extra:try/a"));
    assert_non_null(out(w, SLD_OUT_CLUSTER, "extra:try/b"));
    declare(w, s, "gloo-system", FAILING("open", "true"));
    assert_finding(w, "plugins/gloo-system/try", SLD_PLUGIN_FAILED, SLD_WARNING, "");
    assert_null(out(w, SLD_OUT_CLUSTER, "extra:try/b"));
    sld_plugin_set_destroy(s);
    world_destroy(w);
}

#define EIGHT(x) x ", " x ", " x ", " x ", " x ", " x ", " x ", " x

static void a_check_is_not_called_for_ever(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", "return {api = 1, name = 'try', check = function() while true do end end}");
    put(w, UPSTREAM("a") ROUTES(EIGHT(ROUTE("/", CONF("{}")))));
    assert_int_equal(calls(w, SLD_HOOK_CHECK), 5);
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_FAILED, SLD_ERROR, "virtualHost.routes[7].options.extensions.configs.try");
    put(w, ROUTES(ROUTE("/", CONF("{too: much}")))); // the schema goes on
    assert_finding(w, VS_KEY("v"), SLD_FIELD_UNKNOWN, SLD_ERROR, "virtualHost.routes[0].options.extensions.configs.try.too");
    assert_int_equal(calls(w, SLD_HOOK_CHECK), 5);
    world_destroy(w);
}

static void breaches_count_between_calls_that_go_well(void **state)
{
    (void)state;
    struct world *w = option_world();
    struct sld_plugin_set *s = sld_plugin_set_create(w->t, NULL);
    struct sld_plugin_stats st;
    offer(s, shaper);
    sld_plugin_set_settle(s);
    const struct sld_plugin_slot *slot = slot_of(w);
    put(w, UPSTREAM("a"));
    put_once(w, "v", ROUTES(EIGHT(ROUTE("/l", CONF("{loop: true}")) ", " ROUTE("/", CONF("{}")))));
    sld_plugin_stats(slot->plugin, &st);
    assert_int_equal(st.hooks[SLD_HOOK_SHAPE_ROUTE].limits, 5);
    assert_int_equal(sld_plugin_set_watch(s, 1000000000), 31000000000);
    assert_true(slot_of(w)->suspended);
    assert_non_null(strstr(slot_of(w)->error.p, "it is suspended for 30 s after 5 breaches of its ceilings, the last: "));
    sld_plugin_set_destroy(s);
    world_destroy(w);
}

static void one_that_does_not_load_anew_rests_on(void **state)
{
    (void)state;
    const uint64_t second = 1000000000;
    struct world *w = option_world();
    struct sld_plugin_set *s = sld_plugin_set_create(w->t, NULL);
    offer(s, shaper);
    sld_plugin_set_settle(s);
    put(w, UPSTREAM("a"));
    put_once(w, "v", ROUTES(EIGHT(ROUTE("/l", CONF("{loop: true}")))));
    assert_int_equal(sld_plugin_set_watch(s, second), 31 * second);
    struct sld_plugin_limits *l = &slot_of(w)->plugin->host->limits;
    size_t memory = l->memory_bytes;
    l->memory_bytes = 1000;
    assert_int_equal(sld_plugin_set_watch(s, 31 * second), 91 * second); // twice as long
    assert_true(slot_of(w)->suspended);
    assert_non_null(strstr(slot_of(w)->error.p, "it is suspended for 60 s after it could not be loaded anew: "));
    l->memory_bytes = memory;
    assert_int_equal(sld_plugin_set_watch(s, 91 * second), 0);
    assert_false(slot_of(w)->suspended);
    sld_plugin_set_destroy(s);
    world_destroy(w);
}

static void ceilings_have_ceilings(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, PLUGIN("{inline: 'return {', suspendAfter: 101, limits: {callSteps: 1000000001}}"));
    assert_finding(w, "plugins/gloo-system/try", SLD_FIELD_RANGE, SLD_ERROR, "suspendAfter");
    assert_finding(w, "plugins/gloo-system/try", SLD_FIELD_RANGE, SLD_ERROR, "limits.callSteps");
    assert_null(finding(w, "plugins/gloo-system/try", SLD_PLUGIN_BROKEN, SLD_ERROR, "inline")); // it is not run
    put(w, PLUGIN("{inline: 'return {', suspendAfter: 100, limits: {callSteps: 1000000000}}"));
    assert_finding(w, "plugins/gloo-system/try", SLD_PLUGIN_BROKEN, SLD_ERROR, "inline");
    world_destroy(w);
}

// What a round told of configurations: how many came, how many went.
struct told {
    size_t came, gone;
    char id[40];
};

static struct told give(struct world *w, const char *name, const char *text)
{
    struct told t = {0};
    struct sld_translate_result r = {0};
    struct sld_ident id = {SLD_KIND_VIRTUAL_SERVICE, SLD_STR("gloo-system"), sld_str_c(name)};
    struct sld_doc_place place = {.path = SLD_STR("t"), .default_ns = SLD_STR("gloo-system")};
    struct sld_raw *raw = text ? sld_raw_create(id, sld_str_c(text), 1, -1, SLD_STR("t"), &place) : NULL;
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
    sld_translate_run(w->t, &r);
    for (size_t i = 0; i < r.conf_count; i++) {
        t.came += r.confs[i].conf != NULL;
        t.gone += r.confs[i].conf == NULL;
        snprintf(t.id, sizeof(t.id), "%.*s", SLD_FMT(r.confs[i].id));
    }
    sld_translate_result_fini(&r);
    return t;
}

#define OTHER "extensions: {configs: {mark: {}}}"
#define GUARD "authorize = function() end"

// Who configures another plugin below does not switch off the one that is to guard; nor does its rest in this process.
static void a_guard_stays(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", "return {api = 1, name = 'try', " GUARD "}");
    set_plugin(w, "mark", "return {api = 1, name = 'mark', shape_route = function(_, route) route.route.timeout = '9s' end}");
    put(w, UPSTREAM("a") OBJECT("RouteTable", "t", "{routes: [" ROUTE("/", OTHER) "]}")
               VS("v", "{virtualHost: {domains: ['*'], routes: [{matchers: [{prefix: /}], delegateAction: {ref: {name: t, namespace: "
                       "gloo-system}}, options: {" CONF("{}") "}}]}}"));
    assert_clean(w, VS_KEY("v"));
    assert_has(routes(w), "\"timeout\":\"9s\"");
    assert_has(routes(w), SLD_AUTHORIZE_FILTER);
    put(w, OBJECT("RouteOption", "o", "{options: {" CONF("{}") "}}")
               VS("v", "{virtualHost: {domains: ['*'], routes: [{matchers: [{prefix: /}], " TO_A ", options: {" OTHER "}, "
                       "optionsConfigRefs: {delegateOptions: [{name: o, namespace: gloo-system}]}}]}}"));
    assert_has(routes(w), "\"timeout\":\"9s\"");
    assert_has(routes(w), SLD_AUTHORIZE_FILTER);
    put(w, OBJECT("VirtualHostOption", "h", "{options: {" CONF("{}") "}}")
               VS("v", "{virtualHost: {domains: ['*'], options: {" OTHER "}, optionsConfigRefs: {delegateOptions: [{name: h, namespace: "
                       "gloo-system}]}, routes: [" ROUTE("/", "timeout: 1s") "]}}"));
    assert_has(routes(w), "\"timeout\":\"9s\"");
    assert_has(routes(w), SLD_AUTHORIZE_FILTER);
    struct sld_plugin_slot *slot =
        load_slot("try", "return {api = 1, name = 'try', shape_route = function() end, " GUARD "}");
    Gloo__Plugin open = GLOO__PLUGIN__INIT;
    char word[] = "open";
    open.on_error = word;
    slot->declared = &open;
    slot->suspended = true;
    slot->error = SLD_STR("it rests");
    sld_translate_set_plugin(w->t, SLD_STR("try"), slot);
    put_once(w, "v", ONE(CONF("{}")));
    assert_has(routes(w), SLD_AUTHORIZE_FILTER);
    SLD_UNREF(slot);
    world_destroy(w);
}

// Where hooks of requests do not run, their configuration is refused: it would be taken for a guard.
static void where_no_request_is_seen(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", "return {api = 1, name = 'try', " GUARD "}");
    put(w, UPSTREAM("a") VS("v", "{virtualHost: {domains: ['*'], routes: [{matchers: [{prefix: /}], routeAction: {multi: {destinations: "
                                 "[{destination: {upstream: {name: a, namespace: gloo-system}}, weight: 1, options: {" CONF("{}") "}}]}}}]}}"));
    assert_finding(w, VS_KEY("v"), SLD_PLUGIN_FAILED, SLD_ERROR,
                   "virtualHost.routes[0].routeAction.multi.destinations[0].options.extensions.configs.try");
    put(w, OBJECT("Gateway", "g", "{bindAddress: '::', bindPort: 8080, httpGateway: {options: {" CONF("{}") "}}}"));
    assert_finding(w, "gateways/gloo-system/g", SLD_PLUGIN_FAILED, SLD_ERROR, "httpGateway.options.extensions.configs.try");
    world_destroy(w);
}

static void configurations_of_requests_are_counted(void **state)
{
    (void)state;
    struct world *w = option_world();
    set_plugin(w, "try", "return {api = 1, name = 'try', schema = require('solder.schema').record{n = require('solder.schema').integer{}}, "
                         "authorize = function() end}");
    put(w, UPSTREAM("a"));
#define ASKED(name, conf) VS(name, "{virtualHost: {domains: [" name "], routes: [" ROUTE("/", conf) "]}}")
    struct told one = give(w, "one", ASKED("one", CONF("{n: 1}")));
    assert_true(one.came == 1 && one.gone == 0);
    struct told two = give(w, "two", ASKED("two", CONF("{n: 1}"))); // the same one
    assert_int_equal(two.came + two.gone, 0);
    struct told three = give(w, "three", ASKED("three", CONF("{n: 2}")));
    assert_int_equal(three.came, 1);
    assert_string_not_equal(one.id, three.id);
    assert_int_equal(give(w, "one", NULL).gone, 0); // another has it
    assert_int_equal(give(w, "two", ASKED("two", "timeout: 1s")).gone, 1);
    three = give(w, "three", ASKED("three", CONF("{n: 3}")));
    assert_true(three.came == 1 && three.gone == 1);
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_adds_clusters_and_secrets), cmocka_unit_test(what_cannot_be_added_is_told_with_the_line),
        cmocka_unit_test(what_a_plugin_added_last), cmocka_unit_test(what_sends_there_waits_for_it),
        cmocka_unit_test(a_guard_stays),
        cmocka_unit_test(where_no_request_is_seen),
        cmocka_unit_test(configurations_of_requests_are_counted),
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
        WORLD_TEST(what_is_kept_is_of_an_equal_route),
        WORLD_TEST(what_was_accepted_is_restored_before_the_folder_is_read),
        WORLD_TEST(a_document_of_no_use_takes_no_place),
        WORLD_TEST(a_check_is_not_called_for_ever),
        WORLD_TEST(breaches_count_between_calls_that_go_well),
        WORLD_TEST(one_that_does_not_load_anew_rests_on),
        WORLD_TEST(ceilings_have_ceilings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Envoy's messages in the hands of scripts.
#include "plugin/support.h"

#include "envoy/config/route/v3/route_components.pb-c.h"
#include "plugin/handle.h"

struct work {
    struct sld_arena arena;
    struct pl_edit edit;
    Env__Route__Route *route;
    char result[512];
};

static bool secret(void *user, struct sld_str ns, struct sld_str name, struct sld_str key, struct sld_str *out, struct sld_err *err)
{
    (void)user;
    (void)err;
    (void)ns;
    (void)key;
    *out = sld_str_eq(name, SLD_STR("token")) ? SLD_STR("hidden") : SLD_STR_NONE;
    return out->p || sld_err_set(err, SLD_NOT_FOUND, "there is no secret %.*s", SLD_FMT(name)) == SLD_OK;
}

static void work_begin(struct work *w)
{
    memset(w, 0, sizeof(*w));
    w->edit.arena = &w->arena;
    w->edit.secret = secret;
    w->route = SLD_MSG(&w->arena, Env__Route__Route, env__route__route);
    w->route->name = sld_arena_cstr(&w->arena, SLD_STR("r"));
    w->route->action_case = ENV__ROUTE__ROUTE__ACTION_ROUTE;
    w->route->route = SLD_MSG(&w->arena, Env__Route__RouteAction, env__route__route_action);
    w->route->route->cluster_specifier_case = ENV__ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
    w->route->route->cluster = sld_arena_cstr(&w->arena, SLD_STR("c"));
}

static int call(lua_State *L)
{
    struct work *w = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "run");
    pl_push_message(L, &w->edit, &w->route->base, "route", false);
    lua_call(L, 1, 1);
    pl_tostring(L, -1);
    snprintf(w->result, sizeof(w->result), "%.*s", SLD_FMT(pl_str(L, -1)));
    return 0;
}

// WANT_JSON: the route afterwards, or NULL; WANT: the result; RC and WORDS: of an error.
static void run(const char *body, const char *want, const char *want_json, enum sld_rc rc, const char *words)
{
    struct try t;
    struct work w;
    char script[4096];
    snprintf(script, sizeof(script), "local kept\nreturn function(route) %s end", body);
    if (try_begin(&t, &small, script))
        fail_msg("%s", t.err.msg);
    work_begin(&w);
    enum sld_rc got = pl_run(t.h, PL_PURE, call, &w, &t.err);
    if (got != rc || (rc && !strstr(t.err.msg, words)))
        fail_msg("%s: %s (%s)", body, sld_rc_name(got), t.err.msg);
    if (want)
        assert_string_equal(w.result, want);
    if (want_json) {
        struct sld_buf b;
        sld_buf_init(&b, 10000);
        sld_doc_print(&b, &w.route->base, SLD_TEXT_JSON_COMPACT, false);
        assert_string_equal(sld_arena_cstr(&w.arena, sld_str_trim(sld_buf_str(&b))), want_json);
        sld_buf_fini(&b);
    }
    sld_arena_fini(&w.arena);
    try_end(&t);
}

#define GIVES(body, want) run(body, want, NULL, SLD_OK, NULL)
#define MAKES(body, json) run(body, NULL, json, SLD_OK, NULL)
#define RAISES(body, words) run(body, NULL, NULL, SLD_INVALID, words)

static void reading(void **state)
{
    (void)state;
    GIVES("return route.name .. route.route.cluster", "rc");
    GIVES("return route.redirect", "nil");
    GIVES("return route.match", "nil");
    GIVES("return route.route.timeout", "nil");
    GIVES("return route.route.prefix_rewrite .. '|' .. route.route.prefixRewrite", "|");
    GIVES("return #route.request_headers_to_add", "0");
    GIVES("return route.request_headers_to_add[1]", "nil");
    GIVES("return route.route.cluster_not_found_response_code", "SERVICE_UNAVAILABLE");
    GIVES("local r = {} for k, v in pairs(route) do r[#r + 1] = k end return table.concat(r, ' ')", "route name");
    GIVES("return tostring(route)", "{\"route\":{\"cluster\":\"c\"},\"name\":\"r\"}");
    GIVES("return route['@type']", "type.googleapis.com/envoy.config.route.v3.Route");
    GIVES("return type(route) .. tostring(getmetatable(route))", "userdatafalse");
}

static void writing(void **state)
{
    (void)state;
    MAKES("route.route.timeout = '3s' return route.route.timeout", "{\"route\":{\"cluster\":\"c\",\"timeout\":\"3s\"},\"name\":\"r\"}");
    MAKES("route.route.timeout = '3s' route.route.timeout = nil route.name = ''", "{\"route\":{\"cluster\":\"c\"}}");
    MAKES("route.route.retry_policy = {retryOn = '5xx', num_retries = 3}",
          "{\"route\":{\"cluster\":\"c\",\"retryPolicy\":{\"retryOn\":\"5xx\",\"numRetries\":3}},\"name\":\"r\"}");
    MAKES("route.route.retry_policy = {} route.route.retry_policy.num_retries = 0",
          "{\"route\":{\"cluster\":\"c\",\"retryPolicy\":{\"numRetries\":0}},\"name\":\"r\"}");
    MAKES("route.route.cluster_header = 'x-to'", "{\"route\":{\"clusterHeader\":\"x-to\"},\"name\":\"r\"}");
    MAKES("route.redirect = {https_redirect = true} route.redirect.response_code = 'FOUND'",
          "{\"redirect\":{\"responseCode\":\"FOUND\",\"httpsRedirect\":true},\"name\":\"r\"}");
    MAKES("route.request_headers_to_remove = {'a', 'b', 'c'} table.remove(route.request_headers_to_remove, 1) "
          "table.insert(route.request_headers_to_remove, 'd') route.request_headers_to_remove[1] = 'e'",
          "{\"route\":{\"cluster\":\"c\"},\"requestHeadersToRemove\":[\"e\",\"c\",\"d\"],\"name\":\"r\"}");
    MAKES("local h = route.request_headers_to_add h[#h + 1] = {header = {key = 'x', value = '1'}} h[1].header.value = '2'",
          "{\"route\":{\"cluster\":\"c\"},\"requestHeadersToAdd\":[{\"header\":{\"key\":\"x\",\"value\":\"2\"}}],\"name\":\"r\"}");
    MAKES("route.metadata = {filter_metadata = {a = {x = 1, l = {true, 'y'}}}} route.metadata.filter_metadata.b = {z = 'q'} "
          "route.metadata.filter_metadata.a = nil",
          "{\"route\":{\"cluster\":\"c\"},\"metadata\":{\"filterMetadata\":{\"b\":{\"z\":\"q\"}}},\"name\":\"r\"}");
    GIVES("route.metadata = {filter_metadata = {a = {x = 1, l = {true, 'y'}}}} local a = route.metadata.filter_metadata.a "
          "local r = {} for k, v in pairs(route.metadata.filter_metadata) do r[#r + 1] = k end "
          "return a.x .. a.l[2] .. r[1] .. tostring(route.metadata.filter_metadata.z)",
          "1yanil");
}

static void any(void **state)
{
    (void)state;
    MAKES("route.typed_per_filter_config['envoy.filters.http.buffer'] = "
          "{['@type'] = 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute', disabled = true}",
          "{\"route\":{\"cluster\":\"c\"},\"typedPerFilterConfig\":{\"envoy.filters.http.buffer\":{\"@type\":"
          "\"type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute\",\"disabled\":true}},\"name\":\"r\"}");
    MAKES("route.typed_per_filter_config.x = {['@type'] = 'type.googleapis.com/some.Other', a = {1, 2}}",
          "{\"route\":{\"cluster\":\"c\"},\"typedPerFilterConfig\":{\"x\":{\"@type\":"
          "\"type.googleapis.com/xds.type.v3.TypedStruct\",\"typeUrl\":\"type.googleapis.com/some.Other\",\"value\":{\"a\":[1,2]}}},\"name\":\"r\"}");
    GIVES("route.typed_per_filter_config.b = "
          "{['@type'] = 'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute', disabled = true} "
          "return tostring(route.typed_per_filter_config.b.disabled) .. route.typed_per_filter_config.b['@type']",
          "truetype.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute");
    RAISES("route.typed_per_filter_config.b = {['@type'] = "
           "'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute', disabld = true}", "did you mean \"disabled\"?");
    RAISES("route.typed_per_filter_config.b = {['@type'] = "
           "'type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute', disabled = true}\n"
           "route.typed_per_filter_config.b.disabled = false", "plugin.lua:3: route.typed_per_filter_config[\"b\"]: it is packed (Any)");
}

static void errors(void **state)
{
    (void)state;
    RAISES("\nroute.rout = 1", "plugin.lua:3: route.rout: envoy.config.route.v3.Route has no such field; did you mean route?");
    RAISES("return route.route.tiemout",
           "plugin.lua:2: route.route.tiemout: envoy.config.route.v3.RouteAction has no such field; did you mean timeout?");
    RAISES("route.route.timeout = 'soon'", "plugin.lua:2: route.route.timeout: \"soon\" is no duration");
    RAISES("route.route.timeout = {}", "route.route.timeout: expected a duration");
    RAISES("route.route.timeout = print", "a function cannot be set");
    RAISES("route.route.retry_policy = {num_retries = 'x'}", "route.route.retryPolicy.numRetries: expected");
    RAISES("route.route.cluster_not_found_response_code = 'TEAPOT'", "route.route.clusterNotFoundResponseCode:");
    RAISES("route.request_headers_to_add[3] = {}", "the list has 0 elements; one more can be added at 1");
    RAISES("route.request_headers_to_remove[1] = {}", "route.requestHeadersToRemove[0]: expected");
    RAISES("route.request_headers_to_remove = 'x'", "route.requestHeadersToRemove: expected a list");
    RAISES("route.request_headers_to_add.x = 1", "");
    RAISES("route.match.prefix = '/'", "attempt to index a nil value (field 'match')");
    RAISES("route.route = route", "a handle cannot be set");
    RAISES("route[1] = 1", "route.1: envoy.config.route.v3.Route has no such field");
    RAISES("route.metadata = {filter_metadata = {a = {x = 1, 2}}}", "numbers and names as keys");
    RAISES("local t = {} for i = 1, 40 do t = {a = t} end route.metadata = {filter_metadata = t}", "nested more than 32 deep");
    RAISES("local t = {} t.t = t route.metadata = {filter_metadata = t}", "nested more than 32 deep");
    RAISES("return #route", "a message has no length");
    RAISES("setmetatable(route, {})", "table expected");
    RAISES("rawset(route, 'name', 1)", "table expected");
}

static int keep(lua_State *L)
{
    struct work *w = lua_touserdata(L, 1);
    pl_push_message(L, &w->edit, &w->route->base, "route", false);
    lua_getfield(L, -1, "request_headers_to_add");
    lua_setfield(L, LUA_REGISTRYINDEX, "kept_list");
    lua_setfield(L, LUA_REGISTRYINDEX, "kept");
    return 0;
}

static int use_kept(lua_State *L)
{
    lua_settop(L, 0);
    pl_compile(L, SLD_STR("local a = ... return a.name"), "@use.lua");
    lua_getfield(L, LUA_REGISTRYINDEX, "kept");
    lua_call(L, 1, 0);
    return 0;
}

static int use_list(lua_State *L)
{
    lua_settop(L, 0);
    pl_compile(L, SLD_STR("local l = ... l[1] = {}"), "@use.lua");
    lua_getfield(L, LUA_REGISTRYINDEX, "kept_list");
    lua_call(L, 1, 0);
    return 0;
}

static void stale_handles(void **state)
{
    (void)state;
    struct try t;
    struct work w;
    assert_int_equal(try_begin(&t, &small, "return function() end"), SLD_OK);
    work_begin(&w);
    assert_int_equal(pl_run(t.h, PL_PURE, keep, &w, &t.err), SLD_OK);
    sld_arena_fini(&w.arena); // what the handle was on is gone
    assert_int_equal(pl_run(t.h, PL_PURE, use_kept, NULL, &t.err), SLD_INVALID);
    assert_non_null(strstr(t.err.msg, "use.lua:1: the handle is stale"));
    assert_int_equal(pl_run(t.h, PL_PURE, use_list, NULL, &t.err), SLD_INVALID);
    assert_non_null(strstr(t.err.msg, "use.lua:1: the handle is stale"));
    try_end(&t);
}

static int read_only(lua_State *L)
{
    struct work *w = lua_touserdata(L, 1);
    lua_settop(L, 0);
    pl_compile(L, SLD_STR("local r = ... local c = r.route.cluster r.route.cluster = 'x'"), "@use.lua");
    pl_push_message(L, &w->edit, &w->route->base, "source", true);
    lua_call(L, 1, 0);
    return 0;
}

static void read_only_handles(void **state)
{
    (void)state;
    struct try t;
    struct work w;
    assert_int_equal(try_begin(&t, &small, "return function() end"), SLD_OK);
    work_begin(&w);
    assert_int_equal(pl_run(t.h, PL_PURE, read_only, &w, &t.err), SLD_INVALID);
    assert_non_null(strstr(t.err.msg, "use.lua:1: source.route: it is read-only"));
    sld_arena_fini(&w.arena);
    try_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading), cmocka_unit_test(writing),       cmocka_unit_test(any),
        cmocka_unit_test(errors),  cmocka_unit_test(stale_handles), cmocka_unit_test(read_only_handles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// What solder plugin check sees: each mistake with its file and line, and nothing where there is none.
#include "plugin/support.h"

#include "plugin/author.h"
#include "tree.h"

#define HEAD "local s = require 'solder.schema'\nreturn {api = 1, name = 'try',\n"
#define SCHEMA "schema = s.record{name = s.string{}, count = s.integer{}},\n"

static void faults_of(struct sld_plugin_bundle *b, struct sld_buf *text)
{
    struct sld_plugin_faults f = {0};
    sld_plugin_lint(b, &small, &f, NULL);
    for (size_t i = 0; i < f.count; i++)
        sld_buf_addf(text, "%.*s:%d: %.*s\n", SLD_FMT(f.items[i].file), f.items[i].line, SLD_FMT(f.items[i].words));
    sld_plugin_faults_fini(&f);
    sld_buf_addc(text, 0);
}

static void expect(const char *script, const char *want)
{
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("try"), sld_str_c(script));
    struct sld_buf text;
    sld_buf_init(&text, 10000);
    faults_of(b, &text);
    if (strcmp(text.p, want))
        fail_msg("%s\ngives\n%s\ninstead of\n%s", script, text.p, want);
    sld_buf_fini(&text);
    SLD_UNREF(b);
}

static void nothing_is_wrong(void **state)
{
    (void)state;
    expect(HEAD SCHEMA "needs = {'objects'},\n"
                "check = function(conf, fail) if conf.name == '' then fail('name', 'empty') end end,\n"
                "shape_route = function(conf, route, ctx)\n"
                "  local t = {} t[1] = string.format('%s', conf.name) .. math.floor(conf.count)\n"
                "  route.route.timeout, route.name = '3s', ('x'):rep(2)\n"
                "  local up = ctx:get('Upstream', conf.name, ctx.namespace)\n"
                "  local f = function(conf) return conf.other, _VERSION end\n"
                "end}",
           "");
    expect(HEAD SCHEMA "shape_route = function(conf) conf = conf or {} return conf.other end}", ""); // it may be anything by then
    // On one line nobody can tell the hook from what is in it.
    expect(HEAD SCHEMA "shape_route = function(conf) local f = function(o) return o.other end return f{} end}", "");
    expect(HEAD SCHEMA "shape_route = function(...) local conf = ... return conf.other end}", "");
}

// Functions of modules, wherever the module went; not what only looks like one.
static void names_of_modules(void **state)
{
    (void)state;
    expect("local json, url = require 'solder.json', require('solder.url')\n"
           "local J = json\n"
           "local bad = json.encod\n"
           "return {api = 1, name = 'try', check = function(conf)\n"
           "  local x = json.decod('1')\n"
           "  local function f()\n"
           "    return J.null, json.decode,\n"
           "      J.nul, url.encode,\n"
           "      function() return url.pars end\n"
           "  end\n"
           "  local y = require('solder.hash').sha255('x')\n"
           "  url:parse('x')\n"
           "  local z = require('solder.re').match\n"
           "end}",
           "plugin.lua:3: solder.json has no 'encod'; did you mean encode?\n"
           "plugin.lua:5: solder.json has no 'decod'; did you mean decode?\n"
           "plugin.lua:8: solder.json has no 'nul'; did you mean null?\n"
           "plugin.lua:9: solder.url has no 'pars'; did you mean parse?\n"
           "plugin.lua:11: solder.hash has no 'sha255'; did you mean sha256?\n"
           "plugin.lua:13: solder.re has no 'match'\n");
    expect("local json = require 'solder.json'\n"
           "local function f(json) return json.other end\n"
           "local function g() local json = f{} return json.other end\n"
           "local function h() local a, b = json, nil a = {} return a.other, b end\n"
           "local function i() for json = 1, 2 do local x = json.other end end\n"
           "local function j(...) local json = ... return json.other, json:more() end\n"
           "do local json = {} local x = json.other end "
           "local function k() do local x, y = json, json x = y end local p, q return q and q.other, p end\n"
           "local mine = require 'nothing'\n"
           "return {api = 1, name = 'try', check = function() return f, g, h, i, j, k, mine.other end}",
           "plugin.lua:8: there is no module 'nothing': neither nothing.lua in the plugin, nor one of solder.*\n");
}

static void names(void **state)
{
    (void)state;
    expect(HEAD SCHEMA "shape_route = function(conf)\n  local x = strng\n  string.fromat('x')\n  y = 1\n  os.exit()\n  unpack{}\n"
                       "  local s <const> = zzz\nend}",
           "plugin.lua:5: there is no global 'strng' in plugins; did you mean string?\n"
           "plugin.lua:6: string has no 'fromat' in plugins; did you mean format?\n"
           "plugin.lua:7: the global 'y' cannot be set: write local in front of it\n"
           "plugin.lua:8: there is no global 'os' in plugins: plugins do not see the system; they must give the same result everywhere\n"
           "plugin.lua:9: there is no global 'unpack' in plugins: that is Lua 5.1; write table.unpack\n"
           "plugin.lua:10: there is no global 'zzz' in plugins\n");
    // Deep inside, and far down: lines are told as differences there, with whole numbers in between.
    char script[4000] = HEAD "check = function() local function f() return function()\n";
    for (int i = 0; i < 300; i++)
        strcat(script, i % 9 ? "\n" : " f() \n");
    for (int i = 0; i < 200; i++)
        strcat(script, "\n"); // further than a difference goes
    strcat(script, "nowhere() end end end}");
    expect(script, "plugin.lua:504: there is no global 'nowhere' in plugins\n");
}

static void fields(void **state)
{
    (void)state;
    expect(HEAD SCHEMA "check = function(conf) return conf.nam end,\n"
                       "shape_route = function(conf, route, ctx)\n"
                       "  local x = {conf.cuont}\n"
                       "  route.request_header_to_add = x\n"
                       "  x = route.nmae\n"
                       "  ctx:gett('Upstream', 'x')\n"
                       "  ctx:get('Upstream', 'x')\n"
                       "  ctx:add_filter{}\n"
                       "end,\n"
                       "shape_listener = function(conf, listener, ctx) ctx:add_filter{} return listener.adress end}",
           "plugin.lua:4: the schema has no field 'nam', so it is nil here; did you mean name?\n"
           "plugin.lua:6: the schema has no field 'cuont', so it is nil here; did you mean count?\n"
           "plugin.lua:7: envoy.config.route.v3.Route has no field 'request_header_to_add'; did you mean request_headers_to_add?\n"
           "plugin.lua:8: envoy.config.route.v3.Route has no field 'nmae'; did you mean name?\n"
           "plugin.lua:9: the context has no 'gett'; there are get, namespace, source, add_filter and http\n"
           "plugin.lua:10: ctx:get reads other objects: add needs = {\"objects\"} to the plugin's table\n"
           "plugin.lua:11: filters can be added by shape_listener only\n"
           "plugin.lua:13: envoy.config.listener.v3.Listener has no field 'adress'; did you mean address?\n");
}

static void tasks(void **state)
{
    (void)state;
    expect("local http = require 'solder.http'\nlocal dns = require 'solder.dns'\n"
           "return {api = 1, name = 'try', needs = {'dns'},\nauthorize = function(conf, req)\n"
           "  local ask = http.request\n  return ask{url = 'http://x'} and dns.lookup('x')\nend}",
           "plugin.lua:5: solder.http.request: add needs = {\"http\"} to the plugin's table\n");
    expect(HEAD SCHEMA "needs = {'http'},\ndiscover = function(conf, d)\n"
                       "  d.http{url = conf.nam}\n"
                       "  d.dns('x')\n"
                       "  d.publsh{}\n"
                       "end}",
           "plugin.lua:6: the schema has no field 'nam', so it is nil here; did you mean name?\n"
           "plugin.lua:7: dns is not there without needs = {\"dns\"} in the plugin's table\n"
           "plugin.lua:8: a task has no 'publsh'; there are consul, dns, every, file, http, publish, sleep and vault\n");
}

static void loading(void **state)
{
    (void)state;
    expect("return {", "plugin.lua:1: unexpected symbol near <eof>\n");
    expect("\nreturn {api = 1, name = 'try', check = 1}", "plugin.lua:0: plugin.lua: 'check' must be a function\n");
    expect("return {api = 1, name = 'try', nees = {}}",
           "plugin.lua:0: plugin.lua: the plugin's table has no field 'nees'; did you mean 'needs'?\n");
    expect(HEAD "needs = {'everything'}, check = function() end}",
           "plugin.lua:0: plugin.lua: there is no need 'everything'; there are consul, dns, files, http, kv, objects, secrets and vault\n");
    expect(HEAD "schema = s.record{a = s.list(s.record{key = s.secret_ref{}}, {})}, check = function() end}",
           "plugin.lua:3: schema: a.key refers to a secret: add needs = {\"secrets\"} to the plugin's table\n");
    expect("return {api = 1, name = 'try'}", "plugin.lua:0: the plugin has no hooks, so it does nothing\n");
    expect("\nerror('not today')", "plugin.lua:2: not today\n");
    expect("return 1 + nil_field", "plugin.lua:1: there is no global 'nil_field' in plugins\n"); // once, not also from loading
    expect("while true do end", "plugin.lua:1: more than 2000000 steps; do less in one call, or raise the limit\n");
}

static void other_files(void **state)
{
    (void)state;
    tree_create();
    tree_mkdir("try");
    tree_mkdir("try/lib");
    tree_write("try/plugin.lua", "require 'lib.b'\nreturn {api = 1, name = 'try', check = function() end}");
    tree_write("try/lib/a.lua", "\n\nlocal = 1"); // nobody requires it
    tree_write("try/lib/b.lua", "local M = {}\nfunction M.f() return nowhere end\nreturn M");
    struct sld_plugin_bundle *b = NULL;
    struct sld_err err = {0};
    char path[300];
    snprintf(path, sizeof(path), "%s/try", tree_root);
    assert_int_equal(sld_plugin_bundle_read(sld_str_c(path), &b, &err), SLD_OK);
    struct sld_buf text;
    sld_buf_init(&text, 10000);
    faults_of(b, &text);
    assert_string_equal(text.p, "lib/a.lua:3: <name> expected near '='\n"
                                "lib/b.lua:2: there is no global 'nowhere' in plugins\n");
    sld_buf_fini(&text);
    SLD_UNREF(b);
    tree_destroy();
}

static void manual(void **state)
{
    (void)state;
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(
        SLD_STR("try"), SLD_STR("try"),
        SLD_STR(HEAD SCHEMA "summary = 'Tries.', version = '1', needs = {'objects'}, shape_route = function() end}"));
    struct sld_plugin *p = NULL;
    struct sld_err err = {0};
    struct sld_buf text;
    assert_int_equal(sld_plugin_load(b, &small, &p, &err), SLD_OK);
    sld_buf_init(&text, 10000);
    sld_plugin_print_manual(&text, p);
    sld_buf_addc(&text, 0);
    assert_string_equal(text.p, "# try\n\nTries.\n\nVersion 1.\n\n## What it does\n\n"
                                "- `shape_route`: shapes routes; configured at the options of a route or of its virtual host\n"
                                "- needs `objects`: it reads other objects than the one it shapes\n\n"
                                "## Configuration\n\nBelow `options.extensions.configs.try`:\n\n"
                                "- `count` (integer)\n- `name` (string)\n");
    sld_buf_fini(&text);
    SLD_UNREF(p);
    SLD_UNREF(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_wrong), cmocka_unit_test(names), cmocka_unit_test(names_of_modules),       cmocka_unit_test(fields),
        cmocka_unit_test(tasks),
        cmocka_unit_test(loading),          cmocka_unit_test(other_files), cmocka_unit_test(manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

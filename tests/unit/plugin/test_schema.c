// What a plugin says of its configuration, and what comes of it.
#include "plugin/support.h"

#include "codec/doc.h"
#include "plugin/schema.h"

static const char plugin_text[] =
    "local s = require 'solder.schema'\n"
    "return {\n"
    "  api = 1, name = 'try', version = '1.2.0', summary = 'tries', needs = {'secrets'},\n"
    "  schema = s.record({\n"
    "    header = s.header_name{default = 'x-tenant', doc = 'The header.'},\n"
    "    ttl = s.duration{min = '1s', max = '1h', default = '5m'},\n"
    "    body = s.size{max = '1MiB'},\n"
    "    mode = s.enum{'strict', 'lenient', default = 'strict'},\n"
    "    count = s.integer{min = 1, max = 10},\n"
    "    share = s.number{},\n"
    "    on = s.boolean{default = true},\n"
    "    id = s.string{pattern = '[a-z]+', max = 8},\n"
    "    who = s.list(s.record{name = s.string{required = true}, age = s.integer{default = 7}}, {max = 2}),\n"
    "    labels = s.map(s.string{min = 1}),\n"
    "    from = s.cidr{}, to = s.host{}, url = s.url{},\n"
    "    key = s.secret_ref{}, up = s.resource_ref{},\n"
    "    a = s.string{}, b = s.string{}, c = s.string{},\n"
    "  }, {at_most_one = {'a', 'b'}, requires = {'c', 'a'}}),\n"
    "  check = function(conf, fail)\n"
    "    if conf.id == 'bad' then fail('id', 'bad is bad for ' .. conf.ttl .. ' ' .. conf.header) end\n"
    "    if conf.id == 'raise' then error('raised') end\n"
    "    if conf.id == 'secret' then fail('key', tostring(conf.key) .. string.format('%s', conf.key)) end\n"
    "    if conf.id == 'who' then fail('who', conf.who[1].name .. conf.who[1].age .. tostring(conf.on) .. tostring(conf.body)) end\n"
    "    if conf.id == 'change' then conf.x = 1 end\n"
    "  end,\n"
    "}\n";

static struct sld_plugin *load_plugin(const char *text)
{
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("try"), sld_str_c(text));
    struct sld_plugin *p = NULL;
    struct sld_err err = {0};
    if (sld_plugin_load(b, &small, &p, &err))
        fail_msg("%s", err.msg);
    SLD_UNREF(b);
    return p;
}

static void expect_not_loaded(const char *text, const char *words)
{
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("try"), sld_str_c(text));
    struct sld_plugin *p = NULL;
    struct sld_err err = {0};
    if (sld_plugin_load(b, &small, &p, &err) != SLD_INVALID || !strstr(err.msg, words))
        fail_msg("%s: %s", text, err.msg);
    SLD_UNREF(b);
}

static const Google__Protobuf__Value *value_of(struct sld_arena *a, const char *yaml)
{
    struct sld_document *docs;
    size_t n;
    enum sld_code code;
    struct sld_err err = {0};
    assert_int_equal(sld_doc_read(a, sld_str_c(yaml), &sld_doc_limits_default, &docs, &n, &code, &err), SLD_OK);
    struct sld_report r = {.arena = a};
    const Google__Protobuf__Value *v = sld_doc_decode(a, &google__protobuf__value__descriptor, docs[0].root, false, &r);
    assert_int_equal(r.errors, 0);
    return v;
}

// WANT: "path: message" of the one finding; NULL: none.
static void expect_finding(struct sld_plugin *p, const char *yaml, const char *want)
{
    struct sld_arena a = {0};
    struct sld_report r = {.arena = &a, .prefix = SLD_STR("conf")};
    sld_plugin_check(p, &r, value_of(&a, yaml));
    if (!want && r.count)
        fail_msg("%s: %.*s: %.*s", yaml, SLD_FMT(r.items[0].path), SLD_FMT(r.items[0].message));
    if (want) {
        assert_int_equal(r.count, 1);
        struct sld_str said = sld_arena_fmt(&a, "%.*s: %.*s", SLD_FMT(r.items[0].path), SLD_FMT(r.items[0].message));
        if (!strstr(said.p, want))
            fail_msg("%s: %s instead of %s", yaml, said.p, want);
    }
    sld_arena_fini(&a);
}

static void identity(void **state)
{
    (void)state;
    struct sld_plugin *p = load_plugin(plugin_text);
    const struct sld_plugin_info *i = sld_plugin_info(p);
    assert_true(sld_str_eq(i->version, SLD_STR("1.2.0")) && sld_str_eq(i->summary, SLD_STR("tries")));
    assert_int_equal(i->hooks, 1U << SLD_HOOK_CHECK);
    SLD_UNREF(p);
}

static void hooks_of_requests(void **state)
{
    (void)state;
#define R "return {api = 1, name = 'try', "
    struct sld_plugin *p = load_plugin(R "authorize = print, runs = 'envoy', needs = {'http', 'dns', 'files'}, "
                                         "request_body = {max = '1KiB'}, response_body = {mode = 'streamed'}}");
    const struct sld_plugin_info *i = sld_plugin_info(p);
    assert_int_equal(i->hooks, 1U << SLD_HOOK_AUTHORIZE);
    assert_int_equal(i->needs, 1U << SLD_NEED_HTTP | 1U << SLD_NEED_DNS | 1U << SLD_NEED_FILES);
    assert_int_equal(i->runs, SLD_RUNS_ENVOY);
    assert_true(i->request_body.mode == SLD_BODY_BUFFERED && i->request_body.max_bytes == 1024);
    assert_true(i->response_body.mode == SLD_BODY_STREAMED && i->response_body.max_bytes == SLD_PLUGIN_BODY_DEFAULT);
    SLD_UNREF(p);
    p = load_plugin(R "authorize = print, discover = print, runs = 'solder'}");
    assert_int_equal(sld_plugin_info(p)->runs, SLD_RUNS_SOLDER);
    assert_int_equal(sld_plugin_info(p)->request_body.mode, SLD_BODY_NONE);
    SLD_UNREF(p);
    expect_not_loaded(R "transform_response = print, response_body = {max = '2MiB'}}", "of a body that is changed Envoy holds 1MiB at most");
    expect_not_loaded(R "authorize = print, runs = 'here'}", "'runs' must be \"solder\" or \"envoy\", not \"here\"");
    expect_not_loaded(R "authorize = print, runs = 1}", "'runs' must be a string");
    expect_not_loaded(R "check = print, runs = 'solder'}", "'runs' is of use with the hooks authorize");
    expect_not_loaded(R "check = print, request_body = {}}", "'request_body' is of use with the hooks authorize");
    expect_not_loaded(R "authorize = print, request_body = 1}", "'request_body' must be a table");
    expect_not_loaded(R "authorize = print, request_body = {mod = 'buffered'}}", "request_body has no field 'mod'");
    expect_not_loaded(R "authorize = print, request_body = {mode = 'all'}}", "request_body: 'mode' must be");
    expect_not_loaded(R "authorize = print, request_body = {max = '5MiB'}}", "request_body: 'max' must be a size");
    expect_not_loaded(R "authorize = print, request_body = {max = -1}}", "request_body: 'max' must be a size");
    expect_not_loaded(R "authorize = print, request_body = {mode = 'streamed'}}", "request_body: authorize decides before");
#undef R
}

static void every_type(void **state)
{
    (void)state;
    struct sld_plugin *p = load_plugin(plugin_text);
    expect_finding(p, "{}", NULL);
    expect_finding(p, "{header: X-Who, ttl: 1m, body: 10kB, mode: lenient, count: 3, share: 0.5, on: false, id: abc, "
                      "labels: {x: y}, from: 10.0.0.0/8, to: example.com, url: 'https://x/y', key: {name: k, namespace: n, key: z}, "
                      "up: {name: u}, a: x, c: y, who: [{name: a}, {name: b, age: 1}]}", NULL);
    expect_finding(p, "{header: 'x y'}", "conf.header: the value");
    expect_finding(p, "{header: ''}", "conf.header: the value is empty");
    expect_finding(p, "{header: 5}", "conf.header: expected text, found a number; put it in quotes");
    expect_finding(p, "{ttl: 300}", "conf.ttl: expected a duration such as \"5m\" or \"500ms\", found a number");
    expect_finding(p, "{ttl: soon}", "conf.ttl: expected a duration such as \"5m\" or \"500ms\", found \"soon\"");
    expect_finding(p, "{ttl: 2h}", "conf.ttl: 7200 seconds is out of range: from 1 to 3600 seconds");
    expect_finding(p, "{body: 2MiB}", "out of range: at most 1048576 bytes");
    expect_finding(p, "{body: 2 boxes}", "expected a size");
    expect_finding(p, "{mode: stric}", "conf.mode: \"stric\" is none of strict, lenient; did you mean \"strict\"?");
    expect_finding(p, "{count: 0}", "conf.count: 0 is out of range: from 1 to 10");
    expect_finding(p, "{count: 1.5}", "conf.count: expected a whole number");
    expect_finding(p, "{count: '3'}", "conf.count: expected a whole number, found text");
    expect_finding(p, "{on: 'yes'}", "conf.on: expected true or false, found text");
    expect_finding(p, "{id: A1}", "conf.id: \"A1\" does not match [a-z]+");
    expect_finding(p, "{id: abcdefghi}", "conf.id: 9 characters is out of range");
    expect_finding(p, "{who: {}}", "conf.who: expected a list, found a mapping");
    expect_finding(p, "{who: [{name: a}, {}]}", "conf.who[1].name: name must be set");
    expect_finding(p, "{who: [{name: a}, {name: a}, {name: a}]}", "conf.who: 3 elements is out of range");
    expect_finding(p, "{who: [{name: a, agee: 1}]}", "conf.who[0].agee: unknown field \"agee\"; did you mean \"age\"?");
    expect_finding(p, "{labels: {x: ''}}", "conf.labels[\"x\"]: 0 characters is out of range");
    expect_finding(p, "{from: 10.0.0.0/99}", "conf.from: the value");
    expect_finding(p, "{to: 'a b'}", "conf.to: the value");
    expect_finding(p, "{url: nowhere}", "conf.url: the value");
    expect_finding(p, "{key: k}", "conf.key: expected a reference to a Secret");
    expect_finding(p, "{key: {namespace: k}}", "conf.key.name: name must be set");
    expect_finding(p, "{up: {name: k, key: x}}", "conf.up.key: unknown field");
    expect_finding(p, "{heeder: x}", "conf.heeder: unknown field \"heeder\"; did you mean \"header\"?");
    expect_finding(p, "{a: x, b: y}", "conf: a and b exclude each other");
    expect_finding(p, "{c: x}", "conf: c needs a too");
    expect_finding(p, "[1]", "conf: expected a mapping, found a list");
    SLD_UNREF(p);
}

static void own_check(void **state)
{
    (void)state;
    struct sld_plugin *p = load_plugin(plugin_text);
    expect_finding(p, "{id: bad}", "conf.id: bad is bad for 300.0 x-tenant");
    expect_finding(p, "{id: raise}", "conf: plugin try: plugin.lua:21: raised");
    expect_finding(p, "{id: secret, key: {name: hidden}}", "conf.key: ******");
    expect_finding(p, "{id: who, who: [{name: n}], body: 1KiB}", "conf.who: n7true1024.0");
    struct sld_plugin_stats stats;
    sld_plugin_stats(p, &stats);
    assert_int_equal(stats.hooks[SLD_HOOK_CHECK].calls, 4);
    assert_int_equal(stats.hooks[SLD_HOOK_CHECK].errors, 1);
    SLD_UNREF(p);
}

static void rules(void **state)
{
    (void)state;
    struct sld_plugin *p = load_plugin("local s = require 'solder.schema' return {api = 1, name = 'try', schema = s.record({"
                                       "a = s.string{}, b = s.string{}, c = s.string{}, d = s.string{}}, "
                                       "{one_of = {{'a', 'b'}, {'c', 'd'}}, distinct = {'a', 'b', 'c', 'd'}})}");
    expect_finding(p, "{a: x, c: y}", NULL);
    expect_finding(p, "{a: x}", "conf: exactly one of c and d must be set, not 0");
    expect_finding(p, "{a: x, b: z, c: y}", "conf: exactly one of a and b must be set, not 2");
    expect_finding(p, "{a: x, d: x}", "conf: a, b, c and d must differ");
    SLD_UNREF(p);
}

// What JSON Schema has words for is said there, too.
static void rules_in_json(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"one_of = {'a', 'b'}", "{\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}"},
        {"at_least_one = {'a', 'b'}", "{\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}"},
        {"at_most_one = {'a', 'b'}", "{\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]},"
                                     "{\"not\":{\"anyOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}}]}"},
        {"requires = {'a', 'b', 'c'}, distinct = {'a', 'b'}", "{\"dependentRequired\":{\"a\":[\"b\",\"c\"]}}"},
        {"distinct = {'a', 'b'}", NULL},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct sld_buf text, json;
        sld_buf_init(&text, 10000);
        sld_buf_addf(&text, "local s = require 'solder.schema' return {api = 1, name = 'try', schema = s.record({"
                            "a = s.string{}, b = s.string{}, c = s.string{}}, {%s})}%c", cases[i][0], 0);
        struct sld_plugin *p = load_plugin(text.p);
        sld_buf_init(&json, 10000);
        sld_conf_print_json(&json, sld_plugin_info(p)->conf);
        sld_buf_addc(&json, 0);
        const char *all = strstr(json.p, ",\"additionalProperties\":false");
        assert_non_null(all);
        all += strlen(",\"additionalProperties\":false");
        sld_buf_reset(&text);
        if (cases[i][1])
            sld_buf_addf(&text, ",\"allOf\":[%s]}%c", cases[i][1], 0);
        else
            sld_buf_addf(&text, "}%c", 0);
        assert_string_equal(all, text.p);
        sld_buf_fini(&json);
        sld_buf_fini(&text);
        SLD_UNREF(p);
    }
}

static void mistakes_of_plugins(void **state)
{
    (void)state;
#define S "local s = require 'solder.schema'\nreturn {api = 1, name = 'try', schema = "
    expect_not_loaded("return 1", "plugin.lua: it must return a table");
    expect_not_loaded("return {", "plugin.lua:1: unexpected symbol near <eof>");
    expect_not_loaded("return {api = 2, name = 'try'}", "'api' must be 1");
    expect_not_loaded("return {api = 1, name = 'other'}", "'name' must be \"try\"");
    expect_not_loaded("return {api = 1, name = 'try', shape_rout = print}", "no field 'shape_rout'; did you mean 'shape_route'?");
    expect_not_loaded("return {api = 1, name = 'try', shape_route = 1}", "'shape_route' must be a function");
    expect_not_loaded("return {api = 1, name = 'try', log_headers = {}}", "of use with the hook log only");
    expect_not_loaded("require 'x'", "plugin.lua:1: there is no module 'x'");
    expect_not_loaded("require '../x'", "there is no module");
    expect_not_loaded(S "s.string{}}", "schema: it must be a record");
    expect_not_loaded(S "{}}", "schema: a type is expected");
    expect_not_loaded(S "s.record{a = 1}}", "plugin.lua:2: schema: a: a type is expected");
    expect_not_loaded(S "s.record{\na = s.list(\ns.enum{'x'},\n{max = 'x'})}}", "plugin.lua:3: schema: a: max must be a number");
    expect_not_loaded(S "s.record{\na = s.list(\ns.enum{})}}", "plugin.lua:4: schema: a[]: an enum needs values");
    expect_not_loaded(S "s.record{a = s.sting{}}}", "attempt to call a nil value (field 'sting')");
    expect_not_loaded(S "s.record{a = s.string{requird = true}}}", "plugin.lua:2: string has no option 'requird'");
    expect_not_loaded(S "s.record{a = s.integer{pattern = 'x'}}}", "integer has no option 'pattern'");
    expect_not_loaded(S "s.record{a = s.string{pattern = '('}}}", "schema: a: pattern: ");
    expect_not_loaded(S "s.record{a = s.integer{default = 'x'}}}", "schema: a: default: expected a whole number");
    expect_not_loaded(S "s.record{a = s.duration{min = 5}}}", "schema: a: min must be a duration");
    expect_not_loaded(S "s.record{a = s.enum{}}}", "schema: a: an enum needs values");
    expect_not_loaded(S "s.record({a = s.string{}}, {one_of = {'a', 'b'}})}", "one_of names a field that is not there");
    expect_not_loaded(S "s.record{a = s.list(5)}}", "table expected");
    expect_not_loaded("local s = require 'solder.schema' local r = {} for i = 1, 30 do r = {a = s.record(r)} end "
                      "return {api = 1, name = 'try', schema = s.record(r)}", "nested too deeply");
}

static void printed(void **state)
{
    (void)state;
    struct sld_plugin *p = load_plugin(
        "local s = require 'solder.schema' return {api = 1, name = 'try', needs = {'secrets'}, schema = s.record{"
        "a = s.string{required = true, pattern = 'x+', doc = 'An a.'}, n = s.list(s.integer{min = 1}, {max = 3, default = {1, 2}}), "
        "e = s.enum{'x', 'y'}, k = s.secret_ref{}, m = s.map(s.record{d = s.duration{default = '1s', min = '1s', example = '2s'}})}}");
    struct sld_buf b;
    sld_buf_init(&b, 10000);
    sld_conf_print_json(&b, sld_plugin_info(p)->conf);
    sld_buf_addc(&b, 0);
    assert_string_equal(
        b.p,
        "{\"type\":\"object\",\"properties\":{"
        "\"a\":{\"description\":\"An a.\",\"type\":\"string\",\"pattern\":\"^(?:x+)$\"},"
        "\"e\":{\"type\":\"string\",\"enum\":[\"x\",\"y\"]},"
        "\"k\":{\"type\":\"object\",\"properties\":{\"key\":{\"type\":\"string\"},\"name\":{\"type\":\"string\",\"minLength\":1},"
        "\"namespace\":{\"type\":\"string\"}},\"required\":[\"name\"]},"
        "\"m\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"object\",\"properties\":{\"d\":{\"type\":\"string\","
        "\"default\":\"1s\",\"examples\":[\"2s\"]}},\"additionalProperties\":false}},"
        "\"n\":{\"type\":\"array\",\"maxItems\":3,\"items\":{\"type\":\"integer\",\"minimum\":1},\"default\":[1,2]}},"
        "\"required\":[\"a\"],\"additionalProperties\":false}");
    sld_buf_reset(&b);
    sld_conf_print_manual(&b, sld_plugin_info(p)->conf);
    sld_buf_addc(&b, 0);
    assert_string_equal(b.p, "- `a` (string, matching `x+`, required): An a.\n"
                             "- `e` (enum: `x`, `y`)\n"
                             "- `k` (secret_ref)\n"
                             "- `m` (map of record)\n"
                             "- `m[].d` (duration, at least 1 s) Default: `\"1s\"`. Example: `\"2s\"`.\n"
                             "- `n` (list of integer, at least 1, at most 3) Default: `[1,2]`.\n");
    sld_buf_fini(&b);
    SLD_UNREF(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity), cmocka_unit_test(hooks_of_requests), cmocka_unit_test(every_type),          cmocka_unit_test(own_check),
        cmocka_unit_test(rules), cmocka_unit_test(rules_in_json),    cmocka_unit_test(mistakes_of_plugins), cmocka_unit_test(printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

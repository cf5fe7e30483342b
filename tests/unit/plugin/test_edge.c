// Code for Envoy: how it is loaded, what of Lua it may use, and what it makes of requests where specs run it. What Envoy makes
// of it is in tests/e2e/test_plugin_edge.py.
#include "plugin/support.h"

#include "plugin/author.h"
#include "plugin/load.h"
#include "tree.h"

#define HEAD "return {api = 1, name = 'try', runs = 'envoy'"
#define S "local s = require 'solder.schema' "

static struct sld_plugin_bundle *bundle(const char *plugin, const char *edge, const char *more)
{
    struct sld_plugin_file files[3];
    size_t n = 0;
    if (edge)
        files[n++] = (struct sld_plugin_file){SLD_STR("edge.lua"), sld_str_c(edge)};
    if (more)
        files[n++] = (struct sld_plugin_file){SLD_STR("lib/more.lua"), sld_str_c(more)};
    files[n++] = (struct sld_plugin_file){SLD_STR("plugin.lua"), sld_str_c(plugin)};
    return sld_plugin_bundle_create_files(SLD_STR("try"), SLD_STR("try"), files, n);
}

static struct sld_plugin *loaded(const char *plugin, const char *edge, const char *more)
{
    struct sld_plugin_bundle *b = bundle(plugin, edge, more);
    struct sld_plugin *p = NULL;
    struct sld_err err = {0};
    if (sld_plugin_load(b, &small, &p, &err))
        fail_msg("%s", err.msg);
    SLD_UNREF(b);
    return p;
}

static void expect_refused(const char *plugin, const char *edge, const char *more, const char *words)
{
    struct sld_plugin_bundle *b = bundle(plugin, edge, more);
    struct sld_plugin *p = NULL;
    struct sld_err err = {0};
    assert_int_equal(sld_plugin_load(b, &small, &p, &err), SLD_INVALID);
    if (!strstr(err.msg, words))
        fail_msg("%s instead of %s", err.msg, words);
    assert_null(p);
    SLD_UNREF(b);
}

static bool has(const struct sld_plugin *p, const char *text)
{
    return sld_str_find(p->edge.text, sld_str_c(text)) >= 0;
}

static void what_is_shipped(void **state)
{
    (void)state;
    struct sld_plugin *p = loaded(HEAD ", request_body = {max = '2KiB'}, check = function() end}",
                                  "local m = require 'lib.more'\n-- \"quoted\" \\ \1\nreturn {authorize = m.decide}", "return {decide = "
                                  "function() end}");
    assert_int_equal(p->info.hooks, 1U << SLD_HOOK_AUTHORIZE | 1U << SLD_HOOK_CHECK);
    assert_true(has(p, "[\"edge.lua\"] = \"local m = require 'lib.more'\\n-- \\\"quoted\\\" \\\\ \\001\\nreturn {authorize = m.decide}\""));
    assert_true(has(p, "[\"lib/more.lua\"] = \"return {decide"));
    assert_true(has(p, "request_body = {mode = \"buffered\", max = 2048}") && !has(p, ", response_body = {mode"));
    assert_true(has(p, "answers = false"));
    assert_false(has(p, "plugin.lua") || has(p, "check = function() end") || has(p, "\n--") || has(p, "\n "));
    SLD_UNREF(p);
    // A single file is all of it; a file that nobody requires stays here.
    p = loaded(HEAD ", transform_response = function() end}", NULL, "return 1");
    assert_int_equal(p->info.hooks, 1U << SLD_HOOK_TRANSFORM_RESPONSE);
    assert_true(has(p, "main = \"plugin.lua\"") && !has(p, "lib/more.lua"));
    SLD_UNREF(p);
    p = loaded(HEAD "}", "return {authorize = function(c, r) r:set_response_header('a', 'b') end}", NULL);
    assert_true(has(p, "answers = true"));
    SLD_UNREF(p);
    p = loaded("return {api = 1, name = 'try', check = function() end}", "return {}", NULL);
    assert_null(p->edge.text.p);
    SLD_UNREF(p);
}

static void what_is_refused(void **state)
{
    (void)state;
    expect_refused(HEAD "}", NULL, NULL, "'runs' is of use with the hooks authorize");
    expect_refused(HEAD "}", "return 1", NULL, "edge.lua: it must return a table with its hooks, not a number");
    expect_refused(HEAD "}", "return {check = function() end}", NULL, "edge.lua: its table has no field 'check'");
    expect_refused(HEAD "}", "return {authorize = 1}", NULL, "edge.lua: 'authorize' must be a function");
    expect_refused(HEAD "}", "return {", NULL, "edge.lua:1: ");
    expect_refused(HEAD ", authorize = function() end}", "return {}", NULL, "plugin.lua: what runs in Envoy is in edge.lua");
    expect_refused(HEAD "}", "local j = require 'solder.json' return {}", NULL, "edge.lua:1: there is no module 'solder.json'");
    expect_refused(HEAD ", request_body = {mode = 'streamed'}}", "return {transform_request = function() end}", NULL,
                   "Envoy's Lua cannot change requests in pieces");
    expect_refused(HEAD ", response_body = {max = '2MiB'}}", "return {transform_response = function() end}", NULL,
                   "of a body Envoy holds 1MiB at most");
    expect_refused(S HEAD ", needs = {'secrets'}, schema = s.record{a = s.record{k = s.secret_ref{}}}}",
                   "return {authorize = function() end}", NULL, "schema: a.k refers to a secret");
    // Its own files, and those it requires, are in the language of both.
    expect_refused(HEAD "}", "return {\nauthorize = function() return 7 // 2 end}", NULL, "edge.lua:2: // is Lua 5.3");
    expect_refused(HEAD "}", "local m = require 'lib.more' return {authorize = m}", "return function()\n\nreturn 1 & 2 end",
                   "lib/more.lua:3: operators on bits are Lua 5.3");
    expect_refused(HEAD ", authorize = function() local x <const> = 1 return x end}", NULL, NULL, "plugin.lua:1: <const> and <close>");
    // What is not shipped may be anything.
    struct sld_plugin *p = loaded("local x <const> = 7 // 2 " HEAD "}", "return {authorize = function() end}", "return 1 & 2");
    SLD_UNREF(p);
}

static void expect_faults(const char *edge, const char *want)
{
    struct sld_plugin_bundle *b = bundle(S HEAD ", schema = s.record{names = s.list(s.string{})}}", edge, NULL);
    struct sld_plugin_faults f = {0};
    struct sld_buf text;
    sld_buf_init(&text, 10000);
    sld_plugin_lint(b, &small, &f, NULL);
    for (size_t i = 0; i < f.count; i++)
        sld_buf_addf(&text, "%d: %.*s\n", f.items[i].line, SLD_FMT(f.items[i].words));
    sld_buf_addc(&text, 0);
    if (strcmp(text.p, want))
        fail_msg("%s\ngives\n%s\ninstead of\n%s", edge, text.p, want);
    sld_plugin_faults_fini(&f);
    sld_buf_fini(&text);
    SLD_UNREF(b);
}

#define HOOK "return {authorize = function(conf, req)\n"

static void the_dialect(void **state)
{
    (void)state;
    expect_faults(HOOK "local a, b = 7 // 2, 7 / 2\na = a & 1\na = a | 1\na = a << 1\na = a >> 1\na = ~a\na = a ~ b\nend}",
                  "2: // is Lua 5.3: write math.floor(a / b)\n"
                  "3: operators on bits are Lua 5.3: Envoy has none\n4: operators on bits are Lua 5.3: Envoy has none\n"
                  "5: operators on bits are Lua 5.3: Envoy has none\n6: operators on bits are Lua 5.3: Envoy has none\n"
                  "7: operators on bits are Lua 5.3: Envoy has none\n8: operators on bits are Lua 5.3: Envoy has none\n");
    expect_faults(HOOK "local a <const> = 1\nlocal b < close > = nil\nlocal s = '\\u{41}'\nlocal n = 9007199254740993\n"
                       "local h = 0xffffffffffffffff\nreturn 'a' .. 10 / 2\nend}",
                  "2: <const> and <close> are Lua 5.4: write a plain local\n3: <const> and <close> are Lua 5.4: write a plain local\n"
                  "4: \\u{...} is Lua 5.3: write the character itself, or its bytes\n"
                  "5: 9007199254740993 is more than 2^53, beyond which Envoy's numbers are not exact\n"
                  "6: 0xffffffffffffffff is more than 2^53, beyond which Envoy's numbers are not exact\n"
                  "7: what / gives prints as 5.0 here and as 5 in Envoy: write string.format(\"%d\", ...) or math.floor\n");
    expect_faults(HOOK "utf8.char(1)\nstring.pack('b', 1)\n(''):unpack('b')\nmath.tointeger(1)\ntable.move({}, 1, 1, 1)\n"
                       "rawget({}, 1)\ncoroutine.running()\nend}",
                  "2: utf8 is not there in Envoy: that is Lua 5.3\n"
                  "3: string.pack is not there in Envoy: that is Lua 5.3; write string.char\n"
                  "4: string.unpack is not there in Envoy: that is Lua 5.3; write string.byte\n"
                  "5: math.tointeger is not there in Envoy: all numbers are floats there; write math.floor\n"
                  "6: table.move is not there in Envoy: that is Lua 5.3; write a loop\n"
                  "7: rawget is not there in Envoy\n8: coroutine is not there in Envoy: hooks run in coroutines of Envoy's\n");
    // Variables of the file do not change; those of a function around do.
    expect_faults("local n = 0\nreturn {authorize = function(conf, req)\nlocal own = 0\n"
                  "local f = function() own = own + 1\nn = n + 1 end\nf()\nend}",
                  "5: 'n' is not the function's own: code in Envoy keeps nothing between calls\n");
    expect_faults(HOOK "if conf.nams then return req.pth end\nreq:set_heder('a', 'b')\nend,\ntransform_response = function(conf, res)\n"
                       "res:deny{}\nreturn res.status, res.request\nend}",
                  "2: the schema has no field 'nams', so it is nil here; did you mean names?\n"
                  "3: the request of authorize has no 'set_heder'; did you mean set_header?\n"
                  "6: the response of transform_response has no 'deny'\n");
    expect_faults("return {authorize = print}", "");
    // Nothing of that is in texts, comments and what only looks like it.
    expect_faults(HOOK "local a = '// & \\\\' .. \"\\\"<<\" .. [[ >> ]] .. [==[ ]] // ]==] -- 7 // 2\n--[[ 7 // 2\n]] local b = a ~= 'x' and 1 < 2\n"
                       "local c, d = 1e300, 0x1p4 .. '' goto done ::done::\nlocal e = string.format('%d', 10 / 2) .. a:rep(2)\n"
                       "local f = 10 / 2\nlocal g = a .. tostring(math.floor(f)) .. #conf.names\nreturn b, c, d, e, g, req.path\nend}",
                  "");
}

// ---- Where specs run it ----

struct seen {
    struct sld_buf text;
};

static enum sld_rc translate(void *user, struct sld_plugin *plugin, struct sld_str text, int64_t now_s, struct sld_buf *json,
                             struct sld_err *err)
{
    (void)user, (void)plugin, (void)text, (void)now_s, (void)json;
    return sld_err_set(err, SLD_IO, "nothing is translated here");
}

static enum sld_rc snapshot(void *user, struct sld_str name, struct sld_str text, struct sld_buf *was)
{
    (void)user, (void)name, (void)text, (void)was;
    return SLD_NOT_FOUND;
}

static void on_result(void *user, const struct sld_spec_result *r)
{
    struct seen *s = user;
    if (!r->ok)
        sld_buf_addf(&s->text, "%.*s: %.*s\n", SLD_FMT(r->name), SLD_FMT(r->words));
}

static void on_cover(void *user, const struct sld_spec_cover *c)
{
    struct seen *s = user;
    if (sld_str_eq(c->file, SLD_STR("edge.lua")))
        sld_buf_addf(&s->text, "%zu/%zu", c->ran, c->count);
}

// The edge code, and what tests say of it; WANT: all that failed, and how many of its lines ran.
static void expect_specs(const char *plugin, const char *edge, const char *tests, const char *want)
{
    struct seen s = {0};
    char path[300], spec[8000];
    struct sld_err err = {0};
    struct sld_plugin_limits limits = small;
    limits.memory_bytes = 4U << 20;
    struct sld_spec_world world = {translate, snapshot, &s};
    struct sld_spec_run run = {.world = &world, .limits = &limits, .on_result = on_result, .on_cover = on_cover, .user = &s};
    tree_create();
    tree_mkdir("try");
    tree_mkdir("try/spec");
    tree_write("try/plugin.lua", plugin);
    tree_write("try/edge.lua", edge);
    snprintf(spec, sizeof(spec),
             "local t = require 'solder.test'\nlocal x, eq = t.exchange, t.equal\n"
             "local function fails(r, words) local a = x(r) eq(a.status, 503) eq(a.forwarded, nil) t.matches(a.log[1] or '', words) end\n%s",
             tests);
    tree_write("try/spec/a_spec.lua", spec);
    sld_buf_init(&s.text, 10000);
    snprintf(path, sizeof(path), "%s/try", tree_root);
    if (sld_plugin_test(sld_str_c(path), &run, &err))
        fail_msg("%s", err.msg);
    sld_buf_addc(&s.text, 0);
    assert_string_equal(s.text.p, want);
    sld_buf_fini(&s.text);
    tree_destroy();
}

static void requests(void **state)
{
    (void)state;
    expect_specs(
        S HEAD ", request_body = {max = '10B'}, schema = s.record{who = s.string{default = 'me'}, wait = s.duration{default = '2s'}}}",
        "local kept\nlocal table_of = {}\nreturn {authorize = function(conf, req)\n"
        "local does = {deny = function() req:deny{status = 401, headers = {a = {'1', '2'}, b = 3}, body = 'no'} req:deny{} error('late') end,\n"
        "no = function() return false end, seven = function() return 7 end, yes = function() return true end,\n"
        "keep = function() table_of.req = req end, unknown = function() return req.pth end, write = function() req.path = '/' end,\n"
        "conf = function() conf.who = 'you' end, status = function() req:deny{status = 200} end, field = function() req:deny{code = 1} end,\n"
        "name = function() req:set_header('a b', 'c') end, value = function() req:set_header('a', 'b\\nc') end,\n"
        "pseudo = function() req:set_header(':path', '/') end, host = function() req:set_header('Host', 'x') end,\n"
        "kind = function() req:set_header('a', {}) end, many = function() for i = 1, 300 do req:add_header('a', i) end end,\n"
        "dot = function() req.set_header('a', 'b') end, half = function() req:set_header('half', '1') error('then') end,\n"
        "next = function() return next(req) ~= nil end, mine = function()\n"
        "  local key req.set_header(setmetatable({}, {__index = function(_, k) key = k return req[k] end}), 'a', 'b') return key end,\n"
        "transform = function() req:set_body('x') end, facts = function()\n"
        "  local all = {} for k, v in pairs(req.headers) do all[#all + 1] = k .. '=' .. v end\n"
        "  for k, v in pairs(req.query) do all[#all + 1] = k .. '=' .. v end\n"
        "  req:set_header('all', table.concat(all, ' '))\n"
        "  req:set_header('facts', table.concat({req.method, req.host, req.scheme, req.id or '-', req.source, req.sni or '-', req.route or '-',\n"
        "    req.peer and req.peer.subject or '-', conf.who, conf.wait, req.headers.A or '-', req.headers[':path'] or '-', #req.query:all('q'),\n"
        "    req.body or '-'}, ' ')) end,\n"
        "edit = function() req:set_header('X-A', 1) req:add_header('x-a', 2.5) req:remove_header('b') req:set_query('q', 'a b') "
        "req:remove_query('r')\n"
        "  req:set_response_header('x-r', 'one') req:add_response_header('x-r', 'two') req:set_metadata('k', {1, 'a'}) end}\n"
        "return does[req.path:sub(2)]()\nend}",
        "t.it('deny', function() local a = x{path = '/deny'} eq(a.status, 401) eq(a.headers, {a = '1,2', b = '3', ['content-length'] = "
        "'2'}) eq(a.body, 'no') eq(a.log, {}) end)\n"
        "t.it('no', function() eq(x{path = '/no'}.status, 403) end)\n"
        "t.it('yes', function() local a = x{path = '/yes?q=1', method = 'PUT', body = 'b'} eq(a.status, 200) eq(a.forwarded.path, "
        "'/yes?q=1') eq(a.forwarded.method, 'PUT') eq(a.forwarded.body, 'b') end)\n"
        "t.it('errors', function()\n"
        "  fails({path = '/seven'}, 'it returned a number') fails({path = '/keep'}, 'read%-only') fails({path = '/unknown'}, \"edge.lua:6: "
        "the request has no 'pth'\")\n"
        "  fails({path = '/write'}, 'edge.lua:6: the request is read%-only') fails({path = '/conf'}, 'read%-only')\n"
        "  fails({path = '/status'}, 'edge.lua:7: status must be') fails({path = '/field'}, \"an answer has no 'code'\")\n"
        "  fails({path = '/name'}, \"edge.lua:8: 'a b' cannot be\") fails({path = '/value'}, 'edge.lua:8: .*control') fails({path = "
        "'/pseudo'}, 'edge.lua:9') fails({path = '/host'}, 'edge.lua:9: .*set_host')\n"
        "  fails({path = '/kind'}, 'edge.lua:10: .*not a table') fails({path = '/many'}, 'edge.lua:10: more than 200 edits') fails({path = "
        "'/dot'}, 'edge.lua:11: .*colon')\n"
        "  fails({path = '/next'}, 'edge.lua:12: .*has no order') fails({path = '/mine'}, 'edge.lua:13: .*colon')\n"
        "  fails({path = '/half'}, 'edge.lua:11: then') fails({path = '/transform'}, 'edge.lua:14: .*set_body') end)\n"
        "t.it('open', function() local a = x{path = '/half', open = true} eq(a.status, 200) eq(a.forwarded.headers.half, nil) "
        "t.matches(a.log[1], 'goes on without') end)\n"
        "t.it('facts', function() local a = x{path = '/facts?q=1&q=%2b+&r', host = 'h', id = 'i', source = '10.0.0.1', sni = 's', route = "
        "'r', peer = {subject = 'CN=c'}, headers = {a = {'1', '2'}}, body = 'hello'}\n"
        "  eq(a.forwarded.headers.all, 'a=1,2 content-length=5 x-request-id=i q=1 q=+  r=') eq(a.forwarded.headers.facts, 'GET h http i "
        "10.0.0.1 s r CN=c me 2 1,2 - 2 hello') end)\n"
        "t.it('edit', function() local a = x{path = '/edit?r=1&z=2', headers = {b = '1', ['x-a'] = '0'}, response = {status = 201, headers "
        "= {['x-r'] = 'zero'}, body = 'up'}}\n"
        "  eq(a.forwarded.headers, {['x-a'] = '1,2.5'}) eq(a.forwarded.path, '/edit?z=2&q=a%20b') eq(a.headers['x-r'], 'one,two') "
        "eq(a.status, 201) eq(a.body, 'up') eq(a.metadata, {k = {1, 'a'}}) end)\n"
        "t.it('large', function() eq(x{path = '/facts', body = '12345678901'}.status, 413) eq(x{path = '/facts', body = {'123456', "
        "'78901'}}.status, 413) end)\n"
        "t.it('conf', function() x{path = '/yes', conf = {whom = 'x'}} end)\n"
        "t.it('word', function() x{pth = '/yes'} end)\n",
        "conf: spec/a_spec.lua:21: conf.whom: unknown field \"whom\"; did you mean \"who\"?\n"
        "word: spec/a_spec.lua:22: a request has no 'pth'\n24/24");
}

static void transforms(void **state)
{
    (void)state;
    expect_specs(
        HEAD ", request_body = {}, response_body = {}}",
        "return {transform_request = function(conf, req)\n"
        "if req.path == '/here' then req:respond{status = 200, body = 'here'} return end\n"
        "if req.path == '/bad' then req:set_path('/a?b') end\nif req.path == '/method' then req:set_method('get it') end\n"
        "req:set_method('PUT') req:set_path('/new') req:set_host('h2:80') req:set_body(req.body .. '!') req:set_query('q', 1)\nend,\n"
        "transform_response = function(conf, res)\n"
        "res:set_header('was', res.request.method .. res.request.path .. (res.request.headers.a or '') .. res.status .. res.body)\n"
        "if res.status == 404 then res:respond{status = 500, headers = {c = 'd'}, body = 'instead'} return end\n"
        "if res.status == 400 then error('oops') end\n"
        "res:set_status(202) res:set_body(res.body:upper()) res:remove_header('e')\n"
        "if res.trailers['t'] then res:set_trailer('t', 'new') end\nend}",
        "t.it('both', function() local a = x{path = '/x?z=1', body = 'b', headers = {a = '1'}, response = {headers = {e = 'f'}, body = "
        "'up', trailers = {t = 'old'}}}\n"
        "  eq(a.forwarded, {method = 'PUT', path = '/new?z=1&q=1', host = 'h2:80', scheme = 'http', headers = {a = '1', ['content-length'] "
        "= '2'}, body = 'b!'})\n"
        "  eq(a.headers, {was = 'PUT/new1200up', ['content-length'] = '2'}) eq(a.body, 'UP') eq(a.status, 202) eq(a.trailers, {t = 'new'}) end)\n"
        "t.it('here', function() local a = x{path = '/here'} eq(a.forwarded, nil) eq(a.status, 202) eq(a.body, 'HERE') end)\n"
        "t.it('bad', function() eq(x{path = '/bad'}.forwarded, nil) eq(x{path = '/method'}.forwarded, nil) end)\n"
        "t.it('instead', function() local a = x{response = {status = 404, headers = {e = 'f'}, body = 'none'}} eq(a.status, 500) "
        "eq(a.headers, {c = 'd', ['content-length'] = '7'}) eq(a.body, 'instead') end)\n"
        "t.it('oops', function() local a = x{response = {status = 400, body = 'secret'}} eq(a.status, 503) eq(a.body, 'a plugin failed\\n') "
        "t.matches(a.log[1], 'edge.lua:10: oops') end)\n",
        "12/12");
}

static void trailers_of_requests(void **state)
{
    (void)state;
    expect_specs(HEAD "}",
                 "return {transform_request = function(conf, req)\n"
                 "if req.trailers then req:set_trailer('t', req.trailers.t .. '!') end\n"
                 "if req.path == '/late' then req:respond{status = 200} end end}",
                 "t.it('changed', function() eq(x{path = '/a', trailers = {t = '1'}}.forwarded.trailers, {t = '1!'}) end)\n"
                 "t.it('none', function() eq(x{path = '/a'}.forwarded.trailers, nil) end)\n"
                 "t.it('late', function() local a = x{path = '/late', trailers = {t = '1'}} eq(a.forwarded.trailers, {t = '1!'})\n"
                 "t.matches(a.log[1], 'the request is on its way') end)\n",
                 "3/3");
}

static void streams(void **state)
{
    (void)state;
    expect_specs(
        HEAD ", response_body = {mode = 'streamed'}}",
        "return {transform_response = function(conf, res)\n"
        "if res.status == 204 then return res:chunks() and res:chunks() end\n"
        "if res.status == 206 then return res:write('early') end\nif res.status == 207 then return res.body end\n"
        "for chunk in res:chunks() do\nif chunk == 'stop' then error('mid') end\nif chunk ~= 'drop' then res:write(chunk) res:write('|') end\nend\n"
        "if res.status == 205 then res:set_header('a', 'b') end\nres:write('end')\nend}",
        "local function r(status, body) return x{response = {status = status, body = body}} end\n"
        "t.it('pieces', function() eq(r(200, {'a', 'drop', 'b'}).body, 'a|b|end') end)\n"
        "t.it('length', function() eq(x{response = {headers = {['content-length'] = '2'}, body = 'ab'}}.headers, {}) end)\n"
        "t.it('mid', function() local a = r(200, {'a', 'stop', 'b'}) eq(a.body, 'a|') t.matches(a.log[1], 'mid') end)\n"
        "t.it('mid open', function() eq(x{open = true, response = {body = {'a', 'stop', 'b'}}}.body, 'a|stopb') end)\n"
        "t.it('late', function() t.matches(r(205, 'a').log[1], 'the headers are sent already') end)\n"
        "t.it('twice', function() t.matches(r(204, 'a').log[1], 'can be read once') end)\n"
        "t.it('early', function() t.matches(r(206, 'a').log[1], 'while the body') end)\n"
        "t.it('whole', function() t.matches(r(207, 'a').log[1], 'the body is streamed') end)\n",
        "11/11");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shipped), cmocka_unit_test(what_is_refused), cmocka_unit_test(the_dialect),
        cmocka_unit_test(requests),        cmocka_unit_test(transforms),      cmocka_unit_test(streams),
        cmocka_unit_test(trailers_of_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

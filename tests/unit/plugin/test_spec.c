// Specs with a world that is made up: what they get, what they give, and which lines count as run.
#include "plugin/support.h"

#include "plugin/author.h"
#include "tree.h"

struct seen {
    struct sld_buf text; // "name:ok|words\n", "file count/ran missed...\n"
    struct sld_buf asked; // what the world was asked
};

static enum sld_rc translate(void *user, struct sld_plugin *plugin, struct sld_str text, int64_t now_s, struct sld_buf *json,
                             struct sld_err *err)
{
    struct seen *s = user;
    sld_buf_addf(&s->asked, "%.*s %.*s %lld;", SLD_FMT(sld_plugin_info(plugin)->name), SLD_FMT(text), (long long)now_s);
    if (sld_str_eq(text, SLD_STR("fails")))
        return sld_err_set(err, SLD_IO, "the world is gone");
    sld_buf_addz(json, "{\"xds\": [{\"type\": \"cds\", \"name\": \"c\", \"resource\": {\"connectTimeout\": \"5s\", \"port\": 80}}], \"findings\": []}");
    return SLD_OK;
}

static enum sld_rc snapshot(void *user, struct sld_str name, struct sld_str text, struct sld_buf *was)
{
    struct seen *s = user;
    sld_buf_addf(&s->asked, "%.*s=%.*s;", SLD_FMT(name), SLD_FMT(text));
    sld_buf_addz(was, "other\n");
    return sld_str_eq(name, SLD_STR("same")) ? SLD_OK : sld_str_eq(name, SLD_STR("new")) ? SLD_NOT_FOUND : SLD_CONFLICT;
}

static void on_result(void *user, const struct sld_spec_result *r)
{
    struct seen *s = user;
    sld_buf_addf(&s->text, "%.*s:%s%.*s\n", SLD_FMT(r->name), r->ok ? "ok" : "", SLD_FMT(r->words));
}

static void on_cover(void *user, const struct sld_spec_cover *c)
{
    struct seen *s = user;
    sld_buf_addf(&s->text, "%.*s %zu/%zu", SLD_FMT(c->file), c->ran, c->count);
    for (size_t i = 0; i < c->missed_count; i++)
        sld_buf_addf(&s->text, " %d", c->missed[i]);
    sld_buf_addc(&s->text, '\n');
}

// Runs the plugin of the tree; WANT: all that was told; ASKED: of the world.
static void expect(const char *filter, const char *want, const char *asked)
{
    struct seen s = {0};
    char path[300];
    struct sld_err err = {0};
    struct sld_spec_world world = {translate, snapshot, &s};
    struct sld_spec_run run = {.world = &world, .limits = &small, .filter = sld_str_c(filter), .on_result = on_result,
                               .on_cover = filter ? NULL : on_cover, .user = &s};
    sld_buf_init(&s.text, 10000);
    sld_buf_init(&s.asked, 10000);
    snprintf(path, sizeof(path), "%s/try", tree_root);
    if (sld_plugin_test(sld_str_c(path), &run, &err))
        fail_msg("%s", err.msg);
    sld_buf_addc(&s.text, 0);
    sld_buf_addc(&s.asked, 0);
    assert_string_equal(s.text.p, want);
    assert_string_equal(s.asked.p, asked);
    sld_buf_fini(&s.text);
    sld_buf_fini(&s.asked);
}

static void specs(void **state)
{
    (void)state;
    tree_create();
    tree_mkdir("try");
    tree_mkdir("try/spec");
    tree_write("try/plugin.lua", "local M = {}\nfunction M.never()\n  return 1\nend\nreturn {api = 1, name = 'try', check = M.never}\n");
    tree_write("try/spec/a_spec.lua",
               "local t = require 'solder.test'\n"
               "t.it('world', function() t.expect_xds('docs', 'cds', 'c', {connect_timeout = '5s', port = 80}) end)\n"
               "t.it('time', function() t.translate('docs', {now = 7}) end)\n"
               "t.it('gone', function() t.translate('fails') end)\n"
               "t.it('same', function() t.snapshot('x\\n\\n') end)\n"
               "t.it('new', function() t.snapshot('x') end)\n"
               "t.it('twice', function() t.snapshot('x', 'same') end)\n"
               "t.it('differs', function() t.snapshot('x') end)\n"
               "t.it('unnamed', function() t.snapshot('x', '../..') end)\n"
               "t.it('endless', function() while true do end end)\n"
               "t.it('after', function() end)\n");
    tree_write("try/spec/b_spec.lua", "error('at once')");
    tree_write("try/spec/c_spec.lua", "require('solder.test').it('last', function() end)");
    tree_write("try/spec/helper.lua", "error('nobody asks')");
    expect(NULL,
           "world:ok\ntime:ok\ngone:spec/a_spec.lua:4: the documents cannot be translated: the world is gone\nsame:ok\n"
           "new:spec/a_spec.lua:6: there is no spec/snapshots/new.txt yet; solder plugin test --update takes it\n"
           "twice:spec/a_spec.lua:7: there are two snapshots same; give each a name of its own\n"
           "differs:spec/a_spec.lua:8: it differs from spec/snapshots/differs.txt at line 1: \"x\" instead of \"other\"; solder plugin "
           "test --update takes it anew\n"
           "unnamed:spec/a_spec.lua:9: a snapshot needs a name with letters or digits\n"
           "endless:spec/a_spec.lua:10: more than 2000000 steps; do less in one call, or raise the limit\nafter:ok\n"
           ":spec/b_spec.lua:1: at once\nlast:ok\n"
           "plugin.lua 4/5 3\n",
           "try docs 0;try docs 7;try fails 0;same=x\n;new=x\n;differs=x\n;");
    expect("ti", "time:ok\n:spec/b_spec.lua:1: at once\n", "try docs 7;");
    tree_destroy();
}

static void lines_that_end_in_a_carriage_return(void **state)
{
    (void)state;
    tree_create();
    tree_mkdir("try");
    tree_mkdir("try/spec");
    tree_write("try/plugin.lua", "local M = {}\rM.a = 1\rM.b = 2\r\nM.c = 3\n\rreturn {api = 1, name = 'try'}");
    tree_write("try/spec/a_spec.lua", "require('solder.test').it('runs', function() end)");
    expect(NULL, "runs:ok\nplugin.lua 5/5\n", "");
    tree_destroy();
}

// Tests of a plugin that discovers make up the world it runs in.
static void worlds_for_tasks(void **state)
{
    (void)state;
    tree_create();
    tree_mkdir("try");
    tree_mkdir("try/spec");
    tree_write("try/plugin.lua",
               "local s = require 'solder.schema'\nlocal time = require 'solder.time'\n"
               "return {api = 1, name = 'try', needs = {'dns', 'files', 'http'},\nschema = s.record{url = s.url{required = true}},\n"
               "discover = function(conf, d)\n  d.every(10, function()\n    local r, why = d.http{url = conf.url, method = 'PUT'}\n"
               "    if not r then error(why, 0) end\n"
               "    local srv = d.dns('x', 'SRV')[1]\n"
               "    d.publish{upstreams = {a = {endpoints = {r.body, srv.target .. ':' .. srv.port, d.dns('y')[1] .. ':' .. r.headers['x-port']},\n"
               "      labels = {file = d.file.read('/f') or 'none', now = tostring(time.now())}}}}\n  end)\nend}\n");
    tree_write("try/spec/a_spec.lua",
               "local t = require 'solder.test'\n"
               "local function begin(now)\n"
               "  local w = t.world{now = now}\n"
               "  w:http('PUT http://r/', {'down', {body = '10.0.0.1:1', headers = {['X-Port'] = '3'}}, {status = 200, body = '10.0.0.9:9', "
               "headers = {['X-Port'] = '3'}}})\n"
               "  w:dns('x', 'SRV', {{target = '10.0.0.2', port = 2}}) w:dns('y', 'addresses', {'10.0.0.3'}) w:file('/f', 'text')\n"
               "  return w\nend\n"
               "t.it('finds', function() local w = begin(1000)\n"
               "  w:discover{url = 'http://r/'} t.equal(w:endpoints('a'), nil) w:pass(0.5) t.equal(w:problem(), 'plugin try: down')\n"
               "  w:pass('1s') t.equal(w:problem(), nil) t.equal(w:endpoints('a'), {'10.0.0.1:1', '10.0.0.2:2', '10.0.0.3:3'})\n"
               "  local u = w:upstreams().a t.equal(u.metadata.labels.file, 'text') t.matches(u.metadata.labels.now, '^1001')\n"
               "  w:file('/f', nil) w:pass(10) t.equal(w:endpoints('a')[3], '10.0.0.9:9')\n"
               "  t.equal(w:upstreams().a.metadata.labels.file, 'none') w:pass('1h')\n"
               "  t.equal(w:requests()[3], 'PUT http://r/') end)\n"
               "local kept t.it('keeps', function() kept = begin(1) kept:discover{url = 'http://r/'} end)\n"
               "t.it('is over', function() kept:upstreams() end)\n"
               "t.it('is another', function() local w = begin(1) t.equal(w:requests(), {}) t.equal(w:upstreams(), {}) end)\n"
               "t.it('checks', function() begin(1):discover{} end)\n"
               "t.it('twice', function() local w = begin(1) w:discover{url = 'http://r/'} w:discover{url = 'http://r/'} end)\n"
               "t.it('after', function() end)\n");
    tree_write("try/spec/b_spec.lua", "require('solder.test').world{}");
    expect(NULL,
           "finds:ok\nkeeps:ok\nis over:spec/a_spec.lua:16: there is no world here; make one in the test\nis another:ok\n"
           "checks:spec/a_spec.lua:18: the configuration is wrong: url: url must be set\n"
           "twice:spec/a_spec.lua:19: discover runs in this world already\nafter:ok\n"
           ":spec/b_spec.lua:1: a world is made in a test\n"
           "plugin.lua 12/12\n",
           "");
    tree_destroy();
}

// Tests of a plugin that decides about requests say what comes, and see what becomes of it.
static void requests_and_their_ends(void **state)
{
    (void)state;
    tree_create();
    tree_mkdir("try");
    tree_mkdir("try/spec");
    tree_write("try/plugin.lua",
               "local s = require 'solder.schema'\nlocal http = require 'solder.http'\nlocal cache = require 'solder.cache'\n"
               "local seen = cache.new()\n"
               "return {api = 1, name = 'try', needs = {'http', 'secrets'}, request_body = {mode = 'buffered', max = '10B'},\n"
               "schema = s.record{by = s.string{default = 'x'}, key = s.secret_ref{}},\n"
               "authorize = function(conf, req)\n"
               "  if req.path == '/raise' then error('no') end\n"
               "  if req.path == '/false' then return false end\n"
               "  if req.path == '/deny' then return req:deny{status = 401, headers = {['x-a'] = {'1', '2'}}, body = 'who'} end\n"
               "  if req.path == '/ask' then\n"
               "    local r, why = http.request{url = 'http://o/', method = 'POST', headers = {['X-B'] = '1'}, body = req.body}\n"
               "    req:set_header('x-r', r and r.body or why)\n  end\n"
               "  req:set_header('x-n', tostring((seen:get('n') or 0) + 1)) seen:set('n', (seen:get('n') or 0) + 1)\n"
               "  req:set_header('x-is', table.concat({req.method, req.path, req.host, req.scheme, req.source, req.id or '-', req.sni or '-',\n"
               "    req.route or '-', req.peer and req.peer.subject .. req.peer.dns_sans[1] .. req.peer.uri_sans[1] or '-', req.query.q or '-',\n"
               "    conf.by, conf.key and conf.key:value() or '-'}, ' '))\n"
               "  req:remove_header('cookie') req:set_response_header('x-s', 'new') req:add_response_header('x-t', '2')\n"
               "  req:set_metadata('k', {1}) if req.query.q then req:set_query('q', 'a b') end\nend}\n");
    tree_write("try/spec/a_spec.lua",
               "local t = require 'solder.test'\n"
               "t.it('allows', function() local r = t.exchange{}\n"
               "  t.equal(r, {status = 200, headers = {['x-s'] = 'new', ['x-t'] = '2'}, metadata = {k = {1}}, log = {}, forwarded = {method = 'GET',\n"
               "    path = '/', host = 'example.com', scheme = 'http', headers = {['x-n'] = '1',"
               "    ['x-is'] = 'GET / example.com http 192.0.2.1 - - - - - x -'}}})\n"
               "end)\n"
               "t.it('tells all', function() local r = t.exchange{method = 'PUT', path = '/p?q=1&r=2', host = 'h', scheme = 'https', source = 's', id = 'i',\n"
               "  sni = 'n', route = 'o', peer = {subject = 'CN=a', dns_sans = {'d'}, uri_sans = {'u://x'}}, conf = {by = 'me', key = t.secret 'hush'},\n"
               "  headers = {Cookie = 'c', ['X-L'] = {'1', '2'}}, response = {status = 201, headers = {['x-s'] = 'old', ['x-t'] = '1'}, body = 'b'}}\n"
               "  t.equal(r.forwarded.headers['x-is'], 'PUT /p h https s i n o CN=adu://x 1 me hush') t.equal(r.forwarded.headers['x-l'], '1,2')\n"
               "  t.equal(r.forwarded.headers.cookie, nil) t.equal(r.forwarded.path, '/p?q=a%20b&r=2')\n"
               "  t.equal({r.status, r.body, r.headers}, {201, 'b', {['x-s'] = 'new', ['x-t'] = '1,2'}}) end)\n"
               "t.it('denies', function() local r = t.exchange{path = '/deny'} t.equal(r.forwarded, nil)\n"
               "  t.equal({r.status, r.headers, r.body}, {401, {['x-a'] = '1,2'}, 'who'}) t.equal(t.exchange{path = '/false'}.status, 403) end)\n"
               "t.it('fails closed', function() local r = t.exchange{path = '/raise'} t.equal({r.status, r.forwarded}, {503, nil})\n"
               "  t.matches(r.log[1], 'plugin.lua:8: no$') t.equal(t.exchange{body = '12345678901'}.status, 413) end)\n"
               "t.it('asks', function() local w = t.world() t.matches(t.exchange{path = '/ask'}.forwarded.headers['x-r'], 'nobody answers')\n"
               "  w:http('POST http://o/', {body = 'hi'}) local r = t.exchange{path = '/ask', body = 'x'} t.equal(r.forwarded.headers['x-r'], 'hi')\n"
               "  t.equal(r.forwarded.body, 'x') t.equal(w:last_request(), {method = 'POST', url = 'http://o/', headers = {['X-B'] = '1'}, body = 'x'})\n"
               "  t.equal(#w:requests(), 2) end)\n"
               "t.it('is another state in each test, the same in one', function() local w = t.world() w:http('POST http://o/', {body = 'hi'})\n"
               "  local r = w:exchanges{{path = '/ask', body = 'x'}, {}, {path = '/deny'}}\n"
               "  t.equal({r[1].forwarded.headers['x-n'], r[2].forwarded.headers['x-n'], r[3].status}, {'2', '1', 401}) end)\n"
               "t.it('knows fields', function() t.exchange{pth = '/'} end)\n"
               "t.it('knows types', function() t.exchange{path = 1} end)\n"
               "t.it('checks', function() t.exchange{conf = {bye = 1}} end)\n"
               "t.it('after', function() end)\n");
    expect(NULL,
           "allows:ok\ntells all:ok\ndenies:ok\nfails closed:ok\nasks:ok\nis another state in each test, the same in one:ok\n"
           "knows fields:spec/a_spec.lua:23: a request has no 'pth'\n"
           "knows types:spec/a_spec.lua:24: path must be a string, not a number\n"
           "checks:spec/a_spec.lua:25: its configuration: bye: unknown field \"bye\"; did you mean \"by\"?\nafter:ok\n"
           "plugin.lua 19/19\n",
           "");
    tree_destroy();
}

// What Consul and Vault have, answers in pieces, secrets, and what is kept are of the test's world.
static void worlds_with_servers(void **state)
{
    (void)state;
    tree_create();
    tree_mkdir("try");
    tree_mkdir("try/spec");
    tree_write("try/plugin.lua",
               "local kv = require 'solder.kv'\nlocal vault = require 'solder.vault'\n"
               "return {api = 1, name = 'try', needs = {'consul', 'http', 'kv', 'vault'}, discover = function(_, d)\n"
               "  local index, entries, why\n"
               "  for line in d.http.stream{url = 'http://a/'}:lines() do kv.incr(line) end\n"
               "  for i = 1, 2 do\n"
               "    entries, why = d.consul.kv('app/', {index = index})\n"
               "    if not entries then error(why, 0) end\n"
               "    index = why\n"
               "    local web = assert(d.consul.service('web'))\n"
               "    d.publish{upstreams = {u = {endpoints = {entries[1].value, web[1].address .. ':' .. web[1].port},\n"
               "      labels = {runs = tostring(kv.incr('runs')), x = tostring(kv.get('x'))}}}}\n"
               "  end\n"
               "end, secret = function(_, ref)\n"
               "  local answer, words = vault.read('secret/data/' .. ref)\n"
               "  if not answer then return nil, words end\n"
               "  return {apiKey = {apiKey = answer.data.data.key}, expires_in = 60}\n"
               "end}\n");
    tree_write("try/spec/a_spec.lua",
               "local t = require 'solder.test'\n"
               "t.it('follows', function()\n"
               "  local w = t.world{now = 1000}\n"
               "  w:http('http://a/', {chunks = {'x\\nx', '\\nx\\n'}})\n"
               "  w:consul_kv('app/', {{['app/a'] = '10.0.0.1:80'}, {['app/a'] = '10.0.0.2:80'}})\n"
               "  w:consul_service('web', {{address = '10.0.0.9', port = 90}})\n"
               "  w:discover()\n"
               "  w:pass('10s')\n"
               "  t.equal(w:endpoints('u'), {'10.0.0.1:80', '10.0.0.9:90'})\n"
               "  t.equal(w:upstreams().u.metadata.labels, {discovered_by = 'try', runs = '1', x = '3'})\n"
               "  w:pass('60s')\n" // the question for news has waited its time
               "  t.equal(w:endpoints('u')[1], '10.0.0.2:80')\n"
               "end)\n"
               "t.it('fails', function()\n"
               "  local w = t.world()\n"
               "  w:http('http://a/', {})\n"
               "  w:consul_kv('app/', 'no leader')\n"
               "  w:discover()\n"
               "  w:pass('5s')\n"
               "  t.equal(w:problem(), 'plugin try: Consul: no leader')\n"
               "end)\n"
               "t.it('keeps nothing of another test', function()\n"
               "  local w = t.world()\n"
               "  w:http('http://a/', {})\n"
               "  w:consul_kv('app/', {a = '10.0.0.1:80'})\n"
               "  w:consul_service('web', {{address = '10.0.0.9', port = 90}})\n"
               "  w:discover()\n"
               "  w:pass(1)\n"
               "  t.equal(w:upstreams().u.metadata.labels, {discovered_by = 'try', runs = '1', x = 'nil'})\n"
               "end)\n"
               "t.it('secrets', function()\n"
               "  local w = t.world{now = 1000}\n"
               "  w:vault('secret/data/web', {data = {data = {key = 'k'}}})\n"
               "  local secret, ends = w:secret('web')\n"
               "  t.equal(secret, {apiKey = {apiKey = 'k'}})\n"
               "  t.equal(ends, 1060)\n"
               "  w:vault('secret/data/other')\n"
               "  local none, why = w:secret('other')\n"
               "  t.equal({none, why}, {nil, 'plugin try: Vault has nothing there'})\n"
               "end)\n");
    expect("", "follows:ok\nfails:ok\nkeeps nothing of another test:ok\nsecrets:ok\n", "");
    tree_destroy();
}

// One spec for hooks that change requests and responses, wherever they run.
static void transforms(const char *runs)
{
    tree_create();
    tree_mkdir("try");
    tree_mkdir("try/spec");
    char head[300];
    snprintf(head, sizeof(head),
             "return {api = 1, name = 'try', runs = '%s', request_body = {mode = 'buffered', max = 10}, response_body = {mode = 'streamed'},\n",
             runs);
    struct sld_buf b;
    sld_buf_init(&b, 10000);
    sld_buf_addz(&b, head);
    sld_buf_addz(&b, "transform_request = function(conf, req)\n"
                     "  if req.path == '/here' then return req:respond{status = 201, headers = {['x-a'] = 'b'}, body = 'h'} end\n"
                     "  if req.path == '/tail' then return req:set_trailer('x-r', req.trailers['x-q'] .. '+') end\n"
                     "  if req.path == '/fail' then req:set_header('x-half', '1') error('no') end\n"
                     "  req:set_response_header('x-later', req.path) req:set_method('PUT') req:set_path('/p')\n"
                     "  req:set_host('h.example') req:set_query('q', 'a b') req:remove_query('r')\n"
                     "  req:set_header('x-n', #req.body) req:add_header('x-m', '2')\n"
                     "  req:set_metadata('k', {1}) req:set_body(req.body .. '!')\nend,\n"
                     "transform_response = function(conf, res)\n"
                     "  if not res.headers['x-later'] and res.status ~= 500 then return end\n" // a plugin's answer, in Envoy
                     "  if res.status == 500 then return res:respond{status = 502, body = 'instead'} end\n"
                     "  if res.status == 404 then res:set_status(410) end\n"
                     "  res:set_header('x-of', res.request.method .. ' ' .. (res.request.headers['x-n'] or '-') .. ' ' .. res.headers['x-later'])\n"
                     "  for c in res:chunks() do res:write('<' .. c .. '>') end\n"
                     "  if res.trailers then res:set_trailer('x-t', res.trailers['x-sum'] .. '+') end\nend}\n");
    sld_buf_addc(&b, 0);
    tree_write("try/plugin.lua", b.p);
    sld_buf_fini(&b);
    tree_write("try/spec/a_spec.lua",
               "local t = require 'solder.test'\n"
               "t.it('changes', function() local r = t.exchange{path = '/x?r=1&s=%31', body = 'abc', headers = {['x-m'] = '1'},\n"
               "    response = {status = 404, body = {'a', '', 'b'}, trailers = {['x-sum'] = '7'}}}\n"
               "  t.equal({r.forwarded.method, r.forwarded.path, r.forwarded.host, r.forwarded.body}, {'PUT', '/p?s=%31&q=a%20b', 'h.example', 'abc!'})\n"
               "  t.equal({r.forwarded.headers['x-n'], r.forwarded.headers['x-m']}, {'3', '1,2'})\n"
               "  t.equal({r.status, r.body, r.trailers}, {410, '<a><b>', {['x-sum'] = '7', ['x-t'] = '7+'}})\n"
               "  t.equal({r.headers['x-of'], r.headers['x-later'], r.metadata, r.log}, {'PUT 3 /x', '/x', {k = {1}}, {}}) end)\n"
               "t.it('tail', function() local r = t.exchange{path = '/tail', trailers = {['x-q'] = '1'}}\n"
               "  t.equal(r.forwarded.trailers, {['x-q'] = '1', ['x-r'] = '1+'}) end)\n"
               "t.it('answers', function() local r = t.exchange{path = '/here'} \n"
               "  t.equal({r.status, r.headers['x-a'], r.body, r.forwarded}, {201, 'b', 'h'}) end)\n"
               "t.it('fails closed', function() local r = t.exchange{path = '/fail'}\n"
               "  t.equal({r.status, r.body, r.forwarded}, {503, 'a plugin failed\\n'}) t.matches(r.log[1], 'plugin.lua:5: no') end)\n"
               "t.it('fails open', function() local r = t.exchange{path = '/fail', open = true, body = 'x', response = {headers = {['x-later'] = '-'}}}\n"
               "  t.equal({r.status, r.forwarded.headers['x-half'], r.forwarded.body}, {200, nil, 'x'}) end)\n"
               "t.it('has ceilings', function() t.equal(t.exchange{body = '12345678901'}.status, 413) end)\n"
               "t.it('takes the response\\'s place', function() local r = t.exchange{response = {status = 500, body = 'x'}}\n"
               "  t.equal({r.status, r.body, r.forwarded.method}, {502, 'instead', 'PUT'}) end)\n");
    expect(NULL, "changes:ok\ntail:ok\nanswers:ok\nfails closed:ok\nfails open:ok\nhas ceilings:ok\n"
                 "takes the response's place:ok\nplugin.lua 16/16\n", "");
    tree_destroy();
}

static void transforms_in_solder_and_in_envoy(void **state)
{
    (void)state;
    transforms("solder");
    transforms("envoy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(transforms_in_solder_and_in_envoy), cmocka_unit_test(worlds_with_servers),
                                       cmocka_unit_test(specs), cmocka_unit_test(lines_that_end_in_a_carriage_return),
                                       cmocka_unit_test(worlds_for_tasks), cmocka_unit_test(requests_and_their_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

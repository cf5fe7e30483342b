// Any bytes as data of the library for authors: what is read can be written and read again, no token is accepted, and the
// state stays within its ceilings.
#include "plugin/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sld_plugin_limits limits = {
    .memory_bytes = 8U << 20,
    .load_steps = 20000000,
    .call_steps = 2000000,
    .load_ms = 60000,
    .call_ms = 60000,
    .string_bytes = 200000,
    .subject_bytes = 5000,
    .coroutines = 5,
    .log_lines = 0,
};

static const char script[] =
    "local base64, cidr, json, jwt, re = require 'solder.base64', require 'solder.cidr', require 'solder.json', require 'solder.jwt', require 'solder.re'\n"
    "local template, time, url = require 'solder.template', require 'solder.time', require 'solder.url'\n"
    "local x509, yaml = require 'solder.x509', require 'solder.yaml'\n"
    "local secret = jwt.secret(('s'):rep(32))\n"
    "local function same(text, again) assert(text == again, 'BUG: it is not read as it was written') end\n"
    "return function(data)\n"
    "  local v = json.decode(data)\n"
    "  if v ~= nil then local t = assert(json.encode(v)) same(t, json.encode(assert(json.decode(t)))) end\n"
    "  local y = yaml.decode_all(data)\n"
    "  if y then json.encode(y) end\n"
    "  local b, u = base64.decode(data), base64.decode_url(data)\n"
    "  if b then same(data, base64.encode(b)) end\n"
    "  if u then same(data, base64.encode_url(u)) end\n"
    "  same(data, url.decode(url.encode(data)))\n"
    "  local parts = url.parse(data)\n"
    "  if parts then json.encode(parts) end\n"
    "  local first, all = url.parse_query(data)\n"
    "  if first then same(url.build_query(all), url.build_query(select(2, url.parse_query(url.build_query(all))))) end\n"
    "  local r = cidr.parse(data)\n"
    "  if r then assert(assert(cidr.set{data}):contains(r.first) and cidr.set{data}:contains(r.last), 'BUG: ends') end\n"
    "  local t = time.parse(data)\n"
    "  if t then assert(time.parse(time.http(t)) == t // 1 | 0, 'BUG: time') end\n"
    "  local x = template.compile(data)\n"
    "  if x then x:render{a = 1, b = {c = data}} end\n"
    "  local e = re.compile(data:sub(1, 100))\n"
    "  if e then e:gsub(data, '<%0>') e:find(data) end\n"
    "  x509.parse(data)\n"
    "  jwt.decode(data)\n"
    "  assert(not jwt.verify(data, secret, {now = 1}), 'BUG: it was accepted')\n"
    "  local k = jwt.keys(data)\n"
    "  if k then jwt.verify('eyJhbGciOiJSUzI1NiJ9.e30.AAAA', k, {now = 1}) end\n"
    "end";

static int load(lua_State *L)
{
    pl_compile(L, sld_str_c(script), "@library.lua");
    lua_call(L, 0, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "run");
    return 0;
}

static int run(lua_State *L)
{
    const struct sld_str *s = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "run");
    pl_push_str(L, *s);
    lua_call(L, 1, 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(SLD_STR("fuzz"), SLD_STR("fuzz"), SLD_STR("return {}"));
    struct sld_str s = {(const char *)data, size};
    struct pl_host *h = NULL;
    struct sld_err err = {0};
    if (size > 20000)
        s.n = 20000;
    enum sld_rc rc = pl_host_create(&limits, b, &h, &err);
    SLD_INV(!rc);
    rc = pl_run(h, PL_LOAD, load, NULL, &err);
    SLD_INV(!rc);
    if (pl_run(h, PL_PURE, run, &s, &err) == SLD_INVALID && strstr(err.msg, "BUG"))
        SLD_INV(!"the library keeps its word");
    SLD_INV(h->peak_bytes <= limits.memory_bytes);
    pl_host_destroy(h);
    SLD_UNREF(b);
    return 0;
}

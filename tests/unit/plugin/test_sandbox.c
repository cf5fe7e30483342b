// What is in the environment, what is not, and what cannot be changed.
#include "plugin/support.h"

#define ERROR(body, words) expect_failure("", body, SLD_INVALID, words)

static void only_what_is_allowed(void **state)
{
    (void)state;
    expect_result("local r = {} for k in pairs(_ENV) do r[#r + 1] = k end return table.concat(r, ' ')",
                  "_VERSION assert coroutine error getmetatable ipairs math next pairs pcall print rawequal rawget "
                  "rawlen rawset require select setmetatable string table tonumber tostring type utf8 xpcall");
    static const char *const absent[] = {"io", "os", "debug", "load", "loadstring", "dofile", "loadfile",
                                         "collectgarbage", "package", "_G", "warn"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(absent); i++) {
        char body[100];
        snprintf(body, sizeof(body), "return %s", absent[i]);
        ERROR(body, "there is no global");
    }
    expect_result("return string.dump", "nil");
    expect_result("return math.random", "nil");
    ERROR("return string.format('%p', {})", "%p is not available");
}

static void nothing_can_be_written(void **state)
{
    (void)state;
    ERROR("x = 1", "'x' cannot be set");
    ERROR("_ENV.x = 1", "'x' cannot be set");
    ERROR("string.x = 1", "'x' cannot be set");
    ERROR("string.format = nil", "'format' cannot be set");
    ERROR("rawset(string, 'x', 1)", "read-only");
    ERROR("rawset(_ENV, 'x', 1)", "read-only");
    ERROR("table.insert(math, 1)", "cannot be set");
    ERROR("setmetatable(string, {})", "protected metatable");
    ERROR("setmetatable(_ENV, nil)", "protected metatable");
    ERROR("getmetatable('').__index = nil", "attempt to index a boolean");
    expect_result("return getmetatable(_ENV)", "false");
    expect_result("return ('%d'):format(7) .. ('10' + 1)", "711");
}

static void no_bytecode(void **state)
{
    (void)state;
    struct try t;
    assert_int_equal(try_begin(&t, &small, "\x1bLua"), SLD_INVALID);
    assert_non_null(strstr(t.err.msg, "attempt to load a binary chunk"));
    try_end(&t);
}

static void no_address_shows(void **state)
{
    (void)state;
    expect_result("return tostring({})", "table");
    expect_result("return tostring(print)", "function");
    expect_result("return string.format('%s %s', {}, print)", "table function");
    expect_result("return tostring(coroutine.create(print))", "thread");
    expect_result("local ok, e = pcall(error, {}) return tostring(e)", "table");
}

static void pairs_is_ordered(void **state)
{
    (void)state;
    expect_result("local t = {z = 1, a = 1, [2] = 1, [1.5] = 1, [true] = 1, b = 1, [-1] = 1} local r = {} "
                  "for k in pairs(t) do r[#r + 1] = tostring(k) end return table.concat(r, ' ')",
                  "-1 1.5 2 true a b z");
    expect_result("local r = {} local t = {b = 1, a = 2, c = 3} local k, v = next(t) "
                  "while k do r[#r + 1] = k .. v k, v = next(t, k) end return table.concat(r, ' ')",
                  "a2 b1 c3");
    expect_result("return next({})", "nil");
    expect_result("local t = {a = 1, b = 2} for k in pairs(t) do t.b = nil end return next(t, nil)", "a");
    ERROR("for k in pairs({[{}] = 1}) do end", "has no order");
    ERROR("return next({}, 'x')", "invalid key to 'next'");
}

static void module_state_is_read_only(void **state)
{
    (void)state;
    expect_failure("local t = {a = {b = 1}}", "t.x = 1", SLD_INVALID, "'x' cannot be set");
    expect_failure("local t = {a = {b = 1}}", "t.a.b = 2", SLD_INVALID, "'b' cannot be set");
    expect_failure("local t = {1, 2}", "table.insert(t, 3)", SLD_INVALID, "cannot be set");
    expect_failure("local t = {1, 2}", "t[1] = nil", SLD_INVALID, "cannot be set");
    expect_failure("local t = {}", "rawset(t, 1, 1)", SLD_INVALID, "read-only");
    expect_failure("", "calls = calls + 1", SLD_INVALID, "the variable 'calls' outlives the call");
    expect_failure("local f = function() calls = calls + 1 end", "pcall(f)", SLD_INVALID, "'calls'");
    // What a function that made a function left behind, and what only one in a function in it assigns.
    expect_failure("local function counter() local n = 0 return function() n = n + 1 return n end end local next_one = counter()",
                   "next_one()", SLD_INVALID, "the variable 'n' outlives the call");
    expect_failure("local deep = 0 local function f() return function() return function() deep = 1 end end end", "f()()()", SLD_INVALID,
                   "the variable 'deep' outlives the call");
    expect_failure("local C = {} C.__index = C local o = setmetatable({}, C)", "getmetatable(o).x = 1", SLD_INVALID, "cannot be set");
    expect_failure("local m = {__index = function(t, k) t.x = 1 end} local o = setmetatable({}, m)", "return o.y", SLD_INVALID,
                   "cannot be set");
    struct try t;
    assert_int_equal(try_begin(&t, &small, "local co = coroutine.wrap(function() end) return function() co() end"), SLD_INVALID);
    assert_non_null(strstr(t.err.msg, "a coroutine cannot be kept"));
    try_end(&t);
}

static void module_state_can_be_used(void **state)
{
    (void)state;
    struct try t;
    static const char script[] =
        "local C = {} C.__index = C\n"
        "function C.new(n) return setmetatable({n = n}, C) end\n"
        "function C:get() return self.n end\n"
        "C.__add = function(a, b) return C.new(a.n + b.n) end\n"
        "C.__eq = function(a, b) return a.n == b.n end\n"
        "local one, list, asks = C.new(1), {3, 2, 1, x = 'y'},\n"
        "  setmetatable({own = 1}, {__index = function(t, k) return k .. rawget(t, 'own') end})\n"
        "local Sub = setmetatable({}, C) Sub.__index = Sub function Sub:twice() return 2 * self:get() end\n"
        "return function()\n"
        "  local two = C.new(1) + one two.n = two.n + 1\n"
        "  local o = setmetatable({n = 4}, Sub)\n"
        "  local r = {two:get(), one:get(), #list, rawlen(list), rawget(list, 'x'), list[1], asks.z, asks.own, o:twice(),\n"
        "    tostring(one == C.new(1)), tostring(getmetatable(one) == C), tostring(getmetatable(o) == Sub)}\n"
        "  for k, v in pairs(list) do r[#r + 1] = k .. v end\n"
        "  for i, v in ipairs(list) do r[#r + 1] = i .. v end\n"
        "  r[#r + 1] = table.concat(list, '') r[#r + 1] = table.unpack(list) r[#r + 1] = select('#', table.unpack(list))\n"
        "  return table.concat(r, ' ')\n"
        "end";
    assert_int_equal(try_begin(&t, &small, script), SLD_OK);
    for (int i = 0; i < 2; i++) {
        if (try_run(&t))
            fail_msg("%s", t.err.msg);
        assert_string_equal(t.result, "3 1 3 3 y 3 z1 1 8 true true true 13 22 31 xy 13 22 31 321 3 3");
    }
    try_end(&t);
}

static void patterns_are_luas(void **state)
{
    (void)state;
    expect_result("return ('hello world'):find('o w')", "5");
    expect_result("return table.concat({('k = v'):match('^(%w+)%s*=%s*(%w+)$')}, ',')", "k,v");
    expect_result("return (('abc'):gsub('%w', '%0%0'))", "aabbcc");
    expect_result("return (('hello'):gsub('l+', {ll = 'LL'}))", "heLLo");
    expect_result("return (('abc'):gsub('', '-'))", "-a-b-c-");
    expect_result("return ('THE (quick) fox'):find('%((%a+)%)')", "5");
    expect_result("return (('THE (quick) fox'):gsub('%f[%a]%a+', function(w) return '<' .. w .. '>' end))",
                  "<THE> (<quick>) <fox>");
    expect_result("return ('f(a(b)c)d'):match('%b()')", "(a(b)c)");
    expect_result("return ('x=1,y=2'):match('()y')", "5");
    expect_result("return ('abab'):match('(ab)%1') .. ('a]b'):match('[]]') .. ('a-z'):match('[a%-]+') .. ('xyz'):match('[^x]+')",
                  "ab]a-yz");
    expect_result("local r = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do r[#r + 1] = k .. v end return table.concat(r)",
                  "a1b2");
    expect_result("local n = 0 for _ in ('abc'):gmatch('') do n = n + 1 end return n", "4");
    expect_result("return ('a.b'):find('.', 1, true) .. (('x'):rep(3, ',')) .. ('0x1F'):match('%x+$')", "2x,x,x1F");
    expect_result("return ('  trim '):match('^%s*(.-)%s*$') .. '|'", "trim|");
    expect_result("return ('abc'):find('b', -1)", "nil");
    expect_result("return (('abc'):gsub('b', '%%'))", "a%c");
    ERROR("return ('a'):find('[a')", "missing ']'");
    ERROR("return ('a'):find('%')", "ends with '%'");
    ERROR("return ('a'):find('(a')", "unfinished capture");
    ERROR("return ('a'):match('a)')", "invalid pattern capture");
    ERROR("return ('a'):find('%1')", "invalid capture index");
    ERROR("return ('a'):gsub('a', '%2')", "invalid capture index");
    ERROR("return ('a'):gsub('a', 'x%y')", "invalid use of '%'");
}

static void idle_state_is_small(void **state)
{
    (void)state;
    struct try t;
    assert_int_equal(try_begin(&t, &sld_plugin_limits_default, "return function() end"), SLD_OK);
    assert_in_range(t.h->used_bytes, 1000, 150 << 10);
    try_end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_allowed),      cmocka_unit_test(nothing_can_be_written),
        cmocka_unit_test(no_bytecode),               cmocka_unit_test(no_address_shows),
        cmocka_unit_test(pairs_is_ordered),          cmocka_unit_test(module_state_is_read_only),
        cmocka_unit_test(module_state_can_be_used),  cmocka_unit_test(patterns_are_luas),
        cmocka_unit_test(idle_state_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

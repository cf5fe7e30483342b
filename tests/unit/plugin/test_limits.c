// Whatever a script does, its call ends with an error and the state goes on.
#include "plugin/support.h"

#define LIMIT(body, words) expect_failure("", body, SLD_LIMIT, words)
#define ERROR(body, words) expect_failure("", body, SLD_INVALID, words)

static void endless_loops(void **state)
{
    (void)state;
    LIMIT("while true do end", "plugin.lua:3: more than 2000000 steps");
    LIMIT("local function f() return f() end f()", "more than 2000000 steps");
    LIMIT("::again:: goto again", "more than 2000000 steps");
    LIMIT("local t = setmetatable({}, {__index = function(t, k) while true do end end}) return t.x", "steps");
    LIMIT("table.sort({3, 2, 1, 4, 5}, function() while true do end end)", "steps");
    LIMIT("string.gsub(('a'):rep(10), 'a', function() while true do end end)", "steps");
}

static void loops_that_catch_errors(void **state)
{
    (void)state;
    LIMIT("while true do pcall(function() while true do end end) end", "steps");
    LIMIT("while true do xpcall(function() while true do end end, function() while true do end end) end", "");
    LIMIT("while true do coroutine.wrap(function() while true do end end)() end", "steps");
    LIMIT("coroutine.wrap(function() local c <close> = setmetatable({}, {__close = function() while true do end end}) "
          "while true do end end)()", "steps");
    LIMIT("local co = coroutine.create(function() local c <close> = setmetatable({}, {__close = function() while true do end end}) "
          "while true do end end) coroutine.resume(co) coroutine.close(co)", "steps");
    LIMIT("local c <close> = setmetatable({}, {__close = function() while true do end end}) error('x')", "steps");
    LIMIT("xpcall(error, function() while true do end end)", "steps");
    LIMIT("local co = coroutine.create(function() while true do end end) coroutine.resume(co) return 1", "steps");
    LIMIT("local t = setmetatable({}, {__close = function() while true do end end}) "
          "local function f() local c <close> = t while true do end end while true do pcall(f) end", "steps");
}

static void loops_in_c(void **state)
{
    (void)state;
    LIMIT("table.move({}, 1, 1 << 40, 2)", "steps");
    LIMIT("local t = {} for i = 1, 20000 do t[i] = i end while true do table.insert(t, 1, 0) table.remove(t, 1) end", "steps");
    LIMIT("table.concat({}, '', -(1 << 62), 0)", "steps");
    LIMIT("local t = {} for i = 1, 20000 do t[i] = i end while true do table.sort(t) end", "steps");
    LIMIT("local t = {} for i = 1, 10000 do t['k' .. i] = i end while true do next(t) end", "steps");
    LIMIT("local s = ('a'):rep(9000) while true do s:find('b', 1, true) end", "steps");
    LIMIT("local s = ('a'):rep(9000) while true do s:upper() end", "steps");
    ERROR("table.unpack({}, 1, 1000000)", "too many results");
}

static void memory_bombs(void **state)
{
    (void)state;
    LIMIT("local t = {} for i = 1, 1 << 40 do t[i] = {} end", "not enough memory: the plugin may have 2048 KiB");
    LIMIT("local s = 'x' while true do s = s .. s end", "not enough memory");
    LIMIT("local s = 'x' while true do pcall(function() s = s .. s end) end", "not enough memory");
    LIMIT("local t = {} while true do pcall(function() for i = 1, 1 << 40 do t[#t + 1] = {} end end) end", "not enough memory");
    LIMIT("local co = coroutine.create(function() local s = 'x' while true do s = s .. s end end) "
          "coroutine.resume(co) return 1", "not enough memory");
    LIMIT("local t = {} for i = 1, 1 << 40 do t = {t, function() return t end} end", "");
}

static void giant_strings(void **state)
{
    (void)state;
    ERROR("return ('x'):rep(1 << 40)", "the resulting string is longer than 100000 bytes");
    ERROR("return ('x'):rep(60000, 'yy')", "the resulting string is longer than 100000 bytes");
    ERROR("return (''):rep(1 << 62, 'yy')", "longer than");
    ERROR("return (('x'):rep(9000):gsub('x', ('y'):rep(100)))", "at most 100000");
    ERROR("local s = ('x'):rep(90000) return string.format('%s%s', s, s)", "at most 100000");
    ERROR("local s = ('x'):rep(90000) return table.concat({s, s})", "at most 100000");
    ERROR("return ('x'):rep(20000):find('a.*b')", "too long for a pattern; at most 10000");
    expect_result("return #(''):rep(1 << 40)", "0");
}

static void pattern_blow_ups(void **state)
{
    (void)state;
    LIMIT("return ('a'):rep(9000):find(('.-'):rep(20) .. 'b')", "steps");
    LIMIT("return ('a'):rep(9000):match(('a*'):rep(30) .. 'b')", "steps");
    LIMIT("return ('a'):rep(9000):gsub(('a?'):rep(150) .. ('a-'):rep(15) .. 'b', '')", "steps");
    LIMIT("for w in ('('):rep(9000):gmatch('%b()') do end for i = 1, 100 do ('('):rep(9000):find('%b()') end", "steps");
    LIMIT("while true do ('a'):rep(9000):find('[' .. ('b'):rep(3000) .. ']') end", "steps");
    ERROR("return ('a'):rep(500):find(('a?'):rep(300) .. 'b')", "pattern too complex");
}

static void deep_recursion(void **state)
{
    (void)state;
    expect_failure("", "local function f(n) return 1 + f(n + 1) end return f(1)", SLD_LIMIT, "");
    ERROR("local function f() return pcall(f) end local ok, e = f() error('end') ", "end");
    ERROR("local t = {} t = setmetatable(t, {__index = function(t, k) return t[k] end}) return t.x", "C stack overflow");
    ERROR("local s = 'a' local function f() return (s:gsub('a', f)) end return f()", "C stack overflow");
    ERROR("local t = setmetatable({}, {__tostring = function(t) return tostring(t) end}) return tostring(t)", "C stack overflow");
    LIMIT("local function f() return coroutine.wrap(f)() end return f()", "more than 50 coroutines");
    expect_failure("local t = {} for i = 1, 1000 do t = {t} end", "calls = #t", SLD_INVALID, "'calls'"); // freezing is no recursion
    // The parser.
    struct try t;
    char deep[4000] = "return ";
    for (size_t i = 7; i < sizeof(deep) - 1; i++)
        deep[i] = i % 2 ? '(' : '-';
    assert_int_equal(try_begin(&t, &small, deep), SLD_INVALID);
    assert_non_null(strstr(t.err.msg, "overflow"));
    try_end(&t);
}

static void coroutine_bombs(void **state)
{
    (void)state;
    LIMIT("while true do coroutine.create(function() end) end", "more than 50 coroutines made in one call");
    LIMIT("while true do pcall(coroutine.wrap, function() end) end", "more than 50 coroutines");
    expect_result("local n = 0 for i = 1, 50 do coroutine.wrap(function() n = n + 1 end)() end return n", "50");
}

static void finalizers(void **state)
{
    (void)state;
    ERROR("setmetatable({}, {__gc = function() while true do end end})", "__gc is not available");
    ERROR("setmetatable({}, {__gc = true})", "__gc is not available");
    ERROR("setmetatable({}, {__mode = 'k'})", "__mode is not available");
    expect_failure("local m = {__gc = 1}", "setmetatable({}, m)", SLD_INVALID, "__gc is not available");
    // One that comes later is never run.
    expect_result("for i = 1, 1000 do local m = {} setmetatable({}, m) m.__gc = function() error('x') end end return 1", "1");
    ERROR("local c <close> = setmetatable({}, {__close = function() error('in close') end}) return 1", "in close");
    ERROR("local c <close> = setmetatable({}, {__close = function() error('second') end}) error('first')", "second");
    ERROR("local co = coroutine.wrap(function() local c <close> = setmetatable({}, "
          "{__close = function() error('in close') end}) coroutine.yield() end) co() error('end')", "end");
}

static void errors_of_every_kind(void **state)
{
    (void)state;
    ERROR("error()", "(the error is a nil)");
    ERROR("error({code = 1})", "(the error is a table)");
    ERROR("error(setmetatable({}, {__tostring = function() while true do end end}))", "(the error is a table)");
    ERROR("error('x', 0)", "x");
    ERROR("local x = nil\nx.y = 1", "plugin.lua:4: attempt to index a nil value (local 'x')");
}

static void time_is_a_net(void **state)
{
    (void)state;
    struct sld_plugin_limits l = small;
    l.call_steps = 1ULL << 60;
    l.call_ms = 20;
    struct try t;
    assert_int_equal(try_begin(&t, &l, "return function() while true do end end"), SLD_OK);
    assert_int_equal(try_run(&t), SLD_LIMIT);
    assert_non_null(strstr(t.err.msg, "longer than 20 ms"));
    try_end(&t);
}

static void logs_have_an_end(void **state)
{
    (void)state;
    struct try t;
    assert_int_equal(try_begin(&t, &small, "return function() for i = 1, 100 do print(i) end end"), SLD_OK);
    for (uint64_t call = 1; call <= 2; call++) { // of each call
        uint64_t before = sld_log_lines(SLD_INFO);
        assert_int_equal(try_run(&t), SLD_OK);
        assert_int_equal(sld_log_lines(SLD_INFO) - before, small.log_lines);
    }
    try_end(&t);
}

static void too_little_memory_for_anything(void **state)
{
    (void)state;
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(SLD_STR("x"), SLD_STR("x"), SLD_STR("return {}"));
    struct pl_host *h = NULL;
    struct sld_err err = {0};
    for (size_t n = 0; n < 60000; n += 500) { // wherever memory ends
        struct sld_plugin_limits l = small;
        l.memory_bytes = n;
        if (pl_host_create(&l, b, &h, &err) == SLD_OK)
            pl_host_destroy(h);
        else
            assert_non_null(strstr(err.msg, "not enough memory"));
    }
    SLD_UNREF(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endless_loops),      cmocka_unit_test(loops_that_catch_errors),
        cmocka_unit_test(loops_in_c),         cmocka_unit_test(memory_bombs),
        cmocka_unit_test(giant_strings),      cmocka_unit_test(pattern_blow_ups),
        cmocka_unit_test(deep_recursion),     cmocka_unit_test(coroutine_bombs),
        cmocka_unit_test(finalizers),         cmocka_unit_test(errors_of_every_kind),
        cmocka_unit_test(time_is_a_net),      cmocka_unit_test(logs_have_an_end),
        cmocka_unit_test(too_little_memory_for_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Calls that may wait: how they interleave and end, and that each of their ceilings holds.
#include "plugin/support.h"

#include "plugin/load.h"
#include "plugin/task.h"
#include "plugin/value.h"
#include "plugin/world.h"

// A plugin whose hook `check` is called as a task, and what came of its last call.
struct bench {
    struct sld_plugin *plugin;
    struct pl_world *world;
    struct sld_err err;
    unsigned done;
    enum sld_rc rc;
    char result[400]; // texts of all results, one behind the other
};

static void begin_limits(struct bench *b, const struct sld_plugin_limits *l, const char *before, const char *body)
{
    char script[4096];
    snprintf(script, sizeof(script), "local time = require 'solder.time'\n%s\nreturn {api = 1, name = 'try', check = function(a)\n%s\nend}",
             before, body);
    struct sld_plugin_bundle *bundle = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("try"), sld_str_c(script));
    *b = (struct bench){.world = pl_world_create(1000000)};
    if (sld_plugin_load(bundle, l, &b->plugin, &b->err))
        fail_msg("%s", b->err.msg);
    SLD_UNREF(bundle);
}

static void begin(struct bench *b, const char *before, const char *body)
{
    begin_limits(b, &small, before, body);
}

static void end(struct bench *b)
{
    assert_int_equal(pl_task_count(b->plugin), 0);
    assert_int_equal(pl_world_pending(b->world), 0);
    SLD_UNREF(b->plugin);
    pl_world_destroy(b->world);
}

static int push(lua_State *L)
{
    pl_push_hook(L, SLD_HOOK_CHECK);
    lua_pushinteger(L, 7);
    return 0;
}

static int take(lua_State *L)
{
    struct bench *b = lua_touserdata(L, 1);
    for (int i = 2; i <= lua_gettop(L); i++) {
        pl_tostring(L, i);
        size_t n = strlen(b->result);
        snprintf(b->result + n, sizeof(b->result) - n, "%s ", lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    return 0;
}

static void done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct bench *b = user;
    b->done++;
    b->rc = rc;
    if (rc)
        b->err = *err;
}

static struct pl_task *start_as(struct bench *b, enum pl_phase phase, uint64_t deadline_ms)
{
    struct pl_task *t = NULL;
    struct pl_task_call c = {.hook = SLD_HOOK_CHECK, .phase = phase, .push = push, .take = take, .arg = b,
                             .deadline_ms = deadline_ms, .done = done, .user = b};
    b->err = (struct sld_err){0};
    b->done = 0;
    b->result[0] = 0;
    enum sld_rc rc = pl_task_start(b->plugin, pl_world_reactor(b->world), &c, &t, &b->err);
    if (rc)
        fail_msg("%s", b->err.msg);
    return t;
}

static struct pl_task *start(struct bench *b)
{
    return start_as(b, PL_REQUEST, 0);
}

// A call with BODY, of PHASE, fails with RC and WORDS; so does the next, and one of another body goes well.
static void fails_as(enum pl_phase phase, const char *before, const char *body, enum sld_rc rc, const char *words)
{
    struct bench b;
    struct sld_plugin_stats stats;
    begin(&b, before, body);
    for (int i = 0; i < 2; i++) {
        start_as(&b, phase, 60000);
        pl_world_pass(b.world, 100000);
        assert_int_equal(b.done, 1);
        if (b.rc != rc || !strstr(b.err.msg, words))
            fail_msg("%s: %s (%s) instead of %s (%s)", body, sld_rc_name(b.rc), b.err.msg, sld_rc_name(rc), words);
    }
    sld_plugin_stats(b.plugin, &stats);
    assert_int_equal(stats.hooks[SLD_HOOK_CHECK].calls, 2);
    assert_int_equal(stats.hooks[SLD_HOOK_CHECK].errors, 2);
    assert_int_equal(stats.hooks[SLD_HOOK_CHECK].limits, rc == SLD_LIMIT ? 2 : 0);
    assert_int_equal(stats.breaches, rc == SLD_LIMIT ? 2 : 0);
    end(&b);
}

static void fails(const char *body, enum sld_rc rc, const char *words)
{
    fails_as(PL_REQUEST, "", body, rc, words);
}

static void gives(const char *body, const char *result)
{
    struct bench b;
    begin(&b, "", body);
    start(&b);
    pl_world_pass(b.world, 100000);
    assert_int_equal(b.done, 1);
    if (b.rc)
        fail_msg("%s: %s", body, b.err.msg);
    assert_string_equal(b.result, result);
    end(&b);
}

static void a_call_that_does_not_wait_is_over_at_once(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, "", "return a, 'x'");
    assert_null(start_as(&b, PL_REQUEST, 1000));
    assert_int_equal(b.done, 1);
    assert_string_equal(b.result, "7 x ");
    assert_int_equal(pl_world_pending(b.world), 0); // not even a deadline was set up
    end(&b);
}

static void it_waits_and_goes_on(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, "", "local x = a + 1 local before = time.now() time.sleep(2.5) return x, time.now() - before, time.monotonic()");
    struct pl_task *t = start(&b);
    assert_non_null(t);
    pl_world_pass(b.world, 2499);
    assert_int_equal(b.done, 0);
    pl_world_pass(b.world, 1);
    assert_int_equal(b.done, 1);
    assert_string_equal(b.result, "8 2.5 3.5 ");
    end(&b);
    gives("local ok, e = pcall(function() time.sleep('100ms') error('x', 0) end) return ok, e", "false x ");
    gives("local t = {} for i in (function() time.sleep(1) return #t < 3 and #t or nil end) do t[#t + 1] = i end return #t", "3 ");
    gives("local r = '' do local c <close> = setmetatable({}, {__close = function() time.sleep(1) r = r .. 'closed' end}) end return r",
          "closed ");
    gives("local n = 0 for i = 1, 5000 do n = n + 1 end for i = 1, 3 do time.sleep(0) end return n", "5000 ");
}

static void many_interleave(void **state)
{
    enum { N = 20 };
    struct bench b;
    struct pl_task *t = NULL;
    struct sld_err err;
    unsigned ended = 0;
    (void)state;
    begin(&b, "", "local mine = {} for i = 1, 5 do mine[i] = a time.sleep(i) end return #mine");
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++)
            start(&b);
        struct pl_task_call c = {.hook = SLD_HOOK_CHECK, .phase = PL_REQUEST, .push = push, .done = done, .user = &b};
        assert_int_equal(pl_task_start(b.plugin, pl_world_reactor(b.world), &c, &t, &err), SLD_AGAIN);
        assert_non_null(strstr(err.msg, "20 calls are under way"));
        b.done = 0;
        pl_world_pass(b.world, 14999);
        assert_int_equal(b.done, 0);
        assert_int_equal(pl_task_count(b.plugin), N);
        pl_world_pass(b.world, 1);
        assert_int_equal(b.done, N);
        ended += b.done;
    }
    assert_int_equal(ended, 3 * N);
    end(&b);
}

static void errors_name_the_line_and_keep_the_stack(void **state)
{
    struct bench b;
    struct sld_plugin_stats stats;
    (void)state;
    begin(&b, "local function deep() time.sleep(1) local x = nil; return x.y end", "return (deep())");
    start(&b);
    pl_world_pass(b.world, 1000);
    assert_int_equal(b.rc, SLD_INVALID);
    assert_non_null(strstr(b.err.msg, "plugin try: plugin.lua:2: attempt to index a nil value (local 'x')"));
    sld_plugin_stats(b.plugin, &stats);
    assert_non_null(strstr(stats.errors[0].trace, "plugin.lua:2: in upvalue 'deep'"));
    assert_non_null(strstr(stats.errors[0].trace, "plugin.lua:4: in function"));
    end(&b);
    fails("time.sleep(1) error({})", SLD_INVALID, "(the error is a table)");
    fails("time.sleep('x')", SLD_INVALID, "plugin.lua:4: bad argument #1 to 'sleep' (a time up to a day");
    fails("time.sleep(-1)", SLD_INVALID, "a time up to a day");
    fails("time.sleep(0/0)", SLD_INVALID, "a time up to a day");
    fails("time.sleep(86401)", SLD_INVALID, "a time up to a day");
}

static void the_deadline_ends_it(void **state)
{
    struct bench b;
    struct sld_plugin_stats stats;
    (void)state;
    begin(&b, "", "local c <close> = setmetatable({}, {__close = function() print('closed') end})\nwhile true do pcall(time.sleep, 1) end");
    start_as(&b, PL_REQUEST, 5500);
    pl_world_pass(b.world, 5499);
    assert_int_equal(b.done, 0);
    pl_world_pass(b.world, 1);
    assert_int_equal(b.done, 1);
    assert_int_equal(b.rc, SLD_AGAIN);
    assert_non_null(strstr(b.err.msg, "plugin try: longer than 5500 ms in all"));
    sld_plugin_stats(b.plugin, &stats);
    assert_non_null(strstr(stats.errors[0].trace, "plugin.lua:5: in function"));
    end(&b);
}

static void ceilings_of_a_run(void **state)
{
    (void)state;
    fails("time.sleep(1) while true do end", SLD_LIMIT, "plugin.lua:4: more than 2000000 steps");
    fails("time.sleep(1) while true do pcall(function() while true do end end) end", SLD_LIMIT, "steps");
    fails("local s = 'x' time.sleep(1) while true do pcall(function() s = s .. s end) end", SLD_LIMIT, "not enough memory");
    fails("local c <close> = setmetatable({}, {__close = function() while true do end end}) time.sleep(1) while true do end",
          SLD_LIMIT, "steps");
    fails("local function f() return f() + 1 end time.sleep(1) return f()", SLD_LIMIT, "not enough memory");
    // Steps are of a run, so that a task may go on for ever.
    gives("for k = 1, 5 do for i = 1, 300000 do end time.sleep(1) end return 'well'", "well ");
    struct sld_plugin_limits l = small;
    struct bench b;
    l.call_steps = 1ULL << 50;
    l.call_ms = 20;
    begin_limits(&b, &l, "", "time.sleep(1) while true do end");
    start(&b);
    pl_world_pass(b.world, 1000);
    assert_int_equal(b.rc, SLD_LIMIT);
    assert_non_null(strstr(b.err.msg, "longer than 20 ms"));
    end(&b);
}

static void coroutines_have_a_ceiling(void **state)
{
    (void)state;
    static const char *const body = "for k = 1, 4 do for i = 1, 20 do coroutine.wrap(function() end)() end time.sleep(1) end error('well', 0)";
    fails_as(PL_REQUEST, "", body, SLD_LIMIT, "more than 50 coroutines");
    fails_as(PL_TASK, "", body, SLD_INVALID, "well"); // of each run
    fails_as(PL_TASK, "", "time.sleep(1) for i = 1, 51 do coroutine.create(print) end", SLD_LIMIT, "more than 50 coroutines");
}

static void what_waits_is_called_by_the_call_itself(void **state)
{
    (void)state;
    fails("coroutine.wrap(function() time.sleep(1) end)()", SLD_INVALID, "solder.time.sleep: what waits cannot be called in a coroutine");
    fails("table.sort({3, 2, 1}, function(x, y) time.sleep(1) return x < y end)", SLD_INVALID, "calls back");
    fails("coroutine.yield(1)", SLD_INVALID, "plugin.lua:4: attempt to yield from outside a coroutine");
    gives("return coroutine.isyieldable(), coroutine.wrap(function() return coroutine.isyieldable() end)()", "false true ");
    gives("local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) local n = 0 "
          "for i = 1, 3 do n = n + co() time.sleep(1) end return n", "6 ");
    fails_as(PL_REQUEST, "", "require 'other'", SLD_INVALID, "must be required while the plugin loads");
}

static void what_is_not_of_the_phase_says_so(void **state)
{
    struct bench b;
    struct sld_report r = {0};
    struct sld_arena arena = {0};
    struct sld_plugin *p = NULL;
    struct sld_err err = {0};
    (void)state;
    begin(&b, "", "time.sleep(1)");
    r.arena = &arena;
    sld_plugin_check(b.plugin, &r, NULL);
    assert_int_equal(r.errors, 1);
    assert_string_equal(r.items[0].message.p,
                        "plugin try: plugin.lua:4: solder.time.sleep cannot be called in check and shape_*, whose results may depend on "
                        "their arguments alone; it can in hooks of requests and in tasks");
    sld_arena_fini(&arena);
    end(&b);
    struct sld_plugin_bundle *bundle =
        sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("try"), SLD_STR("require 'solder.time'.now() return {api = 1, name = 'try'}"));
    assert_int_equal(sld_plugin_load(bundle, &small, &p, &err), SLD_INVALID);
    assert_non_null(strstr(err.msg, "plugin.lua:1: solder.time.now cannot be called while the plugin loads; it can in hooks"));
    SLD_UNREF(bundle);
}

static void nothing_is_kept_between_calls(void **state)
{
    (void)state;
    fails_as(PL_REQUEST, "local kept = 0", "kept = kept + 1 time.sleep(1) error('not here')", SLD_INVALID,
             "the variable 'kept' outlives the call");
    fails_as(PL_REQUEST, "local kept = 0", "if kept ~= 0 then error('kept', 0) end kept = 1 error('the first', 0)", SLD_INVALID, "the first");
    fails_as(PL_TASK, "local kept = {}", "time.sleep(1) kept.x = 1", SLD_INVALID, "'x' cannot be set: the table is read-only");
}

static void cancelled_calls_end_without_a_word(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, "", "local c <close> = setmetatable({}, {__close = function() pcall(time.sleep, 1) while true do end end}) time.sleep(10)");
    pl_task_cancel(start(&b));
    assert_int_equal(b.done, 0);
    end(&b);
    begin(&b, "", "time.sleep(10)");
    struct pl_task *first = start(&b), *second = start(&b);
    pl_task_cancel(first);
    pl_world_pass(b.world, 9999);
    assert_int_equal(b.done, 0);
    pl_task_cancel(second);
    pl_world_pass(b.world, 10000);
    assert_int_equal(b.done, 0);
    end(&b);
}

// Also after an error: nothing is collected here, and memory hardly grows.
static void coroutines_are_used_again(void **state)
{
    struct bench b;
    struct sld_plugin_stats stats;
    size_t before = 0;
    (void)state;
    begin(&b, "", "if a then error('an error', 0) end");
    lua_gc(b.plugin->host->L, LUA_GCSTOP);
    for (int i = 0; i < 2000; i++) {
        start(&b);
        assert_int_equal(b.rc, SLD_INVALID);
        sld_plugin_stats(b.plugin, &stats);
        if (i == 0)
            before = stats.used_bytes;
    }
    assert_in_range(stats.used_bytes, 1, before + 2000 * 200); // the error's words alone, not a coroutine each
    lua_gc(b.plugin->host->L, LUA_GCRESTART);
    end(&b);
}

static void what_was_lent_to_one_call_is_not_lent_to_another(void **state)
{
    struct bench b;
    (void)state;
    begin(&b, "", "time.sleep(1)");
    struct pl_task *t = start(&b);
    uint64_t first = b.plugin->host->calls;
    assert_int_equal(b.plugin->host->call, 0);
    pl_task_cancel(start(&b));
    assert_int_not_equal(b.plugin->host->calls, first);
    pl_task_cancel(t);
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_does_not_wait_is_over_at_once),
        cmocka_unit_test(it_waits_and_goes_on),
        cmocka_unit_test(many_interleave),
        cmocka_unit_test(errors_name_the_line_and_keep_the_stack),
        cmocka_unit_test(the_deadline_ends_it),
        cmocka_unit_test(ceilings_of_a_run),
        cmocka_unit_test(coroutines_have_a_ceiling),
        cmocka_unit_test(what_waits_is_called_by_the_call_itself),
        cmocka_unit_test(what_is_not_of_the_phase_says_so),
        cmocka_unit_test(nothing_is_kept_between_calls),
        cmocka_unit_test(cancelled_calls_end_without_a_word),
        cmocka_unit_test(coroutines_are_used_again),
        cmocka_unit_test(what_was_lent_to_one_call_is_not_lent_to_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

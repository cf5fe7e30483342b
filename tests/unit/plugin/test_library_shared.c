// What calls share: cache:get_or, where one finds out for all, however that one ends; counters of all threads.
#include "plugin/library_support.h"

#include <pthread.h>
#include <stdlib.h>

enum { CALLS = 4 };

struct bench {
    struct sld_plugin *plugin;
    struct pl_world *world;
    struct lib_call calls[CALLS];
    struct pl_task *tasks[CALLS];
};

static int push_number(lua_State *L)
{
    const struct lib_call *c = lua_touserdata(L, 1);
    pl_push_hook(L, SLD_HOOK_CHECK);
    lua_pushinteger(L, (lua_Integer)strtol(c->result, NULL, 10));
    return 0;
}

// A plugin whose calls get their number, n, and a function note, which counts what ran.
static void begin(struct bench *b, const char *body)
{
    char script[4096];
    snprintf(script, sizeof(script),
             "local time, cache, json = require 'solder.time', require 'solder.cache', require 'solder.json'\n"
             "local c, notes = cache.new{ttl = 100}, cache.new()\n"
             "local function note() notes:set(1, (notes:get(1) or 0) + 1) end\n"
             "return {api = 1, name = 'try', check = function(n)\n%s\nend}", body);
    struct sld_plugin_bundle *bundle = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("try"), sld_str_c(script));
    struct sld_plugin_limits l = small;
    struct sld_err err = {0};
    l.waiting = CALLS;
    *b = (struct bench){.world = pl_world_create((int64_t)LIB_NOW * 1000)};
    if (sld_plugin_load(bundle, &l, &b->plugin, &err))
        fail_msg("%s", err.msg);
    SLD_UNREF(bundle);
}

static void start(struct bench *b, int i, uint64_t deadline_ms)
{
    struct lib_call *c = &b->calls[i];
    struct pl_task_call call = {.hook = SLD_HOOK_CHECK, .phase = PL_REQUEST, .push = push_number, .take = lib_take, .arg = c,
                                .deadline_ms = deadline_ms, .done = lib_done, .user = c};
    *c = (struct lib_call){0};
    snprintf(c->result, sizeof(c->result), "%d", i);
    enum sld_rc rc = pl_task_start(b->plugin, pl_world_reactor(b->world), &call, &b->tasks[i], &c->err);
    if (rc)
        fail_msg("%s", c->err.msg);
}

static void start_all(struct bench *b)
{
    for (int i = 0; i < CALLS; i++)
        start(b, i, 0);
}

static void expect(const struct bench *b, int i, enum sld_rc rc, const char *text)
{
    const struct lib_call *c = &b->calls[i];
    if (c->done != 1 || c->rc != rc || !strstr(rc ? c->err.msg : c->result, text))
        fail_msg("call %d: done %u, %s, %s %s instead of %s", i, c->done, sld_rc_name(c->rc), c->result, c->err.msg, text);
}

static void end(struct bench *b)
{
    assert_int_equal(pl_task_count(b->plugin), 0);
    assert_int_equal(pl_world_pending(b->world), 0);
    SLD_UNREF(b->plugin);
    pl_world_destroy(b->world);
}

static void one_finds_out_for_all(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "local v = c:get_or('k', function(k) note() time.sleep(2) return {of = n, key = k} end) return v.of .. v.key .. notes:get(1)");
    start_all(&b);
    pl_world_pass(b.world, 1999);
    assert_int_equal(pl_task_count(b.plugin), CALLS);
    pl_world_pass(b.world, 1);
    for (int i = 0; i < CALLS; i++)
        expect(&b, i, SLD_OK, "0k1");
    start(&b, 1, 0); // it is kept
    expect(&b, 1, SLD_OK, "0k1");
    pl_world_pass(b.world, 100000);
    start(&b, 1, 0); // until its time is over
    pl_world_pass(b.world, 2000);
    expect(&b, 1, SLD_OK, "1k2");
    end(&b);
}

static void other_keys_do_not_wait(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "return c:get_or(n % 2, function(k) note() time.sleep(k + 1) return k, 0 end) .. ' ' .. notes:get(1)");
    start_all(&b);
    pl_world_pass(b.world, 1000);
    expect(&b, 0, SLD_OK, "0 2");
    expect(&b, 2, SLD_OK, "0 2");
    assert_int_equal(pl_task_count(b.plugin), 2);
    pl_world_pass(b.world, 1000);
    expect(&b, 3, SLD_OK, "1 2");
    end(&b);
}

// The first raises: the next tries, and the others wait for that one.
static void who_raises_leaves_it_to_the_next(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "return c:get_or('k', function() note() time.sleep(1) if n == 0 then error('mine') end return n end) .. ' ' .. notes:get(1)");
    start_all(&b);
    pl_world_pass(b.world, 1000);
    expect(&b, 0, SLD_INVALID, "mine");
    assert_int_equal(pl_task_count(b.plugin), CALLS - 1);
    pl_world_pass(b.world, 1000);
    for (int i = 1; i < CALLS; i++)
        expect(&b, i, SLD_OK, "1 2");
    end(&b);
}

static void nil_is_not_kept(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "local v, words = c:get_or('k', function() note() time.sleep(1) if n < 2 then return nil, 'none' end return n end) "
              "return tostring(v) .. tostring(words) .. notes:get(1)");
    start_all(&b);
    pl_world_pass(b.world, 3000);
    expect(&b, 0, SLD_OK, "nilnone1");
    expect(&b, 1, SLD_OK, "nilnone2");
    expect(&b, 2, SLD_OK, "2nil3");
    expect(&b, 3, SLD_OK, "2nil3");
    end(&b);
}

// The one that finds out is cancelled, takes too long, or breaks a ceiling.
static void who_ends_early_leaves_it_to_the_next(void **state)
{
    (void)state;
    struct bench b;
    const char *body = "return c:get_or('k', function() note() if n == 0 then time.sleep(1) if notes:get(2) then while true do end end time.sleep(50) end "
                       "time.sleep(1) return n end) .. ' ' .. notes:get(1)";
    begin(&b, body);
    start_all(&b);
    pl_world_pass(b.world, 500);
    pl_task_cancel(b.tasks[0]);
    pl_world_pass(b.world, 1000);
    expect(&b, 1, SLD_OK, "1 2");
    expect(&b, 3, SLD_OK, "1 2");
    assert_int_equal(b.calls[0].done, 0);
    end(&b);
    begin(&b, body);
    start(&b, 0, 700);
    start(&b, 1, 0);
    pl_world_pass(b.world, 1700);
    expect(&b, 0, SLD_AGAIN, "longer than 700 ms");
    expect(&b, 1, SLD_OK, "1 2");
    end(&b);
    begin(&b, "if n == 0 then notes:set(2, true) end return c:get_or('k', function() note() if n == 0 then time.sleep(1) while true do end end "
              "time.sleep(1) return n end) .. ' ' .. notes:get(1)");
    start_all(&b);
    pl_world_pass(b.world, 3000);
    expect(&b, 0, SLD_LIMIT, "steps");
    expect(&b, 1, SLD_OK, "1 2");
    expect(&b, 3, SLD_OK, "1 2");
    end(&b);
}

static void who_waits_may_end_early(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "return c:get_or('k', function() time.sleep(2) return n end)");
    start(&b, 0, 0);
    start(&b, 1, 0);
    start(&b, 2, 1000);
    pl_world_pass(b.world, 500);
    pl_task_cancel(b.tasks[1]);
    pl_world_pass(b.world, 2000);
    expect(&b, 0, SLD_OK, "0");
    expect(&b, 2, SLD_AGAIN, "longer than 1000 ms");
    assert_int_equal(b.calls[1].done, 0);
    end(&b);
}

static void a_call_does_not_wait_for_itself(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "return c:get_or('k', function() return c:get_or('k', function() return 1 end) end)");
    start(&b, 0, 0);
    expect(&b, 0, SLD_INVALID, "this very call is finding it out");
    end(&b);
    begin(&b, "return c:get_or('a', function() return c:get_or('b', function() return 1 end) + 1 end)");
    start(&b, 0, 0);
    expect(&b, 0, SLD_OK, "2");
    end(&b);
}

// ---- Counters ----

enum { THREADS = 4 };

struct counting {
    struct sld_plugin_counters *shared;
    char result[64];
};

static void *count(void *arg)
{
    struct counting *c = arg;
    struct bench b;
    begin(&b, "local counters = require 'solder.counters' for i = 1, 5000 do counters.add('all') counters.add('own' .. i % 50) end "
              "return counters.get('all') > 0");
    sld_plugin_counters_share(b.plugin, c->shared);
    start(&b, 0, 0);
    snprintf(c->result, sizeof(c->result), "%.40s", b.calls[0].rc ? b.calls[0].err.msg : b.calls[0].result);
    end(&b);
    return NULL;
}

static void counters_are_of_all_threads(void **state)
{
    (void)state;
    struct counting c[THREADS];
    pthread_t threads[THREADS];
    struct sld_plugin_counters *shared = sld_plugin_counters_create();
    for (int i = 0; i < THREADS; i++) {
        c[i].shared = shared;
        assert_int_equal(pthread_create(&threads[i], NULL, count, &c[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_string_equal(c[i].result, "true");
    }
    struct bench b;
    begin(&b, "local counters = require 'solder.counters' local sum = 0 for i = 0, 49 do sum = sum + counters.get('own' .. i) end "
              "return counters.get('all') .. ' ' .. sum");
    sld_plugin_counters_share(b.plugin, shared);
    start(&b, 0, 0);
    expect(&b, 0, SLD_OK, "20000 20000");
    end(&b);
    SLD_UNREF(shared);
}

static void counters_have_a_ceiling(void **state)
{
    (void)state;
    expect_call("for i = 1, 4096 do assert(counters.add('n' .. i) == 1) end assert(counters.get('other') == 0) "
                "local v, words = counters.add('other') assert(counters.add('n7', -3) == -2) return tostring(v) .. words", "nilmore than 4096 names "
                    "of counters");
    expect_call("counters.add('a', math.maxinteger) return counters.add('a') == math.mininteger", "true");
    expect_call("local ok, e = pcall(counters.add, ('x'):rep(257)) return e:match('at most 256')", "at most 256");
}

// What a plugin did not ask for is not there, and the error says how to ask.
static void needs_are_asked_for(void **state)
{
    (void)state;
    static const struct {
        const char *call, *words;
    } calls[] = {
        {"require('solder.http').request{url = 'http://a/'}", "plugin.lua:5: solder.http.request: add needs = {\"http\"} to the plugin's table"},
        {"require('solder.dns').lookup('a')", "solder.dns.lookup: add needs = {\"dns\"}"},
        {"require('solder.file').read('/a')", "solder.file.read: add needs = {\"files\"}"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(calls); i++) {
        struct bench b;
        begin(&b, calls[i].call);
        start(&b, 0, 0);
        expect(&b, 0, SLD_INVALID, calls[i].words);
        end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_finds_out_for_all),
        cmocka_unit_test(other_keys_do_not_wait),
        cmocka_unit_test(who_raises_leaves_it_to_the_next),
        cmocka_unit_test(nil_is_not_kept),
        cmocka_unit_test(who_ends_early_leaves_it_to_the_next),
        cmocka_unit_test(who_waits_may_end_early),
        cmocka_unit_test(a_call_does_not_wait_for_itself),
        cmocka_unit_test(needs_are_asked_for),
        cmocka_unit_test(counters_are_of_all_threads),
        cmocka_unit_test(counters_have_a_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

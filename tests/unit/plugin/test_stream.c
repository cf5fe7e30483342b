// Answers that tasks read as they come: lines, events, silence, and what a call is lent.
#include "plugin/support.h"

#include "plugin/backends.h"
#include "plugin/task.h"
#include "plugin/world.h"

struct bench {
    struct pl_world *world;
    struct sld_plugin *plugin;
    struct pl_task *task;
    char result[2000];
    bool done;
    enum sld_rc rc;
    struct sld_err err;
    const char *const *pieces;
    bool open; // it does not end behind them
};

static void on_http(void *user, const struct sld_http_call *call, struct sld_http_answer *out)
{
    (void)user;
    if (!sld_str_ends(call->url, SLD_STR("/nobody")))
        *out = (struct sld_http_answer){.status = 200};
}

static bool on_piece(void *user, const struct sld_http_call *call, size_t n, struct sld_str *out)
{
    const struct bench *b = user;
    (void)call;
    size_t count = 0;
    while (b->pieces && b->pieces[count])
        count++;
    if (n < count)
        *out = sld_str_c(b->pieces[n]);
    return n < count || b->open;
}

static int push(lua_State *L)
{
    pl_push_hook(L, SLD_HOOK_CHECK);
    return 0;
}

static int take(lua_State *L)
{
    struct bench *b = lua_touserdata(L, 1);
    pl_tostring(L, 2);
    snprintf(b->result, sizeof(b->result), "%s", lua_tostring(L, -1));
    return 0;
}

static void done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct bench *b = user;
    b->done = true;
    b->task = NULL;
    b->rc = rc;
    b->err = rc ? *err : b->err;
}

// A task whose body is BODY; PIECES, NULL at the end, come a second apart.
static void begin(struct bench *b, const char *body, const char *const *pieces)
{
    char script[2000];
    struct sld_err err = {0};
    snprintf(script, sizeof(script), "local http = require 'solder.http'\nreturn {api = 1, name = 'try', needs = {'http'}, check = function()\n"
                                     "local url, all = 'http://a/', {}\n%s\nend}", body);
    *b = (struct bench){.world = pl_world_create(1800000000000), .pieces = pieces};
    pl_world_on_http(b->world, on_http, b);
    pl_world_on_piece(b->world, on_piece, b);
    struct sld_plugin_bundle *bundle = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("test"), sld_str_c(script));
    if (sld_plugin_load(bundle, &small, &b->plugin, &err))
        fail_msg("%s", err.msg);
    SLD_UNREF(bundle);
    struct pl_task_call call = {.hook = SLD_HOOK_CHECK, .phase = PL_TASK, .push = push, .take = take, .arg = b, .done = done, .user = b};
    assert_int_equal(pl_task_start(b->plugin, pl_world_reactor(b->world), &call, &b->task, &err), SLD_OK);
}

static void end(struct bench *b)
{
    pl_task_cancel(b->task);
    assert_int_equal(pl_world_pending(b->world), 0); // nothing of a stream is left
    SLD_UNREF(b->plugin);
    pl_world_destroy(b->world);
}

static void gives(const char *body, const char *const *pieces, uint64_t ms, const char *result)
{
    struct bench b;
    begin(&b, body, pieces);
    pl_world_pass(b.world, ms);
    if (!b.done || b.rc || strcmp(b.result, result))
        fail_msg("%s: %s%s instead of %s", body, b.done ? b.result : "(it waits)", b.err.msg, result);
    end(&b);
}

#define ALL(how) "local s = assert(http.stream{url = url})\nfor x in s:" how "() do all[#all + 1] = x end\nreturn table.concat(all, '|') .. (s:problem() or '')"

static void lines(void **state)
{
    (void)state;
    static const char *const pieces[] = {"one\ntw", "o\r\n", "\nthree", NULL};
    gives(ALL("lines"), pieces, 10000, "one|two||three");
    gives(ALL("chunks"), pieces, 10000, "one\ntw|o\r\n|\nthree");
    static const char *const none[] = {NULL};
    gives(ALL("lines"), none, 10000, "");
}

static void events(void **state)
{
    (void)state;
    static const char *const pieces[] = {": hello\n\nid: 7\nevent: put\ndata: a\nda", "ta: b\n", "\nretry: 1500\ndata:c\nunknown: x\n\nevent: lost\n\n", NULL};
    gives("for e in http.stream{url = url}:events() do all[#all + 1] = e.event .. '/' .. e.id .. '/' .. e.data .. '/' .. tostring(e.retry) end "
          "return table.concat(all, '|')", pieces, 10000, "put/7/a\nb/nil|message/7/c/1.5");
}

static void silence_ends_it(void **state)
{
    (void)state;
    struct bench b;
    static const char *const pieces[] = {"one\n", NULL};
    begin(&b, "local s = assert(http.stream{url = url, idle_timeout = '500ms'})\nfor x in s:lines() do all[#all + 1] = x end\n"
              "return all[1] .. ': ' .. s:problem()", pieces);
    b.open = true;
    pl_world_pass(b.world, 499);
    assert_false(b.done);
    pl_world_pass(b.world, 1);
    assert_true(b.done);
    assert_string_equal(b.result, "one: nothing came for 500 ms");
    end(&b);
}

static void there_are_ceilings(void **state)
{
    (void)state;
    static const char *const pieces[] = {"one\n0123456789", "0123456789", NULL};
    gives("local s = http.stream{url = url, max_line = 10}\nfor x in s:lines() do all[#all + 1] = x end\nreturn #all .. s:problem()", pieces,
          5000, "1a line of it is longer than 10 bytes");
    static const char *const event[] = {"data: 012345\ndata: 012345\n\n", NULL};
    gives("local s = http.stream{url = url, max_line = 12}\nfor x in s:events() do all[#all + 1] = x end\nreturn #all .. s:problem()", event, 5000,
          "0an event of it is longer than 12 bytes");
    gives("local ok, why = pcall(function() for i = 1, 21 do all[i] = http.stream{url = url .. i} end end) return why", NULL, 5000,
          "plugin.lua:4: solder.http.stream: more than 20 streams are open: close some");
    gives("local s, why = http.stream{url = 'http://a/nobody'} return tostring(s) .. why", NULL, 5000, "nilhttp://a/nobody: nobody answers there in this test");
}

static void what_a_call_is_lent_ends_with_it(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "local s = assert(http.stream{url = url}) return 'left open'", NULL);
    b.open = true;
    pl_world_pass(b.world, 10);
    assert_string_equal(b.result, "left open");
    assert_int_equal(pl_world_pending(b.world), 0);
    end(&b);
    begin(&b, "for x in http.stream{url = url}:lines() do end", NULL); // it is cancelled while it waits
    b.open = true;
    pl_world_pass(b.world, 3000);
    assert_false(b.done);
    end(&b);
    static const char *const pieces[] = {"one\ntwo\n", NULL};
    begin(&b, "local s = http.stream{url = url} for x in s:lines() do break end return tostring(s:status())", pieces); // `for` closes it
    b.open = true;
    pl_world_pass(b.world, 3000);
    assert_string_equal(b.result, "nil");
    end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines), cmocka_unit_test(events), cmocka_unit_test(silence_ends_it),
                                       cmocka_unit_test(there_are_ceilings), cmocka_unit_test(what_a_call_is_lent_ends_with_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// A request in the hands of authorize: what it sees, what it may do, what its mistakes cost.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "loop/loop.h"
#include "plugin/library.h"
#include "plugin/reactor.h"
#include "plugin/request.h"
#include "plugin/schema.h"

struct world {
    struct sld_loop *loop;
    struct sld_reactor *reactor;
    struct sld_plugin *plugin;
    struct sld_arena arena;
    struct sld_exchange x;
    int ref;
    bool done;
    enum sld_rc rc;
    char words[SLD_ERR_MAX];
};

static void load(struct world *w, const char *head, const char *body)
{
    struct sld_err err = {0};
    char text[4000];
    snprintf(text, sizeof(text), "local s = require 'solder.schema'\nlocal time = require 'solder.time'\n"
                                 "return {api = 1, name = 'try', %s authorize = function(conf, req)\n%s\nend}",
             head, body);
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("t"), sld_str_c(text));
    *w = (struct world){.loop = sld_loop_create("test")};
    w->reactor = sld_reactor_create(w->loop);
    if (sld_plugin_load(b, &sld_plugin_limits_default, &w->plugin, &err))
        fail_msg("%s", err.msg);
    SLD_UNREF(b);
    w->x = (struct sld_exchange){.arena = &w->arena,
                                 .method = SLD_STR("GET"),
                                 .path = SLD_STR("/a/b"),
                                 .query = SLD_STR("x=1&y=a%20b&x=2&e&z=%zz&p=a+b"),
                                 .host = SLD_STR("h.example"),
                                 .source = SLD_STR("10.0.0.1")};
    static const struct sld_pair headers[] = {{SLD_STR_INIT("accept"), SLD_STR_INIT("a")},
                                              {SLD_STR_INIT("cookie"), SLD_STR_INIT("c=1")},
                                              {SLD_STR_INIT("accept"), SLD_STR_INIT("b")},
                                              {SLD_STR_INIT("x-empty"), SLD_STR_INIT("")}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(headers); i++)
        SLD_PUSH(&w->arena, w->x.headers, w->x.header_count, headers[i]);
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct s = GOOGLE__PROTOBUF__STRUCT__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    v.struct_value = &s;
    if (sld_plugin_keep_conf(w->plugin, &v, &w->ref, &err))
        fail_msg("%s", err.msg);
}

static void on_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct world *w = user;
    w->done = true;
    w->rc = rc;
    snprintf(w->words, sizeof(w->words), "%s", rc ? err->msg : "");
    sld_loop_stop(w->loop);
}

static void unload(struct world *w)
{
    sld_plugin_drop_conf(w->plugin, w->ref);
    SLD_UNREF(w->plugin);
    sld_reactor_destroy(w->reactor);
    sld_loop_stop(w->loop);
    sld_loop_run(w->loop);
    sld_loop_destroy(w->loop);
    sld_arena_fini(&w->arena);
}

static void start(struct world *w, struct sld_authorize *c, bool undo)
{
    struct sld_err err = {0};
    *c = (struct sld_authorize){.x = &w->x, .ref = w->ref, .undo = undo, .deadline_ms = 1000, .done = on_done, .user = w};
    w->done = false;
    assert_int_equal(sld_plugin_authorize(w->plugin, w->reactor, c, &err), SLD_OK);
}

static enum sld_rc call(struct world *w)
{
    struct sld_authorize c;
    start(w, &c, false);
    assert_true(w->done);
    return w->rc;
}

static struct world run(const char *body)
{
    struct world w;
    load(&w, "", body);
    if (call(&w))
        fail_msg("%s", w.words);
    return w;
}

static void fails(const char *body, const char *want)
{
    struct world w;
    load(&w, "", body);
    assert_int_not_equal(call(&w), SLD_OK);
    if (!strstr(w.words, want))
        fail_msg("%s instead of %s", w.words, want);
    unload(&w);
}

// What the manual and editors are told of a request is there.
static void what_is_told_is_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < pl_handles.binding_count; i++) {
        char text[200];
        const struct pl_binding *b = &pl_handles.bindings[i];
        if (strcmp(b->of, "plugin.Request") != 0)
            continue;
        snprintf(text, sizeof(text), "assert(type(req.%s) == 'function') return true", b->name);
        struct world w = run(text);
        unload(&w);
    }
    for (size_t i = 0; i < pl_handles.class_count; i++) {
        const struct pl_class *c = &pl_handles.classes[i];
        for (size_t k = 0; strcmp(c->name, "plugin.Request") == 0 && k < c->field_count; k++) {
            char text[200];
            snprintf(text, sizeof(text), "local seen = req.%.*s return true", SLD_FMT(pl_bare(c->fields[k].name)));
            struct world w = run(text);
            unload(&w);
        }
    }
}

static void what_is_seen(void **state)
{
    (void)state;
    struct world w = run(
        "assert(req.method == 'GET' and req.path == '/a/b' and req.host == 'h.example' and req.source == '10.0.0.1')\n"
        "assert(req.sni == nil and req.peer == nil and req.body == nil and req.route == nil and req.id == nil)\n"
        "assert(req.headers.accept == 'a,b' and req.headers.ACCEPT == 'a,b' and req.headers.none == nil)\n"
        "assert(req.headers['x-empty'] == '')\n"
        "local all = {} for k, v in pairs(req.headers) do all[#all + 1] = k .. '=' .. v end\n"
        "assert(table.concat(all, ' ') == 'accept=a,b cookie=c=1 x-empty=')\n"
        "assert(req.query.x == '1' and req.query.y == 'a b' and req.query.e == '' and req.query.p == 'a b' and req.query.n == nil)\n"
        "assert(req.query.z == '%zz')\n"
        "local xs = req.query:all('x') assert(#xs == 2 and xs[2] == '2')\n"
        "assert(req.headers == req.headers)");
    assert_false(w.x.denied);
    assert_int_equal(w.x.edit_count, 0);
    unload(&w);
}

static const struct sld_edit *edit(const struct world *w, enum sld_edit_kind kind, const char *name)
{
    for (size_t i = 0; i < w->x.edit_count; i++) {
        if (w->x.edits[i].kind == kind && sld_str_eq(w->x.edits[i].name, sld_str_c(name)))
            return &w->x.edits[i];
    }
    fail_msg("no edit of %s", name);
    return NULL;
}

static void edits_are_seen_by_who_comes_after(void **state)
{
    (void)state;
    struct world w = run("req:set_header('X-New', '1') req:set_header('x-new', '2') req:add_header('accept', 'c')\n"
                         "req:remove_header('cookie') req:add_header('x-other', 'o')\n"
                         "assert(req.headers['x-new'] == '2' and req.headers.accept == 'a,b,c' and req.headers.cookie == nil)\n"
                         "req:set_query('x', '9') req:remove_query('y')\n"
                         "assert(req.query.x == '9' and #req.query:all('x') == 1 and req.query.y == nil)\n"
                         "req:add_response_header('set-cookie', 'a') req:add_response_header('set-cookie', 'b')\n"
                         "req:set_response_header('x-r', '1') req:set_response_header('x-r', '2')\n"
                         "req:set_metadata('k', {a = {1, 2}}) req:set_metadata('k', 7)");
    assert_true(sld_str_eq(edit(&w, SLD_EDIT_HEADER, "x-new")->value, SLD_STR("2")));
    assert_true(sld_str_eq(edit(&w, SLD_EDIT_HEADER, "accept")->value, SLD_STR("a,b,c")));
    assert_null(edit(&w, SLD_EDIT_HEADER, "cookie")->value.p);
    assert_true(sld_str_eq(edit(&w, SLD_EDIT_HEADER, "x-other")->value, SLD_STR("o")));
    assert_null(edit(&w, SLD_EDIT_QUERY, "y")->value.p);
    assert_true(sld_str_eq(edit(&w, SLD_EDIT_RESPONSE_SET, "x-r")->value, SLD_STR("2")));
    assert_int_equal(w.x.edit_count, 9); // two of them for set-cookie
    assert_int_equal(w.x.note_count, 1);
    assert_true(w.x.notes[0].value->number_value == 7 && sld_str_eq(w.x.notes[0].plugin, SLD_STR("try")));
    unload(&w);
}

static void decisions(void **state)
{
    (void)state;
    struct world w = run("return true");
    assert_false(w.x.denied);
    unload(&w);
    w = run("return false");
    assert_true(w.x.denied && w.x.status == 403);
    unload(&w);
    w = run("req:deny{status = 401, body = 'no', headers = {['X-A'] = '1', ['x-b'] = {'2', '3'}}} return true"); // it is sticky
    assert_true(w.x.denied && w.x.status == 401 && w.x.deny_header_count == 3 && sld_str_eq(w.x.deny_body, SLD_STR("no")));
    assert_true(sld_str_eq(w.x.deny_headers[0].name, SLD_STR("x-a")) && sld_str_eq(w.x.deny_headers[2].value, SLD_STR("3")));
    unload(&w);
    w = run("req:deny{status = 401} return req:deny{status = 500}"); // the first counts
    assert_true(w.x.denied && w.x.status == 401);
    unload(&w);
    load(&w, "", "req:deny() error('behind it')");
    assert_int_equal(call(&w), SLD_INVALID);
    assert_true(w.x.denied && w.x.status == 403);
    unload(&w);
    fails("return 1", "authorize must return true, false or nothing, not a number");
    fails("return 'yes'", "not a string");
}

static void mistakes(void **state)
{
    (void)state;
    fails("return req.pth", "plugin.lua:4: a request has no 'pth'");
    fails("req.path = '/'", "plugin.lua:4: a request is read-only");
    fails("req.headers.x = '1'", "a request is read-only");
    fails("req:set_header('a b', '1')", "plugin.lua:4: 'a b' is no name of a header");
    fails("req:set_header(':path', '1')", "is no name of a header");
    fails("req:set_header('', '1')", "is no name of a header");
    fails("req:set_header('Host', '1')", "the header host belongs to the connection");
    fails("req:remove_header('Content-Length')", "the header content-length belongs");
    fails("req:deny{headers = {['transfer-encoding'] = 'x'}}", "the header transfer-encoding belongs");
    fails("req:set_header('a', 'x\\r\\ny: z')", "a control character");
    fails("req:set_response_header('a', '\\0')", "a control character");
    fails("req:set_header('a', '\\xff')", "must be UTF-8");
    fails("req:set_header('a', ('x'):rep(20000))", "20000 bytes; at most 16384");
    fails("for i = 1, 300 do req:set_header('a' .. i, '') end", "more than 200 edits");
    fails("for i = 1, 300 do req:set_header('a', ('x'):rep(16000)) end", "more than 1024 KiB are made of one request");
    fails("req:set_metadata('a', print)", "cannot be a value here");
    fails("req:deny{status = 200}", "a whole number from 300 to 599");
    fails("req:deny{status = 403.5}", "a whole number from 300 to 599");
    fails("req:deny{stats = 403}", "deny has status, headers and body, not 'stats'");
    fails("req:deny{body = '\\xff'}", "'body' must be a string of UTF-8");
    fails("req:deny(1)", "table expected");
    fails("req.deny({})", "solder.request expected");
    fails("conf.x = 1", "'x' cannot be set: the table is read-only here");
    fails("while true do end", "more than 5000000 steps");
    fails("local t, x = {}, ('x'):rep(500000) while true do t[#t + 1] = x .. #t end", "not enough memory");
}

// Who catches the error, and tries again, makes no more of the request than that.
static void what_is_made_has_a_ceiling(void **state)
{
    (void)state;
    static const char *const tries[] = {"return req.headers[long]",
                                        "req:set_header(long, 'v')",
                                        "req:set_header('a', v)",
                                        "req:set_header('a' .. i, v)",
                                        "req:add_header('accept', v)",
                                        "req:set_response_header('a', v)",
                                        "req:set_query(long, 'v')",
                                        "req:set_query('a', v)",
                                        "req:remove_query(long)",
                                        "req:remove_query(v)",
                                        "req:set_metadata(long, true)",
                                        "req:set_metadata('a', many)",
                                        "req:set_metadata('a', deep)",
                                        "req:set_metadata('a', {[long] = 1})",
                                        "req:deny{headers = {a = v}}",
                                        "req:deny{headers = {a = {v, v, v}}}",
                                        "req:deny{body = long}"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(tries); i++) {
        struct world w;
        char body[600];
        snprintf(body, sizeof(body),
                 "local long, v, many, deep = ('X'):rep(200000), ('x'):rep(15000), {}, 1\n"
                 "for i = 1, 1000 do many[i] = long end for i = 1, 16 do deep = {deep, deep} end\n"
                 "for i = 1, 300 do pcall(function() %s end) end return true",
                 tries[i]);
        load(&w, "", body);
        enum sld_rc rc = call(&w); // SLD_LIMIT: the copies took all steps
        if (rc && rc != SLD_LIMIT)
            fail_msg("%s: %s", tries[i], w.words);
        if (w.arena.used_bytes - w.x.start_bytes > 2 * SLD_EXCHANGE_BYTES_MAX)
            fail_msg("%s: %u bytes", tries[i], w.arena.used_bytes - w.x.start_bytes);
        unload(&w);
    }
    fails("local v = ('x'):rep(16000) for i = 1, 4000 do pcall(req.set_query, req, 'a', v) end", "more than 5000000 steps");
    fails("req:set_header(('a'):rep(257), '1')", "is no name of a header");
    fails("req:set_query(('a'):rep(20000), '1')", "the name of a parameter has 20000 bytes; at most 16384");
    fails("local t = ('x'):rep(600000) req:set_metadata('a', {t, t})", "plugin.lua:4: a value is larger than there is room for here");
    fails("local t = ('x'):rep(600000) req:set_metadata('a', t) req:deny{body = t}", "more than 1024 KiB are made of one request");
    struct world w = run("req:set_header(('A'):rep(256), '1') assert(req.headers[('a'):rep(256)] == '1' and not req.headers[('A'):rep(257)])");
    unload(&w);
}

// A handle that was kept, by a coroutine that outlives its call, is of no use.
static void handles_end_with_their_call(void **state)
{
    (void)state;
    struct world w;
    load(&w, "", "local co = coroutine.wrap(function() coroutine.yield() return req.path end) co()\n"
                 "req:set_metadata('ok', true)");
    assert_int_equal(call(&w), SLD_OK);
    assert_int_equal(call(&w), SLD_OK); // another call, with handles of its own
    unload(&w);
}

static void waiting(void **state)
{
    (void)state;
    struct world w;
    struct sld_authorize c;
    load(&w, "", "req:set_header('x-a', '1') time.sleep('5ms') req:set_header('x-b', req.headers['x-a']) return req.path ~= '/a/b'");
    start(&w, &c, false);
    assert_false(w.done);
    sld_loop_run(w.loop);
    assert_true(w.done && w.rc == SLD_OK && w.x.denied);
    assert_int_equal(w.x.edit_count, 2);
    start(&w, &c, false); // ended by who asked
    assert_false(w.done);
    sld_plugin_authorize_cancel(&c);
    assert_false(w.done);
    unload(&w);
    load(&w, "", "time.sleep('60s')");
    start(&w, &c, false);
    sld_loop_run(w.loop);
    assert_true(w.done && w.rc == SLD_AGAIN && strstr(w.words, "longer than 1000 ms in all"));
    unload(&w);
}

static void what_failed_is_undone(void **state)
{
    (void)state;
    struct world w;
    struct sld_authorize c;
    load(&w, "", "req:set_header('accept', 'x') req:remove_header('cookie') req:set_query('x', '5') req:set_metadata('a', 1) error('no')");
    start(&w, &c, true);
    assert_true(w.done && w.rc == SLD_INVALID);
    assert_int_equal(w.x.edit_count + w.x.note_count, 0);
    assert_int_equal(w.x.header_count, 4);
    assert_true(sld_str_eq(w.x.headers[0].value, SLD_STR("a")) && sld_str_eq(w.x.headers[1].name, SLD_STR("cookie")));
    unload(&w);
}

static void configurations_are_checked(void **state)
{
    (void)state;
    struct world w;
    struct sld_err err = {0};
    int ref;
    load(&w, "needs = {'secrets'}, schema = s.record{n = s.integer{default = 3}, key = s.secret_ref{}},", "assert(conf.n == 3)");
    assert_int_equal(call(&w), SLD_OK);
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT, text = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct s = GOOGLE__PROTOBUF__STRUCT__INIT;
    Google__Protobuf__Struct__FieldsEntry e = GOOGLE__PROTOBUF__STRUCT__FIELDS_ENTRY__INIT, *list[] = {&e};
    char name[] = "n", value[] = "x";
    text.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    text.string_value = value;
    e.key = name;
    e.value = &text;
    s.fields = list;
    s.n_fields = 1;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    v.struct_value = &s;
    assert_int_equal(sld_plugin_keep_conf(w.plugin, &v, &ref, &err), SLD_INVALID);
    assert_non_null(strstr(err.msg, "its configuration: n: expected a whole number"));
    unload(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_seen),
        cmocka_unit_test(what_is_told_is_there),
        cmocka_unit_test(edits_are_seen_by_who_comes_after),
        cmocka_unit_test(decisions),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(what_is_made_has_a_ceiling),
        cmocka_unit_test(handles_end_with_their_call),
        cmocka_unit_test(waiting),
        cmocka_unit_test(what_failed_is_undone),
        cmocka_unit_test(configurations_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

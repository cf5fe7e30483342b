// Hooks that change requests and responses, in a world of their own: what they may do, and when.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "plugin/transform.h"
#include "plugin/world.h"

static struct {
    struct pl_world *world;
    struct sld_plugin *plugin;
    struct sld_arena arena;
    struct sld_exchange x, request;
    struct sld_transform t;
    bool done;
    unsigned waits;
    enum sld_rc rc;
    char words[SLD_ERR_MAX];
} w;

static void on_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    (void)user;
    w.done = true;
    w.rc = rc;
    snprintf(w.words, sizeof(w.words), "%s", rc ? err->msg : "");
}

static void on_waits(void *user)
{
    (void)user;
    w.waits++;
}

static void start(enum sld_hook hook, const char *more, const char *body, bool undo)
{
    char text[4000];
    struct sld_err err = {0};
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct s = GOOGLE__PROTOBUF__STRUCT__INIT;
    bool response = hook == SLD_HOOK_TRANSFORM_RESPONSE;
    memset(&w, 0, sizeof(w));
    snprintf(text, sizeof(text), "local time = require 'solder.time'\nreturn {api = 1, name = 'try', %s %s = function(conf, x)\n%s\nend}", more,
             sld_hook_name(hook), body);
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("t"), sld_str_c(text));
    if (sld_plugin_load(b, &sld_plugin_limits_default, &w.plugin, &err))
        fail_msg("%s", err.msg);
    SLD_UNREF(b);
    w.world = pl_world_create(0);
    w.request = (struct sld_exchange){.arena = &w.arena, .method = SLD_STR("GET"), .path = SLD_STR("/a")};
    w.x = (struct sld_exchange){.arena = &w.arena, .method = SLD_STR("GET"), .path = SLD_STR("/a"), .query = SLD_STR("q=1&&r=%32&s"),
                                .host = SLD_STR("h"), .code = response ? 200 : 0, .request = response ? &w.request : NULL};
    struct sld_pair h = {SLD_STR("x-a"), SLD_STR("1")};
    SLD_PUSH(&w.arena, w.x.headers, w.x.header_count, h);
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    v.struct_value = &s;
    int ref;
    if (sld_plugin_keep_conf(w.plugin, &v, &ref, &err))
        fail_msg("%s", err.msg);
    const struct sld_plugin_info *i = sld_plugin_info(w.plugin);
    w.t = (struct sld_transform){.hook = hook, .x = &w.x, .ref = ref, .undo = undo, .deadline_ms = 1000, .done = on_done, .waits = on_waits,
                                 .streamed = (response ? i->response_body : i->request_body).mode == SLD_BODY_STREAMED};
    assert_int_equal(sld_plugin_transform(w.plugin, pl_world_reactor(w.world), &w.t, &err), SLD_OK);
}

static void finish(void)
{
    if (!w.done)
        sld_plugin_transform_cancel(&w.t);
    sld_buf_fini(&w.t.written);
    SLD_UNREF(w.plugin);
    pl_world_destroy(w.world);
    sld_arena_fini(&w.arena);
}

static void fails(enum sld_hook hook, const char *more, const char *body, const char *want)
{
    start(hook, more, body, false);
    assert_true(w.done);
    assert_int_not_equal(w.rc, SLD_OK);
    if (!strstr(w.words, want))
        fail_msg("%s instead of %s", w.words, want);
    finish();
}

#define REQUEST SLD_HOOK_TRANSFORM_REQUEST
#define RESPONSE SLD_HOOK_TRANSFORM_RESPONSE

static void a_request_is_changed(void **state)
{
    (void)state;
    struct sld_buf b;
    start(REQUEST, "",
          "x:set_method('PUT') x:set_host('a.b:80') x:set_path('/c') x:set_query('s', 'a/b') x:set_query('n', '') x:remove_query('q')\n"
          "x:add_header('x-a', '2') assert(x.headers['x-a'] == '1,2' and x.method == 'PUT' and x.path == '/c' and x.body == nil)\n"
          "x:set_body('b') assert(x.body == 'b')", false);
    assert_int_equal(w.rc, SLD_OK);
    sld_buf_init(&b, 1000);
    sld_exchange_target(&w.x, &b);
    assert_true(sld_str_eq(sld_buf_str(&b), SLD_STR("/c?r=%32&s=a%2Fb&n=")));
    sld_buf_fini(&b);
    assert_int_equal(w.x.header_count, 2); // not joined
    assert_true(w.x.body_set && sld_str_eq(w.x.method, SLD_STR("PUT")) && sld_str_eq(w.x.host, SLD_STR("a.b:80")));
    finish();
    start(REQUEST, "", "return x:respond{status = 200, body = '\\0\\xff'}", false);
    assert_true(w.x.denied && w.x.status == 200 && w.x.deny_body.n == 2);
    finish();
}

static void what_cannot_be_is_an_error(void **state)
{
    (void)state;
    fails(REQUEST, "", "x:set_method('put')", "'put' cannot be a method");
    fails(REQUEST, "", "x:set_path('c')", "cannot be a path");
    fails(REQUEST, "", "x:set_path('/c?d')", "cannot be a path");
    fails(REQUEST, "", "x:set_path('/c\\n')", "cannot be a path");
    fails(REQUEST, "", "x:set_host('a b')", "cannot be a host");
    fails(REQUEST, "", "x:set_host('')", "cannot be a host");
    fails(REQUEST, "", "x:deny{}", "a request has no 'deny'");
    fails(REQUEST, "", "x:set_status(200)", "a request has no 'set_status'");
    fails(REQUEST, "", "x:chunks()", "request_body = {mode = \"streamed\"}");
    fails(REQUEST, "", "x:respond{status = 199}", "a whole number from 200 to 599");
    fails(REQUEST, "", "x:respond{body = {}}", "'body' must be a string");
    fails(REQUEST, "", "local s = ('x'):rep(1000000) for i = 1, 5 do x:set_body(s) end", "more than 4096 KiB of bodies are set");
    fails(RESPONSE, "", "x:set_status(600)", "status must be a whole number from 200 to 599");
    fails(RESPONSE, "", "x:set_method('PUT')", "a response has no 'set_method'");
    fails(RESPONSE, "", "return x.request.query", "the request of a response has no 'query'");
    fails(RESPONSE, "response_body = {mode = 'streamed'},", "return x.body", "the body is streamed: read it by :chunks()");
    fails(RESPONSE, "response_body = {mode = 'streamed'},", "x:write('x')", "write while the body's chunks are read");
    fails(RESPONSE, "response_body = {mode = 'streamed'},", "x:set_body('x') x:chunks()", "the body is gone");
    fails(RESPONSE, "response_body = {mode = 'streamed'},", "x:chunks() x:chunks()", "the body can be read once");
    fails(RESPONSE, "response_body = {mode = 'streamed'},", "x:chunks() x:set_header('a', 'b')", "the headers are sent already");
    fails(RESPONSE, "response_body = {mode = 'streamed'},", "x:chunks() x:respond{}", "the headers are sent already");
}

static void chunk(const char *s)
{
    assert_int_equal(w.t.wants, SLD_WANTS_CHUNK);
    sld_transform_chunk(&w.t, sld_str_c(s));
}

static void pieces_are_waited_for_with_patience(void **state)
{
    (void)state;
    start(RESPONSE, "response_body = {mode = 'streamed'},",
          "for c in x:chunks() do if c == 'b' then time.sleep('900ms') end x:write(c .. c) end x:write('.')", false);
    assert_true(w.t.sent && w.waits == 1);
    pl_world_pass(w.world, 5000); // no deadline
    assert_false(w.done);
    chunk("a");
    chunk("b");
    assert_int_equal(w.t.wants, SLD_WANTS_NOTHING);
    pl_world_pass(w.world, 900);
    assert_true(sld_str_eq(sld_buf_str(&w.t.written), SLD_STR("aabb")));
    chunk("b");
    pl_world_pass(w.world, 900); // a deadline for each
    sld_transform_chunk(&w.t, SLD_STR_NONE);
    assert_true(w.done && !w.rc && sld_str_eq(sld_buf_str(&w.t.written), SLD_STR("aabbbb.")));
    finish();
    start(RESPONSE, "response_body = {mode = 'streamed'},", "for c in x:chunks() do time.sleep('2s') end", false);
    chunk("a");
    pl_world_pass(w.world, 1000);
    assert_true(w.done && w.rc == SLD_AGAIN);
    finish();
    start(RESPONSE, "response_body = {mode = 'streamed'},", "for c in x:chunks() do end x:write('late')", false);
    w.t.closed = true;
    sld_transform_chunk(&w.t, SLD_STR_NONE);
    assert_non_null(strstr(w.words, "trailers came behind it"));
    finish();
}

static void trailers_are_waited_for(void **state)
{
    (void)state;
    struct sld_pair p = {SLD_STR("x-t"), SLD_STR("1")};
    start(RESPONSE, "", "local t = x.trailers for k, v in pairs(t) do x:set_trailer(k .. '2', v .. t.none) end", false);
    assert_int_equal(w.t.wants, SLD_WANTS_TRAILERS);
    SLD_PUSH(&w.arena, w.x.trailers, w.x.trailer_count, p);
    w.x.trailers_known = w.x.has_trailers = true;
    sld_transform_trailers(&w.t);
    assert_non_null(strstr(w.words, "attempt to concatenate a nil value"));
    finish();
    start(RESPONSE, "", "x:set_trailer('x-t', '2')", false);
    w.x.trailers_known = true;
    sld_transform_trailers(&w.t);
    assert_non_null(strstr(w.words, "the response has no trailers"));
    finish();
    start(REQUEST, "", "x:set_trailer('x-t', x.trailers['x-t'] .. x.method)", false);
    assert_int_equal(w.t.wants, SLD_WANTS_TRAILERS);
    p.value = SLD_STR("1");
    SLD_PUSH(&w.arena, w.x.trailers, w.x.trailer_count, p);
    w.x.trailers_known = w.x.has_trailers = true;
    sld_transform_trailers(&w.t);
    assert_true(w.x.edit_count == 1 && w.x.edits[0].kind == SLD_EDIT_TRAILER);
    assert_true(sld_str_starts(w.x.edits[0].value, SLD_STR("1")));
    finish();
    start(REQUEST, "", "x:set_trailer('x-t', '2')", false);
    w.x.trailers_known = true;
    sld_transform_trailers(&w.t);
    assert_non_null(strstr(w.words, "the request has no trailers"));
    finish();
}

static void what_failed_leaves_nothing_where_it_is_open(void **state)
{
    (void)state;
    start(REQUEST, "", "x:set_method('PUT') x:set_header('x-a', '2') x:add_header('x-b', '1') x:set_body('b') error('no')", true);
    assert_true(w.rc && sld_str_eq(w.x.method, SLD_STR("GET")) && !w.x.body_set && w.x.edit_count == 0 && w.x.header_count == 1);
    assert_true(sld_str_eq(w.x.headers[0].value, SLD_STR("1")));
    finish();
}

static void a_call_may_be_ended(void **state)
{
    (void)state;
    start(RESPONSE, "response_body = {mode = 'streamed'},",
          "local c <close> = setmetatable({}, {__close = function() x:write('late') end}) for c in x:chunks() do end", false);
    sld_plugin_transform_cancel(&w.t);
    assert_false(w.done);
    w.done = true;
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_changed),
        cmocka_unit_test(what_cannot_be_is_an_error),
        cmocka_unit_test(pieces_are_waited_for_with_patience),
        cmocka_unit_test(trailers_are_waited_for),
        cmocka_unit_test(what_failed_leaves_nothing_where_it_is_open),
        cmocka_unit_test(a_call_may_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

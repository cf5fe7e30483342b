// Records of requests: what goes into them and what does not, and what other versions of a plugin make of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop/loop.h"
#include "plugin/author.h"
#include "plugin/reactor.h"
#include "plugin/record.h"
#include "plugin/schema.h"

#define HEAD \
    "local s = require 'solder.schema'\nlocal time = require 'solder.time'\nlocal http = require 'solder.http'\n" \
    "return {api = 1, name = 'gate', needs = {'secrets', 'http'}, request_body = {mode = 'buffered'},\n" \
    "schema = s.record{who = s.string{default = 'nobody'}, key = s.secret_ref{}}, authorize = function(conf, req)\n"

static struct sld_plugin_bundle *bundle(const char *body)
{
    char text[4000];
    snprintf(text, sizeof(text), HEAD "%s\nend}", body);
    return sld_plugin_bundle_create(SLD_STR("gate"), SLD_STR("gate"), sld_str_c(text));
}

// ---- Recording ----

static Google__Protobuf__Value *text_value(struct sld_arena *a, const char *s)
{
    Google__Protobuf__Value *v = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v->string_value = sld_arena_cstr(a, sld_str_c(s));
    return v;
}

static void set(struct sld_arena *a, Google__Protobuf__Value *v, const char *key, Google__Protobuf__Value *to)
{
    Google__Protobuf__Struct__FieldsEntry *e =
        SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
    e->key = sld_arena_cstr(a, sld_str_c(key));
    e->value = to;
    SLD_PUSH(a, v->struct_value->fields, v->struct_value->n_fields, e);
}

static Google__Protobuf__Value *mapping(struct sld_arena *a)
{
    Google__Protobuf__Value *v = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    v->struct_value = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    return v;
}

struct over {
    bool done;
    enum sld_rc rc;
    struct sld_err err;
};

static void on_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct over *o = user;
    *o = (struct over){.done = true, .rc = rc};
    if (rc)
        o->err = *err;
}

// What is told of a request for PATH?QUERY with BODY, that the plugin of SCRIPT is asked about, into TEXT.
static void record(const char *script, const char *path, const char *query, const char *body, char *text, size_t max)
{
    static const struct sld_pair headers[] = {{SLD_STR_INIT("accept"), SLD_STR_INIT("a")},
                                              {SLD_STR_INIT("authorization"), SLD_STR_INIT("Bearer very-hidden")},
                                              {SLD_STR_INIT("cookie"), SLD_STR_INIT("sid=very-hidden")},
                                              {SLD_STR_INIT("x-api-key"), SLD_STR_INIT("very-hidden")},
                                              {SLD_STR_INIT("x-odd"), SLD_STR_INIT("a\xff\"b")}};
    struct sld_arena a = {0};
    struct sld_record r = {0};
    struct sld_err err = {0};
    struct over over = {0};
    struct sld_plugin *p;
    int ref;
    struct sld_exchange x = {.arena = &a,
                             .method = SLD_STR("GET"),
                             .path = sld_str_c(path),
                             .query = sld_str_c(query),
                             .host = SLD_STR("h.example"),
                             .source = SLD_STR("10.0.0.1"),
                             .body = sld_str_c(body)};
    struct sld_edit before = {SLD_EDIT_HEADER, SLD_STR("x-before"), SLD_STR("1")}; // of another plugin
    SLD_PUSH(&a, x.edits, x.edit_count, before);
    for (size_t i = 0; i < SLD_ARRAY_LEN(headers); i++)
        SLD_PUSH(&a, x.headers, x.header_count, headers[i]);
    Google__Protobuf__Value *conf = mapping(&a), *key = mapping(&a);
    set(&a, conf, "who", text_value(&a, "alice"));
    set(&a, key, "name", text_value(&a, "keys"));
    set(&a, key, SLD_CONF_SECRET_TEXT, text_value(&a, "very-hidden"));
    set(&a, conf, "key", key);
    struct sld_plugin_bundle *b = bundle(script);
    struct sld_loop *loop = sld_loop_create("test");
    struct sld_reactor *reactor = sld_reactor_create(loop);
    if (sld_plugin_load(b, &sld_plugin_limits_default, &p, &err) || sld_plugin_keep_conf(p, conf, &ref, &err))
        fail_msg("%s", err.msg);
    struct sld_authorize c = {.x = &x, .ref = ref, .deadline_ms = 1000, .done = on_done, .user = &over};
    sld_record_begin(&r, p, &x, conf, 1700000000000);
    assert_int_equal(sld_plugin_authorize(p, reactor, &c, &err), SLD_OK);
    assert_true(over.done);
    struct sld_str line = sld_record_end(&r, &x, over.rc, &over.err);
    snprintf(text, max, "%.*s", SLD_FMT(line));
    sld_record_fini(&r);
    SLD_UNREF(p);
    SLD_UNREF(b);
    sld_reactor_destroy(reactor);
    sld_loop_stop(loop);
    sld_loop_run(loop);
    sld_loop_destroy(loop);
    sld_arena_fini(&a);
}

static void has(const char *line, const char *words)
{
    if (!strstr(line, words))
        fail_msg("%s is not in %s", words, line);
}

static void what_is_told(void **state)
{
    (void)state;
    char line[20000], body[3000];
    memset(body, 'b', sizeof(body));
    body[2000] = 0;
    record("assert(req.body) assert(conf.key:value() == 'very-hidden') req:set_header('x-who', conf.who) req:remove_header('accept')\n"
           "req:set_header('x-session-id', 'very-hidden') req:set_query('q', '2') req:add_response_header('set-cookie', 'very-hidden')\n"
           "req:set_metadata('who', {a = 1}) return true",
           "/a", "q=1&access_token=very-hidden&e", body, line, sizeof(line));
    assert_null(strstr(line, "very-hidden"));
    has(line, "\"time\":1700000000000,\"plugin\":\"gate\"");
    has(line, "\"path\":\"/a?q=1&access_token=***&e\"");
    has(line, "[\"authorization\",\"***\"],[\"cookie\",\"***\"],[\"x-api-key\",\"***\"],[\"x-odd\",\"a?\\\"b\"]");
    has(line, "\"bodyBytes\":2000");
    body[1024] = 0;
    has(line, body);
    assert_null(strstr(strstr(line, body) + 1, body)); // and no byte more
    has(line, "\"conf\":{\"key\":{\"name\":\"keys\"},\"who\":\"alice\"}");
    has(line, "\"decision\":{\"result\":\"allow\",\"edits\":[\"set x-who: alice\",\"remove accept\",\"set x-session-id: ***\",\"set query q: 2\","
              "\"add response set-cookie: ***\"],\"metadata\":{\"who\":{\"a\":1}}}");
    record("return req:deny{status = 401, headers = {['www-authenticate'] = 'very-hidden', ['x-why'] = 'no'}, body = 'who?'}", "/", "", "", line,
           sizeof(line));
    has(line, "\"decision\":{\"result\":\"deny\",\"status\":401,\"headers\":[[\"www-authenticate\",\"***\"],[\"x-why\",\"no\"]],\"body\":\"who?\"}");
    record("error('not today')", "/", "", "", line, sizeof(line));
    has(line, "\"result\":\"error\",\"error\":\"plugin gate: plugin.lua:6: not today\"");
}

static void names_of_secrets(void **state)
{
    (void)state;
    static const char *const yes[] = {"authorization", "Proxy-Authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token", "access_token",
                                      "id_token", "client_secret", "PASSWORD", "x-amz-signature", "code", "x-csrf", "x-forwarded-client-cert"};
    static const char *const no[] = {"accept", "host", "x-request-id", "user-agent", "content-type", "q", "page", "x-forwarded-for"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(yes); i++)
        assert_true(sld_record_hides(sld_str_c(yes[i])));
    for (size_t i = 0; i < SLD_ARRAY_LEN(no); i++)
        assert_false(sld_record_hides(sld_str_c(no[i])));
}

// ---- Replaying ----

struct told {
    size_t count;
    char text[4][400]; // "line was -> is: differs (notes)"
};

static void on_result(void *user, const struct sld_replay_result *r)
{
    struct told *t = user;
    assert_true(t->count < 4);
    snprintf(t->text[t->count++], sizeof(t->text[0]), "%zu %.*s %.*s: %.*s -> %.*s: %.*s (%.*s)", r->line, SLD_FMT(r->method), SLD_FMT(r->path),
             SLD_FMT(r->was), SLD_FMT(r->is), SLD_FMT(r->differs), SLD_FMT(r->notes));
}

static enum sld_rc replay(const char *script, const char *records, struct told *t, struct sld_replay_run *run, struct sld_err *err)
{
    char dir[] = "/tmp/sld-replay-XXXXXX", path[80], text[4000];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/gate.lua", dir);
    FILE *f = fopen(path, "w");
    snprintf(text, sizeof(text), strncmp(script, "return {", 8) ? HEAD "%s\nend}" : "%s", script);
    fputs(text, f);
    fclose(f);
    *t = (struct told){0};
    *run = (struct sld_replay_run){.limits = &sld_plugin_limits_default, .on_result = on_result, .user = t};
    enum sld_rc rc = sld_plugin_replay(sld_str_c(path), sld_str_c(records), run, err);
    unlink(path);
    rmdir(dir);
    return rc;
}

#define POLICY \
    "if req.path == '/no' then return false end\n" \
    "if req.path == '/bad' then error('bad') end\n" \
    "req:set_header('x-who', conf.who) return true"

static void decisions_that_differ(void **state)
{
    (void)state;
    static char lines[60000];
    static const char *const paths[] = {"/yes", "/no", "/bad"};
    struct told t;
    struct sld_replay_run run;
    struct sld_err err = {0};
    lines[0] = 0;
    for (size_t i = 0; i < SLD_ARRAY_LEN(paths); i++) {
        char line[20000];
        record(POLICY, paths[i], "", "", line, sizeof(line));
        strcat(lines, line);
        strcat(lines, "\n"); // a line without anything
    }
    // The same text decides the same; so does one whose lines are elsewhere.
    assert_int_equal(replay(POLICY, lines, &t, &run, &err), SLD_OK);
    assert_int_equal(run.same, 3);
    assert_int_equal(run.differ, 0);
    assert_int_equal(replay("\n\n" POLICY, lines, &t, &run, &err), SLD_OK);
    assert_int_equal(run.differ, 0);
    // Others do not.
    assert_int_equal(replay("if req.path == '/yes' then return req:deny{status = 429} end\nreq:set_header('x-who', conf.who .. '!') return true", lines,
                            &t, &run, &err),
                     SLD_OK);
    assert_int_equal(run.same, 0);
    assert_int_equal(run.differ, 3);
    assert_string_equal(t.text[0], "1 GET /yes: allow -> deny 429: result, status, headers, body, edits (authorization is hidden, cookie is hidden, "
                                   "x-api-key is hidden)");
    has(t.text[1], "3 GET /no: deny 403 -> allow: result");
    has(t.text[2], "5 GET /bad: error -> allow: result, edits");
    assert_int_equal(replay("req:set_header('x-who', 'bob') return req.path ~= '/no'", lines, &t, &run, &err), SLD_OK);
    has(t.text[0], "1 GET /yes: allow -> allow: edits (");
}

static void the_world_of_a_replay(void **state)
{
    (void)state;
    char line[20000];
    struct told t;
    struct sld_replay_run run;
    struct sld_err err = {0};
    record("req:set_header('x-now', '1700000000000') return true", "/", "", "", line, sizeof(line));
    // It is then, secrets are ***, and nobody answers: which is told.
    assert_int_equal(replay("assert(conf.key:value() == '***') req:set_header('x-now', tostring(time.now() * 1000 // 1 | 0)) return true", line, &t, &run,
                            &err),
                     SLD_OK);
    assert_int_equal(run.differ, 0);
    assert_int_equal(replay("local a, why = http.request{url = 'http://a.example/'} if not a then return false end return true", line, &t, &run, &err),
                     SLD_OK);
    has(t.text[0], "allow -> deny 403");
    has(t.text[0], "asks others)");
    // What waits for ever ends at its deadline.
    assert_int_equal(replay("time.sleep('1h') return true", line, &t, &run, &err), SLD_OK);
    has(t.text[0], "allow -> error");
}

static void what_cannot_be_replayed(void **state)
{
    (void)state;
    char line[20000];
    struct told t;
    struct sld_replay_run run;
    struct sld_err err = {0};
    record("return true", "/", "", "", line, sizeof(line));
    assert_int_equal(replay("return true", "{\"a\":1}\n", &t, &run, &err), SLD_INVALID);
    has(err.msg, "line 1 is no record of solder plugin record");
    assert_int_equal(replay("return true", "\n{\n", &t, &run, &err), SLD_INVALID);
    has(err.msg, "line 2 cannot be read");
    assert_int_equal(replay("return {", line, &t, &run, &err), SLD_INVALID);
    assert_int_equal(replay("return {api = 1, name = 'gate', shape_route = function() end}", line, &t, &run, &err), SLD_INVALID);
    has(err.msg, "has no hook authorize that runs in Solder");
    char *name = strstr(line, "\"gate\"");
    memcpy(name, "\"gape\"", 6);
    assert_int_equal(replay("return true", line, &t, &run, &err), SLD_NOT_FOUND);
    assert_int_equal(run.others, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told),
        cmocka_unit_test(names_of_secrets),
        cmocka_unit_test(decisions_that_differ),
        cmocka_unit_test(the_world_of_a_replay),
        cmocka_unit_test(what_cannot_be_replayed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

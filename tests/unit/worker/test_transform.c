// A request and its response on their way through plugins, part by part, as Envoy tells of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "grpc_client.h"
#include "worker/inside.h"

#include "envoy/service/ext_proc/v3/external_processor.pb-c.h"

#define METHOD "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
#define STREAMED ENV__HTTP_EXT_PROC__PROCESSING_MODE__BODY_SEND_MODE__STREAMED
#define BUFFERED ENV__HTTP_EXT_PROC__PROCESSING_MODE__BODY_SEND_MODE__BUFFERED

typedef Env__ExtProc__ProcessingRequest question;
typedef Env__ExtProc__ProcessingResponse reply;

static struct {
    struct sld_loop *main;
    struct wk_loop *loop;
    char dir[40], address[60];
    struct sld_arena arena;
    struct client c;
} w;

static void add_plugin(const char *name, const char *script, bool open)
{
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(sld_str_c(name), sld_str_c(name), sld_str_c(script));
    struct sld_plugin *p;
    struct sld_err err = {0};
    if (sld_plugin_load(b, &sld_plugin_limits_default, &p, &err))
        fail_msg("%s", err.msg);
    SLD_UNREF(b);
    wk_loop_plugin(w.loop, sld_str_c(name), p, open);
}

static int setup(void **state)
{
    struct wk_loop_events ev = {0};
    struct sld_err err = {0};
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct s = GOOGLE__PROTOBUF__STRUCT__INIT;
    (void)state;
    snprintf(w.dir, sizeof(w.dir), "/tmp/sld-transform-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.address, sizeof(w.address), "unix:%s/s", w.dir);
    w.main = sld_loop_create("test");
    if (wk_loop_start(w.main, sld_str_c(w.address), NULL, &ev, &w.loop, &err))
        fail_msg("%s", err.msg);
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    v.struct_value = &s;
    struct sld_blob *b = sld_blob_create(sld_msg_encode(&w.arena, &v.base));
    wk_loop_conf(w.loop, SLD_STR("c"), b);
    SLD_UNREF(b);
    return 0;
}

static int teardown(void **state)
{
    char path[80];
    (void)state;
    wk_loop_stop(w.loop);
    sld_loop_destroy(w.main);
    wk_loop_free(w.loop);
    snprintf(path, sizeof(path), "%s/s.lock", w.dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/s", w.dir);
    unlink(path);
    assert_int_equal(rmdir(w.dir), 0);
    sld_arena_fini(&w.arena);
    return 0;
}

static void open_stream(const char *uses)
{
    client_open_with(&w.c, w.address, NULL, METHOD, "solder", uses);
}

static void send(question *q)
{
    client_send(&w.c, sld_msg_encode(&w.arena, &q->base));
}

static question *ask(void)
{
    return SLD_MSG(&w.arena, question, env__ext_proc__processing_request);
}

static void add_header(Env__Core__HeaderMap *m, const char *name, const char *value)
{
    Env__Core__HeaderValue *v = SLD_MSG(&w.arena, Env__Core__HeaderValue, env__core__header_value);
    v->key = SLD_MSG_STR(&w.arena, sld_str_c(name));
    v->raw_value = (ProtobufCBinaryData){strlen(value), (uint8_t *)sld_arena_cstr(&w.arena, sld_str_c(value))};
    SLD_PUSH(&w.arena, m->headers, m->n_headers, v);
}

static Env__ExtProc__HttpHeaders *headers(bool end)
{
    Env__ExtProc__HttpHeaders *h = SLD_MSG(&w.arena, Env__ExtProc__HttpHeaders, env__ext_proc__http_headers);
    h->headers = SLD_MSG(&w.arena, Env__Core__HeaderMap, env__core__header_map);
    h->end_of_stream = end;
    return h;
}

static void send_request(bool end, Env__HttpExtProc__ProcessingMode__BodySendMode up, Env__HttpExtProc__ProcessingMode__BodySendMode down)
{
    question *q = ask();
    q->request_case = ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_REQUEST_HEADERS;
    q->request_headers = headers(end);
    add_header(q->request_headers->headers, ":method", "GET");
    add_header(q->request_headers->headers, ":path", "/x?a=1");
    add_header(q->request_headers->headers, ":authority", "h");
    add_header(q->request_headers->headers, "x-n", "1");
    q->protocol_config = SLD_MSG(&w.arena, Env__ExtProc__ProtocolConfiguration, env__ext_proc__protocol_configuration);
    q->protocol_config->request_body_mode = up;
    q->protocol_config->response_body_mode = down;
    send(q);
}

static void send_response(bool end)
{
    question *q = ask();
    q->request_case = ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_RESPONSE_HEADERS;
    q->response_headers = headers(end);
    add_header(q->response_headers->headers, ":status", "200");
    send(q);
}

static void send_body(bool response, const char *text, bool end)
{
    question *q = ask();
    q->request_case =
        response ? ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_RESPONSE_BODY : ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_REQUEST_BODY;
    q->request_body = SLD_MSG(&w.arena, Env__ExtProc__HttpBody, env__ext_proc__http_body);
    q->request_body->body = (ProtobufCBinaryData){strlen(text), (uint8_t *)sld_arena_cstr(&w.arena, sld_str_c(text))};
    q->request_body->end_of_stream = end;
    send(q);
}

static void send_trailers(void)
{
    question *q = ask();
    q->request_case = ENV__EXT_PROC__PROCESSING_REQUEST__REQUEST_RESPONSE_TRAILERS;
    q->response_trailers = SLD_MSG(&w.arena, Env__ExtProc__HttpTrailers, env__ext_proc__http_trailers);
    q->response_trailers->trailers = SLD_MSG(&w.arena, Env__Core__HeaderMap, env__core__header_map);
    add_header(q->response_trailers->trailers, "x-sum", "7");
    send(q);
}

static const reply *hear(void)
{
    struct sld_err err = {0};
    struct sld_blob *b = client_recv(&w.c);
    assert_non_null(b);
    const reply *r = sld_msg_decode(&w.arena, &env__ext_proc__processing_response__descriptor, sld_arena_str(&w.arena, b->data), 32, &err);
    SLD_UNREF(b);
    if (!r)
        fail_msg("%s", err.msg);
    return r;
}

static void hear_body(bool response, const char *want)
{
    const reply *r = hear();
    assert_int_equal(r->response_case, response ? ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_RESPONSE_BODY
                                                : ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_REQUEST_BODY);
    const Env__ExtProc__BodyMutation *m = r->request_body->response->body_mutation;
    if (!want) {
        assert_null(m);
        return;
    }
    assert_non_null(m);
    struct sld_str got = m->mutation_case == ENV__EXT_PROC__BODY_MUTATION__MUTATION_BODY ? sld_str_n((const char *)m->body.data, m->body.len)
                                                                                        : SLD_STR("");
    if (!sld_str_eq(got, sld_str_c(want)))
        fail_msg("%.*s instead of %s", SLD_FMT(got), want);
}

// "name=value" of what is set, "-name" of what is removed; "+" in front of what is added to others.
static void expect_edits(const Env__ExtProc__HeaderMutation *m, const char *want)
{
    struct sld_buf b;
    sld_buf_init(&b, 10000);
    for (size_t i = 0; m && i < m->n_set_headers; i++) {
        const Env__Core__HeaderValueOption *o = m->set_headers[i];
        sld_buf_addf(&b, "%s%s=%.*s ", o->append && o->append->value ? "+" : "", o->header->key, (int)o->header->raw_value.len,
                     (const char *)o->header->raw_value.data);
    }
    for (size_t i = 0; m && i < m->n_remove_headers; i++)
        sld_buf_addf(&b, "-%s ", m->remove_headers[i]);
    sld_buf_addc(&b, 0);
    assert_string_equal(b.p, want);
    sld_buf_fini(&b);
}

static void hear_head(bool response, const char *want)
{
    const reply *r = hear();
    assert_int_equal(r->response_case, response ? ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_RESPONSE_HEADERS
                                                : ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_REQUEST_HEADERS);
    expect_edits(r->request_headers->response->header_mutation, want);
}

static void hear_answer(unsigned status, const char *body)
{
    const reply *r = hear();
    assert_int_equal(r->response_case, ENV__EXT_PROC__PROCESSING_RESPONSE__RESPONSE_IMMEDIATE_RESPONSE);
    assert_int_equal(r->immediate_response->status->code, status);
    assert_true(sld_str_eq(sld_str_n((const char *)r->immediate_response->body.data, r->immediate_response->body.len), sld_str_c(body)));
}

static void ends(grpc_status_code status)
{
    assert_null(client_recv(&w.c));
    assert_int_equal(client_status(&w.c), status);
    client_close(&w.c, true);
}

// ---- Tests ----

static void edits_and_what_comes_to_an_end(void **state)
{
    (void)state;
    add_plugin("one",
               "return {api = 1, name = 'one', transform_request = function(conf, req)\n"
               "req:add_header('x-n', '2') req:set_header('x-new', '') req:remove_header('x-gone') req:set_method('PUT')\n"
               "req:set_query('a', '2 3') req:set_metadata('k', true) end}",
               false);
    open_stream("one@c");
    send_request(false, 0, 0);
    const reply *r = hear();
    expect_edits(r->request_headers->response->header_mutation, "x-n=1 +x-n=2 x-new= :method=PUT :path=/x?a=2%203 -x-gone ");
    assert_string_equal(r->dynamic_metadata->fields[0]->key, "solder.one");
    ends(GRPC_STATUS_OK); // nobody has anything to do with the response
}

static void bodies_come_whole_and_pass_one_after_another(void **state)
{
    (void)state;
    add_plugin("aa", "return {api = 1, name = 'aa', request_body = {mode = 'buffered', max = 8}, response_body = {mode = 'streamed'},\n"
                     "transform_request = function(conf, req) if req.body == 'stop' then return req:respond{status = 200, body = 'a\\0'} end\n"
                     "req:set_body(req.body .. 'A') end,\n"
                     "transform_response = function(conf, res) for c in res:chunks() do res:write(c .. 'a') end end}",
               false);
    add_plugin("bb", "return {api = 1, name = 'bb', request_body = {mode = 'buffered', max = 8}, response_body = {mode = 'buffered'},\n"
                     "transform_request = function(conf, req) req:set_header('x-b', req.body) req:set_body(req.body .. 'B') end,\n"
                     "transform_response = function(conf, res) res:set_body(res.body .. 'b') end}",
               false);
    open_stream("aa@c,bb@c");
    send_request(false, BUFFERED, BUFFERED);
    hear_head(false, "");
    send_body(false, "x", true);
    const reply *r = hear();
    expect_edits(r->request_body->response->header_mutation, "x-b=xA content-length=3 ");
    assert_memory_equal(r->request_body->response->body_mutation->body.data, "xAB", 3);
    send_response(false);
    hear_head(true, "");
    send_body(true, "y", true);
    hear_body(true, "yba"); // in the opposite order
    client_half_close(&w.c);
    ends(GRPC_STATUS_OK);
    open_stream("aa@c,bb@c");
    send_request(false, BUFFERED, BUFFERED);
    hear_head(false, "");
    send_body(false, "123456789", true);
    hear_answer(413, "the body is too large\n");
    ends(GRPC_STATUS_OK);
    // A request without a body gets one.
    open_stream("aa@c");
    send_request(true, BUFFERED, BUFFERED);
    r = hear();
    assert_int_equal(r->request_headers->response->status, ENV__EXT_PROC__COMMON_RESPONSE__RESPONSE_STATUS__CONTINUE_AND_REPLACE);
    assert_memory_equal(r->request_headers->response->body_mutation->body.data, "A", 1);
    client_close(&w.c, false);
}

static void pieces_pass_through_all_at_once(void **state)
{
    (void)state;
    add_plugin("up", "return {api = 1, name = 'up', response_body = {mode = 'streamed'}, transform_response = function(conf, res)\n"
                     "res:set_header('x-up', '1') for c in res:chunks() do res:write(c:upper()) end res:write('!') end}",
               false);
    add_plugin("vv", "local time = require 'solder.time'\n"
                     "return {api = 1, name = 'vv', response_body = {mode = 'streamed'}, transform_response = function(conf, res)\n"
                     "for c in res:chunks() do time.sleep('1ms') res:write('<' .. c .. '>') if c == 'c' then break end end end}",
               false);
    open_stream("up@c,vv@c");
    send_request(true, 0, STREAMED);
    hear_head(false, "");
    send_response(false);
    hear_head(true, "x-up=1 ");
    send_body(true, "a", false);
    hear_body(true, "<A>");
    send_body(true, "b", false);
    send_body(true, "c", false);
    send_body(true, "d", false);
    hear_body(true, "");
    hear_body(true, "");
    hear_body(true, "<B><C>D"); // who ended sees no more of it
    send_body(true, "", true);
    hear_body(true, "!");
    client_close(&w.c, false);
}

static void trailers_are_waited_for(void **state)
{
    (void)state;
    add_plugin("tt", "return {api = 1, name = 'tt', transform_response = function(conf, res)\n"
                     "res:set_header('x-1', '1') res:set_trailer('x-t', (res.trailers and res.trailers['X-Sum'] or '?') .. '!')\n"
                     "assert(not pcall(res.set_header, res, 'x-2', '2')) end}",
               false);
    open_stream("tt@c");
    send_response(false);
    hear_head(true, "x-1=1 ");
    send_trailers();
    const reply *r = hear();
    expect_edits(r->response_trailers->header_mutation, "x-t=7! ");
    client_half_close(&w.c);
    ends(GRPC_STATUS_OK);
    open_stream("tt@c"); // none come
    send_response(false);
    hear_head(true, "x-1=1 ");
    client_half_close(&w.c);
    ends(GRPC_STATUS_OK);
}

static void who_fails_is_answered_or_left_out(void **state)
{
    (void)state;
    static const char script[] = "return {api = 1, name = '%s', response_body = {mode = 'streamed'},\n"
                                 "transform_request = function(conf, req) req:set_header('x-half', '1') error('no') end,\n"
                                 "transform_response = function(conf, res) for c in res:chunks() do res:write('w') if c == '2' then error('no') end end end}";
    char text[500];
    snprintf(text, sizeof(text), script, "shut");
    add_plugin("shut", text, false);
    snprintf(text, sizeof(text), script, "lax");
    add_plugin("lax", text, true);
    open_stream("shut@c");
    send_request(true, 0, STREAMED);
    hear_answer(503, "a plugin failed\n");
    ends(GRPC_STATUS_OK);
    open_stream("lax@c");
    send_request(true, 0, STREAMED);
    hear_head(false, "");
    send_response(false);
    hear_head(true, "");
    send_body(true, "1", false);
    hear_body(true, "w");
    send_body(true, "2", false);
    hear_body(true, "2"); // as it was
    send_body(true, "3", false);
    hear_body(true, NULL);
    client_close(&w.c, false);
    open_stream("shut@c");
    send_response(false); // the modes were not told, so there are no pieces: nobody looks at the body
    hear_answer(503, "a plugin failed\n");
    ends(GRPC_STATUS_OK);
}

static void an_error_behind_the_headers_cuts_off(void **state)
{
    (void)state;
    add_plugin("late", "return {api = 1, name = 'late', request_body = {mode = 'streamed'},\n"
                       "transform_request = function(conf, req) for c in req:chunks() do error('no') end end}",
               false);
    open_stream("late@c");
    send_request(false, STREAMED, 0);
    hear_head(false, "");
    send_body(false, "1", false);
    ends(GRPC_STATUS_INTERNAL);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    add_plugin("ok", "return {api = 1, name = 'ok', transform_response = function(conf, res) end}", false);
    open_stream("");
    ends(GRPC_STATUS_INVALID_ARGUMENT);
    open_stream("ok@c");
    send_body(false, "1", false);
    ends(GRPC_STATUS_INVALID_ARGUMENT);
    open_stream("ok@c");
    client_send(&w.c, SLD_STR("rubbish"));
    ends(GRPC_STATUS_INVALID_ARGUMENT);
    open_stream("ok@c");
    send_response(true);
    hear_head(true, "");
    send_response(true);
    ends(GRPC_STATUS_INVALID_ARGUMENT);
    open_stream("nobody@c");
    send_response(true);
    ends(GRPC_STATUS_FAILED_PRECONDITION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(edits_and_what_comes_to_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(bodies_come_whole_and_pass_one_after_another, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_pass_through_all_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(trailers_are_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(who_fails_is_answered_or_left_out, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_behind_the_headers_cuts_off, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_is_refused, setup, teardown),
    };
    grpc_init(); // the clients' own use of it
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    grpc_shutdown_blocking();
    return rc;
}

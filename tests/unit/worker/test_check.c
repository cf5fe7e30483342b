// Envoy's questions and the answers, as bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/inside.h"

#include "envoy/service/auth/v3/external_auth.pb-c.h"

static struct sld_arena arena;

static struct sld_str question(const char *uses, const char *path)
{
    struct sld_arena *a = &arena;
    Env__Auth__CheckRequest *q = SLD_MSG(a, Env__Auth__CheckRequest, env__auth__check_request);
    Env__Auth__AttributeContext *at = SLD_MSG(a, Env__Auth__AttributeContext, env__auth__attribute_context);
    Env__Auth__AttributeContext__HttpRequest *h = SLD_MSG(a, Env__Auth__AttributeContext__HttpRequest, env__auth__attribute_context__http_request);
    static const char *const headers[][2] = {{":path", "/x"}, {"x-request-id", "id-1"}, {"a", "1"}, {"b", "2"}, {"a", "3"}};
    q->attributes = at;
    at->request = SLD_MSG(a, Env__Auth__AttributeContext__Request, env__auth__attribute_context__request);
    at->request->http = h;
    h->method = SLD_MSG_STR(a, SLD_STR("PUT"));
    h->path = SLD_MSG_STR(a, sld_str_c(path));
    h->host = SLD_MSG_STR(a, SLD_STR("h"));
    h->raw_body = (ProtobufCBinaryData){2, (uint8_t *)sld_arena_cstr(a, SLD_STR("\xff!"))};
    h->header_map = SLD_MSG(a, Env__Core__HeaderMap, env__core__header_map);
    for (size_t i = 0; i < SLD_ARRAY_LEN(headers); i++) {
        Env__Core__HeaderValue *v = SLD_MSG(a, Env__Core__HeaderValue, env__core__header_value);
        v->key = SLD_MSG_STR(a, sld_str_c(headers[i][0]));
        v->raw_value = (ProtobufCBinaryData){strlen(headers[i][1]), (uint8_t *)sld_arena_cstr(a, sld_str_c(headers[i][1]))};
        SLD_PUSH(a, h->header_map->headers, h->header_map->n_headers, v);
    }
    at->tls_session = SLD_MSG(a, Env__Auth__AttributeContext__TLSSession, env__auth__attribute_context__tlssession);
    at->tls_session->sni = SLD_MSG_STR(a, SLD_STR("s.example"));
    Env__Auth__AttributeContext__ContextExtensionsEntry *e =
        SLD_MSG(a, Env__Auth__AttributeContext__ContextExtensionsEntry, env__auth__attribute_context__context_extensions_entry);
    e->key = SLD_MSG_STR(a, SLD_STR("solder"));
    e->value = SLD_MSG_STR(a, sld_str_c(uses));
    if (uses)
        SLD_PUSH(a, at->context_extensions, at->n_context_extensions, e);
    return sld_msg_encode(a, &q->base);
}

static enum sld_rc read_it(struct wk_check *c, struct sld_str bytes, struct sld_err *err)
{
    *c = (struct wk_check){.x = {.arena = &arena}};
    return wk_check_read(c, bytes, err);
}

static void a_question_is_read(void **state)
{
    (void)state;
    struct wk_check c;
    struct sld_err err = {0};
    assert_int_equal(read_it(&c, question("one@c1,two@c2", "/p?q=1?2"), &err), SLD_OK);
    assert_true(sld_str_eq(c.x.method, SLD_STR("PUT")) && sld_str_eq(c.x.path, SLD_STR("/p")) && sld_str_eq(c.x.query, SLD_STR("q=1?2")));
    assert_true(sld_str_eq(c.x.id, SLD_STR("id-1")) && sld_str_eq(c.x.sni, SLD_STR("s.example")));
    assert_true(sld_str_eq(c.body, SLD_STR("\xff!")) && !c.x.body.p && !c.x.peer && !c.x.route.p);
    assert_int_equal(c.x.header_count, 4); // no pseudo header
    assert_int_equal(c.use_count, 2);
    assert_true(sld_str_eq(c.uses[1].plugin, SLD_STR("two")) && sld_str_eq(c.uses[1].conf, SLD_STR("c2")));
    assert_int_equal(read_it(&c, question("one@c1", "/p"), &err), SLD_OK);
    assert_null(c.x.query.p);
    sld_arena_fini(&arena);
}

static void refused(struct sld_str bytes, const char *want)
{
    struct wk_check c;
    struct sld_err err = {0};
    assert_int_not_equal(read_it(&c, bytes, &err), SLD_OK);
    if (want && !strstr(err.msg, want))
        fail_msg("%s instead of %s", err.msg, want);
}

static void what_is_no_question_is_refused(void **state)
{
    (void)state;
    refused(SLD_STR(""), "about no HTTP request");
    refused(SLD_STR("\x0a\x05"), NULL);
    refused(SLD_STR("rubbish"), NULL);
    refused(question("", "/"), "for which plugins");
    refused(question("one", "/"), "cannot be read");
    refused(question("one@", "/"), "cannot be read");
    refused(question("@c", "/"), "cannot be read");
    refused(question("ONE@c", "/"), "cannot be read");
    refused(question("a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1,a@1", "/"), "more than 16 plugins");
    sld_arena_fini(&arena);
}

static const Env__Auth__CheckResponse *answer(struct wk_check *c)
{
    struct sld_err err = {0};
    const Env__Auth__CheckResponse *r =
        sld_msg_decode(&arena, &env__auth__check_response__descriptor, wk_check_answer(c), 32, &err);
    if (!r)
        fail_msg("%s", err.msg);
    return r;
}

static void answers(void **state)
{
    (void)state;
    struct wk_check c = {.x = {.arena = &arena}};
    const struct sld_edit edits[] = {{SLD_EDIT_HEADER, SLD_STR_INIT("a"), SLD_STR_INIT("1")},
                                     {SLD_EDIT_HEADER, SLD_STR_INIT("b"), {NULL, 0}},
                                     {SLD_EDIT_QUERY, SLD_STR_INIT("q"), SLD_STR_INIT("a b&c")},
                                     {SLD_EDIT_QUERY, SLD_STR_INIT("r"), {NULL, 0}},
                                     {SLD_EDIT_RESPONSE_SET, SLD_STR_INIT("s"), SLD_STR_INIT("1")},
                                     {SLD_EDIT_RESPONSE_ADD, SLD_STR_INIT("s"), SLD_STR_INIT("2")}};
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
    v.number_value = 7;
    struct sld_note notes[] = {{SLD_STR_INIT("p"), SLD_STR_INIT("x"), &v}, {SLD_STR_INIT("p"), SLD_STR_INIT("y"), &v}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(edits); i++)
        SLD_PUSH(&arena, c.x.edits, c.x.edit_count, edits[i]);
    c.x.notes = notes;
    c.x.note_count = 2;
    const Env__Auth__CheckResponse *r = answer(&c);
    assert_int_equal(r->status->code, 0);
    const Env__Auth__OkHttpResponse *ok = r->ok_response;
    assert_int_equal(ok->n_headers, 1);
    assert_int_equal(ok->headers[0]->append_action, ENV__CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD);
    assert_string_equal(ok->headers_to_remove[0], "b");
    assert_string_equal(ok->query_parameters_to_set[0]->value, "a%20b%26c");
    assert_string_equal(ok->query_parameters_to_remove[0], "r");
    assert_int_equal(ok->n_response_headers_to_add, 2);
    assert_int_equal(ok->response_headers_to_add[1]->append_action, ENV__CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD);
    assert_int_equal(r->dynamic_metadata->n_fields, 1);
    assert_int_equal(r->dynamic_metadata->fields[0]->value->struct_value->n_fields, 2);
    struct sld_pair deny[] = {{SLD_STR_INIT("h"), SLD_STR_INIT("1")}, {SLD_STR_INIT("h"), SLD_STR_INIT("2")}};
    c.x.denied = true;
    c.x.status = 401;
    c.x.deny_headers = deny;
    c.x.deny_header_count = 2;
    c.x.deny_body = SLD_STR("no");
    r = answer(&c);
    assert_int_equal(r->status->code, 7);
    assert_int_equal(r->denied_response->status->code, 401);
    assert_string_equal(r->denied_response->body, "no");
    assert_int_equal(r->denied_response->headers[1]->append_action, ENV__CORE__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__APPEND_IF_EXISTS_OR_ADD);
    sld_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_read),
        cmocka_unit_test(what_is_no_question_is_refused),
        cmocka_unit_test(answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

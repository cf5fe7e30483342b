// A loop of the worker and its callers: what becomes of questions that wait, and what the first thread hears meanwhile.
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

#include "envoy/service/auth/v3/external_auth.pb-c.h"

enum { CALLERS = 40, TRIES = 300, ROUNDS = 5 };

#define METHOD "/envoy.service.auth.v3.Authorization/Check"

struct world {
    struct sld_loop *main;
    struct wk_loop *loop;
    char dir[40], address[60];
    Solder__Worker__Stats told; // numbers alone
    uint64_t calls;             // of hooks that ended
    bool reported;
    uint64_t ponged;
    bool pong_first; // of the last ping and report
};

static void on_report(void *user, struct wk_loop *l, struct sld_arena_obj *report)
{
    struct world *w = user;
    const Solder__Worker__Stats *s = report->root;
    (void)l;
    w->told = *s;
    w->calls = 0;
    for (size_t i = 0; i < s->n_plugins; i++)
        w->calls += s->plugins[i]->n_calls ? s->plugins[i]->calls[0]->calls : 0;
    w->reported = true;
    SLD_UNREF(report);
    sld_loop_stop(w->main);
}

static void on_pong(void *user, struct wk_loop *l, uint64_t ping)
{
    struct world *w = user;
    (void)l;
    w->ponged = ping;
    w->pong_first = !w->reported;
    sld_loop_stop(w->main);
}

static void add_limited(const struct world *w, const char *name, const char *script, const struct sld_plugin_limits *l)
{
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(sld_str_c(name), sld_str_c(name), sld_str_c(script));
    struct sld_plugin *p;
    struct sld_err err = {0};
    if (sld_plugin_load(b, l, &p, &err))
        fail_msg("%s", err.msg);
    SLD_UNREF(b);
    wk_loop_plugin(w->loop, sld_str_c(name), p, false);
}

static void add_plugin(const struct world *w, const char *name, const char *script)
{
    add_limited(w, name, script, &sld_plugin_limits_default);
}

// Configuration ID is there from now on: an empty one.
static void add_conf(const struct world *w, const char *id)
{
    struct sld_arena a = {0};
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct s = GOOGLE__PROTOBUF__STRUCT__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    v.struct_value = &s;
    struct sld_blob *b = sld_blob_create(sld_msg_encode(&a, &v.base));
    wk_loop_conf(w->loop, sld_str_c(id), b);
    SLD_UNREF(b);
    sld_arena_fini(&a);
}

static void begin(struct world *w)
{
    struct wk_loop_events ev = {.on_pong = on_pong, .on_report = on_report, .user = w};
    struct sld_err err = {0};
    *w = (struct world){.dir = "/tmp/sld-serve-XXXXXX"};
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->address, sizeof(w->address), "unix:%s/s", w->dir);
    w->main = sld_loop_create("test");
    if (wk_loop_start(w->main, sld_str_c(w->address), NULL, &ev, &w->loop, &err))
        fail_msg("%s", err.msg);
}

static void finish(struct world *w)
{
    char path[80];
    wk_loop_stop(w->loop);
    sld_loop_destroy(w->main);
    wk_loop_free(w->loop);
    snprintf(path, sizeof(path), "%s/s.lock", w->dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/s", w->dir);
    unlink(path);
    assert_int_equal(rmdir(w->dir), 0);
}

// What the loop says of itself.
static void ask(struct world *w)
{
    w->reported = false;
    wk_loop_ask(w->loop);
    while (!w->reported)
        sld_loop_run(w->main);
}

static void question_of(struct client *c, const char *uses, bool body)
{
    struct sld_arena a = {0};
    Env__Auth__CheckRequest *q = SLD_MSG(&a, Env__Auth__CheckRequest, env__auth__check_request);
    Env__Auth__AttributeContext *at = SLD_MSG(&a, Env__Auth__AttributeContext, env__auth__attribute_context);
    q->attributes = at;
    at->request = SLD_MSG(&a, Env__Auth__AttributeContext__Request, env__auth__attribute_context__request);
    at->request->http = SLD_MSG(&a, Env__Auth__AttributeContext__HttpRequest, env__auth__attribute_context__http_request);
    at->request->http->method = SLD_MSG_STR(&a, SLD_STR("GET"));
    at->request->http->path = SLD_MSG_STR(&a, SLD_STR("/"));
    Env__Auth__AttributeContext__ContextExtensionsEntry *e =
        SLD_MSG(&a, Env__Auth__AttributeContext__ContextExtensionsEntry, env__auth__attribute_context__context_extensions_entry);
    e->key = SLD_MSG_STR(&a, SLD_STR("solder"));
    e->value = SLD_MSG_STR(&a, sld_str_c(uses));
    SLD_PUSH(&a, at->context_extensions, at->n_context_extensions, e);
    if (body) {
        e = SLD_MSG(&a, Env__Auth__AttributeContext__ContextExtensionsEntry, env__auth__attribute_context__context_extensions_entry);
        e->key = SLD_MSG_STR(&a, SLD_STR("body"));
        e->value = SLD_MSG_STR(&a, SLD_STR("shown"));
        SLD_PUSH(&a, at->context_extensions, at->n_context_extensions, e);
    }
    client_send(c, sld_msg_encode(&a, &q->base));
    sld_arena_fini(&a);
}

static void question(struct client *c, const char *uses)
{
    question_of(c, uses, false);
}

// CALLERS questions that wait for a configuration.
static void ask_all(struct world *w, struct client *c, const char *uses)
{
    ask(w);
    uint64_t before = w->told.checks;
    for (int i = 0; i < CALLERS; i++) {
        client_open(&c[i], w->address, NULL, METHOD);
        question(&c[i], uses);
    }
    while (w->told.checks < before + CALLERS)
        ask(w);
}

static void leave_all(struct world *w, struct client *c)
{
    for (int i = 0; i < CALLERS; i++)
        client_close(&c[i], false);
    while (w->told.in_flight)
        ask(w);
}

// While the end of the call is on its way what it waited for comes, and is nobody's.
static void a_second_question_ends_the_call(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    add_plugin(&w, "brief", "local time = require 'solder.time'\n"
                            "return {api = 1, name = 'brief', authorize = function(conf, req) time.sleep('1ms') return true end}");
    add_conf(&w, "there");
    unsigned refused = 0;
    for (int i = 0; i < TRIES; i++) {
        struct client c;
        char uses[40], id[20];
        bool late = i % 2;
        snprintf(id, sizeof(id), "late%d", i);
        snprintf(uses, sizeof(uses), "brief@%s", late ? id : "there");
        client_open(&c, w.address, NULL, METHOD);
        question(&c, uses);
        question(&c, uses);
        if (late)
            add_conf(&w, id);
        struct sld_blob *b = client_recv(&c);
        grpc_status_code status = client_status(&c);
        assert_true(b ? status == GRPC_STATUS_OK : status == GRPC_STATUS_INVALID_ARGUMENT);
        refused += !b;
        SLD_UNREF(b);
        client_close(&c, true);
    }
    assert_true(refused > 0);
    finish(&w);
}

// However many wait, the first thread is heard between them; and those that leave are not run.
static void questions_wait_for_their_turn(void **state)
{
    (void)state;
    struct world w;
    struct client c[CALLERS];
    begin(&w);
    add_plugin(&w, "slow", "return {api = 1, name = 'slow', authorize = function(conf, req) for i = 1, 1000000 do end return true end}");
    ask_all(&w, c, "slow@go");
    add_conf(&w, "go");
    ask(&w);
    assert_true(w.calls < CALLERS);
    leave_all(&w, c);
    assert_true(w.calls < CALLERS);
    finish(&w);
}

// Calls that are woken run one after another before anything else is heard; a ping is answered between them.
static void a_ping_is_answered_between_hooks(void **state)
{
    (void)state;
    struct world w;
    struct client c[CALLERS];
    begin(&w);
    add_plugin(&w, "woken", "local time = require 'solder.time'\n"
                            "return {api = 1, name = 'woken', authorize = function(conf, req) time.sleep('50ms')\n"
                            "for i = 1, 1000000 do end return true end}");
    // One that has nothing to do answers too.
    wk_loop_ping(w.loop, 100);
    while (w.ponged != 100)
        sld_loop_run(w.main);
    bool first = false;
    for (unsigned i = 1; i <= ROUNDS && !first; i++) { // in one of them the ping comes while they run
        char uses[40], id[20];
        snprintf(id, sizeof(id), "go%u", i);
        snprintf(uses, sizeof(uses), "woken@%s", id);
        ask_all(&w, c, uses);
        add_conf(&w, id);
        struct sld_blob *b = client_recv(&c[0]);
        assert_non_null(b);
        SLD_UNREF(b);
        w.reported = false;
        wk_loop_ask(w.loop);
        wk_loop_ping(w.loop, i);
        while (!w.reported || w.ponged != i)
            sld_loop_run(w.main);
        first = w.pong_first;
        leave_all(&w, c);
    }
    assert_true(first);
    finish(&w);
}

// What becomes of one question.
static grpc_status_code status_of(struct world *w, const char *uses, bool body)
{
    struct client c;
    client_open(&c, w->address, NULL, METHOD);
    question_of(&c, uses, body);
    struct sld_blob *b = client_recv(&c);
    SLD_UNREF(b);
    grpc_status_code status = client_status(&c);
    client_close(&c, true);
    return status;
}

// A new version that reads bodies is not asked about requests of routes that do not show them yet; they are refused.
static void bodies_that_are_not_shown(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    add_plugin(&w, "reader", "return {api = 1, name = 'reader', authorize = function(conf, req) assert(not req.body) return true end}");
    add_conf(&w, "go");
    assert_int_equal(status_of(&w, "reader@go", false), GRPC_STATUS_OK);
    add_plugin(&w, "reader", "return {api = 1, name = 'reader', request_body = {mode = 'buffered'},\n"
                             "authorize = function(conf, req) return req.body == nil or req.body == '' end}");
    assert_int_equal(status_of(&w, "reader@go", false), GRPC_STATUS_INTERNAL);
    assert_int_equal(status_of(&w, "reader@go", true), GRPC_STATUS_OK);
    finish(&w);
}

static void a_request_has_its_time(void **state)
{
    (void)state;
    struct world w;
    struct sld_plugin_limits l = sld_plugin_limits_default;
    begin(&w);
    add_conf(&w, "go");
    l.request_ms = 20;
    add_limited(&w, "slow", "local time = require 'solder.time'\n"
                            "return {api = 1, name = 'slow', authorize = function(conf, req) time.sleep('1s') return true end}", &l);
    assert_int_equal(status_of(&w, "slow@go", false), GRPC_STATUS_INTERNAL);
    finish(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_question_ends_the_call),
        cmocka_unit_test(questions_wait_for_their_turn),
        cmocka_unit_test(a_ping_is_answered_between_hooks),
        cmocka_unit_test(bodies_that_are_not_shown),
        cmocka_unit_test(a_request_has_its_time),
    };
    grpc_init(); // the clients' own use of it
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    grpc_shutdown_blocking();
    return rc;
}

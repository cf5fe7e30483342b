// Streams of access log entries and their plugins: what a hook gets, and what is dropped.
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

#include "envoy/service/accesslog/v3/als.pb-c.h"

#define METHOD "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"

static struct {
    struct sld_loop *main;
    struct wk_loop *loop;
    char dir[40], address[60];
    struct sld_arena arena;
    struct client c;
    Solder__Worker__Stats told; // numbers alone
    uint64_t calls, errors;
    bool reported;
} w;

static void on_report(void *user, struct wk_loop *l, struct sld_arena_obj *report)
{
    const Solder__Worker__Stats *s = report->root;
    (void)user, (void)l;
    w.told = *s;
    w.calls = w.errors = 0;
    for (size_t i = 0; i < s->n_plugins; i++) {
        w.calls += s->plugins[i]->n_calls ? s->plugins[i]->calls[0]->calls : 0;
        w.errors += s->plugins[i]->n_calls ? s->plugins[i]->calls[0]->errors : 0;
    }
    w.reported = true;
    SLD_UNREF(report);
    sld_loop_stop(w.main);
}

static void ask(void)
{
    w.reported = false;
    wk_loop_ask(w.loop);
    while (!w.reported)
        sld_loop_run(w.main);
}

static void add_plugin(const char *name, const char *script)
{
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(sld_str_c(name), sld_str_c(name), sld_str_c(script));
    struct sld_plugin *p;
    struct sld_err err = {0};
    if (sld_plugin_load(b, &sld_plugin_limits_default, &p, &err))
        fail_msg("%s", err.msg);
    SLD_UNREF(b);
    wk_loop_plugin(w.loop, sld_str_c(name), p, false);
}

static void add_conf(const char *id)
{
    Google__Protobuf__Value v = GOOGLE__PROTOBUF__VALUE__INIT;
    Google__Protobuf__Struct s = GOOGLE__PROTOBUF__STRUCT__INIT;
    v.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    v.struct_value = &s;
    struct sld_blob *b = sld_blob_create(sld_msg_encode(&w.arena, &v.base));
    wk_loop_conf(w.loop, sld_str_c(id), b);
    SLD_UNREF(b);
}

static int setup(void **state)
{
    struct wk_loop_events ev = {.on_report = on_report};
    struct sld_err err = {0};
    (void)state;
    snprintf(w.dir, sizeof(w.dir), "/tmp/sld-logs-XXXXXX");
    assert_non_null(mkdtemp(w.dir));
    snprintf(w.address, sizeof(w.address), "unix:%s/s", w.dir);
    w.main = sld_loop_create("test");
    if (wk_loop_start(w.main, sld_str_c(w.address), NULL, &ev, &w.loop, &err))
        fail_msg("%s", err.msg);
    client_open(&w.c, w.address, NULL, METHOD);
    return 0;
}

static int teardown(void **state)
{
    char path[80];
    (void)state;
    client_close(&w.c, false);
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

static Env__DataAccesslog__HTTPAccessLogEntry *an_entry(void)
{
    struct sld_arena *a = &w.arena;
    Env__DataAccesslog__HTTPAccessLogEntry *e = SLD_MSG(a, Env__DataAccesslog__HTTPAccessLogEntry, env__data_accesslog__httpaccess_log_entry);
    e->protocol_version = ENV__DATA_ACCESSLOG__HTTPACCESS_LOG_ENTRY__HTTPVERSION__HTTP11;
    e->request = SLD_MSG(a, Env__DataAccesslog__HTTPRequestProperties, env__data_accesslog__httprequest_properties);
    e->request->request_method = ENV__CORE__REQUEST_METHOD__PUT;
    e->request->path = SLD_MSG_STR(a, SLD_STR("/p?q"));
    e->request->request_body_bytes = 7;
    e->response = SLD_MSG(a, Env__DataAccesslog__HTTPResponseProperties, env__data_accesslog__httpresponse_properties);
    e->response->response_code = sld_msg_u32(a, 503);
    e->common_properties = SLD_MSG(a, Env__DataAccesslog__AccessLogCommon, env__data_accesslog__access_log_common);
    e->common_properties->duration = sld_msg_duration_ms(a, 1500);
    e->common_properties->response_flags = SLD_MSG(a, Env__DataAccesslog__ResponseFlags, env__data_accesslog__response_flags);
    e->common_properties->response_flags->no_healthy_upstream = true;
    return e;
}

static void send(const char *uses, size_t entries)
{
    struct sld_arena *a = &w.arena;
    Env__Accesslog__StreamAccessLogsMessage *m = SLD_MSG(a, Env__Accesslog__StreamAccessLogsMessage, env__accesslog__stream_access_logs_message);
    if (uses) {
        m->identifier = SLD_MSG(a, Env__Accesslog__StreamAccessLogsMessage__Identifier, env__accesslog__stream_access_logs_message__identifier);
        m->identifier->log_name = SLD_MSG_STR(a, sld_str_c(uses));
    }
    m->log_entries_case = ENV__ACCESSLOG__STREAM_ACCESS_LOGS_MESSAGE__LOG_ENTRIES_HTTP_LOGS;
    m->http_logs = SLD_MSG(a, Env__Accesslog__StreamAccessLogsMessage__HTTPAccessLogEntries,
                           env__accesslog__stream_access_logs_message__httpaccess_log_entries);
    for (size_t i = 0; i < entries; i++)
        SLD_PUSH(a, m->http_logs->log_entry, m->http_logs->n_log_entry, an_entry());
    client_send(&w.c, sld_msg_encode(a, &m->base));
}

static void until_logged(uint64_t n)
{
    do
        ask();
    while (w.told.logged < n);
}

static void until_calls(uint64_t n)
{
    while (w.calls < n)
        ask();
}

static void entries_are_tables(void **state)
{
    (void)state;
    add_plugin("one", "return {api = 1, name = 'one', log = function(conf, entries) local e = entries[2]\n"
                      "assert(#entries == 2 and e.method == 'PUT' and e.path == '/p?q' and e.status == 503 and e.duration == 1.5)\n"
                      "assert(e.flags[1] == 'no_healthy_upstream' and #e.flags == 1 and e.request_bytes == 7 and e.protocol == 'HTTP/1.1')\n"
                      "assert(e.upstream == nil and e.host == nil and next(e.request_headers) == nil and next(e.metadata) == nil) end}");
    add_conf("c");
    send("one@c", 2);
    until_logged(2);
    until_calls(1);
    assert_int_equal(w.errors, 0);
    assert_int_equal(w.told.log_dropped, 0);
}

// What is logged before its configuration comes waits for it a while.
static void a_hook_is_called_once_at_a_time(void **state)
{
    (void)state;
    add_plugin("slow", "local time, at_work = require 'solder.time', require('solder.counters')\n"
                       "return {api = 1, name = 'slow', log = function(conf, entries)\n"
                       "assert(at_work.add('n', 1) == 1) time.sleep('20ms') at_work.add('n', -1) end}");
    send("slow@c", 10);
    until_logged(10);
    assert_int_equal(w.calls, 0);
    add_conf("c");
    until_calls(1); // else all of them may be of one call
    for (int i = 0; i < 20; i++)
        send(NULL, 10);
    until_logged(210);
    until_calls(2);
    assert_int_equal(w.errors, 0);
    assert_int_equal(w.told.log_dropped, 0);
}

static void what_does_not_fit_is_dropped(void **state)
{
    (void)state;
    add_plugin("stuck", "local time = require 'solder.time'\nreturn {api = 1, name = 'stuck', log = function(conf, entries) time.sleep('20s') end}");
    add_conf("c");
    for (int i = 0; i < 20; i++)
        send(i ? NULL : "stuck@c", 900);
    until_logged(20 * 900);
    // One call has 900 at least, and the queue what fits of the rest.
    assert_true(w.told.log_dropped >= 18000 - 10000 - 1000 && w.told.log_dropped <= 18000 - 9000);
}

static void what_a_hook_failed_with_is_counted(void **state)
{
    (void)state;
    add_plugin("bad", "return {api = 1, name = 'bad', log = function(conf, entries) error('no') end}");
    add_plugin("good", "return {api = 1, name = 'good', log = function(conf, entries) assert(#entries == 3) end}");
    add_conf("c");
    send("bad@c,good@c", 3);
    until_calls(2);
    assert_int_equal(w.errors, 1);
    assert_int_equal(w.told.log_dropped, 3);
}

static void a_log_for_nobody_is_refused(void **state)
{
    (void)state;
    send("", 1);
    assert_null(client_recv(&w.c));
    assert_int_equal(client_status(&w.c), GRPC_STATUS_INVALID_ARGUMENT);
    client_close(&w.c, true);
    client_open(&w.c, w.address, NULL, METHOD);
    client_send(&w.c, SLD_STR("rubbish"));
    assert_null(client_recv(&w.c));
    assert_int_equal(client_status(&w.c), GRPC_STATUS_INVALID_ARGUMENT);
    client_close(&w.c, true);
    client_open(&w.c, w.address, NULL, METHOD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(entries_are_tables, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hook_is_called_once_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_hook_failed_with_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_log_for_nobody_is_refused, setup, teardown),
    };
    grpc_init(); // the clients' own use of it
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    grpc_shutdown_blocking();
    return rc;
}

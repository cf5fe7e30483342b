// Scripts in which all modules of the library have their names.
#pragma once

#include "plugin/backends.h"
#include "plugin/library.h"
#include "plugin/support.h"
#include "plugin/task.h"
#include "plugin/world.h"

// BODY on the second line, as a hook would run it.
static inline void lib_script(char *to, size_t n, const char *body)
{
    size_t at = 0;
    for (size_t i = 0; i < pl_library_count; i++)
        at += (size_t)snprintf(to + at, n - at, "local %s = require '%s' ", pl_module_word(pl_library[i]), pl_library[i]->name);
    snprintf(to + at, n - at, "return function()\n%s\nend", body);
}

// Runs BODY as shape_* would: its text result, or its error.
static inline enum sld_rc lib_run(struct try *t, const char *body)
{
    static char script[256 << 10];
    lib_script(script, sizeof(script), body);
    enum sld_rc rc = try_begin(t, &small, script);
    return rc ? rc : try_run(t);
}

static inline void expect_lib(const char *body, const char *result)
{
    struct try t;
    if (lib_run(&t, body))
        fail_msg("%s: %s", body, t.err.msg);
    if (strcmp(t.result, result) != 0)
        fail_msg("%s: %s instead of %s", body, t.result, result);
    try_end(&t);
}

// ---- In a call that may wait ----

struct lib_call {
    char result[4096];
    struct sld_err err;
    enum sld_rc rc;
    unsigned done;
};

static int lib_push(lua_State *L)
{
    pl_push_hook(L, SLD_HOOK_CHECK);
    return 0;
}

static int lib_take(lua_State *L)
{
    struct lib_call *c = lua_touserdata(L, 1);
    if (lua_gettop(L) < 2)
        lua_pushnil(L);
    pl_tostring(L, 2);
    snprintf(c->result, sizeof(c->result), "%s", lua_tostring(L, -1));
    return 0;
}

static inline void lib_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct lib_call *c = user;
    c->done++;
    c->rc = rc;
    if (rc)
        c->err = *err;
}

// Who answers in its world: everybody knows ada.
static inline void lib_http(void *user, const struct sld_http_call *call, struct sld_http_answer *out)
{
    static const struct sld_http_header index = {SLD_STR_INIT("X-Consul-Index"), SLD_STR_INIT("7")};
    struct sld_str body = SLD_STR("{\"name\": \"ada\"}");
    (void)user;
    if (sld_str_starts(call->url, SLD_STR("http://consul.test:8500/v1/kv/")))
        body = SLD_STR("[{\"Key\": \"app/limit\", \"Value\": \"MjA=\", \"Flags\": 0, \"ModifyIndex\": 7}]");
    else if (sld_str_starts(call->url, SLD_STR("http://consul.test:8500/v1/health/service/")))
        body = SLD_STR("[{\"Node\": {\"Node\": \"n\", \"Address\": \"10.0.0.1\", \"Datacenter\": \"a\"}, \"Service\": {\"ID\": \"w1\", "
                       "\"Address\": \"\", \"Port\": 8080, \"Tags\": [\"v2\"], \"Weights\": {\"Passing\": 3}}}]");
    else if (sld_str_starts(call->url, SLD_STR("http://vault.test:8200/v1/pki/")))
        body = SLD_STR("{\"data\": {\"serial_number\": \"7a\"}}");
    else if (sld_str_starts(call->url, SLD_STR("http://vault.test:8200/")))
        body = SLD_STR("{\"data\": {\"data\": {\"user\": \"ada\"}}}");
    else if (sld_str_ends(call->url, SLD_STR("/events")))
        body = SLD_STR("data: ada\n\n");
    *out = (struct sld_http_answer){.status = 200, .headers = &index, .header_count = 1, .body = body};
}

static inline void lib_dns(void *user, enum sld_dns_type type, struct sld_str name, struct sld_dns_answer *out)
{
    static const struct sld_str address = SLD_STR_INIT("192.0.2.1");
    (void)user, (void)type, (void)name;
    *out = (struct sld_dns_answer){.addresses = &address, .count = 1};
}

enum { LIB_NOW = 1796036400 }; // where its clock begins, 2026-11-30T11:00:00Z

// Runs BODY in PHASE, in time that passes as it waits, with all needs.
static inline void expect_call_in(enum pl_phase phase, const char *body, const char *result)
{
    static const struct sld_str granted = SLD_STR_INIT("/etc/users/");
    static char script[256 << 10], text[256 << 10];
    struct lib_call c = {0};
    struct sld_plugin *p = NULL;
    struct pl_task *t = NULL;
    lib_script(script, sizeof(script), body);
    char *at = strstr(script, "return function()");
    int head = (int)(at - script);
    snprintf(text, sizeof(text), "%.*sreturn {api = 1, name = 'try', "
        "needs = {'consul', 'dns', 'files', 'http', 'kv', 'vault'}, check = function()%s}", head, script,
        at + strlen("return function()"));
    struct sld_plugin_bundle *b = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("try"), sld_str_c(text));
    struct pl_world *w = pl_world_create((int64_t)LIB_NOW * 1000);
    struct sld_plugin_limits limits = small;
    limits.waiting = 1;
    limits.outbound = limits.outbound_a_minute = 3;
    pl_world_on_http(w, lib_http, NULL);
    pl_world_on_dns(w, lib_dns, NULL);
    pl_world_file(w, SLD_STR("/etc/users/ada"), SLD_STR("ada\n"));
    if (sld_plugin_load(b, &limits, &p, &c.err))
        fail_msg("%s: %s", body, c.err.msg);
    sld_plugin_grant_files(p, &granted, 1);
    struct sld_plugin_backends *backends = sld_plugin_backends_create();
    backends->consul.at.base = SLD_STR("http://consul.test:8500");
    backends->vault.at.base = SLD_STR("http://vault.test:8200");
    sld_plugin_backends_set(p, backends);
    SLD_UNREF(backends);
    struct pl_task_call call = {.hook = SLD_HOOK_CHECK, .phase = phase, .push = lib_push, .take = lib_take, .arg = &c, .done = lib_done, .user = &c};
    if (pl_task_start(p, pl_world_reactor(w), &call, &t, &c.err))
        fail_msg("%s: %s", body, c.err.msg);
    pl_world_pass(w, 1000000);
    if (c.done != 1 || c.rc)
        fail_msg("%s: %s", body, c.err.msg);
    if (strcmp(c.result, result) != 0)
        fail_msg("%s: %s instead of %s", body, c.result, result);
    SLD_UNREF(p);
    SLD_UNREF(b);
    pl_world_destroy(w);
}

static inline void expect_call(const char *body, const char *result)
{
    expect_call_in(PL_REQUEST, body, result);
}

// ---- What goes wrong ----

static inline void lib_expect_failure(const char *body, enum sld_rc want, const char *words)
{
    struct try t;
    enum sld_rc rc = lib_run(&t, body);
    if (rc != want || !strstr(t.err.msg, words))
        fail_msg("%s: %s (%s) instead of %s (%s)", body, sld_rc_name(rc), t.err.msg, sld_rc_name(want), words);
    try_end(&t);
}

static inline void expect_lib_error(const char *body, const char *words)
{
    lib_expect_failure(body, SLD_INVALID, words);
}

static inline void expect_lib_limit(const char *body, const char *words)
{
    lib_expect_failure(body, SLD_LIMIT, words);
}

// The call gives nil and words that have WORDS.
static inline void expect_not_right(const char *call, const char *words)
{
    struct try t;
    char body[64 << 10];
    snprintf(body, sizeof(body), "local v, w = %s assert(v == nil, 'it was accepted') return w", call);
    if (lib_run(&t, body))
        fail_msg("%s: %s", call, t.err.msg);
    if (!strstr(t.result, words))
        fail_msg("%s: %s instead of %s", call, t.result, words);
    try_end(&t);
}

// A state to try scripts in, as a plugin's hook sees it: variables of the script are frozen, then
// its function `run` is called.
#pragma once

#include <setjmp.h>
#include <stdio.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/inside.h"

static const struct sld_plugin_limits small = {
    .memory_bytes = 2U << 20,
    .load_steps = 2000000,
    .call_steps = 2000000,
    .load_ms = 60000,
    .call_ms = 60000,
    .string_bytes = 100000,
    .subject_bytes = 10000,
    .coroutines = 50,
    .log_lines = 5,
    .waiting = 20,
    .outbound = 3,
    .outbound_a_minute = 50,
    .request_ms = 1000,
};

struct try {
    struct pl_host *h;
    struct sld_err err;
    struct sld_plugin_bundle *b;
    char result[256]; // text of what `run` returned
};

static int try_load(lua_State *L)
{
    pl_compile(L, sld_plugin_bundle_file(pl_host_of(L)->bundle, SLD_STR("plugin.lua")), "@plugin.lua");
    lua_call(L, 0, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, "run");
    pl_freeze(L, 1);
    return 0;
}

static int try_call(lua_State *L)
{
    struct try *t = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "run");
    lua_call(L, 0, 1);
    pl_tostring(L, -1);
    snprintf(t->result, sizeof(t->result), "%.*s", SLD_FMT(pl_str(L, -1)));
    pl_freeze_check(L);
    return 0;
}

// SCRIPT returns the function to be run.
static inline enum sld_rc try_begin(struct try *t, const struct sld_plugin_limits *l, const char *script)
{
    *t = (struct try){.b = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("try"), sld_str_c(script))};
    assert_int_equal(pl_host_create(l, t->b, &t->h, &t->err), SLD_OK);
    return pl_run(t->h, PL_LOAD, try_load, t, &t->err);
}

static inline enum sld_rc try_run(struct try *t)
{
    t->result[0] = 0;
    t->err = (struct sld_err){0};
    return pl_run(t->h, PL_PURE, try_call, t, &t->err);
}

static inline void try_end(struct try *t)
{
    pl_host_destroy(t->h);
    SLD_UNREF(t->b);
}

// The text that the body of a function gives; an error fails the test.
static inline void expect_result(const char *body, const char *result)
{
    struct try t;
    char script[4096];
    snprintf(script, sizeof(script), "return function() %s end", body);
    enum sld_rc rc = try_begin(&t, &small, script);
    if (!rc)
        rc = try_run(&t);
    if (rc)
        fail_msg("%s: %s", body, t.err.msg);
    assert_string_equal(t.result, result);
    try_end(&t);
}

// The body fails with RC and words that contain WORDS, and the state goes on.
static inline void expect_failure(const char *before, const char *body, enum sld_rc want, const char *words)
{
    struct try t;
    char script[4096];
    snprintf(script, sizeof(script), "local calls = 0\n%s\nreturn function() %s end", before, body);
    enum sld_rc rc = try_begin(&t, &small, script);
    if (!rc)
        rc = try_run(&t);
    if (rc != want || !strstr(t.err.msg, words))
        fail_msg("%s: %s (%s) instead of %s (%s)", body, sld_rc_name(rc), t.err.msg, sld_rc_name(want), words);
    rc = try_run(&t);
    if (rc != want || !strstr(t.err.msg, words))
        fail_msg("%s, again: %s (%s)", body, sld_rc_name(rc), t.err.msg);
    assert_true(t.h->peak_bytes <= small.memory_bytes);
    try_end(&t);
}

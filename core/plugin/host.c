// A Lua state with ceilings. Three things watch: the allocator counts bytes, a hook counts
// instructions and looks at the clock, and what works in C pays in advance (pl_spend). A ceiling that
// was reached is remembered until the call ends, so that no pcall, coroutine or __close can go on.
#include "plugin/kit.h"
#include "plugin/task.h"

#include <stdio.h>

enum { HOOK_EVERY = 1000, BYTES_A_STEP = 64 };

const struct sld_plugin_limits sld_plugin_limits_default = {
    .memory_bytes = 32U << 20,
    .load_steps = 50000000,
    .call_steps = 5000000,
    .load_ms = 5000,
    .call_ms = 1000,
    .string_bytes = 1U << 20,
    .subject_bytes = 64U << 10,
    .coroutines = 100,
    .log_lines = 20,
    .waiting = 1000,
    .outbound = 50,
    .outbound_a_minute = 600,
    .request_ms = 4000,
    .publish_ms = 30000,
};

struct pl_host *pl_host_of(lua_State *L)
{
    struct pl_host *h;
    memcpy(&h, lua_getextraspace(L), sizeof(h));
    return h;
}

// ---- Memory ----

static void *allocate(void *ud, void *p, size_t before, size_t n)
{
    struct pl_host *h = ud;
    if (!p)
        before = 0; // then it is a type
    if (n == 0) {
        if (h->wipes && before)
            sld_wipe(p, before);
        sld_xfree(p);
        h->used_bytes -= before;
        return NULL;
    }
    if (n > before) {
        if (h->used_bytes + (n - before) > h->limits.memory_bytes)
            return NULL;
        h->steps -= (int64_t)((n - before) / BYTES_A_STEP);
    }
    if (h->wipes && before) { // what it was is not left behind
        void *moved = sld_xalloc(n);
        memcpy(moved, p, before < n ? before : n);
        sld_wipe(p, before);
        sld_xfree(p);
        p = moved;
    } else {
        p = sld_xrealloc(p, n);
    }
    h->used_bytes += n - before;
    if (h->used_bytes > h->peak_bytes)
        h->peak_bytes = h->used_bytes;
    return p;
}

// ---- Ceilings ----

static void say_breach(lua_State *L, enum pl_breach b)
{
    const struct pl_host *h = pl_host_of(L);
    bool load = h->phase == PL_LOAD;
    switch (b) {
    case PL_STEPS:
        lua_pushfstring(L, "more than %I steps; do less in one call, or raise the limit",
                        (lua_Integer)(load ? h->limits.load_steps : h->limits.call_steps));
        break;
    case PL_TIME:
        lua_pushfstring(L, "longer than %d ms", (int)(load ? h->limits.load_ms : h->limits.call_ms));
        break;
    case PL_MEMORY:
        lua_pushfstring(L, "not enough memory: the plugin may have %I KiB",
                        (lua_Integer)(h->limits.memory_bytes >> 10));
        break;
    default:
        lua_pushfstring(L, "more than %d coroutines made in one call", (int)h->limits.coroutines);
        break;
    }
}

_Noreturn void pl_breach(lua_State *L, enum pl_breach b)
{
    struct pl_host *h = pl_host_of(L);
    if (!h->breach)
        h->breach = b;
    // What runs while the stack unwinds (__close) is stopped at its first instruction.
    lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, 1);
    for (int level = 0; level < 3; level++) { // the nearest place in the script
        luaL_where(L, level);
        if (lua_rawlen(L, -1))
            break;
        lua_pop(L, level < 2 ? 1 : 0);
    }
    say_breach(L, h->breach);
    lua_concat(L, 2);
    lua_error(L);
    SLD_UNREACHABLE();
}

static void look(lua_State *L)
{
    struct pl_host *h = pl_host_of(L);
    if (h->breach)
        pl_breach(L, h->breach);
    if (h->steps < 0)
        pl_breach(L, PL_STEPS);
    if (sld_mono_ns() > h->deadline_ns)
        pl_breach(L, PL_TIME);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
    if (ar->event == LUA_HOOKLINE) {
        pl_cover_line(pl_host_of(L)->cover, L, ar);
        return;
    }
    pl_host_of(L)->steps -= HOOK_EVERY;
    luaL_checkstack(L, 8, NULL);
    look(L);
}

void pl_spend(lua_State *L, size_t steps)
{
    struct pl_host *h = pl_host_of(L);
    h->steps = steps > (size_t)INT64_MAX / 2 ? -1 : h->steps - (int64_t)steps;
    if (h->breach || h->steps < 0)
        look(L);
}

void pl_no_catch(lua_State *L)
{
    struct pl_host *h = pl_host_of(L);
    if (h->breach)
        pl_breach(L, h->breach);
}

// ---- Errors ----

_Noreturn void pl_error(lua_State *L, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    luaL_where(L, 1);
    lua_pushstring(L, text);
    lua_concat(L, 2);
    lua_error(L);
    SLD_UNREACHABLE();
}

struct sld_str pl_str(lua_State *L, int index)
{
    size_t n = 0;
    const char *p = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &n) : NULL;
    return sld_str_n(p, n);
}

void pl_push_str(lua_State *L, struct sld_str s)
{
    lua_pushlstring(L, s.p ? s.p : "", s.n);
}

void pl_string_fits(lua_State *L, size_t n)
{
    const struct pl_host *h = pl_host_of(L);
    if (n > h->limits.string_bytes)
        pl_error(L, "a string of %zu bytes; at most %zu are made here", n, h->limits.string_bytes);
}

// The message for people; the stack goes to the host.
static int on_error(lua_State *L)
{
    struct pl_host *h = pl_host_of(L);
    if (lua_type(L, 1) != LUA_TSTRING && lua_type(L, 1) != LUA_TNUMBER)
        lua_pushfstring(L, "(the error is a %s)", luaL_typename(L, 1));
    else
        lua_pushvalue(L, 1);
    luaL_traceback(L, L, NULL, 1);
    struct sld_str t = pl_str(L, -1);
    snprintf(h->trace, sizeof(h->trace), "%.*s", SLD_FMT(t));
    lua_pop(L, 1);
    return 1;
}

// ---- Calls ----

void pl_enter(struct pl_host *h, lua_State *L, enum pl_phase phase, uint64_t call)
{
    bool load = phase == PL_LOAD;
    SLD_PRE(!h->call); // one at a time
    h->phase = phase;
    h->breach = PL_NO_BREACH;
    h->coroutines = h->lines = 0;
    h->steps = (int64_t)(load ? h->limits.load_steps : h->limits.call_steps);
    h->deadline_ns = sld_mono_ns() + (uint64_t)(load ? h->limits.load_ms : h->limits.call_ms) * 1000000;
    h->call = call;
    h->trace[0] = 0;
    lua_sethook(L, on_count, LUA_MASKCOUNT | (h->cover ? LUA_MASKLINE : 0), HOOK_EVERY);
}

void pl_leave(struct pl_host *h, lua_State *L)
{
    lua_sethook(L, NULL, 0, 0);
    h->call = 0; // what was lent ends here
}

enum sld_rc pl_failed(struct pl_host *h, lua_State *L, int status, struct sld_err *err)
{
    if (status == LUA_ERRMEM && !h->breach)
        h->breach = PL_MEMORY;
    if (h->breach == PL_MEMORY)
        return sld_err_set(err, SLD_LIMIT, "not enough memory: the plugin may have %zu KiB",
                           h->limits.memory_bytes >> 10);
    struct sld_str s = pl_str(L, -1);
    if (status == LUA_ERRERR && !h->breach)
        s = SLD_STR("an error while an error was told");
    return sld_err_set(err, h->breach ? SLD_LIMIT : SLD_INVALID, "%.*s", SLD_FMT(s));
}

enum sld_rc pl_run(struct pl_host *h, enum pl_phase phase, lua_CFunction fn, void *arg, struct sld_err *err)
{
    lua_State *L = h->L;
    SLD_PRE(lua_gettop(L) == 0);
    pl_enter(h, L, phase, ++h->calls);
    lua_pushcfunction(L, on_error);
    lua_pushcfunction(L, fn);
    lua_pushlightuserdata(L, arg);
    int status = lua_pcall(L, 1, 0, 1);
    enum sld_rc rc = status == LUA_OK ? SLD_OK : pl_failed(h, L, status, err);
    lua_settop(L, 0);
    pl_leave(h, L);
    if (rc == SLD_LIMIT)
        lua_gc(L, LUA_GCCOLLECT);
    return rc;
}

// ---- Life ----

static int open(lua_State *L)
{
    pl_sandbox_open(L);
    return 0;
}

enum sld_rc pl_host_create(const struct sld_plugin_limits *limits, struct sld_plugin_bundle *bundle,
                           struct pl_host **out, struct sld_err *err)
{
    struct pl_host *h = SLD_NEW(struct pl_host);
    h->bundle = sld_obj_ref(bundle);
    h->limits = *limits;
    h->L = lua_newstate(allocate, h);
    enum sld_rc rc = SLD_LIMIT;
    if (h->L) {
        memcpy(lua_getextraspace(h->L), &h, sizeof(struct pl_host *));
        rc = pl_run(h, PL_LOAD, open, NULL, err);
    } else {
        sld_err_set(err, rc, "not enough memory: the plugin may have %zu KiB", limits->memory_bytes >> 10);
    }
    if (rc)
        pl_host_destroy(h);
    else
        *out = h;
    return rc;
}

void pl_host_destroy(struct pl_host *h)
{
    if (!h)
        return;
    pl_task_pool_free(h);
    if (h->L)
        lua_close(h->L);
    pl_streams_free(h);
    SLD_INV(h->used_bytes == 0);
    SLD_UNREF(h->bundle);
    SLD_UNREF(h->counters);
    SLD_UNREF(h->kv);
    SLD_UNREF(h->backends);
    sld_xfree(h);
}

// solder.time: the clock, and waiting for it.
#include "codec/text.h"
#include "plugin/library.h"
#include "plugin/task.h"

enum { SLEEP_MAX_S = 86400 };

bool pl_to_ms(lua_State *L, int index, double max_s, uint64_t *ms)
{
    double s = -1;
    if (lua_type(L, index) == LUA_TNUMBER) {
        s = lua_tonumber(L, index);
    } else {
        int64_t seconds;
        int32_t nanos;
        if (sld_duration_parse(pl_str(L, index), &seconds, &nanos))
            s = (double)seconds + nanos / 1e9;
    }
    if (!(s >= 0 && s <= max_s))
        return false;
    *ms = (uint64_t)(s * 1000);
    return true;
}

struct sleep {
    struct pl_task *task;
    struct sld_reactor *reactor;
    void *timer;
};

static void let_go(void *waiting)
{
    struct sleep *s = waiting;
    s->reactor->ops->timer_end(s->reactor->user, s->timer);
    sld_xfree(s);
}

static void over(void *arg)
{
    struct sleep *s = arg;
    struct pl_task *t = s->task;
    let_go(s);
    pl_wake(t, NULL, NULL);
}

static struct sleep *fall_asleep(lua_State *L, const char *what)
{
    uint64_t ms = 0;
    luaL_argcheck(L, pl_to_ms(L, 1, SLEEP_MAX_S, &ms), 1, "a time up to a day, in seconds or like \"1.5s\"");
    struct pl_task *t = pl_may_wait(L, what);
    struct sleep *s = SLD_NEW(struct sleep);
    s->task = t;
    s->reactor = pl_task_reactor(t);
    s->timer = s->reactor->ops->timer(s->reactor->user, ms, over, s);
    return s;
}

static int l_sleep(lua_State *L)
{
    return pl_wait(L, let_go, fall_asleep(L, "solder.time.sleep"));
}

enum { CALLED, SLEPT };

// Calls the function at 2, then sleeps for the time at 1, until it returns false.
static int go_on(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    if (context == SLEPT) {
        lua_settop(L, 2);
        lua_pushvalue(L, 2);
        lua_callk(L, 0, 1, CALLED, go_on);
    }
    if (lua_isboolean(L, 3) && !lua_toboolean(L, 3))
        return 0;
    return pl_wait_k(L, let_go, fall_asleep(L, "solder.time.every"), SLEPT, go_on);
}

static int l_every(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TFUNCTION);
    return go_on(L, LUA_OK, SLEPT);
}

int64_t pl_wall_ms(lua_State *L)
{
    const struct sld_reactor *r = pl_task_reactor(pl_host_of(L)->task);
    return r->ops->wall_ms(r->user);
}

uint64_t pl_mono_ms(lua_State *L)
{
    const struct sld_reactor *r = pl_task_reactor(pl_host_of(L)->task);
    return r->ops->mono_ms(r->user);
}

static int l_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)pl_wall_ms(L) / 1000);
    return 1;
}

static int l_monotonic(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)pl_mono_ms(L) / 1000);
    return 1;
}

static const struct pl_binding bindings[] = {
    {.name = "now", .fn = l_now, .phases = PL_IN_CALLS, .doc = "Now, as Unix seconds with their fraction.", .returns = {{"seconds", "number", ""}},
     .example = "assert(time.now() > 1700000000)"},
    {.name = "monotonic", .fn = l_monotonic, .phases = PL_IN_CALLS,
     .doc = "Seconds since some moment, which never go back: for what lasted how long.", .returns = {{"seconds", "number", ""}},
     .example = "local began = time.monotonic()\ntime.sleep(2)\nassert(time.monotonic() - began >= 2)"},
    {.name = "every", .fn = l_every, .phases = PL_IN_TASK,
     .doc = "Calls a function, waits, and so on, until it gives false. A function that raises ends it.",
     .params = {{"time", "number|string", "Between the end of one call and the next: seconds, or a text such as \"30s\"; at most a day."},
                {"fn", "fun(): false|nil", ""}},
     .example = "local n = 0\ntime.every(\"30s\", function()\n  n = n + 1\n  return n < 3\nend)\nassert(n == 3)"},
    {.name = "sleep", .fn = l_sleep, .phases = PL_IN_CALLS, .doc = "Waits; other calls go on meanwhile.",
     .params = {{"time", "number|string", "Seconds, or a text such as \"1.5s\"; at most a day."}},
     .example = "time.sleep(\"100ms\")"},
    {.name = "parse", .fn = pl_time_parse, .doc = "Unix seconds of a time of RFC 3339, or of one of the three forms of HTTP's headers.",
     .params = {{"text", "string", ""}}, .returns = {{"seconds?", "number", "nil: it is none."}, {"words?", "string", ""}},
     .example = "assert(time.parse(\"2026-11-30T12:00:00+01:00\") == 1796036400)\nassert(time.parse(\"Mon, 30 Nov 2026 11:00:00 GMT\") == 1796036400)"},
    {.name = "format", .fn = pl_time_format, .doc = "Seconds as RFC 3339 has it, in UTC.", .params = {{"seconds", "number", ""}},
     .returns = {{"text", "string", ""}}, .example = "assert(time.format(1796036400) == \"2026-11-30T11:00:00Z\")"},
    {.name = "http", .fn = pl_time_http, .doc = "Seconds as HTTP's headers have it: Expires, Last-Modified, cookies.", .params = {{"seconds", "number", ""}},
     .returns = {{"text", "string", ""}}, .example = "assert(time.http(1796036400) == \"Mon, 30 Nov 2026 11:00:00 GMT\")"},
    {.name = "duration", .fn = pl_time_duration, .doc = "Seconds of a duration, as configurations write it.", .params = {{"text", "string", ""}},
     .returns = {{"seconds?", "number", "nil: it is none."}, {"words?", "string", ""}},
     .example = "assert(time.duration(\"1h30m\") == 5400 and time.duration(\"250ms\") == 0.25)"},
};
const struct pl_module pl_time = {.name = "solder.time", .doc = "Points in time and durations; always seconds.", PL_BINDINGS(bindings)};

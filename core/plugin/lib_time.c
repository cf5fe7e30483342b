// solder.time: the clock, and waiting for it.
#include "codec/text.h"
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

static int l_now(lua_State *L)
{
    const struct sld_reactor *r = pl_task_reactor(pl_host_of(L)->task);
    lua_pushnumber(L, (lua_Number)r->ops->wall_ms(r->user) / 1000);
    return 1;
}

static int l_monotonic(lua_State *L)
{
    const struct sld_reactor *r = pl_task_reactor(pl_host_of(L)->task);
    lua_pushnumber(L, (lua_Number)r->ops->mono_ms(r->user) / 1000);
    return 1;
}

void pl_open_time(lua_State *L)
{
    static const struct pl_binding bindings[] = {
        {"every", l_every, PL_IN_TASK, PL_NO_NEED},
        {"monotonic", l_monotonic, PL_IN_REQUEST | PL_IN_TASK, PL_NO_NEED},
        {"now", l_now, PL_IN_REQUEST | PL_IN_TASK, PL_NO_NEED},
        {"sleep", l_sleep, PL_IN_REQUEST | PL_IN_TASK, PL_NO_NEED},
    };
    static const struct pl_module module = {"solder.time", bindings, SLD_ARRAY_LEN(bindings)};
    pl_open_module(L, &module);
}

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

static int l_sleep(lua_State *L)
{
    uint64_t ms = 0;
    luaL_argcheck(L, pl_to_ms(L, 1, SLEEP_MAX_S, &ms), 1, "a time up to a day, in seconds or like \"1.5s\"");
    struct pl_task *t = pl_may_wait(L, "solder.time.sleep");
    struct sleep *s = SLD_NEW(struct sleep);
    s->task = t;
    s->reactor = pl_task_reactor(t);
    s->timer = s->reactor->ops->timer(s->reactor->user, ms, over, s);
    return pl_wait(L, let_go, s);
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
        {"monotonic", l_monotonic, PL_IN_REQUEST | PL_IN_TASK, PL_NO_NEED},
        {"now", l_now, PL_IN_REQUEST | PL_IN_TASK, PL_NO_NEED},
        {"sleep", l_sleep, PL_IN_REQUEST | PL_IN_TASK, PL_NO_NEED},
    };
    static const struct pl_module module = {"solder.time", bindings, SLD_ARRAY_LEN(bindings)};
    pl_open_module(L, &module);
}

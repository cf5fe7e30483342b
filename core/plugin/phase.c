// Which function of solder.* may be called when: one table per module, one check for all of them.
#include "plugin/library.h"

#include <stdio.h>

static const char *const phase_words[PL_PHASE_COUNT] = {
    [PL_LOAD] = "while the plugin loads",
    [PL_PURE] = "in check and shape_*, whose results may depend on their arguments alone",
    [PL_REQUEST] = "in hooks of requests",
    [PL_TASK] = "in tasks",
};

// For "%s%s.%s": a function of a module, or a method of a class.
#define PL_SAYS(m, b) ((b)->of ? "solder." : ""), ((b)->of ? (b)->of : (m)->name), (b)->name

static _Noreturn void refuse(lua_State *L, const struct pl_module *m, const struct pl_binding *b)
{
    char where[256];
    int n = 0;
    where[0] = 0;
    for (int i = 0; i < PL_PHASE_COUNT; i++) {
        if (b->phases & (1U << i))
            n += snprintf(where + n, sizeof(where) - (size_t)n, "%s%s", n ? " and " : "", phase_words[i]);
    }
    pl_error(L, "%s%s.%s cannot be called %s; it can %s", PL_SAYS(m, b), phase_words[pl_host_of(L)->phase], where);
}

// Upvalues: the binding, the module.
static int call_binding(lua_State *L)
{
    const struct pl_binding *b = lua_touserdata(L, lua_upvalueindex(1));
    const struct pl_module *m = lua_touserdata(L, lua_upvalueindex(2));
    const struct pl_host *h = pl_host_of(L);
    if (b->phases && !(b->phases & (1U << h->phase)))
        refuse(L, m, b);
    if (b->need && !(h->needs & (1U << (b->need - 1))))
        pl_error(L, "%s%s.%s: add needs = {\"%s\"} to the plugin's table", PL_SAYS(m, b), sld_need_name((enum sld_need)(b->need - 1)));
    return b->fn(L);
}

static void push_const(lua_State *L, const void *p)
{
    lua_pushlightuserdata(L, (void *)(uintptr_t)p);
}

void pl_push_binding(lua_State *L, const struct pl_module *m, const struct pl_binding *b)
{
    if (!b->phases && !b->need) {
        lua_pushcfunction(L, b->fn);
        return;
    }
    push_const(L, b);
    push_const(L, m);
    lua_pushcclosure(L, call_binding, 2);
}

void pl_open_module(lua_State *L, const struct pl_module *m)
{
    lua_createtable(L, 0, (int)(m->binding_count + m->value_count));
    for (size_t i = 0; i < m->binding_count; i++) {
        if (m->bindings[i].of)
            continue;
        pl_push_binding(L, m, &m->bindings[i]);
        lua_setfield(L, -2, m->bindings[i].name);
    }
    if (m->constants)
        m->constants(L);
    lua_pushvalue(L, -1);
    pl_freeze(L, 1);
}

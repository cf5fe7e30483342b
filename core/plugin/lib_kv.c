// solder.kv: what a plugin keeps over its versions, and over restarts.
#include "plugin/kv.h"
#include "plugin/library.h"
#include "plugin/task.h"

enum { LIST_MAX = 1000 };
#define TTL_MAX_S (10.0 * 365 * 86400)

void sld_plugin_kv_share(struct sld_plugin *p, struct sld_plugin_kv *kv)
{
    struct pl_host *h = pl_host_of_plugin(p);
    struct sld_plugin_kv *own = sld_obj_ref(kv);
    SLD_UNREF(h->kv);
    h->kv = own;
}

// That of the state at work; one in memory where none is shared.
static struct sld_plugin_kv *kv_of(lua_State *L)
{
    struct pl_host *h = pl_host_of(L);
    if (!h->kv)
        h->kv = sld_plugin_kv_open(SLD_STR_NONE);
    pl_spend(L, 100);
    return h->kv;
}

static struct sld_str key_at_1(lua_State *L)
{
    struct sld_str key = pl_arg(L, 1);
    luaL_argcheck(L, key.n > 0 && key.n <= SLD_KV_KEY_MAX, 1, "a key of 1 to 256 bytes expected");
    return key;
}

// The time at INDEX from now, or 0.
static int64_t expires(lua_State *L, int index)
{
    uint64_t ms = 0;
    if (lua_isnoneornil(L, index))
        return 0;
    luaL_argcheck(L, pl_to_ms(L, index, TTL_MAX_S, &ms) && ms, index, "a time up to ten years, in seconds or like \"1h\"");
    return pl_wall_ms(L) + (int64_t)ms;
}

static int push_kept(lua_State *L, const struct sld_kv_value *v)
{
    switch (v->type) {
    case SLD_KV_STRING:
        pl_push_str(L, v->text);
        break;
    case SLD_KV_INTEGER:
        lua_pushinteger(L, v->integer);
        break;
    case SLD_KV_BOOLEAN:
        lua_pushboolean(L, v->integer != 0);
        break;
    default:
        lua_pushnumber(L, v->number);
    }
    return 1;
}

static int get(lua_State *L)
{
    struct sld_str key = key_at_1(L);
    struct sld_kv_value v;
    struct sld_arena *a = pl_arena(L);
    if (!sld_plugin_kv_get(kv_of(L), key, pl_wall_ms(L), a, &v)) {
        pl_arena_done(a);
        lua_pushnil(L); // not nothing at all: who gives it to a function passes an argument
        return 1;
    }
    pl_spend(L, v.text.n / 64);
    push_kept(L, &v);
    pl_arena_done(a);
    return 1;
}

static int set(lua_State *L)
{
    struct sld_str key = key_at_1(L);
    struct sld_kv_value v = {.type = SLD_KV_STRING};
    struct sld_err err = {0};
    switch (lua_type(L, 2)) {
    case LUA_TSTRING:
        v.text = pl_arg(L, 2);
        break;
    case LUA_TNUMBER:
        v.type = lua_isinteger(L, 2) ? SLD_KV_INTEGER : SLD_KV_NUMBER;
        v.integer = lua_isinteger(L, 2) ? lua_tointeger(L, 2) : 0;
        v.number = lua_tonumber(L, 2);
        break;
    case LUA_TBOOLEAN:
        v.type = SLD_KV_BOOLEAN;
        v.integer = lua_toboolean(L, 2);
        break;
    default:
        luaL_argerror(L, 2, "a string, a number or a boolean expected; write tables as JSON");
    }
    int64_t until = expires(L, 3);
    if (sld_plugin_kv_set(kv_of(L), key, &v, until, pl_wall_ms(L), &err))
        return pl_not_right(L, "%s", err.msg);
    lua_pushboolean(L, 1);
    return 1;
}

static int incr(lua_State *L)
{
    struct sld_str key = key_at_1(L);
    lua_Integer n = luaL_optinteger(L, 2, 1);
    int64_t until = expires(L, 3), sum = 0;
    struct sld_err err = {0};
    if (sld_plugin_kv_add(kv_of(L), key, n, until, pl_wall_ms(L), &sum, &err))
        return pl_not_right(L, "%s", err.msg);
    lua_pushinteger(L, sum);
    return 1;
}

static int delete(lua_State *L)
{
    struct sld_str key = key_at_1(L);
    struct sld_err err = {0};
    bool there = false;
    if (sld_plugin_kv_remove(kv_of(L), key, pl_wall_ms(L), &there, &err))
        return pl_not_right(L, "%s", err.msg);
    lua_pushboolean(L, there);
    return 1;
}

static int list(lua_State *L)
{
    struct sld_str prefix = lua_isnoneornil(L, 1) ? SLD_STR("") : pl_arg(L, 1);
    lua_Integer max = luaL_optinteger(L, 2, LIST_MAX);
    luaL_argcheck(L, max >= 1 && max <= LIST_MAX, 2, "a number of 1 to 1000 expected");
    struct sld_arena *a = pl_arena(L);
    size_t n;
    struct sld_str *keys = sld_plugin_kv_list(kv_of(L), prefix, (size_t)max, pl_wall_ms(L), a, &n);
    pl_spend(L, 10 * n);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        pl_push_str(L, keys[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    pl_mark_array(L, lua_gettop(L));
    pl_arena_done(a);
    return 1;
}

#define KEY {"key", "string", "1 to 256 bytes."}
#define TTL {"ttl?", "number|string", "How long it is kept: seconds, or a text such as \"1h\"; for ever by default."}
#define NEEDS .phases = PL_IN_CALLS, .need = PL_NEED(SLD_NEED_KV)
static const struct pl_binding bindings[] = {
    {.name = "delete", .fn = delete, NEEDS, .doc = "Forgets a key.", .params = {KEY},
     .returns = {{"there?", "boolean", "Whether there was one; nil: it cannot be written."}, {"words?", "string", ""}},
     .example = "kv.set(\"gone\", 1)\nassert(kv.delete(\"gone\") == true and kv.delete(\"gone\") == false)"},
    {.name = "get", .fn = get, NEEDS, .doc = "What is kept for a key.", .params = {KEY},
     .returns = {{"value?", "string|number|boolean", "nil: nothing, or it has ended."}}, .example = "assert(kv.get(\"never\") == nil)"},
    {.name = "incr", .fn = incr, NEEDS, .doc = "Adds to a whole number, at once for all threads; one that is not there begins at 0, and ends when `ttl` says.",
     .params = {KEY, {"n?", "integer", "1 by default; may be negative."}, TTL},
     .returns = {{"value?", "integer", "What it is now; nil: it is no whole number, or a ceiling."}, {"words?", "string", ""}},
     .example = "assert(kv.incr(\"seen\") == 1 and kv.incr(\"seen\", 2) == 3)"},
    {.name = "list", .fn = list, NEEDS, .doc = "The keys that begin with a text, sorted.",
     .params = {{"prefix?", "string", "All of them by default."}, {"max?", "integer", "At most so many: 1 to 1000, the default."}},
     .returns = {{"keys", "string[]", ""}}, .example = "kv.set(\"user/ada\", true)\nassert(kv.list(\"user/\")[1] == \"user/ada\")"},
    {.name = "set", .fn = set, NEEDS,
     .doc = "Keeps a value: at once for all threads, and over restarts. "
            "A value has at most 64 KiB, all keys and values 1 MiB, and there are at most 10000 keys.",
     .params = {KEY, {"value", "string|number|boolean", ""}, TTL},
     .returns = {{"ok?", "boolean", "nil: a ceiling, or it cannot be written; what was there stays."}, {"words?", "string", ""}},
     .example = "assert(kv.set(\"cursor\", \"a71f\"))\nassert(kv.get(\"cursor\") == \"a71f\")"},
};
const struct pl_module pl_kv = {.name = "solder.kv",
                                .doc = "What a plugin keeps, over its versions and restarts, the same for all threads. The plugin needs \"kv\".",
                                PL_BINDINGS(bindings)};

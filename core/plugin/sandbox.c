// The environment of plugins: made from nothing, by naming what goes in. Left out are io, os, debug,
// load in all its forms, collectgarbage and random numbers; what is in is read-only.
#include "plugin/library.h"
#include "plugin/load.h"
#include "plugin/task.h"

#include <stdio.h>

static const char env_key = 0;

// ---- Texts ----

void pl_tostring(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (luaL_callmeta(L, index, "__tostring")) {
        if (!lua_isstring(L, -1))
            pl_error(L, "'__tostring' must return a string");
        return;
    }
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
    case LUA_TSTRING:
    case LUA_TBOOLEAN:
    case LUA_TNIL:
        luaL_tolstring(L, index, NULL);
        break;
    default: // never an address
        lua_pushstring(L, luaL_typename(L, index));
    }
}

static int l_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    pl_tostring(L, 1);
    return 1;
}

static int l_print(lua_State *L)
{
    struct pl_host *h = pl_host_of(L);
    int n = lua_gettop(L);
    if (++h->lines > h->limits.log_lines)
        return 0;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1)
            luaL_addchar(&b, '\t');
        pl_tostring(L, i);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    SLD_LOG(SLD_INFO, "plugin", "print", SLD_KS("plugin", h->bundle->name),
            SLD_KS("text", sld_str_sub(pl_str(L, -1), 0, 4096)));
    return 0;
}

// ---- Catching errors ----

static int caught(lua_State *L, int status, lua_KContext extra)
{
    if (status != LUA_OK && status != LUA_YIELD) {
        if (status == LUA_ERRMEM)
            pl_breach(L, PL_MEMORY);
        pl_no_catch(L);
        lua_pushboolean(L, 0);
        lua_pushvalue(L, -2);
        return 2;
    }
    return lua_gettop(L) - (int)extra;
}

static int l_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    return caught(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, caught), 0);
}

// The handler of a script. Where a ceiling was reached it is not called: Lua calls handlers before the
// stack unwinds, in a hook with all hooks off, and nothing could end it. Upvalue: the function.
static int handle(lua_State *L)
{
    if (pl_host_of(L)->breach)
        return 1;
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int l_xpcall(lua_State *L)
{
    int n = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, handle, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2);
    return caught(L, lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, caught), 2);
}

static int l_create(lua_State *L)
{
    struct pl_host *h = pl_host_of(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (++h->coroutines > h->limits.coroutines)
        pl_breach(L, PL_COROUTINES);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

// Goes on with CO, with the N values on top; pushes how many it gives, or an error and -1.
static int resume(lua_State *L, lua_State *co, int n)
{
    int given;
    if (!lua_checkstack(co, n))
        pl_error(L, "too many arguments to resume");
    lua_xmove(L, co, n);
    int status = lua_resume(co, L, n, &given);
    if (status == LUA_ERRMEM)
        pl_breach(L, PL_MEMORY);
    pl_no_catch(L); // before CO is closed: after an error in a hook its own hooks are off
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return -1;
    }
    if (!lua_checkstack(L, given + 1))
        pl_error(L, "too many results to resume");
    lua_xmove(co, L, given);
    return given;
}

static int l_resume(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTHREAD);
    int n = resume(L, lua_tothread(L, 1), lua_gettop(L) - 1);
    lua_pushboolean(L, n >= 0);
    n = n < 0 ? 1 : n;
    lua_insert(L, -(n + 1));
    return n + 1;
}

// Upvalue: the coroutine.
static int wrapped(lua_State *L)
{
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = resume(L, co, lua_gettop(L));
    if (n >= 0)
        return n;
    int status = lua_status(co);
    if (status != LUA_OK && status != LUA_YIELD) { // it ended by the error, and may have to be closed
        lua_xmove(L, co, 1);
        lua_closethread(co, L);
        lua_xmove(co, L, 1);
    }
    pl_no_catch(L);
    return lua_error(L);
}

static int l_wrap(lua_State *L)
{
    l_create(L);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

// A call that may wait is a coroutine too, whose yields are not the script's.
static int l_yield(lua_State *L)
{
    if (pl_task_is(L))
        pl_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

static int l_isyieldable(lua_State *L)
{
    lua_pushboolean(L, lua_isyieldable(L) && !pl_task_is(L));
    return 1;
}

static int l_close(lua_State *L)
{
    int n = pl_host_of(L)->close(L);
    pl_no_catch(L);
    return n;
}

// ---- Tables and metatables ----

// Finalizers run whenever the collector likes, and nothing can stop one that does not end; what is in
// a weak table depends on the collector too.
static int l_setmetatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        pl_error(L, "cannot change a protected metatable");
    lua_settop(L, 2);
    if (lua_istable(L, 2)) {
        if (pl_thawed(L, 2))
            lua_replace(L, 2);
        static const char *const refused[] = {"__gc", "__mode"};
        for (size_t i = 0; i < SLD_ARRAY_LEN(refused); i++) {
            lua_pushstring(L, refused[i]);
            if (lua_rawget(L, 2) != LUA_TNIL)
                pl_error(L, "%s is not available in plugins", refused[i]);
            lua_pop(L, 1);
        }
    }
    lua_setmetatable(L, 1);
    return 1;
}

static int l_getmetatable(lua_State *L)
{
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return 1;
    if (!lua_getmetatable(L, 1))
        lua_pushnil(L);
    else
        pl_proxy_of(L);
    return 1;
}

static int l_rawget(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    if (pl_thawed(L, 1))
        lua_replace(L, 1);
    lua_rawget(L, 1);
    return 1;
}

static int l_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 3);
    lua_settop(L, 3);
    if (pl_thawed(L, 1))
        pl_error(L, "the table is read-only");
    lua_rawset(L, 1);
    return 1;
}

static int l_rawlen(lua_State *L)
{
    luaL_argexpected(L, lua_istable(L, 1) || lua_type(L, 1) == LUA_TSTRING, 1, "table or string");
    if (lua_istable(L, 1) && pl_thawed(L, 1))
        lua_replace(L, 1);
    lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
    return 1;
}

// ---- Walking ----

// Upvalues: the table, its keys, how many were passed.
static int walk_next(lua_State *L)
{
    for (;;) {
        lua_Integer i = lua_tointeger(L, lua_upvalueindex(3)) + 1;
        lua_pushinteger(L, i);
        lua_replace(L, lua_upvalueindex(3));
        lua_settop(L, 0);
        if (lua_rawgeti(L, lua_upvalueindex(2), i) == LUA_TNIL)
            return 1;
        lua_pushvalue(L, 1);
        if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) // else removed meanwhile
            return 2;
    }
}

// The same order everywhere, every time.
static int l_pairs(lua_State *L)
{
    luaL_checkany(L, 1);
    if (lua_istable(L, 1) && pl_thawed(L, 1)) {
        lua_replace(L, 1);
    } else if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_pushvalue(L, 1);
        lua_call(L, 1, 3);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_pushvalue(L, 1);
    pl_sorted_keys(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, walk_next, 3);
    return 1;
}

static int l_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 2);
    if (pl_thawed(L, 1))
        lua_replace(L, 1);
    pl_sorted_keys(L, 1);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 3), i = 0;
    for (; !lua_isnil(L, 2) && i < n; i++) {
        lua_rawgeti(L, 3, i + 1);
        bool same = lua_rawequal(L, -1, 2);
        lua_pop(L, 1);
        if (same)
            break;
    }
    if (!lua_isnil(L, 2) && i == n)
        pl_error(L, "invalid key to 'next'");
    i += lua_isnil(L, 2) ? 1 : 2;
    if (lua_rawgeti(L, 3, i) == LUA_TNIL)
        return 1;
    lua_pushvalue(L, -1);
    lua_rawget(L, 1);
    return 2;
}

static int l_select(lua_State *L)
{
    int n = lua_gettop(L);
    pl_spend(L, (size_t)n);
    if (lua_type(L, 1) == LUA_TSTRING && *lua_tostring(L, 1) == '#') {
        lua_pushinteger(L, n - 1);
        return 1;
    }
    lua_Integer i = luaL_checkinteger(L, 1);
    if (i < 0)
        i = n + i;
    else if (i > n)
        i = n;
    luaL_argcheck(L, 1 <= i, 1, "index out of range");
    return n - (int)i;
}

// ---- Files ----

void pl_compile(lua_State *L, struct sld_str text, const char *name)
{
    if (luaL_loadbufferx(L, text.p ? text.p : "", text.n, name, "t") != LUA_OK)
        lua_error(L);
    pl_sandbox_env(L);
    lua_setupvalue(L, -2, 1);
    pl_freeze_assigned(L);
}

// "a.b" is a/b.lua of the plugin, or a module of solder's.
static int l_require(lua_State *L)
{
    struct pl_host *h = pl_host_of(L);
    luaL_checkstring(L, 1);
    struct sld_str name = pl_str(L, 1);
    lua_settop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "modules");
    lua_pushvalue(L, 1);
    if (lua_rawget(L, 2) != LUA_TNIL) {
        if (lua_islightuserdata(L, -1))
            pl_error(L, "module '%.*s' requires itself", SLD_FMT(name));
        return 1;
    }
    const struct pl_module *m = h->in_envoy ? NULL : pl_library_find(name);
    if (m) {
        pl_require(L, m);
        return 1;
    }
    if (h->phase != PL_LOAD)
        pl_error(L, "module '%.*s' must be required while the plugin loads", SLD_FMT(name));
    char file[160];
    size_t n = 0;
    for (; n < name.n && n < 128; n++)
        file[n] = name.p[n] == '.' ? '/' : name.p[n];
    snprintf(file + n, sizeof(file) - n, ".lua");
    struct sld_str text = n == name.n ? sld_plugin_bundle_file(h->bundle, sld_str_c(file)) : SLD_STR_NONE;
    if (!text.p)
        pl_error(L, "there is no module '%.*s': neither %s in the plugin, nor one of solder.*",
                 SLD_FMT(name), file);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, h);
    lua_rawset(L, 2); // at work
    char chunk[170];
    snprintf(chunk, sizeof(chunk), "@%s", file);
    pl_compile(L, text, chunk);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_pushboolean(L, 1);
    }
    lua_pushvalue(L, 1);
    lua_pushvalue(L, -2);
    lua_rawset(L, 2);
    return 1;
}

// ---- The environment ----

// Names of the standard library NAME that go into the table on top.
static void take(lua_State *L, lua_CFunction open, const char *const *names)
{
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    for (; *names; names++) {
        lua_getfield(L, -1, *names);
        SLD_INV(!lua_isnil(L, -1));
        lua_setfield(L, -3, *names);
    }
    lua_pop(L, 1);
}

static void add_base(lua_State *L)
{
    static const luaL_Reg own[] = {
        {"getmetatable", l_getmetatable}, {"next", l_next},       {"pairs", l_pairs},
        {"pcall", l_pcall},               {"print", l_print},     {"rawget", l_rawget},
        {"rawlen", l_rawlen},             {"rawset", l_rawset},   {"require", l_require},
        {"select", l_select},             {"setmetatable", l_setmetatable},
        {"tostring", l_tostring},         {"xpcall", l_xpcall},   {NULL, NULL}};
    static const char *const plain[] = {"assert", "error", "ipairs", "rawequal", "tonumber", "type", NULL};
    luaL_setfuncs(L, own, 0);
    // The library fills the table of globals: the state has one that nobody else sees.
    take(L, luaopen_base, plain);
    lua_pushliteral(L, LUA_VERSION);
    lua_setfield(L, -2, "_VERSION");
}

static void add_coroutine(lua_State *L)
{
    static const luaL_Reg own[] = {{"close", l_close},   {"create", l_create}, {"isyieldable", l_isyieldable},
                                   {"resume", l_resume}, {"wrap", l_wrap},     {"yield", l_yield},
                                   {NULL, NULL}};
    static const char *const plain[] = {"running", "status", NULL};
    struct pl_host *h = pl_host_of(L);
    luaL_newlib(L, own);
    take(L, luaopen_coroutine, plain);
    luaopen_coroutine(L);
    lua_getfield(L, -1, "close");
    h->close = lua_tocfunction(L, -1);
    lua_pop(L, 2);
}

static void add_libraries(lua_State *L)
{
    static const char *const math[] = {"abs",  "ceil", "exp", "floor",     "fmod", "huge", "log", "max", "maxinteger",
                                       "min",  "mininteger", "modf", "pi", "sqrt", "tointeger", "type", "ult", NULL};
    static const char *const utf8[] = {"char", "charpattern", "codepoint", "codes", "len", "offset", NULL};
    add_coroutine(L);
    lua_setfield(L, -2, "coroutine");
    lua_newtable(L);
    take(L, luaopen_math, math);
    lua_setfield(L, -2, "math");
    lua_newtable(L);
    take(L, luaopen_utf8, utf8);
    lua_setfield(L, -2, "utf8");
    pl_open_table(L);
    lua_setfield(L, -2, "table");
    pl_open_string(L);
    lua_setfield(L, -2, "string");
}

// A name that nobody defined is a mistake, not nil.
static int no_global(lua_State *L)
{
    pl_tostring(L, 2);
    pl_error(L, "there is no global '%s' in plugins", lua_tostring(L, -1));
}

// Strings find their methods in our library, and nobody gets at their metatable.
static void lock_strings(lua_State *L)
{
    lua_pushliteral(L, "");
    int has = lua_getmetatable(L, -1);
    SLD_INV(has);
    lua_getfield(L, -3, "string");
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

void pl_sandbox_open(lua_State *L)
{
    lua_newtable(L);
    pl_open_schema(L);
    lua_pushvalue(L, -1);
    pl_freeze(L, 1);
    lua_setfield(L, -2, "solder.schema");
    lua_setfield(L, LUA_REGISTRYINDEX, "modules");
    lua_newtable(L); // the environment
    add_base(L);
    add_libraries(L);
    lua_pushvalue(L, -1);
    pl_freeze(L, 1);
    bool frozen = pl_thawed(L, -1);
    SLD_INV(frozen);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, no_global);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lock_strings(L);
    lua_pop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &env_key);
    lua_newtable(L); // what the standard libraries left among the globals is gone
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

void pl_sandbox_env(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &env_key);
}

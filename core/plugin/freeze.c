// Read-only tables in a language that has none: what a table holds moves into a shadow, which it
// reads through its new metatable. Functions, metatables and what they refer to are followed.
//
// Metatables in use keep their content where Lua looks for it: in the shadow, which takes the place of
// the frozen table as metatable (here, and in setmetatable). Scripts never see a shadow.
//
// Variables cannot be made read-only. Those that some function assigns, by their names in its code, are remembered, and looked at behind each call:
// no text becomes code later, so no other one changes.
#include "plugin/bytecode.h"

static const char shadow_key = 0, proxies_key = 0, variables_key = 0, assigned_key = 0;

bool pl_thawed(lua_State *L, int index)
{
    if (!lua_getmetatable(L, index))
        return false;
    int type = lua_rawgetp(L, -1, &shadow_key);
    lua_remove(L, -2);
    if (type == LUA_TTABLE)
        return true;
    lua_pop(L, 1);
    return false;
}

void pl_proxy_of(lua_State *L)
{
    int top = lua_gettop(L);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &proxies_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, -2);
    if (lua_rawget(L, -2) == LUA_TNIL)
        lua_pop(L, 2);
    else
        lua_replace(L, -3);
    lua_settop(L, top);
}

// ---- What a frozen table does ----

static int refuse(lua_State *L)
{
    pl_tostring(L, 2);
    pl_error(L, "'%s' cannot be set: the table is read-only here", lua_tostring(L, -1));
}

static int measure(lua_State *L)
{
    bool has = pl_thawed(L, 1);
    SLD_INV(has);
    lua_pushinteger(L, luaL_len(L, -1));
    return 1;
}

// For tables whose __index was a function: it gets the table, not the shadow. Upvalue: the function.
static int look_up(lua_State *L)
{
    bool has = pl_thawed(L, 1);
    SLD_INV(has);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL)
        return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 2);
    lua_call(L, 2, 1);
    return 1;
}

// ---- Finding ----

// The work: tables and functions found, numbered in order; SEEN[value] = true.
struct find {
    lua_State *L;
    int list, seen, variables, assigned; // stack places
    lua_Integer count, variable_count;
};

// Takes the value on top.
static void found(struct find *f)
{
    lua_State *L = f->L;
    int type = lua_type(L, -1);
    if (type == LUA_TTHREAD)
        pl_error(L, "a coroutine cannot be kept in a variable of the module");
    if (type != LUA_TTABLE && type != LUA_TFUNCTION) {
        lua_pop(L, 1);
        return;
    }
    lua_pushvalue(L, -1);
    bool known = lua_rawget(L, f->seen) != LUA_TNIL;
    lua_pop(L, 1);
    if (known || (type == LUA_TTABLE && pl_thawed(L, -1))) {
        lua_pop(L, known ? 1 : 2);
        return;
    }
    lua_pushvalue(L, -1);
    lua_pushboolean(L, 1);
    lua_rawset(L, f->seen);
    lua_rawseti(L, f->list, ++f->count);
}

// Whether some function assigns variables called NAME.
static bool is_assigned(const struct find *f, const char *name)
{
    lua_pushstring(f->L, name);
    bool is = lua_rawget(f->L, f->assigned) != LUA_TNIL;
    lua_pop(f->L, 1);
    return is;
}

// The function at FN: its variables that may be assigned are remembered, each once.
static void follow_function(struct find *f, int fn)
{
    lua_State *L = f->L;
    bool c = lua_iscfunction(L, fn);
    const char *name;
    for (int i = 1; (name = lua_getupvalue(L, fn, i)); i++) {
        if (!c && is_assigned(f, name)) {
            void *id = lua_upvalueid(L, fn, i);
            if (lua_rawgetp(L, f->seen, id) == LUA_TNIL) {
                lua_pushboolean(L, 1);
                lua_rawsetp(L, f->seen, id);
                lua_pushvalue(L, fn);
                lua_rawseti(L, f->variables, ++f->variable_count);
                lua_pushinteger(L, i);
                lua_rawseti(L, f->variables, ++f->variable_count);
                lua_pushvalue(L, -2);
                lua_rawseti(L, f->variables, ++f->variable_count);
            }
            lua_pop(L, 1);
        }
        found(f);
    }
}

static void follow_table(struct find *f, int t)
{
    lua_State *L = f->L;
    if (lua_getmetatable(L, t))
        found(f);
    for (lua_pushnil(L); lua_next(L, t);) {
        found(f);
        lua_pushvalue(L, -1);
        found(f);
    }
}

static void follow(struct find *f)
{
    for (lua_Integer i = 1; i <= f->count; i++) {
        int type = lua_rawgeti(f->L, f->list, i), at = lua_gettop(f->L);
        pl_spend(f->L, 10);
        luaL_checkstack(f->L, 12, NULL);
        if (type == LUA_TTABLE)
            follow_table(f, at);
        else
            follow_function(f, at);
        lua_settop(f->L, at - 1);
    }
}

// ---- Freezing ----

static void set_function(lua_State *L, int meta, const char *name, lua_CFunction fn)
{
    lua_pushcfunction(L, fn);
    lua_setfield(L, meta, name);
}

// The new metatable for the table at T whose content is in the shadow at SHADOW; pushes it.
static void make_meta(lua_State *L, int t, int shadow)
{
    lua_createtable(L, 0, 6);
    int meta = lua_gettop(L);
    bool had = lua_getmetatable(L, t), asks = false;
    if (had) {
        int old = lua_gettop(L);
        for (lua_pushnil(L); lua_next(L, old);) {
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, meta);
        }
        lua_pushliteral(L, "__index");
        asks = lua_rawget(L, old) == LUA_TFUNCTION;
        if (asks) {
            lua_pushcclosure(L, look_up, 1);
            lua_setfield(L, meta, "__index");
        }
        lua_settop(L, old);
    }
    if (!asks) {
        lua_pushvalue(L, shadow);
        lua_setfield(L, meta, "__index");
    }
    set_function(L, meta, "__newindex", refuse);
    set_function(L, meta, "__len", measure);
    lua_pushliteral(L, "__metatable");
    if (lua_rawget(L, meta) == LUA_TNIL) { // what getmetatable tells, and setmetatable goes by
        lua_settop(L, meta + had);
        if (had)
            pl_proxy_of(L);
        else
            lua_pushboolean(L, 0);
        lua_setfield(L, meta, "__metatable");
    }
    lua_settop(L, meta);
    lua_pushvalue(L, shadow);
    lua_rawsetp(L, meta, &shadow_key);
}

// Copies the table at T into a new shadow; METAS[t] = its metatable to be.
static void prepare(lua_State *L, int t, int metas, int proxies)
{
    lua_newtable(L);
    int shadow = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, t);) {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, shadow);
    }
    lua_pushvalue(L, t);
    make_meta(L, t, shadow);
    lua_rawset(L, metas);
    lua_pushvalue(L, shadow);
    lua_pushvalue(L, t);
    lua_rawset(L, proxies);
    lua_pop(L, 1);
}

// The shadow of the table at T goes on with T's old metatable, or the shadow of that.
static void inherit(lua_State *L, int t, int metas)
{
    if (!lua_getmetatable(L, t))
        return;
    int old = lua_gettop(L);
    lua_pushvalue(L, t);
    lua_rawget(L, metas);
    lua_rawgetp(L, -1, &shadow_key);
    lua_pushvalue(L, old);
    if (lua_rawget(L, metas) == LUA_TTABLE)
        lua_rawgetp(L, -1, &shadow_key);
    else if (!pl_thawed(L, old))
        lua_pushvalue(L, old);
    lua_setmetatable(L, old + 2);
    lua_settop(L, old - 1);
}

static void empty(lua_State *L, int t, int metas)
{
    lua_pushvalue(L, t);
    lua_rawget(L, metas);
    int meta = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, t);) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_pushnil(L);
        lua_rawset(L, t); // a field that is there may be cleared meanwhile
    }
    lua_settop(L, meta);
    lua_setmetatable(L, t);
}

static void freeze_all(struct find *f, int metas, int proxies)
{
    lua_State *L = f->L;
    for (int pass = 0; pass < 3; pass++) {
        for (lua_Integer i = 1; i <= f->count; i++) {
            int top = lua_gettop(L);
            if (lua_rawgeti(L, f->list, i) == LUA_TTABLE) {
                if (pass == 0)
                    prepare(L, top + 1, metas, proxies);
                else if (pass == 1)
                    inherit(L, top + 1, metas);
                else
                    empty(L, top + 1, metas);
            }
            lua_settop(L, top);
        }
    }
}

// The table of KEY in the registry, made when it is missing; pushes it.
static void registry_table(lua_State *L, const void *key)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, key) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

void pl_freeze_assigned(lua_State *L)
{
    luaL_checkstack(L, 20, NULL);
    int fn = lua_gettop(L);
    registry_table(L, &assigned_key);
    pl_assigned_names(L, fn, fn + 1);
    lua_settop(L, fn);
}

void pl_freeze(lua_State *L, int n)
{
    luaL_checkstack(L, 20, NULL);
    int first = lua_gettop(L) - n + 1;
    struct find f = {.L = L};
    lua_newtable(L);
    f.list = lua_gettop(L);
    lua_newtable(L);
    f.seen = lua_gettop(L);
    registry_table(L, &variables_key);
    f.variables = lua_gettop(L);
    f.variable_count = (lua_Integer)lua_rawlen(L, f.variables);
    registry_table(L, &assigned_key);
    f.assigned = lua_gettop(L);
    for (int i = 0; i < n; i++) {
        lua_pushvalue(L, first + i);
        found(&f);
    }
    follow(&f);
    pl_host_of(L)->variables = (size_t)f.variable_count;
    lua_newtable(L);
    int metas = lua_gettop(L);
    registry_table(L, &proxies_key);
    if (!lua_getmetatable(L, metas + 1)) { // it keeps nothing alive
        lua_createtable(L, 0, 1);
        lua_pushliteral(L, "k");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, metas + 1);
    }
    freeze_all(&f, metas, metas + 1);
    lua_settop(L, first - 1);
}

void pl_freeze_check(lua_State *L)
{
    int top = lua_gettop(L);
    if (!pl_host_of(L)->variables)
        return;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &variables_key) != LUA_TTABLE) {
        lua_settop(L, top);
        return;
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    const char *assigned = NULL;
    for (lua_Integer i = 1; i <= n; i += 3) {
        lua_rawgeti(L, top + 1, i);
        lua_rawgeti(L, top + 1, i + 1);
        int variable = (int)lua_tointeger(L, -1);
        const char *name = lua_getupvalue(L, top + 2, variable);
        lua_rawgeti(L, top + 1, i + 2);
        if (!lua_rawequal(L, -1, -2)) {
            assigned = name && name[0] ? name : "?";
            lua_setupvalue(L, top + 2, variable);
        }
        lua_settop(L, top + 1);
    }
    lua_settop(L, top);
    if (assigned)
        pl_error(L, "the variable '%s' outlives the call, so it cannot be assigned here: the result "
                    "would depend on earlier calls", assigned);
}

// The table library and the order of keys. The standard functions work in C, where no instruction is
// counted: each call pays for its length first.
#include "plugin/inside.h"

#include <stdlib.h>

enum { T_CONCAT, T_INSERT, T_MOVE, T_PACK, T_REMOVE, T_SORT, T_UNPACK, T_COUNT };
static const char *const names[T_COUNT] = {"concat", "insert", "move", "pack", "remove", "sort", "unpack"};

static size_t length(lua_State *L, int index)
{
    if (!lua_istable(L, index) && !lua_isuserdata(L, index))
        return 0;
    lua_Integer n = luaL_len(L, index);
    return n > 0 ? (size_t)n : 0;
}

// The numbers from FROM to TO, how many there are.
static size_t span(lua_Integer from, lua_Integer to)
{
    return to < from ? 0 : (size_t)to - (size_t)from;
}

static int l_insert(lua_State *L)
{
    if (lua_gettop(L) > 2)
        pl_spend(L, length(L, 1));
    return pl_host_of(L)->table_fns[T_INSERT](L);
}

static int l_remove(lua_State *L)
{
    if (lua_gettop(L) > 1)
        pl_spend(L, length(L, 1));
    return pl_host_of(L)->table_fns[T_REMOVE](L);
}

static int l_concat(lua_State *L)
{
    lua_Integer from = luaL_optinteger(L, 3, 1);
    pl_spend(L, span(from, lua_isnoneornil(L, 4) ? (lua_Integer)length(L, 1) : luaL_checkinteger(L, 4)));
    int n = pl_host_of(L)->table_fns[T_CONCAT](L);
    pl_string_fits(L, lua_rawlen(L, -1));
    return n;
}

static int l_move(lua_State *L)
{
    pl_spend(L, span(luaL_checkinteger(L, 2), luaL_checkinteger(L, 3)));
    return pl_host_of(L)->table_fns[T_MOVE](L);
}

static int l_pack(lua_State *L)
{
    pl_spend(L, (size_t)lua_gettop(L));
    return pl_host_of(L)->table_fns[T_PACK](L);
}

static int l_unpack(lua_State *L)
{
    lua_Integer from = luaL_optinteger(L, 2, 1);
    pl_spend(L, span(from, lua_isnoneornil(L, 3) ? (lua_Integer)length(L, 1) : luaL_checkinteger(L, 3)));
    return pl_host_of(L)->table_fns[T_UNPACK](L);
}

static int l_sort(lua_State *L)
{
    size_t n = length(L, 1), log = 1;
    for (size_t i = n; i > 1; i /= 2)
        log++;
    pl_spend(L, n * log);
    return pl_host_of(L)->table_fns[T_SORT](L);
}

void pl_open_table(lua_State *L)
{
    static const luaL_Reg own[] = {{"concat", l_concat}, {"insert", l_insert}, {"move", l_move},
                                   {"pack", l_pack},     {"remove", l_remove}, {"sort", l_sort},
                                   {"unpack", l_unpack}, {NULL, NULL}};
    struct pl_host *h = pl_host_of(L);
    luaL_newlib(L, own);
    luaopen_table(L);
    for (int i = 0; i < T_COUNT; i++) {
        lua_getfield(L, -1, names[i]);
        h->table_fns[i] = lua_tocfunction(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

// ---- The order of keys ----

struct key {
    struct sld_str text; // of a string
    lua_Number number;   // else
    lua_Integer integer; // of numbers that are equal as floats
    int rank; // numbers, booleans, strings
    int ref; // place in the list of keys
};

static int by_key(const void *x, const void *y)
{
    const struct key *a = x, *b = y;
    if (a->rank != b->rank)
        return a->rank - b->rank;
    if (a->rank == 2)
        return sld_str_cmp(a->text, b->text);
    if (a->number < b->number || a->number > b->number)
        return a->number < b->number ? -1 : 1;
    return (a->integer > b->integer) - (a->integer < b->integer);
}

static void read_key(lua_State *L, struct key *k)
{
    int type = lua_type(L, -1);
    *k = (struct key){0};
    if (type == LUA_TSTRING) {
        k->text = pl_str(L, -1);
        k->rank = 2;
    } else if (type == LUA_TNUMBER) {
        k->number = lua_tonumber(L, -1);
        k->integer = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
    } else if (type == LUA_TBOOLEAN) {
        k->integer = lua_toboolean(L, -1);
        k->rank = 1;
    } else {
        pl_error(L, "a table with a %s as a key has no order, so it cannot be walked through here; "
                    "use strings or numbers as keys", luaL_typename(L, -1));
    }
}

void pl_sorted_keys(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        n++;
    pl_spend(L, n * 4);
    struct key *keys = lua_newuserdatauv(L, n * sizeof(*keys) + 1, 0);
    lua_createtable(L, (int)n, 0); // of the keys as they come
    int raw = lua_gettop(L);
    size_t i = 0;
    for (lua_pushnil(L); lua_next(L, index); i++) {
        lua_pop(L, 1);
        read_key(L, &keys[i]);
        keys[i].ref = (int)i + 1;
        lua_pushvalue(L, -1);
        lua_rawseti(L, raw, (int)i + 1);
    }
    if (n)
        qsort(keys, n, sizeof(*keys), by_key);
    lua_createtable(L, (int)n, 0);
    for (i = 0; i < n; i++) {
        lua_rawgeti(L, raw, keys[i].ref);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_replace(L, raw - 1);
    lua_settop(L, raw - 1);
}

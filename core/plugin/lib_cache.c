// solder.cache: what was found out before, for a time and up to a number. Entries are a list in order of use, by
// places in an array; the values are in tables of the object.
#include "plugin/library.h"
#include "plugin/task.h"

enum { ENTRIES_MAX = 100000, KEYS = 1, VALUES, NAMES, USER_VALUES = 3 };

struct entry {
    uint32_t newer, older; // 0: none
    uint64_t until_ms;     // 0: for ever
};

struct cache {
    uint32_t max, count, newest, oldest, spare; // places from 1; SPARE: a list by OLDER
    uint64_t ttl_ms;
    struct entry entries[]; // MAX + 1
};

static void unlink_entry(struct cache *c, uint32_t i)
{
    struct entry *e = &c->entries[i];
    if (e->newer)
        c->entries[e->newer].older = e->older;
    else
        c->newest = e->older;
    if (e->older)
        c->entries[e->older].newer = e->newer;
    else
        c->oldest = e->newer;
}

static void link_newest(struct cache *c, uint32_t i)
{
    c->entries[i].newer = 0;
    c->entries[i].older = c->newest;
    if (c->newest)
        c->entries[c->newest].newer = i;
    else
        c->oldest = i;
    c->newest = i;
}

// The place of the key at index 2, or 0.
static uint32_t place_of(lua_State *L)
{
    lua_getiuservalue(L, 1, KEYS);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    uint32_t i = (uint32_t)lua_tointeger(L, -1);
    lua_pop(L, 2);
    return i;
}

// Table[KEY at the top] = nil.
static void forget(lua_State *L, int table)
{
    lua_getiuservalue(L, 1, table);
    lua_insert(L, -2);
    lua_pushnil(L);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static void drop(lua_State *L, struct cache *c, uint32_t i)
{
    unlink_entry(c, i);
    c->count--;
    lua_getiuservalue(L, 1, NAMES);
    lua_rawgeti(L, -1, i);
    lua_remove(L, -2);
    forget(L, KEYS);
    lua_pushinteger(L, i);
    forget(L, VALUES);
    lua_pushinteger(L, i);
    forget(L, NAMES);
    c->entries[i].older = c->spare;
    c->spare = i;
}

static struct cache *args(lua_State *L)
{
    struct cache *c = pl_object(L, 1, "cache.Cache");
    int type = lua_type(L, 2);
    luaL_argexpected(L, type == LUA_TSTRING || (type == LUA_TNUMBER && lua_isinteger(L, 2)), 2, "string or integer");
    pl_spend(L, 10);
    return c;
}

static int new(lua_State *L)
{
    pl_options(L, 1, &pl_cache, "cache.Options");
    lua_settop(L, 1);
    lua_Integer max = pl_option_int(L, 1, "max", 1000, 1, ENTRIES_MAX);
    double ttl = pl_option_number(L, 1, "ttl", 0, 0, 1e9);
    struct cache *c = pl_push_object(L, &pl_cache, "cache.Cache", sizeof(*c) + ((size_t)max + 1) * sizeof(*c->entries), USER_VALUES);
    c->max = (uint32_t)max;
    c->ttl_ms = (uint64_t)(ttl * 1e3);
    for (uint32_t i = c->max; i >= 1; i--) {
        c->entries[i].older = c->spare;
        c->spare = i;
    }
    for (int i = 1; i <= USER_VALUES; i++) {
        lua_newtable(L);
        lua_setiuservalue(L, -2, i);
    }
    return 1;
}

static int get(lua_State *L)
{
    struct cache *c = args(L);
    uint32_t i = place_of(L);
    if (i && c->entries[i].until_ms && pl_mono_ms(L) >= c->entries[i].until_ms) {
        drop(L, c, i);
        i = 0;
    }
    if (!i) {
        lua_pushnil(L);
        return 1;
    }
    unlink_entry(c, i);
    link_newest(c, i);
    lua_getiuservalue(L, 1, VALUES);
    lua_rawgeti(L, -1, i);
    return 1;
}

static int delete(lua_State *L)
{
    struct cache *c = args(L);
    uint32_t i = place_of(L);
    if (i)
        drop(L, c, i);
    return 0;
}

static void put(lua_State *L, int table, uint32_t i, int index)
{
    lua_getiuservalue(L, 1, table);
    lua_pushvalue(L, index);
    lua_rawseti(L, -2, i);
    lua_pop(L, 1);
}

static int set(lua_State *L)
{
    struct cache *c = args(L);
    luaL_argexpected(L, !lua_isnoneornil(L, 3), 3, "value");
    double ttl = luaL_optnumber(L, 4, -1);
    luaL_argcheck(L, ttl <= 1e9, 4, "at most 1e9 seconds expected");
    uint64_t ms = lua_isnoneornil(L, 4) ? c->ttl_ms : ttl > 0 ? (uint64_t)(ttl * 1e3) : 0;
    uint32_t i = place_of(L);
    if (i)
        drop(L, c, i);
    if (c->count == c->max)
        drop(L, c, c->oldest);
    i = c->spare;
    put(L, VALUES, i, 3); // may run out of memory: the place is taken when nothing can fail any more
    put(L, NAMES, i, 2);
    lua_getiuservalue(L, 1, KEYS);
    lua_pushvalue(L, 2);
    lua_pushinteger(L, i);
    lua_rawset(L, -3);
    c->spare = c->entries[i].older;
    c->count++;
    c->entries[i].until_ms = ms ? pl_mono_ms(L) + ms : 0;
    link_newest(c, i);
    return 0;
}

static const struct pl_value options[] = {
    {"max?", "integer", "Entries, 1 to 100000; 1000 by default. Beyond it the one unused for longest goes."},
    {"ttl?", "number", "Seconds that an entry lives; 0, the default: until it has to go."},
};
static const struct pl_class classes[] = {
    {.name = "cache.Options", .doc = "How much a cache keeps.", PL_FIELDS(options)},
    {.name = "cache.Cache", .doc = "A cache; made where the plugin loads. What it holds counts as the plugin's memory, and is of one state of it: "
                                   "other threads and a new version begin empty."},
};
#define KEY {"key", "string|integer", ""}
static const struct pl_binding bindings[] = {
    {.name = "new", .fn = new, .doc = "An empty cache.", .params = {{"options?", "cache.Options", ""}}, .returns = {{"cache", "cache.Cache", ""}},
     .example = "local users = cache.new{max = 100, ttl = 60}\nusers:set(\"ada\", {id = 7})\nassert(users:get(\"ada\").id == 7 and "
         "users:get(\"bob\") == nil)"},
    {.name = "get", .fn = get, .of = "cache.Cache", .phases = PL_IN_CALLS, .doc = "What is kept for a key.", .params = {KEY},
     .returns = {{"value?", "any", "nil: nothing, or its time is over."}},
     .example = "local two = cache.new{max = 2}\ntwo:set(1, \"a\")\ntwo:set(2, \"b\")\ntwo:get(1)\ntwo:set(3, \"c\")\nassert(two:get(1) == \"a\" and "
         "two:get(2) == nil)"},
    {.name = "set", .fn = set, .of = "cache.Cache", .phases = PL_IN_CALLS, .doc = "Keeps a value. It is the same value that get gives: who changes "
        "it changes what is kept.",
     .params = {KEY, {"value", "any", "Not nil."}, {"ttl?", "number", "Seconds, instead of the cache's; 0: until it has to go."}},
     .example = "local c = cache.new()\nc:set(\"k\", 1, 30)\nassert(c:get(\"k\") == 1)"},
    {.name = "delete", .fn = delete, .of = "cache.Cache", .phases = PL_IN_CALLS, .doc = "Forgets a key.", .params = {KEY},
     .example = "local c = cache.new()\nc:set(\"k\", 1)\nc:delete(\"k\")\nassert(c:get(\"k\") == nil)"},
};
const struct pl_module pl_cache = {.name = "solder.cache", .doc = "What was found out before. Not in pure phases.", PL_BINDINGS(bindings),
    PL_CLASSES(classes)};

// solder.cache: what was found out before, for a time and up to a number. Entries are a list in order of use, by
// places in an array; the values are in tables of the object.
//
// get_or has one call at a time find out what is missing. That call holds a flight, which ends when the function has
// returned, raised, or was closed with its call; or, after a breach of a ceiling, where nothing is closed, when it is collected:
// so the table of flights is weak, and who waits does not hold the flight.
#include "base/list.h"
#include "plugin/library.h"
#include "plugin/task.h"

enum { ENTRIES_MAX = 100000, KEYS = 1, VALUES, NAMES, FLIGHTS, USER_VALUES = 4 };
#define FLIGHT "solder.flight"

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
        if (i == FLIGHTS) {
            lua_createtable(L, 0, 1);
            lua_pushliteral(L, "v");
            lua_setfield(L, -2, "__mode");
            lua_setmetatable(L, -2);
        }
        lua_setiuservalue(L, -2, i);
    }
    return 1;
}

// Pushes what is kept for the key at index 2, or nil.
static bool find(lua_State *L, struct cache *c)
{
    uint32_t i = place_of(L);
    if (i && c->entries[i].until_ms && pl_mono_ms(L) >= c->entries[i].until_ms) {
        drop(L, c, i);
        i = 0;
    }
    if (!i) {
        lua_pushnil(L);
        return false;
    }
    unlink_entry(c, i);
    link_newest(c, i);
    lua_getiuservalue(L, 1, VALUES);
    lua_rawgeti(L, -1, i);
    lua_remove(L, -2);
    return true;
}

static int get(lua_State *L)
{
    find(L, args(L));
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

// Keeps the value at index VALUE for the key at index 2.
static void keep(lua_State *L, struct cache *c, int value, uint64_t ms)
{
    uint32_t i = place_of(L);
    if (i)
        drop(L, c, i);
    if (c->count == c->max)
        drop(L, c, c->oldest);
    i = c->spare;
    put(L, VALUES, i, value); // may run out of memory: the place is taken when nothing can fail any more
    put(L, NAMES, i, 2);
    lua_getiuservalue(L, 1, KEYS);
    lua_pushvalue(L, 2);
    lua_pushinteger(L, i);
    lua_rawset(L, -3);
    lua_pop(L, 1);
    c->spare = c->entries[i].older;
    c->count++;
    c->entries[i].until_ms = ms ? pl_mono_ms(L) + ms : 0;
    link_newest(c, i);
}

// The time to live at INDEX, or the cache's.
static uint64_t ttl_of(lua_State *L, const struct cache *c, int index)
{
    if (lua_type(L, index) != LUA_TNUMBER)
        return c->ttl_ms;
    double ttl = lua_tonumber(L, index);
    if (!(ttl <= 1e9))
        pl_error(L, "a time to live is at most 1e9 seconds");
    return ttl > 0 ? (uint64_t)(ttl * 1e3) : 0;
}

static int set(lua_State *L)
{
    struct cache *c = args(L);
    luaL_argexpected(L, !lua_isnoneornil(L, 3), 3, "value");
    luaL_argexpected(L, lua_isnoneornil(L, 4) || lua_type(L, 4) == LUA_TNUMBER, 4, "number");
    keep(L, c, 3, ttl_of(L, c, 4));
    return 0;
}

// ---- One at a time ----

struct flight {
    struct pl_task *task;    // that finds out
    struct sld_list waiters; // struct waiter
};

struct waiter {
    struct sld_list link; // of the flight, while TIMER is NULL
    struct pl_task *task;
    struct sld_reactor *reactor;
    void *timer;
};

static void let_go(void *waiting)
{
    struct waiter *w = waiting;
    if (w->timer)
        w->reactor->ops->timer_end(w->reactor->user, w->timer);
    else
        sld_list_remove(&w->link);
    sld_xfree(w);
}

static void wake(void *arg)
{
    struct waiter *w = arg;
    struct pl_task *t = w->task;
    let_go(w);
    pl_wake(t, NULL, NULL);
}

// Who waits goes on when the state is free: it is at work now.
static int end_flight(lua_State *L)
{
    struct flight *f = lua_touserdata(L, 1);
    while (!sld_list_empty(&f->waiters)) {
        struct waiter *w = SLD_CONTAINER_OF(f->waiters.next, struct waiter, link);
        sld_list_remove(&w->link);
        w->timer = w->reactor->ops->timer(w->reactor->user, 0, wake, w);
    }
    f->task = NULL;
    return 0;
}

// The flight for the key at index 2, or NULL.
static struct flight *flight_of(lua_State *L)
{
    lua_getiuservalue(L, 1, FLIGHTS);
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    struct flight *f = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return f && f->task ? f : NULL;
}

// Begins a flight for the key at index 2; pushes it.
static void begin_flight(lua_State *L)
{
    struct flight *f = lua_newuserdatauv(L, sizeof(*f), 0);
    f->task = pl_host_of(L)->task;
    sld_list_init(&f->waiters);
    if (luaL_newmetatable(L, FLIGHT)) {
        lua_pushcfunction(L, end_flight);
        lua_setfield(L, -2, "__close");
        lua_pushcfunction(L, end_flight);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    lua_getiuservalue(L, 1, FLIGHTS);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -3);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

// Waits for the end of the flight for the key at index 2.
static int await(lua_State *L)
{
    struct flight *f = flight_of(L);
    struct pl_task *t = pl_may_wait(L, "solder.cache.Cache.get_or");
    if (!f) // collected meanwhile
        return 0;
    if (f->task == t)
        pl_error(L, "solder.cache.Cache.get_or: this very call is finding it out");
    struct waiter *w = SLD_NEW(struct waiter);
    w->task = t;
    w->reactor = pl_task_reactor(t);
    sld_list_push(&f->waiters, &w->link);
    return pl_wait(L, let_go, w);
}

// Behind the function: the flight is at 4, its results at 5 and 6.
static int found(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    struct cache *c = pl_object(L, 1, "cache.Cache");
    if (!lua_isnil(L, 5))
        keep(L, c, 5, ttl_of(L, c, 6));
    lua_closeslot(L, 4);
    return 2;
}

static int attempt(lua_State *L, int status, lua_KContext context)
{
    (void)status, (void)context;
    lua_settop(L, 3);
    if (find(L, pl_object(L, 1, "cache.Cache")))
        return 1;
    lua_settop(L, 3);
    if (flight_of(L)) {
        lua_pushcfunction(L, await);
        lua_pushvalue(L, 1);
        lua_pushvalue(L, 2);
        lua_callk(L, 2, 0, 0, attempt);
        return attempt(L, LUA_OK, 0);
    }
    begin_flight(L);
    lua_toclose(L, 4);
    lua_pushvalue(L, 3);
    lua_pushvalue(L, 2);
    lua_callk(L, 1, 2, 0, found);
    return found(L, LUA_OK, 0);
}

static int get_or(lua_State *L)
{
    args(L);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    return attempt(L, LUA_OK, 0);
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
    {.name = "get_or", .fn = get_or, .of = "cache.Cache", .phases = PL_IN_CALLS,
     .doc = "What is kept for a key; or what a function gives for it, which is kept then. While it waits for others, calls that ask for the same key "
            "wait for it instead of asking too; when it raises or gives nil, the next of them tries.",
     .params = {KEY, {"find", "fun(key: string|integer): any, number|string|nil", "Gives the value and maybe its ttl; or nil and words."}},
     .returns = {{"value?", "any", "nil: the function gave nil."}, {"words?", "string|number", "What it gave with it."}},
     .example = "local time = require \"solder.time\"\nlocal users, asked = cache.new{ttl = 60}, 0\n"
                "local function ask(id)\n  asked = asked + 1\n  time.sleep(1) -- stands for a question to another server\n  return {id = id}\nend\n"
                "assert(users:get_or(\"ada\", ask).id == \"ada\" and users:get_or(\"ada\", ask).id == \"ada\" and asked == 1)"},
    {.name = "delete", .fn = delete, .of = "cache.Cache", .phases = PL_IN_CALLS, .doc = "Forgets a key.", .params = {KEY},
     .example = "local c = cache.new()\nc:set(\"k\", 1)\nc:delete(\"k\")\nassert(c:get(\"k\") == nil)"},
};
const struct pl_module pl_cache = {.name = "solder.cache", .doc = "What was found out before. Not in pure phases.", PL_BINDINGS(bindings),
    PL_CLASSES(classes)};

// solder.counters: numbers that all states of a plugin share, on whatever thread. A table of atomics without locks: a name
// takes a place once and keeps it, so places are only ever added.
#include <stdatomic.h>

#include "plugin/library.h"

enum { PLACES = 4096, NAME_MAX_BYTES = 256 };

struct place {
    atomic_uint_least64_t name; // its hash, never 0; 0: free
    atomic_int_least64_t value;
};

struct sld_plugin_counters {
    struct sld_obj obj;
    struct place places[PLACES];
};

static void counters_free(struct sld_obj *o)
{
    sld_xfree(o);
}

struct sld_plugin_counters *sld_plugin_counters_create(void)
{
    struct sld_plugin_counters *c = SLD_NEW(struct sld_plugin_counters);
    sld_obj_init(&c->obj, counters_free, (struct sld_hash){0});
    return c;
}

void sld_plugin_counters_share(struct sld_plugin *p, struct sld_plugin_counters *c)
{
    struct pl_host *h = pl_host_of_plugin(p);
    struct sld_plugin_counters *own = sld_obj_ref(c);
    SLD_UNREF(h->counters);
    h->counters = own;
}

// Those of the state at work; its own when none are shared.
static struct sld_plugin_counters *counters_of(lua_State *L)
{
    struct pl_host *h = pl_host_of(L);
    if (!h->counters)
        h->counters = sld_plugin_counters_create();
    return h->counters;
}

// The place of the name at index 1; NULL: it has none, and gets none (ADD: because all are taken).
static struct place *place_of(lua_State *L, bool add)
{
    struct sld_plugin_counters *c = counters_of(L);
    struct sld_str name = pl_arg(L, 1);
    luaL_argcheck(L, name.n <= NAME_MAX_BYTES, 1, "a name of at most 256 bytes expected");
    uint_least64_t hash = sld_hash64(name) | 1;
    for (size_t i = 0; i < PLACES; i++) {
        struct place *p = &c->places[(hash / 2 + i) % PLACES];
        uint_least64_t there = atomic_load(&p->name);
        if (!there && (!add || atomic_compare_exchange_strong(&p->name, &there, hash)))
            return add ? p : NULL;
        if (there == hash) // also when another thread was faster
            return p;
        pl_spend(L, 1);
    }
    return NULL;
}

static int add(lua_State *L)
{
    lua_Integer n = luaL_optinteger(L, 2, 1);
    struct place *p = place_of(L, true);
    if (!p)
        return pl_not_right(L, "more than %d names of counters", PLACES);
    lua_pushinteger(L, (lua_Integer)((uint64_t)atomic_fetch_add(&p->value, n) + (uint64_t)n));
    return 1;
}

static int get(lua_State *L)
{
    struct place *p = place_of(L, false);
    lua_pushinteger(L, p ? (lua_Integer)atomic_load(&p->value) : 0);
    return 1;
}

#define NAME {"name", "string", "At most 256 bytes. There are at most 4096 names: not one for each client."}
static const struct pl_binding bindings[] = {
    {.name = "add", .fn = add, .phases = PL_IN_CALLS, .doc = "Adds to a counter.", .params = {NAME, {"n?", "integer", "1 by default; may be negative."}},
     .returns = {{"value?", "integer", "What it is now; nil: there are too many names."}, {"words?", "string", ""}},
     .example = "assert(counters.add(\"denied\") == 1 and counters.add(\"denied\", 2) == 3)"},
    {.name = "get", .fn = get, .phases = PL_IN_CALLS, .doc = "What a counter is; 0 when nothing was added to it.", .params = {NAME},
     .returns = {{"value", "integer", ""}}, .example = "assert(counters.get(\"never\") == 0)"},
};
const struct pl_module pl_counters = {
    .name = "solder.counters", .doc = "Numbers that all threads of a process share; they begin at 0 with it.", PL_BINDINGS(bindings)};

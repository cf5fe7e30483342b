// The library for authors: its list, how a module is made, what its functions share.
#include "plugin/library.h"

#include <stdio.h>

const struct pl_module *const pl_library[] = {
    &pl_aes,  &pl_base64, &pl_cache, &pl_cidr,   &pl_consul, &pl_counters, &pl_dns,      &pl_file, &pl_hash, &pl_hex,  &pl_http,
    &pl_json, &pl_jwt,    &pl_kv,    &pl_random, &pl_re,     &pl_template, &pl_time, &pl_url,  &pl_vault, &pl_x509, &pl_yaml,
};
const size_t pl_library_count = SLD_ARRAY_LEN(pl_library);

static const char arrays_key = 0;

const struct pl_module *pl_library_find(struct sld_str name)
{
    for (size_t i = 0; i < pl_library_count; i++) {
        if (sld_str_eq(name, sld_str_c(pl_library[i]->name)))
            return pl_library[i];
    }
    return NULL;
}

const char *pl_module_word(const struct pl_module *m)
{
    const char *dot = strchr(m->name, '.');
    return dot ? dot + 1 : m->name;
}

bool pl_is_pure(lua_State *L)
{
    return pl_host_of(L)->phase == PL_LOAD || pl_host_of(L)->phase == PL_PURE;
}

void pl_require(lua_State *L, const struct pl_module *m)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "modules");
    if (lua_getfield(L, -1, m->name) == LUA_TNIL) {
        lua_pop(L, 1);
        pl_open_module(L, m);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, m->name);
    }
    lua_remove(L, -2);
}

// ---- Objects ----

void *pl_push_object(lua_State *L, const struct pl_module *m, const char *name, size_t n, int values)
{
    void *o = lua_newuserdatauv(L, n, values);
    memset(o, 0, n);
    if (luaL_newmetatable(L, name)) {
        lua_createtable(L, 0, 4);
        for (size_t i = 0; i < m->binding_count; i++) {
            if (!m->bindings[i].of || strcmp(m->bindings[i].of, name) != 0)
                continue;
            pl_push_binding(L, m, &m->bindings[i]);
            lua_setfield(L, -2, m->bindings[i].name);
        }
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
        for (size_t i = 0; i < m->class_count; i++) {
            if (m->classes[i].gc && strcmp(m->classes[i].name, name) == 0) {
                lua_pushcfunction(L, m->classes[i].gc);
                lua_setfield(L, -2, "__gc");
            }
        }
    }
    lua_setmetatable(L, -2);
    return o;
}

void *pl_object(lua_State *L, int index, const char *name)
{
    return luaL_checkudata(L, index, name);
}

void pl_hold(lua_State *L, size_t n)
{
    struct pl_host *h = pl_host_of(L);
    if (h->used_bytes + n > h->limits.memory_bytes)
        pl_breach(L, PL_MEMORY);
    h->used_bytes += n;
    if (h->used_bytes > h->peak_bytes)
        h->peak_bytes = h->used_bytes;
}

void pl_let_go(lua_State *L, size_t n)
{
    pl_host_of(L)->used_bytes -= n;
}

static int free_arena(lua_State *L)
{
    sld_arena_fini_secret(lua_touserdata(L, 1));
    return 0;
}

struct sld_arena *pl_arena(lua_State *L)
{
    struct sld_arena *a = lua_newuserdatauv(L, sizeof(*a), 0);
    sld_arena_init(a);
    if (luaL_newmetatable(L, "solder.arena")) {
        lua_pushcfunction(L, free_arena);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return a;
}

void pl_arena_done(struct sld_arena *a)
{
    sld_arena_fini_secret(a);
}

// ---- Arguments ----

struct sld_str pl_arg(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TSTRING);
    struct sld_str s = pl_str(L, index);
    pl_spend(L, s.n / 16 + 1);
    return s;
}

static const struct pl_class *class_of(const struct pl_module *m, const char *name)
{
    for (size_t i = 0; i < m->class_count; i++) {
        if (strcmp(m->classes[i].name, name) == 0)
            return &m->classes[i];
    }
    SLD_UNREACHABLE();
}

// Whether field F, "name" or "name?", is called KEY.
static bool is_field(const char *f, struct sld_str key)
{
    size_t n = strlen(f);
    return sld_str_eq(sld_str_n(f, n && f[n - 1] == '?' ? n - 1 : n), key);
}

static void check_option(lua_State *L, const struct pl_class *c, struct sld_str key)
{
    char known[300] = "";
    size_t n = 0;
    for (size_t i = 0; i < c->field_count; i++) {
        struct sld_str name = sld_str_c(c->fields[i].name);
        if (key.p && is_field(name.p, key))
            return;
        name.n -= sld_str_ends(name, SLD_STR("?"));
        n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%.*s", n ? ", " : "", SLD_FMT(name));
        n = n < sizeof(known) ? n : sizeof(known) - 1;
    }
    pl_error(L, "there is no option '%.*s' here; there are %s", SLD_FMT(key), known);
}

bool pl_options(lua_State *L, int index, const struct pl_module *m, const char *name)
{
    if (lua_isnoneornil(L, index)) {
        lua_settop(L, lua_gettop(L) < index ? index : lua_gettop(L));
        return false;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    if (pl_thawed(L, index))
        lua_replace(L, index);
    const struct pl_class *c = class_of(m, name);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        check_option(L, c, pl_str(L, -2));
    return true;
}

// Pushes option KEY; false, and nothing, when it is not set.
static bool option(lua_State *L, int index, const char *key)
{
    if (lua_isnoneornil(L, index))
        return false;
    if (lua_getfield(L, index, key) != LUA_TNIL)
        return true;
    lua_pop(L, 1);
    return false;
}

lua_Integer pl_option_int(lua_State *L, int index, const char *key, lua_Integer fallback, lua_Integer min, lua_Integer max)
{
    if (!option(L, index, key))
        return fallback;
    int is = 0;
    lua_Integer n = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &is) : 0;
    if (!is || n < min || n > max)
        pl_error(L, "%s must be a whole number from %lld to %lld", key, (long long)min, (long long)max);
    lua_pop(L, 1);
    return n;
}

double pl_option_number(lua_State *L, int index, const char *key, double fallback, double min, double max)
{
    if (!option(L, index, key))
        return fallback;
    double n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : min - 1;
    if (!(n >= min && n <= max))
        pl_error(L, "%s must be a number from %.15g to %.15g", key, min, max);
    lua_pop(L, 1);
    return n;
}

struct sld_str pl_option_str(lua_State *L, int index, const char *key)
{
    if (!option(L, index, key))
        return SLD_STR_NONE;
    struct sld_str s = pl_str(L, -1); // the table keeps it
    if (!s.p)
        pl_error(L, "%s must be a string", key);
    lua_pop(L, 1);
    return s;
}

bool pl_option_bool(lua_State *L, int index, const char *key, bool fallback)
{
    if (!option(L, index, key))
        return fallback;
    if (!lua_isboolean(L, -1))
        pl_error(L, "%s must be true or false", key);
    bool b = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return b;
}

int pl_not_right(lua_State *L, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    lua_pushnil(L);
    lua_pushstring(L, text);
    return 2;
}

// ---- Null and arrays ----

static int null_text(lua_State *L)
{
    lua_pushliteral(L, "null");
    return 1;
}

void pl_push_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
    if (luaL_getmetafield(L, -1, "__metatable") != LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    lua_createtable(L, 0, 2); // of all light userdata; scripts get no other
    lua_pushcfunction(L, null_text);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

bool pl_is_null(lua_State *L, int index)
{
    return lua_islightuserdata(L, index) && !lua_touserdata(L, index);
}

// Which tables are arrays is kept beside them, for a metatable would be frozen with the first of them.
static void push_arrays(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &arrays_key) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &arrays_key);
}

void pl_mark_array(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    push_arrays(L);
    lua_pushvalue(L, index);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

bool pl_is_array(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &arrays_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        return false;
    }
    lua_pushvalue(L, index);
    bool is = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 2);
    return is;
}

// ---- Strings in the making ----

static void make_room(struct pl_out *o, size_t cap)
{
    lua_State *L = o->L;
    luaL_checkstack(L, 4, NULL);
    char *p = lua_newuserdatauv(L, cap, 0);
    if (o->n)
        memcpy(p, o->p, o->n);
    o->p = p;
    o->cap = cap;
}

void pl_out_begin(struct pl_out *o, lua_State *L, size_t expect)
{
    *o = (struct pl_out){.L = L};
    pl_string_fits(L, expect);
    make_room(o, expect + 16);
    o->index = lua_gettop(L);
}

void pl_out_add(struct pl_out *o, struct sld_str s)
{
    if (o->cap - o->n < s.n) {
        pl_string_fits(o->L, o->n + s.n);
        make_room(o, (o->n + s.n) * 2);
        lua_replace(o->L, o->index);
    }
    if (s.n)
        memcpy(o->p + o->n, s.p, s.n);
    o->n += s.n;
}

void pl_out_addc(struct pl_out *o, char c)
{
    pl_out_add(o, sld_str_n(&c, 1));
}

void pl_out_push(struct pl_out *o)
{
    pl_string_fits(o->L, o->n);
    lua_pushlstring(o->L, o->p, o->n);
}

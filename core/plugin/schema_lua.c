// solder.schema: a plugin's words for its configuration, and how they become struct sld_conf. A mistake
// is told where it stands in the plugin.
#include <stdio.h>

#include "codec/regex.h"
#include "plugin/load.h"
#include "plugin/value.h"

enum { DEPTH_MAX = 16 };

static const char *const rule_names[SLD_CONF_RULE_COUNT] = {"one_of", "at_most_one", "at_least_one", "distinct", "requires"};
static const char *const options[] = {"default", "doc", "example", "max", "min", "pattern", "required"};

// ---- The builder ----

static bool is_rule(struct sld_str key)
{
    for (size_t i = 0; i < SLD_CONF_RULE_COUNT; i++) {
        if (sld_str_eq(key, sld_str_c(rule_names[i])))
            return true;
    }
    return false;
}

static void check_option(lua_State *L, int type, struct sld_str key)
{
    bool known = type == SLD_CONF_RECORD && is_rule(key);
    for (size_t i = 0; i < SLD_ARRAY_LEN(options); i++)
        known |= sld_str_eq(key, sld_str_c(options[i])) && (strcmp(options[i], "pattern") != 0 || type == SLD_CONF_STRING);
    if (!known)
        pl_error(L, "%s has no option '%.*s'; there are default, doc, example, max, min, required%s",
                 sld_conf_type_name((enum sld_conf_type)type), SLD_FMT(key),
                 type == SLD_CONF_STRING   ? ", pattern"
                 : type == SLD_CONF_RECORD ? ", one_of, at_most_one, at_least_one, distinct, requires"
                                           : "");
}

// Copies the options of the table at FROM into the one on top; of an enum also its values.
static void copy_options(lua_State *L, int from, int type)
{
    if (lua_isnoneornil(L, from))
        return;
    luaL_checktype(L, from, LUA_TTABLE);
    int to = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, from);) {
        if (!(type == SLD_CONF_ENUM && lua_isinteger(L, -2))) {
            if (lua_type(L, -2) != LUA_TSTRING)
                pl_error(L, "options have names, such as {required = true}");
            check_option(L, type, pl_str(L, -2));
        }
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, to);
    }
}

// s.string{...}, s.list(item, {...}), s.record({...}, {...}). Upvalue: the type.
static int build(lua_State *L)
{
    int type = (int)lua_tointeger(L, lua_upvalueindex(1));
    bool nested = type == SLD_CONF_LIST || type == SLD_CONF_MAP || type == SLD_CONF_RECORD;
    lua_settop(L, 2);
    lua_createtable(L, 0, 4);
    copy_options(L, nested ? 2 : 1, type);
    lua_pushinteger(L, type);
    lua_setfield(L, 3, "type");
    luaL_where(L, 1);
    lua_setfield(L, 3, "at");
    if (nested) {
        luaL_checktype(L, 1, LUA_TTABLE);
        lua_pushvalue(L, 1);
        lua_setfield(L, 3, "of");
    } else {
        luaL_argexpected(L, lua_isnoneornil(L, 2), 1, "one table of options");
    }
    return 1;
}

void pl_open_schema(lua_State *L)
{
    lua_newtable(L);
    for (int i = 0; i < SLD_CONF_TYPE_COUNT; i++) {
        lua_pushinteger(L, i);
        lua_pushcclosure(L, build, 1);
        lua_setfield(L, -2, sld_conf_type_name((enum sld_conf_type)i));
    }
}

// ---- Reading what was built ----

struct reading {
    lua_State *L;
    struct sld_arena *a;
    struct sld_str path;
    struct sld_str at; // of the innermost type that is known
};

static _Noreturn void wrong(struct reading *r, const char *words)
{
    lua_pushfstring(r->L, "%sschema: %s%s%s", sld_arena_cstr(r->a, r->at), r->path.n ? sld_arena_cstr(r->a, r->path) : "", r->path.n ? ": " : "", words);
    lua_error(r->L);
    SLD_UNREACHABLE();
}

static struct sld_str text(struct reading *r, int index, const char *key)
{
    struct sld_str s = SLD_STR_NONE;
    int type = lua_getfield(r->L, index, key);
    if (type != LUA_TNIL && type != LUA_TSTRING)
        wrong(r, lua_pushfstring(r->L, "%s must be a string", key));
    if (type == LUA_TSTRING)
        s = sld_arena_str(r->a, pl_str(r->L, -1));
    lua_pop(r->L, 1);
    return s;
}

static bool bound(struct reading *r, int index, const char *key, enum sld_conf_type t, double *out)
{
    int type = lua_getfield(r->L, index, key);
    if (type == LUA_TNUMBER && t != SLD_CONF_DURATION) {
        *out = lua_tonumber(r->L, -1);
    } else if (type != LUA_TNIL) {
        Google__Protobuf__Value *v = pl_to_value(r->L, -1, r->a);
        if ((t != SLD_CONF_DURATION && t != SLD_CONF_SIZE) || !sld_conf_quantity(t, v, out))
            wrong(r, lua_pushfstring(r->L, "%s must be a %s", key, t == SLD_CONF_DURATION ? "duration" : "number"));
    }
    lua_pop(r->L, 1);
    return type != LUA_TNIL;
}

static void read(struct reading *r, int index, struct sld_conf *c, unsigned depth);

// The list of field names on top; each is one of C's.
static void read_rule(struct reading *r, struct sld_conf *c, enum sld_conf_rule_kind kind)
{
    struct sld_conf_rule rule = {.kind = kind};
    lua_State *L = r->L;
    if (!lua_istable(L, -1))
        wrong(r, lua_pushfstring(L, "%s takes a list of names", rule_names[kind]));
    for (lua_Integer i = 1; lua_geti(L, -1, i) != LUA_TNIL; i++) {
        struct sld_str name = pl_str(L, -1);
        bool known = false;
        for (size_t k = 0; k < c->field_count; k++)
            known |= sld_str_eq(c->fields[k].name, name);
        if (!known)
            wrong(r, lua_pushfstring(L, "%s names a field that is not there", rule_names[kind]));
        SLD_PUSH(r->a, rule.fields, rule.count, sld_arena_str(r->a, name));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    if (rule.count < 2)
        wrong(r, lua_pushfstring(L, "%s takes at least two names", rule_names[kind]));
    SLD_PUSH(r->a, c->rules, c->rule_count, rule);
}

// one_of = {"a", "b"}, or several: {{"a", "b"}, {"c", "d"}}.
static void read_rules(struct reading *r, int index, struct sld_conf *c)
{
    lua_State *L = r->L;
    for (int k = 0; k < SLD_CONF_RULE_COUNT; k++) {
        if (lua_getfield(L, index, rule_names[k]) == LUA_TTABLE) {
            bool several = lua_geti(L, -1, 1) == LUA_TTABLE;
            lua_pop(L, 1);
            if (!several)
                read_rule(r, c, (enum sld_conf_rule_kind)k);
            for (lua_Integer i = 1; several && lua_geti(L, -1, i) != LUA_TNIL; i++) {
                read_rule(r, c, (enum sld_conf_rule_kind)k);
                lua_pop(L, 1);
            }
            if (several)
                lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
}

// The fields in the table on top, by name.
static void read_fields(struct reading *r, struct sld_conf *c, unsigned depth)
{
    lua_State *L = r->L;
    int fields = lua_gettop(L);
    pl_sorted_keys(L, fields);
    size_t n = lua_rawlen(L, -1);
    c->fields = SLD_ARENA_ARRAY(r->a, struct sld_conf, n);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, fields + 1, (lua_Integer)i + 1);
        struct sld_str name = pl_str(L, -1), was = r->path;
        if (!name.n)
            wrong(r, "a field's name must be a string");
        r->path = SLD_ARENA_JOIN(r->a, was, was.n ? SLD_STR(".") : SLD_STR(""), name);
        struct sld_conf *f = &c->fields[c->field_count++];
        f->name = sld_arena_str(r->a, name);
        lua_rawget(L, fields);
        read(r, lua_gettop(L), f, depth + 1);
        lua_pop(L, 1);
        r->path = was;
    }
    lua_settop(L, fields);
}

static void read_of(struct reading *r, int index, struct sld_conf *c, unsigned depth)
{
    lua_State *L = r->L;
    if (lua_getfield(L, index, "of") != LUA_TTABLE)
        wrong(r, "it has no contents");
    if (c->type == SLD_CONF_RECORD) {
        read_fields(r, c, depth);
        read_rules(r, index, c);
    } else {
        c->item = SLD_ARENA_NEW(r->a, struct sld_conf);
        struct sld_str was = r->path;
        r->path = SLD_ARENA_JOIN(r->a, was, SLD_STR("[]"));
        read(r, lua_gettop(L), c->item, depth + 1);
        r->path = was;
    }
    lua_pop(L, 1);
}

static void read_values(struct reading *r, int index, struct sld_conf *c)
{
    for (lua_Integer i = 1; lua_geti(r->L, index, i) != LUA_TNIL; i++) {
        struct sld_str s = pl_str(r->L, -1);
        if (!s.p)
            wrong(r, "the values of an enum must be strings");
        SLD_PUSH(r->a, c->values, c->value_count, sld_arena_str(r->a, s));
        lua_pop(r->L, 1);
    }
    lua_pop(r->L, 1);
    if (!c->value_count)
        wrong(r, "an enum needs values, as in s.enum{\"on\", \"off\"}");
}

static const Google__Protobuf__Value *read_value(struct reading *r, int index, const char *key, const struct sld_conf *c)
{
    const Google__Protobuf__Value *v = NULL;
    if (lua_getfield(r->L, index, key) != LUA_TNIL) {
        v = pl_to_value(r->L, -1, r->a);
        struct sld_report found = {.arena = r->a};
        sld_conf_check(&found, c, v);
        if (found.errors)
            wrong(r, lua_pushfstring(r->L, "%s: %s", key, sld_arena_cstr(r->a, found.items[0].message)));
    }
    lua_pop(r->L, 1);
    return v;
}

static void read(struct reading *r, int index, struct sld_conf *c, unsigned depth)
{
    lua_State *L = r->L;
    luaL_checkstack(L, 20, NULL);
    if (depth > DEPTH_MAX)
        wrong(r, "it is nested too deeply");
    if (!lua_istable(L, index) || lua_getfield(L, index, "type") != LUA_TNUMBER)
        wrong(r, "a type is expected, such as s.string{}");
    lua_Integer type = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (type < 0 || type >= SLD_CONF_TYPE_COUNT)
        wrong(r, "a type is expected, such as s.string{}");
    c->type = (enum sld_conf_type)type;
    struct sld_str around = r->at;
    c->at = text(r, index, "at");
    r->at = c->at.n ? c->at : around;
    c->doc = text(r, index, "doc");
    c->pattern = text(r, index, "pattern");
    lua_getfield(L, index, "required");
    c->required = lua_toboolean(L, -1);
    lua_pop(L, 1);
    c->has_min = bound(r, index, "min", c->type, &c->min);
    c->has_max = bound(r, index, "max", c->type, &c->max);
    struct sld_err err = {0};
    if (c->pattern.n && !(c->regex = sld_regex_create(c->pattern, &err)))
        wrong(r, lua_pushfstring(L, "pattern: %s", err.msg));
    if (c->type == SLD_CONF_ENUM)
        read_values(r, index, c);
    if (c->type == SLD_CONF_RECORD || c->type == SLD_CONF_LIST || c->type == SLD_CONF_MAP)
        read_of(r, index, c, depth);
    c->fallback = read_value(r, index, "default", c);
    c->example = read_value(r, index, "example", c);
    r->at = around;
}

void pl_conf_read(lua_State *L, int index, struct sld_arena *a, struct sld_conf *out)
{
    struct reading r = {.L = L, .a = a, .path = SLD_STR("")};
    index = lua_absindex(L, index);
    read(&r, index, out, 0);
    if (out->type != SLD_CONF_RECORD)
        wrong(&r, "it must be a record, as in s.record{...}");
}

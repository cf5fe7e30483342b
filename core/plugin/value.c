// Free-form values (google.protobuf.Value) to Lua and back.
#include "plugin/value.h"

#include "plugin/schema.h"

enum { DEPTH_MAX = 32 };

// ---- From Lua ----

// An arena, and how many bytes of it may be used when all is done.
struct sink {
    struct sld_arena *a;
    size_t end;
};

static Google__Protobuf__Value *from(lua_State *L, int index, const struct sink *to, unsigned depth);

// To be called in front of N bytes.
static void check_room(lua_State *L, const struct sink *to, size_t n)
{
    pl_spend(L, n / 8);
    if (n > to->end || to->a->used_bytes > to->end - n)
        pl_error(L, "a value is larger than there is room for here; make it smaller");
}

static void from_table(lua_State *L, int index, const struct sink *to, unsigned depth, Google__Protobuf__Value *v)
{
    struct sld_arena *a = to->a;
    lua_Integer n = (lua_Integer)lua_rawlen(L, index);
    size_t keys = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        keys++;
    pl_spend(L, keys);
    if (n > 0 && keys == (size_t)n) {
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        v->list_value = SLD_MSG(a, Google__Protobuf__ListValue, google__protobuf__list_value);
        for (lua_Integer i = 1; i <= n; i++) {
            lua_rawgeti(L, index, i);
            SLD_PUSH(a, v->list_value->values, v->list_value->n_values, from(L, -1, to, depth + 1));
            lua_pop(L, 1);
        }
        return;
    }
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    v->struct_value = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    pl_sorted_keys(L, index);
    for (size_t i = 1; i <= keys; i++) {
        Google__Protobuf__Struct__FieldsEntry *e =
            SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
        lua_rawgeti(L, -1, (lua_Integer)i);
        struct sld_str key = pl_str(L, -1);
        if (!key.p)
            pl_error(L, "a mapping has a key that is no string");
        check_room(L, to, key.n);
        e->key = sld_arena_cstr(a, key);
        lua_rawget(L, index);
        e->value = from(L, -1, to, depth + 1);
        SLD_PUSH(a, v->struct_value->fields, v->struct_value->n_fields, e);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static Google__Protobuf__Value *from(lua_State *L, int index, const struct sink *to, unsigned depth)
{
    index = lua_absindex(L, index);
    size_t n = lua_type(L, index) == LUA_TSTRING ? lua_rawlen(L, index) : 0;
    check_room(L, to, sizeof(Google__Protobuf__Value) + n);
    Google__Protobuf__Value *v = SLD_MSG(to->a, Google__Protobuf__Value, google__protobuf__value);
    luaL_checkstack(L, 10, NULL);
    if (depth > DEPTH_MAX)
        pl_error(L, "a value is nested more than %d deep", DEPTH_MAX);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
        break;
    case LUA_TBOOLEAN:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        v->bool_value = lua_toboolean(L, index);
        break;
    case LUA_TNUMBER:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        v->number_value = lua_tonumber(L, index);
        break;
    case LUA_TSTRING:
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        v->string_value = sld_arena_cstr(to->a, pl_str(L, index));
        break;
    case LUA_TTABLE:
        if (pl_thawed(L, index))
            lua_replace(L, index);
        from_table(L, index, to, depth, v);
        break;
    case LUA_TLIGHTUSERDATA: // json.null; scripts have no other
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
        break;
    default:
        pl_error(L, "a %s cannot be a value here", luaL_typename(L, index));
    }
    return v;
}

Google__Protobuf__Value *pl_to_value_within(lua_State *L, int index, struct sld_arena *a, size_t room)
{
    const struct sink to = {a, a->used_bytes + room};
    lua_pushvalue(L, index); // a frozen table is replaced on the stack
    Google__Protobuf__Value *v = from(L, -1, &to, 0);
    lua_pop(L, 1);
    return v;
}

Google__Protobuf__Value *pl_to_value(lua_State *L, int index, struct sld_arena *a)
{
    return pl_to_value_within(L, index, a, UINT32_MAX);
}

// ---- To Lua ----

void pl_push_value(lua_State *L, const Google__Protobuf__Value *v)
{
    luaL_checkstack(L, 6, NULL);
    pl_spend(L, 1);
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE: {
        lua_Integer i;
        if (lua_numbertointeger(v->number_value, &i) && (double)i >= v->number_value && (double)i <= v->number_value)
            lua_pushinteger(L, i);
        else
            lua_pushnumber(L, v->number_value);
        break;
    }
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        lua_pushstring(L, v->string_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        lua_pushboolean(L, v->bool_value);
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        lua_createtable(L, 0, (int)v->struct_value->n_fields);
        for (size_t i = 0; i < v->struct_value->n_fields; i++) {
            pl_push_value(L, v->struct_value->fields[i]->value);
            lua_setfield(L, -2, v->struct_value->fields[i]->key);
        }
        break;
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        lua_createtable(L, (int)v->list_value->n_values, 0);
        for (size_t i = 0; i < v->list_value->n_values; i++) {
            pl_push_value(L, v->list_value->values[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    default:
        lua_pushnil(L);
    }
}

// ---- Configurations ----

static const Google__Protobuf__Value *field(const Google__Protobuf__Value *v, struct sld_str name)
{
    for (size_t i = 0; v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE && i < v->struct_value->n_fields; i++) {
        if (sld_str_eq(sld_str_c(v->struct_value->fields[i]->key), name))
            return v->struct_value->fields[i]->value;
    }
    return NULL;
}

static void push_record(lua_State *L, const struct sld_conf *c, const Google__Protobuf__Value *v)
{
    lua_createtable(L, 0, (int)c->field_count);
    for (size_t i = 0; i < c->field_count; i++) {
        const struct sld_conf *f = &c->fields[i];
        const Google__Protobuf__Value *x = field(v, f->name);
        if (!x || x->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE)
            x = f->fallback;
        if (!x && f->type != SLD_CONF_RECORD)
            continue;
        pl_push_str(L, f->name);
        pl_push_conf(L, f, x);
        lua_rawset(L, -3);
    }
}

// A reference to a secret: what it prints as says nothing.
static int secret_text(lua_State *L)
{
    lua_pushliteral(L, "***");
    return 1;
}

// secret:value(): its text, where there is one.
static int secret_value(lua_State *L)
{
    luaL_checkudata(L, 1, PL_SECRET);
    lua_getiuservalue(L, 1, 1);
    if (lua_getfield(L, -1, SLD_CONF_SECRET_TEXT) != LUA_TSTRING)
        pl_error(L, "the value of a secret is not seen here; it can be set, or used by hooks of requests");
    return 1;
}

static int secret_index(lua_State *L)
{
    if (!sld_str_eq(pl_str(L, 2), SLD_STR("value")))
        pl_error(L, "a secret has nothing but value()");
    lua_pushcfunction(L, secret_value);
    return 1;
}

static void push_secret(lua_State *L, const Google__Protobuf__Value *v)
{
    lua_newuserdatauv(L, 0, 1);
    pl_push_value(L, v);
    lua_setiuservalue(L, -2, 1);
    if (luaL_newmetatable(L, PL_SECRET)) {
        lua_pushcfunction(L, secret_text);
        lua_setfield(L, -2, "__tostring");
        lua_pushcfunction(L, secret_index);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

void pl_push_conf(lua_State *L, const struct sld_conf *c, const Google__Protobuf__Value *v)
{
    double n;
    luaL_checkstack(L, 6, NULL);
    switch (c->type) {
    case SLD_CONF_RECORD:
        push_record(L, c, v);
        break;
    case SLD_CONF_LIST:
        lua_createtable(L, (int)v->list_value->n_values, 0);
        for (size_t i = 0; i < v->list_value->n_values; i++) {
            pl_push_conf(L, c->item, v->list_value->values[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case SLD_CONF_MAP:
        lua_createtable(L, 0, (int)v->struct_value->n_fields);
        for (size_t i = 0; i < v->struct_value->n_fields; i++) {
            pl_push_conf(L, c->item, v->struct_value->fields[i]->value);
            lua_setfield(L, -2, v->struct_value->fields[i]->key);
        }
        break;
    case SLD_CONF_DURATION:
    case SLD_CONF_SIZE:
        if (!sld_conf_quantity(c->type, v, &n))
            n = 0;
        lua_pushnumber(L, n);
        break;
    case SLD_CONF_SECRET_REF:
        push_secret(L, v);
        break;
    default:
        pl_push_value(L, v);
    }
}

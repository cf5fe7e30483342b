// Messages, lists and maps as a script sees them. A handle knows the call it was lent to: later it is
// stale. What is set is decoded like a document, so that types, names and errors are those users know.
#include "plugin/handle.h"

#include <stdio.h>

#include "codec/text.h"
#include "plugin/value.h"

#define HANDLE "solder.handle"
enum { DEPTH_MAX = 32 };

struct handle {
    struct pl_edit *edit;
    uint64_t call;
    ProtobufCMessage *m;
    int field;               // of a list or map: the field of M; -1: M itself
    bool read_only, copied;  // copied: an unpacked Any, which is set as a whole
    const struct handle *up; // kept alive as the user value
    const char *name;        // in UP: a field's name, or NULL
    size_t index;            // in UP, a list, from 1
    struct sld_str key;      // in UP, a map
};

// ---- Handles ----

static struct handle *check_handle(lua_State *L, int index)
{
    struct handle *h = luaL_checkudata(L, index, HANDLE);
    if (h->call != pl_host_of(L)->call)
        pl_error(L, "the handle is stale: it was lent to a call that is over");
    return h;
}

static void print_path(struct sld_buf *b, const struct handle *h)
{
    if (!h)
        return;
    print_path(b, h->up);
    if (h->name)
        sld_buf_addf(b, "%s%s", b->n ? "." : "", h->name);
    else if (h->key.p)
        sld_buf_addf(b, "[\"%.*s\"]", SLD_FMT(h->key));
    else
        sld_buf_addf(b, "[%zu]", h->index);
}

// Raises "<place>: <path of H>.<sub>: <words>".
static _Noreturn void wrong(lua_State *L, const struct handle *h, struct sld_str sub, const char *fmt, ...) SLD_PRINTF(4, 5);
static _Noreturn void wrong(lua_State *L, const struct handle *h, struct sld_str sub, const char *fmt, ...)
{
    struct sld_buf b;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    sld_buf_init(&b, 300);
    print_path(&b, h);
    sld_buf_addf(&b, "%s%.*s: ", sub.n && sub.p[0] != '[' ? "." : "", SLD_FMT(sub));
    sld_buf_vaddf(&b, fmt, ap);
    va_end(ap);
    snprintf(text, sizeof(text), "%.*s", SLD_FMT(sld_buf_str(&b)));
    sld_buf_fini(&b);
    pl_error(L, "%s", text);
}

// A new handle on top; UP, at index UP_AT, stays alive with it (0: none).
static struct handle *push(lua_State *L, struct pl_edit *edit, ProtobufCMessage *m, int up_at)
{
    const struct handle *up = up_at ? lua_touserdata(L, up_at) : NULL;
    struct handle *h = lua_newuserdatauv(L, sizeof(*h), up != NULL);
    *h = (struct handle){.edit = edit, .call = pl_host_of(L)->call, .m = m, .field = -1, .up = up,
                         .read_only = up && up->read_only, .copied = up && up->copied};
    if (up) {
        lua_pushvalue(L, up_at);
        lua_setiuservalue(L, -2, 1);
    }
    luaL_setmetatable(L, HANDLE);
    return h;
}

static const struct sld_msg_info *info_of(const struct handle *h)
{
    return sld_msg_info(h->m->descriptor);
}

// ---- Reading ----

static void push_any(lua_State *L, const struct handle *h, const Google__Protobuf__Any *any, int up_at)
{
    pl_spend(L, any->value.len / 8);
    ProtobufCMessage *m = sld_msg_unpack(h->edit->arena, any);
    if (!m) {
        lua_createtable(L, 0, 1);
        lua_pushstring(L, any->type_url);
        lua_setfield(L, -2, "@type");
        return;
    }
    struct handle *in = push(L, h->edit, m, up_at);
    in->read_only = in->copied = true;
}

// The value V of H; what is a message gets UP_AT as its parent, whose place in it the caller sets in the
// handle that is returned (NULL: no handle was pushed).
static struct handle *push_value(lua_State *L, const struct handle *h, struct sld_value v, int up_at)
{
    Google__Protobuf__Value wrap = GOOGLE__PROTOBUF__VALUE__INIT;
    struct sld_buf b;
    switch (v.kind) {
    case SLD_VALUE_NONE:
        lua_pushnil(L);
        return NULL;
    case SLD_VALUE_BOOL:
        lua_pushboolean(L, v.b);
        return NULL;
    case SLD_VALUE_INT:
        lua_pushinteger(L, v.i);
        return NULL;
    case SLD_VALUE_UINT:
        if (v.u > INT64_MAX)
            lua_pushnumber(L, (lua_Number)v.u);
        else
            lua_pushinteger(L, (lua_Integer)v.u);
        return NULL;
    case SLD_VALUE_DOUBLE:
        lua_pushnumber(L, v.d);
        return NULL;
    case SLD_VALUE_STRING:
    case SLD_VALUE_BYTES:
        pl_push_str(L, v.s);
        return NULL;
    case SLD_VALUE_MESSAGE:
        break;
    }
    switch (sld_msg_info(v.m->descriptor)->wkt) {
    case SLD_WKT_NONE:
    case SLD_WKT_EMPTY:
        return push(L, h->edit, v.m, up_at);
    case SLD_WKT_ANY:
        push_any(L, h, (const Google__Protobuf__Any *)v.m, up_at);
        return lua_isuserdata(L, -1) ? lua_touserdata(L, -1) : NULL;
    case SLD_WKT_STRUCT:
        wrap.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        wrap.struct_value = (Google__Protobuf__Struct *)v.m;
        pl_push_value(L, &wrap);
        return NULL;
    case SLD_WKT_VALUE:
        pl_push_value(L, (const Google__Protobuf__Value *)v.m);
        return NULL;
    case SLD_WKT_LIST:
        wrap.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        wrap.list_value = (Google__Protobuf__ListValue *)v.m;
        pl_push_value(L, &wrap);
        return NULL;
    default: // durations and times as their text
        sld_buf_init(&b, 200);
        sld_doc_print(&b, v.m, SLD_TEXT_JSON_COMPACT, false);
        struct sld_str s = sld_str_trim(sld_buf_str(&b));
        if (s.n >= 2 && s.p[0] == '"')
            s = sld_str_sub(s, 1, s.n - 2);
        char text[200];
        snprintf(text, sizeof(text), "%.*s", SLD_FMT(s));
        sld_buf_fini(&b);
        lua_pushstring(L, text);
        return NULL;
    }
}

static _Noreturn void unknown_field(lua_State *L, const struct handle *h, struct sld_str name)
{
    const struct sld_msg_info *info = info_of(h);
    size_t best = 4;
    const char *like = NULL;
    for (unsigned i = 0; i < info->desc->n_fields; i++) {
        const char *const both[] = {info->desc->fields[i].name, info->fields[i].json_name};
        for (size_t k = 0; k < 2; k++) {
            size_t d = sld_str_distance(name, sld_str_c(both[k]), best);
            if (d < best) {
                best = d;
                like = info->desc->fields[i].name;
            }
        }
    }
    wrong(L, h, sld_str_utf8_cut(name, 60), "%s has no such field%s%s%s", info->desc->name, like ? "; did you mean " : "",
          like ? like : "", like ? "?" : "");
}

static unsigned check_field(lua_State *L, const struct handle *h, int index)
{
    struct sld_str name = pl_str(L, index);
    int at = name.p ? sld_msg_field_index(info_of(h), name) : -1;
    if (at < 0) {
        pl_tostring(L, index);
        unknown_field(L, h, pl_str(L, -1));
    }
    return (unsigned)at;
}

static int index_message(lua_State *L, struct handle *h)
{
    if (sld_str_eq(pl_str(L, 2), SLD_STR("@type"))) {
        lua_pushfstring(L, "type.googleapis.com/%s", h->m->descriptor->name);
        return 1;
    }
    unsigned at = check_field(L, h, 2);
    const ProtobufCFieldDescriptor *f = &h->m->descriptor->fields[at];
    struct handle *in;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        in = push(L, h->edit, h->m, 1);
        in->field = (int)at;
    } else {
        in = push_value(L, h, sld_msg_get(h->m, at, 0), 1);
    }
    if (in)
        in->name = f->name;
    return 1;
}

static bool is_map(const struct handle *h)
{
    return info_of(h)->fields[h->field].is_map;
}

// Pushes the value of entry I of a map.
static void push_entry(lua_State *L, const struct handle *h, size_t i, int up_at)
{
    const ProtobufCMessage *e = sld_msg_get(h->m, (unsigned)h->field, i).m;
    struct handle *in = push_value(L, h, sld_msg_get(e, 1, 0), up_at);
    if (in)
        in->key = sld_msg_get(e, 0, 0).s;
}

static int index_map(lua_State *L, struct handle *h)
{
    struct sld_str key = pl_str(L, 2);
    ptrdiff_t at = key.p ? sld_msg_map_find(h->m, (unsigned)h->field, key) : -1;
    if (at < 0)
        lua_pushnil(L);
    else
        push_entry(L, h, (size_t)at, 1);
    return 1;
}

static int index_list(lua_State *L, struct handle *h)
{
    lua_Integer i = lua_isinteger(L, 2) ? lua_tointeger(L, 2) : 0;
    if (!lua_isinteger(L, 2))
        wrong(L, h, SLD_STR(""), "elements of a list have numbers, from 1");
    if (i < 1 || (size_t)i > sld_msg_count(h->m, (unsigned)h->field)) {
        lua_pushnil(L);
        return 1;
    }
    struct handle *in = push_value(L, h, sld_msg_get(h->m, (unsigned)h->field, (size_t)i - 1), 1);
    if (in)
        in->index = (size_t)i;
    return 1;
}

static int l_index(lua_State *L)
{
    struct handle *h = check_handle(L, 1);
    pl_spend(L, 4);
    return h->field < 0 ? index_message(L, h) : is_map(h) ? index_map(L, h) : index_list(L, h);
}

static int l_len(lua_State *L)
{
    struct handle *h = check_handle(L, 1);
    if (h->field < 0)
        wrong(L, h, SLD_STR(""), "a message has no length");
    lua_pushinteger(L, (lua_Integer)sld_msg_count(h->m, (unsigned)h->field));
    return 1;
}

// ---- Values as trees ----

static struct sld_node *to_node(lua_State *L, int index, struct pl_edit *edit, unsigned depth);

static struct sld_node *secret_node(lua_State *L, int index, struct pl_edit *edit)
{
    struct sld_str parts[3] = {SLD_STR(""), SLD_STR(""), SLD_STR("")}, text;
    static const char *const names[] = {"namespace", "name", "key"};
    lua_getiuservalue(L, index, 1);
    for (size_t i = 0; i < 3; i++) {
        if (lua_getfield(L, -1, names[i]) == LUA_TSTRING)
            parts[i] = sld_arena_str(edit->arena, pl_str(L, -1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    struct sld_err err = {0};
    if (!edit->secret)
        pl_error(L, "secrets are not available here");
    if (!edit->secret(edit->user, parts[0], parts[1], parts[2], &text, &err))
        pl_error(L, "%s", err.msg);
    return sld_node_scalar(edit->arena, text, true);
}

// An extension that is not known here travels as a TypedStruct, which Envoy converts.
static struct sld_node *wrap_unknown(struct sld_arena *a, struct sld_node *map)
{
    struct sld_str url = sld_node_text(sld_node_get(map, SLD_STR("@type"))), rest = url, name = url;
    while (url.p && sld_str_cut(&rest, '/', &name))
        ;
    if (!url.p || sld_msg_find(name))
        return map;
    struct sld_node *value = sld_node_map(a), *out = sld_node_map(a);
    for (size_t i = 0; i < map->count; i++) {
        if (!sld_str_eq(map->pairs[i].key->text, SLD_STR("@type")))
            sld_node_set(a, value, map->pairs[i].key->text, map->pairs[i].value);
    }
    sld_node_set(a, out, SLD_STR("@type"), sld_node_scalar(a, SLD_STR("type.googleapis.com/xds.type.v3.TypedStruct"), true));
    sld_node_set(a, out, SLD_STR("typeUrl"), sld_node_scalar(a, url, true));
    sld_node_set(a, out, SLD_STR("value"), value);
    return out;
}

static struct sld_node *table_node(lua_State *L, int index, struct pl_edit *edit, unsigned depth)
{
    struct sld_arena *a = edit->arena;
    size_t n = lua_rawlen(L, index), keys = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        keys++;
    pl_spend(L, keys);
    if (n && keys == n) {
        struct sld_node *seq = SLD_ARENA_NEW(a, struct sld_node);
        seq->type = SLD_NODE_SEQ;
        seq->items = SLD_ARENA_ARRAY(a, struct sld_node *, n);
        for (size_t i = 0; i < n; i++) {
            lua_rawgeti(L, index, (lua_Integer)i + 1);
            seq->items[seq->count++] = to_node(L, lua_gettop(L), edit, depth + 1);
            lua_pop(L, 1);
        }
        return seq;
    }
    struct sld_node *map = sld_node_map(a);
    pl_sorted_keys(L, index);
    for (size_t i = 1; i <= keys; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i);
        if (lua_type(L, -1) != LUA_TSTRING)
            pl_error(L, "a table has numbers and names as keys; it is either a list or a mapping");
        pl_spend(L, pl_str(L, -1).n / 8);
        struct sld_str key = sld_arena_str(a, pl_str(L, -1));
        lua_rawget(L, index);
        sld_node_set(a, map, key, to_node(L, lua_gettop(L), edit, depth + 1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return wrap_unknown(a, map);
}

static struct sld_node *to_node(lua_State *L, int index, struct pl_edit *edit, unsigned depth)
{
    struct sld_arena *a = edit->arena;
    luaL_checkstack(L, 10, NULL);
    if (depth > DEPTH_MAX)
        pl_error(L, "a value is nested more than %d deep", DEPTH_MAX);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return SLD_ARENA_NEW(a, struct sld_node);
    case LUA_TBOOLEAN:
        return sld_node_scalar(a, lua_toboolean(L, index) ? SLD_STR("true") : SLD_STR("false"), false);
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            return sld_node_scalar(a, sld_arena_fmt(a, "%lld", (long long)lua_tointeger(L, index)), false);
        return sld_node_scalar(a, sld_arena_fmt(a, "%.17g", lua_tonumber(L, index)), false);
    case LUA_TSTRING:
        pl_spend(L, pl_str(L, index).n / 8);
        return sld_node_scalar(a, sld_arena_str(a, pl_str(L, index)), true);
    case LUA_TTABLE:
        if (pl_thawed(L, index))
            lua_replace(L, index);
        return table_node(L, index, edit, depth);
    default:
        if (luaL_testudata(L, index, PL_SECRET))
            return secret_node(L, index, edit);
        pl_error(L, "a %s cannot be set", luaL_testudata(L, index, HANDLE) ? "handle" : luaL_typename(L, index));
    }
}

struct sld_node *pl_to_node(lua_State *L, int index, struct pl_edit *edit)
{
    lua_pushvalue(L, index); // a frozen table is replaced on the stack
    struct sld_node *n = to_node(L, lua_gettop(L), edit, 0);
    lua_pop(L, 1);
    return n;
}

// ---- Writing ----

static int l_newindex(lua_State *L)
{
    struct handle *h = check_handle(L, 1);
    pl_spend(L, 10);
    if (h->copied)
        wrong(L, h, SLD_STR(""), "it is packed (Any); set it as a whole, with \"@type\"");
    if (h->read_only)
        wrong(L, h, SLD_STR(""), "it is read-only");
    unsigned field = h->field < 0 ? check_field(L, h, 2) : (unsigned)h->field;
    struct sld_arena *a = h->edit->arena;
    struct sld_node *node = pl_to_node(L, 3, h->edit);
    struct sld_report r = {.arena = a};
    bool ok;
    if (h->field < 0) {
        ok = sld_msg_set(a, h->m, field, node, &r);
    } else if (is_map(h)) {
        if (lua_type(L, 2) != LUA_TSTRING)
            wrong(L, h, SLD_STR(""), "the keys of a map are strings");
        ok = sld_msg_map_set(a, h->m, field, sld_arena_str(a, pl_str(L, 2)), node, &r);
    } else {
        size_t n = sld_msg_count(h->m, field);
        lua_Integer i = lua_isinteger(L, 2) ? lua_tointeger(L, 2) : 0;
        if (i < 1 || (size_t)i > n + (node->type != SLD_NODE_NULL))
            wrong(L, h, SLD_STR(""), "the list has %zu elements; one more can be added at %zu", n, n + 1);
        ok = true;
        if (node->type == SLD_NODE_NULL && (size_t)i < n)
            wrong(L, h, SLD_STR(""), "nil takes the last element out; use table.remove for others");
        if (node->type == SLD_NODE_NULL)
            sld_msg_remove_item(h->m, field, n - 1);
        else
            ok = sld_msg_set_item(a, h->m, field, (size_t)i - 1, node, &r);
    }
    if (!ok)
        wrong(L, h->field < 0 ? h : h->up, r.items[0].path, "%.*s", SLD_FMT(r.items[0].message));
    return 0;
}

// ---- Walking ----

// Upvalues: the handle, the names (of set fields or of keys; a number: a list), how many were passed.
static int walk(lua_State *L)
{
    struct handle *h = check_handle(L, lua_upvalueindex(1));
    lua_Integer i = lua_tointeger(L, lua_upvalueindex(3)) + 1;
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushinteger(L, i);
    lua_copy(L, -1, lua_upvalueindex(3));
    if (h->field < 0 || is_map(h)) {
        if (lua_rawgeti(L, lua_upvalueindex(2), i) == LUA_TNIL)
            return 1;
        lua_replace(L, 2);
    }
    lua_settop(L, 2);
    l_index(L);
    if (lua_isnil(L, -1))
        return 1;
    lua_pushvalue(L, 2);
    lua_insert(L, -2);
    return 2;
}

static int l_pairs(lua_State *L)
{
    struct handle *h = check_handle(L, 1);
    lua_settop(L, 1);
    lua_newtable(L);
    if (h->field < 0) {
        lua_Integer n = 0;
        for (unsigned i = 0; i < h->m->descriptor->n_fields; i++) {
            if (!sld_msg_field_set(h->m, i))
                continue;
            lua_pushstring(L, h->m->descriptor->fields[i].name);
            lua_rawseti(L, 2, ++n);
        }
    } else if (is_map(h)) {
        for (size_t i = 0; i < sld_msg_count(h->m, (unsigned)h->field); i++) {
            pl_push_str(L, sld_msg_get(sld_msg_get(h->m, (unsigned)h->field, i).m, 0, 0).s);
            lua_pushboolean(L, 1);
            lua_rawset(L, 2);
        }
        pl_sorted_keys(L, 2);
        lua_replace(L, 2);
    }
    pl_spend(L, lua_rawlen(L, 2));
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, walk, 3);
    return 1;
}

static int l_text(lua_State *L)
{
    struct handle *h = check_handle(L, 1);
    struct sld_buf b;
    sld_buf_init(&b, pl_host_of(L)->limits.string_bytes);
    sld_doc_print(&b, h->m, SLD_TEXT_JSON_COMPACT, true);
    size_t n = b.n;
    pl_spend(L, n / 8);
    struct sld_str s = sld_arena_str(h->edit->arena, sld_buf_str(&b));
    sld_buf_fini(&b);
    pl_push_str(L, sld_str_trim(s));
    return 1;
}

void pl_push_message(lua_State *L, struct pl_edit *edit, ProtobufCMessage *m, const char *name, bool read_only)
{
    static const luaL_Reg methods[] = {{"__index", l_index}, {"__newindex", l_newindex}, {"__len", l_len},
                                       {"__pairs", l_pairs}, {"__tostring", l_text},     {NULL, NULL}};
    if (luaL_newmetatable(L, HANDLE)) {
        luaL_setfuncs(L, methods, 0);
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
    struct handle *h = push(L, edit, m, 0);
    h->name = name;
    h->read_only = read_only;
}

// solder.json: JSON (RFC 8259) by the codec's scanner, straight into Lua's values.
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "codec/scan.h"
#include "plugin/library.h"

enum { DEPTH_MAX = SLD_SCAN_DEPTH_MAX };

// ---- Reading ----

struct reading {
    lua_State *L;
    struct sld_scan s;
    const char *text;
    unsigned max_depth;
    const char *words; // what is wrong, when it is not the syntax
    const char *words_at;
};

static bool read_value(struct reading *r);

static bool wrong(struct reading *r, const char *words)
{
    if (!r->words) {
        r->words = words;
        r->words_at = r->s.p;
    }
    return false;
}

static bool read_number(struct reading *r)
{
    struct sld_str text = sld_scan_number(&r->s);
    int64_t i;
    double d;
    if (!text.p)
        return false;
    if (sld_str_i64(text, &i)) {
        lua_pushinteger(r->L, i);
        return true;
    }
    if (!sld_str_double(text, &d))
        return wrong(r, "a number is too great or too long");
    lua_pushnumber(r->L, d);
    return true;
}

static bool read_string(struct reading *r)
{
    struct sld_str s = sld_scan_str(&r->s);
    if (s.p)
        pl_push_str(r->L, s);
    return s.p != NULL;
}

static bool read_array(struct reading *r)
{
    lua_State *L = r->L;
    lua_Integer n = 0;
    lua_newtable(L);
    int at = lua_gettop(L);
    sld_scan_array(&r->s);
    while (sld_scan_item(&r->s)) {
        if (!read_value(r))
            return false;
        lua_rawseti(L, at, ++n);
    }
    pl_mark_array(L, at);
    return !r->s.bad;
}

static bool read_object(struct reading *r)
{
    lua_State *L = r->L;
    struct sld_str key;
    lua_newtable(L);
    int at = lua_gettop(L);
    sld_scan_object(&r->s);
    while (sld_scan_member(&r->s, &key)) {
        pl_push_str(L, key);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, at) != LUA_TNIL)
            return wrong(r, "a name is there twice in one object");
        lua_pop(L, 1);
        if (!read_value(r))
            return false;
        lua_rawset(L, at);
    }
    return !r->s.bad;
}

static bool read_value(struct reading *r)
{
    luaL_checkstack(r->L, 8, NULL);
    pl_spend(r->L, 2);
    enum sld_scan_type type = sld_scan_type(&r->s);
    if ((type == SLD_SCAN_ARRAY || type == SLD_SCAN_OBJECT) && r->s.depth >= r->max_depth)
        return wrong(r, "it is nested too deeply");
    switch (type) {
    case SLD_SCAN_NULL:
        sld_scan_skip(&r->s);
        pl_push_null(r->L);
        return !r->s.bad;
    case SLD_SCAN_BOOL:
        lua_pushboolean(r->L, sld_scan_bool(&r->s));
        return !r->s.bad;
    case SLD_SCAN_NUMBER:
        return read_number(r);
    case SLD_SCAN_STRING:
        return read_string(r);
    case SLD_SCAN_ARRAY:
        return read_array(r);
    case SLD_SCAN_OBJECT:
        return read_object(r);
    default:
        return false;
    }
}

bool pl_json_read(lua_State *L, struct sld_str text, unsigned max_depth, struct sld_err *err)
{
    struct sld_arena *a = pl_arena(L);
    int top = lua_gettop(L);
    struct reading r = {.L = L, .text = text.p, .max_depth = max_depth};
    sld_scan_init(&r.s, text, a);
    bool ok = read_value(&r) && sld_scan_end(&r.s);
    if (!ok) {
        const char *at = r.words ? r.words_at : r.s.bad ? r.s.bad_at : r.s.p;
        sld_err_set(err, SLD_INVALID, "no valid JSON at byte %zu: %s", (size_t)(at - r.text) + 1,
                    r.words ? r.words : at == r.s.end ? "it ends too early" : "something else is expected");
    }
    pl_arena_done(a);
    if (ok)
        lua_replace(L, top);
    else
        lua_settop(L, top - 1);
    return ok;
}

// ---- Writing ----

static void newline(struct pl_out *o, unsigned indent, unsigned depth)
{
    if (!indent)
        return;
    pl_out_addc(o, '\n');
    for (unsigned i = 0; i < indent * depth; i++)
        pl_out_addc(o, ' ');
}

static bool write_string(struct pl_out *o, struct sld_str s, struct sld_err *err)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    size_t at, begin = 0;
    pl_spend(o->L, s.n / 16 + 1);
    if (!sld_str_utf8(s, &at)) {
        sld_err_set(err, SLD_INVALID, "a text is not UTF-8 at its byte %zu, so JSON cannot hold it; base64 can", at + 1);
        return false;
    }
    pl_out_addc(o, '"');
    for (size_t i = 0; i <= s.n; i++) {
        unsigned char c = i < s.n ? (unsigned char)s.p[i] : '"';
        if (c >= ' ' && c != '"' && c != '\\')
            continue;
        pl_out_add(o, sld_str_sub(s, begin, i - begin));
        begin = i + 1;
        if (i == s.n)
            break;
        const char *known = c ? memchr(from, c, sizeof(from) - 1) : NULL;
        char text[8];
        int n = known ? snprintf(text, sizeof(text), "\\%c", to[known - from]) : snprintf(text, sizeof(text), "\\u%04x", (unsigned)c);
        pl_out_add(o, sld_str_n(text, (size_t)n));
    }
    pl_out_addc(o, '"');
    return true;
}

static void write_number(struct pl_out *o, int index)
{
    char text[40];
    int n = 0;
    if (lua_isinteger(o->L, index)) {
        n = snprintf(text, sizeof(text), "%lld", (long long)lua_tointeger(o->L, index));
    } else {
        double d = lua_tonumber(o->L, index), back = 0;
        if (!isfinite(d))
            pl_error(o->L, "JSON has no number for %s", isnan(d) ? "nan" : "infinity");
        for (int digits = 15; digits <= 17; digits++) { // the shortest that means the same
            n = snprintf(text, sizeof(text), "%.*g", digits, d);
            if (sld_str_double(sld_str_n(text, (size_t)n), &back) && back >= d && back <= d)
                break;
        }
    }
    pl_out_add(o, sld_str_n(text, (size_t)n));
}

static bool write_array(struct pl_out *o, int index, lua_Integer n, unsigned indent, unsigned depth, struct sld_err *err)
{
    pl_out_addc(o, '[');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            pl_out_addc(o, ',');
        newline(o, indent, depth + 1);
        if (lua_rawgeti(o->L, index, i) == LUA_TNIL)
            pl_error(o->L, "an array has nothing at %lld of %lld; use json.null for null", (long long)i, (long long)n);
        if (!pl_json_write(o, -1, indent, depth + 1, err))
            return false;
        lua_pop(o->L, 1);
    }
    if (n)
        newline(o, indent, depth);
    pl_out_addc(o, ']');
    return true;
}

static bool write_object(struct pl_out *o, int index, unsigned indent, unsigned depth, struct sld_err *err)
{
    lua_State *L = o->L;
    pl_sorted_keys(L, index);
    int keys = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, keys);
    pl_out_addc(o, '{');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            pl_out_addc(o, ',');
        newline(o, indent, depth + 1);
        if (lua_rawgeti(L, keys, i) != LUA_TSTRING)
            pl_error(L, "a table has keys 1, 2, ... or strings, not both; a key is %s", luaL_tolstring(L, -1, NULL));
        if (!write_string(o, pl_str(L, -1), err))
            return false;
        pl_out_addc(o, ':');
        if (indent)
            pl_out_addc(o, ' ');
        lua_rawget(L, index);
        if (!pl_json_write(o, -1, indent, depth + 1, err))
            return false;
        lua_pop(L, 1);
    }
    if (n)
        newline(o, indent, depth);
    pl_out_addc(o, '}');
    lua_pop(L, 1);
    return true;
}

// The table on top; its mark is of the table that scripts see, its content may be elsewhere.
static bool write_table(struct pl_out *o, unsigned indent, unsigned depth, struct sld_err *err)
{
    lua_State *L = o->L;
    bool marked = pl_is_array(L, -1);
    if (pl_thawed(L, -1))
        lua_replace(L, -2);
    int index = lua_gettop(L);
    size_t keys = 0;
    lua_Integer n = (lua_Integer)lua_rawlen(L, index);
    if (marked || n > 0) {
        for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
            keys++;
        pl_spend(L, keys);
    }
    if (marked || (n > 0 && keys == (size_t)n)) {
        if (keys != (size_t)n)
            pl_error(L, "an array has keys other than 1 to %lld", (long long)n);
        return write_array(o, index, n, indent, depth, err);
    }
    return write_object(o, index, indent, depth, err);
}

bool pl_json_write(struct pl_out *o, int index, unsigned indent, unsigned depth, struct sld_err *err)
{
    lua_State *L = o->L;
    luaL_checkstack(L, 12, NULL);
    pl_spend(L, 2);
    index = lua_absindex(L, index);
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        pl_out_add(o, lua_toboolean(L, index) ? SLD_STR("true") : SLD_STR("false"));
        return true;
    case LUA_TNUMBER:
        write_number(o, index);
        return true;
    case LUA_TSTRING:
        return write_string(o, pl_str(L, index), err);
    case LUA_TTABLE:
        if (depth >= DEPTH_MAX)
            pl_error(L, "a table is nested more than %d deep, or holds itself", DEPTH_MAX);
        lua_pushvalue(L, index);
        if (!write_table(o, indent, depth, err))
            return false;
        lua_pop(L, 1);
        return true;
    default:
        if (!pl_is_null(L, index))
            pl_error(L, "a %s has no form in JSON", luaL_typename(L, index));
        pl_out_add(o, SLD_STR("null"));
        return true;
    }
}

// ---- Functions ----

static int decode(lua_State *L)
{
    struct sld_str text = pl_arg(L, 1);
    struct sld_err err = {0};
    pl_options(L, 2, &pl_json, "json.DecodeOptions");
    lua_Integer depth = pl_option_int(L, 2, "max_depth", DEPTH_MAX, 0, DEPTH_MAX);
    if (!pl_json_read(L, text, (unsigned)depth, &err))
        return pl_not_right(L, "%s", err.msg);
    return 1;
}

static int encode(lua_State *L)
{
    struct pl_out o;
    struct sld_err err = {0};
    luaL_checkany(L, 1);
    pl_options(L, 2, &pl_json, "json.EncodeOptions");
    lua_Integer indent = pl_option_int(L, 2, "indent", 0, 0, 8);
    pl_out_begin(&o, L, 64);
    if (!pl_json_write(&o, 1, (unsigned)indent, 0, &err))
        return pl_not_right(L, "%s", err.msg);
    pl_out_push(&o);
    return 1;
}

static int array(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    pl_mark_array(L, 1);
    return 1;
}

static void constants(lua_State *L)
{
    pl_push_null(L);
    lua_setfield(L, -2, "null");
}

static const struct pl_value values[] = {{"null", "json.Null", "Stands for JSON's null, in both directions. It is not nil, and counts as true."}};
static const struct pl_value decode_options[] = {{"max_depth?", "integer", "How deep arrays and objects may be nested: 0 to 64, which is the default."}};
static const struct pl_value encode_options[] = {{"indent?", "integer", "Spaces a level, 0 to 8; 0, the default: all on one line."}};
static const struct pl_class classes[] = {
    {.name = "json.Null", .doc = "What json.null is; tostring gives \"null\"."},
    {.name = "json.DecodeOptions", .doc = "How JSON is read.", PL_FIELDS(decode_options)},
    {.name = "json.EncodeOptions", .doc = "How JSON is written.", PL_FIELDS(encode_options)},
};
static const struct pl_binding bindings[] = {
    {.name = "decode", .fn = decode,
     .doc = "Reads JSON. Whole numbers that fit 64 bits are integers, others floats; null is json.null; arrays stay arrays when they are written "
            "again, also empty ones. A name that is there twice in an object, and text behind the value, are errors.",
     .params = {{"text", "string", "JSON in UTF-8."}, {"options?", "json.DecodeOptions", ""}},
     .returns = {{"value?", "any", "What it says; nil: it is not valid."}, {"words?", "string", "What is wrong, and at which byte."}},
     .example = "local user = assert(json.decode('{\"name\": \"ada\", \"roles\": [], \"boss\": null}'))\n"
                "assert(user.name == \"ada\" and #user.roles == 0 and user.boss == json.null)\n"
                "local nothing, words = json.decode('{\"name\": }')\n"
                "assert(nothing == nil and words:find(\"byte 10\", 1, true))"},
    {.name = "encode", .fn = encode,
     .doc = "Writes JSON; names are in the order of their bytes, so that the same value gives the same text. A table with keys 1 to n is an array, "
            "an empty one an object, unless it is marked by json.array. Raises for what has no form in JSON.",
     .params = {{"value", "any", ""}, {"options?", "json.EncodeOptions", ""}},
     .returns = {{"text?", "string", "nil: a string in it is not UTF-8."}, {"words?", "string", "What is wrong."}},
     .example = "assert(json.encode{b = 1, a = {1, 2.5, true, json.null}} == '{\"a\":[1,2.5,true,null],\"b\":1}')\n"
                "assert(json.encode{list = json.array{}, map = {}} == '{\"list\":[],\"map\":{}}')"},
    {.name = "array", .fn = array, .doc = "Marks a table as an array, so that it is written as one even when it is empty.",
     .params = {{"table?", "table", "A new one when left out."}},
     .returns = {{"table", "table", "The same table."}},
     .example = "assert(json.encode(json.array()) == \"[]\")"},
};
const struct pl_module pl_json = {
    .name = "solder.json", .doc = "JSON, read and written within the ceilings of the plugin.",
    PL_BINDINGS(bindings), PL_CLASSES(classes),
    .constants = constants, .values = values, .value_count = SLD_ARRAY_LEN(values),
};

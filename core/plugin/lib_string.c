// The string library: the standard functions that need no guard, and our own of those that do.
#include "plugin/inside.h"

// ---- Searching ----

static void begin(struct pl_match *m, lua_State *L, struct sld_str subject, struct sld_str pattern)
{
    struct pl_host *h = pl_host_of(L);
    if (subject.n > h->limits.subject_bytes)
        pl_error(L, "a text of %zu bytes is too long for a pattern; at most %zu", subject.n,
                 h->limits.subject_bytes);
    *m = (struct pl_match){.L = L,
                           .subject = subject.p,
                           .end = subject.p + subject.n,
                           .pattern = pattern.p,
                           .pattern_end = pattern.p + pattern.n};
}

static const char *try_at(struct pl_match *m, const char *s)
{
    m->level = 0;
    m->depth = 0;
    return pl_pattern_match(m, s, m->pattern);
}

static void push_capture(struct pl_match *m, unsigned i, const char *s, const char *e)
{
    if (i >= m->level) {
        if (i != 0)
            pl_error(m->L, "invalid capture index %%%u", i + 1);
        lua_pushlstring(m->L, s, (size_t)(e - s));
        return;
    }
    if (m->capture[i].len == PL_CAP_OPEN)
        pl_error(m->L, "unfinished capture");
    if (m->capture[i].len == PL_CAP_PLACE)
        lua_pushinteger(m->L, m->capture[i].at - m->subject + 1);
    else
        lua_pushlstring(m->L, m->capture[i].at, (size_t)m->capture[i].len);
}

// All captures, or the whole match when there are none (S not NULL).
static int push_captures(struct pl_match *m, const char *s, const char *e)
{
    unsigned n = m->level == 0 && s ? 1 : m->level;
    luaL_checkstack(m->L, (int)n, "too many captures");
    for (unsigned i = 0; i < n; i++)
        push_capture(m, i, s, e);
    return (int)n;
}

static struct sld_str arg(lua_State *L, int index)
{
    size_t n;
    const char *p = luaL_checklstring(L, index, &n);
    return sld_str_n(p, n);
}

// Where position INIT of a text of N bytes is, from 0.
static size_t place(lua_Integer init, size_t n)
{
    if (init > 0)
        return (size_t)init - 1;
    if (init == 0 || init < -(lua_Integer)n)
        return 0;
    return n + (size_t)init;
}

static bool is_plain(struct sld_str pattern)
{
    for (size_t i = 0; i < pattern.n; i++) {
        if (pattern.p[i] && strchr("^$*+?.([%-", pattern.p[i]))
            return false;
    }
    return true;
}

static int find_plain(lua_State *L, struct sld_str s, struct sld_str what, size_t from)
{
    struct sld_str rest = sld_str_sub(s, from, s.n);
    pl_spend(L, rest.n / 16 * (what.n / 16 + 1));
    ptrdiff_t at = what.n ? sld_str_find(rest, what) : 0;
    if (at < 0) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, (lua_Integer)from + at + 1);
    lua_pushinteger(L, (lua_Integer)(from + (size_t)at + what.n));
    return 2;
}

static int search(lua_State *L, bool find)
{
    struct sld_str s = arg(L, 1), pattern = arg(L, 2);
    size_t from = place(luaL_optinteger(L, 3, 1), s.n);
    if (from > s.n) {
        lua_pushnil(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || is_plain(pattern)))
        return find_plain(L, s, pattern, from);
    struct pl_match m;
    begin(&m, L, s, pattern);
    bool anchored = pattern.n && pattern.p[0] == '^';
    m.pattern += anchored;
    const char *at = s.p + from;
    do {
        const char *e = try_at(&m, at);
        if (e && find) {
            lua_pushinteger(L, at - s.p + 1);
            lua_pushinteger(L, e - s.p);
            return push_captures(&m, NULL, NULL) + 2;
        }
        if (e)
            return push_captures(&m, at, e);
    } while (at++ < m.end && !anchored);
    lua_pushnil(L);
    return 1;
}

static int l_find(lua_State *L)
{
    return search(L, true);
}

static int l_match(lua_State *L)
{
    return search(L, false);
}

// Upvalues: text, pattern, where to go on (from 0), the end of the last match (or -1).
static int gmatch_next(lua_State *L)
{
    struct pl_match m;
    struct sld_str s = pl_str(L, lua_upvalueindex(1));
    begin(&m, L, s, pl_str(L, lua_upvalueindex(2)));
    lua_Integer last = lua_tointeger(L, lua_upvalueindex(4));
    for (const char *at = s.p + lua_tointeger(L, lua_upvalueindex(3)); at <= m.end; at++) {
        const char *e = try_at(&m, at);
        if (!e || e - s.p == last)
            continue;
        lua_pushinteger(L, e - s.p);
        lua_copy(L, -1, lua_upvalueindex(3));
        lua_replace(L, lua_upvalueindex(4));
        return push_captures(&m, at, e);
    }
    return 0;
}

static int l_gmatch(lua_State *L)
{
    struct sld_str s = arg(L, 1);
    arg(L, 2);
    size_t from = place(luaL_optinteger(L, 3, 1), s.n);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)(from > s.n ? s.n + 1 : from));
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

// ---- Replacing ----

static void add_by_text(struct pl_match *m, luaL_Buffer *b, const char *s, const char *e)
{
    struct sld_str text = pl_str(m->L, 3);
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c != '%') {
            luaL_addchar(b, c);
            continue;
        }
        c = ++i < text.n ? text.p[i] : 0;
        if (c == '%') {
            luaL_addchar(b, c);
        } else if (c == '0') {
            luaL_addlstring(b, s, (size_t)(e - s));
        } else if (c >= '1' && c <= '9') {
            push_capture(m, (unsigned)(c - '1'), s, e);
            luaL_tolstring(m->L, -1, NULL);
            lua_remove(m->L, -2);
            luaL_addvalue(b);
        } else {
            pl_error(m->L, "invalid use of '%%' in replacement string");
        }
    }
}

static bool add_replacement(struct pl_match *m, luaL_Buffer *b, const char *s, const char *e, int type)
{
    lua_State *L = m->L;
    if (type == LUA_TNUMBER || type == LUA_TSTRING) {
        add_by_text(m, b, s, e);
        return true;
    }
    if (type == LUA_TFUNCTION) {
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, e), 1);
    } else {
        push_capture(m, 0, s, e);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(b, s, (size_t)(e - s));
        return false;
    }
    if (!lua_isstring(L, -1))
        pl_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(b);
    return true;
}

static int l_gsub(lua_State *L)
{
    struct sld_str s = arg(L, 1), pattern = arg(L, 2);
    int type = lua_type(L, 3);
    luaL_argexpected(L, type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE,
                     3, "string/function/table");
    if (type == LUA_TNUMBER)
        lua_tolstring(L, 3, NULL);
    lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)s.n + 1), n = 0;
    bool anchored = pattern.n && pattern.p[0] == '^', changed = false;
    const char *at = s.p, *last = NULL;
    struct pl_match m;
    begin(&m, L, s, pattern);
    m.pattern += anchored;
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (n < max) {
        const char *e = try_at(&m, at);
        if (e && e != last) {
            n++;
            changed |= add_replacement(&m, &b, at, e, type);
            pl_string_fits(L, luaL_bufflen(&b));
            at = last = e;
        } else if (at < m.end) {
            luaL_addchar(&b, *at++);
        } else {
            break;
        }
        if (anchored)
            break;
    }
    if (changed) {
        luaL_addlstring(&b, at, (size_t)(m.end - at));
        pl_string_fits(L, luaL_bufflen(&b));
        luaL_pushresult(&b);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, n);
    return 2;
}

// ---- Making ----

static int l_rep(lua_State *L)
{
    struct sld_str s = arg(L, 1);
    lua_Integer n = luaL_checkinteger(L, 2);
    size_t sep_n;
    const char *sep = luaL_optlstring(L, 3, "", &sep_n);
    if (n <= 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    size_t max = pl_host_of(L)->limits.string_bytes, each = s.n + sep_n;
    if (each && (size_t)n > (max + sep_n) / each)
        pl_error(L, "the resulting string is longer than %zu bytes", max);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    pl_spend(L, each ? (size_t)n : 0);
    for (lua_Integer i = 0; i < n && each; i++) {
        luaL_addlstring(&b, s.p, s.n);
        if (i + 1 < n)
            luaL_addlstring(&b, sep, sep_n);
    }
    luaL_pushresult(&b);
    return 1;
}

// The standard function on arguments in which nothing shows an address.
static int l_format(lua_State *L)
{
    struct sld_str f = arg(L, 1);
    int at = 1;
    for (size_t i = 0; i < f.n; i++) {
        if (f.p[i] != '%' || (i + 1 < f.n && f.p[i + 1] == '%')) {
            i += f.p[i] == '%';
            continue;
        }
        at++;
        while (++i < f.n && strchr("-+ #0123456789.", f.p[i]))
            ;
        char what = i < f.n ? f.p[i] : 0;
        if (what == 'p')
            pl_error(L, "%%p is not available in plugins");
        if (what == 's' && lua_type(L, at) != LUA_TSTRING && at <= lua_gettop(L)) {
            pl_tostring(L, at);
            lua_replace(L, at);
        }
    }
    int n = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, 1);
    pl_string_fits(L, lua_rawlen(L, -1));
    return 1;
}

void pl_open_string(lua_State *L)
{
    static const char *const plain[] = {"byte", "char", "len", "lower", "pack", "packsize",
                                        "reverse", "sub", "unpack", "upper"};
    static const luaL_Reg own[] = {{"find", l_find}, {"gmatch", l_gmatch}, {"gsub", l_gsub},
                                   {"match", l_match}, {"rep", l_rep}, {NULL, NULL}};
    luaL_newlib(L, own);
    luaopen_string(L); // also gives strings a metatable
    for (size_t i = 0; i < SLD_ARRAY_LEN(plain); i++) {
        lua_getfield(L, -1, plain[i]);
        lua_setfield(L, -3, plain[i]);
    }
    lua_getfield(L, -1, "format");
    lua_pushcclosure(L, l_format, 1);
    lua_setfield(L, -3, "format");
    lua_pop(L, 1);
}

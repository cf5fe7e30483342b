// solder.re: regular expressions in linear time, by RE2. They see bytes, as Envoy's do.
#include "codec/regex.h"
#include "plugin/library.h"

enum {
    MEMORY = 256 << 10,   // of RE2 for one expression, with all it caches
    PROGRAM_MAX = 5000,   // its instructions
    PATTERN_MAX = 8 << 10,
    COMPILE_STEPS = 2000,
    VISITS_A_STEP = 32,   // of instructions, at worst one of each for each byte
};

struct re {
    struct sld_regex *regex;
    size_t groups; // with the whole
    size_t size;   // of its program
    size_t held;
};

static int collect(lua_State *L)
{
    struct re *r = lua_touserdata(L, 1);
    sld_regex_destroy(r->regex);
    r->regex = NULL;
    pl_let_go(L, r->held);
    r->held = 0;
    return 0;
}

static int compile(lua_State *L)
{
    struct sld_err err = {0};
    struct sld_str pattern = pl_arg(L, 1);
    if (pattern.n > PATTERN_MAX)
        return pl_not_right(L, "the expression has %zu bytes, at most %d", pattern.n, PATTERN_MAX);
    pl_spend(L, COMPILE_STEPS + pattern.n * 8);
    struct re *r = pl_push_object(L, &pl_re, "re.Expression", sizeof(*r), 0);
    pl_hold(L, MEMORY);
    r->held = MEMORY;
    r->regex = sld_regex_create_within(pattern, MEMORY, &err);
    if (!r->regex)
        return pl_not_right(L, "%s", err.msg);
    r->size = (size_t)sld_regex_program_size(r->regex);
    r->groups = (size_t)sld_regex_groups(r->regex) + 1;
    if (r->size > PROGRAM_MAX)
        return pl_not_right(L, "the expression has %zu steps, at most %d", r->size, PROGRAM_MAX);
    if (r->groups > SLD_REGEX_GROUPS_MAX)
        return pl_not_right(L, "the expression has %zu groups, at most %d", r->groups - 1, SLD_REGEX_GROUPS_MAX - 1);
    return 1;
}

static void pay(lua_State *L, const struct re *r, size_t bytes)
{
    pl_spend(L, 10 + bytes * r->size / VISITS_A_STEP);
}

static void push_group(lua_State *L, struct sld_str g)
{
    if (g.p)
        pl_push_str(L, g);
    else
        lua_pushboolean(L, 0);
}

// The groups, or the whole when there are none.
static int push_groups(lua_State *L, const struct re *r, const struct sld_str *groups)
{
    luaL_checkstack(L, SLD_REGEX_GROUPS_MAX, NULL);
    for (size_t i = r->groups > 1 ? 1 : 0; i < r->groups; i++)
        push_group(L, groups[i]);
    return (int)(r->groups > 1 ? r->groups - 1 : 1);
}

static size_t place(lua_State *L, int index, size_t n)
{
    lua_Integer i = luaL_optinteger(L, index, 1);
    if (i < 0)
        i = i < -(lua_Integer)n ? 1 : (lua_Integer)n + i + 1;
    return i < 1 ? 0 : (size_t)i - 1;
}

static int match(lua_State *L)
{
    struct sld_str groups[SLD_REGEX_GROUPS_MAX];
    const struct re *r = pl_object(L, 1, "re.Expression");
    struct sld_str s = pl_arg(L, 2);
    size_t from = place(L, 3, s.n);
    pay(L, r, s.n);
    if (from > s.n || !sld_regex_search(r->regex, s, from, groups, r->groups)) {
        lua_pushnil(L);
        return 1;
    }
    return push_groups(L, r, groups);
}

static int find(lua_State *L)
{
    struct sld_str groups[SLD_REGEX_GROUPS_MAX];
    const struct re *r = pl_object(L, 1, "re.Expression");
    struct sld_str s = pl_arg(L, 2);
    size_t from = place(L, 3, s.n);
    pay(L, r, s.n);
    if (from > s.n || !sld_regex_search(r->regex, s, from, groups, r->groups)) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, groups[0].p - s.p + 1);
    lua_pushinteger(L, groups[0].p - s.p + (lua_Integer)groups[0].n);
    return r->groups > 1 ? push_groups(L, r, groups) + 2 : 2;
}

static int is(lua_State *L)
{
    const struct re *r = pl_object(L, 1, "re.Expression");
    struct sld_str s = pl_arg(L, 2);
    pay(L, r, s.n);
    lua_pushboolean(L, sld_regex_match(r->regex, s));
    return 1;
}

// ---- Replacing ----

// Checks the replacement text at index 3: %0 to %9 and %%.
static void check_template(lua_State *L, const struct re *r, struct sld_str t)
{
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] != '%')
            continue;
        char c = ++i < t.n ? t.p[i] : 0;
        if (c != '%' && (c < '0' || c > '9' || (size_t)(c - '0') >= r->groups))
            pl_error(L, "in a replacement, %% is followed by %% or the number of a group, 0 to %zu", r->groups - 1);
    }
}

static void add_template(struct pl_out *o, struct sld_str t, const struct sld_str *groups)
{
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] == '%' && t.p[++i] != '%')
            pl_out_add(o, groups[t.p[i] - '0']);
        else
            pl_out_addc(o, t.p[i]);
    }
}

// Appends what stands for a match by the replacement at index 3.
static void add_replacement(struct pl_out *o, const struct re *r, const struct sld_str *groups)
{
    lua_State *L = o->L;
    int top = lua_gettop(L);
    if (lua_type(L, 3) == LUA_TSTRING) {
        add_template(o, pl_str(L, 3), groups);
        return;
    }
    if (lua_isfunction(L, 3)) {
        lua_pushvalue(L, 3);
        lua_call(L, push_groups(L, r, groups), 1);
    } else {
        push_group(L, groups[r->groups > 1]);
        lua_gettable(L, 3);
    }
    if (!lua_toboolean(L, -1)) {
        pl_out_add(o, groups[0]);
    } else {
        struct sld_str s = pl_str(L, -1);
        if (!s.p)
            pl_error(L, "a replacement is a %s instead of a string", luaL_typename(L, -1));
        pl_out_add(o, s);
    }
    lua_settop(L, top);
}

static int gsub(lua_State *L)
{
    struct sld_str groups[SLD_REGEX_GROUPS_MAX];
    const struct re *r = pl_object(L, 1, "re.Expression");
    struct sld_str s = pl_arg(L, 2);
    int type = lua_type(L, 3);
    luaL_argexpected(L, type == LUA_TSTRING || type == LUA_TFUNCTION || type == LUA_TTABLE, 3, "string, function or table");
    lua_Integer most = luaL_optinteger(L, 4, LUA_MAXINTEGER), count = 0;
    struct pl_out o;
    size_t at = 0;
    lua_settop(L, 4);
    if (type == LUA_TSTRING)
        check_template(L, r, pl_str(L, 3));
    pl_out_begin(&o, L, s.n);
    while (at <= s.n && count < most) {
        // The end is found last, and from its start; the way between matches is walked once.
        pl_spend(L, 10);
        if (!sld_regex_search(r->regex, s, at, groups, r->groups))
            break;
        size_t from = (size_t)(groups[0].p - s.p);
        pay(L, r, from - at + groups[0].n);
        pl_out_add(&o, sld_str_sub(s, at, from - at));
        add_replacement(&o, r, groups);
        at = from + groups[0].n;
        count++;
        if (!groups[0].n) { // an empty match: the next begins behind the next character
            if (at < s.n)
                pl_out_addc(&o, s.p[at]);
            at++;
        }
    }
    if (at < s.n) {
        pay(L, r, s.n - at);
        pl_out_add(&o, sld_str_sub(s, at, s.n));
    }
    pl_out_push(&o);
    lua_pushinteger(L, count);
    return 2;
}

static const struct pl_class classes[] = {
    {.name = "re.Expression", .doc = "A regular expression; made once, where the plugin loads. Each counts 256 KiB of the plugin's memory.", .gc = collect},
};
#define SUBJECT {"text", "string", ""}
#define START {"init?", "integer", "Where to begin: from 1, or from the end when below 0."}
static const struct pl_binding bindings[] = {
    {.name = "compile", .fn = compile,
     .doc = "Reads a regular expression in RE2's syntax. It sees bytes. Whatever it is, searching takes time in proportion to the text.",
     .params = {{"pattern", "string", "At most 8 KiB; Lua's [[ ]] spares doubled backslashes."}},
     .returns = {{"expression?", "re.Expression", "nil: it is not well formed, or too large."}, {"words?", "string", ""}},
     .example = "local version = assert(re.compile([[/v(\\d+)/]]))\nassert(version:match(\"/api/v12/users\") == \"12\")\n"
                "assert(not re.compile(\"(\"))"},
    {.name = "match", .fn = match, .of = "re.Expression", .doc = "The groups of the first match, or the match itself when the expression has no groups.",
     .params = {SUBJECT, START},
     .returns = {{"...", "string|false|nil", "nil: nothing matches; false: a group that took no part."}},
     .example = "local pair = assert(re.compile([[(\\w+)=(\\w+)]]))\nlocal k, v = pair:match(\"; a=1\")\nassert(k == \"a\" and v == \"1\" and "
         "pair:match(\"none\") == nil)"},
    {.name = "find", .fn = find, .of = "re.Expression", .doc = "Where the first match begins and ends, and its groups.", .params = {SUBJECT, START},
     .returns = {{"first?", "integer", "nil: nothing matches."}, {"last?", "integer", ""}, {"...", "string|false", ""}},
     .example = "local first, last, digits = assert(re.compile([[#(\\d+)]])):find(\"see #42\")\nassert(first == 5 and last == 7 and digits == \"42\")"},
    {.name = "is", .fn = is, .of = "re.Expression", .doc = "Whether the whole text matches.", .params = {SUBJECT}, .returns = {{"is", "boolean", ""}},
     .example = "local id = assert(re.compile(\"[a-z]{2,5}\"))\nassert(id:is(\"abc\") and not id:is(\"abc1\"))"},
    {.name = "gsub", .fn = gsub, .of = "re.Expression", .doc = "Replaces matches, as string.gsub does.",
     .params = {SUBJECT,
                {"replacement", "string|table|fun(...: string|false): string|false|nil",
                 "Text in which %0 is the match and %1 to %9 are groups; a table or function by the first group, or groups; false or nil: it stays."},
                {"n?", "integer", "At most so many."}},
     .returns = {{"text", "string", ""}, {"count", "integer", "How many there were."}},
     .example = "local mail = assert(re.compile([[(\\w)\\w*@]]))\nassert(mail:gsub(\"ada@x.org bob@y.org\", \"%1***@\") == \"a***@x.org b***@y.org\")"},
};
const struct pl_module pl_re = {.name = "solder.re", .doc = "Regular expressions whose time is linear.", PL_BINDINGS(bindings), PL_CLASSES(classes)};

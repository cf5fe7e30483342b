// solder.url: URLs (RFC 3986) in parts, percent-encoding, queries.
#include "codec/text.h"
#include "plugin/library.h"

enum { PAIRS_MAX = 1000 };

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

void pl_url_escape(struct pl_out *o, struct sld_str s)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], escape[3] = {'%', digits[(unsigned char)c >> 4], digits[(unsigned char)c & 15]};
        pl_out_add(o, is_plain(c) ? sld_str_n(&c, 1) : sld_str_n(escape, 3));
    }
}

// Appends S with %XX decoded; false on a bad escape.
static bool unescape(struct pl_out *o, struct sld_str s, bool plus)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '+' && plus)
            c = ' ';
        if (c == '%') {
            int high = s.n - i < 3 ? -1 : sld_hex_digit(s.p[i + 1]), low = high < 0 ? -1 : sld_hex_digit(s.p[i + 2]);
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        pl_out_addc(o, c);
    }
    return true;
}

static int escape(lua_State *L)
{
    struct sld_str s = pl_arg(L, 1);
    struct pl_out o;
    pl_out_begin(&o, L, s.n);
    pl_url_escape(&o, s);
    pl_out_push(&o);
    return 1;
}

static int decode(lua_State *L)
{
    struct sld_str s = pl_arg(L, 1);
    struct pl_out o;
    pl_out_begin(&o, L, s.n);
    if (!unescape(&o, s, false))
        return pl_not_right(L, "a %% is not followed by two hexadecimal digits");
    pl_out_push(&o);
    return 1;
}

// ---- Queries ----

// Puts the pair on top (name, value) into the tables FIRST and ALL; pops it.
static void add_pair(lua_State *L, int first, int all)
{
    int name = lua_gettop(L) - 1;
    lua_pushvalue(L, name);
    if (lua_rawget(L, all) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        pl_mark_array(L, -1);
        lua_pushvalue(L, name);
        lua_pushvalue(L, -2);
        lua_rawset(L, all);
        lua_pushvalue(L, name);
        lua_pushvalue(L, name + 1);
        lua_rawset(L, first);
    }
    lua_pushvalue(L, name + 1);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_settop(L, name - 1);
}

static int parse_query(lua_State *L)
{
    struct sld_str rest = pl_arg(L, 1), pair;
    struct pl_out o;
    size_t n = 0;
    if (sld_str_starts(rest, SLD_STR("?")))
        rest = sld_str_sub(rest, 1, rest.n);
    pl_out_begin(&o, L, rest.n);
    lua_newtable(L);
    lua_newtable(L);
    int first = lua_gettop(L) - 1;
    while (sld_str_cut(&rest, '&', &pair)) {
        struct sld_str value = pair, name;
        if (!pair.n)
            continue;
        if (++n > PAIRS_MAX)
            return pl_not_right(L, "a query of more than %d parameters", PAIRS_MAX);
        pl_spend(L, 20);
        sld_str_cut(&value, '=', &name);
        for (int i = 0; i < 2; i++) {
            o.n = 0;
            if (!unescape(&o, i ? value : name, true))
                return pl_not_right(L, "a %% in the query is not followed by two hexadecimal digits");
            pl_out_push(&o);
        }
        add_pair(L, first, first + 1);
    }
    lua_settop(L, first + 1);
    return 2;
}

// A value of a query on top: a string, a number or a boolean.
static void add_value(struct pl_out *o, struct sld_str name, int index)
{
    int type = lua_type(o->L, index);
    if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN)
        pl_error(o->L, "the query's '%.*s' is a %s; strings, numbers, booleans and lists of them are possible", SLD_FMT(name),
                 luaL_typename(o->L, index));
    if (o->n)
        pl_out_addc(o, '&');
    pl_url_escape(o, name);
    pl_out_addc(o, '=');
    pl_url_escape(o, sld_str_c(luaL_tolstring(o->L, index, NULL)));
    lua_pop(o->L, 1);
}

static int build_query(lua_State *L)
{
    struct pl_out o;
    luaL_checktype(L, 1, LUA_TTABLE);
    if (pl_thawed(L, 1))
        lua_replace(L, 1);
    pl_out_begin(&o, L, 64);
    pl_sorted_keys(L, 1);
    int keys = lua_gettop(L);
    for (lua_Integer i = 1; lua_rawgeti(L, keys, i) != LUA_TNIL; i++) {
        struct sld_str name = pl_str(L, -1);
        if (!name.p)
            pl_error(L, "names in a query are strings");
        pl_spend(L, name.n + 10);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 1) == LUA_TTABLE) {
            for (lua_Integer k = 1; lua_geti(L, -1, k) != LUA_TNIL; k++) {
                add_value(&o, name, -1);
                lua_pop(L, 1);
            }
        } else {
            add_value(&o, name, -1);
        }
        lua_settop(L, keys);
    }
    pl_out_push(&o);
    return 1;
}

// ---- Parts ----

static void set_part(lua_State *L, const char *key, struct sld_str s)
{
    if (!s.p)
        return;
    pl_push_str(L, s);
    lua_setfield(L, -2, key);
}

static bool is_scheme(struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || (c && strchr("+-.", c)))))
            return false;
    }
    return s.n > 0;
}

// The host and port of an authority into the table on top; NULL, or what is wrong.
static const char *set_authority(lua_State *L, struct sld_str s)
{
    struct sld_str port = SLD_STR_NONE;
    ptrdiff_t at = -1;
    for (size_t i = 0; i < s.n; i++)
        at = s.p[i] == '@' ? (ptrdiff_t)i : at;
    if (at >= 0) {
        set_part(L, "userinfo", sld_str_sub(s, 0, (size_t)at));
        s = sld_str_sub(s, (size_t)at + 1, s.n);
    }
    if (sld_str_starts(s, SLD_STR("["))) {
        ptrdiff_t end = sld_str_index(s, ']');
        bool v6 = false;
        if (end < 0 || !sld_is_ip(sld_str_sub(s, 1, (size_t)end - 1), &v6) || !v6)
            return "what stands in [ ] is no IPv6 address";
        port = sld_str_sub(s, (size_t)end + 1, s.n);
        s = sld_str_sub(s, 1, (size_t)end - 1);
        if (port.n && port.p[0] != ':')
            return "something stands behind the address in [ ]";
        port = port.n ? sld_str_sub(port, 1, port.n) : SLD_STR_NONE;
    } else if ((at = sld_str_index(s, ':')) >= 0) {
        port = sld_str_sub(s, (size_t)at + 1, s.n);
        s = sld_str_sub(s, 0, (size_t)at);
    }
    for (size_t i = 0; i < s.n; i++) {
        if (strchr("[]<>\"\\^`{|}", s.p[i]))
            return "the host has a character that hosts do not have";
    }
    set_part(L, "host", s);
    if (port.n) {
        uint64_t number;
        if (!sld_str_u64(port, &number) || number > 65535)
            return "the port is no number from 0 to 65535";
        lua_pushinteger(L, (lua_Integer)number);
        lua_setfield(L, -2, "port");
    }
    return NULL;
}

// Cuts *S at the first of the characters in ENDS.
static struct sld_str take_until(struct sld_str *s, const char *ends)
{
    size_t n = 0;
    while (n < s->n && !strchr(ends, s->p[n]))
        n++;
    struct sld_str head = sld_str_sub(*s, 0, n);
    *s = sld_str_sub(*s, n, s->n);
    return head;
}

static int parse(lua_State *L)
{
    struct sld_str s = pl_arg(L, 1);
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return pl_not_right(L, "a URL has no white space or control characters; one is at byte %zu", i + 1);
    }
    lua_createtable(L, 0, 6);
    struct sld_str all = s, scheme = take_until(&s, ":/?#");
    if (sld_str_starts(s, SLD_STR(":")) && is_scheme(scheme)) {
        set_part(L, "scheme", scheme);
        s = sld_str_sub(s, 1, s.n);
    } else {
        s = all;
    }
    if (sld_str_starts(s, SLD_STR("//"))) {
        s = sld_str_sub(s, 2, s.n);
        const char *words = set_authority(L, take_until(&s, "/?#"));
        if (words)
            return pl_not_right(L, "%s", words);
    }
    set_part(L, "path", take_until(&s, "?#"));
    if (sld_str_starts(s, SLD_STR("?"))) {
        s = sld_str_sub(s, 1, s.n);
        set_part(L, "query", take_until(&s, "#"));
    }
    if (sld_str_starts(s, SLD_STR("#")))
        set_part(L, "fragment", sld_str_sub(s, 1, s.n));
    return 1;
}

static void add_part(struct pl_out *o, const char *before, struct sld_str s, const char *behind)
{
    if (!s.p)
        return;
    pl_out_add(o, sld_str_c(before));
    pl_out_add(o, s);
    pl_out_add(o, sld_str_c(behind));
}

static int build(lua_State *L)
{
    struct pl_out o;
    luaL_checktype(L, 1, LUA_TTABLE);
    pl_options(L, 1, &pl_url, "url.Parts");
    struct sld_str scheme = pl_option_str(L, 1, "scheme"), host = pl_option_str(L, 1, "host"), path = pl_option_str(L, 1, "path");
    lua_Integer port = pl_option_int(L, 1, "port", -1, 0, 65535);
    if (scheme.p && !is_scheme(scheme))
        pl_error(L, "'%.*s' is no scheme", SLD_FMT(scheme));
    if (host.p && path.n && path.p[0] != '/')
        pl_error(L, "behind a host the path begins with /");
    pl_out_begin(&o, L, 64);
    add_part(&o, "", scheme, ":");
    if (host.p) {
        bool v6 = sld_str_index(host, ':') >= 0;
        pl_out_add(&o, SLD_STR("//"));
        add_part(&o, "", pl_option_str(L, 1, "userinfo"), "@");
        add_part(&o, v6 ? "[" : "", host, v6 ? "]" : "");
        if (port >= 0) {
            lua_pushfstring(L, ":%I", (LUAI_UACINT)port);
            pl_out_add(&o, pl_str(L, -1));
            lua_pop(L, 1);
        }
    }
    add_part(&o, "", path, "");
    add_part(&o, "?", pl_option_str(L, 1, "query"), "");
    add_part(&o, "#", pl_option_str(L, 1, "fragment"), "");
    pl_out_push(&o);
    return 1;
}

static const struct pl_value parts[] = {
    {"scheme?", "string", "Such as https."},
    {"userinfo?", "string", "What stands in front of @."},
    {"host?", "string", "A name or an address; of IPv6 without the brackets."},
    {"port?", "integer", ""},
    {"path?", "string", "As it stands, escapes and all."},
    {"query?", "string", "Behind ?, for url.parse_query."},
    {"fragment?", "string", "Behind #."},
};
static const struct pl_class classes[] = {{.name = "url.Parts", .doc = "A URL in parts.", PL_FIELDS(parts)}};
static const struct pl_binding bindings[] = {
    {.name = "parse", .fn = parse, .doc = "Takes a URL, or what may stand for one, into its parts (RFC 3986). Nothing is decoded.",
     .params = {{"text", "string", ""}}, .returns = {{"parts?", "url.Parts", "nil: it is no URL."}, {"words?", "string", ""}},
     .example = "local u = assert(url.parse(\"https://ada@[::1]:8443/a%20b?x=1#top\"))\n"
                "assert(u.scheme == \"https\" and u.userinfo == \"ada\" and u.host == \"::1\" and u.port == 8443)\n"
                "assert(u.path == \"/a%20b\" and u.query == \"x=1\" and u.fragment == \"top\")\n"
                "assert(not url.parse(\"http://host:99999/\"))"},
    {.name = "build", .fn = build, .doc = "The URL of parts, as they stand: escape what they are made of with url.encode.",
     .params = {{"parts", "url.Parts", ""}}, .returns = {{"text", "string", ""}},
     .example = "assert(url.build{scheme = \"https\", host = \"::1\", port = 8443, path = \"/login\", query = url.build_query{back = \"/a b\"}}\n"
                "  == \"https://[::1]:8443/login?back=%2Fa%20b\")"},
    {.name = "encode", .fn = escape, .doc = "Escapes everything but letters, digits and - . _ ~ as %XX: for one segment of a path or one value of a query.",
     .params = {{"text", "string", ""}}, .returns = {{"text", "string", ""}}, .example = "assert(url.encode(\"a b/c\") == \"a%20b%2Fc\")"},
    {.name = "decode", .fn = decode, .doc = "Takes %XX back to bytes. A + stays one.", .params = {{"text", "string", ""}},
     .returns = {{"text?", "string", "nil: a bad escape."}, {"words?", "string", ""}},
     .example = "assert(url.decode(\"a%20b%2fc\") == \"a b/c\" and not url.decode(\"100%\"))"},
    {.name = "parse_query", .fn = parse_query, .doc = "The parameters of a query or of a form's body; + is a space. At most 1000.",
     .params = {{"text", "string", "With or without ? in front."}},
     .returns = {{"first?", "table<string, string>", "Of each name its first value; nil: a bad escape."},
                 {"all", "table<string, string[]>|string", "Of each name all values, in order; or what is wrong."}},
     .example = "local first, all = url.parse_query(\"a=1&b=x+y&a=2\")\nassert(first.a == \"1\" and first.b == \"x y\" and all.a[2] == \"2\")"},
    {.name = "build_query", .fn = build_query, .doc = "The query of a table, by name: values are strings, numbers, booleans, or lists of them.",
     .params = {{"values", "table<string, any>", ""}}, .returns = {{"text", "string", ""}},
     .example = "assert(url.build_query{scope = \"openid email\", id = {1, 2}} == \"id=1&id=2&scope=openid%20email\")"},
};
const struct pl_module pl_url = {.name = "solder.url", .doc = "URLs, their queries and escapes.", PL_BINDINGS(bindings), PL_CLASSES(classes)};

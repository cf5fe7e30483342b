// solder.template: texts with named places. No code: a place is looked up and escaped, nothing else.
#include "plugin/library.h"

enum { ESCAPE_TEXT, ESCAPE_URL, ESCAPE_JSON, ESCAPE_HTML, ESCAPE_COUNT };
static const char *const escapes[ESCAPE_COUNT] = {"text", "url", "json", "html"};

// One part of a template: text, or behind it a place.
struct part {
    struct sld_str text, path;
    int escape; // -1: the template's own
};

static int find_escape(struct sld_str name)
{
    for (int i = 0; i < ESCAPE_COUNT; i++) {
        if (sld_str_eq(name, sld_str_c(escapes[i])))
            return i;
    }
    return -1;
}

// Takes the next part off *S. {{ and }} are braces. NULL, or what is wrong.
static const char *take(struct sld_str *s, struct part *out)
{
    size_t n = 0;
    *out = (struct part){.escape = -1, .path = SLD_STR_NONE};
    while (n < s->n && s->p[n] != '{' && s->p[n] != '}')
        n++;
    out->text = sld_str_sub(*s, 0, n);
    if (n == s->n) {
        *s = sld_str_sub(*s, n, 0);
        return NULL;
    }
    if (n + 1 < s->n && s->p[n + 1] == s->p[n]) {
        out->text = sld_str_sub(*s, 0, n + 1);
        *s = sld_str_sub(*s, n + 2, s->n);
        return NULL;
    }
    if (s->p[n] == '}')
        return "a } without a {; write }} for a brace";
    struct sld_str inside = sld_str_sub(*s, n + 1, s->n), escape;
    ptrdiff_t end = sld_str_index(inside, '}');
    if (end < 0)
        return "a { without a }; write {{ for a brace";
    *s = sld_str_sub(inside, (size_t)end + 1, s->n);
    escape = sld_str_sub(inside, 0, (size_t)end);
    sld_str_cut(&escape, '|', &out->path);
    for (size_t i = 0; i < out->path.n; i++) {
        char c = out->path.p[i];
        bool edge = i == 0 || i + 1 == out->path.n;
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '_' && c != '-' && (c != '.' || edge))
            return "a place is a name, or names with dots between";
    }
    if (!out->path.n)
        return "a place without a name";
    if (escape.p && (out->escape = find_escape(escape)) < 0)
        return "behind | stands text, url, json or html";
    return NULL;
}

static int compile(lua_State *L)
{
    struct sld_str s = pl_arg(L, 1);
    struct part part;
    pl_options(L, 2, &pl_template, "template.Options");
    struct sld_str name = pl_option_str(L, 2, "escape");
    int escape = name.p ? find_escape(name) : ESCAPE_TEXT;
    if (escape < 0)
        pl_error(L, "escape must be text, url, json or html");
    pl_spend(L, s.n);
    while (s.n) {
        const char *words = take(&s, &part);
        if (words)
            return pl_not_right(L, "%s", words);
    }
    int *own = pl_push_object(L, &pl_template, "template.Template", sizeof(*own), 1);
    *own = escape;
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

static void add_html(struct pl_out *o, struct sld_str s)
{
    static const struct {
        char c;
        const char *text;
    } chars[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
    for (size_t i = 0; i < s.n; i++) {
        const char *text = NULL;
        for (size_t k = 0; k < SLD_ARRAY_LEN(chars); k++)
            text = chars[k].c == s.p[i] ? chars[k].text : text;
        if (text)
            pl_out_add(o, sld_str_c(text));
        else
            pl_out_addc(o, s.p[i]);
    }
}

// Appends the value on top, pops it. False with words in ERR.
static bool add_value(struct pl_out *o, int escape, struct sld_err *err)
{
    lua_State *L = o->L;
    int type = lua_type(L, -1);
    if (escape == ESCAPE_JSON) {
        if (!pl_json_write(o, -1, 0, 0, err))
            return false;
    } else if (type != LUA_TSTRING && type != LUA_TNUMBER && type != LUA_TBOOLEAN) {
        sld_err_set(err, SLD_INVALID, "it is a %s", lua_typename(L, type));
        return false;
    } else {
        luaL_tolstring(L, -1, NULL);
        struct sld_str s = pl_str(L, -1);
        pl_spend(L, s.n / 4);
        if (escape == ESCAPE_URL)
            pl_url_escape(o, s);
        else if (escape == ESCAPE_HTML)
            add_html(o, s);
        else
            pl_out_add(o, s);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return true;
}

// Pushes what stands at PATH in the table at index 2, or nil.
static void look_up(lua_State *L, struct sld_str path)
{
    struct sld_str name;
    lua_pushvalue(L, 2);
    while (sld_str_cut(&path, '.', &name)) {
        if (!lua_istable(L, -1)) {
            lua_pop(L, 1);
            lua_pushnil(L);
            return;
        }
        pl_push_str(L, name);
        lua_gettable(L, -2);
        lua_remove(L, -2);
    }
}

static int render(lua_State *L)
{
    struct pl_out o;
    struct part part;
    struct sld_err err = {0};
    const int *own = pl_object(L, 1, "template.Template");
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_getiuservalue(L, 1, 1);
    struct sld_str s = pl_str(L, 3);
    pl_out_begin(&o, L, s.n);
    while (s.n) {
        const char *words = take(&s, &part);
        SLD_INV(!words); // looked at when it was made
        pl_spend(L, part.text.n / 16 + 10);
        pl_out_add(&o, part.text);
        if (!part.path.p)
            continue;
        look_up(L, part.path);
        if (lua_isnil(L, -1))
            return pl_not_right(L, "there is no value for '%.*s'", SLD_FMT(part.path));
        if (!add_value(&o, part.escape < 0 ? *own : part.escape, &err))
            return pl_not_right(L, "the value for '%.*s' does not fit: %s", SLD_FMT(part.path), err.msg);
    }
    pl_out_push(&o);
    return 1;
}

static const struct pl_value options[] = {
    {"escape?", "\"text\"|\"url\"|\"json\"|\"html\"", "What is done to values whose place does not say; text, the default, is nothing."}};
static const struct pl_class classes[] = {
    {.name = "template.Options", .doc = "How a template is read.", PL_FIELDS(options)},
    {.name = "template.Template", .doc = "A text with places; made once, where the plugin loads."},
};
static const struct pl_binding bindings[] = {
    {.name = "compile", .fn = compile,
     .doc = "Reads a text with places such as {name}, {user.name}, {name|url}; behind | stands how the value is escaped: text, url, json or html. "
            "{{ and }} are braces.",
     .params = {{"text", "string", ""}, {"options?", "template.Options", ""}},
     .returns = {{"template?", "template.Template", "nil: it is not well formed."}, {"words?", "string", ""}},
     .example = "local page = assert(template.compile(\"<p>{user.name}</p> {{ {n} }}\", {escape = \"html\"}))\n"
                "assert(page:render{user = {name = \"<ada>\"}, n = 3} == \"<p>&lt;ada&gt;</p> { 3 }\")\n"
                "assert(not template.compile(\"{a\"))"},
    {.name = "render", .fn = render, .of = "template.Template", .doc = "The text with values in its places: strings, numbers, booleans; with json any value.",
     .params = {{"values", "table", ""}}, .returns = {{"text?", "string", "nil: there is no value for a place, or one that does not fit."},
         {"words?", "string", ""}},
     .example = "local t = assert(template.compile(\"/login?back={back|url}\"))\nassert(t:render{back = \"/a b\"} == \"/login?back=%2Fa%20b\")\n"
                "local nothing, words = t:render{}\nassert(nothing == nil and words == \"there is no value for 'back'\")"},
};
const struct pl_module pl_template = {.name = "solder.template", .doc = "Texts with named places, and no code in them.", PL_BINDINGS(bindings),
    PL_CLASSES(classes)};

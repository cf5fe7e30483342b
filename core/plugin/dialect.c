// Code for Envoy is Lua 5.1, as LuaJIT has it, and is checked by a compiler of Lua 5.4: what only the latter knows is told
// here. Names and variables by what was compiled; operators and literals by their tokens.
#include "plugin/edge.h"

struct check {
    struct sld_arena *a;
    struct sld_str file, text;
    size_t at;
    int line;
    pl_fault *fault;
    void *user;
    bool divided, joined, formatted; // of the line
};

static void tell(struct check *c, int line, struct sld_str words)
{
    c->fault(c->user, SLD_ERROR, c->file, line, words);
}

// ---- Names ----

static const struct {
    const char *name, *fields; // "" between blanks; NULL: it is no table
} there[] = {
    {"_VERSION", NULL}, {"assert", NULL},       {"error", NULL},    {"ipairs", NULL}, {"next", NULL},    {"pairs", NULL},
    {"pcall", NULL},    {"print", NULL},        {"rawequal", NULL}, {"require", NULL}, {"select", NULL}, {"setmetatable", NULL},
    {"tonumber", NULL}, {"tostring", NULL},     {"type", NULL},     {"xpcall", NULL},
    {"math", " abs ceil exp floor fmod huge log max min modf pi sqrt "},
    {"string", " byte char find format gmatch gsub len lower match rep reverse sub upper "},
    {"table", " concat insert pack remove sort unpack "},
};

static const struct {
    const char *name, *words;
} absent[] = {
    {"coroutine", ": hooks run in coroutines of Envoy's"},
    {"math.maxinteger", ": all numbers are floats there"},
    {"math.mininteger", ": all numbers are floats there"},
    {"math.tointeger", ": all numbers are floats there; write math.floor"},
    {"math.type", ": all numbers are floats there"},
    {"math.ult", ": all numbers are floats there"},
    {"string.pack", ": that is Lua 5.3; write string.char"},
    {"string.packsize", ": that is Lua 5.3"},
    {"string.unpack", ": that is Lua 5.3; write string.byte"},
    {"table.move", ": that is Lua 5.3; write a loop"},
    {"utf8", ": that is Lua 5.3"},
};

static void tell_absent(struct check *c, int line, struct sld_str name)
{
    const char *why = "";
    for (size_t i = 0; i < SLD_ARRAY_LEN(absent); i++)
        why = sld_str_eq(name, sld_str_c(absent[i].name)) ? absent[i].words : why;
    tell(c, line, sld_arena_fmt(c->a, "%.*s is not there in Envoy%s", SLD_FMT(name), why));
}

static void check_name(struct check *c, const struct pl_lookup *u)
{
    size_t i = 0;
    while (i < SLD_ARRAY_LEN(there) && !sld_str_eq(u->name, sld_str_c(there[i].name)))
        i++;
    if (i == SLD_ARRAY_LEN(there)) {
        tell_absent(c, u->line, u->name);
    } else if (u->field.p && there[i].fields) {
        struct sld_str field = SLD_ARENA_JOIN(c->a, SLD_STR(" "), u->field, SLD_STR(" "));
        if (sld_str_find(sld_str_c(there[i].fields), field) < 0)
            tell_absent(c, u->line, SLD_ARENA_JOIN(c->a, u->name, SLD_STR("."), u->field));
    }
}

// ---- Tokens ----

static char peek(const struct check *c, size_t ahead)
{
    return c->at + ahead < c->text.n ? c->text.p[c->at + ahead] : 0;
}

static void step(struct check *c)
{
    char now = peek(c, 0), next = peek(c, 1);
    c->at++;
    if (now != '\n' && now != '\r')
        return;
    if ((next == '\n' || next == '\r') && next != now)
        c->at++;
    if (c->divided && c->joined && !c->formatted)
        c->fault(c->user, SLD_WARNING, c->file, c->line,
                 SLD_STR("what / gives prints as 5.0 here and as 5 in Envoy: write string.format(\"%d\", ...) or math.floor"));
    c->divided = c->joined = c->formatted = false;
    c->line++;
}

// How many '=' there are in the long bracket at hand; -1: there is none.
static int long_bracket(const struct check *c)
{
    size_t n = 1;
    while (peek(c, n) == '=')
        n++;
    return peek(c, 0) == '[' && peek(c, n) == '[' ? (int)n - 1 : -1;
}

static void skip_long(struct check *c, int level)
{
    c->at += (size_t)level + 2;
    while (c->at < c->text.n) {
        size_t n = 1;
        while (peek(c, 0) == ']' && peek(c, n) == '=')
            n++;
        if (peek(c, 0) == ']' && peek(c, n) == ']' && (int)n - 1 == level) {
            c->at += n + 1;
            return;
        }
        step(c);
    }
}

static void skip_comment(struct check *c)
{
    c->at += 2;
    int level = long_bracket(c);
    if (level >= 0) {
        skip_long(c, level);
        return;
    }
    while (c->at < c->text.n && peek(c, 0) != '\n' && peek(c, 0) != '\r')
        c->at++;
}

static void skip_string(struct check *c)
{
    char quote = peek(c, 0);
    for (c->at++; c->at < c->text.n && peek(c, 0) != quote;) {
        if (peek(c, 0) == '\\') {
            if (peek(c, 1) == 'u')
                tell(c, c->line, SLD_STR("\\u{...} is Lua 5.3: write the character itself, or its bytes"));
            c->at++;
        }
        step(c);
    }
    c->at++;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Numbers beyond 2^53 are not told apart in Envoy.
static void read_number(struct check *c)
{
    size_t from = c->at;
    bool hex = peek(c, 0) == '0' && (peek(c, 1) == 'x' || peek(c, 1) == 'X'), whole = true;
    const uint64_t exact = 1ULL << 53;
    uint64_t value = 0;
    c->at += hex ? 2 : 0;
    while (is_digit(peek(c, 0)) || is_letter(peek(c, 0)) || peek(c, 0) == '.') {
        char d = peek(c, 0);
        bool exponent = (d | 0x20) == (hex ? 'p' : 'e');
        whole &= d != '.' && !exponent;
        if (value <= exact)
            value = value * (hex ? 16 : 10) + (uint64_t)(is_digit(d) ? d - '0' : (d | 0x20) - 'a' + 10);
        c->at++;
        if (exponent && (peek(c, 0) == '-' || peek(c, 0) == '+'))
            c->at++;
    }
    if (whole && value > exact)
        tell(c, c->line, sld_arena_fmt(c->a, "%.*s is more than 2^53, beyond which Envoy's numbers are not exact",
                                       (int)(c->at - from), c->text.p + from));
}

static void read_name(struct check *c)
{
    size_t from = c->at;
    while (is_letter(peek(c, 0)) || is_digit(peek(c, 0)))
        c->at++;
    struct sld_str name = sld_str_sub(c->text, from, c->at - from);
    c->formatted |= sld_str_eq(name, SLD_STR("format")) || sld_str_eq(name, SLD_STR("floor"));
    if (from && c->text.p[from - 1] == ':' && (from < 2 || c->text.p[from - 2] != ':') &&
        (sld_str_eq(name, SLD_STR("pack")) || sld_str_eq(name, SLD_STR("unpack")) || sld_str_eq(name, SLD_STR("packsize"))))
        tell_absent(c, c->line, SLD_ARENA_JOIN(c->a, SLD_STR("string."), name));
}

// <const>, <close>: a name that is no variable's, between < and >.
static bool is_attribute(const struct check *c)
{
    struct sld_str rest = sld_str_sub(c->text, c->at + 1, 80);
    size_t n = 0;
    rest = sld_str_trim(rest);
    while (n < rest.n && is_letter(rest.p[n]))
        n++;
    struct sld_str name = sld_str_sub(rest, 0, n), behind = sld_str_trim(sld_str_sub(rest, n, rest.n));
    return (sld_str_eq(name, SLD_STR("const")) || sld_str_eq(name, SLD_STR("close"))) && behind.n && behind.p[0] == '>';
}

static void read_operator(struct check *c)
{
    char a = peek(c, 0), b = peek(c, 1);
    const char *words = NULL;
    size_t n = 1;
    if (a == '/' && b == '/') {
        words = "// is Lua 5.3: write math.floor(a / b)";
        n = 2;
    } else if (a == '<' && is_attribute(c)) {
        words = "<const> and <close> are Lua 5.4: write a plain local";
    } else if ((a == '<' && b == '<') || (a == '>' && b == '>') || a == '&' || a == '|' || (a == '~' && b != '=')) {
        words = "operators on bits are Lua 5.3: Envoy has none";
        n = (a == '<' || a == '>') ? 2 : 1;
    } else if ((a == '~' || a == '=' || a == '<' || a == '>') && b == '=') {
        n = 2;
    }
    c->divided |= a == '/';
    c->joined |= a == '.' && b == '.';
    if (words)
        tell(c, c->line, sld_str_c(words));
    c->at += n;
}

static void read_token(struct check *c)
{
    char a = peek(c, 0);
    if (a == '\n' || a == '\r')
        step(c);
    else if (a == '-' && peek(c, 1) == '-')
        skip_comment(c);
    else if (a == '"' || a == '\'')
        skip_string(c);
    else if (a == '[' && long_bracket(c) >= 0)
        skip_long(c, long_bracket(c));
    else if (is_digit(a) || (a == '.' && is_digit(peek(c, 1))))
        read_number(c);
    else if (is_letter(a))
        read_name(c);
    else
        read_operator(c);
}

void pl_dialect_check(struct sld_arena *a, struct sld_str name, struct sld_str text, const struct pl_chunk *chunk, pl_fault *fault,
                      void *user)
{
    struct check c = {.a = a, .file = name, .text = text, .line = 1, .fault = fault, .user = user};
    for (size_t i = 0; i < chunk->lookup_count; i++) {
        if (chunk->lookups[i].global && !chunk->lookups[i].write)
            check_name(&c, &chunk->lookups[i]);
    }
    for (size_t i = 0; i < chunk->outer_count; i++)
        tell(&c, chunk->outers[i].line,
             sld_arena_fmt(a, "'%.*s' is not the function's own: code in Envoy keeps nothing between calls",
                           SLD_FMT(chunk->outers[i].name)));
    while (c.at < text.n)
        read_token(&c);
}

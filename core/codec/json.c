// JSON (RFC 8259) to trees, with positions.
#include "codec/read.h"

#include "codec/text.h"

struct json {
    struct reader *r;
    const char *p, *end, *line_start;
    int line;
    unsigned depth;
};

static bool read_value(struct json *j, struct sld_node **out);

static int column(const struct json *j)
{
    return (int)(j->p - j->line_start) + 1;
}

static bool syntax(struct json *j, const char *what)
{
    return read_fail(j->r, SLD_YAML_SYNTAX, j->line, column(j), what);
}

static void skip_space(struct json *j)
{
    for (; j->p < j->end; j->p++) {
        if (*j->p == '\n') {
            j->line++;
            j->line_start = j->p + 1;
        } else if (*j->p != ' ' && *j->p != '\t' && *j->p != '\r') {
            return;
        }
    }
}

static bool at(const struct json *j, char c)
{
    return j->p < j->end && *j->p == c;
}

static bool hex4(struct json *j, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++, j->p++) {
        int d = j->p < j->end ? sld_hex_digit(*j->p) : -1;
        if (d < 0)
            return syntax(j, "\\u needs four hexadecimal digits");
        v = v << 4 | (uint32_t)d;
    }
    *out = v;
    return true;
}

static bool read_unicode(struct json *j, uint32_t *c)
{
    if (!hex4(j, c))
        return false;
    if (*c >= 0xd800 && *c < 0xdc00) {
        uint32_t low = 0;
        if (j->end - j->p < 2 || j->p[0] != '\\' || j->p[1] != 'u')
            return syntax(j, "half of a surrogate pair");
        j->p += 2;
        if (!hex4(j, &low))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return syntax(j, "half of a surrogate pair");
        *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
    } else if (*c >= 0xdc00 && *c <= 0xdfff) {
        return syntax(j, "half of a surrogate pair");
    }
    return true;
}

// Reads one escape behind its backslash to TO; *N gets its length.
static bool read_escape(struct json *j, char *to, size_t *n)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (j->p >= j->end)
        return syntax(j, "the string is not closed");
    char c = *j->p++;
    if (c == 'u') {
        uint32_t u = 0;
        if (!read_unicode(j, &u))
            return false;
        *n = sld_utf8_put(to, u);
        return true;
    }
    const char *found = memchr(from, c, sizeof(from) - 1);
    if (!found)
        return syntax(j, "unknown escape");
    *to = into[found - from];
    *n = 1;
    return true;
}

// Reads a string whose quote is at hand.
static bool read_string(struct json *j, struct sld_str *out)
{
    const char *close = ++j->p;
    while (close < j->end && *close != '"')
        close += *close == '\\' && close + 1 < j->end ? 2 : 1;
    if (close >= j->end)
        return syntax(j, "the string is not closed");
    // An escape is never shorter than what it stands for.
    char *text = sld_arena_alloc(j->r->a, (size_t)(close - j->p) + 1);
    size_t n = 0;
    while (*j->p != '"') {
        if ((unsigned char)*j->p < 0x20)
            return syntax(j, "a control character in a string");
        if (*j->p != '\\') {
            text[n++] = *j->p++;
            continue;
        }
        j->p++;
        size_t len = 0;
        if (!read_escape(j, text + n, &len))
            return false;
        n += len;
    }
    j->p++;
    *out = (struct sld_str){text, n};
    return true;
}

static bool is_number(struct sld_str s)
{
    double d;
    size_t i = s.n && s.p[0] == '-';
    if (i >= s.n || s.p[i] < '0' || s.p[i] > '9')
        return false;
    if (s.p[i] == '0' && i + 1 < s.n && s.p[i + 1] >= '0' && s.p[i + 1] <= '9')
        return false;
    if (s.p[s.n - 1] == '.')
        return false;
    return sld_str_double(s, &d);
}

static bool read_word(struct json *j, struct sld_node *n)
{
    const char *from = j->p;
    while (j->p < j->end && !memchr(" \t\r\n,]}:", *j->p, 8))
        j->p++;
    struct sld_str word = {from, (size_t)(j->p - from)};
    n->text = sld_arena_str(j->r->a, word);
    n->type = sld_str_eq(word, SLD_STR("null")) ? SLD_NODE_NULL : SLD_NODE_SCALAR;
    if (n->type == SLD_NODE_NULL || sld_str_eq(word, SLD_STR("true")) ||
        sld_str_eq(word, SLD_STR("false")) || is_number(word))
        return true;
    j->p = from;
    return syntax(j, "not a JSON value");
}

// Behind an element: true and *MORE when another follows.
static bool separator(struct json *j, char close, bool *more)
{
    skip_space(j);
    *more = at(j, ',');
    if (!*more && !at(j, close))
        return syntax(j, close == '}' ? "expected , or }" : "expected , or ]");
    j->p++;
    return true;
}

static bool read_array(struct json *j, struct sld_node *n)
{
    n->type = SLD_NODE_SEQ;
    j->p++;
    skip_space(j);
    if (at(j, ']')) {
        j->p++;
        return true;
    }
    for (bool more = true; more;) {
        struct sld_node *item;
        if (!read_value(j, &item))
            return false;
        SLD_PUSH(j->r->a, n->items, n->count, item);
        if (!separator(j, ']', &more))
            return false;
    }
    return true;
}

static bool read_object(struct json *j, struct sld_node *n)
{
    n->type = SLD_NODE_MAP;
    j->p++;
    skip_space(j);
    if (at(j, '}')) {
        j->p++;
        return true;
    }
    for (bool more = true; more;) {
        struct sld_node_pair pair;
        skip_space(j);
        if (!at(j, '"'))
            return syntax(j, "expected a key in quotes");
        pair.key = read_node(j->r, SLD_NODE_SCALAR, j->line, column(j));
        if (!pair.key || !read_string(j, &pair.key->text))
            return false;
        pair.key->quoted = true;
        skip_space(j);
        if (!at(j, ':'))
            return syntax(j, "expected :");
        j->p++;
        if (!read_value(j, &pair.value))
            return false;
        SLD_PUSH(j->r->a, n->pairs, n->count, pair);
        if (!separator(j, '}', &more))
            return false;
    }
    return read_distinct(j->r, n);
}

static bool read_value(struct json *j, struct sld_node **out)
{
    skip_space(j);
    if (j->p >= j->end)
        return syntax(j, "a value is missing");
    if (j->depth >= j->r->limits->max_depth)
        return read_fail(j->r, SLD_DOC_LIMIT, j->line, column(j), "the text is nested too deeply");
    struct sld_node *n = read_node(j->r, SLD_NODE_SCALAR, j->line, column(j));
    if (!n)
        return false;
    *out = n;
    j->depth++;
    bool ok;
    if (*j->p == '{') {
        ok = read_object(j, n);
    } else if (*j->p == '[') {
        ok = read_array(j, n);
    } else if (*j->p == '"') {
        n->quoted = true;
        ok = read_string(j, &n->text);
    } else {
        ok = read_word(j, n);
    }
    j->depth--;
    return ok;
}

bool read_json(struct reader *r, struct sld_str text, struct sld_node **root)
{
    struct json j = {r, text.p, text.p + text.n, text.p, 1, 0};
    if (!read_value(&j, root))
        return false;
    skip_space(&j);
    return j.p == j.end || syntax(&j, "text behind the end of the value");
}

// Trees to YAML and JSON text, and the streaming JSON writer.
#include <inttypes.h>

#include "codec/doc.h"
#include "codec/tree.h"

// ---- JSON ----

// The code point at the front of S when YAML does not let it stand for itself in a line (line
// breaks of Unicode, C1 controls, the byte order mark, non-characters), with its length in *N; else
// 0.
static unsigned unprintable(struct sld_str s, size_t *n)
{
    const unsigned char *p = (const unsigned char *)s.p;
    *n = 2;
    if (s.n >= 2 && p[0] == 0xc2 && p[1] < 0xa0)
        return p[1];
    *n = 3;
    if (s.n >= 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
        return 0x2000u + p[2] - 0x80;
    if (s.n >= 3 && p[0] == 0xef &&
        ((p[1] == 0xbb && p[2] == 0xbf) || (p[1] == 0xbf && p[2] >= 0xbe)))
        return p[1] == 0xbb ? 0xfeff : 0xff40u + p[2];
    return 0;
}

// What stands between the quotes; S is UTF-8.
static void json_text(struct sld_buf *out, struct sld_str s)
{
    static const char from[] = "\"\\\b\f\n\r\t", into[] = "\"\\bfnrt";
    size_t start = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        size_t len = 1;
        unsigned code = c >= 0x80 ? unprintable(sld_str_sub(s, i, 3), &len) : 0;
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && !code)
            continue;
        sld_buf_add(out, sld_str_sub(s, start, i - start));
        const char *known = c ? memchr(from, c, sizeof(from) - 1) : NULL;
        if (known)
            sld_buf_addf(out, "\\%c", into[known - from]);
        else
            sld_buf_addf(out, "\\u%04x", code ? code : c);
        start = i + (code ? len : 1);
        i = start - 1;
    }
    sld_buf_add(out, sld_str_sub(s, start, s.n));
}

// Bytes that are not UTF-8 (from a peer or a file name) become U+FFFD.
static void json_string(struct sld_buf *out, struct sld_str s)
{
    size_t bad;
    sld_buf_addc(out, '"');
    while (!sld_str_utf8(s, &bad)) {
        json_text(out, sld_str_sub(s, 0, bad));
        sld_buf_addz(out, "\\ufffd");
        s = sld_str_sub(s, bad + 1, s.n);
    }
    json_text(out, s);
    sld_buf_addc(out, '"');
}

static void json_line(struct sld_buf *out, unsigned indent, bool compact)
{
    if (compact)
        return;
    sld_buf_addc(out, '\n');
    for (unsigned i = 0; i < indent; i++)
        sld_buf_addz(out, "  ");
}

static void json_node(struct sld_buf *out, const struct sld_node *n, unsigned indent, bool compact)
{
    bool map = n->type == SLD_NODE_MAP;
    if (n->type == SLD_NODE_NULL) {
        sld_buf_addz(out, "null");
    } else if (n->type == SLD_NODE_SCALAR) {
        if (n->quoted)
            json_string(out, n->text);
        else
            sld_buf_add(out, n->text);
    } else {
        sld_buf_addc(out, map ? '{' : '[');
        for (size_t i = 0; i < n->count; i++) {
            if (i)
                sld_buf_addc(out, ',');
            json_line(out, indent + 1, compact);
            if (map) {
                json_string(out, n->pairs[i].key->text);
                sld_buf_addz(out, compact ? ":" : ": ");
            }
            json_node(out, map ? n->pairs[i].value : n->items[i], indent + 1, compact);
        }
        if (n->count)
            json_line(out, indent, compact);
        sld_buf_addc(out, map ? '}' : ']');
    }
}

// ---- YAML ----

// True when S, written without quotes, reads back as the string S in YAML 1.1 and 1.2.
static bool plain_safe(struct sld_str s)
{
    static const char *const words[] = {"null", "true", "false", "yes",  "no",   "on",      "off",
                                        "y",    "n",    "nan",   ".nan", ".inf", "infinity"};
    if (s.n == 0 || s.n > 120)
        return false;
    for (size_t i = 0; i < SLD_ARRAY_LEN(words); i++) {
        if (sld_str_ieq(s, sld_str_c(words[i])))
            return false;
    }
    char first = s.p[0];
    bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') ||
                  first == '/' || first == '_';
    if (!letter || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == ':')
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\' || c == ',' || strchr("[]{}", c))
            return false;
        if ((c == '#' && s.p[i - 1] == ' ') || (c == ':' && s.p[i + 1] == ' '))
            return false;
    }
    return true;
}

static void yaml_indent(struct sld_buf *out, unsigned indent)
{
    for (unsigned i = 0; i < indent; i++)
        sld_buf_addz(out, "  ");
}

static void yaml_string(struct sld_buf *out, struct sld_str s)
{
    if (plain_safe(s))
        sld_buf_add(out, s);
    else
        json_string(out, s);
}

static void yaml_block(struct sld_buf *out, const struct sld_node *n, unsigned indent,
                       bool in_line);

// What stands behind "key:" or "-".
static void yaml_value(struct sld_buf *out, const struct sld_node *n, unsigned indent, bool in_list)
{
    if (n->type == SLD_NODE_SEQ || n->type == SLD_NODE_MAP) {
        if (n->count == 0) {
            sld_buf_addz(out, n->type == SLD_NODE_MAP ? " {}\n" : " []\n");
        } else if (in_list) {
            sld_buf_addc(out, ' ');
            yaml_block(out, n, indent + 1, true);
        } else {
            sld_buf_addc(out, '\n');
            yaml_block(out, n, n->type == SLD_NODE_SEQ ? indent : indent + 1, false);
        }
        return;
    }
    sld_buf_addc(out, ' ');
    if (n->type == SLD_NODE_NULL)
        sld_buf_addz(out, "null");
    else if (n->quoted)
        yaml_string(out, n->text);
    else
        sld_buf_add(out, n->text);
    sld_buf_addc(out, '\n');
}

// The lines of a mapping or list; IN_LINE: the first one continues a line.
static void yaml_block(struct sld_buf *out, const struct sld_node *n, unsigned indent, bool in_line)
{
    for (size_t i = 0; i < n->count; i++) {
        if (!in_line || i)
            yaml_indent(out, indent);
        if (n->type == SLD_NODE_SEQ) {
            sld_buf_addc(out, '-');
            yaml_value(out, n->items[i], indent, true);
        } else {
            yaml_string(out, n->pairs[i].key->text);
            sld_buf_addc(out, ':');
            yaml_value(out, n->pairs[i].value, indent, false);
        }
    }
}

void sld_doc_print_node(struct sld_buf *out, const struct sld_node *node, enum sld_text_style style)
{
    if (style != SLD_TEXT_YAML) {
        json_node(out, node, 0, style == SLD_TEXT_JSON_COMPACT);
        if (style == SLD_TEXT_JSON)
            sld_buf_addc(out, '\n');
        return;
    }
    if ((node->type == SLD_NODE_MAP || node->type == SLD_NODE_SEQ) && node->count) {
        yaml_block(out, node, 0, false);
        return;
    }
    struct sld_buf line;
    sld_buf_init(&line, out->max);
    yaml_value(&line, node, 0, false);
    sld_buf_add(out, sld_str_sub(sld_buf_str(&line), 1, line.n));
    sld_buf_fini(&line);
}

struct sld_node *sld_doc_tree(struct sld_arena *a, const ProtobufCMessage *m, bool redact)
{
    return tree_message(a, m, redact);
}

void sld_doc_print(struct sld_buf *out, const ProtobufCMessage *m, enum sld_text_style style,
                   bool redact)
{
    struct sld_arena a = {0};
    sld_doc_print_node(out, tree_message(&a, m, redact), style);
    sld_arena_fini(&a);
}

// ---- Streaming ----

static void before_value(struct sld_json *j)
{
    uint64_t bit = UINT64_C(1) << j->depth;
    if (!j->after_key && !(j->first & bit))
        sld_buf_addc(j->out, ',');
    j->first &= ~bit;
    j->after_key = false;
}

void sld_json_init(struct sld_json *j, struct sld_buf *out)
{
    *j = (struct sld_json){.out = out, .first = 1};
}

void sld_json_begin(struct sld_json *j, char bracket)
{
    SLD_PRE((bracket == '{' || bracket == '[') && j->depth < 63);
    before_value(j);
    sld_buf_addc(j->out, bracket);
    j->depth++;
    j->first |= UINT64_C(1) << j->depth;
}

void sld_json_end(struct sld_json *j, char bracket)
{
    SLD_PRE((bracket == '}' || bracket == ']') && j->depth > 0 && !j->after_key);
    sld_buf_addc(j->out, bracket);
    j->depth--;
}

void sld_json_key(struct sld_json *j, const char *key)
{
    SLD_PRE(!j->after_key);
    before_value(j);
    json_string(j->out, sld_str_c(key));
    sld_buf_addc(j->out, ':');
    j->after_key = true;
}

void sld_json_str(struct sld_json *j, struct sld_str v)
{
    before_value(j);
    if (v.p)
        json_string(j->out, v);
    else
        sld_buf_addz(j->out, "null");
}

void sld_json_int(struct sld_json *j, int64_t v)
{
    before_value(j);
    sld_buf_addf(j->out, "%" PRId64, v);
}

void sld_json_bool(struct sld_json *j, bool v)
{
    before_value(j);
    sld_buf_addz(j->out, v ? "true" : "false");
}

void sld_json_null(struct sld_json *j)
{
    before_value(j);
    sld_buf_addz(j->out, "null");
}

void sld_json_raw(struct sld_json *j, struct sld_str json)
{
    before_value(j);
    sld_buf_add(j->out, json);
}

// YAML to trees, by libyaml's events. Every ceiling acts while events arrive.
#include <yaml.h>

#include "codec/read.h"

// Where an anchor points, and what an alias to it costs.
struct anchor {
    struct sld_node *node;
    size_t nodes;
    unsigned depth; // levels below it, itself included
    bool open;      // still being read: an alias here would be a circle
};

struct yaml {
    struct reader *r;
    yaml_parser_t parser;
    yaml_event_t event;
    bool have_event;
    struct sld_map anchors;
    unsigned depth;   // of the node being read
    unsigned deepest; // deepest level seen, for anchors
};

// What a merge key asks for: the mappings to take pairs from, first one first.
struct merge {
    struct sld_node **from;
    size_t n;
};

static bool read_value(struct yaml *y, struct sld_node **out);

static int line_of(const yaml_event_t *e)
{
    return (int)e->start_mark.line + 1;
}

static int column_of(const yaml_event_t *e)
{
    return (int)e->start_mark.column + 1;
}

static bool syntax(struct yaml *y, const char *what)
{
    return read_fail(y->r, SLD_YAML_SYNTAX, line_of(&y->event), column_of(&y->event), what);
}

static void drop_event(struct yaml *y)
{
    if (y->have_event)
        yaml_event_delete(&y->event);
    y->have_event = false;
}

static bool next_event(struct yaml *y)
{
    drop_event(y);
    if (yaml_parser_parse(&y->parser, &y->event)) {
        y->have_event = true;
        return true;
    }
    const yaml_parser_t *p = &y->parser;
    yaml_mark_t at = p->error == YAML_READER_ERROR ? p->mark : p->problem_mark;
    struct sld_str what =
        sld_arena_fmt(y->r->a, "%s%s%s", p->problem ? p->problem : "not valid YAML",
                      p->context ? " " : "", p->context ? p->context : "");
    return read_fail(y->r, SLD_YAML_SYNTAX, (int)at.line + 1, (int)at.column + 1, what.p);
}

static bool tag_is(const yaml_char_t *tag, const char *name)
{
    struct sld_str t = sld_str_c((const char *)tag);
    return sld_str_starts(t, SLD_STR("tag:yaml.org,2002:")) &&
           sld_str_eq(sld_str_sub(t, 18, t.n), sld_str_c(name));
}

static bool is_null_word(struct sld_str s)
{
    return s.n == 0 || sld_str_eq(s, SLD_STR("~")) || sld_str_eq(s, SLD_STR("null")) ||
           sld_str_eq(s, SLD_STR("Null")) || sld_str_eq(s, SLD_STR("NULL"));
}

static bool read_scalar(struct yaml *y, struct sld_node **out)
{
    const yaml_event_t *e = &y->event;
    struct sld_node *n = read_node(y->r, SLD_NODE_SCALAR, line_of(e), column_of(e));
    if (!n)
        return false;
    struct sld_str text = {(const char *)e->data.scalar.value, e->data.scalar.length};
    const yaml_char_t *tag = e->data.scalar.tag;
    n->text = sld_arena_str(y->r->a, text);
    n->quoted = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (tag)
        n->quoted = tag_is(tag, "str") || tag_is(tag, "binary") || (tag[0] == '!' && n->quoted);
    if ((!n->quoted && !tag && is_null_word(text)) || (tag && tag_is(tag, "null")))
        n->type = SLD_NODE_NULL;
    *out = n;
    return true;
}

static bool read_alias(struct yaml *y, struct sld_node **out)
{
    struct anchor *an =
        sld_map_get(&y->anchors, sld_str_c((const char *)y->event.data.alias.anchor));
    if (!an)
        return syntax(y, "the alias has no anchor");
    if (an->open)
        return syntax(y, "the alias stands inside its own anchor");
    unsigned deepest = y->depth - 1 + an->depth; // the alias is a level already
    if (deepest > y->r->limits->max_depth)
        return read_fail(y->r, SLD_DOC_LIMIT, line_of(&y->event), column_of(&y->event),
                         "the text is nested too deeply");
    if (deepest > y->deepest)
        y->deepest = deepest;
    *out = an->node;
    return read_count(y->r, an->nodes, line_of(&y->event), column_of(&y->event));
}

static bool read_seq(struct yaml *y, struct sld_node **out)
{
    struct sld_node *n = read_node(y->r, SLD_NODE_SEQ, line_of(&y->event), column_of(&y->event));
    if (!n)
        return false;
    *out = n;
    for (;;) {
        if (!next_event(y))
            return false;
        if (y->event.type == YAML_SEQUENCE_END_EVENT)
            return true;
        struct sld_node *item;
        if (!read_value(y, &item))
            return false;
        SLD_PUSH(y->r->a, n->items, n->count, item);
    }
}

static bool add_merge(struct yaml *y, struct merge *m, struct sld_node *v)
{
    if (v->type == SLD_NODE_MAP) {
        SLD_PUSH(y->r->a, m->from, m->n, v);
        return true;
    }
    if (v->type != SLD_NODE_SEQ)
        return syntax(y, "a merge key needs a mapping or a list of mappings");
    for (size_t i = 0; i < v->count; i++) {
        if (v->items[i]->type != SLD_NODE_MAP)
            return syntax(y, "a merge key needs a mapping or a list of mappings");
        SLD_PUSH(y->r->a, m->from, m->n, v->items[i]);
    }
    return true;
}

// Adds the pairs of the merged mappings that are not there yet.
static bool apply_merge(struct yaml *y, struct sld_node *n, const struct merge *m)
{
    struct sld_map have = {0};
    for (size_t i = 0; i < n->count; i++)
        sld_map_set(&have, n->pairs[i].key->text, n);
    bool ok = true;
    for (size_t k = 0; k < m->n && ok; k++) {
        for (size_t i = 0; i < m->from[k]->count && ok; i++) {
            struct sld_node_pair pair = m->from[k]->pairs[i];
            if (sld_map_has(&have, pair.key->text))
                continue;
            sld_map_set(&have, pair.key->text, n);
            SLD_PUSH(y->r->a, n->pairs, n->count, pair);
            ok = read_count(y->r, 1, n->line, n->column);
        }
    }
    sld_map_fini(&have);
    return ok;
}

static bool read_map(struct yaml *y, struct sld_node **out)
{
    struct sld_node *n = read_node(y->r, SLD_NODE_MAP, line_of(&y->event), column_of(&y->event));
    if (!n)
        return false;
    *out = n;
    struct merge merge = {0};
    for (;;) {
        if (!next_event(y))
            return false;
        if (y->event.type == YAML_MAPPING_END_EVENT)
            break;
        struct sld_node_pair pair;
        if (!read_value(y, &pair.key))
            return false;
        if (pair.key->type != SLD_NODE_SCALAR && pair.key->type != SLD_NODE_NULL)
            return read_fail(y->r, SLD_YAML_SYNTAX, pair.key->line, pair.key->column,
                             "a key must be a single word or string");
        bool is_merge = !pair.key->quoted && sld_str_eq(pair.key->text, SLD_STR("<<"));
        if (!next_event(y) || !read_value(y, &pair.value))
            return false;
        if (is_merge) {
            if (!add_merge(y, &merge, pair.value))
                return false;
            continue;
        }
        SLD_PUSH(y->r->a, n->pairs, n->count, pair);
    }
    return read_distinct(y->r, n) && (merge.n == 0 || apply_merge(y, n, &merge));
}

static const yaml_char_t *anchor_of(const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return e->data.scalar.anchor;
    case YAML_SEQUENCE_START_EVENT:
        return e->data.sequence_start.anchor;
    case YAML_MAPPING_START_EVENT:
        return e->data.mapping_start.anchor;
    default:
        return NULL;
    }
}

static bool read_kind(struct yaml *y, struct sld_node **out)
{
    switch (y->event.type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(y, out);
    case YAML_ALIAS_EVENT:
        return read_alias(y, out);
    case YAML_SEQUENCE_START_EVENT:
        return read_seq(y, out);
    case YAML_MAPPING_START_EVENT:
        return read_map(y, out);
    default:
        return syntax(y, "a value is missing");
    }
}

// Reads the value that begins with the event at hand.
static bool read_value(struct yaml *y, struct sld_node **out)
{
    if (y->depth >= y->r->limits->max_depth)
        return read_fail(y->r, SLD_DOC_LIMIT, line_of(&y->event), column_of(&y->event),
                         "the text is nested too deeply");
    y->depth++;
    struct anchor *an = NULL;
    unsigned deepest = y->deepest;
    size_t before = y->r->nodes;
    if (anchor_of(&y->event)) {
        an = SLD_ARENA_NEW(y->r->a, struct anchor);
        an->open = true;
        sld_map_set(&y->anchors, sld_str_c((const char *)anchor_of(&y->event)), an);
        y->deepest = y->depth;
    } else if (y->depth > y->deepest) {
        y->deepest = y->depth;
    }
    bool ok = read_kind(y, out);
    y->depth--;
    if (an && ok) {
        *an = (struct anchor){*out, y->r->nodes - before, y->deepest - y->depth, false};
        if (deepest > y->deepest)
            y->deepest = deepest;
    }
    return ok;
}

// A cursor over the lines of a text, by the line breaks that libyaml counts.
struct lines {
    struct sld_str text;
    size_t at;
    int line;
};

static void advance(struct lines *l, int line)
{
    while (l->line < line && l->at < l->text.n) {
        unsigned char c = (unsigned char)l->text.p[l->at++];
        struct sld_str rest = sld_str_sub(l->text, l->at - 1, 3);
        if (c == '\n' || (c == '\r' && !sld_str_starts(rest, SLD_STR("\r\n")))) {
            l->line++;
        } else if (sld_str_starts(rest, SLD_STR("\xc2\x85"))) {
            l->at += 1;
            l->line++;
        } else if (sld_str_starts(rest, SLD_STR("\xe2\x80\xa8")) ||
                   sld_str_starts(rest, SLD_STR("\xe2\x80\xa9"))) {
            l->at += 2;
            l->line++;
        }
    }
}

// Reads the document whose start event is at hand.
static bool read_document(struct yaml *y, struct lines *l, struct sld_document **docs, size_t *n)
{
    struct sld_document doc = {.text = l->text, .line = 1};
    if (*n >= y->r->limits->max_docs)
        return read_fail(y->r, SLD_DOC_LIMIT, line_of(&y->event), 1,
                         "the text has too many documents");
    if (*n > 0) {
        advance(l, line_of(&y->event));
        struct sld_document *last = &(*docs)[*n - 1];
        last->text.n = (size_t)(l->text.p + l->at - last->text.p);
        doc.text = sld_str_sub(l->text, l->at, l->text.n);
        doc.line = l->line;
    }
    sld_map_fini(&y->anchors);
    y->anchors = (struct sld_map){0};
    y->depth = y->deepest = 0;
    if (!next_event(y) || !read_value(y, &doc.root))
        return false;
    if (doc.root->type == SLD_NODE_NULL && doc.root->text.n == 0)
        doc.root = NULL;
    SLD_PUSH(y->r->a, *docs, *n, doc);
    return next_event(y);
}

bool read_yaml(struct reader *r, struct sld_str text, struct sld_document **docs, size_t *n)
{
    struct yaml y = {.r = r};
    struct lines l = {text, 0, 1};
    struct yaml_pool *pool = yaml_pool_enter();
    if (!yaml_parser_initialize(&y.parser)) {
        yaml_pool_leave(pool);
        return read_fail(r, SLD_DOC_LIMIT, 1, 1, "out of memory");
    }
    yaml_parser_set_encoding(&y.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&y.parser, (const unsigned char *)text.p, text.n);
    bool ok = true;
    do {
        ok = next_event(&y);
        if (ok && y.event.type == YAML_DOCUMENT_START_EVENT)
            ok = read_document(&y, &l, docs, n);
    } while (ok && y.event.type != YAML_STREAM_END_EVENT);
    drop_event(&y);
    yaml_parser_delete(&y.parser);
    yaml_pool_leave(pool);
    sld_map_fini(&y.anchors);
    return ok;
}

// Reading documents: which reader, encoding and ceilings; and the handling of trees.
#include "codec/doc.h"

#include <stdlib.h>

#include "codec/read.h"

const struct sld_doc_limits sld_doc_limits_default = {
    .max_bytes = 16 * 1024 * 1024,
    .max_depth = 64,
    .max_nodes = 2000000,
    .max_docs = 100000,
};

bool read_fail(struct reader *r, enum sld_code code, int line, int column, const char *what)
{
    *r->code = code;
    if (r->err) {
        sld_err_set(r->err, code == SLD_DOC_LIMIT ? SLD_LIMIT : SLD_INVALID, "%s", what);
        r->err->line = line;
        r->err->column = column;
    }
    return false;
}

bool read_count(struct reader *r, size_t n, int line, int column)
{
    if (n > r->limits->max_nodes || r->nodes > r->limits->max_nodes - n)
        return read_fail(r, SLD_DOC_LIMIT, line, column, "the text has too many values");
    r->nodes += n;
    return true;
}

struct sld_node *read_node(struct reader *r, enum sld_node_type type, int line, int column)
{
    if (!read_count(r, 1, line, column))
        return NULL;
    struct sld_node *n = SLD_ARENA_NEW(r->a, struct sld_node);
    n->type = type;
    n->line = line;
    n->column = column;
    return n;
}

static int pair_cmp(const void *a, const void *b)
{
    const struct sld_node_pair *x = *(const struct sld_node_pair *const *)a,
                          *y = *(const struct sld_node_pair *const *)b;
    int c = sld_str_cmp(x->key->text, y->key->text);
    return c ? c : (x > y) - (x < y);
}

static bool duplicate(struct reader *r, const struct sld_node *key)
{
    struct sld_str text = sld_arena_fmt(r->a, "key \"%.*s\" stands twice in one mapping",
                                        key->text.n > 100 ? 100 : (int)key->text.n, key->text.p);
    return read_fail(r, SLD_DOC_DUPLICATE_KEY, key->line, key->column, text.p);
}

bool read_distinct(struct reader *r, const struct sld_node *map)
{
    enum { FEW = 12 };
    size_t n = map->count;
    if (n <= FEW) {
        for (size_t i = 1; i < n; i++) {
            for (size_t k = 0; k < i; k++) {
                if (sld_str_eq(map->pairs[i].key->text, map->pairs[k].key->text))
                    return duplicate(r, map->pairs[i].key);
            }
        }
        return true;
    }
    const struct sld_node_pair **sorted = sld_xalloc(n * sizeof(struct sld_node_pair *));
    for (size_t i = 0; i < n; i++)
        sorted[i] = &map->pairs[i];
    qsort(sorted, n, sizeof(*sorted), pair_cmp);
    bool ok = true;
    for (size_t i = 1; i < n && ok; i++) {
        if (sld_str_eq(sorted[i - 1]->key->text, sorted[i]->key->text))
            ok = duplicate(r, sorted[i]->key);
    }
    sld_xfree(sorted);
    return ok;
}

// Line and column of byte AT.
static void position(struct sld_str text, size_t at, int *line, int *column)
{
    *line = 1;
    size_t start = 0;
    for (size_t i = 0; i < at; i++) {
        if (text.p[i] == '\n') {
            (*line)++;
            start = i + 1;
        }
    }
    *column = (int)(at - start) + 1;
}

static bool check_encoding(struct reader *r, struct sld_str text)
{
    size_t bad;
    int line, column;
    const char *nul = memchr(text.p, 0, text.n);
    if (nul) {
        position(text, (size_t)(nul - text.p), &line, &column);
        return read_fail(r, SLD_DOC_ENCODING, line, column, "the text has a NUL byte");
    }
    if (sld_str_utf8(text, &bad))
        return true;
    position(text, bad, &line, &column);
    return read_fail(r, SLD_DOC_ENCODING, line, column, "the text is not UTF-8");
}

enum sld_rc sld_doc_read(struct sld_arena *a, struct sld_str text,
                         const struct sld_doc_limits *limits, struct sld_document **docs, size_t *n,
                         enum sld_code *code, struct sld_err *err)
{
    struct sld_err own;
    enum sld_code own_code;
    struct reader r = {a, limits, 0, code ? code : &own_code, err ? err : &own};
    *docs = NULL;
    *n = 0;
    if (text.n == 0)
        return SLD_OK;
    if (text.n > limits->max_bytes) {
        read_fail(&r, SLD_DOC_LIMIT, 1, 1, "the text is too long");
        return SLD_LIMIT;
    }
    if (!check_encoding(&r, text))
        return SLD_INVALID;
    struct sld_str bare =
        sld_str_starts(text, SLD_STR("\xef\xbb\xbf")) ? sld_str_sub(text, 3, text.n) : text;
    struct sld_str trimmed = sld_str_trim(bare);
    if (trimmed.n && (trimmed.p[0] == '{' || trimmed.p[0] == '[')) {
        struct sld_node *root = NULL;
        if (read_json(&r, bare, &root)) {
            *docs = SLD_ARENA_NEW(a, struct sld_document);
            **docs = (struct sld_document){root, text, 1};
            *n = 1;
            return SLD_OK;
        }
        if (*r.code != SLD_YAML_SYNTAX)
            return r.err->rc;
        r.nodes = 0;
    }
    return read_yaml(&r, bare, docs, n) ? SLD_OK : r.err->rc;
}

struct sld_node *sld_node_get(const struct sld_node *node, struct sld_str key)
{
    if (!node || node->type != SLD_NODE_MAP)
        return NULL;
    for (size_t i = 0; i < node->count; i++) {
        if (sld_str_eq(node->pairs[i].key->text, key))
            return node->pairs[i].value;
    }
    return NULL;
}

struct sld_str sld_node_text(const struct sld_node *node)
{
    return node && node->type == SLD_NODE_SCALAR ? node->text : SLD_STR_NONE;
}

struct sld_node *sld_node_map(struct sld_arena *a)
{
    struct sld_node *n = SLD_ARENA_NEW(a, struct sld_node);
    n->type = SLD_NODE_MAP;
    return n;
}

struct sld_node *sld_node_scalar(struct sld_arena *a, struct sld_str text, bool quoted)
{
    struct sld_node *n = SLD_ARENA_NEW(a, struct sld_node);
    n->type = SLD_NODE_SCALAR;
    n->text = sld_arena_str(a, text.p ? text : SLD_STR(""));
    n->quoted = quoted;
    return n;
}

void sld_node_set(struct sld_arena *a, struct sld_node *map, struct sld_str key,
                  struct sld_node *value)
{
    SLD_PRE(map->type == SLD_NODE_MAP);
    for (size_t i = 0; i < map->count; i++) {
        if (sld_str_eq(map->pairs[i].key->text, key)) {
            map->pairs[i].value = value;
            return;
        }
    }
    // The array may have been made by a reader at its exact size, so it is copied to grow.
    struct sld_node_pair *pairs = SLD_ARENA_ARRAY(a, struct sld_node_pair, map->count + 1);
    if (map->count)
        memcpy(pairs, map->pairs, map->count * sizeof(*pairs));
    pairs[map->count++] = (struct sld_node_pair){sld_node_scalar(a, key, true), value};
    map->pairs = pairs;
}

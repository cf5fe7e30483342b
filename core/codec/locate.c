// Where a field path stands in a document's text.
#include "codec/doc.h"

// Equal but for underscores and case, so that camelCase and snake_case meet.
static bool same_name(struct sld_str a, struct sld_str b)
{
    size_t i = 0, k = 0;
    while (i < a.n || k < b.n) {
        if (i < a.n && a.p[i] == '_') {
            i++;
            continue;
        }
        if (k < b.n && b.p[k] == '_') {
            k++;
            continue;
        }
        if (i >= a.n || k >= b.n || !sld_str_ieq(sld_str_sub(a, i, 1), sld_str_sub(b, k, 1)))
            return false;
        i++;
        k++;
    }
    return true;
}

// One step of a path: a name or an index.
struct step {
    struct sld_str name;
    uint64_t index;
    bool is_index, exact; // EXACT: a map key in quotes
};

// Takes the next step off *PATH; false at its end or when it is malformed.
static bool take_step(struct sld_str *path, struct step *s)
{
    *s = (struct step){0};
    if (path->n && path->p[0] == '.')
        *path = sld_str_sub(*path, 1, path->n);
    if (path->n == 0)
        return false;
    if (path->p[0] != '[') {
        size_t n = 0;
        while (n < path->n && path->p[n] != '.' && path->p[n] != '[')
            n++;
        s->name = sld_str_sub(*path, 0, n);
        *path = sld_str_sub(*path, n, path->n);
        return true;
    }
    if (path->n > 1 && path->p[1] == '"') {
        ptrdiff_t end = sld_str_find(*path, SLD_STR("\"]"));
        if (end < 2)
            return false;
        s->name = sld_str_sub(*path, 2, (size_t)end - 2);
        s->exact = true;
        *path = sld_str_sub(*path, (size_t)end + 2, path->n);
        return true;
    }
    ptrdiff_t end = sld_str_index(*path, ']');
    s->is_index = true;
    if (end < 1 || !sld_str_u64(sld_str_sub(*path, 1, (size_t)end - 1), &s->index))
        return false;
    *path = sld_str_sub(*path, (size_t)end + 1, path->n);
    return true;
}

// Goes one step down from *NODE; *AT gets the node whose position is shown.
static bool descend(const struct sld_node **node, const struct step *s, const struct sld_node **at)
{
    if (s->is_index) {
        if ((*node)->type != SLD_NODE_SEQ || s->index >= (*node)->count)
            return false;
        *node = *at = (*node)->items[s->index];
        return true;
    }
    if ((*node)->type != SLD_NODE_MAP)
        return false;
    for (size_t i = 0; i < (*node)->count; i++) {
        struct sld_str key = (*node)->pairs[i].key->text;
        if (s->exact ? sld_str_eq(key, s->name) : same_name(key, s->name)) {
            *at = (*node)->pairs[i].key;
            *node = (*node)->pairs[i].value;
            return true;
        }
    }
    return false;
}

// Follows PATH from NODE; the number of steps that were there.
static size_t follow(const struct sld_node *node, struct sld_str path, const struct sld_node **at)
{
    struct step s;
    size_t steps = 0;
    while (take_step(&path, &s) && descend(&node, &s, at))
        steps++;
    return steps;
}

size_t sld_node_locate(const struct sld_node *root, struct sld_str path, int *line, int *column)
{
    const struct sld_node *node = root, *at = root;
    struct step s;
    size_t steps = 0;
    for (;;) {
        if (at->line > 0) {
            *line = at->line;
            *column = at->column;
        }
        if (!take_step(&path, &s) || !descend(&node, &s, &at))
            return steps;
        steps++;
    }
}

bool sld_doc_locate(struct sld_str text, int first_line, struct sld_str path, int *line,
                    int *column)
{
    struct sld_arena a = {0};
    struct sld_document *docs;
    size_t n;
    const struct sld_node *at = NULL, *below = NULL;
    *line = first_line;
    *column = 1;
    enum sld_rc rc = sld_doc_read(&a, text, &sld_doc_limits_default, &docs, &n, NULL, NULL);
    if (rc != SLD_OK || n == 0 || !docs[0].root) {
        sld_arena_fini(&a);
        return false;
    }
    const struct sld_node *root = docs[0].root, *spec = sld_node_get(root, SLD_STR("spec"));
    size_t steps = follow(root, path, &at);
    size_t spec_steps = spec ? follow(spec, path, &below) : 0;
    if (spec_steps > steps || !at)
        at = spec_steps ? below : root;
    bool found = at->line > 0;
    if (found) {
        *line = first_line + at->line - 1;
        *column = at->column;
    }
    sld_arena_fini(&a);
    return found;
}

// The order of routes of several tables of one weight (gloo-compat 3.6): the more specific first,
// so that none hides another.
#include "translate/route.h"

#include <stdlib.h>

static int path_rank(const Gloo__Matcher *m)
{
    switch (m->path_specifier_case) {
    case GLOO__MATCHER__PATH_SPECIFIER_EXACT:
        return 1;
    case GLOO__MATCHER__PATH_SPECIFIER_REGEX:
        return 2;
    case GLOO__MATCHER__PATH_SPECIFIER_PREFIX:
        return 3;
    default:
        return 0;
    }
}

// More methods first; then by kind of path; then by path, the greater text first, so that /a/b
// comes before /a.
static int matcher_order(const Gloo__Matcher *x, const Gloo__Matcher *y)
{
    if (x->n_methods != y->n_methods)
        return x->n_methods > y->n_methods ? -1 : 1;
    if (path_rank(x) != path_rank(y))
        return path_rank(x) - path_rank(y);
    return sld_str_cmp(tr_matcher_path(y), tr_matcher_path(x));
}

static int leaf_order(const void *x, const void *y)
{
    const struct tr_leaf *a = *(struct tr_leaf *const *)x, *b = *(struct tr_leaf *const *)y;
    int c = matcher_order(a->first, b->first);
    return c ? c : a->seq < b->seq ? -1 : a->seq > b->seq;
}

void tr_sort_leaves(struct tr_build *b, size_t from)
{
    size_t n = b->leaf_count - from;
    for (size_t i = from; i < b->leaf_count; i++) {
        struct tr_leaf *l = b->leaves[i];
        l->seq = i;
        l->first = l->matchers[0];
        for (size_t k = 1; k < l->matcher_count; k++) {
            if (matcher_order(l->matchers[k], l->first) < 0)
                l->first = l->matchers[k];
        }
    }
    if (n > 1)
        qsort(b->leaves + from, n, sizeof(*b->leaves), leaf_order);
}

// Routes that an earlier one hides, told where Settings ask for it
// (gateway.validation.warnRouteShortCircuiting; gloo-compat 3.3). Only what is certain is told.
#include "translate/route.h"

#include "codec/regex.h"

// Comparisons of two matchers in one virtual host.
enum { MAX_COMPARISONS = 4000000 };

struct early {
    const struct tr_leaf *leaf;
    const Gloo__Matcher *m;
    struct sld_regex *regex; // of a regex path
};

static bool case_sensitive(const Gloo__Matcher *m)
{
    return !m->case_sensitive || m->case_sensitive->value;
}

static bool path_covers(const struct early *e, const Gloo__Matcher *later)
{
    struct sld_str path = tr_matcher_path(later);
    bool text = later->path_specifier_case == GLOO__MATCHER__PATH_SPECIFIER_PREFIX ||
                later->path_specifier_case == GLOO__MATCHER__PATH_SPECIFIER_EXACT;
    switch (e->m->path_specifier_case) {
    case GLOO__MATCHER__PATH_SPECIFIER_PREFIX:
        return text && case_sensitive(e->m) == case_sensitive(later) &&
               sld_str_starts(path, sld_str_c(e->m->prefix));
    case GLOO__MATCHER__PATH_SPECIFIER_REGEX:
        return text && e->regex && case_sensitive(later) && sld_regex_match(e->regex, path);
    default:
        return false;
    }
}

// Whether the value a matcher wants of a header or parameter is sure to meet an earlier one's.
static bool value_covers(const char *early, bool early_regex, const char *later, bool later_regex)
{
    if (!*early)
        return true; // it only has to be there
    return early_regex == later_regex && strcmp(early, later) == 0;
}

static bool header_covered(const Gloo__HeaderMatcher *e, const Gloo__Matcher *later)
{
    for (size_t i = 0; i < later->n_headers; i++) {
        const Gloo__HeaderMatcher *l = later->headers[i];
        if (strcmp(e->name, l->name) != 0)
            continue;
        if (sld_msg_equal(&e->base, &l->base))
            return true;
        if (!e->invert_match && !l->invert_match &&
            value_covers(e->value, e->regex, l->value, l->regex))
            return true;
    }
    return false;
}

static bool query_covered(const Gloo__QueryParameterMatcher *e, const Gloo__Matcher *later)
{
    for (size_t i = 0; i < later->n_query_parameters; i++) {
        const Gloo__QueryParameterMatcher *l = later->query_parameters[i];
        if (strcmp(e->name, l->name) == 0 && value_covers(e->value, e->regex, l->value, l->regex))
            return true;
    }
    return false;
}

static bool methods_covered(const Gloo__Matcher *early, const Gloo__Matcher *later)
{
    if (!early->n_methods)
        return true;
    for (size_t i = 0; i < later->n_methods; i++) {
        bool found = false;
        for (size_t k = 0; k < early->n_methods && !found; k++)
            found = strcmp(early->methods[k], later->methods[i]) == 0;
        if (!found)
            return false;
    }
    return later->n_methods > 0;
}

static bool covers(const struct early *e, const Gloo__Matcher *later)
{
    if (!path_covers(e, later) || !methods_covered(e->m, later))
        return false;
    for (size_t i = 0; i < e->m->n_headers; i++) {
        if (!header_covered(e->m->headers[i], later))
            return false;
    }
    for (size_t i = 0; i < e->m->n_query_parameters; i++) {
        if (!query_covered(e->m->query_parameters[i], later))
            return false;
    }
    return true;
}

static void tell(struct tr_build *b, const struct tr_leaf *leaf, size_t matcher,
                 const struct early *e, bool same)
{
    struct sld_report *r = leaf->owner->report;
    struct sld_str before = r->prefix, path = SLD_STR("");
    size_t said = r->count;
    r->prefix = leaf->path;
    if (leaf->route->n_matchers)
        path = sld_arena_fmt(b->tr->arena, "matchers[%zu]", matcher);
    struct sld_str where = tr_ref_text(b->tr->arena, e->leaf->owner->ns, e->leaf->owner->name);
    bool regex = e->m->path_specifier_case == GLOO__MATCHER__PATH_SPECIFIER_REGEX;
    if (same)
        sld_report_add(r, SLD_WARNING, SLD_ROUTE_SHADOWED, path,
                       "virtual host [%.*s.%.*s] has conflicting matcher: %.*s of %.*s has the "
                       "same and takes all its requests; "
                       "remove one of them",
                       SLD_FMT(b->vs.ns), SLD_FMT(b->vs.name), SLD_FMT(e->leaf->path),
                       SLD_FMT(where));
    else
        sld_report_add(r, SLD_WARNING, SLD_ROUTE_SHADOWED, path,
                       "virtual host [%.*s.%.*s] has unordered %s routes, earlier %s [%.*s] (%.*s "
                       "of %.*s) short-circuited later "
                       "route; put this one first",
                       SLD_FMT(b->vs.ns), SLD_FMT(b->vs.name), regex ? "regex" : "prefix",
                       regex ? "regex" : "prefix", SLD_FMT(tr_matcher_path(e->m)),
                       SLD_FMT(e->leaf->path), SLD_FMT(where));
    tr_repeat(b, leaf->owner, said, leaf->top);
    r->prefix = before;
}

// True while comparisons are left.
static bool compare(struct tr_build *b, const struct early *all, size_t n,
                    const struct tr_leaf *leaf, size_t matcher, size_t *left)
{
    const Gloo__Matcher *m = leaf->matchers[matcher];
    for (size_t i = 0; i < n; i++) {
        if ((*left)-- == 0)
            return false;
        bool same = sld_msg_equal(&all[i].m->base, &m->base);
        if (!same && !covers(&all[i], m))
            continue;
        tell(b, leaf, matcher, &all[i], same);
        break;
    }
    return true;
}

void tr_shadowed(struct tr_build *b)
{
    struct early *all = NULL;
    size_t n = 0, left = MAX_COMPARISONS;
    bool more = true;
    for (size_t i = 0; i < b->leaf_count && more; i++) {
        const struct tr_leaf *leaf = b->leaves[i];
        for (size_t k = 0; k < leaf->matcher_count && more; k++) {
            more = compare(b, all, n, leaf, k, &left);
            struct early e = {.leaf = leaf, .m = leaf->matchers[k]};
            if (e.m->path_specifier_case == GLOO__MATCHER__PATH_SPECIFIER_REGEX)
                e.regex = sld_regex_create(sld_str_c(e.m->regex), NULL);
            SLD_PUSH(b->tr->arena, all, n, e);
        }
    }
    if (!more)
        sld_report_add(b->vs.report, SLD_NOTE, SLD_ROUTE_SHADOWED, SLD_STR("virtualHost.routes"),
                       "too many routes to look for all that an earlier one hides");
    for (size_t i = 0; i < n; i++)
        sld_regex_destroy(all[i].regex);
}

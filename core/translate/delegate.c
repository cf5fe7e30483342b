// Delegation (gloo-compat 3.6): from the tree of a virtual service and its route tables to a flat
// list of routes. What a child inherits goes into shallow copies; nothing shared is ever changed.
#include "translate/option.h"
#include "translate/route.h"

#include <stdlib.h>

// A delegating route on the way down, and the table it leads to.
struct frame {
    const struct frame *up;
    const struct tr_owner *owner; // holds the route
    const Gloo__Route *route;
    size_t index;
    const Gloo__Matcher *matcher;
    const Gloo__RouteOptions *options;
    bool inherit_matchers, inherit_path;
    bool named;           // this route or one above it has a name
    struct sld_str top;   // path of the virtual service's route
    struct sld_str table; // key
    unsigned depth;
};

// A route being looked at.
struct visit {
    struct tr_build *b;
    const struct tr_owner *owner;
    const struct frame *up; // NULL: of the virtual service
    const Gloo__Route *route;
    size_t index;
    struct sld_str top;
    size_t said; // findings of the owner before it
    bool inherit_matchers, inherit_path, named;
    Gloo__Matcher **matchers;
    size_t matcher_count;
    const Gloo__RouteOptions *options;
};

static void visit_all(struct tr_build *b, const struct tr_owner *owner, Gloo__Route *const *routes,
                      size_t n, const struct frame *up);

// ---- Findings ----

static void limit(struct tr_build *b, struct sld_str top, const char *what, int most)
{
    if (b->full)
        return;
    b->full = true;
    sld_report_add(b->vs.report, SLD_ERROR, SLD_ROUTE_LIMIT, SLD_STR(""),
                   "more than %d %s below %.*s; those beyond are left out. Delegate less deeply, "
                   "or split the virtual service",
                   most, what, SLD_FMT(top));
}

// ---- Options ----

// Fills what TO leaves unset. Of the two rewrites of the path Envoy takes one, so a set one keeps
// the other out.
static void fill(struct tr_build *b, Gloo__RouteOptions *to, const Gloo__RouteOptions *from)
{
    const Gloo__RouteOptions own = *to;
    sld_msg_fill(&to->base, &from->base);
    to->extensions = tr_merge_extensions(b->tr->arena, own.extensions, from->extensions);
    if (own.prefix_rewrite || own.regex_rewrite) {
        to->prefix_rewrite = own.prefix_rewrite;
        to->regex_rewrite = own.regex_rewrite;
    }
}

static Gloo__RouteOptions *shallow(struct tr_build *b, const Gloo__RouteOptions *o)
{
    Gloo__RouteOptions *copy = SLD_MSG(b->tr->arena, Gloo__RouteOptions, gloo__route_options);
    if (o)
        fill(b, copy, o);
    return copy;
}

// The route's options and those it refers to: a field set before is never touched.
static const Gloo__RouteOptions *own_options(struct visit *v)
{
    const Gloo__Route *route = v->route;
    if (route->external_options_config_case !=
            GLOO__ROUTE__EXTERNAL_OPTIONS_CONFIG_OPTIONS_CONFIG_REFS ||
        !route->options_config_refs->n_delegate_options)
        return route->options;
    Gloo__RouteOptions *out = shallow(v->b, route->options);
    for (size_t i = 0; i < route->options_config_refs->n_delegate_options; i++) {
        const Gloo__ResourceRef *ref = route->options_config_refs->delegate_options[i];
        struct sld_str ns = tr_ref_ns(ref, v->owner->ns);
        const struct sld_object *o =
            tr_object(v->b->tr, SLD_KIND_ROUTE_OPTION, ns, sld_str_c(ref->name));
        if (!o) {
            struct sld_str path =
                sld_arena_fmt(v->b->tr->arena, "optionsConfigRefs.delegateOptions[%zu]", i);
            sld_report_add(v->owner->report, SLD_WARNING, SLD_REF_OPTION, path,
                           "*v1.RouteOption { %.*s.%s } not found; %s", SLD_FMT(ns), ref->name,
                           tr_mend_ref(v->b->tr, SLD_KIND_ROUTE_OPTION, ns, sld_str_c(ref->name)));
            continue;
        }
        const Gloo__RouteOption *msg = sld_object_msg(o);
        if (msg->options)
            fill(v->b, out, msg->options);
    }
    return out;
}

static void inherit_options(struct visit *v)
{
    if (!v->up->options)
        return;
    if (!v->options) {
        v->options = v->up->options;
        return;
    }
    Gloo__RouteOptions *out = shallow(v->b, v->options);
    fill(v->b, out, v->up->options);
    v->options = out;
}

// ---- Matchers ----

// Copies of the route's matchers, so that something can be put into them.
static void own_matchers(struct visit *v)
{
    struct sld_arena *a = v->b->tr->arena;
    Gloo__Matcher **copy = SLD_ARENA_ARRAY(a, Gloo__Matcher *, v->matcher_count);
    for (size_t i = 0; i < v->matcher_count; i++) {
        copy[i] = SLD_MSG(a, Gloo__Matcher, gloo__matcher);
        *copy[i] = *v->matchers[i];
    }
    v->matchers = copy;
}

static void take_path(Gloo__Matcher *m, const Gloo__Matcher *from)
{
    m->path_specifier_case = from->path_specifier_case;
    m->prefix = from->prefix; // only prefixes delegate
    m->case_sensitive = from->case_sensitive;
}

// An array of the elements of X, then of Y.
static void *joined(struct sld_arena *a, const void *x, size_t nx, const void *y, size_t ny)
{
    if (!nx && !ny)
        return NULL;
    char *out = sld_arena_alloc(a, (nx + ny) * sizeof(void *));
    if (nx)
        memcpy(out, x, nx * sizeof(void *));
    if (ny)
        memcpy(out + nx * sizeof(void *), y, ny * sizeof(void *));
    return out;
}

static void prepend(struct sld_arena *a, Gloo__Matcher *m, const Gloo__Matcher *p)
{
    m->headers = joined(a, p->headers, p->n_headers, m->headers, m->n_headers);
    m->n_headers += p->n_headers;
    m->methods = joined(a, p->methods, p->n_methods, m->methods, m->n_methods);
    m->n_methods += p->n_methods;
    m->query_parameters = joined(a, p->query_parameters, p->n_query_parameters, m->query_parameters,
                                 m->n_query_parameters);
    m->n_query_parameters += p->n_query_parameters;
}

static bool effective(const Google__Protobuf__BoolValue *own, bool inherited)
{
    return own ? own->value : inherited;
}

static void fill_matchers(struct visit *v)
{
    struct sld_arena *a = v->b->tr->arena;
    v->matchers = v->route->matchers;
    v->matcher_count = v->route->n_matchers;
    bool none = v->matcher_count == 0;
    if (none) {
        v->matchers = &v->b->any;
        v->matcher_count = 1;
    }
    v->inherit_matchers =
        effective(v->route->inheritable_matchers, v->up && v->up->inherit_matchers);
    v->inherit_path = effective(v->route->inheritable_path_matchers, v->up && v->up->inherit_path);
    if (!v->up || !(v->inherit_matchers || v->inherit_path))
        return;
    own_matchers(v);
    for (size_t i = 0; i < v->matcher_count; i++) {
        if (v->inherit_path)
            take_path(v->matchers[i], v->up->matcher);
        if (v->inherit_matchers)
            prepend(a, v->matchers[i], v->up->matcher);
    }
}

// ---- Does a child fit its parent? ----

static void misfit(struct visit *v, size_t i, const char *field, struct sld_str required,
                   const char *rule)
{
    struct sld_str path = v->route->n_matchers
                              ? sld_arena_fmt(v->b->tr->arena, "matchers[%zu]%s", i, field)
                              : SLD_STR("");
    sld_report_add(v->owner->report, SLD_WARNING, SLD_ROUTE_CHILD, path,
                   "%.*s: invalid route: route table matchers must %s", SLD_FMT(required), rule);
}

static bool same_case(const Google__Protobuf__BoolValue *x, const Google__Protobuf__BoolValue *y)
{
    return x && y ? x->value == y->value : x == y;
}

// The last header of that name counts, as in Gloo.
static bool has_header(const Gloo__Matcher *m, const Gloo__HeaderMatcher *want)
{
    for (size_t i = m->n_headers; i-- > 0;) {
        if (strcmp(m->headers[i]->name, want->name) == 0)
            return sld_msg_equal(&m->headers[i]->base, &want->base);
    }
    return false;
}

static bool has_query(const Gloo__Matcher *m, const Gloo__QueryParameterMatcher *want)
{
    for (size_t i = m->n_query_parameters; i-- > 0;) {
        if (strcmp(m->query_parameters[i]->name, want->name) == 0)
            return sld_msg_equal(&m->query_parameters[i]->base, &want->base);
    }
    return false;
}

static bool has_method(const Gloo__Matcher *m, const char *want)
{
    for (size_t i = 0; i < m->n_methods; i++) {
        if (strcmp(m->methods[i], want) == 0)
            return true;
    }
    return false;
}

static const char *case_text(const Google__Protobuf__BoolValue *b)
{
    return !b ? "unset" : b->value ? "true" : "false";
}

// What the parent wants and matcher I does not have, of headers, query parameters and methods;
// false with a warning.
static bool has_all(struct visit *v, size_t i)
{
    struct sld_arena *a = v->b->tr->arena;
    const Gloo__Matcher *m = v->matchers[i], *p = v->up->matcher;
    for (size_t k = 0; k < p->n_headers; k++) {
        if (has_header(m, p->headers[k]))
            continue;
        misfit(v, i, ".headers", sld_arena_fmt(a, "required headers: %s", p->headers[k]->name),
               "have all headers that were specified on their parent route's matcher");
        return false;
    }
    for (size_t k = 0; k < p->n_query_parameters; k++) {
        if (has_query(m, p->query_parameters[k]))
            continue;
        misfit(v, i, ".queryParameters",
               sld_arena_fmt(a, "required query params: %s", p->query_parameters[k]->name),
               "have all query params that were specified on their parent route's matcher");
        return false;
    }
    for (size_t k = 0; k < p->n_methods; k++) {
        if (has_method(m, p->methods[k]))
            continue;
        misfit(v, i, ".methods", sld_arena_fmt(a, "required methods: %s", p->methods[k]),
               "have all methods that were specified on their parent route's matcher");
        return false;
    }
    return true;
}

// False, with a warning, when matcher I would take requests that the parent does not.
static bool matcher_fits(struct visit *v, size_t i)
{
    struct sld_arena *a = v->b->tr->arena;
    const Gloo__Matcher *m = v->matchers[i], *p = v->up->matcher;
    struct sld_str path = tr_matcher_path(m), prefix = sld_str_c(p->prefix);
    if (!sld_str_starts(path, prefix)) {
        misfit(
            v, i, "",
            sld_arena_fmt(a, "required prefix: %.*s, prefix: %.*s", SLD_FMT(prefix), SLD_FMT(path)),
            "begin with the prefix of their parent route's matcher");
        return false;
    }
    if (!same_case(m->case_sensitive, p->case_sensitive)) {
        misfit(v, i, ".caseSensitive",
               sld_arena_fmt(a, "required caseSensitive: %s, caseSensitive: %s",
                             case_text(p->case_sensitive), case_text(m->case_sensitive)),
               "have the same case sensitivity of their parent route's matcher");
        return false;
    }
    return has_all(v, i);
}

static bool fits(struct visit *v)
{
    for (size_t i = 0; v->up && i < v->matcher_count; i++) {
        if (!matcher_fits(v, i))
            return false;
    }
    return true;
}

// ---- Order ----

static int table_order(const void *x, const void *y)
{
    const struct tr_table *a = x, *b = y;
    if (a->weight != b->weight)
        return a->weight < b->weight ? -1 : 1;
    return a->seq < b->seq ? -1 : a->seq > b->seq;
}

// ---- Names ----

static struct sld_str link_name(struct tr_build *b, const struct tr_owner *o, const Gloo__Route *r,
                                size_t index)
{
    struct sld_arena *a = b->tr->arena;
    struct sld_str route = *r->name ? sld_str_c(r->name) : sld_arena_fmt(a, "<unnamed-%zu>", index);
    if (o == &b->vs)
        return sld_arena_fmt(a, "vs:%.*s_%.*s_%.*s_%.*s_route:%.*s", SLD_FMT(b->gateway),
                             SLD_FMT(b->proxy), SLD_FMT(o->ns), SLD_FMT(o->name), SLD_FMT(route));
    return sld_arena_fmt(a, "rt:%.*s_%.*s_route:%.*s", SLD_FMT(o->ns), SLD_FMT(o->name),
                         SLD_FMT(route));
}

static struct sld_str chain(const struct visit *v)
{
    struct sld_str name = link_name(v->b, v->owner, v->route, v->index);
    for (const struct frame *f = v->up; f; f = f->up) {
        struct sld_str up = link_name(v->b, f->owner, f->route, f->index);
        name = sld_arena_fmt(v->b->tr->arena, "%.*s_%.*s", SLD_FMT(up), SLD_FMT(name));
    }
    return name;
}

// ---- Walking ----

static void add_leaf(struct visit *v)
{
    struct tr_leaf *l = SLD_ARENA_NEW(v->b->tr->arena, struct tr_leaf);
    l->owner = v->owner;
    l->route = v->route;
    l->path = v->owner->report->prefix;
    l->top = v->top;
    if (v->named)
        l->name = chain(v);
    l->matchers = v->matchers;
    l->matcher_count = v->matcher_count;
    l->options = v->options;
    SLD_PUSH(v->b->tr->arena, v->b->leaves, v->b->leaf_count, l);
}

// The matcher that children are held to: one prefix; without a path the prefix /. NULL with an
// error finding.
static const Gloo__Matcher *delegate_matcher(struct visit *v)
{
    if (v->matcher_count > 1) {
        sld_report_add(v->owner->report, SLD_ERROR, SLD_ROUTE_DELEGATE_MATCHER, SLD_STR("matchers"),
                       "invalid route: routes with delegate actions must omit or specify a single "
                       "matcher; split the route");
        return NULL;
    }
    Gloo__Matcher *m = v->matchers[0];
    if (m->path_specifier_case == GLOO__MATCHER__PATH_SPECIFIER__NOT_SET) {
        Gloo__Matcher *copy = SLD_MSG(v->b->tr->arena, Gloo__Matcher, gloo__matcher);
        *copy = *m;
        copy->path_specifier_case = GLOO__MATCHER__PATH_SPECIFIER_PREFIX;
        copy->prefix = v->b->any->prefix;
        return copy;
    }
    if (m->path_specifier_case == GLOO__MATCHER__PATH_SPECIFIER_PREFIX && *m->prefix)
        return m;
    sld_report_add(v->owner->report, SLD_ERROR, SLD_ROUTE_DELEGATE_MATCHER, SLD_STR("matchers[0]"),
                   "invalid route: routes with delegate actions must use a prefix matcher");
    return NULL;
}

static struct tr_owner *table_owner(struct tr_build *b, const struct sld_object *o)
{
    struct tr_owner *owner = SLD_ARENA_NEW(b->tr->arena, struct tr_owner);
    *owner = (struct tr_owner){.kind = SLD_KIND_ROUTE_TABLE, .ns = o->id.ns, .name = o->id.name};
    owner->report = SLD_ARENA_NEW(b->tr->arena, struct sld_report);
    owner->report->arena = b->tr->arena;
    SLD_PUSH(b->tr->arena, b->tables, b->table_count, owner);
    return owner;
}

static const struct frame *visited(const struct frame *f, struct sld_str key)
{
    while (f && !sld_str_eq(f->table, key))
        f = f->up;
    return f;
}

static struct sld_str circle_text(struct tr_build *b, const struct frame *f)
{
    struct sld_ident id;
    bool ok = sld_ident_parse(f->table, &id);
    SLD_INV(ok);
    struct sld_str me = tr_ref_text(b->tr->arena, id.ns, id.name);
    if (!f->up)
        return sld_arena_fmt(b->tr->arena, "[%.*s]", SLD_FMT(me));
    struct sld_str up = circle_text(b, f->up);
    return sld_arena_fmt(b->tr->arena, "%.*s -> [%.*s]", SLD_FMT(up), SLD_FMT(me));
}

// The error stands on the table that closes the circle, and on the virtual service.
static void circle(struct tr_build *b, const struct frame *f, const struct sld_object *o)
{
    struct tr_owner *owner = table_owner(b, o);
    sld_report_add(
        owner->report, SLD_ERROR, SLD_ROUTE_CYCLE, SLD_STR("routes"),
        "invalid route: delegation cycle detected: %.*s; remove one of these delegations",
        SLD_FMT(circle_text(b, f)));
    tr_repeat(b, owner, 0, f->top);
}

static void enter_table(struct tr_build *b, struct frame *f, const struct tr_table *t)
{
    f->table = t->key;
    if (f->up && visited(f->up, t->key)) {
        circle(b, f, t->object);
        return;
    }
    if (++b->visits > TR_MAX_VISITS) {
        limit(b, f->top, "steps of delegation", TR_MAX_VISITS);
        return;
    }
    const Gloo__RouteTable *rt = sld_object_msg(t->object);
    visit_all(b, table_owner(b, t->object), rt->routes, rt->n_routes, f);
}

static void delegate(struct visit *v)
{
    struct tr_build *b = v->b;
    const Gloo__Matcher *m = delegate_matcher(v);
    size_t n = 0;
    struct tr_table *tables = m ? tr_tables(b, v->owner, v->route->delegate_action, &n) : NULL;
    struct frame f = {.up = v->up,
                      .owner = v->owner,
                      .route = v->route,
                      .index = v->index,
                      .matcher = m,
                      .options = v->options,
                      .inherit_matchers = v->inherit_matchers,
                      .inherit_path = v->inherit_path,
                      .named = v->named,
                      .top = v->top,
                      .depth = v->up ? v->up->depth + 1 : 1};
    if (n && f.depth > TR_MAX_DEPTH) {
        limit(b, v->top, "levels of route tables", TR_MAX_DEPTH);
        return;
    }
    for (size_t i = 0; i < n; i++)
        tables[i].seq = i;
    if (n > 1)
        qsort(tables, n, sizeof(*tables), table_order);
    for (size_t i = 0; i < n;) {
        size_t from = b->leaf_count, end = i;
        while (end < n && tables[end].weight == tables[i].weight)
            enter_table(b, &f, &tables[end++]);
        if (end - i > 1)
            tr_sort_leaves(b, from);
        i = end;
    }
}

static void visit_one(struct visit *v)
{
    v->named = *v->route->name || (v->up && v->up->named);
    v->options = own_options(v);
    fill_matchers(v);
    if (fits(v)) {
        if (v->up)
            inherit_options(v);
        if (v->route->action_case == GLOO__ROUTE__ACTION_DELEGATE_ACTION)
            delegate(v);
        else
            add_leaf(v);
    }
    tr_repeat(v->b, v->owner, v->said, v->top);
}

static void visit_all(struct tr_build *b, const struct tr_owner *owner, Gloo__Route *const *routes,
                      size_t n, const struct frame *up)
{
    struct sld_report *r = owner->report;
    const char *field = owner == &b->vs ? "virtualHost.routes" : "routes";
    for (size_t i = 0; i < n && !b->full; i++) {
        struct sld_str before = sld_report_enter(r, field, (long)i);
        struct visit v = {
            .b = b, .owner = owner, .up = up, .route = routes[i], .index = i, .said = r->count};
        v.top = up ? up->top : r->prefix;
        if (++b->visits > TR_MAX_VISITS || b->leaf_count >= TR_MAX_ROUTES)
            limit(b, v.top, "routes", TR_MAX_ROUTES);
        else
            visit_one(&v);
        sld_report_leave(r, before);
    }
}

void tr_delegate(struct tr_build *b, const Gloo__VirtualHost *vh)
{
    visit_all(b, &b->vs, vh->routes, vh->n_routes, NULL);
}

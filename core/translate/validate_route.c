// What is checked of virtual services, route tables, their options and upstream groups alone. What
// the schema says of single fields is checked when a document is decoded.
#include "translate/option.h"
#include "translate/validate.h"

#include <stdlib.h>

// Envoy's limit of the body of a direct response (gateways cannot raise it yet).
enum { DIRECT_RESPONSE_BODY_MAX = 4096 };

// ---- Options ----

static void check_options(const struct sld_translate *t, const struct sld_feature_check *c,
                          const char *field)
{
    struct sld_str before = sld_report_enter(c->report, field, -1);
    for (size_t i = 0; i < t->opt.feature_count; i++) {
        if (t->opt.features[i]->check)
            t->opt.features[i]->check(c);
    }
    sld_report_leave(c->report, before);
}

static void check_vhost_options(const struct sld_translate *t, const Gloo__VirtualHostOptions *o,
                                struct sld_report *r)
{
    if (o)
        check_options(t, &(struct sld_feature_check){.t = t, .report = r, .virtual_host = o}, "options");
}

static void check_route_options(const struct sld_translate *t, const Gloo__RouteOptions *o,
                                const Gloo__Route *route, struct sld_report *r)
{
    if (o)
        check_options(t,
                      &(struct sld_feature_check){.t = t, .report = r, .route = o, .route_object = route},
                      "options");
}

// ---- Destinations ----

static void check_weights(const struct sld_translate *t, Gloo__WeightedDestination *const *d,
                          size_t n, struct sld_report *r)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += d[i]->weight ? d[i]->weight->value : 0;
        if (!d[i]->options)
            continue;
        struct sld_str before = sld_report_enter(r, "destinations", (long)i);
        check_options(t, &(struct sld_feature_check){.t = t, .report = r, .weighted = d[i]->options},
                      "options");
        sld_report_leave(r, before);
    }
    if (n && total < 1)
        sld_report_add(r, SLD_ERROR, SLD_ROUTE_WEIGHT, SLD_STR("destinations"),
                       "Route Error: ProcessingError. Reason: Incorrect configuration for Weighted "
                       "Destination for route - Weighted "
                       "Destinations require a total weight that is greater than or equal to 1; "
                       "give one of them a weight");
    if (total > UINT32_MAX)
        sld_report_add(r, SLD_ERROR, SLD_ROUTE_WEIGHT, SLD_STR("destinations"),
                       "the weights add up to more than 4294967295, which Envoy does not take; "
                       "make them smaller");
}

// ---- Matchers ----

static void check_path(struct sld_report *r, enum sld_code code, const char *field,
                       const char *path)
{
    const char *problem = tr_path_problem(sld_str_c(path));
    if (problem)
        sld_report_add(r, SLD_ERROR, code, sld_str_c(field),
                       "Route Error: ProcessingError. Reason: the path is invalid: %s %s", path,
                       problem);
}

static void check_matcher_path(const Gloo__Matcher *m, struct sld_report *r)
{
    switch (m->path_specifier_case) {
    case GLOO__MATCHER__PATH_SPECIFIER_PREFIX:
        check_path(r, SLD_ROUTE_PATH, "prefix", m->prefix);
        break;
    case GLOO__MATCHER__PATH_SPECIFIER_EXACT:
        check_path(r, SLD_ROUTE_PATH, "exact", m->exact);
        break;
    case GLOO__MATCHER__PATH_SPECIFIER_REGEX:
        (void)tr_note_regex(r, SLD_STR("regex"), sld_str_c(m->regex)); // the schema found it valid
        break;
    default:
        break;
    }
}

static void check_matcher(const Gloo__Matcher *m, struct sld_report *r)
{
    check_matcher_path(m, r);
    for (size_t i = 0; i < m->n_headers; i++) {
        struct sld_str before = sld_report_enter(r, "headers", (long)i);
        if (m->headers[i]->regex && *m->headers[i]->value)
            tr_check_regex(r, "value", sld_str_c(m->headers[i]->value));
        sld_report_leave(r, before);
    }
    for (size_t i = 0; i < m->n_query_parameters; i++) {
        struct sld_str before = sld_report_enter(r, "queryParameters", (long)i);
        if (m->query_parameters[i]->regex && *m->query_parameters[i]->value)
            tr_check_regex(r, "value", sld_str_c(m->query_parameters[i]->value));
        sld_report_leave(r, before);
    }
}

// A route table's route may inherit its path from the parent unless it says that it does not.
static bool may_inherit_path(const Gloo__Route *route, bool top)
{
    return !top && (!route->inheritable_path_matchers || route->inheritable_path_matchers->value);
}

static void check_delegate_matchers(const Gloo__Route *route, bool top, struct sld_report *r)
{
    if (route->n_matchers > 1) {
        sld_report_add(r, SLD_ERROR, SLD_ROUTE_DELEGATE_MATCHER, SLD_STR("matchers"),
                       "invalid route: routes with delegate actions must omit or specify a single "
                       "matcher; split the route");
        return;
    }
    if (!route->n_matchers || may_inherit_path(route, top))
        return;
    const Gloo__Matcher *m = route->matchers[0];
    bool prefix = m->path_specifier_case == GLOO__MATCHER__PATH_SPECIFIER_PREFIX && *m->prefix;
    if (!prefix && m->path_specifier_case != GLOO__MATCHER__PATH_SPECIFIER__NOT_SET)
        sld_report_add(r, SLD_ERROR, SLD_ROUTE_DELEGATE_MATCHER, SLD_STR("matchers[0]"),
                       "invalid route: routes with delegate actions must use a prefix matcher");
}

static void check_matchers(const Gloo__Route *route, bool top, struct sld_report *r)
{
    bool delegates = route->action_case == GLOO__ROUTE__ACTION_DELEGATE_ACTION;
    for (size_t i = 0; i < route->n_matchers; i++) {
        struct sld_str before = sld_report_enter(r, "matchers", (long)i);
        const Gloo__Matcher *m = route->matchers[i];
        check_matcher(m, r);
        if (top && !delegates && m->path_specifier_case == GLOO__MATCHER__PATH_SPECIFIER__NOT_SET)
            sld_report_add(r, SLD_ERROR, SLD_ROUTE_MATCHER, SLD_STR(""),
                           "Route Error: InvalidMatcherError. Reason: no path specifier provided; "
                           "set prefix, exact, regex or "
                           "connectMatcher");
        sld_report_leave(r, before);
    }
    if (delegates)
        check_delegate_matchers(route, top, r);
}

// ---- Actions ----

static void check_redirect(const Gloo__RedirectAction *a, struct sld_report *r)
{
    check_path(r, SLD_ROUTE_REDIRECT, "hostRedirect", a->host_redirect);
    switch (a->path_rewrite_specifier_case) {
    case GLOO__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT:
        check_path(r, SLD_ROUTE_REDIRECT, "pathRedirect", a->path_redirect);
        break;
    case GLOO__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE: {
        // A rewrite may have a query of its own.
        struct sld_str rest = sld_str_c(a->prefix_rewrite), path;
        sld_str_cut(&rest, '?', &path);
        check_path(r, SLD_ROUTE_REDIRECT, "prefixRewrite", sld_arena_cstr(r->arena, path));
        break;
    }
    case GLOO__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_REGEX_REWRITE:
        tr_check_rewrite(r, "regexRewrite", a->regex_rewrite);
        break;
    default:
        break;
    }
}

static void check_direct_response(const Gloo__DirectResponseAction *a, struct sld_report *r)
{
    size_t n = strlen(a->body);
    if (n > DIRECT_RESPONSE_BODY_MAX)
        sld_report_add(r, SLD_ERROR, SLD_ENVOY_CONSTRAINT, SLD_STR("body"),
                       "the body has %zu bytes, Envoy takes at most %d; shorten it, or serve it "
                       "from an upstream",
                       n, DIRECT_RESPONSE_BODY_MAX);
}

static void check_action(const struct sld_translate *t, const Gloo__Route *route,
                         struct sld_report *r)
{
    struct sld_str before = r->prefix;
    switch (route->action_case) {
    case GLOO__ROUTE__ACTION_ROUTE_ACTION: {
        const Gloo__RouteAction *a = route->route_action;
        if (a->destination_case != GLOO__ROUTE_ACTION__DESTINATION_MULTI)
            break;
        sld_report_enter(r, "routeAction.multi", -1);
        check_weights(t, a->multi->destinations, a->multi->n_destinations, r);
        break;
    }
    case GLOO__ROUTE__ACTION_REDIRECT_ACTION:
        sld_report_enter(r, "redirectAction", -1);
        check_redirect(route->redirect_action, r);
        break;
    case GLOO__ROUTE__ACTION_DIRECT_RESPONSE_ACTION:
        sld_report_enter(r, "directResponseAction", -1);
        check_direct_response(route->direct_response_action, r);
        break;
    default:
        break;
    }
    sld_report_leave(r, before);
}

// ---- Objects ----

static void check_routes(const struct sld_translate *t, Gloo__Route *const *routes, size_t n,
                         bool top, struct sld_report *r)
{
    for (size_t i = 0; i < n; i++) {
        struct sld_str before = sld_report_enter(r, "routes", (long)i);
        check_matchers(routes[i], top, r);
        check_action(t, routes[i], r);
        check_route_options(t, routes[i]->options, routes[i], r);
        sld_report_leave(r, before);
    }
}

struct named_domain {
    struct sld_str name;
    size_t index;
};

static int by_name(const void *x, const void *y)
{
    const struct named_domain *a = x, *b = y;
    size_t n = a->name.n < b->name.n ? a->name.n : b->name.n;
    for (size_t i = 0; i < n; i++) {
        int p = (unsigned char)a->name.p[i] | 0x20, q = (unsigned char)b->name.p[i] | 0x20;
        if (p != q)
            return p - q;
    }
    if (a->name.n != b->name.n)
        return a->name.n < b->name.n ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

// Envoy compares domains without case, and takes each only once.
static void check_domains(const Gloo__VirtualHost *vh, struct sld_str vs, struct sld_report *r)
{
    struct named_domain *d = SLD_ARENA_ARRAY(r->arena, struct named_domain, vh->n_domains);
    for (size_t i = 0; i < vh->n_domains; i++) {
        d[i] = (struct named_domain){sld_str_trim(sld_str_c(vh->domains[i])), i};
        if (!d[i].name.n && vh->n_domains > 1)
            sld_report_add(r, SLD_ERROR, SLD_VH_DOMAIN, sld_arena_fmt(r->arena, "domains[%zu]", i),
                           "VirtualHost Error: EmptyDomainError. Reason: virtual host %.*s has an "
                           "empty domain; remove it, or write "
                           "\"*\" for all",
                           SLD_FMT(vs));
    }
    if (vh->n_domains)
        qsort(d, vh->n_domains, sizeof(*d), by_name);
    for (size_t i = 1; i < vh->n_domains; i++) {
        if (d[i].name.n && sld_str_ieq(d[i].name, d[i - 1].name))
            sld_report_add(r, SLD_ERROR, SLD_VH_DOMAIN,
                           sld_arena_fmt(r->arena, "domains[%zu]", d[i].index),
                           "VirtualHost Error: DomainsNotUniqueError. Reason: domain %.*s stands "
                           "twice (also in domains[%zu]); "
                           "remove one",
                           SLD_FMT(d[i].name), d[i - 1].index);
    }
}

void tr_validate_virtual_service(const struct sld_translate *t, const Gloo__VirtualService *v,
                                 struct sld_report *r)
{
    if (v->ssl_config) {
        struct sld_str before = sld_report_enter(r, "sslConfig", -1);
        tr_validate_ssl(v->ssl_config, r);
        sld_report_leave(r, before);
    }
    const Gloo__VirtualHost *vh = v->virtual_host;
    if (!vh)
        return; // no mistake, but told where virtual hosts are made
    struct sld_str before = sld_report_enter(r, "virtualHost", -1);
    check_domains(vh,
                  SLD_ARENA_JOIN(r->arena, sld_str_c(v->metadata->namespace_), SLD_STR("."),
                                 sld_str_c(v->metadata->name)),
                  r);
    check_vhost_options(t, vh->options, r);
    check_routes(t, vh->routes, vh->n_routes, true, r);
    sld_report_leave(r, before);
}

void tr_validate_route_table(const struct sld_translate *t, const Gloo__RouteTable *v,
                             struct sld_report *r)
{
    check_routes(t, v->routes, v->n_routes, false, r);
}

void tr_validate_route_option(const struct sld_translate *t, const Gloo__RouteOption *v,
                              struct sld_report *r)
{
    check_route_options(t, v->options, NULL, r);
}

void tr_validate_virtual_host_option(const struct sld_translate *t,
                                     const Gloo__VirtualHostOption *v, struct sld_report *r)
{
    check_vhost_options(t, v->options, r);
}

void tr_validate_upstream_group(const struct sld_translate *t, const Gloo__UpstreamGroup *v,
                                struct sld_report *r)
{
    check_weights(t, v->destinations, v->n_destinations, r);
}

// cors: which pages of other origins may send requests (gloo-compat 5.2).
#include "translate/option.h"

#include "envoy/extensions/filters/http/cors/v3/cors.pb-c.h"
#include "envoy/type/matcher/v3/regex.pb-c.h"
#include "envoy/type/matcher/v3/string.pb-c.h"
#include "envoy/type/v3/percent.pb-c.h"

#define FILTER "envoy.filters.http.cors"

static void check(const struct sld_feature_check *c)
{
    const Gloo__CorsPolicy *p = c->route          ? c->route->cors
                                : c->virtual_host ? c->virtual_host->cors
                                                  : NULL;
    if (!p)
        return;
    struct sld_report *r = c->report;
    if (!p->n_allow_origin && !p->n_allow_origin_regex && !p->disable_for_route)
        sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID, SLD_STR("cors"),
                       "must provide at least one of allowOrigin and allowOriginRegex, or "
                       "disableForRoute");
    for (size_t i = 0; i < p->n_allow_origin_regex; i++)
        tr_note_regex(r, tr_item_path(r->arena, "cors.allowOriginRegex", i, NULL),
                      sld_str_c(p->allow_origin_regex[i]));
    if (c->route_object && c->route_object->action_case == GLOO__ROUTE__ACTION_REDIRECT_ACTION)
        sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID, SLD_STR("cors"),
                       "cors cannot be used on a redirect; remove it");
}

static void listener(struct tr_listener *l)
{
    if (!l->hcm)
        return;
    Env__HttpCors__Cors *c = SLD_MSG(l->tr->arena, Env__HttpCors__Cors, env__http_cors__cors);
    tr_filter_add(l, SLD_STAGE_CORS, SLD_DURING, FILTER, &c->base, true);
}

static char *joined(struct sld_arena *a, char *const *list, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += strlen(list[i]) + 1;
    char *out = sld_arena_alloc(a, len + 1), *p = out;
    for (size_t i = 0; i < n; i++) {
        if (i)
            *p++ = ',';
        size_t part = strlen(list[i]);
        memcpy(p, list[i], part);
        p += part;
    }
    return out;
}

static void add_origin(struct sld_arena *a, Env__HttpCors__CorsPolicy *out, char *text, bool regex)
{
    Env__TypeMatcher__StringMatcher *m =
        SLD_MSG(a, Env__TypeMatcher__StringMatcher, env__type_matcher__string_matcher);
    if (regex) {
        m->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_SAFE_REGEX;
        m->safe_regex = tr_regex(a, sld_str_c(text));
    } else {
        m->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_EXACT;
        m->exact = text;
    }
    SLD_PUSH(a, out->allow_origin_string_match, out->n_allow_origin_string_match, m);
}

// The names of exposed headers: those of the virtual host first where both are united.
struct names {
    char **items;
    size_t count;
};

static void add_names(struct sld_arena *a, struct names *to, char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool there = false;
        for (size_t k = 0; k < to->count && !there; k++)
            there = sld_str_ieq(sld_str_c(to->items[k]), sld_str_c(names[i]));
        if (!there)
            SLD_PUSH(a, to->items, to->count, names[i]);
    }
}

static struct names exposed(struct sld_arena *a, const Gloo__CorsPolicy *p,
                            const Gloo__VirtualHostOptions *above)
{
    struct names out = {0};
    if (above && above->cors && above->cors_policy_merge_settings &&
        above->cors_policy_merge_settings->expose_headers ==
            GLOO__CORS_POLICY_MERGE_SETTINGS__MERGE_STRATEGY__UNION)
        add_names(a, &out, above->cors->expose_headers, above->cors->n_expose_headers);
    add_names(a, &out, p->expose_headers, p->n_expose_headers);
    return out;
}

static Env__HttpCors__CorsPolicy *policy(struct sld_arena *a, const Gloo__CorsPolicy *p,
                                         const Gloo__VirtualHostOptions *above)
{
    Env__HttpCors__CorsPolicy *out =
        SLD_MSG(a, Env__HttpCors__CorsPolicy, env__http_cors__cors_policy);
    for (size_t i = 0; i < p->n_allow_origin; i++)
        add_origin(a, out, p->allow_origin[i], false);
    for (size_t i = 0; i < p->n_allow_origin_regex; i++)
        add_origin(a, out, p->allow_origin_regex[i], true);
    struct names e = exposed(a, p, above);
    out->allow_methods = joined(a, p->allow_methods, p->n_allow_methods);
    out->allow_headers = joined(a, p->allow_headers, p->n_allow_headers);
    out->expose_headers = joined(a, e.items, e.count);
    out->max_age = p->max_age;
    if (p->allow_credentials)
        out->allow_credentials = sld_msg_bool(a, true);
    if (p->disable_for_route) {
        out->filter_enabled =
            SLD_MSG(a, Env__Core__RuntimeFractionalPercent, env__core__runtime_fractional_percent);
        out->filter_enabled->default_value =
            SLD_MSG(a, Env__Type__FractionalPercent, env__type__fractional_percent);
        out->filter_enabled->runtime_key = SLD_MSG_STR(a, SLD_STR("gloo.routeplugin.cors"));
    }
    return out;
}

static void virtual_host(struct tr_vhost *v)
{
    if (!v->options || !v->options->cors)
        return;
    tr_vhost_filter(v, FILTER, &policy(v->tr->arena, v->options->cors, NULL)->base);
}

// ---- Direct responses: Envoy's filter leaves them alone, so the headers are fixed ----

static void add_list(const struct tr_headers *h, const char *key, char *const *list, size_t n)
{
    if (n)
        tr_add_header(h, key, sld_str_c(joined(h->tr->arena, list, n)));
}

static void fixed_origin(struct tr_route *r, const struct tr_headers *h, const Gloo__CorsPolicy *p)
{
    bool any = false;
    for (size_t i = 0; i < p->n_allow_origin; i++)
        any |= !strcmp(p->allow_origin[i], "*");
    if (any)
        tr_add_header(h, "Access-Control-Allow-Origin", SLD_STR("*"));
    else if (p->n_allow_origin)
        tr_add_header(h, "Access-Control-Allow-Origin", sld_str_c(p->allow_origin[0]));
    if (!any && (p->n_allow_origin != 1 || p->n_allow_origin_regex))
        sld_report_add(r->report, SLD_WARNING, SLD_OPTION_UNUSED, SLD_STR("options.cors"),
                       "a direct response can name one origin only, so %s; use one allowOrigin, or "
                       "\"*\"",
                       p->n_allow_origin ? "the others get no permission"
                                         : "expressions give no permission");
}

static void fixed_headers(struct tr_route *r, const Gloo__CorsPolicy *p)
{
    if (p->disable_for_route)
        return;
    struct tr_headers h = {.tr = r->tr,
                           .report = r->report,
                           .ns = r->ns,
                           .out = &r->route->response_headers_to_add,
                           .n = &r->route->n_response_headers_to_add};
    struct names e = exposed(r->tr->arena, p, r->vhost->options);
    fixed_origin(r, &h, p);
    add_list(&h, "Access-Control-Allow-Methods", p->allow_methods, p->n_allow_methods);
    add_list(&h, "Access-Control-Allow-Headers", p->allow_headers, p->n_allow_headers);
    add_list(&h, "Access-Control-Expose-Headers", e.items, e.count);
    if (*p->max_age)
        tr_add_header(&h, "Access-Control-Max-Age", sld_str_c(p->max_age));
    if (p->allow_credentials)
        tr_add_header(&h, "Access-Control-Allow-Credentials", SLD_STR("true"));
}

static void route(struct tr_route *r)
{
    const Gloo__CorsPolicy *p = r->options ? r->options->cors : NULL;
    if (!p)
        return;
    switch (r->route->action_case) {
    case ENV__ROUTE__ROUTE__ACTION_REDIRECT:
        sld_report_add(r->report, SLD_ERROR, SLD_OPTION_INVALID, SLD_STR("options.cors"),
                       "Route Error: ProcessingError. Reason: cors cannot be used on a redirect, "
                       "but comes from an option object or a parent route; remove it there");
        break;
    case ENV__ROUTE__ROUTE__ACTION_DIRECT_RESPONSE:
        fixed_headers(r, p);
        break;
    default:
        tr_route_filter(r, FILTER, &policy(r->tr->arena, p, r->vhost->options)->base);
        break;
    }
}

const struct sld_feature sld_feature_cors = {
    .name = "cors",
    .help = "Tells browsers which pages of other origins may send requests.",
    .options = {"VirtualHostOptions.cors",
                "VirtualHostOptions.corsPolicyMergeSettings",
                "RouteOptions.cors"},
    .check = check,
    .listener = listener,
    .virtual_host = virtual_host,
    .route = route,
};

// healthCheck: a path that Envoy answers itself; it fails while Envoy drains.
#include "translate/option.h"

#include "envoy/extensions/filters/http/health_check/v3/health_check.pb-c.h"
#include "envoy/type/matcher/v3/string.pb-c.h"

static void check(const struct sld_feature_check *c)
{
    const Gloo__HealthCheckPath *h = c->http_listener ? c->http_listener->health_check : NULL;
    if (h && *h->path && *h->path != '/')
        sld_report_add(c->report, SLD_WARNING, SLD_OPTION_INVALID, SLD_STR("healthCheck.path"),
                       "no request has this path, since it does not begin with /; write /%s",
                       h->path);
}

static void listener(struct tr_listener *l)
{
    if (!l->hcm || !l->http || !l->http->health_check)
        return;
    struct sld_arena *a = l->tr->arena;
    Env__Route__HeaderMatcher *m =
        SLD_MSG(a, Env__Route__HeaderMatcher, env__route__header_matcher);
    m->name = SLD_MSG_STR(a, SLD_STR(":path"));
    m->header_match_specifier_case =
        ENV__ROUTE__HEADER_MATCHER__HEADER_MATCH_SPECIFIER_STRING_MATCH;
    m->string_match =
        SLD_MSG(a, Env__TypeMatcher__StringMatcher, env__type_matcher__string_matcher);
    m->string_match->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_EXACT;
    m->string_match->exact = l->http->health_check->path;
    Env__HttpHealthCheck__HealthCheck *f =
        SLD_MSG(a, Env__HttpHealthCheck__HealthCheck, env__http_health_check__health_check);
    f->pass_through_mode = sld_msg_bool(a, false);
    SLD_PUSH(a, f->headers, f->n_headers, m);
    tr_filter_add(l, SLD_STAGE_AUTHZ, SLD_AFTER, "envoy.filters.http.health_check", &f->base,
                  false);
}

const struct sld_feature sld_feature_health_check = {
    .name = "healthCheck",
    .help = "Answers a path for health checks of Envoy itself.",
    .options = {"HttpListenerOptions.healthCheck"},
    .check = check,
    .listener = listener,
};

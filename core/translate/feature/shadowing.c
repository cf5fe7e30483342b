// shadowing: sends copies of requests to another upstream.
#include "translate/option.h"

#include "envoy/type/v3/percent.pb-c.h"

static void check(const struct sld_feature_check *c)
{
    if (c->route && c->route->shadowing)
        tr_note_unused(c, "shadowing");
}

static void route(struct tr_route *r)
{
    const Gloo__RouteShadowing *s = r->options ? r->options->shadowing : NULL;
    if (!r->action || !s || !s->upstream)
        return;
    struct tr *tr = r->tr;
    struct sld_str ns = tr_ref_ns(s->upstream, r->ns), name = sld_str_c(s->upstream->name);
    const struct tr_upstream *u = tr_upstream(tr, ns, name);
    if (!u || !u->served) {
        sld_report_add(r->report, SLD_WARNING, SLD_REF_UPSTREAM,
                       SLD_STR("options.shadowing.upstream"),
                       "Route Warning: InvalidDestinationWarning. Reason: *v1.Upstream "
                       "{ %.*s.%.*s } %s; %s. Until then requests are not copied",
                       SLD_FMT(ns), SLD_FMT(name), u ? "cannot be served now" : "not found",
                       u ? "see its status" : tr_mend_ref(tr, SLD_KIND_UPSTREAM, ns, name));
        return;
    }
    Env__Route__RouteAction__RequestMirrorPolicy *m =
        SLD_MSG(tr->arena, Env__Route__RouteAction__RequestMirrorPolicy,
                env__route__route_action__request_mirror_policy);
    m->cluster = SLD_MSG_STR(tr->arena, u->cluster);
    m->runtime_fraction = SLD_MSG(tr->arena, Env__Core__RuntimeFractionalPercent,
                                  env__core__runtime_fractional_percent);
    m->runtime_fraction->default_value = tr_percent(tr->arena, s->percentage);
    m->disable_shadow_host_suffix_append = s->disable_shadow_host_suffix_append;
    m->host_rewrite_literal = s->host_rewrite_literal;
    SLD_PUSH(tr->arena, r->action->request_mirror_policies, r->action->n_request_mirror_policies,
             m);
    tr_clusters_add(tr, r->vhost->clusters, u->cluster);
}

const struct sld_feature sld_feature_shadowing = {
    .name = "shadowing",
    .help = "Sends copies of requests to another upstream.",
    .options = {"RouteOptions.shadowing"},
    .check = check,
    .route = route,
};

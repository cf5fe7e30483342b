// What a route does (gloo-compat 3.10): destinations, redirects, direct responses.
#include "translate/option.h"
#include "translate/route.h"
#include "translate/service.h"

#include "envoy/config/core/v3/base.pb-c.h"

// ---- Subsets ----

static bool has_key(const Gloo__Subset *s, const char *key)
{
    for (size_t i = 0; i < s->n_values; i++) {
        if (strcmp(s->values[i]->key, key) == 0)
            return true;
    }
    return false;
}

static bool has_keys_of(const Gloo__Subset *s, const Gloo__SubsetSpec__Selector *sel)
{
    if (sel->n_keys != s->n_values)
        return false;
    for (size_t i = 0; i < sel->n_keys; i++) {
        if (!has_key(s, sel->keys[i]))
            return false;
    }
    return true;
}

// Whether the upstream can choose endpoints by the subset; false with an error finding. An upstream
// without subsets takes requests with any of its endpoints, as in Gloo.
static bool subset_fits(const struct tr_build *b, struct sld_report *r, const Gloo__Subset *s,
                        const struct tr_upstream *u)
{
    if (!s || !s->n_values || !u)
        return true;
    const Gloo__SubsetSpec *subsets = tr_subsets_of(r->arena, u);
    if (!subsets || !subsets->n_selectors) {
        sld_report_add(
            r, SLD_WARNING, SLD_ROUTE_SUBSET, SLD_STR("subset"),
            "Route Warning: InvalidDestinationWarning. Reason: route has a subset config, but the "
            "upstream does not; "
            "any endpoint gets the requests. Give the upstream a subsetSpec, or remove the subset");
        return true;
    }
    for (size_t i = 0; i < subsets->n_selectors; i++) {
        if (has_keys_of(s, subsets->selectors[i]))
            return true;
    }
    sld_report_add(r, SLD_ERROR, SLD_ROUTE_SUBSET, SLD_STR("subset.values"),
                   "Route Error: ProcessingError. Reason: route has a subset config, but none of "
                   "the subsets in the upstream match it; use exactly the keys of one of its "
                   "selectors%s",
                   b->replace ? "" : ". Until then these requests get 503");
    return false;
}

// ---- Destinations ----

// Where the requests of a destination go.
struct target {
    struct sld_str cluster;
    Env__Core__Metadata *match;
    const struct tr_upstream *upstream;
};

static void replaced(struct sld_report *r, const char *field)
{
    sld_report_add(r, SLD_NOTE, SLD_ROUTE_REPLACED, sld_str_c(field),
                   "these requests get the answer that invalidConfigPolicy sets");
}

static struct target resolve(struct tr_build *b, struct sld_report *r, const Gloo__Destination *d,
                             struct sld_str owner_ns)
{
    struct tr_dest dest;
    tr_destination(b->tr, d, owner_ns, r, &dest);
    struct target t = {.cluster = dest.cluster, .upstream = dest.upstream};
    bool fits = dest.chosen || subset_fits(b, r, d->subset, dest.upstream);
    if (fits && dest.served) {
        t.match = dest.match;
        tr_clusters_add(b->tr, &b->clusters, t.cluster);
        return t;
    }
    if (fits && dest.unheard) {
        t.match = dest.match;
        b->guessed |= dest.guessed;
        tr_clusters_add(b->tr, &b->clusters, t.cluster);
    } else if (b->replace) {
        t.cluster = SLD_STR(TR_FALLBACK_CLUSTER);
        tr_clusters_add(b->tr, &b->clusters, t.cluster);
        replaced(r, "");
    } else if (!fits) {
        t.cluster = SLD_STR(TR_NO_CLUSTER);
    }
    return t;
}

static void set_cluster(struct sld_arena *a, Env__Route__RouteAction *action,
                        struct sld_str cluster)
{
    action->cluster_specifier_case = ENV__ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER;
    action->cluster = SLD_MSG_STR(a, cluster);
}

Env__Route__RouteAction *tr_invalid_action(struct tr_build *b)
{
    Env__Route__RouteAction *action =
        SLD_MSG(b->tr->arena, Env__Route__RouteAction, env__route__route_action);
    struct sld_str cluster = b->replace ? SLD_STR(TR_FALLBACK_CLUSTER) : SLD_STR(TR_NO_CLUSTER);
    if (b->replace)
        tr_clusters_add(b->tr, &b->clusters, cluster);
    set_cluster(b->tr->arena, action, cluster);
    return action;
}

static void single(struct tr_build *b, const struct tr_leaf *leaf, struct tr_route *r,
                   const Gloo__Destination *d)
{
    struct sld_str before = sld_report_enter(r->report, "routeAction.single", -1);
    struct target t = resolve(b, r->report, d, leaf->owner->ns);
    sld_report_leave(r->report, before);
    set_cluster(b->tr->arena, r->action, t.cluster);
    r->action->metadata_match = t.match;
    r->upstream = t.upstream;
}

static void weigh(struct tr_build *b, struct tr_route *r, const Gloo__WeightedDestination *d,
                  struct sld_str owner_ns, Env__Route__WeightedCluster *out)
{
    struct sld_str before = sld_report_enter(r->report, "destination", -1);
    struct target t = resolve(b, r->report, d->destination, owner_ns);
    sld_report_leave(r->report, before);
    Env__Route__WeightedCluster__ClusterWeight *w =
        SLD_MSG(b->tr->arena, Env__Route__WeightedCluster__ClusterWeight,
                env__route__weighted_cluster__cluster_weight);
    w->name = SLD_MSG_STR(b->tr->arena, t.cluster);
    w->weight = sld_msg_u32(b->tr->arena, d->weight ? d->weight->value : 0);
    w->metadata_match = t.match;
    out->clusters[out->n_clusters++] = w;
    struct tr_weighted weighted = {
        .route = r, .options = d->options, .report = r->report, .weight = w, .index = out->n_clusters - 1};
    const struct sld_translate_options *o = &b->tr->t->opt;
    for (size_t i = 0; i < o->feature_count; i++) {
        if (o->features[i]->weighted)
            o->features[i]->weighted(&weighted);
    }
}

// PATH is that of the list; NULL: the members are another object's. A member that must get no
// requests stays in the list with its weight, as a missing one does: its share is answered with
// 503.
static void weighted(struct tr_build *b, struct tr_route *r, Gloo__WeightedDestination *const *d,
                     size_t n, struct sld_str owner_ns, const char *path)
{
    Env__Route__WeightedCluster *out =
        SLD_MSG(b->tr->arena, Env__Route__WeightedCluster, env__route__weighted_cluster);
    out->clusters = SLD_ARENA_ARRAY(b->tr->arena, Env__Route__WeightedCluster__ClusterWeight *, n);
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        struct sld_str before = r->report->prefix;
        if (path)
            sld_report_enter(r->report, path, (long)i);
        if (d[i]->destination)
            weigh(b, r, d[i], owner_ns, out);
        sld_report_leave(r->report, before);
        total += d[i]->weight ? d[i]->weight->value : 0;
    }
    if (total == 0 || !out->n_clusters) {
        *r->action = *tr_invalid_action(b); // refused by validation; Envoy must not see it
        return;
    }
    r->action->cluster_specifier_case =
        ENV__ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS;
    r->action->weighted_clusters = out;
}

static void group(struct tr_build *b, const struct tr_leaf *leaf, struct tr_route *r,
                  const Gloo__ResourceRef *ref)
{
    struct sld_str ns = tr_ref_ns(ref, leaf->owner->ns);
    const struct tr_group *g = tr_group(b->tr, ns, sld_str_c(ref->name));
    if (g) {
        struct sld_str before = sld_report_enter(r->report, "routeAction.upstreamGroup", -1);
        size_t said = r->report->count;
        weighted(b, r, g->group->destinations, g->group->n_destinations, g->ns, NULL);
        tr_findings_here(r->report, said);
        sld_report_leave(r->report, before);
        return;
    }
    sld_report_add(r->report, SLD_WARNING, SLD_REF_UPSTREAM_GROUP,
                   SLD_STR("routeAction.upstreamGroup"),
                   "Route Warning: InvalidDestinationWarning. Reason: *v1.UpstreamGroup { %.*s.%s "
                   "} not found; %s%s",
                   SLD_FMT(ns), ref->name,
                   tr_mend_ref(b->tr, SLD_KIND_UPSTREAM_GROUP, ns, sld_str_c(ref->name)),
                   b->replace ? "" : ". Until then its requests get 503");
    if (b->replace)
        replaced(r->report, "routeAction.upstreamGroup");
    *r->action = *tr_invalid_action(b);
}

static void forward(struct tr_build *b, const struct tr_leaf *leaf, struct tr_route *r,
                    const Gloo__RouteAction *in)
{
    r->action = SLD_MSG(b->tr->arena, Env__Route__RouteAction, env__route__route_action);
    r->route->action_case = ENV__ROUTE__ROUTE__ACTION_ROUTE;
    r->route->route = r->action;
    switch (in->destination_case) {
    case GLOO__ROUTE_ACTION__DESTINATION_SINGLE:
        single(b, leaf, r, in->single);
        break;
    case GLOO__ROUTE_ACTION__DESTINATION_MULTI:
        weighted(b, r, in->multi->destinations, in->multi->n_destinations, leaf->owner->ns,
                 "routeAction.multi.destinations");
        break;
    case GLOO__ROUTE_ACTION__DESTINATION_UPSTREAM_GROUP:
        group(b, leaf, r, in->upstream_group);
        break;
    case GLOO__ROUTE_ACTION__DESTINATION_CLUSTER_HEADER:
        r->action->cluster_specifier_case =
            ENV__ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER_HEADER;
        r->action->cluster_header = in->cluster_header;
        tr_want_all(b->tr);
        break;
    default:
        // What is known but not built, of which the schema warns: answered as a missing
        // destination.
        *r->action = *tr_invalid_action(b);
        break;
    }
}

// ---- Answers of Envoy itself ----

static void redirect(struct sld_arena *a, Env__Route__Route *route, const Gloo__RedirectAction *in)
{
    Env__Route__RedirectAction *out =
        SLD_MSG(a, Env__Route__RedirectAction, env__route__redirect_action);
    route->action_case = ENV__ROUTE__ROUTE__ACTION_REDIRECT;
    route->redirect = out;
    out->host_redirect = in->host_redirect;
    out->strip_query = in->strip_query;
    out->response_code = (Env__Route__RedirectAction__RedirectResponseCode)in->response_code;
    if (in->port_redirect)
        out->port_redirect = in->port_redirect->value;
    if (in->https_redirect) {
        out->scheme_rewrite_specifier_case =
            ENV__ROUTE__REDIRECT_ACTION__SCHEME_REWRITE_SPECIFIER_HTTPS_REDIRECT;
        out->https_redirect = true;
    }
    switch (in->path_rewrite_specifier_case) {
    case GLOO__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT:
        out->path_rewrite_specifier_case =
            ENV__ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PATH_REDIRECT;
        out->path_redirect = in->path_redirect;
        break;
    case GLOO__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE:
        out->path_rewrite_specifier_case =
            ENV__ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_PREFIX_REWRITE;
        out->prefix_rewrite = in->prefix_rewrite;
        break;
    case GLOO__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_REGEX_REWRITE:
        out->path_rewrite_specifier_case =
            ENV__ROUTE__REDIRECT_ACTION__PATH_REWRITE_SPECIFIER_REGEX_REWRITE;
        out->regex_rewrite = tr_rewrite(a, in->regex_rewrite);
        break;
    default:
        break;
    }
}

static void direct_response(struct sld_arena *a, Env__Route__Route *route,
                            const Gloo__DirectResponseAction *in)
{
    Env__Route__DirectResponseAction *out =
        SLD_MSG(a, Env__Route__DirectResponseAction, env__route__direct_response_action);
    route->action_case = ENV__ROUTE__ROUTE__ACTION_DIRECT_RESPONSE;
    route->direct_response = out;
    out->status = in->status;
    if (!*in->body)
        return;
    out->body = SLD_MSG(a, Env__Core__DataSource, env__core__data_source);
    out->body->specifier_case = ENV__CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING;
    out->body->inline_string = in->body;
}

void tr_action(struct tr_build *b, const struct tr_leaf *leaf, struct tr_route *r)
{
    const Gloo__Route *in = leaf->route;
    switch (in->action_case) {
    case GLOO__ROUTE__ACTION_ROUTE_ACTION:
        forward(b, leaf, r, in->route_action);
        break;
    case GLOO__ROUTE__ACTION_REDIRECT_ACTION:
        redirect(b->tr->arena, r->route, in->redirect_action);
        break;
    case GLOO__ROUTE__ACTION_DIRECT_RESPONSE_ACTION:
        direct_response(b->tr->arena, r->route, in->direct_response_action);
        break;
    default:
        // The schema requires an action, and delegation was expanded.
        r->action = tr_invalid_action(b);
        r->route->action_case = ENV__ROUTE__ROUTE__ACTION_ROUTE;
        r->route->route = r->action;
        break;
    }
}

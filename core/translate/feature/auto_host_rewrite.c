// autoHostRewrite: the upstream sees the host name of the chosen endpoint.
#include "translate/option.h"

static bool is_set(const Gloo__RouteOptions *o)
{
    return o &&
           o->host_rewrite_type_case == GLOO__ROUTE_OPTIONS__HOST_REWRITE_TYPE_AUTO_HOST_REWRITE &&
           o->auto_host_rewrite->value;
}

static void check(const struct sld_feature_check *c)
{
    if (is_set(c->route))
        tr_note_unused(c, "autoHostRewrite");
}

static void route(struct tr_route *r)
{
    if (!r->action || !is_set(r->options))
        return;
    r->action->host_rewrite_specifier_case =
        ENV__ROUTE__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_AUTO_HOST_REWRITE;
    r->action->auto_host_rewrite = r->options->auto_host_rewrite;
}

const struct sld_feature sld_feature_auto_host_rewrite = {
    .name = "autoHostRewrite",
    .help = "Lets the upstream see the host name of the chosen endpoint.",
    .options = {"RouteOptions.autoHostRewrite"},
    .check = check,
    .route = route,
};

// hostRewrite: the host that the upstream sees.
#include "translate/option.h"

static void check(const struct sld_feature_check *c)
{
    if (c->route &&
        c->route->host_rewrite_type_case == GLOO__ROUTE_OPTIONS__HOST_REWRITE_TYPE_HOST_REWRITE)
        tr_note_unused(c, "hostRewrite");
}

static void route(struct tr_route *r)
{
    if (!r->action || !r->options ||
        r->options->host_rewrite_type_case != GLOO__ROUTE_OPTIONS__HOST_REWRITE_TYPE_HOST_REWRITE)
        return;
    r->action->host_rewrite_specifier_case =
        ENV__ROUTE__ROUTE_ACTION__HOST_REWRITE_SPECIFIER_HOST_REWRITE_LITERAL;
    r->action->host_rewrite_literal = r->options->host_rewrite;
}

const struct sld_feature sld_feature_host_rewrite = {
    .name = "hostRewrite",
    .help = "Sets the host that the upstream sees.",
    .options = {"RouteOptions.hostRewrite"},
    .check = check,
    .route = route,
};

// timeout: how long a request may take.
#include "translate/option.h"

static void check(const struct sld_feature_check *c)
{
    if (c->route && c->route->timeout)
        tr_note_unused(c, "timeout");
}

static void route(struct tr_route *r)
{
    if (r->action && r->options)
        r->action->timeout = r->options->timeout;
}

const struct sld_feature sld_feature_timeout = {
    .name = "timeout",
    .help = "Limits how long a request may take.",
    .options = {"RouteOptions.timeout"},
    .check = check,
    .route = route,
};

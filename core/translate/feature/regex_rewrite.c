// regexRewrite: replaces parts of the path by a regular expression.
#include "translate/option.h"

static void check(const struct sld_feature_check *c)
{
    if (!c->route || !c->route->regex_rewrite)
        return;
    tr_check_rewrite(c->report, "regexRewrite", c->route->regex_rewrite);
    tr_note_unused(c, "regexRewrite");
}

static void route(struct tr_route *r)
{
    // Never together with prefixRewrite: the check refuses that, and merging keeps one of the two.
    if (r->action && r->options && r->options->regex_rewrite)
        r->action->regex_rewrite = tr_rewrite(r->tr->arena, r->options->regex_rewrite);
}

const struct sld_feature sld_feature_regex_rewrite = {
    .name = "regexRewrite",
    .help = "Replaces parts of the path by a regular expression.",
    .options = {"RouteOptions.regexRewrite"},
    .check = check,
    .route = route,
};

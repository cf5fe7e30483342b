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
    if (!r->action || !r->options || !r->options->regex_rewrite)
        return;
    // Envoy takes one of the two. Documents that have both are refused, so one was inherited.
    if (r->options->prefix_rewrite) {
        sld_report_add(r->report, SLD_ERROR, SLD_OPTION_INVALID, SLD_STR("options"),
                       "Route Error: ProcessingError. Reason: prefixRewrite and regexRewrite come "
                       "together from option objects or parent routes, and exclude each other; "
                       "prefixRewrite is used. Keep one of them");
        return;
    }
    r->action->regex_rewrite = tr_rewrite(r->tr->arena, r->options->regex_rewrite);
}

const struct sld_feature sld_feature_regex_rewrite = {
    .name = "regexRewrite",
    .help = "Replaces parts of the path by a regular expression.",
    .check = check,
    .route = route,
};

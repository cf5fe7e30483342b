// prefixRewrite: puts another prefix (or whole path) in the place of what matched.
#include "translate/option.h"

static void check(const struct sld_feature_check *c)
{
    if (!c->route || !c->route->prefix_rewrite)
        return;
    // It may bring a query of its own, which is not part of the path.
    struct sld_str rest = sld_str_c(c->route->prefix_rewrite->value), path;
    sld_str_cut(&rest, '?', &path);
    const char *problem = tr_path_problem(path);
    if (problem)
        sld_report_add(c->report, SLD_ERROR, SLD_ROUTE_PATH, SLD_STR("prefixRewrite"),
                       "the rewritten path %s", problem);
    if (c->route->regex_rewrite)
        sld_report_add(c->report, SLD_ERROR, SLD_OPTION_INVALID, SLD_STR("prefixRewrite"),
                       "prefixRewrite and regexRewrite exclude each other; keep one of them");
    tr_note_unused(c, "prefixRewrite");
}

static void route(struct tr_route *r)
{
    if (r->action && r->options && r->options->prefix_rewrite)
        r->action->prefix_rewrite = r->options->prefix_rewrite->value;
}

const struct sld_feature sld_feature_prefix_rewrite = {
    .name = "prefixRewrite",
    .help = "Puts another prefix, or a whole path, in the place of the one that matched.",
    .options = {"RouteOptions.prefixRewrite"},
    .check = check,
    .route = route,
};

// upgrades: protocols that requests of a route may change to.
#include "translate/option.h"

static void check(const struct sld_feature_check *c)
{
    if (!c->route || !c->route->n_upgrades)
        return;
    tr_check_upgrades(c->report, "upgrades", c->route->upgrades, c->route->n_upgrades);
    tr_note_unused(c, "upgrades");
}

static void route(struct tr_route *r)
{
    if (!r->action || !r->options)
        return;
    struct sld_arena *a = r->tr->arena;
    for (size_t i = 0; i < r->options->n_upgrades; i++) {
        const Gloo__ProtocolUpgradeConfig *in = r->options->upgrades[i];
        struct sld_str type = tr_upgrade_type(in);
        if (!type.p)
            continue;
        Env__Route__RouteAction__UpgradeConfig *u = SLD_MSG(
            a, Env__Route__RouteAction__UpgradeConfig, env__route__route_action__upgrade_config);
        u->upgrade_type = SLD_MSG_STR(a, type);
        u->enabled = tr_upgrade_enabled(in);
        if (in->upgrade_type_case == GLOO__PROTOCOL_UPGRADE_CONFIG__UPGRADE_TYPE_CONNECT_TERMINATE)
            u->connect_config = SLD_MSG(a, Env__Route__RouteAction__UpgradeConfig__ConnectConfig,
                                        env__route__route_action__upgrade_config__connect_config);
        SLD_PUSH(a, r->action->upgrade_configs, r->action->n_upgrade_configs, u);
    }
}

const struct sld_feature sld_feature_upgrades = {
    .name = "upgrades",
    .help = "Sets the protocols that requests may change to: WebSocket, CONNECT.",
    .options = {"RouteOptions.upgrades"},
    .check = check,
    .route = route,
};

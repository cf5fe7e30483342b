// lbHash: what decides which endpoint a request goes to, for ring hash and maglev.
#include "translate/option.h"

typedef Env__Route__RouteAction__HashPolicy policy_msg;

static void check(const struct sld_feature_check *c)
{
    if (c->route && c->route->lb_hash)
        tr_note_unused(c, "lbHash");
}

static bool by_header(struct sld_arena *a, policy_msg *out, char *name)
{
    out->policy_specifier_case = ENV__ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_HEADER;
    out->header = SLD_MSG(a, Env__Route__RouteAction__HashPolicy__Header,
                          env__route__route_action__hash_policy__header);
    out->header->header_name = name;
    return true;
}

static bool by_cookie(struct sld_arena *a, policy_msg *out, const Gloo__Cookie *c)
{
    out->policy_specifier_case = ENV__ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_COOKIE;
    out->cookie = SLD_MSG(a, Env__Route__RouteAction__HashPolicy__Cookie,
                          env__route__route_action__hash_policy__cookie);
    out->cookie->name = c->name;
    out->cookie->ttl = c->ttl;
    out->cookie->path = c->path;
    return true;
}

static bool by_source(struct sld_arena *a, policy_msg *out)
{
    out->policy_specifier_case =
        ENV__ROUTE__ROUTE_ACTION__HASH_POLICY__POLICY_SPECIFIER_CONNECTION_PROPERTIES;
    out->connection_properties =
        SLD_MSG(a, Env__Route__RouteAction__HashPolicy__ConnectionProperties,
                env__route__route_action__hash_policy__connection_properties);
    out->connection_properties->source_ip = true;
    return true;
}

// False when the policy asks for nothing.
static bool fill(struct sld_arena *a, policy_msg *out, const Gloo__HashPolicy *in)
{
    out->terminal = in->terminal;
    switch (in->key_type_case) {
    case GLOO__HASH_POLICY__KEY_TYPE_HEADER:
        return by_header(a, out, in->header);
    case GLOO__HASH_POLICY__KEY_TYPE_COOKIE:
        return by_cookie(a, out, in->cookie);
    case GLOO__HASH_POLICY__KEY_TYPE_SOURCE_IP:
        return in->source_ip && by_source(a, out);
    default:
        return false;
    }
}

static void route(struct tr_route *r)
{
    const Gloo__RouteActionHashConfig *c = r->options ? r->options->lb_hash : NULL;
    if (!r->action || !c)
        return;
    struct sld_arena *a = r->tr->arena;
    for (size_t i = 0; i < c->n_hash_policies; i++) {
        policy_msg *p =
            SLD_MSG(a, Env__Route__RouteAction__HashPolicy, env__route__route_action__hash_policy);
        if (fill(a, p, c->hash_policies[i]))
            SLD_PUSH(a, r->action->hash_policy, r->action->n_hash_policy, p);
    }
}

const struct sld_feature sld_feature_lb_hash = {
    .name = "lbHash",
    .help = "Sets what decides which endpoint a request goes to.",
    .options = {"RouteOptions.lbHash"},
    .check = check,
    .route = route,
};

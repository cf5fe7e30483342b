// What Envoys get whatever the gateways say: what plugins add, the answer to Envoys of unknown role (gloo-compat
// 3.14), and where invalid routes lead when they are replaced (3.12).
#include "translate/cluster.h"
#include "translate/listener.h"

#include "envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"

#define FALLBACK_LISTENER "fallback_listener_for_invalid_routes"
#define UNKNOWN_LISTENER "listener_for_unknown_role"

static const char unknown_body[] =
    "This Envoy asks for the configuration of a role that Solder does not serve. Set "
    "node.metadata.role in its bootstrap to <write namespace>~<proxy name>, such as "
    "gloo-system~gateway-proxy; `solder bootstrap` prints a fitting one.\n";
static const char invalid_body[] =
    "The gateway has no valid configuration for this route; see the status of its virtual "
    "service.\n";

enum { INVALID_CODE = 404, UNKNOWN_PORT = 8080, BODY_LIMIT = 4096 };

static Env__Route__Route *answer(struct sld_arena *a, uint32_t code, struct sld_str body)
{
    Env__Route__Route *r = SLD_MSG(a, Env__Route__Route, env__route__route);
    r->match = SLD_MSG(a, Env__Route__RouteMatch, env__route__route_match);
    r->match->path_specifier_case = ENV__ROUTE__ROUTE_MATCH__PATH_SPECIFIER_PREFIX;
    r->match->prefix = SLD_MSG_STR(a, SLD_STR("/"));
    r->action_case = ENV__ROUTE__ROUTE__ACTION_DIRECT_RESPONSE;
    r->direct_response =
        SLD_MSG(a, Env__Route__DirectResponseAction, env__route__direct_response_action);
    r->direct_response->status = code;
    r->direct_response->body = SLD_MSG(a, Env__Core__DataSource, env__core__data_source);
    r->direct_response->body->specifier_case = ENV__CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING;
    r->direct_response->body->inline_string = SLD_MSG_STR(a, body);
    return r;
}

static Env__Route__RouteConfiguration *answers(struct sld_arena *a, const char *name, uint32_t code,
                                               struct sld_str body)
{
    Env__Route__RouteConfiguration *rc =
        SLD_MSG(a, Env__Route__RouteConfiguration, env__route__route_configuration);
    Env__Route__VirtualHost *vh = SLD_MSG(a, Env__Route__VirtualHost, env__route__virtual_host);
    rc->name = vh->name = SLD_MSG_STR(a, sld_str_c(name));
    SLD_PUSH(a, vh->domains, vh->n_domains, SLD_MSG_STR(a, SLD_STR("*")));
    SLD_PUSH(a, vh->routes, vh->n_routes, answer(a, code, body));
    SLD_PUSH(a, rc->virtual_hosts, rc->n_virtual_hosts, vh);
    if (body.n > BODY_LIMIT)
        rc->max_direct_response_body_size_bytes = sld_msg_u32(a, (uint32_t)body.n);
    return rc;
}

// A listener NAME at ADDRESS that answers every request with CODE and BODY, in VIEW.
static void emit_listener(struct tr *tr, struct sld_str view, const char *name,
                          Env__Core__Address *address, uint32_t code, struct sld_str body)
{
    struct sld_arena *a = tr->arena;
    struct tr_listener l = {.tr = tr};
    l.listener = SLD_MSG(a, Env__Listener__Listener, env__listener__listener);
    l.listener->name = SLD_MSG_STR(a, sld_str_c(name));
    l.listener->address = address;
    l.hcm = SLD_MSG(a, Env__NetworkHttpConnectionManager__HttpConnectionManager,
                    env__network_http_connection_manager__http_connection_manager);
    l.hcm->stat_prefix = SLD_MSG_STR(a, sld_str_c(name));
    l.hcm->route_specifier_case =
        ENV__NETWORK_HTTP_CONNECTION_MANAGER__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG;
    l.hcm->route_config = answers(a, name, code, body);
    tr_filters_done(&l);
    tr_chain_add(
        &l, tr_network_filter(a, "envoy.filters.network.http_connection_manager", &l.hcm->base));
    struct sld_out proto = {.type = SLD_OUT_LISTENER, .view = view, .name = sld_str_c(name)};
    struct sld_report r = {.arena = a};
    bool ok = tr_emit_out(
        tr, sld_flow_key(tr->t->flow, tr_out_key(a, SLD_OUT_LISTENER, view, proto.name)),
        &l.listener->base, &proto, &r);
    SLD_INV(ok);
}

static Env__Core__Address *pipe_address(struct sld_arena *a)
{
    Env__Core__Address *at = SLD_MSG(a, Env__Core__Address, env__core__address);
    at->address_case = ENV__CORE__ADDRESS__ADDRESS_PIPE;
    at->pipe = SLD_MSG(a, Env__Core__Pipe, env__core__pipe);
    at->pipe->path = SLD_MSG_STR(a, SLD_STR("@" FALLBACK_LISTENER));
    return at;
}

void tr_fixed_cluster(struct tr *tr, Env__Cluster__Cluster *c)
{
    struct sld_out proto = {.type = SLD_OUT_CLUSTER, .name = sld_str_c(c->name), .gated = true};
    struct sld_report r = {.arena = tr->arena};
    struct sld_str key = tr_out_key(tr->arena, SLD_OUT_CLUSTER, SLD_STR(""), proto.name);
    bool ok = tr_emit_out(tr, sld_flow_key(tr->t->flow, key), &c->base, &proto, &r);
    SLD_INV(ok);
}

static void emit_fallback_cluster(struct tr *tr)
{
    struct sld_arena *a = tr->arena;
    Env__Endpoint__LbEndpoint *lb =
        SLD_MSG(a, Env__Endpoint__LbEndpoint, env__endpoint__lb_endpoint);
    lb->host_identifier_case = ENV__ENDPOINT__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
    lb->endpoint = SLD_MSG(a, Env__Endpoint__Endpoint, env__endpoint__endpoint);
    lb->endpoint->address = pipe_address(a);
    Env__Endpoint__LocalityLbEndpoints *loc =
        SLD_MSG(a, Env__Endpoint__LocalityLbEndpoints, env__endpoint__locality_lb_endpoints);
    SLD_PUSH(a, loc->lb_endpoints, loc->n_lb_endpoints, lb);
    Env__Cluster__Cluster *c = tr_static_cluster(a, SLD_STR(TR_FALLBACK_CLUSTER));
    SLD_PUSH(a, c->load_assignment->endpoints, c->load_assignment->n_endpoints, loc);
    // A connection is answered as it was when it was made: another code is to count for the next request.
    tr_cluster_one_request(a, c);
    tr_fixed_cluster(tr, c);
}

void tr_step_out_fixed(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)key;
    (void)in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const Gloo__Settings *s = tr_settings(&tr);
    struct sld_str any = s->ip_v4_only ? SLD_STR("0.0.0.0") : SLD_STR("::");
    Env__Core__Address *at = tr_address(tr.arena, any, UNKNOWN_PORT);
    at->socket_address->ipv4_compat = !s->ip_v4_only;
    emit_listener(&tr, sld_fallback_view, UNKNOWN_LISTENER, at, 500, sld_str_c(unknown_body));
    for (size_t i = 0; i < tr.t->opt.feature_count; i++) {
        if (tr.t->opt.features[i]->fixed)
            tr.t->opt.features[i]->fixed(&tr);
    }

    const Gloo__GlooOptions__InvalidConfigPolicy *p =
        s->gloo ? s->gloo->invalid_config_policy : NULL;
    if (!p || !p->replace_invalid_routes)
        return;
    struct sld_str body = sld_str_c(p->invalid_route_response_body);
    emit_fallback_cluster(&tr);
    emit_listener(&tr, SLD_STR(""), FALLBACK_LISTENER, pipe_address(tr.arena),
                  p->invalid_route_response_code ? p->invalid_route_response_code : INVALID_CODE,
                  body.n ? body : sld_str_c(invalid_body));
}

bool tr_is_extra(struct tr *tr, struct sld_str name)
{
    struct sld_str key = tr_out_key(tr->arena, SLD_OUT_CLUSTER, SLD_STR(""), name);
    return sld_ctx_has(tr->ctx, tr->t->out_extras, sld_flow_key(tr->t->flow, key));
}

static void extras_free(struct sld_obj *o)
{
    struct tr_extras *row = (struct tr_extras *)o;
    tr_confs_drop(&row->confs);
    tr_row_free(&row->out.row);
}

// The resources are rows of their own; findings and configurations are in one for the plugin.
void tr_step_out_extras(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)in;
    struct tr tr;
    struct tr_confs confs = {0};
    tr_begin(&tr, user, ctx);
    struct sld_str plugin = sld_flow_key_str(tr.t->flow, key);
    for (size_t i = 0; i < tr.t->opt.feature_count; i++) {
        if (tr.t->opt.features[i]->extra)
            tr.t->opt.features[i]->extra(&tr, plugin, &confs);
    }
    if (!tr_has_report(&tr) && !confs.count)
        return;
    struct tr_extras *row = tr_row_create(sizeof(*row));
    row->confs = tr_confs_copy(&row->out.row.arena, &confs);
    tr_confs_drop(&confs);
    tr_row_finish(&tr, &row->out.row, tr_confs_hash(&row->confs), extras_free);
    sld_ctx_emit(ctx, sld_flow_keyf(tr.t->flow, TR_EXTRAS_PREFIX "%.*s", SLD_FMT(plugin)), row);
}

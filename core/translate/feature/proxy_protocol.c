// proxyProtocol, useProxyProto: expects the PROXY protocol of clients (gloo-compat 1.12).
#include "translate/feature.h"

#include "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb-c.h"

typedef Env__ListenerProxyProtocol__ProxyProtocol filter_msg;

static void add_rule(struct sld_arena *a, filter_msg *out, const Gloo__ProxyProtocol__Rule *in)
{
    Env__ListenerProxyProtocol__ProxyProtocol__Rule *r =
        SLD_MSG(a, Env__ListenerProxyProtocol__ProxyProtocol__Rule,
                env__listener_proxy_protocol__proxy_protocol__rule);
    r->tlv_type = in->tlv_type;
    if (in->on_tlv_present) {
        r->on_tlv_present = SLD_MSG(a, Env__ListenerProxyProtocol__ProxyProtocol__KeyValuePair,
                                    env__listener_proxy_protocol__proxy_protocol__key_value_pair);
        r->on_tlv_present->metadata_namespace = in->on_tlv_present->metadata_namespace;
        r->on_tlv_present->key = in->on_tlv_present->key;
    }
    SLD_PUSH(a, out->rules, out->n_rules, r);
}

// Ahead of tls_inspector, which listener.c adds last.
static void listener(struct tr_listener *l)
{
    const Gloo__Gateway *g = l->gateway;
    const Gloo__ProxyProtocol *p = g->options ? g->options->proxy_protocol : NULL;
    if (!p && !(g->use_proxy_proto && g->use_proxy_proto->value))
        return;
    struct sld_arena *a = l->tr->arena;
    filter_msg *m = SLD_MSG(a, Env__ListenerProxyProtocol__ProxyProtocol,
                            env__listener_proxy_protocol__proxy_protocol);
    for (size_t i = 0; p && i < p->n_rules; i++)
        add_rule(a, m, p->rules[i]);
    Env__Listener__ListenerFilter *f =
        SLD_MSG(a, Env__Listener__ListenerFilter, env__listener__listener_filter);
    f->name = SLD_MSG_STR(a, SLD_STR("envoy.filters.listener.proxy_protocol"));
    f->config_type_case = ENV__LISTENER__LISTENER_FILTER__CONFIG_TYPE_TYPED_CONFIG;
    f->typed_config = sld_msg_any(a, &m->base);
    SLD_PUSH(a, l->listener->listener_filters, l->listener->n_listener_filters, f);
}

const struct sld_feature sld_feature_proxy_protocol = {
    .name = "proxyProtocol",
    .help = "Expects the PROXY protocol of clients.",
    .options = {"ListenerOptions.proxyProtocol"},
    .listener = listener,
};

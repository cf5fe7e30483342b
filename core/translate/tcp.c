// TCP gateways: a filter chain with a tcp_proxy for each host (gloo-compat 1.6, 5.2).
#include "translate/listener.h"

#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb-c.h"

typedef Env__NetworkTcpProxy__TcpProxy tcp_msg;
typedef Env__NetworkTcpProxy__TcpProxy__WeightedCluster weighted_msg;
typedef Env__NetworkTcpProxy__TcpProxy__WeightedCluster__ClusterWeight weight_msg;

// A host in the making.
struct host {
    struct tr_listener *l;
    const Gloo__TcpHost *in;
    struct tr_chain_deps *deps;
    tcp_msg *proxy;
};

static struct tr_dest lead_to(struct host *h, const Gloo__Destination *d, struct sld_str owner_ns)
{
    struct tr *tr = h->l->tr;
    struct tr_dest dest = {0};
    tr_destination(tr, d, owner_ns, h->l->report, &dest);
    h->deps->guessed |= dest.guessed;
    if (dest.served || dest.unheard)
        tr_clusters_add(tr, &h->deps->clusters, dest.cluster);
    return dest;
}

static void to_cluster(struct host *h, struct sld_str cluster)
{
    h->proxy->cluster_specifier_case = ENV__NETWORK_TCP_PROXY__TCP_PROXY__CLUSTER_SPECIFIER_CLUSTER;
    h->proxy->cluster = SLD_MSG_STR(h->l->tr->arena, cluster);
}

static bool single(struct host *h, const Gloo__Destination *d, struct sld_str owner_ns)
{
    struct tr_dest dest = lead_to(h, d, owner_ns);
    to_cluster(h, dest.cluster);
    h->proxy->metadata_match = dest.match;
    return true;
}

static void add_weight(struct host *h, weighted_msg *w, const Gloo__WeightedDestination *in,
                       struct sld_str owner_ns)
{
    struct sld_arena *a = h->l->tr->arena;
    struct tr_dest dest = lead_to(h, in->destination, owner_ns);
    // Envoy takes no weight of 0 here, unlike in routes.
    if (!in->weight || !in->weight->value)
        return;
    weight_msg *c = SLD_MSG(a, Env__NetworkTcpProxy__TcpProxy__WeightedCluster__ClusterWeight,
                            env__network_tcp_proxy__tcp_proxy__weighted_cluster__cluster_weight);
    c->name = SLD_MSG_STR(a, dest.cluster);
    c->weight = in->weight->value;
    c->metadata_match = dest.match;
    SLD_PUSH(a, w->clusters, w->n_clusters, c);
}

// PART names the list in paths; NULL: the members are another object's.
static bool several(struct host *h, Gloo__WeightedDestination *const *in, size_t n,
                    struct sld_str owner_ns, const char *part)
{
    struct sld_report *r = h->l->report;
    weighted_msg *w = SLD_MSG(h->l->tr->arena, Env__NetworkTcpProxy__TcpProxy__WeightedCluster,
                              env__network_tcp_proxy__tcp_proxy__weighted_cluster);
    for (size_t i = 0; i < n; i++) {
        if (!in[i]->destination)
            continue;
        struct sld_str old = r->prefix;
        if (part) {
            sld_report_enter(r, part, (long)i);
            sld_report_enter(r, "destination", -1);
        }
        add_weight(h, w, in[i], owner_ns);
        sld_report_leave(r, old);
    }
    if (!w->n_clusters) {
        sld_report_add(r, SLD_ERROR, SLD_ROUTE_WEIGHT, SLD_STR(""),
                       "TcpHost Error: ProcessingError. Reason: no destination has a weight; give "
                       "at least one of them a weight of 1 or more");
        return false;
    }
    h->proxy->cluster_specifier_case =
        ENV__NETWORK_TCP_PROXY__TCP_PROXY__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS;
    h->proxy->weighted_clusters = w;
    return true;
}

static bool upstream_group(struct host *h, const Gloo__ResourceRef *ref, struct sld_str owner_ns)
{
    struct tr *tr = h->l->tr;
    struct sld_str ns = tr_ref_ns(ref, owner_ns);
    const struct tr_group *g = tr_group(tr, ns, sld_str_c(ref->name));
    if (!g) {
        sld_report_add(h->l->report, SLD_WARNING, SLD_REF_UPSTREAM_GROUP, SLD_STR(""),
                       "TcpHost Warning: InvalidDestinationWarning. Reason: *v1.UpstreamGroup "
                       "{ %.*s.%s } not found; %s. Until then its connections are closed",
                       SLD_FMT(ns), ref->name,
                       tr_mend_ref(tr, SLD_KIND_UPSTREAM_GROUP, ns, sld_str_c(ref->name)));
        to_cluster(h, SLD_STR(TR_NO_CLUSTER));
        return true;
    }
    size_t said = h->l->report->count;
    bool ok = several(h, g->group->destinations, g->group->n_destinations, g->ns, NULL);
    tr_findings_here(h->l->report, said);
    return ok;
}

static bool destination(struct host *h, struct sld_str owner_ns)
{
    const Gloo__TcpHost__TcpAction *d = h->in->destination;
    struct sld_report *r = h->l->report;
    struct sld_str old = sld_report_enter(r, "destination", -1);
    bool ok = false;
    if (d && d->destination_case == GLOO__TCP_HOST__TCP_ACTION__DESTINATION_SINGLE) {
        sld_report_enter(r, "single", -1);
        ok = single(h, d->single, owner_ns);
    } else if (d && d->destination_case == GLOO__TCP_HOST__TCP_ACTION__DESTINATION_MULTI) {
        sld_report_enter(r, "multi", -1);
        ok = several(h, d->multi->destinations, d->multi->n_destinations, owner_ns, "destinations");
    } else if (d && d->destination_case == GLOO__TCP_HOST__TCP_ACTION__DESTINATION_UPSTREAM_GROUP) {
        sld_report_enter(r, "upstreamGroup", -1);
        ok = upstream_group(h, d->upstream_group, owner_ns);
    }
    sld_report_leave(r, old);
    return ok;
}

// The TLS of the host: *SOCKET stays NULL where connections pass undecrypted. False when it cannot
// be served.
static bool tls(struct host *h, struct sld_str owner_ns, Env__Core__TransportSocket **socket)
{
    const Gloo__SslConfig *c = h->in->ssl_config;
    if (!c || c->ssl_secrets_case == GLOO__SSL_CONFIG__SSL_SECRETS__NOT_SET)
        return true;
    struct sld_report *r = h->l->report;
    struct sld_str old = sld_report_enter(r, "sslConfig", -1);
    struct tr_needs needs = h->deps->needs;
    bool missing = false;
    *socket = tr_downstream_tls(h->l->tr, c, owner_ns, r, &needs, &missing);
    if (*socket)
        h->deps->needs = needs;
    sld_report_leave(r, old);
    return *socket != NULL;
}

static void add_host(struct host *h, struct sld_str owner_ns)
{
    struct tr *tr = h->l->tr;
    struct sld_arena *a = tr->arena;
    h->proxy = SLD_MSG(a, Env__NetworkTcpProxy__TcpProxy, env__network_tcp_proxy__tcp_proxy);
    h->proxy->stat_prefix = SLD_MSG_STR(a, SLD_STR("tcp"));
    h->proxy->access_log = tr_access_logs(tr, h->l->gateway->options, &h->proxy->n_access_log);
    Env__Core__TransportSocket *socket = NULL;
    if (!destination(h, owner_ns) || !tls(h, owner_ns, &socket))
        return;
    Env__Listener__FilterChain *c = tr_chain_add(
        h->l, tr_network_filter(a, "envoy.filters.network.tcp_proxy", &h->proxy->base));
    const Gloo__SslConfig *ssl = h->in->ssl_config;
    if (ssl)
        tr_server_names(a, c, ssl->sni_domains, ssl->n_sni_domains);
    c->transport_socket = socket;
    if (socket)
        c->transport_socket_connect_timeout = ssl->transport_socket_connect_timeout;
}

void tr_tcp_chains(struct tr_listener *l, const struct tr_gateway *g, struct tr_chain_deps *deps)
{
    const Gloo__TcpGateway *t = g->gw->tcp_gateway;
    for (size_t i = 0; i < t->n_tcp_hosts; i++) {
        struct host h = {.l = l, .in = t->tcp_hosts[i], .deps = deps};
        struct sld_str old = sld_report_enter(l->report, "tcpGateway", -1);
        sld_report_enter(l->report, "tcpHosts", (long)i);
        add_host(&h, g->ns);
        sld_report_leave(l->report, old);
    }
}

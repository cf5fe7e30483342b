// Listeners: a function of Gateway and Settings alone, apart from sets of certificates and from
// whether there is anything to serve (design section 5, gloo-compat 3.1, 3.4, 3.11).
#include "translate/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb-c.h"

typedef Env__NetworkHttpConnectionManager__HttpConnectionManager hcm_msg;

Env__Core__TypedExtensionConfig *tr_extension(struct sld_arena *a, const char *name,
                                              const ProtobufCMessage *config)
{
    Env__Core__TypedExtensionConfig *e =
        SLD_MSG(a, Env__Core__TypedExtensionConfig, env__core__typed_extension_config);
    e->name = sld_arena_cstr(a, sld_str_c(name));
    e->typed_config = sld_msg_any(a, config);
    return e;
}

Env__Listener__Filter *tr_network_filter(struct sld_arena *a, const char *name,
                                         const ProtobufCMessage *config)
{
    Env__Listener__Filter *f = SLD_MSG(a, Env__Listener__Filter, env__listener__filter);
    f->name = sld_arena_cstr(a, sld_str_c(name));
    f->config_type_case = ENV__LISTENER__FILTER__CONFIG_TYPE_TYPED_CONFIG;
    f->typed_config = sld_msg_any(a, config);
    return f;
}

Env__Listener__FilterChain *tr_chain_add(struct tr_listener *l, Env__Listener__Filter *filter)
{
    struct sld_arena *a = l->tr->arena;
    Env__Listener__FilterChain *c =
        SLD_MSG(a, Env__Listener__FilterChain, env__listener__filter_chain);
    SLD_PUSH(a, c->filters, c->n_filters, filter);
    SLD_PUSH(a, l->listener->filter_chains, l->listener->n_filter_chains, c);
    return c;
}

// ---- Server names ----

static int by_cstr(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void tr_server_names(struct sld_arena *a, Env__Listener__FilterChain *c, char *const *domains,
                     size_t n)
{
    char **names = SLD_ARENA_ARRAY(a, char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(domains[i], "*"))
            return;
        names[i] = sld_arena_cstr(a, sld_str_c(domains[i]));
        for (char *p = names[i]; *p; p++)
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
    }
    if (!n)
        return;
    qsort(names, n, sizeof(*names), by_cstr);
    Env__Listener__FilterChainMatch *m =
        SLD_MSG(a, Env__Listener__FilterChainMatch, env__listener__filter_chain_match);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
            SLD_PUSH(a, m->server_names, m->n_server_names, names[i]);
    }
    c->filter_chain_match = m;
}

// ---- HTTP ----

static Env__NetworkHttpConnectionManager__Rds *rds(struct tr *tr, struct sld_str table)
{
    Env__NetworkHttpConnectionManager__Rds *r =
        SLD_MSG(tr->arena, Env__NetworkHttpConnectionManager__Rds,
                env__network_http_connection_manager__rds);
    r->config_source = tr_ads(tr->arena);
    r->route_config_name = SLD_MSG_STR(tr->arena, table);
    return r;
}

// The connection manager as it is without any option.
static hcm_msg *default_hcm(struct tr *tr, struct sld_str table)
{
    struct sld_arena *a = tr->arena;
    hcm_msg *m = SLD_MSG(a, Env__NetworkHttpConnectionManager__HttpConnectionManager,
                         env__network_http_connection_manager__http_connection_manager);
    m->stat_prefix = SLD_MSG_STR(a, SLD_STR("http"));
    m->route_specifier_case =
        ENV__NETWORK_HTTP_CONNECTION_MANAGER__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_RDS;
    m->rds = rds(tr, table);
    m->normalize_path = sld_msg_bool(a, true);
    Env__NetworkHttpConnectionManager__HttpConnectionManager__UpgradeConfig *u =
        SLD_MSG(a, Env__NetworkHttpConnectionManager__HttpConnectionManager__UpgradeConfig,
                env__network_http_connection_manager__http_connection_manager__upgrade_config);
    u->upgrade_type = SLD_MSG_STR(a, SLD_STR("websocket"));
    SLD_PUSH(a, m->upgrade_configs, m->n_upgrade_configs, u);
    return m;
}

static void run_features(struct tr_listener *l)
{
    const struct sld_translate_options *o = &l->tr->t->opt;
    for (size_t i = 0; i < o->feature_count; i++) {
        if (o->features[i]->listener)
            o->features[i]->listener(l);
    }
}

// ---- HTTPS: a chain for each set of certificates ----

// Tells all virtual services of ITEM, and the gateway, what is wrong with their TLS.
static void tell(struct tr_listener *l, const struct tr_tls *item, const struct sld_report *r)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct sld_finding *f = &r->items[i];
        for (size_t k = 0; k < item->vs_count; k++)
            sld_report_add(tr_report(l->tr, item->vs[k]), f->severity, f->code, f->path, "%.*s",
                           SLD_FMT(f->message));
        if (f->severity == SLD_NOTE)
            continue;
        struct sld_ident vs;
        bool ok = sld_ident_parse(item->vs[0], &vs);
        SLD_INV(ok);
        sld_report_add(l->report, f->severity, f->code, SLD_STR(""),
                       "Listener %s: SSLConfigError. Reason: virtual service %.*s.%.*s: %.*s",
                       f->severity == SLD_ERROR ? "Error" : "Warning", SLD_FMT(vs.ns),
                       SLD_FMT(vs.name), SLD_FMT(f->message));
    }
}

static void add_tls_chain(struct tr_listener *l, const struct tr_tls *item,
                          Env__Listener__Filter *filter, struct tr_chain_deps *deps)
{
    struct tr *tr = l->tr;
    for (size_t i = 0; i < item->vs_count; i++)
        tr_use(tr, item->vs[i]);
    struct sld_ident owner;
    bool ok = sld_ident_parse(item->vs[0], &owner);
    SLD_INV(ok);
    struct sld_report said = {.arena = tr->arena, .prefix = SLD_STR_INIT("sslConfig")};
    struct tr_needs needs = deps->needs;
    bool missing = false;
    Env__Core__TransportSocket *socket =
        tr_downstream_tls(tr, item->config, owner.ns, &said, &needs, &missing);
    tell(l, item, &said);
    if (!socket)
        return; // withheld until its certificate can be served
    deps->needs = needs;
    Env__Listener__FilterChain *c = tr_chain_add(l, filter);
    tr_server_names(tr->arena, c, item->config->sni_domains, item->config->n_sni_domains);
    c->transport_socket = socket;
    c->transport_socket_connect_timeout = item->config->transport_socket_connect_timeout;
}

// The set holds each server name once (tls_set.c).
static void add_https(struct tr_listener *l, sld_id key, Env__Listener__Filter *filter,
                      struct tr_chain_deps *deps)
{
    const struct tr_tls_set *set = sld_ctx_get(l->tr->ctx, l->tr->t->tls_sets, key);
    for (size_t i = 0; set && i < set->count; i++)
        add_tls_chain(l, &set->items[i], filter, deps);
}

static void add_http(struct tr_listener *l, const struct tr_gateway *g, sld_id key,
                     struct tr_chain_deps *deps)
{
    struct tr *tr = l->tr;
    struct sld_str table = sld_arena_fmt(tr->arena, "%s-routes", l->listener->name);
    l->hcm = default_hcm(tr, table);
    run_features(l);
    tr_filters_done(l);
    tr_needs_add(tr, &deps->needs, SLD_OUT_ROUTE, table);
    Env__Listener__Filter *filter = tr_network_filter(
        tr->arena, "envoy.filters.network.http_connection_manager", &l->hcm->base);
    if (g->gw->ssl)
        add_https(l, key, filter, deps);
    else
        tr_chain_add(l, filter);
}

// ---- The listener ----

static void add_tls_inspector(struct tr_listener *l)
{
    bool needed = false;
    for (size_t i = 0; i < l->listener->n_filter_chains; i++) {
        const Env__Listener__FilterChain *c = l->listener->filter_chains[i];
        needed |= c->transport_socket || c->filter_chain_match;
    }
    if (!needed)
        return;
    struct sld_arena *a = l->tr->arena;
    Env__Listener__ListenerFilter *f =
        SLD_MSG(a, Env__Listener__ListenerFilter, env__listener__listener_filter);
    f->name = SLD_MSG_STR(a, SLD_STR("envoy.filters.listener.tls_inspector"));
    f->config_type_case = ENV__LISTENER__LISTENER_FILTER__CONFIG_TYPE_TYPED_CONFIG;
    f->typed_config = sld_msg_any(a, &SLD_MSG(a, Env__ListenerTlsInspector__TlsInspector,
                                              env__listener_tls_inspector__tls_inspector)
                                          ->base);
    SLD_PUSH(a, l->listener->listener_filters, l->listener->n_listener_filters, f);
}

// Whether IPv4 clients are taken too. Gloo asks for that with every IPv6 address; Envoy refuses it
// but for :: and IPv4 addresses in IPv6 form.
static bool takes_ipv4(const char *host)
{
    struct in6_addr at;
    if (inet_pton(AF_INET6, host, &at) != 1)
        return false;
    return IN6_IS_ADDR_UNSPECIFIED(&at) || IN6_IS_ADDR_V4MAPPED(&at);
}

static Env__Core__Address *bind_address(struct tr *tr, const Gloo__Gateway *gw)
{
    Env__Core__Address *a = tr_address(tr->arena, sld_str_c(gw->bind_address), gw->bind_port);
    a->socket_address->ipv4_compat = takes_ipv4(gw->bind_address);
    return a;
}

// ---- What the listener itself sends to ----

// Whether there is such a cluster, and no Envoy refused it from the first.
static bool cluster_exists(struct tr *tr, struct sld_str name)
{
    struct sld_str key = tr_out_key(tr->arena, SLD_OUT_CLUSTER, SLD_STR(""), name);
    sld_id id = sld_flow_key(tr->t->flow, key);
    const struct tr_out *row = sld_ctx_get(tr->ctx, tr->t->out_clusters, id);
    const struct tr_refused *no = sld_ctx_get(tr->ctx, tr->t->refused, id);
    return row && row->out && !(no && sld_hash_eq(no->content, row->out->content));
}

bool tr_listener_sends(struct tr_listener *l, struct sld_str cluster)
{
    bool exists = cluster_exists(l->tr, cluster);
    tr_clusters_add(l->tr, l->clusters, cluster);
    if (!exists)
        tr_clusters_add(l->tr, l->absent, cluster);
    return exists;
}

Env__Cluster__Cluster *tr_static_cluster(struct sld_arena *a, struct sld_str name)
{
    enum { CONNECT_TIMEOUT_MS = 5000 };
    Env__Cluster__Cluster *c = SLD_MSG(a, Env__Cluster__Cluster, env__cluster__cluster);
    c->name = SLD_MSG_STR(a, name);
    c->connect_timeout = sld_msg_duration_ms(a, CONNECT_TIMEOUT_MS);
    c->cluster_discovery_type_case = ENV__CLUSTER__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE;
    c->type = ENV__CLUSTER__CLUSTER__DISCOVERY_TYPE__STATIC;
    c->load_assignment =
        SLD_MSG(a, Env__Endpoint__ClusterLoadAssignment, env__endpoint__cluster_load_assignment);
    c->load_assignment->cluster_name = c->name;
    return c;
}

// The empty clusters of VIEW. They lie over what all views share: over a cluster that was refused.
static void emit_absent(struct tr_listener *l, struct sld_str view, const struct tr_clusters *c)
{
    struct sld_arena *a = l->tr->arena;
    for (size_t i = 0; i < c->count; i++) {
        // Only the owners of the listener go along, not its findings.
        struct tr quiet = {.t = l->tr->t, .ctx = l->tr->ctx, .arena = a};
        for (size_t k = 0; k < l->tr->use_count; k++)
            tr_use(&quiet, l->tr->uses[k]);
        struct sld_out proto = {
            .type = SLD_OUT_CLUSTER, .view = view, .name = c->items[i], .gated = true};
        sld_id id = sld_flow_key(l->tr->t->flow, tr_out_key(a, proto.type, view, proto.name));
        tr_emit_out(&quiet, id, &tr_static_cluster(a, proto.name)->base, &proto,
                    tr_report(&quiet, SLD_STR("")));
    }
}

// ---- The listener in the proxies ----

static const struct tr_bind *first_bind(const struct tr_gateway *g)
{
    for (size_t i = 0; i < g->bind_count; i++) {
        if (!g->binds[i].lost)
            return &g->binds[i];
    }
    return NULL;
}

static void emit(struct tr_listener *l, const struct tr_gateway *g, sld_id key,
                 struct tr_chain_deps *deps)
{
    struct tr *tr = l->tr;
    if (!l->listener->n_filter_chains) {
        if (tr_has_report(tr))
            tr_emit_out(tr, key, NULL, NULL, l->report);
        tr_confs_drop(l->confs);
        return;
    }
    struct sld_out proto = {
        .type = SLD_OUT_LISTENER, .past = deps->guessed, .needs = deps->needs.items, .need_count = (uint32_t)deps->needs.count};
    proto.cluster_count = (uint32_t)tr_clusters_done(tr->t, &deps->clusters);
    proto.clusters = deps->clusters.items;
    proto.confs = l->confs;
    for (size_t i = 0; i < g->bind_count; i++) {
        const struct tr_bind *b = &g->binds[i];
        if (b->lost)
            continue;
        proto.view = b->view;
        proto.name = b->name;
        sld_id id =
            sld_flow_key(tr->t->flow, tr_out_key(tr->arena, SLD_OUT_LISTENER, b->view, b->name));
        tr_emit_out(tr, id, &l->listener->base, &proto, l->report);
        emit_absent(l, b->view, &deps->absent);
    }
    tr_confs_drop(l->confs);
}

void tr_step_out_listeners(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct tr_gateway *g = in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const struct tr_bind *bind = first_bind(g);
    if (!bind || !tr_gateway_live(&tr, key))
        return;
    tr_use(&tr, g->key);
    struct tr_listener l = {.tr = &tr, .gateway = g->gw, .report = tr_report(&tr, g->key)};
    l.listener = SLD_MSG(tr.arena, Env__Listener__Listener, env__listener__listener);
    l.listener->name = SLD_MSG_STR(tr.arena, bind->name);
    l.listener->address = bind_address(&tr, g->gw);
    struct tr_chain_deps deps = {0};
    struct tr_confs confs = {0};
    l.confs = &confs;
    l.clusters = &deps.clusters;
    l.absent = &deps.absent;
    if (g->gw->gateway_type_case == GLOO__GATEWAY__GATEWAY_TYPE_HTTP_GATEWAY) {
        l.http = g->gw->http_gateway->options;
        add_http(&l, g, key, &deps);
    } else if (g->gw->gateway_type_case == GLOO__GATEWAY__GATEWAY_TYPE_TCP_GATEWAY) {
        run_features(&l);
        tr_tcp_chains(&l, g, &deps);
    }
    add_tls_inspector(&l);
    emit(&l, g, key, &deps);
}

// Clusters: one for each upstream, whether a route uses it or not (gloo-compat 3.9, 3.15).
// Endpoints that are addresses come by EDS, so that they change without touching the cluster.
#include "translate/cluster.h"

#include "codec/text.h"
#include "translate/service.h"

// ---- What kind of cluster ----

enum tr_discovery tr_discovery_of(const Gloo__Upstream *u)
{
    if (u->upstream_type_case == GLOO__UPSTREAM__UPSTREAM_TYPE_PIPE)
        return TR_DISCOVERY_PIPE;
    if (u->upstream_type_case == GLOO__UPSTREAM__UPSTREAM_TYPE_CONSUL)
        return TR_DISCOVERY_EDS;
    if (u->upstream_type_case != GLOO__UPSTREAM__UPSTREAM_TYPE_STATIC)
        return TR_DISCOVERY_NONE;
    for (size_t i = 0; i < u->static_->n_hosts; i++) {
        if (!sld_is_ip(sld_str_c(u->static_->hosts[i]->addr), NULL))
            return TR_DISCOVERY_DNS;
    }
    return TR_DISCOVERY_EDS;
}

static void eds(struct tr_build *b)
{
    struct sld_arena *a = b->tr->arena;
    b->c->type = ENV__CLUSTER__CLUSTER__DISCOVERY_TYPE__EDS;
    b->c->eds_cluster_config = SLD_MSG(a, Env__Cluster__Cluster__EdsClusterConfig,
                                       env__cluster__cluster__eds_cluster_config);
    b->c->eds_cluster_config->eds_config = tr_ads(a);
    b->c->eds_cluster_config->service_name = b->c->name;
}

// Names are looked up as IPv4 alone, as Gloo does; an IPv6 address among them needs the wider
// family.
static void dns(struct tr_build *b)
{
    b->c->type = ENV__CLUSTER__CLUSTER__DISCOVERY_TYPE__STRICT_DNS;
    b->c->dns_lookup_family = ENV__CLUSTER__CLUSTER__DNS_LOOKUP_FAMILY__V4_ONLY;
    for (size_t i = 0; i < b->u->static_->n_hosts; i++) {
        bool v6;
        if (sld_is_ip(sld_str_c(b->u->static_->hosts[i]->addr), &v6) && v6)
            b->c->dns_lookup_family = ENV__CLUSTER__CLUSTER__DNS_LOOKUP_FAMILY__V4_PREFERRED;
    }
    b->c->load_assignment = tr_static_assignment(b->tr, b->u, sld_str_c(b->c->name));
}

static void pipe_endpoint(struct tr_build *b)
{
    struct sld_arena *a = b->tr->arena;
    b->c->type = ENV__CLUSTER__CLUSTER__DISCOVERY_TYPE__STATIC;
    Env__Endpoint__ClusterLoadAssignment *m =
        SLD_MSG(a, Env__Endpoint__ClusterLoadAssignment, env__endpoint__cluster_load_assignment);
    Env__Endpoint__LocalityLbEndpoints *l =
        SLD_MSG(a, Env__Endpoint__LocalityLbEndpoints, env__endpoint__locality_lb_endpoints);
    Env__Endpoint__LbEndpoint *e =
        SLD_MSG(a, Env__Endpoint__LbEndpoint, env__endpoint__lb_endpoint);
    e->host_identifier_case = ENV__ENDPOINT__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
    e->endpoint = SLD_MSG(a, Env__Endpoint__Endpoint, env__endpoint__endpoint);
    e->endpoint->address = SLD_MSG(a, Env__Core__Address, env__core__address);
    e->endpoint->address->address_case = ENV__CORE__ADDRESS__ADDRESS_PIPE;
    e->endpoint->address->pipe = SLD_MSG(a, Env__Core__Pipe, env__core__pipe);
    e->endpoint->address->pipe->path = b->u->pipe->path;
    SLD_PUSH(a, l->lb_endpoints, l->n_lb_endpoints, e);
    SLD_PUSH(a, m->endpoints, m->n_endpoints, l);
    m->cluster_name = b->c->name;
    b->c->load_assignment = m;
}

// ---- TLS ----

struct sld_str tr_host_sni(const Gloo__StaticUpstream *u, const Gloo__StaticHost *host)
{
    struct sld_str own = sld_str_c(host->sni_addr), addr = sld_str_c(host->addr);
    if (own.n)
        return own;
    bool rewrite = !u->auto_sni_rewrite || u->auto_sni_rewrite->value;
    // An address is no server name.
    return rewrite && !sld_is_ip(addr, NULL) ? addr : SLD_STR("");
}

Google__Protobuf__Struct *tr_sni_metadata(struct sld_arena *a, struct sld_str sni)
{
    Google__Protobuf__Struct *s = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    Google__Protobuf__Struct__FieldsEntry *f =
        SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
    f->key = sld_arena_cstr(a, SLD_STR("sni"));
    f->value = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
    f->value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    f->value->string_value = sld_arena_cstr(a, sni);
    SLD_PUSH(a, s->fields, s->n_fields, f);
    return s;
}

// Without sslConfig the hosts tell: useTls, or else any port 443 (gloo-compat 4.6).
static bool uses_tls(const Gloo__Upstream *u)
{
    if (u->ssl_config)
        return true;
    if (u->upstream_type_case != GLOO__UPSTREAM__UPSTREAM_TYPE_STATIC)
        return false;
    const Gloo__StaticUpstream *s = u->static_;
    if (s->use_tls)
        return s->use_tls->value;
    for (size_t i = 0; i < s->n_hosts; i++) {
        if (s->hosts[i]->port == 443)
            return true;
    }
    return false;
}

bool tr_sni_by_host(const Gloo__Upstream *u)
{
    if (!uses_tls(u) || u->upstream_type_case != GLOO__UPSTREAM__UPSTREAM_TYPE_STATIC)
        return false;
    const Gloo__StaticUpstream *s = u->static_;
    for (size_t i = 1; i < s->n_hosts; i++) {
        if (!sld_str_eq(tr_host_sni(s, s->hosts[i]), tr_host_sni(s, s->hosts[0])))
            return true;
    }
    return false;
}

static void add_socket(struct tr_build *b, const struct tr_tls_source *source, struct sld_str sni)
{
    struct sld_arena *a = b->tr->arena;
    Env__Cluster__Cluster *c = b->c;
    for (size_t i = 0; i < c->n_transport_socket_matches; i++) {
        if (sld_str_eq(sld_str_c(c->transport_socket_matches[i]->name), sni))
            return;
    }
    Env__Cluster__Cluster__TransportSocketMatch *m =
        SLD_MSG(a, Env__Cluster__Cluster__TransportSocketMatch,
                env__cluster__cluster__transport_socket_match);
    m->name = sld_arena_cstr(a, sni);
    m->match = tr_sni_metadata(a, sni);
    m->transport_socket = tr_upstream_tls_socket(b->tr, b->u->ssl_config, source, sni, &b->needs);
    SLD_PUSH(a, c->transport_socket_matches, c->n_transport_socket_matches, m);
}

// Tells that sslConfig.sni is not what is sent, because names of hosts win (gloo-compat 4.6).
static void sni_unused(struct tr_build *b, struct sld_str sni)
{
    const char *own = b->u->ssl_config ? b->u->ssl_config->sni : "";
    if (own[0] && !sld_str_eq(sld_str_c(own), sni))
        sld_report_add(b->report, SLD_NOTE, SLD_OPTION_UNUSED, SLD_STR("sslConfig.sni"),
                       "%.*s is sent instead, because autoSniRewrite is not false; set "
                       "static.autoSniRewrite: false to send %s",
                       SLD_FMT(sni), own);
}

// False: TLS cannot be served now, with a finding.
static bool tls(struct tr_build *b)
{
    if (!uses_tls(b->u))
        return true;
    const Gloo__UpstreamSslConfig *c = b->u->ssl_config;
    struct tr_tls_source source;
    bool missing;
    struct sld_str was = sld_report_enter(b->report, "sslConfig", -1);
    bool ok = tr_upstream_tls_resolve(b->tr, c, b->ns, b->report, &source, &missing);
    sld_report_leave(b->report, was);
    if (!ok)
        return false;
    struct sld_str sni = sld_str_c(c ? c->sni : "");
    const Gloo__StaticUpstream *s =
        b->u->upstream_type_case == GLOO__UPSTREAM__UPSTREAM_TYPE_STATIC && b->u->static_->n_hosts
            ? b->u->static_
            : NULL;
    bool differ = tr_sni_by_host(b->u);
    for (size_t i = 0; s && differ && i < s->n_hosts; i++) {
        struct sld_str host = tr_host_sni(s, s->hosts[i]);
        if (host.n)
            add_socket(b, &source, host);
    }
    struct sld_str all = s && !differ ? tr_host_sni(s, s->hosts[0]) : SLD_STR("");
    if (all.n)
        sni_unused(b, all);
    b->c->transport_socket =
        tr_upstream_tls_socket(b->tr, c, &source, all.n ? all : sni, &b->needs);
    return true;
}

bool tr_upstream_served(struct tr *tr, const Gloo__Upstream *u, struct sld_str ns)
{
    if (tr_discovery_of(u) == TR_DISCOVERY_NONE)
        return false;
    struct sld_report quiet = {.arena = tr->arena};
    struct tr_tls_source source;
    bool missing;
    if (uses_tls(u) && !tr_upstream_tls_resolve(tr, u->ssl_config, ns, &quiet, &source, &missing))
        return false;
    return tr_health_secrets(tr, u, ns);
}

// ---- The cluster ----

static void circuit_breakers(struct tr_build *b)
{
    const Gloo__CircuitBreakerConfig *from = b->u->circuit_breakers;
    if (!from) {
        const Gloo__GlooOptions *o = tr_settings(b->tr)->gloo;
        from = o ? o->circuit_breakers : NULL;
    }
    if (!from)
        return;
    struct sld_arena *a = b->tr->arena;
    Env__Cluster__CircuitBreakers__Thresholds *t = SLD_MSG(
        a, Env__Cluster__CircuitBreakers__Thresholds, env__cluster__circuit_breakers__thresholds);
    t->max_connections = from->max_connections;
    t->max_pending_requests = from->max_pending_requests;
    t->max_requests = from->max_requests;
    t->max_retries = from->max_retries;
    t->track_remaining = from->track_remaining;
    b->c->circuit_breakers =
        SLD_MSG(a, Env__Cluster__CircuitBreakers, env__cluster__circuit_breakers);
    SLD_PUSH(a, b->c->circuit_breakers->thresholds, b->c->circuit_breakers->n_thresholds, t);
}

static void run_features(struct tr_build *b)
{
    const struct sld_translate_options *o = &b->tr->t->opt;
    struct tr_cluster c = {.tr = b->tr, .upstream = b->u, .report = b->report, .cluster = b->c};
    for (size_t i = 0; i < o->feature_count; i++) {
        if (o->features[i]->cluster)
            o->features[i]->cluster(&c);
    }
}

static bool fill(struct tr_build *b, enum tr_discovery d)
{
    b->c->cluster_discovery_type_case = ENV__CLUSTER__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE;
    switch (d) {
    case TR_DISCOVERY_EDS:
        eds(b);
        break;
    case TR_DISCOVERY_DNS:
        dns(b);
        break;
    default:
        pipe_endpoint(b);
        break;
    }
    tr_cluster_lb(b);
    tr_cluster_connections(b);
    circuit_breakers(b);
    // Both are tried, so that all findings are told at once.
    bool ok = tr_cluster_health(b);
    ok = tls(b) && ok;
    if (ok)
        run_features(b);
    return ok;
}

void tr_step_out_clusters(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct sld_object *o = in;
    enum tr_discovery d = tr_discovery_of(sld_object_msg(o));
    if (d == TR_DISCOVERY_NONE)
        return;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const Gloo__Upstream *u = tr_upstream_msg(&tr, o);
    struct sld_str owner = sld_flow_key_str(tr.t->flow, key);
    tr_use(&tr, owner);
    struct sld_str name = tr_cluster_name(tr.arena, o->id.ns, o->id.name);
    struct tr_build b = {.tr = &tr, .u = u, .ns = o->id.ns, .report = tr_report(&tr, owner)};
    b.c = SLD_MSG(tr.arena, Env__Cluster__Cluster, env__cluster__cluster);
    b.c->name = sld_arena_cstr(tr.arena, name);
    bool ok = fill(&b, d);
    struct sld_out proto = {
        .type = SLD_OUT_CLUSTER,
        .name = name,
        .needs = b.needs.items,
        .need_count = (uint32_t)b.needs.count,
        .eds = d == TR_DISCOVERY_EDS,
        .gated = d != TR_DISCOVERY_EDS || b.c->n_health_checks || b.needs.count,
    };
    sld_id id = sld_flow_key(tr.t->flow, tr_out_key(tr.arena, SLD_OUT_CLUSTER, SLD_STR(""), name));
    // Without its secrets the cluster is left out: requests get 503, and nothing goes out without
    // TLS.
    tr_emit_out(&tr, id, ok ? &b.c->base : NULL, &proto, b.report);
}

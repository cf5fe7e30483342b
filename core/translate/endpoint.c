// Endpoints: an assignment for each cluster that takes them by EDS (gloo-compat 3.9, 4.6).
#include "translate/cluster.h"
#include "translate/service.h"

typedef Env__Core__Metadata__FilterMetadataEntry metadata_entry;

static Google__Protobuf__Struct *entry_of(struct sld_arena *a, Env__Core__Metadata *m,
                                          const char *ns)
{
    for (size_t i = 0; i < m->n_filter_metadata; i++) {
        if (!strcmp(m->filter_metadata[i]->key, ns))
            return m->filter_metadata[i]->value;
    }
    metadata_entry *e = SLD_MSG(a, Env__Core__Metadata__FilterMetadataEntry,
                                env__core__metadata__filter_metadata_entry);
    e->key = sld_arena_cstr(a, sld_str_c(ns));
    e->value = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    SLD_PUSH(a, m->filter_metadata, m->n_filter_metadata, e);
    return e->value;
}

static bool has_field(const Google__Protobuf__Struct *s, const char *key)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        if (!strcmp(s->fields[i]->key, key))
            return true;
    }
    return false;
}

static void add_text(struct sld_arena *a, Google__Protobuf__Struct *s, const char *key,
                     struct sld_str text)
{
    if (has_field(s, key))
        return;
    Google__Protobuf__Struct__FieldsEntry *f =
        SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
    f->key = sld_arena_cstr(a, sld_str_c(key));
    f->value = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
    f->value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    f->value->string_value = sld_arena_cstr(a, text);
    SLD_PUSH(a, s->fields, s->n_fields, f);
}

// A host without a key that subsets choose by has it empty, so that it is in a group too.
static void add_subset_keys(struct sld_arena *a, const Gloo__SubsetSpec *spec,
                            Env__Core__Metadata *m)
{
    for (size_t i = 0; i < spec->n_selectors; i++) {
        for (size_t k = 0; k < spec->selectors[i]->n_keys; k++)
            add_text(a, entry_of(a, m, "envoy.lb"), spec->selectors[i]->keys[k], SLD_STR(""));
    }
}

static Env__Core__Metadata *metadata(struct tr *tr, const Gloo__StaticUpstream *u,
                                     const Gloo__StaticHost *host, bool sni)
{
    struct sld_arena *a = tr->arena;
    Env__Core__Metadata *m = SLD_MSG(a, Env__Core__Metadata, env__core__metadata);
    for (size_t i = 0; i < host->n_metadata; i++) {
        Google__Protobuf__Struct *to = entry_of(a, m, host->metadata[i]->key);
        const Google__Protobuf__Struct *from = host->metadata[i]->value;
        for (size_t k = 0; from && k < from->n_fields; k++)
            SLD_PUSH(a, to->fields, to->n_fields, from->fields[k]);
    }
    if (u->subset_spec)
        add_subset_keys(a, u->subset_spec, m);
    struct sld_str name = sni ? tr_host_sni(u, host) : SLD_STR("");
    if (name.n)
        add_text(a, entry_of(a, m, "envoy.transport_socket_match"), "sni", name);
    return m->n_filter_metadata ? m : NULL;
}

// What health checks name the host: its own name, unless the first check by HTTP says another.
bool tr_check_names_host(const Gloo__Upstream *u)
{
    for (size_t i = 0; i < u->n_health_checks; i++) {
        const Gloo__HealthCheck *h = u->health_checks[i];
        if (h->health_checker_case == GLOO__HEALTH_CHECK__HEALTH_CHECKER_HTTP_HEALTH_CHECK)
            return h->http_health_check->host[0] != 0;
    }
    return false;
}

static Env__Endpoint__LbEndpoint *endpoint(struct tr *tr, const Gloo__Upstream *u,
                                           const Gloo__StaticHost *host, bool sni)
{
    struct sld_arena *a = tr->arena;
    Env__Endpoint__LbEndpoint *e =
        SLD_MSG(a, Env__Endpoint__LbEndpoint, env__endpoint__lb_endpoint);
    e->host_identifier_case = ENV__ENDPOINT__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
    e->endpoint = SLD_MSG(a, Env__Endpoint__Endpoint, env__endpoint__endpoint);
    e->endpoint->address = tr_address(a, sld_str_c(host->addr), host->port);
    e->endpoint->hostname = host->addr;
    if (!tr_check_names_host(u)) {
        e->endpoint->health_check_config = SLD_MSG(a, Env__Endpoint__Endpoint__HealthCheckConfig,
                                                   env__endpoint__endpoint__health_check_config);
        e->endpoint->health_check_config->hostname = host->addr;
    }
    e->load_balancing_weight = host->load_balancing_weight;
    e->metadata = metadata(tr, u->static_, host, sni);
    return e;
}

bool tr_shares_by_locality(const Gloo__Upstream *u)
{
    const Gloo__LoadBalancerConfig *lb = u->load_balancer_config;
    return lb && lb->locality_config_case ==
                     GLOO__LOAD_BALANCER_CONFIG__LOCALITY_CONFIG_LOCALITY_WEIGHTED_LB_CONFIG;
}

Env__Endpoint__ClusterLoadAssignment *tr_static_assignment(struct tr *tr, const Gloo__Upstream *u,
                                                           struct sld_str cluster)
{
    struct sld_arena *a = tr->arena;
    Env__Endpoint__ClusterLoadAssignment *m =
        SLD_MSG(a, Env__Endpoint__ClusterLoadAssignment, env__endpoint__cluster_load_assignment);
    Env__Endpoint__LocalityLbEndpoints *l =
        SLD_MSG(a, Env__Endpoint__LocalityLbEndpoints, env__endpoint__locality_lb_endpoints);
    const Gloo__StaticUpstream *s = u->static_;
    bool sni = tr_sni_by_host(u);
    l->lb_endpoints = SLD_ARENA_ARRAY(a, Env__Endpoint__LbEndpoint *, s->n_hosts);
    for (size_t i = 0; i < s->n_hosts; i++)
        l->lb_endpoints[l->n_lb_endpoints++] = endpoint(tr, u, s->hosts[i], sni);
    if (tr_shares_by_locality(u))
        l->load_balancing_weight = sld_msg_u32(a, 1);
    m->cluster_name = sld_arena_cstr(a, cluster);
    SLD_PUSH(a, m->endpoints, m->n_endpoints, l);
    return m;
}

// The instances of the service behind U, or NULL while they are not known; tells why there are none.
static const struct sld_instances *instances(struct tr *tr, const Gloo__Upstream *u,
                                             struct sld_report *r)
{
    const char *service = u->consul->service_name;
    sld_id key = tr_service_key(tr->t, TR_CONSUL, sld_str_c(service));
    static const struct sld_instances none;
    const struct sld_instances *set = sld_ctx_get(tr->ctx, tr->t->instances, key);
    bool on = tr_consul_on(tr_settings(tr));
    if (!on)
        sld_report_add(r, SLD_WARNING, SLD_REF_SERVICE, SLD_STR("consul"),
                       "Settings do not ask for services of Consul, so it has no endpoints and "
                       "requests get 503; set consul.serviceDiscovery: {} in Settings");
    else if (!sld_ctx_has(tr->ctx, tr->t->services, key) && tr_catalog(tr, TR_CONSUL) != SLD_CATALOG_AWAITED)
        sld_report_add(r, SLD_WARNING, SLD_REF_SERVICE, SLD_STR("consul.serviceName"),
                       "Consul has no service %s, so there are no endpoints and requests get 503; "
                       "register it, or correct the name", service);
    return set ? set : on ? NULL : &none;
}

void tr_step_out_endpoints(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct sld_object *o = in;
    if (tr_discovery_of(sld_object_msg(o)) != TR_DISCOVERY_EDS)
        return;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const Gloo__Upstream *u = tr_upstream_msg(&tr, o);
    struct sld_str owner = sld_flow_key_str(tr.t->flow, key);
    tr_use(&tr, owner);
    struct sld_report *r = tr_report(&tr, owner);
    struct sld_str name = tr_cluster_name(tr.arena, o->id.ns, o->id.name);
    Env__Endpoint__ClusterLoadAssignment *m = NULL;
    struct sld_out proto = {.type = SLD_OUT_ENDPOINT, .name = name};
    if (u->upstream_type_case == GLOO__UPSTREAM__UPSTREAM_TYPE_CONSUL) {
        const struct sld_instances *set = instances(&tr, u, r);
        proto.recipe = set ? tr_service_recipe(&tr, u, name, set) : NULL;
        m = proto.recipe ? tr_recipe_assignment(tr.arena, proto.recipe) : NULL;
        // Not part of what the row says: whether it still is so goes beside it (tr_tell_confirmed).
        proto.past = sld_umap_has(&tr.t->pasts, tr_service_key(tr.t, TR_CONSUL, sld_str_c(u->consul->service_name)));
    } else {
        m = tr_static_assignment(&tr, u, name);
    }
    sld_id id = sld_flow_key(tr.t->flow, tr_out_key(tr.arena, SLD_OUT_ENDPOINT, SLD_STR(""), name));
    tr_emit_out(&tr, id, m ? &m->base : NULL, &proto, r);
    SLD_UNREF(proto.recipe);
}

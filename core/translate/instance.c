// Endpoints of services: instances that discovery found (gloo-compat 4.4).
#include "translate/cluster.h"
#include "translate/service.h"

#include <stdlib.h>

// Where metadata of the registry stands in endpoints, for access logs and the like.
#define METADATA_NS "solder.consul"

static bool has_tag(const struct sld_instance *i, const char *tag)
{
    for (size_t k = 0; k < i->tag_count; k++) {
        if (sld_str_eq(i->tags[k], sld_str_c(tag)))
            return true;
    }
    return false;
}

// Whether the instance has all tags of instanceTags and none of instanceBlacklistTags.
static bool belongs(const Gloo__ConsulUpstream *c, const struct sld_instance *i)
{
    for (size_t k = 0; k < c->n_instance_tags; k++) {
        if (!has_tag(i, c->instance_tags[k]))
            return false;
    }
    for (size_t k = 0; k < c->n_instance_blacklist_tags; k++) {
        if (has_tag(i, c->instance_blacklist_tags[k]))
            return false;
    }
    return true;
}

// ---- Metadata ----

static Google__Protobuf__Value *text_value(struct sld_arena *a, struct sld_str text)
{
    Google__Protobuf__Value *v = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v->string_value = sld_arena_cstr(a, text);
    return v;
}

static void add(struct sld_arena *a, Google__Protobuf__Struct *s, struct sld_str key,
                Google__Protobuf__Value *value)
{
    Google__Protobuf__Struct__FieldsEntry *f =
        SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
    f->key = sld_arena_cstr(a, key);
    f->value = value;
    SLD_PUSH(a, s->fields, s->n_fields, f);
}

static Google__Protobuf__Struct *add_namespace(struct sld_arena *a, Env__Core__Metadata *m,
                                               const char *ns)
{
    Env__Core__Metadata__FilterMetadataEntry *e = SLD_MSG(
        a, Env__Core__Metadata__FilterMetadataEntry, env__core__metadata__filter_metadata_entry);
    e->key = sld_arena_cstr(a, sld_str_c(ns));
    e->value = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    SLD_PUSH(a, m->filter_metadata, m->n_filter_metadata, e);
    return e->value;
}

static void add_labels(struct sld_arena *a, Google__Protobuf__Struct *s, const char *key,
                       const struct sld_label *labels, size_t n)
{
    if (!n)
        return;
    Google__Protobuf__Value *v = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
    v->struct_value = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    for (size_t i = 0; i < n; i++)
        add(a, v->struct_value, labels[i].key, text_value(a, labels[i].value));
    add(a, s, sld_str_c(key), v);
}

// What routes choose by: "1" or "0" for each key of the upstream.
static void choices(struct sld_arena *a, Env__Core__Metadata *m, const struct tr_consul_keys *k,
                    const struct sld_instance *i)
{
    if (!k->tag_count && !k->datacenter_count)
        return;
    Google__Protobuf__Struct *lb = add_namespace(a, m, "envoy.lb");
    for (size_t n = 0; n < k->datacenter_count; n++) {
        bool is = sld_str_eq(i->datacenter, sld_str_c(k->datacenters[n] + strlen("dc_")));
        add(a, lb, sld_str_c(k->datacenters[n]), text_value(a, is ? SLD_STR("1") : SLD_STR("0")));
    }
    for (size_t n = 0; n < k->tag_count; n++) {
        bool is = has_tag(i, k->tags[n] + strlen("tag_"));
        add(a, lb, sld_str_c(k->tags[n]), text_value(a, is ? SLD_STR("1") : SLD_STR("0")));
    }
}

static Env__Core__Metadata *metadata(struct sld_arena *a, const struct tr_consul_keys *k,
                                     const struct sld_instance *i)
{
    Env__Core__Metadata *m = SLD_MSG(a, Env__Core__Metadata, env__core__metadata);
    choices(a, m, k, i);
    if (i->node.n || i->id.n || i->meta_count || i->node_meta_count) {
        Google__Protobuf__Struct *s = add_namespace(a, m, METADATA_NS);
        if (i->id.n)
            add(a, s, SLD_STR("id"), text_value(a, i->id));
        if (i->node.n)
            add(a, s, SLD_STR("node"), text_value(a, i->node));
        add_labels(a, s, "meta", i->meta, i->meta_count);
        add_labels(a, s, "nodeMeta", i->node_meta, i->node_meta_count);
    }
    return m->n_filter_metadata ? m : NULL;
}

// ---- Endpoints ----

static Env__Endpoint__LbEndpoint *endpoint(struct sld_arena *a, const Gloo__Upstream *u,
                                           const struct tr_consul_keys *k,
                                           const struct sld_instance *i, uint32_t weight_max)
{
    Env__Endpoint__LbEndpoint *e =
        SLD_MSG(a, Env__Endpoint__LbEndpoint, env__endpoint__lb_endpoint);
    e->host_identifier_case = ENV__ENDPOINT__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
    e->endpoint = SLD_MSG(a, Env__Endpoint__Endpoint, env__endpoint__endpoint);
    e->endpoint->address = tr_address(a, i->address, i->port);
    if (i->hostname.n) {
        e->endpoint->hostname = sld_arena_cstr(a, i->hostname);
        if (!tr_check_names_host(u)) {
            e->endpoint->health_check_config =
                SLD_MSG(a, Env__Endpoint__Endpoint__HealthCheckConfig,
                        env__endpoint__endpoint__health_check_config);
            e->endpoint->health_check_config->hostname = e->endpoint->hostname;
        }
    }
    if (i->weight > 1)
        e->load_balancing_weight = sld_msg_u32(a, i->weight < weight_max ? i->weight : weight_max);
    if (i->draining)
        e->health_status = ENV__CORE__HEALTH_STATUS__DRAINING;
    e->metadata = metadata(a, k, i);
    return e;
}

// Envoy sends requests to all endpoints, ending ones too, when fewer than this share are well.
static double panic_threshold(const Gloo__Upstream *u)
{
    const Gloo__LoadBalancerConfig *lb = u->load_balancer_config;
    return lb && lb->healthy_panic_threshold ? lb->healthy_panic_threshold->value : 50;
}

// One address is one endpoint. Instances that end are left out where they would make Envoy panic.
static size_t choose(const Gloo__Upstream *u, const struct sld_instance *items, size_t count,
                     const struct sld_instance **out)
{
    size_t n = 0, draining = 0, kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct sld_instance *it = &items[i], *last = n ? out[n - 1] : NULL;
        if (!belongs(u->consul, it))
            continue;
        if (last && it->port == last->port && sld_str_eq(it->address, last->address)) {
            // The one that is well counts.
            if (last->draining && !it->draining) {
                out[n - 1] = it;
                draining--;
            }
            continue;
        }
        out[n++] = it;
        draining += it->draining;
    }
    bool panic = draining && (double)(n - draining) * 100 < panic_threshold(u) * (double)n;
    for (size_t i = 0; i < n; i++) {
        if (!panic || !out[i]->draining)
            out[kept++] = out[i];
    }
    return kept;
}

Env__Endpoint__ClusterLoadAssignment *tr_service_assignment(struct tr *tr, const Gloo__Upstream *u,
                                                            struct sld_str cluster,
                                                            const struct sld_instances *set)
{
    struct sld_arena *a = tr->arena;
    Env__Endpoint__ClusterLoadAssignment *m =
        SLD_MSG(a, Env__Endpoint__ClusterLoadAssignment, env__endpoint__cluster_load_assignment);
    m->cluster_name = sld_arena_cstr(a, cluster);
    const struct sld_instance **chosen =
        SLD_ARENA_ARRAY(a, const struct sld_instance *, set->count);
    size_t n = choose(u, sld_instances_items(a, set), set->count, chosen);
    if (!n)
        return m;
    SLD_INV(n < UINT32_MAX);
    struct tr_consul_keys k;
    tr_consul_keys_of(a, u->consul, &k);
    Env__Endpoint__LocalityLbEndpoints *l =
        SLD_MSG(a, Env__Endpoint__LocalityLbEndpoints, env__endpoint__locality_lb_endpoints);
    l->lb_endpoints = SLD_ARENA_ARRAY(a, Env__Endpoint__LbEndpoint *, n);
    for (size_t i = 0; i < n; i++)
        l->lb_endpoints[l->n_lb_endpoints++] =
            endpoint(a, u, &k, chosen[i], UINT32_MAX / (uint32_t)n);
    if (tr_shares_by_locality(u))
        l->load_balancing_weight = sld_msg_u32(a, 1);
    SLD_PUSH(a, m->endpoints, m->n_endpoints, l);
    return m;
}

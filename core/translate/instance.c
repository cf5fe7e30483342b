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

// What assignments are made by, besides instances: what upstreams say. Immutable.
struct tr_assigning {
    struct sld_obj obj;
    struct sld_arena arena;
    char **tags, **not_tags; // that instances have all, or none of
    size_t tag_count, not_tag_count;
    struct tr_consul_keys keys;
    double panic;    // Envoy sends requests to all endpoints, ending ones too, when fewer than this share are well
    bool names_host; // see tr_check_names_host
    bool by_locality;
};

// What an assignment is made of. The texts in the message are those of what is here.
struct assignment {
    struct sld_recipe recipe;
    struct tr_assigning *by;   // own reference
    struct sld_instances *set; // own reference; NULL: there are none
    char cluster[];
};

static void assigning_free(struct sld_obj *o)
{
    struct tr_assigning *by = (struct tr_assigning *)o;
    sld_arena_fini(&by->arena);
    sld_xfree(by);
}

static void assignment_free(struct sld_obj *o)
{
    struct assignment *as = (struct assignment *)o;
    SLD_UNREF(as->by);
    SLD_UNREF(as->set);
    sld_xfree(as);
}

static double panic_threshold(const Gloo__Upstream *u)
{
    const Gloo__LoadBalancerConfig *lb = u->load_balancer_config;
    return lb && lb->healthy_panic_threshold ? lb->healthy_panic_threshold->value : 50;
}

static char **copy_texts(struct sld_arena *a, char *const *in, size_t n)
{
    char **out = SLD_ARENA_ARRAY(a, char *, n);
    for (size_t i = 0; i < n; i++)
        out[i] = sld_arena_cstr(a, sld_str_c(in[i]));
    return out;
}

static void hash_texts(struct sld_hasher *h, const char *const *in, size_t n)
{
    sld_hasher_add_u64(h, n);
    for (size_t i = 0; i < n; i++)
        sld_hasher_add(h, sld_str_n(in[i], strlen(in[i]) + 1));
}

static struct sld_hash hash_of(const struct tr_assigning *by)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    hash_texts(&h, (const char *const *)by->tags, by->tag_count);
    hash_texts(&h, (const char *const *)by->not_tags, by->not_tag_count);
    hash_texts(&h, by->keys.tags, by->keys.tag_count);
    hash_texts(&h, by->keys.datacenters, by->keys.datacenter_count);
    sld_hasher_add(&h, sld_str_n((const char *)&by->panic, sizeof(by->panic)));
    sld_hasher_add_u64(&h, (uint64_t)by->names_host | (uint64_t)by->by_locality << 1);
    return sld_hasher_done(&h);
}

// What U says. Most upstreams say the same one after the other, and share it. A new reference.
static struct tr_assigning *assigning_of(struct sld_translate *t, const Gloo__Upstream *u)
{
    struct tr_assigning *by = SLD_NEW(struct tr_assigning), *last = t->assigning;
    by->tags = copy_texts(&by->arena, u->consul->instance_tags, u->consul->n_instance_tags);
    by->tag_count = u->consul->n_instance_tags;
    by->not_tags = copy_texts(&by->arena, u->consul->instance_blacklist_tags, u->consul->n_instance_blacklist_tags);
    by->not_tag_count = u->consul->n_instance_blacklist_tags;
    tr_consul_keys_of(&by->arena, u->consul, &by->keys);
    by->panic = panic_threshold(u);
    by->names_host = tr_check_names_host(u);
    by->by_locality = tr_shares_by_locality(u);
    struct sld_hash h = hash_of(by);
    sld_obj_init(&by->obj, assigning_free, h);
    if (last && sld_hash_eq(last->obj.hash, h)) {
        SLD_UNREF(by);
        return sld_obj_ref(last);
    }
    SLD_UNREF(t->assigning);
    t->assigning = sld_obj_ref(by);
    return by;
}

// Whether the instance has all tags of instanceTags and none of instanceBlacklistTags.
static bool belongs(const struct tr_assigning *by, const struct sld_instance *i)
{
    for (size_t k = 0; k < by->tag_count; k++) {
        if (!has_tag(i, by->tags[k]))
            return false;
    }
    for (size_t k = 0; k < by->not_tag_count; k++) {
        if (has_tag(i, by->not_tags[k]))
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

static Env__Endpoint__LbEndpoint *endpoint(struct sld_arena *a, const struct tr_assigning *by,
                                           const struct sld_instance *i, uint32_t weight_max)
{
    Env__Endpoint__LbEndpoint *e =
        SLD_MSG(a, Env__Endpoint__LbEndpoint, env__endpoint__lb_endpoint);
    e->host_identifier_case = ENV__ENDPOINT__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
    e->endpoint = SLD_MSG(a, Env__Endpoint__Endpoint, env__endpoint__endpoint);
    e->endpoint->address = tr_address(a, i->address, i->port);
    if (i->hostname.n) {
        e->endpoint->hostname = sld_arena_cstr(a, i->hostname);
        if (!by->names_host) {
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
    e->metadata = metadata(a, &by->keys, i);
    return e;
}

// One address is one endpoint. Instances that end are left out where they would make Envoy panic.
static size_t choose(const struct tr_assigning *by, const struct sld_instance *items, size_t count,
                     const struct sld_instance **out)
{
    size_t n = 0, draining = 0, kept = 0;
    for (size_t i = 0; i < count; i++) {
        const struct sld_instance *it = &items[i], *last = n ? out[n - 1] : NULL;
        if (!belongs(by, it))
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
    bool panic = draining && (double)(n - draining) * 100 < by->panic * (double)n;
    for (size_t i = 0; i < n; i++) {
        if (!panic || !out[i]->draining)
            out[kept++] = out[i];
    }
    return kept;
}

Env__Endpoint__ClusterLoadAssignment *tr_recipe_assignment(struct sld_arena *a, const struct sld_recipe *r)
{
    const struct assignment *as = (const struct assignment *)r;
    const struct tr_assigning *by = as->by;
    Env__Endpoint__ClusterLoadAssignment *m =
        SLD_MSG(a, Env__Endpoint__ClusterLoadAssignment, env__endpoint__cluster_load_assignment);
    m->cluster_name = sld_arena_cstr(a, sld_str_c(as->cluster));
    size_t count = as->set ? as->set->count : 0;
    const struct sld_instance **chosen = SLD_ARENA_ARRAY(a, const struct sld_instance *, count);
    size_t n = count ? choose(by, sld_instances_items(a, as->set), count, chosen) : 0;
    if (!n)
        return m;
    SLD_INV(n < UINT32_MAX);
    Env__Endpoint__LocalityLbEndpoints *l =
        SLD_MSG(a, Env__Endpoint__LocalityLbEndpoints, env__endpoint__locality_lb_endpoints);
    l->lb_endpoints = SLD_ARENA_ARRAY(a, Env__Endpoint__LbEndpoint *, n);
    for (size_t i = 0; i < n; i++)
        l->lb_endpoints[l->n_lb_endpoints++] = endpoint(a, by, chosen[i], UINT32_MAX / (uint32_t)n);
    if (by->by_locality)
        l->load_balancing_weight = sld_msg_u32(a, 1);
    SLD_PUSH(a, m->endpoints, m->n_endpoints, l);
    return m;
}

static void make(const struct sld_recipe *r, char *out)
{
    struct sld_arena a = {0};
    struct sld_str bytes = sld_msg_encode(&a, &tr_recipe_assignment(&a, r)->base);
    SLD_INV(bytes.n == r->size);
    memcpy(out, bytes.p, bytes.n);
    sld_arena_fini(&a);
}

struct sld_recipe *tr_service_recipe(struct tr *tr, const Gloo__Upstream *u, struct sld_str cluster,
                                     const struct sld_instances *set)
{
    union {
        const struct sld_instances *frozen;
        struct sld_instances *counted;
    } own = {set}; // only the count of references changes
    struct assignment *as = sld_xcalloc(1, sizeof(*as) + cluster.n + 1);
    sld_recipe_init(&as->recipe, assignment_free, make, 0);
    as->by = assigning_of(tr->t, u);
    as->set = set->count ? sld_obj_ref(own.counted) : NULL;
    memcpy(as->cluster, cluster.p, cluster.n);
    return &as->recipe;
}

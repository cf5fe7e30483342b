// Destinations: which cluster they lead to, and whether it exists.
#include "translate/service.h"

#include <stdlib.h>

#include "envoy/config/core/v3/base.pb-c.h"

static bool of_tcp(const struct sld_report *r)
{
    return sld_str_starts(r->prefix, SLD_STR("tcpGateway"));
}

// What becomes of the requests until the destination is mended; nothing where a note tells of the
// answer they get instead.
static const char *until_then(struct tr *tr, const struct sld_report *r)
{
    if (of_tcp(r))
        return ". Until then its connections are closed";
    return tr_replaces_invalid(tr) ? "" : ". Until then its requests get 503";
}

static void to_upstream(struct tr *tr, const Gloo__ResourceRef *ref, struct sld_str owner_ns,
                        struct sld_report *r, struct tr_dest *out)
{
    struct sld_str name = sld_str_c(ref->name), ns = tr_ref_ns(ref, owner_ns);
    out->upstream = tr_upstream(tr, ns, name);
    out->cluster = out->upstream ? out->upstream->cluster : tr_cluster_name(tr->arena, ns, name);
    out->served = out->upstream && out->upstream->served;
    out->unheard = !out->upstream && tr_may_be_found(tr, ns);
    if (!out->upstream)
        sld_report_add(r, SLD_WARNING, SLD_REF_UPSTREAM, SLD_STR("upstream"),
                       "%s Warning: InvalidDestinationWarning. Reason: *v1.Upstream { %.*s.%.*s } "
                       "not found; %s%s",
                       of_tcp(r) ? "TcpHost" : "Route", SLD_FMT(ns), SLD_FMT(name),
                       tr_mend_ref(tr, SLD_KIND_UPSTREAM, ns, name), until_then(tr, r));
    else if (!out->served)
        sld_report_add(r, SLD_WARNING, SLD_REF_UPSTREAM, SLD_STR("upstream"),
                       "upstream %.*s.%.*s cannot be served now; see its status%s", SLD_FMT(ns),
                       SLD_FMT(name), until_then(tr, r));
}

// Why a service has no upstream, and how to mend it.
static const char *why_no_service(struct tr *tr, struct sld_str service)
{
    if (!tr_consul_on(tr_settings(tr)))
        return "Settings do not ask for services of Consul; set consul.serviceDiscovery: {} in Settings";
    if (sld_ctx_has(tr->ctx, tr->t->services, tr_service_key(tr->t, TR_CONSUL, service)))
        return "Consul has the service, but consulDiscovery in Settings leaves it out or gives it another "
               "name: with TLS tagging -tls is added; correct the name, or the Settings";
    if (tr_catalog(tr, TR_CONSUL) == SLD_CATALOG_UNHEARD)
        return "Consul cannot be asked, and what it said before the start is not known; see solder get sources";
    return "Consul has no such service; register it, or correct the name";
}

// Whether one of the N KEYS, behind PREFIX bytes, is NAME.
static bool is_known(const char *const *keys, size_t n, size_t prefix, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(keys[i] + prefix, name))
            return true;
    }
    return false;
}

static void check_tags(const Gloo__ConsulServiceDestination *d, const struct tr_upstream *u,
                       struct sld_report *r)
{
    for (size_t i = 0; i < d->n_tags; i++) {
        if (is_known(u->consul.tags, u->consul.tag_count, strlen("tag_"), d->tags[i]))
            continue;
        if (u->consul.tags_left_out)
            sld_report_add(r, SLD_WARNING, SLD_ROUTE_SUBSET,
                           sld_arena_fmt(r->arena, "consul.tags[%zu]", i),
                           "service %s has more than %d tags, and %s is none of the first, so it is not looked "
                           "at; route to an upstream of the service whose consul.subsetTags names it",
                           d->service_name, TR_CONSUL_TAGS_MAX, d->tags[i]);
        else
            sld_report_add(r, SLD_WARNING, SLD_ROUTE_SUBSET,
                           sld_arena_fmt(r->arena, "consul.tags[%zu]", i),
                           "no instance of service %s has the tag %s, so it is not looked at; correct "
                           "it, or tag instances with it", d->service_name, d->tags[i]);
    }
    for (size_t i = 0; i < d->n_data_centers; i++) {
        if (!is_known(u->consul.datacenters, u->consul.datacenter_count, strlen("dc_"),
                      d->data_centers[i]))
            sld_report_add(r, SLD_WARNING, SLD_ROUTE_SUBSET,
                           sld_arena_fmt(r->arena, "consul.dataCenters[%zu]", i),
                           "service %s has no instance in data center %s, so it is not looked at; "
                           "correct it, or register instances there", d->service_name,
                           d->data_centers[i]);
    }
}

static void to_consul(struct tr *tr, const Gloo__ConsulServiceDestination *d, struct sld_report *r,
                      struct tr_dest *out)
{
    struct sld_str name = sld_arena_fmt(tr->arena, SLD_CONSUL_UPSTREAM "%s", d->service_name);
    out->upstream = tr_upstream(tr, SLD_STR(TR_CONSUL_NS), name);
    out->cluster = tr_cluster_name(tr->arena, SLD_STR(TR_CONSUL_NS), name);
    out->served = out->upstream && out->upstream->served;
    enum sld_catalog catalog = out->upstream ? SLD_CATALOG_TOLD : tr_catalog(tr, TR_CONSUL);
    out->unheard = catalog != SLD_CATALOG_TOLD;
    out->guessed = out->unheard && (d->n_tags || d->n_data_centers);
    if (catalog == SLD_CATALOG_AWAITED)
        return;
    if (!out->upstream) {
        sld_report_add(r, SLD_WARNING, SLD_REF_SERVICE, SLD_STR("consul"),
                       "%s Warning: InvalidDestinationWarning. Reason: *v1.Upstream { " TR_CONSUL_NS
                       ".%.*s } not found; %s%s",
                       of_tcp(r) ? "TcpHost" : "Route", SLD_FMT(name),
                       why_no_service(tr, sld_str_c(d->service_name)), until_then(tr, r));
        return;
    }
    if (!out->served)
        sld_report_add(r, SLD_WARNING, SLD_REF_SERVICE, SLD_STR("consul"),
                       "service %s cannot be served now; see the status of upstream " TR_CONSUL_NS
                       ".%.*s%s",
                       d->service_name, SLD_FMT(name), until_then(tr, r));
    out->chosen = d->n_tags || d->n_data_centers;
    if (!out->chosen)
        return;
    check_tags(d, out->upstream, r);
    out->match = tr_consul_match(tr->arena, out->upstream, d);
}

void tr_destination(struct tr *tr, const Gloo__Destination *d, struct sld_str owner_ns,
                    struct sld_report *r, struct tr_dest *out)
{
    *out = (struct tr_dest){.cluster = SLD_STR(TR_NO_CLUSTER)};
    switch (d->destination_type_case) {
    case GLOO__DESTINATION__DESTINATION_TYPE_UPSTREAM:
        to_upstream(tr, d->upstream, owner_ns, r, out);
        break;
    case GLOO__DESTINATION__DESTINATION_TYPE_KUBE: {
        // Known, but not built: the schema warns; Gloo's name of it (gloo-compat 3.9).
        struct sld_str ns = tr_ref_ns(d->kube->ref, owner_ns);
        struct sld_str name = sld_arena_fmt(tr->arena, "kube-svc:%.*s-%s-%u", SLD_FMT(ns),
                                            d->kube->ref->name, d->kube->port);
        out->cluster = tr_cluster_name(tr->arena, ns, name);
        break;
    }
    case GLOO__DESTINATION__DESTINATION_TYPE_CONSUL:
        to_consul(tr, d->consul, r, out);
        break;
    default:
        break;
    }
    if (!out->chosen)
        out->match = tr_subset_match(tr->arena, d->subset);
}

void tr_findings_here(struct sld_report *r, size_t from)
{
    for (size_t i = from; i < r->count; i++)
        r->items[i].path = r->prefix;
}

Env__Core__Metadata *tr_subset_match(struct sld_arena *a, const Gloo__Subset *s)
{
    if (!s || !s->n_values)
        return NULL;
    Google__Protobuf__Struct *values =
        SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    values->fields = SLD_ARENA_ARRAY(a, Google__Protobuf__Struct__FieldsEntry *, s->n_values);
    for (size_t i = 0; i < s->n_values; i++) {
        Google__Protobuf__Value *v = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        v->string_value = s->values[i]->value;
        Google__Protobuf__Struct__FieldsEntry *e = SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry,
                                                           google__protobuf__struct__fields_entry);
        e->key = s->values[i]->key;
        e->value = v;
        values->fields[values->n_fields++] = e;
    }
    Env__Core__Metadata__FilterMetadataEntry *lb = SLD_MSG(
        a, Env__Core__Metadata__FilterMetadataEntry, env__core__metadata__filter_metadata_entry);
    lb->key = SLD_MSG_STR(a, SLD_STR("envoy.lb"));
    lb->value = values;
    Env__Core__Metadata *m = SLD_MSG(a, Env__Core__Metadata, env__core__metadata);
    m->filter_metadata = SLD_ARENA_ARRAY(a, Env__Core__Metadata__FilterMetadataEntry *, 1);
    m->filter_metadata[m->n_filter_metadata++] = lb;
    return m;
}

void tr_clusters_add(struct tr *tr, struct tr_clusters *c, struct sld_str cluster)
{
    if (c->count && sld_str_eq(c->items[c->count - 1], cluster))
        return;
    SLD_PUSH(tr->arena, c->items, c->count, cluster);
}

static int by_str(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

size_t tr_clusters_done(const struct sld_translate *t, struct tr_clusters *c)
{
    size_t n = 0;
    if (c->count)
        qsort(c->items, c->count, sizeof(*c->items), by_str);
    for (size_t i = 0; i < c->count; i++) {
        if (n == 0 || !sld_str_eq(c->items[i], c->items[n - 1]))
            c->items[n++] = tr_keep_key(t, c->items[i]);
    }
    return c->count = n;
}

// Facts of upstreams and upstream groups that routes need; the rest of an upstream can change
// without waking them.
#include "translate/service.h"

// ---- Upstreams ----

// Many services have the same tags and data centers, so the texts are kept once for all.
static const char **keep_texts(struct tr *tr, struct sld_arena *a, const char *const *in, size_t n)
{
    const char **out = SLD_ARENA_ARRAY(a, const char *, n);
    for (size_t i = 0; i < n; i++)
        out[i] = tr_keep_key(tr->t, sld_str_c(in[i])).p;
    return out;
}

static void keep_keys(struct tr *tr, struct sld_arena *a, const struct tr_consul_keys *in,
                      struct tr_consul_keys *out)
{
    *out = *in;
    out->tags = keep_texts(tr, a, in->tags, in->tag_count);
    out->datacenters = keep_texts(tr, a, in->datacenters, in->datacenter_count);
}

static void tell_left_out(struct tr *tr, const struct tr_consul_keys *k, struct sld_str owner)
{
    struct sld_report *r = k->tags_left_out || k->datacenters_left_out ? tr_report(tr, owner) : NULL;
    if (k->tags_left_out)
        sld_report_add(r, SLD_WARNING, SLD_ROUTE_SUBSET, SLD_STR("consul.subsetTags"),
                       "routes can choose instances by the first %d tags of the service, and %zu more are left "
                       "out; name those that routes choose by in consul.subsetTags of an upstream",
                       TR_CONSUL_TAGS_MAX, k->tags_left_out);
    if (k->datacenters_left_out)
        sld_report_add(r, SLD_WARNING, SLD_ROUTE_SUBSET, SLD_STR("consul.dataCenters"),
                       "routes can choose instances by the first %d data centers of the service, and %zu more "
                       "are left out; name those that are used in consul.dataCenters of an upstream",
                       TR_CONSUL_DATACENTERS_MAX, k->datacenters_left_out);
}

void tr_step_upstreams(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct sld_object *o = in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const Gloo__Upstream *u = tr_upstream_msg(&tr, o);
    bool consul = u->upstream_type_case == GLOO__UPSTREAM__UPSTREAM_TYPE_CONSUL;
    struct tr_consul_keys keys = {0};
    if (consul)
        tr_consul_keys_of(tr.arena, u->consul, &keys);
    tell_left_out(&tr, &keys, sld_flow_key_str(tr.t->flow, key));
    size_t room = (keys.tag_count + keys.datacenter_count) * sizeof(char *);
    struct tr_upstream *row = tr_row_create_with(sizeof(*row), room);
    row->cluster = tr_keep_key(tr.t, tr_cluster_name(tr.arena, o->id.ns, o->id.name));
    row->served = tr_upstream_served(&tr, u, o->id.ns);
    struct sld_hash h = {row->served, 1};
    const Gloo__SubsetSpec *subsets = tr_subset_spec(tr.arena, u);
    if (consul)
        keep_keys(&tr, &row->row.arena, &keys, &row->consul);
    else if (subsets)
        row->subsets = sld_msg_copy(&row->row.arena, &subsets->base);
    if (subsets)
        h = sld_hash_mix(h, sld_msg_hash(&subsets->base));
    tr_row_finish(&tr, &row->row, h, NULL);
    sld_ctx_emit(ctx, key, row);
}

// ---- Groups ----

static void group_free(struct sld_obj *o)
{
    struct tr_group *g = (struct tr_group *)o;
    SLD_UNREF(g->object);
    tr_row_free(&g->row);
}

// A member that is not there is an error of the group; its routes are only warned
// (gloo-compat 3.9).
static void check_member(struct tr *tr, const Gloo__WeightedDestination *w, struct sld_str ns,
                         struct sld_report *r)
{
    const Gloo__Destination *d = w->destination;
    if (!d || d->destination_type_case != GLOO__DESTINATION__DESTINATION_TYPE_UPSTREAM)
        return; // the schema has told
    struct sld_str member_ns = tr_ref_ns(d->upstream, ns);
    if (tr_upstream(tr, member_ns, sld_str_c(d->upstream->name)))
        return;
    sld_report_add(r, SLD_ERROR, SLD_REF_UPSTREAM, SLD_STR("destination.upstream"),
                   "invalid destination in weighted destination list: *v1.Upstream { %.*s.%s } not "
                   "found; %s. Until then its share of the requests gets 503",
                   SLD_FMT(member_ns), d->upstream->name,
                   tr_mend_ref(tr, SLD_KIND_UPSTREAM, member_ns, sld_str_c(d->upstream->name)));
}

void tr_step_groups(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    union {
        const struct sld_object *frozen;
        struct sld_object *counted;
    } u = {in}; // only the count of references changes
    struct tr tr;
    tr_begin(&tr, user, ctx);
    struct tr_group *row = tr_row_create(sizeof(*row));
    row->object = sld_obj_ref(u.counted);
    row->group = sld_object_msg(row->object);
    row->ns = row->object->id.ns;
    struct sld_report *r = tr_report(&tr, sld_flow_key_str(tr.t->flow, key));
    for (size_t i = 0; i < row->group->n_destinations; i++) {
        struct sld_str before = sld_report_enter(r, "destinations", (long)i);
        check_member(&tr, row->group->destinations[i], row->ns, r);
        sld_report_leave(r, before);
    }
    tr_row_finish(&tr, &row->row, row->object->obj.hash, group_free);
    sld_ctx_emit(ctx, key, row);
}

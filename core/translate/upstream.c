// Facts of upstreams and upstream groups that routes need; the rest of an upstream can change
// without waking them.
#include "translate/service.h"

// ---- Upstreams ----

void tr_step_upstreams(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct sld_object *o = in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const Gloo__Upstream *u = tr_upstream_msg(&tr, o);
    struct tr_upstream *row = tr_row_create(sizeof(*row));
    struct sld_arena *a = &row->row.arena;
    row->key = sld_arena_str(a, sld_flow_key_str(tr.t->flow, key));
    row->cluster = tr_cluster_name(a, o->id.ns, o->id.name);
    row->served = tr_upstream_served(&tr, u, o->id.ns);
    struct sld_hash h = {row->served, 1};
    const Gloo__SubsetSpec *subsets = tr_subset_spec(tr.arena, u);
    if (u->upstream_type_case == GLOO__UPSTREAM__UPSTREAM_TYPE_CONSUL)
        tr_consul_keys_of(a, u->consul, &row->consul); // the subsets are made of these
    if (subsets) {
        row->subsets = sld_msg_copy(a, &subsets->base);
        h = sld_hash_mix(h, sld_msg_hash(&subsets->base));
    }
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

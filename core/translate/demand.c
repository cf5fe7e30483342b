// Demand: what somebody refers to has to be fetched by the outside (secrets, instances of
// services), or made of a service that was found (upstreams without a document).
#include "translate/service.h"

#define WANT_ALL_KEY "upstreams/*"
#define UNHEARD "unheard"

// ---- Services ----

static const char *how(const Gloo__ConsulUpstream *c)
{
    bool cached =
        !c->query_options || !c->query_options->use_cache || c->query_options->use_cache->value;
    switch (c->consistencymode) {
    case GLOO__CONSUL_CONSISTENCY_MODES__StaleMode:
        return cached ? "\nstale" : "\nstale,uncached";
    case GLOO__CONSUL_CONSISTENCY_MODES__ConsistentMode:
        return cached ? "\nconsistent" : "\nconsistent,uncached";
    default:
        return cached ? "" : "\nuncached";
    }
}

// Which services the upstreams in force need; several may need the same one.
void tr_step_asks(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)key;
    const struct sld_object *o = in;
    const Gloo__Upstream *u = sld_object_msg(o);
    if (u->upstream_type_case != GLOO__UPSTREAM__UPSTREAM_TYPE_CONSUL)
        return;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    u = tr_upstream_msg(&tr, o);
    struct sld_str ask =
        sld_arena_fmt(tr.arena, "consul\n%s%s", u->consul->service_name, how(u->consul));
    sld_ctx_emit(ctx, sld_flow_key(tr.t->flow, ask), sld_obj_ref(tr.t->yes));
}

static void on_ask(struct sld_table *table, sld_id key, const void *old, const void *new_value,
                   void *user)
{
    (void)table;
    struct sld_translate *t = user;
    if (!old != !new_value)
        tr_tell_want(t, SLD_WANT_SERVICE, sld_flow_key_str(t->flow, key), new_value != NULL);
}

// ---- Secrets ----

static void on_secret(struct sld_table *table, sld_id key, bool wanted, void *user)
{
    (void)table;
    struct sld_translate *t = user;
    if (!wanted)
        tr_unanswered(t, key);
    tr_tell_want(t, SLD_WANT_SECRET, sld_flow_key_str(t->flow, key), wanted);
}

// ---- Upstreams without a document ----

static void set_wanted(struct sld_translate *t, struct sld_table *table, sld_id key, bool wanted)
{
    if (wanted)
        sld_flow_set(table, key, t->yes);
    else
        sld_flow_delete(table, key);
}

static void want(struct sld_translate *t, sld_id key)
{
    if (!sld_flow_get(t->raw[SLD_KIND_UPSTREAM], key) &&
        !sld_flow_get(t->accepted[SLD_KIND_UPSTREAM], key))
        set_wanted(t, t->wanted, key, true);
}

static void on_upstream(struct sld_table *table, sld_id key, bool wanted, void *user)
{
    (void)table;
    struct sld_translate *t = user;
    if (sld_str_eq(sld_flow_key_str(t->flow, key), SLD_STR(WANT_ALL_KEY)))
        set_wanted(t, t->all_wanted, key, wanted);
    else if (wanted)
        want(t, key);
    else
        set_wanted(t, t->wanted, key, false);
}

void tr_want_all(struct tr *tr)
{
    sld_ctx_has(tr->ctx, tr->t->upstreams, sld_flow_key(tr->t->flow, SLD_STR(WANT_ALL_KEY)));
}

void tr_demand_undocumented(struct sld_translate *t, sld_id key)
{
    if (sld_flow_has_readers(t->upstreams, key))
        want(t, key);
}

void tr_demand_watch(struct sld_translate *t)
{
    sld_flow_watch(t->asks, on_ask, t);
    sld_flow_demand(t->secrets, on_secret, t);
    sld_flow_demand(t->upstreams, on_upstream, t);
}

bool tr_all_wanted(struct tr *tr)
{
    return sld_ctx_has(tr->ctx, tr->t->all_wanted,
                       sld_flow_key(tr->t->flow, SLD_STR(WANT_ALL_KEY)));
}

// ---- What goes in ----

sld_id tr_service_key(const struct sld_translate *t, struct sld_str registry, struct sld_str name)
{
    return sld_flow_keyf(t->flow, "%.*s\n%.*s", SLD_FMT(registry), SLD_FMT(name));
}

enum sld_catalog tr_catalog(struct tr *tr, struct sld_str registry)
{
    const struct sld_blob *b =
        sld_ctx_get(tr->ctx, tr->t->catalogs, sld_flow_key(tr->t->flow, registry));
    return !b ? SLD_CATALOG_TOLD
           : sld_str_eq(b->data, SLD_STR(UNHEARD)) ? SLD_CATALOG_UNHEARD
                                                   : SLD_CATALOG_AWAITED;
}

void sld_translate_catalog(struct sld_translate *t, struct sld_str registry, enum sld_catalog c)
{
    sld_id key = sld_flow_key(t->flow, registry);
    if (c == SLD_CATALOG_TOLD) {
        sld_flow_delete(t->catalogs, key);
        return;
    }
    struct sld_blob *b = sld_blob_create(c == SLD_CATALOG_UNHEARD ? SLD_STR(UNHEARD) : SLD_STR("awaited"));
    sld_flow_set(t->catalogs, key, b);
    SLD_UNREF(b);
}

void sld_translate_set_service(struct sld_translate *t, struct sld_str registry,
                               struct sld_str name, struct sld_service *s)
{
    sld_id key = tr_service_key(t, registry, name);
    if (s)
        sld_flow_set(t->services, key, s);
    else
        sld_flow_delete(t->services, key);
}

void sld_translate_set_instances(struct sld_translate *t, struct sld_str registry,
                                 struct sld_str service, struct sld_instances *i, bool past)
{
    sld_id key = tr_service_key(t, registry, service);
    void *there = (void *)(uintptr_t)key;
    if (i && past) {
        sld_umap_set(&t->pasts, key, there);
        sld_umap_remove(&t->confirmed, key);
    } else if (sld_umap_remove(&t->pasts, key)) {
        sld_umap_set(&t->confirmed, key, there);
    }
    if (i)
        sld_flow_set(t->instances, key, i);
    else
        sld_flow_delete(t->instances, key);
}

struct confirming {
    struct sld_translate *t;
    struct sld_translate_result *r;
};

static void on_reader(sld_id upstream, void *arg)
{
    const struct confirming *c = arg;
    struct sld_ident id;
    SLD_INV(sld_ident_parse(sld_flow_key_str(c->t->flow, upstream), &id));
    struct sld_str name = tr_cluster_name(&c->r->arena, id.ns, id.name);
    SLD_PUSH(&c->r->arena, c->r->confirmed, c->r->confirmed_count, name);
}

void tr_tell_confirmed(struct sld_translate *t, struct sld_translate_result *r)
{
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->confirmed, &at));)
        sld_flow_readers(t->instances, (sld_id)s->key, t->out_endpoints, on_reader, &(struct confirming){t, r});
    sld_umap_fini(&t->confirmed);
}

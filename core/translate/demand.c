// Demand: what somebody refers to has to be fetched by the outside (secrets, instances of
// services), or made of a service that was found (upstreams without a document).
#include "translate/service.h"

#define WANT_ALL_KEY "upstreams/*"

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
    sld_ctx_emit(ctx, sld_flow_key(tr.t->flow, ask), sld_blob_create(ask));
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
    tr_tell_want(t, SLD_WANT_SECRET, sld_flow_key_str(t->flow, key), wanted);
}

// ---- Upstreams without a document ----

static void want(struct sld_translate *t, sld_id key)
{
    if (sld_flow_get(t->wanted, key) || sld_flow_get(t->raw[SLD_KIND_UPSTREAM], key) ||
        sld_flow_get(t->accepted[SLD_KIND_UPSTREAM], key))
        return;
    struct sld_blob *b = sld_blob_create(SLD_STR("wanted"));
    sld_flow_set(t->wanted, key, b);
    SLD_UNREF(b);
}

// The upstreams that service NAME may have become.
static void want_service(struct sld_translate *t, struct sld_str name)
{
    struct sld_str ns = sld_translate_write_ns(t);
    struct sld_arena a = {0};
    static const char *const ends[] = {"", "-tls"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(ends); i++) {
        struct sld_str full = sld_arena_fmt(&a, "%.*s%s", SLD_FMT(name), ends[i]);
        want(t, sld_flow_keyf(t->flow, "upstreams/" TR_CONSUL_NS "/" SLD_CONSUL_UPSTREAM "%.*s",
                              SLD_FMT(full)));
        want(t, sld_flow_keyf(t->flow, "upstreams/%.*s/%.*s", SLD_FMT(ns),
                              SLD_FMT(tr_sanitise(&a, full))));
    }
    sld_arena_fini(&a);
}

static void want_every(struct sld_translate *t)
{
    size_t at = 0;
    sld_id key;
    for (const void *row; sld_flow_next(t->services, &at, &key, &row);)
        want_service(t, ((const struct tr_service *)row)->service->name);
}

static void unwant_unread(struct sld_translate *t)
{
    size_t at = 0;
    sld_id key;
    for (const void *row; sld_flow_next(t->wanted, &at, &key, &row);) {
        if (!sld_flow_has_readers(t->upstreams, key))
            sld_flow_delete(t->wanted, key);
    }
}

static void on_upstream(struct sld_table *table, sld_id key, bool wanted, void *user)
{
    (void)table;
    struct sld_translate *t = user;
    if (sld_str_eq(sld_flow_key_str(t->flow, key), SLD_STR(WANT_ALL_KEY))) {
        t->want_all = wanted;
        if (wanted)
            want_every(t);
        else
            unwant_unread(t);
    } else if (wanted) {
        want(t, key);
    } else if (!t->want_all) {
        sld_flow_delete(t->wanted, key);
    }
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

// ---- What goes in ----

static void service_free(struct sld_obj *o)
{
    struct tr_service *row = (struct tr_service *)o;
    SLD_UNREF(row->service);
    sld_xfree(row);
}

static void instances_free(struct sld_obj *o)
{
    struct tr_instances *row = (struct tr_instances *)o;
    SLD_UNREF(row->set);
    sld_xfree(row);
}

static sld_id service_key(const struct sld_translate *t, struct sld_str registry,
                          struct sld_str name)
{
    return sld_flow_keyf(t->flow, "%.*s\n%.*s", SLD_FMT(registry), SLD_FMT(name));
}

void sld_translate_set_service(struct sld_translate *t, struct sld_str registry,
                               struct sld_str name, struct sld_service *s)
{
    sld_id key = service_key(t, registry, name);
    if (!s) {
        sld_flow_delete(t->services, key);
        return;
    }
    struct tr_service *row = SLD_NEW(struct tr_service);
    sld_obj_init(&row->obj, service_free, s->obj.hash);
    row->service = sld_obj_ref(s);
    sld_flow_set(t->services, key, row);
    SLD_UNREF(row);
    if (t->want_all)
        want_service(t, s->name);
}

void sld_translate_set_instances(struct sld_translate *t, struct sld_str registry,
                                 struct sld_str service, struct sld_instances *i)
{
    sld_id key = service_key(t, registry, service);
    if (!i) {
        sld_flow_delete(t->instances, key);
        return;
    }
    struct tr_instances *row = SLD_NEW(struct tr_instances);
    sld_obj_init(&row->obj, instances_free, i->obj.hash);
    row->set = sld_obj_ref(i);
    sld_flow_set(t->instances, key, row);
    SLD_UNREF(row);
}

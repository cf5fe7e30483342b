// The tables, what goes in and what comes out.
#include "translate/feature.h"

#include <stdlib.h>

const struct sld_str sld_fallback_view = SLD_STR_INIT("misconfigured-node");

// ---- Declaring ----

static struct sld_table *derive(struct sld_translate *t, const char *name, struct sld_table *parent,
                                sld_step *step)
{
    return sld_flow_derive(t->flow, name, parent, step, t);
}

// T, each row of which is made of one row of its parent and has its key.
static struct sld_table *single(struct sld_table *t)
{
    sld_flow_single(t);
    return t;
}

static struct sld_index *index_of(struct sld_translate *t, const char *name,
                                  struct sld_table *table, sld_index_fn *fn)
{
    return sld_flow_index(t->flow, name, table, fn, t);
}

static struct sld_table *join(struct sld_translate *t, const char *name, struct sld_table *a,
                              struct sld_table *b, sld_step *step, void *user)
{
    struct sld_table *parents[] = {a, b, NULL};
    return sld_flow_join(t->flow, name, parents, step, user);
}

// A join over all there may be of objects of kind K.
static struct sld_table *join_kind(struct sld_translate *t, const char *name, size_t k,
                                   sld_step *step)
{
    bool found = k == SLD_KIND_UPSTREAM;
    struct sld_table *parents[6] = {t->raw[k], t->accepted[k]};
    size_t n = 2;
    if (found) {
        parents[n++] = t->wanted;
        parents[n++] = t->named;
    } else if (t->waits) {
        parents[n++] = t->waits;
    }
    return single(sld_flow_join(t->flow, name, parents, step, &t->slots[k]));
}

// Names of tables are literals that outlive the flow.
struct names {
    const char *raw, *accepted, *object, *status;
};
#define NAMES(kind)                                                                                \
    {                                                                                              \
        "raw." kind, "accepted." kind, "object." kind, "status." kind                              \
    }
static const struct names names[SLD_KIND_COUNT] = {
    [SLD_KIND_ARTIFACT] = NAMES("Artifact"),
    [SLD_KIND_GATEWAY] = NAMES("Gateway"),
    [SLD_KIND_HTTP_LISTENER_OPTION] = NAMES("HttpListenerOption"),
    [SLD_KIND_LISTENER_OPTION] = NAMES("ListenerOption"),
    [SLD_KIND_MATCHABLE_HTTP_GATEWAY] = NAMES("MatchableHttpGateway"),
    [SLD_KIND_MATCHABLE_TCP_GATEWAY] = NAMES("MatchableTcpGateway"),
    [SLD_KIND_PLUGIN] = NAMES("Plugin"),
    [SLD_KIND_PROXY] = NAMES("Proxy"),
    [SLD_KIND_ROUTE_OPTION] = NAMES("RouteOption"),
    [SLD_KIND_ROUTE_TABLE] = NAMES("RouteTable"),
    [SLD_KIND_SECRET] = NAMES("Secret"),
    [SLD_KIND_SETTINGS] = NAMES("Settings"),
    [SLD_KIND_UPSTREAM] = NAMES("Upstream"),
    [SLD_KIND_UPSTREAM_GROUP] = NAMES("UpstreamGroup"),
    [SLD_KIND_VIRTUAL_HOST_OPTION] = NAMES("VirtualHostOption"),
    [SLD_KIND_VIRTUAL_SERVICE] = NAMES("VirtualService"),
};

static void declare_sources(struct sld_translate *t)
{
    for (size_t k = 0; k < SLD_KIND_COUNT; k++) {
        t->slots[k] = (struct tr_kind_slot){t, (enum sld_kind)k};
        t->raw[k] = sld_flow_source(t->flow, names[k].raw);
        t->accepted[k] = sld_flow_source(t->flow, names[k].accepted);
        if (k == SLD_KIND_GATEWAY)
            t->accepted_by_bind =
                index_of(t, "accepted_by_bind", t->accepted[k], tr_index_accepted_bind);
        if (k == SLD_KIND_VIRTUAL_SERVICE)
            t->accepted_by_domain =
                index_of(t, "accepted_by_domain", t->accepted[k], tr_index_accepted_domain);
    }
    t->seed = sld_flow_source(t->flow, "seed");
    t->settings = sld_flow_source(t->flow, "settings");
    t->settings_key = sld_flow_source(t->flow, "settings_key");
    t->defaults = sld_flow_source(t->flow, "defaults");
    t->clock = sld_flow_source(t->flow, "clock");
    t->refused = sld_flow_source(t->flow, "refused");
    t->held = sld_flow_source(t->flow, "held");
    t->plugins = sld_flow_source(t->flow, "plugins");
    t->services = sld_flow_source(t->flow, "services");
    t->services_by_name = index_of(t, "services_by_name", t->services, tr_index_services);
    t->instances = sld_flow_source(t->flow, "instances");
    t->catalogs = sld_flow_source(t->flow, "catalogs");
    t->wanted = sld_flow_source(t->flow, "wanted");
    t->all_wanted = sld_flow_source(t->flow, "all_wanted");
    t->refers = sld_flow_source(t->flow, "refers");
    t->answered = sld_flow_source(t->flow, "answered");
    t->remembered = sld_flow_source(t->flow, "remembered");
}

static void declare_facts(struct sld_translate *t)
{
    t->validity = single(derive(t, "validity", t->raw[SLD_KIND_SECRET], tr_step_validity));
    t->named = derive(t, "named", t->services, tr_step_named);
    t->obj[SLD_KIND_SECRET] =
        join_kind(t, names[SLD_KIND_SECRET].object, SLD_KIND_SECRET, tr_step_object);
    t->certs = single(derive(t, "certs", t->obj[SLD_KIND_SECRET], tr_step_certs));
    t->secrets = single(derive(t, "secrets", t->obj[SLD_KIND_SECRET], tr_step_secrets));
    t->about = index_of(t, "about", t->secrets, tr_index_about);
    t->waits = single(derive(t, "waits", t->refers, tr_step_waits));
    sld_flow_index_add(t->about, t->waits);
    for (size_t k = 0; k < SLD_KIND_COUNT; k++) {
        if (k == SLD_KIND_SECRET)
            continue;
        t->obj[k] = join_kind(t, names[k].object, k, tr_step_object);
        if (k == SLD_KIND_ROUTE_TABLE)
            t->rt_by_label = index_of(t, "route_tables_by_label", t->obj[k], tr_index_rt);
    }
    t->upstreams = single(derive(t, "upstreams", t->obj[SLD_KIND_UPSTREAM], tr_step_upstreams));
    sld_flow_index_add(t->about, t->upstreams);
    t->asks = derive(t, "asks", t->obj[SLD_KIND_UPSTREAM], tr_step_asks);
    t->groups = single(derive(t, "groups", t->obj[SLD_KIND_UPSTREAM_GROUP], tr_step_groups));
    sld_flow_index_add(t->about, t->groups);
    t->out_extras = derive(t, "out.extras", t->plugins, tr_step_out_extras);
    sld_flow_index_add(t->about, t->out_extras);
}

static void declare_gateways(struct sld_translate *t)
{
    t->default_gateways = derive(t, "default_gateways", t->seed, tr_step_default_gateways);
    t->ports = single(join(t, "ports", t->obj[SLD_KIND_GATEWAY], t->default_gateways, tr_step_ports, t));
    t->ports_by_bind = index_of(t, "ports_by_bind", t->ports, tr_index_ports);
    t->gateways =
        single(join(t, "gateways", t->obj[SLD_KIND_GATEWAY], t->default_gateways, tr_step_gateways, t));
    sld_flow_index_add(t->about, t->gateways);
    t->gw_select = single(derive(t, "gateway_select", t->gateways, tr_step_gw_select));
    sld_flow_index_add(t->about, t->gw_select);
    t->attach = derive(t, "attach", t->obj[SLD_KIND_VIRTUAL_SERVICE], tr_step_attach);
    t->attach_by_gateway = index_of(t, "attach_by_gateway", t->attach, tr_index_attach_gateway);
    t->attach_by_domain = index_of(t, "attach_by_domain", t->attach, tr_index_attach_domain);
    t->live = single(derive(t, "live", t->gateways, tr_step_live));
    sld_flow_index_add(t->about, t->live);
    t->vs_tls = single(derive(t, "vs_tls", t->attach, tr_step_vs_tls));
    sld_flow_filter(t->vs_tls, tr_has_tls);
    t->vs_tls_by_gateway = index_of(t, "vs_tls_by_gateway", t->vs_tls, tr_index_vs_tls_gateway);
    t->tls_sets = single(derive(t, "tls_sets", t->gateways, tr_step_tls_sets));
    sld_flow_index_add(t->about, t->tls_sets);
}

static void declare_outs(struct sld_translate *t)
{
    t->vhosts = single(derive(t, "vhosts", t->attach, tr_step_vhosts));
    sld_flow_index_add(t->about, t->vhosts);
    t->vhost_users = index_of(t, "vhost_users", t->vhosts, tr_index_uses);
    t->vhosts_by_gateway = index_of(t, "vhosts_by_gateway", t->vhosts, tr_index_vhost_gateway);
    t->placed = single(derive(t, "placed", t->held, tr_step_placed));
    sld_flow_index_add(t->about, t->placed);
    t->placed_by_gateway = index_of(t, "placed_by_gateway", t->placed, tr_index_vhost_gateway);
    t->out_secrets = derive(t, "out.secrets", t->secrets, tr_step_out_secrets);
    t->out_clusters = derive(t, "out.clusters", t->obj[SLD_KIND_UPSTREAM], tr_step_out_clusters);
    sld_flow_index_add(t->about, t->out_clusters);
    t->out_endpoints = derive(t, "out.endpoints", t->obj[SLD_KIND_UPSTREAM], tr_step_out_endpoints);
    sld_flow_index_add(t->about, t->out_endpoints);
    t->out_listeners = derive(t, "out.listeners", t->gateways, tr_step_out_listeners);
    sld_flow_index_add(t->about, t->out_listeners);
    t->out_routes = derive(t, "out.routes", t->gateways, tr_step_out_routes);
    t->out_fixed = derive(t, "out.fixed", t->seed, tr_step_out_fixed);
    t->refusals = derive(t, "refusals", t->refused, tr_step_refusals);
    sld_flow_index_add(t->about, t->refusals);
    for (size_t k = 0; k < SLD_KIND_COUNT; k++)
        t->status[k] = join_kind(t, names[k].status, k, tr_step_status);
}

static void declare(struct sld_translate *t)
{
    declare_sources(t);
    declare_facts(t);
    declare_gateways(t);
    declare_outs(t);
}

// ---- What watchers collect ----

struct changes {
    struct sld_translate_result *into;
    bool ran;      // a round took place
    bool gateways; // some gateway changed
    bool troubled; // a trouble came or went: `into` hears of it in the next run
    struct sld_id_list {
        sld_id *ids;
        enum sld_kind *kinds;
        size_t count, cap;
    } touched; // objects whose acceptance is to be decided
};

static void touch(struct changes *c, enum sld_kind k, sld_id id)
{
    if (c->touched.count == c->touched.cap) {
        c->touched.cap = c->touched.cap ? 2 * c->touched.cap : 64;
        c->touched.ids = sld_xrealloc(c->touched.ids, c->touched.cap * sizeof(*c->touched.ids));
        c->touched.kinds =
            sld_xrealloc(c->touched.kinds, c->touched.cap * sizeof(*c->touched.kinds));
    }
    c->touched.ids[c->touched.count] = id;
    c->touched.kinds[c->touched.count++] = k;
}

// What one great round made large is given back.
static void touched_empty(struct sld_id_list *l)
{
    l->count = 0;
    if (l->cap <= 512)
        return;
    sld_xfree(l->ids);
    sld_xfree(l->kinds);
    *l = (struct sld_id_list){0};
}

static void *counted(const void *frozen)
{
    union {
        const void *frozen;
        void *own;
    } u = {frozen}; // only the count of references changes
    return u.own;
}

static void on_out(struct sld_table *table, sld_id key, const void *old, const void *new_value,
                   void *user)
{
    (void)table;
    struct sld_translate *t = user;
    struct sld_translate_result *r = t->changes->into;
    const struct tr_out *was = old, *is = new_value;
    const struct sld_out *before = was ? was->out : NULL, *now = is ? is->out : NULL;
    if ((!before && !now) || (before && now && sld_hash_eq(before->obj.hash, now->obj.hash)))
        return;
    tr_confs_moved(t, before ? before->confs : NULL, now ? now->confs : NULL);
    const struct sld_out *any = now ? now : before;
    if (!now && any->type == SLD_OUT_ROUTE)
        tr_tables_forget(t->tables, key);
    struct sld_out_change c = {
        .type = any->type,
        .view = sld_arena_str(&r->arena, any->view),
        .name = sld_arena_str(&r->arena, any->name),
        .res = sld_obj_ref(counted(now)),
    };
    SLD_PUSH(&r->arena, r->outs, r->out_count, c);
}

// What is wrong with the place of a document, and the status that says so.
struct trouble {
    struct sld_arena arena;
    struct sld_finding finding;
    struct sld_status *status; // own reference; NULL: not made yet
    enum sld_status_state told;
    bool gone; // it is over; to be told and dropped
    bool news; // to be told
};

static void trouble_free(struct trouble *p)
{
    SLD_UNREF(p->status);
    sld_arena_fini(&p->arena);
    sld_xfree(p);
}

// STATUS with the trouble's finding in it.
static void trouble_join(struct trouble *p, const struct sld_status *status)
{
    struct sld_arena a = {0};
    size_t n = status ? status->count : 0;
    struct sld_finding *f = SLD_ARENA_ARRAY(&a, struct sld_finding, n + 1);
    for (size_t i = 0; i < n; i++)
        f[i] = status->findings[i];
    f[n] = p->finding;
    SLD_UNREF(p->status);
    p->status = sld_status_create(f, n + 1, true, status && status->served);
    sld_arena_fini(&a);
}

static void tell_status(struct sld_translate *t, sld_id key, enum sld_status_state before,
                        const struct sld_status *now)
{
    struct sld_translate_result *r = t->changes->into;
    struct sld_ident id = sld_ident_of_key(sld_flow_key_str(t->flow, key));
    struct sld_status_change c = {
        .id = {id.kind, sld_arena_str(&r->arena, id.ns), sld_arena_str(&r->arena, id.name)},
        .before = before,
        .status = sld_obj_ref(counted(now)),
    };
    SLD_PUSH(&r->arena, r->statuses, r->status_count, c);
}

static void on_status(struct sld_table *table, sld_id key, const void *old, const void *new_value,
                      void *user)
{
    (void)table;
    struct sld_translate *t = user;
    const struct sld_status *was = old, *now = new_value;
    struct trouble *p = sld_umap_get(&t->troubles, key);
    enum sld_status_state before = was ? was->state : SLD_PENDING;
    struct sld_ident id = sld_ident_of_key(sld_flow_key_str(t->flow, key));
    touch(t->changes, id.kind, key);
    if (!p || p->gone || p->news || !now) {
        tell_status(t, key, before, now);
        return;
    }
    before = p->told;
    trouble_join(p, now);
    p->told = p->status->state;
    tell_status(t, key, before, p->status);
}

void tr_tell_want(struct sld_translate *t, enum sld_want_kind kind, struct sld_str key, bool wanted)
{
    struct sld_translate_result *r = t->changes->into;
    struct sld_want_change c = {kind, sld_arena_str(&r->arena, key), wanted};
    SLD_PUSH(&r->arena, r->wants, r->want_count, c);
}

static void on_gateway(struct sld_table *table, sld_id key, const void *old, const void *new_value,
                       void *user)
{
    (void)table;
    (void)key;
    (void)old;
    (void)new_value;
    struct sld_translate *t = user;
    t->changes->gateways = true;
}

void tr_tell_conf(struct sld_translate *t, struct sld_str id, struct sld_request_conf *c)
{
    struct sld_translate_result *r = t->changes->into;
    struct sld_conf_change one = {sld_arena_str(&r->arena, id), sld_obj_ref(c)};
    SLD_PUSH(&r->arena, r->confs, r->conf_count, one);
}

static void on_vhost(struct sld_table *table, sld_id key, const void *old, const void *new_value, void *user)
{
    tr_confs_of_vhosts(user, old, new_value);
    tr_nack_on_vhost(table, key, old, new_value, user);
}

static void on_placed(struct sld_table *table, sld_id key, const void *old, const void *new_value, void *user)
{
    tr_confs_of_vhosts(user, old, new_value);
    tr_nack_on_placed(table, key, old, new_value, user);
}

static void on_extra(struct sld_table *table, sld_id key, const void *old, const void *new_value, void *user)
{
    struct sld_translate *t = user;
    const struct tr_extras *was = old, *is = new_value;
    if (sld_str_starts(sld_flow_key_str(t->flow, key), SLD_STR(TR_EXTRAS_PREFIX)))
        tr_confs_moved(t, was ? &was->confs : NULL, is ? &is->confs : NULL);
    else
        on_out(table, key, old, new_value, user);
}

static void watch(struct sld_translate *t)
{
    struct sld_table *outs[] = {t->out_secrets,   t->out_clusters, t->out_endpoints,
                                t->out_listeners, t->out_routes,   t->out_fixed};
    for (size_t i = 0; i < SLD_ARRAY_LEN(outs); i++)
        sld_flow_watch(outs[i], on_out, t);
    sld_flow_watch(t->out_extras, on_extra, t);
    for (size_t k = 0; k < SLD_KIND_COUNT; k++)
        sld_flow_watch(t->status[k], on_status, t);
    sld_flow_watch(t->gateways, on_gateway, t);
    sld_flow_watch(t->vhosts, on_vhost, t);
    sld_flow_watch(t->placed, on_placed, t);
    tr_demand_watch(t);
}

// ---- Life ----

static void clock_free(struct sld_obj *o)
{
    sld_xfree(o);
}

void sld_translate_set_now(struct sld_translate *t, int64_t now_s)
{
    struct tr_clock *c = SLD_NEW(struct tr_clock);
    sld_obj_init(&c->obj, clock_free, (struct sld_hash){(uint64_t)now_s, 1});
    c->now_s = now_s;
    sld_flow_set(t->clock, sld_flow_key(t->flow, SLD_STR("now")), c);
    SLD_UNREF(c);
}

static void order_features(struct sld_translate *t)
{
    size_t n = t->opt.feature_count, k = 0;
    t->features = sld_xcalloc(n, sizeof(*t->features));
    for (int late = 0; late < 2; late++) {
        for (size_t i = 0; i < n; i++) {
            if (t->opt.features[i]->late == (bool)late)
                t->features[k++] = t->opt.features[i];
        }
    }
    t->opt.features = t->features;
}

struct sld_translate *sld_translate_create(const struct sld_translate_options *o)
{
    struct sld_translate *t = SLD_NEW(struct sld_translate);
    t->opt = *o;
    order_features(t);
    tr_serve_options(t);
    t->flow = sld_flow_create();
    t->changes = SLD_NEW(struct changes);
    t->nack = tr_nack_create(t);
    t->tables = tr_tables_create();
    declare(t);
    watch(t);
    t->yes = sld_blob_create(SLD_STR("yes"));
    sld_flow_set(t->seed, sld_flow_key(t->flow, SLD_STR("seed")), t->yes);
    sld_translate_set_now(t, o->now_s);
    return t;
}

static void barred_free(struct barred *b)
{
    if (b)
        sld_arena_fini(&b->arena);
    sld_xfree(b);
}

static void place_drop(struct sld_raw *raw)
{
    SLD_UNREF(raw);
}

// A document that only moved changes no row, but people are told where it is now. Of one that is new (FRESH), and
// before the first round, the row will know.
static void place_set(struct sld_translate *t, sld_id key, struct sld_raw *raw, bool fresh)
{
    if (!raw || fresh)
        place_drop(sld_umap_remove(&t->places, key));
    else if (t->changes->ran)
        place_drop(sld_umap_set(&t->places, key, sld_obj_ref(raw)));
}

struct sld_raw *tr_place(const struct sld_translate *t, enum sld_kind k, sld_id key)
{
    struct sld_raw *place = sld_umap_get(&t->places, key);
    if (place)
        return place;
    const struct sld_object *o = sld_flow_get(t->raw[k], key);
    if (!o)
        o = sld_flow_get(t->accepted[k], key);
    if (!o)
        o = sld_flow_get(t->obj[k], key);
    return o ? sld_object_raw(o) : NULL;
}

void sld_translate_destroy(struct sld_translate *t)
{
    if (!t)
        return;
    sld_objects_rest();
    tr_nack_destroy(t->nack);
    tr_tables_destroy(t->tables);
    SLD_UNREF(t->assigning);
    SLD_UNREF(t->yes);
    sld_flow_destroy(t->flow);
    sld_umap_fini(&t->pasts);
    sld_umap_fini(&t->confirmed);
    tr_confs_fini(t);
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->places, &at));)
        place_drop(s->value);
    sld_umap_fini(&t->places);
    sld_xfree(t->features);
    sld_umap_fini(&t->orphans);
    at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->troubles, &at));)
        trouble_free(s->value);
    sld_umap_fini(&t->troubles);
    at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->barred, &at));)
        barred_free(s->value);
    sld_umap_fini(&t->barred);
    at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->served_before, &at));)
        sld_xfree(s->value);
    sld_umap_fini(&t->served_before);
    sld_umap_fini(&t->served);
    sld_xfree(t->changes->touched.ids);
    sld_xfree(t->changes->touched.kinds);
    sld_xfree(t->changes);
    sld_xfree(t);
}

struct sld_flow *sld_translate_flow(struct sld_translate *t)
{
    return t->flow;
}

// ---- What goes in ----

static sld_id key_of(const struct sld_translate *t, struct sld_ident id)
{
    struct sld_arena a = {0};
    sld_id key = sld_flow_key(t->flow, sld_ident_key(&a, id));
    sld_arena_fini(&a);
    return key;
}

struct checks {
    struct sld_translate *t;
    const struct barred *barred; // or NULL
};

static void check(void *user, struct sld_ident id, const void *msg, struct sld_report *r)
{
    const struct checks *c = user;
    tr_validate(c->t, id.kind, msg, r);
    if (c->barred)
        sld_report_add(r, SLD_ERROR, SLD_ENVOY_REFUSED, SLD_STR(""),
                       "Envoy refused what was made of this document: %.*s",
                       SLD_FMT(c->barred->words));
}

static struct sld_object *decode(struct sld_translate *t, struct sld_raw *raw,
                                 const struct barred *b)
{
    struct checks c = {t, b};
    return sld_object_decode_lean(
        raw, &(struct sld_object_checks){.served = &t->served, .check = check, .user = &c});
}

struct sld_object *tr_unwritten(struct sld_translate *t, struct sld_ident id, ProtobufCMessage *msg, struct sld_str origin)
{
    struct checks c = {t, NULL};
    return sld_object_create_unwritten(
        id, msg, origin, &(struct sld_object_checks){.served = &t->served, .check = check, .user = &c});
}

// What a refusal knows a document by. Another version of Solder makes something else of it, and
// tries it again.
static struct sld_hash refused_as(const struct sld_object *o)
{
    return sld_hash_mix(o->obj.hash, sld_hash_bytes(SLD_STR(SLD_VERSION)));
}

// RAW decoded, with its refusal if it was refused. One that says something else is tried, and the
// refusal kept: the refused form may come back, and at a start the accepted form comes before it.
static struct sld_object *decode_present(struct sld_translate *t, sld_id key, struct sld_raw *raw)
{
    struct sld_object *o = decode(t, raw, NULL);
    struct barred *b = sld_umap_get(&t->barred, key);
    if (!b || !sld_hash_eq(b->hash, refused_as(o)))
        return o;
    SLD_UNREF(o);
    return decode(t, raw, b);
}

static struct barred *barred_set(struct sld_translate *t, sld_id key, struct sld_hash hash,
                                 struct sld_str build, struct sld_str words)
{
    struct barred *b = SLD_NEW(struct barred);
    b->hash = hash;
    b->build = sld_arena_str(&b->arena, build);
    b->words = sld_arena_str(&b->arena, words);
    barred_free(sld_umap_set(&t->barred, key, b));
    return b;
}

bool tr_bar(struct sld_translate *t, struct sld_str key, const struct sld_object *doc,
            struct sld_str build, struct sld_str words)
{
    sld_id id = sld_flow_key(t->flow, key);
    struct sld_ident who;
    if (!sld_ident_parse(key, &who))
        return false;
    const struct sld_object *raw = sld_flow_get(t->raw[who.kind], id);
    struct sld_raw *place = tr_place(t, who.kind, id);
    if (!raw || !raw->ok || !place || (doc && sld_hash_eq(doc->obj.hash, raw->obj.hash)))
        return false;
    struct barred *b = barred_set(t, id, refused_as(raw), build, words);
    b->news = true;
    if (doc)
        sld_flow_set(t->accepted[who.kind], id, counted(doc));
    else
        sld_flow_delete(t->accepted[who.kind], id);
    struct sld_object *o = decode(t, place, b);
    sld_flow_set(t->raw[who.kind], id, o);
    tr_refers_set(t, id, o);
    SLD_UNREF(o);
    return true;
}

void tr_unbar(struct sld_translate *t, struct sld_str key)
{
    struct sld_ident who;
    sld_id id = sld_flow_key(t->flow, key);
    struct barred *b = sld_umap_remove(&t->barred, id);
    struct sld_raw *place = b && sld_ident_parse(key, &who) ? tr_place(t, who.kind, id) : NULL;
    if (place) {
        struct sld_object *o = decode(t, place, NULL);
        sld_flow_set(t->raw[who.kind], id, o);
        tr_refers_set(t, id, o);
        touch(t->changes, who.kind, id);
        SLD_UNREF(o);
    }
    barred_free(b);
}

void sld_translate_set(struct sld_translate *t, struct sld_ident id, struct sld_raw *raw)
{
    sld_id key = key_of(t, id);
    const struct sld_object *now = sld_flow_get(t->raw[id.kind], key);
    place_set(t, key, raw, !now && !sld_flow_changed(t->raw[id.kind], key));
    // It only moved: in a file of many documents most do with each edit.
    if (raw && now && now->raw->item == raw->item && sld_str_eq(now->raw->text, raw->text))
        return;
    if (!raw) {
        sld_flow_delete(t->raw[id.kind], key);
        tr_refers_set(t, key, NULL);
        barred_free(sld_umap_remove(&t->barred, key));
        sld_xfree(sld_umap_remove(&t->served_before, key));
        if (id.kind == SLD_KIND_SECRET)
            tr_remember(t, id, (struct sld_hash){0});
        // A secret in use stays in service: without it a port would close (design section 5).
        if (id.kind == SLD_KIND_SECRET && sld_flow_has_readers(t->secrets, key))
            sld_umap_set(&t->orphans, key, t);
        else
            sld_flow_delete(t->accepted[id.kind], key);
        if (id.kind == SLD_KIND_UPSTREAM)
            tr_demand_undocumented(t, key);
        return;
    }
    struct sld_object *o = decode_present(t, key, raw);
    sld_flow_set(t->raw[id.kind], key, o);
    tr_refers_set(t, key, o);
    // Its errors may be new where the status is not.
    touch(t->changes, id.kind, key);
    SLD_UNREF(o);
}

void sld_translate_recheck(struct sld_translate *t, enum sld_kind k, struct sld_str text)
{
    sld_id *keys = sld_xcalloc(sld_flow_count(t->raw[k]) + 1, sizeof(*keys)), key;
    size_t n = 0, at = 0;
    const void *row;
    while (sld_flow_next(t->raw[k], &at, &key, &row)) {
        if (sld_str_find(((const struct sld_object *)row)->raw->text, text) >= 0)
            keys[n++] = key;
    }
    for (size_t i = 0; i < n; i++) {
        struct sld_object *o = decode_present(t, keys[i], tr_place(t, k, keys[i]));
        sld_flow_set(t->raw[k], keys[i], o);
        tr_refers_set(t, keys[i], o);
        touch(t->changes, k, keys[i]);
        SLD_UNREF(o);
    }
    sld_xfree(keys);
}

void sld_translate_set_plugin(struct sld_translate *t, struct sld_str name, struct sld_plugin_slot *plugin)
{
    static const enum sld_kind holders[] = {SLD_KIND_GATEWAY, SLD_KIND_ROUTE_OPTION, SLD_KIND_ROUTE_TABLE,
                                            SLD_KIND_VIRTUAL_HOST_OPTION, SLD_KIND_VIRTUAL_SERVICE};
    sld_id key = sld_flow_key(t->flow, name);
    if (plugin)
        sld_flow_set(t->plugins, key, plugin);
    else
        sld_flow_delete(t->plugins, key);
    for (size_t i = 0; i < SLD_ARRAY_LEN(holders); i++)
        sld_translate_recheck(t, holders[i], name);
}

const struct sld_plugin_slot *sld_translate_plugin(const struct sld_translate *t, struct sld_str name)
{
    return sld_flow_get(t->plugins, sld_flow_key(t->flow, name));
}

void sld_translate_restore_refusal(struct sld_translate *t, struct sld_ident id,
                                   struct sld_hash hash, struct sld_str build, struct sld_str words)
{
    barred_set(t, key_of(t, id), hash, build, words);
}

void sld_translate_restore_certificate(struct sld_translate *t, struct sld_ident id,
                                       struct sld_hash chain)
{
    struct sld_hash *own = SLD_NEW(struct sld_hash);
    *own = chain;
    sld_xfree(sld_umap_set(&t->served_before, key_of(t, id), own));
    tr_remember(t, id, chain);
}

void sld_translate_restore(struct sld_translate *t, struct sld_raw *raw)
{
    // A plugin counted when it was accepted: whether it loads, what it refers to being there or not yet, is told later.
    struct sld_object *o = raw->kind == SLD_KIND_PLUGIN ? sld_object_decode(raw, NULL) : decode(t, raw, NULL);
    place_set(t, key_of(t, o->id), raw, false);
    if (o->ok)
        sld_flow_set(t->accepted[o->id.kind], key_of(t, o->id), o);
    SLD_UNREF(o);
}

void sld_translate_set_settings(struct sld_translate *t, const Gloo__Settings *s)
{
    sld_id key = sld_flow_key(t->flow, SLD_STR("settings"));
    if (!s) {
        sld_flow_delete(t->settings, key);
        return;
    }
    struct sld_arena_obj *o = sld_arena_obj_create();
    o->root = sld_msg_copy(&o->arena, &s->base);
    o->obj.hash = sld_msg_hash(&s->base);
    sld_flow_set(t->settings, key, o);
    SLD_UNREF(o);
}

void sld_translate_settings_in_use(struct sld_translate *t, struct sld_str key)
{
    sld_id id = sld_flow_key(t->flow, SLD_STR("key"));
    if (!key.p) {
        sld_flow_delete(t->settings_key, id);
        return;
    }
    struct sld_blob *b = sld_blob_create(key);
    sld_flow_set(t->settings_key, id, b);
    SLD_UNREF(b);
}

void sld_translate_set_trouble(struct sld_translate *t, struct sld_str key,
                               const struct sld_finding *f)
{
    sld_id id = sld_flow_key(t->flow, key);
    struct trouble *p = sld_umap_get(&t->troubles, id);
    if (!f && !p)
        return;
    t->changes->troubled = true;
    if (!p) {
        p = SLD_NEW(struct trouble);
        sld_umap_set(&t->troubles, id, p);
    }
    p->gone = !f;
    p->news = true;
    if (!f)
        return;
    sld_arena_fini(&p->arena);
    p->finding = *f;
    p->finding.path = sld_arena_str(&p->arena, f->path.p ? f->path : SLD_STR(""));
    p->finding.message = sld_arena_str(&p->arena, f->message);
    p->finding.origin = sld_arena_str(&p->arena, f->origin.p ? f->origin : SLD_STR(""));
}

// ---- Rounds ----

bool sld_translate_pending(const struct sld_translate *t)
{
    return t->changes->troubled || t->confirmed.live || sld_flow_pending(t->flow);
}

static const struct sld_status *flow_status(const struct sld_translate *t, sld_id key)
{
    struct sld_ident id;
    return sld_ident_parse(sld_flow_key_str(t->flow, key), &id)
               ? sld_flow_get(t->status[id.kind], key)
               : NULL;
}

// Tells of troubles that came or went since the last run.
static void tell_troubles(struct sld_translate *t)
{
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->troubles, &at));) {
        struct trouble *p = s->value;
        sld_id key = (sld_id)s->key;
        const struct sld_status *status = flow_status(t, key);
        if (!p->news)
            continue;
        p->news = false;
        enum sld_status_state before = p->status ? p->told : status ? status->state : SLD_PENDING;
        if (p->gone) {
            if (status)
                tell_status(t, key, before, status);
            trouble_free(p);
            sld_umap_remove(&t->troubles, key);
            continue;
        }
        trouble_join(p, status);
        p->told = p->status->state;
        tell_status(t, key, before, p->status);
    }
    t->changes->troubled = false;
}

// Tells of documents refused since the last run, and of the forms that took their places.
static void tell_refusals(struct sld_translate *t, struct sld_translate_result *r)
{
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->barred, &at));) {
        struct barred *b = s->value;
        struct sld_ident id;
        if (!b->news || !sld_ident_parse(sld_flow_key_str(t->flow, (sld_id)s->key), &id))
            continue;
        b->news = false;
        const struct sld_object *accepted = sld_flow_get(t->accepted[id.kind], (sld_id)s->key);
        struct sld_ident own = {id.kind, sld_arena_str(&r->arena, id.ns),
                                sld_arena_str(&r->arena, id.name)};
        struct sld_accept_change c = {.id = own,
                                      .raw = sld_obj_ref(accepted ? accepted->raw : NULL)};
        SLD_PUSH(&r->arena, r->accepts, r->accept_count, c);
        struct sld_refusal f = {own, b->hash, sld_arena_str(&r->arena, b->build), sld_arena_str(&r->arena, b->words)};
        SLD_PUSH(&r->arena, r->refusals, r->refusal_count, f);
    }
}

static void list_views(struct sld_translate *t, struct sld_translate_result *r)
{
    size_t at = 0;
    sld_id key;
    for (const void *row; sld_flow_next(t->gateways, &at, &key, &row);) {
        const struct tr_gateway *g = row;
        for (size_t i = 0; i < g->bind_count; i++) {
            bool seen = false;
            for (size_t k = 0; k < r->view_count && !seen; k++)
                seen = sld_str_eq(r->views[k], g->binds[i].view);
            if (!seen)
                SLD_PUSH(&r->arena, r->views, r->view_count,
                         sld_arena_str(&r->arena, g->binds[i].view));
        }
    }
    r->views_changed = true;
    t->changes->gateways = false;
}

struct sld_str sld_translate_write_ns(const struct sld_translate *t)
{
    const struct sld_arena_obj *o =
        sld_flow_get(t->settings, sld_flow_key(t->flow, SLD_STR("settings")));
    const Gloo__Settings *s = o ? o->root : NULL;
    return s && s->discovery_namespace[0] ? sld_str_c(s->discovery_namespace)
                                          : SLD_STR("gloo-system");
}

static bool kept_out(enum sld_kind k, const struct sld_status *s)
{
    for (size_t i = 0; s && i < s->count; i++) {
        if (tr_keeps_out(k, &s->findings[i]))
            return true;
    }
    return false;
}

// Whether V's chain was in service when Solder ended. What was accepted since takes that away.
static bool was_served(const struct sld_translate *t, sld_id key, const struct tr_validity *v)
{
    const struct sld_hash *before = v ? sld_umap_get(&t->served_before, key) : NULL;
    return before && tr_mark_is_of(*before, v->chain);
}

// A document is accepted when it passed its own checks and lost nothing to another object (README:
// acceptance).
static void decide(struct sld_translate *t, enum sld_kind k, sld_id key,
                   struct sld_translate_result *r)
{
    const struct sld_object *raw = sld_flow_get(t->raw[k], key),
                            *accepted = sld_flow_get(t->accepted[k], key);
    const struct tr_validity *v = k == SLD_KIND_SECRET ? sld_flow_get(t->validity, key) : NULL;
    if (!raw || !raw->ok ||
        (kept_out(k, sld_flow_get(t->status[k], key)) && !was_served(t, key, v)))
        return;
    if (raw == accepted || (accepted && sld_hash_eq(raw->obj.hash, accepted->obj.hash)))
        return;
    sld_flow_set(t->accepted[k], key, counted(raw));
    const struct tr_cert *cert = k == SLD_KIND_SECRET ? sld_flow_get(t->certs, key) : NULL;
    struct sld_accept_change c = {
        .id = {k, sld_arena_str(&r->arena, raw->id.ns), sld_arena_str(&r->arena, raw->id.name)},
        .raw = sld_obj_ref(raw->raw),
        .chain = cert && (cert->has_cert || cert->has_ca) ? tr_mark(cert) : (struct sld_hash){0},
    };
    if (k == SLD_KIND_SECRET)
        sld_xfree(sld_umap_remove(&t->served_before, key));
    SLD_PUSH(&r->arena, r->accepts, r->accept_count, c);
}

static void add_round(struct sld_round *to, struct sld_round r)
{
    to->number = r.number;
    to->duration_ns += r.duration_ns;
    to->sources += r.sources;
    to->computed += r.computed;
    to->cut += r.cut;
}

// Lets go of deleted secrets that nothing refers to any more.
static void drop_orphans(struct sld_translate *t)
{
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->orphans, &at));) {
        sld_id key = (sld_id)s->key;
        bool back = sld_flow_get(t->raw[SLD_KIND_SECRET], key);
        if (!back && sld_flow_has_readers(t->secrets, key))
            continue;
        if (!back)
            sld_flow_delete(t->accepted[SLD_KIND_SECRET], key);
        sld_umap_remove(&t->orphans, key);
    }
}

// Remembers whether the default gateways are in service.
static void note_defaults(struct sld_translate *t)
{
    sld_id key = sld_flow_key(t->flow, SLD_STR("served"));
    bool served = sld_flow_count(t->default_gateways) > 0,
         known = sld_flow_get(t->defaults, key) != NULL;
    if (served && !known)
        sld_flow_set(t->defaults, key, t->yes);
    else if (!served && known)
        sld_flow_delete(t->defaults, key);
}

void sld_translate_run(struct sld_translate *t, struct sld_translate_result *r)
{
    t->changes->into = r;
    while (sld_flow_pending(t->flow)) {
        add_round(&r->round, sld_flow_run(t->flow));
        t->changes->ran = true;
        struct changes *c = t->changes;
        for (size_t i = 0; i < c->touched.count; i++)
            decide(t, c->touched.kinds[i], c->touched.ids[i], r);
        touched_empty(&c->touched);
        drop_orphans(t);
        note_defaults(t);
    }
    if (t->changes->troubled)
        tell_troubles(t);
    tell_refusals(t, r);
    tr_tell_confirmed(t, r);
    if (t->changes->gateways)
        list_views(t, r);
    r->write_ns = sld_arena_str(&r->arena, sld_translate_write_ns(t));
    t->changes->into = NULL;
    sld_objects_rest();
}

void sld_translate_result_fini(struct sld_translate_result *r)
{
    for (size_t i = 0; i < r->out_count; i++)
        SLD_UNREF(r->outs[i].res);
    for (size_t i = 0; i < r->status_count; i++)
        SLD_UNREF(r->statuses[i].status);
    for (size_t i = 0; i < r->accept_count; i++)
        SLD_UNREF(r->accepts[i].raw);
    for (size_t i = 0; i < r->conf_count; i++)
        SLD_UNREF(r->confs[i].conf);
    sld_arena_fini(&r->arena);
}

// ---- The oracle ----

static void build_fresh(struct sld_flow *fresh, void *arg)
{
    struct sld_translate *f = arg;
    f->flow = fresh;
    declare(f);
}

enum sld_rc sld_translate_verify(struct sld_translate *t, struct sld_err *err)
{
    struct sld_translate fresh = {
        .opt = t->opt, .served = t->served, .tables = tr_tables_create(), .yes = t->yes};
    enum sld_rc rc = sld_flow_verify(t->flow, build_fresh, &fresh, err);
    tr_tables_destroy(fresh.tables);
    SLD_UNREF(fresh.assigning);
    if (rc == SLD_OK && !tr_tables_sound(t->tables))
        rc = sld_err_set(err, SLD_INTERNAL, "a route table is not made of its virtual hosts");
    sld_objects_rest();
    return rc;
}

// The status of ROW with its trouble, if it has one.
const struct sld_status *tr_told_status(const struct sld_translate *t, sld_id key,
                                        const struct sld_status *row)
{
    const struct trouble *p = sld_umap_get(&t->troubles, key);
    return p && p->status && !p->gone && row ? p->status : row;
}

// Gateways: which there are, which listeners they have in which proxies, and what decides the
// virtual services they serve (gloo-compat 3.1, 3.2).
#include "translate/inside.h"

#include "google/protobuf/wrappers.pb-c.h"

static const char default_gateways_yaml[] = "apiVersion: gateway.solo.io/v1\n"
                                            "kind: Gateway\n"
                                            "metadata: {name: %s, namespace: %.*s}\n"
                                            "spec: {bindAddress: '%s', bindPort: %d, ssl: %s, "
                                            "httpGateway: {}, proxyNames: [gateway-proxy]}\n";

static void emit_default(struct tr *tr, const char *name, int port, bool ssl)
{
    struct sld_str ns = tr_write_ns(tr);
    const Gloo__Settings *s = tr_settings(tr);
    struct sld_str text =
        sld_arena_fmt(tr->arena, default_gateways_yaml, name, SLD_FMT(ns),
                      s->ip_v4_only ? "0.0.0.0" : "::", port, ssl ? "true" : "false");
    struct sld_ident id = {SLD_KIND_GATEWAY, ns, sld_str_c(name)};
    struct sld_doc_place place = {.path = SLD_STR("(default)"), .default_ns = ns};
    struct sld_raw *raw = sld_raw_create(id, text, 1, -1, SLD_STR("default gateway"), &place);
    struct sld_object *o = sld_object_decode(raw, NULL);
    SLD_UNREF(raw);
    SLD_INV(o->ok);
    struct sld_str key = tr_key(tr->arena, SLD_KIND_GATEWAY, ns, id.name);
    sld_ctx_emit(tr->ctx, sld_flow_key(tr->t->flow, key), o);
}

void tr_step_default_gateways(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)key;
    (void)in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    // A Gateway that was never accepted is one all the same: what it was meant to guard must not be
    // opened instead. Only default gateways that were in service before it was written stay.
    size_t n, written;
    sld_ctx_all(ctx, tr.t->obj[SLD_KIND_GATEWAY], &n);
    sld_ctx_all(ctx, tr.t->raw[SLD_KIND_GATEWAY], &written);
    bool served = sld_ctx_has(ctx, tr.t->defaults, sld_flow_key(tr.t->flow, SLD_STR("served")));
    if (n || (written && !served))
        return;
    emit_default(&tr, "gateway-proxy", 8080, false);
    emit_default(&tr, "gateway-proxy-ssl", 8443, true);
}

// The gateway's form in force, or the default one of that key.
static const struct sld_object *gateway_object(struct sld_translate *t, struct sld_ctx *ctx,
                                               sld_id key, bool *is_virtual)
{
    const struct sld_object *o = sld_ctx_get(ctx, t->obj[SLD_KIND_GATEWAY], key);
    *is_virtual = !o;
    return o ? o : sld_ctx_get(ctx, t->default_gateways, key);
}

static size_t proxy_count(const Gloo__Gateway *gw)
{
    return gw->n_proxy_names ? gw->n_proxy_names : 1;
}

static struct sld_str proxy_name(const Gloo__Gateway *gw, size_t i)
{
    return gw->n_proxy_names ? sld_str_c(gw->proxy_names[i]) : SLD_STR("gateway-proxy");
}

// The bind entries of a gateway: of two gateways on one port of one proxy only one can be served,
// whatever their addresses (gloo-compat 3.1).
static sld_id bind_entry(struct sld_translate *t, struct sld_str proxy, uint32_t port)
{
    return sld_flow_keyf(t->flow, "%.*s|%u", SLD_FMT(proxy), port);
}

static bool considered(struct tr *tr, const struct sld_object *o)
{
    const Gloo__Settings *s = tr_settings(tr);
    if (s->gateway && s->gateway->read_gateways_from_all_namespaces)
        return true;
    return sld_str_eq(o->id.ns, tr_write_ns(tr));
}

void tr_step_ports(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    bool is_virtual;
    const struct sld_object *o = gateway_object(tr.t, ctx, key, &is_virtual);
    if (!o || !considered(&tr, o))
        return;
    const Gloo__Gateway *gw = sld_object_msg(o);
    struct tr_ports *row = tr_row_create(sizeof(*row));
    struct sld_hasher h;
    sld_hasher_init(&h);
    row->port = gw->bind_port;
    row->count = proxy_count(gw);
    row->proxies = SLD_ARENA_ARRAY(&row->row.arena, struct sld_str, row->count);
    sld_hasher_add_u64(&h, gw->bind_port);
    for (size_t i = 0; i < row->count; i++) {
        row->proxies[i] = sld_arena_str(&row->row.arena, proxy_name(gw, i));
        sld_hasher_add_u64(&h, row->proxies[i].n);
        sld_hasher_add(&h, row->proxies[i]);
    }
    tr_row_finish(&tr, &row->row, sld_hasher_done(&h), NULL);
    sld_ctx_emit(ctx, key, row);
}

void tr_index_ports(sld_id key, const void *value, void (*add)(void *arg, sld_id entry), void *arg,
                    void *user)
{
    (void)key;
    const struct tr_ports *p = value;
    for (size_t i = 0; i < p->count; i++)
        add(arg, bind_entry(user, p->proxies[i], p->port));
}

void tr_index_accepted_bind(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                            void *arg, void *user)
{
    (void)key;
    const struct sld_object *o = value;
    const Gloo__Gateway *gw = sld_object_msg(o);
    for (size_t i = 0; i < proxy_count(gw); i++)
        add(arg, bind_entry(user, proxy_name(gw, i), gw->bind_port));
}

// The gateway that has PORT in PROXY: the first by key of those whose accepted form has it too, so
// that a newcomer takes nothing from a gateway in service; else the first by key.
static sld_id bind_owner(struct tr *tr, sld_id entry)
{
    size_t n, m;
    const struct sld_hit *hits = sld_ctx_lookup(tr->ctx, tr->t->ports_by_bind, entry, &n);
    if (n == 1)
        return hits[0].key;
    const struct sld_hit *old = sld_ctx_lookup(tr->ctx, tr->t->accepted_by_bind, entry, &m);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < m; k++) {
            if (hits[i].key == old[k].key)
                return hits[i].key;
        }
    }
    return n ? hits[0].key : 0;
}

static void gateway_free(struct sld_obj *o)
{
    struct tr_gateway *g = (struct tr_gateway *)o;
    SLD_UNREF(g->object);
    tr_row_free(&g->row);
}

static void port_taken(struct tr *tr, struct tr_gateway *g, struct tr_bind *b, sld_id owner)
{
    b->lost = true;
    struct sld_ident other;
    bool ok = sld_ident_parse(sld_flow_key_str(tr->t->flow, owner), &other);
    SLD_INV(ok);
    sld_report_add(tr_report(tr, g->key), SLD_ERROR, SLD_GW_PORT_CONFLICT, SLD_STR("bindPort"),
                   "Listener Error: BindPortNotUniqueError. Reason: port %u of proxy %.*s is used "
                   "by gateway %.*s.%.*s already; "
                   "give one of the two another bindPort",
                   g->gw->bind_port, SLD_FMT(b->proxy), SLD_FMT(other.ns), SLD_FMT(other.name));
}

static void take(struct tr_gateway *g, const struct sld_object *o)
{
    union {
        const struct sld_object *frozen;
        struct sld_object *counted;
    } u = {o}; // only the count of references changes
    SLD_UNREF(g->object);
    g->object = sld_obj_ref(u.counted);
    g->gw = sld_object_msg(o);
    g->ns = g->object->id.ns;
    g->name = g->object->id.name;
    g->bind_count = 0;
}

// Fills the binds of the form taken; returns how many another gateway has. SAY: each is a finding.
static size_t fill_binds(struct tr *tr, struct tr_gateway *g, sld_id key, bool say)
{
    struct sld_arena *a = &g->row.arena;
    struct sld_str ns = tr_write_ns(tr);
    size_t n = g->considered ? proxy_count(g->gw) : 0, lost = 0;
    g->binds = SLD_ARENA_ARRAY(a, struct tr_bind, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct tr_bind *b = &g->binds[g->bind_count++];
        b->proxy = sld_arena_str(a, proxy_name(g->gw, i));
        b->view = sld_arena_fmt(a, "%.*s~%.*s", SLD_FMT(ns), SLD_FMT(b->proxy));
        b->name = sld_arena_fmt(a, "listener-%s-%u", g->gw->bind_address, g->gw->bind_port);
        sld_id owner = bind_owner(tr, bind_entry(tr->t, b->proxy, g->gw->bind_port));
        if (owner == 0 || owner == key)
            continue;
        lost++;
        b->lost = true;
        if (say)
            port_taken(tr, g, b, owner);
    }
    return lost;
}

void tr_step_gateways(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    struct tr_gateway *g = tr_row_create(sizeof(*g));
    const struct sld_object *o = gateway_object(tr.t, ctx, key, &g->is_virtual);
    if (!o) {
        tr_row_free(&g->row);
        return;
    }
    take(g, o);
    g->key = sld_arena_str(&g->row.arena, sld_flow_key_str(tr.t->flow, key));
    g->considered = considered(&tr, o);
    if (fill_binds(&tr, g, key, true)) {
        // The form that was in service stays, where there is one.
        const struct sld_object *old = sld_ctx_get(ctx, tr.t->accepted[SLD_KIND_GATEWAY], key);
        if (old && !sld_hash_eq(old->obj.hash, o->obj.hash)) {
            take(g, old);
            fill_binds(&tr, g, key, false);
        }
    }
    struct sld_hash h = sld_hash_mix(g->object->obj.hash, sld_hash_bytes(tr_write_ns(&tr)));
    for (size_t i = 0; i < g->bind_count; i++)
        h = sld_hash_mix(h, (struct sld_hash){g->binds[i].lost, 2});
    if (!g->considered)
        sld_report_add(tr_report(&tr, g->key), SLD_WARNING, SLD_OPTION_UNUSED,
                       SLD_STR("metadata.namespace"),
                       "only gateways in namespace %.*s are served; move it there, or set "
                       "gateway.readGatewaysFromAllNamespaces "
                       "in Settings",
                       SLD_FMT(tr_write_ns(&tr)));
    tr_row_finish(&tr, &g->row, sld_hash_mix(h, (struct sld_hash){g->is_virtual, g->considered}),
                  gateway_free);
    sld_ctx_emit(ctx, key, g);
}

// ---- Projections ----

void tr_step_gw_select(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct tr_gateway *g = in;
    if (!g->considered || g->gw->gateway_type_case != GLOO__GATEWAY__GATEWAY_TYPE_HTTP_GATEWAY)
        return;
    const struct tr_bind *served = NULL;
    for (size_t i = 0; i < g->bind_count && !served; i++) {
        if (!g->binds[i].lost)
            served = &g->binds[i];
    }
    if (!served)
        return;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    struct tr_select *row = tr_row_create(sizeof(*row));
    Gloo__HttpGateway *http = sld_msg_copy(&row->row.arena, &g->gw->http_gateway->base);
    http->options = NULL;
    row->http = http;
    row->ssl = g->gw->ssl;
    row->key = sld_arena_str(&row->row.arena, g->key);
    row->proxy = sld_arena_str(&row->row.arena, served->proxy);
    for (size_t i = 0; i < http->n_virtual_services; i++) {
        const Gloo__ResourceRef *ref = http->virtual_services[i];
        struct sld_str ns = tr_ref_ns(ref, g->ns);
        if (tr_object(&tr, SLD_KIND_VIRTUAL_SERVICE, ns, sld_str_c(ref->name)))
            continue;
        struct sld_report *r = tr_report(&tr, g->key);
        struct sld_str path = sld_arena_fmt(tr.arena, "httpGateway.virtualServices[%zu]", i);
        sld_report_add(r, SLD_ERROR, SLD_REF_VIRTUAL_SERVICE, path,
                       "virtual service %.*s.%s not found; %s", SLD_FMT(ns), ref->name,
                       tr_mend_ref(&tr, SLD_KIND_VIRTUAL_SERVICE, ns, sld_str_c(ref->name)));
    }
    struct sld_hash h = sld_hash_mix(sld_msg_hash(&http->base), (struct sld_hash){row->ssl, 1});
    h = sld_hash_mix(h, sld_hash_bytes(row->proxy));
    tr_row_finish(&tr, &row->row, h, NULL);
    sld_ctx_emit(ctx, key, row);
}

static bool has_port(const struct tr_gateway *g)
{
    for (size_t i = 0; i < g->bind_count; i++) {
        if (!g->binds[i].lost)
            return true;
    }
    return false;
}

static void not_live(struct tr *tr, const struct tr_gateway *g, bool http)
{
    struct sld_report *r = tr_report(tr, g->key);
    if (http)
        sld_report_add(r, SLD_NOTE, SLD_GW_EMPTY, SLD_STR(""),
                       "no virtual service is selected, so the port is not opened; add one, or "
                       "correct the selection (%s)",
                       g->gw->ssl ? "ssl: true takes those with sslConfig"
                                  : "ssl: false takes those without sslConfig");
    else
        sld_report_add(r, SLD_NOTE, SLD_GW_EMPTY, SLD_STR("tcpGateway"),
                       "there are no tcpHosts, so the port is not opened; add one");
}

// A gateway without virtual services opens no port (gloo-compat 9.1.12).
void tr_step_live(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct tr_gateway *g = in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    size_t n;
    sld_ctx_lookup(ctx, tr.t->attach_by_gateway, key, &n);
    const Gloo__Settings *s = tr_settings(&tr);
    bool empty_too = s->gateway && s->gateway->translate_empty_gateways &&
                     s->gateway->translate_empty_gateways->value;
    bool http = g->gw->gateway_type_case == GLOO__GATEWAY__GATEWAY_TYPE_HTTP_GATEWAY;
    bool tcp = g->gw->gateway_type_case == GLOO__GATEWAY__GATEWAY_TYPE_TCP_GATEWAY;
    bool live = (tcp && g->gw->tcp_gateway->n_tcp_hosts) || (http && (n || empty_too));
    struct tr_live *row = tr_row_create(sizeof(*row));
    row->live = live;
    if (!live && (http || tcp) && has_port(g) && !g->is_virtual)
        not_live(&tr, g, http);
    tr_row_finish(&tr, &row->row, (struct sld_hash){live, 1}, NULL);
    sld_ctx_emit(ctx, key, row);
}

bool tr_gateway_live(struct tr *tr, sld_id key)
{
    const struct tr_live *l = sld_ctx_get(tr->ctx, tr->t->live, key);
    return l && l->live;
}

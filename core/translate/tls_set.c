// The TLS configurations of each HTTPS gateway: what its virtual services ask for, put together
// (gloo-compat 3.4).
#include "translate/inside.h"

#include <stdlib.h>

// The TLS part of a virtual service at a gateway; key as its attach row. The rest of the virtual
// service may change without waking the listener.
struct vs_tls {
    struct tr_row row;
    struct sld_str gateway, vs;    // keys
    const Gloo__SslConfig *config; // complete: namespace of the secret, defaults of Settings
    struct sld_hash same; // of config without its server names: equal ones share a filter chain
};

// ---- One virtual service ----

static Gloo__SslConfig *complete(struct tr *tr, struct sld_arena *a, const Gloo__SslConfig *written,
                                 struct sld_str ns)
{
    Gloo__SslConfig *c = sld_msg_copy(a, &written->base);
    if (c->ssl_secrets_case == GLOO__SSL_CONFIG__SSL_SECRETS_SECRET_REF &&
        !c->secret_ref->namespace_[0])
        c->secret_ref->namespace_ = sld_arena_cstr(a, ns);
    if (!c->one_way_tls) {
        const Gloo__Settings *s = tr_settings(tr);
        const Gloo__GatewayOptions__VirtualServiceOptions *o =
            s->gateway ? s->gateway->virtual_service_options : NULL;
        if (o && o->one_way_tls)
            c->one_way_tls = sld_msg_bool(a, o->one_way_tls->value);
    }
    return c;
}

static struct sld_hash hash_without_names(const Gloo__SslConfig *c)
{
    Gloo__SslConfig copy = *c;
    copy.sni_domains = NULL;
    copy.n_sni_domains = 0;
    return sld_msg_hash(&copy.base);
}

bool tr_has_tls(const void *value)
{
    return ((const struct tr_attach *)value)->ssl;
}

void tr_step_vs_tls(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct tr_attach *at = in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const struct sld_object *o =
        sld_ctx_get(ctx, tr.t->obj[SLD_KIND_VIRTUAL_SERVICE], at->vs);
    const Gloo__VirtualService *vs = o ? sld_object_msg(o) : NULL;
    if (!vs || !vs->ssl_config)
        return;
    struct vs_tls *row = tr_row_create(sizeof(*row));
    struct sld_arena *a = &row->row.arena;
    row->gateway = sld_flow_key_str(tr.t->flow, at->gateway);
    row->vs = sld_flow_key_str(tr.t->flow, at->vs);
    Gloo__SslConfig *c = complete(&tr, a, vs->ssl_config, o->id.ns);
    row->config = c;
    row->same = hash_without_names(c);
    tr_row_finish(&tr, &row->row, sld_msg_hash(&c->base), NULL);
    sld_ctx_emit(ctx, key, row);
}

void tr_index_vs_tls_gateway(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                             void *arg, void *user)
{
    (void)key;
    const struct vs_tls *row = value;
    struct sld_translate *t = user;
    add(arg, sld_flow_key(t->flow, row->gateway));
}

// ---- All of a gateway ----

// Virtual services with the same configuration.
struct group {
    struct sld_hash same;
    const struct vs_tls *first;
    struct sld_str *vs;
    size_t vs_count;
    bool all; // serves names that nobody else does
    struct sld_str *names;
    size_t name_count;
};

// A virtual service among all that contend for names.
struct member {
    const struct vs_tls *row;
    struct group *group;
};

struct sets {
    struct tr *tr;
    const struct tr_gateway *gateway;
    struct member *members;
    size_t member_count;
    struct group *groups;
    size_t group_count;
    struct sld_map owners; // server name -> member
};

static struct sld_str lower(struct sld_arena *a, const char *text)
{
    char *s = sld_arena_cstr(a, sld_str_c(text));
    for (char *p = s; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
    return sld_str_c(s);
}

// No server names, or "*", means all.
static bool wants_all(const Gloo__SslConfig *c)
{
    bool all = c->n_sni_domains == 0;
    for (size_t i = 0; i < c->n_sni_domains; i++)
        all = all || !strcmp(c->sni_domains[i], "*");
    return all;
}

static void divide(struct sets *s, const struct sld_hit *hits, size_t n)
{
    struct sld_arena *a = s->tr->arena;
    s->members = SLD_ARENA_ARRAY(a, struct member, n);
    s->groups = SLD_ARENA_ARRAY(a, struct group, n);
    struct sld_map by_hash = {0};
    for (size_t i = 0; i < n; i++) {
        const struct vs_tls *row = hits[i].value;
        struct sld_str hash = {(const char *)&row->same, sizeof(row->same)};
        struct group *g = sld_map_get(&by_hash, hash);
        if (!g) {
            g = &s->groups[s->group_count++];
            g->same = row->same;
            g->first = row;
            sld_map_set(&by_hash, hash, g);
        }
        SLD_PUSH(a, g->vs, g->vs_count, row->vs);
        s->members[s->member_count++] = (struct member){row, g};
    }
    sld_map_fini(&by_hash);
}

static void conflict(struct sets *s, const struct member *loser, const struct member *owner,
                     struct sld_str name)
{
    struct sld_ident mine, other;
    bool ok = sld_ident_parse(loser->row->vs, &mine) && sld_ident_parse(owner->row->vs, &other);
    SLD_INV(ok);
    struct sld_str what = name.n ? sld_arena_fmt(s->tr->arena, "server name %.*s", SLD_FMT(name))
                                 : SLD_STR("all server names (no sniDomains)");
    sld_report_add(
        tr_report(s->tr, loser->row->vs), SLD_ERROR, SLD_GW_SNI_CONFLICT,
        SLD_STR("sslConfig.sniDomains"),
        "Listener Error: SSLConfigError. Reason: %.*s: virtual service %.*s.%.*s has that with "
        "another TLS "
        "configuration, and keeps it; give the two different sniDomains, or the same sslConfig",
        SLD_FMT(what), SLD_FMT(other.ns), SLD_FMT(other.name));
    sld_report_add(tr_report(s->tr, s->gateway->key), SLD_WARNING, SLD_GW_SNI_CONFLICT, SLD_STR(""),
                   "Listener Warning: SSLConfigError. Reason: virtual services %.*s.%.*s and "
                   "%.*s.%.*s have different TLS "
                   "configurations for %.*s; the first is served",
                   SLD_FMT(other.ns), SLD_FMT(other.name), SLD_FMT(mine.ns), SLD_FMT(mine.name),
                   SLD_FMT(what));
}

// The first by key without server names serves all; its group needs no names then.
static void give_all(struct sets *s)
{
    const struct member *owner = NULL;
    for (size_t i = 0; i < s->member_count; i++) {
        const struct member *m = &s->members[i];
        if (!wants_all(m->row->config))
            continue;
        if (!owner) {
            owner = m;
            m->group->all = true;
        } else if (m->group != owner->group) {
            conflict(s, m, owner, SLD_STR(""));
        }
    }
}

static void give_name(struct sets *s, struct member *m, struct sld_str name)
{
    struct member *owner = sld_map_get(&s->owners, name);
    if (!owner) {
        sld_map_set(&s->owners, name, m);
        SLD_PUSH(s->tr->arena, m->group->names, m->group->name_count, name);
    } else if (owner->group != m->group) {
        conflict(s, m, owner, name);
    }
}

static void give_names(struct sets *s)
{
    for (size_t i = 0; i < s->member_count; i++) {
        struct member *m = &s->members[i];
        const Gloo__SslConfig *c = m->row->config;
        for (size_t k = 0; !m->group->all && !wants_all(c) && k < c->n_sni_domains; k++)
            give_name(s, m, lower(s->tr->arena, c->sni_domains[k]));
    }
}

static int by_str(const void *x, const void *y)
{
    return sld_str_cmp(*(const struct sld_str *)x, *(const struct sld_str *)y);
}

static void add_item(struct tr_tls_set *set, const struct group *g, struct sld_hasher *h)
{
    struct sld_arena *a = &set->row.arena;
    Gloo__SslConfig *c = sld_msg_copy(a, &g->first->config->base);
    c->n_sni_domains = 0;
    c->sni_domains = SLD_ARENA_ARRAY(a, char *, g->name_count);
    if (g->name_count)
        qsort(g->names, g->name_count, sizeof(*g->names), by_str);
    for (size_t i = 0; !g->all && i < g->name_count; i++)
        c->sni_domains[c->n_sni_domains++] = sld_arena_cstr(a, g->names[i]);
    struct tr_tls *item = &set->items[set->count++];
    item->config = c;
    item->vs = SLD_ARENA_ARRAY(a, struct sld_str, g->vs_count);
    struct sld_hash hash = sld_msg_hash(&c->base);
    sld_hasher_add_u64(h, hash.lo);
    sld_hasher_add_u64(h, hash.hi);
    for (size_t i = 0; i < g->vs_count; i++) {
        item->vs[item->vs_count++] = sld_arena_str(a, g->vs[i]);
        sld_hasher_add_u64(h, g->vs[i].n);
        sld_hasher_add(h, g->vs[i]);
    }
}

void tr_step_tls_sets(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct tr_gateway *g = in;
    if (!g->gw->ssl || g->gw->gateway_type_case != GLOO__GATEWAY__GATEWAY_TYPE_HTTP_GATEWAY)
        return;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    struct sets s = {.tr = &tr, .gateway = g};
    size_t n;
    const struct sld_hit *hits = sld_ctx_lookup(ctx, tr.t->vs_tls_by_gateway, key, &n);
    divide(&s, hits, n);
    give_all(&s);
    give_names(&s);
    struct tr_tls_set *set = tr_row_create(sizeof(*set));
    set->items = SLD_ARENA_ARRAY(&set->row.arena, struct tr_tls, s.group_count);
    struct sld_hasher h;
    sld_hasher_init(&h);
    // In order of their first virtual service; a configuration that lost all its names is left out.
    for (size_t i = 0; i < s.group_count; i++) {
        if (s.groups[i].all || s.groups[i].name_count)
            add_item(set, &s.groups[i], &h);
    }
    sld_map_fini(&s.owners);
    tr_row_finish(&tr, &set->row, sld_hasher_done(&h), NULL);
    sld_ctx_emit(ctx, key, set);
}

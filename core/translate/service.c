// Upstreams of services that discovery found (gloo-compat 4.1, 4.2, 4.4): those in memory that
// stand for destinations, those discovered, and those discovered that users edited.
#include "translate/service.h"

// ---- Names ----

enum { NAME_MAX_BYTES = 63, NAME_HEAD = 31 };

static bool dropped(char c)
{
    return c == '[' || c == ']' || c == '\n' || c == '"' || c == '\'';
}

struct sld_str tr_sanitise(struct sld_arena *a, struct sld_str name)
{
    char *out = sld_arena_alloc(a, name.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++) {
        if (dropped(name.p[i]))
            continue;
        out[n++] = memchr("*/.:_ ", name.p[i], 6) ? '-' : name.p[i];
    }
    struct sld_str s = sld_str_n(out, n);
    if (n > NAME_MAX_BYTES) {
        struct sld_str sum = sld_md5_hex(a, s);
        s = sld_arena_fmt(a, "%.*s-%.*s", NAME_HEAD, s.p, NAME_HEAD, sum.p);
    }
    char *lower = sld_arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        lower[i] = lower[i] >= 'A' && lower[i] <= 'Z' ? (char)(lower[i] + 32) : lower[i];
    return sld_str_n(lower, s.n);
}

static struct sld_str tls_name(struct sld_arena *a, struct sld_str service)
{
    return sld_arena_fmt(a, "%.*s-tls", SLD_FMT(service));
}

void tr_index_services(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                       void *arg, void *user)
{
    (void)key;
    struct sld_translate *t = user;
    struct sld_str name = ((const struct sld_service *)value)->name;
    struct sld_arena a = {0};
    sld_id plain = sld_flow_key(t->flow, tr_sanitise(&a, name)),
           tls = sld_flow_key(t->flow, tr_sanitise(&a, tls_name(&a, name)));
    add(arg, plain);
    if (tls != plain)
        add(arg, tls);
    sld_arena_fini(&a);
}

// ---- What Settings say ----

struct rules {
    const Gloo__Settings *settings;
    const Gloo__ConsulUpstreamDiscoveryConfiguration *consul; // never NULL
    const Gloo__DiscoveryOptions__UdsOptions *uds;            // or NULL
    struct sld_str tls_tag;
};

bool tr_consul_on(const Gloo__Settings *s)
{
    return s->consul && s->consul->service_discovery;
}

static bool uds_on(const Gloo__Settings *s)
{
    const Gloo__DiscoveryOptions__UdsOptions *u = s->discovery ? s->discovery->uds_options : NULL;
    return tr_consul_on(s) && (!u || !u->enabled || u->enabled->value);
}

bool tr_may_be_found(struct tr *tr, struct sld_str ns)
{
    return uds_on(tr_settings(tr)) && sld_str_eq(ns, tr_write_ns(tr)) &&
           tr_catalog(tr, TR_CONSUL) != SLD_CATALOG_TOLD;
}

static struct rules rules_of(const Gloo__Settings *s)
{
    static const Gloo__ConsulUpstreamDiscoveryConfiguration none =
        GLOO__CONSUL_UPSTREAM_DISCOVERY_CONFIGURATION__INIT;
    struct rules r = {.settings = s,
                      .consul = s->consuldiscovery ? s->consuldiscovery : &none,
                      .uds = s->discovery ? s->discovery->uds_options : NULL};
    r.tls_tag = *r.consul->tlstagname ? sld_str_c(r.consul->tlstagname) : SLD_STR("glooUseTls");
    return r;
}

static bool has_tag(const struct sld_service *s, struct sld_str tag)
{
    for (size_t i = 0; i < s->tag_count; i++) {
        if (sld_str_eq(s->tags[i], tag))
            return true;
    }
    return false;
}

static bool allowed(const struct rules *r, const struct sld_service *s)
{
    for (size_t i = 0; i < r->consul->n_service_tags_allowlist; i++) {
        if (has_tag(s, sld_str_c(r->consul->service_tags_allowlist[i])))
            return true;
    }
    return r->consul->n_service_tags_allowlist == 0;
}

// The labels of a service are its tags: "key=value", or "key" for an empty value.
static bool labelled(struct sld_arena *a, const struct rules *r, const struct sld_service *s)
{
    for (size_t i = 0; r->uds && i < r->uds->n_watch_labels; i++) {
        struct sld_str key = sld_str_c(r->uds->watch_labels[i]->key),
                       value = sld_str_c(r->uds->watch_labels[i]->value);
        bool is = has_tag(s, sld_arena_fmt(a, "%.*s=%.*s", SLD_FMT(key), SLD_FMT(value)));
        if (!is && (value.n || !has_tag(s, key)))
            return false;
    }
    return true;
}

// Whether S has the upstream with TLS, or the one without.
static bool has_variant(const struct rules *r, const struct sld_service *s, bool tls)
{
    bool tagged = r->consul->usetlstagging && has_tag(s, r->tls_tag);
    return tls ? tagged : !tagged || r->consul->splittlsservices;
}

// ---- Upstreams ----

static char **texts(struct sld_arena *a, const struct sld_str *in, size_t n)
{
    char **out = SLD_ARENA_ARRAY(a, char *, n);
    for (size_t i = 0; i < n; i++)
        out[i] = sld_arena_cstr(a, in[i]);
    return out;
}

static char **one_text(struct sld_arena *a, struct sld_str s)
{
    return texts(a, &s, 1);
}

static Gloo__ConsulUpstream *spec_of(struct sld_arena *a, const struct rules *r,
                                     const struct sld_service *s, bool tls)
{
    Gloo__ConsulUpstream *c = SLD_MSG(a, Gloo__ConsulUpstream, gloo__consul_upstream);
    c->service_name = sld_arena_cstr(a, s->name);
    c->service_tags = texts(a, s->tags, s->tag_count);
    c->n_service_tags = s->tag_count;
    c->data_centers = texts(a, s->datacenters, s->datacenter_count);
    c->n_data_centers = s->datacenter_count;
    c->consistencymode = r->consul->consistencymode;
    c->query_options = r->consul->query_options;
    bool split = r->consul->usetlstagging && r->consul->splittlsservices;
    if (split && tls) {
        c->instance_tags = one_text(a, r->tls_tag);
        c->n_instance_tags = 1;
    } else if (split && has_tag(s, r->tls_tag)) {
        c->instance_blacklist_tags = one_text(a, r->tls_tag);
        c->n_instance_blacklist_tags = 1;
    }
    return c;
}

static Gloo__UpstreamSslConfig *tls_of(struct sld_arena *a, const struct rules *r)
{
    Gloo__UpstreamSslConfig *c = SLD_MSG(a, Gloo__UpstreamSslConfig, gloo__upstream_ssl_config);
    c->ssl_secrets_case = GLOO__UPSTREAM_SSL_CONFIG__SSL_SECRETS_SECRET_REF;
    c->secret_ref =
        r->consul->rootca ? r->consul->rootca : SLD_MSG(a, Gloo__ResourceRef, gloo__resource_ref);
    return c;
}

static void add_label(struct sld_arena *a, Gloo__Metadata *m, const char *key, const char *value)
{
    Gloo__Metadata__LabelsEntry *e =
        SLD_MSG(a, Gloo__Metadata__LabelsEntry, gloo__metadata__labels_entry);
    e->key = sld_arena_cstr(a, sld_str_c(key));
    e->value = sld_arena_cstr(a, sld_str_c(value));
    SLD_PUSH(a, m->labels, m->n_labels, e);
}

static const struct sld_service *service_named(struct tr *tr, struct sld_str name)
{
    return sld_ctx_get(tr->ctx, tr->t->services, tr_service_key(tr->t, TR_CONSUL, name));
}

// What was asked for, and what there is.
struct found {
    const struct sld_service *service; // NULL: nothing
    bool tls;
};

static struct found find_in_memory(struct tr *tr, const struct rules *r, struct sld_str name)
{
    struct found f = {.service = service_named(tr, name)};
    if (f.service && allowed(r, f.service) && has_variant(r, f.service, false))
        return f;
    if (!r->consul->usetlstagging || !sld_str_ends(name, SLD_STR("-tls")))
        return (struct found){0};
    f = (struct found){service_named(tr, sld_str_sub(name, 0, name.n - 4)), true};
    if (f.service && allowed(r, f.service) && has_variant(r, f.service, true))
        return f;
    return (struct found){0};
}

// Services whose names become the same name: the first by its own name has it, without TLS before
// with.
static struct found find_discovered(struct tr *tr, const struct rules *r, struct sld_str name)
{
    size_t n;
    const struct sld_hit *hits =
        sld_ctx_lookup(tr->ctx, tr->t->services_by_name, sld_flow_key(tr->t->flow, name), &n);
    for (size_t i = 0; i < 2 * n; i++) {
        struct found f = {hits[i % n].value, i >= n};
        struct sld_str own = f.tls ? tls_name(tr->arena, f.service->name) : f.service->name;
        if (sld_str_eq(tr_sanitise(tr->arena, own), name) && allowed(r, f.service) &&
            labelled(tr->arena, r, f.service) && has_variant(r, f.service, f.tls))
            return f;
    }
    return (struct found){0};
}

#define DISCOVERED_BY "discovered_by"
#define CONSUL_PLUGIN "consulplugin"

struct sld_object *tr_found_upstream(struct tr *tr, struct sld_str key)
{
    struct sld_ident id;
    const Gloo__Settings *s = tr_settings(tr);
    if (!tr_consul_on(s) || !sld_ident_parse(key, &id))
        return NULL;
    struct rules r = rules_of(s);
    bool in_memory = sld_str_eq(id.ns, SLD_STR(TR_CONSUL_NS)) &&
                     sld_str_starts(id.name, SLD_STR(SLD_CONSUL_UPSTREAM));
    struct found f = {0};
    if (in_memory)
        f = find_in_memory(tr, &r,
                           sld_str_sub(id.name, sizeof(SLD_CONSUL_UPSTREAM) - 1, id.name.n));
    else if (uds_on(s) && sld_str_eq(id.ns, tr_write_ns(tr)))
        f = find_discovered(tr, &r, id.name);
    if (!f.service)
        return NULL;
    struct sld_arena *a = tr->arena;
    Gloo__Upstream *u = SLD_MSG(a, Gloo__Upstream, gloo__upstream);
    u->metadata = SLD_MSG(a, Gloo__Metadata, gloo__metadata);
    u->metadata->name = sld_arena_cstr(a, id.name);
    u->metadata->namespace_ = sld_arena_cstr(a, id.ns);
    if (!in_memory)
        add_label(a, u->metadata, DISCOVERED_BY, CONSUL_PLUGIN);
    u->upstream_type_case = GLOO__UPSTREAM__UPSTREAM_TYPE_CONSUL;
    u->consul = spec_of(a, &r, f.service, f.tls);
    u->ssl_config = f.tls ? tls_of(a, &r) : NULL;
    return tr_unwritten(tr->t, id, &u->base, sld_arena_fmt(a, "consul:%s", u->consul->service_name));
}

// The keys of the upstreams that a service has become.
void tr_step_named(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)key;
    const struct sld_service *service = in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const Gloo__Settings *s = tr_settings(&tr);
    if (!tr_consul_on(s) || !tr_all_wanted(&tr))
        return;
    struct rules r = rules_of(s);
    struct sld_str ns = tr_write_ns(&tr);
    for (int tls = 0; tls < 2; tls++) {
        if (!allowed(&r, service) || !has_variant(&r, service, tls))
            continue;
        struct sld_str name = tls ? tls_name(tr.arena, service->name) : service->name;
        struct sld_flow *f = tr.t->flow;
        sld_id memory = sld_flow_keyf(f, "upstreams/" TR_CONSUL_NS "/" SLD_CONSUL_UPSTREAM "%.*s",
                                      SLD_FMT(name));
        sld_id found = sld_flow_keyf(f, "upstreams/%.*s/%.*s", SLD_FMT(ns),
                                     SLD_FMT(tr_sanitise(tr.arena, name)));
        sld_ctx_emit(ctx, memory, sld_obj_ref(tr.t->yes));
        sld_ctx_emit(ctx, found, sld_obj_ref(tr.t->yes));
    }
}

// What the document says of the service counts, and SPEC where it says nothing.
static void fill(Gloo__ConsulUpstream *spec, const Gloo__ConsulUpstream *doc)
{
    Gloo__ConsulUpstream found = *spec;
    *spec = *doc;
    sld_msg_fill(&spec->base, &found.base);
}

const Gloo__Upstream *tr_upstream_msg(struct tr *tr, const struct sld_object *o)
{
    const Gloo__Upstream *u = sld_object_msg(o);
    if (u->upstream_type_case != GLOO__UPSTREAM__UPSTREAM_TYPE_CONSUL ||
        sld_str_starts(o->id.name, SLD_STR(SLD_CONSUL_UPSTREAM))) // none is discovered by such a name
        return u;
    const Gloo__Settings *s = tr_settings(tr);
    if (!uds_on(s) || !sld_str_eq(o->id.ns, tr_write_ns(tr)))
        return u;
    struct sld_arena *a = tr->arena;
    struct rules r = rules_of(s);
    const struct sld_service *service = service_named(tr, sld_str_c(u->consul->service_name));
    bool plain = service && sld_str_eq(tr_sanitise(a, service->name), o->id.name),
         tls = service && sld_str_eq(tr_sanitise(a, tls_name(a, service->name)), o->id.name);
    if ((!plain && !tls) || !has_variant(&r, service, tls))
        return u;
    Gloo__Upstream *own = SLD_ARENA_NEW(a, Gloo__Upstream);
    *own = *u;
    own->consul = spec_of(a, &r, service, tls);
    if (sld_str_eq(sld_metadata_label(u->metadata, SLD_STR(DISCOVERED_BY)),
                   SLD_STR(CONSUL_PLUGIN))) {
        // Gloo wrote down what it found then.
        own->consul->subset_tags = u->consul->subset_tags;
        own->consul->n_subset_tags = u->consul->n_subset_tags;
        own->consul->service_spec = u->consul->service_spec;
    } else {
        fill(own->consul, u->consul);
    }
    if (tls && !own->ssl_config)
        own->ssl_config = tls_of(a, &r);
    return own;
}

// ---- Subsets ----

// IN with PREFIX before each, once each, the first MAX of them; *LEFT_OUT: how many more there are.
static const char **prefixed(struct sld_arena *a, const char *prefix, char **in, size_t n, size_t max,
                             size_t *out_n, size_t *left_out)
{
    const char **out = SLD_ARENA_ARRAY(a, const char *, n < max ? n : max);
    struct sld_map seen = {0};
    *out_n = *left_out = 0;
    for (size_t i = 0; i < n; i++) {
        if (sld_map_get(&seen, sld_str_c(in[i])))
            continue;
        sld_map_set(&seen, sld_str_c(in[i]), in[i]);
        if (*out_n < max)
            out[(*out_n)++] = sld_arena_cstr(a, sld_arena_fmt(a, "%s%s", prefix, in[i]));
        else
            (*left_out)++;
    }
    sld_map_fini(&seen);
    return out;
}

void tr_consul_keys_of(struct sld_arena *a, const Gloo__ConsulUpstream *c,
                       struct tr_consul_keys *out)
{
    bool own = c->n_subset_tags > 0;
    out->tags = prefixed(a, "tag_", own ? c->subset_tags : c->service_tags,
                         own ? c->n_subset_tags : c->n_service_tags, TR_CONSUL_TAGS_MAX,
                         &out->tag_count, &out->tags_left_out);
    out->datacenters =
        prefixed(a, "dc_", c->data_centers, c->n_data_centers, TR_CONSUL_DATACENTERS_MAX,
                 &out->datacenter_count, &out->datacenters_left_out);
}

static void add_selector(struct sld_arena *a, Gloo__SubsetSpec *s, const char *const *keys,
                         size_t n, const char *const *more, size_t more_n)
{
    if (!n && !more_n)
        return;
    Gloo__SubsetSpec__Selector *sel =
        SLD_MSG(a, Gloo__SubsetSpec__Selector, gloo__subset_spec__selector);
    sel->keys = SLD_ARENA_ARRAY(a, char *, n + more_n);
    for (size_t i = 0; i < n; i++)
        sel->keys[sel->n_keys++] = sld_arena_cstr(a, sld_str_c(keys[i]));
    for (size_t i = 0; i < more_n; i++)
        sel->keys[sel->n_keys++] = sld_arena_cstr(a, sld_str_c(more[i]));
    SLD_PUSH(a, s->selectors, s->n_selectors, sel);
}

// By data centers, by tags, and by both.
static const Gloo__SubsetSpec *spec_of_keys(struct sld_arena *a, const struct tr_consul_keys *k)
{
    Gloo__SubsetSpec *s = SLD_MSG(a, Gloo__SubsetSpec, gloo__subset_spec);
    add_selector(a, s, k->datacenters, k->datacenter_count, NULL, 0);
    if (k->tag_count) {
        add_selector(a, s, k->tags, k->tag_count, NULL, 0);
        if (k->datacenter_count)
            add_selector(a, s, k->datacenters, k->datacenter_count, k->tags, k->tag_count);
    }
    return s->n_selectors ? s : NULL;
}

const Gloo__SubsetSpec *tr_subsets_of(struct sld_arena *a, const struct tr_upstream *u)
{
    return u->subsets ? u->subsets : spec_of_keys(a, &u->consul);
}

const Gloo__SubsetSpec *tr_subset_spec(struct sld_arena *a, const Gloo__Upstream *u)
{
    switch (u->upstream_type_case) {
    case GLOO__UPSTREAM__UPSTREAM_TYPE_STATIC:
        return u->static_->subset_spec;
    case GLOO__UPSTREAM__UPSTREAM_TYPE_KUBE:
        return u->kube->subset_spec;
    case GLOO__UPSTREAM__UPSTREAM_TYPE_CONSUL:
        break;
    default:
        return NULL;
    }
    struct tr_consul_keys k;
    tr_consul_keys_of(a, u->consul, &k);
    return spec_of_keys(a, &k);
}

// Adds each of KEYS: "1" for those that WANTED has behind PREFIX, else "0".
static void add_values(struct sld_arena *a, Gloo__Subset *s, const char *const *keys, size_t n,
                       size_t prefix, char *const *wanted, size_t wanted_n)
{
    for (size_t i = 0; wanted_n && i < n; i++) {
        bool is = false;
        for (size_t k = 0; k < wanted_n && !is; k++)
            is = !strcmp(keys[i] + prefix, wanted[k]);
        Gloo__Subset__ValuesEntry *e =
            SLD_MSG(a, Gloo__Subset__ValuesEntry, gloo__subset__values_entry);
        e->key = sld_arena_cstr(a, sld_str_c(keys[i]));
        e->value = sld_arena_cstr(a, is ? SLD_STR("1") : SLD_STR("0"));
        SLD_PUSH(a, s->values, s->n_values, e);
    }
}

struct Env__Core__Metadata *tr_consul_match(struct sld_arena *a, const struct tr_upstream *u,
                                            const Gloo__ConsulServiceDestination *d)
{
    Gloo__Subset *s = SLD_MSG(a, Gloo__Subset, gloo__subset);
    add_values(a, s, u->consul.datacenters, u->consul.datacenter_count, strlen("dc_"),
               d->data_centers, d->n_data_centers);
    add_values(a, s, u->consul.tags, u->consul.tag_count, strlen("tag_"), d->tags, d->n_tags);
    return tr_subset_match(a, s);
}

// Virtual hosts: one for each virtual service of each gateway, encoded once (gloo-compat 3.3,
// design section 5).
#include "translate/option.h"
#include "translate/route.h"

// ---- Domains ----

// What is in force at the gateway: the present form of the virtual service, or the accepted one
// with the domains left to it.
struct form {
    const struct sld_object *object; // NULL: nothing is
    struct sld_str *domains;
    size_t domain_count;
    bool conflict;
};

static struct sld_str text(struct tr *tr, sld_id key)
{
    return sld_flow_key_str(tr->t->flow, key);
}

// The attachments to GATEWAY that claim DOMAIN. Their keys begin with the gateway's, so they are
// neighbours in the entry.
static const struct sld_hit *claims(struct tr *tr, sld_id gateway, sld_id domain,
                                    size_t *n)
{
    size_t all, from = 0;
    const struct sld_hit *hits = sld_ctx_lookup(tr->ctx, tr->t->attach_by_domain, domain, &all);
    while (from < all && ((const struct tr_attach *)hits[from].value)->gateway != gateway)
        from++;
    *n = 0;
    while (from + *n < all && ((const struct tr_attach *)hits[from + *n].value)->gateway == gateway)
        (*n)++;
    return hits + from;
}

static sld_id claimer(const struct sld_hit *h)
{
    return ((const struct tr_attach *)h->value)->vs;
}

// Of N virtual services that claim DOMAIN the first whose accepted form has it too, so that a
// newcomer takes nothing from one in service; else the first. Both lists are in order of keys.
static sld_id domain_owner(struct tr *tr, sld_id domain, const struct sld_hit *hits, size_t n)
{
    if (n == 1)
        return claimer(&hits[0]);
    size_t m;
    const struct sld_hit *old = sld_ctx_lookup(tr->ctx, tr->t->accepted_by_domain, domain, &m);
    for (size_t i = 0, k = 0; i < n && k < m;) {
        int c = sld_str_cmp(text(tr, claimer(&hits[i])), text(tr, old[k].key));
        if (c == 0)
            return claimer(&hits[i]);
        if (c < 0)
            i++;
        else
            k++;
    }
    return claimer(&hits[0]);
}

static struct sld_str domain_path(struct tr *tr, const Gloo__VirtualHost *vh, struct sld_str domain)
{
    for (size_t i = 0; i < vh->n_domains; i++) {
        if (sld_str_ieq(sld_str_trim(sld_str_c(vh->domains[i])), domain))
            return sld_arena_fmt(tr->arena, "virtualHost.domains[%zu]", i);
    }
    return SLD_STR("virtualHost");
}

static struct sld_str ref_of_key(struct tr *tr, struct sld_str key)
{
    struct sld_ident id;
    return sld_ident_parse(key, &id) ? tr_ref_text(tr->arena, id.ns, id.name) : key;
}

static void domain_lost(struct tr *tr, const struct tr_attach *at, const Gloo__VirtualHost *vh,
                        struct sld_str domain, sld_id owner)
{
    struct sld_str other = ref_of_key(tr, text(tr, owner)), me = ref_of_key(tr, text(tr, at->vs));
    sld_report_add(tr_report(tr, text(tr, at->vs)), SLD_ERROR, SLD_VH_DOMAIN_CONFLICT,
                   domain_path(tr, vh, domain),
                   "domain conflict: the [%.*s] domain is present in other virtual services that "
                   "belong to the same Gateway as "
                   "this one: [%.*s]. %.*s has it; give each domain to one virtual service",
                   SLD_FMT(domain), SLD_FMT(other), SLD_FMT(other));
    sld_report_add(tr_report(tr, text(tr, at->gateway)), SLD_WARNING, SLD_VH_DOMAIN_CONFLICT,
                   SLD_STR("httpGateway"),
                   "domain conflict: the following domains are present in more than one of the "
                   "virtual services associated with "
                   "this gateway: [%.*s]. %.*s has it, %.*s does not get it",
                   SLD_FMT(domain), SLD_FMT(other), SLD_FMT(me));
}

// Whether the accepted form of a virtual service that lost a domain may have DOMAIN: nobody else
// claims it, and no other accepted form in the same state comes before.
static bool left_to(struct tr *tr, const struct tr_attach *at, sld_id domain)
{
    struct sld_translate *t = tr->t;
    size_t n, m;
    const struct sld_hit *hits = claims(tr, at->gateway, domain, &n);
    if (n)
        return domain_owner(tr, domain, hits, n) == at->vs;
    const struct sld_hit *old =
        sld_ctx_lookup(tr->ctx, t->accepted_by_domain, domain, &m);
    for (size_t i = 0; i < m; i++) {
        if (old[i].key == at->vs)
            return true;
        if (sld_ctx_has(tr->ctx, t->attach,
                        sld_flow_keyf(t->flow, "%.*s\n%.*s", SLD_FMT(text(tr, at->gateway)),
                                      SLD_FMT(text(tr, old[i].key)))))
            return false;
    }
    return true;
}

static void fall_back(struct tr *tr, const struct tr_attach *at, bool ssl, struct form *f)
{
    struct sld_translate *t = tr->t;
    const struct sld_object *old =
        sld_ctx_get(tr->ctx, t->accepted[SLD_KIND_VIRTUAL_SERVICE], at->vs);
    *f = (struct form){.conflict = true};
    if (!old || (((const Gloo__VirtualService *)sld_object_msg(old))->ssl_config != NULL) != ssl)
        return;
    struct sld_str *all;
    size_t n = tr_domains(tr->arena, sld_object_msg(old), &all);
    for (size_t i = 0; i < n; i++) {
        if (left_to(tr, at, sld_flow_key(t->flow, all[i])))
            all[f->domain_count++] = all[i];
    }
    f->domains = all;
    if (f->domain_count)
        f->object = old;
}

static struct form form_in_force(struct tr *tr, const struct tr_attach *at,
                                 const struct sld_object *o, bool ssl)
{
    const Gloo__VirtualService *vs = sld_object_msg(o);
    struct form f = {.object = o,
                     .domains = SLD_ARENA_ARRAY(tr->arena, struct sld_str, at->domain_count)};
    if (!vs->virtual_host) {
        sld_report_add(tr_report(tr, text(tr, at->vs)), SLD_WARNING, SLD_VH_NONE, SLD_STR(""),
                       "virtual service [%.*s] does not specify a virtual host, so it has no "
                       "effect; set virtualHost",
                       SLD_FMT(tr_ref_text(tr->arena, o->id.ns, o->id.name)));
        return (struct form){0};
    }
    bool lost = false;
    for (size_t i = 0; i < at->domain_count; i++) {
        size_t n;
        const struct sld_hit *hits = claims(tr, at->gateway, at->domains[i], &n);
        SLD_INV(n > 0); // this row is one of them
        sld_id owner = domain_owner(tr, at->domains[i], hits, n);
        f.domains[f.domain_count++] = text(tr, at->domains[i]);
        if (owner == at->vs)
            continue;
        lost = true;
        domain_lost(tr, at, vs->virtual_host, text(tr, at->domains[i]), owner);
    }
    if (lost)
        fall_back(tr, at, ssl, &f);
    return f;
}

// ---- Making ----

// "<ns>_<name>", dots as underscores, as Gloo sanitises it.
static struct sld_str vhost_name(struct tr *tr, struct sld_ident id)
{
    struct sld_str s = SLD_ARENA_JOIN(tr->arena, id.ns, SLD_STR("_"), id.name);
    char *p = sld_arena_cstr(tr->arena, s);
    for (size_t i = 0; i < s.n; i++) {
        if (p[i] == '.')
            p[i] = '_';
    }
    return sld_str_n(p, s.n);
}

// The options and those referred to: a field set before is never touched.
static const Gloo__VirtualHostOptions *merged_options(struct tr_build *b,
                                                      const Gloo__VirtualHost *vh)
{
    if (vh->external_options_config_case !=
        GLOO__VIRTUAL_HOST__EXTERNAL_OPTIONS_CONFIG_OPTIONS_CONFIG_REFS)
        return vh->options;
    Gloo__VirtualHostOptions *out =
        SLD_MSG(b->tr->arena, Gloo__VirtualHostOptions, gloo__virtual_host_options);
    if (vh->options)
        sld_msg_fill(&out->base, &vh->options->base);
    for (size_t i = 0; i < vh->options_config_refs->n_delegate_options; i++) {
        const Gloo__ResourceRef *ref = vh->options_config_refs->delegate_options[i];
        struct sld_str ns = tr_ref_ns(ref, b->vs.ns);
        const struct sld_object *o =
            tr_object(b->tr, SLD_KIND_VIRTUAL_HOST_OPTION, ns, sld_str_c(ref->name));
        if (!o) {
            struct sld_str path = sld_arena_fmt(
                b->tr->arena, "virtualHost.optionsConfigRefs.delegateOptions[%zu]", i);
            sld_report_add(
                b->vs.report, SLD_WARNING, SLD_REF_OPTION, path,
                "*v1.VirtualHostOption { %.*s.%s } not found; %s", SLD_FMT(ns), ref->name,
                tr_mend_ref(b->tr, SLD_KIND_VIRTUAL_HOST_OPTION, ns, sld_str_c(ref->name)));
            continue;
        }
        const Gloo__VirtualHostOption *msg = sld_object_msg(o);
        if (!msg->options)
            continue;
        Gloo__Extensions *own = out->extensions;
        sld_msg_fill(&out->base, &msg->options->base);
        out->extensions = tr_merge_extensions(b->tr->arena, own, msg->options->extensions);
    }
    return out;
}

static void apply_features(struct tr_build *b)
{
    const struct sld_translate_options *o = &b->tr->t->opt;
    struct sld_str before = sld_report_enter(b->vs.report, "virtualHost", -1);
    for (size_t i = 0; i < o->feature_count; i++) {
        if (o->features[i]->virtual_host)
            o->features[i]->virtual_host(&b->vhost);
    }
    sld_report_leave(b->vs.report, before);
}

// The last gate for the virtual host's own fields; routes have their own. A field that Envoy would
// refuse is left out; where that could let requests through that a filter must see, or where it has
// no name or domain, nothing is served.
static bool gate(struct tr_build *b, Env__Route__VirtualHost *vh)
{
    struct sld_report check = {.arena = b->tr->arena};
    sld_msg_check(&check, &vh->base, SLD_ENVOY_CONSTRAINT, NULL);
    bool ok = true;
    for (size_t i = 0; i < check.count; i++) {
        const struct sld_finding *f = &check.items[i];
        if (f->severity != SLD_ERROR)
            continue;
        sld_report_add(b->vs.report, SLD_ERROR, SLD_ENVOY_CONSTRAINT, SLD_STR("virtualHost"),
                       "VirtualHost Error: ProcessingError. Reason: Envoy would refuse %.*s: %.*s",
                       SLD_FMT(f->path), SLD_FMT(f->message));
        size_t n = 0;
        while (n < f->path.n && f->path.p[n] != '.' && f->path.p[n] != '[')
            n++;
        struct sld_str field = sld_str_sub(f->path, 0, n);
        int at = sld_msg_field_index(sld_msg_info(vh->base.descriptor), field);
        if (at < 0 || sld_str_eq(field, SLD_STR("name")) || sld_str_eq(field, SLD_STR("domains")) ||
            sld_str_eq(field, SLD_STR("typedPerFilterConfig")))
            ok = false;
        else
            sld_msg_field_clear(&vh->base, (unsigned)at);
    }
    return ok;
}

static Env__Route__VirtualHost *build(struct tr_build *b, const struct form *f, bool ssl)
{
    struct tr *tr = b->tr;
    const Gloo__VirtualHost *in =
        ((const Gloo__VirtualService *)sld_object_msg(f->object))->virtual_host;
    Env__Route__VirtualHost *vh =
        SLD_MSG(tr->arena, Env__Route__VirtualHost, env__route__virtual_host);
    vh->name = SLD_MSG_STR(tr->arena, b->name);
    vh->domains = SLD_ARENA_ARRAY(tr->arena, char *, f->domain_count);
    for (size_t i = 0; i < f->domain_count; i++)
        vh->domains[vh->n_domains++] = SLD_MSG_STR(tr->arena, f->domains[i]);
    if (ssl)
        vh->require_tls = ENV__ROUTE__VIRTUAL_HOST__TLS_REQUIREMENT_TYPE__ALL;
    b->vhost = (struct tr_vhost){.tr = tr,
                                 .ns = b->vs.ns,
                                 .report = b->vs.report,
                                 .options = merged_options(b, in),
                                 .vh = vh,
                                 .clusters = &b->clusters,
                                 .confs = &b->confs};
    tr_delegate(b, in);
    tr_routes(b);
    const Gloo__Settings *s = tr_settings(tr);
    if (s->gateway && s->gateway->validation &&
        s->gateway->validation->warn_route_short_circuiting &&
        s->gateway->validation->warn_route_short_circuiting->value)
        tr_shadowed(b);
    apply_features(b);
    tr_owners_flush(b);
    if (b->vhost.refused || !gate(b, vh))
        return NULL;
    vh->routes = b->routes;
    vh->n_routes = b->route_count;
    return vh;
}

// ---- The row ----

static void row_free(struct sld_obj *o)
{
    struct tr_vhost_row *row = (struct tr_vhost_row *)o;
    tr_confs_drop(&row->confs);
    if (row->secret)
        sld_arena_fini_secret(&row->row.arena);
    tr_row_free(&row->row);
}

static struct sld_hash row_hash(const struct tr_vhost_row *row)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, row->content.lo);
    sld_hasher_add_u64(&h, row->content.hi);
    sld_hasher_add_u64(&h, (uint64_t)row->secret | (uint64_t)row->conflict << 1 |
                               (uint64_t)(row->bytes.n > 0) << 2 | (uint64_t)row->guessed << 3);
    for (size_t i = 0; i < row->cluster_count; i++) {
        sld_hasher_add_u64(&h, row->clusters[i].n);
        sld_hasher_add(&h, row->clusters[i]);
    }
    return row->confs.count ? sld_hash_mix(sld_hasher_done(&h), tr_confs_hash(&row->confs)) : sld_hasher_done(&h);
}

static void emit(struct tr_build *b, sld_id key, const struct tr_attach *at, const struct form *f,
                 const Env__Route__VirtualHost *vh)
{
    struct tr *tr = b->tr;
    struct sld_str bytes = vh ? sld_msg_encode(tr->arena, &vh->base) : SLD_STR("");
    size_t clusters = vh ? tr_clusters_done(tr->t, &b->clusters) : 0;
    struct tr_vhost_row *row = tr_row_create_with(
        sizeof(*row), bytes.n + 8 + clusters * sizeof(struct sld_str) + tr_room_of_uses(tr));
    struct sld_arena *a = &row->row.arena;
    row->gateway = at->gateway;
    row->vs = at->vs;
    row->bytes = sld_arena_str(a, bytes);
    row->content = sld_hash_bytes(row->bytes);
    row->clusters = SLD_ARENA_ARRAY(a, struct sld_str, clusters);
    for (size_t i = 0; i < clusters; i++)
        row->clusters[row->cluster_count++] = b->clusters.items[i];
    row->secret = tr->tainted;
    row->conflict = f->conflict;
    row->guessed = b->guessed;
    if (vh)
        row->confs = tr_confs_copy(a, &b->confs);
    tr_confs_drop(&b->confs);
    tr_row_finish(tr, &row->row, row_hash(row), row->secret || row->confs.count ? row_free : NULL);
    sld_ctx_emit(tr->ctx, key, row);
}

void tr_step_vhosts(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct tr_attach *at = in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const struct tr_select *sel = sld_ctx_get(ctx, tr.t->gw_select, at->gateway);
    struct sld_ident id = sld_ident_of_key(text(&tr, at->vs)),
                     gw = sld_ident_of_key(text(&tr, at->gateway));
    const struct sld_object *o = tr_object(&tr, SLD_KIND_VIRTUAL_SERVICE, id.ns, id.name);
    if (!sel || !o)
        return; // the attachment goes in the same round
    struct form f = form_in_force(&tr, at, o, sel->ssl);
    struct tr_build b = {
        .tr = &tr, .gateway = gw.name, .proxy = sel->proxy, .name = vhost_name(&tr, id)};
    // What is found in a form that is no longer the present one is not told: its places are not in
    // the document.
    struct sld_report past = {.arena = tr.arena};
    b.vs = (struct tr_owner){.kind = id.kind,
                             .ns = id.ns,
                             .name = id.name,
                             .report = f.conflict ? &past : tr_report(&tr, text(&tr, at->vs))};
    b.replace = tr_replaces_invalid(&tr);
    b.any = SLD_MSG(tr.arena, Gloo__Matcher, gloo__matcher);
    b.any->path_specifier_case = GLOO__MATCHER__PATH_SPECIFIER_PREFIX;
    b.any->prefix = SLD_MSG_STR(tr.arena, SLD_STR("/"));
    emit(&b, key, at, &f, f.object ? build(&b, &f, sel->ssl) : NULL);
}

void tr_index_vhost_gateway(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                            void *arg, void *user)
{
    (void)key;
    (void)user;
    add(arg, ((const struct tr_vhost_row *)value)->gateway);
}

// Statuses: all findings about one object, and refusals of Envoys.
#include "translate/inside.h"

// ---- Refusals ----

static bool is(struct sld_str key, const char *prefix)
{
    return sld_str_starts(key, sld_str_c(prefix));
}

struct sld_table *tr_out_table(const struct sld_translate *t, struct sld_str key,
                               enum sld_kind *owner)
{
    enum sld_kind none, *kind = owner ? owner : &none;
    if (is(key, "cds\n\nextra:") || is(key, "sds\n\nextra:")) { // of plugins
        *kind = SLD_KIND_PLUGIN;
        return t->out_extras;
    }
    // Certificates in files are made beside what uses them (tls_files.c).
    if (is(key, "sds\n\nfiles/listener/") || is(key, "lds\n")) {
        *kind = SLD_KIND_GATEWAY;
        return t->out_listeners;
    }
    if (is(key, "sds\n\nfiles/cluster/") || is(key, "cds\n")) {
        *kind = SLD_KIND_UPSTREAM;
        return t->out_clusters;
    }
    if (is(key, "sds\n")) {
        *kind = SLD_KIND_SECRET;
        return t->out_secrets;
    }
    if (is(key, "eds\n")) {
        *kind = SLD_KIND_UPSTREAM;
        return t->out_endpoints;
    }
    *kind = SLD_KIND_VIRTUAL_SERVICE;
    return t->out_routes;
}

void tr_step_refusals(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const struct tr_refused *f = in;
    enum sld_kind owner;
    struct sld_table *table = tr_out_table(tr.t, sld_flow_key_str(tr.t->flow, key), &owner);
    // Route tables are isolated by nack.c.
    const struct tr_out *row = table != tr.t->out_routes ? sld_ctx_get(ctx, table, key) : NULL;
    if (!row || !row->out || !sld_hash_eq(row->out->content, f->content))
        return;
    for (size_t i = 0; i < row->out->owner_count; i++) {
        struct sld_ident id;
        struct sld_str who = sld_str_c(row->out->owners[i]);
        if (!sld_ident_parse(who, &id) || id.kind != owner)
            continue;
        for (size_t k = 0; k < f->count; k++)
            sld_report_add(tr_report(&tr, who), SLD_ERROR, SLD_ENVOY_REFUSED, SLD_STR(""),
                           "Envoy %.*s refused %s %.*s and keeps the last form it took: %.*s", SLD_FMT(f->by[k].build),
                           sld_out_type_name(row->out->type), SLD_FMT(row->out->name), SLD_FMT(f->by[k].words));
    }
    struct tr_row *out = tr_row_create(sizeof(*out));
    tr_row_finish(&tr, out, f->content, NULL);
    sld_ctx_emit(ctx, key, out);
}

// ---- Statuses ----

struct gather {
    struct sld_ctx *ctx;
    struct sld_arena *arena;
    struct sld_str key;
    sld_id id;
    struct sld_finding *items;
    size_t count;
    enum sld_kind kind;
    bool conflict; // the present document passed its own checks, and yet is not taken (tr_keeps_out)
    bool awaits;   // only because a secret has not been read yet
};

bool tr_keeps_out(enum sld_kind k, const struct sld_finding *f)
{
    if (f->code == SLD_SECRET_AWAITED)
        return true;
    if (f->severity != SLD_ERROR)
        return false;
    if (k == SLD_KIND_SECRET)
        return f->code == SLD_TLS_EXPIRED;
    return f->code == SLD_VH_DOMAIN_CONFLICT || f->code == SLD_GW_PORT_CONFLICT;
}

static void add(struct gather *g, const struct sld_finding *f, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        g->conflict |= tr_keeps_out(g->kind, &f[i]);
        g->awaits |= f[i].code == SLD_SECRET_AWAITED;
        SLD_PUSH(g->arena, g->items, g->count, f[i]);
    }
}

// What all tables say about the object.
static void gather(struct gather *g, struct sld_translate *t)
{
    size_t n;
    const struct sld_hit *hits = sld_ctx_lookup(g->ctx, t->about, g->id, &n);
    for (size_t i = 0; i < n; i++) {
        const struct tr_row *row = hits[i].value;
        for (size_t k = 0; k < row->about_count; k++) {
            if (sld_str_eq(row->about[k].key, g->key))
                add(g, row->about[k].items, row->about[k].count);
        }
    }
}

static void note(struct gather *g, enum sld_severity severity, enum sld_code code,
                 struct sld_str path, const char *text)
{
    struct sld_finding f = {
        .code = code, .severity = severity, .path = path, .message = sld_str_c(text)};
    SLD_PUSH(g->arena, g->items, g->count, f);
}

static void orphan(struct gather *g, struct sld_translate *t, enum sld_kind k)
{
    bool vs = k == SLD_KIND_VIRTUAL_SERVICE;
    if (!tr_may_be_orphan(g->key))
        return;
    size_t n;
    sld_ctx_lookup(g->ctx, t->vhost_users, g->id, &n);
    if (!n && vs)
        note(g, SLD_NOTE, SLD_REF_ORPHAN, SLD_STR(""),
             "no gateway selects this virtual service, so it has no effect; with sslConfig it "
             "needs a gateway with ssl: true, without "
             "it one with ssl: false, and the gateway's selection must fit");
    else if (!n)
        note(g, SLD_NOTE, SLD_REF_ORPHAN, SLD_STR(""),
             "no virtual service that is served refers to this object, so it has no effect; refer "
             "to it, or remove it");
}

static void other_settings(struct gather *g, struct sld_translate *t)
{
    const struct sld_blob *use =
        sld_ctx_get(g->ctx, t->settings_key, sld_flow_key(t->flow, SLD_STR("key")));
    if (use && !sld_str_eq(use->data, g->key))
        note(g, SLD_WARNING, SLD_SETTINGS_OTHER, SLD_STR(""),
             "another Settings document is in use, so this one has no effect; put the settings "
             "there, or name this one by "
             "--settings-name");
}

void tr_step_status(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)in;
    const struct tr_kind_slot *slot = user;
    struct sld_translate *t = slot->t;
    const struct sld_object *raw = sld_ctx_get(ctx, t->raw[slot->kind], key);
    const struct sld_object *accepted = sld_ctx_get(ctx, t->accepted[slot->kind], key);
    const struct sld_object *doc = raw ? raw : accepted;
    bool found = !doc && slot->kind == SLD_KIND_UPSTREAM;
    if (found)
        doc = sld_ctx_get(ctx, t->obj[slot->kind], key);
    if (!doc)
        return;
    struct gather g = {.ctx = ctx,
                       .arena = sld_ctx_scratch(ctx),
                       .key = sld_flow_key_str(t->flow, key),
                       .id = key,
                       .kind = slot->kind};
    add(&g, doc->findings, doc->finding_count);
    gather(&g, t);
    if (slot->kind == SLD_KIND_SETTINGS)
        other_settings(&g, t);
    if (found || accepted || raw->ok)
        orphan(&g, t, slot->kind);
    bool same = raw && accepted && sld_hash_eq(raw->obj.hash, accepted->obj.hash);
    bool present = found || (raw && raw->ok && (same || !g.conflict));
    bool last_good = !present && accepted;
    if (last_good && raw)
        note(&g, SLD_NOTE, SLD_LAST_GOOD, SLD_STR(""),
             g.awaits ? "the last accepted form of this object stays in force until the secret is read"
                      : "the last accepted form of this object stays in force until the errors are "
                        "mended");
    sld_ctx_emit(ctx, key, sld_status_create(g.items, g.count, last_good, present || last_good));
}

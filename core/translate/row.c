// Rows: their making, findings and uses; what steps read; names.
#include "translate/inside.h"

#include "codec/text.h"

#include <stdlib.h>

// ---- A step at work ----

struct tr_reports {
    struct sld_str key;
    struct sld_report report;
    struct tr_reports *next;
};

void tr_begin(struct tr *tr, struct sld_translate *t, struct sld_ctx *ctx)
{
    *tr = (struct tr){.t = t, .ctx = ctx, .arena = sld_ctx_scratch(ctx)};
}

struct sld_report *tr_report(struct tr *tr, struct sld_str key)
{
    struct tr_reports **at = &tr->reports;
    for (; *at; at = &(*at)->next) {
        if (sld_str_eq((*at)->key, key))
            return &(*at)->report;
    }
    struct tr_reports *r = SLD_ARENA_NEW(tr->arena, struct tr_reports);
    r->key = sld_arena_str(tr->arena, key);
    r->report.arena = tr->arena;
    *at = r;
    return &r->report;
}

void tr_use(struct tr *tr, struct sld_str key)
{
    SLD_PUSH(tr->arena, tr->uses, tr->use_count, key);
}

bool tr_has_report(const struct tr *tr)
{
    for (const struct tr_reports *r = tr->reports; r; r = r->next) {
        if (r->report.count)
            return true;
    }
    return false;
}

void *tr_row_create_with(size_t size, size_t room)
{
    SLD_PRE(size >= sizeof(struct tr_row) && size % sizeof(void *) == 0);
    struct tr_row *row = sld_xcalloc(1, size + (room ? SLD_ARENA_HEADER + room : 0));
    sld_obj_init(&row->obj, NULL, (struct sld_hash){0});
    if (room)
        sld_arena_init_in(&row->arena, (char *)row + size, SLD_ARENA_HEADER + room);
    return row;
}

void *tr_row_create(size_t size)
{
    return tr_row_create_with(size, 0);
}

struct sld_str tr_keep_key(const struct sld_translate *t, struct sld_str key)
{
    return sld_flow_key_str(t->flow, sld_flow_key(t->flow, key));
}

size_t tr_room_of_uses(const struct tr *tr)
{
    return (tr->use_count * sizeof(sld_id) + 7) & ~(size_t)7; // as the arena counts
}

static void row_free(struct sld_obj *o)
{
    struct tr_row *row = (struct tr_row *)o;
    sld_arena_fini(&row->arena);
    sld_xfree(row);
}

static int by_str(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

static int by_about(const void *a, const void *b)
{
    return sld_str_cmp(((const struct tr_about *)a)->key, ((const struct tr_about *)b)->key);
}

static void copy_uses(struct tr *tr, struct tr_row *row)
{
    if (!tr->use_count)
        return;
    qsort(tr->uses, tr->use_count, sizeof(*tr->uses), by_str);
    row->uses = SLD_ARENA_ARRAY(&row->arena, sld_id, tr->use_count);
    for (size_t i = 0; i < tr->use_count; i++) {
        if (i == 0 || !sld_str_eq(tr->uses[i], tr->uses[i - 1]))
            row->uses[row->use_count++] = sld_flow_key(tr->t->flow, tr->uses[i]);
    }
}

static void copy_findings(struct sld_arena *a, struct tr_about *to, const struct sld_report *r)
{
    to->items = SLD_ARENA_ARRAY(a, struct sld_finding, r->count);
    to->count = r->count;
    for (size_t i = 0; i < r->count; i++) {
        to->items[i] = r->items[i];
        to->items[i].path = sld_arena_str(a, r->items[i].path);
        to->items[i].message = sld_arena_str(a, r->items[i].message);
        if (r->items[i].origin.p)
            to->items[i].origin = sld_arena_str(a, r->items[i].origin);
    }
}

static void copy_about(struct tr *tr, struct tr_row *row)
{
    size_t n = 0;
    for (const struct tr_reports *r = tr->reports; r; r = r->next)
        n += r->report.count > 0;
    if (!n)
        return;
    row->about = SLD_ARENA_ARRAY(&row->arena, struct tr_about, n);
    for (const struct tr_reports *r = tr->reports; r; r = r->next) {
        if (!r->report.count)
            continue;
        struct tr_about *to = &row->about[row->about_count++];
        to->key = tr_keep_key(tr->t, r->key);
        copy_findings(&row->arena, to, &r->report);
    }
    qsort(row->about, row->about_count, sizeof(*row->about), by_about);
}

static void hash_str(struct sld_hasher *h, struct sld_str s)
{
    sld_hasher_add_u64(h, s.n);
    sld_hasher_add(h, s);
}

static struct sld_hash hash_of(struct sld_flow *flow, const struct tr_row *row,
                               struct sld_hash content)
{
    if (!row->use_count && !row->about_count)
        return sld_hash_mix(content, (struct sld_hash){1, 1});
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, content.lo);
    sld_hasher_add_u64(&h, content.hi);
    for (size_t i = 0; i < row->use_count; i++)
        hash_str(&h, sld_flow_key_str(flow, row->uses[i]));
    for (size_t i = 0; i < row->about_count; i++) {
        hash_str(&h, row->about[i].key);
        for (size_t k = 0; k < row->about[i].count; k++) {
            const struct sld_finding *f = &row->about[i].items[k];
            sld_hasher_add_u64(&h, (uint64_t)f->code << 8 | (uint64_t)f->severity);
            hash_str(&h, f->path);
            hash_str(&h, f->message);
        }
    }
    return sld_hasher_done(&h);
}

void tr_row_finish(struct tr *tr, struct tr_row *row, struct sld_hash content,
                   void (*free_fn)(struct sld_obj *o))
{
    copy_uses(tr, row);
    copy_about(tr, row);
    sld_obj_frees(&row->obj, free_fn ? free_fn : row_free);
    row->obj.hash = hash_of(tr->t->flow, row, content);
}

void tr_row_free(struct tr_row *row)
{
    row_free(&row->obj);
}

// ---- Indexes over what rows carry ----

void tr_index_about(sld_id key, const void *value, void (*add)(void *arg, sld_id entry), void *arg,
                    void *user)
{
    (void)key;
    const struct tr_row *row = value;
    struct sld_translate *t = user;
    for (size_t i = 0; i < row->about_count; i++)
        add(arg, sld_flow_key(t->flow, row->about[i].key));
}

bool tr_may_be_orphan(struct sld_str key)
{
    static const enum sld_kind kinds[] = {SLD_KIND_VIRTUAL_SERVICE, SLD_KIND_ROUTE_TABLE,
                                          SLD_KIND_ROUTE_OPTION, SLD_KIND_VIRTUAL_HOST_OPTION};
    ptrdiff_t end = sld_str_index(key, '/');
    for (size_t i = 0; end > 0 && i < SLD_ARRAY_LEN(kinds); i++) {
        if (sld_str_eq(sld_str_sub(key, 0, (size_t)end),
                       sld_str_c(sld_kind_info(kinds[i])->plural)))
            return true;
    }
    return false;
}

void tr_index_uses(sld_id key, const void *value, void (*add)(void *arg, sld_id entry), void *arg,
                   void *user)
{
    (void)key;
    const struct tr_row *row = value;
    struct sld_translate *t = user;
    for (size_t i = 0; i < row->use_count; i++) {
        if (tr_may_be_orphan(sld_flow_key_str(t->flow, row->uses[i])))
            add(arg, row->uses[i]);
    }
}

// ---- Reading ----

const struct sld_object *tr_object(struct tr *tr, enum sld_kind k, struct sld_str ns,
                                   struct sld_str name)
{
    struct sld_str key = tr_key(tr->arena, k, ns, name);
    tr_use(tr, key);
    return sld_ctx_get(tr->ctx, tr->t->obj[k], sld_flow_key(tr->t->flow, key));
}

const char *tr_mend_ref(struct tr *tr, enum sld_kind k, struct sld_str ns, struct sld_str name)
{
    if (k == SLD_KIND_SECRET && sld_str_starts(name, SLD_STR(SLD_PLUGIN_REF))) {
        struct sld_str plugin, ref;
        struct sld_err err = {0};
        if (sld_plugin_ref_parse(name, &plugin, &ref, &err))
            return sld_arena_cstr(tr->arena, sld_str_c(err.msg));
        return tr_plugin(tr, plugin) ? "solder get secrets shows what the plugin says of it"
                                     : "no plugin of that name is loaded, which is to give it";
    }
    if (k == SLD_KIND_SECRET && sld_store_ref_meant(name)) {
        struct sld_store_ref parts;
        struct sld_err err = {0};
        return sld_store_ref_parse(name, &parts, &err) == SLD_OK
                   ? "solder get secrets shows what Vault says of it"
                   : sld_arena_cstr(tr->arena, sld_str_c(err.msg));
    }
    sld_id key = sld_flow_key(tr->t->flow, tr_key(tr->arena, k, ns, name));
    return sld_ctx_has(tr->ctx, tr->t->raw[k], key)
               ? "its document has errors and was never accepted, see its status"
               : "create it, or correct the reference";
}

const Gloo__Settings *tr_settings(struct tr *tr)
{
    static const Gloo__Settings defaults = GLOO__SETTINGS__INIT;
    const struct sld_arena_obj *o =
        sld_ctx_get(tr->ctx, tr->t->settings, sld_flow_key(tr->t->flow, SLD_STR("settings")));
    return o ? o->root : &defaults;
}

bool tr_replaces_invalid(struct tr *tr)
{
    const Gloo__GlooOptions *g = tr_settings(tr)->gloo;
    return g && g->invalid_config_policy && g->invalid_config_policy->replace_invalid_routes;
}

struct sld_str tr_write_ns(struct tr *tr)
{
    const Gloo__Settings *s = tr_settings(tr);
    struct sld_str ns = sld_str_c(s->discovery_namespace);
    return ns.n ? ns : SLD_STR("gloo-system");
}

int64_t tr_now(struct sld_translate *t, struct sld_ctx *ctx)
{
    const struct tr_clock *c = sld_ctx_get(ctx, t->clock, sld_flow_key(t->flow, SLD_STR("now")));
    return c ? c->now_s : 0;
}

static const void *facts(struct tr *tr, struct sld_table *table, enum sld_kind k, struct sld_str ns,
                         struct sld_str name)
{
    struct sld_str key = tr_key(tr->arena, k, ns, name);
    tr_use(tr, key);
    return sld_ctx_get(tr->ctx, table, sld_flow_key(tr->t->flow, key));
}

const struct tr_upstream *tr_upstream(struct tr *tr, struct sld_str ns, struct sld_str name)
{
    return facts(tr, tr->t->upstreams, SLD_KIND_UPSTREAM, ns, name);
}

const struct tr_group *tr_group(struct tr *tr, struct sld_str ns, struct sld_str name)
{
    return facts(tr, tr->t->groups, SLD_KIND_UPSTREAM_GROUP, ns, name);
}

const struct tr_secret *tr_secret(struct tr *tr, struct sld_str ns, struct sld_str name)
{
    return facts(tr, tr->t->secrets, SLD_KIND_SECRET, ns, name);
}

const struct sld_plugin_slot *tr_plugin(struct tr *tr, struct sld_str name)
{
    return sld_ctx_get(tr->ctx, tr->t->plugins, sld_flow_key(tr->t->flow, name));
}

const Gloo__Secret *tr_secret_values(struct tr *tr, struct sld_str ns, struct sld_str name)
{
    // Whoever reads values reads the facts too: their readers tell whether a secret is in use.
    tr_secret(tr, ns, name);
    const struct sld_object *o = tr_object(tr, SLD_KIND_SECRET, ns, name);
    if (!o)
        return NULL;
    tr->tainted = true;
    return sld_object_msg(o);
}

// ---- Names ----

struct sld_str tr_key(struct sld_arena *a, enum sld_kind k, struct sld_str ns, struct sld_str name)
{
    return sld_ident_key(a, (struct sld_ident){k, ns, name});
}

struct sld_str tr_cluster_name(struct sld_arena *a, struct sld_str ns, struct sld_str name)
{
    return ns.n ? SLD_ARENA_JOIN(a, name, SLD_STR("_"), ns) : sld_arena_str(a, name);
}

struct sld_str tr_sds_cert_name(struct sld_arena *a, struct sld_str ns, struct sld_str name)
{
    return sld_arena_fmt(a, "%.*s.%.*s/certificate", SLD_FMT(ns), SLD_FMT(name));
}

struct sld_str tr_sds_ca_name(struct sld_arena *a, struct sld_str ns, struct sld_str name)
{
    return sld_arena_fmt(a, "%.*s.%.*s/validation", SLD_FMT(ns), SLD_FMT(name));
}

struct sld_str tr_ref_text(struct sld_arena *a, struct sld_str ns, struct sld_str name)
{
    if (sld_store_ref_meant(name)) // its namespace says nothing to people
        return sld_arena_str(a, name);
    return sld_arena_fmt(a, "%.*s.%.*s", SLD_FMT(ns), SLD_FMT(name));
}

struct sld_str tr_ref_ns(const Gloo__ResourceRef *ref, struct sld_str owner)
{
    struct sld_str ns = sld_str_c(ref->namespace_);
    return ns.n ? ns : owner;
}

struct sld_str tr_out_key(struct sld_arena *a, enum sld_out_type t, struct sld_str view,
                          struct sld_str name)
{
    struct sld_str line = SLD_STR("\n");
    return SLD_ARENA_JOIN(a, sld_str_c(sld_out_type_name(t)), line, view, line, name);
}

void tr_needs_add(struct tr *tr, struct tr_needs *n, enum sld_out_type type, struct sld_str name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (n->items[i].type == type && sld_str_eq(n->items[i].name, name))
            return;
    }
    struct sld_out_ref ref = {type, name};
    SLD_PUSH(tr->arena, n->items, n->count, ref);
}

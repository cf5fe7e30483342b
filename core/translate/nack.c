// What Envoys refuse. Route tables are isolated to virtual hosts here: a table that is refused is sent again with the hosts
// changed since its last ACK put back, then these are let in by halves until the culprits are known.
//
//   pending:  vhost key -> its form when the table was last taken        (what a refusal puts under suspicion)
//   trial:    stack of groups of keys; the top one is let in, all others are held
//
// Held forms are rows of the source table `held`, so the tables stay functions of their sources.
#include "translate/inside.h"

#include <stdlib.h>

// Some of a table's hosts, to be judged together.
struct group {
    struct group *next;
    char **keys;
    size_t count;
};

// The route tables of one gateway; all its proxies share the hosts.
struct trial {
    struct sld_map pending; // vhost key -> struct old
    struct group *groups;   // the first is on trial
    struct sld_blob *words; // of the last refusal
    struct sld_hash judged; // content of the last verdict on trial: several Envoys may tell the same
    bool running;
};

struct old {
    struct tr_vhost_row *row; // reference; NULL: there was none
    struct sld_object *doc;   // reference: the virtual service's accepted form then, or NULL
};

struct nack {
    struct sld_translate *t;
    struct sld_map trials; // gateway key -> struct trial
};

struct nack *tr_nack_create(struct sld_translate *t)
{
    struct nack *n = SLD_NEW(struct nack);
    n->t = t;
    return n;
}

static void group_free(struct group *g)
{
    for (size_t i = 0; i < g->count; i++)
        sld_xfree(g->keys[i]);
    sld_xfree(g->keys);
    sld_xfree(g);
}

static void pending_clear(struct trial *tr)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&tr->pending, &at));) {
        struct old *o = s->value;
        SLD_UNREF(o->row);
        SLD_UNREF(o->doc);
        sld_xfree(o);
    }
    sld_map_fini(&tr->pending);
    tr->pending = (struct sld_map){0};
}

static void trial_free(struct trial *tr)
{
    pending_clear(tr);
    while (tr->groups) {
        struct group *g = tr->groups;
        tr->groups = g->next;
        group_free(g);
    }
    SLD_UNREF(tr->words);
    sld_xfree(tr);
}

void tr_nack_destroy(struct nack *n)
{
    if (!n)
        return;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&n->trials, &at));)
        trial_free(s->value);
    sld_map_fini(&n->trials);
    sld_xfree(n);
}

static struct trial *trial_of(struct nack *n, struct sld_str gateway)
{
    struct trial *tr = sld_map_get(&n->trials, gateway);
    if (!tr) {
        tr = SLD_NEW(struct trial);
        sld_map_set(&n->trials, gateway, tr);
    }
    return tr;
}

// ---- The step ----

static void held_free(struct sld_obj *o)
{
    struct tr_held *h = (struct tr_held *)o;
    if (h->secret && h->bytes.n) {
        union {
            const char *frozen;
            char *own;
        } u = {h->bytes.p};
        sld_wipe(u.own, h->bytes.n);
    }
    sld_arena_fini(&h->arena);
    sld_xfree(h);
}

static struct sld_str *copy_strs(struct sld_arena *a, const struct sld_str *s, size_t n)
{
    struct sld_str *out = SLD_ARENA_ARRAY(a, struct sld_str, n);
    for (size_t i = 0; i < n; i++)
        out[i] = sld_arena_str(a, s[i]);
    return out;
}

static void substitute_free(struct sld_obj *o)
{
    struct tr_vhost_row *v = (struct tr_vhost_row *)o;
    if (v->secret && v->bytes.n) {
        union {
            const char *frozen;
            char *own;
        } u = {v->bytes.p};
        sld_wipe(u.own, v->bytes.n);
    }
    tr_row_free(&v->row);
}

void tr_step_placed(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const struct tr_held *h = sld_ctx_get(ctx, tr.t->held, key);
    const struct tr_vhost_row *v = in;
    if (!h || !sld_hash_eq(h->refused, v->content)) {
        union {
            const void *frozen;
            void *counted;
        } u = {in}; // only the count of references changes
        sld_ctx_emit(ctx, key, sld_obj_ref(u.counted));
        return;
    }
    struct tr_vhost_row *row = tr_row_create(sizeof(*row));
    struct sld_arena *a = &row->row.arena;
    row->gateway = sld_arena_str(a, v->gateway);
    row->vs = sld_arena_str(a, v->vs);
    row->name = sld_arena_str(a, v->name);
    row->bytes = sld_arena_str(a, h->bytes);
    row->content = sld_hash_bytes(h->bytes);
    row->clusters = copy_strs(a, h->clusters, h->cluster_count);
    row->cluster_count = h->cluster_count;
    row->secret = h->secret;
    if (h->convicted)
        sld_report_add(tr_report(&tr, v->vs), SLD_ERROR, SLD_ENVOY_REFUSED, SLD_STR("virtualHost"),
                       "Envoy refused this virtual host; %s: %.*s",
                       h->bytes.n ? "the last form it took stays in force" : "it is left out until it is mended", SLD_FMT(h->words));
    tr_row_finish(&tr, &row->row, sld_hash_mix(row->content, (struct sld_hash){h->convicted, 3}), substitute_free);
    sld_ctx_emit(ctx, key, row);
}

// ---- Watchers ----

// A host that changed is free of what its former content was held for.
void tr_nack_on_vhost(struct sld_table *table, sld_id key, const void *old, const void *new_value, void *user)
{
    (void)table;
    (void)old;
    struct sld_translate *t = user;
    const struct tr_held *h = sld_flow_get(t->held, key);
    const struct tr_vhost_row *v = new_value;
    if (h && (!v || !sld_hash_eq(h->refused, v->content)))
        sld_flow_delete(t->held, key);
}

// Remembers the form a host had before its first change since the table was taken.
void tr_nack_on_placed(struct sld_table *table, sld_id key, const void *old, const void *new_value, void *user)
{
    (void)table;
    struct sld_translate *t = user;
    const struct tr_vhost_row *v = old ? old : new_value;
    struct trial *tr = trial_of(t->nack, v->gateway);
    struct sld_str name = sld_flow_key_str(t->flow, key);
    if (sld_map_has(&tr->pending, name))
        return;
    struct old *o = SLD_NEW(struct old);
    union {
        const void *frozen;
        struct tr_vhost_row *counted;
    } u = {old}; // only the count of references changes
    o->row = sld_obj_ref(u.counted);
    union {
        const void *frozen;
        struct sld_object *counted;
    } doc = {sld_flow_get(t->accepted[SLD_KIND_VIRTUAL_SERVICE], sld_flow_key(t->flow, v->vs))};
    o->doc = sld_obj_ref(doc.counted);
    sld_map_set(&tr->pending, name, o);
}

// ---- Holding ----

static void hold(struct sld_translate *t, struct trial *tr, struct sld_str key, bool convicted)
{
    sld_id id = sld_flow_key(t->flow, key);
    const struct tr_vhost_row *now = sld_flow_get(t->vhosts, id);
    const struct old *o = sld_map_get(&tr->pending, key);
    if (!now)
        return;
    struct tr_held *h = SLD_NEW(struct tr_held);
    h->refused = now->content;
    const struct tr_vhost_row *good = o ? o->row : NULL;
    h->bytes = sld_arena_str(&h->arena, good ? good->bytes : SLD_STR(""));
    h->clusters = copy_strs(&h->arena, good ? good->clusters : NULL, good ? good->cluster_count : 0);
    h->cluster_count = good ? good->cluster_count : 0;
    h->secret = good && good->secret;
    h->convicted = convicted;
    h->words = sld_arena_str(&h->arena, tr->words ? tr->words->data : SLD_STR(""));
    struct sld_hash hash = sld_hash_mix(h->refused, sld_hash_bytes(h->bytes));
    sld_obj_init(&h->obj, held_free, sld_hash_mix(hash, (struct sld_hash){convicted, 1}));
    sld_flow_set(t->held, id, h);
    SLD_UNREF(h);
}

static void release(struct sld_translate *t, struct sld_str key)
{
    sld_flow_delete(t->held, sld_flow_key(t->flow, key));
}

// Lets the first group in and holds the others.
static void try_next(struct sld_translate *t, struct trial *tr)
{
    tr->running = tr->groups != NULL;
    for (struct group *g = tr->groups; g; g = g->next) {
        for (size_t i = 0; i < g->count; i++) {
            if (g == tr->groups)
                release(t, sld_str_c(g->keys[i]));
            else
                hold(t, tr, sld_str_c(g->keys[i]), false);
        }
    }
}

static struct group *group_of(char **keys, size_t n)
{
    struct group *g = SLD_NEW(struct group);
    g->keys = sld_xcalloc(n, sizeof(*g->keys));
    memcpy(g->keys, keys, n * sizeof(*keys));
    g->count = n;
    return g;
}

static char *own_str(struct sld_str s)
{
    char *p = sld_xalloc(s.n + 1);
    memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return p;
}

// Splits the first group into halves.
static void split(struct trial *tr)
{
    struct group *g = tr->groups;
    size_t half = g->count / 2;
    struct group *a = group_of(g->keys, half), *b = group_of(g->keys + half, g->count - half);
    b->next = g->next;
    a->next = b;
    tr->groups = a;
    sld_xfree(g->keys);
    sld_xfree(g);
}

// All hosts that differ from what was last taken and are not held already.
static struct group *suspects(struct sld_translate *t, struct trial *tr)
{
    size_t n, count = 0;
    struct sld_str *keys = sld_map_sorted_keys(&tr->pending, &n);
    char **out = sld_xcalloc(n + 1, sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        sld_id id = sld_flow_key(t->flow, keys[i]);
        const struct tr_vhost_row *now = sld_flow_get(t->vhosts, id);
        const struct old *o = sld_map_get(&tr->pending, keys[i]);
        const struct tr_held *h = sld_flow_get(t->held, id);
        bool same = now && o->row && sld_hash_eq(now->content, o->row->content);
        bool held = now && h && sld_hash_eq(h->refused, now->content);
        if (now && now->bytes.n && !same && !held)
            out[count++] = own_str(keys[i]);
    }
    struct group *g = count ? group_of(out, count) : NULL;
    sld_xfree(out);
    sld_xfree(keys);
    return g;
}

// True when the virtual host of KEY says what its virtual service's document alone says. Of several documents (route tables,
// options, secrets) any may be to blame, and the host is held until one of them changes.
static bool made_of_one(struct sld_translate *t, struct sld_str key)
{
    static const enum sld_kind others[] = {SLD_KIND_ROUTE_TABLE, SLD_KIND_ROUTE_OPTION, SLD_KIND_VIRTUAL_HOST_OPTION, SLD_KIND_SECRET};
    const struct tr_vhost_row *v = sld_flow_get(t->vhosts, sld_flow_key(t->flow, key));
    for (size_t i = 0; v && i < v->row.use_count; i++) {
        struct sld_ident id;
        for (size_t k = 0; k < SLD_ARRAY_LEN(others); k++) {
            if (sld_ident_parse(v->row.uses[i], &id) && id.kind == others[k])
                return false;
        }
    }
    return v != NULL;
}

static void judge_refused(struct sld_translate *t, struct trial *tr)
{
    if (!tr->running) {
        tr->groups = suspects(t, tr);
        if (!tr->groups)
            return; // nothing changed since the last ACK: this Envoy never took the table (README: refusals)
    }
    struct group *g = tr->groups;
    if (g->count > 1) {
        split(tr);
        try_next(t, tr);
        return;
    }
    tr->groups = g->next;
    struct sld_str key = sld_str_c(g->keys[0]), vs = key, gateway;
    sld_str_cut(&vs, '\n', &gateway);
    const struct old *o = sld_map_get(&tr->pending, key);
    bool barred = made_of_one(t, key) && tr_bar(t, vs, o ? o->doc : NULL, tr->words->data);
    hold(t, tr, key, !barred);
    SLD_LOG(SLD_WARN, "translate", "virtual_host_refused", SLD_KC("virtual_host", g->keys[0]),
            SLD_KS("words", tr->words->data));
    group_free(g);
    try_next(t, tr);
}

static void judge_taken(struct sld_translate *t, struct trial *tr)
{
    if (!tr->running) {
        pending_clear(tr);
        return;
    }
    struct group *g = tr->groups;
    tr->groups = g->next;
    group_free(g);
    try_next(t, tr);
    if (!tr->running)
        pending_clear(tr);
}

// ---- What the outside tells ----

static const struct tr_out *out_of(struct sld_translate *t, enum sld_out_type type, struct sld_str view, struct sld_str name,
                                   sld_id *key)
{
    struct sld_arena a = {0};
    struct sld_str text = tr_out_key(&a, type, view, name);
    *key = sld_flow_key(t->flow, text);
    const struct tr_out *row = sld_flow_get(tr_out_table(t, text, NULL), *key);
    sld_arena_fini(&a);
    return row;
}

// The present resource of that name, if its content is CONTENT. An Envoy's view also has what all views have.
static const struct sld_out *present(struct sld_translate *t, enum sld_out_type type, struct sld_str view, struct sld_str name,
                                     struct sld_hash content, sld_id *key)
{
    const struct tr_out *row = out_of(t, type, view, name, key);
    if (!row)
        row = out_of(t, type, SLD_STR(""), name, key);
    return row && row->out && sld_hash_eq(row->out->content, content) ? row->out : NULL;
}

static struct trial *trial_of_table(struct sld_translate *t, const struct sld_out *o)
{
    for (size_t i = 0; i < o->owner_count; i++) {
        if (sld_str_starts(o->owners[i], SLD_STR("gateways/")))
            return trial_of(t->nack, o->owners[i]);
    }
    return NULL;
}

static void refused_free(struct sld_obj *o)
{
    struct tr_refused *r = (struct tr_refused *)o;
    sld_arena_fini(&r->arena);
    sld_xfree(r);
}

void sld_translate_refused(struct sld_translate *t, enum sld_out_type type, struct sld_str view, struct sld_str name,
                           struct sld_hash content, struct sld_str build, struct sld_str words)
{
    sld_id key;
    const struct sld_out *o = present(t, type, view, name, content, &key);
    if (!o)
        return; // a newer form is on its way
    if (type == SLD_OUT_ROUTE) {
        struct trial *tr = trial_of_table(t, o);
        if (!tr)
            return;
        if (sld_hash_eq(tr->judged, content))
            return;
        SLD_UNREF(tr->words);
        tr->words = sld_blob_create(words);
        tr->judged = content;
        judge_refused(t, tr);
        return;
    }
    struct tr_refused *r = SLD_NEW(struct tr_refused);
    r->content = content;
    r->words = sld_arena_str(&r->arena, words);
    r->build = sld_arena_str(&r->arena, build);
    sld_obj_init(&r->obj, refused_free, sld_hash_mix(content, sld_hash_bytes(words)));
    sld_flow_set(t->refused, key, r);
    SLD_UNREF(r);
}

void sld_translate_taken(struct sld_translate *t, enum sld_out_type type, struct sld_str view, struct sld_str name,
                         struct sld_hash content, struct sld_str build)
{
    (void)build;
    sld_id key;
    const struct sld_out *o = present(t, type, view, name, content, &key);
    if (!o)
        return;
    if (type == SLD_OUT_ROUTE) {
        struct trial *tr = trial_of_table(t, o);
        if (tr && !sld_hash_eq(tr->judged, content)) {
            tr->judged = tr->running ? content : (struct sld_hash){0}; // the refused one may come back
            judge_taken(t, tr);
        }
    } else if (sld_flow_get(t->refused, key)) {
        sld_flow_delete(t->refused, key);
    }
}

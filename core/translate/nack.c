// What Envoys refuse. Route tables are isolated to virtual hosts here: a table that is refused is
// sent again with the hosts changed since its last ACK put back, then these are let in by halves
// until the culprits are known.
//
//   pending:  vhost key -> its form when the table was last taken        (what a refusal puts under
//   suspicion) trial:    stack of groups of keys; the top one is let in, all others are held
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
    struct sld_umap pending; // vhost key -> struct old
    struct group *groups;    // the first is on trial
    struct sld_blob *words;  // of the last refusal
    struct sld_blob *build;  // whose it was
    struct sld_hash
        judged;     // content of the last verdict on trial: several Envoys may tell the same
    sld_id *barred; // documents barred since the table was last taken, in order; the last is to
                    // blame, the others may be
    size_t barred_count;
    bool running;
};

struct old {
    struct tr_vhost_row *row; // reference; NULL: there was none
    struct doc *docs;         // what it was made of, as accepted then
    size_t doc_count;
};

// A document that a host is made of, in the form that was accepted when the table was last taken.
struct doc {
    sld_id key;
    enum sld_kind kind;
    struct sld_object *object; // reference; NULL: none was accepted
};

struct nack {
    struct sld_translate *t;
    struct sld_umap good;  // upstreams and gateways: row key -> the object whose resource an Envoy
                           // took last, own reference
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

static void old_free(struct old *o)
{
    for (size_t i = 0; i < o->doc_count; i++)
        SLD_UNREF(o->docs[i].object);
    sld_xfree(o->docs);
    SLD_UNREF(o->row);
    sld_xfree(o);
}

static void pending_clear(struct trial *tr)
{
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&tr->pending, &at));)
        old_free(s->value);
    sld_umap_fini(&tr->pending);
    tr->pending = (struct sld_umap){0};
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
    SLD_UNREF(tr->build);
    sld_xfree(tr->barred);
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
    at = 0;
    for (struct sld_umap_slot *g; (g = sld_umap_next(&n->good, &at));) {
        struct sld_object *o = g->value;
        SLD_UNREF(o);
    }
    sld_umap_fini(&n->good);
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
    tr_confs_drop(&h->confs);
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
    tr_confs_drop(&v->confs);
    tr_row_free(&v->row);
}

void tr_step_placed(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const struct tr_held *h = in;
    const struct tr_vhost_row *v = sld_ctx_get(ctx, tr.t->vhosts, key);
    if (!v || !sld_hash_eq(h->refused, v->content))
        return;
    struct tr_vhost_row *row = tr_row_create(sizeof(*row));
    struct sld_arena *a = &row->row.arena;
    row->gateway = v->gateway;
    row->vs = v->vs;
    row->bytes = sld_arena_str(a, h->bytes);
    row->content = sld_hash_bytes(h->bytes);
    row->clusters = SLD_ARENA_ARRAY(a, struct sld_str, h->cluster_count);
    for (size_t i = 0; i < h->cluster_count; i++)
        row->clusters[row->cluster_count++] = tr_keep_key(tr.t, h->clusters[i]);
    row->confs = tr_confs_copy(a, &h->confs);
    row->secret = h->secret;
    if (h->convicted)
        sld_report_add(tr_report(&tr, sld_flow_key_str(tr.t->flow, v->vs)), SLD_ERROR, SLD_ENVOY_REFUSED, SLD_STR("virtualHost"),
                       "Envoy refused this virtual host; %s: %.*s",
                       h->bytes.n ? "the last form it took stays in force"
                                  : "it is left out until it is mended",
                       SLD_FMT(h->words));
    tr_row_finish(&tr, &row->row, sld_hash_mix(row->content, (struct sld_hash){h->convicted, 3}),
                  substitute_free);
    sld_ctx_emit(ctx, key, row);
}

// ---- Watchers ----

static struct sld_object *counted(const void *frozen)
{
    union {
        const void *frozen;
        struct sld_object *own;
    } u = {frozen}; // only the count of references changes
    return u.own;
}

// Documents that can be barred: others have no accepted form to go back to, or say nothing by
// themselves.
static bool barrable(enum sld_kind k)
{
    return k == SLD_KIND_VIRTUAL_SERVICE || k == SLD_KIND_ROUTE_TABLE ||
           k == SLD_KIND_ROUTE_OPTION || k == SLD_KIND_VIRTUAL_HOST_OPTION;
}

static bool has_doc(const struct old *o, sld_id key)
{
    for (size_t i = 0; i < o->doc_count; i++) {
        if (o->docs[i].key == key)
            return true;
    }
    return false;
}

// Adds what V is made of, as it is accepted now, unless it is known from before.
static void add_docs(struct sld_translate *t, struct old *o, const struct tr_vhost_row *v)
{
    for (size_t i = 0; v && i < v->row.use_count; i++) {
        struct sld_ident id;
        sld_id key = v->row.uses[i];
        if (!sld_ident_parse(sld_flow_key_str(t->flow, key), &id) || !barrable(id.kind))
            continue;
        if (has_doc(o, key))
            continue;
        if ((o->doc_count & (o->doc_count - 1)) == 0) // 0 or a power of two: full
            o->docs =
                sld_xrealloc(o->docs, (o->doc_count ? 2 * o->doc_count : 1) * sizeof(*o->docs));
        struct sld_object *accepted = counted(sld_flow_get(t->accepted[id.kind], key));
        o->docs[o->doc_count++] = (struct doc){key, id.kind, sld_obj_ref(accepted)};
    }
}

// Remembers the form a host had before its first change since the table was taken, and what it was
// made of. Called behind the wave and before anything of it is accepted.
static void remember(struct sld_translate *t, sld_id key, const struct tr_vhost_row *old,
                     const struct tr_vhost_row *new_value)
{
    const struct tr_vhost_row *v = old ? old : new_value;
    struct trial *tr = trial_of(t->nack, sld_flow_key_str(t->flow, v->gateway));
    struct old *o = sld_umap_get(&tr->pending, key);
    if (!o) {
        o = SLD_NEW(struct old);
        union {
            const void *frozen;
            struct tr_vhost_row *counted;
        } u = {old}; // only the count of references changes
        o->row = sld_obj_ref(u.counted);
        sld_umap_set(&tr->pending, key, o);
    }
    add_docs(t, o, old);
    add_docs(t, o, new_value);
}

// A host that changed is free of what its former content was held for.
void tr_nack_on_vhost(struct sld_table *table, sld_id key, const void *old, const void *new_value,
                      void *user)
{
    (void)table;
    struct sld_translate *t = user;
    const struct tr_held *h = sld_flow_get(t->held, key);
    const struct tr_vhost_row *was = old, *is = new_value;
    // In the place of a held one another form was in the table: that one's change is told below.
    if (!h || !was || !sld_hash_eq(h->refused, was->content))
        remember(t, key, was, is);
    if (h && (!is || !sld_hash_eq(h->refused, is->content)))
        sld_flow_delete(t->held, key);
}

void tr_nack_on_placed(struct sld_table *table, sld_id key, const void *old, const void *new_value,
                       void *user)
{
    (void)table;
    struct sld_translate *t = user;
    const struct tr_vhost_row *plain = sld_flow_get(t->vhosts, key);
    const struct tr_vhost_row *was = old ? old : plain, *is = new_value ? new_value : plain;
    if (was || is)
        remember(t, key, was, is);
}

// ---- Holding ----

static void hold(struct sld_translate *t, struct trial *tr, struct sld_str key, bool convicted)
{
    sld_id id = sld_flow_key(t->flow, key);
    const struct tr_vhost_row *now = sld_flow_get(t->vhosts, id);
    const struct old *o = sld_umap_get(&tr->pending, id);
    if (!now)
        return;
    struct tr_held *h = SLD_NEW(struct tr_held);
    h->refused = now->content;
    const struct tr_vhost_row *good = o ? o->row : NULL;
    h->bytes = sld_arena_str(&h->arena, good ? good->bytes : SLD_STR(""));
    h->clusters =
        copy_strs(&h->arena, good ? good->clusters : NULL, good ? good->cluster_count : 0);
    h->cluster_count = good ? good->cluster_count : 0;
    if (good)
        h->confs = tr_confs_copy(&h->arena, &good->confs);
    h->secret = good && good->secret;
    h->convicted = convicted;
    h->words = sld_arena_str(&h->arena, tr->words ? tr->words->data : SLD_STR(""));
    h->build = sld_arena_str(&h->arena, tr->build ? tr->build->data : SLD_STR(""));
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

static int by_text(const void *a, const void *b)
{
    char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

// All hosts that differ from what was last taken and are not held already.
static struct group *suspects(struct sld_translate *t, struct trial *tr)
{
    size_t count = 0, at = 0;
    char **out = sld_xcalloc(tr->pending.live + 1, sizeof(*out));
    for (struct sld_umap_slot *s; (s = sld_umap_next(&tr->pending, &at));) {
        sld_id id = (sld_id)s->key;
        const struct tr_vhost_row *now = sld_flow_get(t->vhosts, id);
        const struct old *o = s->value;
        const struct tr_held *h = sld_flow_get(t->held, id);
        bool same = now && o->row && sld_hash_eq(now->content, o->row->content);
        bool held = now && h && sld_hash_eq(h->refused, now->content);
        if (now && now->bytes.n && !same && !held)
            out[count++] = own_str(sld_flow_key_str(t->flow, id));
    }
    qsort(out, count, sizeof(*out), by_text);
    struct group *g = count ? group_of(out, count) : NULL;
    sld_xfree(out);
    return g;
}

// Bars a document that the host of KEY is made of and that changed since the table was taken; false
// when none did, so that something else is to blame (a secret, an upstream): then the host is held
// until it changes.
static bool bar_one(struct sld_translate *t, struct trial *tr, struct sld_str key)
{
    const struct old *o = sld_umap_get(&tr->pending, sld_flow_key(t->flow, key));
    // In the order of keys: options and route tables before the virtual service, whose fall costs
    // more.
    for (size_t i = 0; o && i < o->doc_count; i++) {
        if (!tr_bar(t, sld_flow_key_str(t->flow, o->docs[i].key), o->docs[i].object,
                    tr->build->data, tr->words->data))
            continue;
        tr->barred = sld_xrealloc(tr->barred, (tr->barred_count + 1) * sizeof(*tr->barred));
        tr->barred[tr->barred_count++] = o->docs[i].key;
        return true;
    }
    return false;
}

// The table was taken with several documents barred: it was the last one that mattered, so the
// others are tried again.
static void pardon(struct sld_translate *t, struct trial *tr)
{
    for (size_t i = 0; i + 1 < tr->barred_count; i++)
        tr_unbar(t, sld_flow_key_str(t->flow, tr->barred[i]));
    tr->barred_count = 0;
}

static void judge_refused(struct sld_translate *t, struct trial *tr)
{
    if (!tr->running) {
        tr->groups = suspects(t, tr);
        if (!tr->groups)
            return; // nothing changed since the last ACK: this Envoy never took the table (README:
                    // refusals)
    }
    struct group *g = tr->groups;
    if (g->count > 1) {
        split(tr);
        try_next(t, tr);
        return;
    }
    tr->groups = g->next;
    struct sld_str key = sld_str_c(g->keys[0]);
    hold(t, tr, key, !bar_one(t, tr, key));
    SLD_LOG(SLD_WARN, "translate", "virtual_host_refused", SLD_KC("virtual_host", g->keys[0]),
            SLD_KS("words", tr->words->data));
    group_free(g);
    try_next(t, tr);
}

static void judge_taken(struct sld_translate *t, struct trial *tr)
{
    if (tr->running) {
        struct group *g = tr->groups;
        tr->groups = g->next;
        group_free(g);
        try_next(t, tr);
    }
    if (tr->running)
        return;
    pending_clear(tr);
    pardon(t, tr);
}

// ---- What the outside tells ----

static const struct tr_out *out_of(struct sld_translate *t, enum sld_out_type type,
                                   struct sld_str view, struct sld_str name, sld_id *key)
{
    struct sld_arena a = {0};
    struct sld_str text = tr_out_key(&a, type, view, name);
    *key = sld_flow_key_find(t->flow, text);
    const struct tr_out *row = *key ? sld_flow_get(tr_out_table(t, text, NULL), *key) : NULL;
    sld_arena_fini(&a);
    return row;
}

// The present resource of that name, if its content is CONTENT. An Envoy's view also has what all
// views have.
static const struct sld_out *present(struct sld_translate *t, enum sld_out_type type,
                                     struct sld_str view, struct sld_str name,
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
        if (sld_str_starts(sld_str_c(o->owners[i]), SLD_STR("gateways/")))
            return trial_of(t->nack, sld_str_c(o->owners[i]));
    }
    return NULL;
}

// The document that answers for cluster or listener O; 0 for others.
static sld_id answerable(struct sld_translate *t, const struct sld_out *o, enum sld_kind *kind)
{
    *kind = o->type == SLD_OUT_CLUSTER    ? SLD_KIND_UPSTREAM
            : o->type == SLD_OUT_LISTENER ? SLD_KIND_GATEWAY
                                          : SLD_KIND_COUNT;
    for (size_t i = 0; *kind != SLD_KIND_COUNT && i < o->owner_count; i++) {
        struct sld_ident id;
        if (sld_ident_parse(sld_str_c(o->owners[i]), &id) && id.kind == *kind)
            return sld_flow_key(t->flow, sld_str_c(o->owners[i]));
    }
    return 0;
}

// The form that Envoys took comes back. False: they never took another one.
static bool bar_answerable(struct sld_translate *t, const struct sld_out *o, struct sld_str build,
                           struct sld_str words)
{
    enum sld_kind kind;
    sld_id key = answerable(t, o, &kind);
    const struct sld_object *good = key ? sld_umap_get(&t->nack->good, key) : NULL;
    return good && tr_bar(t, sld_flow_key_str(t->flow, key), good, build, words);
}

static void answerable_taken(struct sld_translate *t, const struct sld_out *o)
{
    enum sld_kind kind;
    sld_id key = answerable(t, o, &kind);
    const struct sld_object *now = key ? sld_flow_get(t->accepted[kind], key) : NULL;
    if (!now)
        return;
    struct sld_object *was = sld_umap_set(&t->nack->good, key, sld_obj_ref(counted(now)));
    SLD_UNREF(was);
}

// ---- Resources without documents that could be put back ----

static void refused_free(struct sld_obj *o)
{
    struct tr_refused *r = (struct tr_refused *)o;
    sld_arena_fini(&r->arena);
    sld_xfree(r);
}

// Resource KEY of CONTENT is refused BY so many; none: it is not.
static void refused_set(struct sld_translate *t, sld_id key, struct sld_hash content, const struct tr_refusal *by, size_t n)
{
    if (!n) {
        sld_flow_delete(t->refused, key);
        return;
    }
    struct tr_refused *r = SLD_NEW(struct tr_refused);
    struct sld_hasher h;
    sld_hasher_init(&h);
    r->content = content;
    r->by = SLD_ARENA_ARRAY(&r->arena, struct tr_refusal, n);
    for (; r->count < n; r->count++) {
        struct tr_refusal own = {sld_arena_str(&r->arena, by[r->count].build), sld_arena_str(&r->arena, by[r->count].words)};
        r->by[r->count] = own;
        sld_hasher_add_u64(&h, own.build.n);
        sld_hasher_add(&h, own.build);
        sld_hasher_add_u64(&h, own.words.n);
        sld_hasher_add(&h, own.words);
    }
    sld_obj_init(&r->obj, refused_free, sld_hash_mix(content, sld_hasher_done(&h)));
    sld_flow_set(t->refused, key, r);
    SLD_UNREF(r);
}

// What WAS says but of those of BUILD, in A with room for one more.
static struct tr_refusal *refused_but(struct sld_arena *a, const struct tr_refused *was, struct sld_str build, size_t *n)
{
    struct tr_refusal *by = SLD_ARENA_ARRAY(a, struct tr_refusal, was->count + 1);
    *n = 0;
    for (size_t i = 0; i < was->count; i++) {
        if (!sld_str_eq(was->by[i].build, build))
            by[(*n)++] = was->by[i];
    }
    return by;
}

static void refused_add(struct sld_translate *t, sld_id key, struct sld_hash content, struct tr_refusal by)
{
    static const struct tr_refused none;
    const struct tr_refused *was = sld_flow_get(t->refused, key);
    struct sld_arena a = {0};
    size_t n;
    struct tr_refusal *all = refused_but(&a, was && sld_hash_eq(was->content, content) ? was : &none, by.build, &n);
    all[n++] = by;
    refused_set(t, key, content, all, n);
    sld_arena_fini(&a);
}

static bool gone(struct sld_str build, struct sld_str builds)
{
    struct sld_str one;
    if (!build.n)
        return false; // nobody knows whose refusal it was
    while (builds.n) {
        sld_str_cut(&builds, '\n', &one);
        if (sld_str_eq(one, build))
            return false;
    }
    return true;
}

// Nobody is there any more who refused resource KEY, or not as many.
static void refused_look(struct sld_translate *t, sld_id key, struct sld_str builds)
{
    const struct tr_refused *r = sld_flow_get(t->refused, key);
    struct sld_arena a = {0};
    size_t n = 0;
    struct tr_refusal *by = SLD_ARENA_ARRAY(&a, struct tr_refusal, r->count);
    for (size_t i = 0; i < r->count; i++) {
        if (!gone(r->by[i].build, builds))
            by[n++] = r->by[i];
    }
    if (n < r->count)
        refused_set(t, key, r->content, by, n);
    sld_arena_fini(&a);
}

void sld_translate_builds(struct sld_translate *t, struct sld_str builds)
{
    size_t at = 0, n = 0;
    sld_id *keys = sld_xcalloc(t->barred.live + sld_flow_count(t->held) + sld_flow_count(t->refused) + 1, sizeof(*keys)), key;
    if (builds.n) {
        for (struct sld_umap_slot *s; (s = sld_umap_next(&t->barred, &at));) {
            if (gone(((const struct barred *)s->value)->build, builds))
                keys[n++] = (sld_id)s->key;
        }
        for (size_t i = 0; i < n; i++)
            tr_unbar(t, sld_flow_key_str(t->flow, keys[i]));
        n = at = 0;
        for (const void *row; sld_flow_next(t->held, &at, &key, &row);) {
            const struct tr_held *h = row;
            if (h->convicted && gone(h->build, builds))
                keys[n++] = key;
        }
        for (size_t i = 0; i < n; i++)
            sld_flow_delete(t->held, keys[i]);
        n = at = 0;
        for (const void *row; sld_flow_next(t->refused, &at, &key, &row);)
            keys[n++] = key;
        for (size_t i = 0; i < n; i++)
            refused_look(t, keys[i], builds);
    }
    sld_xfree(keys);
}

static void take_refusal(struct sld_translate *t, const struct sld_out *o, sld_id key, struct sld_hash content,
                         struct sld_str build, struct sld_str words)
{
    if (o->type == SLD_OUT_ROUTE) {
        struct trial *tr = trial_of_table(t, o);
        if (!tr || sld_hash_eq(tr->judged, content))
            return;
        SLD_UNREF(tr->words);
        SLD_UNREF(tr->build);
        tr->words = sld_blob_create(words);
        tr->build = sld_blob_create(build);
        tr->judged = content;
        judge_refused(t, tr);
        return;
    }
    if (bar_answerable(t, o, build, words))
        return;
    refused_add(t, key, content, (struct tr_refusal){build, words});
}

void sld_translate_refused(struct sld_translate *t, enum sld_out_type type, struct sld_str view,
                           struct sld_str name, struct sld_hash content, struct sld_str build,
                           struct sld_str words)
{
    sld_id key;
    const struct sld_out *o = present(t, type, view, name, content, &key);
    if (!o)
        return; // a newer form is on its way
    struct sld_arena a = {0};
    if (o->secret)
        words = tr_redact(t, &a, words);
    take_refusal(t, o, key, content, build, words);
    sld_arena_fini(&a);
}

void sld_translate_taken(struct sld_translate *t, enum sld_out_type type, struct sld_str view,
                         struct sld_str name, struct sld_hash content, struct sld_str build)
{
    (void)build;
    sld_id key;
    const struct sld_out *o = present(t, type, view, name, content, &key);
    if (!o)
        return;
    if (type == SLD_OUT_ROUTE) {
        struct trial *tr = trial_of_table(t, o);
        if (tr && !sld_hash_eq(tr->judged, content)) {
            tr->judged =
                tr->running ? content : (struct sld_hash){0}; // the refused one may come back
            judge_taken(t, tr);
        }
    }
    answerable_taken(t, o);
    if (type != SLD_OUT_ROUTE && sld_flow_get(t->refused, key)) {
        sld_flow_delete(t->refused, key);
    }
}

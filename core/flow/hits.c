// Sorted rows of index entries and of whole tables, kept up to date change by change.
#include "flow/inside.h"

#include <stdlib.h>

int flow_key_cmp(const struct sld_flow *f, sld_id a, sld_id b)
{
    return a == b ? 0 : sld_str_cmp(sld_intern_str(f->keys, a), sld_intern_str(f->keys, b));
}

void flow_hits_fini(struct hits *h)
{
    sld_xfree(h->v);
    *h = (struct hits){0};
}

void flow_hits_add(struct hits *h, struct sld_hit hit)
{
    FLOW_GROW(h->v, h->n, h->cap);
    h->v[h->n++] = hit;
}

// By key text, then by rank of their tables.
static int hit_cmp(const struct sld_flow *f, const struct sld_hit *a, const struct sld_hit *b)
{
    int c = flow_key_cmp(f, a->key, b->key);
    return c ? c : (a->rank > b->rank) - (a->rank < b->rank);
}

// The first of N sorted hits that is not before HIT.
static uint32_t hits_place(const struct sld_flow *f, const struct sld_hit *v, uint32_t n,
                           const struct sld_hit *hit)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (hit_cmp(f, &v[mid], hit) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

// Replaces the value of a row which is there since an earlier round; NULL removes it.
static void hits_set(const struct sld_flow *f, struct hits *h, struct sld_hit hit)
{
    uint32_t at = hits_place(f, h->v, h->sorted, &hit);
    struct sld_hit *is = &h->v[at];
    SLD_INV(at < h->sorted && is->key == hit.key && is->rank == hit.rank && is->value);
    is->value = hit.value;
    h->dead += !hit.value;
}

static int by_text(const void *a, const void *b, void *arg)
{
    return hit_cmp(arg, a, b);
}

void flow_hits_settle(const struct sld_flow *f, struct hits *h)
{
    struct sld_hit *v = h->v;
    if (h->dead) {
        uint32_t to = 0, sorted = 0;
        for (uint32_t i = 0; i < h->n; i++) {
            if (!v[i].value)
                continue;
            sorted += i < h->sorted;
            v[to++] = v[i];
        }
        h->n = to;
        h->sorted = sorted;
        h->dead = 0;
        if (to == 0) {
            flow_hits_fini(h);
            return;
        }
    }
    uint32_t left = h->sorted, added = h->n - left;
    h->sorted = h->n;
    if (added == 0)
        return;
    if (left == 0) {
        qsort_r(v, added, sizeof(*v), by_text, (void *)(uintptr_t)f);
        return;
    }
    struct sld_hit *tail = sld_xalloc(added * sizeof(*tail));
    memcpy(tail, v + left, added * sizeof(*tail));
    qsort_r(tail, added, sizeof(*tail), by_text, (void *)(uintptr_t)f);
    // From the back: each added row pushes the sorted ones behind it to their final place.
    for (uint32_t j = added; j-- > 0;) {
        uint32_t at = hits_place(f, v, left, &tail[j]);
        memmove(v + at + j + 1, v + at, (left - at) * sizeof(*v));
        v[at + j] = tail[j];
        left = at;
    }
    sld_xfree(tail);
}

// ---- Entries ----

static struct sld_hit hit_of(const struct node *n)
{
    return (struct sld_hit){n->key, n->table, n->value};
}

static struct hits *many_of(const struct sld_flow *f, const struct entry *e)
{
    return flow_at(&f->slabs, e->probe.own);
}

const struct sld_hit *flow_entry_rows(const struct sld_flow *f, struct sld_arena *a, const struct entry *e, size_t *n)
{
    *n = e->many ? many_of(f, e)->n : e->probe.own != 0;
    if (e->many)
        return many_of(f, e)->v;
    struct sld_hit *one = SLD_ARENA_NEW(a, struct sld_hit);
    if (*n)
        *one = hit_of(flow_at(&f->slabs, e->probe.own));
    return one;
}

void flow_entry_fini(struct sld_flow *f, struct entry *e)
{
    if (!e->many)
        return;
    flow_hits_fini(many_of(f, e));
    flow_pool_drop(&f->hits, many_of(f, e));
    e->probe.own = 0;
    e->many = false;
}

struct entry *flow_entry_get(struct sld_index *i, sld_id key)
{
    struct entry *e = flow_idtab_get(&i->entries, key);
    if (!e) {
        e = flow_pool_new(&i->flow->entries);
        e->index = i->number;
        e->key = key;
        flow_idtab_add(&i->entries, e);
    }
    return e;
}

void flow_entry_drop(struct sld_flow *f, struct entry *e)
{
    if (e->probe.own || e->probe.n > 0 || e->touched)
        return;
    flow_idtab_remove(&f->indexes[e->index]->entries, e->key);
    flow_pool_drop(&f->entries, e);
}

static void ids_add(void *arg, sld_id entry)
{
    struct ids *ids = arg;
    SLD_PRE(entry != 0);
    FLOW_GROW(ids->v, ids->n, ids->cap);
    ids->v[ids->n++] = entry;
}

static int by_id(const void *a, const void *b)
{
    sld_id x = *(const sld_id *)a, y = *(const sld_id *)b;
    return (x > y) - (x < y);
}

// The entries of VALUE, each once, in order of ids.
static void ids_of(struct sld_index *i, sld_id key, struct sld_obj *value, struct ids *ids)
{
    ids->n = 0;
    if (!value)
        return;
    i->fn(key, value, ids_add, ids, i->user);
    if (ids->n < 2)
        return;
    qsort(ids->v, ids->n, sizeof(*ids->v), by_id);
    size_t to = 1;
    for (size_t k = 1; k < ids->n; k++) {
        if (ids->v[k] != ids->v[to - 1])
            ids->v[to++] = ids->v[k];
    }
    ids->n = to;
}

// N becomes a row of E.
static void entry_add(struct sld_flow *f, struct entry *e, const struct node *n)
{
    if (!e->probe.own) {
        e->probe.own = flow_ref_of(n);
        return;
    }
    if (!e->many) {
        struct sld_hit one = hit_of(flow_at(&f->slabs, e->probe.own));
        struct hits *h = flow_pool_new(&f->hits);
        flow_hits_add(h, one);
        h->sorted = 1;
        e->probe.own = flow_ref_of(h);
        e->many = true;
    }
    flow_hits_add(many_of(f, e), hit_of(n));
}

static void entry_settle(struct sld_flow *f, struct entry *e)
{
    if (!e->many)
        return;
    flow_hits_settle(f, many_of(f, e));
    if (!many_of(f, e)->n)
        flow_entry_fini(f, e);
}

// N, which has changed, WAS a row of the entry, IS one now, or both.
static void entry_change(struct sld_index *i, sld_id entry, const struct node *n, bool was, bool is)
{
    struct entry *e = flow_entry_get(i, entry);
    struct sld_hit hit = {n->key, n->table, is ? n->value : NULL};
    if (!was)
        entry_add(i->flow, e, n);
    else if (e->many)
        hits_set(i->flow, many_of(i->flow, e), hit);
    else if (!is)
        e->probe.own = 0;
    if (!e->touched) {
        e->touched = true;
        FLOW_GROW(i->touched, i->touched_n, i->touched_cap);
        i->touched[i->touched_n++] = e;
        flow_probe_wake(i->flow, &e->probe, false);
    }
}

void flow_index_change(struct sld_table *t, struct node *n, struct sld_obj *old,
                       struct sld_obj *new_value)
{
    struct ids *a = &t->flow->ids_old, *b = &t->flow->ids_new;
    struct sld_hit hit = {n->key, t->rank, new_value};
    if (t->all_kept && old)
        hits_set(t->flow, &t->all, hit);
    else if (t->all_kept)
        flow_hits_add(&t->all, hit);
    flow_probe_wake(t->flow, &t->probe, false);
    for (struct indexing *it = t->indexes; it; it = it->next) {
        ids_of(it->index, n->key, old, a);
        ids_of(it->index, n->key, new_value, b);
        for (size_t x = 0, y = 0; x < a->n || y < b->n;) {
            bool was = y == b->n || (x < a->n && a->v[x] <= b->v[y]);
            bool is = x == a->n || (y < b->n && b->v[y] <= a->v[x]);
            entry_change(it->index, was ? a->v[x] : b->v[y], n, was, is);
            x += was;
            y += is;
        }
    }
}

void flow_index_settle(struct sld_table *t)
{
    if (t->all_kept)
        flow_hits_settle(t->flow, &t->all);
    for (struct indexing *it = t->indexes; it; it = it->next) {
        struct sld_index *i = it->index;
        for (size_t k = 0; k < i->touched_n; k++) {
            struct entry *e = i->touched[k];
            e->touched = false;
            entry_settle(t->flow, e);
            flow_entry_drop(t->flow, e);
        }
        i->touched_n = 0;
        FLOW_SHRINK(i->touched, i->touched_cap);
    }
}

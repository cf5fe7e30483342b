// Sorted rows of index entries and of whole tables, kept up to date change by change.
#include "flow/inside.h"

#include <stdlib.h>

int flow_key_cmp(const struct sld_flow *f, sld_id a, sld_id b)
{
    return a == b ? 0 : sld_str_cmp(sld_intern_str(f->keys, a), sld_intern_str(f->keys, b));
}

void flow_hits_add(struct hits *h, sld_id key, const void *value)
{
    FLOW_GROW(h->v, h->n, h->cap);
    h->v[h->n++] = (struct sld_hit){key, value};
}

// The first of N sorted hits whose key is not before KEY.
static uint32_t hits_place(const struct sld_flow *f, const struct sld_hit *v, uint32_t n,
                           sld_id key)
{
    uint32_t lo = 0, hi = n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (flow_key_cmp(f, v[mid].key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

// Replaces the value of KEY, which is there since an earlier round; NULL removes it.
static void hits_set(const struct sld_flow *f, struct hits *h, sld_id key, const void *value)
{
    uint32_t at = hits_place(f, h->v, h->sorted, key);
    SLD_INV(at < h->sorted && h->v[at].key == key && h->v[at].value);
    h->v[at].value = value;
    if (!value)
        h->dead++;
}

static int by_text(const void *a, const void *b, void *arg)
{
    return flow_key_cmp(arg, ((const struct sld_hit *)a)->key, ((const struct sld_hit *)b)->key);
}

void flow_hits_settle(const struct sld_flow *f, struct hits *h)
{
    if (h->dead) {
        uint32_t to = 0, sorted = 0;
        for (uint32_t i = 0; i < h->n; i++) {
            if (!h->v[i].value)
                continue;
            sorted += i < h->sorted;
            h->v[to++] = h->v[i];
        }
        *h = (struct hits){.v = h->v, .n = to, .sorted = sorted, .cap = h->cap};
    }
    uint32_t added = h->n - h->sorted;
    if (added == 0)
        return;
    struct sld_hit *tail = sld_xalloc(added * sizeof(*tail));
    memcpy(tail, h->v + h->sorted, added * sizeof(*tail));
    qsort_r(tail, added, sizeof(*tail), by_text, (void *)(uintptr_t)f);
    // From the back: each added row pushes the sorted ones behind it to their final place.
    uint32_t left = h->sorted;
    for (uint32_t j = added; j-- > 0;) {
        uint32_t at = hits_place(f, h->v, left, tail[j].key);
        memmove(h->v + at + j + 1, h->v + at, (left - at) * sizeof(*h->v));
        h->v[at + j] = tail[j];
        left = at;
    }
    h->sorted = h->n;
    sld_xfree(tail);
}

struct entry *flow_entry_get(struct sld_index *i, sld_id key)
{
    struct entry *e = sld_umap_get(&i->entries, key);
    if (!e) {
        e = SLD_NEW(struct entry);
        e->index = i;
        e->key = key;
        sld_umap_set(&i->entries, key, e);
    }
    return e;
}

void flow_entry_drop(struct entry *e)
{
    if (e->hits.n > 0 || e->probe.n > 0 || e->touched)
        return;
    sld_umap_remove(&e->index->entries, e->key);
    sld_xfree(e->hits.v);
    sld_xfree(e->probe.v);
    sld_xfree(e);
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

static void entry_change(struct sld_index *i, sld_id entry, sld_id key, bool was,
                         struct sld_obj *value)
{
    struct entry *e = flow_entry_get(i, entry);
    if (was)
        hits_set(i->table->flow, &e->hits, key, value);
    else
        flow_hits_add(&e->hits, key, value);
    if (!e->touched) {
        e->touched = true;
        FLOW_GROW(i->touched, i->touched_n, i->touched_cap);
        i->touched[i->touched_n++] = e;
        flow_probe_wake(&e->probe, false);
    }
}

void flow_index_change(struct node *n, struct sld_obj *old, struct sld_obj *new_value)
{
    struct sld_table *t = n->table;
    struct ids *a = &t->flow->ids_old, *b = &t->flow->ids_new;
    if (t->all_kept && old)
        hits_set(t->flow, &t->all, n->key, new_value);
    else if (t->all_kept)
        flow_hits_add(&t->all, n->key, new_value);
    flow_probe_wake(&t->probe, false);
    for (struct sld_index *i = t->indexes; i; i = i->next) {
        ids_of(i, n->key, old, a);
        ids_of(i, n->key, new_value, b);
        for (size_t x = 0, y = 0; x < a->n || y < b->n;) {
            bool was = y == b->n || (x < a->n && a->v[x] <= b->v[y]);
            bool is = x == a->n || (y < b->n && b->v[y] <= a->v[x]);
            entry_change(i, was ? a->v[x] : b->v[y], n->key, was, is ? new_value : NULL);
            x += was;
            y += is;
        }
    }
}

void flow_index_settle(struct sld_table *t)
{
    if (t->all_kept)
        flow_hits_settle(t->flow, &t->all);
    for (struct sld_index *i = t->indexes; i; i = i->next) {
        for (size_t k = 0; k < i->touched_n; k++) {
            struct entry *e = i->touched[k];
            e->touched = false;
            flow_hits_settle(t->flow, &e->hits);
            flow_entry_drop(e);
        }
        i->touched_n = 0;
    }
}

// Where the many small things of a flow live: pools of items of one size, and tables of them by id.
#include "flow/inside.h"

// A slab begins at a multiple of its size, so that an item's slab is known by its address.
enum { SLAB_BYTES = 32 * 1024, UNIT = 8, UNITS = SLAB_BYTES / UNIT };

struct slab {
    uint32_t number; // in slabs->v
};

// Where the first item of a slab stands; no item has the name 0.
enum { FIRST = 2 * UNIT };
_Static_assert(sizeof(struct slab) <= FIRST, "items follow the head");

void flow_slabs_fini(struct slabs *all)
{
    for (uint32_t i = 0; i < all->n; i++)
        sld_xfree(all->v[i]);
    sld_xfree(all->v);
    *all = (struct slabs){0};
}

static struct slab *slab_add(struct slabs *all)
{
    SLD_INV(all->n < UINT32_MAX / UNITS);
    FLOW_GROW(all->v, all->n, all->cap);
    struct slab *s = sld_xalloc_aligned(SLAB_BYTES, SLAB_BYTES);
    s->number = all->n;
    all->v[all->n++] = s;
    return s;
}

void flow_pool_init(struct pool *p, struct slabs *all, size_t size)
{
    SLD_PRE(size >= sizeof(void *) && size % UNIT == 0 && size <= SLAB_BYTES - FIRST);
    *p = (struct pool){.all = all, .size = size};
}

void *flow_pool_new(struct pool *p)
{
    void *item = p->free;
    if (item) {
        memcpy(&p->free, item, sizeof(void *));
        return memset(item, 0, p->size);
    }
    if (!p->last || SLAB_BYTES - p->used < p->size) {
        p->last = slab_add(p->all);
        p->used = FIRST;
    }
    item = (char *)p->last + p->used;
    p->used += p->size;
    return memset(item, 0, p->size);
}

void flow_pool_drop(struct pool *p, void *item)
{
    memcpy(item, &p->free, sizeof(void *));
    p->free = item;
}

flow_ref flow_ref_of(const void *item)
{
    uintptr_t at = (uintptr_t)item, in_slab = at % SLAB_BYTES;
    const struct slab *s = (const void *)((const char *)item - in_slab);
    return s->number * UNITS + (uint32_t)(in_slab / UNIT);
}

void *flow_at(const struct slabs *all, flow_ref ref)
{
    return (char *)all->v[ref / UNITS] + (size_t)(ref % UNITS) * UNIT;
}

// ---- Items by id ----

enum { IDTAB_MIN = 8 };

static sld_id key_of(const struct idtab *t, flow_ref item)
{
    return *(const sld_id *)flow_at(t->all, item);
}

// Ids are handed out in a row: the multiplication spreads them evenly.
static uint32_t place_of(const struct idtab *t, sld_id key)
{
    return (uint32_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (t->cap - 1);
}

void flow_idtab_init(struct idtab *t, const struct slabs *all)
{
    *t = (struct idtab){.all = all};
}

void flow_idtab_fini(struct idtab *t)
{
    sld_xfree(t->v);
    flow_idtab_init(t, t->all);
}

void *flow_idtab_get(const struct idtab *t, sld_id key)
{
    if (t->cap == 0)
        return NULL;
    for (uint32_t i = place_of(t, key); t->v[i]; i = (i + 1) & (t->cap - 1)) {
        if (key_of(t, t->v[i]) == key)
            return flow_at(t->all, t->v[i]);
    }
    return NULL;
}

static void put(struct idtab *t, flow_ref item)
{
    uint32_t i = place_of(t, key_of(t, item));
    while (t->v[i])
        i = (i + 1) & (t->cap - 1);
    t->v[i] = item;
}

void flow_idtab_add(struct idtab *t, void *item)
{
    if ((t->n + 1) * UINT64_C(4) > t->cap * UINT64_C(3)) {
        struct idtab old = *t;
        SLD_INV(old.cap < UINT32_MAX / 2);
        t->cap = old.cap ? old.cap * 2 : IDTAB_MIN;
        t->v = sld_xcalloc(t->cap, sizeof(*t->v));
        for (uint32_t i = 0; i < old.cap; i++) {
            if (old.v[i])
                put(t, old.v[i]);
        }
        sld_xfree(old.v);
    }
    put(t, flow_ref_of(item));
    t->n++;
}

void flow_idtab_remove(struct idtab *t, sld_id key)
{
    SLD_PRE(t->cap > 0);
    uint32_t mask = t->cap - 1, hole = place_of(t, key);
    while (t->v[hole] && key_of(t, t->v[hole]) != key)
        hole = (hole + 1) & mask;
    SLD_PRE(t->v[hole] != 0);
    // What stands behind moves up, unless it stands at or before its own place.
    for (uint32_t i = (hole + 1) & mask; t->v[i]; i = (i + 1) & mask) {
        uint32_t home = place_of(t, key_of(t, t->v[i]));
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        t->v[hole] = t->v[i];
        hole = i;
    }
    t->v[hole] = 0;
    t->n--;
}

void *flow_idtab_next(const struct idtab *t, size_t *at)
{
    while (*at < t->cap) {
        flow_ref item = t->v[(*at)++];
        if (item)
            return flow_at(t->all, item);
    }
    return NULL;
}

// Where the many small things of a flow live: pools of items of one size, and tables of them by id.
#include "flow/inside.h"

// Slabs grow from the first of these numbers of items to the second.
enum { SLAB_MIN = 16, SLAB_MAX = 1024 };

struct slab {
    struct slab *next;
    size_t used, cap; // items
};

void flow_pool_init(struct pool *p, size_t size)
{
    SLD_PRE(size >= sizeof(void *) && size % sizeof(void *) == 0);
    *p = (struct pool){.size = size};
}

void flow_pool_fini(struct pool *p)
{
    for (struct slab *s = p->slabs, *next; s; s = next) {
        next = s->next;
        sld_xfree(s);
    }
    *p = (struct pool){0};
}

void *flow_pool_new(struct pool *p)
{
    if (p->free) {
        void *item = p->free;
        memcpy(&p->free, item, sizeof(void *));
        return memset(item, 0, p->size);
    }
    struct slab *s = p->slabs;
    if (!s || s->used == s->cap) {
        size_t cap = !s ? SLAB_MIN : s->cap < SLAB_MAX ? s->cap * 2 : SLAB_MAX;
        s = sld_xcalloc(1, sizeof(*s) + cap * p->size);
        s->cap = cap;
        s->next = p->slabs;
        p->slabs = s;
    }
    return (char *)(s + 1) + s->used++ * p->size;
}

void flow_pool_drop(struct pool *p, void *item)
{
    memcpy(item, &p->free, sizeof(void *));
    p->free = item;
}

// ---- Items by id ----

enum { IDTAB_MIN = 8 };

static sld_id key_of(const void *item)
{
    return *(const sld_id *)item;
}

// Ids are handed out in a row: the multiplication spreads them evenly.
static uint32_t place_of(const struct idtab *t, sld_id key)
{
    return (uint32_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (t->cap - 1);
}

void flow_idtab_fini(struct idtab *t)
{
    sld_xfree(t->v);
    *t = (struct idtab){0};
}

void *flow_idtab_get(const struct idtab *t, sld_id key)
{
    if (t->cap == 0)
        return NULL;
    for (uint32_t i = place_of(t, key); t->v[i]; i = (i + 1) & (t->cap - 1)) {
        if (key_of(t->v[i]) == key)
            return t->v[i];
    }
    return NULL;
}

static void put(struct idtab *t, void *item)
{
    uint32_t i = place_of(t, key_of(item));
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
        t->v = sld_xcalloc(t->cap, sizeof(void *));
        for (uint32_t i = 0; i < old.cap; i++) {
            if (old.v[i])
                put(t, old.v[i]);
        }
        sld_xfree(old.v);
    }
    put(t, item);
    t->n++;
}

void flow_idtab_remove(struct idtab *t, sld_id key)
{
    SLD_PRE(t->cap > 0);
    uint32_t mask = t->cap - 1, hole = place_of(t, key);
    while (t->v[hole] && key_of(t->v[hole]) != key)
        hole = (hole + 1) & mask;
    SLD_PRE(t->v[hole] != NULL);
    // What stands behind moves up, unless it stands at or before its own place.
    for (uint32_t i = (hole + 1) & mask; t->v[i]; i = (i + 1) & mask) {
        uint32_t home = place_of(t, key_of(t->v[i]));
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        t->v[hole] = t->v[i];
        hole = i;
    }
    t->v[hole] = NULL;
    t->n--;
}

void *flow_idtab_next(const struct idtab *t, size_t *at)
{
    while (*at < t->cap) {
        void *item = t->v[(*at)++];
        if (item)
            return item;
    }
    return NULL;
}

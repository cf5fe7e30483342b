// Open-addressing hash maps with linear probing, grown at 3/4.
#include "base/map.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/hash.h"

enum { FREE = 0, TOMB = 1, FIRST_LIVE = 2 };

static uint64_t key_hash(struct sld_str key)
{
    uint64_t h = sld_hash64(key);
    return h < FIRST_LIVE ? h + FIRST_LIVE : h;
}

void sld_map_fini(struct sld_map *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].hash >= FIRST_LIVE)
            sld_xfree((void *)(uintptr_t)m->slots[i].key.p);
    }
    sld_xfree(m->slots);
    *m = (struct sld_map){0};
}

static struct sld_map_slot *map_find(const struct sld_map *m, struct sld_str key, uint64_t hash)
{
    if (m->cap == 0)
        return NULL;
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct sld_map_slot *s = &m->slots[i];
        if (s->hash == FREE)
            return NULL;
        if (s->hash == hash && sld_str_eq(s->key, key))
            return s;
    }
}

static void map_rehash(struct sld_map *m, size_t cap)
{
    struct sld_map_slot *old = m->slots;
    size_t old_cap = m->cap;
    m->slots = sld_xcalloc(cap, sizeof(*m->slots));
    m->cap = cap;
    m->used = m->live;
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].hash < FIRST_LIVE)
            continue;
        size_t at = old[i].hash & (cap - 1);
        while (m->slots[at].hash != FREE)
            at = (at + 1) & (cap - 1);
        m->slots[at] = old[i];
    }
    sld_xfree(old);
}

void *sld_map_get(const struct sld_map *m, struct sld_str key)
{
    struct sld_map_slot *s = map_find(m, key, key_hash(key));
    return s ? s->value : NULL;
}

bool sld_map_has(const struct sld_map *m, struct sld_str key)
{
    return map_find(m, key, key_hash(key)) != NULL;
}

void *sld_map_set(struct sld_map *m, struct sld_str key, void *value)
{
    uint64_t hash = key_hash(key);
    struct sld_map_slot *s = map_find(m, key, hash);
    if (s) {
        void *before = s->value;
        s->value = value;
        return before;
    }
    if ((m->used + 1) * 4 > m->cap * 3)
        map_rehash(m, m->cap == 0 ? 16 : m->live * 2 >= m->cap ? m->cap * 2 : m->cap);
    size_t at = hash & (m->cap - 1);
    while (m->slots[at].hash >= FIRST_LIVE)
        at = (at + 1) & (m->cap - 1);
    if (m->slots[at].hash == FREE)
        m->used++;
    char *copy = sld_xalloc(key.n + 1);
    if (key.n)
        memcpy(copy, key.p, key.n);
    copy[key.n] = 0;
    m->slots[at] = (struct sld_map_slot){hash, {copy, key.n}, value};
    m->live++;
    return NULL;
}

void *sld_map_remove(struct sld_map *m, struct sld_str key)
{
    struct sld_map_slot *s = map_find(m, key, key_hash(key));
    if (!s)
        return NULL;
    void *value = s->value;
    sld_xfree((void *)(uintptr_t)s->key.p);
    *s = (struct sld_map_slot){.hash = TOMB};
    m->live--;
    return value;
}

struct sld_map_slot *sld_map_next(const struct sld_map *m, size_t *at)
{
    while (*at < m->cap) {
        struct sld_map_slot *s = &m->slots[(*at)++];
        if (s->hash >= FIRST_LIVE)
            return s;
    }
    return NULL;
}

static int by_key(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

struct sld_str *sld_map_sorted_keys(const struct sld_map *m, size_t *n)
{
    struct sld_str *keys = sld_xcalloc(m->live, sizeof(*keys));
    *n = 0;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(m, &at));)
        keys[(*n)++] = s->key;
    qsort(keys, *n, sizeof(*keys), by_key);
    return keys;
}

enum { U_FREE = 0, U_LIVE = 1, U_TOMB = 2 };

static uint64_t mix(uint64_t k)
{
    k ^= k >> 33;
    k *= 0xff51afd7ed558ccdULL;
    k ^= k >> 33;
    k *= 0xc4ceb9fe1a85ec53ULL;
    return k ^ (k >> 33);
}

void sld_umap_fini(struct sld_umap *m)
{
    if (!m)
        return;
    sld_xfree(m->slots);
    *m = (struct sld_umap){0};
}

static struct sld_umap_slot *umap_find(const struct sld_umap *m, uint64_t key)
{
    if (m->cap == 0)
        return NULL;
    for (size_t i = mix(key) & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct sld_umap_slot *s = &m->slots[i];
        if (s->state == U_FREE)
            return NULL;
        if (s->state == U_LIVE && s->key == key)
            return s;
    }
}

static void umap_rehash(struct sld_umap *m, size_t cap)
{
    struct sld_umap_slot *old = m->slots;
    size_t old_cap = m->cap;
    m->slots = sld_xcalloc(cap, sizeof(*m->slots));
    m->cap = cap;
    m->used = m->live;
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].state != U_LIVE)
            continue;
        size_t at = mix(old[i].key) & (cap - 1);
        while (m->slots[at].state != U_FREE)
            at = (at + 1) & (cap - 1);
        m->slots[at] = old[i];
    }
    sld_xfree(old);
}

void *sld_umap_get(const struct sld_umap *m, uint64_t key)
{
    struct sld_umap_slot *s = umap_find(m, key);
    return s ? s->value : NULL;
}

bool sld_umap_has(const struct sld_umap *m, uint64_t key)
{
    return umap_find(m, key) != NULL;
}

void *sld_umap_set(struct sld_umap *m, uint64_t key, void *value)
{
    struct sld_umap_slot *s = umap_find(m, key);
    if (s) {
        void *before = s->value;
        s->value = value;
        return before;
    }
    if ((m->used + 1) * 4 > m->cap * 3)
        umap_rehash(m, m->cap == 0 ? 16 : m->live * 2 >= m->cap ? m->cap * 2 : m->cap);
    size_t at = mix(key) & (m->cap - 1);
    while (m->slots[at].state == U_LIVE)
        at = (at + 1) & (m->cap - 1);
    if (m->slots[at].state == U_FREE)
        m->used++;
    m->slots[at] = (struct sld_umap_slot){key, value, U_LIVE};
    m->live++;
    return NULL;
}

void *sld_umap_remove(struct sld_umap *m, uint64_t key)
{
    struct sld_umap_slot *s = umap_find(m, key);
    if (!s)
        return NULL;
    void *value = s->value;
    s->state = U_TOMB;
    s->value = NULL;
    m->live--;
    return value;
}

struct sld_umap_slot *sld_umap_next(const struct sld_umap *m, size_t *at)
{
    while (*at < m->cap) {
        struct sld_umap_slot *s = &m->slots[(*at)++];
        if (s->state == U_LIVE)
            return s;
    }
    return NULL;
}

// What stands where an item was.
static char tomb;

void sld_set_fini(struct sld_set *s)
{
    if (!s)
        return;
    sld_xfree(s->v);
    *s = (struct sld_set){.key = s->key};
}

static size_t set_place(const struct sld_set *s, struct sld_str key)
{
    return sld_hash64(key) & (s->cap - 1);
}

void *sld_set_get(const struct sld_set *s, struct sld_str key)
{
    if (s->cap == 0)
        return NULL;
    for (size_t i = set_place(s, key); s->v[i]; i = (i + 1) & (s->cap - 1)) {
        if (s->v[i] != &tomb && sld_str_eq(s->key(s->v[i]), key))
            return s->v[i];
    }
    return NULL;
}

static void set_rehash(struct sld_set *s, size_t cap)
{
    void **old = s->v;
    size_t old_cap = s->cap;
    s->v = sld_xcalloc(cap, sizeof(*s->v));
    s->cap = cap;
    s->used = s->live;
    for (size_t i = 0; i < old_cap; i++) {
        if (!old[i] || old[i] == &tomb)
            continue;
        size_t at = set_place(s, s->key(old[i]));
        while (s->v[at])
            at = (at + 1) & (cap - 1);
        s->v[at] = old[i];
    }
    sld_xfree(old);
}

void sld_set_add(struct sld_set *s, void *item)
{
    if ((s->used + 1) * 4 > s->cap * 3)
        set_rehash(s, s->cap == 0 ? 16 : s->live * 2 >= s->cap ? s->cap * 2 : s->cap);
    size_t at = set_place(s, s->key(item));
    while (s->v[at] && s->v[at] != &tomb)
        at = (at + 1) & (s->cap - 1);
    s->used += s->v[at] == NULL;
    s->v[at] = item;
    s->live++;
}

void sld_set_remove(struct sld_set *s, const void *item)
{
    SLD_PRE(s->cap > 0);
    size_t at = set_place(s, s->key(item));
    for (; s->v[at] != item; at = (at + 1) & (s->cap - 1))
        SLD_PRE(s->v[at] != NULL);
    s->v[at] = &tomb;
    s->live--;
}

void *sld_set_next(const struct sld_set *s, size_t *at)
{
    while (*at < s->cap) {
        void *item = s->v[(*at)++];
        if (item && item != &tomb)
            return item;
    }
    return NULL;
}

// Hash maps: byte strings or 64-bit integers to pointers, and sets of items with keys of their own. Open addressing, not thread-safe.
//
// Iteration order is unspecified and differs from run to run (seeded hash): sort before anything
// that ends in output.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct sld_map_slot {
    uint64_t hash; // 0 = free, 1 = tombstone
    struct sld_str key;
    void *value;
};

// Keys are copied and owned by the map. A zeroed struct is an empty map.
struct sld_map {
    struct sld_map_slot *slots;
    size_t cap, used, live;
};

// Frees keys and slots; the values are the caller's. The map is empty again.
void sld_map_fini(struct sld_map *m);
// The value of KEY, or NULL.
void *sld_map_get(const struct sld_map *m, struct sld_str key);
bool sld_map_has(const struct sld_map *m, struct sld_str key);
// Sets KEY to VALUE; returns the previous value or NULL.
void *sld_map_set(struct sld_map *m, struct sld_str key, void *value);
// Removes KEY; returns its value or NULL.
void *sld_map_remove(struct sld_map *m, struct sld_str key);
static inline size_t sld_map_count(const struct sld_map *m)
{
    return m->live;
}
// The next slot from *AT on (start with *AT = 0), or NULL at the end. Removing the returned slot
// while iterating is allowed, adding is not.
struct sld_map_slot *sld_map_next(const struct sld_map *m, size_t *at);
// The keys in byte order, in an array to be freed with sld_xfree; *N gets their count. The slices
// are the map's own.
struct sld_str *sld_map_sorted_keys(const struct sld_map *m, size_t *n);

struct sld_umap_slot {
    uint64_t key;
    void *value;
    unsigned char state; // 0 free, 1 live, 2 tombstone
};

// Integer keys. A zeroed struct is an empty map.
struct sld_umap {
    struct sld_umap_slot *slots;
    size_t cap, used, live;
};

// As of sld_map; get gives NULL where the key is not, set and remove give the value that was there.
void sld_umap_fini(struct sld_umap *m);
void *sld_umap_get(const struct sld_umap *m, uint64_t key);
bool sld_umap_has(const struct sld_umap *m, uint64_t key);
void *sld_umap_set(struct sld_umap *m, uint64_t key, void *value);
void *sld_umap_remove(struct sld_umap *m, uint64_t key);
struct sld_umap_slot *sld_umap_next(const struct sld_umap *m, size_t *at);

// Items that hold their keys themselves: a pointer each, and no copy of the key. Set `key` first; the
// rest of an empty set is zero. The key of an item in a set does not change.
struct sld_set {
    struct sld_str (*key)(const void *item);
    void **v;
    size_t cap, used, live;
};

// Frees the set's memory, not the items. It is empty again.
void sld_set_fini(struct sld_set *s);
// The item of KEY, or NULL.
void *sld_set_get(const struct sld_set *s, struct sld_str key);
// Adds ITEM, whose key is not there yet.
void sld_set_add(struct sld_set *s, void *item);
// Takes ITEM, which is there, out.
void sld_set_remove(struct sld_set *s, const void *item);
static inline size_t sld_set_count(const struct sld_set *s)
{
    return s->live;
}
// The next item from *AT on (start with *AT = 0), or NULL at the end. Removing the returned item while
// iterating is allowed, adding is not.
void *sld_set_next(const struct sld_set *s, size_t *at);

// Content hashes by libxxhash.
#include "base/hash.h"

#include <stdio.h>
#include <time.h>
#include <xxhash.h>

#include "base/assert.h"

struct sld_hash sld_hash_bytes(struct sld_str s)
{
    XXH128_hash_t h = XXH3_128bits(s.p ? s.p : "", s.n);
    return (struct sld_hash){h.low64, h.high64};
}

struct sld_hash sld_hash_mix(struct sld_hash a, struct sld_hash b)
{
    uint64_t both[4] = {a.lo, a.hi, b.lo, b.hi};
    return sld_hash_bytes((struct sld_str){(const char *)both, sizeof(both)});
}

bool sld_hash_eq(struct sld_hash a, struct sld_hash b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

bool sld_hash_zero(struct sld_hash a)
{
    return a.lo == 0 && a.hi == 0;
}

void sld_hasher_init(struct sld_hasher *h)
{
    h->state = NULL;
    h->n = 0;
}

static void put(struct sld_hasher *h, const void *p, size_t n)
{
    if (!h->state && n <= sizeof(h->first) - h->n) {
        memcpy(h->first + h->n, p, n);
        h->n += n;
        return;
    }
    if (!h->state) {
        h->state = XXH3_createState();
        SLD_INV(h->state != NULL);
        XXH3_128bits_reset(h->state);
        XXH3_128bits_update(h->state, h->first, h->n);
    }
    XXH3_128bits_update(h->state, p, n);
}

void sld_hasher_add(struct sld_hasher *h, struct sld_str s)
{
    // The length keeps ("ab", "c") apart from ("a", "bc").
    sld_hasher_add_u64(h, s.p ? s.n : UINT64_MAX);
    if (s.n)
        put(h, s.p, s.n);
}

void sld_hasher_add_u64(struct sld_hasher *h, uint64_t v)
{
    put(h, &v, sizeof(v));
}

struct sld_hash sld_hasher_done(struct sld_hasher *h)
{
    XXH128_hash_t v = h->state ? XXH3_128bits_digest(h->state) : XXH3_128bits(h->first, h->n);
    XXH3_freeState(h->state);
    h->state = NULL;
    return (struct sld_hash){v.low64, v.high64};
}

void sld_hash_text(struct sld_hash h, char out[17])
{
    snprintf(out, 17, "%016llx", (unsigned long long)h.lo);
}

uint64_t sld_hash64(struct sld_str s)
{
    // The address of a static differs between runs where the kernel randomises addresses, which
    // makes the layout of our tables unpredictable from outside.
    static char seed;
    return XXH3_64bits_withSeed(s.p ? s.p : "", s.n, (uint64_t)(uintptr_t)&seed);
}

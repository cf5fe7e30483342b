// A growable set of small integers, one bit each. A zeroed struct is empty.
#pragma once

#include <string.h>

#include "base/base.h"

struct sld_bits {
    uint64_t *words;
    size_t cap; // words allocated
};

static inline void sld_bits_fini(struct sld_bits *b)
{
    sld_xfree(b->words);
    *b = (struct sld_bits){0};
}

static inline bool sld_bits_has(const struct sld_bits *b, uint32_t i)
{
    return i / 64 < b->cap && (b->words[i / 64] >> (i % 64) & 1);
}

static inline void sld_bits_set(struct sld_bits *b, uint32_t i)
{
    size_t at = i / 64;
    if (at >= b->cap) {
        size_t cap = b->cap * 2 > at + 1 ? b->cap * 2 : at + 1;
        b->words = sld_xrealloc(b->words, cap * sizeof(*b->words));
        memset(b->words + b->cap, 0, (cap - b->cap) * sizeof(*b->words));
        b->cap = cap;
    }
    b->words[at] |= UINT64_C(1) << (i % 64);
}

static inline void sld_bits_clear(struct sld_bits *b, uint32_t i)
{
    if (i / 64 < b->cap)
        b->words[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

// The first member from *AT on into *AT; false when there is none.
static inline bool sld_bits_next(const struct sld_bits *b, uint32_t *at)
{
    for (size_t w = *at / 64, shift = *at % 64; w < b->cap; w++, shift = 0) {
        uint64_t rest = b->words[w] >> shift;
        if (rest) {
            *at = (uint32_t)(w * 64 + shift) + (uint32_t)__builtin_ctzll(rest);
            return true;
        }
    }
    return false;
}

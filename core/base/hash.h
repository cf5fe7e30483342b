// Content hashes.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

// 128 bits of XXH3: equal bytes have equal hashes on every machine and run; different bytes are
// taken as different. Not for adversarial input that must not collide.
struct sld_hash {
    uint64_t lo, hi;
};

// The hash of S's bytes. [any]
struct sld_hash sld_hash_bytes(struct sld_str s);
// Order-dependent mix of two hashes.
struct sld_hash sld_hash_mix(struct sld_hash a, struct sld_hash b);
bool sld_hash_eq(struct sld_hash a, struct sld_hash b);
bool sld_hash_zero(struct sld_hash a);

// Streaming form.
struct sld_hasher {
    void *state;     // once there is more than fits below
    size_t n;
    char first[512]; // N bytes
};
void sld_hasher_init(struct sld_hasher *h);
void sld_hasher_add(struct sld_hasher *h, struct sld_str s);
void sld_hasher_add_u64(struct sld_hasher *h, uint64_t v);
// The hash of all that was added; frees the state.
struct sld_hash sld_hasher_done(struct sld_hasher *h);

// The 16 hexadecimal digits of lo, NUL-terminated: the printable version of a resource.
void sld_hash_text(struct sld_hash h, char out[17]);
// 64-bit hash for hash tables, seeded per process.
uint64_t sld_hash64(struct sld_str s);

// Bytes that are made whenever somebody needs them, because what they are made of takes less room than they do,
// or is kept anyway.
#pragma once

#include "base/obj.h"

// The first member of what some bytes are made of: immutable, shared. Its content hash is none: whoever keeps it
// knows the hash of the bytes.
struct sld_recipe {
    struct sld_obj obj;
    // Writes the SIZE bytes to OUT: the same ones each time. [any]
    void (*make)(const struct sld_recipe *r, char *out);
    size_t size;
    struct made *made; // private: the bytes, while somebody holds them; not a reference
};

// One reference, the caller's. FREE_FN frees the whole of which R is the first member. [any]
void sld_recipe_init(struct sld_recipe *r, void (*free_fn)(struct sld_obj *o),
                     void (*make)(const struct sld_recipe *r, char *out), size_t size);
// The bytes of R, with a NUL behind them: what is returned is a new reference to who owns BYTES. All who hold them at
// one time share them. [any]
struct sld_obj *sld_recipe_open(struct sld_recipe *r, struct sld_str *bytes);

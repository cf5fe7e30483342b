// Bytes kept in less room: for encoded messages that repeat themselves and are seldom needed.
#pragma once

#include "base/recipe.h"

// Packed bytes, to be opened as a recipe.
struct sld_packed {
    struct sld_recipe recipe;
    size_t room; // that they take
    char own[];
};

// Packs BYTES, below 2 GB; NULL when that would not take less than three quarters of their room. [any]
struct sld_packed *sld_packed_create(struct sld_str bytes);

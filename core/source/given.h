// What somebody gave: settings, then variables of the environment.
#pragma once

#include "base/base.h"

// Variable NAME; absent when it is not set, or empty.
struct sld_str sld_env(const char *name);
// The first of two settings (NULL or "": none) that says something, else variable NAME (NULL: none), in A; absent when
// none does.
struct sld_str sld_given(struct sld_arena *a, const char *setting, const char *other, const char *name);
// Whether S is one of the words for it: 1, t, true; 0, f, false.
bool sld_is_true(struct sld_str s);
bool sld_is_false(struct sld_str s);

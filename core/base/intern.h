// Interned strings: a key is compared and hashed as a 32-bit id after it was seen once.
#pragma once

#include <stdint.h>

#include "base/map.h"
#include "base/str.h"

typedef uint32_t sld_id; // 0 is never given out

struct sld_intern;

// Empty; every text ever interned stays until destroy. NULL is fine there.
struct sld_intern *sld_intern_create(void);
void sld_intern_destroy(struct sld_intern *in);
// The id of S, made when new. Ids are never reused. [owner thread]
sld_id sld_intern_id(struct sld_intern *in, struct sld_str s);
// The id of S, or 0 when it was never interned.
sld_id sld_intern_find(const struct sld_intern *in, struct sld_str s);
// The text of ID (NUL-terminated, valid until destroy).
struct sld_str sld_intern_str(const struct sld_intern *in, sld_id id);

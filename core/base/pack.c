// Packed bytes, by LZ4's block format: quick to make again.
#include "base/pack.h"

#include <lz4.h>

#include "base/alloc.h"
#include "base/assert.h"

static void packed_free(struct sld_obj *o)
{
    sld_xfree(o);
}

static void unpack(const struct sld_recipe *r, char *out)
{
    const struct sld_packed *p = (const struct sld_packed *)r;
    int n = LZ4_decompress_safe(p->own, out, (int)p->room, (int)r->size);
    SLD_INV(n >= 0 && (size_t)n == r->size);
}

struct sld_packed *sld_packed_create(struct sld_str bytes)
{
    SLD_PRE(bytes.n <= LZ4_MAX_INPUT_SIZE);
    int most = LZ4_compressBound((int)bytes.n);
    char *room = sld_xalloc((size_t)most);
    size_t n = (size_t)LZ4_compress_default(bytes.p, room, (int)bytes.n, most);
    SLD_INV(n > 0);
    struct sld_packed *p = NULL;
    if (n < bytes.n - bytes.n / 4) {
        p = sld_xalloc(sizeof(*p) + n);
        sld_recipe_init(&p->recipe, packed_free, unpack, bytes.n);
        p->room = n;
        memcpy(p->own, room, n);
    }
    sld_xfree(room);
    return p;
}

// Packed bytes, by LZ4's block format: quick to make again.
#include "base/pack.h"

#include <lz4.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/assert.h"

struct opened {
    struct sld_obj obj;
    struct sld_packed *of; // own reference
    char bytes[];
};

static void packed_free(struct sld_obj *o)
{
    sld_xfree(o);
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
        *p = (struct sld_packed){.size = bytes.n, .room = n};
        sld_obj_init(&p->obj, packed_free, (struct sld_hash){0});
        memcpy(p->own, room, n);
    }
    sld_xfree(room);
    return p;
}

// Guards `opened` of all: it is set and cleared for a moment.
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

static void opened_free(struct sld_obj *obj)
{
    struct opened *o = (struct opened *)obj;
    pthread_mutex_lock(&opening);
    if (o->of->opened == o)
        o->of->opened = NULL;
    pthread_mutex_unlock(&opening);
    SLD_UNREF(o->of);
    sld_xfree(o);
}

struct sld_obj *sld_packed_open(struct sld_packed *p, struct sld_str *bytes)
{
    pthread_mutex_lock(&opening);
    struct opened *o = p->opened;
    // One that is being freed is not looked at again: its owner waits for the lock.
    if (!o || !sld_obj_try_ref(&o->obj)) {
        o = sld_xalloc(sizeof(*o) + p->size + 1);
        sld_obj_init(&o->obj, opened_free, (struct sld_hash){0});
        o->of = sld_obj_ref(p);
        int n = LZ4_decompress_safe(p->own, o->bytes, (int)p->room, (int)p->size);
        SLD_INV(n >= 0 && (size_t)n == p->size);
        o->bytes[p->size] = 0;
        p->opened = o;
    }
    pthread_mutex_unlock(&opening);
    *bytes = sld_str_n(o->bytes, p->size);
    return &o->obj;
}

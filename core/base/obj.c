// Refcounted immutable objects.
#include "base/obj.h"

void sld_obj_init(struct sld_obj *o, void (*free_fn)(struct sld_obj *o), struct sld_hash hash)
{
    atomic_init(&o->refs, 1);
    o->free = 0;
    o->hash = hash;
    if (free_fn)
        sld_obj_frees(o, free_fn);
}

// What distances are from. It is no object's.
static void nothing_free(struct sld_obj *o)
{
    (void)o;
    SLD_UNREACHABLE();
}

void sld_obj_frees(struct sld_obj *o, void (*free_fn)(struct sld_obj *o))
{
    intptr_t far = (intptr_t)free_fn - (intptr_t)nothing_free;
    SLD_PRE(far >= INT32_MIN && far <= INT32_MAX && far != 0);
    o->free = (int32_t)far;
}

void *sld_obj_ref(void *o)
{
    if (o) {
        unsigned before = atomic_fetch_add_explicit(&((struct sld_obj *)o)->refs, 1,
                                                    memory_order_relaxed);
        SLD_INV(before > 0 && before < UINT32_MAX / 2);
    }
    return o;
}

bool sld_obj_try_ref(struct sld_obj *o)
{
    unsigned n = atomic_load_explicit(&o->refs, memory_order_relaxed);
    while (n > 0) {
        if (atomic_compare_exchange_weak_explicit(&o->refs, &n, n + 1, memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return false;
}

void sld_obj_unref_(struct sld_obj **p)
{
    struct sld_obj *o = *p;
    *p = NULL;
    if (!o)
        return;
    unsigned before = atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel);
    SLD_INV(before > 0);
    if (before == 1) {
        void (*free_fn)(struct sld_obj *) = (void (*)(struct sld_obj *))((intptr_t)nothing_free + o->free);
        free_fn(o);
    }
}

static void blob_free(struct sld_obj *o)
{
    struct sld_blob *b = (struct sld_blob *)o;
    if (b->secret)
        sld_wipe(b->bytes, b->data.n);
    sld_xfree(b);
}

struct sld_blob *sld_blob_create(struct sld_str s)
{
    struct sld_blob *b = sld_xalloc(sizeof(*b) + s.n + 1);
    sld_obj_init(&b->obj, blob_free, sld_hash_bytes(s));
    if (s.n)
        memcpy(b->bytes, s.p, s.n);
    b->bytes[s.n] = 0;
    b->data = (struct sld_str){b->bytes, s.n};
    b->secret = false;
    return b;
}

struct sld_blob *sld_blob_create_secret(struct sld_str s)
{
    struct sld_blob *b = sld_blob_create(s);
    b->secret = true;
    return b;
}

static void arena_obj_free(struct sld_obj *o)
{
    struct sld_arena_obj *a = (struct sld_arena_obj *)o;
    sld_arena_fini(&a->arena);
    sld_xfree(a);
}

struct sld_arena_obj *sld_arena_obj_create(void)
{
    struct sld_arena_obj *a = SLD_NEW(struct sld_arena_obj);
    sld_obj_init(&a->obj, arena_obj_free, (struct sld_hash){0});
    return a;
}

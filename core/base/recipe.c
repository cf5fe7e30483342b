// Bytes that are made when they are needed, once for all who hold them at one time.
#include "base/recipe.h"

#include <pthread.h>

#include "base/alloc.h"

struct made {
    struct sld_obj obj;
    struct sld_recipe *of; // own reference
    char bytes[];
};

void sld_recipe_init(struct sld_recipe *r, void (*free_fn)(struct sld_obj *o),
                     void (*make)(const struct sld_recipe *r, char *out), size_t size)
{
    *r = (struct sld_recipe){.make = make, .size = size};
    sld_obj_init(&r->obj, free_fn, (struct sld_hash){0});
}

// Guards `made` of all recipes: it is set and cleared for a moment.
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

static void made_free(struct sld_obj *obj)
{
    struct made *m = (struct made *)obj;
    pthread_mutex_lock(&opening);
    if (m->of->made == m)
        m->of->made = NULL;
    pthread_mutex_unlock(&opening);
    SLD_UNREF(m->of);
    sld_xfree(m);
}

struct sld_obj *sld_recipe_open(struct sld_recipe *r, struct sld_str *bytes)
{
    pthread_mutex_lock(&opening);
    struct made *m = r->made;
    // One that is being freed is not looked at again: its owner waits for the lock.
    if (!m || !sld_obj_try_ref(&m->obj)) {
        m = sld_xalloc(sizeof(*m) + r->size + 1);
        sld_obj_init(&m->obj, made_free, (struct sld_hash){0});
        m->of = sld_obj_ref(r);
        r->make(r, m->bytes);
        m->bytes[r->size] = 0;
        r->made = m;
    }
    pthread_mutex_unlock(&opening);
    *bytes = sld_str_n(m->bytes, r->size);
    return &m->obj;
}

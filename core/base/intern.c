// Interned strings: a map to ids and an array back.
#include "base/intern.h"

#include "base/alloc.h"

struct sld_intern {
    struct sld_map ids;      // text -> id
    struct sld_str *texts;   // by id; the map's own keys
    sld_id count, cap;
};

struct sld_intern *sld_intern_create(void)
{
    struct sld_intern *in = SLD_NEW(struct sld_intern);
    in->count = 1; // 0 means none
    return in;
}

void sld_intern_destroy(struct sld_intern *in)
{
    if (!in)
        return;
    sld_map_fini(&in->ids);
    for (sld_id i = 1; i < in->count; i++)
        sld_xfree((void *)(uintptr_t)in->texts[i].p);
    sld_xfree(in->texts);
    sld_xfree(in);
}

sld_id sld_intern_id(struct sld_intern *in, struct sld_str s)
{
    sld_id id = sld_intern_find(in, s);
    if (id)
        return id;
    SLD_INV(in->count < UINT32_MAX);
    if (in->count >= in->cap) {
        in->cap = in->cap ? in->cap * 2 : 64;
        in->texts = sld_xrealloc(in->texts, in->cap * sizeof(*in->texts));
    }
    char *copy = sld_xalloc(s.n + 1);
    if (s.n)
        memcpy(copy, s.p, s.n);
    copy[s.n] = 0;
    id = in->count++;
    in->texts[id] = (struct sld_str){copy, s.n};
    sld_map_set(&in->ids, s, (void *)(uintptr_t)id);
    return id;
}

sld_id sld_intern_find(const struct sld_intern *in, struct sld_str s)
{
    return (sld_id)(uintptr_t)sld_map_get(&in->ids, s);
}

struct sld_str sld_intern_str(const struct sld_intern *in, sld_id id)
{
    SLD_PRE(id > 0 && id < in->count);
    return in->texts[id];
}

// Configurations of plugins that requests name: counted over all virtual hosts, so that whoever answers requests has what
// some Envoy may ask by, and nothing else.
#include "translate/inside.h"

#include <stdlib.h>

struct conf_users {
    size_t count;
    struct sld_request_conf *conf; // own reference: the one that came last
};

static int by_id(const void *x, const void *y)
{
    const struct sld_request_conf *const *a = x, *const *b = y;
    return sld_str_cmp((*a)->id, (*b)->id);
}

void tr_confs_add(struct tr *tr, struct tr_confs *confs, struct sld_request_conf *c)
{
    SLD_PUSH(tr->arena, confs->items, confs->count, c);
}

struct tr_confs tr_confs_copy(struct sld_arena *a, const struct tr_confs *from)
{
    return tr_confs_copy_to(from->count ? SLD_ARENA_ARRAY(a, struct sld_request_conf *, from->count) : NULL, from);
}

struct tr_confs tr_confs_copy_to(struct sld_request_conf **room, const struct tr_confs *from)
{
    struct tr_confs out = {.items = room};
    if (!from->count)
        return out;
    memcpy(out.items, from->items, from->count * sizeof(*out.items));
    qsort(out.items, from->count, sizeof(*out.items), by_id);
    for (size_t i = 0; i < from->count; i++) {
        if (!out.count || !sld_str_eq(out.items[out.count - 1]->id, out.items[i]->id))
            out.items[out.count++] = sld_obj_ref(out.items[i]);
    }
    return out;
}

void tr_confs_drop(struct tr_confs *confs)
{
    for (size_t i = 0; i < confs->count; i++)
        SLD_UNREF(confs->items[i]);
    confs->count = 0;
}

struct sld_hash tr_confs_hash(const struct tr_confs *confs)
{
    struct sld_hash h = {confs->count, 0};
    for (size_t i = 0; i < confs->count; i++)
        h = sld_hash_mix(h, confs->items[i]->obj.hash);
    return h;
}

static void more(struct sld_translate *t, struct sld_request_conf *c)
{
    struct conf_users *u = sld_map_get(&t->confs, c->id);
    if (!u) {
        u = SLD_NEW(struct conf_users);
        sld_map_set(&t->confs, c->id, u);
    }
    u->count++;
    if (u->conf && sld_hash_eq(u->conf->obj.hash, c->obj.hash))
        return;
    SLD_UNREF(u->conf);
    u->conf = sld_obj_ref(c);
    tr_tell_conf(t, c->id, c);
}

static void fewer(struct sld_translate *t, const struct sld_request_conf *c)
{
    struct conf_users *u = sld_map_get(&t->confs, c->id);
    SLD_INV(u && u->count > 0);
    if (--u->count)
        return;
    tr_tell_conf(t, c->id, NULL);
    sld_map_remove(&t->confs, c->id);
    SLD_UNREF(u->conf);
    sld_xfree(u);
}

void tr_confs_moved(struct sld_translate *t, const struct tr_confs *was, const struct tr_confs *is)
{
    for (size_t i = 0; is && i < is->count; i++)
        more(t, is->items[i]);
    for (size_t i = 0; was && i < was->count; i++)
        fewer(t, was->items[i]);
}

void tr_confs_of_vhosts(struct sld_translate *t, const struct tr_vhost_row *was, const struct tr_vhost_row *is)
{
    tr_confs_moved(t, was ? &was->confs : NULL, is ? &is->confs : NULL);
}

void tr_confs_fini(struct sld_translate *t)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&t->confs, &at));) {
        struct conf_users *u = s->value;
        SLD_UNREF(u->conf);
        sld_xfree(u);
    }
    sld_map_fini(&t->confs);
}

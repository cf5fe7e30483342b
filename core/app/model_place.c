// Statuses for the sources that keep them.
#include "app/model_place.h"

// The source that says RAW, if it keeps statuses; absent otherwise. The intake names an origin
// "<source>/<path>".
static struct sld_str keeper_of(const struct model_places *p, const struct sld_raw *raw)
{
    if (!raw || sld_raw_origin(raw).n <= sld_raw_path(raw).n)
        return SLD_STR_NONE;
    struct sld_str source = sld_str_sub(sld_raw_origin(raw), 0, sld_raw_origin(raw).n - sld_raw_path(raw).n - 1);
    return sld_map_has(&p->keepers, source) ? source : SLD_STR_NONE;
}

static struct sld_ident copy_ident(struct sld_arena *a, struct sld_ident id)
{
    return (struct sld_ident){id.kind, sld_arena_str(a, id.ns), sld_arena_str(a, id.name)};
}

void model_places_fini(struct model_places *p)
{
    sld_map_fini(&p->keepers);
    sld_map_fini(&p->placed);
    sld_arena_fini(&p->arena);
}

void model_places_moved(struct model_places *p, const struct sld_translate *t, struct sld_ident id,
                        const struct sld_raw *raw)
{
    if (sld_map_count(&p->keepers) == 0)
        return;
    struct sld_arena a = {0};
    struct sld_str key = sld_ident_key(&a, id);
    const struct sld_raw *old = sld_translate_written(t, key);
    bool moved = !old || !raw || !sld_str_eq(sld_raw_origin(old), sld_raw_origin(raw));
    struct sld_str from = keeper_of(p, old);
    if (moved && from.p) {
        struct sld_model_status s = {.id = copy_ident(&p->arena, id),
                                     .source = sld_arena_str(&p->arena, from),
                                     .path = sld_arena_str(&p->arena, sld_raw_path(old))};
        SLD_PUSH(&p->arena, p->left, p->left_count, s);
    }
    if (moved && keeper_of(p, raw).p)
        sld_map_set(&p->placed, key, p);
    else if (!raw)
        sld_map_remove(&p->placed, key);
    sld_arena_fini(&a);
}

bool model_places_pending(const struct model_places *p)
{
    return p->left_count || sld_map_count(&p->placed);
}

struct list {
    struct sld_model_status *items;
    size_t count;
};

static void add(const struct model_places *p, const struct sld_translate *t, struct list *l,
                struct sld_arena *a, struct sld_str key, struct sld_status *status)
{
    struct sld_ident id;
    const struct sld_raw *raw = sld_translate_written(t, key);
    struct sld_str source = keeper_of(p, raw);
    if (!source.p || !sld_ident_parse(key, &id))
        return;
    struct sld_model_status s = {.id = copy_ident(a, id),
                                 .source = sld_arena_str(a, source),
                                 .path = sld_arena_str(a, sld_raw_path(raw)),
                                 .status = sld_obj_ref(status)};
    SLD_PUSH(a, l->items, l->count, s);
}

void model_places_tell(struct model_places *p, const struct sld_translate *t,
                       const struct sld_translate_result *r, struct sld_model_news *n)
{
    if (sld_map_count(&p->keepers) == 0)
        return;
    struct sld_arena *a = &n->arena;
    struct list l = {0};
    // What an object left first: it may be back at the same place.
    for (size_t i = 0; i < p->left_count; i++) {
        struct sld_model_status s = {.id = copy_ident(a, p->left[i].id),
                                     .source = sld_arena_str(a, p->left[i].source),
                                     .path = sld_arena_str(a, p->left[i].path)};
        SLD_PUSH(a, l.items, l.count, s);
    }
    for (size_t i = 0; i < r->status_count; i++) {
        struct sld_arena tmp = {0};
        struct sld_str key = sld_ident_key(&tmp, r->statuses[i].id);
        if (r->statuses[i].status)
            add(p, t, &l, a, key, r->statuses[i].status);
        sld_map_remove(&p->placed, key);
        sld_arena_fini(&tmp);
    }
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&p->placed, &at));) {
        union {
            const struct sld_status *frozen;
            struct sld_status *counted;
        } u = {sld_translate_status(t, s->key)}; // only the count of references changes
        if (u.counted)
            add(p, t, &l, a, s->key, u.counted);
    }
    sld_map_fini(&p->placed);
    sld_arena_fini(&p->arena);
    p->left = NULL;
    p->left_count = 0;
    n->statuses = l.items;
    n->status_count = l.count;
    n->reporter_ns = sld_arena_str(a, sld_translate_write_ns(t));
}

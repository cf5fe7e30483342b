// Claims on objects, and which one is in force.
#include "source/intake.h"

static int claim_cmp(const struct claim *a, const struct claim *b)
{
    const struct origin *x = a->unit->origin, *y = b->unit->origin;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    int c = x == y ? 0 : strcmp(x->name, y->name);
    return c ? c : strcmp(a->unit->path, b->unit->path);
}

// The key of an object; most are short.
struct object_key {
    struct sld_arena arena;
    char room[SLD_ARENA_HEADER + 256] __attribute__((aligned(8)));
};

static struct sld_str object_key(struct object_key *k, struct sld_ident id)
{
    sld_arena_init_in(&k->arena, k->room, sizeof(k->room));
    return sld_ident_key(&k->arena, id);
}

struct object *object_find(const struct sld_intake *in, struct sld_ident id)
{
    struct object_key k;
    struct object *o = sld_set_get(&in->objects, object_key(&k, id));
    sld_arena_fini(&k.arena);
    return o;
}

static struct object *object_get(struct sld_intake *in, struct sld_ident id)
{
    struct object_key k;
    struct sld_str key = object_key(&k, id);
    struct object *o = sld_set_get(&in->objects, key);
    if (!o) {
        o = sld_xcalloc(1, sizeof(*o) + key.n + 1);
        memcpy(o->key, key.p, key.n);
        sld_set_add(&in->objects, o);
    }
    sld_arena_fini(&k.arena);
    return o;
}

struct claim *claim_find(const struct object *o, const struct unit *u)
{
    struct claim *c = o->claims;
    while (c && c->unit != u)
        c = c->next;
    return c;
}

struct claim *object_winner(const struct object *o)
{
    struct claim *lost = NULL;
    for (struct claim *c = o->claims; c; c = c->next) {
        if (c->unit->origin->arriving)
            continue;
        if (!c->loss)
            return c;
        if (!lost)
            lost = c;
    }
    return lost;
}

// Puts O among OBJECTS, or takes it out.
static void keep_in(struct sld_umap *objects, struct object *o, bool in)
{
    uint64_t key = (uintptr_t)o;
    if (in)
        sld_umap_set(objects, key, o);
    else
        sld_umap_remove(objects, key);
}

// Whether objects of O's namespace count; keeps the list of those that do not.
static bool object_watched(struct sld_intake *in, struct object *o)
{
    struct sld_ident id;
    bool yes = sld_map_count(&in->watched) == 0 || !o->claims ||
               !sld_ident_parse(sld_str_c(o->key), &id) || id.kind == SLD_KIND_SETTINGS ||
               sld_map_has(&in->watched, id.ns);
    if (yes == !o->unwatched)
        return yes;
    o->unwatched = !yes;
    keep_in(&in->unwatched, o, !yes);
    problems_changed(in);
    return yes;
}

void object_refresh(struct sld_intake *in, struct object *o)
{
    bool contested = o->standing > 1;
    if (contested != o->contested) {
        o->contested = contested;
        keep_in(&in->contested, o, contested);
        problems_changed(in);
    } else if (contested) {
        problems_changed(in);
    }
    struct claim *c = object_watched(in, o) ? object_winner(o) : NULL;
    struct sld_raw *raw = c ? c->raw : NULL;
    if (raw == o->in_force && raw)
        return;
    struct sld_raw *old = o->in_force;
    o->in_force = sld_obj_ref(raw);
    if (raw)
        in->ev.on_object(in->ev.user, sld_raw_ident(raw), raw);
    else if (old)
        in->ev.on_object(in->ev.user, sld_raw_ident(old), NULL);
    SLD_UNREF(old);
    if (!o->claims) {
        sld_set_remove(&in->objects, o);
        sld_xfree(o);
    }
}

static void object_insert(struct object *o, struct claim *c)
{
    struct claim **at = &o->claims;
    while (*at && claim_cmp(*at, c) < 0)
        at = &(*at)->next;
    c->next = *at;
    *at = c;
}

static void object_take_out(struct object *o, struct claim *c)
{
    struct claim **at = &o->claims;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
}

void claim_move(struct claim *c)
{
    object_take_out(c->object, c);
    object_insert(c->object, c);
    object_refresh(c->unit->origin->in, c->object);
}

static void loss_end(struct claim *c)
{
    sld_list_remove(&c->loss->in_lost);
    sld_xfree(c->loss);
    c->loss = NULL;
}

static void claim_stand(struct claim *c)
{
    loss_end(c);
    c->object->standing++;
}

static struct claim *claim_create(struct object *o, struct unit *u)
{
    struct claim *c = o->own.unit ? SLD_NEW(struct claim) : &o->own;
    *c = (struct claim){.object = o, .unit = u};
    return c;
}

void claim_free(struct claim *c)
{
    if (c->loss)
        loss_end(c);
    SLD_UNREF(c->raw);
    if (c == &c->object->own)
        c->unit = NULL;
    else
        sld_xfree(c);
}

struct claim *claim_say(struct unit *u, struct sld_ident id, struct sld_raw *raw)
{
    struct object *o = object_get(u->origin->in, id);
    struct claim *c = claim_find(o, u);
    if (!c) {
        c = claim_create(o, u);
        object_insert(o, c);
        sld_list_push(&u->claims, &c->in_unit);
        o->standing++;
        u->origin->claim_count++;
    } else if (c->loss) {
        claim_stand(c);
    }
    struct sld_raw *old = c->raw;
    c->raw = sld_obj_ref(raw);
    object_refresh(u->origin->in, o);
    SLD_UNREF(old);
    return c;
}

void claim_lose(struct claim *c, bool firm, uint64_t now)
{
    if (c->loss) {
        c->loss->firm |= firm;
        return;
    }
    c->loss = SLD_NEW(struct loss);
    *c->loss = (struct loss){.claim = c, .firm = firm, .since_ns = now};
    sld_list_push(&c->unit->origin->lost, &c->loss->in_lost);
    SLD_INV(c->object->standing > 0);
    c->object->standing--;
    object_refresh(c->unit->origin->in, c->object);
}

void claim_regain(struct claim *c)
{
    if (!c->loss || c->loss->firm)
        return;
    claim_stand(c);
    object_refresh(c->unit->origin->in, c->object);
}

void claim_remove(struct claim *c)
{
    struct unit *u = c->unit;
    struct object *o = c->object;
    struct sld_raw *raw = sld_obj_ref(c->raw); // until the object has another
    if (!c->loss)
        o->standing--;
    sld_list_remove(&c->in_unit);
    object_take_out(o, c);
    u->origin->claim_count--;
    claim_free(c);
    object_refresh(u->origin->in, o);
    SLD_UNREF(raw);
}

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
        sld_list_init(&o->claims);
        sld_list_init(&o->in_contested);
        sld_list_init(&o->in_unwatched);
        sld_set_add(&in->objects, o);
    }
    sld_arena_fini(&k.arena);
    return o;
}

struct claim *claim_find(const struct object *o, const struct unit *u)
{
    SLD_LIST_EACH (it, &o->claims) {
        struct claim *c = SLD_CONTAINER_OF(it, struct claim, in_object);
        if (c->unit == u)
            return c;
    }
    return NULL;
}

struct claim *object_winner(const struct object *o)
{
    struct claim *lost = NULL;
    SLD_LIST_EACH (it, &o->claims) {
        struct claim *c = SLD_CONTAINER_OF(it, struct claim, in_object);
        if (!c->lost)
            return c;
        if (!lost)
            lost = c;
    }
    return lost;
}

// Whether objects of O's namespace count; keeps the list of those that do not.
static bool object_watched(struct sld_intake *in, struct object *o)
{
    struct sld_ident id;
    bool yes = sld_map_count(&in->watched) == 0 || sld_list_empty(&o->claims) ||
               !sld_ident_parse(sld_str_c(o->key), &id) || id.kind == SLD_KIND_SETTINGS ||
               sld_map_has(&in->watched, id.ns);
    if (yes == sld_list_empty(&o->in_unwatched))
        return yes;
    if (yes)
        sld_list_remove(&o->in_unwatched);
    else
        sld_list_push(&in->unwatched, &o->in_unwatched);
    problems_changed(in);
    return yes;
}

void object_refresh(struct sld_intake *in, struct object *o)
{
    bool contested = o->standing > 1;
    if (contested != !sld_list_empty(&o->in_contested)) {
        if (contested)
            sld_list_push(&in->contested, &o->in_contested);
        else
            sld_list_remove(&o->in_contested);
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
    if (sld_list_empty(&o->claims)) {
        sld_set_remove(&in->objects, o);
        sld_xfree(o);
    }
}

static void object_insert(struct object *o, struct claim *c)
{
    struct sld_list *at = o->claims.next;
    while (at != &o->claims && claim_cmp(SLD_CONTAINER_OF(at, struct claim, in_object), c) < 0)
        at = at->next;
    sld_list_push(at, &c->in_object); // before AT
}

void claim_move(struct claim *c)
{
    sld_list_remove(&c->in_object);
    object_insert(c->object, c);
    object_refresh(c->unit->origin->in, c->object);
}

static void claim_stand(struct claim *c)
{
    c->lost = c->firm = false;
    sld_list_remove(&c->in_lost);
    c->object->standing++;
}

struct claim *claim_say(struct unit *u, struct sld_ident id, struct sld_raw *raw)
{
    struct object *o = object_get(u->origin->in, id);
    struct claim *c = claim_find(o, u);
    if (!c) {
        c = SLD_NEW(struct claim);
        c->object = o;
        c->unit = u;
        sld_list_init(&c->in_lost);
        object_insert(o, c);
        sld_list_push(&u->claims, &c->in_unit);
        o->standing++;
        u->origin->claim_count++;
    } else if (c->lost) {
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
    c->firm |= firm;
    if (c->lost)
        return;
    c->lost = true;
    c->lost_ns = now;
    sld_list_push(&c->unit->origin->lost, &c->in_lost);
    SLD_INV(c->object->standing > 0);
    c->object->standing--;
    object_refresh(c->unit->origin->in, c->object);
}

void claim_regain(struct claim *c)
{
    if (!c->lost || c->firm)
        return;
    claim_stand(c);
    object_refresh(c->unit->origin->in, c->object);
}

void claim_remove(struct claim *c)
{
    struct unit *u = c->unit;
    if (!c->lost)
        c->object->standing--;
    sld_list_remove(&c->in_lost);
    sld_list_remove(&c->in_unit);
    sld_list_remove(&c->in_object);
    u->origin->claim_count--;
    object_refresh(u->origin->in, c->object);
    SLD_UNREF(c->raw);
    sld_xfree(c);
}

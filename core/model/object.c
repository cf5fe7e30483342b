// Decoded objects.
#include "model/model.h"

static void object_free(struct sld_obj *obj)
{
    struct sld_object *o = (struct sld_object *)obj;
    if (o->id.kind == SLD_KIND_SECRET)
        sld_arena_fini_secret(&o->arena);
    else
        sld_arena_fini(&o->arena);
    SLD_UNREF(o->raw);
    sld_xfree(o);
}

static void hash_text(struct sld_hasher *h, struct sld_str s)
{
    sld_hasher_add_u64(h, s.n);
    sld_hasher_add(h, s);
}

static struct sld_hash object_hash(const struct sld_object *o)
{
    struct sld_hash msg = sld_msg_hash(o->msg);
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, (uint64_t)o->id.kind);
    hash_text(&h, o->id.ns);
    hash_text(&h, o->id.name);
    sld_hasher_add_u64(&h, msg.lo);
    sld_hasher_add_u64(&h, msg.hi);
    for (size_t i = 0; i < o->finding_count; i++) {
        const struct sld_finding *f = &o->findings[i];
        sld_hasher_add_u64(&h, (uint64_t)f->code << 8 | (uint64_t)f->severity);
        hash_text(&h, f->path);
        hash_text(&h, f->message);
    }
    return sld_hasher_done(&h);
}

struct sld_object *sld_object_decode(struct sld_raw *raw, sld_object_check_fn *check, void *user)
{
    struct sld_object *o = SLD_NEW(struct sld_object);
    struct sld_report r = {.arena = &o->arena};
    o->raw = sld_obj_ref(raw);
    o->id = (struct sld_ident){.kind = raw->kind, .ns = raw->ns, .name = raw->name};
    ProtobufCMessage *msg = sld_raw_decode(&o->arena, raw, &r);
    sld_msg_sort_maps(msg);
    if (check)
        check(user, o->id, msg, &r);
    o->msg = msg;
    o->meta = sld_model_metadata(raw->kind, msg);
    o->findings = r.items;
    o->finding_count = r.count;
    o->errors = r.errors;
    o->warnings = r.warnings;
    o->ok = r.errors == 0;
    sld_obj_init(&o->obj, object_free, object_hash(o));
    return o;
}

// Decoded objects. Messages of the kinds of which there are many take a multiple of their text's size
// and are needed for the moments in which they are translated; between these they sleep as encoded
// bytes.
#include "model/model.h"

// Text nests less deeply than this, counting the several messages that each level of a Struct is.
enum { DEPTH_MAX = 512 };

// The messages of a thread that are awake but will sleep again.
static _Thread_local struct {
    struct sld_object **objects; // there until all sleep
    uint32_t count, cap;
    struct sld_arena arena;
} awake;

// O, which is awake, is none of them any more: the last one moves to its place.
static void forget(struct sld_object *o)
{
    struct sld_object *last = awake.objects[--awake.count];
    SLD_INV(awake.objects[o->awake - 1] == o);
    awake.objects[o->awake - 1] = last;
    last->awake = o->awake;
    o->awake = 0;
}

static void object_free(struct sld_obj *obj)
{
    struct sld_object *o = (struct sld_object *)obj;
    if (o->awake)
        forget(o);
    if (o->id.kind == SLD_KIND_SECRET)
        sld_arena_fini_secret(&o->arena);
    else
        sld_arena_fini(&o->arena);
    SLD_UNREF(o->raw);
    sld_xfree(o);
}

// One that nobody wrote: its document is made when somebody asks for it.
static bool unwritten(const struct sld_object *o)
{
    return o->origin != NULL;
}

static void hash_text(struct sld_hasher *h, struct sld_str s)
{
    sld_hasher_add_u64(h, s.n);
    sld_hasher_add(h, s);
}

static struct sld_hash object_hash(const struct sld_object *o, struct sld_str bytes)
{
    struct sld_hash msg = sld_hash_bytes(bytes);
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

// Kinds whose rows in translate keep pointers into the message are not among them.
static bool sleeps(enum sld_kind k)
{
    return k == SLD_KIND_VIRTUAL_SERVICE || k == SLD_KIND_UPSTREAM || k == SLD_KIND_ROUTE_TABLE ||
           k == SLD_KIND_ROUTE_OPTION || k == SLD_KIND_VIRTUAL_HOST_OPTION;
}

static void wake(struct sld_object *o)
{
    enum { CAP_MIN = 64, CAP_MAX = 1 << 30 };
    if (o->awake)
        return;
    if (awake.count == awake.cap) {
        SLD_INV(awake.cap < CAP_MAX);
        awake.cap = awake.cap ? awake.cap * 2 : CAP_MIN;
        awake.objects = sld_xrealloc(awake.objects, awake.cap * sizeof(*awake.objects));
    }
    awake.objects[awake.count++] = o;
    o->awake = awake.count & INT32_MAX;
}

// What O says stays the same.
static struct sld_object *own(const struct sld_object *o)
{
    union {
        const struct sld_object *frozen;
        struct sld_object *own;
    } u = {o};
    return u.own;
}

// What is found is copied with exactly the room it takes.
static void keep_findings(struct sld_object *o, const struct sld_report *r)
{
    struct sld_finding *f = SLD_ARENA_ARRAY(&o->arena, struct sld_finding, r->count);
    for (size_t i = 0; i < r->count; i++) {
        f[i] = r->items[i];
        f[i].path = sld_arena_str(&o->arena, f[i].path);
        f[i].message = sld_arena_str(&o->arena, f[i].message);
        f[i].origin = sld_arena_str(&o->arena, f[i].origin);
    }
    o->findings = f;
    o->finding_count = (uint32_t)r->count;
}

// An object of ID that sleeps, or not, with ROOM bytes behind it; what is said and found is to be added.
static struct sld_object *object_create(struct sld_ident id, const struct sld_report *r, struct sld_str bytes,
                                        size_t room)
{
    struct sld_object *o = sld_xcalloc(1, sizeof(*o) + bytes.n + room);
    o->id = id;
    o->errors = (uint32_t)r->errors;
    o->warnings = (uint32_t)r->warnings;
    o->ok = r->errors == 0;
    if (bytes.p) {
        o->bytes = (struct sld_str){(char *)(o + 1), bytes.n};
        if (bytes.n)
            memcpy(o + 1, bytes.p, bytes.n);
    }
    return o;
}

static struct sld_object *decode(struct sld_raw *raw, bool lean, const struct sld_object_checks *c)
{
    static const struct sld_object_checks none;
    if (!c)
        c = &none;
    struct sld_arena scratch = {0}, kept = {0};
    struct sld_arena *a = lean ? &awake.arena : &kept;
    struct sld_report r = {.arena = &scratch};
    struct sld_ident id = sld_raw_ident(raw);
    ProtobufCMessage *msg = sld_raw_decode(a, raw, c->served, &r);
    sld_msg_sort_maps(msg);
    if (c->check)
        c->check(c->user, id, msg, &r);
    struct sld_str bytes = sld_msg_encode(&scratch, msg);
    struct sld_object *o = object_create(id, &r, lean ? bytes : SLD_STR_NONE, 0);
    o->raw = sld_obj_ref(raw);
    o->arena = kept;
    o->msg = msg;
    if (r.count)
        keep_findings(o, &r);
    if (lean)
        wake(o);
    sld_obj_init(&o->obj, object_free, object_hash(o, bytes));
    if (raw->secret)
        sld_arena_fini_secret(&scratch);
    else
        sld_arena_fini(&scratch);
    return o;
}

struct sld_object *sld_object_decode(struct sld_raw *raw, const struct sld_object_checks *c)
{
    return decode(raw, false, c);
}

struct sld_object *sld_object_decode_lean(struct sld_raw *raw, const struct sld_object_checks *c)
{
    return decode(raw, sleeps(raw->kind), c);
}

// Copies S to *AT with a NUL.
static struct sld_str put(char **at, struct sld_str s)
{
    struct sld_str out = {*at, s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n + 1;
    return out;
}

struct sld_object *sld_object_create_unwritten(struct sld_ident id, ProtobufCMessage *msg, struct sld_str origin,
                                               const struct sld_object_checks *c)
{
    SLD_PRE(sleeps(id.kind) && sld_str_index(origin, ':') >= 0);
    struct sld_arena scratch = {0};
    struct sld_report r = {.arena = &scratch};
    sld_msg_sort_maps(msg);
    sld_msg_check(&r, msg, 0, c->served);
    if (c->check)
        c->check(c->user, id, msg, &r);
    struct sld_str bytes = sld_msg_encode(&scratch, msg);
    struct sld_object *o = object_create(id, &r, bytes, origin.n + id.ns.n + id.name.n + 3);
    char *at = (char *)(o + 1) + bytes.n;
    o->id.ns = put(&at, id.ns);
    o->id.name = put(&at, id.name);
    o->origin = put(&at, origin).p;
    if (r.count)
        keep_findings(o, &r);
    sld_obj_init(&o->obj, object_free, object_hash(o, bytes));
    sld_arena_fini(&scratch);
    return o;
}

// The document that users would have to write to get O.
static struct sld_raw *write(const struct sld_object *o)
{
    enum { TEXT_MAX_BYTES = 1024 * 1024 };
    struct sld_str origin = sld_str_c(o->origin);
    struct sld_doc_place place = {.path = sld_str_sub(origin, (size_t)sld_str_index(origin, ':') + 1, origin.n),
                                  .default_ns = o->id.ns};
    struct sld_buf text;
    sld_buf_init(&text, TEXT_MAX_BYTES);
    sld_doc_print(&text, sld_object_msg(o), SLD_TEXT_YAML, false);
    struct sld_raw *raw = sld_raw_create(o->id, sld_buf_str(&text), 1, -1, origin, &place);
    sld_buf_fini(&text);
    return raw;
}

struct sld_raw *sld_object_raw(const struct sld_object *o)
{
    if (!o->raw) {
        own(o)->raw = write(o);
        wake(own(o));
    }
    return o->raw;
}

const void *sld_object_msg(const struct sld_object *o)
{
    if (o->msg)
        return o->msg;
    struct sld_err err;
    struct sld_arena *a = &awake.arena;
    const void *msg = sld_msg_decode(a, sld_kind_info(o->id.kind)->desc, o->bytes, DEPTH_MAX, &err);
    if (!msg) { // a message with errors need not survive its encoding
        SLD_INV(!unwritten(o));
        struct sld_report said = {.arena = a};
        ProtobufCMessage *again = sld_raw_decode(a, o->raw, NULL, &said);
        sld_msg_sort_maps(again);
        msg = again;
    }
    own(o)->msg = msg;
    wake(own(o));
    return msg;
}

const Gloo__Metadata *sld_object_meta(const struct sld_object *o)
{
    return sld_model_metadata(o->id.kind, sld_object_msg(o));
}

void sld_objects_rest(void)
{
    for (uint32_t i = 0; i < awake.count; i++) {
        struct sld_object *o = awake.objects[i];
        o->awake = 0;
        o->msg = NULL;
        if (unwritten(o))
            SLD_UNREF(o->raw);
    }
    sld_xfree(awake.objects);
    awake.objects = NULL;
    awake.count = awake.cap = 0;
    sld_arena_fini(&awake.arena);
}

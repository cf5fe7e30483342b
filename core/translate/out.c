// Resources for Envoys: making, checking and encoding them.
#include "translate/inside.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "envoy/config/listener/v3/listener.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"

static const struct {
    const char *name;
    const ProtobufCMessageDescriptor *desc;
} types[SLD_OUT_TYPE_COUNT] = {
    [SLD_OUT_SECRET] = {"sds", &env__transport_sockets_tls__secret__descriptor},
    [SLD_OUT_CLUSTER] = {"cds", &env__cluster__cluster__descriptor},
    [SLD_OUT_ENDPOINT] = {"eds", &env__endpoint__cluster_load_assignment__descriptor},
    [SLD_OUT_LISTENER] = {"lds", &env__listener__listener__descriptor},
    [SLD_OUT_ROUTE] = {"rds", &env__route__route_configuration__descriptor},
};

// Below this many bytes a resource is kept as it is.
enum { RECIPE_MIN = 512 };

const char *sld_out_type_name(enum sld_out_type t)
{
    SLD_PRE(t < SLD_OUT_TYPE_COUNT);
    return types[t].name;
}

const ProtobufCMessageDescriptor *sld_out_type_desc(enum sld_out_type t)
{
    SLD_PRE(t < SLD_OUT_TYPE_COUNT);
    return types[t].desc;
}

static void out_free(struct sld_obj *o)
{
    struct sld_out *out = (struct sld_out *)o;
    if (out->secret && out->bytes.n) {
        union {
            const char *frozen;
            char *own;
        } u = {out->bytes.p}; // the last owner wipes what nobody reads any more
        sld_wipe(u.own, out->bytes.n);
    }
    SLD_UNREF(out->recipe);
    if (out->confs)
        tr_confs_drop(out->confs);
    sld_xfree(out);
}

size_t sld_out_size(const struct sld_out *o)
{
    return o->recipe ? o->recipe->size : o->bytes.n;
}

struct sld_obj *sld_out_open(struct sld_out *o, struct sld_str *bytes)
{
    if (o->recipe)
        return sld_recipe_open(o->recipe, bytes);
    *bytes = o->bytes;
    return sld_obj_ref(o);
}

static void row_free(struct sld_obj *o)
{
    struct tr_out *row = (struct tr_out *)o;
    SLD_UNREF(row->out);
    tr_row_free(&row->row);
}

// The content without the cluster's name: what one ACK proves for all clusters of that shape.
static struct sld_hash shape_of(struct tr *tr, const ProtobufCMessage *msg)
{
    Env__Cluster__Cluster c = *(const Env__Cluster__Cluster *)msg;
    char none[] = "";
    c.name = none;
    c.alt_stat_name = none;
    Env__Cluster__Cluster__EdsClusterConfig eds;
    if (c.eds_cluster_config) {
        eds = *c.eds_cluster_config;
        eds.service_name = none;
        c.eds_cluster_config = &eds;
    }
    return sld_hash_bytes(sld_msg_encode(tr->arena, &c.base));
}

static struct sld_hash hash_of(const struct sld_out *o)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, (uint64_t)o->type | (uint64_t)o->gated << 8 | (uint64_t)o->eds << 9 |
                               (uint64_t)o->secret << 10 | (uint64_t)(o->past && o->type != SLD_OUT_ENDPOINT) << 11);
    sld_hasher_add(&h, o->view);
    sld_hasher_add_u64(&h, o->content.lo);
    sld_hasher_add_u64(&h, o->content.hi);
    for (size_t i = 0; i < o->cluster_count; i++) {
        sld_hasher_add_u64(&h, o->clusters[i].n);
        sld_hasher_add(&h, o->clusters[i]);
    }
    for (size_t i = 0; i < o->need_count; i++) {
        sld_hasher_add_u64(&h, (uint64_t)o->needs[i].type << 32 | o->needs[i].name.n);
        sld_hasher_add(&h, o->needs[i].name);
    }
    if (o->confs) {
        struct sld_hash confs = tr_confs_hash(o->confs);
        sld_hasher_add_u64(&h, confs.lo);
        sld_hasher_add_u64(&h, confs.hi);
    }
    return sld_hasher_done(&h);
}

// What stands behind a resource: arrays, then texts; where the next ones go.
struct piece {
    char *arrays, *texts;
};

static void *take_array(struct piece *p, size_t bytes)
{
    void *out = bytes ? p->arrays : NULL;
    p->arrays += bytes;
    return out;
}

static struct sld_str take_text(struct piece *p, struct sld_str s)
{
    struct sld_str out = {p->texts, s.n};
    if (s.n)
        memcpy(p->texts, s.p, s.n);
    p->texts[s.n] = 0;
    p->texts += s.n + 1;
    return out;
}

// Of multiples of a pointer's size, so that each array is aligned.
static size_t arrays_of(const struct sld_out *o, size_t owners)
{
    _Static_assert(sizeof(struct sld_out_ref) % sizeof(void *) == 0 && sizeof(struct tr_confs) % sizeof(void *) == 0, "arrays follow");
    size_t confs = o->confs && o->confs->count ? sizeof(*o->confs) + o->confs->count * sizeof(*o->confs->items) : 0;
    return owners * sizeof(*o->owners) + o->cluster_count * sizeof(*o->clusters) + o->need_count * sizeof(*o->needs) + confs;
}

static size_t texts_of(const struct sld_out *o)
{
    size_t n = o->view.n + o->name.n + 2;
    for (size_t i = 0; i < o->cluster_count; i++)
        n += o->clusters[i].n + 1;
    for (size_t i = 0; i < o->need_count; i++)
        n += o->needs[i].name.n + 1;
    return n;
}

struct sld_out *tr_out_create(const struct sld_out *proto, size_t bytes, size_t owners)
{
    size_t arrays = arrays_of(proto, owners);
    struct sld_out *o = sld_xalloc(sizeof(*o) + arrays + texts_of(proto) + bytes + 1);
    *o = (struct sld_out){.type = proto->type,
                          .secret = proto->secret,
                          .gated = proto->gated,
                          .eds = proto->eds,
                          .past = proto->past,
                          .shape = proto->shape,
                          .cluster_count = proto->cluster_count,
                          .need_count = proto->need_count,
                          .owner_count = (uint32_t)owners};
    struct piece p = {.arrays = (char *)(o + 1), .texts = (char *)(o + 1) + arrays};
    sld_obj_init(&o->obj, out_free, (struct sld_hash){0});
    o->view = take_text(&p, proto->view);
    o->name = take_text(&p, proto->name);
    o->owners = take_array(&p, owners * sizeof(*o->owners));
    o->clusters = take_array(&p, o->cluster_count * sizeof(*o->clusters));
    for (size_t i = 0; i < o->cluster_count; i++)
        o->clusters[i] = take_text(&p, proto->clusters[i]);
    o->needs = take_array(&p, o->need_count * sizeof(*o->needs));
    for (size_t i = 0; i < o->need_count; i++)
        o->needs[i] = (struct sld_out_ref){proto->needs[i].type, take_text(&p, proto->needs[i].name)};
    if (proto->confs && proto->confs->count) {
        o->confs = take_array(&p, sizeof(*o->confs));
        *o->confs = tr_confs_copy_to(take_array(&p, proto->confs->count * sizeof(*o->confs->items)), proto->confs);
    }
    p.texts[bytes] = 0;
    o->bytes = sld_str_n(p.texts, 0);
    return o;
}

void tr_out_add(struct sld_out *o, struct sld_str s)
{
    union {
        const char *frozen;
        char *own;
    } u = {o->bytes.p}; // it is not shared before it is emitted
    if (s.n)
        memcpy(u.own + o->bytes.n, s.p, s.n);
    o->bytes.n += s.n;
}

void tr_out_make(struct sld_out *o, const struct sld_recipe *r)
{
    union {
        const char *frozen;
        char *own;
    } u = {o->bytes.p};
    r->make(r, u.own);
    o->bytes.n = r->size;
}

void tr_emit_row(struct tr *tr, sld_id key, struct sld_out *out)
{
    struct tr_out *row = tr_row_create_with(sizeof(*row), tr_room_of_uses(tr));
    row->out = out;
    bool fresh = out && sld_hash_zero(out->obj.hash); // else it was emitted before
    if (fresh) {
        if (sld_hash_zero(out->content))
            out->content = sld_hash_bytes(out->bytes);
        out->obj.hash = hash_of(out);
    }
    tr_row_finish(tr, &row->row, out ? out->obj.hash : (struct sld_hash){0}, row_free);
    if (fresh) {
        SLD_PRE(row->row.use_count <= out->owner_count);
        out->owner_count = row->row.use_count;
        for (size_t i = 0; i < out->owner_count; i++)
            out->owners[i] = sld_flow_key_str(tr->t->flow, row->row.uses[i]).p;
    }
    sld_ctx_emit(tr->ctx, key, row);
}

// What is kept instead of BYTES of resource O, which have the recipe MADE or none; a new reference. NULL: the bytes.
static struct sld_recipe *recipe_of(const struct sld_out *o, struct sld_str bytes, struct sld_recipe *made)
{
    // Endpoints are many and much alike, and nobody needs their bytes but who is sent them.
    if (o->type != SLD_OUT_ENDPOINT || o->secret || bytes.n < RECIPE_MIN)
        return NULL;
    if (made) {
        made->size = bytes.n;
        return sld_obj_ref(made);
    }
    struct sld_packed *p = sld_packed_create(bytes);
    return p ? &p->recipe : NULL;
}

bool tr_emit_out(struct tr *tr, sld_id key, const ProtobufCMessage *msg,
                 const struct sld_out *proto, struct sld_report *report)
{
    if (!msg) {
        tr_emit_row(tr, key, NULL);
        return true;
    }
    SLD_PRE(msg->descriptor == types[proto->type].desc);
    struct sld_report check = {.arena = tr->arena};
    sld_msg_check(&check, msg, SLD_ENVOY_CONSTRAINT, NULL);
    if (check.errors) {
        for (size_t i = 0; i < check.count; i++) {
            if (check.items[i].severity == SLD_ERROR)
                sld_report_add(report, SLD_ERROR, SLD_ENVOY_CONSTRAINT, SLD_STR(""),
                               "Envoy would refuse the result at %.*s: %.*s",
                               SLD_FMT(check.items[i].path), SLD_FMT(check.items[i].message));
        }
        tr_emit_row(tr, key, NULL);
        return false;
    }
    struct sld_out p = *proto;
    p.secret = p.secret || tr->tainted;
    if (p.type == SLD_OUT_CLUSTER)
        p.shape = shape_of(tr, msg);
    struct sld_str bytes = sld_msg_encode(tr->arena, msg);
    struct sld_recipe *recipe = recipe_of(&p, bytes, proto->recipe);
    struct sld_out *out = tr_out_create(&p, recipe ? 0 : bytes.n, tr->use_count);
    out->recipe = recipe;
    out->content = sld_hash_bytes(bytes);
    if (recipe)
        out->bytes = SLD_STR_NONE;
    else
        tr_out_add(out, bytes);
    tr_emit_row(tr, key, out);
    return true;
}

// From translate's resources to those of xds.
#include "app/publish.h"

static const struct {
    enum sld_out_type out;
    enum sld_xds_type xds;
} types[] = {
    {SLD_OUT_SECRET, SLD_XDS_SECRET},     {SLD_OUT_CLUSTER, SLD_XDS_CLUSTER},
    {SLD_OUT_ENDPOINT, SLD_XDS_ENDPOINT}, {SLD_OUT_LISTENER, SLD_XDS_LISTENER},
    {SLD_OUT_ROUTE, SLD_XDS_ROUTE},
};

enum sld_out_type sld_publish_type(enum sld_xds_type t)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(types); i++) {
        if (types[i].xds == t)
            return types[i].out;
    }
    SLD_UNREACHABLE();
}

enum sld_xds_type sld_publish_xds_type(enum sld_out_type t)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(types); i++) {
        if (types[i].out == t)
            return types[i].xds;
    }
    SLD_UNREACHABLE();
}

struct sld_hash sld_publish_content(const struct sld_xds_resource *r)
{
    const struct sld_hash *h = r->members;
    return h ? *h : sld_hash_bytes(r->bytes);
}

static struct sld_xds_resource *resource(const struct sld_out *o)
{
    struct sld_xds_resource *r = sld_xds_resource_create(sld_publish_xds_type(o->type), o->name);
    struct sld_arena *a = &r->arena;
    r->bytes = sld_arena_str(a, o->bytes);
    r->secret = o->secret;
    r->clusters = SLD_ARENA_ARRAY(a, struct sld_str, o->cluster_count);
    for (size_t i = 0; i < o->cluster_count; i++)
        r->clusters[r->cluster_count++] = sld_arena_str(a, o->clusters[i]);
    r->needs = SLD_ARENA_ARRAY(a, struct sld_xds_ref, o->need_count);
    for (size_t i = 0; i < o->need_count; i++)
        r->needs[r->need_count++] = (struct sld_xds_ref){sld_publish_xds_type(o->needs[i].type),
                                                         sld_arena_str(a, o->needs[i].name)};
    r->gated = o->gated;
    r->eds = o->eds;
    r->shape = o->shape;
    struct sld_hash *content = SLD_ARENA_NEW(a, struct sld_hash);
    *content = o->content;
    r->members = content;
    sld_xds_resource_seal(r);
    return r;
}

struct sld_xds_batch *sld_publish_batch(const struct sld_out_change *c, size_t n, uint64_t round)
{
    struct sld_xds_batch *b = sld_xds_batch_create(round);
    for (size_t i = 0; i < n; i++) {
        struct sld_xds_resource *r = c[i].res ? resource(c[i].res) : NULL;
        sld_xds_batch_add(b, sld_publish_xds_type(c[i].type), c[i].view, c[i].name, r);
        SLD_UNREF(r);
    }
    return b;
}

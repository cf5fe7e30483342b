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

static struct sld_xds_resource *resource(struct sld_out *o)
{
    struct sld_xds_resource *r = sld_xds_resource_create_on(sld_publish_xds_type(o->type), o->name, o);
    r->bytes = o->bytes;
    r->recipe = o->recipe;
    r->content = o->content;
    r->secret = o->secret;
    r->clusters = o->clusters;
    r->cluster_count = o->cluster_count;
    if (o->need_count)
        r->needs = SLD_ARENA_ARRAY(&r->arena, struct sld_xds_ref, o->need_count);
    for (size_t i = 0; i < o->need_count; i++)
        r->needs[r->need_count++] = (struct sld_xds_ref){sld_publish_xds_type(o->needs[i].type), o->needs[i].name};
    r->gated = o->gated;
    r->eds = o->eds;
    r->past = o->past;
    r->shape = o->shape;
    sld_xds_resource_seal(r);
    return r;
}

struct sld_xds_batch *sld_publish_batch(const struct sld_translate_result *result, uint64_t round)
{
    struct sld_xds_batch *b = sld_xds_batch_create(round);
    for (size_t i = 0; i < result->out_count; i++) {
        const struct sld_out_change *c = &result->outs[i];
        struct sld_xds_resource *r = c->res ? resource(c->res) : NULL;
        sld_xds_batch_add(b, sld_publish_xds_type(c->type), c->view, c->name, r);
        SLD_UNREF(r);
    }
    for (size_t i = 0; i < result->confirmed_count; i++)
        sld_xds_batch_confirm(b, result->confirmed[i]);
    return b;
}

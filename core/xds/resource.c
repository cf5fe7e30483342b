// Types, encoded resources and the batches that carry them between threads.
#include "xds/xds.h"

#include <stdlib.h>

static const struct {
    struct sld_str url;
    const char *name;
} types[SLD_XDS_TYPE_COUNT] = {
    [SLD_XDS_SECRET] =
        {SLD_STR_INIT("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"), "sds"},
    [SLD_XDS_CLUSTER] = {SLD_STR_INIT("type.googleapis.com/envoy.config.cluster.v3.Cluster"),
                         "cds"},
    [SLD_XDS_ENDPOINT] =
        {SLD_STR_INIT("type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"), "eds"},
    [SLD_XDS_LISTENER] = {SLD_STR_INIT("type.googleapis.com/envoy.config.listener.v3.Listener"),
                          "lds"},
    [SLD_XDS_ROUTE] = {SLD_STR_INIT("type.googleapis.com/envoy.config.route.v3.RouteConfiguration"),
                       "rds"},
};

struct sld_str sld_xds_type_url(enum sld_xds_type t)
{
    SLD_PRE(t < SLD_XDS_TYPE_COUNT);
    return types[t].url;
}

const char *sld_xds_type_name(enum sld_xds_type t)
{
    SLD_PRE(t < SLD_XDS_TYPE_COUNT);
    return types[t].name;
}

bool sld_xds_type_find(struct sld_str url, enum sld_xds_type *t)
{
    for (size_t i = 0; i < SLD_XDS_TYPE_COUNT; i++) {
        if (sld_str_eq(types[i].url, url)) {
            *t = (enum sld_xds_type)i;
            return true;
        }
    }
    return false;
}

static void resource_free(struct sld_obj *o)
{
    struct sld_xds_resource *r = (struct sld_xds_resource *)(void *)o;
    if (r->secret && r->bytes.n && !r->keep)
        sld_wipe((void *)(uintptr_t)r->bytes.p, r->bytes.n);
    SLD_UNREF(r->keep);
    sld_arena_fini(&r->arena);
    sld_xfree(r);
}

struct sld_xds_resource *sld_xds_resource_create_on(enum sld_xds_type t, struct sld_str name, void *keep)
{
    SLD_PRE(t < SLD_XDS_TYPE_COUNT);
    struct sld_xds_resource *r = SLD_NEW(struct sld_xds_resource);
    sld_obj_init(&r->obj, resource_free, (struct sld_hash){0});
    r->type = t;
    r->keep = sld_obj_ref(keep);
    r->name = name;
    return r;
}

struct sld_xds_resource *sld_xds_resource_create(enum sld_xds_type t, struct sld_str name)
{
    struct sld_xds_resource *r = sld_xds_resource_create_on(t, name, NULL);
    r->name = sld_arena_str(&r->arena, name);
    return r;
}

static int by_text(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

static bool sorted(const struct sld_str *s, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (sld_str_cmp(s[i - 1], s[i]) > 0)
            return false;
    }
    return true;
}

void sld_xds_resource_seal(struct sld_xds_resource *r)
{
    struct sld_hasher h;
    SLD_PRE(!r->recipe || !sld_hash_zero(r->content));
    if (sld_hash_zero(r->content))
        r->content = sld_hash_bytes(r->bytes);
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, (uint64_t)r->type);
    sld_hasher_add(&h, r->name);
    sld_hasher_add_u64(&h, r->content.lo);
    sld_hasher_add_u64(&h, r->content.hi);
    r->obj.hash = sld_hasher_done(&h);
    if (!sorted(r->clusters, r->cluster_count)) // they may be somebody else's, who has them in order
        qsort(r->clusters, r->cluster_count, sizeof(*r->clusters), by_text);
}

size_t sld_xds_resource_size(const struct sld_xds_resource *r)
{
    return r->recipe ? r->recipe->size : r->bytes.n;
}

struct sld_obj *sld_xds_resource_open(struct sld_xds_resource *r, struct sld_str *bytes)
{
    if (r->recipe)
        return sld_recipe_open(r->recipe, bytes);
    *bytes = r->bytes;
    return sld_obj_ref(r);
}

struct sld_xds_batch *sld_xds_batch_create(uint64_t round)
{
    struct sld_xds_batch *b = SLD_NEW(struct sld_xds_batch);
    b->round = round;
    return b;
}

void sld_xds_batch_add(struct sld_xds_batch *b, enum sld_xds_type t, struct sld_str view,
                       struct sld_str name, struct sld_xds_resource *r)
{
    SLD_PRE(!r || (r->type == t && sld_str_eq(r->name, name) && !sld_hash_zero(r->obj.hash)));
    struct sld_xds_change c = {
        .type = t,
        .view = sld_arena_str(&b->arena, view.p ? view : SLD_STR("")),
        .name = sld_arena_str(&b->arena, name),
        .resource = sld_obj_ref(r),
    };
    SLD_PUSH(&b->arena, b->changes, b->count, c);
}

void sld_xds_batch_confirm(struct sld_xds_batch *b, struct sld_str name)
{
    SLD_PUSH(&b->arena, b->confirmed, b->confirmed_count, sld_arena_str(&b->arena, name));
}

void sld_xds_batch_destroy(struct sld_xds_batch *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->count; i++)
        SLD_UNREF(b->changes[i].resource);
    sld_arena_fini(&b->arena);
    sld_xfree(b);
}

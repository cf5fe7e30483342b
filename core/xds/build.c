// Envoy builds and what they proved or refused.
#include "xds/inside.h"

struct refusal {
    struct refusal *next;
    const struct sld_xds_build *build;
    char *words; // own
};

void sld_xds_builds_fini(struct sld_xds_builds *b)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&b->refused, &at));) {
        for (struct refusal *r = s->value, *next; r; r = next) {
            next = r->next;
            sld_xfree(r->words);
            sld_xfree(r);
        }
    }
    sld_map_fini(&b->refused);
    at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&b->by_name, &at));) {
        struct sld_xds_build *build = s->value;
        sld_umap_fini(&build->shapes);
        sld_xfree((void *)(uintptr_t)build->name.p);
        sld_xfree(build);
    }
    sld_map_fini(&b->by_name);
}

struct sld_xds_build *sld_xds_build_get(struct sld_xds_builds *b, struct sld_str name)
{
    struct sld_xds_build *build = sld_map_get(&b->by_name, name);
    if (build)
        return build;
    bool vague = sld_map_count(&b->by_name) >= SLD_XDS_BUILDS_MAX;
    if (vague) {
        name = SLD_STR("other");
        build = sld_map_get(&b->by_name, name);
        if (build)
            return build;
    }
    build = SLD_NEW(struct sld_xds_build);
    char *copy = sld_xalloc(name.n);
    if (name.n)
        memcpy(copy, name.p, name.n);
    build->name = (struct sld_str){copy, name.n};
    build->vague = vague;
    sld_map_set(&b->by_name, name, build);
    return build;
}

void sld_xds_builds_print(const struct sld_xds *x, struct sld_buf *out)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&x->builds.by_name, &at));) {
        const struct sld_xds_build *b = s->value;
        if (b->streams)
            sld_buf_addf(out, "%s%.*s", out->n ? "\n" : "", SLD_FMT(b->name));
    }
}

void sld_xds_build_prove(struct sld_xds_build *b, struct sld_hash shape)
{
    if (!sld_hash_zero(shape) && !b->vague)
        sld_umap_set(&b->shapes, shape.lo ^ shape.hi, b);
}

bool sld_xds_build_proven(const struct sld_xds_build *b, struct sld_hash shape)
{
    return !sld_hash_zero(shape) && sld_umap_has(&b->shapes, shape.lo ^ shape.hi);
}

static struct sld_str hash_key(const struct sld_hash *h)
{
    return (struct sld_str){(const char *)h, sizeof(*h)};
}

bool sld_xds_refusal_has(const struct sld_xds_builds *b, struct sld_hash hash,
                         const struct sld_xds_build *build)
{
    for (struct refusal *r = sld_map_get(&b->refused, hash_key(&hash)); r; r = r->next) {
        if (r->build == build)
            return true;
    }
    return false;
}

bool sld_xds_refusal_any(const struct sld_xds_builds *b, struct sld_hash hash)
{
    return sld_map_has(&b->refused, hash_key(&hash));
}

void sld_xds_refusal_each(const struct sld_xds_builds *b, struct sld_hash hash,
                          void (*fn)(void *arg, const struct sld_xds_build *build,
                                     struct sld_str words),
                          void *arg)
{
    for (const struct refusal *r = sld_map_get(&b->refused, hash_key(&hash)); r; r = r->next)
        fn(arg, r->build, sld_str_c(r->words));
}

bool sld_xds_refusal_add(struct sld_xds_builds *b, struct sld_hash hash,
                         const struct sld_xds_build *build, struct sld_str words)
{
    if (sld_xds_refusal_has(b, hash, build))
        return false;
    if (sld_map_count(&b->refused) >= SLD_XDS_REFUSED_MAX && !sld_xds_refusal_any(b, hash))
        return false;
    struct refusal *r = SLD_NEW(struct refusal);
    r->build = build;
    words = sld_str_sub(words, 0, SLD_XDS_REFUSED_WORDS_MAX);
    r->words = sld_xalloc(words.n + 1);
    if (words.n)
        memcpy(r->words, words.p, words.n);
    r->words[words.n] = 0;
    r->next = sld_map_get(&b->refused, hash_key(&hash));
    sld_map_set(&b->refused, hash_key(&hash), r);
    return true;
}

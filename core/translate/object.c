// The form of each object that is in force, and the index of route tables.
#include "translate/service.h"

// A certificate that is not valid now does not take the place of one that is in service.
static bool not_now(struct sld_translate *t, struct sld_ctx *ctx, sld_id key)
{
    const struct tr_validity *v = sld_ctx_get(ctx, t->validity, key);
    int64_t now = v ? tr_now(t, ctx) : 0;
    return now && (now > v->not_after || now < v->not_before);
}

// What discovery has in the place of an upstream that somebody refers to.
static struct sld_object *found(struct sld_translate *t, struct sld_ctx *ctx, sld_id key)
{
    struct tr tr;
    tr_begin(&tr, t, ctx);
    return tr_found_upstream(&tr, sld_flow_key_str(t->flow, key));
}

// USER is the kind's slot: which of the tables this is.
void tr_step_object(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    (void)in;
    const struct tr_kind_slot *slot = user;
    const struct sld_object *raw = sld_ctx_get(ctx, slot->t->raw[slot->kind], key);
    const struct sld_object *accepted = sld_ctx_get(ctx, slot->t->accepted[slot->kind], key);
    // An accepted form without a document is what was restored before its source spoke.
    const struct sld_object *use = raw && raw->ok ? raw : accepted;
    if (use && use == raw && accepted && slot->kind == SLD_KIND_SECRET &&
        not_now(slot->t, ctx, key))
        use = accepted;
    if (use && use == raw && accepted && slot->kind != SLD_KIND_SECRET &&
        sld_ctx_has(ctx, slot->t->waits, key))
        use = accepted;
    union {
        const struct sld_object *frozen;
        struct sld_object *counted;
    } u = {use}; // only the count of references changes
    struct sld_object *own = use ? sld_obj_ref(u.counted) : NULL;
    if (!own && slot->kind == SLD_KIND_UPSTREAM)
        own = found(slot->t, ctx, key);
    if (own)
        sld_ctx_emit(ctx, key, own);
}

void tr_index_rt(sld_id key, const void *value, void (*add)(void *arg, sld_id entry), void *arg,
                 void *user)
{
    (void)key;
    struct sld_translate *t = user;
    const struct sld_object *o = value;
    const Gloo__Metadata *m = sld_object_meta(o);
    add(arg, sld_flow_key(t->flow, SLD_STR("all")));
    add(arg, sld_flow_keyf(t->flow, "ns\n%.*s", SLD_FMT(o->id.ns)));
    for (size_t i = 0; i < m->n_labels; i++)
        add(arg, sld_flow_keyf(t->flow, "label\n%s=%s", m->labels[i]->key, m->labels[i]->value));
}

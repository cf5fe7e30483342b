// Secrets that come on demand. A document that means one which has not been answered for does not
// count yet: its accepted form stays in force, so that a new reference takes nothing away.
#include "translate/inside.h"

#include "tls.pb-c.h"

#define ON_DEMAND_KEY "on demand"

// ---- The secrets that a document means ----

struct meant {
    struct sld_str ns, name; // ns absent: the write namespace
};

// A source row of `refers`, key as the document's.
struct refers {
    struct sld_obj obj;
    struct sld_arena arena;
    enum sld_kind kind;
    struct sld_str ns;
    struct meant *items;
    size_t count;
};

static void refers_free(struct sld_obj *o)
{
    struct refers *r = (struct refers *)o;
    sld_arena_fini(&r->arena);
    sld_xfree(r);
}

static bool collect(const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m, void *user)
{
    struct refers *r = user;
    if (m->descriptor == &gloo__vault_pki__descriptor) {
        struct meant one = {SLD_STR_NONE,
                            sld_store_ref_of_pki(&r->arena, (const Gloo__VaultPki *)m)};
        SLD_PUSH(&r->arena, r->items, r->count, one);
        return false;
    }
    if (m->descriptor != &gloo__resource_ref__descriptor)
        return true;
    if (strcmp(f->name, "secret_ref") == 0 || strcmp(f->name, "header_secret_ref") == 0) {
        const Gloo__ResourceRef *ref = (const Gloo__ResourceRef *)m;
        struct meant one = {sld_arena_str(&r->arena, tr_ref_ns(ref, r->ns)),
                            sld_arena_str(&r->arena, sld_str_c(ref->name))};
        SLD_PUSH(&r->arena, r->items, r->count, one);
    }
    return false;
}

static struct refers *refers_of(const struct sld_object *o)
{
    struct refers *r = SLD_NEW(struct refers);
    sld_obj_init(&r->obj, refers_free, o->obj.hash);
    r->kind = o->id.kind;
    r->ns = sld_arena_str(&r->arena, o->id.ns);
    sld_msg_each(sld_object_msg(o), collect, r);
    return r;
}

void tr_refers_set(struct sld_translate *t, sld_id key, const struct sld_object *o)
{
    bool may = t->on_demand && o && o->ok && o->id.kind != SLD_KIND_SECRET;
    struct refers *r = may ? refers_of(o) : NULL;
    if (r && r->count)
        sld_flow_set(t->refers, key, r);
    else
        sld_flow_delete(t->refers, key);
    SLD_UNREF(r);
}

// ---- Answers ----

void sld_translate_secrets_on_demand(struct sld_translate *t, bool yes)
{
    if (yes == t->on_demand)
        return;
    t->on_demand = yes;
    sld_id flag = sld_flow_key(t->flow, SLD_STR(ON_DEMAND_KEY));
    if (yes)
        sld_flow_set(t->answered, flag, t->yes);
    else
        sld_flow_delete(t->answered, flag);
    for (size_t k = 0; k < SLD_KIND_COUNT; k++) {
        size_t at = 0;
        sld_id key;
        for (const void *row; sld_flow_next(t->raw[k], &at, &key, &row);)
            tr_refers_set(t, key, row);
    }
}

void sld_translate_secret_answered(struct sld_translate *t, struct sld_str key)
{
    sld_id id = sld_flow_key(t->flow, key);
    if (sld_flow_has_readers(t->secrets, id))
        sld_flow_set(t->answered, id, t->yes);
}

void tr_unanswered(struct sld_translate *t, sld_id key)
{
    sld_flow_delete(t->answered, key);
}

bool tr_awaited(struct tr *tr, struct sld_str ns, struct sld_str name)
{
    struct sld_flow *flow = tr->t->flow;
    sld_id key = sld_flow_key(flow, tr_key(tr->arena, SLD_KIND_SECRET, ns, name));
    return sld_ctx_has(tr->ctx, tr->t->answered, sld_flow_key(flow, SLD_STR(ON_DEMAND_KEY))) &&
           !sld_ctx_has(tr->ctx, tr->t->secrets, key) &&
           !sld_ctx_has(tr->ctx, tr->t->answered, key);
}

// ---- What was in service before ----

enum { HAS_CERT = 1, HAS_CA = 2, HAS_OCSP = 4, MUST_STAPLE = 8, MARK_BITS = 15 };

struct sld_hash tr_mark(const struct tr_cert *c)
{
    uint64_t has = (c->has_cert ? HAS_CERT : 0) | (c->has_ca ? HAS_CA : 0) |
                   (c->has_ocsp ? HAS_OCSP : 0) | (c->must_staple ? MUST_STAPLE : 0);
    struct sld_hash h = sld_hash_bytes(c->has_cert ? c->chain : c->ca);
    h.hi = (h.hi & ~(uint64_t)MARK_BITS) | has;
    return h;
}

bool tr_mark_is_of(struct sld_hash mark, struct sld_hash chain)
{
    return mark.lo == chain.lo && (mark.hi & HAS_CERT) && ((mark.hi ^ chain.hi) & ~(uint64_t)MARK_BITS) == 0;
}

static void remembered_free(struct sld_obj *o)
{
    tr_row_free((struct tr_row *)o);
}

void tr_remember(struct sld_translate *t, struct sld_ident id, struct sld_hash mark)
{
    struct sld_arena a = {0};
    sld_id key = sld_flow_key(t->flow, sld_ident_key(&a, id));
    sld_arena_fini(&a);
    if (sld_hash_zero(mark)) {
        sld_flow_delete(t->remembered, key);
        return;
    }
    struct tr_secret *s = tr_row_create(sizeof(*s));
    struct sld_arena *own = &s->row.arena;
    sld_obj_init(&s->row.obj, remembered_free, mark);
    s->key = sld_flow_key_str(t->flow, key);
    s->ns = sld_arena_str(own, id.ns);
    s->name = sld_arena_str(own, id.name);
    s->why = SLD_STR("");
    s->kind = TR_SECRET_TLS;
    s->usable = true;
    s->has_cert = mark.hi & HAS_CERT;
    s->has_ca = mark.hi & HAS_CA;
    s->has_ocsp = mark.hi & HAS_OCSP;
    s->must_staple = mark.hi & MUST_STAPLE;
    sld_flow_set(t->remembered, key, s);
    SLD_UNREF(s);
}

const struct tr_secret *tr_remembered(struct tr *tr, struct sld_str ns, struct sld_str name)
{
    sld_id key = sld_flow_key(tr->t->flow, tr_key(tr->arena, SLD_KIND_SECRET, ns, name));
    return tr_awaited(tr, ns, name) ? sld_ctx_get(tr->ctx, tr->t->remembered, key) : NULL;
}

// ---- What waits ----

static bool means(const struct refers *r, const struct meant *m)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct meant *x = &r->items[i];
        if (!x->ns.p == !m->ns.p && sld_str_eq(x->ns, m->ns) && sld_str_eq(x->name, m->name))
            return true;
    }
    return false;
}

// What the accepted form means too is no reason to prefer that one.
static void look(struct tr *tr, const struct refers *now, const struct refers *accepted,
                 struct sld_report *r)
{
    for (size_t i = 0; i < now->count; i++) {
        const struct meant *m = &now->items[i];
        struct sld_str ns = m->ns.p ? m->ns : tr_write_ns(tr);
        if (!means(accepted, m) && tr_awaited(tr, ns, m->name))
            sld_report_add(r, SLD_WARNING, SLD_SECRET_AWAITED, SLD_STR(""),
                           "secret %.*s has not been read yet: its store has not answered; see "
                           "solder get secrets and /healthz",
                           SLD_FMT(tr_ref_text(tr->arena, ns, m->name)));
    }
}

void tr_step_waits(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct refers *now = in;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const struct sld_object *accepted = sld_ctx_get(ctx, tr.t->accepted[now->kind], key);
    if (!accepted || sld_hash_eq(accepted->obj.hash, now->obj.hash))
        return;
    struct refers *before = refers_of(accepted);
    look(&tr, now, before, tr_report(&tr, sld_flow_key_str(tr.t->flow, key)));
    SLD_UNREF(before);
    if (!tr_has_report(&tr))
        return;
    struct tr_row *row = tr_row_create(sizeof(*row));
    tr_row_finish(&tr, row, now->obj.hash, NULL);
    sld_ctx_emit(ctx, key, row);
}

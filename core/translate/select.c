// Which route tables a route delegates to (gloo-compat 3.6).
#include "translate/route.h"

#include <stdlib.h>

static void warn(const struct tr_owner *owner, enum sld_code code, const char *field,
                 struct sld_str words)
{
    sld_report_add(owner->report, SLD_WARNING, code, sld_str_c(field), "%.*s", SLD_FMT(words));
}

static void push(struct tr_build *b, struct tr_table **out, size_t *n, const struct sld_object *o,
                 struct sld_str key)
{
    const Gloo__RouteTable *rt = sld_object_msg(o);
    struct tr_table t = {.key = key, .object = o, .weight = rt->weight ? rt->weight->value : 0};
    tr_use(b->tr, key);
    SLD_PUSH(b->tr->arena, *out, *n, t);
}

static struct tr_table *by_ref(struct tr_build *b, const struct tr_owner *owner, const char *field,
                               struct sld_str ref_ns, const char *name, size_t *n)
{
    struct sld_str ns = ref_ns.n ? ref_ns : owner->ns;
    struct sld_arena *a = b->tr->arena;
    const struct sld_object *o = tr_object(b->tr, SLD_KIND_ROUTE_TABLE, ns, sld_str_c(name));
    struct tr_table *out = NULL;
    if (o)
        push(b, &out, n, o, tr_key(a, SLD_KIND_ROUTE_TABLE, ns, sld_str_c(name)));
    else
        warn(owner, SLD_REF_ROUTE_TABLE, field,
             sld_arena_fmt(a, "route table %.*s.%s missing; %s", SLD_FMT(ns), name,
                           tr_mend_ref(b->tr, SLD_KIND_ROUTE_TABLE, ns, sld_str_c(name))));
    return out;
}

// ---- Selectors ----

struct search {
    struct tr_build *b;
    const struct tr_owner *owner;
    const Gloo__RouteTableSelector *s;
    struct tr_table *out;
    size_t n;
};

static bool ns_matches(const struct search *q, struct sld_str ns)
{
    if (!q->s->n_namespaces)
        return sld_str_eq(ns, q->owner->ns);
    return sld_namespaces_match(q->s->namespaces, q->s->n_namespaces, ns);
}

// Takes those of one index entry that match.
static void look(struct search *q, struct sld_str entry)
{
    struct tr *tr = q->b->tr;
    size_t n;
    const struct sld_hit *hits =
        sld_ctx_lookup(tr->ctx, tr->t->rt_by_label, sld_flow_key(tr->t->flow, entry), &n);
    for (size_t i = 0; i < n; i++) {
        const struct sld_object *o = hits[i].value;
        if (ns_matches(q, o->id.ns) &&
            sld_selector_labels_match(q->s->labels, q->s->n_labels, sld_object_meta(o)) &&
            sld_expressions_match(q->s->expressions, q->s->n_expressions, sld_object_meta(o)))
            push(q->b, &q->out, &q->n, o, sld_flow_key_str(tr->t->flow, hits[i].key));
    }
}

// "key=value" that every table chosen has, or an absent slice.
static struct sld_str wanted_label(const struct search *q)
{
    struct sld_arena *a = q->b->tr->arena;
    const Gloo__RouteTableSelector *s = q->s;
    if (s->n_labels)
        return sld_arena_fmt(a, "label\n%s=%s", s->labels[0]->key, s->labels[0]->value);
    for (size_t i = 0; i < s->n_expressions; i++) {
        const Gloo__SelectorExpression *e = s->expressions[i];
        bool equals = e->operator_ == GLOO__SELECTOR_EXPRESSION__OPERATOR__Equals ||
                      e->operator_ == GLOO__SELECTOR_EXPRESSION__OPERATOR__DoubleEquals ||
                      e->operator_ == GLOO__SELECTOR_EXPRESSION__OPERATOR__In;
        if (equals && e->n_values == 1)
            return sld_arena_fmt(a, "label\n%s=%s", e->key, e->values[0]);
    }
    return SLD_STR_NONE;
}

static bool all_namespaces(const Gloo__RouteTableSelector *s)
{
    for (size_t i = 0; i < s->n_namespaces; i++) {
        if (strcmp(s->namespaces[i], "*") == 0)
            return true;
    }
    return false;
}

static int by_key(const void *x, const void *y)
{
    return sld_str_cmp(((const struct tr_table *)x)->key, ((const struct tr_table *)y)->key);
}

static void look_by_ns(struct search *q)
{
    struct sld_arena *a = q->b->tr->arena;
    const Gloo__RouteTableSelector *s = q->s;
    if (!s->n_namespaces)
        look(q, sld_arena_fmt(a, "ns\n%.*s", SLD_FMT(q->owner->ns)));
    for (size_t i = 0; i < s->n_namespaces; i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again |= strcmp(s->namespaces[k], s->namespaces[i]) == 0;
        if (!again)
            look(q, sld_arena_fmt(a, "ns\n%s", s->namespaces[i]));
    }
    if (q->n)
        qsort(q->out, q->n, sizeof(*q->out), by_key);
}

// Through the narrowest index entry there is, so that other tables' edits do not wake the virtual
// host.
static struct tr_table *by_selector(struct tr_build *b, const struct tr_owner *owner,
                                    const Gloo__RouteTableSelector *s, size_t *n)
{
    struct sld_arena *a = b->tr->arena;
    if (s->n_labels && s->n_expressions) {
        warn(owner, SLD_GW_SELECTOR, "delegateAction.selector",
             SLD_STR("cannot use both labels and expressions within the same selector; write the "
                     "labels as expressions"));
        return NULL;
    }
    struct sld_report check = {.arena = a};
    if (!sld_expressions_check(&check, s->expressions, s->n_expressions)) {
        warn(owner, SLD_GW_SELECTOR, "delegateAction.selector.expressions",
             sld_arena_fmt(a, "the route table selector expression is invalid: %.*s",
                           SLD_FMT(check.items[0].message)));
        return NULL;
    }
    struct search q = {.b = b, .owner = owner, .s = s};
    struct sld_str label = wanted_label(&q);
    if (label.p)
        look(&q, label);
    else if (all_namespaces(s))
        look(&q, SLD_STR("all"));
    else
        look_by_ns(&q);
    if (!q.n)
        warn(owner, SLD_REF_ROUTE_TABLE, "delegateAction.selector",
             SLD_STR("no route table matches the given selector; correct it, or create a table "
                     "that it matches (without "
                     "namespaces only the delegating object's own is searched)"));
    *n = q.n;
    return q.out;
}

struct tr_table *tr_tables(struct tr_build *b, const struct tr_owner *owner,
                           const Gloo__DelegateAction *d, size_t *n)
{
    *n = 0;
    if (*d->name || *d->namespace_)
        return by_ref(b, owner, "delegateAction.name", sld_str_c(d->namespace_), d->name, n);
    switch (d->delegation_type_case) {
    case GLOO__DELEGATE_ACTION__DELEGATION_TYPE_REF:
        return by_ref(b, owner, "delegateAction.ref", sld_str_c(d->ref->namespace_), d->ref->name,
                      n);
    case GLOO__DELEGATE_ACTION__DELEGATION_TYPE_SELECTOR:
        return by_selector(b, owner, d->selector, n);
    default:
        warn(owner, SLD_REF_ROUTE_TABLE, "delegateAction",
             SLD_STR("cannot determine delegation target: you must specify a route table either "
                     "via a resource reference or a "
                     "selector"));
        return NULL;
    }
}

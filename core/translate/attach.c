// Which virtual services are served by which gateways (gloo-compat 3.2), and who claims which
// domain.
#include "translate/inside.h"

#include <ctype.h>
#include <stdlib.h>

static bool named(const Gloo__HttpGateway *h, struct sld_str gateway_ns, struct sld_ident id)
{
    for (size_t i = 0; i < h->n_virtual_services; i++) {
        const Gloo__ResourceRef *ref = h->virtual_services[i];
        if (sld_str_eq(sld_str_c(ref->name), id.name) &&
            sld_str_eq(tr_ref_ns(ref, gateway_ns), id.ns))
            return true;
    }
    return false;
}

// The first of expressions, selector and references that is set decides; references ignore the
// namespaces.
static bool selects(const struct tr_select *s, struct sld_str gateway_ns,
                    const struct sld_object *vs)
{
    const Gloo__HttpGateway *h = s->http;
    const Gloo__VirtualService *msg = sld_object_msg(vs);
    if ((msg->ssl_config != NULL) != s->ssl)
        return false;
    bool in_ns = !h->n_virtual_service_namespaces ||
                 sld_namespaces_match(h->virtual_service_namespaces,
                                      h->n_virtual_service_namespaces, vs->id.ns);
    if (h->virtual_service_expressions)
        return in_ns && sld_expressions_match(h->virtual_service_expressions->expressions,
                                              h->virtual_service_expressions->n_expressions,
                                              sld_object_meta(vs));
    if (h->n_virtual_service_selector)
        return in_ns &&
               sld_selector_labels_match(h->virtual_service_selector, h->n_virtual_service_selector,
                                         sld_object_meta(vs));
    if (h->n_virtual_services)
        return named(h, gateway_ns, vs->id);
    return in_ns;
}

static int by_str(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

size_t tr_domains(struct sld_arena *a, const Gloo__VirtualService *vs, struct sld_str **out)
{
    const Gloo__VirtualHost *vh = vs->virtual_host;
    if (!vh) {
        *out = NULL;
        return 0;
    }
    size_t n = vh->n_domains, count = 0;
    struct sld_str *d = SLD_ARENA_ARRAY(a, struct sld_str, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct sld_str s = sld_arena_str(a, sld_str_trim(sld_str_c(vh->domains[i])));
        char *p = sld_arena_cstr(a, s);
        for (size_t k = 0; k < s.n; k++)
            p[k] = (char)tolower((unsigned char)p[k]);
        if (s.n)
            d[count++] = sld_str_n(p, s.n);
    }
    if (!count)
        d[count++] = SLD_STR("*");
    qsort(d, count, sizeof(*d), by_str);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !sld_str_eq(d[kept - 1], d[i]))
            d[kept++] = d[i];
    }
    *out = d;
    return kept;
}

static void attach_free(struct sld_obj *o)
{
    sld_xfree(o);
}

// VS_KEY is the flow's.
static void attach(struct tr *tr, const struct tr_select *s, const struct sld_object *vs,
                   sld_id vs_key)
{
    struct sld_str *domains;
    size_t n = tr_domains(tr->arena, sld_object_msg(vs), &domains);
    struct tr_attach *row = sld_xcalloc(1, sizeof(*row) + n * sizeof(sld_id));
    row->gateway = sld_flow_key(tr->t->flow, s->key);
    row->vs = vs_key;
    row->ssl = s->ssl;
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, row->ssl);
    for (size_t i = 0; i < n; i++) {
        row->domains[row->domain_count++] = sld_flow_key(tr->t->flow, domains[i]);
        sld_hasher_add_u64(&h, domains[i].n);
        sld_hasher_add(&h, domains[i]);
    }
    sld_obj_init(&row->obj, attach_free, sld_hasher_done(&h));
    sld_id key = sld_flow_key(tr->t->flow, SLD_ARENA_JOIN(tr->arena, s->key, SLD_STR("\n"),
                                                          sld_flow_key_str(tr->t->flow, vs_key)));
    sld_ctx_emit(tr->ctx, key, row);
}

void tr_step_attach(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    struct tr tr;
    tr_begin(&tr, user, ctx);
    const struct sld_object *o = in;
    size_t n;
    const struct sld_hit *hits = sld_ctx_all(ctx, tr.t->gw_select, &n);
    for (size_t i = 0; i < n; i++) {
        const struct tr_select *s = hits[i].value;
        if (selects(s, sld_ident_of_key(s->key).ns, o))
            attach(&tr, s, o, key);
    }
}

void tr_index_attach_gateway(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                             void *arg, void *user)
{
    (void)key;
    (void)user;
    add(arg, ((const struct tr_attach *)value)->gateway);
}

void tr_index_attach_domain(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                            void *arg, void *user)
{
    (void)key;
    (void)user;
    const struct tr_attach *at = value;
    for (size_t i = 0; i < at->domain_count; i++)
        add(arg, at->domains[i]);
}

void tr_index_accepted_domain(sld_id key, const void *value, void (*add)(void *arg, sld_id entry),
                              void *arg, void *user)
{
    (void)key;
    const struct sld_object *o = value;
    struct sld_translate *t = user;
    struct sld_arena a = {0};
    struct sld_str *d;
    size_t n = tr_domains(&a, sld_object_msg(o), &d);
    for (size_t i = 0; i < n; i++)
        add(arg, sld_flow_key(t->flow, d[i]));
    sld_arena_fini(&a);
}

// Looking in: objects, statuses, resources, proxies.
#include "translate/inside.h"

#include <stdlib.h>

static const void *row_of(const struct sld_translate *t, struct sld_table *const *tables,
                          struct sld_str key)
{
    struct sld_ident id;
    if (!sld_ident_parse(key, &id))
        return NULL;
    return sld_flow_get(tables[id.kind], sld_flow_key(t->flow, key));
}

const struct sld_object *sld_translate_object(const struct sld_translate *t, struct sld_str key)
{
    return row_of(t, t->obj, key);
}

const struct sld_object *sld_translate_document(const struct sld_translate *t, struct sld_str key)
{
    const struct sld_object *raw = row_of(t, t->raw, key);
    if (!raw)
        raw = row_of(t, t->accepted, key);
    return raw ? raw : sld_translate_object(t, key);
}

const struct sld_object *sld_translate_usable(const struct sld_translate *t, struct sld_str key)
{
    const struct sld_object *raw = row_of(t, t->raw, key);
    return raw && raw->ok ? raw : row_of(t, t->accepted, key);
}

const struct sld_status *sld_translate_status(const struct sld_translate *t, struct sld_str key)
{
    return tr_told_status(t, sld_flow_key(t->flow, key), row_of(t, t->status, key));
}

bool sld_translate_changed(const struct sld_translate *t, struct sld_str key)
{
    struct sld_ident id;
    return sld_ident_parse(key, &id) && sld_flow_changed(t->raw[id.kind], sld_flow_key(t->flow, key));
}

const struct sld_raw *sld_translate_raw(const struct sld_translate *t, struct sld_str key)
{
    struct sld_ident id;
    return sld_ident_parse(key, &id) ? tr_place(t, id.kind, sld_flow_key(t->flow, key)) : NULL;
}

const struct sld_raw *sld_translate_written(const struct sld_translate *t, struct sld_str key)
{
    struct sld_ident id;
    if (!sld_ident_parse(key, &id))
        return NULL;
    sld_id row = sld_flow_key(t->flow, key);
    bool written = sld_flow_get(t->raw[id.kind], row) || sld_flow_get(t->accepted[id.kind], row);
    return written ? tr_place(t, id.kind, row) : NULL;
}

struct views {
    struct sld_map seen;
    void (*fn)(struct sld_str view, void *arg);
    void *arg;
};

static void views_of_gateway(struct views *v, const struct tr_gateway *g)
{
    for (size_t i = 0; i < g->bind_count; i++) {
        if (g->binds[i].lost || sld_map_has(&v->seen, g->binds[i].view))
            continue;
        sld_map_set(&v->seen, g->binds[i].view, v);
        v->fn(g->binds[i].view, v->arg);
    }
}

static bool uses(const struct tr_row *row, sld_id key)
{
    for (size_t i = 0; i < row->use_count; i++) {
        if (row->uses[i] == key)
            return true;
    }
    return false;
}

void sld_translate_vhosts(const struct sld_translate *t, struct sld_str key,
                          void (*fn)(struct sld_str gateway, struct sld_str vs, void *arg), void *arg)
{
    size_t at = 0;
    sld_id id, used = sld_flow_key(t->flow, key);
    for (const void *row; sld_flow_next(t->vhosts, &at, &id, &row);) {
        const struct tr_vhost_row *h = row;
        if (h->vs == used || uses(&h->row, used))
            fn(sld_flow_key_str(t->flow, h->gateway), sld_flow_key_str(t->flow, h->vs), arg);
    }
}

struct views_of {
    const struct sld_translate *t;
    struct views *v;
};

static void views_of_vhost(struct sld_str gateway, struct sld_str vs, void *arg)
{
    (void)vs;
    const struct views_of *of = arg;
    const struct tr_gateway *g = sld_flow_get(of->t->gateways, sld_flow_key(of->t->flow, gateway));
    if (g)
        views_of_gateway(of->v, g);
}

void sld_translate_proxies(const struct sld_translate *t, struct sld_str key, bool scan,
                           void (*fn)(struct sld_str view, void *arg), void *arg)
{
    struct views v = {.fn = fn, .arg = arg};
    struct sld_ident id;
    size_t at = 0;
    sld_id gateway;
    if (!sld_ident_parse(key, &id))
        return;
    for (const void *row; sld_flow_next(t->gateways, &at, &gateway, &row);) {
        const struct tr_gateway *g = row;
        bool is = id.kind == SLD_KIND_GATEWAY && sld_str_eq(g->key, key);
        bool serves = id.kind == SLD_KIND_VIRTUAL_SERVICE &&
                      sld_flow_get(t->attach, sld_flow_keyf(t->flow, "%.*s\n%.*s", SLD_FMT(g->key),
                                                            SLD_FMT(key)));
        if (is || serves)
            views_of_gateway(&v, g);
    }
    if (id.kind == SLD_KIND_ROUTE_TABLE && scan)
        sld_translate_vhosts(t, key, views_of_vhost, &(struct views_of){t, &v});
    sld_map_fini(&v.seen);
}

// A row and its key, for sorting.
struct listed {
    struct sld_str key;
    const void *value;
};

static int by_key(const void *a, const void *b)
{
    return sld_str_cmp(((const struct listed *)a)->key, ((const struct listed *)b)->key);
}

static struct listed *sorted(const struct sld_translate *t, const struct sld_table *table,
                             struct sld_arena *a, size_t *n)
{
    struct listed *out = SLD_ARENA_ARRAY(a, struct listed, sld_flow_count(table));
    *n = 0;
    size_t at = 0;
    sld_id key;
    for (const void *v; sld_flow_next(table, &at, &key, &v);)
        out[(*n)++] = (struct listed){sld_flow_key_str(t->flow, key), v};
    qsort(out, *n, sizeof(*out), by_key);
    return out;
}

void sld_translate_each(const struct sld_translate *t, enum sld_kind k,
                        void (*fn)(const struct sld_object *o, const struct sld_status *s,
                                   void *arg),
                        void *arg)
{
    for (size_t i = 0; i < SLD_KIND_COUNT; i++) {
        if (k != SLD_KIND_COUNT && k != (enum sld_kind)i)
            continue;
        struct sld_arena a = {0};
        size_t n;
        struct listed *rows = sorted(t, t->status[i], &a, &n);
        for (size_t j = 0; j < n; j++) {
            const struct sld_object *o = sld_translate_object(t, rows[j].key);
            fn(o ? o : sld_translate_document(t, rows[j].key),
               tr_told_status(t, sld_flow_key(t->flow, rows[j].key), rows[j].value), arg);
            sld_objects_rest();
        }
        sld_arena_fini(&a);
    }
}

void sld_translate_outs(const struct sld_translate *t,
                        void (*fn)(const struct sld_out *o, void *arg), void *arg)
{
    struct sld_table *tables[] = {t->out_secrets,   t->out_clusters, t->out_endpoints,
                                  t->out_listeners, t->out_routes,   t->out_fixed, t->out_extras};
    for (size_t i = 0; i < SLD_ARRAY_LEN(tables); i++) {
        struct sld_arena a = {0};
        size_t n;
        struct listed *rows = sorted(t, tables[i], &a, &n);
        for (size_t j = 0; j < n; j++) {
            const struct tr_out *row = rows[j].value;
            if (row->out)
                fn(row->out, arg);
        }
        sld_arena_fini(&a);
    }
}

void sld_out_print(struct sld_buf *out, const struct sld_out *o, enum sld_text_style style)
{
    struct sld_arena a = {0};
    struct sld_err err;
    struct sld_str bytes = o->bytes;
    struct sld_obj *owner = o->recipe ? sld_recipe_open(o->recipe, &bytes) : NULL;
    ProtobufCMessage *m = sld_msg_decode(&a, sld_out_type_desc(o->type), bytes, 100, &err);
    SLD_UNREF(owner);
    SLD_INV(m);
    // A resource made of secrets has them in fields that are not sensitive by themselves: none of
    // its text is shown.
    if (o->secret && o->type != SLD_OUT_SECRET) {
        struct sld_node *n = sld_node_map(&a);
        sld_node_set(&a, n, SLD_STR("name"), sld_node_scalar(&a, o->name, true));
        sld_node_set(&a, n, SLD_STR("content"), sld_node_scalar(&a, SLD_STR("***"), true));
        sld_doc_print_node(out, n, style);
    } else {
        sld_doc_print(out, m, style, true);
    }
    sld_arena_fini(&a);
}

void sld_translate_views(const struct sld_translate *t, void (*fn)(struct sld_str view, void *arg),
                         void *arg)
{
    struct sld_map seen = {0};
    size_t at = 0, n;
    sld_id key;
    for (const void *v; sld_flow_next(t->out_listeners, &at, &key, &v);) {
        const struct tr_out *row = v;
        if (row->out && row->out->view.n)
            sld_map_set(&seen, row->out->view, &seen); // a set: the value says nothing
    }
    struct sld_str *keys = sld_map_sorted_keys(&seen, &n);
    for (size_t i = 0; i < n; i++)
        fn(keys[i], arg);
    sld_xfree(keys);
    sld_map_fini(&seen);
}

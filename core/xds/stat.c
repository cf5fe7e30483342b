// Looking in: clients, resources, totals, latency.
#include "xds/stat.h"

#include <stdlib.h>

#include "xds/stream.h"

const double sld_xds_bucket_bounds[SLD_XDS_BUCKETS] = {
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 15, __builtin_inf()};

void sld_xds_latency_add(struct sld_xds *x, uint64_t ns)
{
    double seconds = (double)ns / 1e9;
    size_t i = 0;
    while (seconds > sld_xds_bucket_bounds[i])
        i++;
    x->latency[i]++;
    x->latency_sum += seconds;
}

void sld_xds_latency(const struct sld_xds *x, uint64_t counts[SLD_XDS_BUCKETS], double *sum)
{
    memcpy(counts, x->latency, sizeof(x->latency));
    *sum = x->latency_sum;
}

void sld_xds_totals(const struct sld_xds *x, struct sld_xds_type_stat out[SLD_XDS_TYPE_COUNT])
{
    memcpy(out, x->totals, sizeof(x->totals));
}

static size_t list_length(const struct sld_list *l)
{
    size_t n = 0;
    SLD_LIST_EACH(at, l)
    {
        n++;
    }
    return n;
}

// Resources that this client holds, or would hold, in an older form because its build refused the present one.
static size_t count_refused(const struct sld_xds_stream *s, enum sld_xds_type t)
{
    size_t n = 0;
    SLD_LIST_EACH(at, &s->view->refused)
    {
        struct sld_xds_entry *e = SLD_CONTAINER_OF(at, struct sld_xds_refused, link)->entry;
        struct sld_xds_rec *r = sld_xds_rec_find(s, e);
        bool here = r && e->current && sld_hash_eq(r->refused, e->current->obj.hash);
        if (e->type == (uint8_t)t && sld_xds_wanted(&s->subs[t], e) &&
            (here || sld_xds_target(s, e) != e->current))
            n++;
    }
    return n;
}

static void fill_type(const struct sld_xds_stream *s, enum sld_xds_type t,
                      struct sld_xds_type_stat *out)
{
    const struct sld_xds_sub *sub = &s->subs[t];
    out->acks = sub->acks;
    out->nacks = sub->nacks;
    out->pushes = sub->pushes;
    out->bytes = sub->bytes;
    out->wildcard = sub->wild;
    out->subscribed = sub->wild ? s->view->tables[t].live : sub->named_count;
    out->unacked = sub->item_count;
    out->behind = list_length(&sub->dirty) + list_length(&sub->linger);
    out->refused = count_refused(s, t);
    out->last_error = sld_str_c(sub->last_error ? sub->last_error : "");
}

// Every child that the listeners of the view ask for was subscribed to.
static bool children_asked(const struct sld_xds_stream *s)
{
    const struct sld_xds_table *tab = &s->view->tables[SLD_XDS_LISTENER];
    for (size_t i = 0; i < tab->ix_count; i++) {
        const struct sld_xds_resource *l =
            tab->by_ix[i] ? sld_xds_target(s, tab->by_ix[i]) : NULL;
        for (size_t k = 0; l && k < l->need_count; k++) {
            const struct sld_xds_ref *ref = &l->needs[k];
            struct sld_xds_entry *e = sld_xds_entry_find(s->view, ref->type, ref->name);
            if (e && e->current && !sld_xds_wanted(&s->subs[ref->type], e))
                return false;
        }
    }
    return true;
}

// All that is to be sent is the end of endpoints whose cluster lingers.
static bool only_lingering(const struct sld_xds_stream *s)
{
    SLD_LIST_EACH(at, &s->subs[SLD_XDS_ENDPOINT].dirty)
    {
        struct sld_xds_rec *r = SLD_CONTAINER_OF(at, struct sld_xds_rec, link);
        struct sld_xds_rec *c = sld_xds_rec_named(s, SLD_XDS_CLUSTER, sld_xds_entry_name(r->e));
        if (r->e->current || !c || c->state != SLD_REC_LINGER)
            return false;
    }
    return true;
}

static bool converged(const struct sld_xds_stream *s)
{
    for (size_t t = 0; t < SLD_XDS_TYPE_COUNT; t++) {
        const struct sld_xds_sub *sub = &s->subs[t];
        bool always = t == SLD_XDS_CLUSTER || t == SLD_XDS_LISTENER;
        bool done = t == SLD_XDS_ENDPOINT ? only_lingering(s) : sld_list_empty(&sub->dirty);
        if (!done || sub->flight_count || sub->hello ||
            (always && !sub->seen && s->view->tables[t].live))
            return false;
    }
    return !s->subs[SLD_XDS_LISTENER].wild || children_asked(s);
}

void sld_xds_clients(const struct sld_xds *x,
                     void (*fn)(const struct sld_xds_client_info *c, void *arg), void *arg)
{
    SLD_LIST_EACH(at, &x->streams)
    {
        const struct sld_xds_stream *s = SLD_CONTAINER_OF(at, struct sld_xds_stream, link);
        struct sld_xds_client_info c = {
            .peer = s->peer,
            .node_id = s->node_id,
            .role = s->role,
            .view = s->view ? s->view->name : SLD_STR(""),
            .build = s->build ? s->build->name : SLD_STR(""),
            .kind = s->kind,
            .connected_ns = s->connected_ns,
            .converged = s->view && s->state == SLD_ST_OPEN && converged(s),
        };
        for (size_t t = 0; s->view && t < SLD_XDS_TYPE_COUNT; t++)
            fill_type(s, (enum sld_xds_type)t, &c.types[t]);
        fn(&c, arg);
    }
}

static int by_text(const void *a, const void *b)
{
    return sld_str_cmp(sld_xds_entry_name(*(struct sld_xds_entry *const *)a), sld_xds_entry_name(*(struct sld_xds_entry *const *)b));
}

void sld_xds_resources(struct sld_xds *x, struct sld_str view,
                       void (*fn)(const struct sld_xds_resource *r, struct sld_str acked,
                                  void *arg),
                       void *arg)
{
    struct sld_xds_view *v = sld_map_get(&x->views, view);
    if (v)
        sld_xds_view_lay(v);
    for (size_t t = 0; v && t < SLD_XDS_TYPE_COUNT; t++) {
        const struct sld_set *by_name = &v->tables[t].by_name;
        size_t n = 0, at = 0;
        struct sld_xds_entry **all = sld_xcalloc(sld_set_count(by_name), sizeof(struct sld_xds_entry *));
        for (struct sld_xds_entry *e; (e = sld_set_next(by_name, &at));)
            all[n++] = e;
        qsort(all, n, sizeof(struct sld_xds_entry *), by_text);
        for (size_t i = 0; i < n; i++) {
            const struct sld_xds_entry *e = all[i];
            char acked[17] = "";
            if (e->good_count)
                sld_hash_text(sld_xds_entry_goods(e)[0].resource->obj.hash, acked);
            if (e->current)
                fn(e->current, sld_str_c(acked), arg);
        }
        sld_xfree(all);
    }
}

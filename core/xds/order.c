// The push order: when a resource may be sent, when one may be taken away. The states a new cluster
// goes through (enum sld_xds_phase) and the rules were measured on Envoy 1.40: a route never precedes
// its clusters, endpoints follow every cluster, a cluster goes last.
#include "xds/stream.h"

static bool passed(uint64_t since, uint64_t span, uint64_t now)
{
    return now - since >= span;
}

// The client has the cluster of C and waits for its endpoints, having none: they were absent for a
// while.
static bool starved(const struct sld_xds_stream *s, struct sld_xds_entry *c)
{
    struct sld_xds_resource *cluster = sld_xds_target(s, c);
    struct sld_xds_rec *r = cluster && cluster->eds
                                ? sld_xds_rec_named(s, SLD_XDS_ENDPOINT, sld_xds_entry_name(c))
                                : NULL;
    if (!r || r->state == SLD_REC_IDLE) // nothing will come: refused
        return false;
    const struct sld_xds_resource *has = r->state == SLD_REC_FLIGHT && r->sent ? r->sent : r->held;
    return !has || (has == r->e->empty && has != r->e->current);
}

// The client has yet to say which clusters it has: an Envoy that reconnects while a cluster warms does so
// when that is over.
static bool clusters_to_come(const struct sld_xds_stream *s, uint64_t now)
{
    return s->envoy && !s->subs[SLD_XDS_CLUSTER].seen &&
           !passed(s->connected_ns, s->x->options.gate_cap_ns, now);
}

bool sld_xds_ready(struct sld_xds_stream *s, struct sld_str cluster, uint64_t now)
{
    // Clients that ask for clusters by name ask after they saw the route.
    if (!s->subs[SLD_XDS_CLUSTER].wild)
        return !clusters_to_come(s, now);
    struct sld_xds_entry *e = sld_xds_entry_find(s->view, SLD_XDS_CLUSTER, cluster);
    struct sld_xds_rec *r = e ? sld_xds_rec_find(s, e) : NULL;
    if (e && starved(s, e))
        return false;
    if (!r)
        return true; // it does not exist (the maker wants that), or the client acknowledged it
    if (r->state == SLD_REC_FLIGHT && !r->sent)
        return false; // being removed
    // The old form serves while a new one warms; a refused one will not come at all.
    if (r->held || r->maybe || r->state == SLD_REC_IDLE)
        return true;
    if (!sld_xds_target(s, e))
        return true;
    if (r->state != SLD_REC_FLIGHT)
        return false;
    if (r->sent->eds && !r->sent->gated)
        return r->phase == SLD_PH_READY || (r->burst && r->eds_sent);
    if (r->burst && !r->sent->gated)
        return true;
    return passed(r->sent_ns, s->x->options.gate_cap_ns, now);
}

// No cluster of RES that has a record in T's subscription is unready.
static bool recorded_ready(struct sld_xds_stream *s, const struct sld_xds_resource *res,
                           enum sld_xds_type t, uint64_t now)
{
    size_t at = 0;
    for (struct sld_umap_slot *slot; (slot = sld_umap_next(&s->subs[t].recs, &at));) {
        struct sld_xds_rec *r = slot->value;
        if (sld_xds_lists_cluster(res, sld_xds_entry_name(r->e)) && !sld_xds_ready(s, sld_xds_entry_name(r->e), now))
            return false;
    }
    return true;
}

// RES leads to a cluster whose endpoints nobody has told yet: somebody is asking for them.
static bool waits_for_endpoints(const struct sld_xds_stream *s, const struct sld_xds_resource *res,
                                uint64_t now)
{
    const struct sld_xds_view *v = s->view;
    size_t at = 0;
    if (!s->subs[SLD_XDS_CLUSTER].wild)
        return false;
    for (struct sld_umap_slot *slot; (slot = sld_umap_next(&v->unfed, &at));) {
        const struct sld_xds_entry *e = v->tables[SLD_XDS_ENDPOINT].by_ix[slot->key];
        if (!passed((uintptr_t)slot->value, s->x->options.gate_cap_ns, now) &&
            sld_xds_lists_cluster(res, sld_xds_entry_name(e)))
            return true;
    }
    return false;
}

// All clusters of RES are ready; *FROM remembers how far that was found true, since it stays true.
static bool clusters_ready(struct sld_xds_stream *s, const struct sld_xds_resource *res,
                           uint32_t *from, uint64_t now)
{
    uint32_t start = *from;
    size_t recs = s->subs[SLD_XDS_CLUSTER].recs.cap + s->subs[SLD_XDS_ENDPOINT].recs.cap;
    if (waits_for_endpoints(s, res, now))
        return false;
    // What has no record is ready, and at rest nothing has one: an edit of a big table does not look at
    // all its clusters.
    if (s->subs[SLD_XDS_CLUSTER].wild && recs < res->cluster_count)
        return recorded_ready(s, res, SLD_XDS_CLUSTER, now) &&
               recorded_ready(s, res, SLD_XDS_ENDPOINT, now);
    for (size_t i = start; i < res->cluster_count; i++) {
        if (!sld_xds_ready(s, res->clusters[i], now)) {
            *from = (uint32_t)i;
            return false;
        }
    }
    *from = 0;
    for (size_t i = 0; i < start && i < res->cluster_count; i++) {
        if (!sld_xds_ready(s, res->clusters[i], now))
            return false;
    }
    return true;
}

// A child that a listener would ask for can be answered.
static bool child_ready(struct sld_xds_stream *s, const struct sld_xds_rec *parent,
                        const struct sld_xds_ref *ref, uint64_t now)
{
    struct sld_xds_entry *e = sld_xds_entry_find(s->view, ref->type, ref->name);
    struct sld_xds_resource *target = e ? sld_xds_target(s, e) : NULL;
    uint32_t from = 0;
    if (!target) // without its secret a listener would serve no certificate: it waits
        return ref->type != SLD_XDS_SECRET &&
               passed(parent->since_ns, s->x->options.gate_cap_ns, now);
    return sld_xds_holds(s, e) || clusters_ready(s, target, &from, now);
}

// Of a cluster of RES the client can have no form, because its build refused the only one. Envoy
// may refuse a listener without it, and would not be asked again.
static bool lacks_cluster(struct sld_xds_stream *s, const struct sld_xds_resource *res)
{
    for (size_t i = 0; i < res->cluster_count; i++) {
        struct sld_xds_entry *e = sld_xds_entry_find(s->view, SLD_XDS_CLUSTER, res->clusters[i]);
        if (e && e->current && !sld_xds_target(s, e))
            return true;
    }
    return false;
}

static bool listener_waits(struct sld_xds_stream *s, struct sld_xds_rec *r,
                           const struct sld_xds_resource *target, uint64_t now)
{
    if (!s->subs[SLD_XDS_CLUSTER].wild && !clusters_to_come(s, now))
        return false; // a client that resolves top-down
    for (size_t i = 0; i < target->need_count; i++) {
        if (!child_ready(s, r, &target->needs[i], now))
            return true;
    }
    if (!clusters_ready(s, target, &r->wait_at, now))
        return true;
    // Whoever makes clusters is told of the refusal just now, and may make another one.
    return !passed(r->since_ns, s->x->options.gate_cap_ns, now) && lacks_cluster(s, target);
}

static bool listeners_busy(const struct sld_xds_stream *s)
{
    const struct sld_xds_sub *l = &s->subs[SLD_XDS_LISTENER];
    return !sld_list_empty(&l->dirty) || l->flight_count > 0;
}

// The removal R has to wait for the parents of the resource.
static bool removal_waits(struct sld_xds_stream *s, struct sld_xds_rec *r, uint64_t now)
{
    struct sld_xds_entry *c;
    struct sld_xds_rec *wait;
    bool asked = r->answer && !r->held && !r->maybe;
    switch ((enum sld_xds_type)r->e->type) {
    case SLD_XDS_CLUSTER:
        if (asked || !sld_xds_in_use(s, sld_xds_entry_name(r->e), now))
            return false;
        r->due = false;
        r->due_ns = 0;
        sld_xds_rec_move(s, r, SLD_REC_LINGER);
        return true;
    case SLD_XDS_ENDPOINT:
        // Taking the endpoints of a cluster that the client has could end the warming of its new form
        // empty, and what Envoy does not do away with would count as gone from it; a cluster that was new and is
        // gone again waits for an answer.
        c = sld_xds_entry_find(s->view, SLD_XDS_CLUSTER, sld_xds_entry_name(r->e));
        if ((r->held || r->before) && clusters_to_come(s, now))
            return true;
        if (asked || !c || !s->subs[SLD_XDS_CLUSTER].wild)
            return false;
        wait = sld_xds_rec_find(s, c);
        return wait && (wait->held || wait->maybe || (wait->state == SLD_REC_FLIGHT && wait->sent && r->held));
    case SLD_XDS_LISTENER: // with the new ones in one response: Envoy then frees the port first
        SLD_LIST_EACH(at, &s->subs[SLD_XDS_LISTENER].dirty)
        {
            struct sld_xds_rec *o = SLD_CONTAINER_OF(at, struct sld_xds_rec, link);
            if (o != r && o->e->current && sld_xds_blocked(s, o, now))
                return true;
        }
        return false;
    case SLD_XDS_SECRET:
    case SLD_XDS_ROUTE:
        return !asked && listeners_busy(s);
    case SLD_XDS_TYPE_COUNT:
        break;
    }
    SLD_UNREACHABLE();
}

bool sld_xds_blocked(struct sld_xds_stream *s, struct sld_xds_rec *r, uint64_t now)
{
    SLD_PRE(r->state == SLD_REC_DIRTY);
    struct sld_xds_resource *target = sld_xds_target(s, r->e);
    if (!target)
        return removal_waits(s, r, now);
    if (r->e->type == SLD_XDS_ROUTE)
        return !clusters_ready(s, target, &r->wait_at, now);
    if (r->e->type == SLD_XDS_LISTENER)
        return listener_waits(s, r, target, now);
    if (r->e->type == SLD_XDS_ENDPOINT && s->subs[SLD_XDS_CLUSTER].wild) {
        // Endpoints ahead of their new cluster would be dropped.
        struct sld_xds_rec *c = sld_xds_rec_named(s, SLD_XDS_CLUSTER, sld_xds_entry_name(r->e));
        return c && c->state == SLD_REC_DIRTY && !c->held && !c->maybe && c->e->current;
    }
    return false;
}

static bool rec_lists(const struct sld_xds_rec *r, struct sld_str cluster)
{
    // Of a table that the client held before it reconnected nobody knows what it lists.
    return (r->maybe && !r->doubt) || sld_xds_lists_cluster(r->held, cluster) ||
           sld_xds_lists_cluster(r->sent, cluster) || sld_xds_lists_cluster(r->doubt, cluster);
}

static bool list_lists(const struct sld_list *list, struct sld_str cluster)
{
    SLD_LIST_EACH(at, list)
    {
        if (rec_lists(SLD_CONTAINER_OF(at, struct sld_xds_rec, link), cluster))
            return true;
    }
    return false;
}

static bool sub_lists(const struct sld_xds_sub *sub, struct sld_str cluster)
{
    if (list_lists(&sub->dirty, cluster) || list_lists(&sub->idle, cluster))
        return true;
    SLD_LIST_EACH(at, &sub->flights)
    {
        struct sld_xds_response *resp = SLD_CONTAINER_OF(at, struct sld_xds_response, link);
        for (size_t i = 0; i < resp->count; i++) {
            if (resp->items[i].rec && rec_lists(resp->items[i].rec, cluster))
                return true;
        }
    }
    return false;
}

bool sld_xds_in_use(struct sld_xds_stream *s, struct sld_str cluster, uint64_t now)
{
    const struct sld_xds_sub *routes = &s->subs[SLD_XDS_ROUTE];
    const struct sld_xds_sub *listeners = &s->subs[SLD_XDS_LISTENER];
    if (s->resumed && !(routes->seen && listeners->seen) &&
        !passed(s->connected_ns, SLD_XDS_RESUME_NS, now))
        return true;
    if (sld_map_has(&s->view->users, cluster))
        return true;
    SLD_LIST_EACH(at, &s->view->refused)
    {
        struct sld_xds_entry *e = SLD_CONTAINER_OF(at, struct sld_xds_refused, link)->entry;
        if ((e->type == SLD_XDS_ROUTE || e->type == SLD_XDS_LISTENER) &&
            sld_xds_lists_cluster(sld_xds_target(s, e), cluster))
            return true;
    }
    return sub_lists(routes, cluster) || sub_lists(listeners, cluster);
}

void sld_xds_linger(struct sld_xds_stream *s, uint64_t now)
{
    struct sld_list *list = &s->subs[SLD_XDS_CLUSTER].linger;
    SLD_LIST_EACH(at, list)
    {
        struct sld_xds_rec *r = SLD_CONTAINER_OF(at, struct sld_xds_rec, link);
        if (sld_xds_in_use(s, sld_xds_entry_name(r->e), now)) {
            r->due_ns = 0;
            continue;
        }
        if (r->due_ns == 0)
            r->due_ns = now + s->x->options.linger_ns;
        if (now >= r->due_ns) {
            r->due = true;
            sld_xds_rec_move(s, r, SLD_REC_DIRTY);
        }
    }
}

static void earliest(uint64_t *at, uint64_t t, uint64_t now)
{
    if (t > now && (*at == 0 || t < *at))
        *at = t;
}

uint64_t sld_xds_next_due(const struct sld_xds_stream *s, uint64_t now)
{
    const struct sld_xds_sub *clusters = &s->subs[SLD_XDS_CLUSTER];
    uint64_t cap = s->x->options.gate_cap_ns, due = 0;
    if (s->sending)
        earliest(&due, s->send_ns + SLD_XDS_STALL_NS, now);
    SLD_LIST_EACH(at, &clusters->linger)
    {
        struct sld_xds_rec *r = SLD_CONTAINER_OF(at, struct sld_xds_rec, link);
        earliest(&due, r->due_ns, now);
    }
    if (clusters_to_come(s, now))
        earliest(&due, s->connected_ns + cap, now);
    size_t pos = 0;
    for (struct sld_umap_slot *slot; (slot = sld_umap_next(&s->view->unfed, &pos));)
        earliest(&due, (uintptr_t)slot->value + cap, now);
    if (s->resumed && !sld_list_empty(&clusters->linger))
        earliest(&due, s->connected_ns + SLD_XDS_RESUME_NS, now);
    SLD_LIST_EACH(at, &clusters->flights)
    {
        struct sld_xds_response *resp = SLD_CONTAINER_OF(at, struct sld_xds_response, link);
        if (resp->gate)
            earliest(&due, resp->sent_ns + cap, now);
    }
    SLD_LIST_EACH(at, &s->subs[SLD_XDS_LISTENER].dirty)
    {
        struct sld_xds_rec *r = SLD_CONTAINER_OF(at, struct sld_xds_rec, link);
        earliest(&due, r->since_ns + cap, now);
    }
    return due;
}

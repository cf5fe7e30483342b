// Choosing and sending the next response of a stream. One send is under way at a time; in between the order
// is: secrets, clusters, endpoints, listeners, routes, then what is to be removed. Sent one behind the other
// without waiting, that is the burst which needs no round trip.
#include "xds/stream.h"

struct picks {
    struct sld_xds_rec **recs; // owned
    size_t count, cap;
    size_t bytes;
    bool blocked;              // something of the type has to wait
    bool full;                 // the size limit was reached
};

enum want { ADDS, REMOVALS };

static bool full_state(const struct sld_xds_stream *s, enum sld_xds_type t)
{
    return s->kind == SLD_XDS_SOTW_ADS && (t == SLD_XDS_CLUSTER || t == SLD_XDS_LISTENER);
}

static void pick(struct sld_xds_stream *s, struct picks *p, struct sld_xds_rec *r, size_t bytes)
{
    size_t cost = bytes + 2 * sld_xds_entry_name(r->e).n + 128;
    if (p->count && p->bytes + cost > s->x->options.max_response_bytes) {
        p->full = true;
        return;
    }
    if (p->count == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 16;
        p->recs = sld_xrealloc(p->recs, p->cap * sizeof(struct sld_xds_rec *));
    }
    p->recs[p->count++] = r;
    p->bytes += cost;
}

// Collects what may go of one group (0 = what no NACK has marked).
static void collect(struct sld_xds_stream *s, enum sld_xds_type t, struct picks *p, enum want want,
                    uint32_t group, uint64_t now)
{
    SLD_LIST_EACH(at, &s->subs[t].dirty)
    {
        struct sld_xds_rec *r = SLD_CONTAINER_OF(at, struct sld_xds_rec, link);
        struct sld_xds_resource *target = sld_xds_target(s, r->e);
        if ((target == NULL) != (want == REMOVALS) || r->group != group)
            continue;
        if (sld_xds_blocked(s, r, now)) {
            p->blocked = true;
            continue;
        }
        pick(s, p, r, target ? sld_xds_resource_size(target) : 0);
        if (p->full)
            return;
    }
}

// The group of the first record that may go after a NACK; 0 = none.
static uint32_t next_group(struct sld_xds_stream *s, enum sld_xds_type t, uint64_t now)
{
    SLD_LIST_EACH(at, &s->subs[t].dirty)
    {
        struct sld_xds_rec *r = SLD_CONTAINER_OF(at, struct sld_xds_rec, link);
        if (r->group && sld_xds_target(s, r->e) && !sld_xds_blocked(s, r, now))
            return r->group;
    }
    return 0;
}

static void choose(struct sld_xds_stream *s, enum sld_xds_type t, struct picks *p, uint64_t now)
{
    collect(s, t, p, ADDS, 0, now);
    if (t == SLD_XDS_CLUSTER && p->count)
        return; // removals of clusters travel alone
    if (!p->full)
        collect(s, t, p, REMOVALS, 0, now);
    if (p->count)
        return;
    uint32_t group = next_group(s, t, now);
    if (group)
        collect(s, t, p, ADDS, group, now);
}

static struct sld_xds_response *to_flight(struct sld_xds_stream *s, enum sld_xds_type t,
                                          const struct picks *p, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[t];
    struct sld_xds_response *resp =
        sld_xcalloc(1, sizeof(*resp) + p->count * sizeof(resp->items[0]));
    resp->nonce = sub->last_nonce = ++s->nonce;
    resp->sent_ns = now;
    resp->type = (uint8_t)t;
    resp->count = p->count;
    for (size_t i = 0; i < p->count; i++) {
        struct sld_xds_rec *r = p->recs[i];
        SLD_INV(r->sent == NULL && r->response == NULL);
        r->sent = sld_obj_ref(sld_xds_target(s, r->e));
        r->answer = r->force = false;
        r->response = resp;
        r->item = i;
        r->sent_ns = now;
        resp->items[i].rec = r;
        sld_xds_rec_move(s, r, SLD_REC_FLIGHT);
    }
    sld_list_push(&sub->flights, &resp->link);
    sub->flight_count++;
    sub->item_count += p->count;
    sub->pushes++;
    sub->hello = sub->again = false;
    return resp;
}

static void fold(struct sld_hash *sum, const struct sld_xds_resource *r)
{
    sum->lo += r->obj.hash.lo;
    sum->hi += r->obj.hash.hi;
}

// The whole state of a type, as far as this client has it or gets it now.
static void write_full(struct sld_xds_stream *s, enum sld_xds_type t, struct sld_xds_message *m,
                       struct sld_hash *version)
{
    struct sld_xds_table *tab = &s->view->tables[t];
    for (size_t i = 0; i < tab->ix_count; i++) {
        struct sld_xds_entry *e = tab->by_ix[i];
        if (!e || !sld_xds_wanted(&s->subs[t], e))
            continue;
        struct sld_xds_rec *r = sld_xds_rec_find(s, e);
        struct sld_xds_resource *res = !r                             ? sld_xds_target(s, e)
                                       : r->state == SLD_REC_FLIGHT ? r->sent
                                                                      : r->held;
        if (!res)
            continue;
        sld_xds_message_resource(m, s->kind, res);
        fold(version, res);
    }
}

static void write_picks(struct sld_xds_stream *s, const struct picks *p, struct sld_xds_message *m,
                        struct sld_hash *version)
{
    for (size_t i = 0; i < p->count; i++) {
        struct sld_xds_rec *r = p->recs[i];
        if (!r->sent) {
            sld_xds_message_removed(m, sld_xds_entry_name(r->e));
            continue;
        }
        sld_xds_message_resource(m, s->kind, r->sent);
        fold(version, r->sent);
    }
}

// Endpoints follow their cluster in the same burst. A plain cluster of a proven shape is taken as good before
// the client says so: its endpoints go ahead of the subscription.
static void endpoints_follow(struct sld_xds_stream *s, struct sld_xds_rec *c, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[SLD_XDS_ENDPOINT];
    struct sld_xds_entry *e = sld_xds_entry_find(s->view, SLD_XDS_ENDPOINT, sld_xds_entry_name(c->e));
    if (!e || !e->current) // the last good form of a cluster whose present one has no endpoints
        return;
    struct sld_xds_rec *r = sld_xds_rec_find(s, e);
    // A new cluster has no endpoints from before. In the state of the world the first response has all as new.
    if (r && !c->held && !c->maybe && s->subs[SLD_XDS_CLUSTER].pushes > 1)
        r->before = false;
    if (sld_xds_wanted(sub, e)) {
        c->phase = SLD_PH_WATCHED;
    } else if (c->burst && sub->seen && s->names < s->x->options.max_names) {
        sld_bits_set(&sub->named, e->ix);
        sld_bits_set(&sub->presumed, e->ix);
        sub->named_count++;
        s->names++;
        sld_xds_entry_ref(e);
        sld_xds_rec_get(s, e, NULL, now);
    }
    sld_xds_rec_force(s, SLD_XDS_ENDPOINT, sld_xds_entry_name(c->e), now);
}

static void cluster_sent(struct sld_xds_stream *s, struct sld_xds_response *resp,
                         struct sld_xds_rec *c, uint64_t now)
{
    struct sld_xds_resource *res = c->sent;
    if (!res) {
        // Envoy ends the subscription to the endpoints with the cluster; what is still under way belongs to
        // the past should the cluster come back.
        struct sld_xds_entry *e = sld_xds_entry_find(s->view, SLD_XDS_ENDPOINT, sld_xds_entry_name(c->e));
        if (e && s->envoy && s->kind == SLD_XDS_DELTA_ADS && !s->subs[SLD_XDS_ENDPOINT].wild)
            sld_xds_unsubscribe(s, e, now);
        return;
    }
    c->phase = SLD_PH_SENT;
    c->eds_sent = false;
    c->burst = s->envoy && s->kind == SLD_XDS_DELTA_ADS && !res->gated &&
               sld_xds_build_proven(s->build, res->shape);
    if (!c->held && !c->maybe && (res->gated || !res->eds))
        resp->gate = true;
    if (res->eds)
        endpoints_follow(s, c, now);
}

static void endpoints_sent(struct sld_xds_stream *s, struct sld_xds_rec *r)
{
    struct sld_xds_rec *c = sld_xds_rec_named(s, SLD_XDS_CLUSTER, sld_xds_entry_name(r->e));
    if (!c || !r->sent || c->phase == SLD_PH_NEW || c->state != SLD_REC_FLIGHT)
        return;
    c->eds_sent = true;
    if (c->phase == SLD_PH_WATCHED)
        c->phase = SLD_PH_FED;
}

// What has to follow a response: a new parent that watches a name which the client subscribed to already
// sends no request for it.
static void after_send(struct sld_xds_stream *s, struct sld_xds_response *resp, uint64_t now)
{
    for (size_t i = 0; i < resp->count; i++) {
        struct sld_xds_rec *r = resp->items[i].rec;
        if (resp->type == SLD_XDS_CLUSTER)
            cluster_sent(s, resp, r, now);
        else if (resp->type == SLD_XDS_ENDPOINT)
            endpoints_sent(s, r);
        for (size_t k = 0; r->sent && k < r->sent->need_count; k++)
            sld_xds_rec_force(s, r->sent->needs[k].type, r->sent->needs[k].name, now);
    }
}

static size_t transmit(struct sld_xds_stream *s, struct sld_xds_message *m, uint64_t now)
{
    s->sending = true;
    s->send_ns = now;
    return sld_xds_message_send(m, s);
}

static void send_picks(struct sld_xds_stream *s, enum sld_xds_type t, const struct picks *p,
                       uint64_t now)
{
    struct sld_xds_message m;
    struct sld_hash version = {0};
    struct sld_xds_response *resp = to_flight(s, t, p, now);
    sld_xds_message_init(&m);
    if (full_state(s, t))
        write_full(s, t, &m, &version);
    else
        write_picks(s, p, &m, &version);
    sld_xds_message_frame(&m, s->kind, sld_xds_type_url(t), version, resp->nonce);
    after_send(s, resp, now);
    SLD_LOG(SLD_DEBUG, "xds", "push", SLD_KS("peer", s->peer), SLD_KC("type", sld_xds_type_name(t)),
            SLD_KI("resources", p->count), SLD_KI("nonce", resp->nonce));
    s->x->totals[t].pushes++;
    size_t size = transmit(s, &m, now);
    s->subs[t].bytes += size;
    s->x->totals[t].bytes += size;
    sld_xds_message_fini(&m);
}

static bool push_type(struct sld_xds_stream *s, enum sld_xds_type t, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[t];
    // In the state-of-the-world protocol a withheld answer also hides which of several was refused.
    size_t most = t == SLD_XDS_CLUSTER && s->kind == SLD_XDS_DELTA_ADS ? SLD_XDS_CLUSTER_FLIGHTS
                                                                       : SLD_XDS_FLIGHTS;
    // What a client made of a refused state is not known: it gets the next one in any case.
    bool again = sub->again && full_state(s, t);
    if (!sub->seen || sub->flight_count >= most ||
        (sld_list_empty(&sub->dirty) && !sub->hello && !again))
        return false;
    struct picks p = {0};
    choose(s, t, &p, now);
    // The first full state of a client must be whole: what is left out would be taken from it.
    bool go = p.count ? !(sub->hello && full_state(s, t) && p.blocked)
                      : again || (sub->hello && sld_list_empty(&sub->dirty));
    if (go)
        send_picks(s, t, &p, now);
    sld_xfree(p.recs);
    return go;
}

static bool push_foreign(struct sld_xds_stream *s, uint64_t now)
{
    uint64_t n;
    if (s->foreign.n == 0)
        return false;
    memcpy(&n, s->foreign.p, sizeof(n));
    struct sld_xds_message m;
    sld_xds_message_init(&m);
    sld_buf_add(&m.head, (struct sld_str){s->foreign.p + sizeof(n), (size_t)n});
    sld_buf_consume(&s->foreign, sizeof(n) + (size_t)n);
    (void)transmit(s, &m, now);
    sld_xds_message_fini(&m);
    return true;
}

static bool push_one(struct sld_xds_stream *s, uint64_t now)
{
    if (push_foreign(s, now))
        return true;
    for (size_t t = 0; t < SLD_XDS_TYPE_COUNT; t++) {
        if (push_type(s, (enum sld_xds_type)t, now))
            return true;
    }
    return false;
}

void sld_xds_pump(struct sld_xds_stream *s, uint64_t now)
{
    // A sender may report "sent" from within send: the loop below goes on then, not a nested one.
    if (s->pumping || s->state != SLD_ST_OPEN)
        return;
    s->pumping = true;
    if (s->recheck || (s->wake_ns && now >= s->wake_ns)) {
        s->recheck = false;
        sld_xds_linger(s, now);
    }
    while (s->state == SLD_ST_OPEN && !s->sending && push_one(s, now))
        continue;
    sld_xds_stream_wake_at(s, s->state == SLD_ST_OPEN ? sld_xds_next_due(s, now) : 0);
    s->pumping = false;
}

void sld_xds_foreign(struct sld_xds_stream *s, const struct sld_xds_request *q)
{
    struct sld_xds_message m;
    struct sld_xds_names it = sld_xds_names_open(q, SLD_XDS_SUBSCRIBE);
    struct sld_str name, version;
    struct sld_map seen = {0}; // a response that holds a name twice is refused as a whole
    sld_xds_message_init(&m);
    while (s->kind == SLD_XDS_DELTA_ADS && m.head.n <= SLD_XDS_FOREIGN_MAX &&
           sld_xds_names_next(&it, &name, &version)) {
        if (!sld_str_eq(name, SLD_STR("*")) && !sld_map_set(&seen, name, s))
            sld_xds_message_removed(&m, name);
    }
    sld_map_fini(&seen);
    sld_xds_message_frame(&m, s->kind, q->type_url, (struct sld_hash){0}, ++s->nonce);
    uint64_t n = m.head.n;
    sld_buf_add(&s->foreign, (struct sld_str){(const char *)&n, sizeof(n)});
    sld_buf_add(&s->foreign, sld_buf_str(&m.head));
    sld_xds_message_fini(&m);
    if (s->foreign.full)
        sld_xds_stream_fail(s, 8, "too many requests for unknown types"); // RESOURCE_EXHAUSTED
}

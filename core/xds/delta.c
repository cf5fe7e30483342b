// Requests of the delta protocol: answers to nonces, subscription changes (also behind a stale nonce), and
// what a reconnecting client says it holds.
#include "xds/stream.h"

static bool is_star(struct sld_str name)
{
    return sld_str_eq(name, SLD_STR("*"));
}

// The client holds E's present form since before this stream: as good as an ACK.
static void found_held(struct sld_xds_stream *s, struct sld_xds_entry *e, uint64_t now)
{
    const struct sld_xds_events *ev = &s->x->events;
    if (e->type == SLD_XDS_CLUSTER)
        sld_xds_build_prove(s->build, e->current->shape);
    if (sld_xds_stream_good(s, e, e->current, now) && ev->on_accepted && !e->made)
        ev->on_accepted(ev->user, s->view->name, e->current, s->build->name);
}

// Which entries the client has in their present form already.
static void read_held(struct sld_xds_stream *s, enum sld_xds_type t,
                      const struct sld_xds_request *q, struct sld_bits *have, uint64_t now)
{
    struct sld_xds_names it = sld_xds_names_open(q, SLD_XDS_VERSIONS);
    for (struct sld_str name, version; sld_xds_names_next(&it, &name, &version);) {
        struct sld_xds_entry *e = sld_xds_entry_find(s->view, t, name);
        char text[17];
        if (!e || !e->current)
            continue;
        sld_hash_text(e->current->obj.hash, text);
        if (!sld_str_eq(version, sld_str_c(text)))
            continue;
        sld_bits_set(have, e->ix);
        found_held(s, e, now);
    }
}

// The client holds the assignment without endpoints for E.
static bool held_empty(struct sld_xds_entry *e, struct sld_str version)
{
    char text[17];
    if (e->type != SLD_XDS_ENDPOINT || !e->current)
        return false;
    sld_hash_text(sld_xds_entry_empty(e)->obj.hash, text);
    if (!e->made)
        sld_xds_entry_forget_empty(e);
    return sld_str_eq(version, sld_str_c(text));
}

// The rest of what it has: old forms are replaced, vanished names taken away.
static void read_stale(struct sld_xds_stream *s, enum sld_xds_type t,
                       const struct sld_xds_request *q, const struct sld_bits *have, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[t];
    struct sld_xds_names it = sld_xds_names_open(q, SLD_XDS_VERSIONS);
    size_t gone = 0;
    for (struct sld_str name, version; sld_xds_names_next(&it, &name, &version);) {
        struct sld_xds_entry *e = sld_xds_entry_find(s->view, t, name);
        if (e ? !sld_xds_wanted(sub, e) || sld_bits_has(have, e->ix) : !sub->wild)
            continue;
        struct sld_xds_rec *r = e ? sld_xds_rec_find(s, e) : NULL;
        if (!r) {
            if (s->names + ++gone > s->x->options.max_names) {
                sld_xds_stream_fail(s, 8, "too many names held"); // RESOURCE_EXHAUSTED
                return;
            }
            r = sld_xds_rec_get(s, e ? e : sld_xds_entry_get(s->view, t, name), NULL, now);
        }
        r->maybe = r->before = !held_empty(r->e, version); // none is nothing to keep
        sld_xds_rec_settle(s, r);
    }
}

static bool subscribe_list(struct sld_xds_stream *s, enum sld_xds_type t,
                           const struct sld_xds_request *q, const struct sld_bits *have,
                           uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[t];
    struct sld_xds_names it = sld_xds_names_open(q, SLD_XDS_SUBSCRIBE);
    for (struct sld_str name, version; sld_xds_names_next(&it, &name, &version);) {
        sub->named_once = true;
        if (is_star(name)) {
            sub->hello = sub->hello || (!sub->wild && q->versions == 0);
            sld_xds_subscribe_all(s, t, have, now);
        } else if (!sld_xds_subscribe(s, t, name, have, now)) {
            return false;
        }
    }
    return true;
}

static void unsubscribe_list(struct sld_xds_stream *s, enum sld_xds_type t,
                             const struct sld_xds_request *q, uint64_t now)
{
    struct sld_xds_names it = sld_xds_names_open(q, SLD_XDS_UNSUBSCRIBE);
    for (struct sld_str name, version; sld_xds_names_next(&it, &name, &version);) {
        if (is_star(name)) {
            sld_xds_unsubscribe_all(s, t);
            continue;
        }
        struct sld_xds_entry *e = sld_xds_entry_find(s->view, t, name);
        if (e)
            sld_xds_unsubscribe(s, e, now);
    }
}

void sld_xds_delta_request(struct sld_xds_stream *s, enum sld_xds_type t,
                           const struct sld_xds_request *q, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[t];
    struct sld_bits have = {0};
    bool first = !sub->seen;
    sub->seen = true;
    s->recheck = true;
    if (q->nonce.n)
        (void)sld_xds_answered(s, t, q->nonce, q->nack, q->words, now);
    if (first && q->versions) {
        s->resumed = s->resumed || t == SLD_XDS_CLUSTER;
        read_held(s, t, q, &have, now);
    }
    // The old form of a wildcard: the first request of a type that has one names nothing.
    if (first && q->names == 0 && (t == SLD_XDS_CLUSTER || t == SLD_XDS_LISTENER)) {
        sub->hello = q->versions == 0;
        sld_xds_subscribe_all(s, t, &have, now);
    }
    if (subscribe_list(s, t, q, &have, now)) {
        if (first && q->versions)
            read_stale(s, t, q, &have, now);
        unsubscribe_list(s, t, q, now);
    }
    sld_bits_fini(&have);
}

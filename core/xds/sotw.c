// Requests of the state-of-the-world protocol: each one names everything the client wants of a type.
#include "xds/stream.h"

// Makes the subscription of T what the request lists; names that are new are answered. HELD: the client may
// have them from before this stream.
static void set_names(struct sld_xds_stream *s, enum sld_xds_type t,
                      const struct sld_xds_request *q, bool held, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[t];
    struct sld_bits listed = {0};
    struct sld_xds_names it = sld_xds_names_open(q, SLD_XDS_SUBSCRIBE);
    bool star = false;
    for (struct sld_str name, version; sld_xds_names_next(&it, &name, &version);) {
        sub->named_once = true;
        if (sld_str_eq(name, SLD_STR("*"))) {
            star = true;
            continue;
        }
        struct sld_xds_entry *e = sld_xds_entry_find(s->view, t, name);
        if (!e || !sld_bits_has(&sub->named, e->ix)) {
            if (!sld_xds_subscribe(s, t, name, NULL, now))
                goto out;
            e = sld_xds_entry_find(s->view, t, name);
            struct sld_xds_rec *r = held ? sld_xds_rec_find(s, e) : NULL;
            if (r) {
                r->maybe = r->before = true;
                sld_xds_rec_settle(s, r);
            }
        }
        sld_bits_set(&listed, e->ix);
    }
    for (uint32_t ix = 0; sld_bits_next(&sub->named, &ix); ix++) {
        if (!sld_bits_has(&listed, ix))
            sld_xds_unsubscribe(s, s->view->tables[t].by_ix[ix], now);
    }
    bool has_wildcard = t == SLD_XDS_CLUSTER || t == SLD_XDS_LISTENER;
    if (star || (has_wildcard && !sub->named_once))
        sld_xds_subscribe_all(s, t, NULL, now);
    else
        sld_xds_unsubscribe_all(s, t);
out:
    sld_bits_fini(&listed);
}

void sld_xds_sotw_request(struct sld_xds_stream *s, enum sld_xds_type t,
                          const struct sld_xds_request *q, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[t];
    bool first = !sub->seen;
    sub->seen = true;
    s->recheck = true;
    uint64_t n;
    // An old nonce comes from before the client saw our newest response; its answer to that one says it all.
    bool newest = first || q->nonce.n == 0 ||
                  (sld_str_u64(q->nonce, &n) && n == sub->last_nonce);
    if (q->nonce.n && !first)
        (void)sld_xds_answered(s, t, q->nonce, q->nack, q->words, now);
    if (first)
        sub->hello = t == SLD_XDS_CLUSTER || t == SLD_XDS_LISTENER;
    // A client that just started knows no route table before it got listeners.
    bool held = first && ((t == SLD_XDS_ROUTE && s->envoy && !s->subs[SLD_XDS_LISTENER].pushes) ||
                          (t == SLD_XDS_ENDPOINT && q->took));
    if (newest)
        set_names(s, t, q, held, now);
}

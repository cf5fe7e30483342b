// ACKs and NACKs: what the client holds now, and which one of several resources it did not want.
#include "xds/stream.h"
#include "xds/stat.h"

static void leave_flight(struct sld_xds_stream *s, struct sld_xds_rec *r)
{
    r->response = NULL;
    s->subs[r->e->type].item_count--;
    sld_xds_rec_move(s, r, SLD_REC_IDLE);
}

static void cluster_acked(struct sld_xds_stream *s, struct sld_xds_rec *r)
{
    r->phase = SLD_PH_READY;
    sld_xds_build_prove(s->build, r->held->shape);
}

static void endpoints_acked(struct sld_xds_stream *s, struct sld_xds_rec *r)
{
    struct sld_xds_rec *c = sld_xds_rec_named(s, SLD_XDS_CLUSTER, sld_xds_entry_name(r->e));
    if (c && (c->phase == SLD_PH_FED || (c->phase == SLD_PH_WATCHED && !r->held)))
        c->phase = SLD_PH_READY;
}

static void endpoints_refused(struct sld_xds_stream *s, struct sld_xds_rec *r)
{
    // If they vanish now, the client has still had no answer.
    r->answer = r->answer || !r->held;
    struct sld_xds_rec *c = sld_xds_rec_named(s, SLD_XDS_CLUSTER, sld_xds_entry_name(r->e));
    if (c && c->state == SLD_REC_FLIGHT) {
        c->eds_sent = false;
        if (c->phase == SLD_PH_FED)
            c->phase = SLD_PH_WATCHED;
    }
}

// The client took what R had in flight.
static void accept(struct sld_xds_stream *s, struct sld_xds_rec *r, uint64_t now)
{
    const struct sld_xds_events *ev = &s->x->events;
    SLD_UNREF(r->held);
    r->held = r->sent;
    r->sent = NULL;
    r->maybe = r->before = false;
    SLD_UNREF(r->doubt);
    r->group = 0;
    leave_flight(s, r);
    if (r->e->type == SLD_XDS_ENDPOINT)
        endpoints_acked(s, r);
    if (r->held) {
        if (r->e->type == SLD_XDS_CLUSTER)
            cluster_acked(s, r);
        sld_xds_latency_add(s->x, now - r->since_ns);
        bool made = r->held == r->e->empty;
        if (sld_xds_stream_good(s, r->e, r->held, now) && ev->on_accepted && !made)
            ev->on_accepted(ev->user, s->view->name, r->held, s->build->name);
    } else {
        r->due = false;
        r->phase = SLD_PH_NEW;
    }
    sld_xds_rec_settle(s, r);
}

// The client took what R had in flight, but something beside it was refused: Envoy records neither
// versions nor removals of such a response, and would report the old ones when it reconnects. So it
// goes again.
static void accept_beside(struct sld_xds_stream *s, struct sld_xds_rec *r, uint64_t now)
{
    struct sld_xds_entry *e = r->e;
    if (!r->sent) {
        r->maybe = true;
        leave_flight(s, r);
        sld_xds_rec_settle(s, r);
        return;
    }
    sld_xds_entry_ref(e);
    accept(s, r, now);
    sld_xds_rec_force(s, (enum sld_xds_type)e->type, sld_xds_entry_name(e), now);
    sld_xds_entry_unref(s->view, e);
}

// The endpoints of a refused cluster were sent ahead for nothing.
static void forget_ahead(struct sld_xds_stream *s, struct sld_str name, uint64_t now)
{
    struct sld_xds_entry *e = sld_xds_entry_find(s->view, SLD_XDS_ENDPOINT, name);
    if (e && sld_bits_has(&s->subs[SLD_XDS_ENDPOINT].presumed, e->ix))
        sld_xds_unsubscribe(s, e, now);
}

// The client refused exactly RES: known to all from now on.
static void blame(struct sld_xds_stream *s, struct sld_xds_resource *res, struct sld_str words,
                  uint64_t now)
{
    struct sld_xds *x = s->x;
    SLD_LOG(SLD_WARN, "xds", "refused", SLD_KS("view", s->view->name), SLD_KS("peer", s->peer),
            SLD_KC("type", sld_xds_type_name(res->type)), SLD_KS("name", res->name),
            SLD_KS("build", s->build->name), SLD_KS("words", res->secret ? sld_xds_hidden_words : words));
    if (sld_xds_refusal_has(&x->builds, res->obj.hash, s->build))
        return;
    (void)sld_xds_refusal_add(&x->builds, res->obj.hash, s->build, words);
    sld_xds_rejudge(x, res, now);
    if (x->events.on_refused)
        x->events.on_refused(x->events.user, s->view->name, res, s->build->name, words);
}

// The client refused exactly what R had in flight.
static void refuse(struct sld_xds_stream *s, struct sld_xds_rec *r, struct sld_str words,
                   uint64_t now)
{
    struct sld_xds_resource *res = r->sent;
    SLD_PRE(res != NULL);
    r->sent = NULL;
    r->refused = res->obj.hash;
    if (r->doubt && sld_hash_eq(r->doubt->obj.hash, res->obj.hash)) {
        r->maybe = false;
        SLD_UNREF(r->doubt);
    }
    r->group = 0;
    r->phase = SLD_PH_NEW;
    leave_flight(s, r);
    if (r->e->type == SLD_XDS_CLUSTER)
        forget_ahead(s, sld_xds_entry_name(r->e), now);
    else if (r->e->type == SLD_XDS_ENDPOINT)
        endpoints_refused(s, r);
    blame(s, res, words, now);
    struct sld_xds_rec *still = sld_xds_rec_named(s, res->type, res->name);
    if (still)
        sld_xds_rec_settle(s, still);
    SLD_UNREF(res);
}

// WORDS blame NAME: "name: reason" at the start, on a line of its own, or behind Envoy's
// "Error adding/updating cluster(s) ", several parted by ", ".
static bool blamed(struct sld_str words, struct sld_str name)
{
    for (size_t from = 0; name.n && from < words.n;) {
        ptrdiff_t at = sld_str_find(sld_str_sub(words, from, words.n), name);
        if (at < 0)
            return false;
        size_t start = from + (size_t)at, end = start + name.n;
        bool opens = start == 0 || words.p[start - 1] == ' ' || words.p[start - 1] == '\n';
        if (opens && end < words.n && words.p[end] == ':')
            return true;
        from = start + 1;
    }
    return false;
}

// Takes the blamed ones as refused and the others as applied, which is what Envoy does with clusters
// and listeners; as unknown, if the words were cut. False when nobody is blamed by name.
static bool by_name(struct sld_xds_stream *s, struct sld_xds_response *resp, struct sld_str words,
                    uint64_t now)
{
    bool any = false;
    if (resp->type != SLD_XDS_CLUSTER && resp->type != SLD_XDS_LISTENER)
        return false;
    for (size_t i = 0; i < resp->count; i++) {
        struct sld_xds_rec *r = resp->items[i].rec;
        if (r && r->sent && blamed(words, sld_xds_entry_name(r->e))) {
            any = true;
            resp->items[i].rec = NULL;
            refuse(s, r, words, now);
        }
    }
    if (any && (words.n == SLD_XDS_WORDS_MAX || sld_str_ends(words, SLD_STR("...(truncated)"))))
        return false;
    for (size_t i = 0; any && i < resp->count; i++) {
        if (resp->items[i].rec)
            accept_beside(s, resp->items[i].rec, now);
    }
    return any;
}

// The client may or may not have taken what R had in flight.
static void doubt(struct sld_xds_rec *r)
{
    struct sld_xds_resource *sent = r->sent;
    r->sent = NULL;
    if (!r->maybe)
        r->doubt = sld_obj_ref(sent);
    else if (r->doubt && !sld_hash_eq(r->doubt->obj.hash, sent->obj.hash))
        SLD_UNREF(r->doubt);
    r->maybe = true;
    SLD_UNREF(sent);
}

// Sends the members again in smaller parts; of none it is known what the client made of it.
static void split(struct sld_xds_stream *s, struct sld_xds_response *resp, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[resp->type];
    bool halve = resp->count > SLD_XDS_HALVE;
    uint32_t first = sub->groups + 1;
    for (size_t i = 0; i < resp->count; i++) {
        struct sld_xds_rec *r = resp->items[i].rec;
        if (r && !r->sent) {
            accept_beside(s, r, now);
            continue;
        }
        uint32_t group = halve ? first + (i >= resp->count / 2) : first + (uint32_t)i;
        sub->groups = group;
        if (!r)
            continue;
        doubt(r);
        if (resp->type == SLD_XDS_ENDPOINT)
            endpoints_refused(s, r);
        r->group = group;
        r->phase = SLD_PH_NEW;
        leave_flight(s, r);
        sld_xds_rec_settle(s, r);
    }
}

// The item with the one resource of a response, when all else in it are removals.
static struct sld_xds_item *sole(struct sld_xds_response *resp)
{
    struct sld_xds_item *only = NULL;
    for (size_t i = 0; i < resp->count; i++) {
        struct sld_xds_item *item = &resp->items[i];
        if (!item->orphan && !(item->rec && item->rec->sent))
            continue;
        if (only)
            return NULL;
        only = item;
    }
    return only;
}

static void nacked(struct sld_xds_stream *s, struct sld_xds_response *resp, struct sld_str words,
                   uint64_t now)
{
    if (by_name(s, resp, words, now))
        return;
    struct sld_xds_item *only = sole(resp);
    if (!only) {
        split(s, resp, now);
        return;
    }
    for (size_t i = 0; i < resp->count; i++) {
        if (resp->items[i].rec && &resp->items[i] != only)
            accept_beside(s, resp->items[i].rec, now);
    }
    if (only->rec)
        refuse(s, only->rec, words, now);
    else
        blame(s, only->orphan, words, now);
}

const struct sld_str sld_xds_hidden_words =
    SLD_STR_INIT("(they may quote a secret; the status of the object has them without it)");

static bool has_secret(const struct sld_xds_response *resp)
{
    for (size_t i = 0; i < resp->count; i++) {
        const struct sld_xds_item *item = &resp->items[i];
        const struct sld_xds_resource *res = item->rec ? item->rec->sent : item->orphan;
        if (res && res->secret)
            return true;
    }
    return false;
}

static void note_error(struct sld_xds_stream *s, enum sld_xds_type t, struct sld_str words)
{
    struct sld_xds_sub *sub = &s->subs[t];
    sub->nacks++;
    s->x->totals[t].nacks++;
    sld_xfree(sub->last_error);
    sub->last_error = sld_xalloc(words.n + 1);
    if (words.n)
        memcpy(sub->last_error, words.p, words.n);
    sub->last_error[words.n] = 0;
}

static void finish(struct sld_xds_stream *s, struct sld_xds_response *resp, bool nack,
                   struct sld_str words, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[resp->type];
    sld_list_remove(&resp->link);
    sub->flight_count--;
    if (nack) {
        note_error(s, (enum sld_xds_type)resp->type, has_secret(resp) ? sld_xds_hidden_words : words);
        sub->again = resp->count > 0;
        nacked(s, resp, words, now);
    } else {
        sub->acks++;
        s->x->totals[resp->type].acks++;
        for (size_t i = 0; i < resp->count; i++) {
            if (resp->items[i].rec)
                accept(s, resp->items[i].rec, now);
        }
    }
    sld_xds_response_free(resp);
    s->recheck = true;
}

bool sld_xds_answered(struct sld_xds_stream *s, enum sld_xds_type t, struct sld_str nonce,
                      bool nack, struct sld_str words, uint64_t now)
{
    uint64_t n;
    struct sld_xds_sub *sub = &s->subs[t];
    struct sld_xds_response *found = NULL;
    if (!sld_str_u64(nonce, &n))
        return false;
    SLD_LIST_EACH(at, &sub->flights)
    {
        struct sld_xds_response *resp = SLD_CONTAINER_OF(at, struct sld_xds_response, link);
        if (resp->nonce == n)
            found = resp;
    }
    if (!found)
        return false;
    // State of the world: an answer to a later state speaks for the earlier ones too.
    while (s->kind == SLD_XDS_SOTW_ADS && sub->flights.next != &found->link)
        finish(s, SLD_CONTAINER_OF(sub->flights.next, struct sld_xds_response, link), false, words,
               now);
    finish(s, found, nack, words, now);
    return true;
}

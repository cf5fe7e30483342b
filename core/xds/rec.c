// Records: where a client's holdings differ from what it is meant to hold; and subscriptions.
#include "xds/stream.h"

static const struct sld_sm_state rec_states[] = {
    [SLD_REC_IDLE] = {"idle", SLD_SM_TO(SLD_REC_DIRTY) | SLD_SM_TO(SLD_REC_LINGER)},
    [SLD_REC_DIRTY] = {"dirty", SLD_SM_TO(SLD_REC_IDLE) | SLD_SM_TO(SLD_REC_FLIGHT) |
                                    SLD_SM_TO(SLD_REC_LINGER)},
    [SLD_REC_FLIGHT] = {"flight", SLD_SM_TO(SLD_REC_IDLE)},
    [SLD_REC_LINGER] = {"linger", SLD_SM_TO(SLD_REC_IDLE) | SLD_SM_TO(SLD_REC_DIRTY)},
};

static uint64_t key_of(const struct sld_xds_entry *e)
{
    return (uint64_t)(uintptr_t)e;
}

bool sld_xds_wanted(const struct sld_xds_sub *sub, const struct sld_xds_entry *e)
{
    return sub->wild || sld_bits_has(&sub->named, e->ix);
}

struct sld_xds_rec *sld_xds_rec_find(const struct sld_xds_stream *s, const struct sld_xds_entry *e)
{
    return sld_umap_get(&s->subs[e->type].recs, key_of(e));
}

struct sld_xds_rec *sld_xds_rec_named(const struct sld_xds_stream *s, enum sld_xds_type t,
                                      struct sld_str name)
{
    struct sld_xds_entry *e = sld_xds_entry_find(s->view, t, name);
    return e ? sld_xds_rec_find(s, e) : NULL;
}

struct sld_xds_rec *sld_xds_rec_get(struct sld_xds_stream *s, struct sld_xds_entry *e,
                                    struct sld_xds_resource *held, uint64_t now)
{
    struct sld_xds_rec *r = sld_xds_rec_find(s, e);
    if (r)
        return r;
    struct sld_xds_sub *sub = &s->subs[e->type];
    r = SLD_NEW(struct sld_xds_rec);
    r->e = e;
    sld_xds_entry_ref(e);
    r->held = sld_obj_ref(held);
    r->since_ns = now;
    r->state = SLD_REC_IDLE;
    sld_list_push(&sub->idle, &r->link);
    sld_umap_set(&sub->recs, key_of(e), r);
    return r;
}

void sld_xds_rec_free(struct sld_xds_stream *s, struct sld_xds_rec *r)
{
    struct sld_xds_sub *sub = &s->subs[r->e->type];
    if (r->state == SLD_REC_FLIGHT) {
        SLD_INV(r->response && r->response->items[r->item].rec == r);
        r->response->items[r->item].rec = NULL;
        r->response->items[r->item].orphan = sld_obj_ref(r->sent);
        sub->item_count--;
    }
    sld_list_remove(&r->link);
    sld_umap_remove(&sub->recs, key_of(r->e));
    // At rest a stream keeps no memory of what it went through.
    if (sub->recs.live == 0)
        sld_umap_fini(&sub->recs);
    sld_xds_entry_unref(s->view, r->e);
    SLD_UNREF(r->held);
    SLD_UNREF(r->sent);
    SLD_UNREF(r->doubt);
    sld_xfree(r);
}

void sld_xds_rec_move(struct sld_xds_stream *s, struct sld_xds_rec *r, enum sld_xds_rec_state to)
{
    struct sld_xds_sub *sub = &s->subs[r->e->type];
    if (r->state == to)
        return;
    sld_sm_move(rec_states, &r->state, (uint8_t)to);
    sld_list_remove(&r->link);
    if (to == SLD_REC_DIRTY)
        sld_list_push(&sub->dirty, &r->link);
    else if (to == SLD_REC_LINGER)
        sld_list_push(&sub->linger, &r->link);
    else if (to == SLD_REC_IDLE)
        sld_list_push(&sub->idle, &r->link);
}

// The client builds a new cluster and waits for these endpoints, which are gone again.
static bool awaited(const struct sld_xds_stream *s, const struct sld_xds_entry *e)
{
    struct sld_xds_rec *r = sld_xds_rec_find(s, e);
    struct sld_xds_rec *c = sld_xds_rec_named(s, SLD_XDS_CLUSTER, sld_xds_entry_name(e));
    // The state-of-the-world protocol has no other word for "there are none".
    if (r && (r->answer || r->maybe) && s->envoy && s->kind == SLD_XDS_SOTW_ADS)
        return true;
    return r && c && c->state == SLD_REC_FLIGHT && c->sent && !c->held && !c->maybe &&
           (c->phase == SLD_PH_WATCHED || c->phase == SLD_PH_FED);
}

// TARGET stands for endpoints that nobody knows (their registry is asked for them, or is away) or that were
// refused. It is for clients that have none.
static bool made_up(const struct sld_xds_entry *e, const struct sld_xds_resource *target)
{
    return target && target == e->empty;
}

// What R's client was given keeps the place of what would be made up; NULL: it has nothing.
static struct sld_xds_resource *kept(const struct sld_xds_rec *r)
{
    return r && r->held && r->held != r->e->empty ? r->held : NULL;
}

// The same where the client has endpoints from before this stream. They may well be newer than what an earlier
// process left.
static bool keeps(const struct sld_xds_rec *r, const struct sld_xds_resource *target)
{
    return r->before && (r->e->past || made_up(r->e, target));
}

struct sld_xds_resource *sld_xds_target(const struct sld_xds_stream *s, struct sld_xds_entry *e)
{
    struct sld_xds_resource *r = sld_xds_entry_target(s->view, e, s->build);
    if (!r && !e->current && e->type == SLD_XDS_ENDPOINT && awaited(s, e))
        r = sld_xds_entry_empty(e);
    struct sld_xds_resource *own = made_up(e, r) ? kept(sld_xds_rec_find(s, e)) : NULL;
    return own ? own : r;
}

struct sld_xds_resource *sld_xds_holds(const struct sld_xds_stream *s, struct sld_xds_entry *e)
{
    struct sld_xds_rec *r = sld_xds_rec_find(s, e);
    if (r)
        return r->held;
    return sld_xds_wanted(&s->subs[e->type], e) ? sld_xds_target(s, e) : NULL;
}

static bool named_only(const struct sld_xds_stream *s, uint8_t type)
{
    return s->kind == SLD_XDS_SOTW_ADS && type != SLD_XDS_CLUSTER && type != SLD_XDS_LISTENER;
}

// The resource is absent for everybody: what remains is to take it from the client, or to say so.
static void settle_absent(struct sld_xds_stream *s, struct sld_xds_rec *r)
{
    bool holds = r->held || r->maybe;
    r->force = false;
    // Groups are for finding out which resource is bad.
    r->group = 0;
    if (named_only(s, r->e->type)) // this protocol cannot name what is gone
        sld_xds_rec_free(s, r);
    else if (r->e->type == SLD_XDS_CLUSTER && holds && !r->due)
        sld_xds_rec_move(s, r, SLD_REC_LINGER);
    else if (holds || r->answer)
        sld_xds_rec_move(s, r, SLD_REC_DIRTY);
    else
        sld_xds_rec_free(s, r);
}

void sld_xds_rec_settle(struct sld_xds_stream *s, struct sld_xds_rec *r)
{
    if (r->state == SLD_REC_FLIGHT)
        return;
    struct sld_xds_resource *target = sld_xds_target(s, r->e);
    if (!target && !r->e->current) {
        settle_absent(s, r);
        return;
    }
    r->due = false;
    r->due_ns = 0;
    // Refused by this very client, or by its build with nothing older to fall back on: it keeps what it has.
    if (!target || sld_hash_eq(r->refused, target->obj.hash)) {
        sld_xds_rec_move(s, r, SLD_REC_IDLE);
        return;
    }
    bool has = r->held && sld_hash_eq(r->held->obj.hash, target->obj.hash) && !r->force &&
               !r->answer && !r->maybe;
    bool stays = has && made_up(r->e, sld_xds_entry_target(s->view, r->e, s->build));
    if (keeps(r, target) || stays)
        sld_xds_rec_move(s, r, SLD_REC_IDLE);
    else if (has)
        sld_xds_rec_free(s, r);
    else
        sld_xds_rec_move(s, r, SLD_REC_DIRTY);
}

void sld_xds_stream_before(struct sld_xds_stream *s, struct sld_xds_entry *e, uint64_t now)
{
    if (!sld_xds_wanted(&s->subs[e->type], e) || sld_xds_rec_find(s, e))
        return;
    struct sld_xds_resource *held = sld_xds_target(s, e);
    struct sld_xds_rec *r = sld_xds_rec_get(s, e, held, now);
    r->maybe = !held && e->refused;
}

void sld_xds_stream_after(struct sld_xds_stream *s, struct sld_xds_entry *e, uint64_t now)
{
    struct sld_xds_rec *r = sld_xds_rec_find(s, e);
    s->recheck = true;
    if (!r)
        return;
    r->since_ns = now;
    r->group = 0;
    r->wait_at = 0;
    r->due = false;
    r->due_ns = 0;
    sld_xds_rec_settle(s, r);
}

bool sld_xds_stream_good(struct sld_xds_stream *s, struct sld_xds_entry *e,
                         struct sld_xds_resource *r, uint64_t now)
{
    struct sld_list *streams = &s->view->streams;
    struct sld_xds_resource *before = sld_xds_target(s, e);
    if (before || !e->refused)
        return sld_xds_entry_good(e, s->build, r);
    SLD_LIST_EACH(at, streams)
    {
        struct sld_xds_stream *o = SLD_CONTAINER_OF(at, struct sld_xds_stream, view_link);
        if (o != s && o->build == s->build)
            sld_xds_stream_before(o, e, now);
    }
    bool news = sld_xds_entry_good(e, s->build, r);
    SLD_LIST_EACH(at, streams)
    {
        struct sld_xds_stream *o = SLD_CONTAINER_OF(at, struct sld_xds_stream, view_link);
        struct sld_xds_rec *rec = o == s ? NULL : sld_xds_rec_find(o, e);
        if (rec) {
            sld_xds_rec_settle(o, rec);
            sld_xds_stream_wake_at(o, now);
        }
    }
    return news;
}

void sld_xds_rec_force(struct sld_xds_stream *s, enum sld_xds_type t, struct sld_str name,
                       uint64_t now)
{
    struct sld_xds_entry *e = sld_xds_entry_find(s->view, t, name);
    struct sld_xds_resource *target = e ? sld_xds_target(s, e) : NULL;
    if (!target || !sld_xds_wanted(&s->subs[t], e))
        return;
    struct sld_xds_rec *r = sld_xds_rec_get(s, e, target, now);
    r->force = true;
    sld_xds_rec_settle(s, r);
}

// The client subscribed to a cluster's endpoints: it has built the cluster. True when what was sent ahead
// of the subscription answers it.
static bool watched(struct sld_xds_stream *s, struct sld_xds_entry *e)
{
    struct sld_xds_sub *sub = &s->subs[SLD_XDS_ENDPOINT];
    struct sld_xds_rec *c = sld_xds_rec_named(s, SLD_XDS_CLUSTER, sld_xds_entry_name(e));
    struct sld_xds_rec *r = sld_xds_rec_find(s, e);
    // What was to go ahead may have vanished before it went: then an answer is due as to anyone.
    bool ahead = sld_bits_has(&sub->presumed, e->ix) &&
                 ((c && c->eds_sent) || (r && r->state == SLD_REC_FLIGHT && r->sent));
    sld_bits_clear(&sub->presumed, e->ix);
    if (c && c->phase == SLD_PH_SENT) {
        c->phase = SLD_PH_WATCHED;
        if (ahead && c->eds_sent)
            c->phase = r ? SLD_PH_FED : SLD_PH_READY;
    }
    return ahead;
}

bool sld_xds_subscribe(struct sld_xds_stream *s, enum sld_xds_type t, struct sld_str name,
                       const struct sld_bits *have, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[t];
    struct sld_xds_entry *e = sld_xds_entry_get(s->view, t, name);
    struct sld_xds_resource *held = sld_xds_wanted(sub, e) ? sld_xds_target(s, e) : NULL;
    if (!sld_bits_has(&sub->named, e->ix)) {
        if (s->names >= s->x->options.max_names) {
            sld_xds_entry_drop(s->view, e);
            sld_xds_stream_fail(s, 8, "too many names subscribed"); // RESOURCE_EXHAUSTED
            return false;
        }
        s->names++;
        sub->named_count++;
        sld_bits_set(&sub->named, e->ix);
        sld_xds_entry_ref(e);
    }
    bool held_already = have && sld_bits_has(have, e->ix), has = held_already;
    if (t == SLD_XDS_ENDPOINT) {
        if (watched(s, e))
            return true;
        // A cluster that was just sent waits for its endpoints even if the client has them.
        held_already = held_already && !sld_xds_rec_named(s, SLD_XDS_CLUSTER, name);
    }
    if (held_already)
        return true;
    struct sld_xds_rec *r = sld_xds_rec_get(s, e, has ? sld_xds_target(s, e) : held, now);
    r->answer = true;
    sld_xds_rec_settle(s, r);
    return true;
}

void sld_xds_unsubscribe(struct sld_xds_stream *s, struct sld_xds_entry *e, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[e->type];
    if (!sld_bits_has(&sub->named, e->ix))
        return;
    SLD_INV(sub->named_count > 0 && s->names > 0);
    s->names--;
    sub->named_count--;
    s->recheck = true;
    sld_bits_clear(&sub->named, e->ix);
    sld_bits_clear(&sub->presumed, e->ix);
    struct sld_xds_rec *r = sld_xds_rec_find(s, e);
    if (sub->wild) {
        // The client cannot know whether the wildcard still covers the name: it must be told.
        if (!r)
            r = sld_xds_rec_get(s, e, sld_xds_target(s, e), now);
        r->answer = true;
        sld_xds_rec_settle(s, r);
    } else if (r) {
        sld_xds_rec_free(s, r);
    }
    sld_xds_entry_unref(s->view, e);
}

void sld_xds_subscribe_all(struct sld_xds_stream *s, enum sld_xds_type t,
                           const struct sld_bits *have, uint64_t now)
{
    struct sld_xds_sub *sub = &s->subs[t];
    struct sld_xds_table *tab = &s->view->tables[t];
    if (sub->wild)
        return;
    sub->wild = true;
    for (size_t i = 0; i < tab->ix_count; i++) {
        struct sld_xds_entry *e = tab->by_ix[i];
        if (!e || !e->current || sld_bits_has(&sub->named, e->ix) ||
            (have && sld_bits_has(have, e->ix)))
            continue;
        sld_xds_rec_settle(s, sld_xds_rec_get(s, e, NULL, now));
    }
}

static void free_unwanted(struct sld_xds_stream *s, struct sld_list *list)
{
    SLD_LIST_EACH(at, list)
    {
        struct sld_xds_rec *r = SLD_CONTAINER_OF(at, struct sld_xds_rec, link);
        if (!sld_xds_wanted(&s->subs[r->e->type], r->e))
            sld_xds_rec_free(s, r);
    }
}

void sld_xds_unsubscribe_all(struct sld_xds_stream *s, enum sld_xds_type t)
{
    struct sld_xds_sub *sub = &s->subs[t];
    if (!sub->wild)
        return;
    sub->wild = false;
    s->recheck = true;
    free_unwanted(s, &sub->dirty);
    free_unwanted(s, &sub->linger);
    free_unwanted(s, &sub->idle);
    SLD_LIST_EACH(at, &sub->flights)
    {
        struct sld_xds_response *resp = SLD_CONTAINER_OF(at, struct sld_xds_response, link);
        for (size_t i = 0; i < resp->count; i++) {
            struct sld_xds_rec *r = resp->items[i].rec;
            if (r && !sld_xds_wanted(sub, r->e))
                sld_xds_rec_free(s, r);
        }
    }
}

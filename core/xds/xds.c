// The room's owner: rounds applied to views, streams woken, deadlines.
#include "xds/stream.h"

void sld_xds_options_default(struct sld_xds_options *o)
{
    *o = (struct sld_xds_options){
        .linger_ns = UINT64_C(30000000000),
        .gate_cap_ns = UINT64_C(5000000000),
        .max_response_bytes = (size_t)4 * 1024 * 1024,
        .max_names = 1000000,
        .fallback_view = SLD_STR(""),
    };
}

static struct sld_xds_view *view_add(struct sld_xds *x, struct sld_str name);

static struct sld_str resource_name(const void *item)
{
    return ((const struct sld_xds_resource *)item)->name;
}

struct sld_xds *sld_xds_create(const struct sld_xds_options *o, const struct sld_xds_events *ev)
{
    struct sld_xds *x = SLD_NEW(struct sld_xds);
    x->options = *o;
    if (ev)
        x->events = *ev;
    sld_list_init(&x->streams);
    for (size_t t = 0; t < SLD_XDS_TYPE_COUNT; t++)
        x->shared[t].key = resource_name;
    struct sld_xds_view *fallback = sld_xds_view_create(x, o->fallback_view);
    sld_map_set(&x->views, fallback->name, fallback);
    x->options.fallback_view = fallback->name;
    return x;
}

void sld_xds_destroy(struct sld_xds *x)
{
    if (!x)
        return;
    SLD_LIST_EACH(at, &x->streams)
    {
        sld_xds_stream_closed(SLD_CONTAINER_OF(at, struct sld_xds_stream, link), 0);
    }
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&x->views, &at));)
        sld_xds_view_destroy(slot->value);
    sld_map_fini(&x->views);
    at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&x->aliases, &at));)
        SLD_UNREF(slot->value);
    sld_map_fini(&x->aliases);
    for (size_t t = 0; t < SLD_XDS_TYPE_COUNT; t++) {
        at = 0;
        for (struct sld_xds_resource *r; (r = sld_set_next(&x->shared[t], &at));)
            SLD_UNREF(r);
        sld_set_fini(&x->shared[t]);
    }
    sld_xds_builds_fini(&x->builds);
    sld_xfree(x);
}

void sld_xds_set_linger(struct sld_xds *x, uint64_t linger_ns)
{
    x->options.linger_ns = linger_ns;
}

struct sld_xds_view *sld_xds_view_for(struct sld_xds *x, struct sld_str role)
{
    const struct sld_blob *alias = sld_map_get(&x->aliases, role);
    struct sld_xds_view *v = sld_map_get(&x->views, alias ? alias->data : role);
    if (!v)
        v = sld_map_get(&x->views, x->options.fallback_view);
    sld_xds_view_lay(v);
    return v;
}

struct known_refusal {
    struct sld_xds_view *view;
    const struct sld_xds_resource *resource;
    const struct sld_xds_build *only; // NULL: all that are there
};

static size_t streams_of(const struct sld_xds_view *v, const struct sld_xds_build *build)
{
    size_t n = 0;
    SLD_LIST_EACH(at, &v->streams)
    {
        n += SLD_CONTAINER_OF(at, struct sld_xds_stream, view_link)->build == build;
    }
    return n;
}

static void tell_refused(void *arg, const struct sld_xds_build *build, struct sld_str words)
{
    const struct known_refusal *k = arg;
    const struct sld_xds_events *ev = &k->view->x->events;
    // What a build refused that nobody has any more is no reason to keep it from others.
    if (k->only ? k->only != build : !streams_of(k->view, build))
        return;
    ev->on_refused(ev->user, k->view->name, k->resource, build->name, words);
}

void sld_xds_tell_known(struct sld_xds_view *v, const struct sld_xds_build *build)
{
    if (!v->x->events.on_refused || streams_of(v, build) > 1)
        return;
    SLD_LIST_EACH(at, &v->refused)
    {
        const struct sld_xds_entry *e = SLD_CONTAINER_OF(at, struct sld_xds_refused, link)->entry;
        struct known_refusal k = {v, e->current, build};
        sld_xds_refusal_each(&v->x->builds, e->current->obj.hash, tell_refused, &k);
    }
}

// E, which was `made`, has endpoints now. After a start that is so of all.
static void fed(struct sld_xds_view *v, const struct sld_xds_entry *e)
{
    sld_umap_remove(&v->unfed, e->ix);
    if (v->unfed.live == 0)
        sld_umap_fini(&v->unfed);
}

// What E is meant to be stays, but somebody said so now.
static void confirmed(struct sld_xds_view *v, struct sld_xds_entry *e, uint64_t now)
{
    SLD_LIST_EACH(at, &v->streams)
    {
        struct sld_xds_stream *s = SLD_CONTAINER_OF(at, struct sld_xds_stream, view_link);
        if (sld_xds_rec_find(s, e))
            sld_xds_stream_after(s, e, now);
    }
}

// R, of E's version, takes the place of its resource.
static void renew(struct sld_xds_view *v, struct sld_xds_entry *e, struct sld_xds_resource *r)
{
    sld_xds_entry_renew(v, e, r);
    SLD_LIST_EACH(at, &v->streams)
    {
        SLD_CONTAINER_OF(at, struct sld_xds_stream, view_link)->recheck = true; // a cluster may be listed no more
    }
}

// Makes R (NULL = absent) what E is meant to be, with every stream knowing before and after.
static void change(struct sld_xds_view *v, struct sld_xds_entry *e, struct sld_xds_resource *r,
                   uint64_t now)
{
    bool was_made = e->made, was_past = e->past;
    e->made = false;
    // An edit is not held up for what nobody knows of another route.
    bool as_before = e->current && was_past && r && sld_hash_eq(r->obj.hash, e->current->obj.hash);
    e->past = r && r->past && (e->type == SLD_XDS_ENDPOINT || !e->current || as_before);
    if (e->type == SLD_XDS_ENDPOINT && !r) {
        struct sld_xds_entry *c = sld_xds_entry_find(v, SLD_XDS_CLUSTER, sld_xds_entry_name(e));
        e->made = c && c->current && c->current->eds;
        r = e->made ? sld_xds_entry_empty(e) : NULL;
    }
    if (e->made && !was_made)
        sld_umap_set(&v->unfed, e->ix, (void *)(uintptr_t)now); // a time, not an address
    else if (was_made && !e->made)
        fed(v, e);
    if (r == e->current || (r && e->current && sld_hash_eq(r->obj.hash, e->current->obj.hash))) {
        if (r != e->current)
            renew(v, e, r);
        if ((was_past && !e->past) || (was_made && !e->made))
            confirmed(v, e, now);
        return;
    }
    SLD_LIST_EACH(at, &v->streams)
    {
        sld_xds_stream_before(SLD_CONTAINER_OF(at, struct sld_xds_stream, view_link), e, now);
    }
    sld_xds_entry_set(v, e, r);
    if (r && !e->made)
        sld_xds_entry_forget_empty(e);
    SLD_LIST_EACH(at, &v->streams)
    {
        sld_xds_stream_after(SLD_CONTAINER_OF(at, struct sld_xds_stream, view_link), e, now);
    }
    // It is not sent to those who refused it before, so nobody else will tell.
    if (e->refused && v->x->events.on_refused) {
        struct known_refusal k = {v, r, NULL};
        sld_xds_refusal_each(&v->x->builds, r->obj.hash, tell_refused, &k);
    }
}

// A cluster with endpoints always has an assignment, an empty one if nobody gave any: an unanswered
// subscription would hold up the client for 15 s.
static void complete_endpoints(struct sld_xds_view *v, struct sld_str cluster,
                               const struct sld_xds_resource *r, uint64_t now)
{
    bool needed = r && r->eds;
    struct sld_xds_entry *e = needed ? sld_xds_entry_get(v, SLD_XDS_ENDPOINT, cluster)
                                     : sld_xds_entry_find(v, SLD_XDS_ENDPOINT, cluster);
    if (!e || (needed ? e->current != NULL : !e->made))
        return;
    sld_xds_entry_ref(e);
    change(v, e, NULL, now);
    sld_xds_entry_unref(v, e);
}

static void view_set(struct sld_xds_view *v, enum sld_xds_type t, struct sld_str name,
                     struct sld_xds_resource *r, bool own, uint64_t now)
{
    struct sld_xds_entry *e =
        r ? sld_xds_entry_get(v, t, name) : sld_xds_entry_find(v, t, name);
    if (!e)
        return;
    sld_xds_entry_ref(e);
    e->own = own;
    change(v, e, r, now);
    if (t == SLD_XDS_CLUSTER)
        complete_endpoints(v, name, r, now);
    sld_xds_entry_unref(v, e);
}

void sld_xds_view_lay(struct sld_xds_view *v)
{
    if (v->laid)
        return;
    v->laid = true;
    for (size_t t = 0; t < SLD_XDS_TYPE_COUNT; t++) {
        size_t at = 0;
        for (struct sld_xds_resource *r; (r = sld_set_next(&v->x->shared[t], &at));) {
            struct sld_xds_entry *e = sld_xds_entry_find(v, (enum sld_xds_type)t, r->name);
            if (!e || !e->own)
                view_set(v, (enum sld_xds_type)t, r->name, r, false, 0);
        }
    }
}

static struct sld_xds_view *view_add(struct sld_xds *x, struct sld_str name)
{
    struct sld_xds_view *v = sld_xds_view_create(x, name);
    sld_map_set(&x->views, name, v);
    sld_xds_view_lay(v);
    return v;
}

// A role that was answered with the fallback has a view of its own now: its clients come again.
static void move_clients(struct sld_xds *x, struct sld_str role)
{
    SLD_LIST_EACH(at, &x->streams)
    {
        struct sld_xds_stream *s = SLD_CONTAINER_OF(at, struct sld_xds_stream, link);
        if (s->view && sld_str_eq(s->role, role))
            sld_xds_stream_fail(s, 14, "the role has a configuration now"); // UNAVAILABLE
    }
}

void sld_xds_declare(struct sld_xds *x, struct sld_str view)
{
    if (sld_map_has(&x->views, view))
        return;
    view_add(x, view);
    move_clients(x, view);
}

void sld_xds_alias(struct sld_xds *x, struct sld_str role, struct sld_str view)
{
    struct sld_blob *was = sld_map_get(&x->aliases, role);
    if (was ? sld_str_eq(was->data, view) : sld_str_eq(role, view))
        return;
    sld_xds_declare(x, view);
    sld_map_set(&x->aliases, role, sld_blob_create(view));
    SLD_UNREF(was);
    move_clients(x, role);
}

static void apply_shared(struct sld_xds *x, const struct sld_xds_change *c, uint64_t now)
{
    struct sld_set *shared = &x->shared[c->type];
    struct sld_xds_resource *before = sld_set_get(shared, c->name);
    if (before)
        sld_set_remove(shared, before);
    if (c->resource)
        sld_set_add(shared, sld_obj_ref(c->resource));
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&x->views, &at));) {
        struct sld_xds_view *v = s->value;
        struct sld_xds_entry *e = sld_xds_entry_find(v, c->type, c->name);
        if (v->laid && (!e || !e->own))
            view_set(v, c->type, c->name, c->resource, false, now);
    }
    SLD_UNREF(before);
}

static void apply_own(struct sld_xds *x, const struct sld_xds_change *c, uint64_t now)
{
    struct sld_xds_view *v = sld_map_get(&x->views, c->view);
    if (!v && !c->resource)
        return;
    if (!v) {
        v = view_add(x, c->view);
        move_clients(x, c->view);
    }
    struct sld_xds_resource *shared = v->laid ? sld_set_get(&x->shared[c->type], c->name) : NULL;
    struct sld_xds_resource *r = c->resource ? c->resource : shared;
    view_set(v, c->type, c->name, r, c->resource != NULL, now);
}

// Endpoints NAME are known now, as they were before.
static void apply_confirmed(struct sld_xds *x, struct sld_str name, uint64_t now)
{
    struct sld_xds_resource *shared = sld_set_get(&x->shared[SLD_XDS_ENDPOINT], name);
    if (shared)
        shared->past = false; // for views that it is not laid under yet
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&x->views, &at));) {
        struct sld_xds_entry *e = sld_xds_entry_find(s->value, SLD_XDS_ENDPOINT, name);
        if (!e || !e->past)
            continue;
        e->past = e->current->past = false;
        confirmed(s->value, e, now);
    }
}

void sld_xds_apply(struct sld_xds *x, struct sld_xds_batch *b, uint64_t now)
{
    for (size_t i = 0; i < b->count; i++) {
        const struct sld_xds_change *c = &b->changes[i];
        if (c->view.n == 0)
            apply_shared(x, c, now);
        else
            apply_own(x, c, now);
    }
    for (size_t i = 0; i < b->confirmed_count; i++)
        apply_confirmed(x, b->confirmed[i], now);
    sld_xds_batch_destroy(b);
    // All streams mostly get the same: what was made for the first of them is held for the others.
    x->opened.keep = x->streams.next != x->streams.prev;
    SLD_LIST_EACH(at, &x->streams)
    {
        sld_xds_pump(SLD_CONTAINER_OF(at, struct sld_xds_stream, link), now);
    }
    for (size_t i = 0; i < x->opened.count; i++)
        SLD_UNREF(x->opened.items[i]);
    x->opened.keep = false;
    x->opened.count = x->opened.bytes = 0;
}

void sld_xds_serve(struct sld_xds *x, uint64_t now)
{
    if (x->serving)
        return;
    x->serving = true;
    SLD_LIST_EACH(at, &x->streams)
    {
        sld_xds_stream_wake_up(SLD_CONTAINER_OF(at, struct sld_xds_stream, link), now);
    }
}

uint64_t sld_xds_tick(struct sld_xds *x, uint64_t now)
{
    SLD_LIST_EACH(at, &x->streams)
    {
        struct sld_xds_stream *s = SLD_CONTAINER_OF(at, struct sld_xds_stream, link);
        if (s->sending && now - s->send_ns >= SLD_XDS_STALL_NS)
            sld_xds_stream_fail(s, 14, "the peer takes nothing any more"); // UNAVAILABLE
        else if (s->wake_ns && now >= s->wake_ns)
            sld_xds_pump(s, now);
    }
    x->due_ns = 0;
    SLD_LIST_EACH(at, &x->streams)
    {
        struct sld_xds_stream *s = SLD_CONTAINER_OF(at, struct sld_xds_stream, link);
        sld_xds_stream_wake_at(s, s->state == SLD_ST_OPEN ? s->wake_ns : 0);
    }
    return x->due_ns;
}

uint64_t sld_xds_deadline(const struct sld_xds *x)
{
    return x->due_ns;
}

static void rejudge_entry(struct sld_xds_view *v, struct sld_xds_entry *e, uint64_t now)
{
    sld_xds_entry_ref(e);
    sld_xds_entry_judge(v, e);
    SLD_LIST_EACH(at, &v->streams)
    {
        struct sld_xds_stream *s = SLD_CONTAINER_OF(at, struct sld_xds_stream, view_link);
        struct sld_xds_rec *r = sld_xds_rec_find(s, e);
        if (!r)
            continue;
        sld_xds_rec_settle(s, r);
        if (now)
            sld_xds_stream_wake_at(s, now);
    }
    sld_xds_entry_unref(v, e);
}

void sld_xds_rejudge(struct sld_xds *x, const struct sld_xds_resource *r, uint64_t now)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&x->views, &at));) {
        struct sld_xds_entry *e = sld_xds_entry_find(s->value, r->type, r->name);
        if (e)
            rejudge_entry(s->value, e, now);
    }
}

void sld_xds_refuse(struct sld_xds *x, struct sld_hash hash, struct sld_str build)
{
    if (!sld_xds_refusal_add(&x->builds, hash, sld_xds_build_get(&x->builds, build),
                             SLD_STR("")))
        return;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&x->views, &at));) {
        struct sld_xds_view *v = s->value;
        for (size_t t = 0; t < SLD_XDS_TYPE_COUNT; t++) {
            for (size_t i = 0; i < v->tables[t].ix_count; i++) {
                struct sld_xds_entry *e = v->tables[t].by_ix[i];
                if (e && e->current && sld_hash_eq(e->current->obj.hash, hash))
                    rejudge_entry(v, e, 0);
            }
        }
    }
}

// Life of a stream: opening, taking messages, binding to a view by the node, ending.
#include "xds/stream.h"

static const struct sld_sm_state stream_states[] = {
    [SLD_ST_NEW] = {"new", SLD_SM_TO(SLD_ST_EARLY) | SLD_SM_TO(SLD_ST_OPEN) |
                               SLD_SM_TO(SLD_ST_CLOSING)},
    [SLD_ST_EARLY] = {"early", SLD_SM_TO(SLD_ST_OPEN) | SLD_SM_TO(SLD_ST_CLOSING)},
    [SLD_ST_OPEN] = {"open", SLD_SM_TO(SLD_ST_CLOSING)},
    [SLD_ST_CLOSING] = {"closing", 0},
};

static struct sld_str keep(struct sld_str s)
{
    char *p = sld_xalloc(s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (struct sld_str){p, s.n};
}

static void drop(struct sld_str *s)
{
    sld_xfree((void *)(uintptr_t)s->p);
    *s = SLD_STR_NONE;
}

struct sld_xds_stream *sld_xds_stream_open(struct sld_xds *x, enum sld_xds_kind kind,
                                           const struct sld_xds_sender *sender, void *user,
                                           struct sld_str peer, uint64_t now)
{
    SLD_PRE(kind == SLD_XDS_DELTA_ADS || kind == SLD_XDS_SOTW_ADS);
    SLD_PRE(sender->send && sender->close);
    struct sld_xds_stream *s = SLD_NEW(struct sld_xds_stream);
    s->magic = SLD_XDS_STREAM_MAGIC;
    s->x = x;
    s->kind = kind;
    s->sender = *sender;
    s->user = user;
    s->peer = keep(peer);
    s->node_id = keep(SLD_STR(""));
    s->role = keep(SLD_STR(""));
    s->connected_ns = now;
    s->early_tail = &s->early;
    sld_buf_init(&s->foreign, SLD_XDS_FOREIGN_MAX);
    sld_list_init(&s->view_link);
    for (size_t t = 0; t < SLD_XDS_TYPE_COUNT; t++) {
        sld_list_init(&s->subs[t].dirty);
        sld_list_init(&s->subs[t].linger);
        sld_list_init(&s->subs[t].idle);
        sld_list_init(&s->subs[t].flights);
    }
    sld_list_push(&x->streams, &s->link);
    return s;
}

static void tell_clients(struct sld_xds *x)
{
    if (x->events.on_clients)
        x->events.on_clients(x->events.user);
}

void sld_xds_stream_fail(struct sld_xds_stream *s, int grpc_status, const char *message)
{
    if (s->state == SLD_ST_CLOSING)
        return;
    sld_sm_move(stream_states, &s->state, SLD_ST_CLOSING);
    SLD_LOG(SLD_WARN, "xds", "stream_ended", SLD_KS("peer", s->peer), SLD_KC("why", message));
    s->sender.close(s->user, grpc_status, sld_str_c(message));
}

void sld_xds_stream_wake_at(struct sld_xds_stream *s, uint64_t t)
{
    s->wake_ns = t;
    if (t && (s->x->due_ns == 0 || t < s->x->due_ns))
        s->x->due_ns = t;
}

static void bind(struct sld_xds_stream *s, const struct sld_xds_node *n)
{
    drop(&s->node_id);
    drop(&s->role);
    s->node_id = keep(n->id);
    s->role = keep(n->role);
    s->envoy = n->envoy;
    s->build = sld_xds_build_get(&s->x->builds, n->build);
    s->build->streams++;
    s->view = sld_xds_view_for(s->x, n->role);
    sld_list_push(&s->view->streams, &s->view_link);
    sld_sm_move(stream_states, &s->state, SLD_ST_OPEN);
    SLD_LOG(SLD_INFO, "xds", "client", SLD_KS("peer", s->peer), SLD_KS("node", s->node_id),
            SLD_KS("role", s->role), SLD_KS("view", s->view->name),
            SLD_KS("build", s->build->name));
    tell_clients(s->x);
    sld_xds_tell_known(s->view, s->build);
}

static void keep_early(struct sld_xds_stream *s, struct sld_str bytes)
{
    size_t cost = bytes.n + sizeof(struct sld_xds_early);
    if (s->early_bytes + cost > SLD_XDS_EARLY_MAX ||
        s->x->early_bytes + cost > SLD_XDS_EARLY_TOTAL_MAX) {
        sld_xds_stream_fail(s, 8, "too much asked before anything is served"); // RESOURCE_EXHAUSTED
        return;
    }
    s->early_bytes += cost;
    s->x->early_bytes += cost;
    if (s->state == SLD_ST_NEW)
        sld_sm_move(stream_states, &s->state, SLD_ST_EARLY);
    struct sld_xds_early *m = sld_xalloc(sizeof(*m) + bytes.n);
    m->next = NULL;
    m->n = bytes.n;
    if (bytes.n)
        memcpy(m->bytes, bytes.p, bytes.n);
    *s->early_tail = m;
    s->early_tail = &m->next;
}

static void take(struct sld_xds_stream *s, struct sld_str bytes, uint64_t now)
{
    struct sld_xds_request q;
    enum sld_xds_type t;
    if (!sld_xds_request_read(s->kind, bytes, &q) || q.type_url.n == 0) {
        sld_xds_stream_fail(s, 3, "not a discovery request"); // INVALID_ARGUMENT
        return;
    }
    if (!s->view) {
        struct sld_xds_node n;
        if (!sld_xds_node_read(q.has_node ? q.node : SLD_STR(""), &n)) {
            sld_xds_stream_fail(s, 3, "not a node");
            return;
        }
        bind(s, &n);
    }
    if (!sld_xds_type_find(q.type_url, &t)) {
        // The first request, or more names: an answer ends the client's waiting. ACKs of it end here.
        if (q.nonce.n == 0 || (q.names && s->kind == SLD_XDS_DELTA_ADS))
            sld_xds_foreign(s, &q);
    } else if (s->kind == SLD_XDS_DELTA_ADS) {
        sld_xds_delta_request(s, t, &q, now);
    } else {
        sld_xds_sotw_request(s, t, &q, now);
    }
}

void sld_xds_stream_message(struct sld_xds_stream *s, struct sld_str bytes, uint64_t now)
{
    SLD_PRE(s->magic == SLD_XDS_STREAM_MAGIC);
    if (s->state == SLD_ST_CLOSING)
        return;
    if (!s->x->serving) {
        keep_early(s, bytes);
        return;
    }
    take(s, bytes, now);
    sld_xds_pump(s, now);
}

static struct sld_xds_early *next_early(struct sld_xds_stream *s)
{
    struct sld_xds_early *m = s->early;
    if (!m)
        return NULL;
    size_t cost = m->n + sizeof(*m);
    SLD_INV(s->early_bytes >= cost && s->x->early_bytes >= cost);
    s->early_bytes -= cost;
    s->x->early_bytes -= cost;
    s->early = m->next;
    if (!s->early)
        s->early_tail = &s->early;
    return m;
}

void sld_xds_stream_wake_up(struct sld_xds_stream *s, uint64_t now)
{
    for (struct sld_xds_early *m; (m = next_early(s));) {
        if (s->state != SLD_ST_CLOSING)
            take(s, (struct sld_str){m->bytes, m->n}, now);
        sld_xfree(m);
    }
    sld_xds_pump(s, now);
}

void sld_xds_stream_sent(struct sld_xds_stream *s, uint64_t now)
{
    SLD_PRE(s->magic == SLD_XDS_STREAM_MAGIC);
    SLD_PRE(s->sending || s->state == SLD_ST_CLOSING);
    s->sending = false;
    sld_xds_pump(s, now);
}

void sld_xds_response_free(struct sld_xds_response *resp)
{
    for (size_t i = 0; i < resp->count; i++)
        SLD_UNREF(resp->items[i].orphan);
    sld_xfree(resp);
}

static void free_recs(struct sld_xds_stream *s, struct sld_list *list)
{
    SLD_LIST_EACH(at, list)
    {
        sld_xds_rec_free(s, SLD_CONTAINER_OF(at, struct sld_xds_rec, link));
    }
}

static void free_sub(struct sld_xds_stream *s, struct sld_xds_sub *sub, enum sld_xds_type t)
{
    free_recs(s, &sub->dirty);
    free_recs(s, &sub->linger);
    free_recs(s, &sub->idle);
    SLD_LIST_EACH(at, &sub->flights)
    {
        struct sld_xds_response *resp = SLD_CONTAINER_OF(at, struct sld_xds_response, link);
        for (size_t i = 0; i < resp->count; i++) {
            if (resp->items[i].rec)
                sld_xds_rec_free(s, resp->items[i].rec);
        }
        sld_xds_response_free(resp);
    }
    for (uint32_t ix = 0; sld_bits_next(&sub->named, &ix); ix++)
        sld_xds_entry_unref(s->view, s->view->tables[t].by_ix[ix]);
    SLD_POST(sub->recs.live == 0 && sub->item_count == 0);
    sld_bits_fini(&sub->named);
    sld_bits_fini(&sub->presumed);
    sld_umap_fini(&sub->recs);
    sld_xfree(sub->last_error);
}

void sld_xds_stream_closed(struct sld_xds_stream *s, uint64_t now)
{
    SLD_PRE(s->magic == SLD_XDS_STREAM_MAGIC && !s->pumping);
    struct sld_xds *x = s->x;
    (void)now;
    for (size_t t = 0; s->view && t < SLD_XDS_TYPE_COUNT; t++)
        free_sub(s, &s->subs[t], (enum sld_xds_type)t);
    for (struct sld_xds_early *m; (m = next_early(s));)
        sld_xfree(m);
    sld_list_remove(&s->view_link);
    sld_list_remove(&s->link);
    if (s->build)
        s->build->streams--;
    sld_buf_fini(&s->foreign);
    drop(&s->peer);
    drop(&s->node_id);
    drop(&s->role);
    s->magic = 0;
    sld_xfree(s);
    tell_clients(x);
}

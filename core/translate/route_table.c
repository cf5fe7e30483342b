// Route tables: one per listener, assembled from encoded virtual hosts (design section 5).
#include "translate/inside.h"

#include <stdlib.h>

#include "envoy/config/route/v3/route.pb-c.h"

// Tag and wire type of RouteConfiguration.virtual_hosts.
enum { VIRTUAL_HOSTS_TAG = 2 << 3 | 2 };

// The head of a virtual host's bytes in its table; at most HEAD_MAX bytes.
enum { HEAD_MAX = 11 };
static struct sld_str head_of(char out[HEAD_MAX], uint64_t n)
{
    size_t at = 0;
    out[at++] = VIRTUAL_HOSTS_TAG;
    for (; n >= 0x80; n >>= 7)
        out[at++] = (char)(n | 0x80);
    out[at++] = (char)n;
    return sld_str_n(out, at);
}

static int by_str(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

// The clusters of all hosts, sorted and distinct. Equal names are the same: the rows have them from
// the flow.
static struct sld_str *clusters_of(struct tr *tr, const struct sld_hit *hits, size_t n,
                                   size_t *count)
{
    struct sld_umap seen = {0};
    struct sld_str *out = NULL;
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tr_vhost_row *v = hits[i].value;
        for (size_t k = 0; k < v->cluster_count; k++) {
            uint64_t name = (uint64_t)(uintptr_t)v->clusters[k].p;
            if (sld_umap_has(&seen, name))
                continue;
            sld_umap_set(&seen, name, tr);
            SLD_PUSH(tr->arena, out, *count, v->clusters[k]);
        }
    }
    sld_umap_fini(&seen);
    if (*count)
        qsort(out, *count, sizeof(*out), by_str);
    return out;
}

static void emit_table(struct tr *tr, const struct tr_gateway *g, const struct tr_bind *b,
                       const struct sld_hit *hits, size_t n)
{
    Env__Route__RouteConfiguration *rc =
        SLD_MSG(tr->arena, Env__Route__RouteConfiguration, env__route__route_configuration);
    struct sld_str name = sld_arena_fmt(tr->arena, "%.*s-routes", SLD_FMT(b->name));
    rc->name = SLD_MSG_STR(tr->arena, name);
    struct sld_str head = sld_msg_encode(tr->arena, &rc->base);
    struct sld_out proto = {.type = SLD_OUT_ROUTE, .view = b->view, .name = name};
    char h[HEAD_MAX];
    size_t bytes = head.n;
    for (size_t i = 0; i < n; i++) {
        const struct tr_vhost_row *v = hits[i].value;
        proto.secret |= v->secret;
        if (v->bytes.n)
            bytes += head_of(h, v->bytes.n).n + v->bytes.n;
    }
    proto.clusters = clusters_of(tr, hits, n, &proto.cluster_count);
    struct sld_out *out = tr_out_create(&proto, bytes, 1);
    tr_out_add(out, head);
    for (size_t i = 0; i < n; i++) {
        const struct tr_vhost_row *v = hits[i].value;
        if (!v->bytes.n)
            continue;
        tr_out_add(out, head_of(h, v->bytes.n));
        tr_out_add(out, v->bytes);
    }
    SLD_INV(out->bytes.n == bytes);
    struct tr of = {.t = tr->t, .ctx = tr->ctx, .arena = tr->arena};
    tr_use(&of, g->key);
    tr_emit_row(&of, sld_flow_key(tr->t->flow, tr_out_key(tr->arena, SLD_OUT_ROUTE, b->view, name)),
                out);
}

void tr_step_out_routes(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct tr_gateway *g = in;
    if (g->gw->gateway_type_case != GLOO__GATEWAY__GATEWAY_TYPE_HTTP_GATEWAY)
        return;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    if (!tr_gateway_live(&tr, key))
        return;
    size_t n;
    const struct sld_hit *hits = sld_ctx_lookup(ctx, tr.t->placed_by_gateway, key, &n);
    for (size_t i = 0; i < g->bind_count; i++) {
        if (!g->binds[i].lost)
            emit_table(&tr, g, &g->binds[i], hits, n);
    }
}

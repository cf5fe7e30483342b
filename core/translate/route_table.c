// Route tables: one per listener, assembled from encoded virtual hosts (design section 5).
#include "translate/inside.h"

#include <stdlib.h>

#include "envoy/config/route/v3/route.pb-c.h"

// Tag and wire type of RouteConfiguration.virtual_hosts.
enum { VIRTUAL_HOSTS_TAG = 2 << 3 | 2 };

static void add_varint(struct sld_buf *b, uint64_t v)
{
    while (v >= 0x80) {
        sld_buf_addc(b, (char)(v | 0x80));
        v >>= 7;
    }
    sld_buf_addc(b, (char)v);
}

static int by_str(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

// The clusters of all hosts, sorted and distinct; ids tell equal names apart without comparing them.
static struct sld_str *clusters_of(struct tr *tr, const struct sld_hit *hits, size_t n, size_t *count)
{
    struct sld_umap seen = {0};
    struct sld_str *out = NULL;
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tr_vhost_row *v = hits[i].value;
        for (size_t k = 0; k < v->cluster_count; k++) {
            sld_id id = sld_flow_key(tr->t->flow, v->clusters[k]);
            if (sld_umap_has(&seen, id))
                continue;
            sld_umap_set(&seen, id, tr);
            SLD_PUSH(tr->arena, out, *count, v->clusters[k]);
        }
    }
    sld_umap_fini(&seen);
    if (*count)
        qsort(out, *count, sizeof(*out), by_str);
    return out;
}

static void emit_table(struct tr *tr, const struct tr_gateway *g, const struct tr_bind *b, const struct sld_hit *hits, size_t n)
{
    Env__Route__RouteConfiguration *rc = SLD_MSG(tr->arena, Env__Route__RouteConfiguration, env__route__route_configuration);
    struct sld_str name = sld_arena_fmt(tr->arena, "%.*s-routes", SLD_FMT(b->name));
    rc->name = SLD_MSG_STR(tr->arena, name);
    struct sld_str head = sld_msg_encode(tr->arena, &rc->base);
    struct sld_out proto = {.type = SLD_OUT_ROUTE, .view = b->view, .name = name};
    size_t bytes = head.n;
    for (size_t i = 0; i < n; i++) {
        const struct tr_vhost_row *v = hits[i].value;
        bytes += v->bytes.n + 8;
        proto.secret |= v->secret;
    }
    struct sld_buf buf;
    sld_buf_init(&buf, bytes);
    sld_buf_add(&buf, head);
    for (size_t i = 0; i < n; i++) {
        const struct tr_vhost_row *v = hits[i].value;
        if (!v->bytes.n)
            continue;
        sld_buf_addc(&buf, VIRTUAL_HOSTS_TAG);
        add_varint(&buf, v->bytes.n);
        sld_buf_add(&buf, v->bytes);
    }
    SLD_INV(!buf.full);
    proto.clusters = clusters_of(tr, hits, n, &proto.cluster_count);
    struct sld_out *out = tr_out_create(&proto, sld_buf_str(&buf));
    if (proto.secret && buf.n)
        sld_wipe(buf.p, buf.n);
    sld_buf_fini(&buf);
    struct tr of = {.t = tr->t, .ctx = tr->ctx, .arena = tr->arena};
    tr_use(&of, g->key);
    tr_emit_row(&of, sld_flow_key(tr->t->flow, tr_out_key(tr->arena, SLD_OUT_ROUTE, b->view, name)), out);
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

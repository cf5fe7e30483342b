// What a step may do: read lower tables and claim rows of its own.
#include "flow/inside.h"

// The task that runs; T must rank below it.
static struct task *ctx_task(struct sld_ctx *ctx, const struct sld_table *t)
{
    SLD_PRE(ctx->task);
    SLD_PRE(t->flow == ctx->flow && t->rank < ctx->task->table->rank);
    return ctx->task;
}

const void *sld_ctx_get(struct sld_ctx *ctx, struct sld_table *t, sld_id key)
{
    struct task *task = ctx_task(ctx, t);
    struct node *n = flow_node_get(t, key);
    flow_probe_record(task, &n->probe, SLD_READ_ROW);
    return n->value;
}

bool sld_ctx_has(struct sld_ctx *ctx, struct sld_table *t, sld_id key)
{
    struct task *task = ctx_task(ctx, t);
    struct node *n = flow_node_get(t, key);
    flow_probe_record(task, &n->probe, SLD_READ_EXISTS);
    return n->value != NULL;
}

const struct sld_hit *sld_ctx_lookup(struct sld_ctx *ctx, struct sld_index *i, sld_id entry,
                                     size_t *n)
{
    struct task *task = ctx_task(ctx, i->table);
    SLD_PRE(entry != 0);
    struct entry *e = flow_entry_get(i, entry);
    flow_probe_record(task, &e->probe, SLD_READ_ENTRY);
    *n = e->hits.n;
    return e->hits.v;
}

const struct sld_hit *sld_ctx_all(struct sld_ctx *ctx, struct sld_table *t, size_t *n)
{
    struct task *task = ctx_task(ctx, t);
    flow_probe_record(task, &t->probe, SLD_READ_TABLE);
    if (!t->all_kept) {
        size_t at = 0;
        for (struct sld_umap_slot *s; (s = sld_umap_next(&t->nodes, &at));) {
            struct node *row = s->value;
            if (row->value)
                flow_hits_add(&t->all, row->key, row->value);
        }
        flow_hits_settle(t->flow, &t->all);
        t->all_kept = true;
    }
    *n = t->all.n;
    return t->all.v;
}

void sld_ctx_emit(struct sld_ctx *ctx, sld_id key, void *value)
{
    SLD_PRE(ctx->task && value);
    SLD_PRE(!sld_hash_zero(((struct sld_obj *)value)->hash));
    struct claim *c = flow_claim_get(ctx->task, flow_node_get(ctx->task->table, key));
    SLD_UNREF(c->fresh);
    c->fresh = value;
}

struct sld_flow *sld_ctx_flow(struct sld_ctx *ctx)
{
    return ctx->flow;
}

struct sld_arena *sld_ctx_scratch(struct sld_ctx *ctx)
{
    SLD_PRE(ctx->task);
    return &ctx->scratch;
}

// What a step may do: read lower tables and claim rows of its own.
#include "flow/inside.h"

// The task that runs; T must rank below it.
static struct task *ctx_task(struct sld_ctx *ctx, const struct sld_table *t)
{
    SLD_PRE(ctx->task);
    SLD_PRE(t->flow == ctx->flow && t->rank < ctx->task->table);
    return ctx->task;
}

// Whether T is a parent of the running task's join: what changes there runs it in any case.
static bool drives(const struct task *task, const struct sld_table *t, sld_id key)
{
    const struct sld_table *own = t->flow->tables[task->table];
    if (key != task->key)
        return false;
    for (size_t i = 0; i < own->parents_n; i++) {
        if (own->parents[i] == t)
            return true;
    }
    return false;
}

const void *sld_ctx_get(struct sld_ctx *ctx, struct sld_table *t, sld_id key)
{
    struct task *task = ctx_task(ctx, t);
    if (drives(task, t, key)) {
        const struct node *n = flow_idtab_get(&t->nodes, key);
        return n ? n->value : NULL;
    }
    struct node *n = flow_node_get(t, key);
    flow_probe_record(ctx, &n->probe, SLD_READ_ROW);
    return n->value;
}

bool sld_ctx_has(struct sld_ctx *ctx, struct sld_table *t, sld_id key)
{
    struct task *task = ctx_task(ctx, t);
    if (drives(task, t, key))
        return sld_ctx_get(ctx, t, key) != NULL;
    struct node *n = flow_node_get(t, key);
    flow_probe_record(ctx, &n->probe, SLD_READ_EXISTS);
    return n->value != NULL;
}

const struct sld_hit *sld_ctx_lookup(struct sld_ctx *ctx, struct sld_index *i, sld_id entry,
                                     size_t *n)
{
    SLD_PRE(ctx->task);
    SLD_PRE(i->flow == ctx->flow && i->rank < ctx->task->table && entry != 0);
    struct entry *e = flow_entry_get(i, entry);
    flow_probe_record(ctx, &e->probe, SLD_READ_ENTRY);
    return flow_entry_rows(ctx->flow, &ctx->scratch, e, n);
}

const struct sld_hit *sld_ctx_all(struct sld_ctx *ctx, struct sld_table *t, size_t *n)
{
    (void)ctx_task(ctx, t);
    flow_probe_record(ctx, &t->probe, SLD_READ_TABLE);
    if (!t->all_kept) {
        size_t at = 0;
        for (const struct node *row; (row = flow_idtab_next(&t->nodes, &at));) {
            if (row->value)
                flow_hits_add(&t->all, (struct sld_hit){row->key, t->rank, row->value});
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
    struct sld_flow *f = ctx->flow;
    struct sld_table *t = f->tables[ctx->task->table];
    if (t->single) {
        SLD_PRE(key == ctx->task->key);
        SLD_UNREF(ctx->fresh);
        ctx->fresh = value;
        return;
    }
    struct claim *c = flow_claim_get(f, ctx->task, flow_node_get(t, key));
    if (!c->fresh) {
        SLD_INV(ctx->emitted_n < UINT32_MAX);
        FLOW_GROW(ctx->emitted, ctx->emitted_n, ctx->emitted_cap);
        ctx->emitted[ctx->emitted_n++] = NULL;
        c->fresh = ctx->emitted_n;
    }
    SLD_UNREF(ctx->emitted[c->fresh - 1]);
    ctx->emitted[c->fresh - 1] = value;
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

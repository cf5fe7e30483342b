// A round: pending source rows in, one wave through the tables in rank order, watchers last.
#include "flow/inside.h"

static struct task *task_get(struct sld_table *t, sld_id key)
{
    if (t->single) {
        struct node *n = flow_node_get(t, key);
        n->tasked = true;
        return &SLD_CONTAINER_OF(n, struct single, node)->task;
    }
    struct task *task = flow_idtab_get(&t->tasks, key);
    if (!task) {
        task = flow_pool_new(&t->flow->tasks);
        task->table = t->rank;
        task->key = key;
        flow_idtab_add(&t->tasks, task);
    }
    return task;
}

// Whether VALUE, of a parent of T, is a row to T.
static bool counts(const struct sld_table *t, const void *value)
{
    return value && (!t->filter || t->filter(value));
}

// Row N becomes NEW_VALUE (a reference is taken), and all that depends on it is marked.
static void node_change(struct sld_table *t, struct node *n, struct sld_obj *new_value)
{
    struct sld_flow *f = t->flow;
    struct sld_obj *old = n->value;
    SLD_INV(!n->held); // a row changes once per round
    n->held = true;
    FLOW_GROW(f->changes, f->changes_n, f->changes_cap);
    f->changes[f->changes_n++] = (struct change){n, old};
    n->value = sld_obj_ref(new_value);
    f->moved = n;
    flow_probe_wake(f, &n->probe, old && new_value);
    flow_index_change(t, n, old, new_value);
    for (struct child *c = t->children; c; c = c->next) {
        if (counts(c->table, old) || counts(c->table, new_value))
            flow_task_mark(f, task_get(c->table, n->key));
    }
}

// Settles the touched nodes of T; returns how many rows changed.
static size_t table_settle(struct sld_table *t)
{
    size_t changed = 0;
    for (size_t i = 0; i < t->touched_n; i++) {
        struct node *n = t->touched[i].node;
        bool pends = flow_node_pends(t);
        struct claim *owner = pends ? NULL : flow_claim_first(t->flow, n);
        struct sld_obj *value = pends ? t->touched[i].pending : owner ? owner->value : NULL;
        SLD_INV(n->touched && (!owner || value));
        n->touched = false;
        bool same = n->value && value ? sld_hash_eq(n->value->hash,
                                                    value->hash) : n->value == value;
        if (!same) {
            if (t->step)
                t->rows = t->rows + (value != NULL) - (n->value != NULL);
            node_change(t, n, value);
            changed++;
        }
        SLD_UNREF(t->touched[i].pending);
        flow_node_drop(t->flow, n);
    }
    t->touched_n = 0;
    FLOW_SHRINK(t->touched, t->touched_cap);
    flow_index_settle(t);
    return changed;
}

static const void *parent_value(const struct sld_table *parent, sld_id key)
{
    const struct node *n = flow_idtab_get(&parent->nodes, key);
    return n ? n->value : NULL;
}

static bool task_lives(const struct sld_table *t, const struct task *task)
{
    for (size_t i = 0; i < t->parents_n; i++) {
        if (counts(t, parent_value(t->parents[i], task->key)))
            return true;
    }
    return false;
}

// After the step of single table T: what it emitted, or nothing, is what row N shall be. True when that
// is a change.
static bool single_commit(struct sld_table *t, struct node *n)
{
    struct sld_obj *fresh = t->flow->ctx.fresh;
    t->flow->ctx.fresh = NULL;
    if (n->value && fresh ? sld_hash_eq(n->value->hash, fresh->hash) : n->value == fresh) {
        SLD_UNREF(fresh);
        return false;
    }
    flow_node_touch(t->flow, n, fresh);
    return true;
}

static bool task_commit(struct sld_table *t, struct task *task)
{
    if (t->single)
        return single_commit(t, &SLD_CONTAINER_OF(task, struct single, task)->node);
    return flow_claim_commit(t->flow, task);
}

// TASK, whose parent row is gone and who claims nothing any more.
static void task_end(struct sld_table *t, struct task *task)
{
    if (t->single) {
        struct node *n = &SLD_CONTAINER_OF(task, struct single, task)->node;
        n->tasked = false;
        flow_node_drop(t->flow, n);
        return;
    }
    flow_idtab_remove(&t->tasks, task->key);
    flow_pool_drop(&t->flow->tasks, task);
}

static void task_run(struct sld_table *t, struct task *task, struct sld_round *round)
{
    struct sld_ctx *ctx = &t->flow->ctx;
    SLD_INV(!ctx->task);
    flow_task_forget(t->flow, task);
    bool lives = task_lives(t, task);
    if (lives) {
        ctx->task = task;
        t->step(ctx, task->key, t->join ? NULL : parent_value(t->parents[0], task->key), t->user);
        flow_task_keep(ctx);
        ctx->task = NULL;
        sld_arena_reset(&ctx->scratch);
        t->computed++;
        round->computed++;
    }
    bool changed = task_commit(t, task);
    if (lives) {
        t->cut += !changed;
        round->cut += !changed;
        return;
    }
    task_end(t, task);
}

// Runs the marked tasks of T. None is marked meanwhile: nothing changes that they could have read.
static void table_run(struct sld_table *t, struct sld_round *round)
{
    size_t n = t->dirty_n;
    for (size_t i = 0; i < n; i++) {
        SLD_INV(t->dirty[i]->dirty);
        t->dirty[i]->dirty = false;
        task_run(t, t->dirty[i], round);
    }
    SLD_INV(t->dirty_n == n);
    t->dirty_n = 0;
    FLOW_SHRINK(t->dirty, t->dirty_cap);
}

static void round_tell(struct sld_flow *f)
{
    for (size_t i = 0; i < f->changes_n; i++) {
        struct node *n = f->changes[i].node;
        struct sld_table *t = f->tables[n->table];
        if (t->watch)
            t->watch(t, n->key, f->changes[i].old, n->value, t->watch_user);
    }
    for (size_t i = 0; i < f->changes_n; i++) {
        SLD_UNREF(f->changes[i].old);
        f->changes[i].node->held = false;
        flow_node_drop(f, f->changes[i].node);
    }
    f->changes_n = 0;
    FLOW_SHRINK(f->changes, f->changes_cap);
}

// Tells whose demand changed. Nodes that lost their last reader were kept for this.
static void demand_tell(struct sld_flow *f)
{
    for (size_t i = 0; i < f->asked_n; i++) {
        struct node *n = f->asked[i];
        struct sld_table *t = f->tables[n->table];
        bool wanted = n->probe.n > 0;
        n->asked = false;
        if (n->wanted != wanted) {
            n->wanted = wanted;
            t->demand(t, n->key, wanted, t->demand_user);
        }
        flow_node_drop(f, n);
    }
    f->asked_n = 0;
    FLOW_SHRINK(f->asked, f->asked_cap);
}

struct sld_round sld_flow_run(struct sld_flow *f)
{
    SLD_PRE(!f->running);
    uint64_t start_ns = sld_mono_ns();
    struct sld_round round = {.number = ++f->rounds};
    f->running = true;
    f->pending = 0;
    for (size_t i = 0; i < f->tables_n; i++) {
        struct sld_table *t = f->tables[i];
        if (t->step)
            table_run(t, &round);
        size_t changed = table_settle(t);
        if (!t->step)
            round.sources += changed;
    }
    round_tell(f);
    demand_tell(f);
    f->running = false;
    round.duration_ns = sld_mono_ns() - start_ns;
    return round;
}

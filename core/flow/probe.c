// Reads and readers: both ends know each other's place, so that taking back a read is O(1).
#include "flow/inside.h"

// Most readers of a probe, and most reads of a task.
enum { MOST = 0x3fffffff };

void flow_probe_fini(struct probe *p)
{
    if (p->n > 1)
        sld_xfree(p->u.many);
    p->n = 0;
}

struct reader flow_probe_reader(const struct probe *p, uint32_t i)
{
    return p->n > 1 ? p->u.many->v[i] : p->u.one;
}

static void probe_set(struct probe *p, uint32_t i, struct reader r)
{
    if (p->n > 1)
        p->u.many->v[i] = r;
    else
        p->u.one = r;
}

static struct readers *readers_sized(struct readers *rs, uint32_t cap)
{
    rs = sld_xrealloc(rs, sizeof(*rs) + cap * sizeof(rs->v[0]));
    rs->cap = cap;
    return rs;
}

static void probe_add(struct probe *p, struct reader r)
{
    if (p->n == 1) {
        struct readers *rs = readers_sized(NULL, 2);
        rs->v[0] = p->u.one;
        p->u.many = rs;
    } else if (p->n > 1 && p->n == p->u.many->cap) {
        p->u.many = readers_sized(p->u.many, FLOW_GROWN(p->n));
    }
    p->n++;
    probe_set(p, p->n - 1, r);
}

// Takes away the reader in place I; the last one moves there.
static void probe_remove(const struct slabs *all, struct probe *p, uint32_t i)
{
    struct reader last = flow_probe_reader(p, p->n - 1);
    if (i < p->n - 1) {
        probe_set(p, i, last);
        flow_task_reads(flow_at(all, last.task))[last.idx].pos = i & MOST;
    }
    if (p->n == 2) {
        struct readers *rs = p->u.many;
        p->n = 1;
        p->u.one = rs->v[0];
        sld_xfree(rs);
        return;
    }
    p->n--;
}

static bool of_node(uint8_t kind)
{
    return kind == SLD_READ_ROW || kind == SLD_READ_EXISTS;
}

void flow_probe_record(struct sld_ctx *ctx, struct probe *p, enum sld_read_kind kind)
{
    bool exists_only = kind == SLD_READ_EXISTS;
    // The old reads were taken back and only this task reads now: its read of P is the last one, or
    // not there.
    struct reader last = p->n ? flow_probe_reader(p, p->n - 1) : (struct reader){0};
    flow_ref task = flow_ref_of(ctx->task);
    if (last.task == task) {
        if (last.exists_only && !exists_only) {
            last.exists_only = 0;
            probe_set(p, p->n - 1, last);
            ctx->reads[last.idx].kind = kind & 3;
        }
        return;
    }
    SLD_INV(p->n < MOST && ctx->reads_n < MOST);
    FLOW_GROW(ctx->reads, ctx->reads_n, ctx->reads_cap);
    ctx->reads[ctx->reads_n] = (struct read){flow_ref_of(p), p->n & MOST, kind & 3};
    probe_add(p, (struct reader){task, ctx->reads_n & MOST, exists_only});
    ctx->reads_n++;
    if (p->n == 1 && of_node((uint8_t)kind))
        flow_node_asked(ctx->flow, SLD_CONTAINER_OF(p, struct node, probe));
}

struct read *flow_task_reads(struct task *task)
{
    return task->reads_n > 1 ? task->reads.many : &task->reads.one;
}

void flow_task_keep(struct sld_ctx *ctx)
{
    struct task *task = ctx->task;
    size_t bytes = ctx->reads_n * sizeof(struct read);
    SLD_INV(task->reads_n == 0);
    task->reads_n = ctx->reads_n;
    if (task->reads_n > 1)
        task->reads.many = task->reads_n <= FLOW_READS_POOLED ? flow_pool_new(&ctx->flow->reads[task->reads_n]) : sld_xalloc(bytes);
    if (bytes)
        memcpy(flow_task_reads(task), ctx->reads, bytes);
    ctx->reads_n = 0;
}

void flow_task_drop_reads(struct sld_flow *f, struct task *task)
{
    if (task->reads_n > FLOW_READS_POOLED)
        sld_xfree(task->reads.many);
    else if (task->reads_n > 1)
        flow_pool_drop(&f->reads[task->reads_n], task->reads.many);
    task->reads_n = 0;
}

static void probe_drop(struct sld_flow *f, struct probe *p, uint8_t kind)
{
    if (kind == SLD_READ_ENTRY)
        flow_entry_drop(f, SLD_CONTAINER_OF(p, struct entry, probe));
    if (!of_node(kind))
        return;
    struct node *n = SLD_CONTAINER_OF(p, struct node, probe);
    flow_node_asked(f, n);
    flow_node_drop(f, n);
}

void flow_task_forget(struct sld_flow *f, struct task *task)
{
    const struct slabs *all = &f->slabs;
    struct read *reads = flow_task_reads(task);
    flow_ref own = flow_ref_of(task);
    for (uint32_t i = 0; i < task->reads_n; i++) {
        struct read *r = &reads[i];
        struct probe *p = flow_at(all, r->probe);
        SLD_INV(r->pos < p->n);
        struct reader me = flow_probe_reader(p, r->pos);
        SLD_INV(me.task == own && me.idx == i);
        probe_remove(all, p, r->pos);
        if (p->n == 0)
            probe_drop(f, p, (uint8_t)r->kind);
    }
    flow_task_drop_reads(f, task);
}

void flow_task_mark(struct sld_flow *f, struct task *task)
{
    struct sld_table *t = f->tables[task->table];
    if (task->dirty)
        return;
    task->dirty = true;
    f->causes[f->causes_n++ % FLOW_CAUSES] =
        (struct cause){(uint32_t)f->rounds, task->key, f->moved->key, task->table, f->moved->table};
    FLOW_GROW(t->dirty, t->dirty_n, t->dirty_cap);
    t->dirty[t->dirty_n++] = task;
}

void flow_probe_wake(struct sld_flow *f, const struct probe *p, bool existed_too)
{
    for (uint32_t i = 0; i < p->n; i++) {
        struct reader r = flow_probe_reader(p, i);
        if (!(existed_too && r.exists_only))
            flow_task_mark(f, flow_at(&f->slabs, r.task));
    }
}

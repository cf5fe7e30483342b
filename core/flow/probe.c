// Reads and readers: both ends know each other's place, so that taking back a read is O(1).
#include "flow/inside.h"

void flow_probe_record(struct task *task, struct probe *p, enum sld_read_kind kind)
{
    bool exists_only = kind == SLD_READ_EXISTS;
    // The old reads were taken back and only this task reads now: its read of P is the last one, or
    // not there.
    if (p->n > 0 && p->v[p->n - 1].task == task) {
        struct reader *r = &p->v[p->n - 1];
        if (r->exists_only && !exists_only) {
            r->exists_only = false;
            task->reads[r->idx].kind = (uint8_t)kind;
        }
        return;
    }
    SLD_INV(p->n < UINT32_MAX / 2 && task->reads_n < UINT32_MAX / 2);
    FLOW_GROW(p->v, p->n, p->cap);
    FLOW_GROW(task->reads, task->reads_n, task->reads_cap);
    p->v[p->n] = (struct reader){task, task->reads_n, exists_only};
    task->reads[task->reads_n++] = (struct read){p, p->n++, (uint8_t)kind};
}

static void probe_drop(struct probe *p, uint8_t kind)
{
    sld_xfree(p->v);
    *p = (struct probe){0};
    if (kind == SLD_READ_ENTRY)
        flow_entry_drop(SLD_CONTAINER_OF(p, struct entry, probe));
    else if (kind != SLD_READ_TABLE)
        flow_node_drop(SLD_CONTAINER_OF(p, struct node, probe));
}

void flow_task_forget(struct task *task)
{
    for (uint32_t i = 0; i < task->reads_n; i++) {
        struct read *r = &task->reads[i];
        struct probe *p = r->p;
        SLD_INV(r->pos < p->n && p->v[r->pos].task == task && p->v[r->pos].idx == i);
        struct reader last = p->v[--p->n];
        if (r->pos < p->n) {
            p->v[r->pos] = last;
            last.task->reads[last.idx].pos = r->pos;
        }
        if (p->n == 0)
            probe_drop(p, r->kind);
    }
    task->reads_n = 0;
}

void flow_task_mark(struct task *task)
{
    struct sld_table *t = task->table;
    if (task->dirty)
        return;
    task->dirty = true;
    FLOW_GROW(t->dirty, t->dirty_n, t->dirty_cap);
    t->dirty[t->dirty_n++] = task;
}

void flow_probe_wake(const struct probe *p, bool existed_too)
{
    for (uint32_t i = 0; i < p->n; i++) {
        if (!(existed_too && p->v[i].exists_only))
            flow_task_mark(p->v[i].task);
    }
}

// Looking at a flow from outside: owners, reads, counters, and the oracle.
#include "flow/inside.h"

sld_id sld_flow_owner(const struct sld_table *t, sld_id key)
{
    SLD_PRE(t->step && !t->flow->ctx.task);
    const struct node *n = flow_idtab_get(&t->nodes, key);
    if (t->single)
        return n && n->value ? key : 0;
    const struct claim *c = n ? flow_claim_first(t->flow, n) : NULL;
    return c ? flow_claim_key(t->flow, c) : 0;
}

void sld_flow_lost(const struct sld_table *t, sld_lost_fn *fn, void *arg)
{
    SLD_PRE(t->step && !t->flow->ctx.task);
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->contested, &at));) {
        const struct claims *cs = s->value;
        for (uint32_t i = 1; i < cs->n; i++)
            fn((sld_id)s->key, flow_claim_key(t->flow, cs->v[i]), flow_claim_key(t->flow, cs->v[0]), arg);
    }
}

static void read_tell(const struct sld_flow *f, const struct read *r, sld_read_fn *fn, void *arg)
{
    struct probe *p = flow_at(&f->slabs, r->probe);
    if (r->kind == SLD_READ_ENTRY) {
        const struct entry *e = SLD_CONTAINER_OF(p, struct entry, probe);
        fn(SLD_READ_ENTRY, f->indexes[e->index]->name, e->key, arg);
    } else if (r->kind == SLD_READ_TABLE) {
        fn(SLD_READ_TABLE, SLD_CONTAINER_OF(p, struct sld_table, probe)->name, 0, arg);
    } else {
        const struct node *n = SLD_CONTAINER_OF(p, struct node, probe);
        fn((enum sld_read_kind)r->kind, f->tables[n->table]->name, n->key, arg);
    }
}

void sld_flow_reads(const struct sld_table *t, sld_id parent_key, sld_read_fn *fn, void *arg)
{
    SLD_PRE(!t->flow->ctx.task);
    struct single *own = t->single ? flow_idtab_get(&t->nodes, parent_key) : NULL;
    struct task *task = own ? &own->task : flow_idtab_get(&t->tasks, parent_key);
    for (uint32_t i = 0; task && i < task->reads_n; i++)
        read_tell(t->flow, &flow_task_reads(task)[i], fn, arg);
}

void sld_flow_readers(const struct sld_table *t, sld_id key, const struct sld_table *of, sld_reader_fn *fn, void *arg)
{
    SLD_PRE(of->step && !t->flow->ctx.task);
    const struct node *n = flow_idtab_get(&t->nodes, key);
    for (uint32_t i = 0; n && i < n->probe.n; i++) {
        const struct task *task = flow_at(&t->flow->slabs, flow_probe_reader(&n->probe, i).task);
        if (task->table == of->rank)
            fn(task->key, arg);
    }
}

// ---- Tracing ----

struct place {
    uint16_t table;
    sld_id key;
};

struct trace {
    const struct sld_flow *f;
    struct place rows[SLD_TRACE_MAX]; // whose steps are looked for
    size_t row_count;
    size_t told;
    sld_trace_fn *fn;
    void *arg;
};

static void trace_row(struct trace *tr, uint16_t table, sld_id key)
{
    if (tr->row_count < SLD_TRACE_MAX)
        tr->rows[tr->row_count++] = (struct place){table, key};
}

static void cause_find(const struct sld_flow *f, const struct sld_table *t, sld_id key, struct sld_trace *out)
{
    size_t n = f->causes_n < FLOW_CAUSES ? f->causes_n : FLOW_CAUSES;
    for (size_t i = 1; i <= n; i++) {
        const struct cause *c = &f->causes[(f->causes_n - i) % FLOW_CAUSES];
        if (c->table != t->rank || c->key != key)
            continue;
        out->round = c->round;
        out->cause_table = f->tables[c->cause_table]->name;
        out->cause_key = c->cause_key;
        return;
    }
}

// The rows of T that the task of parent row KEY owns; false: there is no such task.
static bool made_by(const struct sld_table *t, sld_id key, struct ids *out)
{
    out->n = 0;
    const struct single *own = t->single ? flow_idtab_get(&t->nodes, key) : NULL;
    const struct task *task = t->single ? NULL : flow_idtab_get(&t->tasks, key);
    if (own && own->node.value) {
        FLOW_GROW(out->v, out->n, out->cap);
        out->v[out->n++] = key;
    }
    for (flow_ref at = task ? task->claims : 0; at;) {
        const struct claim *c = flow_at(&t->flow->slabs, at);
        const struct node *n = flow_at(&t->flow->slabs, c->node);
        at = c->next;
        if (flow_claim_first(t->flow, n) != c)
            continue;
        FLOW_GROW(out->v, out->n, out->cap);
        out->v[out->n++] = n->key;
    }
    return own ? own->node.tasked : task != NULL;
}

static bool drives(const struct sld_table *t, uint16_t parent)
{
    for (size_t i = 0; i < t->parents_n; i++) {
        if (t->parents[i]->rank == parent)
            return true;
    }
    return false;
}

// Row AT of TR was told of as a parent row of T before: a join has several parents.
static bool told_before(const struct trace *tr, const struct sld_table *t, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (tr->rows[i].key == tr->rows[at].key && drives(t, tr->rows[i].table))
            return true;
    }
    return false;
}

static void trace_table(struct trace *tr, struct sld_table *t)
{
    struct ids made = {0};
    size_t n = tr->row_count; // what T makes are no parents of it
    for (size_t i = 0; i < n && tr->told < SLD_TRACE_MAX; i++) {
        sld_id key = tr->rows[i].key;
        if (!drives(t, tr->rows[i].table) || told_before(tr, t, i) || !made_by(t, key, &made))
            continue;
        struct sld_trace s = {.table = t, .parent = key, .made = made.v, .made_count = made.n};
        cause_find(tr->f, t, key, &s);
        tr->fn(&s, tr->arg);
        tr->told++;
        for (size_t k = 0; k < made.n; k++)
            trace_row(tr, t->rank, made.v[k]);
    }
    sld_xfree(made.v);
}

void sld_flow_trace(const struct sld_flow *f, sld_id key, sld_trace_fn *fn, void *arg)
{
    SLD_PRE(!f->ctx.task);
    struct trace *tr = SLD_NEW(struct trace);
    tr->f = f;
    tr->fn = fn;
    tr->arg = arg;
    for (size_t i = 0; i < f->tables_n; i++) {
        const struct node *n = flow_idtab_get(&f->tables[i]->nodes, key);
        if (!f->tables[i]->step && n && n->value)
            trace_row(tr, f->tables[i]->rank, key);
    }
    for (size_t i = 0; i < f->tables_n; i++) {
        if (f->tables[i]->step)
            trace_table(tr, f->tables[i]);
    }
    sld_xfree(tr);
}

size_t sld_flow_stats(const struct sld_flow *f, struct sld_table_stats *out, size_t max)
{
    for (size_t i = 0; i < f->tables_n && i < max; i++) {
        const struct sld_table *t = f->tables[i];
        out[i] = (struct sld_table_stats){t->name, t->rank, t->rows, t->computed, t->cut};
    }
    return f->tables_n;
}

static void copy_sources(struct sld_flow *from, struct sld_flow *to)
{
    for (size_t i = 0; i < from->tables_n; i++) {
        if (from->tables[i]->step)
            continue;
        size_t at = 0;
        sld_id key;
        const void *value;
        while (sld_flow_next(from->tables[i], &at, &key, &value))
            sld_flow_set(to->tables[i], sld_flow_key(to, sld_flow_key_str(from, key)),
                         (void *)(uintptr_t)value);
    }
}

static enum sld_rc compare_table(struct sld_table *a, struct sld_table *b, struct sld_err *err)
{
    struct sld_flow *f = a->flow;
    size_t at = 0;
    sld_id key;
    const void *value;
    while (sld_flow_next(a, &at, &key, &value)) {
        struct sld_str text = sld_flow_key_str(f, key);
        sld_id other = sld_flow_key(b->flow, text);
        const struct sld_obj *mine = value, *theirs = sld_flow_get(b, other);
        if (!theirs)
            return sld_err_set(err, SLD_INTERNAL, "%s: row %.*s is left over", a->name,
                               SLD_FMT(text));
        if (!sld_hash_eq(mine->hash, theirs->hash))
            return sld_err_set(err, SLD_INTERNAL, "%s: row %.*s is stale", a->name, SLD_FMT(text));
        if (a->step && !sld_str_eq(sld_flow_key_str(f, sld_flow_owner(a, key)),
                                   sld_flow_key_str(b->flow, sld_flow_owner(b, other))))
            return sld_err_set(err, SLD_INTERNAL, "%s: row %.*s has another owner", a->name,
                               SLD_FMT(text));
    }
    at = 0;
    while (sld_flow_next(b, &at, &key, &value)) {
        struct sld_str text = sld_flow_key_str(b->flow, key);
        if (!sld_flow_get(a, sld_flow_key(f, text)))
            return sld_err_set(err, SLD_INTERNAL, "%s: row %.*s is missing", a->name,
                               SLD_FMT(text));
    }
    return SLD_OK;
}

enum sld_rc sld_flow_verify(struct sld_flow *f, void (*build)(struct sld_flow *fresh, void *arg),
                            void *arg, struct sld_err *err)
{
    SLD_PRE(!f->running && !sld_flow_pending(f));
    struct sld_flow *fresh = sld_flow_create();
    enum sld_rc rc = SLD_OK;
    build(fresh, arg);
    SLD_PRE(fresh->tables_n == f->tables_n);
    copy_sources(f, fresh);
    sld_flow_run(fresh);
    for (size_t i = 0; i < f->tables_n && rc == SLD_OK; i++)
        rc = compare_table(f->tables[i], fresh->tables[i], err);
    sld_flow_destroy(fresh);
    return rc;
}

// Tables, keys and source rows: what the outside declares and sets.
#include "flow/inside.h"

#include <stdio.h>

struct sld_flow *sld_flow_create(void)
{
    struct sld_flow *f = SLD_NEW(struct sld_flow);
    f->keys = sld_intern_create();
    f->ctx.flow = f;
    flow_pool_init(&f->declared, &f->slabs, sizeof(struct sld_table));
    flow_pool_init(&f->nodes, &f->slabs, sizeof(struct node));
    flow_pool_init(&f->singles, &f->slabs, sizeof(struct single));
    flow_pool_init(&f->tasks, &f->slabs, sizeof(struct task));
    flow_pool_init(&f->claims, &f->slabs, sizeof(struct claim));
    flow_pool_init(&f->entries, &f->slabs, sizeof(struct entry));
    flow_pool_init(&f->hits, &f->slabs, sizeof(struct hits));
    for (size_t n = 2; n <= FLOW_READS_POOLED; n++)
        flow_pool_init(&f->reads[n], &f->slabs, n * sizeof(struct read));
    return f;
}

// What node N of T owns; the node itself is the pool's.
static void node_fini(struct node *n)
{
    SLD_UNREF(n->value);
    flow_probe_fini(&n->probe);
}

static void index_free(struct sld_index *i)
{
    size_t at = 0;
    for (struct entry *e; (e = flow_idtab_next(&i->entries, &at));) {
        flow_entry_fini(i->flow, e);
        flow_probe_fini(&e->probe);
    }
    flow_idtab_fini(&i->entries);
    sld_xfree(i->touched);
    sld_xfree(i);
}

static void table_free(struct sld_table *t)
{
    size_t at = 0;
    for (struct node *n; (n = flow_idtab_next(&t->nodes, &at));) {
        if (t->single)
            flow_task_drop_reads(t->flow, &SLD_CONTAINER_OF(n, struct single, node)->task);
        node_fini(n);
    }
    for (size_t i = 0; i < t->touched_n; i++)
        SLD_UNREF(t->touched[i].pending);
    at = 0;
    for (struct task *task; (task = flow_idtab_next(&t->tasks, &at));) {
        for (flow_ref c = task->claims; c;) {
            struct claim *claim = flow_at(&t->flow->slabs, c);
            SLD_UNREF(claim->value);
            c = claim->next;
        }
        flow_task_drop_reads(t->flow, task);
    }
    for (struct indexing *i = t->indexes, *next; i; i = next) {
        next = i->next;
        sld_xfree(i);
    }
    for (struct child *c = t->children, *next; c; c = next) {
        next = c->next;
        sld_xfree(c);
    }
    flow_idtab_fini(&t->nodes);
    flow_idtab_fini(&t->tasks);
    at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->contested, &at));)
        sld_xfree(s->value);
    sld_umap_fini(&t->contested);
    sld_xfree(t->touched);
    sld_xfree(t->dirty);
    flow_probe_fini(&t->probe);
    flow_hits_fini(&t->all);
    sld_xfree(t->parents);
}

void sld_flow_destroy(struct sld_flow *f)
{
    if (!f)
        return;
    SLD_PRE(!f->running);
    for (size_t i = 0; i < f->tables_n; i++)
        table_free(f->tables[i]);
    for (size_t i = 0; i < f->indexes_n; i++)
        index_free(f->indexes[i]);
    flow_slabs_fini(&f->slabs);
    sld_xfree(f->tables);
    sld_xfree(f->indexes);
    sld_xfree(f->changes);
    sld_xfree(f->asked);
    sld_xfree(f->ids_old.v);
    sld_xfree(f->ids_new.v);
    sld_xfree(f->ctx.reads);
    sld_xfree(f->ctx.emitted);
    sld_arena_fini(&f->ctx.scratch);
    sld_intern_destroy(f->keys);
    sld_xfree(f);
}

sld_id sld_flow_key(struct sld_flow *f, struct sld_str s)
{
    return sld_intern_id(f->keys, s);
}

sld_id sld_flow_key_find(const struct sld_flow *f, struct sld_str s)
{
    return sld_intern_find(f->keys, s);
}

sld_id sld_flow_keyf(struct sld_flow *f, const char *fmt, ...)
{
    char small[256];
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    SLD_INV(n >= 0);
    sld_id id;
    if ((size_t)n < sizeof(small)) {
        id = sld_intern_id(f->keys, sld_str_n(small, (size_t)n));
    } else {
        struct sld_buf b;
        sld_buf_init(&b, 64 * 1024);
        sld_buf_vaddf(&b, fmt, again);
        SLD_PRE(!b.full);
        id = sld_intern_id(f->keys, sld_buf_str(&b));
        sld_buf_fini(&b);
    }
    va_end(again);
    return id;
}

struct sld_str sld_flow_key_str(struct sld_flow *f, sld_id id)
{
    return sld_intern_str(f->keys, id);
}

struct sld_table *sld_flow_source(struct sld_flow *f, const char *name)
{
    SLD_PRE(f->rounds == 0 && !f->running);
    struct sld_table *t = flow_pool_new(&f->declared);
    t->flow = f;
    flow_idtab_init(&t->nodes, &f->slabs);
    flow_idtab_init(&t->tasks, &f->slabs);
    t->name = name;
    SLD_INV(f->tables_n < UINT16_MAX);
    t->rank = (uint16_t)f->tables_n;
    FLOW_GROW(f->tables, f->tables_n, f->tables_cap);
    f->tables[f->tables_n++] = t;
    return t;
}

static void table_drive(struct sld_table *t, struct sld_table *parent)
{
    SLD_PRE(parent->flow == t->flow && parent->rank < t->rank);
    struct child *c = SLD_NEW(struct child);
    *c = (struct child){t, parent->children};
    parent->children = c;
    t->parents = sld_xrealloc(t->parents, (t->parents_n + 1) * sizeof(struct sld_table *));
    t->parents[t->parents_n++] = parent;
}

struct sld_table *sld_flow_derive(struct sld_flow *f, const char *name, struct sld_table *parent,
                                  sld_step *step, void *user)
{
    SLD_PRE(step);
    struct sld_table *t = sld_flow_source(f, name);
    t->step = step;
    t->user = user;
    table_drive(t, parent);
    return t;
}

void sld_flow_filter(struct sld_table *t, sld_filter_fn *fn)
{
    SLD_PRE(t->step && !t->join && !t->filter && t->flow->rounds == 0);
    t->filter = fn;
}

void sld_flow_single(struct sld_table *t)
{
    SLD_PRE(t->step && t->flow->rounds == 0 && t->nodes.n == 0);
    t->single = true;
}

struct sld_table *sld_flow_join(struct sld_flow *f, const char *name,
                                struct sld_table *const *parents,
                                sld_step *step, void *user)
{
    SLD_PRE(step && parents[0]);
    struct sld_table *t = sld_flow_source(f, name);
    t->step = step;
    t->user = user;
    t->join = true;
    for (size_t i = 0; parents[i]; i++)
        table_drive(t, parents[i]);
    return t;
}

struct sld_index *sld_flow_index(struct sld_flow *f, const char *name, struct sld_table *table,
                                 sld_index_fn *fn, void *user)
{
    SLD_PRE(table->flow == f && fn && f->indexes_n < UINT16_MAX);
    struct sld_index *i = SLD_NEW(struct sld_index);
    *i = (struct sld_index){
        .name = name, .flow = f, .number = (uint16_t)f->indexes_n, .fn = fn, .user = user};
    flow_idtab_init(&i->entries, &f->slabs);
    FLOW_GROW(f->indexes, f->indexes_n, f->indexes_cap);
    f->indexes[f->indexes_n++] = i;
    sld_flow_index_add(i, table);
    return i;
}

void sld_flow_index_add(struct sld_index *i, struct sld_table *table)
{
    SLD_PRE(table->flow == i->flow && i->flow->rounds == 0);
    struct indexing *it = SLD_NEW(struct indexing);
    *it = (struct indexing){i, table->indexes};
    table->indexes = it;
    if (table->rank > i->rank)
        i->rank = table->rank;
}

void sld_flow_watch(struct sld_table *t, sld_watch_fn *fn, void *user)
{
    SLD_PRE(t->flow->rounds == 0 && !t->watch);
    t->watch = fn;
    t->watch_user = user;
}

void sld_flow_demand(struct sld_table *t, sld_demand_fn *fn, void *user)
{
    SLD_PRE(t->flow->rounds == 0 && !t->demand);
    t->demand = fn;
    t->demand_user = user;
}

struct node *flow_node_get(struct sld_table *t, sld_id key)
{
    SLD_PRE(key != 0);
    struct node *n = flow_idtab_get(&t->nodes, key);
    if (!n) {
        if (t->single) {
            struct single *s = flow_pool_new(&t->flow->singles);
            s->task.table = t->rank;
            s->task.key = key;
            n = &s->node;
        } else {
            n = flow_pool_new(&t->flow->nodes);
        }
        n->table = t->rank;
        n->key = key;
        flow_idtab_add(&t->nodes, n);
    }
    return n;
}

bool flow_node_pends(const struct sld_table *t)
{
    return !t->step || t->single;
}

void flow_node_drop(struct sld_flow *f, struct node *n)
{
    struct sld_table *t = f->tables[n->table];
    if (n->value || n->touched || n->held || n->asked || n->tasked || n->probe.n > 0)
        return;
    if (!flow_node_pends(t) && flow_claim_count(f, n) > 0)
        return;
    flow_idtab_remove(&t->nodes, n->key);
    node_fini(n);
    if (t->single)
        flow_pool_drop(&f->singles, SLD_CONTAINER_OF(n, struct single, node));
    else
        flow_pool_drop(&f->nodes, n);
}

void flow_node_touch(struct sld_flow *f, struct node *n, struct sld_obj *pending)
{
    struct sld_table *t = f->tables[n->table];
    if (!n->touched) {
        n->touched = true;
        FLOW_GROW(t->touched, t->touched_n, t->touched_cap);
        SLD_INV(t->touched_n < UINT32_MAX);
        if (flow_node_pends(t))
            n->probe.own = (uint32_t)t->touched_n;
        t->touched[t->touched_n++] = (struct touched){n, pending};
    } else if (flow_node_pends(t)) {
        struct touched *at = &t->touched[n->probe.own];
        SLD_UNREF(at->pending);
        at->pending = pending;
    }
}

void flow_node_asked(struct sld_flow *f, struct node *n)
{
    if (n->asked || !f->tables[n->table]->demand)
        return;
    n->asked = true;
    FLOW_GROW(f->asked, f->asked_n, f->asked_cap);
    f->asked[f->asked_n++] = n;
}

// What the outside sees of a row: of a source table the pending value.
static struct sld_obj *node_seen(const struct sld_table *t, const struct node *n)
{
    return !t->step && n->touched ? t->touched[n->probe.own].pending : n->value;
}

static void source_put(struct sld_table *t, struct node *n, struct sld_obj *value)
{
    t->rows = t->rows + (value != NULL) - (node_seen(t, n) != NULL);
    t->flow->pending += !n->touched;
    flow_node_touch(t->flow, n, value);
}

void sld_flow_set(struct sld_table *t, sld_id key, void *value)
{
    SLD_PRE(!t->step && value && !t->flow->ctx.task);
    SLD_PRE(!sld_hash_zero(((struct sld_obj *)value)->hash));
    source_put(t, flow_node_get(t, key), sld_obj_ref(value));
}

void sld_flow_delete(struct sld_table *t, sld_id key)
{
    SLD_PRE(!t->step && !t->flow->ctx.task);
    struct node *n = flow_idtab_get(&t->nodes, key);
    if (n && node_seen(t, n))
        source_put(t, n, NULL);
}

const void *sld_flow_get(const struct sld_table *t, sld_id key)
{
    SLD_PRE(!t->flow->ctx.task);
    const struct node *n = flow_idtab_get(&t->nodes, key);
    return n ? node_seen(t, n) : NULL;
}

bool sld_flow_changed(const struct sld_table *t, sld_id key)
{
    SLD_PRE(!t->step && !t->flow->ctx.task);
    const struct node *n = flow_idtab_get(&t->nodes, key);
    return n && n->touched;
}

bool sld_flow_has_readers(const struct sld_table *t, sld_id key)
{
    SLD_PRE(!t->flow->ctx.task);
    const struct node *n = flow_idtab_get(&t->nodes, key);
    return n && n->probe.n > 0;
}

bool sld_flow_next(const struct sld_table *t, size_t *at, sld_id *key, const void **value)
{
    SLD_PRE(!t->flow->ctx.task);
    for (const struct node *n; (n = flow_idtab_next(&t->nodes, at));) {
        if (!node_seen(t, n))
            continue;
        *key = n->key;
        *value = node_seen(t, n);
        return true;
    }
    return false;
}

size_t sld_flow_count(const struct sld_table *t)
{
    return t->rows;
}

const char *sld_table_name(const struct sld_table *t)
{
    return t->name;
}

bool sld_flow_pending(const struct sld_flow *f)
{
    return f->pending > 0;
}

// Tables, keys and source rows: what the outside declares and sets.
#include "flow/inside.h"

struct sld_flow *sld_flow_create(void)
{
    struct sld_flow *f = SLD_NEW(struct sld_flow);
    f->keys = sld_intern_create();
    f->ctx.flow = f;
    return f;
}

static void node_free(struct node *n)
{
    SLD_UNREF(n->value);
    if (!n->table->step && n->touched)
        SLD_UNREF(n->u.pending);
    if (n->table->step && n->u.claims.cap)
        sld_xfree(n->u.claims.u.many);
    sld_xfree(n->probe.v);
    sld_xfree(n);
}

static void task_free(struct task *task)
{
    for (struct claim *c = task->claims, *next; c; c = next) {
        next = c->next;
        SLD_UNREF(c->value);
        sld_xfree(c);
    }
    sld_xfree(task->reads);
    sld_xfree(task);
}

static void index_free(struct sld_index *i)
{
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&i->entries, &at));) {
        struct entry *e = s->value;
        sld_xfree(e->hits.v);
        sld_xfree(e->probe.v);
        sld_xfree(e);
    }
    sld_umap_fini(&i->entries);
    sld_xfree(i->touched);
    sld_xfree(i);
}

static void table_free(struct sld_table *t)
{
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->nodes, &at));)
        node_free(s->value);
    at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->tasks, &at));)
        task_free(s->value);
    for (struct sld_index *i = t->indexes, *next; i; i = next) {
        next = i->next;
        index_free(i);
    }
    for (struct child *c = t->children, *next; c; c = next) {
        next = c->next;
        sld_xfree(c);
    }
    sld_umap_fini(&t->nodes);
    sld_umap_fini(&t->tasks);
    sld_umap_fini(&t->contested);
    sld_xfree(t->touched);
    sld_xfree(t->dirty);
    sld_xfree(t->probe.v);
    sld_xfree(t->all.v);
    sld_xfree(t->parents);
    sld_xfree(t);
}

void sld_flow_destroy(struct sld_flow *f)
{
    if (!f)
        return;
    SLD_PRE(!f->running);
    for (size_t i = 0; i < f->tables_n; i++)
        table_free(f->tables[i]);
    sld_xfree(f->tables);
    sld_xfree(f->changes);
    sld_xfree(f->ids_old.v);
    sld_xfree(f->ids_new.v);
    sld_intern_destroy(f->keys);
    sld_xfree(f);
}

struct sld_intern *sld_flow_keys(struct sld_flow *f)
{
    return f->keys;
}

sld_id sld_flow_key(struct sld_flow *f, struct sld_str s)
{
    return sld_intern_id(f->keys, s);
}

sld_id sld_flow_keyf(struct sld_flow *f, const char *fmt, ...)
{
    struct sld_buf b;
    sld_buf_init(&b, 64 * 1024);
    va_list ap;
    va_start(ap, fmt);
    sld_buf_vaddf(&b, fmt, ap);
    va_end(ap);
    SLD_PRE(!b.full);
    sld_id id = sld_intern_id(f->keys, sld_buf_str(&b));
    sld_buf_fini(&b);
    return id;
}

struct sld_str sld_flow_key_str(struct sld_flow *f, sld_id id)
{
    return sld_intern_str(f->keys, id);
}

struct sld_table *sld_flow_source(struct sld_flow *f, const char *name)
{
    SLD_PRE(f->rounds == 0 && !f->running);
    struct sld_table *t = SLD_NEW(struct sld_table);
    t->flow = f;
    t->name = name;
    t->rank = (unsigned)f->tables_n;
    FLOW_GROW(f->tables, f->tables_n, f->tables_cap);
    f->tables[f->tables_n++] = t;
    return t;
}

static void table_drive(struct sld_table *t, struct sld_table *parent)
{
    SLD_PRE(parent->flow == t->flow && parent->rank < t->rank);
    struct child *c = SLD_NEW(struct child);
    *c = (struct child){t, t->join, parent->children};
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
    SLD_PRE(table->flow == f && f->rounds == 0 && fn);
    struct sld_index *i = SLD_NEW(struct sld_index);
    *i = (struct sld_index){.name = name, .table = table, .fn = fn, .user = user,
                            .next = table->indexes};
    table->indexes = i;
    return i;
}

void sld_flow_watch(struct sld_table *t, sld_watch_fn *fn, void *user)
{
    SLD_PRE(t->flow->rounds == 0 && !t->watch);
    t->watch = fn;
    t->watch_user = user;
}

struct node *flow_node_get(struct sld_table *t, sld_id key)
{
    SLD_PRE(key != 0);
    struct node *n = sld_umap_get(&t->nodes, key);
    if (!n) {
        n = SLD_NEW(struct node);
        n->table = t;
        n->key = key;
        sld_umap_set(&t->nodes, key, n);
    }
    return n;
}

void flow_node_drop(struct node *n)
{
    if (n->value || n->touched || n->held || n->probe.n > 0)
        return;
    if (n->table->step && n->u.claims.n > 0)
        return;
    sld_umap_remove(&n->table->nodes, n->key);
    node_free(n);
}

void flow_node_touch(struct node *n)
{
    struct sld_table *t = n->table;
    if (n->touched)
        return;
    n->touched = true;
    FLOW_GROW(t->touched, t->touched_n, t->touched_cap);
    t->touched[t->touched_n++] = n;
}

// What the outside sees of a row: of a source table the pending value.
static struct sld_obj *node_seen(const struct node *n)
{
    return !n->table->step && n->touched ? n->u.pending : n->value;
}

static void source_put(struct sld_table *t, struct node *n, struct sld_obj *value)
{
    t->rows = t->rows + (value != NULL) - (node_seen(n) != NULL);
    if (!n->touched) {
        flow_node_touch(n);
        n->u.pending = NULL;
        t->flow->pending++;
    }
    SLD_UNREF(n->u.pending);
    n->u.pending = value;
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
    struct node *n = sld_umap_get(&t->nodes, key);
    if (n && node_seen(n))
        source_put(t, n, NULL);
}

const void *sld_flow_get(const struct sld_table *t, sld_id key)
{
    SLD_PRE(!t->flow->ctx.task);
    const struct node *n = sld_umap_get(&t->nodes, key);
    return n ? node_seen(n) : NULL;
}

bool sld_flow_has_readers(const struct sld_table *t, sld_id key)
{
    SLD_PRE(!t->flow->ctx.task);
    const struct node *n = sld_umap_get(&t->nodes, key);
    return n && n->probe.n > 0;
}

bool sld_flow_next(const struct sld_table *t, size_t *at, sld_id *key, const void **value)
{
    SLD_PRE(!t->flow->ctx.task);
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->nodes, at));) {
        const struct node *n = s->value;
        if (!node_seen(n))
            continue;
        *key = n->key;
        *value = node_seen(n);
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

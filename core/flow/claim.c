// Claims of tasks on rows: kept by key text of the claimants, the first owns the row.
#include "flow/inside.h"

static struct claims *many_of(const struct sld_flow *f, const struct node *n)
{
    return sld_umap_get(&f->tables[n->table]->contested, n->key);
}

uint32_t flow_claim_count(const struct sld_flow *f, const struct node *n)
{
    return n->many ? many_of(f, n)->n : n->probe.own != 0;
}

struct claim *flow_claim_at(const struct sld_flow *f, const struct node *n, uint32_t i)
{
    SLD_PRE(i < flow_claim_count(f, n));
    return n->many ? many_of(f, n)->v[i] : flow_at(&f->slabs, n->probe.own);
}

struct claim *flow_claim_first(const struct sld_flow *f, const struct node *n)
{
    return flow_claim_count(f, n) ? flow_claim_at(f, n, 0) : NULL;
}

sld_id flow_claim_key(const struct sld_flow *f, const struct claim *c)
{
    return ((const struct task *)flow_at(&f->slabs, c->task))->key;
}

// Where a claim of parent row KEY stands or would stand.
static uint32_t claim_place(const struct sld_flow *f, const struct node *n, sld_id key, bool *found)
{
    uint32_t lo = 0, hi = flow_claim_count(f, n);
    *found = false;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        sld_id at = flow_claim_key(f, flow_claim_at(f, n, mid));
        if (at == key) {
            *found = true;
            return mid;
        }
        if (flow_key_cmp(f, at, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct claims *claims_sized(struct claims *cs, uint32_t cap)
{
    cs = sld_xrealloc(cs, sizeof(*cs) + cap * sizeof(cs->v[0]));
    cs->cap = cap;
    return cs;
}

// Puts C in place AT among the claims on N.
static void claim_insert(struct sld_flow *f, struct node *n, uint32_t at, struct claim *c)
{
    if (!n->many && !n->probe.own) {
        n->probe.own = flow_ref_of(c);
        return;
    }
    struct claims *cs = n->many ? many_of(f, n) : NULL;
    if (!cs) {
        cs = claims_sized(NULL, 4);
        cs->n = 1;
        cs->v[0] = flow_at(&f->slabs, n->probe.own);
        n->many = true;
        n->probe.own = 0;
        sld_umap_set(&f->tables[n->table]->contested, n->key, cs);
    } else if (cs->n == cs->cap) {
        cs = claims_sized(cs, cs->cap * 2);
        sld_umap_set(&f->tables[n->table]->contested, n->key, cs);
    }
    memmove(cs->v + at + 1, cs->v + at, (cs->n - at) * sizeof(cs->v[0]));
    cs->v[at] = c;
    cs->n++;
}

struct claim *flow_claim_get(struct sld_flow *f, struct task *task, struct node *n)
{
    bool found;
    uint32_t at = claim_place(f, n, task->key, &found);
    if (found)
        return flow_claim_at(f, n, at);
    struct claim *c = flow_pool_new(&f->claims);
    *c = (struct claim){.node = flow_ref_of(n), .task = flow_ref_of(task), .next = task->claims};
    task->claims = flow_ref_of(c);
    claim_insert(f, n, at, c);
    return c;
}

static void claim_remove(struct sld_flow *f, struct claim *c)
{
    struct node *n = flow_at(&f->slabs, c->node);
    bool found;
    uint32_t at = claim_place(f, n, flow_claim_key(f, c), &found);
    SLD_INV(found && flow_claim_at(f, n, at) == c);
    if (!n->many) {
        n->probe.own = 0;
    } else {
        struct claims *cs = many_of(f, n);
        cs->n--;
        memmove(cs->v + at, cs->v + at + 1, (cs->n - at) * sizeof(cs->v[0]));
        if (cs->n == 1) {
            n->many = false;
            n->probe.own = flow_ref_of(cs->v[0]);
            sld_xfree(cs);
            sld_umap_remove(&f->tables[n->table]->contested, n->key);
        }
    }
    SLD_UNREF(c->value);
    flow_pool_drop(&f->claims, c);
}

bool flow_claim_commit(struct sld_flow *f, struct task *task)
{
    bool changed = false;
    for (flow_ref *at = &task->claims; *at;) {
        struct claim *c = flow_at(&f->slabs, *at);
        struct sld_obj *fresh = c->fresh ? f->ctx.emitted[c->fresh - 1] : NULL;
        c->fresh = 0;
        if (fresh && c->value && sld_hash_eq(fresh->hash, c->value->hash)) {
            SLD_UNREF(fresh);
            at = &c->next;
            continue;
        }
        changed = true;
        flow_node_touch(f, flow_at(&f->slabs, c->node), NULL);
        if (!fresh) {
            *at = c->next;
            claim_remove(f, c);
            continue;
        }
        SLD_UNREF(c->value);
        c->value = fresh;
        at = &c->next;
    }
    f->ctx.emitted_n = 0;
    FLOW_SHRINK(f->ctx.emitted, f->ctx.emitted_cap);
    return changed;
}

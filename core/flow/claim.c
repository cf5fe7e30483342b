// Claims of tasks on rows: kept by key text of the claimants, the first owns the row.
#include "flow/inside.h"

struct claim *flow_claim_at(const struct node *n, uint32_t i)
{
    const struct claims *c = &n->u.claims;
    SLD_PRE(i < c->n);
    return c->cap ? c->u.many[i] : c->u.one;
}

struct claim *flow_claim_first(const struct node *n)
{
    return n->u.claims.n ? flow_claim_at(n, 0) : NULL;
}

// Where a claim of parent row KEY stands or would stand.
static uint32_t claim_place(const struct sld_flow *f, const struct node *n, sld_id key, bool *found)
{
    uint32_t lo = 0, hi = n->u.claims.n;
    *found = false;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        sld_id at = flow_claim_at(n, mid)->task->key;
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

struct claim *flow_claim_get(struct sld_flow *f, struct task *task, struct node *n)
{
    struct claims *cs = &n->u.claims;
    bool found;
    uint32_t at = claim_place(f, n, task->key, &found);
    if (found)
        return flow_claim_at(n, at);
    struct claim *c = flow_pool_new(&f->claims);
    *c = (struct claim){.node = n, .task = task, .next = task->claims};
    task->claims = c;
    if (cs->n == 0 && cs->cap == 0) {
        cs->u.one = c;
        cs->n = 1;
        return c;
    }
    if (cs->cap == 0) {
        struct claim *one = cs->u.one;
        cs->cap = 4;
        cs->u.many = sld_xcalloc(cs->cap, sizeof(*cs->u.many));
        cs->u.many[0] = one;
    }
    FLOW_GROW(cs->u.many, cs->n, cs->cap);
    memmove(cs->u.many + at + 1, cs->u.many + at, (cs->n - at) * sizeof(*cs->u.many));
    cs->u.many[at] = c;
    if (++cs->n == 2)
        sld_umap_set(&f->tables[n->table]->contested, n->key, n);
    return c;
}

static void claim_remove(struct sld_flow *f, struct claim *c)
{
    struct node *n = c->node;
    struct claims *cs = &n->u.claims;
    bool found;
    uint32_t at = claim_place(f, n, c->task->key, &found);
    SLD_INV(found && flow_claim_at(n, at) == c);
    cs->n--;
    if (cs->cap)
        memmove(cs->u.many + at, cs->u.many + at + 1, (cs->n - at) * sizeof(*cs->u.many));
    if (cs->n == 1)
        sld_umap_remove(&f->tables[n->table]->contested, n->key);
    if (cs->n == 0) {
        if (cs->cap)
            sld_xfree(cs->u.many);
        *cs = (struct claims){0};
    }
    SLD_UNREF(c->value);
    flow_pool_drop(&f->claims, c);
}

bool flow_claim_commit(struct sld_flow *f, struct task *task)
{
    bool changed = false;
    for (struct claim **at = &task->claims, *c; (c = *at);) {
        if (c->fresh && c->value && sld_hash_eq(c->fresh->hash, c->value->hash)) {
            SLD_UNREF(c->fresh);
            at = &c->next;
            continue;
        }
        changed = true;
        flow_node_touch(f, c->node);
        if (!c->fresh) {
            *at = c->next;
            claim_remove(f, c);
            continue;
        }
        SLD_UNREF(c->value);
        c->value = c->fresh;
        c->fresh = NULL;
        at = &c->next;
    }
    return changed;
}

// Views and their entries.
#include "xds/view.h"

#include "xds/inside.h"
#include "xds/wire.h"

static struct sld_str own_str(struct sld_str s)
{
    char *p = sld_xalloc(s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    return (struct sld_str){p, s.n};
}

static struct sld_str entry_name(const void *item)
{
    return sld_xds_entry_name(item);
}

struct sld_xds_view *sld_xds_view_create(struct sld_xds *x, struct sld_str name)
{
    struct sld_xds_view *v = SLD_NEW(struct sld_xds_view);
    v->name = own_str(name);
    v->x = x;
    sld_list_init(&v->streams);
    sld_list_init(&v->refused);
    for (size_t t = 0; t < SLD_XDS_TYPE_COUNT; t++)
        v->tables[t].by_name.key = entry_name;
    return v;
}

static struct sld_xds_good *goods_of(struct sld_xds_entry *e)
{
    return e->good_count > 1 ? e->good.many : &e->good.one;
}

static void set_refused(struct sld_xds_view *v, struct sld_xds_entry *e, bool refused)
{
    if (refused == (e->refused != NULL))
        return;
    if (refused) {
        e->refused = SLD_NEW(struct sld_xds_refused);
        e->refused->entry = e;
        sld_list_push(&v->refused, &e->refused->link);
    } else {
        sld_list_remove(&e->refused->link);
        sld_xfree(e->refused);
        e->refused = NULL;
    }
}

static void entry_free(struct sld_xds_view *v, struct sld_xds_entry *e)
{
    set_refused(v, e, false);
    SLD_UNREF(e->current);
    SLD_UNREF(e->empty);
    for (size_t i = 0; i < e->good_count; i++)
        SLD_UNREF(goods_of(e)[i].resource);
    if (e->good_count > 1)
        sld_xfree(e->good.many);
    sld_xfree(e);
}

void sld_xds_view_destroy(struct sld_xds_view *v)
{
    if (!v)
        return;
    SLD_PRE(sld_list_empty(&v->streams));
    sld_umap_fini(&v->unfed);
    for (size_t t = 0; t < SLD_XDS_TYPE_COUNT; t++) {
        struct sld_xds_table *tab = &v->tables[t];
        for (size_t i = 0; i < tab->ix_count; i++) {
            if (tab->by_ix[i])
                entry_free(v, tab->by_ix[i]);
        }
        sld_set_fini(&tab->by_name);
        sld_xfree(tab->by_ix);
        sld_xfree(tab->free_ix);
    }
    sld_map_fini(&v->users);
    sld_xfree((void *)(uintptr_t)v->name.p);
    sld_xfree(v);
}

struct sld_xds_entry *sld_xds_entry_find(const struct sld_xds_view *v, enum sld_xds_type t,
                                         struct sld_str name)
{
    return sld_set_get(&v->tables[t].by_name, name);
}

static uint32_t take_ix(struct sld_xds_table *tab)
{
    if (tab->free_count)
        return tab->free_ix[--tab->free_count];
    if ((tab->ix_count & (tab->ix_count - 1)) == 0) { // 0 or a power of two: full
        size_t cap = tab->ix_count ? tab->ix_count * 2 : 1;
        tab->by_ix = sld_xrealloc(tab->by_ix, cap * sizeof(*tab->by_ix));
        tab->free_ix = sld_xrealloc(tab->free_ix, cap * sizeof(*tab->free_ix));
    }
    return (uint32_t)tab->ix_count++;
}

struct sld_xds_entry *sld_xds_entry_get(struct sld_xds_view *v, enum sld_xds_type t,
                                        struct sld_str name)
{
    struct sld_xds_entry *e = sld_xds_entry_find(v, t, name);
    if (e)
        return e;
    struct sld_xds_table *tab = &v->tables[t];
    e = sld_xcalloc(1, sizeof(*e) + name.n + 1);
    if (name.n)
        memcpy(e->text, name.p, name.n);
    e->name_bytes = (uint32_t)name.n;
    e->type = (uint8_t)t;
    e->ix = take_ix(tab);
    tab->by_ix[e->ix] = e;
    sld_set_add(&tab->by_name, e);
    return e;
}

void sld_xds_entry_drop(struct sld_xds_view *v, struct sld_xds_entry *e)
{
    if (e->current || e->refs)
        return;
    struct sld_xds_table *tab = &v->tables[e->type];
    sld_set_remove(&tab->by_name, e);
    tab->by_ix[e->ix] = NULL;
    tab->free_ix[tab->free_count++] = e->ix;
    entry_free(v, e);
}

void sld_xds_entry_unref(struct sld_xds_view *v, struct sld_xds_entry *e)
{
    SLD_INV(e->refs > 0);
    e->refs--;
    sld_xds_entry_drop(v, e);
}

static void count_user(struct sld_xds_view *v, struct sld_str cluster, bool add)
{
    uintptr_t n = (uintptr_t)sld_map_get(&v->users, cluster);
    SLD_INV(add || n > 0);
    n = add ? n + 1 : n - 1;
    if (n)
        sld_map_set(&v->users, cluster, (void *)n);
    else
        sld_map_remove(&v->users, cluster);
}

// AFTER takes BEFORE's place. Both lists are sorted, and of a big table an edit changes few.
static void count_users(struct sld_xds_view *v, const struct sld_xds_resource *before,
                        const struct sld_xds_resource *after)
{
    size_t i = 0, n = before ? before->cluster_count : 0;
    size_t k = 0, m = after ? after->cluster_count : 0;
    while (i < n || k < m) {
        int c = i == n   ? 1
                : k == m ? -1
                         : sld_str_cmp(before->clusters[i], after->clusters[k]);
        if (c < 0)
            count_user(v, before->clusters[i], false);
        else if (c > 0)
            count_user(v, after->clusters[k], true);
        i += c <= 0;
        k += c >= 0;
    }
}

void sld_xds_entry_judge(struct sld_xds_view *v, struct sld_xds_entry *e)
{
    set_refused(v, e, e->current && sld_xds_refusal_any(&v->x->builds, e->current->obj.hash));
}

void sld_xds_entry_set(struct sld_xds_view *v, struct sld_xds_entry *e, struct sld_xds_resource *r)
{
    SLD_PRE(!r || r->type == (enum sld_xds_type)e->type);
    struct sld_xds_resource *before = e->current;
    count_users(v, before, r);
    v->tables[e->type].live += (size_t)(r != NULL) - (size_t)(before != NULL);
    e->current = sld_obj_ref(r);
    SLD_UNREF(before);
    sld_xds_entry_judge(v, e);
}

void sld_xds_entry_renew(struct sld_xds_view *v, struct sld_xds_entry *e, struct sld_xds_resource *r)
{
    SLD_PRE(e->current && sld_hash_eq(e->current->obj.hash, r->obj.hash));
    sld_xds_entry_set(v, e, r);
    struct sld_xds_good *goods = goods_of(e);
    for (size_t i = 0; i < e->good_count; i++) {
        if (!sld_hash_eq(goods[i].resource->obj.hash, r->obj.hash))
            continue;
        SLD_UNREF(goods[i].resource);
        goods[i].resource = sld_obj_ref(r);
    }
}

struct sld_xds_resource *sld_xds_entry_empty(struct sld_xds_entry *e)
{
    SLD_PRE(e->type == SLD_XDS_ENDPOINT);
    if (!e->empty) {
        struct sld_buf b;
        sld_buf_init(&b, sld_xds_entry_name(e).n + 16);
        sld_wire_put_str(&b, 1, sld_xds_entry_name(e)); // ClusterLoadAssignment.cluster_name
        struct sld_blob *bytes = sld_blob_create(sld_buf_str(&b)); // they end with the name
        sld_buf_fini(&b);
        e->empty = sld_xds_resource_create_on(
            SLD_XDS_ENDPOINT,
            sld_str_sub(bytes->data, bytes->data.n - sld_xds_entry_name(e).n, bytes->data.n), bytes);
        e->empty->bytes = bytes->data;
        sld_xds_resource_seal(e->empty);
        SLD_UNREF(bytes);
    }
    return e->empty;
}

void sld_xds_entry_forget_empty(struct sld_xds_entry *e)
{
    if (!e->empty || atomic_load(&e->empty->obj.refs) > 1)
        return;
    SLD_UNREF(e->empty);
    e->empty = NULL;
}

static struct sld_xds_good *good_find(struct sld_xds_entry *e, const struct sld_xds_build *build)
{
    struct sld_xds_good *goods = goods_of(e);
    for (size_t i = 0; i < e->good_count; i++) {
        if (goods[i].build == build)
            return &goods[i];
    }
    return NULL;
}

struct sld_xds_resource *sld_xds_entry_target(struct sld_xds_view *v, struct sld_xds_entry *e,
                                              const struct sld_xds_build *build)
{
    if (!e->refused || !sld_xds_refusal_has(&v->x->builds, e->current->obj.hash, build))
        return e->current;
    // Where one Envoy of the build took what another refused (a port in use, say), those bytes are the
    // last good ones themselves: who holds them keeps them.
    struct sld_xds_good *g = good_find(e, build);
    if (g)
        return g->resource;
    // A cluster must never wait for endpoints that cannot come.
    return e->type == SLD_XDS_ENDPOINT ? sld_xds_entry_empty(e) : NULL;
}

// Makes room before the others; the oldest goes when there are too many.
static struct sld_xds_good *good_add(struct sld_xds_entry *e, const struct sld_xds_build *build)
{
    _Static_assert(SLD_XDS_GOODS_MAX > 1, "an array that is full stays one");
    if (e->good_count == SLD_XDS_GOODS_MAX) {
        SLD_UNREF(e->good.many[SLD_XDS_GOODS_MAX - 1].resource);
    } else if (e->good_count == 1) {
        struct sld_xds_good *many = sld_xalloc(2 * sizeof(*many));
        many[0] = e->good.one;
        e->good.many = many;
        e->good_count++;
    } else if (e->good_count++ > 1) {
        e->good.many = sld_xrealloc(e->good.many, e->good_count * sizeof(*e->good.many));
    }
    struct sld_xds_good *goods = goods_of(e);
    memmove(goods + 1, goods, (e->good_count - 1u) * sizeof(*goods));
    goods[0] = (struct sld_xds_good){.build = build};
    return goods;
}

bool sld_xds_entry_good(struct sld_xds_entry *e, const struct sld_xds_build *build,
                        struct sld_xds_resource *r)
{
    bool news = true;
    for (size_t i = 0; i < e->good_count; i++)
        news = news && !sld_hash_eq(goods_of(e)[i].resource->obj.hash, r->obj.hash);
    struct sld_xds_good *g = good_find(e, build);
    // A late ACK of an old form must not replace what others of this build hold by now.
    if (g && r != e->current)
        return news;
    if (!g)
        g = good_add(e, build);
    struct sld_xds_resource *before = g->resource;
    g->resource = sld_obj_ref(r);
    SLD_UNREF(before);
    return news;
}

bool sld_xds_lists_cluster(const struct sld_xds_resource *r, struct sld_str cluster)
{
    size_t lo = 0, hi = r ? r->cluster_count : 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = sld_str_cmp(r->clusters[mid], cluster);
        if (c == 0)
            return true;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return false;
}

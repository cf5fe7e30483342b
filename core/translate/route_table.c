// Route tables: one per listener, assembled from encoded virtual hosts (design section 5).
#include "translate/inside.h"

#include <stdlib.h>

#include "envoy/config/route/v3/route.pb-c.h"

// Tag and wire type of RouteConfiguration.virtual_hosts.
enum { VIRTUAL_HOSTS_TAG = 2 << 3 | 2 };

// The head of a virtual host's bytes in its table; at most HEAD_MAX bytes.
enum { HEAD_MAX = 11 };
static struct sld_str head_of(char out[HEAD_MAX], uint64_t n)
{
    size_t at = 0;
    out[at++] = VIRTUAL_HOSTS_TAG;
    for (; n >= 0x80; n >>= 7)
        out[at++] = (char)(n | 0x80);
    out[at++] = (char)n;
    return sld_str_n(out, at);
}

static int by_str(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

// ---- What a table was made of ----
//
// A table of thousands of hosts changes in one of them. It is kept as its rows, in blocks that the next table shares
// but for those with a change; its bytes are made for whom they are sent to. So the hosts' bytes are kept once, and
// only the clusters of the hosts that changed are counted. This is memory, not input: the result is the same without.

// So many rows has a block, about.
enum { BLOCK_ROWS = 64 };

// Rows that follow each other.
struct block {
    struct sld_obj obj; // without a hash
    size_t bytes;       // of the rows, with their heads
    size_t count;
    struct tr_vhost_row *rows[]; // own references
};

// A table as the rows it is made of.
struct recipe {
    struct sld_recipe recipe;
    char *head; // the message without its hosts
    size_t head_bytes, count;
    struct block *blocks[]; // own references
};

struct table {
    sld_id gateway;        // whose it is
    struct sld_out *out;   // own reference
    struct block **blocks; // own references
    size_t block_count;
    const struct tr_vhost_row **rows; // of the blocks
    struct sld_hash *contents;        // of the rows
    size_t count;
    struct sld_umap users; // address of a cluster's name -> how many of the rows have it
    size_t secrets;        // rows with secrets
    size_t guesses;        // rows that are guessed
};

struct tr_tables {
    struct sld_umap by_key; // id of the resource -> struct table
};

struct tr_tables *tr_tables_create(void)
{
    return SLD_NEW(struct tr_tables);
}

static void table_free(struct table *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->block_count; i++)
        SLD_UNREF(t->blocks[i]);
    SLD_UNREF(t->out);
    sld_xfree(t->blocks);
    sld_xfree((void *)t->rows);
    sld_xfree(t->contents);
    sld_umap_fini(&t->users);
    sld_xfree(t);
}

void tr_tables_destroy(struct tr_tables *t)
{
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->by_key, &at));)
        table_free(s->value);
    sld_umap_fini(&t->by_key);
    sld_xfree(t);
}

void tr_tables_forget(struct tr_tables *t, sld_id key)
{
    table_free(sld_umap_remove(&t->by_key, key));
}

// ---- Making one ----

// Counts the clusters of V up or down; true when one came or went.
static bool count_users(struct table *t, const struct tr_vhost_row *v, bool up)
{
    bool other = false;
    for (size_t i = 0; i < v->cluster_count; i++) {
        // Equal names are the same: the rows have them from the flow.
        uint64_t name = (uint64_t)(uintptr_t)v->clusters[i].p;
        uintptr_t n = (uintptr_t)sld_umap_get(&t->users, name);
        SLD_INV(up || n > 0);
        n = up ? n + 1 : n - 1;
        other |= up ? n == 1 : n == 0;
        if (n)
            sld_umap_set(&t->users, name, (void *)n);
        else
            sld_umap_remove(&t->users, name);
    }
    return other;
}

// The clusters of all hosts, sorted and distinct.
static struct sld_str *clusters_of(struct tr *tr, const struct table *t, uint32_t *count)
{
    struct sld_str *out = SLD_ARENA_ARRAY(tr->arena, struct sld_str, t->users.live);
    size_t at = 0;
    *count = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&t->users, &at));)
        out[(*count)++] = sld_str_c((const char *)(uintptr_t)s->key);
    if (*count)
        qsort(out, *count, sizeof(*out), by_str);
    return out;
}

// Which hosts are not as they were: those from FROM on, but for the last TAIL.
struct difference {
    size_t from, tail;
};

static struct difference compare(const struct table *t, const struct sld_hit *hits, size_t n)
{
    struct difference d = {0};
    size_t least = n < t->count ? n : t->count;
    while (d.from < least && hits[d.from].value == t->rows[d.from])
        d.from++;
    while (d.tail < least - d.from && hits[n - 1 - d.tail].value == t->rows[t->count - 1 - d.tail])
        d.tail++;
    return d;
}

static struct tr_vhost_row *counted(const void *row)
{
    union {
        const void *frozen;
        void *own;
    } u = {row}; // only the count of references changes
    return sld_obj_ref(u.own);
}

static size_t size_of(const struct tr_vhost_row *v)
{
    char h[HEAD_MAX];
    return v->bytes.n ? head_of(h, v->bytes.n).n + v->bytes.n : 0;
}

static void block_free(struct sld_obj *o)
{
    struct block *b = (struct block *)o;
    for (size_t i = 0; i < b->count; i++)
        SLD_UNREF(b->rows[i]);
    sld_xfree(b);
}

static struct block *block_create(const struct sld_hit *hits, size_t n)
{
    struct block *b = sld_xalloc(sizeof(*b) + n * sizeof(*b->rows));
    *b = (struct block){.count = n};
    sld_obj_init(&b->obj, block_free, (struct sld_hash){0});
    for (size_t i = 0; i < n; i++) {
        b->rows[i] = counted(hits[i].value);
        b->bytes += size_of(b->rows[i]);
    }
    return b;
}

// The blocks of T that D touches: from FIRST to before LAST, which begin at row FROM and end before row TO.
struct touched_blocks {
    size_t first, last, from, to;
};

static struct touched_blocks touched(const struct table *t, struct difference d)
{
    struct touched_blocks out = {0};
    size_t old_end = t->count - d.tail;
    // What comes in between two blocks goes to the one before.
    size_t before = old_end > d.from ? d.from + 1 : d.from;
    while (out.first + 1 < t->block_count && out.from + t->blocks[out.first]->count < before) {
        out.from += t->blocks[out.first]->count;
        out.first++;
    }
    out.last = out.first;
    out.to = out.from;
    while (out.last < t->block_count && (out.to < old_end || out.to == out.from)) {
        out.to += t->blocks[out.last]->count;
        out.last++;
    }
    return out;
}

// Brings the blocks of T up to HITS.
static void blocks_replace(struct table *t, struct difference d, const struct sld_hit *hits, size_t n)
{
    struct touched_blocks old = touched(t, d);
    size_t rows = old.to - old.from + n - t->count;
    while (rows < BLOCK_ROWS / 4 && old.last < t->block_count) { // few are left of these: they join the next
        size_t more = t->blocks[old.last++]->count;
        old.to += more;
        rows += more;
    }
    size_t fresh = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS, rest = t->block_count - old.last;
    struct block **blocks = sld_xalloc((old.first + fresh + rest) * sizeof(*blocks));
    if (old.first)
        memcpy(blocks, t->blocks, old.first * sizeof(*blocks));
    for (size_t i = 0; i < fresh; i++) {
        size_t from = rows * i / fresh, to = rows * (i + 1) / fresh;
        blocks[old.first + i] = block_create(hits + old.from + from, to - from);
    }
    for (size_t i = old.first; i < old.last; i++)
        SLD_UNREF(t->blocks[i]);
    if (rest)
        memcpy(blocks + old.first + fresh, t->blocks + old.last, rest * sizeof(*blocks));
    sld_xfree(t->blocks);
    t->blocks = blocks;
    t->block_count = old.first + fresh + rest;
}

// Brings rows, contents and clusters of T up to HITS; true when the clusters are others than before.
static bool replace(struct table *t, struct difference d, const struct sld_hit *hits, size_t n)
{
    bool others = false;
    size_t old_end = t->count - d.tail, end = n - d.tail;
    for (size_t i = d.from; i < end; i++) {
        const struct tr_vhost_row *v = hits[i].value;
        t->secrets += v->secret;
        t->guesses += v->guessed;
        others |= count_users(t, v, true);
    }
    for (size_t i = d.from; i < old_end; i++) {
        t->secrets -= t->rows[i]->secret;
        t->guesses -= t->rows[i]->guessed;
        others |= count_users(t, t->rows[i], false);
    }
    if (n > t->count) {
        t->rows = sld_xrealloc((void *)t->rows, n * sizeof(*t->rows));
        t->contents = sld_xrealloc(t->contents, n * sizeof(*t->contents));
    }
    if (d.tail) {
        memmove((void *)(t->rows + end), t->rows + old_end, d.tail * sizeof(*t->rows));
        memmove(t->contents + end, t->contents + old_end, d.tail * sizeof(*t->contents));
    }
    for (size_t i = d.from; i < end; i++) {
        t->rows[i] = hits[i].value;
        t->contents[i] = t->rows[i]->content;
    }
    blocks_replace(t, d, hits, n);
    t->count = n;
    return others;
}

static char *add(char *at, struct sld_str s)
{
    if (s.n)
        memcpy(at, s.p, s.n);
    return at + s.n;
}

static void table_make(const struct sld_recipe *of, char *out)
{
    const struct recipe *r = (const struct recipe *)of;
    char h[HEAD_MAX];
    out = add(out, sld_str_n(r->head, r->head_bytes));
    for (size_t i = 0; i < r->count; i++) {
        for (size_t k = 0; k < r->blocks[i]->count; k++) {
            struct sld_str host = r->blocks[i]->rows[k]->bytes;
            if (host.n)
                out = add(add(out, head_of(h, host.n)), host);
        }
    }
}

static void recipe_free(struct sld_obj *o)
{
    struct recipe *r = (struct recipe *)o;
    for (size_t i = 0; i < r->count; i++)
        SLD_UNREF(r->blocks[i]);
    sld_xfree(r);
}

// T with HEAD before its hosts.
static struct sld_recipe *recipe_create(const struct table *t, struct sld_str head)
{
    struct recipe *r = sld_xalloc(sizeof(*r) + t->block_count * sizeof(struct block *) + head.n);
    size_t size = head.n;
    *r = (struct recipe){.head = (char *)(r->blocks + t->block_count), .head_bytes = head.n, .count = t->block_count};
    (void)add(r->head, head);
    for (size_t i = 0; i < t->block_count; i++) {
        r->blocks[i] = sld_obj_ref(t->blocks[i]);
        size += t->blocks[i]->bytes;
    }
    sld_recipe_init(&r->recipe, recipe_free, table_make, size);
    return &r->recipe;
}

bool tr_tables_sound(const struct tr_tables *ts)
{
    size_t at = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&ts->by_key, &at));) {
        const struct table *t = s->value;
        size_t row = 0;
        for (size_t i = 0; i < t->block_count; i++) {
            size_t bytes = 0;
            for (size_t k = 0; k < t->blocks[i]->count; k++, row++) {
                const struct tr_vhost_row *v = t->blocks[i]->rows[k];
                if (row >= t->count || v != t->rows[row] || !sld_hash_eq(v->content, t->contents[row]))
                    return false;
                bytes += size_of(v);
            }
            if (bytes != t->blocks[i]->bytes || t->blocks[i]->count > 2 * BLOCK_ROWS)
                return false;
        }
        if (row != t->count)
            return false;
    }
    return true;
}

static struct sld_hash content_of(const struct table *t, struct sld_str head)
{
    struct sld_hash members =
        sld_hash_bytes(sld_str_n((const char *)t->contents, t->count * sizeof(*t->contents)));
    return sld_hash_mix(sld_hash_bytes(head), members);
}

// The table of HITS, made from the one that T holds; SAME: which is the gateway's, too.
static struct sld_out *remake(struct tr *tr, struct table *t, bool same, struct sld_out *proto,
                              struct sld_str head, const struct sld_hit *hits, size_t n)
{
    struct difference d = compare(t, hits, n);
    bool others = replace(t, d, hits, n);
    proto->secret = t->secrets > 0;
    proto->past = t->guesses > 0;
    if (others || !t->out) {
        proto->clusters = clusters_of(tr, t, &proto->cluster_count);
    } else {
        proto->clusters = t->out->clusters;
        proto->cluster_count = t->out->cluster_count;
    }
    struct sld_hash content = content_of(t, head);
    if (same && !others && proto->secret == t->out->secret && proto->past == t->out->past &&
        sld_hash_eq(content, t->out->content))
        return sld_obj_ref(t->out); // else this would keep one, and the flow another
    struct sld_recipe *recipe = recipe_create(t, head);
    struct sld_out *out = tr_out_create(proto, proto->secret ? recipe->size : 0, 1);
    if (proto->secret) { // what a recipe makes is not wiped
        tr_out_make(out, recipe);
        SLD_UNREF(recipe);
    } else {
        out->recipe = recipe;
        out->bytes = SLD_STR_NONE;
    }
    out->content = content;
    SLD_UNREF(t->out);
    t->out = sld_obj_ref(out);
    return out;
}

static void emit_table(struct tr *tr, const struct tr_gateway *g, const struct tr_bind *b,
                       const struct sld_hit *hits, size_t n)
{
    Env__Route__RouteConfiguration *rc =
        SLD_MSG(tr->arena, Env__Route__RouteConfiguration, env__route__route_configuration);
    struct sld_str name = sld_arena_fmt(tr->arena, "%.*s-routes", SLD_FMT(b->name));
    rc->name = SLD_MSG_STR(tr->arena, name);
    struct sld_str head = sld_msg_encode(tr->arena, &rc->base);
    struct sld_out proto = {.type = SLD_OUT_ROUTE, .view = b->view, .name = name};
    sld_id key = sld_flow_key(tr->t->flow, tr_out_key(tr->arena, SLD_OUT_ROUTE, b->view, name));
    struct table *t = sld_umap_get(&tr->t->tables->by_key, key);
    if (!t) {
        t = SLD_NEW(struct table);
        sld_umap_set(&tr->t->tables->by_key, key, t);
    }
    sld_id gateway = sld_flow_key(tr->t->flow, g->key);
    struct sld_out *out = remake(tr, t, t->gateway == gateway, &proto, head, hits, n);
    t->gateway = gateway;
    struct tr of = {.t = tr->t, .ctx = tr->ctx, .arena = tr->arena};
    tr_use(&of, g->key);
    tr_emit_row(&of, key, out);
}

// The virtual hosts of a gateway in order of keys, with held forms in the place of refused ones.
static const struct sld_hit *hosts_of(struct tr *tr, sld_id gateway, size_t *n)
{
    size_t held, k = 0;
    const struct sld_hit *hosts = sld_ctx_lookup(tr->ctx, tr->t->vhosts_by_gateway, gateway, n);
    const struct sld_hit *instead =
        sld_ctx_lookup(tr->ctx, tr->t->placed_by_gateway, gateway, &held);
    if (!held)
        return hosts;
    struct sld_hit *out = SLD_ARENA_ARRAY(tr->arena, struct sld_hit, *n);
    for (size_t i = 0; i < *n; i++)
        out[i] = k < held && instead[k].key == hosts[i].key ? instead[k++] : hosts[i];
    SLD_INV(k == held); // each stands for a host that is there
    return out;
}

void tr_step_out_routes(struct sld_ctx *ctx, sld_id key, const void *in, void *user)
{
    const struct tr_gateway *g = in;
    if (g->gw->gateway_type_case != GLOO__GATEWAY__GATEWAY_TYPE_HTTP_GATEWAY)
        return;
    struct tr tr;
    tr_begin(&tr, user, ctx);
    if (!tr_gateway_live(&tr, key))
        return;
    size_t n;
    const struct sld_hit *hits = hosts_of(&tr, key, &n);
    for (size_t i = 0; i < g->bind_count; i++) {
        if (!g->binds[i].lost)
            emit_table(&tr, g, &g->binds[i], hits, n);
    }
}

// Services and instances as shared objects, and from a file.
#include "source/discovery.h"

#include <stdlib.h>

#include "codec/text.h"
#include "source/file.h"

#include "services.pb-c.h"

// ---- Making objects ----

static int by_str(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

static int by_label(const void *a, const void *b)
{
    return sld_str_cmp(((const struct sld_label *)a)->key, ((const struct sld_label *)b)->key);
}

static struct sld_str keep(struct sld_arena *a, struct sld_str s)
{
    return s.p ? sld_arena_str(a, s) : s;
}

// A sorted copy of the array without repetitions; the texts stay where they are.
static struct sld_str *sorted_set(struct sld_arena *a, const struct sld_str *in, size_t n,
                                  size_t *out_n)
{
    *out_n = 0;
    if (!n)
        return NULL;
    struct sld_str *out = SLD_ARENA_ARRAY(a, struct sld_str, n);
    memcpy(out, in, n * sizeof(*out));
    qsort(out, n, sizeof(*out), by_str);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !sld_str_eq(out[i], out[*out_n - 1]))
            out[(*out_n)++] = out[i];
    }
    return out;
}

static struct sld_str *keep_set(struct sld_arena *a, const struct sld_str *in, size_t n,
                                size_t *out_n)
{
    struct sld_str *out = sorted_set(a, in, n, out_n);
    for (size_t i = 0; i < *out_n; i++)
        out[i] = sld_arena_str(a, out[i]);
    return out;
}

static struct sld_label *keep_labels(struct sld_arena *a, const struct sld_label *in, size_t n)
{
    struct sld_label *out = SLD_ARENA_ARRAY(a, struct sld_label, n);
    for (size_t i = 0; i < n; i++)
        out[i] = (struct sld_label){keep(a, in[i].key), keep(a, in[i].value)};
    if (n)
        qsort(out, n, sizeof(*out), by_label);
    return out;
}

static void add_str(struct sld_hasher *h, struct sld_str s)
{
    sld_hasher_add_u64(h, s.n);
    sld_hasher_add(h, s);
}

static void add_set(struct sld_hasher *h, const struct sld_str *s, size_t n)
{
    sld_hasher_add_u64(h, n);
    for (size_t i = 0; i < n; i++)
        add_str(h, s[i]);
}

static void add_labels(struct sld_hasher *h, const struct sld_label *l, size_t n)
{
    sld_hasher_add_u64(h, n);
    for (size_t i = 0; i < n; i++) {
        add_str(h, l[i].key);
        add_str(h, l[i].value);
    }
}

static void service_free(struct sld_obj *o)
{
    sld_xfree(o);
}

static size_t size_of_set(const struct sld_str *s, size_t n)
{
    size_t size = n * sizeof(*s);
    for (size_t i = 0; i < n; i++)
        size += s[i].n;
    return size;
}

static struct sld_str put_text(char **at, struct sld_str s)
{
    char *to = *at;
    if (s.n)
        memcpy(to, s.p, s.n);
    *at += s.n;
    return sld_str_n(to, s.n);
}

struct sld_service *sld_service_create(struct sld_str name, const struct sld_str *tags,
                                       size_t tags_n, const struct sld_str *datacenters,
                                       size_t datacenters_n)
{
    struct sld_arena a = {0};
    size_t tag_count, dc_count;
    const struct sld_str *tag_set = sorted_set(&a, tags, tags_n, &tag_count),
                         *dc_set = sorted_set(&a, datacenters, datacenters_n, &dc_count);
    // In one piece: every service of a catalog is kept.
    struct sld_service *s = sld_xalloc(sizeof(*s) + size_of_set(tag_set, tag_count) +
                                       size_of_set(dc_set, dc_count) + name.n);
    *s = (struct sld_service){.tag_count = tag_count, .datacenter_count = dc_count};
    s->tags = (struct sld_str *)(s + 1);
    s->datacenters = s->tags + tag_count;
    char *at = (char *)(s->datacenters + dc_count);
    s->name = put_text(&at, name);
    for (size_t i = 0; i < tag_count; i++)
        s->tags[i] = put_text(&at, tag_set[i]);
    for (size_t i = 0; i < dc_count; i++)
        s->datacenters[i] = put_text(&at, dc_set[i]);
    sld_arena_fini(&a);
    struct sld_hasher h;
    sld_hasher_init(&h);
    add_str(&h, s->name);
    add_set(&h, s->tags, s->tag_count);
    add_set(&h, s->datacenters, s->datacenter_count);
    sld_obj_init(&s->obj, service_free, sld_hasher_done(&h));
    return s;
}

// Items of a set that is being made.
struct making {
    struct sld_arena arena;
    struct sld_instance *items;
};

static void making_free(struct making *m)
{
    sld_arena_fini(&m->arena);
    sld_xfree(m);
}

static void sealed_free(struct sld_obj *o)
{
    sld_xfree(((struct sld_instances *)o)->own);
    sld_xfree(o);
}

static void unsealed_free(struct sld_obj *o)
{
    making_free(((struct sld_instances *)o)->own);
    sld_xfree(o);
}

struct sld_instances *sld_instances_create(void)
{
    struct sld_instances *s = SLD_NEW(struct sld_instances);
    s->own = SLD_NEW(struct making);
    sld_obj_init(&s->obj, unsealed_free, (struct sld_hash){0});
    return s;
}

bool sld_instances_add(struct sld_instances *s, const struct sld_instance *item)
{
    if (!sld_is_ip(item->address, NULL) || item->port == 0 || item->port > UINT16_MAX)
        return false;
    struct making *m = s->own;
    struct sld_arena *a = &m->arena;
    struct sld_instance own = {
        .address = keep(a, item->address),
        .hostname = keep(a, item->hostname),
        .port = item->port,
        .weight = item->weight,
        .draining = item->draining,
        .datacenter = keep(a, item->datacenter),
        .node = keep(a, item->node),
        .id = keep(a, item->id),
        .meta = keep_labels(a, item->meta, item->meta_count),
        .meta_count = item->meta_count,
        .node_meta = keep_labels(a, item->node_meta, item->node_meta_count),
        .node_meta_count = item->node_meta_count,
    };
    own.tags = keep_set(a, item->tags, item->tag_count, &own.tag_count);
    SLD_PUSH(a, m->items, s->count, own);
    return true;
}

static int by_address(const void *a, const void *b)
{
    const struct sld_instance *x = a, *y = b;
    int c = sld_str_cmp(x->address, y->address);
    if (!c)
        c = (x->port > y->port) - (x->port < y->port);
    if (!c)
        c = sld_str_cmp(x->id, y->id);
    return c ? c : sld_str_cmp(x->datacenter, y->datacenter);
}

// ---- Packing ----
//
// An item is a word that says what it has in common with the item before it, then what differs. The
// first one is compared with an empty one. Numbers take seven bits a byte, the low ones first; a
// text is its length plus one (0: absent) and its bytes. Addresses and ids often begin as those before
// them: of such a text the length and bytes are those of what follows, and between them stands how much
// is the same.

enum {
    SAME_ADDRESS = 1 << 0,
    SAME_ID = 1 << 1,
    SAME_NODE = 1 << 2,
    SAME_PORT = 1 << 3,
    DRAINING = 1 << 4,
    DIFFERENT_WEIGHT = 1 << 5,
    DIFFERENT_DATACENTER = 1 << 6,
    DIFFERENT_TAGS = 1 << 7,
    DIFFERENT_META = 1 << 8,
    DIFFERENT_NODE_META = 1 << 9,
    DIFFERENT_HOSTNAME = 1 << 10,
};

// The first pass only measures.
struct packer {
    unsigned char *room; // NULL: measuring
    size_t used;
};

static void pack_u64(struct packer *p, uint64_t v)
{
    for (bool more = true; more; v >>= 7) {
        more = v > 0x7f;
        if (p->room)
            p->room[p->used] = (unsigned char)((v & 0x7f) | (more ? 0x80 : 0));
        p->used++;
    }
}

static void pack_str(struct packer *p, struct sld_str s)
{
    pack_u64(p, s.p ? (uint64_t)s.n + 1 : 0);
    if (p->room && s.n)
        memcpy(p->room + p->used, s.p, s.n);
    p->used += s.n;
}

static void pack_str_after(struct packer *p, struct sld_str s, struct sld_str last)
{
    size_t same = 0;
    while (same < s.n && same < last.n && s.p[same] == last.p[same])
        same++;
    pack_u64(p, s.p ? (uint64_t)(s.n - same) + 1 : 0);
    if (!s.p)
        return;
    pack_u64(p, same);
    if (p->room && s.n > same)
        memcpy(p->room + p->used, s.p + same, s.n - same);
    p->used += s.n - same;
}

static void pack_set(struct packer *p, const struct sld_str *s, size_t n)
{
    pack_u64(p, n);
    for (size_t i = 0; i < n; i++)
        pack_str(p, s[i]);
}

static void pack_labels(struct packer *p, const struct sld_label *l, size_t n)
{
    pack_u64(p, n);
    for (size_t i = 0; i < n; i++) {
        pack_str(p, l[i].key);
        pack_str(p, l[i].value);
    }
}

// An absent text is not an empty one.
static bool same_str(struct sld_str a, struct sld_str b)
{
    return !a.p == !b.p && sld_str_eq(a, b);
}

static bool same_set(const struct sld_str *a, size_t a_n, const struct sld_str *b, size_t b_n)
{
    bool same = a_n == b_n;
    for (size_t i = 0; same && i < a_n; i++)
        same = same_str(a[i], b[i]);
    return same;
}

static bool same_labels(const struct sld_label *a, size_t a_n, const struct sld_label *b,
                        size_t b_n)
{
    bool same = a_n == b_n;
    for (size_t i = 0; same && i < a_n; i++)
        same = same_str(a[i].key, b[i].key) && same_str(a[i].value, b[i].value);
    return same;
}

static unsigned compare(const struct sld_instance *i, const struct sld_instance *last)
{
    unsigned w = i->draining ? DRAINING : 0;
    w |= same_str(i->address, last->address) ? SAME_ADDRESS : 0;
    w |= same_str(i->id, last->id) ? SAME_ID : 0;
    w |= same_str(i->node, last->node) ? SAME_NODE : 0;
    w |= i->port == last->port ? SAME_PORT : 0;
    w |= i->weight == last->weight ? 0 : DIFFERENT_WEIGHT;
    w |= same_str(i->datacenter, last->datacenter) ? 0 : DIFFERENT_DATACENTER;
    w |= same_set(i->tags, i->tag_count, last->tags, last->tag_count) ? 0 : DIFFERENT_TAGS;
    w |= same_labels(i->meta, i->meta_count, last->meta, last->meta_count) ? 0 : DIFFERENT_META;
    w |= same_labels(i->node_meta, i->node_meta_count, last->node_meta, last->node_meta_count)
             ? 0
             : DIFFERENT_NODE_META;
    w |= same_str(i->hostname, last->hostname) ? 0 : DIFFERENT_HOSTNAME;
    return w;
}

static void pack_item(struct packer *p, const struct sld_instance *i,
                      const struct sld_instance *last)
{
    unsigned w = compare(i, last);
    pack_u64(p, w);
    if (!(w & SAME_ADDRESS))
        pack_str_after(p, i->address, last->address);
    if (!(w & SAME_ID))
        pack_str_after(p, i->id, last->id);
    if (!(w & SAME_NODE))
        pack_str(p, i->node);
    if (!(w & SAME_PORT))
        pack_u64(p, i->port);
    if (w & DIFFERENT_WEIGHT)
        pack_u64(p, i->weight);
    if (w & DIFFERENT_DATACENTER)
        pack_str(p, i->datacenter);
    if (w & DIFFERENT_TAGS)
        pack_set(p, i->tags, i->tag_count);
    if (w & DIFFERENT_META)
        pack_labels(p, i->meta, i->meta_count);
    if (w & DIFFERENT_NODE_META)
        pack_labels(p, i->node_meta, i->node_meta_count);
    if (w & DIFFERENT_HOSTNAME)
        pack_str(p, i->hostname);
}

static void pack_all(struct packer *p, const struct sld_instance *items, size_t n)
{
    static const struct sld_instance none;
    for (size_t i = 0; i < n; i++)
        pack_item(p, &items[i], i ? &items[i - 1] : &none);
}

static uint64_t next_u64(const unsigned char **at)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        unsigned char c = *(*at)++;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80))
            return v;
    }
}

static struct sld_str next_str(const unsigned char **at)
{
    uint64_t n = next_u64(at);
    if (!n)
        return SLD_STR_NONE;
    const char *text = (const char *)*at;
    *at += n - 1;
    return sld_str_n(text, (size_t)n - 1);
}

static struct sld_str next_str_after(const unsigned char **at, struct sld_arena *a, struct sld_str last)
{
    uint64_t n = next_u64(at);
    if (!n)
        return SLD_STR_NONE;
    struct sld_str same = sld_str_sub(last, 0, (size_t)next_u64(at)),
                   rest = sld_str_n((const char *)*at, (size_t)n - 1);
    *at += rest.n;
    return same.n ? SLD_ARENA_JOIN(a, same, rest) : rest;
}

static struct sld_str *next_set(const unsigned char **at, struct sld_arena *a, size_t *n)
{
    *n = (size_t)next_u64(at);
    struct sld_str *out = SLD_ARENA_ARRAY(a, struct sld_str, *n);
    for (size_t i = 0; i < *n; i++)
        out[i] = next_str(at);
    return out;
}

static struct sld_label *next_labels(const unsigned char **at, struct sld_arena *a, size_t *n)
{
    *n = (size_t)next_u64(at);
    struct sld_label *out = SLD_ARENA_ARRAY(a, struct sld_label, *n);
    for (size_t i = 0; i < *n; i++) {
        out[i].key = next_str(at);
        out[i].value = next_str(at);
    }
    return out;
}

// What I, a copy of the item before it, has not in common with it.
static void next_item(const unsigned char **at, struct sld_arena *a, struct sld_instance *i)
{
    unsigned w = (unsigned)next_u64(at);
    i->draining = w & DRAINING;
    if (!(w & SAME_ADDRESS))
        i->address = next_str_after(at, a, i->address);
    if (!(w & SAME_ID))
        i->id = next_str_after(at, a, i->id);
    if (!(w & SAME_NODE))
        i->node = next_str(at);
    if (!(w & SAME_PORT))
        i->port = (uint32_t)next_u64(at);
    if (w & DIFFERENT_WEIGHT)
        i->weight = (uint32_t)next_u64(at);
    if (w & DIFFERENT_DATACENTER)
        i->datacenter = next_str(at);
    if (w & DIFFERENT_TAGS)
        i->tags = next_set(at, a, &i->tag_count);
    if (w & DIFFERENT_META)
        i->meta = next_labels(at, a, &i->meta_count);
    if (w & DIFFERENT_NODE_META)
        i->node_meta = next_labels(at, a, &i->node_meta_count);
    if (w & DIFFERENT_HOSTNAME)
        i->hostname = next_str(at);
}

const struct sld_instance *sld_instances_items(struct sld_arena *a, const struct sld_instances *s)
{
    return sld_instances_first(a, s, s->count);
}

const struct sld_instance *sld_instances_first(struct sld_arena *a, const struct sld_instances *s,
                                               size_t n)
{
    SLD_PRE(n <= s->count);
    struct sld_instance *out = SLD_ARENA_ARRAY(a, struct sld_instance, n);
    const unsigned char *at = s->own;
    for (size_t i = 0; i < n; i++) {
        if (i)
            out[i] = out[i - 1];
        next_item(&at, a, &out[i]);
    }
    return out;
}

bool sld_instances_have_node(const struct sld_instances *s, struct sld_str node)
{
    if (!s->bytes || !memmem(s->own, s->bytes, node.n ? node.p : "", node.n))
        return false;
    struct sld_arena a = {0};
    const struct sld_instance *items = sld_instances_items(&a, s);
    bool has = false;
    for (size_t i = 0; !has && i < s->count; i++)
        has = sld_str_eq(items[i].node, node);
    sld_arena_fini(&a);
    return has;
}

static struct sld_hash hash_of(const struct sld_instance *items, size_t n)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, n);
    for (size_t i = 0; i < n; i++) {
        const struct sld_instance *it = &items[i];
        add_str(&h, it->address);
        add_str(&h, it->hostname);
        sld_hasher_add_u64(&h, (uint64_t)it->port << 33 | (uint64_t)it->weight << 1 | it->draining);
        add_set(&h, it->tags, it->tag_count);
        add_str(&h, it->datacenter);
        add_str(&h, it->node);
        add_str(&h, it->id);
        add_labels(&h, it->meta, it->meta_count);
        add_labels(&h, it->node_meta, it->node_meta_count);
    }
    return sld_hasher_done(&h);
}

void sld_instances_seal(struct sld_instances *s)
{
    struct making *m = s->own;
    if (s->count)
        qsort(m->items, s->count, sizeof(*m->items), by_address);
    struct packer p = {0};
    pack_all(&p, m->items, s->count);
    s->bytes = p.used;
    p = (struct packer){.room = p.used ? sld_xalloc(p.used) : NULL};
    if (p.room)
        pack_all(&p, m->items, s->count);
    s->obj.hash = hash_of(m->items, s->count);
    sld_obj_frees(&s->obj, sealed_free);
    s->own = p.room;
    making_free(m);
}

// ---- From a file ----

enum { FILE_MAX_BYTES = 64 * 1024 * 1024 };

static struct sld_str *texts(struct sld_arena *a, char **in, size_t n)
{
    struct sld_str *out = SLD_ARENA_ARRAY(a, struct sld_str, n);
    for (size_t i = 0; i < n; i++)
        out[i] = sld_str_c(in[i]);
    return out;
}

static struct sld_str or_absent(const char *s)
{
    return *s ? sld_str_c(s) : SLD_STR_NONE;
}

static struct sld_str datacenter_of(const Gloo__ServiceInstance *i)
{
    return *i->data_center ? sld_str_c(i->data_center) : SLD_STR("dc1");
}

static void add_instance(struct sld_arena *a, struct sld_instances *to,
                         const Gloo__ServiceInstance *in)
{
    struct sld_instance it = {
        .address = sld_str_c(in->address),
        .hostname = or_absent(in->hostname),
        .port = in->port,
        .weight = in->weight,
        .draining = in->draining,
        .tags = texts(a, in->tags, in->n_tags),
        .tag_count = in->n_tags,
        .datacenter = datacenter_of(in),
        .node = or_absent(in->node),
        .id = or_absent(in->id),
        .meta = SLD_ARENA_ARRAY(a, struct sld_label, in->n_meta),
        .node_meta = SLD_ARENA_ARRAY(a, struct sld_label, in->n_node_meta),
    };
    for (size_t i = 0; i < in->n_meta; i++)
        it.meta[it.meta_count++] =
            (struct sld_label){sld_str_c(in->meta[i]->key), sld_str_c(in->meta[i]->value)};
    for (size_t i = 0; i < in->n_node_meta; i++)
        it.node_meta[it.node_meta_count++] = (struct sld_label){sld_str_c(in->node_meta[i]->key),
                                                                sld_str_c(in->node_meta[i]->value)};
    sld_instances_add(to, &it);
}

static void tell(struct sld_arena *a, const Gloo__Service *s, const struct sld_discovery_events *ev)
{
    struct sld_str *tags = NULL, *dcs = NULL;
    size_t tags_n = 0, dcs_n = 0;
    for (size_t i = 0; i < s->n_tags; i++)
        SLD_PUSH(a, tags, tags_n, sld_str_c(s->tags[i]));
    for (size_t i = 0; i < s->n_data_centers; i++)
        SLD_PUSH(a, dcs, dcs_n, sld_str_c(s->data_centers[i]));
    struct sld_instances *set = sld_instances_create();
    for (size_t i = 0; i < s->n_instances; i++) {
        const Gloo__ServiceInstance *in = s->instances[i];
        for (size_t k = 0; k < in->n_tags; k++)
            SLD_PUSH(a, tags, tags_n, sld_str_c(in->tags[k]));
        SLD_PUSH(a, dcs, dcs_n, datacenter_of(in));
        add_instance(a, set, in);
    }
    sld_instances_seal(set);
    struct sld_service *service = sld_service_create(sld_str_c(s->name), tags, tags_n, dcs, dcs_n);
    ev->on_service(ev->user, service->name, service);
    ev->on_instances(ev->user, service->name, set, false);
    SLD_UNREF(service);
    SLD_UNREF(set);
}

static enum sld_rc decode(struct sld_arena *a, const char *path, struct sld_str text,
                          Gloo__ServiceList **out, struct sld_err *err)
{
    struct sld_document *docs;
    size_t n;
    enum sld_code code;
    enum sld_rc rc = sld_doc_read(a, text, &sld_doc_limits_default, &docs, &n, &code, err);
    if (rc) {
        int line = err ? err->line : 0, column = err ? err->column : 0;
        return sld_err_wrap(err, "%s:%d:%d", path, line, column);
    }
    *out = SLD_MSG(a, Gloo__ServiceList, gloo__service_list);
    for (size_t i = 0; i < n; i++) {
        struct sld_report r = {.arena = a};
        if (!docs[i].root)
            continue;
        Gloo__ServiceList *one =
            sld_doc_decode(a, &gloo__service_list__descriptor, docs[i].root, false, &r);
        sld_msg_check(&r, &one->base, 0, NULL);
        for (size_t k = 0; k < r.count; k++) {
            const struct sld_finding *f = &r.items[k];
            if (f->severity != SLD_ERROR)
                continue;
            int line, column;
            sld_doc_locate(docs[i].text, docs[i].line, f->path, &line, &column);
            return sld_err_set(err, SLD_INVALID, "%s:%d:%d: %.*s: %.*s", path, line, column,
                               SLD_FMT(f->path), SLD_FMT(f->message));
        }
        for (size_t k = 0; k < one->n_services; k++)
            SLD_PUSH(a, (*out)->services, (*out)->n_services, one->services[k]);
    }
    return SLD_OK;
}

enum sld_rc sld_discovery_read(struct sld_str file, const struct sld_discovery_events *ev,
                               struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_str text;
    Gloo__ServiceList *list = NULL;
    const char *path = sld_arena_cstr(&a, file);
    enum sld_rc rc = sld_file_read(&a, "services file", path, FILE_MAX_BYTES, &text, err);
    if (!rc)
        rc = decode(&a, path, text, &list, err);
    for (size_t i = 0; !rc && i < list->n_services; i++)
        tell(&a, list->services[i], ev);
    if (!rc)
        ev->on_synced(ev->user);
    sld_arena_fini(&a);
    return rc;
}

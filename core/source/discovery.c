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

// A sorted copy without repetitions.
static struct sld_str *keep_set(struct sld_arena *a, const struct sld_str *in, size_t n,
                                size_t *out_n)
{
    *out_n = 0;
    if (!n)
        return NULL;
    struct sld_str *sorted = sld_xalloc(n * sizeof(*sorted));
    memcpy(sorted, in, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_str);
    struct sld_str *out = SLD_ARENA_ARRAY(a, struct sld_str, n);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !sld_str_eq(sorted[i], sorted[i - 1]))
            out[(*out_n)++] = sld_arena_str(a, sorted[i]);
    }
    sld_xfree(sorted);
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
    struct sld_service *s = (struct sld_service *)o;
    sld_arena_fini(&s->arena);
    sld_xfree(s);
}

struct sld_service *sld_service_create(struct sld_str name, const struct sld_str *tags,
                                       size_t tags_n, const struct sld_str *datacenters,
                                       size_t datacenters_n)
{
    struct sld_service *s = SLD_NEW(struct sld_service);
    s->name = sld_arena_str(&s->arena, name);
    s->tags = keep_set(&s->arena, tags, tags_n, &s->tag_count);
    s->datacenters = keep_set(&s->arena, datacenters, datacenters_n, &s->datacenter_count);
    struct sld_hasher h;
    sld_hasher_init(&h);
    add_str(&h, s->name);
    add_set(&h, s->tags, s->tag_count);
    add_set(&h, s->datacenters, s->datacenter_count);
    sld_obj_init(&s->obj, service_free, sld_hasher_done(&h));
    return s;
}

static void instances_free(struct sld_obj *o)
{
    struct sld_instances *s = (struct sld_instances *)o;
    sld_arena_fini(&s->arena);
    sld_xfree(s);
}

struct sld_instances *sld_instances_create(void)
{
    struct sld_instances *s = SLD_NEW(struct sld_instances);
    sld_obj_init(&s->obj, instances_free, (struct sld_hash){0});
    return s;
}

bool sld_instances_add(struct sld_instances *s, const struct sld_instance *item)
{
    if (!sld_is_ip(item->address, NULL) || item->port == 0 || item->port > UINT16_MAX)
        return false;
    struct sld_arena *a = &s->arena;
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
    SLD_PUSH(a, s->items, s->count, own);
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

// Packing: instances are kept by the ten thousand, and those of a service have much in common. The
// first pass only measures.
struct packer {
    char *room; // NULL: measuring
    size_t used;
};

static void *pack(struct packer *p, size_t n, size_t align)
{
    p->used = (p->used + align - 1) / align * align;
    void *at = p->room ? p->room + p->used : NULL;
    p->used += n;
    return at;
}

// S packed; LAST is the one before it, and PACKED what that became.
static struct sld_str pack_str(struct packer *p, struct sld_str s, struct sld_str last,
                               struct sld_str packed)
{
    if (!s.n)
        return s.p ? SLD_STR("") : s;
    if (sld_str_eq(s, last))
        return packed;
    char *to = pack(p, s.n, 1);
    if (to)
        memcpy(to, s.p, s.n);
    return sld_str_n(to, s.n);
}

static struct sld_str *pack_set(struct packer *p, const struct sld_str *in, size_t n,
                                const struct sld_str *last, size_t last_n, struct sld_str *packed)
{
    bool same = n == last_n;
    for (size_t i = 0; same && i < n; i++)
        same = sld_str_eq(in[i], last[i]);
    if (same)
        return packed;
    struct sld_str *out = pack(p, n * sizeof(*out), sizeof(void *));
    for (size_t i = 0; i < n; i++) {
        struct sld_str s = pack_str(p, in[i], SLD_STR_NONE, SLD_STR_NONE);
        if (out)
            out[i] = s;
    }
    return out;
}

static struct sld_label *pack_labels(struct packer *p, const struct sld_label *in, size_t n,
                                     const struct sld_label *last, size_t last_n,
                                     struct sld_label *packed)
{
    const struct sld_label none = {SLD_STR_NONE, SLD_STR_NONE};
    bool same = n == last_n;
    for (size_t i = 0; same && i < n; i++)
        same = sld_str_eq(in[i].key, last[i].key) && sld_str_eq(in[i].value, last[i].value);
    if (same)
        return packed;
    struct sld_label *out = pack(p, n * sizeof(*out), sizeof(void *));
    for (size_t i = 0; i < n; i++) {
        const struct sld_label *l = i < last_n ? &last[i] : &none,
                               *was = packed && i < last_n ? &packed[i] : &none;
        struct sld_label own = {pack_str(p, in[i].key, l->key, was->key),
                                pack_str(p, in[i].value, l->value, was->value)};
        if (out)
            out[i] = own;
    }
    return out;
}

static void pack_all(struct packer *p, struct sld_instances *s, const struct sld_instance *in)
{
    static const struct sld_instance none;
    struct sld_instance *out = pack(p, s->count * sizeof(*out), sizeof(void *));
    for (size_t i = 0; i < s->count; i++) {
        const struct sld_instance *it = &in[i], *last = i ? it - 1 : &none,
                                  *was = i && out ? &out[i - 1] : &none;
        struct sld_instance own = *it;
        own.address = pack_str(p, it->address, last->address, was->address);
        own.hostname = pack_str(p, it->hostname, last->hostname, was->hostname);
        own.datacenter = pack_str(p, it->datacenter, last->datacenter, was->datacenter);
        own.node = pack_str(p, it->node, last->node, was->node);
        own.id = pack_str(p, it->id, last->id, was->id);
        own.tags = pack_set(p, it->tags, it->tag_count, last->tags, last->tag_count, was->tags);
        own.meta =
            pack_labels(p, it->meta, it->meta_count, last->meta, last->meta_count, was->meta);
        own.node_meta = pack_labels(p, it->node_meta, it->node_meta_count, last->node_meta,
                                    last->node_meta_count, was->node_meta);
        if (out)
            out[i] = own;
    }
    s->items = out;
}

// Moves everything into one block of the right size.
static void settle(struct sld_instances *s)
{
    const struct sld_instance *in = s->items;
    struct sld_arena was = s->arena;
    struct packer p = {0};
    sld_arena_init(&s->arena);
    pack_all(&p, s, in);
    p = (struct packer){.room = sld_arena_alloc(&s->arena, p.used)};
    pack_all(&p, s, in);
    sld_arena_fini(&was);
}

void sld_instances_seal(struct sld_instances *s)
{
    if (s->count)
        qsort(s->items, s->count, sizeof(*s->items), by_address);
    struct sld_hasher h;
    sld_hasher_init(&h);
    sld_hasher_add_u64(&h, s->count);
    for (size_t i = 0; i < s->count; i++) {
        const struct sld_instance *it = &s->items[i];
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
    s->obj.hash = sld_hasher_done(&h);
    if (s->count)
        settle(s);
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
    ev->on_instances(ev->user, service->name, set);
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

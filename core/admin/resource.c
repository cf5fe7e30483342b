// An object as people write it: Kubernetes' form, with status in Gloo's shape and conditions.
#include "admin/inside.h"

enum { SUBRESOURCES_MAX = 100 }; // as Gloo has it

#define SCALAR(a, text) sld_node_scalar((a), (text), true)

// A printed message is larger than the document it came from, but not by much.
static const struct sld_doc_limits limits = {BODY_MAX_BYTES, 200, 8 * 1000 * 1000, 1};

static struct sld_node *message_tree(struct sld_arena *a, const ProtobufCMessage *msg)
{
    struct sld_buf text;
    struct sld_document *docs = NULL;
    enum sld_code code;
    size_t n = 0;
    sld_buf_init(&text, BODY_MAX_BYTES);
    sld_doc_print(&text, msg, SLD_TEXT_JSON_COMPACT, true);
    bool ok = !text.full &&
              sld_doc_read(a, sld_buf_str(&text), &limits, &docs, &n, &code, NULL) == SLD_OK &&
              n == 1 && docs[0].root && docs[0].root->type == SLD_NODE_MAP;
    sld_buf_fini(&text);
    return ok ? docs[0].root : NULL;
}

static void set(struct sld_arena *a, struct sld_node *map, const char *key, struct sld_str v)
{
    sld_node_set(a, map, sld_str_c(key), SCALAR(a, v));
}

// ---- Conditions ----

static bool has_code(const struct sld_status *s, enum sld_code code)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->findings[i].code == code)
            return true;
    }
    return false;
}

static struct sld_node *condition(struct sld_arena *a, const char *type, const char *status,
                                  const char *reason, struct sld_str message)
{
    struct sld_node *c = sld_node_map(a);
    set(a, c, "type", sld_str_c(type));
    set(a, c, "status", sld_str_c(status));
    set(a, c, "reason", sld_str_c(reason));
    set(a, c, "message", message);
    return c;
}

// Whether the document was taken.
static struct sld_node *accepted(struct sld_arena *a, const struct sld_status *s)
{
    const char *status = s->state == SLD_PENDING    ? "Unknown"
                         : s->state == SLD_REJECTED ? "False"
                                                    : "True";
    return condition(a, "Accepted", status, sld_status_state_name(s->state), s->reason);
}

// Whether what the document says is what Envoys get.
static struct sld_node *programmed(struct sld_arena *a, const struct sld_status *s)
{
    if (s->state == SLD_PENDING)
        return condition(a, "Programmed", "Unknown", "Pending", SLD_STR(""));
    if (has_code(s, SLD_ENVOY_REFUSED))
        return condition(a, "Programmed", "False", "Refused",
                         SLD_STR("Envoy refused the configuration made of this object; what it took "
                                 "last stays in force"));
    if (s->last_good)
        return condition(a, "Programmed", "False", "LastGood",
                         SLD_STR("the last accepted form of this object is in force, not this one"));
    if (!s->served)
        return condition(a, "Programmed", "False", "NotServed",
                         SLD_STR("no form of this object is in force"));
    // As Gateway API means it: it is on its way. What Envoys take comes and goes with them, which a status does not.
    return condition(a, "Programmed", "True", "Programmed",
                     SLD_STR("it is part of what connected Envoys get; /v1/envoys tells which of them have taken it"));
}

// The proxies that an object is part of, each with a status of its own (gloo-compat 0.3).
struct proxies {
    struct sld_arena *arena;
    const struct sld_status *status;
    struct sld_node *map;
};

static void add_proxy(struct sld_str view, void *arg)
{
    struct proxies *p = arg;
    struct sld_str proxy = view, ns;
    if (p->map->count >= SUBRESOURCES_MAX || !sld_str_cut(&proxy, '~', &ns))
        return;
    struct sld_node *one = sld_node_map(p->arena);
    set(p->arena, one, "state", sld_str_c(sld_status_state_name(p->status->state)));
    set(p->arena, one, "reportedBy", SLD_STR("gloo"));
    sld_node_set(p->arena, p->map, sld_arena_fmt(p->arena, "*v1.Proxy.%.*s_%.*s", SLD_FMT(proxy), SLD_FMT(ns)), one);
}

static struct sld_node *status_tree(struct sld_arena *a, const struct sld_admin_model *m, struct sld_ident id,
                                    const struct sld_status *s, bool scan)
{
    struct sld_str write_ns = m->write_ns;
    struct sld_node *status = sld_node_map(a), *statuses = sld_node_map(a), *one = sld_node_map(a);
    struct sld_node *conditions = SLD_ARENA_NEW(a, struct sld_node);
    set(a, one, "state", sld_str_c(sld_status_state_name(s->state)));
    if (s->reason.n)
        set(a, one, "reason", s->reason);
    set(a, one, "reportedBy", SLD_STR("gloo"));
    struct proxies p = {a, s, sld_node_map(a)};
    sld_translate_proxies(m->translate, sld_ident_key(a, id), scan, add_proxy, &p);
    if (p.map->count)
        sld_node_set(a, one, SLD_STR("subresourceStatuses"), p.map);
    sld_node_set(a, statuses, write_ns, one);
    sld_node_set(a, status, SLD_STR("statuses"), statuses);
    conditions->type = SLD_NODE_SEQ;
    SLD_PUSH(a, conditions->items, conditions->count, accepted(a, s));
    SLD_PUSH(a, conditions->items, conditions->count, programmed(a, s));
    sld_node_set(a, status, SLD_STR("conditions"), conditions);
    return status;
}

// ---- The whole ----

struct sld_node *resource_tree(struct sld_arena *a, const struct sld_admin_model *m,
                               const struct sld_object *o, const struct sld_status *s, bool scan)
{
    const struct sld_kind_info *info = sld_kind_info(o->id.kind);
    struct sld_node *flat = message_tree(a, sld_object_msg(o));
    if (!flat)
        return NULL;
    struct sld_node *root = sld_node_map(a), *spec = sld_node_map(a);
    struct sld_node *meta = sld_node_get(flat, SLD_STR("metadata"));
    set(a, root, "apiVersion", sld_arena_fmt(a, "%s/%s", info->group, info->version));
    set(a, root, "kind", sld_str_c(info->name));
    sld_node_set(a, root, SLD_STR("metadata"), meta ? meta : sld_node_map(a));
    for (size_t i = 0; i < flat->count; i++) {
        struct sld_str key = flat->pairs[i].key->text;
        if (!sld_str_eq(key, SLD_STR("metadata")) && !sld_str_eq(key, SLD_STR("namespacedStatuses")))
            sld_node_set(a, spec, key, flat->pairs[i].value);
    }
    sld_node_set(a, root, SLD_STR("spec"), spec);
    if (s)
        sld_node_set(a, root, SLD_STR("status"), status_tree(a, m, o->id, s, scan));
    return root;
}

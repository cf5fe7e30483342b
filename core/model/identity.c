// Which object a document is about.
#include "model/inside.h"

#include "codec/text.h"

struct sld_str sld_ident_key(struct sld_arena *a, struct sld_ident id)
{
    struct sld_str slash = SLD_STR("/");
    return SLD_ARENA_JOIN(a, sld_str_c(sld_kind_info(id.kind)->plural), slash, id.ns, slash,
                          id.name);
}

// Secrets may have a reference to a store as their name.
static bool name_fits(enum sld_kind k, struct sld_str name)
{
    return sld_is_dns1123(name) || (k == SLD_KIND_SECRET && sld_is_store_ref(name));
}

bool sld_ident_parse(struct sld_str key, struct sld_ident *out)
{
    struct sld_str plural, ns;
    if (!sld_str_cut(&key, '/', &plural) || !sld_str_cut(&key, '/', &ns))
        return false;
    const struct sld_kind_info *k = sld_kind_by_plural(plural);
    // Upstreams in memory stand for services; no document has such a name.
    bool in_memory = k && k->kind == SLD_KIND_UPSTREAM && sld_is_service_upstream(key);
    if (!k || !sld_is_dns1123(ns) || !(in_memory || name_fits(k->kind, key)))
        return false;
    *out = (struct sld_ident){.kind = k->kind, .ns = ns, .name = key};
    return true;
}

struct sld_ident sld_ident_of_key(struct sld_str key)
{
    struct sld_str plural, ns;
    bool ok = sld_str_cut(&key, '/', &plural) && sld_str_cut(&key, '/', &ns);
    const struct sld_kind_info *k = ok ? sld_kind_by_plural(plural) : NULL;
    SLD_PRE(k);
    return (struct sld_ident){.kind = k->kind, .ns = ns, .name = key};
}

// ---- Lists ----

bool doc_is_list_kind(struct sld_str kind)
{
    const struct sld_str end = SLD_STR("List");
    if (!sld_str_ends(kind, end))
        return false;
    struct sld_str of = sld_str_sub(kind, 0, kind.n - end.n);
    if (of.n == 0 || sld_str_eq(of, SLD_STR("ConfigMap")))
        return true;
    const struct sld_kind_info *k = sld_kind_find(of);
    return k && sld_str_eq(of, sld_str_c(k->name));
}

void sld_model_each(const struct sld_node *root,
                    void (*fn)(const struct sld_node *doc, long index, void *arg), void *arg)
{
    const struct sld_node *items = sld_node_get(root, SLD_STR("items"));
    if (!items || items->type != SLD_NODE_SEQ ||
        !doc_is_list_kind(sld_node_text(sld_node_get(root, SLD_STR("kind"))))) {
        fn(root, -1, arg);
        return;
    }
    for (size_t i = 0; i < items->count; i++)
        fn(items->items[i], (long)i, arg);
}

// ---- Kinds ----

// What a document and its place say of its kind.
struct head {
    const struct sld_node *root, *metadata;
    struct sld_str api, group, version, kind;
    const struct sld_kind_info *layout; // of the place; NULL = none
    struct sld_str layout_ns;
};

// Kinds of Gloo's that are not read, and why.
static const struct {
    const char *group, *kind, *why;
} unread[] = {
    {"enterprise.gloo.solo.io", "AuthConfig", "it belongs to an enterprise feature"},
    {"ratelimit.solo.io", "RateLimitConfig", "it belongs to an enterprise feature"},
    {"gateway.gloo.solo.io", "GatewayParameters", "it belongs to the Kubernetes Gateway API"},
    {"gateway.gloo.solo.io", "DirectResponse", "it belongs to the Kubernetes Gateway API"},
    {"gloo.solo.io", "Endpoint", "endpoints are discovered, not written"},
};

static enum sld_rc not_ours(enum sld_code *code, struct sld_err *err, enum sld_code why,
                            const char *fmt, ...) SLD_PRINTF(4, 5);

static enum sld_rc not_ours(enum sld_code *code, struct sld_err *err, enum sld_code why,
                            const char *fmt, ...)
{
    char text[SLD_ERR_MAX];
    va_list ap;
    va_start(ap, fmt);
    struct sld_buf b;
    sld_buf_init(&b, sizeof(text) - 1);
    sld_buf_vaddf(&b, fmt, ap);
    va_end(ap);
    if (code)
        *code = why;
    sld_err_set(err, SLD_NOT_FOUND, "%.*s", SLD_FMT(sld_buf_str(&b)));
    sld_buf_fini(&b);
    return SLD_NOT_FOUND;
}

// The last "<plural>/<namespace>/" of PATH.
static void read_layout(struct head *h, struct sld_str path)
{
    struct sld_str before, here = SLD_STR_NONE, part;
    while (sld_str_cut(&path, '/', &part)) {
        before = here;
        here = part;
        if (!path.p) // the file itself
            return;
        const struct sld_kind_info *k = before.p ? sld_kind_by_plural(before) : NULL;
        if (k) {
            h->layout = k;
            h->layout_ns = here;
        }
    }
}

static void read_head(struct head *h, const struct sld_node *root, const struct sld_doc_place *p)
{
    *h = (struct head){.root = root, .metadata = sld_node_get(root, SLD_STR("metadata"))};
    h->api = sld_node_text(sld_node_get(root, SLD_STR("apiVersion")));
    h->kind = sld_node_text(sld_node_get(root, SLD_STR("kind")));
    struct sld_str rest = h->api, first;
    if (sld_str_cut(&rest, '/', &first)) {
        h->group = rest.p ? first : SLD_STR("");
        h->version = rest.p ? rest : first;
    }
    read_layout(h, p->path);
}

static bool our_group(struct sld_str group)
{
    return sld_str_eq(group, SLD_STR("gateway.solo.io")) ||
           sld_str_eq(group, SLD_STR("gloo.solo.io")) || sld_str_eq(group, SLD_STR("solder.dev"));
}

static bool is_core(const struct head *h)
{
    return !h->api.p || sld_str_eq(h->api, SLD_STR("v1"));
}

static enum sld_rc no_kind(const struct head *h, enum sld_code *code, struct sld_err *err)
{
    if (!h->api.p && !h->metadata && !sld_node_get(h->root, SLD_STR("spec")))
        return not_ours(code, err, SLD_DOC_FOREIGN,
                        "the document has no kind and no metadata; it is ignored");
    return not_ours(code, err, SLD_DOC_KIND,
                    "the document has no kind; give apiVersion and kind, or put the file under "
                    "<plural>/<namespace>/");
}

static enum sld_rc unknown_kind(const struct head *h, enum sld_code *code, struct sld_err *err)
{
    struct sld_str kind = sld_str_sub(h->kind, 0, 100), api = sld_str_sub(h->api, 0, 100);
    if (doc_is_list_kind(h->kind) && is_core(h))
        return not_ours(code, err, SLD_DOC_KIND,
                        "a %.*s without items, or one inside another; put the documents below "
                        "items of one List",
                        SLD_FMT(kind));
    for (size_t i = 0; i < SLD_ARRAY_LEN(unread); i++) {
        if (sld_str_eq(h->kind, sld_str_c(unread[i].kind)) &&
            (!h->api.p || sld_str_eq(h->group, sld_str_c(unread[i].group))))
            return not_ours(code, err, SLD_DOC_FOREIGN, "%s is not read: %s", unread[i].kind,
                            unread[i].why);
    }
    const struct sld_kind_info *near = sld_kind_nearest(h->kind);
    if (near && (!h->api.p || our_group(h->group)))
        return not_ours(code, err, SLD_DOC_KIND, "unknown kind \"%.*s\"; did you mean \"%s\"?",
                        SLD_FMT(kind), near->name);
    if (our_group(h->group))
        return not_ours(code, err, SLD_DOC_KIND, "%.*s has no kind \"%.*s\"", SLD_FMT(api),
                        SLD_FMT(kind));
    return not_ours(code, err, SLD_DOC_FOREIGN, "%.*s%s%.*s is not read", SLD_FMT(api),
                    h->api.p ? " " : "", SLD_FMT(kind));
}

static enum sld_rc read_kind(const struct head *h, const struct sld_kind_info **out,
                             enum sld_code *code, struct sld_err *err)
{
    const struct sld_node *kind = sld_node_get(h->root, SLD_STR("kind"));
    if (kind && kind->type != SLD_NODE_NULL && !h->kind.n)
        return not_ours(code, err, SLD_DOC_KIND, "the document's kind is no name");
    if (!h->kind.n) {
        *out = h->layout;
        return h->layout ? SLD_OK : no_kind(h, code, err);
    }
    if (is_core(h) && sld_str_eq(h->kind, SLD_STR("ConfigMap"))) {
        *out = sld_kind_info(SLD_KIND_ARTIFACT);
        return SLD_OK;
    }
    const struct sld_kind_info *k = sld_kind_find(h->kind);
    if (!k || !sld_str_eq(h->kind, sld_str_c(k->name)))
        return unknown_kind(h, code, err);
    *out = k;
    if (!h->api.p || (k->kind == SLD_KIND_SECRET && is_core(h)))
        return SLD_OK;
    if (!our_group(h->group))
        return not_ours(code, err, SLD_DOC_FOREIGN, "%.*s %s is not read",
                        SLD_FMT(sld_str_sub(h->api, 0, 100)), k->name);
    if (!sld_str_eq(h->group, sld_str_c(k->group)) ||
        !sld_str_eq(h->version, sld_str_c(k->version)))
        return not_ours(code, err, SLD_DOC_KIND, "%.*s has no %s; write apiVersion: %s/%s",
                        SLD_FMT(sld_str_sub(h->api, 0, 100)), k->name, k->group, k->version);
    return SLD_OK;
}

// ---- What is ignored though its kind is ours ----

static struct sld_str meta_text(const struct head *h, struct sld_str map, struct sld_str key)
{
    return sld_node_text(sld_node_get(sld_node_get(h->metadata, map), key));
}

static enum sld_rc leftover(const struct head *h, const struct sld_doc_place *place,
                            enum sld_kind k, enum sld_code *code, struct sld_err *err)
{
    const struct sld_str labels = SLD_STR("labels");
    if (k == SLD_KIND_PROXY &&
        sld_str_starts(meta_text(h, labels, SLD_STR("created_by")), SLD_STR("gloo-gateway")))
        return not_ours(code, err, SLD_DOC_FOREIGN,
                        "this Proxy was written by Gloo from other resources; it is not read");
    if (k == SLD_KIND_UPSTREAM && !place->adopt_discovered &&
        meta_text(h, labels, SLD_STR("discovered_by")).n)
        return not_ours(code, err, SLD_DOC_FOREIGN,
                        "this Upstream was written by Gloo's discovery; it is not read (remove the "
                        "label discovered_by to make it yours, or set solder.adoptDiscovered for "
                        "all)");
    if (k == SLD_KIND_ARTIFACT &&
        meta_text(h, SLD_STR("annotations"), SLD_STR("control-plane.alpha.kubernetes.io/leader")).p)
        return not_ours(code, err, SLD_DOC_FOREIGN,
                        "this ConfigMap holds a leader election; it is not read");
    if (k == SLD_KIND_SECRET && secret_form(h->root) == SECRET_IGNORED)
        return not_ours(
            code, err, SLD_DOC_FOREIGN, "Secrets of type \"%.*s\" are not read",
            SLD_FMT(sld_str_sub(sld_node_text(sld_node_get(h->root, SLD_STR("type"))), 0, 100)));
    return SLD_OK;
}

// ---- Names ----

static enum sld_rc bad_identity(enum sld_code *code, struct sld_err *err, const char *field,
                                struct sld_str value)
{
    if (code)
        *code = SLD_DOC_IDENTITY;
    if (!value.n)
        return sld_err_set(err, SLD_INVALID, "the document has no %s", field);
    return sld_err_set(err, SLD_INVALID,
                       "%s \"%.*s\" is no DNS-1123 name: lower-case letters, digits, '-' and '.', "
                       "at most 253 characters",
                       field, SLD_FMT(sld_str_sub(value, 0, 100)));
}

// ---- Keys of stores ----

struct sld_str sld_store_key(struct sld_arena *a, struct sld_ident id)
{
    const struct sld_kind_info *k = sld_kind_info(id.kind);
    struct sld_str slash = SLD_STR("/");
    return SLD_ARENA_JOIN(a, sld_str_c(k->group), slash, sld_str_c(k->version), slash,
                          sld_str_c(k->name), slash, id.ns, slash, id.name);
}

enum sld_rc sld_store_key_parse(struct sld_str key, struct sld_ident *out, enum sld_code *code,
                                struct sld_err *err)
{
    struct sld_str part[5] = {0}, rest = key;
    size_t n = 0;
    while (n < SLD_ARRAY_LEN(part) && sld_str_cut(&rest, '/', &part[n]))
        n++;
    struct head h = {.group = part[0], .version = part[1], .kind = part[2]};
    h.api = n > 1 ? sld_str_n(key.p, part[0].n + 1 + part[1].n) : part[0];
    const struct sld_kind_info *k = sld_kind_find(h.kind);
    if (n < 3 || !k || !sld_str_eq(h.kind, sld_str_c(k->name)))
        return n < 3 ? not_ours(code, err, SLD_DOC_FOREIGN, "the key is of no kind; it is ignored")
                     : unknown_kind(&h, code, err);
    if (k->kind == SLD_KIND_SECRET)
        return not_ours(code, err, SLD_DOC_FOREIGN, "Secrets are not read from here");
    if (!our_group(h.group))
        return not_ours(code, err, SLD_DOC_FOREIGN, "%.*s %s is not read",
                        SLD_FMT(sld_str_sub(h.api, 0, 100)), k->name);
    if (!sld_str_eq(h.group, sld_str_c(k->group)) || !sld_str_eq(h.version, sld_str_c(k->version)))
        return not_ours(code, err, SLD_DOC_KIND, "%.*s has no %s; store it under %s/%s/%s/",
                        SLD_FMT(sld_str_sub(h.api, 0, 100)), k->name, k->group, k->version,
                        k->name);
    if (n < 5 || rest.p) {
        if (code)
            *code = SLD_DOC_IDENTITY;
        return sld_err_set(err, SLD_INVALID, "the key must be %s/%s/%s/<namespace>/<name>",
                           k->group, k->version, k->name);
    }
    if (!sld_is_dns1123(part[3]))
        return bad_identity(code, err, "the key's namespace", part[3]);
    if (!sld_is_dns1123(part[4]))
        return bad_identity(code, err, "the key's name", part[4]);
    *out = (struct sld_ident){.kind = k->kind, .ns = part[3], .name = part[4]};
    return SLD_OK;
}

// What the document says of its name is looked at when it is decoded; a document of another kind is
// none of this one.
static enum sld_rc identify_keyed(const struct head *h, const struct sld_doc_place *place,
                                  struct sld_ident *out, enum sld_code *code, struct sld_err *err)
{
    enum sld_rc rc = sld_store_key_parse(place->path, out, code, err);
    if (rc != SLD_OK)
        return rc;
    const struct sld_kind_info *k = sld_kind_info(out->kind);
    bool config_map = k->kind == SLD_KIND_ARTIFACT && sld_str_eq(h->kind, SLD_STR("ConfigMap"));
    if (h->kind.n && !config_map && !sld_str_eq(h->kind, sld_str_c(k->name)))
        return not_ours(code, err, SLD_DOC_KIND,
                        "the key is that of a %s, the document says kind: %.*s; store it under the "
                        "key of its kind",
                        k->name, SLD_FMT(sld_str_sub(h->kind, 0, 100)));
    return leftover(h, place, k->kind, code, err);
}

enum sld_rc sld_model_identify(const struct sld_node *root, const struct sld_doc_place *place,
                               struct sld_ident *out, enum sld_code *code, struct sld_err *err)
{
    if (root->type != SLD_NODE_MAP)
        return not_ours(code, err, SLD_DOC_KIND, "the document is %s, not a mapping with %s",
                        root->type == SLD_NODE_SEQ ? "a list" : "a single value",
                        "apiVersion, kind, metadata and spec");
    struct head h;
    read_head(&h, root, place);
    if (place->keyed)
        return identify_keyed(&h, place, out, code, err);
    const struct sld_kind_info *k = NULL;
    enum sld_rc rc = read_kind(&h, &k, code, err);
    if (rc == SLD_OK)
        rc = leftover(&h, place, k->kind, code, err);
    if (rc != SLD_OK)
        return rc;
    const struct sld_node *ns_node = sld_node_get(h.metadata, SLD_STR("namespace"));
    struct sld_str name = sld_node_text(sld_node_get(h.metadata, SLD_STR("name")));
    struct sld_str ns = sld_node_text(ns_node);
    if (!name_fits(k->kind, name))
        return bad_identity(code, err, "metadata.name", name);
    if (ns_node && ns_node->type != SLD_NODE_NULL && ns_node->type != SLD_NODE_SCALAR)
        return bad_identity(code, err, "metadata.namespace", SLD_STR_NONE);
    const char *from = "metadata.namespace";
    if (!ns.n && h.layout == k) {
        ns = h.layout_ns;
        from = "the directory's namespace";
    }
    if (!ns.n)
        ns = place->default_ns;
    if (!sld_is_dns1123(ns))
        return bad_identity(code, err, from, ns);
    *out = (struct sld_ident){.kind = k->kind, .ns = ns, .name = name};
    return SLD_OK;
}

// Documents to messages: the Kubernetes form and the flat form, made one before decoding.
#include "model/inside.h"

// What Kubernetes and Gloo's stores keep in metadata and nobody here has to know. Dropping it keeps
// a status write, which counts the resource version up, from being a change.
static const char *const store_fields[] = {
    "clusterName",       "creationTimestamp", "deletionGracePeriodSeconds",
    "deletionTimestamp", "finalizers",        "generateName",
    "generation",        "initializers",      "managedFields",
    "ownerReferences",   "owner_references",  "resourceVersion",
    "resource_version",  "selfLink",          "uid",
};
static const char *const status_fields[] = {"namespacedStatuses", "namespaced_statuses", "status"};

// kubectl keeps the whole document here, secrets too.
#define LAST_APPLIED SLD_STR("kubectl.kubernetes.io/last-applied-configuration")

static bool listed(const char *const *list, size_t n, struct sld_str s)
{
    for (size_t i = 0; i < n; i++) {
        if (sld_str_eq(s, sld_str_c(list[i])))
            return true;
    }
    return false;
}

#define LISTED(list, s) listed((list), SLD_ARRAY_LEN(list), (s))

// ---- The flat form ----

void doc_add(struct sld_arena *a, struct sld_node *map, struct sld_node *key,
             struct sld_node *value)
{
    struct sld_node_pair pair = {key, value};
    SLD_PUSH(a, map->pairs, map->count, pair);
}

// Adds KEY with a text of ours, at the place of PAIR (NULL: none).
static void add_text(struct sld_arena *a, struct sld_node *map, struct sld_str key,
                     struct sld_str value, const struct sld_node_pair *pair)
{
    doc_add(a, map, pair ? pair->key : sld_node_scalar(a, key, true),
            sld_node_scalar(a, value, true));
}

static const struct sld_node_pair *pair_of(const struct sld_node *map, struct sld_str key)
{
    for (size_t i = 0; map && map->type == SLD_NODE_MAP && i < map->count; i++) {
        if (sld_str_eq(map->pairs[i].key->text, key))
            return &map->pairs[i];
    }
    return NULL;
}

static struct sld_node *annotations_kept(struct sld_arena *a, struct sld_node *map)
{
    if (!sld_node_get(map, LAST_APPLIED))
        return map;
    struct sld_node *kept = sld_node_map(a);
    for (size_t i = 0; i < map->count; i++) {
        if (!sld_str_eq(map->pairs[i].key->text, LAST_APPLIED))
            doc_add(a, kept, map->pairs[i].key, map->pairs[i].value);
    }
    return kept;
}

// The name a document gives itself may not be the one of the key it is stored under.
static void check_name(const struct sld_node *given, struct sld_str field, struct sld_str is,
                       struct sld_report *r)
{
    struct sld_str said = sld_node_text(sld_node_get(given, field)),
                   where = SLD_STR("metadata.name");
    if (said.n && !sld_str_eq(said, is)) {
        if (!sld_str_eq(field, SLD_STR("name")))
            where = SLD_STR("metadata.namespace");
        sld_report_add(r, SLD_WARNING, SLD_DOC_PLACE, where,
                       "\"%.*s\" is not the %.*s in the key it is stored under, which counts: "
                       "\"%.*s\"",
                       SLD_FMT(sld_str_sub(said, 0, 253)), SLD_FMT(field), SLD_FMT(is));
    }
}

static struct sld_node *metadata_flatten(struct sld_arena *a, struct sld_ident id,
                                         const struct sld_node *given, struct sld_report *r)
{
    struct sld_node *m = sld_node_map(a);
    if (given) {
        m->line = given->line;
        m->column = given->column;
    }
    check_name(given, SLD_STR("name"), id.name, r);
    check_name(given, SLD_STR("namespace"), id.ns, r);
    add_text(a, m, SLD_STR("name"), id.name, pair_of(given, SLD_STR("name")));
    add_text(a, m, SLD_STR("namespace"), id.ns, pair_of(given, SLD_STR("namespace")));
    for (size_t i = 0; given && given->type == SLD_NODE_MAP && i < given->count; i++) {
        struct sld_node *key = given->pairs[i].key, *value = given->pairs[i].value;
        if (sld_str_eq(key->text, SLD_STR("name")) || sld_str_eq(key->text, SLD_STR("namespace")) ||
            LISTED(store_fields, key->text))
            continue;
        if (sld_str_eq(key->text, SLD_STR("annotations")))
            value = annotations_kept(a, value);
        doc_add(a, m, key, value);
    }
    return m;
}

static bool is_head(struct sld_str key)
{
    return sld_str_eq(key, SLD_STR("apiVersion")) || sld_str_eq(key, SLD_STR("kind")) ||
           sld_str_eq(key, SLD_STR("metadata")) || LISTED(status_fields, key);
}

// A finding for each key beside the spec that does not belong there.
static void check_beside_spec(const struct sld_node *root, const struct sld_kind_info *k,
                              struct sld_report *r)
{
    for (size_t i = 0; i < root->count; i++) {
        struct sld_str key = sld_str_sub(root->pairs[i].key->text, 0, 253);
        if (is_head(key) || sld_str_eq(key, SLD_STR("spec")))
            continue;
        bool ours = sld_msg_field_index(sld_msg_info(k->desc), key) >= 0;
        sld_report_add(r, SLD_ERROR, SLD_FIELD_UNKNOWN, key, "unknown field \"%.*s\"%s",
                       SLD_FMT(sld_str_sub(key, 0, 100)),
                       ours ? " beside spec; move it below spec" : "");
    }
}

static void spec_flatten(struct sld_arena *a, const struct sld_node *spec, struct sld_node *flat,
                         struct sld_report *r)
{
    if (spec->type != SLD_NODE_MAP) {
        if (spec->type != SLD_NODE_NULL)
            sld_report_add(r, SLD_ERROR, SLD_FIELD_TYPE, SLD_STR("spec"), "expected a mapping");
        return;
    }
    for (size_t i = 0; i < spec->count; i++) {
        struct sld_node *key = spec->pairs[i].key;
        if (sld_str_eq(key->text, SLD_STR("metadata")))
            sld_report_add(r, SLD_ERROR, SLD_FIELD_UNKNOWN, SLD_STR("spec.metadata"),
                           "unknown field \"metadata\"; it stands beside spec, not below");
        else if (!LISTED(status_fields, key->text))
            doc_add(a, flat, key, spec->pairs[i].value);
    }
}

// A ConfigMap's binaryData is not text, and Gloo does not read it either.
static bool is_config_map_field(enum sld_kind k, struct sld_str key)
{
    return k == SLD_KIND_ARTIFACT &&
           (sld_str_eq(key, SLD_STR("binaryData")) || sld_str_eq(key, SLD_STR("immutable")));
}

struct sld_node *doc_flatten(struct sld_arena *a, struct sld_ident id, const struct sld_node *root,
                             struct sld_report *r)
{
    struct sld_node *flat = sld_node_map(a);
    flat->line = root->line;
    flat->column = root->column;
    const struct sld_node_pair *meta = pair_of(root, SLD_STR("metadata"));
    doc_add(a, flat, meta ? meta->key : sld_node_scalar(a, SLD_STR("metadata"), true),
            metadata_flatten(a, id, meta ? meta->value : NULL, r));
    if (root->type != SLD_NODE_MAP)
        return flat;
    const struct sld_node *spec = sld_node_get(root, SLD_STR("spec"));
    if (id.kind == SLD_KIND_SECRET && secret_form(root) != SECRET_FLAT) {
        secret_flatten(a, root, flat, r);
    } else if (spec) {
        check_beside_spec(root, sld_kind_info(id.kind), r);
        spec_flatten(a, spec, flat, r);
    } else {
        for (size_t i = 0; i < root->count; i++) {
            struct sld_node *k = root->pairs[i].key;
            if (!is_head(k->text) && !is_config_map_field(id.kind, k->text))
                doc_add(a, flat, k, root->pairs[i].value);
        }
    }
    return flat;
}

// ---- Decoding ----

// True when the text of a finding of code C may quote the value it is about.
static bool quotes_values(enum sld_code c)
{
    return c == SLD_FIELD_TYPE || c == SLD_FIELD_FORMAT || c == SLD_FIELD_ENUM ||
           c == SLD_FIELD_RANGE;
}

// Moves the findings of FROM to TO without the values they quote.
static void report_redacted(struct sld_report *to, const struct sld_report *from)
{
    size_t errors = 0, warnings = 0;
    for (size_t i = 0; i < from->count; i++) {
        const struct sld_finding *f = &from->items[i];
        bool hide = quotes_values(f->code) && !sld_str_starts(f->path, SLD_STR("metadata"));
        if (hide)
            sld_report_add(to, f->severity, f->code, f->path, "%s (it is not shown, being secret)",
                           sld_code_title(f->code));
        else
            sld_report_add(to, f->severity, f->code, f->path, "%.*s", SLD_FMT(f->message));
        errors += f->severity == SLD_ERROR;
        warnings += f->severity == SLD_WARNING;
    }
    to->errors += from->errors - errors; // those that were counted alone
    to->warnings += from->warnings - warnings;
}

// PATH is a field of OF, however deep.
static bool path_below(struct sld_str path, struct sld_str of)
{
    return sld_str_starts(path, of) && path.n > of.n &&
           (!of.n || path.p[of.n] == '.' || path.p[of.n] == '[');
}

// Whether F only tells that the value of E, which could not be decoded, is not there.
static bool follows_from(const struct sld_finding *f, const struct sld_finding *e)
{
    if (e->severity != SLD_ERROR || e->code == SLD_FIELD_UNKNOWN)
        return false;
    if (sld_str_eq(f->path, e->path) || path_below(f->path, e->path))
        return true;
    // "one of these is required: ..." names the field.
    if (f->code != SLD_FIELD_REQUIRED || !path_below(e->path, f->path))
        return false;
    size_t at = f->path.n ? f->path.n + 1 : 0;
    struct sld_str field = sld_str_sub(e->path, at, e->path.n - at);
    return sld_str_find(f->message, field) >= 0;
}

// Drops what the checks found, from number FROM on, about values that decoding has told of.
static void drop_follow_ups(struct sld_report *r, size_t from)
{
    size_t kept = from;
    for (size_t i = from; i < r->count; i++) {
        size_t k = 0;
        while (k < from && !follows_from(&r->items[i], &r->items[k]))
            k++;
        if (k == from)
            r->items[kept++] = r->items[i];
        else
            r->errors -= r->items[i].severity == SLD_ERROR;
    }
    r->count = kept;
}

void *sld_model_decode(struct sld_arena *a, struct sld_ident id, const struct sld_node *root,
                       const struct sld_umap *served, struct sld_report *r)
{
    bool secret = id.kind == SLD_KIND_SECRET;
    struct sld_arena scratch = {0};
    struct sld_report unredacted = {.arena = &scratch};
    struct sld_report *schema = secret ? &unredacted : r;
    struct sld_node *flat = doc_flatten(&scratch, id, root, r);
    void *msg = sld_doc_decode(a, sld_kind_info(id.kind)->desc, flat, false, schema);
    size_t decoded = schema->count;
    sld_msg_check(schema, msg, 0, served);
    drop_follow_ups(schema, decoded);
    if (secret)
        report_redacted(r, &unredacted);
    sld_arena_fini_secret(&scratch);
    return msg;
}

// ---- Metadata ----

const Gloo__Metadata *sld_model_metadata(enum sld_kind k, const void *msg)
{
    const ProtobufCMessage *m = msg;
    const ProtobufCMessageDescriptor *desc = sld_kind_info(k)->desc;
    SLD_PRE(m->descriptor == desc);
    SLD_INV(desc->fields[0].descriptor == &gloo__metadata__descriptor);
    const Gloo__Metadata *meta;
    memcpy(&meta, (const char *)msg + desc->fields[0].offset, sizeof(meta));
    return meta;
}

struct sld_str sld_metadata_label(const Gloo__Metadata *m, struct sld_str key)
{
    for (size_t i = 0; m && i < m->n_labels; i++) {
        if (sld_str_eq(sld_str_c(m->labels[i]->key), key))
            return sld_str_c(m->labels[i]->value);
    }
    return SLD_STR_NONE;
}

struct sld_str sld_metadata_annotation(const Gloo__Metadata *m, struct sld_str key)
{
    for (size_t i = 0; m && i < m->n_annotations; i++) {
        if (sld_str_eq(sld_str_c(m->annotations[i]->key), key))
            return sld_str_c(m->annotations[i]->value);
    }
    return SLD_STR_NONE;
}

// Secrets of Kubernetes in Gloo's logical form: a chain of readers, the first that claims a secret
// converts it (gloo-compat 2.6).
#include "model/inside.h"

#include "codec/text.h"

#include "secret.pb-c.h"

// A key of a Secret in Kubernetes has at most so many characters.
enum { KEY_MAX = 253 };

// What is left of a secret's document.
struct kube {
    struct sld_arena *a;
    struct sld_report *r;
    const struct sld_node *data, *string_data, *annotations;
    struct sld_str type;
};

// One value, decoded.
struct value {
    struct sld_node *key;
    const struct sld_node *node; // as written
    struct sld_str bytes;
};

struct reader {
    const char *type; // NULL: see claims
    bool (*claims)(const struct kube *k);
    void (*convert)(struct kube *k, struct sld_node *flat);
};

static void kube_init(struct kube *k, struct sld_arena *a, const struct sld_node *root,
                      struct sld_report *r)
{
    *k = (struct kube){
        .a = a,
        .r = r,
        .data = sld_node_get(root, SLD_STR("data")),
        .string_data = sld_node_get(root, SLD_STR("stringData")),
        .annotations =
            sld_node_get(sld_node_get(root, SLD_STR("metadata")), SLD_STR("annotations")),
        .type = sld_node_text(sld_node_get(root, SLD_STR("type"))),
    };
    if (!k->type.n)
        k->type = SLD_STR("Opaque");
}

// ---- Values ----

static bool has(const struct kube *k, struct sld_str key)
{
    return sld_node_get(k->string_data, key) || sld_node_get(k->data, key);
}

static void fail_value(struct kube *k, struct sld_str path, struct sld_str key, const char *what)
{
    sld_report_add(k->r, SLD_ERROR, SLD_FIELD_FORMAT, path, "the value of data key \"%.*s\" %s",
                   SLD_FMT(sld_str_sub(key, 0, 100)), what);
}

// Decodes the value of PAIR, which is base64 unless PLAIN. False with a finding at PATH.
static bool value_read(struct kube *k, const struct sld_node_pair *pair, bool plain, struct sld_str path,
                       struct value *out)
{
    const struct sld_node *node = pair->value;
    *out = (struct value){.key = pair->key, .node = node, .bytes = SLD_STR("")};
    if (node->type == SLD_NODE_NULL)
        return true;
    if (node->type != SLD_NODE_SCALAR) {
        fail_value(k, path, pair->key->text, "is no text");
        return false;
    }
    out->bytes = node->text;
    if (plain || sld_base64_decode(k->a, node->text, &out->bytes))
        return true;
    fail_value(k, path, pair->key->text,
               "is not base64; encode it, or write it as it is below stringData");
    return false;
}

static const struct sld_node_pair *find(const struct sld_node *map, struct sld_str key)
{
    for (size_t i = 0; map && map->type == SLD_NODE_MAP && i < map->count; i++) {
        if (sld_str_eq(map->pairs[i].key->text, key))
            return &map->pairs[i];
    }
    return NULL;
}

// The value of KEY; false when it is not there or cannot be read.
static bool value_of(struct kube *k, struct sld_str key, struct sld_str path, struct value *out)
{
    const struct sld_node_pair *plain = find(k->string_data, key);
    const struct sld_node_pair *pair = plain ? plain : find(k->data, key);
    return pair && value_read(k, pair, plain != NULL, path, out);
}

static bool is_text(struct sld_str s)
{
    return sld_str_utf8(s, NULL) && sld_str_index(s, 0) < 0;
}

static struct sld_node *text_node(struct kube *k, const struct value *v, struct sld_str text)
{
    struct sld_node *n = sld_node_scalar(k->a, text, true);
    n->line = v->node->line;
    n->column = v->node->column;
    return n;
}

static struct sld_node *key_node(struct kube *k, const struct value *v, struct sld_str name)
{
    struct sld_node *n = sld_node_scalar(k->a, name, true);
    n->line = v->key->line;
    n->column = v->key->column;
    return n;
}

// Adds field NAME of message IN to MAP from data key KEY, when it is there. BINARY values travel in
// base64.
static void add_field(struct kube *k, struct sld_node *map, const char *in, const char *name,
                      const char *key, bool binary)
{
    struct value v;
    struct sld_str path = sld_arena_fmt(k->a, "%s.%s", in, name);
    if (!value_of(k, sld_str_c(key), path, &v))
        return;
    if (binary)
        v.bytes = sld_base64_encode(k->a, v.bytes);
    if (!is_text(v.bytes))
        fail_value(k, path, sld_str_c(key), "is not UTF-8 text");
    else
        doc_add(k->a, map, key_node(k, &v, sld_str_c(name)), text_node(k, &v, v.bytes));
}

static struct sld_node *add_map(struct kube *k, struct sld_node *flat, const char *name)
{
    struct sld_node *map = sld_node_map(k->a);
    doc_add(k->a, flat, sld_node_scalar(k->a, sld_str_c(name), true), map);
    return map;
}

// Calls FN for each data key, stringData winning over data.
static void each_value(struct kube *k, struct sld_str in,
                       void (*fn)(struct kube *k, const struct value *v, struct sld_str path,
                                  struct sld_node *map),
                       struct sld_node *map)
{
    const struct sld_node *const both[] = {k->string_data, k->data};
    struct sld_map seen = {0};
    for (size_t i = 0; i < SLD_ARRAY_LEN(both); i++) {
        for (size_t n = 0; both[i] && both[i]->type == SLD_NODE_MAP && n < both[i]->count; n++) {
            const struct sld_node_pair *pair = &both[i]->pairs[n];
            struct sld_str path = sld_arena_fmt(k->a, "%.*s[\"%.*s\"]", SLD_FMT(in),
                                                SLD_FMT(sld_str_sub(pair->key->text, 0, KEY_MAX)));
            struct value v;
            if (sld_map_set(&seen, pair->key->text, k))
                continue;
            if (value_read(k, pair, i == 0, path, &v))
                fn(k, &v, path, map);
        }
    }
    sld_map_fini(&seen);
}

// ---- The readers ----

static void convert_tls(struct kube *k, struct sld_node *flat)
{
    struct sld_node *tls = add_map(k, flat, "tls");
    add_field(k, tls, "tls", "certChain", "tls.crt", false);
    add_field(k, tls, "tls", "privateKey", "tls.key", false);
    add_field(k, tls, "tls", "rootCa", "ca.crt", false);
    add_field(k, tls, "tls", "ocspStaple", "tls.ocsp-staple", true);
}

static bool claims_aws(const struct kube *k)
{
    return has(k, SLD_STR("aws_access_key_id")) && has(k, SLD_STR("aws_secret_access_key"));
}

static void convert_aws(struct kube *k, struct sld_node *flat)
{
    struct sld_node *aws = add_map(k, flat, "aws");
    add_field(k, aws, "aws", "accessKey", "aws_access_key_id", false);
    add_field(k, aws, "aws", "secretKey", "aws_secret_access_key", false);
    add_field(k, aws, "aws", "sessionToken", "aws_session_token", false);
}

// Adds a value to a map of texts; one that is no text is left out, which happens with the many
// secrets of Kubernetes that are not meant for a gateway.
static void add_entry(struct kube *k, const struct value *v, struct sld_str path,
                      struct sld_node *map)
{
    if (is_text(v->bytes))
        doc_add(k->a, map, v->key, text_node(k, v, v->bytes));
    else
        sld_report_add(k->r, SLD_NOTE, SLD_FIELD_FORMAT, path,
                       "the value of data key \"%.*s\" is no text and left out",
                       SLD_FMT(sld_str_sub(v->key->text, 0, 100)));
}

static void add_api_key_entry(struct kube *k, const struct value *v, struct sld_str path,
                              struct sld_node *map)
{
    if (!sld_str_eq(v->key->text, SLD_STR("api-key")))
        add_entry(k, v, path, map);
}

static void convert_api_key(struct kube *k, struct sld_node *flat)
{
    struct sld_node *key = add_map(k, flat, "apiKey");
    add_field(k, key, "apiKey", "apiKey", "api-key", false);
    each_value(k, SLD_STR("apiKey.metadata"), add_api_key_entry, add_map(k, key, "metadata"));
}

static void convert_oauth(struct kube *k, struct sld_node *flat)
{
    add_field(k, add_map(k, flat, "oauth"), "oauth", "clientSecret", "client-secret", false);
}

static void convert_credentials(struct kube *k, struct sld_node *flat)
{
    struct sld_node *c = add_map(k, flat, "credentials");
    add_field(k, c, "credentials", "username", "username", false);
    add_field(k, c, "credentials", "password", "password", false);
}

static void convert_encryption(struct kube *k, struct sld_node *flat)
{
    add_field(k, add_map(k, flat, "encryption"), "encryption", "key", "key", false);
}

static bool claims_native(const struct kube *k)
{
    return sld_str_eq(k->type, SLD_STR("Opaque")) &&
           sld_str_eq(sld_node_text(sld_node_get(k->annotations, SLD_STR("resource_kind"))),
                      SLD_STR("*v1.Secret"));
}

// Lines within a value are not lines of the document.
static void forget_lines(struct sld_node *n)
{
    n->line = n->column = 0;
    for (size_t i = 0; i < n->count; i++) {
        if (n->type == SLD_NODE_MAP)
            forget_lines(n->pairs[i].key);
        forget_lines(n->type == SLD_NODE_MAP ? n->pairs[i].value : n->items[i]);
    }
}

// Each data key holds the YAML of the field of that name.
static void add_native(struct kube *k, const struct value *v, struct sld_str path,
                       struct sld_node *flat)
{
    static const struct sld_doc_limits limits = {1 << 20, 16, 100000, 2};
    struct sld_document *docs;
    size_t n;
    struct sld_str name = v->key->text;
    if (sld_str_eq(name, SLD_STR("metadata")))
        return;
    if (sld_msg_field_index(sld_msg_info(&gloo__secret__descriptor), name) < 0) {
        doc_add(k->a, flat, v->key, sld_node_map(k->a)); // unknown, as decoding will say
        return;
    }
    if (sld_doc_read(k->a, v->bytes, &limits, &docs, &n, NULL, NULL) != SLD_OK || n > 1) {
        fail_value(k, path, name, "is not one YAML document");
        return;
    }
    if (n == 0 || !docs[0].root)
        return;
    forget_lines(docs[0].root);
    doc_add(k->a, flat, v->key, docs[0].root);
}

static void convert_native(struct kube *k, struct sld_node *flat)
{
    each_value(k, SLD_STR(""), add_native, flat);
}

static bool claims_opaque(const struct kube *k)
{
    return sld_str_eq(k->type, SLD_STR("Opaque"));
}

static void convert_header(struct kube *k, struct sld_node *flat)
{
    size_t keys = (k->data ? k->data->count : 0) + (k->string_data ? k->string_data->count : 0);
    struct sld_node *headers = add_map(k, add_map(k, flat, "header"), "headers");
    if (keys == 0)
        sld_report_add(k->r, SLD_ERROR, SLD_FIELD_REQUIRED, SLD_STR("data"),
                       "the secret has no data; add data or stringData");
    each_value(k, SLD_STR("header.headers"), add_entry, headers);
}

static const struct reader readers[] = {
    {"kubernetes.io/tls", NULL, convert_tls},
    {NULL, claims_aws, convert_aws},
    {"extauth.solo.io/apikey", NULL, convert_api_key},
    {"extauth.solo.io/oauth", NULL, convert_oauth},
    {"extauth.solo.io/accountcredentials", NULL, convert_credentials},
    {NULL, claims_native, convert_native},
    {"gloo.solo.io.EncryptionKeySecret", NULL, convert_encryption},
    {"gloo.solo.io/header", NULL, convert_header},
    {NULL, claims_opaque, convert_header},
};

static const struct reader *reader_of(const struct kube *k)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(readers); i++) {
        const struct reader *r = &readers[i];
        if (r->type ? sld_str_eq(k->type, sld_str_c(r->type)) : r->claims(k))
            return r;
    }
    return NULL;
}

static bool is_kube(const struct sld_node *root)
{
    struct sld_str api = sld_node_text(sld_node_get(root, SLD_STR("apiVersion")));
    if (api.p)
        return sld_str_eq(api, SLD_STR("v1"));
    return sld_node_get(root, SLD_STR("data")) || sld_node_get(root, SLD_STR("stringData")) ||
           sld_node_get(root, SLD_STR("type"));
}

enum secret_form secret_form(const struct sld_node *root)
{
    struct kube k;
    if (!is_kube(root))
        return SECRET_FLAT;
    kube_init(&k, NULL, root, NULL);
    return reader_of(&k) ? SECRET_KUBE : SECRET_IGNORED;
}

// A finding for each key that a Kubernetes Secret does not have.
static void check_keys(struct kube *k, const struct sld_node *root)
{
    static const char *const known[] = {"apiVersion", "kind",      "metadata", "type",
                                        "data",       "immutable", "status",   "stringData"};
    for (size_t i = 0; i < root->count; i++) {
        struct sld_str key = root->pairs[i].key->text;
        bool ok = false;
        for (size_t n = 0; n < SLD_ARRAY_LEN(known); n++)
            ok |= sld_str_eq(key, sld_str_c(known[n]));
        if (!ok)
            sld_report_add(k->r, SLD_ERROR, SLD_FIELD_UNKNOWN, key,
                           "unknown field \"%.*s\" of a Kubernetes Secret; its values stand below "
                           "data or stringData (Gloo's own form has apiVersion: gloo.solo.io/v1)",
                           SLD_FMT(sld_str_sub(key, 0, 100)));
    }
}

static void check_is_map(struct kube *k, const struct sld_node *n, const char *name)
{
    if (n && n->type != SLD_NODE_MAP && n->type != SLD_NODE_NULL)
        sld_report_add(k->r, SLD_ERROR, SLD_FIELD_TYPE, sld_str_c(name), "expected a mapping");
}

void secret_flatten(struct sld_arena *a, const struct sld_node *root, struct sld_node *flat,
                    struct sld_report *r)
{
    struct kube k;
    kube_init(&k, a, root, r);
    check_keys(&k, root);
    check_is_map(&k, k.data, "data");
    check_is_map(&k, k.string_data, "stringData");
    const struct reader *reader = reader_of(&k);
    if (reader)
        reader->convert(&k, flat);
    else
        sld_report_add(r, SLD_ERROR, SLD_SECRET_KIND, SLD_STR("type"),
                       "Secrets of this type are not read");
}

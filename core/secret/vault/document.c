// What Vault holds, as Secret documents in Gloo's flat form (gloo-compat 2.5).
#include "codec/text.h"
#include "codec/x509.h"
#include "secret/vault/inside.h"

enum {
    DOCUMENT_MAX_BYTES = 8 * 1024 * 1024,
    KEYS_MAX = 1000, // that are taken over one by one: each is compared with all
    NAMES_SHOWN = 10
};

// ---- Building ----

static void set_text(struct sld_arena *a, struct sld_node *map, const char *key,
                     struct sld_str text)
{
    if (text.n)
        sld_node_set(a, map, sld_str_c(key), sld_node_scalar(a, text, true));
}

struct sld_str vault_text(const struct sld_node *map, const char *key)
{
    return sld_node_text(sld_node_get(map, sld_str_c(key)));
}

// The document's head; metadata of the stored one (or NULL) but for the identity, which is U's.
static struct sld_node *document(struct sld_arena *a, const struct unit *u,
                                 const struct sld_node *metadata)
{
    struct sld_node *d = sld_node_map(a), *m = sld_node_map(a);
    set_text(a, d, "apiVersion", SLD_STR("gloo.solo.io/v1"));
    set_text(a, d, "kind", SLD_STR("Secret"));
    for (size_t i = 0; metadata && metadata->type == SLD_NODE_MAP && i < metadata->count; i++) {
        struct sld_str key = metadata->pairs[i].key->text;
        if (!sld_str_eq(key, SLD_STR("name")) && !sld_str_eq(key, SLD_STR("namespace")))
            sld_node_set(a, m, key, metadata->pairs[i].value);
    }
    set_text(a, m, "name", u->name);
    set_text(a, m, "namespace", u->ns);
    sld_node_set(a, d, SLD_STR("metadata"), m);
    return d;
}

static enum sld_rc print(struct sld_arena *a, struct document *out, const struct sld_node *d,
                         struct sld_err *err)
{
    struct sld_cert_facts f = {0};
    struct sld_str chain = vault_text(sld_node_get(d, SLD_STR("tls")), "certChain");
    if (chain.n && sld_cert_read(a, chain, &f, NULL) == SLD_OK) {
        out->not_before = f.not_before;
        out->not_after = f.not_after;
    }
    sld_buf_init_secret(&out->text, DOCUMENT_MAX_BYTES);
    sld_doc_print_node(&out->text, d, SLD_TEXT_JSON_COMPACT);
    if (!out->text.full)
        return SLD_OK;
    sld_buf_fini(&out->text);
    return sld_err_set(err, SLD_LIMIT, "the secret is larger than 8 MiB");
}

static enum sld_rc too_many(size_t n, struct sld_err *err)
{
    return sld_err_set(err, SLD_LIMIT, "it has %zu keys; at most %d are taken", n, KEYS_MAX);
}

// ---- Secrets where Gloo has them ----

static enum sld_rc of_secret(struct sld_arena *a, struct document *out, const struct unit *u,
                             const struct sld_node *data, struct sld_err *err)
{
    const struct sld_node *metadata = sld_node_get(data, SLD_STR("metadata"));
    struct sld_str name = vault_text(metadata, "name"), ns = vault_text(metadata, "namespace");
    size_t n = data->count + (metadata && metadata->type == SLD_NODE_MAP ? metadata->count : 0);
    if (n > KEYS_MAX)
        return too_many(n, err);
    struct sld_node *d = document(a, u, metadata);
    for (size_t i = 0; i < data->count; i++) {
        struct sld_str key = data->pairs[i].key->text;
        if (!sld_node_get(d, key))
            sld_node_set(a, d, key, data->pairs[i].value);
    }
    enum sld_rc rc = print(a, out, d, err);
    bool other = (name.n && !sld_str_eq(name, u->name)) || (ns.n && !sld_str_eq(ns, u->ns));
    if (rc == SLD_OK && other)
        rc = sld_err_set(err, SLD_CONFLICT,
                         "the metadata in it say %.*s.%.*s; the path counts, so it is %.*s.%.*s",
                         SLD_FMT(sld_str_sub(ns, 0, 100)), SLD_FMT(sld_str_sub(name, 0, 100)),
                         SLD_FMT(u->ns), SLD_FMT(u->name));
    return rc;
}

// ---- PEM ----

static void append(struct sld_arena *a, struct sld_str *to, struct sld_str block)
{
    struct sld_str end =
        sld_str_ends(block, SLD_STR("\n")) || !block.n ? SLD_STR("") : SLD_STR("\n");
    *to = to->n ? SLD_ARENA_JOIN(a, *to, block, end) : SLD_ARENA_JOIN(a, block, end);
}

// Cuts the next "-----BEGIN ...-----END ...-----" out of *S; false when there is none.
static bool next_block(struct sld_str *s, struct sld_str *block, bool *key)
{
    const struct sld_str begin = SLD_STR("-----BEGIN "), end = SLD_STR("-----END "),
                         dashes = SLD_STR("-----");
    ptrdiff_t from = sld_str_find(*s, begin);
    if (from < 0)
        return false;
    struct sld_str rest = sld_str_sub(*s, (size_t)from, s->n);
    struct sld_str label = sld_str_sub(rest, begin.n, rest.n);
    ptrdiff_t label_end = sld_str_find(label, dashes), to = sld_str_find(rest, end);
    if (label_end < 0 || to < 0)
        return false;
    label = sld_str_sub(label, 0, (size_t)label_end);
    struct sld_str tail = sld_str_sub(rest, (size_t)to + end.n, rest.n);
    ptrdiff_t last = sld_str_find(tail, dashes);
    if (last < 0)
        return false;
    size_t n = (size_t)to + end.n + (size_t)last + dashes.n;
    *block = sld_str_sub(rest, 0, n);
    *key = sld_str_ends(label, SLD_STR("PRIVATE KEY"));
    *s = sld_str_sub(rest, n, rest.n);
    return true;
}

static bool is_pem(struct sld_str s)
{
    return sld_str_find(s, SLD_STR("-----BEGIN ")) >= 0;
}

// A certificate that vouches for itself is nothing a server sends.
static bool self_issued(struct sld_arena *a, struct sld_str pem)
{
    struct sld_cert_facts f = {0};
    return sld_cert_read(a, pem, &f, NULL) == SLD_OK && sld_str_eq(f.subject, f.issuer);
}

// CERTIFICATE and behind it those of CHAIN (a text or a list of texts) that stand between it and
// the root.
static struct sld_str whole_chain(struct sld_arena *a, struct sld_str certificate,
                                  const struct sld_node *chain)
{
    struct sld_str out = SLD_STR(""), block;
    bool key;
    append(a, &out, certificate);
    size_t n = chain && chain->type == SLD_NODE_SEQ ? chain->count : chain ? 1 : 0;
    for (size_t i = 0; i < n; i++) {
        struct sld_str text = sld_node_text(chain->type == SLD_NODE_SEQ ? chain->items[i] : chain);
        while (next_block(&text, &block, &key)) {
            if (!key && !self_issued(a, block) && sld_str_find(out, block) < 0)
                append(a, &out, block);
        }
    }
    return out;
}

// ---- Any data ----

static void set_tls(struct sld_arena *a, struct sld_node *d, struct sld_str chain,
                    struct sld_str key, struct sld_str root, struct sld_str staple)
{
    struct sld_node *tls = sld_node_map(a);
    set_text(a, tls, "certChain", chain);
    set_text(a, tls, "privateKey", key);
    set_text(a, tls, "rootCa", root);
    set_text(a, tls, "ocspStaple", staple);
    sld_node_set(a, d, SLD_STR("tls"), tls);
}

// The names that people and programs give to the parts of a certificate.
static const struct {
    const char *chain, *key, *root, *more, *staple;
} tls_names[] = {
    {"tls.crt", "tls.key", "ca.crt", NULL, "tls.ocsp-staple"},
    {"certificate", "private_key", "issuing_ca", "ca_chain", "ocsp_staple"},
    {"certChain", "privateKey", "rootCa", NULL, "ocspStaple"},
    {"cert_chain", "private_key", "root_ca", NULL, "ocsp_staple"},
    {"cert", "key", "ca", NULL, "ocsp"},
};

static bool take_tls(struct sld_arena *a, struct sld_node *d, const struct sld_node *data)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(tls_names); i++) {
        struct sld_str chain = vault_text(data, tls_names[i].chain),
                       key = vault_text(data, tls_names[i].key),
                       root = vault_text(data, tls_names[i].root);
        if (!is_pem(chain) && !is_pem(root))
            continue;
        const struct sld_node *more =
            tls_names[i].more ? sld_node_get(data, sld_str_c(tls_names[i].more)) : NULL;
        if (!key.n && chain.n) { // certificates to check with
            root = root.n ? root : chain;
            chain = SLD_STR("");
        }
        set_tls(a, d, chain.n ? whole_chain(a, chain, more) : chain, key, root,
                vault_text(data, tls_names[i].staple));
        return true;
    }
    return false;
}

// Certificates and maybe a key in one text.
static void take_bundle(struct sld_arena *a, struct sld_node *d, struct sld_str text)
{
    struct sld_str certs = SLD_STR(""), keys = SLD_STR(""), block;
    bool key;
    while (next_block(&text, &block, &key))
        append(a, key ? &keys : &certs, block);
    if (keys.n)
        set_tls(a, d, certs, keys, SLD_STR(""), SLD_STR(""));
    else
        set_tls(a, d, SLD_STR(""), SLD_STR(""), certs, SLD_STR(""));
}

static bool take_aws(struct sld_arena *a, struct sld_node *d, const struct sld_node *data)
{
    static const struct {
        const char *access, *secret, *token;
    } names[] = {
        {"access_key", "secret_key", "session_token"}, // as Vault's engine for AWS gives them
        {"access_key", "secret_key", "security_token"},
        {"accessKey", "secretKey", "sessionToken"},
        {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(names); i++) {
        struct sld_str access = vault_text(data, names[i].access),
                       secret = vault_text(data, names[i].secret),
                       token = vault_text(data, names[i].token);
        bool last =
            i + 1 == SLD_ARRAY_LEN(names) || strcmp(names[i].access, names[i + 1].access) != 0;
        if (!access.n || !secret.n || (!token.n && !last))
            continue;
        struct sld_node *aws = sld_node_map(a);
        set_text(a, aws, "accessKey", access);
        set_text(a, aws, "secretKey", secret);
        set_text(a, aws, "sessionToken", token);
        sld_node_set(a, d, SLD_STR("aws"), aws);
        return true;
    }
    return false;
}

// Gloo's own form: one kind, whose value is a mapping.
static bool take_gloo(struct sld_arena *a, struct sld_node *d, const struct sld_node *data)
{
    static const char *const kinds[] = {"tls",    "aws",         "azure",      "header",    "oauth",
                                        "apiKey", "credentials", "encryption", "extensions"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(kinds); i++) {
        struct sld_node *kind = sld_node_get(data, sld_str_c(kinds[i]));
        if (!kind || kind->type != SLD_NODE_MAP)
            continue;
        sld_node_set(a, d, sld_str_c(kinds[i]), kind);
        return true;
    }
    return false;
}

static bool take_headers(struct sld_arena *a, struct sld_node *d, const struct sld_node *data)
{
    struct sld_node *header = sld_node_map(a), *headers = sld_node_map(a);
    for (size_t i = 0; i < data->count; i++) {
        if (data->pairs[i].value->type == SLD_NODE_SCALAR)
            sld_node_set(a, headers, data->pairs[i].key->text,
                         sld_node_scalar(a, data->pairs[i].value->text, true));
    }
    sld_node_set(a, header, SLD_STR("headers"), headers);
    sld_node_set(a, d, SLD_STR("header"), header);
    return headers->count > 0;
}

static enum sld_rc no_key(const struct sld_node *data, struct sld_str key, struct sld_err *err)
{
    struct sld_buf b;
    sld_buf_init(&b, SLD_ERR_MAX / 2);
    for (size_t i = 0; i < data->count && i < NAMES_SHOWN; i++)
        sld_buf_addf(&b, "%s%.*s", i ? ", " : "",
                     SLD_FMT(sld_str_utf8_cut(data->pairs[i].key->text, 40)));
    enum sld_rc rc = sld_err_set(err, SLD_NOT_FOUND, "it has no key \"%.*s\"; it has %.*s%s",
                                 SLD_FMT(sld_str_sub(key, 0, 100)), SLD_FMT(sld_buf_str(&b)),
                                 data->count > NAMES_SHOWN ? ", ..."
                                 : data->count             ? ""
                                                           : "none");
    sld_buf_fini(&b);
    return rc;
}

// What the value at the reference's key is.
static enum sld_rc take_key(struct sld_arena *a, const struct unit *u, struct sld_node *d,
                            const struct sld_node **data, bool *done, struct sld_err *err)
{
    struct sld_str key = sld_percent_decode(a, u->ref.key, false);
    const struct sld_node *value = sld_node_get(*data, key);
    *done = true;
    if (!value || value->type == SLD_NODE_NULL)
        return no_key(*data, key, err);
    if (value->type == SLD_NODE_MAP) {
        *data = value;
        *done = false;
    } else if (value->type != SLD_NODE_SCALAR) {
        return sld_err_set(err, SLD_INVALID,
                           "its key \"%.*s\" is a list; a text or a mapping is wanted",
                           SLD_FMT(sld_str_sub(key, 0, 100)));
    } else if (is_pem(value->text)) {
        take_bundle(a, d, value->text);
    } else {
        struct sld_node *one = sld_node_map(a);
        sld_node_set(a, one, key, sld_node_scalar(a, value->text, true));
        take_headers(a, d, one);
    }
    return SLD_OK;
}

static enum sld_rc of_data(struct sld_arena *a, struct document *out, const struct unit *u,
                           const struct sld_node *data, struct sld_err *err)
{
    struct sld_node *d = document(a, u, NULL);
    bool done = false;
    enum sld_rc rc = u->ref.key.p ? take_key(a, u, d, &data, &done, err) : SLD_OK;
    if (rc == SLD_OK && !done)
        done = take_gloo(a, d, data) || take_tls(a, d, data) || take_aws(a, d, data);
    if (rc == SLD_OK && !done && data->count > KEYS_MAX)
        rc = too_many(data->count, err);
    else if (rc == SLD_OK && !done)
        done = take_headers(a, d, data);
    if (rc == SLD_OK && !done)
        rc = sld_err_set(err, SLD_INVALID,
                         "there is nothing in it that could be used: no text under any key");
    return rc == SLD_OK ? print(a, out, d, err) : rc;
}

// ---- Issued certificates ----

// All certificates of the issuer, for checking the other side.
static struct sld_str issuers(struct sld_arena *a, const struct sld_node *data)
{
    const struct sld_node *chain = sld_node_get(data, SLD_STR("ca_chain"));
    struct sld_str out = SLD_STR(""), block, text = vault_text(data, "issuing_ca");
    bool key;
    size_t n = chain && chain->type == SLD_NODE_SEQ ? chain->count : 0;
    for (size_t i = 0; i <= n; i++) {
        while (next_block(&text, &block, &key)) {
            if (!key && sld_str_find(out, block) < 0)
                append(a, &out, block);
        }
        text = i < n ? sld_node_text(chain->items[i]) : SLD_STR("");
    }
    return out;
}

static enum sld_rc of_issued(struct sld_arena *a, struct document *out, const struct unit *u,
                             const struct sld_node *data, struct sld_err *err)
{
    struct sld_node *d = document(a, u, NULL);
    struct sld_str certificate = vault_text(data, "certificate"), key = vault_text(data, "private_key");
    struct sld_str trust = sld_store_ref_param(a, &u->ref, "trust_issuer");
    if (!certificate.n || !key.n)
        return sld_err_set(err, SLD_INVALID, "the answer has no certificate with its private key");
    set_tls(a, d, whole_chain(a, certificate, sld_node_get(data, SLD_STR("ca_chain"))), key,
            sld_str_eq(trust, SLD_STR("true")) ? issuers(a, data) : SLD_STR(""), SLD_STR(""));
    return print(a, out, d, err);
}

enum sld_rc document_make(struct document *out, const struct unit *u, const struct sld_node *data,
                          struct sld_err *err)
{
    struct sld_arena a = {0};
    *out = (struct document){0};
    enum sld_rc rc = u->kind == UNIT_SECRET ? of_secret(&a, out, u, data, err)
                     : u->kind == UNIT_DATA ? of_data(&a, out, u, data, err)
                                            : of_issued(&a, out, u, data, err);
    sld_arena_fini_secret(&a);
    return rc;
}

// Names of Secrets that refer to what a secret store holds, or a plugin gives, instead of naming an object.
#include "model/model.h"

#include "codec/text.h"

#include "tls.pb-c.h"

#define SCHEME SLD_STR(SLD_STORE_REF)

bool sld_store_ref_meant(struct sld_str name)
{
    return sld_str_starts(name, SCHEME) || sld_str_starts(name, SLD_STR(SLD_PLUGIN_REF));
}

static enum sld_rc refuse(struct sld_str name, struct sld_err *err, const char *why)
{
    return sld_err_set(err, SLD_INVALID,
                       "\"%.*s\" is no reference to Vault: %s; write vault:<mount>/<path>, "
                       "vault:<mount>/<path>#<key>, or vault:<mount>/issue/<role>?common_name=<name>",
                       SLD_FMT(sld_str_sub(name, 0, 200)), why);
}

static bool query_fits(struct sld_str query, const char **why)
{
    static const char *const known[] = {"alt_names", "common_name", "trust_issuer", "ttl"};
    struct sld_str pair, name;
    bool named = false;
    while (sld_str_cut(&query, '&', &pair)) {
        bool ok = false;
        sld_str_cut(&pair, '=', &name);
        for (size_t i = 0; i < SLD_ARRAY_LEN(known); i++)
            ok |= sld_str_eq(name, sld_str_c(known[i]));
        named |= sld_str_eq(name, SLD_STR("common_name")) && pair.n;
        if (!ok || !pair.n) {
            *why = "its parameters are common_name, alt_names, ttl and trust_issuer, each with a value";
            return false;
        }
    }
    *why = "common_name is missing";
    return named;
}

// Where Vault keeps its own: what stands there is of Solder's token, or of Vault's working.
static bool is_vaults_own(struct sld_str path)
{
    static const char *const mounts[] = {"auth", "cubbyhole", "sys"};
    struct sld_str mount;
    sld_str_cut(&path, '/', &mount);
    for (size_t i = 0; i < SLD_ARRAY_LEN(mounts); i++) {
        if (sld_str_eq(mount, sld_str_c(mounts[i])))
            return true;
    }
    return false;
}

// Whether each part of PATH, decoded, is one that a server leaves as it is.
static bool is_clean(struct sld_str path)
{
    struct sld_str part;
    while (sld_str_cut(&path, '/', &part)) {
        if (!part.n || sld_str_eq(part, SLD_STR(".")) || sld_str_eq(part, SLD_STR("..")))
            return false;
    }
    return true;
}

enum sld_rc sld_store_ref_parse(struct sld_str name, struct sld_store_ref *out, struct sld_err *err)
{
    struct sld_store_ref r = {0};
    const char *why = NULL;
    if (name.n > SLD_STORE_REF_MAX)
        return refuse(name, err, "it is longer than 1024 bytes");
    if (!sld_is_store_ref(name))
        return refuse(name, err, "it has an empty part or characters that must be percent-encoded");
    struct sld_str rest = sld_str_sub(name, SCHEME.n, name.n);
    struct sld_str before_key;
    sld_str_cut(&rest, '#', &before_key);
    r.key = rest;
    sld_str_cut(&before_key, '?', &r.path);
    r.query = before_key;
    struct sld_arena a = {0};
    struct sld_str path = sld_percent_decode(&a, r.path, false);
    if (!sld_percent_decode(&a, name, false).p)
        why = "a % is not followed by two hexadecimal digits";
    else if (sld_str_index(r.path, '/') < 0)
        why = "it has no path behind the mount";
    else if (!is_clean(path))
        why = "a part of its path is empty, . or ..";
    else if (is_vaults_own(path))
        why = "auth, cubbyhole and sys hold nothing that is meant for others";
    else if (r.query.p && r.key.p)
        why = "a certificate that is issued has no #key";
    else if (r.query.p && sld_str_find(r.path, SLD_STR("/issue/")) < 0)
        why = "only <mount>/issue/<role> takes parameters";
    else if (r.query.p)
        (void)(query_fits(r.query, &why) && (why = NULL));
    sld_arena_fini(&a);
    if (why)
        return refuse(name, err, why);
    *out = r;
    return SLD_OK;
}

struct sld_str sld_store_ref_param(struct sld_arena *a, const struct sld_store_ref *r, const char *name)
{
    struct sld_str rest = r->query, pair, key;
    while (sld_str_cut(&rest, '&', &pair)) {
        sld_str_cut(&pair, '=', &key);
        if (sld_str_eq(key, sld_str_c(name)) && pair.p)
            return sld_percent_decode(a, pair, false);
    }
    return SLD_STR_NONE;
}

enum sld_rc sld_plugin_ref_parse(struct sld_str name, struct sld_str *plugin, struct sld_str *ref, struct sld_err *err)
{
    struct sld_str rest = sld_str_sub(name, sizeof(SLD_PLUGIN_REF) - 1, name.n), first;
    bool well = sld_str_starts(name, SLD_STR(SLD_PLUGIN_REF)) && sld_is_store_ref(name) && sld_str_cut(&rest, '/', &first);
    if (!well || !first.n || !rest.p || !rest.n)
        return sld_err_set(err, SLD_INVALID, "\"%.*s\" is no reference to what a plugin gives; write plugin:<plugin>/<reference>",
                           SLD_FMT(sld_str_sub(name, 0, 200)));
    *plugin = first;
    *ref = rest;
    return SLD_OK;
}

struct sld_str sld_store_ref_of_pki(struct sld_arena *a, const Gloo__VaultPki *p)
{
    const char *in_path = "-._~/", *in_value = "-._~/:@*";
    struct sld_buf b;
    sld_buf_init(&b, (size_t)64 * 1024);
    sld_buf_addz(&b, SLD_STORE_REF);
    sld_buf_add_encoded(&b, p->mount[0] ? sld_str_c(p->mount) : SLD_STR("pki"), in_path);
    sld_buf_addz(&b, "/issue/");
    sld_buf_add_encoded(&b, sld_str_c(p->role), "-._~");
    sld_buf_addz(&b, "?common_name=");
    sld_buf_add_encoded(&b, sld_str_c(p->common_name), in_value);
    for (size_t i = 0; i < p->n_alt_names; i++) {
        sld_buf_addz(&b, i ? "," : "&alt_names=");
        sld_buf_add_encoded(&b, sld_str_c(p->alt_names[i]), in_value);
    }
    if (p->ttl && p->ttl->seconds > 0)
        sld_buf_addf(&b, "&ttl=%llds", (long long)p->ttl->seconds);
    if (p->trust_issuer)
        sld_buf_addz(&b, "&trust_issuer=true");
    struct sld_str out = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return out;
}

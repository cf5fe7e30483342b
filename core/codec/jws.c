// Keys and signatures of JOSE. A key knows its kind, and each algorithm is for one kind, curve and length: a public key
// is never taken for the secret of an HMAC.
#include "codec/crypt.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

enum kind { RSA_KEY, EC_KEY_, ED_KEY, SECRET };
enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 8192, NUMBER_MAX = RSA_BITS_MAX / 8, SECRET_MAX = 1 << 16 };

struct sld_key {
    enum kind kind;
    EVP_PKEY *pkey;
    bool is_private;
    size_t coordinate; // of EC: bytes of a number
    struct sld_arena arena;
    struct sld_str secret;
};

static const struct {
    const char *name;
    enum kind kind;
    enum sld_digest digest;
    size_t coordinate;
    bool pss;
} algs[SLD_JWS_COUNT] = {
    [SLD_ES256] = {"ES256", EC_KEY_, SLD_SHA256, 32, false},
    [SLD_ES384] = {"ES384", EC_KEY_, SLD_SHA384, 48, false},
    [SLD_ES512] = {"ES512", EC_KEY_, SLD_SHA512, 66, false},
    [SLD_EDDSA] = {"EdDSA", ED_KEY, SLD_SHA512, 0, false},
    [SLD_HS256] = {"HS256", SECRET, SLD_SHA256, 0, false},
    [SLD_HS384] = {"HS384", SECRET, SLD_SHA384, 0, false},
    [SLD_HS512] = {"HS512", SECRET, SLD_SHA512, 0, false},
    [SLD_PS256] = {"PS256", RSA_KEY, SLD_SHA256, 0, true},
    [SLD_PS384] = {"PS384", RSA_KEY, SLD_SHA384, 0, true},
    [SLD_PS512] = {"PS512", RSA_KEY, SLD_SHA512, 0, true},
    [SLD_RS256] = {"RS256", RSA_KEY, SLD_SHA256, 0, false},
    [SLD_RS384] = {"RS384", RSA_KEY, SLD_SHA384, 0, false},
    [SLD_RS512] = {"RS512", RSA_KEY, SLD_SHA512, 0, false},
};

static const struct {
    const char *crv, *group;
    size_t bytes;
} curves[] = {{"P-256", "prime256v1", 32}, {"P-384", "secp384r1", 48}, {"P-521", "secp521r1", 66}};

const char *sld_jws_name(enum sld_jws alg)
{
    return algs[alg].name;
}

enum sld_jws sld_jws_find(struct sld_str name)
{
    for (int i = 0; i < SLD_JWS_COUNT; i++) {
        if (sld_str_eq(name, sld_str_c(algs[i].name)))
            return (enum sld_jws)i;
    }
    return SLD_JWS_COUNT;
}

bool sld_jws_is_random(enum sld_jws alg)
{
    return algs[alg].pss || algs[alg].kind == EC_KEY_;
}

static const unsigned char *bytes_of(struct sld_str s)
{
    return (const unsigned char *)(s.p ? s.p : "");
}

static enum sld_rc no_key(struct sld_err *err, const char *what)
{
    ERR_clear_error();
    return sld_err_set(err, SLD_INVALID, "%s", what);
}

// ---- From numbers ----

struct numbers {
    OSSL_PARAM_BLD *bld;
    BIGNUM *bn[8];
    size_t count;
    bool bad;
};

static void push_number(struct numbers *n, const char *name, struct sld_str s)
{
    BIGNUM *bn = s.n && s.n <= NUMBER_MAX ? BN_secure_new() : NULL;
    if (!bn || !BN_bin2bn(bytes_of(s), (int)s.n, bn) || OSSL_PARAM_BLD_push_BN(n->bld, name, bn) != 1)
        n->bad = true;
    n->bn[n->count++] = bn;
}

// A key of type NAME of what was pushed; NULL when the numbers are none.
static EVP_PKEY *pkey_of(struct numbers *n, const char *name, bool private)
{
    EVP_PKEY *pkey = NULL;
    OSSL_PARAM *params = n->bad ? NULL : OSSL_PARAM_BLD_to_param(n->bld);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, name, NULL);
    if (params && c && EVP_PKEY_fromdata_init(c) == 1 &&
        EVP_PKEY_fromdata(c, &pkey, private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(c);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(n->bld);
    for (size_t i = 0; i < n->count; i++)
        BN_clear_free(n->bn[i]);
    return pkey;
}

static EVP_PKEY *rsa_of(const struct sld_jwk *j, bool private)
{
    struct numbers n = {.bld = OSSL_PARAM_BLD_new()};
    push_number(&n, OSSL_PKEY_PARAM_RSA_N, j->n);
    push_number(&n, OSSL_PKEY_PARAM_RSA_E, j->e);
    if (private) {
        push_number(&n, OSSL_PKEY_PARAM_RSA_D, j->d);
        if (j->p.p && j->q.p && j->dp.p && j->dq.p && j->qi.p) {
            push_number(&n, OSSL_PKEY_PARAM_RSA_FACTOR1, j->p);
            push_number(&n, OSSL_PKEY_PARAM_RSA_FACTOR2, j->q);
            push_number(&n, OSSL_PKEY_PARAM_RSA_EXPONENT1, j->dp);
            push_number(&n, OSSL_PKEY_PARAM_RSA_EXPONENT2, j->dq);
            push_number(&n, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, j->qi);
        }
    }
    return pkey_of(&n, "RSA", private);
}

static EVP_PKEY *ec_of(const struct sld_jwk *j, bool private)
{
    unsigned char point[1 + 2 * 66];
    for (size_t i = 0; i < SLD_ARRAY_LEN(curves); i++) {
        size_t bytes = curves[i].bytes;
        if (!sld_str_eq(j->crv, sld_str_c(curves[i].crv)) || j->x.n != bytes || j->y.n != bytes)
            continue;
        point[0] = POINT_CONVERSION_UNCOMPRESSED;
        memcpy(point + 1, j->x.p, bytes);
        memcpy(point + 1 + bytes, j->y.p, bytes);
        struct numbers n = {.bld = OSSL_PARAM_BLD_new()};
        n.bad = OSSL_PARAM_BLD_push_utf8_string(n.bld, OSSL_PKEY_PARAM_GROUP_NAME, curves[i].group, 0) != 1 ||
                OSSL_PARAM_BLD_push_octet_string(n.bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * bytes) != 1;
        if (private)
            push_number(&n, OSSL_PKEY_PARAM_PRIV_KEY, j->d);
        return pkey_of(&n, "EC", private);
    }
    return NULL;
}

static EVP_PKEY *ed_of(const struct sld_jwk *j, bool private)
{
    if (!sld_str_eq(j->crv, SLD_STR("Ed25519")) || j->x.n != 32 || (private && j->d.n != 32))
        return NULL;
    EVP_PKEY *pkey = private ? EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, bytes_of(j->d), 32)
                             : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes_of(j->x), 32);
    unsigned char own[32];
    size_t n = sizeof(own);
    if (pkey && (EVP_PKEY_get_raw_public_key(pkey, own, &n) != 1 || memcmp(own, j->x.p, 32) != 0)) {
        EVP_PKEY_free(pkey); // its halves are of two keys
        pkey = NULL;
    }
    return pkey;
}

// ---- Life ----

// Takes PKEY into a key, or frees it.
static enum sld_rc take(EVP_PKEY *pkey, bool private, struct sld_key **out, struct sld_err *err)
{
    const char *type = EVP_PKEY_get0_type_name(pkey), *words = NULL;
    int bits = EVP_PKEY_get_bits(pkey);
    struct sld_key k = {.pkey = pkey, .is_private = private};
    if (type && strcmp(type, "RSA") == 0) {
        k.kind = RSA_KEY;
        if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
            words = "an RSA key must have 2048 to 8192 bits";
    } else if (type && strcmp(type, "EC") == 0) {
        char group[32];
        size_t n = 0;
        k.kind = EC_KEY_;
        if (EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), &n) != 1)
            n = 0;
        for (size_t i = 0; i < SLD_ARRAY_LEN(curves); i++) {
            if (sld_str_eq(sld_str_n(group, n), sld_str_c(curves[i].group)))
                k.coordinate = curves[i].bytes;
        }
        if (!k.coordinate)
            words = "the curve is not P-256, P-384 or P-521";
    } else if (type && strcmp(type, "ED25519") == 0) {
        k.kind = ED_KEY;
    } else {
        words = "the key is not RSA, EC or Ed25519";
    }
    if (words) {
        EVP_PKEY_free(pkey);
        return no_key(err, words);
    }
    *out = SLD_NEW(struct sld_key);
    **out = k;
    ERR_clear_error();
    return SLD_OK;
}

enum sld_rc sld_key_of_jwk(const struct sld_jwk *j, struct sld_key **out, struct sld_err *err)
{
    EVP_PKEY *pkey;
    bool private = j->d.p != NULL;
    if (sld_str_eq(j->kty, SLD_STR("oct"))) {
        if (!j->k.n || j->k.n > SECRET_MAX)
            return no_key(err, "a secret must have 1 byte to 64 KiB");
        struct sld_key *k = SLD_NEW(struct sld_key);
        *k = (struct sld_key){.kind = SECRET, .is_private = true};
        k->secret = sld_arena_str(&k->arena, j->k);
        *out = k;
        return SLD_OK;
    }
    if (sld_str_eq(j->kty, SLD_STR("RSA")))
        pkey = rsa_of(j, private);
    else if (sld_str_eq(j->kty, SLD_STR("EC")))
        pkey = ec_of(j, private);
    else if (sld_str_eq(j->kty, SLD_STR("OKP")))
        pkey = ed_of(j, private);
    else
        return no_key(err, "kty is not RSA, EC, OKP or oct");
    return pkey ? take(pkey, private, out, err) : no_key(err, "its members are not those of a key of its kty and crv");
}

static int no_pass_phrase(char *buf, int size, int rwflag, void *u)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)u;
    return -1;
}

enum sld_rc sld_key_of_pem(struct sld_str pem, struct sld_key **out, struct sld_err *err)
{
    EVP_PKEY *pkey = NULL;
    bool private = sld_str_find(pem, SLD_STR("PRIVATE KEY-----")) >= 0;
    BIO *bio = BIO_new_mem_buf(bytes_of(pem), (int)(pem.n > INT32_MAX ? INT32_MAX : pem.n));
    if (private) {
        pkey = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    } else if (sld_str_find(pem, SLD_STR("BEGIN CERTIFICATE-----")) >= 0) {
        X509 *c = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
        pkey = c ? X509_get_pubkey(c) : NULL;
        X509_free(c);
    } else {
        pkey = PEM_read_bio_PUBKEY(bio, NULL, no_pass_phrase, NULL);
    }
    BIO_free(bio);
    return pkey ? take(pkey, private, out, err) : no_key(err, "no public key, certificate or private key in PEM form");
}

void sld_key_destroy(struct sld_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pkey);
    sld_arena_fini_secret(&k->arena);
    sld_xfree(k);
}

bool sld_key_fits(const struct sld_key *k, enum sld_jws alg)
{
    // RFC 7518 3.2: a secret is at least as long as the digest.
    return k->kind == algs[alg].kind && k->coordinate == algs[alg].coordinate &&
           (k->kind != SECRET || k->secret.n >= sld_digest_bytes(algs[alg].digest));
}

bool sld_key_is_private(const struct sld_key *k)
{
    return k->is_private;
}

// ---- Signatures ----

static const EVP_MD *md_of(enum sld_jws alg)
{
    switch (algs[alg].digest) {
    case SLD_SHA384:
        return EVP_sha384();
    case SLD_SHA512:
        return EVP_sha512();
    default:
        return EVP_sha256();
    }
}

// Sets C up for ALG: to sign or to verify.
static bool begin(EVP_MD_CTX *c, const struct sld_key *k, enum sld_jws alg, bool sign)
{
    EVP_PKEY_CTX *pc = NULL;
    const EVP_MD *md = k->kind == ED_KEY ? NULL : md_of(alg);
    int ok = sign ? EVP_DigestSignInit(c, &pc, md, NULL, k->pkey) : EVP_DigestVerifyInit(c, &pc, md, NULL, k->pkey);
    return ok == 1 && (!algs[alg].pss || (EVP_PKEY_CTX_set_rsa_padding(pc, RSA_PKCS1_PSS_PADDING) == 1 &&
                                          EVP_PKEY_CTX_set_rsa_pss_saltlen(pc, RSA_PSS_SALTLEN_DIGEST) == 1));
}

// JOSE's form of an ECDSA signature, two numbers of N bytes, as DER; false when it is none.
static bool der_of(struct sld_str raw, size_t n, unsigned char *der, size_t *length)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes_of(raw), (int)n, NULL), *s = BN_bin2bn(bytes_of(raw) + n, (int)n, NULL);
    if (!sig || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return false;
    }
    int len = i2d_ECDSA_SIG(sig, &der);
    ECDSA_SIG_free(sig);
    *length = len > 0 ? (size_t)len : 0;
    return len > 0;
}

static bool raw_of(const unsigned char *der, size_t length, size_t n, unsigned char *raw)
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)length);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, (int)n) == (int)n &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + n, (int)n) == (int)n;
    ECDSA_SIG_free(sig);
    return ok;
}

enum sld_rc sld_key_verify(const struct sld_key *k, enum sld_jws alg, struct sld_str text, struct sld_str signature)
{
    unsigned char der[160], mac[SLD_DIGEST_MAX];
    SLD_PRE(sld_key_fits(k, alg));
    if (k->kind == SECRET) {
        enum sld_digest d = algs[alg].digest;
        sld_hmac(d, k->secret, text, mac);
        return sld_equal_secret(sld_str_n((const char *)mac, sld_digest_bytes(d)), signature) ? SLD_OK : SLD_DENIED;
    }
    const unsigned char *p = bytes_of(signature);
    size_t n = signature.n;
    if (k->kind == EC_KEY_) {
        if (signature.n != 2 * k->coordinate || !der_of(signature, k->coordinate, der, &n))
            return SLD_DENIED;
        p = der;
    }
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && begin(c, k, alg, false) && EVP_DigestVerify(c, p, n, bytes_of(text), text.n) == 1;
    EVP_MD_CTX_free(c);
    ERR_clear_error();
    return ok ? SLD_OK : SLD_DENIED;
}

enum sld_rc sld_key_sign(const struct sld_key *k, enum sld_jws alg, struct sld_str text, unsigned char *out, size_t *n)
{
    unsigned char der[SLD_JWS_MAX];
    SLD_PRE(sld_key_fits(k, alg) && k->is_private);
    if (k->kind == SECRET) {
        sld_hmac(algs[alg].digest, k->secret, text, out);
        *n = sld_digest_bytes(algs[alg].digest);
        return SLD_OK;
    }
    size_t length = sizeof(der);
    bool ec = k->kind == EC_KEY_;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c && begin(c, k, alg, true) && EVP_DigestSign(c, ec ? der : out, &length, bytes_of(text), text.n) == 1;
    EVP_MD_CTX_free(c);
    ok = ok && (!ec || raw_of(der, length, k->coordinate, out));
    *n = ec ? 2 * k->coordinate : length;
    ERR_clear_error();
    return ok ? SLD_OK : SLD_INVALID;
}

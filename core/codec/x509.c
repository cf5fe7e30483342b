// Certificates and keys, by libcrypto: one reader for RSA, EC and Ed25519.
#include "codec/x509.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "codec/text.h"

// Trust stores are longer than chains.
enum { CHAIN_MAX = 100, STORE_MAX = 1000, NAME_MAX_BYTES = 1024 };

static enum sld_rc crypto_error(struct sld_err *err, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    return sld_err_set(err, SLD_INVALID, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
}

static BIO *bio_of(struct sld_str s)
{
    return BIO_new_mem_buf(s.p ? s.p : "", (int)(s.n > INT32_MAX ? INT32_MAX : s.n));
}

static void free_chain(X509 **certs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        X509_free(certs[i]);
}

// A key behind a pass phrase must fail, not ask the terminal.
static int no_pass_phrase(char *buf, int size, int rwflag, void *u)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)u;
    return -1;
}

// Reads every certificate of PEM, fewer than MAX; what is not a certificate is passed over.
static enum sld_rc read_chain(struct sld_str pem, X509 **certs, size_t max, size_t *n,
                              struct sld_err *err)
{
    BIO *bio = bio_of(pem);
    *n = 0;
    enum sld_rc rc = SLD_OK;
    while (rc == SLD_OK && *n < max) {
        X509 *c = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
        if (c) {
            certs[(*n)++] = c;
            continue;
        }
        if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
            rc = crypto_error(err, *n ? "a further certificate cannot be read"
                                      : "the certificate cannot be read");
        break;
    }
    ERR_clear_error();
    if (rc == SLD_OK && *n == 0)
        rc = sld_err_set(err, SLD_INVALID, "no certificate in PEM form");
    if (rc == SLD_OK && *n == max)
        rc = sld_err_set(err, SLD_LIMIT, "more than %zu certificates", max - 1);
    BIO_free(bio);
    if (rc != SLD_OK) {
        free_chain(certs, *n);
        *n = 0;
    }
    return rc;
}

static int64_t unix_time(const ASN1_TIME *t)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    ASN1_TIME_diff(&days, &seconds, epoch, t);
    ASN1_TIME_free(epoch);
    return (int64_t)days * 86400 + seconds;
}

static struct sld_str name_text(struct sld_arena *a, const X509_NAME *name)
{
    char text[NAME_MAX_BYTES];
    BIO *bio = BIO_new(BIO_s_mem());
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    int n = BIO_read(bio, text, sizeof(text));
    BIO_free(bio);
    return sld_arena_str(a, (struct sld_str){text, n > 0 ? (size_t)n : 0});
}

static struct sld_str serial_text(struct sld_arena *a, const X509 *c)
{
    BIGNUM *bn = ASN1_INTEGER_to_BN(X509_get0_serialNumber(c), NULL);
    char *hex = bn ? BN_bn2hex(bn) : NULL;
    struct sld_str out = sld_arena_str(a, sld_str_c(hex ? hex : ""));
    OPENSSL_free(hex);
    BN_free(bn);
    return out;
}

// The text of one name of the types that have one.
static struct sld_alt_name alt_name(struct sld_arena *a, const GENERAL_NAME *n)
{
    static const char *const types[] = {[GEN_EMAIL] = "email", [GEN_DNS] = "dns", [GEN_URI] = "uri", [GEN_IPADD] = "ip"};
    struct sld_alt_name out = {.type = n->type >= 0 && (size_t)n->type < SLD_ARRAY_LEN(types) ? types[n->type] : NULL};
    if (!out.type)
        return out;
    const ASN1_STRING *s = n->d.ia5; // one member of the union for all of them
    const unsigned char *p = ASN1_STRING_get0_data(s);
    int length = ASN1_STRING_length(s);
    if (n->type == GEN_IPADD) {
        char text[INET6_ADDRSTRLEN];
        if ((length != 4 && length != 16) || !inet_ntop(length == 4 ? AF_INET : AF_INET6, p, text, sizeof(text)))
            out.type = NULL;
        else
            out.value = sld_arena_str(a, sld_str_c(text));
    } else {
        out.value = sld_arena_str(a, sld_str_n((const char *)p, (size_t)length));
    }
    return out;
}

static void read_alt_names(struct sld_arena *a, const X509 *c, struct sld_cert_facts *out)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(c, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        struct sld_alt_name one = alt_name(a, n);
        if (!one.type)
            continue;
        SLD_PUSH(a, out->alt_names, out->alt_name_count, one);
        if (n->type == GEN_DNS)
            SLD_PUSH(a, out->dns_names, out->dns_name_count, one.value);
    }
    GENERAL_NAMES_free(names);
}

static struct sld_str fingerprint(struct sld_arena *a, const X509 *c)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (X509_digest(c, EVP_sha256(), sum, &n) != 1)
        return SLD_STR("");
    return sld_hex_encode(a, sld_str_n((const char *)sum, n));
}

static void read_key(struct sld_arena *a, const X509 *c, struct sld_cert_facts *out)
{
    const EVP_PKEY *key = X509_get0_pubkey(c);
    out->key = out->curve = SLD_STR("");
    if (!key) {
        ERR_clear_error();
        return;
    }
    const char *name = EVP_PKEY_get0_type_name(key);
    out->key = sld_arena_str(a, sld_str_c(name ? name : ""));
    out->key_bits = EVP_PKEY_get_bits(key);
    char curve[64];
    size_t n = 0;
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve), &n) ==
        1)
        out->curve = sld_arena_str(a, (struct sld_str){curve, n});
    ERR_clear_error();
}

static bool read_must_staple(const X509 *c)
{
    enum { STATUS_REQUEST = 5 }; // the TLS extension that the certificate demands
    TLS_FEATURE *features = X509_get_ext_d2i(c, NID_tlsfeature, NULL, NULL);
    bool found = false;
    for (int i = 0; i < sk_ASN1_INTEGER_num(features); i++)
        found = found || ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) == STATUS_REQUEST;
    TLS_FEATURE_free(features);
    return found;
}

static struct sld_str chain_pem(struct sld_arena *a, X509 **certs, size_t n)
{
    BIO *bio = BIO_new(BIO_s_mem());
    for (size_t i = 0; i < n; i++)
        PEM_write_bio_X509(bio, certs[i]);
    char *p;
    long len = BIO_get_mem_data(bio, &p);
    struct sld_str out = sld_arena_str(a, (struct sld_str){p, (size_t)len});
    BIO_free(bio);
    return out;
}

static void facts_of(struct sld_arena *a, X509 **certs, size_t n, struct sld_cert_facts *out)
{
    *out = (struct sld_cert_facts){
        .not_before = unix_time(X509_get0_notBefore(certs[0])),
        .not_after = unix_time(X509_get0_notAfter(certs[0])),
        .subject = name_text(a, X509_get_subject_name(certs[0])),
        .issuer = name_text(a, X509_get_issuer_name(certs[0])),
        .serial = serial_text(a, certs[0]),
        .chain_length = n,
        .pem = chain_pem(a, certs, n),
        .fingerprint = fingerprint(a, certs[0]),
    };
    read_alt_names(a, certs[0], out);
    read_key(a, certs[0], out);
    out->must_staple = read_must_staple(certs[0]);
}

enum sld_rc sld_cert_read(struct sld_arena *a, struct sld_str pem, struct sld_cert_facts *out,
                          struct sld_err *err)
{
    X509 *certs[CHAIN_MAX];
    size_t n;
    enum sld_rc rc = read_chain(pem, certs, CHAIN_MAX, &n, err);
    if (rc != SLD_OK)
        return rc;
    facts_of(a, certs, n, out);
    free_chain(certs, n);
    return SLD_OK;
}

enum sld_rc sld_ca_read(struct sld_arena *a, struct sld_str pem, struct sld_cert_facts *out,
                        struct sld_err *err)
{
    X509 **certs = sld_arena_alloc(a, STORE_MAX * sizeof(X509 *));
    size_t n;
    enum sld_rc rc = read_chain(pem, certs, STORE_MAX, &n, err);
    if (rc != SLD_OK)
        return rc;
    facts_of(a, certs, n, out);
    for (size_t i = 1; i < n; i++) {
        int64_t end = unix_time(X509_get0_notAfter(certs[i]));
        out->not_after = end < out->not_after ? end : out->not_after;
    }
    free_chain(certs, n);
    return SLD_OK;
}

enum sld_rc sld_cert_key_match(struct sld_str chain, struct sld_str key_pem, struct sld_err *err)
{
    X509 *certs[CHAIN_MAX];
    size_t n;
    enum sld_rc rc = read_chain(chain, certs, CHAIN_MAX, &n, err);
    if (rc != SLD_OK)
        return rc;
    BIO *bio = bio_of(key_pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
    BIO_free(bio);
    if (!key) {
        rc = crypto_error(err, "the private key cannot be read");
    } else if (EVP_PKEY_eq(X509_get0_pubkey(certs[0]), key) != 1) {
        rc = sld_err_set(err, SLD_CONFLICT, "the private key does not belong to the certificate");
        ERR_clear_error();
    }
    EVP_PKEY_free(key);
    free_chain(certs, n);
    return rc;
}

// What is wrong with an answer that should be about certificate LEAF.
static enum sld_rc ocsp_answer(const OCSP_RESPONSE *answer, const X509 *leaf, struct sld_err *err)
{
    union {
        const OCSP_RESPONSE *frozen;
        OCSP_RESPONSE *loose;
    } u = {answer}; // libcrypto only reads it
    if (OCSP_response_status(u.loose) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return sld_err_set(err, SLD_INVALID, "the OCSP answer tells of a failure");
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(u.loose);
    if (!basic)
        return crypto_error(err, "the OCSP answer has no content");
    enum sld_rc rc = SLD_OK;
    if (OCSP_resp_count(basic) != 1) {
        rc = sld_err_set(err, SLD_INVALID, "the OCSP answer is not about exactly one certificate");
    } else {
        ASN1_INTEGER *serial = NULL;
        const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(OCSP_resp_get0(basic, 0));
        union {
            const OCSP_CERTID *frozen;
            OCSP_CERTID *loose;
        } v = {id}; // the same
        if (!OCSP_id_get0_info(NULL, NULL, NULL, &serial, v.loose) ||
            ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0)
            rc = sld_err_set(err, SLD_CONFLICT, "the OCSP answer is about another certificate");
    }
    OCSP_BASICRESP_free(basic);
    ERR_clear_error();
    return rc;
}

enum sld_rc sld_ocsp_check(struct sld_str chain, struct sld_str der, struct sld_err *err)
{
    X509 *certs[CHAIN_MAX];
    size_t n;
    enum sld_rc rc = read_chain(chain, certs, CHAIN_MAX, &n, err);
    if (rc != SLD_OK)
        return rc;
    const unsigned char *p = (const unsigned char *)der.p;
    OCSP_RESPONSE *answer =
        der.n && der.n < INT32_MAX ? d2i_OCSP_RESPONSE(NULL, &p, (long)der.n) : NULL;
    rc = answer ? ocsp_answer(answer, certs[0], err)
                : crypto_error(err, "the OCSP answer cannot be read");
    OCSP_RESPONSE_free(answer);
    free_chain(certs, n);
    return rc;
}

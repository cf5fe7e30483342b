// Facts about certificates, and keys that fit or not, with pairs made here.
#include "support.h"

#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "codec/x509.h"

static struct sld_str from_bio(struct fixture *f, BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    struct sld_str s = sld_arena_str(&f->a, (struct sld_str){p, (size_t)n});
    BIO_free(bio);
    return s;
}

struct pair {
    EVP_PKEY *key;
    struct sld_str cert, pem; // certificate and private key
};

enum { SERIAL = 0x1234 };

// A self-signed certificate for NAME, valid from 2026-01-01 for DAYS days; with FEATURE that
// extension of it too (NULL: none).
static struct pair make_with(struct fixture *f, EVP_PKEY *key, const char *name, int days,
                             const char *feature)
{
    X509 *c = X509_new();
    X509_set_version(c, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c), SERIAL);
    ASN1_TIME_set(X509_getm_notBefore(c), 1767225600);
    ASN1_TIME_set(X509_getm_notAfter(c), 1767225600 + (time_t)days * 86400);
    X509_set_pubkey(c, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(c, X509_get_subject_name(c));
    X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
                                              "DNS:a.example,IP:10.0.0.1,DNS:*.b.example");
    X509_add_ext(c, san, -1);
    X509_EXTENSION_free(san);
    if (feature) {
        X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_tlsfeature, feature);
        X509_add_ext(c, e, -1);
        X509_EXTENSION_free(e);
    }
    X509_sign(c, key, EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256());
    BIO *cert = BIO_new(BIO_s_mem()), *pem = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(cert, c);
    PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL);
    X509_free(c);
    return (struct pair){key, from_bio(f, cert), from_bio(f, pem)};
}

static struct pair make(struct fixture *f, EVP_PKEY *key, const char *name, int days)
{
    return make_with(f, key, name, days, NULL);
}

static struct sld_str join(struct fixture *f, struct sld_str a, struct sld_str b)
{
    return sld_arena_fmt(&f->a, "%.*s%.*s", SLD_FMT(a), SLD_FMT(b));
}

static void test_facts(void **state)
{
    struct fixture *f = *state;
    struct pair p = make(f, EVP_EC_gen("P-256"), "caf\xc3\xa9", 10),
                q = make(f, EVP_EC_gen("P-256"), "root", 5);
    struct sld_cert_facts c;
    struct sld_str text =
        join(f, join(f, SLD_STR("words before\n"), p.cert), join(f, SLD_STR("between\n"), q.cert));
    assert_int_equal(sld_cert_read(&f->a, text, &c, &f->err), SLD_OK);
    assert_int_equal(c.not_before, 1767225600);
    assert_int_equal(c.not_after, 1767225600 + 10 * 86400);
    assert_true(sld_str_eq(c.subject, SLD_STR("CN=caf\xc3\xa9")));
    assert_true(sld_str_eq(c.issuer, c.subject));
    assert_true(sld_str_eq(c.serial, SLD_STR("1234")));
    assert_int_equal(c.dns_name_count, 2);
    assert_true(sld_str_eq(c.dns_names[1], SLD_STR("*.b.example")));
    assert_int_equal(c.chain_length, 2);
    assert_true(sld_str_eq(c.pem, join(f, p.cert, q.cert)));
    assert_int_equal(sld_ca_read(&f->a, text, &c, &f->err), SLD_OK);
    assert_int_equal(c.not_after, 1767225600 + 5 * 86400);
    EVP_PKEY_free(p.key);
    EVP_PKEY_free(q.key);
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    struct pair pairs[] = {
        make(f, EVP_EC_gen("P-256"), "ec", 10),
        make(f, EVP_RSA_gen(2048), "rsa", 10),
        make(f, EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "ed", 10),
    };
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 3; k++)
            assert_int_equal(sld_cert_key_match(pairs[i].cert, pairs[k].pem, &f->err),
                             i == k ? SLD_OK : SLD_CONFLICT);
    }
    // Only the leaf counts.
    struct sld_str chain = join(f, pairs[0].cert, pairs[1].cert);
    assert_int_equal(sld_cert_key_match(chain, pairs[0].pem, &f->err), SLD_OK);
    assert_int_equal(sld_cert_key_match(chain, pairs[1].pem, &f->err), SLD_CONFLICT);
    BIO *locked = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(locked, pairs[0].key, EVP_aes_128_cbc(), (const unsigned char *)"pass",
                             4, NULL, NULL);
    assert_int_equal(sld_cert_key_match(pairs[0].cert, from_bio(f, locked), &f->err), SLD_INVALID);
    assert_int_equal(sld_cert_key_match(pairs[0].cert, SLD_STR("no key"), &f->err), SLD_INVALID);
    assert_int_equal(sld_cert_key_match(pairs[0].cert, pairs[0].cert, &f->err), SLD_INVALID);
    for (size_t i = 0; i < 3; i++)
        EVP_PKEY_free(pairs[i].key);
}

static void test_broken(void **state)
{
    struct fixture *f = *state;
    struct pair p = make(f, EVP_EC_gen("P-256"), "x", 10);
    struct sld_cert_facts c;
    assert_int_equal(sld_cert_read(&f->a, SLD_STR(""), &c, &f->err), SLD_INVALID);
    assert_int_equal(sld_cert_read(&f->a, p.pem, &c, &f->err), SLD_INVALID);
    assert_string_equal(f->err.msg, "no certificate in PEM form");
    struct sld_str cut = sld_str_sub(p.cert, 0, p.cert.n / 2);
    assert_int_equal(sld_cert_read(&f->a, cut, &c, &f->err), SLD_INVALID);
    // A good leaf with a broken certificate behind it is refused as a whole.
    char *damaged = sld_arena_cstr(&f->a, p.cert);
    memcpy(damaged + 60, "AAAAAAAAAA", 10);
    assert_int_equal(sld_cert_read(&f->a, join(f, p.cert, sld_str_c(damaged)), &c, &f->err),
                     SLD_INVALID);
    assert_int_equal(sld_ca_read(&f->a, join(f, p.cert, sld_str_c(damaged)), &c, &f->err),
                     SLD_INVALID);
    EVP_PKEY_free(p.key);
}

static void test_keys_and_features(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *key, *curve;
        int bits;
    } want[] = {{"EC", "secp384r1", 384}, {"RSA", "", 2048}, {"ED25519", "", 256}};
    EVP_PKEY *keys[] = {EVP_EC_gen("P-384"), EVP_RSA_gen(2048),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    for (size_t i = 0; i < 3; i++) {
        struct pair p = make(f, keys[i], "x", 10);
        struct sld_cert_facts c;
        assert_int_equal(sld_cert_read(&f->a, p.cert, &c, &f->err), SLD_OK);
        assert_true(sld_str_eq(c.key, sld_str_c(want[i].key)));
        assert_true(sld_str_eq(c.curve, sld_str_c(want[i].curve)));
        assert_int_equal(c.key_bits, want[i].bits);
        assert_false(c.must_staple);
        p = make_with(f, keys[i], "x", 10, i == 0 ? "status_request" : "status_request_v2");
        assert_int_equal(sld_cert_read(&f->a, p.cert, &c, &f->err), SLD_OK);
        assert_int_equal(c.must_staple, i == 0);
        EVP_PKEY_free(keys[i]);
    }
}

// A signed answer about N certificates with consecutive serials from SERIAL on, DER.
static struct sld_str answer(struct fixture *f, EVP_PKEY *key, long serial, int n, int status)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    X509_NAME *issuer = X509_NAME_new();
    ASN1_TIME *now = ASN1_TIME_set(NULL, 1767225600);
    ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
    for (int i = 0; i < n; i++) {
        ASN1_INTEGER *s = ASN1_INTEGER_new();
        ASN1_INTEGER_set(s, serial + i);
        OCSP_CERTID *id = OCSP_cert_id_new(EVP_sha1(), issuer, bits, s);
        OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, now, NULL);
        OCSP_CERTID_free(id);
        ASN1_INTEGER_free(s);
    }
    X509 *signer = X509_new();
    X509_set_pubkey(signer, key);
    assert_int_equal(OCSP_basic_sign(basic, signer, key, EVP_sha256(), NULL, OCSP_NOCERTS), 1);
    OCSP_RESPONSE *r = OCSP_response_create(status, status ? NULL : basic);
    unsigned char *der = NULL;
    int len = i2d_OCSP_RESPONSE(r, &der);
    struct sld_str out = sld_arena_str(&f->a, (struct sld_str){(char *)der, (size_t)len});
    OPENSSL_free(der);
    OCSP_RESPONSE_free(r);
    X509_free(signer);
    ASN1_BIT_STRING_free(bits);
    ASN1_TIME_free(now);
    X509_NAME_free(issuer);
    OCSP_BASICRESP_free(basic);
    return out;
}

static void test_ocsp(void **state)
{
    struct fixture *f = *state;
    struct pair p = make(f, EVP_EC_gen("P-256"), "x", 10);
    struct sld_str good = answer(f, p.key, SERIAL, 1, 0);
    assert_int_equal(sld_ocsp_check(p.cert, good, &f->err), SLD_OK);
    assert_int_equal(sld_ocsp_check(p.cert, answer(f, p.key, SERIAL + 1, 1, 0), &f->err),
                     SLD_CONFLICT);
    assert_int_equal(sld_ocsp_check(p.cert, answer(f, p.key, SERIAL, 2, 0), &f->err), SLD_INVALID);
    assert_int_equal(sld_ocsp_check(p.cert,
                                    answer(f, p.key, SERIAL, 1, OCSP_RESPONSE_STATUS_TRYLATER),
                                    &f->err),
                     SLD_INVALID);
    assert_int_equal(sld_ocsp_check(p.cert, sld_str_sub(good, 0, good.n - 1), &f->err),
                     SLD_INVALID);
    assert_int_equal(sld_ocsp_check(p.cert, SLD_STR(""), &f->err), SLD_INVALID);
    assert_int_equal(sld_ocsp_check(SLD_STR("nothing"), good, &f->err), SLD_INVALID);
    EVP_PKEY_free(p.key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_facts), TEST(test_keys), TEST(test_broken),
                                       TEST(test_keys_and_features), TEST(test_ocsp)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

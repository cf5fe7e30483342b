// Facts about certificates, and keys that fit or not, with pairs made here.
#include "support.h"

#include <openssl/evp.h>
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

// A self-signed certificate for NAME, valid from 2026-01-01 for DAYS days.
static struct pair make(struct fixture *f, EVP_PKEY *key, const char *name, int days)
{
    X509 *c = X509_new();
    X509_set_version(c, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c), 0x1234);
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
    X509_sign(c, key, EVP_PKEY_get_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256());
    BIO *cert = BIO_new(BIO_s_mem()), *pem = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(cert, c);
    PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL);
    X509_free(c);
    return (struct pair){key, from_bio(f, cert), from_bio(f, pem)};
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

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_facts), TEST(test_keys), TEST(test_broken)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

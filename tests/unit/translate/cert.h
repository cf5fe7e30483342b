// Certificates made here, as documents of secrets.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/base.h"

struct pair {
    EVP_PKEY *key;
    struct sld_str cert, pem; // certificate and private key
};

static inline struct sld_str from_bio(struct sld_arena *a, BIO *bio)
{
    char *p;
    long n = BIO_get_mem_data(bio, &p);
    struct sld_str s = sld_arena_str(a, (struct sld_str){p, (size_t)n});
    BIO_free(bio);
    return s;
}

// A self-signed certificate for NAME, valid from FROM to UNTIL (Unix seconds).
static inline struct pair pair_make(struct sld_arena *a, const char *name, int64_t from, int64_t until)
{
    struct pair p = {.key = EVP_EC_gen("P-256")};
    X509 *c = X509_new();
    X509_set_version(c, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(c), 1);
    ASN1_TIME_set(X509_getm_notBefore(c), (time_t)from);
    ASN1_TIME_set(X509_getm_notAfter(c), (time_t)until);
    X509_set_pubkey(c, p.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(c, X509_get_subject_name(c));
    X509_sign(c, p.key, EVP_sha256());
    BIO *cert = BIO_new(BIO_s_mem()), *pem = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(cert, c);
    PEM_write_bio_PrivateKey(pem, p.key, NULL, NULL, 0, NULL, NULL);
    X509_free(c);
    p.cert = from_bio(a, cert);
    p.pem = from_bio(a, pem);
    EVP_PKEY_free(p.key);
    return p;
}

static inline void add_block(struct sld_buf *b, const char *field, struct sld_str text)
{
    if (!text.n)
        return;
    sld_buf_addf(b, "  %s: |\n", field);
    struct sld_str line;
    while (sld_str_cut(&text, '\n', &line)) {
        if (line.n)
            sld_buf_addf(b, "    %.*s\n", SLD_FMT(line));
    }
}

// The document of TLS secret gloo-system.NAME; empty parts are left out.
static inline const char *secret_text(struct sld_arena *a, const char *name, struct sld_str cert,
                                      struct sld_str key, struct sld_str ca)
{
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    sld_buf_addf(&b, "apiVersion: gloo.solo.io/v1\nkind: Secret\n"
                     "metadata: {name: %s, namespace: gloo-system}\ntls:\n",
                 name);
    add_block(&b, "certChain", cert);
    add_block(&b, "privateKey", key);
    add_block(&b, "rootCa", ca);
    char *text = sld_arena_cstr(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return text;
}

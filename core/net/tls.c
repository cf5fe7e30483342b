// Server-side TLS over memory, by mbedTLS: 1.2 and 1.3.
#include "net/tls.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

enum { OUTPUT_MAX_BYTES = 512 * 1024 * 1024 };

struct sld_tls_config {
    unsigned refs;
    mbedtls_ssl_config ssl;
    mbedtls_x509_crt chain, client_ca;
    mbedtls_pk_context key;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
};

struct sld_tls {
    struct sld_tls_config *config;
    mbedtls_ssl_context ssl;
    struct sld_str input;  // what of the bytes fed last was not read yet; borrowed during a feed
    struct sld_buf kept;   // the same, copied: a record that is not whole yet
    struct sld_buf output;
};

static const char *const alpn[] = {"http/1.1", NULL};

static enum sld_rc failed(struct sld_err *err, int rc, const char *what)
{
    char text[160];
    mbedtls_strerror(rc, text, sizeof(text));
    return sld_err_set(err, SLD_INVALID, "%s: %s", what, text);
}

// mbedTLS wants the NUL behind a PEM text counted in.
static int parse_chain(mbedtls_x509_crt *crt, struct sld_str pem)
{
    struct sld_blob *b = sld_blob_create(pem);
    int rc = mbedtls_x509_crt_parse(crt, (const unsigned char *)b->bytes, b->data.n + 1);
    SLD_UNREF(b);
    return rc > 0 ? MBEDTLS_ERR_X509_INVALID_FORMAT : rc;
}

static int parse_key(struct sld_tls_config *c, struct sld_str pem)
{
    struct sld_blob *b = sld_blob_create_secret(pem);
    int rc = mbedtls_pk_parse_key(&c->key, (const unsigned char *)b->bytes, b->data.n + 1, NULL, 0,
                                  mbedtls_ctr_drbg_random, &c->random);
    SLD_UNREF(b);
    return rc;
}

static void config_init(struct sld_tls_config *c)
{
    c->refs = 1;
    mbedtls_ssl_config_init(&c->ssl);
    mbedtls_x509_crt_init(&c->chain);
    mbedtls_x509_crt_init(&c->client_ca);
    mbedtls_pk_init(&c->key);
    mbedtls_entropy_init(&c->entropy);
    mbedtls_ctr_drbg_init(&c->random);
}

static enum sld_rc config_fill(struct sld_tls_config *c, const struct sld_http_tls *t,
                               struct sld_err *err)
{
    psa_status_t psa = psa_crypto_init(); // TLS 1.3 needs it
    int rc = mbedtls_ctr_drbg_seed(&c->random, mbedtls_entropy_func, &c->entropy, NULL, 0);
    if (psa != PSA_SUCCESS || rc != 0)
        return sld_err_set(err, SLD_IO, "no random numbers");
    if ((rc = parse_chain(&c->chain, t->cert_chain_pem)) != 0)
        return failed(err, rc, "server certificate");
    if ((rc = parse_key(c, t->key_pem)) != 0)
        return failed(err, rc, "server key");
    rc = mbedtls_pk_check_pair(&c->chain.pk, &c->key, mbedtls_ctr_drbg_random, &c->random);
    if (rc != 0)
        return failed(err, rc, "the key does not belong to the certificate");
    if (t->client_ca_pem.p && (rc = parse_chain(&c->client_ca, t->client_ca_pem)) != 0)
        return failed(err, rc, "client CA");
    rc = mbedtls_ssl_config_defaults(&c->ssl, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                     MBEDTLS_SSL_PRESET_DEFAULT);
    if (rc == 0)
        rc = mbedtls_ssl_conf_own_cert(&c->ssl, &c->chain, &c->key);
    if (rc == 0)
        rc = mbedtls_ssl_conf_alpn_protocols(&c->ssl, (const char **)(uintptr_t)alpn);
    if (rc != 0)
        return failed(err, rc, "TLS");
    mbedtls_ssl_conf_rng(&c->ssl, mbedtls_ctr_drbg_random, &c->random);
    mbedtls_ssl_conf_min_tls_version(&c->ssl, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_authmode(&c->ssl, t->client_ca_pem.p ? MBEDTLS_SSL_VERIFY_REQUIRED
                                                          : MBEDTLS_SSL_VERIFY_NONE);
    if (t->client_ca_pem.p)
        mbedtls_ssl_conf_ca_chain(&c->ssl, &c->client_ca, NULL);
    return SLD_OK;
}

enum sld_rc sld_tls_config_create(const struct sld_http_tls *t, struct sld_tls_config **out,
                                  struct sld_err *err)
{
    struct sld_tls_config *c = SLD_NEW(struct sld_tls_config);
    config_init(c);
    enum sld_rc rc = config_fill(c, t, err);
    if (rc == SLD_OK)
        *out = c;
    else
        sld_tls_config_unref(c);
    return rc;
}

void sld_tls_config_unref(struct sld_tls_config *c)
{
    if (!c || --c->refs > 0)
        return;
    mbedtls_ssl_config_free(&c->ssl);
    mbedtls_x509_crt_free(&c->chain);
    mbedtls_x509_crt_free(&c->client_ca);
    mbedtls_pk_free(&c->key);
    mbedtls_ctr_drbg_free(&c->random);
    mbedtls_entropy_free(&c->entropy);
    sld_xfree(c);
}

// ---- Connections ----

static int wire_send(void *ctx, const unsigned char *p, size_t n)
{
    struct sld_tls *t = ctx;
    sld_buf_add(&t->output, (struct sld_str){(const char *)p, n});
    return t->output.full ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)n;
}

static int wire_receive(void *ctx, unsigned char *p, size_t n)
{
    struct sld_tls *t = ctx;
    n = n < t->input.n ? n : t->input.n;
    if (n == 0)
        return MBEDTLS_ERR_SSL_WANT_READ;
    memcpy(p, t->input.p, n);
    t->input = sld_str_sub(t->input, n, t->input.n);
    return (int)n;
}

struct sld_tls *sld_tls_create(struct sld_tls_config *c)
{
    struct sld_tls *t = SLD_NEW(struct sld_tls);
    t->config = c;
    c->refs++;
    sld_buf_init(&t->kept, OUTPUT_MAX_BYTES);
    sld_buf_init(&t->output, OUTPUT_MAX_BYTES);
    mbedtls_ssl_init(&t->ssl);
    int rc = mbedtls_ssl_setup(&t->ssl, &c->ssl);
    SLD_INV(rc == 0); // fails for want of memory alone
    mbedtls_ssl_set_bio(&t->ssl, t, wire_send, wire_receive, NULL);
    return t;
}

void sld_tls_destroy(struct sld_tls *t)
{
    if (!t)
        return;
    mbedtls_ssl_free(&t->ssl);
    sld_buf_fini(&t->kept);
    sld_buf_fini(&t->output);
    sld_tls_config_unref(t->config);
    sld_xfree(t);
}

void sld_tls_feed(struct sld_tls *t, struct sld_str wire)
{
    sld_buf_consume(&t->kept, t->kept.n - t->input.n); // what was read meanwhile
    sld_buf_add(&t->kept, wire);
    t->input = sld_buf_str(&t->kept);
}

int sld_tls_read(struct sld_tls *t, char *buf, size_t size)
{
    int rc = mbedtls_ssl_read(&t->ssl, (unsigned char *)buf, size);
    if (rc > 0)
        return rc;
    return rc == MBEDTLS_ERR_SSL_WANT_READ ? 0 : -1;
}

bool sld_tls_write(struct sld_tls *t, struct sld_str plain)
{
    if (!mbedtls_ssl_is_handshake_over(&t->ssl))
        return false;
    while (plain.n > 0) {
        int rc = mbedtls_ssl_write(&t->ssl, (const unsigned char *)plain.p, plain.n);
        if (rc <= 0)
            return false;
        plain = sld_str_sub(plain, (size_t)rc, plain.n);
    }
    return true;
}

void sld_tls_close(struct sld_tls *t)
{
    if (mbedtls_ssl_is_handshake_over(&t->ssl))
        (void)mbedtls_ssl_close_notify(&t->ssl); // its own error changes nothing any more
}

struct sld_buf *sld_tls_output(struct sld_tls *t)
{
    return &t->output;
}

// TLS 1.2 and 1.3 over memory by OpenSSL, which gRPC core brings along: unlike mbedTLS's 1.3 it may be used on several threads.
#include "net/h2_internal.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

struct sld_h2_tls_config {
    SSL_CTX *ctx;
};

struct sld_h2_tls {
    SSL *ssl;
    BIO *in, *out; // the SSL's
};

static const unsigned char alpn[] = {2, 'h', '2'};

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl, (void)arg;
    for (unsigned i = 0; i + 1 <= in_len && i + 1U + in[i] <= in_len; i += 1U + in[i]) {
        if (in[i] == alpn[0] && memcmp(in + i + 1, alpn + 1, alpn[0]) == 0) {
            *out = in + i + 1;
            *out_len = alpn[0];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static enum sld_rc failed(struct sld_err *err, const char *what)
{
    char text[160];
    unsigned long code = ERR_peek_last_error();
    ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return sld_err_set(err, SLD_INVALID, "%s: %s", what, code ? text : "it cannot be used");
}

static BIO *memory(struct sld_str s)
{
    SLD_PRE(s.n <= INT32_MAX);
    BIO *b = BIO_new_mem_buf(s.p, (int)s.n);
    SLD_INV(b);
    return b;
}

static bool use_chain(SSL_CTX *ctx, struct sld_str pem)
{
    BIO *b = memory(pem);
    X509 *x = PEM_read_bio_X509(b, NULL, NULL, NULL);
    bool ok = x && SSL_CTX_use_certificate(ctx, x) == 1;
    X509_free(x);
    while (ok && (x = PEM_read_bio_X509(b, NULL, NULL, NULL)))
        ok = SSL_CTX_add0_chain_cert(ctx, x) == 1; // takes it over
    ERR_clear_error();                             // of the end
    BIO_free(b);
    return ok;
}

static bool use_key(SSL_CTX *ctx, struct sld_str pem)
{
    BIO *b = memory(pem);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(b, NULL, NULL, NULL);
    bool ok = key && SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
    EVP_PKEY_free(key);
    BIO_free(b);
    return ok;
}

static bool use_client_ca(SSL_CTX *ctx, struct sld_str pem)
{
    BIO *b = memory(pem);
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    bool any = false;
    for (X509 *x; (x = PEM_read_bio_X509(b, NULL, NULL, NULL)); X509_free(x))
        any |= X509_STORE_add_cert(store, x) == 1;
    ERR_clear_error();
    BIO_free(b);
    return any;
}

enum sld_rc sld_h2_tls_config_create(const struct sld_grpc_tls *t, struct sld_h2_tls_config **out, struct sld_err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    SLD_INV(ctx);
    enum sld_rc rc = SLD_OK;
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); // a client is looked at each time
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (!use_chain(ctx, t->cert_chain_pem))
        rc = failed(err, "server certificate");
    else if (!use_key(ctx, t->key_pem))
        rc = failed(err, "server key");
    else if (!use_client_ca(ctx, t->client_ca_pem))
        rc = failed(err, "client CA");
    if (rc) {
        SSL_CTX_free(ctx);
        return rc;
    }
    *out = SLD_NEW(struct sld_h2_tls_config);
    (*out)->ctx = ctx;
    return SLD_OK;
}

enum sld_rc sld_grpc_tls_check(const struct sld_grpc_tls *t, struct sld_err *err)
{
    struct sld_h2_tls_config *c = NULL;
    enum sld_rc rc = sld_h2_tls_config_create(t, &c, err);
    sld_h2_tls_config_destroy(c);
    return rc;
}

void sld_h2_tls_config_destroy(struct sld_h2_tls_config *c)
{
    if (c)
        SSL_CTX_free(c->ctx);
    sld_xfree(c);
}

struct sld_h2_tls *sld_h2_tls_create(struct sld_h2_tls_config *c)
{
    struct sld_h2_tls *t = SLD_NEW(struct sld_h2_tls);
    t->ssl = SSL_new(c->ctx);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    SLD_INV(t->ssl && t->in && t->out); // fails for want of memory alone
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_accept_state(t->ssl);
    return t;
}

void sld_h2_tls_destroy(struct sld_h2_tls *t)
{
    if (t)
        SSL_free(t->ssl);
    sld_xfree(t);
}

void sld_h2_tls_feed(struct sld_h2_tls *t, struct sld_str wire)
{
    SLD_PRE(wire.n <= INT32_MAX);
    int n = BIO_write(t->in, wire.p, (int)wire.n);
    SLD_INV(n == (int)wire.n);
}

int sld_h2_tls_read(struct sld_h2_tls *t, char *buf, size_t size)
{
    ERR_clear_error();
    int n = SSL_read(t->ssl, buf, (int)size);
    if (n > 0)
        return n;
    return SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
}

bool sld_h2_tls_ready(const struct sld_h2_tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

bool sld_h2_tls_write(struct sld_h2_tls *t, struct sld_str plain)
{
    ERR_clear_error();
    return !plain.n || SSL_write(t->ssl, plain.p, (int)plain.n) == (int)plain.n; // memory takes all of it
}

void sld_h2_tls_take(struct sld_h2_tls *t, struct sld_buf *out)
{
    size_t n = BIO_ctrl_pending(t->out);
    char *to = n ? sld_buf_reserve(out, n) : NULL;
    if (!to)
        return;
    int got = BIO_read(t->out, to, (int)n);
    SLD_INV(got == (int)n);
    out->n += n;
}

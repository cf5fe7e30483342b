// Certificates that gRPC asks for at every handshake, so that a renewal needs no new listener.
//
// gRPC calls the fetcher on its own threads, which no message reaches in time: hence the lock.
#include "net/grpc_internal.h"

struct sld_grpc_certs {
    pthread_mutex_t lock;          // guards all below
    struct sld_blob *chain, *key, *client_ca;
    uint64_t generation;           // counts replacements, from 1
    uint64_t given;                // the generation gRPC has
};

static void replace(struct sld_grpc_certs *c, const struct sld_grpc_tls *tls)
{
    // gRPC aborts the process on a configuration without roots.
    SLD_PRE(tls->client_ca_pem.n > 0 && tls->cert_chain_pem.n > 0 && tls->key_pem.n > 0);
    SLD_UNREF(c->chain);
    SLD_UNREF(c->key);
    SLD_UNREF(c->client_ca);
    c->chain = sld_blob_create(tls->cert_chain_pem);
    c->key = sld_blob_create_secret(tls->key_pem);
    c->client_ca = sld_blob_create(tls->client_ca_pem);
    c->generation++;
}

struct sld_grpc_certs *sld_grpc_certs_create(const struct sld_grpc_tls *tls)
{
    struct sld_grpc_certs *c = SLD_NEW(struct sld_grpc_certs);
    pthread_mutex_init(&c->lock, NULL);
    replace(c, tls);
    return c;
}

void sld_grpc_certs_set(struct sld_grpc_certs *c, const struct sld_grpc_tls *tls)
{
    pthread_mutex_lock(&c->lock);
    replace(c, tls);
    pthread_mutex_unlock(&c->lock);
}

// [a thread of gRPC]
static grpc_ssl_certificate_config_reload_status fetch(void *user,
                                                       grpc_ssl_server_certificate_config **out)
{
    struct sld_grpc_certs *c = user;
    grpc_ssl_certificate_config_reload_status status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    pthread_mutex_lock(&c->lock);
    if (c->given != c->generation) {
        const grpc_ssl_pem_key_cert_pair pair = {c->key->data.p, c->chain->data.p};
        *out = grpc_ssl_server_certificate_config_create(c->client_ca->data.p, &pair, 1);
        c->given = c->generation;
        status = GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
    }
    pthread_mutex_unlock(&c->lock);
    return status;
}

grpc_server_credentials *sld_grpc_certs_credentials(struct sld_grpc_certs *c)
{
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY, fetch, c));
}

void sld_grpc_certs_destroy(struct sld_grpc_certs *c)
{
    if (!c)
        return;
    SLD_UNREF(c->chain);
    SLD_UNREF(c->key);
    SLD_UNREF(c->client_ca);
    pthread_mutex_destroy(&c->lock);
    sld_xfree(c);
}

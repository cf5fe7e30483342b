// The one interface of both gRPC servers.
#include "net/grpc.h"

#include "net/grpc_door.h"

struct sld_grpc_server *sld_grpc_server_create(struct sld_loop *io, const struct sld_grpc_handlers *h,
                                               const struct sld_grpc_options *o)
{
    return o && o->lean ? sld_h2_server_create(io, h, o) : sld_grpc_core_create(io, h, o);
}

enum sld_rc sld_grpc_server_listen(struct sld_grpc_server *s, struct sld_str address, const struct sld_grpc_tls *tls, int *port,
                                   struct sld_err *err)
{
    if (tls && (!tls->cert_chain_pem.n || !tls->key_pem.n || !tls->client_ca_pem.n))
        return sld_err_set(err, SLD_INVALID, "TLS needs certificate, key and client CA");
    return s->ops->listen(s, address, tls, port, err);
}

void sld_grpc_server_set_tls(struct sld_grpc_server *s, const struct sld_grpc_tls *tls)
{
    s->ops->set_tls(s, tls);
}

void sld_grpc_server_start(struct sld_grpc_server *s)
{
    s->ops->start(s);
}

void sld_grpc_server_stop(struct sld_grpc_server *s, void (*done)(void *user), void *user)
{
    s->ops->stop(s, done, user);
}

void sld_grpc_server_destroy(struct sld_grpc_server *s)
{
    if (s)
        s->ops->destroy(s);
}

void sld_grpc_server_flush(struct sld_grpc_server *s)
{
    if (s->ops->flush)
        s->ops->flush(s);
}

struct sld_str sld_grpc_metadata(const struct sld_grpc_stream *st)
{
    return st->ops->metadata ? st->ops->metadata(st) : SLD_STR_NONE;
}

void sld_grpc_send(struct sld_grpc_stream *st, const struct sld_str *slices, struct sld_obj *const *owners, size_t n)
{
    st->ops->send(st, slices, owners, n);
}

void sld_grpc_close(struct sld_grpc_stream *st, int status, struct sld_str message)
{
    st->ops->close(st, status, message);
}

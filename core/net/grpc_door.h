// What is behind net/grpc.h: two servers. Each has these structs first in its own.
//
//   grpc_server.c, grpc_stream.c   by gRPC core: threads of its own, and a pump
//   h2_server.c, h2_conn.c         by nghttp2 on the loop's thread: "lean"
#pragma once

#include "net/grpc.h"

// As the functions of net/grpc.h.
struct sld_grpc_ops {
    enum sld_rc (*listen)(struct sld_grpc_server *s, struct sld_str address, const struct sld_grpc_tls *tls, int *port,
                          struct sld_err *err);
    void (*set_tls)(struct sld_grpc_server *s, const struct sld_grpc_tls *tls);
    void (*start)(struct sld_grpc_server *s);
    void (*stop)(struct sld_grpc_server *s, void (*done)(void *user), void *user);
    void (*destroy)(struct sld_grpc_server *s);
    void (*flush)(struct sld_grpc_server *s); // NULL: nothing is held back
    struct sld_str (*metadata)(const struct sld_grpc_stream *st); // NULL: none is kept
    void (*send)(struct sld_grpc_stream *st, const struct sld_str *slices, struct sld_obj *const *owners, size_t n);
    void (*close)(struct sld_grpc_stream *st, int status, struct sld_str message);
};
struct sld_grpc_server {
    const struct sld_grpc_ops *ops;
};
struct sld_grpc_stream {
    const struct sld_grpc_ops *ops;
};

struct sld_grpc_server *sld_grpc_core_create(struct sld_loop *io, const struct sld_grpc_handlers *h, const struct sld_grpc_options *o);
struct sld_grpc_server *sld_h2_server_create(struct sld_loop *loop, const struct sld_grpc_handlers *h,
                                             const struct sld_grpc_options *o);

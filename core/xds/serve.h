// xds/serve: an sld_xds on the wire: aggregated discovery (ADS), delta and state of the world, by net/grpc.
// Everything here is called on the io thread, which owns the server and its sld_xds. [io]
#pragma once

#include "xds/xds.h"

struct sld_loop;
struct sld_grpc_tls;
struct sld_xds_server;

struct sld_xds_server_options {
    // "unix:/path" (mode 0600), "127.0.0.1:9977", "[::1]:9977", "localhost:9977"
    const struct sld_str *addresses;
    size_t address_count;
    // Mutual TLS on the TCP addresses; NULL = plain text. Unix sockets need none.
    const struct sld_grpc_tls *tls;
    bool insecure;            // plain text also beyond loopback, where others can read the private keys
    size_t max_message_bytes; // ceiling of one request; 0 = 64 MiB
    unsigned max_streams;     // clients at once; 0 = 10000
};

// Listens on all addresses and serves X, which must outlive the server. NULL with ERR filled: SLD_DENIED
// (a TCP address beyond loopback needs TLS or `insecure`), SLD_CONFLICT (address in use), SLD_INVALID (no
// address; TLS material that cannot be used). Then nothing listens. The strings of O are needed during
// the call only.
struct sld_xds_server *sld_xds_server_create(struct sld_loop *io, struct sld_xds *x,
                                             const struct sld_xds_server_options *o,
                                             struct sld_err *err);
// The port address I was bound to; 0 for a unix socket.
int sld_xds_server_port(const struct sld_xds_server *s, size_t i);
// Replaces certificate, key and client CA for connections to come; those that stand go on. On an error
// nothing changed: SLD_INVALID (cannot be read, or the server was made without TLS), SLD_CONFLICT (key and
// certificate do not fit).
SLD_NODISCARD enum sld_rc sld_xds_server_set_tls(struct sld_xds_server *s,
                                                 const struct sld_grpc_tls *tls,
                                                 struct sld_err *err);

// sld_xds_apply and sld_xds_serve at the present time. With a server, use these: it then knows the new
// deadlines.
void sld_xds_server_apply(struct sld_xds_server *s, struct sld_xds_batch *b);
void sld_xds_server_begin(struct sld_xds_server *s);

// Ends all streams (UNAVAILABLE: an Envoy goes on with what it has and asks again), then stops listening;
// DONE is called when nothing is left, at the latest a few seconds later.
void sld_xds_server_stop(struct sld_xds_server *s, void (*done)(void *user), void *user);
// After DONE; destroy the sld_xds behind it. NULL is fine.
void sld_xds_server_destroy(struct sld_xds_server *s);

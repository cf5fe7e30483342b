// net/grpc: gRPC streams and calls on the server, by gRPC core, or ("lean") by nghttp2 on the loop's own thread, behind one
// small interface. Everything here is called, and calls back, on the thread of the server's loop.
#pragma once

#include "base/base.h"

struct sld_loop;
struct sld_grpc_server;
struct sld_grpc_stream;

struct sld_grpc_handlers {
    // A call to "/package.Service/Method" arrived. Return an object for the callbacks below, or NULL to refuse it
    // with UNIMPLEMENTED (or with the status of an sld_grpc_close called before returning). STREAM stays valid until
    // on_closed. PEER is "127.0.0.1:4711", "[::1]:4711" or "unix". METHOD and PEER are borrowed.
    void *(*on_call)(void *user, struct sld_grpc_stream *stream, struct sld_str method, struct sld_str peer);
    void (*on_message)(void *call, struct sld_str bytes); // one whole message; borrowed
    void (*on_half_close)(void *call);                    // the client will send no more
    void (*on_sent)(void *call);                          // the last sld_grpc_send went out: flow control let it go
    void (*on_closed)(void *call);                        // the call is over; STREAM is gone after this
    void *user;
};

struct sld_grpc_tls {
    struct sld_str cert_chain_pem, key_pem; // server certificate
    struct sld_str client_ca_pem;           // required: clients must show a certificate of these
};

// Whether a lean server can use T: SLD_INVALID with words.
SLD_NODISCARD enum sld_rc sld_grpc_tls_check(const struct sld_grpc_tls *t, struct sld_err *err);

struct sld_grpc_options {
    size_t max_message_bytes;   // inbound ceiling per message; 64 MiB
    size_t max_memory_bytes;    // of gRPC core alone: of what all connections hold together; 512 MiB. Above it reading
                                // waits, and calls are cut off with RESOURCE_EXHAUSTED, idle ones too: they come again
    unsigned max_calls;         // calls served at once; further ones get RESOURCE_EXHAUSTED; 10000
    bool lean;                  // without gRPC core: no thread but the loop's, and less to do for a call
    const char *metadata;       // of a lean server: what callers send by this name is kept for sld_grpc_metadata
    uint64_t max_connection_age_ms; // of gRPC core alone: ask clients to connect anew after so long (+-10 %); 0 = never
};

// Nothing listens yet. O may be NULL and its zeroes mean the defaults named above. [io]
struct sld_grpc_server *sld_grpc_server_create(struct sld_loop *io, const struct sld_grpc_handlers *h,
                                               const struct sld_grpc_options *o);
// Adds an address before start: "127.0.0.1:9977", "[::1]:9977" or "unix:/path". A TCP port in use, or a unix socket a
// live process answers on, is SLD_CONFLICT (SO_REUSEPORT is off); a dead socket file is replaced, mode 0600.
// TLS NULL = plain text. *PORT (may be NULL) gets the bound port. SLD_INVALID: no address, or TLS material that gRPC
// cannot use. The claim on a unix socket is a locked file <path>.lock beside it.
SLD_NODISCARD enum sld_rc sld_grpc_server_listen(struct sld_grpc_server *s, struct sld_str address,
                                                 const struct sld_grpc_tls *tls, int *port, struct sld_err *err);
// Replaces certificate and client CA of the TLS listeners: asked for at each new handshake. Check the pair before: gRPC
// goes on with the old one and logs when it cannot use the new.
void sld_grpc_server_set_tls(struct sld_grpc_server *s, const struct sld_grpc_tls *tls);
// Starts serving.
void sld_grpc_server_start(struct sld_grpc_server *s);
// Stops accepting, cancels every call; DONE is called when all on_closed were given. Not from within a callback.
void sld_grpc_server_stop(struct sld_grpc_server *s, void (*done)(void *user), void *user);
// After DONE, or without a start. Waits for gRPC's own threads. NULL is fine.
void sld_grpc_server_destroy(struct sld_grpc_server *s);

// A lean server sends what is answered in a turn of the loop at that turn's end: this does it now, for who works long in one turn.
// on_sent and on_closed come from within. Not from within a callback.
void sld_grpc_server_flush(struct sld_grpc_server *s);

// What the caller sent as the metadata that the server's options name; absent: nothing. Borrowed, as long as ST is.
struct sld_str sld_grpc_metadata(const struct sld_grpc_stream *st);

// Sends one message: the concatenation of N slices; those with an owner are referenced, not copied, but for small ones
// (OWNERS may be NULL: none has one). One at a time: the next only after on_sent; none after sld_grpc_close.
void sld_grpc_send(struct sld_grpc_stream *st, const struct sld_str *slices, struct sld_obj *const *owners, size_t n);
// Ends the call with a status (0 = OK), after the send in flight. on_closed follows; no other callback does. A client
// that does not take the end within 5 s is cut off. A second close does nothing.
void sld_grpc_close(struct sld_grpc_stream *st, int status, struct sld_str message);

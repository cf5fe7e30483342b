// What the files of the lean gRPC server share. All of it on the thread of the server's loop.
//
//   h2_server.c  listeners, life, and what goes by the clock
//   h2_conn.c    a connection: bytes in and out
//   h2_stream.c  a call: HTTP/2's frames to gRPC's messages and back
//   h2_tls.c     TLS over memory
#pragma once

#include <nghttp2/nghttp2.h>
#include <uv.h>

#include "loop/loop.h"
#include "net/address.h"
#include "net/grpc_door.h"

enum {
    SLD_H2_METHOD_MAX = 256,       // bytes of a call's method
    SLD_H2_HEADERS_MAX = 64 << 10, // bytes of its headers
    SLD_H2_PREFIX = 5,             // in front of each message: a flag, and its length
};

struct sld_h2_tls_config;
struct sld_h2_tls;

struct sld_h2_server {
    struct sld_grpc_server door;
    struct sld_loop *loop;
    struct sld_grpc_handlers handlers;
    struct sld_grpc_options options;
    enum { SLD_H2_IDLE, SLD_H2_SERVING, SLD_H2_STOPPING, SLD_H2_STOPPED } state;
    struct sld_list listeners, conns;
    struct sld_list dirty;       // connections that have something to send
    struct sld_list sent;        // streams whose message went
    struct sld_list spare;       // streams to be used again
    unsigned conn_count, spare_count;
    unsigned handles;            // of libuv that are not closed yet
    unsigned serving;            // calls that were not refused
    unsigned closing;            // calls that are closed and have not gone
    size_t partial_bytes;        // of messages that are not whole
    struct sld_message flush, end;
    bool flushing;               // it is deferred, and counts as a handle
    bool destroyed;
    struct sld_timer *guard;     // cuts off closes that flow control holds up
    bool guarding;
    struct sld_timer *pulse;     // asks idle clients whether they are there
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    void (*done)(void *user);    // of stop
    void *done_user;
    char read_space[64 << 10];
};

struct sld_h2_conn {
    struct sld_list link;        // of the server's connections
    struct sld_list dirty;       // of its dirty ones
    struct sld_h2_server *server;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_write_t write;
    bool writing;                // OUT is the kernel's
    struct sld_buf out;
    nghttp2_session *session;
    struct sld_h2_tls *tls;      // NULL: plain text
    struct sld_list streams;
    bool heard;                  // something, since the last pulse
    bool pinged;                 // and no answer yet
    bool closed;
    char peer[SLD_NET_TEXT_MAX];
};

// A part of the message that is going out.
struct sld_h2_part {
    struct sld_str bytes;
    struct sld_obj *owner;       // own reference, or NULL: BYTES are in the stream's copy
};

struct sld_h2_stream {
    struct sld_grpc_stream door;
    struct sld_list link;        // of the connection's streams, or of the spare ones
    struct sld_list sent;        // of the server's sent ones
    struct sld_h2_conn *conn;
    int32_t id;
    void *user;                  // what on_call returned; NULL: refused, or not asked yet
    bool called;                 // on_call was
    bool half_closed;            // by the client
    bool began;                  // the answer's headers are submitted
    bool held;                   // its data wait for more
    bool sending, closing;
    int status;                  // of the close
    char message[256];           // of the close, encoded
    uint64_t closed_ns;          // when sld_grpc_close was called
    size_t header_bytes, method_bytes;
    char method[SLD_H2_METHOD_MAX];
    struct sld_buf metadata;     // that the server keeps
    struct sld_buf partial;      // a message that is not whole, with its prefix
    struct sld_buf copy;         // the message that goes out: its prefix, and what has no owner
    struct sld_h2_part *parts;   // of it
    size_t part_count, part_room, part; // PART: the one at work
};

// ---- h2_conn.c ----

// A connection that LISTENER has for S; UNIX: by its kind.
void sld_h2_conn_accept(struct sld_h2_server *s, uv_stream_t *listener, bool is_unix, struct sld_h2_tls_config *tls);
// Its calls are over; it is freed later.
void sld_h2_conn_close(struct sld_h2_conn *c);
// There is something to send: at the end of the loop's turn it goes.
void sld_h2_conn_dirty(struct sld_h2_conn *c);
// Sends what S's connections have.
void sld_h2_flush(struct sld_h2_server *s);

// ---- h2_stream.c ----

// The callbacks of nghttp2 for calls; a connection is their user.
void sld_h2_stream_callbacks(nghttp2_session_callbacks *cb);
// ST is over: told, and put away.
void sld_h2_stream_end(struct sld_h2_stream *st);
void sld_h2_stream_free(struct sld_h2_stream *st);
// Of struct sld_grpc_ops.
struct sld_str sld_h2_metadata(const struct sld_grpc_stream *st);
void sld_h2_send(struct sld_grpc_stream *st, const struct sld_str *slices, struct sld_obj *const *owners, size_t n);
void sld_h2_close(struct sld_grpc_stream *st, int status, struct sld_str message);

// ---- h2_server.c ----

extern const struct sld_grpc_ops sld_h2_ops;
// At the end of the loop's turn: sld_h2_flush.
void sld_h2_server_flush(struct sld_h2_server *s);
// Cuts off in time what is closed and does not go.
void sld_h2_server_guard(struct sld_h2_server *s);
// A handle of S is closed.
void sld_h2_server_handle_gone(struct sld_h2_server *s);

// ---- h2_tls.c ----

// Certificate, key and client CA; SLD_INVALID when they cannot be used.
SLD_NODISCARD enum sld_rc sld_h2_tls_config_create(const struct sld_grpc_tls *t, struct sld_h2_tls_config **out, struct sld_err *err);
void sld_h2_tls_config_destroy(struct sld_h2_tls_config *c); // NULL is fine; connections go on
struct sld_h2_tls *sld_h2_tls_create(struct sld_h2_tls_config *c);
void sld_h2_tls_destroy(struct sld_h2_tls *t); // NULL is fine
// Takes bytes of the wire. Each of these may leave something to be sent: sld_h2_tls_take.
void sld_h2_tls_feed(struct sld_h2_tls *t, struct sld_str wire);
// > 0: bytes of plain text in BUF; 0: more of the wire is needed; -1: the end, or an error.
int sld_h2_tls_read(struct sld_h2_tls *t, char *buf, size_t size);
// Whether PLAIN went to what is to be sent; not before the handshake is done.
bool sld_h2_tls_ready(const struct sld_h2_tls *t);
bool sld_h2_tls_write(struct sld_h2_tls *t, struct sld_str plain);
// Adds what is to be sent to OUT.
void sld_h2_tls_take(struct sld_h2_tls *t, struct sld_buf *out);

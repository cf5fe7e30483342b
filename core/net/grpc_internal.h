// What the gRPC files of the room share.
#pragma once

#include <pthread.h>

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include "loop/loop.h"
#include "net/address.h"
#include "net/grpc_door.h"

// What a completion is about. gRPC gives back the tag's address; the pump only carries it, io looks
// inside.
enum sld_grpc_event {
    SLD_GRPC_ACCEPTED, // owner: struct sld_grpc_slot
    SLD_GRPC_DOWN,     // owner: struct sld_core_server; the server's shutdown is complete
    SLD_GRPC_INITIAL,  // owner of the rest: struct sld_core_stream
    SLD_GRPC_RECEIVED,
    SLD_GRPC_SENT,
    SLD_GRPC_STATUS,
    SLD_GRPC_OVER,
};
struct sld_grpc_tag {
    enum sld_grpc_event event;
    void *owner;
};

// One outstanding request for the next call.
struct sld_grpc_slot {
    struct sld_grpc_tag tag;
    grpc_call *call;
    grpc_call_details details;
    grpc_metadata_array metadata;
};

enum { SLD_GRPC_SLOTS = 16 };

struct sld_core_server {
    struct sld_grpc_server door;
    struct sld_loop *io;
    struct sld_grpc_handlers handlers;
    struct sld_grpc_options options;
    grpc_server *server;
    grpc_completion_queue *cq;
    grpc_resource_quota *quota;
    pthread_t pump;
    enum { SLD_GRPC_IDLE, SLD_GRPC_SERVING, SLD_GRPC_STOPPING, SLD_GRPC_STOPPED } state;
    struct sld_grpc_tag down_tag;
    bool down;                   // the shutdown completed
    unsigned slots_armed;
    struct sld_grpc_slot slots[SLD_GRPC_SLOTS];
    struct sld_list streams;     // of struct sld_core_stream
    unsigned live;               // length of streams
    unsigned serving;            // those of them that were not refused
    struct sld_list listeners;   // of struct listener, see grpc_server.c
    void (*done)(void *user);    // of sld_grpc_server_stop
    void *done_user;
};

struct sld_core_stream {
    struct sld_grpc_stream door;
    struct sld_list link;        // in server->streams
    struct sld_core_server *server;
    grpc_call *call;
    void *user;                  // what on_call returned; NULL = refused, no callbacks
    struct sld_grpc_tag initial, receive, send, status, closed;
    unsigned pending;            // operations gRPC has not completed
    grpc_byte_buffer *received;
    grpc_byte_buffer *sending;   // not NULL = a send is in flight
    grpc_slice status_text;
    int cancelled;
    bool closing;                // sld_grpc_close was called
    bool over;                   // gRPC says that the call ended
    struct sld_timer *guard;     // cancels a close that the client's flow control holds up
};

// Of struct sld_grpc_ops.
void sld_core_send(struct sld_grpc_stream *st, const struct sld_str *slices, struct sld_obj *const *owners, size_t n);
void sld_core_close(struct sld_grpc_stream *st, int status, struct sld_str message);
extern const struct sld_grpc_ops sld_core_ops;

// Begins to serve the call of SLOT; LIMIT = refuse it for want of room. [io]
void sld_grpc_stream_accept(struct sld_core_server *s, struct sld_grpc_slot *slot, bool limit);
// A completion of one of ST's operations. ST may be gone afterwards. [io]
void sld_grpc_stream_event(struct sld_core_stream *st, enum sld_grpc_event ev, bool ok);
// Ends the stop when nothing is left; called whenever something went. [io]
void sld_grpc_server_settle(struct sld_core_server *s);

// Certificates of one TLS listener: gRPC asks for them at every handshake, on a thread of its own.
struct sld_grpc_certs;
struct sld_grpc_certs *sld_grpc_certs_create(const struct sld_grpc_tls *tls);
void sld_grpc_certs_set(struct sld_grpc_certs *c, const struct sld_grpc_tls *tls);
// New server credentials that ask C. C must outlive them and every handshake.
grpc_server_credentials *sld_grpc_certs_credentials(struct sld_grpc_certs *c);
void sld_grpc_certs_destroy(struct sld_grpc_certs *c);

// Routes gRPC's own log into ours. [any]
void sld_grpc_log_install(void);

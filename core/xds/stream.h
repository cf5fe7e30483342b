// One client. Per type it has a subscription and *records*: a record exists for a name only while what the
// client holds differs, or may differ, from what it is meant to hold. No record means: it holds exactly
// sld_xds_entry_target, acknowledged. So a stream at rest has no memory per resource but one bit per name
// that it subscribed to by name.
#pragma once

#include "xds/inside.h"
#include "xds/request.h"
#include "xds/sm.h"

struct sld_xds_response;

// Where a record is. Dirty: to be sent as soon as order permits. Flight: in a response not answered yet. Linger:
// to be removed once nothing uses it. Idle: nothing to do until its resource changes (refused).
enum sld_xds_rec_state { SLD_REC_IDLE, SLD_REC_DIRTY, SLD_REC_FLIGHT, SLD_REC_LINGER };

// How far a cluster that is new to the client has come on the way to be used by a route: sent, subscribed to its
// endpoints (Envoy built it), endpoints sent after that, those acknowledged.
enum sld_xds_phase { SLD_PH_NEW, SLD_PH_SENT, SLD_PH_WATCHED, SLD_PH_FED, SLD_PH_READY };

struct sld_xds_rec {
    struct sld_list link;          // in its subscription's list of that state, but for flight
    struct sld_xds_entry *e;       // referenced
    struct sld_xds_resource *held; // last acknowledged by this client; NULL = none known
    struct sld_xds_resource *sent; // in flight; NULL there = its removal
    struct sld_xds_resource *doubt; // the form that `maybe` is about; NULL = any
    struct sld_xds_response *response;
    size_t item;                   // its place in RESPONSE
    struct sld_hash refused;       // content that this very client refused
    uint64_t since_ns;             // when the change was applied
    uint64_t due_ns;               // linger: when it may go; 0 = still in use
    uint64_t sent_ns;
    uint32_t group;                // resent after a NACK: only with others of the same group; 0 = free
    uint32_t wait_at;              // clusters before this one of the target were found ready
    uint8_t state, phase;
    bool maybe;    // the client may hold a form we do not know
    bool before;   // so it said itself: it came to this stream with one
    bool answer;   // the client asked: an answer is due, even about an absent name
    bool force;    // send again although it is held: its parent was replaced
    bool due;      // removal: may be sent
    bool burst;    // cluster: its shape is proven, dependants may follow without waiting
    bool eds_sent; // cluster: endpoints went out behind it
};

struct sld_xds_item {
    struct sld_xds_rec *rec;         // NULL when the client unsubscribed meanwhile
    struct sld_xds_resource *orphan; // what was sent, then
};

// A response that was sent and not answered yet.
struct sld_xds_response {
    struct sld_list link;
    uint64_t nonce;
    uint64_t sent_ns;
    uint8_t type;
    bool gate;    // holds a new cluster whose ACK, or the cap, something may wait for
    size_t count;
    struct sld_xds_item items[];
};

// The conversation about one type.
struct sld_xds_sub {
    struct sld_bits named;     // entries subscribed by name
    struct sld_bits presumed;  // of these: endpoints sent ahead, the subscription is still to come
    size_t named_count;
    struct sld_umap recs;      // entry address -> record
    struct sld_list dirty, linger, idle;
    struct sld_list flights;   // responses, oldest first
    size_t flight_count, item_count;
    uint32_t groups;           // last group number given out
    bool seen;                 // a request of this type came
    bool wild;
    bool named_once;           // an explicit name was seen: an empty list is no wildcard any more
    bool hello;                // the first answer is due even if it is empty
    bool again;                // the whole state is due once more: one was refused
    uint64_t last_nonce;       // newest sent
    uint64_t acks, nacks, pushes, bytes;
    char *last_error;          // owned; NULL = none
};

enum sld_xds_stream_state { SLD_ST_NEW, SLD_ST_EARLY, SLD_ST_OPEN, SLD_ST_CLOSING };

struct sld_xds_early {
    struct sld_xds_early *next;
    size_t n;
    char bytes[];
};

struct sld_xds_stream {
    uint32_t magic;
    uint8_t state;
    struct sld_list link;      // in x->streams
    struct sld_list view_link; // in view->streams, once bound
    struct sld_xds *x;
    enum sld_xds_kind kind;
    struct sld_xds_sender sender;
    void *user;
    struct sld_xds_view *view; // NULL before the first message was taken
    struct sld_xds_build *build;
    struct sld_str peer, node_id, role; // owned
    bool envoy;
    bool sending;              // between send and sent
    bool pumping;
    bool resumed;              // it came with clusters from an earlier stream
    bool recheck;              // look at lingering removals again
    uint64_t connected_ns, send_ns;
    uint64_t wake_ns;          // next deadline, 0 = none
    uint64_t nonce;            // last given out
    size_t names;              // subscribed and reported names, all types together
    struct sld_xds_early *early, **early_tail;
    size_t early_bytes;
    struct sld_buf foreign;    // answers about unknown types: length (8 bytes), message, ...
    uint64_t foreign_nonce;
    struct sld_xds_sub subs[SLD_XDS_TYPE_COUNT];
};

#define SLD_XDS_STREAM_MAGIC 0x5d5ea11fu

// ---- stream.c: life, and dispatch of requests ----

// Ends the stream; it does nothing any more.
void sld_xds_stream_fail(struct sld_xds_stream *s, int grpc_status, const char *message);
// Its records were settled.
void sld_xds_response_free(struct sld_xds_response *resp);
// S wants to be looked at when it is T (0 = not by time).
void sld_xds_stream_wake_at(struct sld_xds_stream *s, uint64_t t);
// Takes the messages that came before serving started.
void sld_xds_stream_wake_up(struct sld_xds_stream *s, uint64_t now);

// ---- rec.c: records ----

bool sld_xds_wanted(const struct sld_xds_sub *sub, const struct sld_xds_entry *e);
struct sld_xds_rec *sld_xds_rec_find(const struct sld_xds_stream *s, const struct sld_xds_entry *e);
struct sld_xds_rec *sld_xds_rec_named(const struct sld_xds_stream *s, enum sld_xds_type t,
                                      struct sld_str name);
// Found, or made with HELD (a reference is taken).
struct sld_xds_rec *sld_xds_rec_get(struct sld_xds_stream *s, struct sld_xds_entry *e,
                                    struct sld_xds_resource *held, uint64_t now);
void sld_xds_rec_free(struct sld_xds_stream *s, struct sld_xds_rec *r);
void sld_xds_rec_move(struct sld_xds_stream *s, struct sld_xds_rec *r, enum sld_xds_rec_state to);
// Puts R where it belongs by what the client holds and what it is meant to hold; may free it.
void sld_xds_rec_settle(struct sld_xds_stream *s, struct sld_xds_rec *r);
struct sld_xds_resource *sld_xds_target(const struct sld_xds_stream *s, struct sld_xds_entry *e);
// What the client holds of E as far as known; borrowed.
struct sld_xds_resource *sld_xds_holds(const struct sld_xds_stream *s, struct sld_xds_entry *e);
// The client acknowledged R: it may be what others of its build can fall back on. As sld_xds_entry_good.
bool sld_xds_stream_good(struct sld_xds_stream *s, struct sld_xds_entry *e,
                         struct sld_xds_resource *r, uint64_t now);
// E of the stream's view is about to change, has changed.
void sld_xds_stream_before(struct sld_xds_stream *s, struct sld_xds_entry *e, uint64_t now);
void sld_xds_stream_after(struct sld_xds_stream *s, struct sld_xds_entry *e, uint64_t now);
// Sends the resource again, if the client subscribed to it.
void sld_xds_rec_force(struct sld_xds_stream *s, enum sld_xds_type t, struct sld_str name,
                       uint64_t now);
// Subscriptions, shared by both protocols. False when the client went over max_names (the stream was ended).
bool sld_xds_subscribe(struct sld_xds_stream *s, enum sld_xds_type t, struct sld_str name,
                       const struct sld_bits *have, uint64_t now);
void sld_xds_unsubscribe(struct sld_xds_stream *s, struct sld_xds_entry *e, uint64_t now);
void sld_xds_subscribe_all(struct sld_xds_stream *s, enum sld_xds_type t,
                           const struct sld_bits *have, uint64_t now);
void sld_xds_unsubscribe_all(struct sld_xds_stream *s, enum sld_xds_type t);

// ---- delta.c, sotw.c: requests of one known type ----

void sld_xds_delta_request(struct sld_xds_stream *s, enum sld_xds_type t,
                           const struct sld_xds_request *q, uint64_t now);
void sld_xds_sotw_request(struct sld_xds_stream *s, enum sld_xds_type t,
                          const struct sld_xds_request *q, uint64_t now);

// ---- order.c: what may go now ----

// May a route that uses CLUSTER be sent to this client?
bool sld_xds_ready(struct sld_xds_stream *s, struct sld_str cluster, uint64_t now);
// R (dirty) has to wait.
bool sld_xds_blocked(struct sld_xds_stream *s, struct sld_xds_rec *r, uint64_t now);
// Some table that the client holds, may hold or is meant to hold lists CLUSTER.
bool sld_xds_in_use(struct sld_xds_stream *s, struct sld_str cluster, uint64_t now);
// Starts and ends lingering.
void sld_xds_linger(struct sld_xds_stream *s, uint64_t now);
// The next time something may become possible by time alone; 0 = none.
uint64_t sld_xds_next_due(const struct sld_xds_stream *s, uint64_t now);

// ---- push.c, encode.c: sending ----

void sld_xds_pump(struct sld_xds_stream *s, uint64_t now);
// An answer about a type we do not know: the names are absent.
void sld_xds_foreign(struct sld_xds_stream *s, const struct sld_xds_request *q);

// A message being put together: header bytes and borrowed slices between them.
struct sld_xds_message {
    struct sld_buf head;       // all header bytes, in order
    struct sld_xds_piece {
        size_t at;             // bytes of HEAD in front of RESOURCE's bytes
        struct sld_xds_resource *resource;
    } *pieces;                 // owned
    size_t count, cap;
    size_t bytes;              // of resources
};
void sld_xds_message_init(struct sld_xds_message *m);
void sld_xds_message_fini(struct sld_xds_message *m);
void sld_xds_message_resource(struct sld_xds_message *m, enum sld_xds_kind kind,
                              struct sld_xds_resource *r);
void sld_xds_message_removed(struct sld_xds_message *m, struct sld_str name);
void sld_xds_message_frame(struct sld_xds_message *m, enum sld_xds_kind kind, struct sld_str url,
                           struct sld_hash version, uint64_t nonce);
// Hands it to the sender; returns its size in bytes.
size_t sld_xds_message_send(struct sld_xds_message *m, struct sld_xds_stream *s);

// ---- ack.c: answers of the client ----

// The client acknowledged, or (NACK) refused with WORDS, what was sent with NONCE. False when nothing with that
// nonce is in flight.
bool sld_xds_answered(struct sld_xds_stream *s, enum sld_xds_type t, struct sld_str nonce,
                      bool nack, struct sld_str words, uint64_t now);

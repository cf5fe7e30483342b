// A scripted xDS client for the tests. Low level: requests made field by field, responses read one by one.
// High level: fake_step behaves as Envoy's delta mux does (watches made by parents, the fold trap, ACKs withheld
// while a cluster warms) and checks, at each message, what must never happen to an Envoy.
//
// Test resources are text: "C <rev>" clusters, "E <rev>" endpoints, "R <rev> cluster,..." routes, "L <rev> route,..."
// listeners, "S <rev>" secrets. Bytes that contain "BAD" are refused by every build, "BAD<n>" only by build n.
#pragma once

#include "xds/xds.h"

struct fake_resource {
    struct sld_str name, version, bytes;
};

struct fake_msg {
    struct fake_msg *next;
    enum sld_xds_type type;
    bool known;                 // the type URL is one of ours
    struct sld_str url, nonce, version;
    struct fake_resource *resources;
    size_t resource_count;
    struct sld_str *removed;
    size_t removed_count;
    int step;                   // the test's clock when the server sent it
    struct sld_arena arena;
};

struct fake_ack {
    struct fake_ack *next;
    enum sld_xds_type type;
    char nonce[24], words[512];
    bool nack;
    char convicts[16][64]; // what it refuses alone: keys of `convicted`
    size_t convict_count;
};

// What the client has of one cluster.
struct fake_cluster {
    bool gated, eds, warm;
    bool empty;    // its warming was ended without endpoints
    bool let_down; // its endpoints came beside bad ones: not taken, and a burst could not know that
};

struct fake {
    struct sld_xds *x;
    struct sld_xds_stream *stream;
    enum sld_xds_kind kind;
    const char *role;
    int build;
    int id;                     // for SLD_TRACE
    uint64_t *now;
    struct sld_map *convicted;  // bytes refused alone by a build: may not be sent to it again
    struct fake_msg *inbox, **tail; // sent by the server, not taken yet
    bool owes_sent;             // the server waits for sld_xds_stream_sent
    uint64_t sent_ns;           // when that was
    bool mute;                  // takes nothing off the wire
    bool emptied;               // somebody gives endpoints without any
    int status;                 // gRPC status the server closed with, -1 = open
    char why[128];
    bool clusters_later;        // it has still to ask for clusters
    bool renewing;              // state of the world: nobody knows what it held before this stream
    bool first;                 // the next request carries the node
    size_t in_flight[SLD_XDS_TYPE_COUNT];
    char last[SLD_XDS_TYPE_COUNT][24]; // nonce of the newest response taken
    size_t messages;            // received since open
    void (*put)(struct fake *f, struct sld_str bytes); // instead of the server's functions: onto a wire
    void (*get)(struct fake *f); // waits for a response and delivers it
    void *wire;
    const int *step;            // the test's clock, may be NULL
    // True when a route may come before CLUSTER: it was absent, or bad for this build, at STEP. May be NULL.
    bool (*excused)(struct fake *f, struct sld_str cluster, int step);
    // Envoy's state
    struct sld_map held[SLD_XDS_TYPE_COUNT];   // name -> struct sld_blob: bytes
    struct sld_map versions[SLD_XDS_TYPE_COUNT]; // name -> struct sld_blob
    struct sld_map watches[SLD_XDS_TYPE_COUNT]; // name, for EDS and RDS
    struct sld_map unsure[SLD_XDS_TYPE_COUNT]; // name: taken, or not, from a response it refused in part
    struct sld_map clusters;    // name -> struct fake_cluster
    struct fake_ack *acks, **ack_tail;
    bool hold_acks;             // fake_settle leaves the answers queued
};

// X is NULL for a client on a wire.
struct fake *fake_create(struct sld_xds *x, enum sld_xds_kind kind, const char *role, int build,
                         uint64_t *now, struct sld_map *convicted);
// Opens a stream; with what it holds when WARM (fake_start does the requests).
void fake_open(struct fake *f);
// One whole response that came by wire.
void fake_deliver(struct fake *f, struct sld_str bytes);
void fake_close(struct fake *f);
void fake_destroy(struct fake *f);

// One request. Lists are comma-separated, NULL = empty; VERSIONS is "name=version,...".
struct fake_request {
    enum sld_xds_type type;
    const char *url; // instead of TYPE
    const char *names, *unsubscribe, *versions, *nonce, *error;
    const char *version; // state of the world
    bool again; // the nonce was answered before
};
void fake_send(struct fake *f, const struct fake_request *q);
#define FAKE_SEND(f, ...) fake_send((f), &(struct fake_request){__VA_ARGS__})
// Sends raw bytes.
void fake_raw(struct fake *f, struct sld_str bytes);

// Tells the server that what it sent last went out, if it does not know yet.
void fake_sent(struct fake *f);
// The next response, or NULL; reports it as sent. Free with fake_free.
struct fake_msg *fake_next(struct fake *f);
void fake_free(struct fake_msg *m);
const struct fake_resource *fake_find(const struct fake_msg *m, const char *name);
bool fake_removed(const struct fake_msg *m, const char *name);
// Takes the next response, which must be of TYPE and hold exactly NAMES (comma-separated, a leading '-' for a removed
// one; any order), and acknowledges it when ACK.
void fake_expect(struct fake *f, enum sld_xds_type type, const char *names, bool ack);
void fake_expect_nothing(struct fake *f);

// Envoy's part: declares its subscriptions on a fresh stream.
void fake_start(struct fake *f);
// Takes one message as Envoy would; false when there is none.
bool fake_step(struct fake *f);
// It holds clusters or listeners that it would not report when it reconnects.
bool fake_unsure(const struct fake *f);
// Steps and answers until nothing more happens.
void fake_settle(struct fake *f);
// Sends the first queued answer that may go; false when none may.
bool fake_answer(struct fake *f);
// A gated cluster has become healthy.
void fake_warm(struct fake *f, const char *cluster);
// Envoy waits for endpoints no longer than 15 s: what still warms goes on without.
void fake_give_up(struct fake *f);
bool fake_holds(struct fake *f, enum sld_xds_type t, const char *name, const char *bytes);

// Makes a resource; CLUSTERS and ROUTES (comma-separated) are what it lists and needs.
struct make {
    enum sld_xds_type type;
    const char *name, *bytes, *clusters, *routes, *secrets;
    bool gated, no_eds, past;
    int shape; // 0 = 1
};
struct sld_xds_resource *make_resource(const struct make *m);
// Adds it to B (or its removal) for VIEW.
void batch_put(struct sld_xds_batch *b, const char *view, const struct make *m);
void batch_del(struct sld_xds_batch *b, const char *view, enum sld_xds_type t, const char *name);

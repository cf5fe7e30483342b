// xds: resource tables, subscriptions, the delta and state-of-the-world (SotW) machines, push order,
// ACK and NACK. Knows named bytes with versions and what they need; never a route or a Gloo resource.
//
// Everything runs on the io thread and nothing here does i/o or reads a clock: streams are given a small
// sender interface, time is passed in. So the whole room runs in tests against scripted clients.
#pragma once

#include "base/base.h"

// ---- Resources ----

enum sld_xds_type { SLD_XDS_SECRET, SLD_XDS_CLUSTER, SLD_XDS_ENDPOINT, SLD_XDS_LISTENER, SLD_XDS_ROUTE,
                    SLD_XDS_TYPE_COUNT };

// "type.googleapis.com/envoy.config.cluster.v3.Cluster", ...
struct sld_str sld_xds_type_url(enum sld_xds_type t);
// "cds", "eds", ... for metrics and dumps.
const char *sld_xds_type_name(enum sld_xds_type t);
bool sld_xds_type_find(struct sld_str url, enum sld_xds_type *t);

// A resource that another one asks for by name.
struct sld_xds_ref {
    enum sld_xds_type type;
    struct sld_str name;
};

// One encoded resource: immutable, shared between model and io threads.
struct sld_xds_resource {
    struct sld_obj obj;        // obj.hash is the content hash; its text is the version
    enum sld_xds_type type;
    bool secret;               // bytes hold private keys: never printed, wiped when freed
    bool gated;                // cluster: ready only by its CDS ACK (health checks, SDS, DNS, not EDS)
    bool eds;                  // cluster: takes its endpoints from the EDS resource of the same name
    bool past;                 // endpoints: an earlier process knew them, and nobody said anything of them since; a
                               // client that comes with others keeps those. Cleared by io when they are confirmed. Route
                               // table, listener: it chooses among instances of a service that nobody knows yet; the same,
                               // until it changes
    struct sld_str name;
    struct sld_str bytes;      // the message, encoded (the value of the Any); absent: it has a recipe
    struct sld_recipe *recipe; // KEEP's, or NULL
    struct sld_str *clusters;  // route, listener: clusters that must be ready before this is sent. Name only those that
                               // exist: a removed cluster stays at a client as long as a table lists it here
    struct sld_xds_ref *needs; // listener: its route tables and secrets; cluster: its secrets. A listener is held back
                               // until all of them can be answered; children are sent again behind every parent update
    uint32_t cluster_count, need_count;
    struct sld_hash shape;     // cluster: content without name; one ACK of a shape proves it for an Envoy build
    struct sld_hash content;   // of the bytes
    struct sld_obj *keep;      // own reference, or NULL: what of the above is not in the arena belongs to it, and is
                               // wiped by it
    struct sld_arena arena;    // owns the rest of the above
};

// A new, empty resource; fill it in its arena, then sld_xds_resource_seal computes the hash from type, name and
// content (and that from the bytes, unless it is given), and sorts `clusters`. Free by unref.
struct sld_xds_resource *sld_xds_resource_create(enum sld_xds_type t, struct sld_str name);
// The same, whose name, and what else is not put into its arena, is KEEP's, of which a reference is taken.
struct sld_xds_resource *sld_xds_resource_create_on(enum sld_xds_type t, struct sld_str name, void *keep);
void sld_xds_resource_seal(struct sld_xds_resource *r);
// The size of R's message, and its bytes: what is returned is a new reference to who owns BYTES. [any]
size_t sld_xds_resource_size(const struct sld_xds_resource *r);
struct sld_obj *sld_xds_resource_open(struct sld_xds_resource *r, struct sld_str *bytes);

// One change of a round. VIEW is the node role it is for ("gloo-system~gateway-proxy"); empty = every view.
struct sld_xds_change {
    enum sld_xds_type type;
    struct sld_str view;
    struct sld_str name;
    struct sld_xds_resource *resource; // NULL = removed; the batch owns a reference
};

// All changes of one round, handed from model to io. Create with sld_xalloc'ed memory through these.
struct sld_xds_batch {
    struct sld_arena arena;
    struct sld_xds_change *changes;
    size_t count;
    struct sld_str *confirmed; // names of endpoints of the past that are of the present now, as they are
    size_t confirmed_count;
    uint64_t round;
};
struct sld_xds_batch *sld_xds_batch_create(uint64_t round);
// Takes a new reference to R (may be NULL) and copies the strings.
void sld_xds_batch_add(struct sld_xds_batch *b, enum sld_xds_type t, struct sld_str view, struct sld_str name,
                       struct sld_xds_resource *r);
// Copies NAME.
void sld_xds_batch_confirm(struct sld_xds_batch *b, struct sld_str name);
void sld_xds_batch_destroy(struct sld_xds_batch *b);

// ---- The server side of all streams ----

struct sld_xds;

// What is shown instead of Envoy's words about a resource made of secrets, which may quote them.
extern const struct sld_str sld_xds_hidden_words;

// What the room tells the outside; any may be NULL. Called on the io thread, from within the calls below.
struct sld_xds_events {
    // An Envoy refused exactly this resource (isolated already where a response held several). WORDS are
    // Envoy's, and may quote secrets if it is a secret one. The same bytes are not sent to that build again; the last acknowledged ones are. Told
    // again when such bytes come back while a client of that build is there, or such a client connects.
    void (*on_refused)(void *user, struct sld_str view, const struct sld_xds_resource *r, struct sld_str build,
                       struct sld_str words);
    // The first ACK of this resource by any Envoy of VIEW.
    void (*on_accepted)(void *user, struct sld_str view, const struct sld_xds_resource *r, struct sld_str build);
    // A client connected, identified itself, or went.
    void (*on_clients)(void *user);
    void *user;
};

struct sld_xds_options {
    uint64_t linger_ns;     // how long a cluster stays after its last user was ACKed away; 30 s. Listeners have no users:
                            // they go at once
    uint64_t gate_cap_ns;   // how long a route waits for a gated cluster at most; 5 s
    size_t max_response_bytes; // a response is cut into several above this; 4 MiB
    size_t max_names;       // names a client may subscribe to, all types together; 1 million
    struct sld_str fallback_view; // view of clients whose role is missing or unknown
};
void sld_xds_options_default(struct sld_xds_options *o);

// No views, no streams; O and EV are copied. Destroy ends the streams; NULL is fine.
struct sld_xds *sld_xds_create(const struct sld_xds_options *o, const struct sld_xds_events *ev);
void sld_xds_destroy(struct sld_xds *x);
void sld_xds_set_linger(struct sld_xds *x, uint64_t linger_ns);
// Role VIEW is known, even while it has no resources: its clients get nothing, not the fallback.
void sld_xds_declare(struct sld_xds *x, struct sld_str view);
// Clients of ROLE get VIEW from now on, which is declared by this; those connected are asked to come again. The same as
// before: nothing happens.
void sld_xds_alias(struct sld_xds *x, struct sld_str role, struct sld_str view);

// Applies a round (takes the batch over) and pushes what may go. NOW is sld_mono_ns's.
void sld_xds_apply(struct sld_xds *x, struct sld_xds_batch *b, uint64_t now);
// Until this is called nothing is sent: not every source has synced.
void sld_xds_serve(struct sld_xds *x, uint64_t now);
// Runs what is due; returns the next deadline (0 = none).
uint64_t sld_xds_tick(struct sld_xds *x, uint64_t now);
uint64_t sld_xds_deadline(const struct sld_xds *x);
// Marks bytes as refused by a build from the start (restored state).
void sld_xds_refuse(struct sld_xds *x, struct sld_hash hash, struct sld_str build);

// ---- Streams ----

// How a stream reaches its peer. One send is in flight at a time: after `send` the room waits for
// sld_xds_stream_sent before the next one.
struct sld_xds_sender {
    // Sends one message, the concatenation of N slices. Slices without an owner are copied by the callee before it
    // returns; slice I with OWNERS[I] != NULL stays valid as long as the callee holds a reference to it.
    void (*send)(void *user, const struct sld_str *slices, struct sld_obj *const *owners, size_t n);
    // Ends the stream with a gRPC status; sld_xds_stream_closed follows later.
    void (*close)(void *user, int grpc_status, struct sld_str message);
};

enum sld_xds_kind { SLD_XDS_DELTA_ADS, SLD_XDS_SOTW_ADS };

struct sld_xds_stream;

// A stream of one client; what it is to be sent goes to S with USER. PEER is for people.
struct sld_xds_stream *sld_xds_stream_open(struct sld_xds *x, enum sld_xds_kind kind, const struct sld_xds_sender *s,
                                           void *user, struct sld_str peer, uint64_t now);
// One whole request message from the peer. Garbage ends the stream by sender->close.
void sld_xds_stream_message(struct sld_xds_stream *s, struct sld_str bytes, uint64_t now);
// The last send went out.
void sld_xds_stream_sent(struct sld_xds_stream *s, uint64_t now);
// The transport is gone: frees S.
void sld_xds_stream_closed(struct sld_xds_stream *s, uint64_t now);

// ---- Looking in (admin, metrics, readiness) ----

struct sld_xds_type_stat {
    uint64_t acks, nacks, pushes, bytes;
    size_t subscribed;      // names, or all of the view when wildcard
    bool wildcard;
    size_t unacked;         // resources sent and not answered yet
    size_t behind;          // resources of the view not yet sent in their present version (waiting for readiness, linger, order)
    size_t refused;         // resources held at an older version because this build refused the present one
    struct sld_str last_error; // Envoy's words of the last NACK
};

struct sld_xds_client_info {
    struct sld_str peer, node_id, role, view, build; // build: "envoy/1.40.0/<sha>..." from user_agent
    enum sld_xds_kind kind;
    uint64_t connected_ns;
    struct sld_xds_type_stat types[SLD_XDS_TYPE_COUNT];
    bool converged;         // everything of its view is acknowledged, refused, or held at last good
};
// Adds the builds of connected clients to OUT, distinct, a line each.
void sld_xds_builds_print(const struct sld_xds *x, struct sld_buf *out);
// Calls FN for each connected client.
void sld_xds_clients(const struct sld_xds *x, void (*fn)(const struct sld_xds_client_info *c, void *arg), void *arg);
// Calls FN for each resource of VIEW (shared ones included), in order of type and name. ACKED is the version the given
// client (or any, when CLIENT is absent) last acknowledged, as a hash text, "" when none.
void sld_xds_resources(struct sld_xds *x, struct sld_str view,
                       void (*fn)(const struct sld_xds_resource *r, struct sld_str acked, void *arg), void *arg);
// Totals since start, per type, over all streams that ever were.
void sld_xds_totals(const struct sld_xds *x, struct sld_xds_type_stat out[SLD_XDS_TYPE_COUNT]);
// Push latency histogram: seconds from sld_xds_apply to the ACK, counts per upper bound; for metrics.
#define SLD_XDS_BUCKETS 12
extern const double sld_xds_bucket_bounds[SLD_XDS_BUCKETS]; // the last is +Inf
void sld_xds_latency(const struct sld_xds *x, uint64_t counts[SLD_XDS_BUCKETS], double *sum);

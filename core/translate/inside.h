// Private to the room: the tables, their rows, and what steps work with.
//
//   raw[K] accepted[K] settings clock refused held        source tables, set by translate.c,
//   accept.c, nack.c
//      │                                                   (a held row replaces a virtual host
//      Envoy refused)
//   obj[K]            the form in force: raw when it passed its checks, else the accepted one
//      │
//   gateways ── gw_select          upstreams groups secrets        facts others read
//      │            │                  │
//      │         attach              (exists?)       one row per (gateway, virtual service)
//      │            │
//      │         vhosts              encoded virtual hosts, findings of virtual services and route
//      tables │            │
//   listeners    routes   clusters endpoints tls           rows are struct sld_out
//
//   status[K]         findings of all rows about one object, by the index of the same name of each
//   table
#pragma once

#include "translate/translate.h"

#include "common.pb-c.h"
#include "destination.pb-c.h"
#include "gateway.pb-c.h"
#include "matcher.pb-c.h"
#include "options_hcm.pb-c.h"
#include "options_listener.pb-c.h"
#include "options_route.pb-c.h"
#include "secret.pb-c.h"
#include "settings.pb-c.h"
#include "settings_gloo.pb-c.h"
#include "tcp.pb-c.h"
#include "tls.pb-c.h"
#include "upstream.pb-c.h"
#include "virtual_service.pb-c.h"

// ---- Rows ----

// Findings of one row about one object.
struct tr_about {
    struct sld_str key;
    struct sld_finding *items;
    size_t count;
};

// What every derived row of this room begins with.
struct tr_row {
    struct sld_obj obj; // hash: content, findings and uses
    struct sld_arena arena;
    struct tr_about *about; // sorted by key
    sld_id *uses; // keys of the objects it was made of, in the order of their texts, distinct
    uint32_t about_count, use_count;
};

// A listener that a gateway has in one proxy.
struct tr_bind {
    struct sld_str view;  // "<write namespace>~<proxy>"
    struct sld_str proxy; // proxy name
    struct sld_str name;  // "listener-::-8080"
    bool lost;            // another gateway has the port
};

struct tr_gateway {
    struct tr_row row;
    struct sld_str key; // "gateways/ns/name"
    struct sld_str ns, name;
    struct sld_object *object; // own reference; holds GW
    const Gloo__Gateway *gw;
    bool is_virtual; // no such document: see design 10
    bool considered; // its namespace is read
    struct tr_bind *binds;
    size_t bind_count;
};

// What binds a gateway asks for; only of considered ones.
struct tr_ports {
    struct tr_row row;
    uint32_t port;
    struct sld_str *proxies;
    size_t count;
};

// Whether a gateway serves anything; a row for each gateway.
struct tr_live {
    struct tr_row row;
    bool live;
};

// What decides which virtual services a gateway serves (gloo-compat 3.2). Only for HTTP gateways
// with a bind.
struct tr_select {
    struct tr_row row;
    struct sld_str key;
    const Gloo__HttpGateway *http; // in the arena: options cleared
    bool ssl;
    struct sld_str proxy; // the first it is served in: part of the names of routes
};

// A virtual service at a gateway. Key "<gateway key>\n<virtual service key>".
struct tr_attach {
    struct sld_obj obj; // hash: of domains and ssl
    sld_id gateway, vs; // keys
    bool ssl;           // both ask for TLS
    uint32_t domain_count;
    sld_id domains[]; // see tr_domains
};

// Configurations that requests of a virtual host name; own references.
struct tr_confs {
    struct sld_request_conf **items;
    size_t count;
};

// An encoded virtual host; key as its attach row.
struct tr_vhost_row {
    struct tr_row row;
    sld_id gateway, vs;         // keys
    struct sld_str bytes;       // env Route VirtualHost; empty: nothing to serve (findings only)
    struct sld_hash content;    // of bytes
    struct sld_str
        *clusters; // existing ones it sends to, sorted, distinct; the flow's own (tr_keep_key)
    struct tr_confs confs; // by id, distinct
    uint32_t cluster_count;
    bool secret;   // bytes hold secret values
    bool guessed;  // some route chooses among instances of a service that nobody knows yet
    bool conflict; // a domain belongs to another: the present form is not in force
};

// Keys of endpoint metadata, by tag and by data center, that routes to a service of Consul may choose
// by; without repetitions. Each endpoint has all of them, so there is a ceiling.
enum { TR_CONSUL_TAGS_MAX = 128, TR_CONSUL_DATACENTERS_MAX = 64 };
struct tr_consul_keys {
    const char **tags; // "tag_v1"
    size_t tag_count, tags_left_out;
    const char **datacenters; // "dc_dc1"
    size_t datacenter_count, datacenters_left_out;
};

// The part of an upstream that routes and others need.
struct tr_upstream {
    struct tr_row row;
    struct sld_str cluster;          // "name_ns"; the flow's own (tr_keep_key)
    bool served;                     // it has a cluster (no errors)
    const Gloo__SubsetSpec *subsets; // in the arena, or NULL; not of a service: tr_subsets_of
    struct tr_consul_keys consul;    // of a service of Consul; the texts are the flow's own
};

struct tr_group {
    struct tr_row row;
    struct sld_str ns;
    struct sld_object *object; // own reference
    const Gloo__UpstreamGroup *group;
};

// A TLS configuration of a gateway: virtual services whose sslConfig differs only in sniDomains
// share one (gloo-compat 3.4).
struct tr_tls {
    const Gloo__SslConfig *config; // sniDomains united
    struct sld_str *vs;            // keys of the virtual services, sorted
    size_t vs_count;
};
struct tr_tls_set {
    struct tr_row row;
    struct tr_tls *items;
    size_t count;
};

// What was read of a secret's certificates; a row for each secret of kind tls. (secret.c)
struct tr_cert {
    struct tr_row row;
    bool has_cert, has_ca, has_ocsp, must_staple;
    int64_t not_before, not_after,
        ca_not_after;         // Unix seconds; of the leaf, and of the root that ends first
    struct sld_str chain, ca; // re-encoded
    struct sld_str broken;    // why it cannot be used at any time; empty: it can
};

// When the certificate of a present Secret document is valid; no row for others.
struct tr_validity {
    struct sld_obj obj;
    int64_t not_before, not_after; // Unix seconds
    struct sld_hash chain;         // hash of the certificate chain
};

// Facts of a secret. Values stay in the object; a rotation leaves the facts as they are.
enum tr_secret_kind { TR_SECRET_OTHER, TR_SECRET_TLS, TR_SECRET_HEADER };
struct tr_secret {
    struct tr_row row;
    struct sld_str key, ns, name;
    enum tr_secret_kind kind;
    bool usable;  // tls: chain and key fit and are valid, or were when they came into service
    bool deleted; // its document is gone; it stays in service while something refers to it
    bool has_cert, has_ca, has_ocsp, must_staple;
    struct sld_str why; // why a tls secret is not usable; else empty
};

// A source row of `refused`: what an Envoy refused. Key: tr_out_key of the resource.
struct tr_refused {
    struct sld_obj obj;
    struct sld_arena arena;
    struct sld_hash content;
    struct tr_refusal {
        struct sld_str build, words;
    } *by; // distinct builds, in the order in which they refused it
    size_t count;
};
// A source row of `held`: put in the place of a virtual host whose content is REFUSED. Key as the
// vhost row.
struct tr_held {
    struct sld_obj obj;
    struct sld_arena arena;
    struct sld_hash refused;
    struct sld_str bytes; // the form Envoys took; empty: none, the virtual host is left out
    struct sld_str *clusters;
    size_t cluster_count;
    struct tr_confs confs;
    bool secret;
    bool convicted; // it is known to be the one; else only under suspicion
    struct sld_str build, words;
};
// A document that an Envoy refused: as long as it says the same, it is like one with an error.
struct barred {
    struct sld_arena arena;
    struct sld_hash hash; // of the object without the refusal
    struct sld_str build; // of the Envoy; empty: not known
    struct sld_str words;
    bool news; // to be told
};

// What the steps of the tables by kind get as USER.
struct tr_kind_slot {
    struct sld_translate *t;
    enum sld_kind kind;
};

struct tr_clock {
    struct sld_obj obj;
    int64_t now_s;
};

// ---- The room's state ----

struct sld_translate {
    struct sld_translate_options opt;
    struct sld_umap served; // the options that features serve, as of sld_msg_check
    bool on_demand;         // some source gives secrets on demand
    struct sld_flow *flow;
    // source tables
    struct sld_table *raw[SLD_KIND_COUNT], *accepted[SLD_KIND_COUNT]; // struct sld_object
    struct sld_table *seed; // one row, so that steps without a parent can run
    struct sld_table *
        settings; // one row "settings": struct sld_arena_obj, root Gloo__Settings; absent: defaults
    struct sld_table *settings_key; // one row: struct sld_blob
    struct sld_table *defaults;     // one row "served" while the default gateways are in service
    struct sld_table *clock;        // one row "now": struct tr_clock
    struct sld_table *refused, *held;
    struct sld_table *plugins; // struct sld_plugin_slot
    const struct sld_feature **features; // opt.features in the order they run in
    struct sld_table *services, *instances; // struct sld_service, struct sld_instances
    struct sld_table *catalogs; // registries whose catalog was not told yet: struct sld_blob
    struct sld_table *wanted; // keys of upstreams without a document that somebody refers to
    struct sld_table *all_wanted; // one row while a route leaves the choice to the request
    struct sld_table *refers;     // while secrets come on demand: which ones a document means
    struct sld_table *answered;   // one row "on demand" while they do; a row for each that was answered
    struct sld_table *remembered; // struct tr_secret: what was in service when Solder ended had
    // derived
    struct sld_table *named; // keys of upstreams that services have become, while all are wanted
    struct sld_table *obj[SLD_KIND_COUNT]; // struct sld_object, of raw or accepted
    struct sld_table *waits;               // struct tr_row: documents that wait for a secret
    struct sld_table *validity;            // struct tr_validity, from raw[SECRET]
    struct sld_table *certs;               // struct tr_cert, from obj[SECRET]
    struct sld_table *secrets; // struct tr_secret, from obj[SECRET]; reads certs and clock
    struct sld_table *upstreams, *groups;
    struct sld_table *default_gateways, *ports, *gateways, *gw_select;
    struct sld_table *attach, *vhosts, *vs_tls, *tls_sets;
    struct sld_table *placed; // held forms that go into route tables in the place of refused hosts
    struct sld_table *live;   // struct tr_live
    struct sld_table *asks; // "<registry>\n<service>[\n<how>]" for services that are needed
    struct sld_table *out_secrets, *out_clusters, *out_endpoints, *out_listeners, *out_routes,
        *out_fixed, *out_extras;              // struct tr_out
    struct sld_table *refusals;               // struct tr_row: findings from refused
    struct sld_table *status[SLD_KIND_COUNT]; // struct sld_status

    struct sld_index *rt_by_label; // of obj[ROUTE_TABLE]: "ns\n<ns>", "label\n<key>=<value>", "all"
    struct sld_index *ports_by_bind;                        // of ports: "<proxy>|<port>"
    struct sld_index *accepted_by_bind;                     // of accepted[GATEWAY], the same
    struct sld_index *attach_by_gateway, *attach_by_domain; // "<gateway key>", "<domain>"
    struct sld_index *accepted_by_domain; // of accepted[VIRTUAL_SERVICE]: "<domain>"
    struct sld_index *vhosts_by_gateway, *placed_by_gateway, *vs_tls_by_gateway;
    struct sld_index *services_by_name; // of services, by the names of their upstreams
    struct sld_index *about; // of all tables whose rows carry findings: by object
    // Of vhosts by those of `uses` that may be orphans.
    struct sld_index *vhost_users;

    struct tr_kind_slot slots[SLD_KIND_COUNT];
    struct sld_umap barred;   // row key -> struct barred: documents that Envoys refused
    struct sld_umap troubles; // row key -> struct trouble: problems of the places of documents
    struct sld_umap orphans;  // keys of secrets without a document that were in use
    struct sld_map confs;     // id -> struct conf_users (conf.c)
    struct sld_umap served_before; // key of a secret -> struct sld_hash: the chain in service at the last end
    struct sld_umap pasts;    // key of a service whose instances an earlier process knew -> the key
    struct sld_umap confirmed; // key of one whose instances were so before the next round -> the key
    struct sld_umap places;   // row key -> the latest struct sld_raw, own reference
    struct nack *nack;        // nack.c
    struct tr_tables *tables; // route_table.c
    struct changes *changes;  // translate.c: what watchers collected
    struct sld_blob *yes;     // the value of rows that are there or not
    struct tr_assigning *assigning; // what assignments of services were made by last; instance.c
};

// ---- A step at work ----

struct tr {
    struct sld_translate *t;
    struct sld_ctx *ctx;
    struct sld_arena *arena;    // freed at the end of the step: messages are built here
    struct tr_reports *reports; // by object
    struct sld_str *uses;
    size_t use_count;
    bool tainted; // a secret value was read
};

void tr_begin(struct tr *tr, struct sld_translate *t, struct sld_ctx *ctx);
// The report about object KEY of the row in the making; made when first asked for. Its prefix is
// empty.
struct sld_report *tr_report(struct tr *tr, struct sld_str key);
// The row depends on object KEY ("routetables/ns/name"), whether it exists or not.
void tr_use(struct tr *tr, struct sld_str key);
// A zeroed row of SIZE bytes (a struct beginning with tr_row) with an arena of its own.
void *tr_row_create(size_t size);
// The same, with ROOM bytes of its arena in the same piece: for rows of which there are many, whose
// size is known. More than that needs no care, it only costs more.
void *tr_row_create_with(size_t size, size_t room);
// What tr_row_finish will take of it for the uses so far.
size_t tr_room_of_uses(const struct tr *tr);
// KEY, of an object or a row, as the flow keeps it: lives as long as the flow and all its rows.
struct sld_str tr_keep_key(const struct sld_translate *t, struct sld_str key);
// Ends the row: copies findings and uses into it and sets its hash to that of CONTENT and of these.
// A row that holds references gives a FREE_FN that drops them and calls tr_row_free; others NULL.
void tr_row_finish(struct tr *tr, struct tr_row *row, struct sld_hash content,
                   void (*free_fn)(struct sld_obj *o));
// Frees a row's arena and the row; the end of every FREE_FN.
void tr_row_free(struct tr_row *row);
// True when the row in the making has findings or uses worth keeping.
bool tr_has_report(const struct tr *tr);

// ---- Reading ----

// Object of kind K in force, or NULL; recorded, and counted as used.
const struct sld_object *tr_object(struct tr *tr, enum sld_kind k, struct sld_str ns,
                                   struct sld_str name);
// How to mend a reference that tr_object or another of these did not find: the end of a finding's
// text. Recorded.
const char *tr_mend_ref(struct tr *tr, enum sld_kind k, struct sld_str ns, struct sld_str name);
const Gloo__Settings *tr_settings(struct tr *tr); // never NULL
// invalidConfigPolicy.replaceInvalidRoutes.
bool tr_replaces_invalid(struct tr *tr);
struct sld_str tr_write_ns(struct tr *tr);
// The time, or 0 when it is not known; recorded.
int64_t tr_now(struct sld_translate *t, struct sld_ctx *ctx);
// Facts, recorded and counted as used; NULL when there is no such object.
const struct tr_upstream *tr_upstream(struct tr *tr, struct sld_str ns, struct sld_str name);
const struct tr_group *tr_group(struct tr *tr, struct sld_str ns, struct sld_str name);
const struct tr_secret *tr_secret(struct tr *tr, struct sld_str ns, struct sld_str name);
// The plugin NAME, or NULL; recorded.
const struct sld_plugin_slot *tr_plugin(struct tr *tr, struct sld_str name);
// The decoded message of a secret, for values; the row becomes tainted. NULL when there is none.
const Gloo__Secret *tr_secret_values(struct tr *tr, struct sld_str ns, struct sld_str name);

// Facts of an awaited TLS secret, when it was in service as Solder ended; else NULL. Recorded.
// (await.c)
const struct tr_secret *tr_remembered(struct tr *tr, struct sld_str ns, struct sld_str name);
// Whether a secret is not there, but may still come: nobody has said yet that there is none.
// Recorded. (await.c)
bool tr_awaited(struct tr *tr, struct sld_str ns, struct sld_str name);

// ---- Names (gloo-compat 3) ----

// "virtualservices/ns/name".
struct sld_str tr_key(struct sld_arena *a, enum sld_kind k, struct sld_str ns, struct sld_str name);
// "name_ns"; the bare name without a namespace.
struct sld_str tr_cluster_name(struct sld_arena *a, struct sld_str ns, struct sld_str name);
// Names of SDS resources.
struct sld_str tr_sds_cert_name(struct sld_arena *a, struct sld_str ns, struct sld_str name);
struct sld_str tr_sds_ca_name(struct sld_arena *a, struct sld_str ns, struct sld_str name);
// "ns.name" as messages have it; a reference to a secret store alone.
struct sld_str tr_ref_text(struct sld_arena *a, struct sld_str ns, struct sld_str name);
// A reference's namespace, or OWNER when it has none.
struct sld_str tr_ref_ns(const Gloo__ResourceRef *ref, struct sld_str owner);
struct sld_str tr_out_key(struct sld_arena *a, enum sld_out_type t, struct sld_str view,
                          struct sld_str name);

// ---- Parts that several files build with ----

// The domains a virtual service claims: lower case, sorted, distinct, "*" when it names none;
// nothing without a virtualHost. (attach.c)
size_t tr_domains(struct sld_arena *a, const Gloo__VirtualService *vs, struct sld_str **out);
// Whether gateway KEY serves anything; recorded. (gateway.c)
bool tr_gateway_live(struct tr *tr, sld_id key);

// The cluster that answers for invalid routes when invalidConfigPolicy.replaceInvalidRoutes is set
// (gloo-compat 3.12).
#define TR_FALLBACK_CLUSTER "fallback_cluster_for_invalid_routes"
// A cluster that never exists, so that Envoy answers 503: for destinations that must not get
// requests.
#define TR_NO_CLUSTER "solder-no-destination"

// Where a destination leads. Missing upstreams give a warning on R (prefix at the destination) and
// SERVED false: the cluster's name is set all the same, Envoy answers 503 (gloo-compat 3.10).
struct tr_dest {
    struct sld_str cluster;
    bool served;
    bool unheard; // not served, but nobody knows yet whether it is there: an Envoy that has the cluster keeps it
    const struct tr_upstream *upstream; // NULL when there is none
    bool chosen;                        // by tags or data centers of Consul, instead of a subset
    bool guessed;                       // it is to be, but UNHEARD: which keys there are is not known
    struct Env__Core__Metadata *match;  // which of its endpoints; NULL = any
};
void tr_destination(struct tr *tr, const Gloo__Destination *d, struct sld_str owner_ns,
                    struct sld_report *r, struct tr_dest *out);
// Findings of R from number FROM on get its prefix as their path: what they are about lies in
// another object. (dest.c)
void tr_findings_here(struct sld_report *r, size_t from);
// A subset as Envoy takes it: filter_metadata["envoy.lb"], with text values; NULL when it asks for
// nothing. (dest.c)
struct Env__Core__Metadata *tr_subset_match(struct sld_arena *a, const Gloo__Subset *s);
// The row sends requests to CLUSTER, which exists. (dest.c)
struct tr_clusters {
    struct sld_str *items;
    size_t count;
};
void tr_clusters_add(struct tr *tr, struct tr_clusters *c, struct sld_str cluster);
// Makes them sorted and distinct, with the names the flow keeps (tr_keep_key), and returns how many
// there are.
size_t tr_clusters_done(const struct sld_translate *t, struct tr_clusters *c);

// Requests of the row name C (taken over). (conf.c)
void tr_confs_add(struct tr *tr, struct tr_confs *confs, struct sld_request_conf *c);
// Copies FROM, each of it once and by id, into A.
struct tr_confs tr_confs_copy(struct sld_arena *a, const struct tr_confs *from);
// The same to an array, which has room for as many as FROM.
struct tr_confs tr_confs_copy_to(struct sld_request_conf **room, const struct tr_confs *from);
void tr_confs_drop(struct tr_confs *confs);
struct sld_hash tr_confs_hash(const struct tr_confs *confs);
// A row that named WAS names IS now (either may be NULL); what follows from it is told.
void tr_confs_moved(struct sld_translate *t, const struct tr_confs *was, const struct tr_confs *is);
void tr_confs_of_vhosts(struct sld_translate *t, const struct tr_vhost_row *was, const struct tr_vhost_row *is);
void tr_confs_fini(struct sld_translate *t);
// In the room of the result.
void tr_tell_conf(struct sld_translate *t, struct sld_str id, struct sld_request_conf *c);

// ADS as the source of a child resource: the one constant ConfigSource of this product
// (xds-notes 2.4 rule A).
struct Env__Core__ConfigSource *tr_ads(struct sld_arena *a);
// A regular expression as Envoy takes it; the pattern was checked before.
struct Env__TypeMatcher__RegexMatcher *tr_regex(struct sld_arena *a, struct sld_str pattern);
// Adds a finding unless the pattern is RE2 syntax; a note when it is larger than stock Envoy allows
// (feasibility 8.4).
bool tr_check_regex(struct sld_report *r, const char *field, struct sld_str pattern);
// A socket address.
struct Env__Core__Address *tr_address(struct sld_arena *a, struct sld_str host, uint32_t port);

// TLS (tls.c). Secrets in use are appended to NEEDS. NULL, with a finding on R, when the
// configuration cannot be served: *MISSING tells that a secret is missing.
struct tr_needs {
    struct sld_out_ref *items;
    size_t count;
};
void tr_needs_add(struct tr *tr, struct tr_needs *n, enum sld_out_type type, struct sld_str name);
struct Env__Core__TransportSocket *tr_downstream_tls(struct tr *tr, const Gloo__SslConfig *c,
                                                     struct sld_str owner_ns, struct sld_report *r,
                                                     struct tr_needs *needs, bool *missing);
// Towards upstreams: tls.h.

// Whether nothing keeps the cluster of an upstream from being served now: the secrets it needs are
// there. Recorded. (cluster.c)
bool tr_upstream_served(struct tr *tr, const Gloo__Upstream *u, struct sld_str ns);

// Access logs of listeners, for HTTP and TCP (feature/access_log.c).
struct Env__Accesslog__AccessLog **tr_access_logs(struct tr *tr, const Gloo__ListenerOptions *o,
                                                  size_t *n);

// Resources for Envoy: a row of the out_ tables.
struct tr_out {
    struct tr_row row;
    struct sld_out *out; // own reference; NULL: only findings
};
// A row of out_extras whose key is TR_EXTRAS_PREFIX and a plugin: what it needs beside its resources, which are rows of their own.
#define TR_EXTRAS_PREFIX "extra\n"
struct tr_extras {
    struct tr_out out; // without a resource
    struct tr_confs confs;
};
// Encodes MSG as resource TYPE NAME of VIEW and emits it, with the findings and uses of TR, under
// tr_out_key. What the resource depends on is given in PROTO (its bytes, content and shape are set
// here). PROTO->recipe, or NULL, makes MSG's bytes again; a reference is taken if it is kept instead of
// them. MSG NULL: findings only, under KEY. Checks Envoy's constraints first: a violation is a
// finding SLD_ENVOY_CONSTRAINT on REPORT and nothing is emitted but findings; false then.
bool tr_emit_out(struct tr *tr, sld_id key, const ProtobufCMessage *msg,
                 const struct sld_out *proto, struct sld_report *report);

// The same in parts, for resources assembled from encoded pieces (out.c). All of PROTO but its
// bytes is copied; there is room for BYTES bytes, to be added, and for OWNERS owners.
struct sld_out *tr_out_create(const struct sld_out *proto, size_t bytes, size_t owners);
void tr_out_add(struct sld_out *o, struct sld_str s);
// The bytes of R, for which O has room, become O's.
void tr_out_make(struct sld_out *o, const struct sld_recipe *r);
// Emits OUT (taken over; NULL: only findings; one that was emitted before, with the same uses) with the findings and
// uses of TR.
void tr_emit_row(struct tr *tr, sld_id key, struct sld_out *out);

// The table in which the resource of a tr_out_key is made, and the kind of object that answers for
// it (OWNER may be NULL). (status.c)
struct sld_table *tr_out_table(const struct sld_translate *t, struct sld_str key,
                               enum sld_kind *owner);

// ---- Steps and index functions, by file ----

sld_step tr_step_object;                                                        // object.c
sld_step tr_step_validity, tr_step_certs, tr_step_secrets, tr_step_out_secrets; // secret.c
sld_step tr_step_upstreams, tr_step_groups;                                     // upstream.c
sld_step tr_step_asks;  // demand.c
sld_step tr_step_waits; // await.c
sld_step tr_step_named; // service.c
sld_step tr_step_out_clusters, tr_step_out_endpoints; // cluster.c, endpoint.c
sld_step tr_step_default_gateways, tr_step_ports, tr_step_gateways, tr_step_gw_select,
    tr_step_live;                          // gateway.c
sld_step tr_step_attach;                   // attach.c
sld_filter_fn tr_has_tls;                  // of attach rows; tls_set.c
sld_step tr_step_vs_tls, tr_step_tls_sets; // tls_set.c
sld_step tr_step_vhosts;                   // vhost.c
sld_step tr_step_out_routes;               // route_table.c
sld_step tr_step_out_listeners;            // listener.c
sld_step tr_step_out_fixed, tr_step_out_extras; // fixed.c
sld_step tr_step_refusals, tr_step_status; // status.c
// True for a finding of a step that keeps the present document of kind K from being accepted: it
// lost a domain or a port to another object, its certificate is not valid now, or a secret that it
// means has not been read yet.
bool tr_keeps_out(enum sld_kind k, const struct sld_finding *f);

sld_index_fn tr_index_about, tr_index_uses; // row.c
// Whether the object of KEY is of a kind that has no effect unless a virtual host is made of it:
// tr_index_uses is of those.
bool tr_may_be_orphan(struct sld_str key);
sld_index_fn tr_index_services;                                                         // service.c
sld_index_fn tr_index_rt;                                                               // object.c
sld_index_fn tr_index_ports, tr_index_accepted_bind;                                    // gateway.c
sld_index_fn tr_index_attach_gateway, tr_index_attach_domain, tr_index_accepted_domain; // attach.c
sld_index_fn tr_index_vhost_gateway;  // vhost.c; of vhosts and placed
sld_index_fn tr_index_vs_tls_gateway; // tls_set.c

// Where the document of KEY is now; NULL when there is none. (translate.c)
struct sld_raw *tr_place(const struct sld_translate *t, enum sld_kind k, sld_id key);
// ROW, the status of KEY, with the problem of its document's place if it has one. (translate.c)
const struct sld_status *tr_told_status(const struct sld_translate *t, sld_id key,
                                        const struct sld_status *row);

// MSG, which nobody wrote, checked as a document of a user's is; see sld_object_create_unwritten. (translate.c)
struct sld_object *tr_unwritten(struct sld_translate *t, struct sld_ident id, ProtobufCMessage *msg, struct sld_str origin);

// Secrets on demand (await.c). The document of KEY is O now (NULL: it is gone).
void tr_refers_set(struct sld_translate *t, sld_id key, const struct sld_object *o);
// What a state remembers of TLS secret C: the hash of its chain, whose last bits say what it has.
struct sld_hash tr_mark(const struct tr_cert *c);
// Whether MARK is that of a secret with the chain of this hash.
bool tr_mark_is_of(struct sld_hash mark, struct sld_hash chain);
// Secret ID of this MARK was in service when Solder ended. MARK zeroes: not any more.
void tr_remember(struct sld_translate *t, struct sld_ident id, struct sld_hash mark);
// Nobody reads secret KEY any more: what was answered for it does not count next time.
void tr_unanswered(struct sld_translate *t, sld_id key);
// Tells R which endpoints are known now that were known of the past. (demand.c)
void tr_tell_confirmed(struct sld_translate *t, struct sld_translate_result *r);

// Demand (demand.c): what the outside is to fetch because somebody reads it.
void tr_demand_watch(struct sld_translate *t);
// The document of upstream KEY is gone: if somebody refers to it, a service may take its place.
void tr_demand_undocumented(struct sld_translate *t, sld_id key);
// Told with the changes of a run. (translate.c)
void tr_tell_want(struct sld_translate *t, enum sld_want_kind kind, struct sld_str key, bool wanted);
// Read by routes that leave the choice of the cluster to the request: all services are wanted then.
// (demand.c)
void tr_want_all(struct tr *tr);

// Validation of a document alone (validate.c): what decides whether it can be accepted.
void tr_validate(const struct sld_translate *t, enum sld_kind k, const void *msg,
                 struct sld_report *r);
// Fills t->served from the features; at the start.
void tr_serve_options(struct sld_translate *t);

// What route tables were made of, so that the next ones are made faster; route_table.c.
struct tr_tables *tr_tables_create(void);
void tr_tables_destroy(struct tr_tables *t);
// The resource of KEY is gone.
void tr_tables_forget(struct tr_tables *t, sld_id key);
// Whether the bytes of all tables are those of their hosts one behind the other; for
// sld_translate_verify.
bool tr_tables_sound(const struct tr_tables *t);

// nack.c
sld_step tr_step_placed; // parent: held
struct nack *tr_nack_create(struct sld_translate *t);
void tr_nack_destroy(struct nack *n);
// Takes the present document of KEY out of force, because an Envoy of BUILD refused what was made of it:
// DOC, the form accepted before it (or NULL), comes back. False: the document is DOC, so it is not
// what was refused. (translate.c) (translate.c) tr_unbar: it is tried again.
void tr_unbar(struct sld_translate *t, struct sld_str key);
bool tr_bar(struct sld_translate *t, struct sld_str key, const struct sld_object *doc,
            struct sld_str build, struct sld_str words);
// redact.c: WORDS of an Envoy about a resource made of secrets, without the texts of any secret.
struct sld_str tr_redact(const struct sld_translate *t, struct sld_arena *a, struct sld_str words);
// Watchers of vhosts and placed.
sld_watch_fn tr_nack_on_vhost, tr_nack_on_placed;

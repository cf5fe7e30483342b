// feature: one user-visible option, as a table of functions. A new one is one file in feature/ and
// one line in app/builtin.c. All functions are pure: they see only what they are given and what
// they ask for by the tr_ functions of inside.h, which record what was read.
#pragma once

#include "translate/inside.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/listener/v3/listener.pb-c.h"
#include "envoy/config/route/v3/route_components.pb-c.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h"

// Gloo's stages of HTTP filters (gloo-compat 3.11), each with before, during and after.
enum sld_stage {
    SLD_STAGE_FAULT,
    SLD_STAGE_CORS,
    SLD_STAGE_WAF,
    SLD_STAGE_AUTHN,
    SLD_STAGE_AUTHZ,
    SLD_STAGE_RATE_LIMIT,
    SLD_STAGE_ACCEPTED,
    SLD_STAGE_OUT_AUTH,
    SLD_STAGE_ROUTE
};
enum { SLD_BEFORE = -1, SLD_DURING = 0, SLD_AFTER = 1 };

// A listener in the making.
struct tr_listener {
    struct tr *tr;
    const struct Gloo__Gateway *gateway;
    const struct Gloo__HttpListenerOptions *http; // NULL: TCP, or none given
    struct sld_report *report;                    // of the gateway; paths from the object's root
    Env__Listener__Listener *listener;
    Env__NetworkHttpConnectionManager__HttpConnectionManager *hcm; // NULL for TCP
    struct tr_filter *filters;                                     // of HTTP; see tr_filter_add
    size_t filter_count;
    struct tr_clusters *clusters; // that the listener itself sends to; features add theirs
    struct tr_confs *confs;       // that its access logs name; features add theirs (tr_confs_add)
    struct tr_clusters *absent;   // those of them that do not exist: see tr_listener_sends
};
// Adds HTTP filter NAME (Envoy's name of it) with CONFIG at its place. DISABLED filters cost
// nothing until a route's typed_per_filter_config enables them. Filters of one place are ordered by
// name.
void tr_filter_add(struct tr_listener *l, enum sld_stage stage, int when, const char *name,
                   const ProtobufCMessage *config, bool disabled);

// The listener itself sends to CLUSTER of an upstream (traces), from its creation on. Envoy refuses
// listeners whose collector it does not know, and their bytes must not follow upstreams: as long as
// there is no such cluster, or Envoy refuses it, Envoys of the listener get an empty one of that
// name. False then.
bool tr_listener_sends(struct tr_listener *l, struct sld_str cluster);

// A virtual host in the making.
struct tr_vhost {
    struct tr *tr;
    struct sld_str ns;                              // of the virtual service
    struct sld_report *report;                      // of the virtual service; prefix "virtualHost"
    const struct Gloo__VirtualHostOptions *options; // merged; NULL: none
    Env__Route__VirtualHost *vh;
    struct tr_clusters
        *clusters; // existing clusters that requests go to; features add theirs (tr_clusters_add)
    struct tr_confs *confs; // that its requests name; features add theirs (tr_confs_add)
    bool refused;  // set by a feature, with a finding: nothing of it is served
};

// A route in the making.
struct tr_route {
    struct tr *tr;
    const struct tr_vhost *vhost;
    struct sld_str ns;                        // of the object that holds the route
    struct sld_report *report;                // of that object; its prefix is the route's path
    const struct Gloo__RouteOptions *options; // merged; NULL: none
    const struct Gloo__Route *source;         // the route as written
    Env__Route__Route *route;
    Env__Route__RouteAction *action;    // NULL: redirect or direct response
    const struct tr_upstream *upstream; // facts of a single destination that exists, else NULL
    bool refused; // set by a feature, with a finding: it answers as an invalid route
    bool closed;  // the same: it answers 503
};

// Sets the configuration of HTTP filter NAME for a route or virtual host. (option.c)
void tr_route_filter(struct tr_route *r, const char *name, const ProtobufCMessage *config);
void tr_vhost_filter(struct tr_vhost *v, const char *name, const ProtobufCMessage *config);

// One of several destinations of a route.
struct tr_weighted {
    struct tr_route *route;
    const struct Gloo__WeightedDestinationOptions *options; // NULL: none
    struct sld_report *report;
    Env__Route__WeightedCluster__ClusterWeight *weight;
    size_t index; // among its route's
};

// A cluster in the making.
struct tr_cluster {
    struct tr *tr;
    const struct Gloo__Upstream *upstream;
    struct sld_report *report; // of the upstream
    Env__Cluster__Cluster *cluster;
};

// What is checked of a document alone, before it counts; findings of severity error keep it from
// being accepted. Paths are below the report's prefix, which stands at the options.
struct sld_feature_check {
    const struct sld_translate *t;
    struct sld_report *report;
    const struct Gloo__Settings *settings; // may be NULL
    // exactly one of these is set
    const struct Gloo__VirtualHostOptions *virtual_host;
    const struct Gloo__RouteOptions *route;
    const struct Gloo__WeightedDestinationOptions *weighted;
    const struct Gloo__HttpListenerOptions *http_listener;
    const struct Gloo__ListenerOptions *listener;
    const struct Gloo__Upstream *upstream;
    const struct Gloo__Plugin *plugin;
    const struct Gloo__Route
        *route_object; // with route: the route that carries the options, when known
};

enum { SLD_FEATURE_OPTIONS_MAX = 8 };

// Any function may be NULL.
struct sld_feature {
    const char *name; // the option as users write it: "prefixRewrite"
    const char *help; // one line for the manual
    // The fields it serves, "<Message>.<field>" as users write it, then NULL. They are of state OPTION
    // in model/proto, and no other feature's; one that nobody serves gives whoever sets it a warning.
    const char *options[SLD_FEATURE_OPTIONS_MAX];
    bool late; // runs behind all that are not
    void (*check)(const struct sld_feature_check *c);
    // Called for every listener; L->http or L->gateway->options tell whether the option is set.
    void (*listener)(struct tr_listener *l);
    // Called for every virtual host, route, destination and cluster, once the rest of it is made.
    void (*virtual_host)(struct tr_vhost *v);
    void (*route)(struct tr_route *r);
    void (*weighted)(struct tr_weighted *w);
    void (*cluster)(struct tr_cluster *c);
    // Called for each name of a plugin: what Envoys get because of it; nothing else says what it depends on.
    // CONFS: the configurations that it takes to do that, as of tr_confs_add.
    void (*extra)(struct tr *tr, struct sld_str plugin, struct tr_confs *confs);
    // Called once: what Envoys get whatever the gateways say.
    void (*fixed)(struct tr *tr);
};

// Whether a plugin adds cluster NAME (by `extra`); recorded. Who sends there adds it to its clusters then. (fixed.c)
bool tr_is_extra(struct tr *tr, struct sld_str name);
// C goes to all Envoys; for `fixed`. (fixed.c)
void tr_fixed_cluster(struct tr *tr, Env__Cluster__Cluster *c);

// Private to the files that make clusters and endpoints of upstreams.
#pragma once

#include "translate/feature.h"
#include "translate/tls.h"

// A cluster in the making, with what several parts of it ask for.
struct tr_build {
    struct tr *tr;
    const Gloo__Upstream *u;
    struct sld_str ns;         // of the upstream
    struct sld_report *report; // of the upstream
    Env__Cluster__Cluster *c;
    struct tr_needs needs;
};

// The kinds of upstreams by how Envoy finds the endpoints.
enum tr_discovery {
    TR_DISCOVERY_NONE, // not built, or none
    TR_DISCOVERY_EDS,  // addresses: an assignment of their own, so that they change without the
                       // cluster
    TR_DISCOVERY_DNS,  // any name among them
    TR_DISCOVERY_PIPE,
};
enum tr_discovery tr_discovery_of(const Gloo__Upstream *u);

// The server name (SNI) that HOST of U is greeted with when TLS is used; empty: the upstream's own.
struct sld_str tr_host_sni(const Gloo__StaticUpstream *u, const Gloo__StaticHost *host);
// Whether TLS is used and static hosts of U differ in it: then their endpoints carry it in metadata
// and the cluster has a socket for each.
bool tr_sni_by_host(const Gloo__Upstream *u);
// The metadata that chooses the socket for SNI.
Google__Protobuf__Struct *tr_sni_metadata(struct sld_arena *a, struct sld_str sni);

// The endpoints of static upstream U (endpoint.c).
Env__Endpoint__ClusterLoadAssignment *tr_static_assignment(struct tr *tr, const Gloo__Upstream *u,
                                                           struct sld_str cluster);

// The endpoints of upstream U of a service with instances SET (instance.c): a recipe (a new reference), and the message
// it makes the bytes of.
struct sld_instances;
struct sld_recipe *tr_service_recipe(struct tr *tr, const Gloo__Upstream *u, struct sld_str cluster,
                                     const struct sld_instances *set);
Env__Endpoint__ClusterLoadAssignment *tr_recipe_assignment(struct sld_arena *a, const struct sld_recipe *r);
// Whether the first health check by HTTP of U names a host of its own (endpoint.c).
bool tr_check_names_host(const Gloo__Upstream *u);
// Whether localities share by weight: then one without weight gets nothing (endpoint.c).
bool tr_shares_by_locality(const Gloo__Upstream *u);

// loadBalancerConfig and subsets (cluster_lb.c).
void tr_cluster_lb(struct tr_build *b);
// Connections and HTTP (cluster_http.c).
void tr_cluster_connections(struct tr_build *b);
// C is asked by HTTP/1.1, with a connection for each request.
void tr_cluster_one_request(struct sld_arena *a, Env__Cluster__Cluster *c);
// Health checks and outlier detection (health.c). False: a secret is missing, with a finding.
bool tr_cluster_health(struct tr_build *b);
// Whether the secrets of the health checks are there.
bool tr_health_secrets(struct tr *tr, const Gloo__Upstream *u, struct sld_str ns);
// Whether the message type of a custom health check is known (health.c).
bool tr_custom_check_known(struct sld_arena *a, const Gloo__HealthCheck__CustomHealthCheck *c);

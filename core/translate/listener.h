// Private to the files that make listeners: listener.c, filters.c, tcp.c, fixed.c and their
// features.
#pragma once

#include "translate/feature.h"

// An HTTP filter with its place in the chain.
struct tr_filter {
    enum sld_stage stage;
    int when; // SLD_BEFORE, SLD_DURING, SLD_AFTER
    const char *name;
    Google__Protobuf__Any *config;
    bool disabled;
};
// Sets the filters of L on its connection manager in order, the router last.
void tr_filters_done(struct tr_listener *l);

// What filter chains depend on.
struct tr_chain_deps {
    struct tr_needs needs;
    struct tr_clusters clusters, absent; // see tr_listener_sends
    bool guessed;                        // see tr_dest
};

// A network filter NAME with CONFIG.
Env__Listener__Filter *tr_network_filter(struct sld_arena *a, const char *name,
                                         const ProtobufCMessage *config);
// A filter chain that holds FILTER alone; appended to the listener.
Env__Listener__FilterChain *tr_chain_add(struct tr_listener *l, Env__Listener__Filter *filter);
// A cluster NAME of fixed endpoints, which has none yet.
Env__Cluster__Cluster *tr_static_cluster(struct sld_arena *a, struct sld_str name);
// A TypedExtensionConfig.
Env__Core__TypedExtensionConfig *tr_extension(struct sld_arena *a, const char *name,
                                              const ProtobufCMessage *config);

// Sets the server names of C as Envoy compares them: lower case, sorted, each once. None, or "*"
// among them, means all.
void tr_server_names(struct sld_arena *a, Env__Listener__FilterChain *c, char *const *domains,
                     size_t n);

// One chain for each TCP host that can be served (tcp.c).
void tr_tcp_chains(struct tr_listener *l, const struct tr_gateway *g, struct tr_chain_deps *deps);

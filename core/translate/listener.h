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
    struct tr_clusters clusters;
};

// A network filter NAME with CONFIG.
Env__Listener__Filter *tr_network_filter(struct sld_arena *a, const char *name,
                                         const ProtobufCMessage *config);
// A filter chain that holds FILTER alone; appended to the listener.
Env__Listener__FilterChain *tr_chain_add(struct tr_listener *l, Env__Listener__Filter *filter);
// A TypedExtensionConfig.
Env__Core__TypedExtensionConfig *tr_extension(struct sld_arena *a, const char *name,
                                              const ProtobufCMessage *config);

// The server names of the filter chains of one listener, each in one chain only.
struct tr_names {
    struct sld_map owner; // server name, "" for all -> what the caller gave
};
// Sets the server names of C (lower case, sorted; "*" among them means all). A name that an earlier
// chain has is left out: *TAKEN gets the first such, *BY what that chain was added with. False when
// nothing remains.
bool tr_names_add(struct tr *tr, struct tr_names *names, Env__Listener__FilterChain *c,
                  char *const *domains, size_t n, void *by, struct sld_str *taken, void **owner);

// What keeps DOMAIN from being a server name of a filter chain, in words that continue "the server
// name "; NULL when nothing does.
const char *tr_sni_problem(struct sld_str domain);

// One chain for each TCP host that can be served (tcp.c).
void tr_tcp_chains(struct tr_listener *l, const struct tr_gateway *g, struct tr_chain_deps *deps);

// Private to the files that make upstreams of services, and endpoints of their instances.
#pragma once

#include "codec/text.h"
#include "source/discovery.h"
#include "translate/inside.h"

// The namespace of upstreams that stand for services of Consul and are never written down.
#define TR_CONSUL_NS "gloo-system"

#define TR_CONSUL SLD_STR("consul")
// The key of service NAME in the tables `services` and `instances`: "<registry>\n<service>". (demand.c)
sld_id tr_service_key(const struct sld_translate *t, struct sld_str registry, struct sld_str name);
// What is known of the catalog of REGISTRY. Recorded. (demand.c)
enum sld_catalog tr_catalog(struct tr *tr, struct sld_str registry);
// Whether an upstream without a document in namespace NS may be one of a catalog that was not told yet. Recorded.
bool tr_may_be_found(struct tr *tr, struct sld_str ns);
// Whether a route leaves the choice of the cluster to the request, so that all services are wanted.
// Recorded. (demand.c)
bool tr_all_wanted(struct tr *tr);

// NAME as Gloo makes names of objects (gloo-compat 4.1).
struct sld_str tr_sanitise(struct sld_arena *a, struct sld_str name);
// The upstream that KEY ("upstreams/ns/name") names if a service found stands behind it, as an
// object of its own, or NULL. Recorded.
struct sld_object *tr_found_upstream(struct tr *tr, struct sld_str key);
// The message of upstream O as it counts: a document with the name of a discovered upstream and its
// service is an edit of it, so what it does not say comes from the registry; and where Gloo wrote
// it, what it says of the service too.
const Gloo__Upstream *tr_upstream_msg(struct tr *tr, const struct sld_object *o);
// Whether Settings ask for services of Consul.
bool tr_consul_on(const Gloo__Settings *s);

// The subsets of U, whatever its type; NULL: none. In the arena, or U's own.
const Gloo__SubsetSpec *tr_subset_spec(struct sld_arena *a, const Gloo__Upstream *u);
// The subsets of the upstream of row U; NULL: none. In the arena, or U's own.
const Gloo__SubsetSpec *tr_subsets_of(struct sld_arena *a, const struct tr_upstream *u);
// What routes may choose instances of C by.
void tr_consul_keys_of(struct sld_arena *a, const Gloo__ConsulUpstream *c,
                       struct tr_consul_keys *out);
// The metadata that chooses exactly the instances with the tags and data centers of D (gloo-compat
// 4.4); NULL when D asks for nothing or there is nothing to choose by.
struct Env__Core__Metadata *tr_consul_match(struct sld_arena *a, const struct tr_upstream *u,
                                            const Gloo__ConsulServiceDestination *d);

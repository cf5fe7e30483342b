// The configuration in Consul's key-value store, as the command line and the server have it: where
// it is, its source, and its store.
#pragma once

#include "net/place.h"
#include "source/source.h"

extern const struct sld_source_ops sld_consul_source_ops;
extern const struct sld_store_ops sld_consul_store_ops;

// Where the configuration is: "consul://[host[:port]][/root]", "consuls://..." by TLS,
// "consul+unix:///path[?root=root]".
struct sld_consul_place {
    struct sld_str agent; // as sld_consul_get takes it; absent: the settings' or the environment's
    struct sld_str root;  // first part of all keys, without slashes at its ends; "gloo" by default
};
// Whether ADDRESS is meant as one of those.
bool sld_consul_place_is(struct sld_str address);
// Whether KEY, below the root, is that of a document, or means to be: not a folder, not one of Solder's
// own keys, below "solder/", and not of a kind that is nothing to us.
bool sld_consul_place_has(struct sld_str key);
// Strings are slices of ADDRESS or in A. SLD_INVALID with words when it is none.
SLD_NODISCARD enum sld_rc sld_consul_place_parse(struct sld_arena *a, struct sld_str address,
                                                 struct sld_consul_place *out,
                                                 struct sld_err *err);

// Where the agent is that SETTINGS or CONSUL_HTTP_ADDR name, and who we are there, in A. SLD_NOT_FOUND: none is named; SLD_INVALID.
SLD_NODISCARD enum sld_rc sld_consul_reach(struct sld_arena *a, const struct Gloo__Settings *settings, struct sld_http_place *out,
                                           struct sld_err *err);

// The sources that Settings name.
#pragma once

#include "model/model.h"

#include "settings.pb-c.h"

// What is read of a source.
enum sld_source_role {
    SLD_ROLE_CONFIG,    // everything
    SLD_ROLE_ARTIFACTS, // Artifacts alone
    SLD_ROLE_SECRETS,   // Secrets alone; a secret store
    SLD_ROLE_SERVICES,  // no documents: services and their instances
    SLD_ROLE_FOUND,     // Upstreams that a plugin finds
    SLD_ROLE_COUNT,
};
// "configuration", ...
const char *sld_source_role_name(enum sld_source_role r);

// How the addresses of keys of Consul begin that Settings name; their root follows.
#define SLD_NAMED_CONSUL SLD_STR("consul:///")

struct sld_named_source {
    struct sld_str address; // as --config or --secrets would have it
    const char *field;      // of Settings, for messages
    enum sld_source_role role;
    bool flat; // a directory of "<namespace>/..." without a level above, as secretOptions has it
};

enum { SLD_NAMED_MAX = 16 };

// Fills OUT with what S names, in order: configuration, artifacts, secrets (directories before
// Vault). Places in Kubernetes are left out. The same place twice in one role counts once. Strings
// are in A. Returns how many there are.
size_t sld_named_sources(struct sld_arena *a, const Gloo__Settings *s,
                         struct sld_named_source out[SLD_NAMED_MAX]);

// What ADDRESS is, however it is written, in A: equal for addresses of the same place as far as can
// be told without asking there. S says what an address leaves out.
struct sld_str sld_source_identity(struct sld_arena *a, struct sld_str address,
                                   const Gloo__Settings *s);
// ADDRESS for another process on this machine, without this one's working directory and settings,
// in A.
struct sld_str sld_source_absolute(struct sld_arena *a, struct sld_str address,
                                   const Gloo__Settings *s);

// What is known of each Envoy build: cluster shapes it has acknowledged, contents it refused.
#pragma once

#include "xds/limits.h"
#include "xds/xds.h"

struct sld_xds_build {
    struct sld_str name; // owned
    struct sld_umap shapes;
    size_t streams; // of clients of it
    bool vague; // stands for all builds beyond the ceiling: proves nothing
};

struct sld_xds_builds {
    struct sld_map by_name; // -> struct sld_xds_build
    struct sld_map refused; // 16 bytes of hash -> struct refusal
};

void sld_xds_builds_fini(struct sld_xds_builds *b);
// The build of that name, made when new; lives as long as B.
struct sld_xds_build *sld_xds_build_get(struct sld_xds_builds *b, struct sld_str name);

// An Envoy of this build acknowledged a cluster of SHAPE.
void sld_xds_build_prove(struct sld_xds_build *b, struct sld_hash shape);
bool sld_xds_build_proven(const struct sld_xds_build *b, struct sld_hash shape);

// Remembers the refusal, with the beginning of Envoy's WORDS; false when it was known (or no more can
// be remembered).
bool sld_xds_refusal_add(struct sld_xds_builds *b, struct sld_hash hash,
                         const struct sld_xds_build *build, struct sld_str words);
bool sld_xds_refusal_has(const struct sld_xds_builds *b, struct sld_hash hash,
                         const struct sld_xds_build *build);
// Calls FN for each build that refused it.
void sld_xds_refusal_each(const struct sld_xds_builds *b, struct sld_hash hash,
                          void (*fn)(void *arg, const struct sld_xds_build *build,
                                     struct sld_str words),
                          void *arg);
// Refused by any build.
bool sld_xds_refusal_any(const struct sld_xds_builds *b, struct sld_hash hash);

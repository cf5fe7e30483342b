// plugin/resolve: the secrets that plugins give: asked for, asked for again before they end, and when it failed.
#pragma once

#include "plugin/plugin.h"

struct sld_reactor;

// Ceilings.
enum {
    SLD_RESOLVE_REFS_MAX = 1000,    // secrets of one plugin
    SLD_RESOLVE_BYTES_MAX = 1 << 20, // of one
};

// What came of asking for one. Borrowed during the call.
struct sld_secret_news {
    struct sld_str plugin, ref;
    struct sld_blob *document; // of kind Secret, of no namespace, JSON; wiped when freed; NULL: there is none, or PROBLEM
    struct sld_str problem;    // why it could not be found out; what was told before goes on; absent: none
    int64_t expires_s;         // Unix time; 0: never
    int64_t renews_s;          // when it is asked for again
};
typedef void sld_secret_tell(void *user, const struct sld_secret_news *n);

// The secrets of one version of a plugin that has the hook.
struct sld_resolver;

// CONF is copied (NULL: nothing is set); a reference to P is taken. R outlives it.
struct sld_resolver *sld_resolver_create(struct sld_plugin *p, struct sld_reactor *r, const Google__Protobuf__Value *conf,
                                         sld_secret_tell *tell, void *user);
// REF is wanted, and told as soon as it is known, or not any more. More than the ceiling are told as a problem.
void sld_resolver_want(struct sld_resolver *s, struct sld_str ref, bool wanted);
// Nothing is told after this. NULL is fine. Not from within TELL.
void sld_resolver_destroy(struct sld_resolver *s);

// Private to the room: a plugin that was loaded.
#pragma once

#include "plugin/edge.h"
#include "plugin/inside.h"
#include "plugin/schema.h"

// Pushes the module solder.schema. (schema_lua.c)
void pl_open_schema(lua_State *L);
// Reads the schema at INDEX, made by that module, into *OUT, zeroed before; raises for what is wrong. What was
// read so far is freed with sld_conf_fini in any case.
void pl_conf_read(lua_State *L, int index, struct sld_arena *a, struct sld_conf *out);

struct sld_plugin {
    struct sld_obj obj; // hash: the bundle's
    struct sld_arena arena;
    struct pl_host *host;
    struct sld_plugin_info info;
    struct sld_conf conf;
    struct pl_edge edge;
    struct sld_plugin_calls calls[SLD_HOOK_COUNT];
    uint64_t ran_ns;                                   // the call that ended last
    unsigned breaches;                                 // as of struct sld_plugin_stats
    unsigned round_breaches;                           // since it was watched last, whatever went well
    struct sld_plugin_error errors[SLD_PLUGIN_ERRORS]; // newest first
    size_t error_count;
};

// sld_plugin_load, with the lines that run marked in COVER (NULL: not), which lives longer.
SLD_NODISCARD enum sld_rc pl_plugin_load(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits,
                                         struct pl_cover *cover, struct sld_plugin **out, struct sld_err *err);
// The same, for who looks for mistakes: what is wrong with edge code goes to FAULT, and does not keep the plugin from loading.
SLD_NODISCARD enum sld_rc pl_plugin_load_all(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits, pl_fault *fault,
                                             void *user, struct sld_plugin **out, struct sld_err *err);
// Calls hook HOOK of P by FN, which pushes its arguments and calls the function that pl_push_hook
// pushes. Counts, and puts "<plugin>: " in front of an error. (plugin.c)
SLD_NODISCARD enum sld_rc pl_call_hook(struct sld_plugin *p, enum sld_hook hook, lua_CFunction fn, void *arg,
                                       struct sld_err *err);
// VALUE with defaults filled in, as P's hooks get it, in A. SLD_INVALID, SLD_LIMIT: with words.
SLD_NODISCARD enum sld_rc pl_conf_filled(struct sld_plugin *p, const Google__Protobuf__Value *value, struct sld_arena *a,
                                         Google__Protobuf__Value **out, struct sld_err *err);
// What the text of B speaks of: bits of sld_speaks. (transform.c)
unsigned pl_speaks(const struct sld_plugin_bundle *b);
struct sld_exchange;
// Pushes a handle on X, for this call. (request.c)
void pl_push_request(lua_State *L, struct sld_exchange *x);
// Reads the certificate of X's peer, which is not done for requests that do not ask. (request.c)
void pl_peer_read(struct sld_exchange *x);
void pl_push_hook(lua_State *L, enum sld_hook hook);
// What pl_call_hook does behind a call: a call of HOOK ended with RC (and ERR, which gets the plugin's name) after NS.
void pl_count_call(struct sld_plugin *p, enum sld_hook hook, enum sld_rc rc, uint64_t ns, struct sld_err *err);

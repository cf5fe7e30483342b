// plugin/shape: what translation sees of plugins: one feature for all of them, and what it keeps of each.
#pragma once

#include "plugin/plugin.h"
#include "translate/translate.h"

struct sld_feature;
struct Gloo__Plugin;
struct pl_last;
// Serves options.extensions.configs; runs behind all other features.
extern const struct sld_feature sld_feature_extensions;

// How Envoys reach the worker.
enum sld_worker_reach {
    SLD_WORKER_HERE,       // on this machine
    SLD_WORKER_HERE_ALONE, // the same, though Envoys of other machines may come: their listeners have a warning
    SLD_WORKER_TLS,        // by TLS, with the certificates of their bootstrap (SLD_ENVOY_CA, SLD_ENVOY_CLIENT)
};

// What translation is given of a plugin (sld_translate_set_plugin). A refcounted object.
struct sld_plugin_slot {
    struct sld_obj obj;        // hash: of the plugin's version, or of ERROR
    struct sld_plugin *plugin; // own reference; NULL: no version of it ever loaded
    struct sld_str error;      // why not
    struct sld_arena arena;
    const struct Gloo__Plugin *declared; // its document; NULL: none
    bool suspended;                      // it is not called; ERROR says why
    bool gone, gone_edge;                // there is none of that name, where one guarded requests (in Envoy): they are closed
    struct sld_str name;                 // of one that is gone
    struct pl_last *last;                // own reference: what hooks gave last; NULL: not kept
    struct sld_plugin_slot **members;    // own references, of a list of plugins: by name
    size_t member_count;
    unsigned worker_hooks;               // of SLD_PLUGIN_WORKER: the hooks that plugins have there
    unsigned request_ms;                 // of it: the longest time that one of them may take for a request
    struct sld_str *addresses;           // of SLD_PLUGIN_WORKER: where Envoys reach it
    size_t address_count;
    enum sld_worker_reach reach;         // of SLD_PLUGIN_WORKER
};
// The names translation keeps, as if they were plugins, lists of those under that shape upstreams, and that have code for
// Envoy; and what is known of the worker, while some plugin has a hook there.
#define SLD_PLUGIN_SHAPERS SLD_STR("\001shapers")
#define SLD_PLUGIN_EDGES SLD_STR("\001edges")
#define SLD_PLUGIN_WORKER SLD_STR("\001worker")
// What stands before the names of clusters and secrets that plugins add: "extra:<plugin>/<name>".
#define SLD_EXTRA_PREFIX "extra:"
// The cluster that the worker is for Envoys, and the filters that ask it.
#define SLD_WORKER_CLUSTER "solder-worker"
#define SLD_AUTHORIZE_FILTER "solder.authorize"
#define SLD_TRANSFORM_FILTER "solder.transform"
// Secrets that the bootstrap of an Envoy with TLS has: authorities of Solder's certificate, and its own.
#define SLD_ENVOY_CA "solder-ca"
#define SLD_ENVOY_CLIENT "solder-client"
// Takes the reference PLUGIN over; or PLUGIN is NULL and ERROR says why.
struct sld_plugin_slot *sld_plugin_slot_create(struct sld_plugin *plugin, struct sld_str error);
// Whether its document says that requests go on without it where it fails.
bool sld_plugin_slot_open(const struct sld_plugin_slot *s);

// ---- A folder of plugins ----

struct sld_plugins_events {
    // Plugin NAME is SLOT now (borrowed), or gone (NULL).
    void (*on_plugin)(void *user, struct sld_str name, struct sld_plugin_slot *slot);
    // What NAME says now could not be loaded; the version before goes on. Once for each text.
    void (*on_problem)(void *user, struct sld_str name, struct sld_str words);
    void *user;
};
struct sld_plugins;

// The plugins in folder DIR: <name>.lua, and <name>/ with plugin.lua. Nothing is read yet.
struct sld_plugins *sld_plugins_create(struct sld_str dir, const struct sld_plugin_limits *limits,
                                       const struct sld_plugins_events *ev);
// NULL is fine.
void sld_plugins_destroy(struct sld_plugins *p);
// Reads all of it and tells what changed, by name. A new version is loaded aside and takes the place of the old one
// when it is whole. SLD_IO: the folder cannot be read; nothing changed.
SLD_NODISCARD enum sld_rc sld_plugins_reread(struct sld_plugins *p, struct sld_err *err);

// ---- All plugins of a process ----

// The plugins of a folder, and those that documents (kind Plugin) declare; what is in force is told to a translation.
struct sld_plugin_set;

// DIR: the folder, or NULL. T lives longer.
struct sld_plugin_set *sld_plugin_set_create(struct sld_translate *t, const char *dir);
// FILE keeps the names of plugins that guard requests: what names one that is not there is closed, after a restart too. Before the
// first round; without it they are known as long as S is.
void sld_plugin_set_keep_guards(struct sld_plugin_set *s, struct sld_str file);
// Envoys reach the worker at these addresses: "unix:/path" or "HOST:PORT". Before the first round.
void sld_plugin_set_worker(struct sld_plugin_set *s, const struct sld_str *addresses, size_t n, enum sld_worker_reach reach);
// NULL is fine.
void sld_plugin_set_destroy(struct sld_plugin_set *s);
// Reads the folder, if there is one; as sld_plugins_reread.
SLD_NODISCARD enum sld_rc sld_plugin_set_reread(struct sld_plugin_set *s, struct sld_err *err);
// Plugin NAME is SLOT (borrowed), as if the folder had it, and instead of the folder's.
void sld_plugin_set_offer(struct sld_plugin_set *s, struct sld_str name, struct sld_plugin_slot *slot);
// Object ID was set, restored or (not THERE) removed; of kinds that are no business of plugins nothing happens.
void sld_plugin_set_touch(struct sld_plugin_set *s, struct sld_ident id, bool there);
// Loads what was touched. Before each round of the translation.
void sld_plugin_set_settle(struct sld_plugin_set *s);
// Suspends what breached its ceilings too often, and tries again what was suspended long enough. After rounds, and when the
// time it returned is over: nanoseconds of the monotonic clock, 0: never.
uint64_t sld_plugin_set_watch(struct sld_plugin_set *s, uint64_t now_ns);

// Counts what changed of plugins in force.
uint64_t sld_plugin_set_changes(const struct sld_plugin_set *s);

// One plugin, as people are told of it.
struct sld_plugin_state {
    struct sld_str name;
    struct sld_str document;            // key of the Plugin that declares it, or absent
    const struct sld_plugin_slot *slot; // in force
    struct sld_str refused;             // why what it says now is not in force; empty: it is
    uint64_t retry_ns;                  // of one that is suspended: when
};
// Calls FN for each, by name.
void sld_plugin_set_each(const struct sld_plugin_set *s, void (*fn)(void *arg, const struct sld_plugin_state *p), void *arg);

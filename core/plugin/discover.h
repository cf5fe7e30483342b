// plugin/discover: the tasks of plugins that find upstreams.
#pragma once

#include "plugin/plugin.h"
#include "plugin/reactor.h"
#include "plugin/resolve.h"

// ---- The task ---- [thread of the plugin]

struct sld_discover;

// What the task tells. Some of it comes from within the plugin's own call, so nothing of this header is called from there.
struct sld_discover_events {
    // Upstream NAME is what the document BYTES says (JSON; kind Upstream, no namespace); a reference is taken by whoever keeps it.
    void (*on_put)(void *user, struct sld_str name, struct sld_blob *bytes);
    void (*on_gone)(void *user, struct sld_str name);
    // All that it found was told: once.
    void (*on_synced)(void *user);
    // It failed, and begins anew after a while; or, MESSAGE absent, it has published since.
    void (*on_problem)(void *user, struct sld_str message);
    void *user;
};

// Ceilings of what a task publishes.
enum { SLD_DISCOVER_UPSTREAMS_MAX = 5000, SLD_DISCOVER_ENDPOINTS_MAX = 50000 };

// Starts the hook discover of P, which has one, with CONF (copied; NULL: nothing is set), and again after each failure, with pauses of 1 s
// to a minute. R and what EV points to outlive it. Events may come before this returns.
struct sld_discover *sld_discover_start(struct sld_plugin *p, struct sld_reactor *r, const Google__Protobuf__Value *conf,
                                        const struct sld_discover_events *ev);
// How many upstreams it has published; *MS: when it last did, Unix time, 0: never.
size_t sld_discover_published(const struct sld_discover *d, int64_t *ms);
// Ends the task; no events after this. Not from within one. NULL is fine.
void sld_discover_stop(struct sld_discover *d);

// ---- All tasks of a process ----

// What it takes to run the task of one plugin. Immutable. [any]
struct sld_discover_plan {
    struct sld_obj obj; // hash of all below
    struct sld_arena arena;
    struct sld_str name; // of the plugin
    struct sld_plugin_bundle *bundle; // own reference
    struct sld_plugin_limits limits;
    struct sld_str conf; // an encoded google.protobuf.Value; empty: nothing is set
    struct sld_str *files; // that it may use
    size_t file_count;
    // What is known where the plugin was loaded to make the plan; says nothing to the hash.
    unsigned hooks;      // of SLD_HOOKS_OF_TASKS
    unsigned needs;
    bool needs_secrets;  // CONF refers to secrets: it is told by sld_translate, as the configuration SLD_TASK_CONF_PREFIX <plugin>
    // What it shares with the plugin's states elsewhere; own references, or NULL.
    struct sld_plugin_kv *kv;
    struct sld_plugin_counters *counters;
};
// What a plan is made of is copied, but the bundle, of which a reference is taken.
#define SLD_TASK_CONF_PREFIX "task:"
struct sld_discover_plan *sld_discover_plan_create(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits,
                                                   struct sld_str conf, const struct sld_str *files, size_t n);

// The plans of all plugins that have a hook of tasks, by name; references. Immutable. [any]
struct sld_discover_plans {
    struct sld_obj obj;
    struct sld_discover_plan **items;
    size_t count;
};
struct sld_plugin_set;
// Replaces *P (NULL at first) by what S has now; false: that is the same, and *P stays. [thread of S]
bool sld_discover_plans_renew(struct sld_discover_plans **p, const struct sld_plugin_set *s);

// What stands before the plugin's name in that of the source of what it finds (plugin/found.h).
#define SLD_FOUND_PREFIX "plugin:"
// Whether SOURCES, by name, has that source for each plan of P that discovers. [any]
bool sld_discover_plans_told(const struct sld_discover_plans *p, const struct sld_map *sources);

// What tasks tell, with the plugin's name in front; as sld_discover_events. on_begin: another task speaks for it from now on.
struct sld_finders_events {
    void (*on_begin)(void *user, struct sld_str plugin);
    void (*on_put)(void *user, struct sld_str plugin, struct sld_str name, struct sld_blob *bytes);
    void (*on_gone)(void *user, struct sld_str plugin, struct sld_str name);
    void (*on_synced)(void *user, struct sld_str plugin);
    void (*on_problem)(void *user, struct sld_str plugin, struct sld_str message);
    sld_secret_tell *on_secret;
    void *user;
};
struct sld_finders;
struct sld_plugin_backends;
// Runs tasks on R, which outlives it, with plugins of its own. [thread of R]
struct sld_finders *sld_finders_create(struct sld_reactor *r, const struct sld_finders_events *ev);
// Runs what P (borrowed; a reference is taken) says, instead of what ran for its plugin before. When that does not load the former goes
// on, and a problem is told.
void sld_finders_set(struct sld_finders *f, struct sld_discover_plan *p);
// Ends the task of PLUGIN, if there is one.
void sld_finders_remove(struct sld_finders *f, struct sld_str plugin);
// Secret REF of PLUGIN, which may not be there yet, is wanted, or not any more.
void sld_finders_want(struct sld_finders *f, struct sld_str plugin, struct sld_str ref, bool wanted);
// Plugins ask B (a reference is taken) from now on.
void sld_finders_backends(struct sld_finders *f, struct sld_plugin_backends *b);
// Calls FN for each plugin that runs, by name, with what its task has published, and when it last did (Unix ms; 0: never).
void sld_finders_each(const struct sld_finders *f,
                      void (*fn)(void *arg, struct sld_str name, const struct sld_plugin *p, size_t published, int64_t published_ms), void *arg);
// NULL is fine.
void sld_finders_destroy(struct sld_finders *f);

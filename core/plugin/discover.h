// plugin/discover: the task of a plugin that finds upstreams, and what it found as a source of documents.
#pragma once

#include "plugin/plugin.h"
#include "plugin/reactor.h"
#include "source/source.h"

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
// Ends the task; no events after this. Not from within one. NULL is fine.
void sld_discover_stop(struct sld_discover *d);

// ---- What was found, as a source ---- [io]

// A source of what one plugin publishes, whoever runs its task: address "plugin:<name>". It is fed by the functions below.
extern const struct sld_source_ops sld_plugin_source_ops;

// How long its first reading may be waited for, before it counts as one that cannot be read.
enum { SLD_FOUND_WAIT_MS = 30 * 1000 };
// For S from now on speaks another task than before: what it does not say until it is synced goes.
void sld_found_begin(struct sld_source *s);
// As the events of a task.
void sld_found_put(struct sld_source *s, struct sld_str name, struct sld_blob *bytes);
void sld_found_gone(struct sld_source *s, struct sld_str name);
void sld_found_synced(struct sld_source *s);
void sld_found_problem(struct sld_source *s, struct sld_str message);

// Private to the room: which plugins something is configured for, in translation.
#pragma once

#include "plugin/shape.h"
#include "translate/feature.h"

// A plugin that is configured, and where.
struct use {
    struct sld_str name;
    Google__Protobuf__Value conf;
    bool inherited; // from the virtual host
};

// By name.
struct uses {
    struct use *items;
    size_t count;
};

// The text of a secret that is referred to: in TR's arena; false with words in ERR. (shape.c)
bool pl_secret_of(struct tr *tr, struct sld_str ns, struct sld_str name, struct sld_str key, struct sld_str *out,
                  struct sld_err *err);

// Emits what the hook `extra` of plugin NAME adds. (extra.c)
void pl_extra(struct tr *tr, struct sld_str name, struct tr_confs *confs);

// NAME may be a cluster that a plugin adds: what has CLUSTERS waits for it, and it stays as long as that. (extra.c)
void pl_sends_to(struct tr *tr, struct tr_clusters *clusters, struct sld_str name);

// ---- requests.c: hooks that run in the worker ----

// The configuration of the tasks of the plugin in SLOT, called NAME, in which secrets have their texts; NS: of references that name none.
// NULL with words in ERR.
struct sld_request_conf *pl_task_conf(struct tr *tr, const struct sld_plugin_slot *slot, struct sld_str name, struct sld_str ns,
                                      struct sld_err *err);
// Requests of R go to the plugins of U that have hooks there. False, with a finding: R must not be served.
bool pl_requests_route(struct tr_route *r, const struct uses *u);
// ---- transforms.c: those of them that change requests and responses ----

// What plugins of a route want of Envoy. Fill a zeroed one.
struct pl_wanted {
    struct sld_str list; // "name@configuration,..."
    bool request, response; // headers of them
    bool request_trailers, response_trailers;
    enum sld_plugin_body_mode request_body, response_body;
    bool closed; // some of them must not be left out
    struct sld_str *spaces; // of metadata
    size_t space_count;
};
// Adds the plugin in SLOT, with configuration ID, if it has such hooks.
void pl_transforms_want(struct sld_arena *a, struct pl_wanted *w, const struct sld_plugin_slot *slot, struct sld_str id);
// Requests of R go to the plugins of W, if there are any.
void pl_transforms_route(struct tr_route *r, const struct pl_wanted *w);
// The filter, while some plugin has such a hook. Envoy gives up what is not answered for ASK_MS.
void pl_transforms_listener(struct tr_listener *l, unsigned hooks, int64_t ask_ms);
// How Envoy asks the worker.
struct Env__Core__GrpcService *pl_worker_service(struct sld_arena *a, int64_t timeout_ms);

// ---- logs.c: the hook log ----

// What is logged of the requests of L goes to the plugins of U that have the hook. NS: of references to secrets.
void pl_logs_listener(struct tr_listener *l, const struct uses *u, struct sld_str ns);

// ---- requests.c ----

// The configuration of U as the worker gets it, a reference; NULL with words in ERR.
struct sld_request_conf *pl_request_conf(struct tr *tr, const struct sld_plugin_slot *slot, const struct use *u, struct sld_str ns,
                                         struct sld_err *err);

// The filter, while some plugin has a hook there.
void pl_requests_listener(struct tr_listener *l);
// The cluster of the worker.
void pl_requests_fixed(struct tr *tr);

// worker: the process in which hooks of requests run. The server starts it, tells it what plugins and configurations there
// are, and starts it anew when it ends or hangs; Envoys ask it directly. Whatever happens to it, the server goes on.
#pragma once

#include "plugin/discover.h"

struct sld_loop;
struct sld_worker;

struct sld_worker_options {
    const struct sld_str *addresses; // where Envoys reach it: an event loop for each; as of sld_grpc_server_listen
    size_t address_count;
    enum sld_level log_level;
    struct sld_str kv_dir; // where what plugins keep is (plugin/kv.h); absent: in memory
    unsigned hang_ms;  // it is killed when it has not answered for so long; 0: 10 s
    unsigned gone_ms;  // how long it keeps a plugin that is not to be there any more, for requests on their way; 0: 10 s
    unsigned stats_ms; // how often it tells what it did; 0: 1 s
    struct sld_finders_events found; // what plugins find
    void (*on_change)(void *user); // it is up, or down, or has what it was sent
    void *user;
};

// Nothing runs before there is a plugin. [io]
struct sld_worker *sld_worker_create(struct sld_loop *io, const struct sld_worker_options *o);
// Ends the process. NULL is fine. [io]
void sld_worker_destroy(struct sld_worker *w);

struct sld_grpc_tls;
// Envoys reach it by TLS with these from now on; without it in plain text, which is decided before it begins. SLD_INVALID: they cannot be
// used, and nothing changed. [io]
SLD_NODISCARD enum sld_rc sld_worker_set_tls(struct sld_worker *w, const struct sld_grpc_tls *tls, struct sld_err *err);

// A plugin that has hooks for it.
struct sld_worker_plugin {
    struct sld_plugin_bundle *bundle;
    struct sld_plugin_limits limits;
    bool open; // requests go on without it where it fails
};
// These are all there are, by name; references are taken. [io]
void sld_worker_set_plugins(struct sld_worker *w, const struct sld_worker_plugin *p, size_t n);
// Configuration ID of PLUGIN: an encoded google.protobuf.Value (a reference is taken); NULL: nobody needs it any more. [io]
void sld_worker_set_conf(struct sld_worker *w, struct sld_str id, struct sld_str plugin, struct sld_blob *value);
// The task that P (a reference is taken) plans is to run, instead of what ran for its plugin before. What it finds is told by the
// events `found`; when the process begins anew, so do its tasks. [io]
void sld_worker_set_finder(struct sld_worker *w, struct sld_discover_plan *p);
void sld_worker_remove_finder(struct sld_worker *w, struct sld_str plugin);
// Tells of the next COUNT calls of PLUGIN's hook authorize by FN, lines as of plugin/record.h, borrowed: requests without what tells who
// somebody is. One recording is there at a time; a worker that begins anew goes on with it. FN may end it. [io]
void sld_worker_record(struct sld_worker *w, struct sld_str plugin, unsigned count, void (*fn)(void *user, struct sld_str line),
                       void *user);
// Ends it. Without one nothing happens. [io]
void sld_worker_record_end(struct sld_worker *w);
// Tasks of plugins ask B (a reference is taken; NULL: nobody) from now on. [io]
struct sld_plugin_backends;
void sld_worker_set_backends(struct sld_worker *w, struct sld_plugin_backends *b);
// Secret REF of PLUGIN is wanted, or not any more; what comes of it is told by the events `found`. [io]
void sld_worker_want(struct sld_worker *w, struct sld_str plugin, struct sld_str ref, bool wanted);
// The worker is to tell when it has all that was set so far. [io]
void sld_worker_sync(struct sld_worker *w);

enum sld_worker_state {
    SLD_WORKER_IDLE,     // there is no plugin for it
    SLD_WORKER_STARTING, // until it has all that was set
    SLD_WORKER_RUNNING,
    SLD_WORKER_WAITING, // it ended; until it is started again
};
// "Idle", ...
const char *sld_worker_state_name(enum sld_worker_state s);

// What one plugin did there, over all loops and versions since the process began.
struct sld_worker_calls {
    enum sld_hook hook;
    uint64_t calls, errors, limits, denied, total_ns, max_ns;
};
struct sld_worker_plugin_stats {
    struct sld_str name;
    struct sld_worker_calls *calls;
    size_t call_count;
    uint64_t used_bytes, peak_bytes;
    struct sld_plugin_error *errors; // newest first
    size_t error_count;
    unsigned suspended;  // loops in which it is
    size_t published;       // upstreams that its task discover published
    int64_t published_ms;   // when it last did, Unix time; 0: never
    struct sld_str refused; // why its present version is not in force there; empty: it is
};

// What is known of the process. Immutable. [any]
struct sld_worker_info {
    struct sld_obj obj;
    struct sld_arena arena;
    enum sld_worker_state state;
    int pid;             // 0: none runs
    unsigned restarts;   // since the server began
    struct sld_str last; // why it ended last, or could not begin; empty: nothing
    size_t confs;
    uint64_t checks, shed, unknown; // requests; those that were too many; those whose configuration did not come
    uint64_t logged, log_dropped;    // entries of access logs that came; of those, for each plugin, that it did not take
    struct sld_worker_plugin_stats *plugins; // by name
    size_t plugin_count;
};
// A reference to what is known now. [io]
struct sld_worker_info *sld_worker_info(struct sld_worker *w);
// What PLUGIN did, or NULL.
const struct sld_worker_plugin_stats *sld_worker_stats(const struct sld_worker_info *i, struct sld_str plugin);

// The process itself: descriptor 3 is the connection to the server. Returns its exit code.
int sld_worker_main(void);

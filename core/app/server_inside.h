// Private to the server: its state, shared by its files. Everything runs on the io thread unless a
// comment says otherwise.
#pragma once

#include "admin/admin.h"
#include "app/builtin.h"
#include "app/model_thread.h"
#include "app/named.h"
#include "app/paths.h"
#include "app/server.h"
#include "edge/edge.h"
#include "worker/worker.h"
#include "xds/serve.h"

#include <sys/types.h>
#include <time.h>

#include "settings.pb-c.h"

enum {
    MAX_SOURCES = 64,
    // How long restored state waits for its sources before it is served without them.
    RESTORE_WAIT_MS = 3000,
    STATE_LOOK_MS = 500,
    CERTIFICATES_EACH = 60, // looks
    RETRY_EACH = 10,        // looks; sources that could not be opened
    SERVER_LOOPS_MAX = 64,  // of the worker
};

struct source {
    struct sld_list link; // of the server, in order of flags, then as they came
    struct server *s;
    struct sld_arena arena;
    const char *name;    // in findings, the state directory and the admin API
    const char *address; // as a rule the same
    const struct sld_source_ops *ops;
    struct sld_source *source; // NULL: it could not be opened
    // Of a discovery, instead of these:
    const struct sld_discovery_ops *discovery_ops;
    struct sld_discovery *discovery;
    struct sld_discovery_memory *memory;
    struct sld_map told;     // services it told of
    uint64_t service_sent;   // the last letter about one of them, of sld_model_thread_sent
    struct sld_map answered; // of a source on demand: keys of secrets that it answered for
    enum sld_source_role role;
    const char *named; // the field of Settings that names it; NULL: a flag does
    bool flat;         // as of sld_named_source
    unsigned order;
    bool synced, up;
    size_t restored; // objects that the state directory gave, or a source whose place it takes had
    int64_t last_sync_ms, stale_since_ms; // Unix time; 0 = never, it is not
    char problem[256];                    // while it is not up
};

struct server {
    const struct sld_server_options *opt;
    struct sld_object *settings_file;
    struct sld_object *settings_restored; // the Settings resource of the last run, or NULL
    struct sld_arena_obj *settings;       // in force: Gloo__Settings
    struct sld_str settings_key;
    struct sld_arena arena;
    struct sld_loop *io;
    struct sld_state_dir *state;
    char state_note[SLD_ERR_MAX];
    struct sld_xds *xds;
    struct sld_xds_server *xds_server;
    struct sld_model_thread *model;
    struct sld_admin *admin;
    struct sld_admin_memo *memo; // [model] between start and stop
    struct sld_edge *edge;
    struct sld_worker *worker;
    struct sld_str worker_addresses[SERVER_LOOPS_MAX];
    struct sld_str worker_told[SERVER_LOOPS_MAX]; // where Envoys reach them
    size_t worker_loops;
    bool xds_far;                // Envoys of other machines may come
    bool worker_had;             // it had all that it was sent, once
    struct {
        struct sld_admin_query *query; // NULL: there is none
        struct sld_timer *timer;
        struct sld_buf lines;
        unsigned left;
    } record;                    // of requests, at work
    struct sld_map forgotten;    // configurations that no route names any more -> when they go
    struct sld_list sources;
    size_t source_count;
    struct sld_map wanted[2]; // by enum sld_want_kind: keys
    bool complete;            // what is wanted is known: sources that tell by themselves were read once
    struct sld_signal *term, *intr, *hup;
    struct sld_fswatch *plugins; // of --plugins, or NULL
    struct sld_discover_plans *plans; // own reference: which do
    struct sld_map task_confs;        // struct sld_blob, own references: configurations of tasks, by plugin, with their secrets
    bool found_settled;               // all documents that may declare plugins were read
    struct sld_timer *restore_wait, *state_look;
    char state_problem[256]; // as told last; "" = none
    char unread[512];        // why nothing is served yet
    struct sld_arena answer; // of the last list of sources
    struct sld_str write_ns; // at the start; roles begin with it
    struct sld_str role;     // of the supervised Envoy; xds knows which view it gets now
    struct sld_str run_dir;
    char now_ns[256];              // the write namespace in force
    struct timespec settings_time; // of the settings file as read last
    ino_t settings_inode;
    unsigned looks; // of the periodic look
    struct sld_hash builds; // of the builds of Envoys that the model thread was told of last
    _Atomic uint64_t index;
    uint64_t served_ns; // mono: since when Envoys are served; 0 = not yet
    bool envoy_took;    // the supervised Envoy took a whole configuration once
    bool stopping, finished;
    int exit_code;
};

// The keys of Settings that are ours, as --settings has them; NULL: none. (server.c)
const Gloo__SolderSettings *server_own_settings(const struct server *s);
const char *server_state_dir(const struct server *s);

// The directory of the supervised Envoy and of the worker. (server_listen.c)
SLD_NODISCARD enum sld_rc server_make_run_dir(struct server *s, struct sld_err *err);
// Listens for Envoys and for the admin interface. (server_listen.c)
SLD_NODISCARD enum sld_rc server_listen_xds(struct server *s, struct sld_err *err);
SLD_NODISCARD enum sld_rc server_listen_admin(struct server *s, struct sld_err *err);
// The files CERT, KEY and CLIENT_CA in A, which go together; what they are given by is --<WHAT>-cert and so on.
SLD_NODISCARD enum sld_rc server_read_tls(struct sld_arena *a, const char *what, const char *cert, const char *key, const char *client_ca,
                                          struct sld_grpc_tls *tls, struct sld_err *err);
// Reads the certificate files for Envoys again; what cannot be used leaves the former ones.
void server_reload_xds_tls(struct server *s);

// ---- Sources ---- (server_sources.c)

// Those of flags; not opened.
SLD_NODISCARD enum sld_rc server_sources_find(struct server *s, struct sld_err *err);
// Adds those that the settings name; not opened.
void server_sources_name(struct server *s);
// Tells the model thread of them all.
void server_sources_tell(struct server *s);
// Opens them all. Only what a flag names must be possible.
SLD_NODISCARD enum sld_rc server_sources_open(struct server *s, struct sld_err *err);
// The settings in force changed: opens, closes and configures. HELD: what there was in each source.
void server_sources_configure(struct server *s, const struct sld_model_held *held, size_t held_count);
// Tries again to open what could not be opened.
void server_sources_retry(struct server *s);
// Reads NAME again; absent: all.
void server_sources_reread(struct server *s, struct sld_str name);
void server_sources_close(struct server *s);
void server_sources_fini(struct server *s);
// Adds the source NAME ("plugin:<name>") of what a plugin finds; RUNNING: opens it too.
void server_source_add_found(struct server *s, struct sld_str name, bool running);
// Adds the source of the secrets that plugins give.
void server_source_add_given(struct server *s, bool running);
// Closes C; what it told goes.
void server_source_drop(struct source *c);
// The source of that name, or NULL.
struct source *server_source_find(struct server *s, struct sld_str name);
// The source that an object of KIND belongs to which the state directory has of the source NAME: of that name,
// or the keys of Consul that Settings name now, when they named others then. NULL: none.
struct source *server_source_of(struct server *s, struct sld_str name, enum sld_kind kind);

// ---- What they tell and are told ---- (server_tell.c)

struct sld_source_events server_source_events(struct source *c);
struct sld_discovery_events server_discovery_events(struct source *c);
// It cannot be read, because of WHY; absent: it can again.
void server_source_problem(struct source *c, struct sld_str why);
bool server_source_is_open(const struct source *c);
// Tells C, which was opened a moment ago, everything that is wanted.
void server_source_tell_wanted(struct source *c);
// A discovery was closed: services that it told of are not known any more.
void server_source_take_back(struct source *c);
// Tells sources the statuses of N.
void server_sources_status(struct server *s, const struct sld_model_news *n);
// Some source on demand is gone: what all others have answered for has an answer now.
void server_sources_answered(struct server *s);
// Tells sources what is wanted by N.
void server_sources_want(struct server *s, const struct sld_model_news *n);

// ---- Plugins that discover ---- (server_found.c)

// What the worker is to tell of them.
struct sld_finders_events server_found_events(struct server *s);
// Adds the sources of those whose findings the last run kept; not opened.
void server_found_restore(struct server *s);
// C, the source of the secrets that plugins give, was opened.
void server_given_opened(struct source *c);
// Runs what N plans.
void server_found_news(struct server *s, const struct sld_model_news *n);
// C is the configuration ID of a plugin's tasks; NULL: there is none any more.
void server_found_conf(struct server *s, struct sld_str id, const struct sld_request_conf *c);
// The settings in force changed, or the plugins: tasks ask the servers that Solder knows as they say.
void server_found_backends(struct server *s);
void server_found_stop(struct server *s);

// ---- The worker ---- (server_worker.c)

// Decides where Envoys reach it. Before the model thread.
SLD_NODISCARD enum sld_rc server_worker_find(struct server *s, struct sld_err *err);
SLD_NODISCARD enum sld_rc server_worker_create(struct server *s, struct sld_err *err);
// How Envoys reach it, once xDS listens.
enum sld_worker_reach server_worker_reach(const struct server *s);
// Reads its certificate files again; what cannot be used leaves the former ones.
void server_worker_reload_tls(struct server *s);
// Tells it what N has for it.
void server_worker_news(struct server *s, const struct sld_model_news *n);
// Takes from it what no Envoy can ask by any more.
void server_worker_look(struct server *s);
// Why requests cannot be answered yet; absent: they can.
struct sld_str server_worker_reason(struct server *s);
void server_worker_close(struct server *s);
// As of struct sld_admin_host.
enum sld_rc server_worker_record(struct sld_admin_query *q, struct sld_str plugin, unsigned count, unsigned ms, void *server);

// What admin asks of the server. (server_admin.c)
struct sld_admin_host server_admin_host(struct server *s);

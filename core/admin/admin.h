// admin: what people and tools ask a running Solder over HTTP: the REST API under /v1, watches,
// dumps, health and metrics. It only reads.
//
// Requests arrive on the io thread. What lives there is answered at once; what lives on the model
// thread travels there as a query and comes back with its answer.
#pragma once

#include "loop/loop.h"
#include "source/source.h"
#include "translate/translate.h"
#include "xds/xds.h"

struct sld_admin;
struct sld_plugin_set;  // of the plugin room
struct sld_worker_info; // of the worker room

// ---- Queries: from io to model and back ----

// A question to the model thread. The host owns it between `query` and sld_admin_query_done.
struct sld_admin_query {
    struct sld_message msg; // for the host: to post it with
    void *user;             // for the host
};

// What the model thread remembers from query to query: counts, validity of certificates. [model]
struct sld_admin_memo;
struct sld_admin_memo *sld_admin_memo_create(void);
void sld_admin_memo_destroy(struct sld_admin_memo *m); // NULL is fine

// What there is to read on the model thread, as it stands between two rounds.
struct sld_admin_model {
    struct sld_translate *translate;
    const struct sld_intake *intake; // may be NULL
    const struct sld_plugin_set *plugins; // may be NULL
    const struct sld_worker_info *worker; // may be NULL
    struct sld_admin_memo *memo;
    uint64_t index;          // see sld_admin_changed
    struct sld_str write_ns; // who reports in statuses
};

// Answers Q. Pure reading. [model]
void sld_admin_answer(const struct sld_admin_model *m, struct sld_admin_query *q);
// LINES (may be empty) are what `record` was asked for: ends Q. Also good after the admin was destroyed. [io]
void sld_admin_recorded(struct sld_admin_query *q, struct sld_str lines);
// Takes Q back, answered or not (a model thread that is gone), and answers the client. Also good
// after the admin was destroyed, as long as it is the same thread. [io]
void sld_admin_query_done(struct sld_admin_query *q);

// ---- What the app tells ---- [io]

// One thing that has to be well for Solder to be ready.
struct sld_admin_check {
    const char *name;      // a literal: "sources", "envoy"
    bool ok;
    bool live;             // counts for /livez too: only what a restart would mend
    struct sld_str reason; // why not; valid until the next turn of the loop
};

struct sld_admin_source {
    struct sld_str name;    // its address, as in --config
    const char *holds;      // "configuration", "artifacts", "secrets"
    const char *setting;    // the field of Settings that names it; NULL: a flag does
    struct sld_str store;   // its address for another process on this machine; absent: it is read only
    const char *type;       // "directory", ...; "state" is the state directory: up while it can be written
    bool up;                // it can be read
    bool synced;            // everything there is was told once
    int64_t last_sync_ms;   // Unix time of its last complete reading; 0 = none
    int64_t stale_since_ms; // Unix time since when it cannot be read; 0 = it can
    struct sld_str problem; // why it cannot be read; absent when it can
    struct sld_source_writer writer; // of statuses; without a lock: several Solders need not agree there
    bool counted;                    // it counts, and COUNTS says what
    struct sld_source_counts counts;
};

// The supervised Envoy.
struct sld_admin_edge {
    bool supervised; // false: there is none, the rest is not looked at
    bool up;
    int pid;
    uint64_t restarts;
    struct sld_str version; // "1.40.0"
    struct sld_str state;   // in one word, as edge calls it
    struct sld_str problem; // why it is not up; absent when it is
};

// The app's side. None may be NULL. Strings have to be valid until the next turn of the loop.
struct sld_admin_host {
    // Carries Q to the model thread, which calls sld_admin_answer, and back to io, which calls
    // sld_admin_query_done; in one go when there is only one thread. Rounds whose results are on
    // their way to io must not be overtaken by it.
    void (*query)(struct sld_admin_query *q, void *user);
    // Fill up to MAX entries of OUT; return how many.
    size_t (*checks)(struct sld_admin_check *out, size_t max, void *user);
    size_t (*sources)(struct sld_admin_source *out, size_t max, void *user);
    void (*edge)(struct sld_admin_edge *out, void *user);
    // Calls FN for each fact of each source.
    void (*facts)(void (*fn)(struct sld_str source, const struct sld_source_fact *f, void *arg),
                  void *arg, void *user);
    // Records up to COUNT requests of PLUGIN for MS, then calls sld_admin_recorded, once, also when the host ends before. SLD_NOT_FOUND:
    // there is no such plugin; SLD_AGAIN: another recording is there; then it is not called.
    enum sld_rc (*record)(struct sld_admin_query *q, struct sld_str plugin, unsigned count, unsigned ms, void *user);
    // Numbers that sources count.
    size_t (*metrics)(struct sld_source_metric *out, size_t max, void *user);
    void *user;
};
enum { SLD_ADMIN_CHECKS_MAX = 16, SLD_ADMIN_SOURCES_MAX = 64, SLD_ADMIN_METRICS_MAX = 64 };

struct sld_admin_options {
    struct sld_loop *io;
    struct sld_xds *xds;
    struct sld_admin_host host;
    struct sld_str version, commit; // of this build; commit may be absent
};

// O is copied, but for what it points to.
struct sld_admin *sld_admin_create(const struct sld_admin_options *o);
// Closes all listeners; queries on their way are answered to nobody. The loop has to turn once more
// before it can be destroyed. NULL is fine.
void sld_admin_destroy(struct sld_admin *a);

// Who may come in. Absent means: not configured. Paths of files.
struct sld_admin_access {
    struct sld_str cert_file, key_file; // TLS; both or none
    struct sld_str client_ca_file;      // clients need a certificate of these authorities
    struct sld_str token_file;          // "Authorization: Bearer <token>"; one token per line
};

// Listens on ADDRESS ("127.0.0.1:9091", "localhost:9091", "unix:/path"), once per address. An
// address that other machines can reach is SLD_DENIED unless ACCESS (may be NULL) has client
// authorities or a token file. Every TCP listener asks for the token when there is a token file; a
// unix socket is guarded by its mode, and ACCESS is not for it. *PORT (may be NULL) gets the port. Files are read here and
// again when they change.
SLD_NODISCARD enum sld_rc sld_admin_listen(struct sld_admin *a, struct sld_str address,
                                           const struct sld_admin_access *access, int *port,
                                           struct sld_err *err);
// Reads the certificate files again now (SIGHUP); otherwise they are looked at every 30 s. What
// cannot be used is logged and the old one stays.
void sld_admin_reload(struct sld_admin *a);

// Statuses, findings or problems changed: INDEX is greater than before. Wakes who waits for it.
// Indices begin at 1 and belong to one run of the process.
void sld_admin_changed(struct sld_admin *a, uint64_t index);

// A round of the model thread ended.
struct sld_admin_round {
    uint64_t generation;     // its number
    uint64_t duration_ns;
    uint64_t since_ns;       // mono: when its first change came in; 0 = take its beginning
    int64_t wall_ms;         // Unix time of its end
    size_t computed, cut;    // steps run; steps that changed nothing
    size_t changed;          // resources for Envoys that changed
};
// Call it after sld_xds_apply of the round.
void sld_admin_round(struct sld_admin *a, const struct sld_admin_round *r);
// Something moved in xds: a message of an Envoy came, or one connected or went. Costs nothing
// unless a round waits for its ACKs; the more often it is told, the better is what is measured.
void sld_admin_progress(struct sld_admin *a);

// ---- For people who write clients ----

// An endpoint, for help texts.
struct sld_admin_endpoint {
    const char *path, *params, *help; // params: "kind namespace state"
};
// The Ith endpoint in alphabetical order of path; NULL behind the last. [any]
const struct sld_admin_endpoint *sld_admin_endpoint_at(size_t i);

// What the files of the room share. All on the io thread.
#pragma once

#include <sys/stat.h>

#include "edge/edge.h"
#include "loop/loop.h"
#include "net/http.h"

enum {
    EDGE_PATH_MAX = 4096,
    EDGE_VERSION_MAX = 32,
    EDGE_REASON_MAX = 512,
    EDGE_CRASH_LOOP_FAILURES = 3, // ends in a row, none after a minute or more
};

// ---- rundir.c: the directory of one supervised Envoy ----

// Makes DIR (and its parents) when missing, checks that nobody else can look into it, and locks it;
// *LOCK_FD holds the lock until it is closed.
SLD_NODISCARD enum sld_rc edge_rundir_open(const char *dir, int *lock_fd, struct sld_err *err);
// Writes file PATH anew, mode 0600, whole or not at all.
SLD_NODISCARD enum sld_rc edge_rundir_write(const char *path, struct sld_str text,
                                            struct sld_err *err);

// ---- program.c: which Envoy ----

// The path of the program GIVEN: a path, a name to look for on PATH, or absent for "envoy".
SLD_NODISCARD enum sld_rc edge_program_find(struct sld_str given, char out[EDGE_PATH_MAX],
                                            struct sld_err *err);
// The version in what "envoy --version" printed; SLD_INVALID when it cannot be read or is too old.
SLD_NODISCARD enum sld_rc edge_version_read(const char *program, struct sld_str printed,
                                            char out[EDGE_VERSION_MAX], struct sld_err *err);

struct sld_edge;
// Whether e->program is the file whose version is known already.
bool edge_program_known(struct sld_edge *e);
// Asks e->program for its version; edge_checked follows unless e->child is killed and forgotten.
SLD_NODISCARD enum sld_rc edge_check_start(struct sld_edge *e, struct sld_err *err);

// ---- log.c: what Envoy says ----

// For --log-format: what edge_log_parse reads.
#define EDGE_LOG_FORMAT "[%L][%n] %_"
// A line that Envoy did not format (a library's, a crash's) is a warning of component "stderr".
void edge_log_parse(struct sld_str line, enum sld_level *level, struct sld_str *component,
                    struct sld_str *message);
// MESSAGE without what Envoy says of configuration that it rejects, which may quote a secret and is told by xds; absent
// for a line that goes on with that. *WITHIN is kept from line to line, false at first.
struct sld_str edge_log_cut(struct sld_str component, struct sld_str message, bool *within);

// ---- link.c: the connection to the keeper ----

struct edge_link;
struct edge_hello {
    int pid;            // Envoy's
    int64_t started_ms; // Unix time
    struct sld_str hash, version;
    uint64_t lost; // lines of the log that nobody took in time
};
struct edge_end {
    int status, signum; // as of wait(2)
    uint64_t lost;
};
// They may close the link.
struct edge_link_events {
    void (*hello)(const struct edge_hello *h, void *user);
    // A line of Envoy's log.
    void (*line)(struct sld_str line, void *user);
    // Envoy and keeper ended; END is NULL when the keeper left without a word. Last.
    void (*ended)(const struct edge_end *end, void *user);
    void *user;
};
// Connects to the keeper that listens on PATH and attaches; Envoy's stdout goes to STDOUT_FD.
// SLD_NOT_FOUND: there is none.
SLD_NODISCARD enum sld_rc edge_link_open(struct sld_loop *l, const char *path, int stdout_fd,
                                         const struct edge_link_events *events,
                                         struct edge_link **out, struct sld_err *err);
// 0 when the kernel does not tell.
int edge_link_keeper_pid(const struct edge_link *k);
// "term", "kill".
void edge_link_say(struct edge_link *k, const char *word);
// The keeper and Envoy live on. NULL is fine.
void edge_link_close(struct edge_link *k);

// ---- The supervisor ----

// What follows when Envoy has ended.
enum edge_next { EDGE_NEXT_BACKOFF, EDGE_NEXT_REPLACE, EDGE_NEXT_STOP };

struct sld_edge {
    struct sld_loop *loop;
    struct sld_edge_options o; // defaults filled in; texts in `arena`
    struct sld_edge_events ev;
    struct sld_arena arena;

    // The run directory.
    int lock_fd;
    const char *dir, *bootstrap_path, *keeper_path, *admin_path;
    char hash[17]; // of bootstrap and arguments

    // The program.
    char program[EDGE_PATH_MAX], version[EDGE_VERSION_MAX];
    struct stat program_stat; // when its version was asked for
    struct sld_buf printed;   // by --version

    uint8_t state; // enum sld_edge_state
    enum edge_next next;
    bool quiet;        // sld_edge_start has not returned yet
    bool first;        // no Envoy has run yet
    bool spawned;      // the keeper is one that we started
    unsigned stops;    // calls of sld_edge_stop
    unsigned kills;    // escalations of TERMINATING
    unsigned failures; // ends in a row without having run for a while
    uint64_t restarts;
    struct sld_timer *timer; // what the state waits for at most
    struct sld_child *child; // asked for its version, or a keeper that is not ready yet
    struct edge_link *link;

    // The process.
    int pid, pidfd;            // 0, -1 = none
    struct sld_poll *pid_poll; // waits for the end of an Envoy without keeper
    bool adopted, live;
    int64_t started_ms;
    uint64_t lost;
    char running_version[EDGE_VERSION_MAX];
    bool log_rejects;     // of edge_log_cut
    char last_error[256]; // the newest line of its log at level error
    char last_exit[EDGE_REASON_MAX];
    struct sld_err error;

    // Its admin interface.
    struct sld_http_client *http;
    struct sld_http_pending *call;
    struct sld_timer *probe;
    uint64_t probing_since_ns, answered_ns;
    bool silent;           // reported that it does not answer
    unsigned idle_answers; // in a row, without requests under way
    int64_t active;        // requests under way, -1 = not known
};

// probe.c: asks /ready again and again; tells edge_set_live.
void edge_probe_start(struct sld_edge *e);
// probe.c: tells the load balancer, then counts requests under way; calls edge_drained when there
// are none, or when Envoy does not answer. The deadline is the caller's business.
void edge_drain_start(struct sld_edge *e);
// The timer of both.
void edge_on_probe(void *user);
// Ends whatever of the two goes on.
void edge_probe_stop(struct sld_edge *e);

// envoy.c: adopts the Envoy of the run directory, or starts one. The state has changed when it
// returns SLD_OK.
SLD_NODISCARD enum sld_rc edge_begin(struct sld_edge *e, struct sld_err *err);
// e->version is known, or ERR says why not.
void edge_checked(struct sld_edge *e, const struct sld_err *err);
// The state's time is up.
void edge_on_timer(void *user);
void edge_set_live(struct sld_edge *e, bool live);
void edge_drained(struct sld_edge *e);

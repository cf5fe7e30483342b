// edge: runs one Envoy and keeps it running. The way of life of an Envoy:
//
//   sld_edge_start -> [adopt a running one | check version -> start] -> RUNNING, live when it
//   serves
//        ^                                                  |
//        +------------ BACKOFF <---- it ended --------------+---- sld_edge_stop -> DRAINING ->
//                                                                TERMINATING -> STOPPED
//
// Envoy is the child of a keeper, a process of this binary that does not end with Solder: after
// kill -9 of Solder the Envoy serves on, and the next Solder with the same run directory adopts it.
#pragma once

#include "base/base.h"
#include "edge/bootstrap.h"

struct sld_loop;
struct sld_edge;

enum sld_edge_state {
    SLD_EDGE_STOPPED,     // not started yet, or stopped as asked, or let go
    SLD_EDGE_CHECKING,    // the program is asked for its version
    SLD_EDGE_STARTING,    // its keeper is being started or met
    SLD_EDGE_RUNNING,     // the process is there; whether it serves is a matter of `live`
    SLD_EDGE_BACKOFF,     // it ended and is started again in a while
    SLD_EDGE_DRAINING,    // told its load balancer that it goes, waits for requests under way
    SLD_EDGE_TERMINATING, // was told to end
    SLD_EDGE_FAILED,      // the first start failed for a reason that trying again does not mend
};
// "stopped", "checking", ...
const char *sld_edge_state_name(enum sld_edge_state s);

// Zeroes mean the defaults named. Everything is copied.
struct sld_edge_options {
    struct sld_str run_dir; // made when missing, mode 0700; at most 90 bytes, because sockets lie
                            // in it. Required
    struct sld_str envoy;   // path of the program; absent = "envoy" on PATH
    // Its `admin` is not used: the admin interface is <run_dir>/admin.sock.
    struct sld_bootstrap_options bootstrap;
    struct sld_str log_level; // of Envoy: "trace" to "critical", "off"; "warning"
    unsigned concurrency;     // worker threads; as many as processors
    uint64_t drain_ms;        // at most so long requests under way are waited for; 10 s
    uint64_t drain_min_ms;    // at least so long, for a load balancer in front to notice; 0
    uint64_t term_ms;         // from SIGTERM to SIGKILL; 5 s
    uint64_t backoff_min_ms,
        backoff_max_ms; // between restarts, doubled each time, with jitter; 100 ms, 30 s
    int stdout_fd;      // where Envoy's stdout (access logs) goes; 1
    bool keep;          // sld_edge_stop lets it run on instead of stopping it
    // The command that ends in sld_keeper_main, NULL-terminated; default "/proc/self/exe",
    // "keeper".
    const char *const *keeper_argv;
};

// What happens, told on the io thread. Any may be NULL. They may call sld_edge_info and
// sld_edge_stop, not sld_edge_destroy.
struct sld_edge_events {
    // STOPPED comes once after sld_edge_stop; FAILED is final, sld_edge_info has the reason.
    void (*on_state)(enum sld_edge_state s, void *user);
    // Envoy began or ceased to say LIVE on /ready.
    void (*on_ready)(bool live, void *user);
    // Envoy ended, asked or not: "exited with status 1: <its last error>", "killed by signal 11
    // (...)".
    void (*on_exit)(const char *reason, void *user);
    void *user;
};

// Takes the run directory, writes the bootstrap, adopts the Envoy that runs there or starts one.
// An adopted Envoy whose bootstrap or arguments differ is stopped gracefully and replaced, unless
// there is no program to replace it (info's `error` says so then). Errors:
// SLD_CONFLICT another Solder supervises in that directory, SLD_NOT_FOUND no such Envoy,
// SLD_INVALID an option, SLD_DENIED, SLD_IO the directory. *OUT is set before events come; none
// comes before this returns. [io]
SLD_NODISCARD enum sld_rc sld_edge_start(struct sld_loop *l, const struct sld_edge_options *o,
                                         const struct sld_edge_events *events,
                                         struct sld_edge **out, struct sld_err *err);
// Stops gracefully: /healthcheck/fail, waits for requests under way, SIGTERM, SIGKILL; then
// STOPPED. With `keep` it lets Envoy run on: STOPPED at once. A second call skips the waiting. [io]
void sld_edge_stop(struct sld_edge *e);
// Lets go of Envoy, which runs on unless it was stopped. The loop has to turn once more before it
// can be destroyed. NULL is fine. [io]
void sld_edge_destroy(struct sld_edge *e);

// Valid until the next call of a function of this header or turn of the loop.
struct sld_edge_info {
    enum sld_edge_state state;
    bool live;                // the last answer of /ready was LIVE
    bool adopted;             // an earlier Solder started it
    bool crash_loop;          // it ended three times without having run for a minute
    int pid, keeper_pid;      // 0 = none
    uint64_t restarts;        // starts after the first one
    uint64_t uptime_ms;       // of the process; 0 = none
    uint64_t log_lines_lost;  // of this process's log, because nobody took them in time
    const char *program;      // its path, "" = not found yet
    const char *version;      // "1.40.0"; "" = not known yet
    const char *last_exit;    // as on_exit has it, "" = never
    const char *error;        // why it FAILED or the last start did not work, "" = it did
    const char *admin_socket; // path of its admin interface
};
void sld_edge_info(struct sld_edge *e, struct sld_edge_info *out);

// The oldest Envoy that is taken, for help texts.
#define SLD_EDGE_MIN_VERSION "1.37"

// The main function of a keeper; ARGV[0] is the word "keeper". Runs before anything else of the
// binary was initialised.
int sld_keeper_main(int argc, char **argv);

// An Envoy's life: found or adopted, checked, started, watched, started again, stopped.
//
// Callbacks of the user may call sld_edge_stop, so a state is entered by `move` as the last thing
// that a function does, when everything that belongs to the state is in place.
#include "edge/inside.h"

#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "xds/sm.h"

enum {
    CHECK_MS = 10 * 1000,   // envoy --version
    START_MS = 10 * 1000,   // a keeper that starts, or answers
    SETTLED_MS = 60 * 1000, // an Envoy that ran so long was no failure
    ARGV_MAX = 32,
};

#define TO SLD_SM_TO
static const struct sld_sm_state states[] = {
    [SLD_EDGE_STOPPED] = {"stopped",
                          TO(SLD_EDGE_CHECKING) | TO(SLD_EDGE_STARTING) | TO(SLD_EDGE_BACKOFF)},
    [SLD_EDGE_CHECKING] = {"checking", TO(SLD_EDGE_STARTING) | TO(SLD_EDGE_BACKOFF) |
                                           TO(SLD_EDGE_FAILED) | TO(SLD_EDGE_STOPPED)},
    [SLD_EDGE_STARTING] = {"starting", TO(SLD_EDGE_RUNNING) | TO(SLD_EDGE_BACKOFF) |
                                           TO(SLD_EDGE_DRAINING) | TO(SLD_EDGE_TERMINATING) |
                                           TO(SLD_EDGE_STOPPED)},
    [SLD_EDGE_RUNNING] = {"running", TO(SLD_EDGE_BACKOFF) | TO(SLD_EDGE_DRAINING) |
                                         TO(SLD_EDGE_TERMINATING) | TO(SLD_EDGE_STOPPED)},
    [SLD_EDGE_BACKOFF] = {"backoff", TO(SLD_EDGE_CHECKING) | TO(SLD_EDGE_STARTING) |
                                         TO(SLD_EDGE_BACKOFF) | TO(SLD_EDGE_STOPPED)},
    [SLD_EDGE_DRAINING] = {"draining", TO(SLD_EDGE_TERMINATING) | TO(SLD_EDGE_CHECKING) |
                                           TO(SLD_EDGE_STARTING) | TO(SLD_EDGE_BACKOFF) |
                                           TO(SLD_EDGE_STOPPED)},
    [SLD_EDGE_TERMINATING] = {"terminating", TO(SLD_EDGE_CHECKING) | TO(SLD_EDGE_STARTING) |
                                                 TO(SLD_EDGE_BACKOFF) | TO(SLD_EDGE_STOPPED)},
    [SLD_EDGE_FAILED] = {"failed", TO(SLD_EDGE_STOPPED)},
};
#undef TO

const char *sld_edge_state_name(enum sld_edge_state s)
{
    return states[s].name;
}

static void move(struct sld_edge *e, enum sld_edge_state next)
{
    SLD_LOG(SLD_DEBUG, "edge", "envoy_state", SLD_KC("from", states[e->state].name),
            SLD_KC("to", states[next].name));
    sld_sm_move(states, &e->state, (uint8_t)next);
    if (e->ev.on_state && !e->quiet)
        e->ev.on_state(next, e->ev.user);
}

void edge_set_live(struct sld_edge *e, bool live)
{
    if (e->live == live)
        return;
    e->live = live;
    SLD_LOG(SLD_INFO, "edge", live ? "envoy_live" : "envoy_not_live", SLD_KI("pid", e->pid));
    if (e->ev.on_ready)
        e->ev.on_ready(live, e->ev.user);
}

static void drop_child(struct sld_edge *e)
{
    sld_child_destroy(e->child); // read on and reaped by the loop
    e->child = NULL;
}

// ---- Again, later ----

static void back_off(struct sld_edge *e)
{
    unsigned shift = e->failures < 16 ? e->failures : 16;
    uint64_t delay = e->o.backoff_min_ms << (shift ? shift - 1 : 0);
    delay = delay < e->o.backoff_max_ms ? delay : e->o.backoff_max_ms;
    // Several supervisors on one machine should not start in step.
    uint64_t random = sld_mono_ns() * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    delay = delay / 2 + random % (delay / 2 + 1);
    bool loop = e->failures >= EDGE_CRASH_LOOP_FAILURES;
    SLD_LOG(loop ? SLD_LOG_ERROR : SLD_WARN, "edge", loop ? "envoy_crash_loop" : "envoy_restart",
            SLD_KI("failures", e->failures), SLD_KI("retry_ms", delay),
            SLD_KC("reason", e->error.msg[0] ? e->error.msg : e->last_exit));
    sld_timer_start(e->timer, delay);
    move(e, SLD_EDGE_BACKOFF);
}

// There is no process now, but for what ERR says.
static void start_failed(struct sld_edge *e, const struct sld_err *err)
{
    sld_timer_stop(e->timer);
    e->error = *err;
    e->failures++;
    if (e->next == EDGE_NEXT_STOP)
        move(e, SLD_EDGE_STOPPED);
    else
        back_off(e);
}

// ---- The end of a process ----

static void forget_process(struct sld_edge *e)
{
    edge_probe_stop(e);
    sld_timer_stop(e->timer);
    sld_poll_destroy(e->pid_poll);
    e->pid_poll = NULL;
    if (e->pidfd >= 0)
        close(e->pidfd);
    e->pidfd = -1;
    e->pid = 0;
}

// Envoy is gone; last_exit says why.
static void gone(struct sld_edge *e)
{
    bool settled = e->pid && sld_wall_ms() - e->started_ms >= SETTLED_MS;
    int pid = e->pid;
    forget_process(e);
    e->failures = settled ? 1 : e->failures + 1;
    SLD_LOG(e->next == EDGE_NEXT_BACKOFF ? SLD_LOG_ERROR : SLD_INFO, "edge", "envoy_exit",
            SLD_KI("pid", pid), SLD_KC("reason", e->last_exit));
    edge_set_live(e, false);
    if (e->ev.on_exit)
        e->ev.on_exit(e->last_exit, e->ev.user);
    if (e->next == EDGE_NEXT_STOP) {
        move(e, SLD_EDGE_STOPPED);
    } else if (e->next == EDGE_NEXT_REPLACE) {
        struct sld_err err = {0};
        e->next = EDGE_NEXT_BACKOFF;
        e->failures = 0;
        if (edge_begin(e, &err) != SLD_OK)
            start_failed(e, &err);
    } else {
        back_off(e);
    }
}

static void on_pid_gone(void *user)
{
    gone(user);
}

static void describe_end(struct sld_edge *e, const struct edge_end *end)
{
    char *out = e->last_exit;
    if (end->signum)
        snprintf(out, EDGE_REASON_MAX, "killed by signal %d (%s)", end->signum,
                 strsignal(end->signum));
    else
        snprintf(out, EDGE_REASON_MAX, "exited with status %d%s%s", end->status,
                 end->status && e->last_error[0] ? ": " : "", end->status ? e->last_error : "");
}

static void on_ended(const struct edge_end *end, void *user)
{
    struct sld_edge *e = user;
    int keeper = edge_link_keeper_pid(e->link);
    edge_link_close(e->link);
    e->link = NULL;
    if (end) {
        e->lost = end->lost;
        describe_end(e, end);
        gone(e);
        return;
    }
    if (e->state == SLD_EDGE_STARTING) { // it never said hello
        struct sld_err err = {0};
        sld_err_set(&err, SLD_IO, "Envoy's keeper (process %d) left without a word", keeper);
        start_failed(e, &err);
        return;
    }
    // Envoy has lost its parent and was sent SIGTERM for that; its sockets must be free before the
    // next one comes.
    snprintf(e->last_exit, EDGE_REASON_MAX, "its keeper (process %d) was killed", keeper);
    if (e->pidfd < 0) {
        gone(e);
        return;
    }
    edge_probe_stop(e);
    e->pid_poll = sld_poll_create(e->loop, e->pidfd, on_pid_gone, e);
    if (e->state == SLD_EDGE_TERMINATING)
        return;
    e->kills = 0;
    sld_timer_start(e->timer, e->o.term_ms);
    move(e, SLD_EDGE_TERMINATING);
}

// ---- Stopping ----

static void signal_pid(const struct sld_edge *e, int signum)
{
    if (e->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, e->pidfd, signum, NULL, 0);
}

static bool kill_keeper(struct sld_edge *e)
{
    int pid = e->link ? edge_link_keeper_pid(e->link) : 0;
    return pid > 0 && kill(pid, SIGKILL) == 0;
}

static void terminate(struct sld_edge *e)
{
    edge_probe_stop(e);
    edge_link_say(e->link, "term");
    e->kills = 0;
    sld_timer_start(e->timer, e->o.term_ms);
    move(e, SLD_EDGE_TERMINATING);
}

// Envoy does not end: SIGKILL by its keeper, then without its keeper.
static void escalate(struct sld_edge *e)
{
    SLD_LOG(SLD_WARN, "edge", "envoy_kill", SLD_KI("pid", e->pid), SLD_KI("tries", e->kills));
    sld_timer_start(e->timer, e->o.term_ms);
    if (e->link && e->kills++ == 0) {
        edge_link_say(e->link, "kill");
    } else {
        signal_pid(e, SIGKILL);
        (void)kill_keeper(e);
    }
}

static void drain(struct sld_edge *e)
{
    SLD_LOG(SLD_INFO, "edge", "envoy_drain", SLD_KI("pid", e->pid),
            SLD_KI("deadline_ms", e->o.drain_ms));
    sld_timer_start(e->timer, e->o.drain_ms);
    edge_drain_start(e);
    move(e, SLD_EDGE_DRAINING);
    edge_set_live(e, false);
}

void edge_drained(struct sld_edge *e)
{
    terminate(e);
}

// ---- Start ----

// One that serves is not given up for one that is not there.
static bool can_replace(struct sld_edge *e)
{
    if (edge_program_find(e->o.envoy, e->program, &e->error) == SLD_OK)
        return true;
    SLD_LOG(SLD_LOG_ERROR, "edge", "envoy_outdated", SLD_KI("pid", e->pid),
            SLD_KC("error", e->error.msg),
            SLD_KC("msg", "the running Envoy has another bootstrap or other arguments, and stays, "
                          "because there is none to replace it"));
    return false;
}

static void on_hello(const struct edge_hello *h, void *user)
{
    struct sld_edge *e = user;
    bool same = sld_str_eq(h->hash, sld_str_c(e->hash));
    e->pid = h->pid;
    e->pidfd = (int)syscall(SYS_pidfd_open, h->pid, 0);
    e->started_ms = h->started_ms;
    e->lost = h->lost;
    e->adopted = !e->spawned;
    e->first = false;
    e->error = (struct sld_err){0};
    snprintf(e->running_version, sizeof(e->running_version), "%.*s", SLD_FMT(h->version));
    SLD_LOG(SLD_INFO, "edge", e->adopted ? "envoy_adopted" : "envoy_started", SLD_KI("pid", e->pid),
            SLD_KS("version", h->version), SLD_KI("keeper", edge_link_keeper_pid(e->link)),
            SLD_KI("log_lines_lost", e->lost));
    sld_timer_stop(e->timer);
    if (e->next == EDGE_NEXT_STOP) {
        terminate(e);
    } else if (!same && can_replace(e)) {
        SLD_LOG(SLD_INFO, "edge", "envoy_replace", SLD_KI("pid", e->pid),
                SLD_KC("msg", "it was started with another bootstrap or other arguments"));
        e->next = EDGE_NEXT_REPLACE;
        drain(e);
    } else {
        edge_probe_start(e);
        move(e, SLD_EDGE_RUNNING);
    }
}

static void on_log(struct sld_str line, void *user)
{
    struct sld_edge *e = user;
    enum sld_level level = SLD_WARN;
    struct sld_str component = SLD_STR_NONE;
    struct sld_str message = SLD_STR_NONE;
    edge_log_parse(line, &level, &component, &message);
    message = edge_log_cut(component, message, &e->log_rejects);
    if (!message.p)
        return;
    SLD_LOG(level, "edge", "envoy_log", SLD_KS("logger", component), SLD_KS("msg", message));
    if (level == SLD_LOG_ERROR || sld_str_eq(component, SLD_STR("stderr")))
        snprintf(e->last_error, sizeof(e->last_error), "%.*s", SLD_FMT(message));
}

static enum sld_rc meet_keeper(struct sld_edge *e, struct sld_err *err)
{
    const struct edge_link_events ev = {
        .hello = on_hello, .line = on_log, .ended = on_ended, .user = e};
    enum sld_rc rc = edge_link_open(e->loop, e->keeper_path, e->o.stdout_fd, &ev, &e->link, err);
    if (rc == SLD_OK)
        sld_timer_start(e->timer, START_MS);
    return rc;
}

// Of the keeper until it is ready: "ready", or what went wrong.
static void on_keeper_line(struct sld_str line, bool is_stderr, void *user)
{
    struct sld_edge *e = user;
    struct sld_err err = {0};
    if (is_stderr) {
        snprintf(e->last_error, sizeof(e->last_error), "%.*s", SLD_FMT(line));
    } else if (sld_str_eq(line, SLD_STR("ready"))) {
        drop_child(e);
        if (meet_keeper(e, &err) != SLD_OK)
            start_failed(e, &err);
    }
}

static void on_keeper_exit(int64_t status, int signum, void *user)
{
    struct sld_edge *e = user;
    struct sld_err err = {0};
    drop_child(e);
    sld_err_set(&err, SLD_IO, "Envoy's keeper ended before it was ready (status %d, signal %d)%s%s",
                (int)status, signum, e->last_error[0] ? ": " : "", e->last_error);
    start_failed(e, &err);
}

static void spawn(struct sld_edge *e)
{
    const char *argv[ARGV_MAX];
    char workers[16];
    size_t n = 0;
    for (const char *const *a = e->o.keeper_argv; *a; a++) {
        SLD_PRE(n < ARGV_MAX / 2);
        argv[n++] = *a;
    }
    const char *const fixed[] = {e->dir,
                                 e->hash,
                                 e->version,
                                 e->program,
                                 "-c",
                                 e->bootstrap_path,
                                 "--log-level",
                                 e->o.log_level.p,
                                 "--log-format",
                                 EDGE_LOG_FORMAT,
                                 "--disable-hot-restart"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(fixed); i++)
        argv[n++] = fixed[i];
    if (e->o.concurrency) {
        snprintf(workers, sizeof(workers), "%u", e->o.concurrency);
        argv[n++] = "--concurrency";
        argv[n++] = workers;
    }
    argv[n] = NULL;
    struct sld_child_options o = {.argv = argv,
                                  .on_line = on_keeper_line,
                                  .on_exit = on_keeper_exit,
                                  .detached = true,
                                  .user = e};
    struct sld_err err = {0};
    e->last_error[0] = 0;
    e->spawned = true;
    e->restarts += e->first ? 0 : 1;
    if (sld_child_start(e->loop, &o, &e->child, &err) != SLD_OK) {
        sld_err_wrap(&err, "Envoy's keeper");
        e->child = NULL;
        start_failed(e, &err);
        return;
    }
    sld_timer_start(e->timer, START_MS);
    move(e, SLD_EDGE_STARTING);
}

// ---- Which program ----

void edge_checked(struct sld_edge *e, const struct sld_err *err)
{
    sld_timer_stop(e->timer);
    if (err->rc == SLD_OK) {
        spawn(e);
    } else if (e->first) {
        e->error = *err;
        SLD_LOG(SLD_LOG_ERROR, "edge", "envoy_refused", SLD_KC("msg", err->msg));
        move(e, SLD_EDGE_FAILED);
    } else {
        start_failed(e, err);
    }
}

enum sld_rc edge_begin(struct sld_edge *e, struct sld_err *err)
{
    SLD_PRE(!e->link && !e->child && !e->pid);
    e->spawned = false;
    enum sld_rc rc = meet_keeper(e, err);
    if (rc == SLD_OK)
        move(e, SLD_EDGE_STARTING);
    if (rc != SLD_NOT_FOUND)
        return rc;
    rc = edge_program_find(e->o.envoy, e->program, err);
    if (rc != SLD_OK)
        return rc;
    if (edge_program_known(e)) {
        spawn(e);
        return SLD_OK;
    }
    rc = edge_check_start(e, err);
    if (rc == SLD_OK) {
        sld_timer_start(e->timer, CHECK_MS);
        move(e, SLD_EDGE_CHECKING);
    }
    return rc;
}

// ---- Time is up ----

void edge_on_timer(void *user)
{
    struct sld_edge *e = user;
    struct sld_err err = {0};
    switch ((enum sld_edge_state)e->state) {
    case SLD_EDGE_CHECKING:
        sld_child_kill(e->child, SIGKILL); // its end is told
        break;
    case SLD_EDGE_STARTING:
        if (e->child) {
            sld_child_kill(e->child, SIGKILL);
        } else if (!kill_keeper(e)) { // one that hangs; Envoy goes with it
            edge_link_close(e->link);
            e->link = NULL;
            sld_err_set(&err, SLD_IO, "Envoy's keeper does not answer on %s", e->keeper_path);
            start_failed(e, &err);
        }
        break;
    case SLD_EDGE_BACKOFF:
        if (edge_begin(e, &err) != SLD_OK)
            start_failed(e, &err);
        break;
    case SLD_EDGE_DRAINING:
        SLD_LOG(SLD_WARN, "edge", "drain_deadline", SLD_KI("pid", e->pid),
                SLD_KI("requests_cut", e->active));
        terminate(e);
        break;
    case SLD_EDGE_TERMINATING:
        escalate(e);
        break;
    case SLD_EDGE_STOPPED:
    case SLD_EDGE_RUNNING:
    case SLD_EDGE_FAILED:
        SLD_UNREACHABLE();
    }
}

// ---- Stop ----

// Ends supervision; what runs, runs on.
static void let_go(struct sld_edge *e)
{
    if (e->state == SLD_EDGE_CHECKING)
        sld_child_kill(e->child, SIGKILL);
    drop_child(e);
    edge_link_close(e->link);
    e->link = NULL;
    forget_process(e);
    move(e, SLD_EDGE_STOPPED);
}

void sld_edge_stop(struct sld_edge *e)
{
    sld_loop_assert_owner(e->loop);
    e->stops++;
    // One that is being replaced has told its load balancer that it goes, so go it must.
    bool goes = e->state == SLD_EDGE_DRAINING || e->state == SLD_EDGE_TERMINATING;
    e->next = EDGE_NEXT_STOP;
    switch ((enum sld_edge_state)e->state) {
    case SLD_EDGE_STOPPED:
        break;
    case SLD_EDGE_CHECKING:
    case SLD_EDGE_BACKOFF:
    case SLD_EDGE_FAILED:
        let_go(e);
        break;
    case SLD_EDGE_STARTING:
        if (e->o.keep)
            let_go(e);
        else if (e->stops > 1)
            edge_on_timer(e);
        break;
    case SLD_EDGE_RUNNING:
    case SLD_EDGE_DRAINING:
    case SLD_EDGE_TERMINATING:
        if (!e->link && !e->pid_poll)
            break; // called while its end is told
        if (e->o.keep && !goes)
            let_go(e);
        else if (e->state == SLD_EDGE_RUNNING)
            drain(e);
        else if (e->stops > 1 && e->state == SLD_EDGE_DRAINING)
            terminate(e);
        else if (e->stops > 1)
            escalate(e);
        break;
    }
}

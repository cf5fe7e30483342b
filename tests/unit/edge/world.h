// What the tests of the supervisor share: a folder with a fake Envoy, a supervisor on a loop, and
// waiting for a condition.
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "edge/edge.h"
#include "fake.h"
#include "loop/loop.h"
#include "tree.h"

static int world_stderr = -1; // what it was before the log took its place

struct world {
    struct sld_loop *loop;
    struct sld_edge *edge;
    struct sld_edge_options o;
    char run_dir[300], envoy[300];
    const char *keeper_argv[3];
    char self[300];
    int stdout_pipe[2];

    char states[512]; // names of the states entered, each followed by a blank
    char reason[600]; // of the newest exit
    unsigned exits, readies;
    bool stop_on_exit;

    bool (*until)(struct world *w);
    struct sld_timer *tick;
};

static inline void world_state(enum sld_edge_state s, void *user)
{
    struct world *w = user;
    size_t n = strlen(w->states);
    snprintf(w->states + n, sizeof(w->states) - n, "%s ", sld_edge_state_name(s));
}

static inline void world_ready(bool live, void *user)
{
    struct world *w = user;
    w->readies += live ? 1 : 0;
}

static inline void world_exit(const char *reason, void *user)
{
    struct world *w = user;
    snprintf(w->reason, sizeof(w->reason), "%s", reason);
    w->exits++;
    if (w->stop_on_exit)
        sld_edge_stop(w->edge);
}

static inline void world_tick(void *user)
{
    struct world *w = user;
    if (w->until(w))
        sld_loop_stop(w->loop);
    else
        sld_timer_start(w->tick, 5);
}

static inline void world_late(void *user)
{
    struct world *w = user;
    fail_msg("the condition did not come; states: %s, reason: %s", w->states, w->reason);
}

// Runs the loop until COND holds; fails after a minute.
static inline void wait_until(struct world *w, bool (*cond)(struct world *w))
{
    struct sld_timer *late = sld_timer_create(w->loop, world_late, w);
    sld_timer_start(late, 60 * 1000);
    w->until = cond;
    w->tick = sld_timer_create(w->loop, world_tick, w);
    sld_timer_start(w->tick, 0);
    sld_loop_run(w->loop);
    sld_timer_destroy(w->tick);
    sld_timer_destroy(late);
}

static inline struct sld_edge_info info(struct world *w)
{
    struct sld_edge_info i;
    sld_edge_info(w->edge, &i);
    return i;
}

// ---- The folder ----

static inline void read_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, size - 1);
    out[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close(fd);
}

static inline const char *calls(void)
{
    static char text[65536];
    read_file(tree_path("calls"), text, sizeof(text));
    return text;
}

static inline unsigned count_calls(const char *what)
{
    unsigned n = 0;
    for (const char *p = calls(); (p = strstr(p, what)) != NULL; p += strlen(what))
        n++;
    return n;
}

static inline void world_create(struct world *w)
{
    char script[1024];
    memset(w, 0, sizeof(*w));
    tree_create();
    fake_dir = tree_root;
    ssize_t n = readlink("/proc/self/exe", w->self, sizeof(w->self) - 1);
    assert_true(n > 0);
    snprintf(w->envoy, sizeof(w->envoy), "%s/envoy", tree_root);
    snprintf(w->run_dir, sizeof(w->run_dir), "%s/run/envoy", tree_root);
    snprintf(script, sizeof(script), "#!/bin/sh\nFAKE_DIR='%s' exec '%s' fake \"$@\"\n", tree_root,
             w->self);
    tree_write("envoy", script);
    assert_int_equal(chmod(w->envoy, 0755), 0);
    w->loop = sld_loop_create("test");
    assert_int_equal(pipe2(w->stdout_pipe, O_CLOEXEC | O_NONBLOCK), 0);
    w->keeper_argv[0] = w->self;
    w->keeper_argv[1] = "keeper";
    w->o = (struct sld_edge_options){
        .run_dir = sld_str_c(w->run_dir),
        .envoy = sld_str_c(w->envoy),
        .bootstrap = {.role = SLD_STR("gloo-system~gateway-proxy"),
                      .xds = SLD_STR("unix:/nowhere/xds.sock")},
        .backoff_min_ms = 1,
        .backoff_max_ms = 8,
        .stdout_fd = w->stdout_pipe[1],
        .keeper_argv = w->keeper_argv,
    };
    // The log goes to a file that tests read; cmocka's words, which take the stream, do not.
    if (world_stderr < 0) {
        world_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        stderr = fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3), "w");
        setvbuf(stderr, NULL, _IONBF, 0);
    }
    int fd = open(tree_path("log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    dup2(fd, STDERR_FILENO);
    close(fd);
    sld_log_set_json(true);
    sld_log_set_level(SLD_DEBUG);
}

static inline bool logged(const char *text)
{
    static char log[4 << 20];
    read_file(tree_path("log"), log, sizeof(log));
    return strstr(log, text) != NULL;
}

static inline enum sld_rc try_start(struct world *w, struct sld_err *err)
{
    const struct sld_edge_events ev = {
        .on_state = world_state, .on_ready = world_ready, .on_exit = world_exit, .user = w};
    return sld_edge_start(w->loop, &w->o, &ev, &w->edge, err);
}

static inline void start(struct world *w)
{
    struct sld_err err = {0};
    if (try_start(w, &err) != SLD_OK)
        fail_msg("%s", err.msg);
}

static inline bool is_running(struct world *w)
{
    return info(w).state == SLD_EDGE_RUNNING;
}

static inline bool is_live(struct world *w)
{
    return is_running(w) && info(w).live;
}

static inline bool is_stopped(struct world *w)
{
    return info(w).state == SLD_EDGE_STOPPED;
}

static inline void stop(struct world *w)
{
    sld_edge_stop(w->edge);
    wait_until(w, is_stopped);
}

// Ends what a failed or half-done test left running: only processes of this folder.
static inline void kill_leftovers(void)
{
    for (const char *p = calls(); (p = strstr(p, "start ")) != NULL; p += 6) {
        char path[64], env[65536];
        pid_t pid = (pid_t)strtol(p + 6, NULL, 10);
        snprintf(path, sizeof(path), "/proc/%ld/environ", (long)pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, env, sizeof(env));
        if (n > 0 && memmem(env, (size_t)n, tree_root, strlen(tree_root)))
            kill(pid, SIGKILL);
        if (fd >= 0)
            close(fd);
    }
}

static inline void world_destroy(struct world *w)
{
    sld_edge_destroy(w->edge);
    sld_loop_destroy(w->loop);
    close(w->stdout_pipe[0]);
    close(w->stdout_pipe[1]);
}

// After every test, also one that failed: nothing runs on and nothing stays on the disk.
static inline int world_clean(void **state)
{
    (void)state;
    dup2(world_stderr, STDERR_FILENO);
    kill_leftovers();
    tree_destroy();
    return 0;
}
#define WORLD_TEST(f) cmocka_unit_test_teardown(f, world_clean)

// The roles that a test program plays besides itself; -1 = none of them.
static inline int other_role(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "keeper") == 0)
        return sld_keeper_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "fake") == 0)
        return fake_main(argc - 1, argv + 1);
    return -1;
}

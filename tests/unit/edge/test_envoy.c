// The supervisor with a fake Envoy: start, adoption, crashes, replacement, stop, and what is
// refused.
#include "world.h"

// ---- Start ----

static void test_start(void **state)
{
    (void)state;
    struct world w;
    struct stat st;
    char text[4096];
    world_create(&w);
    start(&w);
    assert_int_equal(info(&w).state, SLD_EDGE_CHECKING);
    wait_until(&w, is_live);
    assert_string_equal(w.states, "starting running ");
    assert_int_equal(w.readies, 1);
    struct sld_edge_info i = info(&w);
    assert_string_equal(i.version, "1.40.0");
    assert_string_equal(i.program, w.envoy);
    assert_true(i.pid > 0 && i.keeper_pid > 0 && i.pid != i.keeper_pid);
    assert_false(i.adopted || i.crash_loop);
    assert_int_equal(i.restarts, 0);
    snprintf(text, sizeof(text), "start %d\n", i.pid);
    assert_non_null(strstr(calls(), text));
    assert_int_equal(stat(tree_path("run/envoy"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(tree_path("run/envoy/bootstrap.json"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    read_file(tree_path("run/envoy/bootstrap.json"), text, sizeof(text));
    assert_non_null(strstr(text, "gloo-system~gateway-proxy"));
    assert_non_null(strstr(text, i.admin_socket));
    assert_int_equal(getsid(i.keeper_pid), i.keeper_pid);
    stop(&w);
    world_destroy(&w);
}

static bool has_log(struct world *w)
{
    (void)w;
    return logged("and no format again");
}

static void test_log_is_forwarded(void **state)
{
    (void)state;
    struct world w;
    char out[64] = "";
    world_create(&w);
    start(&w);
    wait_until(&w, has_log);
    assert_true(
        logged("\"level\":\"warn\",\"component\":\"edge\",\"event\":\"envoy_log\",\"logger\":"
               "\"main\",\"msg\":\"fake is up\""));
    assert_true(logged("\"logger\":\"stderr\",\"msg\":\"no format at all\""));
    // What it says of configuration may quote secrets.
    assert_true(logged("\"msg\":\"delta config for x rejected\""));
    assert_false(logged("hunter2"));
    assert_true(
        logged("\"level\":\"info\",\"component\":\"edge\",\"event\":\"envoy_log\",\"logger\":"
               "\"config\""));
    wait_until(&w, is_live);
    stop(&w);
    assert_true(logged("last words")); // and what it says while it ends
    assert_true(read(w.stdout_pipe[0], out, sizeof(out) - 1) > 0);
    assert_string_equal(out, "stdout of the fake\n");
    world_destroy(&w);
}

static bool not_live(struct world *w)
{
    return !info(w).live;
}

static void test_ready_follows_envoy(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    tree_write("unready", "");
    start(&w);
    wait_until(&w, is_running);
    assert_false(info(&w).live);
    tree_unlink("unready");
    wait_until(&w, is_live);
    tree_write("unready", "");
    wait_until(&w, not_live);
    assert_true(is_running(&w));
    stop(&w);
    world_destroy(&w);
}

// ---- What is refused ----

static void refused(struct world *w, enum sld_rc rc, const char *words)
{
    struct sld_err err = {0};
    assert_int_equal(try_start(w, &err), rc);
    if (!strstr(err.msg, words))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
    assert_null(w->edge);
}

static void test_missing_program(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    w.o.envoy = SLD_STR("/nonexistent/envoy");
    refused(&w, SLD_NOT_FOUND, "no Envoy at /nonexistent/envoy");
    w.o.envoy = SLD_STR("no-such-envoy");
    refused(&w, SLD_NOT_FOUND, "--envoy PATH");
    w.o.envoy = SLD_STR("/etc/passwd");
    refused(&w, SLD_DENIED, "may run");
    w.o.envoy = w.o.run_dir;
    refused(&w, SLD_DENIED, "may run");
    world_destroy(&w);
}

static void test_program_is_found_on_path(void **state)
{
    (void)state;
    struct world w;
    char path[600], *old = getenv("PATH");
    world_create(&w);
    snprintf(path, sizeof(path), "/nonexistent:%s:/bin:/usr/bin", tree_root);
    old = old ? strdup(old) : NULL;
    setenv("PATH", path, 1);
    w.o.envoy = SLD_STR_NONE;
    start(&w);
    wait_until(&w, is_live);
    assert_string_equal(info(&w).program, w.envoy);
    stop(&w);
    setenv("PATH", old ? old : "", 1);
    free(old);
    world_destroy(&w);
}

static bool is_failed(struct world *w)
{
    return info(w).state == SLD_EDGE_FAILED;
}

static void version_fails(const char *printed, const char *words)
{
    struct world w;
    world_create(&w);
    tree_write("version", printed);
    start(&w);
    wait_until(&w, is_failed);
    if (!strstr(info(&w).error, words))
        fail_msg("\"%s\" does not say \"%s\"", info(&w).error, words);
    assert_int_equal(count_calls("start"), 0);
    stop(&w);
    world_destroy(&w);
    world_clean(NULL);
}

static void test_version(void **state)
{
    (void)state;
    version_fails("envoy  version: abc/1.36.4/Clean/RELEASE/BoringSSL", "is Envoy 1.36.4");
    version_fails("nginx 1.22", "is it Envoy?");
    version_fails("", "is it Envoy?");
}

static void test_option_mistakes(void **state)
{
    (void)state;
    struct world w;
    char dir[200];
    world_create(&w);
    memset(dir, 'a', sizeof(dir));
    w.o.run_dir = sld_str_n(dir, 91);
    refused(&w, SLD_INVALID, "1 to 90 bytes");
    w.o.run_dir = SLD_STR("");
    refused(&w, SLD_INVALID, "1 to 90 bytes");
    w.o.run_dir = sld_str_c(w.run_dir);
    w.o.log_level = SLD_STR("loud");
    refused(&w, SLD_INVALID, "no log level loud");
    w.o.log_level = SLD_STR_NONE;
    w.o.bootstrap.role = SLD_STR("");
    refused(&w, SLD_INVALID, "no role");
    world_destroy(&w);
}

static void test_directory_of_others(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    tree_mkdir("run");
    tree_mkdir("run/envoy");
    refused(&w, SLD_DENIED, "chmod 700");
    tree_unlink("run/envoy");
    tree_write("run/envoy", "");
    refused(&w, SLD_INVALID, "not a directory");
    world_destroy(&w);
}

static void test_second_supervisor(void **state)
{
    (void)state;
    struct world w;
    char words[64];
    world_create(&w);
    start(&w);
    wait_until(&w, is_live);
    struct sld_edge *first = w.edge;
    int pid = info(&w).pid;
    w.edge = NULL;
    snprintf(words, sizeof(words), "another Solder (process %ld)", (long)getpid());
    refused(&w, SLD_CONFLICT, words);
    w.edge = first;
    assert_int_equal(info(&w).pid, pid);
    assert_true(is_live(&w));
    stop(&w);
    world_destroy(&w);
}

// ---- Crashes ----

static bool crashed_four_times(struct world *w)
{
    return w->exits >= 4;
}

static void test_crash_loop_backs_off_and_recovers(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    tree_write("crash", "");
    start(&w);
    wait_until(&w, crashed_four_times);
    assert_string_equal(w.reason, "exited with status 3: cannot bind");
    assert_true(info(&w).crash_loop);
    assert_true(info(&w).restarts >= 3);
    assert_true(logged("envoy_crash_loop"));
    assert_int_equal(count_calls("start"), 0);
    tree_unlink("crash");
    wait_until(&w, is_live);
    stop(&w);
    world_destroy(&w);
}

static bool restarted(struct world *w)
{
    return w->exits == 1 && is_live(w);
}

static void test_killed_envoy_is_started_again(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    start(&w);
    wait_until(&w, is_live);
    int pid = info(&w).pid;
    kill(pid, SIGKILL);
    wait_until(&w, restarted);
    assert_non_null(strstr(w.reason, "killed by signal 9"));
    assert_string_equal(w.states, "starting running backoff starting running ");
    assert_int_not_equal(info(&w).pid, pid);
    assert_int_equal(info(&w).restarts, 1);
    assert_false(info(&w).crash_loop);
    assert_int_equal(w.readies, 2);
    stop(&w);
    world_destroy(&w);
}

static void test_vanished_program_is_waited_for(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    start(&w);
    wait_until(&w, is_live);
    tree_rename("envoy", "elsewhere");
    kill(info(&w).pid, SIGKILL);
    while (!strstr(info(&w).error, "no Envoy at"))
        wait_until(&w, not_live);
    tree_rename("elsewhere", "envoy");
    wait_until(&w, restarted);
    assert_string_equal(info(&w).error, "");
    stop(&w);
    world_destroy(&w);
}

static void test_killed_keeper_takes_envoy_along(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    start(&w);
    wait_until(&w, is_live);
    kill(info(&w).keeper_pid, SIGKILL);
    wait_until(&w, restarted);
    assert_non_null(strstr(w.reason, "its keeper"));
    assert_int_equal(count_calls("term"), 1);
    assert_int_equal(count_calls("start"), 2);
    // The old one was gone before the new one came.
    assert_true(strstr(calls(), "term") < strrchr(calls(), 's'));
    stop(&w);
    world_destroy(&w);
}

static void test_envoy_without_keeper_that_does_not_end(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    tree_write("stubborn", "");
    w.o.term_ms = 20;
    start(&w);
    wait_until(&w, is_live);
    int pid = info(&w).pid;
    kill(info(&w).keeper_pid, SIGKILL);
    wait_until(&w, restarted);
    assert_int_not_equal(info(&w).pid, pid);
    assert_int_equal(count_calls("term"), 0);
    // The old one has ended, and nobody but its new parent has to be told.
    char path[64], stat_line[256];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    read_file(path, stat_line, sizeof(stat_line));
    assert_true(!stat_line[0] || strstr(stat_line, ") Z "));
    stop(&w);
    world_destroy(&w);
}

// ---- Adoption ----

// Solder as a process of its own, to be killed.
static int supervise(const char *dir, const char *envoy, const char *self)
{
    const char *const keeper[] = {self, "keeper", NULL};
    struct sld_edge_options o = {
        .run_dir = sld_str_c(dir),
        .envoy = sld_str_c(envoy),
        .bootstrap = {.role = SLD_STR("gloo-system~gateway-proxy"),
                      .xds = SLD_STR("unix:/nowhere/xds.sock")},
        .keeper_argv = keeper,
    };
    struct sld_edge *e = NULL;
    struct sld_err err = {0};
    struct sld_loop *l = sld_loop_create("supervise");
    if (sld_edge_start(l, &o, &(struct sld_edge_events){0}, &e, &err) != SLD_OK)
        return 1;
    sld_loop_run(l);
    return 0;
}

static bool envoy_came(struct world *w)
{
    (void)w;
    return count_calls("start ") == 1;
}

static void test_adoption_after_kill_9(void **state)
{
    (void)state;
    struct world w;
    char expected[64];
    world_create(&w);
    pid_t solder = fork();
    if (solder == 0) {
        execl(w.self, w.self, "supervise", w.run_dir, w.envoy, w.self, (char *)NULL);
        _exit(127);
    }
    wait_until(&w, envoy_came);
    kill(solder, SIGKILL);
    assert_int_equal(waitpid(solder, NULL, 0), solder);
    start(&w);
    wait_until(&w, is_live);
    assert_string_equal(w.states, "running ");
    assert_true(info(&w).adopted);
    assert_string_equal(info(&w).version, "1.40.0");
    snprintf(expected, sizeof(expected), "start %d\n", info(&w).pid);
    assert_non_null(strstr(calls(), expected));
    assert_int_equal(count_calls("term"), 0);
    stop(&w);
    assert_int_equal(count_calls("start"), 1);
    assert_int_equal(count_calls("term"), 1);
    world_destroy(&w);
}

static void let_go(struct world *w)
{
    sld_edge_destroy(w->edge);
    w->edge = NULL;
    w->states[0] = 0;
}

static void test_adoption_needs_no_program(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    start(&w);
    wait_until(&w, is_live);
    int pid = info(&w).pid;
    let_go(&w);
    tree_unlink("envoy");
    start(&w);
    wait_until(&w, is_live);
    assert_int_equal(info(&w).pid, pid);
    stop(&w);
    world_destroy(&w);
}

static bool replaced(struct world *w)
{
    return count_calls("start") == 2 && is_live(w);
}

static void test_other_bootstrap_is_replaced_gracefully(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    start(&w);
    wait_until(&w, is_live);
    let_go(&w);
    w.o.bootstrap.role = SLD_STR("gloo-system~another");
    start(&w);
    wait_until(&w, replaced);
    assert_string_equal(w.states, "draining terminating checking starting running ");
    assert_non_null(strstr(calls(), "fail\nstats\nstats\nterm\nstart "));
    assert_false(info(&w).adopted);
    assert_string_equal(w.reason, "exited with status 0");
    stop(&w);
    world_destroy(&w);
}

static void test_outdated_envoy_stays_when_there_is_no_other(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    start(&w);
    wait_until(&w, is_live);
    int pid = info(&w).pid;
    let_go(&w);
    w.o.concurrency = 3;
    tree_unlink("envoy");
    start(&w);
    wait_until(&w, is_live);
    assert_int_equal(info(&w).pid, pid);
    assert_non_null(strstr(info(&w).error, "no Envoy at"));
    assert_int_equal(count_calls("fail"), 0);
    stop(&w);
    world_destroy(&w);
}

static void test_keep(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    w.o.keep = true;
    start(&w);
    wait_until(&w, is_live);
    int pid = info(&w).pid;
    sld_edge_stop(w.edge);
    assert_true(is_stopped(&w));
    assert_int_equal(kill(pid, 0), 0);
    let_go(&w);
    w.o.keep = false;
    start(&w);
    wait_until(&w, is_live);
    assert_int_equal(info(&w).pid, pid);
    assert_int_equal(count_calls("fail"), 0);
    stop(&w);
    world_destroy(&w);
}

static bool flood_is_over(struct world *w)
{
    (void)w;
    return access(tree_path("flood"), F_OK) != 0;
}

static bool flood_is_logged(struct world *w)
{
    (void)w;
    return logged("line 50000\"");
}

static void test_log_of_an_orphan_is_bounded_and_delivered(void **state)
{
    (void)state;
    struct world w;
    static char out[1 << 20];
    size_t n = 0;
    world_create(&w);
    start(&w);
    wait_until(&w, is_live);
    let_go(&w);
    while (read(w.stdout_pipe[0], out, sizeof(out)) > 0)
        continue; // what it said so far, if anything
    tree_write("flood", "50000");
    wait_until(&w, flood_is_over);
    assert_int_equal(fcntl(w.stdout_pipe[1], F_SETPIPE_SZ, 1 << 20), 1 << 20);
    start(&w);
    wait_until(&w, flood_is_logged);
    assert_true(info(&w).log_lines_lost > 0);
    assert_false(logged("line 20000\""));
    for (ssize_t got; (got = read(w.stdout_pipe[0], out + n, sizeof(out) - 1 - n)) > 0;)
        n += (size_t)got;
    assert_int_equal(strncmp(out, "access ", 7), 0); // whole lines only
    assert_non_null(strstr(out, "access 50000\n"));
    assert_true(n <= 384 * 1024); // the ring, and what was in Envoy's own pipe
    stop(&w);
    world_destroy(&w);
}

// ---- Stop ----

static bool asked_twice(struct world *w)
{
    (void)w;
    return count_calls("stats") >= 2;
}

static void test_stop_waits_for_requests(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    start(&w);
    wait_until(&w, is_live);
    tree_write("active", "2");
    sld_edge_stop(w.edge);
    wait_until(&w, asked_twice);
    assert_int_equal(info(&w).state, SLD_EDGE_DRAINING);
    assert_false(info(&w).live);
    assert_int_equal(count_calls("term"), 0);
    tree_replace("active", "0");
    wait_until(&w, is_stopped);
    assert_string_equal(w.states, "starting running draining terminating stopped ");
    assert_string_equal(w.reason, "exited with status 0");
    assert_true(strstr(calls(), "fail\n") < strstr(calls(), "stats\n"));
    assert_non_null(strstr(calls(), "stats\nterm\n"));
    assert_false(logged("drain_deadline"));
    assert_int_equal(access(tree_path("run/envoy/keeper.sock"), F_OK), -1);
    assert_int_equal(info(&w).pid, 0);
    world_destroy(&w);
}

static void test_stop_has_a_deadline(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    w.o.drain_ms = 1;
    tree_write("active", "1");
    start(&w);
    wait_until(&w, is_live);
    stop(&w);
    assert_true(logged("drain_deadline"));
    assert_int_equal(count_calls("term"), 1);
    world_destroy(&w);
}

static void test_second_stop_does_not_wait(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    tree_write("active", "1");
    start(&w);
    wait_until(&w, is_live);
    sld_edge_stop(w.edge);
    wait_until(&w, asked_twice);
    sld_edge_stop(w.edge);
    assert_int_equal(info(&w).state, SLD_EDGE_TERMINATING);
    wait_until(&w, is_stopped);
    world_destroy(&w);
}

static void test_stubborn_envoy_is_killed(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    w.o.term_ms = 20;
    tree_write("stubborn", "");
    start(&w);
    wait_until(&w, is_live);
    stop(&w);
    assert_non_null(strstr(w.reason, "killed by signal 9"));
    world_destroy(&w);
}

static bool is_backing_off(struct world *w)
{
    return info(w).state == SLD_EDGE_BACKOFF;
}

static void test_stop_while_nothing_runs(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    w.o.backoff_min_ms = w.o.backoff_max_ms = 3600 * 1000;
    tree_write("crash", "");
    start(&w);
    wait_until(&w, is_backing_off);
    sld_edge_stop(w.edge);
    assert_true(is_stopped(&w));
    let_go(&w);
    start(&w);
    assert_int_equal(info(&w).state, SLD_EDGE_CHECKING);
    sld_edge_stop(w.edge);
    assert_true(is_stopped(&w));
    world_destroy(&w);
}

static bool is_starting(struct world *w)
{
    return info(w).state == SLD_EDGE_STARTING;
}

static void test_stop_while_it_starts(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    start(&w);
    wait_until(&w, is_starting);
    stop(&w);
    assert_int_equal(info(&w).pid, 0);
    assert_int_equal(count_calls("fail"), 0);
    world_destroy(&w);
}

static void test_stop_within_a_callback(void **state)
{
    (void)state;
    struct world w;
    world_create(&w);
    w.stop_on_exit = true;
    start(&w);
    wait_until(&w, is_live);
    kill(info(&w).pid, SIGKILL);
    wait_until(&w, is_stopped);
    assert_string_equal(w.states, "starting running stopped ");
    world_destroy(&w);
}

int main(int argc, char **argv)
{
    int rc = other_role(argc, argv);
    if (rc >= 0)
        return rc;
    if (argc == 5 && strcmp(argv[1], "supervise") == 0)
        return supervise(argv[2], argv[3], argv[4]);
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_start),
        WORLD_TEST(test_log_is_forwarded),
        WORLD_TEST(test_ready_follows_envoy),
        WORLD_TEST(test_missing_program),
        WORLD_TEST(test_program_is_found_on_path),
        WORLD_TEST(test_version),
        WORLD_TEST(test_option_mistakes),
        WORLD_TEST(test_directory_of_others),
        WORLD_TEST(test_second_supervisor),
        WORLD_TEST(test_crash_loop_backs_off_and_recovers),
        WORLD_TEST(test_killed_envoy_is_started_again),
        WORLD_TEST(test_vanished_program_is_waited_for),
        WORLD_TEST(test_killed_keeper_takes_envoy_along),
        WORLD_TEST(test_envoy_without_keeper_that_does_not_end),
        WORLD_TEST(test_adoption_after_kill_9),
        WORLD_TEST(test_adoption_needs_no_program),
        WORLD_TEST(test_other_bootstrap_is_replaced_gracefully),
        WORLD_TEST(test_outdated_envoy_stays_when_there_is_no_other),
        WORLD_TEST(test_keep),
        WORLD_TEST(test_log_of_an_orphan_is_bounded_and_delivered),
        WORLD_TEST(test_stop_waits_for_requests),
        WORLD_TEST(test_stop_has_a_deadline),
        WORLD_TEST(test_second_stop_does_not_wait),
        WORLD_TEST(test_stubborn_envoy_is_killed),
        WORLD_TEST(test_stop_while_nothing_runs),
        WORLD_TEST(test_stop_while_it_starts),
        WORLD_TEST(test_stop_within_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

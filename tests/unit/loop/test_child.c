// Child processes: lines, ends, refusals, children that are forgotten.
#include "loop/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

struct run {
    struct sld_loop *loop;
    struct sld_child *child;
    struct sld_buf out, err; // lines, each closed by '|'
    size_t longest;
    int64_t status;
    int signum;
    bool exited;
    bool kill_on_line;
};

static void on_line(struct sld_str line, bool is_stderr, void *user)
{
    struct run *r = user;
    struct sld_buf *b = is_stderr ? &r->err : &r->out;
    assert_false(r->exited);
    r->longest = line.n > r->longest ? line.n : r->longest;
    sld_buf_add(b, line);
    sld_buf_addc(b, '|');
    if (r->kill_on_line)
        sld_child_kill(r->child, SIGKILL);
}

static void on_exit_fn(int64_t status, int signum, void *user)
{
    struct run *r = user;
    assert_false(r->exited);
    r->exited = true;
    r->status = status;
    r->signum = signum;
    sld_loop_stop(r->loop);
}

static void run_start(struct run *r, const char *script, const char *const *env)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct sld_child_options o = {
        .argv = argv, .env = env, .on_line = on_line, .on_exit = on_exit_fn, .user = r};
    struct sld_err err = {0};
    r->loop = sld_loop_create("test");
    sld_buf_init(&r->out, 1 << 20);
    sld_buf_init(&r->err, 1 << 20);
    assert_int_equal(sld_child_start(r->loop, &o, &r->child, &err), SLD_OK);
    assert_true(sld_child_pid(r->child) > 0);
}

static void run_end(struct run *r)
{
    sld_child_destroy(r->child);
    sld_loop_destroy(r->loop);
    sld_buf_fini(&r->out);
    sld_buf_fini(&r->err);
}

static void expect(const struct sld_buf *b, const char *want)
{
    assert_int_equal(b->n, strlen(want));
    assert_memory_equal(b->p ? b->p : "", want, b->n);
}

static void test_lines_come_before_the_exit(void **state)
{
    (void)state;
    struct run r = {0};
    run_start(&r, "echo one; echo; printf 'two\\nthree'; echo bad >&2; exit 7", NULL);
    sld_loop_run(r.loop);
    expect(&r.out, "one||two|three|");
    expect(&r.err, "bad|");
    assert_int_equal(r.status, 7);
    assert_int_equal(r.signum, 0);
    run_end(&r);
}

static void test_long_lines_come_in_pieces(void **state)
{
    (void)state;
    struct run r = {0};
    run_start(&r, "head -c 40000 /dev/zero | tr '\\0' a; echo; echo end", NULL);
    sld_loop_run(r.loop);
    assert_int_equal(r.longest, 16384);
    assert_int_equal(r.out.n, 40000 + 3 + 4);
    assert_memory_equal(r.out.p + r.out.n - 5, "|end|", 5);
    run_end(&r);
}

static void test_kill_is_told(void **state)
{
    (void)state;
    struct run r = {.kill_on_line = true};
    run_start(&r, "echo up; exec sleep 1000", NULL);
    sld_loop_run(r.loop);
    assert_int_equal(r.signum, SIGKILL);
    run_end(&r);
}

static void test_grandchild_does_not_hide_the_exit(void **state)
{
    (void)state;
    struct run r = {0};
    uint64_t start = sld_mono_ns();
    run_start(&r, "sleep 60 & echo $!", NULL);
    sld_loop_run(r.loop);
    assert_true(sld_mono_ns() - start < 30 * UINT64_C(1000000000));
    uint64_t pid = 0;
    assert_true(sld_str_u64(sld_str_sub(sld_buf_str(&r.out), 0, r.out.n - 1), &pid));
    kill((pid_t)pid, SIGKILL);
    run_end(&r);
}

static void test_environment_is_replaced(void **state)
{
    (void)state;
    struct run r = {0};
    const char *const env[] = {"ONLY=this", NULL};
    setenv("SLD_TEST_OUTSIDE", "seen", 1);
    run_start(&r, "echo \"$ONLY$SLD_TEST_OUTSIDE\"", env);
    sld_loop_run(r.loop);
    expect(&r.out, "this|");
    run_end(&r);
}

static void test_missing_file_is_an_error(void **state)
{
    (void)state;
    const char *const missing[] = {"/nonexistent/program", NULL};
    const char *const denied[] = {"/etc/passwd", NULL};
    struct sld_loop *l = sld_loop_create("test");
    struct sld_child_options o = {.argv = missing};
    struct sld_child *c = NULL;
    struct sld_err err = {0};
    assert_int_equal(sld_child_start(l, &o, &c, &err), SLD_NOT_FOUND);
    assert_non_null(strstr(err.msg, "/nonexistent/program"));
    o.argv = denied;
    assert_int_equal(sld_child_start(l, &o, &c, &err), SLD_DENIED);
    assert_null(c);
    sld_loop_destroy(l);
}

// The forgotten child writes more than a pipe holds; it ends well only if somebody reads on.
static void test_forgotten_child_is_read_and_reaped(void **state)
{
    (void)state;
    struct run r = {0};
    struct run watch = {0};
    char script[256];
    run_start(&r, "head -c 300000 /dev/zero | tr '\\0' a && exit 0; exit 1", NULL);
    int pid = sld_child_pid(r.child);
    sld_child_destroy(r.child);
    r.child = NULL;
    // A second child tells when the first is gone from the process table.
    snprintf(script, sizeof(script), "while kill -0 %d 2>/dev/null; do sleep 0.02; done", pid);
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    struct sld_child_options o = {
        .argv = argv, .on_line = on_line, .on_exit = on_exit_fn, .user = &watch};
    watch.loop = r.loop;
    assert_int_equal(sld_child_start(r.loop, &o, &watch.child, NULL), SLD_OK);
    sld_loop_run(r.loop);
    assert_true(watch.exited);
    assert_false(r.exited);
    assert_int_equal(r.out.n, 0);
    sld_child_destroy(watch.child);
    run_end(&r);
}

static void test_detached_child_survives_the_loop(void **state)
{
    (void)state;
    const char *const argv[] = {"/bin/sleep", "1000", NULL};
    struct sld_loop *l = sld_loop_create("test");
    struct sld_child_options o = {.argv = argv, .detached = true};
    struct sld_child *c = NULL;
    assert_int_equal(sld_child_start(l, &o, &c, NULL), SLD_OK);
    pid_t pid = sld_child_pid(c);
    assert_int_equal(getsid(pid), pid);
    sld_child_destroy(c);
    sld_loop_destroy(l);
    assert_int_equal(kill(pid, 0), 0);
    kill(pid, SIGKILL);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_come_before_the_exit),
        cmocka_unit_test(test_long_lines_come_in_pieces),
        cmocka_unit_test(test_kill_is_told),
        cmocka_unit_test(test_grandchild_does_not_hide_the_exit),
        cmocka_unit_test(test_environment_is_replaced),
        cmocka_unit_test(test_missing_file_is_an_error),
        cmocka_unit_test(test_forgotten_child_is_read_and_reaped),
        cmocka_unit_test(test_detached_child_survives_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

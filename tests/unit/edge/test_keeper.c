// The keeper alone, spoken to over its socket: what it refuses, hostile and vanishing clients, its
// streams; and the small readers of the room (versions, log lines).
#include "world.h"

#include "edge/inside.h"
#include "edge/keeper.h"

struct kept {
    struct world w;
    pid_t pid;
    int fd;
};

static int connect_keeper(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", tree_path(KEEPER_SOCKET));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

// The next line; "" at the end.
static const char *hear(int fd)
{
    static char line[512];
    size_t n = 0;
    while (n < sizeof(line) - 1) {
        struct pollfd p = {fd, POLLIN, 0};
        assert_int_equal(poll(&p, 1, 60 * 1000), 1);
        if (read(fd, line + n, 1) != 1 || line[n] == '\n')
            break;
        n++;
    }
    line[n] = 0;
    return line;
}

static void send_fds(int socket, int out, int log)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct iovec io = {"attach\n", 7};
    struct msghdr m = {.msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    int fds[2] = {out, log};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(c), fds, sizeof(fds));
    assert_int_equal(sendmsg(socket, &m, MSG_NOSIGNAL), 7);
}

// A script that goes on until it is told to end, and says when it is ready for that.
#define LASTING(first) first "; : > \"$READY\"; while [ -e \"$READY\" ]; do sleep 0.01; done"

// A keeper of a shell that runs SCRIPT.
static void keep(struct kept *k, const char *script)
{
    int out[2];
    world_create(&k->w);
    setenv("READY", tree_path("ready"), 1);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    k->pid = fork();
    if (k->pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        execl(k->w.self, "solder", "keeper", tree_root, "hash", "1.40.0", "/bin/sh", "-c", script,
              (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    assert_string_equal(hear(out[0]), "ready");
    assert_string_equal(hear(out[0]), ""); // it lets go of what it was started with
    close(out[0]);
    k->fd = connect_keeper();
    while (strstr(script, "$READY") && access(tree_path("ready"), F_OK) != 0)
        poll(NULL, 0, 1);
}

static void kept_end(struct kept *k)
{
    int status = 0;
    close(k->fd);
    assert_int_equal(waitpid(k->pid, &status, 0), k->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    world_destroy(&k->w);
}

static void test_ends_are_told(void **state)
{
    (void)state;
    static const char *const ends[][2] = {
        {"exit 0", "exit 0 0 0 0"},
        {"exit 7", "exit 7 0 0 0"},
        {"kill -9 $$", "exit 0 9 0 0"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(ends); i++) {
        struct kept k;
        keep(&k, ends[i][0]);
        say(k.fd, "attach\n");
        assert_int_equal(strncmp(hear(k.fd), "hello 1 ", 8), 0);
        assert_string_equal(hear(k.fd), ends[i][1]);
        assert_string_equal(hear(k.fd), "");
        kept_end(&k);
        world_clean(NULL);
    }
}

static void test_commands(void **state)
{
    (void)state;
    struct kept k;
    keep(&k, LASTING("trap 'exit 5' TERM"));
    say(k.fd, "attach\nnonsense\n\nte");
    assert_non_null(strstr(hear(k.fd), " hash 1.40.0 0 0"));
    say(k.fd, "rm\n");
    assert_string_equal(hear(k.fd), "exit 5 0 0 0");
    kept_end(&k);
    world_clean(NULL);
    keep(&k, LASTING("trap '' TERM"));
    say(k.fd, "attach\nterm\nkill\n");
    (void)hear(k.fd);
    assert_string_equal(hear(k.fd), "exit 0 9 0 0");
    kept_end(&k);
}

static void test_signal_to_the_keeper_is_passed_on(void **state)
{
    (void)state;
    struct kept k;
    keep(&k, LASTING("trap 'exit 5' TERM"));
    say(k.fd, "attach\n");
    (void)hear(k.fd);
    kill(k.pid, SIGHUP); // a terminal that went away is none of its business
    kill(k.pid, SIGTERM);
    assert_string_equal(hear(k.fd), "exit 5 0 0 0");
    kept_end(&k);
}

static void test_garbage_is_cut_off(void **state)
{
    (void)state;
    struct kept k;
    char junk[4096];
    keep(&k, LASTING("trap 'exit 5' TERM"));
    memset(junk, 'x', sizeof(junk));
    (void)!send(k.fd, junk, sizeof(junk), MSG_NOSIGNAL);
    assert_string_equal(hear(k.fd), "");
    close(k.fd);
    k.fd = connect_keeper();
    say(k.fd, "attach\nterm\n");
    assert_int_equal(strncmp(hear(k.fd), "hello 1 ", 8), 0);
    assert_string_equal(hear(k.fd), "exit 5 0 0 0");
    kept_end(&k);
}

// Solder's sockets must not live on in the keeper or in Envoy: the next Solder binds them.
static void test_nothing_is_inherited(void **state)
{
    (void)state;
    struct kept k;
    struct stat st;
    int log[2];
    char path[64];
    const char *line = NULL;
    assert_int_equal(dup2(STDOUT_FILENO, 77), 77); // without close-on-exec
    keep(&k, LASTING("ls /proc/$$/fd >&2; echo end >&2; trap 'exit 5' TERM"));
    close(77);
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    send_fds(k.fd, log[1], log[1]);
    close(log[1]);
    assert_int_equal(strncmp(hear(k.fd), "hello 1 ", 8), 0);
    assert_string_equal(hear(log[0]), "0");
    while (strcmp(line = hear(log[0]), "end") != 0)
        assert_string_not_equal(line, "77");
    snprintf(path, sizeof(path), "/proc/%ld/fd/77", (long)k.pid);
    assert_int_equal(stat(path, &st), -1);
    say(k.fd, "term\n");
    assert_string_equal(hear(log[0]), "");
    close(log[0]);
    kept_end(&k);
}

static void test_newest_client_counts(void **state)
{
    (void)state;
    struct kept k;
    keep(&k, LASTING("trap 'exit 5' TERM"));
    say(k.fd, "attach\n");
    (void)hear(k.fd);
    int second = connect_keeper();
    assert_string_equal(hear(k.fd), "");
    say(second, "attach\n");
    assert_int_equal(strncmp(hear(second), "hello 1 ", 8), 0);
    close(k.fd);
    k.fd = second;
    say(k.fd, "term\n");
    assert_string_equal(hear(k.fd), "exit 5 0 0 0");
    kept_end(&k);
}

// Streams go to whatever stdout is: here a socket and a pipe. Output without a newline at its end
// is not lost.
static void test_streams(void **state)
{
    (void)state;
    struct kept k;
    int out[2], log[2];
    keep(&k, "read -r go < go; echo out; printf 'err one\\nerr two' >&2");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    send_fds(k.fd, out[1], log[1]);
    close(out[1]);
    close(log[1]);
    assert_int_equal(strncmp(hear(k.fd), "hello 1 ", 8), 0);
    // The shell waits for nothing but this, in the keeper's own working directory.
    assert_string_equal(hear(log[0]), "/bin/sh: 1: cannot open go: No such file");
    assert_string_equal(hear(out[0]), "out");
    assert_string_equal(hear(out[0]), "");
    assert_string_equal(hear(log[0]), "err one");
    assert_string_equal(hear(log[0]), "err two");
    assert_string_equal(hear(log[0]), "");
    assert_string_equal(hear(k.fd), "exit 0 0 0 0");
    close(out[0]);
    close(log[0]);
    kept_end(&k);
}

// A reader that never reads costs nothing but lines.
static void test_reader_that_hangs(void **state)
{
    (void)state;
    struct kept k;
    int out[2], log[2];
    char last[32] = "";
    keep(&k, "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); echo line $i; done; echo done >&2; "
             "sleep 100 & wait");
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    send_fds(k.fd, out[1], log[1]);
    close(out[1]);
    close(log[1]);
    assert_int_equal(strncmp(hear(k.fd), "hello 1 ", 8), 0);
    assert_string_equal(hear(log[0]), "done"); // the writer was never held up
    int flags = fcntl(out[0], F_GETFL);
    assert_int_equal(fcntl(out[0], F_SETFL, flags & ~O_NONBLOCK), 0);
    const char *line = hear(out[0]);
    unsigned lines = 0;
    for (; strcmp(line, "line 60000") != 0; line = hear(out[0])) {
        // A line that was begun when the rest of it had to give way ends in a newline all the same.
        char whole[32];
        snprintf(whole, sizeof(whole), "line %lu", strtoul(line + 5, NULL, 10));
        assert_true((strlen(line) > 5 && strcmp(line, whole) == 0) ||
                    strncmp("line ", line, strlen(line)) == 0);
        snprintf(last, sizeof(last), "%s", line);
        lines++;
    }
    assert_string_equal(last, "line 59999");
    assert_true(lines < 59999);
    say(k.fd, "kill\n");
    unsigned long lost = strtoul(hear(k.fd) + strlen("exit 0 9 "), NULL, 10);
    assert_true(lost > 0 && lost + lines >= 59999 && lost + lines <= 60001);
    close(out[0]);
    close(log[0]);
    kept_end(&k);
}

static void test_usage(void **state)
{
    (void)state;
    char *few[] = {"keeper", "dir", "hash", "1.0", NULL};
    char *longer[] = {"keeper", "dir", NULL, "1.0", "/bin/true", NULL};
    char word[KEEPER_WORD_MAX + 2];
    memset(word, 'h', sizeof(word) - 1);
    word[sizeof(word) - 1] = 0;
    longer[2] = word;
    int copy = dup(STDERR_FILENO);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO);
    assert_int_equal(sld_keeper_main(4, few), 2);
    assert_int_equal(sld_keeper_main(5, longer), 2);
    dup2(copy, STDERR_FILENO);
    close(copy);
    close(null);
}

static void test_second_keeper_is_refused(void **state)
{
    (void)state;
    struct kept k;
    int err[2], status = 0;
    keep(&k, LASTING("trap 'exit 5' TERM"));
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    pid_t second = fork();
    if (second == 0) {
        dup2(err[1], STDERR_FILENO);
        execl(k.w.self, "solder", "keeper", tree_root, "h", "1", "/bin/sh", "-c", "echo no >&2",
              (char *)NULL);
        _exit(127);
    }
    close(err[1]);
    assert_non_null(strstr(hear(err[0]), "another keeper holds"));
    close(err[0]);
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    say(k.fd, "attach\nterm\n"); // the first one is untouched
    assert_int_equal(strncmp(hear(k.fd), "hello 1 ", 8), 0);
    assert_string_equal(hear(k.fd), "exit 5 0 0 0");
    kept_end(&k);
}

// ---- Readers ----

static void test_versions(void **state)
{
    (void)state;
    static const struct {
        const char *printed, *version; // NULL = refused
    } cases[] = {
        {"\n/x/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n\n", "1.40.0"},
        {"envoy  version: 9e55/1.37.0-dev/Modified/DEBUG/BoringSSL", "1.37.0-dev"},
        {"envoy  version: 9e55/2.0.0/Clean/RELEASE/BoringSSL", "2.0.0"},
        {"envoy  version: 9e55/1.36.9/Clean/RELEASE/BoringSSL", NULL},
        {"envoy  version: 9e55/0.99.0/Clean/RELEASE/BoringSSL", NULL},
        {"envoy  version: 9e55", NULL},
        {"envoy  version: 9e55/x.40.0/Clean", NULL},
        {"envoy  version: 9e55/1.40/Clean", NULL},
        {"envoy  version: 9e55/1.40.0 or so/Clean", NULL},
        {"envoy  version: 9e55/1.40.00000000000000000000000000000000/Clean", NULL},
        {"version: ", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        char out[EDGE_VERSION_MAX] = "";
        struct sld_err err = {0};
        enum sld_rc rc = edge_version_read("envoy", sld_str_c(cases[i].printed), out, &err);
        assert_int_equal(rc, cases[i].version ? SLD_OK : SLD_INVALID);
        assert_string_equal(out, cases[i].version ? cases[i].version : "");
    }
}

static void test_log_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum sld_level level;
        const char *logger, *message;
    } cases[] = {
        {"[I][main] starting", SLD_INFO, "main", "starting"},
        {"[W][config] a ] b", SLD_WARN, "config", "a ] b"},
        {"[E][upstream] x", SLD_LOG_ERROR, "upstream", "x"},
        {"[C][envoy_bug] [x] y", SLD_LOG_ERROR, "envoy_bug", "[x] y"},
        {"[D][http2] ", SLD_DEBUG, "http2", ""},
        {"[T][http2] t", SLD_DEBUG, "http2", "t"},
        {"[X][main] y", SLD_WARN, "stderr", "[X][main] y"},
        {"[W][main]", SLD_WARN, "stderr", "[W][main]"},
        {"[W][] x", SLD_WARN, "stderr", "[W][] x"},
        {"[W", SLD_WARN, "stderr", "[W"},
        {"", SLD_WARN, "stderr", ""},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        enum sld_level level = SLD_INFO;
        struct sld_str logger, message;
        edge_log_parse(sld_str_c(cases[i].line), &level, &logger, &message);
        assert_int_equal(level, cases[i].level);
        assert_true(sld_str_eq(logger, sld_str_c(cases[i].logger)));
        assert_true(sld_str_eq(message, sld_str_c(cases[i].message)));
    }
}

int main(int argc, char **argv)
{
    int rc = other_role(argc, argv);
    if (rc >= 0)
        return rc;
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_ends_are_told),
        WORLD_TEST(test_commands),
        WORLD_TEST(test_signal_to_the_keeper_is_passed_on),
        WORLD_TEST(test_garbage_is_cut_off),
        WORLD_TEST(test_nothing_is_inherited),
        WORLD_TEST(test_newest_client_counts),
        WORLD_TEST(test_streams),
        WORLD_TEST(test_reader_that_hangs),
        cmocka_unit_test(test_usage),
        WORLD_TEST(test_second_keeper_is_refused),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_log_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

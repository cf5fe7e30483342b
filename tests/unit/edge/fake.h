// A stand-in for Envoy: the test program itself, started again through a small script. It knows
// --version and -c, serves /ready, /healthcheck/fail and /stats on the admin socket, ends on
// SIGTERM, and does what the files in its folder say:
//
//   version   printed by --version (default: Envoy's form of 1.40.0)
//   crash     end at once with status 3      stubborn  ignore SIGTERM
//   unready   /ready says 503                active    requests under way
//   flood     print so many lines of log and stdout, then remove the file
//   calls     (written) start PID, fail, stats, term
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *fake_dir;
static volatile sig_atomic_t fake_ended;

static inline const char *fake_path(const char *name)
{
    static char path[4][512];
    static unsigned at;
    char *p = path[at++ % 4];
    snprintf(p, sizeof(path[0]), "%s/%s", fake_dir, name);
    return p;
}

// The number in file NAME, or 0; -1 = there is no such file.
static inline long fake_number(const char *name)
{
    char text[64] = "";
    int fd = open(fake_path(name), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

static inline void fake_note(const char *fmt, ...)
{
    char line[128];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    int fd = open(fake_path("calls"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (write(fd, line, (size_t)n) != n)
        abort();
    close(fd);
}

static inline void fake_on_term(int signum)
{
    (void)signum;
    if (fake_number("stubborn") >= 0)
        return;
    fake_note("term\n");
    fake_ended = 1;
}

static inline void fake_flood(void)
{
    long n = fake_number("flood");
    if (n <= 0)
        return;
    for (long i = 1; i <= n; i++) {
        fprintf(stderr, "[W][flood] line %ld\n", i);
        printf("access %ld\n", i);
    }
    fflush(stdout);
    unlink(fake_path("flood"));
}

static inline void fake_answer(int listener)
{
    char rq[2048] = "";
    char body[256] = "";
    char answer[512];
    size_t n = 0;
    int fd = accept(listener, NULL, NULL);
    while (fd >= 0 && n < sizeof(rq) - 1 && !strstr(rq, "\r\n\r\n")) {
        ssize_t got = read(fd, rq + n, sizeof(rq) - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    static bool failed;
    int status = 404;
    if (strncmp(rq, "GET /ready ", 11) == 0) {
        bool live = !failed && fake_number("unready") < 0;
        status = live ? 200 : 503;
        snprintf(body, sizeof(body), live ? "LIVE\n" : "INITIALIZING\n");
    } else if (strncmp(rq, "POST /healthcheck/fail ", 23) == 0) {
        failed = true;
        status = 200;
        fake_note("fail\n");
    } else if (strncmp(rq, "GET /stats?", 11) == 0) {
        long active = fake_number("active");
        status = 200;
        fake_note("stats\n");
        snprintf(body, sizeof(body),
                 "http.admin.downstream_rq_active: 1\nhttp.http.downstream_rq_active: %ld\n",
                 active > 0 ? active : 0);
    }
    int len = snprintf(answer, sizeof(answer),
                       "HTTP/1.1 %d X\r\ncontent-length: %zu\r\nconnection: close\r\n\r\n%s",
                       status, strlen(body), body);
    // Who asked may have left.
    if (fd >= 0 && write(fd, answer, (size_t)len) == len)
        shutdown(fd, SHUT_WR);
    close(fd);
}

static inline int fake_serve(const char *bootstrap)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    const char *slash = strrchr(bootstrap, '/');
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%.*s/admin.sock", (int)(slash - bootstrap),
             bootstrap);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(sa.sun_path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(fd, 8) != 0)
        abort();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, fake_on_term);
    fprintf(stderr, "[W][main] fake is up\nno format at all\n[W][config] delta config for x rejected: y: bad hunter2\n"
                    "z: bad hunter2 too\n[I][config] all \"fine\"\nand no format again\n");
    printf("stdout of the fake\n");
    fflush(stdout);
    fake_note("start %ld\n", (long)getpid());
    while (!fake_ended && access(fake_dir, F_OK) == 0) {
        struct pollfd p = {fd, POLLIN, 0};
        if (poll(&p, 1, 10) == 1)
            fake_answer(fd);
        fake_flood();
    }
    fprintf(stderr, "[W][main] last words\n");
    return 0;
}

// ARGV as Envoy's.
static inline int fake_main(int argc, char **argv)
{
    const char *bootstrap = NULL;
    char version[128] = "fake  version: abc123/1.40.0/Clean/RELEASE/BoringSSL";
    fake_dir = getenv("FAKE_DIR");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--version") == 0) {
            int fd = open(fake_path("version"), O_RDONLY);
            if (fd >= 0)
                version[read(fd, version, sizeof(version) - 1)] = 0;
            printf("\n%s\n\n", version);
            return 0;
        }
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc)
            bootstrap = argv[i + 1];
    }
    if (fake_number("crash") >= 0) {
        fprintf(stderr, "[C][main] cannot bind\n");
        return 3;
    }
    return bootstrap ? fake_serve(bootstrap) : 2;
}

// The keeper: a small process between Solder and Envoy. Envoy ends with its parent, so its parent
// must be something that does not end with Solder.
//
//                 attach, term, kill          pipes
//   Solder <======= keeper.sock =======> keeper <====== Envoy's stdout, stderr
//      ^----- descriptors it handed over -----'
//
// Nothing here allocates, and nothing here blocks: what nobody takes stays in two rings, whose
// oldest lines give way. It ends when Envoy ends; when it is killed, Envoy gets SIGTERM.
#include "edge/edge.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "edge/keeper.h"

enum {
    RING_BYTES = 256 * 1024,
    PIECE_BYTES = PIPE_BUF, // what a pipe that can be written takes without blocking
    FINAL_PIECES = 256,     // read at most when Envoy has ended
    FINAL_FLUSH_MS = 1000,  // how long its last words may take to be taken
    FINAL_WAIT_MS = 2000,   // how long its end waits for somebody to be told
    FDS_MAX = 2,
};

// Carries one of Envoy's streams to whoever is attached.
struct pump {
    int in, out; // -1 = none
    char ring[RING_BYTES];
    size_t head, used;
    uint64_t lost; // lines that nobody took in time
    bool within;   // the last byte written was within a line
    bool torn;     // the rest of that line was dropped
};

struct keeper {
    const char *hash, *version;
    pid_t envoy;
    int64_t started_ms;
    int signals, listener, client, lock; // descriptors; -1 = none
    char line[KEEPER_LINE_MAX];          // of the client, unfinished
    size_t line_n;
    int fds[FDS_MAX];       // came with the client's bytes, not used yet; -1 = none
    struct pump streams[2]; // stdout, log
    bool attached;          // the client has said so
    int wait_status;
    bool ended;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

// ---- Streams ----

static void pump_drop_line(struct pump *p)
{
    size_t n = 0;
    while (n < p->used && p->ring[(p->head + n) % RING_BYTES] != '\n')
        n++;
    n += n < p->used ? 1 : 0;
    p->head = (p->head + n) % RING_BYTES;
    p->used -= n;
    p->lost++;
    p->torn = p->torn || p->within;
    p->within = false;
}

// False when there is nothing to read now.
static bool pump_read(struct pump *p)
{
    char piece[PIECE_BYTES];
    ssize_t n = p->in < 0 ? 0 : read(p->in, piece, sizeof(piece));
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        close_fd(&p->in);
        return false;
    }
    while (RING_BYTES - p->used < (size_t)n)
        pump_drop_line(p);
    for (ssize_t i = 0; i < n; i++)
        p->ring[(p->head + p->used++) % RING_BYTES] = piece[i];
    return true;
}

static bool pump_has(const struct pump *p)
{
    return p->out >= 0 && (p->used > 0 || p->torn);
}

// Writes without blocking; the descriptor may be anything that somebody calls stdout.
static ssize_t put(int fd, const char *bytes, size_t n)
{
    ssize_t w = send(fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    return w < 0 && errno == ENOTSOCK ? write(fd, bytes, n) : w;
}

// Called when OUT can be written. False when it takes nothing now.
static bool pump_write(struct pump *p)
{
    size_t n = RING_BYTES - p->head < p->used ? RING_BYTES - p->head : p->used;
    n = n < PIECE_BYTES ? n : PIECE_BYTES;
    ssize_t w = p->torn ? put(p->out, "\n", 1) : put(p->out, p->ring + p->head, n);
    if (w < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (w < 0) {
        close_fd(&p->out);
        return false;
    }
    if (p->torn) {
        p->torn = w != 1;
        return true;
    }
    if (w > 0)
        p->within = p->ring[(p->head + (size_t)w - 1) % RING_BYTES] != '\n';
    p->head = (p->head + (size_t)w) % RING_BYTES;
    p->used -= (size_t)w;
    return true;
}

// ---- The client ----

static void drop_client(struct keeper *k)
{
    close_fd(&k->client);
    k->attached = false;
    k->line_n = 0;
    for (int i = 0; i < FDS_MAX; i++)
        close_fd(&k->fds[i]);
    for (int i = 0; i < 2; i++) {
        // What the last one did not take whole, the next one gets from the next line on.
        close_fd(&k->streams[i].out);
        if (k->streams[i].within)
            pump_drop_line(&k->streams[i]);
        k->streams[i].torn = false;
    }
}

static void say(struct keeper *k, const char *text, int n)
{
    if (k->client >= 0 && send(k->client, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) != n)
        drop_client(k);
}

static void attach(struct keeper *k)
{
    char text[KEEPER_LINE_MAX];
    k->attached = true;
    for (int i = 0; i < 2; i++) {
        close_fd(&k->streams[i].out);
        k->streams[i].out = k->fds[i];
        k->fds[i] = -1;
    }
    int n = snprintf(text, sizeof(text),
                     "hello " KEEPER_PROTOCOL " %ld %" PRId64 " %s %s %" PRIu64 " %" PRIu64 "\n",
                     (long)k->envoy, k->started_ms, k->hash, k->version, k->streams[0].lost,
                     k->streams[1].lost);
    say(k, text, n);
}

static void signal_envoy(struct keeper *k, int signum)
{
    if (!k->ended)
        kill(k->envoy, signum);
}

static void obey(struct keeper *k, const char *word)
{
    if (strcmp(word, "attach") == 0)
        attach(k);
    else if (strcmp(word, "term") == 0)
        signal_envoy(k, SIGTERM);
    else if (strcmp(word, "kill") == 0)
        signal_envoy(k, SIGKILL);
}

static void take_fds(struct keeper *k, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd = -1;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (i >= FDS_MAX) {
                close(fd);
                continue;
            }
            close_fd(&k->fds[i]);
            k->fds[i] = fd;
        }
    }
}

static void hear(struct keeper *k)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec io = {k->line + k->line_n, sizeof(k->line) - 1 - k->line_n};
    struct msghdr m = {.msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(k->client, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop_client(k);
        return;
    }
    take_fds(k, &m);
    k->line_n += (size_t)n;
    char *nl = NULL;
    while (k->client >= 0 && (nl = memchr(k->line, '\n', k->line_n)) != NULL) {
        *nl = 0;
        obey(k, k->line);
        if (k->client < 0) // it left while it was answered
            return;
        size_t used = (size_t)(nl - k->line) + 1;
        k->line_n -= used;
        memmove(k->line, nl + 1, k->line_n);
    }
    if (k->line_n == sizeof(k->line) - 1)
        drop_client(k);
}

// The newest client is the only one: an older one belongs to a Solder that is gone.
static void take_client(struct keeper *k)
{
    int fd = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    drop_client(k);
    k->client = fd;
}

// ---- Envoy ----

static void take_signals(struct keeper *k)
{
    struct signalfd_siginfo info;
    while (read(k->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo != SIGCHLD)
            signal_envoy(k, SIGTERM);
    }
    if (!k->ended && waitpid(k->envoy, &k->wait_status, WNOHANG) == k->envoy)
        k->ended = true;
}

// In the child: becomes Envoy.
static _Noreturn void become(char **argv, pid_t parent, int out, int err)
{
    struct rlimit files;
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(126);
    if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    // Every connection takes one.
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    execv(argv[0], argv);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static bool start_envoy(struct keeper *k, char **argv)
{
    int out[2], err[2];
    struct timespec now;
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        return false;
    pid_t self = getpid();
    clock_gettime(CLOCK_REALTIME, &now);
    k->started_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    k->envoy = fork();
    if (k->envoy == 0)
        become(argv, self, out[1], err[1]);
    close(out[1]);
    close(err[1]);
    k->streams[0].in = out[0];
    k->streams[1].in = err[0];
    // Only the reading ends: Envoy's own writes may wait.
    return k->envoy > 0 && fcntl(out[0], F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(err[0], F_SETFL, O_NONBLOCK) == 0;
}

// ---- The loop ----

// One turn; false when nothing happened for TIMEOUT_MS (-1 = wait for ever).
static bool turn(struct keeper *k, int timeout_ms)
{
    struct pollfd p[] = {
        {k->signals, POLLIN, 0},
        {k->listener, POLLIN, 0},
        {k->client, POLLIN, 0},
        {k->streams[0].in, POLLIN, 0},
        {k->streams[1].in, POLLIN, 0},
        {pump_has(&k->streams[0]) ? k->streams[0].out : -1, POLLOUT, 0},
        {pump_has(&k->streams[1]) ? k->streams[1].out : -1, POLLOUT, 0},
    };
    int n = poll(p, SLD_ARRAY_LEN(p), timeout_ms);
    if (n <= 0)
        return n < 0;
    for (int i = 0; i < 2; i++) {
        if (p[3 + i].revents)
            (void)pump_read(&k->streams[i]);
        if (p[5 + i].revents)
            (void)pump_write(&k->streams[i]);
    }
    if (p[2].revents)
        hear(k);
    if (p[1].revents)
        take_client(k);
    if (p[0].revents)
        take_signals(k);
    return true;
}

static void flush(struct keeper *k)
{
    for (int i = 0; i < 2; i++) {
        for (int n = 0; n < FINAL_PIECES && pump_read(&k->streams[i]); n++)
            continue;
        struct pollfd p = {k->streams[i].out, POLLOUT, 0};
        while (pump_has(&k->streams[i]) && poll(&p, 1, FINAL_FLUSH_MS) == 1 &&
               pump_write(&k->streams[i]))
            continue;
        close_fd(&k->streams[i].out);
    }
}

static void tell_end(struct keeper *k)
{
    char text[KEEPER_LINE_MAX];
    int st = k->wait_status;
    int n = snprintf(text, sizeof(text), "exit %d %d %" PRIu64 " %" PRIu64 "\n",
                     WIFEXITED(st) ? WEXITSTATUS(st) : 0, WIFSIGNALED(st) ? WTERMSIG(st) : 0,
                     k->streams[0].lost, k->streams[1].lost);
    say(k, text, n);
}

// ---- Start ----

static int fail(const char *what, const char *path)
{
    dprintf(STDERR_FILENO, "%s %s: %s\n", what, path, strerror(errno));
    return 1;
}

// Nothing of Solder's may live on in Envoy, its listening sockets least of all.
static void close_inherited(void)
{
    if (close_range(3, ~0U, 0) == 0)
        return;
    for (int fd = 3; fd < 65536; fd++)
        close(fd);
}

static void take_over_signals(struct keeper *k)
{
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_SETMASK, &set, NULL);
    k->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

// Listens on PATH, under a lock: two keepers of one directory would run two Envoys.
static int open_socket(struct keeper *k, const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char lock[sizeof(sa.sun_path) + 8];
    if (strlen(path) >= sizeof(sa.sun_path)) {
        errno = ENAMETOOLONG;
        return fail("cannot listen on", path);
    }
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    snprintf(lock, sizeof(lock), "%s.lock", path);
    k->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (k->lock < 0 || flock(k->lock, LOCK_EX | LOCK_NB) != 0)
        return fail("another keeper holds", lock);
    umask(0177);
    k->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (unlink(path) != 0 && errno != ENOENT)
        return fail("cannot remove the dead socket", path);
    if (k->listener < 0 || bind(k->listener, (const struct sockaddr *)&sa, sizeof(sa)) != 0 ||
        listen(k->listener, 4) != 0)
        return fail("cannot listen on", path);
    return 0;
}

static void leave_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

int sld_keeper_main(int argc, char **argv)
{
    static struct keeper k; // half a megabyte of rings
    char path[512];
    if (argc < 5 || strlen(argv[2]) > KEEPER_WORD_MAX || strlen(argv[3]) > KEEPER_WORD_MAX) {
        dprintf(STDERR_FILENO, "usage: keeper RUN-DIR HASH VERSION ENVOY [ARGUMENT...]\n"
                               "Solder starts it; there is no reason to do so by hand.\n");
        return 2;
    }
    k.hash = argv[2];
    k.version = argv[3];
    k.signals = k.listener = k.client = k.lock = -1;
    for (int i = 0; i < 2; i++)
        k.fds[i] = k.streams[i].in = k.streams[i].out = -1;
    close_inherited();
    (void)setsid(); // fails when it leads one already
    prctl(PR_SET_NAME, "solder-keeper");
    mode_t mask = umask(077);
    snprintf(path, sizeof(path), "%s/" KEEPER_SOCKET, argv[1]);
    take_over_signals(&k);
    if (open_socket(&k, path) != 0)
        return 1;
    umask(mask);
    if (!start_envoy(&k, argv + 4))
        return fail("cannot start", argv[4]);
    dprintf(STDOUT_FILENO, "ready\n");
    leave_terminal();
    while (!k.ended)
        (void)turn(&k, -1);
    // An Envoy that ends at once is quicker than the Solder that started it.
    while (!k.attached && turn(&k, FINAL_WAIT_MS))
        continue;
    flush(&k);
    unlink(path); // a Solder that comes now starts a new Envoy
    close_fd(&k.lock);
    tell_end(&k);
    return 0;
}

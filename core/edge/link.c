// The connection to the keeper: its socket, and the pipe that Envoy's log comes through.
#include "edge/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "edge/keeper.h"

enum {
    LOG_LINE_MAX = 8 * 1024, // longer ones come in pieces; our own log lines take 16 KiB
    PIECE_BYTES = 16 * 1024,
    PIECES_PER_TURN = 4, // so that a talkative Envoy leaves time for the rest
    PIECES_AT_END = 64,  // what a pipe holds at most, and more
};

struct edge_link {
    struct sld_loop *loop;
    struct edge_link_events ev;
    int socket, log; // descriptors; -1 = closed
    struct sld_poll *socket_poll, *log_poll;
    struct sld_buf words; // of the keeper, unfinished line
    struct sld_buf line;  // of the log, unfinished
    int keeper_pid;
    unsigned busy; // callbacks going on
    bool closed;   // by the owner
};

static void link_free(struct edge_link *k)
{
    sld_poll_destroy(k->socket_poll);
    sld_poll_destroy(k->log_poll);
    if (k->socket >= 0)
        close(k->socket);
    if (k->log >= 0)
        close(k->log);
    sld_buf_fini(&k->words);
    sld_buf_fini(&k->line);
    sld_xfree(k);
}

void edge_link_close(struct edge_link *k)
{
    if (!k)
        return;
    k->closed = true;
    if (k->busy == 0)
        link_free(k);
}

static void leave(struct edge_link *k)
{
    if (--k->busy == 0 && k->closed)
        link_free(k);
}

// ---- The log ----

static void tell_line(struct edge_link *k)
{
    if (!k->closed && k->line.n > 0)
        k->ev.line(sld_buf_str(&k->line), k->ev.user);
    sld_buf_reset(&k->line);
}

static void take_log(struct edge_link *k, struct sld_str data)
{
    while (data.n > 0) {
        ptrdiff_t nl = sld_str_index(data, '\n');
        size_t n = nl < 0 ? data.n : (size_t)nl;
        size_t room = LOG_LINE_MAX - k->line.n;
        bool ends = nl >= 0 && n <= room;
        n = n < room ? n : room;
        sld_buf_add(&k->line, sld_str_sub(data, 0, n));
        data = sld_str_sub(data, n + (ends ? 1 : 0), data.n);
        if (ends || k->line.n == LOG_LINE_MAX)
            tell_line(k);
    }
}

// Reads PIECES at most.
static void read_log(struct edge_link *k, int pieces)
{
    char piece[PIECE_BYTES];
    while (k->log >= 0 && pieces-- > 0) {
        ssize_t n = read(k->log, piece, sizeof(piece));
        if (n > 0) {
            take_log(k, sld_str_n(piece, (size_t)n));
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else {
            tell_line(k);
            sld_poll_destroy(k->log_poll);
            k->log_poll = NULL;
            close(k->log);
            k->log = -1;
        }
    }
}

static void on_log(void *user)
{
    struct edge_link *k = user;
    k->busy++;
    read_log(k, PIECES_PER_TURN);
    leave(k);
}

// ---- The keeper's words ----

static bool next_u64(struct sld_str *rest, uint64_t *out)
{
    struct sld_str word = SLD_STR_NONE;
    return sld_str_cut(rest, ' ', &word) && sld_str_u64(word, out);
}

// Its last word, or the end of the connection without one.
static void end(struct edge_link *k, const struct edge_end *last)
{
    sld_poll_destroy(k->socket_poll);
    k->socket_poll = NULL;
    read_log(k, PIECES_AT_END);
    tell_line(k);
    if (!k->closed)
        k->ev.ended(last, k->ev.user);
}

// False when K has nothing more to say to us.
static bool hear(struct edge_link *k, struct sld_str line)
{
    struct sld_str word = SLD_STR_NONE;
    uint64_t a = 0, b = 0, lost_out = 0, lost = 0;
    (void)sld_str_cut(&line, ' ', &word);
    if (sld_str_eq(word, SLD_STR("hello"))) {
        struct edge_hello h = {0};
        if (sld_str_cut(&line, ' ', &word) && sld_str_eq(word, SLD_STR(KEEPER_PROTOCOL)) &&
            next_u64(&line, &a) && a <= INT32_MAX && next_u64(&line, &b) && b <= INT64_MAX &&
            sld_str_cut(&line, ' ', &h.hash) && sld_str_cut(&line, ' ', &h.version) &&
            next_u64(&line, &lost_out) && next_u64(&line, &h.lost)) {
            h.pid = (int)a;
            h.started_ms = (int64_t)b;
            k->ev.hello(&h, k->ev.user);
            return !k->closed;
        }
    } else if (sld_str_eq(word, SLD_STR("exit")) && next_u64(&line, &a) && a <= 255 &&
               next_u64(&line, &b) && b <= 255 && next_u64(&line, &lost_out) &&
               next_u64(&line, &lost)) {
        end(k, &(struct edge_end){.status = (int)a, .signum = (int)b, .lost = lost});
        return false;
    }
    SLD_LOG(SLD_WARN, "edge", "keeper_unknown", SLD_KS("word", word));
    end(k, NULL);
    return false;
}

static void on_socket(void *user)
{
    struct edge_link *k = user;
    char piece[KEEPER_LINE_MAX];
    ssize_t n = recv(k->socket, piece, sizeof(piece), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    k->busy++;
    sld_buf_add(&k->words, sld_str_n(piece, n > 0 ? (size_t)n : 0));
    bool more = true;
    ptrdiff_t nl = -1;
    while (more && k->words.n > 0 && (nl = sld_str_index(sld_buf_str(&k->words), '\n')) >= 0) {
        char line[KEEPER_LINE_MAX * 2];
        int len = snprintf(line, sizeof(line), "%.*s", (int)nl, k->words.p);
        sld_buf_consume(&k->words, (size_t)nl + 1);
        more = hear(k, sld_str_n(line, (size_t)len));
    }
    if (more && (n <= 0 || k->words.full))
        end(k, NULL);
    leave(k);
}

// ---- Start ----

// A description of our stdout that writes without blocking and is nobody else's; when that cannot
// be had (a socket), the same one again, or nothing.
static int open_stdout(int fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int out = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (out < 0)
        out = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return out >= 0 ? out : open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static enum sld_rc attach(struct edge_link *k, int stdout_fd, struct sld_err *err)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    char word[] = "attach\n";
    struct iovec io = {word, sizeof(word) - 1};
    struct msghdr m = {.msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    int log[2] = {-1, -1};
    if (pipe2(log, O_CLOEXEC | O_NONBLOCK) != 0)
        return sld_err_errno(err, errno, "no pipe for Envoy's log");
    int fds[2] = {open_stdout(stdout_fd), log[1]};
    k->log = log[0];
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    SLD_INV(c);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(c), fds, sizeof(fds));
    ssize_t n = fds[0] < 0 ? -1 : sendmsg(k->socket, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    int errnum = errno;
    close(log[1]);
    if (fds[0] >= 0)
        close(fds[0]);
    if (n != (ssize_t)io.iov_len)
        return sld_err_errno(err, errnum, "Envoy's keeper cannot be talked to");
    return SLD_OK;
}

static enum sld_rc connect_to(struct edge_link *k, const char *path, struct sld_err *err)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    SLD_PRE(strlen(path) < sizeof(sa.sun_path));
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    k->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (k->socket < 0)
        return sld_err_errno(err, errno, "no socket for Envoy's keeper");
    if (connect(k->socket, (const struct sockaddr *)&sa, sizeof(sa)) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return sld_err_set(err, SLD_NOT_FOUND, "no keeper listens on %s", path);
        return sld_err_errno(err, errno, "cannot connect to the keeper on %s", path);
    }
    if (getsockopt(k->socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
        k->keeper_pid = peer.pid;
    return SLD_OK;
}

enum sld_rc edge_link_open(struct sld_loop *l, const char *path, int stdout_fd,
                           const struct edge_link_events *events, struct edge_link **out,
                           struct sld_err *err)
{
    struct edge_link *k = SLD_NEW(struct edge_link);
    k->loop = l;
    k->ev = *events;
    k->socket = k->log = -1;
    sld_buf_init(&k->words, (size_t)KEEPER_LINE_MAX * 2);
    sld_buf_init(&k->line, LOG_LINE_MAX);
    enum sld_rc rc = connect_to(k, path, err);
    if (rc == SLD_OK)
        rc = attach(k, stdout_fd, err);
    if (rc != SLD_OK) {
        link_free(k);
        return rc;
    }
    k->socket_poll = sld_poll_create(l, k->socket, on_socket, k);
    k->log_poll = sld_poll_create(l, k->log, on_log, k);
    *out = k;
    return SLD_OK;
}

int edge_link_keeper_pid(const struct edge_link *k)
{
    return k->keeper_pid;
}

void edge_link_say(struct edge_link *k, const char *word)
{
    char line[32];
    int n = snprintf(line, sizeof(line), "%s\n", word);
    // A keeper that does not take a word is one that hangs; the deadline of the caller deals with
    // it.
    (void)!send(k->socket, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// Addresses servers listen on, and unix sockets that a second server cannot steal.
#include "net/address.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOST_MAX_BYTES = 256 };

static enum sld_rc parse_unix(struct sld_str path, struct sld_net_address *out,
                              struct sld_err *err)
{
    if (path.n == 0 || path.n >= sizeof(out->path))
        return sld_err_set(err, SLD_INVALID, "unix socket path must have 1 to %zu bytes: %.*s",
                           sizeof(out->path) - 1, SLD_FMT(path));
    if (memchr(path.p, 0, path.n))
        return sld_err_set(err, SLD_INVALID, "unix socket path has a NUL byte");
    out->is_unix = true;
    memcpy(out->path, path.p, path.n);
    out->path[path.n] = 0;
    return SLD_OK;
}

static enum sld_rc split_host(struct sld_str s, struct sld_str *host, struct sld_str *port)
{
    if (s.n > 0 && s.p[0] == '[') {
        ptrdiff_t end = sld_str_index(s, ']');
        if (end < 0 || (size_t)end + 1 >= s.n || s.p[end + 1] != ':')
            return SLD_INVALID;
        *host = sld_str_sub(s, 1, (size_t)end - 1);
        *port = sld_str_sub(s, (size_t)end + 2, s.n);
        return SLD_OK;
    }
    ptrdiff_t colon = sld_str_index(s, ':');
    if (colon < 0)
        return SLD_INVALID;
    *host = sld_str_sub(s, 0, (size_t)colon);
    *port = sld_str_sub(s, (size_t)colon + 1, s.n);
    return SLD_OK;
}

enum sld_rc sld_net_address_parse(struct sld_str s, struct sld_net_address *out,
                                  struct sld_err *err)
{
    memset(out, 0, sizeof(*out));
    if (sld_str_starts(s, SLD_STR("unix:")))
        return parse_unix(sld_str_sub(s, 5, s.n), out, err);
    struct sld_str host = SLD_STR_NONE;
    struct sld_str port = SLD_STR_NONE;
    uint64_t number = 0;
    char host_c[HOST_MAX_BYTES];
    char port_c[8];
    if (split_host(s, &host, &port) != SLD_OK || host.n >= sizeof(host_c) ||
        !sld_str_u64(port, &number) || number > UINT16_MAX)
        return sld_err_set(err, SLD_INVALID, "not an address (host:port or unix:/path): %.*s",
                           SLD_FMT(s));
    snprintf(host_c, sizeof(host_c), "%.*s", SLD_FMT(host));
    snprintf(port_c, sizeof(port_c), "%u", (unsigned)number);
    const struct addrinfo hints = {.ai_family = host.n ? AF_UNSPEC : AF_INET6,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host.n ? host_c : NULL, port_c, &hints, &list);
    if (rc != 0)
        return sld_err_set(err, SLD_INVALID, "%s: %s", host_c, gai_strerror(rc));
    memcpy(&out->sa, list->ai_addr, list->ai_addrlen);
    out->sa_len = list->ai_addrlen;
    freeaddrinfo(list);
    sld_net_address_text((const struct sockaddr *)&out->sa, out->text, sizeof(out->text));
    return SLD_OK;
}

bool sld_net_address_local(const struct sld_net_address *a)
{
    if (a->is_unix)
        return true;
    if (a->sa.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == 127);
}

void sld_net_address_text(const struct sockaddr *sa, char *out, size_t size)
{
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    socklen_t len = sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                              : sizeof(struct sockaddr_in);
    if ((sa->sa_family != AF_INET && sa->sa_family != AF_INET6) ||
        getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(out, size, "unix");
    else
        snprintf(out, size, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

enum sld_rc sld_net_bind_error(struct sld_err *err, int errnum, const char *what)
{
    enum sld_rc rc = errnum == EADDRINUSE                       ? SLD_CONFLICT
                     : errnum == EACCES || errnum == EPERM      ? SLD_DENIED
                     : errnum == EADDRNOTAVAIL                  ? SLD_INVALID
                                                                : SLD_IO;
    const char *why = rc == SLD_CONFLICT ? "the address is in use" : strerror(errnum);
    return sld_err_set(err, rc, "cannot listen on %s: %s", what, why);
}

enum sld_rc sld_net_probe(const struct sld_net_address *a, struct sld_err *err)
{
    int on = 1;
    int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sld_net_bind_error(err, errno, a->text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int rc = bind(fd, (const struct sockaddr *)&a->sa, a->sa_len);
    // Two sockets with SO_REUSEADDR may share an address until one of them listens.
    if (rc == 0)
        rc = listen(fd, 1);
    int errnum = errno;
    close(fd);
    return rc == 0 ? SLD_OK : sld_net_bind_error(err, errnum, a->text);
}

// ---- Unix sockets ----

// Opens and locks the lock file, and makes sure that it is still the one in the directory.
static enum sld_rc take_lock(struct sld_unix_claim *c, struct sld_err *err)
{
    for (;;) {
        struct stat by_fd = {0};
        struct stat by_name = {0};
        int fd = open(c->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return sld_err_errno(err, errno, "cannot open %s", c->lock_path);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            close(fd);
            return sld_err_set(err, SLD_CONFLICT, "cannot listen on unix:%s: another process does",
                               c->path);
        }
        if (fstat(fd, &by_fd) == 0 && stat(c->lock_path, &by_name) == 0 &&
            by_fd.st_dev == by_name.st_dev && by_fd.st_ino == by_name.st_ino) {
            c->lock_fd = fd;
            return SLD_OK;
        }
        close(fd); // its owner removed it between our open and our lock
    }
}

// Whether some process accepts connections on PATH.
static bool answers(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    // EAGAIN is a full backlog: alive all the same.
    bool alive = connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 || errno == EAGAIN;
    close(fd);
    return alive;
}

enum sld_rc sld_unix_claim_take(struct sld_unix_claim *c, const char *path, struct sld_err *err)
{
    struct stat st = {0};
    c->lock_fd = -1;
    snprintf(c->path, sizeof(c->path), "%s", path);
    snprintf(c->lock_path, sizeof(c->lock_path), "%s.lock", path);
    enum sld_rc rc = take_lock(c, err);
    if (rc != SLD_OK)
        return rc;
    if (lstat(path, &st) != 0) {
        if (errno == ENOENT)
            return SLD_OK;
        rc = sld_err_errno(err, errno, "cannot look at %s", path);
    } else if (!S_ISSOCK(st.st_mode)) {
        rc = sld_err_set(err, SLD_CONFLICT, "%s exists and is not a socket", path);
    } else if (answers(path)) {
        rc = sld_err_set(err, SLD_CONFLICT, "cannot listen on unix:%s: another process does", path);
    } else if (unlink(path) != 0 && errno != ENOENT) {
        rc = sld_err_errno(err, errno, "cannot remove the dead socket %s", path);
    }
    if (rc != SLD_OK) {
        unlink(c->lock_path);
        close(c->lock_fd);
        c->lock_fd = -1;
    }
    return rc;
}

void sld_unix_claim_release(struct sld_unix_claim *c)
{
    if (!c || c->lock_fd < 0)
        return;
    unlink(c->path);
    unlink(c->lock_path); // before the lock goes, see take_lock
    close(c->lock_fd);
    c->lock_fd = -1;
}

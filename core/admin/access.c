// Who may talk to the admin API: which addresses may be listened on, and which Host headers answered.
#include "admin/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "codec/text.h"
#include "net/address.h"

// ---- Addresses ----

// "[::1]:80" to "::1"; "127.0.0.1:80" to "127.0.0.1"; ":80" to "".
static struct sld_str host_of(struct sld_str address)
{
    size_t n = address.n;
    if (n && address.p[0] == '[') {
        ptrdiff_t end = sld_str_index(address, ']');
        return end > 0 ? sld_str_sub(address, 1, (size_t)end - 1) : SLD_STR("");
    }
    while (n && address.p[n - 1] != ':')
        n--;
    // Without a port; a bare IPv6 address has several colons and is no host with a port either.
    if (!n || sld_str_index(address, ':') != (ptrdiff_t)n - 1)
        return address;
    return sld_str_sub(address, 0, n - 1);
}

enum sld_rc access_address(struct sld_str address, struct listener *out, struct sld_err *err)
{
    struct sld_net_address a;
    enum sld_rc rc = sld_net_address_parse(address, &a, err);
    if (rc != SLD_OK)
        return rc;
    out->is_unix = a.is_unix;
    out->host = out->is_unix ? SLD_STR("") : host_of(address);
    out->loopback = !a.is_unix && sld_net_address_local(&a);
    return SLD_OK;
}

// Names of this machine that no page of another one can have.
static bool is_own_name(struct sld_str host)
{
    bool v6 = false;
    if (sld_str_ieq(host, SLD_STR("localhost")) || sld_str_eq(host, SLD_STR("::1")))
        return true;
    return sld_is_ip(host, &v6) && !v6 && sld_str_starts(host, SLD_STR("127."));
}

// A page in a browser can have its own host name resolve to this machine; its requests then carry
// that name. A listener beyond loopback has certificates or a token against that.
bool access_host(const struct listener *l, struct sld_str host)
{
    if (!l->loopback || !host.p)
        return true;
    host = host_of(host);
    return is_own_name(host) || sld_str_ieq(host, l->host);
}

// ---- Files ----

enum sld_rc access_read_file(struct sld_arena *a, struct sld_str path, size_t max,
                             struct sld_str *out, struct sld_err *err)
{
    const char *name = sld_arena_cstr(a, path);
    char *bytes = sld_arena_alloc(a, max + 1);
    size_t n = 0;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return sld_err_errno(err, errno, "cannot read %s", name);
    ssize_t got = 0;
    while (n <= max && (got = read(fd, bytes + n, max + 1 - n)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        n += (size_t)got;
    }
    int failed = got < 0 ? errno : 0;
    close(fd);
    if (failed)
        return sld_err_errno(err, failed, "cannot read %s", name);
    if (n > max)
        return sld_err_set(err, SLD_LIMIT, "%s is larger than %zu KiB", name, max / 1024);
    *out = (struct sld_str){bytes, n};
    return SLD_OK;
}

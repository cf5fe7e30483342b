// The reactor of a loop.
#include "plugin/reactor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "loop/loop.h"

enum { HTTP_PER_HOST = 64, SERVERS_MAX = 8, SERVER_MAX_BYTES = 256 };

// Of DNS.
struct server {
    struct sld_dns *dns; // NULL: free
    char name[SERVER_MAX_BYTES];
    unsigned asked; // what it has not told yet
    uint64_t used;  // which of the reactor's look-ups was its last one
};

struct real {
    struct sld_reactor reactor; // first
    struct sld_loop *loop;
    struct sld_http_client *http; // NULL: nobody asked yet
    struct server system, servers[SERVERS_MAX];
    uint64_t lookups; // so far
};

static uint64_t mono_ms(void *user)
{
    (void)user;
    return sld_mono_ns() / 1000000;
}

static int64_t wall_ms(void *user)
{
    (void)user;
    return sld_wall_ms();
}

static uint64_t pause_ms(void *user, unsigned failures, uint64_t least, uint64_t most)
{
    (void)user;
    return sld_backoff(failures, least, most);
}

static void *timer(void *user, uint64_t delay_ms, void (*fn)(void *arg), void *arg)
{
    struct real *r = user;
    struct sld_timer *t = sld_timer_create(r->loop, fn, arg);
    sld_timer_start(t, delay_ms);
    return t;
}

static void timer_end(void *user, void *t)
{
    (void)user;
    sld_timer_destroy(t);
}

struct http {
    struct sld_http_pending *pending; // NULL: it is over
    sld_http_done *done;
    void *arg;
};

static void on_answer(const struct sld_http_answer *a, void *user)
{
    struct http *h = user;
    h->pending = NULL;
    h->done(a, h->arg);
}

static void *http(void *user, const struct sld_http_call *call, sld_http_done *done, void *arg)
{
    struct real *r = user;
    struct http *h = SLD_NEW(struct http);
    if (!r->http)
        r->http = sld_http_client_create(r->loop, HTTP_PER_HOST);
    *h = (struct http){.done = done, .arg = arg};
    h->pending = sld_http_start(r->http, call, on_answer, h);
    return h;
}

static void http_end(void *user, void *call)
{
    struct http *h = call;
    (void)user;
    sld_http_cancel(h->pending);
    sld_xfree(h);
}

static void *stream(void *user, const struct sld_http_call *call, void (*news)(void *arg), void *arg)
{
    struct real *r = user;
    if (!r->http)
        r->http = sld_http_client_create(r->loop, HTTP_PER_HOST);
    return sld_http_stream_open(r->http, call, news, arg);
}

static struct sld_http_stream_state stream_look(void *user, void *s)
{
    (void)user;
    return sld_http_stream_look(s);
}

static void stream_take(void *user, void *s, size_t n)
{
    (void)user;
    sld_http_stream_take(s, n);
}

static void stream_end(void *user, void *s)
{
    (void)user;
    sld_http_stream_close(s);
}

// ---- DNS ----

struct dns {
    struct sld_dns_lookup *lookup; // NULL: it is over
    struct server *by;
    sld_dns_done *done;
    void *arg;
};

static void on_dns(void *user, const struct sld_dns_answer *a)
{
    struct dns *d = user;
    struct server *by = d->by;
    d->lookup = NULL;
    d->done(d->arg, a); // lets go of D, and may ask others: BY is at work until it is back
    by->asked--;
}

// The place of server NAME ("": the system's): its own, or else that of the one that was not asked for longest and has nothing to
// tell; NULL: each has.
static struct server *place_of(struct real *r, struct sld_str name)
{
    struct server *best = NULL;
    if (!name.n)
        return &r->system;
    for (size_t i = 0; i < SERVERS_MAX; i++) {
        struct server *s = &r->servers[i];
        if (s->dns && sld_str_eq(sld_str_c(s->name), name))
            return s;
        if (!s->asked && (!best || s->used < best->used))
            best = s;
    }
    return best;
}

// Who asks server NAME, made when there is none yet.
static struct server *asker(struct real *r, struct sld_str name, struct sld_err *err)
{
    struct server *s = place_of(r, name);
    struct sld_dns *made = NULL;
    if (s && s->dns && sld_str_eq(sld_str_c(s->name), name))
        return s;
    if (!s) {
        sld_err_set(err, SLD_LIMIT, "plugins wait for %d DNS servers already", SERVERS_MAX);
        return NULL;
    }
    if (name.n ? sld_dns_create(r->loop, name, &made, err) : sld_dns_create_system(r->loop, &made, err))
        return NULL;
    sld_dns_destroy(s->dns);
    *s = (struct server){.dns = made};
    snprintf(s->name, sizeof(s->name), "%.*s", SLD_FMT(name));
    return s;
}

static void *dns(void *user, struct sld_str server, enum sld_dns_type type, struct sld_str name, sld_dns_done *done, void *arg,
                 struct sld_err *err)
{
    struct real *r = user;
    struct server *by = asker(r, server.p ? server : SLD_STR(""), err);
    if (!by)
        return NULL;
    struct dns *d = SLD_NEW(struct dns);
    *d = (struct dns){.by = by, .done = done, .arg = arg};
    by->asked++;
    by->used = ++r->lookups;
    d->lookup = sld_dns_ask(by->dns, type, name, on_dns, d);
    return d;
}

static void dns_end(void *user, void *question)
{
    struct dns *d = question;
    (void)user;
    if (d->lookup)
        d->by->asked--;
    sld_dns_cancel(d->lookup);
    sld_xfree(d);
}

// ---- Files ----

static size_t read_all(int fd, char *to, size_t max)
{
    size_t n = 0;
    for (ssize_t got; n < max && (got = read(fd, to + n, max - n)) > 0;)
        n += (size_t)got;
    return n;
}

static enum sld_rc file(void *user, const char *path, char *to, size_t max, size_t *n, struct sld_hash *stamp, struct sld_err *err)
{
    struct stat st;
    (void)user;
    *stamp = (struct sld_hash){0};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return sld_err_set(err, SLD_NOT_FOUND, "there is no file %s", path);
    if (fd < 0)
        return sld_err_errno(err, errno, "%s cannot be read", path);
    enum sld_rc rc = SLD_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        rc = sld_err_set(err, SLD_INVALID, "%s is not a plain file", path);
    } else {
        uint64_t of[] = {(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
                         (uint64_t)st.st_mtim.tv_nsec};
        *stamp = sld_hash_bytes(sld_str_n((const char *)of, sizeof(of)));
        size_t got = read_all(fd, to, max);
        *n = got < max ? got : (size_t)st.st_size;
    }
    close(fd);
    return rc;
}

static const struct sld_reactor_ops ops = {.mono_ms = mono_ms,
                                           .wall_ms = wall_ms,
                                           .pause = pause_ms,
                                           .timer = timer,
                                           .timer_end = timer_end,
                                           .http = http,
                                           .http_end = http_end,
                                           .stream = stream,
                                           .stream_look = stream_look,
                                           .stream_take = stream_take,
                                           .stream_end = stream_end,
                                           .dns = dns,
                                           .dns_end = dns_end,
                                           .file = file};

struct sld_reactor *sld_reactor_create(struct sld_loop *l)
{
    sld_loop_assert_owner(l);
    struct real *r = SLD_NEW(struct real);
    r->reactor = (struct sld_reactor){&ops, r};
    r->loop = l;
    return &r->reactor;
}

void sld_reactor_destroy(struct sld_reactor *r)
{
    if (!r)
        return;
    struct real *own = (struct real *)r;
    sld_http_client_destroy(own->http);
    sld_dns_destroy(own->system.dns);
    for (size_t i = 0; i < SERVERS_MAX; i++)
        sld_dns_destroy(own->servers[i].dns);
    sld_xfree(r);
}

// Names to addresses: c-ares on libuv.
//
//   c-ares --(watch this socket / wake me in n ms)--> uv_poll_t, sld_timer
//          --(names)--> done
//
// Two channels: one asks the server over TCP; the other, the system's, finds the server when that
// is a name itself.
#include "net/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { TIMEOUT_MS = 2000, TRIES = 2, PORT_DEFAULT = 53, SERVER_MAX_BYTES = 255, MESSAGE_MAX_BYTES = UINT16_MAX };

struct channel {
    struct sld_dns *dns;
    ares_channel ares;
    struct sld_list sockets;
    struct sld_timer *timer;
};

struct socket {
    struct sld_list link;
    uv_poll_t poll;
    struct channel *channel;
    ares_socket_t fd;
};

enum server_state { SERVER_KNOWN, SERVER_UNKNOWN, SERVER_SOUGHT };

struct sld_dns {
    struct sld_loop *loop;
    struct channel own, system;
    enum server_state server;
    char host[SERVER_MAX_BYTES + 1];
    unsigned port;
    char shown[SERVER_MAX_BYTES + 40]; // "the DNS server host:port"
    struct sld_list lookups;
    bool ended;
};

struct sld_dns_lookup {
    struct sld_list link;
    struct sld_dns *dns;
    struct sld_timer *soon; // runs until c-ares is asked, or to tell what it answered at once
    sld_dns_done *done;     // NULL: cancelled
    void *user;
    struct sld_arena arena;
    const char *name;
    enum sld_dns_type type;
    struct sld_str *addresses;
    size_t count;
    struct sld_dns_record *records;
    size_t record_count;
    struct sld_err err;
    bool asked, answered;
};

// ---- Sockets and time ----

static void wake(struct channel *c)
{
    struct timeval tv, *next = ares_timeout(c->ares, NULL, &tv);
    if (next)
        sld_timer_start(c->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
    else
        sld_timer_stop(c->timer);
}

static void on_timer(void *user)
{
    struct channel *c = user;
    ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    wake(c);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    struct socket *s = p->data;
    struct channel *c = s->channel;
    bool read = status < 0 || (events & UV_READABLE), write = status < 0 || (events & UV_WRITABLE);
    ares_process_fd(c->ares, read ? s->fd : ARES_SOCKET_BAD, write ? s->fd : ARES_SOCKET_BAD);
    wake(c);
}

static void on_closed(uv_handle_t *h)
{
    sld_xfree(h->data);
}

static void on_socket(void *user, ares_socket_t fd, int readable, int writable)
{
    struct channel *c = user;
    struct socket *s = NULL;
    SLD_LIST_EACH (it, &c->sockets) {
        struct socket *at = SLD_CONTAINER_OF(it, struct socket, link);
        if (at->fd == fd)
            s = at;
    }
    if (!readable && !writable) {
        if (s) {
            sld_list_remove(&s->link);
            uv_poll_stop(&s->poll); // at once: the socket is closed next
            uv_close((uv_handle_t *)&s->poll, on_closed);
        }
        return;
    }
    if (!s) {
        s = SLD_NEW(struct socket);
        s->channel = c;
        s->fd = fd;
        s->poll.data = s;
        int rc = uv_poll_init_socket(sld_loop_uv(c->dns->loop), &s->poll, fd);
        SLD_INV(rc == 0);
        sld_list_push(&c->sockets, &s->link);
    }
    uv_poll_start(&s->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_poll);
}

static enum sld_rc channel_init(struct sld_dns *d, struct channel *c, int flags, char *lookups,
                                struct sld_err *err)
{
    struct ares_options o = {.timeout = TIMEOUT_MS,
                             .tries = TRIES,
                             .flags = flags,
                             .lookups = lookups,
                             .sock_state_cb = on_socket,
                             .sock_state_cb_data = c};
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_FLAGS | ARES_OPT_LOOKUPS |
               ARES_OPT_SOCK_STATE_CB;
    c->dns = d;
    sld_list_init(&c->sockets);
    int rc = ares_init_options(&c->ares, &o, mask);
    if (rc != ARES_SUCCESS)
        return sld_err_set(err, SLD_IO, "the resolver cannot be set up: %s", ares_strerror(rc));
    c->timer = sld_timer_create(d->loop, on_timer, c);
    return SLD_OK;
}

// ---- Look-ups ----

static void forget(struct sld_dns_lookup *l)
{
    sld_list_remove(&l->link);
    sld_timer_destroy(l->soon);
    sld_arena_fini(&l->arena);
    sld_xfree(l);
}

static int by_text(const void *a, const void *b)
{
    return sld_str_cmp(*(const struct sld_str *)a, *(const struct sld_str *)b);
}

static void keep_addresses(struct sld_dns_lookup *l, const struct ares_addrinfo *info)
{
    for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
        char text[INET6_ADDRSTRLEN];
        const void *bin =
            n->ai_family == AF_INET6
                ? (const void *)&((const struct sockaddr_in6 *)(const void *)n->ai_addr)->sin6_addr
                : &((const struct sockaddr_in *)(const void *)n->ai_addr)->sin_addr;
        if (l->count < SLD_DNS_ADDRESSES_MAX && inet_ntop(n->ai_family, bin, text, sizeof(text)))
            SLD_PUSH(&l->arena, l->addresses, l->count, sld_arena_str(&l->arena, sld_str_c(text)));
    }
    if (!l->count)
        return;
    qsort(l->addresses, l->count, sizeof(*l->addresses), by_text);
    size_t kept = 1;
    for (size_t i = 1; i < l->count; i++) {
        if (!sld_str_eq(l->addresses[i], l->addresses[kept - 1]))
            l->addresses[kept++] = l->addresses[i];
    }
    l->count = kept;
}

static void failed(struct sld_dns_lookup *l, int status)
{
    bool absent = status == ARES_ENOTFOUND || status == ARES_ENODATA; // an answer that cannot be read tells of nothing
    static const char *const what[] = {"address", "A record", "AAAA record", "SRV record", "TXT record"};
    const struct sld_dns *d = l->dns;
    if (absent)
        sld_err_set(&l->err, SLD_NOT_FOUND, "%s knows no %s of %s", d->shown, what[l->type], l->name);
    else
        sld_err_set(&l->err, SLD_IO, "%s cannot be asked for %s: %s", d->shown, l->name, ares_strerror(status));
}

// It may be told now, or is nobody's business any more.
static void answered(struct sld_dns_lookup *l, int status)
{
    if (!l->done || l->dns->ended) {
        forget(l);
        return;
    }
    if (!l->count && !l->record_count)
        failed(l, status);
    l->answered = true;
    sld_timer_start(l->soon, 0);
}

// May come while the question is put; it is told in the next turn of the loop.
static void on_answer(void *user, int status, int timeouts, struct ares_addrinfo *info)
{
    struct sld_dns_lookup *l = user;
    (void)timeouts;
    if (info && status == ARES_SUCCESS)
        keep_addresses(l, info);
    if (info)
        ares_freeaddrinfo(info);
    answered(l, status == ARES_SUCCESS && !l->count ? ARES_ENODATA : status);
}

// ---- Records ----

static int by_rank(const void *a, const void *b)
{
    const struct sld_dns_record *x = a, *y = b;
    int c = (x->priority > y->priority) - (x->priority < y->priority);
    if (!c)
        c = (x->weight < y->weight) - (x->weight > y->weight);
    if (!c)
        c = sld_str_cmp(x->text, y->text);
    return c ? c : (x->port > y->port) - (x->port < y->port);
}

// What became of reading an answer; one that is well may have other records alone.
static int read_well(const struct sld_dns_lookup *l, int rc)
{
    return rc == ARES_SUCCESS && !l->record_count ? ARES_ENODATA : rc;
}

static int keep_services(struct sld_dns_lookup *l, const unsigned char *bytes, int n)
{
    struct ares_srv_reply *list = NULL;
    int rc = ares_parse_srv_reply(bytes, n, &list);
    for (const struct ares_srv_reply *r = list; r && l->record_count < SLD_DNS_ADDRESSES_MAX; r = r->next) {
        struct sld_dns_record rec = {sld_arena_str(&l->arena, sld_str_c(r->host)), r->priority, r->weight, r->port};
        SLD_PUSH(&l->arena, l->records, l->record_count, rec);
    }
    ares_free_data(list);
    return read_well(l, rc);
}

// A text comes in pieces of at most 255 bytes: tens of thousands of them, of one byte each, if the server likes.
static int keep_texts(struct sld_dns_lookup *l, const unsigned char *bytes, int n)
{
    struct ares_txt_ext *list = NULL;
    struct sld_buf text;
    int rc = ares_parse_txt_reply_ext(bytes, n, &list);
    sld_buf_init(&text, MESSAGE_MAX_BYTES);
    for (const struct ares_txt_ext *r = list; r && l->record_count < SLD_DNS_ADDRESSES_MAX; r = r->next) {
        sld_buf_add(&text, sld_str_n((const char *)r->txt, r->length));
        if (r->next && !r->next->record_start)
            continue;
        struct sld_dns_record rec = {.text = sld_arena_str(&l->arena, sld_buf_str(&text))};
        SLD_PUSH(&l->arena, l->records, l->record_count, rec);
        sld_buf_reset(&text);
    }
    sld_buf_fini(&text);
    ares_free_data(list);
    return read_well(l, rc);
}

static void on_records(void *user, int status, int timeouts, unsigned char *bytes, int n)
{
    struct sld_dns_lookup *l = user;
    (void)timeouts;
    if (status == ARES_SUCCESS)
        status = l->type == SLD_DNS_SRV ? keep_services(l, bytes, n) : keep_texts(l, bytes, n);
    if (l->record_count)
        qsort(l->records, l->record_count, sizeof(*l->records), by_rank);
    answered(l, status);
}

static void ask(struct sld_dns_lookup *l)
{
    enum { CLASS_IN = 1, TYPE_TXT = 16, TYPE_SRV = 33 };
    struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    l->asked = true;
    if (l->type == SLD_DNS_A || l->type == SLD_DNS_AAAA)
        hints.ai_family = l->type == SLD_DNS_A ? AF_INET : AF_INET6;
    if (l->type == SLD_DNS_SRV || l->type == SLD_DNS_TXT)
        ares_query(l->dns->own.ares, l->name, CLASS_IN, l->type == SLD_DNS_SRV ? TYPE_SRV : TYPE_TXT, on_records, l);
    else
        ares_getaddrinfo(l->dns->own.ares, l->name, NULL, &hints, on_answer, l);
    wake(&l->dns->own);
}

static void tell(struct sld_dns_lookup *l)
{
    struct sld_dns_answer a = {l->err.rc ? &l->err : NULL, l->addresses, l->count, l->records, l->record_count};
    sld_dns_done *done = l->done;
    if (done)
        done(l->user, &a);
    forget(l);
}

// ---- The server ----

static bool server_set(struct sld_dns *d, const char *address)
{
    char csv[INET6_ADDRSTRLEN + 16];
    snprintf(csv, sizeof(csv), strchr(address, ':') ? "[%s]:%u" : "%s:%u", address, d->port);
    return ares_set_servers_ports_csv(d->own.ares, csv) == ARES_SUCCESS;
}

static void on_server(void *user, int status, int timeouts, struct ares_addrinfo *info)
{
    struct sld_dns *d = user;
    struct sld_dns_lookup found = {.dns = d};
    (void)timeouts;
    if (info && status == ARES_SUCCESS)
        keep_addresses(&found, info);
    if (info)
        ares_freeaddrinfo(info);
    if (d->ended) {
        sld_arena_fini(&found.arena);
        return;
    }
    bool ok = found.count && server_set(d, sld_arena_cstr(&found.arena, found.addresses[0]));
    // Found again the next time: it may move.
    d->server = SERVER_UNKNOWN;
    SLD_LIST_EACH (it, &d->lookups) {
        struct sld_dns_lookup *l = SLD_CONTAINER_OF(it, struct sld_dns_lookup, link);
        if (l->asked || l->answered)
            continue;
        if (ok) {
            ask(l);
            continue;
        }
        sld_err_set(&l->err, SLD_IO, "the DNS server %s is not found by the system's resolver: %s",
                    d->host, ares_strerror(status));
        l->answered = true;
        sld_timer_start(l->soon, 0);
    }
    sld_arena_fini(&found.arena);
}

static void seek_server(struct sld_dns *d)
{
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    d->server = SERVER_SOUGHT;
    ares_getaddrinfo(d->system.ares, d->host, NULL, &hints, on_server, d);
    wake(&d->system);
}

static void on_soon(void *user)
{
    struct sld_dns_lookup *l = user;
    if (l->answered)
        tell(l);
    else if (l->dns->server == SERVER_KNOWN)
        ask(l);
    else if (l->dns->server == SERVER_UNKNOWN)
        seek_server(l->dns);
}

struct sld_dns_lookup *sld_dns_lookup(struct sld_dns *d, struct sld_str name, sld_dns_done *done, void *user)
{
    return sld_dns_ask(d, SLD_DNS_ADDRESSES, name, done, user);
}

struct sld_dns_lookup *sld_dns_ask(struct sld_dns *d, enum sld_dns_type type, struct sld_str name, sld_dns_done *done, void *user)
{
    sld_loop_assert_owner(d->loop);
    struct sld_dns_lookup *l = SLD_NEW(struct sld_dns_lookup);
    l->type = type;
    l->dns = d;
    l->done = done;
    l->user = user;
    l->name = sld_arena_cstr(&l->arena, name);
    l->soon = sld_timer_create(d->loop, on_soon, l);
    sld_list_push(&d->lookups, &l->link);
    sld_timer_start(l->soon, 0);
    return l;
}

void sld_dns_cancel(struct sld_dns_lookup *l)
{
    if (!l)
        return;
    l->done = NULL;
    if (!l->asked || l->answered)
        forget(l); // else when c-ares lets go of it
}

// "host:port", "[v6]:port", "host".
static bool server_parse(struct sld_dns *d, struct sld_str s)
{
    struct sld_str host = s, port = SLD_STR_NONE;
    bool bracket = sld_str_starts(s, SLD_STR("["));
    ptrdiff_t end = bracket ? sld_str_index(s, ']') : sld_str_index(s, ':');
    if (bracket) {
        if (end < 0)
            return false;
        host = sld_str_sub(s, 1, (size_t)end - 1);
        port = sld_str_sub(s, (size_t)end + 1, s.n);
    } else if (end >= 0) {
        host = sld_str_sub(s, 0, (size_t)end);
        port = sld_str_sub(s, (size_t)end, s.n);
    }
    uint64_t n = PORT_DEFAULT;
    if (port.n && (port.p[0] != ':' || !sld_str_u64(sld_str_sub(port, 1, port.n), &n)))
        return false;
    if (!host.n || host.n > SERVER_MAX_BYTES || n == 0 || n > UINT16_MAX)
        return false;
    snprintf(d->host, sizeof(d->host), "%.*s", SLD_FMT(host));
    d->port = (unsigned)n;
    snprintf(d->shown, sizeof(d->shown), "the DNS server %s:%u", d->host, d->port);
    return true;
}

static struct sld_dns *new_dns(struct sld_loop *io)
{
    struct sld_dns *d = SLD_NEW(struct sld_dns);
    d->loop = io;
    sld_list_init(&d->lookups);
    sld_list_init(&d->own.sockets);
    sld_list_init(&d->system.sockets);
    return d;
}

enum sld_rc sld_dns_create_system(struct sld_loop *io, struct sld_dns **out, struct sld_err *err)
{
    sld_loop_assert_owner(io);
    char by_file_and_dns[] = "fb";
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        return sld_err_set(err, SLD_IO, "the resolver cannot be set up");
    struct sld_dns *d = new_dns(io);
    snprintf(d->shown, sizeof(d->shown), "the system's resolver");
    enum sld_rc rc = channel_init(d, &d->own, 0, by_file_and_dns, err);
    if (rc)
        sld_dns_destroy(d);
    else
        *out = d;
    return rc;
}

enum sld_rc sld_dns_create(struct sld_loop *io, struct sld_str server, struct sld_dns **out,
                           struct sld_err *err)
{
    sld_loop_assert_owner(io);
    char by_dns[] = "b", by_file_and_dns[] = "fb";
    unsigned char bin[sizeof(struct in6_addr)];
    struct sld_dns *d = new_dns(io);
    enum sld_rc rc = SLD_OK;
    if (!server_parse(d, server))
        rc = sld_err_set(err, SLD_INVALID, "\"%.*s\" is not HOST:PORT", SLD_FMT(server));
    else if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        rc = sld_err_set(err, SLD_IO, "the resolver cannot be set up");
    if (rc) {
        sld_xfree(d);
        return rc;
    }
    rc = channel_init(d, &d->own, ARES_FLAG_USEVC | ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES,
                      by_dns, err);
    if (!rc)
        rc = channel_init(d, &d->system, 0, by_file_and_dns, err);
    bool is_address =
        inet_pton(AF_INET, d->host, bin) == 1 || inet_pton(AF_INET6, d->host, bin) == 1;
    d->server = is_address ? SERVER_KNOWN : SERVER_UNKNOWN;
    if (!rc && is_address && !server_set(d, d->host))
        rc = sld_err_set(err, SLD_INVALID, "\"%.*s\" is not HOST:PORT", SLD_FMT(server));
    if (rc) {
        sld_dns_destroy(d);
        return rc;
    }
    *out = d;
    return SLD_OK;
}

static void channel_fini(struct channel *c)
{
    if (c->ares)
        ares_destroy(c->ares);
    sld_timer_destroy(c->timer);
}

void sld_dns_destroy(struct sld_dns *d)
{
    if (!d)
        return;
    sld_loop_assert_owner(d->loop);
    d->ended = true;
    channel_fini(&d->own); // what was asked is forgotten with it
    channel_fini(&d->system);
    SLD_LIST_EACH (it, &d->lookups)
        forget(SLD_CONTAINER_OF(it, struct sld_dns_lookup, link));
    ares_library_cleanup();
    sld_xfree(d);
}

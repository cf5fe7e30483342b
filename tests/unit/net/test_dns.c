// Names to addresses, against a DNS server on TCP that answers by script.
#include "net/dns.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "net/support.h"

enum { LONG_TEXT = 32700 };

// ---- The server ----

// What it does with a question depends on the first letter of the name:
//   a  two IPv4 addresses, one of them twice, and an IPv6 address    4  an IPv4 address alone
//   n  there is no such name   e  there is, without addresses   c  the connection is closed   w  no
//   word   s  three SRV records   t  two TXT records, one of them in two pieces   l  as long a text as
//   there is, in pieces of a byte   m  more TXT records than are taken
struct server {
    int fd, port;
    pthread_t thread;
    sem_t asked; // each question
    atomic_uint fail_next; // which allocation after the next answer fails; 0: none
};

// ---- Memory that runs out ----

static atomic_uint fail_in; // allocations until one fails; 0: none does

static bool fails(void)
{
    unsigned left = atomic_load(&fail_in);
    while (left && !atomic_compare_exchange_weak(&fail_in, &left, left - 1))
        continue;
    return left == 1;
}

static void *try_alloc(size_t n)
{
    return fails() ? NULL : sld_xalloc(n);
}

static void *try_realloc(void *p, size_t n)
{
    return fails() ? NULL : sld_xrealloc(p, n);
}

static bool read_all(int fd, unsigned char *to, size_t n)
{
    while (n > 0) {
        ssize_t got = read(fd, to, n);
        if (got <= 0)
            return false;
        to += got;
        n -= (size_t)got;
    }
    return true;
}

static size_t add_record(unsigned char *at, bool v6, unsigned char last)
{
    static const unsigned char head[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4};
    size_t n = v6 ? 16 : 4;
    memcpy(at, head, sizeof(head));
    at[3] = v6 ? 28 : 1;
    at[11] = (unsigned char)n;
    memset(at + sizeof(head), 0, n);
    at[sizeof(head)] = v6 ? 0xfd : 10;
    at[sizeof(head) + n - 1] = last;
    return sizeof(head) + n;
}

// A record of TYPE with DATA.
static size_t add_data(unsigned char *at, unsigned char type, const void *data, size_t n)
{
    const unsigned char head[] = {0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, (unsigned char)(n >> 8), (unsigned char)n};
    memcpy(at, head, sizeof(head));
    memcpy(at + sizeof(head), data, n);
    return sizeof(head) + n;
}

static unsigned char add_services(unsigned char *out, size_t *used)
{
    *used += add_data(out + *used, 33, "\0\2\0\1\0\120\1z\0", 9);
    *used += add_data(out + *used, 33, "\0\1\0\1\0\120\1x\0", 9);
    *used += add_data(out + *used, 33, "\0\1\0\5\0\121\1y\0", 9);
    return 3;
}

static unsigned char add_texts(unsigned char *out, size_t *used)
{
    *used += add_data(out + *used, 16, "\3one\4 two", 9);
    *used += add_data(out + *used, 16, "\5three", 6);
    return 2;
}

static size_t add_long_text(unsigned char *out, size_t *used)
{
    static unsigned char pieces[2 * LONG_TEXT];
    for (size_t i = 0; i < LONG_TEXT; i++) {
        pieces[2 * i] = 1;
        pieces[2 * i + 1] = 'x';
    }
    *used += add_data(out + *used, 16, pieces, sizeof(pieces));
    return 1;
}

static size_t add_many_texts(unsigned char *out, size_t *used)
{
    for (size_t i = 0; i <= SLD_DNS_ADDRESSES_MAX; i++)
        *used += add_data(out + *used, 16, "\1x", 2);
    return SLD_DNS_ADDRESSES_MAX + 1;
}

// False: the connection is to be closed.
static bool answer(struct server *s, int fd)
{
    static unsigned char out[2 + UINT16_MAX];
    unsigned char len[2], q[512];
    if (!read_all(fd, len, 2))
        return false;
    size_t n = (size_t)len[0] << 8 | len[1], end = 12;
    assert_true(n <= sizeof(q));
    if (!read_all(fd, q, n))
        return false;
    sem_post(&s->asked);
    while (q[end]) // the name
        end += q[end] + 1U;
    bool v6 = q[end + 2] == 28;
    char kind = (char)q[13];
    if (kind == 'c')
        return false;
    if (kind == 'w')
        return true;
    size_t used = end + 5;
    size_t records = 0;
    memcpy(out + 2, q, used);
    memset(out + 2 + 4, 0, 8);
    out[2 + 2] = 0x84;
    out[2 + 3] = kind == 'n' ? 3 : 0;
    out[2 + 5] = 1; // questions
    for (unsigned i = 0; (kind == 'a' && (v6 ? i < 1 : i < 3)) || (kind == '4' && !v6 && i < 1);
         i++) {
        used += add_record(out + 2 + used, v6, (unsigned char)(i == 0 ? 9 : 3));
        records++;
    }
    if (kind == 's' && q[end + 2] == 33)
        records = add_services(out + 2, &used);
    if (kind == 't' && q[end + 2] == 16)
        records = add_texts(out + 2, &used);
    if (kind == 'l')
        records = add_long_text(out + 2, &used);
    if (kind == 'm')
        records = add_many_texts(out + 2, &used);
    out[2 + 6] = (unsigned char)(records >> 8);
    out[2 + 7] = (unsigned char)records;
    out[0] = (unsigned char)(used >> 8);
    out[1] = (unsigned char)used;
    atomic_store(&fail_in, atomic_exchange(&s->fail_next, 0));
    return write(fd, out, used + 2) == (ssize_t)used + 2;
}

static void *serve(void *arg)
{
    struct server *s = arg;
    for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0;) {
        while (answer(s, fd))
            continue;
        close(fd);
    }
    return NULL;
}

static void server_start(struct server *s)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    sem_init(&s->asked, 0, 0);
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(s->fd, 8), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&sa, &len), 0);
    s->port = ntohs(sa.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    sem_destroy(&s->asked);
}

// ---- The world ----

struct fixture {
    struct io_thread io;
    struct server server;
    struct sld_dns *dns;
    struct sld_dns_lookup *lookup;
    const char *address, *name; // to be used next
    enum sld_dns_type type;
    sem_t told;
    unsigned count; // of answers
    size_t records, record_bytes;
    enum sld_rc rc;
    char text[256]; // addresses or words
};

static void on_answer(void *user, const struct sld_dns_answer *a)
{
    struct fixture *f = user;
    size_t n = 0;
    f->lookup = NULL;
    f->rc = a->err ? a->err->rc : SLD_OK;
    f->text[0] = 0;
    for (size_t i = 0; !a->err && i < a->count; i++)
        n += (size_t)snprintf(f->text + n, sizeof(f->text) - n, "%s%.*s", i ? " " : "",
                              SLD_FMT(a->addresses[i]));
    f->records = a->record_count;
    f->record_bytes = 0;
    for (size_t i = 0; i < a->record_count; i++)
        f->record_bytes += a->records[i].text.n;
    for (size_t i = 0; !a->err && i < a->record_count && n < sizeof(f->text); i++) {
        const struct sld_dns_record *r = &a->records[i];
        n += (size_t)snprintf(f->text + n, sizeof(f->text) - n, "%s%.*s %u %u %u", i ? ", " : "", SLD_FMT(r->text), r->port, r->priority,
                              r->weight);
    }
    if (a->err)
        snprintf(f->text, sizeof(f->text), "%s", a->err->msg);
    f->count++;
    sem_post(&f->told);
}

static void do_open(void *arg)
{
    struct fixture *f = arg;
    struct sld_err err;
    assert_int_equal(sld_dns_create(f->io.loop, sld_str_c(f->address), &f->dns, &err), SLD_OK);
}

static void do_lookup(void *arg)
{
    struct fixture *f = arg;
    f->lookup = sld_dns_ask(f->dns, f->type, sld_str_c(f->name), on_answer, f);
}

static void do_cancel(void *arg)
{
    struct fixture *f = arg;
    sld_dns_cancel(f->lookup);
    f->lookup = NULL;
}

static void do_close(void *arg)
{
    struct fixture *f = arg;
    sld_dns_destroy(f->dns);
    f->dns = NULL;
}

static void open_at(struct fixture *f, const char *host)
{
    static char text[64];
    snprintf(text, sizeof(text), "%s:%d", host, f->server.port);
    f->address = text;
    io_do(&f->io, do_open, f);
}

static void look_up(struct fixture *f, const char *name)
{
    f->name = name;
    io_do(&f->io, do_lookup, f);
    wait_for(&f->told);
}

static int setup(void **state)
{
    struct fixture *f = *state = SLD_NEW(struct fixture);
    sem_init(&f->told, 0, 0);
    server_start(&f->server);
    io_start(&f->io);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    io_do(&f->io, do_close, f);
    io_stop(&f->io);
    server_stop(&f->server);
    sem_destroy(&f->told);
    sld_xfree(f);
    return 0;
}

static void test_addresses(void **state)
{
    struct fixture *f = *state;
    open_at(f, "127.0.0.1");
    look_up(f, "a.service.consul");
    assert_int_equal(f->rc, SLD_OK);
    assert_string_equal(f->text, "10.0.0.3 10.0.0.9 fd00::9");
    look_up(f, "4.service.consul");
    assert_string_equal(f->text, "10.0.0.9");
    assert_int_equal(f->count, 2);
}

static void test_records(void **state)
{
    struct fixture *f = *state;
    open_at(f, "127.0.0.1");
    f->type = SLD_DNS_SRV;
    look_up(f, "s.x");
    assert_string_equal(f->text, "y 81 1 5, x 80 1 1, z 80 2 1");
    look_up(f, "e.x");
    assert_int_equal(f->rc, SLD_NOT_FOUND);
    assert_non_null(strstr(f->text, "knows no SRV record of e.x"));
    look_up(f, "c.x");
    assert_int_equal(f->rc, SLD_IO);
    f->type = SLD_DNS_TXT;
    look_up(f, "t.x");
    assert_string_equal(f->text, "one two 0 0 0, three 0 0 0");
    f->type = SLD_DNS_A;
    look_up(f, "a.x");
    assert_string_equal(f->text, "10.0.0.3 10.0.0.9");
    f->type = SLD_DNS_AAAA;
    look_up(f, "a.x");
    assert_string_equal(f->text, "fd00::9");
    look_up(f, "4.x");
    assert_int_equal(f->rc, SLD_NOT_FOUND);
}

static long peak_kib(void)
{
    struct rusage u;
    assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
    return u.ru_maxrss;
}

// What a server may send costs about as much memory as it has bytes.
static void test_many_pieces(void **state)
{
    struct fixture *f = *state;
    open_at(f, "127.0.0.1");
    f->type = SLD_DNS_TXT;
    long before = peak_kib();
    look_up(f, "l.x");
    assert_int_equal(f->rc, SLD_OK);
    assert_int_equal(f->records, 1);
    assert_int_equal(f->record_bytes, LONG_TEXT);
    assert_in_range(peak_kib() - before, 0, 100 << 10);
    look_up(f, "m.x");
    assert_int_equal(f->records, SLD_DNS_ADDRESSES_MAX);
    assert_int_equal(f->record_bytes, SLD_DNS_ADDRESSES_MAX);
}

// An answer for whose reading there is no memory, wherever that ends, is not one that there is nothing.
static void test_no_memory(void **state)
{
    struct fixture *f = *state;
    unsigned failed = 0, left = 0;
    open_at(f, "127.0.0.1");
    for (unsigned i = 0; i < 2; i++) {
        f->type = i ? SLD_DNS_TXT : SLD_DNS_SRV;
        left = 0;
        for (unsigned at = 1; !left; at++) {
            atomic_store(&f->server.fail_next, at);
            look_up(f, i ? "t.x" : "s.x");
            left = atomic_exchange(&fail_in, 0);
            if (f->rc == SLD_NOT_FOUND)
                fail_msg("allocation %u: %s", at, f->text);
            failed += f->rc == SLD_IO;
        }
    }
    assert_true(failed > 0);
}

static void do_open_system(void *arg)
{
    struct fixture *f = arg;
    struct sld_err err;
    assert_int_equal(sld_dns_create_system(f->io.loop, &f->dns, &err), SLD_OK);
}

// The file of hosts is all that a test may count on.
static void test_the_systems_way(void **state)
{
    struct fixture *f = *state;
    io_do(&f->io, do_open_system, f);
    f->type = SLD_DNS_A;
    look_up(f, "localhost");
    assert_string_equal(f->text, "127.0.0.1");
}

static void test_no_address(void **state)
{
    struct fixture *f = *state;
    open_at(f, "127.0.0.1");
    look_up(f, "n.service.consul");
    assert_int_equal(f->rc, SLD_NOT_FOUND);
    assert_non_null(strstr(f->text, "knows no address of n.service.consul"));
    look_up(f, "e.service.consul");
    assert_int_equal(f->rc, SLD_NOT_FOUND);
    look_up(f, "a..b");
    assert_int_not_equal(f->rc, SLD_OK);
}

static void test_no_answer(void **state)
{
    struct fixture *f = *state;
    open_at(f, "127.0.0.1");
    look_up(f, "c.service.consul");
    assert_int_equal(f->rc, SLD_IO);
    assert_non_null(strstr(f->text, "cannot be asked for c.service.consul"));
    look_up(f, "a.service.consul"); // the next one gets a new connection
    assert_int_equal(f->rc, SLD_OK);
}

static void test_nobody_there(void **state)
{
    struct fixture *f = *state;
    f->address = "127.0.0.1:1";
    io_do(&f->io, do_open, f);
    look_up(f, "a.service.consul");
    assert_int_equal(f->rc, SLD_IO);
}

// The server's own name is found by the system's means.
static void test_server_with_a_name(void **state)
{
    struct fixture *f = *state;
    open_at(f, "localhost");
    look_up(f, "4.service.consul");
    assert_string_equal(f->text, "10.0.0.9");
    io_do(&f->io, do_close, f);
    f->address = "no-such-host.invalid:53";
    io_do(&f->io, do_open, f);
    look_up(f, "a.service.consul");
    assert_int_equal(f->rc, SLD_IO);
}

static void do_lookup_and_cancel(void *arg)
{
    do_lookup(arg);
    do_cancel(arg);
}

static void test_cancel(void **state)
{
    struct fixture *f = *state;
    open_at(f, "127.0.0.1");
    f->name = "a.service.consul";
    io_do(&f->io, do_lookup_and_cancel, f); // before it is asked
    f->name = "w.service.consul";
    io_do(&f->io, do_lookup, f);
    wait_for(&f->server.asked);
    io_do(&f->io, do_cancel, f); // while it is asked
    io_do(&f->io, do_lookup, f);
    io_do(&f->io, do_close, f); // with a question under way
    assert_int_equal(f->count, 0);
}

static void do_bad_servers(void *arg)
{
    struct fixture *f = arg;
    static const char *const bad[] = {"",           ":53",    "host:", "host:0",
                                      "host:65536", "host:x", "[::1",  "[::1]53"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        struct sld_err err;
        struct sld_dns *d;
        if (sld_dns_create(f->io.loop, sld_str_c(bad[i]), &d, &err) != SLD_INVALID)
            fail_msg("%s is taken", bad[i]);
    }
    static const char *const good[] = {"[::1]:8600", "[::1]", "host", "10.0.0.1"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(good); i++) {
        struct sld_err err;
        struct sld_dns *d;
        assert_int_equal(sld_dns_create(f->io.loop, sld_str_c(good[i]), &d, &err), SLD_OK);
        sld_dns_destroy(d);
    }
}

static void test_bad_servers(void **state)
{
    io_do(&((struct fixture *)*state)->io, do_bad_servers, *state);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_addresses),    CASE(test_no_address),         CASE(test_no_answer),
        CASE(test_nobody_there), CASE(test_server_with_a_name), CASE(test_cancel),
        CASE(test_bad_servers),  CASE(test_records),            CASE(test_the_systems_way),
        CASE(test_many_pieces),  CASE(test_no_memory),
    };
    assert_int_equal(ares_library_init_mem(ARES_LIB_INIT_ALL, try_alloc, sld_xfree, try_realloc), ARES_SUCCESS);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Many watches of one agent: they take turns, come back by and by, and are fewer where connections are refused
// (core/source/consul/client.h).
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "source/client_world.h"

enum { BEYOND = 5 };

struct crowd {
    struct world *x;
    size_t n; // watches; 0: as many as there is room for
    struct sld_consul_watch *w[SLD_CONSUL_WATCHES_MAX + BEYOND];
};

static void crowd_on_io(void *arg)
{
    struct crowd *cr = arg;
    cr->n = cr->n ? cr->n : SLD_ARRAY_LEN(cr->w);
    for (size_t i = 0; i < cr->n; i++) {
        watch_on_io(cr->x);
        cr->w[i] = cr->x->w;
    }
    cr->x->w = NULL;
}

static void crowd_stop_on_io(void *arg)
{
    struct crowd *cr = arg;
    for (size_t i = 0; i < cr->n; i++)
        sld_consul_watch_stop(cr->w[i]);
}

static void more_watches_than_connections_take_turns(void **state)
{
    (void)state;
    struct world x;
    struct asked a;
    setup(&x);
    struct crowd cr = {.x = &x};
    io_do(&x.peer.io, crowd_on_io, &cr);
    char first[32] = "";
    bool differ = false;
    for (int i = 0; i < SLD_CONSUL_WATCHES_MAX; i++) {
        peer_asked(&x.peer, &a);
        const char *wait = strstr(a.query, "&wait=");
        assert_non_null(wait);
        assert_true(!strncmp(wait, "&wait=1", 7) || !strncmp(wait, "&wait=2000ms", 12)); // up to 2 s, not a minute
        differ |= first[0] && strncmp(first, wait, sizeof(first) - 1) != 0;
        snprintf(first, sizeof(first), "%s", wait);
    }
    assert_true(differ); // who began together does not go on together
    // A call still gets through: it would wait for ever if watches held all connections.
    ask(&x, (struct sld_consul_query){.path = SLD_STR("/v1/status/leader")});
    assert_string_equal(peer_asked(&x.peer, &a)->path, "/v1/status/leader");
    assert_int_equal(x.peer.seen, SLD_CONSUL_WATCHES_MAX + 1);
    // Whoever is done makes room for the next: all are asked in the end.
    for (int i = 0; i < BEYOND; i++) {
        peer_reply(&x.peer, 200, 10, "[1]");
        wait_for(&x.told);
        expect_index(&x, 0);
    }
    io_do(&x.peer.io, crowd_stop_on_io, &cr);
    teardown(&x);
}

enum { HERD = 24 };

// An agent that is back is not asked by all who waited in the same moment.
static void who_waited_comes_back_by_and_by(void **state)
{
    (void)state;
    struct world x;
    struct asked a;
    setup(&x);
    struct crowd h = {.x = &x, .n = HERD};
    io_do(&x.peer.io, crowd_on_io, &h);
    for (int i = 0; i < HERD; i++)
        peer_asked(&x.peer, &a);
    for (int i = 0; i < HERD; i++)
        peer_reply(&x.peer, 500, 0, "No cluster leader");
    peer_asked(&x.peer, &a);
    uint64_t began = sld_mono_ns();
    peer_reply(&x.peer, 200, 10, "[1]");
    for (int i = 0; i < HERD; i++) // it, and all others
        peer_asked(&x.peer, &a);
    at_least(began, 150);
    io_do(&x.peer.io, crowd_stop_on_io, &h);
    teardown(&x);
}

// An agent that refuses a connection is asked less at a time.
static void refused_connections_lower_the_ceiling(void **state)
{
    (void)state;
    struct world x;
    struct asked a;
    setup(&x);
    struct crowd cr = {.x = &x};
    io_do(&x.peer.io, crowd_on_io, &cr);
    for (int i = 0; i < SLD_CONSUL_WATCHES_MAX; i++)
        peer_asked(&x.peer, &a);
    peer_reply(&x.peer, 429, 0, "");
    peer_asked(&x.peer, &a); // the next had its place by then
    // Those that are answered now make no room before a quarter is gone.
    int more = SLD_CONSUL_WATCHES_MAX / 4 - 1;
    for (int i = 0; i < more; i++) {
        peer_reply(&x.peer, 200, 10, "[1]");
        wait_for(&x.told);
    }
    ask(&x, (struct sld_consul_query){.path = SLD_STR("/v1/status/leader")});
    assert_string_equal(peer_asked(&x.peer, &a)->path, "/v1/status/leader");
    io_do(&x.peer.io, crowd_stop_on_io, &cr);
    teardown(&x);
}

// An agent that takes so many connections and closes at once those beyond, as older ones do.
struct gate {
    int fd, held[SLD_CONSUL_WATCHES_MAX];
    char address[64];
    pthread_t thread;
    sem_t closed;
};
enum { GATE_TAKES = 40 };

static void *gate_main(void *arg)
{
    struct gate *g = arg;
    size_t n = 0;
    for (int fd; (fd = accept(g->fd, NULL, NULL)) >= 0;) {
        if (n < GATE_TAKES) {
            g->held[n++] = fd;
            continue;
        }
        close(fd);
        sem_post(&g->closed);
    }
    while (n)
        close(g->held[--n]);
    return NULL;
}

static void gate_open(struct gate *g)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    sem_init(&g->closed, 0, 0);
    g->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(g->fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(g->fd, SLD_CONSUL_WATCHES_MAX), 0);
    assert_int_equal(getsockname(g->fd, (struct sockaddr *)&sa, &len), 0);
    snprintf(g->address, sizeof(g->address), "127.0.0.1:%d", ntohs(sa.sin_port));
    assert_int_equal(pthread_create(&g->thread, NULL, gate_main, g), 0);
}

static void ceiling_on_io(void *arg)
{
    struct world *x = arg;
    x->ceiling = x->c->ceiling;
}

static void closed_connections_lower_the_ceiling(void **state)
{
    (void)state;
    struct world x;
    struct gate g = {0};
    world_init(&x);
    gate_open(&g);
    snprintf(x.peer.address, sizeof(x.peer.address), "%s", g.address);
    io_do(&x.peer.io, get_on_io, &x);
    struct crowd cr = {.x = &x};
    io_do(&x.peer.io, crowd_on_io, &cr);
    for (int i = 0; i < SLD_CONSUL_WATCHES_MAX - GATE_TAKES; i++)
        wait_for(&g.closed);
    // What was closed is told to the loop by and by: each of these is a turn of it.
    for (int turn = 0; turn < 100000 && (!x.ceiling || x.ceiling > GATE_TAKES); turn++)
        io_do(&x.peer.io, ceiling_on_io, &x);
    assert_true(x.ceiling > 0 && x.ceiling <= GATE_TAKES);
    io_do(&x.peer.io, crowd_stop_on_io, &cr);
    shutdown(g.fd, SHUT_RDWR);
    pthread_join(g.thread, NULL);
    close(g.fd);
    sem_destroy(&g.closed);
    teardown(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_watches_than_connections_take_turns),
        cmocka_unit_test(who_waited_comes_back_by_and_by),
        cmocka_unit_test(refused_connections_lower_the_ceiling),
        cmocka_unit_test(closed_connections_lower_the_ceiling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

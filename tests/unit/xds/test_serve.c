// The server on real wires: a gRPC client on a unix socket and on TCP, mutual TLS, hostile clients.
#include "world.c"

#include "grpc_client.h"
#include "net/grpc.h"
#include "net/support.h"
#include "xds/serve.h"

#define DELTA "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
#define SOTW "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"

// ---- The server, its io thread and its edits ----

struct app {
    struct io_thread io;
    struct sld_xds *x;
    struct sld_xds_server *s;
    struct sld_xds_options options;
    struct sld_xds_server_options serve;
    struct sld_str addresses[2];
    char dir[64], path[96], target[2][112];
    struct sld_err err;
    sem_t done, refused;
    char refused_name[64];
    size_t clients;
    bool held_back;               // sld_xds_server_begin is still to come
    struct sld_xds_batch *batch;  // the next edit
    const struct sld_grpc_tls *next;
    enum sld_rc rc;
};

static void app_refused(void *user, struct sld_str view, const struct sld_xds_resource *r,
                        struct sld_str build, struct sld_str words)
{
    struct app *a = user;
    (void)view;
    (void)build;
    (void)words;
    snprintf(a->refused_name, sizeof(a->refused_name), "%.*s", SLD_FMT(r->name));
    sem_post(&a->refused);
}

static void open_on_io(void *arg)
{
    struct app *a = arg;
    const struct sld_xds_events ev = {.on_refused = app_refused, .user = a};
    a->x = sld_xds_create(&a->options, &ev);
    a->s = sld_xds_server_create(a->io.loop, a->x, &a->serve, &a->err);
    if (a->s && !a->held_back)
        sld_xds_server_begin(a->s);
}

static void app_init(struct app *a)
{
    memset(a, 0, sizeof(*a));
    sld_xds_options_default(&a->options);
    make_dir(a->dir);
    snprintf(a->path, sizeof(a->path), "unix:%s/xds.sock", a->dir);
    a->addresses[0] = sld_str_c(a->path);
    a->addresses[1] = SLD_STR("127.0.0.1:0");
    a->serve.addresses = a->addresses;
    a->serve.address_count = 2;
    sem_init(&a->done, 0, 0);
    sem_init(&a->refused, 0, 0);
}

static bool app_open(struct app *a)
{
    io_start(&a->io);
    io_do(&a->io, open_on_io, a);
    if (!a->s)
        return false;
    snprintf(a->target[0], sizeof(a->target[0]), "%s", a->path);
    if (a->serve.address_count > 1)
        snprintf(a->target[1], sizeof(a->target[1]), "127.0.0.1:%d", sld_xds_server_port(a->s, 1));
    return true;
}

static void app_stopped(void *user)
{
    struct app *a = user;
    sld_xds_server_destroy(a->s);
    sld_xds_destroy(a->x);
    sem_post(&a->done);
}

static void close_on_io(void *arg)
{
    struct app *a = arg;
    if (a->s)
        sld_xds_server_stop(a->s, app_stopped, a);
    else
        app_stopped(a);
}

static void app_close(struct app *a)
{
    io_do(&a->io, close_on_io, a);
    wait_for(&a->done);
    io_stop(&a->io);
    shell("rm -r %s", a->dir);
}

static void apply_on_io(void *arg)
{
    struct app *a = arg;
    sld_xds_server_apply(a->s, a->batch);
}

static void app_put(struct app *a, const struct make *m, size_t n)
{
    a->batch = sld_xds_batch_create(1);
    for (size_t i = 0; i < n; i++)
        batch_put(a->batch, "gw", &m[i]);
    io_do(&a->io, apply_on_io, a);
}
#define APP_PUT(a, ...)                                                                            \
    app_put((a), (const struct make[]){__VA_ARGS__},                                               \
            sizeof((const struct make[]){__VA_ARGS__}) / sizeof(struct make))

static void app_del(struct app *a, enum sld_xds_type t, const char *name)
{
    a->batch = sld_xds_batch_create(1);
    batch_del(a->batch, "gw", t, name);
    io_do(&a->io, apply_on_io, a);
}

static void one_client(const struct sld_xds_client_info *c, void *arg)
{
    (void)c;
    ++*(size_t *)arg;
}

static void count_on_io(void *arg)
{
    struct app *a = arg;
    a->clients = 0;
    sld_xds_clients(a->x, one_client, &a->clients);
}

// ---- A scripted client on a wire ----

struct wired {
    struct client c;
    struct fake *f;
    uint64_t now;
};

static void put_wire(struct fake *f, struct sld_str bytes)
{
    struct wired *w = f->wire;
    client_send(&w->c, bytes);
}

static void get_wire(struct fake *f)
{
    struct wired *w = f->wire;
    struct sld_blob *b = client_recv(&w->c);
    if (!b)
        FAIL("the stream ended\n");
    fake_deliver(f, b->data);
    SLD_UNREF(b);
}

static void wired_open(struct wired *w, const char *target, enum sld_xds_kind kind,
                       grpc_channel_credentials *creds)
{
    client_open(&w->c, target, creds, kind == SLD_XDS_DELTA_ADS ? DELTA : SOTW);
    w->f = fake_create(NULL, kind, "gw", 40, &w->now, NULL);
    w->f->put = put_wire;
    w->f->get = get_wire;
    w->f->wire = w;
    fake_open(w->f);
}

static void wired_close(struct wired *w, bool has_status)
{
    client_close(&w->c, has_status);
    fake_destroy(w->f);
}

// A client that is served as it should be.
static void serves(const char *target, grpc_channel_credentials *creds, const char *clusters)
{
    struct wired w;
    wired_open(&w, target, SLD_XDS_DELTA_ADS, creds);
    FAKE_SEND(w.f, .type = SLD_XDS_CLUSTER);
    fake_expect(w.f, SLD_XDS_CLUSTER, clusters, true);
    wired_close(&w, false);
}

// ---- Main path ----

static void test_delta_on_a_unix_socket(void **state)
{
    struct app a;
    struct wired w;
    (void)state;
    app_init(&a);
    a.options.linger_ns = 1000000;
    assert_true(app_open(&a));
    APP_PUT(&a, C("a", "C 1"), C("b", "C 1"), E("a", "E 1"), R("r", "R 1 a", "a"),
            L("l", "L 1 r", "r"));
    wired_open(&w, a.target[0], SLD_XDS_DELTA_ADS, NULL);
    FAKE_SEND(w.f, .type = SLD_XDS_CLUSTER);
    fake_expect(w.f, SLD_XDS_CLUSTER, "a,b", true);
    FAKE_SEND(w.f, .type = SLD_XDS_ENDPOINT, .names = "a,b");
    fake_expect(w.f, SLD_XDS_ENDPOINT, "a,b", true);
    FAKE_SEND(w.f, .type = SLD_XDS_LISTENER);
    fake_expect(w.f, SLD_XDS_LISTENER, "l", true);
    FAKE_SEND(w.f, .type = SLD_XDS_ROUTE, .names = "r");
    fake_expect(w.f, SLD_XDS_ROUTE, "r", true);
    APP_PUT(&a, E("a", "E 2"));
    fake_expect(w.f, SLD_XDS_ENDPOINT, "a", true);
    APP_PUT(&a, R("r", "R BAD a", "a"));
    fake_expect(w.f, SLD_XDS_ROUTE, "r", false);
    FAKE_SEND(w.f, .type = SLD_XDS_ROUTE, .nonce = "6", .error = "no such thing");
    wait_for(&a.refused);
    assert_string_equal(a.refused_name, "r");
    APP_PUT(&a, R("r", "R 2 a", "a"));
    fake_expect(w.f, SLD_XDS_ROUTE, "r", true);
    // Removed by the server's own timer, after the linger.
    app_del(&a, SLD_XDS_CLUSTER, "b");
    fake_expect(w.f, SLD_XDS_CLUSTER, "-b", true);
    wired_close(&w, false);
    app_close(&a);
}

static void test_sotw_on_tcp(void **state)
{
    struct app a;
    struct wired w;
    (void)state;
    app_init(&a);
    a.held_back = true;
    assert_true(app_open(&a));
    wired_open(&w, a.target[1], SLD_XDS_SOTW_ADS, NULL);
    FAKE_SEND(w.f, .type = SLD_XDS_CLUSTER);
    APP_PUT(&a, C("a", "C 1 - @a"));
    io_do(&a.io, (void (*)(void *))sld_xds_server_begin, a.s);
    fake_expect(w.f, SLD_XDS_CLUSTER, "a", true);
    APP_PUT(&a, C("b", "C 1 - @b"));
    fake_expect(w.f, SLD_XDS_CLUSTER, "a,b", true);
    // A client that has said all it wants to say is let go.
    client_half_close(&w.c);
    assert_null(client_recv(&w.c));
    assert_int_equal(client_status(&w.c), GRPC_STATUS_OK);
    wired_close(&w, true);
    app_close(&a);
}

static void test_stop_tells_the_clients(void **state)
{
    struct app a;
    struct wired w;
    (void)state;
    app_init(&a);
    assert_true(app_open(&a));
    APP_PUT(&a, C("a", "C 1"));
    wired_open(&w, a.target[0], SLD_XDS_DELTA_ADS, NULL);
    FAKE_SEND(w.f, .type = SLD_XDS_CLUSTER);
    fake_expect(w.f, SLD_XDS_CLUSTER, "a", true);
    app_close(&a);
    assert_int_equal(client_status(&w.c), GRPC_STATUS_UNAVAILABLE);
    assert_memory_equal(GRPC_SLICE_START_PTR(w.c.details), "the control plane is stopping", 29);
    wired_close(&w, true);
}

static void expect_unimplemented(const char *target, const char *method, const char *word)
{
    struct client c;
    client_open(&c, target, NULL, method);
    assert_int_equal(client_status(&c), GRPC_STATUS_UNIMPLEMENTED);
    struct sld_str why = {(const char *)GRPC_SLICE_START_PTR(c.details),
                          GRPC_SLICE_LENGTH(c.details)};
    assert_true(sld_str_find(why, sld_str_c(word)) >= 0);
    client_close(&c, true);
}

static void test_other_methods(void **state)
{
    struct app a;
    (void)state;
    app_init(&a);
    assert_true(app_open(&a));
    expect_unimplemented(a.target[0],
                         "/envoy.service.cluster.v3.ClusterDiscoveryService/DeltaClusters",
                         "ads: {}");
    expect_unimplemented(a.target[0],
                         "/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints",
                         "ads: {}");
    expect_unimplemented(a.target[0], "/grpc.health.v1.Health/Check", "unknown method");
    expect_unimplemented(a.target[0], DELTA "2", "ads: {}");
    app_close(&a);
}

// ---- Addresses and TLS ----

static void denied(const char *address)
{
    struct app a;
    app_init(&a);
    a.addresses[1] = sld_str_c(address);
    assert_false(app_open(&a));
    assert_int_equal(a.err.rc, SLD_DENIED);
    assert_non_null(strstr(a.err.msg, address));
    assert_non_null(strstr(a.err.msg, "--xds-insecure"));
    app_close(&a);
}

static void test_plain_text_beyond_loopback(void **state)
{
    struct app a;
    (void)state;
    denied("0.0.0.0:0");
    denied(":0");
    denied("[::]:0");
    denied("192.0.2.1:9977");
    app_init(&a);
    a.addresses[1] = SLD_STR("0.0.0.0:0");
    a.serve.insecure = true;
    assert_true(app_open(&a));
    serves(a.target[1], NULL, "");
    app_close(&a);
}

static void test_address_in_use(void **state)
{
    struct app a, b, again;
    (void)state;
    app_init(&a);
    assert_true(app_open(&a));
    app_init(&b);
    b.addresses[1] = sld_str_c(a.target[1]);
    assert_false(app_open(&b));
    assert_int_equal(b.err.rc, SLD_CONFLICT);
    app_close(&b);
    app_init(&again);
    again.addresses[1] = SLD_STR("nonsense");
    assert_false(app_open(&again));
    assert_int_equal(again.err.rc, SLD_INVALID);
    app_close(&again);
    serves(a.target[1], NULL, "");
    app_close(&a);
}

static struct sld_grpc_tls pair(struct sld_arena *mem, const char *dir, const char *cert,
                                const char *key, const char *ca)
{
    char name[3][32];
    snprintf(name[0], sizeof(name[0]), "%s.pem", cert);
    snprintf(name[1], sizeof(name[1]), "%s.key", key);
    snprintf(name[2], sizeof(name[2]), "%s-ca.pem", ca);
    return (struct sld_grpc_tls){read_pem(mem, dir, name[0]), read_pem(mem, dir, name[1]),
                                 read_pem(mem, dir, name[2])};
}

static void set_tls_on_io(void *arg)
{
    struct app *a = arg;
    a->rc = sld_xds_server_set_tls(a->s, a->next, &a->err);
}

static enum sld_rc set_tls(struct app *a, struct sld_grpc_tls tls)
{
    a->next = &tls;
    io_do(&a->io, set_tls_on_io, a);
    return a->rc;
}

static grpc_channel_credentials *creds_of(struct sld_arena *mem, const char *dir, const char *server,
                                          const char *client)
{
    struct sld_grpc_tls c = pair(mem, dir, client, client, server);
    grpc_ssl_pem_key_cert_pair p = {c.key_pem.p, c.cert_chain_pem.p};
    return grpc_ssl_credentials_create(c.client_ca_pem.p, &p, NULL, NULL);
}

static void refused_by_tls(const char *target, grpc_channel_credentials *creds)
{
    struct client c;
    client_open(&c, target, creds, DELTA);
    assert_int_equal(client_status(&c), GRPC_STATUS_UNAVAILABLE);
    client_close(&c, true);
}

static void test_mutual_tls_and_reload(void **state)
{
    struct app a;
    struct sld_arena mem = {0};
    (void)state;
    app_init(&a);
    make_certs(a.dir, "srv");
    make_certs(a.dir, "new");
    make_certs(a.dir, "cli");
    make_certs(a.dir, "foe");
    struct sld_grpc_tls first = pair(&mem, a.dir, "srv", "srv", "cli");
    a.serve.tls = &first;
    assert_true(app_open(&a));
    APP_PUT(&a, C("a", "C 1"));
    grpc_channel_credentials *old = creds_of(&mem, a.dir, "srv", "cli");
    grpc_channel_credentials *foe = creds_of(&mem, a.dir, "srv", "foe");
    grpc_channel_credentials *new = creds_of(&mem, a.dir, "new", "cli");
    serves(a.target[1], old, "a");
    serves(a.target[0], NULL, "a"); // the unix socket needs none
    refused_by_tls(a.target[1], foe);
    refused_by_tls(a.target[1], NULL);
    // A pair that does not fit changes nothing.
    assert_int_equal(set_tls(&a, pair(&mem, a.dir, "new", "srv", "cli")), SLD_CONFLICT);
    assert_int_equal(set_tls(&a, (struct sld_grpc_tls){SLD_STR("x"), SLD_STR("x"), SLD_STR("x")}),
                     SLD_INVALID);
    serves(a.target[1], old, "a");
    assert_int_equal(set_tls(&a, pair(&mem, a.dir, "new", "new", "cli")), SLD_OK);
    serves(a.target[1], new, "a");
    refused_by_tls(a.target[1], old);
    grpc_channel_credentials_release(old);
    grpc_channel_credentials_release(foe);
    grpc_channel_credentials_release(new);
    app_close(&a);

    app_init(&a);
    assert_true(app_open(&a));
    assert_int_equal(set_tls(&a, first), SLD_INVALID); // it was started without
    app_close(&a);
    app_init(&a);
    first.key_pem = SLD_STR("not a key");
    a.serve.tls = &first;
    assert_false(app_open(&a));
    assert_int_equal(a.err.rc, SLD_INVALID);
    app_close(&a);
    sld_arena_fini(&mem);
}

// ---- Hostile clients ----

// One message on a stream of its own; returns the status the stream ends with.
static grpc_status_code attack(const char *target, struct sld_str bytes)
{
    struct client c;
    client_open(&c, target, NULL, DELTA);
    client_send(&c, bytes);
    grpc_status_code status = client_status(&c);
    client_close(&c, true);
    return status;
}

static void add_request(struct sld_buf *b, enum sld_xds_type t)
{
    sld_wire_put_str(b, 2, sld_xds_type_url(t));
}

static void test_garbage(void **state)
{
    struct app a;
    struct sld_buf b;
    (void)state;
    app_init(&a);
    a.serve.max_message_bytes = (size_t)1 << 20;
    a.options.max_names = 1000;
    assert_true(app_open(&a));
    APP_PUT(&a, C("a", "C 1"));
    assert_int_equal(attack(a.target[0], SLD_STR("\xff\xff\xff\xff")), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(attack(a.target[0], SLD_STR("")), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(attack(a.target[0], SLD_STR("GET / HTTP/1.1\r\n\r\n")),
                     GRPC_STATUS_INVALID_ARGUMENT);
    // Over the ceiling of one message.
    sld_buf_init(&b, (size_t)1 << 30);
    add_request(&b, SLD_XDS_CLUSTER);
    while (b.n <= (size_t)1 << 20)
        sld_wire_put_str(&b, 3, SLD_STR("a name that fills the message, again and again"));
    assert_int_equal(attack(a.target[0], sld_buf_str(&b)), GRPC_STATUS_RESOURCE_EXHAUSTED);
    sld_buf_fini(&b);
    // More names than a client may have.
    sld_buf_init(&b, (size_t)1 << 30);
    add_request(&b, SLD_XDS_ENDPOINT);
    for (int i = 0; i < 1001; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        sld_wire_put_str(&b, 3, sld_str_c(name));
    }
    assert_int_equal(attack(a.target[0], sld_buf_str(&b)), GRPC_STATUS_RESOURCE_EXHAUSTED);
    sld_buf_fini(&b);
    serves(a.target[0], NULL, "a");
    app_close(&a);
}

static void test_deep_nesting_and_unknown_types(void **state)
{
    struct app a;
    struct wired w;
    struct sld_buf b, deep;
    (void)state;
    app_init(&a);
    assert_true(app_open(&a));
    APP_PUT(&a, C("a", "C 1"));
    // A node of metadata in metadata in ...: 60,000 lengths around nothing, built from the inside.
    sld_buf_init(&deep, (size_t)1 << 30);
    enum { LEVELS = 60000 };
    char *bytes = sld_xalloc(LEVELS * 4);
    size_t at = LEVELS * 4, n = 0;
    for (int i = 0; i < LEVELS; i++) {
        struct sld_buf head;
        sld_buf_init(&head, 64);
        sld_wire_put_head(&head, 3, n);
        at -= head.n;
        memcpy(bytes + at, head.p, head.n);
        n += head.n;
        sld_buf_fini(&head);
    }
    sld_buf_init(&b, (size_t)1 << 30);
    sld_wire_put_str(&b, 1, (struct sld_str){bytes + at, n});
    add_request(&b, SLD_XDS_CLUSTER);
    wired_open(&w, a.target[0], SLD_XDS_DELTA_ADS, NULL);
    client_send(&w.c, sld_buf_str(&b));
    fake_expect(w.f, SLD_XDS_CLUSTER, "", true); // of no role: the fallback view, which is empty
    sld_buf_fini(&b);
    sld_buf_fini(&deep);
    sld_xfree(bytes);
    // An unknown type is answered (its names are absent), and the stream goes on.
    FAKE_SEND(w.f, .url = "type.googleapis.com/no.such.Thing", .names = "x,y");
    struct fake_msg *m = fake_next(w.f);
    assert_false(m->known);
    assert_true(fake_removed(m, "x") && fake_removed(m, "y"));
    fake_free(m);
    wired_close(&w, false);
    serves(a.target[0], NULL, "a");
    app_close(&a);
}

// Many big updates for a client that takes none: it costs the one on its way, and nobody else waits.
static void test_a_client_that_never_reads(void **state)
{
    enum { UPDATES = 40, BYTES = 4 * 1024 * 1024 };
    struct sld_xds_resource *kept[UPDATES];
    struct app a;
    struct wired bad, good;
    (void)state;
    app_init(&a);
    assert_true(app_open(&a));
    char *text = sld_xcalloc(1, BYTES + 1);
    memset(text, ' ', BYTES);
    memcpy(text, "C ", 2);
    APP_PUT(&a, C("a", "C 1"));
    wired_open(&bad, a.target[0], SLD_XDS_DELTA_ADS, NULL);
    wired_open(&good, a.target[0], SLD_XDS_DELTA_ADS, NULL);
    FAKE_SEND(bad.f, .type = SLD_XDS_CLUSTER);
    FAKE_SEND(good.f, .type = SLD_XDS_CLUSTER);
    fake_expect(good.f, SLD_XDS_CLUSTER, "a", true);
    for (int i = 0; i < UPDATES; i++) {
        snprintf(text, 16, "C %d", i + 2);
        text[strlen(text)] = ' ';
        const struct make m = C("a", text);
        kept[i] = make_resource(&m);
        a.batch = sld_xds_batch_create(1);
        sld_xds_batch_add(a.batch, SLD_XDS_CLUSTER, SLD_STR("gw"), SLD_STR("a"), kept[i]);
        io_do(&a.io, apply_on_io, &a);
        fake_expect(good.f, SLD_XDS_CLUSTER, "a", true);
    }
    int alive = 0;
    for (int i = 0; i < UPDATES; i++)
        alive += atomic_load(&kept[i]->obj.refs) > 1;
    // What is on its way to the bad client, what the good one has, and what it got last.
    assert_true(alive <= 4);
    for (int i = 0; i < UPDATES; i++)
        SLD_UNREF(kept[i]);
    sld_xfree(text);
    wired_close(&bad, false);
    wired_close(&good, false);
    app_close(&a);
}

// Clients that come and go, some in the middle of a response, leave nothing behind.
static void test_clients_come_and_go(void **state)
{
    struct app a;
    (void)state;
    app_init(&a);
    assert_true(app_open(&a));
    APP_PUT(&a, C("a", "C 1"), E("a", "E 1"));
    for (int i = 0; i < 30; i++) {
        struct wired w;
        wired_open(&w, a.target[i % 2], i % 3 ? SLD_XDS_DELTA_ADS : SLD_XDS_SOTW_ADS, NULL);
        FAKE_SEND(w.f, .type = SLD_XDS_CLUSTER);
        FAKE_SEND(w.f, .type = SLD_XDS_ENDPOINT, .names = "a,b,c");
        wired_close(&w, false);
    }
    serves(a.target[0], NULL, "a");
    io_do(&a.io, close_on_io, &a);
    wait_for(&a.done);
    io_stop(&a.io);
    shell("rm -r %s", a.dir);
}

static void test_ceiling_of_clients(void **state)
{
    struct app a;
    struct wired w[2];
    struct client third;
    (void)state;
    app_init(&a);
    a.serve.max_streams = 2;
    assert_true(app_open(&a));
    APP_PUT(&a, C("a", "C 1"));
    for (int i = 0; i < 2; i++) {
        wired_open(&w[i], a.target[0], SLD_XDS_DELTA_ADS, NULL);
        FAKE_SEND(w[i].f, .type = SLD_XDS_CLUSTER);
        fake_expect(w[i].f, SLD_XDS_CLUSTER, "a", true);
    }
    client_open(&third, a.target[0], NULL, DELTA);
    assert_int_equal(client_status(&third), GRPC_STATUS_RESOURCE_EXHAUSTED);
    client_close(&third, true);
    io_do(&a.io, count_on_io, &a);
    assert_int_equal(a.clients, 2);
    for (int i = 0; i < 2; i++)
        wired_close(&w[i], false);
    app_close(&a);
}

static int group_setup(void **state)
{
    (void)state;
    grpc_init();
    sld_log_set_level(SLD_LOG_ERROR);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    grpc_shutdown_blocking();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delta_on_a_unix_socket),
        cmocka_unit_test(test_sotw_on_tcp),
        cmocka_unit_test(test_stop_tells_the_clients),
        cmocka_unit_test(test_other_methods),
        cmocka_unit_test(test_plain_text_beyond_loopback),
        cmocka_unit_test(test_address_in_use),
        cmocka_unit_test(test_mutual_tls_and_reload),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_deep_nesting_and_unknown_types),
        cmocka_unit_test(test_a_client_that_never_reads),
        cmocka_unit_test(test_clients_come_and_go),
        cmocka_unit_test(test_ceiling_of_clients),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

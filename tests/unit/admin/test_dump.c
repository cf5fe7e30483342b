// /v1/xds and /v1/envoys, with resources in xds and a client that asks for them.
#include "admin/support.h"

#include "envoy/config/cluster/v3/cluster.pb-c.h"
#include "envoy/config/route/v3/route.pb-c.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"
#include "xds/wire.h"

#define VIEW "gloo-system~gateway-proxy"

struct dump {
    struct fixture f;
    struct sld_xds_stream *stream;
    size_t sent;
};

static int setup(void **state)
{
    struct dump *d = SLD_NEW(struct dump);
    start(&d->f, true);
    *state = d;
    return 0;
}

static void hang_up(void *arg)
{
    struct dump *d = arg;
    if (d->stream)
        sld_xds_stream_closed(d->stream, sld_mono_ns());
    d->stream = NULL;
}

static int teardown(void **state)
{
    struct dump *d = *state;
    io_do(&d->f.io, hang_up, d);
    stop(&d->f);
    sld_xfree(d);
    return 0;
}

// ---- Resources ----

static void add(struct sld_xds_batch *b, enum sld_xds_type t, const char *name,
                const ProtobufCMessage *m, bool secret)
{
    struct sld_xds_resource *r = sld_xds_resource_create(t, sld_str_c(name));
    r->bytes = sld_msg_encode(&r->arena, m);
    r->secret = secret;
    sld_xds_resource_seal(r);
    sld_xds_batch_add(b, t, SLD_STR(VIEW), sld_str_c(name), r);
    SLD_UNREF(r);
}

static void add_cluster(struct sld_xds_batch *b, struct sld_arena *a, const char *name)
{
    Env__Cluster__Cluster *c = SLD_MSG(a, Env__Cluster__Cluster, env__cluster__cluster);
    c->name = sld_arena_cstr(a, sld_str_c(name));
    add(b, SLD_XDS_CLUSTER, name, &c->base, false);
}

static void add_secret(struct sld_xds_batch *b, struct sld_arena *a)
{
    Env__TransportSocketsTls__Secret *s =
        SLD_MSG(a, Env__TransportSocketsTls__Secret, env__transport_sockets_tls__secret);
    Env__TransportSocketsTls__TlsCertificate *t = SLD_MSG(
        a, Env__TransportSocketsTls__TlsCertificate, env__transport_sockets_tls__tls_certificate);
    Env__Core__DataSource *key = SLD_MSG(a, Env__Core__DataSource, env__core__data_source);
    key->specifier_case = ENV__CORE__DATA_SOURCE__SPECIFIER_INLINE_STRING;
    key->inline_string = sld_arena_cstr(a, SLD_STR("hunter2"));
    t->private_key = key;
    s->name = sld_arena_cstr(a, SLD_STR("cert"));
    s->type_case = ENV__TRANSPORT_SOCKETS_TLS__SECRET__TYPE_TLS_CERTIFICATE;
    s->tls_certificate = t;
    add(b, SLD_XDS_SECRET, "cert", &s->base, true);
}

static void fill_on_io(void *arg)
{
    struct dump *d = arg;
    struct sld_arena a = {0};
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    add_cluster(b, &a, "one_gloo-system");
    add_cluster(b, &a, "two_gloo-system");
    add_cluster(b, &a, "three_gloo-system");
    add_secret(b, &a);
    Env__Route__RouteConfiguration *r =
        SLD_MSG(&a, Env__Route__RouteConfiguration, env__route__route_configuration);
    r->name = sld_arena_cstr(&a, SLD_STR("hunter2-route"));
    add(b, SLD_XDS_ROUTE, "routes", &r->base, true);
    sld_xds_apply(d->f.xds, b, sld_mono_ns());
    sld_xds_serve(d->f.xds, sld_mono_ns());
    sld_arena_fini(&a);
}

// ---- A client ----

static void on_send(void *user, const struct sld_str *slices, struct sld_obj *const *owners, size_t n)
{
    (void)slices;
    (void)owners;
    (void)n;
    ((struct dump *)user)->sent++;
}

static void on_close(void *user, int status, struct sld_str message)
{
    (void)user;
    fail_msg("closed with %d: %.*s", status, SLD_FMT(message));
}

static const struct sld_xds_sender sender = {on_send, on_close};

static void put(struct sld_buf *to, uint32_t number, const struct sld_buf *from)
{
    sld_wire_put_str(to, number, sld_buf_str(from));
}

static void send_message(struct dump *d, enum sld_xds_type t, bool node, const char *nonce)
{
    struct sld_buf rq, n, pair, value, meta;
    struct sld_buf *all[] = {&rq, &n, &pair, &value, &meta};
    for (size_t i = 0; i < SLD_ARRAY_LEN(all); i++)
        sld_buf_init(all[i], 4096);
    sld_wire_put_str(&value, 3, SLD_STR(VIEW));
    sld_wire_put_str(&pair, 1, SLD_STR("role"));
    put(&pair, 2, &value);
    put(&meta, 1, &pair);
    sld_wire_put_str(&n, 1, SLD_STR("pod-1"));
    put(&n, 3, &meta);
    if (node)
        put(&rq, 1, &n);
    sld_wire_put_str(&rq, 2, sld_xds_type_url(t));
    if (nonce)
        sld_wire_put_str(&rq, 6, sld_str_c(nonce));
    sld_xds_stream_message(d->stream, sld_buf_str(&rq), sld_mono_ns());
    for (size_t i = 0; i < SLD_ARRAY_LEN(all); i++)
        sld_buf_fini(all[i]);
}

static void dial_on_io(void *arg)
{
    struct dump *d = arg;
    d->stream = sld_xds_stream_open(d->f.xds, SLD_XDS_DELTA_ADS, &sender, d, SLD_STR("10.0.0.9:1234"),
                                    sld_mono_ns());
    send_message(d, SLD_XDS_CLUSTER, true, NULL);
}

// ---- Tests ----

static void test_list(void **state)
{
    struct dump *d = *state;
    struct sld_arena a = {0};
    io_do(&d->f.io, dial_on_io, d); // the view is there as soon as somebody asks for it
    io_do(&d->f.io, fill_on_io, d);
    const struct sld_node *n = get_json(&d->f, &a, "/v1/xds/" VIEW "/cds", 200);
    expect(n, "view", VIEW);
    expect(n, "type", "cds");
    expect(n, "typeUrl", "type.googleapis.com/envoy.config.cluster.v3.Cluster");
    expect_count(n, "resources", 3);
    expect(n, "resources.0.name", "one_gloo-system");
    expect(n, "resources.0.body.name", "one_gloo-system");
    assert_int_equal(text_at(n, "resources.0.version").n, 16);
    assert_null(at(n, "resources.0.acked"));
    assert_null(at(n, "continue"));
    n = get_json(&d->f, &a, "/v1/xds/" VIEW "/clusters?name=two_gloo-system&body=false", 200);
    expect_count(n, "resources", 1);
    assert_null(at(n, "resources.0.body"));
    n = get_json(&d->f, &a, "/v1/xds/" VIEW "/cds?limit=2", 200);
    expect_count(n, "resources", 2);
    expect(n, "continue", "three_gloo-system");
    n = get_json(&d->f, &a, "/v1/xds/" VIEW "/cds?limit=2&continue=three_gloo-system", 200);
    expect_count(n, "resources", 1);
    expect(n, "resources.0.name", "two_gloo-system");
    // By the id of the node, its view is shown.
    n = get_json(&d->f, &a, "/v1/xds/pod-1/cds", 200);
    expect(n, "node", "pod-1");
    expect(n, "view", VIEW);
    expect_count(n, "resources", 3);
    (void)get_json(&d->f, &a, "/v1/xds/" VIEW "/cds?name=nothing", 404);
    (void)get_json(&d->f, &a, "/v1/xds/nobody/cds", 404);
    (void)get_json(&d->f, &a, "/v1/xds/" VIEW "/xyz", 400);
    sld_arena_fini(&a);
}

static void test_secrets(void **state)
{
    struct dump *d = *state;
    static const char *const targets[] = {"/v1/xds/" VIEW "/sds", "/v1/xds/" VIEW "/rds"};
    io_do(&d->f.io, dial_on_io, d);
    io_do(&d->f.io, fill_on_io, d);
    for (size_t i = 0; i < SLD_ARRAY_LEN(targets); i++) {
        struct response r = get(&d->f, targets[i]);
        assert_int_equal(r.status, 200);
        assert_non_null(strstr(r.body, "***"));
        assert_non_null(strstr(r.body, "\"secret\":true"));
        assert_null(strstr(r.body, "hunter2"));
        response_free(&r);
    }
}

static void ack_on_io(void *arg)
{
    struct dump *d = arg;
    sld_xds_stream_sent(d->stream, sld_mono_ns());
    send_message(d, SLD_XDS_LISTENER, false, NULL);
}

static void test_envoys(void **state)
{
    struct dump *d = *state;
    struct sld_arena a = {0};
    io_do(&d->f.io, dial_on_io, d);
    io_do(&d->f.io, fill_on_io, d);
    assert_int_equal(d->sent, 1);
    io_do(&d->f.io, ack_on_io, d);
    const struct sld_node *n = get_json(&d->f, &a, "/v1/envoys", 200);
    expect_count(n, "envoys", 1);
    expect(n, "envoys.0.peer", "10.0.0.9:1234");
    expect(n, "envoys.0.nodeId", "pod-1");
    expect(n, "envoys.0.role", VIEW);
    expect(n, "envoys.0.protocol", "delta");
    expect(n, "envoys.0.converged", "false");
    expect(n, "envoys.0.types.cds.pushes", "1");
    expect(n, "envoys.0.types.cds.unacked", "3");
    expect(n, "envoys.0.types.cds.wildcard", "true");
    assert_true(sld_str_starts(text_at(n, "envoys.0.connectedAt"), SLD_STR("20")));
    struct response r = get(&d->f, "/metrics");
    assert_non_null(strstr(r.body, "solder_xds_connected_proxies 1\n"));
    assert_non_null(strstr(r.body, "solder_xds_converged_proxies 0\n"));
    assert_non_null(strstr(r.body, "solder_xds_pushes_total{type=\"cds\"} 1\n"));
    response_free(&r);
    sld_arena_fini(&a);
}

static void round_on_io(void *arg)
{
    struct dump *d = arg;
    const struct sld_admin_round r = {.generation = 1, .since_ns = sld_mono_ns(), .changed = 5};
    sld_admin_round(d->f.admin, &r);
}

static void gone_on_io(void *arg)
{
    struct dump *d = arg;
    hang_up(d);
    sld_admin_progress(d->f.admin);
}

static void expect_metric(struct dump *d, const char *line)
{
    struct response r = get(&d->f, "/metrics");
    if (!strstr(r.body, line))
        fail_msg("no %s", line);
    response_free(&r);
}

// A change is measured when no client is behind any more; with nobody there, there is nothing to tell.
static void test_convergence(void **state)
{
    struct dump *d = *state;
    io_do(&d->f.io, round_on_io, d);
    expect_metric(d, "solder_config_convergence_seconds_count 0\n");
    io_do(&d->f.io, dial_on_io, d);
    io_do(&d->f.io, fill_on_io, d);
    io_do(&d->f.io, round_on_io, d);
    expect_metric(d, "solder_config_convergence_seconds_count 0\n");
    io_do(&d->f.io, gone_on_io, d);
    expect_metric(d, "solder_config_convergence_seconds_count 0\n");
}

// Requests of a plugin: lines, or why there are none.
static void test_recorded(void **state)
{
    struct dump *d = *state;
    static const struct {
        const char *target;
        int status;
        const char *words;
    } asked[] = {
        {"/v1/plugins/gate/requests?for=1.5s&limit=7", 200, "{\"a\":1}\n\n"},
        {"/v1/plugins/gate/requests", 200, "{\"a\":1}"},
        {"/v1/plugins/busy/requests", 503, "recorded for somebody else"},
        {"/v1/plugins/gone/requests", 404, "there is no plugin gone"},
        {"/v1/plugins/gate/requests?for=30s", 400, "below 30 s"},
        {"/v1/plugins/gate/requests?limit=0", 400, "limit"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(asked); i++) {
        struct response r = get(&d->f, asked[i].target);
        assert_int_equal(r.status, asked[i].status);
        assert_non_null(strstr(r.body, asked[i].words));
        assert_true(strstr(r.head, "application/x-ndjson") != NULL || r.status != 200);
        if (i < 2)
            assert_int_equal(d->f.recorded, i ? 10002000 : 701500);
        response_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_recorded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secrets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_envoys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_convergence, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

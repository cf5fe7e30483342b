// The state-of-the-world protocol. Its responses carry no names: the client takes the bytes for the name.
#include "world.c"

static int setup_sotw(void **state)
{
    int rc = setup(state);
    struct world *w = *state;
    fake_destroy(w->f);
    w->f = fake_create(w->x, SLD_XDS_SOTW_ADS, "gw", 40, &w->now, NULL);
    fake_open(w->f);
    return rc;
}

static void test_full_sets(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "Ca 1"), C("b", "Cb 1"));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca 1,Cb 1", true);
    PUT(w, C("b", "Cb 2"));
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca 1,Cb 2", true);
    PUT(w, C("c", "Cc 1"));
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca 1,Cb 2,Cc 1", false);
    PUT(w, C("a", "Ca 2")); // waits: the answer to one must not speak for another
    fake_expect_nothing(w->f);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .nonce = "3");
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca 2,Cb 2,Cc 1", true);
    sld_xds_clients(w->x, take_info, NULL);
    assert_int_equal(info.types[SLD_XDS_CLUSTER].unacked, 0);
    del(w, SLD_XDS_CLUSTER, "c");
    fake_expect_nothing(w->f);
    w->now += 30 * SECOND;
    sld_xds_tick(w->x, w->now);
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca 2,Cb 2", true);
}

static void test_empty_state_is_answered(void **state)
{
    struct world *w = *state;
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "", true);
    FAKE_SEND(w->f, .type = SLD_XDS_LISTENER);
    fake_expect(w->f, SLD_XDS_LISTENER, "", true);
    fake_expect_nothing(w->f);
}

static void test_partial_endpoints(void **state)
{
    struct world *w = *state;
    PUT(w, E("a", "Ea 1"), E("b", "Eb 1"), E("c", "Ec 1"));
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "a,b");
    fake_expect(w->f, SLD_XDS_ENDPOINT, "Ea 1,Eb 1", false);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = "1", .names = "a,b,c");
    fake_expect(w->f, SLD_XDS_ENDPOINT, "Ec 1", false);
    // An ACK of an old response whose names are old, too: not an unsubscription.
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = "1", .names = "a,b");
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = "2", .names = "a,b,c");
    PUT(w, E("c", "Ec 2"));
    fake_expect(w->f, SLD_XDS_ENDPOINT, "Ec 2", false);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = "3", .names = "a");
    PUT(w, E("c", "Ec 3"), E("b", "Eb 2"), E("a", "Ea 2"));
    fake_expect(w->f, SLD_XDS_ENDPOINT, "Ea 2", false);
}

static void test_nack_is_told_by_error_detail(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "Ca 1"), C("b", "Cb 1"));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca 1,Cb 1", true);
    PUT(w, C("a", "Ca BAD"), C("b", "Cb 2"));
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca BAD,Cb 2", false);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .nonce = "2", .error = "something");
    // Singly, the rest of the state being as last acknowledged.
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca BAD,Cb 1", false);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .nonce = "3", .error = "something");
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca 1,Cb 2", true);
    assert_int_equal(w->refused, 1);
    assert_string_equal(w->refused_name, "a");
}

// gRPC: listener, route, cluster, endpoints, each asked by name once the one before was seen.
static void test_grpc_resolves_top_down(void **state)
{
    struct world *w = *state;
    fake_destroy(w->f);
    w->f = fake_create(w->x, SLD_XDS_SOTW_ADS, "gw", -1, &w->now, NULL);
    fake_open(w->f);
    PUT(w, C("a", "Ca"), E("a", "Ea"), C("b", "Cb"), R("r", "R 1 a", "a"), L("svc", "L r", "r"),
        L("x", "L x", NULL));
    FAKE_SEND(w->f, .type = SLD_XDS_LISTENER, .names = "svc");
    fake_expect(w->f, SLD_XDS_LISTENER, "L r", false);
    FAKE_SEND(w->f, .type = SLD_XDS_LISTENER, .names = "svc", .nonce = "1");
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r");
    fake_expect(w->f, SLD_XDS_ROUTE, "R 1 a", false);
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r", .nonce = "2");
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .names = "a");
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca", false);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .names = "a", .nonce = "3");
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "a");
    fake_expect(w->f, SLD_XDS_ENDPOINT, "Ea", false);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "a", .nonce = "4");
    fake_expect_nothing(w->f);
    // A route to a cluster the client does not know yet goes at once: it is how the client learns of it.
    PUT(w, R("r", "R 2 b", "b"));
    fake_expect(w->f, SLD_XDS_ROUTE, "R 2 b", false);
    // A listener that does not exist: the full set without it says so.
    FAKE_SEND(w->f, .type = SLD_XDS_LISTENER, .names = "svc,nope", .nonce = "1");
    fake_expect(w->f, SLD_XDS_LISTENER, "L r", false);
}

static void test_first_listeners_are_whole(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "Ca"), E("a", "Ea"), R("r", "R 1 a", "a"), L("l", "L r", "r"), L("m", "L m", NULL));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    FAKE_SEND(w->f, .type = SLD_XDS_LISTENER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca", false);
    fake_expect_nothing(w->f); // m alone would take l from an Envoy that reconnects
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "a");
    fake_expect(w->f, SLD_XDS_ENDPOINT, "Ea", false);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "a", .nonce = "2");
    fake_expect(w->f, SLD_XDS_LISTENER, "L m,L r", true);
}

// A version tells that the client took endpoints before.
static void test_endpoints_that_nobody_knows_yet_stay(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "Ca"));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .version = "1");
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "a", .version = "1");
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca", true);
    fake_expect_nothing(w->f);
    PUT(w, E("a", "Ea"));
    fake_expect(w->f, SLD_XDS_ENDPOINT, "Ea", true);
    fake_close(w->f);
    del(w, SLD_XDS_ENDPOINT, "a");
    fake_open(w->f);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "a");
    fake_expect(w->f, SLD_XDS_CLUSTER, "Ca", true);
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true); // the empty assignment
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup_sotw, teardown)
        T(test_full_sets),
        T(test_empty_state_is_answered),
        T(test_partial_endpoints),
        T(test_nack_is_told_by_error_detail),
        T(test_grpc_resolves_top_down),
        T(test_first_listeners_are_whole),
        T(test_endpoints_that_nobody_knows_yet_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

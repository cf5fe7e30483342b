// NACKs: the culprit is found, its neighbours and later edits do not suffer.
#include "world.c"

static void test_cluster_is_blamed_by_name(void **state)
{
    struct world *w = *state;
    settled(w);
    int accepted = w->accepted;
    PUT(w, C("good", "C 1"), C("bad", "C BAD"), C("other", "C 1"));
    fake_settle(w->f);
    assert_int_equal(w->refused, 1);
    assert_string_equal(w->refused_name, "bad");
    assert_non_null(strstr(w->words, "bad: is bad"));
    assert_true(fake_holds(w->f, SLD_XDS_CLUSTER, "good", "C 1"));
    assert_true(fake_holds(w->f, SLD_XDS_CLUSTER, "bad", NULL));
    assert_true(w->accepted >= accepted + 2);
    sld_xds_clients(w->x, take_info, NULL);
    assert_true(info.converged);
    assert_int_equal(info.types[SLD_XDS_CLUSTER].refused, 1);
    assert_int_equal(info.types[SLD_XDS_CLUSTER].nacks, 1);
    // A later edit of the same name goes out, and so does one of another.
    PUT(w, C("bad", "C 2"), C("good", "C 2"));
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_CLUSTER, "bad", "C 2"));
    assert_true(fake_holds(w->f, SLD_XDS_CLUSTER, "good", "C 2"));
    sld_xds_clients(w->x, take_info, NULL);
    assert_int_equal(info.types[SLD_XDS_CLUSTER].refused, 0);
}

// What Envoy says of a resource made of secrets may quote them: xds shows none of it, and tells who can judge.
static void test_words_about_secrets_are_not_shown(void **state)
{
    struct world *w = *state;
    settled(w);
    FAKE_SEND(w->f, .type = SLD_XDS_SECRET, .names = "s");
    PUT(w, S("s", "S BAD"));
    fake_settle(w->f);
    assert_int_equal(w->refused, 1);
    assert_non_null(strstr(w->words, "is bad"));
    sld_xds_clients(w->x, take_info, NULL);
    assert_true(sld_str_eq(info.types[SLD_XDS_SECRET].last_error, sld_xds_hidden_words));
    PUT(w, C("bad", "C BAD"));
    fake_settle(w->f);
    sld_xds_clients(w->x, take_info, NULL);
    assert_true(sld_str_find(info.types[SLD_XDS_CLUSTER].last_error, SLD_STR("is bad")) >= 0);
}

static void test_refused_cluster_takes_its_endpoints_back(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, C("bad", "C BAD"), E("bad", "E 1"));
    fake_settle(w->f);
    // The endpoints that went ahead are no subscription.
    PUT(w, E("bad", "E 2"));
    fake_expect_nothing(w->f);
}

static void routes(struct world *w, int n, int bad)
{
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    char name[16], bytes[32];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "r%d", i);
        snprintf(bytes, sizeof(bytes), "R %s", i == bad ? "BAD" : "2");
        batch_put(b, "gw", &(struct make)R(name, bytes, NULL));
    }
    sld_xds_apply(w->x, b, w->now);
}

static void watch_routes(struct world *w, int n)
{
    struct sld_buf names;
    PUT(w, S("x", "S 1")); // the view exists
    sld_buf_init(&names, 65536);
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%sr%d", i ? "," : "", i);
        sld_buf_addz(&names, name);
    }
    sld_buf_addc(&names, 0);
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = names.p);
    sld_buf_fini(&names);
    for (int i = 0; i < n; i++) {
        char name[16];
        snprintf(name, sizeof(name), "r%d", i);
        sld_map_set(&w->f->watches[SLD_XDS_ROUTE], sld_str_c(name), w);
    }
    fake_settle(w->f);
}

static void isolate(struct world *w, int n, int bad, size_t most)
{
    char name[16];
    struct sld_map convicted = {0};
    w->f->convicted = &convicted;
    watch_routes(w, n);
    size_t before = w->f->messages;
    routes(w, n, bad);
    fake_settle(w->f);
    assert_int_equal(w->refused, 1);
    snprintf(name, sizeof(name), "r%d", bad);
    assert_string_equal(w->refused_name, name);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "r%d", i);
        assert_true(fake_holds(w->f, SLD_XDS_ROUTE, name, i == bad ? NULL : "R 2"));
    }
    assert_true(w->f->messages - before <= most);
    w->f->convicted = NULL;
    sld_map_fini(&convicted);
}

static void test_few_are_sent_again_singly(void **state)
{
    isolate(*state, 5, 3, 1 + 5);
}

static void test_many_are_halved(void **state)
{
    // 100 -> 50 + 50 -> (25 + 25) -> 25 single ones.
    isolate(*state, 100, 70, 1 + 2 + 2 + 25);
}

static void test_edits_pass_while_the_culprit_is_sought(void **state)
{
    struct world *w = *state;
    watch_routes(w, 6);
    routes(w, 6, 2);
    w->f->hold_acks = true;
    while (fake_step(w->f))
        continue;
    assert_true(fake_answer(w->f)); // the NACK
    assert_true(fake_step(w->f));   // the first of the single ones is out
    PUT(w, R("r9", "R 1", NULL));
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r9");
    sld_map_set(&w->f->watches[SLD_XDS_ROUTE], SLD_STR("r9"), w);
    assert_true(fake_answer(w->f));
    assert_true(fake_step(w->f)); // it overtakes the rest of them
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r9", "R 1"));
    w->f->hold_acks = false;
    fake_settle(w->f);
    assert_string_equal(w->refused_name, "r2");
}

// An Envoy that never asks for clusters waits for the cap before it gets what lists some.
static void let_go(struct world *w, struct fake *g)
{
    fake_expect_nothing(g);
    w->now += 5 * SECOND;
    sld_xds_tick(w->x, w->now);
}

static void test_newcomer_gets_the_last_good_form(void **state)
{
    struct world *w = *state;
    struct sld_map convicted = {0};
    settled(w);
    w->f->convicted = &convicted;
    PUT(w, C("b", "C 1"), E("b", "E 1"), R("r", "R BAD b", "b"));
    fake_settle(w->f);
    assert_int_equal(w->refused, 1);
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", "R 1 a"));
    // The cluster of the last good form stays, though nothing present lists it.
    del(w, SLD_XDS_CLUSTER, "a");
    fake_settle(w->f);
    w->now += 100 * SECOND;
    sld_xds_tick(w->x, w->now);
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_CLUSTER, "a", "C 1"));
    struct fake *g = fake_create(w->x, SLD_XDS_DELTA_ADS, "gw", 40, &w->now, &convicted);
    fake_open(g);
    sld_map_set(&g->watches[SLD_XDS_ROUTE], SLD_STR("r"), g);
    FAKE_SEND(g, .type = SLD_XDS_ROUTE, .names = "r");
    let_go(w, g);
    struct fake_msg *m = fake_next(g);
    assert_true(sld_str_eq(fake_find(m, "r")->bytes, SLD_STR("R 1 a")));
    fake_free(m);
    fake_destroy(g);
    // Another build gets its own try.
    g = fake_create(w->x, SLD_XDS_DELTA_ADS, "gw", 41, &w->now, NULL);
    fake_open(g);
    FAKE_SEND(g, .type = SLD_XDS_ROUTE, .names = "r");
    let_go(w, g);
    m = fake_next(g);
    assert_true(sld_str_eq(fake_find(m, "r")->bytes, SLD_STR("R BAD b")));
    fake_free(m);
    FAKE_SEND(g, .type = SLD_XDS_ROUTE, .nonce = "1", .error = "no");
    assert_int_equal(w->refused, 2);
    fake_expect_nothing(g); // and has no last good one
    fake_destroy(g);
    w->f->convicted = NULL;
    sld_map_fini(&convicted);
}

static void test_one_report_per_build(void **state)
{
    struct world *w = *state;
    PUT(w, R("r", "R BAD", NULL));
    struct fake *g = fake_create(w->x, SLD_XDS_DELTA_ADS, "gw", 40, &w->now, NULL);
    fake_open(g);
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r");
    FAKE_SEND(g, .type = SLD_XDS_ROUTE, .names = "r");
    fake_expect(w->f, SLD_XDS_ROUTE, "r", false);
    fake_expect(g, SLD_XDS_ROUTE, "r", false);
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .nonce = "1", .error = "no");
    FAKE_SEND(g, .type = SLD_XDS_ROUTE, .nonce = "1", .error = "no");
    assert_int_equal(w->refused, 1);
    fake_expect_nothing(w->f);
    fake_expect_nothing(g);
    fake_destroy(g);
}

static void test_restored_refusal(void **state)
{
    struct world *w = *state;
    struct sld_xds_resource *r = make_resource(&(struct make)R("r", "R BAD", NULL));
    sld_xds_refuse(w->x, r->obj.hash, SLD_STR("envoy/1.40.0/abc"));
    SLD_UNREF(r);
    PUT(w, R("r", "R BAD", NULL));
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r");
    fake_expect_nothing(w->f);
    assert_int_equal(w->refused, 1);
    PUT(w, R("r", "R 1", NULL));
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
}

static void test_refused_bytes_that_come_back_are_told(void **state)
{
    struct world *w = *state;
    PUT(w, R("r", "R BAD", NULL));
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r");
    fake_expect(w->f, SLD_XDS_ROUTE, "r", false);
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .nonce = "1", .error = "no");
    assert_int_equal(w->refused, 1);
    PUT(w, R("r", "R 1", NULL));
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
    PUT(w, R("r", "R BAD", NULL));
    fake_expect_nothing(w->f);
    assert_int_equal(w->refused, 2);
}

// What only absent builds refused is told of them when one is there again.
static void test_what_an_absent_build_refused_is_told_when_it_comes(void **state)
{
    struct world *w = *state;
    PUT(w, R("r", "R BAD", NULL));
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r");
    fake_expect(w->f, SLD_XDS_ROUTE, "r", false);
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .nonce = "1", .error = "no");
    PUT(w, R("r", "R 1", NULL));
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
    assert_int_equal(w->refused, 1);
    struct fake *other = fake_create(w->x, SLD_XDS_DELTA_ADS, "gw", 41, &w->now, NULL);
    fake_open(other);
    FAKE_SEND(other, .type = SLD_XDS_ROUTE, .names = "r");
    fake_expect(other, SLD_XDS_ROUTE, "r", true);
    fake_close(w->f);
    PUT(w, R("r", "R BAD", NULL)); // who is there may take it
    assert_int_equal(w->refused, 1);
    fake_open(w->f);
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r");
    assert_int_equal(w->refused, 2);
    fake_destroy(other);
}

static void test_one_machine_differs(void **state)
{
    struct world *w = *state;
    settled(w);
    struct fake *g = fake_create(w->x, SLD_XDS_DELTA_ADS, "gw", 40, &w->now, NULL);
    fake_open(g);
    FAKE_SEND(g, .type = SLD_XDS_LISTENER);
    let_go(w, g);
    fake_expect(g, SLD_XDS_LISTENER, "l", false);
    FAKE_SEND(g, .type = SLD_XDS_LISTENER, .nonce = "1",
              .error = "Error adding/updating listener(s) l: cannot bind '0.0.0.0:80'");
    assert_int_equal(w->refused, 1);
    fake_expect_nothing(g);
    // Nothing is taken from the Envoy that has it, and the next form goes to both.
    fake_expect_nothing(w->f);
    PUT(w, L("l", "L 2 r", "r"));
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_LISTENER, "l", "L 2 r"));
    fake_expect(g, SLD_XDS_LISTENER, "l", true);
    fake_destroy(g);
}

static void test_what_was_taken_beside_goes_again(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "C 1", .no_eds = true), C("b", "C BAD", .no_eds = true));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "a,b", false);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .nonce = "1",
              .error = "Error adding/updating cluster(s) b: is bad");
    // Envoy has a, but no version of it to report.
    fake_expect(w->f, SLD_XDS_CLUSTER, "a", true);
    fake_expect_nothing(w->f);
    assert_int_equal(w->refused, 1);
    assert_string_equal(w->refused_name, "b");
}

static void test_one_resource_among_removals_is_the_culprit(void **state)
{
    struct world *w = *state;
    PUT(w, E("a", "E 1"), E("b", "E 1"));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "", true);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "a,b");
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a,b", false);
    PUT(w, E("a", "E BAD"));
    del(w, SLD_XDS_ENDPOINT, "b");
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = "2");
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a,-b", false);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = "3", .error = "no good");
    assert_int_equal(w->refused, 1);
    assert_string_equal(w->refused_name, "a");
    fake_expect(w->f, SLD_XDS_ENDPOINT, "-b", true);
    fake_expect_nothing(w->f);
}

static void test_late_good_form_reaches_the_others(void **state)
{
    struct world *w = *state;
    struct fake *g = fake_create(w->x, SLD_XDS_DELTA_ADS, "gw", 40, &w->now, NULL);
    PUT(w, C("a", "C 1", .no_eds = true));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "a", false);
    PUT(w, C("a", "C BAD", .no_eds = true));
    fake_open(g);
    FAKE_SEND(g, .type = SLD_XDS_CLUSTER);
    fake_expect(g, SLD_XDS_CLUSTER, "a", false);
    FAKE_SEND(g, .type = SLD_XDS_CLUSTER, .nonce = "1", .error = "a: is bad");
    fake_expect_nothing(g); // nobody has acknowledged anything of it
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .nonce = "1");
    assert_true(sld_xds_deadline(w->x) == w->now);
    sld_xds_tick(w->x, w->now);
    fake_expect(g, SLD_XDS_CLUSTER, "a", true);
    fake_expect_nothing(w->f);
    fake_destroy(g);
}

static void test_refused_endpoints_become_empty(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "C 1"), E("a", "E BAD"), R("r", "R 1 a", "a"), L("l", "L 1 r", "r"));
    fake_start(w->f);
    fake_settle(w->f);
    assert_int_equal(w->refused, 1);
    assert_true(fake_holds(w->f, SLD_XDS_ENDPOINT, "a", "\x0a\x01" "a"));
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", "R 1 a"));
}

// The maker of clusters hears of the refusal at the same time, and makes another one.
static void test_a_listener_waits_for_another_form_of_a_refused_cluster(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, C("bad", "C BAD gated", .gated = true), E("bad", "E 1"),
        {.type = SLD_XDS_LISTENER, .name = "m", .bytes = "L 1", .clusters = "bad"});
    fake_settle(w->f);
    assert_int_equal(w->refused, 1);
    assert_true(fake_holds(w->f, SLD_XDS_LISTENER, "m", NULL));
    PUT(w, C("bad", "C 2 gated", .gated = true));
    fake_settle(w->f);
    fake_warm(w->f, "bad");
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_LISTENER, "m", "L 1"));
    // A new form of the cluster is refused: the client has the one before.
    PUT(w, C("bad", "C 3 BAD gated", .gated = true),
        {.type = SLD_XDS_LISTENER, .name = "m", .bytes = "L 2", .clusters = "bad"});
    fake_settle(w->f);
    assert_int_equal(w->refused, 2);
    assert_true(fake_holds(w->f, SLD_XDS_LISTENER, "m", "L 2"));
}

static void test_a_listener_waits_no_longer_than_the_cap(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, C("bad", "C BAD gated", .gated = true), E("bad", "E 1"),
        {.type = SLD_XDS_LISTENER, .name = "m", .bytes = "L 1", .clusters = "bad"});
    fake_settle(w->f);
    w->now += 5 * SECOND - 1;
    sld_xds_tick(w->x, w->now);
    fake_expect_nothing(w->f);
    assert_true(sld_xds_deadline(w->x) == w->now + 1);
    w->now += 1;
    sld_xds_tick(w->x, w->now);
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_LISTENER, "m", "L 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_cluster_is_blamed_by_name),
        T(test_words_about_secrets_are_not_shown),
        T(test_refused_cluster_takes_its_endpoints_back),
        T(test_few_are_sent_again_singly),
        T(test_many_are_halved),
        T(test_edits_pass_while_the_culprit_is_sought),
        T(test_newcomer_gets_the_last_good_form),
        T(test_one_report_per_build),
        T(test_restored_refusal),
        T(test_refused_bytes_that_come_back_are_told),
        T(test_what_an_absent_build_refused_is_told_when_it_comes),
        T(test_one_machine_differs),
        T(test_what_was_taken_beside_goes_again),
        T(test_one_resource_among_removals_is_the_culprit),
        T(test_late_good_form_reaches_the_others),
        T(test_refused_endpoints_become_empty),
        T(test_a_listener_waits_for_another_form_of_a_refused_cluster),
        T(test_a_listener_waits_no_longer_than_the_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// The delta protocol: subscriptions, versions, absence, removal, order, limits.
#include "world.c"

#include "xds/inside.h"

// ---- subscriptions ----

static void test_legacy_wildcard(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "C 1"), C("b", "C 1"));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "a,b", true);
    fake_expect_nothing(w->f);
    PUT(w, C("b", "C 2"));
    fake_expect(w->f, SLD_XDS_CLUSTER, "b", true);
    // The node was on the first message only.
    sld_xds_clients(w->x, take_info, NULL);
    assert_true(sld_str_eq(info.role, SLD_STR("gw")));
    assert_true(sld_str_eq(info.build, SLD_STR("envoy/1.40.0/abc")));
    assert_true(info.types[SLD_XDS_CLUSTER].wildcard);
}

static void test_packed_bytes_are_sent_whole(void **state)
{
    struct world *w = *state;
    char long_one[2000];
    memset(long_one, 'x', sizeof(long_one) - 1);
    long_one[sizeof(long_one) - 1] = 0;
    PUT(w, C("a", "C 1"), E("a", long_one), R("r", "R 1 a", "a"), L("l", "L 1 r", "r"));
    fake_start(w->f);
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ENDPOINT, "a", long_one));
    long_one[1000] = 'y';
    PUT(w, E("a", long_one));
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ENDPOINT, "a", long_one));
}

static void test_empty_wildcard_is_answered(void **state)
{
    struct world *w = *state;
    PUT(w, S("x", "S 1"));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "", true);
    fake_expect_nothing(w->f);
}

static void test_explicit_wildcard_and_names(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "C 1"), C("b", "C 1"));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .names = "a");
    fake_expect(w->f, SLD_XDS_CLUSTER, "a", true);
    // After a name was sent, an empty list is no wildcard.
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect_nothing(w->f);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .names = "*");
    fake_expect(w->f, SLD_XDS_CLUSTER, "b", true);
    // Still covered by the wildcard: the server must say so.
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .unsubscribe = "a");
    fake_expect(w->f, SLD_XDS_CLUSTER, "a", true);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .unsubscribe = "*");
    PUT(w, C("a", "C 2"), C("b", "C 2"));
    fake_expect_nothing(w->f);
}

static void test_unsubscribed_name_that_is_gone(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "C 1"));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .names = "*,x");
    fake_expect(w->f, SLD_XDS_CLUSTER, "a", true);
    fake_expect(w->f, SLD_XDS_CLUSTER, "-x", true);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .unsubscribe = "x");
    fake_expect(w->f, SLD_XDS_CLUSTER, "-x", true);
}

static void test_names_and_absence(void **state)
{
    struct world *w = *state;
    PUT(w, R("r", "R 1", NULL), S("s", "S 1"));
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r,q");
    fake_expect(w->f, SLD_XDS_ROUTE, "r,-q", true);
    // Interest in the absent one is remembered.
    PUT(w, R("q", "R 1", NULL));
    fake_expect(w->f, SLD_XDS_ROUTE, "q", true);
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .unsubscribe = "q");
    PUT(w, R("q", "R 2", NULL), R("r", "R 2", NULL));
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
    // Asked again, answered again.
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "q");
    fake_expect(w->f, SLD_XDS_ROUTE, "q", true);
    FAKE_SEND(w->f, .type = SLD_XDS_SECRET, .names = "s");
    fake_expect(w->f, SLD_XDS_SECRET, "s", true);
    del(w, SLD_XDS_SECRET, "s");
    fake_expect(w->f, SLD_XDS_SECRET, "-s", true);
}

static void test_endpoints_of_known_cluster_are_never_absent(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "C 1"), E("a", "E 1"), C("b", "C 1"));
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "a,b,c");
    struct fake_msg *m = fake_next(w->f);
    assert_non_null(m);
    assert_int_equal(m->resource_count, 2);
    // An empty ClusterLoadAssignment: field 1, length 1, "b".
    assert_true(sld_str_eq(fake_find(m, "b")->bytes, SLD_STR("\x0a\x01" "b")));
    assert_true(fake_removed(m, "c"));
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = "1");
    fake_free(m);
    // To empty a cluster is to send it an empty assignment, and somebody has to give that.
    del(w, SLD_XDS_ENDPOINT, "a");
    fake_expect_nothing(w->f);
    PUT(w, E("a", "\x0a\x01" "a"));
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
    PUT(w, E("b", "E 1"));
    fake_expect(w->f, SLD_XDS_ENDPOINT, "b", true);
}

// The empty assignment that was made for a cluster goes when its endpoints come, unless a client has it.
static void test_empty_assignment_goes(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "C 1"), E("z", "E 1"));
    sld_xds_declare(w->x, SLD_STR("gw"));
    struct sld_xds_view *v = sld_map_get(&w->x->views, SLD_STR("gw"));
    struct sld_xds_entry *e = sld_xds_entry_find(v, SLD_XDS_ENDPOINT, SLD_STR("a"));
    assert_non_null(e->empty);
    PUT(w, E("a", "E 1"));
    assert_null(e->empty);
    del(w, SLD_XDS_ENDPOINT, "a");
    assert_non_null(e->empty);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "a");
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
    PUT(w, E("a", "E 2"));
    assert_non_null(e->empty);
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
}

static void test_stale_nonce_still_subscribes(void **state)
{
    struct world *w = *state;
    PUT(w, R("r", "R 1", NULL), R("q", "R 1", NULL));
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r");
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
    PUT(w, R("r", "R 2", NULL));
    // An answer to the response before the last, and to none at all: the names count.
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .nonce = "1", .names = "q");
    fake_expect(w->f, SLD_XDS_ROUTE, "r", false);
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .nonce = "77", .unsubscribe = "r");
    fake_expect_nothing(w->f); // the response with r is not answered yet
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .nonce = "2");
    fake_expect(w->f, SLD_XDS_ROUTE, "q", true);
    PUT(w, R("r", "R 3", NULL));
    fake_expect_nothing(w->f);
}

static void version_of(const struct make *m, char out[17])
{
    struct sld_xds_resource *r = make_resource(m);
    sld_hash_text(r->obj.hash, out);
    SLD_UNREF(r);
}

static void test_reconnect_sends_the_difference(void **state)
{
    struct world *w = *state;
    struct make a = C("a", "C 1");
    char version[17], versions[256];
    PUT(w, C("a", "C 1"), C("b", "C 1"), C("c", "C 1"));
    version_of(&a, version);
    snprintf(versions, sizeof(versions), "a=%s,b=0000000000000000,gone=1111111111111111", version);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .versions = versions);
    fake_expect(w->f, SLD_XDS_CLUSTER, "b,c", true);
    fake_expect_nothing(w->f);
    // What vanished is taken away once nothing can use it any more.
    w->now += 5 * SECOND;
    sld_xds_tick(w->x, w->now);
    fake_expect_nothing(w->f);
    w->now += 30 * SECOND;
    sld_xds_tick(w->x, w->now);
    fake_expect(w->f, SLD_XDS_CLUSTER, "-gone", true);
}

static void test_reconnect_with_everything_is_silent(void **state)
{
    struct world *w = *state;
    settled(w);
    fake_close(w->f);
    fake_open(w->f);
    fake_start(w->f);
    fake_expect_nothing(w->f);
    sld_xds_clients(w->x, take_info, NULL);
    assert_true(info.converged);
    // A cluster that changed meanwhile brings its endpoints, though those did not change.
    fake_close(w->f);
    PUT(w, C("a", "C 2"));
    fake_open(w->f);
    fake_start(w->f);
    fake_expect(w->f, SLD_XDS_CLUSTER, "a", true);
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
    fake_expect_nothing(w->f);
}

#define NONE "\x0a\x01" "a" // the assignment of cluster a without endpoints

// The registry has not told yet, or is away: what an Envoy has is not taken from it.
static void test_endpoints_that_nobody_knows_yet_stay(void **state)
{
    struct world *w = *state;
    settled(w);
    restart(w);
    PUT(w, C("a", "C 1"), R("r", "R 1 a", "a"), L("l", "L 1 r", "r"));
    fake_open(w->f);
    fake_start(w->f);
    fake_expect_nothing(w->f);
    sld_xds_clients(w->x, take_info, NULL);
    assert_true(info.converged);
    w->now += 100 * SECOND;
    sld_xds_tick(w->x, w->now);
    fake_expect_nothing(w->f);
    PUT(w, E("a", "E 2"));
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
    fake_expect_nothing(w->f);
    // The same while the process lives. A new form of the cluster gets what it had.
    del(w, SLD_XDS_ENDPOINT, "a");
    fake_expect_nothing(w->f);
    PUT(w, C("a", "C 2"));
    fake_expect(w->f, SLD_XDS_CLUSTER, "a", true);
    struct fake_msg *m = fake_next(w->f);
    assert_true(m && sld_str_eq(fake_find(m, "a")->bytes, SLD_STR("E 2")));
    fake_free(m);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = "3");
    fake_expect_nothing(w->f);
    // Somebody knows that there are none.
    PUT(w, E("a", NONE));
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
    fake_expect_nothing(w->f);
}

// Also when it is told before any other was known.
static void test_that_there_are_none_is_told(void **state)
{
    struct world *w = *state;
    settled(w);
    restart(w);
    PUT(w, C("a", "C 1"), R("r", "R 1 a", "a"), L("l", "L 1 r", "r"));
    fake_open(w->f);
    fake_start(w->f);
    fake_expect_nothing(w->f);
    PUT(w, E("a", NONE));
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
    fake_expect_nothing(w->f);
}

// What the last process left may be older than what an Envoy got from it.
static void test_endpoints_of_the_past_wait_for_a_word(void **state)
{
    struct world *w = *state;
    struct make past = E("a", "E 0");
    past.past = true;
    settled(w);
    restart(w);
    PUT(w, C("a", "C 1"), R("r", "R 1 a", "a"), L("l", "L 1 r", "r"), past);
    fake_open(w->f);
    fake_start(w->f);
    fake_expect_nothing(w->f);
    // Who has none gets them.
    struct fake *g = fake_create(w->x, SLD_XDS_DELTA_ADS, "gw", 40, &w->now, NULL);
    fake_open(g);
    fake_start(g);
    fake_settle(g);
    assert_true(fake_holds(g, SLD_XDS_ENDPOINT, "a", "E 0"));
    fake_destroy(g);
    PUT(w, E("a", "E 0"));
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
    fake_expect_nothing(w->f);
    // An Envoy that came with none, too.
    w->f->emptied = true;
    PUT(w, E("a", NONE));
    fake_settle(w->f);
    restart(w);
    PUT(w, C("a", "C 1"), R("r", "R 1 a", "a"), L("l", "L 1 r", "r"), past);
    fake_open(w->f);
    fake_start(w->f);
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
    fake_expect_nothing(w->f);
}

static void confirm(struct world *w, const char *name)
{
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    sld_xds_batch_confirm(b, sld_str_c(name));
    sld_xds_apply(w->x, b, w->now);
}

// The word that they are as they were is enough.
static void test_endpoints_of_the_past_are_confirmed(void **state)
{
    struct world *w = *state;
    struct make past = E("a", "E 0"), kept = E("b", "E 1");
    past.past = kept.past = true;
    settled(w);
    restart(w);
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    batch_put(b, "", &past);
    batch_put(b, "", &kept);
    sld_xds_apply(w->x, b, w->now);
    confirm(w, "b"); // others, and no view has them yet
    PUT(w, C("a", "C 1"), R("r", "R 1 a", "a"), L("l", "L 1 r", "r"));
    struct sld_xds_view *v = sld_map_get(&w->x->views, SLD_STR("gw"));
    assert_false(sld_xds_entry_find(v, SLD_XDS_ENDPOINT, SLD_STR("b"))->past);
    assert_true(sld_xds_entry_find(v, SLD_XDS_ENDPOINT, SLD_STR("a"))->past);
    fake_open(w->f);
    fake_start(w->f);
    fake_expect_nothing(w->f);
    confirm(w, "c"); // nobody knows any more
    fake_expect_nothing(w->f);
    confirm(w, "a");
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ENDPOINT, "a", "E 0"));
    confirm(w, "a");
    fake_expect_nothing(w->f);
    // Nor are they of the past to a view that they come to later.
    v = sld_map_get(&w->x->views, SLD_STR("fallback"));
    assert_false(v->laid);
    sld_xds_view_lay(v);
    assert_false(sld_xds_entry_find(v, SLD_XDS_ENDPOINT, SLD_STR("a"))->past);
}

// Endpoints that are made when they are sent.
struct counted {
    struct sld_recipe recipe;
    unsigned *made;
};

static void counted_free(struct sld_obj *o)
{
    sld_xfree(o);
}

static void counted_make(const struct sld_recipe *r, char *to)
{
    ++*((const struct counted *)r)->made;
    memcpy(to, "E 2", r->size);
}

// They are made once for all clients that get them at one time.
static void test_recipes_are_made_once_for_many(void **state)
{
    struct world *w = *state;
    struct fake *more[3];
    unsigned made = 0;
    settled(w);
    for (size_t i = 0; i < SLD_ARRAY_LEN(more); i++) {
        more[i] = fake_create(w->x, SLD_XDS_DELTA_ADS, "gw", 40, &w->now, NULL);
        fake_open(more[i]);
        fake_start(more[i]);
        fake_settle(more[i]);
    }
    struct counted *c = SLD_NEW(struct counted);
    sld_recipe_init(&c->recipe, counted_free, counted_make, 3);
    c->made = &made;
    struct sld_xds_resource *r = sld_xds_resource_create(SLD_XDS_ENDPOINT, SLD_STR("a"));
    r->recipe = &c->recipe;
    r->keep = &c->recipe.obj;
    r->content = sld_hash_bytes(SLD_STR("E 2"));
    sld_xds_resource_seal(r);
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    sld_xds_batch_add(b, SLD_XDS_ENDPOINT, SLD_STR("gw"), r->name, r);
    SLD_UNREF(r);
    sld_xds_apply(w->x, b, w->now);
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
    for (size_t i = 0; i < SLD_ARRAY_LEN(more); i++) {
        fake_expect(more[i], SLD_XDS_ENDPOINT, "a", true);
        fake_destroy(more[i]);
    }
    assert_int_equal(made, 1);
    assert_null(c->recipe.made); // and not kept
}

// A route that chooses by what nobody knows yet does not take the place of the one that an earlier process sent.
static void test_guessed_routes_wait_for_a_word(void **state)
{
    struct world *w = *state;
    struct make guess = R("r", "R 0 a", "a"), edit = R("r", "R 3 a", "a");
    guess.past = edit.past = true;
    for (int i = 0; i < 3; i++) {
        settled(w);
        restart(w);
        PUT(w, C("a", "C 1"), E("a", "E 1"), guess, L("l", "L 1 r", "r"));
        fake_open(w->f);
        fake_start(w->f);
        fake_expect_nothing(w->f);
        if (i == 0)
            PUT(w, R("r", "R 2 a", "a")); // somebody knows
        else if (i == 1)
            PUT(w, R("r", "R 0 a", "a")); // and it was right
        else
            PUT(w, edit); // not for the sake of another route of the table
        fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
        fake_expect_nothing(w->f);
    }
    struct fake *g = fake_create(w->x, SLD_XDS_DELTA_ADS, "gw", 40, &w->now, NULL);
    fake_open(g);
    fake_start(g);
    fake_settle(g);
    assert_true(fake_holds(g, SLD_XDS_ROUTE, "r", "R 3 a"));
    fake_destroy(g);
}

// ---- order ----

static void test_first_shape_takes_the_proof(void **state)
{
    struct world *w = *state;
    struct fake *f = w->f;
    PUT(w, C("a", "C 1"), E("a", "E 1"), R("r", "R 1 a", "a"), L("l", "L 1 r", "r"));
    FAKE_SEND(f, .type = SLD_XDS_CLUSTER);
    FAKE_SEND(f, .type = SLD_XDS_LISTENER);
    FAKE_SEND(f, .type = SLD_XDS_ROUTE, .names = "r");
    fake_expect(f, SLD_XDS_CLUSTER, "a", false);
    fake_expect_nothing(f);
    FAKE_SEND(f, .type = SLD_XDS_ENDPOINT, .names = "a");
    fake_expect(f, SLD_XDS_ENDPOINT, "a", false);
    fake_expect_nothing(f); // not before the endpoints are acknowledged
    FAKE_SEND(f, .type = SLD_XDS_ENDPOINT, .nonce = "2");
    fake_expect(f, SLD_XDS_LISTENER, "l", true);
    fake_expect(f, SLD_XDS_ROUTE, "r", true);
    fake_expect_nothing(f);
}

static void test_known_shape_goes_in_one_burst(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, R("r", "R 2 b", "b"), E("b", "E 1"), C("b", "C 1"));
    fake_expect(w->f, SLD_XDS_CLUSTER, "b", false);
    fake_expect(w->f, SLD_XDS_ENDPOINT, "b", false);
    fake_expect(w->f, SLD_XDS_ROUTE, "r", false);
    // The subscription that follows was answered ahead.
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "b");
    fake_expect_nothing(w->f);
}

static void test_no_burst_while_endpoints_are_unanswered(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, E("a", "E 2"));
    struct fake_msg *m = fake_next(w->f);
    char nonce[24];
    snprintf(nonce, sizeof(nonce), "%.*s", SLD_FMT(m->nonce));
    fake_free(m);
    PUT(w, R("r", "R 2 b", "b"), E("b", "E 1"), C("b", "C 1"));
    fake_expect(w->f, SLD_XDS_CLUSTER, "b", false);
    fake_expect_nothing(w->f);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = nonce);
    fake_expect(w->f, SLD_XDS_ENDPOINT, "b", false);
    fake_expect(w->f, SLD_XDS_ROUTE, "r", false);
}

static void test_gated_cluster_waits_for_its_ack(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, R("r", "R 2 b", "b"), E("b", "E 1"), C("b", "C gated", .gated = true));
    w->f->hold_acks = true;
    fake_settle(w->f);
    while (fake_answer(w->f))
        continue; // all but the CDS ACK, which is withheld while b warms
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", "R 1 a"));
    fake_expect_nothing(w->f);
    fake_warm(w->f, "b");
    w->f->hold_acks = false;
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", "R 2 b"));
}

// Somebody asks a registry for them: the route that leads there goes when they are known, or cannot be.
static void test_route_waits_for_endpoints_to_be_known(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, R("r", "R 2 b", "b"), C("b", "C 1"));
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", "R 1 a"));
    PUT(w, E("b", "E 1"));
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", "R 2 b"));
    PUT(w, R("r", "R 3 c", "c"), C("c", "C 1"));
    fake_settle(w->f);
    assert_int_equal(sld_xds_deadline(w->x), w->now + 5 * SECOND);
    w->now += 5 * SECOND;
    sld_xds_tick(w->x, w->now);
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", "R 3 c"));
}

static void test_new_client_waits_for_endpoints_to_be_known(void **state)
{
    struct world *w = *state;
    PUT(w, C("a", "C 1"), C("b", "C 1"), R("r", "R 1 a,b", "a,b"), L("l", "L 1 r", "r"));
    w->now += SECOND;
    fake_start(w->f);
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", NULL));
    PUT(w, E("a", "E 1"));
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", NULL));
    PUT(w, E("b", "E 1"));
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", "R 1 a,b"));
}

static void test_gate_is_capped(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, R("r", "R 2 b", "b"), E("b", "E 1"), C("b", "C gated", .gated = true));
    fake_settle(w->f);
    assert_int_equal(sld_xds_deadline(w->x), w->now + 5 * SECOND);
    w->now += 5 * SECOND - 1;
    sld_xds_tick(w->x, w->now);
    fake_expect_nothing(w->f);
    w->now += 1;
    sld_xds_tick(w->x, w->now);
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
}

static void test_cluster_update_brings_endpoints(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, C("a", "C 2"), R("r", "R 2 a", "a"));
    fake_expect(w->f, SLD_XDS_CLUSTER, "a", false);
    fake_expect(w->f, SLD_XDS_ENDPOINT, "a", true);
    // The old form serves: the route need not wait.
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
    fake_expect_nothing(w->f);
}

static void test_listener_update_brings_children(void **state)
{
    struct world *w = *state;
    PUT(w, R("r", "R 1", NULL), S("s", "S 1"),
        {.type = SLD_XDS_LISTENER, .name = "l", .bytes = "L 1", .routes = "r", .secrets = "s"});
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "", true);
    FAKE_SEND(w->f, .type = SLD_XDS_LISTENER);
    fake_expect(w->f, SLD_XDS_LISTENER, "l", true);
    FAKE_SEND(w->f, .type = SLD_XDS_SECRET, .names = "s");
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r");
    fake_expect(w->f, SLD_XDS_SECRET, "s", true);
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
    PUT(w, {.type = SLD_XDS_LISTENER, .name = "l", .bytes = "L 2", .routes = "r", .secrets = "s"});
    fake_expect(w->f, SLD_XDS_LISTENER, "l", false);
    fake_expect(w->f, SLD_XDS_SECRET, "s", true);
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
    fake_expect_nothing(w->f);
}

static void test_listener_waits_for_children(void **state)
{
    struct world *w = *state;
    struct make l = {.type = SLD_XDS_LISTENER, .name = "l", .bytes = "L 1", .secrets = "s"};
    put(w, &l, 1);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "", true);
    FAKE_SEND(w->f, .type = SLD_XDS_LISTENER);
    w->now += 60 * SECOND;
    sld_xds_tick(w->x, w->now);
    fake_expect_nothing(w->f); // never without its certificate
    PUT(w, S("s", "S 1"));
    fake_expect(w->f, SLD_XDS_LISTENER, "l", true);
}

static void test_removal_lingers(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, R("r", "R 2 b", "b"), E("b", "E 1"), C("b", "C 1"));
    del(w, SLD_XDS_CLUSTER, "a");
    del(w, SLD_XDS_ENDPOINT, "a");
    w->f->hold_acks = true;
    fake_settle(w->f);
    w->now += 100 * SECOND; // the switch is not acknowledged yet: no linger runs
    sld_xds_tick(w->x, w->now);
    fake_expect_nothing(w->f);
    w->f->hold_acks = false;
    fake_settle(w->f);
    assert_int_equal(sld_xds_deadline(w->x), w->now + 30 * SECOND);
    w->now += 30 * SECOND - 1;
    sld_xds_tick(w->x, w->now);
    fake_expect_nothing(w->f);
    w->now += 1;
    sld_xds_tick(w->x, w->now);
    fake_expect(w->f, SLD_XDS_CLUSTER, "-a", true);
    fake_expect_nothing(w->f); // the endpoints went with their cluster
}

static void test_a_cluster_in_use_stays(void **state)
{
    struct world *w = *state;
    settled(w);
    del(w, SLD_XDS_CLUSTER, "a"); // while route r lists it
    fake_settle(w->f);
    w->now += 100 * SECOND;
    sld_xds_tick(w->x, w->now);
    fake_expect_nothing(w->f);
    PUT(w, R("r", "R 2", NULL));
    fake_settle(w->f);
    w->now += 30 * SECOND;
    sld_xds_tick(w->x, w->now);
    fake_expect(w->f, SLD_XDS_CLUSTER, "-a", true);
}

static void test_linger_is_cancelled(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, R("r", "R 2", NULL));
    del(w, SLD_XDS_CLUSTER, "a");
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_CLUSTER, "a", "C 1"));
    w->now += 10 * SECOND;
    PUT(w, C("a", "C 1"), R("r", "R 3 a", "a"));
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true); // the cluster is there
    w->now += 100 * SECOND;
    sld_xds_tick(w->x, w->now);
    fake_expect_nothing(w->f);
    assert_int_equal(sld_xds_deadline(w->x), 0);
}

static void test_renamed_listener_is_one_response(void **state)
{
    struct world *w = *state;
    settled(w);
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    batch_del(b, "gw", SLD_XDS_LISTENER, "l");
    batch_put(b, "gw", &(struct make)L("m", "L 1 r", "r"));
    sld_xds_apply(w->x, b, w->now);
    fake_expect(w->f, SLD_XDS_LISTENER, "m,-l", true);
}

// ---- flow control ----

static void test_one_in_flight_newest_wins(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, E("a", "E 2"));
    PUT(w, E("a", "E 3"));
    PUT(w, E("a", "E 4"));
    struct fake_msg *m = fake_next(w->f);
    assert_true(sld_str_eq(fake_find(m, "a")->bytes, SLD_STR("E 2")));
    char nonce[24];
    snprintf(nonce, sizeof(nonce), "%.*s", SLD_FMT(m->nonce));
    fake_free(m);
    fake_expect_nothing(w->f);
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = nonce);
    m = fake_next(w->f);
    assert_true(sld_str_eq(fake_find(m, "a")->bytes, SLD_STR("E 4")));
    fake_free(m);
}

static void test_clusters_flow_while_unacked(void **state)
{
    struct world *w = *state;
    settled(w);
    char name[16];
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        PUT(w, C(name, "C static", .no_eds = true));
        if (i < 8)
            fake_expect(w->f, SLD_XDS_CLUSTER, name, false);
    }
    fake_expect_nothing(w->f);
}

static void test_large_responses_are_cut(void **state)
{
    struct world *w = *state;
    char *big = sld_xcalloc(1, 1500001);
    memset(big, 'x', 1500000);
    memcpy(big, "C ", 2);
    PUT(w, C("a", big), C("b", big), C("c", big));
    sld_xfree(big);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    fake_expect(w->f, SLD_XDS_CLUSTER, "a,b", true);
    fake_expect(w->f, SLD_XDS_CLUSTER, "c", true);
}

static void test_change_then_back_is_no_change(void **state)
{
    struct world *w = *state;
    settled(w);
    w->f->owes_sent = false;
    size_t before = w->f->messages;
    PUT(w, C("a", "C 1"), E("a", "E 1"));
    assert_int_equal(w->f->messages, before);
    // Also while another response is on its way.
    PUT(w, R("r", "R 2 a", "a"));
    PUT(w, C("a", "C 2"));
    PUT(w, C("a", "C 1"));
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
    fake_expect_nothing(w->f);
}

// The same bytes may need other clusters than before: those count that are told of last.
// The last good forms of several builds: newest first, and so many at most.
static void test_good_forms_of_builds(void **state)
{
    struct world *w = *state;
    struct sld_xds_build *builds[SLD_XDS_GOODS_MAX + 1];
    struct sld_xds_resource *forms[SLD_XDS_GOODS_MAX + 1];
    PUT(w, C("a", "C 1"));
    struct sld_xds_view *v = sld_map_get(&w->x->views, SLD_STR("gw"));
    struct sld_xds_entry *e = sld_xds_entry_find(v, SLD_XDS_CLUSTER, SLD_STR("a"));
    for (size_t i = 0; i <= SLD_XDS_GOODS_MAX; i++) {
        char name[] = {'b', (char)('0' + i), 0};
        builds[i] = sld_xds_build_get(&w->x->builds, sld_str_c(name));
        forms[i] = sld_xds_resource_create(SLD_XDS_CLUSTER, SLD_STR("a"));
        forms[i]->bytes = sld_arena_str(&forms[i]->arena, sld_str_c(name));
        sld_xds_resource_seal(forms[i]);
        assert_true(sld_xds_entry_good(e, builds[i], forms[i]));
        size_t n = i + 1 < SLD_XDS_GOODS_MAX ? i + 1 : SLD_XDS_GOODS_MAX;
        assert_int_equal(e->good_count, n);
        for (size_t k = 0; k < n; k++) {
            assert_ptr_equal(sld_xds_entry_goods(e)[k].build, builds[i - k]);
            assert_ptr_equal(sld_xds_entry_goods(e)[k].resource, forms[i - k]);
        }
    }
    for (size_t i = 0; i <= SLD_XDS_GOODS_MAX; i++)
        SLD_UNREF(forms[i]);
}

static void test_same_bytes_with_other_needs(void **state)
{
    struct world *w = *state;
    PUT(w, R("r", "R 1 a", NULL), L("l", "L 1 r", "r"));
    struct sld_xds_view *v = sld_map_get(&w->x->views, SLD_STR("gw"));
    const struct sld_xds_entry *e = sld_xds_entry_find(v, SLD_XDS_ROUTE, SLD_STR("r"));
    assert_int_equal(e->current->cluster_count, 0);
    PUT(w, C("a", "C 1", .gated = true), E("a", "E 1"), R("r", "R 1 a", "a"));
    assert_int_equal(e->current->cluster_count, 1);
    assert_true(sld_map_has(&v->users, SLD_STR("a")));
    fake_start(w->f);
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", "R 1 a"));
    assert_ptr_equal(sld_xds_entry_goods(e)[0].resource, e->current);
    PUT(w, R("r", "R 1 a", NULL));
    assert_int_equal(e->current->cluster_count, 0);
    assert_ptr_equal(sld_xds_entry_goods(e)[0].resource, e->current); // the former is not kept for it
    assert_false(sld_map_has(&v->users, SLD_STR("a")));
    fake_expect_nothing(w->f);
}

// ---- views ----

static void test_shared_and_own(void **state)
{
    struct world *w = *state;
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    batch_put(b, "", &(struct make)C("a", "C shared"));
    batch_put(b, "gw", &(struct make)C("a", "C own"));
    batch_put(b, "", &(struct make)C("b", "C shared"));
    sld_xds_apply(w->x, b, w->now);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    struct fake_msg *m = fake_next(w->f);
    assert_true(sld_str_eq(fake_find(m, "a")->bytes, SLD_STR("C own")));
    assert_true(sld_str_eq(fake_find(m, "b")->bytes, SLD_STR("C shared")));
    fake_free(m);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .nonce = "1");
    del(w, SLD_XDS_CLUSTER, "a");
    m = fake_next(w->f);
    assert_true(sld_str_eq(fake_find(m, "a")->bytes, SLD_STR("C shared")));
    fake_free(m);
}

static void test_unknown_role_gets_fallback_until_known(void **state)
{
    struct world *w = *state;
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    batch_put(b, "fallback", &(struct make)L("bad-bootstrap", "L 1", NULL));
    sld_xds_apply(w->x, b, w->now);
    FAKE_SEND(w->f, .type = SLD_XDS_LISTENER);
    fake_expect(w->f, SLD_XDS_LISTENER, "bad-bootstrap", true);
    PUT(w, L("l", "L 1", NULL));
    assert_int_equal(w->f->status, 14);
    fake_close(w->f);
    fake_open(w->f);
    FAKE_SEND(w->f, .type = SLD_XDS_LISTENER);
    fake_expect(w->f, SLD_XDS_LISTENER, "l", true);
}

// What is for all is laid under the fallback when the first client comes to it; what it has of its own stays.
static void test_fallback_is_laid_for_who_comes(void **state)
{
    struct world *w = *state;
    const struct sld_xds_view *v = sld_map_get(&w->x->views, SLD_STR("fallback"));
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    batch_put(b, "", &(struct make)C("a", "C shared"));
    batch_put(b, "", &(struct make)C("b", "C shared"));
    batch_put(b, "fallback", &(struct make)C("b", "C own"));
    sld_xds_apply(w->x, b, w->now);
    assert_null(sld_xds_entry_find(v, SLD_XDS_CLUSTER, SLD_STR("a")));
    assert_non_null(sld_xds_entry_find(v, SLD_XDS_CLUSTER, SLD_STR("b")));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER);
    struct fake_msg *m = fake_next(w->f);
    assert_true(sld_str_eq(fake_find(m, "a")->bytes, SLD_STR("C shared")));
    assert_true(sld_str_eq(fake_find(m, "b")->bytes, SLD_STR("C own")));
    fake_free(m);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .nonce = "1");
    b = sld_xds_batch_create(2);
    batch_put(b, "", &(struct make)C("c", "C shared"));
    sld_xds_apply(w->x, b, w->now);
    fake_expect(w->f, SLD_XDS_CLUSTER, "c", true);
}

static void test_too_many_names_held(void **state)
{
    struct world *w = *state;
    static char versions[1001 * 8];
    size_t n = 0;
    PUT(w, C("a", "C 1"));
    for (int i = 0; i <= 1000; i++)
        n += (size_t)snprintf(versions + n, sizeof(versions) - n, "%sn%d=1", i ? "," : "", i);
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .versions = versions);
    assert_int_equal(w->f->status, 8); // RESOURCE_EXHAUSTED
}

static void test_who_takes_nothing_is_cut_off(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, R("r", "R 2 a", "a")); // stays on the wire
    w->now += 30 * SECOND - 1;
    sld_xds_tick(w->x, w->now);
    assert_int_equal(w->f->status, -1);
    assert_int_equal(sld_xds_deadline(w->x), w->now + 1);
    w->now += 1;
    sld_xds_tick(w->x, w->now);
    assert_int_equal(w->f->status, 14); // UNAVAILABLE
}

static void test_too_much_before_serve(void **state)
{
    struct world *w = *state;
    struct sld_xds_options o;
    static char big[1 << 20];
    sld_xds_options_default(&o);
    struct sld_xds *x = sld_xds_create(&o, NULL);
    struct fake *f = fake_create(x, SLD_XDS_DELTA_ADS, "gw", 40, &w->now, NULL);
    fake_open(f);
    for (int i = 0; i < 63; i++)
        fake_raw(f, sld_str_n(big, sizeof(big)));
    assert_int_equal(f->status, -1);
    fake_raw(f, sld_str_n(big, sizeof(big)));
    assert_int_equal(f->status, 8); // RESOURCE_EXHAUSTED
    fake_destroy(f);
    sld_xds_destroy(x);
}

static void test_nothing_before_serve(void **state)
{
    struct world *w = *state;
    struct sld_xds_options o;
    sld_xds_options_default(&o);
    struct sld_xds *x = sld_xds_create(&o, NULL);
    struct fake *f = fake_create(x, SLD_XDS_DELTA_ADS, "gw", 40, &w->now, NULL);
    fake_open(f);
    FAKE_SEND(f, .type = SLD_XDS_CLUSTER);
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    batch_put(b, "gw", &(struct make)C("a", "C 1"));
    sld_xds_apply(x, b, w->now);
    fake_expect_nothing(f);
    sld_xds_serve(x, w->now);
    fake_expect(f, SLD_XDS_CLUSTER, "a", true);
    fake_destroy(f);
    sld_xds_destroy(x);
}

static void test_endpoints_that_vanish_before_they_went_ahead(void **state)
{
    struct world *w = *state;
    settled(w);
    PUT(w, E("a", "E 2"));
    struct fake_msg *m = fake_next(w->f);
    char nonce[24];
    snprintf(nonce, sizeof(nonce), "%.*s", SLD_FMT(m->nonce));
    assert_true(fake_find(m, "a") && m->type == SLD_XDS_ENDPOINT);
    fake_free(m);
    // Of a proven shape, so its endpoints may go ahead of the subscription; but one response is in flight.
    PUT(w, C("b", "C 1"), E("b", "E 1"));
    fake_expect(w->f, SLD_XDS_CLUSTER, "b", false);
    del(w, SLD_XDS_CLUSTER, "b");
    del(w, SLD_XDS_ENDPOINT, "b");
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .names = "b");
    FAKE_SEND(w->f, .type = SLD_XDS_ENDPOINT, .nonce = nonce);
    // The client warms b and would wait for 15 s.
    fake_expect(w->f, SLD_XDS_ENDPOINT, "b", true);
}

static void test_routes_wait_for_an_envoy_that_warms(void **state)
{
    struct world *w = *state;
    settled(w);
    fake_close(w->f);
    fake_open(w->f);
    // It reconnects while a cluster warms: about clusters it says nothing yet.
    FAKE_SEND(w->f, .type = SLD_XDS_ROUTE, .names = "r", .versions = "r=0000000000000001");
    fake_expect_nothing(w->f);
    struct sld_blob *version = sld_map_get(&w->f->versions[SLD_XDS_CLUSTER], SLD_STR("a"));
    char held[64];
    snprintf(held, sizeof(held), "a=%.*s", SLD_FMT(version->data));
    FAKE_SEND(w->f, .type = SLD_XDS_CLUSTER, .versions = held);
    fake_expect(w->f, SLD_XDS_ROUTE, "r", true);
    fake_expect_nothing(w->f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_legacy_wildcard),
        T(test_packed_bytes_are_sent_whole),
        T(test_empty_wildcard_is_answered),
        T(test_explicit_wildcard_and_names),
        T(test_unsubscribed_name_that_is_gone),
        T(test_names_and_absence),
        T(test_endpoints_of_known_cluster_are_never_absent),
        T(test_empty_assignment_goes),
        T(test_stale_nonce_still_subscribes),
        T(test_reconnect_sends_the_difference),
        T(test_reconnect_with_everything_is_silent),
        T(test_endpoints_that_nobody_knows_yet_stay),
        T(test_that_there_are_none_is_told),
        T(test_endpoints_of_the_past_wait_for_a_word),
        T(test_endpoints_of_the_past_are_confirmed),
        T(test_recipes_are_made_once_for_many),
        T(test_guessed_routes_wait_for_a_word),
        T(test_first_shape_takes_the_proof),
        T(test_known_shape_goes_in_one_burst),
        T(test_no_burst_while_endpoints_are_unanswered),
        T(test_gated_cluster_waits_for_its_ack),
        T(test_route_waits_for_endpoints_to_be_known),
        T(test_new_client_waits_for_endpoints_to_be_known),
        T(test_gate_is_capped),
        T(test_cluster_update_brings_endpoints),
        T(test_listener_update_brings_children),
        T(test_listener_waits_for_children),
        T(test_removal_lingers),
        T(test_a_cluster_in_use_stays),
        T(test_linger_is_cancelled),
        T(test_renamed_listener_is_one_response),
        T(test_one_in_flight_newest_wins),
        T(test_clusters_flow_while_unacked),
        T(test_large_responses_are_cut),
        T(test_change_then_back_is_no_change),
        T(test_good_forms_of_builds),
        T(test_same_bytes_with_other_needs),
        T(test_shared_and_own),
        T(test_unknown_role_gets_fallback_until_known),
        T(test_fallback_is_laid_for_who_comes),
        T(test_too_many_names_held),
        T(test_who_takes_nothing_is_cut_off),
        T(test_too_much_before_serve),
        T(test_nothing_before_serve),
        T(test_endpoints_that_vanish_before_they_went_ahead),
        T(test_routes_wait_for_an_envoy_that_warms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

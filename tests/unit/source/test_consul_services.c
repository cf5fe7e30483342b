// The discovery of services against a peer that answers as Consul does: what is told, what is
// asked, and what is not believed (core/source/consul/services*).
#include "source/services_world.h"

// ---- Telling ----

static void test_first_things(void **state)
{
    struct world *w = *state;
    io_do(&w->io, open_on_io, w);
    until(w, &w->services, "web", "v1 v2 @dc1", false);
    until(w, &w->services, "consul", "@dc1", false);
    assert_true(is(w, &w->instances, "web", NULL)); // nobody wants it
    want(w, "web", true);
    UNTIL_INSTANCES(w, "10.0.0.1");
    want(w, "none", true); // in no catalog
    until(w, &w->instances, "none", "", false);
    assert_false(w->synced);
    want(w, NULL, true);
    until_synced(w);
    set(w, WEB, list(instance(1, "passing"), instance(2, "passing")));
    UNTIL_INSTANCES(w, "10.0.0.1 10.0.0.2");
    set(w, CATALOG, "{\"consul\":[],\"web\":[\"v3\"],\"none\":[]}");
    until(w, &w->services, "web", "v3 @dc1", false);
    set(w, "/v1/health/service/none dc1", list(instance(9, "passing"), NULL));
    until(w, &w->instances, "none", "10.0.0.9", false);
    want(w, "web", false);
    until(w, &w->instances, "web", NULL, false);
    set(w, CATALOG, "{\"consul\":[],\"none\":[]}"); // nobody wants it: no questions
    until(w, &w->services, "web", NULL, false);
}

static void open_marked_on_io(void *arg)
{
    struct world *w = arg;
    open_on_io(w);
    sld_consul_discovery_ops.want(w->d, SLD_STR_NONE, true); // before anything is found
}

static void want_web_on_io(void *arg)
{
    struct world *w = arg;
    sld_consul_discovery_ops.want(w->d, SLD_STR("web"), true);
    sld_consul_discovery_ops.want(w->d, SLD_STR_NONE, true);
    w->early = w->synced;
}

// Who wants what may follow from the catalog: that counts.
static void test_synced_when_wants_follow_the_catalog(void **state)
{
    struct world *w = *state;
    set_with(w, WEB, "", 500, 1);
    io_do(&w->io, open_marked_on_io, w);
    until(w, &w->services, "web", "v1 v2 @dc1", false);
    until(w, &w->services, "consul", "@dc1", false);
    assert_false(w->synced);
    io_do(&w->io, want_web_on_io, w);
    assert_false(w->early); // before its instances are known, or cannot be
    set_with(w, WEB, list(instance(1, "passing"), NULL), 200, 2);
    until_synced(w);
    assert_true(is(w, &w->instances, "web", "10.0.0.1"));
}

static void test_health(void **state)
{
    struct world *w = *state;
    w->drain.seconds = 3600;
    set(w, WEB, list(instance(1, "passing"), instance(2, "critical")));
    start(w);
    UNTIL_INSTANCES(w, "10.0.0.1"); // one that was never well does not drain
    set(w, WEB, list(instance(1, "passing"), instance(2, "passing")));
    UNTIL_INSTANCES(w, "10.0.0.1 10.0.0.2");
    set(w, WEB, list(instance(1, "warning"), instance(2, "passing")));
    UNTIL_INSTANCES(w, "10.0.0.1d 10.0.0.2");
    set(w, WEB, list(instance(1, "critical"), instance(2, "passing")));
    set(w, WEB, list(instance(1, "passing"), instance(2, "passing")));
    UNTIL_INSTANCES(w, "10.0.0.1 10.0.0.2");
    w->options.health = GLOO__CONSUL_SERVICE_OPTIONS__HEALTH__WARNING;
    w->drain.seconds = 0;
    w->drain.nanos = 50 * 1000 * 1000;
    io_do(&w->io, configure_on_io, w);
    set(w, WEB, list(instance(1, "warning"), instance(2, "critical")));
    UNTIL_INSTANCES(w, "10.0.0.1");
}

static void test_weights(void **state)
{
    struct world *w = *state;
    static char text[512];
    w->options.health = GLOO__CONSUL_SERVICE_OPTIONS__HEALTH__WARNING;
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof(text),
                 "[{\"Node\":{\"Node\":\"n\"},\"Service\":{\"ID\":\"i\",\"Address\":\"10.0.0.1\",\"Port\":80,"
                 "\"Weights\":{\"Passing\":9,\"Warning\":4}},\"Checks\":[{\"Status\":\"%s\"}]}]",
                 i ? "warning" : "passing");
        set(w, WEB, text);
        if (i == 0)
            start(w);
        UNTIL_INSTANCES(w, i ? "10.0.0.1*4" : "10.0.0.1*9");
    }
}

static void test_drained_instances_go(void **state)
{
    struct world *w = *state;
    w->drain.nanos = 50 * 1000 * 1000;
    set(w, WEB, list(instance(1, "passing"), instance(2, "passing")));
    start(w);
    set(w, WEB, list(instance(1, "passing"), instance(2, "critical")));
    UNTIL_INSTANCES(w, "10.0.0.1");
    set(w, WEB, list(instance(1, "critical"), instance(2, "critical")));
    UNTIL_INSTANCES(w, ""); // all of them, though Consul has them still
}

// ---- What is not believed ----

// When this returns, what was answered before it was taken in.
static void barrier(struct world *w, const char *services)
{
    char catalog[256], name[32];
    static unsigned n;
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "barrier%u", n++);
        snprintf(catalog, sizeof(catalog), "{%s,\"%s\":[]}", services, name);
        set(w, CATALOG, catalog);
        until(w, &w->services, name, "@dc1", false);
    }
}

struct counts {
    struct world *w;
    size_t held, most, probes, fetches, rights;
};

static void counts_on_io(void *arg)
{
    struct counts *c = arg;
    *c = (struct counts){c->w,         c->w->held_count, c->w->most_held,
                         c->w->probes, c->w->fetches,    c->w->rights};
}

static struct counts counts(struct world *w)
{
    struct counts c = {.w = w};
    io_do(&w->io, counts_on_io, &c);
    return c;
}

static void until_rights(struct world *w, size_t n)
{
    while (counts(w).rights < n)
        wait_for(&w->event);
}

static void test_really_empty(void **state)
{
    struct world *w = *state;
    start(w);
    set(w, WEB, "[]"); // while the catalog has it
    set(w, CATALOG, "{\"consul\":[],\"web\":[\"other\"]}");
    until(w, &w->services, "web", "other @dc1", false);
    assert_true(is(w, &w->instances, "web", "10.0.0.1"));
    set(w, CATALOG, "{\"consul\":[]}");
    UNTIL_INSTANCES(w, "");
    assert_true(is(w, &w->services, "web", "other @dc1")); // it may come back at once
    set(w, WEB, list(instance(3, "passing"), NULL));
    set(w, CATALOG, "{\"consul\":[],\"web\":[]}");
    UNTIL_INSTANCES(w, "10.0.0.3");
    until(w, &w->services, "web", "@dc1", false);
}

static void test_no_service_at_all(void **state)
{
    struct world *w = *state;
    start(w);
    set(w, WEB, "[]");
    set(w, CATALOG, "{}"); // not even Consul's own
    until(w, &w->services, "consul", NULL, false);
    until_rights(w, 2); // the first answer did not do
    assert_true(is(w, &w->instances, "web", "10.0.0.1"));
    set(w, CATALOG, "{\"consul\":[],\"later\":[]}");
    until(w, &w->services, "later", "@dc1", false);
    UNTIL_INSTANCES(w, ""); // now it counts
}

static void test_token_that_sees_less(void **state)
{
    struct world *w = *state;
    start(w);
    set(w, RIGHTS,
        "[{\"Resource\":\"service\",\"Segment\":\"web\",\"Access\":\"read\",\"Allow\":false},"
        "{\"Resource\":\"node\",\"Segment\":\"n1\",\"Access\":\"read\",\"Allow\":true}]");
    set(w, WEB, "[]");
    set(w, CATALOG, "{}");
    until(w, &w->problems, "web", "may not see service web", true);
    assert_true(is(w, &w->instances, "web", "10.0.0.1"));
    assert_true(is(w, &w->services, "web", "v1 v2 @dc1"));
    set(w, WEB, list(instance(1, "passing"), instance(2, "passing")));
    set(w, CATALOG, "{\"consul\":[],\"web\":[]}");
    UNTIL_INSTANCES(w, "10.0.0.1 10.0.0.2");
    until(w, &w->problems, "web", NULL, false);
    // Gone with rights to see it.
    set(w, RIGHTS,
        "[{\"Resource\":\"service\",\"Segment\":\"web\",\"Access\":\"read\",\"Allow\":true}]");
    set(w, WEB, "[]");
    set(w, CATALOG, "{}");
    UNTIL_INSTANCES(w, "");
    until(w, &w->problems, "web", NULL, false);
}

static void test_rights_cannot_be_asked(void **state)
{
    struct world *w = *state;
    start(w);
    set_with(w, RIGHTS, "No cluster leader", 500, 1);
    set(w, WEB, "[]");
    set(w, CATALOG, "{\"consul\":[],\"mark\":[]}");
    until(w, &w->services, "mark", "@dc1", false);
    assert_true(is(w, &w->instances, "web", "10.0.0.1"));
    size_t asked = counts(w).rights;
    set(w, RIGHTS, "[]"); // of which a right is not missing
    until_rights(w, asked + 2);
    assert_true(is(w, &w->instances, "web", "10.0.0.1"));
    set_with(w, RIGHTS, "ACL support disabled", 401, 1);
    UNTIL_INSTANCES(w, ""); // it was asked again
}

static void test_lost_state(void **state)
{
    struct world *w = *state;
    set_with(w, CATALOG, "{\"consul\":[],\"web\":[]}", 200, 1000);
    start(w);
    set_with(w, WEB, "[]", 200, 3);
    set_with(w, CATALOG, "{\"consul\":[],\"mark\":[]}", 200, 7);
    until_rights(w, 1); // asked, and not believed
    barrier(w, "\"consul\":[],\"mark\":[]");
    assert_true(is(w, &w->instances, "web", "10.0.0.1"));
    // What is registered anew counts.
    set(w, WEB, list(instance(5, "passing"), NULL));
    set(w, CATALOG, "{\"consul\":[],\"web\":[],\"mark\":[]}");
    UNTIL_INSTANCES(w, "10.0.0.5");
}

static void test_broken_answers(void **state)
{
    struct world *w = *state;
    start(w);
    set(w, CATALOG, "{\"consul\":[],\"new\":[\"t\"],\"we");
    until(w, &w->problems, "", "broken or was cut", true);
    until(w, &w->services, "new", "t @dc1", false);
    assert_true(is(w, &w->services, "web", "v1 v2 @dc1"));
    // What such a list lacks is not missing.
    set(w, WEB, "[]");
    set(w, CATALOG, "{\"consul\":[],\"new\":[\"t\"],\"mark1\":[],\"we");
    until(w, &w->services, "mark1", "@dc1", false);
    set(w, CATALOG, "{\"consul\":[],\"new\":[\"t\"],\"mark1\":[],\"mark2\":[],\"we");
    until(w, &w->services, "mark2", "@dc1", false);
    assert_int_equal(counts(w).rights, 0);
    assert_true(is(w, &w->instances, "web", "10.0.0.1"));
    set(w, WEB, list(instance(1, "passing"), NULL));
    set(w, CATALOG, "{\"consul\":[],\"web\":[]}");
    until(w, &w->problems, "", NULL, false);
    set(w, WEB, "[{\"Node\":");
    set(w, CATALOG, "{\"consul\":[],\"web\":[],\"mark\":[]}");
    until(w, &w->services, "mark", "@dc1", false);
    assert_true(is(w, &w->instances, "web", "10.0.0.1"));
    set(w, WEB, list(instance(2, "passing"), NULL));
    UNTIL_INSTANCES(w, "10.0.0.2");
}

static void test_consul_away(void **state)
{
    struct world *w = *state;
    start(w);
    set_with(w, CATALOG, "rpc error", 500, 2);
    set_with(w, WEB, "rpc error", 500, 2);
    until(w, &w->problems, "", "500", true);
    assert_true(is(w, &w->instances, "web", "10.0.0.1"));
    set(w, WEB, list(instance(2, "passing"), NULL));
    set(w, CATALOG, "{\"consul\":[],\"web\":[]}");
    until(w, &w->problems, "", NULL, false);
    UNTIL_INSTANCES(w, "10.0.0.2");
}

// ---- Data centers ----

static void test_data_centers(void **state)
{
    struct world *w = *state;
    set(w, DCS, "[\"dc1\",\"dc2\",\"dc3\"]");
    set_with(w, "/v1/catalog/services dc2", "{\"web\":[\"far\"]}", 200, 1);
    set_with(w, "/v1/catalog/services dc3", "No path to datacenter", 500, 1);
    set(w, "/v1/health/service/web dc2", list(instance(7, "passing"), NULL));
    start(w);
    UNTIL_INSTANCES(w, "10.0.0.1 10.0.0.7");
    until(w, &w->services, "web", "far v1 v2 @dc1@dc2", false);
    until(w, &w->problems, "data center dc3", "No path", true);
    assert_true(is(w, &w->problems, "", NULL));
    char *only[] = {"dc2", "dc9"};
    w->on.data_centers = only;
    w->on.n_data_centers = 2;
    io_do(&w->io, configure_on_io, w);
    UNTIL_INSTANCES(w, "10.0.0.7");
    until(w, &w->services, "consul", NULL, false);
    until(w, &w->problems, "data center dc3", NULL, false);
    until(w, &w->problems, "consul.serviceDiscovery.dataCenters", "no data center dc9", true);
    w->on.n_data_centers = 0;
    w->on.data_centers = NULL;
}

static void reread_on_io(void *arg)
{
    struct world *w = arg;
    sld_consul_discovery_ops.reread(w->d);
}

static void test_data_center_goes(void **state)
{
    struct world *w = *state;
    set(w, DCS, "[\"dc1\",\"dc2\"]");
    set_with(w, "/v1/catalog/services dc2", "{\"web\":[\"far\"]}", 200, 1);
    set(w, "/v1/health/service/web dc2", list(instance(7, "passing"), NULL));
    start(w);
    UNTIL_INSTANCES(w, "10.0.0.1 10.0.0.7");
    set(w, DCS, "[\"dc1\"]");
    while (!is(w, &w->instances, "web", "10.0.0.1")) {
        io_do(&w->io, reread_on_io, w);
        wait_for(&w->event);
    }
    until(w, &w->services, "web", "v1 v2 @dc1", false);
}

// ---- Ways of asking ----

struct query {
    struct world *w;
    char text[512];
};

static void query_on_io(void *arg)
{
    struct query *q = arg;
    snprintf(q->text, sizeof(q->text), "%s", q->w->last_query);
}

static void until_asked(struct world *w, const char *with, const char *without)
{
    struct query q = {w, ""};
    for (;;) {
        io_do(&w->io, query_on_io, &q);
        if (strstr(q.text, with) && (!without || !strstr(q.text, without)))
            return;
        wait_for(&w->event);
    }
}

// ---- The last process ----

// The discovery ends, and another one begins that knows what this one kept.
static void begin_again(struct world *w)
{
    io_do(&w->io, end_on_io, w);
    map_free(&w->services);
    map_free(&w->instances);
    map_free(&w->problems);
    w->synced = false;
    io_do(&w->io, open_on_io, w);
}

static void start_with_memory(struct world *w)
{
    snprintf(w->dir, sizeof(w->dir), "/tmp/sld-services-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    set_with(w, CATALOG, "{\"consul\":[],\"web\":[\"v1\"],\"other\":[]}", 200, 50);
    start(w);
}

static void test_restart_while_consul_is_away(void **state)
{
    struct world *w = *state;
    start_with_memory(w);
    for (int i = 0; i < 2; i++) { // what was kept once is kept again
        set_with(w, DCS, "", 500, 1);
        set_with(w, CATALOG, "", 500, 1);
        set_with(w, WEB, "", 500, 1);
        begin_again(w);
        until(w, &w->services, "web", "v1 @dc1", false);
        assert_true(is(w, &w->services, "other", NULL)); // nobody wanted it
        assert_true(is(w, &w->instances, "web", NULL));
        want(w, "web", true);
        want(w, NULL, true);
        UNTIL_INSTANCES(w, "past: 10.0.0.1");
        until(w, &w->problems, "", "500", true);
        assert_false(w->synced);
    }
    char same[512];
    snprintf(same, sizeof(same), "%s", list(instance(1, "passing"), NULL));
    set_with(w, DCS, "[\"dc1\"]", 200, 1);
    set_with(w, CATALOG, "{\"consul\":[],\"web\":[\"v2\"]}", 200, 51);
    set_with(w, WEB, same, 200, 2);
    UNTIL_INSTANCES(w, "10.0.0.1"); // that it is so still is told
    set_with(w, WEB, list(instance(2, "passing"), NULL), 200, 3);
    UNTIL_INSTANCES(w, "10.0.0.2");
    until(w, &w->services, "web", "v2 @dc1", false);
    until_synced(w);
}

static void test_restart_after_an_end_of_wishes(void **state)
{
    struct world *w = *state;
    start_with_memory(w);
    want(w, "web", false);
    set_with(w, CATALOG, "", 500, 1);
    begin_again(w);
    want(w, "web", true);
    want(w, NULL, true);
    until(w, &w->problems, "", "500", true);
    assert_true(is(w, &w->services, "web", NULL));
    assert_true(is(w, &w->instances, "web", NULL));
}

// Both were away, and Consul came back with nothing.
static void test_restart_of_both(void **state)
{
    struct world *w = *state;
    start_with_memory(w);
    set_with(w, WEB, "[]", 200, 3);
    set_with(w, CATALOG, "{\"consul\":[],\"later\":[]}", 200, 7);
    set(w, "/v1/health/service/later dc1", list(instance(8, "passing"), NULL));
    begin_again(w);
    until(w, &w->services, "later", "@dc1", false);
    for (size_t i = 1; i <= 2; i++) {
        want(w, "web", true);
        want(w, NULL, true);
        until_rights(w, i); // asked, and not believed
        want(w, "later", true);
        until(w, &w->instances, "later", "10.0.0.8", false); // something is to be kept
        barrier(w, "\"consul\":[],\"later\":[]");
        assert_true(is(w, &w->instances, "web", "past: 10.0.0.1"));
        assert_true(is(w, &w->services, "web", "v1 @dc1"));
        begin_again(w); // it still lacks what it knew
        until(w, &w->services, "later", "@dc1", false);
    }
    // It went while Solder was away.
    set_with(w, CATALOG, "{\"consul\":[]}", 200, 60);
    set_with(w, WEB, "[]", 200, 61);
    begin_again(w);
    want(w, "web", true);
    want(w, NULL, true);
    UNTIL_INSTANCES(w, "");
}

static void test_ways_of_asking(void **state)
{
    struct world *w = *state;
    start(w);
    until_asked(w, "cached", "stale");
    want(w, "web\nstale", true); // DefaultMode is stricter
    want(w, "web", false);
    until_asked(w, "stale", NULL);
    want(w, "web\nstale,uncached", true);
    until_asked(w, "stale", "cached");
    want(w, "web\nconsistent", true);
    until_asked(w, "consistent", NULL);
    want(w, "web\nstale,uncached", false);
    want(w, "web\nconsistent", false);
    until_asked(w, "stale", "consistent");
    want(w, "web\nconsistent", true);
    until_asked(w, "consistent", "cached"); // both is refused
    want(w, "web\nconsistent", false);
    until_asked(w, "stale", "consistent");
    w->options.health = GLOO__CONSUL_SERVICE_OPTIONS__HEALTH__IGNORED;
    set(w, "/v1/catalog/service/web dc1",
        "[{\"Node\":\"n1\",\"Address\":\"10.9.9.9\",\"ServiceID\":\"x\",\"ServiceAddress\":\"\","
        "\"ServicePort\":81,\"ServiceTags\":[\"t\"]}]");
    io_do(&w->io, configure_on_io, w);
    UNTIL_INSTANCES(w, "10.9.9.9");
}

// ---- Many ----

enum { MANY = 300 };

static void catalog_of_many(struct world *w, bool more)
{
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    sld_buf_addz(&b, "{\"consul\":[]");
    for (unsigned i = 0; i < MANY; i++)
        sld_buf_addf(&b, ",\"s%u\":[]", i);
    sld_buf_addf(&b, "%s}", more ? ",\"mark\":[]" : "");
    sld_buf_addc(&b, 0);
    set(w, CATALOG, b.p);
    sld_buf_fini(&b);
}

static void want_many(struct world *w)
{
    char name[32], key[64];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "/v1/health/service/s%u dc1", i);
        set(w, key, list(instance(1, "passing"), NULL));
        snprintf(name, sizeof(name), "s%u", i);
        want(w, name, true);
    }
    want(w, NULL, true);
    until_synced(w);
}

// Not each has a watch: a sweep finds the one that changed, by its index, and asks for it alone.
static void test_many_services(void **state)
{
    struct world *w = *state;
    catalog_of_many(w, false);
    io_do(&w->io, open_on_io, w);
    want_many(w);
    struct counts before = counts(w);
    assert_true(before.most <= 110);
    assert_true(before.fetches >= MANY - 110 && before.fetches <= MANY);
    for (unsigned round = 0; round < 2; round++) {
        // The last of them is cold: the first ones got the watches.
        char key[64], want_text[64];
        snprintf(key, sizeof(key), "/v1/health/service/s%u dc1", MANY - 1 - round);
        set(w, key, list(instance(1, "passing"), instance(2 + round, "passing")));
        catalog_of_many(w, round == 0);
        snprintf(key, sizeof(key), "s%u", MANY - 1 - round);
        snprintf(want_text, sizeof(want_text), "10.0.0.1 10.0.0.%u", 2 + round);
        until(w, &w->instances, key, want_text, false);
    }
    struct counts after = counts(w);
    assert_true(after.probes > before.probes);
    assert_true(after.fetches <= before.fetches + 10);
    assert_true(after.most <= 110);
}

struct slow {
    struct world *w;
    bool end;
    size_t waiting;
};

static void slow_on_io(void *arg)
{
    struct slow *s = arg;
    s->waiting = 0;
    s->w->slow = !s->end;
    SLD_LIST_EACH (it, &s->w->held) {
        struct held *h = SLD_CONTAINER_OF(it, struct held, link);
        s->waiting += h->index == 0;
        if (!s->end || h->index)
            continue;
        respond(h->rq, h->answer, h->answer->body);
        held_free(s->w, h);
    }
}

static void test_questions_at_a_time(void **state)
{
    struct world *w = *state;
    struct slow s = {.w = w};
    catalog_of_many(w, false);
    io_do(&w->io, slow_on_io, &s);
    io_do(&w->io, open_on_io, w);
    until(w, &w->services, "s1", "@dc1", false);
    char name[32], key[64];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "/v1/health/service/s%u dc1", i);
        set(w, key, list(instance(1, "passing"), NULL));
        snprintf(name, sizeof(name), "s%u", i);
        want(w, name, true);
    }
    until(w, &w->instances, "s50", "10.0.0.1", false); // that has a watch
    for (io_do(&w->io, slow_on_io, &s); s.waiting < 12; io_do(&w->io, slow_on_io, &s))
        wait_for(&w->event);
    catalog_of_many(w, true);
    until(w, &w->services, "mark", "@dc1", false);
    io_do(&w->io, slow_on_io, &s);
    assert_int_equal(s.waiting, 12);
    s.end = true;
    io_do(&w->io, slow_on_io, &s);
    want(w, NULL, true);
    until_synced(w);
}

// A check says which service is to be asked.
static void test_checks_of_many_services(void **state)
{
    struct world *w = *state;
    w->drain.seconds = 3600;
    catalog_of_many(w, false);
    set(w, "/v1/health/state/critical dc1", "[]");
    set(w, "/v1/health/state/warning dc1", "[]");
    io_do(&w->io, open_on_io, w);
    want_many(w);
    char key[64], name[32];
    snprintf(name, sizeof(name), "s%u", MANY - 1);
    snprintf(key, sizeof(key), "/v1/health/service/s%u dc1", MANY - 1);
    set(w, key, list(instance(1, "critical"), NULL));
    set(w, "/v1/health/state/critical dc1",
        "[{\"Node\":\"n1\",\"CheckID\":\"c\",\"ServiceName\":\"s299\"}]");
    until(w, &w->instances, name, "10.0.0.1d", false);
    set(w, key, list(instance(1, "passing"), NULL));
    set(w, "/v1/health/state/critical dc1", "[]");
    until(w, &w->instances, name, "10.0.0.1", false);
    // One of the node is one of all services there.
    snprintf(name, sizeof(name), "s%u", MANY - 5);
    snprintf(key, sizeof(key), "/v1/health/service/s%u dc1", MANY - 5);
    set(w, key, list(instance(1, "critical"), NULL));
    set(w, "/v1/health/state/critical dc1",
        "[{\"Node\":\"n1\",\"CheckID\":\"serfHealth\",\"ServiceName\":\"\"}]");
    until(w, &w->instances, name, "10.0.0.1d", false);
}

// ---- Reading ----

static void test_reading(void **state)
{
    (void)state;
    struct sld_arena a = {0};
    struct svc_instance *items;
    size_t n;
    assert_true(svc_read_instances(
        &a,
        SLD_STR("[{\"Node\":{\"Node\":\"n\",\"Address\":\"10.1.1.1\",\"Meta\":{\"x\":"
                "\"\",\"rack\":\"a\"}},\"Service\":{\"ID\":\"i\",\"Tags\":[\"b\",\"a\"],"
                "\"Address\":\"\",\"Port\":8080,\"Meta\":{\"v\":\"1\"},\"Weights\":{"
                "\"Passing\":10,\"Warning\":2},\"Proxy\":{\"Deep\":[1,{}]}},"
                "\"Checks\":[{\"Status\":\"warning\"},{\"Status\":\"passing\"}]}]"),
        false, &items, &n));
    assert_int_equal(n, 1);
    assert_true(sld_str_eq(items[0].it.address, SLD_STR("10.1.1.1"))); // the node's
    assert_int_equal(items[0].it.port, 8080);
    assert_int_equal(items[0].it.tag_count, 2);
    assert_int_equal(items[0].it.meta_count, 1);
    assert_int_equal(items[0].it.node_meta_count, 1); // empty ones say nothing
    assert_int_equal(items[0].health, SVC_WARNING);
    assert_int_equal(items[0].weight_passing, 10);
    assert_int_equal(items[0].weight_warning, 2);
    static const struct {
        const char *checks;
        enum svc_health is;
    } checks[] = {
        {"[]", SVC_PASSING},
        {"[{\"Status\":\"critical\"},{\"Status\":\"warning\"}]", SVC_CRITICAL},
        {"[{\"Status\":\"maintenance\"}]", SVC_CRITICAL},
        {"[{\"Status\":\"what comes later\"}]", SVC_CRITICAL},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(checks); i++) {
        struct sld_str body = sld_arena_fmt(&a, "[{\"Checks\":%s}]", checks[i].checks);
        assert_true(svc_read_instances(&a, body, false, &items, &n));
        assert_int_equal(items[0].health, checks[i].is);
    }
    static const char *const broken[] = {"",      "[",     "{}",
                                         "[{}",   "[1]",   "[{\"Node\":1}]",
                                         "\"x\"", "[{}]]", "[{\"Service\":{\"Port\":\"x\"}}]"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(broken); i++) {
        if (svc_read_instances(&a, sld_str_c(broken[i]), false, &items, &n))
            fail_msg("%s counts as an answer", broken[i]);
    }
    assert_true(svc_read_instances(&a, SLD_STR("null\n"), true, &items, &n));
    assert_int_equal(n, 0);
    sld_arena_fini(&a);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_synced_when_wants_follow_the_catalog),
        CASE(test_first_things),
        CASE(test_health),
        CASE(test_weights),
        CASE(test_drained_instances_go),
        CASE(test_really_empty),
        CASE(test_no_service_at_all),
        CASE(test_token_that_sees_less),
        CASE(test_rights_cannot_be_asked),
        CASE(test_lost_state),
        CASE(test_broken_answers),
        CASE(test_consul_away),
        CASE(test_data_centers),
        CASE(test_data_center_goes),
        CASE(test_ways_of_asking),
        CASE(test_restart_while_consul_is_away),
        CASE(test_restart_after_an_end_of_wishes),
        CASE(test_restart_of_both),
        CASE(test_many_services),
        CASE(test_questions_at_a_time),
        CASE(test_checks_of_many_services),
        cmocka_unit_test(test_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

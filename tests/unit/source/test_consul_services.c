// The discovery of services against a peer that answers as Consul does: what is told, what is
// asked, and what is not believed (core/source/consul/services*).
#include "net/http.h"
#include "net/support.h"
#include "source/consul/client.h"
#include "source/consul/services.h"
#include "source/consul/services_read.h"

#include "settings.pb-c.h"
#include "settings_store.pb-c.h"

// ---- The peer ----

// An answer of the peer by path and data center. A blocking query waits until its index is another
// one.
struct answer {
    char key[128]; // "/v1/catalog/services dc1"
    char *body;    // own
    int status;
    unsigned long index;
};

struct held {
    struct sld_list link;
    struct sld_http_request *rq;
    struct answer *answer;
    unsigned long index;
};

enum { ANSWERS_MAX = 1024 };

struct world {
    struct io_thread io;
    struct sld_http_server *server;
    char address[64];
    struct answer answers[ANSWERS_MAX];
    size_t answer_count;
    struct sld_list held;
    size_t held_count, most_held;
    bool slow; // questions about instances that need not wait do so, until it ends
    char last_query[512]; // of the last question about instances
    size_t probes, fetches, rights;
    // What the discovery told.
    struct sld_discovery *d;
    char dir[64]; // what it keeps is there; empty: it keeps nothing
    struct sld_discovery_memory *memory;
    struct sld_map services, instances, problems; // texts, own
    bool synced, early;
    sem_t event;
    Gloo__Settings settings;
    Gloo__ConsulConfiguration consul;
    Gloo__ConsulConfiguration__ServiceDiscoveryOptions on;
    Gloo__SolderSettings solder;
    Gloo__ConsulServiceOptions options;
    Google__Protobuf__Duration drain;
};

static struct answer *answer_of(struct world *w, const char *key)
{
    for (size_t i = 0; i < w->answer_count; i++) {
        if (!strcmp(w->answers[i].key, key))
            return &w->answers[i];
    }
    assert_true(w->answer_count < ANSWERS_MAX);
    struct answer *a = &w->answers[w->answer_count++];
    snprintf(a->key, sizeof(a->key), "%s", key);
    a->body = strdup("[]");
    a->status = 200;
    a->index = 1;
    return a;
}

static void respond(struct sld_http_request *rq, const struct answer *a, const char *body)
{
    char index[32];
    snprintf(index, sizeof(index), "%lu", a->index);
    struct sld_http_header h[] = {{SLD_STR("X-Consul-Index"), sld_str_c(index)},
                                  {SLD_STR("X-Consul-Knownleader"), SLD_STR("true")}};
    sld_http_respond(rq, a->status, SLD_STR("application/json"), h, 2, sld_str_c(body));
}

static void held_free(struct world *w, struct held *h)
{
    sld_list_remove(&h->link);
    w->held_count--;
    sld_xfree(h);
}

struct gone {
    struct world *w;
    struct held *h;
};

static void on_gone(void *user)
{
    struct gone *g = user;
    held_free(g->w, g->h);
}

static void hold(struct world *w, struct sld_http_request *rq, struct answer *a,
                 unsigned long index)
{
    struct held *h = SLD_NEW(struct held);
    struct gone *g = SLD_ARENA_NEW(sld_http_arena(rq), struct gone);
    *h = (struct held){.rq = rq, .answer = a, .index = index};
    *g = (struct gone){w, h};
    sld_list_push(&w->held, &h->link);
    w->held_count++;
    w->most_held = w->held_count > w->most_held ? w->held_count : w->most_held;
    sld_http_on_gone(rq, on_gone, g);
}

static void handle(struct sld_http_request *rq, void *user)
{
    struct world *w = user;
    char key[128];
    struct sld_str path = sld_http_path(rq), dc = sld_http_query(rq, SLD_STR("dc"));
    bool about = sld_str_starts(path, SLD_STR("/v1/health/service/")) ||
                 sld_str_starts(path, SLD_STR("/v1/catalog/service/"));
    bool probe = sld_http_query(rq, SLD_STR("filter")).p != NULL;
    snprintf(key, sizeof(key), "%.*s%s%.*s", SLD_FMT(path), dc.n ? " " : "", SLD_FMT(dc));
    struct answer *a = answer_of(w, key);
    w->rights += sld_str_eq(path, SLD_STR("/v1/internal/acl/authorize"));
    struct sld_str index = sld_http_query(rq, SLD_STR("index"));
    uint64_t n = 0;
    if (about) {
        snprintf(w->last_query, sizeof(w->last_query), "%.*s", SLD_FMT(sld_http_query_text(rq)));
        w->probes += probe;
        w->fetches += !probe && !index.p;
    }
    if ((index.p && sld_str_u64(index, &n) && n == a->index && a->status == 200) ||
        (about && !index.p && w->slow))
        hold(w, rq, a, (unsigned long)n);
    else
        respond(rq, a, probe ? "[]" : a->body);
    sem_post(&w->event);
}

struct set {
    struct world *w;
    const char *key, *body;
    int status;
    unsigned long index; // 0: one more than before
};

static void set_on_io(void *arg)
{
    struct set *s = arg;
    struct answer *a = answer_of(s->w, s->key);
    free(a->body);
    a->body = strdup(s->body);
    a->status = s->status;
    a->index = s->index ? s->index : a->index + 1;
    SLD_LIST_EACH (it, &s->w->held) {
        struct held *h = SLD_CONTAINER_OF(it, struct held, link);
        if (h->answer != a)
            continue;
        respond(h->rq, a, a->body);
        held_free(s->w, h);
    }
}

// What the peer answers at KEY from now on.
static void set(struct world *w, const char *key, const char *body)
{
    struct set s = {w, key, body, 200, 0};
    io_do(&w->io, set_on_io, &s);
}

static void set_with(struct world *w, const char *key, const char *body, int status,
                     unsigned long index)
{
    struct set s = {w, key, body, status, index};
    io_do(&w->io, set_on_io, &s);
}

// An instance at 10.0.0.N as /v1/health/service tells of it.
static const char *instance(unsigned n, const char *status)
{
    static char texts[8][512];
    static unsigned at;
    char *text = texts[at++ % 8];
    snprintf(
        text, sizeof(texts[0]),
        "{\"Node\":{\"Node\":\"n%u\",\"Address\":\"10.9.9.9\",\"Datacenter\":\"dc1\"},"
        "\"Service\":{\"ID\":\"i%u\",\"Service\":\"web\",\"Tags\":null,\"Address\":\"10.0.0.%u\","
        "\"Port\":80,\"Weights\":{\"Passing\":1,\"Warning\":1}},"
        "\"Checks\":[{\"Status\":\"passing\"},{\"Status\":\"%s\"}]}",
        n, n, n, status);
    return text;
}

static const char *list(const char *a, const char *b)
{
    static char text[1100];
    snprintf(text, sizeof(text), "[%s%s%s]", a, b ? "," : "", b ? b : "");
    return text;
}

#define DCS "/v1/catalog/datacenters"
#define CATALOG "/v1/catalog/services dc1"
#define WEB "/v1/health/service/web dc1"
#define RIGHTS "/v1/internal/acl/authorize"

// ---- What is told ----

static void keep(struct sld_map *m, struct sld_str key, const char *text)
{
    free(text ? sld_map_set(m, key, strdup(text)) : sld_map_remove(m, key));
}

static void on_service(void *user, struct sld_str name, struct sld_service *s)
{
    struct world *w = user;
    char text[256] = "";
    size_t n = 0;
    for (size_t i = 0; s && i < s->tag_count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s ", SLD_FMT(s->tags[i]));
    for (size_t i = 0; s && i < s->datacenter_count; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "@%.*s", SLD_FMT(s->datacenters[i]));
    keep(&w->services, name, s ? text : NULL);
    sem_post(&w->event);
}

static void on_instances(void *user, struct sld_str service, struct sld_instances *set)
{
    struct world *w = user;
    char text[1024] = "";
    size_t n = 0;
    for (size_t i = 0; set && i < set->count; i++) {
        const struct sld_instance *it = &set->items[i];
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s%s", i ? " " : "",
                              SLD_FMT(it->address), it->draining ? "d" : "");
        if (it->weight > 1)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "*%u", it->weight);
    }
    keep(&w->instances, service, set ? text : NULL);
    sem_post(&w->event);
}

static void on_synced(void *user)
{
    struct world *w = user;
    assert_false(w->synced);
    w->synced = true;
    sem_post(&w->event);
}

static void on_problem(void *user, struct sld_str what, enum sld_code code, struct sld_str message)
{
    struct world *w = user;
    (void)code;
    char text[512];
    snprintf(text, sizeof(text), "%.*s", SLD_FMT(message));
    keep(&w->problems, what, message.p ? text : NULL);
    sem_post(&w->event);
}

struct check {
    struct world *w;
    struct sld_map *map;
    const char *key, *want;
    bool part; // WANT is a part of it
    bool is;
};

static void check_on_io(void *arg)
{
    struct check *c = arg;
    const char *text = sld_map_get(c->map, sld_str_c(c->key));
    c->is = c->want ? text && (c->part ? strstr(text, c->want) != NULL : !strcmp(text, c->want))
                    : !text;
}

static void until(struct world *w, struct sld_map *map, const char *key, const char *want,
                  bool part)
{
    struct check c = {w, map, key, want, part, false};
    for (io_do(&w->io, check_on_io, &c); !c.is; io_do(&w->io, check_on_io, &c))
        wait_for(&w->event);
}

static bool is(struct world *w, struct sld_map *map, const char *key, const char *want)
{
    struct check c = {w, map, key, want, false, false};
    io_do(&w->io, check_on_io, &c);
    return c.is;
}

#define UNTIL_INSTANCES(w, text) until(w, &(w)->instances, "web", text, false)

// ---- The world ----

static void open_on_io(void *arg)
{
    struct world *w = arg;
    struct sld_err err = {0};
    struct sld_discovery_events ev = {.on_service = on_service,
                                      .on_instances = on_instances,
                                      .on_synced = on_synced,
                                      .on_problem = on_problem,
                                      .user = w};
    if (w->dir[0])
        ev.memory = w->memory = sld_discovery_memory_open(w->io.loop, sld_str_c(w->dir), "consul");
    assert_int_equal(sld_consul_discovery_ops.open(w->io.loop, &w->settings, &ev, &w->d, &err),
                     SLD_OK);
}

struct wish {
    struct world *w;
    const char *what;
    bool wanted;
};

static void wish_on_io(void *arg)
{
    struct wish *x = arg;
    sld_consul_discovery_ops.want(x->w->d, x->what ? sld_str_c(x->what) : SLD_STR_NONE, x->wanted);
}

static void want(struct world *w, const char *what, bool wanted)
{
    struct wish x = {w, what, wanted};
    io_do(&w->io, wish_on_io, &x);
}

static void configure_on_io(void *arg)
{
    struct world *w = arg;
    sld_consul_discovery_ops.configure(w->d, &w->settings);
}

static void listen_on_io(void *arg)
{
    struct world *w = arg;
    struct sld_err err = {0};
    int port;
    w->server = sld_http_server_create(w->io.loop, NULL, handle, w);
    assert_int_equal(sld_http_server_listen(w->server, SLD_STR("127.0.0.1:0"), NULL, &port, &err),
                     SLD_OK);
    snprintf(w->address, sizeof(w->address), "127.0.0.1:%d", port);
}

static int setup(void **state)
{
    struct world *w = *state = SLD_NEW(struct world);
    sem_init(&w->event, 0, 0);
    sld_list_init(&w->held);
    gloo__settings__init(&w->settings);
    gloo__consul_configuration__init(&w->consul);
    gloo__consul_configuration__service_discovery_options__init(&w->on);
    gloo__solder_settings__init(&w->solder);
    gloo__consul_service_options__init(&w->options);
    google__protobuf__duration__init(&w->drain);
    w->settings.consul = &w->consul;
    w->settings.solder = &w->solder;
    w->solder.consul_services = &w->options;
    w->options.drain_time = &w->drain;
    w->consul.service_discovery = &w->on;
    w->consul.http_address = w->address;
    io_start(&w->io);
    io_do(&w->io, listen_on_io, w);
    set(w, DCS, "[\"dc1\"]");
    set(w, CATALOG, "{\"consul\":[],\"web\":[\"v2\",\"v1\"]}");
    set(w, WEB, list(instance(1, "passing"), NULL));
    set_with(w, RIGHTS, "ACL support disabled", 401, 1);
    return 0;
}

static void end_on_io(void *arg)
{
    struct world *w = arg;
    if (w->d)
        sld_consul_discovery_ops.close(w->d);
    sld_discovery_memory_close(w->memory, false);
    w->d = NULL;
    w->memory = NULL;
}

static void close_on_io(void *arg)
{
    struct world *w = arg;
    end_on_io(w);
    sld_http_server_destroy(w->server);
}

static void map_free(struct sld_map *m)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(m, &at));)
        free(s->value);
    sld_map_fini(m);
}

static int teardown(void **state)
{
    struct world *w = *state;
    io_do(&w->io, close_on_io, w);
    io_stop(&w->io);
    for (size_t i = 0; i < w->answer_count; i++)
        free(w->answers[i].body);
    map_free(&w->services);
    map_free(&w->instances);
    map_free(&w->problems);
    sem_destroy(&w->event);
    if (w->dir[0]) {
        char file[80];
        snprintf(file, sizeof(file), "%s/services.consul", w->dir);
        unlink(file);
        rmdir(w->dir);
    }
    sld_xfree(w);
    return 0;
}

static void synced_on_io(void *arg)
{
    struct check *c = arg;
    c->is = c->w->synced;
}

static void until_synced(struct world *w)
{
    struct check c = {.w = w};
    for (io_do(&w->io, synced_on_io, &c); !c.is; io_do(&w->io, synced_on_io, &c)) {
        wait_for(&w->event);
        want(w, NULL, true); // as after each change of services
    }
}

static void start(struct world *w)
{
    io_do(&w->io, open_on_io, w);
    want(w, "web", true);
    want(w, NULL, true);
    until_synced(w);
}

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
        UNTIL_INSTANCES(w, "10.0.0.1");
        until(w, &w->problems, "", "500", true);
        assert_false(w->synced);
    }
    set_with(w, DCS, "[\"dc1\"]", 200, 1);
    set_with(w, CATALOG, "{\"consul\":[],\"web\":[\"v2\"]}", 200, 51);
    set_with(w, WEB, list(instance(2, "passing"), NULL), 200, 2);
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
        assert_true(is(w, &w->instances, "web", "10.0.0.1"));
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

// What the tests of the discovery of services share: a peer that answers as Consul does, and the
// discovery with what it told.
#pragma once

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

static inline struct answer *answer_of(struct world *w, const char *key)
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

static inline void respond(struct sld_http_request *rq, const struct answer *a, const char *body)
{
    char index[32];
    snprintf(index, sizeof(index), "%lu", a->index);
    struct sld_http_header h[] = {{SLD_STR("X-Consul-Index"), sld_str_c(index)},
                                  {SLD_STR("X-Consul-Knownleader"), SLD_STR("true")}};
    sld_http_respond(rq, a->status, SLD_STR("application/json"), h, 2, sld_str_c(body));
}

static inline void held_free(struct world *w, struct held *h)
{
    sld_list_remove(&h->link);
    w->held_count--;
    sld_xfree(h);
}

struct gone {
    struct world *w;
    struct held *h;
};

static inline void on_gone(void *user)
{
    struct gone *g = user;
    held_free(g->w, g->h);
}

static inline void hold(struct world *w, struct sld_http_request *rq, struct answer *a,
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

static inline void handle(struct sld_http_request *rq, void *user)
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

static inline void set_on_io(void *arg)
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
static inline void set(struct world *w, const char *key, const char *body)
{
    struct set s = {w, key, body, 200, 0};
    io_do(&w->io, set_on_io, &s);
}

static inline void set_with(struct world *w, const char *key, const char *body, int status,
                     unsigned long index)
{
    struct set s = {w, key, body, status, index};
    io_do(&w->io, set_on_io, &s);
}

// An instance at 10.0.0.N as /v1/health/service tells of it.
static inline const char *instance(unsigned n, const char *status)
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

static inline const char *list(const char *a, const char *b)
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

static inline void keep(struct sld_map *m, struct sld_str key, const char *text)
{
    free(text ? sld_map_set(m, key, strdup(text)) : sld_map_remove(m, key));
}

static inline void on_service(void *user, struct sld_str name, struct sld_service *s)
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

static inline void on_instances(void *user, struct sld_str service, struct sld_instances *set, bool past)
{
    struct world *w = user;
    char text[1024] = "";
    size_t n = past ? (size_t)snprintf(text, sizeof(text), "past: ") : 0;
    struct sld_arena a = {0};
    const struct sld_instance *items = set ? sld_instances_items(&a, set) : NULL;
    for (size_t i = 0; items && i < set->count; i++) {
        const struct sld_instance *it = &items[i];
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s%s", i ? " " : "",
                              SLD_FMT(it->address), it->draining ? "d" : "");
        if (it->weight > 1)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "*%u", it->weight);
    }
    sld_arena_fini(&a);
    keep(&w->instances, service, set ? text : NULL);
    sem_post(&w->event);
}

static inline void on_synced(void *user)
{
    struct world *w = user;
    assert_false(w->synced);
    w->synced = true;
    sem_post(&w->event);
}

static inline void on_problem(void *user, struct sld_str what, enum sld_code code, struct sld_str message)
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

static inline void check_on_io(void *arg)
{
    struct check *c = arg;
    const char *text = sld_map_get(c->map, sld_str_c(c->key));
    c->is = c->want ? text && (c->part ? strstr(text, c->want) != NULL : !strcmp(text, c->want))
                    : !text;
}

static inline void until(struct world *w, struct sld_map *map, const char *key, const char *want,
                  bool part)
{
    struct check c = {w, map, key, want, part, false};
    for (io_do(&w->io, check_on_io, &c); !c.is; io_do(&w->io, check_on_io, &c))
        wait_for(&w->event);
}

static inline bool is(struct world *w, struct sld_map *map, const char *key, const char *want)
{
    struct check c = {w, map, key, want, false, false};
    io_do(&w->io, check_on_io, &c);
    return c.is;
}

#define UNTIL_INSTANCES(w, text) until(w, &(w)->instances, "web", text, false)

// ---- The world ----

static inline void open_on_io(void *arg)
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

static inline void wish_on_io(void *arg)
{
    struct wish *x = arg;
    sld_consul_discovery_ops.want(x->w->d, x->what ? sld_str_c(x->what) : SLD_STR_NONE, x->wanted);
}

static inline void want(struct world *w, const char *what, bool wanted)
{
    struct wish x = {w, what, wanted};
    io_do(&w->io, wish_on_io, &x);
}

static inline void configure_on_io(void *arg)
{
    struct world *w = arg;
    sld_consul_discovery_ops.configure(w->d, &w->settings);
}

static inline void listen_on_io(void *arg)
{
    struct world *w = arg;
    struct sld_err err = {0};
    int port;
    w->server = sld_http_server_create(w->io.loop, NULL, handle, w);
    assert_int_equal(sld_http_server_listen(w->server, SLD_STR("127.0.0.1:0"), NULL, &port, &err),
                     SLD_OK);
    snprintf(w->address, sizeof(w->address), "127.0.0.1:%d", port);
}

static inline int setup(void **state)
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

static inline void end_on_io(void *arg)
{
    struct world *w = arg;
    if (w->d)
        sld_consul_discovery_ops.close(w->d);
    sld_discovery_memory_close(w->memory, false);
    w->d = NULL;
    w->memory = NULL;
}

static inline void close_on_io(void *arg)
{
    struct world *w = arg;
    end_on_io(w);
    sld_http_server_destroy(w->server);
}

static inline void map_free(struct sld_map *m)
{
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(m, &at));)
        free(s->value);
    sld_map_fini(m);
}

static inline int teardown(void **state)
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

static inline void synced_on_io(void *arg)
{
    struct check *c = arg;
    c->is = c->w->synced;
}

static inline void until_synced(struct world *w)
{
    struct check c = {.w = w};
    for (io_do(&w->io, synced_on_io, &c); !c.is; io_do(&w->io, synced_on_io, &c)) {
        wait_for(&w->event);
        want(w, NULL, true); // as after each change of services
    }
}

static inline void start(struct world *w)
{
    io_do(&w->io, open_on_io, w);
    want(w, "web", true);
    want(w, NULL, true);
    until_synced(w);
}

// What the test programs share besides the client: one server, one Envoy of role "gw", short ways to edit.
#include "client.c"

#include "xds/inside.h"

struct world {
    struct sld_xds *x;
    uint64_t now;
    struct fake *f;
    int accepted, refused;
    char words[256], refused_name[64];
};

static void on_refused(void *user, struct sld_str view, const struct sld_xds_resource *r,
                       struct sld_str build, struct sld_str words)
{
    struct world *w = user;
    (void)view;
    assert_true(build.n > 0);
    w->refused++;
    snprintf(w->words, sizeof(w->words), "%.*s", SLD_FMT(words));
    snprintf(w->refused_name, sizeof(w->refused_name), "%.*s", SLD_FMT(r->name));
}

static void on_accepted(void *user, struct sld_str view, const struct sld_xds_resource *r,
                        struct sld_str build)
{
    struct world *w = user;
    (void)view;
    (void)r;
    (void)build;
    w->accepted++;
}

#define SECOND UINT64_C(1000000000)

struct world *world_create(void)
{
    struct world *w = SLD_NEW(struct world);
    struct sld_xds_options o;
    struct sld_xds_events ev = {.on_refused = on_refused, .on_accepted = on_accepted, .user = w};
    sld_xds_options_default(&o);
    o.fallback_view = SLD_STR("fallback");
    o.max_names = 1000;
    w->now = 100 * SECOND;
    w->x = sld_xds_create(&o, &ev);
    sld_xds_serve(w->x, w->now);
    return w;
}

int setup(void **state)
{
    struct world *w = world_create();
    sld_log_set_level(SLD_LOG_ERROR);
    w->f = fake_create(w->x, SLD_XDS_DELTA_ADS, "gw", 40, &w->now, NULL);
    fake_open(w->f);
    *state = w;
    return 0;
}

int teardown(void **state)
{
    struct world *w = *state;
    fake_destroy(w->f);
    sld_xds_destroy(w->x);
    sld_xfree(w);
    return 0;
}

void put(struct world *w, const struct make *m, size_t n)
{
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    for (size_t i = 0; i < n; i++)
        batch_put(b, "gw", &m[i]);
    sld_xds_apply(w->x, b, w->now);
}
#define PUT(w, ...)                                                                                \
    put((w), (const struct make[]){__VA_ARGS__},                                                   \
        sizeof((const struct make[]){__VA_ARGS__}) / sizeof(struct make))

void del(struct world *w, enum sld_xds_type t, const char *name)
{
    struct sld_xds_batch *b = sld_xds_batch_create(1);
    batch_del(b, "gw", t, name);
    sld_xds_apply(w->x, b, w->now);
}

#define C(n, bytes_, ...) {.type = SLD_XDS_CLUSTER, .name = n, .bytes = bytes_, __VA_ARGS__}
#define E(n, bytes_) {.type = SLD_XDS_ENDPOINT, .name = n, .bytes = bytes_}
#define R(n, bytes_, cl) {.type = SLD_XDS_ROUTE, .name = n, .bytes = bytes_, .clusters = cl}
#define L(n, bytes_, rt) {.type = SLD_XDS_LISTENER, .name = n, .bytes = bytes_, .routes = rt}
#define S(n, bytes_) {.type = SLD_XDS_SECRET, .name = n, .bytes = bytes_}

// The server is another process now, which knows nothing yet; the client comes again.
void restart(struct world *w)
{
    struct sld_xds_options o = w->x->options;
    struct sld_xds_events ev = w->x->events;
    fake_close(w->f);
    sld_xds_destroy(w->x);
    o.fallback_view = SLD_STR("fallback");
    w->x = w->f->x = sld_xds_create(&o, &ev);
    sld_xds_serve(w->x, w->now);
}

struct sld_xds_client_info info;
void take_info(const struct sld_xds_client_info *c, void *arg)
{
    (void)arg;
    info = *c;
}

// An Envoy that holds cluster a, its endpoints, listener l and route r on a; the shape is proven.
void settled(struct world *w)
{
    PUT(w, C("a", "C 1"), E("a", "E 1"), R("r", "R 1 a", "a"), L("l", "L 1 r", "r"));
    fake_start(w->f);
    fake_settle(w->f);
    assert_true(fake_holds(w->f, SLD_XDS_ROUTE, "r", "R 1 a"));
    sld_xds_clients(w->x, take_info, NULL);
    assert_true(info.converged);
}

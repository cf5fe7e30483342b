// The model thread: letters in, news out, across two threads (run with the thread sanitizer too).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "app/model_thread.h"
#include "app/publish.h"

#define SOURCE SLD_STR("/etc/solder")

struct world {
    struct sld_loop *io;
    struct sld_model_thread *m;
    struct sld_map resources;       // "type/name" -> blob of bytes
    struct sld_xds_resource *route; // the last route table
    unsigned news, until;
    bool ready, restored;
    bool (*done)(struct world *w);
};

static void forget(struct sld_map *m, struct sld_str key)
{
    struct sld_blob *b = sld_map_remove(m, key);
    SLD_UNREF(b);
}

static void on_news(void *user, struct sld_model_news *n)
{
    struct world *w = user;
    sld_loop_assert_owner(w->io);
    w->news++;
    w->ready |= n->ready;
    w->restored = n->restored;
    for (size_t i = 0; n->batch && i < n->batch->count; i++) {
        const struct sld_xds_change *c = &n->batch->changes[i];
        char key[128];
        snprintf(key, sizeof(key), "%s/%.*s", sld_xds_type_name(c->type), SLD_FMT(c->name));
        forget(&w->resources, sld_str_c(key));
        if (!c->resource)
            continue;
        sld_map_set(&w->resources, sld_str_c(key), sld_blob_create(c->resource->bytes));
        if (c->type == SLD_XDS_ROUTE) {
            SLD_UNREF(w->route);
            w->route = sld_obj_ref(c->resource);
        }
    }
    sld_xds_batch_destroy(n->batch);
    if (w->done(w))
        sld_loop_stop(w->io);
}

static int begin(void **out)
{
    struct world *w = SLD_NEW(struct world);
    w->io = sld_loop_create("io");
    struct sld_model_options o = {
        .settings_key = SLD_STR("settings/gloo-system/default"),
        .default_ns = SLD_STR("gloo-system"),
        .log_level = SLD_INFO,
        .on_news = on_news,
        .user = w,
    };
    sld_intake_options_default(&o.intake);
    o.intake.quiet_ns = 1000000;
    w->m = sld_model_thread_start(w->io, &o);
    *out = w;
    return 0;
}

static int end(void **state)
{
    struct world *w = *state;
    sld_model_thread_stop(w->m);
    sld_loop_destroy(w->io);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&w->resources, &at));) {
        struct sld_blob *b = s->value;
        SLD_UNREF(b);
    }
    sld_map_fini(&w->resources);
    SLD_UNREF(w->route);
    sld_xfree(w);
    return 0;
}

static bool has(const struct world *w, const char *key, const char *text)
{
    const struct sld_blob *b = sld_map_get(&w->resources, sld_str_c(key));
    return b && (!text || sld_str_find(b->data, sld_str_c(text)) >= 0);
}

static void put(struct world *w, const char *path, const char *text)
{
    struct sld_blob *b = sld_blob_create(sld_str_c(text));
    sld_model_thread_put(w->m, SOURCE, sld_str_c(path), b, true);
    SLD_UNREF(b);
}

#define VS(path_match)                                                                             \
    "kind: VirtualService\napiVersion: gateway.solo.io/v1\nmetadata: {name: v}\nspec: "            \
    "{virtualHost: "                                                                               \
    "{domains: [a.io], routes: [{matchers: [{prefix: " path_match                                  \
    "}], directResponseAction: {status: 200}}]}}\n"

static const char routes[] = "rds/listener-::-8080-routes";

static bool served(struct world *w)
{
    return w->ready && has(w, "lds/listener-::-8080", NULL) && has(w, routes, "/one");
}

static bool changed(struct world *w)
{
    return has(w, routes, "/two");
}

static bool gone(struct world *w)
{
    return !has(w, routes, NULL) && !has(w, "lds/listener-::-8080", NULL);
}

static void until(struct world *w, bool (*done)(struct world *w))
{
    w->done = done;
    if (!done(w))
        sld_loop_run(w->io);
}

static void test_edits(void **state)
{
    struct world *w = *state;
    w->done = served;
    sld_model_thread_source(w->m, SOURCE, 0, false);
    put(w, "a.yaml", VS("/one"));
    sld_model_thread_synced(w->m, SOURCE);
    until(w, served);
    assert_false(w->restored);
    put(w, "a.yaml", VS("/two"));
    until(w, changed);
    sld_model_thread_gone(w->m, SOURCE, SLD_STR("a.yaml"));
    until(w, gone);
}

static bool put_back(struct world *w)
{
    return has(w, routes, "/one") && !has(w, routes, "/two");
}

// What an Envoy refuses comes back as a change that it can take.
static void test_refusal(void **state)
{
    struct world *w = *state;
    w->done = served;
    sld_model_thread_source(w->m, SOURCE, 0, false);
    put(w, "a.yaml", VS("/one"));
    sld_model_thread_synced(w->m, SOURCE);
    until(w, served);
    sld_model_thread_verdict(w->m, true, SLD_STR("gloo-system~gateway-proxy"), w->route,
                             SLD_STR("envoy"), SLD_STR(""));
    put(w, "a.yaml", VS("/two"));
    until(w, changed);
    sld_model_thread_verdict(w->m, false, SLD_STR("gloo-system~gateway-proxy"), w->route,
                             SLD_STR("envoy"), SLD_STR("no"));
    until(w, put_back);
}

static bool restored_served(struct world *w)
{
    return w->ready && has(w, routes, "/old");
}

// Without its source the accepted form is served, and said to be restored.
static void test_restored(void **state)
{
    struct world *w = *state;
    w->done = restored_served;
    struct sld_ident id = {SLD_KIND_VIRTUAL_SERVICE, SLD_STR("gloo-system"), SLD_STR("v")};
    struct sld_doc_place place = {.path = SLD_STR("a.yaml"), .default_ns = id.ns};
    struct sld_raw *raw =
        sld_raw_create(id, SLD_STR(VS("/old")), 1, -1, SLD_STR("/etc/solder/a.yaml"), &place);
    sld_model_thread_source(w->m, SOURCE, 0, false);
    sld_model_thread_restore(w->m, SOURCE, raw);
    SLD_UNREF(raw);
    sld_model_thread_problem(w->m, SOURCE, SLD_STR(""), SLD_SOURCE_STALE, SLD_STR("it is gone"));
    sld_model_thread_serve_restored(w->m);
    until(w, restored_served);
    assert_true(w->restored);
}

static void test_publish(void **unused)
{
    (void)unused;
    for (int t = 0; t < SLD_OUT_TYPE_COUNT; t++)
        assert_int_equal(sld_publish_type(sld_publish_xds_type((enum sld_out_type)t)), t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_edits, begin, end),
        cmocka_unit_test_setup_teardown(test_refusal, begin, end),
        cmocka_unit_test_setup_teardown(test_restored, begin, end),
        cmocka_unit_test(test_publish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

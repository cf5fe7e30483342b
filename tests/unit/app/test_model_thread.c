// The model thread: letters in, news out, across two threads (run with the thread sanitizer too).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "app/model_thread.h"
#include "app/publish.h"

#include "settings.pb-c.h"

#define SOURCE SLD_STR("/etc/solder")

struct world {
    struct sld_loop *io;
    struct sld_model_thread *m;
    struct sld_map resources;       // "type/name" -> blob of bytes
    struct sld_xds_resource *route; // the last route table
    unsigned news, until;
    struct sld_arena_obj *settings;
    uint64_t version;
    size_t held; // by SOURCE, when settings were told last
    bool keep_settings; // they are not answered
    bool complete;
    uint64_t handled, sent;
    struct sld_map wanted;
    struct sld_arena arena;
    struct sld_model_status *told; // all statuses of keepers
    size_t told_count;
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
    w->complete |= n->complete;
    w->handled = n->handled;
    for (size_t i = 0; i < n->want_count; i++) {
        assert_int_equal(n->wants[i].kind, SLD_WANT_SECRET);
        if (n->wants[i].wanted)
            sld_map_set(&w->wanted, n->wants[i].key, w);
        else
            sld_map_remove(&w->wanted, n->wants[i].key);
    }
    for (size_t i = 0; i < n->status_count; i++) {
        struct sld_model_status s = n->statuses[i];
        s.source = sld_arena_str(&w->arena, s.source);
        s.path = sld_arena_str(&w->arena, s.path);
        s.id.name = sld_arena_str(&w->arena, s.id.name);
        s.status = sld_obj_ref(s.status);
        SLD_PUSH(&w->arena, w->told, w->told_count, s);
    }
    for (size_t i = 0; n->batch && i < n->batch->count; i++) {
        const struct sld_xds_change *c = &n->batch->changes[i];
        char key[128];
        snprintf(key, sizeof(key), "%s/%.*s", sld_xds_type_name(c->type), SLD_FMT(c->name));
        forget(&w->resources, sld_str_c(key));
        if (!c->resource)
            continue;
        struct sld_str bytes;
        struct sld_obj *owner = sld_xds_resource_open(c->resource, &bytes);
        sld_map_set(&w->resources, sld_str_c(key), sld_blob_create(bytes));
        SLD_UNREF(owner);
        if (c->type == SLD_XDS_ROUTE) {
            SLD_UNREF(w->route);
            w->route = sld_obj_ref(c->resource);
        }
    }
    sld_xds_batch_destroy(n->batch);
    if (w->done(w))
        sld_loop_stop(w->io);
}

static void on_settings(void *user, struct sld_arena_obj *settings, uint64_t version, const struct sld_model_held *held,
                        size_t held_count)
{
    struct world *w = user;
    for (size_t i = 0; i < held_count; i++)
        w->held = sld_str_eq(held[i].source, SOURCE) ? held[i].objects : w->held;
    sld_loop_assert_owner(w->io);
    SLD_UNREF(w->settings);
    w->settings = sld_obj_ref(settings);
    w->version = version;
    if (!w->keep_settings)
        sld_model_thread_settings_taken(w->m, version);
    if (w->done && w->done(w))
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
        .on_settings = on_settings,
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
    sld_model_thread_free(w->m);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&w->resources, &at));) {
        struct sld_blob *b = s->value;
        SLD_UNREF(b);
    }
    sld_map_fini(&w->resources);
    sld_map_fini(&w->wanted);
    SLD_UNREF(w->route);
    SLD_UNREF(w->settings);
    for (size_t i = 0; i < w->told_count; i++)
        SLD_UNREF(w->told[i].status);
    sld_arena_fini(&w->arena);
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

static void tell_source(struct world *w, struct sld_str name, unsigned order)
{
    sld_model_thread_source(
        w->m, name, &(struct sld_model_source){.order = order, .only = SLD_KIND_COUNT});
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
    tell_source(w, SOURCE, 0);
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
    tell_source(w, SOURCE, 0);
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
    tell_source(w, SOURCE, 0);
    sld_model_thread_restore(w->m, SOURCE, raw);
    SLD_UNREF(raw);
    sld_model_thread_problem(w->m, SOURCE, SLD_STR(""), SLD_SOURCE_STALE, SLD_STR("it is gone"));
    sld_model_thread_serve_restored(w->m);
    until(w, restored_served);
    assert_true(w->restored);
}

// ---- Settings ----

static void set_settings(struct world *w, const char *text)
{
    struct sld_ident id = {SLD_KIND_SETTINGS, SLD_STR("gloo-system"), SLD_STR("default")};
    struct sld_doc_place place = {.path = SLD_STR("s.yaml"), .default_ns = id.ns};
    struct sld_raw *raw = sld_raw_create(id, sld_str_c(text), 1, -1, SLD_STR("s.yaml"), &place);
    struct sld_object *o = sld_object_decode(raw, NULL);
    assert_true(o->ok);
    sld_model_thread_settings(w->m, o);
    SLD_UNREF(o);
    SLD_UNREF(raw);
}

#define METADATA "metadata: {name: default, namespace: gloo-system}\n"

static bool told_directory(struct world *w)
{
    const Gloo__Settings *s = w->settings ? w->settings->root : NULL;
    return s && s->config_source_case == GLOO__SETTINGS__CONFIG_SOURCE_DIRECTORY_CONFIG_SOURCE;
}

static bool told_rate(struct world *w)
{
    const Gloo__Settings *s = w->settings ? w->settings->root : NULL;
    return s && s->refresh_rate;
}

// Sources that settings name are waited for: nothing is ready before the settings were looked at.
static void test_settings_are_answered_first(void **state)
{
    struct world *w = *state;
    w->keep_settings = true;
    w->done = told_directory;
    tell_source(w, SOURCE, 0);
    put(w, "a.yaml", VS("/one"));
    sld_model_thread_synced(w->m, SOURCE);
    set_settings(w, METADATA "directoryConfigSource: {directory: /more}\n");
    until(w, told_directory);
    set_settings(w, METADATA "refreshRate: 5s\n");
    until(w, told_rate);
    assert_false(w->ready);
    sld_model_thread_settings_taken(w->m, w->version);
    until(w, served);
}

static bool no_rate(struct world *w)
{
    return w->settings && !told_rate(w);
}

// The end of a Settings document counts as soon as the document is let go of, which is later than
// it was told.
static void test_settings_end(void **state)
{
    struct world *w = *state;
    w->done = served;
    tell_source(w, SOURCE, 0);
    put(w, "a.yaml", VS("/one"));
    put(w, "s.yaml",
        "apiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {name: default}\n"
        "spec: {refreshRate: 5s}\n");
    sld_model_thread_synced(w->m, SOURCE);
    until(w, served);
    until(w, told_rate);
    sld_model_thread_gone(w->m, SOURCE, SLD_STR("s.yaml"));
    until(w, no_rate);
}

static bool ready(struct world *w)
{
    return w->ready;
}

static bool complete(struct world *w)
{
    return w->complete;
}

// A store that is asked only for what is wanted cannot be read before it was asked.
static void test_rounds_do_not_wait_for_what_is_on_demand(void **state)
{
    struct world *w = *state;
    w->done = complete;
    tell_source(w, SOURCE, 0);
    struct sld_model_source about = {.order = 1, .only = SLD_KIND_SECRET, .on_demand = true};
    sld_model_thread_source(w->m, SLD_STR("vault:"), &about);
    put(w, "a.yaml", VS("/one"));
    sld_model_thread_synced(w->m, SOURCE);
    until(w, complete);
    assert_true(has(w, routes, "/one"));
    assert_false(w->ready);
    sld_model_thread_synced(w->m, SLD_STR("vault:"));
    until(w, ready);
}

#define HTTPS                                                                                      \
    "kind: VirtualService\napiVersion: gateway.solo.io/v1\nmetadata: {name: v}\nspec: {sslConfig: "  \
    "{secretRef: {name: cert, namespace: gloo-system}}, virtualHost: {domains: [a.io]}}\n"

static bool wants_cert(struct world *w)
{
    return sld_map_has(&w->wanted, SLD_STR("secrets/gloo-system/cert"));
}

static bool wants_nothing(struct world *w)
{
    return sld_map_count(&w->wanted) == 0;
}

// A store on demand learns what is referred to, there or not, before it counts as read.
static void test_wants(void **state)
{
    struct world *w = *state;
    w->done = wants_cert;
    tell_source(w, SOURCE, 0);
    put(w, "a.yaml", HTTPS);
    sld_model_thread_synced(w->m, SOURCE);
    until(w, wants_cert);
    assert_true(w->complete);
    put(w, "a.yaml", VS("/one"));
    until(w, wants_nothing);
}

static bool handled_all(struct world *w)
{
    return w->handled == w->sent;
}

// Whoever tells of services learns from the news whether they follow from all it told, also when
// nothing does.
static void test_letters_of_services_are_answered(void **state)
{
    struct world *w = *state;
    struct sld_str dc = SLD_STR("dc1");
    struct sld_service *s = sld_service_create(SLD_STR("web"), NULL, 0, &dc, 1);
    w->done = complete;
    tell_source(w, SOURCE, 0);
    sld_model_thread_synced(w->m, SOURCE);
    until(w, complete);
    w->done = handled_all;
    for (int i = 0; i < 2; i++) { // the second time it is as it was
        sld_model_thread_service(w->m, SLD_STR("consul"), s->name, s);
        w->sent = sld_model_thread_sent(w->m);
        assert_false(handled_all(w));
        until(w, handled_all);
    }
    SLD_UNREF(s);
}

static bool without_v(struct world *w)
{
    return w->ready && !has(w, routes, NULL);
}

static bool with_v(struct world *w)
{
    return has(w, routes, "/one");
}

static void test_namespaces_that_count(void **state)
{
    struct world *w = *state;
    w->done = served;
    tell_source(w, SOURCE, 0);
    put(w, "apps/a.yaml",
        "kind: VirtualService\napiVersion: gateway.solo.io/v1\nmetadata: {name: v, namespace: apps}\n"
        "spec: {virtualHost: {domains: [a.io], routes: [{matchers: [{prefix: /one}], "
        "directResponseAction: {status: 200}}]}}\n");
    sld_model_thread_synced(w->m, SOURCE);
    until(w, served);
    set_settings(w, METADATA "watchNamespaces: [other]\n");
    until(w, without_v);
    set_settings(w, METADATA "watchNamespaces: [other, apps]\n");
    until(w, with_v);
    set_settings(w, METADATA "watchNamespaces: [other]\n");
    until(w, without_v);
    set_settings(w, METADATA "watchNamespaces: ['']\n");
    until(w, with_v);
}

static void test_a_source_that_is_not_named_any_more(void **state)
{
    struct world *w = *state;
    w->done = served;
    tell_source(w, SOURCE, 0);
    tell_source(w, SLD_STR("/other"), 1);
    put(w, "a.yaml", VS("/one"));
    sld_model_thread_synced(w->m, SOURCE);
    sld_model_thread_synced(w->m, SLD_STR("/other"));
    until(w, served);
    sld_model_thread_source_gone(w->m, SOURCE);
    until(w, gone);
    assert_true(w->ready);
}

// What settings drop is told of before what takes its place: meanwhile there is no other source, and nothing goes.
static void test_a_source_whose_place_another_takes(void **state)
{
    struct world *w = *state;
    w->done = served;
    tell_source(w, SOURCE, 0);
    put(w, "a.yaml", VS("/one"));
    sld_model_thread_synced(w->m, SOURCE);
    until(w, served);
    w->keep_settings = true;
    set_settings(w, METADATA "directoryConfigSource: {directory: /next}\n");
    until(w, told_directory);
    assert_int_equal(w->held, 1); // as much is expected of the next
    sld_model_thread_source_gone(w->m, SOURCE);
    for (uint64_t end = sld_mono_ns() + 50000000; sld_mono_ns() < end;) { // many times the quiet period
        set_settings(w, METADATA "refreshRate: 5s\n");
        until(w, told_rate);
        set_settings(w, METADATA);
        until(w, no_rate);
    }
    assert_true(has(w, routes, "/one"));
    tell_source(w, SLD_STR("/next"), 1);
    sld_model_thread_settings_taken(w->m, w->version);
    until(w, served);
    struct sld_blob *b = sld_blob_create(sld_str_c(VS("/two")));
    sld_model_thread_put(w->m, SLD_STR("/next"), SLD_STR("b.yaml"), b, true);
    SLD_UNREF(b);
    sld_model_thread_synced(w->m, SLD_STR("/next"));
    until(w, changed);
}

// ---- Statuses for sources that keep them ----

// The last word about PATH: "none", "gone", or the state.
static const char *status_of(const struct world *w, const char *path)
{
    const char *last = "none";
    for (size_t i = 0; i < w->told_count; i++) {
        const struct sld_model_status *s = &w->told[i];
        if (sld_str_eq(s->path, sld_str_c(path)) && sld_str_eq(s->source, SOURCE))
            last = s->status ? sld_status_state_name(s->status->state) : "gone";
    }
    return last;
}

static bool accepted_in_a(struct world *w)
{
    return !strcmp(status_of(w, "a"), "Accepted");
}

static bool moved_to_b(struct world *w)
{
    return !strcmp(status_of(w, "a"), "gone") && !strcmp(status_of(w, "b"), "Accepted");
}

static bool rejected_in_b(struct world *w)
{
    return !strcmp(status_of(w, "b"), "Rejected");
}

static bool gone_from_b(struct world *w)
{
    return !strcmp(status_of(w, "b"), "gone");
}

static void test_statuses_go_where_the_documents_are(void **state)
{
    struct world *w = *state;
    w->done = accepted_in_a;
    struct sld_model_source about = {.only = SLD_KIND_COUNT, .keeps_status = true};
    sld_model_thread_source(w->m, SOURCE, &about);
    tell_source(w, SLD_STR("/other"), 1);
    put(w, "a", VS("/one"));
    struct sld_blob *b = sld_blob_create(
        SLD_STR("kind: Upstream\napiVersion: gloo.solo.io/v1\nmetadata: {name: u}\n"));
    sld_model_thread_put(w->m, SLD_STR("/other"), SLD_STR("u"), b, true);
    SLD_UNREF(b);
    sld_model_thread_synced(w->m, SOURCE);
    sld_model_thread_synced(w->m, SLD_STR("/other"));
    until(w, accepted_in_a);
    put(w, "b", VS("/one"));
    sld_model_thread_gone(w->m, SOURCE, SLD_STR("a"));
    until(w, moved_to_b);
    put(w, "b", VS("/one") "nonsense: 1\n");
    until(w, rejected_in_b);
    sld_model_thread_gone(w->m, SOURCE, SLD_STR("b"));
    until(w, gone_from_b);
    for (size_t i = 0; i < w->told_count; i++)
        assert_true(sld_str_eq(w->told[i].source, SOURCE)); // the other one keeps none
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
        cmocka_unit_test_setup_teardown(test_settings_are_answered_first, begin, end),
        cmocka_unit_test_setup_teardown(test_settings_end, begin, end),
        cmocka_unit_test_setup_teardown(test_rounds_do_not_wait_for_what_is_on_demand, begin, end),
        cmocka_unit_test_setup_teardown(test_wants, begin, end),
        cmocka_unit_test_setup_teardown(test_letters_of_services_are_answered, begin, end),
        cmocka_unit_test_setup_teardown(test_namespaces_that_count, begin, end),
        cmocka_unit_test_setup_teardown(test_a_source_that_is_not_named_any_more, begin, end),
        cmocka_unit_test_setup_teardown(test_a_source_whose_place_another_takes, begin, end),
        cmocka_unit_test_setup_teardown(test_statuses_go_where_the_documents_are, begin, end),
        cmocka_unit_test(test_publish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

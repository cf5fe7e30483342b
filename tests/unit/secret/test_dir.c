// The directory store: paths of both layouts, and only Secrets.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "secret/dir/dir.h"
#include "tree.h"

#include "settings.pb-c.h"

struct world {
    struct sld_loop *io;
    struct sld_source *store;
    struct sld_intake *in;
    struct sld_map objects; // key -> itself
    unsigned objects_wanted;
};

#define STORE SLD_STR("store")

static void stop_when_done(struct world *w)
{
    if (sld_map_count(&w->objects) == w->objects_wanted)
        sld_loop_stop(w->io);
}

static void on_object(void *user, struct sld_ident id, struct sld_raw *raw)
{
    struct world *w = user;
    struct sld_arena a = {0};
    struct sld_str key = sld_ident_key(&a, id);
    if (raw)
        sld_map_set(&w->objects, key, w);
    else
        sld_map_remove(&w->objects, key);
    sld_arena_fini(&a);
}

static void on_problems(void *user)
{
    (void)user;
}

static void on_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    struct world *w = user;
    sld_intake_put(w->in, STORE, path, bytes, settled, sld_mono_ns());
    stop_when_done(w);
}

static void on_gone(void *user, struct sld_str path)
{
    struct world *w = user;
    sld_intake_gone(w->in, STORE, path, sld_mono_ns());
}

static void on_synced(void *user)
{
    struct world *w = user;
    sld_intake_synced(w->in, STORE, sld_mono_ns());
    stop_when_done(w);
}

static void on_problem(void *user, struct sld_str path, enum sld_code code, struct sld_str message)
{
    struct world *w = user;
    sld_intake_problem(w->in, STORE, path, code, message, sld_mono_ns());
}

static void test_layouts(void **unused)
{
    (void)unused;
    tree_create();
    const char *root = tree_root;
    tree_mkdir("secrets");
    tree_mkdir("secrets/one");
    tree_mkdir("two");
    tree_write("secrets/one/a.yaml", "metadata: {name: a}\nheader: {headers: {k: v}}\n");
    tree_write("two/b.yaml", "metadata: {name: b}\nheader: {headers: {k: v}}\n");
    tree_write("two/k.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: k, namespace: "
                             "three}\nstringData: {k: v}\n");
    tree_write(
        "two/vs.yaml",
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {}\n");
    struct world w = {.io = sld_loop_create("io"), .objects_wanted = 3};
    struct sld_intake_options o;
    sld_intake_options_default(&o);
    o.default_ns = SLD_STR("gloo-system");
    struct sld_intake_events iev = {.on_object = on_object, .on_problems = on_problems, .user = &w};
    w.in = sld_intake_create(&o, &iev);
    sld_intake_source(w.in, STORE, 0);
    sld_intake_source_only(w.in, STORE, SLD_KIND_SECRET);
    struct sld_source_events ev = {.on_put = on_put,
                                   .on_gone = on_gone,
                                   .on_synced = on_synced,
                                   .on_problem = on_problem,
                                   .user = &w};
    struct sld_err err = {0};
    assert_true(sld_secret_dir_ops.source.matches(sld_str_c(root)));
    const Gloo__Settings settings = GLOO__SETTINGS__INIT;
    assert_int_equal(
        sld_secret_dir_ops.source.open(w.io, sld_str_c(root), &settings, &ev, &w.store, &err),
        SLD_OK);
    sld_loop_run(w.io);
    assert_true(sld_map_has(&w.objects, SLD_STR("secrets/one/a")));
    assert_true(sld_map_has(&w.objects, SLD_STR("secrets/two/b")));
    assert_true(sld_map_has(&w.objects, SLD_STR("secrets/three/k")));
    w.store->ops->close(w.store);
    sld_intake_destroy(w.in);
    sld_loop_destroy(w.io);
    sld_map_fini(&w.objects);
    tree_destroy();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

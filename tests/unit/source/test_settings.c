// The intake under settings that change: sources that come and go, namespaces that count, the
// namespace of documents without one. Pure, with a clock of its own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "source/source.h"

#define MS UINT64_C(1000000)
#define A SLD_STR("/a")
#define B SLD_STR("/b")

struct fixture {
    struct sld_intake *in;
    struct sld_map objects; // key -> origin, owned
    uint64_t now;
};

static void on_object(void *user, struct sld_ident id, struct sld_raw *raw)
{
    struct fixture *f = user;
    struct sld_arena a = {0};
    struct sld_str key = sld_ident_key(&a, id);
    char *origin = NULL;
    if (raw) {
        origin = sld_xcalloc(1, sld_raw_origin(raw).n + 1);
        memcpy(origin, sld_raw_origin(raw).p, sld_raw_origin(raw).n);
        sld_xfree(sld_map_set(&f->objects, key, origin));
    } else {
        void *old = sld_map_remove(&f->objects, key);
        assert_non_null(old);
        sld_xfree(old);
    }
    sld_arena_fini(&a);
}

static void on_problems(void *user)
{
    (void)user;
}

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    f->now = 1000 * MS;
    struct sld_intake_options o;
    sld_intake_options_default(&o);
    struct sld_intake_events ev = {.on_object = on_object, .on_problems = on_problems, .user = f};
    f->in = sld_intake_create(&o, &ev);
    sld_intake_source(f->in, A, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sld_intake_destroy(f->in);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&f->objects, &at));)
        sld_xfree(s->value);
    sld_map_fini(&f->objects);
    sld_xfree(f);
    return 0;
}

// An upstream NAME; NS may be NULL.
static void put(struct fixture *f, struct sld_str source, const char *path, const char *ns,
                const char *name)
{
    char text[256];
    snprintf(text, sizeof(text),
             "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: %s%s%s}\n", name,
             ns ? ", namespace: " : "", ns ? ns : "");
    struct sld_blob *b = sld_blob_create(sld_str_c(text));
    sld_intake_put(f->in, source, sld_str_c(path), b, true, f->now);
    SLD_UNREF(b);
}

static void pass(struct fixture *f, uint64_t ms)
{
    f->now += ms * MS;
    sld_intake_tick(f->in, f->now);
}

// Where the upstream "ns/name" that is in force stands; "none".
static const char *origin(struct fixture *f, const char *name)
{
    char key[128];
    snprintf(key, sizeof(key), "upstreams/%s", name);
    const char *o = sld_map_get(&f->objects, sld_str_c(key));
    return o ? o : "none";
}

static bool has_problem(struct fixture *f, struct sld_str source, enum sld_code code,
                        const char *words)
{
    size_t n;
    const struct sld_problem *p = sld_intake_problems(f->in, &n);
    for (size_t i = 0; i < n; i++) {
        if (p[i].code == code && sld_str_eq(p[i].source, source) &&
            sld_str_find(p[i].message, sld_str_c(words)) >= 0)
            return true;
    }
    return false;
}

// ---- Sources ----

static void test_objects_of_a_source_that_is_not_named_any_more_go(void **state)
{
    struct fixture *f = *state;
    char name[8];
    for (int i = 0; i < 20; i++) { // most of a source, which it may be
        snprintf(name, sizeof(name), "u%d", i);
        put(f, A, name, "n", name);
    }
    sld_intake_synced(f->in, A, f->now);
    sld_intake_source_gone(f->in, A, f->now);
    pass(f, 240);
    assert_string_equal(origin(f, "n/u0"), "/a/u0");
    pass(f, 20);
    assert_int_equal(sld_map_count(&f->objects), 0);
    assert_false(has_problem(f, A, SLD_SOURCE_CLOSED, ""));
    sld_intake_source(f->in, A, 1); // its name is free
}

static void test_they_wait_for_what_takes_their_place(void **state)
{
    struct fixture *f = *state;
    put(f, A, "x", "n", "x");
    put(f, A, "y", "n", "y");
    sld_intake_synced(f->in, A, f->now);
    sld_intake_source(f->in, B, 2);
    sld_intake_source_gone(f->in, A, f->now);
    pass(f, 60000);
    assert_string_equal(origin(f, "n/x"), "/a/x");
    assert_true(has_problem(f, A, SLD_SOURCE_CLOSED, "2 objects"));
    put(f, B, "x", "n", "x");
    assert_string_equal(origin(f, "n/x"), "/b/x"); // what stands is before what is lost
    sld_intake_synced(f->in, B, f->now);
    pass(f, 0);
    assert_string_equal(origin(f, "n/x"), "/b/x");
    assert_string_equal(origin(f, "n/y"), "none");
    assert_false(has_problem(f, A, SLD_SOURCE_CLOSED, ""));
}

// What takes the place of another counts as a whole, in the moment in which the other goes.
static void test_one_configuration_replaces_another_at_once(void **state)
{
    struct fixture *f = *state;
    put(f, A, "x", "n", "x");
    put(f, A, "y", "n", "y");
    sld_intake_synced(f->in, A, f->now);
    sld_intake_source_gone(f->in, A, f->now);
    sld_intake_source(f->in, B, 2);
    put(f, B, "x", "n", "x");
    put(f, B, "z", "n", "z");
    pass(f, 60000); // it cannot be read to its end
    assert_string_equal(origin(f, "n/x"), "/a/x");
    assert_string_equal(origin(f, "n/y"), "/a/y");
    assert_string_equal(origin(f, "n/z"), "none");
    sld_intake_synced(f->in, B, f->now);
    pass(f, 0);
    assert_string_equal(origin(f, "n/x"), "/b/x");
    assert_string_equal(origin(f, "n/y"), "none");
    assert_string_equal(origin(f, "n/z"), "/b/z");
    put(f, B, "w", "n", "w"); // and from then on as ever
    assert_string_equal(origin(f, "n/w"), "/b/w");
}

static void test_it_is_quiet_before_that(void **state)
{
    struct fixture *f = *state;
    put(f, A, "x", "n", "x");
    sld_intake_synced(f->in, A, f->now);
    sld_intake_source_gone(f->in, A, f->now);
    sld_intake_source(f->in, B, 2);
    put(f, B, "z", "n", "z");
    sld_intake_synced(f->in, B, f->now);
    pass(f, 240);
    assert_string_equal(origin(f, "n/x"), "/a/x");
    assert_string_equal(origin(f, "n/z"), "none");
    pass(f, 20);
    assert_string_equal(origin(f, "n/x"), "none");
    assert_string_equal(origin(f, "n/z"), "/b/z");
}

static void test_the_former_place_is_named_again(void **state)
{
    struct fixture *f = *state;
    put(f, A, "x", "n", "x");
    sld_intake_synced(f->in, A, f->now);
    sld_intake_source_gone(f->in, A, f->now);
    sld_intake_source(f->in, B, 2);
    put(f, B, "z", "n", "z");
    sld_intake_source_gone(f->in, B, f->now);
    sld_intake_source(f->in, A, 1);
    put(f, A, "x", "n", "x");
    put(f, A, "y", "n", "y");
    assert_string_equal(origin(f, "n/y"), "/a/y"); // it takes nobody's place
    sld_intake_synced(f->in, A, f->now);
    pass(f, 260);
    assert_string_equal(origin(f, "n/x"), "/a/x");
    assert_string_equal(origin(f, "n/z"), "none");
}

// Secrets may come from elsewhere, and what says no objects is not waited for.
static void test_objects_wait_for_sources_of_their_kind(void **state)
{
    struct fixture *f = *state;
    put(f, A, "x", "n", "x");
    sld_intake_synced(f->in, A, f->now);
    sld_intake_source_gone(f->in, A, f->now);
    sld_intake_source(f->in, B, 2);
    sld_intake_source_only(f->in, B, SLD_KIND_UPSTREAM);
    sld_intake_source(f->in, SLD_STR("vault"), 3);
    sld_intake_source_only(f->in, SLD_STR("vault"), SLD_KIND_SECRET);
    sld_intake_source(f->in, SLD_STR("services"), 4);
    sld_intake_source_silent(f->in, SLD_STR("services"));
    pass(f, 60000);
    assert_string_equal(origin(f, "n/x"), "/a/x");
    assert_true(has_problem(f, A, SLD_SOURCE_CLOSED, "1 objects"));
    sld_intake_synced(f->in, B, f->now);
    pass(f, 0);
    assert_string_equal(origin(f, "n/x"), "none");
}

static void test_a_secret_counts_when_it_is_answered(void **state)
{
    struct fixture *f = *state;
    struct sld_str vault = SLD_STR("vault");
    put(f, A, "x", "n", "x");
    sld_intake_synced(f->in, A, f->now);
    sld_intake_source_gone(f->in, A, f->now);
    sld_intake_source(f->in, vault, 3);
    sld_intake_source_only(f->in, vault, SLD_KIND_SECRET);
    struct sld_blob *b = sld_blob_create(SLD_STR("apiVersion: gloo.solo.io/v1\nkind: Secret\nmetadata: {name: s, namespace: n}\n"));
    sld_intake_put(f->in, vault, SLD_STR("s"), b, true, f->now);
    SLD_UNREF(b);
    assert_true(sld_map_has(&f->objects, SLD_STR("secrets/n/s")));
}

static void test_as_much_is_expected_of_another_place(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(sld_intake_holds(f->in, SLD_STR("nobody")), 0);
    put(f, A, "x", "n", "x");
    put(f, A, "y", "n", "y");
    sld_intake_synced(f->in, A, f->now);
    assert_int_equal(sld_intake_holds(f->in, A), 2);
    sld_intake_source_gone(f->in, A, f->now);
    sld_intake_source(f->in, B, 2);
    put(f, B, "z", "n", "z");
    assert_int_equal(sld_intake_holds(f->in, B), 2); // as long as it has not taken their place
    sld_intake_synced(f->in, B, f->now);
    pass(f, 260);
    assert_int_equal(sld_intake_holds(f->in, B), 1);
}

static void test_a_place_without_documents_holds_nothing_up(void **state)
{
    struct fixture *f = *state;
    sld_intake_source(f->in, SLD_STR("/state"), 9);
    sld_intake_synced(f->in, SLD_STR("/state"), f->now);
    put(f, A, "x", "n", "x");
    sld_intake_synced(f->in, A, f->now);
    sld_intake_source_gone(f->in, A, f->now);
    pass(f, 260);
    assert_string_equal(origin(f, "n/x"), "none");
}

static void test_a_source_that_comes_back_in_time_keeps_its_objects(void **state)
{
    struct fixture *f = *state;
    put(f, A, "x", "n", "x");
    put(f, A, "y", "n", "y");
    sld_intake_synced(f->in, A, f->now);
    sld_intake_source_gone(f->in, A, f->now);
    pass(f, 100);
    sld_intake_source(f->in, A, 1);
    pass(f, 60000); // not read yet
    assert_string_equal(origin(f, "n/x"), "/a/x");
    put(f, A, "x", "n", "x");
    sld_intake_synced(f->in, A, f->now);
    pass(f, 260);
    assert_string_equal(origin(f, "n/x"), "/a/x");
    assert_string_equal(origin(f, "n/y"), "none");
}

static void test_it_may_come_back_at_another_place_in_the_order(void **state)
{
    struct fixture *f = *state;
    sld_intake_source(f->in, B, 2);
    put(f, A, "x", "n", "x");
    put(f, B, "x", "n", "x");
    sld_intake_synced(f->in, A, f->now);
    sld_intake_synced(f->in, B, f->now);
    assert_string_equal(origin(f, "n/x"), "/a/x");
    sld_intake_source_gone(f->in, A, f->now);
    assert_string_equal(origin(f, "n/x"), "/b/x");
    sld_intake_source(f->in, A, 3);
    put(f, A, "x", "n", "x");
    sld_intake_synced(f->in, A, f->now);
    assert_string_equal(origin(f, "n/x"), "/b/x");
}

static void test_problems_of_a_source_go_with_it(void **state)
{
    struct fixture *f = *state;
    sld_intake_problem(f->in, A, SLD_STR(""), SLD_SOURCE_STALE, SLD_STR("no answer"), f->now);
    sld_intake_problem(f->in, A, SLD_STR("x"), SLD_DOC_UNREADABLE, SLD_STR("no"), f->now);
    assert_true(has_problem(f, A, SLD_SOURCE_STALE, "no answer"));
    sld_intake_source_gone(f->in, A, f->now);
    size_t n;
    sld_intake_problems(f->in, &n);
    assert_int_equal(n, 0);
}

// ---- Namespaces ----

static void test_only_watched_namespaces_count(void **state)
{
    struct fixture *f = *state;
    put(f, A, "x", "one", "x");
    put(f, A, "y", "two", "y");
    struct sld_str one[] = {SLD_STR("one"), SLD_STR("gloo-system")};
    sld_intake_watch(f->in, one, 2);
    assert_string_equal(origin(f, "one/x"), "/a/x");
    assert_string_equal(origin(f, "two/y"), "none");
    assert_true(has_problem(f, A, SLD_NAMESPACE_UNWATCHED, "1 object of namespace two does not"));
    put(f, A, "z", "two", "z");
    assert_string_equal(origin(f, "two/z"), "none");
    assert_true(has_problem(f, A, SLD_NAMESPACE_UNWATCHED, "2 objects of namespace two do not"));
    sld_intake_watch(f->in, NULL, 0);
    assert_string_equal(origin(f, "two/y"), "/a/y");
    assert_string_equal(origin(f, "two/z"), "/a/z");
    assert_false(has_problem(f, A, SLD_NAMESPACE_UNWATCHED, ""));
}

static void test_unwatched_objects_come_and_go_silently(void **state)
{
    struct fixture *f = *state;
    struct sld_str one = SLD_STR("one");
    sld_intake_watch(f->in, &one, 1);
    put(f, A, "y", "two", "y");
    sld_intake_synced(f->in, A, f->now);
    sld_intake_gone(f->in, A, SLD_STR("y"), f->now);
    pass(f, 260);
    assert_false(has_problem(f, A, SLD_NAMESPACE_UNWATCHED, ""));
    sld_intake_watch(f->in, NULL, 0);
    assert_int_equal(sld_map_count(&f->objects), 0);
}

static void test_settings_count_in_every_namespace(void **state)
{
    struct fixture *f = *state;
    struct sld_str one = SLD_STR("one");
    sld_intake_watch(f->in, &one, 1);
    struct sld_blob *b = sld_blob_create(SLD_STR(
        "apiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {name: s, namespace: infra}\n"));
    sld_intake_put(f->in, A, SLD_STR("s"), b, true, f->now);
    SLD_UNREF(b);
    assert_true(sld_map_has(&f->objects, SLD_STR("settings/infra/s")));
}

static void test_documents_without_a_namespace_follow_the_default(void **state)
{
    struct fixture *f = *state;
    put(f, A, "x", NULL, "x");
    put(f, A, "y", "n", "y");
    sld_intake_synced(f->in, A, f->now);
    assert_string_equal(origin(f, "gloo-system/x"), "/a/x");
    sld_intake_set_default_ns(f->in, SLD_STR("edge"), f->now);
    assert_string_equal(origin(f, "edge/x"), "/a/x");
    assert_string_equal(origin(f, "n/y"), "/a/y");
    pass(f, 260);
    assert_string_equal(origin(f, "gloo-system/x"), "none");
    assert_string_equal(origin(f, "edge/x"), "/a/x");
}

static void test_of_many_documents_too(void **state)
{
    struct fixture *f = *state;
    static const char text[] =
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: x}\n---\n"
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: y}\n";
    struct sld_blob *b = sld_blob_create(sld_str_c(text));
    sld_intake_put(f->in, A, SLD_STR("f"), b, true, f->now);
    SLD_UNREF(b);
    // An edit of one reads that one alone; the file is known to depend on the default all the same.
    b = sld_blob_create(SLD_STR(
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: x}\n---\n"
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: z, namespace: n}\n"));
    sld_intake_put(f->in, A, SLD_STR("f"), b, true, f->now);
    SLD_UNREF(b);
    sld_intake_synced(f->in, A, f->now);
    sld_intake_set_default_ns(f->in, SLD_STR("edge"), f->now);
    pass(f, 260);
    assert_string_equal(origin(f, "edge/x"), "/a/f");
    assert_string_equal(origin(f, "n/z"), "/a/f");
    assert_int_equal(sld_map_count(&f->objects), 2);
}

// What a broken unit said before is no news: it stays broken.
static void test_a_broken_unit_stays_so(void **state)
{
    struct fixture *f = *state;
    struct sld_blob *good = sld_blob_create(
        SLD_STR("apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: x}\n"));
    struct sld_blob *bad = sld_blob_create(SLD_STR("kind: {\n"));
    sld_intake_put(f->in, A, SLD_STR("u"), good, true, f->now);
    sld_intake_synced(f->in, A, f->now);
    sld_intake_put(f->in, A, SLD_STR("u"), bad, true, f->now);
    size_t before, after;
    sld_intake_problems(f->in, &before);
    assert_int_not_equal(before, 0);
    sld_intake_set_default_ns(f->in, SLD_STR("edge"), f->now);
    sld_intake_problems(f->in, &after);
    assert_int_equal(after, before);
    sld_intake_put(f->in, A, SLD_STR("u"), good, true, f->now);
    pass(f, 260);
    assert_string_equal(origin(f, "edge/x"), "/a/u");
    SLD_UNREF(good);
    SLD_UNREF(bad);
}

static void test_settings_stay_where_they_are(void **state)
{
    struct fixture *f = *state;
    struct sld_blob *b = sld_blob_create(
        SLD_STR("apiVersion: gloo.solo.io/v1\nkind: Settings\nmetadata: {name: default}\n"));
    sld_intake_put(f->in, A, SLD_STR("s"), b, true, f->now);
    SLD_UNREF(b);
    sld_intake_synced(f->in, A, f->now);
    sld_intake_set_default_ns(f->in, SLD_STR("edge"), f->now);
    pass(f, 260);
    assert_true(sld_map_has(&f->objects, SLD_STR("settings/gloo-system/default")));
    assert_int_equal(sld_map_count(&f->objects), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_objects_of_a_source_that_is_not_named_any_more_go),
        T(test_they_wait_for_what_takes_their_place),
        T(test_one_configuration_replaces_another_at_once),
        T(test_it_is_quiet_before_that),
        T(test_the_former_place_is_named_again),
        T(test_objects_wait_for_sources_of_their_kind),
        T(test_a_secret_counts_when_it_is_answered),
        T(test_as_much_is_expected_of_another_place),
        T(test_a_place_without_documents_holds_nothing_up),
        T(test_a_source_that_comes_back_in_time_keeps_its_objects),
        T(test_a_broken_unit_stays_so),
        T(test_it_may_come_back_at_another_place_in_the_order),
        T(test_problems_of_a_source_go_with_it),
        T(test_only_watched_namespaces_count),
        T(test_unwatched_objects_come_and_go_silently),
        T(test_settings_count_in_every_namespace),
        T(test_documents_without_a_namespace_follow_the_default),
        T(test_of_many_documents_too),
        T(test_settings_stay_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

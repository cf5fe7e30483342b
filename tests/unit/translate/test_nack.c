// An Envoy that refuses route tables holding certain virtual hosts: the culprits are found and
// held, the others and all later edits go on.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "translate/inside.h"

extern const struct sld_feature sld_feature_header_manipulation;

struct world {
    struct sld_translate *t;
    struct sld_hash told; // of the table the Envoy judged last
    unsigned sent;
    struct sld_blob *table; // as the Envoy has it
    bool takes_all;         // it is one that knows "/bad"
};

static void set_vs(struct world *w, const char *name, const char *path)
{
    struct sld_arena a = {0};
    struct sld_ident id = {SLD_KIND_VIRTUAL_SERVICE, SLD_STR("gloo-system"), sld_str_c(name)};
    struct sld_str text =
        sld_arena_fmt(&a,
                      "virtualHost: {domains: [%s.io], routes: [{matchers: [{prefix: %s}], "
                      "directResponseAction: {status: 200}}]}\n",
                      name, path);
    struct sld_doc_place place = {.path = SLD_STR("f.yaml"), .default_ns = id.ns};
    struct sld_raw *raw = sld_raw_create(id, text, 1, -1, SLD_STR("f.yaml"), &place);
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
    sld_arena_fini(&a);
}

static void set_table(struct world *w, const char *name, const char *path)
{
    struct sld_arena a = {0};
    struct sld_ident id = {SLD_KIND_ROUTE_TABLE, SLD_STR("gloo-system"), sld_str_c(name)};
    struct sld_str text = sld_arena_fmt(
        &a, "routes: [{matchers: [{prefix: /%s%s}], directResponseAction: {status: 200}}]\n", name,
        path);
    struct sld_doc_place place = {.path = SLD_STR("f.yaml"), .default_ns = id.ns};
    struct sld_raw *raw = sld_raw_create(id, text, 1, -1, SLD_STR("f.yaml"), &place);
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
    sld_arena_fini(&a);
}

// Delegates /r1 and /r2, and answers EXTRA itself.
static void set_parent(struct world *w, const char *extra)
{
    struct sld_arena a = {0};
    struct sld_ident id = {SLD_KIND_VIRTUAL_SERVICE, SLD_STR("gloo-system"), SLD_STR("parent")};
    struct sld_str text = sld_arena_fmt(
        &a,
        "virtualHost: {domains: [parent.io], routes: ["
        "{matchers: [{prefix: /r1}], delegateAction: {ref: {name: r1, namespace: gloo-system}}}, "
        "{matchers: [{prefix: /r2}], delegateAction: {ref: {name: r2, namespace: gloo-system}}}, "
        "{matchers: [{prefix: %s}], directResponseAction: {status: 200}}]}\n",
        extra);
    struct sld_doc_place place = {.path = SLD_STR("f.yaml"), .default_ns = id.ns};
    struct sld_raw *raw = sld_raw_create(id, text, 1, -1, SLD_STR("f.yaml"), &place);
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
    sld_arena_fini(&a);
}

static void set_upstream(struct world *w, const char *name)
{
    struct sld_ident id = {SLD_KIND_UPSTREAM, SLD_STR("gloo-system"), sld_str_c(name)};
    struct sld_doc_place place = {.path = SLD_STR("f.yaml"), .default_ns = id.ns};
    struct sld_raw *raw =
        sld_raw_create(id,
                       SLD_STR("static: {hosts: [{addr: 10.0.0.1, port: 80}], "
                               "subsetSpec: {selectors: [{keys: [/bad]}]}}\n"),
                       1, -1, SLD_STR("f.yaml"), &place);
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
}

struct found {
    const struct sld_out *o;
};

static void find_table(const struct sld_out *o, void *arg)
{
    struct found *f = arg;
    if (o->type == SLD_OUT_ROUTE)
        f->o = o;
}

static void find_cluster(const struct sld_out *o, void *arg)
{
    struct found *f = arg;
    if (o->type == SLD_OUT_CLUSTER)
        f->o = o;
}

// Runs rounds and lets the Envoy judge each new table: it refuses every one with the word "/bad" in
// it.
static void settle(struct world *w)
{
    for (unsigned i = 0; i < 200; i++) {
        struct sld_translate_result r = {0};
        sld_translate_run(w->t, &r);
        sld_translate_result_fini(&r);
        struct sld_err err = {0};
        assert_int_equal(sld_translate_verify(w->t, &err), SLD_OK);
        struct found f = {0};
        sld_translate_outs(w->t, find_table, &f);
        assert_non_null(f.o);
        if (sld_hash_eq(f.o->content, w->told))
            return;
        w->told = f.o->content;
        w->sent++;
        struct sld_str view = f.o->view, name = f.o->name, bytes;
        union {
            const struct sld_out *frozen;
            struct sld_out *own;
        } u = {f.o}; // only a count of references changes
        struct sld_obj *owner = sld_out_open(u.own, &bytes);
        if (!w->takes_all && sld_str_find(bytes, SLD_STR("/bad")) >= 0) {
            sld_translate_refused(w->t, SLD_OUT_ROUTE, view, name, w->told, SLD_STR("envoy"),
                                  SLD_STR("it has /bad"));
        } else {
            SLD_UNREF(w->table);
            w->table = sld_blob_create(bytes);
            sld_translate_taken(w->t, SLD_OUT_ROUTE, view, name, w->told, SLD_STR("envoy"));
        }
        SLD_UNREF(owner);
    }
    fail_msg("no end of tables");
}

static bool has(const struct world *w, const char *text)
{
    return w->table && sld_str_find(w->table->data, sld_str_c(text)) >= 0;
}

static bool refused_key(const struct world *w, const char *plural, const char *name)
{
    char key[64];
    snprintf(key, sizeof(key), "%s/gloo-system/%s", plural, name);
    const struct sld_status *s = sld_translate_status(w->t, sld_str_c(key));
    for (size_t i = 0; s && i < s->count; i++) {
        if (s->findings[i].code == SLD_ENVOY_REFUSED) {
            assert_true(sld_str_find(s->findings[i].message, SLD_STR("it has /bad")) >= 0);
            return true;
        }
    }
    return false;
}

static bool refused(const struct world *w, const char *name)
{
    return refused_key(w, "virtualservices", name);
}

static void begin_with(struct world *w, const struct sld_feature *const *features, size_t n)
{
    struct sld_translate_options o = {.now_s = 1790000000, .features = features, .feature_count = n};
    *w = (struct world){.t = sld_translate_create(&o)};
    for (unsigned i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof(name), "v%u", i);
        set_vs(w, name, "/good");
    }
    settle(w);
    assert_int_equal(w->sent, 1);
}

static void begin(struct world *w)
{
    begin_with(w, NULL, 0);
}

static void end(struct world *w)
{
    SLD_UNREF(w->table);
    sld_translate_destroy(w->t);
}

static void test_single_culprit(void **unused)
{
    (void)unused;
    struct world w;
    begin(&w);
    set_vs(&w, "v3", "/bad");
    settle(&w);
    assert_true(refused(&w, "v3"));
    assert_false(has(&w, "/bad"));
    assert_true(has(&w, "v3.io")); // its last form stays
    set_vs(&w, "v4", "/later");
    settle(&w);
    assert_true(has(&w, "/later"));
    assert_false(refused(&w, "v4"));
    set_vs(&w, "v3", "/mended");
    settle(&w);
    assert_true(has(&w, "/mended"));
    assert_false(refused(&w, "v3"));
    end(&w);
}

static void test_culprits_among_many(void **unused)
{
    (void)unused;
    struct world w;
    begin(&w);
    set_vs(&w, "v0", "/new0");
    set_vs(&w, "v1", "/bad");
    set_vs(&w, "v2", "/new2");
    set_vs(&w, "v5", "/new5");
    set_vs(&w, "v6", "/bad");
    set_vs(&w, "w7", "/new7");
    set_vs(&w, "w8", "/bad"); // was never there: left out
    settle(&w);
    assert_true(refused(&w, "v1"));
    assert_true(refused(&w, "v6"));
    assert_true(refused(&w, "w8"));
    assert_true(has(&w, "/new0") && has(&w, "/new2") && has(&w, "/new5") && has(&w, "/new7"));
    assert_true(has(&w, "v1.io") && has(&w, "v6.io"));
    assert_false(has(&w, "w8.io"));
    assert_false(refused(&w, "v0") || refused(&w, "v2") || refused(&w, "v5") || refused(&w, "w7"));
    end(&w);
}

static void test_bad_from_the_start(void **unused)
{
    (void)unused;
    struct sld_translate_options o = {.now_s = 1790000000};
    struct world w = {.t = sld_translate_create(&o)};
    set_vs(&w, "a", "/good");
    set_vs(&w, "b", "/bad");
    set_vs(&w, "c", "/good");
    settle(&w);
    assert_true(refused(&w, "b"));
    assert_true(has(&w, "a.io") && has(&w, "c.io"));
    assert_false(has(&w, "b.io"));
    end(&w);
}

static void test_edits_meanwhile(void **unused)
{
    (void)unused;
    struct world w;
    begin(&w);
    // The culprit changes to another bad form, then to a good one, while others change too.
    set_vs(&w, "v1", "/bad1");
    set_vs(&w, "v2", "/two");
    settle(&w);
    set_vs(&w, "v1", "/bad2");
    set_vs(&w, "v3", "/three");
    settle(&w);
    assert_true(refused(&w, "v1"));
    assert_true(has(&w, "/two") && has(&w, "/three"));
    set_vs(&w, "v1", "/one");
    settle(&w);
    assert_false(refused(&w, "v1"));
    assert_true(has(&w, "/one"));
    end(&w);
}

// The document that is to blame has the words; its siblings and the virtual service go on changing.
static void test_a_route_table_is_to_blame(void **unused)
{
    (void)unused;
    struct world w;
    begin(&w);
    set_parent(&w, "/extra");
    set_table(&w, "r1", "/one");
    set_table(&w, "r2", "/two");
    settle(&w);
    assert_true(has(&w, "/r1/one") && has(&w, "/r2/two"));
    set_table(&w, "r1", "/bad");
    settle(&w);
    assert_true(refused_key(&w, "routetables", "r1"));
    assert_false(refused(&w, "parent"));
    assert_true(has(&w, "/r1/one")); // its last form
    set_table(&w, "r2", "/later");
    set_parent(&w, "/more");
    settle(&w);
    assert_true(has(&w, "/r2/later") && has(&w, "/more") && has(&w, "/r1/one"));
    assert_false(refused_key(&w, "routetables", "r2") || refused(&w, "parent"));
    set_table(&w, "r1", "/mended");
    settle(&w);
    assert_true(has(&w, "/r1/mended"));
    assert_false(refused_key(&w, "routetables", "r1"));
    end(&w);
}

// Several documents of one host change at once and one is bad: only that one stays behind.
static void test_one_of_several_documents(void **unused)
{
    (void)unused;
    static const char *const bad[] = {"r1", "r2", "parent"};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        begin(&w);
        set_parent(&w, "/extra");
        set_table(&w, "r1", "/one");
        set_table(&w, "r2", "/two");
        settle(&w);
        set_parent(&w, i == 2 ? "/bad" : "/new0");
        set_table(&w, "r1", i == 0 ? "/bad" : "/new1");
        set_table(&w, "r2", i == 1 ? "/bad" : "/new2");
        settle(&w);
        for (size_t k = 0; k < 3; k++)
            assert_int_equal(refused_key(&w, k == 2 ? "virtualservices" : "routetables", bad[k]),
                             k == i);
        assert_int_equal(has(&w, "/new0"), i != 2);
        assert_int_equal(has(&w, "/r1/new1"), i != 0);
        assert_int_equal(has(&w, "/r2/new2"), i != 1);
        end(&w);
    }
}

// No document of the host changed, but an upstream came whose subset it names: the host itself is held,
// with Envoy's words, until it changes.
static void test_a_host_without_a_guilty_document(void **unused)
{
    (void)unused;
    struct world w;
    struct sld_ident id = {SLD_KIND_VIRTUAL_SERVICE, SLD_STR("gloo-system"), SLD_STR("v3")};
    struct sld_doc_place place = {.path = SLD_STR("f.yaml"), .default_ns = id.ns};
    begin(&w);
    struct sld_raw *raw = sld_raw_create(
        id,
        SLD_STR("virtualHost: {domains: [v3.io], routes: [{matchers: [{prefix: /u}], routeAction: "
                "{single: {upstream: {name: u}, subset: {values: {/bad: x}}}}}]}\n"),
        1, -1, SLD_STR("f.yaml"), &place);
    sld_translate_set(w.t, id, raw);
    SLD_UNREF(raw);
    settle(&w);
    assert_false(refused(&w, "v3"));
    set_upstream(&w, "u");
    set_vs(&w, "v4", "/later");
    settle(&w);
    assert_true(refused(&w, "v3"));
    assert_true(has(&w, "/u") && has(&w, "/later"));
    set_vs(&w, "v3", "/mended");
    settle(&w);
    assert_true(has(&w, "/mended"));
    assert_false(refused(&w, "v3"));
    end(&w);
}

static void test_a_cluster_is_told_of_on_its_upstream(void **unused)
{
    (void)unused;
    struct world w;
    struct found f = {0};
    begin(&w);
    set_upstream(&w, "u");
    settle(&w);
    sld_translate_outs(w.t, find_cluster, &f);
    assert_non_null(f.o);
    sld_translate_refused(w.t, SLD_OUT_CLUSTER, f.o->view, f.o->name, f.o->content,
                          SLD_STR("envoy"), SLD_STR("it has /bad"));
    settle(&w);
    assert_true(refused_key(&w, "upstreams", "u"));
    // By an Envoy, whose view it is not the only one of. That becomes no key: there are as many as resources.
    struct sld_arena a = {0};
    struct sld_str view = SLD_STR("gloo-system~gateway-proxy");
    sld_translate_taken(w.t, SLD_OUT_CLUSTER, view, f.o->name, f.o->content, SLD_STR("envoy"));
    settle(&w);
    assert_false(refused_key(&w, "upstreams", "u"));
    assert_int_equal(sld_flow_key_find(w.t->flow, tr_out_key(&a, SLD_OUT_CLUSTER, view, f.o->name)), 0);
    assert_int_not_equal(sld_flow_key_find(w.t->flow, tr_out_key(&a, SLD_OUT_CLUSTER, SLD_STR(""), f.o->name)), 0);
    sld_arena_fini(&a);
    end(&w);
}

static size_t refusals_of(struct world *w, const char *name)
{
    struct sld_arena a = {0};
    const struct sld_status *s = sld_translate_status(w->t, sld_arena_fmt(&a, "upstreams/gloo-system/%s", name));
    size_t n = 0;
    for (size_t i = 0; i < s->count; i++)
        n += s->findings[i].code == SLD_ENVOY_REFUSED;
    sld_arena_fini(&a);
    return n;
}

// Each build that refused a cluster is told of as long as an Envoy of it is there.
static void test_a_cluster_and_other_builds(void **unused)
{
    (void)unused;
    struct world w;
    struct found f = {0};
    const struct sld_str builds[] = {SLD_STR("old"), SLD_STR("older")};
    begin(&w);
    set_upstream(&w, "u");
    settle(&w);
    sld_translate_outs(w.t, find_cluster, &f);
    for (size_t i = 0; i < SLD_ARRAY_LEN(builds); i++)
        sld_translate_refused(w.t, SLD_OUT_CLUSTER, f.o->view, f.o->name, f.o->content, builds[i], SLD_STR("no"));
    settle(&w);
    assert_int_equal(refusals_of(&w, "u"), 2);
    sld_translate_refused(w.t, SLD_OUT_CLUSTER, f.o->view, f.o->name, f.o->content, builds[0], SLD_STR("no, no"));
    sld_translate_builds(w.t, SLD_STR("older\nold\nnew"));
    settle(&w);
    assert_int_equal(refusals_of(&w, "u"), 2);
    sld_translate_builds(w.t, SLD_STR("older\nnew"));
    settle(&w);
    assert_int_equal(refusals_of(&w, "u"), 1);
    sld_translate_builds(w.t, SLD_STR("")); // nobody is there
    settle(&w);
    assert_int_equal(refusals_of(&w, "u"), 1);
    sld_translate_builds(w.t, SLD_STR("new"));
    settle(&w);
    assert_int_equal(refusals_of(&w, "u"), 0);
    end(&w);
}

// What was refused before a restart is not tried again; the accepted form is served at once.
static void test_restart(void **unused)
{
    (void)unused;
    struct world w;
    begin(&w);
    set_vs(&w, "v3", "/bad");
    struct sld_translate_result r = {0};
    sld_translate_run(w.t, &r);
    sld_translate_result_fini(&r);
    struct found f = {0};
    sld_translate_outs(w.t, find_table, &f);
    sld_translate_refused(w.t, SLD_OUT_ROUTE, f.o->view, f.o->name, f.o->content, SLD_STR("envoy"),
                          SLD_STR("it has /bad"));
    struct sld_translate_result told = {0};
    sld_translate_run(w.t, &told);
    assert_int_equal(told.refusal_count, 1);
    struct world next = {0};
    struct sld_translate_options o = {.now_s = 1790000000};
    next.t = sld_translate_create(&o);
    struct sld_raw *good = NULL;
    for (size_t i = 0; i < told.accept_count; i++) {
        if (sld_str_eq(told.accepts[i].id.name, SLD_STR("v3")))
            good = told.accepts[i].raw;
    }
    assert_non_null(good);
    sld_translate_restore(next.t, good);
    sld_translate_restore_refusal(next.t, told.refusals[0].id, told.refusals[0].hash,
                                  told.refusals[0].build, told.refusals[0].words);
    set_vs(&next, "v3", "/bad");
    settle(&next);
    assert_int_equal(next.sent, 1); // the bad form was not even tried
    assert_true(has(&next, "/good"));
    assert_true(refused(&next, "v3"));
    // Another build may take it, one of those that are connected.
    sld_translate_builds(next.t, SLD_STR(""));
    sld_translate_builds(next.t, SLD_STR("newer\nenvoy"));
    settle(&next);
    assert_int_equal(next.sent, 1);
    next.takes_all = true;
    sld_translate_builds(next.t, SLD_STR("envoys\nnewer"));
    settle(&next);
    assert_int_equal(next.sent, 2);
    assert_true(has(&next, "/bad"));
    assert_false(refused(&next, "v3"));
    sld_translate_result_fini(&told);
    end(&next);
    end(&w);
}

// A host without a document that could be put back is held until another build is there.
static void test_a_held_host_and_another_build(void **unused)
{
    (void)unused;
    struct world w;
    begin(&w);
    set_vs(&w, "new", "/bad");
    settle(&w);
    assert_false(has(&w, "/bad"));
    unsigned sent = w.sent;
    sld_translate_builds(w.t, SLD_STR("envoy"));
    settle(&w);
    assert_int_equal(w.sent, sent);
    w.takes_all = true;
    sld_translate_builds(w.t, SLD_STR("newer"));
    settle(&w);
    assert_true(has(&w, "/bad"));
    assert_false(refused(&w, "new"));
    end(&w);
}

static void set(struct world *w, enum sld_kind k, const char *name, const char *text)
{
    struct sld_ident id = {k, SLD_STR("gloo-system"), sld_str_c(name)};
    struct sld_doc_place place = {.path = SLD_STR("f.yaml"), .default_ns = id.ns};
    struct sld_raw *raw = sld_raw_create(id, sld_str_c(text), 1, -1, SLD_STR("f.yaml"), &place);
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
}

// The words of the refusal as the status of the virtual service "own" has them.
static struct sld_str words_told(struct world *w, const char *words)
{
    static unsigned edits;
    char text[512];
    snprintf(text, sizeof(text),
             "virtualHost: {domains: [own.io], options: {headerManipulation: {requestHeadersToAdd: "
             "[{headerSecretRef: {name: s, namespace: gloo-system}}]}}, routes: [{matchers: [{prefix: /%u}], "
             "directResponseAction: {status: 200}}]}\n",
             edits++);
    set(w, SLD_KIND_VIRTUAL_SERVICE, "own", text);
    struct sld_translate_result r = {0};
    sld_translate_run(w->t, &r);
    sld_translate_result_fini(&r);
    struct found f = {0};
    sld_translate_outs(w->t, find_table, &f);
    assert_true(f.o->secret);
    sld_translate_refused(w->t, SLD_OUT_ROUTE, f.o->view, f.o->name, f.o->content, SLD_STR("envoy"), sld_str_c(words));
    r = (struct sld_translate_result){0};
    sld_translate_run(w->t, &r);
    sld_translate_result_fini(&r);
    const struct sld_status *s = sld_translate_status(w->t, SLD_STR("virtualservices/gloo-system/own"));
    for (size_t i = 0; i < s->count; i++) {
        ptrdiff_t at = sld_str_find(s->findings[i].message, SLD_STR(": it "));
        if (s->findings[i].code == SLD_ENVOY_REFUSED && at >= 0)
            return sld_str_sub(s->findings[i].message, (size_t)at + 2, s->findings[i].message.n);
    }
    return SLD_STR("");
}

// Envoy quotes what it refuses: no text of a secret is told, whole, escaped, or cut.
static void test_words_have_no_secret(void **unused)
{
    (void)unused;
    static const char *const rows[][2] = {
        {"it is bad", "it is bad"},
        {"it has hunter2-of-clubs twice: hunter2-of-clubs.", "it has *** twice: ***."},
        {"it has a\\\"b\\\\c and own.io", "it has *** and own.io"},
        {"it has hunter2-of", "it has ***"},
        {"it has a hunter2-of-c...(truncated)", "it has a ***"},
        {"it has a hunt", "it has a ***"},
        {"it has a hun", "it has a hun"},
    };
    struct world w;
    begin_with(&w, (const struct sld_feature *const[]){&sld_feature_header_manipulation}, 1);
    set(&w, SLD_KIND_SECRET, "s", "header: {headers: {x-one: hunter2-of-clubs, x-two: 'a\"b\\c'}}\n");
    set(&w, SLD_KIND_VIRTUAL_SERVICE, "own",
        "virtualHost: {domains: [own.io], routes: [{matchers: [{prefix: /}], directResponseAction: {status: 200}}]}\n");
    settle(&w);
    for (size_t i = 0; i < SLD_ARRAY_LEN(rows); i++) {
        struct sld_str told = words_told(&w, rows[i][0]);
        if (!sld_str_eq(told, sld_str_c(rows[i][1])))
            fail_msg("%s is told as \"%.*s\"", rows[i][0], SLD_FMT(told));
        settle(&w);
    }
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_culprit),
        cmocka_unit_test(test_culprits_among_many),
        cmocka_unit_test(test_bad_from_the_start),
        cmocka_unit_test(test_edits_meanwhile),
        cmocka_unit_test(test_a_route_table_is_to_blame),
        cmocka_unit_test(test_one_of_several_documents),
        cmocka_unit_test(test_a_host_without_a_guilty_document),
        cmocka_unit_test(test_a_cluster_is_told_of_on_its_upstream),
        cmocka_unit_test(test_a_cluster_and_other_builds),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_a_held_host_and_another_build),
        cmocka_unit_test(test_words_have_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

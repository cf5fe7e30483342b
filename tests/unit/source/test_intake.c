// The intake: what units say against what is in force. Pure, with a clock of its own.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "source/source.h"

#define MS UINT64_C(1000000)
#define SRC SLD_STR("/etc/solder")

struct fixture {
    struct sld_intake *in;
    struct sld_intake_options opt;
    struct sld_map objects; // name -> char *value of "v:"
    size_t told, vanished, problems_told, looks;
    uint64_t now;
};

static char *value_of(const struct sld_raw *raw)
{
    ptrdiff_t at = sld_str_find(raw->text, SLD_STR("v: "));
    char *out = sld_xcalloc(1, 32);
    for (size_t i = 0; at >= 0 && i < 31 && (size_t)at + 3 + i < raw->text.n; i++) {
        char c = raw->text.p[(size_t)at + 3 + i];
        if (c == '\n')
            break;
        out[i] = c;
    }
    return out;
}

static void on_object(void *user, struct sld_ident id, struct sld_raw *raw)
{
    struct fixture *f = user;
    f->told++;
    if (raw) {
        sld_xfree(sld_map_set(&f->objects, id.name, value_of(raw)));
    } else {
        f->vanished++;
        void *old = sld_map_remove(&f->objects, id.name);
        assert_non_null(old);
        sld_xfree(old);
    }
}

static void on_problems(void *user)
{
    ((struct fixture *)user)->problems_told++;
}

static void on_look(void *user, struct sld_str source)
{
    assert_true(sld_str_eq(source, SRC));
    ((struct fixture *)user)->looks++;
}

static void init(struct fixture *f, bool second_look)
{
    *f = (struct fixture){.now = 1000 * MS};
    sld_intake_options_default(&f->opt);
    struct sld_intake_events ev = {on_object, on_problems, second_look ? on_look : NULL, f};
    f->in = sld_intake_create(&f->opt, &ev);
    sld_intake_source(f->in, SRC, 1);
}

static void fini(struct fixture *f)
{
    sld_intake_destroy(f->in);
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&f->objects, &at));)
        sld_xfree(s->value);
    sld_map_fini(&f->objects);
}

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    init(f, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fini(*state);
    sld_xfree(*state);
    return 0;
}

static void put_text(struct fixture *f, const char *path, struct sld_str text, bool settled)
{
    struct sld_blob *b = sld_blob_create(text);
    sld_intake_put(f->in, SRC, sld_str_c(path), b, settled, f->now);
    SLD_UNREF(b);
}

// Appends one document of NAME with value V.
static void doc(struct sld_buf *b, const char *name, const char *v)
{
    sld_buf_addf(
        b,
        "%sapiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata:\n  name: %s\n  namespace: n\n"
        "spec:\n  v: %s\n",
        b->n ? "---\n" : "", name, v);
}

// SPEC is "a=1 b=2": the documents in order.
static void spec_text(struct sld_buf *b, const char *spec)
{
    sld_buf_init(b, 1 << 20);
    struct sld_str rest = sld_str_c(spec), word;
    while (sld_str_cut(&rest, ' ', &word)) {
        char name[64];
        snprintf(name, sizeof(name), "%.*s", SLD_FMT(word));
        char *eq = strchr(name, '=');
        if (!eq)
            continue;
        *eq = 0;
        doc(b, name, eq + 1);
    }
}

static void put_as(struct fixture *f, const char *path, const char *spec, bool settled)
{
    struct sld_buf b;
    spec_text(&b, spec);
    if (b.n == 0)
        sld_buf_addz(&b, "# nothing\n");
    put_text(f, path, sld_buf_str(&b), settled);
    sld_buf_fini(&b);
}

static void put(struct fixture *f, const char *path, const char *spec)
{
    put_as(f, path, spec, true);
}

static void gone(struct fixture *f, const char *path)
{
    sld_intake_gone(f->in, SRC, sld_str_c(path), f->now);
}

static void synced(struct fixture *f)
{
    sld_intake_synced(f->in, SRC, f->now);
}

static uint64_t pass(struct fixture *f, uint64_t ms)
{
    f->now += ms * MS;
    return sld_intake_tick(f->in, f->now);
}

static const char *value(struct fixture *f, const char *name)
{
    const char *v = sld_map_get(&f->objects, sld_str_c(name));
    return v ? v : "none";
}

static size_t problem_count(struct fixture *f)
{
    size_t n;
    sld_intake_problems(f->in, &n);
    return n;
}

static const struct sld_problem *problem(struct fixture *f, const char *path, enum sld_code code)
{
    size_t n;
    const struct sld_problem *p = sld_intake_problems(f->in, &n);
    for (size_t i = 0; i < n; i++) {
        if (p[i].code == code && sld_str_eq(p[i].path, sld_str_c(path)))
            return &p[i];
    }
    fail_msg("no problem %d on '%s'", code, path);
    return NULL;
}

static bool mentions(const struct sld_problem *p, const char *word)
{
    return sld_str_find(p->message, sld_str_c(word)) >= 0;
}

static size_t held(struct fixture *f)
{
    struct sld_intake_stats st;
    sld_intake_stats(f->in, &st);
    return st.held;
}

// ---- What is said ----

static void test_documents_become_objects(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=2");
    assert_string_equal(value(f, "a"), "1");
    assert_string_equal(value(f, "b"), "2");
    assert_int_equal(f->told, 2);
    put(f, "a.yaml", "a=1 b=2");
    assert_int_equal(f->told, 2);
}

static void test_only_what_changed_is_told(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=2 c=3");
    f->told = 0;
    put(f, "a.yaml", "a=1 b=5 c=3");
    assert_int_equal(f->told, 1);
    assert_string_equal(value(f, "b"), "5");
}

static void test_origin_names_the_place(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1");
    put(f, "b.yaml", "a=2");
    const struct sld_problem *p = problem(f, "b.yaml", SLD_DOC_DUPLICATE);
    assert_true(mentions(p, "/etc/solder/a.yaml:1"));
    assert_true(mentions(p, "/etc/solder/b.yaml:1"));
}

static void test_foreign_kinds_are_counted(void **state)
{
    struct fixture *f = *state;
    put_text(f, "a.yaml", SLD_STR("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: x\n"),
             true);
    struct sld_intake_stats st;
    sld_intake_stats(f->in, &st);
    assert_int_equal(st.foreign, 1);
    assert_int_equal(problem_count(f), 0);
}

static void test_foreign_kinds_are_noted_when_asked(void **state)
{
    struct fixture f;
    (void)state;
    init(&f, false);
    f.opt.notes = true;
    struct sld_intake_events ev = {on_object, on_problems, NULL, &f};
    sld_intake_destroy(f.in);
    f.in = sld_intake_create(&f.opt, &ev);
    sld_intake_source(f.in, SRC, 1);
    put_text(&f, "a.yaml", SLD_STR("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: x\n"),
             true);
    assert_int_equal(problem(&f, "a.yaml", SLD_DOC_FOREIGN)->severity, SLD_NOTE);
    fini(&f);
}

static void list_text(struct sld_buf *b, const char *first, const char *second)
{
    sld_buf_init(b, 4096);
    sld_buf_addf(
        b,
        "apiVersion: v1\nkind: List\nitems:\n"
        "- apiVersion: gloo.solo.io/v1\n  kind: Upstream\n  metadata:\n    name: a\n    namespace: "
        "n\n"
        "  spec:\n    v: %s\n"
        "- apiVersion: gloo.solo.io/v1\n  kind: Upstream\n  metadata: {name: b, namespace: n}\n"
        "  spec:\n    v: %s\nmetadata: {}\n",
        first, second);
}

static void test_items_of_a_list_are_objects_of_their_own(void **state)
{
    struct fixture *f = *state;
    struct sld_buf b;
    list_text(&b, "1", "2");
    put_text(f, "l.yaml", sld_buf_str(&b), true);
    sld_buf_fini(&b);
    assert_string_equal(value(f, "a"), "1");
    assert_string_equal(value(f, "b"), "2"); // not the first of the whole text
    f->told = 0;
    list_text(&b, "1", "3");
    put_text(f, "l.yaml", sld_buf_str(&b), true);
    sld_buf_fini(&b);
    assert_string_equal(value(f, "b"), "3");
    assert_int_equal(f->told, 1);
}

static void test_items_of_a_json_list(void **state)
{
    struct fixture *f = *state;
    put_text(f, "l.json",
             SLD_STR("{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{\"apiVersion\":\"gloo."
                     "solo.io/v1\","
                     "\"kind\":\"Upstream\",\"metadata\":{\"name\":\"a\",\"namespace\":\"n\"}},"
                     "{\"apiVersion\":\"gloo.solo.io/v1\",\"kind\":\"Upstream\","
                     "\"metadata\":{\"name\":\"b\",\"namespace\":\"n\"}}]}"),
             true);
    assert_int_equal(f->told, 2);
    assert_int_equal(problem_count(f), 0);
}

// ---- Broken units ----

static void test_syntax_error_keeps_what_was_said(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=2");
    put(f, "z.yaml", "z=1");
    synced(f);
    put_text(f, "a.yaml", SLD_STR("kind: {{\n"), true);
    put(f, "z.yaml", "z=2");
    assert_int_equal(pass(f, 60000), 0);
    assert_string_equal(value(f, "a"), "1");
    assert_string_equal(value(f, "z"), "2");
    assert_int_equal(held(f), 2);
    const struct sld_problem *p = problem(f, "a.yaml", SLD_YAML_SYNTAX);
    assert_int_equal(p->severity, SLD_ERROR);
    assert_true(p->line >= 1);
    put(f, "a.yaml", "a=3 b=2");
    assert_string_equal(value(f, "a"), "3");
    assert_int_equal(problem_count(f), 0);
}

static void test_unsettled_error_is_not_told(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1");
    put_text(f, "a.yaml", SLD_STR("kind: {{\n"), false);
    assert_int_equal(problem_count(f), 0);
    put_text(f, "a.yaml", SLD_STR("kind: {{\n"), true); // the same bytes, settled now
    assert_int_equal(problem_count(f), 1);
    assert_string_equal(value(f, "a"), "1");
}

static void test_emptied_file_keeps_removed_file_does_not(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1");
    synced(f);
    put_text(f, "a.yaml", SLD_STR(""), false);
    assert_int_equal(problem_count(f), 0);
    put_text(f, "a.yaml", SLD_STR(""), true);
    pass(f, 60000);
    assert_string_equal(value(f, "a"), "1");
    assert_true(mentions(problem(f, "a.yaml", SLD_YAML_SYNTAX), "emptied"));
    gone(f, "a.yaml");
    assert_int_equal(problem_count(f), 0);
    pass(f, 250);
    assert_string_equal(value(f, "a"), "none");
}

static void test_new_empty_file_is_fine(void **state)
{
    struct fixture *f = *state;
    put_text(f, "a.yaml", SLD_STR("\n"), true);
    assert_int_equal(problem_count(f), 0);
}

static void test_cut_within_a_line_never_counts(void **state)
{
    struct fixture *f = *state;
    struct sld_buf b;
    spec_text(&b, "a=1 b=12345 c=3");
    put_text(f, "a.yaml", sld_buf_str(&b), true);
    synced(f);
    ptrdiff_t at = sld_str_find(sld_buf_str(&b), SLD_STR("345"));
    put_text(f, "a.yaml", sld_str_n(b.p, (size_t)at), true);
    pass(f, 60000);
    assert_string_equal(value(f, "b"), "12345");
    assert_string_equal(value(f, "c"), "3");
    assert_true(mentions(problem(f, "a.yaml", SLD_YAML_SYNTAX), "cut"));
    sld_buf_fini(&b);
}

static void test_cut_at_a_line_counts_when_settled(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1");
    struct sld_buf b;
    spec_text(&b, "a=1");
    struct sld_str cut = sld_str_n(b.p, b.n - strlen("  v: 1\n"));
    put_text(f, "a.yaml", cut, false);
    assert_string_equal(value(f, "a"), "1");
    put_text(f, "a.yaml", cut, true);
    assert_string_equal(value(f, "a"), "");
    sld_buf_fini(&b);
}

static void test_unreadable_unit_keeps(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1");
    synced(f);
    sld_intake_problem(f->in, SRC, SLD_STR("a.yaml"), SLD_DOC_UNREADABLE,
                       SLD_STR("permission denied"), f->now);
    pass(f, 60000);
    assert_string_equal(value(f, "a"), "1");
    assert_true(mentions(problem(f, "a.yaml", SLD_DOC_UNREADABLE), "permission denied"));
    sld_intake_problem(f->in, SRC, SLD_STR("a.yaml"), SLD_DOC_UNREADABLE, SLD_STR_NONE, f->now);
    assert_int_equal(problem_count(f), 0);
}

// What a store lives by and will not be renewed is told of while everything is well.
static void test_what_expires_soon_is_a_warning(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1");
    synced(f);
    sld_intake_problem(f->in, SRC, SLD_STR("token"), SLD_EXPIRES_SOON, SLD_STR("the token ends"),
                       f->now);
    assert_int_equal(problem(f, "token", SLD_EXPIRES_SOON)->severity, SLD_WARNING);
    sld_intake_problem(f->in, SRC, SLD_STR("token"), SLD_EXPIRES_SOON, SLD_STR_NONE, f->now);
    assert_int_equal(problem_count(f), 0);
}

static void test_document_that_lost_its_name_holds_the_unsaid(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=2");
    synced(f);
    put(f, "a.yaml", "a=5 _b=2");
    pass(f, 60000);
    assert_string_equal(value(f, "a"), "5");
    assert_string_equal(value(f, "b"), "2");
    problem(f, "a.yaml", SLD_DOC_IDENTITY);
    assert_int_equal(held(f), 1);
    put(f, "a.yaml", "a=5");
    pass(f, 250);
    assert_string_equal(value(f, "b"), "none");
}

// ---- Disappearance ----

static void test_lost_document_waits_for_quiet(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=2");
    synced(f);
    put(f, "a.yaml", "a=1");
    uint64_t due = sld_intake_tick(f->in, f->now);
    assert_int_equal(due, f->now + 250 * MS);
    pass(f, 200);
    put(f, "z.yaml", "z=1"); // not quiet
    pass(f, 249);
    assert_string_equal(value(f, "b"), "2");
    assert_int_equal(pass(f, 1), 0);
    assert_string_equal(value(f, "b"), "none");
}

static void test_unsettled_loss_waits_for_the_settled_word(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=2");
    synced(f);
    put_as(f, "a.yaml", "a=3", false);
    assert_string_equal(value(f, "a"), "3"); // additions and changes count at once
    pass(f, 60000);
    assert_string_equal(value(f, "b"), "2");
    put_as(f, "a.yaml", "a=3", true);
    pass(f, 250);
    assert_string_equal(value(f, "b"), "none");
}

static void test_unsettled_loss_then_broken_keeps(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=2");
    synced(f);
    put_as(f, "a.yaml", "a=3", false);
    put_text(f, "a.yaml", SLD_STR("kind: {{\n"), true);
    pass(f, 60000);
    assert_string_equal(value(f, "b"), "2");
}

static void test_renamed_file_never_vanishes(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1");
    synced(f);
    gone(f, "a.yaml");
    put(f, "b.yaml", "a=1");
    pass(f, 60000);
    assert_string_equal(value(f, "a"), "1");
    assert_int_equal(f->vanished, 0);
    assert_int_equal(problem_count(f), 0);
}

static void test_object_moves_between_files(void **state)
{
    static const char *const orders[][2] = {{"a.yaml", "b.yaml"}, {"b.yaml", "a.yaml"}};
    for (int put_first = 0; put_first < 2; put_first++) {
        for (int i = 0; i < 2; i++) {
            struct fixture f;
            init(&f, false);
            (void)state;
            const char *from = orders[i][0], *to = orders[i][1];
            put(&f, from, "a=1 x=1");
            synced(&f);
            if (put_first)
                put(&f, to, "a=2");
            put(&f, from, "x=1");
            if (!put_first)
                put(&f, to, "a=2");
            assert_string_equal(value(&f, "a"), "2");
            pass(&f, 60000);
            assert_string_equal(value(&f, "a"), "2");
            assert_int_equal(f.vanished, 0);
            assert_int_equal(problem_count(&f), 0);
            fini(&f);
        }
    }
}

static void test_nothing_vanishes_before_the_source_synced(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1");
    gone(f, "a.yaml");
    assert_int_equal(pass(f, 60000), 0);
    assert_string_equal(value(f, "a"), "1");
    synced(f);
    pass(f, 250);
    assert_string_equal(value(f, "a"), "none");
}

static void test_nothing_vanishes_while_the_source_is_unreadable(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1");
    synced(f);
    sld_intake_problem(f->in, SRC, SLD_STR(""), SLD_SOURCE_STALE, SLD_STR("gone fishing"), f->now);
    gone(f, "a.yaml");
    pass(f, 60000);
    assert_string_equal(value(f, "a"), "1");
    problem(f, "", SLD_SOURCE_STALE);
    sld_intake_problem(f->in, SRC, SLD_STR(""), SLD_SOURCE_STALE, SLD_STR_NONE, f->now);
    pass(f, 250);
    assert_string_equal(value(f, "a"), "none");
}

static void test_busy_source_does_not_hold_for_ever(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=1");
    synced(f);
    put(f, "a.yaml", "a=1");
    for (int i = 0; i < 60; i++) {
        put(f, "z.yaml", i % 2 ? "z=1" : "z=2");
        pass(f, 100);
    }
    assert_string_equal(value(f, "b"), "none");
}

// ---- Mass deletion ----

static void test_mass_deletion_waits_for_a_second_look(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=1 c=1 d=1");
    put(f, "z.yaml", "z=1");
    synced(f);
    gone(f, "a.yaml");
    uint64_t due = pass(f, 250);
    assert_int_equal(due, f->now + 4750 * MS);
    assert_string_equal(value(f, "a"), "1");
    const struct sld_problem *p = problem(f, "", SLD_MASS_DELETION);
    assert_true(mentions(p, "4 of 5"));
    pass(f, 4750);
    assert_string_equal(value(f, "a"), "none");
    assert_string_equal(value(f, "z"), "1");
    assert_int_equal(problem_count(f), 0);
}

static void test_mass_deletion_that_did_not_take_place(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=1 c=1 d=1");
    synced(f);
    gone(f, "a.yaml");
    pass(f, 1000);
    put(f, "a.yaml", "a=1 b=1 c=1 d=1");
    pass(f, 60000);
    assert_int_equal(f->vanished, 0);
    assert_int_equal(problem_count(f), 0);
}

static void test_few_objects_are_no_mass(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 b=1 c=1");
    synced(f);
    gone(f, "a.yaml");
    pass(f, 250);
    assert_int_equal(f->vanished, 3);
}

static void test_second_look_is_asked_for_and_awaited(void **state)
{
    struct fixture f;
    (void)state;
    init(&f, true);
    put(&f, "a.yaml", "a=1 b=1 c=1 d=1");
    synced(&f);
    gone(&f, "a.yaml");
    pass(&f, 250);
    assert_int_equal(f.looks, 1);
    pass(&f, 60000);
    assert_string_equal(value(&f, "a"), "1");
    synced(&f);
    pass(&f, 0);
    assert_string_equal(value(&f, "a"), "none");
    assert_int_equal(f.looks, 1);
    fini(&f);
}

// ---- Duplicates ----

// ---- Units whose path is a key ----

static void test_a_key_names_its_object(void **state)
{
    struct fixture *f = *state;
    sld_intake_source_keyed(f->in, SRC);
    put_text(f, "gloo.solo.io/v1/Upstream/n/a", SLD_STR("metadata: {name: other}\nv: 1"), true);
    assert_string_equal(value(f, "a"), "1");
    assert_string_equal(value(f, "other"), "none");
    // A value is whole: shorter is not cut.
    put_text(f, "gloo.solo.io/v1/Upstream/n/a", SLD_STR("metadata: {name: oth"), true);
    assert_int_equal(problem_count(f), 1); // no YAML
    put_text(f, "gloo.solo.io/v1/Upstream/n/a", SLD_STR("v: 23"), true);
    put_text(f, "gloo.solo.io/v1/Upstream/n/a", SLD_STR("v: 2"), true);
    assert_string_equal(value(f, "a"), "2");
    assert_int_equal(problem_count(f), 0);
    put_text(f, "gloo.solo.io/v1/Upstream/n/a", SLD_STR(""), true);
    assert_string_equal(value(f, "a"), "2");
    assert_true(mentions(problem(f, "gloo.solo.io/v1/Upstream/n/a", SLD_YAML_SYNTAX),
                         "the value was emptied"));
    // A key that cannot be read is a problem of its own.
    put_text(f, "gloo.solo.io/v1/Upstream/a", SLD_STR("v: 1"), true);
    assert_true(
        mentions(problem(f, "gloo.solo.io/v1/Upstream/a", SLD_DOC_IDENTITY), "<namespace>"));
    put_text(f, "enterprise.gloo.solo.io/v1/AuthConfig/n/a", SLD_STR("v: 1"), true);
    struct sld_intake_stats st;
    sld_intake_stats(f->in, &st);
    assert_int_equal(st.foreign, 1);
}

// ---- Leftovers of discovery ----

static void test_discovered_upstreams_are_adopted_when_wanted(void **state)
{
    struct fixture f;
    (void)state;
    struct sld_str text = SLD_STR(
        "kind: Upstream\nmetadata: {name: d, labels: {discovered_by: consulplugin}}\nv: 1\n");
    init(&f, true);
    put_text(&f, "d.yaml", text, true);
    put(&f, "a.yaml", "a=1");
    assert_string_equal(value(&f, "d"), "none");
    sld_intake_set_adopt(f.in, false);
    assert_int_equal(f.looks, 0);
    sld_intake_set_adopt(f.in, true);
    assert_int_equal(f.looks, 1);
    size_t told = f.told;
    put_text(&f, "d.yaml", text, true);
    put(&f, "a.yaml", "a=1");
    synced(&f);
    assert_string_equal(value(&f, "d"), "1");
    assert_int_equal(f.told, told + 1);
    sld_intake_set_adopt(f.in, false);
    assert_int_equal(f.looks, 2);
    put_text(&f, "d.yaml", text, true);
    pass(&f, 1000);
    assert_string_equal(value(&f, "d"), "none");
    assert_string_equal(value(&f, "a"), "1");
    fini(&f);
}

static void test_first_by_path_stands_and_the_next_takes_over(void **state)
{
    struct fixture *f = *state;
    put(f, "b.yaml", "a=2");
    put(f, "a.yaml", "a=1");
    synced(f);
    assert_string_equal(value(f, "a"), "1");
    assert_int_equal(problem_count(f), 1);
    problem(f, "b.yaml", SLD_DOC_DUPLICATE);
    gone(f, "a.yaml");
    assert_string_equal(value(f, "a"), "2");
    assert_int_equal(problem_count(f), 0);
    pass(f, 60000);
    assert_int_equal(f->vanished, 0);
}

static void test_source_order_is_before_path(void **state)
{
    struct fixture *f = *state;
    sld_intake_source(f->in, SLD_STR("consul://x"), 0);
    put(f, "a.yaml", "a=1");
    struct sld_buf b;
    spec_text(&b, "a=2");
    struct sld_blob *blob = sld_blob_create(sld_buf_str(&b));
    sld_intake_put(f->in, SLD_STR("consul://x"), SLD_STR("z"), blob, true, f->now);
    SLD_UNREF(blob);
    sld_buf_fini(&b);
    assert_string_equal(value(f, "a"), "2");
    problem(f, "a.yaml", SLD_DOC_DUPLICATE);
}

static void test_twice_in_one_file(void **state)
{
    struct fixture *f = *state;
    put(f, "a.yaml", "a=1 a=2");
    assert_string_equal(value(f, "a"), "1");
    const struct sld_problem *p = problem(f, "a.yaml", SLD_DOC_DUPLICATE);
    assert_true(p->line > 1);
    put(f, "a.yaml", "a=2");
    assert_string_equal(value(f, "a"), "2");
    assert_int_equal(problem_count(f), 0);
}

// ---- Restored objects ----

struct keep {
    struct sld_raw *raws[8];
    size_t n;
};

static void keep_object(void *user, struct sld_ident id, struct sld_raw *raw)
{
    struct keep *k = user;
    (void)id;
    if (raw)
        k->raws[k->n++] = sld_obj_ref(raw);
}

static void no_problems(void *user)
{
    (void)user;
}

// Restores what SPEC at PATH says.
static void restore(struct fixture *f, const char *path, const char *spec)
{
    struct keep k = {0};
    struct sld_intake_events ev = {keep_object, no_problems, NULL, &k};
    struct fixture other = {.in = sld_intake_create(&f->opt, &ev)};
    sld_intake_source(other.in, SRC, 0);
    put(&other, path, spec);
    sld_intake_destroy(other.in);
    for (size_t i = 0; i < k.n; i++) {
        sld_intake_restore(f->in, SRC, k.raws[i]);
        SLD_UNREF(k.raws[i]);
    }
}

static void test_restored_objects_stand_until_the_source_synced(void **state)
{
    struct fixture *f = *state;
    restore(f, "a.yaml", "a=1 b=1");
    restore(f, "old.yaml", "o=1");
    assert_string_equal(value(f, "a"), "1");
    pass(f, 60000);
    assert_string_equal(value(f, "o"), "1");
    put(f, "a.yaml", "a=2 b=1");
    synced(f);
    assert_string_equal(value(f, "a"), "2");
    pass(f, 250);
    assert_string_equal(value(f, "o"), "none");
    assert_string_equal(value(f, "b"), "1");
}

static void test_restored_objects_of_broken_units_stay(void **state)
{
    struct fixture *f = *state;
    restore(f, "a.yaml", "a=1");
    restore(f, "b.yaml", "b=1");
    put_text(f, "a.yaml", SLD_STR("kind: {{\n"), true);
    sld_intake_problem(f->in, SRC, SLD_STR("b.yaml"), SLD_DOC_UNREADABLE, SLD_STR("denied"),
                       f->now);
    synced(f);
    pass(f, 60000);
    assert_string_equal(value(f, "a"), "1");
    assert_string_equal(value(f, "b"), "1");
    assert_int_equal(problem_count(f), 2);
}

// ---- Any order of events ----

enum { UNITS = 6, NAMES = 8, STEPS = 60 };

struct model_unit {
    int said[NAMES]; // value, 0 = not said
    char final[256]; // what a fresh intake is told
};

static void model_final(struct model_unit *m)
{
    m->final[0] = 0;
    for (int n = 0; n < NAMES; n++) {
        if (m->said[n])
            snprintf(m->final + strlen(m->final), sizeof(m->final) - strlen(m->final), "%sn%d=%d",
                     m->final[0] ? " " : "", n, m->said[n]);
    }
}

static void random_step(struct fixture *f, struct model_unit *units)
{
    int i = rand() % UNITS, kind = rand() % 10;
    struct model_unit *m = &units[i];
    char path[32], spec[256] = "";
    snprintf(path, sizeof(path), "u%d.yaml", i);
    if (kind == 0) {
        gone(f, path);
        memset(m->said, 0, sizeof(m->said));
        return;
    }
    if (kind == 1) { // broken: keeps
        put_text(f, path, SLD_STR("kind: {{\n"), rand() % 2);
        put_text(f, path, SLD_STR("kind: {{\n"), true);
        return;
    }
    bool settled = rand() % 2;
    int say[NAMES] = {0};
    for (int n = 0; n < NAMES; n++) {
        if (rand() % 3 != 0)
            continue;
        say[n] = 10 + rand() % 80;
        snprintf(spec + strlen(spec), sizeof(spec) - strlen(spec), "%sn%d=%d", spec[0] ? " " : "",
                 n, say[n]);
    }
    put_as(f, path, spec, settled);
    for (int n = 0; n < NAMES; n++) {
        if (say[n] || settled)
            m->said[n] = say[n];
    }
    if (!settled && rand() % 2) {
        put_as(f, path, spec, true);
        memcpy(m->said, say, sizeof(say));
    }
}

static void one_history(unsigned seed)
{
    struct fixture f, fresh;
    struct model_unit units[UNITS] = {0};
    char path[32], name[16];
    srand(seed);
    init(&f, rand() % 2);
    synced(&f);
    for (int s = 0; s < STEPS; s++) {
        random_step(&f, units);
        if (rand() % 3 == 0)
            pass(&f, (uint64_t)(rand() % 400));
    }
    for (int i = 0; i < UNITS;
         i++) { // unsettled words end with a broken file: what was left out stays
        snprintf(path, sizeof(path), "u%d.yaml", i);
        put_text(&f, path, SLD_STR("kind: {{ # end\n"), true);
    }
    for (int i = 0; i < 200; i++) {
        pass(&f, 1000);
        synced(&f);
    }
    init(&fresh, false);
    for (int i = 0; i < UNITS; i++) {
        snprintf(path, sizeof(path), "u%d.yaml", i);
        model_final(&units[i]);
        put(&fresh, path, units[i].final);
    }
    synced(&fresh);
    for (int n = 0; n < NAMES; n++) {
        snprintf(name, sizeof(name), "n%d", n);
        if (strcmp(value(&f, name), value(&fresh, name)) != 0)
            fail_msg("seed %u: %s is %s, a fresh intake says %s", seed, name, value(&f, name),
                     value(&fresh, name));
    }
    fini(&f);
    fini(&fresh);
}

static void test_any_history_ends_as_a_fresh_intake(void **state)
{
    (void)state;
    const char *given = getenv("SEED");
    uint64_t seed = 0;
    if (given && sld_str_u64(sld_str_c(given), &seed)) {
        one_history((unsigned)seed);
        return;
    }
    unsigned base = (unsigned)time(NULL);
    print_message("seeds from %u\n", base);
    for (unsigned i = 0; i < 300; i++)
        one_history(base + i);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_documents_become_objects),
        T(test_only_what_changed_is_told),
        T(test_origin_names_the_place),
        T(test_foreign_kinds_are_counted),
        T(test_foreign_kinds_are_noted_when_asked),
        T(test_items_of_a_list_are_objects_of_their_own),
        T(test_items_of_a_json_list),
        T(test_syntax_error_keeps_what_was_said),
        T(test_unsettled_error_is_not_told),
        T(test_emptied_file_keeps_removed_file_does_not),
        T(test_new_empty_file_is_fine),
        T(test_cut_within_a_line_never_counts),
        T(test_cut_at_a_line_counts_when_settled),
        T(test_unreadable_unit_keeps),
        T(test_what_expires_soon_is_a_warning),
        T(test_document_that_lost_its_name_holds_the_unsaid),
        T(test_lost_document_waits_for_quiet),
        T(test_unsettled_loss_waits_for_the_settled_word),
        T(test_unsettled_loss_then_broken_keeps),
        T(test_renamed_file_never_vanishes),
        T(test_object_moves_between_files),
        T(test_nothing_vanishes_before_the_source_synced),
        T(test_nothing_vanishes_while_the_source_is_unreadable),
        T(test_busy_source_does_not_hold_for_ever),
        T(test_mass_deletion_waits_for_a_second_look),
        T(test_mass_deletion_that_did_not_take_place),
        T(test_few_objects_are_no_mass),
        T(test_second_look_is_asked_for_and_awaited),
        T(test_a_key_names_its_object),
        T(test_discovered_upstreams_are_adopted_when_wanted),
        T(test_first_by_path_stands_and_the_next_takes_over),
        T(test_source_order_is_before_path),
        T(test_twice_in_one_file),
        T(test_restored_objects_stand_until_the_source_synced),
        T(test_restored_objects_of_broken_units_stay),
        T(test_any_history_ends_as_a_fresh_intake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Statuses within values: what is found, what stays as it was, and what is written
// (core/source/consul/value.c).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "source/consul/value.h"

#define NS SLD_STR("gloo-system")

static struct sld_status *refused(const char *message)
{
    struct sld_finding f = {.code = SLD_DOC_IDENTITY,
                            .severity = SLD_ERROR,
                            .path = SLD_STR("a.b"),
                            .message = sld_str_c(message)};
    return sld_status_create(&f, 1, true, true);
}

static struct sld_status *accepted(void)
{
    return sld_status_create(NULL, 0, false, true);
}

static struct consul_value look(const char *text)
{
    struct consul_value v;
    consul_value_read(sld_str_c(text), NS, &v);
    return v;
}

// Writes S into TEXT and expects EXPECTED, which says S then. KEPT: all else is as it was.
static void writes_so(const char *text, struct sld_status *s, const char *expected, bool kept)
{
    struct sld_arena a = {0};
    struct sld_str out;
    struct sld_err err = {0};
    assert_int_equal(consul_value_write(&a, sld_str_c(text), NS, s, &out, &err), SLD_OK);
    if (!sld_str_eq(out, sld_str_c(expected)))
        fprintf(stderr, "written:\n%.*s\nexpected:\n%s\n", SLD_FMT(out), expected);
    assert_true(sld_str_eq(out, sld_str_c(expected)));
    struct consul_value before = look(text), after = look(sld_arena_cstr(&a, out));
    assert_true(after.any && sld_hash_eq(after.status, consul_status_hash(s)));
    assert_int_equal(sld_hash_eq(before.content, after.content), kept);
    // Once more changes nothing.
    struct sld_str again;
    assert_int_equal(consul_value_write(&a, out, NS, s, &again, &err), SLD_OK);
    assert_true(sld_str_eq(out, again));
    sld_arena_fini(&a);
    SLD_UNREF(s);
}

static void writes(const char *text, struct sld_status *s, const char *expected)
{
    writes_so(text, s, expected, true);
}

static void writes_anew(const char *text, struct sld_status *s, const char *expected)
{
    writes_so(text, s, expected, false);
}

#define OK_LINES                                                                                   \
    "namespacedStatuses:\n  statuses:\n    gloo-system:\n      reportedBy: gloo\n      state: Accepted\n"

static void a_status_is_put_behind(void **state)
{
    (void)state;
    writes("# mine\nmetadata: {name: a}\n\nx:   'y'  # aligned\n", accepted(),
           "# mine\nmetadata: {name: a}\n\nx:   'y'  # aligned\n" OK_LINES);
    writes("x: 1", accepted(), "x: 1\n" OK_LINES);
    writes("---\nx: |\n  status:\n  namespacedStatuses: a\n", accepted(),
           "---\nx: |\n  status:\n  namespacedStatuses: a\n" OK_LINES);
    writes("x: \"it's {\"\n", accepted(), "x: \"it's {\"\n" OK_LINES);
    writes("a: &it {b: 1}\nc: *it\n", accepted(), "a: &it {b: 1}\nc: *it\n" OK_LINES);
    writes("x: 1\r\ny: 2\r\n", accepted(), "x: 1\r\ny: 2\r\n" OK_LINES);
}

static void a_status_is_exchanged(void **state)
{
    (void)state;
    // As Gloo writes it, its keys sorted.
    writes("metadata:\n  name: a\n" OK_LINES "virtualHost:\n  domains:\n  - '*'\n", refused("no"),
           "metadata:\n  name: a\n"
           "namespacedStatuses:\n  statuses:\n    gloo-system:\n      reason: \"1 error occurred:\\n\\t* a.b: no\\n\\n\"\n"
           "      reportedBy: gloo\n      state: Rejected\n"
           "virtualHost:\n  domains:\n  - '*'\n");
    // Of others, with comments between, in snake case, in a line of its own.
    writes("namespacedStatuses:\n  statuses:\n    other: {state: 1, reportedBy: gloo}\n# mine\nx: 1\n", accepted(),
           "namespacedStatuses:\n  statuses:\n    other:\n      state: 1\n      reportedBy: gloo\n"
           "    gloo-system:\n      reportedBy: gloo\n      state: Accepted\n# mine\nx: 1\n");
    writes("namespaced_statuses: {statuses: {gloo-system: {state: 2}}}\nx: 1\n", accepted(),
           "namespaced_statuses:\n  statuses:\n    gloo-system:\n      reportedBy: gloo\n      state: Accepted\nx: 1\n");
    writes("x: 1\nnamespacedStatuses:\n# of\n\n  statuses: {}\ny: 2\n", accepted(), "x: 1\n" OK_LINES "y: 2\n");
    writes("x: 1\nnamespacedStatuses:\ny: 2\n", accepted(), "x: 1\n" OK_LINES "y: 2\n");
    // Kubernetes' form.
    writes("apiVersion: gateway.solo.io/v1\nkind: VirtualService\nspec: {}\n", accepted(),
           "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nspec: {}\n"
           "status:\n  statuses:\n    gloo-system:\n      reportedBy: gloo\n      state: Accepted\n");
}

static void json_stays_json(void **state)
{
    (void)state;
#define OK_JSON "{\"statuses\":{\"gloo-system\":{\"reportedBy\":\"gloo\",\"state\":\"Accepted\"}}}"
    writes("{\"x\": 1}", accepted(), "{\"x\": 1,\"namespacedStatuses\":" OK_JSON "}");
    writes("{}", accepted(), "{\"namespacedStatuses\":" OK_JSON "}");
    writes("{\n  \"x\": [1, 2]\n}\n", accepted(), "{\n  \"x\": [1, 2],\"namespacedStatuses\":" OK_JSON "\n}\n");
    writes("{\"namespacedStatuses\": {\"statuses\": {\"gloo-system\": {\"state\": 2}}} , \"x\": \"\\u00e9\"}",
           accepted(), "{\"namespacedStatuses\": " OK_JSON " , \"x\": \"\\u00e9\"}");
    writes("{\"spec\": {\"status\": 1}}", accepted(), "{\"spec\": {\"status\": 1},\"status\":" OK_JSON "}");
}

// What cannot be cut out of a text makes it be printed anew, with all that it says.
static void the_rest_is_printed_anew(void **state)
{
    (void)state;
    writes_anew("{x: 1, namespacedStatuses: {statuses: {gloo-system: {state: 2}}}}\n", accepted(),
                "x: 1\n" OK_LINES);
    writes_anew("{y: 'it', z: '7', x: [a, \"b\", 'true', 1]}\n", accepted(),
                "\"y\": it\nz: \"7\"\nx:\n- a\n- b\n- \"true\"\n- 1\n" OK_LINES);
    writes_anew("{\nx: 1,\nstatus: 2\n}\n", accepted(), "x: 1\nstatus: 2\n" OK_LINES);
    writes_anew("x: 1\n...\n", accepted(), "x: 1\n" OK_LINES);
    writes_anew("namespacedStatuses: &s {statuses: {}}\nx: {k: *s}\n", accepted(),
           OK_LINES "x:\n  k:\n    statuses: {}\n");
}

static void what_is_no_document_gets_none(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "a: [b\n", "- a\n", "text", "a: 1\n---\nb: 2\n", "{\"a\":1}{\"b\":2}"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(texts); i++) {
        struct sld_arena a = {0};
        struct sld_str out;
        struct sld_err err = {0};
        struct sld_status *s = accepted();
        assert_int_equal(consul_value_write(&a, sld_str_c(texts[i]), NS, s, &out, &err), SLD_INVALID);
        SLD_UNREF(s);
        sld_arena_fini(&a);
        assert_true(sld_hash_zero(look(texts[i]).status));
    }
}

// ---- Reading ----

static bool same(const char *a, const char *b)
{
    return sld_hash_eq(look(a).content, look(b).content);
}

static void statuses_do_not_change_the_content(void **state)
{
    (void)state;
    assert_true(same("x: 1\n", "x: 1\n" OK_LINES));
    assert_true(same("x: 1\ny: 2\n", "x: 1\n" OK_LINES "y: 2\n"));
    assert_true(same("x: 1\ny: 2\n", OK_LINES "x: 1\ny: 2\n"));
    assert_true(same("x: 1\n" OK_LINES, "x: 1\nnamespacedStatuses: {}\nstatus: {state: 1}\n"));
    assert_true(same("x: 1", "x: 1\n"));
    assert_true(same("{\"x\":1}", "{\"status\":2, \"x\": 1 ,\"namespacedStatuses\":null}"));
    assert_false(same("x: 1\n", "x: 2\n"));
    assert_false(same("x: 1\n" OK_LINES, "x: 1\n" OK_LINES "y: 2\n"));
    assert_false(same("{\"x\":1}", "{\"x\":\"1\"}"));
    assert_false(same("{\"xy\":1}", "{\"x\":\"y1\"}"));
}

// Lines that look like statuses and are not.
static void what_only_looks_so_counts(void **state)
{
    (void)state;
    assert_false(same("x: {\nstatus: 1,\ny: 2}\n", "x: {\nstatus: 2,\ny: 2}\n"));
    assert_false(same("x: [{\nstatus: 1\n}]\n", "x: [{\nstatus: 2\n}]\n"));
    assert_false(same("x: \"a\nstatus: 1\nb\"\n", "x: \"a\nstatus: 2\nb\"\n"));
    assert_false(same("x: |\n  status: 1\n", "x: |\n  status: 2\n"));
    assert_false(same("x:\n  status: 1\n", "x:\n  status: 2\n"));
    assert_false(same("status1: 1\n", "status1: 2\n"));
    assert_false(same("status: &a 1\nx: *a\n", "status: &a 2\nx: *a\n"));
    assert_false(same("{\"x\":{\"status\":1}}", "{\"x\":{\"status\":2}}"));
    assert_false(look("x:\n  status: 1\n").any);
    assert_true(look("'status': 1\n").any && look("\"status\" : 1\n").any && look("status:\n").any);
}

static void old_forms_are_understood(void **state)
{
    (void)state;
    struct sld_status *s = accepted(), *r = refused("no");
    struct sld_hash h = consul_status_hash(s);
    assert_true(sld_hash_eq(look("x: 1\n" OK_LINES).status, h));
    assert_true(sld_hash_eq(
        look("namespacedStatuses: {statuses: {gloo-system: {state: 1, reportedBy: gloo}}}\n").status, h));
    assert_true(sld_hash_eq(
        look("namespaced_statuses:\n  statuses:\n    gloo-system:\n      state: Accepted\n      reported_by: gloo\n").status,
        h));
    assert_true(sld_hash_eq(
        look("{\"spec\":{},\"status\":{\"statuses\":{\"gloo-system\":{\"state\":1,\"reportedBy\":\"gloo\"}}}}").status, h));
    assert_false(sld_hash_eq(look("namespacedStatuses: {statuses: {gloo-system: {state: 1}}}\n").status, h));
    assert_true(sld_hash_zero(look("namespacedStatuses: {statuses: {other: {state: 1}}}\n").status));
    assert_true(sld_hash_zero(look("status: {state: 1, reportedBy: gloo}\n").status));
    assert_false(sld_hash_eq(h, consul_status_hash(r)));
    SLD_UNREF(s);
    SLD_UNREF(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_status_is_put_behind),
        cmocka_unit_test(a_status_is_exchanged),
        cmocka_unit_test(json_stays_json),
        cmocka_unit_test(the_rest_is_printed_anew),
        cmocka_unit_test(what_is_no_document_gets_none),
        cmocka_unit_test(statuses_do_not_change_the_content),
        cmocka_unit_test(what_only_looks_so_counts),
        cmocka_unit_test(old_forms_are_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

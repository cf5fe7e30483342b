// Findings and their reports; errors.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "base/base.h"

struct fixture {
    struct sld_arena a;
    struct sld_report r;
};

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    f->r.arena = &f->a;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sld_arena_fini(&f->a);
    sld_xfree(f);
    return 0;
}

static void add(struct fixture *f, const char *path)
{
    sld_report_add(&f->r, SLD_ERROR, SLD_FIELD_TYPE, sld_str_c(path), "wrong");
}

static void assert_path(struct fixture *f, const char *want)
{
    struct sld_str path = f->r.items[f->r.count - 1].path;
    if (!sld_str_eq(path, sld_str_c(want)))
        fail_msg("%.*s, not %s", SLD_FMT(path), want);
}

// ---- Reports ----

static void test_paths_are_joined(void **state)
{
    struct fixture *f = *state;
    add(f, "spec");
    assert_path(f, "spec");
    add(f, NULL);
    assert_path(f, "");
    assert_non_null(f->r.items[1].path.p);
    struct sld_str top = sld_report_enter(&f->r, "virtualHost", -1);
    add(f, "domains");
    assert_path(f, "virtualHost.domains");
    add(f, "");
    assert_path(f, "virtualHost");
    struct sld_str host = sld_report_enter(&f->r, "routes", 2);
    add(f, "matchers[0].prefix");
    assert_path(f, "virtualHost.routes[2].matchers[0].prefix");
    add(f, "[7]");
    assert_path(f, "virtualHost.routes[2][7]");
    sld_report_leave(&f->r, host);
    struct sld_str again = sld_report_enter(&f->r, "", 3);
    add(f, "x");
    assert_path(f, "virtualHost[3].x");
    sld_report_leave(&f->r, again);
    add(f, "name");
    assert_path(f, "virtualHost.name");
    sld_report_leave(&f->r, top);
    add(f, "name");
    assert_path(f, "name");
}

static void test_what_a_finding_says_is_copied(void **state)
{
    struct fixture *f = *state;
    char path[] = "a", word[] = "b";
    sld_report_add(&f->r, SLD_NOTE, SLD_FIELD_NOT_BUILT, sld_str_c(path), "no %s: %d", word, 7);
    path[0] = word[0] = 'x';
    const struct sld_finding *it = &f->r.items[0];
    assert_int_equal(it->severity, SLD_NOTE);
    assert_int_equal(it->code, SLD_FIELD_NOT_BUILT);
    assert_true(sld_str_eq(it->path, SLD_STR("a")));
    assert_true(sld_str_eq(it->message, SLD_STR("no b: 7")));
    assert_int_equal(it->line, 0);
    assert_null(it->origin.p);
    assert_int_equal(f->r.errors + f->r.warnings, 0); // notes are not counted
}

static void test_long_texts_are_cut_not_lost(void **state)
{
    struct fixture *f = *state;
    static char text[9001];
    for (int i = 0; i < 3000; i++)
        memcpy(text + 3 * i, "\xe2\x82\xac", 4);
    sld_report_add(&f->r, SLD_ERROR, SLD_FIELD_TYPE, SLD_STR(""), "%s", text);
    struct sld_str m = f->r.items[0].message;
    assert_int_equal(m.n, 4095); // whole characters
    assert_true(sld_str_utf8(m, NULL));
    text[4096] = 0;
    sld_report_add(&f->r, SLD_ERROR, SLD_FIELD_TYPE, SLD_STR(""), "%s", text + 1);
    assert_int_equal(f->r.items[1].message.n, 4095);
}

static void test_only_so_many_are_kept_but_all_are_counted(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < SLD_REPORT_MAX + 50; i++)
        sld_report_add(&f->r, SLD_ERROR, SLD_FIELD_TYPE, SLD_STR("x"), "%d", i);
    assert_int_equal(f->r.count, SLD_REPORT_MAX);
    assert_int_equal(f->r.errors, SLD_REPORT_MAX + 50);
    assert_true(
        sld_str_eq(f->r.items[SLD_REPORT_MAX - 1].message, SLD_STR("99"))); // the first ones
}

static void test_an_error_is_kept_however_many_warnings_there_are(void **state)
{
    struct fixture *f = *state;
    sld_report_add(&f->r, SLD_ERROR, SLD_FIELD_TYPE, SLD_STR(""), "first");
    sld_report_add(&f->r, SLD_NOTE, SLD_FIELD_TYPE, SLD_STR(""), "note");
    for (int i = 0; i < SLD_REPORT_MAX + 50; i++)
        sld_report_add(&f->r, SLD_WARNING, SLD_FIELD_NOT_BUILT, SLD_STR(""), "%d", i);
    assert_int_equal(f->r.count, SLD_REPORT_MAX);
    assert_true(
        sld_str_eq(f->r.items[1].message, SLD_STR("0"))); // a warning in the place of the note
    assert_true(sld_str_eq(f->r.items[SLD_REPORT_MAX - 1].message, SLD_STR("98")));
    sld_report_add(&f->r, SLD_ERROR, SLD_FIELD_TYPE, SLD_STR(""), "second");
    sld_report_add(&f->r, SLD_ERROR, SLD_FIELD_TYPE, SLD_STR(""), "third");
    assert_int_equal(f->r.count, SLD_REPORT_MAX);
    assert_true(sld_str_eq(f->r.items[0].message, SLD_STR("first")));
    assert_true(sld_str_eq(f->r.items[SLD_REPORT_MAX - 3].message, SLD_STR("96")));
    assert_true(sld_str_eq(f->r.items[SLD_REPORT_MAX - 2].message, SLD_STR("second")));
    assert_true(sld_str_eq(f->r.items[SLD_REPORT_MAX - 1].message, SLD_STR("third")));
    sld_report_add(&f->r, SLD_NOTE, SLD_FIELD_TYPE, SLD_STR(""), "late");
    assert_true(sld_str_eq(f->r.items[SLD_REPORT_MAX - 1].message, SLD_STR("third")));
    assert_int_equal(f->r.errors, 3);
    assert_int_equal(f->r.warnings, SLD_REPORT_MAX + 50);
}

// ---- Codes ----

static const struct {
    int number;
    const char *title, *remedy;
} codes[] = {
#define SLD_CODE(id, number, title, remedy) {number, title, remedy},
#include "base/codes.h"
#undef SLD_CODE
};

static void test_codes_are_in_order_and_have_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < SLD_ARRAY_LEN(codes); i++) {
        assert_true(codes[i].number > (i ? codes[i - 1].number : 0) && codes[i].number < 10000);
        assert_true(codes[i].title[0] && codes[i].remedy[0]);
        assert_string_equal(sld_code_title((enum sld_code)codes[i].number), codes[i].title);
        assert_string_equal(sld_code_remedy((enum sld_code)codes[i].number), codes[i].remedy);
    }
    assert_null(sld_code_title((enum sld_code)9999));
    assert_null(sld_code_remedy((enum sld_code)9999));
}

static void test_names_of_severities(void **state)
{
    (void)state;
    assert_string_equal(sld_severity_name(SLD_NOTE), "note");
    assert_string_equal(sld_severity_name(SLD_WARNING), "warning");
    assert_string_equal(sld_severity_name(SLD_ERROR), "error");
}

// ---- Errors ----

static void test_errors_say_the_outermost_first(void **state)
{
    (void)state;
    struct sld_err e = {.line = 3, .column = 4};
    assert_int_equal(sld_err_set(&e, SLD_NOT_FOUND, "no %s", "key"), SLD_NOT_FOUND);
    assert_int_equal(e.rc, SLD_NOT_FOUND);
    assert_int_equal(e.line + e.column, 0); // of the former error
    e.line = 7;
    assert_int_equal(sld_err_wrap(&e, "file %d", 2), SLD_NOT_FOUND);
    assert_int_equal(sld_err_wrap(&e, "source"), SLD_NOT_FOUND);
    assert_string_equal(e.msg, "source: file 2: no key");
    assert_int_equal(e.line, 7); // the place stays
    assert_int_equal(sld_err_errno(&e, ENOENT, "open %s", "x"), SLD_IO);
    assert_int_equal(e.rc, SLD_IO);
    assert_string_equal(e.msg, "open x: No such file or directory");
    assert_int_equal(e.line, 0);
}

static void test_errors_nobody_asks_for(void **state)
{
    (void)state;
    assert_int_equal(sld_err_set(NULL, SLD_LIMIT, "x"), SLD_LIMIT);
    assert_int_equal(sld_err_errno(NULL, ENOENT, "x"), SLD_IO);
    assert_int_equal(sld_err_wrap(NULL, "x"), SLD_INTERNAL);
}

static void test_long_errors_are_cut_between_characters(void **state)
{
    (void)state;
    char text[1201] = "";
    for (int i = 0; i < 400; i++)
        memcpy(text + 3 * i, "\xe2\x82\xac", 4);
    struct sld_err e = {0};
    for (size_t lead = 0; lead < 4; lead++) {
        sld_err_set(&e, SLD_INVALID, "%.*s%s", (int)lead, "abcd", text);
        assert_true(sld_str_utf8(sld_str_c(e.msg), NULL));
        assert_true(strlen(e.msg) > SLD_ERR_MAX - 4);
        sld_err_wrap(&e, "%.*s", (int)lead, "abcd");
        assert_true(sld_str_utf8(sld_str_c(e.msg), NULL));
        assert_true(strlen(e.msg) > SLD_ERR_MAX - 4);
        sld_err_wrap(&e, "%s", text); // no room for anything else
        assert_true(sld_str_utf8(sld_str_c(e.msg), NULL));
        sld_err_errno(&e, ENOENT, "%.*s%s", (int)lead, "abcd", text);
        assert_true(sld_str_utf8(sld_str_c(e.msg), NULL));
    }
    sld_err_set(&e, SLD_INVALID, "\xe2\x82"); // short words are nobody's to mend
    assert_string_equal(e.msg, "\xe2\x82");
}

static void test_names_of_results(void **state)
{
    (void)state;
    for (int rc = SLD_OK; rc <= SLD_INTERNAL; rc++)
        assert_true(sld_rc_name((enum sld_rc)rc)[0] != 0);
    assert_string_equal(sld_rc_name(SLD_NOT_FOUND), "not found");
    assert_string_equal(sld_rc_name((enum sld_rc)99), "unknown");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_paths_are_joined),
        T(test_what_a_finding_says_is_copied),
        T(test_long_texts_are_cut_not_lost),
        T(test_only_so_many_are_kept_but_all_are_counted),
        T(test_an_error_is_kept_however_many_warnings_there_are),
        T(test_codes_are_in_order_and_have_words),
        T(test_names_of_severities),
        T(test_errors_say_the_outermost_first),
        T(test_errors_nobody_asks_for),
        T(test_long_errors_are_cut_between_characters),
        T(test_names_of_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

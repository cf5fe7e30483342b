// Log lines in both forms, levels, gates.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "base/base.h"

struct fixture {
    FILE *file; // in the place of stderr
    int real;
    char text[65536];
};

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    f->file = tmpfile();
    f->real = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(fileno(f->file), STDERR_FILENO);
    sld_log_set_level(SLD_INFO);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    dup2(f->real, STDERR_FILENO);
    close(f->real);
    fclose(f->file);
    sld_xfree(f);
    return 0;
}

// What was logged since the last call.
static const char *logged(struct fixture *f)
{
    ssize_t n = pread(fileno(f->file), f->text, sizeof(f->text) - 1, 0);
    assert_true(n >= 0);
    f->text[n] = 0;
    assert_int_equal(ftruncate(fileno(f->file), 0), 0);
    lseek(fileno(f->file), 0, SEEK_SET);
    return f->text;
}

// A time of the form 2026-11-24T09:00:00.000Z at P.
static void assert_time(const char *p)
{
    const char *form = "0000-00-00T00:00:00.000Z";
    for (size_t i = 0; form[i]; i++) {
        if (form[i] == '0')
            assert_in_range(p[i], '0', '9');
        else
            assert_int_equal(p[i], form[i]);
    }
}

// What was logged, without the time: the one line behind it.
static const char *json_line(struct fixture *f)
{
    const char *begin = "{\"ts\":\"", *s = logged(f);
    assert_int_equal(strncmp(s, begin, strlen(begin)), 0);
    assert_time(s + strlen(begin));
    return s + strlen(begin) + 24;
}

static const char *text_line(struct fixture *f)
{
    const char *s = logged(f);
    assert_time(s);
    return s + 24;
}

// First, before a form is chosen.
static void test_json_where_there_is_no_terminal(void **state)
{
    struct fixture *f = *state;
    SLD_LOG(SLD_WARN, "base", "hello", SLD_KC("a", "b"));
    assert_string_equal(
        json_line(f),
        "\",\"level\":\"warn\",\"component\":\"base\",\"event\":\"hello\",\"a\":\"b\"}\n");
}

static void test_json_values(void **state)
{
    struct fixture *f = *state;
    sld_log_set_json(true);
    SLD_LOG(SLD_LOG_ERROR, "base", "e", SLD_KI("i", INT64_MIN), SLD_KB("yes", true),
            SLD_KB("no", false), SLD_KS("s", sld_str_n("cut here", 3)), SLD_KC("absent", NULL),
            SLD_KC("q", "a\"b\\c\nd\te\x7f"), SLD_KS("nul", SLD_STR("a\0b")),
            SLD_KC("utf8", "\xe2\x82\xac"));
    assert_string_equal(
        json_line(f),
        "\",\"level\":\"error\",\"component\":\"base\",\"event\":\"e\",\"i\":-9223372036854775808,"
        "\"yes\":true,\"no\":false,\"s\":\"cut\",\"absent\":\"\",\"q\":"
        "\"a\\\"b\\\\c\\nd\\u0009e\\u007f\","
        "\"nul\":\"a\\u0000b\",\"utf8\":\"\xe2\x82\xac\"}\n");
}

static void test_bytes_that_are_no_text(void **state)
{
    struct fixture *f = *state;
    sld_log_set_json(true);
    SLD_LOG(SLD_INFO, "base", "e", SLD_KC("v", "a\xff\"\xe2\x82z\xed\xa0\x80"));
    assert_non_null(
        strstr(json_line(f), ",\"v\":\"a\\ufffd\\\"\\ufffd\\ufffdz\\ufffd\\ufffd\\ufffd\"}\n"));
    sld_log_set_json(false);
    SLD_LOG(SLD_INFO, "base", "e", SLD_KC("v", "a\xff"));
    assert_non_null(strstr(text_line(f), " v=\"a\\ufffd\"\n"));
}

static void test_text_form(void **state)
{
    struct fixture *f = *state;
    sld_log_set_json(false);
    SLD_LOG(SLD_INFO, "base", "event", SLD_KC("plain", "a/b:c"), SLD_KC("spaced", "a b"),
            SLD_KC("empty", ""), SLD_KC("equals", "a=b"), SLD_KC("quote", "\""), SLD_KI("n", 7),
            SLD_KB("b", true), SLD_KC("line", "a\nb"), SLD_KC("escape", "\x1b[2J"));
    assert_string_equal(text_line(f),
                        " info  base: event plain=a/b:c spaced=\"a b\" empty=\"\" equals=\"a=b\" "
                        "quote=\"\\\"\" n=7 b=true line=\"a\\nb\" escape=\"\\u001b[2J\"\n");
    SLD_LOG(SLD_LOG_ERROR, "base", "event", SLD_KI("n", 1));
    assert_string_equal(text_line(f), " error base: event n=1\n");
}

static void test_a_pair_too_long_is_left_out_alone(void **state)
{
    struct fixture *f = *state;
    static char big[20000];
    memset(big, 'x', sizeof(big) - 1);
    sld_log_set_json(true);
    SLD_LOG(SLD_INFO, "base", "e", SLD_KC("a", "1"), SLD_KC("big", big), SLD_KC("b", "2"));
    assert_string_equal(
        json_line(f),
        "\",\"level\":\"info\",\"component\":\"base\",\"event\":\"e\",\"a\":\"1\",\"b\":\"2\"}\n");
    // Whatever the length, the line is whole and has its end.
    for (size_t n = 16000; n < 16400; n++) {
        SLD_LOG(SLD_INFO, "base", "e", SLD_KS("v", sld_str_n(big, n)));
        struct sld_str s = sld_str_c(logged(f));
        assert_true(sld_str_ends(s, SLD_STR("x\"}\n")) || sld_str_ends(s, SLD_STR("\"e\"}\n")));
        assert_true(s.n <= 16 * 1024 + 4);
    }
}

static int computed;

static const char *costly(void)
{
    computed++;
    return "v";
}

static void test_levels(void **state)
{
    struct fixture *f = *state;
    sld_log_set_json(false);
    sld_log_set_level(SLD_WARN);
    uint64_t info = sld_log_lines(SLD_INFO), warn = sld_log_lines(SLD_WARN);
    assert_false(sld_log_enabled(SLD_INFO));
    SLD_LOG(SLD_INFO, "base", "e", SLD_KC("v", costly()));
    assert_int_equal(computed, 0); // nor are its values computed
    assert_string_equal(logged(f), "");
    SLD_LOG(SLD_WARN, "base", "e", SLD_KC("v", costly()));
    assert_int_equal(computed, 1);
    assert_string_equal(text_line(f), " warn  base: e v=v\n");
    assert_int_equal(sld_log_lines(SLD_INFO), info); // lines that were written are counted
    assert_int_equal(sld_log_lines(SLD_WARN), warn + 1);
    sld_log_set_level(SLD_DEBUG);
    assert_true(sld_log_enabled(SLD_DEBUG));
}

static void test_names_of_levels(void **state)
{
    (void)state;
    static const char *const names[] = {"debug", "info", "warn", "error"};
    enum sld_level level;
    for (size_t i = 0; i < SLD_ARRAY_LEN(names); i++) {
        assert_true(sld_log_level_parse(sld_str_c(names[i]), &level));
        assert_int_equal(level, i);
    }
    level = SLD_WARN;
    assert_false(sld_log_level_parse(SLD_STR("INFO"), &level));
    assert_false(sld_log_level_parse(SLD_STR(""), &level));
    assert_false(sld_log_level_parse(SLD_STR_NONE, &level));
    assert_int_equal(level, SLD_WARN);
}

static void test_a_gate_lets_the_first_through_and_counts_the_rest(void **state)
{
    (void)state;
    enum { LONG_MS = 3600 * 1000 };
    struct sld_log_gate g = {0}, other = {0};
    uint64_t left_out = 99, before = sld_log_suppressed();
    assert_true(sld_log_gate_open(&g, LONG_MS, &left_out));
    assert_int_equal(left_out, 0);
    left_out = 99;
    for (int i = 0; i < 3; i++)
        assert_false(sld_log_gate_open(&g, LONG_MS, &left_out));
    assert_int_equal(left_out, 99); // untouched
    assert_int_equal(sld_log_suppressed(), before + 3);
    assert_true(sld_log_gate_open(&other, LONG_MS, &left_out)); // each for itself
    g.last_ns -= (uint64_t)LONG_MS * 1000000;                   // the time has passed
    assert_true(sld_log_gate_open(&g, LONG_MS, &left_out));
    assert_int_equal(left_out, 3);
    g.last_ns -= (uint64_t)LONG_MS * 1000000;
    assert_true(sld_log_gate_open(&g, LONG_MS, &left_out));
    assert_int_equal(left_out, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_json_where_there_is_no_terminal),
        T(test_json_values),
        T(test_bytes_that_are_no_text),
        T(test_text_form),
        T(test_a_pair_too_long_is_left_out_alone),
        T(test_levels),
        T(test_names_of_levels),
        T(test_a_gate_lets_the_first_through_and_counts_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

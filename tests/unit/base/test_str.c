// Slices and the growing buffer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <stdio.h>

#include "base/base.h"

#define S(lit) SLD_STR(lit)

static void test_comparison(void **unused)
{
    (void)unused;
    assert_true(sld_str_eq(S("a\0b"), S("a\0b")));
    assert_false(sld_str_eq(S("a\0b"), S("a\0c")));
    assert_false(sld_str_eq(S("a"), S("ab")));
    assert_true(sld_str_eq(SLD_STR_NONE, S(""))); // by bytes alone
    assert_true(sld_str_ieq(S("X-Forwarded"), S("x-fORWARDED")));
    assert_false(sld_str_ieq(S("a"), S("ab")));
    assert_false(sld_str_ieq(S("@"), S("`"))); // beside the letters
    assert_false(sld_str_ieq(S("\xc4"), S("\xe4")));
    assert_true(sld_str_cmp(S("a"), S("ab")) < 0);
    assert_true(sld_str_cmp(S("b"), S("ab")) > 0);
    assert_true(sld_str_cmp(S("\xff"), S("a")) > 0);
    assert_int_equal(sld_str_cmp(S(""), SLD_STR_NONE), 0);
    assert_true(sld_str_starts(S("abc"), S("ab")));
    assert_true(sld_str_starts(S("abc"), S("")));
    assert_false(sld_str_starts(S("a"), S("ab")));
    assert_true(sld_str_ends(S("abc"), S("bc")));
    assert_false(sld_str_ends(S("bc"), S("abc")));
    assert_true(sld_str_ends(SLD_STR_NONE, S("")));
}

static void test_finding(void **unused)
{
    (void)unused;
    assert_int_equal(sld_str_index(S("a/b/c"), '/'), 1);
    assert_int_equal(sld_str_index(S("abc"), '/'), -1);
    assert_int_equal(sld_str_index(SLD_STR_NONE, '/'), -1);
    assert_int_equal(sld_str_find(S("aaab"), S("aab")), 1);
    assert_int_equal(sld_str_find(S("abc"), S("abc")), 0);
    assert_int_equal(sld_str_find(S("abc"), S("c")), 2);
    assert_int_equal(sld_str_find(S("abc"), S("cd")), -1);
    assert_int_equal(sld_str_find(S("abc"), S("abcd")), -1);
    assert_int_equal(sld_str_find(S("abab\0b"), S("b\0")), 3);
    assert_int_equal(sld_str_find(SLD_STR_NONE, S("")), 0);
    assert_true(sld_str_eq(sld_str_sub(S("abcdef"), 2, 3), S("cde")));
    assert_true(sld_str_eq(sld_str_sub(S("abc"), 1, SIZE_MAX), S("bc")));
    assert_int_equal(sld_str_sub(S("abc"), 9, 1).n, 0);
    assert_null(sld_str_sub(SLD_STR_NONE, 1, 1).p);
}

static void test_trimming(void **unused)
{
    (void)unused;
    assert_true(sld_str_eq(sld_str_trim(S(" \t\r\n a b \v\f")), S("a b")));
    assert_int_equal(sld_str_trim(S(" \n ")).n, 0);
    assert_int_equal(sld_str_trim(SLD_STR_NONE).n, 0);
    assert_true(sld_str_eq(sld_str_trim(S("\xc2\xa0")), S("\xc2\xa0"))); // ASCII's space alone
}

static void test_cutting(void **unused)
{
    (void)unused;
    struct sld_str s = S("a,,b"), head;
    assert_true(sld_str_cut(&s, ',', &head));
    assert_true(sld_str_eq(head, S("a")));
    assert_true(sld_str_cut(&s, ',', &head));
    assert_int_equal(head.n, 0);
    assert_true(sld_str_cut(&s, ',', &head));
    assert_true(sld_str_eq(head, S("b")));
    assert_null(s.p);
    assert_false(sld_str_cut(&s, ',', &head));
    s = S("a,"); // the end is a part of its own
    assert_true(sld_str_cut(&s, ',', &head));
    assert_true(sld_str_cut(&s, ',', &head));
    assert_int_equal(head.n, 0);
    assert_false(sld_str_cut(&s, ',', &head));
    s = S("");
    assert_true(sld_str_cut(&s, ',', &head));
    assert_false(sld_str_cut(&s, ',', &head));
}

static void test_whole_numbers(void **unused)
{
    (void)unused;
    uint64_t u = 7;
    int64_t i = 7;
    assert_true(sld_str_u64(S("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_true(sld_str_u64(S("007"), &u));
    assert_int_equal(u, 7);
    const char *const bad[] = {
        "",  "18446744073709551616", "99999999999999999999", "-1", "+1", " 1", "1 ", "1a", "0x1",
        "1."};
    for (size_t k = 0; k < SLD_ARRAY_LEN(bad); k++)
        assert_false(sld_str_u64(sld_str_c(bad[k]), &u));
    assert_int_equal(u, 7); // untouched
    assert_true(sld_str_i64(S("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_true(sld_str_i64(S("9223372036854775807"), &i));
    assert_true(i == INT64_MAX);
    assert_true(sld_str_i64(S("-0"), &i));
    assert_int_equal(i, 0);
    const char *const worse[] = {
        "", "-", "--1", "+1", "-9223372036854775809", "9223372036854775808"};
    for (size_t k = 0; k < SLD_ARRAY_LEN(worse); k++)
        assert_false(sld_str_i64(sld_str_c(worse[k]), &i));
    assert_int_equal(i, 0);
    assert_false(sld_str_u64(SLD_STR_NONE, &u));
    assert_false(sld_str_i64(SLD_STR_NONE, &i));
}

static void test_broken_numbers(void **unused)
{
    (void)unused;
    static const struct {
        const char *text;
        double value;
    } good[] = {{"0", 0},      {"-1.5", -1.5}, {"+2", 2},
                {"1e3", 1000}, {"1E-2", 0.01}, {".5", 0.5},
                {"1.", 1},     {"-.5e+1", -5}, {"1.7976931348623157e308", DBL_MAX},
                {"1e-999", 0}};
    for (size_t k = 0; k < SLD_ARRAY_LEN(good); k++) {
        double d = 9;
        assert_true(sld_str_double(sld_str_c(good[k].text), &d));
        assert_true(d >= good[k].value && d <= good[k].value);
    }
    const char *const bad[] = {
        "",      ".",
        "-",     "e1",
        "1e",    "1e+",
        "1.2.3", "inf",
        "nan",   "1e999",
        "0x1p3", " 1",
        "1 ",    "1,5",
        "--1",   "1111111111111111111111111111111111111111111111111111111111111111"};
    for (size_t k = 0; k < SLD_ARRAY_LEN(bad); k++) {
        double d = 9;
        assert_false(sld_str_double(sld_str_c(bad[k]), &d));
        assert_true(d >= 9);
    }
}

static void test_utf8(void **unused)
{
    (void)unused;
    static const struct {
        struct sld_str s;
        ptrdiff_t bad; // -1: none
    } cases[] = {
        {SLD_STR_INIT(""), -1},
        {SLD_STR_INIT("a\0\x7f"), -1},
        {SLD_STR_INIT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), -1},
        {SLD_STR_INIT("\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f"
                      "\xbf\xbf"),
         -1},                          // borders
        {SLD_STR_INIT("ab\x80"), 2},   // a continuation alone
        {SLD_STR_INIT("\xc0\x80"), 0}, // overlong
        {SLD_STR_INIT("\xc1\xbf"), 0},
        {SLD_STR_INIT("\xe0\x9f\xbf"), 0},
        {SLD_STR_INIT("\xf0\x8f\xbf\xbf"), 0},
        {SLD_STR_INIT("a\xed\xa0\x80"), 1},    // a surrogate
        {SLD_STR_INIT("\xf4\x90\x80\x80"), 0}, // beyond Unicode
        {SLD_STR_INIT("\xf5\x80\x80\x80"), 0},
        {SLD_STR_INIT("\xf8\x88\x80\x80\x80"), 0},
        {SLD_STR_INIT("abc\xe2\x82"), 3}, // cut
        {SLD_STR_INIT("\xe2\x82z"), 0},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        size_t at = 99;
        assert_int_equal(sld_str_utf8(cases[i].s, &at), cases[i].bad < 0);
        if (cases[i].bad >= 0)
            assert_int_equal(at, cases[i].bad);
        assert_int_equal(sld_str_utf8(cases[i].s, NULL), cases[i].bad < 0);
    }
    assert_true(sld_str_utf8(SLD_STR_NONE, NULL));
}

static void test_cut_between_characters(void **unused)
{
    (void)unused;
    struct sld_str s = S("a\xe2\x82\xac"
                         "b");
    const size_t want[] = {0, 1, 1, 1, 4, 5, 5};
    for (size_t n = 0; n < SLD_ARRAY_LEN(want); n++)
        assert_int_equal(sld_str_utf8_cut(s, n).n, want[n]);
    assert_null(sld_str_utf8_cut(SLD_STR_NONE, 3).p);
}

static void test_distance(void **unused)
{
    (void)unused;
    assert_int_equal(sld_str_distance(S("kitten"), S("sitting"), 5), 3);
    assert_int_equal(sld_str_distance(S("Prefix"), S("prefix"), 2), 0); // case aside
    assert_int_equal(sld_str_distance(S(""), S("ab"), 2), 2);
    assert_int_equal(sld_str_distance(S("ab"), S(""), 2), 2);
    assert_int_equal(sld_str_distance(S("abcd"), S("a"), 2), 3); // beyond the ceiling
    assert_int_equal(sld_str_distance(S("abc"), S("xyz"), 2), 3);
    assert_int_equal(sld_str_distance(S("abcd"), S("wxyz"), 1), 2);
    assert_int_equal(sld_str_distance(S("ab"), S("ba"), 2), 2);
    char longer[100];
    memset(longer, 'a', sizeof(longer));
    struct sld_str l = sld_str_n(longer, sizeof(longer));
    assert_int_equal(sld_str_distance(l, l, 3), 4); // too long to be a name
}

// ---- The buffer ----

static void test_buffer_grows(void **unused)
{
    (void)unused;
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    assert_true(sld_str_eq(sld_buf_str(&b), S("")));
    assert_non_null(sld_buf_str(&b).p);
    for (int i = 0; i < 10000; i++)
        sld_buf_addf(&b, "%d,", i % 10);
    assert_int_equal(b.n, 20000);
    for (size_t i = 0; i < b.n; i += 2)
        assert_true(b.p[i] == (char)('0' + i / 2 % 10) && b.p[i + 1] == ',');
    assert_false(b.full);
    sld_buf_reset(&b);
    assert_int_equal(b.n, 0);
    sld_buf_add(&b, S("a\0b"));
    sld_buf_addz(&b, "cd");
    sld_buf_addz(&b, NULL);
    sld_buf_addc(&b, 'e');
    assert_true(sld_str_eq(sld_buf_str(&b), S("a\0bcde")));
    sld_buf_consume(&b, 4);
    assert_true(sld_str_eq(sld_buf_str(&b), S("de")));
    sld_buf_consume(&b, 2);
    assert_int_equal(b.n, 0);
    sld_buf_fini(&b);
    sld_buf_fini(&b);
    sld_buf_fini(NULL);
}

static void test_buffer_ceiling(void **unused)
{
    (void)unused;
    struct sld_buf b;
    sld_buf_init(&b, 5);
    sld_buf_add(&b, S("abc"));
    sld_buf_add(&b, S("def")); // would pass it: nothing of it
    assert_true(b.full);
    assert_true(sld_str_eq(sld_buf_str(&b), S("abc")));
    sld_buf_add(&b, S("de")); // exactly
    assert_true(sld_str_eq(sld_buf_str(&b), S("abcde")));
    assert_true(b.full); // it stays until a reset
    sld_buf_addc(&b, 'f');
    sld_buf_addf(&b, "%d", 7);
    assert_int_equal(b.n, 5);
    sld_buf_reset(&b);
    assert_false(b.full);
    assert_null(sld_buf_reserve(&b, SIZE_MAX));
    assert_null(sld_buf_reserve(&b, 6));
    assert_non_null(sld_buf_reserve(&b, 5));
    sld_buf_reset(&b);
    sld_buf_addf(&b, "%s", "abcde"); // its NUL is not counted
    assert_false(b.full);
    assert_true(sld_str_eq(sld_buf_str(&b), S("abcde")));
    sld_buf_fini(&b);
    assert_int_equal(b.max, 5); // usable again
    struct sld_buf none = {0};
    sld_buf_addc(&none, 'a');
    assert_true(none.full);
    sld_buf_fini(&none);
}

static void test_buffer_formats_at_every_border(void **unused)
{
    (void)unused;
    char want[600] = "";
    struct sld_buf b;
    sld_buf_init(&b, sizeof(want));
    for (size_t i = 0; i < 500; i++) { // the memory is full to the last byte at some of them
        want[i] = (char)('a' + i % 26);
        sld_buf_addf(&b, "%c", want[i]);
        assert_int_equal(b.n, i + 1);
    }
    assert_true(sld_str_eq(sld_buf_str(&b), sld_str_c(want)));
    sld_buf_fini(&b);
    for (size_t n = 250; n < 260; n++) {
        sld_buf_addf(&b, "%.*s", (int)n, want);
        assert_true(sld_str_eq(sld_buf_str(&b), sld_str_n(want, n)));
        sld_buf_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_finding),
        cmocka_unit_test(test_trimming),
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_whole_numbers),
        cmocka_unit_test(test_broken_numbers),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_cut_between_characters),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_buffer_grows),
        cmocka_unit_test(test_buffer_ceiling),
        cmocka_unit_test(test_buffer_formats_at_every_border),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

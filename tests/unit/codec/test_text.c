// Base64, durations, names, addresses, string formats, regular expressions.
#include "support.h"

#include "codec/format.h"
#include "codec/regex.h"
#include "codec/text.h"

static void assert_base64(struct fixture *f, const char *text, const char *expected)
{
    struct sld_str out;
    bool ok = sld_base64_decode(&f->a, sld_str_c(text), &out);
    assert_int_equal(ok, expected != NULL);
    if (expected)
        assert_true(sld_str_eq(out, sld_str_c(expected)));
}

static void test_base64(void **state)
{
    struct fixture *f = *state;
    static const char *const pairs[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(pairs); i++) {
        assert_true(
            sld_str_eq(sld_base64_encode(&f->a, sld_str_c(pairs[i][0])), sld_str_c(pairs[i][1])));
        assert_base64(f, pairs[i][1], pairs[i][0]);
    }
    assert_base64(f, "Zm9vYg", "foob");
    assert_base64(f, "Zm9v\r\nYg==\n", "foob");
    assert_base64(f, "_-8", "\xff\xef");
    static const char *const bad[] = {"Z", "Zg=", "Zg===", "Zg==Zg==", "Z*==", "Zm9v=", "="};
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++)
        assert_base64(f, bad[i], NULL);
    assert_true(sld_str_eq(sld_hex_encode(&f->a, SLD_STR("\x00\xff\x1a")), SLD_STR("00ff1a")));
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t s;
        int32_t ns;
    } good[] = {
        {"0", 0, 0},
        {"1s", 1, 0},
        {"1.5s", 1, 500000000},
        {"-1.5s", -1, -500000000},
        {"+2m", 120, 0},
        {"1h30m", 5400, 0},
        {"500ms", 0, 500000000},
        {".5s", 0, 500000000},
        {"1.s", 1, 0},
        {"1500000us", 1, 500000000},
        {"1\xc2\xb5s1ns", 0, 1001},
        {"0.000000001s", 0, 1},
        {"1.5h", 5400, 0},
        {"999ms2ms", 1, 1000000},
        {"315576000000s", INT64_C(315576000000), 0},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(good); i++) {
        int64_t s;
        int32_t ns;
        if (!sld_duration_parse(sld_str_c(good[i].text), &s, &ns) || s != good[i].s ||
            ns != good[i].ns)
            fail_msg("%s", good[i].text);
    }
    static const char *const bad[] = {"",
                                      "1",
                                      "s",
                                      "1x",
                                      "1 s",
                                      "--1s",
                                      "1s ",
                                      "-",
                                      ".s",
                                      "315576000001s",
                                      "99999999999999999999s",
                                      "87660001h",
                                      "315576000000s1ns",
                                      "1.2.3s"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        int64_t s;
        int32_t ns;
        if (sld_duration_parse(sld_str_c(bad[i]), &s, &ns))
            fail_msg("%s", bad[i]);
    }
}

static void test_formats(void **state)
{
    (void)state;
    static const struct {
        const char *format, *good, *bad;
    } cases[] = {
        {"http_header_name", ":path", "a b"},
        {"http_header_name", "X-y_1", "a:"},
        {"http_header_name_loose", "a b", "a\n"},
        {"http_header_value", "a\tb \xc3\xa9", "a\x01"},
        {"http_header_value_loose", "a\x01", "a\r"},
        {"ip", "::1", "1.2.3"},
        {"ipv4", "1.2.3.4", "::1"},
        {"ipv6", "fe80::1", "1.2.3.4"},
        {"cidr", "10.0.0.0/8", "10.0.0.0/33"},
        {"cidr", "::/128", "::"},
        {"dns_name", "A_b.example.", "a..b"},
        {"dns_name", "x", "-a"},
        {"host", "10.0.0.1", "a b"},
        {"object_name", "a.b-c", "A"},
        {"object_name", "vault:kv/A_b#c", "vault:kv//b"},
        {"dns1123", "a.b-c", "A"},
        {"dns1123", "0", "a-"},
        {"domain", "*", "a*b"},
        {"domain", "*.example.com", "*.*"},
        {"domain", "*-x.example.com:8080", "a:0"},
        {"domain", "example.*", "a b"},
        {"domain", "[::1]:80", "[x]"},
        {"regex", "a(b|c)*", "a("},
        {"duration", "1m", "1"},
        {"base64", "aGk=", "a"},
        {"uri", "http://x/y", "x/y"},
        {"uuid", "01234567-89ab-cdef-0123-456789ABCDEF", "01234567-89ab-cdef-0123-456789ABCDEG"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        assert_true(sld_format_known(cases[i].format));
        if (sld_format_check(cases[i].format, sld_str_c(cases[i].good)))
            fail_msg("%s: %s", cases[i].format, cases[i].good);
        if (!sld_format_check(cases[i].format, sld_str_c(cases[i].bad)))
            fail_msg("%s: %s", cases[i].format, cases[i].bad);
        assert_null(sld_format_check(cases[i].format, SLD_STR("")));
    }
    assert_false(sld_format_known("no such format"));
}

static void test_regex(void **state)
{
    struct fixture *f = *state;
    struct sld_regex *r = sld_regex_create(SLD_STR("/a(b|c)(d)?"), &f->err);
    assert_non_null(r);
    assert_true(sld_regex_match(r, SLD_STR("/abd")));
    assert_false(sld_regex_match(r, SLD_STR("/abdx")));
    assert_int_equal(sld_regex_groups(r), 2);
    sld_regex_destroy(r);
    sld_regex_destroy(NULL);
    assert_null(sld_regex_create(SLD_STR("a(?=b)"), &f->err));
    assert_non_null(strstr(f->err.msg, "(?="));
    // The pattern and size that were measured with a real Envoy.
    r = sld_regex_create(SLD_STR("/api/(v[0-9]+)/(users|orders|items)/([a-zA-Z0-9_-]{1,36})/?$"),
                         &f->err);
    assert_int_equal(sld_regex_program_size(r), 217);
    sld_regex_destroy(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_base64), TEST(test_durations), TEST(test_formats),
                                       TEST(test_regex)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

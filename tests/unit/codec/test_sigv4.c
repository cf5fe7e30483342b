// Signature Version 4, against cases of AWS's published test suite.
#include "codec/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S SLD_STR

static const struct sld_sigv4 suite = {
    .access_key = SLD_STR_INIT("AKIDEXAMPLE"),
    .secret_key = SLD_STR_INIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    .region = SLD_STR_INIT("us-east-1"),
    .service = SLD_STR_INIT("service"),
    .method = SLD_STR_INIT("GET"),
    .host = SLD_STR_INIT("example.amazonaws.com"),
    .path = SLD_STR_INIT("/"),
    .body = SLD_STR_INIT(""),
    .time_s = 1440938160, // 20150830T123600Z
};

static struct sld_str value(const struct sld_sigv4_header *h, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (sld_str_eq(h[i].name, sld_str_c(name)))
            return h[i].value;
    }
    return SLD_STR_NONE;
}

static void check(const struct sld_sigv4 *s, const char *names, const char *signature)
{
    struct sld_arena a = {0};
    struct sld_sigv4_header *h;
    size_t n = sld_sigv4_sign(&a, s, &h);
    struct sld_str want =
        sld_arena_fmt(&a,
                      "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                      "SignedHeaders=%s, Signature=%s",
                      names, signature);
    struct sld_str got = value(h, n, "authorization");
    if (!sld_str_eq(got, want))
        fail_msg("%.*s", SLD_FMT(got));
    assert_true(sld_str_eq(value(h, n, "x-amz-date"), S("20150830T123600Z")));
    assert_true(sld_str_eq(value(h, n, "host"), S("example.amazonaws.com")));
    sld_arena_fini(&a);
}

static void test_get_vanilla(void **unused)
{
    (void)unused;
    check(&suite, "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

static void test_get_with_query(void **unused)
{
    (void)unused;
    struct sld_sigv4 s = suite;
    s.query = S("Param1=value1&Param2=value2");
    check(&s, "host;x-amz-date", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

static void test_post_form(void **unused)
{
    (void)unused;
    const struct sld_sigv4_header type[] = {{S("content-type"), S("application/x-www-form-urlencoded")}};
    struct sld_sigv4 s = suite;
    s.method = S("POST");
    s.headers = type;
    s.header_count = 1;
    s.body = S("Param1=value1");
    check(&s, "content-type;host;x-amz-date",
          "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
}

static void test_post_header_order(void **unused)
{
    (void)unused;
    const struct sld_sigv4_header own[] = {{S("my-header1"), S("  value1 ")}};
    struct sld_sigv4 s = suite;
    s.method = S("POST");
    s.headers = own;
    s.header_count = 1;
    check(&s, "host;my-header1;x-amz-date",
          "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c");
}

static void test_session_token_is_signed(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    struct sld_sigv4 s = suite;
    struct sld_sigv4_header *h;
    s.session_token = S("token/1");
    size_t n = sld_sigv4_sign(&a, &s, &h);
    assert_int_equal(n, 4);
    assert_true(sld_str_eq(value(h, n, "x-amz-security-token"), S("token/1")));
    assert_true(sld_str_find(value(h, n, "authorization"),
                             S("SignedHeaders=host;x-amz-date;x-amz-security-token,")) > 0);
    sld_arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_vanilla),       cmocka_unit_test(test_get_with_query),
        cmocka_unit_test(test_post_form),         cmocka_unit_test(test_post_header_order),
        cmocka_unit_test(test_session_token_is_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Formats with Envoy's %...% operators.
#include "option_world.h"

#include "translate/option.h"

static bool takes(const char *text, enum tr_format_place place)
{
    struct sld_arena a = {0};
    struct sld_report r = {.arena = &a};
    bool ok = tr_check_format(&r, SLD_STR("f"), sld_str_c(text), place);
    assert_int_equal(r.errors, ok ? 0 : 1);
    sld_arena_fini(&a);
    return ok;
}

static void test_good(void **state)
{
    (void)state;
    // Each was tried with Envoy 1.40.
    static const char *const good[] = {
        "",
        "plain",
        "50%%",
        "%%%PROTOCOL%",
        "%PROTOCOL%",
        "%REQ(x)%%REQ(y)%",
        "%REQ(x?:path):20%",
        "%REQ(a%b)%",
        "%START_TIME%",
        "%START_TIME(%Y-%m-%d)%",
        "%START_TIME(%Y)x)%",
        "%CEL(size(request.path) > 3)%",
        "%PATH(WQ)%",
        "%PATH:5%",
        "%GRPC_STATUS(NUMBER)%",
        "%COALESCE({\"operators\":[\"REQUESTED_SERVER_NAME\"]})%",
        "%FILTER_STATE(a)%",
        "%FILTER_STATE(a:PLAIN)%",
        "%REQUESTED_SERVER_NAME%",
        "%REQUESTED_SERVER_NAME(SNI_FIRST:ORIG)%",
        "%UPSTREAM_METADATA([\"a\",\"b\"])%",
        "%ENVIRONMENT(HOME):5%",
        "%REQ(x):0%",
        "a %RESPONSE_CODE% b %DURATION%\n",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(good); i++) {
        if (!takes(good[i], TR_FORMAT_LOG) || !takes(good[i], TR_FORMAT_HEADER))
            fail_msg("%s", good[i]);
    }
    assert_true(takes("%REQ_WITHOUT_QUERY(:path)%", TR_FORMAT_LOG));
    assert_false(takes("%REQ_WITHOUT_QUERY(:path)%", TR_FORMAT_HEADER));
    assert_true(takes("%PER_REQUEST_STATE(x)%", TR_FORMAT_HEADER));
    assert_false(takes("%PER_REQUEST_STATE(x)%", TR_FORMAT_LOG));
}

static void test_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "%",
        "50%",
        "50% off",
        "%RESP(a?b?c)%",
        "%FILTER_STATE(a:B)%",
        "%REQUESTED_SERVER_NAME(X:Y)%",
        "100% of %PROTOCOL%",
        "%%%",
        "%NOPE%",
        "%protocol%",
        "%REQ%",
        "%REQ()%",
        "%REQ(x%",
        "%REQ(x)",
        "%REQ(x):b%",
        "%REQ(x):%",
        "%PROTOCOL(x)%",
        "%PROTOCOL:3%",
        "%REQ(a b)%",
        "%REQ(a)b)%",
        "%START_TIME:3%",
        "%DYNAMIC_METADATA%",
        "%REQ(a\nb)%",
        "%REQ(a):99999999999999999999%",
        "%()%",
        "%PROTOCOL",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        if (takes(bad[i], TR_FORMAT_LOG) || takes(bad[i], TR_FORMAT_HEADER))
            fail_msg("%s", bad[i]);
    }
}

static void test_literal(void **state)
{
    (void)state;
    struct sld_arena a = {0};
    assert_true(sld_str_eq(tr_format_literal(&a, SLD_STR("plain")), SLD_STR("plain")));
    struct sld_str s = tr_format_literal(&a, SLD_STR("50%:%REQ(x)%"));
    assert_true(sld_str_eq(s, SLD_STR("50%%:%%REQ(x)%%")));
    assert_true(takes(sld_arena_cstr(&a, s), TR_FORMAT_HEADER));
    sld_arena_fini(&a);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const good[] = {"", "/", "/a/b", "/a.b/..c", "/%20x", "/a:b@c,d;e=f"};
    static const char *const bad[] = {"//",   "/a/./b", "/a/../b", "/a/..", "/a/.", "/%2f", "/%2F",
                                      "/a#b", "/a b",   "/a?b",    "/\"",   "/%2",  "/%zz"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(good); i++)
        assert_null(tr_path_problem(sld_str_c(good[i])));
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        if (!tr_path_problem(sld_str_c(bad[i])))
            fail_msg("%s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_literal),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

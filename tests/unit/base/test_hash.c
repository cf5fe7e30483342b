// Hashes and the text of times.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

static void test_hashes_are_the_same_on_every_machine(void **unused)
{
    (void)unused;
    // XXH3's published value for no bytes.
    struct sld_hash empty = sld_hash_bytes(SLD_STR(""));
    assert_true(sld_hash_eq(empty, (struct sld_hash){0x6001c324468d497f, 0x99aa06d3014798d8}));
    assert_true(sld_hash_eq(sld_hash_bytes(SLD_STR_NONE), empty));
    assert_false(sld_hash_eq(sld_hash_bytes(SLD_STR("a")), sld_hash_bytes(SLD_STR("b"))));
    assert_false(sld_hash_eq((struct sld_hash){1, 2}, (struct sld_hash){1, 3}));
    assert_false(sld_hash_eq((struct sld_hash){1, 2}, (struct sld_hash){2, 2}));
    assert_true(sld_hash_zero((struct sld_hash){0}));
    assert_false(sld_hash_zero((struct sld_hash){0, 1}));
    assert_false(sld_hash_zero((struct sld_hash){1, 0}));
}

static void test_mixing_has_an_order(void **unused)
{
    (void)unused;
    struct sld_hash a = {1, 2}, b = {3, 4};
    assert_true(sld_hash_eq(sld_hash_mix(a, b), sld_hash_mix(a, b)));
    assert_false(sld_hash_eq(sld_hash_mix(a, b), sld_hash_mix(b, a)));
    assert_false(sld_hash_eq(sld_hash_mix(a, a), (struct sld_hash){0}));
}

static struct sld_hash of_parts(const struct sld_str *parts, size_t n)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    for (size_t i = 0; i < n; i++)
        sld_hasher_add(&h, parts[i]);
    return sld_hasher_done(&h);
}

static void test_streams_tell_where_parts_end(void **unused)
{
    (void)unused;
    const struct sld_str one[] = {SLD_STR("ab"), SLD_STR("c")},
                         two[] = {SLD_STR("a"), SLD_STR("bc")}, empty[] = {SLD_STR("")},
                         absent[] = {SLD_STR_NONE};
    assert_true(sld_hash_eq(of_parts(one, 2), of_parts(one, 2)));
    assert_false(sld_hash_eq(of_parts(one, 2), of_parts(two, 2)));
    assert_false(sld_hash_eq(of_parts(empty, 1), of_parts(absent, 1)));
    assert_false(sld_hash_eq(of_parts(empty, 1), of_parts(empty, 0)));
}

static void test_streams_of_any_length(void **unused)
{
    (void)unused;
    uint64_t all[300];
    for (size_t n = 0; n < SLD_ARRAY_LEN(all); n++) {
        struct sld_hasher h;
        sld_hasher_init(&h);
        for (size_t i = 0; i < n; i++)
            sld_hasher_add_u64(&h, all[i]);
        struct sld_str bytes = {(const char *)all, n * sizeof(all[0])};
        assert_true(sld_hash_eq(sld_hasher_done(&h), sld_hash_bytes(bytes)));
        all[n] = n * 0x9e3779b97f4a7c15U;
    }
}

static void test_text_of_hashes(void **unused)
{
    (void)unused;
    char text[17];
    sld_hash_text((struct sld_hash){0xabc, 7}, text);
    assert_string_equal(text, "0000000000000abc");
    sld_hash_text((struct sld_hash){UINT64_MAX, 0}, text);
    assert_string_equal(text, "ffffffffffffffff");
}

static void test_hashes_of_tables(void **unused)
{
    (void)unused;
    assert_true(sld_hash64(SLD_STR("a")) == sld_hash64(SLD_STR("a")));
    assert_true(sld_hash64(SLD_STR("a")) != sld_hash64(SLD_STR("b")));
    assert_true(sld_hash64(SLD_STR_NONE) == sld_hash64(SLD_STR("")));
}

static void test_text_of_times(void **unused)
{
    (void)unused;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {-1000, "1969-12-31T23:59:59.000Z"},
        {1795510800000, "2026-11-24T09:00:00.000Z"},
        {951827696789, "2000-02-29T12:34:56.789Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        char text[32];
        sld_time_text(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_clocks(void **unused)
{
    (void)unused;
    uint64_t before = sld_mono_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = sld_mono_ns();
        assert_true(now >= before);
        before = now;
    }
    assert_true(sld_wall_ms() > 1700000000000); // milliseconds, of this century
    assert_true(sld_wall_ms() < 4000000000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hashes_are_the_same_on_every_machine),
        cmocka_unit_test(test_mixing_has_an_order),
        cmocka_unit_test(test_streams_tell_where_parts_end),
        cmocka_unit_test(test_streams_of_any_length),
        cmocka_unit_test(test_text_of_hashes),
        cmocka_unit_test(test_hashes_of_tables),
        cmocka_unit_test(test_text_of_times),
        cmocka_unit_test(test_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Numbers that chance gives, within their bounds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base.h"

enum { TRIES = 1000 };

static void test_below(void **state)
{
    bool seen[3] = {false};
    (void)state;
    for (int i = 0; i < TRIES; i++) {
        uint64_t n = sld_random_below(3);
        assert_true(n < 3);
        seen[n] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    assert_int_equal(sld_random_below(1), 0);
}

static void test_jitter(void **state)
{
    uint64_t least = UINT64_MAX, most = 0;
    (void)state;
    for (int i = 0; i < TRIES; i++) {
        uint64_t n = sld_jitter(1000);
        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    assert_true(least >= 900 && most <= 1000);
    assert_true(most - least > 50);
    assert_int_equal(sld_jitter(0), 0);
}

static void test_backoff(void **state)
{
    static const struct {
        unsigned failures;
        uint64_t middle;
    } cases[] = {{0, 100}, {1, 100}, {2, 200}, {3, 400}, {4, 500}, {5, 500}, {UINT32_MAX, 500}};
    (void)state;
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        uint64_t m = cases[i].middle, least = UINT64_MAX, most = 0;
        for (int k = 0; k < TRIES; k++) {
            uint64_t n = sld_backoff(cases[i].failures, 100, 500);
            least = n < least ? n : least;
            most = n > most ? n : most;
        }
        assert_true(least >= m - m / 4 && most <= m + m / 4);
        assert_true(most - least > m / 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_below),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

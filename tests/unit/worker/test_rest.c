// When a configuration of a plugin rests: when calls that breach take a loop's time, whatever else goes on.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/rest.h"

enum { BEGIN_MS = 1000000 };

static uint64_t ns(uint64_t ms)
{
    return ms * 1000000;
}

// COUNT breaches of EACH ms, every EVERY ms from *NOW on; how many there were when it began to rest, or 0.
static unsigned breach(struct wk_rest *r, uint64_t *now, unsigned count, unsigned each, unsigned every)
{
    for (unsigned i = 1; i <= count; i++) {
        *now += ns(every);
        if (wk_rest_breach(r, *now, ns(each)))
            return i;
    }
    return 0;
}

static void a_quarter_of_the_time(void **state)
{
    (void)state;
    struct wk_rest r = {0};
    uint64_t now = ns(BEGIN_MS);
    // An attacker's cheap breaches cost others nothing: 10 ms, ten a second, for ever.
    assert_int_equal(breach(&r, &now, 1000, 10, 100), 0);
    assert_false(wk_rest_is(&r, now));
    // Less than a quarter: 100 ms each half second.
    r = (struct wk_rest){0};
    assert_int_equal(breach(&r, &now, 1000, 100, 500), 0);
    // More than that: 100 ms each 200 ms.
    r = (struct wk_rest){0};
    assert_int_equal(breach(&r, &now, 1000, 100, 200), 10);
    assert_true(wk_rest_is(&r, now));
    assert_true(wk_rest_is(&r, now + ns(WK_REST_MS) - 1));
    assert_false(wk_rest_is(&r, now + ns(WK_REST_MS)));
}

static void a_few_are_never_enough(void **state)
{
    (void)state;
    struct wk_rest r = {0};
    uint64_t now = ns(BEGIN_MS);
    assert_int_equal(breach(&r, &now, 100, 1000, 1000), 3);
    r = (struct wk_rest){0};
    assert_int_equal(breach(&r, &now, 2, 1000, 1000), 0);
    now += ns(WK_REST_WINDOW_MS); // forgotten by then
    assert_int_equal(breach(&r, &now, 2, 1000, 1000), 0);
}

static void it_rests_longer_each_time(void **state)
{
    (void)state;
    static const unsigned want_s[] = {5, 10, 20, 40, 80, 80};
    struct wk_rest r = {0};
    uint64_t now = ns(BEGIN_MS);
    for (unsigned i = 0; i < SLD_ARRAY_LEN(want_s); i++) {
        assert_int_equal(breach(&r, &now, 100, 200, 200), 5);
        assert_int_equal(r.until_ns - now, ns(want_s[i] * 1000));
        now = r.until_ns;
    }
    now += ns(WK_REST_FORGET_MS) + ns(2000);
    assert_int_equal(breach(&r, &now, 100, 200, 200), 5);
    assert_int_equal(r.until_ns - now, ns(5000));
}

// Calls that began before it rested, and end then, change nothing.
static void late_breaches(void **state)
{
    (void)state;
    struct wk_rest r = {0};
    uint64_t now = ns(BEGIN_MS);
    assert_int_equal(breach(&r, &now, 100, 200, 200), 5);
    uint64_t until = r.until_ns;
    assert_int_equal(breach(&r, &now, 10, 200, 200), 0);
    assert_int_equal(r.until_ns, until);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quarter_of_the_time),
        cmocka_unit_test(a_few_are_never_enough),
        cmocka_unit_test(it_rests_longer_each_time),
        cmocka_unit_test(late_breaches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

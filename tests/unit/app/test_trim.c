// Memory is given back after many steps, when no more of them come.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <malloc.h>

#include "app/trim.h"

static struct {
    struct sld_loop *loop;
    struct sld_timer *timer;
    struct trim *trim;
    unsigned left;       // rounds to come
    unsigned steps;      // of each
    unsigned left_then;  // when memory was given back
    unsigned times;
} w;

// In the place of libc's.
int malloc_trim(size_t pad)
{
    (void)pad;
    w.times++;
    w.left_then = w.left;
    sld_loop_stop(w.loop);
    return 1;
}

static void on_step(void *user)
{
    (void)user;
    trim_count(w.trim, w.steps);
    if (--w.left)
        sld_timer_start(w.timer, 100);
}

static void test_it_waits_for_the_last_steps(void **unused)
{
    (void)unused;
    w.loop = sld_loop_create("test");
    w.timer = sld_timer_create(w.loop, on_step, NULL);
    w.trim = trim_create(w.loop);
    w.steps = 3000;
    w.left = 12;
    sld_timer_start(w.timer, 0);
    sld_loop_run(w.loop);
    assert_int_equal(w.times, 1);
    assert_int_equal(w.left_then, 0);
    // A few steps are enough.
    w.steps = 1;
    w.left = 4;
    sld_timer_start(w.timer, 0);
    sld_loop_run(w.loop);
    assert_int_equal(w.times, 2);
    assert_int_equal(w.left_then, 0);
    trim_destroy(w.trim);
    trim_destroy(NULL);
    sld_timer_destroy(w.timer);
    sld_loop_destroy(w.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_it_waits_for_the_last_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// Packing: whatever goes in comes out, what repeats itself takes little, and who opens at one time shares.
#include "base/base.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void comes_back(struct sld_str in)
{
    struct sld_packed *p = sld_packed_create(in);
    if (!p)
        return;
    struct sld_str out;
    struct sld_obj *owner = sld_recipe_open(&p->recipe, &out);
    assert_int_equal(p->recipe.size, in.n);
    assert_int_equal(out.n, in.n);
    assert_memory_equal(out.p, in.p, in.n);
    assert_true(p->room < in.n);
    SLD_UNREF(owner);
    SLD_UNREF(p);
}

// Bytes of runs, repetitions near and far, and noise.
static struct sld_str make(struct sld_arena *a, unsigned seed)
{
    size_t n = 64 + (size_t)(rand_r(&seed) % (seed % 7 == 0 ? 300000 : 4000)), at = 0;
    char *p = sld_arena_alloc(a, n);
    while (at < n) {
        size_t length = 1 + (size_t)rand_r(&seed) % (rand_r(&seed) % 9 ? 40 : 700);
        if (length > n - at)
            length = n - at;
        size_t back = at ? 1 + (size_t)rand_r(&seed) % at : 0;
        switch (rand_r(&seed) % 4) {
        case 0:
            memset(p + at, rand_r(&seed) % 3, length);
            break;
        case 1:
            for (size_t i = 0; i < length; i++)
                p[at + i] = (char)rand_r(&seed);
            break;
        default:
            for (size_t i = 0; i < length; i++)
                p[at + i] = back ? p[at + i - back] : 0;
            break;
        }
        at += length;
    }
    return sld_str_n(p, n);
}

static void test_what_goes_in_comes_out(void **unused)
{
    (void)unused;
    size_t packed = 0;
    for (unsigned seed = 1; seed <= 600; seed++) {
        struct sld_arena a = {0};
        struct sld_str in = make(&a, seed);
        struct sld_packed *p = sld_packed_create(in);
        packed += p != NULL;
        SLD_UNREF(p);
        for (size_t cut = 0; cut < 20 && cut < in.n; cut++)
            comes_back(sld_str_sub(in, 0, in.n - cut));
        sld_arena_fini(&a);
    }
    assert_in_range(packed, 100, 600);
}

static void test_what_is_too_far_is_not_referred_to(void **unused)
{
    (void)unused;
    char text[70000] = {0};
    unsigned seed = 3;
    for (size_t i = 0; i < 64; i++)
        text[i] = text[sizeof(text) - 64 + i] = (char)(rand_r(&seed) >> 7 | 1);
    comes_back(sld_str_n(text, sizeof(text)));
    comes_back(sld_str_n(text, sizeof(text) - 1));
}

static void test_what_repeats_itself_takes_little(void **unused)
{
    (void)unused;
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++)
        sld_buf_addf(&b, "\x0a\x1f\x0a\x1d address 10.%d.%d.1 port %d of node-%d, solder.consul, id svc-%d", i / 250, i % 250,
                     9000 + i % 3, i, i * 7);
    struct sld_packed *p = sld_packed_create(sld_buf_str(&b));
    assert_non_null(p);
    assert_in_range(p->room, 1, b.n / 2);
    SLD_UNREF(p);
    comes_back(sld_buf_str(&b));
    sld_buf_fini(&b);
}

static void test_what_does_not_repeat_itself_is_not_packed(void **unused)
{
    (void)unused;
    char noise[4096];
    unsigned seed = 5;
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)(rand_r(&seed) >> 7);
    assert_null(sld_packed_create(sld_str_n(noise, sizeof(noise))));
    assert_null(sld_packed_create(SLD_STR("")));
    assert_null(sld_packed_create(SLD_STR("abc")));
}

static struct sld_packed *ones(size_t n)
{
    char *p = sld_xalloc(n);
    memset(p, 1, n);
    struct sld_packed *out = sld_packed_create(sld_str_n(p, n));
    sld_xfree(p);
    assert_non_null(out);
    return out;
}

static void test_who_opens_at_one_time_shares(void **unused)
{
    (void)unused;
    struct sld_packed *p = ones(1000), *mine = p;
    struct sld_str a, b;
    struct sld_obj *first = sld_recipe_open(&p->recipe, &a), *second = sld_recipe_open(&p->recipe, &b);
    assert_ptr_equal(a.p, b.p);
    SLD_UNREF(mine); // who holds the bytes needs nothing else
    SLD_UNREF(first);
    for (size_t i = 0; i < b.n; i++)
        assert_int_equal(b.p[i], 1);
    SLD_UNREF(second);
}

static void test_what_was_let_go_is_made_again(void **unused)
{
    (void)unused;
    struct sld_packed *p = ones(1000);
    struct sld_str s;
    struct sld_obj *o = sld_recipe_open(&p->recipe, &s);
    SLD_UNREF(o);
    void *others[16];
    for (size_t i = 0; i < SLD_ARRAY_LEN(others); i++)
        others[i] = memset(sld_xalloc(1001 + i * 8), 2, 1001 + i * 8); // in its place
    o = sld_recipe_open(&p->recipe, &s);
    for (size_t i = 0; i < s.n; i++)
        assert_int_equal(s.p[i], 1);
    SLD_UNREF(o);
    for (size_t i = 0; i < SLD_ARRAY_LEN(others); i++)
        sld_xfree(others[i]);
    SLD_UNREF(p);
}

static void *open_often(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        struct sld_str s;
        struct sld_obj *o = sld_recipe_open(arg, &s);
        if (s.n != 300 || s.p[0] != 1 || s.p[299] != 1)
            return arg;
        SLD_UNREF(o);
    }
    return NULL;
}

static void test_many_threads_open(void **unused)
{
    (void)unused;
    struct sld_packed *p = ones(300);
    pthread_t threads[4];
    for (size_t i = 0; i < SLD_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, open_often, p), 0);
    for (size_t i = 0; i < SLD_ARRAY_LEN(threads); i++) {
        void *bad;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
    assert_int_equal(p->recipe.obj.refs, 1);
    SLD_UNREF(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_goes_in_comes_out),
        cmocka_unit_test(test_what_is_too_far_is_not_referred_to),
        cmocka_unit_test(test_what_repeats_itself_takes_little),
        cmocka_unit_test(test_what_was_let_go_is_made_again),
        cmocka_unit_test(test_what_does_not_repeat_itself_is_not_packed),
        cmocka_unit_test(test_who_opens_at_one_time_shares),
        cmocka_unit_test(test_many_threads_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

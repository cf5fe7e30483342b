// Maps, interned strings, lists.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/base.h"

static uint64_t state;

static unsigned pick(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 11) % n);
}

static struct sld_str key_of(unsigned i)
{
    static char text[32];
    int n = snprintf(text, sizeof(text), "key/%u", i);
    return sld_str_n(text, (size_t)n);
}

static void *value_of(uintptr_t v)
{
    return (void *)v;
}

// ---- Byte strings ----

enum { KEYS = 500, STEPS = 20000 };

static void test_map_does_as_an_array_would(void **unused)
{
    (void)unused;
    uintptr_t model[KEYS] = {0};
    size_t live = 0;
    struct sld_map m = {0};
    state = 88172645463325252U;
    for (uintptr_t step = 1; step <= STEPS; step++) {
        unsigned k = pick(KEYS);
        if (pick(5) < 3) {
            assert_ptr_equal(sld_map_set(&m, key_of(k), value_of(step)), value_of(model[k]));
            live += !model[k];
            model[k] = step;
        } else {
            assert_ptr_equal(sld_map_remove(&m, key_of(k)), value_of(model[k]));
            live -= model[k] != 0;
            model[k] = 0;
        }
        assert_int_equal(sld_map_count(&m), live);
        k = pick(KEYS);
        assert_ptr_equal(sld_map_get(&m, key_of(k)), value_of(model[k]));
        assert_int_equal(sld_map_has(&m, key_of(k)), model[k] != 0);
    }
    sld_map_fini(&m);
    assert_int_equal(sld_map_count(&m), 0);
    assert_null(sld_map_get(&m, key_of(1)));
    sld_map_fini(NULL);
}

static void test_map_keys_are_bytes_and_copied(void **unused)
{
    (void)unused;
    struct sld_map m = {0};
    char text[] = "name";
    sld_map_set(&m, sld_str_c(text), value_of(1));
    text[0] = 'g';
    assert_ptr_equal(sld_map_get(&m, SLD_STR("name")), value_of(1));
    assert_null(sld_map_get(&m, SLD_STR("game")));
    sld_map_set(&m, SLD_STR("a\0b"), value_of(2));
    sld_map_set(&m, SLD_STR("a\0c"), value_of(3));
    assert_ptr_equal(sld_map_get(&m, SLD_STR("a\0b")), value_of(2));
    assert_null(sld_map_get(&m, SLD_STR("a")));
    sld_map_set(&m, SLD_STR(""), value_of(4));
    assert_ptr_equal(sld_map_get(&m, SLD_STR_NONE), value_of(4));
    sld_map_fini(&m);
}

static void test_map_tells_a_null_value_from_none(void **unused)
{
    (void)unused;
    struct sld_map m = {0};
    sld_map_set(&m, SLD_STR("a"), NULL);
    assert_true(sld_map_has(&m, SLD_STR("a")));
    assert_false(sld_map_has(&m, SLD_STR("b")));
    assert_int_equal(sld_map_count(&m), 1);
    sld_map_fini(&m);
}

static void test_map_iteration_allows_removal(void **unused)
{
    (void)unused;
    struct sld_map m = {0};
    for (unsigned i = 0; i < 100; i++)
        sld_map_set(&m, key_of(i), value_of(i + 1));
    uintptr_t sum = 0;
    size_t at = 0;
    for (struct sld_map_slot *s; (s = sld_map_next(&m, &at));) {
        uintptr_t v = (uintptr_t)s->value;
        sum += v;
        if (v % 2)
            sld_map_remove(&m, s->key);
    }
    assert_int_equal(sum, 5050); // each once
    assert_int_equal(sld_map_count(&m), 50);
    assert_false(sld_map_has(&m, key_of(0)));
    assert_true(sld_map_has(&m, key_of(1)));
    sld_map_fini(&m);
}

static void test_map_sorted_keys(void **unused)
{
    (void)unused;
    struct sld_map m = {0};
    size_t n;
    struct sld_str *keys = sld_map_sorted_keys(&m, &n);
    assert_int_equal(n, 0);
    sld_xfree(keys);
    const char *const texts[] = {"b", "", "ab", "a", "\xff", "B"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(texts); i++)
        sld_map_set(&m, sld_str_c(texts[i]), value_of(1));
    keys = sld_map_sorted_keys(&m, &n);
    const char *const want[] = {"", "B", "a", "ab", "b", "\xff"};
    assert_int_equal(n, SLD_ARRAY_LEN(want));
    for (size_t i = 0; i < n; i++)
        assert_string_equal(keys[i].p, want[i]);
    sld_xfree(keys);
    sld_map_fini(&m);
}

// ---- Integers ----

static uint64_t number_of(unsigned i)
{
    // Zero, the greatest, and numbers that differ in high bits alone.
    return i == 1 ? UINT64_MAX : (uint64_t)i << (i % 3 * 24);
}

static void test_umap_does_as_an_array_would(void **unused)
{
    (void)unused;
    uintptr_t model[KEYS] = {0};
    size_t live = 0;
    struct sld_umap m = {0};
    assert_null(sld_umap_get(&m, 0));
    assert_null(sld_umap_remove(&m, 0));
    state = 362436069U;
    for (uintptr_t step = 1; step <= STEPS; step++) {
        unsigned k = pick(KEYS);
        if (pick(5) < 3) {
            assert_ptr_equal(sld_umap_set(&m, number_of(k), value_of(step)), value_of(model[k]));
            live += !model[k];
            model[k] = step;
        } else {
            assert_ptr_equal(sld_umap_remove(&m, number_of(k)), value_of(model[k]));
            live -= model[k] != 0;
            model[k] = 0;
        }
        assert_int_equal(m.live, live);
        k = pick(KEYS);
        assert_ptr_equal(sld_umap_get(&m, number_of(k)), value_of(model[k]));
        assert_int_equal(sld_umap_has(&m, number_of(k)), model[k] != 0);
    }
    size_t at = 0, seen = 0;
    for (struct sld_umap_slot *s; (s = sld_umap_next(&m, &at)); seen++)
        sld_umap_remove(&m, s->key);
    assert_int_equal(seen, live);
    assert_int_equal(m.live, 0);
    sld_umap_fini(&m);
    sld_umap_fini(NULL);
}

// Keys that come and go do not make a map grow for ever.
static void test_maps_of_few_keys_stay_small(void **unused)
{
    (void)unused;
    struct sld_map m = {0};
    struct sld_umap u = {0};
    for (unsigned i = 0; i < 100000; i++) {
        sld_map_set(&m, key_of(i), value_of(1));
        sld_umap_set(&u, i, value_of(1));
        if (i >= 10) {
            assert_non_null(sld_map_remove(&m, key_of(i - 10)));
            assert_non_null(sld_umap_remove(&u, i - 10));
        }
    }
    assert_in_range(m.cap, 16, 64);
    assert_in_range(u.cap, 16, 64);
    sld_map_fini(&m);
    sld_umap_fini(&u);
}

// ---- Interned strings ----

static void test_intern_ids_are_stable(void **unused)
{
    (void)unused;
    struct sld_intern *in = sld_intern_create();
    assert_int_equal(sld_intern_find(in, SLD_STR("a")), 0);
    sld_id first = sld_intern_id(in, SLD_STR("a"));
    const char *text = sld_intern_str(in, first).p;
    assert_int_not_equal(first, 0);
    sld_id ids[3000];
    for (unsigned i = 0; i < SLD_ARRAY_LEN(ids); i++)
        ids[i] = sld_intern_id(in, key_of(i));
    for (unsigned i = 0; i < SLD_ARRAY_LEN(ids); i++) {
        assert_int_equal(sld_intern_id(in, key_of(i)), ids[i]);
        assert_int_equal(sld_intern_find(in, key_of(i)), ids[i]);
        assert_true(sld_str_eq(sld_intern_str(in, ids[i]), key_of(i)));
        assert_int_not_equal(ids[i], first);
    }
    char *wide = sld_xcalloc(1, 200001); // more than a chunk
    memset(wide, 'x', 200000);
    sld_id before = sld_intern_id(in, SLD_STR("before")), long_one = sld_intern_id(in, sld_str_n(wide, 200000)),
           behind = sld_intern_id(in, SLD_STR("behind"));
    assert_true(sld_str_eq(sld_intern_str(in, before), SLD_STR("before")));
    assert_true(sld_str_eq(sld_intern_str(in, long_one), sld_str_n(wide, 200000)));
    assert_true(sld_str_eq(sld_intern_str(in, behind), SLD_STR("behind")));
    sld_xfree(wide);
    assert_ptr_equal(sld_intern_str(in, first).p, text); // slices stay where they are
    sld_intern_destroy(in);
    sld_intern_destroy(NULL);
}

static void test_intern_takes_any_text(void **unused)
{
    (void)unused;
    static char big[200000];
    memset(big, 'x', sizeof(big));
    const struct sld_str texts[] = {SLD_STR(""),
                                    SLD_STR("a\0b"),
                                    SLD_STR("a\0c"),
                                    SLD_STR("a"),
                                    sld_str_n(big, sizeof(big)),
                                    sld_str_n(big, sizeof(big) - 1)};
    struct sld_intern *in = sld_intern_create();
    sld_id ids[SLD_ARRAY_LEN(texts)];
    for (size_t i = 0; i < SLD_ARRAY_LEN(texts); i++)
        ids[i] = sld_intern_id(in, texts[i]);
    for (size_t i = 0; i < SLD_ARRAY_LEN(texts); i++) {
        struct sld_str s = sld_intern_str(in, ids[i]);
        assert_true(sld_str_eq(s, texts[i]));
        assert_int_equal(s.p[s.n], 0);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(ids[i], ids[k]);
    }
    sld_intern_destroy(in);
}

// ---- Sets ----

struct named {
    bool in;
    char name[8];
};

static struct sld_str name_of(const void *item)
{
    return sld_str_c(((const struct named *)item)->name);
}

static void test_set_does_as_an_array_would(void **unused)
{
    (void)unused;
    enum { N = 200 };
    static struct named all[N];
    struct sld_set set = {.key = name_of};
    size_t count = 0;
    unsigned random = 7;
    assert_null(sld_set_get(&set, SLD_STR("0")));
    for (unsigned i = 0; i < N; i++)
        snprintf(all[i].name, sizeof(all[i].name), "%u", i);
    for (unsigned step = 0; step < 20000; step++) {
        random = random * 1103515245 + 12345;
        struct named *n = &all[random / 65536 % N];
        if (n->in)
            sld_set_remove(&set, n);
        else
            sld_set_add(&set, n);
        n->in = !n->in;
        count += n->in ? 1 : (size_t)-1;
        assert_int_equal(sld_set_count(&set), count);
        n = &all[random / 256 % N];
        assert_ptr_equal(sld_set_get(&set, sld_str_c(n->name)), n->in ? n : NULL);
    }
    size_t at = 0, seen = 0;
    for (struct named *n; (n = sld_set_next(&set, &at)); seen++) { // removing what is met is allowed
        assert_true(n->in);
        sld_set_remove(&set, n);
    }
    assert_int_equal(seen, count);
    assert_int_equal(sld_set_count(&set), 0);
    assert_true(set.cap <= 1024);
    sld_set_fini(&set);
}

// ---- Lists ----

struct item {
    struct sld_list in;
    int number;
};

static int numbers(const struct sld_list *l)
{
    int all = 0;
    SLD_LIST_EACH (it, l)
        all = all * 10 + SLD_CONTAINER_OF(it, struct item, in)->number;
    return all;
}

static void test_list_keeps_order(void **unused)
{
    (void)unused;
    struct sld_list l;
    struct item items[4];
    sld_list_init(&l);
    assert_true(sld_list_empty(&l));
    assert_int_equal(numbers(&l), 0);
    for (int i = 0; i < 4; i++) {
        items[i].number = i + 1;
        sld_list_push(&l, &items[i].in);
    }
    assert_int_equal(numbers(&l), 1234);
    sld_list_remove(&items[1].in);
    assert_true(sld_list_empty(&items[1].in));
    assert_int_equal(numbers(&l), 134);
    sld_list_remove(&items[1].in); // in no list: nothing happens
    sld_list_push(&l, &items[1].in);
    assert_int_equal(numbers(&l), 1342);
    SLD_LIST_EACH (it, &l)
        sld_list_remove(it);
    assert_true(sld_list_empty(&l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_does_as_an_array_would),
        cmocka_unit_test(test_map_keys_are_bytes_and_copied),
        cmocka_unit_test(test_map_tells_a_null_value_from_none),
        cmocka_unit_test(test_map_iteration_allows_removal),
        cmocka_unit_test(test_map_sorted_keys),
        cmocka_unit_test(test_umap_does_as_an_array_would),
        cmocka_unit_test(test_maps_of_few_keys_stay_small),
        cmocka_unit_test(test_intern_ids_are_stable),
        cmocka_unit_test(test_intern_takes_any_text),
        cmocka_unit_test(test_set_does_as_an_array_would),
        cmocka_unit_test(test_list_keeps_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// The memory libyaml has while it reads.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "codec/read.h"

enum { BLOCKS = 200, STEPS = 20000, SIZE_MAX_BYTES = 3000 };

static struct {
    unsigned char *p;
    size_t n;
} blocks[BLOCKS];

static void check(size_t i)
{
    assert_int_equal((uintptr_t)blocks[i].p % 16, 0);
    for (size_t k = 0; k < blocks[i].n; k++)
        assert_int_equal(blocks[i].p[k], (unsigned char)i);
}

static void fill(size_t i)
{
    assert_non_null(blocks[i].p);
    memset(blocks[i].p, (int)(unsigned char)i, blocks[i].n);
}

// What one asks for is his until he gives it back; random steps by a fixed seed.
static void test_blocks_are_kept_apart(void **unused)
{
    (void)unused;
    struct yaml_pool *pool = yaml_pool_enter();
    unsigned seed = 7;
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1103515245u + 12345;
        size_t i = (seed >> 8) % BLOCKS, n = (seed >> 16) % SIZE_MAX_BYTES;
        check(i);
        if (seed & 0x80) {
            yaml_pool_free(blocks[i].p);
            blocks[i].p = yaml_pool_malloc(n);
        } else {
            size_t kept = blocks[i].n < n ? blocks[i].n : n;
            blocks[i].p = yaml_pool_realloc(blocks[i].p, n);
            blocks[i].n = kept;
            check(i);
        }
        blocks[i].n = n;
        fill(i);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        check(i);
        yaml_pool_free(blocks[i].p);
    }
    yaml_pool_free(NULL);
    yaml_pool_leave(pool);
}

static void test_what_is_given_back_is_used_again(void **unused)
{
    (void)unused;
    struct yaml_pool *pool = yaml_pool_enter();
    void *p = yaml_pool_malloc(100);
    yaml_pool_free(p);
    assert_ptr_equal(yaml_pool_malloc(80), p);
    assert_ptr_equal(yaml_pool_realloc(p, 112), p); // there is room
    char *s = yaml_pool_strdup("word");
    assert_string_equal(s, "word");
    // More than a chunk, and more than anything.
    char *large = yaml_pool_malloc(5 * 1024 * 1024);
    assert_non_null(large);
    memset(large, 1, 5 * 1024 * 1024);
    assert_null(yaml_pool_malloc(SIZE_MAX / 2));
    assert_string_equal(s, "word");
    yaml_pool_leave(pool);
    // The next text has the same pool, empty.
    struct yaml_pool *again = yaml_pool_enter();
    assert_ptr_equal(again, pool);
    assert_ptr_equal(yaml_pool_malloc(100), p);
    yaml_pool_leave(again);
}

static void test_spares_are_given_back(void **unused)
{
    (void)unused;
    sld_doc_trim();
    struct yaml_pool *pool = yaml_pool_enter();
    char *p = yaml_pool_malloc(100);
    assert_non_null(p);
    memset(p, 1, 100);
    assert_int_equal(sld_doc_trim(), 0); // it is in use
    memset(p, 2, 100);
    yaml_pool_leave(pool);
    assert_true(sld_doc_trim() >= 100); // it waited for the next text
    assert_int_equal(sld_doc_trim(), 0);
    yaml_pool_leave(yaml_pool_enter()); // which has another
}

static void test_outside_it_is_the_heap(void **unused)
{
    (void)unused;
    char *p = yaml_pool_malloc(10);
    p = yaml_pool_realloc(p, 20);
    assert_non_null(p);
    free(p);
    p = malloc(10);
    yaml_pool_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_kept_apart),
        cmocka_unit_test(test_what_is_given_back_is_used_again),
        cmocka_unit_test(test_spares_are_given_back),
        cmocka_unit_test(test_outside_it_is_the_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

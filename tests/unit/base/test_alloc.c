// Arenas, their ceilings and growth; refcounted objects; what is wiped.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>

#include "base/base.h"

// In the place of libc's: what was there when it was wiped.
static char wiped[4096];
static size_t wiped_bytes;

void explicit_bzero(void *p, size_t n)
{
    assert_true(wiped_bytes + n <= sizeof(wiped));
    memcpy(wiped + wiped_bytes, p, n);
    wiped_bytes += n;
    memset(p, 0, n);
}

void __explicit_bzero_chk(void *p, size_t n, size_t size);
void __explicit_bzero_chk(void *p, size_t n, size_t size)
{
    (void)size;
    explicit_bzero(p, n);
}

static bool was_wiped(struct sld_str s)
{
    return sld_str_find(sld_str_n(wiped, wiped_bytes), s) >= 0;
}

static int forget_wiped(void **unused)
{
    (void)unused;
    wiped_bytes = 0;
    return 0;
}

// ---- Arenas ----

static bool all(const char *p, size_t n, char c)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != c)
            return false;
    }
    return true;
}

static void test_allocations_are_zeroed_aligned_and_apart(void **unused)
{
    (void)unused;
    enum { COUNT = 400 };
    static char *parts[COUNT];
    static size_t sizes[COUNT];
    struct sld_arena a;
    sld_arena_init(&a);
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = i % 7 == 0 ? 0 : i % 50 == 3 ? 300000 : i * 5;
        parts[i] = sld_arena_alloc(&a, sizes[i]);
        assert_int_equal((uintptr_t)parts[i] % 8, 0);
        assert_true(all(parts[i], sizes[i], 0));
        memset(parts[i], (int)(i % 100) + 1, sizes[i]);
        sld_arena_str(&a, SLD_STR("odd")); // what follows is aligned all the same
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_true(all(parts[i], sizes[i], (char)(i % 100 + 1)));
    sld_arena_fini(&a);
    assert_int_equal(a.used_bytes, 0);
    assert_int_equal(*(char *)sld_arena_alloc(&a, 1), 0); // usable again
    sld_arena_fini(&a);
    sld_arena_fini(NULL);
}

static void test_aligned_allocations(void **unused)
{
    (void)unused;
    for (size_t align = 16; align <= 64 * 1024; align *= 4) {
        char *p = sld_xalloc_aligned(align, 2 * align);
        assert_int_equal((uintptr_t)p % align, 0);
        memset(p, 1, 2 * align);
        sld_xfree(p);
    }
}

static void test_a_great_request_leaves_the_room_of_the_chunk(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    char *before = sld_arena_alloc(&a, 8);
    sld_arena_alloc(&a, 1 << 20);
    char *after = sld_arena_alloc(&a, 8);
    assert_ptr_equal(after, before + 8);
    sld_arena_fini(&a);
}

static void test_the_ceiling_counts_for_those_who_ask(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    assert_non_null(sld_arena_try_alloc(&a, 100000)); // none was set
    sld_arena_fini(&a);
    sld_arena_limit(&a, 1000);
    assert_non_null(sld_arena_try_alloc(&a, 600));
    assert_int_equal(a.over_limit, 0);
    assert_null(sld_arena_try_alloc(&a, 600));
    assert_int_equal(a.over_limit, 1);
    assert_null(sld_arena_try_alloc(&a, SIZE_MAX));
    assert_non_null(sld_arena_try_alloc(&a, 400)); // exactly
    assert_null(sld_arena_try_alloc(&a, 1));
    assert_non_null(sld_arena_alloc(&a, 5000)); // our own needs have none
    assert_null(sld_arena_try_alloc(&a, 1));
    sld_arena_fini(&a);
}

static void test_arrays_grow_and_keep_what_they_have(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    uint64_t *list = NULL;
    size_t n = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        SLD_PUSH(&a, list, n, i * i);
        char *between = sld_arena_alloc(&a, 16); // nobody else has its room
        memset(between, 0xee, 16);
    }
    assert_int_equal(n, 1000);
    for (uint64_t i = 0; i < n; i++)
        assert_int_equal(list[i], i * i);
    sld_arena_fini(&a);
}

static void test_texts_in_arenas(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    struct sld_str s = sld_arena_str(&a, sld_str_n("abcdef", 3));
    assert_int_equal(s.n, 3);
    assert_string_equal(s.p, "abc");
    assert_null(sld_arena_str(&a, SLD_STR_NONE).p);
    assert_non_null(sld_arena_str(&a, SLD_STR("")).p);
    assert_string_equal(sld_arena_cstr(&a, SLD_STR_NONE), "");
    assert_string_equal(sld_arena_cstr(&a, SLD_STR("x")), "x");
    s = sld_arena_fmt(&a, "%d-%s", 7, "seven");
    assert_string_equal(s.p, "7-seven");
    assert_int_equal(s.n, 7);
    s = sld_arena_fmt(&a, "%01000d", 7); // longer than any room on the stack
    assert_int_equal(s.n, 1000);
    assert_int_equal(strlen(s.p), 1000);
    s = SLD_ARENA_JOIN(&a, SLD_STR("a"), SLD_STR_NONE, SLD_STR(""), SLD_STR("bc"));
    assert_string_equal(s.p, "abc");
    assert_int_equal(s.n, 3);
    sld_arena_fini(&a);
}

static void test_an_arena_in_borrowed_room(void **unused)
{
    (void)unused;
    _Alignas(8) char room[SLD_ARENA_HEADER + 64];
    struct sld_arena a;
    sld_arena_init_in(&a, room, sizeof(room));
    char *p = sld_arena_alloc(&a, 56);
    assert_ptr_equal(p, room + SLD_ARENA_HEADER);
    assert_ptr_equal(sld_arena_cstr(&a, SLD_STR("1234567")), p + 56); // to the last byte
    char *q = sld_arena_cstr(&a, SLD_STR(""));                        // it grows out of it
    assert_true(q < room || q >= room + sizeof(room));
    sld_arena_fini(&a); // frees what is its own
    sld_arena_init_in(&a, room, sizeof(room));
    sld_arena_alloc(&a, 56);
    q = sld_arena_cstr(&a, SLD_STR("12345678")); // one byte too many
    assert_true(q < room || q >= room + sizeof(room));
    sld_arena_fini(&a);
    sld_arena_init_in(&a, room, SLD_ARENA_HEADER);
    assert_non_null(sld_arena_alloc(&a, 1));
    sld_arena_fini(&a);
}

static void test_a_reset_arena_gives_zeroed_bytes_again(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    sld_arena_reset(&a); // an empty one
    for (int i = 0; i < 100; i++) {
        char *p = sld_arena_alloc(&a, i % 10 == 9 ? 1 << 20 : 500);
        assert_true(all(p, 500, 0));
        memset(p, 1, 500);
        p = sld_arena_alloc(&a, 3000);
        assert_true(all(p, 3000, 0));
        memset(p, 1, 3000);
        sld_arena_reset(&a);
        assert_int_equal(a.used_bytes, 0);
    }
    sld_arena_fini(&a);
}

// ---- Secrets ----

static void test_secret_arenas_are_wiped(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    sld_arena_str(&a, SLD_STR("hunter2"));
    sld_arena_alloc(&a, 600); // another chunk
    sld_arena_str(&a, SLD_STR("swordfish"));
    sld_arena_fini_secret(&a);
    assert_true(was_wiped(SLD_STR("hunter2")));
    assert_true(was_wiped(SLD_STR("swordfish")));
    sld_arena_fini_secret(NULL);
    wiped_bytes = 0;
    sld_arena_str(&a, SLD_STR("plain"));
    sld_arena_fini(&a);
    assert_int_equal(wiped_bytes, 0);
}

static void test_wipe(void **unused)
{
    (void)unused;
    char text[] = "hunter2";
    sld_wipe(text, 6);
    assert_true(was_wiped(SLD_STR("hunter")));
    assert_true(all(text, 6, 0));
    assert_int_equal(text[6], '2');
}

static void test_secret_blobs_are_wiped_with_the_last_reference(void **unused)
{
    (void)unused;
    struct sld_blob *b = sld_blob_create_secret(SLD_STR("hunter2")), *other = sld_obj_ref(b);
    assert_true(b->secret);
    SLD_UNREF(b);
    assert_false(was_wiped(SLD_STR("hunter2")));
    assert_string_equal(other->data.p, "hunter2");
    SLD_UNREF(other);
    assert_true(was_wiped(SLD_STR("hunter2")));
}

static void test_secret_buffers_leave_no_bytes_behind(void **unused)
{
    (void)unused;
    struct sld_buf b;
    sld_buf_init_secret(&b, 1 << 16);
    sld_buf_addz(&b, "hunter2");
    for (int i = 0; i < 300; i++) // it moves
        sld_buf_addc(&b, '.');
    assert_true(was_wiped(SLD_STR("hunter2")));
    assert_true(sld_str_starts(sld_buf_str(&b), SLD_STR("hunter2..")));
    wiped_bytes = 0;
    sld_buf_fini(&b);
    assert_true(was_wiped(SLD_STR("hunter2")));
    assert_true(b.secret);
    sld_buf_fini(&b);
}

// ---- Objects ----

struct thing {
    struct sld_obj obj;
    int *freed;
};

static void thing_free(struct sld_obj *o)
{
    struct thing *t = (struct thing *)o;
    (*t->freed)++;
    sld_xfree(t);
}

static struct thing *thing_create(int *freed)
{
    struct thing *t = SLD_NEW(struct thing);
    sld_obj_init(&t->obj, thing_free, (struct sld_hash){1, 2});
    t->freed = freed;
    return t;
}

static void test_the_last_reference_frees(void **unused)
{
    (void)unused;
    int freed = 0;
    struct thing *t = thing_create(&freed), *other = sld_obj_ref(t);
    assert_ptr_equal(other, t);
    assert_true(sld_hash_eq(t->obj.hash, (struct sld_hash){1, 2}));
    SLD_UNREF(t);
    assert_null(t); // a dropped reference cannot be used
    assert_int_equal(freed, 0);
    SLD_UNREF(other);
    assert_int_equal(freed, 1);
    SLD_UNREF(other); // NULL by now
    assert_null(sld_obj_ref(NULL));
}

static void *take_and_drop(void *t)
{
    for (int i = 0; i < 20000; i++) {
        struct thing *mine = sld_obj_ref(t);
        SLD_UNREF(mine);
    }
    SLD_UNREF(t); // the reference that came with the thread
    return NULL;
}

static void test_references_of_many_threads(void **unused)
{
    (void)unused;
    enum { THREADS = 4 };
    int freed = 0;
    struct thing *t = thing_create(&freed);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_drop, sld_obj_ref(t)), 0);
    SLD_UNREF(t);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(freed, 1);
}

static void test_blobs_are_copies_with_the_hash_of_their_bytes(void **unused)
{
    (void)unused;
    char text[] = "a\0b";
    struct sld_blob *b = sld_blob_create(sld_str_n(text, 3));
    text[0] = 'x';
    assert_true(sld_str_eq(b->data, SLD_STR("a\0b")));
    assert_int_equal(b->data.p[3], 0);
    assert_false(b->secret);
    assert_true(sld_hash_eq(b->obj.hash, sld_hash_bytes(SLD_STR("a\0b"))));
    SLD_UNREF(b);
    assert_int_equal(wiped_bytes, 0);
    b = sld_blob_create(SLD_STR_NONE);
    assert_string_equal(b->data.p, "");
    SLD_UNREF(b);
}

// What is resident, in KiB, counted page by page.
static long resident_kib(void)
{
    char line[256];
    long kib = -1;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        (void)sscanf(line, "Rss: %ld", &kib);
    fclose(f);
    return kib;
}

// Constants of the program that nothing else uses: 1 MiB.
static const struct {
    char first, rest[1024 * 1024 - 1];
} constants = {1, {0}};

static int sum_of_constants(void)
{
    const volatile char *p = &constants.first;
    int sum = 0;
    for (size_t at = 0; at < sizeof(constants); at += 1024)
        sum += p[at];
    return sum;
}

// The program's pages are let go, and are there again when they are needed.
static void test_trimming_lets_go_of_the_program(void **unused)
{
    (void)unused;
    sld_alloc_trim(); // what the heap has to give back is given
    assert_int_equal(sum_of_constants(), 1);
    long kib = resident_kib();
    sld_alloc_trim();
    assert_true(resident_kib() < kib - 512);
    assert_int_equal(sum_of_constants(), 1);
}

static void test_arena_objects_own_their_arena(void **unused)
{
    (void)unused;
    struct sld_arena_obj *o = sld_arena_obj_create();
    o->root = sld_arena_cstr(&o->arena, SLD_STR("content"));
    struct sld_arena_obj *other = sld_obj_ref(o);
    SLD_UNREF(o);
    assert_string_equal(other->root, "content");
    SLD_UNREF(other); // a leak is the sanitizer's to find
}

#define T(name) cmocka_unit_test_setup(name, forget_wiped)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_allocations_are_zeroed_aligned_and_apart),
        T(test_aligned_allocations),
        T(test_a_great_request_leaves_the_room_of_the_chunk),
        T(test_the_ceiling_counts_for_those_who_ask),
        T(test_arrays_grow_and_keep_what_they_have),
        T(test_texts_in_arenas),
        T(test_an_arena_in_borrowed_room),
        T(test_a_reset_arena_gives_zeroed_bytes_again),
        T(test_secret_arenas_are_wiped),
        T(test_wipe),
        T(test_secret_blobs_are_wiped_with_the_last_reference),
        T(test_secret_buffers_leave_no_bytes_behind),
        T(test_the_last_reference_frees),
        T(test_references_of_many_threads),
        T(test_blobs_are_copies_with_the_hash_of_their_bytes),
        T(test_arena_objects_own_their_arena),
        T(test_trimming_lets_go_of_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

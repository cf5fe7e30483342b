// What plugins keep: over restarts, with torn and foreign files, within ceilings.
#include "plugin/support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin/kv.h"
#include "tree.h"

#define NOW 1800000000000

static struct sld_plugin_kv *kv;
static char path[300];

static void open_kv(void)
{
    kv = sld_plugin_kv_open(sld_str_c(path));
}

static void reopen(void)
{
    SLD_UNREF(kv);
    open_kv();
}

static int begin(void **state)
{
    (void)state;
    tree_create();
    snprintf(path, sizeof(path), "%s/a.kv", tree_root);
    open_kv();
    return 0;
}

static int end(void **state)
{
    (void)state;
    SLD_UNREF(kv);
    tree_destroy();
    return 0;
}

static enum sld_rc set_until(const char *key, const char *text, int64_t expires_ms)
{
    struct sld_err err = {0};
    struct sld_kv_value v = {.type = SLD_KV_STRING, .text = sld_str_c(text)};
    return sld_plugin_kv_set(kv, sld_str_c(key), &v, expires_ms, NOW, &err);
}

static void set(const char *key, const char *text)
{
    assert_int_equal(set_until(key, text, 0), SLD_OK);
}

// The text of KEY at NOW and LATER_MS; NULL: there is none.
static const char *at(const char *key, int64_t later_ms)
{
    static char text[200];
    struct sld_arena a = {0};
    struct sld_kv_value v;
    bool there = sld_plugin_kv_get(kv, sld_str_c(key), NOW + later_ms, &a, &v);
    if (there)
        snprintf(text, sizeof(text), "%.*s", SLD_FMT(v.text));
    sld_arena_fini(&a);
    return there ? text : NULL;
}

static void delete(const char *key)
{
    struct sld_err err = {0};
    bool there = false;
    assert_int_equal(sld_plugin_kv_remove(kv, sld_str_c(key), NOW, &there, &err), SLD_OK);
    assert_true(there);
}

static size_t size(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    return (size_t)st.st_size;
}

static void it_lasts(void **state)
{
    (void)state;
    struct stat st;
    assert_int_not_equal(stat(path, &st), 0); // nothing was asked for yet
    set("a", "one");
    set("b", "two");
    set("a", "three");
    set("gone", "x");
    delete("gone");
    reopen();
    assert_string_equal(at("a", 0), "three");
    assert_string_equal(at("b", 0), "two");
    assert_null(at("gone", 0));
    struct sld_kv_value v = {.type = SLD_KV_NUMBER, .number = 1.5}, out;
    struct sld_err err = {0};
    struct sld_arena a = {0};
    assert_int_equal(sld_plugin_kv_set(kv, SLD_STR("n"), &v, 0, NOW, &err), SLD_OK);
    v = (struct sld_kv_value){.type = SLD_KV_BOOLEAN, .integer = 1};
    assert_int_equal(sld_plugin_kv_set(kv, SLD_STR("y"), &v, 0, NOW, &err), SLD_OK);
    reopen();
    assert_true(sld_plugin_kv_get(kv, SLD_STR("n"), NOW, &a, &out) && out.type == SLD_KV_NUMBER && out.number == 1.5);
    assert_true(sld_plugin_kv_get(kv, SLD_STR("y"), NOW, &a, &out) && out.type == SLD_KV_BOOLEAN && out.integer == 1);
    sld_arena_fini(&a);
}

static void what_has_its_time_ends(void **state)
{
    (void)state;
    size_t n;
    struct sld_arena a = {0};
    assert_int_equal(set_until("short", "x", NOW + 1000), SLD_OK);
    assert_int_equal(set_until("long", "y", NOW + 5000), SLD_OK);
    reopen();
    assert_string_equal(at("short", 999), "x");
    assert_null(at("short", 1000));
    assert_string_equal(at("long", 1000), "y");
    struct sld_str *keys = sld_plugin_kv_list(kv, SLD_STR(""), 10, NOW + 1000, &a, &n);
    assert_int_equal(n, 1);
    assert_true(sld_str_eq(keys[0], SLD_STR("long")));
    sld_arena_fini(&a);
}

static void numbers_are_added_to(void **state)
{
    (void)state;
    int64_t n = 0;
    struct sld_err err = {0};
    assert_int_equal(sld_plugin_kv_add(kv, SLD_STR("n"), 5, NOW + 1000, NOW, &n, &err), SLD_OK);
    assert_int_equal(sld_plugin_kv_add(kv, SLD_STR("n"), -2, NOW + 9000, NOW + 500, &n, &err), SLD_OK);
    assert_int_equal(n, 3);
    reopen();
    assert_int_equal(sld_plugin_kv_add(kv, SLD_STR("n"), 1, 0, NOW + 999, &n, &err), SLD_OK);
    assert_int_equal(n, 4);
    assert_int_equal(sld_plugin_kv_add(kv, SLD_STR("n"), 1, 0, NOW + 1000, &n, &err), SLD_OK); // its time was the first one's
    assert_int_equal(n, 1);
    assert_int_equal(sld_plugin_kv_add(kv, SLD_STR("n"), INT64_MAX, 0, NOW + 1000, &n, &err), SLD_INVALID);
    set("text", "x");
    assert_int_equal(sld_plugin_kv_add(kv, SLD_STR("text"), 1, 0, NOW, &n, &err), SLD_INVALID);
}

static void a_torn_end_is_cut_off(void **state)
{
    (void)state;
    set("a", "one");
    set("b", "two");
    size_t whole = size();
    set("c", "three");
    size_t all = size();
    for (size_t cut = whole + 1; cut < all; cut++) {
        SLD_UNREF(kv);
        assert_int_equal(truncate(path, (off_t)cut), 0);
        open_kv();
        assert_string_equal(at("b", 0), "two");
        assert_null(at("c", 0));
        assert_int_equal(size(), whole);
        set("c", "three");
    }
    // A byte that is another one.
    SLD_UNREF(kv);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, (off_t)(all - 1)), 1);
    close(fd);
    open_kv();
    assert_null(at("c", 0));
    assert_string_equal(at("b", 0), "two");
}

static void a_foreign_file_is_set_aside(void **state)
{
    (void)state;
    char aside[320];
    SLD_UNREF(kv);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "something else", 14), 14);
    close(fd);
    open_kv();
    assert_null(at("a", 0));
    set("a", "one");
    reopen();
    assert_string_equal(at("a", 0), "one");
    snprintf(aside, sizeof(aside), "%s/a.kv.broken", tree_root);
    assert_int_equal(access(aside, R_OK), 0);
}

static void what_is_of_no_use_goes(void **state)
{
    (void)state;
    static char text[1001];
    memset(text, 'x', sizeof(text) - 1);
    for (int i = 0; i < 2000; i++)
        set("a", text);
    assert_true(size() < 300000);
    set("b", "two");
    reopen();
    assert_int_equal(strlen(at("a", 0)), 199);
    assert_string_equal(at("b", 0), "two");
}

static void there_are_ceilings(void **state)
{
    (void)state;
    static char big[SLD_KV_VALUE_MAX + 2];
    char key[20];
    memset(big, 'x', sizeof(big) - 1);
    assert_int_equal(set_until("a", big, 0), SLD_LIMIT);
    big[SLD_KV_VALUE_MAX] = 0;
    int n = 0;
    for (; n < 100; n++) {
        snprintf(key, sizeof(key), "k%d", n);
        if (set_until(key, big, 0))
            break;
    }
    assert_int_equal(n, 15);
    assert_null(at(key, 0));
    set("k0", "small"); // makes room
    assert_int_equal(set_until(key, big, NOW - 1), SLD_OK);
    assert_int_equal(set_until("other", big, 0), SLD_OK); // what has ended makes room, too
}

static void nobody_else_writes(void **state)
{
    (void)state;
    set("a", "one");
    struct sld_plugin_kv *mine = kv;
    open_kv();
    assert_int_equal(set_until("a", "two", 0), SLD_CONFLICT);
    assert_null(at("a", 0));
    SLD_UNREF(mine); // and when the other is gone
    assert_string_equal(at("a", 0), "one");
    set("a", "two");
}

static void without_a_file_it_is_in_memory(void **state)
{
    (void)state;
    SLD_UNREF(kv);
    kv = sld_plugin_kv_open(SLD_STR_NONE);
    set("a", "one");
    assert_string_equal(at("a", 0), "one");
    sld_plugin_kv_sync(kv);
}

int main(void)
{
#define KV_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        KV_TEST(it_lasts),           KV_TEST(what_has_its_time_ends),      KV_TEST(numbers_are_added_to),
        KV_TEST(a_torn_end_is_cut_off), KV_TEST(a_foreign_file_is_set_aside), KV_TEST(what_is_of_no_use_goes),
        KV_TEST(there_are_ceilings), KV_TEST(nobody_else_writes),          KV_TEST(without_a_file_it_is_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

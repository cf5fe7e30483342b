// Texts read ahead say what they say read at once, whoever reads them.
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "source/ahead.h"

enum { TEXTS = 400 };

// Text I: some have many documents, some none that can be read.
static struct sld_blob *text_of(size_t i)
{
    struct sld_buf b;
    sld_buf_init(&b, 64 * 1024);
    for (size_t k = 0; k <= i % 3; k++)
        sld_buf_addf(&b, "---\nname: n-%zu-%zu\nlist: [1, 2, {a: %zu}]\n", i, k, i);
    if (i % 10 == 7)
        sld_buf_addf(&b, "broken: [\n");
    struct sld_blob *blob = sld_blob_create(sld_buf_str(&b));
    sld_buf_fini(&b);
    return blob;
}

static void check(const struct sld_ahead_docs *d, size_t i)
{
    char name[64];
    if (i % 10 == 7) {
        assert_int_equal(d->rc, SLD_INVALID);
        assert_int_equal(d->code, SLD_YAML_SYNTAX);
        assert_int_equal(d->err->line, 3 * (int)(i % 3 + 1) + 2);
        return;
    }
    assert_int_equal(d->rc, SLD_OK);
    assert_int_equal(d->count, i % 3 + 1);
    for (size_t k = 0; k < d->count; k++) {
        snprintf(name, sizeof(name), "n-%zu-%zu", i, k);
        assert_true(sld_str_eq(sld_node_text(sld_node_get(d->docs[k].root, SLD_STR("name"))), sld_str_c(name)));
    }
}

static struct sld_ahead_text *add(struct sld_ahead *h, size_t i)
{
    struct sld_blob *blob = text_of(i);
    struct sld_ahead_text *t = sld_ahead_add(h, blob);
    SLD_UNREF(blob);
    assert_non_null(t);
    return t;
}

static void take(struct sld_ahead_text *t, size_t i)
{
    struct sld_ahead_docs docs;
    sld_ahead_take(t, &docs);
    check(&docs, i);
    sld_arena_fini(&docs.arena);
    sld_ahead_drop(t);
}

// Whether this process has a thread that reads.
static bool has_reader(void)
{
    DIR *d = opendir("/proc/self/task");
    bool found = false;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[512], name[32] = "";
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
        FILE *f = fopen(path, "r");
        if (f && fgets(name, sizeof(name), f))
            found |= strcmp(name, "read\n") == 0;
        if (f)
            fclose(f);
    }
    closedir(d);
    return found;
}

static void test_texts_say_what_they_say(void **unused)
{
    (void)unused;
    struct sld_ahead *h = sld_ahead_create();
    static struct sld_ahead_text *texts[TEXTS];
    // Taken as they come, behind the reader, and with some that nobody wants.
    for (size_t i = 0, next = 0; next < TEXTS;) {
        for (size_t end = i + 1 + i % 50; i < end && i < TEXTS; i++)
            texts[i] = add(h, i);
        for (size_t end = i < TEXTS ? next + (i - next) / 2 : TEXTS; next < end; next++) {
            if (next % 7 == 3)
                sld_ahead_drop(texts[next]);
            else
                take(texts[next], next);
        }
    }
    sld_ahead_drop(NULL);
    sld_ahead_destroy(h);
    sld_ahead_destroy(NULL);
}

static void test_others_read_what_waits(void **unused)
{
    (void)unused;
    struct sld_ahead *h = sld_ahead_create();
    static struct sld_ahead_text *texts[TEXTS];
    texts[0] = add(h, 0);
    assert_false(has_reader()); // one is read sooner by whoever needs it
    for (size_t i = 1; i < TEXTS; i++)
        texts[i] = add(h, i);
    while (!has_reader()) // it stays: there is more than it may hold
        usleep(1000);
    for (size_t i = 0; i < TEXTS; i++)
        take(texts[i], i);
    while (has_reader()) // and goes when nothing is left
        usleep(1000);
    // It comes again, and ends although texts wait.
    for (size_t i = 0; i < TEXTS; i++)
        texts[i] = add(h, i);
    while (!has_reader())
        usleep(1000);
    for (size_t i = TEXTS; i-- > 0;)
        sld_ahead_drop(texts[i]);
    sld_ahead_destroy(h);
}

static void test_long_texts_are_not_taken(void **unused)
{
    (void)unused;
    enum { LONG = 1024 * 1024 };
    struct sld_ahead *h = sld_ahead_create();
    char *p = sld_xcalloc(LONG, 1);
    memset(p, '#', LONG);
    struct sld_blob *blob = sld_blob_create(sld_str_n(p, LONG));
    assert_null(sld_ahead_add(h, blob));
    SLD_UNREF(blob);
    sld_xfree(p);
    sld_ahead_destroy(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_say_what_they_say),
        cmocka_unit_test(test_others_read_what_waits),
        cmocka_unit_test(test_long_texts_are_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

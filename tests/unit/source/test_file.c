// Whole small files, and such that hold a secret.
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "source/file.h"
#include "source/given.h"

static char name[64];

static void write_bytes(const char *bytes, size_t n)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static enum sld_rc read_it(struct sld_arena *a, struct sld_str *out, struct sld_err *err)
{
    *out = SLD_STR_NONE;
    return sld_secret_file_read(a, "token file", sld_str_c(name), out, err);
}

static void test_a_secret_file(void **state)
{
    enum { LARGE = 64 * 1024 + 1 };
    struct sld_arena a = {0};
    struct sld_err err = {0};
    struct sld_str s;
    (void)state;
    assert_int_equal(read_it(&a, &s, &err), SLD_IO);
    assert_non_null(strstr(err.msg, "token file "));
    write_bytes(" a b\r\n", 6);
    assert_int_equal(read_it(&a, &s, &err), SLD_OK);
    assert_true(sld_str_eq(s, SLD_STR("a b")));
    write_bytes(" \n", 2);
    assert_int_equal(read_it(&a, &s, &err), SLD_INVALID);
    assert_non_null(strstr(err.msg, "is empty"));
    char *large = sld_xcalloc(1, LARGE);
    memset(large, 'x', LARGE);
    write_bytes(large, LARGE);
    assert_int_equal(read_it(&a, &s, &err), SLD_LIMIT);
    write_bytes(large, LARGE - 1);
    assert_int_equal(read_it(&a, &s, &err), SLD_OK);
    assert_int_equal(s.n, LARGE - 1);
    sld_xfree(large);
    unlink(name);
    sld_arena_fini_secret(&a);
}

// Something is handed over once by a pipe: reading it never waits for the other side.
static void test_a_pipe_does_not_block(void **state)
{
    struct sld_arena a = {0};
    struct sld_err err = {0};
    struct sld_str s;
    (void)state;
    assert_int_equal(mkfifo(name, 0600), 0);
    assert_int_equal(read_it(&a, &s, &err), SLD_INVALID);
    int fd = open(name, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(read_it(&a, &s, &err), SLD_IO);
    int writer = open(name, O_WRONLY);
    assert_int_equal(write(writer, "once\n", 5), 5);
    int reader = open(name, O_RDONLY | O_NONBLOCK); // keeps what is in it
    close(fd);
    close(writer);
    assert_int_equal(read_it(&a, &s, &err), SLD_OK);
    assert_true(sld_str_eq(s, SLD_STR("once")));
    close(reader);
    unlink(name);
    sld_arena_fini_secret(&a);
}

static void test_settings_before_variables(void **state)
{
    struct sld_arena a = {0};
    (void)state;
    setenv("SLD_TEST_GIVEN", "variable", 1);
    assert_true(sld_str_eq(sld_given(&a, "one", "two", "SLD_TEST_GIVEN"), SLD_STR("one")));
    assert_true(sld_str_eq(sld_given(&a, "", "two", "SLD_TEST_GIVEN"), SLD_STR("two")));
    assert_true(sld_str_eq(sld_given(&a, NULL, "", "SLD_TEST_GIVEN"), SLD_STR("variable")));
    assert_null(sld_given(&a, NULL, NULL, NULL).p);
    setenv("SLD_TEST_GIVEN", "", 1);
    assert_null(sld_given(&a, "", "", "SLD_TEST_GIVEN").p);
    unsetenv("SLD_TEST_GIVEN");
    assert_null(sld_env("SLD_TEST_GIVEN").p);
    assert_true(sld_is_true(SLD_STR("TRUE")) && sld_is_true(SLD_STR("t")) && sld_is_true(SLD_STR("1")));
    assert_true(sld_is_false(SLD_STR("False")) && sld_is_false(SLD_STR("f")) && sld_is_false(SLD_STR("0")));
    assert_false(sld_is_true(SLD_STR("yes")) || sld_is_false(SLD_STR("")) || sld_is_true(SLD_STR_NONE));
    sld_arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_secret_file),
        cmocka_unit_test(test_a_pipe_does_not_block),
        cmocka_unit_test(test_settings_before_variables),
    };
    snprintf(name, sizeof(name), "/tmp/sld-file-%d", (int)getpid());
    return cmocka_run_group_tests(tests, NULL, NULL);
}

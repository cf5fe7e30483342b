// Listen addresses and the claim on unix socket paths.
#include "net/address.h"

#include "net/support.h"

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *in, *text; // text NULL = refused
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1:80"},
        {"[::1]:8080", "[::1]:8080"},
        {":9977", "[::]:9977"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"", NULL},
        {"80", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1:-1", NULL},
        {"127.0.0.1:65536", NULL},
        {"::1:80", NULL},
        {"[::1]80", NULL},
        {"[::1", NULL},
        {"unix:", NULL},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct sld_net_address a;
        struct sld_err err = {0};
        enum sld_rc rc = sld_net_address_parse(sld_str_c(cases[i].in), &a, &err);
        assert_int_equal(rc, cases[i].text ? SLD_OK : SLD_INVALID);
        if (cases[i].text)
            assert_string_equal(a.text, cases[i].text);
        else
            assert_int_not_equal(err.msg[0], 0);
    }
}

static void test_unix_paths(void **state)
{
    (void)state;
    struct sld_net_address a;
    char longest[5 + 108] = "unix:";
    memset(longest + 5, 'x', 107);
    assert_int_equal(sld_net_address_parse((struct sld_str){longest, 5 + 107}, &a, NULL), SLD_OK);
    assert_true(a.is_unix);
    assert_int_equal(strlen(a.path), 107);
    longest[5 + 107] = 'x';
    assert_int_equal(sld_net_address_parse((struct sld_str){longest, 5 + 108}, &a, NULL),
                     SLD_INVALID);
    assert_int_equal(sld_net_address_parse(SLD_STR("unix:a\0b"), &a, NULL), SLD_INVALID);
}

// Before its owner bound the socket, nothing answers: the lock alone speaks.
static void test_claim_before_the_socket_exists(void **state)
{
    (void)state;
    struct sld_unix_claim first = {.lock_fd = -1}, second = {.lock_fd = -1};
    struct sld_err err = {0};
    struct stat st;
    char dir[64], path[96];
    make_dir(dir);
    snprintf(path, sizeof(path), "%s/s", dir);
    assert_int_equal(sld_unix_claim_take(&first, path, &err), SLD_OK);
    assert_int_equal(sld_unix_claim_take(&second, path, &err), SLD_CONFLICT);
    sld_unix_claim_release(&second); // holds nothing: takes nothing away
    assert_int_equal(stat(first.lock_path, &st), 0);
    sld_unix_claim_release(&first);
    assert_int_equal(stat(first.lock_path, &st), -1);
    assert_int_equal(sld_unix_claim_take(&second, path, &err), SLD_OK);
    sld_unix_claim_release(&second);
    sld_unix_claim_release(&second); // twice is fine
    sld_unix_claim_release(NULL);
    shell("rmdir %s", dir);
    assert_int_equal(sld_unix_claim_take(&first, path, &err), SLD_IO); // no such directory
}

static void test_local(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool local;
    } cases[] = {
        {"127.0.0.1:80", true}, {"127.9.9.9:80", true}, {"[::1]:80", true}, {"localhost:80", true},
        {"unix:/x", true},      {"0.0.0.0:80", false},  {"[::]:80", false}, {":80", false},
        {"192.0.2.1:80", false}, {"[::ffff:127.0.0.1]:80", true}, {"[::ffff:192.0.2.1]:80", false},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct sld_net_address a;
        assert_int_equal(sld_net_address_parse(sld_str_c(cases[i].in), &a, NULL), SLD_OK);
        assert_int_equal(sld_net_address_local(&a), cases[i].local);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_local),
        cmocka_unit_test(test_unix_paths),
        cmocka_unit_test(test_claim_before_the_socket_exists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

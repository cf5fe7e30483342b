// Command lines and settings.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/builtin.h"
#include "app/settings.h"

static int nothing(struct sld_args *a)
{
    (void)a;
    return 0;
}

static const struct sld_flag flags[] = {
    {.name = "config",
     .letter = 'c',
     .arg = "DIR",
     .env = "TEST_CONFIG",
     .help = "where",
     .repeat = true},
    {.name = "envoy", .arg = "[PATH]", .help = "run one"},
    {.name = "quiet", .letter = 'q', .help = "say less"},
};

static const struct sld_command command = {
    .name = "try",
    .args = "NAME",
    .help = "Tries.",
    .flags = flags,
    .flag_count = 3,
    .min_pos = 0,
    .max_pos = 1,
    .run = nothing,
};

#define PARSE(...) parse((char *[]){(char[]){"try"}, __VA_ARGS__, NULL})
static struct sld_args args;
static struct sld_err err;

static enum sld_rc parse(char **argv)
{
    int n = 0;
    while (argv[n])
        n++;
    err = (struct sld_err){0};
    return sld_args_parse(&command, n, argv, &args, &err);
}

static char *own(const char *s)
{
    static char text[8][64];
    static unsigned at;
    char *p = text[at++ % 8];
    snprintf(p, 64, "%s", s);
    return p;
}

static void test_values(void **unused)
{
    (void)unused;
    assert_int_equal(PARSE(own("--config"), own("a"), own("-cb"), own("--config=c"), own("x")),
                     SLD_OK);
    const char *const *all = sld_args_all(&args, "config");
    assert_string_equal(all[0], "a");
    assert_string_equal(all[1], "b");
    assert_string_equal(all[2], "c");
    assert_null(all[3]);
    assert_int_equal(args.pos_count, 1);
    assert_false(sld_args_has(&args, "quiet"));
    sld_args_fini(&args);
}

static void test_optional_value(void **unused)
{
    (void)unused;
    assert_int_equal(PARSE(own("--envoy"), own("--quiet")), SLD_OK);
    assert_string_equal(sld_args_get(&args, "envoy"), "");
    assert_true(sld_args_has(&args, "quiet"));
    sld_args_fini(&args);
    assert_int_equal(PARSE(own("--envoy"), own("/bin/envoy")), SLD_OK);
    assert_string_equal(sld_args_get(&args, "envoy"), "/bin/envoy");
    sld_args_fini(&args);
}

static void test_environment(void **unused)
{
    (void)unused;
    setenv("TEST_CONFIG", "from-env", 1);
    assert_int_equal(PARSE(own("-q")), SLD_OK);
    assert_string_equal(sld_args_get(&args, "config"), "from-env");
    sld_args_fini(&args);
    assert_int_equal(PARSE(own("-c"), own("from-flag")), SLD_OK);
    assert_string_equal(sld_args_get(&args, "config"), "from-flag");
    assert_null(sld_args_all(&args, "config")[1]);
    sld_args_fini(&args);
    unsetenv("TEST_CONFIG");
}

static void test_mistakes(void **unused)
{
    (void)unused;
    assert_int_equal(PARSE(own("--confg"), own("a")), SLD_INVALID);
    assert_non_null(strstr(err.msg, "did you mean --config?"));
    assert_int_equal(PARSE(own("--nothing-like-it")), SLD_INVALID);
    assert_non_null(strstr(err.msg, "--nothing-like-it"));
    assert_int_equal(PARSE(own("--config")), SLD_INVALID);
    assert_non_null(strstr(err.msg, "--config DIR"));
    assert_int_equal(PARSE(own("--quiet=yes")), SLD_INVALID);
    assert_int_equal(PARSE(own("--envoy=a"), own("--envoy=b")), SLD_INVALID);
    assert_int_equal(PARSE(own("-x")), SLD_INVALID);
    assert_int_equal(PARSE(own("a"), own("b")), SLD_INVALID);
    assert_non_null(strstr(err.msg, "usage: solder try"));
}

static void test_tables(void **unused)
{
    (void)unused;
    for (size_t i = 1; i < sld_builtin_command_count; i++)
        assert_true(strcmp(sld_builtin_commands[i - 1]->name, sld_builtin_commands[i]->name) < 0);
    for (size_t i = 0; i < sld_builtin_command_count; i++) {
        const struct sld_command *c = sld_builtin_commands[i];
        for (size_t k = 1; k < c->flag_count; k++) {
            if (strncmp(c->flags[k].name, "admin", 5) != 0) // shared by several commands, first
                assert_true(strcmp(c->flags[k - 1].name, c->flags[k].name) < 0 ||
                            !strncmp(c->flags[k - 1].name, "admin", 5));
        }
        struct sld_buf b;
        sld_buf_init(&b, 65536);
        sld_command_help(&b, c);
        assert_true(b.n > 0 && !b.full);
        sld_buf_fini(&b);
    }
    assert_non_null(sld_builtin_source(SLD_STR("/etc/solder")));
}

static char *settings_file(const char *text)
{
    static char path[64];
    snprintf(path, sizeof(path), "/tmp/solder-test-settings.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    return path;
}

static void test_settings_file(void **unused)
{
    (void)unused;
    struct sld_object *o = NULL;
    char *path = settings_file("discoveryNamespace: other\nsolder: {linger: 5s}\n");
    assert_int_equal(sld_settings_read(path, &o, &err), SLD_OK);
    struct sld_arena a = {0};
    Gloo__Settings resource = GLOO__SETTINGS__INIT;
    Gloo__SolderSettings own_block = GLOO__SOLDER_SETTINGS__INIT;
    own_block.history = 3;
    resource.discovery_namespace = own("never");
    resource.solder = &own_block;
    Gloo__Settings *s = sld_settings_merge(&a, sld_object_msg(o), &resource);
    assert_string_equal(s->discovery_namespace, "other");
    assert_int_equal(sld_duration_ms(s->solder->linger), 5000);
    assert_int_equal(s->solder->history, 3);
    sld_arena_fini(&a);
    SLD_UNREF(o);
    unlink(path);
    path = settings_file("discoveryNamespace: other\nsolder: {lingr: 5s}\n");
    assert_int_equal(sld_settings_read(path, &o, &err), SLD_INVALID);
    assert_non_null(strstr(err.msg, ":2:"));
    assert_non_null(strstr(err.msg, "linger"));
    unlink(path);
    assert_int_equal(sld_settings_read("/nowhere/at/all", &o, &err), SLD_IO);
}

static void test_settings_name(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    struct sld_str key;
    assert_int_equal(sld_settings_key(&a, NULL, &key, &err), SLD_OK);
    assert_true(sld_str_eq(key, SLD_STR("settings/gloo-system/default")));
    assert_int_equal(sld_settings_key(&a, "x/y", &key, &err), SLD_OK);
    assert_true(sld_str_eq(key, SLD_STR("settings/x/y")));
    assert_int_equal(sld_settings_key(&a, "y", &key, &err), SLD_INVALID);
    assert_int_equal(sld_settings_key(&a, "x/y/z", &key, &err), SLD_INVALID);
    sld_arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),        cmocka_unit_test(test_optional_value),
        cmocka_unit_test(test_environment),   cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_tables),        cmocka_unit_test(test_settings_file),
        cmocka_unit_test(test_settings_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

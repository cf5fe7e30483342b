// The sources that Settings name, and which addresses are one place.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/named.h"

static struct sld_object *read_settings(const char *text)
{
    struct sld_ident id = {SLD_KIND_SETTINGS, SLD_STR("gloo-system"), SLD_STR("default")};
    struct sld_doc_place place = {.path = SLD_STR("s.yaml"), .default_ns = id.ns};
    struct sld_raw *raw = sld_raw_create(id, sld_str_c(text), 1, -1, SLD_STR("s.yaml"), &place);
    struct sld_object *o = sld_object_decode(raw, NULL);
    SLD_UNREF(raw);
    assert_true(o->ok);
    return o;
}

// "role address; role address" of what settings TEXT name; flat ones are marked "*".
static void names(const char *text, const char *want)
{
    struct sld_object *o = read_settings(text);
    struct sld_arena a = {0};
    struct sld_named_source list[SLD_NAMED_MAX];
    struct sld_buf b;
    sld_buf_init(&b, 4096);
    size_t n = sld_named_sources(&a, sld_object_msg(o), list);
    for (size_t i = 0; i < n; i++)
        sld_buf_addf(&b, "%s%s %.*s%s", i ? "; " : "", sld_source_role_name(list[i].role),
                     SLD_FMT(list[i].address), list[i].flat ? "*" : "");
    sld_buf_addc(&b, 0);
    assert_string_equal(b.p, want);
    sld_buf_fini(&b);
    sld_arena_fini(&a);
    SLD_UNREF(o);
}

static void test_what_is_named(void **state)
{
    (void)state;
    names("{}", "");
    names("directoryConfigSource: {directory: /c}", "configuration /c");
    names("consulKvSource: {}", "configuration consul:///gloo");
    names("consulKvSource: {rootKey: edge/one}", "configuration consul:///edge/one");
    names("kubernetesConfigSource: {}\nkubernetesSecretSource: {}\nkubernetesArtifactSource: {}", "");
    names("directoryConfigSource: {directory: /d}\ndirectoryArtifactSource: {directory: /d}\n"
          "directorySecretSource: {directory: /d}",
          "configuration /d; artifacts /d; secrets /d");
    names("consulKvArtifactSource: {rootKey: a}\nvaultSecretSource: {address: http://v:8200}",
          "artifacts consul:///a; secrets vault:");
}

// gloo-compat 2.8: the order of the list does not matter, and it is instead of the single source.
static void test_secrets_in_several_places(void **state)
{
    (void)state;
    names("directorySecretSource: {directory: /one}\nsecretOptions:\n  sources:\n"
          "  - vault: {address: http://v:8200}\n  - kubernetes: {}\n  - directory: {directory: /two}\n"
          "  - directory: {directory: /two}",
          "secrets /two*; secrets vault:");
    names("directorySecretSource: {directory: /one}\nsecretOptions: {sources: []}", "secrets /one");
}

static void same(const char *settings, const char *x, const char *y, bool want)
{
    struct sld_object *o = read_settings(settings);
    struct sld_arena a = {0};
    struct sld_str left = sld_source_identity(&a, sld_str_c(x), sld_object_msg(o));
    struct sld_str right = sld_source_identity(&a, sld_str_c(y), sld_object_msg(o));
    if (sld_str_eq(left, right) != want)
        fail_msg("%s is %.*s, %s is %.*s", x, SLD_FMT(left), y, SLD_FMT(right));
    sld_arena_fini(&a);
    SLD_UNREF(o);
}

static void test_addresses_of_one_place(void **state)
{
    (void)state;
    unsetenv("CONSUL_HTTP_ADDR");
    same("{}", "consul:///gloo", "consul://127.0.0.1:8500/gloo", true);
    same("{}", "consul://localhost", "consuls://127.0.0.1:8500/gloo/", true);
    same("{}", "consul:///gloo", "consul:///gloo2", false);
    same("{}", "consul://a:8500/gloo", "consul:///gloo", false);
    same("consul: {httpAddress: 'https://a'}", "consul://a:8500/gloo", "consul:///gloo", true);
    same("consul: {address: 'a:1'}", "consul://a:1", "consul://", true);
    same("consul: {httpAddress: 'unix:///run/c'}", "consul+unix:///run/c?root=x", "consul:///x", true);
    same("{}", "consul://[::1]/gloo", "consul://[::1]:8500/gloo", true);
    same("{}", "/none/such", "/none/such//", true);
    same("{}", "vault:", "vault:", true);
    setenv("CONSUL_HTTP_ADDR", "b:2", 1);
    same("{}", "consul:///gloo", "consul://b:2", true);
    unsetenv("CONSUL_HTTP_ADDR");
}

static void test_directories_by_several_paths(void **state)
{
    (void)state;
    char dir[] = "/tmp/sld-named-XXXXXX", link[64], dotted[64];
    assert_non_null(mkdtemp(dir));
    snprintf(link, sizeof(link), "%s.link", dir);
    snprintf(dotted, sizeof(dotted), "%s/../%s/", dir, strrchr(dir, '/') + 1);
    assert_int_equal(symlink(dir, link), 0);
    same("{}", dir, link, true);
    same("{}", dir, dotted, true);
    same("{}", dir, "/tmp", false);
    unlink(link);
    rmdir(dir);
}

static void absolute(const char *settings, const char *address, const char *want)
{
    struct sld_object *o = read_settings(settings);
    struct sld_arena a = {0};
    struct sld_str got = sld_source_absolute(&a, sld_str_c(address), sld_object_msg(o));
    assert_string_equal(sld_arena_cstr(&a, got), want);
    sld_arena_fini(&a);
    SLD_UNREF(o);
}

static void test_addresses_for_others(void **state)
{
    (void)state;
    char cwd[4096], want[4200];
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    snprintf(want, sizeof(want), "%s/not-there", cwd);
    absolute("{}", "not-there", want);
    absolute("{}", "consul://a:1/x", "consul://a:1/x");
    absolute("{}", "consul:///x", "consul://127.0.0.1:8500/x");
    absolute("consul: {httpAddress: 'https://h:1'}", "consul:///x", "consuls://h:1/x");
    absolute("consul: {httpAddress: 'unix:///run/c'}", "consul:///x", "consul+unix:///run/c?root=x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_named),
        cmocka_unit_test(test_secrets_in_several_places),
        cmocka_unit_test(test_addresses_of_one_place),
        cmocka_unit_test(test_directories_by_several_paths),
        cmocka_unit_test(test_addresses_for_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

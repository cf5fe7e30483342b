// Names of Secrets that refer to a secret store.
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "codec/text.h"

#include "tls.pb-c.h"

static void test_forms(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *path, *query, *key; // PATH NULL: refused
    } cases[] = {
        {"vault:kv/team/web", "kv/team/web", NULL, NULL},
        {"vault:kv/team/web#tls.crt", "kv/team/web", NULL, "tls.crt"},
        {"vault:kv/a%20b#x%2Fy", "kv/a%20b", NULL, "x%2Fy"},
        {"vault:kv/team/web#a?b", "kv/team/web", NULL, "a?b"},
        {"vault:pki/issue/web?common_name=a.example.com", "pki/issue/web", "common_name=a.example.com", NULL},
        {"vault:ca/x/issue/web?common_name=a&ttl=1h&alt_names=b,c&trust_issuer=true", "ca/x/issue/web",
         "common_name=a&ttl=1h&alt_names=b,c&trust_issuer=true", NULL},
        {"vault:", NULL, NULL, NULL},
        {"vault:kv", NULL, NULL, NULL},
        {"vault:kv/", NULL, NULL, NULL},
        {"vault:/kv/x", NULL, NULL, NULL},
        {"vault:kv//x", NULL, NULL, NULL},
        {"vault:kv/../sys/x", NULL, NULL, NULL},
        {"vault:kv/./x", NULL, NULL, NULL},
        {"vault:kv/x#", NULL, NULL, NULL},
        {"vault:kv/x#a#b", NULL, NULL, NULL},
        {"vault:kv/a b", NULL, NULL, NULL},
        {"vault:kv/a\nb", NULL, NULL, NULL},
        {"vault:kv/\xc3\xa4", NULL, NULL, NULL},
        {"vault:kv/a%2", NULL, NULL, NULL},
        {"vault:kv/a%zz", NULL, NULL, NULL},
        {"vault:kv/a%00", NULL, NULL, NULL},
        {"vault:kv/%2e%2e/x", NULL, NULL, NULL},
        {"vault:kv/a%2f%2Fb", NULL, NULL, NULL},
        {"vault:kv/a%2fb", "kv/a%2fb", NULL, NULL},
        {"vault:auth/token/lookup-self#id", NULL, NULL, NULL},
        {"vault:%61uth/token/lookup-self#id", NULL, NULL, NULL},
        {"vault:sys/health", NULL, NULL, NULL},
        {"vault:cubbyhole/x", NULL, NULL, NULL},
        {"vault:authors/x", "authors/x", NULL, NULL},
        {"vault:pki/issue/web?common_name=", NULL, NULL, NULL},
        {"vault:pki/issue/web?ttl=1h", NULL, NULL, NULL},
        {"vault:pki/issue/web?common_name=a&color=red", NULL, NULL, NULL},
        {"vault:pki/issue/web?common_name=a#x", NULL, NULL, NULL},
        {"vault:kv/team/web?common_name=a", NULL, NULL, NULL},
        {"vault:pki/issue/web?", NULL, NULL, NULL},
        {"vaults:kv/x", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct sld_store_ref r = {0};
        struct sld_err err = {0};
        enum sld_rc rc = sld_store_ref_parse(sld_str_c(cases[i].name), &r, &err);
        if ((rc == SLD_OK) != (cases[i].path != NULL))
            fail_msg("%s: rc %d, %s", cases[i].name, rc, err.msg);
        if (rc) {
            assert_non_null(strstr(err.msg, "; write vault:<mount>/<path>"));
            continue;
        }
        assert_true(sld_str_eq(r.path, sld_str_c(cases[i].path)));
        assert_true(sld_str_eq(r.query, sld_str_c(cases[i].query)));
        assert_true(sld_str_eq(r.key, sld_str_c(cases[i].key)));
        assert_int_equal(r.key.p != NULL, cases[i].key != NULL);
    }
    char nul[] = "vault:kv/a\0b";
    assert_false(sld_is_store_ref((struct sld_str){nul, sizeof(nul) - 1}));
    assert_true(sld_store_ref_meant(SLD_STR("vault:")));
    assert_false(sld_store_ref_meant(SLD_STR("vault")));
}

static void test_too_long(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    char *name = sld_arena_alloc(&a, SLD_STORE_REF_MAX + 1);
    struct sld_store_ref r;
    struct sld_err err = {0};
    memset(name, 'x', SLD_STORE_REF_MAX + 1);
    memcpy(name, "vault:kv/", 9);
    assert_int_equal(sld_store_ref_parse((struct sld_str){name, SLD_STORE_REF_MAX}, &r, &err), SLD_OK);
    assert_int_equal(sld_store_ref_parse((struct sld_str){name, SLD_STORE_REF_MAX + 1}, &r, &err), SLD_INVALID);
    assert_non_null(strstr(err.msg, "longer than 1024"));
    sld_arena_fini(&a);
}

static void test_parameters(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    struct sld_store_ref r;
    assert_int_equal(sld_store_ref_parse(SLD_STR("vault:pki/issue/web?common_name=a%26b&alt_names=c,d%2Ce"), &r, NULL), SLD_OK);
    assert_true(sld_str_eq(sld_store_ref_param(&a, &r, "common_name"), SLD_STR("a&b")));
    assert_true(sld_str_eq(sld_store_ref_param(&a, &r, "alt_names"), SLD_STR("c,d,e")));
    assert_null(sld_store_ref_param(&a, &r, "ttl").p);
    sld_arena_fini(&a);
}

static void test_certificates_have_one_name(void **unused)
{
    (void)unused;
    struct sld_arena a = {0};
    char *names[] = {(char[]){"b.example.com"}, (char[]){"10.0.0.1"}, (char[]){"spiffe://x/y"}};
    Google__Protobuf__Duration ttl = GOOGLE__PROTOBUF__DURATION__INIT;
    Gloo__VaultPki p = GLOO__VAULT_PKI__INIT;
    ttl.seconds = 3600;
    p.role = (char[]){"web"};
    p.common_name = (char[]){"a&b.example.com"};
    struct sld_str name = sld_store_ref_of_pki(&a, &p);
    assert_true(sld_str_eq(name, SLD_STR("vault:pki/issue/web?common_name=a%26b.example.com")));
    p.mount = (char[]){"ca/int"};
    p.alt_names = names;
    p.n_alt_names = 3;
    p.ttl = &ttl;
    p.trust_issuer = true;
    name = sld_store_ref_of_pki(&a, &p);
    assert_true(sld_str_eq(name, SLD_STR("vault:ca/int/issue/web?common_name=a%26b.example.com&alt_names="
                                         "b.example.com,10.0.0.1,spiffe://x/y&ttl=3600s&trust_issuer=true")));
    struct sld_store_ref r;
    assert_int_equal(sld_store_ref_parse(name, &r, NULL), SLD_OK);
    assert_true(sld_str_eq(sld_store_ref_param(&a, &r, "common_name"), SLD_STR("a&b.example.com")));
    sld_arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_certificates_have_one_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

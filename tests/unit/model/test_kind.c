// The table of kinds (gloo-compat 1.1).
#include "support.h"

#include "secret.pb-c.h"
#include "virtual_service.pb-c.h"

static void test_kinds_stand_at_their_number_in_order(void **state)
{
    (void)state;
    for (int k = 0; k < SLD_KIND_COUNT; k++) {
        const struct sld_kind_info *info = sld_kind_info((enum sld_kind)k);
        assert_int_equal(info->kind, k);
        assert_non_null(info->desc);
        assert_string_equal(strrchr(info->desc->name, '.') + 1, info->name);
        if (k > 0)
            assert_true(strcmp(sld_kind_info((enum sld_kind)(k - 1))->name, info->name) < 0);
    }
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *name, *group, *plural, *short_name;
    } want[] = {
        {"Gateway", "gateway.solo.io", "gateways", "gw"},
        {"Gateway", "gateway.solo.io", "gateways", "ggw"},
        {"MatchableHttpGateway", "gateway.solo.io", "httpgateways", "hgw"},
        {"MatchableTcpGateway", "gateway.solo.io", "tcpgateways", "gtgw"},
        {"VirtualService", "gateway.solo.io", "virtualservices", "vs"},
        {"RouteTable", "gateway.solo.io", "routetables", "grt"},
        {"VirtualHostOption", "gateway.solo.io", "virtualhostoptions", "vhopts"},
        {"RouteOption", "gateway.solo.io", "routeoptions", "rto"},
        {"ListenerOption", "gateway.solo.io", "listeneroptions", "glisopts"},
        {"HttpListenerOption", "gateway.solo.io", "httplisteneroptions", "hlisopts"},
        {"Upstream", "gloo.solo.io", "upstreams", "us"},
        {"UpstreamGroup", "gloo.solo.io", "upstreamgroups", "gug"},
        {"Plugin", "solder.dev", "plugins", "plug"},
        {"Proxy", "gloo.solo.io", "proxies", "px"},
        {"Settings", "gloo.solo.io", "settings", "st"},
        {"Secret", "gloo.solo.io", "secrets", "sec"},
        {"Artifact", "gloo.solo.io", "artifacts", "art"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(want); i++) {
        const struct sld_kind_info *k = sld_kind_by_plural(sld_str_c(want[i].plural));
        assert_non_null(k);
        assert_string_equal(k->name, want[i].name);
        assert_string_equal(k->group, want[i].group);
        assert_string_equal(k->version, "v1");
        assert_ptr_equal(sld_kind_find(sld_str_c(want[i].short_name)), k);
    }
}

static void test_words_of_the_command_line(void **state)
{
    (void)state;
    static const char *const words[] = {
        "VirtualService", "virtualservice", "virtualservices", "VIRTUALSERVICES", "vs", "GVS"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(words); i++)
        assert_ptr_equal(sld_kind_find(sld_str_c(words[i])),
                         sld_kind_info(SLD_KIND_VIRTUAL_SERVICE));
    assert_null(sld_kind_find(SLD_STR("virtual")));
    assert_null(sld_kind_find(SLD_STR("")));
    assert_null(sld_kind_by_plural(SLD_STR("VirtualServices")));
}

static void test_nearest(void **state)
{
    (void)state;
    assert_string_equal(sld_kind_nearest(SLD_STR("VirtualServce"))->name, "VirtualService");
    assert_string_equal(sld_kind_nearest(SLD_STR("virtualService"))->name, "VirtualService");
    assert_string_equal(sld_kind_nearest(SLD_STR("Upstreams"))->name, "Upstream");
    assert_string_equal(sld_kind_nearest(SLD_STR("Upstxxam"))->name, "Upstream");
    assert_null(sld_kind_nearest(SLD_STR("Upsxxxam")));
    assert_null(sld_kind_nearest(SLD_STR("Deployment")));
    assert_null(sld_kind_nearest(SLD_STR("")));
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    struct sld_ident id = {SLD_KIND_VIRTUAL_SERVICE, SLD_STR("gloo-system"), SLD_STR("a.b")}, out;
    struct sld_str key = sld_ident_key(&f->a, id);
    assert_str(key, "virtualservices/gloo-system/a.b");
    assert_true(sld_ident_parse(key, &out));
    assert_int_equal(out.kind, id.kind);
    assert_str(out.ns, "gloo-system");
    assert_str(out.name, "a.b");
    static const char *const bad[] = {"",        "virtualservices",      "virtualservices/a",
                                      "vs/a/b",  "virtualservices/a/",   "virtualservices//b",
                                      "a/b/c/d", "virtualservices/a/b/c",
                                      "virtualservices/a/vault:kv/x", "secrets/a/b/c"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++)
        assert_false(sld_ident_parse(sld_str_c(bad[i]), &out));
    assert_true(sld_ident_parse(SLD_STR("secrets/a/vault:kv/x#y"), &out));
    assert_int_equal(out.kind, SLD_KIND_SECRET);
    assert_str(out.ns, "a");
    assert_str(out.name, "vault:kv/x#y");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_kinds_stand_at_their_number_in_order),
        T(test_table),
        T(test_words_of_the_command_line),
        T(test_nearest),
        T(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

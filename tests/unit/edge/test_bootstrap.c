// The bootstrap: what it says for which options, what is refused, and (with SLD_ENVOY) that Envoy
// takes it. "test_edge_bootstrap print VARIANT ADMIN" prints one, for the end-to-end tests.
#include "edge/bootstrap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "codec/doc.h"

static const struct sld_bootstrap_options plain = {
    .role = SLD_STR_INIT("gloo-system~gateway-proxy"),
    .xds = SLD_STR_INIT("unix:/run/solder/envoy/xds.sock"),
    .admin = SLD_STR_INIT("unix:/run/solder/envoy/admin.sock"),
};

struct printed {
    struct sld_arena arena;
    struct sld_buf text;
    const struct sld_node *root;
};

static void print(struct printed *p, const struct sld_bootstrap_options *o,
                  enum sld_text_style style)
{
    struct sld_err err = {0};
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code = 0;
    *p = (struct printed){0};
    sld_buf_init(&p->text, 1 << 20);
    assert_int_equal(sld_bootstrap_print(&p->text, o, style, &err), SLD_OK);
    assert_int_equal(sld_doc_read(&p->arena, sld_buf_str(&p->text), &sld_doc_limits_default, &docs,
                                  &n, &code, &err),
                     SLD_OK);
    assert_int_equal(n, 1);
    p->root = docs[0].root;
}

static void drop(struct printed *p)
{
    sld_arena_fini(&p->arena);
    sld_buf_fini(&p->text);
}

// The node at PATH ("static_resources/clusters/0/type"), or NULL.
static const struct sld_node *at(const struct printed *p, const char *path)
{
    const struct sld_node *n = p->root;
    struct sld_str rest = sld_str_c(path);
    struct sld_str part = SLD_STR_NONE;
    while (n && sld_str_cut(&rest, '/', &part)) {
        uint64_t i = 0;
        if (n->type == SLD_NODE_SEQ)
            n = sld_str_u64(part, &i) && i < n->count ? n->items[i] : NULL;
        else
            n = sld_node_get(n, part);
    }
    return n;
}

static void expect(const struct printed *p, const char *path, const char *want)
{
    struct sld_str got = sld_node_text(at(p, path));
    if (!sld_str_eq(got, sld_str_c(want)))
        fail_msg("%s is %.*s, not %s", path, SLD_FMT(got), want);
}

static void test_supervised(void **state)
{
    (void)state;
    struct printed p;
    print(&p, &plain, SLD_TEXT_JSON_COMPACT);
    expect(&p, "node/id", "gloo-system~gateway-proxy");
    expect(&p, "node/cluster", "gateway");
    expect(&p, "node/metadata/role", "gloo-system~gateway-proxy");
    expect(&p, "admin/address/pipe/path", "/run/solder/envoy/admin.sock");
    expect(&p, "admin/address/pipe/mode", "384"); // 0600
    expect(&p, "admin/ignore_global_conn_limit", "true");
    expect(&p, "dynamic_resources/ads_config/api_type", "DELTA_GRPC");
    expect(&p, "dynamic_resources/ads_config/transport_api_version", "V3");
    expect(&p, "dynamic_resources/ads_config/set_node_on_first_message_only", "true");
    expect(&p, "dynamic_resources/ads_config/grpc_services/0/envoy_grpc/cluster_name",
           "xds_cluster");
    expect(&p, "dynamic_resources/lds_config/initial_fetch_timeout", "0s");
    expect(&p, "dynamic_resources/cds_config/initial_fetch_timeout", "0s");
    assert_non_null(at(&p, "dynamic_resources/lds_config/ads"));
    assert_non_null(at(&p, "dynamic_resources/cds_config/ads"));
    expect(&p, "static_resources/clusters/0/name", "xds_cluster");
    expect(&p, "static_resources/clusters/0/type", "STATIC");
    expect(&p,
           "static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/"
           "address/pipe/path",
           "/run/solder/envoy/xds.sock");
    assert_null(at(&p, "static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/"
                       "endpoint/address/pipe/mode"));
    assert_null(at(&p, "static_resources/clusters/0/transport_socket"));
    expect(&p, "layered_runtime/layers/0/static_layer/re2.max_program_size.error_level", "4096");
    expect(&p,
           "overload_manager/resource_monitors/0/typed_config/max_active_downstream_connections",
           "50000");
    expect(&p, "deferred_stat_options/enable_deferred_creation_stats", "true");
    expect(&p, "cluster_manager/enable_deferred_cluster_creation", "true");
    expect(&p, "stats_config/stats_matcher/inclusion_list/patterns/2/prefix", "http.");
    drop(&p);
}

static void test_remote_with_mutual_tls(void **state)
{
    (void)state;
    struct printed p;
    struct sld_bootstrap_options o = {
        .role = SLD_STR("gloo-system~gateway-proxy"),
        .node_id = SLD_STR("edge-1"),
        .node_cluster = SLD_STR("edge"),
        .xds = SLD_STR("solder.example.com:9977"),
        .tls = {.ca_file = SLD_STR("/tls/ca.pem"),
                .cert_file = SLD_STR("/tls/c.pem"),
                .key_file = SLD_STR("/tls/k.pem")},
        .max_connections = 7,
        .full_stats = true,
    };
    print(&p, &o, SLD_TEXT_YAML);
    expect(&p, "node/id", "edge-1");
    expect(&p, "node/cluster", "edge");
    assert_null(at(&p, "admin"));
    assert_null(at(&p, "stats_config"));
    expect(&p, "static_resources/clusters/0/type", "STRICT_DNS");
    expect(&p,
           "static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/"
           "address/socket_address/address",
           "solder.example.com");
    expect(&p,
           "static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint/"
           "address/socket_address/port_value",
           "9977");
    const char *tls = "static_resources/clusters/0/transport_socket/typed_config";
    static const char *const want[][2] = {
        {"sni", "solder.example.com"},
        {"common_tls_context/alpn_protocols/0", "h2"},
        {"common_tls_context/tls_certificates/0/certificate_chain/filename", "/tls/c.pem"},
        {"common_tls_context/tls_certificates/0/private_key/filename", "/tls/k.pem"},
        {"common_tls_context/validation_context/trusted_ca/filename", "/tls/ca.pem"},
        {"common_tls_context/validation_context/match_typed_subject_alt_names/0/san_type", "DNS"},
        {"common_tls_context/validation_context/match_typed_subject_alt_names/0/matcher/exact",
         "solder.example.com"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(want); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", tls, want[i][0]);
        expect(&p, path, want[i][1]);
    }
    // The same, by names that clusters which come over xDS go by.
    expect(&p, "static_resources/secrets/0/name", "solder-ca");
    expect(&p, "static_resources/secrets/0/validation_context/trusted_ca/filename", "/tls/ca.pem");
    expect(&p, "static_resources/secrets/1/name", "solder-client");
    expect(&p, "static_resources/secrets/1/tls_certificate/private_key/filename", "/tls/k.pem");
    expect(&p,
           "overload_manager/resource_monitors/0/typed_config/max_active_downstream_connections",
           "7");
    drop(&p);
}

static void test_ip_addresses(void **state)
{
    (void)state;
    struct printed p;
    struct sld_bootstrap_options o = plain;
    o.xds = SLD_STR("[::1]:9977");
    o.admin = SLD_STR("localhost:19000");
    o.tls.ca_file = SLD_STR("/ca.pem");
    print(&p, &o, SLD_TEXT_JSON);
    expect(&p, "static_resources/clusters/0/type", "STATIC");
    expect(&p, "admin/address/socket_address/address", "127.0.0.1");
    const char *san = "static_resources/clusters/0/transport_socket/typed_config/"
                      "common_tls_context/validation_context/match_typed_subject_alt_names/0/";
    char path[256];
    snprintf(path, sizeof(path), "%ssan_type", san);
    expect(&p, path, "IP_ADDRESS");
    snprintf(path, sizeof(path), "%smatcher/exact", san);
    expect(&p, path, "::1");
    assert_null(at(&p, "static_resources/clusters/0/transport_socket/typed_config/sni"));
    drop(&p);
}

static void test_equal_options_give_equal_bytes(void **state)
{
    (void)state;
    struct printed a, b;
    print(&a, &plain, SLD_TEXT_JSON);
    print(&b, &plain, SLD_TEXT_JSON);
    assert_true(sld_str_eq(sld_buf_str(&a.text), sld_buf_str(&b.text)));
    drop(&a);
    drop(&b);
}

static void refused(const struct sld_bootstrap_options *o, enum sld_rc rc, const char *words)
{
    struct sld_err err = {0};
    struct sld_buf out;
    sld_buf_init(&out, 1 << 20);
    assert_int_equal(sld_bootstrap_print(&out, o, SLD_TEXT_JSON, &err), rc);
    assert_int_equal(out.n, 0);
    if (!strstr(err.msg, words))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
    sld_buf_fini(&out);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    struct sld_bootstrap_options o = plain;
    o.role = SLD_STR("");
    refused(&o, SLD_INVALID, "gloo-system~gateway-proxy");
    o = plain;
    o.role = SLD_STR("a\nb");
    refused(&o, SLD_INVALID, "control characters");
    static const char *const addresses[] = {
        "",        "host",    "host:", ":80",      "host:0", "host:65536", "[::1",     "[::1]9",
        "[1.2]:9", "host:-1", "unix:", "host:80x", "::1",    "unix:a\x01", "h\x01:80", "h\xff:80",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(addresses); i++) {
        o = plain;
        o.xds = sld_str_c(addresses[i]);
        refused(&o, SLD_INVALID, "control plane");
    }
    char path[200] = "unix:/";
    memset(path + 6, 'a', sizeof(path) - 7);
    o = plain;
    o.admin = sld_str_c(path);
    refused(&o, SLD_INVALID, "107 bytes");
    o.admin = SLD_STR("0.0.0.0:19000");
    refused(&o, SLD_DENIED, "loopback");
    o.admin = SLD_STR("example.com:19000");
    refused(&o, SLD_DENIED, "loopback");
    o = plain;
    o.xds = SLD_STR("solder:9977");
    o.tls.cert_file = SLD_STR("/c.pem");
    refused(&o, SLD_INVALID, "needs its key");
    o.tls.key_file = SLD_STR("/k.pem");
    refused(&o, SLD_INVALID, "authority");
    o.tls.ca_file = SLD_STR("/ca.pem");
    o.xds = plain.xds;
    refused(&o, SLD_INVALID, "unix socket");
}

static void test_full_buffer(void **state)
{
    (void)state;
    struct sld_err err = {0};
    struct sld_buf out;
    sld_buf_init(&out, 100);
    assert_int_equal(sld_bootstrap_print(&out, &plain, SLD_TEXT_JSON, &err), SLD_LIMIT);
    sld_buf_fini(&out);
}

static int print_variant(const char *variant, const char *admin)
{
    struct sld_bootstrap_options o = plain;
    struct sld_err err = {0};
    struct sld_buf out;
    bool yaml = strcmp(variant, "tls") == 0;
    o.admin = sld_str_c(admin);
    if (strcmp(variant, "tcp") == 0 || yaml)
        o.xds = SLD_STR("localhost:9977");
    if (yaml)
        o.tls = (struct sld_bootstrap_tls){.ca_file = sld_str_c(getenv("CA")),
                                           .cert_file = sld_str_c(getenv("CERT")),
                                           .key_file = sld_str_c(getenv("KEY"))};
    sld_buf_init(&out, 1 << 20);
    if (sld_bootstrap_print(&out, &o, yaml ? SLD_TEXT_YAML : SLD_TEXT_JSON, &err) != SLD_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    printf("%.*s\n", SLD_FMT(sld_buf_str(&out)));
    sld_buf_fini(&out);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "print") == 0)
        return print_variant(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_supervised),
        cmocka_unit_test(test_remote_with_mutual_tls),
        cmocka_unit_test(test_ip_addresses),
        cmocka_unit_test(test_equal_options_give_equal_bytes),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_full_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

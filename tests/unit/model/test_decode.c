// Documents to messages: forms, metadata, statuses, findings, states of fields.
#include "support.h"

#include "gateway.pb-c.h"
#include "secret.pb-c.h"
#include "settings.pb-c.h"
#include "upstream.pb-c.h"
#include "virtual_service.pb-c.h"

static void *decode(struct fixture *f, enum sld_kind kind, const char *text)
{
    struct sld_ident id = {kind, SLD_STR("ns"), SLD_STR("a")};
    f->r = (struct sld_report){.arena = &f->a};
    return sld_model_decode(&f->a, id, tree(f, text), NULL, &f->r);
}

// Decodes without an error or a warning.
static void *clean(struct fixture *f, enum sld_kind kind, const char *text)
{
    void *m = decode(f, kind, text);
    for (size_t i = 0; i < f->r.count; i++)
        print_message("%.*s: %.*s\n", SLD_FMT(f->r.items[i].path), SLD_FMT(f->r.items[i].message));
    assert_int_equal(f->r.count, 0);
    return m;
}

static const struct sld_finding *told(struct fixture *f, enum sld_code code, const char *path)
{
    return finding(f->r.items, f->r.count, code, path);
}

#define BODY                                                                                       \
    "virtualHost:\n"                                                                               \
    "  domains: ['*']\n"                                                                           \
    "  routes:\n"                                                                                  \
    "  - matchers: [{exact: /x}]\n"                                                                \
    "    routeAction: {single: {upstream: {name: u, namespace: n}}}\n"                             \
    "    name: /api/pets\n"

#define INDENTED                                                                                   \
    "spec:\n  virtualHost:\n"                                                                      \
    "    domains: ['*']\n"                                                                         \
    "    routes:\n"                                                                                \
    "    - matchers: [{exact: /x}]\n"                                                              \
    "      routeAction: {single: {upstream: {name: u, namespace: n}}}\n"                           \
    "      name: /api/pets\n"

static void check_body(const Gloo__VirtualService *vs)
{
    assert_string_equal(vs->virtual_host->domains[0], "*");
    assert_string_equal(vs->virtual_host->routes[0]->matchers[0]->exact, "/x");
    assert_string_equal(vs->virtual_host->routes[0]->name, "/api/pets");
}

static void test_all_forms_give_one_message(void **state)
{
    static const char *const forms[] = {
        "metadata: {name: a, namespace: ns}\n" BODY,
        "kind: VirtualService\nmetadata: {name: a}\n" BODY,
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: a, namespace: "
        "ns}\n" INDENTED,
        "kind: VirtualService\nmetadata: {name: a, namespace: ns}\n" INDENTED,
        "metadata: {name: a}\n" BODY "status: {}\n",
        "metadata: {name: a}\n" BODY "namespacedStatuses: {statuses: {x: {state: Accepted}}}\n",
        "metadata: {name: a}\n" BODY "namespaced_statuses: {what: ever}\n",
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: a}\n" INDENTED
        "status:\n  statuses:\n    gloo-system: {reportedBy: gloo, state: 1}\n",
        "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata:\n"
        "  name: a\n  namespace: ns\n  uid: 0-1\n  resourceVersion: '12'\n  generation: 3\n"
        "  creationTimestamp: '2024-01-01T00:00:00Z'\n  managedFields: [{manager: kubectl}]\n"
        "  ownerReferences: [{kind: X, extra: 1}]\n  finalizers: [a]\n  selfLink: /x\n"
        "  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}'}\n" INDENTED,
    };
    struct fixture *f = *state;
    struct sld_hash first = {0};
    for (size_t i = 0; i < SLD_ARRAY_LEN(forms); i++) {
        const Gloo__VirtualService *vs = clean(f, SLD_KIND_VIRTUAL_SERVICE, forms[i]);
        check_body(vs);
        assert_string_equal(vs->metadata->name, "a");
        assert_string_equal(vs->metadata->namespace_, "ns");
        assert_null(vs->namespaced_statuses);
        struct sld_hash h = sld_msg_hash(&vs->base);
        if (i == 0)
            first = h;
        if (!sld_hash_eq(h, first))
            fail_msg("form %zu gives another message", i);
    }
}

static void test_labels_and_annotations(void **state)
{
    const void *m = clean(*state, SLD_KIND_ROUTE_TABLE,
                          "metadata:\n  name: a\n  labels: {team: one, number: 1}\n"
                          "  annotations: {gateway.solo.io/isolate_vhost: 'true', "
                          "kubectl.kubernetes.io/last-applied-configuration: '{}'}\n"
                          "routes: []\n");
    const Gloo__Metadata *meta = sld_model_metadata(SLD_KIND_ROUTE_TABLE, m);
    assert_str(sld_metadata_label(meta, SLD_STR("team")), "one");
    assert_str(sld_metadata_label(meta, SLD_STR("number")), "1");
    assert_null(sld_metadata_label(meta, SLD_STR("none")).p);
    assert_null(sld_metadata_label(NULL, SLD_STR("team")).p);
    assert_str(sld_metadata_annotation(meta, SLD_STR("gateway.solo.io/isolate_vhost")), "true");
    assert_int_equal(meta->n_annotations, 1);
}

static void test_config_map(void **state)
{
    const Gloo__Artifact *a =
        clean(*state, SLD_KIND_ARTIFACT,
              "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nimmutable: true\n"
              "data: {k: v}\nbinaryData: {b: aGk=}\n");
    assert_int_equal(a->n_data, 1);
    assert_string_equal(a->data[0]->key, "k");
    assert_string_equal(a->data[0]->value, "v");
    a = clean(*state, SLD_KIND_ARTIFACT, "metadata: {name: a}\ndata: {k: v}\n");
    assert_string_equal(a->data[0]->value, "v");
}

static void test_metadata_is_there_whatever_the_document(void **state)
{
    struct fixture *f = *state;
    static const char *const docs[] = {"metadata: 5\nroutes: []\n", "routes: []\n", "{}\n",
                                       "just text\n", "metadata: [a]\n"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(docs); i++) {
        const void *m = decode(f, SLD_KIND_ROUTE_TABLE, docs[i]);
        const Gloo__Metadata *meta = sld_model_metadata(SLD_KIND_ROUTE_TABLE, m);
        assert_string_equal(meta->name, "a");
        assert_string_equal(meta->namespace_, "ns");
    }
}

static void test_unknown_fields_are_errors_with_a_suggestion(void **state)
{
    struct fixture *f = *state;
    decode(f, SLD_KIND_VIRTUAL_SERVICE,
           "metadata: {name: a, lables: {x: y}}\n"
           "virtualHost: {domans: [x], routes: [{matchers: [{prefixx: /}], routeAction: "
           "{single: {upstream: {name: u}}}}]}\n");
    const struct sld_finding *one = told(f, SLD_FIELD_UNKNOWN, "virtualHost.domans");
    assert_int_equal(one->severity, SLD_ERROR);
    assert_true(mentions(one->message, "did you mean \"domains\"?"));
    assert_true(mentions(told(f, SLD_FIELD_UNKNOWN, "metadata.lables")->message, "\"labels\""));
    assert_true(
        mentions(told(f, SLD_FIELD_UNKNOWN, "virtualHost.routes[0].matchers[0].prefixx")->message,
                 "\"prefix\""));
    assert_int_equal(f->r.errors, 3);
}

static void test_fields_beside_spec(void **state)
{
    struct fixture *f = *state;
    decode(f, SLD_KIND_VIRTUAL_SERVICE,
           "kind: VirtualService\nmetadata: {name: a}\nspec: {}\nvirtualHost: {}\nzebra: 1\n");
    assert_true(mentions(told(f, SLD_FIELD_UNKNOWN, "virtualHost")->message, "move it below spec"));
    told(f, SLD_FIELD_UNKNOWN, "zebra");
    decode(f, SLD_KIND_VIRTUAL_SERVICE, "kind: VirtualService\nspec: {metadata: {name: b}}\n");
    told(f, SLD_FIELD_UNKNOWN, "spec.metadata");
    decode(f, SLD_KIND_VIRTUAL_SERVICE, "kind: VirtualService\nspec: [a]\n");
    told(f, SLD_FIELD_TYPE, "spec");
    clean(f, SLD_KIND_ROUTE_TABLE, "kind: RouteTable\nmetadata: {name: a}\nspec:\n");
}

static void test_types_and_constraints(void **state)
{
    struct fixture *f = *state;
    decode(f, SLD_KIND_GATEWAY,
           "metadata: {name: a}\nbindAddress: nowhere\nbindPort: 70000\nssl: maybe\n");
    told(f, SLD_FIELD_TYPE, "ssl");
    told(f, SLD_FIELD_FORMAT, "bindAddress");
    told(f, SLD_FIELD_RANGE, "bindPort");
    told(f, SLD_FIELD_REQUIRED, ""); // no type of gateway
    decode(f, SLD_KIND_GATEWAY,
           "metadata: {name: a}\nbindAddress: '::'\nbindPort: 80\nhttpGateway: {}\n"
           "tcpGateway: {}\n");
    told(f, SLD_FIELD_ONEOF, "tcpGateway");
    decode(f, SLD_KIND_VIRTUAL_SERVICE,
           "metadata: {name: a}\nvirtualHost: {routes: [{routeAction: {single: {upstream: {}}}, "
           "options: {timeout: 5}}]}\n");
    told(f, SLD_FIELD_FORMAT, "virtualHost.routes[0].options.timeout");
}

static void test_places_behind_an_element_with_errors(void **state)
{
    struct fixture *f = *state;
    decode(
        f, SLD_KIND_UPSTREAM,
        "metadata: {name: a}\nstatic: {hosts: [{addr: 5, port: x}, null, {addr: '', port: 1}]}\n");
    assert_int_equal(f->r.errors, 3);
    told(f, SLD_FIELD_TYPE, "static.hosts[0].port");
    told(f, SLD_FIELD_TYPE, "static.hosts[1]");
    told(f, SLD_FIELD_REQUIRED, "static.hosts[2].addr");
}

static void test_a_name_that_is_not_the_keys_is_told(void **state)
{
    struct fixture *f = *state;
    const Gloo__VirtualService *vs =
        decode(f, SLD_KIND_VIRTUAL_SERVICE, "metadata: {name: b, namespace: other}\n" BODY);
    assert_int_equal(f->r.errors, 0);
    assert_int_equal(f->r.warnings, 2);
    assert_non_null(told(f, SLD_DOC_PLACE, "metadata.name"));
    assert_non_null(told(f, SLD_DOC_PLACE, "metadata.namespace"));
    assert_string_equal(vs->metadata->name, "a");
    assert_string_equal(vs->metadata->namespace_, "ns");
}

static void test_one_finding_for_one_mistake(void **state)
{
    struct fixture *f = *state;
    // Neither that port must be at least 1, nor that a type of upstream is required.
    decode(f, SLD_KIND_UPSTREAM, "metadata: {name: a}\nstatic: {hosts: [{addr: h, port: x}]}\n");
    assert_int_equal(f->r.errors, 1);
    told(f, SLD_FIELD_TYPE, "static.hosts[0].port");
    decode(f, SLD_KIND_VIRTUAL_SERVICE,
           "metadata: {name: a}\nvirtualHost: {routes: [{routeAction: {clusterHeader: [x]}}]}\n");
    assert_int_equal(f->r.errors, 1);
    told(f, SLD_FIELD_TYPE, "virtualHost.routes[0].routeAction.clusterHeader");
    // What is wrong beside it stays.
    decode(f, SLD_KIND_GATEWAY, "metadata: {name: a}\nbindAddress: '::'\nbindPort: 80\nssl: x\n");
    assert_int_equal(f->r.errors, 2);
    told(f, SLD_FIELD_REQUIRED, "");
}

// ---- States of fields ----

struct state_case {
    enum sld_kind kind;
    enum sld_code code; // 0 = no finding
    const char *path, *text;
};

static void check_states(struct fixture *f, const struct state_case *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        decode(f, c[i].kind, c[i].text);
        if (f->r.errors)
            fail_msg("%s: %.*s", c[i].text, SLD_FMT(f->r.items[0].message));
        if (c[i].code == 0) {
            assert_int_equal(f->r.warnings, 0);
            continue;
        }
        const struct sld_finding *one = told(f, c[i].code, c[i].path);
        assert_int_equal(one->severity, SLD_WARNING);
    }
}

#define VS(options) "metadata: {name: a}\nvirtualHost: {options: {" options "}}\n"
#define RO(options) "metadata: {name: a}\noptions: {" options "}\n"
#define GW(options)                                                                                \
    "metadata: {name: a}\nbindAddress: '::'\nbindPort: 80\nhttpGateway: {options: {" options "}}"  \
    "\n"
#define US(fields) "metadata: {name: a}\nstatic: {hosts: [{addr: h, port: 1}]}\n" fields "\n"

static void test_fields_that_are_built_give_no_finding(void **state)
{
    static const struct state_case cases[] = {
        {SLD_KIND_UPSTREAM, 0, "",
         US("useHttp2: true\nconnectionConfig: {connectTimeout: 1s}\ncircuitBreakers: "
            "{maxRequests: 1}\nloadBalancerConfig: {maglev: {}}\noutlierDetection: "
            "{interval: 1s}\nsslConfig: {secretRef: {name: s}}\nhealthChecks: [{timeout: 1s, "
            "interval: 1s, healthyThreshold: 1, unhealthyThreshold: 1, tcpHealthCheck: {}}]")},
        {SLD_KIND_UPSTREAM, 0, "", "metadata: {name: a}\npipe: {path: /run/x}\n"},
        {SLD_KIND_SETTINGS, 0, "",
         "metadata: {name: a}\ndiscoveryNamespace: x\ngateway: {readGatewaysFromAllNamespaces: "
         "true, translateEmptyGateways: true, validation: {warnMissingTlsSecret: true}}\n"
         "gloo: {invalidConfigPolicy: {replaceInvalidRoutes: true}, circuitBreakers: {}}\n"
         "solder: {logLevel: debug}\n"},
    };
    check_states(*state, cases, SLD_ARRAY_LEN(cases));
}

static void test_fields_that_are_not_built_give_a_warning(void **state)
{
    static const struct state_case cases[] = {
        {SLD_KIND_ROUTE_OPTION, SLD_FIELD_NOT_BUILT, "options.idleTimeout", RO("idleTimeout: 1s")},
        {SLD_KIND_ROUTE_OPTION, SLD_FIELD_NOT_BUILT, "options.stagedTransformations",
         RO("stagedTransformations: {}")},
        {SLD_KIND_ROUTE_OPTION, SLD_FIELD_NOT_BUILT, "options.extauth",
         RO("extauth: {disable: true}")},
        {SLD_KIND_ROUTE_OPTION, SLD_FIELD_NOT_BUILT, "options.hostRewriteHeader",
         RO("hostRewriteHeader: x")},
        {SLD_KIND_VIRTUAL_SERVICE, SLD_FIELD_NOT_BUILT, "virtualHost.options.csrf",
         VS("csrf: {filterEnabled: {defaultValue: {}}}")},
        {SLD_KIND_GATEWAY, SLD_FIELD_NOT_BUILT, "httpGateway.options.buffer",
         GW("buffer: {maxRequestBytes: 9}")},
        {SLD_KIND_GATEWAY, SLD_FIELD_NOT_BUILT, "hybridGateway",
         "metadata: {name: a}\nbindAddress: '::'\nbindPort: 80\nhybridGateway: {}\n"},
        {SLD_KIND_UPSTREAM, SLD_FIELD_NOT_BUILT, "kube",
         "metadata: {name: a}\nkube: {serviceName: s, servicePort: 80}\n"},
        {SLD_KIND_UPSTREAM, SLD_FIELD_NOT_BUILT, "dnsRefreshRate", US("dnsRefreshRate: 1s")},
        {SLD_KIND_SETTINGS, SLD_FIELD_NOT_BUILT, "gloo.enableRestEds",
         "metadata: {name: a}\ngloo: {enableRestEds: true}\n"},
        {SLD_KIND_SETTINGS, SLD_FIELD_NOT_BUILT, "watchNamespaceSelectors",
         "metadata: {name: a}\nwatchNamespaceSelectors: [{matchLabels: {a: b}}]\n"},
        {SLD_KIND_SETTINGS, SLD_FIELD_NOT_BUILT, "kubernetesConfigSource",
         "metadata: {name: a}\nkubernetesConfigSource: {}\n"},
    };
    check_states(*state, cases, SLD_ARRAY_LEN(cases));
}

static void test_enterprise_fields_give_a_warning(void **state)
{
    static const struct state_case cases[] = {
        {SLD_KIND_ROUTE_OPTION, SLD_FIELD_ENTERPRISE, "options.waf", RO("waf: {any: [thing]}")},
        {SLD_KIND_ROUTE_OPTION, SLD_FIELD_ENTERPRISE, "options.jwtStaged", RO("jwtStaged: {x: 1}")},
        {SLD_KIND_VIRTUAL_SERVICE, SLD_FIELD_ENTERPRISE, "virtualHost.options.rbac",
         VS("rbac: {x: 1}")},
        {SLD_KIND_UPSTREAM, SLD_FIELD_ENTERPRISE, "failover", US("failover: {x: 1}")},
        {SLD_KIND_UPSTREAM, SLD_FIELD_ENTERPRISE, "gcp", "metadata: {name: a}\ngcp: {host: x}\n"},
    };
    check_states(*state, cases, SLD_ARRAY_LEN(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_all_forms_give_one_message),
        T(test_labels_and_annotations),
        T(test_config_map),
        T(test_metadata_is_there_whatever_the_document),
        T(test_unknown_fields_are_errors_with_a_suggestion),
        T(test_fields_beside_spec),
        T(test_types_and_constraints),
        T(test_places_behind_an_element_with_errors),
        T(test_a_name_that_is_not_the_keys_is_told),
        T(test_one_finding_for_one_mistake),
        T(test_fields_that_are_built_give_no_finding),
        T(test_fields_that_are_not_built_give_a_warning),
        T(test_enterprise_fields_give_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

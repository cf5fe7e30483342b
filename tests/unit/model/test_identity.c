// Which object a document is about, and which documents are none of ours.
#include "support.h"

struct outcome {
    enum sld_rc rc;
    enum sld_code code;
    struct sld_err err;
    struct sld_ident id;
};

static struct outcome at(struct fixture *f, const char *path, const char *text)
{
    struct outcome o = {0};
    struct sld_doc_place place = {.path = sld_str_c(path), .default_ns = SLD_STR("write-ns")};
    o.rc = sld_model_identify(tree(f, text), &place, &o.id, &o.code, &o.err);
    return o;
}

static struct outcome of(struct fixture *f, const char *text)
{
    return at(f, "a.yaml", text);
}

#define assert_id(o, k, namespace, n)                                                              \
    do {                                                                                           \
        struct outcome o_ = (o);                                                                   \
        if (o_.rc != SLD_OK)                                                                       \
            fail_msg("%s", o_.err.msg);                                                            \
        assert_int_equal(o_.id.kind, (k));                                                         \
        assert_str(o_.id.ns, (namespace));                                                         \
        assert_str(o_.id.name, (n));                                                               \
    } while (0)

#define assert_none(o, return_code, finding_code, words)                                           \
    do {                                                                                           \
        struct outcome o_ = (o);                                                                   \
        assert_int_equal(o_.rc, (return_code));                                                    \
        assert_int_equal(o_.code, (finding_code));                                                 \
        if (!strstr(o_.err.msg, (words)))                                                          \
            fail_msg("'%s' does not say '%s'", o_.err.msg, (words));                               \
    } while (0)

static void test_kubernetes_form(void **state)
{
    assert_id(of(*state, "apiVersion: gateway.solo.io/v1\nkind: VirtualService\n"
                         "metadata: {name: a, namespace: n}\nspec: {}\n"),
              SLD_KIND_VIRTUAL_SERVICE, "n", "a");
    assert_id(of(*state, "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: a.b-c}\n"),
              SLD_KIND_UPSTREAM, "write-ns", "a.b-c");
    assert_id(of(*state, "kind: Settings\nmetadata: {name: default, namespace: gloo-system}\n"),
              SLD_KIND_SETTINGS, "gloo-system", "default");
}

static void test_core_kinds(void **state)
{
    assert_id(of(*state, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"),
              SLD_KIND_ARTIFACT, "write-ns", "c");
    assert_id(of(*state, "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\n"
                         "metadata: {name: s}\n"),
              SLD_KIND_SECRET, "write-ns", "s");
    assert_id(of(*state, "apiVersion: gloo.solo.io/v1\nkind: Secret\nmetadata: {name: s}\n"
                         "aws: {}\n"),
              SLD_KIND_SECRET, "write-ns", "s");
}

// gloo-compat 2.3: <plural>/<namespace>/<name>.yaml, identity from metadata.
static void test_layout(void **state)
{
    const char *flat = "metadata: {name: a}\n", *said = "metadata: {name: a, namespace: said}\n";
    assert_id(at(*state, "upstreams/ns1/file.yaml", flat), SLD_KIND_UPSTREAM, "ns1", "a");
    assert_id(at(*state, "x/y/httpgateways/ns1/file.yaml", flat), SLD_KIND_MATCHABLE_HTTP_GATEWAY,
              "ns1", "a");
    assert_id(at(*state, "upstreams/ns1/deeper/file.yaml", flat), SLD_KIND_UPSTREAM, "ns1", "a");
    assert_id(at(*state, "upstreams/ns1/file.yaml", said), SLD_KIND_UPSTREAM, "said", "a");
    assert_id(at(*state, "secrets/ns1/file.yaml", "metadata: {name: a}\ntls: {}\n"),
              SLD_KIND_SECRET, "ns1", "a");
    // The last one counts.
    assert_id(at(*state, "upstreams/gateways/ns1/file.yaml", flat), SLD_KIND_GATEWAY, "ns1", "a");
    // A file right below the plural has no namespace.
    assert_none(at(*state, "upstreams/file.yaml", flat), SLD_NOT_FOUND, SLD_DOC_KIND, "no kind");
}

static void test_documents_win_over_the_layout(void **state)
{
    assert_id(at(*state, "upstreams/ns1/f.yaml", "kind: RouteTable\nmetadata: {name: a}\n"),
              SLD_KIND_ROUTE_TABLE, "write-ns", "a");
    assert_id(at(*state, "upstreams/ns1/f.yaml", "kind: Upstream\nmetadata: {name: a}\n"),
              SLD_KIND_UPSTREAM, "ns1", "a");
}

static void test_foreign(void **state)
{
    static const char *const docs[] = {
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: x}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n",
        "image: {repository: nginx, tag: latest}\n",
        "kind: Kustomization\nresources: [a.yaml]\n",
        "apiVersion: v1\nkind: PodList\nitems: [{kind: Pod}]\n",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(docs); i++) {
        struct outcome o = of(*state, docs[i]);
        assert_int_equal(o.rc, SLD_NOT_FOUND);
        assert_int_equal(o.code, SLD_DOC_FOREIGN);
        assert_true(o.err.msg[0]);
    }
}

static void test_kinds_of_gloo_that_are_not_read(void **state)
{
    assert_none(of(*state, "apiVersion: enterprise.gloo.solo.io/v1\nkind: AuthConfig\n"
                           "metadata: {name: x}\n"),
                SLD_NOT_FOUND, SLD_DOC_FOREIGN, "enterprise");
    assert_none(of(*state, "apiVersion: ratelimit.solo.io/v1alpha1\nkind: RateLimitConfig\n"
                           "metadata: {name: x}\n"),
                SLD_NOT_FOUND, SLD_DOC_FOREIGN, "enterprise");
}

static void test_unknown_kinds(void **state)
{
    assert_none(of(*state, "apiVersion: gloo.solo.io/v1\nkind: Upstreem\nmetadata: {name: x}\n"),
                SLD_NOT_FOUND, SLD_DOC_KIND, "did you mean \"Upstream\"?");
    assert_none(of(*state, "kind: virtualService\nmetadata: {name: x}\n"), SLD_NOT_FOUND,
                SLD_DOC_KIND, "did you mean \"VirtualService\"?");
    assert_none(of(*state, "apiVersion: gloo.solo.io/v1\nkind: Zebra\nmetadata: {name: x}\n"),
                SLD_NOT_FOUND, SLD_DOC_KIND, "no kind \"Zebra\"");
    assert_none(of(*state, "apiVersion: gateway.solo.io/v1\nkind: Upstream\n"
                           "metadata: {name: x}\n"),
                SLD_NOT_FOUND, SLD_DOC_KIND, "write apiVersion: gloo.solo.io/v1");
    assert_none(of(*state, "apiVersion: gateway.solo.io/v2\nkind: Gateway\nmetadata: {name: x}\n"),
                SLD_NOT_FOUND, SLD_DOC_KIND, "write apiVersion: gateway.solo.io/v1");
    assert_none(of(*state, "metadata: {name: x}\nvirtualHost: {}\n"), SLD_NOT_FOUND, SLD_DOC_KIND,
                "<plural>/<namespace>/");
    assert_none(of(*state, "kind: [a]\nmetadata: {name: x}\n"), SLD_NOT_FOUND, SLD_DOC_KIND,
                "no name");
}

// A file cut while it is written must not look like one that holds something else.
static void test_documents_that_are_no_mapping(void **state)
{
    assert_none(of(*state, "apiVersi\n"), SLD_NOT_FOUND, SLD_DOC_KIND, "a single value");
    assert_none(of(*state, "- a\n- b\n"), SLD_NOT_FOUND, SLD_DOC_KIND, "a list");
    assert_none(of(*state, "apiVersion: gloo.solo.io/v1\n"), SLD_NOT_FOUND, SLD_DOC_KIND,
                "no kind");
    assert_none(of(*state, "apiVersion: v1\nkind: List\n"), SLD_NOT_FOUND, SLD_DOC_KIND,
                "without items");
}

static void test_identity(void **state)
{
    assert_none(of(*state, "kind: Upstream\n"), SLD_INVALID, SLD_DOC_IDENTITY, "no metadata.name");
    assert_none(of(*state, "kind: Upstream\nmetadata: {namespace: n}\n"), SLD_INVALID,
                SLD_DOC_IDENTITY, "no metadata.name");
    assert_none(of(*state, "kind: Upstream\nmetadata: {name: Big}\n"), SLD_INVALID,
                SLD_DOC_IDENTITY, "\"Big\" is no DNS-1123 name");
    assert_none(of(*state, "kind: Upstream\nmetadata: {name: [a]}\n"), SLD_INVALID,
                SLD_DOC_IDENTITY, "metadata.name");
    assert_none(of(*state, "kind: Upstream\nmetadata: {name: a, namespace: a/b}\n"), SLD_INVALID,
                SLD_DOC_IDENTITY, "metadata.namespace \"a/b\"");
    assert_none(of(*state, "kind: Upstream\nmetadata: {name: a, namespace: {}}\n"), SLD_INVALID,
                SLD_DOC_IDENTITY, "metadata.namespace");
    assert_none(at(*state, "upstreams/My NS/f.yaml", "metadata: {name: a}\n"), SLD_INVALID,
                SLD_DOC_IDENTITY, "directory's namespace \"My NS\"");
    assert_id(of(*state, "kind: Upstream\nmetadata: {name: 10}\n"), SLD_KIND_UPSTREAM, "write-ns",
              "10");
}

// Design 10: what Gloo wrote itself is no input.
static void test_leftovers_of_gloo(void **state)
{
    assert_none(of(*state, "kind: Proxy\nmetadata: {name: gateway-proxy, "
                           "labels: {created_by: gloo-gateway}}\n"),
                SLD_NOT_FOUND, SLD_DOC_FOREIGN, "written by Gloo");
    assert_none(of(*state, "kind: Upstream\nmetadata: {name: default-petstore-8080, "
                           "labels: {discovered_by: kubernetesplugin}}\n"),
                SLD_NOT_FOUND, SLD_DOC_FOREIGN, "discovery");
    assert_id(of(*state, "kind: Proxy\nmetadata: {name: mine}\n"), SLD_KIND_PROXY, "write-ns",
              "mine");
}

static void test_discovered_upstreams_can_be_adopted(void **state)
{
    struct outcome o = {0};
    struct sld_doc_place place = {
        .path = SLD_STR("a.yaml"), .default_ns = SLD_STR("n"), .adopt_discovered = true};
    const char *text =
        "kind: Upstream\nmetadata: {name: a, labels: {discovered_by: consulplugin}}\n";
    assert_none(of(*state, text), SLD_NOT_FOUND, SLD_DOC_FOREIGN, "adoptDiscovered");
    o.rc = sld_model_identify(tree(*state, text), &place, &o.id, &o.code, &o.err);
    assert_id(o, SLD_KIND_UPSTREAM, "n", "a");
}

static struct outcome keyed(struct fixture *f, const char *key, const char *text)
{
    struct outcome o = {0};
    struct sld_doc_place place = {
        .path = sld_str_c(key), .default_ns = SLD_STR("write-ns"), .keyed = true};
    o.rc = sld_model_identify(tree(f, text), &place, &o.id, &o.code, &o.err);
    return o;
}

// gloo-compat 2.2: <group>/<version>/<Kind>/<namespace>/<name>; the key wins.
static void test_a_key_says_who(void **state)
{
    const char *vs = "gateway.solo.io/v1/VirtualService/gloo-system/default";
    assert_id(keyed(*state, vs, "virtualHost: {}\n"), SLD_KIND_VIRTUAL_SERVICE, "gloo-system",
              "default");
    assert_id(keyed(*state, vs, "{\"metadata\":{\"name\":\"other\",\"namespace\":\"x\"}}"),
              SLD_KIND_VIRTUAL_SERVICE, "gloo-system", "default");
    assert_id(keyed(*state, "gloo.solo.io/v1/Artifact/n/a.b", "kind: ConfigMap\n"),
              SLD_KIND_ARTIFACT, "n", "a.b");
    assert_none(keyed(*state, vs, "kind: RouteTable\nmetadata: {name: default}\n"), SLD_NOT_FOUND,
                SLD_DOC_KIND, "kind: RouteTable");
    assert_none(keyed(*state, "gloo.solo.io/v1/Proxy/n/p",
                      "metadata: {labels: {created_by: gloo-gateway}}\n"),
                SLD_NOT_FOUND, SLD_DOC_FOREIGN, "written by Gloo");
    assert_none(keyed(*state, vs, "- a\n"), SLD_NOT_FOUND, SLD_DOC_KIND, "a list");
}

static void test_keys_of_stores(void **state)
{
    static const struct {
        const char *key;
        enum sld_rc rc;
        enum sld_code code;
        const char *words;
    } rows[] = {
        {"gateway.solo.io/v1/VirtualService/n", SLD_INVALID, SLD_DOC_IDENTITY,
         "<namespace>/<name>"},
        {"gateway.solo.io/v1/VirtualService/n/", SLD_INVALID, SLD_DOC_IDENTITY, "the key's name"},
        {"gateway.solo.io/v1/VirtualService/n/a/b", SLD_INVALID, SLD_DOC_IDENTITY,
         "<namespace>/<name>"},
        {"gateway.solo.io/v1/VirtualService/N/a", SLD_INVALID, SLD_DOC_IDENTITY,
         "the key's namespace"},
        {"gateway.solo.io/v1/virtualservices/n/a", SLD_NOT_FOUND, SLD_DOC_KIND, "did you mean"},
        {"gateway.solo.io/v1/Upstream/n/a", SLD_NOT_FOUND, SLD_DOC_KIND,
         "gloo.solo.io/v1/Upstream/"},
        {"gateway.solo.io/v2/Gateway/n/a", SLD_NOT_FOUND, SLD_DOC_KIND,
         "gateway.solo.io/v1/Gateway/"},
        {"gloo.solo.io/v1/Secret/n/a", SLD_NOT_FOUND, SLD_DOC_FOREIGN, "Secrets"},
        {"enterprise.gloo.solo.io/v1/AuthConfig/n/a", SLD_NOT_FOUND, SLD_DOC_FOREIGN, "enterprise"},
        {"ratelimit.solo.io/v1alpha1/RateLimitConfig/n/a", SLD_NOT_FOUND, SLD_DOC_FOREIGN,
         "enterprise"},
        {"example.com/v1/Gateway/n/a", SLD_NOT_FOUND, SLD_DOC_FOREIGN, "example.com"},
        {"solder/sentinel", SLD_NOT_FOUND, SLD_DOC_FOREIGN, "no kind"},
        {"", SLD_NOT_FOUND, SLD_DOC_FOREIGN, "no kind"},
    };
    (void)state;
    for (size_t i = 0; i < SLD_ARRAY_LEN(rows); i++) {
        struct outcome o = {0};
        o.rc = sld_store_key_parse(sld_str_c(rows[i].key), &o.id, &o.code, &o.err);
        if (o.rc != rows[i].rc || o.code != rows[i].code)
            fail_msg("%s: %d, %d, %s", rows[i].key, o.rc, o.code, o.err.msg);
        assert_none(o, rows[i].rc, rows[i].code, rows[i].words);
    }
    for (int k = 0; k < SLD_KIND_COUNT; k++) {
        struct sld_arena a = {0};
        struct sld_ident id = {(enum sld_kind)k, SLD_STR("n"), SLD_STR("a")}, back;
        enum sld_rc rc = sld_store_key_parse(sld_store_key(&a, id), &back, NULL, NULL);
        assert_int_equal(rc, k == SLD_KIND_SECRET ? SLD_NOT_FOUND : SLD_OK);
        assert_true(rc != SLD_OK || (back.kind == id.kind && sld_str_eq(back.ns, id.ns)));
        sld_arena_fini(&a);
    }
}

static void test_secrets_and_config_maps_that_are_ignored(void **state)
{
    assert_none(of(*state, "apiVersion: v1\nkind: Secret\ntype: helm.sh/release.v1\n"
                           "metadata: {name: x}\ndata: {release: aGk=}\n"),
                SLD_NOT_FOUND, SLD_DOC_FOREIGN, "helm.sh/release.v1");
    assert_none(of(*state, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, annotations: "
                           "{control-plane.alpha.kubernetes.io/leader: '{}'}}\n"),
                SLD_NOT_FOUND, SLD_DOC_FOREIGN, "leader");
}

// ---- Lists ----

struct seen {
    char names[128];
    long last;
};

static void see(const struct sld_node *doc, long index, void *arg)
{
    struct seen *s = arg;
    size_t n = strlen(s->names);
    struct sld_str name =
        sld_node_text(sld_node_get(sld_node_get(doc, SLD_STR("metadata")), SLD_STR("name")));
    snprintf(s->names + n, sizeof(s->names) - n, "%.*s ", SLD_FMT(name));
    s->last = index;
}

static void test_lists(void **state)
{
    static const char *const lists[] = {"List", "VirtualServiceList", "SecretList",
                                        "ConfigMapList"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(lists); i++) {
        char text[200];
        struct seen s = {.last = -2};
        snprintf(text, sizeof(text),
                 "apiVersion: v1\nkind: %s\nitems:\n- metadata: {name: a}\n- metadata: {name: b}\n",
                 lists[i]);
        sld_model_each(tree(*state, text), see, &s);
        assert_string_equal(s.names, "a b ");
        assert_int_equal(s.last, 1);
    }
    struct seen one = {.last = -2}, foreign = {.last = -2}, empty = {.last = -2};
    sld_model_each(tree(*state, "kind: Upstream\nmetadata: {name: a}\n"), see, &one);
    assert_string_equal(one.names, "a ");
    assert_int_equal(one.last, -1);
    sld_model_each(tree(*state, "kind: AllowList\nmetadata: {name: a}\nitems: [x]\n"), see,
                   &foreign);
    assert_int_equal(foreign.last, -1);
    sld_model_each(tree(*state, "kind: List\nitems: []\n"), see, &empty);
    assert_int_equal(empty.last, -2);
}

static void test_a_list_inside_a_list_is_an_error(void **state)
{
    assert_none(of(*state, "apiVersion: v1\nkind: List\nitems: [{kind: Upstream}]\n"),
                SLD_NOT_FOUND, SLD_DOC_KIND, "inside another");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_kubernetes_form),
        T(test_core_kinds),
        T(test_layout),
        T(test_documents_win_over_the_layout),
        T(test_foreign),
        T(test_kinds_of_gloo_that_are_not_read),
        T(test_unknown_kinds),
        T(test_documents_that_are_no_mapping),
        T(test_identity),
        T(test_leftovers_of_gloo),
        T(test_discovered_upstreams_can_be_adopted),
        T(test_a_key_says_who),
        T(test_keys_of_stores),
        T(test_secrets_and_config_maps_that_are_ignored),
        T(test_lists),
        T(test_a_list_inside_a_list_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

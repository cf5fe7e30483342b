// Random lives of a configuration: after any edits of documents, secrets, settings, time and
// refusals the tables equal those built from scratch, every Envoy resource keeps Envoy's
// constraints, and route edits leave the listeners' bytes alone. The seed is printed; SLD_SEED=n
// repeats a run, SLD_ROUNDS=n makes it longer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "app/builtin.h"
#include "translate/feature.h"
#include "translate/translate.h"

// ---- Chance ----

static uint64_t state;

static unsigned pick(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 11) % n);
}

static bool chance(unsigned percent)
{
    return pick(100) < percent;
}

static const char *one_of(const char *const *list, unsigned n)
{
    return list[pick(n)];
}
#define ONE_OF(...)                                                                                \
    one_of((const char *const[]){__VA_ARGS__},                                                     \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

// ---- Documents ----

enum { NAMES = 4 };

static void name(struct sld_buf *b, const char *prefix)
{
    sld_buf_addf(b, "%s%u", prefix, pick(NAMES));
}

static void add_destination(struct sld_buf *b)
{
    if (chance(20)) {
        sld_buf_addf(
            b, "{consul: {serviceName: svc%u%s%s}}", pick(NAMES + 1), chance(15) ? "-tls" : "",
            chance(40) ? ONE_OF(", tags: [v1]", ", tags: [v1, v2]", ", dataCenters: [dc2]") : "");
        return;
    }
    if (chance(10)) {
        sld_buf_addf(b, "{upstream: {name: svc%u%s, namespace: gloo-system}}", pick(NAMES),
                     chance(20) ? "-tls" : "");
        return;
    }
    sld_buf_addf(b, "{upstream: {name: us%u, namespace: %s}%s}", pick(NAMES + 1),
                 ONE_OF("gloo-system", "other"), chance(10) ? ", subset: {values: {v: a}}" : "");
}

static void add_matcher(struct sld_buf *b)
{
    sld_buf_addf(b, "matchers: [{%s: %s%s%s}]", ONE_OF("prefix", "prefix", "exact", "regex"),
                 ONE_OF("/", "/a", "/a/b", "/a/b/c", "/x"),
                 chance(20) ? ", methods: [GET, POST]" : "",
                 chance(20) ? ", headers: [{name: x-a, value: b}]" : "");
}

static void add_options(struct sld_buf *b)
{
    sld_buf_addf(
        b, ", options: {%s}",
        ONE_OF("timeout: 1s", "prefixRewrite: /p", "retries: {retryOn: 5xx, numRetries: 2}",
               "hostRewrite: h", "cors: {allowOrigin: ['https://a']}",
               "faults: {abort: {percentage: 1, httpStatus: 503}}",
               "shadowing: {upstream: {name: us1, namespace: gloo-system}, percentage: 10}",
               "headerManipulation: {requestHeadersToAdd: [{header: {key: a, value: b}}]}",
               "headerManipulation: {requestHeadersToAdd: [{headerSecretRef: {name: sec0, "
               "namespace: gloo-system}}]}",
               "regexRewrite: {pattern: {regex: '('}, substitution: x}",
               "lbHash: {hashPolicies: [{header: x}]}", "tracing: {routeDescriptor: x}",
               "bogus: 1"));
}

static void add_route(struct sld_buf *b, bool table)
{
    sld_buf_addz(b, "{");
    add_matcher(b);
    sld_buf_addz(b, ", ");
    unsigned kind = pick(10);
    if (kind < 4) {
        sld_buf_addz(b, "routeAction: {single: ");
        add_destination(b);
        sld_buf_addz(b, "}");
    } else if (kind == 4) {
        sld_buf_addz(b, "routeAction: {multi: {destinations: [{weight: 1, destination: ");
        add_destination(b);
        sld_buf_addz(b, "}, {weight: 2, destination: ");
        add_destination(b);
        sld_buf_addz(b, "}]}}");
    } else if (kind == 5) {
        sld_buf_addf(b, "routeAction: {upstreamGroup: {name: ug%u, namespace: gloo-system}}",
                     pick(NAMES));
    } else if (kind == 6) {
        sld_buf_addz(b, ONE_OF("redirectAction: {hostRedirect: x}",
                               "directResponseAction: {status: 200, body: hi}"));
    } else {
        const char *how =
            ONE_OF("ref: {name: rt%u, namespace: gloo-system}", "selector: {labels: {team: t%u}}",
                   "selector: {expressions: [{key: team, operator: In, values: [t%u]}]}");
        sld_buf_addz(b, "delegateAction: {");
        char text[128];
        // The formats above are literals with one %u each.
        struct sld_str f = sld_str_c(how);
        ptrdiff_t at = sld_str_find(f, SLD_STR("%u"));
        snprintf(text, sizeof(text), "%.*s%u%s", (int)at, how, pick(NAMES), how + at + 2);
        sld_buf_addz(b, text);
        sld_buf_addz(b, "}");
    }
    if (chance(40))
        add_options(b);
    if (chance(10))
        sld_buf_addf(
            b, ", optionsConfigRefs: {delegateOptions: [{name: ro%u, namespace: gloo-system}]}",
            pick(NAMES));
    if (table && chance(20))
        sld_buf_addz(b, ", inheritablePathMatchers: true");
    sld_buf_addz(b, "}");
}

static void add_routes(struct sld_buf *b, bool table)
{
    sld_buf_addz(b, "routes: [");
    unsigned n = pick(4);
    for (unsigned i = 0; i < n; i++) {
        if (i)
            sld_buf_addz(b, ", ");
        add_route(b, table);
    }
    sld_buf_addz(b, "]");
}

static void virtual_service(struct sld_buf *b)
{
    sld_buf_addf(b, "virtualHost: {domains: ['%s'%s], ",
                 ONE_OF("*", "a.io", "b.io", "*.io", "A.io"), chance(20) ? ", c.io" : "");
    add_routes(b, false);
    if (chance(15))
        sld_buf_addz(
            b, ", optionsConfigRefs: {delegateOptions: [{name: vho0, namespace: gloo-system}]}");
    sld_buf_addz(b, "}\n");
    if (chance(25))
        sld_buf_addf(
            b, "sslConfig: {secretRef: {name: sec%u, namespace: gloo-system}, sniDomains: [%s]}\n",
            pick(NAMES), ONE_OF("a.io", "b.io", ""));
}

static void upstream(struct sld_buf *b)
{
    if (chance(25))
        sld_buf_addf(b, "consul: {serviceName: svc%u%s}\n", pick(NAMES),
                     ONE_OF("", ", subsetTags: [v1]", ", instanceTags: [v1]",
                            ", instanceBlacklistTags: [v1]", ", consistencyMode: StaleMode"));
    else
        sld_buf_addf(b, "static: {hosts: [{addr: %s, port: %u}]%s}\n",
                     ONE_OF("127.0.0.1", "10.0.0.1", "example.org", "not a host"), 80 + pick(3),
                     chance(20) ? ", subsetSpec: {selectors: [{keys: [v]}]}" : "");
    if (chance(20))
        sld_buf_addf(b, "sslConfig: {secretRef: {name: sec%u, namespace: gloo-system}}\n",
                     pick(NAMES));
    if (chance(10))
        sld_buf_addz(b, "healthChecks: [{timeout: 1s, interval: 1s, healthyThreshold: 1, "
                        "unhealthyThreshold: 1, tcpHealthCheck: {}}]\n");
}

#define TRACING(name)                                                                              \
    "options: {httpConnectionManagerSettings: {tracing: {zipkinConfig: {collectorEndpoint: /s, "   \
    "collectorUpstreamRef: {name: " name ", namespace: gloo-system}}}}}"

static void gateway(struct sld_buf *b)
{
    sld_buf_addf(b, "bindAddress: '::'\nbindPort: %u\nssl: %s\n", 8080 + pick(3),
                 chance(40) ? "true" : "false");
    if (chance(15))
        sld_buf_addz(b, "tcpGateway: {tcpHosts: [{name: t, destination: {single: {upstream: {name: "
                        "us0, namespace: gloo-system}}}}]}\n");
    else
        sld_buf_addf(b, "httpGateway: {%s}\n",
                     ONE_OF("", "virtualServiceSelector: {team: t0}",
                            "options: {healthCheck: {path: /h}}",
                            "options: {grpcWeb: {disable: true}}", TRACING("us1"), TRACING("us2")));
    if (chance(15))
        sld_buf_addz(b, ONE_OF("useProxyProto: true\n", "options: {proxyProtocol: {}}\n"));
}

static void body(struct sld_buf *b, enum sld_kind k)
{
    switch (k) {
    case SLD_KIND_VIRTUAL_SERVICE:
        virtual_service(b);
        break;
    case SLD_KIND_ROUTE_TABLE:
        add_routes(b, true);
        sld_buf_addf(b, "\nweight: %u\n", pick(2));
        break;
    case SLD_KIND_UPSTREAM:
        upstream(b);
        break;
    case SLD_KIND_UPSTREAM_GROUP:
        sld_buf_addz(b, "destinations: [{weight: 1, destination: ");
        add_destination(b);
        sld_buf_addz(b, "}]\n");
        break;
    case SLD_KIND_GATEWAY:
        gateway(b);
        break;
    case SLD_KIND_ROUTE_OPTION:
        sld_buf_addz(b, "options: {timeout: 3s}\n");
        break;
    case SLD_KIND_VIRTUAL_HOST_OPTION:
        sld_buf_addf(b, "options: {retries: {retryOn: '%s'}}\n", ONE_OF("5xx", "reset"));
        break;
    default:
        sld_buf_addf(b, "header: {headers: {X-Key: v%u}}\n", pick(3));
        break;
    }
}

static const struct {
    enum sld_kind kind;
    const char *prefix;
} kinds[] = {
    {SLD_KIND_VIRTUAL_SERVICE, "vs"}, {SLD_KIND_VIRTUAL_SERVICE, "vs"},
    {SLD_KIND_VIRTUAL_SERVICE, "vs"}, {SLD_KIND_ROUTE_TABLE, "rt"},
    {SLD_KIND_ROUTE_TABLE, "rt"},     {SLD_KIND_UPSTREAM, "us"},
    {SLD_KIND_UPSTREAM, "us"},        {SLD_KIND_UPSTREAM, "svc"},
    {SLD_KIND_UPSTREAM_GROUP, "ug"},  {SLD_KIND_GATEWAY, "gw"},
    {SLD_KIND_ROUTE_OPTION, "ro"},    {SLD_KIND_VIRTUAL_HOST_OPTION, "vho"},
    {SLD_KIND_SECRET, "sec"},
};

static struct sld_raw *document(struct sld_ident id, bool broken)
{
    struct sld_buf b;
    sld_buf_init(&b, 1U << 16);
    sld_buf_addf(&b, "metadata: {name: %.*s, namespace: %.*s, labels: {team: t%u}}\n",
                 SLD_FMT(id.name), SLD_FMT(id.ns), pick(NAMES));
    body(&b, id.kind);
    if (broken)
        sld_buf_addz(&b, "nonsense: true\n");
    struct sld_doc_place place = {.path = SLD_STR("f.yaml"), .default_ns = id.ns};
    struct sld_raw *raw = sld_raw_create(id, sld_buf_str(&b), 1, -1, SLD_STR("f.yaml"), &place);
    sld_buf_fini(&b);
    return raw;
}

// ---- The run ----

struct world {
    struct sld_translate *t;
    int64_t now_s;
};

static void edit(struct world *w)
{
    unsigned i = pick(SLD_ARRAY_LEN(kinds));
    struct sld_buf n;
    sld_buf_init(&n, 64);
    name(&n, kinds[i].prefix);
    struct sld_ident id = {kinds[i].kind, SLD_STR("gloo-system"), sld_buf_str(&n)};
    if (chance(20)) {
        sld_translate_set(w->t, id, NULL);
    } else {
        struct sld_raw *raw = document(id, chance(10));
        if (chance(3))
            sld_translate_restore(w->t, raw);
        else
            sld_translate_set(w->t, id, raw);
        SLD_UNREF(raw);
    }
    sld_buf_fini(&n);
}

static void change_service(struct world *w)
{
    static const struct sld_str tags[] = {SLD_STR_INIT("v1"), SLD_STR_INIT("v2"),
                                          SLD_STR_INIT("glooUseTls")};
    static const struct sld_str dcs[] = {SLD_STR_INIT("dc1"), SLD_STR_INIT("dc2")};
    char text[16];
    snprintf(text, sizeof(text), "svc%u", pick(NAMES));
    struct sld_str consul = SLD_STR("consul"), service = sld_str_c(text);
    if (chance(50)) {
        struct sld_service *s =
            sld_service_create(service, tags + pick(2), pick(3), dcs, 1 + pick(2));
        sld_translate_set_service(w->t, consul, service, chance(20) ? NULL : s);
        SLD_UNREF(s);
        return;
    }
    struct sld_instances *set = sld_instances_create();
    for (unsigned n = pick(4); n > 0; n--) {
        struct sld_instance it = {.address = sld_str_c(ONE_OF("10.0.0.1", "10.0.0.2", "::1")),
                                  .port = 80 + pick(2),
                                  .weight = pick(3),
                                  .draining = chance(30),
                                  .tags = (struct sld_str *)tags + pick(2),
                                  .tag_count = pick(3),
                                  .datacenter = dcs[pick(2)]};
        sld_instances_add(set, &it);
    }
    sld_instances_seal(set);
    sld_translate_set_instances(w->t, consul, service, chance(10) ? NULL : set, chance(30));
    SLD_UNREF(set);
}

static void change_settings(struct world *w)
{
    Gloo__Settings s = GLOO__SETTINGS__INIT;
    Gloo__GlooOptions g = GLOO__GLOO_OPTIONS__INIT;
    Gloo__GlooOptions__InvalidConfigPolicy p = GLOO__GLOO_OPTIONS__INVALID_CONFIG_POLICY__INIT;
    p.replace_invalid_routes = chance(50);
    Google__Protobuf__BoolValue no_grpc_web = GOOGLE__PROTOBUF__BOOL_VALUE__INIT;
    no_grpc_web.value = chance(50);
    g.disable_grpc_web = &no_grpc_web;
    g.invalid_config_policy = &p;
    s.gloo = &g;
    Gloo__ConsulConfiguration consul = GLOO__CONSUL_CONFIGURATION__INIT;
    Gloo__ConsulConfiguration__ServiceDiscoveryOptions on =
        GLOO__CONSUL_CONFIGURATION__SERVICE_DISCOVERY_OPTIONS__INIT;
    Gloo__ConsulUpstreamDiscoveryConfiguration how =
        GLOO__CONSUL_UPSTREAM_DISCOVERY_CONFIGURATION__INIT;
    Gloo__ResourceRef root = GLOO__RESOURCE_REF__INIT;
    char *allowed[] = {"v1"};
    consul.service_discovery = chance(90) ? &on : NULL;
    how.usetlstagging = chance(50);
    how.splittlsservices = chance(50);
    how.rootca = &root;
    root.name = "sec0";
    how.service_tags_allowlist = allowed;
    how.n_service_tags_allowlist = chance(20);
    s.consul = &consul;
    s.consuldiscovery = &how;
    sld_translate_set_settings(w->t, chance(30) ? NULL : &s);
}

// An Envoy's word about a random resource.
struct verdict {
    struct world *w;
    unsigned left;
};

static void judge(const struct sld_out *o, void *arg)
{
    struct verdict *v = arg;
    if (v->left-- != 0)
        return;
    struct sld_out copy = *o; // the names outlive the call: rows stay until the next round
    if (chance(60))
        sld_translate_taken(v->w->t, copy.type, copy.view, copy.name, copy.content,
                            SLD_STR("envoy"));
    else
        sld_translate_refused(v->w->t, copy.type, copy.view, copy.name, copy.content,
                              SLD_STR("envoy"), SLD_STR("no"));
}

static void check_constraints(const struct sld_out *o, void *arg)
{
    (void)arg;
    struct sld_arena a = {0};
    struct sld_err err = {0};
    ProtobufCMessage *m = sld_msg_decode(&a, sld_out_type_desc(o->type), o->bytes, 100, &err);
    if (!m)
        fail_msg("%s %.*s: %s", sld_out_type_name(o->type), SLD_FMT(o->name), err.msg);
    struct sld_report r = {.arena = &a};
    sld_msg_check(&r, m, 0, NULL);
    if (r.errors)
        fail_msg("%s %.*s: %.*s: %.*s", sld_out_type_name(o->type), SLD_FMT(o->name),
                 SLD_FMT(r.items[0].path), SLD_FMT(r.items[0].message));
    sld_arena_fini(&a);
}

// Names of clusters: those that all views share, and "<view>\n<name>" of the empty ones.
static void collect_clusters(const struct sld_out *o, void *arg)
{
    struct sld_map *clusters = arg;
    struct sld_arena a = {0};
    if (o->type == SLD_OUT_CLUSTER)
        sld_map_set(clusters,
                    o->view.n ? sld_arena_fmt(&a, "%.*s\n%.*s", SLD_FMT(o->view), SLD_FMT(o->name))
                              : o->name,
                    clusters);
    sld_arena_fini(&a);
}

// What a listener sends to exists for its Envoys.
static void check_clusters(const struct sld_out *o, void *arg)
{
    struct sld_map *clusters = arg;
    for (size_t i = 0; o->type == SLD_OUT_LISTENER && i < o->cluster_count; i++) {
        struct sld_arena a = {0};
        struct sld_str c = o->clusters[i];
        if (!sld_map_has(clusters, c) &&
            !sld_map_has(clusters, sld_arena_fmt(&a, "%.*s\n%.*s", SLD_FMT(o->view), SLD_FMT(c))))
            fail_msg("listener %.*s has no cluster %.*s", SLD_FMT(o->name), SLD_FMT(c));
        sld_arena_fini(&a);
    }
}

static void check_same(struct world *w, unsigned round)
{
    struct sld_err err = {0};
    if (sld_translate_verify(w->t, &err))
        fail_msg("round %u: %s", round, err.msg);
    sld_translate_outs(w->t, check_constraints, NULL);
    struct sld_map clusters = {0};
    sld_translate_outs(w->t, collect_clusters, &clusters);
    sld_translate_outs(w->t, check_clusters, &clusters);
    sld_map_fini(&clusters);
}

static void test_random_lives(void **unused)
{
    (void)unused;
    const char *seed = getenv("SLD_SEED"), *rounds = getenv("SLD_ROUNDS");
    state = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761U + 1;
    unsigned n = rounds ? (unsigned)strtoul(rounds, NULL, 10) : 400;
    print_message("SLD_SEED=%llu\n", (unsigned long long)state);
    struct world w = {.now_s = 1790000000};
    struct sld_translate_options o = {.features = sld_builtin_features,
                                      .feature_count = sld_builtin_feature_count,
                                      .now_s = w.now_s};
    w.t = sld_translate_create(&o);
    for (unsigned round = 0; round < n; round++) {
        unsigned edits = 1 + pick(round < 5 ? 30 : 4);
        for (unsigned i = 0; i < edits; i++)
            edit(&w);
        for (unsigned i = pick(3); i > 0; i--)
            change_service(&w);
        if (chance(5))
            change_settings(&w);
        if (chance(5))
            sld_translate_set_now(w.t, w.now_s += 86400);
        struct sld_translate_result r = {0};
        sld_translate_run(w.t, &r);
        sld_translate_result_fini(&r);
        check_same(&w, round);
        if (chance(50)) {
            struct verdict v = {&w, pick(12)};
            sld_translate_outs(w.t, judge, &v);
        }
    }
    sld_translate_destroy(w.t);
}

// Content of each listener ever seen, by name.
static void remember(const struct sld_out *o, void *arg)
{
    struct sld_map *seen = arg;
    if (o->type != SLD_OUT_LISTENER || o->need_count != 1)
        return; // of HTTPS the sets of certificates may change
    struct sld_blob *was = sld_map_get(seen, o->name);
    if (!was)
        sld_map_set(seen, o->name, sld_blob_create(o->bytes));
    else
        assert_true(sld_hash_eq(was->obj.hash, o->content));
}

static void test_listeners_stay(void **unused)
{
    (void)unused;
    static const struct {
        enum sld_kind kind;
        const char *prefix;
    } edited[] = {
        {SLD_KIND_VIRTUAL_SERVICE, "vs"}, {SLD_KIND_ROUTE_TABLE, "rt"}, {SLD_KIND_UPSTREAM, "us"}};
    state = (uint64_t)time(NULL) * 2654435761U + 1;
    print_message("SLD_SEED=%llu\n", (unsigned long long)state);
    struct sld_translate_options o = {.features = sld_builtin_features,
                                      .feature_count = sld_builtin_feature_count,
                                      .now_s = 1790000000};
    struct sld_translate *t = sld_translate_create(&o);
    struct sld_map seen = {0};
    struct sld_doc_place place = {.path = SLD_STR("f.yaml"), .default_ns = SLD_STR("gloo-system")};
    struct sld_ident traced = {SLD_KIND_GATEWAY, SLD_STR("gloo-system"), SLD_STR("traced")};
    struct sld_raw *gw = sld_raw_create(
        traced,
        SLD_STR("metadata: {name: traced, namespace: gloo-system}\nbindAddress: '::'\n"
                "bindPort: 8080\nhttpGateway: {" TRACING("us1") "}\n"),
        1, -1, SLD_STR("f.yaml"), &place);
    sld_translate_set(t, traced, gw);
    SLD_UNREF(gw);
    for (unsigned round = 0; round < 300; round++) {
        unsigned i = pick(SLD_ARRAY_LEN(edited));
        struct sld_buf n;
        sld_buf_init(&n, 64);
        name(&n, edited[i].prefix);
        struct sld_ident id = {edited[i].kind, SLD_STR("gloo-system"), sld_buf_str(&n)};
        struct sld_raw *raw = chance(20) ? NULL : document(id, false);
        sld_translate_set(t, id, raw);
        SLD_UNREF(raw);
        sld_buf_fini(&n);
        struct sld_translate_result r = {0};
        sld_translate_run(t, &r);
        sld_translate_result_fini(&r);
        sld_translate_outs(t, remember, &seen);
    }
    assert_true(sld_map_count(&seen) > 0);
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&seen, &at));) {
        struct sld_blob *b = slot->value;
        SLD_UNREF(b);
    }
    sld_map_fini(&seen);
    sld_translate_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_lives),
        cmocka_unit_test(test_listeners_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

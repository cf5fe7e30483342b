// Services that discovery found: what an edit touches, what is wanted of the outside, which
// upstreams stand for them.
#include "route_world.h"

#include "envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "envoy/config/endpoint/v3/endpoint_components.pb-c.h"
#include "settings_store.pb-c.h"
#include "translate/service.h"

#define CONSUL SLD_STR("consul")
#define TABLE "listener-::-8080-routes"

// What a run told, as text: "+type name" and "-type name" of resources, "?key" and "!key" of wants.
static const char *told(struct world *w)
{
    struct sld_translate_result r = {0};
    struct sld_buf b;
    sld_buf_init(&b, 1 << 16);
    sld_translate_run(w->t, &r);
    for (size_t i = 0; i < r.out_count; i++)
        sld_buf_addf(&b, "%c%s %.*s\n", r.outs[i].res ? '+' : '-',
                     sld_out_type_name(r.outs[i].type), SLD_FMT(r.outs[i].name));
    for (size_t i = 0; i < r.confirmed_count; i++)
        sld_buf_addf(&b, "= %.*s\n", SLD_FMT(r.confirmed[i]));
    for (size_t i = 0; i < r.want_count; i++)
        sld_buf_addf(&b, "%c%.*s\n", r.wants[i].wanted ? '?' : '!', SLD_FMT(r.wants[i].key));
    sld_translate_result_fini(&r);
    struct sld_err err = {0};
    if (sld_translate_verify(w->t, &err))
        fail_msg("%s", err.msg);
    const char *text = sld_arena_cstr(&w->a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return text;
}

// Settings that ask for services of Consul, and the rest of them as YAML.
static void settings(struct world *w, const char *more)
{
    const char *text =
        sld_arena_cstr(&w->a, sld_arena_fmt(&w->a, "consul: {serviceDiscovery: {}}\n%s", more));
    struct sld_document *docs;
    size_t n;
    enum sld_code code;
    struct sld_err err;
    assert_int_equal(
        sld_doc_read(&w->a, sld_str_c(text), &sld_doc_limits_default, &docs, &n, &code, &err),
        SLD_OK);
    struct sld_report r = {.arena = &w->a};
    Gloo__Settings *s = sld_doc_decode(&w->a, &gloo__settings__descriptor, docs[0].root, false, &r);
    assert_int_equal(r.errors, 0);
    sld_translate_set_settings(w->t, s);
}

// TAGS are separated by blanks.
static void service(struct world *w, const char *name, const char *tags)
{
    struct sld_str all = sld_str_c(tags), tag, list[8] = {{0}}, dc = SLD_STR("dc1");
    size_t n = 0;
    while (all.n && sld_str_cut(&all, ' ', &tag))
        list[n++] = tag;
    struct sld_service *s = sld_service_create(sld_str_c(name), list, n, &dc, 1);
    sld_translate_set_service(w->t, CONSUL, s->name, s);
    SLD_UNREF(s);
}

static void no_service(struct world *w, const char *name)
{
    sld_translate_set_service(w->t, CONSUL, sld_str_c(name), NULL);
}

static void instances_known(struct world *w, const char *name, unsigned n, unsigned well, bool past)
{
    struct sld_instances *s = sld_instances_create();
    for (unsigned i = 0; i < n; i++) {
        struct sld_instance it = {.address = sld_arena_fmt(&w->a, "10.0.0.%u", i + 1),
                                  .port = 80,
                                  .draining = i >= well,
                                  .datacenter = SLD_STR("dc1")};
        assert_true(sld_instances_add(s, &it));
    }
    sld_instances_seal(s);
    sld_translate_set_instances(w->t, CONSUL, sld_str_c(name), s, past);
    SLD_UNREF(s);
}

// N instances of NAME, the first WELL of which do not end.
static void instances(struct world *w, const char *name, unsigned n, unsigned well)
{
    instances_known(w, name, n, well, false);
}

// What O says.
static const Env__Endpoint__ClusterLoadAssignment *assignment(struct world *w, const struct sld_out *o)
{
    struct sld_err err;
    union {
        const struct sld_out *frozen;
        struct sld_out *own;
    } u = {o}; // only a count of references changes
    struct sld_str bytes;
    struct sld_obj *owner = sld_out_open(u.own, &bytes);
    assert_int_equal(bytes.n, sld_out_size(o));
    assert_true(sld_hash_eq(o->content, sld_hash_bytes(bytes)));
    const Env__Endpoint__ClusterLoadAssignment *m =
        sld_msg_decode(&w->a, sld_out_type_desc(o->type), bytes, 100, &err);
    assert_non_null(m);
    SLD_UNREF(owner);
    return m;
}

// Endpoints of a cluster as text, "d" behind those that drain; "-" without an assignment.
static const char *endpoints(struct world *w, const char *cluster)
{
    const struct sld_out *o = out(w, SLD_OUT_ENDPOINT, cluster);
    if (!o)
        return "-";
    const Env__Endpoint__ClusterLoadAssignment *m = assignment(w, o);
    struct sld_buf b;
    sld_buf_init(&b, 1 << 16);
    for (size_t i = 0; m->n_endpoints && i < m->endpoints[0]->n_lb_endpoints; i++) {
        const Env__Endpoint__LbEndpoint *e = m->endpoints[0]->lb_endpoints[i];
        sld_buf_addf(&b, "%s%s%s", i ? " " : "", e->endpoint->address->socket_address->address,
                     e->health_status == ENV__CORE__HEALTH_STATUS__DRAINING ? "d" : "");
    }
    const char *text = sld_arena_cstr(&w->a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return text;
}

static void give(struct world *w, const char *text)
{
    struct sld_document *docs;
    size_t n;
    enum sld_code code;
    struct sld_err err;
    assert_int_equal(
        sld_doc_read(&w->a, sld_str_c(text), &sld_doc_limits_default, &docs, &n, &code, &err),
        SLD_OK);
    struct sld_doc_place place = {.path = SLD_STR("t.yaml"), .default_ns = SLD_STR("gloo-system")};
    struct sld_node *meta = sld_node_get(docs[0].root, SLD_STR("metadata"));
    const struct sld_kind_info *k =
        sld_kind_find(sld_node_text(sld_node_get(docs[0].root, SLD_STR("kind"))));
    struct sld_ident id = {k->kind, SLD_STR("gloo-system"),
                           sld_node_text(sld_node_get(meta, SLD_STR("name")))};
    struct sld_raw *raw = sld_raw_create(id, docs[0].text, 1, -1, SLD_STR("file:t.yaml"), &place);
    sld_translate_set(w->t, id, raw);
    SLD_UNREF(raw);
}

static void take(struct world *w, const char *key)
{
    struct sld_ident id;
    assert_true(sld_ident_parse(sld_str_c(key), &id));
    sld_translate_set(w->t, id, NULL);
}

#define ROUTE_TO(destination)                                                                      \
    "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: vs}\n"                 \
    "virtualHost: {routes: [{routeAction: {single: {" destination "}}}]}\n"
#define UPSTREAM(name, body)                                                                       \
    "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: " name "}\n" body

static int setup(void **state)
{
    struct world *w = *state = world_create(NULL, 0);
    settings(w, "");
    world_run(w);
    return 0;
}

static int teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void test_instances_touch_one_assignment(void **state)
{
    struct world *w = *state;
    give(w, ROUTE_TO("consul: {serviceName: web}"));
    service(w, "web", "v1");
    instances(w, "web", 1, 1);
    service(w, "other", "v1");
    instances(w, "other", 1, 1);
    told(w);
    instances(w, "web", 3, 3);
    assert_string_equal(told(w), "+eds consul-svc:web_gloo-system\n");
    assert_string_equal(endpoints(w, "consul-svc:web_gloo-system"), "10.0.0.1 10.0.0.2 10.0.0.3");
    instances(w, "web", 3, 2);
    assert_string_equal(told(w), "+eds consul-svc:web_gloo-system\n");
    instances(w, "web", 3, 2);   // the same again
    instances(w, "other", 2, 2); // nobody refers to it
    assert_string_equal(told(w), "");
    instances(w, "web", 0, 0);
    assert_string_equal(told(w), "+eds consul-svc:web_gloo-system\n");
    assert_string_equal(endpoints(w, "consul-svc:web_gloo-system"), "");
}

// Of many endpoints the recipe is kept, which makes the same bytes again.
static void test_many_endpoints_take_little(void **state)
{
    struct world *w = *state;
    give(w, ROUTE_TO("consul: {serviceName: web}"));
    service(w, "web", "v1");
    instances(w, "web", 50, 50);
    told(w);
    const char *text = endpoints(w, "consul-svc:web_gloo-system");
    assert_non_null(strstr(text, "10.0.0.1 "));
    assert_non_null(strstr(text, " 10.0.0.49 10.0.0.5 ")); // in order of their addresses
    assert_int_equal(sld_str_c(text).n, strlen("10.0.0.1") * 9 + strlen("10.0.0.10") * 41 + 49);
    const struct sld_out *o = out(w, SLD_OUT_ENDPOINT, "consul-svc:web_gloo-system");
    assert_non_null(o->recipe);
    assert_null(o->bytes.p);
    instances(w, "web", 50, 50); // the same again
    assert_string_equal(told(w), "");
}

// A cluster is there, and instances are asked for, while somebody refers to the service.
static void test_only_what_is_referred_to(void **state)
{
    struct world *w = *state;
    service(w, "web", "");
    service(w, "api", "");
    assert_string_equal(told(w), "");
    give(w, ROUTE_TO("consul: {serviceName: web}"));
    const char *text = told(w);
    assert_non_null(strstr(text, "?consul\nweb\n"));
    assert_non_null(strstr(text, "+cds consul-svc:web_gloo-system\n"));
    assert_null(strstr(text, "eds")); // nothing is known of its instances
    assert_null(strstr(text, "api"));
    give(w, ROUTE_TO("consul: {serviceName: api}"));
    text = told(w);
    assert_non_null(strstr(text, "-cds consul-svc:web_gloo-system\n"));
    assert_non_null(strstr(text, "+cds consul-svc:api_gloo-system\n"));
    assert_non_null(strstr(text, "!consul\nweb\n"));
    assert_non_null(strstr(text, "?consul\napi\n"));
    take(w, "virtualservices/gloo-system/vs");
    text = told(w);
    assert_non_null(strstr(text, "-cds consul-svc:api_gloo-system\n"));
    assert_non_null(strstr(text, "!consul\napi\n"));
    // An upstream of a user's own needs no reference.
    give(w, UPSTREAM("u", "consul: {serviceName: web}"));
    text = told(w);
    assert_non_null(strstr(text, "+cds u_gloo-system\n"));
    assert_non_null(strstr(text, "?consul\nweb\n"));
}

// A service that comes after the route that refers to it.
static void test_service_comes_and_goes(void **state)
{
    struct world *w = *state;
    give(w, ROUTE_TO("consul: {serviceName: web}"));
    told(w);
    assert_finding(w, "virtualservices/gloo-system/vs", SLD_REF_SERVICE, SLD_WARNING,
                   "virtualHost.routes[0].routeAction.single.consul");
    assert_int_equal(out(w, SLD_OUT_ROUTE, TABLE)->cluster_count, 0);
    service(w, "web", "");
    assert_non_null(strstr(told(w), "+cds consul-svc:web_gloo-system\n"));
    assert_clean(w, "virtualservices/gloo-system/vs");
    assert_clean(w, "upstreams/gloo-system/consul-svc:web");
    assert_int_equal(out(w, SLD_OUT_ROUTE, TABLE)->cluster_count, 1);
    no_service(w, "web");
    assert_non_null(strstr(told(w), "-cds consul-svc:web_gloo-system\n"));
    assert_null(sld_translate_status(w->t, SLD_STR("upstreams/gloo-system/consul-svc:web")));
    sld_translate_set_settings(w->t, NULL);
    service(w, "web", "");
    told(w);
    assert_finding(w, "virtualservices/gloo-system/vs", SLD_REF_SERVICE, SLD_WARNING,
                   "virtualHost.routes[0].routeAction.single.consul");
}

#define ROUTE_BY_HEADER                                                                            \
    "apiVersion: gateway.solo.io/v1\nkind: VirtualService\nmetadata: {name: vs}\n"                 \
    "virtualHost: {routes: [{routeAction: {clusterHeader: x-to}}]}\n"

// A route that leaves the choice of the cluster to the request may mean any service.
// Nothing is missing before the catalog was told; what is missing then is.
static void test_nothing_is_missing_in_a_catalog_to_come(void **state)
{
    struct world *w = *state;
    const char *vs = "virtualservices/gloo-system/vs", *up = "upstreams/gloo-system/up";
    sld_translate_catalog(w->t, CONSUL, SLD_CATALOG_AWAITED);
    give(w, ROUTE_TO("consul: {serviceName: web}"));
    give(w, UPSTREAM("up", "consul: {serviceName: web}\n"));
    told(w);
    assert_clean(w, vs);
    assert_clean(w, up);
    sld_translate_catalog(w->t, CONSUL, SLD_CATALOG_TOLD);
    told(w);
    assert_finding(w, vs, SLD_REF_SERVICE, SLD_WARNING,
                   "virtualHost.routes[0].routeAction.single.consul");
    assert_finding(w, up, SLD_REF_SERVICE, SLD_WARNING, "consul.serviceName");
}

// Of a registry that is away since before the start nobody knows what it has: a finding tells so, and what Envoys
// have of it stays in use.
static void test_a_catalog_unheard_of_takes_nothing_away(void **state)
{
    struct world *w = *state;
    const char *vs = "virtualservices/gloo-system/vs", *in = "virtualHost.routes[0].routeAction.single";
    char path[128];
    sld_translate_catalog(w->t, CONSUL, SLD_CATALOG_UNHEARD);
    give(w, ROUTE_TO("consul: {serviceName: web}"));
    told(w);
    snprintf(path, sizeof(path), "%s.consul", in);
    assert_finding(w, vs, SLD_REF_SERVICE, SLD_WARNING, path);
    assert_int_equal(out(w, SLD_OUT_ROUTE, TABLE)->cluster_count, 1);
    assert_true(sld_str_eq(out(w, SLD_OUT_ROUTE, TABLE)->clusters[0], SLD_STR("consul-svc:web_gloo-system")));
    assert_false(out(w, SLD_OUT_ROUTE, TABLE)->past);
    // Among which instances it chooses is not known: an Envoy's own table is better.
    give(w, ROUTE_TO("consul: {serviceName: web, tags: [v1]}"));
    told(w);
    assert_true(out(w, SLD_OUT_ROUTE, TABLE)->past);
    // A choice that is written down stays.
    give(w, ROUTE_TO("upstream: {name: web, namespace: gloo-system}, subset: {values: {stage: prod}}"));
    told(w);
    assert_false(out(w, SLD_OUT_ROUTE, TABLE)->past);
    union {
        const struct sld_out *frozen;
        struct sld_out *own;
    } table = {out(w, SLD_OUT_ROUTE, TABLE)}; // only a count of references changes
    struct sld_str bytes;
    struct sld_obj *owner = sld_out_open(table.own, &bytes);
    assert_true(sld_str_find(bytes, SLD_STR("prod")) >= 0);
    SLD_UNREF(owner);
    give(w, ROUTE_TO("upstream: {name: web, namespace: gloo-system}"));
    told(w);
    assert_int_equal(out(w, SLD_OUT_ROUTE, TABLE)->cluster_count, 1);
    sld_translate_catalog(w->t, CONSUL, SLD_CATALOG_TOLD);
    told(w);
    assert_int_equal(out(w, SLD_OUT_ROUTE, TABLE)->cluster_count, 0);
}

static void test_all_are_wanted(void **state)
{
    struct world *w = *state;
    service(w, "web", "");
    give(w, ROUTE_BY_HEADER);
    const char *text = told(w);
    assert_non_null(strstr(text, "+cds consul-svc:web_gloo-system\n"));
    assert_non_null(strstr(text, "+cds web_gloo-system\n"));
    service(w, "api", "");
    assert_non_null(strstr(told(w), "+cds api_gloo-system\n"));
    // A document takes the place of what was found, and gives it back.
    give(w, UPSTREAM("web", "static: {hosts: [{addr: 10.0.0.1, port: 80}]}"));
    told(w);
    take(w, "upstreams/gloo-system/web");
    told(w);
    assert_non_null(out(w, SLD_OUT_CLUSTER, "web_gloo-system"));
    // Where discovered upstreams are is a setting.
    settings(w, "discoveryNamespace: edge\n");
    assert_non_null(strstr(told(w), "+cds web_edge\n"));
    assert_null(out(w, SLD_OUT_CLUSTER, "web_gloo-system"));
    settings(w, "");
    told(w);
    // Nothing is left of a service that went.
    size_t rows = sld_flow_count(w->t->named);
    no_service(w, "api");
    assert_non_null(strstr(told(w), "-cds api_gloo-system\n"));
    assert_int_equal(sld_flow_count(w->t->named), rows - 2);
    take(w, "virtualservices/gloo-system/vs");
    text = told(w);
    assert_non_null(strstr(text, "-cds consul-svc:web_gloo-system\n"));
    assert_non_null(strstr(text, "-cds web_gloo-system\n"));
}

static void test_how_services_are_asked(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *spec, *want;
    } cases[] = {
        {"", "consul\nweb\n"},
        {", consistencyMode: StaleMode", "consul\nweb\nstale\n"},
        {", consistencyMode: ConsistentMode", "consul\nweb\nconsistent\n"},
        {", queryOptions: {useCache: true}", "consul\nweb\n"},
        {", queryOptions: {useCache: false}", "consul\nweb\nuncached\n"},
        {", consistencyMode: StaleMode, queryOptions: {useCache: false}",
         "consul\nweb\nstale,uncached\n"},
        {", consistencyMode: ConsistentMode, queryOptions: {useCache: false}",
         "consul\nweb\nconsistent,uncached\n"},
    };
    const char *before = NULL;
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        give(w, sld_arena_cstr(&w->a,
                               sld_arena_fmt(&w->a, UPSTREAM("u", "consul: {serviceName: web%s}"),
                                             cases[i].spec)));
        const char *text = told(w);
        bool same = before && !strcmp(before, cases[i].want);
        const char *came = sld_arena_cstr(&w->a, sld_arena_fmt(&w->a, "?%s", cases[i].want));
        assert_int_equal(strstr(text, came) != NULL, !same);
        if (before && !same)
            assert_non_null(
                strstr(text, sld_arena_cstr(&w->a, sld_arena_fmt(&w->a, "!%s", before))));
        before = cases[i].want;
    }
    // Two upstreams of a service that ask alike are one wish.
    give(w,
         UPSTREAM("v", "consul: {serviceName: web, consistencyMode: ConsistentMode, queryOptions: "
                       "{useCache: false}}"));
    assert_null(strstr(told(w), "?"));
    take(w, "upstreams/gloo-system/u");
    assert_null(strstr(told(w), "!"));
    take(w, "upstreams/gloo-system/v");
    assert_non_null(strstr(told(w), "!consul\nweb\nconsistent,uncached\n"));
}

static void test_wanted_secrets(void **state)
{
    struct world *w = *state;
    give(w, UPSTREAM("u", "sslConfig: {secretRef: {name: ca}}\n"
                          "static: {hosts: [{addr: 10.0.0.1, port: 80}]}"));
    assert_non_null(strstr(told(w), "?secrets/gloo-system/ca\n"));
    give(w, UPSTREAM("u", "sslConfig: {secretRef: {name: ca}}\n"
                          "static: {hosts: [{addr: 10.0.0.2, port: 80}]}"));
    assert_null(strstr(told(w), "secrets/"));
    give(w, UPSTREAM("u", "static: {hosts: [{addr: 10.0.0.1, port: 80}]}"));
    assert_non_null(strstr(told(w), "!secrets/gloo-system/ca\n"));
}

// Instances that end stay, as ending, only while enough others are well: else Envoy would send
// requests to them.
static void test_ending_instances_cause_no_panic(void **state)
{
    struct world *w = *state;
    give(w, UPSTREAM("u", "consul: {serviceName: web}"));
    service(w, "web", "");
    instances(w, "web", 2, 1);
    told(w);
    assert_string_equal(endpoints(w, "u_gloo-system"), "10.0.0.1 10.0.0.2d");
    instances(w, "web", 3, 1);
    told(w);
    assert_string_equal(endpoints(w, "u_gloo-system"), "10.0.0.1");
    instances(w, "web", 2, 0);
    told(w);
    assert_string_equal(endpoints(w, "u_gloo-system"), "");
    give(w, UPSTREAM("u",
                     "loadBalancerConfig: {healthyPanicThreshold: 0}\nconsul: {serviceName: web}"));
    instances(w, "web", 3, 1);
    told(w);
    assert_string_equal(endpoints(w, "u_gloo-system"), "10.0.0.1 10.0.0.2d 10.0.0.3d");
    sld_translate_set_instances(w->t, CONSUL, SLD_STR("web"), NULL, false);
    told(w);
    assert_string_equal(endpoints(w, "u_gloo-system"), "-");
}

// A document takes the place of a discovered upstream, and gives it back.
static void test_documents_and_discovered_upstreams(void **state)
{
    struct world *w = *state;
    service(w, "web", "v1");
    instances(w, "web", 2, 2);
    give(w, ROUTE_TO("upstream: {name: web}"));
    told(w);
    assert_string_equal(endpoints(w, "web_gloo-system"), "10.0.0.1 10.0.0.2");
    const struct sld_object *o = sld_translate_object(w->t, SLD_STR("upstreams/gloo-system/web"));
    assert_true(sld_str_eq(sld_metadata_label(sld_object_meta(o), SLD_STR("discovered_by")),
                           SLD_STR("consulplugin")));
    give(w, UPSTREAM("web", "static: {hosts: [{addr: 10.9.9.9, port: 80}]}"));
    told(w);
    assert_string_equal(endpoints(w, "web_gloo-system"), "10.9.9.9");
    take(w, "upstreams/gloo-system/web");
    told(w);
    assert_string_equal(endpoints(w, "web_gloo-system"), "10.0.0.1 10.0.0.2");
    settings(w, "discovery: {udsOptions: {enabled: false}}");
    told(w);
    assert_string_equal(endpoints(w, "web_gloo-system"), "-");
    assert_finding(w, "virtualservices/gloo-system/vs", SLD_REF_UPSTREAM, SLD_WARNING,
                   "virtualHost.routes[0].routeAction.single.upstream");
    settings(w, "discoveryNamespace: elsewhere");
    told(w);
    assert_string_equal(endpoints(w, "web_gloo-system"), "-");
}

// What Gloo wrote down of a service is what it found then: the registry knows better.
static void test_upstreams_written_by_gloo(void **state)
{
    struct world *w = *state;
    service(w, "web", "v2");
    give(w, "apiVersion: gloo.solo.io/v1\nkind: Upstream\n"
            "metadata: {name: web, labels: {discovered_by: consulplugin}}\n"
            "maxConcurrentStreams: 5\nuseHttp2: true\n"
            "consul: {serviceName: web, serviceTags: [v1], dataCenters: [old]}\n");
    told(w);
    const Env__Cluster__Cluster *c = cluster(w, "web_gloo-system");
    assert_int_equal(c->lb_subset_config->n_subset_selectors, 3);
    assert_string_equal(c->lb_subset_config->subset_selectors[2]->keys[0], "dc_dc1");
    assert_string_equal(c->lb_subset_config->subset_selectors[2]->keys[1], "tag_v2");
    assert_int_equal(c->n_typed_extension_protocol_options, 1);
    // One of a user's own says it itself.
    give(w, UPSTREAM("web", "consul: {serviceName: web, serviceTags: [v1]}\n"));
    told(w);
    c = cluster(w, "web_gloo-system");
    assert_string_equal(c->lb_subset_config->subset_selectors[2]->keys[0], "dc_dc1");
    assert_string_equal(c->lb_subset_config->subset_selectors[2]->keys[1], "tag_v1");
    // Under another name it is no discovered upstream.
    give(w, UPSTREAM("own", "consul: {serviceName: web}\n"));
    told(w);
    assert_null(cluster(w, "own_gloo-system")->lb_subset_config);
}

// A service with the tags t000, t001 ... and as many data centers; one instance with all of them.
static void service_with(struct world *w, const char *name, size_t tags, size_t datacenters)
{
    struct sld_str *t = SLD_ARENA_ARRAY(&w->a, struct sld_str, tags);
    struct sld_str *d = SLD_ARENA_ARRAY(&w->a, struct sld_str, datacenters);
    for (size_t i = 0; i < tags; i++)
        t[i] = sld_arena_fmt(&w->a, "t%03zu", i);
    for (size_t i = 0; i < datacenters; i++)
        d[i] = sld_arena_fmt(&w->a, "d%03zu", i);
    struct sld_service *s = sld_service_create(sld_str_c(name), t, tags, d, datacenters);
    struct sld_instances *all = sld_instances_create();
    const struct sld_instance it = {
        .address = SLD_STR("10.0.0.1"), .port = 80, .datacenter = d[0], .tags = t, .tag_count = tags};
    assert_true(sld_instances_add(all, &it));
    sld_instances_seal(all);
    sld_translate_set_service(w->t, CONSUL, s->name, s);
    sld_translate_set_instances(w->t, CONSUL, s->name, all, false);
    SLD_UNREF(s);
    SLD_UNREF(all);
}

static size_t labels(struct world *w, const char *name)
{
    const Env__Endpoint__ClusterLoadAssignment *m = assignment(w, out(w, SLD_OUT_ENDPOINT, name));
    const Env__Core__Metadata *all = m->endpoints[0]->lb_endpoints[0]->metadata;
    for (size_t i = 0; i < all->n_filter_metadata; i++) {
        if (!strcmp(all->filter_metadata[i]->key, "envoy.lb"))
            return all->filter_metadata[i]->value->n_fields;
    }
    return 0;
}

// Every endpoint has every key, so there is a ceiling of keys; what is left out is told, also to whoever wants it.
static void test_keys_have_a_ceiling(void **state)
{
    struct world *w = *state;
    static const char *const up = "upstreams/gloo-system/consul-svc:web", *const c = "consul-svc:web_gloo-system";
    give(w, ROUTE_TO("consul: {serviceName: web, tags: [t127, t128, t999]}"));
    service_with(w, "web", TR_CONSUL_TAGS_MAX, TR_CONSUL_DATACENTERS_MAX);
    told(w);
    assert_clean(w, up);
    assert_int_equal(labels(w, c), TR_CONSUL_TAGS_MAX + TR_CONSUL_DATACENTERS_MAX);
    assert_finding(w, "virtualservices/gloo-system/vs", SLD_ROUTE_SUBSET, SLD_WARNING,
                   "virtualHost.routes[0].routeAction.single.consul.tags[1]");
    service_with(w, "web", TR_CONSUL_TAGS_MAX + 3, TR_CONSUL_DATACENTERS_MAX + 2);
    told(w);
    assert_int_equal(labels(w, c), TR_CONSUL_TAGS_MAX + TR_CONSUL_DATACENTERS_MAX);
    assert_int_equal(cluster(w, c)->lb_subset_config->subset_selectors[0]->n_keys, TR_CONSUL_DATACENTERS_MAX);
    const struct sld_finding *f = finding(w, up, SLD_ROUTE_SUBSET, SLD_WARNING, "consul.subsetTags");
    assert_true(f && sld_str_find(f->message, SLD_STR("3 more are left out")) > 0);
    f = finding(w, up, SLD_ROUTE_SUBSET, SLD_WARNING, "consul.dataCenters");
    assert_true(f && sld_str_find(f->message, SLD_STR("2 more are left out")) > 0);
    f = finding(w, "virtualservices/gloo-system/vs", SLD_ROUTE_SUBSET, SLD_WARNING,
                "virtualHost.routes[0].routeAction.single.consul.tags[1]");
    assert_true(f && sld_str_find(f->message, SLD_STR("more than 128 tags, and t128 is none of the first")) > 0);
    assert_null(finding(w, "virtualservices/gloo-system/vs", SLD_ROUTE_SUBSET, SLD_WARNING,
                        "virtualHost.routes[0].routeAction.single.consul.tags[0]"));
    // The mend that it names.
    give(w, UPSTREAM("own", "consul: {serviceName: web, subsetTags: [t128, t128, t127]}\n"));
    told(w);
    assert_clean(w, "upstreams/gloo-system/own");
    assert_int_equal(labels(w, "own_gloo-system"), 2);
}

static void test_services_whose_names_become_one(void **state)
{
    struct world *w = *state;
    give(w, ROUTE_TO("upstream: {name: a-b}"));
    service(w, "a_b", "");
    service(w, "A.B", "");
    const char *text = told(w);
    assert_non_null(strstr(text, "?consul\nA.B\n")); // the first by name
    no_service(w, "A.B");
    assert_non_null(strstr(told(w), "?consul\na_b\n"));
}

static void test_names(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"web", "web"},
        {"My.Web_Api/v1:x y*", "my-web-api-v1-x-y-"},
        {"a[0]\"b\"'c'\n", "a0bc"},
        {"123456789012345678901234567890123456789012345678901234567890123",
         "123456789012345678901234567890123456789012345678901234567890123"},
        {"Abcdefghij_abcdefghij.abcdefghij-abcdefghij-abcdefghij-abcdefghi", NULL},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct sld_str s = tr_sanitise(&w->a, sld_str_c(cases[i].in));
        if (cases[i].out)
            assert_string_equal(sld_arena_cstr(&w->a, s), cases[i].out);
        else
            assert_int_equal(s.n, 63);
    }
    // The digest is of the name with its replacements, before it is made lower case.
    assert_string_equal(sld_arena_cstr(&w->a, tr_sanitise(&w->a, sld_str_c(cases[4].in))),
                        "abcdefghij-abcdefghij-abcdefghi-d53263cca86e93247404ac7727bf6c2");
}

// After a start all is told twice, as an earlier process knew it and as it is: for what is the same nothing is made again.
static void test_what_is_confirmed_is_not_made_again(void **state)
{
    struct world *w = *state;
    service(w, "web", "");
    give(w, UPSTREAM("u", "consul: {serviceName: web}"));
    give(w, UPSTREAM("v", "consul: {serviceName: web}"));
    instances_known(w, "web", 3, 3, true);
    told(w);
    const struct sld_out *was = out(w, SLD_OUT_ENDPOINT, "u_gloo-system");
    assert_true(was->past);
    instances(w, "web", 3, 3);
    assert_true(sld_translate_pending(w->t));
    struct sld_translate_result r = {0};
    sld_translate_run(w->t, &r);
    assert_int_equal(r.round.computed, 0);
    assert_int_equal(r.out_count, 0);
    assert_int_equal(r.confirmed_count, 2); // of both that are made of it
    assert_true(sld_str_eq(r.confirmed[0], SLD_STR("u_gloo-system")) || sld_str_eq(r.confirmed[1], SLD_STR("u_gloo-system")));
    sld_translate_result_fini(&r);
    assert_ptr_equal(out(w, SLD_OUT_ENDPOINT, "u_gloo-system"), was);
    assert_false(sld_translate_pending(w->t));
    assert_string_equal(told(w), "");
    // What is made later is of the present.
    instances(w, "web", 2, 2);
    assert_string_equal(told(w), "+eds u_gloo-system\n+eds v_gloo-system\n");
    assert_false(out(w, SLD_OUT_ENDPOINT, "u_gloo-system")->past);
    // So is what was known otherwise, and what is unknown again is nothing to tell of.
    instances_known(w, "web", 1, 1, true);
    told(w);
    instances(w, "web", 2, 2);
    assert_string_equal(told(w), "+eds u_gloo-system\n+eds v_gloo-system\n= u_gloo-system\n= v_gloo-system\n");
    assert_false(out(w, SLD_OUT_ENDPOINT, "u_gloo-system")->past);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_instances_touch_one_assignment),
        CASE(test_many_endpoints_take_little),
        CASE(test_what_is_confirmed_is_not_made_again),
        CASE(test_only_what_is_referred_to),
        CASE(test_service_comes_and_goes),
        CASE(test_nothing_is_missing_in_a_catalog_to_come),
        CASE(test_a_catalog_unheard_of_takes_nothing_away),
        CASE(test_all_are_wanted),
        CASE(test_how_services_are_asked),
        CASE(test_wanted_secrets),
        CASE(test_ending_instances_cause_no_panic),
        CASE(test_documents_and_discovered_upstreams),
        CASE(test_upstreams_written_by_gloo),
        CASE(test_services_whose_names_become_one),
        CASE(test_keys_have_a_ceiling),
        CASE(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

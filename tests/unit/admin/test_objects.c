// Objects, findings and the graph over real HTTP, with a real translation behind.
#include "admin/support.h"

static const char upstream[] = "apiVersion: gloo.solo.io/v1\n"
                               "kind: Upstream\n"
                               "metadata: {name: web, namespace: gloo-system}\n"
                               "spec: {static: {hosts: [{addr: 127.0.0.1, port: 8081}]}}\n";
static const char upstream_broken[] = "apiVersion: gloo.solo.io/v1\n"
                                      "kind: Upstream\n"
                                      "metadata: {name: web, namespace: gloo-system}\n"
                                      "spec:\n"
                                      "  static: {hosts: [{addr: 127.0.0.1, port: 8082}]}\n"
                                      "  colour: red\n";
static const char service[] = "apiVersion: gateway.solo.io/v1\n"
                              "kind: VirtualService\n"
                              "metadata: {name: web, namespace: gloo-system}\n"
                              "spec:\n"
                              "  virtualHost:\n"
                              "    domains: ['*']\n"
                              "    routes:\n"
                              "    - matchers: [{prefix: /}]\n"
                              "      routeAction: {single: {upstream: {name: gone, namespace: "
                              "gloo-system}}}\n";
static const char secret[] = "apiVersion: gloo.solo.io/v1\n"
                             "kind: Secret\n"
                             "metadata: {name: headers, namespace: gloo-system}\n"
                             "spec: {header: {headers: {x-key: hunter2hunter2}}}\n";

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    start(f, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    stop(*state);
    sld_xfree(*state);
    return 0;
}

struct trouble {
    struct sld_intake *in;
    struct sld_str message;
};

static void trouble_on_model(void *arg)
{
    const struct trouble *t = arg;
    sld_intake_problem(t->in, SLD_STR("/etc/solder"), SLD_STR(""), SLD_SOURCE_STALE, t->message,
                       sld_mono_ns());
}

// What its source cannot be asked for may be another by now; the state of the object stays.
static void test_stale(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    say(f, "a.yaml", upstream);
    struct trouble t = {f->intake, SLD_STR("no answer")};
    io_do(&f->io, trouble_on_model, &t);
    const struct sld_node *n = get_json(f, &a, "/v1/objects", 200);
    expect(n, "items.0.state", "Accepted");
    assert_true(text_at(n, "items.0.staleSince").n > 0);
    n = get_json(f, &a, "/v1/objects/upstreams/gloo-system/web", 200);
    expect(n, "state", "Accepted");
    assert_true(text_at(n, "staleSince").n > 0);
    expect(n, "staleReason", "no answer");
    t.message = SLD_STR_NONE;
    io_do(&f->io, trouble_on_model, &t);
    n = get_json(f, &a, "/v1/objects/upstreams/gloo-system/web", 200);
    assert_null(at(n, "staleSince"));
    sld_arena_fini(&a);
}

static void test_list(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    say(f, "a.yaml", upstream);
    say(f, "b.yaml", service);
    const struct sld_node *n = get_json(f, &a, "/v1/objects", 200);
    expect(n, "index", "3");
    expect_count(n, "items", 2);
    expect(n, "items.0.kind", "Upstream");
    expect(n, "items.0.name", "web");
    expect(n, "items.0.state", "Accepted");
    expect(n, "items.0.reason", "");
    expect(n, "items.0.origin", "/etc/solder/a.yaml:1");
    expect(n, "items.0.served", "true");
    expect(n, "items.0.lastGood", "false");
    expect(n, "items.0.findings", "0");
    expect(n, "items.1.state", "Warning");
    expect(n, "items.1.warnings", "1");
    expect(n, "items.1.findings", "1");
    assert_null(at(n, "continue"));
    n = get_json(f, &a, "/v1/objects?kind=vs&spec=true", 200);
    expect_count(n, "items", 1);
    expect(n, "items.0.object.spec.virtualHost.domains.0", "*");
    n = get_json(f, &a, "/v1/objects?state=warning&namespace=gloo-system", 200);
    expect_count(n, "items", 1);
    expect(n, "items.0.kind", "VirtualService");
    n = get_json(f, &a, "/v1/objects?namespace=other", 200);
    expect_count(n, "items", 0);
    sld_arena_fini(&a);
}

static void test_pages(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    char text[256];
    for (int i = 0; i < 7; i++) {
        char path[32];
        snprintf(path, sizeof(path), "u%d.yaml", i);
        snprintf(text, sizeof(text),
                 "apiVersion: %s.solo.io/v1\nkind: %s\nmetadata: {name: n%d, namespace: x}\n"
                 "spec: {}\n",
                 i % 2 ? "gloo" : "gateway", i % 2 ? "Upstream" : "RouteTable", i);
        say(f, path, text);
    }
    size_t seen = 0, pages = 0;
    struct sld_str resume = SLD_STR_NONE;
    struct sld_map names = {0};
    do {
        snprintf(text, sizeof(text), "/v1/objects?limit=2%s%.*s", resume.p ? "&continue=" : "",
                 SLD_FMT(resume));
        const struct sld_node *n = get_json(f, &a, text, 200);
        const struct sld_node *items = at(n, "items");
        for (size_t i = 0; i < items->count; i++)
            sld_map_set(&names, text_at(items->items[i], "name"), f);
        seen += items->count;
        pages++;
        resume = text_at(n, "continue");
    } while (resume.p);
    assert_int_equal(seen, 7);
    assert_int_equal(pages, 4);
    assert_int_equal(sld_map_count(&names), 7);
    sld_map_fini(&names);
    sld_arena_fini(&a);
}

static void test_one(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    say(f, "a.yaml", upstream);
    const struct sld_node *n = get_json(f, &a, "/v1/objects/us/gloo-system/web", 200);
    expect(n, "object.apiVersion", "gloo.solo.io/v1");
    expect(n, "object.kind", "Upstream");
    expect(n, "object.metadata.name", "web");
    expect(n, "object.spec.static.hosts.0.port", "8081");
    assert_null(at(n, "object.spec.metadata"));
    expect(n, "object.status.statuses.gloo-system.state", "Accepted");
    expect(n, "object.status.statuses.gloo-system.reportedBy", "gloo");
    expect(n, "object.status.conditions.0.type", "Accepted");
    expect(n, "object.status.conditions.0.status", "True");
    expect(n, "object.status.conditions.1.type", "Programmed");
    expect(n, "object.status.conditions.1.status", "True");
    assert_true(sld_str_find(text_at(n, "object.status.conditions.1.message"), SLD_STR("/v1/envoys tells")) > 0);
    expect_count(n, "findings", 0);
    assert_null(at(n, "document"));
    n = get_json(f, &a, "/v1/objects/upstreams/gloo-system/nobody", 404);
    expect(n, "type", "urn:solder:no-such-object");
    n = get_json(f, &a, "/v1/objects/upstreem/gloo-system/web", 400);
    assert_non_null(strstr(text_at(n, "detail").p, "did you mean Upstream?"));
    sld_arena_fini(&a);
}

static void test_last_good(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    say(f, "a.yaml", upstream);
    say(f, "a.yaml", upstream_broken);
    const struct sld_node *n = get_json(f, &a, "/v1/objects/us/gloo-system/web?document=true", 200);
    expect(n, "state", "Rejected");
    expect(n, "lastGood", "true");
    expect(n, "object.spec.static.hosts.0.port", "8081");
    expect(n, "document.spec.static.hosts.0.port", "8082");
    expect(n, "object.status.conditions.0.status", "False");
    expect(n, "object.status.conditions.0.reason", "Rejected");
    expect(n, "object.status.conditions.1.reason", "LastGood");
    expect(n, "findings.0.code", "SLD0101");
    expect(n, "findings.0.severity", "error");
    expect(n, "findings.0.origin", "/etc/solder/a.yaml");
    expect(n, "findings.0.line", "6");
    expect(n, "findings.0.path", "colour");
    assert_non_null(at(n, "findings.0.remedy"));
    n = get_json(f, &a, "/v1/objects/us/gloo-system/web?document=true&format=resource", 200);
    expect(n, "spec.static.hosts.0.port", "8082");
    n = get_json(f, &a, "/v1/objects/us/gloo-system/web?format=resource", 200);
    expect(n, "spec.static.hosts.0.port", "8081");
    sld_arena_fini(&a);
}

// Between a change and its round the status is of the document before, and the answer says so.
static void test_pending(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    say(f, "a.yaml", upstream_broken);
    const struct sld_node *n = get_json(f, &a, "/v1/objects/upstreams/gloo-system/web", 200);
    expect(n, "state", "Rejected");
    expect(n, "pending", "false");
    say_it(&(struct said){f, "a.yaml", upstream, true});
    n = get_json(f, &a, "/v1/objects/upstreams/gloo-system/web", 200);
    expect(n, "state", "Rejected");
    expect(n, "pending", "true");
    say(f, "b.yaml", secret);
    n = get_json(f, &a, "/v1/objects/upstreams/gloo-system/web", 200);
    expect(n, "state", "Accepted");
    expect(n, "pending", "false");
    sld_arena_fini(&a);
}

static void test_yaml(void **state)
{
    struct fixture *f = *state;
    say(f, "a.yaml", upstream);
    struct response r = get(f, "/v1/objects/us/gloo-system/web?format=yaml");
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.head, "content-type: application/yaml"));
    assert_non_null(strstr(r.body, "kind: Upstream\n"));
    assert_non_null(strstr(r.body, "state: Accepted\n"));
    assert_null(strstr(r.body, "findings"));
    response_free(&r);
    // Statuses stand below the namespace that Gloo writes to, wherever the object is.
    say(f, "b.yaml", "kind: Upstream\nmetadata: {name: web, namespace: other}\n"
                     "spec: {static: {hosts: [{addr: 127.0.0.1, port: 8081}]}}\n");
    r = get(f, "/v1/objects/us/other/web?format=yaml");
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.body, "  statuses:\n    gloo-system:\n"));
    response_free(&r);
}

static void test_secret(void **state)
{
    struct fixture *f = *state;
    static const char *const targets[] = {
        "/v1/objects/secrets/gloo-system/headers",
        "/v1/objects/secrets/gloo-system/headers?format=yaml",
        "/v1/objects?kind=secret&spec=true",
    };
    say(f, "a.yaml", secret);
    for (size_t i = 0; i < SLD_ARRAY_LEN(targets); i++) {
        struct response r = get(f, targets[i]);
        assert_int_equal(r.status, 200);
        assert_null(strstr(r.body, "hunter2"));
        assert_non_null(strstr(r.body, "***"));
        response_free(&r);
    }
}

static void test_findings(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    say(f, "a.yaml", upstream_broken);
    say(f, "b.yaml", service);
    say(f, "c.yaml", "kind: [\n");
    const struct sld_node *n = get_json(f, &a, "/v1/findings?severity=warning", 200);
    expect(n, "items.0.code", "SLD0001");
    expect(n, "items.0.origin", "/etc/solder/c.yaml");
    assert_non_null(at(n, "items.0.line"));
    expect(n, "items.1.kind", "Upstream");
    expect(n, "items.1.line", "6");
    const struct sld_node *items = at(n, "items");
    for (size_t i = 0; i < items->count; i++)
        assert_false(sld_str_eq(text_at(items->items[i], "severity"), SLD_STR("note")));
    n = get_json(f, &a, "/v1/findings?severity=error&kind=vs", 200);
    expect_count(n, "items", 0);
    n = get_json(f, &a, "/v1/findings?severity=loud", 400);
    // Page by page it is the same list.
    size_t all = at(get_json(f, &a, "/v1/findings", 200), "items")->count, seen = 0;
    struct sld_str resume = SLD_STR_NONE;
    do {
        char target[256];
        snprintf(target, sizeof(target), "/v1/findings?limit=1%s%.*s",
                 resume.p ? "&continue=" : "", SLD_FMT(resume));
        n = get_json(f, &a, target, 200);
        seen += at(n, "items")->count;
        resume = text_at(n, "continue");
    } while (resume.p);
    assert_int_equal(seen, all);
    assert_true(all >= 3);
    sld_arena_fini(&a);
}

static void test_graph(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    say(f, "a.yaml", upstream);
    say(f, "b.yaml", service);
    const struct sld_node *n = get_json(f, &a, "/v1/graph", 200);
    assert_true(at(n, "tables")->count > 10);
    assert_non_null(at(n, "tables.0.rows"));
    n = get_json(f, &a, "/v1/explain/upstreams/gloo-system/web", 200);
    expect(n, "object", "upstreams/gloo-system/web");
    expect(n, "resources.0.type", "cds");
    expect(n, "resources.0.name", "web_gloo-system");
    (void)get_json(f, &a, "/v1/explain/upstreams/gloo-system/nobody", 404);
    n = get_json(f, &a, "/v1/explain/virtualservices/gloo-system/web", 200);
    expect_count(n, "resources", 1);
    expect(n, "resources.0.type", "rds");
    expect(n, "resources.0.virtualHostsOf.0", "virtualservices/gloo-system/web");
    bool host = false;
    for (size_t i = 0; i < at(n, "steps")->count; i++) {
        const struct sld_node *s = at(n, "steps")->items[i];
        if (!sld_str_eq(text_at(s, "table"), SLD_STR("vhosts")))
            continue;
        host = true;
        expect(s, "row", "gateways/gloo-system/gateway-proxy virtualservices/gloo-system/web");
        expect(s, "made.0", "gateways/gloo-system/gateway-proxy virtualservices/gloo-system/web");
        expect(s, "because.table", "attach");
        bool upstream_read = false;
        for (size_t k = 0; k < at(s, "read")->count; k++)
            upstream_read |= sld_str_eq(text_at(at(s, "read")->items[k], "key"), SLD_STR("upstreams/gloo-system/gone"));
        assert_true(upstream_read);
    }
    assert_true(host);
    n = get_json(f, &a, "/v1/views", 200);
    assert_true(at(n, "views")->count > 0);
    sld_arena_fini(&a);
}

static void test_kinds_and_index(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    const struct sld_node *n = get_json(f, &a, "/v1/kinds", 200);
    expect_count(n, "kinds", SLD_KIND_COUNT);
    expect(n, "kinds.15.plural", "virtualservices");
    expect(n, "kinds.15.shortNames.0", "vs");
    n = get_json(f, &a, "/v1/", 200);
    expect(n, "version", "1.2.3");
    size_t count = at(n, "endpoints")->count;
    assert_non_null(sld_admin_endpoint_at(count - 1));
    assert_null(sld_admin_endpoint_at(count));
    n = get_json(f, &a, "/v2/nothing", 404);
    expect(n, "type", "urn:solder:no-such-endpoint");
    expect_count(n, "endpoints", count);
    expect(n, "status", "404");
    sld_arena_fini(&a);
}

static void test_parameters(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    static const char *const bad[] = {
        "/v1/objects?stat=Rejected",        "/v1/objects?state=Fine",     "/v1/objects?limit=0",
        "/v1/objects?limit=5001",           "/v1/objects?limit=x",        "/v1/objects?kind=thing",
        "/v1/objects?continue=x",           "/v1/objects?spec=maybe",     "/v1/objects?limit=1&limit=2",
        "/v1/objects?namespace=%zz",        "/v1/objects?index=-1",       "/v1/objects?index=1&wait=soon",
        "/v1/kinds?x",                      "/v1/objects/us/a/b?format=xml", "/v1/findings?continue=problem/x",
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(bad); i++) {
        const struct sld_node *n = get_json(f, &a, bad[i], 400);
        assert_non_null(at(n, "detail"));
        assert_non_null(at(n, "remedy"));
        expect(n, "status", "400");
    }
    sld_arena_fini(&a);
}

static void test_methods(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f->port);
    send_request(fd, "POST", "/v1/objects", "content-length: 0\r\n");
    struct response r = read_response(fd);
    assert_int_equal(r.status, 405);
    assert_non_null(strstr(r.head, "allow: GET, HEAD"));
    assert_non_null(strstr(r.head, "application/problem+json"));
    response_free(&r);
    fd = dial(f->port);
    send_request(fd, "HEAD", "/v1/objects", "");
    r = read_response(fd);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body_n, 0);
    assert_non_null(strstr(r.head, "x-solder-index: 1"));
    assert_non_null(strstr(r.head, "cache-control: no-store"));
    response_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_last_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(test_yaml, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(test_findings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_graph, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kinds_and_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parameters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_methods, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

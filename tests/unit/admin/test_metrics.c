// Metrics: the format by a checker of our own and by promtool where it is installed; health.
#include "admin/support.h"

#include "base/base.h"

static int setup(void **state)
{
    struct fixture *f = SLD_NEW(struct fixture);
    start(f, false);
    f->source_count = 2;
    f->sources[0] = (struct sld_admin_source){
        .name = SLD_STR("/etc/\"solder\"\n\\x"), .type = "directory", .up = true, .synced = true,
        .last_sync_ms = 1700000000250};
    f->sources[1] = (struct sld_admin_source){
        .name = SLD_STR("/etc/\xff"), .type = "directory", .problem = SLD_STR("gone"),
        .writer = {.lock = SLD_STR("lock"), .ours = true}, .counted = true, .counts = {.objects = 3, .decoded = 12}};
    f->edge = (struct sld_admin_edge){.supervised = true, .up = true, .restarts = 3, .pid = 7,
                                      .version = SLD_STR("1.40.0"), .state = SLD_STR("running")};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    stop(*state);
    sld_xfree(*state);
    return 0;
}

// ---- A reader of the format ----

struct families {
    struct sld_map types; // name -> type as a C string constant
    struct sld_map samples; // whole sample names with labels
    struct sld_str current;
    struct sld_arena arena;
};

static bool is_name(struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9' && i)))
            return false;
    }
    return s.n > 0;
}

static void read_type(struct families *f, struct sld_str line)
{
    struct sld_str name;
    assert_true(sld_str_cut(&line, ' ', &name));
    assert_true(is_name(name));
    if (sld_map_has(&f->types, name))
        fail_msg("%.*s stands twice", SLD_FMT(name));
    assert_true(sld_str_eq(line, SLD_STR("counter")) || sld_str_eq(line, SLD_STR("gauge")) ||
                sld_str_eq(line, SLD_STR("histogram")));
    if (sld_str_eq(line, SLD_STR("counter")) != sld_str_ends(name, SLD_STR("_total")))
        fail_msg("%.*s: counters, and only they, end in _total", SLD_FMT(name));
    sld_map_set(&f->types, name, sld_arena_cstr(&f->arena, line));
    f->current = name;
}

static struct sld_str family_of(const struct families *f, struct sld_str name)
{
    const char *type = sld_map_get(&f->types, f->current);
    static const struct sld_str suffixes[] = {SLD_STR_INIT("_bucket"), SLD_STR_INIT("_sum"),
                                              SLD_STR_INIT("_count")};
    for (size_t i = 0; type && !strcmp(type, "histogram") && i < 3; i++) {
        if (sld_str_ends(name, suffixes[i]))
            return sld_str_sub(name, 0, name.n - suffixes[i].n);
    }
    return name;
}

static void read_sample(struct families *f, struct sld_str line)
{
    size_t n = 0;
    bool quoted = false;
    double v;
    while (n < line.n && (quoted || line.p[n] != ' ')) {
        if (quoted && line.p[n] == '\\')
            n++;
        else if (line.p[n] == '"')
            quoted = !quoted;
        n++;
    }
    struct sld_str whole = sld_str_sub(line, 0, n), name = whole;
    ptrdiff_t brace = sld_str_index(whole, '{');
    if (brace >= 0)
        name = sld_str_sub(whole, 0, (size_t)brace);
    assert_true(is_name(name));
    if (!sld_str_eq(family_of(f, name), f->current))
        fail_msg("%.*s stands in the family %.*s", SLD_FMT(name), SLD_FMT(f->current));
    if (sld_map_has(&f->samples, whole))
        fail_msg("%.*s stands twice", SLD_FMT(whole));
    struct sld_str value = sld_str_sub(line, n + 1, line.n);
    if (!sld_str_double(value, &v))
        fail_msg("no number: %.*s", SLD_FMT(line));
    sld_map_set(&f->samples, whole, sld_arena_cstr(&f->arena, value));
}

static void read_metrics(struct families *f, const struct response *r)
{
    struct sld_str rest = {r->body, r->body_n}, line;
    assert_int_equal(r->status, 200);
    assert_true(sld_str_utf8(rest, NULL));
    assert_true(sld_str_ends(rest, SLD_STR("\n")));
    struct sld_str helped = SLD_STR_NONE;
    while (sld_str_cut(&rest, '\n', &line) && line.n) {
        if (sld_str_starts(line, SLD_STR("# HELP "))) {
            line = sld_str_sub(line, 7, line.n);
            assert_true(sld_str_cut(&line, ' ', &helped));
            assert_true(line.n > 0);
        } else if (sld_str_starts(line, SLD_STR("# TYPE "))) {
            read_type(f, sld_str_sub(line, 7, line.n));
            assert_true(sld_str_eq(helped, f->current));
        } else {
            read_sample(f, line);
        }
    }
}

static void families_fini(struct families *f)
{
    sld_map_fini(&f->types);
    sld_map_fini(&f->samples);
    sld_arena_fini(&f->arena);
}

static void expect_sample(const struct families *f, const char *name, const char *want)
{
    const char *v = sld_map_get(&f->samples, sld_str_c(name));
    if (!v)
        fail_msg("no %s", name);
    if (strcmp(v, want))
        fail_msg("%s is %s, not %s", name, v, want);
}

static void promtool(const struct response *r)
{
    const char *tool = getenv("SLD_PROMTOOL");
    if (!tool && system("command -v promtool >/dev/null 2>&1") == 0)
        tool = "promtool";
    if (!tool)
        return;
    char cmd[512];
    snprintf(cmd, sizeof(cmd), "%s check metrics", tool);
    FILE *p = popen(cmd, "w");
    assert_non_null(p);
    assert_int_equal(fwrite(r->body, 1, r->body_n, p), r->body_n);
    assert_int_equal(pclose(p), 0);
}

// ---- Tests ----

static void rounds_on_io(void *arg)
{
    struct fixture *f = arg;
    const struct sld_admin_round r = {.generation = 42, .duration_ns = 3000000, .wall_ms = 1700000001000,
                                      .computed = 10, .cut = 4, .changed = 2};
    sld_admin_round(f->admin, &r);
    sld_admin_round(f->admin, &r);
}

static void test_format(void **state)
{
    struct fixture *f = *state;
    struct families m = {0};
    say(f, "a.yaml",
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: a, namespace: x}\n"
        "spec: {static: {hosts: [{addr: 127.0.0.1, port: 80}]}}\n");
    say(f, "b.yaml",
        "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: b, namespace: x}\n"
        "spec: {statik: {}}\n");
    io_do(&f->io, rounds_on_io, f);
    struct response r = get(f, "/metrics");
    assert_non_null(strstr(r.head, "content-type: text/plain; version=0.0.4"));
    read_metrics(&m, &r);
    expect_sample(&m, "solder_build_info{version=\"1.2.3\",commit=\"abc\\\"def\"}", "1");
    expect_sample(&m, "solder_resources{kind=\"Upstream\",state=\"Accepted\"}", "1");
    expect_sample(&m, "solder_resources{kind=\"Upstream\",state=\"Rejected\"}", "1");
    expect_sample(&m, "solder_quarantined_resources", "0");
    expect_sample(&m, "solder_config_generation", "42");
    expect_sample(&m, "solder_config_last_success_timestamp_seconds", "1700000001");
    expect_sample(&m, "solder_config_round_seconds_count", "2");
    expect_sample(&m, "solder_config_round_seconds_bucket{le=\"0.0025\"}", "0");
    expect_sample(&m, "solder_config_round_seconds_bucket{le=\"0.005\"}", "2");
    expect_sample(&m, "solder_config_steps_total", "20");
    expect_sample(&m, "solder_xds_connected_proxies", "0");
    expect_sample(&m, "solder_xds_acks_total{type=\"cds\"}", "0");
    expect_sample(&m, "solder_xds_nacks_total{type=\"rds\"}", "0");
    expect_sample(&m, "solder_xds_push_seconds_bucket{le=\"+Inf\"}", "0");
    expect_sample(&m, "solder_config_convergence_seconds_count", "0");
    expect_sample(&m, "solder_source_up{source=\"/etc/\\\"solder\\\"\\n\\\\x\"}", "1");
    expect_sample(&m, "solder_source_up{source=\"(not UTF-8)\"}", "0");
    expect_sample(&m, "solder_source_status_writer{source=\"(not UTF-8)\"}", "1");
    expect_sample(&m, "solder_source_decoded_total{source=\"(not UTF-8)\"}", "12");
    expect_sample(&m, "store_reads_total", "7");
    expect_sample(&m, "solder_source_last_sync_timestamp_seconds{source=\"/etc/\\\"solder\\\"\\n\\\\x\"}",
                  "1700000000.25");
    expect_sample(&m, "solder_envoy_up", "1");
    expect_sample(&m, "solder_envoy_restarts_total", "3");
    expect_sample(&m, "solder_model_answers", "1");
    assert_true(sld_map_has(&m.types, SLD_STR("process_resident_memory_bytes")));
    assert_true(sld_map_has(&m.types, SLD_STR("process_cpu_seconds_total")));
    assert_true(sld_map_has(&m.types, SLD_STR("process_open_fds")));
    promtool(&r);
    response_free(&r);
    families_fini(&m);
}

// A second scrape at the same index answers from memory, a later one counts again.
static void test_counts_follow(void **state)
{
    struct fixture *f = *state;
    static const char good[] = "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: a, "
                               "namespace: x}\nspec: {static: {hosts: [{addr: 127.0.0.1, port: 80}]}}\n";
    static const char bad[] = "apiVersion: gloo.solo.io/v1\nkind: Upstream\nmetadata: {name: a, "
                              "namespace: x}\nspec: {statik: {}}\n";
    for (int i = 0; i < 3; i++) {
        struct families m = {0};
        if (i != 1)
            say(f, "a.yaml", i ? bad : good);
        struct response r = get(f, "/metrics");
        read_metrics(&m, &r);
        expect_sample(&m, "solder_quarantined_resources", i == 2 ? "1" : "0");
        expect_sample(&m, "solder_resources{kind=\"Upstream\",state=\"Accepted\"}", i == 2 ? "0" : "1");
        response_free(&r);
        families_fini(&m);
    }
}

static void say_tls(struct fixture *f, const char *dir, const char *name)
{
    struct sld_arena a = {0};
    struct sld_buf b;
    sld_buf_init(&b, 65536);
    sld_buf_addz(&b, "apiVersion: gloo.solo.io/v1\nkind: Secret\n"
                     "metadata: {name: tls, namespace: x}\nspec:\n  tls:\n    certChain: |\n");
    for (int i = 0; i < 2; i++) {
        char file[32];
        struct sld_str line;
        snprintf(file, sizeof(file), "%s.%s", name, i ? "key" : "pem");
        struct sld_str rest = read_pem(&a, dir, file);
        if (i)
            sld_buf_addz(&b, "    privateKey: |\n");
        while (sld_str_cut(&rest, '\n', &line))
            sld_buf_addf(&b, "      %.*s\n", SLD_FMT(line));
    }
    say(f, "tls.yaml", sld_arena_cstr(&a, sld_buf_str(&b)));
    sld_buf_fini(&b);
    sld_arena_fini(&a);
}

static double expiry(struct fixture *f)
{
    struct families m = {0};
    double v = 0;
    struct response r = get(f, "/metrics");
    read_metrics(&m, &r);
    const char *s = sld_map_get(&m.samples, SLD_STR("solder_secret_expiry_timestamp_seconds{namespace="
                                                    "\"x\",name=\"tls\"}"));
    if (s)
        assert_true(sld_str_double(sld_str_c(s), &v));
    response_free(&r);
    families_fini(&m);
    return v;
}

static void test_expiry(void **state)
{
    struct fixture *f = *state;
    char dir[64];
    make_dir(dir);
    make_certs(dir, "one");
    say_tls(f, dir, "one");
    double now = (double)sld_wall_ms() / 1000, two_days = expiry(f);
    struct sld_arena a = {0};
    const struct sld_node *n = get_json(f, &a, "/v1/objects?kind=secret", 200);
    assert_int_equal(text_at(n, "items.0.expires").n, strlen("2023-11-14T22:13:20.000Z"));
    sld_arena_fini(&a);
    assert_true(two_days > now + 86400 && two_days < now + 3 * 86400);
    shell("cd %s && openssl x509 -req -in one.csr -CA one-ca.pem -CAkey one-ca.key -CAcreateserial "
          "-days 30 -out one.pem 2>/dev/null",
          dir);
    say_tls(f, dir, "one");
    assert_true(expiry(f) > now + 20 * 86400);
    say(f, "tls.yaml", "# gone\n");
    shell("rm -rf %s", dir);
}

// The model thread does not answer: what lives on io is told all the same, with the rest as it was.
static void test_late(void **state)
{
    struct fixture *f = *state;
    struct families m = {0};
    struct response r = get(f, "/metrics");
    response_free(&r);
    hold(f);
    r = get(f, "/metrics");
    read_metrics(&m, &r);
    expect_sample(&m, "solder_model_answers", "0");
    expect_sample(&m, "solder_quarantined_resources", "0");
    response_free(&r);
    families_fini(&m);
    io_do(&f->io, release_held, f);
    r = get(f, "/metrics");
    assert_non_null(strstr(r.body, "solder_model_answers 1\n"));
    response_free(&r);
}

static void expect_text(struct fixture *f, const char *target, int status, const char *body)
{
    struct response r = get(f, target);
    assert_int_equal(r.status, status);
    if (body)
        assert_string_equal(r.body, body);
    response_free(&r);
}

static void test_health(void **state)
{
    struct fixture *f = *state;
    f->source_count = 0;
    expect_text(f, "/readyz", 200, "ok\n");
    f->check_count = 2;
    f->checks[0] = (struct sld_admin_check){.name = "sources", .reason = SLD_STR("not read yet")};
    f->checks[1] = (struct sld_admin_check){.name = "loop", .ok = true, .live = true};
    expect_text(f, "/readyz", 503, "[-]sources failed: not read yet\nreadyz check failed\n");
    expect_text(f, "/healthz", 503, NULL);
    expect_text(f, "/readyz?verbose", 503,
                "[-]sources failed: not read yet\n[+]loop ok\nreadyz check failed\n");
    expect_text(f, "/readyz?exclude=sources", 200, "ok\n");
    expect_text(f, "/readyz?exclude=nothing", 400, NULL);
    expect_text(f, "/livez", 200, "ok\n");
    expect_text(f, "/livez?verbose", 200, "[+]loop ok\nlivez check passed\n");
    expect_text(f, "/readyz/sources", 503, "[-]sources failed: not read yet\n");
    expect_text(f, "/readyz/loop", 200, "ok\n");
    expect_text(f, "/readyz/other", 404, NULL);
    f->checks[0].ok = true;
    f->checks[1].ok = false;
    expect_text(f, "/livez", 503, NULL);
    expect_text(f, "/readyz", 503, NULL);
}

// A source that cannot be read is told of, but is no reason to be unready.
static void test_health_tells_of_stale_sources(void **state)
{
    struct fixture *f = *state;
    f->sources[0] = (struct sld_admin_source){
        .name = SLD_STR("/etc/solder"), .type = "directory", .up = true};
    f->sources[1] = (struct sld_admin_source){.name = SLD_STR("consul:///gloo"),
                                              .type = "consul",
                                              .stale_since_ms = 1700000000250,
                                              .problem = SLD_STR("no answer")};
    expect_text(f, "/healthz", 200,
                "ok\n[!]source consul:///gloo stale since 2023-11-14T22:13:20.250Z: no answer\n");
    expect_text(f, "/readyz?verbose", 200,
                "[+]source /etc/solder ok\n"
                "[!]source consul:///gloo stale since 2023-11-14T22:13:20.250Z: no answer\n"
                "readyz check passed\n");
    expect_text(f, "/livez", 200, "ok\n");
    struct sld_arena a = {0};
    const struct sld_node *n = get_json(f, &a, "/v1/sources", 200);
    expect(n, "sources.1.staleSince", "2023-11-14T22:13:20.250Z");
    assert_null(at(n, "sources.0.staleSince"));
    struct response r = get(f, "/metrics");
    assert_non_null(strstr(r.body, "\nsolder_source_stale_since_timestamp_seconds{source=\"consul:///"
                                   "gloo\"} 1700000000.25\n"));
    assert_non_null(
        strstr(r.body, "\nsolder_source_stale_since_timestamp_seconds{source=\"/etc/solder\"} 0\n"));
    response_free(&r);
    sld_arena_fini(&a);
}

static void test_facts_of_sources(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    f->facts[0] = (struct sld_source_fact){.kind = SLD_STR("secret"),
                                           .name = SLD_STR("gloo-system/cert"),
                                           .version = SLD_STR("3")};
    f->facts[1] = (struct sld_source_fact){.kind = SLD_STR("token"),
                                           .name = SLD_STR("accessor x"),
                                           .expires_s = 1700000000,
                                           .renews_s = 1690000000,
                                           .problem = SLD_STR("not renewable")};
    f->fact_count = 2;
    const struct sld_node *n = get_json(f, &a, "/v1/secrets", 200);
    expect_count(n, "facts", 2);
    expect(n, "facts.0.source", "vault:");
    expect(n, "facts.0.kind", "secret");
    expect(n, "facts.0.version", "3");
    assert_null(at(n, "facts.0.expires"));
    expect(n, "facts.1.expires", "2023-11-14T22:13:20.000Z");
    expect(n, "facts.1.renews", "2023-07-22T04:26:40.000Z");
    expect(n, "facts.1.problem", "not renewable");
    struct response r = get(f, "/metrics");
    assert_non_null(strstr(r.body, "\nsolder_source_expiry_timestamp_seconds{source=\"vault:\",kind="
                                   "\"token\",name=\"accessor x\"} 1700000000\n"));
    assert_null(strstr(r.body, "kind=\"secret\",name=")); // it does not expire
    response_free(&r);
    sld_arena_fini(&a);
}

static void test_sources_and_envoy(void **state)
{
    struct fixture *f = *state;
    struct sld_arena a = {0};
    const struct sld_node *n = get_json(f, &a, "/v1/sources", 200);
    expect(n, "sources.0.type", "directory");
    expect(n, "sources.0.lastSync", "2023-11-14T22:13:20.250Z");
    expect(n, "sources.1.up", "false");
    expect(n, "sources.1.problem", "gone");
    assert_null(at(n, "sources.0.statuses"));
    f->sources[1].writer = (struct sld_source_writer){.lock = SLD_STR("gloo/solder/leader"),
                                                      .holder = SLD_STR("there (pid 7)")};
    n = get_json(f, &a, "/v1/sources", 200);
    expect(n, "sources.1.statuses.lock", "gloo/solder/leader");
    expect(n, "sources.1.statuses.ours", "false");
    expect(n, "sources.1.statuses.holder", "there (pid 7)");
    n = get_json(f, &a, "/v1/envoys", 200);
    expect_count(n, "envoys", 0);
    expect(n, "supervised.version", "1.40.0");
    expect(n, "supervised.restarts", "3");
    f->edge.supervised = false;
    n = get_json(f, &a, "/v1/envoys", 200);
    assert_null(at(n, "supervised"));
    sld_arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_format, setup, teardown),
        cmocka_unit_test_setup_teardown(test_counts_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expiry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_health, setup, teardown),
        cmocka_unit_test_setup_teardown(test_health_tells_of_stale_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(test_facts_of_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sources_and_envoy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

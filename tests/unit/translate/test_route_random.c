// Random edits of everything that routes are made of: after each, the tables equal a rebuild
// (world_run), every route table is one that Envoy takes, and no domain stands twice in one. The
// seed is printed; give it as argument to repeat a run.
#include "route_world.h"

#include <time.h>

static uint64_t seed;

static unsigned pick(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static const char *one_of(const char *const *list, unsigned n)
{
    return list[pick(n)];
}
#define ONE_OF(...)                                                                                \
    one_of((const char *const[]){__VA_ARGS__},                                                     \
           (unsigned)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

static void add_action(struct sld_buf *b, bool delegates)
{
    switch (pick(delegates ? 8 : 5)) {
    case 0:
        sld_buf_addz(b, "directResponseAction: {status: 200}");
        break;
    case 1:
        sld_buf_addf(b, "routeAction: {upstreamGroup: {name: g%u}}", pick(2));
        break;
    case 2:
        sld_buf_addf(b,
                     "routeAction: {multi: {destinations: [{destination: {upstream: {name: u%u}}, "
                     "weight: %u}, {destination: {upstream: {name: u%u}}, weight: 1}]}}",
                     pick(4), pick(3), pick(4));
        break;
    case 3:
    case 4:
        sld_buf_addf(b, "routeAction: {single: {upstream: {name: u%u}%s}}", pick(4),
                     ONE_OF("", "", ", subset: {values: {k: v}}", ", subset: {values: {x: y}}"));
        break;
    case 5:
        sld_buf_addf(b, "delegateAction: {ref: {name: t%u}}", pick(5));
        break;
    case 6:
        sld_buf_addf(b, "delegateAction: {selector: {labels: {l: '%u'}}}", pick(3));
        break;
    default:
        sld_buf_addf(b,
                     "delegateAction: {selector: {namespaces: ['*'], expressions: [{key: l, "
                     "operator: %s}]}}",
                     ONE_OF("Exists", "DoesNotExist"));
        break;
    }
}

static void add_routes(struct sld_buf *b, unsigned paths)
{
    sld_buf_addz(b, "routes: [");
    for (unsigned i = pick(4); i-- > 0;) {
        sld_buf_addc(b, '{');
        if (pick(6)) {
            sld_buf_addf(b, "matchers: [{%s: %.*s%s}], ",
                         ONE_OF("prefix", "prefix", "prefix", "exact"), (int)(2 + 2 * pick(paths)),
                         "/a/b/c/d",
                         ONE_OF("", "", "", ", headers: [{name: h}]", ", methods: [GET]"));
        }
        sld_buf_addz(b, ONE_OF("", "", "name: n, ", "inheritableMatchers: true, ",
                               "inheritablePathMatchers: true, "));
        sld_buf_addz(b, ONE_OF("", "", "", "options: {timeout: 3s}, ",
                               "optionsConfigRefs: {delegateOptions: [{name: o0}, {name: o1}]}, "));
        add_action(b, true);
        sld_buf_addz(b, "}, ");
    }
    sld_buf_addz(b, "]");
}

static void add_object(struct sld_buf *b, const char *kind, const char *name, unsigned n,
                       const char *more)
{
    sld_buf_addf(
        b,
        "---\napiVersion: %s\nkind: %s\nmetadata: {name: %s%u, namespace: gloo-system%s}\nspec: ",
        strstr(kind, "Upstream") ? "gloo.solo.io/v1" : "gateway.solo.io/v1", kind, name, n, more);
}

// A random form of a random object, as text; or its key to be dropped.
static const char *edit(struct sld_buf *b, char *key, size_t size)
{
    static const struct {
        const char *kind, *name, *plural;
        unsigned n;
    } all[] = {
        {"VirtualService", "v", "virtualservices", 4},
        {"VirtualService", "v", "virtualservices", 4},
        {"RouteTable", "t", "routetables", 5},
        {"RouteTable", "t", "routetables", 5},
        {"RouteOption", "o", "routeoptions", 2},
        {"Upstream", "u", "upstreams", 4},
        {"UpstreamGroup", "g", "upstreamgroups", 2},
        {"Gateway", "w", "gateways", 2},
    };
    unsigned k = pick(8), n = pick(all[k].n);
    snprintf(key, size, "%s/gloo-system/%s%u", all[k].plural, all[k].name, n);
    if (pick(5) == 0)
        return NULL;
    static const char *const labels[] = {"", ", labels: {l: '0'}", ", labels: {l: '1'}",
                                         ", labels: {l: '2'}"};
    add_object(b, all[k].kind, all[k].name, n, one_of(labels, 4));
    if (strcmp(all[k].kind, "VirtualService") == 0) {
        sld_buf_addf(b, "{virtualHost: {domains: [%s], ",
                     ONE_OF("a.com", "b.com", "a.com, b.com", "c.com", "'*'", "A.com, c.com", "''",
                            "a.com, a.com"));
        add_routes(b, 2);
        sld_buf_addz(b, "}}\n");
    } else if (strcmp(all[k].kind, "RouteTable") == 0) {
        sld_buf_addf(b, "{weight: %u, ", pick(2));
        add_routes(b, 4);
        sld_buf_addz(b, "}\n");
    } else if (strcmp(all[k].kind, "RouteOption") == 0) {
        sld_buf_addf(b, "{options: {timeout: %us}}\n", pick(3));
    } else if (strcmp(all[k].kind, "Upstream") == 0) {
        sld_buf_addf(b, "{%s}\n",
                     ONE_OF("static: {hosts: [{addr: 10.0.0.1, port: 80}]}",
                            "static: {hosts: [{addr: 10.0.0.1, port: 80}], subsetSpec: {selectors: "
                            "[{keys: [k]}]}}",
                            "pipe: {path: /x}", "kube: {serviceName: s, servicePort: 80}",
                            "static: {hosts: [{addr: 10.0.0.1, port: 99999}]}"));
    } else if (strcmp(all[k].kind, "UpstreamGroup") == 0) {
        sld_buf_addf(b, "{destinations: [{destination: {upstream: {name: u%u}}, weight: %u}]}\n",
                     pick(4), pick(3));
    } else {
        sld_buf_addf(b, "{bindAddress: '::', bindPort: %u, httpGateway: {%s}}\n", 8080 + pick(2),
                     ONE_OF("", "virtualServiceSelector: {l: '1'}",
                            "virtualServices: [{name: v0}, {name: v1}]"));
    }
    return "";
}

static void check_table(const struct sld_out *o, void *arg)
{
    struct world *w = arg;
    if (o->type != SLD_OUT_ROUTE)
        return;
    struct sld_err err = {0};
    struct sld_arena a = {0};
    Env__Route__RouteConfiguration *rc =
        sld_msg_decode(&a, sld_out_type_desc(o->type), o->bytes, 100, &err);
    assert_non_null(rc);
    struct sld_report r = {.arena = &a};
    sld_msg_check(&r, &rc->base, 0, NULL);
    assert_int_equal(r.errors, 0);
    struct sld_map seen = {0};
    for (size_t i = 0; i < rc->n_virtual_hosts; i++) {
        for (size_t k = 0; k < rc->virtual_hosts[i]->n_domains; k++) {
            struct sld_str d = sld_str_c(rc->virtual_hosts[i]->domains[k]);
            if (sld_map_set(&seen, d, w))
                fail_msg("domain %.*s stands twice in %.*s", SLD_FMT(d), SLD_FMT(o->name));
        }
    }
    sld_map_fini(&seen);
    sld_arena_fini(&a);
}

static void test_random(void **state)
{
    (void)state;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (int world = 0; world < 4; world++) {
        struct world *w = world_create(NULL, 0);
        struct sld_buf b;
        sld_buf_init(&b, 1 << 20);
        for (int i = 0; i < 250; i++) {
            char key[64];
            sld_buf_reset(&b);
            if (edit(&b, key, sizeof(key))) {
                sld_buf_addc(&b, 0);
                put(w, b.p);
            } else {
                drop(w, key);
            }
            sld_translate_outs(w->t, check_table, w);
        }
        sld_buf_fini(&b);
        world_destroy(w);
    }
}

int main(int argc, char **argv)
{
    uint64_t given;
    seed = argc > 1 && sld_str_u64(sld_str_c(argv[1]), &given) ? given : (uint64_t)time(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

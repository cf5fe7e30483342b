// The table of features, and the options that are served because a feature of it says so.
#include "option_world.h"

#include "envoy/config/route/v3/route_components.pb-c.h"

// ---- The table ----

static bool serves(const struct sld_feature *f, const char *name)
{
    for (size_t i = 0; i < SLD_FEATURE_OPTIONS_MAX && f->options[i]; i++) {
        const char *field = strchr(f->options[i], '.');
        if (field && strcmp(field + 1, name) == 0)
            return true;
    }
    return false;
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sld_builtin_feature_count; i++) {
        const struct sld_feature *f = sld_builtin_features[i];
        assert_true(f->help[0]);
        if (!serves(f, f->name))
            fail_msg("%s serves no option of its name", f->name);
        if (i && strcmp(sld_builtin_features[i - 1]->name, f->name) >= 0)
            fail_msg("%s does not stand at its place", f->name);
    }
}

// ---- Options that nobody serves ----

#define OPTIONS "virtualHost.routes[0].options."
#define V(options)                                                                                 \
    VS("v",                                                                                        \
       "{virtualHost: {routes: [{matchers: [{prefix: /}], " TO_A ", options: {" options "}}]}}")

static void silence(struct tr_route *r)
{
    if (r->options && r->action && r->options->idle_timeout)
        r->action->idle_timeout = r->options->idle_timeout;
}

static const struct sld_feature idle_timeout = {
    .name = "idleTimeout",
    .help = "test",
    .options = {"RouteOptions.idleTimeout"},
    .route = silence,
};

static void test_an_option_without_a_feature_gives_a_warning(void **state)
{
    (void)state;
    struct world *w = option_world();
    put(w, UPSTREAM("a") V("timeout: 1s, idleTimeout: 7s"));
    assert_finding(w, VS_KEY("v"), SLD_FIELD_NOT_BUILT, SLD_WARNING, OPTIONS "idleTimeout");
    assert_null(finding(w, VS_KEY("v"), SLD_FIELD_NOT_BUILT, SLD_WARNING, OPTIONS "timeout"));
    assert_has_not(json(w, out(w, SLD_OUT_ROUTE, "listener-::-8080-routes")), "idleTimeout");
    world_destroy(w);
}

// The whole of what a new option needs: its feature in the table.
static void test_a_feature_is_all_that_an_option_needs(void **state)
{
    (void)state;
    const struct sld_feature *more[64];
    size_t n = 0;
    for (; n < sld_builtin_feature_count; n++)
        more[n] = sld_builtin_features[n];
    more[n++] = &idle_timeout;
    struct world *w = world_create(more, n);
    put(w, UPSTREAM("a") V("timeout: 1s, idleTimeout: 7s"));
    assert_clean(w, VS_KEY("v"));
    assert_has(json(w, out(w, SLD_OUT_ROUTE, "listener-::-8080-routes")), "\"idleTimeout\":\"7s\"");
    world_destroy(w);
}

// What is served is known per message: another one's field of that name is not.
static void test_an_option_is_one_of_its_message(void **state)
{
    (void)state;
    static const struct sld_feature here = {
        .name = "retries", .help = "test", .options = {"RouteOptions.retries"}};
    static const struct sld_feature *const only[] = {&here};
    struct world *w = world_create(only, 1);
    put(w, UPSTREAM("a") VS("v", "{virtualHost: {options: {retries: {retryOn: 5xx}}, routes: ["
                                 "{matchers: [{prefix: /}], " TO_A
                                 ", options: {retries: {retryOn: 5xx}}}]}}"));
    assert_finding(w, VS_KEY("v"), SLD_FIELD_NOT_BUILT, SLD_WARNING, "virtualHost.options.retries");
    assert_null(finding(w, VS_KEY("v"), SLD_FIELD_NOT_BUILT, SLD_WARNING, OPTIONS "retries"));
    world_destroy(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_table),
        WORLD_TEST(test_an_option_without_a_feature_gives_a_warning),
        WORLD_TEST(test_a_feature_is_all_that_an_option_needs),
        WORLD_TEST(test_an_option_is_one_of_its_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

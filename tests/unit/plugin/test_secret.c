// Secrets that plugins give: how often they are asked for, and what the store makes of it.
#include "plugin/support.h"

#include "loop/loop.h"
#include "plugin/gives.h"
#include "plugin/load.h"
#include "plugin/task.h"
#include "plugin/world.h"

#define START 1800000000000

// ---- Asking ----

struct bench {
    struct pl_world *world;
    struct sld_plugin *plugin;
    struct sld_resolver *resolver;
    char log[4000];
    int64_t expires_s, renews_s; // as told last
    uint64_t calls;
};

static void on_secret(void *user, const struct sld_secret_news *n)
{
    struct bench *b = user;
    size_t at = strlen(b->log);
    struct sld_str what = n->problem.p ? n->problem : n->document ? n->document->data : SLD_STR("none");
    snprintf(b->log + at, sizeof(b->log) - at, "%s%.*s: %.*s\n", n->problem.p ? "!" : "", SLD_FMT(n->ref), SLD_FMT(what));
    b->expires_s = n->expires_s;
    b->renews_s = n->renews_s;
}

static void begin(struct bench *b, const char *body)
{
    char script[2000];
    struct sld_err err = {0};
    snprintf(script, sizeof(script),
             "local counters, time = require 'solder.counters', require 'solder.time'\n"
             "return {api = 1, name = 'try', secret = function(conf, ref)\nlocal n = counters.add('calls')\n%s\nend}",
             body);
    *b = (struct bench){.world = pl_world_create(START)};
    struct sld_plugin_bundle *bundle = sld_plugin_bundle_create(SLD_STR("try"), SLD_STR("test"), sld_str_c(script));
    struct sld_plugin_limits limits = small;
    limits.waiting = 100; // more than are asked for at a time
    if (sld_plugin_load(bundle, &limits, &b->plugin, &err))
        fail_msg("%s", err.msg);
    SLD_UNREF(bundle);
    b->resolver = sld_resolver_create(b->plugin, pl_world_reactor(b->world), NULL, on_secret, b);
}

static void end(struct bench *b)
{
    sld_resolver_destroy(b->resolver);
    pl_world_destroy(b->world);
    SLD_UNREF(b->plugin);
}

static void want(struct bench *b, const char *ref)
{
    sld_resolver_want(b->resolver, sld_str_c(ref), true);
    pl_world_pass(b->world, 0);
}

static uint64_t calls(struct bench *b)
{
    struct sld_plugin_stats st;
    sld_plugin_stats(b->plugin, &st);
    return st.hooks[SLD_HOOK_SECRET].calls;
}

static void it_is_renewed_before_it_ends(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "return {apiKey = {apiKey = ref .. n}, expires_in = '90s'}");
    want(&b, "k");
    assert_string_equal(b.log, "k: {\"apiVersion\":\"gloo.solo.io/v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"plugin:try/k\"},"
                               "\"apiKey\":{\"apiKey\":\"k1\"}}\n");
    assert_int_equal(b.expires_s, START / 1000 + 90);
    assert_true(b.renews_s <= START / 1000 + 60 && b.renews_s >= START / 1000 + 53);
    b.log[0] = 0;
    pl_world_pass(b.world, 53000);
    assert_int_equal(calls(&b), 1);
    pl_world_pass(b.world, 7000);
    assert_int_equal(calls(&b), 2);
    assert_non_null(strstr(b.log, "\"k2\""));
    sld_resolver_want(b.resolver, SLD_STR("k"), false);
    pl_world_pass(b.world, 1000000);
    assert_int_equal(calls(&b), 2); // nobody wants it
    end(&b);
    begin(&b, "return {apiKey = {apiKey = 'for ever'}}");
    want(&b, "k");
    assert_int_equal(b.expires_s, 0);
    pl_world_pass(b.world, 10000000);
    assert_int_equal(calls(&b), 1);
    end(&b);
}

static void a_failure_is_told_and_tried_again(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "if n == 1 then return nil, 'not now' end if n <= 3 then error('broken') end return {apiKey = {apiKey = 'a'}, expires_in = 3600}");
    want(&b, "k");
    assert_string_equal(b.log, "!k: plugin try: not now\n");
    b.log[0] = 0;
    pl_world_pass(b.world, 999);
    assert_int_equal(calls(&b), 1);
    pl_world_pass(b.world, 1); // a second, then two, then four
    assert_non_null(strstr(b.log, "!k: plugin try: plugin.lua:4: broken"));
    pl_world_pass(b.world, 1999);
    assert_int_equal(calls(&b), 2);
    pl_world_pass(b.world, 4001);
    assert_int_equal(calls(&b), 4);
    assert_non_null(strstr(b.log, "\"apiKey\":\"a\""));
    end(&b);
}

static void what_does_not_end_is_ended(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "time.sleep(3600)");
    want(&b, "k");
    pl_world_pass(b.world, 29999);
    assert_string_equal(b.log, "");
    pl_world_pass(b.world, 1);
    assert_non_null(strstr(b.log, "longer than 30000 ms in all"));
    end(&b);
}

static void so_many_are_asked_for_at_a_time(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, "time.sleep(1) return nil");
    for (int i = 0; i < 30; i++) {
        char ref[10];
        snprintf(ref, sizeof(ref), "r%d", i);
        sld_resolver_want(b.resolver, sld_str_c(ref), true);
    }
    assert_int_equal(pl_task_count(b.plugin), 20);
    pl_world_pass(b.world, 1000);
    assert_int_equal(pl_task_count(b.plugin), 10);
    pl_world_pass(b.world, 1000);
    assert_non_null(strstr(b.log, "r29: none\n"));
    end(&b);
}

// What is raised for a wrong result never shows what is in it.
static void a_wrong_result_is_told_without_its_values(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"return {tls = {certChain = 'hush', privatKey = 'hush'}}", "secret: tls.privatKey is no field of a Secret"},
        {"return {tls = {certChain = {'hush'}}}", "secret: tls.certChain has not the right form"},
        {"return {apiKey = {apiKey = 'hush'}, header = {headers = {a = 'hush'}}}", "has not the right form"},
        {"return {metadata = {name = 'hush'}, apiKey = {apiKey = 'hush'}}", "secret: its result has one of tls"},
        {"return {expires_in = '1h'}", "secret: "},
        {"return {apiKey = {apiKey = 'hush'}, expires_in = '10ms'}", "expires_in must be a time of 1 s to 10 years"},
        {"return 'hush'", "secret: its result is a table, or nil and words, not a string"},
        {"return {apiKey = {apiKey = ('hush'):rep(20000)}, expires_in = 1, header = 1}", "secret: "},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct bench b;
        begin(&b, cases[i][0]);
        want(&b, "k");
        if (!strstr(b.log, cases[i][1]))
            fail_msg("%s: %s", cases[i][0], b.log);
        assert_null(strstr(b.log, "hush"));
        end(&b);
    }
}

// ---- The store ----

struct store {
    struct sld_source *s;
    struct sld_loop *loop;
    char log[4000];
};

static void note(struct store *t, const char *fmt, ...) SLD_PRINTF(2, 3);
static void note(struct store *t, const char *fmt, ...)
{
    size_t at = strlen(t->log);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(t->log + at, sizeof(t->log) - at, fmt, ap);
    va_end(ap);
}

static void on_put(void *user, struct sld_str path, struct sld_blob *bytes, bool settled)
{
    assert_true(settled);
    note(user, "+%.*s=%.*s ", SLD_FMT(path), SLD_FMT(bytes->data));
}

static void on_gone(void *user, struct sld_str path)
{
    note(user, "-%.*s ", SLD_FMT(path));
}

static void on_synced(void *user)
{
    note(user, "synced ");
}

static void on_problem(void *user, struct sld_str path, enum sld_code code, struct sld_str message)
{
    assert_int_equal(code, SLD_SOURCE_STALE);
    note(user, "!%.*s:%.*s ", SLD_FMT(path), SLD_FMT(message));
}

static void on_answered(void *user, struct sld_str key)
{
    note(user, "answered %.*s ", SLD_FMT(key));
}

static void on_want(void *user, struct sld_str plugin, struct sld_str ref, bool wanted)
{
    note(user, "%s %.*s %.*s ", wanted ? "ask" : "leave", SLD_FMT(plugin), SLD_FMT(ref));
}

static void open_store(struct store *t)
{
    struct sld_err err;
    struct sld_source_events ev = {on_put, on_gone, on_synced, on_problem, on_answered, t, 0};
    *t = (struct store){.loop = sld_loop_create("test")};
    assert_int_equal(sld_plugin_secrets_ops.open(t->loop, SLD_STR(SLD_GIVES_ADDRESS), NULL, &ev, &t->s, &err), SLD_OK);
    sld_gives_attach(t->s, on_want, t);
}

static void close_store(struct store *t)
{
    sld_plugin_secrets_ops.close(t->s);
    sld_loop_destroy(t->loop);
}

static void said(struct store *t, const char *words)
{
    assert_string_equal(t->log, words);
    t->log[0] = 0;
}

static void plugins(struct store *t, const char *name, bool all)
{
    struct sld_discover_plan *plan = NULL;
    struct sld_discover_plans p = {.items = &plan, .count = name != NULL};
    if (name) {
        struct sld_plugin_bundle *b = sld_plugin_bundle_create(sld_str_c(name), SLD_STR("test"), SLD_STR(""));
        plan = sld_discover_plan_create(b, &small, SLD_STR(""), NULL, 0);
        plan->hooks = 1U << SLD_HOOK_SECRET;
        SLD_UNREF(b);
    }
    sld_gives_plans(t->s, &p, all);
    SLD_UNREF(plan);
}

static void told(struct store *t, const char *document, const char *problem)
{
    struct sld_secret_news n = {.plugin = SLD_STR("try"), .ref = SLD_STR("a/b"), .problem = problem ? sld_str_c(problem) : SLD_STR_NONE};
    n.document = document ? sld_blob_create_secret(sld_str_c(document)) : NULL;
    sld_gives_take(t->s, &n);
    SLD_UNREF(n.document);
}

#define KEY "secrets/ns/plugin:try/a/b"

static void ask(struct store *t, const char *key, bool wanted)
{
    sld_plugin_secrets_ops.want(t->s, key ? sld_str_c(key) : SLD_STR_NONE, wanted);
}

static void what_is_wanted_is_asked_for_and_stays(void **state)
{
    (void)state;
    struct store t;
    open_store(&t);
    plugins(&t, "try", true);
    ask(&t, "secrets/ns/other", true); // another store's
    ask(&t, KEY, true);
    ask(&t, NULL, true);
    said(&t, "answered secrets/ns/other ask try a/b ");
    told(&t, "one", NULL);
    said(&t, "+" KEY "=one answered " KEY " synced ");
    told(&t, "one", NULL); // renewed, and the same
    said(&t, "answered " KEY " ");
    told(&t, NULL, "no answer"); // the last stays
    said(&t, "!" KEY ":no answer answered " KEY " ");
    told(&t, "two", NULL);
    said(&t, "!" KEY ": +" KEY "=two answered " KEY " synced ");
    // Another namespace refers to it: it is there at once.
    ask(&t, "secrets/other/plugin:try/a/b", true);
    said(&t, "ask try a/b +secrets/other/plugin:try/a/b=two answered secrets/other/plugin:try/a/b synced ");
    ask(&t, "secrets/other/plugin:try/a/b", false);
    said(&t, "-secrets/other/plugin:try/a/b synced ");
    told(&t, NULL, NULL); // there is none any more
    said(&t, "-" KEY " answered " KEY " synced ");
    ask(&t, KEY, false);
    said(&t, "leave try a/b synced ");
    close_store(&t);
}

static void a_plugin_that_is_not_there(void **state)
{
    (void)state;
    struct store t;
    open_store(&t);
    plugins(&t, NULL, false);
    ask(&t, KEY, true);
    ask(&t, NULL, true);
    said(&t, ""); // it may be on its way
    plugins(&t, NULL, true);
    said(&t, "!" KEY ":there is no plugin try that has the hook secret: load one, or refer to another secret answered " KEY " synced ");
    plugins(&t, "try", true);
    said(&t, "ask try a/b ");
    told(&t, "one", NULL);
    said(&t, "!" KEY ": +" KEY "=one answered " KEY " synced ");
    plugins(&t, NULL, true); // what it gave stays
    said(&t, "leave try a/b !" KEY ":there is no plugin try that has the hook secret: load one, or refer to another secret answered " KEY " ");
    close_store(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_renewed_before_it_ends),       cmocka_unit_test(a_failure_is_told_and_tried_again),
        cmocka_unit_test(what_does_not_end_is_ended),         cmocka_unit_test(so_many_are_asked_for_at_a_time),
        cmocka_unit_test(a_wrong_result_is_told_without_its_values), cmocka_unit_test(what_is_wanted_is_asked_for_and_stays),
        cmocka_unit_test(a_plugin_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

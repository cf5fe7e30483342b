// The Vault store and what Vault is made of: engines that are replaced, listings that fail, more than can be read.
#include "secret/vault_world.h"

#define A_PATH "secret/gloo/gloo.solo.io/v1/Secret/ns/a"
#define GLOO(n) "gloo/gloo.solo.io/v1/Secret/ns/" n
#define DATA(n) "GET /v1/secret/data/" GLOO(n)
#define META(n) "GET /v1/secret/metadata/" GLOO(n)
#define LIST "GET /v1/secret/detailed-metadata/gloo/gloo.solo.io/v1/Secret/ns?list=true"
#define LOOKUP "GET /v1/auth/token/lookup-self"
#define HEADER(v) "{\"header\":{\"headers\":{\"x\":\"" v "\"}}}"
#define TOKEN "accessToken: tok"
#define NOTHING "{\"errors\":[]}"

static bool a_says(struct world *w, const char *words)
{
    return has(value(w, A_PATH), words);
}

static void about_is(struct world *w, const char *meta, int version)
{
    says(w, meta, 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, version).p).p);
}

// An engine gets versions, is replaced by one without, and loses what was in it: the value changes, and goes only
// when the engine that is there now has nothing.
static void test_another_engine_in_its_place(void **state)
{
    struct world *w = *state;
    mounted(w, A_PATH, "secret", 1);
    says(w, "GET /v1/" A_PATH, 200, "{\"data\":" HEADER("one") "}");
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    until(w, there, A_PATH);
    says(w, "GET /v1/" A_PATH, 404,
         "{\"data\":null,\"warnings\":[\"Invalid path for a versioned K/V secrets engine.\"]}");
    holds(w, "secret", GLOO("a"), 1, HEADER("two"));
    about_is(w, META("a"), 1);
    mounted(w, A_PATH, "secret", 2);
    until(w, a_says, "two");
    until(w, well, A_PATH);
    says(w, "GET /v1/" A_PATH, 200, "{\"data\":" HEADER("three") "}");
    says(w, DATA("a"), 404, NOTHING);
    says(w, META("a"), 404, NOTHING);
    mounted(w, A_PATH, "secret", 1);
    until(w, a_says, "three");
    assert_int_equal(w->gone, 0);
    forget_log(w);
    says(w, "GET /v1/" A_PATH, 404, NOTHING);
    until(w, not_there, A_PATH);
    assert_int_equal(asked(w, "GET /v1/sys/internal/ui/mounts/" A_PATH), 1);
    forget_log(w);
    until(w, was_asked, "GET /v1/" A_PATH);
    until(w, was_asked, "GET /v1/" A_PATH);
    assert_int_equal(asked(w, "GET /v1/sys/internal"), 0); // that is known
}

// What Vault says of another place is not taken for this one's engine.
static void test_an_engine_of_another_place(void **state)
{
    struct world *w = *state;
    says(w, "GET /v1/sys/internal/ui/mounts/x/y", 200,
         "{\"data\":{\"path\":\"token/\",\"type\":\"kv\",\"options\":{\"version\":\"1\"}}}");
    mounted(w, "token/z", "token", 2);
    holds(w, "token", "z", 1, "{\"k\":\"v\"}");
    open_with(w, TOKEN);
    want(w, "secrets/ns/vault:x/y");
    until(w, in_trouble, "ns/vault:x/y");
    assert_true(has(problem(w, "ns/vault:x/y"), "Vault has no engine at x/y"));
    want(w, "secrets/ns/vault:token/z");
    until(w, there, "ns/vault:token/z");
}

static void latest(struct world *w, const char *what, int status, const char *data, const char *times)
{
    says(w, what, status,
         sld_arena_fmt(&w->a, "{\"data\":{\"data\":%s,\"metadata\":{\"version\":1,%s,\"destroyed\":false}}}",
                       data, times)
             .p);
}

static void latest_about(struct world *w, const char *times)
{
    says(w, META("a"), 200,
         sld_arena_fmt(&w->a,
                       "{\"data\":{\"current_version\":1,\"versions\":{\"1\":{%s,\"destroyed\":false}}}}", times)
             .p);
}

// The same version, but it was made anew; then a deletion that was set for a time to come, when that is there.
static void test_times_count_beside_the_version(void **state)
{
    struct world *w = *state;
    static const char made[] = "\"created_time\":\"2026-01-01T00:00:01Z\",\"deletion_time\":\"\"",
                      anew[] = "\"created_time\":\"2026-02-02T00:00:02Z\",\"deletion_time\":\"\"",
                      ends[] = "\"created_time\":\"2026-02-02T00:00:02Z\",\"deletion_time\":\"2027-01-01T00:00:00Z\"";
    mounted(w, A_PATH, "secret", 2);
    latest(w, DATA("a"), 200, HEADER("one"), made);
    latest_about(w, made);
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    until(w, there, A_PATH);
    latest(w, DATA("a"), 200, HEADER("two"), anew);
    latest_about(w, anew);
    until(w, a_says, "two");
    latest(w, DATA("a"), 200, HEADER("three"), ends);
    latest_about(w, ends);
    until(w, a_says, "three");
    latest(w, DATA("a"), 404, "null", ends);
    until(w, not_there, A_PATH);
}

static void three_secrets(struct world *w)
{
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < 3; i++) {
        mounted(w, sld_arena_fmt(&w->a, "secret/" GLOO("%s"), names[i]).p, "secret", 2);
        holds(w, "secret", sld_arena_fmt(&w->a, GLOO("%s"), names[i]).p, 1, HEADER("one"));
        about_is(w, sld_arena_fmt(&w->a, META("%s"), names[i]).p, 1);
        want(w, sld_arena_fmt(&w->a, "secrets/ns/%s", names[i]).p);
    }
    wants_told(w);
    until(w, was_synced, NULL);
}

// A listing that never comes while everything else is answered: each is asked for by itself.
static void test_a_listing_that_never_comes(void **state)
{
    struct world *w = *state;
    says(w, LIST, 0, "");
    open_with(w, TOKEN ", solder: {timeout: 0.2s}");
    three_secrets(w);
    holds(w, "secret", GLOO("a"), 2, HEADER("two"));
    about_is(w, META("a"), 2);
    until(w, a_says, "two");
    assert_true(asked(w, LIST) >= 1 && asked(w, LIST) <= 6);
}

// Vault is busy when it is asked for the listing: that is asked for again, and nothing else meanwhile.
static void test_a_listing_waits_for_vault(void **state)
{
    struct world *w = *state;
    says(w, LIST, 429, "{\"errors\":[\"rate limit quota exceeded\"]}");
    open_with(w, TOKEN);
    three_secrets(w);
    until(w, in_trouble, "");
    forget_log(w);
    until(w, was_asked, LIST);
    assert_int_equal(asked(w, "GET /v1/secret/metadata/"), 0);
    struct sld_str one = about(w, 1);
    says(w, LIST, 200,
         sld_arena_fmt(&w->a, "{\"data\":{\"key_info\":{\"a\":%s,\"b\":%s,\"c\":%s}}}", one.p, one.p, one.p).p);
    until(w, well, "");
    forget_log(w);
    until(w, was_asked, LIST);
}

static bool asked_often(struct world *w, const char *unused)
{
    (void)unused;
    return asked(w, META("a")) + asked(w, META("b")) >= 4;
}

// No answer at all, again and again: that is told once, as one thing, and not as any secret's.
static void test_what_is_wrong_is_told_once(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"a", "b"};
    open_with(w, TOKEN ", solder: {timeout: 0.1s}");
    for (size_t i = 0; i < 2; i++) {
        mounted(w, sld_arena_fmt(&w->a, "secret/" GLOO("%s"), names[i]).p, "secret", 2);
        holds(w, "secret", sld_arena_fmt(&w->a, GLOO("%s"), names[i]).p, 1, HEADER("one"));
        want(w, sld_arena_fmt(&w->a, "secrets/ns/%s", names[i]).p);
    }
    wants_told(w);
    until(w, was_synced, NULL);
    says(w, META("a"), 0, "");
    says(w, META("b"), 0, "");
    says(w, "GET /v1/sys/health?standbyok=true&perfstandbyok=true", 503, "{\"sealed\":true}");
    until(w, in_trouble, "");
    forget_log(w);
    until(w, asked_often, NULL);
    assert_int_equal(w->store_problems, 1);
    assert_true(has(problem(w, ""), "cannot be asked since 20"));
    assert_false(has(problem(w, ""), "metadata"));
}

static struct sld_str many_key(struct world *w, unsigned i)
{
    return sld_arena_fmt(&w->a, "secrets/ns/s%u", i);
}

// More than can be read are told of, and read when there is room.
static void test_more_secrets_than_can_be_read(void **state)
{
    struct world *w = *state;
    enum { MOST = 20000 };
    struct sld_source_fact *f = sld_xcalloc(MOST + 2, sizeof(*f));
    says(w, LOOKUP, 0, ""); // nothing is asked
    open_with(w, TOKEN);
    for (unsigned i = 0; i < MOST; i++)
        w->store->ops->want(w->store, many_key(w, i), true);
    assert_true(well(w, "full"));
    for (unsigned i = MOST; i < MOST + 2; i++)
        w->store->ops->want(w->store, many_key(w, i), true);
    assert_true(has(problem(w, "full"), "more than 20000 secrets of Vault are wanted"));
    assert_true(sld_map_has(&w->answers_told, many_key(w, MOST)));
    w->store->ops->want(w->store, many_key(w, MOST + 1), false);
    assert_true(in_trouble(w, "full"));
    w->store->ops->want(w->store, many_key(w, 0), false);
    until(w, well, "full");
    size_t n = w->store->ops->facts(w->store, f, MOST + 2);
    bool found = false;
    for (size_t i = 0; i < n; i++)
        found |= sld_str_eq(f[i].name, S("ns/s20000"));
    assert_true(found && n == MOST + 1);
    sld_xfree(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_another_engine_in_its_place),
        T(test_an_engine_of_another_place),
        T(test_times_count_beside_the_version),
        T(test_a_listing_that_never_comes),
        T(test_a_listing_waits_for_vault),
        T(test_what_is_wrong_is_told_once),
        T(test_more_secrets_than_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

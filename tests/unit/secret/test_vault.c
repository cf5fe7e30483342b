// The Vault store: what it reads, when, and what it makes of each answer.
#include "secret/vault_world.h"

#define A_PATH "secret/gloo/gloo.solo.io/v1/Secret/ns/a"
#define B_PATH "secret/gloo/gloo.solo.io/v1/Secret/ns/b"
#define C_PATH "secret/gloo/gloo.solo.io/v1/Secret/ns/c"
#define GLOO(n) "gloo/gloo.solo.io/v1/Secret/ns/" n
#define DATA(n) "GET /v1/secret/data/" GLOO(n)
#define META(n) "GET /v1/secret/metadata/" GLOO(n)
#define LIST "GET /v1/secret/detailed-metadata/gloo/gloo.solo.io/v1/Secret/ns?list=true"
#define HEADER(v)                                                                                  \
    "{\"metadata\":{\"name\":\"a\",\"namespace\":\"ns\"},\"header\":{\"headers\":{\"x\":\"" v      \
    "\"}}}"
#define TOKEN "accessToken: tok"

static void mounted_secret(struct world *w)
{
    mounted(w, A_PATH, "secret", 2);
    mounted(w, B_PATH, "secret", 2);
    mounted(w, C_PATH, "secret", 2);
}

static void test_reads_what_is_wanted(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    holds(w, "secret", GLOO("b"), 1, HEADER("two"));
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    until(w, there, A_PATH);
    struct sld_str v = value(w, A_PATH);
    assert_true(has(v, "\"apiVersion\":\"gloo.solo.io/v1\",\"kind\":\"Secret\""));
    assert_true(has(v, "\"header\":{\"headers\":{\"x\":\"one\"}}"));
    assert_true(has(v, "\"name\":\"a\",\"namespace\":\"ns\""));
    assert_true(has(last_asked(w, DATA("a")), "token=tok ns= "));
    assert_int_equal(asked(w, DATA("b")), 0);
    assert_int_equal(w->synced, 0); // there may be more
    wants_told(w);
    until(w, was_synced, NULL);
}

static void test_no_wants_is_synced_too(void **state)
{
    struct world *w = *state;
    open_with(w, TOKEN);
    wants_told(w);
    until(w, was_synced, NULL);
}

static void test_missing_is_an_answer(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    wants_told(w);
    until(w, was_synced, NULL);
    assert_true(not_there(w, A_PATH) && well(w, A_PATH) && well(w, ""));
    struct sld_source_fact f[4];
    assert_int_equal(w->store->ops->facts(w->store, f, 4), 2);
    assert_true(sld_str_eq(f[1].name, S("ns/a")));
    assert_true(has(f[1].problem, "nothing is there"));
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%.*s}", SLD_FMT(about(w, 1))).p);
    until(w, there, A_PATH);
}

static void test_names_none_of_vaults_can_have(void **state)
{
    struct world *w = *state;
    open_with(w, TOKEN);
    want(w, "secrets/ns/a b");
    want(w, "secrets/ns/vault:kv");
    want(w, "upstreams/ns/a");
    wants_told(w);
    until(w, was_synced, NULL);
    struct sld_source_fact f[4];
    assert_int_equal(w->store->ops->facts(w->store, f, 4), 1); // the token
}

static void test_kv_version_1(void **state)
{
    struct world *w = *state;
    mounted(w, A_PATH, "secret", 1);
    says(w, "GET /v1/" A_PATH, 200, "{\"data\":" HEADER("one") "}");
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    until(w, there, A_PATH);
    says(w, "GET /v1/" A_PATH, 200, "{\"data\":" HEADER("two") "}");
    says(w, "GET /v1/" A_PATH, 200, "{\"data\":" HEADER("three") "}");
    unsigned puts = w->puts;
    forget_log(w);
    while (!has(value(w, A_PATH), "three"))
        until(w, was_asked, "GET /v1/" A_PATH);
    assert_int_equal(w->puts, puts + 1);
}

static void test_kv_version_by_setting(void **state)
{
    struct world *w = *state;
    says(w, "GET /v1/kv/team/" GLOO("a"), 200, "{\"data\":" HEADER("one") "}");
    open_with(w, TOKEN ", pathPrefix: kv/team, solder: {kvVersion: 1}");
    want(w, "secrets/ns/a");
    until(w, there, "kv/team/" GLOO("a"));
    assert_int_equal(asked(w, "GET /v1/sys/internal"), 0);
}

// Three or more of a folder are watched by one request each time.
static void test_a_listing_shows_what_changed(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"a", "b", "c"};
    mounted_secret(w);
    for (size_t i = 0; i < 3; i++)
        holds(w, "secret", sld_arena_fmt(&w->a, GLOO("%s"), names[i]).p, 1, HEADER("one"));
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    want(w, "secrets/ns/b");
    want(w, "secrets/ns/c");
    wants_told(w);
    until(w, was_synced, NULL);
    struct sld_str one = about(w, 1), two = about(w, 2);
    says(w, LIST, 200,
         sld_arena_fmt(
             &w->a,
             "{\"data\":{\"keys\":[\"a\",\"b\",\"c\"],\"key_info\":{\"a\":%s,\"b\":%s,\"c\":%s}}}",
             one.p, one.p, one.p)
             .p);
    forget_log(w);
    for (int i = 0; i < 3; i++) {
        forget_log(w);
        until(w, was_asked, LIST);
    }
    assert_int_equal(asked(w, "GET /v1/secret/data/"), 0);
    assert_int_equal(asked(w, "GET /v1/secret/metadata/"), 0);
    holds(w, "secret", GLOO("b"), 2, HEADER("two"));
    says(w, LIST, 200,
         sld_arena_fmt(&w->a,
                       "{\"data\":{\"keys\":[\"a\",\"b\"],\"key_info\":{\"a\":%s,\"b\":%s}}}",
                       one.p, two.p)
             .p);
    says(w, DATA("c"), 404, "{\"errors\":[]}");
    until(w, not_there, C_PATH);
    assert_true(has(value(w, B_PATH), "two"));
    assert_int_equal(asked(w, DATA("a")), 0);
    assert_int_equal(asked(w, DATA("b")), 1);
}

// Vault itself has no such listing; the token may not see metadata either.
static void test_without_a_listing_each_is_asked_for(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    holds(w, "secret", GLOO("b"), 1, HEADER("one"));
    holds(w, "secret", GLOO("c"), 1, HEADER("one"));
    says(w, LIST, 404, "{\"errors\":[\"unsupported path\"]}");
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    says(w, META("b"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    says(w, META("c"), 403, "{\"errors\":[\"permission denied\"]}");
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    want(w, "secrets/ns/b");
    want(w, "secrets/ns/c");
    wants_told(w);
    until(w, was_synced, NULL);
    forget_log(w);
    until(w, was_asked, META("b"));
    until(w, was_asked, DATA("c")); // by reading
    assert_int_equal(asked(w, DATA("a")), 0);
    assert_int_equal(asked(w, LIST), 1);
    holds(w, "secret", GLOO("a"), 2, HEADER("two"));
    holds(w, "secret", GLOO("c"), 2, HEADER("three"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 2).p).p);
    while (!has(value(w, A_PATH), "two") || !has(value(w, C_PATH), "three")) {
        forget_log(w);
        until(w, was_asked, META("b"));
    }
    assert_true(well(w, C_PATH));
}

static void test_soft_deleted_and_brought_back(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    until(w, there, A_PATH);
    says(w, DATA("a"), 404,
         "{\"data\":{\"data\":null,\"metadata\":{\"version\":1,\"created_time\":\"2026-01-01T00:00:"
         "01Z\",\"deletion_time\":\"2026-02-01T00:00:00Z\",\"destroyed\":false}}}");
    says(w, META("a"), 200,
         "{\"data\":{\"current_version\":1,\"versions\":{\"1\":{\"created_time\":\"2026-01-01T00:"
         "00:01Z\",\"deletion_time\":\"2026-02-01T00:00:00Z\",\"destroyed\":false}}}}");
    until(w, not_there, A_PATH);
    assert_true(well(w, A_PATH));
    forget_log(w);
    until(w, was_asked, META("a"));
    assert_int_equal(asked(w, DATA("a")), 0); // that is known
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    until(w, there, A_PATH);
}

static void test_sealed_keeps_the_last_good(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    until(w, there, A_PATH);
    static const struct {
        int status;
        const char *body, *words;
    } states[] = {
        {503, "{\"errors\":[\"Vault is sealed\"]}", "Vault is sealed"},
        {501, "{\"errors\":[]}", "not initialised"},
        {429, "{\"errors\":[\"rate limit quota exceeded\"]}", "rate limit quota exceeded"},
        {429, "", "standby"},
        {500, "{\"errors\":[\"internal error\"]}", "internal error"},
        {500, "<html>", "status 500"},
        {200, "<html>", "not one of Vault"},
        {200, "{\"data\":", "not one of Vault"},
        {200, "", "not one of Vault"},
        {200, "{\"data\":{\"keys\":[]}}", "not one of Vault"},
        {404, "{\"data\":{\"keys\":[]}}", "not one of Vault"},
        {403, "RBAC: access denied", "status 403"}, // by somebody between
        {403, "{\"errors\":[]}", "status 403"},
        {401, "{\"message\":\"log in\"}", "status 401"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(states); i++) {
        says(w, META("a"), states[i].status, states[i].body);
        until(w, in_trouble, "");
        struct sld_str p = problem(w, "");
        if (!has(p, states[i].words) || !has(p, "cannot be asked since 20") ||
            !has(p, "the last good secrets stay"))
            fail_msg("case %zu: %.*s", i, SLD_FMT(p));
        assert_true(has(value(w, A_PATH), "one"));
        assert_true(well(w, A_PATH));
        says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
        until(w, well, "");
    }
}

// Answers of the right status that do not say what they should: no deletion, whatever asked.
static void test_an_answer_that_says_nothing_is_no_deletion(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"a", "b", "c"};
    static const char *const empty[] = {"{\"data\":{\"keys\":[]}}", "{\"data\":{\"keys\":[],\"key_info\":{}}}",
                                        "{\"data\":{}}", "{\"data\":{\"data\":null,\"metadata\":null}}", ""};
    mounted_secret(w);
    for (size_t i = 0; i < 3; i++)
        holds(w, "secret", sld_arena_fmt(&w->a, GLOO("%s"), names[i]).p, 1, HEADER("one"));
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    want(w, "secrets/ns/b");
    want(w, "secrets/ns/c");
    wants_told(w);
    until(w, was_synced, NULL);
    struct sld_str one = about(w, 1);
    for (size_t i = 0; i < SLD_ARRAY_LEN(empty); i++) {
        says(w, LIST, 200, empty[i]); // then each is asked for
        for (size_t k = 0; k < 3; k++)
            says(w, sld_arena_fmt(&w->a, META("%s"), names[k]).p, 200,
                 sld_arena_fmt(&w->a, "{\"data\":%s}", one.p).p);
        forget_log(w);
        until(w, was_asked, META("c"));
        says(w, META("c"), 200, empty[i]);
        until(w, in_trouble, "");
        assert_true(has(problem(w, ""), "not one of Vault"));
        says(w, META("c"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", one.p).p);
        until(w, well, "");
        // A listing that lacks keys lets them be read; that says no more.
        says(w, LIST, 200, sld_arena_fmt(&w->a, "{\"data\":{\"key_info\":{\"a\":%s}}}", one.p).p);
        says(w, DATA("b"), 200, empty[i]);
        says(w, DATA("c"), 404, empty[i]);
        forget_log(w);
        until(w, was_asked, DATA("b"));
        until(w, was_asked, DATA("c"));
        until(w, in_trouble, "");
        for (size_t k = 0; k < 3; k++)
            holds(w, "secret", sld_arena_fmt(&w->a, GLOO("%s"), names[k]).p, 1, HEADER("one"));
        until(w, well, "");
        assert_true(there(w, A_PATH) && there(w, B_PATH) && there(w, C_PATH));
    }
    assert_int_equal(w->puts, 3);
}

// What a token made ends with it: it is made anew with the next one.
static void test_a_lease_hangs_on_its_token(void **state)
{
    struct world *w = *state;
    says(w, "GET /v1/sys/internal/ui/mounts/db/creds/r", 200,
         "{\"data\":{\"path\":\"db/\",\"type\":\"database\"}}");
    says(w, "GET /v1/db/creds/r", 200,
         "{\"lease_id\":\"l\",\"lease_duration\":3600,\"data\":{\"username\":\"u\"}}");
    says(w, "POST /v1/auth/approle/login", 200,
         "{\"auth\":{\"client_token\":\"t\",\"accessor\":\"x\",\"lease_duration\":1,"
         "\"renewable\":false}}");
    open_with(w, "appRole: {roleId: r, secretId: s}");
    want(w, "secrets/ns/vault:db/creds/r");
    until(w, there, "ns/vault:db/creds/r");
    forget_log(w);
    until(w, was_asked, "POST /v1/auth/approle/login");
    until(w, was_asked, "GET /v1/db/creds/r");
}

#define CREDS "GET /v1/db/creds/r"

static bool has_the_second(struct world *w, const char *unused)
{
    (void)unused;
    return has(value(w, "ns/vault:db/creds/r"), "second");
}

// One that was read with a former token ends with that one.
static void test_a_lease_of_a_former_token(void **state)
{
    struct world *w = *state;
    says(w, "GET /v1/sys/internal/ui/mounts/db/creds/r", 200,
         "{\"data\":{\"path\":\"db/\",\"type\":\"database\"}}");
    says(w, CREDS, 0, "");
    says(w, "POST /v1/auth/approle/login", 200,
         "{\"auth\":{\"client_token\":\"t1\",\"accessor\":\"x\",\"lease_duration\":1,"
         "\"renewable\":false}}");
    open_with(w, "appRole: {roleId: r, secretId: s}, solder: {timeout: 20s}");
    want(w, "secrets/ns/vault:db/creds/r");
    until(w, was_asked, CREDS);
    says(w, "POST /v1/auth/approle/login", 200,
         "{\"auth\":{\"client_token\":\"t2\",\"accessor\":\"x\",\"lease_duration\":100000,"
         "\"renewable\":false}}");
    forget_log(w);
    until(w, was_asked, "POST /v1/auth/approle/login");
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    want(w, "secrets/ns/a");
    until(w, there, A_PATH); // with the second token
    assert_int_equal(asked(w, CREDS), 0);
    says(w, CREDS, 200, "{\"lease_id\":\"l\",\"lease_duration\":3600,\"data\":{\"username\":\"second\"}}");
    answer_unanswered(w, "{\"lease_id\":\"l\",\"lease_duration\":3600,\"data\":{\"username\":\"first\"}}");
    until(w, has_the_second, NULL);
    assert_true(has(last_asked(w, CREDS), "token=t2"));
}

static bool a_is_two(struct world *w, const char *unused)
{
    (void)unused;
    return has(value(w, A_PATH), "two");
}

#define HEALTH "GET /v1/sys/health?standbyok=true&perfstandbyok=true"

static void a_becomes_two(struct world *w)
{
    holds(w, "secret", GLOO("a"), 2, HEADER("two"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 2).p).p);
    until(w, a_is_two, NULL);
    until(w, well, "");
}

// One path that answers badly while Vault is well costs nobody else anything.
static void test_a_bad_path_is_its_own_fault(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    says(w, HEALTH, 200, "{\"initialized\":true,\"sealed\":false}");
    says(w, "GET /v1/sys/internal/ui/mounts/pki/ca/pem", 200,
         "{\"data\":{\"path\":\"pki/\",\"type\":\"pki\",\"options\":null}}");
    says(w, "GET /v1/pki/ca/pem", 200, "-----BEGIN CERTIFICATE-----\n");
    open_with(w, TOKEN);
    want(w, "secrets/ns/vault:pki/ca/pem");
    want(w, "secrets/ns/a");
    wants_told(w);
    until(w, was_synced, NULL);
    assert_true(has(value(w, A_PATH), "one"));
    assert_true(has(problem(w, "ns/vault:pki/ca/pem"), "not one of Vault"));
    a_becomes_two(w);
}

// A limit that one path meets, of leases or of requests, keeps the others waiting for a moment only. Whether
// Vault is well is asked outside of the namespace, where there is no such path.
static void test_a_limit_of_one_path(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    holds(w, "secret", GLOO("b"), 1, HEADER("one"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    says(w, HEALTH, 200, "{\"initialized\":true,\"sealed\":false}");
    open_with(w, TOKEN ", solder: {namespace: team}");
    want(w, "secrets/ns/a");
    want(w, "secrets/ns/b");
    wants_told(w);
    until(w, was_synced, NULL);
    says(w, META("b"), 429, "{\"errors\":[\"lease count quota exceeded\"]}");
    says(w, DATA("b"), 429, "{\"errors\":[\"lease count quota exceeded\"]}");
    until(w, in_trouble, B_PATH);
    assert_true(has(problem(w, B_PATH), "lease count quota exceeded") && there(w, B_PATH));
    assert_true(has(last_asked(w, HEALTH), " ns= ") && has(last_asked(w, META("a")), " ns=team "));
    a_becomes_two(w);
}

// What is asked for turns bad later: its last good value stays, and the others go on.
static void test_a_path_that_turns_bad(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    holds(w, "secret", GLOO("b"), 1, HEADER("one"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    says(w, HEALTH, 200, "{\"initialized\":true,\"sealed\":false}");
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    want(w, "secrets/ns/b");
    wants_told(w);
    until(w, was_synced, NULL);
    says(w, META("b"), 500, "{\"errors\":[\"internal error\"]}");
    says(w, DATA("b"), 500, "{\"errors\":[\"internal error\"]}");
    until(w, in_trouble, B_PATH);
    assert_true(has(problem(w, B_PATH), "internal error") && there(w, B_PATH));
    a_becomes_two(w);
    says(w, HEALTH, 503, "{\"initialized\":true,\"sealed\":true}"); // now it is Vault's
    until(w, in_trouble, "");
}

static void test_down_at_the_start(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    says(w, "GET /v1/auth/token/lookup-self", 503, "{\"errors\":[\"Vault is sealed\"]}");
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    wants_told(w);
    until(w, in_trouble, "");
    assert_int_equal(w->synced, 0);
    says(w, "GET /v1/auth/token/lookup-self", 200, "{\"data\":{\"accessor\":\"x\",\"ttl\":0}}");
    until(w, was_synced, NULL);
    assert_true(there(w, A_PATH) && well(w, ""));
}

static void test_no_right_is_told_of_the_secret_alone(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    says(w, DATA("b"), 403, "{\"errors\":[\"1 error occurred:\\n\\t* permission denied\\n\\n\"]}");
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    want(w, "secrets/ns/b");
    wants_told(w);
    until(w, was_synced, NULL);
    assert_true(there(w, A_PATH));
    assert_true(has(problem(w, B_PATH), "Vault denies reading " B_PATH
                                        ": 1 error occurred: * permission denied; give"));
    assert_true(well(w, ""));
    holds(w, "secret", GLOO("b"), 1, HEADER("two"));
    until(w, there, B_PATH);
    assert_true(well(w, B_PATH));
    // A right that is taken away takes no value with it.
    says(w, DATA("b"), 403, "{\"errors\":[\"permission denied\"]}");
    says(w, META("b"), 403, "{\"errors\":[\"permission denied\"]}");
    until(w, in_trouble, B_PATH);
    assert_true(has(value(w, B_PATH), "two"));
}

static void test_no_engine_there(void **state)
{
    struct world *w = *state;
    says(w, "GET /v1/sys/internal/ui/mounts/" A_PATH, 403,
         "{\"errors\":[\"preflight capability check returned 403\"]}");
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    until(w, in_trouble, A_PATH);
    assert_true(has(problem(w, A_PATH), "preflight"));
    says(w, "GET /v1/" A_PATH, 404, "{\"errors\":[\"no handler for route \\\"secret\\\"\"]}");
    mounted(w, A_PATH, "secret", 1);
    while (!has(problem(w, A_PATH), "no handler for route")) {
        forget_log(w);
        until(w, was_asked, "GET /v1/" A_PATH);
    }
    assert_true(has(problem(w, A_PATH), "pathPrefix"));
}

static void test_what_stands_in_it_is_not_told_of(void **state)
{
    struct world *w = *state;
    mounted(w, "kv/x", "kv", 2);
    holds(w, "kv", "x", 1, "{\"hunter2\":[\"hunter3\"]}");
    open_with(w, TOKEN);
    want(w, "secrets/ns/vault:kv/x#y");
    until(w, in_trouble, "ns/vault:kv/x#y");
    assert_true(has(problem(w, "ns/vault:kv/x#y"), "it has no key \"y\"; it has hunter2"));
    assert_false(has(problem(w, "ns/vault:kv/x#y"), "hunter3"));
}

static void test_the_path_counts(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("b"), 1, HEADER("one")); // says it is a
    open_with(w, TOKEN);
    want(w, "secrets/ns/b");
    until(w, there, B_PATH);
    assert_true(has(value(w, B_PATH), "\"name\":\"b\",\"namespace\":\"ns\""));
    assert_false(has(value(w, B_PATH), "\"name\":\"a\""));
}

static void test_unwanted_goes(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    until(w, there, A_PATH);
    w->store->ops->want(w->store, S("secrets/ns/a"), false);
    want(w, "secrets/ns/a"); // it was a move
    forget_log(w);
    until(w, was_asked, META("a"));
    assert_true(there(w, A_PATH));
    w->store->ops->want(w->store, S("secrets/ns/a"), false);
    until(w, not_there, A_PATH);
}

static bool all_answered(struct world *w, const char *unused)
{
    (void)unused;
    return w->answered >= 5;
}

// Each of what is wanted is answered for, once for each time it is wanted: value, nothing, no right,
// not to be used, no name of Vault's.
static void test_every_want_is_answered_once(void **state)
{
    struct world *w = *state;
    static const char *const keys[] = {"secrets/ns/a", "secrets/ns/b", "secrets/ns/c",
                                       "secrets/ns/vault:kv/x#y", "secrets/ns/no name"};
    mounted_secret(w);
    mounted(w, "kv/x", "kv", 2);
    says(w, DATA("a"), 503, "{\"errors\":[\"Vault is sealed\"]}");
    says(w, DATA("c"), 403, "{\"errors\":[\"permission denied\"]}");
    holds(w, "kv", "x", 1, "{\"z\":\"1\"}");
    open_with(w, TOKEN);
    for (size_t i = 0; i < SLD_ARRAY_LEN(keys); i++)
        want(w, keys[i]);
    wants_told(w);
    until(w, in_trouble, "");
    assert_false(sld_map_has(&w->answers_told, S("secrets/ns/a"))); // sealed is no answer
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    until(w, all_answered, NULL);
    for (size_t i = 0; i < SLD_ARRAY_LEN(keys); i++)
        assert_true(sld_map_has(&w->answers_told, sld_str_c(keys[i])));
    until(w, was_synced, NULL);
    w->store->ops->reread(w->store);
    w->synced = 0;
    until(w, was_synced, NULL);
    assert_int_equal(w->answered, 5);
    w->answered = 0;
    for (size_t i = 0; i < SLD_ARRAY_LEN(keys); i++) { // they come back before they are forgotten
        w->store->ops->want(w->store, sld_str_c(keys[i]), false);
        want(w, keys[i]);
    }
    until(w, all_answered, NULL);
}

// The token goes to the configured address, or by TLS.
static void test_a_standby_sends_on(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    sends_on(w, DATA("a"), sld_arena_fmt(&w->a, "%s/v1/elsewhere", w->base));
    says(w, "GET /v1/elsewhere", 200,
         "{\"data\":{\"data\":" HEADER("one") ",\"metadata\":{\"version\":1}}}");
    open_with(w, TOKEN ", solder: {namespace: team/}");
    want(w, "secrets/ns/a");
    until(w, there, A_PATH);
    assert_true(has(last_asked(w, "GET /v1/elsewhere"), "token=tok ns=team "));
}

static void never_asked(struct sld_http_request *rq, void *user)
{
    *(bool *)user = true;
    sld_http_respond(rq, 404, S("application/json"), NULL, 0, S("{\"errors\":[]}"));
}

static void test_a_redirect_elsewhere_is_refused(void **state)
{
    struct world *w = *state;
    bool heard = false;
    int port = 0;
    w->other = sld_http_server_create(w->loop, NULL, never_asked, &heard);
    assert_int_equal(sld_http_server_listen(w->other, S("127.0.0.1:0"), NULL, &port, NULL), SLD_OK);
    mounted_secret(w);
    sends_on(w, DATA("a"), S("http://127.0.0.1:1/v1/x"));
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    until(w, in_trouble, "");
    assert_true(has(problem(w, ""),
                    "it sends on to \"http://127.0.0.1:1/v1/x\", where the token is not taken"));
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    until(w, there, A_PATH);
    // What begins like the configured address is not it.
    const struct sld_str near[] = {sld_arena_fmt(&w->a, "%s@127.0.0.1:%d/v1/x", w->base, port),
                                   sld_arena_fmt(&w->a, "http://127.0.0.1:%d/v1/x", port),
                                   sld_arena_fmt(&w->a, "//127.0.0.1:%d/v1/x", port)};
    for (size_t i = 0; i < SLD_ARRAY_LEN(near); i++) {
        until(w, well, "");
        sends_on(w, META("a"), near[i]);
        until(w, in_trouble, "");
        assert_false(heard);
        says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    }
    until(w, well, "");
    // In a circle: three times, then never again of itself.
    says(w, "GET /v1/round", 0, "");
    sends_on(w, META("a"), sld_arena_fmt(&w->a, "%s/v1/round", w->base));
    sends_on(w, "GET /v1/round", sld_arena_fmt(&w->a, "%s/v1/round", w->base));
    forget_log(w);
    until(w, in_trouble, "");
    assert_int_equal(asked(w, "GET /v1/round"), 3 * asked(w, META("a")));
}

static void test_settings_change(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    until(w, there, A_PATH);
    w->store->ops->configure(w->store, settings(w, "aws: {accessKeyId: x}"));
    assert_true(has(problem(w, "settings"), "go together"));
    assert_true(has(problem(w, "settings"), "the former settings stay in force"));
    mounted(w, "other/" GLOO("a"), "other", 2);
    holds(w, "other", GLOO("a"), 1, HEADER("two"));
    w->store->ops->configure(w->store, settings(w, "accessToken: tok2, pathPrefix: other"));
    assert_true(well(w, "settings"));
    until(w, there, "other/" GLOO("a"));
    assert_true(not_there(w, A_PATH));
    assert_true(has(last_asked(w, "GET /v1/other/data"), "token=tok2"));
}

// A shorter pause between two looks counts at once, not after the longer one.
static void test_how_often_is_looked(void **state)
{
    struct world *w = *state;
    w->refresh = "3600s";
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    wants_told(w);
    until(w, was_synced, NULL);
    assert_int_equal(asked(w, META("a")), 0);
    w->refresh = NULL;
    w->store->ops->configure(w->store, settings(w, TOKEN));
    until(w, was_asked, META("a"));
}

#define OTHER "other/" GLOO("a")

static void asks_elsewhere(struct world *w, const char *prefix)
{
    w->store->ops->configure(w->store, settings(w, sld_arena_fmt(&w->a, TOKEN ", pathPrefix: %s", prefix).p));
}

// Settings name another place: what was read stays until somebody looked there.
static void test_the_former_place_counts_until_the_new_one_was_read(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    wants_told(w);
    until(w, was_synced, NULL);
    mounted(w, OTHER, "other", 2);
    says(w, "GET /v1/other/data/" GLOO("a"), 503, "{\"errors\":[\"Vault is sealed\"]}");
    asks_elsewhere(w, "other");
    until(w, in_trouble, "");
    assert_true(there(w, A_PATH) && w->gone == 0);
    says(w, "GET /v1/other/data/" GLOO("a"), 403, "{\"errors\":[\"permission denied\"]}");
    until(w, in_trouble, OTHER);
    assert_true(there(w, A_PATH) && w->gone == 0);
    asks_elsewhere(w, "secret"); // back again
    w->synced = 0;
    until(w, was_synced, NULL);
    assert_true(there(w, A_PATH) && w->gone == 0 && well(w, OTHER));
    asks_elsewhere(w, "other");
    holds(w, "other", GLOO("a"), 1, HEADER("two"));
    until(w, there, OTHER);
    assert_true(not_there(w, A_PATH) && w->gone == 1);
    says(w, DATA("a"), 404, "{\"errors\":[]}");
    asks_elsewhere(w, "secret"); // where nothing is any more
    until(w, not_there, OTHER);
    assert_int_equal(w->gone, 2);
}

static void test_the_address_wins(void **state)
{
    struct world *w = *state;
    mounted(w, "kv/team/root/gloo.solo.io/v1/Secret/ns/a", "kv/team", 2);
    holds(w, "kv/team", "root/gloo.solo.io/v1/Secret/ns/a", 1, HEADER("one"));
    open_at(w, sld_arena_fmt(&w->a, "vault://%s/kv/team/root", w->base + 7).p,
            TOKEN ", pathPrefix: x, rootKey: y");
    want(w, "secrets/ns/a");
    until(w, there, "kv/team/root/gloo.solo.io/v1/Secret/ns/a");
}

static void test_sighup_reads_all_again(void **state)
{
    struct world *w = *state;
    mounted_secret(w);
    holds(w, "secret", GLOO("a"), 1, HEADER("one"));
    says(w, META("a"), 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    open_with(w, TOKEN);
    want(w, "secrets/ns/a");
    wants_told(w);
    until(w, was_synced, NULL);
    forget_log(w);
    until(w, was_asked, META("a"));
    until(w, was_asked, META("a"));
    assert_int_equal(asked(w, DATA("a")), 0); // but by a signal:
    w->store->ops->reread(w->store);
    until(w, was_asked, DATA("a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_reads_what_is_wanted),
        T(test_no_wants_is_synced_too),
        T(test_missing_is_an_answer),
        T(test_names_none_of_vaults_can_have),
        T(test_kv_version_1),
        T(test_kv_version_by_setting),
        T(test_a_listing_shows_what_changed),
        T(test_without_a_listing_each_is_asked_for),
        T(test_soft_deleted_and_brought_back),
        T(test_sealed_keeps_the_last_good),
        T(test_an_answer_that_says_nothing_is_no_deletion),
        T(test_a_lease_hangs_on_its_token),
        T(test_a_lease_of_a_former_token),
        T(test_a_bad_path_is_its_own_fault),
        T(test_a_limit_of_one_path),
        T(test_a_path_that_turns_bad),
        T(test_down_at_the_start),
        T(test_no_right_is_told_of_the_secret_alone),
        T(test_no_engine_there),
        T(test_what_stands_in_it_is_not_told_of),
        T(test_the_path_counts),
        T(test_unwanted_goes),
        T(test_every_want_is_answered_once),
        T(test_a_standby_sends_on),
        T(test_a_redirect_elsewhere_is_refused),
        T(test_settings_change),
        T(test_how_often_is_looked),
        T(test_the_former_place_counts_until_the_new_one_was_read),
        T(test_the_address_wins),
        T(test_sighup_reads_all_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

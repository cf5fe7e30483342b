// How the store comes to a token, keeps it, and does without.
#include "secret/vault_world.h"

#include "codec/text.h"

#define KEPT "secret/gloo/gloo.solo.io/v1/Secret/ns/a"
#define DATA "GET /v1/secret/data/gloo/gloo.solo.io/v1/Secret/ns/a"
#define META "GET /v1/secret/metadata/gloo/gloo.solo.io/v1/Secret/ns/a"
#define HEADER(v) "{\"header\":{\"headers\":{\"x\":\"" v "\"}}}"
#define LOOKUP "GET /v1/auth/token/lookup-self"
#define RENEW "POST /v1/auth/token/renew-self"
#define LOGIN "POST /v1/auth/approle/login"
#define APPROLE "appRole: {roleId: r, secretId: s}"

static void a_secret(struct world *w)
{
    mounted(w, KEPT, "secret", 2);
    holds(w, "secret", "gloo/gloo.solo.io/v1/Secret/ns/a", 1, HEADER("one"));
    says(w, META, 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    want(w, "secrets/ns/a");
}

// A login or renewal that gives TOKEN for SECONDS.
static const char *lease(struct world *w, const char *token, int seconds)
{
    return sld_arena_fmt(&w->a,
                         "{\"auth\":{\"client_token\":\"%s\",\"accessor\":\"acc-%s\",\"lease_"
                         "duration\":%d,\"renewable\":true}}",
                         token, token, seconds)
        .p;
}

static const char *write_file(struct world *w, const char *name, const char *text)
{
    const char *path = sld_arena_fmt(&w->a, "/tmp/sld-vault-%d-%s", (int)getpid(), name).p;
    const char *draft = sld_arena_fmt(&w->a, "%s.new", path).p;
    FILE *f = fopen(draft, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(draft, path), 0);
    return path;
}

static struct sld_source_fact token_fact(struct world *w)
{
    struct sld_source_fact f[1];
    assert_int_equal(w->store->ops->facts(w->store, f, 1), 1);
    assert_true(sld_str_eq(f[0].kind, S("token")));
    return f[0];
}

static void test_each_method_logs_in(void **state)
{
    struct world *w = *state;
    const char *file = write_file(w, "secret", "  from-file\n");
    const struct {
        const char *settings, *path, *body;
    } cases[] = {
        {APPROLE, "auth/approle/login", "{\"role_id\":\"r\",\"secret_id\":\"s\"}"},
        {"appRole: {roleId: r, mountPath: other}", "auth/other/login", "{\"role_id\":\"r\"}"},
        {sld_arena_fmt(&w->a, "appRole: {roleIdFile: %s, secretIdFile: %s}", file, file).p,
         "auth/approle/login", "{\"role_id\":\"from-file\",\"secret_id\":\"from-file\"}"},
        {sld_arena_fmt(&w->a, "kubernetes: {role: r, tokenFile: %s}", file).p,
         "auth/kubernetes/login", "{\"role\":\"r\",\"jwt\":\"from-file\"}"},
        {"jwt: {role: r, jwt: a.b.c}", "auth/jwt/login", "{\"role\":\"r\",\"jwt\":\"a.b.c\"}"},
        {sld_arena_fmt(&w->a, "jwt: {jwtFile: %s, mountPath: nomad}", file).p, "auth/nomad/login",
         "{\"jwt\":\"from-file\"}"},
        {"certificate: {role: r}, tlsConfig: {clientCert: /x, clientKey: /y}", "auth/cert/login",
         "{\"name\":\"r\"}"},
        {"userpass: {username: 'a b', password: \"p\\\"w\"}", "auth/userpass/login/a b",
         "{\"password\":\"p\\\"w\"}"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        struct sld_str what = sld_arena_fmt(&w->a, "POST /v1/%s", cases[i].path);
        says(w, what.p, 200, lease(w, "t1", 0));
        open_with(w, cases[i].settings);
        a_secret(w);
        until(w, there, KEPT);
        struct sld_str line = last_asked(w, what.p);
        if (!has(line, cases[i].body) || !has(line, "token= "))
            fail_msg("%s: %.*s", cases[i].settings, SLD_FMT(line));
        assert_true(has(last_asked(w, DATA), "token=t1 "));
        assert_true(sld_str_eq(token_fact(w).name, S("accessor acc-t1")));
        close_store(w);
        sld_map_remove(&w->values, S(KEPT));
        forget_log(w);
    }
    unlink(file);
}

static struct sld_str field(struct world *w, struct sld_str json, const char *name)
{
    struct sld_document *docs;
    size_t n;
    json = sld_str_sub(json, (size_t)sld_str_index(json, '{'), json.n);
    assert_int_equal(sld_doc_read(&w->a, json, &sld_doc_limits_default, &docs, &n, NULL, NULL),
                     SLD_OK);
    struct sld_str text = sld_node_text(sld_node_get(docs[0].root, sld_str_c(name))), out;
    assert_true(sld_base64_decode(&w->a, text, &out));
    return out;
}

static void test_login_by_aws(void **state)
{
    struct world *w = *state;
    says(w, "POST /v1/auth/aws/login", 200, lease(w, "t1", 0));
    open_with(w, "aws: {vaultRole: dev, accessKeyId: AKIAX, secretAccessKey: s3cret, sessionToken: "
                 "st, iamServerIdHeader: vault.example, "
                 "region: eu-west-1}");
    a_secret(w);
    until(w, there, KEPT);
    struct sld_str line = last_asked(w, "POST /v1/auth/aws/login");
    assert_true(has(line, "\"role\":\"dev\",\"iam_http_request_method\":\"POST\""));
    assert_true(
        sld_str_eq(field(w, line, "iam_request_url"), S("https://sts.eu-west-1.amazonaws.com/")));
    assert_true(sld_str_eq(field(w, line, "iam_request_body"),
                           S("Action=GetCallerIdentity&Version=2011-06-15")));
    struct sld_str headers = field(w, line, "iam_request_headers");
    assert_true(has(headers, "\"host\":[\"sts.eu-west-1.amazonaws.com\"]"));
    assert_true(has(headers, "\"x-vault-aws-iam-server-id\":[\"vault.example\"]"));
    assert_true(has(headers, "\"x-amz-security-token\":[\"st\"]"));
    assert_true(has(
        headers,
        "/eu-west-1/sts/aws4_request, SignedHeaders="
        "content-type;host;x-amz-date;x-amz-security-token;x-vault-aws-iam-server-id, Signature="));
    assert_false(has(line, "s3cret"));
}

static bool logged_in_twice(struct world *w, const char *unused)
{
    (void)unused;
    return asked(w, LOGIN) >= 2;
}

static bool renewed_twice(struct world *w, const char *unused)
{
    (void)unused;
    return asked(w, RENEW) >= 2;
}

static bool by_t2(struct world *w, const char *unused)
{
    (void)unused;
    for (size_t i = 0; i < w->log_count; i++) {
        if (sld_str_starts(w->log[i], S(META)) && has(w->log[i], "token=t2 "))
            return true;
    }
    return false;
}

// As many seconds as Settings say are asked for.
static void test_a_renewal_asks_for_what_settings_say(void **state)
{
    struct world *w = *state;
    says(w, "POST /v1/auth/aws/login", 200, lease(w, "t1", 1));
    says(w, RENEW, 200, lease(w, "t1", 1));
    open_with(w, "aws: {vaultRole: dev, accessKeyId: AKIAX, secretAccessKey: s3cret, leaseIncrement: 77}");
    a_secret(w);
    until(w, was_asked, RENEW);
    assert_true(has(last_asked(w, RENEW), "{\"increment\":77}"));
}

static void test_a_lease_is_renewed_before_it_ends(void **state)
{
    struct world *w = *state;
    says(w, LOGIN, 200, lease(w, "t1", 1));
    says(w, RENEW, 200, lease(w, "t1", 1));
    open_with(w, APPROLE);
    a_secret(w);
    until(w, renewed_twice, NULL);
    assert_int_equal(asked(w, LOGIN), 1);
    assert_true(has(last_asked(w, RENEW), "token=t1 "));
    assert_true(token_fact(w).expires_s && token_fact(w).renews_s);
    assert_true(well(w, "") && well(w, "token"));
}

// The longest life: renewals give less and less.
static void test_a_new_login_when_renewals_give_little(void **state)
{
    struct world *w = *state;
    says(w, LOGIN, 200, lease(w, "t1", 3));
    says(w, RENEW, 200, lease(w, "t1", 1));
    open_with(w, APPROLE);
    a_secret(w);
    until(w, was_asked, RENEW);
    says(w, LOGIN, 200, lease(w, "t2", 100));
    until(w, by_t2, NULL);
    assert_int_equal(asked(w, LOGIN), 2);
    assert_int_equal(asked(w, RENEW), 1);
    assert_true(well(w, ""));
}

// Also at its longest life, which is refused with a status that else says that Vault is in trouble: one
// renewal is enough to know.
static void test_a_refused_renewal_leads_to_a_login(void **state)
{
    struct world *w = *state;
    static const struct {
        int status;
        const char *body;
    } refusals[] = {
        {403, "{\"errors\":[\"permission denied\"]}"},
        {500, "{\"errors\":[\"1 error occurred: past the max TTL, cannot renew\"]}"},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(refusals); i++) {
        says(w, LOGIN, 200, lease(w, "t1", 3));
        says(w, RENEW, refusals[i].status, refusals[i].body);
        open_with(w, APPROLE);
        a_secret(w);
        until(w, logged_in_twice, NULL);
        assert_int_equal(asked(w, RENEW), 1);
        assert_true(well(w, ""));
        close_store(w);
        forget_log(w);
    }
}

// An answer of the right status that does not say what was asked for is no answer.
static void test_an_answer_without_a_life_is_none(void **state)
{
    struct world *w = *state;
    static const char *const empty[] = {"{\"data\":{\"keys\":[]},\"auth\":{}}", "{}", ""};
    for (size_t i = 0; i < SLD_ARRAY_LEN(empty); i++) {
        says(w, LOGIN, 200, lease(w, "t1", 2));
        says(w, RENEW, 200, empty[i]);
        open_with(w, APPROLE);
        a_secret(w);
        until(w, was_asked, RENEW);
        until(w, in_trouble, "");
        assert_true(has(problem(w, ""), "not one of Vault"));
        says(w, RENEW, 200, lease(w, "t1", 1000));
        says(w, LOGIN, 200, lease(w, "t1", 1000));
        until(w, well, "");
        assert_true(token_fact(w).expires_s > 0);
        close_store(w);
        says(w, LOOKUP, 200, empty[i]);
        open_with(w, "accessToken: t2");
        until(w, in_trouble, "");
        assert_true(has(problem(w, ""), "not one of Vault"));
        says(w, LOOKUP, 200, "{\"data\":{\"ttl\":1000,\"creation_ttl\":1000}}");
        until(w, well, "");
        assert_true(token_fact(w).expires_s > 0);
        close_store(w);
        forget_log(w);
    }
}

static void test_a_revoked_token_leads_to_a_login(void **state)
{
    struct world *w = *state;
    says(w, LOGIN, 200, lease(w, "t1", 1000));
    open_with(w, APPROLE);
    a_secret(w);
    until(w, there, KEPT);
    says(w, LOGIN, 200, lease(w, "t2", 1000));
    says(w, META, 403, "{\"errors\":[\"permission denied\"]}");
    says(w, LOOKUP, 403, "{\"errors\":[\"permission denied\"]}");
    until(w, logged_in_twice, NULL);
    assert_true(has(value(w, KEPT), "one"));
    says(w, META, 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    until(w, by_t2, NULL);
    assert_true(well(w, "") && well(w, KEPT));
}

static void test_a_refused_login_is_told_of(void **state)
{
    struct world *w = *state;
    says(w, LOGIN, 400, "{\"errors\":[\"invalid role or secret ID\"]}");
    open_with(w, APPROLE);
    a_secret(w);
    wants_told(w);
    until(w, in_trouble, "");
    assert_true(has(problem(w, ""), "no login to Vault at http://127.0.0.1:"));
    assert_true(
        has(problem(w, ""),
            "login by appRole failed: invalid role or secret ID; the last good secrets stay"));
    assert_int_equal(w->synced, 0);
    says(w, LOGIN, 200, lease(w, "t1", 0));
    until(w, was_synced, NULL);
    assert_true(well(w, "") && there(w, KEPT));
}

static void test_a_wrapped_secret_is_unwrapped_once(void **state)
{
    struct world *w = *state;
    const char *file = write_file(w, "wrapped", "wrap-1\n");
    says(w, "POST /v1/sys/wrapping/unwrap", 200, "{\"data\":{\"secret_id\":\"inside-1\"}}");
    says(w, LOGIN, 200, lease(w, "t1", 1));
    says(w, RENEW, 400, "{\"errors\":[\"lease is not renewable\"]}");
    open_with(
        w, sld_arena_fmt(&w->a, "appRole: {roleId: r, secretIdFile: %s, wrapped: true}", file).p);
    a_secret(w);
    until(w, logged_in_twice, NULL);
    assert_int_equal(asked(w, "POST /v1/sys/wrapping/unwrap"), 1);
    assert_true(has(last_asked(w, "POST /v1/sys/wrapping/unwrap"), "token=wrap-1 "));
    assert_true(has(last_asked(w, LOGIN), "\"secret_id\":\"inside-1\""));
    // The secret is used up, and so is its wrapping.
    says(w, LOGIN, 400, "{\"errors\":[\"invalid role or secret ID\"]}");
    until(w, in_trouble, "");
    says(w, "POST /v1/sys/wrapping/unwrap", 400,
         "{\"errors\":[\"wrapping token is not valid or does not exist\"]}");
    write_file(w, "wrapped", "wrap-2\n");
    forget_log(w);
    until(w, was_asked, "POST /v1/sys/wrapping/unwrap token=wrap-2 ");
    while (!has(token_fact(w).problem, "find out who used")) {
        forget_log(w);
        until(w, was_asked, "POST /v1/sys/wrapping/unwrap token=wrap-2 ");
    }
    says(w, "POST /v1/sys/wrapping/unwrap", 200, "{\"data\":{\"secret_id\":\"inside-3\"}}");
    says(w, LOGIN, 200, lease(w, "t3", 1000));
    write_file(w, "wrapped", "wrap-3\n");
    until(w, well, "");
    assert_true(has(last_asked(w, LOGIN), "\"secret_id\":\"inside-3\""));
    unlink(file);
}

// Settings that say nothing about who we are leave the token; others leave what was unwrapped.
static void test_settings_do_not_spend_a_wrapped_secret(void **state)
{
    struct world *w = *state;
    const char *form = "appRole: {roleId: %s, secretId: wrap-1, wrapped: true}, solder: {maxRequests: %d}";
    says(w, "POST /v1/sys/wrapping/unwrap", 200, "{\"data\":{\"secret_id\":\"inside-1\"}}");
    says(w, LOGIN, 200, lease(w, "t1", 1000));
    open_with(w, sld_arena_fmt(&w->a, form, "r", 3).p);
    a_secret(w);
    until(w, there, KEPT);
    says(w, "POST /v1/sys/wrapping/unwrap", 400, "{\"errors\":[\"wrapping token is not valid\"]}");
    w->store->ops->configure(w->store, settings(w, sld_arena_fmt(&w->a, form, "r", 4).p));
    forget_log(w);
    until(w, was_asked, DATA);
    assert_true(has(last_asked(w, DATA), "token=t1 "));
    assert_int_equal(asked(w, LOGIN), 0);
    says(w, LOGIN, 200, lease(w, "t2", 1000));
    w->store->ops->configure(w->store, settings(w, sld_arena_fmt(&w->a, form, "other", 4).p));
    until(w, by_t2, NULL);
    assert_true(has(last_asked(w, LOGIN), "\"role_id\":\"other\",\"secret_id\":\"inside-1\""));
    assert_int_equal(asked(w, "POST /v1/sys/wrapping/unwrap"), 0);
    assert_true(well(w, ""));
}

static bool denied_often(struct world *w, const char *unused)
{
    (void)unused;
    return asked(w, DATA) >= 40 || asked(w, LOGIN) > 5;
}

// Tokens of ours that may not ask about themselves, and secrets that are denied: no login for each.
static void test_denials_without_a_look_are_no_storm(void **state)
{
    struct world *w = *state;
    static const char other[] = "secret/gloo/gloo.solo.io/v1/Secret/ns/b";
    says(w, LOGIN, 200, lease(w, "t1", 1000));
    says(w, LOOKUP, 403, "{\"errors\":[\"permission denied\"]}");
    open_with(w, APPROLE);
    a_secret(w);
    says(w, DATA, 403, "{\"errors\":[\"permission denied\"]}");
    until(w, in_trouble, KEPT);
    mounted(w, other, "secret", 2);
    says(w, "GET /v1/secret/data/gloo/gloo.solo.io/v1/Secret/ns/b", 403,
         "{\"errors\":[\"permission denied\"]}");
    want(w, "secrets/ns/b");
    until(w, in_trouble, other);
    until(w, denied_often, NULL);
    assert_true(asked(w, LOGIN) <= 5);
    // A token that is over shows by a login all the same.
    holds(w, "secret", "gloo/gloo.solo.io/v1/Secret/ns/a", 1, HEADER("one"));
    until(w, there, KEPT);
    assert_true(well(w, KEPT) && well(w, ""));
}

// A login, and a question about its token after that: what is set from here on meets neither.
static bool looked_after_login(struct world *w, const char *unused)
{
    (void)unused;
    size_t login = w->log_count;
    for (size_t i = 0; i < w->log_count; i++) {
        if (sld_str_starts(w->log[i], S(LOGIN)))
            login = i;
        else if (i > login && sld_str_starts(w->log[i], S(LOOKUP)))
            return true;
    }
    return false;
}

// Tokens of ours that are revoked again and again, and may ask about themselves: that is not forgotten.
static void test_revocations_do_not_blind(void **state)
{
    struct world *w = *state;
    const char *denied = "{\"errors\":[\"permission denied\"]}";
    says(w, LOGIN, 200, lease(w, "t1", 1000));
    open_with(w, APPROLE);
    a_secret(w);
    until(w, there, KEPT);
    says(w, META, 403, denied);
    says(w, DATA, 403, denied);
    for (int i = 0; i < 2; i++) {
        says(w, LOGIN, 503, "{\"errors\":[\"Vault is sealed\"]}");
        says(w, LOOKUP, 403, denied);
        until(w, in_trouble, "");
        says(w, LOOKUP, 200, "{\"data\":{\"ttl\":1000,\"creation_ttl\":1000}}");
        says(w, LOGIN, 200, lease(w, "t1", 1000));
        forget_log(w);
        until(w, looked_after_login, NULL);
        until(w, well, "");
    }
    forget_log(w);
    until(w, was_asked, LOOKUP);
    until(w, in_trouble, KEPT);
    assert_int_equal(asked(w, LOGIN), 0);
}

static bool token_says(struct world *w, const char *words)
{
    return has(token_fact(w).problem, words);
}

// The engine that renews is in trouble; those that hold the secrets are not.
static void test_a_failed_renewal_is_no_trouble_yet(void **state)
{
    struct world *w = *state;
    says(w, LOGIN, 200, lease(w, "t1", 5));
    says(w, RENEW, 500, "{\"errors\":[\"internal error\"]}");
    open_with(w, APPROLE);
    a_secret(w);
    until(w, token_says, "the token cannot be renewed: internal error");
    forget_log(w);
    until(w, was_asked, META);
    assert_int_equal(w->store_problems, 0);
}

// Vault knows only whole seconds of what is left.
static void test_the_last_second_of_a_token(void **state)
{
    struct world *w = *state;
    says(w, LOOKUP, 200, "{\"data\":{\"ttl\":0,\"creation_ttl\":100,\"renewable\":false}}");
    open_with(w, "accessToken: tok");
    until(w, in_trouble, "token");
    assert_true(token_fact(w).expires_s > 0);
}

static void test_a_token_file_is_read_again(void **state)
{
    struct world *w = *state;
    const char *file = write_file(w, "token", "t1");
    open_with(w, sld_arena_fmt(&w->a, "tokenFile: %s", file).p);
    a_secret(w);
    until(w, there, KEPT);
    assert_true(has(last_asked(w, DATA), "token=t1 "));
    write_file(w, "token", "t2");
    until(w, by_t2, NULL);
    assert_true(has(last_asked(w, LOOKUP), "token=t2 "));
    assert_true(well(w, ""));
    unlink(file);
}

static void test_a_token_file_that_is_not_there_yet(void **state)
{
    struct world *w = *state;
    const char *file = sld_arena_fmt(&w->a, "/tmp/sld-vault-%d-later", (int)getpid()).p;
    open_with(w, sld_arena_fmt(&w->a, "tokenFile: %s", file).p);
    a_secret(w);
    until(w, in_trouble, "");
    assert_true(has(problem(w, ""), "No such file"));
    write_file(w, "later", "t1");
    until(w, there, KEPT);
    assert_true(well(w, ""));
    unlink(file);
}

static void test_a_dead_token_is_told_of(void **state)
{
    struct world *w = *state;
    says(w, LOOKUP, 403, "{\"errors\":[\"permission denied\"]}");
    open_with(w, "accessToken: tok");
    a_secret(w);
    wants_told(w);
    says(w, "GET /v1/sys/internal/ui/mounts/" KEPT, 403, "{\"errors\":[\"permission denied\"]}");
    until(w, in_trouble, "");
    assert_true(has(problem(w, ""), "it is over, was revoked, or has no right"));
    forget_log(w);
    until(w, was_asked, "GET /v1/sys/internal/ui/mounts/" KEPT);
    forget_log(w);
    until(w, was_asked, "GET /v1/sys/internal/ui/mounts/" KEPT);
    assert_int_equal(w->synced, 0); // nothing is known yet of what is there
    // It was only that it had no right.
    mounted(w, KEPT, "secret", 2);
    until(w, there, KEPT);
    assert_true(well(w, ""));
}

// Not every token may look at itself.
static void test_a_token_nothing_is_known_of(void **state)
{
    struct world *w = *state;
    says(w, LOOKUP, 403, "{\"errors\":[\"permission denied\"]}");
    open_with(w, "accessToken: tok");
    a_secret(w);
    until(w, there, KEPT);
    assert_true(well(w, ""));
    assert_true(has(token_fact(w).problem, "Vault tells nothing about the token"));
}

// The request that showed the token's worth is followed by one of the same secret, not by two.
static void test_each_secret_is_asked_for_once_at_a_time(void **state)
{
    struct world *w = *state;
    static const char other[] = "secret/gloo/gloo.solo.io/v1/Secret/ns/b";
    says(w, LOOKUP, 403, "{\"errors\":[\"permission denied\"]}");
    open_with(w, "accessToken: tok");
    a_secret(w);
    says(w, DATA, 0, ""); // takes its time
    until(w, was_asked, DATA);
    holds(w, "secret", "gloo/gloo.solo.io/v1/Secret/ns/b", 1, HEADER("one"));
    want(w, "secrets/ns/b");
    until(w, there, other);
    assert_int_equal(asked(w, DATA), 1);
}

// One denied secret says nothing against a token that others are read with.
static void test_a_denial_of_a_token_nothing_is_known_of(void **state)
{
    struct world *w = *state;
    static const char other[] = "secret/gloo/gloo.solo.io/v1/Secret/ns/b";
    says(w, LOOKUP, 403, "{\"errors\":[\"permission denied\"]}");
    says(w, "GET /v1/secret/data/gloo/gloo.solo.io/v1/Secret/ns/b", 403,
         "{\"errors\":[\"permission denied\"]}");
    open_with(w, "accessToken: tok, solder: {kvVersion: 2}");
    want(w, "secrets/ns/b");
    a_secret(w);
    wants_told(w);
    until(w, was_synced, NULL);
    assert_true(there(w, KEPT) && well(w, "") && has(problem(w, other), "Vault denies reading"));
}

static bool by_t1(struct world *w, const char *unused)
{
    (void)unused;
    for (size_t i = 0; i < w->log_count; i++) {
        if (!sld_str_starts(w->log[i], S(LOOKUP)) && has(w->log[i], "token=t1 "))
            return true;
    }
    return false;
}

// A token file that says something bad leaves the token that is good, until that ends.
static void test_a_bad_token_costs_no_good_one(void **state)
{
    struct world *w = *state;
    const char *file = write_file(w, "bad-token", "t0");
    says(w, LOOKUP, 200, "{\"data\":{\"ttl\":6,\"creation_ttl\":1000,\"renewable\":false}}");
    open_with(w, sld_arena_fmt(&w->a, "tokenFile: %s", file).p);
    a_secret(w);
    until(w, there, KEPT);
    says(w, LOOKUP, 403, "{\"errors\":[\"permission denied\"]}");
    write_file(w, "bad-token", "t1");
    until(w, was_asked, LOOKUP " token=t1 ");
    forget_log(w);
    until(w, was_asked, META);
    assert_true(has(last_asked(w, META), "token=t0 ") && !by_t1(w, NULL));
    assert_true(has(token_fact(w).problem, "the former token is used until it ends"));
    assert_true(well(w, "") && token_fact(w).expires_s > 0);
    until(w, by_t1, NULL); // the former is over, and not every token may ask about itself
    assert_true(has(token_fact(w).problem, "Vault tells nothing about the token"));
    unlink(file);
}

static bool looked_three_times(struct world *w, const char *what)
{
    return asked(w, what) >= 3;
}

// What Vault says of one token is not taken for another's.
static void test_a_lookup_is_of_the_token_that_was_sent(void **state)
{
    struct world *w = *state;
    const char *file = write_file(w, "two-tokens", "t0");
    says(w, LOOKUP, 200, "{\"data\":{\"ttl\":0,\"creation_ttl\":0,\"renewable\":false}}");
    open_with(w, sld_arena_fmt(&w->a, "tokenFile: %s", file).p);
    a_secret(w);
    until(w, there, KEPT);
    says(w, LOOKUP, 503, "{\"errors\":[\"Vault is sealed\"]}");
    write_file(w, "two-tokens", "t1");
    until(w, looked_three_times, LOOKUP " token=t1 "); // the next is seconds away
    says(w, META, 403, "{\"errors\":[\"permission denied\"]}"); // its agent revoked it
    says(w, LOOKUP, 200, "{\"data\":{\"ttl\":0,\"creation_ttl\":0,\"renewable\":false}}");
    forget_log(w);
    until(w, by_t1, NULL);
    assert_true(has(last_asked(w, LOOKUP), "token=t1 "));
    unlink(file);
}

static void test_an_end_that_nothing_prevents_is_warned_of(void **state)
{
    struct world *w = *state;
    says(w, LOOKUP, 200,
         "{\"data\":{\"accessor\":\"x\",\"ttl\":5,\"creation_ttl\":100,\"renewable\":false}}");
    open_with(w, "accessToken: tok");
    a_secret(w);
    until(w, in_trouble, "token");
    assert_int_equal(w->last_code, SLD_EXPIRES_SOON);
    assert_true(has(problem(w, "token"), "is not renewed; give Solder another"));
    assert_true(well(w, ""));
    until(w, there, KEPT);
    says(w, LOOKUP, 403, "{\"errors\":[\"permission denied\"]}");
    until(w, in_trouble, ""); // it is over
    assert_true(has(problem(w, ""), "the token is not taken"));
    assert_true(well(w, "token"));
    assert_true(has(value(w, KEPT), "one"));
}

// An agent adds its own token.
static void test_without_a_token_by_an_agent(void **state)
{
    struct world *w = *state;
    setenv("VAULT_AGENT_ADDR", w->base, 1);
    memcpy(w->base, "", 1); // settings name no address
    open_with(w, "");
    a_secret(w);
    until(w, there, KEPT);
    assert_true(has(last_asked(w, DATA), "token= "));
    assert_int_equal(asked(w, LOOKUP), 0);
}

static void test_the_token_is_given_back(void **state)
{
    struct world *w = *state;
    says(w, LOGIN, 200, lease(w, "t1", 1000));
    says(w, "POST /v1/auth/token/revoke-self", 204, "");
    open_with(w, APPROLE);
    a_secret(w);
    until(w, there, KEPT);
    close_store(w); // not without being told so
    sld_map_remove(&w->values, S(KEPT));
    open_with(w, APPROLE ", solder: {revokeOnExit: true, namespace: n}");
    a_secret(w);
    until(w, there, KEPT);
    close_store(w);
    until(w, was_asked, "POST /v1/auth/token/revoke-self token=t1 ns=n ");
    assert_int_equal(asked(w, "POST /v1/auth/token/revoke-self"), 1);
    // One that was given is another's.
    sld_map_remove(&w->values, S(KEPT));
    open_with(w, "accessToken: tok, solder: {revokeOnExit: true, namespace: n}");
    a_secret(w);
    until(w, there, KEPT);
    close_store(w);
    sld_map_remove(&w->values, S(KEPT));
    open_with(w, APPROLE ", solder: {revokeOnExit: true, namespace: n}");
    a_secret(w);
    until(w, there, KEPT); // whatever was sent before has arrived
    assert_int_equal(asked(w, "POST /v1/auth/token/revoke-self token=tok"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_each_method_logs_in),
        T(test_login_by_aws),
        T(test_a_renewal_asks_for_what_settings_say),
        T(test_a_lease_is_renewed_before_it_ends),
        T(test_a_new_login_when_renewals_give_little),
        T(test_a_refused_renewal_leads_to_a_login),
        T(test_an_answer_without_a_life_is_none),
        T(test_a_revoked_token_leads_to_a_login),
        T(test_a_refused_login_is_told_of),
        T(test_a_wrapped_secret_is_unwrapped_once),
        T(test_settings_do_not_spend_a_wrapped_secret),
        T(test_denials_without_a_look_are_no_storm),
        T(test_revocations_do_not_blind),
        T(test_a_failed_renewal_is_no_trouble_yet),
        T(test_the_last_second_of_a_token),
        T(test_a_token_file_is_read_again),
        T(test_a_token_file_that_is_not_there_yet),
        T(test_a_dead_token_is_told_of),
        T(test_a_token_nothing_is_known_of),
        T(test_each_secret_is_asked_for_once_at_a_time),
        T(test_a_denial_of_a_token_nothing_is_known_of),
        T(test_a_bad_token_costs_no_good_one),
        T(test_a_lookup_is_of_the_token_that_was_sent),
        T(test_an_end_that_nothing_prevents_is_warned_of),
        T(test_without_a_token_by_an_agent),
        T(test_the_token_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// References to any place in Vault: what data become, and certificates that Vault issues.
#include "secret/vault_world.h"
#include "translate/cert.h"

enum { DAY = 86400 };

static struct sld_str quoted(struct sld_arena *a, struct sld_str s)
{
    struct sld_buf b;
    struct sld_json j;
    sld_buf_init(&b, 1 << 20);
    sld_json_init(&j, &b);
    sld_json_str(&j, s);
    struct sld_str out = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    return out;
}

// What DATA, JSON, at kv/x become, by a reference with "#KEY" (NULL: without). The document, or the
// problem.
static struct sld_str becomes(struct world *w, struct sld_str data, const char *key)
{
    struct sld_str want_key =
        sld_arena_fmt(&w->a, "secrets/ns/vault:kv/x%s%s", key ? "#" : "", key ? key : "");
    struct sld_str place = sld_str_sub(want_key, strlen("secrets/"), want_key.n);
    mounted(w, "kv/x", "kv", 2);
    holds(w, "kv", "x", 1, data.p);
    open_with(w, "accessToken: tok");
    want(w, want_key.p);
    wants_told(w);
    w->synced = 0;
    until(w, was_synced, NULL);
    struct sld_str v = value(w, place.p), p = problem(w, place.p);
    close_store(w);
    sld_map_remove(&w->values, place);
    sld_map_remove(&w->problems, place);
    return v.p ? v : p;
}

#define BECOMES(w, data, key, text)                                                                \
    do {                                                                                           \
        struct sld_str got_ = becomes((w), sld_str_c(data), (key));                                \
        if (!has(got_, (text)))                                                                    \
            fail_msg("%s %s becomes %.*s", (data), (key) ? (key) : "", SLD_FMT(got_));             \
    } while (0)

static void test_texts_are_headers(void **state)
{
    struct world *w = *state;
    BECOMES(w, "{\"authorization\":\"Bearer x\",\"n\":7,\"list\":[1]}", NULL,
            "\"metadata\":{\"name\":\"vault:kv/"
            "x\",\"namespace\":\"ns\"},\"header\":{\"headers\":{\"authorization\":\"Bearer "
            "x\",\"n\":\"7\"}}}");
    BECOMES(w, "{\"authorization\":\"Bearer x\",\"n\":7}", "authorization",
            "\"header\":{\"headers\":{\"authorization\":\"Bearer x\"}}}");
    BECOMES(w, "{\"a/b\":\"v\"}", "a%2Fb", "\"headers\":{\"a/b\":\"v\"}");
    BECOMES(w, "{\"in\":{\"x\":\"v\"}}", "in", "\"headers\":{\"x\":\"v\"}");
    BECOMES(w, "{\"a\":\"v\"}", "b", "kv/x cannot be used: it has no key \"b\"; it has a");
    BECOMES(w, "{}", "b", "it has no key \"b\"; it has none");
    BECOMES(w, "{\"a\":[1]}", "a", "its key \"a\" is a list");
    BECOMES(w, "{\"a\":[1]}", NULL, "nothing in it that could be used");
}

static void test_more_keys_than_are_taken(void **state)
{
    struct world *w = *state;
    struct sld_buf b;
    sld_buf_init(&b, 1 << 20);
    for (int i = 0; i <= 1000; i++)
        sld_buf_addf(&b, "%s\"k%d\":\"v\"", i ? "," : "{", i);
    sld_buf_addz(&b, "}");
    struct sld_str all = sld_arena_str(&w->a, sld_buf_str(&b));
    sld_buf_fini(&b);
    BECOMES(w, all.p, NULL, "kv/x cannot be used: it has 1001 keys; at most 1000 are taken");
    BECOMES(w, all.p, "k7", "\"headers\":{\"k7\":\"v\"}");
}

static void test_access_keys_and_gloos_own_form(void **state)
{
    struct world *w = *state;
    BECOMES(w, "{\"access_key\":\"A\",\"secret_key\":\"S\",\"security_token\":\"T\"}", NULL,
            "\"aws\":{\"accessKey\":\"A\",\"secretKey\":\"S\",\"sessionToken\":\"T\"}");
    BECOMES(w, "{\"access_key\":\"A\",\"secret_key\":\"S\",\"security_token\":null}", NULL,
            "\"aws\":{\"accessKey\":\"A\",\"secretKey\":\"S\"}");
    BECOMES(w, "{\"aws_access_key_id\":\"A\",\"aws_secret_access_key\":\"S\"}", NULL,
            "\"aws\":{\"accessKey\":\"A\",\"secretKey\":\"S\"}");
    BECOMES(w, "{\"metadata\":{\"name\":\"z\"},\"azure\":{\"apiKeys\":{\"f\":\"k\"}}}", NULL,
            "\"metadata\":{\"name\":\"vault:kv/"
            "x\",\"namespace\":\"ns\"},\"azure\":{\"apiKeys\":{\"f\":\"k\"}}}");
}

static void test_certificates_by_common_names(void **state)
{
    struct world *w = *state;
    int64_t now = sld_wall_ms() / 1000;
    struct pair p = pair_make(&w->a, "one", now - DAY, now + 90 * DAY);
    struct sld_str cert = quoted(&w->a, p.cert), key = quoted(&w->a, p.pem);
    static const char *const names[][3] = {{"tls.crt", "tls.key", "ca.crt"},
                                           {"certificate", "private_key", "issuing_ca"},
                                           {"certChain", "privateKey", "rootCa"},
                                           {"cert_chain", "private_key", "root_ca"},
                                           {"cert", "key", "ca"}};
    struct sld_str all =
        sld_arena_fmt(&w->a, "\"tls\":{\"certChain\":%.*s,\"privateKey\":%.*s,\"rootCa\":%.*s}",
                      SLD_FMT(cert), SLD_FMT(key), SLD_FMT(cert));
    struct sld_str pair = sld_arena_fmt(&w->a, "\"tls\":{\"certChain\":%.*s,\"privateKey\":%.*s}",
                                        SLD_FMT(cert), SLD_FMT(key));
    for (size_t i = 0; i < SLD_ARRAY_LEN(names); i++) {
        struct sld_str data =
            sld_arena_fmt(&w->a, "{\"%s\":%.*s,\"%s\":%.*s,\"%s\":%.*s}", names[i][0],
                          SLD_FMT(cert), names[i][1], SLD_FMT(key), names[i][2], SLD_FMT(cert));
        assert_true(has(becomes(w, data, NULL), all.p));
    }
    // One text that holds both, and authorities alone.
    struct sld_str both = sld_arena_fmt(
        &w->a, "{\"pem\":%.*s}", SLD_FMT(quoted(&w->a, SLD_ARENA_JOIN(&w->a, p.pem, p.cert))));
    assert_true(has(becomes(w, both, "pem"), pair.p));
    struct sld_str ca =
        sld_arena_fmt(&w->a, "{\"certificate\":%.*s,\"revocation_time\":0}", SLD_FMT(cert));
    struct sld_str root = sld_arena_fmt(&w->a, "\"tls\":{\"rootCa\":%.*s}", SLD_FMT(cert));
    assert_true(has(becomes(w, ca, NULL), root.p));
    assert_true(has(becomes(w, ca, "certificate"), root.p));
}

static void test_the_end_of_a_certificate_is_known(void **state)
{
    struct world *w = *state;
    int64_t now = sld_wall_ms() / 1000;
    struct pair p = pair_make(&w->a, "one", now - DAY, now + 90 * DAY);
    struct sld_source_fact f[2];
    mounted(w, "kv/x", "kv", 2);
    holds(w, "kv", "x", 3,
          sld_arena_fmt(&w->a, "{\"tls.crt\":%.*s,\"tls.key\":%.*s}",
                        SLD_FMT(quoted(&w->a, p.cert)), SLD_FMT(quoted(&w->a, p.pem)))
              .p);
    open_with(w, "accessToken: tok");
    want(w, "secrets/ns/vault:kv/x");
    until(w, there, "ns/vault:kv/x");
    assert_int_equal(w->store->ops->facts(w->store, f, 2), 2);
    assert_int_equal(f[1].expires_s, now + 90 * DAY);
    assert_true(sld_str_eq(f[1].kind, S("secret")) && sld_str_eq(f[1].name, S("ns/vault:kv/x")) &&
                sld_str_eq(f[1].version, S("3")));
    assert_null(f[1].problem.p);
}

static bool lease_says(struct world *w, const char *words)
{
    return has(value(w, "ns/vault:db/creds/r"), words);
}

// Another engine: what it gives ends, and is asked for again.
static void test_leases_are_asked_for_again(void **state)
{
    struct world *w = *state;
    says(w, "GET /v1/sys/internal/ui/mounts/db/creds/r", 200,
         "{\"data\":{\"path\":\"db/\",\"type\":\"database\",\"options\":null}}");
    says(w, "GET /v1/db/creds/r", 200,
         "{\"lease_id\":\"l/1\",\"lease_duration\":1,\"data\":{\"password\":\"one\"}}");
    open_with(w, "accessToken: tok");
    want(w, "secrets/ns/vault:db/creds/r");
    until(w, there, "ns/vault:db/creds/r");
    struct sld_source_fact f[2];
    assert_int_equal(w->store->ops->facts(w->store, f, 2), 2);
    assert_true(sld_str_eq(f[1].kind, S("lease")) && f[1].expires_s && f[1].renews_s);
    says(w, "GET /v1/db/creds/r", 200,
         "{\"lease_id\":\"l/2\",\"lease_duration\":1000,\"data\":{\"password\":\"two\"}}");
    unsigned before = asked(w, "GET /v1/db/creds/r");
    until(w, lease_says, "two");
    assert_true(before <= 1); // no sweep asks for it
}

// ---- Certificates that Vault issues ----

#define ISSUE "POST /v1/pki/issue/web"
#define PKI                                                                                        \
    "vault:pki/issue/web?common_name=a.example&alt_names=b.example,10.0.0.1,spiffe://x/y&ttl=1h"
#define PKI_PLACE "ns/" PKI

static void issues(struct world *w, const char *serial, int64_t seconds)
{
    int64_t now = sld_wall_ms() / 1000;
    struct pair p = pair_make(&w->a, serial, now - 1, now + seconds);
    struct pair root = pair_make(&w->a, "root", now - DAY, now + DAY);
    struct sld_str ca = quoted(&w->a, root.cert);
    says(w, ISSUE, 200,
         sld_arena_fmt(&w->a,
                       "{\"data\":{\"certificate\":%.*s,\"private_key\":%.*s,\"issuing_ca\":%.*s,"
                       "\"ca_chain\":[%.*s],"
                       "\"serial_number\":\"%s\",\"expiration\":1}}",
                       SLD_FMT(quoted(&w->a, p.cert)), SLD_FMT(quoted(&w->a, p.pem)), SLD_FMT(ca),
                       SLD_FMT(ca), serial)
             .p);
}

static bool serial_is(struct world *w, const char *serial)
{
    struct sld_source_fact f[2];
    size_t n = w->store->ops->facts(w->store, f, 2);
    return n && sld_str_eq(f[n - 1].version, sld_str_c(serial));
}

static void test_a_certificate_is_issued_and_renewed(void **state)
{
    struct world *w = *state;
    issues(w, "11:22", 2);
    open_with(w, "accessToken: tok");
    want(w, "secrets/ns/" PKI);
    wants_told(w);
    until(w, there, PKI_PLACE);
    assert_true(
        has(last_asked(w, ISSUE),
            "{\"common_name\":\"a.example\",\"alt_names\":\"b.example\",\"ip_sans\":\"10.0.0.1\","
            "\"uri_sans\":\"spiffe://x/y\",\"ttl\":\"1h\",\"format\":\"pem\"}"));
    struct sld_str v = value(w, PKI_PLACE);
    assert_true(has(v, "\"kind\":\"Secret\"") && has(v, "\"privateKey\":") && !has(v, "rootCa"));
    issues(w, "33:44", 1000);
    until(w, serial_is, "33:44");
    assert_false(sld_str_eq(v, value(w, PKI_PLACE)));
    struct sld_source_fact f[2];
    assert_int_equal(w->store->ops->facts(w->store, f, 2), 2);
    assert_true(sld_str_eq(f[1].kind, S("certificate")));
    assert_true(f[1].renews_s < f[1].expires_s && f[1].renews_s > 0);
    unsigned before = asked(w, ISSUE);
    w->store->ops->reread(w->store); // nothing to see there
    forget_log(w);
    want(w, "secrets/ns/a");
    until(w, was_asked, "GET /v1/sys/internal");
    assert_int_equal(before + asked(w, ISSUE), before);
}

// Settings that change while the next is being issued cost nothing but that request.
static void test_settings_change_while_a_certificate_is_issued(void **state)
{
    struct world *w = *state;
    issues(w, "11", 2);
    open_with(w, "accessToken: tok");
    want(w, "secrets/ns/" PKI);
    until(w, there, PKI_PLACE);
    says(w, ISSUE, 0, ""); // takes its time
    forget_log(w);
    until(w, was_asked, ISSUE);
    issues(w, "22", 1000);
    w->store->ops->configure(w->store, settings(w, "accessToken: tok, solder: {maxRequests: 3}"));
    until(w, serial_is, "22");
}

static void test_the_issuer_is_trusted_when_asked_for(void **state)
{
    struct world *w = *state;
    issues(w, "11", 1000);
    open_with(w, "accessToken: tok");
    want(w, "secrets/ns/vault:pki/issue/web?common_name=a&trust_issuer=true");
    until(w, there, "ns/vault:pki/issue/web?common_name=a&trust_issuer=true");
    assert_true(
        has(value(w, "ns/vault:pki/issue/web?common_name=a&trust_issuer=true"), "\"rootCa\":"));
}

static void test_a_failed_renewal_keeps_the_last_good(void **state)
{
    struct world *w = *state;
    issues(w, "11", 2);
    open_with(w, "accessToken: tok");
    want(w, "secrets/ns/" PKI);
    until(w, there, PKI_PLACE);
    struct sld_str v = value(w, PKI_PLACE);
    says(w, ISSUE, 400, "{\"errors\":[\"common name a.example not allowed by this role\"]}");
    until(w, in_trouble, PKI_PLACE);
    assert_true(has(problem(w, PKI_PLACE), "Vault does not issue from pki/issue/web: common name "
                                           "a.example not allowed by this role; the last "
                                           "certificate stays as long as it is valid"));
    assert_true(sld_str_eq(v, value(w, PKI_PLACE)));
    issues(w, "22", 1000);
    until(w, serial_is, "22");
    assert_true(well(w, PKI_PLACE));
}

static void test_replaced_certificates_are_revoked(void **state)
{
    struct world *w = *state;
    issues(w, "11:aa", 2);
    says(w, "POST /v1/pki/revoke", 200, "{\"data\":{}}");
    open_with(w, "accessToken: tok, solder: {revokeCertificates: true}");
    want(w, "secrets/ns/" PKI);
    until(w, there, PKI_PLACE);
    issues(w, "22:bb", 1000);
    until(w, serial_is, "22:bb");
    assert_int_equal(asked(w, "POST /v1/pki/revoke"), 0); // Envoys may hold it yet
    close_store(w);
    until(w, was_asked, "POST /v1/pki/revoke token=tok ns= {\"serial_number\":\"11:aa\"}");
    assert_int_equal(asked(w, "POST /v1/pki/revoke"), 1);
}

static void marked(const struct sld_http_answer *a, void *user)
{
    (void)a;
    (void)user;
}

// What has been sent by now is heard when this is over.
static void let_arrive(struct world *w)
{
    struct sld_http_client *c = sld_http_client_create(w->loop, 1);
    struct sld_http_header header = {S("X-Vault-Request"), S("true")};
    struct sld_http_call call = {.url = sld_arena_fmt(&w->a, "%s/v1/mark", w->base),
                                 .headers = &header,
                                 .header_count = 1};
    for (int i = 0; i < 3; i++) {
        sld_http_start(c, &call, marked, NULL);
        forget_log(w);
        until(w, was_asked, "GET /v1/mark");
    }
    sld_http_client_destroy(c);
}

// The token that may revoke certificates is given back after that was done.
static void test_certificates_are_revoked_before_the_token(void **state)
{
    struct world *w = *state;
    issues(w, "11:aa", 2);
    says(w, "POST /v1/auth/approle/login", 200,
         "{\"auth\":{\"client_token\":\"t\",\"lease_duration\":1000,\"renewable\":true}}");
    says(w, "POST /v1/pki/revoke", 0, ""); // takes its time
    open_with(w, "appRole: {roleId: r, secretId: s}, solder: {revokeCertificates: true, revokeOnExit: true}");
    want(w, "secrets/ns/" PKI);
    until(w, there, PKI_PLACE);
    issues(w, "22:bb", 1000);
    until(w, serial_is, "22:bb");
    close_store(w);
    until(w, was_asked, "POST /v1/pki/revoke token=t ");
    let_arrive(w);
    assert_int_equal(asked(w, "POST /v1/auth/token/revoke-self"), 0);
    until(w, was_asked, "POST /v1/auth/token/revoke-self token=t ");
}

// By an agent, which adds its token, and where Settings name another Vault: at the former one, at once.
static void test_certificates_are_revoked_where_they_were_made(void **state)
{
    struct world *w = *state;
    setenv("VAULT_AGENT_ADDR", w->base, 1);
    char *port = strrchr(w->base, ':') + 1;
    struct sld_str next = sld_arena_fmt(
        &w->a, "accessToken: tok, solder: {revokeCertificates: true}, address: 'http://localhost:%s'", port);
    char base[sizeof(w->base)];
    memcpy(base, w->base, sizeof(base));
    issues(w, "11:aa", 2);
    says(w, "POST /v1/pki/revoke", 200, "{\"data\":{}}");
    memcpy(w->base, "", 1); // settings name no address
    open_with(w, "solder: {revokeCertificates: true}");
    want(w, "secrets/ns/" PKI);
    until(w, there, PKI_PLACE);
    issues(w, "22:bb", 1000);
    until(w, serial_is, "22:bb");
    forget_log(w);
    w->store->ops->configure(w->store, settings_text(w, next.p));
    until(w, was_asked, "POST /v1/pki/revoke token= ns= {\"serial_number\":\"11:aa\"}");
    close_store(w);
    memcpy(w->base, base, sizeof(base));
    let_arrive(w);
    assert_int_equal(asked(w, "POST /v1/pki/revoke"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_texts_are_headers),
        T(test_more_keys_than_are_taken),
        T(test_access_keys_and_gloos_own_form),
        T(test_certificates_by_common_names),
        T(test_the_end_of_a_certificate_is_known),
        T(test_leases_are_asked_for_again),
        T(test_a_certificate_is_issued_and_renewed),
        T(test_settings_change_while_a_certificate_is_issued),
        T(test_the_issuer_is_trusted_when_asked_for),
        T(test_a_failed_renewal_keeps_the_last_good),
        T(test_replaced_certificates_are_revoked),
        T(test_certificates_are_revoked_before_the_token),
        T(test_certificates_are_revoked_where_they_were_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

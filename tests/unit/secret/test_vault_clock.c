// The Vault store and time: clocks that are wrong or set, pauses that grow, what is due much later. The clocks of
// this process go as the test says.
#include <sys/syscall.h>
#include <time.h>

#include "secret/vault_world.h"
#include "translate/cert.h"

#define KEPT "secret/gloo/gloo.solo.io/v1/Secret/ns/a"
#define DATA "GET /v1/secret/data/gloo/gloo.solo.io/v1/Secret/ns/a"
#define META "GET /v1/secret/metadata/gloo/gloo.solo.io/v1/Secret/ns/a"
#define LOOKUP "GET /v1/auth/token/lookup-self"
#define RENEW "POST /v1/auth/token/renew-self"
#define ISSUE "POST /v1/pki/issue/web"
#define REVOKE "POST /v1/pki/revoke"
#define PKI "vault:pki/issue/web?common_name=a.example"
#define PKI_PLACE "ns/" PKI
#define DENIED "{\"errors\":[\"permission denied\"]}"

enum { YEAR = 365 * 86400 };

static int64_t wall_ahead_s, mono_ahead_s;

// In place of libc's.
int clock_gettime(clockid_t id, struct timespec *t)
{
    long rc = syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME)
        t->tv_sec += wall_ahead_s;
    if (id == CLOCK_MONOTONIC)
        t->tv_sec += mono_ahead_s;
    return (int)rc;
}

static int begin(void **state)
{
    wall_ahead_s = mono_ahead_s = 0;
    return setup(state);
}

static int64_t true_now(void)
{
    return sld_wall_ms() / 1000 - wall_ahead_s;
}

// A certificate that is valid from so many seconds before the true time until so many after it; LEASE: its
// identifier, or NULL.
static void issues_by(struct world *w, const char *lease, const char *serial, int64_t before, int64_t after)
{
    int64_t now = true_now();
    struct pair p = pair_make(&w->a, serial, now - before, now + after);
    struct sld_buf b;
    struct sld_json j;
    sld_buf_init(&b, 1 << 20);
    sld_json_init(&j, &b);
    sld_json_begin(&j, '{');
    sld_json_key(&j, "data");
    sld_json_begin(&j, '{');
    const struct sld_str fields[][2] = {
        {S("certificate"), p.cert}, {S("private_key"), p.pem}, {S("serial_number"), sld_str_c(serial)}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(fields); i++) {
        sld_json_key(&j, fields[i][0].p);
        sld_json_str(&j, fields[i][1]);
    }
    sld_json_end(&j, '}');
    if (lease) {
        sld_json_key(&j, "lease_id");
        sld_json_str(&j, sld_str_c(lease));
        sld_json_key(&j, "lease_duration");
        sld_json_int(&j, after);
    }
    sld_json_end(&j, '}');
    says(w, ISSUE, 200, sld_arena_str(&w->a, sld_buf_str(&b)).p);
    sld_buf_fini(&b);
}

static void issues(struct world *w, const char *serial, int64_t before, int64_t after)
{
    issues_by(w, NULL, serial, before, after);
}

static struct sld_source_fact fact(struct world *w)
{
    struct sld_source_fact f[2];
    assert_int_equal(w->store->ops->facts(w->store, f, 2), 2);
    return f[1];
}

static bool serial_is(struct world *w, const char *serial)
{
    return sld_str_eq(fact(w).version, sld_str_c(serial));
}

static bool asked_five_times(struct world *w, const char *what)
{
    return asked(w, what) >= 5;
}

// Lets the store look at what is due.
static void look(struct world *w)
{
    mono_ahead_s += 61;
    (void)w;
}

// Solder's clock is ahead by more than certificates live: what is issued is over at once. It is in force all
// the same, for others may know better, but it is told of, and more are asked for ever less often.
static void test_a_certificate_that_is_over_when_it_comes(void **state)
{
    struct world *w = *state;
    wall_ahead_s = 120;
    issues(w, "11", 30, 60);
    open_with(w, "accessToken: tok");
    want(w, "secrets/ns/" PKI);
    until(w, in_trouble, PKI_PLACE);
    assert_true(has(problem(w, PKI_PLACE), "the clock of Solder or that of Vault is wrong"));
    until(w, there, PKI_PLACE);
    uint64_t from = sld_mono_ns();
    issues(w, "12", 30, 60);
    mono_ahead_s += 2; // the first pause
    until(w, serial_is, "12");
    issues(w, "13", 30, 60);
    until(w, serial_is, "13");
    assert_true(sld_mono_ns() - from > (uint64_t)4 * 1000 * 1000 * 1000);
    assert_true(in_trouble(w, PKI_PLACE));
    wall_ahead_s = 0;
    issues(w, "22", 30, 1000);
    mono_ahead_s += 300;
    until(w, serial_is, "22");
    until(w, well, PKI_PLACE);
}

// The clock is years behind at the start, or stood still, and is set right later.
static void test_the_clock_is_set(void **state)
{
    struct world *w = *state;
    wall_ahead_s = -10 * (int64_t)YEAR;
    issues(w, "11", 30, 1000);
    open_with(w, "accessToken: tok");
    want(w, "secrets/ns/" PKI);
    until(w, there, PKI_PLACE);
    assert_true(fact(w).renews_s < true_now() + wall_ahead_s + 1000);
    issues(w, "22", 30, 1000);
    wall_ahead_s = 0;
    look(w);
    until(w, serial_is, "22");
    issues(w, "33", 30 - 2000, 3000);
    wall_ahead_s = 2000;
    look(w);
    until(w, serial_is, "33");
}

static void test_a_lease_ends_by_the_clock_on_the_wall(void **state)
{
    struct world *w = *state;
    static const char creds[] = "GET /v1/db/creds/r";
    says(w, "GET /v1/sys/internal/ui/mounts/db/creds/r", 200,
         "{\"data\":{\"path\":\"db/\",\"type\":\"database\",\"options\":null}}");
    says(w, creds, 200, "{\"lease_id\":\"l/1\",\"lease_duration\":1000,\"data\":{\"password\":\"one\"}}");
    open_with(w, "accessToken: tok");
    want(w, "secrets/ns/vault:db/creds/r");
    until(w, there, "ns/vault:db/creds/r");
    forget_log(w);
    wall_ahead_s = 2000;
    look(w);
    until(w, was_asked, creds);
}

static void a_secret(struct world *w)
{
    mounted(w, KEPT, "secret", 2);
    holds(w, "secret", "gloo/gloo.solo.io/v1/Secret/ns/a", 1, "{\"header\":{\"headers\":{\"x\":\"one\"}}}");
    says(w, META, 200, sld_arena_fmt(&w->a, "{\"data\":%s}", about(w, 1).p).p);
    want(w, "secrets/ns/a");
}

#define LOGIN "POST /v1/auth/approle/login"
#define TOKEN_OF(token, ttl, renewable)                                                            \
    "{\"auth\":{\"client_token\":\"" token "\",\"lease_duration\":" ttl ",\"renewable\":" renewable "}}"

// Vault revokes a certificate that has a lease with the token it was issued to: another is issued to the next
// token. Where a token cannot be renewed its end is that of what hangs on it.
static void test_a_certificate_with_a_lease_hangs_on_its_token(void **state)
{
    struct world *w = *state;
    for (int leased = 0; leased < 2; leased++) {
        says(w, LOGIN, 200, TOKEN_OF("t1", "1000", "false"));
        issues_by(w, leased ? "pki/issue/web/1" : NULL, "11", 30, 50000);
        open_with(w, "appRole: {roleId: r, secretId: s}");
        want(w, "secrets/ns/" PKI);
        until(w, there, PKI_PLACE);
        bool ends = fact(w).expires_s <= true_now() + 1000;
        assert_int_equal(ends, leased);
        says(w, LOGIN, 200, TOKEN_OF("t2", "100000", "true"));
        issues_by(w, "pki/issue/web/2", "22", 30, 50000);
        forget_log(w);
        mono_ahead_s += 700;
        until(w, was_asked, LOGIN);
        if (leased) {
            until(w, serial_is, "22");
            assert_true(fact(w).expires_s > true_now() + 40000); // this token is renewed
        } else {
            a_secret(w);
            until(w, there, KEPT); // with the second token
            assert_int_equal(asked(w, ISSUE), 0);
            sld_map_remove(&w->values, S(KEPT));
        }
        close_store(w);
        sld_map_remove(&w->values, S(PKI_PLACE));
    }
}

// A lease of Vault's is no longer than the token it was read with.
static void test_a_lease_is_no_longer_than_its_token(void **state)
{
    struct world *w = *state;
    static const char *const life =
        "{\"data\":{\"accessor\":\"x\",\"ttl\":1000,\"creation_ttl\":1000,\"renewable\":%s}}";
    says(w, "GET /v1/sys/internal/ui/mounts/db/creds/r", 200,
         "{\"data\":{\"path\":\"db/\",\"type\":\"database\",\"options\":null}}");
    says(w, "GET /v1/db/creds/r", 200,
         "{\"lease_id\":\"l/1\",\"lease_duration\":5000,\"data\":{\"password\":\"one\"}}");
    for (int renewable = 0; renewable < 2; renewable++) {
        says(w, LOOKUP, 200, sld_arena_fmt(&w->a, life, renewable ? "true" : "false").p);
        open_with(w, "accessToken: tok");
        want(w, "secrets/ns/vault:db/creds/r");
        until(w, there, "ns/vault:db/creds/r");
        int64_t s = fact(w).expires_s - true_now();
        assert_in_range(s, renewable ? 4900 : 900, renewable ? 5000 : 1000);
        close_store(w);
        sld_map_remove(&w->values, S("ns/vault:db/creds/r"));
    }
}

// Lives so long that their nanoseconds do not fit in what counts them.
static void test_lives_of_centuries(void **state)
{
    struct world *w = *state;
    static const char *const lives[] = {"18446744074", "9223372036854775807"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(lives); i++) {
        says(w, "POST /v1/auth/approle/login", 200,
             sld_arena_fmt(&w->a,
                           "{\"auth\":{\"client_token\":\"t\",\"lease_duration\":%s,\"renewable\":true}}",
                           lives[i])
                 .p);
        says(w, "GET /v1/sys/internal/ui/mounts/db/creds/r", 200,
             "{\"data\":{\"path\":\"db/\",\"type\":\"database\",\"options\":null}}");
        says(w, "GET /v1/db/creds/r", 200,
             sld_arena_fmt(&w->a, "{\"lease_id\":\"l\",\"lease_duration\":%s,\"data\":{\"p\":\"one\"}}",
                           lives[i])
                 .p);
        open_with(w, "appRole: {roleId: r, secretId: s}");
        want(w, "secrets/ns/vault:db/creds/r");
        until(w, there, "ns/vault:db/creds/r");
        assert_true(fact(w).expires_s > true_now() + 99 * (int64_t)YEAR);
        assert_true(fact(w).renews_s > true_now() + 50 * (int64_t)YEAR);
        a_secret(w);
        until(w, asked_five_times, META);
        assert_int_equal(asked(w, "GET /v1/db/creds/r"), 1);
        assert_int_equal(asked(w, "POST /v1/auth/token/renew-self"), 0);
        close_store(w);
        sld_map_remove(&w->values, S("ns/vault:db/creds/r"));
        sld_map_remove(&w->values, S(KEPT));
        forget_log(w);
    }
}

// Vault denies what is asked for, and does not say whether the token is valid: it is asked ever less often.
static void test_pauses_grow_while_nothing_is_known(void **state)
{
    struct world *w = *state;
    open_with(w, "accessToken: tok");
    a_secret(w);
    until(w, there, KEPT);
    says(w, META, 403, DENIED);
    says(w, DATA, 403, DENIED);
    says(w, LOOKUP, 503, "{\"errors\":[\"Vault is sealed\"]}");
    forget_log(w);
    until(w, was_asked, LOOKUP);
    uint64_t from = sld_mono_ns();
    until(w, asked_five_times, LOOKUP);
    assert_true(sld_mono_ns() - from > (uint64_t)3 * 1000 * 1000 * 1000);
    assert_true(there(w, KEPT));
}

// A denied secret lets Vault be asked about the token, which puts off no renewal of it; nor does a clock that
// stood still while the machine slept.
static void test_a_renewal_is_not_put_off(void **state)
{
    struct world *w = *state;
    const char *life = "{\"data\":{\"accessor\":\"x\",\"ttl\":%d,\"creation_ttl\":10000,\"renewable\":true}}";
    struct sld_source_fact before, after;
    says(w, LOOKUP, 200, sld_arena_fmt(&w->a, life, 10000).p);
    open_with(w, "accessToken: tok");
    a_secret(w);
    until(w, there, KEPT);
    w->store->ops->facts(w->store, &before, 1);
    wall_ahead_s = mono_ahead_s = 4000;
    says(w, LOOKUP, 200, sld_arena_fmt(&w->a, life, 9999).p); // it cannot be longer
    says(w, META, 403, DENIED);
    says(w, DATA, 403, DENIED);
    forget_log(w);
    until(w, in_trouble, KEPT);
    assert_true(asked(w, LOOKUP) > 0);
    w->store->ops->facts(w->store, &after, 1);
    assert_in_range(after.renews_s, before.renews_s - 2, before.renews_s + 2);
    assert_int_equal(asked(w, RENEW), 0);
    wall_ahead_s += 8000;
    says(w, RENEW, 200, "{\"auth\":{\"lease_duration\":10000,\"renewable\":true}}");
    look(w);
    until(w, was_asked, RENEW);
}

// The same, looked for again and again: what was asked before may not be answered yet.
static bool was_asked_again(struct world *w, const char *what)
{
    if (was_asked(w, what))
        return true;
    look(w);
    return false;
}

// A certificate that was replaced is revoked when no Envoy has it any more, and once more when nobody answered.
static void test_replaced_certificates_are_revoked_for_sure(void **state)
{
    struct world *w = *state;
    issues(w, "11:aa", 1, 2);
    says(w, REVOKE, 503, "{\"errors\":[\"Vault is sealed\"]}");
    open_with(w, "accessToken: tok, solder: {revokeCertificates: true}");
    want(w, "secrets/ns/" PKI);
    until(w, there, PKI_PLACE);
    issues(w, "22:bb", 1, 100000);
    until(w, serial_is, "22:bb");
    assert_int_equal(asked(w, REVOKE), 0);
    look(w);
    until(w, was_asked, REVOKE " token=tok ns= {\"serial_number\":\"11:aa\"}");
    says(w, REVOKE, 403, DENIED);
    forget_log(w);
    until(w, was_asked_again, REVOKE);
    says(w, REVOKE, 200, "{\"data\":{}}");
    forget_log(w);
    until(w, was_asked_again, REVOKE " token=tok ns= {\"serial_number\":\"11:aa\"}");
    a_secret(w);
    until(w, there, KEPT);
    look(w);
    until(w, asked_five_times, META);
    assert_int_equal(asked(w, REVOKE), 1);
}

#undef T
#define T(name) cmocka_unit_test_setup_teardown(name, begin, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_certificate_that_is_over_when_it_comes),
        T(test_the_clock_is_set),
        T(test_a_lease_ends_by_the_clock_on_the_wall),
        T(test_a_certificate_with_a_lease_hangs_on_its_token),
        T(test_a_lease_is_no_longer_than_its_token),
        T(test_lives_of_centuries),
        T(test_pauses_grow_while_nothing_is_known),
        T(test_a_renewal_is_not_put_off),
        T(test_replaced_certificates_are_revoked_for_sure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

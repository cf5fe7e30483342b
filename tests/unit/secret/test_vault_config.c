// Where the Vault store looks for what: address, Settings, variables, defaults.
#include "secret/vault_world.h"

#include "secret/vault/config.h"
#include "secret/vault/vault.h"

static struct vault_config cfg;

static const Gloo__Settings *read_settings(struct world *w, const char *yaml)
{
    struct sld_document *docs;
    size_t n;
    struct sld_report r = {.arena = &w->a};
    assert_int_equal(
        sld_doc_read(&w->a, sld_str_c(yaml), &sld_doc_limits_default, &docs, &n, NULL, NULL),
        SLD_OK);
    const Gloo__Settings *s =
        sld_doc_decode(&w->a, &gloo__settings__descriptor, docs[0].root, false, &r);
    assert_int_equal(r.errors, 0);
    return s;
}

static void made(struct world *w, const char *address, const char *yaml)
{
    struct sld_err err = {0};
    vault_config_fini(&cfg);
    if (vault_config_make(&cfg, sld_str_c(address), read_settings(w, yaml), &err))
        fail_msg("%s", err.msg);
}

static void refused(struct world *w, const char *address, const char *yaml, const char *words)
{
    struct sld_err err = {0};
    vault_config_fini(&cfg);
    assert_int_equal(vault_config_make(&cfg, sld_str_c(address), read_settings(w, yaml), &err),
                     SLD_INVALID);
    if (!strstr(err.msg, words))
        fail_msg("%s", err.msg);
}

#define IS(field, text) assert_true(sld_str_eq(cfg.field, S(text)))

static void test_addresses(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *address, *base, *mount, *root; // BASE NULL: refused
    } cases[] = {
        {"vault:", "https://127.0.0.1:8200", "secret", "gloo"},
        {"vault://", "https://127.0.0.1:8200", "secret", "gloo"},
        {"vault://v:1", "http://v:1", "secret", "gloo"},
        {"vault://v:1/", "http://v:1", "secret", "gloo"},
        {"vaults://v:1/kv", "https://v:1", "kv", "gloo"},
        {"vault://v/kv/root", "http://v", "kv", "root"},
        {"vault:///kv/team/root/", "https://127.0.0.1:8200", "kv/team", "root"},
        {"vault://[::1]:8200", "http://[::1]:8200", "secret", "gloo"},
        {"vaults:", NULL, NULL, NULL},
        {"vaults:///kv", NULL, NULL, NULL},
        {"vault:x", NULL, NULL, NULL},
        {"vault:/kv", NULL, NULL, NULL},
        {"vault://a b", NULL, NULL, NULL},
        {"vault://u@v:1", NULL, NULL, NULL},
        {"vault://v?x", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        if (!cases[i].base) {
            refused(w, cases[i].address, "vaultSecretSource: {accessToken: t}",
                    "write vault://host:port/mount/root");
            continue;
        }
        made(w, cases[i].address, "vaultSecretSource: {accessToken: t}");
        if (!sld_str_eq(cfg.base, sld_str_c(cases[i].base)) ||
            !sld_str_eq(cfg.mount, sld_str_c(cases[i].mount)) ||
            !sld_str_eq(cfg.root, sld_str_c(cases[i].root)))
            fail_msg("%s: %.*s %.*s %.*s", cases[i].address, SLD_FMT(cfg.base), SLD_FMT(cfg.mount),
                     SLD_FMT(cfg.root));
    }
    assert_true(sld_secret_vault_ops.source.matches(S("vault:")));
    assert_true(sld_secret_vault_ops.source.matches(S("vaults://x")));
    assert_false(sld_secret_vault_ops.source.matches(S("/etc/vault")));
}

static void test_settings_win_over_variables(void **state)
{
    struct world *w = *state;
    setenv("VAULT_ADDR", "https://env:8200/", 1);
    setenv("VAULT_TOKEN", "env-token", 1);
    setenv("VAULT_NAMESPACE", "env-ns", 1);
    setenv("VAULT_CACERT", "/env/ca", 1);
    setenv("VAULT_CAPATH", "/env/capath", 1);
    setenv("VAULT_CLIENT_CERT", "/env/cert", 1);
    setenv("VAULT_CLIENT_KEY", "/env/key", 1);
    setenv("VAULT_TLS_SERVER_NAME", "env.example", 1);
    setenv("VAULT_SKIP_VERIFY", "true", 1);
    setenv("VAULT_CLIENT_TIMEOUT", "7", 1);
    made(w, "vault:", "{}");
    IS(base, "https://env:8200");
    IS(secret, "env-token");
    IS(ns, "env-ns");
    IS(ca_file, "/env/ca");
    IS(ca_path, "/env/capath");
    IS(cert_file, "/env/cert");
    IS(key_file, "/env/key");
    IS(server_name, "env.example");
    assert_true(cfg.insecure);
    assert_int_equal(cfg.timeout_ms, 7000);
    assert_int_equal(cfg.refresh_ms, 60000);
    struct sld_hash before = cfg.hash;
    made(w, "vault:", "refreshRate: 5s");
    assert_int_equal(cfg.refresh_ms, 5000);
    assert_true(sld_hash_eq(before, cfg.hash)); // no reason for a new login
    setenv("VAULT_CLIENT_TIMEOUT", "1500ms", 1);
    made(w, "vault:",
         "secretOptions: {sources: [{directory: {directory: /x}}, {vault: {address: "
         "'http://set:1', accessToken: set, "
         "rootKey: r, pathPrefix: /p/, solder: {namespace: n, kvVersion: 1, maxRequests: 3}, "
         "tlsConfig: {caCert: /ca, caPath: /cap, clientCert: /c, clientKey: /k, tlsServerName: s, "
         "insecure: false}}}]}\n"
         "vaultSecretSource: {address: 'http://overridden:1'}");
    IS(base, "http://set:1");
    IS(secret, "set");
    IS(ns, "n");
    IS(ca_file, "/ca");
    IS(ca_path, "/cap");
    IS(cert_file, "/c");
    IS(key_file, "/k");
    IS(server_name, "s");
    IS(root, "r");
    IS(mount, "p");
    assert_false(cfg.insecure);
    assert_int_equal(cfg.timeout_ms, 1500);
    assert_int_equal(cfg.kv_version, 1);
    assert_int_equal(cfg.max_requests, 3);
    // Gloo's old fields, where the new ones say nothing.
    made(w, "vault:",
         "vaultSecretSource: {token: old, caCert: /old, insecure: false, tlsConfig: {clientCert: "
         "/c}}");
    IS(secret, "old");
    IS(ca_file, "/old");
    IS(cert_file, "/c");
    assert_false(cfg.insecure);
}

static void test_each_request_has_an_end(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *variable, *setting;
        unsigned ms;
    } cases[] = {{"0", "{}", 30000},           {"0s", "{}", 30000},
                 {"-1s", "{}", 30000},         {"never", "{}", 30000},
                 {"99999999", "{}", 600000},   {"100h", "{}", 600000},
                 {"5", "{timeout: 0s}", 30000}, {"5", "{timeout: 2s}", 2000},
                 {"5", "{timeout: 1h}", 600000}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++) {
        setenv("VAULT_CLIENT_TIMEOUT", cases[i].variable, 1);
        made(w, "vault:",
             sld_arena_fmt(&w->a, "vaultSecretSource: {accessToken: t, solder: %s}",
                           cases[i].setting)
                 .p);
        assert_int_equal(cfg.timeout_ms, cases[i].ms);
    }
}

static void test_tokens_of_the_user(void **state)
{
    struct world *w = *state;
    struct sld_str home = sld_arena_fmt(&w->a, "/tmp/sld-vault-home-%d", (int)getpid());
    refused(w, "vault:", "{}", "there is no way to log in");
    assert_int_equal(
        system(sld_arena_fmt(&w->a, "mkdir -p %s && printf 'mine\\n' > %s/.vault-token", home.p,
                             home.p)
                   .p),
        0);
    setenv("HOME", home.p, 1);
    made(w, "vault:", "{}");
    IS(secret, "mine");
    assert_int_equal(system(sld_arena_fmt(&w->a, "rm -r %s", home.p).p), 0);
    refused(w, "vault:", "{}", "or the variable VAULT_TOKEN");
    setenv("VAULT_AGENT_ADDR", "unix:///run/agent.sock", 1); // it has a token
    made(w, "vault:", "{}");
    IS(unix_socket, "/run/agent.sock");
    assert_int_equal(cfg.method, VAULT_NO_TOKEN);
}

static void test_what_cannot_be(void **state)
{
    struct world *w = *state;
    static const struct {
        const char *vault, *words;
    } cases[] = {
        {"address: 'ftp://x', accessToken: t", "address \"ftp://x\" is no address of Vault"},
        {"address: 'http://x/y', accessToken: t", "is no address"},
        {"appRole: {}", "appRole.roleId is missing; set it, or appRole.roleIdFile"},
        {"appRole: {roleId: r, wrapped: true}", "appRole.secretId is missing"},
        {"appRole: {roleId: r, roleIdFile: /f}", "appRole.roleId and appRole.roleIdFile are set"},
        {"jwt: {role: r}", "jwt.jwt is missing"},
        {"userpass: {username: u}", "userpass.password is missing"},
        {"userpass: {username: u, password: p, passwordFile: /f}", "keep one of them"},
        {"certificate: {}", "set tlsConfig.clientCert and tlsConfig.clientKey"},
        {"aws: {}", "aws has no access key"},
        {"aws: {secretAccessKey: x}", "go together"},
    };
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    for (size_t i = 0; i < SLD_ARRAY_LEN(cases); i++)
        refused(w, "vault:", sld_arena_fmt(&w->a, "vaultSecretSource: {%s}", cases[i].vault).p,
                cases[i].words);
}

static void test_aws_by_variables(void **state)
{
    struct world *w = *state;
    setenv("AWS_ACCESS_KEY_ID", "env-id", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "env-key", 1);
    setenv("AWS_SESSION_TOKEN", "env-session", 1);
    setenv("AWS_DEFAULT_REGION", "eu-north-1", 1);
    unsetenv("AWS_REGION");
    made(w, "vault:", "vaultSecretSource: {aws: {leaseIncrement: 60}}");
    IS(aws.access_key, "env-id");
    IS(aws.secret_key, "env-key");
    IS(aws.session_token, "env-session");
    IS(aws.region, "eu-north-1");
    assert_int_equal(cfg.lease_increment_s, 60);
    made(w, "vault:", "vaultSecretSource: {aws: {accessKeyId: a, secretAccessKey: b}}");
    IS(aws.access_key, "a");
    assert_null(cfg.aws.session_token.p); // that belongs to the other key
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    unsetenv("AWS_SESSION_TOKEN");
    unsetenv("AWS_DEFAULT_REGION");
    vault_config_fini(&cfg);
}

// Plugins reach Vault as Solder does, as long as that is by a token.
static void test_what_others_are_told(void **state)
{
    struct world *w = *state;
    struct sld_http_place p = {.insecure = false};
    struct sld_err err = {0};
    assert_int_equal(sld_vault_reach(&w->a, read_settings(w, "{}"), &p, &err), SLD_NOT_FOUND);
    const Gloo__Settings *by_token = read_settings(w, "vaultSecretSource: {address: 'http://v:1', accessToken: t, solder: {namespace: team}}");
    assert_int_equal(sld_vault_reach(&w->a, by_token, &p, &err), SLD_OK);
    assert_true(sld_str_eq(p.base, S("http://v:1")) && sld_str_eq(p.token, S("t")) && sld_str_eq(p.token_header, S("X-Vault-Token")));
    assert_true(sld_str_eq(p.header.name, S("X-Vault-Namespace")) && sld_str_eq(p.header.value, S("team")));
    assert_int_equal(sld_vault_reach(&w->a, read_settings(w, "vaultSecretSource: {aws: {accessKeyId: a, secretAccessKey: b}}"), &p, &err),
                     SLD_INVALID);
    assert_non_null(strstr(err.msg, "by a token"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_addresses),          T(test_settings_win_over_variables),
        T(test_each_request_has_an_end),
        T(test_tokens_of_the_user), T(test_what_cannot_be),
        T(test_aws_by_variables),   T(test_what_others_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

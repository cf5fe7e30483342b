// Settings win over variables, variables over defaults.
#include "secret/vault/config.h"

#include "codec/message.h"
#include "codec/text.h"
#include "settings.pb-c.h"
#include "source/file.h"
#include "source/given.h"
#include "secret/vault/vault.h"

enum {
    REFRESH_DEFAULT_MS = 60 * 1000,
    REFRESH_MIN_MS = 100,
    TIMEOUT_DEFAULT_MS = 30 * 1000,
    TIMEOUT_MAX_MS = 10 * 60 * 1000,
    REQUESTS_DEFAULT = 8,
};

// What is longer comes to the same, and its nanoseconds would not fit.
#define REFRESH_MAX_MS ((uint64_t)10 * 365 * 86400 * 1000)

static struct sld_str without_slashes(struct sld_str s)
{
    while (s.n && s.p[0] == '/')
        s = sld_str_sub(s, 1, s.n);
    while (s.n && s.p[s.n - 1] == '/')
        s.n--;
    return s;
}

// ---- The address ----

bool vault_address_matches(struct sld_str address)
{
    return sld_str_starts(address, SLD_STR("vault:")) ||
           sld_str_starts(address, SLD_STR("vaults:"));
}

static enum sld_rc bad_address(struct sld_err *err, struct sld_str given)
{
    return sld_err_set(
        err, SLD_INVALID,
        "\"%.*s\" is no address of Vault; write vault://host:port/mount/root (vaults:// for "
        "TLS), or vault: for the one of Settings or VAULT_ADDR",
        SLD_FMT(sld_str_sub(given, 0, 100)));
}

// "https://host:port" or "unix:///path", as Settings and VAULT_ADDR have it.
static enum sld_rc set_base(struct vault_config *cfg, struct sld_str url, const char *from,
                            struct sld_err *err)
{
    struct sld_str u = url;
    if (sld_str_starts(u, SLD_STR("unix://"))) {
        cfg->unix_socket = sld_arena_str(&cfg->arena, sld_str_sub(u, 7, u.n));
        cfg->base = SLD_STR("http://localhost");
        return SLD_OK;
    }
    bool fine = sld_str_starts(u, SLD_STR("http://")) || sld_str_starts(u, SLD_STR("https://"));
    while (u.n && u.p[u.n - 1] == '/')
        u.n--;
    struct sld_str host = sld_str_sub(u, (size_t)sld_str_find(u, SLD_STR("://")) + 3, u.n);
    for (size_t i = 0; fine && i < u.n; i++)
        fine = u.p[i] > ' ' && u.p[i] < 0x7f && u.p[i] != '@' && u.p[i] != '?' && u.p[i] != '#';
    if (!fine || !host.n || sld_str_index(host, '/') >= 0)
        return sld_err_set(
            err, SLD_INVALID,
            "%s \"%.*s\" is no address of Vault; write http://host:port, https://host:port or "
            "unix:///path",
            from, SLD_FMT(sld_str_sub(url, 0, 100)));
    cfg->base = sld_arena_str(&cfg->arena, u);
    return SLD_OK;
}

// "vault://host:port/mount/root": what it leaves out stays absent.
static enum sld_rc read_address(struct vault_config *cfg, struct sld_str address,
                                struct sld_err *err)
{
    bool tls = sld_str_starts(address, SLD_STR("vaults:"));
    struct sld_str rest = sld_str_sub(address, tls ? 7 : 6, address.n), host;
    if (!rest.n && !tls)
        return SLD_OK;
    if (!sld_str_starts(rest, SLD_STR("//")))
        return bad_address(err, address);
    rest = sld_str_sub(rest, 2, rest.n);
    sld_str_cut(&rest, '/', &host);
    struct sld_str path = rest.p ? without_slashes(rest) : SLD_STR("");
    if (host.n) {
        struct sld_str url =
            sld_arena_fmt(&cfg->arena, "%s://%.*s", tls ? "https" : "http", SLD_FMT(host));
        if (set_base(cfg, url, "--secrets", NULL))
            return bad_address(err, address);
    } else if (tls) {
        return bad_address(err, address);
    }
    if (!path.n)
        return SLD_OK;
    size_t cut = path.n;
    while (cut > 0 && path.p[cut - 1] != '/')
        cut--;
    if (cut) // the last part is the root
        cfg->root = sld_arena_str(&cfg->arena, sld_str_sub(path, cut, path.n));
    cfg->mount = sld_arena_str(&cfg->arena, cut ? sld_str_sub(path, 0, cut - 1) : path);
    return SLD_OK;
}

// ---- How to log in ----

// The token that the vault command keeps for its user.
static struct sld_str token_of_user(struct sld_arena *a)
{
    struct sld_str home = sld_env("HOME");
    struct sld_str path =
        home.p ? sld_arena_fmt(a, "%.*s/.vault-token", SLD_FMT(home)) : SLD_STR_NONE;
    struct sld_str token = SLD_STR_NONE;
    if (path.p && sld_secret_file_read(a, "token", path, &token, NULL) != SLD_OK)
        return SLD_STR_NONE;
    return token;
}

static enum sld_rc one_of(struct sld_err *err, struct sld_str value, struct sld_str file,
                          const char *field)
{
    if (value.p && file.p)
        return sld_err_set(err, SLD_INVALID, "vault: %s and %sFile are set; keep one of them",
                           field, field);
    if (!value.p && !file.p)
        return sld_err_set(err, SLD_INVALID, "vault: %s is missing; set it, or %sFile", field,
                           field);
    return SLD_OK;
}

static enum sld_rc set_approle(struct vault_config *cfg, const Gloo__VaultAppRoleAuth *r,
                               struct sld_err *err)
{
    struct sld_arena *a = &cfg->arena;
    cfg->method = VAULT_APP_ROLE;
    cfg->role = sld_given(a, r->role_id, NULL, NULL);
    cfg->role_file = sld_given(a, r->role_id_file, NULL, NULL);
    cfg->secret = sld_given(a, r->secret_id, NULL, NULL);
    cfg->secret_file = sld_given(a, r->secret_id_file, NULL, NULL);
    cfg->wrapped = r->wrapped;
    cfg->auth_mount = r->mount_path[0] ? sld_given(a, r->mount_path, NULL, NULL) : SLD_STR("approle");
    enum sld_rc rc = one_of(err, cfg->role, cfg->role_file, "appRole.roleId");
    if (!rc && (cfg->secret.p || cfg->secret_file.p || cfg->wrapped))
        rc = one_of(err, cfg->secret, cfg->secret_file, "appRole.secretId");
    return rc;
}

static enum sld_rc set_jwt(struct vault_config *cfg, const Gloo__VaultJwtAuth *j,
                           struct sld_err *err)
{
    cfg->method = VAULT_JWT;
    cfg->role = sld_given(&cfg->arena, j->role, NULL, NULL);
    cfg->secret = sld_given(&cfg->arena, j->jwt, NULL, NULL);
    cfg->secret_file = sld_given(&cfg->arena, j->jwt_file, NULL, NULL);
    cfg->auth_mount =
        j->mount_path[0] ? sld_given(&cfg->arena, j->mount_path, NULL, NULL) : SLD_STR("jwt");
    return one_of(err, cfg->secret, cfg->secret_file, "jwt.jwt");
}

static void set_kubernetes(struct vault_config *cfg, const Gloo__VaultKubernetesAuth *k)
{
    cfg->method = VAULT_KUBERNETES;
    cfg->role = sld_given(&cfg->arena, k->role, NULL, NULL);
    cfg->secret_file = k->token_file[0]
                           ? sld_given(&cfg->arena, k->token_file, NULL, NULL)
                           : SLD_STR("/var/run/secrets/kubernetes.io/serviceaccount/token");
    cfg->auth_mount =
        k->mount_path[0] ? sld_given(&cfg->arena, k->mount_path, NULL, NULL) : SLD_STR("kubernetes");
}

static enum sld_rc set_certificate(struct vault_config *cfg, const Gloo__VaultCertificateAuth *c,
                                   struct sld_err *err)
{
    cfg->method = VAULT_CERTIFICATE;
    cfg->role = sld_given(&cfg->arena, c->role, NULL, NULL);
    cfg->auth_mount =
        c->mount_path[0] ? sld_given(&cfg->arena, c->mount_path, NULL, NULL) : SLD_STR("cert");
    if (!cfg->cert_file.p || !cfg->key_file.p)
        return sld_err_set(
            err, SLD_INVALID,
            "vault: a login with a certificate needs one; set tlsConfig.clientCert and "
            "tlsConfig.clientKey");
    return SLD_OK;
}

static enum sld_rc set_userpass(struct vault_config *cfg, const Gloo__VaultUserpassAuth *u,
                                struct sld_err *err)
{
    cfg->method = VAULT_USERPASS;
    cfg->user = sld_given(&cfg->arena, u->username, NULL, NULL);
    cfg->secret = sld_given(&cfg->arena, u->password, NULL, NULL);
    cfg->secret_file = sld_given(&cfg->arena, u->password_file, NULL, NULL);
    cfg->auth_mount =
        u->mount_path[0] ? sld_given(&cfg->arena, u->mount_path, NULL, NULL) : SLD_STR("userpass");
    return one_of(err, cfg->secret, cfg->secret_file, "userpass.password");
}

static enum sld_rc set_aws(struct vault_config *cfg, const Gloo__VaultAwsAuth *w,
                           const char *endpoint, struct sld_err *err)
{
    struct sld_arena *a = &cfg->arena;
    if (!w->access_key_id[0] != !w->secret_access_key[0])
        return sld_err_set(
            err, SLD_INVALID,
            "vault: aws.accessKeyId and aws.secretAccessKey go together; set both or none");
    bool own = w->access_key_id[0] != 0;
    cfg->method = VAULT_AWS;
    cfg->role = sld_given(a, w->vault_role, NULL, NULL);
    cfg->auth_mount = w->mount_path[0] ? sld_given(a, w->mount_path, NULL, NULL) : SLD_STR("aws");
    cfg->aws.access_key = sld_given(a, w->access_key_id, NULL, "AWS_ACCESS_KEY_ID");
    cfg->aws.secret_key = sld_given(a, w->secret_access_key, NULL, "AWS_SECRET_ACCESS_KEY");
    cfg->aws.session_token = sld_given(a, w->session_token, NULL, own ? NULL : "AWS_SESSION_TOKEN");
    cfg->aws.region =
        sld_given(a, w->region, NULL, sld_env("AWS_REGION").p ? "AWS_REGION" : "AWS_DEFAULT_REGION");
    cfg->aws.server_id = sld_given(a, w->iam_server_id_header, NULL, NULL);
    cfg->aws.endpoint = sld_given(a, endpoint, NULL, NULL);
    cfg->lease_increment_s = w->lease_increment > 0 ? w->lease_increment : 0;
    if (!cfg->aws.access_key.p || !cfg->aws.secret_key.p)
        return sld_err_set(
            err, SLD_INVALID,
            "vault: aws has no access key; set accessKeyId and secretAccessKey, or the variables "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    return SLD_OK;
}

// AGENT: requests go to an agent, which may have a token of its own.
static enum sld_rc set_method(struct vault_config *cfg, const Gloo__VaultSecrets *v, bool agent,
                              struct sld_err *err)
{
    struct sld_arena *a = &cfg->arena;
    switch (v->auth_method_case) {
    case GLOO__VAULT_SECRETS__AUTH_METHOD_AWS:
        return set_aws(cfg, v->aws, v->solder ? v->solder->aws_sts_endpoint : NULL, err);
    case GLOO__VAULT_SECRETS__AUTH_METHOD_TOKEN_FILE:
        cfg->method = VAULT_TOKEN_FILE;
        cfg->secret_file = sld_given(a, v->token_file, NULL, NULL);
        return SLD_OK;
    case GLOO__VAULT_SECRETS__AUTH_METHOD_APP_ROLE:
        return set_approle(cfg, v->app_role, err);
    case GLOO__VAULT_SECRETS__AUTH_METHOD_KUBERNETES:
        set_kubernetes(cfg, v->kubernetes);
        return SLD_OK;
    case GLOO__VAULT_SECRETS__AUTH_METHOD_JWT:
        return set_jwt(cfg, v->jwt, err);
    case GLOO__VAULT_SECRETS__AUTH_METHOD_CERTIFICATE:
        return set_certificate(cfg, v->certificate, err);
    case GLOO__VAULT_SECRETS__AUTH_METHOD_USERPASS:
        return set_userpass(cfg, v->userpass, err);
    default:
        break;
    }
    bool given = v->auth_method_case == GLOO__VAULT_SECRETS__AUTH_METHOD_ACCESS_TOKEN;
    cfg->secret = sld_given(a, given ? v->access_token : NULL, v->token, "VAULT_TOKEN");
    if (!cfg->secret.p)
        cfg->secret = token_of_user(a);
    cfg->method = cfg->secret.p ? VAULT_TOKEN : VAULT_NO_TOKEN;
    if (!cfg->secret.p && !agent)
        return sld_err_set(err, SLD_INVALID,
                           "vault: there is no way to log in; set accessToken, tokenFile, appRole "
                           "or another method "
                           "in Settings, or the variable VAULT_TOKEN");
    return SLD_OK;
}

// ---- All of it ----

static const Gloo__VaultSecrets *vault_of(const Gloo__Settings *s)
{
    static const Gloo__VaultSecrets none = GLOO__VAULT_SECRETS__INIT;
    for (size_t i = 0; s->secret_options && i < s->secret_options->n_sources; i++) {
        const Gloo__SecretOptions__Source *o = s->secret_options->sources[i];
        if (o->source_case == GLOO__SECRET_OPTIONS__SOURCE__SOURCE_VAULT)
            return o->vault;
    }
    return s->secret_source_case == GLOO__SETTINGS__SECRET_SOURCE_VAULT_SECRET_SOURCE
               ? s->vault_secret_source
               : &none;
}

static void set_tls(struct vault_config *cfg, const Gloo__VaultSecrets *v)
{
    static const Gloo__VaultTlsConfig none = GLOO__VAULT_TLS_CONFIG__INIT;
    const Gloo__VaultTlsConfig *t = v->tls_config ? v->tls_config : &none;
    struct sld_arena *a = &cfg->arena;
    cfg->ca_file = sld_given(a, t->ca_cert, v->ca_cert, "VAULT_CACERT");
    cfg->ca_path = sld_given(a, t->ca_path, v->ca_path, "VAULT_CAPATH");
    cfg->cert_file = sld_given(a, t->client_cert, v->client_cert, "VAULT_CLIENT_CERT");
    cfg->key_file = sld_given(a, t->client_key, v->client_key, "VAULT_CLIENT_KEY");
    cfg->server_name = sld_given(a, t->tls_server_name, v->tls_server_name, "VAULT_TLS_SERVER_NAME");
    if (t->insecure || v->insecure)
        cfg->insecure = t->insecure ? t->insecure->value : v->insecure->value;
    else
        cfg->insecure = sld_is_true(sld_env("VAULT_SKIP_VERIFY"));
}

// VAULT_CLIENT_TIMEOUT has a unit, or means seconds. A request always has an end: Solder does nothing else
// about its token meanwhile.
static uint64_t timeout_of(const Gloo__VaultSolderOptions *o)
{
    int64_t s = 0, ms = 0;
    int32_t ns = 0;
    uint64_t plain = 0;
    struct sld_str text = sld_env("VAULT_CLIENT_TIMEOUT");
    if (o && o->timeout)
        ms = sld_duration_ms(o->timeout);
    else if (text.p && sld_str_u64(text, &plain))
        ms = plain < TIMEOUT_MAX_MS ? (int64_t)plain * 1000 : TIMEOUT_MAX_MS;
    else if (text.p && sld_duration_parse(text, &s, &ns))
        ms = s * 1000 + ns / 1000000;
    return ms <= 0 ? TIMEOUT_DEFAULT_MS : ms < TIMEOUT_MAX_MS ? (uint64_t)ms : TIMEOUT_MAX_MS;
}

static struct sld_hash hash_of(const struct sld_str *parts, size_t n, const uint64_t *numbers,
                               size_t number_count)
{
    struct sld_hasher h;
    sld_hasher_init(&h);
    for (size_t i = 0; i < n; i++) {
        sld_hasher_add_u64(&h, parts[i].p ? parts[i].n + 1 : 0);
        sld_hasher_add(&h, parts[i]);
    }
    for (size_t i = 0; i < number_count; i++)
        sld_hasher_add_u64(&h, numbers[i]);
    return sld_hasher_done(&h);
}

static void hash_config(struct vault_config *c)
{
    const struct sld_str who[] = {
        c->base,           c->unix_socket,       c->ns,           c->ca_file,
        c->ca_path,        c->cert_file,         c->key_file,     c->server_name,
        c->role,           c->role_file,         c->auth_mount,   c->user,
        c->secret,         c->secret_file,       c->aws.region,   c->aws.access_key,
        c->aws.secret_key, c->aws.session_token, c->aws.endpoint, c->aws.server_id,
    };
    const uint64_t how[] = {c->insecure, (uint64_t)c->method, c->wrapped,
                            (uint64_t)c->lease_increment_s};
    const struct sld_str what[] = {c->mount, c->root};
    const uint64_t numbers[] = {c->kv_version, c->timeout_ms, c->max_requests, c->revoke_on_exit,
                                c->revoke_certificates};
    c->session_hash = hash_of(who, SLD_ARRAY_LEN(who), how, SLD_ARRAY_LEN(how));
    c->hash = sld_hash_mix(c->session_hash,
                           hash_of(what, SLD_ARRAY_LEN(what), numbers, SLD_ARRAY_LEN(numbers)));
}

static enum sld_rc fill(struct vault_config *cfg, struct sld_str address, const Gloo__Settings *s,
                        struct sld_err *err)
{
    struct sld_arena *a = &cfg->arena;
    const Gloo__VaultSecrets *v = vault_of(s);
    const Gloo__VaultSolderOptions *o = v->solder;
    struct sld_str agent = sld_env("VAULT_AGENT_ADDR");
    bool by_agent = false;
    enum sld_rc rc = read_address(cfg, address, err);
    if (!rc && !cfg->base.p && v->address[0])
        rc = set_base(cfg, sld_str_c(v->address), "address", err);
    else if (!rc && !cfg->base.p && agent.p && (by_agent = true))
        rc = set_base(cfg, agent, "VAULT_AGENT_ADDR", err);
    else if (!rc && !cfg->base.p)
        rc = set_base(cfg,
                      sld_env("VAULT_ADDR").p ? sld_env("VAULT_ADDR") : SLD_STR("https://127.0.0.1:8200"),
                      "VAULT_ADDR", err);
    if (rc)
        return rc;
    struct sld_str mount = without_slashes(sld_given(a, v->path_prefix, NULL, NULL));
    struct sld_str root = without_slashes(sld_given(a, v->root_key, NULL, NULL));
    cfg->mount = cfg->mount.p ? cfg->mount : mount.n ? mount : SLD_STR("secret");
    cfg->root = cfg->root.p ? cfg->root : root.n ? root : SLD_STR("gloo");
    cfg->ns = without_slashes(sld_given(a, o ? o->namespace_ : NULL, NULL, "VAULT_NAMESPACE"));
    cfg->kv_version = o ? o->kv_version : 0;
    cfg->timeout_ms = timeout_of(o);
    cfg->max_requests = o && o->max_requests ? o->max_requests : REQUESTS_DEFAULT;
    cfg->revoke_on_exit = o && o->revoke_on_exit;
    cfg->revoke_certificates = o && o->revoke_certificates;
    int64_t refresh = s->refresh_rate ? sld_duration_ms(s->refresh_rate) : 0;
    uint64_t ms = refresh > 0 ? (uint64_t)refresh : REFRESH_DEFAULT_MS;
    ms = ms < REFRESH_MIN_MS ? REFRESH_MIN_MS : ms;
    cfg->refresh_ms = ms < REFRESH_MAX_MS ? ms : REFRESH_MAX_MS;
    set_tls(cfg, v);
    return set_method(cfg, v, by_agent, err);
}

enum sld_rc vault_config_make(struct vault_config *cfg, struct sld_str address,
                              const struct Gloo__Settings *settings, struct sld_err *err)
{
    enum sld_rc rc = fill(cfg, address, settings, err);
    if (rc)
        vault_config_fini(cfg);
    else
        hash_config(cfg);
    return rc;
}

void vault_config_fini(struct vault_config *cfg)
{
    sld_arena_fini_secret(&cfg->arena);
    *cfg = (struct vault_config){0};
}

enum sld_rc sld_vault_reach(struct sld_arena *a, const struct Gloo__Settings *settings, struct sld_http_place *out, struct sld_err *err)
{
    struct vault_config cfg = {0};
    if (!settings->vault_secret_source && !sld_env("VAULT_ADDR").n)
        return sld_err_set(err, SLD_NOT_FOUND, "no Vault is configured: set vaultSecretSource in Settings, or VAULT_ADDR");
    enum sld_rc rc = vault_config_make(&cfg, SLD_STR("vault:"), settings, err);
    if (rc)
        return rc;
    if (cfg.wrapped || (cfg.method != VAULT_TOKEN && cfg.method != VAULT_TOKEN_FILE && cfg.method != VAULT_NO_TOKEN))
        rc = sld_err_set(err, SLD_INVALID, "plugins reach Vault by a token (accessToken, VAULT_TOKEN, or a file of one), and this Solder logs in otherwise");
    struct sld_str *const to[] = {&out->base, &out->unix_socket, &out->ca_file, &out->ca_path, &out->cert_file, &out->key_file, &out->server_name};
    const struct sld_str from[] = {cfg.base, cfg.unix_socket, cfg.ca_file, cfg.ca_path, cfg.cert_file, cfg.key_file, cfg.server_name};
    for (size_t i = 0; i < SLD_ARRAY_LEN(to); i++)
        *to[i] = from[i].n ? sld_arena_str(a, from[i]) : SLD_STR_NONE;
    out->insecure = cfg.insecure;
    out->token_header = SLD_STR("X-Vault-Token");
    out->token = cfg.method == VAULT_TOKEN && cfg.secret.n ? sld_arena_str(a, cfg.secret) : SLD_STR_NONE;
    out->token_file = cfg.method == VAULT_TOKEN_FILE && cfg.secret_file.n ? sld_arena_str(a, cfg.secret_file) : SLD_STR_NONE;
    if (cfg.ns.n)
        out->header = (struct sld_http_header){SLD_STR("X-Vault-Namespace"), sld_arena_str(a, cfg.ns)};
    vault_config_fini(&cfg);
    return rc;
}

// Where an agent is and who we are there: settings, then CONSUL_* variables, then defaults.
#include "source/consul/agent.h"
#include "source/consul/consul.h"

#include "codec/message.h"
#include "codec/text.h"
#include "settings.pb-c.h"
#include "source/given.h"

enum { WAIT_DEFAULT_MS = 60 * 1000, WAIT_MIN_MS = 1000, WAIT_MAX_MS = 10 * 60 * 1000 };

// ---- The address ----

static bool take_prefix(struct sld_str *s, const char *prefix)
{
    if (!sld_str_starts(*s, sld_str_c(prefix)))
        return false;
    *s = sld_str_sub(*s, strlen(prefix), s->n);
    return true;
}

// The host of "host", "host:port", "[::1]:port" without port and brackets; *PORT gets the port,
// absent without one. False when it is none of these.
static bool cut_host(struct sld_str s, struct sld_str *host, struct sld_str *port)
{
    ptrdiff_t end = sld_str_starts(s, SLD_STR("[")) ? sld_str_index(s, ']') : 0;
    if (end < 0)
        return false;
    struct sld_str rest = sld_str_sub(s, (size_t)end, s.n);
    ptrdiff_t colon = sld_str_index(rest, ':');
    uint64_t number = 0;
    *host = colon < 0 ? s : sld_str_sub(s, 0, (size_t)(end + colon));
    *port = colon < 0 ? SLD_STR_NONE : sld_str_sub(rest, (size_t)colon + 1, rest.n);
    for (size_t i = 0; i < host->n; i++) {
        unsigned char c = (unsigned char)host->p[i];
        if (c <= ' ' || c >= 0x7f || strchr("/@?#\"\\", c))
            return false;
    }
    return host->n > 0 &&
           (!port->p || (sld_str_u64(*port, &number) && number > 0 && number < 65536));
}

static bool is_loopback(struct sld_str host)
{
    return sld_str_starts(host, SLD_STR("127.")) || sld_str_eq(host, SLD_STR("localhost")) ||
           sld_str_eq(host, SLD_STR("[::1]"));
}

static enum sld_rc bad_address(struct sld_err *err, struct sld_str given)
{
    return sld_err_set(err, SLD_INVALID,
                       "\"%.*s\" is no address of a Consul agent; write host:port, "
                       "http://host:port, https://host:port or unix:///path",
                       SLD_FMT(sld_str_sub(given, 0, 100)));
}

static enum sld_rc read_address(struct sld_consul_config *cfg, struct sld_str given,
                                struct sld_err *err)
{
    struct sld_str rest = given, host = SLD_STR_NONE, port = SLD_STR_NONE;
    if (take_prefix(&rest, "unix://")) {
        if (!rest.n || rest.p[0] != '/')
            return bad_address(err, given);
        cfg->unix_socket = sld_arena_str(&cfg->arena, rest);
        cfg->base = SLD_STR("http://localhost");
        cfg->local = true;
        return SLD_OK;
    }
    bool tls = take_prefix(&rest, "https://");
    if (!tls && !take_prefix(&rest, "http://"))
        tls = sld_is_true(sld_env("CONSUL_HTTP_SSL"));
    while (rest.n && rest.p[rest.n - 1] == '/')
        rest.n--;
    if (!cut_host(rest, &host, &port))
        return bad_address(err, given);
    cfg->local = is_loopback(host);
    // Consul's own clients take port 80 or 443 for an address without one only when it is a URL; an
    // agent has never been there without somebody saying so.
    cfg->base = sld_arena_fmt(&cfg->arena, "%s://%.*s:%.*s", tls ? "https" : "http", SLD_FMT(host),
                              SLD_FMT(port.p ? port : SLD_STR("8500")));
    return SLD_OK;
}

// ---- The rest ----

static uint64_t wait_of(const Gloo__Settings *s, const Gloo__ConsulConfiguration *c)
{
    int64_t ms = c && c->wait_time ? sld_duration_ms(c->wait_time) : 0;
    if (ms <= 0 && s->refresh_rate)
        ms = sld_duration_ms(s->refresh_rate);
    if (ms <= 0)
        return WAIT_DEFAULT_MS;
    return ms < WAIT_MIN_MS ? WAIT_MIN_MS : ms > WAIT_MAX_MS ? WAIT_MAX_MS : (uint64_t)ms;
}

static void hash_config(struct sld_consul_config *cfg)
{
    const struct sld_str parts[] = {
        cfg->base,       cfg->unix_socket, cfg->token,     cfg->token_file, cfg->basic,
        cfg->ca_file,    cfg->ca_path,     cfg->cert_file, cfg->key_file,   cfg->server_name,
        cfg->datacenter, cfg->ns,          cfg->partition};
    struct sld_hasher h;
    sld_hasher_init(&h);
    for (size_t i = 0; i < SLD_ARRAY_LEN(parts); i++) {
        sld_hasher_add_u64(&h, parts[i].n);
        sld_hasher_add(&h, parts[i]);
    }
    sld_hasher_add_u64(&h, cfg->wait_ms << 1 | cfg->insecure);
    cfg->hash = sld_hasher_done(&h);
}

enum sld_rc consul_config_make(struct sld_consul_config *cfg, struct sld_str agent,
                               const struct Gloo__Settings *settings, struct sld_err *err)
{
    static const Gloo__ConsulConfiguration none = GLOO__CONSUL_CONFIGURATION__INIT;
    const Gloo__ConsulConfiguration *c = settings->consul ? settings->consul : &none;
    struct sld_arena *a = &cfg->arena;
    struct sld_str given = agent;
    if (!given.n)
        given = sld_given(a, c->http_address[0] ? c->http_address : c->address, NULL, "CONSUL_HTTP_ADDR");
    enum sld_rc rc = read_address(cfg, given.n ? given : SLD_STR("127.0.0.1:8500"), err);
    if (rc != SLD_OK) {
        consul_config_fini(cfg);
        return rc;
    }
    cfg->token = sld_given(a, c->token, NULL, "CONSUL_HTTP_TOKEN");
    // As Consul's own clients have it: the file counts before the variable.
    cfg->token_file = c->token[0] ? SLD_STR_NONE : sld_given(a, NULL, NULL, "CONSUL_HTTP_TOKEN_FILE");
    cfg->basic = c->username[0] || c->password[0]
                     ? sld_arena_fmt(a, "%s:%s", c->username, c->password)
                     : sld_given(a, NULL, NULL, "CONSUL_HTTP_AUTH");
    cfg->ca_file = sld_given(a, c->ca_file, NULL, "CONSUL_CACERT");
    cfg->ca_path = sld_given(a, c->ca_path, NULL, "CONSUL_CAPATH");
    cfg->cert_file = sld_given(a, c->cert_file, NULL, "CONSUL_CLIENT_CERT");
    cfg->key_file = sld_given(a, c->key_file, NULL, "CONSUL_CLIENT_KEY");
    cfg->server_name = sld_given(a, NULL, NULL, "CONSUL_TLS_SERVER_NAME");
    cfg->datacenter = sld_given(a, c->datacenter, NULL, NULL);
    cfg->ns = sld_given(a, NULL, NULL, "CONSUL_NAMESPACE");
    cfg->partition = sld_given(a, NULL, NULL, "CONSUL_PARTITION");
    cfg->insecure = c->insecure_skip_verify ? c->insecure_skip_verify->value
                                            : sld_is_false(sld_env("CONSUL_HTTP_SSL_VERIFY"));
    cfg->wait_ms = wait_of(settings, c);
    hash_config(cfg);
    return SLD_OK;
}

void consul_config_fini(struct sld_consul_config *cfg)
{
    sld_arena_fini_secret(&cfg->arena);
    *cfg = (struct sld_consul_config){0};
}

static void add_param(struct sld_buf *b, const char *name, struct sld_str value)
{
    if (!value.n)
        return;
    sld_buf_addf(b, "%s%s=", sld_buf_str(b).n ? "&" : "", name);
    sld_buf_add_encoded(b, value, "");
}

enum sld_rc sld_consul_reach(struct sld_arena *a, const struct Gloo__Settings *settings, struct sld_http_place *out, struct sld_err *err)
{
    enum { PARAMS_MAX = 4096 };
    struct sld_consul_config cfg = {0};
    if (!settings->consul && !sld_env("CONSUL_HTTP_ADDR").n)
        return sld_err_set(err, SLD_NOT_FOUND, "no Consul is configured: set consul in Settings, or CONSUL_HTTP_ADDR");
    enum sld_rc rc = consul_config_make(&cfg, SLD_STR_NONE, settings, err);
    if (rc)
        return rc;
    struct sld_str *const to[] = {&out->base, &out->unix_socket, &out->token, &out->token_file, &out->ca_file,
                                  &out->ca_path, &out->cert_file, &out->key_file, &out->server_name};
    const struct sld_str from[] = {cfg.base, cfg.unix_socket, cfg.token, cfg.token_file, cfg.ca_file,
                                   cfg.ca_path, cfg.cert_file, cfg.key_file, cfg.server_name};
    for (size_t i = 0; i < SLD_ARRAY_LEN(to); i++)
        *to[i] = from[i].n ? sld_arena_str(a, from[i]) : SLD_STR_NONE;
    out->token_header = SLD_STR("X-Consul-Token");
    out->insecure = cfg.insecure;
    if (cfg.basic.n)
        out->header = (struct sld_http_header){SLD_STR("Authorization"), SLD_ARENA_JOIN(a, SLD_STR("Basic "), sld_base64_encode(a, cfg.basic))};
    struct sld_buf b;
    sld_buf_init(&b, PARAMS_MAX);
    add_param(&b, "dc", cfg.datacenter);
    add_param(&b, "ns", cfg.ns);
    add_param(&b, "partition", cfg.partition);
    out->params = sld_buf_str(&b).n ? sld_arena_str(a, sld_buf_str(&b)) : SLD_STR_NONE;
    sld_buf_fini(&b);
    consul_config_fini(&cfg);
    return SLD_OK;
}

// The bootstrap, written as JSON. Envoy's messages are not used, because a bootstrap needs a
// hundred types that nothing else does.
//
// What is lean about it was measured on Envoy 1.40 with 2000 clusters of 3 endpoints, per cluster
// and in all: default 53.6 KB, 1.6 s to start, 30 MB of Prometheus text; deferral alone 28.5
// KB, 1.3 s, 6.7 MB; deferral and the list below 24.1 KB, 0.3 s, 0.5 MB.
#include "edge/bootstrap.h"

#include <sys/un.h>

#include "codec/text.h"

enum {
    MAX_CONNECTIONS = 50000,
    BOOTSTRAP_MAX_BYTES = 64 * 1024,
    // RE2's program size that Envoy accepts; its default of 100 refuses ordinary expressions.
    // Translation holds to the same number.
    REGEX_PROGRAM_SIZE = 4096,
};

// Statistics that exist at all. A pattern that ends in a dot costs Envoy least; the two per cluster
// and listener select, because these are what multiplies.
static const char *const stat_prefixes[] = {
    "cluster_manager.",  "control_plane.", "http.", "listener.",
    "listener_manager.", "server.",        "tcp.",
};
static const char cluster_stats[] =
    "cluster\\..*\\.("
    "upstream_rq_(total|active|pending_active|pending_overflow|time|timeout|per_try_timeout|retry|"
    "retry_success|"
    "retry_overflow|rx_reset|tx_reset|completed|[1-5]xx|[1-5][0-9][0-9])|"
    "upstream_cx_(total|active|connect_fail|connect_timeout|connect_ms|overflow|none_healthy|"
    "destroy_with_active_rq|rx_bytes_total|tx_bytes_total)|"
    "membership_(total|healthy|degraded)|"
    "health_check\\.(attempt|success|failure|healthy|degraded)|"
    "outlier_detection\\.ejections_(active|enforced_total|overflow)|"
    "circuit_breakers\\.default\\.(cx|cx_pool|rq|rq_pending|rq_retry)_open|"
    "ssl\\.(handshake|connection_error|fail_verify_(error|san|no_cert))|"
    "lb_healthy_panic|(ext_authz|ratelimit)\\..*)";

struct endpoint {
    bool is_unix;
    struct sld_str host; // or the path
    uint64_t port;
};

// ---- Input ----

static bool is_loopback(const struct endpoint *e)
{
    return e->is_unix || sld_str_starts(e->host, SLD_STR("127.")) ||
           sld_str_eq(e->host, SLD_STR("::1")) || sld_str_eq(e->host, SLD_STR("localhost"));
}

static bool clean(struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20)
            return false;
    }
    return sld_str_utf8(s, NULL);
}

static enum sld_rc parse_endpoint(struct sld_str s, const char *what, struct endpoint *out,
                                  struct sld_err *err)
{
    *out = (struct endpoint){0};
    size_t path_max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
    if (sld_str_starts(s, SLD_STR("unix:"))) {
        out->is_unix = true;
        out->host = sld_str_sub(s, 5, s.n);
        if (out->host.n == 0 || out->host.n > path_max || !clean(out->host))
            return sld_err_set(
                err, SLD_INVALID,
                "%s: the path of a unix socket must have 1 to %zu bytes of text: %.*s", what,
                path_max, SLD_FMT(out->host));
        return SLD_OK;
    }
    bool brackets = sld_str_starts(s, SLD_STR("["));
    ptrdiff_t colon = brackets ? sld_str_find(s, SLD_STR("]:")) : sld_str_index(s, ':');
    if (colon > 0) {
        out->host =
            brackets ? sld_str_sub(s, 1, (size_t)colon - 1) : sld_str_sub(s, 0, (size_t)colon);
        struct sld_str port = sld_str_sub(s, (size_t)colon + (brackets ? 2 : 1), s.n);
        bool v6 = false;
        bool good =
            brackets ? sld_is_ip(out->host, &v6) && v6 : clean(out->host) && out->host.n <= 255;
        if (good && sld_str_u64(port, &out->port) && out->port > 0 && out->port <= UINT16_MAX)
            return SLD_OK;
    }
    return sld_err_set(err, SLD_INVALID,
                       "%s: not an address (host:port, [::1]:port or unix:/path): %.*s", what,
                       SLD_FMT(s));
}

static enum sld_rc check(const struct sld_bootstrap_options *o, const struct endpoint *xds,
                         struct sld_err *err)
{
    const struct sld_bootstrap_tls *t = &o->tls;
    const struct sld_str texts[] = {o->role,      o->node_id,  o->node_cluster, t->ca_file,
                                    t->cert_file, t->key_file, t->server_name};
    for (size_t i = 0; i < SLD_ARRAY_LEN(texts); i++) {
        if (!clean(texts[i]))
            return sld_err_set(err, SLD_INVALID,
                               "bootstrap: a name or path has control characters or is not UTF-8");
    }
    if (o->role.n == 0)
        return sld_err_set(err, SLD_INVALID,
                           "bootstrap: no role; it is \"<write namespace>~<proxy name>\", as in "
                           "gloo-system~gateway-proxy");
    if ((t->cert_file.n > 0) != (t->key_file.n > 0))
        return sld_err_set(err, SLD_INVALID,
                           "bootstrap: a certificate needs its key and a key its certificate");
    if (t->ca_file.n == 0 && (t->cert_file.n > 0 || t->server_name.n > 0))
        return sld_err_set(err, SLD_INVALID,
                           "bootstrap: TLS to the control plane needs the authority that signed "
                           "its certificate (ca)");
    if (t->ca_file.n > 0 && xds->is_unix)
        return sld_err_set(err, SLD_INVALID, "bootstrap: a unix socket is not used with TLS");
    return SLD_OK;
}

// ---- Output ----

static void put_str(struct sld_json *j, const char *key, struct sld_str v)
{
    sld_json_key(j, key);
    sld_json_str(j, v);
}

static void put_c(struct sld_json *j, const char *key, const char *v)
{
    put_str(j, key, sld_str_c(v));
}

static void put_bool(struct sld_json *j, const char *key, bool v)
{
    sld_json_key(j, key);
    sld_json_bool(j, v);
}

static void put_int(struct sld_json *j, const char *key, int64_t v)
{
    sld_json_key(j, key);
    sld_json_int(j, v);
}

static void open_map(struct sld_json *j, const char *key)
{
    sld_json_key(j, key);
    sld_json_begin(j, '{');
}

static void open_list(struct sld_json *j, const char *key)
{
    sld_json_key(j, key);
    sld_json_begin(j, '[');
}

static void put_node(struct sld_json *j, const struct sld_bootstrap_options *o)
{
    open_map(j, "node");
    put_str(j, "id", o->node_id.n ? o->node_id : o->role);
    put_str(j, "cluster", o->node_cluster.n ? o->node_cluster : SLD_STR("gateway"));
    open_map(j, "metadata");
    put_str(j, "role", o->role);
    sld_json_end(j, '}');
    sld_json_end(j, '}');
}

static void put_address(struct sld_json *j, const struct endpoint *e, bool listens)
{
    open_map(j, "address");
    if (e->is_unix) {
        open_map(j, "pipe");
        put_str(j, "path", e->host);
        if (listens)
            put_int(j, "mode", 0600);
    } else {
        open_map(j, "socket_address");
        // Envoy listens on IP addresses only.
        bool name = listens && sld_str_eq(e->host, SLD_STR("localhost"));
        put_str(j, "address", name ? SLD_STR("127.0.0.1") : e->host);
        put_int(j, "port_value", (int64_t)e->port);
    }
    sld_json_end(j, '}');
    sld_json_end(j, '}');
}

static void put_admin(struct sld_json *j, const struct endpoint *admin)
{
    open_map(j, "admin");
    put_address(j, admin, true);
    put_bool(j, "ignore_global_conn_limit",
             true); // a flood of clients must not lock the supervisor out
    sld_json_end(j, '}');
}

static void put_dynamic(struct sld_json *j)
{
    static const char *const kinds[] = {"lds_config", "cds_config"};
    open_map(j, "dynamic_resources");
    open_map(j, "ads_config");
    put_c(j, "api_type", "DELTA_GRPC");
    put_c(j, "transport_api_version", "V3");
    put_bool(j, "set_node_on_first_message_only", true); // a node has 60 KB
    open_list(j, "grpc_services");
    sld_json_begin(j, '{');
    open_map(j, "envoy_grpc");
    put_c(j, "cluster_name", "xds_cluster");
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_json_end(j, ']');
    sld_json_end(j, '}');
    for (size_t i = 0; i < SLD_ARRAY_LEN(kinds); i++) {
        open_map(j, kinds[i]);
        put_c(j, "resource_api_version", "V3");
        // Never ready with nothing to serve.
        put_c(j, "initial_fetch_timeout", "0s");
        open_map(j, "ads");
        sld_json_end(j, '}');
        sld_json_end(j, '}');
    }
    sld_json_end(j, '}');
}

static void put_file(struct sld_json *j, const char *key, struct sld_str path)
{
    open_map(j, key);
    put_str(j, "filename", path);
    sld_json_end(j, '}');
}

static void put_tls(struct sld_json *j, const struct sld_bootstrap_tls *t, struct sld_str host)
{
    struct sld_str name = t->server_name.n ? t->server_name : host;
    bool ip = sld_is_ip(name, NULL);
    open_map(j, "transport_socket");
    put_c(j, "name", "envoy.transport_sockets.tls");
    open_map(j, "typed_config");
    put_c(j, "@type",
          "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext");
    if (!ip)
        put_str(j, "sni", name);
    open_map(j, "common_tls_context");
    open_map(j, "tls_params");
    put_c(j, "tls_minimum_protocol_version", "TLSv1_2");
    put_c(j, "tls_maximum_protocol_version", "TLSv1_3");
    sld_json_end(j, '}');
    open_list(j, "alpn_protocols");
    sld_json_str(j, SLD_STR("h2"));
    sld_json_end(j, ']');
    if (t->cert_file.n) {
        open_list(j, "tls_certificates");
        sld_json_begin(j, '{');
        put_file(j, "certificate_chain", t->cert_file);
        put_file(j, "private_key", t->key_file);
        sld_json_end(j, '}');
        sld_json_end(j, ']');
    }
    open_map(j, "validation_context");
    put_file(j, "trusted_ca", t->ca_file);
    open_list(j, "match_typed_subject_alt_names");
    sld_json_begin(j, '{');
    put_c(j, "san_type", ip ? "IP_ADDRESS" : "DNS");
    open_map(j, "matcher");
    put_str(j, "exact", name);
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_json_end(j, ']');
    sld_json_end(j, '}'); // validation_context
    sld_json_end(j, '}'); // common_tls_context
    sld_json_end(j, '}'); // typed_config
    sld_json_end(j, '}');
}

// HTTP/2 with pings, so that a control plane that hangs or was cut off is noticed.
static void put_http2(struct sld_json *j)
{
    open_map(j, "typed_extension_protocol_options");
    open_map(j, "envoy.extensions.upstreams.http.v3.HttpProtocolOptions");
    put_c(j, "@type", "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions");
    open_map(j, "explicit_http_config");
    open_map(j, "http2_protocol_options");
    open_map(j, "connection_keepalive");
    put_c(j, "interval", "30s");
    put_c(j, "timeout", "10s");
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_json_end(j, '}');
}

// What Envoys show, and go by, where a cluster that comes over xDS leads to Solder: the worker.
static void put_secrets(struct sld_json *j, const struct sld_bootstrap_tls *t)
{
    open_list(j, "secrets");
    sld_json_begin(j, '{');
    put_c(j, "name", "solder-ca");
    open_map(j, "validation_context");
    put_file(j, "trusted_ca", t->ca_file);
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    if (t->cert_file.n) {
        sld_json_begin(j, '{');
        put_c(j, "name", "solder-client");
        open_map(j, "tls_certificate");
        put_file(j, "certificate_chain", t->cert_file);
        put_file(j, "private_key", t->key_file);
        sld_json_end(j, '}');
        sld_json_end(j, '}');
    }
    sld_json_end(j, ']');
}

static void put_clusters(struct sld_json *j, const struct sld_bootstrap_options *o,
                         const struct endpoint *xds)
{
    bool fixed = xds->is_unix || sld_is_ip(xds->host, NULL);
    open_map(j, "static_resources");
    open_list(j, "clusters");
    sld_json_begin(j, '{');
    put_c(j, "name", "xds_cluster");
    put_c(j, "type", fixed ? "STATIC" : "STRICT_DNS");
    put_c(j, "connect_timeout", "5s");
    put_http2(j);
    if (o->tls.ca_file.n)
        put_tls(j, &o->tls, xds->host);
    open_map(j, "load_assignment");
    put_c(j, "cluster_name", "xds_cluster");
    open_list(j, "endpoints");
    sld_json_begin(j, '{');
    open_list(j, "lb_endpoints");
    sld_json_begin(j, '{');
    open_map(j, "endpoint");
    put_address(j, xds, false);
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_json_end(j, ']');
    sld_json_end(j, '}');
    sld_json_end(j, ']');
    sld_json_end(j, '}'); // load_assignment
    sld_json_end(j, '}');
    sld_json_end(j, ']');
    if (o->tls.ca_file.n)
        put_secrets(j, &o->tls);
    sld_json_end(j, '}');
}

static void put_stats(struct sld_json *j, bool full)
{
    open_map(j, "deferred_stat_options");
    put_bool(j, "enable_deferred_creation_stats", true);
    sld_json_end(j, '}');
    open_map(j, "cluster_manager");
    put_bool(j, "enable_deferred_cluster_creation", true);
    sld_json_end(j, '}');
    if (full)
        return;
    open_map(j, "stats_config");
    open_map(j, "stats_matcher");
    open_map(j, "inclusion_list");
    open_list(j, "patterns");
    for (size_t i = 0; i < SLD_ARRAY_LEN(stat_prefixes); i++) {
        sld_json_begin(j, '{');
        put_c(j, "prefix", stat_prefixes[i]);
        sld_json_end(j, '}');
    }
    sld_json_begin(j, '{');
    open_map(j, "safe_regex");
    put_c(j, "regex", cluster_stats);
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_json_end(j, ']');
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_json_end(j, '}');
}

static void put_limits(struct sld_json *j, uint32_t max_connections)
{
    open_map(j, "layered_runtime");
    open_list(j, "layers");
    sld_json_begin(j, '{');
    put_c(j, "name", "solder");
    open_map(j, "static_layer");
    put_int(j, "re2.max_program_size.error_level", REGEX_PROGRAM_SIZE);
    put_int(j, "re2.max_program_size.warn_level", REGEX_PROGRAM_SIZE);
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    // With it a person may try a runtime key through the admin interface.
    sld_json_begin(j, '{');
    put_c(j, "name", "admin");
    open_map(j, "admin_layer");
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_json_end(j, ']');
    sld_json_end(j, '}');
    open_map(j, "overload_manager");
    open_list(j, "resource_monitors");
    sld_json_begin(j, '{');
    put_c(j, "name", "envoy.resource_monitors.global_downstream_max_connections");
    open_map(j, "typed_config");
    put_c(j, "@type",
          "type.googleapis.com/envoy.extensions.resource_monitors."
          "downstream_connections.v3.DownstreamConnectionsConfig");
    put_int(j, "max_active_downstream_connections",
            max_connections ? max_connections : MAX_CONNECTIONS);
    sld_json_end(j, '}');
    sld_json_end(j, '}');
    sld_json_end(j, ']');
    sld_json_end(j, '}');
}

static enum sld_rc print_as(struct sld_buf *out, struct sld_str json, enum sld_text_style style,
                            struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_document *docs = NULL;
    size_t n = 0;
    enum sld_code code = 0;
    enum sld_rc rc = sld_doc_read(&a, json, &sld_doc_limits_default, &docs, &n, &code, err);
    if (rc == SLD_OK) {
        SLD_INV(n == 1);
        sld_doc_print_node(out, docs[0].root, style);
    }
    sld_arena_fini(&a);
    return rc;
}

enum sld_rc sld_bootstrap_print(struct sld_buf *out, const struct sld_bootstrap_options *o,
                                enum sld_text_style style, struct sld_err *err)
{
    struct endpoint xds;
    struct endpoint admin;
    enum sld_rc rc = parse_endpoint(o->xds, "bootstrap: control plane", &xds, err);
    if (rc == SLD_OK)
        rc = check(o, &xds, err);
    if (rc == SLD_OK && o->admin.n)
        rc = parse_endpoint(o->admin, "bootstrap: admin", &admin, err);
    if (rc != SLD_OK)
        return rc;
    if (o->admin.n && !is_loopback(&admin))
        return sld_err_set(err, SLD_DENIED,
                           "bootstrap: Envoy's admin interface has no protection, so it may only "
                           "listen on a loopback "
                           "address or a unix socket, not on %.*s",
                           SLD_FMT(o->admin));
    struct sld_buf text;
    struct sld_json j;
    sld_buf_init(&text, BOOTSTRAP_MAX_BYTES);
    sld_json_init(&j, &text);
    sld_json_begin(&j, '{');
    put_node(&j, o);
    if (o->admin.n)
        put_admin(&j, &admin);
    put_dynamic(&j);
    put_clusters(&j, o, &xds);
    put_stats(&j, o->full_stats);
    put_limits(&j, o->max_connections);
    sld_json_end(&j, '}');
    if (!text.full)
        rc = print_as(out, sld_buf_str(&text), style, err);
    if (text.full || (rc == SLD_OK && out->full))
        rc = sld_err_set(err, SLD_LIMIT, "bootstrap: larger than allowed");
    sld_buf_fini(&text);
    return rc;
}

// Connections of clusters and HTTP on them (gloo-compat 1.7, 5.3). Options of HTTP go into the
// typed form alone: Envoy refuses it beside the classic fields.
#include "translate/cluster.h"

#include "envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.pb-c.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h"

// ---- Connections ----

// Whole seconds, rounded up; Envoy's fields hold no less.
static Google__Protobuf__UInt32Value *seconds(struct sld_arena *a,
                                              const Google__Protobuf__Duration *d)
{
    if (!d)
        return NULL;
    int64_t s = d->seconds + (d->nanos > 0);
    return sld_msg_u32(a, s > UINT32_MAX ? UINT32_MAX : (uint32_t)s);
}

static void keepalive(struct tr_build *b, const Gloo__ConnectionConfig__TcpKeepAlive *from)
{
    struct sld_arena *a = b->tr->arena;
    Env__Core__TcpKeepalive *k = SLD_MSG(a, Env__Core__TcpKeepalive, env__core__tcp_keepalive);
    if (from->keepalive_probes)
        k->keepalive_probes = sld_msg_u32(a, from->keepalive_probes);
    k->keepalive_time = seconds(a, from->keepalive_time);
    k->keepalive_interval = seconds(a, from->keepalive_interval);
    b->c->upstream_connection_options = SLD_MSG(a, Env__Cluster__UpstreamConnectionOptions,
                                                env__cluster__upstream_connection_options);
    b->c->upstream_connection_options->tcp_keepalive = k;
}

// ---- HTTP ----

static Env__Core__HttpProtocolOptions *common(struct sld_arena *a,
                                              const Gloo__ConnectionConfig *from)
{
    const Gloo__HttpProtocolOptions *o = from ? from->common_http_protocol_options : NULL;
    uint32_t max_requests = from ? from->max_requests_per_connection : 0;
    if (!o && !max_requests)
        return NULL;
    Env__Core__HttpProtocolOptions *c =
        SLD_MSG(a, Env__Core__HttpProtocolOptions, env__core__http_protocol_options);
    if (max_requests)
        c->max_requests_per_connection = sld_msg_u32(a, max_requests);
    if (!o)
        return c;
    c->idle_timeout = o->idle_timeout;
    if (o->max_headers_count)
        c->max_headers_count = sld_msg_u32(a, o->max_headers_count);
    c->max_stream_duration = o->max_stream_duration;
    // The numbers are Envoy's.
    c->headers_with_underscores_action =
        (Env__Core__HttpProtocolOptions__HeadersWithUnderscoresAction)
            o->headers_with_underscores_action;
    return c;
}

static Env__Core__Http1ProtocolOptions__HeaderKeyFormat *key_format(struct sld_arena *a,
                                                                    bool preserve)
{
    Env__Core__Http1ProtocolOptions__HeaderKeyFormat *f =
        SLD_MSG(a, Env__Core__Http1ProtocolOptions__HeaderKeyFormat,
                env__core__http1_protocol_options__header_key_format);
    if (!preserve) {
        f->header_format_case =
            ENV__CORE__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_PROPER_CASE_WORDS;
        f->proper_case_words =
            SLD_MSG(a, Env__Core__Http1ProtocolOptions__HeaderKeyFormat__ProperCaseWords,
                    env__core__http1_protocol_options__header_key_format__proper_case_words);
        return f;
    }
    f->header_format_case =
        ENV__CORE__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_STATEFUL_FORMATTER;
    f->stateful_formatter =
        SLD_MSG(a, Env__Core__TypedExtensionConfig, env__core__typed_extension_config);
    f->stateful_formatter->name =
        sld_arena_cstr(a, SLD_STR("envoy.http.stateful_header_formatters.preserve_case"));
    f->stateful_formatter->typed_config = sld_msg_any(
        a, &SLD_MSG(a, Env__HttpHeaderFormattersPreserveCase__PreserveCaseFormatterConfig,
                    env__http_header_formatters_preserve_case__preserve_case_formatter_config)
                ->base);
    return f;
}

static Env__Core__Http1ProtocolOptions *http1(struct sld_arena *a,
                                              const Gloo__Http1ProtocolOptions *from)
{
    Env__Core__Http1ProtocolOptions *h =
        SLD_MSG(a, Env__Core__Http1ProtocolOptions, env__core__http1_protocol_options);
    if (!from)
        return h;
    h->enable_trailers = from->enable_trailers;
    h->override_stream_error_on_invalid_http_message =
        from->override_stream_error_on_invalid_http_message;
    bool proper = from->header_format_case ==
                      GLOO__HTTP1_PROTOCOL_OPTIONS__HEADER_FORMAT_PROPER_CASE_HEADER_KEY_FORMAT &&
                  from->proper_case_header_key_format;
    bool preserve =
        from->header_format_case ==
            GLOO__HTTP1_PROTOCOL_OPTIONS__HEADER_FORMAT_PRESERVE_CASE_HEADER_KEY_FORMAT &&
        from->preserve_case_header_key_format;
    if (proper || preserve)
        h->header_key_format = key_format(a, preserve);
    return h;
}

static Env__Core__Http2ProtocolOptions *http2(struct sld_arena *a, const Gloo__Upstream *u)
{
    Env__Core__Http2ProtocolOptions *h =
        SLD_MSG(a, Env__Core__Http2ProtocolOptions, env__core__http2_protocol_options);
    h->initial_stream_window_size = u->initial_stream_window_size;
    h->initial_connection_window_size = u->initial_connection_window_size;
    h->max_concurrent_streams = u->max_concurrent_streams;
    h->override_stream_error_on_invalid_http_message =
        u->override_stream_error_on_invalid_http_message;
    return h;
}

static void explicit_protocol(struct sld_arena *a, Env__UpstreamsHttp__HttpProtocolOptions *o,
                              const Gloo__Upstream *u, const Gloo__Http1ProtocolOptions *one,
                              bool two)
{
    o->upstream_protocol_options_case =
        ENV__UPSTREAMS_HTTP__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG;
    Env__UpstreamsHttp__HttpProtocolOptions__ExplicitHttpConfig *e =
        SLD_MSG(a, Env__UpstreamsHttp__HttpProtocolOptions__ExplicitHttpConfig,
                env__upstreams_http__http_protocol_options__explicit_http_config);
    if (two) {
        e->protocol_config_case =
            ENV__UPSTREAMS_HTTP__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP2_PROTOCOL_OPTIONS;
        e->http2_protocol_options = http2(a, u);
    } else {
        e->protocol_config_case =
            ENV__UPSTREAMS_HTTP__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP_PROTOCOL_OPTIONS;
        e->http_protocol_options = http1(a, one);
    }
    o->explicit_http_config = e;
}

static void clients_protocol(struct sld_arena *a, Env__UpstreamsHttp__HttpProtocolOptions *o,
                             const Gloo__Upstream *u, const Gloo__Http1ProtocolOptions *one)
{
    o->upstream_protocol_options_case =
        ENV__UPSTREAMS_HTTP__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_USE_DOWNSTREAM_PROTOCOL_CONFIG;
    o->use_downstream_protocol_config =
        SLD_MSG(a, Env__UpstreamsHttp__HttpProtocolOptions__UseDownstreamHttpConfig,
                env__upstreams_http__http_protocol_options__use_downstream_http_config);
    o->use_downstream_protocol_config->http_protocol_options = http1(a, one);
    o->use_downstream_protocol_config->http2_protocol_options = http2(a, u);
}

static void options_add(struct sld_arena *a, Env__Cluster__Cluster *c, const Env__UpstreamsHttp__HttpProtocolOptions *o)
{
    Env__Cluster__Cluster__TypedExtensionProtocolOptionsEntry *e =
        SLD_MSG(a, Env__Cluster__Cluster__TypedExtensionProtocolOptionsEntry,
                env__cluster__cluster__typed_extension_protocol_options_entry);
    e->key = sld_arena_cstr(a, SLD_STR("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"));
    e->value = sld_msg_any(a, &o->base);
    SLD_PUSH(a, c->typed_extension_protocol_options, c->n_typed_extension_protocol_options, e);
}

static void http(struct tr_build *b)
{
    struct sld_arena *a = b->tr->arena;
    const Gloo__ConnectionConfig *from = b->u->connection_config;
    const Gloo__Http1ProtocolOptions *one = from ? from->http1_protocol_options : NULL;
    bool two = b->u->use_http2 && b->u->use_http2->value;
    bool clients = b->u->protocol_selection ==
                   GLOO__UPSTREAM__CLUSTER_PROTOCOL_SELECTION__USE_DOWNSTREAM_PROTOCOL;
    Env__Core__HttpProtocolOptions *all = common(a, from);
    if (!two && !clients && !one && !all)
        return; // HTTP/1.1 as Envoy does it
    Env__UpstreamsHttp__HttpProtocolOptions *o = SLD_MSG(
        a, Env__UpstreamsHttp__HttpProtocolOptions, env__upstreams_http__http_protocol_options);
    o->common_http_protocol_options = all;
    if (clients)
        clients_protocol(a, o, b->u, one);
    else
        explicit_protocol(a, o, b->u, one, two);
    options_add(a, b->c, o);
}

void tr_cluster_one_request(struct sld_arena *a, Env__Cluster__Cluster *c)
{
    Env__UpstreamsHttp__HttpProtocolOptions *o = SLD_MSG(
        a, Env__UpstreamsHttp__HttpProtocolOptions, env__upstreams_http__http_protocol_options);
    o->common_http_protocol_options =
        SLD_MSG(a, Env__Core__HttpProtocolOptions, env__core__http_protocol_options);
    o->common_http_protocol_options->max_requests_per_connection = sld_msg_u32(a, 1);
    o->upstream_protocol_options_case =
        ENV__UPSTREAMS_HTTP__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG;
    o->explicit_http_config =
        SLD_MSG(a, Env__UpstreamsHttp__HttpProtocolOptions__ExplicitHttpConfig,
                env__upstreams_http__http_protocol_options__explicit_http_config);
    o->explicit_http_config->protocol_config_case =
        ENV__UPSTREAMS_HTTP__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP_PROTOCOL_OPTIONS;
    o->explicit_http_config->http_protocol_options = http1(a, NULL);
    options_add(a, c, o);
}

void tr_cluster_connections(struct tr_build *b)
{
    enum { CONNECT_TIMEOUT_MS = 5000 };
    const Gloo__ConnectionConfig *from = b->u->connection_config;
    b->c->connect_timeout = from && from->connect_timeout
                                ? from->connect_timeout
                                : sld_msg_duration_ms(b->tr->arena, CONNECT_TIMEOUT_MS);
    if (from) {
        b->c->per_connection_buffer_limit_bytes = from->per_connection_buffer_limit_bytes;
        if (from->tcp_keepalive)
            keepalive(b, from->tcp_keepalive);
    }
    http(b);
}

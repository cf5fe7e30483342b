// httpConnectionManagerSettings: how HTTP is served on a listener (gloo-compat 1.17).
#include "translate/listener.h"
#include "translate/option.h"

#include "envoy/extensions/http/early_header_mutation/header_mutation/v3/header_mutation.pb-c.h"
#include "envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.pb-c.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb-c.h"

typedef Env__NetworkHttpConnectionManager__HttpConnectionManager hcm_msg;
typedef Gloo__HttpConnectionManagerSettings settings_msg;

// ---- Checks ----

static bool on(const Google__Protobuf__BoolValue *b)
{
    return b && b->value;
}

static void check_upgrades(struct sld_report *r, const settings_msg *s)
{
    tr_check_upgrades(r, "upgrades", s->upgrades, s->n_upgrades);
    for (size_t i = 0; i < s->n_upgrades; i++) {
        if (s->upgrades[i]->upgrade_type_case ==
            GLOO__PROTOCOL_UPGRADE_CONFIG__UPGRADE_TYPE_CONNECT_TERMINATE)
            sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID,
                           tr_item_path(r->arena, "upgrades", i, "connectTerminate"),
                           "connectTerminate is for the upgrades of a route only; move it there");
    }
}

static bool uses_details(const settings_msg *s)
{
    return s->forward_client_cert_details ==
               GLOO__HTTP_CONNECTION_MANAGER_SETTINGS__FORWARD_CLIENT_CERT_DETAILS__APPEND_FORWARD ||
           s->forward_client_cert_details ==
               GLOO__HTTP_CONNECTION_MANAGER_SETTINGS__FORWARD_CLIENT_CERT_DETAILS__SANITIZE_SET;
}

static void check_unused(struct sld_report *r, const settings_msg *s)
{
    if (s->default_host_for_http_10 && *s->default_host_for_http_10->value &&
        !on(s->accept_http_10))
        sld_report_add(r, SLD_NOTE, SLD_OPTION_UNUSED, SLD_STR("defaultHostForHttp10"),
                       "it has no effect without acceptHttp10: true");
    if (s->set_current_client_cert_details && !uses_details(s))
        sld_report_add(r, SLD_NOTE, SLD_OPTION_UNUSED, SLD_STR("setCurrentClientCertDetails"),
                       "it has no effect unless forwardClientCertDetails is APPEND_FORWARD or "
                       "SANITIZE_SET");
}

static void check(const struct sld_feature_check *c)
{
    const settings_msg *s =
        c->http_listener ? c->http_listener->http_connection_manager_settings : NULL;
    if (!s)
        return;
    struct sld_report *r = c->report;
    struct sld_str old = sld_report_enter(r, "httpConnectionManagerSettings", -1);
    check_upgrades(r, s);
    check_unused(r, s);
    const Gloo__EarlyHeaderManipulation *e = s->early_header_manipulation;
    if (e) {
        sld_report_enter(r, "earlyHeaderManipulation", -1);
        tr_check_request_headers(r, "headersToAdd", e->headers_to_add, e->n_headers_to_add);
        tr_check_header_names(r, "headersToRemove", e->headers_to_remove, e->n_headers_to_remove);
    }
    sld_report_leave(r, old);
}

// ---- Plain fields ----

static char *text(const Google__Protobuf__StringValue *s, char *otherwise)
{
    return s ? s->value : otherwise;
}

static void set_headers(hcm_msg *m, const settings_msg *s)
{
    m->skip_xff_append = on(s->skip_xff_append);
    m->via = text(s->via, m->via);
    m->xff_num_trusted_hops = s->xff_num_trusted_hops ? s->xff_num_trusted_hops->value : 0;
    m->use_remote_address = s->use_remote_address;
    m->generate_request_id = s->generate_request_id;
    m->preserve_external_request_id = on(s->preserve_external_request_id);
    m->append_x_forwarded_port = on(s->append_x_forwarded_port);
    m->server_name = text(s->server_name, m->server_name);
    m->proxy_100_continue = on(s->proxy_100_continue);
    // The enumerations have the same numbers, here and below.
    m->server_header_transformation =
        (Env__NetworkHttpConnectionManager__HttpConnectionManager__ServerHeaderTransformation)
            s->server_header_transformation;
    m->max_request_headers_kb = s->max_request_headers_kb;
}

static void set_times(hcm_msg *m, const settings_msg *s)
{
    m->stream_idle_timeout = s->stream_idle_timeout;
    m->request_timeout = s->request_timeout;
    m->request_headers_timeout = s->request_headers_timeout;
    m->drain_timeout = s->drain_timeout;
    m->delayed_close_timeout = s->delayed_close_timeout;
}

static void set_paths(hcm_msg *m, const settings_msg *s)
{
    if (s->normalize_path)
        m->normalize_path = s->normalize_path;
    m->merge_slashes = on(s->merge_slashes);
    m->path_with_escaped_slashes_action =
        (Env__NetworkHttpConnectionManager__HttpConnectionManager__PathWithEscapedSlashesAction)
            s->path_with_escaped_slashes_action;
    if (on(s->strip_any_host_port)) {
        m->strip_port_mode_case =
            ENV__NETWORK_HTTP_CONNECTION_MANAGER__HTTP_CONNECTION_MANAGER__STRIP_PORT_MODE_STRIP_ANY_HOST_PORT;
        m->strip_any_host_port = true;
    }
}

static void set_client_cert(struct sld_arena *a, hcm_msg *m, const settings_msg *s)
{
    m->forward_client_cert_details =
        (Env__NetworkHttpConnectionManager__HttpConnectionManager__ForwardClientCertDetails)
            s->forward_client_cert_details;
    const Gloo__HttpConnectionManagerSettings__SetCurrentClientCertDetails *in =
        s->set_current_client_cert_details;
    if (!in || !uses_details(s))
        return;
    Env__NetworkHttpConnectionManager__HttpConnectionManager__SetCurrentClientCertDetails *out = SLD_MSG(
        a, Env__NetworkHttpConnectionManager__HttpConnectionManager__SetCurrentClientCertDetails,
        env__network_http_connection_manager__http_connection_manager__set_current_client_cert_details);
    out->subject = in->subject;
    out->cert = on(in->cert);
    out->chain = on(in->chain);
    out->dns = on(in->dns);
    out->uri = on(in->uri);
    m->set_current_client_cert_details = out;
}

// ---- Protocols ----

static void set_common(struct sld_arena *a, hcm_msg *m, const settings_msg *s)
{
    if (!s->idle_timeout && !s->max_connection_duration && !s->max_stream_duration &&
        !s->max_headers_count && !s->max_requests_per_connection &&
        !s->headers_with_underscores_action)
        return;
    Env__Core__HttpProtocolOptions *o =
        SLD_MSG(a, Env__Core__HttpProtocolOptions, env__core__http_protocol_options);
    o->idle_timeout = s->idle_timeout;
    o->max_connection_duration = s->max_connection_duration;
    o->max_stream_duration = s->max_stream_duration;
    o->max_headers_count = s->max_headers_count;
    o->max_requests_per_connection = s->max_requests_per_connection;
    o->headers_with_underscores_action =
        (Env__Core__HttpProtocolOptions__HeadersWithUnderscoresAction)
            s->headers_with_underscores_action;
    m->common_http_protocol_options = o;
}

static Env__Core__Http1ProtocolOptions__HeaderKeyFormat *key_format(struct sld_arena *a,
                                                                    const settings_msg *s)
{
    Env__Core__Http1ProtocolOptions__HeaderKeyFormat *f =
        SLD_MSG(a, Env__Core__Http1ProtocolOptions__HeaderKeyFormat,
                env__core__http1_protocol_options__header_key_format);
    switch (s->header_format_case) {
    case GLOO__HTTP_CONNECTION_MANAGER_SETTINGS__HEADER_FORMAT_PROPER_CASE_HEADER_KEY_FORMAT:
        if (!s->proper_case_header_key_format->value)
            return NULL;
        f->header_format_case =
            ENV__CORE__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_PROPER_CASE_WORDS;
        f->proper_case_words =
            SLD_MSG(a, Env__Core__Http1ProtocolOptions__HeaderKeyFormat__ProperCaseWords,
                    env__core__http1_protocol_options__header_key_format__proper_case_words);
        return f;
    case GLOO__HTTP_CONNECTION_MANAGER_SETTINGS__HEADER_FORMAT_PRESERVE_CASE_HEADER_KEY_FORMAT: {
        if (!s->preserve_case_header_key_format->value)
            return NULL;
        Env__HttpHeaderFormattersPreserveCase__PreserveCaseFormatterConfig *c =
            SLD_MSG(a, Env__HttpHeaderFormattersPreserveCase__PreserveCaseFormatterConfig,
                    env__http_header_formatters_preserve_case__preserve_case_formatter_config);
        f->header_format_case =
            ENV__CORE__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_STATEFUL_FORMATTER;
        f->stateful_formatter =
            tr_extension(a, "envoy.http.stateful_header_formatters.preserve_case", &c->base);
        return f;
    }
    default:
        return NULL;
    }
}

static void set_http1(struct sld_arena *a, hcm_msg *m, const settings_msg *s)
{
    Env__Core__Http1ProtocolOptions__HeaderKeyFormat *format = key_format(a, s);
    if (!on(s->accept_http_10) && !on(s->allow_chunked_length) && !on(s->enable_trailers) &&
        !format)
        return;
    Env__Core__Http1ProtocolOptions *o =
        SLD_MSG(a, Env__Core__Http1ProtocolOptions, env__core__http1_protocol_options);
    o->accept_http_10 = on(s->accept_http_10);
    if (o->accept_http_10)
        o->default_host_for_http_10 =
            text(s->default_host_for_http_10, o->default_host_for_http_10);
    o->allow_chunked_length = on(s->allow_chunked_length);
    o->enable_trailers = on(s->enable_trailers);
    o->header_key_format = format;
    m->http_protocol_options = o;
}

static void set_http2(struct sld_arena *a, hcm_msg *m, const settings_msg *s)
{
    const Gloo__Http2ProtocolOptions *in = s->http2_protocol_options;
    if (!in)
        return;
    Env__Core__Http2ProtocolOptions *o =
        SLD_MSG(a, Env__Core__Http2ProtocolOptions, env__core__http2_protocol_options);
    o->max_concurrent_streams = in->max_concurrent_streams;
    o->initial_stream_window_size = in->initial_stream_window_size;
    o->initial_connection_window_size = in->initial_connection_window_size;
    o->override_stream_error_on_invalid_http_message =
        in->override_stream_error_on_invalid_http_message;
    m->http2_protocol_options = o;
}

static void add_upgrade(struct sld_arena *a, hcm_msg *m, struct sld_str type,
                        Google__Protobuf__BoolValue *enabled)
{
    Env__NetworkHttpConnectionManager__HttpConnectionManager__UpgradeConfig *u =
        SLD_MSG(a, Env__NetworkHttpConnectionManager__HttpConnectionManager__UpgradeConfig,
                env__network_http_connection_manager__http_connection_manager__upgrade_config);
    u->upgrade_type = SLD_MSG_STR(a, type);
    u->enabled = enabled;
    SLD_PUSH(a, m->upgrade_configs, m->n_upgrade_configs, u);
}

// WebSocket is allowed unless the user says otherwise.
static void set_upgrades(struct sld_arena *a, hcm_msg *m, const settings_msg *s)
{
    bool websocket = false;
    m->n_upgrade_configs = 0;
    m->upgrade_configs = NULL;
    for (size_t i = 0; i < s->n_upgrades; i++) {
        struct sld_str type = tr_upgrade_type(s->upgrades[i]);
        if (!type.p)
            continue;
        websocket |= sld_str_eq(type, SLD_STR("websocket"));
        add_upgrade(a, m, type, tr_upgrade_enabled(s->upgrades[i]));
    }
    if (!websocket)
        add_upgrade(a, m, SLD_STR("websocket"), NULL);
}

// ---- Extensions ----

static void set_request_id(struct sld_arena *a, hcm_msg *m, const settings_msg *s)
{
    const Gloo__HttpConnectionManagerSettings__UuidRequestIdConfigSettings *in =
        s->uuid_request_id_config;
    if (!in)
        return;
    Env__RequestIdUuid__UuidRequestIdConfig *c = SLD_MSG(
        a, Env__RequestIdUuid__UuidRequestIdConfig, env__request_id_uuid__uuid_request_id_config);
    c->pack_trace_reason = in->pack_trace_reason;
    c->use_request_id_for_trace_sampling = in->use_request_id_for_trace_sampling;
    m->request_id_extension = SLD_MSG(a, Env__NetworkHttpConnectionManager__RequestIDExtension,
                                      env__network_http_connection_manager__request_idextension);
    m->request_id_extension->typed_config = sld_msg_any(a, &c->base);
}

static void set_internal_addresses(struct sld_arena *a, hcm_msg *m, const settings_msg *s)
{
    const Gloo__HttpConnectionManagerSettings__InternalAddressConfig *in =
        s->internal_address_config;
    if (!in)
        return;
    Env__NetworkHttpConnectionManager__HttpConnectionManager__InternalAddressConfig *out = SLD_MSG(
        a, Env__NetworkHttpConnectionManager__HttpConnectionManager__InternalAddressConfig,
        env__network_http_connection_manager__http_connection_manager__internal_address_config);
    out->unix_sockets = on(in->unix_sockets);
    for (size_t i = 0; i < in->n_cidr_ranges; i++) {
        Env__Core__CidrRange *r = SLD_MSG(a, Env__Core__CidrRange, env__core__cidr_range);
        r->address_prefix = in->cidr_ranges[i]->address_prefix;
        r->prefix_len = in->cidr_ranges[i]->prefix_len;
        SLD_PUSH(a, out->cidr_ranges, out->n_cidr_ranges, r);
    }
    m->internal_address_config = out;
}

static Env__CommonMutationRules__HeaderMutation *mutation(struct sld_arena *a)
{
    return SLD_MSG(a, Env__CommonMutationRules__HeaderMutation,
                   env__common_mutation_rules__header_mutation);
}

static void set_early_headers(struct tr_listener *l, const Gloo__EarlyHeaderManipulation *in)
{
    struct sld_arena *a = l->tr->arena;
    Env__Core__HeaderValueOption **added = NULL;
    size_t n_added = 0;
    struct sld_report *r = l->report;
    struct sld_str old = sld_report_enter(
        r, "httpGateway.options.httpConnectionManagerSettings.earlyHeaderManipulation", -1);
    struct tr_headers h = {.tr = l->tr,
                           .report = r,
                           .ns = sld_str_c(l->gateway->metadata->namespace_),
                           .out = &added,
                           .n = &n_added};
    tr_add_request_headers(&h, "headersToAdd", in->headers_to_add, in->n_headers_to_add);
    sld_report_leave(r, old);
    Env__HttpEarlyHeaderMutationHeaderMutation__HeaderMutation *e =
        SLD_MSG(a, Env__HttpEarlyHeaderMutationHeaderMutation__HeaderMutation,
                env__http_early_header_mutation_header_mutation__header_mutation);
    for (size_t i = 0; i < n_added; i++) {
        Env__CommonMutationRules__HeaderMutation *m = mutation(a);
        m->action_case = ENV__COMMON_MUTATION_RULES__HEADER_MUTATION__ACTION_APPEND;
        m->append = added[i];
        SLD_PUSH(a, e->mutations, e->n_mutations, m);
    }
    for (size_t i = 0; i < in->n_headers_to_remove; i++) {
        Env__CommonMutationRules__HeaderMutation *m = mutation(a);
        m->action_case = ENV__COMMON_MUTATION_RULES__HEADER_MUTATION__ACTION_REMOVE;
        m->remove = in->headers_to_remove[i];
        SLD_PUSH(a, e->mutations, e->n_mutations, m);
    }
    if (e->n_mutations)
        SLD_PUSH(a, l->hcm->early_header_mutation_extensions,
                 l->hcm->n_early_header_mutation_extensions,
                 tr_extension(a, "envoy.http.early_header_mutation.header_mutation", &e->base));
}

static void listener(struct tr_listener *l)
{
    const settings_msg *s = l->http ? l->http->http_connection_manager_settings : NULL;
    if (!l->hcm || !s)
        return;
    struct sld_arena *a = l->tr->arena;
    hcm_msg *m = l->hcm;
    m->codec_type =
        (Env__NetworkHttpConnectionManager__HttpConnectionManager__CodecType)s->codec_type;
    set_headers(m, s);
    set_times(m, s);
    set_paths(m, s);
    set_client_cert(a, m, s);
    set_common(a, m, s);
    set_http1(a, m, s);
    set_http2(a, m, s);
    set_upgrades(a, m, s);
    set_request_id(a, m, s);
    set_internal_addresses(a, m, s);
    if (s->early_header_manipulation)
        set_early_headers(l, s->early_header_manipulation);
}

const struct sld_feature sld_feature_http_connection_manager_settings = {
    .name = "httpConnectionManagerSettings",
    .help = "Sets how HTTP is served: limits, headers, protocols, paths, client certificates.",
    .options = {"HttpListenerOptions.httpConnectionManagerSettings"},
    .check = check,
    .listener = listener,
};

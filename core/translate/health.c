// Health checks and outlier detection of clusters (gloo-compat 1.11, 3.9).
#include "translate/cluster.h"
#include "translate/option.h"

#include "envoy/extensions/health_check/event_sinks/file/v3/file.pb-c.h"
#include "xds/type/v3/typed_struct.pb-c.h"

// ---- Headers ----

static void add_headers(struct tr_build *b, const char *field,
                        Gloo__HeaderOrSecretOption *const *from, size_t n,
                        Env__Core__HeaderValueOption ***out, size_t *count)
{
    struct tr_headers h = {.tr = b->tr, .report = b->report, .ns = b->ns, .out = out, .n = count};
    tr_add_request_headers(&h, field, from, n);
}

static bool secrets_there(struct tr *tr, Gloo__HeaderOrSecretOption *const *from, size_t n,
                          struct sld_str owner_ns)
{
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        if (from[i]->header_option_case !=
            GLOO__HEADER_OR_SECRET_OPTION__HEADER_OPTION_HEADER_SECRET_REF)
            continue;
        const Gloo__ResourceRef *ref = from[i]->header_secret_ref;
        const struct tr_secret *s = tr_secret(tr, tr_ref_ns(ref, owner_ns), sld_str_c(ref->name));
        ok = ok && s && s->kind == TR_SECRET_HEADER;
    }
    return ok;
}

bool tr_health_secrets(struct tr *tr, const Gloo__Upstream *u, struct sld_str ns)
{
    bool ok = true;
    for (size_t i = 0; i < u->n_health_checks; i++) {
        const Gloo__HealthCheck *h = u->health_checks[i];
        if (h->health_checker_case == GLOO__HEALTH_CHECK__HEALTH_CHECKER_HTTP_HEALTH_CHECK)
            ok = secrets_there(tr, h->http_health_check->request_headers_to_add,
                               h->http_health_check->n_request_headers_to_add, ns) &&
                 ok;
        if (h->health_checker_case == GLOO__HEALTH_CHECK__HEALTH_CHECKER_GRPC_HEALTH_CHECK)
            ok = secrets_there(tr, h->grpc_health_check->initial_metadata,
                               h->grpc_health_check->n_initial_metadata, ns) &&
                 ok;
    }
    return ok;
}

// ---- Checkers ----

static void http_checker(struct tr_build *b, const Gloo__HealthCheck__HttpHealthCheck *from,
                         Env__Core__HealthCheck *to)
{
    struct sld_arena *a = b->tr->arena;
    Env__Core__HealthCheck__HttpHealthCheck *h = SLD_MSG(
        a, Env__Core__HealthCheck__HttpHealthCheck, env__core__health_check__http_health_check);
    to->health_checker_case = ENV__CORE__HEALTH_CHECK__HEALTH_CHECKER_HTTP_HEALTH_CHECK;
    to->http_health_check = h;
    h->host = from->host;
    h->path = from->path;
    h->request_headers_to_remove = from->request_headers_to_remove;
    h->n_request_headers_to_remove = from->n_request_headers_to_remove;
    h->method = (Env__Core__RequestMethod)from->method; // the numbers are Envoy's
    if (from->use_http2)
        h->codec_client_type = ENV__TYPE__CODEC_CLIENT_TYPE__HTTP2;
    if (from->service_name[0]) {
        h->service_name_matcher =
            SLD_MSG(a, Env__TypeMatcher__StringMatcher, env__type_matcher__string_matcher);
        h->service_name_matcher->match_pattern_case =
            ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_PREFIX;
        h->service_name_matcher->prefix = from->service_name;
    }
    for (size_t i = 0; i < from->n_expected_statuses; i++) {
        Env__Type__Int64Range *range = SLD_MSG(a, Env__Type__Int64Range, env__type__int64_range);
        range->start = from->expected_statuses[i]->start;
        range->end = from->expected_statuses[i]->end;
        SLD_PUSH(a, h->expected_statuses, h->n_expected_statuses, range);
    }
    add_headers(b, "httpHealthCheck.requestHeadersToAdd", from->request_headers_to_add,
                from->n_request_headers_to_add, &h->request_headers_to_add,
                &h->n_request_headers_to_add);
}

static Env__Core__HealthCheck__Payload *payload(struct sld_arena *a,
                                                const Gloo__HealthCheck__Payload *from)
{
    Env__Core__HealthCheck__Payload *p =
        SLD_MSG(a, Env__Core__HealthCheck__Payload, env__core__health_check__payload);
    p->payload_case = ENV__CORE__HEALTH_CHECK__PAYLOAD__PAYLOAD_TEXT;
    p->text = from->text;
    return p;
}

static void tcp_checker(struct tr_build *b, const Gloo__HealthCheck__TcpHealthCheck *from,
                        Env__Core__HealthCheck *to)
{
    struct sld_arena *a = b->tr->arena;
    Env__Core__HealthCheck__TcpHealthCheck *t = SLD_MSG(a, Env__Core__HealthCheck__TcpHealthCheck,
                                                        env__core__health_check__tcp_health_check);
    to->health_checker_case = ENV__CORE__HEALTH_CHECK__HEALTH_CHECKER_TCP_HEALTH_CHECK;
    to->tcp_health_check = t;
    if (from->send)
        t->send = payload(a, from->send);
    for (size_t i = 0; i < from->n_receive; i++)
        SLD_PUSH(a, t->receive, t->n_receive, payload(a, from->receive[i]));
}

static void grpc_checker(struct tr_build *b, const Gloo__HealthCheck__GrpcHealthCheck *from,
                         Env__Core__HealthCheck *to)
{
    Env__Core__HealthCheck__GrpcHealthCheck *g =
        SLD_MSG(b->tr->arena, Env__Core__HealthCheck__GrpcHealthCheck,
                env__core__health_check__grpc_health_check);
    to->health_checker_case = ENV__CORE__HEALTH_CHECK__HEALTH_CHECKER_GRPC_HEALTH_CHECK;
    to->grpc_health_check = g;
    g->service_name = from->service_name;
    g->authority = from->authority;
    add_headers(b, "grpcHealthCheck.initialMetadata", from->initial_metadata,
                from->n_initial_metadata, &g->initial_metadata, &g->n_initial_metadata);
}

// A message of Envoy's that is free in form: Envoy itself makes TYPE_URL's message of VALUE.
static Google__Protobuf__Any *typed_struct(struct sld_arena *a, struct sld_str type_url,
                                           Google__Protobuf__Struct *value)
{
    Env__XdsType__TypedStruct *t =
        SLD_MSG(a, Env__XdsType__TypedStruct, env__xds_type__typed_struct);
    t->type_url = sld_arena_cstr(a, type_url);
    t->value = value;
    return sld_msg_any(a, &t->base);
}

static const struct {
    const char *name, *type;
} custom_types[] = {
    {"envoy.health_checkers.redis",
     "type.googleapis.com/envoy.extensions.health_checkers.redis.v3.Redis"},
    {"envoy.health_checkers.thrift",
     "type.googleapis.com/envoy.extensions.health_checkers.thrift.v3.Thrift"},
};

// The message type of a custom checker and its fields: "@type" of typedConfig, else what its name
// is known by.
static struct sld_str custom_config(struct sld_arena *a,
                                    const Gloo__HealthCheck__CustomHealthCheck *from,
                                    Google__Protobuf__Struct **value)
{
    *value = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    struct sld_str type = SLD_STR_NONE;
    for (size_t i = 0; i < SLD_ARRAY_LEN(custom_types); i++) {
        if (!strcmp(from->name, custom_types[i].name))
            type = sld_str_c(custom_types[i].type);
    }
    if (from->config_type_case == GLOO__HEALTH_CHECK__CUSTOM_HEALTH_CHECK__CONFIG_TYPE__NOT_SET)
        return type;
    const Google__Protobuf__Struct *s = from->config;
    for (size_t i = 0; i < s->n_fields; i++) {
        const Google__Protobuf__Value *v = s->fields[i]->value;
        if (strcmp(s->fields[i]->key, "@type") != 0)
            SLD_PUSH(a, (*value)->fields, (*value)->n_fields, s->fields[i]);
        else if (v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE)
            type = sld_str_c(v->string_value);
    }
    return type;
}

bool tr_custom_check_known(struct sld_arena *a, const Gloo__HealthCheck__CustomHealthCheck *from)
{
    Google__Protobuf__Struct *value;
    return custom_config(a, from, &value).n > 0;
}

static void custom_checker(struct tr_build *b, const Gloo__HealthCheck__CustomHealthCheck *from,
                           Env__Core__HealthCheck *to)
{
    struct sld_arena *a = b->tr->arena;
    Env__Core__HealthCheck__CustomHealthCheck *c = SLD_MSG(
        a, Env__Core__HealthCheck__CustomHealthCheck, env__core__health_check__custom_health_check);
    to->health_checker_case = ENV__CORE__HEALTH_CHECK__HEALTH_CHECKER_CUSTOM_HEALTH_CHECK;
    to->custom_health_check = c;
    c->name = from->name;
    Google__Protobuf__Struct *value;
    struct sld_str type = custom_config(a, from, &value);
    c->config_type_case = ENV__CORE__HEALTH_CHECK__CUSTOM_HEALTH_CHECK__CONFIG_TYPE_TYPED_CONFIG;
    c->typed_config = typed_struct(a, type, value);
}

// ---- Health checks ----

static void event_log(struct sld_arena *a, char *path, Env__Core__HealthCheck *to)
{
    Env__HealthCheckEventSinksFile__HealthCheckEventFileSink *sink =
        SLD_MSG(a, Env__HealthCheckEventSinksFile__HealthCheckEventFileSink,
                env__health_check_event_sinks_file__health_check_event_file_sink);
    sink->event_log_path = path;
    Env__Core__TypedExtensionConfig *e =
        SLD_MSG(a, Env__Core__TypedExtensionConfig, env__core__typed_extension_config);
    e->name = sld_arena_cstr(a, SLD_STR("envoy.health_check.event_sink.file"));
    e->typed_config = sld_msg_any(a, &sink->base);
    SLD_PUSH(a, to->event_logger, to->n_event_logger, e);
}

static void health_check(struct tr_build *b, const Gloo__HealthCheck *from)
{
    struct sld_arena *a = b->tr->arena;
    Env__Core__HealthCheck *to = SLD_MSG(a, Env__Core__HealthCheck, env__core__health_check);
    // Envoy wants names where there are several.
    if (b->u->n_health_checks > 1)
        to->name = sld_arena_cstr(a, sld_arena_fmt(a, "check-%zu", b->c->n_health_checks));
    to->timeout = from->timeout;
    to->interval = from->interval;
    to->initial_jitter = from->initial_jitter;
    to->interval_jitter = from->interval_jitter;
    to->interval_jitter_percent = from->interval_jitter_percent;
    to->unhealthy_threshold = from->unhealthy_threshold;
    to->healthy_threshold = from->healthy_threshold;
    to->reuse_connection = from->reuse_connection;
    to->no_traffic_interval = from->no_traffic_interval;
    to->unhealthy_interval = from->unhealthy_interval;
    to->unhealthy_edge_interval = from->unhealthy_edge_interval;
    to->healthy_edge_interval = from->healthy_edge_interval;
    to->always_log_health_check_failures = from->always_log_health_check_failures;
    if (from->event_log_path[0])
        event_log(a, from->event_log_path, to);
    SLD_PUSH(a, b->c->health_checks, b->c->n_health_checks, to);
    switch (from->health_checker_case) {
    case GLOO__HEALTH_CHECK__HEALTH_CHECKER_HTTP_HEALTH_CHECK:
        http_checker(b, from->http_health_check, to);
        break;
    case GLOO__HEALTH_CHECK__HEALTH_CHECKER_TCP_HEALTH_CHECK:
        tcp_checker(b, from->tcp_health_check, to);
        break;
    case GLOO__HEALTH_CHECK__HEALTH_CHECKER_GRPC_HEALTH_CHECK:
        grpc_checker(b, from->grpc_health_check, to);
        break;
    case GLOO__HEALTH_CHECK__HEALTH_CHECKER_CUSTOM_HEALTH_CHECK:
        custom_checker(b, from->custom_health_check, to);
        break;
    default:
        break; // the document's checks refuse it
    }
}

static void outlier_detection(struct tr_build *b, const Gloo__OutlierDetection *from)
{
    Env__Cluster__OutlierDetection *to =
        SLD_MSG(b->tr->arena, Env__Cluster__OutlierDetection, env__cluster__outlier_detection);
    to->consecutive_5xx = from->consecutive_5xx;
    to->interval = from->interval;
    to->base_ejection_time = from->base_ejection_time;
    to->max_ejection_percent = from->max_ejection_percent;
    to->enforcing_consecutive_5xx = from->enforcing_consecutive_5xx;
    to->enforcing_success_rate = from->enforcing_success_rate;
    to->success_rate_minimum_hosts = from->success_rate_minimum_hosts;
    to->success_rate_request_volume = from->success_rate_request_volume;
    to->success_rate_stdev_factor = from->success_rate_stdev_factor;
    to->consecutive_gateway_failure = from->consecutive_gateway_failure;
    to->enforcing_consecutive_gateway_failure = from->enforcing_consecutive_gateway_failure;
    to->split_external_local_origin_errors = from->split_external_local_origin_errors;
    to->consecutive_local_origin_failure = from->consecutive_local_origin_failure;
    to->enforcing_consecutive_local_origin_failure =
        from->enforcing_consecutive_local_origin_failure;
    to->enforcing_local_origin_success_rate = from->enforcing_local_origin_success_rate;
    b->c->outlier_detection = to;
}

bool tr_cluster_health(struct tr_build *b)
{
    for (size_t i = 0; i < b->u->n_health_checks; i++) {
        struct sld_str was = sld_report_enter(b->report, "healthChecks", (long)i);
        health_check(b, b->u->health_checks[i]);
        sld_report_leave(b->report, was);
    }
    if (b->u->outlier_detection)
        outlier_detection(b, b->u->outlier_detection);
    return tr_health_secrets(b->tr, b->u, b->ns);
}

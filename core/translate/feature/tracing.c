// tracing: spans of requests to a collector, on a listener (gloo-compat 1.17, 5.2); which requests
// of a route are traced, and how its spans are called.
#include "translate/listener.h"
#include "translate/option.h"

#include <math.h>

#include "envoy/config/core/v3/grpc_service.pb-c.h"
#include "envoy/config/trace/v3/datadog.pb-c.h"
#include "envoy/config/trace/v3/http_tracer.pb-c.h"
#include "envoy/config/trace/v3/opentelemetry.pb-c.h"
#include "envoy/config/trace/v3/zipkin.pb-c.h"
#include "envoy/type/metadata/v3/metadata.pb-c.h"
#include "envoy/type/tracing/v3/custom_tag.pb-c.h"
#include "envoy/type/v3/percent.pb-c.h"

typedef Gloo__ListenerTracingSettings settings_msg;
typedef Env__TypeTracing__CustomTag tag_msg;
typedef Env__NetworkHttpConnectionManager__HttpConnectionManager__Tracing tracing_msg;

#define LISTENER_PATH "httpConnectionManagerSettings.tracing"

static const settings_msg *settings_of(const Gloo__HttpListenerOptions *o)
{
    return o && o->http_connection_manager_settings ? o->http_connection_manager_settings->tracing
                                                    : NULL;
}

static struct sld_str delimiter(const Gloo__TracingTagMetadata *m)
{
    struct sld_str d = sld_str_c(m->value->nested_field_delimiter);
    return d.n ? d : SLD_STR(".");
}

// Takes the next part of the nested key REST into *PART; false behind the last.
static bool next_part(struct sld_str *rest, struct sld_str delim, struct sld_str *part)
{
    if (!rest->p)
        return false;
    ptrdiff_t at = sld_str_find(*rest, delim);
    *part = at < 0 ? *rest : sld_str_sub(*rest, 0, (size_t)at);
    *rest = at < 0 ? SLD_STR_NONE : sld_str_sub(*rest, (size_t)at + delim.n, SIZE_MAX);
    return true;
}

// ---- Checks ----

static void check_metadata(struct sld_report *r, const settings_msg *s)
{
    for (size_t i = 0; i < s->n_metadata_for_tags; i++) {
        const Gloo__TracingTagMetadata *m = s->metadata_for_tags[i];
        if (!m->value)
            continue; // the schema's finding
        struct sld_str rest = sld_str_c(m->value->key), delim = delimiter(m), part;
        bool empty = false;
        while (next_part(&rest, delim, &part))
            empty |= !part.n;
        if (empty && m->value->key[0])
            sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID,
                           tr_item_path(r->arena, "metadataForTags", i, "value.key"),
                           "the key \"%s\" has an empty part between two \"%.*s\"; give every "
                           "part a name, or another nestedFieldDelimiter",
                           m->value->key, SLD_FMT(delim));
    }
}

// Envoy refuses a whole listener for a line break in one of these.
static void check_line(struct sld_report *r, const char *field, const char *value)
{
    if (strpbrk(value, "\r\n"))
        sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID, sld_str_c(field),
                       "the value has a line break; it becomes part of a request's head, so give "
                       "it in one line");
}

static void check_provider(struct sld_report *r, const settings_msg *s)
{
    switch (s->provider_config_case) {
    case GLOO__LISTENER_TRACING_SETTINGS__PROVIDER_CONFIG_ZIPKIN_CONFIG:
        check_line(r, "zipkinConfig.collectorEndpoint", s->zipkin_config->collector_endpoint);
        break;
    case GLOO__LISTENER_TRACING_SETTINGS__PROVIDER_CONFIG_DATADOG_CONFIG:
        check_line(r, "datadogConfig.collectorHostname", s->datadog_config->collector_hostname);
        break;
    case GLOO__LISTENER_TRACING_SETTINGS__PROVIDER_CONFIG_OPEN_TELEMETRY_CONFIG:
        if (s->open_telemetry_config->grpc_service)
            check_line(r, "openTelemetryConfig.grpcService.authority",
                       s->open_telemetry_config->grpc_service->authority);
        break;
    case GLOO__LISTENER_TRACING_SETTINGS__PROVIDER_CONFIG_OPEN_CENSUS_CONFIG:
        sld_report_add(
            r, SLD_ERROR, SLD_OPTION_INVALID, SLD_STR("openCensusConfig"),
            "Envoy has no OpenCensus tracer any more; use openTelemetryConfig, or zipkinConfig");
        break;
    default:
        break;
    }
}

static void check(const struct sld_feature_check *c)
{
    const settings_msg *s = settings_of(c->http_listener);
    if (!s)
        return;
    struct sld_report *r = c->report;
    struct sld_str old = sld_report_enter(r, LISTENER_PATH, -1);
    for (size_t i = 0; i < s->n_request_headers_for_tags; i++) {
        if (strpbrk(s->request_headers_for_tags[i]->value, "\r\n"))
            sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID,
                           tr_item_path(r->arena, "requestHeadersForTags", i, NULL),
                           "a header's name cannot have a line break");
    }
    check_metadata(r, s);
    check_provider(r, s);
    sld_report_leave(r, old);
}

// ---- The collector ----

// A collector is an Upstream, or a cluster by its name.
struct collector {
    const Gloo__ResourceRef *ref; // NULL: by name
    const char *name;
    const char *field; // where the findings stand: "zipkinConfig"
    bool grpc;
};

// Envoy can send gRPC to HTTP/2 clusters only.
static void want_http2(struct tr_listener *l, const struct collector *c, struct sld_str ns,
                       struct sld_str name, struct sld_str path)
{
    if (!c->grpc)
        return; // nor may the listener depend on what else the Upstream says
    const struct sld_object *o = tr_object(l->tr, SLD_KIND_UPSTREAM, ns, name);
    const Gloo__Upstream *u = o ? sld_object_msg(o) : NULL;
    if (u && !(u->use_http2 && u->use_http2->value))
        sld_report_add(l->report, SLD_WARNING, SLD_OPTION_INVALID, path,
                       "spans are sent by gRPC, for which Upstream %.*s.%.*s needs useHttp2: true",
                       SLD_FMT(ns), SLD_FMT(name));
}

// The cluster of C, in use from now on; with a finding when its Upstream cannot be served.
static struct sld_str find_collector(struct tr_listener *l, const struct collector *c)
{
    struct tr *tr = l->tr;
    struct sld_str ns, name;
    if (c->ref) {
        ns = tr_ref_ns(c->ref, sld_str_c(l->gateway->metadata->namespace_));
        name = sld_str_c(c->ref->name);
    } else {
        // Ours is "<name>_<namespace>", and neither part can have another '_'. Any other is the
        // bootstrap's, which is not known here.
        ns = sld_str_c(c->name);
        if (!sld_str_cut(&ns, '_', &name) || !tr_upstream(tr, ns, name))
            return sld_str_c(c->name);
    }
    struct sld_str path = sld_arena_fmt(tr->arena, "httpGateway.options." LISTENER_PATH ".%s.%s",
                                        c->field, c->ref ? "collectorUpstreamRef" : "clusterName");
    const struct tr_upstream *u = tr_upstream(tr, ns, name);
    struct sld_str cluster = u ? u->cluster : tr_cluster_name(tr->arena, ns, name);
    if (!tr_listener_sends(l, cluster))
        sld_report_add(l->report, SLD_ERROR, SLD_REF_UPSTREAM, path,
                       "the collector's Upstream %.*s.%.*s %s; %s. Until then spans are lost",
                       SLD_FMT(ns), SLD_FMT(name), u ? "cannot be served now" : "not found",
                       u ? "see its status" : tr_mend_ref(tr, SLD_KIND_UPSTREAM, ns, name));
    want_http2(l, c, ns, name, path);
    return cluster;
}

// ---- Providers ----

// The gateway's name, where a service has no name of its own.
static char *service_name(const struct tr_listener *l, const char *given)
{
    return SLD_MSG_STR(l->tr->arena,
                       sld_str_c(given && *given ? given : l->gateway->metadata->name));
}

static const ProtobufCMessage *zipkin(struct tr_listener *l, const Gloo__ZipkinConfig *in)
{
    bool by_ref =
        in->collector_cluster_case == GLOO__ZIPKIN_CONFIG__COLLECTOR_CLUSTER_COLLECTOR_UPSTREAM_REF;
    struct collector c = {.ref = by_ref ? in->collector_upstream_ref : NULL,
                          .name = by_ref ? NULL : in->cluster_name,
                          .field = "zipkinConfig"};
    struct sld_str cluster = find_collector(l, &c);
    Env__Trace__ZipkinConfig *z =
        SLD_MSG(l->tr->arena, Env__Trace__ZipkinConfig, env__trace__zipkin_config);
    z->collector_cluster = SLD_MSG_STR(l->tr->arena, cluster);
    z->collector_endpoint = in->collector_endpoint;
    z->trace_id_128bit = in->trace_id_128bit && in->trace_id_128bit->value;
    z->shared_span_context = in->shared_span_context;
    // Envoy has dropped the format of number 0, which stands for "not given".
    z->collector_endpoint_version =
        in->collector_endpoint_version ==
                GLOO__ZIPKIN_CONFIG__COLLECTOR_ENDPOINT_VERSION__HTTP_PROTO
            ? ENV__TRACE__ZIPKIN_CONFIG__COLLECTOR_ENDPOINT_VERSION__HTTP_PROTO
            : ENV__TRACE__ZIPKIN_CONFIG__COLLECTOR_ENDPOINT_VERSION__HTTP_JSON;
    return &z->base;
}

static const ProtobufCMessage *datadog(struct tr_listener *l, const Gloo__DatadogConfig *in)
{
    bool by_ref = in->collector_cluster_case ==
                  GLOO__DATADOG_CONFIG__COLLECTOR_CLUSTER_COLLECTOR_UPSTREAM_REF;
    struct collector c = {.ref = by_ref ? in->collector_upstream_ref : NULL,
                          .name = by_ref ? NULL : in->cluster_name,
                          .field = "datadogConfig"};
    struct sld_str cluster = find_collector(l, &c);
    struct sld_arena *a = l->tr->arena;
    Env__Trace__DatadogConfig *d =
        SLD_MSG(a, Env__Trace__DatadogConfig, env__trace__datadog_config);
    d->collector_cluster = SLD_MSG_STR(a, cluster);
    d->service_name = service_name(l, in->service_name ? in->service_name->value : NULL);
    d->collector_hostname = in->collector_hostname;
    const Gloo__DatadogConfig__DatadogRemoteConfig *remote = in->remote_config;
    if (!remote || !remote->disabled || !remote->disabled->value) {
        d->remote_config =
            SLD_MSG(a, Env__Trace__DatadogRemoteConfig, env__trace__datadog_remote_config);
        d->remote_config->polling_interval = remote ? remote->polling_interval : NULL;
    }
    return &d->base;
}

static const ProtobufCMessage *open_telemetry(struct tr_listener *l,
                                              const Gloo__OpenTelemetryConfig *in)
{
    bool by_ref = in->collector_cluster_case ==
                  GLOO__OPEN_TELEMETRY_CONFIG__COLLECTOR_CLUSTER_COLLECTOR_UPSTREAM_REF;
    struct collector c = {.ref = by_ref ? in->collector_upstream_ref : NULL,
                          .name = by_ref ? NULL : in->cluster_name,
                          .field = "openTelemetryConfig",
                          .grpc = true};
    struct sld_str cluster = find_collector(l, &c);
    struct sld_arena *a = l->tr->arena;
    Env__Core__GrpcService__EnvoyGrpc *g =
        SLD_MSG(a, Env__Core__GrpcService__EnvoyGrpc, env__core__grpc_service__envoy_grpc);
    g->cluster_name = SLD_MSG_STR(a, cluster);
    if (in->service_type_case == GLOO__OPEN_TELEMETRY_CONFIG__SERVICE_TYPE_GRPC_SERVICE)
        g->authority = in->grpc_service->authority;
    Env__Trace__OpenTelemetryConfig *o =
        SLD_MSG(a, Env__Trace__OpenTelemetryConfig, env__trace__open_telemetry_config);
    o->grpc_service = SLD_MSG(a, Env__Core__GrpcService, env__core__grpc_service);
    o->grpc_service->target_specifier_case = ENV__CORE__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC;
    o->grpc_service->envoy_grpc = g;
    o->service_name = service_name(l, in->service_name);
    o->max_cache_size = in->max_cache_size;
    return &o->base;
}

static Env__Trace__Tracing__Http *provider(struct sld_arena *a, const char *name,
                                           const ProtobufCMessage *config)
{
    Env__Trace__Tracing__Http *h = SLD_MSG(a, Env__Trace__Tracing__Http, env__trace__tracing__http);
    h->name = SLD_MSG_STR(a, sld_str_c(name));
    h->config_type_case = ENV__TRACE__TRACING__HTTP__CONFIG_TYPE_TYPED_CONFIG;
    h->typed_config = sld_msg_any(a, config);
    return h;
}

static void set_provider(struct tr_listener *l, tracing_msg *t, const settings_msg *s)
{
    const ProtobufCMessage *config;
    const char *name;
    switch (s->provider_config_case) {
    case GLOO__LISTENER_TRACING_SETTINGS__PROVIDER_CONFIG_ZIPKIN_CONFIG:
        name = "envoy.tracers.zipkin";
        config = zipkin(l, s->zipkin_config);
        break;
    case GLOO__LISTENER_TRACING_SETTINGS__PROVIDER_CONFIG_DATADOG_CONFIG:
        name = "envoy.tracers.datadog";
        config = datadog(l, s->datadog_config);
        break;
    case GLOO__LISTENER_TRACING_SETTINGS__PROVIDER_CONFIG_OPEN_TELEMETRY_CONFIG:
        name = "envoy.tracers.opentelemetry";
        config = open_telemetry(l, s->open_telemetry_config);
        break;
    default:
        return; // the bootstrap's tracer, if it has one
    }
    t->provider = provider(l->tr->arena, name, config);
}

// ---- Tags ----

static tag_msg *add_tag(struct sld_arena *a, tracing_msg *t, char *name,
                        Env__TypeTracing__CustomTag__TypeCase type)
{
    tag_msg *tag = SLD_MSG(a, tag_msg, env__type_tracing__custom_tag);
    tag->tag = name;
    tag->type_case = type;
    SLD_PUSH(a, t->custom_tags, t->n_custom_tags, tag);
    return tag;
}

static Env__TypeMetadata__MetadataKey *metadata_key(struct sld_arena *a,
                                                    const Gloo__TracingTagMetadata *m)
{
    Env__TypeMetadata__MetadataKey *k =
        SLD_MSG(a, Env__TypeMetadata__MetadataKey, env__type_metadata__metadata_key);
    k->key = m->value->namespace_;
    struct sld_str rest = sld_str_c(m->value->key), part;
    while (next_part(&rest, delimiter(m), &part)) {
        Env__TypeMetadata__MetadataKey__PathSegment *p =
            SLD_MSG(a, Env__TypeMetadata__MetadataKey__PathSegment,
                    env__type_metadata__metadata_key__path_segment);
        p->segment_case = ENV__TYPE_METADATA__METADATA_KEY__PATH_SEGMENT__SEGMENT_KEY;
        p->key = SLD_MSG_STR(a, part);
        SLD_PUSH(a, k->path, k->n_path, p);
    }
    return k;
}

static void add_metadata_tag(struct sld_arena *a, tracing_msg *t, const Gloo__TracingTagMetadata *m)
{
    tag_msg *tag = add_tag(a, t, m->tag, ENV__TYPE_TRACING__CUSTOM_TAG__TYPE_METADATA);
    Env__TypeMetadata__MetadataKind *k =
        SLD_MSG(a, Env__TypeMetadata__MetadataKind, env__type_metadata__metadata_kind);
    if (m->kind == GLOO__TRACING_TAG_METADATA__KIND__ENDPOINT) {
        k->kind_case = ENV__TYPE_METADATA__METADATA_KIND__KIND_HOST;
        k->host = SLD_MSG(a, Env__TypeMetadata__MetadataKind__Host,
                          env__type_metadata__metadata_kind__host);
    } else {
        k->kind_case = ENV__TYPE_METADATA__METADATA_KIND__KIND_REQUEST;
        k->request = SLD_MSG(a, Env__TypeMetadata__MetadataKind__Request,
                             env__type_metadata__metadata_kind__request);
    }
    tag->metadata =
        SLD_MSG(a, Env__TypeTracing__CustomTag__Metadata, env__type_tracing__custom_tag__metadata);
    tag->metadata->kind = k;
    tag->metadata->metadata_key = metadata_key(a, m);
    tag->metadata->default_value = m->default_value;
}

static void add_tags(struct sld_arena *a, tracing_msg *t, const settings_msg *s)
{
    for (size_t i = 0; i < s->n_request_headers_for_tags; i++) {
        char *name = s->request_headers_for_tags[i]->value;
        tag_msg *tag = add_tag(a, t, name, ENV__TYPE_TRACING__CUSTOM_TAG__TYPE_REQUEST_HEADER);
        tag->request_header =
            SLD_MSG(a, Env__TypeTracing__CustomTag__Header, env__type_tracing__custom_tag__header);
        tag->request_header->name = name;
    }
    for (size_t i = 0; i < s->n_environment_variables_for_tags; i++) {
        const Gloo__TracingTagEnvironmentVariable *v = s->environment_variables_for_tags[i];
        tag_msg *tag =
            add_tag(a, t, v->tag->value, ENV__TYPE_TRACING__CUSTOM_TAG__TYPE_ENVIRONMENT);
        tag->environment = SLD_MSG(a, Env__TypeTracing__CustomTag__Environment,
                                   env__type_tracing__custom_tag__environment);
        tag->environment->name = v->name->value;
        if (v->default_value)
            tag->environment->default_value = v->default_value->value;
    }
    for (size_t i = 0; i < s->n_literals_for_tags; i++) {
        const Gloo__TracingTagLiteral *v = s->literals_for_tags[i];
        tag_msg *tag = add_tag(a, t, v->tag->value, ENV__TYPE_TRACING__CUSTOM_TAG__TYPE_LITERAL);
        tag->literal = SLD_MSG(a, Env__TypeTracing__CustomTag__Literal,
                               env__type_tracing__custom_tag__literal);
        tag->literal->value = v->value->value;
    }
    for (size_t i = 0; i < s->n_metadata_for_tags; i++)
        add_metadata_tag(a, t, s->metadata_for_tags[i]);
}

// ---- Shares ----

static double share_of(const Google__Protobuf__FloatValue *v)
{
    // 12.3 as a float is 12.3000001907...
    return v ? round((double)v->value * 1e4) / 1e4 : 100;
}

static Env__Type__Percent *percent(struct sld_arena *a, const Google__Protobuf__FloatValue *v)
{
    Env__Type__Percent *p = SLD_MSG(a, Env__Type__Percent, env__type__percent);
    p->value = share_of(v);
    return p;
}

static void listener(struct tr_listener *l)
{
    const settings_msg *s = settings_of(l->http);
    if (!l->hcm || !s)
        return;
    struct sld_arena *a = l->tr->arena;
    tracing_msg *t = SLD_MSG(
        a, tracing_msg, env__network_http_connection_manager__http_connection_manager__tracing);
    set_provider(l, t, s);
    const Gloo__TracePercentages *p = s->trace_percentages;
    t->client_sampling = percent(a, p ? p->client_sample_percentage : NULL);
    t->random_sampling = percent(a, p ? p->random_sample_percentage : NULL);
    t->overall_sampling = percent(a, p ? p->overall_sample_percentage : NULL);
    t->verbose = s->verbose && s->verbose->value;
    if (s->spawn_upstream_span) {
        t->spawn_upstream_span =
            SLD_MSG(a, Google__Protobuf__BoolValue, google__protobuf__bool_value);
        t->spawn_upstream_span->value = true;
    }
    add_tags(a, t, s);
    l->hcm->tracing = t;
}

// ---- Routes ----

static void route(struct tr_route *r)
{
    const Gloo__RouteTracingSettings *s = r->options ? r->options->tracing : NULL;
    if (!s)
        return;
    struct sld_arena *a = r->tr->arena;
    if (s->route_descriptor[0]) {
        Env__Route__Decorator *d = SLD_MSG(a, Env__Route__Decorator, env__route__decorator);
        d->operation = s->route_descriptor;
        d->propagate = s->propagate;
        r->route->decorator = d;
    }
    // As in Gloo, also where the route says nothing of shares: the listener's do not count then.
    const Gloo__TracePercentages *p = s->trace_percentages;
    Env__Route__Tracing *t = SLD_MSG(a, Env__Route__Tracing, env__route__tracing);
    t->client_sampling = tr_percent(a, (float)share_of(p ? p->client_sample_percentage : NULL));
    t->random_sampling = tr_percent(a, (float)share_of(p ? p->random_sample_percentage : NULL));
    t->overall_sampling = tr_percent(a, (float)share_of(p ? p->overall_sample_percentage : NULL));
    r->route->tracing = t;
}

const struct sld_feature sld_feature_tracing = {
    .name = "tracing",
    .help = "Sends spans of requests to Zipkin, Datadog or an OpenTelemetry collector.",
    .options = {"HttpConnectionManagerSettings.tracing", "RouteOptions.tracing"},
    .check = check,
    .listener = listener,
    .route = route,
};

// Hooks of requests that run in the worker, in translation: which requests go there, and with what configurations. Envoy is
// told no configuration, but what it is called: its hash. What it is goes to the worker.
#include <stdlib.h>

#include "codec/text.h"
#include "plugin/declare.h"
#include "plugin/discover.h"
#include "plugin/uses.h"

#include "envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "envoy/extensions/filters/http/ext_authz/v3/ext_authz.pb-c.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb-c.h"

enum {
    CONF_MAX = 1 << 20, // as of code in Envoy
    PATIENCE_MS = 1000,  // Envoy gives an answer up after the worker does
    CONNECT_MS = 1000,
    REQUESTS_MAX = 10000, // of one Envoy, waiting for the worker
    UNAVAILABLE = 503,
};

// ---- Configurations ----

typedef Google__Protobuf__Value value;

static value *field_of(const value *v, struct sld_str name)
{
    for (size_t i = 0; v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE && i < v->struct_value->n_fields; i++) {
        if (sld_str_eq(sld_str_c(v->struct_value->fields[i]->key), name))
            return v->struct_value->fields[i]->value;
    }
    return NULL;
}

static struct sld_str text_of(const value *v, struct sld_str name)
{
    const value *f = field_of(v, name);
    return f && f->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE ? sld_str_c(f->string_value) : SLD_STR("");
}

static void set_text(struct sld_arena *a, value *v, struct sld_str name, struct sld_str text)
{
    value *f = field_of(v, name);
    if (!f) {
        Google__Protobuf__Struct__FieldsEntry *e =
            SLD_MSG(a, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
        f = e->value = SLD_MSG(a, Google__Protobuf__Value, google__protobuf__value);
        e->key = SLD_MSG_STR(a, name);
        Google__Protobuf__Struct *s = v->struct_value; // a copy: its list has no room
        Google__Protobuf__Struct__FieldsEntry **all = SLD_ARENA_ARRAY(a, Google__Protobuf__Struct__FieldsEntry *, s->n_fields + 1);
        if (s->n_fields)
            memcpy(all, s->fields, s->n_fields * sizeof(*all));
        all[s->n_fields++] = e;
        s->fields = all;
    }
    f->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    f->string_value = SLD_MSG_STR(a, text);
}

// A walk over the references to secrets in a configuration.
struct walk {
    struct tr *tr;
    struct sld_arena *arena;
    struct sld_str ns;  // of references that name none
    bool texts;         // they get their texts; else their namespaces
    struct sld_err err; // why one has none
};

static bool walk(struct walk *w, const struct sld_conf *c, value *v)
{
    struct sld_str text;
    switch (c->type) {
    case SLD_CONF_RECORD:
        for (size_t i = 0; i < c->field_count; i++) {
            value *f = field_of(v, c->fields[i].name);
            if (f && !walk(w, &c->fields[i], f))
                return false;
        }
        return true;
    case SLD_CONF_LIST:
        for (size_t i = 0; v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE && i < v->list_value->n_values; i++) {
            if (!walk(w, c->item, v->list_value->values[i]))
                return false;
        }
        return true;
    case SLD_CONF_MAP:
        for (size_t i = 0; v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE && i < v->struct_value->n_fields; i++) {
            if (!walk(w, c->item, v->struct_value->fields[i]->value))
                return false;
        }
        return true;
    case SLD_CONF_SECRET_REF:
        if (v->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
            return true;
        if (!w->texts) {
            if (!text_of(v, SLD_STR("namespace")).n)
                set_text(w->arena, v, SLD_STR("namespace"), w->ns);
            set_text(w->arena, v, SLD_STR(SLD_CONF_SECRET_TEXT), SLD_STR(""));
            return true;
        }
        if (!pl_secret_of(w->tr, text_of(v, SLD_STR("namespace")), text_of(v, SLD_STR("name")), text_of(v, SLD_STR("key")), &text,
                          &w->err))
            return false;
        set_text(w->arena, v, SLD_STR(SLD_CONF_SECRET_TEXT), text);
        return true;
    default:
        return true;
    }
}

static void conf_free(struct sld_obj *o)
{
    struct sld_request_conf *c = (struct sld_request_conf *)o;
    SLD_UNREF(c->value);
    sld_arena_fini(&c->arena);
    sld_xfree(c);
}

// Its name says nothing of secrets' texts, so that a
// rotation leaves Envoys alone, and nobody guesses.
struct sld_request_conf *pl_request_conf(struct tr *tr, const struct sld_plugin_slot *slot, const struct use *u, struct sld_str ns,
                                         struct sld_err *err)
{
    struct sld_arena own = {0}, *a = &own; // with the texts of secrets, which nothing is to keep
    bool tainted = tr->tainted; // no text goes into the row
    struct walk w = {.tr = tr, .arena = a, .ns = ns};
    value *v = sld_msg_copy(a, &pl_declared_conf(a, slot->declared, &u->conf)->base);
    if (v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND__NOT_SET) {
        v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        v->struct_value = SLD_MSG(a, Google__Protobuf__Struct, google__protobuf__struct);
    }
    walk(&w, &slot->plugin->conf, v);
    struct sld_hash name = sld_hash_mix(sld_hash_bytes(u->name), sld_msg_hash(&v->base));
    w.texts = true;
    bool ok = walk(&w, &slot->plugin->conf, v);
    tr->tainted = tainted;
    if (!ok) {
        *err = w.err;
        sld_arena_fini_secret(a);
        return NULL;
    }
    struct sld_request_conf *c = SLD_NEW(struct sld_request_conf);
    c->id = sld_arena_fmt(&c->arena, "%016llx%016llx", (unsigned long long)name.hi, (unsigned long long)name.lo);
    c->plugin = sld_arena_str(&c->arena, u->name);
    c->value = sld_blob_create_secret(sld_msg_encode(a, &v->base));
    sld_arena_fini_secret(a);
    if (c->value->data.n > CONF_MAX) {
        sld_err_set(err, SLD_LIMIT, "its configuration has %zu bytes; at most %d are taken", c->value->data.n, CONF_MAX);
        sld_obj_init(&c->obj, conf_free, name);
        SLD_UNREF(c);
        return NULL;
    }
    sld_obj_init(&c->obj, conf_free, sld_hash_mix(name, c->value->obj.hash));
    return c;
}

struct sld_request_conf *pl_task_conf(struct tr *tr, const struct sld_plugin_slot *slot, struct sld_str name, struct sld_str ns,
                                      struct sld_err *err)
{
    struct use u = {.name = name};
    google__protobuf__value__init(&u.conf);
    struct sld_request_conf *c = pl_request_conf(tr, slot, &u, ns, err);
    if (c)
        c->id = SLD_ARENA_JOIN(&c->arena, SLD_STR(SLD_TASK_CONF_PREFIX), name);
    return c;
}

// ---- Routes ----

static void add_extension(struct sld_arena *a, Env__HttpExtAuthz__CheckSettings *s, const char *key, struct sld_str text)
{
    Env__HttpExtAuthz__CheckSettings__ContextExtensionsEntry *e =
        SLD_MSG(a, Env__HttpExtAuthz__CheckSettings__ContextExtensionsEntry,
                env__http_ext_authz__check_settings__context_extensions_entry);
    e->key = SLD_MSG_STR(a, sld_str_c(key));
    e->value = SLD_MSG_STR(a, text);
    SLD_PUSH(a, s->context_extensions, s->n_context_extensions, e);
}

static void filter_route(struct tr_route *r, struct sld_str list, size_t body)
{
    struct sld_arena *a = r->tr->arena;
    Env__HttpExtAuthz__ExtAuthzPerRoute *per = SLD_MSG(a, Env__HttpExtAuthz__ExtAuthzPerRoute, env__http_ext_authz__ext_authz_per_route);
    per->override_case = ENV__HTTP_EXT_AUTHZ__EXT_AUTHZ_PER_ROUTE__OVERRIDE_CHECK_SETTINGS;
    per->check_settings = SLD_MSG(a, Env__HttpExtAuthz__CheckSettings, env__http_ext_authz__check_settings);
    if (r->route->name[0])
        add_extension(a, per->check_settings, "route", sld_str_c(r->route->name));
    add_extension(a, per->check_settings, "solder", list);
    if (body) {
        add_extension(a, per->check_settings, "body", SLD_STR("shown"));
        Env__HttpExtAuthz__BufferSettings *b = SLD_MSG(a, Env__HttpExtAuthz__BufferSettings, env__http_ext_authz__buffer_settings);
        b->max_request_bytes = (uint32_t)body;
        b->pack_as_bytes = true;
        per->check_settings->with_request_body = b;
    }
    tr_route_filter(r, SLD_AUTHORIZE_FILTER, &per->base);
}

bool pl_requests_route(struct tr_route *r, const struct uses *u)
{
    struct sld_arena *a = r->tr->arena;
    struct sld_str list = SLD_STR("");
    struct pl_wanted wanted = {.list = SLD_STR("")};
    size_t body = 0;
    for (size_t i = 0; i < u->count; i++) {
        const struct sld_plugin_slot *slot = tr_plugin(r->tr, u->items[i].name);
        struct sld_err err = {0};
        unsigned hooks = slot && slot->plugin ? sld_plugin_worker_hooks(slot->plugin) & SLD_HOOKS_OF_REQUESTS : 0;
        if (!hooks)
            continue;
        struct sld_request_conf *c = pl_request_conf(r->tr, slot, &u->items[i], r->ns, &err);
        if (!c) {
            struct sld_str path = SLD_ARENA_JOIN(a, SLD_STR("options.extensions.configs."), u->items[i].name);
            sld_report_add(r->report, SLD_ERROR, SLD_PLUGIN_FAILED, u->items[i].inherited ? SLD_STR("") : path, "plugin %.*s: %s%s",
                           SLD_FMT(u->items[i].name), err.msg, u->items[i].inherited ? "; it is configured at the virtual host" : "");
            return false;
        }
        struct sld_str id = sld_arena_str(a, c->id);
        tr_confs_add(r->tr, r->vhost->confs, c);
        pl_transforms_want(a, &wanted, slot, id);
        if (!(hooks & (1U << SLD_HOOK_AUTHORIZE)))
            continue;
        list = sld_arena_fmt(a, "%.*s%s%.*s@%.*s", SLD_FMT(list), list.n ? "," : "", SLD_FMT(u->items[i].name), SLD_FMT(id));
        const struct sld_plugin_body *b = &slot->plugin->info.request_body;
        body = b->mode == SLD_BODY_BUFFERED && b->max_bytes > body ? b->max_bytes : body;
    }
    if (list.n)
        filter_route(r, list, body);
    pl_transforms_route(r, &wanted);
    return true;
}

// ---- What all of them need ----

Env__Core__GrpcService *pl_worker_service(struct sld_arena *a, int64_t timeout_ms)
{
    Env__Core__GrpcService *g = SLD_MSG(a, Env__Core__GrpcService, env__core__grpc_service);
    g->target_specifier_case = ENV__CORE__GRPC_SERVICE__TARGET_SPECIFIER_ENVOY_GRPC;
    g->envoy_grpc = SLD_MSG(a, Env__Core__GrpcService__EnvoyGrpc, env__core__grpc_service__envoy_grpc);
    g->envoy_grpc->cluster_name = SLD_MSG_STR(a, SLD_STR(SLD_WORKER_CLUSTER));
    if (timeout_ms)
        g->timeout = sld_msg_duration_ms(a, timeout_ms);
    return g;
}

void pl_requests_listener(struct tr_listener *l)
{
    struct sld_arena *a = l->tr->arena;
    const struct sld_plugin_slot *w = l->hcm ? tr_plugin(l->tr, SLD_PLUGIN_WORKER) : NULL;
    if (!w)
        return;
    if (w->reach == SLD_WORKER_HERE_ALONE && (w->worker_hooks & SLD_HOOKS_OF_REQUESTS))
        sld_report_add(l->report, SLD_WARNING, SLD_WORKER_FAR, SLD_STR(""),
                       "hooks of requests run in the worker, which Envoys of other machines cannot reach: routes with such plugins answer 503 "
                       "there; run Solder with --worker-listen");
    pl_transforms_listener(l, w->worker_hooks, (int64_t)w->request_ms + PATIENCE_MS);
    if (!(w->worker_hooks & (1U << SLD_HOOK_AUTHORIZE)))
        return;
    Env__HttpExtAuthz__ExtAuthz *f = SLD_MSG(a, Env__HttpExtAuthz__ExtAuthz, env__http_ext_authz__ext_authz);
    f->services_case = ENV__HTTP_EXT_AUTHZ__EXT_AUTHZ__SERVICES_GRPC_SERVICE;
    f->grpc_service = pl_worker_service(a, (int64_t)w->request_ms + PATIENCE_MS);
    f->transport_api_version = ENV__CORE__API_VERSION__V3;
    f->status_on_error = SLD_MSG(a, Env__Type__HttpStatus, env__type__http_status);
    f->status_on_error->code = (Env__Type__StatusCode)UNAVAILABLE;
    f->stat_prefix = SLD_MSG_STR(a, SLD_STR("solder"));
    f->include_peer_certificate = f->include_tls_session = true;
    f->encode_raw_headers = true;
    tr_filter_add(l, SLD_STAGE_AUTHZ, SLD_DURING, SLD_AUTHORIZE_FILTER, &f->base, true);
    tr_clusters_add(l->tr, l->clusters, SLD_STR(SLD_WORKER_CLUSTER));
}

// The host of "HOST:PORT", without brackets; *PORT.
static struct sld_str host_of(struct sld_str s, uint64_t *port)
{
    size_t n = s.n;
    while (n && s.p[n - 1] != ':')
        n--;
    *port = 0;
    sld_str_u64(sld_str_sub(s, n, s.n), port);
    struct sld_str host = sld_str_sub(s, 0, n ? n - 1 : 0);
    return sld_str_starts(host, SLD_STR("[")) ? sld_str_sub(host, 1, host.n - 2) : host;
}

static Env__Core__Address *address_of(struct sld_arena *a, struct sld_str s)
{
    uint64_t port;
    if (sld_str_starts(s, SLD_STR("unix:"))) {
        Env__Core__Address *at = SLD_MSG(a, Env__Core__Address, env__core__address);
        at->address_case = ENV__CORE__ADDRESS__ADDRESS_PIPE;
        at->pipe = SLD_MSG(a, Env__Core__Pipe, env__core__pipe);
        at->pipe->path = SLD_MSG_STR(a, sld_str_sub(s, 5, s.n));
        return at;
    }
    struct sld_str host = host_of(s, &port);
    return tr_address(a, host, (uint32_t)port);
}

static void add_endpoint(struct sld_arena *a, Env__Endpoint__LocalityLbEndpoints *to, struct sld_str address)
{
    Env__Endpoint__LbEndpoint *lb = SLD_MSG(a, Env__Endpoint__LbEndpoint, env__endpoint__lb_endpoint);
    lb->host_identifier_case = ENV__ENDPOINT__LB_ENDPOINT__HOST_IDENTIFIER_ENDPOINT;
    lb->endpoint = SLD_MSG(a, Env__Endpoint__Endpoint, env__endpoint__endpoint);
    lb->endpoint->address = address_of(a, address);
    SLD_PUSH(a, to->lb_endpoints, to->n_lb_endpoints, lb);
}

static Env__TransportSocketsTls__SdsSecretConfig *own_secret(struct sld_arena *a, const char *name)
{
    Env__TransportSocketsTls__SdsSecretConfig *s = SLD_MSG(a, Env__TransportSocketsTls__SdsSecretConfig, env__transport_sockets_tls__sds_secret_config);
    s->name = SLD_MSG_STR(a, sld_str_c(name));
    return s; // without a place to get it from: it is in the bootstrap
}

// Of TLS: the certificate is one of authorities in the bootstrap, for HOST.
static Env__TransportSocketsTls__CommonTlsContext__CombinedCertificateValidationContext *validation(struct sld_arena *a, struct sld_str host)
{
    typedef Env__TransportSocketsTls__SubjectAltNameMatcher matcher;
    typedef Env__TransportSocketsTls__CertificateValidationContext context;
    typedef Env__TransportSocketsTls__CommonTlsContext__CombinedCertificateValidationContext combined;
    matcher *m = SLD_MSG(a, matcher, env__transport_sockets_tls__subject_alt_name_matcher);
    context *c = SLD_MSG(a, context, env__transport_sockets_tls__certificate_validation_context);
    combined *both = SLD_MSG(a, combined, env__transport_sockets_tls__common_tls_context__combined_certificate_validation_context);
    m->san_type = sld_is_ip(host, NULL) ? ENV__TRANSPORT_SOCKETS_TLS__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__IP_ADDRESS
                                        : ENV__TRANSPORT_SOCKETS_TLS__SUBJECT_ALT_NAME_MATCHER__SAN_TYPE__DNS;
    m->matcher = SLD_MSG(a, Env__TypeMatcher__StringMatcher, env__type_matcher__string_matcher);
    m->matcher->match_pattern_case = ENV__TYPE_MATCHER__STRING_MATCHER__MATCH_PATTERN_EXACT;
    m->matcher->exact = SLD_MSG_STR(a, host);
    SLD_PUSH(a, c->match_typed_subject_alt_names, c->n_match_typed_subject_alt_names, m);
    both->default_validation_context = c;
    both->validation_context_sds_secret_config = own_secret(a, SLD_ENVOY_CA);
    return both;
}

// TLS to HOST, with what the Envoy's bootstrap has for xDS.
static Env__Core__TransportSocket *tls_to(struct sld_arena *a, struct sld_str host)
{
    typedef Env__TransportSocketsTls__UpstreamTlsContext upstream;
    typedef Env__TransportSocketsTls__CommonTlsContext common;
    Env__Core__TransportSocket *t = SLD_MSG(a, Env__Core__TransportSocket, env__core__transport_socket);
    upstream *u = SLD_MSG(a, upstream, env__transport_sockets_tls__upstream_tls_context);
    common *c = SLD_MSG(a, common, env__transport_sockets_tls__common_tls_context);
    u->common_tls_context = c;
    if (!sld_is_ip(host, NULL))
        u->sni = SLD_MSG_STR(a, host);
    c->tls_params = SLD_MSG(a, Env__TransportSocketsTls__TlsParameters, env__transport_sockets_tls__tls_parameters);
    c->tls_params->tls_minimum_protocol_version = ENV__TRANSPORT_SOCKETS_TLS__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_2;
    c->tls_params->tls_maximum_protocol_version = ENV__TRANSPORT_SOCKETS_TLS__TLS_PARAMETERS__TLS_PROTOCOL__TLSv1_3;
    SLD_PUSH(a, c->alpn_protocols, c->n_alpn_protocols, SLD_MSG_STR(a, SLD_STR("h2")));
    SLD_PUSH(a, c->tls_certificate_sds_secret_configs, c->n_tls_certificate_sds_secret_configs, own_secret(a, SLD_ENVOY_CLIENT));
    c->validation_context_type_case = ENV__TRANSPORT_SOCKETS_TLS__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_COMBINED_VALIDATION_CONTEXT;
    c->combined_validation_context = validation(a, host);
    t->name = SLD_MSG_STR(a, SLD_STR("envoy.transport_sockets.tls"));
    t->config_type_case = ENV__CORE__TRANSPORT_SOCKET__CONFIG_TYPE_TYPED_CONFIG;
    t->typed_config = sld_msg_any(a, &u->base);
    return t;
}

void pl_requests_fixed(struct tr *tr)
{
    struct sld_arena *a = tr->arena;
    const struct sld_plugin_slot *w = tr_plugin(tr, SLD_PLUGIN_WORKER);
    if (!w)
        return;
    Env__Cluster__Cluster *c = SLD_MSG(a, Env__Cluster__Cluster, env__cluster__cluster);
    Env__Endpoint__LocalityLbEndpoints *all = SLD_MSG(a, Env__Endpoint__LocalityLbEndpoints, env__endpoint__locality_lb_endpoints);
    c->name = SLD_MSG_STR(a, SLD_STR(SLD_WORKER_CLUSTER));
    c->connect_timeout = sld_msg_duration_ms(a, CONNECT_MS);
    c->cluster_discovery_type_case = ENV__CLUSTER__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE;
    c->type = ENV__CLUSTER__CLUSTER__DISCOVERY_TYPE__STATIC;
    c->load_assignment = SLD_MSG(a, Env__Endpoint__ClusterLoadAssignment, env__endpoint__cluster_load_assignment);
    c->load_assignment->cluster_name = c->name;
    SLD_PUSH(a, c->load_assignment->endpoints, c->load_assignment->n_endpoints, all);
    for (size_t i = 0; i < w->address_count; i++)
        add_endpoint(a, all, w->addresses[i]);
    if (w->reach == SLD_WORKER_TLS && w->address_count) {
        uint64_t port;
        struct sld_str host = host_of(w->addresses[0], &port); // one for all
        c->type = sld_is_ip(host, NULL) ? c->type : ENV__CLUSTER__CLUSTER__DISCOVERY_TYPE__STRICT_DNS;
        c->transport_socket = tls_to(a, host);
    }
    Env__Cluster__CircuitBreakers__Thresholds *t =
        SLD_MSG(a, Env__Cluster__CircuitBreakers__Thresholds, env__cluster__circuit_breakers__thresholds);
    t->max_requests = t->max_pending_requests = sld_msg_u32(a, REQUESTS_MAX);
    c->circuit_breakers = SLD_MSG(a, Env__Cluster__CircuitBreakers, env__cluster__circuit_breakers);
    SLD_PUSH(a, c->circuit_breakers->thresholds, c->circuit_breakers->n_thresholds, t);
    Env__UpstreamsHttp__HttpProtocolOptions *o =
        SLD_MSG(a, Env__UpstreamsHttp__HttpProtocolOptions, env__upstreams_http__http_protocol_options);
    o->upstream_protocol_options_case = ENV__UPSTREAMS_HTTP__HTTP_PROTOCOL_OPTIONS__UPSTREAM_PROTOCOL_OPTIONS_EXPLICIT_HTTP_CONFIG;
    o->explicit_http_config =
        SLD_MSG(a, Env__UpstreamsHttp__HttpProtocolOptions__ExplicitHttpConfig,
                env__upstreams_http__http_protocol_options__explicit_http_config);
    o->explicit_http_config->protocol_config_case =
        ENV__UPSTREAMS_HTTP__HTTP_PROTOCOL_OPTIONS__EXPLICIT_HTTP_CONFIG__PROTOCOL_CONFIG_HTTP2_PROTOCOL_OPTIONS;
    o->explicit_http_config->http2_protocol_options = SLD_MSG(a, Env__Core__Http2ProtocolOptions, env__core__http2_protocol_options);
    Env__Cluster__Cluster__TypedExtensionProtocolOptionsEntry *e =
        SLD_MSG(a, Env__Cluster__Cluster__TypedExtensionProtocolOptionsEntry,
                env__cluster__cluster__typed_extension_protocol_options_entry);
    e->key = SLD_MSG_STR(a, SLD_STR("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"));
    e->value = sld_msg_any(a, &o->base);
    SLD_PUSH(a, c->typed_extension_protocol_options, c->n_typed_extension_protocol_options, e);
    tr_fixed_cluster(tr, c);
}

// Upstreams: what Envoy would refuse, or what could never work, beyond the constraints of single
// fields.
#include "translate/cluster.h"
#include "translate/option.h"
#include "translate/validate.h"

static void error(struct sld_report *r, enum sld_code code, const char *path, const char *text)
{
    sld_report_add(r, SLD_ERROR, code, sld_str_c(path), "%s", text);
}

// ---- Hosts ----

static void check_weights(const Gloo__StaticUpstream *s, struct sld_report *r)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->n_hosts; i++)
        sum += s->hosts[i]->load_balancing_weight ? s->hosts[i]->load_balancing_weight->value : 1;
    if (sum > UINT32_MAX)
        error(r, SLD_US_HOST, "static.hosts",
              "the weights of all hosts add up to more than 4294967295; make them smaller");
}

static void check_subsets(const Gloo__SubsetSpec *s, struct sld_report *r)
{
    for (size_t i = 0; i < s->n_selectors; i++) {
        if (s->selectors[i]->single_host_per_subset && s->selectors[i]->n_keys > 1)
            sld_report_add(
                r, SLD_ERROR, SLD_US_SETTING,
                sld_arena_fmt(r->arena, "static.subsetSpec.selectors[%zu].singleHostPerSubset", i),
                "a group of one host is found by one key alone; give the selector one key, or "
                "remove "
                "singleHostPerSubset");
    }
}

// Hosts may come and go where they are discovered.
static void check_count(const Gloo__Upstream *u, struct sld_report *r)
{
    if (!u->static_->n_hosts && !sld_metadata_label(u->metadata, SLD_STR("discovered_by")).p)
        error(r, SLD_FIELD_RANGE, "static.hosts", "needs at least 1 elements, has 0");
}

static void check_static(const Gloo__Upstream *u, struct sld_report *r)
{
    check_count(u, r);
    check_weights(u->static_, r);
    if (u->static_->subset_spec)
        check_subsets(u->static_->subset_spec, r);
}

static void check_pipe(const Gloo__PipeUpstream *p, struct sld_report *r)
{
    enum { PATH_MAX_BYTES = 107 }; // the kernel's limit
    if (strlen(p->path) > PATH_MAX_BYTES)
        error(r, SLD_US_HOST, "pipe.path",
              "the path of a unix socket has at most 107 bytes; use a shorter one");
}

// ---- Health ----

static bool maybe_http2(const Gloo__Upstream *u)
{
    return (u->use_http2 && u->use_http2->value) ||
           u->protocol_selection ==
               GLOO__UPSTREAM__CLUSTER_PROTOCOL_SELECTION__USE_DOWNSTREAM_PROTOCOL;
}

static void check_http_checker(const Gloo__HealthCheck__HttpHealthCheck *h, struct sld_report *r)
{
    enum { STATUS_MIN = 100, STATUS_END = 600 };
    struct sld_str was = sld_report_enter(r, "httpHealthCheck", -1);
    for (size_t i = 0; i < h->n_expected_statuses; i++) {
        const Gloo__Int64Range *s = h->expected_statuses[i];
        if (s->start < STATUS_MIN || s->end > STATUS_END || s->start >= s->end)
            sld_report_add(r, SLD_ERROR, SLD_US_HEALTH_CHECK,
                           sld_arena_fmt(r->arena, "expectedStatuses[%zu]", i),
                           "the range is not valid; start is at least 100, end (which is excluded) "
                           "is above start and at most 600");
    }
    tr_check_request_headers(r, "requestHeadersToAdd", h->request_headers_to_add,
                             h->n_request_headers_to_add);
    tr_check_header_names(r, "requestHeadersToRemove", h->request_headers_to_remove,
                          h->n_request_headers_to_remove);
    sld_report_leave(r, was);
}

static void check_health_check(const Gloo__Upstream *u, const Gloo__HealthCheck *h,
                               struct sld_report *r)
{
    switch (h->health_checker_case) {
    case GLOO__HEALTH_CHECK__HEALTH_CHECKER_HTTP_HEALTH_CHECK:
        check_http_checker(h->http_health_check, r);
        break;
    case GLOO__HEALTH_CHECK__HEALTH_CHECKER_GRPC_HEALTH_CHECK:
        if (!maybe_http2(u))
            error(r, SLD_US_HEALTH_CHECK, "grpcHealthCheck",
                  "gRPC needs HTTP/2; set useHttp2: true of the upstream");
        tr_check_request_headers(r, "grpcHealthCheck.initialMetadata",
                                 h->grpc_health_check->initial_metadata,
                                 h->grpc_health_check->n_initial_metadata);
        break;
    case GLOO__HEALTH_CHECK__HEALTH_CHECKER_CUSTOM_HEALTH_CHECK:
        if (!tr_custom_check_known(r->arena, h->custom_health_check))
            error(r, SLD_US_HEALTH_CHECK, "customHealthCheck",
                  "the type of the configuration is not known; set typedConfig with its type URL "
                  "as \"@type\"");
        break;
    default:
        break;
    }
}

static void check_health(const Gloo__Upstream *u, struct sld_report *r)
{
    enum { CHECKS_MAX = 8 }; // Envoy's limit
    if (u->n_health_checks > CHECKS_MAX)
        error(r, SLD_US_HEALTH_CHECK, "healthChecks",
              "there are more than 8 health checks; Envoy allows no more");
    for (size_t i = 0; i < u->n_health_checks; i++) {
        struct sld_str was = sld_report_enter(r, "healthChecks", (long)i);
        check_health_check(u, u->health_checks[i], r);
        sld_report_leave(r, was);
    }
}

// ---- Load balancing and connections ----

static void check_load_balancer(const Gloo__LoadBalancerConfig *lb, struct sld_report *r)
{
    enum { RING_MIN = 1024, RING_MAX = 8388608 }; // Envoy's defaults
    if (lb->type_case != GLOO__LOAD_BALANCER_CONFIG__TYPE_RING_HASH ||
        !lb->ring_hash->ring_hash_config)
        return;
    const Gloo__LoadBalancerConfig__RingHashConfig *c = lb->ring_hash->ring_hash_config;
    uint64_t min = c->minimum_ring_size ? c->minimum_ring_size : RING_MIN;
    uint64_t max = c->maximum_ring_size ? c->maximum_ring_size : RING_MAX;
    if (min > max)
        sld_report_add(r, SLD_ERROR, SLD_US_SETTING,
                       SLD_STR("loadBalancerConfig.ringHash.ringHashConfig"),
                       "the least size of the ring (%llu%s) is above the most (%llu); set "
                       "minimumRingSize to at most that",
                       (unsigned long long)min, c->minimum_ring_size ? "" : ", the default",
                       (unsigned long long)max);
}

static void check_connections(const Gloo__Upstream *u, struct sld_report *r)
{
    const Gloo__ConnectionConfig *c = u->connection_config;
    bool two = u->use_http2 && u->use_http2->value;
    bool clients = u->protocol_selection ==
                   GLOO__UPSTREAM__CLUSTER_PROTOCOL_SELECTION__USE_DOWNSTREAM_PROTOCOL;
    if (c && c->http1_protocol_options && two && !clients)
        error(r, SLD_US_SETTING, "connectionConfig.http1ProtocolOptions",
              "options of HTTP/1 have no place where useHttp2 is true; remove one of the two");
}

static void check_features(const struct sld_translate *t, const Gloo__Upstream *u,
                           struct sld_report *r)
{
    struct sld_feature_check c = {.t = t, .report = r, .upstream = u};
    for (size_t i = 0; i < t->opt.feature_count; i++) {
        if (t->opt.features[i]->check)
            t->opt.features[i]->check(&c);
    }
}

void tr_validate_upstream(const struct sld_translate *t, const Gloo__Upstream *u,
                          struct sld_report *r)
{
    if (u->upstream_type_case == GLOO__UPSTREAM__UPSTREAM_TYPE_STATIC)
        check_static(u, r);
    if (u->upstream_type_case == GLOO__UPSTREAM__UPSTREAM_TYPE_PIPE)
        check_pipe(u->pipe, r);
    check_health(u, r);
    if (u->load_balancer_config)
        check_load_balancer(u->load_balancer_config, r);
    check_connections(u, r);
    if (u->ssl_config) {
        struct sld_str was = sld_report_enter(r, "sslConfig", -1);
        tr_validate_upstream_ssl(u->ssl_config, r);
        sld_report_leave(r, was);
    }
    check_features(t, u, r);
}

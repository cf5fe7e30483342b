// What is checked of gateways alone. What the schema says of single fields is checked when a
// document is decoded.
#include "translate/option.h"
#include "translate/validate.h"

// ---- Options ----

static void check_options(const struct sld_translate *t, const struct sld_feature_check *c,
                          const char *field)
{
    struct sld_str before = sld_report_enter(c->report, field, -1);
    for (size_t i = 0; i < t->opt.feature_count; i++) {
        if (t->opt.features[i]->check)
            t->opt.features[i]->check(c);
    }
    sld_report_leave(c->report, before);
}

// ---- HTTP ----

static void check_http(const struct sld_translate *t, const Gloo__HttpGateway *g,
                       struct sld_report *r)
{
    struct sld_str before = sld_report_enter(r, "httpGateway", -1);
    struct sld_str at = r->prefix;
    if (g->virtual_service_expressions) {
        sld_report_enter(r, "virtualServiceExpressions.expressions", -1);
        sld_expressions_check(r, g->virtual_service_expressions->expressions,
                              g->virtual_service_expressions->n_expressions);
        sld_report_leave(r, at);
    }
    if (g->options)
        check_options(t, &(struct sld_feature_check){.t = t, .report = r, .http_listener = g->options},
                      "options");
    sld_report_leave(r, before);
}

// ---- TCP ----

// The server names of all hosts: each leads to one host.
struct names {
    struct sld_report *r;
    const Gloo__TcpGateway *gateway;
    struct sld_map owner; // server name, "" for all -> element of tcp_hosts
};

static void claim(struct names *n, const char *name, size_t host, const char *path)
{
    char *low = sld_arena_cstr(n->r->arena, sld_str_c(name));
    for (char *p = low; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
    Gloo__TcpHost **me = &n->gateway->tcp_hosts[host];
    Gloo__TcpHost **other = sld_map_get(&n->owner, sld_str_c(low));
    if (!other) {
        sld_map_set(&n->owner, sld_str_c(low), me);
        return;
    }
    if (other == me)
        return;
    sld_report_add(n->r, SLD_ERROR, SLD_GW_SNI_CONFLICT,
                   sld_arena_fmt(n->r->arena, "tcpHosts[%zu]%s", host, path),
                   "Listener Error: SSLConfigError. Reason: tcpHosts[%td] has %s%s already; give "
                   "each host its own sniDomains",
                   other - n->gateway->tcp_hosts, *low ? "server name " : "every connection", low);
}

static void claim_names(struct names *n, size_t host)
{
    const Gloo__SslConfig *c = n->gateway->tcp_hosts[host]->ssl_config;
    if (!c || !c->n_sni_domains) {
        claim(n, "", host, "");
        return;
    }
    for (size_t i = 0; i < c->n_sni_domains; i++) {
        bool all = !strcmp(c->sni_domains[i], "*");
        claim(n, all ? "" : c->sni_domains[i], host,
              sld_arena_fmt(n->r->arena, ".sslConfig.sniDomains[%zu]", i).p);
    }
}

static void check_weights(const Gloo__MultiDestination *m, struct sld_report *r)
{
    uint64_t total = 0;
    for (size_t i = 0; i < m->n_destinations; i++)
        total += m->destinations[i]->weight ? m->destinations[i]->weight->value : 0;
    if (m->n_destinations && !total)
        sld_report_add(r, SLD_ERROR, SLD_ROUTE_WEIGHT, SLD_STR("destination.multi.destinations"),
                       "TcpHost Error: ProcessingError. Reason: the weights add up to nothing; "
                       "give at least one destination a weight of 1 or more");
    if (total > UINT32_MAX)
        sld_report_add(r, SLD_ERROR, SLD_ROUTE_WEIGHT, SLD_STR("destination.multi.destinations"),
                       "the weights add up to more than 4294967295, which Envoy does not take; "
                       "make them smaller");
}

static void check_host(const Gloo__TcpHost *h, struct sld_report *r)
{
    if (h->ssl_config) {
        struct sld_str before = sld_report_enter(r, "sslConfig", -1);
        tr_validate_ssl(h->ssl_config, r);
        sld_report_leave(r, before);
    }
    if (h->destination &&
        h->destination->destination_case == GLOO__TCP_HOST__TCP_ACTION__DESTINATION_MULTI)
        check_weights(h->destination->multi, r);
}

static void check_host_name(struct sld_map *seen, const char *name, size_t i, struct sld_report *r)
{
    static char there[] = "";
    if (*name && sld_map_set(seen, sld_str_c(name), there))
        sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID,
                       sld_arena_fmt(r->arena, "tcpHosts[%zu].name", i),
                       "TcpHost Error: NameNotUniqueError. Reason: host %s stands twice; give each "
                       "its own name",
                       name);
}

static void check_tcp(const Gloo__TcpGateway *g, struct sld_report *r)
{
    struct sld_str before = sld_report_enter(r, "tcpGateway", -1);
    struct sld_str at = r->prefix;
    struct sld_map seen = {0};
    struct names names = {.r = r, .gateway = g};
    for (size_t i = 0; i < g->n_tcp_hosts; i++) {
        check_host_name(&seen, g->tcp_hosts[i]->name, i, r);
        claim_names(&names, i);
        sld_report_enter(r, "tcpHosts", (long)i);
        check_host(g->tcp_hosts[i], r);
        sld_report_leave(r, at);
    }
    sld_map_fini(&seen);
    sld_map_fini(&names.owner);
    sld_report_leave(r, before);
}

// Asks, as isolateVirtualHostsBySslConfig of Settings does, for what is not built.
#define ISOLATE "gateway.solo.io/isolate_vhost"

static void check_annotations(const Gloo__Gateway *g, struct sld_report *r)
{
    if (sld_str_eq(sld_metadata_annotation(g->metadata, SLD_STR(ISOLATE)), SLD_STR("true")))
        sld_report_add(r, SLD_WARNING, SLD_FIELD_NOT_BUILT,
                       SLD_STR("metadata.annotations[\"" ISOLATE "\"]"),
                       "this annotation is understood but has no effect yet: all virtual services "
                       "of the gateway share one route table");
}

void tr_validate_gateway(const struct sld_translate *t, const Gloo__Gateway *g,
                         struct sld_report *r)
{
    check_annotations(g, r);
    if (g->options)
        check_options(t, &(struct sld_feature_check){.t = t, .report = r, .listener = g->options},
                      "options");
    if (g->gateway_type_case == GLOO__GATEWAY__GATEWAY_TYPE_HTTP_GATEWAY)
        check_http(t, g->http_gateway, r);
    else if (g->gateway_type_case == GLOO__GATEWAY__GATEWAY_TYPE_TCP_GATEWAY)
        check_tcp(g->tcp_gateway, r);
}

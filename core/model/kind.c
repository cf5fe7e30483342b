// The table of kinds.
#include "model/model.h"

#include "gateway.pb-c.h"
#include "plugin.pb-c.h"
#include "proxy.pb-c.h"
#include "secret.pb-c.h"
#include "settings.pb-c.h"
#include "upstream.pb-c.h"
#include "virtual_service.pb-c.h"

#define GATEWAY "gateway.solo.io", "v1"
#define GLOO "gloo.solo.io", "v1"
#define SOLDER "solder.dev", "v1"
#define SHORT(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static const struct sld_kind_info kinds[SLD_KIND_COUNT] = {
    {SLD_KIND_ARTIFACT, "Artifact", GLOO, "artifacts", SHORT("art"), &gloo__artifact__descriptor},
    {SLD_KIND_GATEWAY, "Gateway", GATEWAY, "gateways", SHORT("gw", "ggw"),
     &gloo__gateway__descriptor},
    {SLD_KIND_HTTP_LISTENER_OPTION, "HttpListenerOption", GATEWAY, "httplisteneroptions",
     SHORT("hlisopts", "ghlisopts"), &gloo__http_listener_option__descriptor},
    {SLD_KIND_LISTENER_OPTION, "ListenerOption", GATEWAY, "listeneroptions",
     SHORT("lisopts", "glisopts"), &gloo__listener_option__descriptor},
    {SLD_KIND_MATCHABLE_HTTP_GATEWAY, "MatchableHttpGateway", GATEWAY, "httpgateways",
     SHORT("hgw", "ghgw"), &gloo__matchable_http_gateway__descriptor},
    {SLD_KIND_MATCHABLE_TCP_GATEWAY, "MatchableTcpGateway", GATEWAY, "tcpgateways",
     SHORT("tgw", "gtgw"), &gloo__matchable_tcp_gateway__descriptor},
    {SLD_KIND_PLUGIN, "Plugin", SOLDER, "plugins", SHORT("plug"), &gloo__plugin__descriptor},
    {SLD_KIND_PROXY, "Proxy", GLOO, "proxies", SHORT("px", "gpx"), &gloo__proxy__descriptor},
    {SLD_KIND_ROUTE_OPTION, "RouteOption", GATEWAY, "routeoptions", SHORT("rto", "rtopts", "grto"),
     &gloo__route_option__descriptor},
    {SLD_KIND_ROUTE_TABLE, "RouteTable", GATEWAY, "routetables", SHORT("rt", "grt"),
     &gloo__route_table__descriptor},
    {SLD_KIND_SECRET, "Secret", GLOO, "secrets", SHORT("sec"), &gloo__secret__descriptor},
    {SLD_KIND_SETTINGS, "Settings", GLOO, "settings", SHORT("st", "gst"),
     &gloo__settings__descriptor},
    {SLD_KIND_UPSTREAM, "Upstream", GLOO, "upstreams", SHORT("us", "gus"),
     &gloo__upstream__descriptor},
    {SLD_KIND_UPSTREAM_GROUP, "UpstreamGroup", GLOO, "upstreamgroups", SHORT("ug", "gug"),
     &gloo__upstream_group__descriptor},
    {SLD_KIND_VIRTUAL_HOST_OPTION, "VirtualHostOption", GATEWAY, "virtualhostoptions",
     SHORT("vho", "vhopts", "gvho"), &gloo__virtual_host_option__descriptor},
    {SLD_KIND_VIRTUAL_SERVICE, "VirtualService", GATEWAY, "virtualservices", SHORT("vs", "gvs"),
     &gloo__virtual_service__descriptor},
};

const struct sld_kind_info *sld_kind_info(enum sld_kind k)
{
    SLD_PRE((unsigned)k < SLD_KIND_COUNT);
    SLD_INV(kinds[k].kind == k);
    return &kinds[k];
}

static bool has_short_name(const struct sld_kind_info *k, struct sld_str word)
{
    for (const char *const *s = k->short_names; *s; s++) {
        if (sld_str_ieq(word, sld_str_c(*s)))
            return true;
    }
    return false;
}

const struct sld_kind_info *sld_kind_find(struct sld_str word)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(kinds); i++) {
        const struct sld_kind_info *k = &kinds[i];
        if (sld_str_ieq(word, sld_str_c(k->name)) || sld_str_ieq(word, sld_str_c(k->plural)) ||
            has_short_name(k, word))
            return k;
    }
    return NULL;
}

const struct sld_kind_info *sld_kind_by_plural(struct sld_str plural)
{
    // Asked for each row of each object: no length is taken of what begins otherwise.
    for (size_t i = 0; plural.n && i < SLD_ARRAY_LEN(kinds); i++) {
        const char *p = kinds[i].plural;
        if (p[0] == plural.p[0] && strncmp(p, plural.p, plural.n) == 0 &&
            strlen(p) == plural.n)
            return &kinds[i];
    }
    return NULL;
}

const struct sld_kind_info *sld_kind_nearest(struct sld_str word)
{
    const struct sld_kind_info *found = NULL;
    size_t best = word.n / 3 < 3 ? word.n / 3 : 3;
    for (size_t i = 0; i < SLD_ARRAY_LEN(kinds); i++) {
        size_t d = sld_str_distance(word, sld_str_c(kinds[i].name), best);
        if (d < best || (d == best && !found)) {
            best = d;
            found = &kinds[i];
        }
    }
    return found;
}

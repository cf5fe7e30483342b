// grpcWeb: gRPC for browsers; on unless a gateway or Settings switch it off.
#include "translate/option.h"

#include "envoy/extensions/filters/http/grpc_web/v3/grpc_web.pb-c.h"

static bool off(struct tr_listener *l)
{
    if (l->http && l->http->grpc_web)
        return l->http->grpc_web->disable;
    const Gloo__GlooOptions *g = tr_settings(l->tr)->gloo;
    return g && ((g->disable_grpc_web && g->disable_grpc_web->value) ||
                 (g->remove_unused_filters && g->remove_unused_filters->value));
}

static void listener(struct tr_listener *l)
{
    if (!l->hcm || off(l))
        return;
    Env__HttpGrpcWeb__GrpcWeb *f =
        SLD_MSG(l->tr->arena, Env__HttpGrpcWeb__GrpcWeb, env__http_grpc_web__grpc_web);
    tr_filter_add(l, SLD_STAGE_AUTHZ, SLD_AFTER, "envoy.filters.http.grpc_web", &f->base, false);
}

const struct sld_feature sld_feature_grpc_web = {
    .name = "grpcWeb",
    .help = "Translates gRPC-Web of browsers to gRPC; on unless switched off.",
    .options = {"HttpListenerOptions.grpcWeb"},
    .listener = listener,
};

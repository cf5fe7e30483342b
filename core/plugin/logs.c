// The hook log, in translation: Envoys send what they log of a listener's requests to the worker, for the plugins that are
// configured there. What is for whom stands in the log's name.
#include "plugin/declare.h"
#include "plugin/uses.h"

#include "envoy/extensions/access_loggers/grpc/v3/als.pb-c.h"

enum { FLUSH_MS = 1000, BUFFER_BYTES = 64 << 10 };

static void add_names(struct sld_arena *a, char ***to, size_t *n, const struct sld_plugin_names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        bool there = false;
        for (size_t k = 0; k < *n; k++)
            there |= sld_str_eq(sld_str_c((*to)[k]), names->items[i]);
        if (!there)
            SLD_PUSH(a, *to, *n, SLD_MSG_STR(a, names->items[i]));
    }
}

static void add_log(struct tr_listener *l, Env__AccessLoggersGrpc__HttpGrpcAccessLogConfig *g, struct sld_str list)
{
    struct sld_arena *a = l->tr->arena;
    size_t n = l->hcm->n_access_log;
    g->common_config = SLD_MSG(a, Env__AccessLoggersGrpc__CommonGrpcAccessLogConfig, env__access_loggers_grpc__common_grpc_access_log_config);
    g->common_config->log_name = SLD_MSG_STR(a, list);
    g->common_config->grpc_service = pl_worker_service(a, 0);
    g->common_config->transport_api_version = ENV__CORE__API_VERSION__V3;
    g->common_config->buffer_flush_interval = sld_msg_duration_ms(a, FLUSH_MS);
    g->common_config->buffer_size_bytes = sld_msg_u32(a, BUFFER_BYTES);
    Env__Accesslog__AccessLog *log = SLD_MSG(a, Env__Accesslog__AccessLog, env__accesslog__access_log);
    log->name = SLD_MSG_STR(a, SLD_STR("solder.log"));
    log->config_type_case = ENV__ACCESSLOG__ACCESS_LOG__CONFIG_TYPE_TYPED_CONFIG;
    log->typed_config = sld_msg_any(a, &g->base);
    Env__Accesslog__AccessLog **all = SLD_ARENA_ARRAY(a, Env__Accesslog__AccessLog *, n + 1); // who made the list left no room
    if (n)
        memcpy(all, l->hcm->access_log, n * sizeof(*all));
    all[n] = log;
    l->hcm->access_log = all;
    l->hcm->n_access_log = n + 1;
    tr_clusters_add(l->tr, l->clusters, SLD_STR(SLD_WORKER_CLUSTER));
}

void pl_logs_listener(struct tr_listener *l, const struct uses *u, struct sld_str ns)
{
    struct sld_arena *a = l->tr->arena;
    struct sld_str list = SLD_STR("");
    Env__AccessLoggersGrpc__HttpGrpcAccessLogConfig *g =
        SLD_MSG(a, Env__AccessLoggersGrpc__HttpGrpcAccessLogConfig, env__access_loggers_grpc__http_grpc_access_log_config);
    for (size_t i = 0; l->hcm && i < u->count; i++) {
        const struct sld_plugin_slot *slot = tr_plugin(l->tr, u->items[i].name);
        struct sld_err err = {0};
        if (!slot || !slot->plugin || !(sld_plugin_worker_hooks(slot->plugin) & (1U << SLD_HOOK_LOG)))
            continue;
        struct sld_request_conf *c = pl_request_conf(l->tr, slot, &u->items[i], ns, &err);
        if (!c) {
            sld_report_add(l->report, SLD_ERROR, SLD_PLUGIN_FAILED,
                           SLD_ARENA_JOIN(a, SLD_STR("options.extensions.configs."), u->items[i].name), "plugin %.*s: %s",
                           SLD_FMT(u->items[i].name), err.msg);
            continue;
        }
        list = sld_arena_fmt(a, "%.*s%s%.*s@%.*s", SLD_FMT(list), list.n ? "," : "", SLD_FMT(u->items[i].name), SLD_FMT(c->id));
        tr_confs_add(l->tr, l->confs, c);
        add_names(a, &g->additional_request_headers_to_log, &g->n_additional_request_headers_to_log, &slot->plugin->info.log_request_headers);
        add_names(a, &g->additional_response_headers_to_log, &g->n_additional_response_headers_to_log,
                  &slot->plugin->info.log_response_headers);
    }
    if (!list.n)
        return;
    add_log(l, g, list);
    const struct sld_plugin_slot *w = tr_plugin(l->tr, SLD_PLUGIN_WORKER);
    if (w && w->reach == SLD_WORKER_HERE_ALONE)
        sld_report_add(l->report, SLD_WARNING, SLD_WORKER_FAR, SLD_STR(""),
                       "the hook log runs in the worker, which Envoys of other machines cannot reach: plugins do not hear of requests there; "
                       "run Solder with --worker-listen");
}

// Hooks in the worker that change requests and responses, in translation: one filter for all of them, which asks for no more of
// a route than its plugins have a use for.
#include "plugin/declare.h"
#include "plugin/uses.h"

#include "envoy/extensions/filters/http/ext_proc/v3/ext_proc.pb-c.h"

enum { UNAVAILABLE = 503 };

typedef Env__HttpExtProc__ProcessingMode mode;
#define SEND ENV__HTTP_EXT_PROC__PROCESSING_MODE__HEADER_SEND_MODE__SEND
#define SKIP ENV__HTTP_EXT_PROC__PROCESSING_MODE__HEADER_SEND_MODE__SKIP

// Who needs all of a body makes the others see all of it too.
static void want_body(enum sld_plugin_body_mode *to, enum sld_plugin_body_mode m)
{
    if (m == SLD_BODY_BUFFERED || *to == SLD_BODY_NONE)
        *to = m;
}

void pl_transforms_want(struct sld_arena *a, struct pl_wanted *w, const struct sld_plugin_slot *slot, struct sld_str id)
{
    const struct sld_plugin_info *i = &slot->plugin->info;
    unsigned hooks = sld_plugin_worker_hooks(slot->plugin) & SLD_HOOKS_TRANSFORM, speaks = i->speaks;
    bool request = hooks & (1U << SLD_HOOK_TRANSFORM_REQUEST), response = hooks & (1U << SLD_HOOK_TRANSFORM_RESPONSE);
    if (!hooks)
        return;
    w->list = sld_arena_fmt(a, "%.*s%s%.*s@%.*s", SLD_FMT(w->list), w->list.n ? "," : "", SLD_FMT(i->name), SLD_FMT(id));
    w->request |= request || (speaks & SLD_SPEAKS_REQUEST);
    w->response |= response || (speaks & SLD_SPEAKS_RESPONSE_HEADER);
    w->request_trailers |= request && (speaks & SLD_SPEAKS_TRAILER);
    w->response_trailers |= response && (speaks & SLD_SPEAKS_TRAILER);
    if (request)
        want_body(&w->request_body, i->request_body.mode);
    if (response)
        want_body(&w->response_body, i->response_body.mode);
    w->closed |= !sld_plugin_slot_open(slot);
    SLD_PUSH(a, w->spaces, w->space_count, SLD_ARENA_JOIN(a, SLD_STR("solder."), i->name));
}

static Env__HttpExtProc__ProcessingMode__BodySendMode body_mode(enum sld_plugin_body_mode m)
{
    return m == SLD_BODY_BUFFERED   ? ENV__HTTP_EXT_PROC__PROCESSING_MODE__BODY_SEND_MODE__BUFFERED
           : m == SLD_BODY_STREAMED ? ENV__HTTP_EXT_PROC__PROCESSING_MODE__BODY_SEND_MODE__STREAMED
                                    : ENV__HTTP_EXT_PROC__PROCESSING_MODE__BODY_SEND_MODE__NONE;
}

static mode *mode_of(struct sld_arena *a, const struct pl_wanted *w)
{
    mode *m = SLD_MSG(a, mode, env__http_ext_proc__processing_mode);
    m->request_header_mode = w->request ? SEND : SKIP;
    m->response_header_mode = w->response ? SEND : SKIP;
    m->request_body_mode = body_mode(w->request_body);
    m->response_body_mode = body_mode(w->response_body);
    // Behind pieces they tell that the body is over.
    m->request_trailer_mode = w->request_trailers || w->request_body == SLD_BODY_STREAMED ? SEND : SKIP;
    m->response_trailer_mode = w->response_trailers || w->response_body == SLD_BODY_STREAMED ? SEND : SKIP;
    return m;
}

void pl_transforms_route(struct tr_route *r, const struct pl_wanted *w)
{
    struct sld_arena *a = r->tr->arena;
    if (!w->list.n)
        return;
    Env__HttpExtProc__ExtProcPerRoute *per = SLD_MSG(a, Env__HttpExtProc__ExtProcPerRoute, env__http_ext_proc__ext_proc_per_route);
    Env__HttpExtProc__ExtProcOverrides *o = SLD_MSG(a, Env__HttpExtProc__ExtProcOverrides, env__http_ext_proc__ext_proc_overrides);
    per->override_case = ENV__HTTP_EXT_PROC__EXT_PROC_PER_ROUTE__OVERRIDE_OVERRIDES;
    per->overrides = o;
    o->processing_mode = mode_of(a, w);
    Env__Core__HeaderValue *h = SLD_MSG(a, Env__Core__HeaderValue, env__core__header_value);
    h->key = SLD_MSG_STR(a, SLD_STR("solder"));
    h->value = SLD_MSG_STR(a, w->list);
    SLD_PUSH(a, o->grpc_initial_metadata, o->n_grpc_initial_metadata, h);
    o->metadata_options = SLD_MSG(a, Env__HttpExtProc__MetadataOptions, env__http_ext_proc__metadata_options);
    o->metadata_options->receiving_namespaces =
        SLD_MSG(a, Env__HttpExtProc__MetadataOptions__MetadataNamespaces, env__http_ext_proc__metadata_options__metadata_namespaces);
    Env__HttpExtProc__MetadataOptions__MetadataNamespaces *n = o->metadata_options->receiving_namespaces;
    for (size_t i = 0; i < w->space_count; i++)
        SLD_PUSH(a, n->untyped, n->n_untyped, SLD_MSG_STR(a, w->spaces[i]));
    if (!w->closed) {
        o->failure_mode_allow = SLD_MSG(a, Google__Protobuf__BoolValue, google__protobuf__bool_value);
        o->failure_mode_allow->value = true;
    }
    tr_route_filter(r, SLD_TRANSFORM_FILTER, &per->base);
}

static Google__Protobuf__BoolValue *yes(struct sld_arena *a)
{
    Google__Protobuf__BoolValue *v = SLD_MSG(a, Google__Protobuf__BoolValue, google__protobuf__bool_value);
    v->value = true;
    return v;
}

void pl_transforms_listener(struct tr_listener *l, unsigned hooks, int64_t ask_ms)
{
    static const char *const attributes[] = {"connection.dns_san_peer_certificate", "connection.requested_server_name",
                                             "connection.subject_peer_certificate", "connection.uri_san_peer_certificate",
                                             "source.address",                      "xds.route_name"};
    struct sld_arena *a = l->tr->arena;
    if (!(hooks & SLD_HOOKS_TRANSFORM))
        return;
    Env__HttpExtProc__ExternalProcessor *f = SLD_MSG(a, Env__HttpExtProc__ExternalProcessor, env__http_ext_proc__external_processor);
    f->grpc_service = pl_worker_service(a, 0);
    f->processing_mode = mode_of(a, &(struct pl_wanted){0}); // of routes that say nothing
    f->message_timeout = sld_msg_duration_ms(a, ask_ms);
    f->stat_prefix = SLD_MSG_STR(a, SLD_STR("solder"));
    for (size_t i = 0; i < SLD_ARRAY_LEN(attributes); i++)
        SLD_PUSH(a, f->request_attributes, f->n_request_attributes, SLD_MSG_STR(a, sld_str_c(attributes[i])));
    // Names and values are checked in the worker; a header that is set chooses no other route, behind the backs of those who
    // looked at this one.
    f->mutation_rules = SLD_MSG(a, Env__CommonMutationRules__HeaderMutationRules, env__common_mutation_rules__header_mutation_rules);
    f->mutation_rules->allow_all_routing = yes(a);
    f->mutation_rules->allow_envoy = yes(a);
    f->route_cache_action = ENV__HTTP_EXT_PROC__EXTERNAL_PROCESSOR__ROUTE_CACHE_ACTION__RETAIN;
    f->status_on_error = SLD_MSG(a, Env__Type__HttpStatus, env__type__http_status);
    f->status_on_error->code = (Env__Type__StatusCode)UNAVAILABLE;
    tr_filter_add(l, SLD_STAGE_ACCEPTED, SLD_DURING, SLD_TRANSFORM_FILTER, &f->base, true);
    tr_clusters_add(l->tr, l->clusters, SLD_STR(SLD_WORKER_CLUSTER));
}

// faults: answers with an error, or delays, a share of requests.
#include "translate/option.h"

#include "envoy/extensions/filters/http/fault/v3/fault.pb-c.h"

#define FILTER "envoy.filters.http.fault"

static void listener(struct tr_listener *l)
{
    if (!l->hcm)
        return;
    Env__HttpFault__HTTPFault *f =
        SLD_MSG(l->tr->arena, Env__HttpFault__HTTPFault, env__http_fault__httpfault);
    tr_filter_add(l, SLD_STAGE_FAULT, SLD_DURING, FILTER, &f->base, true);
}

static Env__HttpFault__FaultAbort *abort_fault(struct sld_arena *a, const Gloo__RouteAbort *in)
{
    Env__HttpFault__FaultAbort *out =
        SLD_MSG(a, Env__HttpFault__FaultAbort, env__http_fault__fault_abort);
    out->error_type_case = ENV__HTTP_FAULT__FAULT_ABORT__ERROR_TYPE_HTTP_STATUS;
    out->http_status = in->http_status;
    out->percentage = tr_percent(a, in->percentage);
    return out;
}

static Env__CommonFault__FaultDelay *delay_fault(struct sld_arena *a, const Gloo__RouteDelay *in)
{
    Env__CommonFault__FaultDelay *out =
        SLD_MSG(a, Env__CommonFault__FaultDelay, env__common_fault__fault_delay);
    out->fault_delay_secifier_case =
        ENV__COMMON_FAULT__FAULT_DELAY__FAULT_DELAY_SECIFIER_FIXED_DELAY;
    out->fixed_delay = in->fixed_delay;
    out->percentage = tr_percent(a, in->percentage);
    return out;
}

static void route(struct tr_route *r)
{
    const Gloo__RouteFaults *in = r->options ? r->options->faults : NULL;
    if (!in || (!in->abort && !in->delay))
        return;
    struct sld_arena *a = r->tr->arena;
    Env__HttpFault__HTTPFault *f =
        SLD_MSG(a, Env__HttpFault__HTTPFault, env__http_fault__httpfault);
    if (in->abort)
        f->abort = abort_fault(a, in->abort);
    if (in->delay)
        f->delay = delay_fault(a, in->delay);
    tr_route_filter(r, FILTER, &f->base);
}

const struct sld_feature sld_feature_faults = {
    .name = "faults",
    .help = "Answers with an error, or delays, a share of requests.",
    .options = {"RouteOptions.faults"},
    .listener = listener,
    .route = route,
};

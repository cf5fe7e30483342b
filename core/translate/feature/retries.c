// retries: of failed requests, for a route or a whole virtual host (gloo-compat 1.19).
#include "translate/option.h"

#include "envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.pb-c.h"

static void check_back_off(struct sld_report *r, const Gloo__RetryBackOff *b)
{
    if (!b->base_interval || !b->max_interval)
        return; // the base is required by the schema
    if (sld_duration_ms(b->max_interval) < sld_duration_ms(b->base_interval))
        sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID, SLD_STR("retryBackOff.maxInterval"),
                       "the longest wait is shorter than the first one; let it be at least "
                       "baseInterval");
}

static void check(const struct sld_feature_check *c)
{
    const Gloo__RetryPolicy *p = c->route          ? c->route->retries
                                 : c->virtual_host ? c->virtual_host->retries
                                                   : NULL;
    if (!p)
        return;
    struct sld_str old = sld_report_enter(c->report, "retries", -1);
    if (p->retry_back_off)
        check_back_off(c->report, p->retry_back_off);
    sld_report_leave(c->report, old);
    tr_note_unused(c, "retries");
}

static Env__Route__RetryPolicy__RetryPriority *
previous_priorities(struct sld_arena *a, const Gloo__RetryPolicy__PreviousPriorities *p)
{
    Env__RetryPriorityPreviousPriorities__PreviousPrioritiesConfig *c =
        SLD_MSG(a, Env__RetryPriorityPreviousPriorities__PreviousPrioritiesConfig,
                env__retry_priority_previous_priorities__previous_priorities_config);
    c->update_frequency = p->update_frequency ? (int32_t)p->update_frequency->value : 1;
    Env__Route__RetryPolicy__RetryPriority *out = SLD_MSG(a, Env__Route__RetryPolicy__RetryPriority,
                                                          env__route__retry_policy__retry_priority);
    out->name = SLD_MSG_STR(a, SLD_STR("envoy.retry_priorities.previous_priorities"));
    out->config_type_case = ENV__ROUTE__RETRY_POLICY__RETRY_PRIORITY__CONFIG_TYPE_TYPED_CONFIG;
    out->typed_config = sld_msg_any(a, &c->base);
    return out;
}

static Env__Route__RetryPolicy__RetryBackOff *back_off(struct sld_arena *a,
                                                       const Gloo__RetryBackOff *b)
{
    Env__Route__RetryPolicy__RetryBackOff *out =
        SLD_MSG(a, Env__Route__RetryPolicy__RetryBackOff, env__route__retry_policy__retry_back_off);
    out->base_interval = b->base_interval;
    out->max_interval = b->max_interval;
    return out;
}

static Env__Route__RetryPolicy__RateLimitedRetryBackOff *
rate_limited(struct sld_arena *a, const Gloo__RateLimitedRetryBackOff *b)
{
    Env__Route__RetryPolicy__RateLimitedRetryBackOff *out =
        SLD_MSG(a, Env__Route__RetryPolicy__RateLimitedRetryBackOff,
                env__route__retry_policy__rate_limited_retry_back_off);
    out->max_interval = b->max_interval;
    for (size_t i = 0; i < b->n_reset_headers; i++) {
        Env__Route__RetryPolicy__ResetHeader *h = SLD_MSG(a, Env__Route__RetryPolicy__ResetHeader,
                                                          env__route__retry_policy__reset_header);
        h->name = b->reset_headers[i]->name;
        // The enumerations have the same numbers.
        h->format = (Env__Route__RetryPolicy__ResetHeaderFormat)b->reset_headers[i]->format;
        SLD_PUSH(a, out->reset_headers, out->n_reset_headers, h);
    }
    return out;
}

static Env__Route__RetryPolicy *policy(struct sld_arena *a, const Gloo__RetryPolicy *p)
{
    Env__Route__RetryPolicy *out = SLD_MSG(a, Env__Route__RetryPolicy, env__route__retry_policy);
    out->retry_on = p->retry_on;
    out->num_retries = sld_msg_u32(a, p->num_retries ? p->num_retries : 1);
    out->per_try_timeout = p->per_try_timeout;
    out->n_retriable_status_codes = p->n_retriable_status_codes;
    out->retriable_status_codes = p->retriable_status_codes;
    if (p->retry_back_off)
        out->retry_back_off = back_off(a, p->retry_back_off);
    if (p->rate_limited_retry_back_off)
        out->rate_limited_retry_back_off = rate_limited(a, p->rate_limited_retry_back_off);
    if (p->priority_predicate_case == GLOO__RETRY_POLICY__PRIORITY_PREDICATE_PREVIOUS_PRIORITIES)
        out->retry_priority = previous_priorities(a, p->previous_priorities);
    return out;
}

static void virtual_host(struct tr_vhost *v)
{
    if (v->options && v->options->retries)
        v->vh->retry_policy = policy(v->tr->arena, v->options->retries);
}

static void route(struct tr_route *r)
{
    if (r->action && r->options && r->options->retries)
        r->action->retry_policy = policy(r->tr->arena, r->options->retries);
}

const struct sld_feature sld_feature_retries = {
    .name = "retries",
    .help = "Retries failed requests.",
    .options = {"VirtualHostOptions.retries", "RouteOptions.retries"},
    .check = check,
    .virtual_host = virtual_host,
    .route = route,
};

// The order of HTTP filters: Gloo's stages, then names (gloo-compat 3.11).
#include "translate/listener.h"

#include <stdlib.h>

#include "envoy/extensions/filters/http/router/v3/router.pb-c.h"

void tr_filter_add(struct tr_listener *l, enum sld_stage stage, int when, const char *name,
                   const ProtobufCMessage *config, bool disabled)
{
    SLD_PRE(l->hcm);
    struct tr_filter f = {stage, when, name, sld_msg_any(l->tr->arena, config), disabled};
    SLD_PUSH(l->tr->arena, l->filters, l->filter_count, f);
}

static int by_place(const void *x, const void *y)
{
    const struct tr_filter *a = x, *b = y;
    if (a->stage != b->stage)
        return a->stage < b->stage ? -1 : 1;
    if (a->when != b->when)
        return a->when < b->when ? -1 : 1;
    int c = strcmp(a->name, b->name);
    if (c)
        return c;
    c = strcmp(a->config->type_url, b->config->type_url);
    if (c)
        return c;
    return sld_str_cmp(sld_str_n((const char *)a->config->value.data, a->config->value.len),
                       sld_str_n((const char *)b->config->value.data, b->config->value.len));
}

static void push(struct tr_listener *l, const struct tr_filter *f)
{
    struct sld_arena *a = l->tr->arena;
    Env__NetworkHttpConnectionManager__HttpFilter *h =
        SLD_MSG(a, Env__NetworkHttpConnectionManager__HttpFilter,
                env__network_http_connection_manager__http_filter);
    h->name = sld_arena_cstr(a, sld_str_c(f->name));
    h->config_type_case =
        ENV__NETWORK_HTTP_CONNECTION_MANAGER__HTTP_FILTER__CONFIG_TYPE_TYPED_CONFIG;
    h->typed_config = f->config;
    h->disabled = f->disabled;
    SLD_PUSH(a, l->hcm->http_filters, l->hcm->n_http_filters, h);
}

void tr_filters_done(struct tr_listener *l)
{
    if (l->filter_count)
        qsort(l->filters, l->filter_count, sizeof(*l->filters), by_place);
    for (size_t i = 0; i < l->filter_count; i++)
        push(l, &l->filters[i]);
    Env__HttpRouter__Router *router =
        SLD_MSG(l->tr->arena, Env__HttpRouter__Router, env__http_router__router);
    struct tr_filter last = {.name = "envoy.filters.http.router",
                             .config = sld_msg_any(l->tr->arena, &router->base)};
    push(l, &last);
}

// headerManipulation: headers added to and removed from requests and answers, for virtual hosts,
// routes and weighted destinations; values may come from header secrets.
#include "translate/option.h"

static void check(const struct sld_feature_check *c)
{
    const Gloo__HeaderManipulation *m = c->route          ? c->route->header_manipulation
                                        : c->virtual_host ? c->virtual_host->header_manipulation
                                        : c->weighted     ? c->weighted->header_manipulation
                                                          : NULL;
    if (!m)
        return;
    struct sld_report *r = c->report;
    struct sld_str old = sld_report_enter(r, "headerManipulation", -1);
    tr_check_request_headers(r, "requestHeadersToAdd", m->request_headers_to_add,
                             m->n_request_headers_to_add);
    tr_check_header_names(r, "requestHeadersToRemove", m->request_headers_to_remove,
                          m->n_request_headers_to_remove);
    tr_check_response_headers(r, "responseHeadersToAdd", m->response_headers_to_add,
                              m->n_response_headers_to_add);
    tr_check_header_names(r, "responseHeadersToRemove", m->response_headers_to_remove,
                          m->n_response_headers_to_remove);
    sld_report_leave(r, old);
}

// Where the headers of an Envoy message are.
struct place {
    Env__Core__HeaderValueOption ***add_request, ***add_response;
    size_t *n_add_request, *n_add_response;
    char ***remove_request, ***remove_response;
    size_t *n_remove_request, *n_remove_response;
};

// The place in message M, of whatever type: the fields are called the same in all of them.
#define PLACE(m)                                                                                   \
    ((struct place){&(m)->request_headers_to_add, &(m)->response_headers_to_add,                   \
                    &(m)->n_request_headers_to_add, &(m)->n_response_headers_to_add,               \
                    &(m)->request_headers_to_remove, &(m)->response_headers_to_remove,             \
                    &(m)->n_request_headers_to_remove, &(m)->n_response_headers_to_remove})

static void remove_names(struct sld_arena *a, char ***to, size_t *n, char *const *names,
                         size_t count)
{
    for (size_t i = 0; i < count; i++)
        SLD_PUSH(a, *to, *n, names[i]);
}

static void apply(struct tr *tr, struct sld_report *r, struct sld_str ns,
                  const Gloo__HeaderManipulation *m, struct place p)
{
    struct sld_str old = sld_report_enter(r, "options.headerManipulation", -1);
    struct tr_headers h = {
        .tr = tr, .report = r, .ns = ns, .out = p.add_request, .n = p.n_add_request};
    tr_add_request_headers(&h, "requestHeadersToAdd", m->request_headers_to_add,
                           m->n_request_headers_to_add);
    h.out = p.add_response;
    h.n = p.n_add_response;
    tr_add_response_headers(&h, m->response_headers_to_add, m->n_response_headers_to_add);
    remove_names(tr->arena, p.remove_request, p.n_remove_request, m->request_headers_to_remove,
                 m->n_request_headers_to_remove);
    remove_names(tr->arena, p.remove_response, p.n_remove_response, m->response_headers_to_remove,
                 m->n_response_headers_to_remove);
    sld_report_leave(r, old);
}

static void virtual_host(struct tr_vhost *v)
{
    if (v->options && v->options->header_manipulation)
        apply(v->tr, v->report, v->ns, v->options->header_manipulation, PLACE(v->vh));
}

static void route(struct tr_route *r)
{
    if (r->options && r->options->header_manipulation)
        apply(r->tr, r->report, r->ns, r->options->header_manipulation, PLACE(r->route));
}

static void weighted(struct tr_weighted *w)
{
    if (w->options && w->options->header_manipulation)
        apply(w->route->tr, w->report, w->route->ns, w->options->header_manipulation,
              PLACE(w->weight));
}

const struct sld_feature sld_feature_header_manipulation = {
    .name = "headerManipulation",
    .help = "Adds headers to requests and answers, and removes them.",
    .options = {"VirtualHostOptions.headerManipulation",
                "RouteOptions.headerManipulation",
                "WeightedDestinationOptions.headerManipulation"},
    .check = check,
    .virtual_host = virtual_host,
    .route = route,
    .weighted = weighted,
};

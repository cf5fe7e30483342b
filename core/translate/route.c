// Envoy routes: one for each matcher of each leaf.
#include "translate/route.h"

enum { UNAVAILABLE = 503 };

// ---- Findings of route tables ----

void tr_repeat(struct tr_build *b, const struct tr_owner *owner, size_t from, struct sld_str top)
{
    if (owner == &b->vs || from >= owner->report->count)
        return;
    struct sld_report *vs = b->vs.report;
    struct sld_str before = vs->prefix, ref = tr_ref_text(b->tr->arena, owner->ns, owner->name);
    vs->prefix = SLD_STR_NONE;
    for (size_t i = from; i < owner->report->count; i++) {
        const struct sld_finding *f = &owner->report->items[i];
        sld_report_add(vs, f->severity, f->code, top, "on sub route table %.*s: %.*s", SLD_FMT(ref),
                       SLD_FMT(f->message));
    }
    vs->prefix = before;
}

static bool said_already(const struct sld_report *r, const struct sld_finding *f)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct sld_finding *o = &r->items[i];
        if (o->code == f->code && o->severity == f->severity && sld_str_eq(o->path, f->path) &&
            sld_str_eq(o->message, f->message))
            return true;
    }
    return false;
}

void tr_owners_flush(struct tr_build *b)
{
    for (size_t i = 0; i < b->table_count; i++) {
        const struct tr_owner *o = b->tables[i];
        if (!o->report->count)
            continue;
        struct sld_report *to = tr_report(b->tr, tr_key(b->tr->arena, o->kind, o->ns, o->name));
        for (size_t k = 0; k < o->report->count; k++) {
            const struct sld_finding *f = &o->report->items[k];
            if (!said_already(to, f))
                sld_report_add(to, f->severity, f->code, f->path, "%.*s", SLD_FMT(f->message));
        }
    }
}

// ---- Findings of a route ----

// Errors of R from number FROM on become warnings: their route is replaced (gloo-compat 3.12).
static void downgrade(struct sld_report *r, size_t from, size_t errors)
{
    const struct sld_str error = SLD_STR_INIT("Route Error: ");
    for (size_t i = from; i < r->count; i++) {
        struct sld_finding *f = &r->items[i];
        if (f->severity != SLD_ERROR)
            continue;
        f->severity = SLD_WARNING;
        if (sld_str_starts(f->message, error))
            f->message = sld_arena_fmt(r->arena, "Route Warning: %.*s",
                                       SLD_FMT(sld_str_sub(f->message, error.n, f->message.n)));
    }
    r->warnings += r->errors - errors;
    r->errors = errors;
}

// Drops what was found from number FROM on and stands between FIRST and FROM already: the same for
// another matcher.
static void drop_repeated(struct sld_report *r, size_t first, size_t from)
{
    struct sld_report old = {.items = r->items + first, .count = from - first};
    size_t kept = from;
    for (size_t i = from; i < r->count; i++) {
        const struct sld_finding f = r->items[i];
        if (!said_already(&old, &f)) {
            r->items[kept++] = f;
            continue;
        }
        r->errors -= f.severity == SLD_ERROR;
        r->warnings -= f.severity == SLD_WARNING;
    }
    r->count = kept;
}

// ---- Making ----

static void features(struct tr_route *r)
{
    const struct sld_translate_options *o = &r->tr->t->opt;
    for (size_t i = 0; i < o->feature_count; i++) {
        if (o->features[i]->route)
            o->features[i]->route(r);
    }
}

// A route of that name and match that answers for an invalid one.
static Env__Route__Route *invalid_route(struct tr_build *b, const Env__Route__Route *bad)
{
    Env__Route__Route *out = SLD_MSG(b->tr->arena, Env__Route__Route, env__route__route);
    out->name = bad->name;
    out->match = bad->match;
    out->action_case = ENV__ROUTE__ROUTE__ACTION_ROUTE;
    out->route = tr_invalid_action(b);
    return out;
}

// A route of that name and match that answers 503.
static Env__Route__Route *closed_route(struct tr_build *b, const Env__Route__Route *shut)
{
    struct sld_arena *a = b->tr->arena;
    Env__Route__Route *out = SLD_MSG(a, Env__Route__Route, env__route__route);
    out->name = shut->name;
    out->match = shut->match;
    out->action_case = ENV__ROUTE__ROUTE__ACTION_DIRECT_RESPONSE;
    out->direct_response = SLD_MSG(a, Env__Route__DirectResponseAction, env__route__direct_response_action);
    out->direct_response->status = UNAVAILABLE;
    return out;
}

// The last gate: what Envoy would refuse never reaches it. The route answers as an invalid one;
// only when its match itself is refused it is left out (NULL).
static Env__Route__Route *gate(struct tr_build *b, struct sld_report *r, Env__Route__Route *route)
{
    struct sld_report check = {.arena = b->tr->arena};
    sld_msg_check(&check, &route->base, SLD_ENVOY_CONSTRAINT, NULL);
    if (!check.errors)
        return route;
    for (size_t i = 0; i < check.count; i++) {
        if (check.items[i].severity == SLD_ERROR)
            sld_report_add(
                r, b->replace ? SLD_WARNING : SLD_ERROR, SLD_ENVOY_CONSTRAINT, SLD_STR(""),
                "Route Error: ProcessingError. Reason: Envoy would refuse %.*s: %.*s. Route Name: "
                "%s",
                SLD_FMT(check.items[i].path), SLD_FMT(check.items[i].message), route->name);
    }
    struct sld_report again = {.arena = b->tr->arena};
    sld_msg_check(&again, &route->match->base, SLD_ENVOY_CONSTRAINT, NULL);
    return again.errors ? NULL : invalid_route(b, route);
}

static void make(struct tr_build *b, const struct tr_leaf *leaf, size_t index, size_t matcher)
{
    struct sld_arena *a = b->tr->arena;
    struct sld_report *report = leaf->owner->report;
    Env__Route__Route *route = SLD_MSG(a, Env__Route__Route, env__route__route);
    route->name =
        SLD_MSG_STR(a, sld_arena_fmt(a, "%.*s-route-%zu%s%.*s-matcher-%zu", SLD_FMT(b->name), index,
                                     leaf->name.n ? "-" : "", SLD_FMT(leaf->name), matcher));
    route->match = tr_match(a, leaf->matchers[matcher]);
    struct tr_route r = {.tr = b->tr,
                         .vhost = &b->vhost,
                         .ns = leaf->owner->ns,
                         .report = report,
                         .options = leaf->options,
                         .source = leaf->route,
                         .route = route};
    size_t said = report->count, errors = report->errors;
    tr_action(b, leaf, &r);
    if (b->replace)
        downgrade(report, said, errors);
    said = report->count;
    errors = report->errors;
    features(&r);
    if (r.refused) {
        route = invalid_route(b, route);
    } else if (b->replace && report->errors > errors) {
        downgrade(report, said, errors);
        sld_report_add(report, SLD_NOTE, SLD_ROUTE_REPLACED, SLD_STR(""),
                       "requests of this route get the answer that invalidConfigPolicy sets");
        route = invalid_route(b, route);
    } else if (r.closed) {
        route = closed_route(b, route);
    }
    route = gate(b, report, route);
    if (route)
        SLD_PUSH(a, b->routes, b->route_count, route);
}

static void make_all(struct tr_build *b, const struct tr_leaf *leaf, size_t index)
{
    struct sld_report *report = leaf->owner->report;
    struct sld_str before = report->prefix;
    report->prefix = leaf->path;
    size_t first = report->count;
    for (size_t i = 0; i < leaf->matcher_count; i++) {
        size_t from = report->count;
        make(b, leaf, index, i);
        if (i)
            drop_repeated(report, first, from);
    }
    tr_repeat(b, leaf->owner, first, leaf->top);
    report->prefix = before;
}

void tr_routes(struct tr_build *b)
{
    for (size_t i = 0; i < b->leaf_count; i++) {
        const struct tr_leaf *leaf = b->leaves[i];
        if (b->route_count + leaf->matcher_count > TR_MAX_ROUTES) {
            sld_report_add(
                b->vs.report, SLD_ERROR, SLD_ROUTE_LIMIT, SLD_STR("virtualHost.routes"),
                "more than %d routes; those from %.*s on are left out. Split the virtual service",
                TR_MAX_ROUTES, SLD_FMT(leaf->top));
            return;
        }
        make_all(b, leaf, i);
    }
}

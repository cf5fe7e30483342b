// The making of one virtual host: what vhost.c, delegate.c, route.c, action.c, match.c and shadow.c
// share.
//
//   vhost.c ──▶ delegate.c: tree of virtual service and route tables ──▶ leaves, in order
//           ──▶ route.c: a leaf and one of its matchers ──▶ an Envoy route (match.c, action.c,
//           features)
#pragma once

#include "translate/feature.h"

// Ceilings of one virtual host.
enum {
    TR_MAX_ROUTES = 100000, // Envoy routes
    TR_MAX_VISITS = 400000, // routes and tables looked at while delegating
    TR_MAX_DEPTH = 32,      // route tables below each other
};

// A virtual service or route table whose routes are being made.
struct tr_owner {
    enum sld_kind kind;
    struct sld_str ns, name;
    struct sld_report
        *report; // of the virtual service; of a route table: kept apart until tr_owners_flush
};

// A route that does not delegate.
struct tr_leaf {
    const struct tr_owner *owner;
    const Gloo__Route *route; // as written
    struct sld_str path;      // in the owner: "routes[2]"
    struct sld_str top;       // in the virtual service: the route that led here
    struct sld_str name;      // chain of names; empty when nobody on the way has one
    Gloo__Matcher **matchers; // with what was inherited; at least one
    size_t matcher_count;
    const Gloo__RouteOptions *options; // merged; NULL: none
    const Gloo__Matcher
        *first; // the matcher that decides its place when tables are sorted together
    size_t seq; // its place before
};

struct tr_build {
    struct tr *tr;
    struct tr_vhost vhost; // for features
    struct tr_owner vs;
    struct sld_str gateway, proxy; // names, for the names of routes
    struct sld_str name;           // of the virtual host
    bool replace;                  // invalidConfigPolicy.replaceInvalidRoutes
    Gloo__Matcher *any;            // prefix /
    struct tr_leaf **leaves;
    size_t leaf_count;
    struct tr_owner **tables; // visits of route tables
    size_t table_count;
    size_t visits;
    bool full; // a ceiling was reached
    bool guessed; // see tr_dest
    Env__Route__Route **routes;
    size_t route_count;
    struct tr_clusters clusters; // existing ones that requests go to
    struct tr_confs confs;       // that requests name
};

// delegate.c: fills the leaves from the routes of the virtual service.
void tr_delegate(struct tr_build *b, const Gloo__VirtualHost *vh);

// order.c: sorts the leaves from number FROM on.
void tr_sort_leaves(struct tr_build *b, size_t from);

// route.c: the routes of all leaves.
void tr_routes(struct tr_build *b);
// Findings of OWNER from number FROM on: those of a route table are repeated on the virtual
// service, at TOP.
void tr_repeat(struct tr_build *b, const struct tr_owner *owner, size_t from, struct sld_str top);
// Hands the findings of all visits of route tables to the reports of these.
void tr_owners_flush(struct tr_build *b);

// select.c: the tables a delegating route leads to, in order of keys. NULL and *N 0 with a finding
// of OWNER.
struct tr_table {
    struct sld_str key;
    const struct sld_object *object;
    int32_t weight;
    size_t seq;
};
struct tr_table *tr_tables(struct tr_build *b, const struct tr_owner *owner,
                           const Gloo__DelegateAction *d, size_t *n);

// match.c
Env__Route__RouteMatch *tr_match(struct sld_arena *a, const Gloo__Matcher *m);
// What a matcher matches the path with: the text of prefix, exact or regex; empty otherwise.
struct sld_str tr_matcher_path(const Gloo__Matcher *m);

// action.c: sets R's action. A destination that must get no requests, with an error finding, is
// replaced.
void tr_action(struct tr_build *b, const struct tr_leaf *leaf, struct tr_route *r);
// An action that answers for an invalid route: by the configured cluster, else with 503.
Env__Route__RouteAction *tr_invalid_action(struct tr_build *b);

// shadow.c: warns of routes that an earlier one hides.
void tr_shadowed(struct tr_build *b);

// The hooks of translation. A hook works on a copy of the message: when it fails, nothing of what it did
// is there, and what it was to shape answers as an invalid route does.
#include "plugin/shape.h"

#include <stdlib.h>

#include "plugin/call.h"
#include "plugin/declare.h"
#include "plugin/ship.h"
#include "plugin/uses.h"
#include "plugin/value.h"
#include "translate/feature.h"

// ---- Configurations ----

static void add_uses(struct sld_arena *a, struct uses *u, const Gloo__Extensions *e, bool inherited)
{
    for (size_t i = 0; e && i < e->n_configs; i++) {
        struct use one = {.name = sld_str_c(e->configs[i]->key), .inherited = inherited};
        google__protobuf__value__init(&one.conf);
        if (e->configs[i]->value) {
            one.conf.kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
            one.conf.struct_value = e->configs[i]->value;
        }
        size_t at = 0;
        while (at < u->count && !sld_str_eq(u->items[at].name, one.name))
            at++;
        if (at == u->count)
            SLD_PUSH(a, u->items, u->count, one);
    }
}

static int by_name(const void *x, const void *y)
{
    return sld_str_cmp(((const struct use *)x)->name, ((const struct use *)y)->name);
}

static void sort_uses(struct uses *u)
{
    if (u->count)
        qsort(u->items, u->count, sizeof(*u->items), by_name);
}

// Checks configuration V of the plugin in SLOT. Where its own check may not be called, nobody knows whether V may count.
static void check_one(struct sld_report *r, const struct sld_plugin_slot *slot, struct sld_str name, const Google__Protobuf__Value *v)
{
    size_t errors = r->errors;
    if (!slot->suspended && !pl_exhausted(slot)) {
        sld_plugin_check(slot->plugin, r, v);
        return;
    }
    sld_conf_check(r, &slot->plugin->conf, v);
    if (r->errors == errors && (slot->plugin->info.hooks & (1U << SLD_HOOK_CHECK)))
        sld_report_add(r, SLD_ERROR, SLD_PLUGIN_FAILED, SLD_STR(""), "plugin %.*s: %.*s", SLD_FMT(name),
                       SLD_FMT(slot->suspended ? slot->error : sld_str_c(slot->plugin->errors[0].words)));
}

// Hooks of requests that would not run where C's configurations are.
static unsigned asleep(const struct sld_feature_check *c, const struct sld_plugin_slot *slot)
{
    bool logs = slot->plugin->info.hooks & (1U << SLD_HOOK_LOG);
    if (c->http_listener)
        return logs ? 0 : slot->plugin->info.hooks & SLD_HOOKS_OF_REQUESTS;
    return c->weighted ? sld_plugin_worker_hooks(slot->plugin) & SLD_HOOKS_OF_REQUESTS : 0;
}

// It does nothing but log, or what is configured at gateways too.
static bool only_logs(const struct sld_plugin_slot *slot)
{
    unsigned others = 1U << SLD_HOOK_CHECK | 1U << SLD_HOOK_DISCOVER | 1U << SLD_HOOK_EXTRA | 1U << SLD_HOOK_SECRET |
                      1U << SLD_HOOK_SHAPE_LISTENER | 1U << SLD_HOOK_SHAPE_UPSTREAM;
    return (slot->plugin->info.hooks & ~others) == 1U << SLD_HOOK_LOG;
}

// Checks the configurations of a document alone.
static void check_all(const struct sld_feature_check *c, const Gloo__Extensions *e)
{
    struct uses u = {0};
    add_uses(c->report->arena, &u, e, false);
    sort_uses(&u);
    for (size_t i = 0; i < u.count; i++) {
        const struct sld_plugin_slot *slot = sld_translate_plugin(c->t, u.items[i].name);
        struct sld_str was = c->report->prefix;
        c->report->prefix = SLD_ARENA_JOIN(c->report->arena, was, SLD_STR(".extensions.configs."), u.items[i].name);
        if (!slot)
            sld_report_add(c->report, SLD_WARNING, SLD_PLUGIN_UNKNOWN, SLD_STR(""),
                           "there is no plugin %.*s, so this has no effect", SLD_FMT(u.items[i].name));
        else if (slot->gone)
            sld_report_add(c->report, SLD_WARNING, SLD_PLUGIN_UNKNOWN, SLD_STR(""),
                           "plugin %.*s, which guarded this, is gone: it answers 503 until the plugin is there again, or this is removed",
                           SLD_FMT(u.items[i].name));
        else if (!slot->plugin)
            sld_report_add(c->report, SLD_ERROR, SLD_PLUGIN_BROKEN, SLD_STR(""), "plugin %.*s could not be loaded: %.*s",
                           SLD_FMT(u.items[i].name), SLD_FMT(slot->error));
        else if (asleep(c, slot)) // it would be taken for a guard
            sld_report_add(c->report, SLD_ERROR, SLD_PLUGIN_FAILED, SLD_STR(""),
                           "plugin %.*s has hooks of requests, which do not run here; configure it at routes or virtual hosts",
                           SLD_FMT(u.items[i].name));
        else if (!c->http_listener && only_logs(slot))
            sld_report_add(c->report, SLD_ERROR, SLD_PLUGIN_FAILED, SLD_STR(""),
                           "plugin %.*s logs what comes to a gateway; configure it at the options of an HTTP gateway",
                           SLD_FMT(u.items[i].name));
        else
            check_one(c->report, slot, u.items[i].name, pl_declared_conf(c->report->arena, slot->declared, &u.items[i].conf));
        c->report->prefix = was;
    }
}

static void check(const struct sld_feature_check *c)
{
    if (c->route)
        check_all(c, c->route->extensions);
    if (c->virtual_host)
        check_all(c, c->virtual_host->extensions);
    if (c->weighted)
        check_all(c, c->weighted->extensions);
    if (c->http_listener)
        check_all(c, c->http_listener->extensions);
    if (c->plugin)
        pl_declared_check(c->t, c->report, c->plugin);
}

// ---- A call ----

static int call_shape(lua_State *L)
{
    struct call *c = lua_touserdata(L, 1);
    pl_push_hook(L, c->hook);
    pl_push_conf(L, &c->plugin->conf, c->conf);
    pl_push_message(L, &c->edit, c->message, c->name, false);
    pl_push_context(L, c);
    lua_call(L, 3, 0);
    pl_freeze_check(L);
    return 0;
}

// ---- The hooks ----

// What happens instead of a hook that failed, as WORDS tell. False: what was to be shaped is refused.
static bool instead(const struct call *c, const struct sld_plugin_slot *slot, struct sld_str path, ProtobufCMessage *message,
                    struct sld_report *r, const char *words)
{
    const char *on_error = slot->declared ? slot->declared->on_error : "";
    bool open = strcmp(on_error, "open") == 0;
    ProtobufCMessage *last = slot->last && c->row.p ? pl_last_get(slot->last, c->row, c->input, c->tr->arena, message->descriptor) : NULL;
    enum sld_code code = slot->plugin ? SLD_PLUGIN_FAILED : SLD_PLUGIN_BROKEN;
    sld_report_add(r, open || last ? SLD_WARNING : SLD_ERROR, code, path, "%s%s", words,
                   open   ? "; it goes on without the plugin"
                   : last ? "; what the plugin gave last stays"
                          : "");
    if (last)
        memcpy(message, last, message->descriptor->sizeof_message);
    return open || last;
}

// Runs the hook of C of the plugin in SLOT on a copy of MESSAGE, which then takes its place. False: a finding is on R, and
// nothing changed.
static bool run_hook(struct call *c, const struct sld_plugin_slot *slot, const struct use *u, struct sld_str path,
                     ProtobufCMessage *message, struct sld_report *r)
{
    struct sld_err err = {0};
    struct sld_arena *a = c->tr->arena;
    const char *more = u->inherited ? "; it is configured at the virtual host" : "";
    if (slot->last && c->row.p)
        c->input = sld_msg_hash(message);
    if (!slot->plugin || slot->suspended) {
        struct sld_str words = sld_arena_fmt(a, slot->plugin ? "plugin %.*s: %.*s" : "plugin %.*s could not be loaded: %.*s",
                                             SLD_FMT(u->name), SLD_FMT(slot->error));
        return instead(c, slot, path, message, r, words.p);
    }
    if (!(slot->plugin->info.hooks & (1U << c->hook)))
        return true;
    // Of many rows each may take all its time: it is not called any more before the round's end, where it is suspended.
    if (pl_exhausted(slot))
        return instead(c, slot, path, message, r,
                       sld_arena_fmt(a, "plugin %.*s: %s", SLD_FMT(u->name), slot->plugin->errors[0].words).p);
    c->plugin = slot->plugin;
    c->conf = pl_declared_conf(a, slot->declared, &u->conf);
    c->edit = (struct pl_edit){a, c, pl_call_secret};
    c->message = sld_msg_copy(a, message);
    if (pl_call_hook(slot->plugin, c->hook, call_shape, c, &err))
        return instead(c, slot, path, message, r, sld_arena_fmt(a, "%s%s", err.msg, more).p);
    memcpy(message, c->message, message->descriptor->sizeof_message);
    if (slot->last && c->row.p)
        pl_last_set(slot->last, c->row, c->input, message);
    return true;
}

// The same for the plugin that U names; where nobody loaded one, the document has a warning.
static bool shape(struct call *c, const struct use *u, ProtobufCMessage *message, const char *name, struct sld_report *r)
{
    const struct sld_plugin_slot *slot = tr_plugin(c->tr, u->name);
    struct sld_str path = SLD_ARENA_JOIN(c->tr->arena, SLD_STR("options.extensions.configs."), u->name);
    c->name = name;
    return !slot || slot->gone || run_hook(c, slot, u, u->inherited ? SLD_STR("") : path, message, r);
}

// What turns the edge code of the plugin that U names on, for what C shaped; or NULL. *REFUSED: it could not be made, as a
// finding says.
static Google__Protobuf__Any *ship(struct call *c, const struct use *u, struct sld_report *r, bool *refused)
{
    const struct sld_plugin_slot *slot = tr_plugin(c->tr, u->name);
    struct sld_err err = {0};
    Google__Protobuf__Any *out = NULL;
    if (*refused || u->inherited || !pl_ships(slot) || slot->gone)
        return NULL;
    if (pl_ship_conf(c->tr->arena, slot, pl_declared_conf(c->tr->arena, slot->declared, &u->conf), &out, &err)) {
        sld_report_add(r, SLD_ERROR, SLD_PLUGIN_FAILED, SLD_ARENA_JOIN(c->tr->arena, SLD_STR("options.extensions.configs."), u->name), "%s", err.msg);
        *refused = true;
    }
    return out;
}

// Whether one of U is a guard that is not there any more.
static bool unguarded(const struct tr_route *r, const struct uses *u)
{
    for (size_t i = 0; i < u->count; i++) {
        const struct sld_plugin_slot *slot = tr_plugin(r->tr, u->items[i].name);
        if (slot && slot->gone)
            return true;
    }
    return false;
}

static struct sld_str row_of(const struct tr_route *r)
{
    return sld_arena_fmt(r->tr->arena, "%s %s", r->vhost->vh->name, r->route->name);
}

// The clusters of plugins that R sends to.
static void note_clusters(struct tr_route *r)
{
    const Env__Route__RouteAction *a = r->action;
    if (!a)
        return;
    if (a->cluster_specifier_case == ENV__ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_CLUSTER)
        pl_sends_to(r->tr, r->vhost->clusters, sld_str_c(a->cluster));
    const Env__Route__WeightedCluster *w =
        a->cluster_specifier_case == ENV__ROUTE__ROUTE_ACTION__CLUSTER_SPECIFIER_WEIGHTED_CLUSTERS ? a->weighted_clusters : NULL;
    for (size_t i = 0; w && i < w->n_clusters; i++)
        pl_sends_to(r->tr, r->vhost->clusters, sld_str_c(w->clusters[i]->name));
    for (size_t i = 0; i < a->n_request_mirror_policies; i++)
        pl_sends_to(r->tr, r->vhost->clusters, sld_str_c(a->request_mirror_policies[i]->cluster));
}

static void route(struct tr_route *r)
{
    struct uses u = {0};
    const Gloo__VirtualHostOptions *vh = r->vhost->options;
    add_uses(r->tr->arena, &u, r->options ? r->options->extensions : NULL, false);
    add_uses(r->tr->arena, &u, vh ? vh->extensions : NULL, true);
    sort_uses(&u);
    r->closed |= unguarded(r, &u);
    struct call c = {.hook = SLD_HOOK_SHAPE_ROUTE, .tr = r->tr, .ns = r->ns, .source = &r->source->base};
    c.row = u.count ? row_of(r) : c.row;
    for (size_t i = 0; i < u.count && !r->refused; i++) {
        r->refused = !shape(&c, &u.items[i], &r->route->base, "route", r->report);
        Google__Protobuf__Any *edge = ship(&c, &u.items[i], r->report, &r->refused);
        if (edge) {
            Env__Route__Route__TypedPerFilterConfigEntry *e =
                SLD_MSG(r->tr->arena, Env__Route__Route__TypedPerFilterConfigEntry, env__route__route__typed_per_filter_config_entry);
            e->key = pl_ship_name(r->tr->arena, u.items[i].name);
            e->value = edge;
            SLD_PUSH(r->tr->arena, r->route->typed_per_filter_config, r->route->n_typed_per_filter_config, e);
        }
    }
    if (!r->refused)
        r->refused = !pl_requests_route(r, &u);
    r->action = r->route->action_case == ENV__ROUTE__ROUTE__ACTION_ROUTE ? r->route->route : NULL;
    if (u.count)
        note_clusters(r);
}

static void weighted(struct tr_weighted *w)
{
    struct uses u = {0};
    struct tr_route *r = w->route;
    add_uses(r->tr->arena, &u, w->options ? w->options->extensions : NULL, false);
    sort_uses(&u);
    r->closed |= unguarded(r, &u);
    struct call c = {.hook = SLD_HOOK_SHAPE_DESTINATION, .tr = r->tr, .ns = r->ns};
    if (u.count)
        c.row = sld_arena_fmt(r->tr->arena, "%.*s %zu %s", SLD_FMT(row_of(r)), w->index, w->weight->name);
    for (size_t i = 0; i < u.count && !r->refused; i++) {
        r->refused = !shape(&c, &u.items[i], &w->weight->base, "destination", w->report);
        Google__Protobuf__Any *edge = ship(&c, &u.items[i], w->report, &r->refused);
        if (edge) {
            Env__Route__WeightedCluster__ClusterWeight__TypedPerFilterConfigEntry *e =
                SLD_MSG(r->tr->arena, Env__Route__WeightedCluster__ClusterWeight__TypedPerFilterConfigEntry,
                        env__route__weighted_cluster__cluster_weight__typed_per_filter_config_entry);
            e->key = pl_ship_name(r->tr->arena, u.items[i].name);
            e->value = edge;
            SLD_PUSH(r->tr->arena, w->weight->typed_per_filter_config, w->weight->n_typed_per_filter_config, e);
        }
    }
}

static bool is_chosen(const Gloo__Plugin *p, const Gloo__Metadata *m)
{
    const Gloo__Plugin__UpstreamSelector *s = p->upstream_selector;
    for (size_t i = 0; i < p->n_upstreams; i++) {
        const char *ns = p->upstreams[i]->namespace_[0] ? p->upstreams[i]->namespace_ : p->metadata->namespace_;
        if (!strcmp(p->upstreams[i]->name, m->name) && !strcmp(ns, m->namespace_))
            return true;
    }
    if (!s || !sld_selector_labels_match(s->labels, s->n_labels, m))
        return false;
    return s->n_namespaces ? sld_namespaces_match(s->namespaces, s->n_namespaces, sld_str_c(m->namespace_))
                           : !strcmp(p->metadata->namespace_, m->namespace_);
}

// An upstream is never withheld because of a plugin, as listeners are not.
static void cluster(struct tr_cluster *t)
{
    const struct sld_plugin_slot *all = tr_plugin(t->tr, SLD_PLUGIN_SHAPERS);
    const Gloo__Metadata *m = t->upstream->metadata;
    for (size_t i = 0; all && i < all->member_count; i++) {
        const struct sld_plugin_slot *slot = all->members[i];
        struct use u = {.name = sld_str_c(slot->declared->metadata->name)};
        google__protobuf__value__init(&u.conf);
        struct call c = {.hook = SLD_HOOK_SHAPE_UPSTREAM, .tr = t->tr, .ns = sld_str_c(m->namespace_), .source = &t->upstream->base};
        c.name = "upstream";
        c.row = sld_str_c(t->cluster->name);
        if (is_chosen(slot->declared, m))
            run_hook(&c, slot, &u, SLD_STR(""), &t->cluster->base, t->report);
    }
}

static void virtual_host(struct tr_vhost *v)
{
    struct uses u = {0};
    add_uses(v->tr->arena, &u, v->options ? v->options->extensions : NULL, false);
    sort_uses(&u);
    struct call c = {.hook = SLD_HOOK_SHAPE_VIRTUAL_HOST, .tr = v->tr, .ns = v->ns, .row = sld_str_c(v->vh->name)};
    for (size_t i = 0; i < u.count && !v->refused; i++) {
        v->refused = !shape(&c, &u.items[i], &v->vh->base, "virtual_host", v->report);
        Google__Protobuf__Any *edge = ship(&c, &u.items[i], v->report, &v->refused);
        if (edge) {
            Env__Route__VirtualHost__TypedPerFilterConfigEntry *e = SLD_MSG(
                v->tr->arena, Env__Route__VirtualHost__TypedPerFilterConfigEntry, env__route__virtual_host__typed_per_filter_config_entry);
            e->key = pl_ship_name(v->tr->arena, u.items[i].name);
            e->value = edge;
            SLD_PUSH(v->tr->arena, v->vh->typed_per_filter_config, v->vh->n_typed_per_filter_config, e);
        }
    }
}

// A listener is never withheld because of a plugin: without its edits it goes on.
static void listener(struct tr_listener *l)
{
    struct uses u = {0};
    struct sld_ident id = {0};
    add_uses(l->tr->arena, &u, l->http ? l->http->extensions : NULL, false);
    sort_uses(&u);
    if (u.count)
        id.ns = sld_str_c(l->gateway->metadata->namespace_);
    struct sld_str was = sld_report_enter(l->report, "httpGateway", -1);
    for (size_t i = 0; i < u.count; i++) {
        size_t filters = l->filter_count;
        struct call c = {.hook = SLD_HOOK_SHAPE_LISTENER, .tr = l->tr, .ns = id.ns, .source = &l->gateway->base, .listener = l};
        c.hcm = l->hcm ? sld_msg_copy(l->tr->arena, &l->hcm->base) : NULL;
        if (!shape(&c, &u.items[i], &l->listener->base, "listener", l->report))
            l->filter_count = filters;
        else if (c.hcm)
            memcpy(l->hcm, c.hcm, c.hcm->descriptor->sizeof_message);
    }
    pl_logs_listener(l, &u, id.ns);
    sld_report_leave(l->report, was);
    pl_ship_filters(l);
    pl_requests_listener(l);
}

const struct sld_feature sld_feature_extensions = {
    .name = "extensions",
    .help = "Hooks of plugins that options.extensions.configs names.",
    .options = {"HttpListenerOptions.extensions", "RouteOptions.extensions", "VirtualHostOptions.extensions",
                "WeightedDestinationOptions.extensions"},
    .late = true,
    .check = check,
    .listener = listener,
    .virtual_host = virtual_host,
    .route = route,
    .weighted = weighted,
    .cluster = cluster,
    .extra = pl_extra,
    .fixed = pl_requests_fixed,
};

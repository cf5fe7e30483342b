// The hook `extra`: clusters and secrets that a plugin adds to what Envoys get, for the filters it sets. Each plugin has a row
// of its own, so its hook runs when its version, its document, or an object that it read has changed.
#include "plugin/call.h"
#include "plugin/declare.h"
#include "plugin/uses.h"
#include "plugin/value.h"

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"

#define ADD "solder.add"
enum { ADDED_MAX = 100, ADDED_NAME_MAX = 100 };

struct added {
    enum sld_out_type type;
    ProtobufCMessage *message;
    struct sld_str name, where; // of the call that added it
};

struct adding {
    struct call call;
    struct added *items;
    size_t count;
};

// What the hook is given knows its call, as handles do.
struct adder {
    struct adding *adding;
    uint64_t number;
};

// ---- What the hook may do ----

static struct adding *check_adder(lua_State *L)
{
    struct adder *a = luaL_checkudata(L, 1, ADD);
    if (a->number != pl_host_of(L)->call)
        pl_error(L, "what extra is given is stale: it was lent to a call that is over");
    return a->adding;
}

static bool name_ok(struct sld_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return name.n > 0 && name.n <= ADDED_NAME_MAX;
}

static const char *word_of(enum sld_out_type t)
{
    return t == SLD_OUT_CLUSTER ? "cluster" : "secret";
}

// Field `name` of M.
static char **name_of(ProtobufCMessage *m, enum sld_out_type t)
{
    return t == SLD_OUT_CLUSTER ? &((Env__Cluster__Cluster *)m)->name : &((Env__TransportSocketsTls__Secret *)m)->name;
}

static int add(lua_State *L, enum sld_out_type type)
{
    struct adding *g = check_adder(L);
    struct sld_arena *a = g->call.tr->arena;
    luaL_checkstring(L, 2);
    struct sld_str name = pl_str(L, 2);
    if (!name_ok(name))
        pl_error(L, "a %s's name is made of letters, digits, '-', '_' and '.', at most %d: it is called " SLD_EXTRA_PREFIX "%.*s/<name> then",
                 word_of(type), ADDED_NAME_MAX, SLD_FMT(g->call.plugin->info.name));
    if (g->count == ADDED_MAX)
        pl_error(L, "extra adds more than %d clusters and secrets", ADDED_MAX);
    struct added one = {.type = type};
    one.name = sld_arena_fmt(a, SLD_EXTRA_PREFIX "%.*s/%.*s", SLD_FMT(g->call.plugin->info.name), SLD_FMT(name));
    for (size_t i = 0; i < g->count; i++) {
        if (g->items[i].type == type && sld_str_eq(g->items[i].name, one.name))
            pl_error(L, "%s %.*s was added before, by %.*s", word_of(type), SLD_FMT(name),
                     SLD_FMT(sld_str_sub(g->items[i].where, 0, g->items[i].where.n > 2 ? g->items[i].where.n - 2 : 0)));
    }
    one.message = sld_msg_new(a, sld_out_type_desc(type));
    *name_of(one.message, type) = SLD_MSG_STR(a, one.name);
    luaL_where(L, 1);
    one.where = sld_arena_str(a, pl_str(L, -1));
    SLD_PUSH(a, g->items, g->count, one);
    pl_spend(L, 100);
    pl_push_message(L, &g->call.edit, one.message, word_of(type), false);
    return 1;
}

static int add_cluster(lua_State *L)
{
    return add(L, SLD_OUT_CLUSTER);
}

static int add_secret(lua_State *L)
{
    return add(L, SLD_OUT_SECRET);
}

static int adder_index(lua_State *L)
{
    struct sld_str key = pl_str(L, 2);
    (void)check_adder(L);
    if (sld_str_eq(key, SLD_STR("cluster")))
        lua_pushcfunction(L, add_cluster);
    else if (sld_str_eq(key, SLD_STR("secret")))
        lua_pushcfunction(L, add_secret);
    else
        pl_error(L, "what extra is given has no '%.*s'; there are cluster and secret", SLD_FMT(key));
    return 1;
}

static int refuse(lua_State *L)
{
    pl_error(L, "what extra is given cannot be written; it has cluster and secret");
}

static void push_adder(lua_State *L, struct adding *g)
{
    struct adder *a = lua_newuserdatauv(L, sizeof(*a), 0);
    *a = (struct adder){g, pl_host_of(L)->call};
    if (luaL_newmetatable(L, ADD)) {
        lua_pushcfunction(L, adder_index);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, refuse);
        lua_setfield(L, -2, "__newindex");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

// ---- What it added ----

// Why Envoys cannot be given I, or an absent slice.
static struct sld_str fault_of(struct sld_arena *a, const struct added *i)
{
    const Env__Cluster__Cluster *c = (const Env__Cluster__Cluster *)i->message;
    struct sld_report r = {.arena = a};
    if (!sld_str_eq(sld_str_c(*name_of(i->message, i->type)), i->name))
        return sld_arena_fmt(a, "its name stays %.*s", SLD_FMT(i->name));
    if (i->type == SLD_OUT_CLUSTER && c->cluster_discovery_type_case == ENV__CLUSTER__CLUSTER__CLUSTER_DISCOVERY_TYPE_TYPE &&
        c->type == ENV__CLUSTER__CLUSTER__DISCOVERY_TYPE__EDS)
        return SLD_STR("its type cannot be EDS: give its endpoints in load_assignment, or publish an upstream by discover");
    if (i->type == SLD_OUT_SECRET && ((const Env__TransportSocketsTls__Secret *)i->message)->type_case == 0)
        return SLD_STR("it is empty; set tls_certificate, validation_context or generic_secret");
    sld_msg_check(&r, i->message, SLD_ENVOY_CONSTRAINT, NULL);
    for (size_t k = 0; k < r.count; k++) {
        if (r.items[k].severity == SLD_ERROR)
            return sld_arena_fmt(a, "Envoy would refuse %.*s: %.*s", SLD_FMT(r.items[k].path), SLD_FMT(r.items[k].message));
    }
    return SLD_STR_NONE;
}

static int call_extra(lua_State *L)
{
    struct adding *g = lua_touserdata(L, 1);
    pl_push_hook(L, SLD_HOOK_EXTRA);
    pl_push_conf(L, &g->call.plugin->conf, g->call.conf);
    push_adder(L, g);
    pl_push_context(L, &g->call);
    lua_call(L, 3, 0);
    pl_freeze_check(L);
    for (size_t i = 0; i < g->count; i++) {
        struct sld_str fault = fault_of(g->call.tr->arena, &g->items[i]);
        if (fault.p)
            return luaL_error(L, "%s%s %s: %s", sld_arena_cstr(g->call.tr->arena, g->items[i].where), word_of(g->items[i].type),
                              sld_arena_cstr(g->call.tr->arena, g->items[i].name), sld_arena_cstr(g->call.tr->arena, fault));
    }
    return 0;
}

static void emit(struct tr *tr, const struct adding *g)
{
    for (size_t i = 0; i < g->count; i++) {
        const struct added *one = &g->items[i];
        struct sld_out proto = {
            .type = one->type, .name = one->name, .gated = one->type == SLD_OUT_CLUSTER, .secret = one->type == SLD_OUT_SECRET};
        struct sld_report r = {.arena = tr->arena};
        struct sld_str key = tr_out_key(tr->arena, one->type, SLD_STR(""), one->name);
        bool ok = tr_emit_out(tr, sld_flow_key(tr->t->flow, key), one->message, &proto, &r);
        SLD_INV(ok);
    }
}

// ---- What it gave last ----

static struct sld_str row_of(struct tr *tr, enum sld_out_type type, size_t i)
{
    return sld_arena_fmt(tr->arena, "extra %s %zu", word_of(type), i);
}

static const enum sld_out_type added_types[] = {SLD_OUT_CLUSTER, SLD_OUT_SECRET};

static void keep(struct tr *tr, struct pl_last *last, const struct adding *g)
{
    for (size_t t = 0; t < SLD_ARRAY_LEN(added_types); t++) {
        size_t n = 0;
        for (size_t i = 0; i < g->count; i++) {
            if (g->items[i].type == added_types[t])
                pl_last_set(last, row_of(tr, added_types[t], n++), (struct sld_hash){0}, g->items[i].message);
        }
        pl_last_drop(last, row_of(tr, added_types[t], n)); // so the list ends here
    }
}

static void recall(struct tr *tr, const struct pl_last *last, struct adding *g)
{
    g->count = 0;
    for (size_t t = 0; t < SLD_ARRAY_LEN(added_types); t++) {
        struct added one = {.type = added_types[t]};
        const ProtobufCMessageDescriptor *desc = sld_out_type_desc(one.type);
        for (size_t n = 0; (one.message = pl_last_get(last, row_of(tr, one.type, n), (struct sld_hash){0}, tr->arena, desc)); n++) {
            one.name = sld_str_c(*name_of(one.message, one.type));
            SLD_PUSH(tr->arena, g->items, g->count, one);
        }
    }
}

// ---- The hook ----

// Calls it; false with words in ERR.
static bool run(struct adding *g, const struct sld_plugin_slot *slot, struct sld_err *err)
{
    struct sld_arena *a = g->call.tr->arena;
    struct sld_plugin *p = slot->plugin;
    struct sld_report r = {.arena = a};
    Google__Protobuf__Value none = GOOGLE__PROTOBUF__VALUE__INIT;
    if (slot->suspended || pl_exhausted(slot)) {
        sld_err_set(err, SLD_AGAIN, "plugin %.*s: %.*s", SLD_FMT(p->info.name),
                    SLD_FMT(slot->suspended ? slot->error : sld_str_c(p->errors[0].words)));
        return false;
    }
    g->call.plugin = p;
    g->call.conf = pl_declared_conf(a, slot->declared, &none);
    g->call.edit = (struct pl_edit){a, &g->call, pl_call_secret};
    sld_conf_check(&r, &p->conf, g->call.conf->kind_case ? g->call.conf : NULL);
    for (size_t i = 0; i < r.count; i++) {
        if (r.items[i].severity != SLD_ERROR)
            continue;
        sld_err_set(err, SLD_INVALID, "extra is not called: config%s%.*s: %.*s; set it in the plugin's Plugin document",
                    r.items[i].path.n ? "." : "", SLD_FMT(r.items[i].path), SLD_FMT(r.items[i].message));
        pl_count_call(p, SLD_HOOK_EXTRA, SLD_INVALID, 0, err);
        return false;
    }
    return pl_call_hook(p, SLD_HOOK_EXTRA, call_extra, g, err) == SLD_OK;
}

// What is told where there is a document to hold it; a plugin of the folder alone has its errors with it.
static void tell(struct tr *tr, const struct sld_plugin_slot *slot, const char *words, const char *rest, bool warning)
{
    const Gloo__Plugin *d = slot->declared;
    if (!d)
        return;
    struct sld_str key = tr_key(tr->arena, SLD_KIND_PLUGIN, sld_str_c(d->metadata->namespace_), sld_str_c(d->metadata->name));
    sld_report_add(tr_report(tr, key), warning ? SLD_WARNING : SLD_ERROR, SLD_PLUGIN_FAILED, SLD_STR(""), "%s%s", words, rest);
}

// Calls the hook, or does without.
static void add_extras(struct tr *tr, const struct sld_plugin_slot *slot, struct sld_str ns)
{
    struct adding g = {.call = {.hook = SLD_HOOK_EXTRA, .tr = tr, .ns = ns}};
    struct sld_err err = {0};
    const Gloo__Plugin *d = slot->declared;
    if (run(&g, slot, &err)) {
        if (slot->last)
            keep(tr, slot->last, &g);
        emit(tr, &g);
        return;
    }
    g.count = 0;
    bool open = d && strcmp(d->on_error, "open") == 0;
    if (slot->last)
        recall(tr, slot->last, &g);
    emit(tr, &g);
    tell(tr, slot, err.msg,
         open      ? "; it goes on without what the plugin adds"
         : g.count ? "; what the plugin gave last stays"
                   : "; what the plugin adds is not there, so what refers to it does not work",
         open || g.count);
}

// What its tasks are configured with, where that refers to secrets.
static void add_task_conf(struct tr *tr, const struct sld_plugin_slot *slot, struct sld_str name, struct sld_str ns, struct tr_confs *confs)
{
    struct sld_err err = {0};
    if (!(slot->plugin->info.hooks & SLD_HOOKS_OF_TASKS) || !pl_needs_secrets(slot))
        return;
    struct sld_request_conf *c = pl_task_conf(tr, slot, name, ns, &err);
    if (c)
        tr_confs_add(tr, confs, c);
    else
        tell(tr, slot, sld_arena_fmt(tr->arena, "plugin %.*s: %s", SLD_FMT(name), err.msg).p,
             "; its tasks go on with what they had, and do not begin without it", false);
}

void pl_extra(struct tr *tr, struct sld_str name, struct tr_confs *confs)
{
    const struct sld_plugin_slot *slot = tr_plugin(tr, name);
    if (!slot || !slot->plugin || !(slot->plugin->info.hooks & (1U << SLD_HOOK_EXTRA | SLD_HOOKS_OF_TASKS)))
        return;
    const Gloo__Plugin *d = slot->declared;
    struct sld_str ns = d ? sld_str_c(d->metadata->namespace_) : tr_write_ns(tr);
    if (d)
        tr_use(tr, tr_key(tr->arena, SLD_KIND_PLUGIN, ns, sld_str_c(d->metadata->name)));
    if (slot->plugin->info.hooks & (1U << SLD_HOOK_EXTRA))
        add_extras(tr, slot, ns);
    add_task_conf(tr, slot, name, ns, confs);
}

void pl_sends_to(struct tr *tr, struct tr_clusters *clusters, struct sld_str name)
{
    if (clusters && sld_str_starts(name, SLD_STR(SLD_EXTRA_PREFIX)) && tr_is_extra(tr, name))
        tr_clusters_add(tr, clusters, name);
}

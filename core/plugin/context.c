// What hooks of translation are given beside their handle: the context, and the texts of secrets.
#include "plugin/call.h"

#include "plugin/uses.h"

#define CONTEXT "solder.context"
enum { NAME_MAX_BYTES = 253 }; // of an object

// A context knows its call, as handles do.
struct context {
    struct call *call;
    uint64_t number;
};

static struct call *check_context(lua_State *L)
{
    struct context *c = luaL_checkudata(L, 1, CONTEXT);
    if (c->number != pl_host_of(L)->call)
        pl_error(L, "the context is stale: it was lent to a call that is over");
    return c->call;
}

static ProtobufCMessage *unfrozen(const void *message)
{
    union {
        const void *frozen;
        ProtobufCMessage *own;
    } u = {message}; // behind a read-only handle
    return u.own;
}

// ctx:get(kind, name [, namespace]): another object, read-only, or nil. Recorded.
static int context_get(lua_State *L)
{
    struct call *c = check_context(L);
    luaL_checkstring(L, 2);
    luaL_checkstring(L, 3);
    luaL_argcheck(L, pl_str(L, 3).n <= NAME_MAX_BYTES && pl_str(L, 4).n <= NAME_MAX_BYTES, 3, "a name is not that long");
    if (!(c->plugin->info.needs & (1U << SLD_NEED_OBJECTS)))
        pl_error(L, "ctx:get reads other objects: add needs = {\"objects\"} to the plugin's table");
    const struct sld_kind_info *kind = sld_kind_find(pl_str(L, 2));
    if (!kind)
        pl_error(L, "there is no kind '%.*s'", SLD_FMT(pl_str(L, 2)));
    if (kind->kind == SLD_KIND_SECRET || kind->kind == SLD_KIND_SETTINGS)
        pl_error(L, "a %s cannot be read here; refer to it by secret_ref in the schema", kind->name);
    struct sld_str ns = lua_isnoneornil(L, 4) ? c->ns : sld_str_c(luaL_checkstring(L, 4));
    const struct sld_object *o = tr_object(c->tr, kind->kind, sld_arena_str(c->tr->arena, ns),
                                           sld_arena_str(c->tr->arena, pl_str(L, 3)));
    pl_spend(L, 100);
    if (o)
        pl_push_message(L, &c->edit, unfrozen(sld_object_msg(o)), kind->name, true);
    else
        lua_pushnil(L);
    return 1;
}

// The whole number of stage NAME.
static enum sld_stage stage_of(lua_State *L, struct sld_str name)
{
    static const char *const names[] = {"fault", "cors", "waf", "authn", "authz", "ratelimit", "accepted", "outauth", "route"};
    for (size_t i = 0; i < SLD_ARRAY_LEN(names); i++) {
        if (sld_str_eq(name, sld_str_c(names[i])))
            return (enum sld_stage)i;
    }
    pl_error(L, "there is no stage '%.*s'; there are fault, cors, waf, authn, authz, ratelimit, accepted, outauth and route",
             SLD_FMT(name));
}

static int when_of(lua_State *L, struct sld_str word)
{
    if (sld_str_eq(word, SLD_STR("before")))
        return SLD_BEFORE;
    if (sld_str_eq(word, SLD_STR("after")))
        return SLD_AFTER;
    if (word.n && !sld_str_eq(word, SLD_STR("during")))
        pl_error(L, "'place' is before, during or after, not %.*s", SLD_FMT(word));
    return SLD_DURING;
}

// The clusters of plugins that a filter's configuration names, wherever.
static void note_clusters(const struct call *c, const struct sld_node *n)
{
    if (n->type == SLD_NODE_SCALAR)
        pl_sends_to(c->tr, c->listener->clusters, n->text);
    for (size_t i = 0; i < n->count && n->type != SLD_NODE_SCALAR; i++)
        note_clusters(c, n->type == SLD_NODE_MAP ? n->pairs[i].value : n->items[i]);
}

// ctx:add_filter{name =, stage =, place =, config = {["@type"] = ...}, disabled =}
static int context_add_filter(lua_State *L)
{
    struct call *c = check_context(L);
    if (!c->listener || !c->listener->hcm)
        pl_error(L, "filters can be added to HTTP listeners only, by shape_listener");
    luaL_checktype(L, 2, LUA_TTABLE);
    struct sld_str texts[3];
    static const char *const names[] = {"name", "stage", "place"};
    struct sld_arena *a = c->edit.arena;
    for (size_t i = 0; i < 3; i++) {
        lua_getfield(L, 2, names[i]);
        texts[i] = lua_isnil(L, -1) ? SLD_STR("") : sld_arena_str(a, pl_str(L, -1));
        if (!texts[i].n && i < 2)
            pl_error(L, "add_filter needs '%s'", names[i]);
        lua_pop(L, 1);
    }
    lua_getfield(L, 2, "config");
    struct sld_report r = {.arena = a};
    const struct sld_node *node = pl_to_node(L, -1, &c->edit);
    note_clusters(c, node);
    Google__Protobuf__Any *any = sld_doc_decode(a, &google__protobuf__any__descriptor, node, false, &r);
    ProtobufCMessage *config = r.errors ? NULL : sld_msg_unpack(a, any);
    if (r.errors)
        pl_error(L, "config%s%.*s: %.*s", r.items[0].path.n ? "." : "", SLD_FMT(r.items[0].path), SLD_FMT(r.items[0].message));
    if (!config)
        pl_error(L, "config needs \"@type\"");
    lua_getfield(L, 2, "disabled");
    tr_filter_add(c->listener, stage_of(L, texts[1]), when_of(L, texts[2]), sld_arena_cstr(a, texts[0]), config,
                  lua_toboolean(L, -1));
    return 0;
}

static int context_index(lua_State *L)
{
    struct call *c = check_context(L);
    struct sld_str key = pl_str(L, 2);
    if (sld_str_eq(key, SLD_STR("get")))
        lua_pushcfunction(L, context_get);
    else if (sld_str_eq(key, SLD_STR("add_filter")))
        lua_pushcfunction(L, context_add_filter);
    else if (sld_str_eq(key, SLD_STR("namespace")))
        pl_push_str(L, c->ns);
    else if (sld_str_eq(key, SLD_STR("source")) && c->source)
        pl_push_message(L, &c->edit, unfrozen(c->source), "source", true);
    else if (sld_str_eq(key, SLD_STR("http")) && c->hcm)
        pl_push_message(L, &c->edit, c->hcm, "http", false);
    else if (sld_str_eq(key, SLD_STR("source")) || sld_str_eq(key, SLD_STR("http")))
        lua_pushnil(L);
    else
        pl_error(L, "the context has no '%.*s'; there are get, add_filter, namespace, source and http", SLD_FMT(key));
    return 1;
}

static int refuse(lua_State *L)
{
    pl_error(L, "the context cannot be written");
}

void pl_push_context(lua_State *L, struct call *call)
{
    struct context *c = lua_newuserdatauv(L, sizeof(*c), 0);
    *c = (struct context){call, pl_host_of(L)->call};
    if (luaL_newmetatable(L, CONTEXT)) {
        lua_pushcfunction(L, context_index);
        lua_setfield(L, -2, "__index");
        lua_pushcfunction(L, refuse);
        lua_setfield(L, -2, "__newindex");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}

// ---- Secrets ----

static struct sld_str secret_text(const Gloo__Secret *s, struct sld_str key)
{
    if (s->kind_case == GLOO__SECRET__KIND_API_KEY && (!key.n || sld_str_eq(key, SLD_STR("apiKey"))))
        return sld_str_c(s->api_key->api_key);
    if (s->kind_case != GLOO__SECRET__KIND_HEADER)
        return SLD_STR_NONE;
    for (size_t i = 0; i < s->header->n_headers; i++) {
        if (sld_str_eq(sld_str_c(s->header->headers[i]->key), key) || (!key.n && s->header->n_headers == 1))
            return sld_str_c(s->header->headers[i]->value);
    }
    return SLD_STR_NONE;
}

bool pl_secret_of(struct tr *tr, struct sld_str ns, struct sld_str name, struct sld_str key, struct sld_str *out, struct sld_err *err)
{
    const Gloo__Secret *s = tr_secret_values(tr, ns, name);
    struct sld_str text = s ? secret_text(s, key) : SLD_STR_NONE;
    if (!text.p) {
        sld_err_set(err, SLD_NOT_FOUND, s ? "secret %.*s.%.*s has no text of that key" : "there is no secret %.*s.%.*s; %s",
                    SLD_FMT(ns), SLD_FMT(name), s ? "" : tr_mend_ref(tr, SLD_KIND_SECRET, ns, name));
        return false;
    }
    *out = sld_arena_str(tr->arena, text);
    return true;
}

bool pl_call_secret(void *user, struct sld_str ns, struct sld_str name, struct sld_str key, struct sld_str *out, struct sld_err *err)
{
    struct call *c = user;
    return pl_secret_of(c->tr, ns.n ? ns : c->ns, name, key, out, err);
}

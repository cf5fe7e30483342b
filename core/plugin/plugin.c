// Loading a plugin, and calling its hooks.
#include <stdio.h>

#include "plugin/load.h"
#include "plugin/value.h"

static const char *const hook_names[SLD_HOOK_COUNT] = {
    [SLD_HOOK_AUTHORIZE] = "authorize",
    [SLD_HOOK_CHECK] = "check",
    [SLD_HOOK_DISCOVER] = "discover",
    [SLD_HOOK_EXTRA] = "extra",
    [SLD_HOOK_LOG] = "log",
    [SLD_HOOK_SECRET] = "secret",
    [SLD_HOOK_SHAPE_DESTINATION] = "shape_destination",
    [SLD_HOOK_SHAPE_LISTENER] = "shape_listener",
    [SLD_HOOK_SHAPE_ROUTE] = "shape_route",
    [SLD_HOOK_SHAPE_UPSTREAM] = "shape_upstream",
    [SLD_HOOK_SHAPE_VIRTUAL_HOST] = "shape_virtual_host",
    [SLD_HOOK_TRANSFORM_REQUEST] = "transform_request",
    [SLD_HOOK_TRANSFORM_RESPONSE] = "transform_response",
};
// What else a plugin's table may hold; the rest is a mistake.
static const char *const other_fields[] = {"api",           "log_headers", "name",   "needs",   "request_body",
                                           "response_body", "runs",        "schema", "summary", "version"};

enum { API = 1, LOG_HEADERS_MAX = 50 };

static const struct {
    const char *name, *about;
} needs[SLD_NEED_COUNT] = {
    [SLD_NEED_CONSUL] = {"consul", "it reads from the Consul that Solder knows, with Solder's token"},
    [SLD_NEED_DNS] = {"dns", "it asks for names"},
    [SLD_NEED_FILES] = {"files", "it reads files that its Plugin document names"},
    [SLD_NEED_HTTP] = {"http", "it sends requests of its own"},
    [SLD_NEED_KV] = {"kv", "it keeps values in the state directory"},
    [SLD_NEED_OBJECTS] = {"objects", "it reads other objects than the one it shapes"},
    [SLD_NEED_SECRETS] = {"secrets", "its configuration refers to secrets, whose values its hooks of requests and tasks may read"},
    [SLD_NEED_VAULT] = {"vault", "it reads from the Vault that Solder knows, with Solder's token"},
};

const char *sld_need_name(enum sld_need n)
{
    return needs[n].name;
}

const char *sld_need_about(enum sld_need n)
{
    return needs[n].about;
}

const char *sld_hook_name(enum sld_hook h)
{
    return hook_names[h];
}

// ---- The plugin's table ----

struct loading {
    struct sld_plugin *p;
    pl_fault *fault; // of edge code; NULL: it is an error
    void *user;
};

static bool among(struct sld_str key, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sld_str_eq(key, sld_str_c(names[i])))
            return true;
    }
    return false;
}

static void nearest(struct sld_str key, const char *const *names, size_t n, size_t *best, const char **like)
{
    for (size_t i = 0; i < n; i++) {
        size_t d = sld_str_distance(key, sld_str_c(names[i]), *best);
        if (d < *best) {
            *best = d;
            *like = names[i];
        }
    }
}

static void check_key(lua_State *L, struct sld_str key)
{
    size_t best = 4;
    const char *like = NULL;
    if (among(key, hook_names, SLD_HOOK_COUNT) || among(key, other_fields, SLD_ARRAY_LEN(other_fields)))
        return;
    nearest(key, hook_names, SLD_HOOK_COUNT, &best, &like);
    nearest(key, other_fields, SLD_ARRAY_LEN(other_fields), &best, &like);
    luaL_error(L, "plugin.lua: the plugin's table has no field '%s'%s%s%s", lua_tostring(L, -2), like ? "; did you mean '" : "",
               like ? like : "", like ? "'?" : "");
}

static struct sld_str field_text(lua_State *L, struct sld_arena *a, const char *name)
{
    struct sld_str s = SLD_STR("");
    int type = lua_getfield(L, 1, name);
    if (type != LUA_TNIL && type != LUA_TSTRING)
        luaL_error(L, "plugin.lua: '%s' must be a string", name);
    if (type == LUA_TSTRING)
        s = sld_arena_str(a, pl_str(L, -1));
    lua_pop(L, 1);
    return s;
}

// The table at 1.
static void read_identity(lua_State *L, struct sld_plugin *p)
{
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "plugin.lua: the plugin's table has a key that is no name");
        check_key(L, pl_str(L, -2));
    }
    if (lua_getfield(L, 1, "api") != LUA_TNUMBER || lua_tointeger(L, -1) != API)
        luaL_error(L, "plugin.lua: 'api' must be %d, the number of the interface the plugin is written for", API);
    lua_pop(L, 1);
    struct sld_str name = field_text(L, &p->arena, "name"), own = p->host->bundle->name;
    if (!sld_str_eq(name, own)) {
        lua_pushlstring(L, own.p, own.n);
        luaL_error(L, "plugin.lua: 'name' must be \"%s\", the name of the folder or file", lua_tostring(L, -1));
    }
    p->info.name = name;
    p->info.version = field_text(L, &p->arena, "version");
    p->info.summary = field_text(L, &p->arena, "summary");
}

// needs = {"objects", "secrets"}
static void read_needs(lua_State *L, struct sld_plugin *p)
{
    int type = lua_getfield(L, 1, "needs");
    if (type != LUA_TNIL && type != LUA_TTABLE)
        luaL_error(L, "plugin.lua: 'needs' must be a list, such as {\"objects\"}");
    for (lua_Integer i = 1; type == LUA_TTABLE && lua_geti(L, -1, i) != LUA_TNIL; i++) {
        int n = 0;
        while (n < SLD_NEED_COUNT && !sld_str_eq(pl_str(L, -1), sld_str_c(needs[n].name)))
            n++;
        if (n == SLD_NEED_COUNT) {
            pl_tostring(L, -1);
            luaL_error(L, "plugin.lua: there is no need '%s'; there are consul, dns, files, http, kv, objects, secrets and vault", lua_tostring(L, -1));
        }
        p->info.needs |= 1U << n;
        p->host->needs = p->info.needs;
        lua_pop(L, 1);
    }
    lua_settop(L, 1);
}

static void read_runs(lua_State *L, struct sld_plugin *p)
{
    struct sld_str runs = field_text(L, &p->arena, "runs");
    if (runs.n && !sld_str_eq(runs, SLD_STR("solder")) && !sld_str_eq(runs, SLD_STR("envoy")))
        luaL_error(L, "plugin.lua: 'runs' must be \"solder\" or \"envoy\", not \"%s\"", sld_arena_cstr(&p->arena, runs));
    p->info.runs = sld_str_eq(runs, SLD_STR("envoy")) ? SLD_RUNS_ENVOY : SLD_RUNS_SOLDER;
}

static void read_body_field(lua_State *L, struct sld_arena *a, const char *name, struct sld_plugin_body *out)
{
    struct sld_str key = pl_str(L, -2), text = pl_str(L, -1);
    double max = -1;
    if (sld_str_eq(key, SLD_STR("max"))) {
        if (!sld_conf_quantity(SLD_CONF_SIZE, pl_to_value(L, lua_gettop(L), a), &max) || max < 1 || max > SLD_PLUGIN_BODY_MAX)
            luaL_error(L, "plugin.lua: %s: 'max' must be a size such as \"64KiB\", at most 4MiB", name);
        out->max_bytes = (size_t)max;
    } else if (!sld_str_eq(key, SLD_STR("mode"))) {
        pl_tostring(L, lua_gettop(L) - 1);
        luaL_error(L, "plugin.lua: %s has no field '%s'; there are mode and max", name, lua_tostring(L, -1));
    } else if (sld_str_eq(text, SLD_STR("buffered"))) {
        out->mode = SLD_BODY_BUFFERED;
    } else if (sld_str_eq(text, SLD_STR("streamed"))) {
        out->mode = SLD_BODY_STREAMED;
    } else {
        luaL_error(L, "plugin.lua: %s: 'mode' must be \"buffered\" or \"streamed\"", name);
    }
}

// Field NAME: {mode = "buffered", max = "64KiB"}
static void read_body(lua_State *L, struct sld_plugin *p, const char *name, struct sld_plugin_body *out)
{
    int type = lua_getfield(L, 1, name);
    if (type != LUA_TNIL && type != LUA_TTABLE)
        luaL_error(L, "plugin.lua: '%s' must be a table such as {mode = \"buffered\", max = \"64KiB\"}", name);
    if (type == LUA_TTABLE) {
        *out = (struct sld_plugin_body){SLD_BODY_BUFFERED, SLD_PLUGIN_BODY_DEFAULT};
        for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1))
            read_body_field(L, &p->arena, name, out);
    }
    lua_settop(L, 1);
}

// The path of a reference to a secret in C, and where the plugin says it; or an absent slice.
static struct sld_str secret_in(struct sld_arena *a, const struct sld_conf *c, const char **at)
{
    if (c->type == SLD_CONF_SECRET_REF) {
        *at = c->at.n ? sld_arena_cstr(a, c->at) : "plugin.lua: ";
        return SLD_STR("");
    }
    if (c->item)
        return secret_in(a, c->item, at);
    for (size_t i = 0; i < c->field_count; i++) {
        struct sld_str s = secret_in(a, &c->fields[i], at);
        if (s.p)
            return SLD_ARENA_JOIN(a, c->fields[i].name, s.n ? SLD_STR(".") : SLD_STR(""), s);
    }
    return SLD_STR_NONE;
}

static void read_edge(lua_State *L, struct loading *l)
{
    struct sld_err err = {0};
    const char *at = NULL;
    struct sld_str secret = secret_in(&l->p->arena, &l->p->conf, &at);
    if (secret.p)
        luaL_error(L, "%sschema: %s refers to a secret: what runs in Envoy has its configuration there, where secrets "
                      "do not go", at, sld_arena_cstr(&l->p->arena, secret));
    if (pl_edge_read(l->p, l->fault, l->user, &err))
        luaL_error(L, "%s", err.msg);
}

// The list that is field NAME of log_headers, on top.
static void read_names(lua_State *L, struct sld_arena *a, const char *name, struct sld_plugin_names *out)
{
    int type = lua_getfield(L, -1, name);
    if (type != LUA_TNIL && type != LUA_TTABLE)
        luaL_error(L, "plugin.lua: log_headers: '%s' must be a list of names", name);
    for (lua_Integer i = 1; type == LUA_TTABLE && lua_geti(L, -1, i) != LUA_TNIL; i++) {
        struct sld_str s = pl_str(L, -1);
        if (!s.n || s.n > 100 || i > LOG_HEADERS_MAX)
            luaL_error(L, "plugin.lua: log_headers: '%s' must be a list of at most %d names", name, LOG_HEADERS_MAX);
        char *low = sld_arena_cstr(a, s);
        for (size_t k = 0; k < s.n; k++)
            low[k] = (char)(low[k] >= 'A' && low[k] <= 'Z' ? low[k] | 0x20 : low[k]);
        SLD_PUSH(a, out->items, out->count, sld_str_n(low, s.n));
        lua_pop(L, 1);
    }
    lua_settop(L, 2);
}

// log_headers = {request = {...}, response = {...}}
static void read_log(lua_State *L, struct sld_plugin *p)
{
    int type = lua_getfield(L, 1, "log_headers");
    if (type != LUA_TNIL && (type != LUA_TTABLE || !(p->info.hooks & (1U << SLD_HOOK_LOG))))
        luaL_error(L, "plugin.lua: 'log_headers' is a table such as {request = {\"user-agent\"}, response = {}}, and of use with the hook log only");
    if (type == LUA_TTABLE) {
        read_names(L, &p->arena, "request", &p->info.log_request_headers);
        read_names(L, &p->arena, "response", &p->info.log_response_headers);
    }
    lua_settop(L, 1);
}

// Of bodies that are changed as a whole Envoy holds as much as of a connection.
static void check_held(lua_State *L, const struct sld_plugin_info *i)
{
    const struct sld_plugin_body *request = &i->request_body, *response = &i->response_body;
    bool changed = (i->hooks & (1U << SLD_HOOK_TRANSFORM_REQUEST)) && request->mode == SLD_BODY_BUFFERED;
    if ((changed && request->max_bytes > SLD_PLUGIN_BODY_HELD) ||
        (response->mode == SLD_BODY_BUFFERED && response->max_bytes > SLD_PLUGIN_BODY_HELD))
        luaL_error(L, "plugin.lua: of a body that is changed Envoy holds 1MiB at most: 'max' cannot be more; mode = \"streamed\" has no "
                      "such limit");
}

// What only hooks of requests have a use for.
static void read_requests(lua_State *L, struct loading *l)
{
    struct sld_plugin *p = l->p;
    struct sld_plugin_info *i = &p->info;
    const char *unused = lua_getfield(L, 1, "runs") ? "runs" : NULL;
    lua_settop(L, 1);
    read_body(L, p, "request_body", &i->request_body);
    read_body(L, p, "response_body", &i->response_body);
    read_runs(L, p);
    if (i->runs == SLD_RUNS_ENVOY)
        read_edge(L, l);
    unused = i->request_body.mode ? "request_body" : i->response_body.mode ? "response_body" : unused;
    if (unused && !(i->hooks & SLD_HOOKS_OF_REQUESTS))
        luaL_error(L, "plugin.lua: '%s' is of use with the hooks authorize, transform_request and transform_response only", unused);
    if (i->runs == SLD_RUNS_SOLDER)
        check_held(L, i);
    if (i->hooks & SLD_HOOKS_TRANSFORM)
        i->speaks = pl_speaks(p->host->bundle);
    if (i->request_body.mode == SLD_BODY_STREAMED && (i->hooks & (1U << SLD_HOOK_AUTHORIZE)))
        luaL_error(L, "plugin.lua: request_body: authorize decides before a body goes on, so its 'mode' must be \"buffered\"");
}

static void read_schema(lua_State *L, struct sld_plugin *p)
{
    p->conf.type = SLD_CONF_RECORD;
    if (lua_getfield(L, 1, "schema") != LUA_TNIL)
        pl_conf_read(L, -1, &p->arena, &p->conf);
    lua_settop(L, 1);
    const char *at = NULL;
    struct sld_str secret = secret_in(&p->arena, &p->conf, &at);
    if (secret.p && !(p->info.needs & (1U << SLD_NEED_SECRETS)))
        luaL_error(L, "%sschema: %s refers to a secret: add needs = {\"secrets\"} to the plugin's table", at,
                   sld_arena_cstr(&p->arena, secret));
}

static void read_hooks(lua_State *L, struct sld_plugin *p)
{
    lua_createtable(L, SLD_HOOK_COUNT, 0);
    for (int i = 0; i < SLD_HOOK_COUNT; i++) {
        int type = lua_getfield(L, 1, hook_names[i]);
        if (type != LUA_TNIL && type != LUA_TFUNCTION)
            luaL_error(L, "plugin.lua: '%s' must be a function", hook_names[i]);
        if (type == LUA_TFUNCTION)
            p->info.hooks |= 1U << i;
        lua_rawseti(L, -2, i + 1);
    }
    p->host->wipes = (p->info.hooks & (1U << SLD_HOOK_SECRET)) || (p->info.needs & (1U << SLD_NEED_SECRETS));
    lua_setfield(L, LUA_REGISTRYINDEX, "hooks");
    lua_settop(L, 1);
}

static int load(lua_State *L)
{
    struct loading *l = lua_touserdata(L, 1);
    struct sld_plugin *p = l->p;
    lua_settop(L, 0);
    pl_compile(L, sld_plugin_bundle_file(p->host->bundle, SLD_STR("plugin.lua")), "@plugin.lua");
    lua_call(L, 0, 1);
    if (!lua_istable(L, 1))
        return luaL_error(L, "plugin.lua: it must return a table with api, name and hooks, not a %s", luaL_typename(L, 1));
    read_identity(L, p);
    read_needs(L, p);
    read_schema(L, p);
    read_hooks(L, p);
    read_requests(L, l);
    read_log(L, p);
    pl_freeze(L, 1);
    return 0;
}

static void plugin_free(struct sld_obj *o)
{
    struct sld_plugin *p = (struct sld_plugin *)o;
    pl_host_destroy(p->host);
    sld_conf_fini(&p->conf);
    sld_arena_fini(&p->arena);
    sld_xfree(p);
}

enum sld_rc sld_plugin_load(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits, struct sld_plugin **out,
                            struct sld_err *err)
{
    return pl_plugin_load(b, limits, NULL, out, err);
}

static enum sld_rc load_plugin(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits, struct loading *l,
                               struct pl_cover *cover, struct sld_plugin **out, struct sld_err *err)
{
    struct sld_plugin *p = SLD_NEW(struct sld_plugin);
    sld_obj_init(&p->obj, plugin_free, b->obj.hash);
    p->info.conf = &p->conf;
    p->info.origin = sld_arena_str(&p->arena, b->origin);
    enum sld_rc rc = pl_host_create(limits, b, &p->host, err);
    if (!rc) {
        p->host->cover = cover;
        l->p = p;
        rc = pl_run(p->host, PL_LOAD, load, l, err);
    }
    if (rc)
        SLD_UNREF(p);
    else
        *out = p;
    return rc;
}

enum sld_rc pl_plugin_load(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits, struct pl_cover *cover,
                           struct sld_plugin **out, struct sld_err *err)
{
    return load_plugin(b, limits, &(struct loading){0}, cover, out, err);
}

enum sld_rc pl_plugin_load_all(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits, pl_fault *fault, void *user,
                               struct sld_plugin **out, struct sld_err *err)
{
    return load_plugin(b, limits, &(struct loading){.fault = fault, .user = user}, NULL, out, err);
}

const struct sld_plugin_limits *sld_plugin_limits(const struct sld_plugin *p)
{
    return &p->host->limits;
}

unsigned sld_plugin_worker_hooks(const struct sld_plugin *p)
{
    return p->info.hooks & ((p->info.runs == SLD_RUNS_SOLDER ? SLD_HOOKS_OF_REQUESTS : 0U) | 1U << SLD_HOOK_LOG);
}

struct sld_plugin_bundle *sld_plugin_files(const struct sld_plugin *p)
{
    return p->host->bundle;
}

struct pl_host *pl_host_of_plugin(struct sld_plugin *p)
{
    return p->host;
}

const struct sld_plugin_info *sld_plugin_info(const struct sld_plugin *p)
{
    return &p->info;
}

void sld_plugin_grant_files(struct sld_plugin *p, const struct sld_str *paths, size_t n)
{
    struct sld_str *own = SLD_ARENA_ARRAY(&p->arena, struct sld_str, n);
    for (size_t i = 0; i < n; i++)
        own[i] = sld_arena_str(&p->arena, paths[i]);
    p->host->files = own;
    p->host->file_count = n;
}

uint64_t sld_plugin_ran_ns(const struct sld_plugin *p)
{
    return p->ran_ns;
}

void sld_plugin_stats(const struct sld_plugin *p, struct sld_plugin_stats *out)
{
    memcpy(out->hooks, p->calls, sizeof(out->hooks));
    memcpy(out->errors, p->errors, sizeof(out->errors));
    out->error_count = p->error_count;
    out->breaches = p->breaches;
    out->used_bytes = p->host->used_bytes;
    out->peak_bytes = p->host->peak_bytes;
    out->limit_bytes = p->host->limits.memory_bytes;
}

// ---- Calls ----

void pl_push_hook(lua_State *L, enum sld_hook hook)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "hooks");
    lua_rawgeti(L, -1, (lua_Integer)hook + 1);
    lua_remove(L, -2);
}

static void keep_error(struct sld_plugin *p, enum sld_hook hook, const struct sld_err *err)
{
    memmove(p->errors + 1, p->errors, sizeof(p->errors) - sizeof(p->errors[0]));
    p->error_count += p->error_count < SLD_PLUGIN_ERRORS;
    struct sld_plugin_error *e = &p->errors[0];
    e->wall_ms = sld_wall_ms();
    e->hook = hook;
    snprintf(e->words, sizeof(e->words), "%s", err->msg);
    snprintf(e->trace, sizeof(e->trace), "%s", p->host->trace);
}

void pl_count_call(struct sld_plugin *p, enum sld_hook hook, enum sld_rc rc, uint64_t ns, struct sld_err *err)
{
    p->ran_ns = ns;
    struct sld_plugin_calls *c = &p->calls[hook];
    c->calls++;
    c->errors += rc != SLD_OK;
    c->limits += rc == SLD_LIMIT;
    c->total_ns += ns;
    if (ns > c->max_ns)
        c->max_ns = ns;
    p->breaches = rc == SLD_LIMIT ? p->breaches + 1 : rc ? p->breaches : 0;
    p->round_breaches += rc == SLD_LIMIT;
    if (rc) {
        keep_error(p, hook, err);
        sld_err_wrap(err, "plugin %.*s", SLD_FMT(p->info.name));
    }
}

enum sld_rc pl_call_hook(struct sld_plugin *p, enum sld_hook hook, lua_CFunction fn, void *arg, struct sld_err *err)
{
    uint64_t from = sld_mono_ns();
    enum sld_rc rc = pl_run(p->host, PL_PURE, fn, arg, err);
    pl_count_call(p, hook, rc, sld_mono_ns() - from, err);
    return rc;
}

// ---- Configurations ----

struct filling {
    const struct sld_conf *conf;
    const Google__Protobuf__Value *value;
    struct sld_arena *a;
    Google__Protobuf__Value *out;
};

static int fill(lua_State *L)
{
    struct filling *f = lua_touserdata(L, 1);
    pl_push_conf(L, f->conf, f->value);
    f->out = pl_to_value(L, -1, f->a);
    return 0;
}

enum sld_rc pl_conf_filled(struct sld_plugin *p, const Google__Protobuf__Value *value, struct sld_arena *a,
                           Google__Protobuf__Value **out, struct sld_err *err)
{
    struct filling f = {&p->conf, value, a, NULL};
    enum sld_rc rc = pl_run(p->host, PL_PURE, fill, &f, err);
    *out = f.out;
    return rc;
}

// ---- check ----

struct check {
    struct sld_plugin *p;
    struct sld_report *report;
    const Google__Protobuf__Value *value;
};

// fail(path, message). Upvalues: the check, the number of the call it is lent to.
static int fail(lua_State *L)
{
    const struct check *c = lua_touserdata(L, lua_upvalueindex(1));
    if ((lua_Integer)pl_host_of(L)->call != lua_tointeger(L, lua_upvalueindex(2)))
        pl_error(L, "the call that this belongs to is over");
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    sld_report_add(c->report, SLD_ERROR, SLD_OPTION_INVALID, pl_str(L, 1), "%.*s", SLD_FMT(pl_str(L, 2)));
    return 0;
}

static int call_check(lua_State *L)
{
    struct check *c = lua_touserdata(L, 1);
    pl_push_hook(L, SLD_HOOK_CHECK);
    pl_push_conf(L, &c->p->conf, c->value);
    lua_pushlightuserdata(L, c);
    lua_pushinteger(L, (lua_Integer)c->p->host->call);
    lua_pushcclosure(L, fail, 2);
    lua_call(L, 2, 0);
    pl_freeze_check(L);
    return 0;
}

void sld_plugin_check(struct sld_plugin *p, struct sld_report *r, const Google__Protobuf__Value *value)
{
    size_t errors = r->errors;
    sld_conf_check(r, &p->conf, value);
    if (r->errors > errors || !(p->info.hooks & (1U << SLD_HOOK_CHECK)))
        return;
    struct check c = {p, r, value};
    struct sld_err err = {0};
    if (pl_call_hook(p, SLD_HOOK_CHECK, call_check, &c, &err))
        sld_report_add(r, SLD_ERROR, SLD_OPTION_INVALID, SLD_STR(""), "%s", err.msg);
}

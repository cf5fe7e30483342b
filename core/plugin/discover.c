// The task of a plugin that finds upstreams: started, started again when it fails, and what its hook is given.
#include "plugin/discover.h"

#include "plugin/library.h"
#include "plugin/publish.h"
#include "plugin/value.h"

enum {
    PAUSE_MS = 1000, // after the first failure, doubled each time
    PAUSE_MAX_MS = 60 * 1000,
    WELL_MS = 60 * 1000, // a run this long makes former failures forgotten
};

struct sld_discover {
    struct sld_plugin *plugin;
    struct sld_reactor *reactor;
    struct sld_arena arena; // of CONF
    const Google__Protobuf__Value *conf;
    struct sld_discover_events ev;
    struct pl_published published;
    struct pl_task *task;
    void *pause; // a timer, after a failure
    uint64_t began_ms;
    unsigned failures;
};

static uint64_t now_ms(const struct sld_discover *d)
{
    return d->reactor->ops->mono_ms(d->reactor->user);
}

// ---- What the hook is given ----

static int l_publish(lua_State *L)
{
    struct sld_discover *d = pl_task_arg(L, SLD_HOOK_DISCOVER);
    if (!d)
        pl_error(L, "publish: only the task discover publishes");
    pl_publish(L, &d->published);
    return 0;
}

// d.NAME is FIELD of MODULE, or all of it.
static void set_from(lua_State *L, const char *name, const struct pl_module *module, const char *field)
{
    pl_require(L, module);
    if (field) {
        lua_getfield(L, -1, field);
        lua_remove(L, -2);
    }
    lua_setfield(L, -2, name);
}

// d.http{...} is a request, d.http.stream{...} a stream, and so on: the module, and what is called of it.
static int call_http(lua_State *L)
{
    lua_remove(L, 1); // the table itself
    return pl_http_request(L);
}

static void push_http(lua_State *L)
{
    static const struct pl_binding binding = {.name = "request", .fn = call_http, .phases = PL_IN_TASK, .need = PL_NEED(SLD_NEED_HTTP)};
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 3);
    pl_require(L, &pl_http);
    lua_setfield(L, -2, "__index");
    pl_push_binding(L, &pl_http, &binding);
    lua_setfield(L, -2, "__call");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
}

static int push(lua_State *L)
{
    static const struct pl_binding bindings[] = {{.name = "publish", .fn = l_publish, .phases = PL_IN_TASK}};
    static const struct pl_module module = {.name = "d", PL_BINDINGS(bindings)};
    const struct sld_discover *d = lua_touserdata(L, 1);
    pl_push_hook(L, SLD_HOOK_DISCOVER);
    pl_push_conf(L, &d->plugin->conf, d->conf);
    lua_createtable(L, 0, 4);
    pl_push_binding(L, &module, &bindings[0]);
    lua_setfield(L, -2, "publish");
    set_from(L, "consul", &pl_consul, NULL);
    set_from(L, "dns", &pl_dns, "lookup");
    set_from(L, "every", &pl_time, "every");
    set_from(L, "file", &pl_file, NULL);
    push_http(L);
    lua_setfield(L, -2, "http");
    set_from(L, "sleep", &pl_time, "sleep");
    set_from(L, "vault", &pl_vault, NULL);
    return 0;
}

// ---- Its life ----

static void begin(void *arg);

static void failed(struct sld_discover *d, struct sld_str why)
{
    if (now_ms(d) - d->began_ms >= WELL_MS)
        d->failures = 0;
    d->failures++;
    d->published.any = false;
    uint64_t pause = d->reactor->ops->pause(d->reactor->user, d->failures, PAUSE_MS, PAUSE_MAX_MS);
    d->pause = d->reactor->ops->timer(d->reactor->user, pause, begin, d);
    SLD_LOG(SLD_WARN, "plugin", "discover_failed", SLD_KS("plugin", d->plugin->info.name), SLD_KI("retry_ms", (int64_t)pause),
            SLD_KS("reason", why));
    d->ev.on_problem(d->ev.user, why);
}

static void done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct sld_discover *d = user;
    d->task = NULL;
    if (rc)
        failed(d, sld_str_c(err->msg));
    else if (!d->published.any)
        failed(d, SLD_STR("discover returned, and has published nothing"));
}

static void begin(void *arg)
{
    struct sld_discover *d = arg;
    struct sld_err err = {0};
    struct pl_task_call call = {.hook = SLD_HOOK_DISCOVER, .phase = PL_TASK, .push = push, .arg = d, .done = done, .user = d};
    if (d->pause)
        d->reactor->ops->timer_end(d->reactor->user, d->pause);
    d->pause = NULL;
    d->began_ms = now_ms(d);
    if (pl_task_start(d->plugin, d->reactor, &call, &d->task, &err))
        failed(d, sld_str_c(err.msg));
}

struct sld_discover *sld_discover_start(struct sld_plugin *p, struct sld_reactor *r, const Google__Protobuf__Value *conf,
                                        const struct sld_discover_events *ev)
{
    struct sld_discover *d = SLD_NEW(struct sld_discover);
    d->plugin = sld_obj_ref(p);
    d->reactor = r;
    if (conf)
        d->conf = (const Google__Protobuf__Value *)sld_msg_copy(&d->arena, &conf->base);
    d->ev = *ev;
    d->published.plugin = p->info.name;
    d->published.ev = &d->ev;
    begin(d);
    return d;
}

size_t sld_discover_published(const struct sld_discover *d, int64_t *ms)
{
    *ms = d->published.ms;
    return sld_map_count(&d->published.units);
}

void sld_discover_stop(struct sld_discover *d)
{
    if (!d)
        return;
    pl_task_cancel(d->task);
    if (d->pause)
        d->reactor->ops->timer_end(d->reactor->user, d->pause);
    pl_published_fini(&d->published);
    sld_arena_fini_secret(&d->arena);
    SLD_UNREF(d->plugin);
    sld_xfree(d);
}

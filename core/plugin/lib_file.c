// solder.file: files that the operator grants. A file is looked at now and then: that works for mounts and links that nobody tells of.
#include "plugin/library.h"
#include "plugin/task.h"

enum { LOOK_MS = 500, WATCH_MAX_S = 86400 };

static struct sld_str path_of(lua_State *L, const char *what)
{
    struct sld_str path = pl_str(L, 1);
    luaL_argcheck(L, path.n > 0, 1, "the path of a file");
    if (!pl_file_granted(L, path))
        pl_error(L, "%s: the file %.*s is not granted: the plugin's document names the files that it may use", what, SLD_FMT(path));
    return path;
}

// What stands for a version of a file; nil: there is none.
static void push_stamp(lua_State *L, struct sld_hash stamp)
{
    if (sld_hash_eq(stamp, (struct sld_hash){0}))
        lua_pushnil(L);
    else
        lua_pushlstring(L, (const char *)&stamp, sizeof(stamp));
}

// read(path): the text and its stamp, or nil and words.
static int l_read(lua_State *L)
{
    struct sld_str path = path_of(L, "solder.file.read");
    const struct sld_reactor *r = pl_task_reactor(pl_host_of(L)->task);
    struct sld_hash stamp = {0};
    struct sld_err err = {0};
    size_t size = 0, max = pl_host_of(L)->limits.string_bytes, n = 0;
    enum sld_rc rc = r->ops->file(r->user, path.p, NULL, 0, &size, &stamp, &err);
    if (!rc && size > max)
        rc = sld_err_set(&err, SLD_LIMIT, "%.*s has %zu bytes; at most %zu are read", SLD_FMT(path), size, max);
    char *to = lua_newuserdatauv(L, rc ? 0 : size, 0);
    if (!rc)
        rc = r->ops->file(r->user, path.p, to, size, &n, &stamp, &err);
    if (rc) {
        lua_pushnil(L);
        lua_pushstring(L, err.msg);
        return 2;
    }
    lua_pushlstring(L, to, n < size ? n : size);
    push_stamp(L, stamp);
    return 2;
}

struct watching {
    struct pl_task *task;
    struct sld_reactor *reactor;
    struct sld_arena arena;
    const char *path;
    struct sld_hash stamp;
    uint64_t until_ms;
    void *timer;
};

static void let_go(void *waiting)
{
    struct watching *w = waiting;
    w->reactor->ops->timer_end(w->reactor->user, w->timer);
    sld_arena_fini(&w->arena);
    sld_xfree(w);
}

static int push_change(lua_State *L, void *arg)
{
    const bool *changed = arg;
    lua_pushboolean(L, *changed);
    return 1;
}

static void look(void *arg);

static void look_later(struct watching *w, uint64_t now_ms)
{
    uint64_t left = w->until_ms > now_ms ? w->until_ms - now_ms : 0;
    w->timer = w->reactor->ops->timer(w->reactor->user, left < LOOK_MS ? left : LOOK_MS, look, w);
}

static void look(void *arg)
{
    struct watching *w = arg;
    const struct sld_reactor *r = w->reactor;
    struct sld_hash stamp = {0};
    struct sld_err err;
    size_t n;
    uint64_t now_ms = r->ops->mono_ms(r->user);
    (void)!r->ops->file(r->user, w->path, NULL, 0, &n, &stamp, &err); // one that cannot be read has no stamp
    bool changed = !sld_hash_eq(stamp, w->stamp);
    if (!changed && now_ms < w->until_ms) {
        r->ops->timer_end(r->user, w->timer);
        look_later(w, now_ms);
        return;
    }
    struct pl_task *t = w->task;
    let_go(w);
    pl_wake(t, push_change, &changed);
}

// watch(path, stamp, timeout): true as soon as the file is not what STAMP says (nil: that there is none), false when the time is over.
static int l_watch(lua_State *L)
{
    struct sld_str path = path_of(L, "solder.file.watch"), stamp = pl_str(L, 2);
    uint64_t ms = (uint64_t)WATCH_MAX_S * 1000;
    luaL_argcheck(L, lua_isnoneornil(L, 2) || stamp.n == sizeof(struct sld_hash), 2, "a stamp that read returned, or nil");
    luaL_argcheck(L, lua_isnoneornil(L, 3) || pl_to_ms(L, 3, WATCH_MAX_S, &ms), 3, "a time up to a day, in seconds or like \"1.5s\"");
    struct pl_task *t = pl_may_wait(L, "solder.file.watch");
    struct watching *w = SLD_NEW(struct watching);
    w->task = t;
    w->reactor = pl_task_reactor(t);
    w->path = sld_arena_cstr(&w->arena, path);
    if (stamp.p)
        memcpy(&w->stamp, stamp.p, sizeof(w->stamp));
    uint64_t now_ms = w->reactor->ops->mono_ms(w->reactor->user);
    w->until_ms = now_ms + ms;
    w->timer = w->reactor->ops->timer(w->reactor->user, 0, look, w);
    return pl_wait(L, let_go, w);
}

static const struct pl_binding bindings[] = {
    {.name = "read", .fn = l_read, .phases = PL_IN_CALLS, .need = PL_NEED(SLD_NEED_FILES), .doc = "Reads a file that the plugin's document grants.",
     .params = {{"path", "string", "Whole, from /."}},
     .returns = {{"text?", "string", "nil: it cannot be read."}, {"stamp", "string", "Stands for this version of it; or words."}},
     .example = "local text, stamp = assert(file.read(\"/etc/users/ada\"))\nassert(text == \"ada\\n\" and stamp)"},
    {.name = "watch", .fn = l_watch, .phases = PL_IN_TASK, .need = PL_NEED(SLD_NEED_FILES), .doc = "Waits until a file is another than it was.",
     .params = {{"path", "string", ""},
                {"stamp?", "string", "Of the version that is known; nil: that there is none."},
                {"timeout?", "number|string", "Seconds, or a text such as \"5m\"; at most a day, which is the default."}},
     .returns = {{"changed", "boolean", "false: the time is over."}},
     .example = "local text, stamp = file.read(\"/etc/users/ada\")\nassert(not file.watch(\"/etc/users/ada\", stamp, \"1m\"))"},
};
const struct pl_module pl_file = {.name = "solder.file", .doc = "Files that the operator grants. The plugin needs \"files\".", PL_BINDINGS(bindings)};

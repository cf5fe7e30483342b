// Calls that may wait, as coroutines of their plugin's state.
//
//   pl_task_start --> go --(lua_resume)--> body: push, the hook, take
//                      ^                     | pl_wait (lua_yieldk)
//        loop --> pl_wake                    v
//                               over: counted, the coroutine kept for the next one, done
#include "plugin/task.h"

#include <stdio.h>

enum { IDLE_MAX = 16, MINUTE_MS = 60 * 1000 };

struct pl_task {
    struct sld_list link;      // of those under way, or of those that are idle
    lua_State *co;
    int ref;                   // of CO in the registry
    struct sld_plugin *plugin; // own reference
    struct sld_reactor *reactor;
    struct pl_task_call call;
    uint64_t number;           // as of pl_host.call
    uint64_t began_ms, ran_ns;
    uint64_t minute_ms;        // when it began to count what it asks
    unsigned asked, coroutines, lines;
    void *deadline;            // a timer, from the first wait on
    void (*stop)(void *waiting);
    void *waiting;
    int (*answer)(lua_State *L, void *arg);
    void *answer_arg;
    bool at_work, cancelled;
    bool patient;              // it waits, and there is no hurry
    bool *ended;               // set at the end, for who started it
};

struct pl_task_pool {
    struct sld_list busy, idle; // of struct pl_task
    size_t busy_count, idle_count;
};

size_t pl_task_count(const struct sld_plugin *p)
{
    return p->host->pool ? p->host->pool->busy_count : 0;
}

bool pl_task_is(lua_State *L)
{
    const struct pl_host *h = pl_host_of(L);
    return h->task && h->task->co == L;
}

struct sld_reactor *pl_task_reactor(const struct pl_task *t)
{
    return t->reactor;
}

void *pl_task_arg(lua_State *L, enum sld_hook hook)
{
    const struct pl_task *t = pl_host_of(L)->task;
    return t && t->call.hook == hook ? t->call.arg : NULL;
}

static uint64_t now_ms(const struct pl_task *t)
{
    return t->reactor->ops->mono_ms(t->reactor->user);
}

// ---- Coroutines ----

// Pushes nothing; the new coroutine is in the registry.
static int make_coroutine(lua_State *L)
{
    struct pl_task *t = lua_touserdata(L, 1);
    t->co = lua_newthread(L);
    t->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int drop_coroutine(lua_State *L)
{
    const struct pl_task *t = lua_touserdata(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, t->ref);
    return 0;
}

// FN(ARG) in the state, outside of any call: of what the host itself does there.
static int quietly(struct pl_host *h, lua_CFunction fn, void *arg)
{
    lua_pushcfunction(h->L, fn);
    lua_pushlightuserdata(h->L, arg);
    int status = lua_pcall(h->L, 1, 0, 0);
    if (status != LUA_OK)
        lua_settop(h->L, 0);
    return status;
}

static struct pl_task *take_task(struct pl_host *h)
{
    struct pl_task *t;
    if (!h->pool) {
        h->pool = SLD_NEW(struct pl_task_pool);
        sld_list_init(&h->pool->busy);
        sld_list_init(&h->pool->idle);
    }
    if (h->pool->idle_count) {
        t = SLD_CONTAINER_OF(h->pool->idle.next, struct pl_task, link);
        sld_list_remove(&t->link);
        h->pool->idle_count--;
    } else {
        t = SLD_NEW(struct pl_task);
        sld_list_init(&t->link);
        if (quietly(h, make_coroutine, t) != LUA_OK) {
            sld_xfree(t);
            return NULL;
        }
    }
    sld_list_push(&h->pool->busy, &t->link);
    h->pool->busy_count++;
    return t;
}

// Puts T away; CLEAN: its coroutine may serve another call.
static void put_task(struct pl_host *h, struct pl_task *t, bool clean)
{
    sld_list_remove(&t->link);
    h->pool->busy_count--;
    if (clean && h->pool->idle_count < IDLE_MAX) {
        *t = (struct pl_task){.co = t->co, .ref = t->ref};
        sld_list_init(&t->link);
        sld_list_push(&h->pool->idle, &t->link);
        h->pool->idle_count++;
        return;
    }
    (void)quietly(h, drop_coroutine, t); // may fail for want of memory: then it stays until the state ends
    sld_xfree(t);
}

void pl_task_pool_free(struct pl_host *h)
{
    if (!h->pool)
        return;
    SLD_PRE(h->pool->busy_count == 0); // each holds the plugin
    SLD_LIST_EACH (it, &h->pool->idle)
        sld_xfree(SLD_CONTAINER_OF(it, struct pl_task, link));
    sld_xfree(h->pool);
}

// ---- The end ----

// The words of the error on top of the coroutine, in its place, and its stack.
static int explain(lua_State *L)
{
    struct pl_task *t = lua_touserdata(L, 1);
    struct pl_host *h = pl_host_of(L);
    luaL_traceback(L, t->co, NULL, 0);
    struct sld_str trace = pl_str(L, -1);
    snprintf(h->trace, sizeof(h->trace), "%.*s", SLD_FMT(trace));
    pl_freeze_check(L); // sets back what an error left behind; that it does is all we want
    return 0;
}

static const char *odd_error(lua_State *co)
{
    int type = lua_type(co, -1);
    return type == LUA_TSTRING ? NULL : lua_typename(co, type);
}

static enum sld_rc say_failure(struct pl_task *t, int status, struct sld_err *err)
{
    struct pl_host *h = t->plugin->host;
    (void)quietly(h, explain, t);
    const char *odd = odd_error(t->co);
    if (odd && status != LUA_ERRMEM && !h->breach)
        return sld_err_set(err, SLD_INVALID, "(the error is a %s)", odd);
    return pl_failed(h, t->co, status, err);
}

// Runs what is to be closed in a coroutine that waits or ended by an error; whether it may be used again.
static bool close_coroutine(struct pl_task *t)
{
    struct pl_host *h = t->plugin->host;
    char trace[sizeof(h->trace)];
    memcpy(trace, h->trace, sizeof(trace)); // of the error that it ended by
    pl_enter(h, t->co, t->call.phase, t->number);
    (void)lua_closethread(t->co, h->L);
    lua_settop(t->co, 0);
    pl_leave(h, t->co);
    memcpy(h->trace, trace, sizeof(trace));
    return !h->breach;
}

static void stop_waiting(struct pl_task *t)
{
    void (*stop)(void *) = t->stop;
    t->stop = NULL;
    if (stop)
        stop(t->waiting);
}

// T is over. CLEAN: its coroutine may serve another call.
static void over(struct pl_task *t, bool clean, enum sld_rc rc, struct sld_err *err)
{
    struct sld_plugin *p = t->plugin;
    struct pl_task_call call = t->call;
    bool tell = !t->cancelled;
    if (t->ended)
        *t->ended = true;
    if (t->deadline)
        t->reactor->ops->timer_end(t->reactor->user, t->deadline);
    if (tell)
        pl_count_call(p, call.hook, rc, t->ran_ns, err);
    pl_streams_end(p->host, t->number);
    put_task(p->host, t, clean);
    if (rc == SLD_LIMIT)
        lua_gc(p->host->L, LUA_GCCOLLECT);
    if (tell)
        call.done(call.user, rc, err);
    SLD_UNREF(p);
}

// ---- Running ----

static int body_ends(lua_State *L, int status, lua_KContext context)
{
    const struct pl_task *t = pl_host_of(L)->task;
    (void)status, (void)context;
    if (t->call.take)
        (void)t->call.take(L);
    pl_freeze_check(L);
    lua_settop(L, 0);
    return 0;
}

static int body(lua_State *L)
{
    const struct pl_task *t = pl_host_of(L)->task;
    lua_settop(L, 0);
    luaL_checkstack(L, LUA_MINSTACK, NULL);
    lua_pushlightuserdata(L, t->call.arg);
    (void)t->call.push(L);
    lua_callk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, body_ends);
    return body_ends(L, LUA_OK, 0);
}

static void on_deadline(void *arg)
{
    struct pl_task *t = arg;
    struct sld_err err;
    stop_waiting(t);
    (void)quietly(t->plugin->host, explain, t);
    sld_err_set(&err, SLD_AGAIN, "longer than %llu ms in all, waiting included", (unsigned long long)t->call.deadline_ms);
    over(t, close_coroutine(t), SLD_AGAIN, &err);
}

static void await(struct pl_task *t)
{
    const struct sld_reactor *r = t->reactor;
    if (t->patient && t->deadline) {
        r->ops->timer_end(r->user, t->deadline);
        t->deadline = NULL;
    }
    if (!t->call.deadline_ms || t->deadline || t->patient)
        return;
    uint64_t past = now_ms(t) - t->began_ms;
    t->deadline = r->ops->timer(r->user, past < t->call.deadline_ms ? t->call.deadline_ms - past : 0, on_deadline, t);
}

// One run, until it waits or is over.
static void go(struct pl_task *t)
{
    struct pl_host *h = t->plugin->host;
    struct sld_err err = {0};
    int given;
    uint64_t from = sld_mono_ns();
    pl_enter(h, t->co, t->call.phase, t->number);
    if (t->call.phase == PL_REQUEST) { // of the whole call
        h->coroutines = t->coroutines;
        h->lines = t->lines;
    }
    h->task = t;
    t->at_work = true;
    int status = lua_resume(t->co, h->L, 0, &given);
    t->at_work = false;
    h->task = NULL;
    t->coroutines = h->coroutines;
    t->lines = h->lines;
    t->ran_ns += sld_mono_ns() - from;
    pl_leave(h, t->co);
    if (status == LUA_YIELD && !t->cancelled) {
        await(t);
        return;
    }
    enum sld_rc rc = SLD_OK;
    bool clean = true;
    if (status == LUA_YIELD) {
        stop_waiting(t);
        clean = close_coroutine(t);
    } else if (status != LUA_OK) {
        rc = say_failure(t, status, &err);
        // After a ceiling its hooks are off, so nothing of it may run any more.
        clean = rc != SLD_LIMIT && close_coroutine(t);
    }
    over(t, clean, rc, &err);
}

enum sld_rc pl_task_start(struct sld_plugin *p, struct sld_reactor *r, const struct pl_task_call *call, struct pl_task **out,
                          struct sld_err *err)
{
    struct pl_host *h = p->host;
    SLD_PRE(!h->call && (call->phase == PL_REQUEST || call->phase == PL_TASK));
    *out = NULL;
    if (pl_task_count(p) >= h->limits.waiting)
        return sld_err_set(err, SLD_AGAIN, "plugin %.*s: %u calls are under way, more are not taken", SLD_FMT(p->info.name),
                           h->limits.waiting);
    struct pl_task *t = take_task(h);
    if (!t)
        return sld_err_set(err, SLD_LIMIT, "plugin %.*s: not enough memory: the plugin may have %zu KiB", SLD_FMT(p->info.name),
                           h->limits.memory_bytes >> 10);
    t->plugin = sld_obj_ref(p);
    t->reactor = r;
    t->call = *call;
    t->number = ++h->calls;
    if (call->deadline_ms)
        t->began_ms = now_ms(t);
    lua_pushcfunction(t->co, body);
    bool ended = false;
    t->ended = &ended;
    go(t);
    if (!ended) {
        t->ended = NULL;
        *out = t;
    }
    return SLD_OK;
}

void pl_task_cancel(struct pl_task *t)
{
    if (!t)
        return;
    t->cancelled = true;
    if (t->at_work)
        return;
    stop_waiting(t);
    struct sld_err err;
    over(t, close_coroutine(t), SLD_OK, &err);
}

// ---- Files ----

bool pl_file_granted(lua_State *L, struct sld_str path)
{
    const struct pl_host *h = pl_host_of(L);
    if (!(h->needs & (1U << SLD_NEED_FILES)) || !sld_str_starts(path, SLD_STR("/")) || sld_str_find(path, SLD_STR("/../")) >= 0 ||
        sld_str_ends(path, SLD_STR("/..")) || memchr(path.p, 0, path.n))
        return false;
    for (size_t i = 0; i < h->file_count; i++) {
        bool below = sld_str_ends(h->files[i], SLD_STR("/")) && sld_str_starts(path, h->files[i]);
        if (below || sld_str_eq(path, h->files[i]))
            return true;
    }
    return false;
}

// ---- Waiting ----

struct pl_task *pl_may_wait(lua_State *L, const char *what)
{
    struct pl_task *t = pl_host_of(L)->task;
    if (!t)
        pl_error(L, "%s: nothing can be waited for here", what);
    if (t->co != L)
        pl_error(L, "%s: what waits cannot be called in a coroutine made by the plugin", what);
    if (!lua_isyieldable(L))
        pl_error(L, "%s: what waits cannot be called from within a function of the library that calls back", what);
    if (t->cancelled)
        pl_error(L, "%s: the call was ended", what);
    pl_freeze_check(L);
    return t;
}

struct pl_task *pl_may_ask(lua_State *L, const char *what)
{
    struct pl_task *t = pl_may_wait(L, what);
    const struct sld_plugin_limits *l = &pl_host_of(L)->limits;
    bool task = t->call.phase == PL_TASK;
    if (task && (!t->minute_ms || now_ms(t) - t->minute_ms >= MINUTE_MS)) {
        t->minute_ms = now_ms(t);
        t->asked = 0;
    }
    unsigned most = task ? l->outbound_a_minute : l->outbound;
    if (t->asked >= most)
        pl_error(L, "%s: more than %u calls to others in one %s", what, most, task ? "minute" : "call");
    t->asked++;
    return t;
}

int pl_woken(lua_State *L, int status, lua_KContext context)
{
    struct pl_task *t = pl_host_of(L)->task;
    (void)status, (void)context;
    return t->answer ? t->answer(L, t->answer_arg) : 0;
}

int pl_wait_k(lua_State *L, void (*stop)(void *waiting), void *waiting, lua_KContext context, lua_KFunction k)
{
    struct pl_task *t = pl_host_of(L)->task;
    t->stop = stop;
    t->waiting = waiting;
    return lua_yieldk(L, 0, context, k);
}

int pl_wait(lua_State *L, void (*stop)(void *waiting), void *waiting)
{
    return pl_wait_k(L, stop, waiting, 0, pl_woken);
}

int pl_wait_patient(lua_State *L, void (*stop)(void *waiting), void *waiting, lua_KContext context, lua_KFunction k)
{
    pl_host_of(L)->task->patient = true;
    return pl_wait_k(L, stop, waiting, context, k);
}

void pl_wake(struct pl_task *t, int (*answer)(lua_State *L, void *arg), void *arg)
{
    t->stop = NULL;
    if (t->patient) {
        t->patient = false;
        t->began_ms = now_ms(t);
    }
    t->answer = answer;
    t->answer_arg = arg;
    go(t);
}

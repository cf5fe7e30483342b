// The hook `secret`: what it gives becomes documents of kind Secret. Each secret has a life of its own: a call, then a pause until
// two thirds of its time are over, or, after a failure, as long as many failures in a row make it.
#include "plugin/resolve.h"

#include <stdio.h>

#include "base/random.h"
#include "codec/doc.h"
#include "codec/text.h"
#include "plugin/handle.h"
#include "plugin/task.h"
#include "plugin/value.h"

#include "secret.pb-c.h"

enum {
    CALL_MS = 30 * 1000,     // waiting included
    CALLS_MAX = 20,          // at a time
    PAUSE_MS = 1000,         // after a failure, doubled with each
    PAUSE_MAX_MS = 60 * 1000,
    LEAST_MS = 1000,         // that a secret must last
    NONE_MS = 60 * 1000,     // until it is asked again whether there is one
    WORDS_MAX = 200,
};
#define LIFE_MAX_S (10.0 * 365 * 86400)

struct unit {
    struct sld_resolver *all;
    struct sld_list queue;  // while it waits for its call
    struct sld_arena own;   // of REF
    struct sld_str ref;
    struct pl_task *task;   // while it is called
    void *timer;
    unsigned failures;      // in a row
    int64_t expires_s;      // of what was told last; 0: never, or nothing was
    // Of the call at work.
    struct sld_arena arena; // may hold the secret
    struct sld_str document, words;
    uint64_t life_ms;       // 0: for ever
    bool none;
};

struct sld_resolver {
    struct sld_plugin *plugin; // own reference
    struct sld_reactor *reactor;
    struct sld_arena arena; // of CONF
    const Google__Protobuf__Value *conf;
    sld_secret_tell *tell;
    void *user;
    struct sld_map units;  // by ref
    struct sld_list queue; // of units
    size_t calls;          // under way
    bool starting;         // pump is at work
};

// ---- What the hook gives ----

static int push(lua_State *L)
{
    const struct unit *u = lua_touserdata(L, 1);
    pl_push_hook(L, SLD_HOOK_SECRET);
    pl_push_conf(L, &u->all->plugin->conf, u->all->conf);
    pl_push_str(L, u->ref);
    return 0;
}

// The document of the table at 2, whose expires_in is read. Nothing of its values shows in what is raised.
static void read_secret(lua_State *L, struct unit *u)
{
    struct sld_arena *a = &u->arena;
    struct pl_edit edit = {.arena = a};
    lua_pushvalue(L, 2);
    if (pl_thawed(L, -1))
        lua_remove(L, -2);
    struct sld_node *root = sld_node_map(a), *metadata = sld_node_map(a), *all = sld_node_map(a);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        struct sld_str key = lua_type(L, -2) == LUA_TSTRING ? pl_str(L, -2) : SLD_STR_NONE;
        if (!key.p)
            luaL_error(L, "secret: the fields of its result have names, such as tls");
        if (sld_str_eq(key, SLD_STR("expires_in"))) {
            if (!pl_to_ms(L, -1, LIFE_MAX_S, &u->life_ms) || u->life_ms < LEAST_MS)
                luaL_error(L, "secret: expires_in must be a time of 1 s to 10 years, in seconds or like \"1h\"");
            continue;
        }
        sld_node_set(a, all, sld_arena_str(a, key), pl_to_node(L, lua_gettop(L), &edit));
    }
    struct sld_report r = {.arena = a};
    const Gloo__Secret *m = sld_doc_decode(a, &gloo__secret__descriptor, all, false, &r);
    for (size_t i = 0; i < r.count; i++) {
        // The words of other findings may quote what stands there.
        if (r.items[i].severity == SLD_ERROR)
            luaL_error(L, "secret: %s %s", sld_arena_cstr(a, r.items[i].path.n ? r.items[i].path : SLD_STR("its result")),
                       r.items[i].code == SLD_FIELD_UNKNOWN ? "is no field of a Secret" : "has not the right form");
    }
    if (!m->kind_case || m->metadata)
        luaL_error(L, "secret: its result has one of tls, header, apiKey, and the other kinds of Secrets, and expires_in");
    sld_node_set(a, root, SLD_STR("apiVersion"), sld_node_scalar(a, SLD_STR("gloo.solo.io/v1"), true));
    sld_node_set(a, root, SLD_STR("kind"), sld_node_scalar(a, SLD_STR("Secret"), true));
    sld_node_set(a, metadata, SLD_STR("name"),
                 sld_node_scalar(a, sld_arena_fmt(a, SLD_PLUGIN_REF "%.*s/%.*s", SLD_FMT(u->all->plugin->info.name), SLD_FMT(u->ref)), true));
    sld_node_set(a, root, SLD_STR("metadata"), metadata);
    for (size_t i = 0; i < all->count; i++)
        sld_node_set(a, root, all->pairs[i].key->text, all->pairs[i].value);
    struct sld_buf b;
    sld_buf_init_secret(&b, SLD_RESOLVE_BYTES_MAX);
    sld_doc_print_node(&b, root, SLD_TEXT_JSON_COMPACT);
    bool full = b.full;
    if (!full)
        u->document = sld_arena_str(a, sld_buf_str(&b));
    sld_buf_fini(&b);
    if (full)
        luaL_error(L, "secret: its result is larger than 1 MiB");
}

static int take(lua_State *L)
{
    struct unit *u = lua_touserdata(L, 1);
    lua_settop(L, 3);
    if (lua_istable(L, 2)) {
        read_secret(L, u);
    } else if (!lua_isnil(L, 2)) {
        luaL_error(L, "secret: its result is a table, or nil and words, not a %s", luaL_typename(L, 2));
    } else if (lua_isnil(L, 3)) {
        u->none = true;
    } else {
        pl_tostring(L, 3);
        u->words = sld_arena_str(&u->arena, sld_str_utf8_cut(pl_str(L, -1), WORDS_MAX));
    }
    return 0;
}

// ---- The life of one ----

static void pump(struct sld_resolver *s);

static void ask(void *arg)
{
    struct unit *u = arg;
    struct sld_resolver *s = u->all;
    if (u->timer)
        s->reactor->ops->timer_end(s->reactor->user, u->timer);
    u->timer = NULL;
    sld_list_push(&s->queue, &u->queue);
    pump(s);
}

static void again_in(struct unit *u, uint64_t ms)
{
    const struct sld_reactor *r = u->all->reactor;
    u->timer = r->ops->timer(r->user, ms, ask, u);
}

static void forget_call(struct unit *u)
{
    sld_arena_fini_secret(&u->arena);
    u->document = u->words = SLD_STR_NONE;
    u->life_ms = 0;
    u->none = false;
}

static void failed(struct unit *u, struct sld_str why)
{
    struct sld_resolver *s = u->all;
    const struct sld_reactor *r = s->reactor;
    uint64_t pause = r->ops->pause(r->user, ++u->failures, PAUSE_MS, PAUSE_MAX_MS);
    struct sld_secret_news n = {.plugin = s->plugin->info.name, .ref = u->ref, .problem = why, .expires_s = u->expires_s};
    n.renews_s = (r->ops->wall_ms(r->user) + (int64_t)pause) / 1000;
    again_in(u, pause);
    s->tell(s->user, &n);
}

static void went_well(struct unit *u)
{
    struct sld_resolver *s = u->all;
    const struct sld_reactor *r = s->reactor;
    int64_t now_ms = r->ops->wall_ms(r->user);
    struct sld_secret_news n = {.plugin = s->plugin->info.name, .ref = u->ref};
    uint64_t next = u->none ? NONE_MS : sld_jitter(u->life_ms / 3 * 2);
    u->failures = 0;
    u->expires_s = 0;
    if (u->none || u->life_ms) {
        again_in(u, next);
        n.renews_s = (now_ms + (int64_t)next) / 1000;
    }
    if (!u->none) {
        n.document = sld_blob_create_secret(u->document);
        u->expires_s = n.expires_s = u->life_ms ? (now_ms + (int64_t)u->life_ms) / 1000 : 0;
    }
    forget_call(u);
    s->tell(s->user, &n);
    SLD_UNREF(n.document);
}

static void done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct unit *u = user;
    struct sld_resolver *s = u->all;
    u->task = NULL;
    s->calls--;
    if (rc || u->words.p) {
        struct sld_arena a = {0};
        struct sld_str why = rc ? sld_arena_str(&a, sld_str_c(err->msg))
                                : sld_arena_fmt(&a, "plugin %.*s: %.*s", SLD_FMT(s->plugin->info.name), SLD_FMT(u->words));
        forget_call(u);
        failed(u, why);
        sld_arena_fini(&a);
    } else {
        went_well(u);
    }
    pump(s);
}

// Calls the hook for those that wait, as many at a time as may be.
static void pump(struct sld_resolver *s)
{
    if (s->starting)
        return; // a call that did not wait
    s->starting = true;
    while (s->calls < CALLS_MAX && !sld_list_empty(&s->queue)) {
        struct unit *u = SLD_CONTAINER_OF(s->queue.next, struct unit, queue);
        struct pl_task_call call = {.hook = SLD_HOOK_SECRET, .phase = PL_TASK, .push = push, .take = take, .arg = u,
                                    .deadline_ms = CALL_MS, .done = done, .user = u};
        struct sld_err err = {0};
        struct pl_task *task = NULL;
        sld_list_remove(&u->queue);
        s->calls++;
        if (pl_task_start(s->plugin, s->reactor, &call, &task, &err)) {
            s->calls--;
            failed(u, sld_str_c(err.msg));
        } else if (task) {
            u->task = task;
        }
    }
    s->starting = false;
}

// ---- All of them ----

struct sld_resolver *sld_resolver_create(struct sld_plugin *p, struct sld_reactor *r, const Google__Protobuf__Value *conf,
                                         sld_secret_tell *tell, void *user)
{
    struct sld_resolver *s = SLD_NEW(struct sld_resolver);
    s->plugin = sld_obj_ref(p);
    s->reactor = r;
    if (conf)
        s->conf = (const Google__Protobuf__Value *)sld_msg_copy(&s->arena, &conf->base);
    s->tell = tell;
    s->user = user;
    sld_list_init(&s->queue);
    return s;
}

static void unit_free(struct unit *u)
{
    const struct sld_reactor *r = u->all->reactor;
    if (u->task)
        u->all->calls--;
    pl_task_cancel(u->task);
    if (u->timer)
        r->ops->timer_end(r->user, u->timer);
    sld_list_remove(&u->queue);
    sld_arena_fini_secret(&u->arena);
    sld_arena_fini(&u->own);
    sld_xfree(u);
}

void sld_resolver_want(struct sld_resolver *s, struct sld_str ref, bool wanted)
{
    struct unit *u = sld_map_get(&s->units, ref);
    if (!wanted && u) {
        sld_map_remove(&s->units, ref);
        unit_free(u);
        pump(s);
    }
    if (!wanted || u)
        return;
    if (sld_map_count(&s->units) >= SLD_RESOLVE_REFS_MAX) {
        struct sld_secret_news n = {.plugin = s->plugin->info.name, .ref = ref};
        n.problem = SLD_STR("more than 1000 secrets of one plugin are wanted; refer to fewer of them");
        s->tell(s->user, &n);
        return;
    }
    u = SLD_NEW(struct unit);
    u->all = s;
    sld_list_init(&u->queue);
    u->ref = sld_arena_str(&u->own, ref);
    sld_map_set(&s->units, ref, u);
    ask(u);
}

void sld_resolver_destroy(struct sld_resolver *s)
{
    if (!s)
        return;
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&s->units, &at));)
        unit_free(slot->value);
    sld_map_fini(&s->units);
    sld_arena_fini_secret(&s->arena);
    SLD_UNREF(s->plugin);
    sld_xfree(s);
}

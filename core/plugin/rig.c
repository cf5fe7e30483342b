// Requests of specs, and their responses: they meet the plugin's hooks as in a worker, but for the clock and the others that it
// asks.
#include "plugin/rig.h"

#include "plugin/library.h"
#include "plugin/log.h"
#include "plugin/transform.h"
#include "plugin/value.h"

enum { REQUESTS_MAX = 1000, FAILED = 503, STACK = 20, TARGET_MAX = 1 << 20 };

struct pl_rig {
    struct sld_plugin *p;
    struct pl_world *world;
};

// A body on its way.
struct body {
    struct sld_str *chunks;
    size_t count, next; // NEXT: to be given
    struct sld_str whole;
    bool there; // the spec gave one, or a hook set one
};

enum way { REQUEST, RESPONSE };
enum step { ARRIVED, AUTHORIZED, SENT, ANSWERED };

// A request, and what becomes of it.
struct one {
    struct sld_arena *arena;
    struct sld_exchange x[2]; // of each way
    struct body body[2];
    struct sld_req_peer peer;
    Google__Protobuf__Value *conf;
    int ref; // of CONF, in the plugin's state
    bool open;
    enum step step;
    struct sld_authorize call;
    struct sld_transform t;
    bool busy, told; // a hook is under way; it knows that the body is over
    bool over, failed;
    enum way at; // of the hook that ended it
    struct sld_err errs[3];
    size_t err_count;
};

enum sld_rc pl_rig_create(const struct sld_plugin *p, struct pl_world *w, struct pl_rig **out, struct sld_err *err)
{
    struct sld_plugin *own;
    enum sld_rc rc = pl_plugin_load(p->host->bundle, &p->host->limits, p->host->cover, &own, err);
    if (rc)
        return rc;
    *out = SLD_NEW(struct pl_rig);
    **out = (struct pl_rig){own, w};
    return SLD_OK;
}

void pl_rig_destroy(struct pl_rig *r)
{
    if (!r)
        return;
    SLD_UNREF(r->p);
    sld_xfree(r);
}

// ---- What a spec says of a request ----

// Field NAME of the table on top; absent: not set.
static struct sld_str text(lua_State *L, struct sld_arena *a, const char *name)
{
    struct sld_str s = SLD_STR_NONE;
    if (lua_getfield(L, -1, name) != LUA_TNIL) {
        s = pl_str(L, -1);
        if (!s.p)
            pl_error(L, "%s must be a string, not a %s", name, luaL_typename(L, -1));
        s = s.n ? sld_arena_str(a, s) : SLD_STR("");
    }
    lua_pop(L, 1);
    return s;
}

static struct sld_str lower(struct sld_arena *a, struct sld_str s)
{
    char *c = sld_arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++)
        c[i] = (char)(c[i] >= 'A' && c[i] <= 'Z' ? c[i] | 0x20 : c[i]);
    return sld_str_n(c, s.n);
}

static void add_pair(lua_State *L, struct sld_arena *a, struct sld_pair **p, size_t *n)
{
    struct sld_str name = pl_str(L, -2), value = pl_str(L, -1);
    if (!name.p || !value.p)
        pl_error(L, "headers are names and values, which are strings or lists of strings");
    struct sld_pair one = {lower(a, name), value.n ? sld_arena_str(a, value) : SLD_STR("")};
    SLD_PUSH(a, *p, *n, one);
}

// The headers of the table on top, in order of names.
static void read_headers(lua_State *L, struct sld_arena *a, const char *field, struct sld_pair **p, size_t *n)
{
    if (lua_getfield(L, -1, field) != LUA_TNIL) {
        luaL_argexpected(L, lua_istable(L, -1), 1, "headers as a table");
        int t = lua_gettop(L);
        pl_sorted_keys(L, t);
        for (lua_Integer i = 1; lua_rawgeti(L, t + 1, i) != LUA_TNIL; i++) {
            lua_pushvalue(L, -1);
            if (lua_rawget(L, t) == LUA_TTABLE) {
                for (lua_Integer k = 1; lua_geti(L, t + 3, k) != LUA_TNIL; k++) {
                    lua_pushvalue(L, t + 2);
                    lua_insert(L, -2);
                    add_pair(L, a, p, n);
                    lua_settop(L, t + 3);
                }
            } else {
                add_pair(L, a, p, n);
            }
            lua_settop(L, t + 1);
        }
        lua_settop(L, t);
    }
    lua_pop(L, 1);
}

static struct sld_str first_of(lua_State *L, struct sld_arena *a, const char *name, struct sld_str **all, size_t *n)
{
    *n = 0;
    if (lua_getfield(L, -1, name) == LUA_TTABLE) {
        for (lua_Integer i = 1; lua_geti(L, -1, i) != LUA_TNIL; i++) {
            SLD_PUSH(a, *all, *n, sld_arena_str(a, pl_str(L, -1)));
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return *n ? (*all)[0] : SLD_STR("");
}

static void read_peer(lua_State *L, struct sld_arena *a, struct one *o)
{
    struct sld_exchange *x = &o->x[REQUEST];
    struct sld_str *uris = NULL;
    size_t n;
    if (lua_getfield(L, -1, "peer") != LUA_TNIL) {
        luaL_argexpected(L, lua_istable(L, -1), 1, "a peer as a table");
        x->peer = &o->peer;
        x->peer_read = true; // there is no certificate behind it
        x->subject = text(L, a, "subject");
        first_of(L, a, "dns_sans", &x->dns_names, &x->dns_name_count);
        o->peer.principal = first_of(L, a, "uri_sans", &uris, &n);
    }
    lua_pop(L, 1);
}

// The body of the table on top: a text, or a list of chunks.
static void read_body(lua_State *L, struct sld_arena *a, struct body *b)
{
    int type = lua_getfield(L, -1, "body");
    b->there = type != LUA_TNIL;
    b->whole = SLD_STR("");
    if (type == LUA_TTABLE) {
        for (lua_Integer i = 1; lua_geti(L, -1, i) != LUA_TNIL; i++) {
            luaL_argexpected(L, pl_str(L, -1).p, 1, "chunks as strings");
            SLD_PUSH(a, b->chunks, b->count, sld_arena_str(a, pl_str(L, -1)));
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
        b->whole = b->count ? sld_arena_join(a, b->chunks, b->count) : SLD_STR("");
    } else if (type != LUA_TNIL) {
        if (!pl_str(L, -1).p)
            pl_error(L, "body must be a string or a list of strings, not a %s", luaL_typename(L, -1));
        b->whole = pl_str(L, -1).n ? sld_arena_str(a, pl_str(L, -1)) : SLD_STR("");
        if (b->whole.n)
            SLD_PUSH(a, b->chunks, b->count, b->whole);
    }
    lua_pop(L, 1);
}

// What the upstream answers, of the request on top.
static void read_trailers(lua_State *L, struct sld_arena *a, struct sld_exchange *x)
{
    read_headers(L, a, "trailers", &x->trailers, &x->trailer_count);
    lua_getfield(L, -1, "trailers");
    x->has_trailers = lua_istable(L, -1);
    lua_pop(L, 1);
}

static void read_response(lua_State *L, struct sld_arena *a, struct one *o)
{
    struct sld_exchange *x = &o->x[RESPONSE];
    x->arena = a;
    x->code = 200;
    x->request = &o->x[REQUEST];
    x->trailers_known = true;
    if (lua_getfield(L, -1, "response") != LUA_TNIL) {
        luaL_argexpected(L, lua_istable(L, -1), 1, "a response as a table");
        if (lua_getfield(L, -1, "status") != LUA_TNIL)
            x->code = (unsigned)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
        read_headers(L, a, "headers", &x->headers, &x->header_count);
        read_body(L, a, &o->body[RESPONSE]);
        read_trailers(L, a, x);
    }
    lua_pop(L, 1);
}

// The request on top.
static void read_request(lua_State *L, struct sld_arena *a, struct one *o)
{
    struct sld_exchange *x = &o->x[REQUEST];
    luaL_argexpected(L, lua_istable(L, -1), 1, "requests as tables");
    x->arena = o->arena = a;
    x->method = text(L, a, "method");
    struct sld_str path = text(L, a, "path");
    ptrdiff_t q = sld_str_index(path, '?');
    x->path = q < 0 ? path : sld_str_sub(path, 0, (size_t)q);
    x->query = q < 0 ? SLD_STR_NONE : sld_str_sub(path, (size_t)q + 1, path.n);
    x->host = text(L, a, "host");
    x->scheme = text(L, a, "scheme");
    x->id = text(L, a, "id");
    x->trailers_known = true;
    read_trailers(L, a, x);
    x->source = text(L, a, "source");
    x->sni = text(L, a, "sni");
    x->route = text(L, a, "route");
    read_body(L, a, &o->body[REQUEST]);
    read_headers(L, a, "headers", &x->headers, &x->header_count);
    read_peer(L, a, o);
    read_response(L, a, o);
    lua_getfield(L, -1, "open");
    o->open = lua_toboolean(L, -1);
    lua_pop(L, 1);
    lua_getfield(L, -1, "conf");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
    o->conf = pl_to_value(L, -1, a);
    lua_pop(L, 1);
}

// ---- The hooks ----

// The hook of way AT ended, or could not begin.
static void end_hook(struct one *o, enum way at, enum sld_rc rc, const struct sld_err *err)
{
    o->busy = false;
    if (rc && o->err_count < SLD_ARRAY_LEN(o->errs))
        o->errs[o->err_count++] = *err;
    o->failed |= rc && !o->open;
    o->over |= o->failed || o->x[at].denied;
    o->at = at;
}

static void authorize_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    end_hook(user, REQUEST, rc, err);
}

// What the hook made of the body.
static void take_body(struct one *o, enum way at)
{
    struct sld_exchange *x = &o->x[at];
    struct body *b = &o->body[at];
    struct sld_str rest = SLD_STR("");
    if (x->body_set) {
        b->whole = x->body;
    } else if (o->t.sent && o->t.streamed) {
        if (b->next < b->count)
            rest = sld_arena_join(o->arena, b->chunks + b->next, b->count - b->next);
        b->whole = SLD_ARENA_JOIN(o->arena, o->t.written.n ? sld_buf_str(&o->t.written) : SLD_STR(""), rest);
    }
    b->there |= x->body_set || b->whole.n;
}

static void transform_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct one *o = user;
    enum way at = o->t.hook == SLD_HOOK_TRANSFORM_RESPONSE;
    if (!rc)
        take_body(o, at);
    sld_buf_fini(&o->t.written);
    end_hook(o, at, rc, err);
}

static void transform_waits(void *user)
{
    (void)user; // who turns the world looks
}

// The body of way AT as the plugin may see it; false: it is too large.
static bool show_body(struct one *o, enum way at, const struct sld_plugin_body *b)
{
    o->x[at].body = b->mode == SLD_BODY_BUFFERED ? o->body[at].whole : SLD_STR_NONE;
    if (b->mode != SLD_BODY_BUFFERED || o->body[at].whole.n <= b->max_bytes)
        return true;
    struct sld_err err = {0};
    if (at == REQUEST) {
        o->x[at].denied = true;
        o->x[at].status = 413;
        o->x[at].deny_body = SLD_STR("");
        end_hook(o, at, SLD_OK, NULL);
    } else {
        end_hook(o, at, sld_err_set(&err, SLD_INVALID, "the body has more than %zu bytes", b->max_bytes), &err);
    }
    return false;
}

static void authorize(struct pl_rig *r, struct one *o)
{
    struct sld_err err = {0};
    o->call = (struct sld_authorize){
        .x = &o->x[REQUEST], .ref = o->ref, .undo = o->open, .deadline_ms = r->p->host->limits.request_ms, .done = authorize_done, .user = o};
    if (!show_body(o, REQUEST, &r->p->info.request_body))
        return;
    o->busy = true;
    enum sld_rc rc = sld_plugin_authorize(r->p, pl_world_reactor(r->world), &o->call, &err);
    if (rc && o->busy)
        end_hook(o, REQUEST, rc, &err);
}

static void transform(struct pl_rig *r, struct one *o, enum way at)
{
    struct sld_err err = {0};
    const struct sld_plugin_body *b = at == REQUEST ? &r->p->info.request_body : &r->p->info.response_body;
    o->t = (struct sld_transform){.hook = at == REQUEST ? SLD_HOOK_TRANSFORM_REQUEST : SLD_HOOK_TRANSFORM_RESPONSE,
                                  .x = &o->x[at],
                                  .ref = o->ref,
                                  .undo = o->open,
                                  .streamed = b->mode == SLD_BODY_STREAMED,
                                  .deadline_ms = r->p->host->limits.request_ms,
                                  .waits = transform_waits,
                                  .done = transform_done,
                                  .user = o};
    if (!show_body(o, at, b))
        return;
    o->busy = true;
    o->told = false;
    enum sld_rc rc = sld_plugin_transform(r->p, pl_world_reactor(r->world), &o->t, &err);
    if (rc && o->busy)
        end_hook(o, at, rc, &err);
}

// Gives the hook under way what it waits for; false: that is not ours.
static bool give(struct one *o)
{
    struct body *b = &o->body[o->t.hook == SLD_HOOK_TRANSFORM_RESPONSE];
    if (o->t.wants == SLD_WANTS_TRAILERS)
        sld_transform_trailers(&o->t);
    else if (o->t.wants != SLD_WANTS_CHUNK || o->told)
        return false;
    else if (b->next < b->count && !b->chunks[b->next].n)
        b->next++;
    else if (b->next < b->count)
        sld_transform_chunk(&o->t, b->chunks[b->next++]);
    else {
        o->told = true;
        o->t.closed = o->t.x->has_trailers;
        sld_transform_chunk(&o->t, SLD_STR_NONE);
    }
    return true;
}

// What was said of the response while the request was there.
static void apply_later(struct one *o)
{
    const struct sld_exchange *x = &o->x[REQUEST];
    struct sld_exchange *res = &o->x[RESPONSE];
    for (size_t i = 0; i < x->edit_count; i++) {
        const struct sld_edit *e = &x->edits[i];
        struct sld_pair p = {e->name, e->value};
        size_t kept = 0;
        if (e->kind != SLD_EDIT_RESPONSE_SET && e->kind != SLD_EDIT_RESPONSE_ADD)
            continue;
        for (size_t k = 0; k < res->header_count; k++) {
            if (e->kind == SLD_EDIT_RESPONSE_ADD || !sld_str_eq(res->headers[k].name, e->name))
                res->headers[kept++] = res->headers[k];
        }
        res->header_count = kept;
        SLD_PUSH(o->arena, res->headers, res->header_count, p);
    }
}

// Goes on with O as far as that is without waiting.
static void go_on(struct pl_rig *r, struct one *o)
{
    unsigned hooks = r->p->info.hooks;
    while (!o->over && (!o->busy || give(o))) {
        if (o->busy || o->over)
            continue;
        switch (o->step) {
        case ARRIVED:
            o->step = AUTHORIZED;
            if (hooks & (1U << SLD_HOOK_AUTHORIZE))
                authorize(r, o);
            break;
        case AUTHORIZED:
            o->step = SENT;
            if (hooks & (1U << SLD_HOOK_TRANSFORM_REQUEST))
                transform(r, o, REQUEST);
            break;
        case SENT:
            o->step = ANSWERED;
            apply_later(o);
            if (hooks & (1U << SLD_HOOK_TRANSFORM_RESPONSE))
                transform(r, o, RESPONSE);
            break;
        case ANSWERED:
            o->over = true;
            break;
        }
    }
}

// Until all are over: each has a deadline.
static void run(struct pl_rig *r, struct one *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        go_on(r, &all[i]);
    for (size_t i = 0; i < n; i++) {
        while (!all[i].over && pl_world_step(r->world, r->p->host->limits.request_ms)) {
            for (size_t k = i; k < n; k++)
                go_on(r, &all[k]);
        }
        SLD_INV(all[i].over);
    }
}

// ---- What became of it ----

static void push_pairs(lua_State *L, const struct sld_pair *p, size_t n)
{
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        pl_push_str(L, p[i].name);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) == LUA_TSTRING) {
            lua_pushliteral(L, ",");
            pl_push_str(L, p[i].value);
            lua_concat(L, 3);
        } else {
            lua_pop(L, 1);
            pl_push_str(L, p[i].value);
        }
        lua_rawset(L, -3);
    }
}

static void push_path(lua_State *L, const struct sld_exchange *x)
{
    struct sld_buf b;
    sld_buf_init(&b, TARGET_MAX);
    sld_exchange_target(x, &b);
    struct sld_str path = sld_arena_str(x->arena, sld_buf_str(&b));
    sld_buf_fini(&b);
    pl_push_str(L, path);
}

static void set_text(lua_State *L, const char *name, struct sld_str s)
{
    if (!s.p)
        return;
    pl_push_str(L, s);
    lua_setfield(L, -2, name);
}

static void push_forwarded(lua_State *L, const struct one *o)
{
    const struct sld_exchange *x = &o->x[REQUEST];
    lua_newtable(L);
    set_text(L, "method", x->method);
    push_path(L, x);
    lua_setfield(L, -2, "path");
    set_text(L, "host", x->host);
    set_text(L, "scheme", x->scheme);
    if (o->body[REQUEST].there)
        set_text(L, "body", o->body[REQUEST].whole);
    push_pairs(L, x->headers, x->header_count);
    lua_setfield(L, -2, "headers");
    if (!x->has_trailers)
        return;
    push_pairs(L, x->trailers, x->trailer_count);
    lua_setfield(L, -2, "trailers");
}

static void push_metadata(lua_State *L, const struct one *o)
{
    lua_newtable(L);
    for (size_t k = 0; k < 2; k++) {
        const struct sld_exchange *x = &o->x[k];
        for (size_t i = 0; i < x->note_count; i++) {
            pl_push_str(L, x->notes[i].key);
            pl_push_value(L, x->notes[i].value);
            lua_rawset(L, -3);
        }
    }
}

// The answer that a hook gave, or that stands for one that failed.
static void set_answer(lua_State *L, const struct one *o)
{
    const struct sld_exchange *x = &o->x[o->at];
    bool known = o->step > AUTHORIZED; // of transforms; of a failed authorize Envoy says nothing
    lua_pushinteger(L, x->denied ? (lua_Integer)x->status : FAILED);
    lua_setfield(L, -2, "status");
    set_text(L, "body", x->denied ? x->deny_body : known ? SLD_STR("a plugin failed\n") : SLD_STR(""));
    push_pairs(L, x->deny_headers, x->denied ? x->deny_header_count : 0);
    lua_setfield(L, -2, "headers");
}

// What became of O.
static void push_result(lua_State *L, const struct one *o)
{
    const struct sld_exchange *res = &o->x[RESPONSE];
    bool answered = o->failed || o->x[o->at].denied;
    lua_newtable(L);
    push_metadata(L, o);
    lua_setfield(L, -2, "metadata");
    lua_newtable(L);
    for (size_t i = 0; i < o->err_count; i++) {
        lua_pushstring(L, o->errs[i].msg);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "log");
    if (!answered || o->at == RESPONSE) {
        push_forwarded(L, o);
        lua_setfield(L, -2, "forwarded");
    }
    if (answered) {
        set_answer(L, o);
        return;
    }
    lua_pushinteger(L, (lua_Integer)res->code);
    lua_setfield(L, -2, "status");
    push_pairs(L, res->headers, res->header_count);
    lua_setfield(L, -2, "headers");
    if (o->body[RESPONSE].there)
        set_text(L, "body", o->body[RESPONSE].whole);
    if (!res->has_trailers)
        return;
    push_pairs(L, res->trailers, res->trailer_count);
    lua_setfield(L, -2, "trailers");
}

int pl_rig_exchange(lua_State *L, struct pl_rig *r, struct sld_arena *a)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_checkstack(L, STACK, NULL);
    size_t n = lua_rawlen(L, 1);
    if (n > REQUESTS_MAX)
        pl_error(L, "at most %d requests at once", REQUESTS_MAX);
    struct one *all = SLD_ARENA_ARRAY(a, struct one, n);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        read_request(L, a, &all[i]);
        lua_settop(L, 1);
    }
    struct sld_err err = {0};
    for (size_t i = 0; i < n; i++) {
        if (sld_plugin_keep_conf(r->p, all[i].conf, &all[i].ref, &err)) { // goes with the state
            lua_pushnil(L);
            lua_pushstring(L, err.msg);
            return 2;
        }
    }
    run(r, all, n); // nothing in it raises
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        push_result(L, &all[i]);
        lua_rawseti(L, 2, (lua_Integer)i + 1);
        lua_settop(L, 2);
    }
    return 1;
}

// ---- Logs ----

struct logging {
    bool over;
    enum sld_rc rc;
    struct sld_err err;
};

static void log_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct logging *g = user;
    g->over = true;
    g->rc = rc;
    if (rc)
        g->err = *err;
}

int pl_rig_log(lua_State *L, struct pl_rig *r, struct sld_arena *a)
{
    struct logging *g = SLD_ARENA_NEW(a, struct logging);
    struct sld_log *c = SLD_ARENA_NEW(a, struct sld_log);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    if (!(r->p->info.hooks & (1U << SLD_HOOK_LOG)))
        pl_error(L, "the plugin has no hook log");
    const Google__Protobuf__Value *conf = pl_to_value(L, 1, a);
    *c = (struct sld_log){.made = pl_to_value(L, 2, a), .deadline_ms = r->p->host->limits.request_ms, .done = log_done, .user = g};
    g->rc = sld_plugin_keep_conf(r->p, conf, &c->ref, &g->err); // goes with the state
    if (!g->rc)
        g->rc = sld_plugin_log(r->p, pl_world_reactor(r->world), c, &g->err);
    while (!g->rc && !g->over && pl_world_step(r->world, r->p->host->limits.request_ms))
        continue;
    if (!g->rc)
        return 0;
    lua_pushstring(L, g->err.msg);
    return 1;
}

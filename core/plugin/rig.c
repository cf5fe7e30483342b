// Requests of specs: they meet the plugin's hooks as in a worker, but for the clock and the others that it asks.
#include "plugin/rig.h"

#include "plugin/library.h"
#include "plugin/request.h"
#include "plugin/value.h"

enum { REQUESTS_MAX = 1000, FAILED = 503, STACK = 20 };

struct pl_rig {
    struct sld_plugin *p;
    struct pl_world *world;
};

// A request, and what becomes of it.
struct one {
    struct sld_exchange x;
    struct sld_req_peer peer;
    struct sld_str body; // that the plugin is not shown
    Google__Protobuf__Value *conf;
    int ref; // of CONF, in the plugin's state
    struct sld_authorize call;
    bool over;
    enum sld_rc rc;
    struct sld_err err;
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
static void read_headers(lua_State *L, struct sld_arena *a, struct sld_pair **p, size_t *n)
{
    if (lua_getfield(L, -1, "headers") != LUA_TNIL) {
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
    struct sld_str *uris = NULL;
    size_t n;
    if (lua_getfield(L, -1, "peer") != LUA_TNIL) {
        luaL_argexpected(L, lua_istable(L, -1), 1, "a peer as a table");
        o->x.peer = &o->peer;
        o->x.peer_read = true; // there is no certificate behind it
        o->x.subject = text(L, a, "subject");
        first_of(L, a, "dns_sans", &o->x.dns_names, &o->x.dns_name_count);
        o->peer.principal = first_of(L, a, "uri_sans", &uris, &n);
    }
    lua_pop(L, 1);
}

// The request on top.
static void read_request(lua_State *L, struct sld_arena *a, struct one *o)
{
    struct sld_exchange *x = &o->x;
    luaL_argexpected(L, lua_istable(L, -1), 1, "requests as tables");
    x->arena = a;
    x->method = text(L, a, "method");
    struct sld_str path = text(L, a, "path");
    ptrdiff_t q = sld_str_index(path, '?');
    x->path = q < 0 ? path : sld_str_sub(path, 0, (size_t)q);
    x->query = q < 0 ? SLD_STR("") : sld_str_sub(path, (size_t)q + 1, path.n);
    x->host = text(L, a, "host");
    x->scheme = text(L, a, "scheme");
    x->id = text(L, a, "id");
    x->source = text(L, a, "source");
    x->sni = text(L, a, "sni");
    x->route = text(L, a, "route");
    x->body = text(L, a, "body");
    read_headers(L, a, &x->headers, &x->header_count);
    read_peer(L, a, o);
    lua_getfield(L, -1, "conf");
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        lua_newtable(L);
    }
    o->conf = pl_to_value(L, -1, a);
    lua_pop(L, 1);
}

// ---- The hook ----

static void done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct one *o = user;
    o->over = true;
    o->rc = rc;
    if (rc)
        o->err = *err;
}

static bool body_fits(struct pl_rig *r, struct one *o)
{
    const struct sld_plugin_body *b = &r->p->info.request_body;
    if (b->mode != SLD_BODY_BUFFERED) {
        o->body = o->x.body; // is not shown
        o->x.body = SLD_STR_NONE;
    }
    return o->x.body.n <= b->max_bytes || !b->mode;
}

static void start(struct pl_rig *r, struct one *o)
{
    struct sld_err err = {0};
    o->call = (struct sld_authorize){.x = &o->x, .ref = o->ref, .deadline_ms = r->p->host->limits.request_ms, .done = done, .user = o};
    if (!body_fits(r, o)) {
        o->x.denied = o->over = true;
        o->x.status = 413;
        o->x.deny_body = SLD_STR("");
        return;
    }
    enum sld_rc rc = sld_plugin_authorize(r->p, pl_world_reactor(r->world), &o->call, &err);
    if (rc && !o->over)
        done(o, rc, &err);
}

// Until all are over: each has a deadline.
static void run(struct pl_rig *r, struct one *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        start(r, &all[i]);
    for (size_t i = 0; i < n; i++) {
        while (!all[i].over && pl_world_step(r->world, r->p->host->limits.request_ms))
            continue;
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
    struct pl_out out;
    bool edited = false;
    for (size_t i = 0; i < x->edit_count; i++)
        edited |= x->edits[i].kind == SLD_EDIT_QUERY;
    pl_out_begin(&out, L, x->path.n + x->query.n);
    pl_out_add(&out, x->path);
    if (!edited && x->query.n) {
        pl_out_addc(&out, '?');
        pl_out_add(&out, x->query);
    }
    for (size_t i = 0; edited && i < x->param_count; i++) {
        pl_out_addc(&out, i ? '&' : '?');
        pl_url_escape(&out, x->params[i].name);
        pl_out_addc(&out, '=');
        pl_url_escape(&out, x->params[i].value);
    }
    pl_out_push(&out);
    lua_replace(L, -2); // the room of the text
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
    const struct sld_exchange *x = &o->x;
    lua_newtable(L);
    set_text(L, "method", x->method);
    push_path(L, x);
    lua_setfield(L, -2, "path");
    set_text(L, "host", x->host);
    set_text(L, "scheme", x->scheme);
    set_text(L, "body", x->body.p ? x->body : o->body);
    push_pairs(L, x->headers, x->header_count);
    lua_setfield(L, -2, "headers");
}

// The headers of the response at INDEX, an upstream's or nil, with the plugin's edits.
static void push_response_headers(lua_State *L, struct sld_arena *a, const struct sld_exchange *x, int index)
{
    struct sld_pair *p = NULL;
    size_t n = 0;
    if (lua_istable(L, index)) {
        lua_pushvalue(L, index);
        read_headers(L, a, &p, &n);
        lua_pop(L, 1);
    }
    for (size_t i = 0; i < x->edit_count; i++) {
        const struct sld_edit *e = &x->edits[i];
        struct sld_pair one = {e->name, e->value};
        size_t kept = 0;
        if (e->kind != SLD_EDIT_RESPONSE_SET && e->kind != SLD_EDIT_RESPONSE_ADD)
            continue;
        for (size_t k = 0; k < n; k++) {
            if (e->kind == SLD_EDIT_RESPONSE_ADD || !sld_str_eq(p[k].name, e->name))
                p[kept++] = p[k];
        }
        n = kept;
        SLD_PUSH(a, p, n, one);
    }
    push_pairs(L, p, n);
}

static void push_metadata(lua_State *L, const struct sld_exchange *x)
{
    lua_newtable(L);
    for (size_t i = 0; i < x->note_count; i++) {
        pl_push_str(L, x->notes[i].key);
        pl_push_value(L, x->notes[i].value);
        lua_rawset(L, -3);
    }
}

// What became of O, whose request is at INDEX.
static void push_result(lua_State *L, struct sld_arena *a, const struct one *o, int index)
{
    const struct sld_exchange *x = &o->x;
    lua_newtable(L);
    int result = lua_gettop(L);
    push_metadata(L, x);
    lua_setfield(L, result, "metadata");
    lua_newtable(L);
    if (o->rc) {
        lua_pushstring(L, o->err.msg);
        lua_rawseti(L, -2, 1);
    }
    lua_setfield(L, result, "log");
    if (x->denied || o->rc) {
        lua_pushinteger(L, x->denied ? (lua_Integer)x->status : FAILED);
        lua_setfield(L, result, "status");
        set_text(L, "body", x->denied ? x->deny_body : SLD_STR(""));
        push_pairs(L, x->deny_headers, x->denied ? x->deny_header_count : 0);
        lua_setfield(L, result, "headers");
        return;
    }
    push_forwarded(L, o);
    lua_setfield(L, result, "forwarded");
    lua_getfield(L, index, "response");
    push_response_headers(L, a, x, result + 1);
    lua_setfield(L, result, "headers");
    if (!lua_istable(L, result + 1) || lua_getfield(L, result + 1, "status") == LUA_TNIL)
        lua_pushinteger(L, 200);
    lua_setfield(L, result, "status");
    if (lua_istable(L, result + 1)) {
        lua_getfield(L, result + 1, "body");
        lua_setfield(L, result, "body");
    }
    lua_settop(L, result);
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
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        push_result(L, a, &all[i], 3);
        lua_rawseti(L, 2, (lua_Integer)i + 1);
        lua_settop(L, 2);
    }
    return 1;
}

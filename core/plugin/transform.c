// Requests and responses in the hands of transform_request and transform_response: as of authorize, and what these may do more.
#include "plugin/exchange.h"

#include "plugin/task.h"

#define ORIGIN "solder.origin"
#define TRAILERS "solder.trailers"

enum { TEXT_MAX = 16 << 10 };

struct sld_transform *pl_flow(lua_State *L)
{
    struct sld_transform *t = pl_task_arg(L, SLD_HOOK_TRANSFORM_REQUEST);
    return t ? t : pl_task_arg(L, SLD_HOOK_TRANSFORM_RESPONSE);
}

// Several of them may be under way for one exchange.
static struct sld_transform *flow_of(lua_State *L)
{
    struct sld_transform *t = pl_flow(L);
    if (!t) // what is closed when a call ended runs outside of it
        pl_error(L, "the call is over");
    return t;
}

// ---- Edits ----

// Another one of that name.
static int add_header(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    struct sld_pair p = {pl_header_name(L, x, 2), pl_header_value(L, x, 3)};
    pl_edit(L, x, SLD_EDIT_HEADER, p.name, p.value);
    SLD_PUSH(x->arena, x->headers, x->header_count, p);
    return 0;
}

// The text at 2, of characters that OK takes.
static struct sld_str text_of(lua_State *L, struct sld_exchange *x, const char *what, bool (*ok)(char c))
{
    pl_unsent(L);
    luaL_checkstring(L, 2);
    struct sld_str s = pl_str(L, 2);
    if (!s.n || s.n > TEXT_MAX)
        pl_error(L, "'%.*s' cannot be %s", SLD_FMT(sld_str_sub(s, 0, 60)), what);
    for (size_t i = 0; i < s.n; i++) {
        if (!ok(s.p[i]))
            pl_error(L, "'%.*s' cannot be %s", SLD_FMT(sld_str_sub(s, 0, 60)), what);
    }
    return pl_copied(L, x, s);
}

static bool of_host(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(".:_[]-", c));
}

static bool of_method(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool of_path(char c)
{
    return (unsigned char)c > 0x20 && c != 0x7f && c != '?' && c != '#';
}

static int set_host(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    x->host = text_of(L, x, "a host", of_host);
    return 0;
}

static int set_method(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    struct sld_str s = text_of(L, x, "a method", of_method);
    if (s.n > 20)
        pl_error(L, "'%.*s' cannot be a method", SLD_FMT(s));
    x->method = s;
    return 0;
}

static int set_path(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    struct sld_str s = text_of(L, x, "a path, which begins with / and has no query", of_path);
    if (s.p[0] != '/')
        pl_error(L, "'%.*s' cannot be a path, which begins with / and has no query", SLD_FMT(sld_str_sub(s, 0, 60)));
    x->path = s;
    return 0;
}

static int set_status(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    pl_unsent(L);
    if (!lua_isinteger(L, 2) || lua_tointeger(L, 2) < 200 || lua_tointeger(L, 2) > 599)
        pl_error(L, "status must be a whole number from 200 to 599");
    x->code = (unsigned)lua_tointeger(L, 2);
    return 0;
}

static int set_body(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    luaL_checkstring(L, 2);
    lua_tostring(L, 2);
    struct sld_str s = pl_str(L, 2);
    if (flow_of(L)->sent)
        pl_error(L, "the body is on its way: write its chunks");
    if (s.n > SLD_SET_BODY_BYTES_MAX - x->body_bytes)
        pl_error(L, "more than %d KiB of bodies are set", SLD_SET_BODY_BYTES_MAX >> 10);
    pl_spend(L, s.n / 8);
    x->body_bytes += s.n;
    uint32_t used = x->arena->used_bytes;
    x->body = sld_arena_str(x->arena, s.n ? s : SLD_STR(""));
    x->start_bytes += x->arena->used_bytes - used; // bodies have a ceiling of their own
    x->body_set = true;
    return 0;
}

static int respond(lua_State *L)
{
    pl_exchange(L);
    pl_unsent(L);
    return pl_answer(L, "respond", 200, true);
}

// ---- Bodies in pieces ----

static void stop_wanting(void *waiting)
{
    struct sld_transform *t = waiting;
    t->wants = SLD_WANTS_NOTHING;
}

// Upvalue: the handle.
static int next_chunk(lua_State *L)
{
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    pl_exchange(L);
    struct sld_transform *t = flow_of(L);
    if (t->ended)
        return 0;
    pl_may_wait(L, "chunks");
    t->wants = SLD_WANTS_CHUNK;
    t->waits(t->user);
    return pl_wait_patient(L, stop_wanting, t, 0, pl_woken);
}

static int chunks(lua_State *L)
{
    const struct sld_exchange *x = pl_exchange(L);
    struct sld_transform *t = flow_of(L);
    if (!t->streamed)
        pl_error(L, "chunks are there with %s = {mode = \"streamed\"} in the plugin's table",
                 t->hook == SLD_HOOK_TRANSFORM_REQUEST ? "request_body" : "response_body");
    if (t->read)
        pl_error(L, "the body can be read once");
    if (x->denied || x->body_set)
        pl_error(L, "the body is gone: another one was set");
    t->read = t->sent = true;
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, next_chunk, 1);
    return 1;
}

static int write_chunk(lua_State *L)
{
    pl_exchange(L);
    struct sld_transform *t = flow_of(L);
    luaL_checkstring(L, 2);
    lua_tostring(L, 2);
    if (!t->read)
        pl_error(L, "write while the body's chunks are read");
    if (t->closed)
        pl_error(L, "the body is over: trailers came behind it");
    pl_spend(L, pl_str(L, 2).n / 8);
    sld_buf_add(&t->written, pl_str(L, 2));
    if (t->written.full)
        pl_error(L, "more than %d KiB are written for one chunk", SLD_CHUNK_BYTES_MAX >> 10);
    return 0;
}

static int push_chunk(lua_State *L, void *arg)
{
    pl_push_str(L, *(const struct sld_str *)arg);
    return 1;
}

void sld_transform_chunk(struct sld_transform *t, struct sld_str chunk)
{
    SLD_PRE(t->wants == SLD_WANTS_CHUNK && (chunk.n || !chunk.p));
    t->wants = SLD_WANTS_NOTHING;
    t->ended = !chunk.p;
    pl_wake(t->task, chunk.p ? push_chunk : NULL, &chunk);
}

// ---- Trailers ----

static int trailers_index(lua_State *L)
{
    const struct sld_exchange *x = pl_lent(L, TRAILERS);
    luaL_checkstring(L, 2);
    struct sld_str name = pl_str(L, 2);
    pl_spend(L, x->trailer_count / 4);
    for (size_t i = 0; i < x->trailer_count; i++) {
        if (sld_str_ieq(x->trailers[i].name, name)) {
            pl_push_str(L, x->trailers[i].value);
            return 1;
        }
    }
    return 0;
}

// The steps of pairs: upvalues are the number reached, and the handle.
static int trailers_next(lua_State *L)
{
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(2));
    const struct sld_exchange *x = pl_lent(L, TRAILERS);
    size_t i = (size_t)lua_tointeger(L, lua_upvalueindex(1));
    if (i >= x->trailer_count)
        return 0;
    lua_pushinteger(L, (lua_Integer)i + 1);
    lua_replace(L, lua_upvalueindex(1));
    pl_push_str(L, x->trailers[i].name);
    pl_push_str(L, x->trailers[i].value);
    return 2;
}

static int trailers_pairs(lua_State *L)
{
    pl_lent(L, TRAILERS);
    lua_pushinteger(L, 0);
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, trailers_next, 2);
    return 1;
}

// Waits until it is known whether there are trailers; then K goes on.
static int await_trailers(lua_State *L, struct sld_exchange *x, lua_KFunction k)
{
    struct sld_transform *t = flow_of(L);
    if (x->trailers_known)
        return k(L, LUA_OK, 0);
    pl_may_wait(L, "trailers");
    t->sent = true;
    t->wants = SLD_WANTS_TRAILERS;
    t->waits(t->user);
    return pl_wait_patient(L, stop_wanting, t, 0, k);
}

static int push_trailers(lua_State *L, int status, lua_KContext context)
{
    struct sld_exchange *x = pl_exchange(L);
    (void)status, (void)context;
    if (x->has_trailers)
        pl_push_part(L, x, TRAILERS, 2);
    else
        lua_pushnil(L);
    return 1;
}

// The name at 2, the value at 3.
static int put_trailer(lua_State *L, int status, lua_KContext context)
{
    struct sld_exchange *x = pl_exchange(L);
    struct sld_str name = pl_header_name(L, x, 2), value = pl_header_value(L, x, 3);
    (void)status, (void)context;
    if (!x->has_trailers)
        pl_error(L, "the %s has no trailers", flow_of(L)->hook == SLD_HOOK_TRANSFORM_REQUEST ? "request" : "response");
    pl_edit(L, x, SLD_EDIT_TRAILER, name, value);
    pl_put(x->arena, &x->trailers, &x->trailer_count, name, value);
    return 0;
}

static int set_trailer(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    pl_header_name(L, x, 2);
    pl_header_value(L, x, 3);
    return await_trailers(L, x, put_trailer);
}

void sld_transform_trailers(struct sld_transform *t)
{
    SLD_PRE(t->wants == SLD_WANTS_TRAILERS && t->x->trailers_known);
    t->wants = SLD_WANTS_NOTHING;
    pl_wake(t->task, NULL, NULL);
}

// Upvalue: what has the other fields.
static int request_index(lua_State *L)
{
    if (lua_type(L, 2) == LUA_TSTRING && sld_str_eq(pl_str(L, 2), SLD_STR("trailers")))
        return await_trailers(L, pl_exchange(L), push_trailers);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 2, 1);
    return 1;
}

// ---- Responses ----

// The request of a response.
static int origin_index(lua_State *L)
{
    struct sld_exchange *x = pl_lent(L, ORIGIN);
    const struct {
        const char *name;
        struct sld_str value;
    } fields[] = {{"host", x->host}, {"id", x->id}, {"method", x->method}, {"path", x->path}, {"scheme", x->scheme}};
    luaL_checkstring(L, 2);
    if (sld_str_eq(pl_str(L, 2), SLD_STR("headers"))) {
        pl_push_part(L, x, PL_HEADERS, 1);
        return 1;
    }
    for (size_t i = 0; i < SLD_ARRAY_LEN(fields); i++) {
        if (!sld_str_eq(pl_str(L, 2), sld_str_c(fields[i].name)))
            continue;
        pl_push_or_nil(L, fields[i].value);
        return 1;
    }
    pl_error(L, "the request of a response has no '%.60s'; there are headers, host, id, method, path and scheme", lua_tostring(L, 2));
}

// Upvalue: its methods.
static int response_index(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    luaL_checkstring(L, 2);
    struct sld_str key = pl_str(L, 2);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TFUNCTION)
        return 1;
    if (sld_str_eq(key, SLD_STR("trailers")))
        return await_trailers(L, x, push_trailers);
    if (sld_str_eq(key, SLD_STR("body")) && flow_of(L)->streamed)
        pl_error(L, "the body is streamed: read it by :chunks()");
    if (sld_str_eq(key, SLD_STR("request")) && !(x->request && x->request->method.p))
        pl_error(L, "the request is not known here: Envoy does not tell it yet");
    if (sld_str_eq(key, SLD_STR("body")))
        pl_push_or_nil(L, x->body);
    else if (sld_str_eq(key, SLD_STR("headers")))
        pl_push_part(L, x, PL_HEADERS, 1);
    else if (sld_str_eq(key, SLD_STR("request")))
        pl_push_part(L, x->request, ORIGIN, 3);
    else if (sld_str_eq(key, SLD_STR("status")))
        lua_pushinteger(L, (lua_Integer)x->code);
    else
        pl_error(L, "a response has no '%.60s'", lua_tostring(L, 2));
    return 1;
}

static const luaL_Reg own_methods[] = {{"add_header", add_header}, {"chunks", chunks},         {"respond", respond},
                                       {"set_body", set_body},     {"set_host", set_host},     {"set_method", set_method},
                                       {"set_path", set_path},     {"set_trailer", set_trailer}, {"write", write_chunk},
                                       {NULL, NULL}};
static const luaL_Reg response_methods[] = {{"add_header", add_header}, {"chunks", chunks},           {"respond", respond},
                                            {"set_body", set_body},     {"set_status", set_status},   {"set_trailer", set_trailer},
                                            {"write", write_chunk},     {NULL, NULL}};

static void make_types(lua_State *L)
{
    static const char *const shared[] = {"remove_header", "set_header", "set_metadata"};
    lua_newtable(L);
    luaL_setfuncs(L, pl_request_methods, 0);
    lua_newtable(L); // of responses
    for (size_t i = 0; i < SLD_ARRAY_LEN(shared); i++) {
        lua_getfield(L, -2, shared[i]);
        lua_setfield(L, -2, shared[i]);
    }
    luaL_setfuncs(L, response_methods, 0);
    pl_make_type(L, PL_RESPONSE, response_index, NULL);
    luaL_getmetatable(L, PL_RESPONSE);
    lua_insert(L, -2);
    lua_pushcclosure(L, response_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_pushnil(L);
    lua_setfield(L, -2, "deny");
    luaL_setfuncs(L, own_methods, 0);
    pl_make_request_type(L, PL_TRANSFORM);
    luaL_getmetatable(L, PL_TRANSFORM);
    lua_getfield(L, -1, "__index");
    lua_pushcclosure(L, request_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    pl_make_type(L, ORIGIN, origin_index, NULL);
    pl_make_type(L, TRAILERS, trailers_index, trailers_pairs);
}

// ---- The hooks ----

static int push_hook(lua_State *L)
{
    const struct sld_transform *t = lua_touserdata(L, 1);
    struct sld_exchange *x = t->x;
    if (luaL_getmetatable(L, PL_TRANSFORM) == LUA_TNIL)
        make_types(L);
    lua_pop(L, 1);
    x->start_bytes = x->start_bytes ? x->start_bytes : x->arena->used_bytes;
    pl_push_hook(L, t->hook);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->ref);
    pl_lend(L, x, t->hook == SLD_HOOK_TRANSFORM_REQUEST ? PL_TRANSFORM : PL_RESPONSE, 3);
    return 0;
}

static void on_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct sld_transform *t = user;
    t->task = NULL;
    t->wants = SLD_WANTS_NOTHING;
    if (rc && t->undo && !t->x->denied && !t->sent)
        *t->x = t->before;
    t->done(t->user, rc, err);
}

enum sld_rc sld_plugin_transform(struct sld_plugin *p, struct sld_reactor *r, struct sld_transform *t, struct sld_err *err)
{
    const struct pl_task_call call = {
        .hook = t->hook,
        .phase = PL_REQUEST,
        .push = push_hook,
        .arg = t,
        .deadline_ms = t->deadline_ms,
        .done = on_done,
        .user = t,
    };
    struct pl_task *task = NULL;
    if (t->undo)
        pl_remember(t->x, &t->before);
    sld_buf_init(&t->written, SLD_CHUNK_BYTES_MAX);
    enum sld_rc rc = pl_task_start(p, r, &call, &task, err);
    if (task)
        t->task = task; // else it is over, and T may be gone
    return rc;
}

void sld_plugin_transform_cancel(struct sld_transform *t)
{
    struct pl_task *task = t->task;
    t->task = NULL;
    pl_task_cancel(task);
}

// ---- What Envoy is asked for ----

static bool of_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool has_word(struct sld_str text, struct sld_str word)
{
    for (size_t at = 0; at < text.n;) {
        ptrdiff_t i = sld_str_find(sld_str_sub(text, at, text.n), word);
        if (i < 0)
            return false;
        at += (size_t)i;
        bool left = at && of_word(text.p[at - 1]), right = at + word.n < text.n && of_word(text.p[at + word.n]);
        if (!left && !right)
            return true;
        at += word.n;
    }
    return false;
}

unsigned pl_speaks(const struct sld_plugin_bundle *b)
{
    unsigned out = 0;
    for (size_t i = 0; i < b->count; i++) {
        struct sld_str text = b->files[i].text;
        out |= has_word(text, SLD_STR("request")) ? SLD_SPEAKS_REQUEST : 0U;
        out |= sld_str_find(text, SLD_STR("response_header")) >= 0 ? SLD_SPEAKS_RESPONSE_HEADER : 0U;
        out |= sld_str_find(text, SLD_STR("trailer")) >= 0 ? SLD_SPEAKS_TRAILER : 0U;
    }
    return out;
}

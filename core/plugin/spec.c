// Runs specs: each file in a state of its own, with solder.test beside what plugins have. A test is a call like a
// hook's, with the ceilings of loading; what it translates is outside of the state, with the plugin in its own.
#include "plugin/author.h"

#include <stdio.h>

#include "codec/doc.h"
#include "plugin/bytecode.h"
#include "plugin/kit.h"
#include "plugin/load.h"
#include "plugin/value.h"

enum { ANSWER_MAX = 64 << 20 };

struct spec {
    const struct sld_spec_run *run;
    struct sld_plugin_bundle *all;   // the plugin's files, and spec/
    struct sld_plugin_bundle *bundle; // the plugin's files
    struct sld_plugin *plugin;
    struct pl_host *edge; // where code for Envoy runs; NULL: not yet
    struct pl_cover cover;
    struct pl_spec_world *world;
    // Of the file at work.
    const struct sld_plugin_file *file;
    struct sld_arena arena;
    struct sld_str *names;
    size_t count;
    lua_Integer index; // of the test
};

static const char spec_key = 0;

// ---- What the kit is given ----

// Code for Envoy, in a state of its own that lives as long as the specs.
struct exchange {
    struct spec *s;
    Google__Protobuf__Value *request, *result;
};

static int compiled_main(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    return 1;
}

// The main file ran already, and what it made is read-only. Upvalue: its table.
static int compile_main(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, compiled_main, 1);
    return 1;
}

static int freeze(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    pl_freeze(L, 1);
    return 1;
}

static void push_body(lua_State *L, const char *name, const struct sld_plugin_body *body)
{
    if (!body->mode)
        return;
    lua_newtable(L);
    lua_pushstring(L, body->mode == SLD_BODY_BUFFERED ? "buffered" : "streamed");
    lua_setfield(L, -2, "mode");
    lua_pushinteger(L, (lua_Integer)body->max_bytes);
    lua_setfield(L, -2, "max");
    lua_setfield(L, -2, name);
}

static int load_edge(lua_State *L)
{
    const struct sld_plugin *p = ((struct exchange *)lua_touserdata(L, 1))->s->plugin;
    pl_compile(L, sld_str_n((const char *)pl_envoy_text, pl_envoy_bytes), "=envoy");
    pl_compile(L, sld_str_n((const char *)pl_edge_text, pl_edge_bytes), "=solder");
    lua_newtable(L);
    pl_push_str(L, p->info.name);
    lua_setfield(L, -2, "name");
    push_body(L, "request_body", &p->info.request_body);
    push_body(L, "response_body", &p->info.response_body);
    pl_edge_run(L, p);
    lua_pushvalue(L, -1);
    pl_freeze(L, 1);
    lua_pushcclosure(L, compile_main, 1);
    lua_setfield(L, -2, "compile");
    lua_pushcfunction(L, freeze);
    lua_setfield(L, -2, "freeze");
    lua_call(L, 1, 1);
    lua_call(L, 1, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, "exchange");
    return 0;
}

static int call_edge(lua_State *L)
{
    struct exchange *x = lua_touserdata(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "exchange");
    pl_push_value(L, x->request);
    pl_push_str(L, x->s->plugin->info.name);
    lua_setfield(L, -2, "plugin");
    lua_call(L, 1, 1);
    x->result = pl_to_value(L, -1, &x->s->arena);
    pl_freeze_check(L);
    return 0;
}

static Google__Protobuf__Struct__FieldsEntry *entry_of(const Google__Protobuf__Value *v, const char *name)
{
    for (size_t i = 0; i < v->struct_value->n_fields; i++) {
        if (!strcmp(v->struct_value->fields[i]->key, name))
            return v->struct_value->fields[i];
    }
    return NULL;
}

// Checks the configuration of the request, and fills it with defaults.
static enum sld_rc check_conf(struct spec *s, Google__Protobuf__Value *request, struct sld_err *err)
{
    struct sld_report r = {.arena = &s->arena};
    Google__Protobuf__Struct__FieldsEntry *e = entry_of(request, "conf");
    if (!e) {
        e = SLD_MSG(&s->arena, Google__Protobuf__Struct__FieldsEntry, google__protobuf__struct__fields_entry);
        e->key = SLD_MSG_STR(&s->arena, SLD_STR("conf"));
        e->value = SLD_MSG(&s->arena, Google__Protobuf__Value, google__protobuf__value);
        e->value->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        e->value->struct_value = SLD_MSG(&s->arena, Google__Protobuf__Struct, google__protobuf__struct);
        SLD_PUSH(&s->arena, request->struct_value->fields, request->struct_value->n_fields, e);
    }
    sld_plugin_check(s->plugin, &r, e->value);
    for (size_t i = 0; i < r.count; i++) {
        if (r.items[i].severity == SLD_ERROR)
            return sld_err_set(err, SLD_INVALID, "conf%s%.*s: %.*s", r.items[i].path.n ? "." : "", SLD_FMT(r.items[i].path),
                               SLD_FMT(r.items[i].message));
    }
    return pl_conf_filled(s->plugin, e->value, &s->arena, &e->value, err);
}

static enum sld_rc exchange(struct exchange *x, struct sld_err *err)
{
    struct spec *s = x->s;
    if (!s->plugin->edge.text.n)
        return sld_err_set(err, SLD_INVALID, "the plugin has no code for Envoy: add runs = \"envoy\" to its table");
    enum sld_rc rc = check_conf(s, x->request, err);
    if (!rc && !s->edge) {
        rc = pl_host_create(s->run->limits, s->bundle, &s->edge, err);
        if (!rc) {
            s->edge->cover = s->run->on_cover ? &s->cover : NULL;
            s->cover.last = NULL;
            rc = pl_run(s->edge, PL_LOAD, load_edge, x, err);
        }
        if (rc) {
            pl_host_destroy(s->edge);
            s->edge = NULL;
        }
    }
    if (!rc)
        rc = pl_run(s->edge, PL_PURE, call_edge, x, err);
    s->cover.last = NULL;
    return rc;
}

static struct spec *spec_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

// translate(text, now): what comes of the documents, as tables; or nil and words.
static int host_translate(lua_State *L)
{
    struct spec *s = spec_of(L);
    const struct sld_spec_world *w = s->run->world;
    luaL_checkstring(L, 1);
    lua_Integer now = luaL_optinteger(L, 2, 0);
    struct sld_arena a = {0};
    struct sld_buf json;
    struct sld_document *docs;
    size_t n = 0;
    enum sld_code code;
    struct sld_err err = {0};
    struct sld_report r = {.arena = &a};
    const Google__Protobuf__Value *v = NULL;
    sld_buf_init(&json, ANSWER_MAX);
    s->plugin->breaches = s->plugin->round_breaches = 0; // each is a world of its own
    enum sld_rc rc = w->translate(w->user, s->plugin, pl_str(L, 1), now, &json, &err);
    if (!rc)
        rc = sld_doc_read(&a, sld_buf_str(&json), &sld_doc_limits_default, &docs, &n, &code, &err);
    if (!rc && n)
        v = sld_doc_decode(&a, &google__protobuf__value__descriptor, docs[0].root, false, &r);
    sld_buf_fini(&json);
    // What is pushed may raise (memory), so it lives in the spec's arena until then.
    if (v)
        lua_pushlightuserdata(L, sld_msg_copy(&s->arena, &v->base));
    sld_arena_fini(&a);
    if (!v) {
        lua_pushnil(L);
        lua_pushstring(L, err.msg);
        return 2;
    }
    pl_push_value(L, lua_touserdata(L, -1));
    return 1;
}

// exchange(request): what becomes of it, or nil and words.
static int host_exchange(lua_State *L)
{
    struct exchange x = {.s = spec_of(L)};
    struct sld_err err = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    x.request = pl_to_value(L, 1, &x.s->arena);
    if (x.request->kind_case != GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE)
        pl_error(L, "a request is a table with names");
    if (exchange(&x, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.msg);
        return 2;
    }
    pl_push_value(L, x.result);
    return 1;
}

// snapshot(name, text): "same", "missing", or "different" and what it says.
static int host_snapshot(lua_State *L)
{
    const struct sld_spec_world *w = spec_of(L)->run->world;
    struct sld_buf was;
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    struct sld_str name = pl_str(L, 1);
    for (size_t i = 0; i < name.n; i++) {
        if (!(name.p[i] == '-' || (name.p[i] >= '0' && name.p[i] <= '9') || (name.p[i] >= 'a' && name.p[i] <= 'z')))
            pl_error(L, "a snapshot's name is made of a-z, 0-9 and -"); // it becomes the name of a file
    }
    sld_buf_init(&was, pl_host_of(L)->limits.string_bytes);
    enum sld_rc rc = w->snapshot(w->user, name, pl_str(L, 2), &was);
    struct sld_str text = sld_arena_str(&spec_of(L)->arena, sld_buf_str(&was));
    sld_buf_fini(&was);
    lua_pushstring(L, rc == SLD_OK ? "same" : rc == SLD_NOT_FOUND ? "missing" : "different");
    pl_push_str(L, text);
    return 2;
}

// Makes solder.test of this state, whose functions for C stay in the registry.
static void open_kit(lua_State *L, struct spec *s)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "modules");
    pl_compile(L, sld_str_n((const char *)pl_kit_text, pl_kit_bytes), "=solder.test");
    lua_newtable(L);
    lua_pushlightuserdata(L, s);
    lua_pushcclosure(L, host_translate, 1);
    lua_setfield(L, -2, "translate");
    lua_pushlightuserdata(L, s);
    lua_pushcclosure(L, host_snapshot, 1);
    lua_setfield(L, -2, "snapshot");
    pl_spec_world_open(L, s->world);
    lua_setfield(L, -2, "world");
    lua_pushlightuserdata(L, s);
    lua_pushcclosure(L, host_exchange, 1);
    lua_setfield(L, -2, "exchange");
    lua_pushboolean(L, s->plugin->info.runs == SLD_RUNS_ENVOY);
    lua_setfield(L, -2, "at_edge");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &spec_key);
    lua_call(L, 1, 1);
    lua_setfield(L, -2, "solder.test");
    lua_pop(L, 1);
}

// ---- One file ----

static int load_file(lua_State *L)
{
    struct spec *s = lua_touserdata(L, 1);
    open_kit(L, s);
    pl_compile(L, s->file->text, sld_arena_fmt(&s->arena, "@%.*s", SLD_FMT(s->file->name)).p);
    lua_call(L, 0, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &spec_key);
    lua_getfield(L, -1, "list");
    lua_call(L, 0, 1);
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TSTRING; i++) {
        SLD_PUSH(&s->arena, s->names, s->count, sld_arena_str(&s->arena, pl_str(L, -1)));
        lua_pop(L, 1);
    }
    return 0;
}

static int run_test(lua_State *L)
{
    struct spec *s = lua_touserdata(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &spec_key);
    lua_getfield(L, -1, "run");
    lua_pushinteger(L, s->index);
    lua_call(L, 1, 0);
    return 0;
}

static void tell(struct spec *s, struct sld_str name, enum sld_rc rc, const struct sld_err *err, uint64_t from)
{
    struct sld_spec_result r = {.file = s->file->name, .name = name, .ok = rc == SLD_OK, .ns = sld_mono_ns() - from};
    r.words = rc ? sld_str_c(err->msg) : SLD_STR("");
    s->run->on_result(s->run->user, &r);
}

static void run_file(struct spec *s)
{
    // A test may take what loading may: it calls, in a way, all that a plugin does.
    struct sld_plugin_limits l = *s->run->limits;
    l.call_steps = l.load_steps;
    l.call_ms = l.load_ms;
    l.subject_bytes = l.string_bytes; // what snapshots show is looked through
    struct pl_host *h = NULL;
    struct sld_err err = {0};
    uint64_t from = sld_mono_ns();
    s->cover.last = NULL; // another state may have another text there
    s->names = NULL;
    s->count = 0;
    enum sld_rc rc = pl_host_create(&l, s->all, &h, &err);
    if (!rc) {
        h->cover = s->run->on_cover ? &s->cover : NULL;
        rc = pl_run(h, PL_LOAD, load_file, s, &err);
    }
    if (rc)
        tell(s, SLD_STR(""), rc, &err, from);
    for (size_t i = 0; i < s->count && !rc; i++) {
        if (s->run->filter.n && sld_str_find(s->names[i], s->run->filter) < 0)
            continue;
        from = sld_mono_ns();
        s->index = (lua_Integer)i + 1;
        err = (struct sld_err){0};
        enum sld_rc result = pl_run(h, PL_PURE, run_test, s, &err);
        pl_spec_world_end(s->world);
        tell(s, s->names[i], result, &err, from);
    }
    pl_host_destroy(h);
    sld_arena_fini(&s->arena);
}

// ---- Lines ----

struct chunk {
    struct sld_arena arena;
    const struct sld_plugin_file *file;
    struct pl_chunk out;
};

static int read_chunk(lua_State *L)
{
    struct chunk *c = lua_touserdata(L, 1);
    pl_compile(L, c->file->text, "=chunk");
    pl_chunk_read(L, &c->arena, c->file->name, &c->out);
    return 0;
}

static void tell_cover(struct spec *s)
{
    for (size_t i = 0; i < s->bundle->count; i++) {
        struct chunk c = {.file = &s->bundle->files[i]};
        struct sld_err err = {0};
        if (!pl_run(s->plugin->host, PL_LOAD, read_chunk, &c, &err)) {
            int *missed = SLD_ARENA_ARRAY(&c.arena, int, c.out.line_count + 1);
            struct sld_spec_cover told = {.file = c.file->name, .count = c.out.line_count, .missed = missed};
            for (size_t k = 0; k < c.out.line_count; k++) {
                if (s->cover.ran[i] && (size_t)c.out.lines[k] < s->cover.lines[i] && s->cover.ran[i][c.out.lines[k]])
                    told.ran++;
                else
                    missed[told.missed_count++] = c.out.lines[k];
            }
            s->run->on_cover(s->run->user, &told);
        }
        sld_arena_fini(&c.arena);
    }
}

// ---- All of them ----

static bool is_spec(struct sld_str name)
{
    return sld_str_starts(name, SLD_STR("spec/")) && sld_str_ends(name, SLD_STR("_spec.lua"));
}

enum sld_rc sld_plugin_test(struct sld_str path, const struct sld_spec_run *run, struct sld_err *err)
{
    struct spec s = {.run = run};
    size_t files = 0;
    enum sld_rc rc = pl_bundle_read(path, true, &s.all, err);
    if (!rc)
        rc = pl_bundle_read(path, false, &s.bundle, err);
    for (size_t i = 0; !rc && i < s.all->count; i++)
        files += is_spec(s.all->files[i].name);
    if (!rc && !files)
        rc = sld_err_set(err, SLD_NOT_FOUND, "%.*s has no spec/*_spec.lua", SLD_FMT(path));
    if (!rc)
        pl_cover_init(&s.cover, s.bundle);
    if (!rc)
        rc = pl_plugin_load(s.bundle, run->limits, run->on_cover ? &s.cover : NULL, &s.plugin, err);
    if (!rc)
        s.world = pl_spec_world_create(s.plugin);
    for (size_t i = 0; !rc && i < s.all->count; i++) {
        s.file = &s.all->files[i];
        if (is_spec(s.file->name))
            run_file(&s);
    }
    if (!rc && run->on_cover)
        tell_cover(&s);
    pl_spec_world_destroy(s.world);
    pl_host_destroy(s.edge);
    SLD_UNREF(s.plugin);
    pl_cover_fini(&s.cover);
    SLD_UNREF(s.bundle);
    SLD_UNREF(s.all);
    return rc;
}

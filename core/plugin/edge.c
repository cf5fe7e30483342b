// Code of a plugin that runs in Envoy. It is run here once to know what it is: its hooks, and the files it requires; all of
// them become one text, behind ours (lua/edge.lua).
#include "plugin/edge.h"

#include <stdlib.h>

#include "plugin/load.h"

enum { ENVOY_BODY_MAX = 1 << 20, TEXT_MAX = SLD_PLUGIN_BYTES_MAX + (1 << 20) };

// ---- What it is ----

struct reading {
    struct sld_plugin *p;
    struct sld_plugin_bundle *bundle;
    pl_fault *fault;
    void *user;
    struct sld_err *err; // of the first fault, where nobody takes them
    bool faulty;
    struct sld_arena arena;
    struct sld_str file; // at work
};

static void on_fault(void *user, enum sld_severity severity, struct sld_str file, int line, struct sld_str words)
{
    struct reading *r = user;
    if (r->fault)
        r->fault(r->user, severity, file, line, words);
    else if (severity == SLD_ERROR && !r->faulty)
        sld_err_set(r->err, SLD_INVALID, "%.*s:%d: %.*s", SLD_FMT(file), line, SLD_FMT(words));
    r->faulty |= severity == SLD_ERROR;
}

void pl_edge_run(lua_State *L, const struct sld_plugin *p)
{
    struct sld_str main = p->edge.main;
    // Of solder's own modules Envoy has none; a schema is no business of its.
    pl_host_of(L)->in_envoy = true;
    lua_getfield(L, LUA_REGISTRYINDEX, "modules");
    lua_newtable(L);
    lua_getfield(L, -2, "solder.schema");
    lua_setfield(L, -2, "solder.schema");
    lua_setfield(L, LUA_REGISTRYINDEX, "modules");
    lua_pop(L, 1);
    char name[200];
    size_t n = main.n < sizeof(name) - 2 ? main.n : 0;
    name[0] = '@';
    memcpy(name + 1, main.p, n);
    name[n + 1] = 0;
    pl_compile(L, sld_plugin_bundle_file(pl_host_of(L)->bundle, main), name);
    lua_call(L, 0, 1);
    if (!lua_istable(L, -1))
        luaL_error(L, "%s: it must return a table with its hooks, not a %s", name + 1, luaL_typename(L, -1));
}

static void take_hook(lua_State *L, struct sld_plugin *p, int hook)
{
    lua_Debug ar;
    int type = lua_getfield(L, 1, sld_hook_name((enum sld_hook)hook));
    if (type != LUA_TNIL && type != LUA_TFUNCTION)
        luaL_error(L, "%s: '%s' must be a function", sld_arena_cstr(&p->arena, p->edge.main), sld_hook_name((enum sld_hook)hook));
    if (type == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    lua_getinfo(L, ">S", &ar);
    p->info.hooks |= 1U << hook;
    if (ar.source[0] != '@')
        return;
    p->edge.hooks[hook].file = sld_arena_str(&p->arena, sld_str_c(ar.source + 1));
    p->edge.hooks[hook].first = ar.linedefined;
    p->edge.hooks[hook].last = ar.lastlinedefined;
}

// edge.lua has hooks of requests, and nothing else.
static void check_keys(lua_State *L)
{
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        struct sld_str key = pl_str(L, -2);
        bool known = false;
        for (int h = 0; h < SLD_HOOK_COUNT; h++)
            known |= (SLD_HOOKS_OF_REQUESTS & (1U << h)) && sld_str_eq(key, sld_str_c(sld_hook_name((enum sld_hook)h)));
        if (known)
            continue;
        pl_tostring(L, -2);
        luaL_error(L, "edge.lua: its table has no field '%s'; there are authorize, transform_request and transform_response",
                   lua_tostring(L, -1));
    }
}

static int by_name(const void *x, const void *y)
{
    return sld_str_cmp(*(const struct sld_str *)x, *(const struct sld_str *)y);
}

// The modules that were required.
static void take_files(lua_State *L, struct sld_plugin *p)
{
    struct pl_edge *e = &p->edge;
    SLD_PUSH(&p->arena, e->files, e->file_count, e->main);
    lua_getfield(L, LUA_REGISTRYINDEX, "modules");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        struct sld_str name = pl_str(L, -2);
        char *file = sld_arena_alloc(&p->arena, name.n + 5);
        for (size_t i = 0; i < name.n; i++)
            file[i] = name.p[i] == '.' ? '/' : name.p[i];
        memcpy(file + name.n, ".lua", 5);
        if (sld_plugin_bundle_file(p->host->bundle, sld_str_c(file)).p)
            SLD_PUSH(&p->arena, e->files, e->file_count, sld_str_c(file));
    }
    qsort(e->files + 1, e->file_count - 1, sizeof(*e->files), by_name);
}

static int read_code(lua_State *L)
{
    struct reading *r = lua_touserdata(L, 1);
    lua_settop(L, 0);
    pl_edge_run(L, r->p);
    if (sld_str_eq(r->p->edge.main, SLD_STR("edge.lua")))
        check_keys(L);
    for (int h = 0; h < SLD_HOOK_COUNT; h++) {
        if (SLD_HOOKS_OF_REQUESTS & (1U << h))
            take_hook(L, r->p, h);
    }
    take_files(L, r->p);
    return 0;
}

// Such a function is short, unless those that it calls are not; what it can call is seen in Envoy (lua/luajit.lua).
static void take_plain(struct sld_plugin *p, struct sld_str file, const struct pl_chunk *c)
{
    for (size_t i = 0; i < c->function_count; i++) {
        const struct pl_function *f = c->functions[i];
        bool alone = f->plain;
        for (size_t k = 0; k < c->function_count && alone; k++)
            alone = k == i || c->functions[k]->first != f->first;
        if (alone)
            SLD_PUSH(&p->arena, p->edge.plain, p->edge.plain_count, ((struct pl_plain){file, f->first, f->steps, f->calls}));
    }
}

static int check_file(lua_State *L)
{
    struct reading *r = lua_touserdata(L, 1);
    struct sld_str text = sld_plugin_bundle_file(r->p->host->bundle, r->file);
    struct pl_chunk c;
    pl_compile(L, text, "=edge");
    pl_chunk_read(L, &r->arena, r->file, &c);
    pl_dialect_check(&r->arena, r->file, text, &c, on_fault, r);
    take_plain(r->p, r->file, &c);
    return 0;
}

// ---- Its text ----

void pl_lua_quote(struct sld_buf *b, struct sld_str s)
{
    sld_buf_addc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '\n')
            sld_buf_addz(b, "\\n");
        else if (c == '"' || c == '\\')
            sld_buf_addf(b, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            sld_buf_addf(b, "\\%03u", c);
        else
            sld_buf_addc(b, (char)c);
    }
    sld_buf_addc(b, '"');
}

// A text of ours, without what is for readers, as a function.
static void add_ours(struct sld_buf *b, const unsigned char *text, size_t n)
{
    struct sld_str rest = sld_str_n((const char *)text, n), line;
    sld_buf_addz(b, "(function(...)\n");
    while (sld_str_cut(&rest, '\n', &line)) {
        line = sld_str_trim(line);
        if (!line.n || sld_str_starts(line, SLD_STR("--")))
            continue;
        sld_buf_add(b, line);
        sld_buf_addc(b, '\n');
    }
    sld_buf_addz(b, "end)");
}

static void add_body(struct sld_buf *b, const char *name, const struct sld_plugin_body *body)
{
    if (body->mode)
        sld_buf_addf(b, ", %s = {mode = \"%s\", max = %zu}", name, body->mode == SLD_BODY_BUFFERED ? "buffered" : "streamed",
                     body->max_bytes);
}

static void make_text(struct sld_plugin *p, struct sld_buf *b)
{
    const struct pl_edge *e = &p->edge;
    bool answers = false; // it may say something of the response while the request is there
    for (size_t i = 0; i < e->file_count; i++)
        answers |= sld_str_find(sld_plugin_bundle_file(p->host->bundle, e->files[i]), SLD_STR("response_header")) >= 0;
    add_ours(b, pl_edge_text, pl_edge_bytes);
    sld_buf_addz(b, "({name = ");
    pl_lua_quote(b, p->info.name);
    sld_buf_addz(b, ", main = ");
    pl_lua_quote(b, e->main);
    sld_buf_addf(b, ", answers = %s", answers ? "true" : "false");
    add_body(b, "request_body", &p->info.request_body);
    add_body(b, "response_body", &p->info.response_body);
    sld_buf_addz(b, ", files = {");
    for (size_t i = 0; i < e->file_count; i++) {
        sld_buf_addc(b, '[');
        pl_lua_quote(b, e->files[i]);
        sld_buf_addz(b, "] = ");
        pl_lua_quote(b, sld_plugin_bundle_file(p->host->bundle, e->files[i]));
        sld_buf_addz(b, ",\n");
    }
    sld_buf_addz(b, "}, plain = {");
    for (size_t i = 0; i < e->plain_count; i++)
        sld_buf_addf(b, "[\"%.*s:%d\"] = {%zu, %zu}, ", SLD_FMT(e->plain[i].file), e->plain[i].line, e->plain[i].steps, e->plain[i].calls);
    sld_buf_addz(b, "}}, ");
    add_ours(b, pl_luajit_text, pl_luajit_bytes);
    sld_buf_addz(b, ")\n");
}

enum sld_rc pl_edge_read(struct sld_plugin *p, pl_fault *fault, void *user, struct sld_err *err)
{
    struct reading r = {.p = p, .bundle = p->host->bundle, .fault = fault, .user = user, .err = err};
    struct pl_host *h = NULL;
    bool apart = sld_plugin_bundle_file(r.bundle, SLD_STR("edge.lua")).p != NULL;
    p->edge.main = apart ? SLD_STR("edge.lua") : SLD_STR("plugin.lua");
    if (apart && (p->info.hooks & SLD_HOOKS_OF_REQUESTS))
        return sld_err_set(err, SLD_INVALID, "plugin.lua: what runs in Envoy is in edge.lua: authorize, transform_request and "
                                             "transform_response belong there");
    if (p->info.request_body.max_bytes > ENVOY_BODY_MAX || p->info.response_body.max_bytes > ENVOY_BODY_MAX)
        return sld_err_set(err, SLD_INVALID, "plugin.lua: of a body Envoy holds 1MiB at most: 'max' cannot be more with runs = \"envoy\"");
    if (p->info.request_body.mode == SLD_BODY_STREAMED)
        return sld_err_set(err, SLD_INVALID, "plugin.lua: request_body: Envoy's Lua cannot change requests in pieces: 'mode' must be "
                                             "\"buffered\" with runs = \"envoy\"");
    enum sld_rc rc = pl_host_create(&p->host->limits, r.bundle, &h, err);
    if (!rc)
        rc = pl_run(h, PL_LOAD, read_code, &r, err);
    for (size_t i = 0; i < p->edge.file_count && !rc; i++) {
        r.file = p->edge.files[i];
        rc = pl_run(h, PL_LOAD, check_file, &r, err);
    }
    pl_host_destroy(h);
    sld_arena_fini(&r.arena);
    if (!rc && r.faulty && !fault)
        rc = SLD_INVALID;
    if (!rc) {
        struct sld_buf b;
        sld_buf_init(&b, TEXT_MAX);
        make_text(p, &b);
        if (b.full)
            rc = sld_err_set(err, SLD_LIMIT, "%.*s: its text is too long for Envoy", SLD_FMT(p->edge.main));
        else
            p->edge.text = sld_arena_str(&p->arena, sld_buf_str(&b));
        sld_buf_fini(&b);
    }
    return rc;
}

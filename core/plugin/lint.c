// Mistakes in a plugin that show before it runs. Compiled functions tell which names they look up; what the
// names should be is known from the environment, the schema and the messages.
#include "plugin/author.h"

#include <stdlib.h>

#include "plugin/bytecode.h"
#include "plugin/library.h"
#include "plugin/load.h"

struct lint {
    struct sld_plugin_bundle *bundle;
    struct sld_plugin_faults *out;
    struct sld_plugin *plugin; // NULL: it does not load
    struct pl_chunk *chunks;
    size_t chunk_count;
    const struct sld_plugin_file *file; // at work
};

static void add(struct lint *l, enum sld_severity sev, struct sld_str file, int line, struct sld_str words)
{
    struct sld_plugin_faults *f = l->out;
    for (size_t i = 0; i < f->count; i++) { // one a line: the rest follows from it
        if (line && f->items[i].line == line && sld_str_eq(f->items[i].file, file))
            return;
    }
    struct sld_plugin_fault one = {sev, sld_arena_str(&f->arena, file), line, sld_arena_str(&f->arena, words)};
    SLD_PUSH(&f->arena, f->items, f->count, one);
    f->errors += sev == SLD_ERROR;
}

// An error of Lua's: "file:line: words".
static void add_raised(struct lint *l, struct sld_str file, const char *msg)
{
    struct sld_str rest = sld_str_c(msg), name, number;
    uint64_t line;
    if (sld_str_cut(&rest, ':', &name) && sld_str_cut(&rest, ':', &number) && rest.p && sld_str_u64(number, &line) &&
        sld_plugin_bundle_file(l->bundle, name).p)
        add(l, SLD_ERROR, name, (int)line, sld_str_trim(rest));
    else
        add(l, SLD_ERROR, file, 0, sld_str_c(msg));
}

static void add_edge(void *user, enum sld_severity severity, struct sld_str file, int line, struct sld_str words)
{
    add(user, severity, file, line, words);
}

// ---- Globals ----

static const struct {
    const char *name, *words;
} absent[] = {
    {"collectgarbage", "what the collector does is no business of a plugin"},
    {"debug", "there is no debugger's access in plugins"},
    {"dofile", "use require, which finds files of the plugin"},
    {"io", "plugins have no files; what they need is in their configuration"},
    {"load", "text cannot be made into code"},
    {"loadfile", "use require, which finds files of the plugin"},
    {"loadstring", "text cannot be made into code"},
    {"os", "plugins do not see the system; they must give the same result everywhere"},
    {"package", "use require, which finds files of the plugin"},
    {"setfenv", "that is Lua 5.1; plugins are Lua 5.4"},
    {"unpack", "that is Lua 5.1; write table.unpack"},
};

// The nearest name in the table on top, or "".
static struct sld_str nearest_key(lua_State *L, struct sld_arena *a, struct sld_str name)
{
    size_t best = 3;
    struct sld_str like = SLD_STR("");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        size_t d = lua_type(L, -2) == LUA_TSTRING ? sld_str_distance(name, pl_str(L, -2), best) : best;
        if (d < best || (d == best && d < 3 && sld_str_cmp(pl_str(L, -2), like) < 0)) {
            best = d;
            like = sld_arena_str(a, pl_str(L, -2));
        }
    }
    return like;
}

static struct sld_str suggest(struct sld_arena *a, struct sld_str like)
{
    return like.n ? sld_arena_fmt(a, "; did you mean %.*s?", SLD_FMT(like)) : SLD_STR("");
}

static struct sld_str why_absent(struct sld_str name)
{
    for (size_t i = 0; i < SLD_ARRAY_LEN(absent); i++) {
        if (sld_str_eq(name, sld_str_c(absent[i].name)))
            return sld_str_c(absent[i].words);
    }
    return SLD_STR_NONE;
}

// The environment's content is on top.
static void check_global(lua_State *L, struct lint *l, const struct pl_chunk *c, const struct pl_lookup *u)
{
    struct sld_arena *a = &l->out->arena;
    int top = lua_gettop(L);
    if (u->write) {
        add(l, SLD_ERROR, c->file, u->line,
            sld_arena_fmt(a, "the global '%.*s' cannot be set: write local in front of it", SLD_FMT(u->name)));
        return;
    }
    pl_push_str(L, u->name);
    if (lua_rawget(L, top) == LUA_TNIL) {
        struct sld_str why = why_absent(u->name);
        lua_settop(L, top);
        struct sld_str like = why.p ? SLD_STR("") : suggest(a, nearest_key(L, a, u->name));
        add(l, SLD_ERROR, c->file, u->line,
            sld_arena_fmt(a, "there is no global '%.*s' in plugins%s%.*s%.*s", SLD_FMT(u->name), why.p ? ": " : "", SLD_FMT(why),
                          SLD_FMT(like)));
    } else if (u->field.p && lua_istable(L, -1) && pl_thawed(L, -1)) {
        pl_push_str(L, u->field);
        if (lua_rawget(L, -2) == LUA_TNIL) {
            lua_pop(L, 1);
            struct sld_str like = suggest(a, nearest_key(L, a, u->field));
            add(l, SLD_ERROR, c->file, u->line,
                sld_arena_fmt(a, "%.*s has no '%.*s' in plugins%.*s", SLD_FMT(u->name), SLD_FMT(u->field), SLD_FMT(like)));
        }
    }
    lua_settop(L, top);
}

// A name of a module of the library.
static void check_module(struct lint *l, const struct pl_chunk *c, const struct pl_lookup *u)
{
    const struct pl_module *m = pl_library_find(u->module);
    struct sld_arena *a = &l->out->arena;
    struct sld_str like = SLD_STR("");
    size_t best = 3;
    for (size_t i = 0; m && i < m->binding_count + m->value_count; i++) {
        bool value = i >= m->binding_count;
        struct sld_str name = sld_str_c(value ? m->values[i - m->binding_count].name : m->bindings[i].name);
        if (!value && m->bindings[i].of)
            continue;
        if (sld_str_eq(name, u->name))
            return;
        size_t d = sld_str_distance(name, u->name, best);
        if (d < best) {
            best = d;
            like = name;
        }
    }
    if (m && u->name.p)
        add(l, SLD_ERROR, c->file, u->line, sld_arena_fmt(a, "%s has no '%.*s'%.*s", m->name, SLD_FMT(u->name), SLD_FMT(suggest(a, like))));
}

// Compiles the file at work, and looks at its globals and modules.
static int look_at_file(lua_State *L)
{
    struct lint *l = lua_touserdata(L, 1);
    struct sld_arena *a = &l->out->arena;
    struct pl_chunk c;
    pl_compile(L, l->file->text, sld_arena_fmt(a, "@%.*s", SLD_FMT(l->file->name)).p);
    pl_chunk_read(L, a, l->file->name, &c);
    SLD_PUSH(a, l->chunks, l->chunk_count, c);
    pl_sandbox_env(L);
    bool frozen = pl_thawed(L, -1);
    SLD_INV(frozen);
    for (size_t i = 0; i < c.lookup_count; i++) {
        if (c.lookups[i].global)
            check_global(L, l, &c, &c.lookups[i]);
        else if (c.lookups[i].module.p)
            check_module(l, &c, &c.lookups[i]);
    }
    return 0;
}

// ---- Hooks ----

struct hook_place {
    enum sld_hook hook;
    char file[200];
    int first, last;
    bool there;
    bool edge; // it runs in Envoy
};

static int find_hook(lua_State *L)
{
    struct hook_place *h = lua_touserdata(L, 1);
    lua_Debug ar;
    pl_push_hook(L, h->hook);
    if (!lua_isfunction(L, -1) || lua_iscfunction(L, -1)) // it may be in edge.lua
        return 0;
    lua_getinfo(L, ">S", &ar);
    h->there = ar.source[0] == '@';
    size_t n = strlen(ar.source + 1);
    h->there &= n < sizeof(h->file);
    if (h->there)
        memcpy(h->file, ar.source + 1, n + 1);
    h->first = ar.linedefined;
    h->last = ar.lastlinedefined;
    return 0;
}

static void check_conf(struct lint *l, const struct pl_chunk *c, const struct pl_lookup *u)
{
    const struct sld_conf *conf = &l->plugin->conf;
    struct sld_str like = SLD_STR("");
    size_t best = 4;
    for (size_t i = 0; i < conf->field_count; i++) {
        if (sld_str_eq(conf->fields[i].name, u->name))
            return;
        size_t d = sld_str_distance(conf->fields[i].name, u->name, best);
        if (d < best) {
            best = d;
            like = conf->fields[i].name;
        }
    }
    struct sld_arena *a = &l->out->arena;
    add(l, SLD_ERROR, c->file, u->line,
        sld_arena_fmt(a, "the schema has no field '%.*s', so it is nil here%.*s", SLD_FMT(u->name), SLD_FMT(suggest(a, like))));
}

static void check_message(struct lint *l, const struct pl_chunk *c, const struct pl_lookup *u, const char *type)
{
    const struct sld_msg_info *info = sld_msg_find(sld_str_c(type));
    struct sld_str like = SLD_STR("");
    size_t best = 5;
    SLD_INV(info);
    if (sld_msg_field_index(info, u->name) >= 0 || sld_str_eq(u->name, SLD_STR("@type")))
        return;
    for (unsigned i = 0; i < info->desc->n_fields; i++) {
        size_t d = sld_str_distance(sld_str_c(info->desc->fields[i].name), u->name, best);
        if (d < best) {
            best = d;
            like = sld_str_c(info->desc->fields[i].name);
        }
    }
    struct sld_arena *a = &l->out->arena;
    add(l, SLD_ERROR, c->file, u->line,
        sld_arena_fmt(a, "%s has no field '%.*s'%.*s", type, SLD_FMT(u->name), SLD_FMT(suggest(a, like))));
}

static void check_context(struct lint *l, const struct pl_chunk *c, const struct pl_lookup *u, enum sld_hook hook)
{
    static const char *const names[] = {"get", "namespace", "source", "add_filter", "http"};
    struct sld_arena *a = &l->out->arena;
    bool objects = l->plugin->info.needs & (1U << SLD_NEED_OBJECTS);
    for (size_t i = 0; i < SLD_ARRAY_LEN(names); i++) {
        if (!sld_str_eq(u->name, sld_str_c(names[i])))
            continue;
        if (i == 0 && !objects)
            add(l, SLD_ERROR, c->file, u->line, SLD_STR("ctx:get reads other objects: add needs = {\"objects\"} to the plugin's table"));
        if (i == 3 && hook != SLD_HOOK_SHAPE_LISTENER)
            add(l, SLD_ERROR, c->file, u->line, SLD_STR("filters can be added by shape_listener only"));
        return;
    }
    add(l, SLD_ERROR, c->file, u->line,
        sld_arena_fmt(a, "the context has no '%.*s'; there are get, namespace, source, add_filter and http", SLD_FMT(u->name)));
}

// What extra is given.
static void check_adder(struct lint *l, const struct pl_chunk *c, const struct pl_lookup *u)
{
    if (!sld_str_eq(u->name, SLD_STR("cluster")) && !sld_str_eq(u->name, SLD_STR("secret")))
        add(l, SLD_ERROR, c->file, u->line,
            sld_arena_fmt(&l->out->arena, "what extra is given has no '%.*s'; there are cluster and secret", SLD_FMT(u->name)));
}

// What discover is given.
static void check_task(struct lint *l, const struct pl_chunk *c, const struct pl_lookup *u)
{
    static const struct {
        const char *name;
        int need;
    } fields[] = {{"consul", SLD_NEED_CONSUL}, {"dns", SLD_NEED_DNS}, {"every", -1}, {"file", SLD_NEED_FILES}, {"http", SLD_NEED_HTTP},
                  {"publish", -1},             {"sleep", -1},          {"vault", SLD_NEED_VAULT}};
    struct sld_arena *a = &l->out->arena;
    for (size_t i = 0; i < SLD_ARRAY_LEN(fields); i++) {
        if (!sld_str_eq(u->name, sld_str_c(fields[i].name)))
            continue;
        if (fields[i].need >= 0 && !(l->plugin->info.needs & (1U << fields[i].need)))
            add(l, SLD_ERROR, c->file, u->line,
                sld_arena_fmt(a, "%s is not there without needs = {\"%s\"} in the plugin's table", fields[i].name,
                              sld_need_name((enum sld_need)fields[i].need)));
        return;
    }
    add(l, SLD_ERROR, c->file, u->line,
        sld_arena_fmt(a, "a task has no '%.*s'; there are consul, dns, every, file, http, publish, sleep and vault", SLD_FMT(u->name)));
}

// What requests and responses have.
static const char requests[] = " add_header add_response_header body headers host id method path peer query remove_header remove_query "
                               "route scheme set_header set_metadata set_query set_response_header sni source ";
static const struct {
    enum sld_hook hook;
    const char *names[2]; // "" between blanks
} exchanges[] = {
    {SLD_HOOK_AUTHORIZE, {requests, " deny "}},
    {SLD_HOOK_TRANSFORM_REQUEST, {requests, " respond set_body set_host set_method set_path set_trailer trailers "}},
    {SLD_HOOK_TRANSFORM_RESPONSE, {" add_header body chunks headers remove_header request respond set_body set_header set_status ",
                                   " set_trailer status trailers write "}},
};
// What they have in Solder alone.
static const char *const in_solder[SLD_HOOK_COUNT] = {
    [SLD_HOOK_TRANSFORM_REQUEST] = " chunks write ",
    [SLD_HOOK_TRANSFORM_RESPONSE] = " set_metadata ",
};

static void check_exchange(struct lint *l, const struct pl_chunk *c, const struct pl_lookup *u, enum sld_hook hook)
{
    struct sld_arena *a = &l->out->arena;
    struct sld_str like = SLD_STR(""), rest, name;
    size_t best = 3, i = 0;
    const char *more = l->plugin && l->plugin->info.runs == SLD_RUNS_SOLDER && in_solder[hook] ? in_solder[hook] : "";
    while (exchanges[i].hook != hook)
        i++;
    for (size_t k = 0; k < 3; k++) {
        rest = sld_str_c(k < 2 ? exchanges[i].names[k] : more);
        while (sld_str_cut(&rest, ' ', &name)) {
            size_t d = name.n ? sld_str_distance(name, u->name, best) : best;
            if (name.n && !d)
                return;
            if (d < best) {
                best = d;
                like = name;
            }
        }
    }
    add(l, SLD_ERROR, c->file, u->line,
        sld_arena_fmt(a, "the %s of %s has no '%.*s'%.*s", hook == SLD_HOOK_TRANSFORM_RESPONSE ? "response" : "request",
                      sld_hook_name(hook), SLD_FMT(u->name), SLD_FMT(suggest(a, like))));
}

static const char *const handles[SLD_HOOK_COUNT] = {
    [SLD_HOOK_SHAPE_DESTINATION] = "envoy.config.route.v3.WeightedCluster.ClusterWeight",
    [SLD_HOOK_SHAPE_LISTENER] = "envoy.config.listener.v3.Listener",
    [SLD_HOOK_SHAPE_ROUTE] = "envoy.config.route.v3.Route",
    [SLD_HOOK_SHAPE_UPSTREAM] = "envoy.config.cluster.v3.Cluster",
    [SLD_HOOK_SHAPE_VIRTUAL_HOST] = "envoy.config.route.v3.VirtualHost",
};

// Functions are known by their lines: where two share them, nobody can tell which of them is the hook.
static bool is_alone(const struct pl_chunk *c, const struct hook_place *h)
{
    size_t n = 0;
    for (size_t i = 0; i < c->function_count; i++)
        n += c->functions[i]->first == h->first && c->functions[i]->last == h->last;
    return n == 1;
}

static void check_hook(struct lint *l, const struct hook_place *h)
{
    for (size_t k = 0; k < l->chunk_count; k++) {
        const struct pl_chunk *c = &l->chunks[k];
        if (!is_alone(c, h))
            continue;
        for (size_t i = 0; i < c->lookup_count && sld_str_eq(c->file, sld_str_c(h->file)); i++) {
            const struct pl_lookup *u = &c->lookups[i];
            if (u->global || u->module.p || u->function->first != h->first || u->function->last != h->last || u->function->reassigned[u->param])
                continue;
            if (u->param == 0)
                check_conf(l, c, u);
            else if (u->param == 1 && h->hook == SLD_HOOK_DISCOVER)
                check_task(l, c, u);
            else if (u->param == 1 && h->hook == SLD_HOOK_EXTRA)
                check_adder(l, c, u);
            else if (u->param == 1 && (h->edge || (SLD_HOOKS_OF_REQUESTS & (1U << h->hook))))
                check_exchange(l, c, u, h->hook);
            else if (u->param == 1 && handles[h->hook])
                check_message(l, c, u, handles[h->hook]);
            else if (u->param == 2 && (handles[h->hook] || h->hook == SLD_HOOK_EXTRA))
                check_context(l, c, u, h->hook);
        }
    }
}

static void check_hooks(struct lint *l)
{
    struct sld_err err = {0};
    for (int i = 0; i < SLD_HOOK_COUNT; i++) {
        struct hook_place h = {.hook = (enum sld_hook)i};
        struct sld_str edge = l->plugin->edge.hooks[i].file;
        if (edge.p && edge.n < sizeof(h.file)) {
            h.edge = true;
            h.first = l->plugin->edge.hooks[i].first;
            h.last = l->plugin->edge.hooks[i].last;
            memcpy(h.file, edge.p, edge.n);
            check_hook(l, &h);
        } else if ((l->plugin->info.hooks & (1U << i)) && !pl_run(l->plugin->host, PL_PURE, find_hook, &h, &err) && h.there)
            check_hook(l, &h);
    }
    if (!l->plugin->info.hooks)
        add(l, SLD_WARNING, SLD_STR("plugin.lua"), 0, SLD_STR("the plugin has no hooks, so it does nothing"));
}

// What the library has for those alone who say that they need it.
static void check_needs(struct lint *l, const struct pl_chunk *c, const struct pl_lookup *u)
{
    const struct pl_module *m = pl_library_find(u->module);
    for (size_t i = 0; m && i < m->binding_count; i++) {
        const struct pl_binding *b = &m->bindings[i];
        if (b->of || !b->need || !sld_str_eq(sld_str_c(b->name), u->name) || (l->plugin->info.needs & (1U << (b->need - 1))))
            continue;
        add(l, SLD_ERROR, c->file, u->line,
            sld_arena_fmt(&l->out->arena, "%s.%s: add needs = {\"%s\"} to the plugin's table", m->name, b->name,
                          sld_need_name((enum sld_need)(b->need - 1))));
    }
}

static void check_modules(struct lint *l)
{
    for (size_t k = 0; k < l->chunk_count; k++) {
        const struct pl_chunk *c = &l->chunks[k];
        for (size_t i = 0; i < c->lookup_count; i++) {
            if (c->lookups[i].module.p)
                check_needs(l, c, &c->lookups[i]);
        }
    }
}

static int by_place(const void *x, const void *y)
{
    const struct sld_plugin_fault *a = x, *b = y;
    int c = sld_str_cmp(a->file, b->file);
    return c ? c : a->line - b->line;
}

void sld_plugin_lint(struct sld_plugin_bundle *b, const struct sld_plugin_limits *limits, struct sld_plugin_faults *out,
                     struct sld_plugin **plugin)
{
    struct lint l = {.bundle = b, .out = out};
    struct pl_host *host = NULL;
    struct sld_err err = {0};
    if (pl_host_create(limits, b, &host, &err))
        add(&l, SLD_ERROR, SLD_STR("plugin.lua"), 0, sld_str_c(err.msg));
    for (size_t i = 0; host && i < b->count; i++) {
        l.file = &b->files[i];
        if (pl_run(host, PL_LOAD, look_at_file, &l, &err))
            add_raised(&l, l.file->name, err.msg);
    }
    pl_host_destroy(host);
    if (pl_plugin_load_all(b, limits, add_edge, &l, &l.plugin, &err)) {
        add_raised(&l, SLD_STR("plugin.lua"), err.msg);
    } else {
        check_hooks(&l);
        check_modules(&l);
    }
    if (out->count)
        qsort(out->items, out->count, sizeof(*out->items), by_place);
    if (plugin)
        *plugin = l.plugin;
    else
        SLD_UNREF(l.plugin);
}

void sld_plugin_faults_fini(struct sld_plugin_faults *f)
{
    sld_arena_fini(&f->arena);
}

// ---- The manual ----

void sld_plugin_print_manual(struct sld_buf *out, const struct sld_plugin *p)
{
    static const char *const about[SLD_HOOK_COUNT] = {
        [SLD_HOOK_AUTHORIZE] = "decides which requests go on; configured at the options of a route or of its virtual host",
        [SLD_HOOK_CHECK] = "checks its configuration further than the schema does",
        [SLD_HOOK_DISCOVER] = "finds upstreams and their endpoints; configured in its Plugin document",
        [SLD_HOOK_EXTRA] = "adds clusters and secrets of its own; configured in its Plugin document",
        [SLD_HOOK_LOG] = "gets what is logged of requests; configured at the options of an HTTP gateway",
        [SLD_HOOK_SECRET] = "gives secrets, which are referred to by plugin:<its name>/<reference>; configured in its Plugin document",
        [SLD_HOOK_SHAPE_DESTINATION] = "shapes one destination of several; configured at the options of a weighted destination",
        [SLD_HOOK_SHAPE_LISTENER] = "shapes listeners; configured at the options of an HTTP gateway",
        [SLD_HOOK_SHAPE_ROUTE] = "shapes routes; configured at the options of a route or of its virtual host",
        [SLD_HOOK_SHAPE_UPSTREAM] = "shapes upstreams; configured in its Plugin document",
        [SLD_HOOK_SHAPE_VIRTUAL_HOST] = "shapes virtual hosts; configured at the options of a virtual host",
        [SLD_HOOK_TRANSFORM_REQUEST] = "changes requests; configured at the options of a route or of its virtual host",
        [SLD_HOOK_TRANSFORM_RESPONSE] = "changes responses; configured at the options of a route or of its virtual host",
    };
    const struct sld_plugin_info *i = &p->info;
    sld_buf_addf(out, "# %.*s\n\n", SLD_FMT(i->name));
    if (i->summary.n)
        sld_buf_addf(out, "%.*s\n\n", SLD_FMT(i->summary));
    if (i->version.n)
        sld_buf_addf(out, "Version %.*s.\n\n", SLD_FMT(i->version));
    sld_buf_addz(out, "## What it does\n\n");
    for (int h = 0; h < SLD_HOOK_COUNT; h++) {
        if (i->hooks & (1U << h))
            sld_buf_addf(out, "- `%s`: %s\n", sld_hook_name((enum sld_hook)h), about[h]);
    }
    for (int n = 0; n < SLD_NEED_COUNT; n++) {
        if (i->needs & (1U << n))
            sld_buf_addf(out, "- needs `%s`: %s\n", sld_need_name((enum sld_need)n), sld_need_about((enum sld_need)n));
    }
    sld_buf_addf(out, "\n## Configuration\n\nBelow `options.extensions.configs.%.*s`:\n\n", SLD_FMT(i->name));
    if (p->conf.field_count)
        sld_conf_print_manual(out, &p->conf);
    else
        sld_buf_addz(out, "There is nothing to configure: `{}` turns it on.\n");
}

void sld_plugin_print_schema(struct sld_buf *out, const struct sld_plugin *p)
{
    sld_conf_print_json(out, &p->conf);
}

// The made-up world of a spec: its tests say who answers what, let time pass, and look at what the plugin's task found.
#include "plugin/backends.h"
#include "plugin/discover.h"
#include "plugin/kit.h"
#include "plugin/library.h"
#include "plugin/load.h"
#include "plugin/rig.h"
#include "plugin/task.h"
#include "plugin/value.h"
#include "plugin/world.h"

#include <stdio.h>

#include "codec/doc.h"

enum { REQUESTS_MAX = 1000, PASS_MAX_S = 7 * 86400 };

// Who answers for one URL or name: the answers one after the other, the last one for ever.
struct script {
    struct sld_str what; // "GET http://...", "name SRV"
    const Google__Protobuf__ListValue *answers;
    size_t next;
};

struct pl_spec_world {
    struct sld_plugin *plugin; // borrowed
    struct sld_arena arena;
    struct pl_world *world;
    struct sld_discover *task;
    struct sld_resolver *resolver; // NULL: no secret was asked for
    struct sld_map secrets;        // by ref: struct secret
    struct sld_map pieces;         // of answers that are given in pieces, by what was asked: Google__Protobuf__Value
    struct pl_rig *rig; // where requests arrive; NULL: none came
    struct script *http, *dns;
    size_t http_count, dns_count;
    struct sld_map found; // by name: struct sld_blob
    struct sld_str problem;
    struct sld_http_call *calls; // what was asked for; the texts are in ARENA
    size_t call_count;
    struct sld_err err; // of the answer that is given
};

// What came of asking for a secret last.
struct secret {
    struct sld_str document, problem; // in the world's arena; both absent: there is none
    double expires_s;
};

#define CONSUL_BASE "http://consul.test:8500"
#define VAULT_BASE "http://vault.test:8200"

// ---- What is answered ----

static struct sld_str text_of(const Google__Protobuf__Value *v)
{
    return v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE ? sld_str_c(v->string_value) : SLD_STR_NONE;
}

static const Google__Protobuf__Value *field(const Google__Protobuf__Value *v, const char *name)
{
    const Google__Protobuf__Struct *s = v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE ? v->struct_value : NULL;
    for (size_t i = 0; s && i < s->n_fields; i++) {
        if (strcmp(s->fields[i]->key, name) == 0)
            return s->fields[i]->value;
    }
    return NULL;
}

static const Google__Protobuf__Value *next_answer(struct script *list, size_t n, struct sld_str what)
{
    for (size_t i = n; i-- > 0;) { // what was said last counts
        struct script *s = &list[i];
        if (!sld_str_eq(s->what, what) || !s->answers->n_values)
            continue;
        const Google__Protobuf__Value *v = s->answers->values[s->next];
        s->next += s->next + 1 < s->answers->n_values;
        return v;
    }
    return NULL;
}

static void remember(struct pl_spec_world *w, const struct sld_http_call *call, struct sld_str method)
{
    struct sld_arena *a = &w->arena;
    struct sld_http_header *headers = SLD_ARENA_ARRAY(a, struct sld_http_header, call->header_count);
    struct sld_http_call c = {.method = sld_arena_str(a, method), .url = sld_arena_str(a, call->url), .headers = headers,
                              .header_count = call->header_count, .body = call->body.p ? sld_arena_str(a, call->body) : SLD_STR_NONE};
    for (size_t i = 0; i < call->header_count; i++)
        headers[i] = (struct sld_http_header){sld_arena_str(a, call->headers[i].name), sld_arena_str(a, call->headers[i].value)};
    if (w->call_count < REQUESTS_MAX)
        SLD_PUSH(a, w->calls, w->call_count, c);
}

// A question to Consul that waits for news without what it waits for.
static struct sld_str news_apart(struct sld_str what)
{
    ptrdiff_t at = sld_str_find(what, SLD_STR("index="));
    bool waits = sld_str_find(what, SLD_STR(CONSUL_BASE)) >= 0 && at > 0;
    return waits ? sld_str_sub(what, 0, (size_t)at - 1) : what;
}

// It is answered when its time is over.
static uint64_t on_wait(void *user, const struct sld_http_call *call)
{
    uint64_t ms = 0;
    ptrdiff_t at = sld_str_find(call->url, SLD_STR("&wait="));
    (void)user;
    if (!sld_str_starts(call->url, SLD_STR(CONSUL_BASE)) || at < 0)
        return 0;
    struct sld_str rest = sld_str_sub(call->url, (size_t)at + 6, call->url.n), number;
    sld_str_cut(&rest, 'm', &number);
    sld_str_u64(number, &ms);
    return ms;
}

static void on_http(void *user, const struct sld_http_call *call, struct sld_http_answer *out)
{
    struct pl_spec_world *w = user;
    struct sld_str method = call->method.n ? call->method : SLD_STR("GET");
    struct sld_str what = sld_arena_fmt(&w->arena, "%.*s %.*s", SLD_FMT(method), SLD_FMT(call->url));
    remember(w, call, method);
    const Google__Protobuf__Value *v = next_answer(w->http, w->http_count, news_apart(what));
    if (!v)
        return;
    if (text_of(v).p) {
        sld_err_set(&w->err, SLD_IO, "%.*s", SLD_FMT(text_of(v)));
        out->err = &w->err;
        return;
    }
    sld_map_set(&w->pieces, what, (void *)(uintptr_t)v);
    const Google__Protobuf__Value *status = field(v, "status"), *headers = field(v, "headers");
    struct sld_http_header *list = NULL;
    out->status = status && status->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE ? (int)status->number_value : 200;
    out->body = text_of(field(v, "body")).p ? text_of(field(v, "body")) : SLD_STR("");
    for (size_t i = 0; headers && headers->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE && i < headers->struct_value->n_fields; i++) {
        const Google__Protobuf__Struct__FieldsEntry *e = headers->struct_value->fields[i];
        struct sld_http_header h = {sld_str_c(e->key), text_of(e->value)};
        SLD_PUSH(&w->arena, list, out->header_count, h);
    }
    out->headers = list;
}

// What of an answer comes behind its body: its chunks, a second between two; with `open` it does not end.
static bool on_piece(void *user, const struct sld_http_call *call, size_t n, struct sld_str *out)
{
    struct pl_spec_world *w = user;
    struct sld_str method = call->method.n ? call->method : SLD_STR("GET");
    const Google__Protobuf__Value *v = sld_map_get(&w->pieces, sld_arena_fmt(&w->arena, "%.*s %.*s", SLD_FMT(method), SLD_FMT(call->url)));
    const Google__Protobuf__Value *chunks = v ? field(v, "chunks") : NULL, *open = v ? field(v, "open") : NULL;
    if (chunks && chunks->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE && n < chunks->list_value->n_values)
        *out = text_of(chunks->list_value->values[n]).p ? text_of(chunks->list_value->values[n]) : SLD_STR("");
    else
        return open && open->bool_value;
    return true;
}

static uint16_t small(const Google__Protobuf__Value *v, uint16_t otherwise)
{
    bool is = v && v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE && v->number_value >= 0 && v->number_value <= UINT16_MAX;
    return is ? (uint16_t)v->number_value : otherwise;
}

static void on_dns(void *user, enum sld_dns_type type, struct sld_str name, struct sld_dns_answer *out)
{
    static const char *const types[] = {"addresses", "A", "AAAA", "SRV", "TXT"};
    struct pl_spec_world *w = user;
    const Google__Protobuf__Value *v =
        next_answer(w->dns, w->dns_count, sld_arena_fmt(&w->arena, "%.*s %s", SLD_FMT(name), types[type]));
    if (!v)
        return;
    if (text_of(v).p) {
        sld_err_set(&w->err, SLD_IO, "%.*s", SLD_FMT(text_of(v)));
        out->err = &w->err;
        return;
    }
    struct sld_str *addresses = NULL;
    struct sld_dns_record *records = NULL;
    bool plain = type <= SLD_DNS_AAAA;
    size_t n = v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE ? v->list_value->n_values : 0;
    for (size_t i = 0; i < n; i++) {
        const Google__Protobuf__Value *one = v->list_value->values[i];
        struct sld_str text = text_of(one).p ? text_of(one) : text_of(field(one, "target"));
        struct sld_dns_record r = {text, small(field(one, "priority"), 0), small(field(one, "weight"), 0), small(field(one, "port"), 0)};
        if (plain)
            SLD_PUSH(&w->arena, addresses, out->count, text);
        else
            SLD_PUSH(&w->arena, records, out->record_count, r);
    }
    out->addresses = addresses;
    out->records = records;
}

// ---- What is found ----

static void on_put(void *user, struct sld_str name, struct sld_blob *bytes)
{
    struct pl_spec_world *w = user;
    struct sld_blob *before = sld_map_set(&w->found, name, sld_obj_ref(bytes));
    SLD_UNREF(before);
}

static void on_gone(void *user, struct sld_str name)
{
    struct pl_spec_world *w = user;
    struct sld_blob *before = sld_map_remove(&w->found, name);
    SLD_UNREF(before);
}

static void on_synced(void *user)
{
    (void)user;
}

static void on_problem(void *user, struct sld_str message)
{
    struct pl_spec_world *w = user;
    w->problem = message.p ? sld_arena_str(&w->arena, message) : SLD_STR_NONE;
}

// ---- Its life ----

struct pl_spec_world *pl_spec_world_create(struct sld_plugin *plugin)
{
    struct pl_spec_world *w = SLD_NEW(struct pl_spec_world);
    w->plugin = plugin;
    return w;
}

void pl_spec_world_end(struct pl_spec_world *w)
{
    sld_discover_stop(w->task);
    sld_resolver_destroy(w->resolver);
    pl_rig_destroy(w->rig);
    pl_world_destroy(w->world);
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&w->found, &at));)
        SLD_UNREF(slot->value);
    sld_map_fini(&w->found);
    sld_map_fini(&w->secrets);
    sld_map_fini(&w->pieces);
    sld_arena_fini(&w->arena);
    *w = (struct pl_spec_world){.plugin = w->plugin};
}

void pl_spec_world_destroy(struct pl_spec_world *w)
{
    if (!w)
        return;
    pl_spec_world_end(w);
    sld_xfree(w);
}

// ---- What the kit is given ----

static struct pl_spec_world *world_of(lua_State *L)
{
    struct pl_spec_world *w = lua_touserdata(L, lua_upvalueindex(1));
    if (!w->world) {
        luaL_where(L, 2); // the kit's method is called by the test that is to blame
        lua_pushliteral(L, "there is no world here; make one in the test");
        lua_concat(L, 2);
        lua_error(L);
    }
    return w;
}

// begin(now): a world at that Unix time, instead of the one before.
static int host_begin(lua_State *L)
{
    struct pl_spec_world *w = lua_touserdata(L, lua_upvalueindex(1));
    lua_Number now = luaL_checknumber(L, 1);
    luaL_argcheck(L, now >= 0 && now < 1e11, 1, "a Unix time");
    pl_spec_world_end(w);
    w->plugin->breaches = w->plugin->round_breaches = 0;
    w->world = pl_world_create((int64_t)(now * 1000));
    pl_world_on_http(w->world, on_http, w);
    pl_world_on_dns(w->world, on_dns, w);
    pl_world_on_wait(w->world, on_wait, w);
    pl_world_on_piece(w->world, on_piece, w);
    SLD_UNREF(w->plugin->host->kv); // what it kept was of another world
    struct sld_plugin_backends *b = sld_plugin_backends_create();
    b->consul.at.base = SLD_STR(CONSUL_BASE);
    b->vault.at.base = SLD_STR(VAULT_BASE);
    sld_plugin_backends_set(w->plugin, b);
    SLD_UNREF(b);
    return 0;
}

// The script for WHAT (at 1) of answers (a list at 2).
static struct script script_of(lua_State *L, struct pl_spec_world *w)
{
    luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    const Google__Protobuf__Value *v = pl_to_value(L, 2, &w->arena);
    luaL_argcheck(L, v->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE, 2, "a list of answers");
    return (struct script){.what = sld_arena_str(&w->arena, pl_str(L, 1)), .answers = v->list_value};
}

static int host_http(lua_State *L)
{
    struct pl_spec_world *w = world_of(L);
    struct script s = script_of(L, w);
    SLD_PUSH(&w->arena, w->http, w->http_count, s);
    return 0;
}

static int host_dns(lua_State *L)
{
    struct pl_spec_world *w = world_of(L);
    struct script s = script_of(L, w);
    SLD_PUSH(&w->arena, w->dns, w->dns_count, s);
    return 0;
}

static int host_file(lua_State *L)
{
    struct pl_spec_world *w = world_of(L);
    luaL_checkstring(L, 1);
    pl_world_file(w->world, pl_str(L, 1), lua_isnil(L, 2) ? SLD_STR_NONE : pl_str(L, 2));
    const struct sld_str all = SLD_STR("/"); // a test grants what it makes up
    sld_plugin_grant_files(w->plugin, &all, 1);
    return 0;
}

// discover(conf): nil, or why it cannot be started.
static int host_discover(lua_State *L)
{
    const struct sld_discover_events ev = {
        .on_put = on_put, .on_gone = on_gone, .on_synced = on_synced, .on_problem = on_problem, .user = world_of(L)};
    struct pl_spec_world *w = world_of(L);
    const Google__Protobuf__Value *conf = lua_isnoneornil(L, 1) ? NULL : pl_to_value(L, 1, &w->arena);
    struct sld_report r = {.arena = &w->arena};
    bool has = w->plugin->info.hooks & (1U << SLD_HOOK_DISCOVER);
    if (!has || w->task) {
        lua_pushstring(L, has ? "discover runs in this world already" : "the plugin has no hook discover");
        return 1;
    }
    if (conf && conf->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE && !conf->struct_value->n_fields)
        conf = NULL;
    sld_plugin_check(w->plugin, &r, conf);
    if (r.errors) {
        lua_pushfstring(L, "the configuration is wrong: %s: %s", sld_arena_cstr(&w->arena, r.items[0].path), sld_arena_cstr(&w->arena, r.items[0].message));
        return 1;
    }
    w->task = sld_discover_start(w->plugin, pl_world_reactor(w->world), conf, &ev);
    return 0;
}

static void on_secret(void *user, const struct sld_secret_news *n)
{
    struct pl_spec_world *w = user;
    struct secret *s = SLD_ARENA_NEW(&w->arena, struct secret);
    s->document = n->document ? sld_arena_str(&w->arena, n->document->data) : SLD_STR_NONE;
    s->problem = n->problem.p ? sld_arena_str(&w->arena, n->problem) : SLD_STR_NONE;
    s->expires_s = (double)n->expires_s;
    sld_map_set(&w->secrets, n->ref, s);
}

// secret(ref, conf): what the plugin gives for it now: a document and when it ends; or nil and words.
static int host_secret(lua_State *L)
{
    struct pl_spec_world *w = world_of(L);
    luaL_checkstring(L, 1);
    const Google__Protobuf__Value *conf = lua_isnoneornil(L, 2) ? NULL : pl_to_value(L, 2, &w->arena);
    if (!(w->plugin->info.hooks & (1U << SLD_HOOK_SECRET)))
        pl_error(L, "the plugin has no hook secret");
    if (!w->resolver)
        w->resolver = sld_resolver_create(w->plugin, pl_world_reactor(w->world), conf, on_secret, w);
    sld_resolver_want(w->resolver, pl_str(L, 1), true);
    pl_world_pass(w->world, 0);
    const struct secret *s = sld_map_get(&w->secrets, pl_str(L, 1));
    lua_settop(L, 0);
    lua_pushnil(L);
    if (s && s->document.p) {
        struct sld_err err = {0};
        if (!pl_json_read(L, s->document, 64, &err))
            pl_error(L, "%s", err.msg);
        lua_pushnumber(L, s->expires_s);
        return 2;
    }
    pl_push_str(L, !s ? SLD_STR("the hook waits: let time pass") : s->problem.p ? s->problem : SLD_STR("there is none"));
    return 2;
}

static int host_pass(lua_State *L)
{
    const struct pl_spec_world *w = world_of(L);
    uint64_t ms = 0;
    luaL_argcheck(L, pl_to_ms(L, 1, PASS_MAX_S, &ms), 1, "a time up to a week, in seconds or like \"1.5s\"");
    pl_world_pass(w->world, ms);
    return 0;
}

// What was found, by name.
static int host_upstreams(lua_State *L)
{
    struct pl_spec_world *w = world_of(L);
    size_t at = 0;
    lua_newtable(L);
    for (struct sld_map_slot *slot; (slot = sld_map_next(&w->found, &at));) {
        struct sld_document *docs = NULL;
        size_t n = 0;
        enum sld_code code;
        struct sld_err err;
        struct sld_report r = {.arena = &w->arena};
        const struct sld_blob *b = slot->value;
        enum sld_rc rc = sld_doc_read(&w->arena, b->data, &sld_doc_limits_default, &docs, &n, &code, &err);
        SLD_INV(rc == SLD_OK && n == 1); // it is our own
        pl_push_value(L, sld_doc_decode(&w->arena, &google__protobuf__value__descriptor, docs[0].root, false, &r));
        lua_setfield(L, -2, sld_arena_cstr(&w->arena, slot->key));
    }
    return 1;
}

static int host_problem(lua_State *L)
{
    const struct pl_spec_world *w = world_of(L);
    if (!w->problem.p)
        return 0;
    pl_push_str(L, w->problem);
    return 1;
}

// What was asked for: a list of {method, url, headers, body}.
static int host_requests(lua_State *L)
{
    const struct pl_spec_world *w = world_of(L);
    lua_createtable(L, (int)w->call_count, 0);
    for (size_t i = 0; i < w->call_count; i++) {
        const struct sld_http_call *c = &w->calls[i];
        lua_createtable(L, 0, 4);
        pl_push_str(L, c->method);
        lua_setfield(L, -2, "method");
        pl_push_str(L, c->url);
        lua_setfield(L, -2, "url");
        if (c->body.p) {
            pl_push_str(L, c->body);
            lua_setfield(L, -2, "body");
        }
        lua_createtable(L, 0, (int)c->header_count);
        for (size_t k = 0; k < c->header_count; k++) {
            pl_push_str(L, c->headers[k].name);
            pl_push_str(L, c->headers[k].value);
            lua_rawset(L, -3);
        }
        lua_setfield(L, -2, "headers");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

// exchange(requests): what becomes of each, where hooks run in Solder; or nil and words.
static int host_exchange(lua_State *L)
{
    struct pl_spec_world *w = world_of(L);
    struct sld_err err = {0};
    if (!w->rig && pl_rig_create(w->plugin, w->world, &w->rig, &err))
        pl_error(L, "%s", err.msg);
    return pl_rig_exchange(L, w->rig, &w->arena);
}

// log(conf, entries): words where the hook failed.
static int host_log(lua_State *L)
{
    struct pl_spec_world *w = world_of(L);
    struct sld_err err = {0};
    if (!w->rig && pl_rig_create(w->plugin, w->world, &w->rig, &err))
        pl_error(L, "%s", err.msg);
    return pl_rig_log(L, w->rig, &w->arena);
}

void pl_spec_world_open(lua_State *L, struct pl_spec_world *w)
{
    static const luaL_Reg fns[] = {{"begin", host_begin},       {"http", host_http}, {"dns", host_dns},
                                   {"file", host_file},         {"pass", host_pass}, {"discover", host_discover},
                                   {"upstreams", host_upstreams}, {"problem", host_problem}, {"requests", host_requests},
                                   {"exchange", host_exchange},   {"secret", host_secret}, {"log", host_log},
                                   {NULL, NULL}};
    lua_newtable(L);
    lua_pushlightuserdata(L, w);
    luaL_setfuncs(L, fns, 1);
}

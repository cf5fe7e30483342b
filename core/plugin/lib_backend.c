// solder.consul and solder.vault: what plugins ask of the servers that Solder knows. Addresses, certificates and tokens are Solder's;
// scripts see answers.
#include <stdio.h>

#include "codec/text.h"
#include "plugin/backends.h"
#include "plugin/library.h"
#include "plugin/load.h"
#include "plugin/task.h"

enum {
    ANSWER_MS = 30 * 1000, // beyond what a question waits for news
    WAIT_MS = 60 * 1000,
    TRIES = 3,
    URL_MAX = 16 << 10,
    TOKEN_MAX = 4096,
    NAME_MAX_BYTES = 1024,
};
#define WAIT_MAX_S 600.0

// ---- The servers ----

static void backends_free(struct sld_obj *o)
{
    struct sld_plugin_backends *b = (struct sld_plugin_backends *)o;
    sld_arena_fini_secret(&b->arena);
    sld_xfree(b);
}

struct sld_plugin_backends *sld_plugin_backends_create(void)
{
    struct sld_plugin_backends *b = SLD_NEW(struct sld_plugin_backends);
    sld_obj_init(&b->obj, backends_free, (struct sld_hash){0});
    return b;
}

void sld_plugin_backends_set(struct sld_plugin *p, struct sld_plugin_backends *b)
{
    struct sld_plugin_backends *own = sld_obj_ref(b);
    SLD_UNREF(p->host->backends);
    p->host->backends = own;
}

// ---- Questions ----

// A question in the making: what it is made of ends with the arena on the stack.
struct question {
    lua_State *L;
    const char *what;
    const struct sld_plugin_backend *b;
    struct sld_arena *a;
    const struct sld_reactor *reactor;
    struct sld_buf url;
    struct sld_str method, body;
    uint64_t timeout_ms;
    bool params; // the URL has some
};

static void begin(struct question *q, lua_State *L, const char *what, bool vault)
{
    const struct sld_plugin_backends *all = pl_host_of(L)->backends;
    *q = (struct question){.L = L, .what = what, .timeout_ms = ANSWER_MS};
    if (!all)
        pl_error(L, "%s: %s can be asked by discover and secret alone", what, vault ? "Vault" : "Consul");
    q->b = vault ? &all->vault : &all->consul;
    if (q->b->problem.p)
        pl_error(L, "%s: %.*s", what, SLD_FMT(q->b->problem));
    q->reactor = pl_task_reactor(pl_may_wait(L, what)); // raises before anything has to be let go
    q->a = pl_arena(L);
}

// The text at INDEX, a path: as it goes into a URL.
static struct sld_str path_at(struct question *q, int index)
{
    struct sld_str path = pl_arg(q->L, index), rest = path, part;
    luaL_argcheck(q->L, path.n <= NAME_MAX_BYTES, index, "a text of at most 1024 bytes expected");
    while (sld_str_cut(&rest, '/', &part))
        luaL_argcheck(q->L, !sld_str_eq(part, SLD_STR(".")) && !sld_str_eq(part, SLD_STR("..")), index, "a path without '.' and '..' expected");
    return path;
}

// Nothing raises between the beginning of a URL and its end.
static void url_begin(struct question *q, const char *under, struct sld_str path, const char *plain)
{
    sld_buf_init(&q->url, URL_MAX);
    sld_buf_add(&q->url, q->b->at.base);
    sld_buf_addz(&q->url, under);
    sld_buf_add_encoded(&q->url, path, plain);
}

static void url_param(struct question *q, const char *name, struct sld_str value)
{
    sld_buf_addf(&q->url, "%c%s=", q->params ? '&' : '?', name);
    sld_buf_add_encoded(&q->url, value, "");
    q->params = true;
}

static int send(struct question *q, int (*answer)(lua_State *L, void *arg))
{
    struct sld_http_header headers[2];
    struct sld_http_call call = {.method = q->method, .body = q->body, .timeout_ms = q->timeout_ms, .gzip = true, .secret = true,
                                 .unix_socket = q->b->at.unix_socket, .ca_file = q->b->at.ca_file, .ca_path = q->b->at.ca_path,
                                 .cert_file = q->b->at.cert_file, .key_file = q->b->at.key_file, .server_name = q->b->at.server_name,
                                 .insecure = q->b->at.insecure, .headers = headers};
    const struct sld_reactor *r = q->reactor;
    struct sld_str token = q->b->at.token, url = SLD_STR_NONE;
    struct sld_err err = {0};
    char file[TOKEN_MAX];
    if (q->b->at.params.n)
        sld_buf_addf(&q->url, "%c%.*s", q->params ? '&' : '?', SLD_FMT(q->b->at.params));
    bool full = q->url.full;
    url = sld_arena_str(q->a, sld_buf_str(&q->url));
    sld_buf_fini(&q->url);
    if (full)
        pl_error(q->L, "%s: the question is too long", q->what);
    call.url = url;
    if (!token.p && q->b->at.token_file.p) {
        struct sld_hash stamp;
        size_t n = 0;
        if (r->ops->file(r->user, sld_arena_cstr(q->a, q->b->at.token_file), file, sizeof(file), &n, &stamp, &err) || n > sizeof(file))
            return pl_not_right(q->L, "the token cannot be read: %s", err.msg[0] ? err.msg : "its file is too large");
        token = sld_str_trim(sld_str_n(file, n));
    }
    if (token.n)
        headers[call.header_count++] = (struct sld_http_header){q->b->at.token_header, token};
    if (q->b->at.header.name.p)
        headers[call.header_count++] = q->b->at.header;
    call.max_body_bytes = pl_host_of(q->L)->limits.memory_bytes / 4;
    int yields = pl_http_ask(q->L, q->what, &call, TRIES, answer); // it copied all of it
    sld_wipe(file, sizeof(file));
    return yields;
}

// Pushes nil and words for an answer that is none; false: it is one.
static bool refused(lua_State *L, const struct sld_http_answer *a, const char *who, bool absent)
{
    if (a->err)
        pl_not_right(L, "%s: %s", who, a->err->msg);
    else if (a->status == 404 && absent)
        pl_not_right(L, "%s has nothing there", who);
    else if (a->status >= 300 && a->status != 404)
        pl_not_right(L, "%s answers %d: %.*s", who, a->status, SLD_FMT(sld_str_trim(sld_str_sub(a->body, 0, a->body.n < 200 ? a->body.n : 200))));
    else
        return false;
    return true;
}

// Pushes what the JSON of A is; else nil and words.
static bool read_json(lua_State *L, const struct sld_http_answer *a, const char *who)
{
    struct sld_err err = {0};
    if (pl_json_read(L, a->body, 64, &err))
        return true;
    pl_not_right(L, "%s answers what is no JSON: %s", who, err.msg);
    return false;
}

// ---- Consul ----

struct blocking {
    lua_Integer index;
    uint64_t wait_ms;
};

// The options at 2: those of a question that waits for news.
static struct blocking read_blocking(struct question *q, struct sld_str *dc)
{
    struct blocking b = {.wait_ms = WAIT_MS};
    if (!pl_options(q->L, 2, &pl_consul, "consul.Options"))
        return b;
    b.index = pl_option_int(q->L, 2, "index", 0, 0, LUA_MAXINTEGER);
    *dc = pl_option_str(q->L, 2, "dc");
    if (lua_getfield(q->L, 2, "wait") != LUA_TNIL)
        luaL_argcheck(q->L, pl_to_ms(q->L, -1, WAIT_MAX_S, &b.wait_ms), 2, "wait: a time up to ten minutes expected");
    lua_pop(q->L, 1);
    if (b.index)
        q->timeout_ms = b.wait_ms + b.wait_ms / 8 + ANSWER_MS;
    return b;
}

static void add_blocking(struct question *q, const struct blocking *b, struct sld_str dc)
{
    char text[32];
    if (dc.p)
        url_param(q, "dc", dc);
    if (!b->index)
        return;
    snprintf(text, sizeof(text), "%lld", (long long)b->index);
    url_param(q, "index", sld_str_c(text));
    snprintf(text, sizeof(text), "%llums", (unsigned long long)b->wait_ms);
    url_param(q, "wait", sld_str_c(text));
}

// Leaves the list at -1 and pushes its index.
static int push_index(lua_State *L, const struct sld_http_answer *a)
{
    uint64_t index = 0;
    for (size_t i = 0; i < a->header_count; i++) {
        if (sld_str_ieq(a->headers[i].name, SLD_STR("x-consul-index")))
            sld_str_u64(a->headers[i].value, &index);
    }
    lua_pushinteger(L, (lua_Integer)index);
    return 2;
}

static void move_field(lua_State *L, int from, const char *name, const char *as)
{
    lua_getfield(L, from, name);
    lua_setfield(L, -2, as);
}

static int push_kv(lua_State *L, void *arg)
{
    const struct sld_http_answer *a = arg;
    if (refused(L, a, "Consul", false))
        return 2;
    if (a->status == 404) {
        lua_createtable(L, 0, 0);
    } else {
        if (!read_json(L, a, "Consul"))
            return 2;
        luaL_checkstack(L, 20, NULL);
        int all = lua_gettop(L);
        size_t n = lua_istable(L, all) ? (size_t)lua_rawlen(L, all) : 0;
        struct sld_arena *arena = pl_arena(L);
        lua_createtable(L, (int)n, 0);
        for (size_t i = 1; i <= n; i++) {
            lua_rawgeti(L, all, (lua_Integer)i);
            int from = lua_gettop(L);
            struct sld_str value = SLD_STR("");
            lua_createtable(L, 0, 4);
            move_field(L, from, "Key", "key");
            move_field(L, from, "Flags", "flags");
            move_field(L, from, "ModifyIndex", "index");
            if (lua_getfield(L, from, "Value") == LUA_TSTRING && !sld_base64_decode(arena, pl_str(L, -1), &value))
                value = SLD_STR("");
            lua_pop(L, 1);
            pl_string_fits(L, value.n);
            pl_push_str(L, value);
            lua_setfield(L, -2, "value");
            lua_remove(L, from);
            lua_rawseti(L, -2, (lua_Integer)i);
        }
    }
    pl_mark_array(L, lua_gettop(L));
    return push_index(L, a);
}

static int consul_kv(lua_State *L)
{
    struct question q;
    struct sld_str dc = SLD_STR_NONE;
    lua_settop(L, 2);
    begin(&q, L, "solder.consul.kv", false);
    struct sld_str prefix = path_at(&q, 1);
    struct blocking b = read_blocking(&q, &dc);
    url_begin(&q, "/v1/kv/", prefix, "-._~/");
    url_param(&q, "recurse", SLD_STR("true"));
    add_blocking(&q, &b, dc);
    return send(&q, push_kv);
}

static int push_service(lua_State *L, void *arg)
{
    const struct sld_http_answer *a = arg;
    if (refused(L, a, "Consul", false) || !read_json(L, a, "Consul"))
        return 2;
    luaL_checkstack(L, 20, NULL);
    int all = lua_gettop(L);
    size_t n = lua_istable(L, all) ? (size_t)lua_rawlen(L, all) : 0;
    lua_createtable(L, (int)n, 0);
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, all, (lua_Integer)i);
        int from = lua_gettop(L);
        if (!lua_istable(L, from) || lua_getfield(L, from, "Service") != LUA_TTABLE || lua_getfield(L, from, "Node") != LUA_TTABLE)
            return pl_not_right(L, "Consul answers what is no list of instances");
        int service = from + 1, node = from + 2;
        lua_createtable(L, 0, 8);
        move_field(L, service, "ID", "id");
        move_field(L, service, "Port", "port");
        move_field(L, service, "Tags", "tags");
        move_field(L, service, "Meta", "meta");
        move_field(L, node, "Node", "node");
        move_field(L, node, "Datacenter", "dc");
        bool own = lua_getfield(L, service, "Address") == LUA_TSTRING && lua_rawlen(L, -1) > 0;
        lua_pop(L, 1);
        move_field(L, own ? service : node, "Address", "address");
        if (lua_getfield(L, service, "Weights") == LUA_TTABLE) {
            lua_getfield(L, -1, "Passing");
            lua_setfield(L, -3, "weight");
        }
        lua_pop(L, 1);
        lua_replace(L, from);
        lua_settop(L, from);
        lua_rawseti(L, -2, (lua_Integer)i);
    }
    pl_mark_array(L, lua_gettop(L));
    return push_index(L, a);
}

static int consul_service(lua_State *L)
{
    struct question q;
    struct sld_str dc = SLD_STR_NONE, tag = SLD_STR_NONE;
    bool passing = true;
    lua_settop(L, 2);
    begin(&q, L, "solder.consul.service", false);
    struct sld_str name = pl_arg(L, 1);
    luaL_argcheck(L, name.n && name.n <= NAME_MAX_BYTES, 1, "the name of a service expected");
    struct blocking b = read_blocking(&q, &dc);
    if (lua_istable(L, 2)) {
        tag = pl_option_str(L, 2, "tag");
        passing = pl_option_bool(L, 2, "passing", true);
    }
    url_begin(&q, "/v1/health/service/", name, "-._~");
    if (passing)
        url_param(&q, "passing", SLD_STR("true"));
    if (tag.p)
        url_param(&q, "tag", tag);
    add_blocking(&q, &b, dc);
    return send(&q, push_service);
}

static const struct pl_value consul_options[] = {
    {"index?", "integer", "Waits until there is something newer than the answer that had this index."},
    {"wait?", "number|string", "How long, at most: seconds, or a text such as \"5m\"; 60 s by default, at most ten minutes."},
    {"dc?", "string", "The data center, where it is not that of the settings."},
    {"tag?", "string", "Of a service: instances with this tag alone."},
    {"passing?", "boolean", "Of a service: only instances whose checks pass; true by default."},
};
static const struct pl_value kv_entry[] = {
    {"key", "string", ""}, {"value", "string", "Decoded."}, {"flags", "integer", ""}, {"index", "integer", "When it was changed last."},
};
static const struct pl_value instance[] = {
    {"id", "string", ""}, {"address", "string", "Of the service, else of its node."}, {"port", "integer", ""}, {"node", "string", ""},
    {"dc", "string", ""}, {"tags", "string[]", ""}, {"meta", "table<string, string>", ""}, {"weight?", "integer", ""},
};
static const struct pl_class consul_classes[] = {
    {.name = "consul.Options", .doc = "How Consul is asked.", PL_FIELDS(consul_options)},
    {.name = "consul.Entry", .doc = "A key and its value.", PL_FIELDS(kv_entry)},
    {.name = "consul.Instance", .doc = "An instance of a service.", PL_FIELDS(instance)},
};
#define OPTIONS {"options?", "consul.Options", ""}
#define CONSUL .phases = PL_IN_TASK, .need = PL_NEED(SLD_NEED_CONSUL)
static const struct pl_binding consul_bindings[] = {
    {.name = "kv", .fn = consul_kv, CONSUL, .doc = "The keys that begin with a text, and their values.", .params = {{"prefix", "string", ""}, OPTIONS},
     .returns = {{"entries?", "consul.Entry[]", "nil: it cannot be read."}, {"index", "integer|string", "For the next question; or words."}},
     .example = "local entries, index = assert(consul.kv(\"app/\"))\nassert(entries[1].key == \"app/limit\" and entries[1].value == \"20\")\n"
                "entries, index = consul.kv(\"app/\", {index = index, wait = \"5m\"}) -- comes when something has changed"},
    {.name = "service", .fn = consul_service, CONSUL, .doc = "The instances of a service.", .params = {{"name", "string", ""}, OPTIONS},
     .returns = {{"instances?", "consul.Instance[]", "nil: it cannot be read."}, {"index", "integer|string", "For the next question; or words."}},
     .example = "local instances = assert(consul.service(\"web\", {tag = \"v2\"}))\n"
                "assert(instances[1].address == \"10.0.0.1\" and instances[1].port == 8080)"},
};
const struct pl_module pl_consul = {
    .name = "solder.consul",
    .doc = "The Consul that Solder knows, asked with its address, certificates and token. In tasks; the plugin needs \"consul\".",
    PL_BINDINGS(consul_bindings), PL_CLASSES(consul_classes)};

// ---- Vault ----

static int push_vault(lua_State *L, void *arg)
{
    const struct sld_http_answer *a = arg;
    if (refused(L, a, "Vault", true))
        return 2;
    if (a->status == 204 || !a->body.n) {
        lua_createtable(L, 0, 0);
        return 1;
    }
    return read_json(L, a, "Vault") ? 1 : 2;
}

static int vault_ask(lua_State *L, const char *what, bool write)
{
    struct question q;
    begin(&q, L, what, true);
    struct sld_str path = path_at(&q, 1);
    luaL_argcheck(L, path.n && path.p[0] != '/', 1, "a path such as \"secret/data/web\" expected");
    if (write) {
        struct pl_out o;
        struct sld_err err = {0};
        luaL_checktype(L, 2, LUA_TTABLE);
        pl_out_begin(&o, L, 256);
        if (!pl_json_write(&o, 2, 0, 0, &err))
            return luaL_argerror(L, 2, err.msg);
        pl_out_push(&o);
        q.body = pl_str(L, -1);
        q.method = SLD_STR("POST");
    }
    url_begin(&q, "/v1/", path, "-._~/");
    return send(&q, push_vault);
}

static int vault_read(lua_State *L)
{
    lua_settop(L, 1);
    return vault_ask(L, "solder.vault.read", false);
}

static int vault_write(lua_State *L)
{
    lua_settop(L, 2);
    return vault_ask(L, "solder.vault.write", true);
}

static const struct pl_value vault_answer[] = {
    {"data", "table", "What is there; of a versioned key-value engine (whose paths have /data/) it is data.data."},
    {"lease_duration", "integer", "Seconds."}, {"lease_id", "string", ""}, {"renewable", "boolean", ""},
};
static const struct pl_class vault_classes[] = {{.name = "vault.Answer", .doc = "What Vault answers.", PL_FIELDS(vault_answer)}};
#define VAULT .phases = PL_IN_TASK, .need = PL_NEED(SLD_NEED_VAULT)
static const struct pl_binding vault_bindings[] = {
    {.name = "read", .fn = vault_read, VAULT, .doc = "Reads what is at a path.", .params = {{"path", "string", "As Vault's API has it: \"secret/data/web\"."}},
     .returns = {{"answer?", "vault.Answer", "nil: there is nothing, or it cannot be read."}, {"words?", "string", ""}},
     .example = "local answer = assert(vault.read(\"secret/data/web\"))\nassert(answer.data.data.user == \"ada\")"},
    {.name = "write", .fn = vault_write, VAULT, .doc = "Writes to a path: what issues or signs something, for one. It may be sent up to three times.",
     .params = {{"path", "string", ""}, {"body", "table", "Written as JSON."}},
     .returns = {{"answer?", "vault.Answer", "nil: it was refused."}, {"words?", "string", ""}},
     .example = "local issued = assert(vault.write(\"pki/issue/web\", {common_name = \"web.test\", ttl = \"1h\"}))\n"
                "assert(issued.data.serial_number == \"7a\")"},
};
const struct pl_module pl_vault = {
    .name = "solder.vault",
    .doc = "The Vault that Solder knows, asked with its address, certificates and token. In tasks; the plugin needs \"vault\".",
    PL_BINDINGS(vault_bindings), PL_CLASSES(vault_classes)};

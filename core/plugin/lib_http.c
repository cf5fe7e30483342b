// solder.http: requests to others, through the HTTP client of the reactor.
#include "base/random.h"
#include "codec/text.h"
#include "plugin/library.h"
#include "plugin/task.h"

enum {
    HEADERS_MAX = 64,
    URL_MAX_BYTES = 8192,
    TIMEOUT_DEFAULT_MS = 10 * 1000,
    IDLE_DEFAULT_MS = 60 * 1000, // of streams
    LINE_DEFAULT = 64 << 10,
    TIMEOUT_MAX_S = 3600, // of those that wait for news
    RETRIES_MAX = 10,
    BACKOFF_MS = 200, // before the second try, doubled each time
    BACKOFF_MAX_MS = 10 * 1000,
};

#define WHAT "solder.http.request"

// What a script asks for, while it is read: texts are those of the script's tables.
struct ask {
    struct sld_http_call call;
    struct sld_http_header headers[HEADERS_MAX + 2];
    unsigned tries;
    bool stream;
    uint64_t idle_ms;
    size_t line_max;
};

// A request under way.
struct asking {
    struct pl_task *task;
    struct sld_reactor *reactor;
    struct sld_arena arena; // of CALL
    struct sld_http_call call;
    unsigned tries, failures;
    int (*answer)(lua_State *L, void *arg); // pushes what came
    void *http, *timer; // one of them
};

// ---- What is asked for ----

static struct sld_str text(lua_State *L, const char *field)
{
    struct sld_str s = pl_str(L, -1);
    if (!s.p)
        pl_error(L, WHAT ": '%s' must be a string, not a %s", field, luaL_typename(L, -1));
    return s;
}

static bool is_token(struct sld_str s)
{
    static const char odd[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!plain && !(c && memchr(odd, c, sizeof(odd) - 1)))
            return false;
    }
    return s.n > 0;
}

static bool is_line(struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 && s.p[i] != '\t')
            return false;
    }
    return true;
}

static void add_header(lua_State *L, struct ask *a, struct sld_str name, struct sld_str value)
{
    if (!name.p || !is_token(name))
        pl_error(L, WHAT ": headers: a name must be a string such as \"accept\"");
    if (!value.p || !is_line(value))
        pl_error(L, WHAT ": headers: '%.*s' must be a string of one line", SLD_FMT(name));
    if (sld_str_ieq(name, SLD_STR("content-length")) || sld_str_ieq(name, SLD_STR("transfer-encoding")))
        pl_error(L, WHAT ": headers: '%.*s' is set by the client", SLD_FMT(name));
    if (a->call.header_count >= HEADERS_MAX)
        pl_error(L, WHAT ": more than %d headers", HEADERS_MAX);
    a->headers[a->call.header_count++] = (struct sld_http_header){name, value};
}

// The table at the top, or what a frozen one holds, in its place.
static void thaw(lua_State *L, const char *field)
{
    if (!lua_istable(L, -1))
        pl_error(L, WHAT ": '%s' must be a table, not a %s", field, luaL_typename(L, -1));
    if (pl_thawed(L, -1))
        lua_remove(L, -2);
}

static void read_headers(lua_State *L, struct ask *a)
{
    lua_pushvalue(L, -1);
    thaw(L, "headers");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        struct sld_str name = pl_str(L, -2);
        add_header(L, a, name, pl_str(L, -1));
    }
    lua_pop(L, 1);
}

static struct sld_str file(lua_State *L, const char *field)
{
    struct sld_str path = text(L, field);
    if (!pl_file_granted(L, path))
        pl_error(L, WHAT ": %s: the file %.*s is not granted: the plugin needs \"files\", and its Plugin document names it", field,
                 SLD_FMT(path));
    return path;
}

static uint64_t count(lua_State *L, const char *field, uint64_t most)
{
    lua_Integer n = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
    if (n < 0 || (uint64_t)n > most)
        pl_error(L, WHAT ": '%s' must be a whole number of 0 to %llu", field, (unsigned long long)most);
    return (uint64_t)n;
}

// An answer that was got before; what its server said of its version goes into the request. It is put at 2.
static void read_previous(lua_State *L, struct ask *a)
{
    static const char *const from[] = {"etag", "last-modified"}, *const to[] = {"if-none-match", "if-modified-since"};
    if (lua_isnil(L, -1))
        return;
    lua_pushvalue(L, -1);
    lua_replace(L, 2);
    lua_pushvalue(L, -1);
    thaw(L, "previous");
    lua_getfield(L, -1, "headers");
    thaw(L, "previous.headers");
    for (size_t i = 0; i < SLD_ARRAY_LEN(from); i++) {
        lua_getfield(L, -1, from[i]);
        struct sld_str value = pl_str(L, -1); // stays with the answer
        if (value.p)
            add_header(L, a, sld_str_c(to[i]), value);
        lua_pop(L, 1);
    }
    lua_pop(L, 2);
}

static void read_field(lua_State *L, struct ask *a, struct sld_str key)
{
    struct sld_http_call *c = &a->call;
    const struct sld_plugin_limits *l = &pl_host_of(L)->limits;
    if (sld_str_eq(key, SLD_STR("url"))) {
        c->url = text(L, "url");
    } else if (sld_str_eq(key, SLD_STR("method"))) {
        c->method = text(L, "method");
        if (!is_token(c->method) || c->method.n > 32)
            pl_error(L, WHAT ": 'method' must be one such as \"GET\"");
    } else if (sld_str_eq(key, SLD_STR("headers"))) {
        read_headers(L, a);
    } else if (sld_str_eq(key, SLD_STR("body"))) {
        c->body = text(L, "body");
    } else if (a->stream && sld_str_eq(key, SLD_STR("idle_timeout"))) {
        if (!pl_to_ms(L, -1, TIMEOUT_MAX_S, &a->idle_ms) || !a->idle_ms)
            pl_error(L, WHAT ": 'idle_timeout' must be a time up to an hour, in seconds or like \"1.5s\"");
    } else if (a->stream && sld_str_eq(key, SLD_STR("max_line"))) {
        a->line_max = count(L, "max_line", l->string_bytes);
    } else if (!a->stream && sld_str_eq(key, SLD_STR("timeout"))) {
        if (!pl_to_ms(L, -1, TIMEOUT_MAX_S, &c->timeout_ms) || !c->timeout_ms)
            pl_error(L, WHAT ": 'timeout' must be a time up to an hour, in seconds or like \"1.5s\"");
    } else if (!a->stream && sld_str_eq(key, SLD_STR("max_body"))) {
        c->max_body_bytes = count(L, "max_body", l->memory_bytes / 4);
    } else if (!a->stream && sld_str_eq(key, SLD_STR("retries"))) {
        a->tries = (unsigned)count(L, "retries", RETRIES_MAX) + 1;
    } else if (!a->stream && sld_str_eq(key, SLD_STR("previous"))) {
        read_previous(L, a);
    } else if (sld_str_eq(key, SLD_STR("ca_file"))) {
        c->ca_file = file(L, "ca_file");
    } else if (sld_str_eq(key, SLD_STR("cert_file"))) {
        c->cert_file = file(L, "cert_file");
    } else if (sld_str_eq(key, SLD_STR("key_file"))) {
        c->key_file = file(L, "key_file");
    } else if (sld_str_eq(key, SLD_STR("socket"))) {
        c->unix_socket = file(L, "socket");
    } else if (sld_str_eq(key, SLD_STR("server_name"))) {
        c->server_name = text(L, "server_name");
    } else {
        pl_error(L, WHAT ": there is no '%.*s'; there are url, method, headers, body, %s, ca_file, cert_file, key_file, server_name and socket",
                 SLD_FMT(key), a->stream ? "idle_timeout, max_line" : "timeout, max_body, retries, previous");
    }
}

// The options at 1.
static void read_options(lua_State *L, struct ask *a)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_pushnil(L); // the previous answer
    lua_pushvalue(L, 1);
    thaw(L, "options");
    for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
        struct sld_str key = pl_str(L, -2);
        if (!key.p)
            pl_error(L, WHAT ": the options must have names");
        read_field(L, a, key);
    }
    if (!sld_str_starts(a->call.url, SLD_STR("http://")) && !sld_str_starts(a->call.url, SLD_STR("https://")))
        pl_error(L, WHAT ": 'url' must begin with http:// or https://");
    if (a->call.url.n > URL_MAX_BYTES || !is_line(a->call.url))
        pl_error(L, WHAT ": 'url' is none: it is longer than %d bytes, or has control characters", URL_MAX_BYTES);
    lua_settop(L, 2);
}

// ---- Answers ----

// Headers by lower-case name; several of one name are one, with ", " between.
static void push_headers(lua_State *L, const struct sld_http_answer *a)
{
    lua_createtable(L, 0, (int)a->header_count);
    for (size_t i = 0; i < a->header_count; i++) {
        const struct sld_http_header *h = &a->headers[i];
        luaL_Buffer b;
        char *name = luaL_buffinitsize(L, &b, h->name.n);
        for (size_t k = 0; k < h->name.n; k++)
            name[k] = h->name.p[k] >= 'A' && h->name.p[k] <= 'Z' ? (char)(h->name.p[k] + 32) : h->name.p[k];
        luaL_pushresultsize(&b, h->name.n);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) == LUA_TSTRING) {
            lua_pushliteral(L, ", ");
            pl_push_str(L, h->value);
            lua_concat(L, 3);
        } else {
            lua_pop(L, 1);
            pl_push_str(L, h->value);
        }
        lua_rawset(L, -3);
    }
}

static int push_answer(lua_State *L, void *arg)
{
    const struct sld_http_answer *a = arg;
    if (a->err) {
        lua_pushnil(L);
        lua_pushstring(L, a->err->msg);
        return 2;
    }
    if (a->status == 304 && lua_istable(L, 2)) {
        lua_pushvalue(L, 2);
        lua_pushboolean(L, 1);
        return 2;
    }
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, a->status);
    lua_setfield(L, -2, "status");
    push_headers(L, a);
    lua_setfield(L, -2, "headers");
    pl_push_str(L, a->body);
    lua_setfield(L, -2, "body");
    return 1;
}

// ---- Asking ----

static void let_go_of_try(struct asking *w)
{
    const struct sld_reactor *r = w->reactor;
    if (w->http)
        r->ops->http_end(r->user, w->http);
    if (w->timer)
        r->ops->timer_end(r->user, w->timer);
    w->http = w->timer = NULL;
}

static void let_go(void *waiting)
{
    struct asking *w = waiting;
    let_go_of_try(w);
    sld_arena_fini_secret(&w->arena); // tokens
    sld_xfree(w);
}

static void ask(void *arg);

// What may be better the next time: nobody there, or somebody who has too much to do.
static bool worth_another(const struct asking *w, const struct sld_http_answer *a)
{
    bool passing = a->err ? a->err->rc == SLD_IO : a->status == 429 || a->status == 502 || a->status == 503 || a->status == 504;
    return passing && w->failures < w->tries;
}

static void on_answer(const struct sld_http_answer *a, void *user)
{
    struct asking *w = user;
    struct pl_task *t = w->task;
    w->failures++;
    if (worth_another(w, a)) {
        let_go_of_try(w);
        w->timer = w->reactor->ops->timer(w->reactor->user, sld_backoff(w->failures, BACKOFF_MS, BACKOFF_MAX_MS), ask, w);
        return;
    }
    struct sld_http_answer own = *a; // what it points to outlives the call
    int (*push)(lua_State *L, void *arg) = w->answer;
    let_go(w);
    pl_wake(t, push, &own);
}

static void ask(void *arg)
{
    struct asking *w = arg;
    let_go_of_try(w);
    w->http = w->reactor->ops->http(w->reactor->user, &w->call, on_answer, w);
}

// A copy of CALL in A.
static struct sld_http_call keep(struct sld_arena *a, const struct sld_http_call *call)
{
    struct sld_http_call c = *call;
    struct sld_http_header *headers = SLD_ARENA_ARRAY(a, struct sld_http_header, c.header_count);
    for (size_t i = 0; i < c.header_count; i++)
        headers[i] = (struct sld_http_header){sld_arena_str(a, call->headers[i].name), sld_arena_str(a, call->headers[i].value)};
    struct sld_str *texts[] = {&c.method, &c.url, &c.unix_socket, &c.body, &c.ca_file, &c.ca_path, &c.cert_file, &c.key_file, &c.server_name};
    for (size_t i = 0; i < SLD_ARRAY_LEN(texts); i++)
        *texts[i] = texts[i]->p ? sld_arena_str(a, *texts[i]) : SLD_STR_NONE;
    c.headers = headers;
    return c;
}

int pl_http_ask(lua_State *L, const char *what, const struct sld_http_call *call, unsigned tries, int (*answer)(lua_State *L, void *arg))
{
    struct pl_task *t = pl_may_ask(L, what);
    struct asking *w = SLD_NEW(struct asking);
    w->task = t;
    w->reactor = pl_task_reactor(t);
    w->call = keep(&w->arena, call);
    w->tries = tries;
    w->answer = answer;
    ask(w);
    return pl_wait(L, let_go, w);
}

int pl_http_request(lua_State *L)
{
    struct ask a = {.tries = 1};
    a.call.timeout_ms = TIMEOUT_DEFAULT_MS;
    a.call.max_body_bytes = pl_host_of(L)->limits.string_bytes;
    a.call.gzip = true;
    read_options(L, &a);
    a.call.headers = a.headers;
    return pl_http_ask(L, WHAT, &a.call, a.tries, push_answer);
}

static int l_stream(lua_State *L)
{
    struct ask a = {.stream = true, .idle_ms = IDLE_DEFAULT_MS, .line_max = LINE_DEFAULT};
    read_options(L, &a);
    a.call.headers = a.headers;
    return pl_stream_open(L, &a.call, a.idle_ms, a.line_max);
}

static const struct pl_value request_fields[] = {
    {"url", "string", "http:// or https://, at most 8 KiB."},
    {"method?", "string", "GET by default."},
    {"headers?", "table<string, string>", "At most 64."},
    {"body?", "string", ""},
    {"timeout?", "number|string", "From the first byte to the last, of each try: seconds, or a text such as \"5s\"; 10 s by default, at most an hour."},
    {"max_body?", "integer", "Bytes of the answer's body that are taken; by default what a string may have."},
    {"retries?", "integer", "More tries, 0 to 10, with pauses between them, where nobody answers or the answer is 429, 502, 503 or 504."},
    {"previous?", "http.Answer", "An answer to the same question: it is asked whether it still holds."},
    {"ca_file?", "string", "A granted file: whom to trust."},
    {"cert_file?", "string", "A granted file: the client's certificate."},
    {"key_file?", "string", "A granted file: its key."},
    {"server_name?", "string", "The name in TLS, where it is not that of the URL."},
    {"socket?", "string", "A granted path: a unix socket to ask through."},
};
static const struct pl_value stream_fields[] = {
    {"url", "string", ""},
    {"idle_timeout?", "number|string", "How long it may be silent: seconds, or a text such as \"5m\"; 60 s by default, at most an hour."},
    {"max_line?", "integer", "Bytes of a line, and of an event; 64 KiB by default."},
    {"method?", "string", "This and what follows is as in http.Request: headers, body, ca_file, cert_file, key_file, server_name, socket."},
};
static const struct pl_value event_fields[] = {
    {"event", "string", "\"message\" where it says nothing."}, {"data", "string", "Its lines with \"\\n\" between."},
    {"id", "string", "The last one that was said."},
    {"retry?", "number", "Seconds to wait before it is asked again."},
};
static const struct pl_value answer_fields[] = {
    {"status", "integer", ""},
    {"headers", "table<string, string>", "By lower-case name; several of one name with \", \" between."},
    {"body", "string", ""},
};
static const struct pl_class classes[] = {
    {.name = "http.Request", .doc = "A question to an HTTP server.", PL_FIELDS(request_fields)},
    {.name = "http.Answer", .doc = "What it answered.", PL_FIELDS(answer_fields)},
    {.name = "http.StreamRequest", .doc = "A question whose answer is read as it comes.", PL_FIELDS(stream_fields)},
    {.name = "http.Event", .doc = "A server-sent event.", PL_FIELDS(event_fields)},
    {.name = "http.Stream",
     .doc = "An answer that is read as it comes. No more than 64 KiB of it are held, or a line: its server waits meanwhile. It ends with the call.",
     .gc = pl_stream_gc},
};
static const struct pl_binding bindings[] = {
    {.name = "request", .fn = pl_http_request, .phases = PL_IN_CALLS, .need = PL_NEED(SLD_NEED_HTTP),
     .doc = "Asks an HTTP server, and waits for its answer, whatever its status; other calls go on meanwhile.",
     .params = {{"request", "http.Request", ""}},
     .returns = {{"answer?", "http.Answer", "nil: there was none."}, {"unchanged", "boolean|string|nil", "true: it is `previous`, which still holds; "
         "or words."}},
     .example = "local answer = assert(http.request{url = \"https://api.example.org/users/ada\", timeout = \"2s\", retries = 2})\n"
                "if answer.status ~= 200 then error(\"the API answers \" .. answer.status) end\n"
                "assert(require(\"solder.json\").decode(answer.body).name == \"ada\")"},
    {.name = "stream", .fn = l_stream, .phases = PL_IN_TASK, .need = PL_NEED(SLD_NEED_HTTP),
     .doc = "Asks an HTTP server, and waits for the head of its answer, which is read by the methods of what it gives. At most 20 at a time.",
     .params = {{"request", "http.StreamRequest", ""}}, .returns = {{"stream?", "http.Stream", "nil: nobody answered."}, {"words?", "string", ""}},
     .example = "local stream <close> = assert(http.stream{url = \"https://api.example.org/watch\", idle_timeout = \"5m\"})\n"
                "assert(stream:status() == 200)\nfor line in stream:lines() do\n  assert(require(\"solder.json\").decode(line).name == \"ada\")\nend\n"
                "assert(not stream:problem())"},
    {.name = "chunks", .fn = pl_stream_chunks, .of = "http.Stream", .phases = PL_IN_TASK, .doc = "For `for`: its bytes as they come.",
     .returns = {{"next", "fun(): string|nil", ""}},
     .example = "local n = 0\nfor chunk in http.stream{url = \"http://a.test/\"}:chunks() do n = n + #chunk end\nassert(n == 15)"},
    {.name = "lines", .fn = pl_stream_lines, .of = "http.Stream", .phases = PL_IN_TASK, .doc = "For `for`: its lines, without their ends.",
     .returns = {{"next", "fun(): string|nil", ""}},
     .example = "for line in http.stream{url = \"http://a.test/\"}:lines() do assert(line == '{\"name\": \"ada\"}') end"},
    {.name = "events", .fn = pl_stream_events, .of = "http.Stream", .phases = PL_IN_TASK, .doc = "For `for`: its server-sent events.",
     .returns = {{"next", "fun(): http.Event|nil", ""}},
     .example = "for event in http.stream{url = \"http://a.test/events\"}:events() do assert(event.data == \"ada\") end"},
    {.name = "status", .fn = pl_stream_status, .of = "http.Stream", .phases = PL_IN_TASK, .doc = "The status of the answer.",
     .returns = {{"status?", "integer", "nil: it is closed."}, {"words?", "string", ""}},
     .example = "assert(http.stream{url = \"http://a.test/\"}:status() == 200)"},
    {.name = "header", .fn = pl_stream_header, .of = "http.Stream", .phases = PL_IN_TASK, .doc = "A header of the answer; of several of one name the first.",
     .params = {{"name", "string", ""}}, .returns = {{"value?", "string", ""}},
     .example = "assert(http.stream{url = \"http://a.test/\"}:header(\"x-none\") == nil)"},
    {.name = "problem", .fn = pl_stream_problem, .of = "http.Stream", .phases = PL_IN_TASK, .doc = "Why it ended before its end.",
     .returns = {{"words?", "string", "nil: it did not."}}, .example = "assert(http.stream{url = \"http://a.test/\"}:problem() == nil)"},
    {.name = "close", .fn = pl_stream_close, .of = "http.Stream", .phases = PL_IN_TASK, .doc = "Lets go of it.",
     .example = "http.stream{url = \"http://a.test/\"}:close()"},
};
const struct pl_module pl_http = {
    .name = "solder.http", .doc = "Questions to HTTP servers. The plugin needs \"http\".", PL_BINDINGS(bindings), PL_CLASSES(classes)};

// A request as a script sees it. Fields are read as they are asked for; edits are kept as a list, and what is read later
// is as they left it.
#include "plugin/exchange.h"

#include "codec/x509.h"
#include "plugin/task.h"
#include "plugin/value.h"

#define REQUEST "solder.request"
#define QUERY "solder.query"
#define PEER "solder.peer"

enum { HEADER_NAME_MAX = 256 };

// What a handle is behind, and the call it was lent to.
struct lent {
    struct sld_exchange *x;
    uint64_t call;
};

static struct sld_exchange *fresh(lua_State *L, const struct lent *h)
{
    if (h->call != pl_host_of(L)->call)
        pl_error(L, "the request is stale: it was lent to a call that is over");
    return h->x;
}

struct sld_exchange *pl_lent(lua_State *L, const char *type)
{
    return fresh(L, luaL_checkudata(L, 1, type));
}

struct sld_exchange *pl_exchange(lua_State *L)
{
    static const char *const others[] = {PL_TRANSFORM, PL_RESPONSE};
    const struct lent *h = luaL_testudata(L, 1, REQUEST);
    for (size_t i = 0; i < SLD_ARRAY_LEN(others) && !h; i++)
        h = luaL_testudata(L, 1, others[i]);
    return fresh(L, h ? h : luaL_checkudata(L, 1, REQUEST));
}

void pl_lend(lua_State *L, struct sld_exchange *x, const char *type, int values)
{
    struct lent *h = lua_newuserdatauv(L, sizeof(*h), values);
    *h = (struct lent){x, pl_host_of(L)->call};
    luaL_setmetatable(L, type);
}

void pl_push_or_nil(lua_State *L, struct sld_str s)
{
    if (s.p)
        pl_push_str(L, s);
    else
        lua_pushnil(L);
}

static int refuse(lua_State *L)
{
    pl_error(L, "a %s is read-only; it is edited by set_header and its like", luaL_testudata(L, 1, PL_RESPONSE) ? "response" : "request");
}

// ---- Pairs: headers and parameters ----

// The value of NAME among N pairs, of several ones joined by commas; nil.
static void push_joined(lua_State *L, const struct sld_pair *p, size_t n, struct sld_str name)
{
    luaL_Buffer b;
    size_t first = 0;
    while (first < n && !sld_str_eq(p[first].name, name))
        first++;
    if (first == n) {
        lua_pushnil(L);
        return;
    }
    size_t next = first + 1;
    while (next < n && !sld_str_eq(p[next].name, name))
        next++;
    if (next == n) {
        pl_push_str(L, p[first].value);
        return;
    }
    luaL_buffinit(L, &b);
    for (size_t i = first; i < n; i++) {
        if (!sld_str_eq(p[i].name, name))
            continue;
        if (i > first)
            luaL_addchar(&b, ',');
        luaL_addlstring(&b, p[i].value.p, p[i].value.n);
    }
    luaL_pushresult(&b);
}

// A header's name, which is not too long, in lower case in ROOM.
static struct sld_str lower(struct sld_str s, char room[HEADER_NAME_MAX])
{
    SLD_PRE(s.n <= HEADER_NAME_MAX);
    for (size_t i = 0; i < s.n; i++)
        room[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 0x20 : s.p[i]);
    return sld_str_n(room, s.n);
}

static int headers_index(lua_State *L)
{
    const struct sld_exchange *x = pl_lent(L, PL_HEADERS);
    char low[HEADER_NAME_MAX];
    luaL_checkstring(L, 2);
    pl_spend(L, x->header_count / 4);
    if (pl_str(L, 2).n > HEADER_NAME_MAX)
        lua_pushnil(L);
    else
        push_joined(L, x->headers, x->header_count, lower(pl_str(L, 2), low));
    return 1;
}

// The steps of pairs: upvalues are the number reached, and the list's handle.
static int headers_next(lua_State *L)
{
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(2));
    const struct sld_exchange *x = pl_lent(L, PL_HEADERS);
    size_t i = (size_t)lua_tointeger(L, lua_upvalueindex(1));
    for (bool seen = true; i < x->header_count && seen; i += seen) {
        seen = false;
        for (size_t k = 0; k < i && !seen; k++)
            seen = sld_str_eq(x->headers[k].name, x->headers[i].name);
    }
    pl_spend(L, x->header_count / 4);
    if (i >= x->header_count)
        return 0;
    lua_pushinteger(L, (lua_Integer)i + 1);
    lua_replace(L, lua_upvalueindex(1));
    pl_push_str(L, x->headers[i].name);
    push_joined(L, x->headers, x->header_count, x->headers[i].name);
    return 2;
}

static int headers_pairs(lua_State *L)
{
    pl_lent(L, PL_HEADERS);
    lua_pushinteger(L, 0);
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, headers_next, 2);
    return 1;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static struct sld_str decoded(struct sld_arena *a, struct sld_str s)
{
    if (sld_str_index(s, '%') < 0 && sld_str_index(s, '+') < 0)
        return s;
    char *out = sld_arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int high = s.p[i] == '%' && i + 2 < s.n ? hex(s.p[i + 1]) : -1, low = high >= 0 ? hex(s.p[i + 2]) : -1;
        out[n++] = (char)(low >= 0 ? high << 4 | low : s.p[i] == '+' ? ' ' : s.p[i]);
        i += low >= 0 ? 2 : 0;
    }
    return sld_str_n(out, n);
}

static void parse(lua_State *L, struct sld_exchange *x)
{
    struct sld_str rest = x->query, one, name;
    if (x->parsed)
        return;
    x->parsed = true;
    pl_spend(L, rest.n / 8);
    while (rest.n) {
        if (!sld_str_cut(&rest, '&', &one))
            break;
        if (!one.n)
            continue;
        ptrdiff_t eq = sld_str_index(one, '=');
        name = eq < 0 ? one : sld_str_sub(one, 0, (size_t)eq);
        struct sld_str value = eq < 0 ? SLD_STR("") : sld_str_sub(one, (size_t)eq + 1, one.n);
        struct sld_pair p = {decoded(x->arena, name), decoded(x->arena, value)};
        SLD_PUSH(x->arena, x->params, x->param_count, p);
    }
}

static const struct sld_edit *query_edit(const struct sld_exchange *x, struct sld_str name)
{
    for (size_t i = 0; i < x->edit_count; i++) {
        if (x->edits[i].kind == SLD_EDIT_QUERY && sld_str_eq(x->edits[i].name, name))
            return &x->edits[i];
    }
    return NULL;
}

static void add_param(struct sld_buf *b, struct sld_str raw, const struct sld_edit *e, char *mark)
{
    sld_buf_addc(b, *mark);
    *mark = '&';
    if (!e) {
        sld_buf_add(b, raw);
        return;
    }
    sld_buf_add_encoded(b, e->name, "-._~");
    sld_buf_addc(b, '=');
    sld_buf_add_encoded(b, e->value, "-._~");
}

void sld_exchange_target(const struct sld_exchange *x, struct sld_buf *out)
{
    struct sld_str rest = x->query, one;
    struct sld_arena a = {0};
    bool edited = false, put[SLD_EDITS_MAX] = {0};
    char mark = '?';
    for (size_t i = 0; i < x->edit_count; i++)
        edited |= x->edits[i].kind == SLD_EDIT_QUERY;
    sld_buf_add(out, x->path);
    if (!edited && rest.p) {
        sld_buf_addc(out, '?');
        sld_buf_add(out, rest);
    }
    while (edited && rest.n && sld_str_cut(&rest, '&', &one)) {
        ptrdiff_t eq = sld_str_index(one, '=');
        const struct sld_edit *e = one.n ? query_edit(x, decoded(&a, sld_str_sub(one, 0, eq < 0 ? one.n : (size_t)eq))) : NULL;
        if (!one.n || (e && (!e->value.p || put[e - x->edits])))
            continue;
        if (e)
            put[e - x->edits] = true;
        add_param(out, one, e, &mark);
    }
    for (size_t i = 0; i < x->edit_count; i++) {
        if (x->edits[i].kind == SLD_EDIT_QUERY && x->edits[i].value.p && !put[i])
            add_param(out, SLD_STR(""), &x->edits[i], &mark);
    }
    sld_arena_fini(&a);
}

// req.query:all(name)
static int query_all(lua_State *L)
{
    struct sld_exchange *x = pl_lent(L, QUERY);
    luaL_checkstring(L, 2);
    parse(L, x);
    lua_newtable(L);
    lua_Integer n = 0;
    for (size_t i = 0; i < x->param_count; i++) {
        if (!sld_str_eq(x->params[i].name, pl_str(L, 2)))
            continue;
        pl_push_str(L, x->params[i].value);
        lua_rawseti(L, -2, ++n);
    }
    pl_spend(L, x->param_count);
    return 1;
}

static int query_index(lua_State *L)
{
    struct sld_exchange *x = pl_lent(L, QUERY);
    luaL_checkstring(L, 2);
    if (sld_str_eq(pl_str(L, 2), SLD_STR("all"))) {
        lua_pushcfunction(L, query_all);
        return 1;
    }
    parse(L, x);
    pl_spend(L, x->param_count / 4);
    struct sld_str found = SLD_STR_NONE;
    for (size_t i = 0; i < x->param_count && !found.p; i++) {
        if (sld_str_eq(x->params[i].name, pl_str(L, 2)))
            found = x->params[i].value.n ? x->params[i].value : SLD_STR("");
    }
    pl_push_or_nil(L, found);
    return 1;
}

// ---- The peer ----

static void push_list(lua_State *L, const struct sld_str *s, size_t n)
{
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        pl_push_str(L, s[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

void pl_peer_read(struct sld_exchange *x)
{
    struct sld_cert_facts f = {0};
    if (x->peer_read)
        return;
    x->peer_read = true;
    if (sld_cert_read(x->arena, decoded(x->arena, x->peer->cert), &f, NULL))
        return;
    x->subject = f.subject;
    x->dns_names = f.dns_names;
    x->dns_name_count = f.dns_name_count;
}

static int peer_index(lua_State *L)
{
    struct sld_exchange *x = pl_lent(L, PEER);
    luaL_checkstring(L, 2);
    if (!x->peer_read)
        pl_spend(L, 2000);
    pl_peer_read(x);
    struct sld_str key = pl_str(L, 2);
    if (sld_str_eq(key, SLD_STR("subject")))
        pl_push_or_nil(L, x->subject);
    else if (sld_str_eq(key, SLD_STR("uri_sans")))
        push_list(L, &x->peer->principal, sld_str_find(x->peer->principal, SLD_STR("://")) > 0);
    else if (sld_str_eq(key, SLD_STR("dns_sans")))
        push_list(L, x->dns_names, x->dns_name_count);
    else
        pl_error(L, "a peer has no '%.*s'; there are subject, uri_sans and dns_sans", SLD_FMT(sld_str_sub(key, 0, 60)));
    return 1;
}

// ---- Edits ----

// How many bytes scripts may still make of X: all of it stays until the request's end.
static size_t room(const struct sld_exchange *x)
{
    size_t made = x->arena->used_bytes - x->start_bytes;
    return made < SLD_EXCHANGE_BYTES_MAX ? SLD_EXCHANGE_BYTES_MAX - made : 0;
}

// To be called in front of each copy, of N bytes: who catches the error has made nothing.
void pl_bounded(lua_State *L, const struct sld_exchange *x, size_t n)
{
    pl_spend(L, n / 8);
    if (n >= room(x))
        pl_error(L, "more than %d KiB are made of one request", SLD_EXCHANGE_BYTES_MAX >> 10);
}

struct sld_str pl_copied(lua_State *L, const struct sld_exchange *x, struct sld_str s)
{
    pl_bounded(L, x, s.n);
    return sld_arena_str(x->arena, s.n ? s : SLD_STR(""));
}

static bool is_token(struct sld_str s)
{
    if (!s.n || s.n > HEADER_NAME_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!word && !memchr("!#$%&'*+-.^_`|~", c, 15))
            return false;
    }
    return true;
}

// The header's name at INDEX, in lower case.
struct sld_str pl_header_name(lua_State *L, struct sld_exchange *x, int index)
{
    static const char *const fixed[] = {"connection", "content-length", "host", "transfer-encoding"};
    char low[HEADER_NAME_MAX];
    luaL_checkstring(L, index);
    struct sld_str name = pl_str(L, index);
    if (name.n <= HEADER_NAME_MAX)
        name = lower(name, low);
    if (!is_token(name))
        pl_error(L, "'%.*s' is no name of a header", SLD_FMT(sld_str_sub(name, 0, 60)));
    for (size_t i = 0; i < SLD_ARRAY_LEN(fixed); i++) {
        if (sld_str_eq(name, sld_str_c(fixed[i])))
            pl_error(L, "the header %s belongs to the connection, so it cannot be edited", fixed[i]);
    }
    return pl_copied(L, x, name);
}

struct sld_str pl_header_value(lua_State *L, struct sld_exchange *x, int index)
{
    luaL_checkstring(L, index);
    size_t n;
    const char *p = lua_tolstring(L, index, &n);
    if (n > SLD_HEADER_BYTES_MAX)
        pl_error(L, "the value of a header has %zu bytes; at most %d are sent", n, SLD_HEADER_BYTES_MAX);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            pl_error(L, "the value of a header has a control character");
    }
    if (!sld_str_utf8(sld_str_n(p, n), NULL))
        pl_error(L, "the value of a header must be UTF-8");
    return pl_copied(L, x, sld_str_n(p, n));
}

void pl_unsent(lua_State *L)
{
    const struct sld_transform *t = pl_flow(L);
    if (t && t->sent)
        pl_error(L, "the headers are sent already: edit them before the first chunk, and before trailers");
}

void pl_edit(lua_State *L, struct sld_exchange *x, enum sld_edit_kind kind, struct sld_str name, struct sld_str value)
{
    struct sld_edit e = {kind, name, value};
    if (kind != SLD_EDIT_TRAILER)
        pl_unsent(L);
    for (size_t i = 0; i < x->edit_count && kind != SLD_EDIT_RESPONSE_ADD; i++) {
        if (x->edits[i].kind == kind && sld_str_eq(x->edits[i].name, name)) {
            x->edits[i] = e;
            return;
        }
    }
    if (x->edit_count == SLD_EDITS_MAX)
        pl_error(L, "more than %d edits of one request", SLD_EDITS_MAX);
    SLD_PUSH(x->arena, x->edits, x->edit_count, e);
}

// Of the pairs there is one called NAME with VALUE then; absent: none.
void pl_put(struct sld_arena *a, struct sld_pair **p, size_t *n, struct sld_str name, struct sld_str value)
{
    size_t kept = 0;
    bool there = !value.p;
    for (size_t i = 0; i < *n; i++) {
        bool same = sld_str_eq((*p)[i].name, name);
        if (same && there)
            continue;
        (*p)[kept] = (*p)[i];
        if (same)
            (*p)[kept].value = value;
        there |= same;
        kept++;
    }
    *n = kept;
    struct sld_pair one = {name, value};
    if (!there)
        SLD_PUSH(a, *p, *n, one);
}

static void set_header(lua_State *L, struct sld_exchange *x, struct sld_str name, struct sld_str value)
{
    pl_edit(L, x, SLD_EDIT_HEADER, name, value);
    pl_spend(L, x->header_count / 4);
    pl_put(x->arena, &x->headers, &x->header_count, name, value);
}

static int req_set_header(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    set_header(L, x, pl_header_name(L, x, 2), pl_header_value(L, x, 3));
    return 0;
}

static int req_add_header(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    struct sld_str name = pl_header_name(L, x, 2), value = pl_header_value(L, x, 3);
    push_joined(L, x->headers, x->header_count, name);
    if (!lua_isnil(L, -1)) {
        size_t n = pl_str(L, -1).n + 1 + value.n;
        if (n > SLD_HEADER_BYTES_MAX)
            pl_error(L, "the value of a header has %zu bytes; at most %d are sent", n, SLD_HEADER_BYTES_MAX);
        pl_bounded(L, x, n);
        value = SLD_ARENA_JOIN(x->arena, pl_str(L, -1), SLD_STR(","), value);
    }
    set_header(L, x, name, value);
    return 0;
}

static int req_remove_header(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    set_header(L, x, pl_header_name(L, x, 2), SLD_STR_NONE);
    return 0;
}

static int set_query(lua_State *L, struct sld_exchange *x, struct sld_str value)
{
    luaL_checkstring(L, 2);
    struct sld_str name = pl_str(L, 2);
    if (!name.n)
        pl_error(L, "a parameter has a name");
    if (name.n > SLD_HEADER_BYTES_MAX)
        pl_error(L, "the name of a parameter has %zu bytes; at most %d are sent", name.n, SLD_HEADER_BYTES_MAX);
    name = pl_copied(L, x, name);
    parse(L, x);
    pl_edit(L, x, SLD_EDIT_QUERY, name, value);
    pl_spend(L, x->param_count / 4);
    pl_put(x->arena, &x->params, &x->param_count, name, value);
    return 0;
}

static int req_set_query(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    luaL_checkstring(L, 3);
    size_t n;
    const char *p = lua_tolstring(L, 3, &n);
    if (n > SLD_HEADER_BYTES_MAX)
        pl_error(L, "the value of a parameter has %zu bytes; at most %d are sent", n, SLD_HEADER_BYTES_MAX);
    return set_query(L, x, pl_copied(L, x, sld_str_n(p, n)));
}

static int req_remove_query(lua_State *L)
{
    return set_query(L, pl_exchange(L), SLD_STR_NONE);
}

static int req_set_response_header(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    pl_edit(L, x, SLD_EDIT_RESPONSE_SET, pl_header_name(L, x, 2), pl_header_value(L, x, 3));
    return 0;
}

static int req_add_response_header(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    pl_edit(L, x, SLD_EDIT_RESPONSE_ADD, pl_header_name(L, x, 2), pl_header_value(L, x, 3));
    return 0;
}

static int req_set_metadata(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    luaL_checkstring(L, 2);
    luaL_checkany(L, 3);
    struct sld_note n = {.plugin = pl_host_of(L)->bundle->name, .key = pl_copied(L, x, pl_str(L, 2))};
    size_t i = 0;
    n.value = pl_to_value_within(L, 3, x->arena, room(x));
    while (i < x->note_count && !(sld_str_eq(x->notes[i].plugin, n.plugin) && sld_str_eq(x->notes[i].key, n.key)))
        i++;
    if (i == SLD_EDITS_MAX)
        pl_error(L, "more than %d metadata of one request", SLD_EDITS_MAX);
    if (i < x->note_count)
        x->notes[i] = n;
    else
        SLD_PUSH(x->arena, x->notes, x->note_count, n);
    return 0;
}

// ---- Denying ----

static void add_deny_header(lua_State *L, struct sld_exchange *x, struct sld_pair **p, size_t *n)
{
    struct sld_pair h = {pl_header_name(L, x, lua_gettop(L) - 1), pl_header_value(L, x, lua_gettop(L))};
    if (*n == SLD_EDITS_MAX)
        pl_error(L, "more than %d headers", SLD_EDITS_MAX);
    SLD_PUSH(x->arena, *p, *n, h);
}

// The table of headers on top: values are texts, or lists of such.
static void read_deny_headers(lua_State *L, struct sld_exchange *x, struct sld_pair **p, size_t *n)
{
    if (pl_thawed(L, -1))
        lua_replace(L, -2);
    int t = lua_gettop(L);
    pl_sorted_keys(L, t);
    lua_Integer keys = (lua_Integer)lua_rawlen(L, t + 1);
    for (lua_Integer i = 1; i <= keys; i++) {
        lua_rawgeti(L, t + 1, i);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, t) != LUA_TTABLE) {
            add_deny_header(L, x, p, n);
        } else {
            for (lua_Integer k = 1; lua_geti(L, t + 3, k) != LUA_TNIL; k++) {
                lua_pushvalue(L, t + 2);
                lua_insert(L, -2);
                add_deny_header(L, x, p, n);
                lua_settop(L, t + 3);
            }
        }
        lua_settop(L, t + 1);
    }
    lua_settop(L, t);
}

static bool is_text(lua_State *L, struct sld_str s)
{
    pl_spend(L, s.n / 8);
    return s.p && sld_str_utf8(s, NULL) && !(s.n && memchr(s.p, 0, s.n));
}

int pl_answer(lua_State *L, const char *what, lua_Integer least, bool bytes)
{
    struct sld_exchange *x = pl_exchange(L);
    struct sld_pair *headers = NULL;
    size_t header_count = 0;
    lua_Integer status = 403;
    struct sld_str body = SLD_STR("");
    if (!lua_isnoneornil(L, 2)) {
        luaL_checktype(L, 2, LUA_TTABLE);
        for (lua_pushnil(L); lua_next(L, 2); lua_settop(L, 3)) {
            struct sld_str key = pl_str(L, 3);
            if (sld_str_eq(key, SLD_STR("status")) && lua_isinteger(L, 4) && lua_tointeger(L, 4) >= least && lua_tointeger(L, 4) <= 599)
                status = lua_tointeger(L, 4);
            else if (sld_str_eq(key, SLD_STR("status")))
                pl_error(L, "%s: 'status' must be a whole number from %d to 599", what, (int)least);
            else if (sld_str_eq(key, SLD_STR("headers")) && lua_istable(L, 4))
                read_deny_headers(L, x, &headers, &header_count);
            else if (sld_str_eq(key, SLD_STR("headers")))
                pl_error(L, "%s: 'headers' must be a table of names and values", what);
            else if (sld_str_eq(key, SLD_STR("body")) && (bytes ? pl_str(L, 4).p != NULL : is_text(L, pl_str(L, 4))))
                body = pl_copied(L, x, pl_str(L, 4));
            else if (sld_str_eq(key, SLD_STR("body")))
                pl_error(L, bytes ? "%s: 'body' must be a string" : "%s: 'body' must be a string of UTF-8 without zeroes", what);
            else
                pl_error(L, "%s has status, headers and body, not '%.*s'", what, SLD_FMT(sld_str_sub(key, 0, 60)));
        }
    }
    if (!x->denied) {
        x->denied = true;
        x->status = (unsigned)status;
        x->deny_headers = headers;
        x->deny_header_count = header_count;
        x->deny_body = body;
    }
    lua_pushboolean(L, 0);
    return 1;
}

// req:deny{status =, headers =, body =}: false, to be returned or not.
static int req_deny(lua_State *L)
{
    return pl_answer(L, "deny", 300, false);
}

// ---- The request ----

enum field { METHOD, PATH, HOST, SCHEME, ID, SOURCE, SNI, ROUTE, BODY, HEADER_LIST, QUERY_LIST, PEER_FACTS, FIELDS };
static const char *const field_names[FIELDS] = {"method", "path",  "host", "scheme",  "id",    "source",
                                                "sni",    "route", "body", "headers", "query", "peer"};

// A handle on a part, made once for a request.
void pl_push_part(lua_State *L, struct sld_exchange *x, const char *type, int at)
{
    if (lua_getiuservalue(L, 1, at) != LUA_TNIL)
        return;
    pl_lend(L, x, type, 1); // a part of its own
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, at);
}

// Upvalue: what each name is, a field's number or a method.
static int req_index(lua_State *L)
{
    struct sld_exchange *x = pl_exchange(L);
    const struct sld_str texts[BODY + 1] = {x->method, x->path, x->host, x->scheme, x->id, x->source, x->sni, x->route, x->body};
    lua_settop(L, 2);
    lua_pushvalue(L, 2);
    int type = lua_rawget(L, lua_upvalueindex(1));
    if (type == LUA_TFUNCTION)
        return 1;
    if (type != LUA_TNUMBER) {
        pl_tostring(L, 2);
        pl_error(L, "a request has no '%.60s'", lua_tostring(L, -1));
    }
    lua_Integer f = lua_tointeger(L, -1);
    if (f == HEADER_LIST)
        pl_push_part(L, x, PL_HEADERS, 1);
    else if (f == QUERY_LIST)
        pl_push_part(L, x, QUERY, 2);
    else if (f == PEER_FACTS && x->peer)
        pl_push_part(L, x, PEER, 3);
    else if (f == BODY && pl_flow(L) && pl_flow(L)->streamed)
        pl_error(L, "the body is streamed: read it by :chunks()");
    else
        pl_push_or_nil(L, f <= BODY ? texts[f] : SLD_STR_NONE);
    return 1;
}

void pl_make_type(lua_State *L, const char *name, lua_CFunction index, lua_CFunction pairs)
{
    luaL_newmetatable(L, name);
    lua_pushcfunction(L, index);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse);
    lua_setfield(L, -2, "__newindex");
    if (pairs) {
        lua_pushcfunction(L, pairs);
        lua_setfield(L, -2, "__pairs");
    }
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

const luaL_Reg pl_request_methods[] = {{"add_header", req_add_header},
                                       {"add_response_header", req_add_response_header},
                                       {"deny", req_deny},
                                       {"remove_header", req_remove_header},
                                       {"remove_query", req_remove_query},
                                       {"set_header", req_set_header},
                                       {"set_metadata", req_set_metadata},
                                       {"set_query", req_set_query},
                                       {"set_response_header", req_set_response_header},
                                       {NULL, NULL}};

void pl_make_request_type(lua_State *L, const char *name)
{
    if (luaL_getmetatable(L, PL_HEADERS) == LUA_TNIL) {
        pl_make_type(L, PL_HEADERS, headers_index, headers_pairs);
        pl_make_type(L, QUERY, query_index, NULL);
        pl_make_type(L, PEER, peer_index, NULL);
    }
    lua_pop(L, 1);
    pl_make_type(L, name, req_index, NULL);
    luaL_getmetatable(L, name);
    lua_pushvalue(L, -2); // its methods
    for (lua_Integer i = 0; i < FIELDS; i++) {
        lua_pushinteger(L, i);
        lua_setfield(L, -2, field_names[i]);
    }
    lua_pushcclosure(L, req_index, 1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
}

void pl_push_request(lua_State *L, struct sld_exchange *x)
{
    if (luaL_getmetatable(L, REQUEST) == LUA_TNIL) {
        lua_newtable(L);
        luaL_setfuncs(L, pl_request_methods, 0);
        pl_make_request_type(L, REQUEST);
    }
    lua_pop(L, 1);
    x->start_bytes = x->start_bytes ? x->start_bytes : x->arena->used_bytes;
    pl_lend(L, x, REQUEST, 3);
}

// ---- Configurations ----

struct keep {
    struct sld_plugin *p;
    const Google__Protobuf__Value *value;
    int ref;
};

static int keep(lua_State *L)
{
    struct keep *k = lua_touserdata(L, 1);
    pl_push_conf(L, &k->p->conf, k->value);
    lua_pushvalue(L, -1);
    pl_freeze(L, 1);
    k->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

enum sld_rc sld_plugin_keep_conf(struct sld_plugin *p, const Google__Protobuf__Value *value, int *ref, struct sld_err *err)
{
    struct sld_arena a = {0};
    struct sld_report r = {.arena = &a};
    struct keep k = {p, value, LUA_NOREF};
    sld_conf_check(&r, &p->conf, value);
    enum sld_rc rc = SLD_OK;
    if (r.errors)
        rc = sld_err_set(err, SLD_INVALID, "its configuration: %.*s: %.*s", SLD_FMT(r.items[0].path), SLD_FMT(r.items[0].message));
    else
        rc = pl_run(p->host, PL_PURE, keep, &k, err);
    *ref = k.ref;
    sld_arena_fini(&a);
    return rc;
}

static int drop(lua_State *L)
{
    const int *ref = lua_touserdata(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, *ref);
    return 0;
}

void sld_plugin_drop_conf(struct sld_plugin *p, int ref)
{
    struct sld_err err = {0};
    if (pl_run(p->host, PL_PURE, drop, &ref, &err))
        SLD_LOG(SLD_WARN, "plugin", "conf_kept", SLD_KS("plugin", p->info.name), SLD_KC("msg", err.msg));
}

// ---- authorize ----

static int push_authorize(lua_State *L)
{
    const struct sld_authorize *c = lua_touserdata(L, 1);
    pl_push_hook(L, SLD_HOOK_AUTHORIZE);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->ref);
    pl_push_request(L, c->x);
    return 0;
}

static int take_authorize(lua_State *L)
{
    const struct sld_authorize *c = lua_touserdata(L, 1);
    struct sld_exchange *x = c->x;
    int type = lua_type(L, 2);
    if (type != LUA_TNONE && type != LUA_TNIL && type != LUA_TBOOLEAN)
        luaL_error(L, "authorize must return true, false or nothing, not a %s", luaL_typename(L, 2));
    if (type == LUA_TBOOLEAN && !lua_toboolean(L, 2) && !x->denied) {
        x->denied = true;
        x->status = 403;
        x->deny_body = SLD_STR("");
    }
    return 0;
}

static void authorize_done(void *user, enum sld_rc rc, const struct sld_err *err)
{
    struct sld_authorize *c = user;
    c->task = NULL;
    if (rc && c->undo && !c->x->denied)
        *c->x = c->before;
    c->done(c->user, rc, err);
}

void pl_remember(struct sld_exchange *x, struct sld_exchange *before)
{
    *before = *x;
    x->headers = NULL;
    x->header_count = x->edit_count = x->note_count = x->param_count = 0;
    x->edits = NULL;
    x->notes = NULL;
    x->params = NULL;
    for (size_t i = 0; i < before->header_count; i++)
        SLD_PUSH(x->arena, x->headers, x->header_count, before->headers[i]);
    for (size_t i = 0; i < before->edit_count; i++)
        SLD_PUSH(x->arena, x->edits, x->edit_count, before->edits[i]);
    for (size_t i = 0; i < before->note_count; i++)
        SLD_PUSH(x->arena, x->notes, x->note_count, before->notes[i]);
    for (size_t i = 0; i < before->param_count; i++)
        SLD_PUSH(x->arena, x->params, x->param_count, before->params[i]);
}

enum sld_rc sld_plugin_authorize(struct sld_plugin *p, struct sld_reactor *r, struct sld_authorize *c, struct sld_err *err)
{
    const struct pl_task_call call = {
        .hook = SLD_HOOK_AUTHORIZE,
        .phase = PL_REQUEST,
        .push = push_authorize,
        .take = take_authorize,
        .arg = c,
        .deadline_ms = c->deadline_ms,
        .done = authorize_done,
        .user = c,
    };
    struct pl_task *task = NULL;
    if (c->undo)
        pl_remember(c->x, &c->before);
    enum sld_rc rc = pl_task_start(p, r, &call, &task, err);
    if (task)
        c->task = task; // else it is over, and C may be gone
    return rc;
}

void sld_plugin_authorize_cancel(struct sld_authorize *c)
{
    pl_task_cancel(c->task);
    c->task = NULL;
}

// What discover publishes becomes documents of kind Upstream: checked as a whole, then told as far as it is new.
#include "plugin/publish.h"

#include <stdio.h>
#include <stdlib.h>

#include "codec/doc.h"
#include "codec/text.h"
#include "plugin/handle.h"

enum { NAME_MAX_BYTES = 200, HOST_MAX_BYTES = 253, TEXT_MAX_BYTES = 4 << 20, STEPS_EACH = 20, STEPS_LOOK = 16 };

#define LABEL "discovered_by"

// One upstream that was published; texts are JSON, in its arena.
struct unit {
    struct sld_arena arena;
    struct sld_str labels, spec, fixed, hosts; // FIXED: fields of spec.static beside hosts
    struct sld_hash hash;
    size_t endpoints; // in HOSTS
    bool named; // by the call at work
};

struct endpoint {
    struct sld_str address, text;
    uint64_t port;
};

// An upstream of the call at work. In the scratch arena.
struct change {
    struct sld_str name;
    bool gone, described; // DESCRIBED: it says labels and spec
    bool has_endpoints;
    struct sld_str labels, spec, fixed, hosts, text;
    size_t endpoints; // in HOSTS
};

struct publishing {
    lua_State *L;
    struct pl_published *p;
    struct sld_arena *a;
    struct change *changes;
    size_t count;
    size_t endpoints; // that the call names
    bool increment;
    char at[NAME_MAX_BYTES + 100]; // the field that is read
};

_Noreturn static void wrong(struct publishing *s, const char *field, const char *words)
{
    pl_error(s->L, "publish: %s%s%s: %s", s->at, s->at[0] && field[0] && field[0] != '[' ? "." : "", field, words);
}

// ---- Tables ----

// The table at the top, or what a frozen one holds in its place.
static void thaw(struct publishing *s, const char *field)
{
    if (!lua_istable(s->L, -1))
        wrong(s, field, "must be a table");
    if (pl_thawed(s->L, -1))
        lua_replace(s->L, -2);
}

// The value at the top as JSON.
static struct sld_node *node(struct publishing *s)
{
    struct pl_edit edit = {.arena = s->a};
    return pl_to_node(s->L, lua_gettop(s->L), &edit);
}

static struct sld_str json(struct publishing *s, const struct sld_node *n)
{
    struct sld_buf b;
    sld_buf_init(&b, TEXT_MAX_BYTES);
    sld_doc_print_node(&b, n, SLD_TEXT_JSON_COMPACT);
    struct sld_str text = sld_str_trim(sld_arena_str(s->a, sld_buf_str(&b)));
    bool full = b.full;
    sld_buf_fini(&b);
    if (full)
        wrong(s, "", "is larger than 4 MiB");
    return text;
}

// ---- Endpoints ----

static bool host_ok(struct sld_str s)
{
    if (sld_is_ip(s, NULL))
        return true;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return s.n > 0 && s.n <= HOST_MAX_BYTES;
}

struct read_endpoint {
    struct sld_str address, sni, metadata;
    uint64_t port, weight;
};

static uint64_t whole(struct publishing *s, const char *field, uint64_t most)
{
    int is = 0;
    lua_Integer n = lua_tointegerx(s->L, -1, &is);
    if (!is || n < 1 || (uint64_t)n > most) {
        char words[64];
        snprintf(words, sizeof(words), "must be a whole number of 1 to %llu", (unsigned long long)most);
        wrong(s, field, words);
    }
    return (uint64_t)n;
}

static void endpoint_field(struct publishing *s, struct read_endpoint *e)
{
    struct sld_str key = pl_str(s->L, -2);
    if (sld_str_eq(key, SLD_STR("address")) || sld_str_eq(key, SLD_STR("sni"))) {
        struct sld_str value = pl_str(s->L, -1);
        if (!host_ok(value))
            wrong(s, sld_str_eq(key, SLD_STR("sni")) ? "sni" : "address", "must be an address or the name of a host");
        *(sld_str_eq(key, SLD_STR("sni")) ? &e->sni : &e->address) = sld_arena_str(s->a, value);
    } else if (sld_str_eq(key, SLD_STR("port"))) {
        e->port = whole(s, "port", 65535);
    } else if (sld_str_eq(key, SLD_STR("weight"))) {
        e->weight = whole(s, "weight", 1000000);
    } else if (sld_str_eq(key, SLD_STR("metadata"))) {
        if (!lua_istable(s->L, -1))
            wrong(s, "metadata", "must be a table of tables, by namespace");
        e->metadata = json(s, node(s));
    } else {
        pl_tostring(s->L, -2);
        wrong(s, lua_tostring(s->L, -1), "is no field of an endpoint; there are address, port, weight, sni and metadata");
    }
}

// "10.0.0.1:80", "[::1]:80"
static void endpoint_text(struct publishing *s, struct read_endpoint *e, struct sld_str text)
{
    size_t colon = text.n;
    while (colon && text.p[colon - 1] != ':')
        colon--;
    struct sld_str host = sld_str_sub(text, 0, colon ? colon - 1 : 0), port = sld_str_sub(text, colon, text.n);
    if (sld_str_starts(host, SLD_STR("[")) && sld_str_ends(host, SLD_STR("]")))
        host = sld_str_sub(host, 1, host.n - 2);
    if (!colon || !host_ok(host) || !sld_str_u64(port, &e->port) || !e->port || e->port > 65535)
        wrong(s, "", "must be \"HOST:PORT\", or a table with address and port");
    e->address = sld_arena_str(s->a, host);
}

static struct endpoint read_endpoint(struct publishing *s)
{
    lua_State *L = s->L;
    struct read_endpoint e = {0};
    pl_spend(L, STEPS_EACH);
    if (lua_type(L, -1) == LUA_TSTRING) {
        endpoint_text(s, &e, pl_str(L, -1));
    } else {
        lua_pushvalue(L, -1);
        thaw(s, "");
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
            endpoint_field(s, &e);
        lua_pop(L, 1);
        if (!e.address.p || !e.port)
            wrong(s, e.address.p ? "port" : "address", "is missing");
    }
    struct sld_str text = sld_arena_fmt(s->a, "{\"addr\":\"%.*s\",\"port\":%llu", SLD_FMT(e.address), (unsigned long long)e.port);
    if (e.weight)
        text = sld_arena_fmt(s->a, "%.*s,\"loadBalancingWeight\":%llu", SLD_FMT(text), (unsigned long long)e.weight);
    if (e.sni.p)
        text = sld_arena_fmt(s->a, "%.*s,\"sniAddr\":\"%.*s\"", SLD_FMT(text), SLD_FMT(e.sni));
    if (e.metadata.p)
        text = SLD_ARENA_JOIN(s->a, text, SLD_STR(",\"metadata\":"), e.metadata);
    return (struct endpoint){e.address, text, e.port};
}

static int by_place(const void *a, const void *b)
{
    const struct endpoint *x = a, *y = b;
    int c = sld_str_cmp(x->address, y->address);
    return c ? c : (x->port > y->port) - (x->port < y->port);
}

// The list at the top is C's: in order of addresses, each once, so that the order it was found in changes nothing.
static void read_endpoints(struct publishing *s, struct change *c, const char *field)
{
    lua_State *L = s->L;
    size_t kept = strlen(s->at);
    lua_pushvalue(L, -1);
    thaw(s, field);
    size_t n = lua_rawlen(L, -1);
    s->endpoints += n;
    if (s->endpoints > SLD_DISCOVER_ENDPOINTS_MAX)
        wrong(s, field, "more than 50000 endpoints in all");
    pl_spend(L, n);
    struct endpoint *list = SLD_ARENA_ARRAY(s->a, struct endpoint, n);
    for (size_t i = 0; i < n; i++) {
        snprintf(s->at + kept, sizeof(s->at) - kept, "%s%s[%zu]", kept && field[0] ? "." : "", field, i + 1);
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        list[i] = read_endpoint(s);
        lua_pop(L, 1);
        s->at[kept] = 0;
    }
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        if (!lua_isinteger(L, -2))
            wrong(s, field, "must be a list");
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    if (n)
        qsort(list, n, sizeof(*list), by_place);
    struct sld_buf b;
    sld_buf_init(&b, TEXT_MAX_BYTES);
    sld_buf_addc(&b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i && by_place(&list[i - 1], &list[i]) == 0)
            continue;
        sld_buf_addf(&b, "%s%.*s}", i ? "," : "", SLD_FMT(list[i].text));
        c->endpoints++;
    }
    sld_buf_addc(&b, ']');
    c->hosts = sld_arena_str(s->a, sld_buf_str(&b));
    c->has_endpoints = true;
    bool full = b.full;
    sld_buf_fini(&b);
    if (full)
        wrong(s, field, "is larger than 4 MiB");
}

// ---- Upstreams ----

static bool name_ok(struct sld_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
            return false;
    }
    return s.n > 0 && s.n <= NAME_MAX_BYTES && s.p[0] != '-' && s.p[0] != '.';
}

// The change of the upstream whose name is at -2, new or not.
static struct change *change_of(struct publishing *s, const char *list)
{
    struct sld_str name = pl_str(s->L, -2);
    if (!name_ok(name)) {
        pl_tostring(s->L, -2);
        snprintf(s->at, sizeof(s->at), "%s", list);
        wrong(s, "", "names of upstreams are made of a-z, 0-9, '-' and '.', at most 200 of them");
    }
    snprintf(s->at, sizeof(s->at), "%s.%.*s", list, SLD_FMT(name));
    pl_spend(s->L, s->count / STEPS_LOOK);
    for (size_t i = 0; i < s->count; i++) { // those of `upstreams` come first, and in order
        if (sld_str_eq(s->changes[i].name, name))
            return &s->changes[i];
    }
    struct change c = {.name = sld_arena_str(s->a, name)};
    SLD_PUSH(s->a, s->changes, s->count, c);
    return &s->changes[s->count - 1];
}

static struct sld_str read_labels(struct publishing *s)
{
    struct sld_node *n = lua_isnil(s->L, -1) ? sld_node_map(s->a) : node(s);
    for (size_t i = 0; i < n->count && n->type == SLD_NODE_MAP; i++) {
        if (n->pairs[i].value->type != SLD_NODE_SCALAR)
            wrong(s, "labels", "must be a table of strings");
    }
    if (n->type != SLD_NODE_MAP && n->count)
        wrong(s, "labels", "must be a table of strings by name");
    n->type = SLD_NODE_MAP;
    if (sld_node_get(n, SLD_STR(LABEL)))
        wrong(s, "labels." LABEL, "is the plugin's name, which is set here");
    sld_node_set(s->a, n, SLD_STR(LABEL), sld_node_scalar(s->a, s->p->plugin, true));
    return json(s, n);
}

// The fields of N without the braces.
static struct sld_str inner(struct publishing *s, const struct sld_node *n)
{
    struct sld_str text = json(s, n);
    return n->count ? sld_str_sub(text, 1, text.n - 2) : SLD_STR("");
}

static void read_spec(struct publishing *s, struct change *c)
{
    c->spec = c->fixed = SLD_STR("");
    if (lua_isnil(s->L, -1))
        return;
    struct sld_node *n = node(s), *rest = sld_node_map(s->a);
    if (n->type != SLD_NODE_MAP)
        wrong(s, "spec", "must be a table such as an Upstream's spec");
    for (size_t i = 0; i < n->count; i++) {
        struct sld_str key = n->pairs[i].key->text;
        if (!sld_str_eq(key, SLD_STR("static"))) {
            sld_node_set(s->a, rest, key, n->pairs[i].value);
            continue;
        }
        const struct sld_node *fixed = n->pairs[i].value;
        if (fixed->type != SLD_NODE_MAP || sld_node_get(fixed, SLD_STR("hosts")))
            wrong(s, "spec.static", "must be a table without hosts, which are the endpoints");
        c->fixed = inner(s, fixed);
    }
    c->spec = inner(s, rest);
}

// The value at the top, of the name below it.
static void read_upstream(struct publishing *s)
{
    lua_State *L = s->L;
    struct change *c = change_of(s, "upstreams");
    pl_spend(L, STEPS_EACH);
    if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) {
        if (!s->increment)
            wrong(s, "", "false takes an upstream away in an increment; leave it out of a whole set");
        c->gone = true;
        return;
    }
    lua_pushvalue(L, -1);
    thaw(s, "");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        struct sld_str key = pl_str(L, -2);
        if (!sld_str_eq(key, SLD_STR("endpoints")) && !sld_str_eq(key, SLD_STR("labels")) && !sld_str_eq(key, SLD_STR("spec"))) {
            pl_tostring(L, -2);
            wrong(s, lua_tostring(L, -1), "is no field of an upstream; there are endpoints, labels and spec");
        }
    }
    c->described = true;
    lua_getfield(L, -1, "labels");
    c->labels = read_labels(s);
    lua_pop(L, 1);
    lua_getfield(L, -1, "spec");
    read_spec(s, c);
    lua_pop(L, 1);
    if (lua_getfield(L, -1, "endpoints") != LUA_TNIL)
        read_endpoints(s, c, "endpoints");
    lua_pop(L, 2);
}

static void read_more_endpoints(struct publishing *s)
{
    struct change *c = change_of(s, "endpoints");
    if (c->gone || c->has_endpoints)
        wrong(s, "", c->gone ? "is of an upstream that is taken away" : "is said twice: here, and in upstreams");
    read_endpoints(s, c, "");
}

// READ for each entry of field NAME, by name.
static void each(struct publishing *s, const char *name, void (*read)(struct publishing *s))
{
    lua_State *L = s->L;
    s->at[0] = 0;
    if (lua_getfield(L, 1, name) == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    thaw(s, name);
    int table = lua_gettop(L);
    pl_sorted_keys(L, table);
    size_t n = lua_rawlen(L, -1);
    if (n > SLD_DISCOVER_UPSTREAMS_MAX)
        wrong(s, name, "more than 5000 upstreams");
    for (size_t i = 1; i <= n; i++) {
        lua_rawgeti(L, table + 1, (lua_Integer)i);
        lua_pushvalue(L, -1);
        lua_rawget(L, table);
        read(s);
        lua_settop(L, table + 1);
    }
    lua_settop(L, table - 1);
}

// ---- All of it ----

static void join(struct sld_buf *b, struct sld_str more)
{
    if (more.n)
        sld_buf_addf(b, ",%.*s", SLD_FMT(more));
}

// What C says, with what was said before where it says nothing; and the document.
static void complete(struct publishing *s, struct change *c)
{
    const struct unit *u = sld_map_get(&s->p->units, c->name);
    struct sld_str none = SLD_STR("");
    if (!c->described) {
        c->spec = u ? u->spec : none;
        c->fixed = u ? u->fixed : none;
        c->labels = u ? u->labels
                      : sld_arena_fmt(s->a, "{\"" LABEL "\":\"%.*s\"}", SLD_FMT(s->p->plugin));
    }
    if (!c->has_endpoints) {
        c->hosts = u && s->increment ? u->hosts : SLD_STR("[]");
        c->endpoints = u && s->increment ? u->endpoints : 0;
    }
    struct sld_buf b;
    sld_buf_init(&b, TEXT_MAX_BYTES);
    sld_buf_addf(&b, "{\"apiVersion\":\"gloo.solo.io/v1\",\"kind\":\"Upstream\",\"metadata\":{\"name\":\"%.*s\",\"labels\":%.*s},",
                 SLD_FMT(c->name), SLD_FMT(c->labels));
    sld_buf_addz(&b, "\"spec\":{\"static\":{\"hosts\":");
    sld_buf_add(&b, c->hosts);
    join(&b, c->fixed);
    sld_buf_addc(&b, '}');
    join(&b, c->spec);
    sld_buf_addz(&b, "}}\n");
    c->text = sld_arena_str(s->a, sld_buf_str(&b));
    bool full = b.full;
    sld_buf_fini(&b);
    snprintf(s->at, sizeof(s->at), "upstreams.%.*s", SLD_FMT(c->name));
    if (full)
        wrong(s, "", "is larger than 4 MiB");
}

// The ceilings are of all that will be there: what the call does not name, too.
static void count_all(struct publishing *s)
{
    size_t upstreams = 0, endpoints = 0, at = 0;
    for (struct sld_map_slot *slot; s->increment && (slot = sld_map_next(&s->p->units, &at));) {
        upstreams++;
        endpoints += ((const struct unit *)slot->value)->endpoints;
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct change *c = &s->changes[i];
        const struct unit *u = s->increment ? sld_map_get(&s->p->units, c->name) : NULL;
        upstreams = upstreams + !c->gone - (u != NULL);
        endpoints = endpoints + (c->gone ? 0 : c->endpoints) - (u ? u->endpoints : 0);
    }
    s->at[0] = 0;
    if (upstreams > 2 * SLD_DISCOVER_UPSTREAMS_MAX)
        wrong(s, "upstreams", "more than 10000 upstreams in all");
    if (endpoints > SLD_DISCOVER_ENDPOINTS_MAX)
        wrong(s, "endpoints", "more than 50000 endpoints in all");
}

static void unit_free(struct unit *u)
{
    if (!u)
        return;
    sld_arena_fini(&u->arena);
    sld_xfree(u);
}

static void take_away(struct pl_published *p, struct sld_str name)
{
    unit_free(sld_map_remove(&p->units, name));
    p->ev->on_gone(p->ev->user, name);
}

static void put(struct pl_published *p, const struct change *c)
{
    struct sld_hash hash = sld_hash_bytes(c->text);
    struct unit *u = sld_map_get(&p->units, c->name);
    if (u && sld_hash_eq(u->hash, hash)) {
        u->named = true;
        return;
    }
    struct unit *new = SLD_NEW(struct unit);
    struct sld_arena *a = &new->arena;
    new->labels = sld_arena_str(a, c->labels);
    new->spec = sld_arena_str(a, c->spec);
    new->fixed = sld_arena_str(a, c->fixed);
    new->hosts = sld_arena_str(a, c->hosts);
    new->hash = hash;
    new->endpoints = c->endpoints;
    new->named = true;
    sld_map_set(&p->units, c->name, new);
    unit_free(u);
    struct sld_blob *bytes = sld_blob_create(c->text);
    p->ev->on_put(p->ev->user, c->name, bytes);
    SLD_UNREF(bytes);
}

// Nothing raises from here on.
static void apply(struct publishing *s)
{
    struct pl_published *p = s->p;
    for (size_t i = 0; i < s->count; i++) {
        if (!s->changes[i].gone)
            put(p, &s->changes[i]);
    }
    size_t n = 0;
    struct sld_str *names = sld_map_sorted_keys(&p->units, &n);
    for (size_t i = 0; i < n; i++) {
        struct unit *u = sld_map_get(&p->units, names[i]);
        bool stays = u->named || s->increment;
        u->named = false;
        struct sld_str name = sld_arena_str(s->a, names[i]); // the map's own goes with the entry
        if (!stays)
            take_away(p, name);
    }
    sld_xfree(names);
    for (size_t i = 0; i < s->count; i++) {
        if (s->changes[i].gone && sld_map_has(&p->units, s->changes[i].name))
            take_away(p, s->changes[i].name);
    }
    if (!s->increment && !p->synced) {
        p->synced = true;
        p->ev->on_synced(p->ev->user);
    }
    if (!p->any)
        p->ev->on_problem(p->ev->user, SLD_STR_NONE);
    p->any = true;
}

void pl_publish(lua_State *L, struct pl_published *p)
{
    struct publishing s = {.L = L, .p = p, .a = &p->scratch};
    luaL_checkstack(L, 20, NULL);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (pl_thawed(L, 1))
        lua_replace(L, 1);
    sld_arena_fini(&p->scratch);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        struct sld_str key = pl_str(L, -2);
        if (sld_str_eq(key, SLD_STR("increment"))) {
            s.increment = lua_toboolean(L, -1);
        } else if (!sld_str_eq(key, SLD_STR("upstreams")) && !sld_str_eq(key, SLD_STR("endpoints"))) {
            pl_tostring(L, -2);
            wrong(&s, lua_tostring(L, -1), "is not known; there are upstreams, endpoints and increment");
        }
    }
    each(&s, "upstreams", read_upstream);
    each(&s, "endpoints", read_more_endpoints);
    for (size_t i = 0; i < s.count; i++) {
        if (!s.changes[i].gone)
            complete(&s, &s.changes[i]);
    }
    count_all(&s);
    apply(&s);
    p->ms = pl_wall_ms(L);
    sld_arena_fini(&p->scratch);
}

void pl_published_fini(struct pl_published *p)
{
    size_t at = 0;
    for (struct sld_map_slot *slot; (slot = sld_map_next(&p->units, &at));)
        unit_free(slot->value);
    sld_map_fini(&p->units);
    sld_arena_fini(&p->scratch);
}

// solder.dns: what DNS knows of names.
#include "plugin/library.h"
#include "plugin/task.h"

#define WHAT "solder.dns.lookup"

enum { NAME_MAX_BYTES = 253 };

struct asking {
    struct pl_task *task;
    struct sld_reactor *reactor;
    void *question;
    enum sld_dns_type type;
};

struct heard {
    struct sld_dns_answer answer;
    enum sld_dns_type type;
};

static void let_go(void *waiting)
{
    struct asking *w = waiting;
    w->reactor->ops->dns_end(w->reactor->user, w->question);
    sld_xfree(w);
}

static void push_service(lua_State *L, const struct sld_dns_record *r)
{
    lua_createtable(L, 0, 4);
    pl_push_str(L, r->text);
    lua_setfield(L, -2, "target");
    lua_pushinteger(L, r->port);
    lua_setfield(L, -2, "port");
    lua_pushinteger(L, r->priority);
    lua_setfield(L, -2, "priority");
    lua_pushinteger(L, r->weight);
    lua_setfield(L, -2, "weight");
}

// The root as a target says that the service is decidedly not there (RFC 2782).
static bool is_no_service(struct sld_str target)
{
    return !target.n || sld_str_eq(target, SLD_STR("."));
}

// A list; one of nothing where there is no such name; nil and words where it cannot be asked.
static int push_answer(lua_State *L, void *arg)
{
    const struct heard *h = arg;
    const struct sld_dns_answer *a = &h->answer;
    lua_Integer n = 0;
    if (a->err && a->err->rc != SLD_NOT_FOUND) {
        lua_pushnil(L);
        lua_pushstring(L, a->err->msg);
        return 2;
    }
    lua_createtable(L, (int)(a->count + a->record_count), 0);
    for (size_t i = 0; i < a->count; i++) {
        pl_push_str(L, a->addresses[i]);
        lua_rawseti(L, -2, ++n);
    }
    for (size_t i = 0; i < a->record_count; i++) {
        const struct sld_dns_record *r = &a->records[i];
        if (h->type == SLD_DNS_SRV && is_no_service(r->text))
            continue;
        if (h->type == SLD_DNS_SRV)
            push_service(L, r);
        else
            pl_push_str(L, r->text);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static void on_answer(void *user, const struct sld_dns_answer *a)
{
    struct asking *w = user;
    struct pl_task *t = w->task;
    struct heard own = {*a, w->type}; // what it points to outlives the call
    let_go(w);
    pl_wake(t, push_answer, &own);
}

// lookup(name, type, server)
static int l_lookup(lua_State *L)
{
    static const char *const types[] = {"addresses", "A", "AAAA", "SRV", "TXT", NULL};
    struct sld_str name = pl_str(L, 1), server = SLD_STR_NONE;
    struct sld_err err = {0};
    luaL_argcheck(L, name.n > 0 && name.n <= NAME_MAX_BYTES && !memchr(name.p, 0, name.n), 1, "a name of at most 253 bytes");
    int type = luaL_checkoption(L, 2, "addresses", types);
    if (!lua_isnoneornil(L, 3)) {
        server = pl_str(L, 3);
        luaL_argcheck(L, server.n > 0 && server.n <= NAME_MAX_BYTES, 3, "a DNS server as HOST:PORT");
    }
    struct pl_task *t = pl_may_ask(L, WHAT);
    struct asking *w = SLD_NEW(struct asking);
    w->task = t;
    w->type = (enum sld_dns_type)type;
    w->reactor = pl_task_reactor(t);
    w->question = w->reactor->ops->dns(w->reactor->user, server, w->type, name, on_answer, w, &err);
    if (!w->question) {
        sld_xfree(w);
        pl_error(L, WHAT ": %s", err.msg);
    }
    return pl_wait(L, let_go, w);
}

static const struct pl_binding bindings[] = {
    {.name = "lookup", .fn = l_lookup, .phases = PL_IN_CALLS, .need = PL_NEED(SLD_NEED_DNS),
     .doc = "Asks DNS, and waits. Of SRV there are tables with target, port, priority and weight, those to be used first in front; of others texts.",
     .params = {{"name", "string", "At most 253 bytes."},
                {"type?", "\"addresses\"|\"A\"|\"AAAA\"|\"SRV\"|\"TXT\"", "By default addresses of both families, also of /etc/hosts."},
                {"server?", "string", "HOST:PORT; by default the system's."}},
     .returns = {{"answers?", "any[]", "Of nothing when there is no such name, or no such service; nil: it could not be asked."}, {"words?", "string", ""}},
     .example = "local addresses = assert(dns.lookup(\"ada.example.org\"))\nassert(addresses[1] == \"192.0.2.1\")"},
};
const struct pl_module pl_dns = {.name = "solder.dns", .doc = "What DNS knows of names. The plugin needs \"dns\".", PL_BINDINGS(bindings)};

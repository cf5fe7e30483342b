// solder.cidr: addresses and ranges of them. Both families are held as 128 bits; IPv4 in the place IPv6 has for it, so
// that an address is the same whichever way a proxy writes it.
#include <arpa/inet.h>
#include <stdlib.h>

#include "plugin/library.h"

enum { RANGES_MAX = 100000 };

struct address {
    unsigned char b[16];
};

struct range {
    struct address first, last;
};

struct set {
    size_t count;
    struct range ranges[]; // sorted, apart from each other
};

static bool read_address(struct sld_str s, struct address *out, bool *v4)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN];
    if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *v4 = inet_pton(AF_INET, text, out->b + 12) == 1;
    if (*v4)
        memcpy(out->b, mapped, sizeof(mapped));
    else if (inet_pton(AF_INET6, text, out->b) != 1)
        return false;
    return true;
}

static struct address masked(struct address a, unsigned bits, bool ones)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = bits > i * 8 ? bits - i * 8 : 0;
        unsigned char mask = (unsigned char)(keep >= 8 ? 0 : 0xff >> keep);
        a.b[i] = (unsigned char)(ones ? a.b[i] | mask : a.b[i] & ~mask);
    }
    return a;
}

static struct sld_str print_address(const struct address *a, bool v4, char *text, size_t n)
{
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->b + 12 : a->b, text, (socklen_t)n);
    return sld_str_c(text);
}

struct parsed {
    struct range range;
    struct address address;
    bool v4;
    unsigned bits;
};

// "10.0.0.0/8", or an address alone.
static bool read_range(struct sld_str s, struct parsed *p, struct sld_err *err)
{
    struct sld_str length = s, text;
    sld_str_cut(&length, '/', &text);
    uint64_t bits = 0;
    if (!read_address(text, &p->address, &p->v4)) {
        sld_err_set(err, SLD_INVALID, "'%.*s' is no address and no range such as 10.0.0.0/8", SLD_FMT(sld_str_sub(s, 0, 60)));
        return false;
    }
    p->bits = p->v4 ? 32 : 128;
    if (length.p) {
        if (!sld_str_u64(length, &bits) || bits > p->bits || (length.n > 1 && length.p[0] == '0')) {
            sld_err_set(err, SLD_INVALID, "'%.*s': behind the / stands a number from 0 to %u", SLD_FMT(sld_str_sub(s, 0, 60)), p->bits);
            return false;
        }
        p->bits = (unsigned)bits;
    }
    unsigned whole = p->bits + (p->v4 ? 96 : 0);
    p->range = (struct range){masked(p->address, whole, false), masked(p->address, whole, true)};
    if (memcmp(&p->range.first, &p->address, sizeof(p->address)) != 0) {
        char meant[INET6_ADDRSTRLEN];
        print_address(&p->range.first, p->v4, meant, sizeof(meant));
        sld_err_set(err, SLD_INVALID, "'%.*s' has bits behind its prefix; did you mean %s/%u?", SLD_FMT(s), meant, p->bits);
        return false;
    }
    return true;
}

static int by_first(const void *x, const void *y)
{
    return memcmp(x, y, sizeof(struct address));
}

// Ranges that overlap become one.
static void merge(struct set *s)
{
    size_t n = 0;
    if (s->count)
        qsort(s->ranges, s->count, sizeof(*s->ranges), by_first);
    for (size_t i = 0; i < s->count; i++) {
        struct range *last = n ? &s->ranges[n - 1] : NULL;
        if (!last || memcmp(&last->last, &s->ranges[i].first, sizeof(struct address)) < 0)
            s->ranges[n++] = s->ranges[i];
        else if (memcmp(&last->last, &s->ranges[i].last, sizeof(struct address)) < 0)
            last->last = s->ranges[i].last;
    }
    s->count = n;
}

static bool is_in(const struct set *s, const struct address *a)
{
    size_t low = 0, high = s->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(&s->ranges[middle].last, a, sizeof(*a)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->count && memcmp(&s->ranges[low].first, a, sizeof(*a)) <= 0;
}

// ---- Functions ----

static int parse(lua_State *L)
{
    struct parsed p;
    struct sld_err err = {0};
    char text[INET6_ADDRSTRLEN];
    if (!read_range(pl_arg(L, 1), &p, &err))
        return pl_not_right(L, "%s", err.msg);
    lua_createtable(L, 0, 5);
    const struct {
        const char *key;
        const struct address *address;
    } ends[] = {{"first", &p.range.first}, {"last", &p.range.last}};
    for (size_t i = 0; i < SLD_ARRAY_LEN(ends); i++) {
        pl_push_str(L, print_address(ends[i].address, p.v4, text, sizeof(text)));
        lua_setfield(L, -2, ends[i].key);
    }
    lua_pushinteger(L, p.bits);
    lua_setfield(L, -2, "bits");
    lua_pushinteger(L, p.v4 ? 4 : 6);
    lua_setfield(L, -2, "version");
    return 1;
}

static int set(lua_State *L)
{
    struct sld_err err = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    if (pl_thawed(L, 1))
        lua_replace(L, 1);
    size_t n = lua_rawlen(L, 1);
    luaL_argcheck(L, n <= RANGES_MAX, 1, "at most 100000 ranges expected");
    pl_spend(L, n * 20);
    struct set *s = pl_push_object(L, &pl_cidr, "cidr.Set", sizeof(*s) + n * sizeof(*s->ranges), 0);
    for (size_t i = 0; i < n; i++) {
        struct parsed p;
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        struct sld_str text = pl_str(L, -1);
        if (!text.p)
            pl_error(L, "the ranges of a set are strings; number %zu is a %s", i + 1, luaL_typename(L, -1));
        if (!read_range(text, &p, &err))
            return pl_not_right(L, "%s", err.msg);
        s->ranges[s->count++] = p.range;
        lua_pop(L, 1);
    }
    merge(s);
    return 1;
}

static int contains(lua_State *L)
{
    const struct set *s = pl_object(L, 1, "cidr.Set");
    struct sld_str text = pl_arg(L, 2);
    struct address a;
    bool v4;
    if (!read_address(text, &a, &v4))
        return pl_not_right(L, "'%.*s' is no address", SLD_FMT(sld_str_sub(text, 0, 60)));
    lua_pushboolean(L, is_in(s, &a));
    return 1;
}

static const struct pl_value range_fields[] = {
    {"first", "string", "Its first address."}, {"last", "string", "Its last."},
    {"bits", "integer", "How many bits all of its addresses share."}, {"version", "4|6", "Of IP."},
};
static const struct pl_class classes[] = {
    {.name = "cidr.Range", .doc = "A range of addresses.", PL_FIELDS(range_fields)},
    {.name = "cidr.Set", .doc = "Ranges to look addresses up in; made once, where the plugin loads."},
};
static const struct pl_binding bindings[] = {
    {.name = "parse", .fn = parse, .doc = "Reads a range, or an address as a range of one.", .params = {{"text", "string", ""}},
     .returns = {{"range?", "cidr.Range", "nil: it is none."}, {"words?", "string", ""}},
     .example = "local r = assert(cidr.parse(\"10.1.0.0/16\"))\nassert(r.first == \"10.1.0.0\" and r.last == \"10.1.255.255\" and r.version == 4)\n"
                "local nothing, words = cidr.parse(\"10.1.2.3/16\")\nassert(not nothing and words:find(\"did you mean 10.1.0.0/16\", 1, true))"},
    {.name = "set", .fn = set, .doc = "A set of ranges and addresses of both families, at most 100000.", .params = {{"ranges", "string[]", ""}},
     .returns = {{"set?", "cidr.Set", "nil: one of them is no range."}, {"words?", "string", "Which, and why."}},
     .example = "local office = assert(cidr.set{\"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.7\"})\n"
                "assert(office:contains(\"10.200.3.4\") and office:contains(\"2001:db8::1\") and not office:contains(\"192.0.2.8\"))"},
    {.name = "contains", .fn = contains, .of = "cidr.Set",
     .doc = "Whether an address is in the set. An IPv4 address written as IPv6 (::ffff:10.0.0.1) is the IPv4 address.",
     .params = {{"address", "string", "Without a port."}},
     .returns = {{"is?", "boolean", "nil: it is no address."}, {"words?", "string", ""}},
     .example = "assert(assert(cidr.set{\"10.0.0.0/8\"}):contains(\"::ffff:10.0.0.1\"))"},
};
const struct pl_module pl_cidr = {.name = "solder.cidr", .doc = "IP addresses and ranges of them.", PL_BINDINGS(bindings), PL_CLASSES(classes)};
